//! The cached access tokens of a session: one request at a time for each token, renewal ahead of expiry,
//! back-off. Time and the request itself are arguments, so that all of it is tested without a clock and
//! without a server.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::deadline::Deadline;
use super::refusals::{RefusedRequest, Replacements};
use crate::back_off::{BackOff, random_fraction};
use crate::circuit_breaker::{CircuitBreaker, NotPermitted};
use crate::client::grants::token_response::TokenResponse;
use crate::client::proofs::prover::Prover;
use crate::crypto::sha256;
use crate::error::{Error, ErrorKind};
use crate::jose::public_key::Thumbprint;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{self, Condvar, LruMap, Mutex, MutexGuard};
use crate::time::{Clock, TimePoint};

/// The number of token requests that one call makes at most while the server fails.
const MAX_ATTEMPTS: u32 = 5;
/// A token is renewed earlier by a random time, so that a fleet of clients does not renew in the same
/// second: by up to a twentieth of its lifetime, and not more than this.
const MAX_RENEWAL_VARIATION: Duration = Duration::from_secs(5 * 60);
/// A token is not used at the very end of its lifetime: it must still be valid when it arrives.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10);
/// The number of tokens that are cached; the least recently used one is evicted.
const MAX_SLOTS: usize = 1_000;

/// The tokens of one client of one authorization server.
pub(crate) struct TokenCache {
    clock: Arc<dyn Clock>,
    /// How long before it expires a token is renewed, if its lifetime is long enough.
    renew_before: Duration,
    /// The lifetime of a token whose response has no `expires_in`. Without it, such a token is used until it
    /// is refused.
    assumed_lifetime: Option<Duration>,
    /// A number from 0 to 1 for each token: which part of the longest variation it is renewed earlier.
    variation: fn() -> f64,
    slots: Mutex<LruMap<CacheKey, Arc<TokenSlot>>>,
    /// Pauses after failures of the server, whatever token was requested.
    breaker: CircuitBreaker,
    /// The last refusal of the client itself, with the key in use: it concerns every token.
    refused_client: Mutex<Option<(Thumbprint, RefusedRequest)>>,
    /// Whether a resource ever refused a token. Without that, an accepted token is not recorded.
    any_replacement: AtomicBool,
}

/// The token also depends on these, besides client and server.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey {
    /// The [digest](crate::client::parameters::Parameters::digest) of scope, resource and further parameters.
    pub(crate) parameters: [u8; 32],
    pub(crate) jkt: Thumbprint,
}

/// The place of one token in the cache.
#[derive(Default)]
pub(crate) struct TokenSlot {
    state: Mutex<SlotState>,
    fetch_ended: Condvar,
}

#[derive(Default)]
struct SlotState {
    token: Option<CachedToken>,
    /// The last token, also after it was discarded: the next one is a renewal, and the same one is not taken
    /// from the store again.
    last_token: Option<TokenDigest>,
    /// Whether a thread is fetching a token.
    in_flight: bool,
    /// The number of the last fetch.
    fetch: u64,
    waiting: u32,
    /// The outcome of the last fetch, for the threads that waited for it and no others.
    outcome: Option<(u64, Result<CachedToken, Error>)>,
    /// The pause after requests that failed permanently. Those of other tokens are not affected.
    refused_request: RefusedRequest,
    /// The origins for which the token was replaced.
    replacements: Replacements,
}

/// A token and the key it is bound to.
#[derive(Clone)]
pub(crate) struct CachedToken {
    pub(crate) response: Arc<TokenResponse>,
    pub(crate) prover: Prover,
    renew_at: Option<TimePoint>,
    expires_at: Option<TimePoint>,
}

/// The hash of an access token.
type TokenDigest = [u8; 32];

fn digest(response: &TokenResponse) -> TokenDigest {
    sha256(response.access_token().as_bytes())
}

/// What a thread waited for.
enum Waited {
    Outcome(Result<CachedToken, Error>),
    TimedOut,
}

