//! A signer and what servers told it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use http::HeaderMap;

use crate::algorithm::rsa_advice;
use crate::clock::Offset;
use crate::error::{Error, ErrorKind};
use crate::key::{self, Signer};
use crate::proof::{self, Proof, is_nonce};
use crate::public_key::{PublicKey, Thumbprint};
use crate::url::{self, Url};

/// Origins whose nonces are kept, for each part; the one not used for longest makes room.
const MAX_ORIGINS: usize = 1000;
/// How far `iat` is set back from the clock, in seconds. Some servers refuse a proof that is one second ahead of their
/// clock, and two good clocks disagree by milliseconds; every server takes one that is a second old.
const BACKDATE: u64 = 1;

/// The part a server plays. One origin may play both and refuse, in one part, the nonces it gave in the other
/// (RFC 9449 §8, §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Where tokens come from.
    AuthorizationServer,
    /// Where tokens are used.
    ResourceServer,
}

/// Makes proofs with one key and remembers the newest nonce of every server.
///
/// Clones share both, and any number of threads may use them: looking a nonce up is a short read.
#[derive(Clone)]
pub struct Prover(Arc<Inner>);

struct Inner {
    signer: Arc<dyn Signer>,
    /// The encoded header for each name of the algorithm.
    headers: Vec<(&'static str, String)>,
    told: Arc<Told>,
}

/// What servers told, whoever signs.
#[derive(Default)]
struct Told {
    authorization_servers: ToldBy,
    resource_servers: ToldBy,
}

/// By the servers of one part: a resource does not say how the token endpoint on its origin is to be spoken to.
#[derive(Default)]
struct ToldBy {
    nonces: Nonces,
    origins: Origins,
}

/// What is known of origins beside their nonces. Of most there is nothing.
#[derive(Default)]
struct Origins {
    by_origin: RwLock<HashMap<Box<str>, Origin>>,
    any: AtomicBool,
}

#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) struct Origin {
    pub(crate) offset: Offset,
    /// The name of the key's algorithm that the server's challenges list.
    pub(crate) alg: Option<&'static str>,
}

#[derive(Default)]
struct Nonces {
    by_origin: RwLock<HashMap<Box<str>, Entry>>,
    clock: AtomicUsize,
    learned: AtomicU64,
}

struct Entry {
    nonce: Arc<str>,
    used: AtomicUsize,
}

