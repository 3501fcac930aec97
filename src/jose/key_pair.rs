//! Private keys in memory.

mod export;
mod file;
mod import;
mod rsa_primes;

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::{Algorithm, KeyType};
use crate::jose::backend::{PrivateKey, generate_p384};
use crate::jose::public_key::PublicKey;
use crate::jose::signer::{Signer, check_fit};

/// A private key in memory with its public key: P-256 or Ed25519, and with the feature `ring` also P-384 or
/// RSA (`RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`).
///
/// ```
/// use possession::{Algorithm, KeyPair};
///
/// let key = KeyPair::generate(Algorithm::Es256)?;
/// let stored = key.to_pkcs8_pem()?; // wiped when dropped, like the key
/// assert_eq!(KeyPair::from_pkcs8_pem(&stored)?.to_public(), key.to_public());
/// # Ok::<(), possession::Error>(())
/// ```
///
/// `Debug` shows the kind of the key and its thumbprint only. A key pair cannot be cloned, compared or
/// serialized by accident; share it with an [`Arc`](std::sync::Arc). It is wiped when it is dropped, with two
/// exceptions. ring keeps its own copy of an RSA key, which it frees without wiping. Libraries may leave
/// copies on the stack of the thread that generates or imports a key, until that part of the stack is used
/// again.
///
/// ```compile_fail
/// fn clones<T: Clone>() {}
/// clones::<possession::KeyPair>();
/// ```
pub struct KeyPair {
    private: PrivateKey,
    public: PublicKey,
    algorithm: Algorithm,
    key_id: Option<String>,
    algorithm_name: Option<&'static str>,
}

impl KeyPair {
    fn new(private: PrivateKey) -> Self {
        let algorithm = match private {
            PrivateKey::P256 { .. } => Algorithm::Es256,
            PrivateKey::P384 { .. } => Algorithm::Es384,
            PrivateKey::Ed25519(_) => Algorithm::Ed25519,
            PrivateKey::Rsa { .. } => Algorithm::Rs256,
        };
        let public = PublicKey::from_verifying_key(private.verifying_key());
        Self { private, public, algorithm, key_id: None, algorithm_name: None }
    }

    /// Generates a key with random bytes from the operating system, for [`Es256`](Algorithm::Es256),
    /// [`Ed25519`](Algorithm::Ed25519) or, with the feature `ring`, [`Es384`](Algorithm::Es384).
    ///
    /// # Errors
    /// - [`Algorithm`](ErrorKind::Algorithm) for another algorithm.
    /// - [`Random`](ErrorKind::Random) when the operating system supplies no random bytes.
    pub fn generate(algorithm: Algorithm) -> Result<Self, Error> {
        match algorithm {
            Algorithm::Es256 => PrivateKey::generate_p256().map(Self::new),
            Algorithm::Ed25519 => PrivateKey::generate_ed25519().map(Self::new),
            Algorithm::Es384 => generate_p384().and_then(|der| Self::from_pkcs8_der(&der)),
            other => {
                let wrong = match algorithm.fits(KeyType::Rsa) {
                    true if !cfg!(feature = "ring") => {
                        format!(
                            "RSA keys, for {other}, need the feature `ring` of this crate or a `Signer` of yours"
                        )
                    }
                    true => format!(
                        "this crate does not generate RSA keys, for {other} or otherwise (import one that \
                         `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072` generates)"
                    ),
                    false => format!("this crate does not generate {other} keys (implement `Signer`)"),
                };
                Err(Error::new(ErrorKind::Algorithm, "generating a key", wrong))
            }
        }
    }

    /// Returns the same key with another algorithm that fits it. An RSA key signs `RS256`, unless the `alg`
    /// of its JWK or this method says otherwise. Choose the algorithm that is registered for the client at
    /// the server.
    ///
    /// ```no_run
    /// use possession::{Algorithm, KeyPair};
    ///
    /// let key = KeyPair::from_file("client-key.pem")?.with_algorithm(Algorithm::Ps256)?;
    /// # Ok::<(), possession::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Algorithm`](ErrorKind::Algorithm) when the algorithm does not fit the key.
    pub fn with_algorithm(self, algorithm: Algorithm) -> Result<Self, Error> {
        check_fit(algorithm, &self.public, "choosing the algorithm of a key")?;
        // The algorithm of any other key follows from its kind.
        let name = (self.public.kind() == KeyType::Rsa).then(|| algorithm.name());
        Ok(Self { algorithm, algorithm_name: name.or(self.algorithm_name), ..self })
    }

    /// Returns a copy of the public key.
    #[must_use]
    pub fn to_public(&self) -> PublicKey {
        self.public.clone()
    }
}

impl Signer for KeyPair {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.private.sign(self.algorithm, message)?)
    }

    fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    fn algorithm_name(&self) -> Option<&'static str> {
        self.algorithm_name
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("kind", &self.public.kind())
            .field("thumbprint", &self.public.thumbprint())
            .finish_non_exhaustive()
    }
}