/// A failed token request.
pub(crate) struct FetchFailure {
    pub(crate) error: Error,
    /// The `Retry-After` of the response.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) cause: FailureCause,
    /// Whether the same call may repeat the request if the failure is transient. A refresh token may have
    /// been used up by a request whose response was lost.
    pub(crate) may_repeat: bool,
}

impl From<Error> for FetchFailure {
    fn from(error: Error) -> Self {
        Self { error, retry_after: None, cause: FailureCause::Request, may_repeat: true }
    }
}

impl FetchFailure {
    /// No request was sent, because of that error.
    pub(crate) fn not_sent(error: Error) -> Self {
        Self { cause: FailureCause::NotSent, ..error.into() }
    }
}

/// What a failed token request says something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureCause {
    /// The server, the network, the client or the request.
    Request,
    /// The time of the call ran out, which says nothing about the server.
    Deadline,
    /// No request was sent: the store of the session failed or is locked, or other threads use the refresh
    /// token.
    NotSent,
}

/// The outcome of a fetch.
pub(crate) enum Fetched {
    /// The server issued a token in response to a request that was sent then.
    Issued {
        response: Arc<TokenResponse>,
        sent: TimePoint,
        /// Why the refresh token that came with it was not stored. The call fails with this error, and the
        /// token is used from then on.
        unsaved: Option<Error>,
    },
    /// Another process has stored a token.
    Stored(CachedToken),
}

/// What a fetch is for.
pub(crate) struct Demand<'a> {
    cache: &'a TokenCache,
    prover: &'a Prover,
    last_token: Option<TokenDigest>,
    /// Whether the cached token is still valid.
    pub(crate) is_ahead_of_expiry: bool,
}

impl Demand<'_> {
    pub(crate) fn now(&self) -> TimePoint {
        TimePoint::now(&*self.cache.clock)
    }

    /// Returns the token that another process has stored, if it can be used in place of a new one: it is not
    /// the one that was used so far, and not due for renewal.
    pub(crate) fn accept(&self, response: &Arc<TokenResponse>) -> Option<CachedToken> {
        if self.last_token == Some(digest(response)) {
            return None;
        }
        let token = self.cache.received_token(Arc::clone(response), self.prover);
        let now = self.now();
        (!token.has_expired(now) && !token.is_due_for_renewal(now)).then_some(token)
    }
}

/// Where tokens come from.
pub(crate) trait TokenSource {
    /// The key that the tokens are bound to.
    fn prover(&self) -> &Prover;

    /// Requests one token, unless another process has stored one.
    fn fetch(&self, demand: &Demand<'_>, deadline: Deadline) -> Result<Fetched, FetchFailure>;

    /// What a fetch does, for errors.
    fn action(&self) -> String;

    /// Is called after each token that the server issued. `renewal` says that it replaces another one.
    fn received(&self, token: &CachedToken, renewal: bool);
}

impl TokenCache {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        renew_before: Duration,
        assumed_lifetime: Option<Duration>,
    ) -> Self {
        let slots = Mutex::new(LruMap::new(MAX_SLOTS));
        let breaker = CircuitBreaker::new(Arc::clone(&clock), BackOff::default());
        Self {
            clock,
            renew_before,
            assumed_lifetime,
            variation: random_fraction,
            slots,
            breaker,
            refused_client: Mutex::default(),
            any_replacement: AtomicBool::new(false),
        }
    }

    /// The slot of a token, which is created when it is first asked for.
    pub(crate) fn slot(&self, key: &CacheKey) -> Arc<TokenSlot> {
        let mut slots = sync::lock(&self.slots);
        if let Some(slot) = slots.get(key) {
            return Arc::clone(slot);
        }
        let slot = Arc::<TokenSlot>::default();
        let evicted = slots.insert(*key, Arc::clone(&slot));
        drop(slots);
        // The signer of its token may be dropped with it.
        drop(evicted);
        slot
    }

