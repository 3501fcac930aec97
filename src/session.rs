//! A client that keeps one live access token and makes calls with it.

use std::fmt;
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::challenge;
use crate::client::{Client, ClientAuth};
use crate::error::{Error, ErrorKind};
use crate::exchange::{Exchange, Options, ResourceExchange};
use crate::grant::{
    Parameters, TokenResponse, client_credentials_grant_request, process_client_credentials_response,
};
use crate::key::{KeyPair, Signer};
use crate::metadata::{AuthorizationServer, Discovery};
use crate::prover::Prover;
use crate::transport::Transport;
use crate::url::Http;
use crate::wire::{is_json, is_refusal};

/// A token is not used in the last seconds of its life: it must still be valid when it arrives.
const LEEWAY: Duration = Duration::from_secs(10);
const MAX_DRAINED: u64 = 16 * 1024;
/// An error body that could hold a nonce challenge is not longer.
const MAX_ERROR_BODY: u64 = 64 * 1024;

/// Gets a DPoP-bound access token by the client credentials grant, keeps it until it expires, and calls resources with it.
///
/// Clones share token, key and connections; any number of threads may use one.
///
/// ```no_run
/// use possession::{Algorithm, ClientAuth, KeyPair, Session};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let session = Session::builder("https://as.example.com", "my-client")
///     .auth(ClientAuth::client_secret_basic(std::env::var("CLIENT_SECRET")?))
///     .key(KeyPair::generate(Algorithm::Es256)?)
///     .scope("orders:read")
///     .discover()?;
/// let orders = session.get("https://api.example.com/orders")?.body_mut().read_to_string()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    server: AuthorizationServer,
    client: Client,
    auth: ClientAuth,
    parameters: Parameters,
    prover: Prover,
    transport: Transport,
    /// Held while a token is fetched, so that threads that need one wait for the one request.
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    response: Arc<TokenResponse>,
    /// From when on it is not used any more.
    end: Option<SystemTime>,
}

/// Sets up a [`Session`].
#[must_use]
pub struct SessionBuilder {
    issuer: String,
    client_id: String,
    auth: ClientAuth,
    prover: Option<Result<Prover, Error>>,
    parameters: Parameters,
    transport: Transport,
    endpoint_hosts: Option<Vec<String>>,
    http: Http,
}

impl Session {
    /// For a client of an authorization server, named by its issuer identifier. Say how the client authenticates
    /// ([`auth`](SessionBuilder::auth)), then [`discover`](SessionBuilder::discover) the server.
    pub fn builder(issuer: impl Into<String>, client_id: impl Into<String>) -> SessionBuilder {
        SessionBuilder {
            issuer: issuer.into(),
            client_id: client_id.into(),
            auth: ClientAuth::none(),
            prover: None,
            parameters: Parameters::new(),
            transport: Transport::new(),
            endpoint_hosts: None,
            http: Http::Refused,
        }
    }

