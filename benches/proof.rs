//! Compares making and verifying a proof with the bare signature operations, and measures a proof without its
//! signature: `cargo bench --features testing --bench proof`, also with `--no-default-features`.

// A panic is the right end of a benchmark that cannot run.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::time::SystemTime;

use common::bare::{Sign, Verify, ed25519, es256, split};
use common::{Bench, NONCE, NoSignature, TOKEN, URL, at_most, note, prove, prover_with_nonce, side_by_side};
use possession::server::{MemoryReplayStore, ReceivedRequest, Verifier};
use possession::testing::FixedNonces;
use possession::{Algorithm, KeyPair};

fn main() {
    proof_without_signature();
    let backend = if cfg!(feature = "ring") { "ring" } else { "p256" };
    let key = KeyPair::generate(Algorithm::Es256).expect("a key");
    let (sign, verify) = es256(&key);
    // p256 is slower than ring, so that the rest weighs less.
    let (max_proof, max_verification) = if cfg!(feature = "ring") { (1.15, 1.10) } else { (1.05, 1.05) };
    compare("ES256", backend, key, sign, verify, max_proof, max_verification);

    let key = KeyPair::generate(Algorithm::Ed25519).expect("a key");
    let (sign, verify) = ed25519(&key);
    compare("Ed25519", "dalek", key, sign, verify, 1.15, 1.15);
}

/// Measures what a proof costs without its signature.
fn proof_without_signature() {
    let key = KeyPair::generate(Algorithm::Es256).expect("a key").to_public();
    let prover = prover_with_nonce(NoSignature { algorithm: Algorithm::Es256, key, length: 64 });
    let prove = || prove(&prover, SystemTime::now());
    let random = || {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("randomness");
        bytes
    };
    let [proof, random] = side_by_side([Bench::new(prove), Bench::new(random)]).map(|times| times.median());
    println!("proof without signature: {proof:.2} µs, of which 16 random bytes take {random:.2} µs");
    at_most("proof without signature and randomness, µs", proof - random, 2.0);
    // The allocation of the signature itself is not counted.
    let allocations = allocation_counter::measure(|| drop(prove())).count_total - 1;
    at_most("allocations of a proof", allocations as f64, 5.0);
}

fn compare(
    name: &str,
    backend: &str,
    key: KeyPair,
    sign: Sign,
    verify: Verify,
    max_proof: f64,
    max_verification: f64,
) {
    let prover = prover_with_nonce(key);
    let (message, _) = split(&prove(&prover, SystemTime::now()));
    let now = SystemTime::now();
    let verifier = Verifier::new(MemoryReplayStore::new(1_000_000).max_proofs_per_key(usize::MAX))
        .require_nonces(FixedNonces::new([NONCE]));
    let jkt = prover.thumbprint();
    let verify_proof = |proof: &String| {
        let request =
            ReceivedRequest::from_fields(&http::Method::GET, URL, vec![proof.as_bytes()]).expect("a request");
        verifier.verify_resource_request(&request, TOKEN, &jkt, now).expect("a valid proof")
    };
    let [proof, bare_signature, verification, bare_verification] = side_by_side([
        Bench::new(|| prove(&prover, SystemTime::now())),
        Bench::new(|| sign(message.as_bytes())),
        Bench::with_inputs(|| prove(&prover, SystemTime::now()), verify_proof),
        // Every signature is new here as well, because the branches taken depend on the signature.
        Bench::with_inputs(
            || split(&prove(&prover, SystemTime::now())),
            |(message, signature)| verify(message.as_bytes(), signature),
        ),
    ]);
    println!("{name}: proof {:.1} µs, verification of a proof {:.1}", proof.median(), verification.median());
    note(&format!("{name}: bare {backend} signature, µs"), bare_signature.median());
    note(&format!("{name}: bare {backend} verification, µs"), bare_verification.median());
    at_most(&format!("{name}: proof / bare {backend} signature"), proof.over(&bare_signature), max_proof);
    at_most(
        &format!("{name}: verification / bare {backend} verification"),
        verification.over(&bare_verification),
        max_verification,
    );
}
