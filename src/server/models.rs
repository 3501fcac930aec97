//! Models of what the threads of a server share.
#![allow(clippy::unwrap_used, reason = "helpers of tests: what fails here fails a test")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::jose::public_key::Thumbprint;
use crate::models::{on_threads, try_out};
use crate::oauth::http_client::{HttpClient, RequestBody};
use crate::server::guarded_replay_store::GuardedReplayStore;
use crate::server::memory_replay_store::MemoryReplayStore;
use crate::server::remote_jwk_set::{KeyQuery, NoKeys, RemoteJwkSet};
use crate::server::replay::{InsertOutcome, ProofRecord, ReplayStore, ReplayStoreError};
use crate::server::single_flight::{SharedOutcome, SingleFlight};
use crate::server::token_cache_key::TokenCacheKey;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::time::Clock;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A clock that each thread advances with its requests.
#[derive(Clone)]
struct ModelClock(Arc<AtomicU64>);

impl Clock for ModelClock {
    fn now(&self) -> SystemTime {
        at(self.elapsed().as_secs())
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn sleep(&self, _: Duration) {}
}

/// The key of all proofs.
fn jkt() -> Thumbprint {
    "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().unwrap()
}

fn proof(jti: u64, until: u64) -> ProofRecord {
    ProofRecord::new(&jkt(), &jti.to_string(), at(0)..=at(until))
}

fn store(capacity: usize, max_per_key: usize, elapsed: u64) -> (MemoryReplayStore, Arc<AtomicU64>) {
    let elapsed = Arc::new(AtomicU64::new(elapsed));
    let clock = ModelClock(Arc::clone(&elapsed));
    (MemoryReplayStore::new(capacity).max_proofs_per_key(max_per_key).clock(clock), elapsed)
}

#[test]
fn of_several_threads_with_one_proof_exactly_one_inserts_it() {
    try_out(|| {
        // Room for one: the others must not be told that the store is full.
        let (store, _) = store(1, usize::MAX, 100);
        let outcomes = on_threads(3, move |_| store.insert_if_absent(&proof(1, 160), at(100)));
        assert_eq!(outcomes.iter().filter(|seen| **seen == Ok(InsertOutcome::Inserted)).count(), 1);
        let allowed = [
            Ok(InsertOutcome::Inserted),
            Ok(InsertOutcome::AlreadyPresent),
            // Another thread has reserved the place and not made the entry yet.
            Err(ReplayStoreError::Full { capacity: 1 }),
        ];
        assert!(outcomes.iter().all(|seen| allowed.contains(seen)));
    });
}

/// All entries have expired. Several threads find that out at the same time.
#[test]
fn every_thread_finds_the_room_that_expired_entries_leave() {
    try_out(|| {
        let (store, elapsed) = store(2, usize::MAX, 100);
        for n in 0..2 {
            assert_eq!(store.insert_if_absent(&proof(n, 160), at(100)), Ok(InsertOutcome::Inserted));
        }
        elapsed.store(300, Ordering::SeqCst);
        let store = Arc::new(store);
        let theirs = Arc::clone(&store);
        let outcomes = on_threads(2, move |n| theirs.insert_if_absent(&proof(10 + n, 360), at(300)));
        assert_eq!(outcomes, [Ok(InsertOutcome::Inserted), Ok(InsertOutcome::Inserted)]);
        let one_more = store.insert_if_absent(&proof(20, 360), at(300));
        assert_eq!(one_more, Err(ReplayStoreError::Full { capacity: 2 }));
    });
}

/// Whatever threads do at the same time, the counts agree with the entries afterwards.
#[test]
fn the_counts_of_a_replay_store_agree_with_its_entries() {
    try_out(|| {
        let (store, elapsed) = store(4, 2, 100);
        let (store, clock) = (Arc::new(store), Arc::clone(&elapsed));
        let theirs = Arc::clone(&store);
        on_threads(3, move |n| {
            for (jti, now) in [(n, 100), (7, 100), (10 + n, 300)] {
                clock.fetch_max(now, Ordering::SeqCst);
                let _ = theirs.insert_if_absent(&proof(jti, now + 60), at(now));
            }
        });
        assert_eq!(store.counts(&jkt()), store.counted());
        // Everything expires.
        elapsed.store(1_000, Ordering::SeqCst);
        for n in 20..22 {
            assert_eq!(store.insert_if_absent(&proof(n, 1_060), at(1_000)), Ok(InsertOutcome::Inserted));
        }
        assert!(store.insert_if_absent(&proof(30, 1_060), at(1_000)).is_err());
    });
}

/// With a guard as without, a proof is accepted once.
#[test]
fn of_several_threads_with_one_proof_at_a_guarded_store_exactly_one_inserts_it() {
    try_out(|| {
        let (shared, _) = store(10, usize::MAX, 100);
        let guarded = GuardedReplayStore::new(shared, 10).clock(ModelClock(Arc::new(AtomicU64::new(100))));
        let outcomes = on_threads(3, move |_| guarded.insert_if_absent(&proof(1, 160), at(100)));
        assert_eq!(outcomes.iter().filter(|seen| **seen == Ok(InsertOutcome::Inserted)).count(), 1);
        assert!(outcomes.iter().all(Result::is_ok));
    });
}

fn token(name: &str) -> TokenCacheKey {
    TokenCacheKey::of_token_alone(name)
}

/// No two threads work for one token at the same time, and none gets the outcome of work before the last one
/// that had been done when it came.
#[test]
fn threads_with_one_token_share_the_work() {
    try_out(|| {
        let flights = SingleFlight::default();
        let (working, works) = (AtomicBool::new(false), AtomicUsize::new(0));
        let outcomes = on_threads(3, move |_| {
            let before = works.load(Ordering::SeqCst);
            let outcome = flights.run(token("t"), 3, || {
                assert!(!working.swap(true, Ordering::SeqCst), "two threads work for one token");
                let number = works.fetch_add(1, Ordering::SeqCst) + 1;
                working.store(false, Ordering::SeqCst);
                number
            });
            match outcome {
                SharedOutcome::Ended(number) => number >= before,
                _ => false,
            }
        });
        assert_eq!(outcomes, [true; 3]);
    });
}

/// A thread is turned away only while as many as are allowed work or wait.
#[test]
fn the_limit_of_waiting_threads_holds_and_is_given_back() {
    try_out(|| {
        let flights = Arc::new(SingleFlight::default());
        let theirs = Arc::clone(&flights);
        let working = AtomicUsize::new(0);
        let outcomes = on_threads(3, move |n| {
            let outcome = theirs.run(token(&n.to_string()), 2, || {
                assert!(working.fetch_add(1, Ordering::SeqCst) < 2);
                working.fetch_sub(1, Ordering::SeqCst);
            });
            matches!(outcome, SharedOutcome::Ended(()))
        });
        assert!(outcomes.iter().filter(|ended| **ended).count() >= 2);
        // Every thread has given its place back: one in the work of another has room.
        let nested = flights.run(token("a"), 2, || match flights.run(token("b"), 2, || ()) {
            SharedOutcome::Ended(()) => {}
            _ => panic!("a place was not given back"),
        });
        assert!(matches!(nested, SharedOutcome::Ended(())));
    });
}

/// The thread that works panics: those that wait for it go on, and the next one works again.
#[test]
fn a_panic_during_the_work_ends_the_wait_of_all_threads() {
    try_out(|| {
        let flights = Arc::new(SingleFlight::default());
        let theirs = Arc::clone(&flights);
        let panicked = AtomicBool::new(false);
        let outcomes = on_threads(3, move |_| {
            catch_unwind(AssertUnwindSafe(|| {
                let work = || {
                    if !panicked.swap(true, Ordering::SeqCst) {
                        // As a panic, but no hook reports it.
                        std::panic::resume_unwind(Box::new("in the work"));
                    }
                };
                matches!(theirs.run(token("t"), 3, work), SharedOutcome::TooManyThreads)
            }))
        });
        assert_eq!(outcomes.iter().filter(|seen| seen.is_err()).count(), 1);
        assert!(outcomes.into_iter().flatten().all(|turned_away| !turned_away));
        assert!(matches!(flights.run(token("t"), 1, || ()), SharedOutcome::Ended(())));
    });
}

/// RFC 8037 Appendix A.2
const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"known"}]}"#;

