//! dpop-verifier. It only verifies: possession makes its proofs.

use std::time::SystemTime;

use dpop_verifier::{DpopError, DpopVerifier, NonceMode, ReplayContext, ReplayStore};
use peer_common::{arguments, installed, measure_each_once, report, verify_lines, workload};
use possession::{Algorithm, KeyPair, Proof, Prover, ServerRole};

/// Detects no replays, which the library leaves to its user.
struct NoReplayStore;

#[async_trait::async_trait]
impl ReplayStore for NoReplayStore {
    async fn insert_once(&mut self, _: [u8; 32], _: ReplayContext<'_>) -> Result<bool, DpopError> {
        Ok(true)
    }
}

fn main() {
    let (arguments, workload) = (arguments(), workload());
    let verifier = DpopVerifier::new()
        .with_max_age_seconds(workload.max_age as i64)
        .with_nonce_mode(NonceMode::RequireEqual { expected_nonce: workload.nonce.clone() });
    let check = |proof: &str, access_token: &str, jkt: &str| {
        let mut store = NoReplayStore;
        let verified =
            verifier.verify(&mut store, proof, &workload.url, &workload.method, Some(access_token));
        futures_executor::block_on(verified).is_ok_and(|verified| verified.jkt == jkt)
    };
    match arguments.operation.as_str() {
        "check" => {
            let prover = Prover::new(KeyPair::generate(Algorithm::Es256).expect("a key")).expect("a prover");
            let method = workload.method.parse().expect("a method");
            let make = || {
                let proof = Proof::new(&method, &workload.url).expect("a proof");
                let proof = proof.access_token(&workload.access_token).nonce(&workload.nonce);
                prover.prove(ServerRole::ResourceServer, proof, SystemTime::now()).expect("a proof")
            };
            let jkt = prover.thumbprint().to_string();
            let check = |proof: &String| check(proof, &workload.access_token, &jkt);
            report(&installed("dpop-verifier"), "check", measure_each_once(arguments.time, make, check));
        }
        "verify" => verify_lines(|case| check(&case.proof, &case.access_token, &case.jkt)),
        other => panic!("dpop-verifier has no operation {other}"),
    }
}
