//! A cache of introspection results.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::server::access_token::AccessToken;
use crate::server::claim_values::NumericDate;
use crate::server::token_hash::TokenHash;
use crate::sync::lock;

/// The number of results that are cached, of either kind.
const CACHE_ENTRIES: usize = 10_000;
/// The size of the claims of a result above which it is not cached.
const MAX_CACHED: usize = 16 * 1024;
/// How long it is cached that a token is not active: a client may send the same token again and again.
const INACTIVE_LIFETIME: Duration = Duration::from_secs(10);

/// The cached results, by the hash of the token.
pub(super) struct IntrospectionCache {
    lifetime: Duration,
    active: Mutex<Results<AccessToken>>,
    /// A map of its own, so that invented tokens do not displace real ones.
    inactive: Mutex<Results<()>>,
}

/// What the cache knows about a token.
pub(super) enum Cached {
    Active(AccessToken),
    Inactive,
}

impl IntrospectionCache {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { lifetime, active: Mutex::default(), inactive: Mutex::default() }
    }

    pub(super) fn find(&self, token: &TokenHash, now: SystemTime) -> Option<Cached> {
        if let Some(active) = lock(&self.active).find(token, now) {
            return Some(Cached::Active(active));
        }
        lock(&self.inactive).find(token, now).map(|()| Cached::Inactive)
    }

    /// Caches that a token is active, until its `exp` at the latest.
    pub(super) fn insert_active(&self, token: TokenHash, result: &AccessToken, now: SystemTime) {
        let exp = NumericDate::from_claim(result.claims(), "exp").ok().flatten();
        let exp = exp.and_then(|exp| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(exp.floor())));
        let end = now.checked_add(self.lifetime).map(|end| exp.map_or(end, |exp| end.min(exp)));
        if Value::Object(result.claims().clone()).to_string().len() <= MAX_CACHED {
            lock(&self.active).insert(token, result.clone(), now, end);
        }
    }

    /// Caches that a token is not active.
    pub(super) fn insert_inactive(&self, token: TokenHash, now: SystemTime) {
        let end = now.checked_add(self.lifetime.min(INACTIVE_LIFETIME));
        lock(&self.inactive).insert(token, (), now, end);
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
    fn insert(&mut self, token: TokenHash, result: T, now: SystemTime, end: Option<SystemTime>) {
        if self.by_token.len() >= CACHE_ENTRIES {
            let lately = |then| now.duration_since(then).is_ok_and(|ago| ago < Duration::from_secs(1));
            if !self.searched.is_some_and(lately) {
                self.searched = Some(now);
                self.by_token.retain(|_, entry| now < entry.end);
            }
        }
        // Within the leeway, a result ends when it is made.
        if let Some(end) = end.filter(|end| now < *end && self.by_token.len() < CACHE_ENTRIES) {
            self.by_token.insert(token, Entry { since: now, end, result });
        }
    }

    fn find(&self, token: &TokenHash, now: SystemTime) -> Option<T> {
        let entry = self.by_token.get(token)?;
        // The first comparison keeps a clock that was set back from extending the entry's life.
        (entry.since <= now && now < entry.end).then(|| entry.result.clone())
    }
}
