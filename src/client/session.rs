//! A client that keeps a valid access token and calls resources with it.

#[cfg(feature = "ureq")]
mod agent;
#[cfg(feature = "ureq")]
pub(crate) mod body;
pub(crate) mod builder;
mod call;
mod deadline;
mod end;
#[cfg(feature = "ureq")]
mod expect_continue;
pub(crate) mod grant;
#[cfg(feature = "json")]
pub(crate) mod json;
mod opened_session;
mod other_http_client;
#[cfg(feature = "ureq")]
mod overload;
mod persistence;
mod refresh_tokens;
mod refusals;
mod startup;
pub(crate) mod stats;
mod stored_refresh;
mod token_cache;
mod token_issuer;
#[cfg(feature = "ureq")]
mod ureq_calls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::deadline::Deadline;
#[cfg(feature = "ureq")]
use self::expect_continue::UnsupportedOrigins;
use self::persistence::Persistence;
use self::stats::Stats;
use self::token_cache::{CacheKey, CachedToken, TokenCache};
use self::token_issuer::{TokenFetch, TokenGrant, TokenIssuer};
use crate::client::grants::token_response::TokenResponse;
use crate::client::parameters::Parameters;
use crate::client::proofs::prover::Prover;
use crate::client::session_store::stored_session::StoredToken;
#[cfg(feature = "ureq")]
use crate::client::transport::Transport;
use crate::error::{Error, ErrorKind};
use crate::jose::signer::Signer;
use crate::oauth::metadata::AuthorizationServer;
use crate::sync::{self, RwLock};
use crate::url::Url;

/// Gets a DPoP-bound access token, keeps it valid, and calls resources with it. It is set up once, shared by
/// all threads, and can be left running for months. The token is one of the client credentials grant, unless
/// [`SessionBuilder::grant`](crate::SessionBuilder::grant) names another one.
///
/// Clones share token, key, nonces and connections.
///
#[cfg_attr(feature = "ureq", doc = "```no_run")]
#[cfg_attr(not(feature = "ureq"), doc = "```ignore")]
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
/// With the feature `ureq` a session sends calls itself: `get`, `post`, `run` and `agent`. Without it, and
/// for another HTTP client, [`authorize`](Self::authorize) prepares a request that you send, and
/// [`receive`](Self::receive) processes its response; token requests go over
/// [`SessionBuilder::http`](crate::SessionBuilder::http).
///
/// # What it does by itself
///
/// - **The token** is fetched when it is first needed, by one thread while the others wait. Before it
///   expires, one calling thread renews it while the others use the old one; there is no background thread.
///   After a 401 that says `invalid_token` or names no error code, the session fetches another token and
///   repeats the call, once. If the resource refuses that one too, its calls carry it without a further
///   replacement for a pause that grows from 1 to 60 seconds.
/// - **An authorization server that fails** (429, 5xx, no connection) is asked up to five times, after pauses
///   that grow and are partly random, or as long as its `Retry-After` says (five minutes at most), within the
///   [`deadline`](crate::SessionBuilder::deadline) of the call. Each attempt has its own proof and assertion.
///   When the pause is over, one call asks again, and the others wait for the outcome.
/// - **An authorization server that refuses** the client or its parameters is not asked for the same token
///   again for a pause that grows from one second to five minutes, or until
///   [`discard_token`](Self::discard_token). Until then calls without a valid token fail with the same error,
///   which says so. Another session and another key have no such pause.
/// - **Nonces** of both servers are taken from every response. A call that is refused with a new nonce, and
///   perhaps because its nonce is missing or expired, is retried once.
/// - **Clocks**: if a proof is refused and the response's `Date` certainly differs from the local clock, the
///   call is retried once, dated by the server's clock, and so are all later ones to that origin.
/// - **A connection that breaks** before any response is replaced once if the method is idempotent (RFC 9110
///   §9.2.2).
///
/// Every request has a proof of its own, and a call is sent three times at most. Whatever else a resource
/// responds is returned as a response, including error statuses and redirects, which are never followed. With
/// [`retry_when_overloaded`](crate::SessionBuilder::retry_when_overloaded) a call that a resource refuses
/// with 429 or 503 is repeated when its `Retry-After` is over.
#[derive(Clone)]
pub struct Session {
    core: Arc<Core>,
    parameters: Arc<Parameters>,
    parameters_digest: [u8; 32],
    deadline: Duration,
}

struct Core {
    issuer: TokenIssuer,
    /// The key in use, which `rotate_key` replaces.
    prover: RwLock<Prover>,
    tokens: TokenCache,
    persistence: Option<Persistence>,
    /// The origins that may be called; all, if none were named.
    resource_origins: Option<Vec<Url>>,
    #[cfg(feature = "ureq")]
    transport: Transport,
    #[cfg(feature = "ureq")]
    no_expect_continue: UnsupportedOrigins,
    #[cfg(feature = "ureq")]
    retry_when_overloaded: bool,
}

impl Session {
    /// Derives a session for another token: with its own scope, resource and further parameters, and the same
    /// key, nonces and connections. Sessions with equal parameters share the token.
    ///
    /// # Errors
    /// [`Parameter`](crate::ErrorKind::Parameter) for parameters that cannot be sent.
    pub fn with_parameters(&self, parameters: Parameters) -> Result<Self, Error> {
        self.core.issuer.check(&parameters, &self.prover())?;
        let parameters_digest = parameters.digest();
        Ok(Self { parameters_digest, parameters: Arc::new(parameters), ..self.clone() })
    }

