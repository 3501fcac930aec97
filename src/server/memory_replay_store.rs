//! A replay store in memory (RFC 9449 §11.1).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use crate::server::replay::{InsertOutcome, ProofRecord, ReplayKey, ReplayStore, ReplayStoreError};
use crate::time::unix_seconds;

const SHARDS: usize = 64;

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
        proof: &ProofRecord,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError> {
        let seconds = |time| unix_seconds(time).map_err(|error| ReplayStoreError::Failed(error.to_string()));
        let (key, end, now) = (proof.key(), seconds(proof.accepted_until())?, seconds(now)?);
        let index = key.as_bytes().first().map_or(0, |byte| usize::from(*byte) % SHARDS);
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

    fn proof(n: u64, end: u64) -> ProofRecord {
        let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().unwrap();
        ProofRecord::new(&jkt, &n.to_string(), at(0)..=at(end))
    }

    #[test]
    fn an_entry_lives_through_its_last_second() {
        let store = MemoryReplayStore::new(64);
        assert_eq!(store.insert_if_absent(&proof(0, 165), at(100)), Ok(InsertOutcome::Inserted));
        for now in [100, 160, 165] {
            assert_eq!(
                store.insert_if_absent(&proof(0, 165), at(now)),
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
            match store.insert_if_absent(&proof(n, 160), at(100)) {
                Ok(InsertOutcome::Inserted) => inserted.push(n),
                Err(ReplayStoreError::Full { capacity: 6400 }) => full = Some(n),
                other => panic!("{other:?}"),
            }
        }
        assert!(full.is_some());
        assert_eq!(inserted, (0..6400).collect::<Vec<_>>(), "exactly the capacity");
        for n in &inserted {
            assert_eq!(store.insert_if_absent(&proof(*n, 160), at(160)), Ok(InsertOutcome::AlreadyPresent));
        }
        let refused = full.unwrap();
        assert_eq!(store.insert_if_absent(&proof(refused, 221), at(161)), Ok(InsertOutcome::Inserted));
    }

    /// V-43: the first entries are removed at 300. A clock that is set back to 150 must not make them
    /// acceptable again.
    #[test]
    fn a_clock_set_back_does_not_reopen_the_past() {
        let store = MemoryReplayStore::new(64);
        // The keys of one shard, which is filled until it must grow and removes the expired entries.
        let in_shard = |n: &u64| proof(*n, 0).key().as_bytes()[0] == 7;
        let same_shard: Vec<_> = (0..20_000).filter(in_shard).take(40).collect();
        let (early, late) = same_shard.split_at(4);
        for n in early {
            assert_eq!(store.insert_if_absent(&proof(*n, 160), at(100)), Ok(InsertOutcome::Inserted));
        }
        for n in late {
            assert_eq!(store.insert_if_absent(&proof(*n, 360), at(300)), Ok(InsertOutcome::Inserted));
        }
        for n in early {
            let again = store.insert_if_absent(&proof(*n, 160), at(150));
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
                store.insert_if_absent(&proof(n, now + 60), at(now)),
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
                assert_eq!(store.insert_if_absent(&proof(n, 160), at(100)), Ok(InsertOutcome::Inserted));
            }
            let barrier = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                for thread in 0..8 {
                    let (store, barrier) = (&store, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        for n in 0..4 {
                            let proof = proof(1000 + thread * 4 + n, 360);
                            let seen = store.insert_if_absent(&proof, at(300));
                            assert_eq!(seen, Ok(InsertOutcome::Inserted), "{round}");
                        }
                    });
                }
            });
        }
    }
}
