//! Algorithms that the caller verifies (`SignatureVerifier`), for proofs and access tokens alike. The
//! crate's own checks stay in force.

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::server::*;
use possession::*;
use serde_json::{Value, json};

use crate::issuer::{AUDIENCE, ISSUER, JKT, claims, header, jwks, jwt, key, validator};
use crate::support::{NOW, at, set, without};

/// It counts only where it is listed, and only for its kind of key.
#[test]
fn an_algorithm_of_the_caller_counts_where_it_is_listed() {
    struct Toy;
    impl SignatureVerifier for Toy {
        fn supports(&self, algorithm: Algorithm) -> bool {
            algorithm == Algorithm::Es512
        }

        fn verify(&self, algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
            assert_eq!(algorithm, Algorithm::Es512);
            key.to_jwk().contains("P-521")
                && signature == message.iter().rev().take(132).copied().collect::<Vec<_>>()
        }
    }
    // RFC 7515 A.4
    let p521 = json!({"kty": "EC", "crv": "P-521", "kid": "k1",
        "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"});
    let sign = |header: &Value, claims: &Value, good: bool| {
        let encode = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let mut signature: Vec<u8> = signed.bytes().rev().take(132).collect();
        signature[0] ^= u8::from(!good);
        format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
    };
    let header = set(header(), "alg", "ES512");
    let tokens = JwtValidator::with_keys(ISSUER, AUDIENCE, &jwks(std::slice::from_ref(&p521))).unwrap();
    let listed = || tokens.clone().algorithms([Algorithm::Es512]);
    for (tokens, good, fine) in [
        (tokens.clone().signature_verifier(Toy), true, false),
        (listed(), true, false),
        (listed().signature_verifier(Toy), true, true),
        (listed().signature_verifier(Toy), false, false),
    ] {
        assert_eq!(tokens.validate(&sign(&header, &claims(), good), at(NOW)).is_ok(), fine);
    }
    let proof = |good| {
        let claims = json!({"jti": "j", "htm": "GET", "htu": "https://api.example/", "iat": NOW});
        sign(&json!({"typ": "dpop+jwt", "alg": "ES512", "jwk": without(p521.clone(), "kid")}), &claims, good)
    };
    let verifier =
        || Verifier::new(MemoryReplayStore::new(9)).algorithms([Algorithm::Es256, Algorithm::Es512]);
    for (verifier, good, fine, algs) in [
        (verifier(), true, false, r#"{"error":"invalid_dpop_proof"}"#),
        (verifier().signature_verifier(Toy), true, true, ""),
        (verifier().signature_verifier(Toy), false, false, r#"{"error":"invalid_dpop_proof"}"#),
    ] {
        let proof = proof(good);
        let request =
            ReceivedRequest::from_fields(&http::Method::GET, "https://api.example/", vec![proof.as_bytes()])
                .unwrap();
        match verifier.verify_token_request(&request, at(NOW)) {
            Ok(_) => assert!(fine),
            Err(rejection) => assert_eq!((fine, rejection.to_response().body().as_str()), (false, algs)),
        }
    }
    // The challenge lists exactly the algorithms that can be verified.
    let empty = ReceivedRequest::from_fields(&http::Method::GET, "https://api.example/", vec![]).unwrap();
    for (verifier, algs) in [(verifier(), "ES256"), (verifier().signature_verifier(Toy), "ES256 ES512")] {
        let rejection =
            verifier.verify_resource_request(&empty, "t", &JKT.parse().unwrap(), at(NOW)).unwrap_err();
        let challenges = Challenge::from_headers(rejection.to_response().headers()).unwrap();
        assert_eq!(challenges[0].param("algs"), Some(algs));
    }
}

/// RFC 7518 §3.4: R || S of full size. Libraries for ECDSA often accept DER too, so a signature of another
/// length is not passed on.
#[test]
fn a_checker_is_given_only_signatures_of_the_right_length() {
    struct Credulous;
    impl SignatureVerifier for Credulous {
        fn supports(&self, algorithm: Algorithm) -> bool {
            algorithm == Algorithm::Es512
        }

        fn verify(&self, _: Algorithm, _: &PublicKey, _: &[u8], _: &[u8]) -> bool {
            true
        }
    }
    let coordinate = Base64UrlUnpadded::encode_string(&[1; 66]);
    let jwk = json!({"kty": "EC", "crv": "P-521", "kid": "k1", "x": coordinate, "y": coordinate});
    let tokens = JwtValidator::with_keys(ISSUER, AUDIENCE, &jwks(&[jwk])).unwrap();
    let tokens = tokens.algorithms([Algorithm::Es512]).signature_verifier(Credulous);
    for (length, fine) in [(132, true), (3, false), (131, false), (133, false), (139, false)] {
        let encode = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let signature = Base64UrlUnpadded::encode_string(&vec![1; length]);
        let token = format!("{}.{}.{signature}", encode(&set(header(), "alg", "ES512")), encode(&claims()));
        assert_eq!(tokens.validate(&token, at(NOW)).is_ok(), fine, "{length}");
    }
}

/// A checker has no say in the algorithms that the crate verifies itself, nor in those that are not listed.
#[test]
fn a_checker_cannot_override_the_crate() {
    struct Yes;
    impl SignatureVerifier for Yes {
        fn supports(&self, _: Algorithm) -> bool {
            true
        }

        fn verify(&self, _: Algorithm, _: &PublicKey, _: &[u8], _: &[u8]) -> bool {
            true
        }
    }
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let (key, other) = (key(algorithm), key(algorithm));
        let header = set(header(), "alg", algorithm.name());
        let forged = jwt(&other, &header, &claims());
        let tokens = validator(&key).signature_verifier(Yes);
        assert_eq!(tokens.validate(&forged, at(NOW)), Err(TokenError::Signature));
        // Not listed, or not for this kind of key.
        assert!(matches!(
            tokens.validate(&jwt(&other, &set(header.clone(), "alg", "ES384"), &claims()), at(NOW)),
            Err(TokenError::Algorithm { .. })
        ));
        let listed = tokens.algorithms([Algorithm::Rs256, Algorithm::Es384]);
        for alg in ["RS256", "ES384"] {
            let seen = listed.validate(&jwt(&other, &set(header.clone(), "alg", alg), &claims()), at(NOW));
            assert_eq!(seen, Err(TokenError::UnknownKey), "{alg}");
        }
        let verifier = Verifier::new(MemoryReplayStore::new(9)).signature_verifier(Yes);
        let proof =
            Proof::new(&http::Method::GET, "https://api.example/").unwrap().sign(&key, at(NOW)).unwrap();
        let forged =
            format!("{}.{}", proof.rsplit_once('.').unwrap().0, Base64UrlUnpadded::encode_string(&[1; 64]));
        let request =
            ReceivedRequest::from_fields(&http::Method::GET, "https://api.example/", vec![forged.as_bytes()])
                .unwrap();
        assert_eq!(
            verifier.verify_token_request(&request, at(NOW)).unwrap_err().reason(),
            &Reason::Signature
        );
    }
}

/// It is told apart from an algorithm that is not listed, and from a forgery.
#[test]
fn v_14_a_listed_algorithm_that_nothing_verifies_is_an_error_of_its_own() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let keys = format!(r#"{{"keys":[{}]}}"#, key.to_public().to_jwk());
    let tokens = JwtValidator::with_keys("https://as.example.com", "https://api.example.com", &keys).unwrap();
    let header = Base64UrlUnpadded::encode_string(br#"{"typ":"at+jwt","alg":"ES512"}"#);
    let token = format!(
        "{header}.{}.{}",
        Base64UrlUnpadded::encode_string(b"{}"),
        Base64UrlUnpadded::encode_string(&[1; 132])
    );
    for (tokens, expected) in [
        (tokens.clone(), TokenError::Algorithm { alg: "ES512".to_owned() }),
        (
            tokens.algorithms([Algorithm::Es512]),
            TokenError::NoSignatureVerifier { algorithm: Algorithm::Es512 },
        ),
    ] {
        assert_eq!(tokens.validate(&token, at(NOW)), Err(expected));
    }
    let text = TokenError::NoSignatureVerifier { algorithm: Algorithm::Es512 }.to_string();
    assert!(text.contains("ES512") && text.contains("SignatureVerifier"), "{text}");
}