    /// Discards a token and ends the pauses after its refusals.
    pub(crate) fn discard(&self, key: &CacheKey) {
        self.forget_refused_client();
        self.slot(key).discard();
    }

    /// Removes a slot that is not used after all.
    pub(crate) fn remove(&self, key: &CacheKey) {
        let removed = sync::lock(&self.slots).remove(key);
        drop(removed);
    }

    /// Puts a token into the cache that was received before.
    pub(crate) fn insert(&self, key: &CacheKey, response: Arc<TokenResponse>, prover: &Prover) {
        let digest = digest(&response);
        let token = self.received_token(response, prover);
        let slot = self.slot(key);
        let mut state = slot.lock();
        let replaced = state.token.replace(token);
        state.last_token = Some(digest);
        drop(state);
        drop(replaced);
    }

    /// Removes every token and returns those that are valid.
    pub(crate) fn take_all(&self) -> Vec<CachedToken> {
        let now = TimePoint::now(&*self.clock);
        let slots = sync::lock(&self.slots).retain(|_| false);
        let tokens = slots.iter().filter_map(|slot| slot.lock().token.take());
        tokens.filter(|token| !token.has_expired(now)).collect()
    }

    /// Discards the tokens of every other key.
    pub(crate) fn keep_only(&self, jkt: &Thumbprint) {
        let removed = sync::lock(&self.slots).retain(|key| key.jkt == *jkt);
        drop(removed);
    }

    /// The token to use now. One thread fetches a new one; the others wait for it, or use the cached token
    /// while it is valid.
    pub(crate) fn valid_token(
        &self,
        slot: &TokenSlot,
        source: &dyn TokenSource,
        deadline: Deadline,
    ) -> Result<CachedToken, Error> {
        let clock = &*self.clock;
        loop {
            // The clock and the source are foreign code, which never runs under the lock.
            let (now, remaining) = (TimePoint::now(clock), deadline.remaining(clock));
            let state = slot.lock();
            let cached = state.token.clone();
            if let Some(token) = cached.filter(|token| !token.has_expired(now)) {
                let due = !state.in_flight
                    && token.is_due_for_renewal(now)
                    && state.refused_request.pause(now).is_none();
                drop(state);
                if !due || !self.breaker.permits() || deadline.for_renewal(clock).is_none() {
                    return Ok(token);
                }
                let state = slot.lock();
                // Another thread may have begun meanwhile, or may have replaced the token.
                if state.in_flight || !state.holds(&token) {
                    drop(state);
                    return Ok(token);
                }
                return self.fetch(slot, state, Some(token), source, deadline);
            }
            if remaining.is_zero() {
                drop(state);
                return Err(deadline.exceeded(source.action()));
            }
            if !state.in_flight {
                return self.fetch(slot, state, None, source, deadline);
            }
            match slot.wait(state, remaining) {
                Some(Waited::Outcome(outcome)) => return outcome,
                Some(Waited::TimedOut) => return Err(deadline.exceeded(source.action())),
                None => {}
            }
        }
    }

