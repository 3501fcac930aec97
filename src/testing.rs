//! Test your client against a bad day: an authorization server and a protected resource in your own test process, correct
//! unless told otherwise (feature `testing`).
//!
//! Servers are fine on the day a client is written. [`TestServer`] is what they are later: nonces rotate and expire, tokens
//! and keys are revoked, clocks run apart, connections break, answers are slow, huge, malformed, redirected or of another
//! kind than was asked for. Each [`Quirk`] is one such thing, and most are what a real server is known to do. What the
//! server received can be looked at afterwards.
//!
//! Put it into your `[dev-dependencies]`:
//!
//! ```toml
//! possession = { version = "0.1", features = ["testing"] }
//! ```
//!
//! and let your client have a bad day:
//!
//! ```
//! # #[cfg(feature = "ureq")] {
//! use possession::testing::{Endpoint, Quirk, TestServer, When};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = TestServer::start()?;
//! let session = server.session().scope("orders:read").discover()?;
//!
//! // The first answer of the token endpoint is 503, and it asks for patience.
//! let busy = Quirk::Refuse { status: 503, retry_after: Some(0) };
//! server.misbehave(Endpoint::Token, When::Next(1), busy);
//! assert_eq!(session.get(&server.resource("/orders"))?.status(), 200);
//!
//! // All tokens are revoked: the call is made with another.
//! server.revoke_tokens();
//! assert_eq!(session.get(&server.resource("/orders"))?.status(), 200);
//!
//! // What was on the wire: no proof twice, and each with the nonce it should have.
//! assert_eq!(server.counts().repeated_proofs, 0);
//! let last = server.received().pop().expect("the call");
//! assert_eq!(last.proof().expect("a proof").claims["htm"], "GET");
//! # Ok(()) }
//! # main().unwrap();
//! # }
//! ```
//!
//! Hours pass in no time with a [`ManualClock`] that the server and the session share:
//!
//! ```
//! # #[cfg(feature = "ureq")] {
//! use std::time::Duration;
//! use possession::testing::{ManualClock, TestServer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = ManualClock::new();
//! let server = TestServer::builder().clock(clock.clone()).token_lifetime(Duration::from_secs(3600)).start()?;
//! let session = server.session().clock(clock.clone()).discover()?;
//!
//! session.get(&server.resource("/"))?;
//! clock.advance(Duration::from_secs(7200));
//! session.get(&server.resource("/"))?;
//! assert_eq!(session.stats().tokens, 2);
//! # Ok(()) }
//! # main().unwrap();
//! # }
//! ```
//!
//! It speaks plain http on loopback, or https with a certificate of yours, and serves other clients as well: its metadata is
//! where RFC 8414 says, below [`issuer`](TestServer::issuer). It is no server to put anything real behind.

mod clock;
mod nonces;
mod quirk;
mod received;
mod service;
mod wire;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub use self::clock::ManualClock;
pub use self::nonces::{FixedNonces, Nonces};
pub use self::quirk::{ChallengeForm, Endpoint, Quirk, When};
pub use self::received::{Counts, DecodedJwt, Received};
use self::service::Service;

use crate::jose::public_key::{PublicKey, Thumbprint};
use crate::sync;
use crate::time::{Clock, SystemClock};

/// A client that says nothing for so long is gone.
const IDLE: Duration = Duration::from_secs(20);

/// An authorization server and a protected resource on loopback, correct unless told to [`misbehave`](Self::misbehave).
/// They stop when it is dropped.
///
/// Correct means: metadata (RFC 8414); the client credentials grant for one client, which may authenticate by every method
/// with a secret or a key ([`public_client`](TestServerBuilder::public_client) for the others); opaque access tokens bound to the key of the proof; proofs checked by [`Verifier`](crate::server::Verifier), and beyond it
/// as strictly as the strictest server known; `Date` in each answer; nonces as [`Nonces`] say, told apart by part; client
/// assertions used once. Any path is a resource: it echoes the request as JSON; `/bytes/N` answers with N bytes.
pub struct TestServer {
    service: Arc<Service>,
    /// Held until it is dropped.
    _listening: Vec<Listening>,
}

