//! Encodings of keys, and the check of an error.

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use possession::{Error, ErrorKind, KeyPair};

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}

pub fn b64u(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// The DER inside a PEM text.
pub fn der_of(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Base64::decode_vec(&body).unwrap()
}

pub fn pem(label: &str, der: &[u8]) -> String {
    let text = Base64::encode_string(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A DER element. Lengths of up to three bytes are enough here.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let head = match length {
        0..=127 => vec![tag, low],
        128..=255 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, content.to_vec()].concat()
}

/// `jwk` with more members.
pub fn with(jwk: &str, members: &str) -> String {
    format!("{},{members}}}", jwk.strip_suffix('}').unwrap())
}

/// An uncompressed point (SEC 1 §2.3.3).
pub fn point(x: &str, y: &str) -> Vec<u8> {
    [vec![4], hex(x), hex(y)].concat()
}

/// Checks that `result` is an error of that kind whose text contains each of `words`.
pub fn assert_refused<T>(result: Result<T, Error>, kind: &ErrorKind, words: &[&str], what: &str) {
    let Err(error) = result else { panic!("{what} was accepted") };
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{what}: {text}");
    for word in words {
        assert!(text.contains(word), "{what}: {word:?} is missing in: {text}");
    }
}

/// Checks that no prefix of a PKCS#8 key is read, in any encoding, nor its DER followed by another byte.
pub fn assert_only_the_whole_key_is_read(pem: &str) {
    let der = der_of(pem);
    for end in 0..der.len() {
        assert_refused(KeyPair::from_pkcs8_der(&der[..end]), &ErrorKind::Key, &["PKCS#8"], "truncated");
    }
    assert_refused(KeyPair::from_pkcs8_der(&[der.as_slice(), &[0]].concat()), &ErrorKind::Key, &[], "longer");
    let whole = pem.trim_end();
    for end in 0..whole.len() {
        assert_refused(KeyPair::from_pkcs8_pem(&whole[..end]), &ErrorKind::Key, &["PEM"], "truncated");
    }
    let jwk = KeyPair::from_pkcs8_pem(pem).unwrap().to_jwk();
    for end in 0..jwk.len() {
        assert_refused(KeyPair::from_jwk(&jwk[..end]), &ErrorKind::Key, &["JWK"], "truncated");
    }
}
