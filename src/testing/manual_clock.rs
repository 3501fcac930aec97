//! A clock that a test controls.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::sync::{self, Mutex};
use crate::time::Clock;

/// A [`Clock`] that a test sets. Clones show the same time.
///
/// [`sleep`](Clock::sleep) returns at once and advances the clock, so that hours pass without waiting.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use possession::Clock;
/// use possession::testing::ManualClock;
///
/// let clock = ManualClock::at(SystemTime::UNIX_EPOCH);
/// clock.advance(Duration::from_secs(3600));
/// clock.sleep(Duration::from_secs(60));
/// assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(3660));
/// assert_eq!(clock.sleeps(), [Duration::from_secs(60)]);
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Time>>);

#[derive(Clone, Debug)]
struct Time {
    now: SystemTime,
    elapsed: Duration,
    sleeps: Vec<Duration>,
}

impl ManualClock {
    /// Returns a clock that stands still at the current time of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self::at(SystemTime::now())
    }

    /// Returns a clock that stands still at `now`.
    #[must_use]
    pub fn at(now: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(Time { now, elapsed: Duration::ZERO, sleeps: Vec::new() })))
    }

    /// Lets `span` pass: the time of day and the elapsed time advance.
    pub fn advance(&self, span: Duration) {
        let mut time = sync::lock(&self.0);
        time.now = time.now.checked_add(span).unwrap_or(time.now);
        time.elapsed = time.elapsed.saturating_add(span);
    }

    /// Sets the time of day, as an administrator does: the elapsed time stays.
    pub fn set(&self, now: SystemTime) {
        sync::lock(&self.0).now = now;
    }

    /// Returns the duration of each [`sleep`](Clock::sleep), in order.
    #[must_use]
    pub fn sleeps(&self) -> Vec<Duration> {
        sync::lock(&self.0).sleeps.clone()
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        sync::lock(&self.0).now
    }

    fn elapsed(&self) -> Duration {
        sync::lock(&self.0).elapsed
    }

    fn sleep(&self, duration: Duration) {
        sync::lock(&self.0).sleeps.push(duration);
        self.advance(duration);
    }
}
