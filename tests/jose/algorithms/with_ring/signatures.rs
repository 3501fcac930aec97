//! Signatures.

use possession::{Algorithm, ErrorKind, KeyPair, PublicKey, Signer};

use super::super::{ALL, P384_X, P384_Y, openssl, p384_public_jwk, rfc};
use super::{RSA, key};
use crate::encoding::{assert_refused, b64u, hex};

/// RFC 7515 A.2 and RFC 7520 §4.1: PKCS#1 v1.5 is deterministic, so the signatures are equal.
#[test]
fn rs256_gives_the_signatures_of_the_rfcs() {
    for (jwk, jws) in [rfc::RFC_7515_A2, rfc::RFC_7520_4_1] {
        let key = KeyPair::from_jwk(jwk).unwrap();
        let (signed, signature) = jws.rsplit_once('.').unwrap();
        assert_eq!(b64u(&key.sign(signed.as_bytes()).unwrap()), signature);
        assert_eq!(b64u(&key.to_public().verify_jws(jws).unwrap()), signed.split_once('.').unwrap().1);
    }
}

/// Salt and nonce are random, so two signatures by PSS or ECDSA differ and two by PKCS#1 v1.5 do not (RFC
/// 8017 §8).
///
/// Checked once by hand: `openssl dgst -verify` said "Verified OK" of signatures by PS256, PS384 and PS512
/// (with `rsa_pss_saltlen` of the hash), RS512 and, as DER, ES384. Python's `cryptography` 50.0.2 accepted
/// those by PS256, RS512 and ES384.
#[test]
fn a_signature_verifies_for_its_message_and_algorithm_only() {
    let message = b"eyJhbGciOiJub25lIn0.e30";
    for (text, _) in RSA.into_iter().chain([(openssl::P384, 384)]) {
        for algorithm in ALL {
            let Ok(key) = KeyPair::from_pkcs8_pem(text).unwrap().with_algorithm(algorithm) else { continue };
            let public = key.to_public();
            let (one, two) = (key.sign(message).unwrap(), key.sign(message).unwrap());
            let deterministic = algorithm.name().starts_with("RS");
            assert_eq!(one == two, deterministic, "{algorithm}");
            for signature in [&one, &two] {
                public.verify(algorithm, message, signature).unwrap();
            }
            for other in ALL.into_iter().filter(|other| *other != algorithm) {
                let fits = (other == Algorithm::Es384) == (algorithm == Algorithm::Es384);
                let kind = if fits { ErrorKind::Malformed } else { ErrorKind::Algorithm };
                let words =
                    if fits { vec!["signature verification failed"] } else { vec![other.name(), "fit"] };
                assert_refused(
                    public.verify(other, message, &one),
                    &kind,
                    &words,
                    &format!("{algorithm} as {other}"),
                );
            }
            let refuse = |what: &str, message: &[u8], signature: &[u8]| {
                let what = format!("{algorithm}: {what}");
                assert_refused(
                    public.verify(algorithm, message, signature),
                    &ErrorKind::Malformed,
                    &["signature verification failed"],
                    &what,
                );
            };
            refuse("no message", b"", &one);
            refuse("another message", b"eyJhbGciOiJub25lIn0.e31", &one);
            refuse("a longer message", &[message.as_slice(), b"0"].concat(), &one);
            for at in [0, 1, one.len() / 2, one.len() - 1] {
                let mut altered = one.clone();
                altered[at] ^= 1;
                refuse("an altered byte", message, &altered);
            }
            refuse("one byte short", message, &one[..one.len() - 1]);
            refuse("one byte long", message, &[one.as_slice(), &[0]].concat());
            refuse("a zero before it", message, &[&[0], one.as_slice()].concat());
            refuse("no signature", message, b"");
            refuse("zeros", message, &vec![0; one.len()]);
            refuse("ones", message, &vec![0xff; one.len()]);
        }
    }
    // With another key of the same kind.
    let (one, other) = (key(Algorithm::Ps256), KeyPair::from_jwk(rfc::RFC_7515_A2.0).unwrap());
    let signature = one.sign(message).unwrap();
    assert_refused(
        other.to_public().verify(Algorithm::Ps256, message, &signature),
        &ErrorKind::Malformed,
        &["signature verification failed"],
        "another key",
    );
}

/// A P-384 key is read by its form, and its point is checked with the signature.
#[test]
fn no_signature_verifies_under_a_p384_point_off_the_curve() {
    let signature = key(Algorithm::Es384).sign(b"message").unwrap();
    let mut y = hex(P384_Y);
    *y.last_mut().unwrap() ^= 1;
    let p =
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff";
    let zero = "00".repeat(48);
    let y: String = y.iter().map(|byte| format!("{byte:02x}")).collect();
    for (x, y) in [
        (P384_X, y.as_str()),
        (P384_Y, P384_X),
        (&zero, &zero),
        (p, P384_Y),
        (&"ff".repeat(48), &"ff".repeat(48)),
    ] {
        let public = PublicKey::from_jwk(&p384_public_jwk(x, y)).unwrap();
        for signature in [signature.clone(), vec![0; 96], vec![1; 96]] {
            assert_refused(
                public.verify(Algorithm::Es384, b"message", &signature),
                &ErrorKind::Malformed,
                &["signature verification failed"],
                x,
            );
        }
    }
}

/// A JWS whose `alg` is not the one it was signed with does not verify.
#[test]
fn a_jws_is_verified_with_the_algorithm_in_its_header() {
    for algorithm in ALL {
        let key = key(algorithm);
        for alg in ALL {
            let header = format!(r#"{{"alg":"{alg}"}}"#);
            let signed = format!("{}.{}", b64u(header.as_bytes()), b64u(b"payload"));
            let jws = format!("{signed}.{}", b64u(&key.sign(signed.as_bytes()).unwrap()));
            let seen = key.to_public().verify_jws(&jws);
            match (alg == algorithm, (alg == Algorithm::Es384) == (algorithm == Algorithm::Es384)) {
                (true, _) => assert_eq!(seen.unwrap(), b"payload"),
                (_, true) => assert_refused(
                    seen,
                    &ErrorKind::Malformed,
                    &["signature verification failed"],
                    alg.name(),
                ),
                (_, false) => assert_refused(seen, &ErrorKind::Algorithm, &[alg.name()], alg.name()),
            }
        }
    }
}
