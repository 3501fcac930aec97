//! Proofs with one key, and the state of the servers they go to.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;

use crate::client::proofs::clock_offset::Freshness;
use crate::client::proofs::known_servers::{KnownServer, NonceCache, OriginState, RoleState, ServerState};
use crate::dpop::proof::{Proof, encoded_header};
use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::rsa_advice;
use crate::jose::key_pair::KeyPair;
use crate::jose::public_key::{PublicKey, Thumbprint};
use crate::jose::signer::{self, Signer};
use crate::oauth::response_facts::NonceUpdate;
use crate::text::printable;
use crate::time::issued_at;
use crate::url::{self, Url};

/// Signs proofs with one key and remembers each server's nonce, clock offset and algorithm.
///
/// Clones share the key and that state, and any number of threads may use them: a nonce look-up takes a read
/// lock only.
///
/// ```
/// use std::time::SystemTime;
/// use possession::{Algorithm, KeyPair, Proof, Prover, ServerRole};
///
/// # fn main() -> Result<(), possession::Error> {
/// let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
/// let url = "https://api.example.com/orders";
/// # let response_headers = http::HeaderMap::from_iter([("dpop-nonce".parse().unwrap(), "n-1".parse().unwrap())]);
/// // Each response may bring a nonce for the next proof.
/// assert!(prover.record_nonce(ServerRole::ResourceServer, url, &response_headers)?);
///
/// let proof = Proof::new(&http::Method::GET, url)?.access_token("Kz~8mXK1EalYznwH");
/// let header: String = prover.prove(ServerRole::ResourceServer, proof, SystemTime::now())?;
/// # assert_eq!(header.split('.').count(), 3);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Prover(Arc<Inner>);

struct Inner {
    signer: Arc<dyn Signer>,
    /// The same key, if it is in memory.
    key_pair: Option<Arc<KeyPair>>,
    /// The encoded JOSE header for each name of the algorithm.
    headers: Vec<(&'static str, String)>,
    servers: Arc<ServerState>,
    /// Whether both roles of one origin have the same nonces.
    shares_nonces: bool,
}

impl Prover {
    /// Creates a prover for a [`KeyPair`](crate::KeyPair) or any other [`Signer`].
    ///
    /// # Errors
    /// [`Algorithm`](ErrorKind::Algorithm) when the signer's algorithm does not fit its key.
    pub fn new(signer: impl Signer + 'static) -> Result<Self, Error> {
        Self::from_parts(signer, Arc::default(), false)
    }

    /// Creates a prover with another key that shares the server state of this one: nonces, clock offsets and
    /// algorithms.
    ///
    /// # Errors
    /// [`Algorithm`](ErrorKind::Algorithm) when the signer's algorithm does not fit its key.
    pub fn with_key(&self, signer: impl Signer + 'static) -> Result<Self, Error> {
        Self::from_parts(signer, Arc::clone(&self.0.servers), self.0.shares_nonces)
    }

    /// Shares the nonces of an origin between both [roles](ServerRole) of its server: the nonce of a token
    /// response goes into the first proof for a resource of the same origin, and the reverse. This saves a
    /// round trip where one server has both roles and one set of nonces, such as a Bluesky PDS.
    ///
    /// By default the roles are kept apart (RFC 9449 §9), since most servers do not accept the nonce of the
    /// other role: sharing then costs a retry whenever the role changes. The option applies to this prover,
    /// its clones and those made [with another key](Self::with_key) from it.
    ///
    /// ```
    /// use possession::{Algorithm, KeyPair, Prover, ServerRole};
    ///
    /// # fn main() -> Result<(), possession::Error> {
    /// let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?.share_nonces_between_roles();
    /// # let headers = http::HeaderMap::from_iter([("dpop-nonce".parse().unwrap(), "n-1".parse().unwrap())]);
    /// prover.record_nonce(ServerRole::AuthorizationServer, "https://pds.example.com/token", &headers)?;
    /// // A proof for https://pds.example.com/xrpc/… now has that nonce.
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn share_nonces_between_roles(&self) -> Self {
        let Inner { signer, key_pair, headers, servers, .. } = &*self.0;
        Self(Arc::new(Inner {
            signer: Arc::clone(signer),
            key_pair: key_pair.clone(),
            headers: headers.clone(),
            servers: Arc::clone(servers),
            shares_nonces: true,
        }))
    }

    fn from_parts(
        signer: impl Signer + 'static,
        servers: Arc<ServerState>,
        shares_nonces: bool,
    ) -> Result<Self, Error> {
        let signer = Arc::new(signer);
        let key_pair = key_pair(Arc::clone(&signer));
        let signer: Arc<dyn Signer> = signer;
        signer::check_signer(&signer)?;
        let names = signer.algorithm().names();
        let headers = names.iter().map(|name| (*name, encoded_header(signer.public_key(), name))).collect();
        Ok(Self(Arc::new(Inner { signer, key_pair, headers, servers, shares_nonces })))
    }

    /// Returns the public key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.0.signer.public_key()
    }

