//! Exchanges without I/O: each hands out a request and takes in a response, and says whether it is done or wants to send
//! again.

use std::fmt;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use zeroize::Zeroizing;

use crate::challenge;
use crate::client::{Client, ClientAuth};
use crate::clock::Skew;
use crate::error::Error;
use crate::metadata::AuthorizationServer;
use crate::prover::{Part, Prover};
use crate::proving::Proving;
use crate::public_key::Thumbprint;
use crate::url::Url;
use crate::wire::{HttpClient, RequestBody, Step, form_request, oauth_error, refuse_redirect};

/// How a grant is requested.
#[derive(Clone, Default)]
pub struct Options<'a> {
    pub(crate) http: Option<&'a dyn HttpClient>,
    prover: Option<Prover>,
    accept_bearer: bool,
}

impl<'a> Options<'a> {
    /// Without DPoP, over a transport of its own with the defaults (feature `ureq`).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds the token to the prover's key: a proof goes with each request (RFC 9449 §5).
    #[must_use]
    pub fn prover(self, prover: &Prover) -> Self {
        Self { prover: Some(prover.clone()), ..self }
    }

    /// Sends over this HTTP client. Keep one: it pools connections.
    #[must_use]
    pub fn http(self, http: &'a dyn HttpClient) -> Self {
        Self { http: Some(http), ..self }
    }

    /// Accepts a `Bearer` token in answer to a DPoP request. Whoever steals such a token can use it: the proof was for
    /// nothing.
    #[must_use]
    pub fn dangerous_accept_bearer(self) -> Self {
        Self { accept_bearer: true, ..self }
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("prover", &self.prover)
            .field("accept_bearer", &self.accept_bearer)
            .finish_non_exhaustive()
    }
}

/// A response of the token endpoint, to be processed by the twin of the function that gave it.
pub struct TokenEndpointResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
    requests: u32,
    /// The key the token must be bound to; `None` without DPoP.
    pub(crate) jkt: Option<Thumbprint>,
    pub(crate) accept_bearer: bool,
    /// A disagreement of clocks that may be why it is a refusal.
    pub(crate) skew: Option<Skew>,
}

impl TokenEndpointResponse {
    /// The HTTP status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The response headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body. It holds the token.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// How many requests were sent for it: 2 when the server asked for a nonce, 3 when it also refused the time.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    pub(crate) fn into_http(self) -> http::Response<Vec<u8>> {
        let mut response = http::Response::new(self.body.to_vec());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

impl fmt::Debug for TokenEndpointResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpointResponse")
            .field("status", &self.status)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

/// One request to a token endpoint, retried once when the server asks for a nonce, and once when it refuses the proof and
/// its `Date` shows another time than the clock here.
///
/// [`client_credentials_grant_request`](crate::client_credentials_grant_request) drives it over an [`HttpClient`]. With an
/// HTTP client of your own, or in a test:
///
/// ```
/// use std::time::SystemTime;
/// use possession::*;
///
/// # fn main() -> Result<(), Error> {
/// let server = AuthorizationServer::builder("https://server.example.com")
///     .token_endpoint("https://server.example.com/token")
///     .build()?;
/// let (client, auth) = (Client::new("s6BhdRkqt3")?, ClientAuth::client_secret_basic("7Fjfp0ZBr1KtDRbnfVdmIw"));
/// let options = Options::new().prover(&Prover::new(KeyPair::generate(Algorithm::Es256)?)?);
///
/// let mut exchange =
///     Exchange::client_credentials(&server, &client, &auth, Parameters::new().scope("read"), &options)?;
/// let response = loop {
///     let request = exchange.request(SystemTime::now())?;
///     match exchange.receive(send(request), SystemTime::now())? {
///         Step::SendAgain => continue,
///         Step::Done(response) => break response,
///     }
/// };
/// let token = process_client_credentials_response(&server, &client, response)?;
/// # assert_eq!(token.access_token(), "Kz~8mXK1EalYznwH");
/// # Ok(()) }
/// # fn send(request: http::Request<RequestBody>) -> http::Response<Vec<u8>> {
/// #     assert_eq!(request.headers()["authorization"], "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3");
/// #     assert_eq!(&request.body()[..], b"grant_type=client_credentials&scope=read");
/// #     let body = br#"{"access_token":"Kz~8mXK1EalYznwH","token_type":"DPoP","expires_in":2677}"#;
/// #     http::Response::builder().header("content-type", "application/json").body(body.to_vec()).unwrap()
/// # }
/// ```
pub struct Exchange<'a> {
    server: &'a AuthorizationServer,
    client: &'a Client,
    auth: &'a ClientAuth,
    endpoint: &'a Url,
    fields: Vec<(String, Zeroizing<String>)>,
    proving: Option<Proving>,
    accept_bearer: bool,
    sent: u32,
}

