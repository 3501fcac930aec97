//! Export of P-256 and Ed25519 keys. Threats C-50 and C-72.

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::{ErrorKind, KeyPair, PublicKey, Signer};
use zeroize::Zeroizing;

use crate::encoding::{assert_refused, b64u, der_of, hex, point, with};
use crate::sample_keys::{
    BOTH, ED25519, ED25519_D, ED25519_X, P256, P256_D, P256_X, P256_Y, ec_jwk, okp_jwk, p256_der, private,
    verifies,
};

#[test]
fn an_exported_key_is_the_same_when_it_is_imported_again() {
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
            assert!(verifies(&made.to_public(), &key));
        }
        assert_ne!(
            made.to_public(),
            KeyPair::generate(algorithm).unwrap().to_public(),
            "two generated keys are equal"
        );
    }
}

/// OpenSSL wrote these bytes for the same keys, so it reads what is exported.
#[test]
fn exports_equal_what_openssl_writes() {
    for (jwk, d, text) in [(ec_jwk(P256_X, P256_Y), P256_D, P256), (okp_jwk(ED25519_X), ED25519_D, ED25519)] {
        let key = KeyPair::from_jwk(&private(&jwk, d)).unwrap();
        let der: Zeroizing<Vec<u8>> = key.to_pkcs8_der().unwrap(); // C-72: wiped when dropped, by their types
        let pem: Zeroizing<String> = key.to_pkcs8_pem().unwrap();
        let _: Zeroizing<String> = key.to_jwk();
        assert_eq!(*der, der_of(text));
        assert_eq!(*pem, text);
    }
    // RFC 5958 §2 with RFC 5915 §3: version 0, named curve, public key inside, no parameters there.
    let key = KeyPair::from_pkcs8_pem(P256).unwrap();
    assert_eq!(*key.to_pkcs8_der().unwrap(), p256_der(P256_D, Some(&point(P256_X, P256_Y)), None));
}

/// The multiples of the base point were computed with Python's integers.
#[test]
fn c_50_leading_zeros_of_coordinates_and_scalars_are_kept() {
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

        // RFC 7518 §6.2.1.2 and §6.2.2.1: full size, not a byte less.
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

#[test]
fn a_public_key_without_a_supported_spki_is_not_written() {
    let jwk = format!(r#"{{"kty":"AKP","alg":"ML-DSA-44","pub":"{}"}}"#, b64u(&[1; 1312]));
    let key = PublicKey::from_jwk(&jwk).unwrap();
    let says = ["exporting a public key", "an ML-DSA-44 key", "its JWK is"];
    assert_refused(key.to_spki_der(), &ErrorKind::Key, &says, "DER");
    assert_refused(key.to_spki_pem(), &ErrorKind::Key, &says, "PEM");
}
