//! The test server and its builder.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http::Response;

use super::browser;
use super::connection::IncomingRequest;
use super::listener::Listener;
use super::nonces::Nonces;
use super::quirk::{Endpoint, Quirk, When};
use super::received::Received;
use super::request_log::Counts;
use super::service;
use super::settings::Settings;
use super::state::State;
use super::tls::ServerConfig;
use crate::dpop::server_role::ServerRole;
use crate::jose::public_key::{PublicKey, Thumbprint};
use crate::sync::atomic::Ordering;
use crate::time::Clock;

/// An authorization server and a protected resource on loopback, which behave correctly unless told to
/// [`misbehave`](Self::misbehave). They stop when the value is dropped.
///
/// - **Metadata** (RFC 8414) are served below the [`issuer`](Self::issuer).
/// - **The authorization endpoint** (RFC 6749 §3.1) has no page: the user agrees at once, and the response
///   redirects with `code`, `state` and `iss`. PKCE with S256 is required. [`authorize`](Self::authorize)
///   plays the browser. Requests may be pushed before (RFC 9126), with a proof or without.
/// - **The token endpoint** supports client credentials, authorization codes, device codes, refresh tokens,
///   token exchange (RFC 8693) and JWT bearer assertions (RFC 7523). A code is accepted once. Refresh tokens
///   rotate, and one that is used again revokes all tokens of its grant. Access tokens are opaque and bound
///   to the key of the proof.
/// - **The device authorization endpoint** (RFC 8628) issues device codes. The user agrees at once; a client
///   that polls too fast is told to slow down. [`Quirk::OAuthError`] with `authorization_pending` at the
///   token endpoint makes a client wait.
/// - **The revocation endpoint** (RFC 7009) revokes a token, and **the introspection endpoint** (RFC 7662)
///   describes one.
/// - **One client** is known, and others can register themselves (RFC 7591). It authenticates at these
///   endpoints by every method with a secret or a key; [`public_client`](TestServerBuilder::public_client)
///   adds the other methods. A client assertion is accepted once.
/// - **Every other path is a resource.** It echoes the request as JSON; `/bytes/N` responds with N bytes;
///   [`on`](Self::on) scripts other responses. Each has metadata (RFC 9728), which its challenges name.
/// - **Proofs** are verified by [`Verifier`](crate::server::Verifier), and beyond it as strictly as by the
///   strictest server known.
/// - **Nonces** follow [`Nonces`]. Those of the authorization server are not accepted by the resource, nor
///   the reverse.
/// - **`Date`** is in every response.
///
/// ```
/// # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use possession::testing::TestServer;
///
/// let server = TestServer::start()?;
/// let session = server.session().discover()?;
/// let echo = session.get(&server.resource("/orders?page=2"))?.body_mut().read_to_string()?;
/// assert!(echo.contains(r#""target":"/orders?page=2""#));
/// # Ok(()) }
/// # #[cfg(not(feature = "ureq"))] fn main() {}
/// ```
pub struct TestServer {
    state: Arc<State>,
    /// They listen until they are dropped.
    _listeners: [Listener; 2],
}

/// Configures a [`TestServer`].
///
/// ```
/// # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use possession::testing::{Nonces, TestServer};
///
/// let server = TestServer::builder()
///     .client("my-client", "my-secret")
///     .nonces(Nonces::EachResponse)
///     .token_lifetime(Duration::from_secs(60))
///     .start()?;
/// let token = server.session().discover()?.access_token()?;
/// assert_eq!(server.client_id(), "my-client");
/// # Ok(()) }
/// # #[cfg(not(feature = "ureq"))] fn main() {}
/// ```
#[must_use]
pub struct TestServerBuilder {
    settings: Settings,
    ports: [u16; 2],
    tls: Option<Arc<ServerConfig>>,
}

impl TestServer {
    /// Starts a server with the default settings on two free ports.
    ///
    /// # Errors
    /// When there is no free port or no randomness.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Returns a builder with the default settings: [`Nonces::Lifetime`] of five minutes, access tokens of
    /// one hour, and proofs with ES256 and Ed25519.
    pub fn builder() -> TestServerBuilder {
        TestServerBuilder { settings: Settings::default(), ports: [0; 2], tls: None }
    }

