//! Pauses after failed token requests.

use std::time::Duration;

use crate::crypto;
use crate::error::{Error, ErrorKind};
use crate::time::Clock;

/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest `Retry-After` that is honoured.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Decides when a failing server may be asked again.
#[derive(Default)]
pub(super) struct BackOff {
    failures: u32,
    /// By [`Clock::elapsed`].
    until: Option<Duration>,
    /// Whether the server named the pause (`Retry-After`).
    named_by_server: bool,
}

impl BackOff {
    /// A pause that ends at that time by [`Clock::elapsed`].
    #[cfg(all(test, feature = "testing"))]
    pub(super) fn until(elapsed: Duration) -> Self {
        Self { until: Some(elapsed), ..Self::default() }
    }

    /// Counts a failure and starts the pause after it.
    pub(super) fn record_failure(&mut self, retry_after: Option<Duration>, clock: &dyn Clock) {
        self.failures = self.failures.saturating_add(1);
        // Half of the pause is random, so that many clients do not retry in the same moment.
        let random = crypto::random::<1>().map_or(0, |[byte]| byte);
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        let own = doubled.min(LONGEST_PAUSE).mul_f64(0.5 + f64::from(random) / 512.0);
        self.named_by_server = retry_after.is_some();
        let pause = match retry_after {
            Some(named) => named.min(LONGEST_RETRY_AFTER).saturating_add(own.min(Duration::from_secs(1))),
            None => own,
        };
        self.until = Some(clock.elapsed().saturating_add(pause));
    }

    /// The remaining pause, if there is one.
    pub(super) fn pause(&self, clock: &dyn Clock) -> Option<Duration> {
        let pause = self.until?.saturating_sub(clock.elapsed());
        (!pause.is_zero()).then_some(pause)
    }

    /// The error of a call that would have to wait longer than its deadline allows.
    pub(super) fn refusal(&self, pause: Duration, action: String) -> Error {
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
