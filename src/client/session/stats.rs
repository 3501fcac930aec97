//! Counters of a session.

use crate::sync::atomic::{AtomicU64, Ordering};

/// What a [`Session`](crate::Session) and its clones did so far, from
/// [`Session::stats`](crate::Session::stats). Counting costs a few nanoseconds per call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls of resources.
    pub calls: u64,
    /// Calls and token fetches that ended in an error after something was sent or could have been sent.
    pub failures: u64,
    /// Requests that were retried: with a nonce, dated by the server's clock, with a new token, or on a new
    /// connection. Token requests that were repeated after a pause count as
    /// [`token_requests`](Self::token_requests).
    pub retries: u64,
    /// Tokens received.
    pub tokens: u64,
    /// Tokens that replaced an earlier one for the same key and parameters.
    pub renewals: u64,
    /// Requests to the token endpoint.
    pub token_requests: u64,
    /// Nonces that were new, from servers in both roles.
    pub nonces_learned: u64,
    /// The origins whose clock differs from the local one, with the seconds that are added for each.
    pub clock_offsets: Vec<(String, i64)>,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) calls: Counter,
    pub(super) failures: Counter,
    pub(super) retries: Counter,
    pub(super) tokens: Counter,
    pub(super) renewals: Counter,
    pub(super) token_requests: Counter,
}

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counters {
    pub(super) fn read(&self, nonces_learned: u64, clock_offsets: Vec<(String, i64)>) -> Stats {
        Stats {
            calls: self.calls.read(),
            failures: self.failures.read(),
            retries: self.retries.read(),
            tokens: self.tokens.read(),
            renewals: self.renewals.read(),
            token_requests: self.token_requests.read(),
            nonces_learned,
            clock_offsets,
        }
    }
}

impl Counter {
    pub(super) fn add(&self) {
        self.add_all(1);
    }

    pub(super) fn add_all(&self, count: u32) {
        self.0.fetch_add(count.into(), Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
