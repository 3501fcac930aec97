//! JWK Sets (RFC 7517 §5): parsing, and the selection of keys for a token.

use std::sync::Arc;
// A static, which the atomics of models cannot be.
use std::sync::atomic::{AtomicU64, Ordering};

use crate::jose::algorithm::Algorithm;
use crate::jose::json::{self, Json};
use crate::jose::jwk_use::{KeyOperation, allows_algorithm, check_operation, remove_empty_members};
use crate::jose::public_key::{PublicKey, private_member};

/// The number of keys of a set that are read. Each key is checked when it is read, which takes time.
pub(super) const MAX_KEYS: usize = 1_000;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// The keys of a JWK Set that can verify signatures.
#[derive(Debug)]
pub(super) struct JwkSet {
    /// No two sets of the process have the same.
    id: u64,
    keys: Vec<Key>,
    /// Why the first of the skipped keys was skipped.
    skipped: Option<String>,
    /// The number of keys beyond [`MAX_KEYS`].
    unread: usize,
}

#[derive(Debug)]
struct Key {
    /// Shared with the tokens that are remembered.
    kid: Option<Arc<str>>,
    alg: Option<String>,
    key: PublicKey,
}

impl JwkSet {
    /// Parses a set. Keys that are not understood, not for signatures or not public are skipped, as RFC 7517
    /// §5 demands.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut members = json::parse_object(text).map_err(|error| error.to_string())?;
        let Some(Json::Array(jwks)) = members.take("keys") else {
            return Err("it has no array `keys`".to_owned());
        };
        let unread = jwks.len().saturating_sub(MAX_KEYS);
        let (mut keys, mut skipped) = (Vec::new(), None);
        for jwk in jwks.into_iter().take(MAX_KEYS) {
            let Json::Object(mut jwk) = jwk else { continue };
            remove_empty_members(&mut jwk);
            let for_signatures =
                check_operation(&jwk, KeyOperation::Verify).is_ok() && private_member(&jwk).is_none();
            match PublicKey::from_members(&jwk) {
                Ok(key) if for_signatures => {
                    let kid = jwk.text("kid").map(Arc::from);
                    keys.push(Key { kid, alg: jwk.text("alg").map(str::to_owned), key });
                }
                Ok(_) => {
                    skipped.get_or_insert_with(|| "a key is private or not for signatures".to_owned());
                }
                Err(error) => {
                    log::debug!("skipping a key of a JWK Set: {error}");
                    skipped.get_or_insert_with(|| error.to_string());
                }
            }
        }
        // A set without usable keys is valid: its server has withdrawn them.
        Ok(Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), keys, skipped, unread })
    }

    /// Returns a number that distinguishes this set from those that were parsed before and after it.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns why the first of the skipped keys was skipped.
    pub(super) fn skipped(&self) -> Option<&str> {
        self.skipped.as_deref()
    }

    /// Returns the number of keys of the set that were not read, because there are too many.
    pub(super) fn unread(&self) -> usize {
        self.unread
    }

    /// Returns whether there is a key with that `kid`.
    pub(super) fn contains(&self, kid: &str) -> bool {
        self.find_kid(kid).is_some()
    }

    /// Returns the `kid` of the keys that have it.
    pub(super) fn find_kid(&self, kid: &str) -> Option<&Arc<str>> {
        self.keys.iter().filter_map(|known| known.kid.as_ref()).find(|known| ***known == *kid)
    }

    /// Returns the keys that may have signed a token with that header.
    pub(super) fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter_map(move |known| {
            let fits = known.matches(kid)
                && allows_algorithm(known.alg.as_deref(), algorithm)
                && known.key.fits(algorithm);
            fits.then_some(&known.key)
        })
    }
}

impl Key {
    fn matches(&self, kid: Option<&str>) -> bool {
        kid.is_none() || self.kid.as_deref() == kid
    }
}
