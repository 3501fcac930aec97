//! base64url without padding (RFC 7515 §2).
//!
//! Decoding is strict: padding, characters of another alphabet, white space and unused bits that are not zero
//! are refused.
//!
//! Two libraries do it. base64ct takes the same time whatever the data are, as private keys and other secrets
//! need it. base64 looks characters up in a table and is several times faster, for what is public, or is a
//! secret to nobody who could measure the time: tokens, proofs, public keys, hashes, signatures.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

/// Encodes `data`.
pub(crate) fn base64url(data: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(data)
}

/// Encodes a secret.
pub(crate) fn secret_base64url(secret: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(Base64UrlUnpadded::encode_string(secret))
}

/// Encodes `data` and appends the text.
pub(crate) fn push_base64url(out: &mut String, data: &[u8]) {
    URL_SAFE_NO_PAD.encode_string(data, out);
}

/// Decodes `text`.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes the text of a secret.
pub(crate) fn from_secret_base64url(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    Base64UrlUnpadded::decode_vec(text).ok().map(Zeroizing::new)
}

/// Decodes `text`, appends the bytes and returns whether `text` is base64url.
pub(crate) fn push_decoded(out: &mut Vec<u8>, text: &str) -> bool {
    URL_SAFE_NO_PAD.decode_vec(text, out).is_ok()
}

/// Decodes `text`, if it encodes exactly `N` bytes.
pub(crate) fn from_base64url_to<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (length == N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515 Appendix C, and texts that are not the canonical encoding of their bytes.
    #[test]
    fn only_the_canonical_encoding_is_decoded() {
        assert_eq!(base64url(&[3, 236, 255, 224, 193]), "A-z_4ME");
        assert_eq!(from_base64url_to("A-z_4ME"), Some([3, 236, 255, 224, 193]));
        assert_eq!((from_base64url_to::<4>("A-z_4ME"), from_base64url_to::<6>("A-z_4ME")), (None, None));
        let mut decoded = vec![1];
        assert!(push_decoded(&mut decoded, "A-z_4ME"));
        assert_eq!(decoded, [1, 3, 236, 255, 224, 193]);
        let secret = from_secret_base64url("A-z_4ME").unwrap();
        assert_eq!((secret.as_slice(), secret_base64url(&secret).as_str()), (&decoded[1..], "A-z_4ME"));
        assert_eq!(from_base64url("A-z_4ME"), Some(vec![3, 236, 255, 224, 193]));
        for bad in ["A-z_4ME=", "A-z_4MF", "A+z/4ME", "A-z_4ME\n", " A-z_4ME", "A-z_4", "A-z_ 4ME", "A"] {
            assert_eq!(from_base64url(bad), None, "{bad:?}");
            assert_eq!(from_secret_base64url(bad), None, "{bad:?}");
            assert_eq!(from_base64url_to::<5>(bad), None, "{bad:?}");
            assert!(!push_decoded(&mut vec![1], bad), "{bad:?}");
        }
        let long: Vec<u8> = (0..5000u32).map(|n| n.to_le_bytes().iter().fold(0, |a, b| a ^ b)).collect();
        for length in [0, 1, 2, 3, 767, 768, 769, 1536, 5000] {
            let mut out = String::new();
            push_base64url(&mut out, &long[..length]);
            assert_eq!(out, base64url(&long[..length]));
        }
    }
}
