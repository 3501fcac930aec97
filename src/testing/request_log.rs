//! The log of a test server: the requests it received and counters.

use std::collections::{HashSet, VecDeque};

use super::quirk::Endpoint;
use super::received::Received;
use crate::crypto::sha256;
use crate::sync::{self, Mutex};

/// The number of `jti` values after which the older half of them is forgotten.
const MAX_JTIS: usize = 1_000_000;

/// Counters of a [`TestServer`](crate::testing::TestServer), which
/// [`counts`](crate::testing::TestServer::counts) returns.
///
/// ```
/// # #[cfg(feature = "ureq")] fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use possession::testing::TestServer;
///
/// let server = TestServer::start()?;
/// server.session().discover()?.get(&server.resource("/"))?;
/// let counts = server.counts();
/// assert_eq!((counts.tokens, counts.resource_requests, counts.repeated_proofs), (1, 2, 0));
/// // A new client has no nonce: the token endpoint and the resource each asked for one.
/// assert_eq!(counts.challenges, 2);
/// # Ok(()) }
/// # #[cfg(not(feature = "ureq"))] fn main() {}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// All requests.
    pub requests: u64,
    /// Requests to the token endpoint.
    pub token_requests: u64,
    /// Requests to resources.
    pub resource_requests: u64,
    /// Access tokens issued.
    pub tokens: u64,
    /// Responses that asked for a nonce.
    pub challenges: u64,
    /// Proofs and client assertions whose `jti` had been received before.
    pub repeated_proofs: u64,
    /// Authorization codes and refresh tokens that were received again after they had been used.
    pub repeated_grants: u64,
    /// Responses that quirks changed, counted once for each quirk.
    pub quirks: u64,
}

pub(super) struct RequestLog {
    max_received: usize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    received: VecDeque<Received>,
    counts: Counts,
    jtis: Jtis,
}

/// Digests of the `jti` values received, in two generations: when the newer one is full it replaces the older
/// one, so that old values are forgotten without a search.
#[derive(Default)]
struct Jtis {
    newer: HashSet<JtiDigest>,
    older: HashSet<JtiDigest>,
}

/// Half of a SHA-256 digest, to save memory in long tests.
type JtiDigest = [u8; 16];

impl RequestLog {
    pub(super) fn new(max_received: usize) -> Self {
        Self { max_received, entries: Mutex::default() }
    }

    pub(super) fn add(&self, received: Received) {
        let jtis: Vec<_> = [received.proof(), received.assertion()]
            .into_iter()
            .flatten()
            .filter_map(|jwt| sha256(jwt.string_claim("jti")?.as_bytes()).first_chunk().copied())
            .collect();
        let mut entries = sync::lock(&self.entries);
        entries.counts.requests += 1;
        match received.endpoint {
            Endpoint::Token => entries.counts.token_requests += 1,
            Endpoint::Resource => entries.counts.resource_requests += 1,
            _ => {}
        }
        for jti in jtis {
            if !entries.jtis.insert(jti) {
                entries.counts.repeated_proofs += 1;
            }
        }
        if self.max_received > 0 {
            if entries.received.len() >= self.max_received {
                entries.received.pop_front();
            }
            entries.received.push_back(received);
        }
    }

    /// Increments one of the counters.
    pub(super) fn count(&self, counter: impl FnOnce(&mut Counts) -> &mut u64) {
        *counter(&mut sync::lock(&self.entries).counts) += 1;
    }

    pub(super) fn add_quirks(&self, count: u64) {
        sync::lock(&self.entries).counts.quirks += count;
    }

    pub(super) fn received(&self) -> Vec<Received> {
        sync::lock(&self.entries).received.iter().cloned().collect()
    }

    pub(super) fn counts(&self) -> Counts {
        sync::lock(&self.entries).counts.clone()
    }

    /// Forgets the requests and returns them.
    pub(super) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut sync::lock(&self.entries).received).into()
    }

    /// Forgets requests and counters. The `jti` values stay, so that a repetition is still detected.
    pub(super) fn clear(&self) {
        let mut entries = sync::lock(&self.entries);
        entries.received.clear();
        entries.counts = Counts::default();
    }
}

impl Jtis {
    /// Returns whether the value is new.
    fn insert(&mut self, jti: JtiDigest) -> bool {
        if self.older.contains(&jti) || !self.newer.insert(jti) {
            return false;
        }
        if self.newer.len() >= MAX_JTIS / 2 {
            self.older = std::mem::take(&mut self.newer);
        }
        true
    }
}