    /// Gets a resource.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn get(&self, url: &str) -> Result<Response<ureq::Body>, Error> {
        self.send(Method::GET, url, HeaderMap::new(), Vec::new())
    }

    /// Posts a body of that media type to a resource.
    ///
    /// # Errors
    /// Those of [`run`](Self::run); [`Parameter`](ErrorKind::Parameter) when `content_type` cannot be a header.
    pub fn post(
        &self,
        url: &str,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> Result<Response<ureq::Body>, Error> {
        let content_type = content_type.parse().map_err(|_| {
            Error::new(ErrorKind::Parameter, "calling a resource", "the content type is not a header value")
        })?;
        self.send(
            Method::POST,
            url,
            HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]),
            body.into(),
        )
    }

    /// Sends any request with the token and a proof (RFC 9449 §7), and once more when the resource server asks for a
    /// nonce (§9). Whatever the resource answers is a response, error statuses and redirects (never followed) included. A
    /// 401 that says `invalid_token` also makes the next call fetch a new token.
    ///
    /// # Errors
    /// Those of [`access_token`](Self::access_token); [`Url`](ErrorKind::Url) when the URL is not https or can be read in
    /// two ways; [`Parameter`](ErrorKind::Parameter) when the request has a header that is made here (`Authorization`, `DPoP`) or by
    /// the HTTP client (`Host`, `Content-Length` …);
    /// [`Transport`](ErrorKind::Transport) and [`Timeout`](ErrorKind::Timeout).
    pub fn run(&self, request: Request<impl Into<Vec<u8>>>) -> Result<Response<ureq::Body>, Error> {
        let (parts, body) = request.into_parts();
        self.send(parts.method, &parts.uri.to_string(), parts.headers, body.into())
    }

    fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response<ureq::Body>, Error> {
        check_request(&method, &headers)?;
        let this = &*self.0;
        // The URL is looked at before a token is fetched for it.
        let exchange = |token| ResourceExchange::sharing(&this.server, &this.prover, token, &method, url);
        let uri = exchange(Arc::new(Zeroizing::new("-".to_owned())))?.uri()?;
        let token = self.live_token()?;
        let mut exchange = exchange(token.response.shared_access_token())?;
        loop {
            let mut request = Request::new(&*body);
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            exchange.authorize(request.headers_mut(), SystemTime::now())?;
            let response = match body.is_empty() && !may_have_body(&method) {
                true => this.transport.run(request.map(|_| ())),
                false => this.transport.run(request),
            };
            let response = response.map_err(|error| error.while_doing(exchange.doing()))?;
            let (response, error_body) = read_refusal(response);
            if exchange.receive(response.status(), response.headers(), error_body.as_deref()) {
                drain(response);
                continue;
            }
            if response.status() == StatusCode::UNAUTHORIZED
                && challenge::dpop_errors(response.headers()).iter().any(|error| error == "invalid_token")
            {
                self.forget(&token);
            }
            return Ok(response);
        }
    }

    /// The access token that calls are made with: the one at hand while it lives, else a new one.
    ///
    /// # Errors
    /// Those of [`client_credentials_grant_request`] and [`process_client_credentials_response`].
    pub fn access_token(&self) -> Result<Arc<TokenResponse>, Error> {
        self.live_token().map(|token| token.response)
    }

    fn live_token(&self) -> Result<Token, Error> {
        let this = &*self.0;
        let mut kept = this.token.lock().unwrap_or_else(PoisonError::into_inner);
        // Not before: another thread may have fetched one meanwhile, and that may have taken long.
        let now = SystemTime::now();
        if let Some(token) = kept.as_ref().filter(|token| token.end.is_none_or(|end| now < end)) {
            return Ok(token.clone());
        }
        *kept = None;
        let options = Options::new().prover(&this.prover).http(&this.transport);
        let parameters = this.parameters.clone();
        let response =
            client_credentials_grant_request(&this.server, &this.client, &this.auth, parameters, &options)?;
        let response = process_client_credentials_response(&this.server, &this.client, response)?;
        // Counted from before the request, since the server counts from before its response.
        let life = response.expires_in().map(|life| life.saturating_sub(LEEWAY.min(life / 2)));
        let token = Token { response: Arc::new(response), end: life.and_then(|life| now.checked_add(life)) };
        *kept = Some(token.clone());
        Ok(token)
    }

    /// Lets go of the token at hand: the next call fetches a new one.
    pub fn forget_token(&self) {
        *self.0.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Lets go of that token, unless another thread has replaced it already.
    fn forget(&self, token: &Token) {
        let mut kept = self.0.token.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_some_and(|kept| Arc::ptr_eq(&kept.response, &token.response)) {
            *kept = None;
        }
    }

    /// The authorization server's metadata.
    #[must_use]
    pub fn server(&self) -> &AuthorizationServer {
        &self.0.server
    }

    /// The key and the nonces.
    #[must_use]
    pub fn prover(&self) -> &Prover {
        &self.0.prover
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("server", &self.0.server)
            .field("client", &self.0.client)
            .field("auth", &self.0.auth)
            .field("prover", &self.0.prover)
            .finish_non_exhaustive()
    }
}

impl SessionBuilder {
    /// How the client authenticates. Without it: [`ClientAuth::none`], which few servers take in this grant.
    pub fn auth(self, auth: ClientAuth) -> Self {
        Self { auth, ..self }
    }

    /// The proof-of-possession key: a [`KeyPair`] or any other [`Signer`]. Without it, a new one is generated for the
    /// session.
    pub fn key(self, key: impl Signer + 'static) -> Self {
        Self { prover: Some(Prover::new(key)), ..self }
    }

    /// The same, sharing the nonces of a prover that others use too.
    pub fn prover(self, prover: &Prover) -> Self {
        Self { prover: Some(Ok(prover.clone())), ..self }
    }

    /// The scope to ask for, as in [`Parameters::scope`].
    pub fn scope(self, scope: impl Into<String>) -> Self {
        Self { parameters: self.parameters.scope(scope), ..self }
    }

    /// A resource the token is for, as in [`Parameters::resource`].
    pub fn resource(self, uri: impl Into<String>) -> Self {
        Self { parameters: self.parameters.resource(uri), ..self }
    }

    /// Any further parameter of the token request, as in [`Parameters::parameter`].
    pub fn parameter(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { parameters: self.parameters.parameter(name, value), ..self }
    }

