//! A cache of introspection results.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::server::access_token::AccessToken;
use crate::server::claim_values::NumericDate;
use crate::server::token_cache_key::TokenCacheKey;
use crate::server::token_error::TokenError;
use crate::sync::{RwLock, read, write};

/// The number of results that are cached, of either kind.
const CACHE_ENTRIES: usize = 10_000;
/// The size of the claims of a result above which it is not cached.
const MAX_CACHED: usize = 16 * 1024;
/// How long any refusal and any failure is remembered: anybody can send the same token again and again. It is
/// the same for all refusals, so that a thief cannot tell the token of another key from one that is not
/// active.
const REFUSED_LIFETIME: Duration = Duration::from_secs(5);

/// The cached results, by the token and how it was presented.
pub(super) struct IntrospectionCache {
    /// How long it is cached that a token is active.
    lifetime: Duration,
    active: RwLock<Results<AccessToken>>,
    /// What leads to a refusal: errors, and active tokens that are not bound as they were presented. It is a
    /// map of its own, so that invented tokens do not displace real ones.
    refused: RwLock<Results<Outcome>>,
}

/// The result of an introspection. Copies are cheap.
pub(super) type Outcome = Result<AccessToken, Arc<TokenError>>;

impl IntrospectionCache {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { lifetime, active: RwLock::default(), refused: RwLock::default() }
    }

    /// Returns whether active tokens are cached at all.
    pub(super) fn holds_active(&self) -> bool {
        !self.lifetime.is_zero()
    }

    pub(super) fn find(&self, token: &TokenCacheKey, now: SystemTime) -> Option<Outcome> {
        if let Some(active) = read(&self.active).find(token, now) {
            return Some(Ok(active));
        }
        read(&self.refused).find(token, now)
    }

    /// Caches the outcome of a request that took `took`. The lifetime of a refusal is counted from its end,
    /// in whole seconds.
    pub(super) fn insert(
        &self,
        token: TokenCacheKey,
        outcome: &Outcome,
        leeway: Duration,
        now: SystemTime,
        took: Duration,
    ) {
        match outcome {
            Ok(active) if token.fits(active) => self.insert_active(token, active, now),
            _ => self.insert_refused(token, outcome, leeway, now, took),
        }
    }

    /// Caches that a token is active, until its `exp` at the latest.
    fn insert_active(&self, token: TokenCacheKey, result: &AccessToken, now: SystemTime) {
        if !self.holds_active() {
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

    /// Remembers why a token is refused.
    fn insert_refused(
        &self,
        token: TokenCacheKey,
        outcome: &Outcome,
        leeway: Duration,
        now: SystemTime,
        took: Duration,
    ) {
        let lifetime = match outcome.as_ref().map_err(|error| &**error) {
            // It must not be refused after it has become valid.
            Err(TokenError::NotYetValid { seconds }) => {
                REFUSED_LIFETIME.min(Duration::from_secs(*seconds).saturating_sub(leeway))
            }
            _ => REFUSED_LIFETIME.saturating_add(Duration::from_secs(took.as_secs())),
        };
        let dropped = write(&self.refused).insert(token, outcome.clone(), now, now.checked_add(lifetime));
        drop(dropped);
    }
}

struct Results<T> {
    by_token: HashMap<TokenCacheKey, Entry<T>>,
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
        token: TokenCacheKey,
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

    fn find(&self, token: &TokenCacheKey, now: SystemTime) -> Option<T> {
        let entry = self.by_token.get(token)?;
        // The first comparison keeps a clock that was set back from extending the entry's life.
        (entry.since <= now && now < entry.end).then(|| entry.result.clone())
    }
}
