//! Models of the threads that ask for one token.
#![allow(clippy::panic, reason = "helpers of tests: what fails here fails a test")]

use super::*;
use crate::models::{on_threads, try_out};
use crate::sync::atomic::AtomicBool;

/// A clock that stands still. No model waits for a time.
struct NoTime;

impl Clock for NoTime {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {
        panic!("a thread sleeps");
    }
}

/// A source that fails the model if two threads fetch at the same time.
struct OneAtATime {
    prover: Prover,
    fetching: AtomicBool,
    fetched: AtomicU32,
    fetch: fn(u32) -> Result<TokenResponse, FetchFailure>,
}

impl TokenSource for OneAtATime {
    fn prover(&self) -> &Prover {
        &self.prover
    }

    fn fetch(&self, demand: &Demand<'_>, _: Deadline) -> Result<Fetched, FetchFailure> {
        let sent = demand.now();
        assert!(!self.fetching.swap(true, Ordering::SeqCst), "two threads fetch at the same time");
        let number = self.fetched.fetch_add(1, Ordering::SeqCst);
        self.fetching.store(false, Ordering::SeqCst);
        let response = Arc::new((self.fetch)(number)?);
        Ok(Fetched::Issued { response, sent, unsaved: None })
    }

    fn action(&self) -> String {
        "requesting".to_owned()
    }

    fn received(&self, _: &CachedToken, _: bool) {}
}

/// Three threads ask for a token. Returns what each received, where it did not panic, and the number of
/// fetches.
fn three_threads(
    key: &Arc<KeyPair>,
    fetch: fn(u32) -> Result<TokenResponse, FetchFailure>,
) -> (Vec<Option<Result<String, Error>>>, u32) {
    let (fetching, fetched) = (AtomicBool::new(false), AtomicU32::new(0));
    let prover = Prover::new(Arc::clone(key)).unwrap();
    let source = Arc::new(OneAtATime { prover, fetching, fetched, fetch });
    let theirs = Arc::clone(&source);
    let tokens = TokenCache::new(Arc::new(NoTime), MINUTE, None);
    let slot = TokenSlot::default();
    let received = on_threads(3, move |_| {
        let deadline = Deadline::after(MINUTE, &NoTime);
        let ask = || tokens.valid_token(&slot, &*theirs, deadline);
        let token = catch_unwind(AssertUnwindSafe(ask)).ok()?;
        Some(token.map(|token| token.response.access_token().to_owned()))
    });
    (received, source.fetched.load(Ordering::SeqCst))
}

fn key() -> Arc<KeyPair> {
    Arc::new(KeyPair::generate(Algorithm::Ed25519).unwrap())
}

#[test]
fn threads_that_ask_for_one_token_make_one_request() {
    let key = key();
    try_out(move || {
        let (received, fetched) = three_threads(&key, |_| Ok(response("t", Some(600))));
        assert!(received.iter().all(|token| matches!(token, Some(Ok(token)) if token == "t")));
        assert_eq!(fetched, 1);
    });
}

/// The error is that of the threads that wait for the request, and of no later one; none waits for ever.
#[test]
fn a_refusal_ends_the_wait_of_all_threads() {
    let key = key();
    try_out(move || {
        let (received, fetched) = three_threads(&key, |_| Err(failure(400, None)));
        assert!(received.iter().all(|token| matches!(token, Some(Err(_)))));
        // Refused requests are not repeated before a pause, and time stands still.
        assert_eq!(fetched, 1);
    });
}

/// The thread that fetches panics, as a signer may: another one takes over.
#[test]
fn a_panic_during_the_fetch_hands_it_over() {
    let key = key();
    try_out(move || {
        let (received, fetched) = three_threads(&key, |number| {
            if number == 0 {
                // As a panic, but no hook reports it.
                std::panic::resume_unwind(Box::new("in the source"));
            }
            Ok(response("t", Some(600)))
        });
        assert_eq!(received.iter().filter(|token| token.is_none()).count(), 1);
        assert!(received.iter().flatten().all(|token| matches!(token, Ok(token) if token == "t")));
        assert_eq!(fetched, 2);
    });
}
