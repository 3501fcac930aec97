//! The nonces of a server: the interface of a source, and a stateless source (RFC 9449 §8, §9, §11.3).

use std::fmt;
use std::time::{Duration, SystemTime};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::crypto::{HmacKey, random};
use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::jose::base64url::{base64url, from_base64url_to};
use crate::jose::public_key::Thumbprint;
use crate::server::clock_tolerance::NODE_CLOCK_TOLERANCE;
use crate::time::unix_millis;

/// The lengths in bytes of the two parts of a nonce: the time when it was made, in milliseconds since 1970,
/// and the tag. In whole seconds, a nonce that was made just before a restart of the server could not be
/// told from one that was made just after.
const TIME: usize = 8;
const TAG: usize = 16;

/// The outcome of the check of a nonce by its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceState {
    /// The source issued the nonce, and it has not expired.
    Valid {
        /// When it was made, to the millisecond, or an earlier time; `None` if the source does not know.
        made: Option<SystemTime>,
        /// The last second in which it is accepted; `None` if the source does not know.
        until: Option<SystemTime>,
        /// Whether it expires soon, so that the response should carry a new one.
        ageing: bool,
    },
    /// The nonce is expired, forged or unknown. The client is not told which.
    Invalid,
}

/// Issues the nonces of a server and recognizes them. [`StatelessNonces`] is an implementation that stores
/// nothing.
///
/// ```
/// use std::time::SystemTime;
///
/// use possession::server::{NonceSource, NonceState};
/// use possession::{Error, ServerRole, Thumbprint};
///
/// /// Nonces that another process makes: a current one for each role.
/// struct FromCache;
/// # fn current_nonce(role: ServerRole) -> Result<String, Error> { Ok(format!("{role:?}")) }
///
/// impl NonceSource for FromCache {
///     fn make(&self, role: ServerRole, _: Option<&Thumbprint>, _: SystemTime) -> Result<String, Error> {
///         current_nonce(role)
///     }
///
///     fn check(&self, nonce: &str, role: ServerRole, _: &Thumbprint, _: SystemTime) -> NonceState {
///         match current_nonce(role) {
///             Ok(current) if current == nonce => {
///                 NonceState::Valid { made: None, until: None, ageing: false }
///             }
///             _ => NonceState::Invalid,
///         }
///     }
/// }
/// ```
pub trait NonceSource: Send + Sync {
    /// Makes a nonce for a server in `role`, to be sent to the client whose key is `jkt` (`None` if the key
    /// is not known).
    ///
    /// # Errors
    /// Returns an error when no nonce can be made. The response then carries none.
    fn make(&self, role: ServerRole, jkt: Option<&Thumbprint>, now: SystemTime) -> Result<String, Error>;

    /// Checks the nonce in a proof by the key `jkt`. A nonce that was made for another role is not valid.
    ///
    /// It is called after the signature of the proof has been verified. The proof may still be rejected, for
    /// example because its access token is bound to another key, so a nonce is not used up here but by
    /// [`consume`](Self::consume).
    fn check(&self, nonce: &str, role: ServerRole, jkt: &Thumbprint, now: SystemTime) -> NonceState;

    /// Uses up a nonce that [`check`](Self::check) has found to be valid, and returns whether it was still
    /// unused, for a source that accepts each nonce once. Finding and removing it must be one atomic step.
    ///
    /// It is called when the proof has passed every check except the replay store. If it returns false,
    /// the proof is rejected with `use_dpop_nonce` and a new nonce. By default it does nothing and
    /// returns true, so that a nonce is accepted until it expires.
    ///
    /// ```
    /// use std::collections::HashSet;
    /// use std::sync::{Mutex, PoisonError};
    /// use std::time::SystemTime;
    ///
    /// use possession::server::{NonceSource, NonceState};
    /// use possession::{Error, ServerRole, Thumbprint};
    ///
    /// /// Nonces that are accepted once. A real source bounds their number and lets them expire.
    /// #[derive(Default)]
    /// struct SingleUse(Mutex<HashSet<String>>);
    /// # fn random_nonce() -> String { "n-1".to_owned() }
    ///
    /// impl NonceSource for SingleUse {
    ///     fn make(&self, _: ServerRole, _: Option<&Thumbprint>, _: SystemTime) -> Result<String, Error> {
    ///         let nonce = random_nonce();
    ///         self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(nonce.clone());
    ///         Ok(nonce)
    ///     }
    ///
    ///     fn check(&self, nonce: &str, _: ServerRole, _: &Thumbprint, _: SystemTime) -> NonceState {
    ///         match self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(nonce) {
    ///             // Each response has a new nonce.
    ///             true => NonceState::Valid { made: None, until: None, ageing: true },
    ///             false => NonceState::Invalid,
    ///         }
    ///     }
    ///
    ///     fn consume(&self, nonce: &str, _: ServerRole, _: &Thumbprint, _: SystemTime) -> bool {
    ///         self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(nonce)
    ///     }
    /// }
    /// ```
    fn consume(&self, nonce: &str, role: ServerRole, jkt: &Thumbprint, now: SystemTime) -> bool {
        let _ = (nonce, role, jkt, now);
        true
    }