    /// How requests are sent: CAs, client certificate, proxy, timeouts.
    pub fn transport(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// Refuses metadata with an endpoint on another host than the issuer's and these.
    pub fn endpoint_hosts<S: Into<String>>(self, hosts: impl IntoIterator<Item = S>) -> Self {
        Self { endpoint_hosts: Some(hosts.into_iter().map(Into::into).collect()), ..self }
    }

    /// Allows plain http for the authorization server and for resources whose host is `localhost`, `127.0.0.0/8` or
    /// `[::1]`. For tests on one machine: whoever can listen there can read tokens and secrets.
    pub fn dangerous_allow_http_on_loopback(self) -> Self {
        Self { http: Http::OnLoopback, ..self }
    }

    /// Fetches the server's metadata. The token is fetched when it is first needed.
    ///
    /// # Errors
    /// Those of [`AuthorizationServer::discover`] and of [`server`](Self::server).
    pub fn discover(self) -> Result<Session, Error> {
        let mut discovery = Discovery::at(&self.issuer, self.http)?;
        if let Some(hosts) = &self.endpoint_hosts {
            discovery = discovery.endpoint_hosts(hosts);
        }
        let server = discovery.run(&self.transport)?;
        self.server(server)
    }

    /// Uses metadata that are at hand. Their issuer takes the place of the builder's, and plain http is allowed where they
    /// allow it.
    ///
    /// # Errors
    /// [`Parameter`](ErrorKind::Parameter), [`AuthMethod`](ErrorKind::AuthMethod) and
    /// [`Algorithm`](ErrorKind::Algorithm) for what the builder was given.
    pub fn server(self, server: AuthorizationServer) -> Result<Session, Error> {
        let prover = match self.prover {
            Some(prover) => prover?,
            None => Prover::new(KeyPair::generate(preferred_algorithm(&server))?)?,
        };
        let client = Client::new(self.client_id)?;
        // What can be refused before a request is sent is refused now, not in the first call.
        let options = Options::new().prover(&prover);
        Exchange::client_credentials(&server, &client, &self.auth, self.parameters.clone(), &options)?;
        Ok(Session(Arc::new(Inner {
            client,
            server,
            auth: self.auth,
            parameters: self.parameters,
            prover,
            transport: self.transport,
            token: Mutex::new(None),
        })))
    }
}

impl fmt::Debug for SessionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBuilder")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

fn preferred_algorithm(server: &AuthorizationServer) -> Algorithm {
    let listed = server.dpop_algorithms();
    let candidates = [Algorithm::Es256, Algorithm::Ed25519];
    candidates
        .into_iter()
        .find(|algorithm| algorithm.name_for(listed, None).is_some())
        .unwrap_or(Algorithm::Es256)
}

fn may_have_body(method: &Method) -> bool {
    !matches!(
        *method,
        Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE | Method::CONNECT
    )
}

/// Reads the body of a refusal whose headers do not say which, and puts it back for the caller.
fn read_refusal(response: Response<ureq::Body>) -> (Response<ureq::Body>, Option<Vec<u8>>) {
    let candidate = is_refusal(response.status())
        && response.headers().contains_key("dpop-nonce")
        && challenge::dpop_errors(response.headers()).is_empty()
        && is_json(response.headers());
    if !candidate {
        return (response, None);
    }
    let (parts, body) = response.into_parts();
    let mut reader = body.into_reader();
    let mut start = Vec::new();
    let body = match reader.by_ref().take(MAX_ERROR_BODY).read_to_end(&mut start) {
        Ok(_) => ureq::Body::builder().reader(Cursor::new(start.clone()).chain(reader)),
        // Status and headers are there all the same; who reads the body meets the error where it stands.
        Err(error) => ureq::Body::builder().reader(Cursor::new(start.clone()).chain(Broken(Some(error)))),
    };
    (Response::from_parts(parts, body), Some(start))
}

/// The rest of a body that broke off.
struct Broken(Option<std::io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// What would make the server see another request than the proof names, or a second credential.
fn check_request(method: &Method, headers: &HeaderMap) -> Result<(), Error> {
    let wrong = |wrong: String| Err(Error::new(ErrorKind::Parameter, "calling a resource", wrong));
    if *method == Method::CONNECT {
        return wrong("a proof cannot be made for CONNECT".to_owned());
    }
    for name in ["authorization", "dpop"] {
        if headers.contains_key(name) {
            return wrong(format!(
                "the request has a header `{name}` already, and there must be one, made here"
            ));
        }
    }
    let set_here =
        ["host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "proxy-authorization"];
    match set_here.into_iter().find(|name| headers.contains_key(*name)) {
        Some(name) => wrong(format!("the header `{name}` is set by the HTTP client alone")),
        None => Ok(()),
    }
}

/// A body that was read to its end gives its connection back. What is long or of unknown length costs more than a new
/// connection.
fn drain(response: Response<ureq::Body>) {
    if response.body().content_length().is_none_or(|length| length > MAX_DRAINED) {
        return;
    }
    let body = response.into_body().into_with_config().limit(MAX_DRAINED);
    if let Err(error) = body.read_to_vec() {
        log::debug!("reading the rest of a refusal: {error}");
    }
}
