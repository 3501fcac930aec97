//! The backend with the feature `ring`: P-256, P-384 and RSA by ring.

use std::hint::black_box;
use std::sync::LazyLock;

use crypto_bigint::{NonZero, U4096};
use pkcs1::RsaPrivateKeyRef;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, RsaEncoding, RsaParameters, UnparsedPublicKey,
};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::Algorithm;
use crate::jose::backend::public_numbers::RsaPublicNumbers;

pub(crate) struct P256(Ecdsa);
pub(crate) struct P384(Ecdsa);
pub(crate) struct Rsa(ring::rsa::KeyPair);

/// ring's representation of a private key. ring does not wipe it, so it is overwritten in place when it is
/// dropped.
struct Ecdsa {
    pair: Box<EcdsaKeyPair>,
    /// The key that overwrites it, which is not used for anything else. It is generated when this key is
    /// created, where a lack of random bytes can still be reported.
    spare: Option<EcdsaKeyPair>,
}

static RANDOM: LazyLock<SystemRandom> = LazyLock::new(SystemRandom::new);

/// Returns whether signatures by the algorithm can be verified.
pub(crate) fn supports(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::Es256 | Algorithm::Es384 | Algorithm::Ed25519)
        || rsa_parameters(algorithm).is_some()
}

impl P256 {
    pub(crate) fn new(key: &p256::ecdsa::SigningKey) -> Result<Self, Error> {
        let scalar = Zeroizing::new(key.to_bytes());
        let point = key.verifying_key().to_sec1_point(false);
        Ecdsa::new(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &scalar, point.as_bytes()).map(Self)
    }

    /// Signs. ring derives the ECDSA nonce from random bytes, the key and the message, so that a weak random
    /// source does not reveal the key.
    pub(crate) fn sign(&self, _: &p256::ecdsa::SigningKey, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sign(message)
    }
}

pub(crate) fn verify_p256(point: &[u8; 65], message: &[u8], signature: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
    key.verify(message, signature).is_ok()
}

impl P384 {
    pub(crate) fn new(scalar: &[u8; 48], point: &[u8; 97]) -> Result<Self, Error> {
        Ecdsa::new(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, scalar, point).map(Self)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sign(message)
    }
}

pub(crate) fn verify_p384(point: &[u8; 97], message: &[u8], signature: &[u8]) -> Option<bool> {
    let key = UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point);
    Some(key.verify(message, signature).is_ok())
}

impl Ecdsa {
    fn new(algorithm: &'static EcdsaSigningAlgorithm, scalar: &[u8], point: &[u8]) -> Result<Self, Error> {
        let spare = EcdsaKeyPair::generate_pkcs8(algorithm, &*RANDOM).map_err(|_| no_ecdsa_key())?;
        let spare = EcdsaKeyPair::from_pkcs8(algorithm, spare.as_ref(), &*RANDOM);
        let spare = Some(spare.map_err(|_| no_ecdsa_key())?);
        let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, scalar, point, &*RANDOM);
        let pair = pair.map(Box::new).map_err(|rejected| {
            let wrong = format!("its private and its public key do not match: {rejected}");
            Error::new(ErrorKind::Key, "importing a private key", wrong)
        })?;
        Ok(Self { pair, spare })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match self.pair.sign(&*RANDOM, message) {
            Ok(signature) => Ok(signature.as_ref().to_vec()),
            Err(_) => Err(no_signature()),
        }
    }
}

impl Drop for Ecdsa {
    fn drop(&mut self) {
        if let Some(spare) = self.spare.take() {
            overwrite(&mut *self.pair, spare);
        }
    }
}

/// Returns the PKCS#8 DER of a new P-384 key.
pub(crate) fn generate_p384() -> Result<Zeroizing<Vec<u8>>, Error> {
    let generate = || {
        EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, &*RANDOM)
            .map_err(|_| no_ecdsa_key())
    };
    let (spare, mut document) = (generate()?, generate()?);
    let der = Zeroizing::new(document.as_ref().to_vec());
    overwrite(&mut document, spare);
    Ok(der)
}

/// Wipes a value that has no method for it: another value is written to its place.
fn overwrite<T>(place: &mut T, other: T) {
    *place = other;
    // Without this, the compiler could omit the write, because nothing reads the value.
    black_box(place);
}

impl Rsa {
    pub(crate) fn new(parts: &RsaPrivateKeyRef<'_>) -> Result<Self, Error> {
        let doing = "importing an RSA key";
        let components = KeyPairComponents {
            public_key: PublicKeyComponents {
                n: parts.modulus.as_bytes(),
                e: parts.public_exponent.as_bytes(),
            },
            d: parts.private_exponent.as_bytes(),
            p: parts.prime1.as_bytes(),
            q: parts.prime2.as_bytes(),
            dP: parts.exponent1.as_bytes(),
            dQ: parts.exponent2.as_bytes(),
            qInv: parts.coefficient.as_bytes(),
        };
        let pair = ring::rsa::KeyPair::from_components(&components).map_err(|_| {
            let wrong = "it cannot sign (a signing key has 2048, 3072 or 4096 bits, an exponent of 65537 or more, two \
                         primes of half the size, and consistent numbers)";
            Error::new(ErrorKind::Key, doing, wrong)
        })?;
        let pair = Self(pair);
        // ring never uses `d`, but another program may that imports the exported key.
        if !exponents_match(parts) {
            return Err(Error::new(
                ErrorKind::Key,
                doing,
                "its numbers are inconsistent: `d` does not belong to the primes",
            ));
        }
        // ring checks whether the exponents fit the primes when it signs.
        match pair.sign(Algorithm::Rs256, b"") {
            Ok(_) => Ok(pair),
            Err(_) => Err(Error::new(ErrorKind::Key, doing, "its numbers are inconsistent")),
        }
    }

    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Error> {
        let padding = rsa_parameters(algorithm).ok_or_else(no_signature)?.0;
        let mut signature = vec![0; self.0.public().modulus_len()];
        match self.0.sign(padding, &*RANDOM, message, &mut signature) {
            Ok(()) => Ok(signature),
            Err(_) => Err(no_signature()),
        }
    }
}

