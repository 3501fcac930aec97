//! RSA and P-384: keys from OpenSSL and from RFCs in every encoding, signatures, proofs and tokens by RS256 to PS512 and
//! ES384; and that without the feature `ring` each of these is an error that says so.
// What helpers of tests cannot do, the test fails on.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code, reason = "without the feature fewer of them are needed")]
#[path = "algorithms/openssl.rs"]
mod openssl;
#[path = "algorithms/rfc.rs"]
mod rfc;
#[cfg(feature = "ring")]
#[path = "algorithms/with_ring.rs"]
mod with_ring;
#[cfg(not(feature = "ring"))]
#[path = "algorithms/without_ring.rs"]
mod without_ring;

#[path = "common/keys.rs"]
mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::{assert_refused, b64u, der_of, hex, pem, tlv};
use possession::{Algorithm, Error, ErrorKind, KeyPair, PublicKey};

/// Those that an RSA key makes, and the one of P-384.
const ALL: [Algorithm; 7] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es384,
];

/// The numbers of the P-384 key by `openssl pkey -text -noout`.
const P384_D: &str = "70894c63bb9b0b5a4203eb3df3898ef768931f233a1828a00e6a766edf11d05c\
    028d3d6175743d33296ec9ea4bcbbbca";
const P384_X: &str = "4361092418293a4ce4ecbbac01a5dcf73ed46575fbdba5a7208ef54d7733db4e\
    a704c920054571a4833db9df59f96b00";
const P384_Y: &str = "aee1edd1d961105493128bf83ae3e005a2dc4b94e29477d188e6fc04e1be89f3\
    e45b79bc3514d931d0ea15078122b07d";

/// `id-ecPublicKey` and `secp384r1`, `rsaEncryption` with its NULL, as AlgorithmIdentifiers (RFC 5480, RFC 8017 A.1).
const EC_P384: &str = "06072a8648ce3d020106052b81040022";
const RSA_ENCRYPTION: &str = "06092a864886f70d0101010500";

/// The members of a private JWK of an RSA key in the order of an `RSAPrivateKey` (RFC 8017 Appendix A.1.2).
const NAMES: [&str; 8] = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];

/// A positive INTEGER: a zero before a high bit, none elsewhere (X.690 §8.3).
fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[zeros..];
    match number.first() {
        Some(0..=0x7f) => tlv(2, number),
        _ => tlv(2, &[&[0], number].concat()),
    }
}

/// The numbers of an `RSAPrivateKey`, in the order of `NAMES`.
type Numbers = [Vec<u8>; 8];

fn pkcs1(numbers: &Numbers) -> Vec<u8> {
    let integers: Vec<_> = numbers.iter().flat_map(|number| integer(number)).collect();
    tlv(0x30, &[tlv(2, &[0]), integers].concat())
}

/// RFC 5208 §5 around an `RSAPrivateKey`.
fn pkcs8_rsa(pkcs1: &[u8]) -> Vec<u8> {
    tlv(0x30, &[tlv(2, &[0]), tlv(0x30, &hex(RSA_ENCRYPTION)), tlv(4, pkcs1)].concat())
}

/// Content and what follows it of the DER element that `der` begins with.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, head) = match der[1] {
        0x82 => (usize::from(u16::from_be_bytes([der[2], der[3]])), 4),
        0x81 => (usize::from(der[2]), 3),
        short => (usize::from(short), 2),
    };
    der[head..].split_at(length)
}

/// What `openssl pkey -traditional` writes of an RSA key: the bytes in the PKCS#8 of the same key (compared once).
fn pkcs1_of(pem: &str) -> Vec<u8> {
    let der = der_of(pem);
    let (version_and_more, _) = element(&der);
    let (_, algorithm_and_key) = element(version_and_more);
    let (_, key) = element(algorithm_and_key);
    element(key).0.to_vec()
}

/// The numbers of a key in PEM of PKCS#8.
fn numbers_of(pem: &str) -> Numbers {
    let der = pkcs1_of(pem);
    let (mut rest, _) = element(&der);
    let integers: Vec<Vec<u8>> = std::iter::from_fn(|| {
        let (number, after) = (!rest.is_empty()).then(|| element(rest))?;
        rest = after;
        Some(number.iter().skip_while(|byte| **byte == 0).copied().collect())
    })
    .collect();
    integers[1..].to_vec().try_into().unwrap()
}

