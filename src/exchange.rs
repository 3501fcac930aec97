//! Exchanges without I/O: each hands out a request and takes in a response, and says whether it is done or wants to send
//! again. The one place where a request may be repeated.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use zeroize::Zeroizing;

use crate::challenge;
use crate::client::{Client, ClientAuth};
use crate::error::{Error, ErrorKind};
use crate::metadata::AuthorizationServer;
use crate::proof::{Proof, check_method, is_token68};
use crate::prover::{Learned, Part, Prover};
use crate::public_key::Thumbprint;
use crate::url::{self, Url};
use crate::wire::{
    HttpClient, RequestBody, Step, form_request, is_refusal, oauth_error, parse_oauth_error, refuse_redirect,
};

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
}

impl TokenEndpointResponse {
    fn new(
        response: http::Response<Vec<u8>>,
        requests: u32,
        jkt: Option<Thumbprint>,
        accept_bearer: bool,
    ) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: Zeroizing::new(body),
            requests,
            jkt,
            accept_bearer,
        }
    }

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

    /// How many requests were sent for it: 2 when the server asked for a nonce.
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

/// One request to a token endpoint, retried once when the server asks for a nonce.
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
///     match exchange.receive(send(request))? {
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
            Ok(Proving::new(prover.clone(), Part::AuthorizationServer, alg, Method::POST, endpoint.clone()))
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
    /// [`Clock`](ErrorKind::Clock), [`Random`](ErrorKind::Random) and [`Signer`](ErrorKind::Signer).
    pub fn request(&mut self, now: SystemTime) -> Result<Request<RequestBody>, Error> {
        self.build(now).map_err(|error| error.while_doing(self.doing()))
    }

    fn build(&mut self, now: SystemTime) -> Result<Request<RequestBody>, Error> {
        let supported = self.server.supported("token_endpoint");
        let credentials = self.auth.credentials(&supported, self.client, now)?;
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
    /// `use_dpop_nonce` challenge with a nonce that was not just sent wants one more request; everything else is done.
    ///
    /// # Errors
    /// [`Redirect`](ErrorKind::Redirect): nothing is sent where a redirect points.
    pub fn receive(
        &mut self,
        response: http::Response<Vec<u8>>,
    ) -> Result<Step<TokenEndpointResponse>, Error> {
        let status = response.status();
        log::debug!("{}: status {}", self.doing(), status.as_u16());
        let learned =
            self.proving.as_mut().map_or(Learned::Nothing, |proving| proving.learn(response.headers()));
        refuse_redirect(status, self.doing())?;
        if let Some(proving) = &mut self.proving {
            // The JSON error decides; where there is none, the header does.
            let challenged = match oauth_error(&response) {
                Some(error) => error.error() == USE_DPOP_NONCE,
                None => {
                    challenge::dpop_errors(response.headers()).iter().any(|error| error == USE_DPOP_NONCE)
                }
            };
            if is_refusal(status) && challenged && proving.retry_with(learned) {
                log::debug!("{}: once more with the server's nonce", self.doing());
                return Ok(Step::SendAgain);
            }
        }
        let jkt = self.proving.as_ref().map(|proving| proving.prover.thumbprint());
        Ok(Step::Done(TokenEndpointResponse::new(response, self.sent, jkt, self.accept_bearer)))
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

/// One request to a protected resource, with its access token and proof (RFC 9449 §7), retried once when the resource
/// server asks for a nonce.
///
/// [`run`](Self::run) drives it over an [`HttpClient`]; with another HTTP client:
///
/// ```
/// use std::time::SystemTime;
/// use possession::{AuthorizationServer, Prover, ResourceExchange};
///
/// # fn send(_: &http::Uri, _: &http::HeaderMap) -> http::Response<Vec<u8>> { http::Response::new(Vec::new()) }
/// # fn call(server: &AuthorizationServer, prover: &Prover, access_token: &str) -> Result<(), possession::Error> {
/// let url = "https://api.example.com/orders";
/// let mut exchange = ResourceExchange::new(server, prover, access_token, &http::Method::GET, url)?;
/// let response = loop {
///     let mut headers = http::HeaderMap::new();
///     exchange.authorize(&mut headers, SystemTime::now())?;
///     let response = send(&exchange.uri()?, &headers);
///     if !exchange.receive(response.status(), response.headers(), Some(response.body())) {
///         break response;
///     }
/// };
/// # Ok(()) }
/// ```
pub struct ResourceExchange {
    proving: Proving,
}

impl ResourceExchange {
    /// For a request that will go to `url` with a token that `server` bound to the prover's key. The metadata say which
    /// algorithms are known there, and whether plain http is allowed on loopback.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url), [`Parameter`](ErrorKind::Parameter) and [`Algorithm`](ErrorKind::Algorithm).
    pub fn new(
        server: &AuthorizationServer,
        prover: &Prover,
        access_token: &str,
        method: &Method,
        url: &str,
    ) -> Result<Self, Error> {
        Self::sharing(server, prover, Arc::new(Zeroizing::new(access_token.to_owned())), method, url)
    }

    pub(crate) fn sharing(
        server: &AuthorizationServer,
        prover: &Prover,
        access_token: Arc<Zeroizing<String>>,
        method: &Method,
        url: &str,
    ) -> Result<Self, Error> {
        let target = Url::target(url, server.http())
            .map_err(|why| url::refused(ErrorKind::Url, "resource URL", url, why))?;
        check_method(method.as_str())?;
        if !is_token68(&access_token) {
            let wrong = "it has characters that the DPoP scheme cannot carry (RFC 9449 §7.1)";
            return Err(Error::new(ErrorKind::Parameter, "taking an access token", wrong));
        }
        let alg = prover.name_at(server.dpop_algorithms())?;
        let mut proving = Proving::new(prover.clone(), Part::ResourceServer, alg, method.clone(), target);
        proving.access_token = Some(access_token);
        Ok(Self { proving })
    }

    /// Sends `request` over an HTTP client: method and URL are this exchange's, headers and body are kept, and it is
    /// sent once more when the server asks for a nonce. Whatever the resource answers is a response.
    ///
    /// # Errors
    /// Those of [`authorize`](Self::authorize) and of the HTTP client.
    pub fn run(
        &mut self,
        request: &Request<RequestBody>,
        http: &dyn HttpClient,
    ) -> Result<http::Response<Vec<u8>>, Error> {
        loop {
            let mut request = request.clone();
            *request.method_mut() = self.proving.method.clone();
            *request.uri_mut() = self.uri()?;
            self.authorize(request.headers_mut(), SystemTime::now())?;
            let response = http.send(request).map_err(|error| error.while_doing(self.doing()))?;
            if !self.receive(response.status(), response.headers(), Some(response.body())) {
                return Ok(response);
            }
        }
    }

    /// The URL to send to, which is what the proof names.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) when an HTTP client would not take it.
    pub fn uri(&self) -> Result<http::Uri, Error> {
        let url = &self.proving.url;
        url.to_uri().map_err(|why| url::refused(ErrorKind::Url, "resource URL", &url.htu(), why))
    }

    /// Puts `Authorization: DPoP …` and a new proof into the headers, in place of what stands there. Send the request
    /// once and at once.
    ///
    /// # Errors
    /// [`Clock`](ErrorKind::Clock), [`Random`](ErrorKind::Random) and [`Signer`](ErrorKind::Signer).
    pub fn authorize(&mut self, headers: &mut HeaderMap, now: SystemTime) -> Result<(), Error> {
        let proof = self.proving.prove(now).map_err(|error| error.while_doing(self.doing()))?;
        let token = self.proving.access_token.as_deref().map(|token| token.as_str()).unwrap_or_default();
        let value = Zeroizing::new(format!("DPoP {token}"));
        headers.insert(header::AUTHORIZATION, sensitive(&value)?);
        headers.insert(DPOP, proof);
        Ok(())
    }

    /// Takes status and headers of the response: the nonce is kept, and `true` says that the request should be
    /// authorized and sent once more with it. A body is looked at only where it is given and the headers say nothing.
    pub fn receive(&mut self, status: StatusCode, headers: &HeaderMap, body: Option<&[u8]>) -> bool {
        let learned = self.proving.learn(headers);
        if !is_refusal(status) {
            return false;
        }
        let errors = challenge::dpop_errors(headers);
        let challenged =
            match body.filter(|_| errors.is_empty()).and_then(|body| parse_oauth_error(status, body)) {
                Some(error) => error.error() == USE_DPOP_NONCE,
                None => errors.iter().any(|error| error == USE_DPOP_NONCE),
            };
        let again = challenged && self.proving.retry_with(learned);
        if again {
            log::debug!("{}: once more with the server's nonce", self.doing());
        }
        again
    }

    pub(crate) fn doing(&self) -> String {
        format!("calling {} {}", self.proving.method, self.proving.url)
    }
}

impl fmt::Debug for ResourceExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceExchange")
            .field("method", &self.proving.method)
            .field("url", &self.proving.url)
            .finish_non_exhaustive()
    }
}

