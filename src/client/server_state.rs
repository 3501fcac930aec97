//! Per-server state: nonces, clock offsets and algorithms.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::client::clock_offset::ClockOffset;

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

#[derive(Default)]
pub(super) struct NonceCache {
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
pub(crate) enum NonceUpdate {
    Nothing,
    Nonce(Arc<str>),
    /// Several, or one that no proof can carry: forbidden (RFC 9449 §8, §8.1), so none is taken.
    Invalid,
}

impl OriginStates {
    /// The origins whose clock differs, with the offset in seconds.
    pub(super) fn clock_offsets(&self) -> Vec<(String, i64)> {
        let by_origin = self.by_origin.read().unwrap_or_else(PoisonError::into_inner);
        let differing = by_origin.iter().filter(|(_, known)| known.offset != ClockOffset::default());
        differing.map(|(origin, known)| (origin.to_string(), known.offset.0)).collect()
    }

    pub(super) fn find(&self, origin: &str) -> OriginState {
        if !self.any.load(Ordering::Relaxed) {
            return OriginState::default();
        }
        let by_origin = self.by_origin.read().unwrap_or_else(PoisonError::into_inner);
        by_origin.get(origin).copied().unwrap_or_default()
    }

    pub(super) fn put(&self, origin: &str, known: OriginState) {
        let mut by_origin = self.by_origin.write().unwrap_or_else(PoisonError::into_inner);
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

impl NonceCache {
    /// How many nonces were new when they came.
    pub(super) fn learned(&self) -> u64 {
        self.learned.load(Ordering::Relaxed)
    }

    pub(super) fn find(&self, origin: &str) -> Option<Arc<str>> {
        let by_origin = self.by_origin.read().unwrap_or_else(PoisonError::into_inner);
        let entry = by_origin.get(origin)?;
        entry.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(&entry.nonce))
    }

    pub(super) fn put(&self, origin: &str, nonce: &str) -> Arc<str> {
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
