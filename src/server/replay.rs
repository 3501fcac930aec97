//! Replay detection: the interface of a store, and a store in memory (RFC 9449 §11.1).

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

/// The key of a proof in a replay store: a hash of the thumbprint and the `jti`. Its size does not depend on
/// the `jti`.
///
/// ```
/// use possession::Thumbprint;
/// use possession::server::ReplayKey;
///
/// let jkt: Thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse()?;
/// let key = ReplayKey::new(&jkt, "e1j3V_bKic8-LAEB");
/// assert_eq!(key.as_bytes().len(), 32);
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplayKey([u8; 32]);

impl ReplayKey {
    /// Creates the key of a proof with that `jti` by the key `jkt`.
    ///
    /// The thumbprint has a fixed length, so two different pairs never give the same input of the hash, and
    /// no client can use up the `jti` of another.
    #[must_use]
    pub fn new(jkt: &Thumbprint, jti: &str) -> Self {
        Self(sha256_of([jkt.as_bytes().as_slice(), jti.as_bytes()]))
    }

    /// Returns the 32 bytes of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The outcome of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertOutcome {
    /// The key was absent and is present now.
    Inserted,
    /// The key was present already: the proof is a replay.
    AlreadyPresent,
}

/// Remembers accepted proofs. Servers on several machines need a store that they share.
///
/// An implementation must keep this contract:
///
/// - Insertion if absent is **one atomic step**: of any number of threads or nodes that insert the same key,
///   exactly one gets [`Inserted`](InsertOutcome::Inserted).
/// - An entry lives through `accepted_until`, the last second in which the proof could be accepted, and is
///   never evicted earlier. All verifiers of a store have the same
///   [`max_age`](crate::server::Verifier::max_age).
/// - If the store cannot tell whether the key is present, it returns an error, and the proof is rejected.
///
/// ```
/// use std::collections::HashSet;
/// use std::sync::Mutex;
/// use std::time::SystemTime;
///
/// use possession::server::{InsertOutcome, ReplayKey, ReplayStore, ReplayStoreError};
///
/// /// Remembers the proofs of a short test, and never forgets one.
/// #[derive(Default)]
/// struct TestStore(Mutex<HashSet<ReplayKey>>);
///
/// impl ReplayStore for TestStore {
///     fn insert_if_absent(
///         &self,
///         key: &ReplayKey,
///         _accepted_until: SystemTime,
///         _now: SystemTime,
///     ) -> Result<InsertOutcome, ReplayStoreError> {
///         let mut keys = self.0.lock().map_err(|error| ReplayStoreError::Failed(error.to_string()))?;
///         Ok(if keys.insert(*key) { InsertOutcome::Inserted } else { InsertOutcome::AlreadyPresent })
///     }
/// }
/// ```
pub trait ReplayStore: Send + Sync {
    /// Inserts `key` unless it is present. `now` is the time of the request.
    ///
    /// # Errors
    /// Returns an error when the store could not insert the key or could not tell whether it is present.
    fn insert_if_absent(
        &self,
        key: &ReplayKey,
        accepted_until: SystemTime,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError>;

    /// Returns whether an insertion needs I/O. By default it does, and
    /// [`ResourceServer::try_authenticate`](crate::server::ResourceServer::try_authenticate) then leaves the
    /// request to a thread that may block. A store in memory returns false.
    fn needs_io(&self) -> bool {
        true
    }
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

    fn needs_io(&self) -> bool {
        (**self).needs_io()
    }
}

/// Why a replay store could not tell whether a proof has been used before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayStoreError {
    /// The store is full of entries that have not expired. Raise its capacity or shorten
    /// [`max_age`](crate::server::Verifier::max_age).
    Full {
        /// The number of entries that it can hold.
        capacity: usize,
    },
    /// The clock was set back to a time whose entries have been forgotten.
    ClockSetBack,
    /// Any other failure.
    Failed(String),
}

impl fmt::Display for ReplayStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("recording a proof in the replay store: ")?;
        match self {
            Self::Full { capacity } => {
                write!(
                    f,
                    "it is full: {capacity} proofs are unexpired (raise its capacity or shorten `max_age`)"
                )
            }
            Self::ClockSetBack => f.write_str("the clock was set back to a time whose proofs are forgotten"),
            Self::Failed(wrong) => f.write_str(wrong),
        }
    }
}

impl std::error::Error for ReplayStoreError {}

/// A replay store in memory, for a server of one process. Its size is bounded, and it never evicts an entry
/// that has not expired.
///
/// ```
/// use possession::server::{MemoryReplayStore, Verifier};
///
/// // 1,000 proofs a second, each of which is remembered for up to 80 seconds.
/// let verifier = Verifier::new(MemoryReplayStore::new(80_000));
/// # let _ = verifier;
/// ```
pub struct MemoryReplayStore {
    /// Selected by the first byte of the key. The key is a hash, so the entries are spread evenly.
    shards: Vec<Mutex<Shard>>,
    capacity: usize,
    /// The number of entries in all shards.
    total: AtomicUsize,
    /// The second in which the full store was last searched for expired entries. It is locked during the
    /// search.
    searched: Mutex<u64>,
}

