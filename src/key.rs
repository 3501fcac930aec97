//! Proof-of-possession keys: pairs, public halves, thumbprints, and signers that live elsewhere.

mod export;
mod import;

use std::fmt;
use std::sync::Arc;

use p256::pkcs8::der::asn1::UintRef;
use p256::pkcs8::der::{self, Decode, Reader, SliceReader};

use crate::algorithm::{Algorithm, Kind};
use crate::error::{Error, ErrorKind, printable};
use crate::public_key::PublicKey;
use crate::signature::{PrivateKey, generate_p384};

/// Anything that signs for a public key: a [`KeyPair`] in memory, or a key that stays in an HSM, a KMS or an agent.
///
/// The trait is object-safe; `examples/external_signer.rs` signs in another process.
pub trait Signer: Send + Sync {
    /// The algorithm of the signatures. It must fit the key.
    fn algorithm(&self) -> Algorithm;

    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message` (not a hash of it) and gives the signature as JWS wants it: for ECDSA the concatenation R || S of
    /// full-size integers (RFC 7518 §3.4), never the DER that most key stores return ([`ecdsa_signature_from_der`] converts it); for Ed25519 the 64 octets of RFC 8032, for RSA as many octets as the modulus has
    /// (RFC 8017).
    ///
    /// # Errors
    /// Whatever kept it from signing. It becomes the [`source`](std::error::Error::source) of an error of kind
    /// [`Signer`](ErrorKind::Signer), and is shown to people.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;

    /// The `kid` under which a server knows the key, if it has one. Proofs carry none; assertions do.
    fn key_id(&self) -> Option<&str> {
        None
    }

    /// The JOSE name to prefer where the algorithm has two: `Ed25519` for a key that was registered under it.
    fn algorithm_name(&self) -> Option<&'static str> {
        None
    }
}

impl<S: Signer + ?Sized> Signer for Arc<S> {
    fn algorithm(&self) -> Algorithm {
        (**self).algorithm()
    }

    fn public_key(&self) -> &PublicKey {
        (**self).public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        (**self).sign(message)
    }

    fn key_id(&self) -> Option<&str> {
        (**self).key_id()
    }

    fn algorithm_name(&self) -> Option<&'static str> {
        (**self).algorithm_name()
    }
}

/// Turns an ECDSA signature in DER, as most key stores return it, into the R || S of JWS (RFC 7518 §3.4): for use in
/// [`Signer::sign`].
///
/// # Errors
/// [`Signer`](ErrorKind::Signer) when it is not the DER of a signature by that algorithm; [`Algorithm`](ErrorKind::Algorithm) when that is
/// not one of `ES256`, `ES384` and `ES512`.
pub fn ecdsa_signature_from_der(algorithm: Algorithm, der: &[u8]) -> Result<Vec<u8>, Error> {
    let doing = "converting a signature";
    let (length, curve) = match algorithm {
        Algorithm::Es256 => (32, "P-256"),
        Algorithm::Es384 => (48, "P-384"),
        Algorithm::Es512 => (66, "P-521"),
        other => return Err(Error::new(ErrorKind::Algorithm, doing, format!("{other} is not ECDSA"))),
    };
    // RFC 3279 §2.2.3
    let integers = || -> der::Result<_> {
        let mut reader = SliceReader::new(der)?;
        let both = reader.sequence(|reader| -> der::Result<_> {
            Ok([UintRef::decode(reader)?, UintRef::decode(reader)?])
        })?;
        reader.finish().map(|()| both)
    };
    let padded = |octets: &[u8]| {
        let zeros = usize::checked_sub(length, octets.len())?;
        octets.iter().any(|octet| *octet != 0).then(|| [&vec![0; zeros], octets].concat())
    };
    let parts =
        integers().ok().and_then(|[r, s]| Some([padded(r.as_bytes())?, padded(s.as_bytes())?].concat()));
    parts.ok_or_else(|| {
        let wrong = format!("it is not the DER of an ECDSA signature on {curve}, as {algorithm} has it");
        Error::new(ErrorKind::Signer, doing, wrong)
    })
}

/// Signs and checks that what came back can be a signature of that algorithm.
pub(crate) fn sign(signer: &dyn Signer, message: &[u8]) -> Result<Vec<u8>, Error> {
    let doing = "signing with the key's signer";
    let signature = signer.sign(message).map_err(|error| {
        Error::new(ErrorKind::Signer, doing, printable(&error.to_string(), 300)).with_source(error)
    })?;
    match signer.public_key().signature_length(signer.algorithm()) {
        Some(length) if signature.len() != length => {
            let wrong = format!(
                "it gave {} octets where {} has {length}: a JWS signature is R || S, not DER",
                signature.len(),
                signer.algorithm()
            );
            Err(Error::new(ErrorKind::Signer, doing, wrong))
        }
        None if signature.is_empty() => {
            Err(Error::new(ErrorKind::Signer, doing, "it gave an empty signature"))
        }
        _ => Ok(signature),
    }
}

/// A signer whose algorithm fits its key.
pub(crate) fn check_signer(signer: &dyn Signer) -> Result<(), Error> {
    let algorithm = signer.algorithm();
    if let Some(name) = signer.algorithm_name().filter(|name| !algorithm.names().contains(name)) {
        let wrong = format!("{} is not a name of {algorithm}", printable(name, 40));
        return Err(Error::new(ErrorKind::Algorithm, "taking a signer", wrong));
    }
    check_fit(algorithm, signer.public_key(), "taking a signer")
}

fn check_fit(algorithm: Algorithm, key: &PublicKey, doing: &'static str) -> Result<(), Error> {
    match key.fits(algorithm) {
        true => Ok(()),
        false => {
            let wrong = format!("{algorithm} does not sign with {} key", key.kind().a_name());
            Err(Error::new(ErrorKind::Algorithm, doing, wrong))
        }
    }
}

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
                let wrong = match algorithm.fits(Kind::Rsa) {
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
        let name = (self.public.kind() == Kind::Rsa).then(|| algorithm.name());
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
