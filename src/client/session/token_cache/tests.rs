//! Time is an argument: nothing sleeps, and no server is needed.
#![allow(clippy::unwrap_used, reason = "helpers of tests: what fails here fails a test")]

mod locks;
#[cfg(shuttle)]
mod models;
mod pauses;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use std::time::SystemTime;

use super::*;
use crate::jose::algorithm::Algorithm;
use crate::jose::json;
use crate::jose::key_pair::KeyPair;
use crate::oauth::oauth_error::OAuthError;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::testing::ManualClock;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn response(name: &str, expires_in: Option<u64>) -> TokenResponse {
    let expires_in = expires_in.map(|seconds| format!(r#","expires_in":{seconds}"#)).unwrap_or_default();
    let text = format!(r#"{{"access_token":"{name}","token_type":"Bearer"{expires_in}}}"#);
    TokenResponse::from_members(json::parse_members(text.as_bytes()).unwrap(), None, 1, std::time::UNIX_EPOCH)
        .unwrap()
}

fn failure(status: u16, retry_after: Option<u64>) -> FetchFailure {
    let error = OAuthError::new(status, "x".to_owned(), None, None);
    let error = Error::new(ErrorKind::OAuth(error), "requesting", "no");
    FetchFailure { retry_after: retry_after.map(Duration::from_secs), ..error.into() }
}

/// A token source that a test scripts and observes.
struct Script<F> {
    prover: Prover,
    fetched: AtomicU32,
    renewals: Mutex<Vec<bool>>,
    fetch: F,
}

impl<F: Fn(u32, Deadline) -> Result<TokenResponse, FetchFailure>> Script<F> {
    fn new(fetch: F) -> Self {
        let prover = Prover::new(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
        Self { prover, fetched: AtomicU32::new(0), renewals: Mutex::default(), fetch }
    }

    fn fetched(&self) -> u32 {
        self.fetched.load(Ordering::SeqCst)
    }

    fn renewals(&self) -> Vec<bool> {
        self.renewals.lock().unwrap().clone()
    }
}

impl<F: Fn(u32, Deadline) -> Result<TokenResponse, FetchFailure>> TokenSource for Script<F> {
    fn prover(&self) -> &Prover {
        &self.prover
    }

    fn fetch(&self, demand: &Demand<'_>, deadline: Deadline) -> Result<Fetched, FetchFailure> {
        let sent = demand.now();
        let response = (self.fetch)(self.fetched.fetch_add(1, Ordering::SeqCst), deadline)?;
        Ok(Fetched::Issued { response: Arc::new(response), sent, unsaved: None })
    }

    fn action(&self) -> String {
        "requesting".to_owned()
    }

    fn received(&self, _: &CachedToken, renewal: bool) {
        self.renewals.lock().unwrap().push(renewal);
    }
}

/// Fetches `t-0`, `t-1` … with that lifetime.
fn tokens_of(life: Option<u64>) -> Script<impl Fn(u32, Deadline) -> Result<TokenResponse, FetchFailure>> {
    Script::new(move |number, _| Ok(response(&format!("t-{number}"), life)))
}

/// Fetches these responses in order; a further fetch fails the test.
fn scripted(
    responses: impl IntoIterator<Item = Result<TokenResponse, FetchFailure>>,
) -> Script<impl Fn(u32, Deadline) -> Result<TokenResponse, FetchFailure>> {
    let responses = Mutex::new(responses.into_iter().collect::<VecDeque<_>>());
    Script::new(move |_, _| responses.lock().unwrap().pop_front().unwrap())
}

struct Setup {
    clock: ManualClock,
    tokens: TokenCache,
    slot: TokenSlot,
}

impl Setup {
    fn new() -> Self {
        Self::with(MINUTE, None)
    }

    fn with(renew_before: Duration, assumed_lifetime: Option<Duration>) -> Self {
        let clock = ManualClock::new();
        let mut tokens = TokenCache::new(Arc::new(clock.clone()), renew_before, assumed_lifetime);
        // Renewals happen as late as possible.
        tokens.variation = || 0.0;
        Self { clock, tokens, slot: TokenSlot::default() }
    }

    fn token_within(&self, source: &dyn TokenSource, total: Duration) -> Result<String, Error> {
        let deadline = Deadline::after(total, &self.clock);
        let token = self.tokens.valid_token(&self.slot, source, deadline)?;
        Ok(token.response.access_token().to_owned())
    }

    fn token(&self, source: &dyn TokenSource) -> Result<String, Error> {
        self.token_within(source, MINUTE)
    }

    /// Returns when that many threads wait for the one that fetches.
    fn until_waiting(&self, threads: u32) {
        while self.slot.lock().waiting < threads {
            thread::yield_now();
        }
    }

    /// Asks for the token from that many threads at once and returns what each received.
    fn all_at_once(&self, threads: usize, source: &(dyn TokenSource + Sync)) -> Vec<Result<String, Error>> {
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.token(source))).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }
}

#[test]
fn c_74_a_hundred_threads_make_one_request() {
    // With a lifetime, without one, and with one of zero: each thread that waited receives the token.
    for life in [Some(3600), None, Some(0)] {
        let setup = Setup::new();
        let source = Script::new(|_, _| {
            setup.until_waiting(99);
            Ok(response("one", life))
        });
        let got = setup.all_at_once(100, &source);
        assert!(got.iter().all(|got| got.as_deref() == Ok("one")), "{life:?}");
        assert_eq!(source.fetched(), 1);
    }
}

#[test]
fn c_74_a_failed_request_fails_the_waiting_threads_and_no_later_ones() {
    let setup = Setup::new();
    let source = Script::new(|number, _| match number {
        0 => {
            setup.until_waiting(99);
            Err(failure(401, None))
        }
        _ => Ok(response("later", Some(3600))),
    });
    let got = setup.all_at_once(100, &source);
    assert!(got.iter().all(|got| got.as_ref().is_err_and(|error| error.status() == Some(401))));
    assert_eq!(source.fetched(), 1);
    assert!(setup.slot.lock().outcome.is_none() || setup.slot.lock().waiting == 0);
    // The refusal is not repeated at once, and then it is.
    assert_eq!(setup.token(&source).unwrap_err().status(), Some(401));
    assert_eq!(source.fetched(), 1);
    setup.clock.advance(2 * SECOND);
    assert_eq!(setup.token(&source).unwrap(), "later");
}

#[test]
fn c_74_after_a_panic_of_the_fetching_thread_another_one_fetches() {
    let setup = Setup::new();
    let source = Script::new(|number, _| match number {
        0 => {
            setup.until_waiting(9);
            std::panic::panic_any("a signer that panics");
        }
        _ => Ok(response("good", Some(3600))),
    });
    let got: Vec<_> = thread::scope(|scope| {
        let one = || catch_unwind(AssertUnwindSafe(|| setup.token(&source)));
        let running: Vec<_> = (0..10).map(|_| scope.spawn(one)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(got.iter().filter(|got| got.is_err()).count(), 1, "the one that panicked");
    assert!(got.iter().flatten().all(|got| got.as_deref() == Ok("good")));
    assert_eq!(source.fetched(), 2);
}

/// While a thread renews ahead of expiry, the others do not wait for it.
#[test]
fn one_thread_renews_while_the_others_use_the_cached_token() {
    let setup = Setup::new();
    let source = Script::new(|number, _| {
        if number == 1 {
            // During the renewal every thread receives the old token.
            for got in setup.all_at_once(10, &tokens_of(None)) {
                assert_eq!(got.unwrap(), "t-0");
            }
        }
        Ok(response(&format!("t-{number}"), Some(3600)))
    });
    assert_eq!(setup.token(&source).unwrap(), "t-0");
    setup.clock.advance(3541 * SECOND);
    assert_eq!(setup.token(&source).unwrap(), "t-1");
    assert_eq!(setup.token(&source).unwrap(), "t-1");
    assert_eq!((source.fetched(), source.renewals()), (2, vec![false, true]));
}

/// A failed renewal costs one request, and the cached token is used; then the server gets a pause, and so on
/// until the token expires.
#[test]
fn a_failed_renewal_leaves_the_cached_token_in_use() {
    for failing in [503, 400] {
        let setup = Setup::new();
        let source = Script::new(|number, _| match number {
            0 => Ok(response("old", Some(3600))),
            1 | 2 => Err(failure(failing, None)),
            _ => Ok(response("new", Some(3600))),
        });
        assert_eq!(setup.token(&source).unwrap(), "old");
        setup.clock.advance(3541 * SECOND);
        for _ in 0..10 {
            assert_eq!(setup.token(&source).unwrap(), "old");
        }
        assert_eq!(source.fetched(), 2, "one request, then a pause");
        setup.clock.advance(2 * SECOND);
        assert_eq!(setup.token(&source).unwrap(), "old");
        assert_eq!(source.fetched(), 3);
        assert!(setup.clock.sleeps().is_empty(), "a call with a valid token does not wait");
        // After it expired it is not used.
        setup.clock.advance(50 * SECOND);
        assert_eq!(setup.token(&source).unwrap(), "new");
    }
}

/// The lifetime of a token, the first second at which it is renewed, and the first at which it is no longer
/// used.
#[test]
fn renewal_and_margin_shrink_with_the_lifetime_of_the_token() {
    // Renewal a minute before expiry, but at most a third of the lifetime; a margin of ten seconds, but at
    // most a tenth.
    let cases =
        [(86_400, 86_340, 86_390), (3_600, 3_540, 3_590), (180, 120, 170), (90, 60, 81), (30, 20, 27)];
    for (life, due, end) in cases {
        let setup = Setup::new();
        let source = Script::new(|number, _| match number {
            0 => Ok(response("old", Some(life))),
            1 => Err(failure(400, None)),
            _ => Ok(response("new", Some(life))),
        });
        assert_eq!(setup.token(&source).unwrap(), "old");
        setup.clock.advance((due - 1) * SECOND);
        assert_eq!((setup.token(&source).unwrap().as_str(), source.fetched()), ("old", 1), "{life}");
        setup.clock.advance(SECOND);
        assert_eq!((setup.token(&source).unwrap().as_str(), source.fetched()), ("old", 2), "{life}");
        setup.tokens.breaker.set_pause(24 * 60 * MINUTE);
        setup.clock.advance((end - due) * SECOND - Duration::from_millis(1));
        assert_eq!(setup.token(&source).unwrap(), "old", "{life}");
        setup.tokens.breaker.set_pause(Duration::ZERO);
        setup.clock.advance(Duration::from_millis(1));
        assert_eq!(setup.token(&source).unwrap(), "new", "{life}");
    }
}

/// A fleet that starts in the same second does not renew in the same second. By up to a twentieth of the
/// lifetime, but at most five minutes, and never later than without the variation.
#[test]
fn tokens_are_renewed_at_different_times() {
    let due = |setup: &Setup, life| {
        let (response, now) = (Arc::new(response("t", Some(life))), TimePoint::now(&setup.clock));
        let token = setup.tokens.cached_token(response, &tokens_of(None).prover, now, Duration::ZERO);
        token.renew_at.unwrap().remaining(now)
    };
    // The lifetime, the earliest time of its renewal and the latest.
    for (life, earliest, latest) in
        [(86_400, 86_040, 86_340), (3_600, 3_360, 3_540), (180, 111, 120), (60, 37, 40)]
    {
        let mut setup = Setup::new();
        assert_eq!(due(&setup, life), latest * SECOND);
        setup.tokens.variation = || 1.0;
        assert_eq!(due(&setup, life), earliest * SECOND);
        setup.tokens.variation = random_fraction;
        let times: std::collections::HashSet<_> = (0..64).map(|_| due(&setup, life)).collect();
        assert!(times.len() > 32, "{}", times.len());
        assert!(times.iter().all(|time| (earliest * SECOND..=latest * SECOND).contains(time)), "{times:?}");
    }
    // Nothing overflows.
    let mut setup = Setup::with(Duration::MAX, None);
    setup.tokens.variation = || 1.0;
    let source = tokens_of(Some(u64::MAX));
    assert_eq!([setup.token(&source).unwrap(), setup.token(&source).unwrap()], ["t-0", "t-0"]);
}

#[test]
fn a_token_without_expires_in_is_used_until_it_is_refused_or_for_the_assumed_lifetime() {
    // Without an assumed lifetime: until it is refused.
    let (setup, source) = (Setup::new(), tokens_of(None));
    assert_eq!(setup.token(&source).unwrap(), "t-0");
    setup.clock.advance(MINUTE * 60 * 24 * 365);
    assert_eq!(setup.token(&source).unwrap(), "t-0");
    // With one: as if the server had sent it, unless the response has another.
    let setup = Setup::with(MINUTE, Some(10 * MINUTE));
    let source = scripted([Ok(response("a", None)), Ok(response("b", Some(30))), Ok(response("c", None))]);
    assert_eq!(setup.token(&source).unwrap(), "a");
    setup.clock.advance(8 * MINUTE);
    assert_eq!(setup.token(&source).unwrap(), "a");
    setup.clock.advance(MINUTE);
    assert_eq!(setup.token(&source).unwrap(), "b");
    setup.clock.advance(MINUTE);
    assert_eq!(setup.token(&source).unwrap(), "c");
    // For one call each.
    let (setup, source) = (Setup::with(MINUTE, Some(Duration::ZERO)), tokens_of(None));
    assert_eq!([setup.token(&source).unwrap(), setup.token(&source).unwrap()], ["t-0", "t-1"]);
    // C-23: a lifetime beyond what the clock can represent never ends.
    let (setup, source) = (Setup::new(), tokens_of(Some(u64::MAX)));
    assert_eq!([setup.token(&source).unwrap(), setup.token(&source).unwrap()], ["t-0", "t-0"]);
}

/// C-54: the token expires by whichever clock says so first: one may be set, the other may have stood still.
#[test]
fn c_54_setting_the_clock_does_not_extend_the_lifetime_of_a_token() {
    let (setup, source) = (Setup::new(), tokens_of(Some(3600)));
    let start = setup.clock.now();
    assert_eq!(setup.token(&source).unwrap(), "t-0");
    // Set back: the monotonic clock still counts.
    setup.clock.set(start - 60 * MINUTE);
    setup.clock.advance(59 * MINUTE);
    assert_eq!(setup.token(&source).unwrap(), "t-1");
    // Set ahead, or the machine was suspended.
    setup.clock.set(start + 120 * MINUTE);
    assert_eq!(setup.token(&source).unwrap(), "t-2");
    assert_eq!(setup.token(&source).unwrap(), "t-2");
    // A time before 1970: nothing panics.
    setup.clock.set(SystemTime::UNIX_EPOCH - MINUTE);
    assert_eq!(setup.token(&source).unwrap(), "t-2");
}

#[test]
fn the_deadline_bounds_all_attempts_together() {
    let setup = Setup::new();
    let source = Script::new(|_, deadline| {
        // Each request takes 400 ms, or what is left.
        setup.clock.advance(deadline.remaining(&setup.clock).min(Duration::from_millis(400)));
        Err(failure(503, None))
    });
    let before = setup.clock.elapsed();
    assert_eq!(setup.token_within(&source, SECOND).unwrap_err().status(), Some(503));
    assert!(setup.clock.elapsed() - before <= SECOND);
    assert!((2..=3).contains(&source.fetched()), "{}", source.fetched());
}

#[test]
fn a_waiting_thread_respects_its_own_deadline() {
    let setup = Setup::new();
    let source = Script::new(|_, _| {
        let error = setup.token_within(&tokens_of(None), Duration::from_millis(1)).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Timeout);
        let error = setup.token_within(&tokens_of(None), Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("within the 0 ms"), "{error}");
        Ok(response("t", None))
    });
    // The test clock stands still, so the waiting millisecond is one of the machine's.
    assert_eq!(setup.token(&source).unwrap(), "t");
}

/// The fetching thread may have an earlier deadline than those that wait: one of them then fetches.
#[test]
fn waiting_threads_do_not_inherit_the_timeout_of_the_fetching_one() {
    let setup = Setup::new();
    let source = Script::new(|number, _| match number {
        0 => {
            setup.until_waiting(9);
            Err(FetchFailure { cause: FailureCause::Deadline, ..Error::timeout("slow").into() })
        }
        _ => Ok(response("t", Some(3600))),
    });
    thread::scope(|scope| {
        let hasty = scope.spawn(|| setup.token_within(&source, Duration::from_millis(1)));
        while source.fetched() == 0 {
            thread::yield_now();
        }
        let patient: Vec<_> = (0..9).map(|_| scope.spawn(|| setup.token(&source))).collect();
        assert_eq!(*hasty.join().unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        assert!(patient.into_iter().all(|thread| thread.join().unwrap().as_deref() == Ok("t")));
    });
    assert_eq!(source.fetched(), 2);
}

/// A cache with one token, as a session has it.
fn one_token(setup: &Setup, source: &dyn TokenSource) -> (CacheKey, impl Fn() -> CachedToken) {
    let key = CacheKey { parameters: [0; 32], jkt: source.prover().thumbprint() };
    let token = move || {
        let deadline = Deadline::after(MINUTE, &setup.clock);
        setup.tokens.valid_token(&setup.tokens.slot(&key), source, deadline).unwrap()
    };
    (key, token)
}

#[test]
fn replacing_a_token_does_not_discard_its_replacement() {
    let (setup, source) = (Setup::new(), tokens_of(Some(3600)));
    let (key, token) = one_token(&setup, &source);
    let first = token();
    let replace = |token| setup.tokens.replace_refused(&key, token, "https://api.example");
    assert_eq!(replace(&first), None);
    assert_eq!(token().response.access_token(), "t-1");
    // A late refusal of the first: the call is repeated with the replacement.
    assert_eq!(replace(&first), None);
    assert_eq!(token().response.access_token(), "t-1");
    setup.tokens.discard(&key);
    assert_eq!(token().response.access_token(), "t-2");
    assert_eq!(source.renewals(), [false, true, true]);
}

#[test]
fn c_73_another_scope_or_key_is_another_token() {
    let tokens = Setup::new().tokens;
    let jkt = |_: u8| KeyPair::generate(Algorithm::Ed25519).unwrap().to_public().thumbprint();
    let (one, other) = (jkt(0), jkt(1));
    let key = |parameters: &crate::Parameters, jkt| CacheKey { parameters: parameters.digest(), jkt };
    let asked = || crate::Parameters::new().scope("a b").resource("https://api.example");
    let slot = tokens.slot(&key(&asked(), one));
    assert!(Arc::ptr_eq(&slot, &tokens.slot(&key(&asked(), one))));
    for (parameters, jkt) in [
        (asked(), other),
        (crate::Parameters::new(), one),
        (crate::Parameters::new().scope("a b"), one),
        (crate::Parameters::new().scope("a").resource("https://api.example"), one),
        (crate::Parameters::new().scope("a b").resource("https://other.example"), one),
        (asked().parameter("audience", "x"), one),
        // The same text, split differently.
        (crate::Parameters::new().scope("a bresource").resource("https://api.example"), one),
        (crate::Parameters::new().parameter("scopea", " b").resource("https://api.example"), one),
    ] {
        assert!(!Arc::ptr_eq(&slot, &tokens.slot(&key(&parameters, jkt))), "{parameters:?}");
    }
    // After a change of key the tokens of the old one are gone.
    tokens.keep_only(&other);
    assert!(!Arc::ptr_eq(&slot, &tokens.slot(&key(&asked(), one))));
}

#[test]
fn tokens_of_at_most_a_thousand_parameters_are_kept() {
    let tokens = Setup::new().tokens;
    let jkt = KeyPair::generate(Algorithm::Ed25519).unwrap().to_public().thumbprint();
    let key = |i: u32| CacheKey { parameters: crate::Parameters::new().scope(i.to_string()).digest(), jkt };
    let first = tokens.slot(&key(0));
    let second = tokens.slot(&key(1));
    for i in 0..1_500 {
        tokens.slot(&key(i));
        // A slot that is in use is not evicted.
        assert!(Arc::ptr_eq(&first, &tokens.slot(&key(0))));
    }
    assert_eq!(tokens.slots.lock().unwrap().len(), MAX_SLOTS);
    assert!(!Arc::ptr_eq(&second, &tokens.slot(&key(1))));
}
