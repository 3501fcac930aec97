//! base64url without padding (RFC 7515 §2).
//!
//! Decoding is strict: padding, characters of another alphabet, white space and unused bits that are not zero are refused.

use base64ct::{Base64UrlUnpadded, Encoding};

/// Encodes `data`.
pub(crate) fn base64url(data: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(data)
}

/// Encodes `data` and appends the text.
pub(crate) fn push_base64url(out: &mut String, data: &[u8]) {
    let mut buffer = [0; 1024];
    // 768 bytes are exactly 1,024 characters, so the pieces join without padding.
    for piece in data.chunks(768) {
        if let Ok(text) = Base64UrlUnpadded::encode(piece, &mut buffer) {
            out.push_str(text);
        }
    }
}

/// Decodes `text`.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text).ok()
}

/// Decodes `text`, appends the bytes and returns whether `text` is base64url.
pub(crate) fn push_decoded(out: &mut Vec<u8>, text: &str) -> bool {
    let start = out.len();
    // The text is never shorter than the decoded bytes.
    out.resize(start.saturating_add(text.len()), 0);
    let decoded = out.get_mut(start..).and_then(|buffer| Base64UrlUnpadded::decode(text, buffer).ok());
    let length = decoded.map(<[u8]>::len);
    out.truncate(start.saturating_add(length.unwrap_or_default()));
    length.is_some()
}

/// Decodes `text`, if it encodes exactly `N` bytes.
pub(crate) fn from_base64url_to<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let length = Base64UrlUnpadded::decode(text, &mut bytes).ok()?.len();
    (length == N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515 Appendix C, and texts that are not the canonical encoding of their bytes.
    #[test]
    fn only_the_canonical_encoding_is_decoded() {
        assert_eq!(base64url(&[3, 236, 255, 224, 193]), "A-z_4ME");
        assert_eq!(from_base64url("A-z_4ME"), Some(vec![3, 236, 255, 224, 193]));
        for bad in ["A-z_4ME=", "A-z_4MF", "A+z/4ME", "A-z_4ME\n", " A-z_4ME", "A-z_4", "A-z_ 4ME", "A"] {
            assert_eq!(from_base64url(bad), None, "{bad:?}");
        }
        let long: Vec<u8> = (0..5000u32).map(|n| n.to_le_bytes().iter().fold(0, |a, b| a ^ b)).collect();
        for length in [0, 1, 2, 3, 767, 768, 769, 1536, 5000] {
            let mut out = String::new();
            push_base64url(&mut out, &long[..length]);
            assert_eq!(out, base64url(&long[..length]));
        }
    }
}
