//! JWKs, private and public, and thumbprints. Threats C-47, C-52 and C-56.

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::{Algorithm, ErrorKind, KeyPair, PublicKey, Signer, Thumbprint};
use sha2::{Digest, Sha256};

use crate::encoding::{assert_refused, b64u, with};
use crate::sample_keys::{
    ED25519_D, ED25519_X, P256_D, P256_X, P256_Y, ec_jwk, hex_to_b64u, okp_jwk, private, rsa_n,
};

#[test]
fn the_members_of_a_private_jwk_are_checked_and_kept() {
    let ec = private(&ec_jwk(P256_X, P256_Y), P256_D);
    let okp = private(&okp_jwk(ED25519_X), ED25519_D);
    // (JWK, key id, name of the algorithm)
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

/// RFC 7517 §4.2 and §4.3: a key that is declared for another use does not sign.
#[test]
fn a_private_jwk_for_another_use_is_refused() {
    let ec = private(&ec_jwk(P256_X, P256_Y), P256_D);
    for members in [
        r#""use":"enc""#,
        r#""use":1"#,
        r#""use":false"#,
        r#""key_ops":["deriveKey"]"#,
        r#""key_ops":[null]"#,
        r#""key_ops":"sign""#,
        r#""key_ops":{}"#,
    ] {
        let jwk = with(&ec, members);
        assert_refused(KeyPair::from_jwk(&jwk), &ErrorKind::Key, &[], &jwk);
    }
}

/// Q-31: .NET writes the properties of a key that are not set, as `null` or as an empty array
/// (SimpleIdServer#863). They say nothing, so the key is the one without them. With a value that says
/// something, the member counts.
#[test]
fn q_31_empty_and_null_members_of_a_jwk_count_as_absent() {
    // What `JsonSerializer.Serialize` makes of a `JsonWebKey` that has only the members of an EC key.
    let dotnet = r#""alg":null,"k":null,"key_ops":[],"kid":null,"n":null,"oth":[],"p":null,"q":null,"dp":null,"dq":null,
        "qi":null,"use":null,"x5c":[],"x5t":null,"x5t#S256":null,"x5u":null"#;
    let public = ec_jwk(P256_X, P256_Y);
    let ec = private(&public, P256_D);
    let key = KeyPair::from_jwk(&with(&ec, dotnet)).unwrap();
    assert_eq!((*key.to_jwk()).to_owned(), ec);
    assert_eq!((key.key_id(), key.algorithm_name()), (None, None));
    for d in [r#""d":null"#, r#""d":"""#] {
        let jwk = with(&public, &format!("{d},{dotnet}"));
        assert_eq!(PublicKey::from_jwk(&jwk).unwrap().to_jwk(), public);
        assert_eq!(Thumbprint::from_jwk(&jwk).unwrap(), key.to_public().thumbprint());
        assert_refused(KeyPair::from_jwk(&jwk), &ErrorKind::Key, &["`d`", "private"], &jwk);
    }
    for member in ["use", "key_ops", "alg", "oth", "x5c", "k", "other"] {
        for empty in ["null", "[]", "\"\""] {
            let members = format!("\"{member}\":{empty}");
            assert!(KeyPair::from_jwk(&with(&ec, &members)).is_ok(), "{members}");
            assert!(PublicKey::from_jwk(&with(&public, &members)).is_ok(), "{members}");
        }
    }
    // The byte order mark that editors on Windows write (RFC 8259 §8.1).
    assert!(KeyPair::from_jwk(&format!("\u{feff}{ec}")).is_ok());
    assert!(PublicKey::from_jwk(&format!("\u{feff}{public}")).is_ok());
    // A required member that is empty is missing.
    for jwk in [public.replace("\"P-256\"", "null"), public.replace("\"EC\"", "[]")] {
        assert_refused(PublicKey::from_jwk(&jwk), &ErrorKind::Key, &["missing"], &jwk);
    }
}

/// A public key has nothing private in it, whatever it was made from.
#[test]
fn c_47_a_public_key_has_no_private_member() {
    let p384 = format!(r#"{{"crv":"P-384","kty":"EC","x":"{0}","y":"{0}"}}"#, b64u(&[1; 48]));
    let p521 = format!(r#"{{"crv":"P-521","kty":"EC","x":"{0}","y":"{0}"}}"#, b64u(&[1; 66]));
    let rsa = format!(r#"{{"e":"AQAB","kty":"RSA","n":"{}"}}"#, rsa_n(2048));
    for canonical in [ec_jwk(P256_X, P256_Y), okp_jwk(ED25519_X), p384, p521, rsa] {
        let more =
            r#""kid":"k","use":"sig","alg":"ES256","key_ops":["verify"],"x5c":["MAA="],"extra":{"d":1}"#;
        let key = PublicKey::from_jwk(&with(&canonical, more)).unwrap();
        assert_eq!(key.to_jwk(), canonical);
        // RFC 7638 §3: the hash of this text.
        assert_eq!(key.thumbprint().as_bytes(), &<[u8; 32]>::from(Sha256::digest(&canonical)));

        for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            for value in ["\"AA\"", "\" \"", "1", "false", "[null]", "{}"] {
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

/// RFC 9964 §4: the public key of the all-zero seed (by Python's `cryptography` 50.0.2) and its thumbprint,
/// which is the `kid` of the RFC's example.
#[test]
fn ml_dsa_public_keys_are_read_and_have_thumbprints() {
    let pub_44 = "unH59k4RuutY-pxvu24U5h8YZD2rSVtHU5qRZsoBmBMcRPgmu9VuNOVdteXi1zNIXjnqJg_GAAxepLqA00Vc3lO0bzRIKu39VFD8Lhuk8l0V-cFEJC-zm7UihxiQMMUEmOFxe3x1ixkKZ0jqmqP3rKryx8tSbtcXyfea64QhT6XNje2SoMP6FViBDxLHBQo2dwjRls0k5a-XSQSu2OTOiHLoaWsLe8pQ5FLNfTDqmkrawDEdZyxr3oSWJAsHQxRjcIiVzZuvwxYy1zl2STiP2vy_fTBaPemkleynQzqPg7oPCyXEE8bjnJbrfWkbNNN8438e6tHPIX4l7zTuzz98YPhLjt_d6EBdT4MldsYe-Y4KLyjaGHcAlTkk9oa5RhRwW89T0z_t1DSO3dvfKLUGXh8gd1BD6Fz5MfgpF5NjoafnQEqDjsAAhrCXY4b-Y3yYJEdX4_dp3dRGdHG_rWcPmgX4JG7lCnser4f8QGnDriqiAzJYEXeS8LzUngg_0bx0lqv_KcyU5IaLISFO0xZSU5mmEPvdSoDnyAcV8pV44qhLtAvd29n0ehG259oRihtljTWeiu9V60a1N2tbZVl5mEqSK-6_xZvNYA1TCdzNctvweH24unV7U3wer9XA9Q6kvJWDVJ4oKaQsKMrCSMlteBJMRxWbGK7ddUq6F7GdQw-3j2M-qdJvVKm9UPjY9rc1lPgol25-oJxTu7nxGlbJUH-4m5pevAN6NyZ6lfhbjWTKlxkrEKZvQXs_Yf6cpXEwpI_ZJeriq1UC1XHIpRkDwdOY9MH3an4RdDl2r9vGl_IwlKPNdh_5aF3jLgn7PCit1FNJAwC8fIncAXgAlgcXIpRXdfJk4bBiO89GGccSyDh2EgXYdpG3XvNgGWy7npuSoNTE7WIyblAk13UQuO4sdCbMIuriCdyfE73mvwj15xgb07RZRQtFGlFTmnFcIdZ90zDrWXDbANntv7KCKwNvoTuv64bY3HiGbj-NQ-U9eMylWVpvr4hrXcES8c9K3PqHWADZC0iIOvlzFv4VBoc_wVflcOrL_SIoaNFCNBAZZq-2v5lAgpJTqVOtqJ_HVraoSfcKy5g45p-qULunXj6Jwq21fobQiKubBKKOZwcJFyJD7F4ACKXOrz-HIvSHMCWW_9dVrRuCpJw0s0aVFbRqopDNhu446nqb4_EDYQM1tTHMozPd_jKxRRD0sH75X8ZoToxFSpLBDbtdWcenxj-zBf6IGWfZnmaetjKEBYJWC7QDQx1A91pJVJCEgieCkoIfTqkeQuePpIyu48g2FG3P1zjRF-kumhUTfSjo5qS0YiZQy0E1BMs6M11EvuxXRsHClLHoy5nLYI2Sj4zjVjYyxSHyPRPGGo9hwB34yWxzYNtPPGiqXS_dNCpi_zRZwRY4lCGrQ-hYTEWIK1Dm5OlttvC4_eiQ1dv63NiGkLRJ5kJA3bICN0fzCDY-MBqnd1cWn8YVBijVkgtaoascjL9EywDgJdeHnXK0eeOvUxHHhXJVkNqcibn8O4RQdpVU60TSA-uiu675ytIjcBHC6kTv8A8pmkj_4oypPd-F92YIJC741swkYQoeIHj8rE-ThcMUkF7KqC5VORbZTRp8HsZSqgiJcIPaouuxd1-8Rxrid3fXkE6p8bkrysPYoxWEJgh7ZFsRCPDWX-yTeJwFN0PKFP1j0F6YtlLfK5wv-c4F8ZQHA_-yc_gODicy7KmWDZgbTP07e7gEWzw4MFRrndjbDQ";
    let canonical = |alg: &str, bytes: &str| format!(r#"{{"alg":"{alg}","kty":"AKP","pub":"{bytes}"}}"#);
    let key =
        PublicKey::from_jwk(&format!(r#"{{"kty":"AKP","pub":"{pub_44}","use":"sig","alg":"ML-DSA-44"}}"#))
            .unwrap();
    assert_eq!(key.to_jwk(), canonical("ML-DSA-44", pub_44));
    assert_eq!(key.thumbprint().to_string(), "T4xl70S7MT6Zeq6r9V9fPJGVn76wfnXJ21-gyo0Gu6o");

    // FIPS 204 table 2: the length belongs to the algorithm. Nothing else about the bytes is checked here.
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
        // Private keys of this kind are not supported, whatever the member.
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

/// RFC 7518 §3.3 (2048 bits or more), §6.3.1 (minimal length), and values that make forging easy or
/// verifying slow. V-21 as well.
#[test]
fn c_56_weak_and_malformed_rsa_public_keys_are_refused() {
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

/// The coordinates are exchanged, one is there twice, or one is not less than the prime 2^256 - 2^224 +
/// 2^192 + 2^96 - 1 (SEC 1 §2.3.4).
#[test]
fn a_public_key_that_is_no_point_of_p_256_is_refused() {
    let too_large = "ff".repeat(32);
    for (x, y) in [(P256_Y, P256_X), (P256_X, P256_X), (&too_large, P256_Y), (P256_X, &too_large)] {
        let jwk = ec_jwk(x, y);
        let expected = "`x` and `y` are not a point of P-256";
        assert_refused(PublicKey::from_jwk(&jwk), &ErrorKind::Key, &[expected], &jwk);
        assert_refused(Thumbprint::from_jwk(&jwk), &ErrorKind::Key, &[expected], &jwk);
        let private = private(&jwk, P256_D);
        assert_refused(KeyPair::from_jwk(&private), &ErrorKind::Key, &[expected], &private);
    }
    assert!(PublicKey::from_jwk(&ec_jwk(P256_X, P256_Y)).is_ok());
}

#[test]
fn c_52_thumbprints_are_parsed_strictly_and_printed() {
    let text = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"; // RFC 7638 §3.1
    let jkt: Thumbprint = text.parse().unwrap();
    assert_eq!(jkt.to_string(), text);
    assert!(format!("{jkt:?}").contains(text));
    // RFC 7638 §3.1 lists the bytes as well.
    assert_eq!(
        jkt.as_bytes()[..],
        [
            55, 54, 203, 177, 120, 124, 184, 48, 156, 119, 238, 140, 55, 5, 197, 225, 111, 251, 158, 133,
            151, 21, 144, 31, 30, 76, 89, 177, 17, 130, 245, 123
        ]
    );
    assert_ne!(jkt, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xw".parse().unwrap()); // one bit differs
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
        format!("{}t", &text[..42]), // unused bits are set
        format!("{}ß", &text[..42]),
        hex_form,
    ];
    for text in bad {
        assert_refused(text.parse::<Thumbprint>(), &ErrorKind::Key, &["43 characters", "base64url"], &text);
    }
}
