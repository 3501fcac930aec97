//! A client that keeps one live access token and makes calls with it.

mod agent;
mod body;
mod builder;
mod stats;
mod tokens;

use std::fmt;
use std::io::{Cursor, Read};
use std::sync::{Arc, RwLock, Weak};
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, header};

pub use self::body::Body;
use self::body::Payload;

pub use self::builder::SessionBuilder;
use self::stats::Counters;

pub use self::stats::Stats;
use self::tokens::{Deadline, Failure, Got, Key, Source, Token, Tokens};

use crate::client::client_credentials::process_client_credentials_response;
use crate::client::parameters::Parameters;
use crate::client::proof_target::ProofTarget;
use crate::client::prover::Prover;
use crate::client::request_options::RequestOptions;
use crate::client::request_target::RequestTarget;
use crate::client::resource_request::ResourceRequest;
use crate::client::token_request::{TokenRequest, requesting_token};
use crate::client::token_response::{TokenResponse, TokenType};
use crate::client::transport::{Limits, Transport};
use crate::dpop::header_names::{DPOP, DPOP_NONCE};
use crate::error::{Error, ErrorKind};
use crate::jose::signer::Signer;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::http_client::{HttpClient, RequestBody};
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::response::{self, ResponseFacts};
use crate::oauth::step::Step;
use crate::sync;
use crate::time::Clock;
use crate::url::{self, Url};

const MAX_DRAINED: u64 = 16 * 1024;
/// However servers answer, one call is not sent more often.
const MAX_SENT: u32 = 6;
/// An error body that could hold a challenge is not longer.
const MAX_ERROR_BODY: u64 = 64 * 1024;

/// Gets a DPoP-bound access token by the client credentials grant, keeps it live, and calls resources with it. Set up once and
/// shared by all threads, it can be left running for months.
///
/// Clones share token, key, nonces and connections.
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
///
/// # What it does by itself
///
/// - **The token** is fetched when it is first needed, by one thread while the others wait. Ahead of its end one calling
///   thread renews it while the others go on with it; there is no hidden thread. A 401 that says `invalid_token` makes the
///   session fetch another and call again, once.
/// - **An authorization server that fails** (429, 5xx, no connection) is asked up to five times, after pauses that grow and
///   are partly random, or as long as its `Retry-After` says, within the [`deadline`](SessionBuilder::deadline) of the
///   call. Each attempt has its own proof and assertion. Failures are not kept: the next call asks again, when the pause is
///   over.
/// - **Nonces** of both servers are learned from every response. A call whose proof is refused for want of a nonce is sent
///   once more.
/// - **Clocks**: when a proof is refused and the response's `Date` certainly differs from the clock here, the call is sent
///   once more, dated by the server's clock, and so are all later ones to that origin.
/// - **A connection that breaks** before any answer is replaced once, where the method is idempotent (RFC 9110 §9.2.2).
///
/// Every request of it has a proof of its own. Whatever a resource answers beside that is a response, error statuses and
/// redirects (never followed) included.
#[derive(Clone)]
pub struct Session {
    core: Arc<Core>,
    parameters: Arc<Parameters>,
    /// Their digest.
    asked: [u8; 32],
    deadline: Duration,
}

struct Core {
    server: AuthorizationServer,
    client: Client,
    auth: ClientAuth,
    /// The key in use: another may take its place.
    prover: RwLock<Prover>,
    transport: Transport,
    accept_bearer: bool,
    /// The origins that may be called; any, if nothing was said.
    origins: Option<Vec<Url>>,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
    counters: Counters,
}

impl Session {
    /// For a client of an authorization server, named by its issuer identifier. Say how the client authenticates
    /// ([`auth`](SessionBuilder::auth)), then [`discover`](SessionBuilder::discover) the server.
    pub fn builder(issuer: impl Into<String>, client_id: impl Into<String>) -> SessionBuilder {
        SessionBuilder::new(issuer.into(), client_id.into())
    }

    /// The same session for another token: its own scope, resource and further parameters, the same key, nonces and
    /// connections. Sessions with equal parameters share the token.
    ///
    /// # Errors
    /// [`Parameter`](ErrorKind::Parameter) for parameters that cannot be sent.
    pub fn with_parameters(&self, parameters: Parameters) -> Result<Self, Error> {
        let core = &self.core;
        let options = RequestOptions::new().prover(&self.prover());
        TokenRequest::client_credentials(
            &core.server,
            &core.client,
            &core.auth,
            parameters.clone(),
            &options,
        )?;
        Ok(Self { asked: parameters.digest(), parameters: Arc::new(parameters), ..self.clone() })
    }

