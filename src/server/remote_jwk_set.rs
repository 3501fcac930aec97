//! The JWK Set of an issuer, fetched from its `jwks_uri` and cached.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, Request, StatusCode, header};

use crate::error::{Error, ErrorKind};
use crate::oauth::http_client::{HttpClient, RequestBody};
use crate::oauth::response_facts::require_json;
use crate::server::jwk_set::JwkSet;
use crate::server::refetch_budget::RefetchBudget;
use crate::server::single_flight::RETRY_AFTER;
use crate::sync::{self, Condvar, Mutex, MutexGuard};
use crate::text::{printable, without_bom_bytes};
use crate::time::elapsed_between;

/// Keys older than this are fetched again when they are next needed.
const REFRESH_AGE: Duration = Duration::from_secs(15 * 60);
/// Keys older than this are not used: otherwise, whoever can block the fetch could keep a revoked key in use.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The time after a fetch that failed in which there is no other.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The number of names of keys that are remembered because the issuer was asked for them in vain. There are
/// no more fetches than these in a quarter of an hour.
const MAX_MISSING: usize = 20;

/// Fetches and caches a JWK Set, with one fetch in flight at a time.
pub(super) struct RemoteJwkSet {
    uri: http::Uri,
    http: Box<dyn HttpClient>,
    state: Mutex<State>,
    done: Condvar,
}

