//! Clocks that are set while a replay store in memory is in use. Threat V-43.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use possession::server::*;
use possession::testing::ManualClock;
use possession::{Clock, Thumbprint};

use crate::support::{NOW, at, claims, jkt, mine, proof, seconds, set, token_request};

const DAY: u64 = 86_400;

static JKT: LazyLock<Thumbprint> = LazyLock::new(|| jkt(&mine()));

fn store(capacity: usize, clock: &ManualClock) -> MemoryReplayStore {
    MemoryReplayStore::new(capacity).clock(clock.clone()).max_proofs_per_key(usize::MAX)
}

fn dated(jti: &str, iat: u64) -> String {
    proof(&set(claims(jti), "iat", iat))
}

fn seconds_of(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// A clock that is a day ahead for two minutes, in which so many proofs are accepted that the store drops
/// those that have expired.
#[test]
fn v_43_a_clock_that_was_a_day_ahead_for_a_moment_does_no_lasting_harm() {
    let clock = ManualClock::at(at(NOW));
    let verifier = Verifier::new(store(300, &clock));
    let accepted = |name: &str, count: usize| {
        let now = seconds_of(clock.now());
        let accept = |n: usize| {
            let proof = dated(&format!("{name} {n}"), now);
            token_request(&verifier, &proof, now).map(|_| proof)
        };
        (0..count).map(accept).collect::<Result<Vec<_>, Reason>>()
    };
    let before = accepted("before", 10).unwrap();
    clock.set(at(NOW + DAY));
    let ahead = accepted("ahead", 10).unwrap();
    // Nothing that counts has been dropped.
    clock.set(at(NOW + 1));
    for proof in &before {
        assert_eq!(token_request(&verifier, proof, NOW + 1).unwrap_err(), Reason::Replayed);
    }
    accepted("after a moment", 10).unwrap();

    clock.set(at(NOW + DAY));
    for step in 0..4 {
        clock.advance(seconds(30));
        accepted(&format!("ahead for {step}"), 70).unwrap();
    }
    clock.set(at(NOW + 121));
    accepted("after two minutes", 10).unwrap();
    // The proofs of the day ahead do not take room for a day.
    for round in 0..20 {
        clock.advance(seconds(30));
        accepted(&format!("later {round}"), 70).unwrap();
    }
    // A proof that was accepted a day ahead has been forgotten, and is refused when its time comes.
    clock.set(at(NOW + DAY + 2));
    assert_eq!(
        token_request(&verifier, &ahead[0], NOW + DAY + 2).unwrap_err(),
        Reason::ReplayStore(ReplayStoreError::ClockSetBack)
    );
    clock.set(at(NOW + DAY + 300));
    accepted("after the time of the day ahead", 10).unwrap();
}

/// Inserts the record of a proof as a verifier with the default settings does.
fn insert(
    store: &MemoryReplayStore,
    jti: &str,
    iat: u64,
    now: SystemTime,
) -> Result<InsertOutcome, ReplayStoreError> {
    store.insert_if_absent(&ProofRecord::new(&JKT, jti, at(iat - 20)..=at(iat + 70)), now)
}

/// How long new proofs are refused after the clock was set back, at a server that has been running for an
/// hour: while they are of a time that the clock has shown before, unless the step was so small that no new
/// proof can be one of the forgotten.
#[test]
fn v_43_after_the_clock_was_set_back_new_proofs_are_accepted_as_soon_as_they_are_known_to_be_new() {
    for (step, refused) in
        [(1, 0), (9, 0), (60, 0), (70, 0), (90, 110), (600, 620), (3600 + 90, 3710), (DAY, 0)]
    {
        let clock = ManualClock::at(at(NOW));
        let store = store(100_000, &clock);
        let now = || (seconds_of(clock.now()), clock.now());
        let mut before = Vec::new();
        for n in 0..120 {
            // So many that the expired ones are dropped now and then.
            for i in 0..200 {
                let ((iat, now), jti) = (now(), format!("{n} {i}"));
                assert_eq!(insert(&store, &jti, iat, now), Ok(InsertOutcome::Inserted));
                before.push((jti, iat));
            }
            clock.advance(seconds(30));
        }
        clock.set(clock.now() - seconds(step));
        let mut waits = 0;
        for waited in 0..step.min(3600) + 300 {
            let (iat, now) = now();
            // In several parts of the store.
            let seen = (0..20).map(|i| insert(&store, &format!("after {waited} {i}"), iat, now));
            if let Err(error) = seen.collect::<Result<Vec<_>, _>>() {
                assert_eq!(error, ReplayStoreError::ClockSetBack);
                waits += 1;
            }
            if waited % 50 == 0 {
                let acceptable = before.iter().filter(|(_, made)| (iat - 10..iat + 61).contains(made));
                for (jti, iat) in acceptable {
                    assert_ne!(insert(&store, jti, *iat, now), Ok(InsertOutcome::Inserted));
                }
            }
            clock.advance(seconds(1));
        }
        assert!(waits <= refused, "after a step of {step} s, proofs were refused for {waits} s");
    }
}

/// 300,000 random events: time passes, the clock is set by seconds, minutes or a day in either direction,
/// new proofs come, and old ones come again. No proof is accepted twice.
#[test]
fn v_43_no_sequence_of_clock_steps_makes_a_proof_acceptable_twice() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |n: u64| {
        // Xorshift (Marsaglia, 2003): the same events in every run.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % n
    };
    let (mut known, mut replays, mut set_back) = (0, 0, 0);
    for round in 0..60 {
        let clock = ManualClock::at(at(NOW));
        let store = store(1_000_000, &clock);
        let mut proofs: Vec<(u64, bool)> = Vec::new();
        for _ in 0..5_000 {
            let now = seconds_of(clock.now());
            let pick = match below(100) {
                0 => {
                    let span = [4, 12, 100, 3_600, DAY][below(5) as usize];
                    let step = seconds(below(2 * span));
                    clock.set((clock.now() + step).checked_sub(seconds(span)).unwrap());
                    continue;
                }
                1..20 => {
                    clock.advance(Duration::from_millis(below(20_000)));
                    continue;
                }
                20..40 => {
                    proofs.push((now - 60 + below(71), false));
                    proofs.len() - 1
                }
                _ if proofs.is_empty() => continue,
                40..55 => below(proofs.len() as u64) as usize,
                _ => proofs.len() - 1 - below(proofs.len().min(40) as u64) as usize,
            };
            // What the verifier does before it asks the store.
            let (iat, accepted) = &mut proofs[pick];
            if *iat > now + 10 || *iat + 60 < now {
                continue;
            }
            match insert(&store, &pick.to_string(), *iat, clock.now()) {
                Ok(InsertOutcome::Inserted) => {
                    assert!(!*accepted, "round {round}: accepted twice");
                    *accepted = true;
                    known += 1;
                }
                Ok(InsertOutcome::AlreadyPresent) => {
                    assert!(*accepted, "round {round}: a replay of nothing");
                    replays += 1;
                }
                Err(ReplayStoreError::ClockSetBack) => set_back += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(known > 20_000 && replays > 10_000 && set_back > 1_000, "{known} {replays} {set_back}");
}
