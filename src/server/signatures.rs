//! Which signatures a server accepts, and who checks them.

use std::fmt;
use std::sync::Arc;

use crate::algorithm::Algorithm;
use crate::jws::Jws;
use crate::public_key::PublicKey;
use crate::signature;

/// Checks signatures by algorithms that this crate does not check, such as `ES512` and ML-DSA, or in a module that has a
/// certificate. Where the crate checks the algorithm as well, the signature must hold for both.
///
/// `examples/other_algorithms.rs` brings two.
pub trait SignatureChecker: Send + Sync {
    /// Whether it checks signatures of that algorithm.
    fn checks(&self, algorithm: Algorithm) -> bool;

    /// Whether `signature` is one of `message` by `key` ([`PublicKey::parameter`] has its numbers), with exactly that
    /// algorithm. The key is of the algorithm's kind and the signature of its length: that was looked at. That the numbers
    /// of the key are those of a sound key, a point on its curve, is for the checker to look at.
    fn check(&self, algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool;
}

/// The accepted algorithms, and the checkers beside this crate's own.
#[derive(Clone)]
pub(crate) struct Signatures {
    algorithms: Arc<[Algorithm]>,
    checkers: Vec<Arc<dyn SignatureChecker>>,
}

impl Default for Signatures {
    fn default() -> Self {
        Self { algorithms: Arc::new([Algorithm::Es256, Algorithm::Ed25519]), checkers: Vec::new() }
    }
}

impl Signatures {
    pub(crate) fn accept(&mut self, algorithms: impl IntoIterator<Item = Algorithm>) {
        self.algorithms = algorithms.into_iter().collect();
    }

    pub(crate) fn add(&mut self, checker: impl SignatureChecker + 'static) {
        self.checkers.push(Arc::new(checker));
    }

    /// The algorithm of that JOSE name, if it is accepted.
    pub(crate) fn accepted(&self, alg: &str) -> Option<Algorithm> {
        Algorithm::from_name(alg).filter(|algorithm| self.algorithms.contains(algorithm))
    }

    /// Whether somebody here checks signatures of that algorithm.
    pub(crate) fn checks(&self, algorithm: Algorithm) -> bool {
        signature::checks(algorithm) || self.checkers.iter().any(|checker| checker.checks(algorithm))
    }

    /// The JOSE names of what is accepted and can be checked, separated by spaces: the `algs` of a challenge.
    pub(crate) fn names(&self) -> String {
        let checked = self.algorithms.iter().filter(|algorithm| self.checks(**algorithm));
        let names: Vec<_> = checked.flat_map(|algorithm| algorithm.names()).copied().collect();
        names.join(" ")
    }

    /// Whether the signature holds; `None` where nobody here checks such.
    pub(crate) fn check(&self, jws: &Jws<'_>, algorithm: Algorithm, key: &PublicKey) -> Option<bool> {
        let own = jws.verify(algorithm, key);
        let Some(checker) = self.checkers.iter().find(|checker| checker.checks(algorithm)) else {
            return own;
        };
        // R || S of full size, never DER: not every library tells.
        let fits = key.signature_length(algorithm).is_none_or(|length| jws.signature().len() == length);
        let holds = own != Some(false) && fits;
        Some(holds && checker.check(algorithm, key, jws.signed(), jws.signature()))
    }
}

impl fmt::Debug for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.algorithms.iter()).finish()
    }
}
