//! Import of P-256 and Ed25519 keys, and of public keys: what is read, what is refused, and what the error
//! says. Threats C-55 and C-56.

use std::path::Path;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use possession::{Algorithm, ErrorKind, KeyPair, PublicKey, Thumbprint};

use crate::encoding::{
    assert_only_the_whole_key_is_read, assert_refused, der_of, hex, pem, point, tlv, with,
};
use crate::sample_keys::{
    ED25519, ED25519_D, ED25519_V2, ED25519_X, G_X, G_Y, G_Y_NEGATED, N, P256, P256_D, P256_NO_PUBLIC,
    P256_X, P256_Y, RFC_8410_V2, RFC_8410_X, compressed, ec_jwk, ed25519_der, okp_jwk, p256_der, private,
};

#[test]
fn keys_of_openssl_and_of_rfcs_are_read() {
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
            "P-256 with its public key next to it",
            p256_der(P256_D, None, Some(&point(P256_X, P256_Y))),
            p256.clone(),
            P256_D,
        ),
        (
            "P-256 with its public key compressed and next to it",
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

/// Q-32: what other tools write. `openssl pkey` 3.0, Node's `createPrivateKey` and
/// `load_pem_private_key` of Python's `cryptography` read each text but those that are marked.
#[test]
fn q_32_pem_is_read_whatever_its_line_lengths_and_whatever_is_beside_the_key() {
    for (key, label) in [(ED25519, "PRIVATE KEY"), (P256, "PRIVATE KEY")] {
        let der = der_of(key);
        let base64 = Base64::encode_string(&der);
        let block = |content: &str| format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n");
        let columns = |count: usize| {
            let lines: Vec<_> = base64.as_bytes().chunks(count).map(String::from_utf8_lossy).collect();
            block(&lines.join("\n"))
        };
        let certificate = pem("CERTIFICATE", &[0x30, 0]);
        let parameters = pem("EC PARAMETERS", &hex("06082a8648ce3d030107"));
        let texts = [
            columns(76),
            columns(60),
            columns(1),
            block(&base64),
            key.replace('\n', "\r\n"),
            key.replace('\n', " \n"),
            key.replace('\n', "\t \r\n"),
            key.trim_end().to_owned(),
            format!("\n\n{key}\n "),
            format!("\u{feff}{key}"),
            format!("# made by hand\n{key}# 2026"),
            format!(
                "Bag Attributes\n    friendlyName: caf\u{e9} \u{1f511}\nKey Attributes: <No Attributes>\n{key}"
            ),
            format!("{certificate}{key}"),
            format!("{key}{certificate}{certificate}"),
            format!("subject=CN = a\nissuer=CN = b\n{certificate}\n{key}"),
            format!("{parameters}{key}"),
            // Not read by OpenSSL: line breaks that an environment variable or an editor has changed.
            key.replace('\n', " "),
            key.replace('\n', "\r"),
            format!("  {}", key.replace('\n', "\n  ")),
        ];
        for text in texts {
            for read in [KeyPair::from_pkcs8_pem(&text), from_file(text.as_bytes())] {
                let read = read.unwrap_or_else(|error| panic!("{text:?}: {error}"));
                assert_eq!(*read.to_pkcs8_pem().unwrap(), key, "{text:?}");
            }
        }
        // Comments need not be UTF-8.
        let latin_1 = [&b"friendlyName: caf\xe9\n"[..], key.as_bytes(), b"\xff"].concat();
        assert_eq!(*from_file(&latin_1).unwrap().to_pkcs8_pem().unwrap(), key);
    }
    // The same holds for public keys.
    let public = KeyPair::from_pkcs8_pem(P256).unwrap().to_public();
    let spki = Base64::decode_vec("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8++u5jlLYjJbu9bkE4AFkFhT0JBBf6TnPKcPlsVfev9wkvvfFk/0fa/qoOHU6lcQtfK5qBB4WRp1+D0sSZWlXQ==").unwrap();
    let text = pem("PUBLIC KEY", &spki);
    for text in [
        format!("\u{feff}# a comment\n{text}"),
        text.replace('\n', " \r\n"),
        format!("{}{text}", pem("CERTIFICATE", &[0x30, 0])),
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", Base64::encode_string(&spki)),
    ] {
        assert_eq!(PublicKey::from_spki_pem(&text).as_ref(), Ok(&public), "{text:?}");
    }
    assert_refused(
        PublicKey::from_spki_pem(&[&*text, &text].concat()),
        &ErrorKind::Key,
        &["2 blocks"],
        "two",
    );
}

/// Which of two keys is meant depends on the program: OpenSSL takes the first one.
#[test]
fn pem_with_more_than_one_private_key_is_refused() {
    let sec1 = pem("EC PRIVATE KEY", &hex(P256_NO_PUBLIC));
    for bad in
        [format!("{ED25519}{ED25519}"), format!("{ED25519}{P256}"), format!("{sec1}# comment\n{ED25519}")]
    {
        for read in [KeyPair::from_pkcs8_pem(&bad), from_file(bad.as_bytes())] {
            assert_refused(read, &ErrorKind::Key, &["PRIVATE KEY", "2 blocks"], &bad);
        }
    }
}

/// Q-32: the text came from an environment variable or from JSON. What to do is in the error, and
/// nothing of the key.
#[test]
fn q_32_literal_escapes_instead_of_line_breaks_are_an_error_that_says_so() {
    for breaks in ["\\n", "\\r\\n", "\\\\n"] {
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "PUBLIC KEY"] {
            let text = ED25519.replace("PRIVATE KEY", label).replace('\n', breaks);
            for text in [text.clone(), format!("\"{text}\"")] {
                if label != "PUBLIC KEY" {
                    let read = from_file(text.as_bytes());
                    assert_refused(read, &ErrorKind::Key, &[], &text);
                }
                let wanted = ["PRIVATE KEY", "PUBLIC KEY"].contains(&label);
                let error = match label {
                    "PUBLIC KEY" => PublicKey::from_spki_pem(&text).unwrap_err(),
                    "RSA PRIVATE KEY" => KeyPair::from_pkcs1_pem(&text).unwrap_err(),
                    _ => KeyPair::from_pkcs8_pem(&text).unwrap_err(),
                };
                assert!(!error.to_string().contains("MC4C"), "{error}");
                if wanted || label == "RSA PRIVATE KEY" {
                    assert!(error.to_string().contains("two characters \\n"), "{error}");
                }
            }
        }
    }
    let utf_16: Vec<u8> =
        [0xfeff].into_iter().chain(ED25519.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_refused(from_file(&utf_16), &ErrorKind::Key, &["UTF-16"], "UTF-16");
}

/// Imports bytes, from a file of their own and without one.
fn from_file(bytes: &[u8]) -> Result<KeyPair, possession::Error> {
    from_file_at(tempfile::NamedTempFile::new().unwrap().path(), bytes)
}

fn from_file_at(path: &Path, bytes: &[u8]) -> Result<KeyPair, possession::Error> {
    std::fs::write(path, bytes).unwrap();
    let key = KeyPair::from_file(path);
    match (&key, KeyPair::from_bytes(bytes)) {
        (Ok(key), Ok(other)) => assert_eq!(*key.to_jwk(), *other.to_jwk()),
        (Err(error), Err(other)) => {
            assert!(error.to_string().ends_with(&other.to_string()), "{error}: {other}")
        }
        (key, other) => panic!("{key:?}: {other:?}"),
    }
    key
}

/// Text may have white space around it.
#[test]
fn a_file_may_be_pem_jwk_or_der() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, bytes: &[u8]| from_file_at(&folder.path().join(name), bytes);
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let key = KeyPair::generate(algorithm).unwrap();
        let (pem, jwk, der) = (key.to_pkcs8_pem().unwrap(), key.to_jwk(), key.to_pkcs8_der().unwrap());
        for bytes in [pem.as_bytes(), jwk.as_bytes(), &der, format!("\n {}\n", *pem).as_bytes()] {
            assert_eq!(read("key", bytes).unwrap().to_public(), key.to_public());
        }
    }
    let cases: [(&str, &[u8], &str); 5] = [
        ("empty", b"", "-----BEGIN PRIVATE KEY-----"),
        ("text", b"hello", "a private JWK, DER of PKCS#8 or PKCS#1"),
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
    let error = KeyPair::from_file(folder.path().join("missing")).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Key);
    assert!(error.to_string().contains("missing"), "{error}");
}

