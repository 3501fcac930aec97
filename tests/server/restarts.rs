//! Restarts of a server whose replay store is in memory: the proofs that the process before has accepted are
//! not accepted again. Threat QV-17.

use std::time::{Duration, SystemTime};

use http::HeaderValue;
use possession::server::*;
use possession::testing::{FixedNonces, ManualClock};
use possession::{Clock, Proof, ServerRole};

use crate::support::{NOW, URL, at, claims, mine, proof, received, set, without};

const ROLE: ServerRole = ServerRole::AuthorizationServer;

fn nonces() -> StatelessNonces {
    StatelessNonces::new(&Vec::from_iter(0..32)).unwrap()
}

/// A process that has just been started, with the nonce secret of its configuration.
fn process() -> Verifier {
    Verifier::new(MemoryReplayStore::new(1_000)).require_nonces(nonces())
}

fn verify(verifier: &Verifier, proof: &str, now: SystemTime) -> Result<VerifiedProof, Rejection> {
    verifier.verify_token_request(&received(&[proof.to_owned()]), now)
}

fn with_nonce(nonce: &str, now: SystemTime) -> String {
    let proof = Proof::new(&http::Method::POST, URL).unwrap().nonce(nonce.to_owned());
    proof.sign(&mine(), now).unwrap()
}

fn millis(n: u64) -> SystemTime {
    at(NOW) + Duration::from_millis(n)
}

/// Calls as a client does: with the nonce in hand, and once more if the response brings a new one. Returns
/// how often it was challenged.
fn call(verifier: &Verifier, nonce: &mut Option<String>, now: SystemTime) -> Result<usize, Rejection> {
    for challenges in 0..2 {
        match verify(verifier, &with_nonce(nonce.as_deref().unwrap_or("none"), now), now) {
            Ok(_) => return Ok(challenges),
            Err(rejection) if challenges == 0 && rejection.nonce().is_some() => {
                *nonce = rejection.nonce().map(str::to_owned);
            }
            Err(rejection) => return Err(rejection),
        }
    }
    unreachable!("the second refusal is returned")
}

/// No call fails: each client is challenged once. The first requests come in one moment, and their threads
/// read the clock at times that differ by microseconds.
#[test]
fn qv_17_after_a_restart_each_client_is_challenged_once_and_no_proof_is_accepted_again() {
    for trust in [false, true] {
        let start = || if trust { process().trust_nonce_time() } else { process() };
        let before = start();
        let mut nonce = None;
        assert_eq!(call(&before, &mut nonce, at(NOW)).unwrap(), 1);
        let used: Vec<String> = (0..5).map(|n| with_nonce(nonce.as_ref().unwrap(), millis(n))).collect();
        assert!(used.iter().all(|proof| verify(&before, proof, millis(10)).is_ok()));

        let after = start();
        for proof in &used {
            let rejection = verify(&after, proof, millis(10_000)).unwrap_err();
            assert_eq!(rejection.reason(), &Reason::NonceOlderThanStore);
            assert_eq!(rejection.error(), Some("use_dpop_nonce"));
            assert!(rejection.nonce().is_some());
        }
        for (offset, early) in [(0, 0), (1, 0), (700, 900), (1_000, 4_999), (3_000, 2_001)] {
            let now = millis(10_000) + Duration::from_micros(offset) - Duration::from_micros(early);
            let mut theirs = nonce.clone();
            assert_eq!(call(&after, &mut theirs, now).unwrap(), 1, "{offset} {early}");
            assert_eq!(call(&after, &mut theirs, now + Duration::from_millis(1)).unwrap(), 0);
        }
        for now in [12_000, 40_000, 60_000, 300_000] {
            assert!(used.iter().all(|proof| verify(&after, proof, millis(now)).is_err()), "{now}");
        }
    }
}

/// A process that was started while the clock was ahead serves its clients when the clock is right again.
#[test]
fn qv_17_a_start_with_the_clock_ahead_keeps_nobody_out() {
    let clock = ManualClock::at(at(NOW + 86_400));
    let verifier = Verifier::new(MemoryReplayStore::new(1_000).clock(clock.clone())).require_nonces(nonces());
    let mut nonce = None;
    let call = |nonce: &mut Option<String>| call(&verifier, nonce, clock.now());
    assert_eq!(call(&mut nonce).unwrap(), 1);
    clock.advance(Duration::from_secs(5));
    clock.set(at(NOW));
    assert_eq!(call(&mut nonce).unwrap(), 1);
    for _ in 0..10 {
        clock.advance(Duration::from_secs(1));
        assert_eq!(call(&mut nonce).unwrap(), 0);
    }
    // By the clock as it is now, the start was at `NOW - 5`.
    for (made, challenges) in [(NOW - 6, 1), (NOW - 5, 0)] {
        let nonce = nonces().make(ROLE, None, at(made)).unwrap();
        assert_eq!(call(&mut Some(nonce)).unwrap(), challenges);
    }
}

/// Without nonces, `iat` is compared with the start plus the future tolerance, if the server is told to.
#[test]
fn qv_17_without_nonces_an_option_refuses_proofs_from_before_the_start() {
    // The last two use nonces: a source that does not know when it made them, and a proof without a nonce.
    let kinds: [fn(Verifier) -> Verifier; 3] = [
        |verifier| verifier,
        |verifier| verifier.require_nonces(FixedNonces::new(["n1"])),
        |verifier| verifier.offer_nonces(nonces()),
    ];
    for (kind, has_nonce) in kinds.into_iter().zip([false, true, false]) {
        let dated = |jti: &str, iat: u64| {
            let claims = set(claims(jti), "iat", iat);
            proof(&if has_nonce { claims } else { without(claims, "nonce") })
        };
        let process = || kind(Verifier::new(MemoryReplayStore::new(1_000)));
        let used = dated("used", NOW);
        assert!(verify(&process(), &used, at(NOW)).is_ok());
        // This is what the option is for.
        assert!(verify(&process(), &used, at(NOW + 5)).is_ok());

        let after = process().refuse_proofs_from_before_start();
        for (jti, iat, wait) in [("used", NOW, 16), ("new", NOW + 5, 11), ("ahead", NOW + 15, 1)] {
            let rejection = verify(&after, &dated(jti, iat), at(NOW + 5)).unwrap_err();
            let response = rejection.to_response();
            let seen = (response.status().as_u16(), response.headers().get("retry-after").cloned());
            assert_eq!(seen, (503, Some(HeaderValue::from(wait))), "{rejection}");
        }
        assert!(verify(&after, &dated("further ahead", NOW + 16), at(NOW + 6)).is_ok());
        assert!(verify(&after, &dated("later", NOW + 16), at(NOW + 16)).is_ok());
        assert!(verify(&after, &used, at(NOW + 20)).is_err());
    }
}
