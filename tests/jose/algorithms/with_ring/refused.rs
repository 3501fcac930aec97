//! RSA and P-384 keys that are refused. Threats C-55 and C-56.

use possession::server::JwtValidator;
use possession::{ErrorKind, KeyPair, PublicKey};
use serde_json::{Value, json};

use super::super::{
    EC_P384, NAMES, P384_D, P384_X, P384_Y, RSA_ENCRYPTION, element, from_file, integer, numbers_of, openssl,
    p384_der, p384_jwk, pkcs1, pkcs1_of, pkcs8_rsa, rsa_jwk, rsa_public_jwk,
};
use super::every_import;
use crate::encoding::{
    assert_only_the_whole_key_is_read, assert_refused, b64u, der_of, hex, pem, point, tlv, with,
};

/// FIPS 186-4 §D.1.2.4: the order of P-384 and its base point, which is the public key of 1.
const P384_N: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
    581a0db248b0a77aecec196accc52973";

const P384_G_X: &str = "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a38\
    5502f25dbf55296c3a545e3872760ab7";

const P384_G_Y: &str = "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c0\
    0a60b1ce1d7e819d7a431d7c90ea0e5f";

/// The error names the supported ones.
#[test]
fn c_56_rsa_keys_of_an_unsupported_size_or_exponent_are_refused() {
    let sizes = ["2048", "3072", "4096"];
    let numbers = numbers_of(openssl::RSA_1024);
    for (what, key) in every_import(&pkcs1(&numbers), &rsa_jwk(&numbers)) {
        assert_refused(key, &ErrorKind::Key, &["1024 bits", "2048"], what);
    }
    // The size is checked first, so these need not be the numbers of a key.
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

/// RFC 8017 §3.2: such a key has version 1 and more numbers.
#[test]
fn c_56_rsa_keys_of_more_than_two_primes_are_refused() {
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
    for oth in [r#""oth":[{"r":"AA","d":"AA","t":"AA"}]"#, r#""oth":[{}]"#, r#""oth":{}"#, r#""oth":1"#] {
        assert_refused(KeyPair::from_jwk(&with(&good, oth)), &ErrorKind::Key, &["`oth`", "two primes"], oth);
    }
    // Q-31: .NET writes so that there are no more primes.
    for none in [r#""oth":[]"#, r#""oth":null"#] {
        assert!(KeyPair::from_jwk(&with(&good, none)).is_ok(), "{none}");
    }
    // Version 1 without more primes, and version 0 with more.
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

/// RFC 7518 §6.3.2: all of the primes and what follows from them, or none. The error names what is missing.
#[test]
fn c_56_an_rsa_jwk_needs_all_its_members() {
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

/// Each number altered, and numbers swapped. This includes `d`, which ring never uses: it signs by the
/// Chinese remainder theorem (RFC 8017 §5.1.2, step 2.b).
#[test]
fn c_55_the_numbers_of_an_rsa_key_must_belong_together() {
    let good = numbers_of(openssl::RSA_2048);
    let mut altered = Vec::new();
    for (at, name) in NAMES.iter().enumerate() {
        let mut change = |what: &str, change: &dyn Fn(&mut Vec<u8>)| {
            let mut numbers = good.clone();
            change(&mut numbers[at]);
            assert_ne!(numbers, good);
            altered.push((format!("{name} {what}"), numbers));
        };
        change("with another last byte, also odd", &|number| *number.last_mut().unwrap() ^= 2);
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
    let mut accepted = Vec::new();
    for (what, numbers) in altered {
        for (by, key) in every_import(&pkcs1(&numbers), &rsa_jwk(&numbers)) {
            match key {
                Ok(_) => accepted.push(format!("{what}, by {by}")),
                Err(error) => assert_eq!(error.kind(), &ErrorKind::Key, "{what}, by {by}: {error}"),
            }
        }
    }
    assert!(accepted.is_empty(), "{accepted:#?}");
}

#[test]
fn c_56_other_containers_are_refused_and_the_error_says_what_to_do() {
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
    for bad in [format!("{text1}{text1}"), format!("{text1}{}", openssl::RSA_2048)] {
        assert_refused(KeyPair::from_pkcs1_pem(&bad), &key, &["2 blocks"], "two keys");
        assert_refused(from_file("two-keys", bad.as_bytes()), &key, &["2 blocks"], "two keys");
    }
    // Q-32: other text and a certificate beside the key, and any line length.
    for good in [
        format!("# comment\n{text1}x"),
        format!("{text1}{}", pem("CERTIFICATE", &[0x30, 0])),
        text1
            .replace("-\n", "\u{0}")
            .replace('\n', "")
            .replace('\u{0}', "-\n")
            .replace("-----END", "\n-----END"),
    ] {
        assert_eq!(*KeyPair::from_pkcs1_pem(&good).unwrap().to_pkcs8_pem().unwrap(), openssl::RSA_2048);
        assert!(from_file("with-more", good.as_bytes()).is_ok());
    }
    assert_refused(KeyPair::from_pkcs1_der(&[0x30; 70_000]), &key, &["too long"], "long");

    // RFC 8017 A.1 demands NULL. RFC 5958 §2 allows a public key in version 2, which is not used for RSA.
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

/// Outside and inside of the PKCS#8.
#[test]
fn c_56_a_truncated_key_or_one_with_trailing_bytes_is_refused() {
    [openssl::RSA_2048, openssl::P384].into_iter().for_each(assert_only_the_whole_key_is_read);
    let der = pkcs1_of(openssl::RSA_2048);
    for end in 0..der.len() {
        assert_refused(KeyPair::from_pkcs1_der(&der[..end]), &ErrorKind::Key, &["PKCS#1"], "truncated");
        // The PKCS#8 around it is complete.
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

/// C-55 and C-56: the scalar is between 1 and n - 1.
#[test]
fn c_55_a_p384_key_needs_its_own_uncompressed_public_key() {
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
        ("next to it alone", P384_D, None, Some(mine.as_slice())),
        ("another key inside", P384_D, Some(g.as_slice()), None),
        ("another key next to it", P384_D, Some(&mine), Some(g.as_slice())),
        ("its own next to it, another key inside", P384_D, Some(&g), Some(&mine)),
        ("off the curve", P384_D, Some(&off), None),
        ("infinity", P384_D, Some(&[0]), None),
        ("95 bytes", P384_D, Some(&mine[..96]), None),
        ("one byte more", P384_D, Some(&[mine.as_slice(), &[0]].concat()), None),
        ("zero", &"00".repeat(48), Some(&g), None),
        ("n", P384_N, Some(&g), None),
        // Modulo n it would be 1, whose public key this is.
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
    // RFC 5915 §3 allows a curve inside as well, which must be the one outside.
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

/// Inputs that people confuse with a private key.
#[test]
fn a_mistaken_key_is_named_in_the_error() {
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
            "n, e, d, p",
            KeyPair::from_jwk(&without(&["q", "dp", "dq", "qi"])),
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
            &["it is a certificate", "the private key is needed"],
        ),
    ] {
        assert_refused(result, &kind, words, what);
    }
    let small = PublicKey::from_jwk(&rsa_public_jwk(&[0xc1; 128], &[1, 0, 1]));
    assert_refused(small, &ErrorKind::Key, &["1024 bits"], "1024");
    let keys = json!({ "keys": [{ "kty": "RSA", "e": "AQAB", "n": b64u(&[0xc1; 128]) }] }).to_string();
    let tokens = JwtValidator::with_keys("https://as.example.com", "https://api.example.com", &keys);
    assert_refused(tokens, &ErrorKind::Key, &["no usable key", "1024 bits"], "a set of one small key");
}
