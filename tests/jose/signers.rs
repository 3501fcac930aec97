//! The caller's own `Signer`, the names of algorithms, and ECDSA signatures in DER. Threat C-51.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use possession::{
    Algorithm, Error, ErrorKind, KeyPair, Proof, Prover, PublicKey, Signer, ecdsa_signature_from_der,
};

use crate::encoding::{assert_refused, b64u, hex, tlv};
use crate::sample_keys::{ED25519_X, P256_X, P256_Y, ec_jwk, okp_jwk, rsa_n};

/// The registry is "JSON Web Signature and Encryption Algorithms".
#[test]
fn algorithms_have_the_names_of_the_iana_registry() {
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

/// Returns the signature, or the error, that a test gives it.
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

/// The two ways to make a proof.
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

/// RFC 7518 §3.1, RFC 8037 §3.1, RFC 8725 §3.1. Otherwise no proof is made.
#[test]
fn the_algorithm_of_a_signer_must_fit_its_key() {
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

/// Any other name would make a proof with a false `alg`, in the worst case `none`.
#[test]
fn the_name_a_signer_gives_must_be_that_of_its_algorithm() {
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
fn a_signer_must_return_a_signature_of_the_right_length() {
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
    // The text of the signer's error is shown in printable ASCII; programs get the error itself.
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

/// DER (X.690 §8.3 and §10.1) has the shortest two's complement: a zero before a high bit and none
/// elsewhere. R || S has 32 bytes each (RFC 7518 §3.4).
#[test]
fn c_51_der_is_converted_to_r_and_s_of_full_size() {
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

/// The longer integers of the other curves: RFC 6979 A.2.6 and A.2.7, "sample" and "test" with SHA-384 and
/// SHA-512. On P-521 the first of 66 bytes is 0 or 1, and DER leaves out zeros.
#[test]
fn c_51_der_is_converted_for_p384_and_p521() {
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
        // The smallest signature.
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
        // A signature on another curve is too long.
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
