//! Exchanges without I/O: each hands out a request and takes in a response, and says whether it is done or wants to send
//! again.

use std::fmt;
use std::time::SystemTime;

use http::{Method, Request};
use zeroize::Zeroizing;

use crate::client::parameters::Parameters;
use crate::client::proof_attempts::ProofAttempts;
use crate::client::prover::Prover;
use crate::client::request_options::RequestOptions;
use crate::client::token_endpoint_response::TokenEndpointResponse;
use crate::dpop::header_names::DPOP;
use crate::dpop::server_role::ServerRole;
use crate::error::Error;
use crate::oauth::challenge;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::form_request::form_request;
use crate::oauth::http_client::RequestBody;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::response::{oauth_error, refuse_redirect};
use crate::oauth::step::Step;
use crate::url::Url;

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
/// let options = RequestOptions::new().prover(&Prover::new(KeyPair::generate(Algorithm::Es256)?)?);
///
/// let mut exchange =
///     TokenRequest::client_credentials(&server, &client, &auth, Parameters::new().scope("read"), &options)?;
/// let response = loop {
///     let request = exchange.request(SystemTime::now())?;
///     match exchange.receive(send(request), SystemTime::now())? {
///         Step::Retry => continue,
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
pub struct TokenRequest<'a> {
    server: &'a AuthorizationServer,
    client: &'a Client,
    auth: &'a ClientAuth,
    endpoint: &'a Url,
    fields: Vec<(String, Zeroizing<String>)>,
    proving: Option<ProofAttempts>,
    accept_bearer: bool,
    sent: u32,
}

impl<'a> TokenRequest<'a> {
    /// Checks everything that can be checked before a request is sent.
    pub(crate) fn new(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        fields: Vec<(String, Zeroizing<String>)>,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        let prover = options.prover.as_ref();
        auth.check(&server.supported("token_endpoint"), client, prover.map(Prover::thumbprint))?;
        let endpoint = server.token_endpoint(auth.uses_mtls_aliases(client));
        let proving = prover.map(|prover| -> Result<_, Error> {
            let alg = prover.name_at(server.dpop_algorithms())?;
            let proving = ProofAttempts::new(
                prover.clone(),
                ServerRole::AuthorizationServer,
                alg,
                Method::POST,
                endpoint.clone(),
            );
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
            return Ok(Step::Retry);
        }
        let (parts, body) = response.into_parts();
        Ok(Step::Done(TokenEndpointResponse {
            status: parts.status,
            headers: parts.headers,
            body: Zeroizing::new(body),
            requests: self.sent,
            jkt: self.proving.as_ref().map(|proving| proving.prover.thumbprint()),
            accept_bearer: self.accept_bearer,
            skew: self.proving.as_ref().and_then(ProofAttempts::skew).cloned(),
        }))
    }

    pub(crate) fn client(&self) -> &Client {
        self.client
    }

    pub(crate) fn doing(&self) -> String {
        let client_id = crate::text::printable(self.client.client_id(), 80);
        format!("asking {} for a token as {client_id}", self.endpoint)
    }
}

impl fmt::Debug for TokenRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest")
            .field("client", &self.client)
            .field("auth", &self.auth)
            .field("endpoint", &self.endpoint)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

impl<'a> TokenRequest<'a> {
    /// The client credentials grant (RFC 6749 §4.4).
    ///
    /// # Errors
    /// Whatever can be refused before anything is sent: [`Parameter`](ErrorKind::Parameter),
    /// [`AuthMethod`](ErrorKind::AuthMethod) and [`Algorithm`](ErrorKind::Algorithm).
    pub fn client_credentials(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        Self::new(server, client, auth, parameters.into_fields("client_credentials")?, options)
    }
}