impl<'a> Exchange<'a> {
    /// Checks everything that can be checked before a request is sent.
    pub(crate) fn new(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        fields: Vec<(String, Zeroizing<String>)>,
        options: &Options<'_>,
    ) -> Result<Self, Error> {
        let prover = options.prover.as_ref();
        auth.check(&server.supported("token_endpoint"), client, prover.map(Prover::thumbprint))?;
        let endpoint = server.token_endpoint(auth.uses_mtls_aliases(client));
        let proving = prover.map(|prover| {
            let alg = prover.name_at(server.dpop_algorithms())?;
            let proving =
                Proving::new(prover.clone(), Part::AuthorizationServer, alg, Method::POST, endpoint.clone());
            // Keycloak refuses proofs so; an assertion has a time as well.
            let untimely: &[_] = match auth.makes_assertions() {
                true => &["invalid_request", "invalid_client"],
                false => &["invalid_request"],
            };
            Ok(proving.with_untimely(untimely))
        });
        Ok(Self {
            server,
            client,
            auth,
            endpoint,
            fields,
            proving: proving.transpose()?,
            accept_bearer: options.accept_bearer,
            sent: 0,
        })
    }

    /// The request to send next: a new proof and a new client assertion each time, so send it once and at once.
    ///
    /// # Errors
    /// [`Clock`](crate::ErrorKind::Clock), [`Random`](crate::ErrorKind::Random) and [`Signer`](crate::ErrorKind::Signer).
    pub fn request(&mut self, now: SystemTime) -> Result<Request<RequestBody>, Error> {
        self.build(now).map_err(|error| error.while_doing(self.doing()))
    }

    fn build(&mut self, now: SystemTime) -> Result<Request<RequestBody>, Error> {
        let supported = self.server.supported("token_endpoint");
        let server_time = self.proving.as_ref().map_or(now, |proving| proving.time(now));
        let credentials = self.auth.credentials(&supported, self.client, server_time)?;
        let mut request = form_request(self.endpoint, &self.fields, credentials)?;
        let headers = request.headers_mut();
        if let Some(proving) = &mut self.proving {
            headers.insert(DPOP, proving.prove(now)?);
        }
        self.sent = self.sent.saturating_add(1);
        log::debug!("{}: request {}", self.doing(), self.sent);
        Ok(request)
    }

    /// Takes the response to the last request. A nonce in it is kept, whatever else it says (RFC 9449 §8.2); a
    /// `use_dpop_nonce` challenge with a nonce that was not just sent wants one more request; so does a refusal of the proof
    /// or the assertion by a server whose clock differs, which is dated by that clock then; everything else is done.
    ///
    /// # Errors
    /// [`Redirect`](crate::ErrorKind::Redirect): nothing is sent where a redirect points. [`Algorithm`](crate::ErrorKind::Algorithm): the
    /// server's challenge lists other algorithms than the key's.
    pub fn receive(
        &mut self,
        response: http::Response<Vec<u8>>,
        now: SystemTime,
    ) -> Result<Step<TokenEndpointResponse>, Error> {
        let status = response.status();
        log::debug!("{}: status {}", self.doing(), status.as_u16());
        // The JSON error decides; where there is none, the header does.
        let code = match oauth_error(&response) {
            Some(error) => Some(error.error().to_owned()),
            None => challenge::dpop_error(response.headers()),
        };
        let again = match &mut self.proving {
            Some(proving) => proving.receive(status, response.headers(), code.as_deref(), now)?,
            None => false,
        };
        refuse_redirect(status, self.doing())?;
        if again {
            return Ok(Step::SendAgain);
        }
        let (parts, body) = response.into_parts();
        Ok(Step::Done(TokenEndpointResponse {
            status: parts.status,
            headers: parts.headers,
            body: Zeroizing::new(body),
            requests: self.sent,
            jkt: self.proving.as_ref().map(|proving| proving.prover.thumbprint()),
            accept_bearer: self.accept_bearer,
            skew: self.proving.as_ref().and_then(Proving::skew).cloned(),
        }))
    }

    pub(crate) fn client(&self) -> &Client {
        self.client
    }

    pub(crate) fn doing(&self) -> String {
        let client_id = crate::error::printable(self.client.client_id(), 80);
        format!("asking {} for a token as {client_id}", self.endpoint)
    }
}

impl fmt::Debug for Exchange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("client", &self.client)
            .field("auth", &self.auth)
            .field("endpoint", &self.endpoint)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");
