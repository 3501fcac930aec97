//! Replay: a proof is accepted once, and what happens when the replay store fails. Threats V-35, V-36, V-38,
//! V-40 and V-41.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::SystemTime;

use possession::server::{
    InsertOutcome, MemoryReplayStore, ProofRecord, Reason, ReplayStore, ReplayStoreError, Verifier,
};
use possession::{Algorithm, KeyPair, ServerRole};
use serde_json::json;

use crate::support::{
    ALGS, ES256, Exact, NOW, assert_response, at, claims, header_of, jws, key, memory, mine, proof, received,
    seconds, set, token_request,
};

#[test]
fn v_35_of_64_threads_with_the_same_proof_exactly_one_is_accepted() {
    let verifier = memory();
    for round in 0..2 {
        let proofs = [proof(&claims(&format!("race {round}")))];
        let start = Barrier::new(64);
        let race = || {
            start.wait();
            verifier.verify_token_request(&received(&proofs), at(NOW)).map(|_| ())
        };
        let seen: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..64).map(|_| scope.spawn(race)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(seen.iter().filter(|seen| seen.is_ok()).count(), 1);
        let replays = seen.iter().filter_map(|seen| seen.as_ref().err());
        assert!(replays.clone().all(|rejection| *rejection.reason() == Reason::Replayed));
    }
}

