//! Remembers access tokens whose signature has been verified.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::jose::algorithm::Algorithm;
use crate::jose::json::{Json, Object};
use crate::jose::public_key::Thumbprint;
use crate::server::access_token::AccessToken;
use crate::server::expected_claims::TokenTimes;
use crate::server::token_cache_key::TokenCacheKey;
use crate::sync::{self, RwLock};

/// The number of tokens that are remembered, unless set otherwise.
pub(super) const DEFAULT_TOKENS: usize = 10_000;
/// The memory for each token that may be remembered. Larger tokens take the place of several.
const BYTES_PER_TOKEN: usize = 4 * 1024;
/// The memory of a generation of a shard is not less, so that a few large tokens can be remembered.
const MIN_BYTES: usize = 128 * 1024;
/// The number of maps with a lock of their own, if there are enough tokens for so many.
const SHARDS: usize = 16;
/// A shard for fewer tokens than these would have to forget tokens although others have room.
const MIN_PER_SHARD: usize = 64;

/// Verified access tokens by the hash of the whole token, bounded in number and in bytes.
///
/// Only a token with a valid signature is remembered, so nobody without such tokens can make it forget
/// others.
pub(super) struct VerifiedTokens {
    shards: Vec<RwLock<Shard>>,
    limits: Limits,
}

/// A token, and the key that its signature was verified with.
#[derive(Clone)]
pub(super) struct VerifiedToken {
    pub(super) token: AccessToken,
    pub(super) kid: Option<Arc<str>>,
    pub(super) algorithm: Algorithm,
    pub(super) key: Thumbprint,
    /// The key set that contained the key: [`JwkSet::id`](crate::server::jwk_set::JwkSet::id).
    pub(super) key_set: u64,
    pub(super) times: TokenTimes,
    /// About how many bytes of memory the claims take: [`bytes_of_claims`].
    pub(super) bytes_of_claims: usize,
}

/// The tokens of a generation. They are shared with the threads that use them.
type Tokens = HashMap<TokenCacheKey, Arc<VerifiedToken>>;

/// What a generation of a shard may hold.
struct Limits {
    tokens: usize,
    bytes: usize,
}

/// Two generations of tokens: when the newer one is full, it becomes the older one, whose tokens are
/// forgotten. A token that is used moves to the newer one. This costs the same however many tokens there are.
#[derive(Default)]
struct Shard {
    newer: Tokens,
    older: Tokens,
    /// The bytes in `newer`.
    bytes: usize,
}

/// Which generation a token was found in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Generation {
    Newer,
    Older,
}

impl VerifiedTokens {
    /// Creates a memory of at most `tokens` tokens. It remembers none if that is 0.
    pub(super) fn new(tokens: usize) -> Self {
        let shards = if tokens == 0 { 0 } else { (tokens / MIN_PER_SHARD).clamp(1, SHARDS) };
        // Each shard has two generations, even where one token is wanted.
        let generations = shards.saturating_mul(2);
        let share = |whole: usize| whole.checked_div(generations).unwrap_or(0);
        let limits = Limits {
            tokens: share(tokens).max(1),
            bytes: share(tokens.saturating_mul(BYTES_PER_TOKEN)).max(MIN_BYTES),
        };
        Self { shards: (0..shards).map(|_| RwLock::default()).collect(), limits }
    }

    /// Returns whether tokens are remembered at all.
    pub(super) fn is_enabled(&self) -> bool {
        !self.shards.is_empty()
    }

    /// Returns a remembered token.
    pub(super) fn find(&self, presented: &TokenCacheKey) -> Option<Arc<VerifiedToken>> {
        let shard = self.shard(presented)?;
        let (found, generation) = sync::read(shard).find(presented)?;
        if generation == Generation::Older {
            self.insert(*presented, Arc::clone(&found));
        }
        Some(found)
    }

    /// Remembers a token, in place of what is known about it.
    pub(super) fn insert(&self, presented: TokenCacheKey, token: Arc<VerifiedToken>) {
        let bytes = token.bytes();
        if bytes > self.limits.bytes {
            return;
        }
        let Some(shard) = self.shard(&presented) else { return };
        // What is forgotten is dropped after the lock is released, because that takes time.
        let forgotten = sync::write(shard).insert(presented, token, bytes, &self.limits);
        drop(forgotten);
    }

    /// Forgets a token.
    pub(super) fn remove(&self, presented: &TokenCacheKey) {
        let Some(shard) = self.shard(presented) else { return };
        let forgotten = sync::write(shard).remove(presented);
        drop(forgotten);
    }

    fn shard(&self, presented: &TokenCacheKey) -> Option<&RwLock<Shard>> {
        let place = usize::from(presented.first_byte()).checked_rem(self.shards.len())?;
        self.shards.get(place)
    }
}

impl Shard {
    fn find(&self, presented: &TokenCacheKey) -> Option<(Arc<VerifiedToken>, Generation)> {
        let newer = self.newer.get(presented).map(|token| (Arc::clone(token), Generation::Newer));
        newer.or_else(|| self.older.get(presented).map(|token| (Arc::clone(token), Generation::Older)))
    }

    /// Inserts a token and returns those that are forgotten for it. A copy in the older generation is left
    /// there: it is not found any more.
    fn insert(
        &mut self,
        presented: TokenCacheKey,
        token: Arc<VerifiedToken>,
        bytes: usize,
        limits: &Limits,
    ) -> (Tokens, Option<Arc<VerifiedToken>>) {
        let mut forgotten = Tokens::new();
        let is_full = self.newer.len() >= limits.tokens || self.bytes.saturating_add(bytes) > limits.bytes;
        if is_full {
            // The next generation will be about as large.
            let next = Tokens::with_capacity(self.newer.len());
            forgotten = std::mem::replace(&mut self.older, std::mem::replace(&mut self.newer, next));
            self.bytes = 0;
        }
        let replaced = self.newer.insert(presented, token);
        let freed = replaced.as_ref().map_or(0, |replaced| replaced.bytes());
        self.bytes = self.bytes.saturating_add(bytes).saturating_sub(freed);
        (forgotten, replaced)
    }

