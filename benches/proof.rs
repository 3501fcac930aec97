//! What a proof costs beside its signature: `cargo bench`. Everything is measured in one run, side by side, and the ratios
//! are what to look at.

// A benchmark that cannot run has nothing better to do than stop.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::time::{Instant, SystemTime};

use possession::{
    Algorithm, FixedNonces, KeyPair, MemoryReplayStore, Part, Proof, Prover, PublicKey, ReceivedRequest,
    Signer, Verifier,
};

/// A signer that signs nothing, so that what is left is everything else.
struct NoSignature(PublicKey);

impl Signer for NoSignature {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }

    fn public_key(&self) -> &PublicKey {
        &self.0
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(vec![7; 64])
    }
}

const URL: &str = "https://api.example.com/v1/orders/8f14e45f?page=2";
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const NONCE: &str = "eyJ7S_zG.eyJH0-Z.HX4w-7v";

fn main() {
    let now = SystemTime::now();
    let keys =
        [Algorithm::Es256, Algorithm::Ed25519].map(|algorithm| KeyPair::generate(algorithm).expect("a key"));
    let framing = Prover::new(NoSignature(keys[0].to_public())).expect("a prover");
    let proof = || Proof::new("GET", URL).expect("a proof").access_token(TOKEN).nonce(NONCE);
    let prove = |prover: &Prover| prover.prove(Part::ResourceServer, proof(), now).expect("a proof");

    let random = time(|| {
        let mut octets = [0; 16];
        getrandom::fill(&mut octets).expect("randomness");
        octets
    });
    let framing = time(|| prove(&framing));
    println!("16 octets of randomness           {random:8.2} µs");
    println!("proof without signature           {framing:8.2} µs");
    println!("proof without either              {:8.2} µs", framing - random);
    for key in keys {
        let (name, message) =
            (key.algorithm(), prove(&Prover::new(NoSignature(example())).expect("a prover")));
        let public = key.to_public();
        let signature = time(|| key.sign(message.as_bytes()).expect("a signature"));
        let jws = {
            let proof = proof().sign(&key, now).expect("a proof");
            let whole = time(|| public.verify_jws(&proof).expect("it holds"));
            println!("{name}: signature {signature:8.2} µs, bare check {whole:8.2} µs");
            whole
        };
        let prover = Prover::new(key).expect("a prover");
        let whole = time(|| prove(&prover));
        println!("{name}: proof     {whole:8.2} µs, {:.3} times the signature", whole / signature);

        let proofs: Vec<_> = (0..ROUNDS * RUNS).map(|_| prove(&prover)).collect();
        let verifier =
            Verifier::new(MemoryReplayStore::new(10_000_000)).require_nonces(FixedNonces::new([NONCE]));
        let (jkt, mut next) = (prover.thumbprint(), proofs.iter());
        let check = time(|| {
            let proof = next.next().expect("enough proofs");
            let request =
                ReceivedRequest::from_fields("GET", URL, vec![proof.as_bytes()]).expect("a request");
            verifier.resource_request(&request, TOKEN, &jkt, now).expect("it passes")
        });
        println!("{name}: check     {check:8.2} µs, {:.3} times the bare check", check / jws);
    }
}

const ROUNDS: usize = 7;
const RUNS: usize = 500;

/// Microseconds for one call: the median of several rounds.
fn time<T>(mut run: impl FnMut() -> T) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..RUNS {
                black_box(run());
            }
            start.elapsed().as_secs_f64() * 1e6 / RUNS as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn example() -> PublicKey {
    // RFC 9449 figure 2
    let jwk = r#"{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}"#;
    PublicKey::from_jwk(jwk).expect("a key")
}
