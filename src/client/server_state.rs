//! Per-server state: nonces, clock offsets and algorithms.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use crate::client::clock_offset::ClockOffset;
use crate::sync::{self, LruMap};

/// OriginStates whose nonces are kept, for each part; the one not used for longest makes room.
const MAX_ORIGINS: usize = 1000;

/// What servers told, whoever signs.
#[derive(Default)]
pub(super) struct ServerState {
    pub(super) authorization_servers: RoleState,
    pub(super) resource_servers: RoleState,
}

/// By the servers of one part: a resource does not say how the token endpoint on its origin is to be spoken to.
#[derive(Default)]
pub(super) struct RoleState {
    pub(super) nonces: NonceCache,
    pub(super) origins: OriginStates,
}

/// What is known of origins beside their nonces. Of most there is nothing.
#[derive(Default)]
pub(super) struct OriginStates {
    by_origin: RwLock<HashMap<Box<str>, OriginState>>,
    any: AtomicBool,
}

#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) struct OriginState {
    pub(crate) offset: ClockOffset,
    /// The name of the key's algorithm that the server's challenges list.
    pub(crate) alg: Option<&'static str>,
}

/// The newest nonce of each origin.
pub(super) struct NonceCache {
    by_origin: RwLock<LruMap<Box<str>, Arc<str>>>,
    learned: AtomicU64,
}

/// What a response said of nonces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NonceUpdate {
    Nothing,
    Nonce(Arc<str>),
    /// Several, or one that no proof can carry: forbidden (RFC 9449 §8, §8.1), so none is taken.
    Invalid,
}

impl OriginStates {
    /// The origins whose clock differs, with the offset in seconds.
    pub(super) fn clock_offsets(&self) -> Vec<(String, i64)> {
        let by_origin = sync::read(&self.by_origin);
        let differing = by_origin.iter().filter(|(_, known)| known.offset != ClockOffset::default());
        differing.map(|(origin, known)| (origin.to_string(), known.offset.0)).collect()
    }

    pub(super) fn find(&self, origin: &str) -> OriginState {
        if !self.any.load(Ordering::Relaxed) {
            return OriginState::default();
        }
        let by_origin = sync::read(&self.by_origin);
        by_origin.get(origin).copied().unwrap_or_default()
    }

    pub(super) fn put(&self, origin: &str, known: OriginState) {
        let mut by_origin = sync::write(&self.by_origin);
        if known == OriginState::default() {
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

impl Default for NonceCache {
    fn default() -> Self {
        Self { by_origin: RwLock::new(LruMap::new(MAX_ORIGINS)), learned: AtomicU64::default() }
    }
}

impl NonceCache {
    /// How many nonces were new when they came.
    pub(super) fn learned(&self) -> u64 {
        self.learned.load(Ordering::Relaxed)
    }

    pub(super) fn find(&self, origin: &str) -> Option<Arc<str>> {
        sync::read(&self.by_origin).get(origin).cloned()
    }

    pub(super) fn put(&self, origin: &str, nonce: &str) -> Arc<str> {
        // Most responses repeat the nonce: that takes the read lock only.
        if let Some(known) = self.find(origin).filter(|known| **known == *nonce) {
            return known;
        }
        let nonce: Arc<str> = nonce.into();
        self.learned.fetch_add(1, Ordering::Relaxed);
        sync::write(&self.by_origin).insert(origin.into(), Arc::clone(&nonce));
        nonce
    }
}
