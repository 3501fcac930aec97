//! Keys and signatures of the proofs that a target accepts.

use std::collections::HashMap;

use base64ct::{Base64UrlUnpadded, Encoding};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U2048};
use hmac::{Hmac, KeyInit, Mac};
use possession::{Algorithm, PublicKey};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::fault::{Check, Excess, Fault};
use super::proof::{Jws, Refused};

/// The algorithms that the metadata of a target list. It can verify more.
pub const LISTED: [&str; 4] = ["ES256", "EdDSA", "Ed25519", "RS256"];
const PRIVATE: [&str; 2] = ["d", "k"];

/// Checks `alg`, `jwk` and the signature, and returns the thumbprint of the key.
pub fn check(fault: Fault, jws: &Jws) -> Result<Option<String>, Refused> {
    let alg = jws.header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let mut jwk = jws.header.get("jwk").and_then(Value::as_object).cloned().unwrap_or_default();
    if alg.eq_ignore_ascii_case("none") && !fault.makes(Check::NotNone) {
        return Ok(None);
    }
    if alg == "HS256" && !fault.makes(Check::Asymmetric) {
        return if is_mac_by_the_key(&jwk, jws) { Ok(None) } else { Err(Refused::Proof) };
    }
    let needed = ["kty", "crv", "x", "y", "n", "e"];
    let is_minimal = jwk.keys().all(|name| needed.contains(&name.as_str()));
    if fault.refuses(Excess::JwkMembers) && !is_minimal {
        return Err(Refused::Proof);
    }
    if PRIVATE.iter().any(|name| jwk.remove(*name).is_some()) && fault.makes(Check::PublicKey) {
        return Err(Refused::Proof);
    }
    let Some(key) = Key::read(&jwk) else {
        return if fault.makes(Check::ReadableKey) { Err(Refused::Proof) } else { Ok(None) };
    };
    let is_of_key = key.algorithms().contains(&alg);
    if !is_of_key && fault.makes(Check::AlgOfKey) {
        return Err(Refused::Proof);
    }
    if is_of_key && !LISTED.contains(&alg) && fault.makes(Check::ListedAlg) {
        return Err(Refused::Proof);
    }
    if !key.verifies(fault, jws) && fault.makes(Check::Signature) {
        return Err(Refused::Proof);
    }
    Ok(key.thumbprint())
}

/// Returns whether the signature is a MAC with something of the public key as the secret.
fn is_mac_by_the_key(jwk: &Map<String, Value>, jws: &Jws) -> bool {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str).unwrap_or_default();
    let secrets = [
        Value::Object(jwk.clone()).to_string().into_bytes(),
        text("x").as_bytes().to_vec(),
        Base64UrlUnpadded::decode_vec(text("k")).unwrap_or_default(),
    ];
    secrets.iter().filter(|secret| !secret.is_empty()).any(|secret| {
        let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(&jws.signed);
        mac.verify_slice(&jws.signature).is_ok()
    })
}

enum Key {
    /// One that the crate reads: a correct key for ES256, ES384 or Ed25519.
    Correct(Box<PublicKey>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An Ed25519 key that the crate refuses.
    WeakEd25519(ed25519_dalek::VerifyingKey),
}

impl Key {
    fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let bytes = |name: &str| Base64UrlUnpadded::decode_vec(jwk.get(name)?.as_str()?).ok();
        if jwk.get("kty")? == "RSA" {
            return Some(Self::Rsa { n: bytes("n")?, e: bytes("e")? });
        }
        if let Ok(key) = PublicKey::from_jwk(&Value::Object(jwk.clone()).to_string()) {
            return Some(Self::Correct(Box::new(key)));
        }
        let key = ed25519_dalek::VerifyingKey::try_from(bytes("x")?.as_slice()).ok()?;
        (jwk.get("kty")? == "OKP").then_some(Self::WeakEd25519(key))
    }

    fn algorithms(&self) -> &'static [&'static str] {
        match self {
            Self::Correct(_) if self.is(Algorithm::Es256) => &["ES256"],
            Self::Correct(_) if self.is(Algorithm::Es384) => &["ES384"],
            Self::Correct(_) | Self::WeakEd25519(_) => &["EdDSA", "Ed25519"],
            Self::Rsa { .. } => &["RS256"],
        }
    }

    /// Returns whether it is a key for this algorithm.
    fn is(&self, algorithm: Algorithm) -> bool {
        let curves = HashMap::from([(Algorithm::Es256, "P-256"), (Algorithm::Es384, "P-384")]);
        let Self::Correct(key) = self else { return false };
        let jwk: Value = serde_json::from_str(key.to_jwk()).unwrap();
        jwk.get("crv").and_then(Value::as_str) == curves.get(&algorithm).copied()
    }

    fn thumbprint(&self) -> Option<String> {
        match self {
            Self::Correct(key) => Some(key.thumbprint().to_string()),
            _ => None,
        }
    }

    fn verifies(&self, fault: Fault, jws: &Jws) -> bool {
        let (message, signature) = (jws.signed.as_bytes(), jws.signature.as_slice());
        match self {
            Self::Correct(key) if self.is(Algorithm::Es256) => {
                let is_zero = signature == [0; 64] && !fault.makes(Check::NotZero);
                let from_der = || Some(p256::ecdsa::Signature::from_der(signature).ok()?.to_bytes().to_vec());
                let signature = match from_der() {
                    Some(fixed) if !fault.makes(Check::NotDer) => fixed,
                    _ => signature.to_vec(),
                };
                is_zero || key.verify(Algorithm::Es256, message, &signature).is_ok()
            }
            Self::Correct(key) if self.is(Algorithm::Es384) => {
                key.verify(Algorithm::Es384, message, signature).is_ok()
            }
            Self::Correct(key) => key.verify(Algorithm::Ed25519, message, signature).is_ok(),
            Self::WeakEd25519(key) => {
                let signature = ed25519_dalek::Signature::from_slice(signature);
                !fault.makes(Check::KeyOrder)
                    && signature.is_ok_and(|signature| {
                        ed25519_dalek::Verifier::verify(key, message, &signature).is_ok()
                    })
            }
            Self::Rsa { n, e } => {
                let is_weak = e.as_slice() == [1] && fault.makes(Check::RsaExponent)
                    || n.len() < 256 && fault.makes(Check::RsaSize);
                !is_weak && rs256(n, e, message, signature)
            }
        }
    }
}

/// Verifies RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2.2).
fn rs256(n: &[u8], e: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let number = |bytes: &[u8]| U2048::from_be_slice(&[&vec![0; 256 - bytes.len()][..], bytes].concat());
    let modulus = FixedMontyParams::new_vartime(Odd::new(number(n)).unwrap());
    let power = FixedMontyForm::new(&number(signature), &modulus).pow(&number(e)).retrieve();
    // DigestInfo of SHA-256 (RFC 8017 §9.2).
    let info = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0,
        0x04, 0x20,
    ];
    let end = [&[0][..], &info, &Sha256::digest(message)[..]].concat();
    let padding = vec![0xff; n.len() - end.len() - 2];
    power == number(&[&[0, 1][..], &padding, &end].concat())
}