    /// Returns the thumbprint of the key: the `jkt` that tokens are bound to.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.public_key().thumbprint()
    }

    /// Makes a proof for one request to a server in that role. It carries the newest nonce of the server
    /// unless `proof` has one. `iat` is one second back, so that a server whose clock is slightly behind
    /// does not see a future time; it follows the server's clock where that is known to differ, but without a
    /// nonce by at most five minutes ahead.
    ///
    /// # Errors
    /// Those of [`Proof::sign`].
    pub fn prove(&self, role: ServerRole, proof: Proof<'_>, now: SystemTime) -> Result<String, Error> {
        let nonce = self.nonce(role, proof.origin()).filter(|_| !proof.has_nonce());
        let proof = match &nonce {
            Some(nonce) => proof.nonce(&**nonce),
            None => proof,
        };
        let state = self.origin_state(role, proof.origin());
        let alg = match state.alg.filter(|alg| self.supports(alg)) {
            Some(alg) => alg,
            None => self.choose_alg(None)?,
        };
        let freshness = if proof.has_nonce() { Freshness::Nonce } else { Freshness::DateOnly };
        self.sign(&proof, alg, state.offset.limited(freshness).apply(now))
    }

    /// Records the nonce of a response, whatever its status (RFC 9449 §8.2), and returns whether there was
    /// one.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) for a URL that no proof can be made for.
    pub fn record_nonce(&self, role: ServerRole, url: &str, headers: &HeaderMap) -> Result<bool, Error> {
        let url = Url::http(url).map_err(|why| url::refused(ErrorKind::Url, "URL", url, why))?;
        Ok(self.update_nonce(role, url.origin(), NonceUpdate::from_headers(headers)).is_some())
    }

    /// Returns the number of nonces recorded so far. A nonce counts when it differs from the server's last
    /// one.
    #[must_use]
    pub fn nonces_learned(&self) -> u64 {
        let servers = &self.0.servers;
        let counts =
            [&servers.authorization_servers, &servers.resource_servers].map(|role| role.nonces.learned());
        counts.into_iter().fold(0, u64::saturating_add)
    }

    /// Returns the origin of each server whose clock differs, with the seconds that are added to the local
    /// clock for it.
    #[must_use]
    pub fn clock_offsets(&self) -> Vec<(String, i64)> {
        let mut offsets = Vec::new();
        for role in [&self.0.servers.authorization_servers, &self.0.servers.resource_servers] {
            offsets.extend(role.origins.clock_offsets());
        }
        offsets.sort();
        offsets.dedup();
        offsets
    }

    /// Returns the newest nonce of an origin.
    pub(crate) fn nonce(&self, role: ServerRole, origin: &str) -> Option<Arc<str>> {
        self.nonces(role).find(origin)
    }

    /// Records the nonce of a response and returns it.
    pub(crate) fn update_nonce(
        &self,
        role: ServerRole,
        origin: &str,
        update: NonceUpdate<'_>,
    ) -> Option<Arc<str>> {
        match update {
            NonceUpdate::Absent => None,
            NonceUpdate::Nonce(nonce) => Some(self.nonces(role).record(origin, nonce)),
            NonceUpdate::Invalid => {
                log::warn!("{origin} sent several DPoP-Nonce fields or an invalid one: the nonce is ignored");
                None
            }
        }
    }

    pub(crate) fn origin_state(&self, role: ServerRole, origin: &str) -> OriginState {
        self.role_state(role).origins.find(origin)
    }

    pub(crate) fn record_origin_state(&self, role: ServerRole, origin: &str, state: OriginState) {
        self.role_state(role).origins.record(origin, state);
    }

    /// Returns the key, if it is a [`KeyPair`].
    pub(crate) fn key_pair(&self) -> Option<&KeyPair> {
        self.0.key_pair.as_deref()
    }

    /// Returns what is known about servers, to be stored.
    pub(crate) fn known_servers(&self) -> Vec<KnownServer> {
        self.0.servers.known()
    }

    /// Takes what was stored about servers, where nothing newer is known.
    pub(crate) fn restore_servers(&self, servers: &[KnownServer]) {
        for server in servers {
            self.role_state(server.role).restore(server, self.0.headers.iter().map(|(alg, _)| *alg));
        }
    }

    /// Returns whether `alg` is a name of the key's algorithm.
    pub(crate) fn supports(&self, alg: &str) -> bool {
        self.0.headers.iter().any(|(name, _)| *name == alg)
    }

    /// Returns the name of the key's algorithm to use at a server that supports `algorithms`; any, if that
    /// is `None`.
    pub(crate) fn choose_alg(&self, algorithms: Option<&[String]>) -> Result<&'static str, Error> {
        let algorithm = self.0.signer.algorithm();
        algorithm.name_for(algorithms, self.0.signer.algorithm_name()).ok_or_else(|| {
            let algorithms = algorithms.unwrap_or_default();
            let listed = printable(&algorithms.join(" "), 200);
            let advice = rsa_advice(algorithm.names(), algorithms.iter().map(String::as_str));
            let wrong = format!("the key signs {algorithm}, and the server lists only: {listed}{advice}");
            Error::new(ErrorKind::Algorithm, "choosing the algorithm of DPoP proofs", wrong)
        })
    }

    /// Signs a proof that already has its nonce, with `iat` slightly before `now`.
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

    /// Returns the nonces of a role. Shared ones are those of authorization servers.
    fn nonces(&self, role: ServerRole) -> &NonceCache {
        let role = if self.0.shares_nonces { ServerRole::AuthorizationServer } else { role };
        &self.role_state(role).nonces
    }

    fn role_state(&self, role: ServerRole) -> &RoleState {
        match role {
            ServerRole::AuthorizationServer => &self.0.servers.authorization_servers,
            ServerRole::ResourceServer => &self.0.servers.resource_servers,
        }
    }
}

/// Returns a signer as the key pair that it is or shares.
fn key_pair<S: Signer + 'static>(signer: Arc<S>) -> Option<Arc<KeyPair>> {
    let signer: Arc<dyn Any + Send + Sync> = signer;
    match signer.downcast::<KeyPair>() {
        Ok(key) => Some(key),
        Err(signer) => signer.downcast_ref::<Arc<KeyPair>>().map(Arc::clone),
    }
}

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prover").field("thumbprint", &self.thumbprint()).finish_non_exhaustive()
    }
}
