//! A replay store that has lost entries: proofs that may be among them are not accepted. Threat QV-17.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use possession::ServerRole;
use possession::server::*;

use crate::support::{Exact, NOW, at, claims, proof, received, seconds, set};

/// A store that loses everything when the test says so, as an engine that is restarted without its data.
#[derive(Default)]
struct Forgetful {
    entries: Mutex<Exact>,
    lost_until: Mutex<Option<SystemTime>>,
}

impl Forgetful {
    fn forget(&self, now: u64) {
        *self.entries.lock().unwrap() = Exact::default();
        *self.lost_until.lock().unwrap() = Some(at(now));
    }
}

impl ReplayStore for Forgetful {
    fn insert_if_absent(
        &self,
        proof: &ProofRecord,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError> {
        let outcome = self.entries.lock().unwrap().insert_if_absent(proof, now)?;
        self.lost_until.lock().unwrap().map_or(Ok(()), |until| proof.check_not_lost(until))?;
        Ok(outcome)
    }
}

fn verify(verifier: &Verifier, proof: &str, now: u64) -> Result<(), Rejection> {
    verifier.verify_token_request(&received(&[proof.to_owned()]), at(now)).map(drop)
}

fn retry_after(rejection: &Rejection) -> Option<u64> {
    let response = rejection.to_response();
    assert_eq!(response.status().as_u16(), if rejection.is_server_fault() { 503 } else { 400 });
    response.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap())
}

/// A proof that is dated `NOW` is accepted from 10 seconds before, and 20 seconds before at a node whose
/// clock is ahead.
#[test]
fn a_proof_that_may_be_among_lost_entries_is_refused_until_a_new_one_cannot_be() {
    let store = Arc::new(Forgetful::default());
    let verifier = Verifier::new(Arc::clone(&store));
    let dated = |jti: &str, iat: u64| proof(&set(claims(jti), "iat", iat));
    let used = dated("used", NOW);
    assert!(verify(&verifier, &used, NOW).is_ok());
    store.forget(NOW);
    for jti in ["used", "new"] {
        for (iat, wait) in [(NOW - 10, 31), (NOW, 21), (NOW + 10, 11)] {
            let rejection = verify(&verifier, &dated(jti, iat), NOW).unwrap_err();
            let forgotten = matches!(
                rejection.reason(),
                Reason::ReplayStore(ReplayStoreError::Forgotten { until, .. }) if *until == at(NOW)
            );
            assert!(forgotten, "{rejection}");
            assert_eq!((rejection.error(), retry_after(&rejection)), (None, Some(wait)));
        }
    }
    // Whoever waits as long as the response said is accepted.
    assert!(verify(&verifier, &dated("after 20 s", NOW + 20), NOW + 20).is_err());
    assert!(verify(&verifier, &dated("after 21 s", NOW + 21), NOW + 21).is_ok());
    assert!(verify(&verifier, &used, NOW + 21).is_err());
}

/// A new nonce proves that a proof is not among the lost ones as soon as no node's clock can have shown its
/// time before the loss. No call fails for longer than that.
#[test]
fn with_nonces_a_new_nonce_is_demanded_after_a_loss() {
    let nonces = || StatelessNonces::new(&Vec::from_iter(0..32)).unwrap();
    let nonce = |now| nonces().make(ServerRole::AuthorizationServer, None, at(now)).unwrap();
    let with = |nonce: &str, jti: &str, iat: u64| {
        proof(&set(set(claims(jti), "iat", iat), "nonce", nonce.to_owned()))
    };
    for trust in [false, true] {
        let store = Arc::new(Forgetful::default());
        let verifier = Verifier::new(Arc::clone(&store)).require_nonces(nonces());
        let verifier = if trust { verifier.trust_nonce_time() } else { verifier };
        let used = with(&nonce(NOW), "used", NOW);
        assert!(verify(&verifier, &used, NOW).is_ok());
        store.forget(NOW);

        // A nonce that is made now may come from a node whose clock is 10 seconds ahead.
        let rejection = verify(&verifier, &with(&nonce(NOW + 10), "early", NOW + 10), NOW + 10).unwrap_err();
        assert_eq!((rejection.error(), retry_after(&rejection)), (None, Some(1)));

        for (at, jti) in [(NOW + 11, "used"), (NOW + 11, "a"), (NOW + 30, "used"), (NOW + 12, "b")] {
            let proof = if jti == "used" { used.clone() } else { with(&nonce(NOW), jti, at) };
            let rejection = verify(&verifier, &proof, at).unwrap_err();
            assert_eq!(rejection.reason(), &Reason::NonceOlderThanStore);
            assert_eq!((rejection.error(), retry_after(&rejection)), (Some("use_dpop_nonce"), None));
            let retry = with(rejection.nonce().unwrap(), &format!("retry {jti} {at}"), at);
            assert!(verify(&verifier, &retry, at).is_ok());
            assert_eq!(verify(&verifier, &retry, at).unwrap_err().reason(), &Reason::Replayed);
        }
    }
}

