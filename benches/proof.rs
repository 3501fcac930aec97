//! Full proofs and full checks over their bare signatures, and what is left when the signature is taken away:
//! `cargo bench --bench proof`, and the same with `--no-default-features`.

// A benchmark that cannot run has nothing better to do than stop.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::time::SystemTime;

use base64ct::{Base64UrlUnpadded, Encoding};
use common::{Bench, NONCE, NoSignature, TOKEN, URL, at_most, learned, prove, side_by_side};
use possession::server::{MemoryReplayStore, ReceivedRequest, Verifier};
use possession::testing::FixedNonces;
use possession::{Algorithm, KeyPair};

fn main() {
    framing();
    let backend = if cfg!(feature = "ring") { "ring" } else { "p256" };
    let es256 = KeyPair::generate(Algorithm::Es256).expect("a key");
    let (signing, checking) = bare_es256(&es256);
    // The aims with the feature `ring`, and without it.
    let (most_signing, most_checking) = if cfg!(feature = "ring") { (1.15, 1.10) } else { (1.05, 1.05) };
    compare("ES256", backend, es256, signing, checking, most_signing, most_checking);

    let ed25519 = KeyPair::generate(Algorithm::Ed25519).expect("a key");
    let (signing, checking) = bare_ed25519(&ed25519);
    compare("Ed25519", "dalek", ed25519, signing, checking, 1.15, 1.15);
}

/// What a proof costs without its signature.
fn framing() {
    let key = KeyPair::generate(Algorithm::Es256).expect("a key").to_public();
    let prover = learned(NoSignature { algorithm: Algorithm::Es256, key, length: 64 });
    let prove = || prove(&prover, SystemTime::now());
    let random = || {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("randomness");
        bytes
    };
    let [proof, random] = side_by_side([Bench::new(prove), Bench::new(random)]).map(|times| times.median());
    println!("proof without signature: {proof:.2} µs, {random:.2} of them for 16 bytes of randomness");
    at_most("proof without signature and randomness, µs", proof - random, 2.0);
    // The signature's own is not counted.
    let allocations = allocation_counter::measure(|| drop(prove())).count_total - 1;
    at_most("allocations of a proof", allocations as f64, 5.0);
}

type Check = Box<dyn Fn(&[u8], &[u8])>;
type Sign = Box<dyn Fn(&[u8])>;

fn compare(
    name: &str,
    backend: &str,
    key: KeyPair,
    sign: Sign,
    check: Check,
    most_signing: f64,
    most_checking: f64,
) {
    let prover = learned(key);
    let (message, _) = signed(&prove(&prover, SystemTime::now()));
    let now = SystemTime::now();
    let verifier = Verifier::new(MemoryReplayStore::new(1_000_000)).require_nonces(FixedNonces::new([NONCE]));
    let jkt = prover.thumbprint();
    let full = |proof: String| {
        let request =
            ReceivedRequest::from_fields(&http::Method::GET, URL, vec![proof.as_bytes()]).expect("a request");
        verifier.verify_resource_request(&request, TOKEN, &jkt, now).expect("it passes")
    };
    let [proof, bare_proof, checked, bare_check] = side_by_side([
        Bench::new(|| prove(&prover, SystemTime::now())),
        Bench::new(|| sign(message.as_bytes())),
        Bench::with_inputs(|| prove(&prover, SystemTime::now()), full),
        // Another signature each time here as well: how often it branches where depends on them.
        Bench::with_inputs(
            || signed(&prove(&prover, SystemTime::now())),
            |(message, signature)| check(message.as_bytes(), &signature),
        ),
    ]);
    println!(
        "{name}: proof {:.1} µs, bare signature {:.1}; check {:.1}, bare verification {:.1}",
        proof.median(),
        bare_proof.median(),
        checked.median(),
        bare_check.median()
    );
    at_most(&format!("{name}: proof / bare {backend} signature"), proof.over(&bare_proof), most_signing);
    at_most(
        &format!("{name}: check / bare {backend} verification"),
        checked.over(&bare_check),
        most_checking,
    );
}

/// What was signed, and the signature.
fn signed(proof: &str) -> (String, Vec<u8>) {
    let (message, signature) = proof.rsplit_once('.').expect("a JWS");
    (message.to_owned(), Base64UrlUnpadded::decode_vec(signature).expect("base64url"))
}

/// ring as its documentation shows it: keys are made beforehand for signing, read from their bytes for checking, since each
/// proof brings its own.
#[cfg(feature = "ring")]
fn bare_es256(key: &KeyPair) -> (Sign, Check) {
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
            key.verify(message, signature).expect("it holds");
        }),
    )
}

#[cfg(not(feature = "ring"))]
fn bare_es256(key: &KeyPair) -> (Sign, Check) {
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
            key.verify(message, &Signature::from_slice(signature).expect("R and S")).expect("it holds");
        }),
    )
}

fn bare_ed25519(key: &KeyPair) -> (Sign, Check) {
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
                .expect("it holds");
        }),
    )
}
