//! Per-server state, shared by all keys: nonces, clock offsets and algorithms.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use crate::client::clock_offset::ClockOffset;
use crate::sync::{self, LruMap};

/// The number of origins whose state is kept, for each role.
const MAX_ORIGINS: usize = 1000;

/// The state of all servers. By role, so that a resource cannot influence requests to the token endpoint on
/// the same origin.
#[derive(Default)]
pub(super) struct ServerState {
    pub(super) authorization_servers: RoleState,
    pub(super) resource_servers: RoleState,
}

/// The state of the servers in one role.
#[derive(Default)]
pub(super) struct RoleState {
    pub(super) nonces: NonceCache,
    pub(super) origins: OriginStates,
}

/// The newest nonce of each origin.
pub(super) struct NonceCache {
    by_origin: RwLock<LruMap<Box<str>, Arc<str>>>,
    learned: AtomicU64,
}

impl NonceCache {
    pub(super) fn find(&self, origin: &str) -> Option<Arc<str>> {
        sync::read(&self.by_origin).get(origin).cloned()
    }

    /// Records a nonce and returns it.
    pub(super) fn record(&self, origin: &str, nonce: &str) -> Arc<str> {
        // Most responses repeat the nonce, which takes the read lock only.
        if let Some(known) = self.find(origin).filter(|known| **known == *nonce) {
            return known;
        }
        let nonce: Arc<str> = nonce.into();
        self.learned.fetch_add(1, Ordering::Relaxed);
        sync::write(&self.by_origin).insert(origin.into(), Arc::clone(&nonce));
        nonce
    }

    /// Returns the number of nonces that were new when they were recorded.
    pub(super) fn learned(&self) -> u64 {
        self.learned.load(Ordering::Relaxed)
    }
}

impl Default for NonceCache {
    fn default() -> Self {
        Self { by_origin: RwLock::new(LruMap::new(MAX_ORIGINS)), learned: AtomicU64::default() }
    }
}

/// The state of origins beside their nonces. Most origins have none.
#[derive(Default)]
pub(super) struct OriginStates {
    by_origin: RwLock<HashMap<Box<str>, OriginState>>,
    /// Whether there has ever been an entry: without one, a look-up takes no lock.
    any: AtomicBool,
}

/// The state of one origin beside its nonce.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) struct OriginState {
    pub(crate) offset: ClockOffset,
    /// The name of the key's algorithm that the server's challenges list.
    pub(crate) alg: Option<&'static str>,
}

impl OriginStates {
    pub(super) fn find(&self, origin: &str) -> OriginState {
        if !self.any.load(Ordering::Relaxed) {
            return OriginState::default();
        }
        let by_origin = sync::read(&self.by_origin);
        by_origin.get(origin).copied().unwrap_or_default()
    }

    pub(super) fn record(&self, origin: &str, state: OriginState) {
        let mut by_origin = sync::write(&self.by_origin);
        if state == OriginState::default() {
            by_origin.remove(origin);
            return;
        }
        // Few servers have wrong clocks. The bound protects against one server with any number of host
        // names.
        if by_origin.len() >= MAX_ORIGINS && !by_origin.contains_key(origin) {
            by_origin.clear();
        }
        by_origin.insert(origin.into(), state);
        self.any.store(true, Ordering::Relaxed);
    }

    /// Returns the origins whose clock differs, with the offset in seconds.
    pub(super) fn clock_offsets(&self) -> Vec<(String, i64)> {
        let by_origin = sync::read(&self.by_origin);
        let differing = by_origin.iter().filter(|(_, state)| state.offset != ClockOffset::default());
        differing.map(|(origin, state)| (origin.to_string(), state.offset.0)).collect()
    }
}