    /// Returns how long a nonce is valid at most, if the source knows of each nonce when it was made and when
    /// it expires, and otherwise `None`, as by default. The verifier needs it to compute how long proofs are
    /// remembered ([`Verifier::retention`](crate::server::Verifier::retention)) when it trusts the time of
    /// nonces.
    fn nonce_lifetime(&self) -> Option<Duration> {
        None
    }

    /// Returns whether the other functions need I/O. By default they do, and
    /// [`ResourceServer::try_authenticate`](crate::server::ResourceServer::try_authenticate) then leaves the
    /// request to a thread that may block. A source that keeps its nonces in memory, or none at all, returns
    /// false.
    fn needs_io(&self) -> bool {
        true
    }
}

/// Stateless nonces. A nonce consists of the time when it was made and an HMAC-SHA256 tag of 128 bits over
/// that time, the role of the server and, with [`per_key`](Self::per_key), the client's key. All nodes with
/// the same secret make and accept the same nonces.
///
/// A nonce has 32 characters of base64url, which are all NQCHAR (RFC 9449 §8.1). It is valid for its
/// lifetime, five minutes by default. In the second half of its lifetime responses carry a new one, so a
/// busy client is never challenged.
///
/// ```
/// use possession::server::{MemoryReplayStore, StatelessNonces, Verifier};
///
/// # fn secret_from_your_configuration() -> Vec<u8> { (0..32).collect() }
/// let nonces = StatelessNonces::new(&secret_from_your_configuration())?;
/// let verifier = Verifier::new(MemoryReplayStore::new(100_000)).require_nonces(nonces);
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone)]
pub struct StatelessNonces {
    /// The secret that nonces are made with.
    secret: HmacKey,
    /// Nonces of these are accepted as well.
    other_secrets: Vec<HmacKey>,
    scope: String,
    lifetime: Duration,
    per_key: bool,
}

impl StatelessNonces {
    /// Creates a source from a secret of at least 32 random bytes, which is the same on every node.
    ///
    /// # Errors
    /// Returns [`Parameter`](ErrorKind::Parameter) when the secret is shorter, or obviously not random (one
    /// byte repeated).
    pub fn new(secret: &[u8]) -> Result<Self, Error> {
        Ok(Self {
            secret: checked_secret(secret)?,
            other_secrets: Vec::new(),
            scope: String::new(),
            lifetime: Duration::from_secs(300),
            per_key: false,
        })
    }

    /// Creates a source with a new secret from the operating system, for a server that runs on one node.
    /// After a restart each client is challenged once.
    ///
    /// # Errors
    /// Returns [`Random`](ErrorKind::Random) when the operating system provides no randomness.
    pub fn generate() -> Result<Self, Error> {
        Self::new(Zeroizing::new(random::<32>()?).as_slice())
    }

    /// Accepts the nonces of a previous or a future secret as well.
    ///
    /// To change the secret on several nodes, first let every node accept the new one. Then let every node
    /// make nonces with the new one and accept the old one. Remove the old one after the lifetime of a
    /// nonce.
    ///
    /// # Errors
    /// Returns the errors of [`new`](Self::new).
    pub fn accept(mut self, secret: &[u8]) -> Result<Self, Error> {
        self.other_secrets.push(checked_secret(secret)?);
        Ok(self)
    }

