//! With the feature `ring`: import, signatures, proofs, tokens and assertions.

mod import;
mod in_use;
mod refused;
mod signatures;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use possession::{Algorithm, Error, KeyPair, PublicKey, Signer};

use super::{ALL, from_file, openssl, pkcs8_rsa};
use crate::encoding::pem;

/// Keys in PKCS#8 by OpenSSL, with their sizes.
const RSA: [(&str, usize); 3] =
    [(openssl::RSA_2048, 2048), (openssl::RSA_3072, 3072), (openssl::RSA_4096, 4096)];

const RSA_ALGORITHMS: &[Algorithm] = ALL.split_at(6).0;

const URL: &str = "https://api.example.com/r";

const NOW: u64 = 1_700_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

/// A key of OpenSSL that signs with that algorithm.
fn key(algorithm: Algorithm) -> KeyPair {
    match algorithm {
        Algorithm::Es384 => KeyPair::from_pkcs8_pem(openssl::P384).unwrap(),
        _ => KeyPair::from_pkcs8_pem(openssl::RSA_2048).unwrap().with_algorithm(algorithm).unwrap(),
    }
}

/// The same key read by every function that takes PKCS#8, PKCS#1 or a JWK, and from a file of each.
fn every_import(pkcs1: &[u8], jwk: &str) -> Vec<(&'static str, Result<KeyPair, Error>)> {
    let der = pkcs8_rsa(pkcs1);
    let (text8, text1) = (pem("PRIVATE KEY", &der), pem("RSA PRIVATE KEY", pkcs1));
    vec![
        ("PKCS#8 DER", KeyPair::from_pkcs8_der(&der)),
        ("PKCS#8 PEM", KeyPair::from_pkcs8_pem(&text8)),
        ("PKCS#1 DER", KeyPair::from_pkcs1_der(pkcs1)),
        ("PKCS#1 PEM", KeyPair::from_pkcs1_pem(&text1)),
        ("JWK", KeyPair::from_jwk(jwk)),
        ("file of PKCS#8 DER", from_file("pkcs8-der", &der)),
        ("file of PKCS#8 PEM", from_file("pkcs8-pem", text8.as_bytes())),
        ("file of PKCS#1 DER", from_file("pkcs1-der", pkcs1)),
        ("file of PKCS#1 PEM", from_file("pkcs1-pem", format!("\n {text1}\n").as_bytes())),
        ("file of a JWK", from_file("jwk", format!("\n {jwk}\n").as_bytes())),
    ]
}

fn assert_signs(key: &KeyPair, public: &PublicKey) {
    let signature = key.sign(b"message").unwrap();
    public.verify(key.algorithm(), b"message", &signature).unwrap();
    public.verify(key.algorithm(), b"messagf", &signature).unwrap_err();
}
