//! Import and export.

use possession::{Algorithm, ErrorKind, KeyPair, PublicKey, Signer};

use super::super::{
    ALL, P384_D, P384_X, P384_Y, element, from_file, numbers_of, openssl, p384_der, p384_jwk,
    p384_public_jwk, pkcs1, pkcs1_of, pkcs8_rsa, rsa_jwk, rsa_public_jwk,
};
use super::{RSA, RSA_ALGORITHMS, assert_signs, every_import};
use crate::encoding::{assert_refused, b64u, der_of, point, with};

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

/// Some libraries publish keys so. The expected numbers are those that OpenSSL wrote, with the larger
/// prime first.
#[test]
fn an_rsa_jwk_with_only_n_e_and_d_is_completed() {
    let only = |names: &[&str], jwk: &str| {
        let mut members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(jwk).unwrap();
        members.retain(|name, _| names.contains(&name.as_str()));
        serde_json::Value::Object(members).to_string()
    };
    for (text, bits) in RSA {
        let numbers = numbers_of(text);
        let jwk = only(&["kty", "n", "e", "d"], &rsa_jwk(&numbers));
        let key = KeyPair::from_jwk(&with(&jwk, r#""kid":"k","alg":"PS256""#)).unwrap();
        assert_eq!((key.key_id(), key.algorithm()), (Some("k"), Algorithm::Ps256));
        assert_signs(&key, &PublicKey::from_jwk(&rsa_public_jwk(&numbers[0], &numbers[1])).unwrap());
        let [n, e, d, p, q, dp, dq, qi] = numbers;
        let completed = numbers_of(&key.to_pkcs8_pem().unwrap());
        match p > q {
            true => assert_eq!(completed, [n, e, d, p, q, dp, dq, qi], "{bits}"),
            // The coefficient belongs to the order of the primes. ring has checked it.
            false => assert_eq!(completed[..7], [n, e, d, q, p, dq, dp], "{bits}"),
        }
        // Empty members are as good as absent ones.
        let dotnet = with(&jwk, r#""p":null,"q":null,"dp":null,"dq":null,"qi":null,"oth":[]"#);
        assert_eq!(KeyPair::from_jwk(&dotnet).unwrap().to_public(), key.to_public());
    }

    // RFC 8017 §3.2 allows more than one d. This one is the inverse of e modulo (p - 1)(q - 1), by
    // Python's `pow`; OpenSSL takes the least common multiple of the two factors.
    let numbers = numbers_of(openssl::RSA_2048);
    let [n, e, d, ..] = &numbers;
    let other_d = "K1gAYzCWGn2LwIYpakhE9itbH1pHNwS586eftnWTnZNgNg-rhuVM6-fFz7E0sQjRhzvafiQtDFvqywFDwDiwTlPztFbPLW66D-Okixk77TIbtpuwzklzX-n-L-Zpa8NSLppAwa2kOkf_ce7d31Qdfqt076hjTueedHayW8-7liMofvkwWqzDk-irGtYvwxalLFhUxxXxnw_7hoqIwr-p6FaBNV54saTYvJGNtEF3qZMI0oViP6R6-VeNW7u23eOmq_Zaaz1u4amvA7oOc6SK9mxBkqZxxYiM05A9kMqN1_pBKxrWd7KeGbzcTFA5iHGgxUxV4Gd8QBvTs5ZoIcC1kQ";
    let key = |n: &[u8], e: &[u8], d: &str| {
        KeyPair::from_jwk(&with(&rsa_public_jwk(n, e), &format!(r#""d":"{d}""#)))
    };
    let completed = key(n, e, other_d).unwrap();
    assert_ne!(b64u(d), other_d);
    assert_signs(&completed, &PublicKey::from_jwk(&rsa_public_jwk(n, e)).unwrap());
    let [_, _, _, ref p, ref q, ..] = numbers_of(&completed.to_pkcs8_pem().unwrap());
    assert_eq!([p, q].into_iter().max(), numbers[3..5].iter().max());

    // Numbers that are not those of one key. None of them panics, and none is accepted.
    let foreign = numbers_of(openssl::RSA_3072);
    let three_primes = {
        let der = pkcs1_of(openssl::RSA_THREE_PRIMES);
        let (_version, mut rest) = element(element(&der).0);
        [(); 3].map(|()| {
            let (number, after) = element(rest);
            rest = after;
            number.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<u8>>()
        })
    };
    let mut off = d.clone();
    *off.last_mut().unwrap() ^= 2;
    let minus_one = [&d[..d.len() - 1], &[d[d.len() - 1] - 1]].concat();
    for (what, n, e, d) in [
        ("another last byte", n, e, &off),
        ("one less", n, e, &minus_one),
        ("0", n, e, &vec![0]),
        ("1", n, e, &vec![1]),
        ("n", n, e, n),
        ("512 bytes", n, e, &vec![0xff; 512]),
        ("513 bytes", n, e, &vec![0xff; 513]),
        ("of another key", n, e, &foreign[2]),
        ("for another e", n, &vec![1, 0, 3], d),
        ("of three primes", &three_primes[0], &three_primes[1], &three_primes[2]),
        ("of a prime n", &vec![0xff; 512], e, d),
    ] {
        assert_refused(key(n, e, &b64u(d)), &ErrorKind::Key, &["`n`, `e` and `d`"], what);
    }
    // Some of the members, but not all: one of them may have been lost (RFC 7518 §6.3.2).
    for name in ["p", "q", "dp", "dq", "qi"] {
        let jwk = only(&["kty", "n", "e", "d", name], &rsa_jwk(&numbers));
        assert_refused(KeyPair::from_jwk(&jwk), &ErrorKind::Key, &["missing", "all of", "none"], name);
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
