//! Import and export.

use possession::{Algorithm, ErrorKind, KeyPair, PublicKey, Signer};

use super::super::{
    ALL, P384_D, P384_X, P384_Y, from_file, numbers_of, openssl, p384_der, p384_jwk, p384_public_jwk, pkcs1,
    pkcs1_of, pkcs8_rsa, rsa_jwk, rsa_public_jwk,
};
use super::{RSA, RSA_ALGORITHMS, assert_signs, every_import};
use crate::encoding::{assert_refused, der_of, point, with};

/// The export equals what OpenSSL wrote, so OpenSSL reads it.
#[test]
fn rsa_keys_are_read_in_every_encoding_and_exported_as_openssl_writes_them() {
    for (text, bits) in RSA {
        let numbers = numbers_of(text);
        let [n, e, ..] = &numbers;
        let (der1, jwk) = (pkcs1(&numbers), rsa_jwk(&numbers));
        assert_eq!((n.len() * 8, n[0] >> 7, der1 == pkcs1_of(text)), (bits, 1, true));
        assert_eq!(pkcs8_rsa(&der1), der_of(text));
        let public = PublicKey::from_jwk(&rsa_public_jwk(n, e)).unwrap();
        for (what, key) in every_import(&der1, &jwk) {
            let key = key.unwrap_or_else(|error| panic!("{what} of {bits} bits: {error}"));
            assert_eq!(key.to_public(), public, "{what}");
            assert_eq!(key.algorithm(), Algorithm::Rs256, "{what}");
            assert_eq!((key.key_id(), key.algorithm_name()), (None, None), "{what}");
            assert_eq!(*key.to_pkcs8_der().unwrap(), der_of(text), "{what}");
            assert_eq!(*key.to_pkcs8_pem().unwrap(), text, "{what}");
            assert_eq!(*key.to_jwk(), jwk, "{what}");
            assert_eq!(key.sign(b"").unwrap().len(), bits / 8, "{what}");
            assert_signs(&key, &public);
        }
    }
}

#[test]
fn p384_keys_are_read_in_every_encoding_and_exported_as_openssl_writes_them() {
    let der = der_of(openssl::P384);
    let jwk = p384_jwk(P384_X, P384_Y, P384_D);
    let public = PublicKey::from_jwk(&p384_public_jwk(P384_X, P384_Y)).unwrap();
    let mine = point(P384_X, P384_Y);
    assert_eq!(p384_der(P384_D, Some(&mine), None), der);
    for (what, key) in [
        ("PKCS#8 DER", KeyPair::from_pkcs8_der(&der)),
        ("PKCS#8 PEM", KeyPair::from_pkcs8_pem(openssl::P384)),
        ("JWK", KeyPair::from_jwk(&jwk)),
        (
            "with its public key next to it as well",
            KeyPair::from_pkcs8_der(&p384_der(P384_D, Some(&mine), Some(&mine))),
        ),
        ("file of DER", from_file("p384-der", &der)),
        ("file of PEM", from_file("p384-pem", openssl::P384.as_bytes())),
        ("file of a JWK", from_file("p384-jwk", jwk.as_bytes())),
    ] {
        let key = key.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(key.to_public(), public, "{what}");
        assert_eq!((key.algorithm(), key.algorithm_name()), (Algorithm::Es384, None), "{what}");
        assert_eq!(*key.to_pkcs8_der().unwrap(), der, "{what}");
        assert_eq!(*key.to_pkcs8_pem().unwrap(), openssl::P384, "{what}");
        assert_eq!(*key.to_jwk(), jwk, "{what}");
        assert_eq!(key.sign(b"").unwrap().len(), 96, "{what}");
        assert_signs(&key, &public);
    }
    let (made, other) =
        (KeyPair::generate(Algorithm::Es384).unwrap(), KeyPair::generate(Algorithm::Es384).unwrap());
    assert_ne!(made.to_public(), other.to_public(), "two generated keys are equal");
    for again in [
        KeyPair::from_pkcs8_der(&made.to_pkcs8_der().unwrap()).unwrap(),
        KeyPair::from_pkcs8_pem(&made.to_pkcs8_pem().unwrap()).unwrap(),
        KeyPair::from_jwk(&made.to_jwk()).unwrap(),
    ] {
        assert_eq!(*again.to_jwk(), *made.to_jwk());
        assert_signs(&again, &made.to_public());
    }
}