    /// Fetches a token while the other threads wait or use the cached one. With a valid cached token it makes
    /// one request; without one, as many as the deadline, the server's pauses and [`MAX_ATTEMPTS`] allow.
    fn fetch(
        &self,
        slot: &TokenSlot,
        mut state: MutexGuard<'_, SlotState>,
        mut cached: Option<CachedToken>,
        source: &dyn TokenSource,
        deadline: Deadline,
    ) -> Result<CachedToken, Error> {
        let clock = &*self.clock;
        let last_token = state.last_token;
        state.in_flight = true;
        state.fetch = state.fetch.wrapping_add(1);
        let number = state.fetch;
        // From here on the lock is not held, and the guard ends the fetch even if the source panics.
        drop(state);
        let mut guard = FetchGuard { slot, number, outcome: None };
        let jkt = source.prover().thumbprint();
        let mut attempts = 0;
        let outcome = loop {
            if let Some(refusal) = self.current_refusal(slot, &jkt) {
                match cached {
                    Some(token) => return Ok(token),
                    None => break Err(refusal),
                }
            }
            let permit = match &cached {
                // A call that has a valid token does not wait.
                Some(token) => match self.breaker.try_acquire() {
                    Some(permit) => permit,
                    None => return Ok(token.clone()),
                },
                None => match self.breaker.acquire(|| deadline.remaining(clock)) {
                    Ok(permit) => permit,
                    Err(NotPermitted::Paused { pause, back_off }) => {
                        break Err(back_off.refusal(pause, source.action()));
                    }
                    Err(NotPermitted::ProbeUnfinished) => break Err(deadline.exceeded(source.action())),
                },
            };
            attempts += 1;
            let is_ahead_of_expiry = cached.is_some();
            let demand = Demand { cache: self, prover: source.prover(), last_token, is_ahead_of_expiry };
            let until = cached.as_ref().and_then(|_| deadline.for_renewal(clock)).unwrap_or(deadline);
            match source.fetch(&demand, until) {
                Ok(fetched) => {
                    let (token, is_issued, unsaved) = match fetched {
                        Fetched::Issued { response, sent, unsaved } => {
                            let token = self.cached_token(response, source.prover(), sent, Duration::ZERO);
                            (token, true, unsaved)
                        }
                        Fetched::Stored(token) => (token, false, None),
                    };
                    let digest = digest(&token.response);
                    let mut state = slot.lock();
                    let refused_request = std::mem::take(&mut state.refused_request);
                    let replaced = state.token.replace(token.clone());
                    state.last_token = Some(digest);
                    drop(state);
                    drop((refused_request, replaced));
                    if is_issued {
                        self.forget_refused_client();
                        permit.server_works();
                        source.received(&token, last_token.is_some());
                    }
                    break unsaved.map_or(Ok(token), Err);
                }
                Err(FetchFailure { error, retry_after, cause, may_repeat }) => {
                    let transient = error.is_transient();
                    let now = TimePoint::now(clock);
                    let still_valid = cached.take().filter(|token| !token.has_expired(now));
                    if cause == FailureCause::NotSent {
                        // That says nothing about the server.
                        break still_valid.ok_or(error);
                    } else if transient && cause == FailureCause::Deadline && still_valid.is_none() {
                        break Err(error);
                    } else if transient {
                        permit.server_failed(retry_after);
                    } else if is_response(&error) {
                        permit.server_works();
                        self.record_refusal(slot, jkt, &error, retry_after);
                    } else if still_valid.is_some() {
                        slot.lock().refused_request.record_failure(now);
                    }
                    if let Some(token) = still_valid {
                        log::warn!("a token was not renewed, and the cached one is used: {error}");
                        return Ok(token);
                    }
                    if !transient || !may_repeat {
                        break Err(error);
                    }
                    let pause = self.breaker.pause();
                    let too_long = pause.is_some_and(|pause| pause >= deadline.remaining(clock));
                    if attempts >= MAX_ATTEMPTS || too_long {
                        break Err(gave_up(error, attempts, pause));
                    }
                    log::info!("a token request failed and is retried after a pause: {error}");
                }
            }
        };
        guard.outcome = Some(outcome.clone());
        outcome
    }

    /// Returns the error of a request that was refused before and is not repeated yet.
    fn current_refusal(&self, slot: &TokenSlot, jkt: &Thumbprint) -> Option<Error> {
        let now = TimePoint::now(&*self.clock);
        let of_token = slot.lock().refused_request.error(now);
        of_token.or_else(|| {
            let refused_client = sync::lock(&self.refused_client);
            refused_client.as_ref().filter(|(refused, _)| refused == jkt)?.1.error(now)
        })
    }

