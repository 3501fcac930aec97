//! Proofs: their exact content, their URLs, and what the crate's own verifier says of them.

mod contents;
mod integrity;
mod urls;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::server::{
    InsertOutcome, ProofRecord, Reason, ReceivedRequest, ReplayStore, ReplayStoreError, VerifiedProof,
    Verifier,
};
use possession::testing::FixedNonces;
use possession::{Algorithm, Error, Proof, PublicKey, Signer, Thumbprint};
use serde_json::Value;

use crate::encoding::with;

/// The signing key pair of RFC 7517 Appendix A.2, with its `kid` and `use`.
const ES256: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE","use":"sig","kid":"1"}"#;

const ES256_PUBLIC: &str = r#"{"crv":"P-256","kty":"EC","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;

/// RFC 8037 Appendix A.1.
const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

const ED25519_PUBLIC: &str =
    r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// The access token and its `ath` in RFC 9449, figures 13 and 14.
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

const ATH: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";

const URL: &str = "https://resource.example.org/protectedresource";

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn now() -> SystemTime {
    at(1_700_000_000)
}

/// Each algorithm under each of its names: the private JWK, the expected `alg`, the expected `jwk`.
fn keys() -> [(String, &'static str, &'static str); 5] {
    [
        (ES256.to_owned(), "ES256", ES256_PUBLIC),
        (with(ES256, r#""alg":"ES256""#), "ES256", ES256_PUBLIC),
        (ED25519.to_owned(), "EdDSA", ED25519_PUBLIC),
        (with(ED25519, r#""alg":"EdDSA""#), "EdDSA", ED25519_PUBLIC),
        (with(ED25519, r#""alg":"Ed25519","kid":"2""#), "Ed25519", ED25519_PUBLIC),
    ]
}

/// The text of header and claims, and the signature.
fn parts(proof: &str) -> (String, String, Vec<u8>) {
    let mut segments = proof.split('.').map(|segment| Base64UrlUnpadded::decode_vec(segment).unwrap());
    let mut text = || String::from_utf8(segments.next().unwrap()).unwrap();
    let (header, claims) = (text(), text());
    let signature = segments.next().unwrap();
    assert_eq!(segments.next(), None);
    (header, claims, signature)
}

fn claims(proof: &str) -> Value {
    serde_json::from_str(&parts(proof).1).unwrap()
}

fn sign(proof: &Proof<'_>) -> Result<String, Error> {
    proof.sign(&NoSignature::new(), now())
}

/// Returns zeros instead of a signature, for tests of what is signed.
struct NoSignature(PublicKey);

impl NoSignature {
    fn new() -> Self {
        Self(PublicKey::from_jwk(ED25519_PUBLIC).unwrap())
    }
}

impl Signer for NoSignature {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    fn public_key(&self) -> &PublicKey {
        &self.0
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(vec![0; 64])
    }
}

/// Never finds an earlier use, so that no rejection is a replay.
struct EmptyStore;

impl ReplayStore for EmptyStore {
    fn insert_if_absent(&self, _: &ProofRecord, _: SystemTime) -> Result<InsertOutcome, ReplayStoreError> {
        Ok(InsertOutcome::Inserted)
    }
}

fn check_bytes(proof: &[u8], token: Option<&str>, jkt: &Thumbprint) -> Result<VerifiedProof, Reason> {
    let verifier = Verifier::new(EmptyStore);
    let request = ReceivedRequest::from_fields(&http::Method::GET, URL, vec![proof]).unwrap();
    let seen = match token {
        Some(token) => {
            let verifier = verifier.clone().require_nonces(FixedNonces::new(["n"]));
            verifier.verify_resource_request(&request, token, jkt, now())
        }
        None => verifier.verify_token_request(&request, now()),
    };
    seen.map_err(|rejection| rejection.reason().clone())
}

fn check(proof: &str, token: Option<&str>) -> Result<VerifiedProof, Reason> {
    let key: Value = serde_json::from_str(&parts(proof).0).unwrap();
    check_bytes(proof.as_bytes(), token, &Thumbprint::from_jwk(&key["jwk"].to_string()).unwrap())
}
