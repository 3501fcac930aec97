//! The signature algorithms that a server accepts, and what verifies their signatures.

use std::fmt;
use std::sync::Arc;

use crate::jose::algorithm::Algorithm;
use crate::jose::backend;
use crate::jose::jws::{AlgorithmPolicy, Jws};
use crate::jose::public_key::PublicKey;

/// Verifies signatures of algorithms that this crate does not verify, such as `ES512` and ML-DSA, or
/// verifies them in a certified module.
///
/// Where this crate verifies the algorithm as well, the signature must be valid for both. The example
/// `examples/other_algorithms.rs` contains two complete implementations.
///
/// ```
/// use possession::server::{MemoryReplayStore, SignatureVerifier, Verifier};
/// use possession::{Algorithm, PublicKey};
///
/// # fn verify_p521(x: &[u8], y: &[u8], message: &[u8], signature: &[u8]) -> bool { false }
/// struct Es512;
///
/// impl SignatureVerifier for Es512 {
///     fn supports(&self, algorithm: Algorithm) -> bool {
///         algorithm == Algorithm::Es512
///     }
///
///     fn verify(&self, _: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
///         let (Some(x), Some(y)) = (key.parameter("x"), key.parameter("y")) else { return false };
///         verify_p521(&x, &y, message, signature) // with the P-521 implementation of your choice
///     }
///
///     fn needs_io(&self) -> bool {
///         false
///     }
/// }
///
/// let verifier = Verifier::new(MemoryReplayStore::new(100_000))
///     .algorithms([Algorithm::Es256, Algorithm::Es512])
///     .signature_verifier(Es512);
/// # let _ = verifier;
/// ```
pub trait SignatureVerifier: Send + Sync {
    /// Returns whether this verifies signatures of `algorithm`.
    fn supports(&self, algorithm: Algorithm) -> bool;

    /// Returns whether `signature` is a valid signature of `message` by `key` with exactly that algorithm.
    ///
    /// [`PublicKey::parameter`] returns the numbers of the key. The type of the key and the length of the
    /// signature have been checked. The implementation must check that the key itself is sound, for example
    /// that its point lies on the curve.
    fn verify(&self, algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool;

    /// Returns whether a verification needs I/O, for example because a module on the network does it. By
    /// default it does, and
    /// [`ResourceServer::try_authenticate`](crate::server::ResourceServer::try_authenticate) then leaves
    /// every request to a thread that may block. A verifier that only computes returns false.
    fn needs_io(&self) -> bool {
        true
    }
}

/// The accepted algorithms, and the verifiers that the user added to this crate's own.
#[derive(Clone)]
pub(crate) struct AcceptedAlgorithms {
    algorithms: Arc<[Algorithm]>,
    verifiers: Vec<Arc<dyn SignatureVerifier>>,
}

impl Default for AcceptedAlgorithms {
    fn default() -> Self {
        Self { algorithms: Arc::new([Algorithm::Es256, Algorithm::Ed25519]), verifiers: Vec::new() }
    }
}

impl AcceptedAlgorithms {
    /// Accepts these algorithms and no others.
    pub(crate) fn accept(&mut self, algorithms: impl IntoIterator<Item = Algorithm>) {
        self.algorithms = algorithms.into_iter().collect();
    }

    /// Adds a verifier to this crate's own.
    pub(crate) fn add_verifier(&mut self, verifier: impl SignatureVerifier + 'static) {
        self.verifiers.push(Arc::new(verifier));
    }

    /// Returns whether a verifier that the user added needs I/O.
    pub(crate) fn need_io(&self) -> bool {
        self.verifiers.iter().any(|verifier| verifier.needs_io())
    }

    /// Returns the JOSE names of the accepted algorithms that have a verifier, separated by spaces: the
    /// `algs` of a challenge.
    pub(crate) fn names(&self) -> String {
        let supported = self.algorithms.iter().filter(|algorithm| self.supports(**algorithm));
        let names: Vec<_> = supported.flat_map(|algorithm| algorithm.names()).copied().collect();
        names.join(" ")
    }

    /// Returns whether the signature is valid, or `None` if nothing here verifies signatures of `algorithm`.
    pub(crate) fn verify(&self, jws: &Jws<'_>, algorithm: Algorithm, key: &PublicKey) -> Option<bool> {
        let own = key.verify_signature(algorithm, jws.signed(), jws.signature());
        let Some(verifier) = self.verifiers.iter().find(|verifier| verifier.supports(algorithm)) else {
            return own;
        };
        // An ECDSA signature is R || S of full size, never DER. Not every library distinguishes the two.
        let fits = key.signature_length(algorithm).is_none_or(|length| jws.signature().len() == length);
        let valid = own != Some(false) && fits;
        Some(valid && verifier.verify(algorithm, key, jws.signed(), jws.signature()))
    }
}

impl AlgorithmPolicy for AcceptedAlgorithms {
    fn accepts(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Returns whether this crate or one of the verifiers verifies signatures of the algorithm.
    fn supports(&self, algorithm: Algorithm) -> bool {
        backend::supports(algorithm) || self.verifiers.iter().any(|verifier| verifier.supports(algorithm))
    }
}

impl fmt::Debug for AcceptedAlgorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.algorithms.iter()).finish()
    }
}