    fn remove(&mut self, presented: &TokenCacheKey) -> [Option<Arc<VerifiedToken>>; 2] {
        let newer = self.newer.remove(presented);
        if let Some(token) = &newer {
            self.bytes = self.bytes.saturating_sub(token.bytes());
        }
        [newer, self.older.remove(presented)]
    }
}

impl VerifiedToken {
    /// Returns about how many bytes of memory the token takes.
    fn bytes(&self) -> usize {
        let own = size_of::<(TokenCacheKey, Self)>();
        let kid = self.kid.as_ref().map_or(0, |kid| kid.len());
        own.saturating_add(kid).saturating_add(self.bytes_of_claims)
    }
}

/// Returns about how many bytes claims take in an [`AccessToken`]: the payload that they are read from, and
/// the map that is made of it when they are used.
pub(super) fn bytes_of_claims(payload: &[u8], claims: &Object<'_>) -> usize {
    payload.len().saturating_add(bytes_of_map(claims))
}

/// The nodes of the maps of `serde_json` are partly empty, which a factor of two covers.
fn bytes_of_map(members: &Object<'_>) -> usize {
    members.iter().fold(size_of::<Map<String, Value>>(), |sum, (name, value)| {
        let entry = size_of::<(String, Value)>().saturating_mul(2).saturating_add(name.len());
        sum.saturating_add(entry).saturating_add(bytes_of(value))
    })
}

/// Returns about how many bytes a value takes beside its own place.
fn bytes_of(value: &Json<'_>) -> usize {
    match value {
        Json::String(text) => text.len(),
        Json::Array(values) => values.iter().fold(0, |sum: usize, value| {
            sum.saturating_add(size_of::<Value>()).saturating_add(bytes_of(value))
        }),
        Json::Object(members) => bytes_of_map(members),
        _ => 0,
    }
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedTokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::json;
    use crate::server::expected_claims::ExpectedClaims;

    fn token(text: &str) -> Arc<VerifiedToken> {
        let payload = serde_json::json!({ "sub": text }).to_string();
        let claims = json::parse_jose_object(payload.as_bytes()).unwrap();
        let expected = ExpectedClaims { issuer: "", audience: None, leeway: 0 };
        Arc::new(VerifiedToken {
            token: AccessToken::from_payload(payload.as_bytes(), None),
            times: expected.check(&claims, 0).unwrap(),
            bytes_of_claims: bytes_of_claims(payload.as_bytes(), &claims),
            kid: None,
            algorithm: Algorithm::Es256,
            key: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().unwrap(),
            key_set: 1,
        })
    }

    fn presented(token: &str) -> TokenCacheKey {
        TokenCacheKey::of_token_alone(token)
    }

    fn size(tokens: &VerifiedTokens) -> (usize, usize) {
        tokens.shards.iter().map(sync::read).fold((0, 0), |(count, bytes), shard| {
            let all = || shard.newer.values().chain(shard.older.values());
            (count + all().count(), bytes + all().map(|token| token.bytes()).sum::<usize>())
        })
    }

    #[test]
    fn the_number_and_the_bytes_of_tokens_are_bounded() {
        for capacity in [2, 3, 63, 64, 1_000, 5_000] {
            let tokens = VerifiedTokens::new(capacity);
            for number in 0..capacity * 3 {
                tokens.insert(presented(&number.to_string()), token("s"));
                // Looking at all of them takes time.
                assert!(number % 61 != 0 || size(&tokens).0 <= capacity, "{capacity}");
            }
            assert!(size(&tokens).0 >= capacity / 4, "{capacity}");
            // Large tokens: fewer of them.
            for number in 0..capacity * 2 {
                tokens.insert(presented(&number.to_string()), token(&"s".repeat(1_500)));
                tokens.insert(presented(&format!("{number} ")), token(&"s".repeat(3_500)));
            }
            let bytes = (capacity * BYTES_PER_TOKEN).max(2 * MIN_BYTES * tokens.shards.len());
            assert!(size(&tokens).1 <= bytes, "{capacity}");
            let huge = presented("huge");
            tokens.insert(huge, token(&"s".repeat(tokens.limits.bytes)));
            assert!(tokens.find(&huge).is_none());
        }
        let none = VerifiedTokens::new(0);
        none.insert(presented("a"), token("s"));
        assert!(!none.is_enabled() && none.find(&presented("a")).is_none() && size(&none) == (0, 0));
    }

    #[test]
    fn a_token_in_use_is_not_forgotten() {
        let tokens = VerifiedTokens::new(40);
        let used = presented("used");
        tokens.insert(used, token("used"));
        for number in 0..1_000 {
            tokens.insert(presented(&number.to_string()), token("s"));
            assert_eq!(tokens.find(&used).unwrap().token.claim("sub").unwrap(), "used", "{number}");
        }
        tokens.remove(&used);
        assert!(tokens.find(&used).is_none());
        for number in 0..1_000 {
            tokens.remove(&presented(&number.to_string()));
        }
        let shard = sync::read(&tokens.shards[0]);
        assert_eq!((shard.newer.len(), shard.older.len(), shard.bytes), (0, 0, 0));
    }
}
