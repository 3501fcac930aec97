//! Runs one operation a number of times, so that its instructions can be counted: `instructions OPERATION
//! TIMES`. `benches/instructions.py` runs it under valgrind, where the count depends neither on the speed of
//! the machine nor on its load.

// A panic is the right end of a benchmark that cannot run.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::hint::black_box;
use std::time::{Duration, UNIX_EPOCH};

use common::{NONCE, NoSignature, TOKEN, URL, nonce_field, prove, prover_with_nonce};
use possession::server::{MemoryReplayStore, ReceivedRequest, SignatureVerifier, Verifier};
use possession::testing::FixedNonces;
use possession::{Algorithm, PublicKey, ServerRole};

// RFC 7515 A.4
const P521: &str = r#"{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#;

/// Accepts every signature, so that only the instructions of everything else are counted.
struct AcceptAnySignature;

impl SignatureVerifier for AcceptAnySignature {
    fn supports(&self, algorithm: Algorithm) -> bool {
        algorithm == Algorithm::Es512
    }

    fn verify(&self, _: Algorithm, _: &PublicKey, _: &[u8], _: &[u8]) -> bool {
        true
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (Some(operation), Some(times)) = (arguments.next(), arguments.next()) else {
        eprintln!("benches/instructions.py runs this benchmark");
        return;
    };
    let times: usize = times.parse().expect("a number");
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let key = PublicKey::from_jwk(P521).expect("RFC 7515");
    let prover = prover_with_nonce(NoSignature { algorithm: Algorithm::Es512, key, length: 132 });
    let headers = nonce_field();
    match operation.as_str() {
        "proof" => (0..times).for_each(|_| drop(black_box(prove(&prover, now)))),
        "check" => {
            let verifier = Verifier::new(MemoryReplayStore::new(times + 1).max_proofs_per_key(usize::MAX))
                .algorithms([Algorithm::Es512])
                .signature_verifier(AcceptAnySignature)
                .require_nonces(FixedNonces::new([NONCE]));
            let jkt = prover.thumbprint();
            // A proof is accepted once, so every verification has its own. Every run makes the same number of
            // proofs, whatever `times` is, so that making them cancels out.
            let proofs: Vec<String> = (0..200).map(|_| prove(&prover, now)).collect();
            for proof in &proofs[..times] {
                let request = ReceivedRequest::from_fields(&http::Method::GET, URL, vec![proof.as_bytes()])
                    .expect("a request");
                black_box(
                    verifier.verify_resource_request(&request, TOKEN, &jkt, now).expect("a valid proof"),
                );
            }
        }
        "nonce" => {
            // The nonce is known already, so that the look-up is counted.
            for _ in 0..times {
                black_box(prover.record_nonce(ServerRole::ResourceServer, URL, &headers).expect("a nonce"));
            }
        }
        other => {
            eprintln!("unknown operation: {other}");
            std::process::exit(2);
        }
    }
}
