//! The JWK Set of an issuer, fetched from its `jwks_uri` and cached.

use std::borrow::Cow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, Request, StatusCode, header};

use crate::error::{Error, ErrorKind};
use crate::oauth::http_client::{HttpClient, RequestBody};
use crate::oauth::response_facts::require_json;
use crate::server::jwk_set::JwkSet;
use crate::server::single_flight::RETRY_AFTER;
use crate::sync;
use crate::text::{printable, without_bom_bytes};

/// Keys older than this are fetched again when they are next needed.
const REFRESH_AGE: Duration = Duration::from_secs(15 * 60);
/// Keys older than this are not used: otherwise, whoever can block the fetch could keep a revoked key in use.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The time between two fetches, whatever key is asked for.
const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// The time between two fetches while there are no keys, or after a fetch that failed. Tokens by a new
/// key cannot be verified meanwhile.
const MIN_INTERVAL_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Fetches and caches a JWK Set, with one fetch in flight at a time.
pub(super) struct RemoteJwkSet {
    uri: http::Uri,
    http: Box<dyn HttpClient>,
    state: Mutex<State>,
    done: Condvar,
}

/// The keys that are available for a token.
pub(super) struct AvailableKeys {
    pub(super) keys: Arc<JwkSet>,
    /// Why the last fetch failed, if it did. The issuer may then have keys that are not among these.
    pub(super) fetch_error: Option<Error>,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<JwkSet>>,
    /// When `keys` were fetched.
    fetched_at: Option<SystemTime>,
    /// When the last fetch began or, once it is done, ended.
    attempted_at: Option<SystemTime>,
    /// Why the last fetch failed, if it did.
    error: Option<Error>,
    in_flight: bool,
    /// The threads that wait for the fetch of another one.
    waiting: usize,
}

impl RemoteJwkSet {
    pub(super) fn new(uri: http::Uri, http: Box<dyn HttpClient>) -> Self {
        Self { uri, http, state: Mutex::default(), done: Condvar::new() }
    }

    /// Returns the cached keys, after a fetch if they are too old or do not contain `kid`. At most
    /// `max_waiting` threads wait for it, including the one that fetches.
    pub(super) fn find(
        &self,
        kid: Option<&str>,
        now: SystemTime,
        max_waiting: usize,
    ) -> Result<AvailableKeys, Error> {
        let mut state = self.lock();
        match state.next_step(kid, now, max_waiting) {
            NextStep::Use => {}
            NextStep::Refuse => {
                drop(state);
                return Err(self.too_many_wait(max_waiting));
            }
            NextStep::Wait => {
                state.waiting = state.waiting.saturating_add(1);
                let waited = self.done.wait_while(state, |state| state.in_flight);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                state.waiting = state.waiting.saturating_sub(1);
            }
            NextStep::Fetch => {
                state.in_flight = true;
                state.attempted_at = Some(now);
                drop(state);
                self.fetch_and_store(now);
                state = self.lock();
            }
        }
        self.available(&state, now)
    }

    /// Does the same if it needs neither a fetch nor to wait for one, and returns `None` if it does. Keys
    /// that are due for a fetch are not used here, because nobody else might fetch them. While a thread
    /// fetches them, they are.
    pub(super) fn find_without_io(
        &self,
        kid: Option<&str>,
        now: SystemTime,
        max_waiting: usize,
    ) -> Option<Result<AvailableKeys, Error>> {
        let state = self.lock();
        match state.next_step(kid, now, max_waiting) {
            NextStep::Use => Some(self.available(&state, now)),
            NextStep::Refuse => Some(Err(self.too_many_wait(max_waiting))),
            NextStep::Wait | NextStep::Fetch => None,
        }
    }

    fn available(&self, state: &State, now: SystemTime) -> Result<AvailableKeys, Error> {
        match (&state.keys, &state.error) {
            (Some(keys), error) if state.is_younger_than(MAX_AGE, now) => {
                Ok(AvailableKeys { keys: Arc::clone(keys), fetch_error: error.clone() })
            }
            (_, Some(error)) => Err(error.clone()),
            (_, None) => Err(self.unfinished()),
        }
    }

    /// Fetches the keys for this thread and those that wait for it.
    fn fetch_and_store(&self, now: SystemTime) {
        // The waiting threads are woken whatever happens to the fetch, also if the HTTP client panics.
        let mut in_flight = InFlight { keys: self, ended: false };
        let started = Instant::now();
        let fetched = self.fetch();
        let mut state = self.lock();
        // The pause is counted from the end of the fetch.
        state.attempted_at = now.checked_add(started.elapsed());
        let (failure, replaced) = match fetched {
            Ok(keys) => {
                state.fetched_at = Some(now);
                let replaced = state.keys.replace(Arc::new(keys));
                (None, (replaced, state.error.take()))
            }
            Err(error) => (Some(error.clone()), (None, state.error.replace(error))),
        };
        in_flight.ended = true;
        drop(state);
        drop(in_flight);
        // The logger and the source of an error are foreign code: neither runs under the lock.
        drop(replaced);
        if let Some(error) = failure {
            log::warn!("{error}");
        }
    }