/// A shared store that forgets everything at once, without noticing.
struct Unaware;

impl ReplayStore for Unaware {
    fn insert_if_absent(&self, _: &ProofRecord, _: SystemTime) -> Result<InsertOutcome, ReplayStoreError> {
        Ok(InsertOutcome::Inserted)
    }
}

#[test]
fn a_guard_knows_the_proofs_of_its_node_when_the_shared_store_has_forgotten_them() {
    let node = || Verifier::new(GuardedReplayStore::new(Unaware, 2));
    let (one, other) = (node(), node());
    let dated = |jti: &str, iat: u64| proof(&set(claims(jti), "iat", iat));
    let used = dated("used", NOW);
    assert!(verify(&one, &used, NOW).is_ok());
    for now in [NOW, NOW + 30, NOW + 60] {
        assert_eq!(verify(&one, &used, now).unwrap_err().reason(), &Reason::Replayed);
    }
    // What another node has accepted, only the shared store knows.
    assert!(verify(&other, &used, NOW).is_ok());
    // A guard that is full refuses nothing.
    assert_eq!((0..10).filter(|n| verify(&one, &dated(&n.to_string(), NOW), NOW).is_ok()).count(), 10);
    assert_eq!(verify(&one, &used, NOW).unwrap_err().reason(), &Reason::Replayed);
}

/// A proof that the shared store could not record is not used up.
#[test]
fn a_guard_does_not_use_up_a_proof_that_the_shared_store_refused() {
    struct Down(AtomicBool);
    impl ReplayStore for Down {
        fn insert_if_absent(
            &self,
            _: &ProofRecord,
            _: SystemTime,
        ) -> Result<InsertOutcome, ReplayStoreError> {
            match self.0.load(Ordering::Relaxed) {
                true => Err(ReplayStoreError::Unavailable { retry_after: seconds(1) }),
                false => Ok(InsertOutcome::Inserted),
            }
        }
    }
    let shared = Arc::new(Down(AtomicBool::new(true)));
    let verifier = Verifier::new(GuardedReplayStore::new(Arc::clone(&shared), 10));
    let proof = proof(&claims("x"));
    assert!(verify(&verifier, &proof, NOW).is_err());
    shared.0.store(false, Ordering::Relaxed);
    assert!(verify(&verifier, &proof, NOW).is_ok());
    assert_eq!(verify(&verifier, &proof, NOW).unwrap_err().reason(), &Reason::Replayed);
}

/// What the shared store says counts, whatever the guard knows.
#[test]
fn a_guard_passes_on_what_the_shared_store_says() {
    let shared = Arc::new(Forgetful::default());
    let (one, other) = (
        Verifier::new(GuardedReplayStore::new(Arc::clone(&shared), 10)),
        Verifier::new(GuardedReplayStore::new(Arc::clone(&shared), 10)),
    );
    let used = proof(&claims("used"));
    assert!(verify(&other, &used, NOW).is_ok());
    assert_eq!(verify(&one, &used, NOW).unwrap_err().reason(), &Reason::Replayed);
    shared.forget(NOW);
    let rejection = verify(&one, &proof(&claims("new")), NOW).unwrap_err();
    assert!(matches!(rejection.reason(), Reason::ReplayStore(ReplayStoreError::Forgotten { .. })));
}
