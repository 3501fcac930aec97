//! Time limits of calls.

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::time::Clock;

/// The longest time a renewal ahead of expiry may take of a call.
const MAX_RENEWAL_TIME: Duration = Duration::from_secs(5);
/// With less time than this a renewal ahead of expiry is not attempted.
const MIN_RENEWAL_TIME: Duration = Duration::from_millis(500);

/// The time by which a call must end.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    /// By [`Clock::elapsed`].
    end: Duration,
    total: Duration,
}

impl Deadline {
    pub(crate) fn after(total: Duration, clock: &dyn Clock) -> Self {
        Self { end: clock.elapsed().saturating_add(total), total }
    }

    /// The time that the call may take in all.
    pub(super) fn total(self) -> Duration {
        self.total
    }

    pub(crate) fn remaining(self, clock: &dyn Clock) -> Duration {
        self.end.saturating_sub(clock.elapsed())
    }

    /// The deadline of a renewal while the cached token is still valid: a quarter of the remaining time, so
    /// that a server that hangs does not use up the call. `None` if that is too little for a request.
    pub(super) fn for_renewal(self, clock: &dyn Clock) -> Option<Self> {
        let total = (self.remaining(clock) / 4).min(MAX_RENEWAL_TIME);
        (total >= MIN_RENEWAL_TIME).then(|| Self::after(total, clock))
    }

    /// The error of a call that received no token in time.
    pub(super) fn exceeded(self, action: String) -> Error {
        let wrong =
            format!("no token was received within the {} ms that a call may take", self.total.as_millis());
        Error::new(ErrorKind::Timeout, action, wrong)
    }
}