/// The private JWK (RFC 7518 §6.3): the public members in the order of RFC 7638 §3, then the private ones.
fn rsa_jwk(numbers: &Numbers) -> String {
    let [n, e, private @ ..] = numbers;
    let private: String = NAMES[2..]
        .iter()
        .zip(private)
        .map(|(name, number)| format!(r#","{name}":"{}""#, b64u(number)))
        .collect();
    format!(r#"{}{private}}}"#, rsa_public_jwk(n, e).trim_end_matches('}'))
}

fn rsa_public_jwk(n: &[u8], e: &[u8]) -> String {
    format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64u(e), b64u(n))
}

fn p384_public_jwk(x: &str, y: &str) -> String {
    format!(r#"{{"crv":"P-384","kty":"EC","x":"{}","y":"{}"}}"#, b64u(&hex(x)), b64u(&hex(y)))
}

fn p384_jwk(x: &str, y: &str, d: &str) -> String {
    with(&p384_public_jwk(x, y), &format!(r#""d":"{}""#, b64u(&hex(d))))
}

/// `jwk` with more members.
fn with(jwk: &str, members: &str) -> String {
    format!("{},{members}}}", jwk.strip_suffix('}').unwrap())
}

fn point(x: &str, y: &str) -> Vec<u8> {
    [vec![4], hex(x), hex(y)].concat()
}

/// PKCS#8 of a P-384 key (RFC 5958 §2, RFC 5915 §3) with the public key inside, beside, in both places or nowhere.
fn p384_der(d: &str, inside: Option<&[u8]>, beside: Option<&[u8]>) -> Vec<u8> {
    let bits = |point: &[u8]| [&[0], point].concat();
    let mut sec1 = [tlv(2, &[1]), tlv(4, &hex(d))].concat();
    sec1.extend(inside.map(|point| tlv(0xa1, &tlv(3, &bits(point)))).unwrap_or_default());
    let version = u8::from(beside.is_some());
    let mut key = [tlv(2, &[version]), tlv(0x30, &hex(EC_P384)), tlv(4, &tlv(0x30, &sec1))].concat();
    key.extend(beside.map(|point| tlv(0x81, &bits(point))).unwrap_or_default());
    tlv(0x30, &key)
}

fn spki(algorithm: &str, bytes: &[u8]) -> Vec<u8> {
    tlv(0x30, &[tlv(0x30, &hex(algorithm)), tlv(3, &[&[0], bytes].concat())].concat())
}

/// The key in a file of its own, whose name the error of a refusal has.
fn from_file(name: &str, bytes: &[u8]) -> Result<KeyPair, Error> {
    // Tests run side by side.
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let name = format!("algorithms-{name}-{}", FILES.fetch_add(1, Ordering::Relaxed));
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
    std::fs::write(&path, bytes).unwrap();
    let key = KeyPair::from_file(&path);
    std::fs::remove_file(&path).unwrap();
    key.inspect_err(|error| assert!(error.to_string().contains(&name), "{error}"))
}

// ------------------------------------------------------------------------------------------------------- public keys

/// What `openssl pkey -pubout` writes is read with and without the feature, and the RSA exponent 3 with it: it is only for
/// checking. Then each beginning of it, and what is not such a key, or not quite.
#[test]
fn public_keys_of_openssl() {
    let of = |pem| {
        let [n, e, ..] = numbers_of(pem);
        rsa_public_jwk(&n, &e)
    };
    for (what, text, jwk) in [
        ("RSA 2048", openssl::RSA_2048_PUBLIC, of(openssl::RSA_2048)),
        ("RSA 3072", openssl::RSA_3072_PUBLIC, of(openssl::RSA_3072)),
        ("RSA 4096", openssl::RSA_4096_PUBLIC, of(openssl::RSA_4096)),
        ("exponent 3", openssl::RSA_EXPONENT_3_PUBLIC, of(openssl::RSA_EXPONENT_3)),
        ("P-384", openssl::P384_PUBLIC, p384_public_jwk(P384_X, P384_Y)),
    ] {
        let der = der_of(text);
        for key in [
            PublicKey::from_spki_pem(text),
            PublicKey::from_spki_der(&der),
            PublicKey::from_jwk(&jwk),
            PublicKey::from_jwk(&with(&jwk, r#""kid":"k","use":"sig""#)),
        ] {
            assert_eq!(key.unwrap_or_else(|error| panic!("{what}: {error}")).to_jwk(), jwk, "{what}");
        }
        for end in 0..der.len() {
            assert_refused(PublicKey::from_spki_der(&der[..end]), &ErrorKind::Key, &["public key"], what);
        }
        let longer = [der.as_slice(), &[0]].concat();
        assert_refused(PublicKey::from_spki_der(&longer), &ErrorKind::Key, &["SubjectPublicKeyInfo"], what);
    }

    let [n, e, ..] = numbers_of(openssl::RSA_2048);
    let rsa = |n: &[u8], e: &[u8]| tlv(0x30, &[integer(n), integer(e)].concat());
    assert_eq!(spki(RSA_ENCRYPTION, &rsa(&n, &e)), der_of(openssl::RSA_2048_PUBLIC));
    assert_eq!(spki(EC_P384, &point(P384_X, P384_Y)), der_of(openssl::P384_PUBLIC));
    let mut even = n.clone();
    *even.last_mut().unwrap() &= 0xfe;
    // INTEGERs have a sign, and the modulus of a key has its high bit set.
    let negative = tlv(0x30, &[tlv(2, &n), integer(&e)].concat());
    let zero_first = tlv(0x30, &[tlv(2, &[&[0, 0], n.as_slice()].concat()), integer(&e)].concat());
    let three_numbers = tlv(0x30, &[integer(&n), integer(&e), integer(&e)].concat());
    let [small, ..] = numbers_of(openssl::RSA_1024);
    let compressed = [vec![2 | hex(P384_Y).last().unwrap() & 1], hex(P384_X)].concat();
    let good = rsa(&n, &e);
    let bits_left_over = {
        let mut der = der_of(openssl::P384_PUBLIC);
        let at = der.len() - 98;
        assert_eq!(der[at..at + 2], [0, 4]);
        der[at] = 4;
        der
    };
    for (what, der) in [
        ("without NULL (RFC 8017 A.1)", spki("06092a864886f70d010101", &good)),
        ("an OID for NULL", spki("06092a864886f70d01010106052b81040022", &good)),
        ("RSASSA-PSS", der_of(openssl::RSA_PSS_PUBLIC)),
        ("RSASSA-PSS without parameters", spki("06092a864886f70d01010a", &good)),
        ("sha256WithRSAEncryption", spki("06092a864886f70d01010b0500", &good)),
        ("even n", spki(RSA_ENCRYPTION, &rsa(&even, &e))),
        ("negative n", spki(RSA_ENCRYPTION, &negative)),
        ("n with two zeros before it", spki(RSA_ENCRYPTION, &zero_first)),
        ("three numbers", spki(RSA_ENCRYPTION, &three_numbers)),
        ("e of 1", spki(RSA_ENCRYPTION, &rsa(&n, &[1]))),
        ("e of 2", spki(RSA_ENCRYPTION, &rsa(&n, &[2]))),
        ("e of 5 bytes", spki(RSA_ENCRYPTION, &rsa(&n, &[1, 0, 0, 0, 1]))),
        ("1024 bits", spki(RSA_ENCRYPTION, &rsa(&small, &e))),
        ("8192 bits", spki(RSA_ENCRYPTION, &rsa(&[0xff; 1024], &e))),
        ("something behind the numbers", spki(RSA_ENCRYPTION, &[good.as_slice(), &[0]].concat())),
        ("a P-384 point as RSA", spki(RSA_ENCRYPTION, &point(P384_X, P384_Y))),
        ("RSA numbers as P-384", spki(EC_P384, &good)),
        ("a compressed point", spki(EC_P384, &compressed)),
        ("infinity", spki(EC_P384, &[0])),
        ("96 bytes", spki(EC_P384, &point(P384_X, P384_Y)[..96])),
        ("98 bytes", spki(EC_P384, &[point(P384_X, P384_Y).as_slice(), &[0]].concat())),
        ("a hybrid point", spki(EC_P384, &[&[6 | 1], &point(P384_X, P384_Y)[1..]].concat())),
        ("bits left over", bits_left_over),
        ("P-521", spki("06072a8648ce3d020106052b81040023", &point(P384_X, P384_Y))),
        ("a private key", der_of(openssl::P384)),
        ("PKCS#1", good),
    ] {
        assert_refused(PublicKey::from_spki_der(&der), &ErrorKind::Key, &["public key"], what);
    }
    for text in [openssl::RSA_2048, openssl::P384, openssl::RSA_ENCRYPTED] {
        assert_refused(PublicKey::from_spki_pem(text), &ErrorKind::Key, &["PUBLIC KEY"], text);
    }
}

/// RFC 7518 §6.2.1: full size, no byte less or more.
#[test]
fn public_jwks_of_p384() {
    let good = p384_public_jwk(P384_X, P384_Y);
    for (member, x, y) in [
        ("`x`", &P384_X[2..], P384_Y),
        ("`y`", P384_X, &P384_Y[2..]),
        ("`x`", &format!("00{P384_X}"), P384_Y),
        ("`y`", P384_X, &format!("00{P384_Y}")),
    ] {
        let jwk = p384_public_jwk(x, y);
        assert_refused(PublicKey::from_jwk(&jwk), &ErrorKind::Key, &[member, "48"], &jwk);
    }
    assert_refused(PublicKey::from_jwk(&good.replace("P-384", "P-256")), &ErrorKind::Key, &["32"], "P-256");
    assert_refused(PublicKey::from_jwk(&good.replace("P-384", "P-521")), &ErrorKind::Key, &["66"], "P-521");
}
