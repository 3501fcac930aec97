//! Nonces that a test chooses.

use std::fmt;
use std::time::SystemTime;

use subtle::{Choice, ConstantTimeEq};

use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::jose::public_key::Thumbprint;
use crate::server::nonce::{NonceSource, NonceState};

/// A fixed list of nonces: the first is issued and all are accepted, whatever the role and the key.
///
/// It makes the responses of a verifier predictable, for example with test vectors:
///
/// ```
/// use std::time::SystemTime;
/// use possession::server::{MemoryReplayStore, ReceivedRequest, Verifier};
/// use possession::testing::FixedNonces;
/// use possession::{Algorithm, KeyPair, Proof, Prover, ServerRole};
/// use http::Method;
///
/// let nonces = FixedNonces::new(["new", "previous"]);
/// let verifier = Verifier::new(MemoryReplayStore::new(100)).require_nonces(nonces);
/// let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
/// let (url, now) = ("https://as.example.com/token", SystemTime::now());
/// let proof = Proof::new(&Method::POST, url)?.nonce("previous");
/// let proof = prover.prove(ServerRole::AuthorizationServer, proof, now)?;
/// let request = ReceivedRequest::from_fields(&Method::POST, url, vec![proof.as_bytes()])?;
/// assert!(verifier.verify_token_request(&request, now).is_ok());
///
/// let proof = Proof::new(&Method::POST, url)?.nonce("unknown");
/// let proof = prover.prove(ServerRole::AuthorizationServer, proof, now)?;
/// let request = ReceivedRequest::from_fields(&Method::POST, url, vec![proof.as_bytes()])?;
/// let rejection = verifier.verify_token_request(&request, now).unwrap_err();
/// assert_eq!(rejection.error(), Some("use_dpop_nonce"));
/// assert_eq!(rejection.nonce(), Some("new"));
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone)]
pub struct FixedNonces(Vec<String>);

impl FixedNonces {
    /// Returns a source that issues the first of `nonces` and accepts all of them.
    pub fn new<S: Into<String>>(nonces: impl IntoIterator<Item = S>) -> Self {
        Self(nonces.into_iter().map(Into::into).collect())
    }
}

impl NonceSource for FixedNonces {
    fn make(&self, _: ServerRole, _: Option<&Thumbprint>, _: SystemTime) -> Result<String, Error> {
        self.0
            .first()
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::Parameter, "issuing a nonce", "the list of nonces is empty"))
    }

    fn check(&self, nonce: &str, _: ServerRole, _: &Thumbprint, _: SystemTime) -> NonceState {
        // Every nonce is compared, each in constant time.
        let known = self
            .0
            .iter()
            .fold(Choice::from(0), |known, accepted| known | nonce.as_bytes().ct_eq(accepted.as_bytes()));
        match known.into() {
            true => NonceState::Valid { made: None, until: None, ageing: false },
            false => NonceState::Invalid,
        }
    }

    fn needs_io(&self) -> bool {
        false
    }
}

impl fmt::Debug for FixedNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FixedNonces({})", self.0.len())
    }
}
