//! A signer and what servers told it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;

use crate::client::server_state::{NonceUpdate, OriginState, RoleState, ServerState};
use crate::dpop::proof::{Proof, encoded_header};
use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::rsa_advice;
use crate::jose::public_key::{PublicKey, Thumbprint};
use crate::jose::signer::{self, Signer};
use crate::text::is_nonce;
use crate::time::issued_at;
use crate::url::{self, Url};

/// Makes proofs with one key and remembers the newest nonce of every server.
///
/// Clones share both, and any number of threads may use them: looking a nonce up is a short read.
#[derive(Clone)]
pub struct Prover(Arc<Inner>);

struct Inner {
    signer: Arc<dyn Signer>,
    /// The encoded header for each name of the algorithm.
    headers: Vec<(&'static str, String)>,
    told: Arc<ServerState>,
}

impl Prover {
    /// A prover for a [`KeyPair`](crate::KeyPair) or any other [`Signer`].
    ///
    /// # Errors
    /// [`Algorithm`](ErrorKind::Algorithm) when the signer's algorithm does not fit its key.
    pub fn new(signer: impl Signer + 'static) -> Result<Self, Error> {
        Self::telling(Arc::new(signer), Arc::default())
    }

    /// A prover with another key and what servers told this one: their nonces and their clocks.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn with_key(&self, signer: impl Signer + 'static) -> Result<Self, Error> {
        Self::telling(Arc::new(signer), Arc::clone(&self.0.told))
    }

    fn telling(signer: Arc<dyn Signer>, told: Arc<ServerState>) -> Result<Self, Error> {
        signer::check_signer(&signer)?;
        let names = signer.algorithm().names();
        let headers = names.iter().map(|name| (*name, encoded_header(signer.public_key(), name))).collect();
        Ok(Self(Arc::new(Inner { signer, headers, told })))
    }

    /// The public half of the key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.0.signer.public_key()
    }

    /// The thumbprint of the key: the `jkt` that tokens are bound to.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.public_key().thumbprint()
    }

    /// A proof for one request to a server in that part, with the newest nonce that the server gave unless `proof` names
    /// one. `iat` is set one second back, so that a server whose clock is a little behind does not see the future, and by
    /// that server's clock where it is known to differ.
    ///
    /// # Errors
    /// Those of [`Proof::sign`].
    pub fn prove(&self, part: ServerRole, proof: Proof<'_>, now: SystemTime) -> Result<String, Error> {
        let nonce = self.nonce_of(part, proof.origin()).filter(|_| !proof.has_nonce());
        let proof = match &nonce {
            Some(nonce) => proof.nonce(&**nonce),
            None => proof,
        };
        let known = self.origin(part, proof.origin());
        let alg = match known.alg.filter(|alg| self.signs(alg)) {
            Some(alg) => alg,
            None => self.name_at(None)?,
        };
        self.sign(&proof, alg, known.offset.apply(now))
    }

    /// How many seconds are added to this machine's clock for each server whose clock differs, by origin.
    #[must_use]
    pub fn clock_offsets(&self) -> Vec<(String, i64)> {
        let mut offsets = Vec::new();
        for told in [&self.0.told.authorization_servers, &self.0.told.resource_servers] {
            offsets.extend(told.origins.clock_offsets());
        }
        offsets.sort();
        offsets.dedup();
        offsets
    }

    /// How many nonces were learned: each counts when it is new at its server.
    #[must_use]
    pub fn nonces_learned(&self) -> u64 {
        let learned = |told: &RoleState| told.nonces.learned();
        learned(&self.0.told.authorization_servers).saturating_add(learned(&self.0.told.resource_servers))
    }

    /// Takes the nonce a response brought, whatever its status (RFC 9449 §8.2), and says whether there was one.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) for a URL that no proof can be made for.
    pub fn learn(&self, part: ServerRole, url: &str, headers: &HeaderMap) -> Result<bool, Error> {
        let url = Url::http(url).map_err(|why| url::refused(ErrorKind::Url, "URL", url, why))?;
        Ok(matches!(self.learn_from(part, url.origin(), headers), NonceUpdate::Nonce(_)))
    }

    pub(crate) fn learn_from(&self, part: ServerRole, origin: &str, headers: &HeaderMap) -> NonceUpdate {
        let mut fields = headers.get_all("dpop-nonce").iter();
        let nonce = match (fields.next(), fields.next()) {
            (None, _) => return NonceUpdate::Nothing,
            (Some(field), None) => field.to_str().ok().filter(|nonce| is_nonce(nonce)),
            _ => None,
        };
        match nonce {
            Some(nonce) => NonceUpdate::Nonce(self.told_by(part).nonces.put(origin, nonce)),
            None => {
                log::warn!("{origin} sent several DPoP-Nonce fields or an invalid one: none is taken");
                NonceUpdate::Invalid
            }
        }
    }

    pub(crate) fn nonce_of(&self, part: ServerRole, origin: &str) -> Option<Arc<str>> {
        self.told_by(part).nonces.find(origin)
    }

    pub(crate) fn origin(&self, part: ServerRole, origin: &str) -> OriginState {
        self.told_by(part).origins.find(origin)
    }

    pub(crate) fn know(&self, part: ServerRole, origin: &str, known: OriginState) {
        self.told_by(part).origins.put(origin, known);
    }

    /// Whether that is a name of the key's algorithm.
    pub(crate) fn signs(&self, alg: &str) -> bool {
        self.0.headers.iter().any(|(name, _)| *name == alg)
    }

    /// The name of the algorithm to use at a server that supports `algorithms`.
    pub(crate) fn name_at(&self, algorithms: Option<&[String]>) -> Result<&'static str, Error> {
        let algorithm = self.0.signer.algorithm();
        algorithm.name_for(algorithms, self.0.signer.algorithm_name()).ok_or_else(|| {
            let listed = algorithms.unwrap_or_default().join(" ");
            let listed = crate::text::printable(&listed, 200);
            let wanted = algorithms.unwrap_or_default().iter().map(String::as_str);
            let advice = rsa_advice(algorithm.names(), wanted);
            let wrong = format!("the key signs {algorithm}, and the server lists only: {listed}{advice}");
            Error::new(ErrorKind::Algorithm, "choosing the algorithm of DPoP proofs", wrong)
        })
    }

    pub(crate) fn sign(
        &self,
        proof: &Proof<'_>,
        alg: &'static str,
        now: SystemTime,
    ) -> Result<String, Error> {
        let iat = issued_at(now)?;
        let header = self.0.headers.iter().find(|(name, _)| *name == alg).ok_or_else(|| {
            let wrong = "the signer has changed its algorithm";
            Error::new(ErrorKind::Algorithm, "making a DPoP proof", wrong)
        })?;
        proof.sign_with(&header.1, &self.0.signer, iat)
    }

    fn told_by(&self, part: ServerRole) -> &RoleState {
        match part {
            ServerRole::AuthorizationServer => &self.0.told.authorization_servers,
            ServerRole::ResourceServer => &self.0.told.resource_servers,
        }
    }
}

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prover").field("thumbprint", &self.thumbprint()).finish_non_exhaustive()
    }
}
