//! `Expect: 100-continue` (RFC 9110 §10.1.1) for streams: a server that wants a nonce can refuse before the
//! body is sent.

use std::time::Duration;

use http::StatusCode;

use crate::error::ErrorKind;
use crate::sync::{self, LruMap, Mutex};
use crate::time::Clock;

/// Without a response the body is sent after a second (ureq's `timeout_await_100`).
const IGNORED_AFTER: Duration = Duration::from_millis(900);
const MAX_ORIGINS: usize = 1_000;

/// The origins that ignore the field or refuse it. It is not sent to them again, since each upload would
/// wait in vain.
pub(super) struct UnsupportedOrigins(Mutex<LruMap<Box<str>, ()>>);

/// One request with the field.
pub(super) struct Expectation<'a> {
    clock: &'a dyn Clock,
    sent: Duration,
    /// How long the request waited before the first byte of the body was sent.
    waited: Option<Duration>,
}

impl UnsupportedOrigins {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruMap::new(MAX_ORIGINS)))
    }

    pub(super) fn contains(&self, origin: &str) -> bool {
        sync::lock(&self.0).get(origin).is_some()
    }

    pub(super) fn insert(&self, origin: &str) {
        sync::lock(&self.0).insert(origin.into(), ());
    }
}

impl<'a> Expectation<'a> {
    pub(super) fn new(clock: &'a dyn Clock) -> Self {
        Self { clock, sent: clock.elapsed(), waited: None }
    }

    /// Records that the first byte of the body is sent.
    pub(super) fn body_starts(&mut self) {
        self.waited = Some(self.clock.elapsed().saturating_sub(self.sent));
    }

    /// Whether the server does not support the field: it ignored it, refused it, or the request came to
    /// nothing before the body was sent.
    pub(super) fn was_in_vain(&self, outcome: Result<StatusCode, &ErrorKind>) -> bool {
        match outcome {
            Ok(StatusCode::EXPECTATION_FAILED) => true,
            Err(ErrorKind::Timeout) if self.waited.is_none() => true,
            _ => self.waited.is_some_and(|waited| waited >= IGNORED_AFTER),
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::ManualClock;

    #[test]
    fn an_expectation_that_is_ignored_or_refused_is_recognized() {
        let millisecond = Duration::from_millis(1);
        let clock = ManualClock::new();
        let started_after = |wait: Option<u32>| {
            let mut expectation = Expectation::new(&clock);
            if let Some(wait) = wait {
                clock.advance(millisecond * wait);
                expectation.body_starts();
                clock.advance(millisecond * 10_000);
            }
            expectation
        };
        let (ok, timeout) = (Ok(StatusCode::OK), Err(&ErrorKind::Timeout));
        // The server said `100 Continue`, however long the upload took.
        assert!(!started_after(Some(100)).was_in_vain(ok) && !started_after(Some(100)).was_in_vain(timeout));
        // It refused before the body was sent.
        assert!(!started_after(None).was_in_vain(Ok(StatusCode::UNAUTHORIZED)));
        // It said nothing for a second.
        assert!(
            started_after(Some(1_000)).was_in_vain(ok) && started_after(Some(1_000)).was_in_vain(timeout)
        );
        // Its `100 Continue` was not understood, or it never responded.
        assert!(started_after(None).was_in_vain(timeout));
        assert!(!started_after(None).was_in_vain(Err(&ErrorKind::Transport)));
        assert!(started_after(None).was_in_vain(Ok(StatusCode::EXPECTATION_FAILED)));
    }

    #[test]
    fn the_number_of_origins_without_support_is_bounded() {
        let origins = UnsupportedOrigins::new();
        for number in 0..2 * MAX_ORIGINS {
            origins.insert(&format!("https://{number}.example"));
        }
        assert_eq!(sync::lock(&origins.0).len(), MAX_ORIGINS);
        assert!(!origins.contains("https://0.example") && origins.contains("https://1999.example"));
    }
}
