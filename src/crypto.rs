//! Hashes, MACs, randomness and base64url.

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use rand_core::TryRng;
use sha2::digest::block_api::EagerHash;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind};

/// HMAC with one of the SHA-2 hashes, for `client_secret_jwt` (RFC 7518 §3.2).
pub(crate) fn hmac<H: EagerHash>(key: &[u8], message: &[u8]) -> Result<Vec<u8>, Error>
where
    Hmac<H>: Mac + KeyInit,
{
    let mut mac = <Hmac<H> as KeyInit>::new_from_slice(key)
        .map_err(|error| Error::new(ErrorKind::AuthMethod, "keying an HMAC", error.to_string()))?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().to_vec())
}

pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}

/// The hash of all parts, one behind the other.
pub(crate) fn sha256_of(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> [u8; 32] {
    parts.into_iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

/// Octets from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut octets = [0; N];
    getrandom::SysRng.try_fill_bytes(&mut octets).map_err(no_randomness)?;
    Ok(octets)
}

pub(crate) fn no_randomness(error: getrandom::Error) -> Error {
    Error::new(ErrorKind::Random, "asking the operating system for randomness", error.to_string())
        .with_source(error)
}

/// A `jti`: a version 4 UUID of 122 random bits (RFC 9449 §4.2). Not `Uuid::new_v4`, which panics without randomness.
pub(crate) fn jti() -> Result<uuid::Uuid, Error> {
    Ok(uuid::Builder::from_random_bytes(random()?).into_uuid())
}

pub(crate) fn base64url(data: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(data)
}

/// Appends the base64url of `data`.
pub(crate) fn push_base64url(out: &mut String, data: &[u8]) {
    let mut buffer = [0; 1024];
    // 768 octets are exactly 1,024 characters, so the pieces join without padding.
    for piece in data.chunks(768) {
        if let Ok(text) = Base64UrlUnpadded::encode(piece, &mut buffer) {
            out.push_str(text);
        }
    }
}

/// Strictly: no padding, no other alphabet, no white space, no bits left over (RFC 7515 §2).
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text).ok()
}

/// Appends what `text` encodes, strictly, and says whether it is base64url.
pub(crate) fn push_decoded(out: &mut Vec<u8>, text: &str) -> bool {
    let start = out.len();
    // Never shorter than what is decoded.
    out.resize(start.saturating_add(text.len()), 0);
    let decoded = out.get_mut(start..).and_then(|room| Base64UrlUnpadded::decode(text, room).ok());
    let length = decoded.map(<[u8]>::len);
    out.truncate(start.saturating_add(length.unwrap_or_default()));
    length.is_some()
}

/// What `text` encodes, strictly, if it is so many octets.
pub(crate) fn from_base64url_to<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut octets = [0; N];
    let length = Base64UrlUnpadded::decode(text, &mut octets).ok()?.len();
    (length == N).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515 Appendix C, and what is not the one encoding of its octets.
    #[test]
    fn base64url_has_one_form() {
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

    /// RFC 7515 Appendix A.1.
    #[test]
    fn hs256_of_rfc_7515() {
        let key = from_base64url(
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        )
        .unwrap();
        let input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let mac = hmac::<Sha256>(&key, input.as_bytes()).unwrap();
        assert_eq!(base64url(&mac), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }
}
