//! Calls that a resource refuses because it is overloaded.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::call::Call;
use super::deadline::Deadline;
use crate::back_off::BackOff;
use crate::oauth::retry_after::retry_after;
use crate::time::{Clock, TimePoint};

/// A call that was refused this often is not repeated again.
const MAX_REFUSALS: u32 = 5;

/// The refusals of one call.
pub(super) struct Overload {
    /// The call as it was before it was sent: after a pause it may need another token.
    call: Call,
    back_off: BackOff,
}

impl Overload {
    pub(super) fn new(call: &Call) -> Self {
        Self { call: call.clone(), back_off: BackOff::default() }
    }

    /// Returns the call to repeat and the pause before it: the response has status 429 or 503 (RFC 6585 §4,
    /// RFC 9110 §15.6.4), its `Retry-After` ends before the deadline, and the call was not refused too
    /// often.
    pub(super) fn repetition(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        clock: &dyn Clock,
        deadline: Deadline,
    ) -> Option<(Duration, Call)> {
        if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return None;
        }
        let now = TimePoint::now(clock);
        self.back_off.record_failure(Some(retry_after(headers, clock.now())?), now);
        let pause = self.back_off.pause(now).unwrap_or_default();
        if self.back_off.failures() >= MAX_REFUSALS || pause >= deadline.remaining(clock) {
            return None;
        }
        let (calling, seconds) = (self.call.target.calling(), pause.as_secs_f64());
        log::info!("{calling}: status {}, repeating the call in {seconds:.1} s", status.as_u16());
        Some((pause, self.call.clone()))
    }
}
