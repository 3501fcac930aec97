//! A cache of introspection results.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use crate::server::access_token::AccessToken;
use crate::server::claim_values::NumericDate;
use crate::server::token_error::TokenError;
use crate::server::token_hash::TokenHash;
use crate::sync::{read, write};

/// The number of results that are cached, of either kind.
const CACHE_ENTRIES: usize = 10_000;
/// The size of the claims of a result above which it is not cached.
const MAX_CACHED: usize = 16 * 1024;
/// How long it is cached that a token is not active, if active ones are cached for as long.
const INACTIVE_LIFETIME: Duration = Duration::from_secs(10);
/// How long any refusal and any failure is remembered: anybody can send the same token again and again.
const REFUSED_LIFETIME: Duration = Duration::from_secs(5);

/// The cached results, by the hash of the token.
pub(super) struct IntrospectionCache {
    /// How long it is cached that a token is active.
    lifetime: Duration,
    active: RwLock<Results<AccessToken>>,
    /// A map of its own, so that invented tokens do not displace real ones.
    refused: RwLock<Results<Arc<TokenError>>>,
}

/// The result of an introspection. Copies are cheap.
pub(super) type Outcome = Result<AccessToken, Arc<TokenError>>;

impl IntrospectionCache {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { lifetime, active: RwLock::default(), refused: RwLock::default() }
    }

    pub(super) fn find(&self, token: &TokenHash, now: SystemTime) -> Option<Outcome> {
        if let Some(active) = read(&self.active).find(token, now) {
            return Some(Ok(active));
        }
        read(&self.refused).find(token, now).map(Err)
    }

    /// Caches that a token is active, until its `exp` at the latest.
    pub(super) fn insert_active(&self, token: TokenHash, result: &AccessToken, now: SystemTime) {
        if self.lifetime.is_zero() {
            return;
        }
        let exp = NumericDate::from_claim(result.claims(), "exp").ok().flatten();
        let exp = exp.and_then(|exp| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(exp.floor())));
        let end = now.checked_add(self.lifetime).map(|end| exp.map_or(end, |exp| end.min(exp)));
        let size = serde_json::to_string(result.claims()).map_or(usize::MAX, |claims| claims.len());
        if size <= MAX_CACHED {
            let dropped = write(&self.active).insert(token, result.clone(), now, end);
            drop(dropped);
        }
    }

    /// Remembers why a token is not accepted. The request took `took`, and the lifetime is counted from its
    /// end, in whole seconds.
    pub(super) fn insert_refused(
        &self,
        token: TokenHash,
        error: &Arc<TokenError>,
        leeway: Duration,
        now: SystemTime,
        took: Duration,
    ) {
        let lifetime = match **error {
            TokenError::Inactive => self.lifetime.min(INACTIVE_LIFETIME).max(REFUSED_LIFETIME),
            // It must not be refused after it has become valid.
            TokenError::NotYetValid { seconds } => {
                REFUSED_LIFETIME.min(Duration::from_secs(seconds).saturating_sub(leeway))
            }
            _ => REFUSED_LIFETIME,
        };
        let took = match **error {
            TokenError::NotYetValid { .. } => Duration::ZERO,
            _ => Duration::from_secs(took.as_secs()),
        };
        let end = now.checked_add(took).and_then(|end| end.checked_add(lifetime));
        let dropped = write(&self.refused).insert(token, Arc::clone(error), now, end);
        drop(dropped);
    }
}

struct Results<T> {
    by_token: HashMap<TokenHash, Entry<T>>,
    /// When the full map was last searched for expired entries.
    searched: Option<SystemTime>,
}

struct Entry<T> {
    since: SystemTime,
    end: SystemTime,
    result: T,
}

impl<T> Default for Results<T> {
    fn default() -> Self {
        Self { by_token: HashMap::new(), searched: None }
    }
}

impl<T: Clone> Results<T> {
    /// Inserts a result. Returns what is to be dropped after the lock is released: an error may contain
    /// foreign code.
    #[must_use]
    fn insert(
        &mut self,
        token: TokenHash,
        result: T,
        now: SystemTime,
        end: Option<SystemTime>,
    ) -> Vec<Entry<T>> {
        let mut dropped = Vec::new();
        if self.by_token.len() >= CACHE_ENTRIES {
            let lately = |then| now.duration_since(then).is_ok_and(|ago| ago < Duration::from_secs(1));
            if !self.searched.is_some_and(lately) {
                self.searched = Some(now);
                let expired = self.by_token.extract_if(|_, entry| now >= entry.end);
                dropped.extend(expired.map(|(_, entry)| entry));
            }
        }
        let has_room = self.by_token.len() < CACHE_ENTRIES || self.by_token.contains_key(&token);
        // Within the leeway, a result ends when it is made.
        let replaced = match end.filter(|end| now < *end) {
            Some(end) if has_room => self.by_token.insert(token, Entry { since: now, end, result }),
            // What was known about the token is outdated.
            _ => {
                dropped.push(Entry { since: now, end: now, result });
                self.by_token.remove(&token)
            }
        };
        dropped.extend(replaced);
        dropped
    }

    fn find(&self, token: &TokenHash, now: SystemTime) -> Option<T> {
        let entry = self.by_token.get(token)?;
        // The first comparison keeps a clock that was set back from extending the entry's life.
        (entry.since <= now && now < entry.end).then(|| entry.result.clone())
    }
}
