//! Signing: the [`Signer`] trait and compact JWS (RFC 7515 §3.1).

use std::sync::Arc;

use p256::pkcs8::der::asn1::UintRef;
use p256::pkcs8::der::{self, Decode, Reader, SliceReader};

use crate::error::{Error, ErrorKind, Failure, SIGNING};
use crate::jose::algorithm::Algorithm;
use crate::jose::base64url::push_base64url;
use crate::jose::jws::Jws;
use crate::jose::public_key::PublicKey;
use crate::text::printable;

/// A private key that signs: a [`KeyPair`](crate::KeyPair) in memory, or a key that stays in an HSM, a KMS or
/// an agent.
///
/// Signatures are not verified before they are sent. After a server has refused a proof or a client
/// assertion, its signature is verified here. If it does not belong to [`public_key`](Self::public_key),
/// the error is one of kind [`Signer`](ErrorKind::Signer) and not the server's. No additional signature
/// is made for this.
///
/// The trait is object-safe. The example `external_signer` signs in another process. A signer for a key store
/// looks like this:
///
/// ```
/// use std::error::Error;
/// use possession::{Algorithm, PublicKey, Signer, ecdsa_signature_from_der};
///
/// struct KeyStoreSigner {
///     public_key: PublicKey, // from `PublicKey::from_spki_der`, for example
/// }
///
/// impl Signer for KeyStoreSigner {
///     fn algorithm(&self) -> Algorithm {
///         Algorithm::Es256
///     }
///
///     fn public_key(&self) -> &PublicKey {
///         &self.public_key
///     }
///
///     fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
///         let der = sign_in_key_store(message)?;
///         Ok(ecdsa_signature_from_der(Algorithm::Es256, &der)?)
///     }
/// }
/// # fn sign_in_key_store(_: &[u8]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> { Err("offline".into()) }
/// ```
pub trait Signer: Send + Sync {
    /// Returns the algorithm of the signatures. It must fit the key.
    fn algorithm(&self) -> Algorithm;

    /// Returns the public key.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message` (not its hash) and returns the signature in the form of JWS:
    ///
    /// - ECDSA: the concatenation R || S of full-size integers (RFC 7518 §3.4), not the DER that most key
    ///   stores return. [`ecdsa_signature_from_der`] converts it.
    /// - Ed25519: the 64 bytes of RFC 8032.
    /// - RSA: as many bytes as the modulus has (RFC 8017).
    ///
    /// # Errors
    /// The reason why the key could not sign. It becomes the [`source`](std::error::Error::source) of an
    /// error of kind [`Signer`](ErrorKind::Signer), whose text contains it. [`Error::transient_signer`]
    /// marks a reason that may pass by itself.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;

    /// Returns the `kid` of the key at the authorization server, if it has one. Client assertions contain it,
    /// proofs do not.
    fn key_id(&self) -> Option<&str> {
        None
    }

