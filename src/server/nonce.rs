//! Nonces without memory: made from a secret and the time (RFC 9449 §8, §9, §11.3).

use std::fmt;
use std::time::{Duration, SystemTime};

use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::crypto::{hmac, random};
use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::jose::base64url::{base64url, from_base64url};
use crate::jose::public_key::Thumbprint;
use crate::time::unix_seconds;

/// Bytes of a nonce: the time it was made, and the tag.
const TIME: usize = 8;
const TAG: usize = 16;
/// How far the clocks of two nodes with one secret may disagree.
const NODE_CLOCK_TOLERANCE: u64 = 10;

/// What a source of nonces makes of a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceState {
    /// It is one of the source's.
    Valid {
        /// Through which second it is accepted; `None` where the source does not know.
        until: Option<SystemTime>,
        /// Its end is near: the response should carry its successor.
        ageing: bool,
    },
    /// It is expired, forged or unknown: which, the client is not told.
    Invalid,
}

/// Where a server's nonces come from and are recognised. [`StatelessNonces`] is one without memory.
pub trait NonceSource: Send + Sync {
    /// A nonce for the client whose proof is by the key `jkt` (`None`: the proof could not be read).
    ///
    /// # Errors
    /// When none can be made; the response then carries none.
    fn make(&self, part: ServerRole, jkt: Option<&Thumbprint>, now: SystemTime) -> Result<String, Error>;

    /// What a nonce in a proof by that key is worth. It must not be given for another part.
    fn check(&self, nonce: &str, part: ServerRole, jkt: &Thumbprint, now: SystemTime) -> NonceState;
}

/// Nonces that need no memory: each is the time it was made and an HMAC-SHA256 tag of 128 bits over that time, the part it
/// is for and, if so set, the client's key. Every node with the same secret makes and accepts the same ones.
///
/// A nonce of 32 characters (base64url, so all NQCHAR) is good for its lifetime, five minutes unless set otherwise; in the
/// second half of it, responses carry its successor, so a busy client is never challenged.
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
    /// The first makes, all are accepted.
    secrets: Vec<Zeroizing<Vec<u8>>>,
    scope: String,
    lifetime: Duration,
    per_key: bool,
}

impl StatelessNonces {
    /// Nonces of a secret of at least 32 random bytes: the same on every node.
    ///
    /// # Errors
    /// [`Parameter`](ErrorKind::Parameter) when it is shorter, or plainly not random (one byte repeated).
    pub fn new(secret: &[u8]) -> Result<Self, Error> {
        Ok(Self {
            secrets: vec![checked(secret)?],
            scope: String::new(),
            lifetime: Duration::from_secs(300),
            per_key: false,
        })
    }

    /// Nonces of a new secret from the operating system: for a server that runs once. After a restart, clients are
    /// challenged once.
    ///
    /// # Errors
    /// [`Random`](ErrorKind::Random) when there is no randomness.
    pub fn generate() -> Result<Self, Error> {
        Self::new(Zeroizing::new(random::<32>()?).as_slice())
    }

    /// Accepts the nonces of a former or a coming secret as well. To change the secret on several nodes: first every node
    /// accepts the new one, then every node makes with it and accepts the old one, and after the lifetime of a nonce the
    /// old one goes.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn accept(mut self, secret: &[u8]) -> Result<Self, Error> {
        self.secrets.push(checked(secret)?);
        Ok(self)
    }

    /// Tells the nonces of several servers with one secret apart: a tenant, an issuer, an API.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        Self { scope: scope.into(), ..self }
    }

    /// How long a nonce is good, in whole seconds.
    #[must_use]
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// Makes each nonce for one client key: nobody can use another's.
    #[must_use]
    pub fn per_key(self) -> Self {
        Self { per_key: true, ..self }
    }

    fn tag(
        &self,
        secret: &[u8],
        made: u64,
        part: ServerRole,
        jkt: Option<&Thumbprint>,
    ) -> Result<[u8; TAG], Error> {
        let mut message = b"DPoP-Nonce v1\0".to_vec();
        message.push(match part {
            ServerRole::AuthorizationServer => 1,
            ServerRole::ResourceServer => 2,
        });
        message.extend(made.to_be_bytes());
        // Of fixed length where it is there at all, so that nothing runs into what follows.
        match jkt.filter(|_| self.per_key) {
            Some(jkt) => message.extend([&[1], jkt.as_bytes().as_slice()].concat()),
            None => message.push(0),
        }
        message.extend(self.scope.as_bytes());
        let mac = hmac::<Sha256>(secret, &message)?;
        mac.get(..TAG).and_then(|tag| tag.try_into().ok()).ok_or_else(|| {
            Error::new(ErrorKind::Random, "making a nonce", "the HMAC is shorter than the tag")
        })
    }
}

impl NonceSource for StatelessNonces {
    fn make(&self, part: ServerRole, jkt: Option<&Thumbprint>, now: SystemTime) -> Result<String, Error> {
        let made = unix_seconds(now)?;
        let secret = self.secrets.first().map(|secret| secret.as_slice()).unwrap_or_default();
        let tag = self.tag(secret, made, part, jkt)?;
        Ok(base64url(&[made.to_be_bytes().as_slice(), &tag].concat()))
    }

    fn check(&self, nonce: &str, part: ServerRole, jkt: &Thumbprint, now: SystemTime) -> NonceState {
        self.state(nonce, part, jkt, now).unwrap_or(NonceState::Invalid)
    }
}

impl StatelessNonces {
    fn state(&self, nonce: &str, part: ServerRole, jkt: &Thumbprint, now: SystemTime) -> Option<NonceState> {
        let now = unix_seconds(now).ok()?;
        let bytes = from_base64url(nonce).filter(|bytes| bytes.len() == TIME + TAG)?;
        let (made, seen) = bytes.split_at_checked(TIME)?;
        let made = u64::from_be_bytes(made.try_into().ok()?);
        // The tag first and all secrets always: what comes back fast says nothing of what was wrong.
        let mut known = subtle::Choice::from(0);
        for secret in &self.secrets {
            known |= self.tag(secret, made, part, Some(jkt)).ok()?.as_slice().ct_eq(seen);
        }
        let lifetime = self.lifetime.as_secs();
        let age = now.saturating_sub(made);
        if !bool::from(known) || age > lifetime || made > now.saturating_add(NODE_CLOCK_TOLERANCE) {
            return None;
        }
        let time = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        Some(NonceState::Valid { until: time(made.saturating_add(lifetime)), ageing: age > lifetime / 2 })
    }
}

impl fmt::Debug for StatelessNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatelessNonces")
            .field("secrets", &self.secrets.len())
            .field("scope", &self.scope)
            .field("lifetime", &self.lifetime)
            .field("per_key", &self.per_key)
            .finish()
    }
}

fn checked(secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let repeated = secret.windows(2).all(|pair| matches!(pair, [a, b] if a == b));
    if secret.len() < 32 || repeated {
        let wrong = "it must be at least 32 random bytes, such as `openssl rand 32` gives";
        return Err(Error::new(ErrorKind::Parameter, "taking a secret for nonces", wrong));
    }
    Ok(Zeroizing::new(secret.to_vec()))
}