    /// The same session with another [`deadline`](SessionBuilder::deadline) for its calls.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// Gets a resource.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn get(&self, url: &str) -> Result<Response<ureq::Body>, Error> {
        self.send(Outgoing::new(Method::GET, url))
    }

    /// Asks for the headers of a resource.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn head(&self, url: &str) -> Result<Response<ureq::Body>, Error> {
        self.send(Outgoing::new(Method::HEAD, url))
    }

    /// Deletes a resource.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn delete(&self, url: &str) -> Result<Response<ureq::Body>, Error> {
        self.send(Outgoing::new(Method::DELETE, url))
    }

    /// Posts a body of that media type to a resource.
    ///
    /// # Errors
    /// Those of [`run`](Self::run); [`Parameter`](ErrorKind::Parameter) when `content_type` cannot be a header.
    pub fn post(
        &self,
        url: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> Result<Response<ureq::Body>, Error> {
        self.send(Outgoing::new(Method::POST, url).with_body(content_type, &mut body.into())?)
    }

    /// Puts a body of that media type to a resource.
    ///
    /// # Errors
    /// Those of [`post`](Self::post).
    pub fn put(
        &self,
        url: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> Result<Response<ureq::Body>, Error> {
        self.send(Outgoing::new(Method::PUT, url).with_body(content_type, &mut body.into())?)
    }

    /// Patches a resource with a body of that media type.
    ///
    /// # Errors
    /// Those of [`post`](Self::post).
    pub fn patch(
        &self,
        url: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> Result<Response<ureq::Body>, Error> {
        self.send(Outgoing::new(Method::PATCH, url).with_body(content_type, &mut body.into())?)
    }

    /// Sends any request with the token and a proof (RFC 9449 §7), as often as [it does by itself](Self#what-it-does-by-itself).
    /// Whatever the resource answers is a response. A [`Body`] of bytes is sent again where that is needed; a stream is
    /// not, and the error says so. A [`ProofTarget`] in the request's extensions names another method and URL in the proof.
    ///
    /// # Errors
    /// Those of [`access_token`](Self::access_token); [`Url`](ErrorKind::Url) when the URL is not https, can be read in
    /// two ways, or is not of an origin that the session may call; [`Parameter`](ErrorKind::Parameter) when the request has a
    /// header that is made here (`Authorization`, `DPoP`) or by the HTTP client (`Host`, `Content-Length` …);
    /// [`BodySent`](ErrorKind::BodySent) for a stream that would have to be sent again; [`Algorithm`](ErrorKind::Algorithm)
    /// when the resource takes only proofs of others; [`Transport`](ErrorKind::Transport) and [`Timeout`](ErrorKind::Timeout).
    pub fn run(&self, request: Request<impl Into<Body>>) -> Result<Response<ureq::Body>, Error> {
        let (parts, body) = request.into_parts();
        let (url, mut body) = (parts.uri.to_string(), body.into());
        let proof_target = parts.extensions.get().cloned();
        let outgoing = Outgoing::new(parts.method, &url);
        self.send(Outgoing { headers: parts.headers, body: body.payload(), proof_target, ..outgoing })
    }

    /// Puts token and proof into the head of a request that another HTTP client sends, once and at once. Give the response to
    /// [`receive`](Self::receive).
    ///
    /// ```no_run
    /// # use http::request::Parts;
    /// # fn send(_: &Parts) -> http::Response<Vec<u8>> { http::Response::default() }
    /// # fn call(session: &possession::Session) -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut request, ()) = http::Request::get("https://api.example.com/orders").body(())?.into_parts();
    /// let response = loop {
    ///     session.authorize(&mut request)?;
    ///     let response = send(&request);
    ///     let (status, body) = (response.status(), Some(&response.body()[..]));
    ///     if session.receive(&mut request, status, response.headers(), body)? == possession::Step::Done(()) {
    ///         break response;
    ///     }
    /// };
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`run`](Self::run) before anything is sent.
    pub fn authorize(&self, request: &mut Parts) -> Result<(), Error> {
        let url = request.uri.to_string();
        // Whatever comes of this, what was sent before is not sent again.
        request.headers.remove(header::AUTHORIZATION);
        request.headers.remove(DPOP);
        check_host(&request.uri, &request.headers)?;
        let attempt = request.extensions.remove::<Attempt>();
        // Only what `receive` wants sent once more goes on with its token; another session's is not looked at.
        let goes_on = |attempt: &Attempt| {
            let same = attempt.call.target.method == request.method && attempt.url == url;
            attempt.again && attempt.is_of(self) && same
        };
        let mut call = match attempt.filter(goes_on) {
            Some(attempt) => attempt.call,
            None => {
                let proof_target = request.extensions.get().cloned();
                self.call(request.method.clone(), &url, proof_target)?
            }
        };
        if let Some((token, _)) = &call.at
            && !self.core.tokens.slot(&self.key_of(&token.prover)).holds(token)
        {
            call.at = None;
        }
        self.prove(&mut call, &mut request.headers, self.starting_now())?;
        let core = Arc::downgrade(&self.core);
        request.extensions.insert(Attempt { core, asked: self.asked, url, call, again: false });
        Ok(())
    }

    /// Takes what came back for a request that [`authorize`](Self::authorize) made ready: `true` says to authorize and send it
    /// once more. A body helps where a server refuses in JSON instead of the header.
    ///
    /// # Errors
    /// [`Algorithm`](ErrorKind::Algorithm) when the resource takes only proofs of others.
    pub fn receive(
        &self,
        request: &mut Parts,
        status: StatusCode,
        headers: &HeaderMap,
        body: Option<&[u8]>,
    ) -> Result<Step<()>, Error> {
        let attempt = request.extensions.remove::<Attempt>().filter(|attempt| attempt.is_of(self));
        let Some(mut attempt) = attempt else {
            return Ok(Step::Done(()));
        };
        let facts = ResponseFacts::from_resource(status, headers, body);
        attempt.again = self.learn(&mut attempt.call, &facts)?.is_some();
        if !attempt.again {
            return Ok(Step::Done(()));
        }
        self.core.counters.retries.add();
        request.extensions.insert(attempt);
        Ok(Step::Retry)
    }

    /// The access token that calls are made with: the one at hand while it lives, else a new one.
    ///
    /// # Errors
    /// Those of [`client_credentials_grant_request`](crate::client_credentials_grant_request) and
    /// [`process_client_credentials_response`]; [`Timeout`](ErrorKind::Timeout) and [`BackOff`](ErrorKind::BackOff) when
    /// there is none within the call's time.
    pub fn access_token(&self) -> Result<Arc<TokenResponse>, Error> {
        self.live_token(self.starting_now()).map(|token| token.response)
    }

    /// Lets go of the token at hand: the next call fetches a new one.
    pub fn discard_token(&self) {
        self.core.tokens.slot(&self.key_of(&self.prover())).forget(None);
    }

    /// Goes on with another key. The token for it is fetched first; meanwhile, and where that fails, calls go on with the
    /// old key and the token bound to it. Nonces and clocks that servers told stay known.
    ///
    /// # Errors
    /// [`Algorithm`](ErrorKind::Algorithm) when the server does not list the key's, [`AuthMethod`](ErrorKind::AuthMethod) when
    /// it is the key that client assertions are signed with, and those of [`access_token`](Self::access_token).
    pub fn rotate_key(&self, key: impl Signer + 'static) -> Result<(), Error> {
        let core = &*self.core;
        let prover = self.prover().with_key(key)?;
        self.token_for(&prover, self.starting_now())
            .inspect_err(|_| core.tokens.remove(&self.key_of(&prover)))?;
        let thumbprint = prover.thumbprint();
        *sync::write(&core.prover) = prover;
        core.tokens.keep_only(&thumbprint);
        log::info!("the session of {} goes on with the key {thumbprint}", core.shown_client());
        Ok(())
    }

    /// What happened so far, of all clones together.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let prover = self.prover();
        self.core.counters.read(prover.nonces_learned(), prover.clock_offsets())
    }

    /// The authorization server's metadata.
    #[must_use]
    pub fn server(&self) -> &AuthorizationServer {
        &self.core.server
    }

    /// The key in use, and what servers told.
    #[must_use]
    pub fn prover(&self) -> Prover {
        sync::read(&self.core.prover).clone()
    }

    fn starting_now(&self) -> Deadline {
        Deadline::after(self.deadline, &*self.core.clock)
    }

    /// Everything that can be refused before a token is fetched.
    fn call(&self, method: Method, url: &str, proof_target: Option<ProofTarget>) -> Result<Call, Error> {
        let core = &*self.core;
        if method == Method::CONNECT {
            let wrong = "a proof cannot be made for CONNECT";
            return Err(Error::new(ErrorKind::Parameter, "calling a resource", wrong));
        }
        let target = RequestTarget::from_resource_url(&core.server, method, url)?;
        let target = target.with_proof_target(proof_target);
        let uri = target.uri()?;
        if !core.may_call(&target.url) {
            let wrong = "its origin is not one of the `resource_origins` of this session";
            return Err(url::refused(ErrorKind::Url, "resource URL", url, wrong));
        }
        core.counters.calls.add();
        Ok(Call { target, uri, at: None, renewed: false, sent: 0 })
    }

    /// Puts token and proof into the headers.
    fn prove(&self, call: &mut Call, headers: &mut HeaderMap, deadline: Deadline) -> Result<(), Error> {
        let core = &*self.core;
        let at = match &mut call.at {
            Some(at) => at,
            none => {
                let token = self.live_token(deadline)?;
                let typed_token = token.response.typed_token().clone();
                let target = call.target.clone();
                let exchange = ResourceRequest::from_token(&core.server, &token.prover, typed_token, target)?;
                none.insert((token, exchange))
            }
        };
        call.sent = call.sent.saturating_add(1);
        at.1.authorize(headers, core.clock.now())
    }

    /// Takes a response: whether, and why, to send once more.
    fn learn(&self, call: &mut Call, facts: &ResponseFacts<'_>) -> Result<Option<Again>, Error> {
        let core = &*self.core;
        let Some((token, exchange)) = &mut call.at else {
            return Ok(None);
        };
        // A token, a nonce and a clock, and all that again with another token.
        let may_repeat = call.sent < MAX_SENT;
        if exchange.receive_facts(facts, core.clock.now())? == Step::Retry && may_repeat {
            return Ok(Some(Again::Proof));
        }
        // One that was fetched for this very call is kept: it may be good elsewhere.
        if !facts.refuses_token() || !may_repeat || call.renewed {
            return Ok(None);
        }
        core.tokens.slot(&self.key_of(&token.prover)).forget(Some(token));
        log::info!("{}: the token was refused, once more with a new one", exchange.calling());
        (call.renewed, call.at) = (true, None);
        Ok(Some(Again::Token))
    }

    fn send(&self, outgoing: Outgoing<'_>) -> Result<Response<ureq::Body>, Error> {
        let core = &*self.core;
        check_headers(&outgoing.headers)?;
        let Outgoing { method, url, headers, mut body, proof_target, ureq } = outgoing;
        let mut call = self.call(method, url, proof_target)?;
        let deadline = self.starting_now();
        let mut reconnected = false;
        loop {
            let mut request = Request::new(());
            *request.method_mut() = call.target.method.clone();
            *request.uri_mut() = call.uri.clone();
            *request.headers_mut() = headers.clone();
            self.prove(&mut call, request.headers_mut(), deadline)?;
            let limits = match &ureq {
                Some((agent, extensions)) => {
                    *request.extensions_mut() = extensions.clone();
                    Limits::Of(agent)
                }
                None => Limits::Within(deadline.remaining(&*core.clock)),
            };
            let response = match body.send(request, &core.transport, limits) {
                Ok(response) => response,
                Err(error) => {
                    let again =
                        error.is_lost_connection() && call.target.method.is_idempotent() && body.is_whole();
                    if again && !std::mem::replace(&mut reconnected, true) {
                        log::debug!(
                            "{}: the connection was lost, once more on another",
                            call.target.calling()
                        );
                        core.counters.retries.add();
                        continue;
                    }
                    core.counters.failures.add();
                    return Err(error.while_doing(call.target.calling()));
                }
            };
            let (parts, response_body) = response.into_parts();
            let mut facts = ResponseFacts::from_resource(parts.status, &parts.headers, None);
            let response_body = read_refusal(&mut facts, &parts.headers, response_body);
            match self.learn(&mut call, &facts)? {
                Some(again) if !body.is_whole() => {
                    core.counters.failures.add();
                    return Err(body_sent(&call, parts.status, again));
                }
                Some(_) => {
                    core.counters.retries.add();
                    drain(response_body);
                }
                None => return Ok(Response::from_parts(parts, response_body)),
            }
        }
    }

    fn live_token(&self, deadline: Deadline) -> Result<Token, Error> {
        self.token_for(&self.prover(), deadline)
    }

    fn token_for(&self, prover: &Prover, deadline: Deadline) -> Result<Token, Error> {
        let core = &*self.core;
        let slot = core.tokens.slot(&self.key_of(prover));
        let token = core.tokens.live(&slot, &Grant { core, parameters: &self.parameters, prover }, deadline);
        token.inspect_err(|_| core.counters.failures.add())
    }

    fn key_of(&self, prover: &Prover) -> Key {
        Key { parameters: self.asked, jkt: prover.thumbprint() }
    }
}

