//! dpop-verifier. It makes no proofs.

use std::time::SystemTime;

use dpop_verifier::{DpopError, DpopVerifier, NonceMode, ReplayContext, ReplayStore};
use peer_common::{POOL, arguments, installed, report, round_and_round, verify_lines, workload};
use possession::{Algorithm, KeyPair, ServerRole, Proof, Prover};

/// Remembers nothing: that is the work of whoever uses the library.
struct NoMemory;

#[async_trait::async_trait]
impl ReplayStore for NoMemory {
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
        let mut memory = NoMemory;
        let verified =
            verifier.verify(&mut memory, proof, &workload.url, &workload.method, Some(access_token));
        futures_executor::block_on(verified).is_ok_and(|verified| verified.jkt == jkt)
    };
    match arguments.operation.as_str() {
        "check" => {
            let prover = Prover::new(KeyPair::generate(Algorithm::Es256).expect("a key")).expect("a prover");
            let pool: Vec<_> = (0..POOL)
                .map(|_| {
                    let proof = Proof::new(&workload.method, &workload.url).expect("a proof");
                    let proof = proof.access_token(&workload.access_token).nonce(&workload.nonce);
                    prover.prove(ServerRole::ResourceServer, proof, SystemTime::now()).expect("a proof")
                })
                .collect();
            let jkt = prover.thumbprint().to_string();
            let microseconds =
                round_and_round(arguments.time, &pool, |proof| check(proof, &workload.access_token, &jkt));
            report(&installed("dpop-verifier"), "check", microseconds);
        }
        "verify" => verify_lines(|case| check(&case.proof, &case.access_token, &case.jkt)),
        other => panic!("dpop-verifier has no operation {other}"),
    }
}
