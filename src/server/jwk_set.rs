//! The keys of an issuer (RFC 7517 §5).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::Request;

use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::Algorithm;
use crate::jose::json::{self, Json};
use crate::jose::public_key::{PublicKey, private_member};
use crate::oauth::http_client::{HttpClient, RequestBody};
use crate::oauth::response::require_json;
use crate::sync;
use crate::text::printable;

/// Keys older than this are fetched again when they are next needed.
const KEYS_LIFE: Duration = Duration::from_secs(15 * 60);
/// Older than this they are not used any more: whoever could keep them from being fetched could keep a revoked key alive.
const MAX_STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// More keys of a set are not looked at.
const MAX_KEYS: usize = 100;
/// Between two fetches, whoever asks for whatever key.
const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// The same while there are no keys at all.
const MIN_INTERVAL_WITHOUT_KEYS: Duration = Duration::from_secs(5);

/// A JWK Set (RFC 7517 §5): what of it can check signatures.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    pub(super) keys: Vec<(Option<String>, Option<String>, PublicKey)>,
    /// Why the first of those was that are not among them.
    pub(super) passed_over: Option<String>,
}

impl KeySet {
    /// Keys that are not understood, not for signatures or not public are passed over, as RFC 7517 §5 says.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let members = json::parse_object(text)?;
        let Some(Json::Array(jwks)) = members.get("keys") else {
            return Err("it has no array `keys`".to_owned());
        };
        let (mut keys, mut passed_over) = (Vec::new(), None);
        for jwk in jwks.iter().take(MAX_KEYS) {
            let Json::Object(jwk) = jwk else { continue };
            let for_signatures = jwk.get("use").is_none_or(|of| of.as_str() == Some("sig"))
                && jwk.get("key_ops").is_none_or(|ops| ops.has("verify"))
                && private_member(jwk).is_none();
            let text = |name: &str| jwk.text(name).map(str::to_owned);
            match PublicKey::from_members(jwk) {
                Ok(key) if for_signatures => keys.push((text("kid"), text("alg"), key)),
                Ok(_) => {
                    passed_over.get_or_insert_with(|| "a key is private or not for signatures".to_owned());
                }
                Err(error) => {
                    log::debug!("a key of the JWK Set is passed over: {error}");
                    passed_over.get_or_insert_with(|| error.to_string());
                }
            }
        }
        // A set without keys is a set: its server has taken them back.
        Ok(Self { keys, passed_over })
    }

    fn holds(&self, kid: Option<&str>) -> bool {
        self.keys.iter().any(|(known, ..)| kid.is_none() || known.as_deref() == kid)
    }

    /// The keys a token with that header may be signed with.
    pub(super) fn candidates(
        &self,
        kid: Option<&str>,
        alg: &str,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter_map(move |(known, key_alg, key)| {
            let named = kid.is_none() || known.as_deref() == kid;
            let said = key_alg.as_deref().is_none_or(|said| said == alg || algorithm.names().contains(&said));
            (named && said && key.fits(algorithm)).then_some(key)
        })
    }
}

pub(super) enum Keys {
    Fixed(Arc<KeySet>),
    Remote(Remote),
}

impl Keys {
    /// The keys at hand, after a fetch where that is due to find `kid`.
    pub(super) fn holding(&self, kid: Option<&str>, now: SystemTime) -> Result<Arc<KeySet>, Error> {
        match self {
            Self::Fixed(keys) => Ok(Arc::clone(keys)),
            Self::Remote(remote) => remote.holding(kid, now),
        }
    }
}

pub(super) struct Remote {
    uri: http::Uri,
    http: Box<dyn HttpClient>,
    state: Mutex<State>,
    fetched: Condvar,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// When those were fetched.
    since: Option<SystemTime>,
    /// When a fetch was last begun, and how it ended where it failed.
    tried: Option<SystemTime>,
    error: Option<Error>,
    fetching: bool,
}

