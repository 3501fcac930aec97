//! Keys: import, export, what is refused and how it is said. Threats C-47, C-50, C-55, C-56, C-72.
// What helpers of tests cannot do, the test fails on.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "common/keys.rs"]
mod common;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use common::{assert_refused, assert_whole, b64u, der_of, hex, pem, tlv};
use possession::{
    Algorithm, Error, ErrorKind, KeyPair, Proof, Prover, PublicKey, Signer, Thumbprint,
    ecdsa_signature_from_der,
};
use sha2::{Digest, Sha256};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` (OpenSSL 3.0.19); the numbers below by
/// `openssl pkey -text -noout`.
const P256: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgoLDwM5Xus9VLfQQ1
le1JtGqyv7SPPHbwJ5CVk0+LsEKhRANCAATz767mOUtiMlu71uQTgAWQWFPQkEF/
pOc8pw+WxV96/3CS+98WT/R9r+qg4dTqVxC18rmoEHhZGnX4PSxJlaVd
-----END PRIVATE KEY-----
";
const P256_D: &str = "a0b0f03395eeb3d54b7d043595ed49b46ab2bfb48f3c76f0279095934f8bb042";
const P256_X: &str = "f3efaee6394b62325bbbd6e4138005905853d090417fa4e73ca70f96c55f7aff";
const P256_Y: &str = "7092fbdf164ff47dafeaa0e1d4ea5710b5f2b9a81078591a75f83d2c4995a55d";

/// The same key by `openssl ec -no_public | openssl pkcs8 -topk8 -nocrypt -outform DER | xxd -p`.
const P256_NO_PUBLIC: &str = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420\
    a0b0f03395eeb3d54b7d043595ed49b46ab2bfb48f3c76f0279095934f8bb042";

/// `openssl genpkey -algorithm ed25519`; the numbers by `openssl pkey -text -noout`.
const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIKUPyPmGMKu/QHV/3wfPkP0LcTLqx+kB4XG/PEtghcYQ
-----END PRIVATE KEY-----
";
const ED25519_D: &str = "a50fc8f98630abbf40757fdf07cf90fd0b7132eac7e901e171bf3c4b6085c610";
const ED25519_X: &str = "6e9d8f24e42dff3ad3a25410901a9498b1ea59756de6eac1dced6d1cde9399fc";

/// The same key as version 2, by `openssl asn1parse -genconf` from
/// `SEQUENCE { INTEGER:1, SEQUENCE { OID:ED25519 }, OCTWRAP,OCTETSTRING, IMPLICIT:1C,BITSTRING }`.
const ED25519_V2: &str = "3051020101300506032b657004220420\
    a50fc8f98630abbf40757fdf07cf90fd0b7132eac7e901e171bf3c4b6085c610\
    8121006e9d8f24e42dff3ad3a25410901a9498b1ea59756de6eac1dced6d1cde9399fc";

/// RFC 8410 §10.3: version 2 with an attribute and the public key.
const RFC_8410_V2: &str = "-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
";
/// The 32 bytes at the end of its public key in RFC 8410 §10.1.
const RFC_8410_X: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

/// FIPS 186-4 §D.1.2.3: the order of P-256 and its base point, which is the public key of 1.
const N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const G_X: &str = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
const G_Y: &str = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
/// p - G_Y: -G is the public key of n - 1, and has the same x.
const G_Y_NEGATED: &str = "b01cbd1c01e58065711814b583f061e9d431cca994cea1313449bf97c840ae0a";

const BOTH: [Algorithm; 2] = [Algorithm::Es256, Algorithm::Ed25519];

fn hex_to_b64u(text: &str) -> String {
    b64u(&hex(text))
}

/// The public JWK in the form of RFC 7638 §3.
fn ec_jwk(x: &str, y: &str) -> String {
    format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, hex_to_b64u(x), hex_to_b64u(y))
}

fn okp_jwk(x: &str) -> String {
    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, hex_to_b64u(x))
}

/// `jwk` with more members.
fn with(jwk: &str, members: &str) -> String {
    format!("{},{members}}}", jwk.strip_suffix('}').unwrap())
}

fn private(jwk: &str, d: &str) -> String {
    with(jwk, &format!(r#""d":"{}""#, hex_to_b64u(d)))
}

/// PKCS#8 of a P-256 key (RFC 5958 §2, RFC 5915 §3) with the public key inside, beside, in both places or nowhere.
fn p256_der(d: &str, inside: Option<&[u8]>, beside: Option<&[u8]>) -> Vec<u8> {
    let bits = |point: &[u8]| [&[0], point].concat();
    let mut sec1 = [tlv(2, &[1]), tlv(4, &hex(d))].concat();
    if let Some(point) = inside {
        sec1.extend(tlv(0xa1, &tlv(3, &bits(point))));
    }
    let oids = "06072a8648ce3d0201" /* id-ecPublicKey */.to_owned() + "06082a8648ce3d030107" /* prime256v1 */;
    let version = u8::from(beside.is_some());
    let mut key = [tlv(2, &[version]), tlv(0x30, &hex(&oids)), tlv(4, &tlv(0x30, &sec1))].concat();
    if let Some(point) = beside {
        key.extend(tlv(0x81, &bits(point)));
    }
    tlv(0x30, &key)
}

/// PKCS#8 of an Ed25519 key (RFC 8410 §7), version 2, with this BIT STRING as its public key.
fn ed25519_der(d: &str, bits: &[u8]) -> Vec<u8> {
    let key =
        [tlv(2, &[1]), tlv(0x30, &hex("06032b6570")), tlv(4, &tlv(4, &hex(d))), tlv(0x81, bits)].concat();
    tlv(0x30, &key)
}

fn point(x: &str, y: &str) -> Vec<u8> {
    [vec![4], hex(x), hex(y)].concat()
}

fn compressed(x: &str, y: &str) -> Vec<u8> {
    [vec![2 | hex(y).last().unwrap() & 1], hex(x)].concat()
}

/// Whether what `key` signs holds for `public`.
fn holds(public: &PublicKey, key: &KeyPair) -> bool {
    let header = format!(r#"{{"alg":"{}"}}"#, key.algorithm());
    let signed = format!("{}.{}", b64u(header.as_bytes()), b64u(b"{}"));
    let signature = key.sign(signed.as_bytes()).unwrap();
    public.verify_jws(&format!("{signed}.{}", b64u(&signature))).is_ok()
}

// ------------------------------------------------------------------------------------------------- import and export

#[test]
fn round_trips() {
    for algorithm in BOTH {
        let made = KeyPair::generate(algorithm).unwrap();
        let again = [
            KeyPair::from_pkcs8_der(&made.to_pkcs8_der().unwrap()).unwrap(),
            KeyPair::from_pkcs8_pem(&made.to_pkcs8_pem().unwrap()).unwrap(),
            KeyPair::from_jwk(&made.to_jwk()).unwrap(),
        ];
        for key in again {
            assert_eq!(key.algorithm(), algorithm);
            assert_eq!(key.to_public(), made.to_public());
            assert_eq!(*key.to_jwk(), *made.to_jwk());
            assert_eq!(*key.to_pkcs8_der().unwrap(), *made.to_pkcs8_der().unwrap());
            assert!(holds(&made.to_public(), &key));
        }
        assert_ne!(
            made.to_public(),
            KeyPair::generate(algorithm).unwrap().to_public(),
            "two keys are one: no randomness"
        );
    }
}

#[test]
fn other_tools_keys_are_read() {
    let p256 = ec_jwk(P256_X, P256_Y);
    let cases = [
        ("OpenSSL P-256", der_of(P256), p256.clone(), P256_D),
        ("OpenSSL P-256 without its public key", hex(P256_NO_PUBLIC), p256.clone(), P256_D),
        (
            "P-256 with its public key compressed",
            p256_der(P256_D, Some(&compressed(P256_X, P256_Y)), None),
            p256.clone(),
            P256_D,
        ),
        (
            "P-256 with its public key beside",
            p256_der(P256_D, None, Some(&point(P256_X, P256_Y))),
            p256.clone(),
            P256_D,
        ),
        (
            "P-256 with its public key compressed beside",
            p256_der(P256_D, None, Some(&compressed(P256_X, P256_Y))),
            p256,
            P256_D,
        ),
        ("OpenSSL Ed25519", der_of(ED25519), okp_jwk(ED25519_X), ED25519_D),
        ("OpenSSL Ed25519 version 2", hex(ED25519_V2), okp_jwk(ED25519_X), ED25519_D),
        (
            "RFC 8410 §10.3",
            der_of(RFC_8410_V2),
            okp_jwk(RFC_8410_X),
            "d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842",
        ),
    ];
    for (what, der, jwk, d) in cases {
        for key in [
            KeyPair::from_pkcs8_der(&der),
            KeyPair::from_pkcs8_pem(&pem("PRIVATE KEY", &der)),
            KeyPair::from_jwk(&private(&jwk, d)),
        ] {
            let key = key.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(key.to_public().to_jwk(), jwk, "{what}");
            assert_eq!(*key.to_jwk(), private(&jwk, d), "{what}");
        }
    }
}

/// What tools write around the one block, and what is more or less than one block.
#[test]
fn pem_is_one_block() {
    let public = KeyPair::from_pkcs8_pem(ED25519).unwrap().to_public();
    for good in [format!("\n\n{ED25519}\n "), ED25519.replace('\n', "\r\n"), ED25519.trim_end().to_owned()] {
        assert_eq!(KeyPair::from_pkcs8_pem(&good).unwrap().to_public(), public, "{good:?}");
    }
    for bad in [format!("{ED25519}{ED25519}"), format!("{ED25519}{P256}"), format!("{ED25519}x")] {
        assert_refused(KeyPair::from_pkcs8_pem(&bad), &ErrorKind::Key, &["PRIVATE KEY"], &bad);
    }
}

/// OpenSSL wrote these very bytes for the same keys, so it reads what is exported.
#[test]
fn exports_are_what_openssl_writes() {
    for (jwk, d, text) in [(ec_jwk(P256_X, P256_Y), P256_D, P256), (okp_jwk(ED25519_X), ED25519_D, ED25519)] {
        let key = KeyPair::from_jwk(&private(&jwk, d)).unwrap();
        let der: Zeroizing<Vec<u8>> = key.to_pkcs8_der().unwrap(); // C-72: wiped when dropped, by their types
        let pem: Zeroizing<String> = key.to_pkcs8_pem().unwrap();
        let _: Zeroizing<String> = key.to_jwk();
        assert_eq!(*der, der_of(text));
        assert_eq!(*pem, text);
    }
    // And by the letter of RFC 5958 §2 with RFC 5915 §3: version 0, named curve, public key inside, no parameters there.
    let key = KeyPair::from_pkcs8_pem(P256).unwrap();
    assert_eq!(*key.to_pkcs8_der().unwrap(), p256_der(P256_D, Some(&point(P256_X, P256_Y)), None));
}

/// C-50, and d likewise. Multiples of the base point computed with Python's integers.
#[test]
fn c50_leading_zeros_are_kept() {
    let cases = [
        (
            43_u16,
            "mGriUG8f8QTQQjCGHY9LSY9LxMbQCbMPdUTcEpuC0o0",
            "ADzMwKZGDgrjKKTZfTx7YdhvxiicGJ8lJREMRBuwfpc",
            "WZsjbh58q8kl1WsGShqtiycImZtCgGbukDn4RAacMig",
        ),
        (
            379,
            "AFVDiUrz0A7X10Cr29dclrBod7eH219w7qeLkKjXwAo",
            "u0yFo9jqKe-q-iRAaRLdhNWxTcMr9lbvbGvVil2UP5I",
            "7Yxe6c_3bAa6kiaK1G-BZmi9EeNsUmlcbdnrtLeuK4E",
        ),
    ];
    for (d, x, y, jkt) in cases {
        let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let d = format!("{d:064x}");
        let der = KeyPair::from_pkcs8_der(&p256_der(&d, None, None)).unwrap();
        assert_eq!(der.to_public().to_jwk(), jwk);
        assert_eq!(*der.to_jwk(), private(&jwk, &d));
        assert_eq!(*der.to_pkcs8_der().unwrap(), *p256_der(&d, Some(&coordinates(x, y)), None));
        assert_eq!(KeyPair::from_jwk(&der.to_jwk()).unwrap().to_public().thumbprint().to_string(), jkt);
        assert_eq!(PublicKey::from_jwk(&jwk).unwrap().thumbprint().to_string(), jkt);

        // RFC 7518 §6.2.1.2, §6.2.2.1: full size, no byte less.
        let shorter = |text: &str| b64u(&Base64UrlUnpadded::decode_vec(text).unwrap()[1..]);
        for (long, name) in [(x, "x"), (y, "y")] {
            let jwk = jwk.replace(long, &shorter(long));
            assert_refused(PublicKey::from_jwk(&jwk), &ErrorKind::Key, &[name, "31", "32"], &jwk);
        }
        let short_d = with(&jwk, &format!(r#""d":"{}""#, b64u(&hex(&d)[1..])));
        assert_refused(KeyPair::from_jwk(&short_d), &ErrorKind::Key, &["`d`", "32"], &short_d);
    }
}

fn coordinates(x: &str, y: &str) -> Vec<u8> {
    let decode = |text| Base64UrlUnpadded::decode_vec(text).unwrap();
    [vec![4], decode(x), decode(y)].concat()
}

// ------------------------------------------------------------------------------------------------------ what is refused

/// C-55: in every container, a public half that is another key's. The right one, in the same place, is accepted above.
#[test]
fn c55_public_halves_must_match() {
    let one = format!("{:064x}", 1);
    for jwk in [
        private(&ec_jwk(G_X, G_Y_NEGATED), &one), // the same x
        private(&ec_jwk(P256_X, P256_Y), &one),
        private(&okp_jwk(RFC_8410_X), ED25519_D),
    ] {
        assert_refused(KeyPair::from_jwk(&jwk), &ErrorKind::Key, &["belong"], &jwk);
    }
    assert!(KeyPair::from_jwk(&private(&ec_jwk(G_X, G_Y), &one)).is_ok());

    let right = point(G_X, G_Y);
    let mut ders = Vec::new();
    for (x, y) in [(G_X, G_Y_NEGATED), (P256_X, P256_Y)] {
        for wrong in [point(x, y), compressed(x, y)] {
            ders.push(p256_der(&one, Some(&wrong), None));
            ders.push(p256_der(&one, None, Some(&wrong)));
            ders.push(p256_der(&one, Some(&right), Some(&wrong)));
            ders.push(p256_der(&one, Some(&wrong), Some(&right)));
        }
    }
    for not_a_point in [vec![], vec![0], right[..64].to_vec(), [right.as_slice(), &[0]].concat()] {
        ders.push(p256_der(&one, Some(&not_a_point), None));
        ders.push(p256_der(&one, None, Some(&not_a_point)));
    }
    let other = hex(RFC_8410_X);
    let mine = hex(ED25519_X);
    ders.push(ed25519_der(ED25519_D, &[&[0], other.as_slice()].concat()));
    ders.push(ed25519_der(ED25519_D, &[&[0], &mine[..31]].concat()));
    ders.push(ed25519_der(ED25519_D, &[&[0], mine.as_slice(), &[0]].concat()));
    ders.push(ed25519_der(ED25519_D, &[0]));
    for der in ders {
        let what = format!("{der:02x?}");
        assert_refused(KeyPair::from_pkcs8_der(&der), &ErrorKind::Key, &["public key"], &what);
    }
    assert!(KeyPair::from_pkcs8_der(&p256_der(&one, Some(&right), Some(&right))).is_ok());
    assert!(KeyPair::from_pkcs8_der(&ed25519_der(ED25519_D, &[&[0], mine.as_slice()].concat())).is_ok());
}

/// C-55: a public key whose last byte is said to be only partly used is no public key. The one of OpenSSL ends with two
/// zero bits, as DER wants of unused ones.
#[test]
fn c55_no_bits_left_over_in_public_halves() {
    let seed = "d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";
    let der = ed25519_der(seed, &[&[2], hex(ED25519_X).as_slice()].concat());
    assert!(KeyPair::from_pkcs8_der(&der).is_err(), "another key's public half passed unseen");
}

/// C-56. Each made by OpenSSL: `genpkey -algorithm …`, `-aes256`, `pkey -traditional`, `pkey -pubout`.
#[test]
fn c56_other_keys_are_refused_and_the_right_ones_named() {
    const RIGHT: &[&str] = &["P-256", "P-384", "Ed25519", "RSA"];
    let algorithm = ErrorKind::Algorithm;
    let cases: [(&str, &str, &str, ErrorKind, &[&str]); 10] = [
        (
            "P-521",
            "PRIVATE KEY",
            "MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIBqiKqEQXx6uaZmFV1BOkBLKbXzJVIj7KTJwZJhfmjzEMCmLFpvdRKuaf4b3EOV4D29b869mYLLuQnq/o/urUAz+yhgYkDgYYABAH54UTPr9EdVCf0/ZI25HyTOWDNSm8zednBqUTOP4TyslppH1CaJtSECCl7Z9+GLx0TzAT2qAtoDchh86pW40y6hwCnrlqtnQJR/ylNYV79CSJSH/otm7n3hJqlaQ/b+b/IZP+1jRGBtguxREcr8D2EAms2YMPPs/5ZQ6k69//xn/c40g==",
            algorithm.clone(),
            RIGHT,
        ),
        (
            "secp256k1",
            "PRIVATE KEY",
            "MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgaDxhV+eWlPLHnuuDNJ4C1tGbEHdgRbVcB8jHJejP6QuhRANCAASE6KN+tc1ftcCHq97cVU1mTxrCvmFsVN9t+wiSvz0NeGfaNMt7hDFx0xvMX1M/d+PhjViIA6Vh1GmD964JRhiA",
            algorithm.clone(),
            RIGHT,
        ),
        (
            "P-256 with its curve spelled out",
            "PRIVATE KEY",
            "MIIBeQIBADCCAQMGByqGSM49AgEwgfcCAQEwLAYHKoZIzj0BAQIhAP////8AAAABAAAAAAAAAAAAAAAA////////////////MFsEIP////8AAAABAAAAAAAAAAAAAAAA///////////////8BCBaxjXYqjqT57PrvVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMVAMSdNgiG5wSTamZ44ROdJreBn36QBEEEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9QIhAP////8AAAAA//////////+85vqtpxeehPO5ysL8YyVRAgEBBG0wawIBAQQgTiqPi4Wdxu36TGQsR+BlnmXdU/nORyfD10WTSI1ZnwyhRANCAAQdLXJBHoZXF32rQylEcb99kJDR1UykaV/0wcHGSlYv6cAJppfB/tB6zOJYEntoYfqea+7D8U+V0ScAoXRdap5/",
            algorithm.clone(),
            RIGHT,
        ),
        (
            "X25519",
            "PRIVATE KEY",
            "MC4CAQAwBQYDK2VuBCIEIPjKWFa+/hTSGbfyZYCKcmM1Fw4e7Gaqjv9LBqdXJPh9",
            algorithm.clone(),
            RIGHT,
        ),
        (
            "Ed448",
            "PRIVATE KEY",
            "MEcCAQAwBQYDK2VxBDsEOT5J5PW+2eMdoK+xGS7NWpu1P+KaX73ENkXblynxGfhGcrtpTxF1VD8+0CigqyIqOtIYohIUmiLxbw==",
            algorithm,
            RIGHT,
        ),
        (
            "encrypted",
            "ENCRYPTED PRIVATE KEY",
            "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhi+luV8ZZ0/gICCAAwDAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEGHuGLN7y5uv/K19trzN2e8EQGVYHMMR7dAzSYoLxq0ZtJli3w5dYuY+mm+rxjGzNgB9JThcrFMKsgwF5rHyrtZxXrqUxN6rhIHjb2gQAn7RaCo=",
            ErrorKind::Key,
            &["encrypted", "openssl pkcs8"],
        ),
        (
            "SEC1",
            "EC PRIVATE KEY",
            "MHcCAQEEIKCw8DOV7rPVS30ENZXtSbRqsr+0jzx28CeQlZNPi7BCoAoGCCqGSM49AwEHoUQDQgAE8++u5jlLYjJbu9bkE4AFkFhT0JBBf6TnPKcPlsVfev9wkvvfFk/0fa/qoOHU6lcQtfK5qBB4WRp1+D0sSZWlXQ==",
            ErrorKind::Key,
            &["SEC1", "openssl pkcs8 -topk8"],
        ),
        // OpenSSL writes more for RSA under this label; what stands in it does not matter.
        ("PKCS#1", "RSA PRIVATE KEY", "MAA=", ErrorKind::Key, &["PKCS#1", "from_pkcs1_pem"]),
        (
            "public",
            "PUBLIC KEY",
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8++u5jlLYjJbu9bkE4AFkFhT0JBBf6TnPKcPlsVfev9wkvvfFk/0fa/qoOHU6lcQtfK5qBB4WRp1+D0sSZWlXQ==",
            ErrorKind::Key,
            &["public", "private"],
        ),
        ("nothing in it", "PRIVATE KEY", "MAA=", ErrorKind::Key, &["PKCS#8"]),
    ];
    for (what, label, base64, kind, words) in cases {
        let der = Base64::decode_vec(base64).unwrap();
        assert_refused(KeyPair::from_pkcs8_pem(&pem(label, &der)), &kind, words, what);
        let der_kind = if kind == ErrorKind::Algorithm { ErrorKind::Algorithm } else { ErrorKind::Key };
        assert_refused(KeyPair::from_pkcs8_der(&der), &der_kind, &["PKCS#8"], what);
    }
    // `openssl ecparam -name prime256v1 -genkey` writes two blocks.
    let two = format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}", {
        pem("EC PRIVATE KEY", &hex(P256_NO_PUBLIC))
    });
    assert_refused(KeyPair::from_pkcs8_pem(&two), &ErrorKind::Key, &["openssl pkcs8 -topk8"], "ecparam");
}

/// C-56: every beginning of a key, and every key with something behind it.
#[test]
fn c56_truncated_and_trailing() {
    [P256, ED25519, RFC_8410_V2].into_iter().for_each(assert_whole);
}

/// C-56: garbage, and megabytes of it, which are not even looked at.
#[test]
fn c56_garbage_and_much_of_it() {
    let deep_jwk = with(&okp_jwk(ED25519_X), &format!(r#""x5c":{}{}"#, "[".repeat(5000), "]".repeat(5000)));
    let huge = "A".repeat(4 << 20);
    let huge_pem = pem("PRIVATE KEY", &[0x30; 3 << 20]);
    let huge_jwk = with(&private(&okp_jwk(ED25519_X), ED25519_D), &format!(r#""kid":"{huge}""#));
    let small = ["", "\0", "-----", "{}", "null", "[]", "ß", &deep_jwk].map(|text| (text, ""));
    let large = [&huge, &huge_pem, &huge_jwk].map(|text| (text.as_str(), "too long"));
    for (text, why) in small.into_iter().chain(large) {
        let what = text.get(..20).unwrap_or(text);
        assert_refused(KeyPair::from_pkcs8_der(text.as_bytes()), &ErrorKind::Key, &["PKCS#8", why], what);
        assert_refused(KeyPair::from_pkcs8_pem(text), &ErrorKind::Key, &["PEM", why], what);
        assert_refused(KeyPair::from_jwk(text), &ErrorKind::Key, &["private JWK", why], what);
        assert_refused(PublicKey::from_jwk(text), &ErrorKind::Key, &["public JWK", why], what);
        assert_refused(Thumbprint::from_jwk(text), &ErrorKind::Key, &["JWK", why], what);
    }
}

/// C-56: RFC 5915 §3 and FIPS 186 want 1 to n - 1.
#[test]
fn c56_scalars_out_of_range() {
    let one = format!("{:064x}", 1);
    let n_plus = |last: &str| format!("{}{last}", N.strip_suffix("51").unwrap());
    // n - 1 has the public key -G; n + 1, taken modulo n, would have G.
    for (d, y, good) in [
        (one.as_str(), G_Y, true),
        (&n_plus("50"), G_Y_NEGATED, true),
        (&format!("{:064x}", 0), G_Y, false),
        (N, G_Y, false),
        (&n_plus("52"), G_Y, false),
        (&"ff".repeat(32), G_Y, false),
    ] {
        let jwk = private(&ec_jwk(G_X, y), d);
        for key in [
            KeyPair::from_jwk(&jwk),
            KeyPair::from_pkcs8_der(&p256_der(d, None, None)),
            KeyPair::from_pkcs8_der(&p256_der(d, Some(&point(G_X, y)), None)),
        ] {
            match good {
                true => assert_eq!(key.unwrap().to_public().to_jwk(), ec_jwk(G_X, y), "{d}"),
                false => assert_refused(key, &ErrorKind::Key, &[], d),
            }
        }
    }
    // RFC 5915 §3: as many bytes as n has. Old tools left leading zeros out; that can be read in one way only.
    let short = KeyPair::from_pkcs8_der(&p256_der(&"11".repeat(31), None, None));
    let full = KeyPair::from_pkcs8_der(&p256_der(&format!("00{}", "11".repeat(31)), None, None)).unwrap();
    assert!(short.is_err() || short.is_ok_and(|short| short.to_public() == full.to_public()));
    let long = p256_der(&"11".repeat(33), None, None);
    assert_refused(KeyPair::from_pkcs8_der(&long), &ErrorKind::Key, &[], "33 bytes");
    for length in [31, 33] {
        let d = "11".repeat(length);
        for jwk in [private(&okp_jwk(ED25519_X), &d), private(&ec_jwk(G_X, G_Y), &d)] {
            assert_refused(KeyPair::from_jwk(&jwk), &ErrorKind::Key, &["32 bytes"], &jwk);
        }
    }
}

// --------------------------------------------------------------------------------------------------------------- JWK

#[test]
fn private_jwks_and_their_members() {
    let ec = private(&ec_jwk(P256_X, P256_Y), P256_D);
    let okp = private(&okp_jwk(ED25519_X), ED25519_D);
    // What is asked for beyond the key: (JWK, key id, name of the algorithm)
    let good: [(String, Option<&str>, Option<&str>); 8] = [
        (ec.clone(), None, None),
        (with(&ec, r#""alg":"ES256""#), None, Some("ES256")),
        (with(&okp, r#""alg":"EdDSA""#), None, Some("EdDSA")),
        (with(&okp, r#""alg":"Ed25519","kid":"k1""#), Some("k1"), Some("Ed25519")),
        (with(&ec, r#""kid":"a\"b\\c\u0000\ud83d\ude00""#), Some("a\"b\\c\0😀"), None),
        (with(&ec, r#""use":"sig","key_ops":["sign"],"x5t":"x","ext":true"#), None, None),
        (with(&ec, r#""key_ops":["verify","sign"]"#), None, None),
        (with(&ec, r#""kid":"""#), Some(""), None),
    ];
    for (jwk, kid, alg) in good {
        let key = KeyPair::from_jwk(&jwk).unwrap_or_else(|error| panic!("{jwk}: {error}"));
        assert_eq!((key.key_id(), key.algorithm_name()), (kid, alg), "{jwk}");
        let again = KeyPair::from_jwk(&key.to_jwk()).unwrap();
        assert_eq!((again.key_id(), again.algorithm_name()), (kid, alg), "{jwk}");
        assert_eq!(again.to_public(), key.to_public());
    }

    let (key, algorithm) = (ErrorKind::Key, ErrorKind::Algorithm);
    let d = format!(r#""d":"{}""#, hex_to_b64u(P256_D));
    let bad: [(String, &ErrorKind, &[&str]); 20] = [
        (with(&ec, r#""alg":"ES384""#), &algorithm, &["ES384", "P-256"]),
        (with(&ec, r#""alg":"EdDSA""#), &algorithm, &["EdDSA", "P-256"]),
        (with(&okp, r#""alg":"ES256""#), &algorithm, &["ES256", "Ed25519"]),
        (with(&ec, r#""alg":"none""#), &algorithm, &["none"]),
        (with(&ec, r#""alg":"ECDH-ES""#), &algorithm, &["ECDH-ES"]),
        (with(&ec, r#""alg":["ES256"]"#), &key, &["`alg`"]),
        (with(&ec, r#""kid":1"#), &key, &["`kid`"]),
        (with(&ec, r#""kid":["k"]"#), &key, &["`kid`"]),
        (ec_jwk(P256_X, P256_Y), &key, &["`d`", "private"]),
        (with(&ec_jwk(P256_X, P256_Y), r#""d":null"#), &key, &["`d`"]),
        (with(&ec_jwk(P256_X, P256_Y), r#""d":"""#), &key, &["`d`"]),
        (ec.replace("\"}", "=\"}"), &key, &["`d`", "base64url"]),
        (with(&ec, &d), &key, &["twice"]),
        (ec.replace("P-256", "P-384"), &key, &["32"]),
        (ec.replace("P-256", "secp256k1"), &key, &["secp256k1"]),
        (okp.replace("Ed25519", "X25519"), &key, &["X25519"]),
        (okp.replace("OKP", "EC"), &key, &["Ed25519"]),
        (ec.replace("\"EC\"", "1"), &key, &["`kty`"]),
        (r#"{"kty":"oct","k":"AA","d":"AA"}"#.to_owned(), &key, &["symmetric"]),
        (
            format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB","d":"AA","p":"AA"}}"#, rsa_n(2048)),
            &key,
            &["`q`", "missing"],
        ),
    ];
    for (jwk, kind, words) in bad {
        assert_refused(KeyPair::from_jwk(&jwk), kind, words, &jwk);
    }
}

/// RFC 7517 §4.2, §4.3: a key that says it is for something else is not taken for signing.
#[test]
fn private_jwks_for_another_use() {
    let ec = private(&ec_jwk(P256_X, P256_Y), P256_D);
    for members in [r#""use":"enc""#, r#""use":1"#, r#""key_ops":["deriveKey"]"#, r#""key_ops":"sign""#] {
        let jwk = with(&ec, members);
        assert_refused(KeyPair::from_jwk(&jwk), &ErrorKind::Key, &[], &jwk);
    }
}

/// C-47: a public key has nothing private in it, whatever it was made from.
#[test]
fn c47_public_jwks() {
    let p384 = format!(r#"{{"crv":"P-384","kty":"EC","x":"{0}","y":"{0}"}}"#, b64u(&[1; 48]));
    let p521 = format!(r#"{{"crv":"P-521","kty":"EC","x":"{0}","y":"{0}"}}"#, b64u(&[1; 66]));
    let rsa = format!(r#"{{"e":"AQAB","kty":"RSA","n":"{}"}}"#, rsa_n(2048));
    for canonical in [ec_jwk(P256_X, P256_Y), okp_jwk(ED25519_X), p384, p521, rsa] {
        let more =
            r#""kid":"k","use":"sig","alg":"ES256","key_ops":["verify"],"x5c":["MAA="],"extra":{"d":1}"#;
        let key = PublicKey::from_jwk(&with(&canonical, more)).unwrap();
        assert_eq!(key.to_jwk(), canonical);
        // RFC 7638 §3: the hash of that text.
        assert_eq!(key.thumbprint().as_bytes(), &<[u8; 32]>::from(Sha256::digest(&canonical)));

        for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            for value in ["\"AA\"", "\"\"", "null", "[]"] {
                let jwk = with(&canonical, &format!("\"{name}\":{value}"));
                assert_refused(
                    PublicKey::from_jwk(&jwk),
                    &ErrorKind::Key,
                    &[&format!("`{name}`"), "public key"],
                    &jwk,
                );
                assert_eq!(Thumbprint::from_jwk(&jwk).unwrap(), key.thumbprint(), "{jwk}");
            }
        }
    }
    let key = KeyPair::from_jwk(&with(&private(&ec_jwk(P256_X, P256_Y), P256_D), r#""kid":"k""#)).unwrap();
    assert_eq!(key.to_public().to_jwk(), ec_jwk(P256_X, P256_Y));
    assert_eq!(key.public_key(), &PublicKey::from_jwk(&ec_jwk(P256_X, P256_Y)).unwrap());
    for secret in [P256_D.to_owned(), hex_to_b64u(P256_D)] {
        assert!(!format!("{key:?} {key:#?}").contains(&secret));
    }
}

/// An odd number of that many bits.
fn rsa_n(bits: usize) -> String {
    let mut n = vec![0x5a; bits.div_ceil(8)];
    n[0] = 1 << ((bits - 1) % 8);
    *n.last_mut().unwrap() |= 1;
    b64u(&n)
}

/// RFC 9964 §4: the public key of the seed of zeros (by Python's `cryptography` 50.0.2) and its thumbprint, which is the `kid` of
/// the RFC's example.
#[test]
fn ml_dsa_public_keys() {
    let pub_44 = "unH59k4RuutY-pxvu24U5h8YZD2rSVtHU5qRZsoBmBMcRPgmu9VuNOVdteXi1zNIXjnqJg_GAAxepLqA00Vc3lO0bzRIKu39VFD8Lhuk8l0V-cFEJC-zm7UihxiQMMUEmOFxe3x1ixkKZ0jqmqP3rKryx8tSbtcXyfea64QhT6XNje2SoMP6FViBDxLHBQo2dwjRls0k5a-XSQSu2OTOiHLoaWsLe8pQ5FLNfTDqmkrawDEdZyxr3oSWJAsHQxRjcIiVzZuvwxYy1zl2STiP2vy_fTBaPemkleynQzqPg7oPCyXEE8bjnJbrfWkbNNN8438e6tHPIX4l7zTuzz98YPhLjt_d6EBdT4MldsYe-Y4KLyjaGHcAlTkk9oa5RhRwW89T0z_t1DSO3dvfKLUGXh8gd1BD6Fz5MfgpF5NjoafnQEqDjsAAhrCXY4b-Y3yYJEdX4_dp3dRGdHG_rWcPmgX4JG7lCnser4f8QGnDriqiAzJYEXeS8LzUngg_0bx0lqv_KcyU5IaLISFO0xZSU5mmEPvdSoDnyAcV8pV44qhLtAvd29n0ehG259oRihtljTWeiu9V60a1N2tbZVl5mEqSK-6_xZvNYA1TCdzNctvweH24unV7U3wer9XA9Q6kvJWDVJ4oKaQsKMrCSMlteBJMRxWbGK7ddUq6F7GdQw-3j2M-qdJvVKm9UPjY9rc1lPgol25-oJxTu7nxGlbJUH-4m5pevAN6NyZ6lfhbjWTKlxkrEKZvQXs_Yf6cpXEwpI_ZJeriq1UC1XHIpRkDwdOY9MH3an4RdDl2r9vGl_IwlKPNdh_5aF3jLgn7PCit1FNJAwC8fIncAXgAlgcXIpRXdfJk4bBiO89GGccSyDh2EgXYdpG3XvNgGWy7npuSoNTE7WIyblAk13UQuO4sdCbMIuriCdyfE73mvwj15xgb07RZRQtFGlFTmnFcIdZ90zDrWXDbANntv7KCKwNvoTuv64bY3HiGbj-NQ-U9eMylWVpvr4hrXcES8c9K3PqHWADZC0iIOvlzFv4VBoc_wVflcOrL_SIoaNFCNBAZZq-2v5lAgpJTqVOtqJ_HVraoSfcKy5g45p-qULunXj6Jwq21fobQiKubBKKOZwcJFyJD7F4ACKXOrz-HIvSHMCWW_9dVrRuCpJw0s0aVFbRqopDNhu446nqb4_EDYQM1tTHMozPd_jKxRRD0sH75X8ZoToxFSpLBDbtdWcenxj-zBf6IGWfZnmaetjKEBYJWC7QDQx1A91pJVJCEgieCkoIfTqkeQuePpIyu48g2FG3P1zjRF-kumhUTfSjo5qS0YiZQy0E1BMs6M11EvuxXRsHClLHoy5nLYI2Sj4zjVjYyxSHyPRPGGo9hwB34yWxzYNtPPGiqXS_dNCpi_zRZwRY4lCGrQ-hYTEWIK1Dm5OlttvC4_eiQ1dv63NiGkLRJ5kJA3bICN0fzCDY-MBqnd1cWn8YVBijVkgtaoascjL9EywDgJdeHnXK0eeOvUxHHhXJVkNqcibn8O4RQdpVU60TSA-uiu675ytIjcBHC6kTv8A8pmkj_4oypPd-F92YIJC741swkYQoeIHj8rE-ThcMUkF7KqC5VORbZTRp8HsZSqgiJcIPaouuxd1-8Rxrid3fXkE6p8bkrysPYoxWEJgh7ZFsRCPDWX-yTeJwFN0PKFP1j0F6YtlLfK5wv-c4F8ZQHA_-yc_gODicy7KmWDZgbTP07e7gEWzw4MFRrndjbDQ";
    let canonical = |alg: &str, bytes: &str| format!(r#"{{"alg":"{alg}","kty":"AKP","pub":"{bytes}"}}"#);
    let key =
        PublicKey::from_jwk(&format!(r#"{{"kty":"AKP","pub":"{pub_44}","use":"sig","alg":"ML-DSA-44"}}"#))
            .unwrap();
    assert_eq!(key.to_jwk(), canonical("ML-DSA-44", pub_44));
    assert_eq!(key.thumbprint().to_string(), "T4xl70S7MT6Zeq6r9V9fPJGVn76wfnXJ21-gyo0Gu6o");

    // FIPS 204 table 2: the length is that of the algorithm's, and nothing else of the bytes is looked at here.
    for (alg, length) in [("ML-DSA-44", 1312), ("ML-DSA-65", 1952), ("ML-DSA-87", 2592)] {
        let good = canonical(alg, &b64u(&vec![7; length]));
        let key = PublicKey::from_jwk(&good).unwrap();
        assert_eq!(key.to_jwk(), good);
        // RFC 7638 §3 with the members of RFC 9964 §4; `alg` is one of them.
        assert_eq!(key.thumbprint().as_bytes(), &<[u8; 32]>::from(Sha256::digest(&good)));
        let algorithm = Algorithm::from_name(alg).unwrap();
        assert_refused(
            key.verify(algorithm, b"m", &[1; 2420]),
            &ErrorKind::Algorithm,
            &[alg, "SignatureVerifier"],
            alg,
        );
        for other in [length - 1, length + 1, 0, 32] {
            let jwk = canonical(alg, &b64u(&vec![7; other]));
            assert_refused(PublicKey::from_jwk(&jwk), &ErrorKind::Key, &["`pub`", &length.to_string()], &jwk);
        }
        let private = with(&good, &format!(r#""priv":"{}""#, b64u(&[0; 32])));
        assert_refused(PublicKey::from_jwk(&private), &ErrorKind::Key, &["`priv`", "public key"], alg);
        // There is no private key of that kind here, by whatever member.
        assert_refused(KeyPair::from_jwk(&private), &ErrorKind::Key, &[], alg);
        let with_d = with(&good, r#""d":"AA""#);
        assert_refused(KeyPair::from_jwk(&with_d), &ErrorKind::Algorithm, &[alg, "Signer"], alg);
    }
    let bytes = b64u(&[7; 1312]);
    let bad: [(&str, String, &[&str]); 7] = [
        ("no alg", format!(r#"{{"kty":"AKP","pub":"{bytes}"}}"#), &["`alg`", "missing"]),
        ("alg of another kind", canonical("ES256", &bytes), &["`alg`", "ES256", "AKP"]),
        ("alg of no kind", canonical("ML-DSA-45", &bytes), &["`alg`", "ML-DSA-45"]),
        ("the other's length", canonical("ML-DSA-65", &bytes), &["`pub`", "1952"]),
        ("no pub", r#"{"kty":"AKP","alg":"ML-DSA-44"}"#.to_owned(), &["`pub`", "missing"]),
        ("alg is no string", format!(r#"{{"kty":"AKP","alg":44,"pub":"{bytes}"}}"#), &["`alg`"]),
        ("padded", canonical("ML-DSA-44", &format!("{bytes}==")), &["`pub`", "base64url"]),
    ];
    for (what, jwk, words) in bad {
        assert_refused(PublicKey::from_jwk(&jwk), &ErrorKind::Key, words, what);
    }
}

/// C-56: RFC 7518 §3.3 (2048 bits or more), §6.3.1 (minimal bytes), and what makes forging easy or checking slow.
#[test]
fn c56_rsa_public_keys() {
    let jwk = |n: &str, e: &[u8]| format!(r#"{{"kty":"RSA","n":"{n}","e":"{}"}}"#, b64u(e));
    for bits in [2048, 2049, 3072, 4096] {
        for e in [&[1, 0, 1][..], &[3]] {
            assert!(PublicKey::from_jwk(&jwk(&rsa_n(bits), e)).is_ok(), "{bits} {e:?}");
        }
    }
    for (bits, words) in
        [(512, "512 bits"), (1024, "1024 bits"), (2047, "2047 bits"), (4097, "4097 bits"), (16_384, "16384")]
    {
        let jwk = jwk(&rsa_n(bits), &[1, 0, 1]);
        assert_refused(PublicKey::from_jwk(&jwk), &ErrorKind::Key, &[words, "2048"], &jwk);
    }
    for e in [&[][..], &[0], &[1], &[2], &[4], &[0, 1, 0, 1], &[1, 0, 0, 0, 1], &[0xff; 256]] {
        let jwk = jwk(&rsa_n(2048), e);
        assert_refused(PublicKey::from_jwk(&jwk), &ErrorKind::Key, &["`e`"], &jwk);
    }
    let zero_first = b64u(&[&[0], Base64UrlUnpadded::decode_vec(&rsa_n(2048)).unwrap().as_slice()].concat());
    for n in ["", "AA", &zero_first, &b64u(&[0x80; 256])] {
        let jwk = jwk(n, &[1, 0, 1]);
        assert_refused(PublicKey::from_jwk(&jwk), &ErrorKind::Key, &["`n`"], &jwk);
    }
}

#[test]
fn thumbprints_are_parsed_and_printed() {
    let text = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"; // RFC 7638 §3.1
    let jkt: Thumbprint = text.parse().unwrap();
    assert_eq!(jkt.to_string(), text);
    assert!(format!("{jkt:?}").contains(text));
    // RFC 7638 §3.1 gives the bytes too.
    assert_eq!(
        jkt.as_bytes()[..],
        [
            55, 54, 203, 177, 120, 124, 184, 48, 156, 119, 238, 140, 55, 5, 197, 225, 111, 251, 158, 133,
            151, 21, 144, 31, 30, 76, 89, 177, 17, 130, 245, 123
        ]
    );
    assert_ne!(jkt, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xw".parse().unwrap()); // one bit less
    let hex_form = "3736cbb1787cb8309c77ee8c3705c5e16ffb9e859715901f1e4c59b11182f57b".to_owned();
    let bad = [
        String::new(),
        text[..42].to_owned(),
        format!("{text}A"),
        format!("{text}="),
        format!(" {text}"),
        format!("{text}\n"),
        text.replace('-', "+"),
        text.replace('_', "/"),
        format!("{}t", &text[..42]), // bits left over
        format!("{}ß", &text[..42]),
        hex_form,
    ];
    for text in bad {
        assert_refused(text.parse::<Thumbprint>(), &ErrorKind::Key, &["43 characters", "base64url"], &text);
    }
}

// ----------------------------------------------------------------------------------------------- algorithms and signers

/// `openssl pkey -pubout` of the P-256 key above, and RFC 8410 §10.1; then what is not such a key, or not quite.
#[test]
fn public_keys_of_other_tools() {
    let p256 = Base64::decode_vec("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8++u5jlLYjJbu9bkE4AFkFhT0JBBf6TnPKcPlsVfev9wkvvfFk/0fa/qoOHU6lcQtfK5qBB4WRp1+D0sSZWlXQ==").unwrap();
    let ed25519 = Base64::decode_vec("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=").unwrap();
    for (der, jwk) in [(&p256, ec_jwk(P256_X, P256_Y)), (&ed25519, okp_jwk(RFC_8410_X))] {
        for key in [PublicKey::from_spki_der(der), PublicKey::from_spki_pem(&pem("PUBLIC KEY", der))] {
            assert_eq!(key.unwrap().to_jwk(), jwk);
        }
        for end in 0..der.len() {
            assert_refused(PublicKey::from_spki_der(&der[..end]), &ErrorKind::Key, &["public key"], "cut");
        }
        let longer = [der.as_slice(), &[0]].concat();
        assert_refused(
            PublicKey::from_spki_der(&longer),
            &ErrorKind::Key,
            &["SubjectPublicKeyInfo"],
            "longer",
        );
        for label in ["PRIVATE KEY", "CERTIFICATE", "EC PUBLIC KEY"] {
            let text = pem(label, der);
            assert_refused(PublicKey::from_spki_pem(&text), &ErrorKind::Key, &["PUBLIC KEY"], label);
        }
    }
    assert_refused(PublicKey::from_spki_pem(P256), &ErrorKind::Key, &["PUBLIC KEY"], "private");
    let private = PublicKey::from_spki_der(&der_of(P256));
    assert_refused(private, &ErrorKind::Key, &["SubjectPublicKeyInfo"], "private");
    let spki = |oids: &str, bits: &[u8]| tlv(0x30, &[tlv(0x30, &hex(oids)), tlv(3, bits)].concat());
    let (ec, ed) = ("06072a8648ce3d020106082a8648ce3d030107", "06032b6570");
    assert_eq!(spki(ec, &[&[0], point(P256_X, P256_Y).as_slice()].concat()), p256);
    let with_bits = |left_over: u8, bytes: &[u8]| [&[left_over], bytes].concat();
    let bad = [
        ("off the curve", spki(ec, &with_bits(0, &point(P256_X, G_Y))), "P-256"),
        ("infinity", spki(ec, &[0, 0]), "P-256"),
        ("P-384", spki("06072a8648ce3d020106052b81040022", &with_bits(0, &point(P256_X, P256_Y))), "P-384"),
        ("P-521", spki("06072a8648ce3d020106052b81040023", &with_bits(0, &point(P256_X, P256_Y))), "P-521"),
        (
            "secp256k1",
            spki("06072a8648ce3d020106052b8104000a", &with_bits(0, &point(P256_X, P256_Y))),
            "curve",
        ),
        ("X25519", spki("06032b656e", &with_bits(0, &hex(ED25519_X))), "1.3.101.110"),
        ("small order", spki(ed, &with_bits(0, &hex(&format!("{:064x}", 0)))), "Ed25519"),
        (
            "y = p + 1, which is 1",
            spki(ed, &with_bits(0, &hex(&format!("ee{}7f", "ff".repeat(30))))),
            "Ed25519",
        ),
        ("31 bytes", spki(ed, &with_bits(0, &hex(ED25519_X)[1..])), "Ed25519"),
        ("bits left over", spki(ed, &with_bits(2, &hex(ED25519_X))), "byte"),
    ];
    for (what, der, says) in bad {
        assert_refused(PublicKey::from_spki_der(&der), &ErrorKind::Key, &[says], what);
    }
    // RFC 7515 A.4 as OpenSSL writes it: uncompressed, 66 bytes each.
    let (x, y) = (
        "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
    );
    let bytes = [x, y].map(|text| Base64UrlUnpadded::decode_vec(text).unwrap()).concat();
    let der = spki("06072a8648ce3d020106052b81040023", &with_bits(0, &[&[4], bytes.as_slice()].concat()));
    let jwk = format!(r#"{{"crv":"P-521","kty":"EC","x":"{x}","y":"{y}"}}"#);
    assert_eq!(PublicKey::from_spki_der(&der).unwrap().to_jwk(), jwk);
}

/// Names of the IANA registry "JSON Web Signature and Encryption Algorithms".
#[test]
fn algorithms_by_name() {
    let known =
        "ES256 ES384 ES512 EdDSA Ed25519 ML-DSA-44 ML-DSA-65 ML-DSA-87 RS256 RS384 RS512 PS256 PS384 PS512";
    for name in known.split(' ') {
        let algorithm = Algorithm::from_name(name).unwrap();
        assert!(algorithm.names().contains(&name), "{name}");
        assert_eq!(algorithm.to_string(), if name == "Ed25519" { "EdDSA" } else { name });
    }
    assert_eq!(Algorithm::from_name("EdDSA"), Algorithm::from_name("Ed25519"));
    let never =
        ["none", "None", "HS256", "HS512", "RS1", "ES256K", "Ed448", "es256", "ES256 ", "", "RSA-OAEP"];
    for name in never {
        assert_eq!(Algorithm::from_name(name), None, "{name:?}");
    }
    let refused = |algorithm: Algorithm, words: &[&str]| {
        assert_refused(KeyPair::generate(algorithm), &ErrorKind::Algorithm, words, algorithm.name());
    };
    refused(Algorithm::Es512, &["ES512", "Signer"]);
    refused(Algorithm::MlDsa65, &["ML-DSA-65", "Signer"]);
    let advice = if cfg!(feature = "ring") { "openssl genpkey" } else { "feature `ring`" };
    refused(Algorithm::Rs256, &["RS256", advice]);
    refused(Algorithm::Ps512, &["PS512", advice]);
    match cfg!(feature = "ring") {
        true => assert_eq!(KeyPair::generate(Algorithm::Es384).unwrap().algorithm(), Algorithm::Es384),
        false => refused(Algorithm::Es384, &["ES384", "feature `ring`", "Signer"]),
    }
}

/// Signs with whatever it is told to.
struct Fake {
    algorithm: Algorithm,
    name: Option<&'static str>,
    key: PublicKey,
    signature: Result<Vec<u8>, Unplugged>,
}

#[derive(Clone, Debug, PartialEq)]
struct Unplugged(&'static str);

impl fmt::Display for Unplugged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unplugged {}

impl Signer for Fake {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.signature.clone()?)
    }

    fn algorithm_name(&self) -> Option<&'static str> {
        self.name
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// Both ways to a proof.
fn proofs_by(signer: Fake) -> [Result<String, Error>; 2] {
    let proof = || Proof::new(&http::Method::GET, "https://api.example.com/").unwrap();
    let signer = Arc::new(signer);
    let by_prover = Prover::new(Arc::clone(&signer))
        .and_then(|prover| prover.prove(possession::ServerRole::ResourceServer, proof(), now()));
    [proof().sign(&signer, now()), by_prover]
}

fn key_of_each_kind() -> [(&'static str, PublicKey); 6] {
    let ec = |crv: &str, size| {
        format!(r#"{{"kty":"EC","crv":"{crv}","x":"{0}","y":"{0}"}}"#, b64u(&vec![1; size]))
    };
    [
        ("P-256", ec_jwk(P256_X, P256_Y)),
        ("Ed25519", okp_jwk(ED25519_X)),
        ("P-384", ec("P-384", 48)),
        ("P-521", ec("P-521", 66)),
        ("RSA", format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, rsa_n(2048))),
        ("ML-DSA-44", format!(r#"{{"kty":"AKP","alg":"ML-DSA-44","pub":"{}"}}"#, b64u(&[1; 1312]))),
    ]
    .map(|(kind, jwk)| (kind, PublicKey::from_jwk(&jwk).unwrap()))
}

/// RFC 7518 §3.1, RFC 8037 §3.1, RFC 8725 §3.1: the algorithm fits the key, or there is no proof.
#[test]
fn signers_of_an_algorithm_that_does_not_fit_the_key() {
    let fits = [
        ("P-256", "ES256"),
        ("P-384", "ES384"),
        ("P-521", "ES512"),
        ("Ed25519", "EdDSA"),
        ("RSA", "RS256 RS384 RS512 PS256 PS384 PS512"),
        ("ML-DSA-44", "ML-DSA-44"),
    ];
    let lengths = [("ES256", 64), ("EdDSA", 64), ("ES384", 96), ("ES512", 132), ("ML-DSA-44", 2420)];
    for (kind, key) in key_of_each_kind() {
        for name in fits.iter().flat_map(|(_, names)| names.split(' ')) {
            let length = lengths.iter().find(|(alg, _)| *alg == name).map_or(256, |(_, length)| *length);
            let right = fits.iter().any(|(fit, names)| *fit == kind && names.split(' ').any(|n| n == name));
            let algorithm = Algorithm::from_name(name).unwrap();
            let signer = Fake { algorithm, name: None, key: key.clone(), signature: Ok(vec![1; length]) };
            for proof in proofs_by(signer) {
                match right {
                    true => assert!(proof.is_ok(), "{name} with {kind}: {proof:?}"),
                    false => assert_refused(proof, &ErrorKind::Algorithm, &[name, kind], kind),
                }
            }
        }
    }
}

/// A name that is not the algorithm's would make a proof that lies about itself, at worst with `alg` `none`.
#[test]
fn signers_of_a_name_that_is_not_the_algorithms() {
    let [(_, ec), (_, okp), ..] = key_of_each_kind();
    for (algorithm, key, name) in [
        (Algorithm::Es256, &ec, "none"),
        (Algorithm::Es256, &ec, "HS256"),
        (Algorithm::Es256, &ec, "EdDSA"),
        (Algorithm::Ed25519, &okp, "ES256"),
        (Algorithm::Ed25519, &okp, "\"}"),
        (Algorithm::Ed25519, &okp, ""),
    ] {
        let signature = Ok(vec![1; 64]);
        for proof in proofs_by(Fake { algorithm, name: Some(name), key: key.clone(), signature }) {
            assert_refused(proof, &ErrorKind::Algorithm, &[], name);
        }
    }
}

#[test]
fn signers_that_give_no_signature() {
    let [(_, ec), (_, okp), (_, p384), (_, p521), (_, rsa), (_, ml_dsa)] = key_of_each_kind();
    // A DER ECDSA-Sig-Value (RFC 3279 §2.2.3) of two 32-byte integers, as most key stores return it.
    let der = tlv(0x30, &[tlv(2, &[0x11; 32]), tlv(2, &[0x22; 32])].concat());
    let cases = [
        (Algorithm::Es256, &ec, der, "R || S, not DER"),
        (Algorithm::Es256, &ec, vec![], "0 bytes"),
        (Algorithm::Es256, &ec, vec![1; 63], "63 bytes"),
        (Algorithm::Es256, &ec, vec![1; 65], "65 bytes"),
        (Algorithm::Ed25519, &okp, vec![], "0 bytes"),
        (Algorithm::Ed25519, &okp, vec![1; 63], "63 bytes"),
        (Algorithm::Es384, &p384, vec![1; 64], "has 96"),
        (Algorithm::Es512, &p521, vec![1; 131], "has 132"),
        (Algorithm::Ps256, &rsa, vec![], "0 bytes"),
        (Algorithm::Ps256, &rsa, vec![1; 255], "has 256"),
        (Algorithm::MlDsa44, &ml_dsa, vec![1; 64], "has 2420"),
    ];
    for (algorithm, key, signature, words) in cases {
        for proof in proofs_by(Fake { algorithm, name: None, key: key.clone(), signature: Ok(signature) }) {
            assert_refused(proof, &ErrorKind::Signer, &[words], words);
        }
    }
    // What the signer says reaches people in printable ASCII, and programs as it is.
    let cause = Unplugged("slot 3 \"HSM\"\r\n\u{1b}[31m is gone");
    let signer = Fake { algorithm: Algorithm::Es256, name: None, key: ec, signature: Err(cause.clone()) };
    for proof in proofs_by(signer) {
        let error = proof.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Signer);
        assert!(error.to_string().contains("slot 3 'HSM'"), "{error}");
        assert!(error.to_string().chars().all(|c| matches!(c, ' '..='~')), "{error}");
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.downcast_ref::<Unplugged>(), Some(&cause));
    }
}

/// DER (X.690 §8.3, §10.1) has the shortest two's complement: a zero before a high bit, none elsewhere; R || S has 32
/// bytes each (RFC 7518 §3.4).
#[test]
fn c51_der_becomes_r_and_s() {
    // RFC 6979 A.2.5, SHA-256, "sample": both have their high bit set.
    let r = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716";
    let s = "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
    let small = format!("{:064x}", 0x7f);
    let der = |r: &[u8], s: &[u8]| tlv(0x30, &[tlv(2, r), tlv(2, s)].concat());
    let signed = |number: &str| hex(&format!("00{number}"));
    for (bytes, r, s) in [
        (der(&signed(r), &signed(s)), r, s),
        (der(&[0x7f], &signed(s)), small.as_str(), s),
        (der(&signed(r), &[0x7f]), r, &small),
    ] {
        assert_eq!(ecdsa_signature_from_der(Algorithm::Es256, &bytes).unwrap(), hex(&format!("{r}{s}")));
    }
    let good = der(&signed(r), &signed(s));
    let bad = [
        vec![],
        good[1..].to_vec(),
        good[..good.len() - 1].to_vec(),
        [good.as_slice(), &[0]].concat(),
        der(&hex(r), &hex(s)),                                // negative
        der(&[0], &signed(s)),                                // zero
        der(&signed(r), &[]),                                 // no number
        der(&[0, 0x7f], &signed(s)),                          // not the shortest
        der(&[&[1], hex(r).as_slice()].concat(), &signed(s)), // 33 bytes
        hex(&format!("{r}{s}")),                              // R || S already
    ];
    for bytes in bad {
        let what = format!("{bytes:02x?}");
        assert_refused(
            ecdsa_signature_from_der(Algorithm::Es256, &bytes),
            &ErrorKind::Signer,
            &["DER", "P-256"],
            &what,
        );
    }
}

/// The same on the other curves, where the integers are longer: RFC 6979 A.2.6 and A.2.7, "sample" and "test" with SHA-384 and
/// SHA-512. On P-521 the first byte of 66 is 0 or 1, and DER leaves zeros out.
#[test]
fn c51_der_becomes_r_and_s_of_p384_and_p521() {
    let cases = [
        (
            Algorithm::Es384,
            "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46",
            "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8",
        ),
        (
            Algorithm::Es384,
            "8203b63d3c853e8d77227fb377bcf7b7b772e97892a80f36ab775d509d7a5feb0542a7f0812998da8f1dd3ca3cf023db",
            "ddd0760448d42d8a43af45af836fce4de8be06b485e9b61b827c2f13173923e06a739f040649a667bf3b828246baa5a5",
        ),
        (
            Algorithm::Es512,
            "00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606add152b534931d7d4e8455cc91f9b15bf05ec36e377fa",
            "00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af282623eaa63e5b5c0723d8b8c37ff0777b1a20f8ccb1dccc43997f1ee0e44da4a67a",
        ),
        (
            Algorithm::Es512,
            "013e99020abf5cee7525d16b69b229652ab6bdf2affcaef38773b4b7d08725f10cdb93482fdcc54edcee91eca4166b2a7c6265ef0ce2bd7051b7cef945babd47ee6d",
            "01fbd0013c674aa79cb39849527916ce301c66ea7ce8b80682786ad60f98f7e78a19ca69eff5c57400e3b3a0ad66ce0978214d13baf4e9ac60752f7b155e2de4dce3",
        ),
    ];
    let der = |r: &[u8], s: &[u8]| tlv(0x30, &[tlv(2, r), tlv(2, s)].concat());
    let shortest = |number: &str| {
        let bytes: Vec<u8> = hex(number).into_iter().skip_while(|byte| *byte == 0).collect();
        if bytes[0] < 0x80 { bytes } else { [&[0], bytes.as_slice()].concat() }
    };
    for (algorithm, r, s) in cases {
        let good = der(&shortest(r), &shortest(s));
        assert_eq!(
            ecdsa_signature_from_der(algorithm, &good).unwrap(),
            hex(&format!("{r}{s}")),
            "{algorithm}"
        );
        let (length, curve) = if algorithm == Algorithm::Es384 { (48, "P-384") } else { (66, "P-521") };
        // The least there is.
        let ones = ecdsa_signature_from_der(algorithm, &der(&[1], &[1])).unwrap();
        let one = [vec![0; length - 1], vec![1]].concat();
        assert_eq!(ones, [one.as_slice(), &one].concat());
        let long = [&[1], vec![0; length].as_slice()].concat();
        let bad = [
            good[..good.len() - 1].to_vec(),
            [good.as_slice(), &[0]].concat(),
            der(&[0], &shortest(s)),
            der(&shortest(r), &[0]),
            der(&long, &shortest(s)),
            der(&shortest(r), &long),
            hex(&format!("{r}{s}")),
        ];
        for bytes in bad {
            let what = format!("{bytes:02x?}");
            let seen = ecdsa_signature_from_der(algorithm, &bytes);
            assert_refused(seen, &ErrorKind::Signer, &["DER", curve, algorithm.name()], &what);
        }
        // Another curve's is too long, or of the wrong length in the end.
        assert_refused(
            ecdsa_signature_from_der(Algorithm::Es256, &good),
            &ErrorKind::Signer,
            &["P-256"],
            "a signature on another curve",
        );
    }
    for algorithm in [Algorithm::Rs256, Algorithm::Ps384, Algorithm::Ed25519, Algorithm::MlDsa44] {
        let good = der(&[1], &[1]);
        let words = [algorithm.name(), "not ECDSA"];
        let seen = ecdsa_signature_from_der(algorithm, &good);
        assert_refused(seen, &ErrorKind::Algorithm, &words, algorithm.name());
    }
}

// ------------------------------------------------------------------------------------------------------ by the compiler

/// C-72: does not compile if the type implements the trait, because `f` then has two meanings.
macro_rules! never {
    ($type:ty: $($trait:path),+) => { $(const _: fn() = || {
        trait Ambiguous<A> { fn f() {} }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct Implements;
        impl<T: ?Sized + $trait> Ambiguous<Implements> for T {}
        <$type as Ambiguous<_>>::f()
    };)+ };
}

never!(KeyPair: Clone, Copy, PartialEq, PartialOrd, std::hash::Hash, serde::Serialize, fmt::Display, Default, AsRef<[u8]>);

/// C-72: the keys that a `KeyPair` holds wipe themselves; and what may go to another thread.
#[test]
fn c72_types() {
    fn wiped<T: ZeroizeOnDrop>() {}
    fn shared<T: Send + Sync + 'static>() {}
    wiped::<p256::ecdsa::SigningKey>();
    wiped::<ed25519_dalek::SigningKey>();
    wiped::<Zeroizing<Vec<u8>>>();
    shared::<(KeyPair, PublicKey, Thumbprint, Prover, Error, Algorithm, Proof<'static>)>();
    const { assert!(std::mem::needs_drop::<KeyPair>()) };
    let signers: [Arc<dyn Signer>; 2] = BOTH.map(|a| Arc::new(KeyPair::generate(a).unwrap()) as _);
    for signer in signers {
        assert!(Prover::new(Arc::clone(&signer)).is_ok()); // an `Arc<dyn Signer>` is one itself
        assert_eq!(signer.sign(b"x").unwrap().len(), 64);
    }
}

/// Whatever a tool wrote: PEM, JWK and DER, with white space around what is text.
#[test]
fn keys_are_read_from_files() {
    let folder = std::env::temp_dir().join(format!("possession-keys-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let read = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        KeyPair::from_file(&path)
    };
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let key = KeyPair::generate(algorithm).unwrap();
        let (pem, jwk, der) = (key.to_pkcs8_pem().unwrap(), key.to_jwk(), key.to_pkcs8_der().unwrap());
        for bytes in [pem.as_bytes(), jwk.as_bytes(), &der, format!("\n {}\n", *pem).as_bytes()] {
            assert_eq!(read("key", bytes).unwrap().to_public(), key.to_public());
        }
    }
    let cases: [(&str, &[u8], &str); 5] = [
        ("empty", b"", "PEM"),
        ("text", b"hello", "PEM"),
        ("bytes", &[0xff; 40], "neither PEM nor JSON nor DER"),
        ("public", br#"{"kty":"OKP"}"#, "`d`"),
        ("long", &[b' '; 200_000], "too long"),
    ];
    for (name, bytes, says) in cases {
        let error = read(name, bytes).unwrap_err();
        let text = error.to_string();
        assert_eq!(*error.kind(), ErrorKind::Key, "{text}");
        assert!(text.contains(says) && text.contains(name), "{text}");
    }
    let error = KeyPair::from_file(folder.join("missing")).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Key);
    assert!(error.to_string().contains("missing"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}
