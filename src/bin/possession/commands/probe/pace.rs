//! The rate of requests.

use std::time::{Duration, Instant};

/// Spreads requests evenly, so that no second has more of them than allowed.
pub struct Pace {
    interval: Duration,
    /// When the next request may be sent.
    next: Option<Instant>,
}

impl Pace {
    /// Returns `None` unless the number is positive and finite.
    pub fn per_second(requests: f64) -> Option<Self> {
        let interval = Duration::try_from_secs_f64(1.0 / requests).ok()?;
        (requests.is_finite() && requests > 0.0).then_some(Self { interval, next: None })
    }

    /// Returns the time between two requests.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Returns how long to wait at `now` before a request is sent. It counts as sent after that time.
    pub fn wait(&mut self, now: Instant) -> Duration {
        let at = self.next.map_or(now, |next| next.max(now));
        self.next = at.checked_add(self.interval);
        at.saturating_duration_since(now)
    }
}
