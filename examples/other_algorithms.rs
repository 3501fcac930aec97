//! Algorithms that the crate does not know how to sign and check: `ES512` by the crate p521 and `ML-DSA-65`
//! (RFC 9964) by the crate ml-dsa. Another library, or a module with a certificate, plugs in the same way.
//!
//! Beside this crate it uses p521 0.14 (`ecdsa`), ml-dsa 0.1 (`rand_core`), getrandom 0.4 (`sys_rng`) and
//! base64ct 1.

mod common;

use std::process::ExitCode;
use std::time::SystemTime;

use base64ct::{Base64UrlUnpadded, Encoding};
use common::AnyError;
use ml_dsa::MlDsa65;
use ml_dsa::signature::Keypair;
use p521::ecdsa::signature::{Signer as _, Verifier as _};
use p521::elliptic_curve::Generate;
use possession::server::{MemoryReplayStore, ReceivedRequest, SignatureVerifier, Verifier};
use possession::{Algorithm, Proof, Prover, PublicKey, ServerRole, Signer};

const HELP: &str = "\
Makes a proof by each of ES512 and ML-DSA-65, which other crates sign and verify, and verifies it.

Usage: other_algorithms
";
const URL: &str = "https://server.example.com/token";

/// A private key on P-521.
struct Es512 {
    key: p521::ecdsa::SigningKey,
    public: PublicKey,
}

impl Es512 {
    fn generate() -> Result<Self, AnyError> {
        let key =
            p521::ecdsa::SigningKey::from(p521::SecretKey::try_generate_from_rng(&mut getrandom::SysRng)?);
        let point = key.verifying_key().to_sec1_point(false);
        let (x, y) = point.x().zip(point.y()).ok_or("a public key is not the point at infinity")?;
        let [x, y] = [x, y].map(|bytes| Base64UrlUnpadded::encode_string(bytes));
        let public = PublicKey::from_jwk(&format!(r#"{{"kty":"EC","crv":"P-521","x":"{x}","y":"{y}"}}"#))?;
        Ok(Self { key, public })
    }
}

impl Signer for Es512 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es512
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AnyError> {
        let signature: p521::ecdsa::Signature = self.key.try_sign(message)?;
        Ok(signature.to_bytes().to_vec()) // R || S, not DER
    }
}

/// A private key for ML-DSA-65.
struct MlDsa {
    key: ml_dsa::SigningKey<MlDsa65>,
    public: PublicKey,
}

impl MlDsa {
    fn generate() -> Result<Self, AnyError> {
        let mut seed = ml_dsa::Seed::default();
        getrandom::fill(&mut seed)?;
        let key = ml_dsa::SigningKey::from_seed(&seed);
        let bytes = Base64UrlUnpadded::encode_string(&key.verifying_key().encode());
        let public = PublicKey::from_jwk(&format!(r#"{{"kty":"AKP","alg":"ML-DSA-65","pub":"{bytes}"}}"#))?;
        Ok(Self { key, public })
    }
}

impl Signer for MlDsa {
    fn algorithm(&self) -> Algorithm {
        Algorithm::MlDsa65
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AnyError> {
        Ok(self.key.try_sign(message)?.encode().to_vec())
    }
}

/// The other side. Keys and signatures come from strangers: what does not fit is no signature, and nothing
/// panics.
struct Checker;

impl SignatureVerifier for Checker {
    fn supports(&self, algorithm: Algorithm) -> bool {
        matches!(algorithm, Algorithm::Es512 | Algorithm::MlDsa65)
    }

    fn verify(&self, algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        match algorithm {
            Algorithm::Es512 => check_es512(key, message, signature),
            Algorithm::MlDsa65 => check_ml_dsa(key, message, signature),
            _ => None,
        }
        .is_some()
    }

    fn needs_io(&self) -> bool {
        false
    }
}

fn check_es512(key: &PublicKey, message: &[u8], signature: &[u8]) -> Option<()> {
    let (x, y) = (key.parameter("x")?, key.parameter("y")?);
    // Looks whether the point is on the curve.
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(&[&[4], x.as_slice(), &y].concat()).ok()?;
    key.verify(message, &p521::ecdsa::Signature::from_slice(signature).ok()?).ok()
}

fn check_ml_dsa(key: &PublicKey, message: &[u8], signature: &[u8]) -> Option<()> {
    let encoded = ml_dsa::EncodedVerifyingKey::<MlDsa65>::try_from(key.parameter("pub")?.as_slice()).ok()?;
    let key = ml_dsa::VerifyingKey::<MlDsa65>::decode(&encoded);
    key.verify(message, &ml_dsa::Signature::try_from(signature).ok()?).ok()
}

fn main() -> ExitCode {
    common::run(HELP, |options| {
        options.none()?;
        Ok(rounds()?)
    })
}

fn rounds() -> Result<(), AnyError> {
    let verifier = Verifier::new(MemoryReplayStore::new(1000))
        .algorithms([Algorithm::Es256, Algorithm::Es512, Algorithm::MlDsa65])
        .signature_verifier(Checker);
    round(Es512::generate()?, &verifier)?;
    round(MlDsa::generate()?, &verifier)
}

/// A proof by that key, checked.
fn round(signer: impl Signer + 'static, verifier: &Verifier) -> Result<(), AnyError> {
    let (algorithm, now) = (signer.algorithm(), SystemTime::now());
    let prover = Prover::new(signer)?;
    let proof = prover.prove(ServerRole::AuthorizationServer, Proof::new(&http::Method::POST, URL)?, now)?;
    let request = ReceivedRequest::from_fields(&http::Method::POST, URL, vec![proof.as_bytes()])?;
    let verified = verifier.verify_token_request(&request, now)?;
    assert_eq!(verified.thumbprint(), prover.thumbprint());

    // The same proof with one character of the signature changed is rejected.
    let (signed, signature) = proof.rsplit_once('.').ok_or("a proof has dots")?;
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{first}{}", signature.get(1..).unwrap_or_default());
    let request = ReceivedRequest::from_fields(&http::Method::POST, URL, vec![forged.as_bytes()])?;
    assert!(verifier.verify_token_request(&request, now).is_err());
    println!(
        "a proof by {algorithm} of {} bytes was verified; its key is {}",
        proof.len(),
        verified.thumbprint()
    );
    Ok(())
}
