//! Nonces as servers have them, good and bad.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use subtle::ConstantTimeEq;

use crate::crypto::random;
use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::jose::base64url::base64url;
use crate::jose::public_key::Thumbprint;
use crate::server::nonce::{NonceSource, NonceState};
use crate::sync;

/// As many of the newest are accepted where every response brings one: other threads' responses may come between.
const ACCEPTED: usize = 300;

/// What the nonces of a [`TestServer`](crate::testing::TestServer) are like. Those of the two parts are never the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nonces {
    /// There are none.
    Off,
    /// Each lives so long, and a response brings the next when half of that is over.
    Lifetime(Duration),
    /// Each lives so long, and only a challenge brings the next.
    LifetimeByChallenge(Duration),
    /// Every response brings a new one, and the newest 300 are accepted.
    EachResponse,
}

/// Knows those it gave.
#[derive(Clone)]
pub(super) struct GivenNonces {
    kind: Nonces,
    given: Arc<Mutex<Given>>,
}

#[derive(Default)]
struct Given {
    by_part: HashMap<ServerRole, VecDeque<(String, SystemTime)>>,
}

impl GivenNonces {
    pub(super) fn new(kind: Nonces) -> Self {
        Self { kind, given: Arc::default() }
    }

    pub(super) fn forget(&self) {
        self.lock().by_part.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        sync::lock(&self.given)
    }

    /// A nonce that nobody was given before, though another may still be good.
    pub(super) fn fresh(&self, part: ServerRole, now: SystemTime) -> Result<String, Error> {
        let nonce = base64url(&random::<18>()?);
        let mut given = self.lock();
        let nonces = given.by_part.entry(part).or_default();
        nonces.push_back((nonce.clone(), now));
        if nonces.len() > ACCEPTED {
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

impl NonceSource for GivenNonces {
    fn make(&self, part: ServerRole, _: Option<&Thumbprint>, now: SystemTime) -> Result<String, Error> {
        // As real servers do: one for all, as long as it is young.
        if let Nonces::Lifetime(lifetime) | Nonces::LifetimeByChallenge(lifetime) = self.kind
            && let Some((nonce, made)) = self.lock().by_part.get(&part).and_then(VecDeque::back)
            && now.duration_since(*made).is_ok_and(|age| age < lifetime / 2)
        {
            return Ok(nonce.clone());
        }
        self.fresh(part, now)
    }

    fn check(&self, nonce: &str, part: ServerRole, _: &Thumbprint, now: SystemTime) -> NonceState {
        let given = self.lock();
        let made = given
            .by_part
            .get(&part)
            .and_then(|nonces| nonces.iter().rev().find(|(known, _)| known == nonce))
            .map(|(_, made)| *made);
        let age = made.map(|made| now.duration_since(made).unwrap_or_default());
        match age.filter(|age| *age < self.lifetime()) {
            None => NonceState::Invalid,
            Some(age) => {
                let ageing = match self.kind {
                    Nonces::Lifetime(lifetime) => age >= lifetime / 2,
                    Nonces::EachResponse => true,
                    Nonces::Off | Nonces::LifetimeByChallenge(_) => false,
                };
                let until = made.and_then(|made| made.checked_add(self.lifetime()));
                NonceState::Valid { until, ageing }
            }
        }
    }
}

/// A fixed list of nonces: the first is issued and all are accepted, whatever the role and the key.
#[derive(Clone)]
pub struct FixedNonces(Vec<String>);

impl FixedNonces {
    /// Gives the first and accepts all.
    pub fn new<S: Into<String>>(nonces: impl IntoIterator<Item = S>) -> Self {
        Self(nonces.into_iter().map(Into::into).collect())
    }
}

impl NonceSource for FixedNonces {
    fn make(&self, _: ServerRole, _: Option<&Thumbprint>, _: SystemTime) -> Result<String, Error> {
        self.0
            .first()
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::Parameter, "giving a nonce", "there is none"))
    }

    fn check(&self, nonce: &str, _: ServerRole, _: &Thumbprint, _: SystemTime) -> NonceState {
        // All are compared, each in constant time.
        let known = self.0.iter().fold(subtle::Choice::from(0), |known, accepted| {
            known | nonce.as_bytes().ct_eq(accepted.as_bytes())
        });
        match known.into() {
            true => NonceState::Valid { until: None, ageing: false },
            false => NonceState::Invalid,
        }
    }
}

impl fmt::Debug for FixedNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FixedNonces({})", self.0.len())
    }
}
