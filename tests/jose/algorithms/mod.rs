//! RSA and P-384: keys of OpenSSL and of RFCs in every encoding, and signatures, proofs and tokens with
//! RS256 to PS512 and ES384. Without the feature `ring` each of these is an error that says so.

#[allow(dead_code, reason = "fewer of them are needed without the feature `ring`")]
pub mod openssl;
mod public_keys;
mod rfc;
#[cfg(feature = "ring")]
mod with_ring;
#[cfg(not(feature = "ring"))]
mod without_ring;

use possession::{Algorithm, Error, KeyPair};

use crate::encoding::{b64u, der_of, hex, tlv, with};

/// The algorithms of RSA keys and of P-384.
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

/// `id-ecPublicKey` and `secp384r1`, `rsaEncryption` with its NULL, as AlgorithmIdentifiers (RFC 5480, RFC
/// 8017 A.1).
const EC_P384: &str = "06072a8648ce3d020106052b81040022";

const RSA_ENCRYPTION: &str = "06092a864886f70d0101010500";

/// The members of a private JWK of an RSA key in the order of an `RSAPrivateKey` (RFC 8017 Appendix A.1.2).
const NAMES: [&str; 8] = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];

/// A positive INTEGER: a zero before a high bit and none elsewhere (X.690 §8.3).
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

/// The PKCS#8 (RFC 5208 §5) around an `RSAPrivateKey`.
fn pkcs8_rsa(pkcs1: &[u8]) -> Vec<u8> {
    tlv(0x30, &[tlv(2, &[0]), tlv(0x30, &hex(RSA_ENCRYPTION)), tlv(4, pkcs1)].concat())
}

/// The content of the first DER element, and what follows the element.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, head) = match der[1] {
        0x82 => (usize::from(u16::from_be_bytes([der[2], der[3]])), 4),
        0x81 => (usize::from(der[2]), 3),
        short => (usize::from(short), 2),
    };
    der[head..].split_at(length)
}

/// The output of `openssl pkey -traditional` for an RSA key: the bytes inside the PKCS#8 of the same key.
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

/// PKCS#8 of a P-384 key (RFC 5958 §2, RFC 5915 §3) with the public key inside the `ECPrivateKey`, next to
/// it, in both places or in neither.
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

/// Reads the key from a file of its own. The error of a refusal contains the name of the file.
fn from_file(name: &str, bytes: &[u8]) -> Result<KeyPair, Error> {
    let file = tempfile::Builder::new().prefix(name).tempfile().unwrap();
    std::fs::write(&file, bytes).unwrap();
    let name = file.path().to_str().unwrap();
    KeyPair::from_file(&file).inspect_err(|error| assert!(error.to_string().contains(name), "{error}"))
}
