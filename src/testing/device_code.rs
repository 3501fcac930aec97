//! Device codes (RFC 8628).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::grant::Grant;

/// RFC 8628 §3.5: what `slow_down` adds to the interval.
const SLOWER: Duration = Duration::from_secs(5);

/// What a device code stands for.
#[derive(Clone)]
pub(super) struct DeviceCode {
    pub(super) grant: Arc<Grant>,
    pub(super) user_code: String,
    /// `None` if the time cannot be represented.
    expires: Option<SystemTime>,
    /// How long the client has to wait between two token requests.
    interval: Duration,
    last_poll: Option<SystemTime>,
}

impl DeviceCode {
    pub(super) fn new(
        grant: Grant,
        user_code: String,
        expires: Option<SystemTime>,
        interval: Duration,
    ) -> Self {
        Self { grant: Arc::new(grant), user_code, expires, interval, last_poll: None }
    }

    pub(super) fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    /// Records a token request. Returns false if it came too soon, which makes the interval longer.
    pub(super) fn poll(&mut self, now: SystemTime) -> bool {
        let earliest = self.last_poll.replace(now).and_then(|last| last.checked_add(self.interval));
        let in_time = earliest.is_none_or(|earliest| now >= earliest);
        if !in_time {
            self.slow_down();
        }
        in_time
    }

    pub(super) fn slow_down(&mut self) {
        self.interval = self.interval.saturating_add(SLOWER);
    }
}
