//! Private keys in memory.

mod export;
mod import;

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::{Algorithm, KeyType};
use crate::jose::backend::{PrivateKey, generate_p384};
use crate::jose::public_key::PublicKey;
use crate::jose::signer::{Signer, check_fit};

/// A private key in memory with its public half: P-256 or Ed25519, and with the feature `ring` P-384 or RSA (`RS256`, `RS384`,
/// `RS512`, `PS256`, `PS384`, `PS512`).
///
/// It shows nothing in `Debug`, and cannot be cloned, compared or serialised by accident; share it with an [`Arc`]. It is
/// wiped when dropped, but for two things: of an RSA key ring keeps a copy of its own, which it frees without wiping, and
/// libraries may leave copies on the stack of the thread that makes or imports a key, until it is used again.
///
/// ```
/// use possession::{Algorithm, KeyPair};
///
/// let key = KeyPair::generate(Algorithm::Es256)?;
/// let kept = key.to_pkcs8_pem()?; // wiped when dropped, too
/// assert_eq!(KeyPair::from_pkcs8_pem(&kept)?.to_public(), key.to_public());
/// # Ok::<(), possession::Error>(())
/// ```
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

    /// A new key from the randomness of the operating system: for [`Es256`](Algorithm::Es256),
    /// [`Ed25519`](Algorithm::Ed25519) or, with the feature `ring`, [`Es384`](Algorithm::Es384).
    ///
    /// # Errors
    /// [`Algorithm`](ErrorKind::Algorithm) for another algorithm; [`Random`](ErrorKind::Random) when there is no randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, Error> {
        match algorithm {
            Algorithm::Es256 => PrivateKey::generate_p256().map(Self::new),
            Algorithm::Ed25519 => PrivateKey::generate_ed25519().map(Self::new),
            Algorithm::Es384 => generate_p384().and_then(|der| Self::from_pkcs8_der(&der)),
            other => {
                let wrong = match algorithm.fits(KeyType::Rsa) {
                    true if !cfg!(feature = "ring") => {
                        format!(
                            "RSA keys, for {other}, need the feature `ring` of this crate, or a Signer of yours"
                        )
                    }
                    true => format!(
                        "RSA keys are not made here, {other} or other: make one with \
                         `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072` and import it"
                    ),
                    false => format!("{other} keys are not made here: bring a Signer"),
                };
                Err(Error::new(ErrorKind::Algorithm, "generating a key", wrong))
            }
        }
    }

    /// The same key for another of the algorithms that it can sign with: an RSA key makes `RS256` signatures unless its JWK
    /// or this says otherwise. What the server has registered for the client counts.
    ///
    /// ```no_run
    /// use possession::{Algorithm, KeyPair};
    ///
    /// let key = KeyPair::from_file("client-key.pem")?.with_algorithm(Algorithm::Ps256)?;
    /// # Ok::<(), possession::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Algorithm`](ErrorKind::Algorithm) when it does not fit the key.
    pub fn with_algorithm(self, algorithm: Algorithm) -> Result<Self, Error> {
        check_fit(algorithm, &self.public, "choosing the algorithm of a key")?;
        // Of the others it is told by their kind.
        let name = (self.public.kind() == KeyType::Rsa).then(|| algorithm.name());
        Ok(Self { algorithm, algorithm_name: name.or(self.algorithm_name), ..self })
    }

    /// The public half.
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