    /// Separates the nonces of several servers that share a secret: name the tenant, the issuer or the API.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        Self { scope: scope.into(), ..self }
    }

    /// Sets how long a nonce is valid, in whole seconds: 300 by default.
    #[must_use]
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// Makes each nonce for one client key, so that no other client can use it.
    #[must_use]
    pub fn per_key(self) -> Self {
        Self { per_key: true, ..self }
    }

    fn tag(
        &self,
        secret: &HmacKey,
        made: u64,
        role: ServerRole,
        jkt: Option<&Thumbprint>,
    ) -> Result<[u8; TAG], Error> {
        let role = match role {
            ServerRole::AuthorizationServer => [1],
            ServerRole::ResourceServer => [2],
        };
        // The key has a fixed length and is preceded by a marker, so two different inputs never give the
        // same message.
        let (marker, jkt) = match jkt.filter(|_| self.per_key) {
            Some(jkt) => ([1], jkt.as_bytes().as_slice()),
            None => ([0], [].as_slice()),
        };
        let made = made.to_be_bytes();
        let message = [b"DPoP-Nonce v1\0".as_slice(), &role, &made, &marker, jkt, self.scope.as_bytes()];
        let mac = secret.mac(&message);
        mac.first_chunk().copied().ok_or_else(|| {
            Error::new(ErrorKind::Random, "making a nonce", "the HMAC is shorter than the tag")
        })
    }
}

impl NonceSource for StatelessNonces {
    fn make(&self, role: ServerRole, jkt: Option<&Thumbprint>, now: SystemTime) -> Result<String, Error> {
        let made = unix_millis(now)?;
        let tag = self.tag(&self.secret, made, role, jkt)?;
        Ok(base64url(&[made.to_be_bytes().as_slice(), &tag].concat()))
    }

    fn check(&self, nonce: &str, role: ServerRole, jkt: &Thumbprint, now: SystemTime) -> NonceState {
        self.state(nonce, role, jkt, now).unwrap_or(NonceState::Invalid)
    }

    fn nonce_lifetime(&self) -> Option<Duration> {
        Some(self.lifetime)
    }

    fn needs_io(&self) -> bool {
        false
    }
}

impl StatelessNonces {
    fn state(&self, nonce: &str, role: ServerRole, jkt: &Thumbprint, now: SystemTime) -> Option<NonceState> {
        let now = unix_millis(now).ok()?;
        let bytes: [u8; TIME + TAG] = from_base64url_to(nonce)?;
        let (made, seen) = bytes.split_at_checked(TIME)?;
        let made = u64::from_be_bytes(made.try_into().ok()?);
        // The tag is computed with every secret before anything else is looked at, so that the duration of
        // the check does not reveal what was wrong.
        let mut known = subtle::Choice::from(0);
        for secret in std::iter::once(&self.secret).chain(&self.other_secrets) {
            known |= self.tag(secret, made, role, Some(jkt)).ok()?.as_slice().ct_eq(seen);
        }
        let lifetime = self.lifetime.as_secs().saturating_mul(1000);
        let age = now.saturating_sub(made);
        let ahead = made.saturating_sub(now);
        if !bool::from(known) || age > lifetime || ahead > NODE_CLOCK_TOLERANCE.saturating_mul(1000) {
            return None;
        }
        let time = |millis| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis));
        let until = time(made.saturating_add(lifetime));
        Some(NonceState::Valid { made: time(made), until, ageing: age > lifetime / 2 })
    }
}

impl fmt::Debug for StatelessNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatelessNonces")
            .field("other_secrets", &self.other_secrets.len())
            .field("scope", &self.scope)
            .field("lifetime", &self.lifetime)
            .field("per_key", &self.per_key)
            .finish()
    }
}

fn checked_secret(secret: &[u8]) -> Result<HmacKey, Error> {
    const MIN_LENGTH: usize = 32;
    let refuse = |wrong: String| Err(Error::new(ErrorKind::Parameter, "checking a secret for nonces", wrong));
    let length = secret.len();
    if length < MIN_LENGTH {
        return refuse(format!(
            "it has {length} bytes (at least {MIN_LENGTH} random ones are needed, for example from \
             `openssl rand 32`)"
        ));
    }
    if secret.windows(2).all(|pair| matches!(pair, [a, b] if a == b)) {
        return refuse(format!(
            "all of its {length} bytes are equal (use random ones, for example from `openssl rand 32`)"
        ));
    }
    HmacKey::new(secret)
}