#[derive(Default)]
struct Shard {
    /// The last second in which each proof could be accepted, by its key.
    entries: HashMap<ReplayKey, u64>,
    /// The latest such second of the entries that were removed.
    forgotten_until: u64,
    /// No entry expires before this second, so there is nothing to remove earlier.
    next_end: u64,
}

impl MemoryReplayStore {
    /// Creates a store for at most `capacity` proofs. It must hold every proof that is still remembered:
    /// the highest rate of proofs per second, times the seconds of
    /// [`max_age`](crate::server::Verifier::max_age) plus [`leeway`](crate::server::Verifier::leeway) plus
    /// 10 for the clocks of other nodes, which is 80 with the defaults. With
    /// [`trust_nonce_time`](crate::server::Verifier::trust_nonce_time), a proof is remembered for the
    /// lifetime of its nonce plus 10 seconds instead.
    ///
    /// Memory is allocated as the store fills, at most about 100 bytes for each proof. When the store is
    /// full, further proofs are rejected. A store with a capacity of 0 rejects every proof.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { shards, capacity, total: AtomicUsize::new(0), searched: Mutex::new(0) }
    }

    /// Counts one more entry, unless the store is full.
    fn reserve(&self) -> bool {
        let more = |total| (total < self.capacity).then(|| total + 1);
        self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Removes the expired entries of all shards, none of which may be locked by the caller. It does so at
    /// most once a second, because entries expire at the end of a second.
    fn make_room(&self, now: u64) {
        // A thread that comes during another thread's search waits for its end.
        let Ok(mut searched) = self.searched.lock() else { return };
        if std::mem::replace(&mut *searched, now) != now {
            for shard in &self.shards {
                if let Ok(mut shard) = shard.lock() {
                    self.remove_expired(&mut shard, now);
                }
            }
        }
    }

    fn remove_expired(&self, shard: &mut Shard, now: u64) {
        let removed = shard.remove_expired(now);
        self.total.fetch_sub(removed, Ordering::Relaxed);
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
            shard.ok_or_else(|| {
                ReplayStoreError::Failed("a thread panicked while it held the lock".to_owned())
            })
        };
        let mut shard = lock()?;
        if shard.entries.contains_key(key) {
            return Ok(InsertOutcome::AlreadyPresent);
        }
        if shard.must_grow() {
            // Expired entries are removed only before the map grows, so that the cost for each entry is
            // small.
            self.remove_expired(&mut shard, now);
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

    fn needs_io(&self) -> bool {
        false
    }
}

impl Shard {
    fn must_grow(&self) -> bool {
        self.entries.len() == self.entries.capacity()
    }

    fn insert_if_absent(&mut self, key: ReplayKey, end: u64) -> Result<InsertOutcome, ReplayStoreError> {
        let next_end = if self.entries.is_empty() { end } else { self.next_end.min(end) };
        match self.entries.entry(key) {
            Entry::Occupied(_) => return Ok(InsertOutcome::AlreadyPresent),
            Entry::Vacant(_) if end <= self.forgotten_until => return Err(ReplayStoreError::ClockSetBack),
            Entry::Vacant(place) => place.insert(end),
        };
        self.next_end = next_end;
        Ok(InsertOutcome::Inserted)
    }

    /// Removes the entries that expired before `now`, and returns their number.
    fn remove_expired(&mut self, now: u64) -> usize {
        if self.entries.is_empty() || self.next_end >= now {
            return 0;
        }
        let before = self.entries.len();
        let (mut forgotten_until, mut next_end) = (self.forgotten_until, u64::MAX);
        self.entries.retain(|_, end| {
            let keep = *end >= now;
            match keep {
                true => next_end = next_end.min(*end),
                false => forgotten_until = forgotten_until.max(*end),
            }
            keep
        });
        (self.forgotten_until, self.next_end) = (forgotten_until, next_end);
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

    /// V-40: a full store keeps unexpired entries and rejects new ones. There is room again when entries
    /// expire.
    #[test]
    fn a_full_store_rejects_and_never_evicts() {
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
        assert_eq!(inserted, (0..6400).collect::<Vec<_>>(), "exactly the capacity");
        for n in &inserted {
            assert_eq!(store.insert_if_absent(&key(*n), at(160), at(160)), Ok(InsertOutcome::AlreadyPresent));
        }
        let refused = full.unwrap();
        assert_eq!(store.insert_if_absent(&key(refused), at(221), at(161)), Ok(InsertOutcome::Inserted));
    }

    /// V-43: the first entries are removed at 300. A clock that is set back to 150 must not make them
    /// acceptable again.
    #[test]
    fn a_clock_set_back_does_not_reopen_the_past() {
        let store = MemoryReplayStore::new(64);
        // The keys of one shard, which is filled until it must grow and removes the expired entries.
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

    /// V-40: over time many more proofs are inserted than the store can hold, and its memory stays bounded.
    #[test]
    fn memory_is_bounded_by_the_unexpired_entries() {
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
        assert!(held <= 4 * 6100, "{held} places for 6,100 unexpired entries");
    }

    /// Several threads insert at once when all entries of a full store have expired: each finds room,
    /// whichever makes it.
    #[test]
    fn no_thread_is_rejected_while_another_makes_room() {
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
