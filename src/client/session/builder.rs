//! Setting up a session.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::deadline::Deadline;
#[cfg(feature = "ureq")]
use super::expect_continue::UnsupportedOrigins;
use super::grant::{Grant, Source};
use super::opened_session::{Opened, Start};
use super::persistence;
use super::startup;
use super::stats::Counters;
use super::token_cache::{CacheKey, TokenCache};
use super::token_issuer::{TokenGrant, TokenIssuer};
use super::{Core, Session};
use crate::client::grants::token_response::{TokenResponse, TokenType};
use crate::client::parameters::Parameters;
use crate::client::proofs::prover::Prover;
use crate::client::session_store::SessionStore;
use crate::client::session_store::stored_session::StoredMetadata;
#[cfg(feature = "ureq")]
use crate::client::transport::Transport;
use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::Algorithm;
use crate::jose::backend;
use crate::jose::key_pair::KeyPair;
use crate::jose::signer::Signer;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::discovery::{Discovery, MetadataLocation};
use crate::oauth::http_client::HttpClient;
use crate::oauth::metadata::AuthorizationServer;
use crate::sync::RwLock;
use crate::sync::atomic::AtomicBool;
use crate::text::printable;
use crate::time::{Clock, SystemClock, unix_seconds};
use crate::url::{self, PlainHttp, Url};

/// How long before it expires a token is renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// How long stored metadata are used before they are fetched again.
const METADATA_AGE: Duration = Duration::from_secs(3600);
/// How long they are used if the server cannot be reached.
const MAX_METADATA_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long fetching them again may take.
const METADATA_ATTEMPT: Duration = Duration::from_secs(5);
/// The default deadline of a call.
#[cfg(not(feature = "ureq"))]
const DEADLINE: Duration = Duration::from_secs(60);

/// Sets up a [`Session`].
///
/// ```no_run
/// use std::time::Duration;
/// use possession::{ClientAuth, KeyPair, Session};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let session = Session::builder("https://as.example.com", "my-client")
///     .auth(ClientAuth::private_key_jwt(KeyPair::from_file("client-key.pem")?))
///     .scope("orders:read")
///     .resource_origins(["https://api.example.com"])
///     .deadline(Duration::from_secs(20))
///     .discover()?;
/// # Ok(()) }
/// ```
///
/// A builder can be cloned. A program that must start without its server keeps the builder and clones it
/// for each attempt:
///
/// ```no_run
/// use possession::{Error, Session, SessionBuilder};
///
/// fn session(settings: &SessionBuilder) -> Result<Session, Error> {
///     settings.clone().discover()
/// }
/// ```
#[derive(Clone)]
#[must_use]
pub struct SessionBuilder {
    issuer: String,
    client_id: String,
    auth: ClientAuth,
    grant: Grant,
    prover: Option<Result<Prover, Error>>,
    parameters: Parameters,
    http: Option<Arc<dyn HttpClient>>,
    #[cfg(feature = "ureq")]
    transport: Transport,
    metadata_location: Option<MetadataLocation>,
    #[cfg(feature = "ureq")]
    retry_when_overloaded: bool,
    endpoint_hosts: Option<Vec<String>>,
    resource_origins: Option<Vec<String>>,
    plain_http: PlainHttp,
    accept_bearer: bool,
    prove_revocation: bool,
    share_nonces: bool,
    deadline: Option<Duration>,
    renew_before: Duration,
    assumed_lifetime: Option<Duration>,
    store: Option<Arc<dyn SessionStore>>,
    store_key: bool,
    clock: Arc<dyn Clock>,
}

impl Session {
    /// Starts a session for a client of an authorization server, which is named by its issuer identifier. Say
    /// how the client authenticates ([`auth`](SessionBuilder::auth)), then
    /// [`discover`](SessionBuilder::discover) the server.
    pub fn builder(issuer: impl Into<String>, client_id: impl Into<String>) -> SessionBuilder {
        SessionBuilder::new(issuer.into(), client_id.into())
    }
}

