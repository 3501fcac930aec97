//! Pauses after failed requests.

use std::time::Duration;

use crate::crypto;
use crate::error::{Error, ErrorKind};
use crate::time::TimePoint;

/// The first pause after a failure of an authorization server or a resource; each further one is twice as
/// long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest `Retry-After` that is honoured. After it the server is asked again, whatever it said: a
/// value of hours or days is more often a mistake than a wish.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);
/// The longest time that is added to a `Retry-After`, so that many clients do not retry in the same moment.
const LONGEST_ADDITION: Duration = Duration::from_secs(1);

/// Decides when a failing server may be asked again.
#[derive(Clone)]
pub(crate) struct BackOff {
    first: Duration,
    longest: Duration,
    failures: u32,
    /// The length of the last pause.
    length: Duration,
    until: Option<TimePoint>,
    /// Whether the server named the pause (`Retry-After`).
    named_by_server: bool,
}

impl Default for BackOff {
    /// The pauses of a server that is down or overloaded.
    fn default() -> Self {
        Self::new(FIRST_PAUSE, LONGEST_PAUSE)
    }
}

impl BackOff {
    /// The pauses of a server, of which half is random: at most `first` after a failure, twice as long after
    /// each further one, and never longer than `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0, length: Duration::ZERO, until: None, named_by_server: false }
    }

    /// A pause of that length.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn lasting(span: Duration, now: TimePoint) -> Self {
        Self { failures: 1, until: now.after(span), ..Self::default() }
    }

    /// Counts a failure and starts the pause after it.
    pub(crate) fn record_failure(&mut self, retry_after: Option<Duration>, now: TimePoint) {
        self.failures = self.failures.saturating_add(1);
        // Half of the pause is random, so that many clients do not retry in the same moment.
        let doubled = self.first.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        let own = doubled.min(self.longest).mul_f64(0.5 + random_fraction() / 2.0);
        self.named_by_server = retry_after.is_some();
        self.length = match retry_after {
            Some(named) => named.saturating_add(own.min(LONGEST_ADDITION)).min(LONGEST_RETRY_AFTER),
            None => own,
        };
        self.restart(now);
    }

    /// Starts the last pause again.
    pub(crate) fn restart(&mut self, now: TimePoint) {
        self.until = now.after(self.length);
    }

    /// Ends the pause after a success, and starts with the first pause again.
    pub(crate) fn end(&mut self) {
        *self = Self::new(self.first, self.longest);
    }

    /// The number of failures since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// The remaining pause, if there is one. It ends as soon as either clock says so.
    pub(crate) fn pause(&self, now: TimePoint) -> Option<Duration> {
        self.until.map(|until| until.remaining(now)).filter(|pause| !pause.is_zero())
    }

    /// The error of a call that would have to wait longer than its deadline allows.
    pub(crate) fn refusal(&self, pause: Duration, action: String) -> Error {
        let why = match self.named_by_server {
            true => "the server failed before and named a pause (Retry-After)",
            false => "the server failed before and is not asked again at once",
        };
        let seconds = pause.as_secs_f64();
        let wrong = format!(
            "{why}: it is not asked again for {seconds:.1} s, which is longer than this call may take"
        );
        Error::new(ErrorKind::BackOff { retry_after: pause }, action, wrong)
    }
}

/// A random number from 0 to 1; 0 if the system supplies no random bytes.
pub(crate) fn random_fraction() -> f64 {
    crypto::random().map_or(0.0, |bytes| f64::from(u16::from_be_bytes(bytes)) / f64::from(u16::MAX))
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::ManualClock;

    /// The guide names the same limits.
    #[test]
    fn pauses_grow_to_thirty_seconds_and_a_retry_after_counts_up_to_five_minutes() {
        let now = TimePoint::now(&ManualClock::new());
        let mut back_off = BackOff::default();
        let mut longest = Duration::ZERO;
        for _ in 0..1_000 {
            back_off.record_failure(None, now);
            longest = longest.max(back_off.pause(now).unwrap());
        }
        assert!((29..=30).contains(&longest.as_secs()) && longest <= Duration::from_secs(30), "{longest:?}");
        for named in [Duration::from_secs(300), Duration::from_secs(86_400), Duration::MAX] {
            back_off.record_failure(Some(named), now);
            assert_eq!(back_off.pause(now), Some(Duration::from_secs(300)));
        }
        let guide = include_str!("guide/daemon.md").split_whitespace().collect::<Vec<_>>().join(" ");
        for says in ["they grow to 30 seconds", "`Retry-After` is honoured, up to five minutes"] {
            assert!(guide.contains(says), "{says}");
        }
    }
}