    fn record_refusal(
        &self,
        slot: &TokenSlot,
        jkt: Thumbprint,
        error: &Error,
        retry_after: Option<Duration>,
    ) {
        let now = TimePoint::now(&*self.clock);
        slot.lock().refused_request.record(error, retry_after, now);
        // Wrong credentials are wrong whatever token is requested.
        if error.oauth().is_some_and(|oauth| oauth.error() == "invalid_client") {
            let mut refused_client = sync::lock(&self.refused_client);
            let of_this_key = refused_client.take().filter(|(refused, _)| *refused == jkt);
            let (_, mut refused) = of_this_key.unwrap_or_else(|| (jkt, RefusedRequest::default()));
            // Requests that were on their way together count once.
            if refused.pause(now).is_none() {
                refused.record(error, retry_after, now);
            }
            *refused_client = Some((jkt, refused));
        }
    }

    fn forget_refused_client(&self) {
        let refused = sync::lock(&self.refused_client).take();
        drop(refused);
    }

    /// Takes a refusal of the token by a resource, and discards the token so that the call can be repeated
    /// with another one. Returns the remaining pause instead while the origin's token is not replaced,
    /// because the origin refused a new one before.
    pub(crate) fn replace_refused(
        &self,
        key: &CacheKey,
        token: &CachedToken,
        origin: &str,
    ) -> Option<Duration> {
        let now = TimePoint::now(&*self.clock);
        self.any_replacement.store(true, Ordering::Relaxed);
        let slot = self.slot(key);
        let mut state = slot.lock();
        // Another call has replaced the token, which costs no request.
        if !state.holds(token) {
            return None;
        }
        let pause = state.replacements.start(origin, now);
        let discarded =
            if pause.is_none() { (state.token.take(), state.outcome.take()) } else { (None, None) };
        drop(state);
        drop(discarded);
        pause
    }

    /// Records that an origin refused the token that the call was repeated with.
    pub(crate) fn record_refused(&self, key: &CacheKey, token: &CachedToken, origin: &str) {
        let now = TimePoint::now(&*self.clock);
        self.any_replacement.store(true, Ordering::Relaxed);
        let slot = self.slot(key);
        let mut state = slot.lock();
        if state.holds(token) {
            state.replacements.record_refused(origin, now);
        }
    }

    /// Records that an origin accepted the token.
    pub(crate) fn record_accepted(&self, key: &CacheKey, token: &CachedToken, origin: &str) {
        if !self.any_replacement.load(Ordering::Relaxed) {
            return;
        }
        let slot = self.slot(key);
        let mut state = slot.lock();
        if state.holds(token) {
            state.replacements.record_accepted(origin);
        }
    }

    /// The token of a response that was received before.
    fn received_token(&self, response: Arc<TokenResponse>, prover: &Prover) -> CachedToken {
        let now = TimePoint::now(&*self.clock);
        let age = now.time().duration_since(response.received_at()).unwrap_or_default();
        self.cached_token(response, prover, now, age)
    }

    /// The token of a response whose lifetime counts from `age` before `time`.
    fn cached_token(
        &self,
        response: Arc<TokenResponse>,
        prover: &Prover,
        time: TimePoint,
        age: Duration,
    ) -> CachedToken {
        // The lifetime counts from before the request: the server counts from before its response.
        let lifetime = response.expires_in().or(self.assumed_lifetime);
        let before_expiry = |span: Duration| {
            lifetime.and_then(|life| time.after(life.saturating_sub(span).saturating_sub(age)))
        };
        let at_most = |span: Duration, part: u32| lifetime.map_or(span, |life| span.min(life / part));
        // Of a short lifetime, a tenth is margin and a third is for renewal.
        let margin = at_most(EXPIRY_MARGIN, 10);
        let expires_at = before_expiry(margin);
        let variation = at_most(MAX_RENEWAL_VARIATION, 20).mul_f64((self.variation)());
        let renew_at = before_expiry(at_most(self.renew_before, 3).max(margin).saturating_add(variation));
        CachedToken { response, prover: prover.clone(), renew_at, expires_at }
    }
}

