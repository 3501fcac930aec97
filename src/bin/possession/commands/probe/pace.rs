//! The rate of requests, and pauses between them.

use std::time::{Duration, Instant};

/// The longest pause that is made because a server asks for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// The longest time of all pauses.
const LONGEST_PAUSES: Duration = Duration::from_secs(300);

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

/// Counts the pauses of a run.
#[derive(Default)]
pub struct Pauses {
    sum: Duration,
    were_refused: bool,
}

impl Pauses {
    /// Returns whether a pause is short enough, by itself and with those before. It counts then.
    pub fn allow(&mut self, pause: Duration) -> bool {
        let sum = self.sum.saturating_add(pause);
        let is_allowed = pause <= LONGEST_PAUSE && sum <= LONGEST_PAUSES;
        match is_allowed {
            true => self.sum = sum,
            false => self.were_refused = true,
        }
        is_allowed
    }

    /// Returns whether a pause was too long.
    pub fn were_refused(&self) -> bool {
        self.were_refused
    }
}