    /// Returns the preferred JOSE name, if the algorithm has two: `Ed25519` for a key that is registered
    /// under this name.
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

/// Converts an ECDSA signature in DER, which most key stores return, to the R || S of JWS (RFC 7518 §3.4),
/// for use in [`Signer::sign`].
///
/// ```
/// use possession::{Algorithm, ecdsa_signature_from_der};
///
/// let der = [0x30, 6, 2, 1, 7, 2, 1, 9]; // SEQUENCE { INTEGER 7, INTEGER 9 }
/// let signature = ecdsa_signature_from_der(Algorithm::Es256, &der)?;
/// assert_eq!((signature.len(), signature[31], signature[63]), (64, 7, 9));
/// # Ok::<(), possession::Error>(())
/// ```
///
/// # Errors
/// - [`Signer`](ErrorKind::Signer) when the bytes are not the DER of a signature by the algorithm.
/// - [`Algorithm`](ErrorKind::Algorithm) when the algorithm is not `ES256`, `ES384` or `ES512`.
pub fn ecdsa_signature_from_der(algorithm: Algorithm, der: &[u8]) -> Result<Vec<u8>, Error> {
    let doing = "converting a signature";
    let (length, curve) = match algorithm {
        Algorithm::Es256 => (32, "P-256"),
        Algorithm::Es384 => (48, "P-384"),
        Algorithm::Es512 => (66, "P-521"),
        other => {
            return Err(Error::new(ErrorKind::Algorithm, doing, format!("{other} is not ECDSA")));
        }
    };
    // RFC 3279 §2.2.3
    let integers = || -> der::Result<_> {
        let mut reader = SliceReader::new(der)?;
        let both = reader.sequence(|reader| -> der::Result<_> {
            Ok([UintRef::decode(reader)?, UintRef::decode(reader)?])
        })?;
        reader.finish().map(|()| both)
    };
    let padded = |bytes: &[u8]| {
        let zeros = usize::checked_sub(length, bytes.len())?;
        bytes.iter().any(|byte| *byte != 0).then(|| [&vec![0; zeros], bytes].concat())
    };
    let signature =
        integers().ok().and_then(|[r, s]| Some([padded(r.as_bytes())?, padded(s.as_bytes())?].concat()));
    signature.ok_or_else(|| {
        let wrong = format!("it is not the DER of an ECDSA signature on {curve} ({algorithm})");
        Error::new(ErrorKind::Signer, doing, wrong)
    })
}

/// Signs and checks the length of the signature.
pub(crate) fn sign(signer: &dyn Signer, message: &[u8]) -> Result<Vec<u8>, Error> {
    let doing = SIGNING;
    let signature = signer.sign(message).map_err(|error| foreign_failure(ErrorKind::Signer, doing, error))?;
    match signer.public_key().signature_length(signer.algorithm()) {
        Some(length) if signature.len() != length => {
            let wrong = format!(
                "it returned {} bytes where {} has {length} (an ECDSA signature is R || S, not DER)",
                signature.len(),
                signer.algorithm()
            );
            Err(Error::new(ErrorKind::Signer, doing, wrong))
        }
        None if signature.is_empty() => {
            Err(Error::new(ErrorKind::Signer, doing, "it returned an empty signature"))
        }
        _ => Ok(signature),
    }
}

/// Returns the error for a failure of the caller's own code: transient if it says so.
pub(crate) fn foreign_failure(
    kind: ErrorKind,
    doing: &'static str,
    error: Box<dyn std::error::Error + Send + Sync>,
) -> Error {
    match error.downcast::<Error>() {
        // Made by `Error::transient_signer`: it says everything, and its source is the signer's own.
        Ok(error) if *error.kind() == kind && error.is_transient() => *error,
        Ok(error) => {
            let failure = if error.is_transient() { Failure::Transient } else { Failure::Permanent };
            let wrong = printable(&error.to_string(), 300);
            Error::new(kind, doing, wrong).with_source(*error).with_failure(failure)
        }
        Err(error) => Error::new(kind, doing, printable(&error.to_string(), 300)).with_source(error),
    }
}

/// Checks a JWS that a signer made and a server refused. Nothing is signed for it: a signature by a key
/// store may take time and cost money. A signature that this build cannot verify passes.
pub(crate) fn check_refused_signature(key: &PublicKey, jws: &str) -> Result<(), Error> {
    // Without the limit for JWS of others: the proof of a long URL is longer.
    let verified = Jws::parse_with_limit(jws, usize::MAX).ok().and_then(|jws| {
        let algorithm = jws.header().ok()?.algorithm(key).ok()?;
        key.verify_signature(algorithm, jws.signed(), jws.signature())
    });
    match verified {
        Some(false) => {
            let wrong = "the server refused a signature that does not verify under the public key of the `Signer` either \
                         (does it sign with another key or algorithm, or the hash of a hash?)";
            Err(Error::new(ErrorKind::Signer, "checking a signature of the key's `Signer`", wrong))
        }
        _ => Ok(()),
    }
}

/// Checks that a signer's algorithm fits its key and its preferred name.
pub(crate) fn check_signer(signer: &dyn Signer) -> Result<(), Error> {
    let (doing, algorithm) = ("checking a signer", signer.algorithm());
    if let Some(name) = signer.algorithm_name().filter(|name| !algorithm.names().contains(name)) {
        let wrong = format!("{} is not a JOSE name of {algorithm}", printable(name, 40));
        return Err(Error::new(ErrorKind::Algorithm, doing, wrong));
    }
    check_fit(algorithm, signer.public_key(), doing)
}

/// Checks that an algorithm fits a key.
pub(super) fn check_fit(algorithm: Algorithm, key: &PublicKey, doing: &'static str) -> Result<(), Error> {
    match key.fits(algorithm) {
        true => Ok(()),
        false => {
            let wrong = format!("{algorithm} does not fit {} key", key.kind().with_article());
            Err(Error::new(ErrorKind::Algorithm, doing, wrong))
        }
    }
}

/// Returns the compact JWS of an encoded header and the JSON of the claims.
pub(crate) fn sign_compact(header: &str, claims: &str, signer: &dyn Signer) -> Result<String, Error> {
    // base64url is a third longer than the claims. 96 characters are enough for a signature of 64 bytes and
    // the dots.
    let mut jws = String::with_capacity(header.len() + claims.len() * 4 / 3 + 96);
    jws.push_str(header);
    jws.push('.');
    push_base64url(&mut jws, claims.as_bytes());
    let signature = sign(signer, jws.as_bytes())?;
    jws.push('.');
    push_base64url(&mut jws, &signature);
    Ok(jws)
}