/// Sets up a [`TestServer`].
#[must_use]
pub struct TestServerBuilder {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) client_key: Option<PublicKey>,
    pub(crate) nonces: Nonces,
    pub(crate) token_lifetime: Duration,
    pub(crate) leeway: Duration,
    pub(crate) dpop_algorithms: Vec<String>,
    pub(crate) mtls_alias: bool,
    pub(crate) public_client: bool,
    pub(crate) keep: usize,
    #[cfg(feature = "ureq")]
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl TestServer {
    /// A server with the defaults, on two free ports.
    ///
    /// # Errors
    /// When there is no free port or no randomness.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Starts from the defaults: nonces of five minutes at both parts, tokens of an hour, ES256 and Ed25519.
    pub fn builder() -> TestServerBuilder {
        TestServerBuilder {
            clock: Arc::new(SystemClock::new()),
            client_id: "test-client".to_owned(),
            client_secret: "test-secret-of-more-than-thirty-two-bytes".to_owned(),
            client_key: None,
            nonces: Nonces::Lifetime(Duration::from_secs(300)),
            token_lifetime: Duration::from_secs(3600),
            leeway: Duration::from_secs(5),
            dpop_algorithms: ["ES256", "EdDSA", "Ed25519"].map(str::to_owned).to_vec(),
            mtls_alias: false,
            public_client: false,
            keep: 10_000,
            #[cfg(feature = "ureq")]
            tls: None,
        }
    }

    /// The issuer identifier, which is the origin of the authorization server.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.service.issuer
    }

    /// The origin of the protected resource. The authorization server's origin serves the same resources.
    #[must_use]
    pub fn resource_origin(&self) -> &str {
        &self.service.resource_origin
    }

    /// The URL of a resource: `path` begins with a slash.
    #[must_use]
    pub fn resource(&self, path: &str) -> String {
        format!("{}{path}", self.service.resource_origin)
    }

    /// The identifier of the one client.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.service.setup.client_id
    }

    /// Its secret.
    #[must_use]
    pub fn client_secret(&self) -> &str {
        &self.service.setup.client_secret
    }

    /// A session for this server, to be set up further: the client authenticates by `client_secret_basic`, and plain http is
    /// allowed on loopback.
    #[cfg(feature = "ureq")]
    pub fn session(&self) -> crate::SessionBuilder {
        crate::Session::builder(self.issuer(), self.client_id())
            .auth(crate::ClientAuth::client_secret_basic(self.client_secret()))
            .dangerous_allow_http_on_loopback()
    }

    /// Does as told at that endpoint from now on, as often as `when` says: requests there are counted, those included that are
    /// asked for a nonce. Several quirks add up, the first told first. A quirk that has nothing to do with an answer leaves it:
    /// those of proofs, authentication and token responses say where they belong; for another answer altogether, metadata
    /// included, there is [`Quirk::Respond`].
    pub fn misbehave(&self, at: Endpoint, when: When, quirk: Quirk) {
        self.service.quirks.add(at, when, quirk);
    }

    /// Behaves again.
    pub fn behave(&self) {
        self.service.quirks.clear();
    }

    /// Forgets every token it gave: each is refused as `invalid_token` from now on.
    pub fn revoke_tokens(&self) {
        self.service.revoke_tokens();
    }

    /// Refuses tokens and proofs of that key from now on.
    pub fn revoke_key(&self, jkt: &Thumbprint) {
        self.service.revoke_key(jkt);
    }

    /// Forgets every nonce it gave: each is answered with a challenge from now on.
    pub fn rotate_nonces(&self) {
        self.service.nonces.forget();
    }

    /// Sets both parts' clocks so many seconds ahead of the clock they go by, or behind it.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.service.offset.store(seconds, Ordering::SeqCst);
    }

    /// The requests received so far, the oldest first: the last ten thousand, unless
    /// [set otherwise](TestServerBuilder::keep).
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.service.log.received()
    }

    /// Those of them that came to one endpoint.
    #[must_use]
    pub fn received_at(&self, endpoint: Endpoint) -> Vec<Received> {
        self.received().into_iter().filter(|received| received.endpoint == endpoint).collect()
    }

    /// How many of what there were.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.service.log.counts()
    }

    /// Forgets what was received and counted.
    pub fn clear_received(&self) {
        self.service.log.clear();
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer")
            .field("issuer", &self.service.issuer)
            .field("resource_origin", &self.service.resource_origin)
            .finish_non_exhaustive()
    }
}

impl TestServerBuilder {
    /// The clock the server goes by.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// The one client.
    pub fn client(self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { client_id: id.into(), client_secret: secret.into(), ..self }
    }

    /// The key that the client's assertions are checked with (`private_key_jwt`).
    pub fn client_key(self, key: PublicKey) -> Self {
        Self { client_key: Some(key), ..self }
    }