impl Core {
    fn may_call(&self, target: &Url) -> bool {
        match &self.origins {
            Some(origins) => origins.iter().any(|origin| origin.origin() == target.origin()),
            None => true,
        }
    }

    fn shown_client(&self) -> String {
        crate::text::printable(self.client.client_id(), 80)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("server", &self.core.server)
            .field("client", &self.core.client)
            .field("auth", &self.core.auth)
            .field("prover", &self.prover())
            .finish_non_exhaustive()
    }
}

/// What is to be sent.
struct Outgoing<'a> {
    method: Method,
    url: &'a str,
    headers: HeaderMap,
    body: Payload<'a>,
    proof_target: Option<ProofTarget>,
    /// For a request that came by way of an agent: whose configuration holds, and its own.
    ureq: Option<(&'a ureq::Agent, Extensions)>,
}

impl<'a> Outgoing<'a> {
    fn new(method: Method, url: &'a str) -> Self {
        let (headers, body) = (HeaderMap::new(), Payload::Bytes(&[]));
        Self { method, url, headers, body, proof_target: None, ureq: None }
    }

    fn with_body(mut self, content_type: &str, body: &'a mut Body) -> Result<Self, Error> {
        let content_type = content_type.parse().map_err(|_| {
            Error::new(ErrorKind::Parameter, "calling a resource", "the content type is not a header value")
        })?;
        self.headers.insert(header::CONTENT_TYPE, content_type);
        Ok(Self { body: body.payload(), ..self })
    }
}