/// In every container. The right one, in the same place, is accepted.
#[test]
fn c_55_a_public_key_that_is_not_that_of_the_private_key_is_refused() {
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

/// A bit string whose last byte is only partly used is not a public key. This one ends with two zero bits,
/// as DER demands of unused bits.
#[test]
fn c_55_a_public_key_with_unused_bits_is_refused() {
    let seed = "d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";
    let der = ed25519_der(seed, &[&[2], hex(ED25519_X).as_slice()].concat());
    assert!(KeyPair::from_pkcs8_der(&der).is_err(), "a public key with unused bits was accepted");
}

/// Each was made by OpenSSL: `genpkey -algorithm …`, `-aes256`, `pkey -traditional`, `pkey -pubout`.
#[test]
fn c_56_other_kinds_of_keys_are_refused_and_the_error_names_the_supported_ones() {
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
        // The content does not matter here: the label decides.
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

#[test]
fn c_56_a_truncated_key_or_one_with_trailing_bytes_is_refused() {
    [P256, ED25519, RFC_8410_V2].into_iter().for_each(assert_only_the_whole_key_is_read);
}

#[test]
fn c_56_garbage_is_refused_and_megabytes_are_not_parsed() {
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

/// RFC 5915 §3 and FIPS 186.
#[test]
fn c_56_a_scalar_is_between_1_and_n_minus_1() {
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
    // RFC 5915 §3: as many bytes as n has. Old tools left out leading zeros, which is not ambiguous.
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

/// `openssl pkey -pubout` of the P-256 key, and RFC 8410 §10.1; then what is not quite such a key.
#[test]
fn public_keys_of_openssl_and_of_rfcs_are_read_and_written() {
    let p256 = Base64::decode_vec("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8++u5jlLYjJbu9bkE4AFkFhT0JBBf6TnPKcPlsVfev9wkvvfFk/0fa/qoOHU6lcQtfK5qBB4WRp1+D0sSZWlXQ==").unwrap();
    let ed25519 = Base64::decode_vec("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=").unwrap();
    for (der, jwk) in [(&p256, ec_jwk(P256_X, P256_Y)), (&ed25519, okp_jwk(RFC_8410_X))] {
        for key in [PublicKey::from_spki_der(der), PublicKey::from_spki_pem(&pem("PUBLIC KEY", der))] {
            let key = key.unwrap();
            assert_eq!((key.to_jwk(), &key.to_spki_der().unwrap()), (&*jwk, der));
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
    let key = PublicKey::from_spki_der(&der).unwrap();
    assert_eq!((key.to_jwk(), key.to_spki_der().unwrap()), (&*jwk, der));
}
