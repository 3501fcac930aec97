//! Without the feature `ring`: the error of each import, generation and verification.

use std::time::{Duration, UNIX_EPOCH};

use possession::server::{MemoryReplayStore, Reason, ReceivedRequest, Verifier};
use possession::{
    Algorithm, Challenge, Error, ErrorKind, KeyPair, Proof, Prover, PublicKey, ServerRole, Signer,
};

use super::{
    ALL, P384_D, P384_X, P384_Y, from_file, numbers_of, openssl, p384_der, p384_jwk, pkcs1, pkcs8_rsa, rfc,
    rsa_jwk, rsa_public_jwk,
};
use crate::encoding::{assert_refused, b64u, der_of, pem, with};

/// Checks that the error names the algorithms and the feature they need.
fn assert_needs_ring<T>(result: Result<T, Error>, algorithms: &[&str], what: &str) {
    let words = [algorithms, &["feature `ring`"]].concat();
    assert_refused(result, &ErrorKind::Algorithm, &words, what);
}

/// The keys are valid; the error says what is missing.
#[test]
fn the_error_of_an_import_names_the_feature() {
    let rsa = ["RSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    for text in [openssl::RSA_2048, openssl::RSA_3072, openssl::RSA_4096] {
        let (der, numbers) = (der_of(text), numbers_of(text));
        let (der1, jwk) = (pkcs1(&numbers), rsa_jwk(&numbers));
        let text1 = pem("RSA PRIVATE KEY", &der1);
        let d = format!(r#""d":"{}""#, b64u(&numbers[2]));
        for (what, key) in [
            ("PKCS#8 DER", KeyPair::from_pkcs8_der(&der)),
            ("PKCS#8 PEM", KeyPair::from_pkcs8_pem(text)),
            ("PKCS#1 DER", KeyPair::from_pkcs1_der(&der1)),
            ("PKCS#1 PEM", KeyPair::from_pkcs1_pem(&text1)),
            ("JWK", KeyPair::from_jwk(&jwk)),
            ("JWK with alg", KeyPair::from_jwk(&with(&jwk, r#""alg":"PS256""#))),
            ("JWK with n, e and d", KeyPair::from_jwk(&with(&rsa_public_jwk(&numbers[0], &numbers[1]), &d))),
            ("file of PKCS#8 DER", from_file("pkcs8-der", &der)),
            ("file of PKCS#8 PEM", from_file("pkcs8-pem", text.as_bytes())),
            ("file of PKCS#1 DER", from_file("pkcs1-der", &der1)),
            ("file of PKCS#1 PEM", from_file("pkcs1-pem", text1.as_bytes())),
            ("file of a JWK", from_file("jwk", jwk.as_bytes())),
        ] {
            assert_needs_ring(key, &rsa, what);
        }
    }
    let jwk = p384_jwk(P384_X, P384_Y, P384_D);
    for (what, key) in [
        ("DER", KeyPair::from_pkcs8_der(&der_of(openssl::P384))),
        ("PEM", KeyPair::from_pkcs8_pem(openssl::P384)),
        ("JWK", KeyPair::from_jwk(&jwk)),
        ("file of DER", from_file("p384-der", &der_of(openssl::P384))),
        ("file of PEM", from_file("p384-pem", openssl::P384.as_bytes())),
        ("file of a JWK", from_file("p384-jwk", jwk.as_bytes())),
    ] {
        assert_needs_ring(key, &["P-384", "ES384"], what);
    }
    // A malformed key is reported as malformed with and without the feature.
    for (what, der) in [
        ("without its public key", p384_der(P384_D, None, None)),
        ("not an RSAPrivateKey", pkcs8_rsa(&[0x30, 0])),
        ("1024 bits", der_of(openssl::RSA_1024)),
    ] {
        assert_refused(KeyPair::from_pkcs8_der(&der), &ErrorKind::Key, &[], what);
    }
}

#[test]
fn the_error_of_a_generation_names_the_feature() {
    assert_needs_ring(KeyPair::generate(Algorithm::Es384), &["ES384"], "ES384");
    for algorithm in ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::Es384) {
        // The crate generates no RSA keys at all.
        let words = [algorithm.name(), "feature `ring`"];
        assert_refused(KeyPair::generate(algorithm), &ErrorKind::Algorithm, &words, algorithm.name());
    }
}

/// The public keys are read, and the signatures are not reported as wrong.
#[test]
fn the_error_of_a_verification_names_the_feature() {
    for (jwk, jws) in [rfc::RFC_7515_A2, rfc::RFC_7520_4_1] {
        let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(jwk).unwrap();
        let public = members.into_iter().filter(|(name, _)| ["kty", "n", "e"].contains(&name.as_str()));
        let public = PublicKey::from_jwk(&serde_json::Value::Object(public.collect()).to_string()).unwrap();
        assert_needs_ring(public.verify_jws(jws), &["RS256"], "a JWS");
    }
    for (algorithm, public) in ALL.into_iter().zip(publics()) {
        assert_needs_ring(
            public.verify(algorithm, b"message", &[1; 256]),
            &[algorithm.name()],
            algorithm.name(),
        );
    }
}

/// A public key for each of `ALL`.
fn publics() -> impl Iterator<Item = PublicKey> {
    let texts = [openssl::RSA_2048_PUBLIC; 6].into_iter().chain([openssl::P384_PUBLIC]);
    texts.map(|text| PublicKey::from_spki_pem(text).unwrap())
}

/// A signer of the caller, for which these algorithms are still available.
struct CallersSigner(Algorithm, PublicKey);

impl Signer for CallersSigner {
    fn algorithm(&self) -> Algorithm {
        self.0
    }

    fn public_key(&self) -> &PublicKey {
        &self.1
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(vec![1; if self.0 == Algorithm::Es384 { 96 } else { 256 }])
    }
}

/// A verifier does not accept what it cannot check, and does not list it.
#[test]
fn a_verifier_neither_accepts_nor_lists_what_it_cannot_verify() {
    let (url, now) = ("https://api.example.com/r", UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    for (algorithm, public) in ALL.into_iter().zip(publics()) {
        let jkt = public.thumbprint();
        let prover = Prover::new(CallersSigner(algorithm, public)).unwrap();
        let proof = prover
            .prove(ServerRole::ResourceServer, Proof::new(&http::Method::GET, url).unwrap(), now)
            .unwrap();
        let request = ReceivedRequest::from_fields(&http::Method::GET, url, vec![proof.as_bytes()]).unwrap();
        let verifier = Verifier::new(MemoryReplayStore::new(9)).algorithms([Algorithm::Es256, algorithm]);
        let rejection = verifier.verify_token_request(&request, now).unwrap_err();
        assert_eq!(rejection.reason(), &Reason::NoSignatureVerifier { algorithm });
        let none = ReceivedRequest::from_fields(&http::Method::GET, url, vec![]).unwrap();
        let rejection = verifier.verify_resource_request(&none, "token", &jkt, now).unwrap_err();
        let challenges = Challenge::from_headers(rejection.to_response().headers()).unwrap();
        let algs: Vec<_> = challenges[0].params().iter().filter(|(name, _)| *name == "algs").collect();
        assert_eq!(algs[0].1, "ES256");
    }
}