impl SessionBuilder {
    fn new(issuer: String, client_id: String) -> Self {
        Self {
            issuer,
            client_id,
            auth: ClientAuth::none(),
            grant: Grant::client_credentials(),
            prover: None,
            parameters: Parameters::new(),
            http: None,
            #[cfg(feature = "ureq")]
            transport: Transport::new(),
            metadata_location: None,
            #[cfg(feature = "ureq")]
            retry_when_overloaded: false,
            endpoint_hosts: None,
            resource_origins: None,
            plain_http: PlainHttp::Refused,
            accept_bearer: false,
            prove_revocation: false,
            share_nonces: false,
            deadline: None,
            renew_before: RENEW_BEFORE,
            assumed_lifetime: None,
            store: None,
            store_key: false,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Sets the grant by which the session gets its tokens. The default is
    /// [`Grant::client_credentials`]. Renewal, pauses after failures, nonces and statistics are the same for
    /// all.
    ///
    /// ```no_run
    /// # use possession::*;
    /// # fn run(tokens: TokenResponse, prover: Prover) -> Result<(), Error> {
    /// // After a sign-in, with the key that the tokens are bound to:
    /// let session = Session::builder("https://as.example.com", "my-tool")
    ///     .grant(Grant::tokens(tokens))
    ///     .prover(&prover)
    ///     .discover()?;
    /// # Ok(()) }
    /// ```
    pub fn grant(self, grant: Grant) -> Self {
        Self { grant, ..self }
    }

    /// Sets how the client authenticates. The default is [`ClientAuth::none`], which few servers accept in
    /// the client credentials grant. If this setting is forgotten, the token request is sent without
    /// credentials, and the error is the server's refusal: [`OAuth`](crate::ErrorKind::OAuth) with the code
    /// `invalid_client`, for example.
    pub fn auth(self, auth: ClientAuth) -> Self {
        Self { auth, ..self }
    }

    /// Sets the proof-of-possession key: a [`KeyPair`] (generated, or from a file, PEM or JWK) or any other
    /// [`Signer`]. By default a new key is generated for the session.
    pub fn key(self, key: impl Signer + 'static) -> Self {
        Self { prover: Some(Prover::new(key)), ..self }
    }

    /// Sets the key and shares the per-server state of a prover that others use too.
    pub fn prover(self, prover: &Prover) -> Self {
        Self { prover: Some(Ok(prover.clone())), ..self }
    }

    /// Shares the nonces of an origin between its token endpoint and its resources, as
    /// [`Prover::share_nonces_between_roles`] does. By default they are kept apart.
    pub fn share_nonces_between_roles(self) -> Self {
        Self { share_nonces: true, ..self }
    }

    /// Sets the scope to request, as [`Parameters::scope`] does.
    pub fn scope(self, scope: impl Into<String>) -> Self {
        Self { parameters: self.parameters.scope(scope), ..self }
    }

    /// Adds a resource that the token is for, as [`Parameters::resource`] does.
    pub fn resource(self, uri: impl Into<String>) -> Self {
        Self { parameters: self.parameters.resource(uri), ..self }
    }

    /// Adds a further parameter of the token request, as [`Parameters::parameter`] does.
    pub fn parameter(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { parameters: self.parameters.parameter(name, value), ..self }
    }

    /// Names the only origins (scheme, host and port, such as `https://api.example.com`) that the session
    /// calls. A call of another origin is an error before a token is fetched.
    pub fn resource_origins<S: Into<String>>(self, origins: impl IntoIterator<Item = S>) -> Self {
        Self { resource_origins: Some(origins.into_iter().map(Into::into).collect()), ..self }
    }

    /// Limits the time of a call: waiting for a token, pauses and retries included. A request to the
    /// resource has what is left of it, and not more than the transport's timeout. It also limits
    /// [`discover`](Self::discover). The default is a minute; if the transport has a timeout of its own,
    /// twice that timeout.
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Sets how long before it expires a token is renewed. The default is a minute, and it is never more
    /// than a third of the token's lifetime. A random time is added, so that many clients do not renew in
    /// the same second: up to a twentieth of the lifetime, but not more than five minutes. A thread that
    /// calls within that time renews the token, and the others use the old one.
    pub fn renew_before(self, renew_before: Duration) -> Self {
        Self { renew_before, ..self }
    }

    /// Sets the lifetime of tokens whose response has no `expires_in`. By default such a token is used until
    /// a resource refuses it. With zero, each token serves one call and those that wait for it at the same
    /// time.
    pub fn assume_expires_in(self, lifetime: Duration) -> Self {
        Self { assumed_lifetime: Some(lifetime), ..self }
    }

    /// Keeps the session between runs, for all processes that share the store. A program that is started
    /// every minute then requests one token per lifetime of a token, not one per run.
    ///
    /// The session starts with what is stored: valid tokens, nonces, clock offsets, and the key. Each new
    /// token is stored. While one process requests a token, the others wait for it or use the token they
    /// have. A session without [`key`](Self::key) generates one when nothing is stored yet, and its private
    /// key is stored. A key that is given is not stored, only its thumbprint.
    ///
    /// ```no_run
    /// use possession::{ClientAuth, FileStore, Session};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = FileStore::new("/var/lib/my-program", "orders")?;
    /// let auth = ClientAuth::client_secret_basic(std::env::var("CLIENT_SECRET")?);
    /// let session = Session::builder("https://as.example.com", "my-client").auth(auth).store(store).discover()?;
    /// # Ok(()) }
    /// ```
    ///
    /// A store that cannot be read when the session starts is an error, and so is a new key that cannot be
    /// stored. After that, the session works on with what it has in memory and logs a warning, because a
    /// token can be requested again. A refresh token that the server has replaced cannot: it is stored before
    /// it is used, and until then calls that need it fail with [`Store`](ErrorKind::Store). The page
    /// [keep_a_session](crate::guide::keep_a_session) has the details.
    pub fn store(self, store: impl SessionStore + 'static) -> Self {
        Self { store: Some(Arc::new(store)), ..self }
    }

    /// Stores the private key that [`key`](Self::key) or [`prover`](Self::prover) gives, too. The session can
    /// then be continued without it: after a sign-in, for example, whose tokens are bound to a key that was
    /// generated for it. It must be a [`KeyPair`].
    ///
    /// ```no_run
    /// # use possession::*;
    /// # fn run(tokens: TokenResponse, prover: Prover) -> Result<(), Error> {
    /// // After a sign-in:
    /// let settings = Session::builder("https://as.example.com", "my-tool")
    ///     .store(FileStore::new("/home/user/.local/state/my-tool", "login")?);
    /// let session = settings.clone().grant(Grant::tokens(tokens)).prover(&prover).store_key().discover()?;
    ///
    /// // In every later run; `ErrorKind::SessionEnded` says that the user must sign in again:
    /// let session = settings.grant(Grant::stored()).discover()?;
    /// # Ok(()) }
    /// ```
    pub fn store_key(self) -> Self {
        Self { store_key: true, ..self }
    }

    /// Sets the HTTP client for requests to the authorization server: metadata and tokens. Its requests carry
    /// the [`RemainingTime`](crate::RemainingTime) of the call. With the feature `ureq` the default is the
    /// [`Transport`](crate::Transport), which `get`, `post`, `run` and `agent` use in any case; without it
    /// there is no default.
    ///
    /// ```
    /// use possession::{ClientAuth, Error, HttpClient, RequestBody, Session};
    ///
    /// struct MyClient; // reqwest::blocking, curl, a mock …
    ///
    /// impl HttpClient for MyClient {
    ///     fn send(&self, request: http::Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error> {
    /// #       if request.uri().path().starts_with("/.well-known/") {
    /// #           let metadata = r#"{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/token"}"#;
    /// #           return Ok(http::Response::new(metadata.into()));
    /// #       }
    ///         // …
    /// #       let token = r#"{"access_token":"t","token_type":"DPoP"}"#;
    /// #       Ok(http::Response::new(token.into()))
    ///     }
    /// }
    ///
    /// let session = Session::builder("https://as.example.com", "my-client")
    ///     .auth(ClientAuth::client_secret_basic("7Fjfp0ZBr1KtDRbnfVdmIw"))
    ///     .http(MyClient)
    ///     .discover()?;
    /// let (mut request, ()) = http::Request::get("https://api.example.com/orders").body(()).unwrap().into_parts();
    /// session.authorize(&mut request)?;
    /// assert_eq!(request.headers["authorization"], "DPoP t");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn http(self, http: impl HttpClient + 'static) -> Self {
        Self { http: Some(Arc::new(http)), ..self }
    }

    /// Sets the transport over ureq: CAs, client certificate, proxy, timeouts. It sends the calls, and the
    /// requests to the authorization server unless [`http`](Self::http) names another client for them.
    #[cfg(feature = "ureq")]
    pub fn transport(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// Repeats a call that a resource refuses with status 429 or 503 and a `Retry-After`, after that time:
    /// up to four times, and within the [`deadline`](Self::deadline). By default such a response is
    /// returned like any other. Calls of every method are repeated, also `POST`: this is for servers that
    /// refuse before they act. A response whose request had a body that cannot be sent again is returned.
    ///
    /// This is for the calls that the session sends itself. For another HTTP client,
    /// [`retry_after`](crate::retry_after) reads the field.
    #[cfg(feature = "ureq")]
    pub fn retry_when_overloaded(self) -> Self {
        Self { retry_when_overloaded: true, ..self }
    }

    /// Sets the time source: for tests, and for machines whose clock is elsewhere.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Names the only location that [`discover`](Self::discover) fetches the metadata from. By default
    /// it tries the location of RFC 8414 and then that of OpenID Connect.
    pub fn metadata_location(self, location: MetadataLocation) -> Self {
        Self { metadata_location: Some(location), ..self }
    }

    /// Refuses metadata with an endpoint on another host than the issuer's and these.
    pub fn endpoint_hosts<S: Into<String>>(self, hosts: impl IntoIterator<Item = S>) -> Self {
        Self { endpoint_hosts: Some(hosts.into_iter().map(Into::into).collect()), ..self }
    }

    /// Makes DPoP optional: if the server responds with a `Bearer` token, calls are made with that token and
    /// without proofs. Whoever steals such a token can use it, so
    /// [`resource_origins`](Self::resource_origins) must say where it may go. Each one is logged as a
    /// warning.
    pub fn dangerous_accept_bearer(self) -> Self {
        Self { accept_bearer: true, ..self }
    }

    /// Sends proofs with the requests by which [`Session::end`] revokes tokens, as
    /// [`RequestOptions::prove_revocation`] does: for atproto.
    ///
    /// [`RequestOptions::prove_revocation`]: crate::RequestOptions::prove_revocation
    pub fn prove_revocation(self) -> Self {
        Self { prove_revocation: true, ..self }
    }

    /// Allows plain http for the authorization server and for resources whose host is `localhost`,
    /// `127.0.0.0/8` or `[::1]`. For tests on one machine: whoever can listen there can read tokens and
    /// secrets.
    pub fn dangerous_allow_http_on_loopback(self) -> Self {
        Self { plain_http: PlainHttp::OnLoopback, ..self }
    }

    /// Fetches the server's metadata. The token is fetched when it is first needed.
    ///
    /// With a [`store`](Self::store), metadata that were fetched less than an hour ago are taken from there,
    /// so that a program that is run every minute does not fetch them every minute. Those of up to a week are
    /// used if the server cannot be reached within five seconds. They are checked like fetched ones; anyone
    /// who can write to the store can name other endpoints in them, which
    /// [`endpoint_hosts`](Self::endpoint_hosts) limits. Those of a
    /// [`metadata_location`](Self::metadata_location) are not stored.
    ///
    /// A server that is down or overloaded (no connection, 429, 5xx) is asked again after pauses, until the
    /// [`deadline`](Self::deadline). Each failure is logged as a warning. What else is wrong is reported at
    /// once.
    ///
    /// # Errors
    /// Those of [`AuthorizationServer::discover`] and of [`server`](Self::server).
    pub fn discover(self) -> Result<Session, Error> {
        let mut discovery = Discovery::with_plain_http(&self.issuer, self.plain_http)?;
        if let Some(location) = &self.metadata_location {
            discovery = discovery.location(location.clone())?;
        }
        if let Some(hosts) = &self.endpoint_hosts {
            discovery = discovery.endpoint_hosts(hosts);
        }
        // What is wrong with the settings is reported before the server is waited for.
        self.check()?;
        let deadline = Deadline::after(self.deadline_or_default(), &*self.clock);
        let http = self.http_client()?;
        // A document of another location is another document.
        let stores_metadata = self.store.is_some() && self.metadata_location.is_none();
        let now = self.clock.now();
        let stored = if stores_metadata { self.stored_metadata(&discovery) } else { None };
        let (server, metadata) =
            match stored.filter(|(stored, _)| stored.is_younger_than(MAX_METADATA_AGE, now)) {
                Some((metadata, server)) if metadata.is_younger_than(METADATA_AGE, now) => {
                    (server, Some(metadata))
                }
                Some((metadata, server)) => {
                    // A server that hangs must not use up the time of the first call.
                    let attempt = self.deadline_or_default().min(METADATA_ATTEMPT);
                    let attempt = Deadline::after(attempt, &*self.clock);
                    match startup::discover_once(&discovery, &*http, &*self.clock, attempt) {
                        Ok(server) => (server, None),
                        Err(error) if error.is_transient() => {
                            log::warn!("the metadata that were stored with the session are used: {error}");
                            (server, Some(metadata))
                        }
                        Err(error) => return Err(error),
                    }
                }
                None => (startup::discover(&discovery, &*http, &*self.clock, deadline)?, None),
            };
        let metadata = match metadata {
            None if stores_metadata => Some(StoredMetadata {
                fetched_at: unix_seconds(self.clock.now()).unwrap_or_default(),
                document: server.members().clone(),
            }),
            metadata => metadata,
        };
        self.start(server, metadata)
    }

    /// Uses metadata that the caller has. Their issuer replaces the builder's, and plain http is allowed if
    /// they allow it.
    ///
    /// # Errors
    /// [`Parameter`](ErrorKind::Parameter), [`AuthMethod`](ErrorKind::AuthMethod),
    /// [`Algorithm`](ErrorKind::Algorithm) and [`Url`](ErrorKind::Url) for what the builder was given;
    /// [`Store`](ErrorKind::Store) when the stored session cannot be used,
    /// [`Configuration`](ErrorKind::Configuration) when its key is neither stored nor given, and
    /// [`SessionEnded`](ErrorKind::SessionEnded) when the user must sign in.
    pub fn server(self, server: AuthorizationServer) -> Result<Session, Error> {
        self.start(server, None)
    }

    fn start(self, server: AuthorizationServer, metadata: Option<StoredMetadata>) -> Result<Session, Error> {
        let http = self.http_client()?;
        let (client, resource_origins) = self.check()?;
        let deadline = self.deadline_or_default();
        let prover = self.prover.transpose()?;
        if prover.is_none() && matches!(self.grant.0, Source::Tokens(_)) {
            let wrong = "the tokens are bound to a key (give it to `SessionBuilder::key` or `prover`)";
            return Err(Error::new(ErrorKind::Parameter, "setting up a session", wrong));
        }
        let generate = || KeyPair::generate(preferred_algorithm(&server)?);
        let parameters = self.parameters.digest();
        if let (Source::Tokens(received), Some(prover)) = (&self.grant.0, &prover) {
            check_tokens(received, prover, self.accept_bearer)?;
        }
        let (prover, persistence, tokens_at_start, refresh_token) = match self.store {
            Some(store) => {
                let settings = persistence::Settings {
                    store,
                    issuer: server.issuer().to_owned(),
                    client_id: client.client_id().to_owned(),
                    grant: self.grant.of_requests(),
                    accept_bearer: self.accept_bearer,
                    metadata,
                    clock: Arc::clone(&self.clock),
                };
                let start = Start {
                    grant: &self.grant.0,
                    parameters,
                    key: prover,
                    store_key: self.store_key,
                    is_public_client: self.auth.method() == "none",
                };
                let Opened { persistence, prover, tokens, refresh_token } =
                    Opened::new(settings, start, generate, Deadline::after(deadline, &*self.clock))?;
                (prover, Some(persistence), tokens, refresh_token)
            }
            None => {
                let (tokens, refresh_token) = self.grant.0.start(parameters)?;
                (prover.map_or_else(|| Prover::new(generate()?), Ok)?, None, tokens, refresh_token)
            }
        };
        let prover = if self.share_nonces { prover.share_nonces_between_roles() } else { prover };
        let issuer = TokenIssuer {
            client,
            server,
            auth: self.auth,
            grant: TokenGrant::new(&self.grant, refresh_token),
            http,
            accept_bearer: self.accept_bearer,
            prove_revocation: self.prove_revocation,
            clock: Arc::clone(&self.clock),
            counters: Counters::default(),
            ended: AtomicBool::new(false),
        };
        // What can be refused before a request is sent is refused now, and not in the first call.
        issuer.check(&self.parameters, &prover)?;
        let tokens = TokenCache::new(self.clock, self.renew_before, self.assumed_lifetime);
        for token in tokens_at_start {
            let key = CacheKey { parameters: token.parameters, jkt: prover.thumbprint() };
            tokens.insert(&key, token.response, &prover);
        }
        let core = Core {
            issuer,
            prover: RwLock::new(prover),
            tokens,
            persistence,
            resource_origins,
            #[cfg(feature = "ureq")]
            transport: self.transport,
            #[cfg(feature = "ureq")]
            no_expect_continue: UnsupportedOrigins::new(),
            #[cfg(feature = "ureq")]
            retry_when_overloaded: self.retry_when_overloaded,
        };
        Ok(Session {
            core: Arc::new(core),
            parameters_digest: parameters,
            parameters: Arc::new(self.parameters),
            deadline,
        })
    }

    /// Returns the metadata that are stored with the session, if they can be used. What is wrong with the
    /// store is reported when the session is read.
    fn stored_metadata(&self, discovery: &Discovery) -> Option<(StoredMetadata, AuthorizationServer)> {
        let stored = self.store.as_ref()?.load().ok()??;
        let is_own = (stored.issuer(), stored.client_id()) == (&*self.issuer, &*self.client_id);
        let metadata = stored.metadata.filter(|_| is_own)?;
        let server = discovery.server_of(&metadata.document).ok()?;
        Some((metadata, server))
    }

    /// Refuses settings that are wrong whatever the server's metadata are, and returns the client and the
    /// `resource_origins`.
    fn check(&self) -> Result<(Client, Option<Vec<Url>>), Error> {
        if let Some(Err(error)) = &self.prover {
            return Err(error.clone());
        }
        let client = Client::new(self.client_id.as_str())?;
        if self.accept_bearer && self.resource_origins.is_none() {
            let wrong = "`dangerous_accept_bearer` needs `resource_origins`: whoever receives a Bearer token can use it";
            return Err(Error::new(ErrorKind::Parameter, "setting up a session", wrong));
        }
        let origin = |text: &String| {
            Url::origin_alone(text).map_err(|why| url::refused(ErrorKind::Url, "resource origin", text, why))
        };
        let origins = self.resource_origins.as_ref();
        let origins = origins.map(|origins| origins.iter().map(origin).collect::<Result<_, _>>());
        Ok((client, origins.transpose()?))
    }

    fn deadline_or_default(&self) -> Duration {
        #[cfg(feature = "ureq")]
        let default_deadline = self.transport.timeout().saturating_mul(2);
        #[cfg(not(feature = "ureq"))]
        let default_deadline = DEADLINE;
        self.deadline.unwrap_or(default_deadline)
    }

    /// The HTTP client for requests to the authorization server.
    fn http_client(&self) -> Result<Arc<dyn HttpClient>, Error> {
        if let Some(http) = &self.http {
            return Ok(Arc::clone(http));
        }
        #[cfg(feature = "ureq")]
        return Ok(Arc::new(self.transport.clone()));
        #[cfg(not(feature = "ureq"))]
        {
            let wrong =
                "no HTTP client was given (without the feature `ureq`, `SessionBuilder::http` names one)";
            Err(Error::new(ErrorKind::Configuration, "setting up a session", wrong))
        }
    }
}

impl fmt::Debug for SessionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBuilder")
            .field("issuer", &if self.issuer.contains('@') { "(with an @)" } else { &self.issuer })
            .field("client_id", &self.client_id)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// Refuses tokens that the session cannot use.
fn check_tokens(tokens: &TokenResponse, prover: &Prover, accept_bearer: bool) -> Result<(), Error> {
    let wrong = match (tokens.token_type(), tokens.jkt()) {
        (TokenType::Dpop, Some(jkt)) if jkt == prover.thumbprint() => return Ok(()),
        (TokenType::Bearer, _) if accept_bearer => return Ok(()),
        (TokenType::Dpop, _) => "the tokens are bound to another key than that of the session",
        (TokenType::Bearer, _) => {
            "the access token is a Bearer token, which is not bound to the key (`dangerous_accept_bearer` accepts it)"
        }
        (TokenType::NotApplicable, _) => "the token is not an access token (its type is N_A)",
    };
    Err(Error::new(ErrorKind::Parameter, "setting up a session with tokens", wrong))
}

/// The algorithm of the key that a session generates for itself.
fn preferred_algorithm(server: &AuthorizationServer) -> Result<Algorithm, Error> {
    let listed = server.dpop_algorithms()?;
    let mut generated = [Algorithm::Es256, Algorithm::Ed25519, Algorithm::Es384]
        .into_iter()
        .filter(|algorithm| backend::supports(*algorithm));
    generated.find(|algorithm| algorithm.name_for(listed, None).is_some()).ok_or_else(|| {
        let listed = printable(&listed.unwrap_or_default().join(" "), 200);
        let wrong = format!(
            "the server lists only: {listed}; no key for these can be generated (pass one to `SessionBuilder::key`)"
        );
        Error::new(ErrorKind::Algorithm, "generating a key for the proofs", wrong)
    })
}
