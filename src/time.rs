//! The time: clocks, and how JWTs say it.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Error, ErrorKind};

/// Where a session has the time from, and how it waits. [`SystemClock`] is the one of this machine; one of your own makes
/// tests of hours last milliseconds.
pub trait Clock: Send + Sync {
    /// The time of day.
    fn now(&self) -> SystemTime;

    /// Time that only goes forward, from any start: for deadlines and for how long something has lasted.
    fn elapsed(&self) -> Duration;

    /// Returns when so much of [`elapsed`](Self::elapsed) is over.
    fn sleep(&self, duration: Duration);
}

/// The clocks of this machine.
#[derive(Clone, Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// Counts [`elapsed`](Clock::elapsed) from now on.
    #[must_use]
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }
}

/// Seconds since 1970, rounded down: a time that is never ahead of the clock.
pub(crate) fn unix_seconds(now: SystemTime) -> Result<u64, Error> {
    match now.duration_since(UNIX_EPOCH) {
        Ok(since) if i64::try_from(since.as_secs()).is_ok() => Ok(since.as_secs()),
        Ok(_) => {
            Err(Error::new(ErrorKind::Clock, "reading the clock", "it is further ahead than a JWT can say"))
        }
        Err(_) => {
            Err(Error::new(ErrorKind::Clock, "reading the clock", "it shows a time before 1970: set it"))
        }
    }
}
