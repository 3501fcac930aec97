//! The crate's verifier accepts the crate's proofs, and none that was changed. Threat B-01.

use std::time::Duration;

use possession::server::Reason;
use possession::{Algorithm, KeyPair, Proof, Prover, ServerRole};
use serde_json::json;

use super::{ED25519, ES256, TOKEN, URL, check, check_bytes, claims, keys, now};

#[test]
fn b_01_the_verifier_accepts_proofs_of_this_crate() {
    for (jwk, _, public) in keys() {
        let prover = Prover::new(KeyPair::from_jwk(&jwk).unwrap()).unwrap();
        for token in [None, Some(TOKEN)] {
            let mut proof =
                Proof::new(&http::Method::GET, "HTTPS://resource.example.org:443/protectedresource?a=b")
                    .unwrap()
                    .nonce("n");
            if let Some(token) = token {
                proof = proof.access_token(token);
            }
            let text = prover.prove(ServerRole::ResourceServer, proof, now()).unwrap();
            let verified = check(&text, token).unwrap();
            assert_eq!(verified.public_key().to_jwk(), public);
            assert_eq!(verified.thumbprint(), prover.thumbprint());
            assert_eq!(verified.iat(), now() - Duration::from_secs(1));
            let claims = claims(&text);
            for name in ["jti", "htm", "htu", "iat", "ath", "nonce"] {
                assert_eq!(verified.claim(name), claims.get(name), "{name}");
            }
            assert_eq!(json!(verified.jti()), claims["jti"]);
        }
    }
}

/// Every byte with Ed25519. With ES256, which is slow in a build without optimization, every 23rd and the
/// last four.
#[test]
fn b_01_no_byte_of_a_proof_can_be_changed_removed_or_doubled() {
    for (jwk, step) in [(ED25519, 1), (ES256, 23)] {
        let key = KeyPair::from_jwk(jwk).unwrap();
        let jkt = key.to_public().thumbprint();
        let proof = Proof::new(&http::Method::GET, URL).unwrap().access_token(TOKEN).nonce("n");
        let proof = proof.sign(&key, now()).unwrap().into_bytes();
        let end = proof.len();
        let mut reached = 0;
        for at in (0..end).filter(|at| at % step == 0 || at + 4 >= end) {
            let mut changes =
                vec![[&proof[..at], &proof[at + 1..]].concat(), [&proof[..=at], &proof[at..]].concat()];
            // One bit of the byte, and the bit that changes its case. At the end of a segment, where some
            // bits are unused, every letter.
            let mut bytes = vec![proof[at] ^ 1 << (at % 8), proof[at] ^ 0x20];
            if [None, Some(&b'.')].contains(&proof.get(at + 1)) {
                bytes.extend(
                    (b'-'..=b'z').filter(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)),
                );
            }
            for byte in bytes {
                let mut other = proof.clone();
                other[at] = byte;
                changes.push(other);
            }
            for changed in changes.iter().filter(|changed| **changed != proof) {
                match check_bytes(changed, Some(TOKEN), &jkt) {
                    Ok(_) => panic!("byte {at} of {end} was changed: {}", String::from_utf8_lossy(changed)),
                    Err(reason) => reached += usize::from(reason == Reason::Signature),
                }
            }
        }
        // Some of the changes got as far as the signature.
        assert!(reached > 5, "{reached}");
        assert!(check_bytes(&proof, Some(TOKEN), &jkt).is_ok());
    }
}

/// Header, claims and signature of two valid proofs, of one key or of two.
#[test]
fn b_01_parts_of_two_proofs_cannot_be_combined() {
    let made = |jwk: &str| {
        let key = KeyPair::from_jwk(jwk).unwrap();
        let proof = Proof::new(&http::Method::GET, URL).unwrap().sign(&key, now()).unwrap();
        (proof, key.to_public().thumbprint())
    };
    let other = KeyPair::generate(Algorithm::Ed25519).unwrap().to_jwk();
    let proofs: Vec<_> = [ED25519, ED25519, &other, ES256].map(made).into();
    for (a, jkt_a) in &proofs {
        for (b, jkt_b) in &proofs {
            let (a, b): (Vec<_>, Vec<_>) = (a.split('.').collect(), b.split('.').collect());
            for mixed in [[a[0], a[1], b[2]], [a[0], b[1], a[2]], [b[0], a[1], a[2]]] {
                let seen = check_bytes(mixed.join(".").as_bytes(), None, jkt_a);
                match a == b || mixed == [a[0], a[1], a[2]] {
                    true => assert!(seen.is_ok()),
                    false => assert_eq!(seen.unwrap_err(), Reason::Signature, "{jkt_a} {jkt_b}"),
                }
            }
        }
    }
}