/// One call, however often it is sent.
#[derive(Clone)]
struct Call {
    target: RequestTarget,
    /// What is sent of it.
    uri: http::Uri,
    /// The token in use, and the proofs for it.
    at: Option<(Token, ResourceRequest)>,
    renewed: bool,
    sent: u32,
}

/// Why a call is sent once more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Proof,
    Token,
}

/// Where a call stands that another HTTP client sends, kept with its request.
#[derive(Clone)]
struct Attempt {
    /// Whose it is.
    core: Weak<Core>,
    asked: [u8; 32],
    /// As the request has it.
    url: String,
    call: Call,
    /// Whether it is to be sent once more.
    again: bool,
}

impl Attempt {
    fn is_of(&self, session: &Session) -> bool {
        std::ptr::eq(self.core.as_ptr(), Arc::as_ptr(&session.core)) && self.asked == session.asked
    }
}

/// Requests for one token.
struct Grant<'a> {
    core: &'a Core,
    parameters: &'a Parameters,
    prover: &'a Prover,
}

impl Source for Grant<'_> {
    fn prover(&self) -> &Prover {
        self.prover
    }

    fn fetch(&self, deadline: Deadline) -> Result<TokenResponse, Failure> {
        let core = self.core;
        let options = RequestOptions::new().prover(self.prover);
        let options = if core.accept_bearer { options.dangerous_accept_bearer() } else { options };
        let parameters = self.parameters.clone();
        let asking = || {
            let exchange = TokenRequest::client_credentials(
                &core.server,
                &core.client,
                &core.auth,
                parameters,
                &options,
            )?;
            exchange.run_with_clock(&Timed { core, deadline }, &|| core.clock.now())
        };
        let response = asking().map_err(|error| {
            // The call's own end says nothing of the server.
            let cut_short = *error.kind() == ErrorKind::Timeout && deadline.remaining(&*core.clock).is_zero();
            Failure { error, retry_after: None, cut_short }
        })?;
        core.counters.retries.add_all(response.requests().saturating_sub(1));
        let retry_after = retry_after(response.headers(), core.clock.now());
        process_client_credentials_response(&core.server, &core.client, response).map_err(|error| Failure {
            error,
            retry_after,
            cut_short: false,
        })
    }

    fn doing(&self) -> String {
        requesting_token(self.core.server.issuer(), &self.core.client)
    }

    fn got(&self, how: Got, token: &Token) {
        let counters = &self.core.counters;
        counters.tokens.add();
        if how == Got::Renewed {
            counters.renewals.add();
        }
        let life = match token.response.expires_in() {
            Some(life) => format!("for {} s", life.as_secs()),
            None => "without an end".to_owned(),
        };
        let (issuer, client) = (self.core.server.issuer(), self.core.shown_client());
        let token_type = token.response.token_type();
        log::info!("{issuer} gave {client} a {token_type} token {life}");
        if token_type == TokenType::Bearer {
            log::warn!("the token of {client} is not bound to a key: whoever steals it can use it");
        }
    }
}

