//! With the feature `ring`: keys, signatures, proofs, tokens and assertions.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::Encoding;
use possession::server::{
    JwtValidator, MemoryReplayStore, Reason, ReceivedRequest, TokenError, TokenValidator, Verifier,
};
use possession::{
    Algorithm, AssertionOptions, AuthorizationServer, Client, ClientAuth, ErrorKind, KeyPair, Parameters,
    Proof, Prover, PublicKey, RequestOptions, ServerRole, Signer, TokenRequest,
};
use serde_json::{Value, json};

use super::common::assert_whole;
use super::*;

/// PKCS#8 by OpenSSL, with its size.
const RSA: [(&str, usize); 3] =
    [(openssl::RSA_2048, 2048), (openssl::RSA_3072, 3072), (openssl::RSA_4096, 4096)];
const RSA_ALGORITHMS: &[Algorithm] = ALL.split_at(6).0;
/// FIPS 186-4 §D.1.2.4: the order of P-384 and its base point, which is the public key of 1.
const P384_N: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
    581a0db248b0a77aecec196accc52973";
const P384_G_X: &str = "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a38\
    5502f25dbf55296c3a545e3872760ab7";
const P384_G_Y: &str = "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c0\
    0a60b1ce1d7e819d7a431d7c90ea0e5f";

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

/// By every function that takes PKCS#8, PKCS#1 or a JWK, and by a file of each.
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

fn signs(key: &KeyPair, public: &PublicKey) {
    let signature = key.sign(b"message").unwrap();
    public.verify(key.algorithm(), b"message", &signature).unwrap();
    public.verify(key.algorithm(), b"messagf", &signature).unwrap_err();
}

// ------------------------------------------------------------------------------------------------- import and export

/// What goes out is to the byte what OpenSSL wrote, so that OpenSSL reads it.
#[test]
fn rsa_keys_in_every_encoding() {
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
            signs(&key, &public);
        }
    }
}

#[test]
fn p384_keys_in_every_encoding() {
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
            "with its public key beside as well",
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
        signs(&key, &public);
    }
    let (made, other) =
        (KeyPair::generate(Algorithm::Es384).unwrap(), KeyPair::generate(Algorithm::Es384).unwrap());
    assert_ne!(made.to_public(), other.to_public(), "two keys are one: no randomness");
    for again in [
        KeyPair::from_pkcs8_der(&made.to_pkcs8_der().unwrap()).unwrap(),
        KeyPair::from_pkcs8_pem(&made.to_pkcs8_pem().unwrap()).unwrap(),
        KeyPair::from_jwk(&made.to_jwk()).unwrap(),
    ] {
        assert_eq!(*again.to_jwk(), *made.to_jwk());
        signs(&again, &made.to_public());
    }
}

/// C-50, with the scalar 3: all but its last byte are zero, and none is left out. The point by Python's `cryptography`.
#[test]
fn c50_leading_zeros_of_p384_are_kept() {
    let d = format!("{:096x}", 3);
    let x =
        "077a41d4606ffa1464793c7e5fdc7d98cb9d3910202dcd06bea4f240d3566da6b408bbae5026580d02d7e5c70500c831";
    let y =
        "c995f7ca0b0c42837d0bbe9602a9fc998520b41c85115aa5f7684c0edc111eacc24abd6be4b5d298b65f28600a2f1df1";
    let key = KeyPair::from_jwk(&p384_jwk(x, y, &d)).unwrap();
    assert_eq!(*key.to_jwk(), p384_jwk(x, y, &d));
    assert_eq!(*key.to_pkcs8_der().unwrap(), p384_der(&d, Some(&point(x, y)), None));
    signs(&key, &PublicKey::from_jwk(&p384_public_jwk(x, y)).unwrap());
}

