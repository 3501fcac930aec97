//! Time that passes when a test says so.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use crate::sync;
use crate::time::Clock;

/// A [`Clock`] that a test sets. Clones show the same time. Whoever sleeps by it returns at once, and the time is later.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Shown>>);

#[derive(Clone, Debug)]
struct Shown {
    now: SystemTime,
    elapsed: Duration,
    slept: Vec<Duration>,
}

impl ManualClock {
    /// Shows the time of this machine, and stands still.
    #[must_use]
    pub fn new() -> Self {
        Self::at(SystemTime::now())
    }

    /// Shows that time.
    #[must_use]
    pub fn at(now: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(Shown { now, elapsed: Duration::ZERO, slept: Vec::new() })))
    }

    /// Lets time pass.
    pub fn advance(&self, span: Duration) {
        let mut shown = self.lock();
        shown.now = shown.now.checked_add(span).unwrap_or(shown.now);
        shown.elapsed = shown.elapsed.saturating_add(span);
    }

    /// Sets the time of day, as somebody sets a clock: no time passes.
    pub fn set(&self, now: SystemTime) {
        self.lock().now = now;
    }

    /// How long it was slept, each time.
    #[must_use]
    pub fn slept(&self) -> Vec<Duration> {
        self.lock().slept.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        sync::lock(&self.0)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        self.lock().now
    }

    fn elapsed(&self) -> Duration {
        self.lock().elapsed
    }

    fn sleep(&self, duration: Duration) {
        self.lock().slept.push(duration);
        self.advance(duration);
    }
}
