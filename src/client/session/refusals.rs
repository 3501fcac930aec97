//! Pauses after permanent refusals. Nothing that the client does by itself changes them, so repeating the
//! request at once would only multiply requests.

use std::time::Duration;

use crate::back_off::BackOff;
use crate::error::Error;
use crate::sync::LruMap;
use crate::time::TimePoint;

/// The number of origins that are remembered for each token; the least recently used one is evicted.
const MAX_ORIGINS: usize = 100;

/// The longest pause before the same token request is repeated after a permanent refusal.
const LONGEST_AFTER_REFUSED_REQUEST: Duration = Duration::from_secs(5 * 60);
/// The longest pause before another token is fetched for an origin that refused a new one.
const LONGEST_AFTER_REFUSED_TOKEN: Duration = Duration::from_secs(60);
/// The first pause after a permanent refusal. Half of it is random, so it lasts one second at least.
const FIRST_AFTER_REFUSAL: Duration = Duration::from_secs(2);

/// The pause after token requests that failed permanently.
pub(super) struct RefusedRequest {
    back_off: BackOff,
    /// The response of the server, if it was one.
    error: Option<Error>,
}

impl Default for RefusedRequest {
    fn default() -> Self {
        Self { back_off: BackOff::new(FIRST_AFTER_REFUSAL, LONGEST_AFTER_REFUSED_REQUEST), error: None }
    }
}

impl RefusedRequest {
    /// Records a refusal by the server.
    pub(super) fn record(&mut self, error: &Error, retry_after: Option<Duration>, now: TimePoint) {
        self.back_off.record_failure(retry_after, now);
        self.error = Some(error.clone());
    }

    /// Records a failure that was not a response, such as one of a signer.
    pub(super) fn record_failure(&mut self, now: TimePoint) {
        self.back_off.record_failure(None, now);
        self.error = None;
    }

    pub(super) fn pause(&self, now: TimePoint) -> Option<Duration> {
        self.back_off.pause(now)
    }

    /// Returns the refusal while the request is not to be repeated.
    pub(super) fn error(&self, now: TimePoint) -> Option<Error> {
        let (error, pause) = (self.error.clone()?, self.pause(now)?);
        let seconds = pause.as_secs_f64();
        let times = self.back_off.failures();
        let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
        let note = format!(
            "the server refused this {times}; the same credentials and parameters are not tried again for {seconds:.1} s"
        );
        Some(error.with_note(note))
    }
}

/// The origins for which a token was replaced.
///
/// Each replacement starts a pause, which ends if the origin accepts the new token. If it refuses that one
/// too, the origin is the cause more likely than the token: another one is fetched only after the pause,
/// and the next pause is longer. Once the new token was refused, other calls that succeed change nothing: a
/// path of the origin may be public.
#[derive(Default)]
pub(super) struct Replacements(Option<LruMap<Box<str>, Replacement>>);

#[derive(Clone)]
struct Replacement {
    back_off: BackOff,
    /// Whether the origin has neither accepted nor refused the new token yet.
    undecided: bool,
}

impl Replacements {
    /// Starts a replacement for an origin that refused the token. Returns the remaining pause if it is too
    /// early.
    pub(super) fn start(&mut self, origin: &str, now: TimePoint) -> Option<Duration> {
        let mut replacement = self.get(origin);
        let pause = replacement.back_off.pause(now);
        if pause.is_none() {
            replacement.back_off.record_failure(None, now);
        }
        replacement.undecided = pause.is_none();
        self.set(origin, replacement);
        pause
    }

    /// Records that the origin refused the new token: the pause counts from now.
    pub(super) fn record_refused(&mut self, origin: &str, now: TimePoint) {
        let mut replacement = self.get(origin);
        match replacement.back_off.failures() {
            0 => replacement.back_off.record_failure(None, now),
            _ => replacement.back_off.restart(now),
        }
        replacement.undecided = false;
        self.set(origin, replacement);
    }

    /// Records that the origin accepted the token.
    pub(super) fn record_accepted(&mut self, origin: &str) {
        if let Some(origins) = &mut self.0
            && origins.get(origin).is_some_and(|replacement| replacement.undecided)
        {
            origins.remove(origin);
        }
    }

    fn get(&self, origin: &str) -> Replacement {
        let known = self.0.as_ref().and_then(|origins| origins.get(origin)).cloned();
        let new = || Replacement {
            back_off: BackOff::new(FIRST_AFTER_REFUSAL, LONGEST_AFTER_REFUSED_TOKEN),
            undecided: false,
        };
        known.unwrap_or_else(new)
    }

    fn set(&mut self, origin: &str, replacement: Replacement) {
        self.0.get_or_insert_with(|| LruMap::new(MAX_ORIGINS)).insert(origin.into(), replacement);
    }
}
