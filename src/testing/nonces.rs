//! Nonces as servers have them, good and bad.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::crypto::{base64url, random};
use crate::error::Error;
use crate::prover::Part;
use crate::public_key::Thumbprint;
use crate::server::{NonceSource, NonceState};

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
    by_part: HashMap<Part, VecDeque<(String, SystemTime)>>,
}

impl GivenNonces {
    pub(super) fn new(kind: Nonces) -> Self {
        Self { kind, given: Arc::default() }
    }

    pub(super) fn forget(&self) {
        self.lock().by_part.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A nonce that nobody was given before, though another may still be good.
    pub(super) fn fresh(&self, part: Part, now: SystemTime) -> Result<String, Error> {
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
    fn make(&self, part: Part, _: Option<&Thumbprint>, now: SystemTime) -> Result<String, Error> {
        // As real servers do: one for all, as long as it is young.
        if let Nonces::Lifetime(lifetime) | Nonces::LifetimeByChallenge(lifetime) = self.kind
            && let Some((nonce, made)) = self.lock().by_part.get(&part).and_then(VecDeque::back)
            && now.duration_since(*made).is_ok_and(|age| age < lifetime / 2)
        {
            return Ok(nonce.clone());
        }
        self.fresh(part, now)
    }

    fn check(&self, nonce: &str, part: Part, _: &Thumbprint, now: SystemTime) -> NonceState {
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
