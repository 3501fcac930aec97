//! One live token for whoever asks: single flight, renewal ahead of its end, back-off. Time and the request itself are
//! arguments, so that all of it is tested without either.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::client::prover::Prover;
use crate::client::token_response::TokenResponse;
use crate::crypto;
use crate::error::{Error, ErrorKind};
use crate::jose::public_key::Thumbprint;
use crate::sync::{self, LruMap};
use crate::time::Clock;

/// Requests that one call makes for a token before it gives up on a server that fails.
const MAX_ATTEMPTS: u32 = 5;
/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// However long a server asks to be left alone, it is asked again after this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
/// How long the thread that renews ahead of the end waits for the server.
const LONGEST_RENEWAL: Duration = Duration::from_secs(5);
const SHORTEST_RENEWAL: Duration = Duration::from_millis(500);
/// A token is not used at the very end of its life: it must still be valid when it arrives.
const MARGIN: Duration = Duration::from_secs(10);
/// Beside these, those not used for longest are let go.
const MAX_SLOTS: usize = 1_000;

/// The tokens of one client of one authorization server.
pub(crate) struct Tokens {
    clock: Arc<dyn Clock>,
    /// How long before its end a token is renewed, where it lives long enough.
    pub(crate) renew_before: Duration,
    /// The life of a token whose response says nothing of it; `None`: until it is refused.
    pub(crate) assumed_life: Option<Duration>,
    slots: Mutex<LruMap<Key, Arc<Slot>>>,
    /// Of the server, whatever token it was asked for.
    back_off: Mutex<BackOff>,
}

/// What a token depends on, beside the client and the server, which are one each here: another scope, another resource or
/// another key is another token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// [`Parameters::digest`]: scope, resource and whatever else is asked for.
    pub(crate) parameters: [u8; 32],
    pub(crate) jkt: Thumbprint,
}

/// Where one token is kept.
#[derive(Default)]
pub(crate) struct Slot {
    state: Mutex<State>,
    landed: Condvar,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    had_one: bool,
    /// Whether a thread is at it.
    flying: bool,
    flight: u64,
    waiting: u32,
    /// How the last flight ended, for those who waited for it and nobody else.
    outcome: Option<(u64, Result<Token, Error>)>,
    /// Renewals that the server refused for good leave the others alone.
    back_off: BackOff,
}

/// A token with the key it goes with.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) response: Arc<TokenResponse>,
    pub(crate) prover: Prover,
    due: Option<Moment>,
    end: Option<Moment>,
}

/// A moment by both clocks: whichever shows it first, since one may be set and the other may stand still while a machine
/// sleeps.
#[derive(Clone, Copy)]
struct Moment {
    time: SystemTime,
    elapsed: Duration,
}

/// Until when a call may last.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    end: Duration,
    total: Duration,
}

/// A failed request for a token.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// What the server says of when to come back.
    pub(crate) retry_after: Option<Duration>,
    /// Whether it was the call that had no more time, and not the server that took too long.
    pub(crate) cut_short: bool,
}

/// When a server that fails may be asked again.
#[derive(Default)]
struct BackOff {
    failures: u32,
    until: Option<Duration>,
    asked: bool,
}

/// How a token came about, to be counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Got {
    First,
    Renewed,
}

/// Where tokens come from.
pub(crate) trait Source {
    /// The key that they are bound to.
    fn prover(&self) -> &Prover;

    /// Sends one request for one.
    fn fetch(&self, deadline: Deadline) -> Result<TokenResponse, Failure>;

    /// What that is, for errors.
    fn doing(&self) -> String;

    /// Is told of each that came.
    fn got(&self, how: Got, token: &Token);
}

impl Deadline {
    pub(crate) fn after(total: Duration, clock: &dyn Clock) -> Self {
        Self { end: clock.elapsed().saturating_add(total), total }
    }

    pub(crate) fn remaining(self, clock: &dyn Clock) -> Duration {
        self.end.saturating_sub(clock.elapsed())
    }

    /// What of it a renewal may take that is not needed yet; `None` where that is too little to get anything.
    fn part(self, clock: &dyn Clock) -> Option<Self> {
        let part = (self.remaining(clock) / 4).min(LONGEST_RENEWAL);
        (part >= SHORTEST_RENEWAL).then(|| Self { end: clock.elapsed().saturating_add(part), total: part })
    }

    /// The error for what did not come in time.
    pub(crate) fn passed(self, doing: String) -> Error {
        let wrong = format!("there was none within the {} ms that a call may take", self.total.as_millis());
        Error::new(ErrorKind::Timeout, doing, wrong)
    }
}

impl Moment {
    fn now(clock: &dyn Clock) -> Self {
        Self { time: clock.now(), elapsed: clock.elapsed() }
    }

    fn after(self, span: Duration) -> Option<Self> {
        Some(Self { time: self.time.checked_add(span)?, elapsed: self.elapsed.checked_add(span)? })
    }