pub(crate) fn verify_rsa(
    algorithm: Algorithm,
    numbers: &RsaPublicNumbers,
    message: &[u8],
    signature: &[u8],
) -> Option<bool> {
    let parameters = rsa_parameters(algorithm)?.1;
    let key = PublicKeyComponents { n: numbers.modulus(), e: numbers.exponent() };
    Some(key.verify(parameters, message, signature).is_ok())
}

/// Returns whether dP is d modulo p - 1 and dQ is d modulo q - 1 (RFC 8017 §3.2). ring checks that they fit e
/// and the primes.
fn exponents_match(parts: &RsaPrivateKeyRef<'_>) -> bool {
    let number = |bytes: &[u8]| {
        let mut padded = Zeroizing::new([0; 512]);
        let start = padded.len().checked_sub(bytes.len())?;
        padded.get_mut(start..)?.copy_from_slice(bytes);
        Some(Zeroizing::new(U4096::from_be_slice(&*padded)))
    };
    let fits = |prime: &[u8], exponent: &[u8]| {
        let (d, prime, exponent) =
            (number(parts.private_exponent.as_bytes())?, number(prime)?, number(exponent)?);
        let modulus = Option::<NonZero<U4096>>::from(NonZero::new(prime.wrapping_sub(&U4096::ONE)))?;
        Some(Zeroizing::new(d.rem(&modulus)) == exponent)
    };
    fits(parts.prime1.as_bytes(), parts.exponent1.as_bytes()) == Some(true)
        && fits(parts.prime2.as_bytes(), parts.exponent2.as_bytes()) == Some(true)
}

/// Returns ring's parameters for signing and for verifying. The salt of PSS is as long as the hash, and MGF1
/// uses the same hash (RFC 7518 §3.5).
fn rsa_parameters(algorithm: Algorithm) -> Option<(&'static dyn RsaEncoding, &'static RsaParameters)> {
    Some(match algorithm {
        Algorithm::Rs256 => (&signature::RSA_PKCS1_SHA256, &signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => (&signature::RSA_PKCS1_SHA384, &signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => (&signature::RSA_PKCS1_SHA512, &signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => (&signature::RSA_PSS_SHA256, &signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => (&signature::RSA_PSS_SHA384, &signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => (&signature::RSA_PSS_SHA512, &signature::RSA_PSS_2048_8192_SHA512),
        _ => return None,
    })
}

fn no_ecdsa_key() -> Error {
    Error::new(
        ErrorKind::Random,
        "generating an ECDSA key",
        "ring got no random bytes, or none that make a key",
    )
}

fn no_signature() -> Error {
    Error::new(ErrorKind::Signer, "signing with a key in memory", "ring returned no signature")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, SeekFrom};

    use super::*;

    /// C-72: ring's representation of a key is overwritten when the key is dropped. Not covered are copies
    /// that the compiler left on the stack while the key was created, and RSA keys, which ring does not
    /// expose.
    #[test]
    fn ecdsa_keys_are_overwritten() {
        let words = |place: usize| -> Vec<u64> {
            let mut bytes = vec![0; size_of::<EcdsaKeyPair>()];
            let mut memory = File::open("/proc/self/mem").unwrap();
            memory.seek(SeekFrom::Start(place as u64)).unwrap();
            memory.read_exact(&mut bytes).unwrap();
            bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect()
        };
        for algorithm in
            [&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &signature::ECDSA_P384_SHA384_FIXED_SIGNING]
        {
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &*RANDOM).unwrap();
            let pair = Box::new(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &*RANDOM).unwrap());
            let place = std::ptr::from_ref(&*pair).addr();
            let spare = EcdsaKeyPair::generate_pkcs8(algorithm, &*RANDOM).unwrap();
            let spare = EcdsaKeyPair::from_pkcs8(algorithm, spare.as_ref(), &*RANDOM).ok();
            let key = Ecdsa { pair, spare };
            let before = words(place);
            drop(key);
            let after = words(place);
            // The allocator writes into freed memory, too. Without the overwriting the other words would be
            // unchanged: the private scalar, the secret that nonces are derived from, the public key. Lengths
            // and the algorithm remain.
            let kept = before.iter().zip(&after).filter(|(before, after)| before == after && **before != 0);
            assert!(before.iter().filter(|word| **word > 0xffff).count() > 16, "the key was not read");
            assert!(kept.count() <= 4, "{before:x?} became {after:x?}");
        }
    }
}
