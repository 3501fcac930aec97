//! Signers: keys in memory, and keys that live elsewhere.

use std::sync::Arc;

use p256::pkcs8::der::asn1::UintRef;
use p256::pkcs8::der::{self, Decode, Reader, SliceReader};

use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::Algorithm;
use crate::jose::base64url::push_base64url;
use crate::jose::public_key::PublicKey;
use crate::text::printable;

/// Anything that signs for a public key: a [`KeyPair`] in memory, or a key that stays in an HSM, a KMS or an agent.
///
/// The trait is object-safe; `examples/external_signer.rs` signs in another process.
pub trait Signer: Send + Sync {
    /// The algorithm of the signatures. It must fit the key.
    fn algorithm(&self) -> Algorithm;

    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message` (not a hash of it) and gives the signature as JWS wants it: for ECDSA the concatenation R || S of
    /// full-size integers (RFC 7518 §3.4), never the DER that most key stores return ([`ecdsa_signature_from_der`] converts it); for Ed25519 the 64 bytes of RFC 8032, for RSA as many bytes as the modulus has
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
    let padded = |bytes: &[u8]| {
        let zeros = usize::checked_sub(length, bytes.len())?;
        bytes.iter().any(|byte| *byte != 0).then(|| [&vec![0; zeros], bytes].concat())
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
                "it gave {} bytes where {} has {length}: a JWS signature is R || S, not DER",
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

pub(super) fn check_fit(algorithm: Algorithm, key: &PublicKey, doing: &'static str) -> Result<(), Error> {
    match key.fits(algorithm) {
        true => Ok(()),
        false => {
            let wrong = format!("{algorithm} does not sign with {} key", key.kind().a_name());
            Err(Error::new(ErrorKind::Algorithm, doing, wrong))
        }
    }
}

/// A compact JWS from an encoded header and the JSON of the claims.
pub(crate) fn sign_compact(header: &str, claims: &str, signer: &dyn Signer) -> Result<String, Error> {
    // A third more than the bytes, and 512 bytes of signature for RSA with 4096 bits.
    let mut jws = String::with_capacity(header.len() + claims.len() * 4 / 3 + 96);
    jws.push_str(header);
    jws.push('.');
    push_base64url(&mut jws, claims.as_bytes());
    let signature = sign(signer, jws.as_bytes())?;
    jws.push('.');
    push_base64url(&mut jws, &signature);
    Ok(jws)
}
