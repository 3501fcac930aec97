//! The nonces of a test server.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::crypto::random;
use crate::dpop::server_role::ServerRole;
use crate::error::Error;
use crate::jose::base64url::base64url;
use crate::jose::public_key::Thumbprint;
use crate::server::nonce::{NonceSource, NonceState};
use crate::sync::{self, Mutex};

/// The number of nonces per role that are remembered. Where every response brings a new nonce, responses to
/// other threads may come between the response that brought one and the request that uses it.
const MAX_NONCES: usize = 300;

/// How a [`TestServer`](crate::testing::TestServer) issues nonces. The authorization server and the resource
/// server never accept each other's.
///
/// ```
/// # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use possession::testing::{Nonces, TestServer};
///
/// let server = TestServer::builder().nonces(Nonces::Off).start()?;
/// server.session().discover()?.get(&server.resource("/"))?;
/// assert_eq!(server.counts().challenges, 0);
/// # Ok(()) }
/// # #[cfg(not(feature = "ureq"))] fn main() {}
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nonces {
    /// Nonces are neither issued nor required.
    Off,
    /// Each nonce has this lifetime. When half of it is over, a successful response brings the next nonce.
    Lifetime(Duration),
    /// Each nonce has this lifetime, and only a challenge brings the next nonce.
    LifetimeByChallenge(Duration),
    /// Every response brings a new nonce, and the newest 300 are accepted.
    EachResponse,
}

/// Remembers the nonces that were issued. Clones share them.
#[derive(Clone)]
pub(super) struct IssuedNonces {
    kind: Nonces,
    by_role: Arc<Mutex<NoncesByRole>>,
}

/// The newest nonce is the last, each with the time at which it was issued.
type NoncesByRole = HashMap<ServerRole, VecDeque<(String, SystemTime)>>;

impl IssuedNonces {
    pub(super) fn new(kind: Nonces) -> Self {
        Self { kind, by_role: Arc::default() }
    }

    /// Forgets all nonces, so that none is accepted any more.
    pub(super) fn clear(&self) {
        sync::lock(&self.by_role).clear();
    }

    /// Issues a new nonce, also while an earlier one could be issued again.
    pub(super) fn issue(&self, role: ServerRole, now: SystemTime) -> Result<String, Error> {
        let nonce = base64url(&random::<18>()?);
        let mut by_role = sync::lock(&self.by_role);
        let nonces = by_role.entry(role).or_default();
        nonces.push_back((nonce.clone(), now));
        if nonces.len() > MAX_NONCES {
            nonces.pop_front();
        }
        Ok(nonce)
    }

    fn lifetime(&self) -> Duration {
        match self.kind {
            Nonces::Lifetime(lifetime) | Nonces::LifetimeByChallenge(lifetime) => lifetime,
            Nonces::Off | Nonces::EachResponse => Duration::MAX,
        }
    }
}

impl NonceSource for IssuedNonces {
    fn make(&self, role: ServerRole, _: Option<&Thumbprint>, now: SystemTime) -> Result<String, Error> {
        // Deployed servers issue one nonce to all clients until half of its lifetime is over.
        if let Nonces::Lifetime(lifetime) | Nonces::LifetimeByChallenge(lifetime) = self.kind
            && let Some((nonce, issued)) = sync::lock(&self.by_role).get(&role).and_then(VecDeque::back)
            && now.duration_since(*issued).is_ok_and(|age| age < lifetime / 2)
        {
            return Ok(nonce.clone());
        }
        self.issue(role, now)
    }

    fn check(&self, nonce: &str, role: ServerRole, _: &Thumbprint, now: SystemTime) -> NonceState {
        let by_role = sync::lock(&self.by_role);
        let issued = by_role
            .get(&role)
            .and_then(|nonces| nonces.iter().rev().find(|(known, _)| known == nonce))
            .map(|(_, issued)| *issued);
        let age = issued.map(|issued| now.duration_since(issued).unwrap_or_default());
        match age.filter(|age| *age < self.lifetime()) {
            None => NonceState::Invalid,
            Some(age) => {
                let ageing = match self.kind {
                    Nonces::Lifetime(lifetime) => age >= lifetime / 2,
                    Nonces::EachResponse => true,
                    Nonces::Off | Nonces::LifetimeByChallenge(_) => false,
                };
                let until = issued.and_then(|issued| issued.checked_add(self.lifetime()));
                NonceState::Valid { made: None, until, ageing }
            }
        }
    }
}
