//! Protects a failing authorization server from the requests of a whole session: a circuit breaker.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::back_off::BackOff;
use super::deadline::Deadline;
use crate::error::Error;
use crate::sync;
use crate::time::{Clock, TimePoint};

/// Decides when a request may be sent, whatever token it is for. While the server works, requests are sent
/// at once. After a failure there is a pause; after the pause one request probes the server while the
/// others wait for its outcome.
///
/// The clock is the caller's, so no lock is held while it runs.
pub(super) struct CircuitBreaker {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    probe_ended: Condvar,
}

#[derive(Default)]
struct State {
    back_off: BackOff,
    /// The number of the request whose outcome shows whether the server works again, while it is on its way.
    probe: Option<u64>,
    permits: u64,
    /// How often a thread has waited for a probe.
    #[cfg(all(test, feature = "testing"))]
    waiting: u32,
}

/// The permission to send one request.
pub(super) struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    number: u64,
}

impl CircuitBreaker {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default(), probe_ended: Condvar::new() }
    }

    /// Returns whether a request could be sent now without waiting.
    pub(super) fn permits(&self) -> bool {
        let now = self.now();
        self.lock().permits(now)
    }

    /// Returns the remaining pause, if there is one.
    pub(super) fn pause(&self) -> Option<Duration> {
        let now = self.now();
        self.lock().back_off.pause(now)
    }

    /// Permits a request if it can be sent now without waiting.
    pub(super) fn try_acquire(&self) -> Option<Permit<'_>> {
        let now = self.now();
        let mut state = self.lock();
        state.permits(now).then(|| self.permit(&mut state))
    }

    /// Waits until a request may be sent: for the end of the pause, and for the outcome of another request
    /// that probes the server.
    ///
    /// # Errors
    /// [`BackOff`](crate::ErrorKind::BackOff) at once if the pause is longer than the deadline allows;
    /// [`Timeout`](crate::ErrorKind::Timeout) if the other request did not end in time.
    pub(super) fn acquire(
        &self,
        deadline: Deadline,
        action: impl Fn() -> String,
    ) -> Result<Permit<'_>, Error> {
        let clock = &*self.clock;
        let mut waited_for = None;
        loop {
            let (now, remaining) = (self.now(), deadline.remaining(clock));
            let mut state = self.lock();
            // Each pause is waited for once, even by a clock that does not advance.
            let failures = state.back_off.failures();
            if let Some(pause) = state.back_off.pause(now).filter(|_| waited_for != Some(failures)) {
                if pause >= remaining {
                    return Err(state.back_off.refusal(pause, action()));
                }
                waited_for = Some(failures);
                drop(state);
                clock.sleep(pause);
                continue;
            }
            if state.probe.is_none() {
                return Ok(self.permit(&mut state));
            }
            #[cfg(all(test, feature = "testing"))]
            {
                state.waiting += 1;
            }
            let (state, waited) = self
                .probe_ended
                .wait_timeout_while(state, remaining, |state| state.probe.is_some())
                .unwrap_or_else(PoisonError::into_inner);
            drop(state);
            if waited.timed_out() {
                return Err(deadline.exceeded(action()));
            }
        }
    }

    fn permit(&self, state: &mut State) -> Permit<'_> {
        state.permits = state.permits.wrapping_add(1);
        let number = state.permits;
        if state.back_off.failures() > 0 {
            state.probe = Some(number);
        }
        Permit { breaker: self, number }
    }

    fn now(&self) -> TimePoint {
        TimePoint::now(&*self.clock)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        sync::lock(&self.state)
    }

    /// Starts a pause of that length.
    #[cfg(all(test, feature = "testing"))]
    pub(super) fn set_pause(&self, pause: Duration) {
        let now = self.now();
        self.lock().back_off = BackOff::lasting(pause, now);
    }

    /// Returns how many threads have waited for a probe so far.
    #[cfg(all(test, feature = "testing"))]
    pub(super) fn waiting(&self) -> u32 {
        self.lock().waiting
    }
}

impl State {
    fn permits(&self, now: TimePoint) -> bool {
        self.probe.is_none() && self.back_off.pause(now).is_none()
    }
}

impl Permit<'_> {
    /// Records that the server responded as a working server does: nobody need wait.
    pub(super) fn server_works(self) {
        let mut state = self.breaker.lock();
        (state.back_off, state.probe) = (BackOff::default(), None);
        drop(state);
        self.breaker.probe_ended.notify_all();
    }

    /// Records that the server failed, or that there was no response.
    pub(super) fn server_failed(self, retry_after: Option<Duration>) {
        let now = self.breaker.now();
        self.breaker.lock().back_off.record_failure(retry_after, now);
    }
}

impl Drop for Permit<'_> {
    /// Ends a probe, also without an outcome (a signer may panic): another request then probes the server.
    fn drop(&mut self) {
        let mut state = self.breaker.lock();
        if state.probe == Some(self.number) {
            state.probe = None;
            drop(state);
            self.breaker.probe_ended.notify_all();
        }
    }
}