/// The scalar 3 is zero except for its last byte. The point is by Python's `cryptography`.
#[test]
fn c_50_leading_zeros_of_p384_are_kept() {
    let d = format!("{:096x}", 3);
    let x =
        "077a41d4606ffa1464793c7e5fdc7d98cb9d3910202dcd06bea4f240d3566da6b408bbae5026580d02d7e5c70500c831";
    let y =
        "c995f7ca0b0c42837d0bbe9602a9fc998520b41c85115aa5f7684c0edc111eacc24abd6be4b5d298b65f28600a2f1df1";
    let key = KeyPair::from_jwk(&p384_jwk(x, y, &d)).unwrap();
    assert_eq!(*key.to_jwk(), p384_jwk(x, y, &d));
    assert_eq!(*key.to_pkcs8_der().unwrap(), p384_der(&d, Some(&point(x, y)), None));
    assert_signs(&key, &PublicKey::from_jwk(&p384_public_jwk(x, y)).unwrap());
}

/// RFC 7517 §4.4 and §4.5: `alg` chooses among the algorithms of an RSA key.
#[test]
fn alg_and_kid_of_a_jwk_stay_with_the_key() {
    let rsa = rsa_jwk(&numbers_of(openssl::RSA_2048));
    let p384 = p384_jwk(P384_X, P384_Y, P384_D);
    for algorithm in ALL {
        let jwk = if algorithm == Algorithm::Es384 { &p384 } else { &rsa };
        let jwk = with(jwk, &format!(r#""kid":"k \"1\"","alg":"{algorithm}""#));
        let key = KeyPair::from_jwk(&jwk).unwrap();
        assert_eq!((key.algorithm(), key.algorithm_name()), (algorithm, Some(algorithm.name())));
        assert_eq!(key.key_id(), Some(r#"k "1""#));
        assert_eq!(*key.to_jwk(), jwk);
        assert_signs(&key, &key.to_public());
        // PKCS#8 holds neither, so the algorithm is the default again.
        let again = KeyPair::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap();
        assert_eq!((again.key_id(), again.to_public()), (None, key.to_public()));
        assert_eq!(
            *again.to_jwk(),
            *KeyPair::from_jwk(if algorithm == Algorithm::Es384 { &p384 } else { &rsa }).unwrap().to_jwk()
        );
    }
    for (jwk, kind, algs) in [
        (&rsa, "RSA", "ES256 ES384 EdDSA ML-DSA-44 HS256 none RS1 RSA-OAEP rs256 RS2560"),
        (&p384, "P-384", "ES256 ES512 RS256 PS384 EdDSA HS384 none ECDH-ES es384"),
    ] {
        for alg in algs.split(' ') {
            let jwk = with(jwk, &format!(r#""alg":"{alg}""#));
            assert_refused(KeyPair::from_jwk(&jwk), &ErrorKind::Algorithm, &[alg, kind], alg);
        }
        for (members, word) in
            [(r#""alg":1"#, "`alg`"), (r#""alg":["RS256"]"#, "`alg`"), (r#""kid":1"#, "`kid`")]
        {
            assert_refused(KeyPair::from_jwk(&with(jwk, members)), &ErrorKind::Key, &[word], members);
        }
    }
}

#[test]
fn with_algorithm_accepts_the_algorithms_of_the_key_and_no_others() {
    let rsa = with(&rsa_jwk(&numbers_of(openssl::RSA_2048)), r#""kid":"k","alg":"RS512""#);
    for algorithm in RSA_ALGORITHMS {
        let key = KeyPair::from_jwk(&rsa).unwrap().with_algorithm(*algorithm).unwrap();
        assert_eq!((key.algorithm(), key.algorithm_name()), (*algorithm, Some(algorithm.name())));
        assert_eq!(key.key_id(), Some("k"));
        assert!(key.to_jwk().ends_with(&format!(r#","kid":"k","alg":"{algorithm}"}}"#)));
        assert_signs(&key, &key.to_public());
    }
    let p384 = || KeyPair::from_pkcs8_pem(openssl::P384).unwrap();
    assert_eq!(p384().with_algorithm(Algorithm::Es384).unwrap().algorithm(), Algorithm::Es384);
    for (key, kind, algorithms) in [
        (
            &(|| KeyPair::from_jwk(&rsa).unwrap()) as &dyn Fn() -> KeyPair,
            "RSA",
            "ES256 ES384 ES512 EdDSA ML-DSA-65",
        ),
        (&p384, "P-384", "ES256 ES512 EdDSA RS256 PS384"),
        (&|| KeyPair::generate(Algorithm::Es256).unwrap(), "P-256", "ES384 RS256"),
        (&|| KeyPair::generate(Algorithm::Ed25519).unwrap(), "Ed25519", "ES256 PS512"),
    ] {
        for name in algorithms.split(' ') {
            let algorithm = Algorithm::from_name(name).unwrap();
            assert_refused(key().with_algorithm(algorithm), &ErrorKind::Algorithm, &[name, kind], name);
        }
    }
}
