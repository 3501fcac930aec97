//! The backend without the feature `ring`: P-256 by the crate p256. It has neither P-384 nor RSA.

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use pkcs1::RsaPrivateKeyRef;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::Algorithm;
use crate::jose::backend::public_numbers::RsaPublicNumbers;

pub(crate) struct P256;
/// A key that cannot be created.
pub(crate) enum P384 {}
/// A key that cannot be created.
pub(crate) enum Rsa {}

/// Returns whether signatures by the algorithm can be verified.
pub(crate) fn supports(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::Es256 | Algorithm::Ed25519)
}

impl P256 {
    pub(crate) fn new(_: &p256::ecdsa::SigningKey) -> Result<Self, Error> {
        Ok(Self)
    }

    /// Signs deterministically (RFC 6979).
    pub(crate) fn sign(&self, key: &p256::ecdsa::SigningKey, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: p256::ecdsa::Signature = key
            .try_sign(message)
            .map_err(|error| Error::new(ErrorKind::Signer, "signing with a P-256 key", error.to_string()))?;
        Ok(signature.to_bytes().to_vec())
    }
}

pub(crate) fn verify_p256(point: &[u8; 65], message: &[u8], signature: &[u8]) -> bool {
    p256::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok_and(|key| {
        p256::ecdsa::Signature::from_slice(signature)
            .is_ok_and(|signature| key.verify(message, &signature).is_ok())
    })
}

impl P384 {
    pub(crate) fn new(_: &[u8; 48], _: &[u8; 97]) -> Result<Self, Error> {
        Err(needs_ring(IMPORTING, "it is a P-384 key: ES384 signatures"))
    }

    pub(crate) fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        match *self {}
    }
}

pub(crate) fn verify_p384(_: &[u8; 97], _: &[u8], _: &[u8]) -> Option<bool> {
    None
}

pub(crate) fn generate_p384() -> Result<Zeroizing<Vec<u8>>, Error> {
    Err(needs_ring("generating a key", "ES384 keys"))
}

impl Rsa {
    pub(crate) fn new(_: &RsaPrivateKeyRef<'_>) -> Result<Self, Error> {
        Err(needs_ring(IMPORTING, "it is an RSA key: RS256, RS384, RS512, PS256, PS384 and PS512 signatures"))
    }

    pub(crate) fn sign(&self, _: Algorithm, _: &[u8]) -> Result<Vec<u8>, Error> {
        match *self {}
    }
}

pub(crate) fn verify_rsa(_: Algorithm, _: &RsaPublicNumbers, _: &[u8], _: &[u8]) -> Option<bool> {
    None
}

const IMPORTING: &str = "importing a private key";

fn needs_ring(doing: &'static str, what: &str) -> Error {
    let wrong = format!("{what} need the feature `ring` of this crate or a `Signer` of yours");
    Error::new(ErrorKind::Algorithm, doing, wrong)
}
