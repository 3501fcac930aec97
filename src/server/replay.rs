//! Remembering proofs, so that none is accepted twice (RFC 9449 §11.1).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::crypto::sha256_of;
use crate::jose::public_key::Thumbprint;
use crate::time::unix_seconds;

const SHARDS: usize = 64;

/// What a replay store keeps of a proof: a hash of the key's thumbprint and the `jti`, of one size whatever the `jti`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplayKey([u8; 32]);

impl ReplayKey {
    /// Of a proof by that key with that `jti`. The thumbprint has one length, so no two pairs are hashed alike, and nobody
    /// can burn another's `jti`.
    #[must_use]
    pub fn new(jkt: &Thumbprint, jti: &str) -> Self {
        Self(sha256_of([jkt.as_bytes().as_slice(), jti.as_bytes()]))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What became of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertOutcome {
    /// It was absent and is present now.
    Inserted,
    /// It was there already: a replay.
    AlreadyPresent,
}

/// Where proofs that were accepted are remembered.
///
/// The contract: insertion if absent is **one atomic step**, so that of any number of threads or nodes with the same key
/// exactly one sees [`Inserted`](InsertOutcome::Inserted); an entry lives through `accepted_until`, the last second in which
/// the proof could be accepted, and is never dropped before (verifiers on one store have one
/// [`max_age`](crate::server::Verifier::max_age)); what cannot be told is an error, and the proof is rejected.
/// Servers on several machines need a store they share.
pub trait ReplayStore: Send + Sync {
    /// Inserts `key` unless it is there. `now` is the time of the request.
    ///
    /// # Errors
    /// When the entry could not be made or looked for.
    fn insert_if_absent(
        &self,
        key: &ReplayKey,
        accepted_until: SystemTime,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError>;
}

impl<S: ReplayStore + ?Sized> ReplayStore for Arc<S> {
    fn insert_if_absent(
        &self,
        key: &ReplayKey,
        accepted_until: SystemTime,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError> {
        (**self).insert_if_absent(key, accepted_until, now)
    }
}

/// Why a replay store could not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayStoreError {
    /// It is full of entries that still count. Raise its capacity, or shorten the proofs' life.
    Full {
        /// How many entries it can hold.
        capacity: usize,
    },
    /// The clock was set back behind entries that are forgotten already.
    ClockSetBack,
    /// Anything else.
    Failed(String),
}

impl fmt::Display for ReplayStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { capacity } => {
                write!(f, "the replay store is full: {capacity} proofs that still count")
            }
            Self::ClockSetBack => {
                f.write_str("the clock was set back behind proofs that the replay store has forgotten")
            }
            Self::Failed(wrong) => write!(f, "the replay store failed: {wrong}"),
        }
    }
}

impl std::error::Error for ReplayStoreError {}

/// A replay store in memory, for one process: bounded, never forgetting what still counts.
pub struct MemoryReplayStore {
    /// By the first byte of the key, which is a hash.
    shards: Vec<Mutex<Shard>>,
    capacity: usize,
    /// Entries in all shards.
    total: AtomicUsize,
    /// The second in which a full store was last searched for what can be forgotten; locked while it is.
    searched: Mutex<u64>,
}

#[derive(Default)]
struct Shard {
    /// The last second in which each proof could be accepted.
    entries: HashMap<ReplayKey, u64>,
    /// The latest of those that were forgotten.
    forgotten: u64,
    /// No entry ends before this second, so there is nothing to forget earlier.
    next_end: u64,
}

impl MemoryReplayStore {
    /// A store for at most `capacity` proofs: those of the busiest window of [`max_age`](crate::server::Verifier::max_age) plus
    /// [`leeway`](crate::server::Verifier::leeway). Memory is taken as it fills, at most about 100 bytes each. When it
    /// is full, further proofs are rejected.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { shards, capacity, total: AtomicUsize::new(0), searched: Mutex::new(0) }
    }

    /// Counts one entry more, unless the store is full.
    fn reserve(&self) -> bool {
        let more = |total| (total < self.capacity).then(|| total + 1);
        self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Forgets what can be forgotten in all shards, none of which may be locked here; once a second, since what ends, ends
    /// with a second.
    fn make_room(&self, now: u64) {
        // Who comes while another searches waits for what that finds.
        let Ok(mut searched) = self.searched.lock() else { return };
        if std::mem::replace(&mut *searched, now) != now {
            for shard in &self.shards {
                if let Ok(mut shard) = shard.lock() {
                    self.forget(&mut shard, now);
                }
            }
        }
    }

    fn forget(&self, shard: &mut Shard, now: u64) {
        let forgotten = shard.forget(now);
        self.total.fetch_sub(forgotten, Ordering::Relaxed);
    }
}

impl ReplayStore for MemoryReplayStore {
    fn insert_if_absent(
        &self,
        key: &ReplayKey,
        accepted_until: SystemTime,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError> {
        let seconds = |time| unix_seconds(time).map_err(|error| ReplayStoreError::Failed(error.to_string()));
        let (end, now) = (seconds(accepted_until)?, seconds(now)?);
        let index = key.0.first().map_or(0, |byte| usize::from(*byte) % SHARDS);
        let lock = || {
            let shard = self.shards.get(index).and_then(|shard| shard.lock().ok());
            shard.ok_or_else(|| ReplayStoreError::Failed("a thread panicked in it".to_owned()))
        };
        let mut shard = lock()?;
        if shard.entries.contains_key(key) {
            return Ok(InsertOutcome::AlreadyPresent);
        }
        if shard.is_grown_out() {
            // Before it grows, and no oftener: so forgetting costs little for each entry.
            self.forget(&mut shard, now);
        }
        if !self.reserve() {
            drop(shard);
            self.make_room(now);
            if !self.reserve() {
                return Err(ReplayStoreError::Full { capacity: self.capacity });
            }
            shard = lock()?;
        }
        let inserted = shard.insert_if_absent(*key, end);
        if inserted != Ok(InsertOutcome::Inserted) {
            self.total.fetch_sub(1, Ordering::Relaxed);
        }
        inserted
    }
}

impl Shard {
    fn is_grown_out(&self) -> bool {
        self.entries.len() == self.entries.capacity()
    }