/// Which keys a token needs.
#[derive(Clone, Copy)]
pub(super) enum KeyQuery<'a> {
    /// Those for a token that has just come. One of them has the name `kid`, if there is one.
    First { kid: Option<&'a str>, now: SystemTime },
    /// Others than these, with none of which its signature could be verified.
    OtherThan(&'a AvailableKeys),
}

/// The keys that are available for a token.
pub(super) struct AvailableKeys {
    pub(super) keys: Arc<JwkSet>,
    /// Whether they were fetched after the token had come, or the issuer was asked for its key before.
    /// Otherwise, the issuer may have others by now.
    pub(super) are_current: bool,
    /// When the token came.
    since: Arrival,
}

impl AvailableKeys {
    /// Returns keys that are never fetched.
    pub(super) fn fixed(keys: &Arc<JwkSet>, query: KeyQuery<'_>) -> Self {
        Self { keys: Arc::clone(keys), are_current: true, since: query.arrival(0) }
    }
}

/// When a token came.
#[derive(Clone, Copy)]
struct Arrival {
    /// The number of fetches that had begun.
    begun_before: u64,
    /// The time of day, to which the time of waits is added.
    time: SystemTime,
}

/// Why the keys that a token needs are not available.
pub(super) enum NoKeys {
    /// The last fetch failed, so the issuer may have them.
    FetchFailed(Error),
    /// No fetch may be made or waited for now: too many threads wait, or too many fetches were made.
    Withheld(Error),
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
    /// The number of fetches that have begun.
    begun: u64,
    /// The number of the last fetch that has ended.
    ended: u64,
    /// The fetches that may be made before the keys are due.
    budget: RefetchBudget,
    /// The names of the keys that the last fetches were made for in vain, the latest at the end.
    missing: VecDeque<Box<str>>,
    /// The threads that wait for the fetch of another one.
    waiting: usize,
}

impl RemoteJwkSet {
    pub(super) fn new(uri: http::Uri, http: Box<dyn HttpClient>) -> Self {
        Self { uri, http, state: Mutex::default(), done: Condvar::new() }
    }

    /// Returns the cached keys, after a fetch if they are too old or not those that are needed. At most
    /// `max_waiting` threads wait for it, including the one that fetches.
    ///
    /// If the issuer does not have the keys that are needed, those that it has are returned as current. A
    /// fetch that began before the token came does not show this, because they may have been added meanwhile.
    pub(super) fn find(&self, query: KeyQuery<'_>, max_waiting: usize) -> Result<AvailableKeys, NoKeys> {
        let mut state = self.lock();
        let mut since = query.arrival(state.begun);
        let mut has_asked = false;
        loop {
            match state.next_step(query, since, max_waiting) {
                NextStep::Use { are_current } => {
                    if has_asked && are_current {
                        state.remember_missing(query);
                    }
                    return self.available(&state, are_current, since);
                }
                NextStep::Refuse(why) => return Err(self.no_keys(&state, &why, max_waiting)),
                NextStep::Wait => {
                    let started = Instant::now();
                    state.waiting = state.waiting.saturating_add(1);
                    let waited = self.done.wait_while(state, |state| state.in_flight);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                    state.waiting = state.waiting.saturating_sub(1);
                    since.time = later(since.time, started);
                }
                NextStep::Fetch { is_due } => {
                    if !is_due {
                        state.budget.take(since.time);
                    }
                    state.in_flight = true;
                    state.begun = state.begun.saturating_add(1);
                    state.attempted_at = Some(since.time);
                    drop(state);
                    let started = Instant::now();
                    self.fetch_and_store(since.time);
                    since.time = later(since.time, started);
                    has_asked = true;
                    state = self.lock();
                }
            }
        }
    }

    /// Does the same if it needs neither a fetch nor to wait for one, and returns `None` if it does. Keys
    /// that are due for a fetch are not used here, because nobody else might fetch them. While a thread
    /// fetches them, they are.
    pub(super) fn find_without_io(
        &self,
        query: KeyQuery<'_>,
        max_waiting: usize,
    ) -> Option<Result<AvailableKeys, NoKeys>> {
        let mut state = self.lock();
        let since = query.arrival(state.begun);
        match state.next_step(query, since, max_waiting) {
            NextStep::Use { are_current } => Some(self.available(&state, are_current, since)),
            NextStep::Refuse(why) => Some(Err(self.no_keys(&state, &why, max_waiting))),
            NextStep::Wait | NextStep::Fetch { .. } => None,
        }
    }

    fn available(&self, state: &State, are_current: bool, since: Arrival) -> Result<AvailableKeys, NoKeys> {
        match &state.keys {
            Some(keys) => Ok(AvailableKeys { keys: Arc::clone(keys), are_current, since }),
            None => Err(NoKeys::FetchFailed(self.unfinished())),
        }
    }

    fn no_keys(&self, state: &State, why: &Refusal, max_waiting: usize) -> NoKeys {
        match why {
            Refusal::FetchFailed => {
                NoKeys::FetchFailed(state.error.clone().unwrap_or_else(|| self.unfinished()))
            }
            Refusal::TooManyThreads => NoKeys::Withheld(self.too_many_wait(max_waiting)),
            Refusal::TooManyFetches { wait } => NoKeys::Withheld(self.too_many_fetches(*wait)),
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
        state.attempted_at = Some(later(now, started));
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

    fn too_many_fetches(&self, wait: Duration) -> Error {
        let wrong = "too many tokens by keys that the issuer did not have caused a fetch lately";
        self.error(ErrorKind::BackOff { retry_after: wait.max(RETRY_AFTER) }, wrong)
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
    /// It uses the cached keys, even if they are old.
    Use { are_current: bool },
    /// It fetches the keys: because they are due, or earlier, which the budget allows.
    Fetch { is_due: bool },
    /// It waits for the fetch of another thread.
    Wait,
    /// It gives up.
    Refuse(Refusal),
}

enum Refusal {
    FetchFailed,
    TooManyThreads,
    TooManyFetches { wait: Duration },
}

impl State {
    fn next_step(&mut self, query: KeyQuery<'_>, since: Arrival, max_waiting: usize) -> NextStep {
        let now = since.time;
        // A fetch that began after the token had come.
        let has_fetched = self.ended > since.begun_before;
        let are_current = has_fetched && self.error.is_none();
        let is_due = !self.is_younger_than(REFRESH_AGE, now);
        let keys = self.keys.as_ref().filter(|_| self.is_younger_than(MAX_AGE, now));
        let are_right = keys.is_some_and(|keys| query.is_met_by(keys));
        if are_right && (!is_due || has_fetched || self.in_flight || self.is_pausing(now)) {
            // A thread whose key is cached does not wait for the fetch of another one.
            NextStep::Use { are_current }
        } else if are_current {
            // The issuer does not have what is needed.
            NextStep::Use { are_current }
        } else if has_fetched {
            NextStep::Refuse(Refusal::FetchFailed)
        } else if self.in_flight {
            // Anybody can make up names of keys, so only some of the threads wait.
            match self.waiting.saturating_add(1) < max_waiting {
                true => NextStep::Wait,
                false => NextStep::Refuse(Refusal::TooManyThreads),
            }
        } else if self.is_pausing(now) {
            NextStep::Refuse(Refusal::FetchFailed)
        } else if is_due {
            NextStep::Fetch { is_due }
        } else {
            match self.budget.wait(now) {
                None => NextStep::Fetch { is_due },
                Some(_) if self.error.is_some() => NextStep::Refuse(Refusal::FetchFailed),
                // Otherwise, all tokens by a key that the issuer withdrew would get 503.
                Some(_) if self.is_missing(query) => NextStep::Use { are_current: true },
                Some(wait) => NextStep::Refuse(Refusal::TooManyFetches { wait }),
            }
        }
    }

    fn is_younger_than(&self, age: Duration, now: SystemTime) -> bool {
        self.fetched_at.is_some_and(|then| elapsed_between(then, now).is_some_and(|elapsed| elapsed < age))
    }

    /// Returns whether the issuer was asked for that key in vain.
    fn is_missing(&self, query: KeyQuery<'_>) -> bool {
        query.kid().is_some_and(|kid| self.missing.iter().any(|missing| **missing == *kid))
    }

    /// Remembers the name of the key that a fetch was made for, if it was made in vain. Strangers cannot
    /// make this server forget names faster than they can cause fetches.
    fn remember_missing(&mut self, query: KeyQuery<'_>) {
        let Some(kid) = query.kid() else { return };
        self.missing.retain(|missing| **missing != *kid);
        if self.keys.as_ref().is_some_and(|keys| keys.contains(kid)) {
            return;
        }
        if self.missing.len() >= MAX_MISSING {
            self.missing.pop_front();
        }
        self.missing.push_back(kid.into());
    }

    /// Returns whether the last fetch failed so lately that there must not be another one.
    fn is_pausing(&self, now: SystemTime) -> bool {
        // A clock that was set back must not prevent a fetch.
        let is_lately =
            |then| elapsed_between(then, now).is_some_and(|elapsed| elapsed < PAUSE_AFTER_FAILURE);
        self.error.is_some() && self.attempted_at.is_some_and(is_lately)
    }
}

impl<'a> KeyQuery<'a> {
    fn kid(self) -> Option<&'a str> {
        match self {
            Self::First { kid, .. } => kid,
            Self::OtherThan(_) => None,
        }
    }

    fn arrival(self, begun_before: u64) -> Arrival {
        match self {
            Self::First { now, .. } => Arrival { begun_before, time: now },
            Self::OtherThan(tried) => tried.since,
        }
    }

    fn is_met_by(self, keys: &JwkSet) -> bool {
        match self {
            Self::First { kid, .. } => kid.is_none_or(|kid| keys.contains(kid)),
            Self::OtherThan(tried) => keys.id() != tried.keys.id(),
        }
    }
}

impl From<NoKeys> for Error {
    fn from(why: NoKeys) -> Self {
        match why {
            NoKeys::FetchFailed(error) | NoKeys::Withheld(error) => error,
        }
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
        state.ended = state.begun;
        let replaced = unfinished.and_then(|error| state.error.replace(error));
        drop(state);
        self.keys.done.notify_all();
        drop(replaced);
    }
}

/// Returns the time of day after what has begun at `started`.
fn later(now: SystemTime, started: Instant) -> SystemTime {
    now.checked_add(started.elapsed()).unwrap_or(now)
}