    /// What nonces are like.
    pub fn nonces(self, nonces: Nonces) -> Self {
        Self { nonces, ..self }
    }

    /// How long access tokens live, in whole seconds.
    pub fn token_lifetime(self, lifetime: Duration) -> Self {
        Self { token_lifetime: lifetime, ..self }
    }

    /// How far ahead of the server's clock a proof may be dated; five seconds unless set otherwise, and none at some servers.
    pub fn leeway(self, skew: Duration) -> Self {
        Self { leeway: skew, ..self }
    }

    /// The names of algorithms that proofs may use.
    pub fn dpop_algorithms<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        Self { dpop_algorithms: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Lists an alias of the token endpoint for mutual TLS, at the origin of the resource. Certificates are not looked at.
    pub fn mtls_alias(self) -> Self {
        Self { mtls_alias: true, ..self }
    }

    /// Takes the client's identifier alone for it: for `none` and the methods of mutual TLS. Otherwise it has to authenticate.
    pub fn public_client(self) -> Self {
        Self { public_client: true, ..self }
    }

    /// How many requests are kept to be looked at.
    pub fn keep(self, requests: usize) -> Self {
        Self { keep: requests, ..self }
    }

    /// Speaks https, with this certificate: its chain, leaf first, and its private key, both PEM.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when they are malformed or do not belong together.
    #[cfg(feature = "ureq")]
    pub fn tls(self, chain: &[u8], key: &[u8]) -> io::Result<Self> {
        Ok(Self { tls: Some(Arc::new(wire::tls_config(chain, key)?)), ..self })
    }

    /// Starts it.
    ///
    /// # Errors
    /// When there is no free port or no randomness.
    pub fn start(self) -> io::Result<TestServer> {
        #[cfg(feature = "ureq")]
        let tls = self.tls.clone();
        #[cfg(not(feature = "ureq"))]
        let tls = None;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listeners = [TcpListener::bind(loopback())?, TcpListener::bind(loopback())?];
        let [issuer, resource_origin] = listeners.each_ref().map(TcpListener::local_addr);
        let (issuer, resource_origin) =
            (format!("{scheme}://{}", issuer?), format!("{scheme}://{}", resource_origin?));
        let service = Arc::new(Service::new(self, issuer, resource_origin)?);
        let mut listening = Vec::new();
        for listener in listeners {
            listening.push(Listening::start(listener, Arc::clone(&service), tls.clone())?);
        }
        Ok(TestServer { service, _listening: listening })
    }
}

impl fmt::Debug for TestServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServerBuilder")
            .field("client_id", &self.client_id)
            .field("nonces", &self.nonces)
            .field("token_lifetime", &self.token_lifetime)
            .finish_non_exhaustive()
    }
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// One port, until it is dropped.
struct Listening {
    address: SocketAddr,
    shared: Arc<Connections>,
}

#[derive(Default)]
struct Connections {
    over: AtomicBool,
    open: Mutex<HashMap<usize, TcpStream>>,
}

/// Over all ports and servers.
static NEXT_CONNECTION: AtomicUsize = AtomicUsize::new(0);

impl Listening {
    fn start(
        listener: TcpListener,
        service: Arc<Service>,
        tls: Option<Arc<wire::ServerConfig>>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let origin_is_issuer = service.issuer.ends_with(&address.to_string());
        let listening = Self { address, shared: Arc::default() };
        let shared = Arc::clone(&listening.shared);
        thread::Builder::new().name(format!("test server {address}")).spawn(move || {
            for stream in listener.incoming() {
                if shared.over.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (service, shared, tls) = (Arc::clone(&service), Arc::clone(&shared), tls.clone());
                let serve = move || {
                    let id = NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed);
                    if shared.opened(id, &stream).is_ok() {
                        // A client that breaks off is not this server's trouble.
                        let _ = wire::serve(stream, tls, &|request| {
                            service.answer(origin_is_issuer, id, request)
                        });
                    }
                    sync::lock(&shared.open).remove(&id);
                };
                let _ = thread::Builder::new().name(format!("test server {address}")).spawn(serve);
            }
        })?;
        Ok(listening)
    }
}

impl Connections {
    fn opened(&self, id: usize, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_write_timeout(Some(IDLE))?;
        stream.set_nodelay(true)?;
        let mut open = sync::lock(&self.open);
        if self.over.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        open.insert(id, stream.try_clone()?);
        Ok(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        for stream in sync::lock(&self.shared.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the listener.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}
