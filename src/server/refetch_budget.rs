//! How often keys may be fetched before they are due.

use std::time::{Duration, SystemTime};

use crate::time::elapsed_between;

/// The number of early fetches that may follow each other at once.
const CAPACITY: u32 = 5;
/// How long it takes until one more is allowed.
const REFILL: Duration = Duration::from_secs(60);

/// Limits the fetches that anybody can cause with a token by an unknown key: a token bucket for five of them,
/// into which one comes back each minute.
///
/// One fetch a minute would be enough to follow a rotation, but not if an attacker causes it just before.
pub(super) struct RefetchBudget {
    left: u32,
    /// When the current minute began; `None` while nothing is missing.
    refilling_since: Option<SystemTime>,
}

impl Default for RefetchBudget {
    fn default() -> Self {
        Self { left: CAPACITY, refilling_since: None }
    }
}

impl RefetchBudget {
    /// Returns the time until a fetch is allowed; `None` if it is allowed now.
    pub(super) fn wait(&mut self, now: SystemTime) -> Option<Duration> {
        let wait = self.refill(now);
        (self.left == 0).then_some(wait)
    }

    /// Takes a fetch out of the budget.
    pub(super) fn take(&mut self, now: SystemTime) {
        self.left = self.left.saturating_sub(1);
        self.refilling_since.get_or_insert(now);
    }

    /// Puts back what the time has brought, and returns how long the next one takes.
    fn refill(&mut self, now: SystemTime) -> Duration {
        let Some(since) = self.refilling_since else { return REFILL };
        let Some(elapsed) = elapsed_between(since, now) else {
            // A clock that was set back neither brings anything nor delays it for longer than a minute.
            self.refilling_since = Some(now);
            return REFILL;
        };
        let minutes = elapsed.as_secs() / REFILL.as_secs();
        self.left = u32::try_from(minutes).map_or(CAPACITY, |minutes| self.left.saturating_add(minutes));
        if self.left >= CAPACITY {
            *self = Self::default();
            return REFILL;
        }
        let counted = Duration::from_secs(minutes.saturating_mul(REFILL.as_secs()));
        self.refilling_since = since.checked_add(counted);
        REFILL.saturating_sub(elapsed.saturating_sub(counted))
    }
}