    /// Returns the issuer identifier, which is the origin of the authorization server.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.state.issuer
    }

    /// Returns the origin of the protected resource. The origin of the authorization server serves the same
    /// resources.
    #[must_use]
    pub fn resource_origin(&self) -> &str {
        &self.state.resource_origin
    }

    /// Returns the URL of a resource. `path` begins with a slash.
    #[must_use]
    pub fn resource(&self, path: &str) -> String {
        format!("{}{path}", self.state.resource_origin)
    }

    /// Returns the identifier of the client.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.state.settings.client_id
    }

    /// Returns the secret of the client.
    #[must_use]
    pub fn client_secret(&self) -> &str {
        &self.state.settings.client_secret
    }

    /// Returns a builder for a session with this server. The client authenticates with `client_secret_basic`,
    /// plain http on loopback is allowed, and the session has the clock of the server. Set another with
    /// [`SessionBuilder::clock`](crate::SessionBuilder::clock) to test clocks that differ.
    #[cfg(feature = "ureq")]
    pub fn session(&self) -> crate::SessionBuilder {
        crate::Session::builder(self.issuer(), self.client_id())
            .auth(crate::ClientAuth::client_secret_basic(self.client_secret()))
            .clock(Arc::clone(&self.state.settings.clock))
            .dangerous_allow_http_on_loopback()
    }

    /// Opens a URL of the authorization endpoint as a browser does, and returns the URL that the browser is
    /// redirected to: the redirect URI with `code`, `state` and `iss`, or with an error. The redirect is not
    /// followed. No network is involved, but the request is [`received`](Self::received) like others, and
    /// quirks take effect.
    ///
    /// ```
    /// use possession::testing::{Endpoint, TestServer};
    ///
    /// let server = TestServer::start()?;
    /// // The code challenge is that of RFC 7636 Appendix B.
    /// let url = format!(
    ///     "{}/authorize?response_type=code&client_id={}&redirect_uri=http://127.0.0.1:8080/callback\
    ///      &state=xyz&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256",
    ///     server.issuer(),
    ///     server.client_id(),
    /// );
    /// let callback = server.authorize(&url)?;
    /// assert!(callback.starts_with("http://127.0.0.1:8080/callback?code="));
    /// assert!(callback.contains("&state=xyz&iss="));
    /// assert_eq!(server.received_at(Endpoint::Authorization).len(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when the URL is not one of this server, and
    /// [`Other`](io::ErrorKind::Other) when the response is not a redirect, as for an unknown client or a
    /// redirect URI that is not registered.
    pub fn authorize(&self, url: &str) -> io::Result<String> {
        browser::follow(&self.state, url)
    }

    /// Makes the resources at `path` respond with what `respond` returns.
    ///
    /// `path` begins with a slash. With a query it stands for that query alone, and otherwise for those
    /// without a script of their own. The last call for a path counts. Access token and proof are verified
    /// first, so that `respond` sees valid requests only, with their bodies. Quirks change its responses
    /// like any other. If `respond` panics, the status is 500. The origin of the authorization server has its
    /// metadata and endpoints at the paths that the metadata name, and resources at all others.
    ///
    /// ```
    /// # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use http::Response;
    /// use possession::testing::TestServer;
    ///
    /// let server = TestServer::start()?;
    /// server.on("/orders", |request| {
    ///     let response = Response::builder().status(if request.method == "POST" { 201 } else { 404 });
    ///     response.header("location", "/orders/1").body(request.body.clone()).unwrap_or_default()
    /// });
    /// let session = server.session().discover()?;
    /// let response = session.post(&server.resource("/orders"), "text/plain", "tea")?;
    /// assert_eq!(response.status(), 201);
    /// assert_eq!(response.headers()["location"], "/orders/1");
    /// # Ok(()) }
    /// # #[cfg(not(feature = "ureq"))] fn main() {}
    /// ```
    pub fn on<B: Into<Vec<u8>>>(
        &self,
        path: impl Into<String>,
        respond: impl Fn(&Received) -> Response<B> + Send + Sync + 'static,
    ) {
        self.state.scripts.insert(path.into(), Arc::new(move |request| respond(request).map(Into::into)));
    }

    /// Makes `quirk` take effect at `endpoint`, as often as `when` says.
    ///
    /// Several quirks take effect together, in the order in which they were set, but those with
    /// [`When::Next`] one after the other, each on another response. A quirk that does not concern a
    /// response leaves it unchanged and is not counted: those about proofs, client authentication and token
    /// responses only concern responses of that kind. [`Quirk::Respond`] replaces any response.
    pub fn misbehave(&self, endpoint: Endpoint, when: When, quirk: Quirk) {
        self.state.quirks.add(endpoint, when, quirk);
    }

    /// Removes all quirks.
    pub fn behave(&self) {
        self.state.quirks.clear();
    }

    /// Revokes all access tokens: requests with them are refused with `invalid_token`.
    pub fn revoke_tokens(&self) {
        self.state.tokens.revoke_all();
    }

    /// Revokes all refresh tokens and the access tokens of the same grants: requests with them are refused
    /// with `invalid_grant` and `invalid_token`.
    pub fn revoke_refresh_tokens(&self) {
        self.state.refresh_tokens.for_each(|token| token.grant.revoke());
    }

    /// Revokes a key: access tokens that are bound to it and proofs that it signed are refused.
    pub fn revoke_key(&self, jkt: &Thumbprint) {
        self.state.proofs.revoke_key(jkt);
        self.state.tokens.revoke_bound_to(jkt);
    }

    /// Invalidates all nonces, so that the next request of each client is refused with a challenge.
    pub fn rotate_nonces(&self) {
        self.state.nonces.clear();
    }

    /// Sets the clocks of both servers ahead by this number of seconds, or behind if it is negative.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.state.clock_offset.store(seconds, Ordering::SeqCst);
    }

    /// Returns the requests received so far, the oldest first: at most the last
    /// [`max_received`](TestServerBuilder::max_received).
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.log.received()
    }

    /// Returns those of the [`received`](Self::received) requests that came to `endpoint`.
    #[must_use]
    pub fn received_at(&self, endpoint: Endpoint) -> Vec<Received> {
        self.received().into_iter().filter(|received| received.endpoint == endpoint).collect()
    }

    /// Returns the requests received so far and forgets them. The counters stay.
    #[must_use]
    pub fn take_received(&self) -> Vec<Received> {
        self.state.log.take()
    }

    /// Returns the counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.log.counts()
    }

    /// Forgets the received requests and resets the counters.
    pub fn clear_received(&self) {
        self.state.log.clear();
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer")
            .field("issuer", &self.state.issuer)
            .field("resource_origin", &self.state.resource_origin)
            .finish_non_exhaustive()
    }
}