impl State {
    fn younger_than(&self, age: Duration, now: SystemTime) -> bool {
        self.since.is_some_and(|since| elapsed(since, now).is_some_and(|elapsed| elapsed < age))
    }

    fn may_fetch(&self, now: SystemTime) -> bool {
        let interval = if self.keys.is_some() { MIN_INTERVAL } else { MIN_INTERVAL_WITHOUT_KEYS };
        // A clock that was set back must not keep the keys from being fetched.
        let due = |tried| elapsed(tried, now).is_none_or(|elapsed| elapsed >= interval);
        !self.fetching && self.tried.is_none_or(due)
    }
}

/// What passed between two readings of the clock: nothing where threads read it in another order; `None` where it was set
/// back.
fn elapsed(then: SystemTime, now: SystemTime) -> Option<Duration> {
    match now.duration_since(then) {
        Ok(elapsed) => Some(elapsed),
        Err(back) if back.duration() < MIN_INTERVAL => Some(Duration::ZERO),
        Err(_) => None,
    }
}

impl Remote {
    pub(super) fn new(uri: http::Uri, http: Box<dyn HttpClient>) -> Self {
        Self { uri, http, state: Mutex::default(), fetched: Condvar::new() }
    }

    pub(super) fn holding(&self, kid: Option<&str>, now: SystemTime) -> Result<Arc<KeySet>, Error> {
        let mut state = self.lock();
        let holds = state.keys.as_ref().is_some_and(|keys| keys.holds(kid));
        if !(holds && state.younger_than(KEYS_LIFE, now)) {
            if state.may_fetch(now) {
                state.fetching = true;
                state.tried = Some(now);
                drop(state);
                // Whatever becomes of the fetch, a panic in the HTTP client included, the others go on.
                let ending = Ending(self);
                let started = Instant::now();
                let fetched = self.fetch();
                state = self.lock();
                // The pause counts from the end.
                state.tried = now.checked_add(started.elapsed());
                match fetched {
                    Ok(keys) => {
                        (state.keys, state.since, state.error) = (Some(Arc::new(keys)), Some(now), None)
                    }
                    Err(error) => {
                        log::warn!("{error}");
                        state.error = Some(error);
                    }
                }
                drop(state);
                drop(ending);
                state = self.lock();
            } else if !holds {
                // Another thread fetches: who has a key at hand, be it old, goes on with it, and who waits takes what comes.
                let fetched = self.fetched.wait_while(state, |state| state.fetching);
                state = fetched.unwrap_or_else(PoisonError::into_inner);
            }
        }
        match (&state.keys, &state.error) {
            (Some(keys), _) if state.younger_than(MAX_STALE, now) => Ok(Arc::clone(keys)),
            (_, Some(error)) => Err(error.clone()),
            (_, None) => Err(self.error(ErrorKind::Transport, "an earlier fetch did not end")),
        }
    }

    fn fetch(&self) -> Result<KeySet, Error> {
        let request = Request::get(self.uri.clone())
            .header("accept", "application/jwk-set+json, application/json")
            .body(RequestBody::default())
            .map_err(|error| self.error(ErrorKind::Url, error.to_string()))?;
        let response = self.http.send(request).map_err(|error| error.while_doing(self.doing()))?;
        require_json(response.status(), response.headers(), || self.doing())?;
        let content = |wrong| self.error(ErrorKind::Content { status: 200 }, wrong);
        KeySet::parse(response.body()).map_err(content)
    }

    fn doing(&self) -> String {
        format!("fetching the keys at {}", printable(&self.uri.to_string(), 200))
    }

    fn error(&self, kind: ErrorKind, wrong: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::new(kind, self.doing(), wrong)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        sync::lock(&self.state)
    }
}

/// Ends a fetch when dropped.
struct Ending<'a>(&'a Remote);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.lock().fetching = false;
        self.0.fetched.notify_all();
    }
}
