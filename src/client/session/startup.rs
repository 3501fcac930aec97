//! Discovery when a session starts, which may be before its server does.

use std::time::Duration;

use http::{Request, Response};

use super::deadline::Deadline;
use super::token_cache::asked;
use crate::back_off::BackOff;
use crate::error::Error;
use crate::oauth::discovery::Discovery;
use crate::oauth::http_client::{HttpClient, RemainingTime, RequestBody};
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::retry_after::retry_after;
use crate::sync::{self, Mutex};
use crate::time::{Clock, TimePoint};

/// Fetches the metadata. While the server is down or overloaded it is asked again after pauses, until the
/// deadline.
///
/// # Errors
/// Those of [`Discovery::run`].
pub(super) fn discover(
    discovery: &Discovery,
    http: &dyn HttpClient,
    clock: &dyn Clock,
    deadline: Deadline,
) -> Result<AuthorizationServer, Error> {
    let http = StartupClient { http, clock, deadline, retry_after: Mutex::default() };
    let mut back_off = BackOff::default();
    let mut waited = Duration::ZERO;
    loop {
        let error = match discovery.clone().run(&http) {
            Err(error) if error.is_transient() => error,
            outcome => return outcome,
        };
        let now = TimePoint::now(clock);
        back_off.record_failure(sync::lock(&http.retry_after).take(), now);
        let pause = back_off.pause(now).unwrap_or_default();
        // The second limit holds even for a clock that does not advance.
        waited = waited.saturating_add(pause);
        if pause >= deadline.remaining(clock) || waited >= deadline.total() {
            let times = asked(back_off.failures());
            let note =
                format!("{times} within the {} ms that starting may take", deadline.total().as_millis());
            return Err(error.with_note(note));
        }
        log::warn!(
            "the authorization server is not available, asking again in {:.1} s: {error}",
            pause.as_secs_f64()
        );
        clock.sleep(pause);
    }
}

/// Fetches the metadata, and asks once.
///
/// # Errors
/// Those of [`Discovery::run`].
pub(super) fn discover_once(
    discovery: &Discovery,
    http: &dyn HttpClient,
    clock: &dyn Clock,
    deadline: Deadline,
) -> Result<AuthorizationServer, Error> {
    discovery.clone().run(&StartupClient { http, clock, deadline, retry_after: Mutex::default() })
}

/// An HTTP client that passes on the remaining time.
struct StartupClient<'a> {
    http: &'a dyn HttpClient,
    clock: &'a dyn Clock,
    deadline: Deadline,
    /// The `Retry-After` of the last response.
    retry_after: Mutex<Option<Duration>>,
}

impl HttpClient for StartupClient<'_> {
    fn send(&self, mut request: Request<RequestBody>) -> Result<Response<Vec<u8>>, Error> {
        *sync::lock(&self.retry_after) = None;
        request.extensions_mut().insert(RemainingTime(self.deadline.remaining(self.clock)));
        let response = self.http.send(request)?;
        *sync::lock(&self.retry_after) = retry_after(response.headers(), self.clock.now());
        Ok(response)
    }

    fn has_client_certificate(&self) -> Option<bool> {
        self.http.has_client_certificate()
    }
}