const DPOP: HeaderName = HeaderName::from_static("dpop");
const USE_DPOP_NONCE: &str = "use_dpop_nonce";

/// The proofs of one request: what they say, which nonce was sent, whether the one retry is spent.
struct Proving {
    prover: Prover,
    part: Part,
    alg: &'static str,
    method: Method,
    url: Url,
    access_token: Option<Arc<Zeroizing<String>>>,
    nonce: Option<Arc<str>>,
    retried: bool,
}

impl Proving {
    fn new(prover: Prover, part: Part, alg: &'static str, method: Method, url: Url) -> Self {
        Self { prover, part, alg, method, url, access_token: None, nonce: None, retried: false }
    }

    fn prove(&mut self, now: SystemTime) -> Result<HeaderValue, Error> {
        if !self.retried {
            self.nonce = self.prover.nonce_of(self.part, self.url.origin());
        }
        let mut proof = Proof::of(self.method.as_str(), &self.url);
        if let Some(token) = &self.access_token {
            proof = proof.access_token(token);
        }
        if let Some(nonce) = &self.nonce {
            proof = proof.nonce(&**nonce);
        }
        sensitive(&self.prover.sign(&proof, self.alg, now)?)
    }

    fn learn(&mut self, headers: &HeaderMap) -> Learned {
        self.prover.learn_from(self.part, self.url.origin(), headers)
    }

    /// After a challenge: whether to send once more. Only with a nonce that came with it and is not the one just sent.
    fn retry_with(&mut self, learned: Learned) -> bool {
        match learned {
            Learned::Nonce(nonce) if !self.retried && self.nonce.as_ref() != Some(&nonce) => {
                self.nonce = Some(nonce);
                self.retried = true;
                true
            }
            _ => false,
        }
    }
}

/// A header value that `Debug` does not show.
fn sensitive(value: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        Error::new(
            ErrorKind::Parameter,
            "writing a header",
            "the value has characters that no header can carry",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}