    fn fetch(&self) -> Result<JwkSet, Error> {
        let request = Request::get(self.uri.clone())
            .header("accept", "application/jwk-set+json, application/json")
            .body(RequestBody::default())
            .map_err(|error| self.error(ErrorKind::Url, error.to_string()))?;
        let response = self.http.send(request).map_err(|error| error.while_doing(self.doing()))?;
        let status = response.status();
        // File stores serve every document so.
        if !(status == StatusCode::OK && is_octet_stream(response.headers())) {
            require_json(status, response.headers(), || self.doing()).map_err(|error| {
                match error.kind() {
                    ErrorKind::Content { .. } => error.with_note("application/octet-stream is read as well"),
                    _ => error,
                }
            })?;
        }
        let content = |wrong| self.error(ErrorKind::Content { status: 200 }, wrong);
        JwkSet::parse(without_bom_bytes(response.body())).map_err(content)
    }

    fn doing(&self) -> String {
        format!("fetching the keys at {}", printable(&self.uri.to_string(), 200))
    }

    fn error(&self, kind: ErrorKind, wrong: impl Into<Cow<'static, str>>) -> Error {
        Error::new(kind, self.doing(), wrong)
    }

    fn too_many_wait(&self, max_waiting: usize) -> Error {
        let wrong =
            format!("{max_waiting} threads wait already (`JwtValidator::max_waiting` sets the limit)");
        self.error(ErrorKind::BackOff { retry_after: RETRY_AFTER }, wrong)
    }

    fn unfinished(&self) -> Error {
        self.error(ErrorKind::Transport, "an earlier fetch did not end")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        sync::lock(&self.state)
    }
}

fn is_octet_stream(headers: &HeaderMap) -> bool {
    let field = headers.get(header::CONTENT_TYPE).and_then(|field| field.to_str().ok()).unwrap_or_default();
    let media_type = field.split(';').next().unwrap_or_default().trim();
    // The second is what Amazon S3 sends unless told otherwise.
    ["application/octet-stream", "binary/octet-stream"]
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known))
}

/// What a thread that needs keys does next.
enum NextStep {
    /// It uses the cached keys, if there are any, even if they are old.
    Use,
    Fetch,
    /// It waits for the fetch of another thread.
    Wait,
    /// It gives up, because too many threads wait.
    Refuse,
}

impl State {
    fn next_step(&self, kid: Option<&str>, now: SystemTime, max_waiting: usize) -> NextStep {
        let contained = self.keys.as_ref().is_some_and(|keys| keys.contains(kid));
        if contained && self.is_younger_than(REFRESH_AGE, now) {
            NextStep::Use
        } else if self.may_fetch(now) {
            NextStep::Fetch
        } else if contained || !self.in_flight {
            // A thread whose key is cached does not wait for the fetch of another one.
            NextStep::Use
        } else if self.waiting.saturating_add(1) < max_waiting {
            NextStep::Wait
        } else {
            // Anybody can make up names of keys, so only some of the threads wait.
            NextStep::Refuse
        }
    }

    fn is_younger_than(&self, age: Duration, now: SystemTime) -> bool {
        self.fetched_at.is_some_and(|then| elapsed(then, now).is_some_and(|elapsed| elapsed < age))
    }

    fn may_fetch(&self, now: SystemTime) -> bool {
        let interval = match (&self.keys, &self.error) {
            (Some(_), None) => MIN_INTERVAL,
            _ => MIN_INTERVAL_AFTER_FAILURE,
        };
        // A clock that was set back must not prevent a fetch.
        let due = |then| elapsed(then, now).is_none_or(|elapsed| elapsed >= interval);
        !self.in_flight && self.attempted_at.is_none_or(due)
    }
}

/// Marks the fetch as done when dropped, and as failed unless it ended.
struct InFlight<'a> {
    keys: &'a RemoteJwkSet,
    ended: bool,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let unfinished = (!self.ended).then(|| self.keys.unfinished());
        let mut state = self.keys.lock();
        state.in_flight = false;
        let replaced = unfinished.and_then(|error| state.error.replace(error));
        drop(state);
        self.keys.done.notify_all();
        drop(replaced);
    }
}

/// Returns the time between two readings of the clock; `None` if the clock was set back. Threads may read
/// the clock in another order than they get here, so a small step back counts as no time.
fn elapsed(then: SystemTime, now: SystemTime) -> Option<Duration> {
    match now.duration_since(then) {
        Ok(elapsed) => Some(elapsed),
        Err(back) if back.duration() < MIN_INTERVAL => Some(Duration::ZERO),
        Err(_) => None,
    }
}