impl TokenSlot {
    /// Discards the token and ends the pauses after its refusals.
    fn discard(&self) {
        let mut state = self.lock();
        let token = state.token.take();
        let outcome = state.outcome.take();
        let refused_request = std::mem::take(&mut state.refused_request);
        state.replacements = Replacements::default();
        drop(state);
        // What is dropped here may run code of the user, such as the `Drop` of a signer.
        drop((token, outcome, refused_request));
    }

    /// Whether that is the cached token.
    pub(crate) fn holds(&self, token: &CachedToken) -> bool {
        self.lock().holds(token)
    }

    /// Waits for the fetch that another thread makes. `None` means that the outcome is not for this thread.
    fn wait(&self, mut state: MutexGuard<'_, SlotState>, remaining: Duration) -> Option<Waited> {
        let fetch = state.fetch;
        state.waiting = state.waiting.saturating_add(1);
        let (mut state, waited) = self
            .fetch_ended
            .wait_timeout_while(state, remaining, |state| state.in_flight && state.fetch == fetch)
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting = state.waiting.saturating_sub(1);
        match &state.outcome {
            Some((number, outcome)) if *number == fetch => Some(Waited::Outcome(outcome.clone())),
            _ if waited.timed_out() => Some(Waited::TimedOut),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        sync::lock(&self.state)
    }
}

impl SlotState {
    fn holds(&self, token: &CachedToken) -> bool {
        self.token.as_ref().is_some_and(|cached| Arc::ptr_eq(&cached.response, &token.response))
    }
}

impl CachedToken {
    fn has_expired(&self, now: TimePoint) -> bool {
        self.expires_at.is_some_and(|expiry| expiry.remaining(now).is_zero())
    }

    fn is_due_for_renewal(&self, now: TimePoint) -> bool {
        self.renew_at.is_some_and(|time| time.remaining(now).is_zero())
    }
}

/// Ends a fetch when it is dropped, also when the source panicked (a signer may): the next thread takes over.
struct FetchGuard<'a> {
    slot: &'a TokenSlot,
    number: u64,
    outcome: Option<Result<CachedToken, Error>>,
}

impl Drop for FetchGuard<'_> {
    fn drop(&mut self) {
        let outcome = self.outcome.take();
        let mut state = self.slot.lock();
        state.in_flight = false;
        // Only the threads that wait now see the outcome: failures are not cached. They do not inherit the
        // fetching call's own timeout.
        let own_limit =
            |error: &Error| matches!(error.kind(), ErrorKind::Timeout | ErrorKind::BackOff { .. });
        let is_shared = state.waiting > 0
            && outcome.as_ref().is_some_and(|outcome| !outcome.as_ref().is_err_and(own_limit));
        let (shared, unused) = if is_shared { (outcome, None) } else { (None, outcome) };
        let shared = shared.map(|outcome| (self.number, outcome));
        let replaced = std::mem::replace(&mut state.outcome, shared);
        drop(state);
        drop((unused, replaced));
        self.slot.fetch_ended.notify_all();
    }
}

/// Returns whether a response of the server led to that error. A signer that fails says nothing about the
/// server.
fn is_response(error: &Error) -> bool {
    let kind = error.kind();
    error.status().is_some() || matches!(kind, ErrorKind::TokenType { .. } | ErrorKind::TooLarge { .. })
}

fn gave_up(error: Error, attempts: u32, pause: Option<Duration>) -> Error {
    let asked = asked(attempts);
    match pause {
        Some(pause) => {
            let seconds = pause.as_secs_f64();
            error.with_note(format_args!("{asked}; it is not asked again for {seconds:.1} s"))
        }
        None => error.with_note(asked),
    }
}

/// How often the server was asked, for errors.
pub(super) fn asked(attempts: u32) -> String {
    if attempts == 1 { "asked once".to_owned() } else { format!("asked {attempts} times") }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