/// The same race at the store alone, where the threads meet more closely.
#[test]
fn v_35_insertion_into_the_memory_store_is_atomic() {
    let exact = Arc::new(Exact::default());
    token_request(&Verifier::new(Arc::clone(&exact)), &proof(&claims("x")), NOW).unwrap();
    let (proof, now) = exact.asked.lock().unwrap()[0].clone();

    let stores: Vec<_> = std::iter::repeat_with(|| MemoryReplayStore::new(64)).take(3000).collect();
    let arrived = AtomicUsize::new(0);
    let race = || {
        let insert = |(round, store): (usize, &MemoryReplayStore)| {
            // Both threads spin until the other has arrived: a thread that sleeps wakes up too late to race.
            arrived.fetch_add(1, Ordering::SeqCst);
            while arrived.load(Ordering::SeqCst) < 2 * (round + 1) {
                std::hint::spin_loop();
            }
            store.insert_if_absent(&proof, now) == Ok(InsertOutcome::Inserted)
        };
        stores.iter().enumerate().filter(|round| insert(*round)).count()
    };
    let inserted: usize = std::thread::scope(|scope| {
        let threads = [scope.spawn(race), scope.spawn(race)];
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(inserted, stores.len());
}

/// A proof is remembered through the last second in which it would be accepted, counted from its `iat`, and
/// 10 seconds longer, because that second may come later on another node with the same store.
#[test]
fn v_36_a_proof_is_remembered_until_it_can_no_longer_be_accepted() {
    // (iat, end of acceptance): ahead of the clock, now, and as old as is accepted
    for (iat, end) in [(json!(NOW + 10), NOW + 70), (json!(NOW), NOW + 60), (json!(NOW - 60), NOW)] {
        let exact = Arc::new(Exact::default());
        let verifier = Verifier::new(Arc::clone(&exact));
        let proof = proof(&set(claims("x"), "iat", iat.clone()));
        token_request(&verifier, &proof, NOW).unwrap();
        let asked = exact.asked.lock().unwrap().clone();
        assert_eq!(
            asked.iter().map(|(proof, now)| (proof.accepted_until(), *now)).collect::<Vec<_>>(),
            [(at(end + 10), at(NOW))]
        );

        for now in [NOW, (NOW + 59).min(end), (NOW + 60).min(end), (NOW + 61).min(end), end - 1, end] {
            if now >= NOW {
                assert_eq!(token_request(&verifier, &proof, now).unwrap_err(), Reason::Replayed, "{now}");
            }
        }
        let age = seconds(end + 1 - iat.as_u64().unwrap());
        let stale = Reason::Stale { age, allowed: seconds(60) };
        assert_eq!(token_request(&verifier, &proof, end + 1).unwrap_err(), stale);
    }
}

/// The `jti` of one key says nothing about the `jti` of another; for one key it counts whatever else the
/// proof says.
#[test]
fn v_38_one_key_cannot_use_up_the_jti_of_another() {
    let verifier = memory();
    let (mine, other, third) = (mine(), KeyPair::generate(Algorithm::Ed25519).unwrap(), key(ES256));
    for key in [&other, &third, &mine] {
        token_request(&verifier, &jws(key, &header_of(key), &claims("same")), NOW).unwrap();
    }
    for key in [&mine, &other, &third] {
        let again = jws(key, &header_of(key), &set(claims("same"), "iat", NOW - 1));
        assert_eq!(token_request(&verifier, &again, NOW).unwrap_err(), Reason::Replayed);
    }
    for jti in ["Same", "same ", "sam", " same", "same\0", "e\u{301}", "\u{e9}"] {
        assert!(token_request(&verifier, &proof(&claims(jti)), NOW).is_ok(), "{jti:?}");
    }
}

/// V-40 and V-41: a store that cannot tell leads to a rejection. The reason is the store's error, and the
/// peer receives no detail of it.
#[test]
fn v_41_a_store_that_fails_rejects_the_proof() {
    struct Failing(ReplayStoreError);
    impl ReplayStore for Failing {
        fn insert_if_absent(
            &self,
            _: &ProofRecord,
            _: SystemTime,
        ) -> Result<InsertOutcome, ReplayStoreError> {
            Err(self.0.clone())
        }
    }
    let proofs = [proof(&claims("x"))];
    for (error, words) in [
        (ReplayStoreError::Full { capacity: 7 }, "full: 7"),
        (ReplayStoreError::ClockSetBack, "clock"),
        (ReplayStoreError::Failed("no route to cache-3".to_owned()), "no route to cache-3"),
    ] {
        let verifier = Verifier::new(Failing(error.clone()));
        for _ in 0..2 {
            let rejection = verifier.verify_token_request(&received(&proofs), at(NOW)).unwrap_err();
            assert_eq!(rejection.reason(), &Reason::ReplayStore(error.clone()));
            assert!(rejection.to_string().contains(words), "{rejection}");
            assert_response(&rejection, ServerRole::AuthorizationServer, None, ALGS);
        }
    }
    let none = Verifier::new(MemoryReplayStore::new(0));
    let full = Reason::ReplayStore(ReplayStoreError::Full { capacity: 0 });
    assert_eq!(token_request(&none, &proofs[0], NOW).unwrap_err(), full);
    assert!(token_request(&Verifier::new(MemoryReplayStore::new(usize::MAX)), &proofs[0], NOW).is_ok());
}

/// A store that panics accepts nothing, and only its own call is lost.
#[test]
fn v_41_a_store_that_panics_accepts_nothing() {
    #[derive(Default)]
    struct Panicking(Mutex<usize>);
    impl ReplayStore for Panicking {
        fn insert_if_absent(
            &self,
            _: &ProofRecord,
            _: SystemTime,
        ) -> Result<InsertOutcome, ReplayStoreError> {
            // Most stores with a lock behave like this: the first caller panics, later ones find a poisoned
            // lock.
            let mut calls =
                self.0.lock().map_err(|poisoned| ReplayStoreError::Failed(poisoned.to_string()))?;
            *calls += 1;
            panic!("a bug in the store");
        }
    }
    let verifier = Verifier::new(Panicking::default());
    let proofs = [proof(&claims("x"))];
    let first =
        catch_unwind(AssertUnwindSafe(|| verifier.verify_token_request(&received(&proofs), at(NOW)).is_ok()));
    assert!(!matches!(first, Ok(true)));
    for proof in [&proofs[0], &proof(&claims("y"))] {
        let reason = token_request(&verifier, proof, NOW).unwrap_err();
        assert!(
            matches!(&reason, Reason::ReplayStore(ReplayStoreError::Failed(why)) if why.contains("poison"))
        );
    }
}