/// The transport, with no more time than the call has.
struct Timed<'a> {
    core: &'a Core,
    deadline: Deadline,
}

impl HttpClient for Timed<'_> {
    fn send(&self, request: Request<RequestBody>) -> Result<Response<Vec<u8>>, Error> {
        self.core.counters.token_requests.add();
        self.core.transport.send_within(request, self.deadline.remaining(&*self.core.clock))
    }

    fn has_client_certificate(&self) -> Option<bool> {
        self.core.transport.has_client_certificate()
    }
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    // The server's own clock says how far away that is.
    Some(date.duration_since(response::date(headers).unwrap_or(now)).unwrap_or_default())
}

fn body_sent(call: &Call, status: StatusCode, again: Again) -> Error {
    let (wants, known) = match again {
        Again::Proof => ("another proof", "what it asks for is known now"),
        Again::Token => ("another token", "the old one is let go"),
    };
    let wrong = format!(
        "the server answered {} and wants {wants}, but the body is a stream that was sent already: call again with a new one \
         ({known}), or give the body as bytes",
        status.as_u16()
    );
    Error::new(ErrorKind::BodySent { status: status.as_u16() }, call.target.calling(), wrong)
}

/// Reads the body of a refusal whose headers do not name the error, and returns it for the caller.
fn read_refusal(facts: &mut ResponseFacts<'_>, headers: &HeaderMap, body: ureq::Body) -> ureq::Body {
    let is_short = body.content_length().is_some_and(|length| length <= MAX_DRAINED);
    if !(facts.needs_body() && (headers.contains_key(DPOP_NONCE) || is_short)) {
        return body;
    }
    let mut reader = body.into_reader();
    let mut start = Vec::new();
    let read = reader.by_ref().take(MAX_ERROR_BODY).read_to_end(&mut start);
    facts.read_body(&start);
    match read {
        Ok(_) => ureq::Body::builder().reader(Cursor::new(start).chain(reader)),
        // Status and headers are there all the same; who reads the body meets the error where it stands.
        Err(error) => ureq::Body::builder().reader(Cursor::new(start).chain(Broken(Some(error)))),
    }
}

/// The rest of a body that broke off.
struct Broken(Option<std::io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// A host that is not the URL's would make the server see another origin than the proof names.
fn check_host(uri: &http::Uri, headers: &HeaderMap) -> Result<(), Error> {
    let own = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    match headers
        .get_all(header::HOST)
        .iter()
        .all(|host| own.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
    {
        true => Ok(()),
        false => {
            let wrong = "the header `host` is not that of the URL";
            Err(Error::new(ErrorKind::Parameter, "calling a resource", wrong))
        }
    }
}

/// What would make the server see another request than the proof names, or a second credential.
fn check_headers(headers: &HeaderMap) -> Result<(), Error> {
    let wrong = |wrong: String| Err(Error::new(ErrorKind::Parameter, "calling a resource", wrong));
    for name in [header::AUTHORIZATION, DPOP] {
        if headers.contains_key(&name) {
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
fn drain(body: ureq::Body) {
    if body.content_length().is_none_or(|length| length > MAX_DRAINED) {
        return;
    }
    let body = body.into_with_config().limit(MAX_DRAINED);
    if let Err(error) = body.read_to_vec() {
        log::debug!("reading the rest of a refusal: {error}");
    }
}