/// RFC 7517 §4.4, §4.5: `alg` chooses among the algorithms of an RSA key, and stays with the key as `kid` does.
#[test]
fn alg_and_kid_of_a_jwk() {
    let rsa = rsa_jwk(&numbers_of(openssl::RSA_2048));
    let p384 = p384_jwk(P384_X, P384_Y, P384_D);
    for algorithm in ALL {
        let jwk = if algorithm == Algorithm::Es384 { &p384 } else { &rsa };
        let jwk = with(jwk, &format!(r#""kid":"k \"1\"","alg":"{algorithm}""#));
        let key = KeyPair::from_jwk(&jwk).unwrap();
        assert_eq!((key.algorithm(), key.algorithm_name()), (algorithm, Some(algorithm.name())));
        assert_eq!(key.key_id(), Some(r#"k "1""#));
        assert_eq!(*key.to_jwk(), jwk);
        signs(&key, &key.to_public());
        // PKCS#8 has room for neither, so what the key signs with is told anew.
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
fn another_algorithm_for_the_same_key() {
    let rsa = with(&rsa_jwk(&numbers_of(openssl::RSA_2048)), r#""kid":"k","alg":"RS512""#);
    for algorithm in RSA_ALGORITHMS {
        let key = KeyPair::from_jwk(&rsa).unwrap().with_algorithm(*algorithm).unwrap();
        assert_eq!((key.algorithm(), key.algorithm_name()), (*algorithm, Some(algorithm.name())));
        assert_eq!(key.key_id(), Some("k"));
        assert!(key.to_jwk().ends_with(&format!(r#","kid":"k","alg":"{algorithm}"}}"#)));
        signs(&key, &key.to_public());
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

// ------------------------------------------------------------------------------------------------------ what is refused

/// Sizes and exponents that ring does not sign with are said to be the reason, with those it does.
#[test]
fn c56_rsa_keys_not_to_sign_with() {
    let sizes = ["2048", "3072", "4096"];
    let numbers = numbers_of(openssl::RSA_1024);
    for (what, key) in every_import(&pkcs1(&numbers), &rsa_jwk(&numbers)) {
        assert_refused(key, &ErrorKind::Key, &["1024 bits", "2048"], what);
    }
    // The size is looked at first, so these need not be numbers of a key.
    let mut huge = numbers.clone();
    huge[0] = vec![0xff; 1024];
    for (what, key) in every_import(&pkcs1(&huge), &rsa_jwk(&huge)) {
        assert_refused(key, &ErrorKind::Key, &["8192 bits", "4096"], what);
    }
    let numbers = numbers_of(openssl::RSA_2560);
    for (what, key) in every_import(&pkcs1(&numbers), &rsa_jwk(&numbers)) {
        assert_refused(key, &ErrorKind::Key, &sizes, what);
    }
    let numbers = numbers_of(openssl::RSA_EXPONENT_3);
    assert_eq!(numbers[1], [3]);
    for (what, key) in every_import(&pkcs1(&numbers), &rsa_jwk(&numbers)) {
        assert_refused(key, &ErrorKind::Key, &["exponent", "65537"], what);
    }
}

/// RFC 8017 §3.2: a key of three primes has version 1 and more numbers.
#[test]
fn c56_rsa_keys_of_more_primes() {
    let der = pkcs1_of(openssl::RSA_THREE_PRIMES);
    assert_eq!(element(element(&der).0).0, [1], "version");
    assert_refused(KeyPair::from_pkcs1_der(&der), &ErrorKind::Key, &["two primes"], "PKCS#1");
    assert_refused(
        KeyPair::from_pkcs8_pem(openssl::RSA_THREE_PRIMES),
        &ErrorKind::Key,
        &["two primes"],
        "PKCS#8",
    );
    from_file("three-primes", &der).unwrap_err();
    let good = rsa_jwk(&numbers_of(openssl::RSA_2048));
    for oth in [r#""oth":[{"r":"AA","d":"AA","t":"AA"}]"#, r#""oth":[]"#, r#""oth":null"#] {
        assert_refused(KeyPair::from_jwk(&with(&good, oth)), &ErrorKind::Key, &["`oth`", "two primes"], oth);
    }
    // Version 1 and no more primes, version 0 and more of them.
    let numbers: Vec<u8> = numbers_of(openssl::RSA_2048).iter().flat_map(|number| integer(number)).collect();
    let prime = tlv(0x30, &tlv(0x30, &[integer(&[3]), integer(&[3]), integer(&[3])].concat()));
    for der in [
        tlv(0x30, &[tlv(2, &[1]), numbers.clone()].concat()),
        tlv(0x30, &[tlv(2, &[0]), numbers, prime].concat()),
    ] {
        assert_refused(KeyPair::from_pkcs1_der(&der), &ErrorKind::Key, &["RSAPrivateKey"], "version");
        assert_refused(
            KeyPair::from_pkcs8_der(&pkcs8_rsa(&der)),
            &ErrorKind::Key,
            &["RSAPrivateKey"],
            "version",
        );
    }
}

/// RFC 7518 §6.3.2: without the primes the key cannot be used here, and the error names what is missing.
#[test]
fn c56_rsa_jwks_without_a_member() {
    let numbers = numbers_of(openssl::RSA_2048);
    for name in NAMES {
        let members: serde_json::Map<String, Value> = serde_json::from_str(&rsa_jwk(&numbers)).unwrap();
        for (value, words) in [
            (None, vec![format!("`{name}`")]),
            (Some(json!(null)), vec![format!("`{name}`")]),
            (Some(json!(7)), vec![format!("`{name}`")]),
            (Some(json!("A=")), vec![format!("`{name}`"), "base64url".to_owned()]),
        ] {
            let mut members = members.clone();
            members.remove(name);
            members.extend(value.map(|value| (name.to_owned(), value)));
            let jwk = Value::Object(members).to_string();
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            assert_refused(KeyPair::from_jwk(&jwk), &ErrorKind::Key, &words, &jwk);
        }
    }
}

/// C-55: each number altered, and numbers in each other's place, `d` as well, which ring never uses: it signs by the Chinese
/// remainder theorem (RFC 8017 §5.1.2, step 2.b).
#[test]
fn c55_rsa_numbers_must_belong_together() {
    let good = numbers_of(openssl::RSA_2048);
    let mut altered = Vec::new();
    for (at, name) in NAMES.iter().enumerate() {
        let mut change = |what: &str, change: &dyn Fn(&mut Vec<u8>)| {
            let mut numbers = good.clone();
            change(&mut numbers[at]);
            assert_ne!(numbers, good);
            altered.push((format!("{name} {what}"), numbers));
        };
        change("with another end, and as odd", &|number| *number.last_mut().unwrap() ^= 2);
        change("one more or less", &|number| *number.last_mut().unwrap() ^= 1);
        change("with another byte", &|number| {
            let middle = number.len() / 2;
            number[middle] ^= 0x10;
        });
        change("one byte short", &|number| number.truncate(number.len() - 1));
        change("one byte long", &|number| number.push(1));
        change("of 1", &|number| *number = vec![1]);
        change("of 0", &|number| *number = vec![0]);
        let other = numbers_of(openssl::RSA_EXPONENT_3)[at].clone();
        change("of another key", &|number| number.clone_from(&other));
    }
    for (a, b) in [("p", "q"), ("dp", "dq"), ("p", "dp"), ("q", "qi"), ("d", "n"), ("dq", "d")] {
        let place = |name| NAMES.iter().position(|other| *other == name).unwrap();
        let mut numbers = good.clone();
        numbers.swap(place(a), place(b));
        altered.push((format!("{a} and {b} swapped"), numbers));
    }
    let mut taken = Vec::new();
    for (what, numbers) in altered {
        for (by, key) in every_import(&pkcs1(&numbers), &rsa_jwk(&numbers)) {
            match key {
                Ok(_) => taken.push(format!("{what}, by {by}")),
                Err(error) => assert_eq!(error.kind(), &ErrorKind::Key, "{what}, by {by}: {error}"),
            }
        }
    }
    assert!(taken.is_empty(), "{taken:#?}");
}

/// C-56. The error names what to do.
#[test]
fn c56_other_rsa_containers() {
    let (key, algorithm) = (ErrorKind::Key, ErrorKind::Algorithm);
    let der = der_of(openssl::RSA_2048);
    let der1 = pkcs1_of(openssl::RSA_2048);
    let text1 = pem("RSA PRIVATE KEY", &der1);
    let encrypted = openssl::RSA_ENCRYPTED;
    assert!(encrypted.contains("Proc-Type"));
    assert_refused(
        KeyPair::from_pkcs8_pem(openssl::RSA_PSS),
        &algorithm,
        &["PSS", "openssl genpkey -algorithm RSA"],
        "PSS",
    );
    assert_refused(KeyPair::from_pkcs8_der(&der_of(openssl::RSA_PSS)), &algorithm, &["PSS"], "PSS");
    let words = ["encrypted", "openssl pkey -in"];
    assert_refused(KeyPair::from_pkcs1_pem(encrypted), &key, &words, "encrypted");
    assert_refused(from_file("encrypted", encrypted.as_bytes()), &key, &words, "encrypted");
    let words = ["PKCS#1", "from_pkcs1_pem"];
    assert_refused(KeyPair::from_pkcs8_pem(encrypted), &key, &words, "encrypted");
    assert_refused(KeyPair::from_pkcs8_pem(&text1), &key, &words, "PKCS#1");
    assert_refused(KeyPair::from_pkcs1_pem(openssl::RSA_2048), &key, &["PKCS#8", "from_pkcs8_pem"], "PKCS#8");
    let pkcs8_encrypted = pem("ENCRYPTED PRIVATE KEY", &der);
    assert_refused(
        KeyPair::from_pkcs1_pem(&pkcs8_encrypted),
        &key,
        &["encrypted", "openssl"],
        "encrypted PKCS#8",
    );
    assert_refused(KeyPair::from_pkcs1_pem(openssl::RSA_2048_PUBLIC), &key, &["public", "private"], "public");
    assert_refused(
        KeyPair::from_pkcs1_pem(&rsa_jwk(&numbers_of(openssl::RSA_2048))),
        &key,
        &["from_jwk"],
        "JWK",
    );
    assert_refused(KeyPair::from_pkcs8_der(&der1), &key, &["PKCS#8"], "PKCS#1");
    assert_refused(KeyPair::from_pkcs1_der(&der), &key, &["RSAPrivateKey"], "PKCS#8");
    assert_refused(KeyPair::from_pkcs1_der(&der_of(openssl::P384)), &key, &["RSAPrivateKey"], "P-384");
    for bad in [format!("{text1}{text1}"), format!("{text1}{}", openssl::RSA_2048), format!("{text1}x")] {
        KeyPair::from_pkcs1_pem(&bad).unwrap_err();
    }
    assert_refused(KeyPair::from_pkcs1_der(&[0x30; 70_000]), &key, &["too long"], "long");

    // RFC 8017 A.1: NULL. RFC 5958 §2 admits a public key in version 2, which nobody writes for RSA.
    let parts = |version: u8, id: &str, more: &[u8]| {
        tlv(0x30, &[tlv(2, &[version]), tlv(0x30, &hex(id)), tlv(4, &der1), more.to_vec()].concat())
    };
    assert_eq!(parts(0, RSA_ENCRYPTION, &[]), der);
    for (what, der) in [
        ("without NULL", parts(0, "06092a864886f70d010101", &[])),
        ("an OID for NULL", parts(0, "06092a864886f70d01010106052b81040022", &[])),
        ("with a public key", parts(1, RSA_ENCRYPTION, &tlv(0x81, &[0, 1]))),
        ("version 2", parts(2, RSA_ENCRYPTION, &[])),
    ] {
        let error = KeyPair::from_pkcs8_der(&der).expect_err(what);
        assert!([&key, &algorithm].contains(&error.kind()), "{what}: {error}");
    }
}

/// C-56: every beginning of a key, and every key with something behind it, outside and inside.
#[test]
fn c56_truncated_and_trailing() {
    [openssl::RSA_2048, openssl::P384].into_iter().for_each(assert_whole);
    let der = pkcs1_of(openssl::RSA_2048);
    for end in 0..der.len() {
        assert_refused(KeyPair::from_pkcs1_der(&der[..end]), &ErrorKind::Key, &["PKCS#1"], "truncated");
        // What is around is whole.
        assert_refused(
            KeyPair::from_pkcs8_der(&pkcs8_rsa(&der[..end])),
            &ErrorKind::Key,
            &["PKCS#8"],
            "truncated",
        );
    }
    let longer = [der.as_slice(), &[0]].concat();
    assert_refused(KeyPair::from_pkcs1_der(&longer), &ErrorKind::Key, &["PKCS#1"], "longer");
    assert_refused(KeyPair::from_pkcs8_der(&pkcs8_rsa(&longer)), &ErrorKind::Key, &["PKCS#8"], "longer");
    let text = pem("RSA PRIVATE KEY", &der);
    for end in 0..text.trim_end().len() {
        assert_refused(KeyPair::from_pkcs1_pem(&text[..end]), &ErrorKind::Key, &["PEM"], "truncated");
    }
}

/// C-55, C-56: on P-384 the public key must be there, uncompressed, and the private key's own; 1 to n - 1 are scalars.
#[test]
fn p384_halves_must_belong_together() {
    let words = ["public key", "openssl ec"];
    for text in [openssl::P384_NO_PUBLIC, openssl::P384_COMPRESSED] {
        assert_refused(KeyPair::from_pkcs8_pem(text), &ErrorKind::Key, &words, text);
    }
    let (mine, g) = (point(P384_X, P384_Y), point(P384_G_X, P384_G_Y));
    let one = format!("{:096x}", 1);
    assert!(KeyPair::from_pkcs8_der(&p384_der(&one, Some(&g), None)).is_ok());
    assert!(KeyPair::from_jwk(&p384_jwk(P384_G_X, P384_G_Y, &one)).is_ok());
    let n_plus = |last: &str| format!("{}{last}", P384_N.strip_suffix("73").unwrap());
    let mut off = mine.clone();
    *off.last_mut().unwrap() ^= 1;
    for (what, d, inside, beside) in [
        ("beside alone", P384_D, None, Some(mine.as_slice())),
        ("another's inside", P384_D, Some(g.as_slice()), None),
        ("another's beside", P384_D, Some(&mine), Some(g.as_slice())),
        ("its own beside, another's inside", P384_D, Some(&g), Some(&mine)),
        ("off the curve", P384_D, Some(&off), None),
        ("infinity", P384_D, Some(&[0]), None),
        ("95 bytes", P384_D, Some(&mine[..96]), None),
        ("one byte more", P384_D, Some(&[mine.as_slice(), &[0]].concat()), None),
        ("zero", &"00".repeat(48), Some(&g), None),
        ("n", P384_N, Some(&g), None),
        // Taken modulo n it would be 1, whose public key this is.
        ("n + 1", &n_plus("74"), Some(&g), None),
        ("all ones", &"ff".repeat(48), Some(&g), None),
        ("47 bytes", &P384_D[2..], Some(&mine), None),
        ("49 bytes", &format!("00{P384_D}"), Some(&mine), None),
        ("no byte", "", Some(&mine), None),
    ] {
        let der = p384_der(d, inside, beside);
        assert_refused(KeyPair::from_pkcs8_der(&der), &ErrorKind::Key, &["PKCS#8"], what);
        if let (Some([4, point @ ..]), None) = (inside, beside) {
            let (x, y) = point.split_at(point.len().min(48));
            let jwk = format!(
                r#"{{"crv":"P-384","kty":"EC","x":"{}","y":"{}","d":"{}"}}"#,
                b64u(x),
                b64u(y),
                b64u(&hex(d))
            );
            assert_refused(KeyPair::from_jwk(&jwk), &ErrorKind::Key, &["private JWK"], what);
        }
    }
    // RFC 5915 §3 has a curve inside as well, and it is the one outside.
    let named = |oid: &str| {
        let parameters = tlv(0xa0, &hex(oid));
        let public = tlv(0xa1, &tlv(3, &[&[0], mine.as_slice()].concat()));
        let sec1 = tlv(0x30, &[tlv(2, &[1]), tlv(4, &hex(P384_D)), parameters, public].concat());
        tlv(0x30, &[tlv(2, &[0]), tlv(0x30, &hex(EC_P384)), tlv(4, &sec1)].concat())
    };
    assert!(KeyPair::from_pkcs8_der(&named("06052b81040022")).is_ok());
    for other in ["06082a8648ce3d030107", "06052b81040023"] {
        assert_refused(KeyPair::from_pkcs8_der(&named(other)), &ErrorKind::Key, &["two curves"], other);
    }
}

// ----------------------------------------------------------------------------------------------------------- signatures

/// RFC 7515 A.2 and RFC 7520 §4.1: PKCS#1 v1.5 is deterministic, so these very bytes come out.
#[test]
fn rs256_of_rfcs() {
    for (jwk, jws) in [rfc::RFC_7515_A2, rfc::RFC_7520_4_1] {
        let key = KeyPair::from_jwk(jwk).unwrap();
        let (signed, signature) = jws.rsplit_once('.').unwrap();
        assert_eq!(b64u(&key.sign(signed.as_bytes()).unwrap()), signature);
        assert_eq!(b64u(&key.to_public().verify_jws(jws).unwrap()), signed.split_once('.').unwrap().1);
    }
}

/// A signature holds for its message and its algorithm, and for no other. Salt and nonce are random, so two of PSS or ECDSA
/// differ and two of PKCS#1 v1.5 do not (RFC 8017 §8).
///
/// Once, by hand: `openssl dgst -verify` said "Verified OK" of signatures by PS256, PS384 and PS512 (with `rsa_pss_saltlen` of the
/// hash), RS512 and, as DER, ES384; Python's `cryptography` 50.0.2 took those by PS256, RS512 and ES384.
#[test]
fn signatures_hold_for_their_message_and_algorithm() {
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

/// A P-384 key is taken by its form, and its point looked at with the signature: off the curve none holds, also not the one
/// of the point it was made from.
#[test]
fn p384_points_off_the_curve() {
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

/// `alg` of a JWS is what is checked: one that lies about it does not hold.
#[test]
fn jws_of_each_algorithm() {
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

// ---------------------------------------------------------------------------------------------- proofs, tokens, clients

fn received(proof: &str) -> ReceivedRequest<'_> {
    ReceivedRequest::from_fields(&http::Method::GET, URL, vec![proof.as_bytes()]).unwrap()
}

/// RFC 9449 §4.3 check 5: accepted where the list has the algorithm, and only there; the default list has none of them.
#[test]
fn proofs_by_each_algorithm() {
    let memory = || Verifier::new(MemoryReplayStore::new(100));
    for algorithm in ALL {
        let key = Arc::new(key(algorithm));
        let prover = Prover::new(Arc::clone(&key)).unwrap();
        let proofs = [
            prover
                .prove(ServerRole::ResourceServer, Proof::new(&http::Method::GET, URL).unwrap(), now())
                .unwrap(),
            Proof::new(&http::Method::GET, URL).unwrap().sign(&key, now()).unwrap(),
        ];
        for proof in proofs {
            for verifier in [memory().algorithms([algorithm]), memory().algorithms(ALL)] {
                let seen = verifier.verify_token_request(&received(&proof), now()).unwrap();
                assert_eq!(seen.thumbprint(), key.public_key().thumbprint());
            }
            let others = ALL.into_iter().filter(|other| *other != algorithm);
            for verifier in [memory(), memory().algorithms(others), memory().algorithms([])] {
                let rejection = verifier.verify_token_request(&received(&proof), now()).unwrap_err();
                assert_eq!(rejection.reason(), &Reason::Algorithm { alg: algorithm.name().to_owned() });
            }
            // The signature of another proof.
            let other = Proof::new(&http::Method::GET, URL).unwrap().sign(&key, now()).unwrap();
            let mixed =
                format!("{}.{}", proof.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1);
            let rejection =
                memory().algorithms(ALL).verify_token_request(&received(&mixed), now()).unwrap_err();
            assert_eq!(rejection.reason(), &Reason::Signature, "{algorithm}");
        }
    }
    // What is accepted is what a challenge lists.
    let none = ReceivedRequest::from_fields(&http::Method::GET, URL, vec![]).unwrap();
    let jkt = key(Algorithm::Es384).public_key().thumbprint();
    let rejection =
        memory().algorithms(ALL).verify_resource_request(&none, "token", &jkt, now()).unwrap_err();
    let challenges = possession::Challenge::from_headers(rejection.to_response().headers()).unwrap();
    let algs: Vec<_> = challenges[0].params().iter().filter(|(name, _)| *name == "algs").collect();
    assert_eq!(algs[0].1, "RS256 RS384 RS512 PS256 PS384 PS512 ES384");
}

/// RFC 9068 §4: tokens of servers that sign with RSA or P-384, where the algorithm is accepted.
#[test]
fn tokens_by_each_algorithm() {
    let (issuer, audience) = ("https://as.example", "https://api.example");
    for algorithm in ALL {
        let key = key(algorithm);
        let mut jwk: Value = serde_json::from_str(key.public_key().to_jwk()).unwrap();
        jwk["kid"] = "k1".into();
        let encode = |value: &Value| b64u(value.to_string().as_bytes());
        let header = json!({"typ": "at+jwt", "alg": algorithm.name(), "kid": "k1"});
        let claims = json!({"iss": issuer, "aud": audience, "sub": "s", "client_id": "c", "jti": "j", "iat": NOW,
            "exp": NOW + 60, "cnf": {"jkt": key.public_key().thumbprint().to_string()}});
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = key.sign(signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", b64u(&signature));
        let of = |jwk: &Value| {
            JwtValidator::with_keys(issuer, audience, &json!({"keys": [jwk]}).to_string()).unwrap()
        };
        let seen = of(&jwk).algorithms([algorithm]).validate(&token, now()).unwrap();
        assert_eq!(seen.jkt(), Some(key.public_key().thumbprint()));
        // RFC 7517 §4.4: the key may say what it is for.
        jwk["alg"] = algorithm.name().into();
        assert!(of(&jwk).algorithms([algorithm]).validate(&token, now()).is_ok(), "{algorithm}");
        let other = if algorithm == Algorithm::Ps512 { Algorithm::Ps256 } else { Algorithm::Ps512 };
        // RFC 9068 §2.1: RS256 is supported by all.
        jwk.as_object_mut().unwrap().remove("alg");
        let refused = || Err(TokenError::Algorithm { alg: algorithm.name().to_owned() });
        match of(&jwk).validate(&token, now()) {
            Ok(seen) => assert_eq!((algorithm, seen.jkt().is_some()), (Algorithm::Rs256, true)),
            seen => assert_eq!((algorithm == Algorithm::Rs256, seen), (false, refused())),
        }
        assert_eq!(of(&jwk).algorithms([other]).validate(&token, now()), refused());
        jwk["alg"] = other.name().into();
        assert!(
            of(&jwk).algorithms(ALL).validate(&token, now()).is_err(),
            "{algorithm} by a key for {other}"
        );
        jwk.as_object_mut().unwrap().remove("alg");
        let mut altered = signature;
        altered[20] ^= 1;
        let altered = format!("{signed}.{}", b64u(&altered));
        assert_eq!(of(&jwk).algorithms([algorithm]).validate(&altered, now()), Err(TokenError::Signature));
    }
}

/// What a client sends at a server that lists these algorithms for assertions.
fn assertion(
    key: KeyPair,
    options: AssertionOptions,
    listed: Option<&[&str]>,
) -> Result<(Value, String), Error> {
    let server =
        AuthorizationServer::builder("https://as.example").token_endpoint("https://as.example/token");
    let server = match listed {
        Some(listed) => server.token_endpoint_auth_signing_alg_values_supported(listed.iter().copied()),
        None => server,
    };
    let auth = ClientAuth::private_key_jwt_with(key, options);
    let (server, client) = (server.build()?, Client::new("app")?);
    let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
    let options = RequestOptions::new().prover(&prover);
    let mut exchange =
        TokenRequest::client_credentials(&server, &client, &auth, Parameters::new(), &options)?;
    let request = exchange.request(now())?;
    let form: Vec<(String, String)> = form_urlencoded::parse(request.body()).into_owned().collect();
    let (_, jwt) = form.into_iter().find(|(name, _)| name == "client_assertion").unwrap();
    let header = base64ct::Base64UrlUnpadded::decode_vec(jwt.split('.').next().unwrap()).unwrap();
    Ok((serde_json::from_slice(&header).unwrap(), jwt))
}

/// RFC 7523 §3: the assertion is by the algorithm that the key says; the server's list decides only whether it may be sent.
#[test]
fn assertions_by_each_algorithm() {
    for algorithm in ALL {
        let lists = [None, Some(vec!["ES256", algorithm.name()]), Some(ALL.map(Algorithm::name).to_vec())];
        for listed in lists {
            let (header, jwt) =
                assertion(key(algorithm), AssertionOptions::new(), listed.as_deref()).unwrap();
            assert_eq!(header["alg"], algorithm.name());
            assert!(key(algorithm).to_public().verify_jws(&jwt).is_ok(), "{algorithm}");
        }
        let wanted = AssertionOptions::new().alg(algorithm.name());
        assert_eq!(assertion(key(algorithm), wanted, None).unwrap().0["alg"], algorithm.name());
    }
    let jwk = with(&rsa_jwk(&numbers_of(openssl::RSA_2048)), r#""kid":"k1","alg":"PS256""#);
    let (header, _) = assertion(KeyPair::from_jwk(&jwk).unwrap(), AssertionOptions::new(), None).unwrap();
    assert_eq!((&header["alg"], &header["kid"]), (&json!("PS256"), &json!("k1")));

    // The key could sign what the server takes, and says something else.
    let refused = |key: KeyPair, options: AssertionOptions, listed: &[&str], words: &[&str]| {
        assert_refused(assertion(key, options, Some(listed)), &ErrorKind::Algorithm, words, words[0]);
    };
    let advice = "KeyPair::with_algorithm";
    let plain = || KeyPair::from_pkcs8_pem(openssl::RSA_2048).unwrap();
    refused(plain(), AssertionOptions::new(), &["PS256"], &["RS256", "only: PS256", advice]);
    refused(
        key(Algorithm::Ps256),
        AssertionOptions::new(),
        &["ES256", "RS256"],
        &["PS256", "only: ES256 RS256", advice],
    );
    refused(
        plain(),
        AssertionOptions::new().alg("PS256"),
        &["PS256"],
        &["RS256", "PS256 was asked for", advice],
    );
    // It could not.
    refused(plain(), AssertionOptions::new(), &["ES256", "EdDSA"], &["RS256", "only: ES256 EdDSA"]);
    refused(key(Algorithm::Es384), AssertionOptions::new(), &["RS256"], &["ES384", "only: RS256"]);
}

/// What people bring by mistake, and that each is told for what it is.
#[test]
fn mistaken_keys_are_told_for_what_they_are() {
    let rsa = KeyPair::from_pkcs8_pem(openssl::RSA_2048).unwrap();
    let jwk: Value = serde_json::from_str(&rsa.to_jwk()).unwrap();
    let without = |names: &[&str]| {
        let mut jwk = jwk.clone();
        names.iter().for_each(|name| drop(jwk.as_object_mut().unwrap().remove(*name)));
        jwk.to_string()
    };
    let set = json!({ "keys": [jwk] }).to_string();
    let spelled = json!({ "alg": "ps256" });
    let spelled = format!("{},{}", rsa.to_jwk().trim_end_matches('}'), &spelled.to_string()[1..]);
    for (what, result, kind, words) in [
        ("a set", KeyPair::from_jwk(&set), ErrorKind::Key, &["JWK Set"][..]),
        ("a secret", KeyPair::from_jwk(r#"{"kty":"oct","k":"AA"}"#), ErrorKind::Key, &["symmetric"]),
        (
            "n, e, d",
            KeyPair::from_jwk(&without(&["p", "q", "dp", "dq", "qi"])),
            ErrorKind::Key,
            &["`p`", "`q`", "`dp`", "`dq`", "`qi`"],
        ),
        ("lower case", KeyPair::from_jwk(&spelled), ErrorKind::Algorithm, &["ps256", "spelling", "an RSA"]),
        (
            "PKCS#1 as PKCS#8",
            KeyPair::from_pkcs8_der(&pkcs1_of(openssl::RSA_2048)),
            ErrorKind::Key,
            &["PKCS#1", "from_pkcs1_der"],
        ),
        (
            "two blocks",
            KeyPair::from_pkcs8_pem(&[openssl::RSA_2048, openssl::RSA_2048].concat()),
            ErrorKind::Key,
            &["2 blocks"],
        ),
        ("text", KeyPair::from_pkcs8_pem("hello"), ErrorKind::Key, &["no block"]),
        (
            "a certificate",
            KeyPair::from_pkcs8_pem(&pem("CERTIFICATE", &[0x30, 0])),
            ErrorKind::Key,
            &["`PRIVATE KEY`", "CERTIFICATE"],
        ),
    ] {
        assert_refused(result, &kind, words, what);
    }
    let small = PublicKey::from_jwk(&rsa_public_jwk(&[0xc1; 128], &[1, 0, 1]));
    assert_refused(small, &ErrorKind::Key, &["1024 bits"], "1024");
    let keys = json!({ "keys": [{ "kty": "RSA", "e": "AQAB", "n": b64u(&[0xc1; 128]) }] }).to_string();
    let tokens = JwtValidator::with_keys("https://as.example.com", "https://api.example.com", &keys);
    assert_refused(tokens, &ErrorKind::Key, &["no key", "1024 bits"], "a set of one small key");
}

/// What is on the list and checked by nobody is told apart from what is not on the list, and from a forgery.
#[test]
fn a_listed_algorithm_that_nobody_checks() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let keys = format!(r#"{{"keys":[{}]}}"#, key.to_public().to_jwk());
    let tokens = JwtValidator::with_keys("https://as.example.com", "https://api.example.com", &keys).unwrap();
    let header = b64u(br#"{"typ":"at+jwt","alg":"ES512"}"#);
    let token = format!("{header}.{}.{}", b64u(b"{}"), b64u(&[1; 132]));
    for (tokens, expected) in [
        (tokens.clone(), TokenError::Algorithm { alg: "ES512".to_owned() }),
        (
            tokens.algorithms([Algorithm::Es512]),
            TokenError::NoSignatureVerifier { algorithm: Algorithm::Es512 },
        ),
    ] {
        assert_eq!(tokens.validate(&token, now), Err(expected));
    }
    let text = TokenError::NoSignatureVerifier { algorithm: Algorithm::Es512 }.to_string();
    assert!(text.contains("ES512") && text.contains("SignatureVerifier"), "{text}");
}
