//! The one place where signatures, hashes and randomness are made: other backends would join here.

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::pkcs8::DecodePublicKey;
use rand_core::TryRng;
use sha2::digest::block_api::EagerHash;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// A private key in memory. Both kinds wipe themselves when dropped.
pub(crate) enum PrivateKey {
    P256(p256::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

/// A public key that passed the checks of its curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VerifyingKey {
    P256(p256::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl PrivateKey {
    pub(crate) fn generate_p256() -> Result<Self, Error> {
        use p256::elliptic_curve::Generate;
        let secret = p256::SecretKey::try_generate_from_rng(&mut getrandom::SysRng).map_err(no_randomness)?;
        Ok(Self::P256(secret.into()))
    }

    pub(crate) fn generate_ed25519() -> Result<Self, Error> {
        let seed = Zeroizing::new(random::<32>()?);
        Ok(Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// The signature as JWS wants it: R || S of 32 octets each (RFC 7518 §3.4), deterministic (RFC 6979); or the 64
    /// octets of RFC 8032.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 64], Error> {
        match self {
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message).map_err(|error| {
                    Error::new(ErrorKind::Signer, "signing with a P-256 key", error.to_string())
                })?;
                Ok(signature.to_bytes().into())
            }
            Self::Ed25519(key) => Ok(key.sign(message).to_bytes()),
        }
    }

    pub(crate) fn verifying_key(&self) -> VerifyingKey {
        match self {
            Self::P256(key) => VerifyingKey::P256(*key.verifying_key()),
            Self::Ed25519(key) => VerifyingKey::Ed25519(key.verifying_key()),
        }
    }
}

impl VerifyingKey {
    /// A point of P-256 from its coordinates, checked to lie on the curve.
    pub(crate) fn p256(x: &[u8; 32], y: &[u8; 32]) -> Option<Self> {
        let mut sec1 = [4; 65];
        let (_, coordinates) = sec1.split_first_mut()?;
        let (left, right) = coordinates.split_at_mut_checked(32)?;
        left.copy_from_slice(x);
        right.copy_from_slice(y);
        p256::ecdsa::VerifyingKey::from_sec1_bytes(&sec1).ok().map(Self::P256)
    }

    /// A point of edwards25519 in its one canonical encoding and not of small order: with the others, signatures exist
    /// that hold for many messages or many keys.
    pub(crate) fn ed25519(x: &[u8; 32]) -> Option<Self> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(x).ok()?;
        (is_reduced(x) && !key.is_weak()).then_some(Self::Ed25519(key))
    }

    pub(crate) fn from_spki_der(der: &[u8]) -> Option<Self> {
        if let Ok(key) = p256::PublicKey::from_public_key_der(der) {
            return Some(Self::P256(key.into()));
        }
        let key = ed25519_dalek::pkcs8::PublicKeyBytes::from_public_key_der(der).ok()?;
        Self::ed25519(&key.to_bytes())
    }

    /// The coordinates: x and y for P-256, x alone for Ed25519.
    pub(crate) fn coordinates(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        match self {
            Self::P256(key) => {
                let point = key.to_sec1_point(false);
                let part = |part: Option<&p256::FieldBytes>| part.map(|part| part.to_vec());
                (part(point.x()).unwrap_or_default(), part(point.y()))
            }
            Self::Ed25519(key) => (key.to_bytes().to_vec(), None),
        }
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
        }
    }
}

/// Whether the y coordinate in a compressed point is below the prime 2^255 - 19 (RFC 8032 §5.1.3 step 1). The other
/// encoding that is not canonical, x = 0 with its sign bit set, is of a point of small order.
fn is_reduced(point: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = point;
    highest & 0x7f != 0x7f || middle.iter().any(|octet| *octet != 0xff) || *lowest < 0xed
}

/// The R || S of an ECDSA signature on P-256 in DER.
pub(crate) fn es256_from_der(der: &[u8]) -> Option<Vec<u8>> {
    p256::ecdsa::Signature::from_der(der).ok().map(|signature| signature.to_bytes().to_vec())
}

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

/// Octets from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut octets = [0; N];
    getrandom::SysRng.try_fill_bytes(&mut octets).map_err(no_randomness)?;
    Ok(octets)
}

fn no_randomness(error: getrandom::Error) -> Error {
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

    /// V-04: Project Wycheproof on the two algorithms that are checked here. The counts are theirs, so that a set which
    /// is not read does not pass for one that holds.
    #[test]
    fn v04_wycheproof() {
        use wycheproof::{TestResult, ecdsa, eddsa};
        let mut wrong = Vec::new();
        let mut compare = |id: String, expected: TestResult, seen: bool| {
            // None of either set is merely `acceptable`.
            if seen != (expected == TestResult::Valid) {
                wrong.push(format!("{id} is {expected:?}"));
            }
        };

        let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
        assert_eq!(set.number_of_tests, 262);
        let mut count = 0;
        for group in &set.test_groups {
            let [4, point @ ..] = group.key.key.as_slice() else { panic!("not an uncompressed point") };
            let (x, y) = point.split_at(32);
            let key = VerifyingKey::p256(x.try_into().unwrap(), y.try_into().unwrap());
            for test in &group.tests {
                count += 1;
                let seen = key.as_ref().is_some_and(|key| key.verify(&test.msg, &test.sig));
                compare(format!("ES256 {} ({})", test.tc_id, test.comment), test.result, seen);
            }
        }
        assert_eq!(count, set.number_of_tests);

        let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
        assert_eq!(set.number_of_tests, 151);
        let mut count = 0;
        for group in &set.test_groups {
            let key = VerifyingKey::ed25519(group.key.pk.as_slice().try_into().unwrap());
            for test in &group.tests {
                count += 1;
                let seen = key.as_ref().is_some_and(|key| key.verify(&test.msg, &test.sig));
                compare(format!("Ed25519 {} ({})", test.tc_id, test.comment), test.result, seen);
            }
        }
        assert_eq!(count, set.number_of_tests);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