/// What a response said of nonces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    Nothing,
    Nonce(Arc<str>),
    /// Several, or one that no proof can carry: forbidden (RFC 9449 §8, §8.1), so none is taken.
    Invalid,
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

    fn telling(signer: Arc<dyn Signer>, told: Arc<Told>) -> Result<Self, Error> {
        key::check_signer(&signer)?;
        let names = signer.algorithm().names();
        let headers =
            names.iter().map(|name| (*name, proof::encoded_header(signer.public_key(), name))).collect();
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
    pub fn prove(&self, part: Part, proof: Proof<'_>, now: SystemTime) -> Result<String, Error> {
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
            let by_origin = told.origins.by_origin.read().unwrap_or_else(PoisonError::into_inner);
            let differing = by_origin.iter().filter(|(_, known)| known.offset != Offset::default());
            offsets.extend(differing.map(|(origin, known)| (origin.to_string(), known.offset.0)));
        }
        offsets.sort();
        offsets.dedup();
        offsets
    }

    /// How many nonces were learned: each counts when it is new at its server.
    #[must_use]
    pub fn nonces_learned(&self) -> u64 {
        let learned = |told: &ToldBy| told.nonces.learned.load(Ordering::Relaxed);
        learned(&self.0.told.authorization_servers).saturating_add(learned(&self.0.told.resource_servers))
    }

    /// Takes the nonce a response brought, whatever its status (RFC 9449 §8.2), and says whether there was one.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) for a URL that no proof can be made for.
    pub fn learn(&self, part: Part, url: &str, headers: &HeaderMap) -> Result<bool, Error> {
        let url = Url::http(url).map_err(|why| url::refused(ErrorKind::Url, "URL", url, why))?;
        Ok(matches!(self.learn_from(part, url.origin(), headers), Learned::Nonce(_)))
    }

    pub(crate) fn learn_from(&self, part: Part, origin: &str, headers: &HeaderMap) -> Learned {
        let mut fields = headers.get_all("dpop-nonce").iter();
        let nonce = match (fields.next(), fields.next()) {
            (None, _) => return Learned::Nothing,
            (Some(field), None) => field.to_str().ok().filter(|nonce| is_nonce(nonce)),
            _ => None,
        };
        match nonce {
            Some(nonce) => Learned::Nonce(self.told_by(part).nonces.put(origin, nonce)),
            None => {
                log::warn!("{origin} sent several DPoP-Nonce fields or an invalid one: none is taken");
                Learned::Invalid
            }
        }
    }

    pub(crate) fn nonce_of(&self, part: Part, origin: &str) -> Option<Arc<str>> {
        self.told_by(part).nonces.find(origin)
    }

    pub(crate) fn origin(&self, part: Part, origin: &str) -> Origin {
        self.told_by(part).origins.find(origin)
    }

    pub(crate) fn know(&self, part: Part, origin: &str, known: Origin) {
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
            let listed = crate::error::printable(&listed, 200);
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
        let iat = proof::unix_seconds(now)?.saturating_sub(BACKDATE);
        let header = self.0.headers.iter().find(|(name, _)| *name == alg).ok_or_else(|| {
            let wrong = "the signer has changed its algorithm";
            Error::new(ErrorKind::Algorithm, "making a DPoP proof", wrong)
        })?;
        proof.sign_with(&header.1, &self.0.signer, iat)
    }

    fn told_by(&self, part: Part) -> &ToldBy {
        match part {
            Part::AuthorizationServer => &self.0.told.authorization_servers,
            Part::ResourceServer => &self.0.told.resource_servers,
        }
    }
}

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prover").field("thumbprint", &self.thumbprint()).finish_non_exhaustive()
    }
}

impl Origins {
    fn find(&self, origin: &str) -> Origin {
        if !self.any.load(Ordering::Relaxed) {
            return Origin::default();
        }
        let by_origin = self.by_origin.read().unwrap_or_else(PoisonError::into_inner);
        by_origin.get(origin).copied().unwrap_or_default()
    }

    fn put(&self, origin: &str, known: Origin) {
        let mut by_origin = self.by_origin.write().unwrap_or_else(PoisonError::into_inner);
        if known == Origin::default() {
            by_origin.remove(origin);
            return;
        }
        // So many servers with wrong clocks there are not; the bound is for one that has as many names as it likes.
        if by_origin.len() >= MAX_ORIGINS && !by_origin.contains_key(origin) {
            by_origin.clear();
        }
        by_origin.insert(origin.into(), known);
        self.any.store(true, Ordering::Relaxed);
    }
}

impl Nonces {
    fn find(&self, origin: &str) -> Option<Arc<str>> {
        let by_origin = self.by_origin.read().unwrap_or_else(PoisonError::into_inner);
        let entry = by_origin.get(origin)?;
        entry.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(&entry.nonce))
    }

    fn put(&self, origin: &str, nonce: &str) -> Arc<str> {
        // Most responses repeat the nonce: that takes the short read only.
        if let Some(known) = self.find(origin).filter(|known| **known == *nonce) {
            return known;
        }
        let nonce: Arc<str> = nonce.into();
        self.learned.fetch_add(1, Ordering::Relaxed);
        let used = AtomicUsize::new(self.clock.fetch_add(1, Ordering::Relaxed));
        let mut by_origin = self.by_origin.write().unwrap_or_else(PoisonError::into_inner);
        if by_origin.len() >= MAX_ORIGINS && !by_origin.contains_key(origin) {
            let oldest = by_origin.iter().min_by_key(|(_, entry)| entry.used.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(origin, _)| origin.clone()) {
                by_origin.remove(&oldest);
            }
        }
        by_origin.insert(origin.into(), Entry { nonce: Arc::clone(&nonce), used });
        nonce
    }
}
