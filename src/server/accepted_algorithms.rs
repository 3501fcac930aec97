//! Which signatures a server accepts, and who checks them.

use std::fmt;
use std::sync::Arc;

use crate::jose::algorithm::Algorithm;
use crate::jose::backend;
use crate::jose::jws::{AlgorithmPolicy, Jws};
use crate::jose::public_key::PublicKey;

/// Checks signatures by algorithms that this crate does not check, such as `ES512` and ML-DSA, or in a module that has a
/// certificate. Where the crate checks the algorithm as well, the signature must hold for both.
///
/// `examples/other_algorithms.rs` brings two.
pub trait SignatureVerifier: Send + Sync {
    /// Whether it checks signatures of that algorithm.
    fn supports(&self, algorithm: Algorithm) -> bool;

    /// Whether `signature` is one of `message` by `key` ([`PublicKey::parameter`] has its numbers), with exactly that
    /// algorithm. The key is of the algorithm's kind and the signature of its length: that was looked at. That the numbers
    /// of the key are those of a sound key, a point on its curve, is for the checker to look at.
    fn verify(&self, algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool;
}

/// The accepted algorithms, and the verifiers beside this crate's own.
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
    pub(crate) fn accept(&mut self, algorithms: impl IntoIterator<Item = Algorithm>) {
        self.algorithms = algorithms.into_iter().collect();
    }

    pub(crate) fn add(&mut self, verifier: impl SignatureVerifier + 'static) {
        self.verifiers.push(Arc::new(verifier));
    }

    /// The JOSE names of what is accepted and can be checked, separated by spaces: the `algs` of a challenge.
    pub(crate) fn names(&self) -> String {
        let checked = self.algorithms.iter().filter(|algorithm| self.supports(**algorithm));
        let names: Vec<_> = checked.flat_map(|algorithm| algorithm.names()).copied().collect();
        names.join(" ")
    }

    /// Whether the signature holds; `None` where nobody here checks such.
    pub(crate) fn verify(&self, jws: &Jws<'_>, algorithm: Algorithm, key: &PublicKey) -> Option<bool> {
        let own = key.verify_signature(algorithm, jws.signed(), jws.signature());
        let Some(verifier) = self.verifiers.iter().find(|verifier| verifier.supports(algorithm)) else {
            return own;
        };
        // R || S of full size, never DER: not every library tells.
        let fits = key.signature_length(algorithm).is_none_or(|length| jws.signature().len() == length);
        let holds = own != Some(false) && fits;
        Some(holds && verifier.verify(algorithm, key, jws.signed(), jws.signature()))
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
