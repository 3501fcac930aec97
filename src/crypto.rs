//! Hashes, MACs and random bytes.

use hmac::{Hmac, KeyInit, Mac};
use rand_core::TryRng;
use sha2::digest::block_api::EagerHash;
use subtle::ConstantTimeEq;

use crate::error::{Error, ErrorKind};

const COMPUTING_AN_HMAC: &str = "computing an HMAC";

/// Returns the HMAC of `message` with one of the SHA-2 hashes, for `client_secret_jwt` (RFC 7518 §3.2).
pub(crate) fn hmac<H: EagerHash>(key: &[u8], message: &[u8]) -> Result<Vec<u8>, Error>
where
    Hmac<H>: Mac + KeyInit,
{
    let mut mac = <Hmac<H> as KeyInit>::new_from_slice(key)
        .map_err(|error| Error::new(ErrorKind::AuthMethod, COMPUTING_AN_HMAC, error.to_string()))?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().to_vec())
}

/// A key of HMAC-SHA256, prepared once for many messages. It is wiped when dropped; one of ring would not be.
#[derive(Clone)]
pub(crate) struct HmacKey(Hmac<sha2::Sha256>);

impl HmacKey {
    pub(crate) fn new(key: &[u8]) -> Result<Self, Error> {
        let key = KeyInit::new_from_slice(key);
        key.map(Self).map_err(|error| Error::new(ErrorKind::Random, COMPUTING_AN_HMAC, error.to_string()))
    }

    /// Returns the HMAC of the concatenation of `parts`.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

/// Compares two hashes in constant time, word by word: subtle compares slices of bytes one by one.
pub(crate) fn are_equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let (words, _) = one.as_chunks();
    let (others, _) = other.as_chunks();
    let pairs = words.iter().copied().zip(others.iter().copied());
    let equal = pairs.fold(subtle::Choice::from(1), |equal, (word, other)| {
        equal & u64::from_ne_bytes(word).ct_eq(&u64::from_ne_bytes(other))
    });
    equal.into()
}

/// Returns the SHA-256 hash of `data`.
pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    sha256_of([data])
}

/// Returns the SHA-256 hash of the concatenation of `parts`.
#[cfg(not(feature = "ring"))]
pub(crate) fn sha256_of(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    parts.into_iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

/// Returns the SHA-256 hash of the concatenation of `parts`. On processors without instructions for it, ring
/// is faster than the crate sha2.
#[cfg(feature = "ring")]
pub(crate) fn sha256_of(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    parts.into_iter().for_each(|part| context.update(part.as_ref()));
    let mut hash = [0; 32];
    hash.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// Returns random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::SysRng.try_fill_bytes(&mut bytes).map_err(no_randomness)?;
    Ok(bytes)
}

/// Returns the error for a failure of the operating system's random source.
pub(crate) fn no_randomness(error: getrandom::Error) -> Error {
    Error::new(ErrorKind::Random, "requesting random bytes from the operating system", error.to_string())
        .with_source(error)
}

/// Returns a `jti`: a version 4 UUID with 122 random bits (RFC 9449 §4.2). `Uuid::new_v4` would panic without
/// random bytes.
pub(crate) fn jti() -> Result<uuid::Uuid, Error> {
    Ok(uuid::Builder::from_random_bytes(random()?).into_uuid())
}

#[cfg(test)]
mod tests {
    use sha2::Sha256;

    use super::*;
    use crate::jose::base64url::{base64url, from_base64url};

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
        let (start, rest) = input.split_at(40);
        let mac = HmacKey::new(&key).unwrap().mac(&[start.as_bytes(), rest.as_bytes()]);
        assert_eq!(base64url(&mac), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn hashes_that_differ_in_one_bit_are_not_equal() {
        let hash: [u8; 32] = std::array::from_fn(|place| place as u8);
        assert!(are_equal(&hash, &hash.clone()));
        for bit in 0..256 {
            let mut other = hash;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!are_equal(&hash, &other), "{bit}");
        }
    }
}