    fn has_come(self, clock: &dyn Clock) -> bool {
        clock.now() >= self.time || clock.elapsed() >= self.elapsed
    }
}

impl Token {
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.response, &other.response)
    }

    fn has_ended(&self, clock: &dyn Clock) -> bool {
        self.end.is_some_and(|end| end.has_come(clock))
    }

    fn is_due(&self, clock: &dyn Clock) -> bool {
        self.due.is_some_and(|due| due.has_come(clock))
    }
}

impl BackOff {
    /// How long to wait yet, if at all.
    fn pause(&self, clock: &dyn Clock) -> Option<Duration> {
        let pause = self.until?.saturating_sub(clock.elapsed());
        (!pause.is_zero()).then_some(pause)
    }

    fn failed(&mut self, retry_after: Option<Duration>, clock: &dyn Clock) {
        self.failures = self.failures.saturating_add(1);
        // Half of it by chance, so that many clients do not come back at once.
        let chance = crypto::random::<1>().map_or(0, |[byte]| byte);
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        let own = doubled.min(LONGEST_PAUSE).mul_f64(0.5 + f64::from(chance) / 512.0);
        self.asked = retry_after.is_some();
        let pause = match retry_after {
            Some(asked) => asked.min(LONGEST_RETRY_AFTER).saturating_add(own.min(Duration::from_secs(1))),
            None => own,
        };
        self.until = Some(clock.elapsed().saturating_add(pause));
    }

    /// The error for a call that would have to wait longer than it may.
    fn refused(&self, pause: Duration, doing: String) -> Error {
        let why = match self.asked {
            true => "the server failed before and said when to come back (Retry-After)",
            false => "the server failed before and is given time",
        };
        let seconds = pause.as_secs_f64();
        let wrong =
            format!("{why}: it is not asked again for {seconds:.1} s, and this call may not last so long");
        Error::new(ErrorKind::BackOff { retry_after: pause }, doing, wrong)
    }
}

impl State {
    fn holds(&self, token: &Token) -> bool {
        self.token.as_ref().is_some_and(|kept| kept.is(token))
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        sync::lock(&self.state)
    }

    /// Whether that is the token at hand.
    pub(crate) fn holds(&self, token: &Token) -> bool {
        self.lock().holds(token)
    }

    /// Lets go of that token, or of any, unless another has taken its place.
    pub(crate) fn forget(&self, token: Option<&Token>) {
        let mut state = self.lock();
        if token.is_none_or(|token| state.holds(token)) {
            state.token = None;
            state.outcome = None;
        }
    }
}

/// Ends a flight however it ends: a panic of whoever flew (in a signer, say) leaves nothing locked, and the next takes over.
struct Flight<'a> {
    slot: &'a Slot,
    number: u64,
    outcome: Option<Result<Token, Error>>,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.slot.lock();
        state.flying = false;
        // Told to those who wait and to nobody else: failures are not kept. That one's time ran out is no failure of theirs.
        let own = |error: &Error| matches!(error.kind(), ErrorKind::Timeout | ErrorKind::BackOff { .. });
        let told =
            self.outcome.take().filter(|outcome| state.waiting > 0 && !outcome.as_ref().is_err_and(own));
        state.outcome = told.map(|outcome| (self.number, outcome));
        drop(state);
        self.slot.landed.notify_all();
    }
}

impl Tokens {
    pub(crate) fn new(clock: Arc<dyn Clock>, renew_before: Duration, assumed_life: Option<Duration>) -> Self {
        Self {
            clock,
            renew_before,
            assumed_life,
            slots: Mutex::new(LruMap::new(MAX_SLOTS)),
            back_off: Mutex::default(),
        }
    }

    pub(crate) fn slot(&self, key: &Key) -> Arc<Slot> {
        let mut slots = sync::lock(&self.slots);
        if let Some(slot) = slots.get(key) {
            return Arc::clone(slot);
        }
        let slot = Arc::<Slot>::default();
        slots.insert(*key, Arc::clone(&slot));
        slot
    }

    /// Lets go of what nobody uses after all.
    pub(crate) fn remove(&self, key: &Key) {
        sync::lock(&self.slots).remove(key);
    }

