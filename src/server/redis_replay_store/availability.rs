//! Keeps threads from waiting for a server that does not respond.

use std::sync::Arc;
use std::time::Duration;

use crate::back_off::BackOff;
use crate::circuit_breaker::{CircuitBreaker, Permit};
use crate::server::replay::ReplayStoreError;
use crate::sync::{self, Mutex};
use crate::time::Clock;

/// The first pause after a failure, of which half is random; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// It is short, because a server that is back serves nobody until the pause is over.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A failure that took less time was not waited for, and the next call need not be spared it.
const WAIT: Duration = Duration::from_millis(50);
/// The number of threads that may wait for a server from which no response arrives.
pub(super) const MAX_WAITING: usize = 32;
/// The server counts as one from which no response arrives when there was none for so long.
const STALLED: Duration = Duration::from_millis(100);

/// Decides which calls may wait for the server. While it responds, all may. When a call waited in vain,
/// further ones fail at once, until after a pause one of them finds that the server responds again.
pub(super) struct Availability {
    clock: Arc<dyn Clock>,
    breaker: CircuitBreaker,
    pub(super) max_waiting: usize,
    progress: Mutex<Progress>,
}

struct Progress {
    /// The calls that wait.
    calls: usize,
    /// When a call last began while there was no other, or last got a response.
    since: Duration,
    /// When a call last got a response.
    responded: Option<Duration>,
}

/// A call that may wait for the server.
pub(super) struct Call<'a> {
    availability: &'a Availability,
    permit: Option<Permit<'a>>,
    started: Duration,
}

impl Availability {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let breaker = CircuitBreaker::new(Arc::clone(&clock), BackOff::new(FIRST_PAUSE, LONGEST_PAUSE));
        let progress = Progress { calls: 0, since: Duration::ZERO, responded: None };
        Self { clock, breaker, max_waiting: MAX_WAITING, progress: Mutex::new(progress) }
    }

    /// Starts anew with another clock.
    pub(super) fn clock(&mut self, clock: Arc<dyn Clock>) {
        *self = Self { max_waiting: self.max_waiting, ..Self::new(clock) };
    }

    /// Permits a call to wait for the server.
    ///
    /// # Errors
    /// Returns [`Unavailable`](ReplayStoreError::Unavailable) while the server is not asked, or when too
    /// many threads wait for it already.
    pub(super) fn begin(&self) -> Result<Call<'_>, ReplayStoreError> {
        let Some(permit) = self.breaker.try_acquire() else {
            // Without a pause, another call is probing the server.
            let retry_after = self.breaker.pause().unwrap_or(FIRST_PAUSE);
            return Err(ReplayStoreError::Unavailable { retry_after });
        };
        let started = self.clock.elapsed();
        let mut progress = sync::lock(&self.progress);
        if progress.calls == 0 {
            progress.since = started;
        }
        if progress.calls >= self.max_waiting && started.saturating_sub(progress.since) >= STALLED {
            return Err(ReplayStoreError::Unavailable { retry_after: FIRST_PAUSE });
        }
        progress.calls = progress.calls.saturating_add(1);
        Ok(Call { availability: self, permit: Some(permit), started })
    }
}

impl Call<'_> {
    /// Records that the server responded.
    pub(super) fn responded(mut self) {
        let now = self.availability.clock.elapsed();
        let mut progress = sync::lock(&self.availability.progress);
        (progress.since, progress.responded) = (now, Some(now));
        drop(progress);
        if let Some(permit) = self.permit.take() {
            permit.server_works();
        }
    }

    /// Records that there was no response. That is no fault of the server when another call, which came
    /// later, got one, or when it did not take long.
    pub(super) fn failed(mut self) {
        let waited = self.availability.clock.elapsed().saturating_sub(self.started);
        let responded = sync::lock(&self.availability.progress).responded;
        let is_down = waited >= WAIT && responded.is_none_or(|responded| responded <= self.started);
        if let Some(permit) = self.permit.take().filter(|_| is_down) {
            permit.server_failed(None);
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut progress = sync::lock(&self.availability.progress);
        progress.calls = progress.calls.saturating_sub(1);
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::ManualClock;

    fn setup() -> (ManualClock, Availability) {
        let clock = ManualClock::new();
        (clock.clone(), Availability::new(Arc::new(clock)))
    }

    fn retry_after(availability: &Availability) -> Option<Duration> {
        availability.begin().err().map(|error| match error {
            ReplayStoreError::Unavailable { retry_after } => retry_after,
            _ => Duration::MAX,
        })
    }

    #[test]
    fn after_a_call_that_waited_in_vain_others_fail_at_once_until_one_finds_the_server_again() {
        let (clock, availability) = setup();
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let probe = availability.begin().ok().unwrap();
            clock.advance(WAIT);
            probe.failed();
            let pause = retry_after(&availability).unwrap();
            assert!(pause >= FIRST_PAUSE / 2 && pause <= LONGEST_PAUSE, "{pause:?}");
            longest = longest.max(pause);
            clock.advance(pause);
        }
        assert!(longest > LONGEST_PAUSE / 2, "pauses grow: {longest:?}");
        // One call probes, and the others do not wait for it.
        let probe = availability.begin().ok().unwrap();
        assert!(retry_after(&availability).is_some());
        probe.responded();
        assert_eq!(retry_after(&availability), None);
        // The next pause is a short one again.
        let call = availability.begin().ok().unwrap();
        clock.advance(WAIT);
        call.failed();
        assert!(retry_after(&availability).unwrap() <= FIRST_PAUSE);
    }

    #[test]
    fn a_failure_that_took_no_time_or_that_other_calls_did_not_have_starts_no_pause() {
        let (clock, availability) = setup();
        availability.begin().ok().unwrap().failed();
        assert_eq!(retry_after(&availability), None);
        let [unlucky, other] = [(); 2].map(|()| availability.begin().ok().unwrap());
        clock.advance(WAIT);
        other.responded();
        unlucky.failed();
        assert_eq!(retry_after(&availability), None);
        // A response from before the call proves nothing.
        let call = availability.begin().ok().unwrap();
        clock.advance(WAIT);
        call.failed();
        assert!(retry_after(&availability).is_some());
    }

    #[test]
    fn many_calls_that_wait_together_count_as_one_failure() {
        let (clock, availability) = setup();
        let calls: Vec<_> = (0..MAX_WAITING).map(|_| availability.begin().ok().unwrap()).collect();
        clock.advance(WAIT);
        calls.into_iter().for_each(Call::failed);
        assert!(retry_after(&availability).unwrap() <= FIRST_PAUSE);
    }

    #[test]
    fn the_number_of_waiting_threads_is_limited_only_while_no_response_arrives() {
        let (clock, availability) = setup();
        let mut calls: Vec<_> = (0..200).map(|_| availability.begin().ok().unwrap()).collect();
        clock.advance(STALLED);
        assert!(retry_after(&availability).is_some());
        calls.pop().unwrap().responded();
        assert_eq!(retry_after(&availability), None);
        clock.advance(STALLED);
        assert!(retry_after(&availability).is_some());
        calls.truncate(MAX_WAITING - 1);
        assert_eq!(retry_after(&availability), None);
        // The time without calls does not count.
        calls.clear();
        clock.advance(STALLED);
        let _calls: Vec<_> = (0..200).map(|_| availability.begin().ok().unwrap()).collect();
    }
}
