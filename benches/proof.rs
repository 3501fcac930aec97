//! Compares making and verifying a proof with the bare signature operations, and measures a proof without its
//! signature: `cargo bench --features testing --bench proof`, also with `--no-default-features`.

// A panic is the right end of a benchmark that cannot run.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::time::SystemTime;

use base64ct::{Base64UrlUnpadded, Encoding};
use common::{Bench, NONCE, NoSignature, TOKEN, URL, at_most, prove, prover_with_nonce, side_by_side};
use possession::server::{MemoryReplayStore, ReceivedRequest, Verifier};
use possession::testing::FixedNonces;
use possession::{Algorithm, KeyPair};

fn main() {
    proof_without_signature();
    let backend = if cfg!(feature = "ring") { "ring" } else { "p256" };
    let es256 = KeyPair::generate(Algorithm::Es256).expect("a key");
    let (sign, verify) = bare_es256(&es256);
    // p256 is slower than ring, so that the rest weighs less.
    let (max_proof, max_verification) = if cfg!(feature = "ring") { (1.15, 1.10) } else { (1.05, 1.05) };
    compare("ES256", backend, es256, sign, verify, max_proof, max_verification);

    let ed25519 = KeyPair::generate(Algorithm::Ed25519).expect("a key");
    let (sign, verify) = bare_ed25519(&ed25519);
    compare("Ed25519", "dalek", ed25519, sign, verify, 1.15, 1.15);
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

/// Verifies a signature (the second argument) of a message.
type Verify = Box<dyn Fn(&[u8], &[u8])>;
/// Signs a message.
type Sign = Box<dyn Fn(&[u8])>;

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
    let verify_proof = |proof: String| {
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
            |(message, signature)| verify(message.as_bytes(), &signature),
        ),
    ]);
    println!(
        "{name}: proof {:.1} µs, bare signature {:.1}; verification of a proof {:.1}, of a bare signature {:.1}",
        proof.median(),
        bare_signature.median(),
        verification.median(),
        bare_verification.median()
    );
    at_most(&format!("{name}: proof / bare {backend} signature"), proof.over(&bare_signature), max_proof);
    at_most(
        &format!("{name}: verification / bare {backend} verification"),
        verification.over(&bare_verification),
        max_verification,
    );
}

/// Splits a proof into the signed message and the signature.
fn split(proof: &str) -> (String, Vec<u8>) {
    let (message, signature) = proof.rsplit_once('.').expect("a JWS");
    (message.to_owned(), Base64UrlUnpadded::decode_vec(signature).expect("base64url"))
}

/// Uses ring as its documentation shows it. The signing key is parsed once; the verifying key is parsed each
/// time, because each proof brings its own.
#[cfg(feature = "ring")]
fn bare_es256(key: &KeyPair) -> (Sign, Verify) {
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
        UnparsedPublicKey,
    };
    let random = ring::rand::SystemRandom::new();
    let der = key.to_pkcs8_der().expect("DER");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random).expect("a key");
    let point = pair.public_key().as_ref().to_vec();
    (
        Box::new(move |message| {
            std::hint::black_box(pair.sign(&random, message).expect("a signature"));
        }),
        Box::new(move |message, signature| {
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point);
            key.verify(message, signature).expect("a valid signature");
        }),
    )
}

#[cfg(not(feature = "ring"))]
fn bare_es256(key: &KeyPair) -> (Sign, Verify) {
    use p256::ecdsa::signature::{Signer, Verifier};
    use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
    use p256::pkcs8::DecodePrivateKey;
    let der = key.to_pkcs8_der().expect("DER");
    let key = SigningKey::from(p256::SecretKey::from_pkcs8_der(&der).expect("a key"));
    let point = key.verifying_key().to_sec1_point(false);
    (
        Box::new(move |message| {
            std::hint::black_box::<Signature>(key.sign(message));
        }),
        Box::new(move |message, signature| {
            let key = VerifyingKey::from_sec1_bytes(point.as_bytes()).expect("a point");
            key.verify(message, &Signature::from_slice(signature).expect("R and S"))
                .expect("a valid signature");
        }),
    )
}

fn bare_ed25519(key: &KeyPair) -> (Sign, Verify) {
    use ed25519_dalek::pkcs8::DecodePrivateKey;
    use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
    let der = key.to_pkcs8_der().expect("DER");
    let key = SigningKey::from_pkcs8_der(&der).expect("a key");
    let point = key.verifying_key().to_bytes();
    (
        Box::new(move |message| {
            std::hint::black_box::<Signature>(key.sign(message));
        }),
        Box::new(move |message, signature| {
            let key = VerifyingKey::from_bytes(&point).expect("a point");
            key.verify_strict(message, &Signature::from_slice(signature).expect("64 bytes"))
                .expect("a valid signature");
        }),
    )
}