    fn back_off(&self) -> MutexGuard<'_, BackOff> {
        sync::lock(&self.back_off)
    }

    /// Lets go of the tokens of every key but that.
    pub(crate) fn keep_only(&self, jkt: &Thumbprint) {
        sync::lock(&self.slots).retain(|key| key.jkt == *jkt);
    }

    /// The token to use now. One thread fetches, and the others wait for it, or go on with the token at hand while it is
    /// valid.
    pub(crate) fn live(&self, slot: &Slot, source: &dyn Source, deadline: Deadline) -> Result<Token, Error> {
        let clock = &*self.clock;
        let mut state = slot.lock();
        loop {
            let at_hand = state.token.clone().filter(|token| !token.has_ended(clock));
            if let Some(token) = at_hand {
                let pause = state.back_off.pause(clock).or_else(|| self.back_off().pause(clock));
                let leave = state.flying || pause.is_some() || deadline.part(clock).is_none();
                if leave || !token.is_due(clock) {
                    return Ok(token);
                }
                return self.fly(slot, state, Some(token), source, deadline);
            }
            if deadline.remaining(clock).is_zero() {
                return Err(deadline.passed(source.doing()));
            }
            if !state.flying {
                return self.fly(slot, state, None, source, deadline);
            }
            let flight = state.flight;
            state.waiting = state.waiting.saturating_add(1);
            let (landed, waited) = slot
                .landed
                .wait_timeout_while(state, deadline.remaining(clock), |state| {
                    state.flying && state.flight == flight
                })
                .unwrap_or_else(PoisonError::into_inner);
            state = landed;
            state.waiting = state.waiting.saturating_sub(1);
            match &state.outcome {
                Some((number, outcome)) if *number == flight => return outcome.clone(),
                _ if waited.timed_out() => {
                    return Err(deadline.passed(source.doing()));
                }
                _ => {}
            }
        }
    }

    /// Fetches, while the others wait or go on: with a token at hand, one request; without, as many as it takes and time and
    /// the server allow.
    fn fly(
        &self,
        slot: &Slot,
        mut state: MutexGuard<'_, State>,
        mut at_hand: Option<Token>,
        source: &dyn Source,
        deadline: Deadline,
    ) -> Result<Token, Error> {
        let clock = &*self.clock;
        let how = if state.had_one { Got::Renewed } else { Got::First };
        state.flying = true;
        state.flight = state.flight.wrapping_add(1);
        // Without the lock from here on: whatever panics, the flight ends.
        let number = state.flight;
        drop(state);
        let mut flight = Flight { slot, number, outcome: None };
        let mut pause = self.back_off().pause(clock);

        let mut attempts = 0;
        let outcome = loop {
            if let Some(pause) = pause {
                if pause >= deadline.remaining(clock) {
                    break Err(self.back_off().refused(pause, source.doing()));
                }
                clock.sleep(pause);
            }
            attempts += 1;
            let sent = Moment::now(clock);
            // With a token at hand most of the time is the call's own.
            let until = at_hand.as_ref().and_then(|_| deadline.part(clock)).unwrap_or(deadline);
            match source.fetch(until) {
                Ok(response) => {
                    let token = self.token(response, source.prover(), sent);
                    let mut state = slot.lock();
                    state.back_off = BackOff::default();
                    state.token = Some(token.clone());
                    state.had_one = true;
                    drop(state);
                    *self.back_off() = BackOff::default();
                    source.got(how, &token);
                    break Ok(token);
                }
                Err(Failure { error, retry_after, cut_short }) => {
                    let transient = error.is_transient();
                    let at_hand = at_hand.take().filter(|token| !token.has_ended(clock));
                    // A refusal of the credentials is told each time; but who has a valid token leaves the server alone.
                    match (transient, at_hand.is_some()) {
                        (true, false) if cut_short => break Err(error),
                        (true, _) => self.back_off().failed(retry_after, clock),
                        (false, true) => slot.lock().back_off.failed(retry_after, clock),
                        (false, false) => *self.back_off() = BackOff::default(),
                    }
                    pause = self.back_off().pause(clock);
                    if let Some(token) = at_hand {
                        log::warn!("a token was not renewed, and the one at hand is used: {error}");
                        return Ok(token);
                    }
                    let too_long = pause.is_some_and(|pause| pause >= deadline.remaining(clock));
                    if !transient {
                        break Err(error);
                    }
                    if attempts >= MAX_ATTEMPTS || too_long {
                        break Err(gave_up(error, attempts, pause));
                    }
                    log::info!("asking for a token failed, once more after a pause: {error}");
                }
            }
        };
        flight.outcome = Some(outcome.clone());
        outcome
    }

    fn token(&self, response: TokenResponse, prover: &Prover, sent: Moment) -> Token {
        // Counted from before the request, since the server counts from before its response.
        let life = response.expires_in().or(self.assumed_life);
        let ends = |before: Duration| life.and_then(|life| sent.after(life.saturating_sub(before)));
        let shorter = |span: Duration, part: u32| life.map_or(span, |life| span.min(life / part));
        // Of a short life, a tenth is margin and a third is for renewal.
        let end = ends(shorter(MARGIN, 10));
        let due = ends(shorter(self.renew_before, 3).max(shorter(MARGIN, 10)));
        Token { response: Arc::new(response), prover: prover.clone(), due, end }
    }
}

fn gave_up(error: Error, attempts: u32, pause: Option<Duration>) -> Error {
    let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
    match pause {
        Some(pause) => {
            let seconds = pause.as_secs_f64();
            error.with_note(format_args!("asked {times}; it is not asked again for {seconds:.1} s"))
        }
        None => error.with_note(format_args!("asked {times}")),
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