/// An issuer that counts the requests. The first of them fails or panics if the model wants it.
struct Issuer {
    requests: Arc<AtomicUsize>,
    in_flight: AtomicBool,
    first: fn(),
}

impl HttpClient for Issuer {
    fn send(&self, _: http::Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error> {
        assert!(!self.in_flight.swap(true, Ordering::SeqCst), "two fetches at the same time");
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        self.in_flight.store(false, Ordering::SeqCst);
        if number == 0 {
            (self.first)();
        }
        let response = http::Response::builder().header("content-type", "application/json");
        Ok(response.body(JWKS.as_bytes().to_vec()).unwrap())
    }
}

fn key_set(first: fn()) -> (RemoteJwkSet, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let issuer = Issuer { requests: Arc::clone(&requests), in_flight: AtomicBool::new(false), first };
    let uri = http::Uri::from_static("https://as.example.com/jwks");
    (RemoteJwkSet::new(uri, Box::new(issuer)), requests)
}

fn query(kid: &str) -> KeyQuery<'_> {
    KeyQuery::First { kid: Some(kid), now: at(1_700_000_000) }
}

/// Each thread gets the keys, from one fetch: a token whose key is known waits for no fetch of an unknown
/// one.
#[test]
fn threads_share_a_fetch_of_keys_and_known_keys_wait_for_none() {
    try_out(|| {
        let (keys, requests) = key_set(|| ());
        let outcomes = on_threads(3, move |n| {
            let kid = if n == 0 { "unknown" } else { "known" };
            keys.find(query(kid), 3).map(|found| found.keys.contains("known")).is_ok_and(|known| known)
        });
        assert_eq!(outcomes, [true; 3]);
        assert!((1..=2).contains(&requests.load(Ordering::SeqCst)));
    });
}

/// The HTTP client panics in the first fetch: nobody waits for ever, and the fetch counts as failed.
#[test]
fn a_panic_during_a_fetch_of_keys_ends_the_wait_of_all_threads() {
    try_out(|| {
        let (keys, requests) = key_set(|| std::panic::resume_unwind(Box::new("in the HTTP client")));
        let outcomes = on_threads(3, move |_| {
            catch_unwind(AssertUnwindSafe(|| match keys.find(query("known"), 3) {
                Ok(_) => true,
                Err(NoKeys::FetchFailed(_)) => false,
                Err(NoKeys::Withheld(error)) => panic!("{error}"),
            }))
        });
        assert_eq!(outcomes.iter().filter(|seen| seen.is_err()).count(), 1);
        // The pause after a failure.
        assert!(outcomes.into_iter().flatten().all(|found| !found));
        assert_eq!(requests.load(Ordering::SeqCst), 1);
    });
}