impl TestServerBuilder {
    /// Sets the clock of the server.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.with(|settings| settings.clock = Arc::new(clock))
    }

    /// Sets identifier and secret of the client.
    pub fn client(self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.with(|settings| (settings.client_id, settings.client_secret) = (id.into(), secret.into()))
    }

    /// Sets the key that verifies the client's assertions (`private_key_jwt`).
    pub fn client_public_key(self, key: PublicKey) -> Self {
        self.with(|settings| settings.client_public_key = Some(key))
    }

    /// Accepts the client's identifier without authentication: for the method `none` and those of mutual TLS.
    pub fn public_client(self) -> Self {
        self.with(|settings| settings.public_client = true)
    }

    /// Limits the client to these redirect URIs. They are compared character for character, but the port of a
    /// loopback address may differ (RFC 8252 §7.3). Without this, it may use any absolute URI.
    pub fn redirect_uris<S: Into<String>>(self, uris: impl IntoIterator<Item = S>) -> Self {
        self.with(|settings| settings.redirect_uris = uris.into_iter().map(Into::into).collect())
    }

    /// Sets the `sub` of tokens that are issued for a user. The default is `alice`.
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.with(|settings| settings.subject = subject.into())
    }

    /// Trusts an issuer of JWTs about users, whose signatures this key verifies: for the JWT bearer grant
    /// (RFC 7523 §2.1) and for subject tokens of the types `jwt` and `id_token` (RFC 8693 §3). They need
    /// `sub`, an `exp` in the future, and the issuer or the token endpoint of this server in `aud`. A client
    /// with a [key](Self::client_public_key) may issue them itself.
    pub fn assertion_issuer(self, issuer: impl Into<String>, key: PublicKey) -> Self {
        self.with(|settings| settings.assertion_issuers.push((issuer.into(), key)))
    }

    /// Refuses authorization requests that were not pushed, and says so in the metadata (RFC 9126 §5).
    pub fn require_pushed_authorization_requests(self) -> Self {
        self.with(|settings| settings.require_pushed_authorization_requests = true)
    }

    /// Sets how nonces are issued.
    pub fn nonces(self, nonces: Nonces) -> Self {
        self.with(|settings| settings.nonces = nonces)
    }

    /// Sets the lifetime of access tokens, in whole seconds.
    pub fn token_lifetime(self, lifetime: Duration) -> Self {
        self.with(|settings| settings.token_lifetime = lifetime)
    }

    /// Sets the lifetime of refresh tokens. The default is 30 days.
    pub fn refresh_token_lifetime(self, lifetime: Duration) -> Self {
        self.with(|settings| settings.refresh_token_lifetime = lifetime)
    }

    /// Sets the lifetime of device codes, in whole seconds. The default is ten minutes.
    pub fn device_code_lifetime(self, lifetime: Duration) -> Self {
        self.with(|settings| settings.device_code_lifetime = lifetime)
    }

    /// Sets how long a client has to wait between two token requests with a device code, in whole seconds:
    /// the `interval` of RFC 8628 §3.2. The default is five seconds. They are measured by the server's clock.
    pub fn polling_interval(self, interval: Duration) -> Self {
        self.with(|settings| settings.polling_interval = interval)
    }

    /// Sets how far a proof may be dated ahead of the server's clock. The default is five seconds; some
    /// servers allow none.
    pub fn leeway(self, leeway: Duration) -> Self {
        self.with(|settings| settings.leeway = leeway)
    }

    /// Accepts every proof that RFC 9449 allows. Without this, the server refuses what some server refuses:
    /// the claims `exp` and `iss`, `ath` at the authorization server, and members of `jwk` that the key does
    /// not need.
    pub fn tolerant(self) -> Self {
        self.with(|settings| settings.strict_proofs = false)
    }

    /// Sets the algorithms that proofs may use, by name.
    pub fn dpop_algorithms<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        self.with(|settings| settings.dpop_algorithms = names.into_iter().map(Into::into).collect())
    }

    /// Lists aliases for mutual TLS (RFC 8705 §5) of the endpoints that authenticate clients, at the origin
    /// of the resource. Certificates are not verified.
    pub fn mtls_alias(self) -> Self {
        self.with(|settings| settings.mtls_alias = true)
    }

    /// Sets how many requests [`received`](TestServer::received) returns at most. The default is 10,000.
    pub fn max_received(self, requests: usize) -> Self {
        self.with(|settings| settings.max_received = requests)
    }

    /// Serves https with this certificate: the chain, leaf first, and the private key, both PEM.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when they are malformed or do not belong together.
    #[cfg(feature = "ureq")]
    pub fn tls(self, chain: &[u8], key: &[u8]) -> io::Result<Self> {
        Ok(Self { tls: Some(Arc::new(super::tls::server_config(chain, key)?)), ..self })
    }

    /// Sets the ports of the authorization server and of the resource server. By default, and for 0, they are
    /// free ones.
    pub fn ports(self, authorization_server: u16, resource_server: u16) -> Self {
        Self { ports: [authorization_server, resource_server], ..self }
    }

    /// Starts the server.
    ///
    /// # Errors
    /// When a port is in use, and when there is no randomness.
    pub fn start(self) -> io::Result<TestServer> {
        let Self { settings, ports, tls } = self;
        let [authorization_server, resource_server] =
            ports.map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        let (authorization_server, resource_server) = (authorization_server?, resource_server?);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let issuer = format!("{scheme}://{}", authorization_server.local_addr()?);
        let resource_origin = format!("{scheme}://{}", resource_server.local_addr()?);
        let state = Arc::new(State::new(settings, issuer, resource_origin)?);
        let listen = |listener, origin: ServerRole| {
            let state = Arc::clone(&state);
            let handler = Arc::new(move |connection: usize, request: &mut IncomingRequest<'_>| {
                service::respond(&state, origin, connection, request)
            });
            Listener::start(listener, tls.clone(), handler)
        };
        let listeners = [
            listen(authorization_server, ServerRole::AuthorizationServer)?,
            listen(resource_server, ServerRole::ResourceServer)?,
        ];
        Ok(TestServer { state, _listeners: listeners })
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }
}

impl fmt::Debug for TestServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServerBuilder")
            .field("client_id", &self.settings.client_id)
            .field("nonces", &self.settings.nonces)
            .field("token_lifetime", &self.settings.token_lifetime)
            .finish_non_exhaustive()
    }
}
