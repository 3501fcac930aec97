//! Runs one thing a number of times, for a count of instructions: `instructions WHAT TIMES`. `benches/instructions.py` does
//! that under valgrind, where the count depends on neither the machine's speed nor what else it does.

// A benchmark that cannot run has nothing better to do than stop.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::hint::black_box;
use std::time::{Duration, UNIX_EPOCH};

use common::{NONCE, NoSignature, TOKEN, URL, learned, nonce_field, prove};
use possession::server::{MemoryReplayStore, ReceivedRequest, SignatureVerifier, Verifier};
use possession::testing::FixedNonces;
use possession::{Algorithm, PublicKey, ServerRole};

// RFC 7515 A.4
const P521: &str = r#"{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#;

/// Finds every signature good, so that what is counted is everything else.
struct AnySignature;

impl SignatureVerifier for AnySignature {
    fn supports(&self, algorithm: Algorithm) -> bool {
        algorithm == Algorithm::Es512
    }

    fn verify(&self, _: Algorithm, _: &PublicKey, _: &[u8], _: &[u8]) -> bool {
        true
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (Some(what), Some(times)) = (arguments.next(), arguments.next()) else {
        eprintln!("run by benches/instructions.py");
        return;
    };
    let times: usize = times.parse().expect("a number");
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let key = PublicKey::from_jwk(P521).expect("RFC 7515");
    let prover = learned(NoSignature { algorithm: Algorithm::Es512, key, length: 132 });
    let headers = nonce_field();
    match what.as_str() {
        "proof" => (0..times).for_each(|_| drop(black_box(prove(&prover, now)))),
        "check" => {
            let verifier = Verifier::new(MemoryReplayStore::new(times + 1))
                .algorithms([Algorithm::Es512])
                .signature_verifier(AnySignature)
                .require_nonces(FixedNonces::new([NONCE]));
            let jkt = prover.thumbprint();
            // One proof, checked as if it were another each time, would be a replay: so they are as many, and made in every run.
            let proofs: Vec<String> = (0..200).map(|_| prove(&prover, now)).collect();
            for proof in &proofs[..times] {
                let request = ReceivedRequest::from_fields(&http::Method::GET, URL, vec![proof.as_bytes()])
                    .expect("a request");
                black_box(verifier.verify_resource_request(&request, TOKEN, &jkt, now).expect("it passes"));
            }
        }
        "nonce" => {
            // What is counted: learning the nonce that is known already, which is looking it up.
            for _ in 0..times {
                black_box(prover.record_nonce(ServerRole::ResourceServer, URL, &headers).expect("a nonce"));
            }
        }
        other => {
            eprintln!("{other} is not known");
            std::process::exit(2);
        }
    }
}