    /// Derives a session with another [`deadline`](crate::SessionBuilder::deadline) for its calls.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// Returns the access token that calls are made with: the cached one while it is valid, else a new one.
    ///
    /// # Errors
    /// Those of [`client_credentials_grant_request`](crate::client_credentials_grant_request) and
    /// [`process_client_credentials_response`](crate::process_client_credentials_response);
    /// [`Timeout`](crate::ErrorKind::Timeout) and [`BackOff`](crate::ErrorKind::BackOff) if none is received
    /// within the call's deadline.
    pub fn access_token(&self) -> Result<Arc<TokenResponse>, Error> {
        self.valid_token(self.new_deadline()).map(|token| token.response)
    }

    /// Discards the cached token: the next call fetches a new one. Pauses after refusals end, so that a
    /// client whose registration was repaired need not wait. After a failure of the server (429, 5xx, no
    /// connection) the pause remains.
    pub fn discard_token(&self) {
        self.core.tokens.discard(&self.cache_key(&self.prover()));
    }

    /// Replaces the key. A token for the new key is fetched first; until then, and if that fails, calls use
    /// the old key and the token bound to it. Nonces and clock offsets of the servers stay known.
    ///
    /// If the key is kept in the session's [store](crate::SessionBuilder::store), the new one is stored there
    /// too when it is a [`KeyPair`](crate::KeyPair). Any other signer must be given to the next session.
    ///
    /// # Errors
    /// [`Algorithm`](crate::ErrorKind::Algorithm) if the server does not list the key's algorithm,
    /// [`AuthMethod`](crate::ErrorKind::AuthMethod) if the key also signs the client assertions,
    /// [`Parameter`](crate::ErrorKind::Parameter) for the refresh token of a public client, which is bound to
    /// its key, and those of [`access_token`](Self::access_token).
    pub fn rotate_key(&self, key: impl Signer + 'static) -> Result<(), Error> {
        let core = &*self.core;
        if matches!(core.issuer.grant, TokenGrant::RefreshToken(_)) && core.issuer.auth.method() == "none" {
            let wrong = "the refresh token of a public client is bound to its key (RFC 9449 §5; sign in again with another key)";
            return Err(Error::new(ErrorKind::Parameter, "replacing the key of a session", wrong));
        }
        let deadline = self.new_deadline();
        let prover = self.prover().with_key(key)?;
        // Until the key is that of the session, its token is not stored.
        let token = self
            .fetch_token(&prover, deadline)
            .inspect_err(|_| core.tokens.remove(&self.cache_key(&prover)))?;
        if let Some(persistence) = &core.persistence {
            let token = StoredToken { parameters: self.parameters_digest, response: token.response };
            persistence.rotate(&prover, token, deadline);
        }
        let thumbprint = prover.thumbprint();
        let replaced = std::mem::replace(&mut *sync::write(&core.prover), prover);
        // Its signer may be dropped with it, which is foreign code and must not run under the lock.
        drop(replaced);
        core.tokens.keep_only(&thumbprint);
        log::info!("the session of {} uses the key {thumbprint} from now on", core.issuer.shown_client());
        Ok(())
    }

    /// Returns the counters of this session and all its clones.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let prover = self.prover();
        self.core.issuer.counters.read(prover.nonces_learned(), prover.clock_offsets())
    }

    /// Returns the authorization server's metadata.
    #[must_use]
    pub fn server(&self) -> &AuthorizationServer {
        &self.core.issuer.server
    }

    /// Returns the key in use, with the per-server state.
    #[must_use]
    pub fn prover(&self) -> Prover {
        sync::read(&self.core.prover).clone()
    }

    fn new_deadline(&self) -> Deadline {
        Deadline::after(self.deadline, &*self.core.issuer.clock)
    }

    fn valid_token(&self, deadline: Deadline) -> Result<CachedToken, Error> {
        self.fetch_token(&self.prover(), deadline)
    }

    fn fetch_token(&self, prover: &Prover, deadline: Deadline) -> Result<CachedToken, Error> {
        let core = &*self.core;
        core.issuer.check_not_ended()?;
        let slot = core.tokens.slot(&self.cache_key(prover));
        let source = TokenFetch {
            issuer: &core.issuer,
            parameters: &self.parameters,
            parameters_digest: self.parameters_digest,
            prover,
            persistence: core.persistence.as_ref(),
        };
        let token = core.tokens.valid_token(&slot, &source, deadline);
        token.inspect_err(|_| core.issuer.counters.failures.add())
    }

    fn cache_key(&self, prover: &Prover) -> CacheKey {
        CacheKey { parameters: self.parameters_digest, jkt: prover.thumbprint() }
    }
}

impl Core {
    fn may_call(&self, target: &Url) -> bool {
        match &self.resource_origins {
            Some(origins) => origins.iter().any(|origin| origin.origin() == target.origin()),
            None => true,
        }
    }
}

impl Drop for Core {
    /// Stores the nonces and clock offsets that were learned since a token was stored, and what could not be
    /// stored before.
    fn drop(&mut self) {
        let Some(persistence) = &self.persistence else { return };
        let unsaved = match &self.issuer.grant {
            TokenGrant::RefreshToken(tokens) => tokens.unsaved(),
            _ => None,
        };
        // Nonces are not worth running foreign code during a panic. The only copy of a refresh token is.
        if std::thread::panicking() && unsaved.is_none() {
            return;
        }
        let close = || persistence.close(&sync::read(&self.prover).clone(), unsaved);
        // A second panic would end the process.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(close)).is_err() {
            log::error!("the store of a session panicked, and what was not stored is lost");
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("server", &self.core.issuer.server)
            .field("client", &self.core.issuer.client)
            .field("auth", &self.core.issuer.auth)
            .field("prover", &self.prover())
            .finish_non_exhaustive()
    }
}