    fn insert_if_absent(&mut self, key: ReplayKey, end: u64) -> Result<InsertOutcome, ReplayStoreError> {
        let next_end = if self.entries.is_empty() { end } else { self.next_end.min(end) };
        match self.entries.entry(key) {
            Entry::Occupied(_) => return Ok(InsertOutcome::AlreadyPresent),
            Entry::Vacant(_) if end <= self.forgotten => return Err(ReplayStoreError::ClockSetBack),
            Entry::Vacant(place) => place.insert(end),
        };
        self.next_end = next_end;
        Ok(InsertOutcome::Inserted)
    }

    /// Forgets what ended before `now`, and says how many those were.
    fn forget(&mut self, now: u64) -> usize {
        if self.entries.is_empty() || self.next_end >= now {
            return 0;
        }
        let before = self.entries.len();
        let (mut forgotten, mut next_end) = (self.forgotten, u64::MAX);
        self.entries.retain(|_, end| {
            let keep = *end >= now;
            match keep {
                true => next_end = next_end.min(*end),
                false => forgotten = forgotten.max(*end),
            }
            keep
        });
        (self.forgotten, self.next_end) = (forgotten, next_end);
        before.saturating_sub(self.entries.len())
    }
}

impl fmt::Debug for MemoryReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReplayStore").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn key(n: u64) -> ReplayKey {
        ReplayKey(sha256_of([n.to_be_bytes()]))
    }

    #[test]
    fn an_entry_lives_through_its_last_second() {
        let store = MemoryReplayStore::new(64);
        assert_eq!(store.insert_if_absent(&key(0), at(165), at(100)), Ok(InsertOutcome::Inserted));
        for now in [100, 160, 165] {
            assert_eq!(
                store.insert_if_absent(&key(0), at(165), at(now)),
                Ok(InsertOutcome::AlreadyPresent),
                "{now}"
            );
        }
    }

    /// V-40: when full, what still counts stays and the new one is refused; room comes when entries end.
    #[test]
    fn full_rejects_and_never_evicts() {
        let store = MemoryReplayStore::new(6400);
        let mut full = None;
        let mut inserted = Vec::new();
        for n in 0..10_000 {
            match store.insert_if_absent(&key(n), at(160), at(100)) {
                Ok(InsertOutcome::Inserted) => inserted.push(n),
                Err(ReplayStoreError::Full { capacity: 6400 }) => full = Some(n),
                other => panic!("{other:?}"),
            }
        }
        assert!(full.is_some());
        assert_eq!(inserted, (0..6400).collect::<Vec<_>>(), "all of the capacity, and no more");
        for n in &inserted {
            assert_eq!(store.insert_if_absent(&key(*n), at(160), at(160)), Ok(InsertOutcome::AlreadyPresent));
        }
        let refused = full.unwrap();
        assert_eq!(store.insert_if_absent(&key(refused), at(221), at(161)), Ok(InsertOutcome::Inserted));
    }

    /// V-43: entries of the past are forgotten at 300; a clock set back to 150 must not let them in again.
    #[test]
    fn a_clock_set_back_does_not_reopen_the_past() {
        let store = MemoryReplayStore::new(64);
        // One shard, filled until it would have to grow and so forgets what ended.
        let same_shard: Vec<_> = (0..20_000).map(key).filter(|key| key.0[0] == 7).take(40).collect();
        let (early, late) = same_shard.split_at(4);
        for key in early {
            assert_eq!(store.insert_if_absent(key, at(160), at(100)), Ok(InsertOutcome::Inserted));
        }
        for key in late {
            assert_eq!(store.insert_if_absent(key, at(360), at(300)), Ok(InsertOutcome::Inserted));
        }
        for key in early {
            let again = store.insert_if_absent(key, at(160), at(150));
            assert_eq!(again, Err(ReplayStoreError::ClockSetBack));
        }
    }

    /// V-40: many times the capacity, over time, and memory stays with what still counts.
    #[test]
    fn the_past_is_forgotten() {
        let store = MemoryReplayStore::new(64_000);
        for n in 0..100_000 {
            let now = 1000 + n / 100;
            assert_eq!(
                store.insert_if_absent(&key(n), at(now + 60), at(now)),
                Ok(InsertOutcome::Inserted),
                "{n}"
            );
        }
        let held: usize = store.shards.iter().map(|shard| shard.lock().unwrap().entries.capacity()).sum();
        assert!(held <= 4 * 6100, "{held} places for the 6,100 that count");
    }

    /// Many come at once when a full store's entries have all ended: each finds room, whoever makes it.
    #[test]
    fn nobody_is_refused_while_another_makes_room() {
        for round in 0..500u64 {
            let store = MemoryReplayStore::new(37);
            for n in 0..37 {
                assert_eq!(store.insert_if_absent(&key(n), at(160), at(100)), Ok(InsertOutcome::Inserted));
            }
            let barrier = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                for thread in 0..8 {
                    let (store, barrier) = (&store, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        for n in 0..4 {
                            let key = key(1000 + thread * 4 + n);
                            let seen = store.insert_if_absent(&key, at(360), at(300));
                            assert_eq!(seen, Ok(InsertOutcome::Inserted), "{round}");
                        }
                    });
                }
            });
        }
    }
}
