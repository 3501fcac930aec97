//! A circuit breaker: protects a failing server from further requests, and threads from waiting for it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::back_off::BackOff;
use crate::sync::{self, Condvar, Mutex, MutexGuard};
use crate::time::{Clock, TimePoint};

/// Decides when a request may be sent to one server. While the server works, requests are sent at once.
/// After a failure there is a pause; after the pause one request probes the server before others are
/// permitted.
///
/// The clock is the caller's, so no lock is held while it runs.
pub(crate) struct CircuitBreaker {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    probe_ended: Condvar,
}

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
pub(crate) struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    number: u64,
    /// The number of failures when it was given.
    failures: u32,
}

/// Why a request was not permitted.
pub(crate) enum NotPermitted {
    /// The pause is longer than the caller can wait.
    Paused { pause: Duration, back_off: BackOff },
    /// The request that probes the server did not end in time.
    ProbeUnfinished,
}

impl CircuitBreaker {
    /// Creates a circuit breaker with these pauses.
    pub(crate) fn new(clock: Arc<dyn Clock>, back_off: BackOff) -> Self {
        let state = State {
            back_off,
            probe: None,
            permits: 0,
            #[cfg(all(test, feature = "testing"))]
            waiting: 0,
        };
        Self { clock, state: Mutex::new(state), probe_ended: Condvar::new() }
    }

    /// Returns whether a request could be sent now without waiting.
    pub(crate) fn permits(&self) -> bool {
        let now = self.now();
        self.lock().permits(now)
    }

    /// Returns the remaining pause, if there is one.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let now = self.now();
        self.lock().back_off.pause(now)
    }

    /// Permits a request if it can be sent now without waiting.
    pub(crate) fn try_acquire(&self) -> Option<Permit<'_>> {
        let now = self.now();
        let mut state = self.lock();
        state.permits(now).then(|| self.permit(&mut state))
    }

    /// Waits until a request may be sent: for the end of the pause, and for the outcome of another request
    /// that probes the server. `remaining` returns how long the caller can still wait.
    ///
    /// # Errors
    /// Returns an error at once if the caller cannot wait for the end of the pause, and when the other
    /// request did not end in time.
    pub(crate) fn acquire(&self, remaining: impl Fn() -> Duration) -> Result<Permit<'_>, NotPermitted> {
        let mut waited_for = None;
        loop {
            let (now, remaining) = (self.now(), remaining());
            let mut state = self.lock();
            // Each pause is waited for once, even by a clock that does not advance.
            let failures = state.back_off.failures();
            if let Some(pause) = state.back_off.pause(now).filter(|_| waited_for != Some(failures)) {
                if pause >= remaining {
                    let back_off = state.back_off.clone();
                    drop(state);
                    return Err(NotPermitted::Paused { pause, back_off });
                }
                waited_for = Some(failures);
                drop(state);
                self.clock.sleep(pause);
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
                return Err(NotPermitted::ProbeUnfinished);
            }
        }
    }

    fn permit(&self, state: &mut State) -> Permit<'_> {
        state.permits = state.permits.wrapping_add(1);
        let (number, failures) = (state.permits, state.back_off.failures());
        if failures > 0 {
            state.probe = Some(number);
        }
        Permit { breaker: self, number, failures }
    }

    fn now(&self) -> TimePoint {
        TimePoint::now(&*self.clock)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        sync::lock(&self.state)
    }

    /// Starts a pause of that length.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn set_pause(&self, pause: Duration) {
        let now = self.now();
        self.lock().back_off = BackOff::lasting(pause, now);
    }

    /// Returns how many threads have waited for a probe so far.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn waiting(&self) -> u32 {
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
    pub(crate) fn server_works(self) {
        let mut state = self.breaker.lock();
        state.back_off.end();
        state.probe = None;
        drop(state);
        self.breaker.probe_ended.notify_all();
    }

    /// Records that the server failed, or that there was no response. Of requests that were sent together,
    /// the first failure starts a pause and the others do not make it longer, unless the server names one.
    pub(crate) fn server_failed(self, retry_after: Option<Duration>) {
        let now = self.breaker.now();
        let mut state = self.breaker.lock();
        if state.back_off.failures() <= self.failures || retry_after.is_some() {
            state.back_off.record_failure(retry_after, now);
        }
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
