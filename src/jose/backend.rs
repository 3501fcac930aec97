//! Signature backends: private keys that sign, and public keys that verify.
//!
//! The crates p256 and ed25519-dalek are part of every build. They generate, parse and serialize keys, check
//! points, and sign and verify with Ed25519. Everything else is done by one of two modules with the same
//! items: `ring` with the feature of that name, `rust_crypto` without it.

mod public_numbers;
#[cfg(test)]
mod tests;

#[cfg(feature = "ring")]
#[path = "backend/ring.rs"]
mod selected;
#[cfg(not(feature = "ring"))]
#[path = "backend/rust_crypto.rs"]
mod selected;

use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::der::Decode;
use zeroize::Zeroizing;

pub(crate) use self::public_numbers::{P256Point, P384Point, RsaPublicNumbers};
pub(crate) use self::selected::{generate_p384, supports};

use crate::crypto::{no_randomness, random};
use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::Algorithm;

/// A private key in memory that is wiped when dropped. ring keeps a copy of an RSA key that it does not wipe.
pub(crate) enum PrivateKey {
    P256 { key: p256::ecdsa::SigningKey, signer: selected::P256 },
    P384 { scalar: Zeroizing<[u8; 48]>, point: P384Point, signer: selected::P384 },
    Ed25519(ed25519_dalek::SigningKey),
    Rsa { pkcs1: Zeroizing<Vec<u8>>, public: RsaPublicNumbers, signer: selected::Rsa },
}

/// A public key that verifies signatures. That P-256 and P-384 keys are points of their curve is checked with
/// each signature. Of an Ed25519 key it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VerifyingKey {
    P256(P256Point),
    P384(P384Point),
    Ed25519(ed25519_dalek::VerifyingKey),
    Rsa(RsaPublicNumbers),
}

impl PrivateKey {
    pub(crate) fn generate_p256() -> Result<Self, Error> {
        use p256::elliptic_curve::Generate;
        let secret = p256::SecretKey::try_generate_from_rng(&mut getrandom::SysRng);
        Self::from_p256_secret(secret.map_err(no_randomness)?)
    }

    pub(crate) fn generate_ed25519() -> Result<Self, Error> {
        Ok(Self::from_ed25519_seed(&Zeroizing::new(random::<32>()?)))
    }

    pub(crate) fn from_p256_secret(secret: p256::SecretKey) -> Result<Self, Error> {
        let key = secret.into();
        let signer = selected::P256::new(&key)?;
        Ok(Self::P256 { key, signer })
    }

    pub(crate) fn from_ed25519_seed(seed: &[u8; 32]) -> Self {
        Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Creates a key from a scalar and its public point, which must match.
    pub(crate) fn from_p384(scalar: &[u8; 48], point: P384Point) -> Result<Self, Error> {
        let signer = selected::P384::new(scalar, point.as_sec1())?;
        Ok(Self::P384 { scalar: Zeroizing::new(*scalar), point, signer })
    }

    /// Creates a key from the DER of an `RSAPrivateKey` (RFC 8017 Appendix A.1.2).
    pub(crate) fn from_pkcs1_der(pkcs1: &[u8]) -> Result<Self, Error> {
        let refuse = |wrong: String| Error::new(ErrorKind::Key, "importing an RSA key", wrong);
        let parts = pkcs1::RsaPrivateKeyRef::from_der(pkcs1)
            .map_err(|_| refuse("it is not the DER of an RSAPrivateKey with two primes".to_owned()))?;
        let public = RsaPublicNumbers::from_pkcs1(&parts.public_key()).map_err(refuse)?;
        let signer = selected::Rsa::new(&parts)?;
        Ok(Self::Rsa { pkcs1: Zeroizing::new(pkcs1.to_vec()), public, signer })
    }

    /// Returns the signature in the form of JWS (RFC 7518 §3.3 to §3.5, RFC 8037 §3.1). The algorithm must
    /// fit the key.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Error> {
        match self {
            Self::P256 { key, signer } => signer.sign(key, message),
            Self::P384 { signer, .. } => signer.sign(message),
            Self::Ed25519(key) => Ok(key.sign(message).to_vec()),
            Self::Rsa { signer, .. } => signer.sign(algorithm, message),
        }
    }

    pub(crate) fn verifying_key(&self) -> VerifyingKey {
        match self {
            Self::P256 { key, .. } => VerifyingKey::from_p256(key.verifying_key()),
            Self::P384 { point, .. } => VerifyingKey::P384(point.clone()),
            Self::Ed25519(key) => VerifyingKey::Ed25519(key.verifying_key()),
            Self::Rsa { public, .. } => VerifyingKey::Rsa(public.clone()),
        }
    }
}

impl VerifyingKey {
    pub(crate) fn from_p256(key: &p256::ecdsa::VerifyingKey) -> Self {
        let point = key.to_sec1_point(false);
        // A key is never the point at infinity, which has no coordinates.
        let coordinate = |bytes: Option<&p256::FieldBytes>| bytes.copied().unwrap_or_default().into();
        Self::P256(P256Point::new(&coordinate(point.x()), &coordinate(point.y())))
    }

    /// Returns whether the key is a point of its curve, if this build can tell without a signature.
    pub(crate) fn is_on_curve(&self) -> bool {
        match self {
            Self::P256(point) => p256::PublicKey::from_sec1_bytes(point.as_sec1()).is_ok(),
            Self::P384(_) | Self::Ed25519(_) | Self::Rsa(_) => true,
        }
    }

    /// Creates an Ed25519 key, if `x` is the canonical encoding of a point that is not of small order. With
    /// other points, one signature can be valid for many messages or many keys.
    pub(crate) fn from_ed25519(x: &[u8; 32]) -> Option<Self> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(x).ok()?;
        (has_canonical_y(x) && !key.is_weak()).then_some(Self::Ed25519(key))
    }

    /// Verifies a signature by an algorithm that fits the key. Returns `None` where this build cannot verify
    /// it.
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Option<bool> {
        match self {
            Self::P256(point) => Some(selected::verify_p256(point.as_sec1(), message, signature)),
            Self::Ed25519(key) => Some(
                ed25519_dalek::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            ),
            Self::P384(point) => selected::verify_p384(point.as_sec1(), message, signature),
            Self::Rsa(numbers) => selected::verify_rsa(algorithm, numbers, message, signature),
        }
    }
}

/// Says why this build cannot verify an algorithm that it does not support.
pub(crate) fn no_verifier(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Es512 | Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => {
            "this crate does not verify it (a `SignatureVerifier` of yours can)"
        }
        _ => "this crate verifies it only with its feature `ring`",
    }
}

/// Returns whether the y coordinate of a compressed point is less than the prime 2^255 - 19 (RFC 8032 §5.1.3
/// step 1). The other non-canonical encoding, x = 0 with the sign bit set, is that of a point of small order.
fn has_canonical_y(point: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = point;
    highest & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff) || *lowest < 0xed
}
