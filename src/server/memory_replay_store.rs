//! A replay store in memory (RFC 9449 §11.1).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::server::clock_steps::{ClockSteps, MAX_DIFFERENCE, Reading};
use crate::server::key_shares::{KeyShares, Places};
use crate::server::replay::{InsertOutcome, ProofRecord, ReplayKey, ReplayStore, ReplayStoreError};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::time::{Clock, SystemClock, unix_millis, unix_seconds};

/// Few in models, whose threads take a step at each lock.
const SHARDS: usize = if cfg!(all(test, shuttle)) { 2 } else { 64 };

/// A replay store in memory, for a server of one process. Its size is bounded, and it never evicts an entry
/// that has not expired.
///
/// ```
/// use possession::server::{MemoryReplayStore, Verifier};
///
/// // 1,000 proofs a second, each of which is remembered for up to 84 seconds.
/// let verifier = Verifier::new(MemoryReplayStore::new(84_000));
/// # let _ = verifier;
/// ```
///
/// # The clock
///
/// Entries end by the monotonic clock. A time of day that is set ahead, or that jumps for a moment, ends no
/// entry early and keeps none longer. After the time of day was set back, proofs that may have been accepted
/// before and forgotten since are rejected ([`ClockSetBack`](ReplayStoreError::ClockSetBack)), which are
/// those of times in which the store has recorded proofs before. A new proof is not affected if the step was
/// at most a minute or so, or if it led to a time before the first proof. Otherwise new proofs are rejected
/// until the clock shows a time that it has not shown before.
///
/// # One client cannot fill it
///
/// Once the store is half full, a key that holds a quarter of its capacity gets no further entries before
/// some of its own expire ([`max_proofs_per_key`](Self::max_proofs_per_key)). Its proofs are rejected with
/// 429 and `Retry-After` ([`TooManyProofs`](ReplayStoreError::TooManyProofs)), and those of other keys are
/// accepted.
///
/// A client with many keys is not stopped by that. At a resource server each of these keys needs an access
/// token that is bound to it, because a proof is recorded after its token has been validated: the
/// authorization server can limit how many it issues. A token endpoint has no token to ask for; see the
/// guide page on [the token endpoint](crate::guide::token_endpoint).
///
/// # Restarts
///
/// The store forgets everything when the process ends, and then the proofs of the last 70 seconds could be
/// used once more. It therefore knows when it began to record proofs. A nonce that was made before is
/// answered with `use_dpop_nonce` and a new one. Without nonces, see
/// [`refuse_proofs_from_before_start`](crate::server::Verifier::refuse_proofs_from_before_start).
pub struct MemoryReplayStore {
    /// Selected by the first byte of the key. The key is a hash, so the entries are spread evenly.
    shards: Vec<Mutex<Shard>>,
    capacity: usize,
    /// The number of entries in all shards.
    total: AtomicUsize,
    shares: KeyShares,
    max_per_key: usize,
    /// The second of the monotonic clock in which the store was last searched for expired entries. It is
    /// locked during the search.
    searched: Mutex<Option<u32>>,
    clock: Arc<dyn Clock>,
    /// The time of day and the monotonic time of the first request.
    first_request: OnceLock<(SystemTime, Duration)>,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<ReplayKey, Lifetime>,
    /// No entry ends before this second, so there is nothing to remove earlier.
    next_end: u32,
    steps: ClockSteps,
}

/// An entry: when it ends, and whose it is.
struct Lifetime {
    /// The last second by the monotonic clock.
    end: u32,
    places: Places,
}

impl MemoryReplayStore {
    /// Creates a store for at most `capacity` proofs:
    /// [`Verifier::capacity`](crate::server::Verifier::capacity) returns how many that must be. With fewer
    /// than about ten clients, use twice as many, so that none is limited.
    ///
    /// Memory is allocated as the store fills: 8 to 32 KiB at first, and at most about 90 bytes for each
    /// proof. When the store is full, further proofs are rejected. A store with a capacity of 0 rejects every
    /// proof.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self {
            shards,
            capacity,
            total: AtomicUsize::new(0),
            shares: KeyShares::new(capacity),
            max_per_key: (capacity / 4).max(1),
            searched: Mutex::new(None),
            clock: Arc::new(SystemClock::new()),
            first_request: OnceLock::new(),
        }
    }

    /// Sets how many proofs the store remembers of one key once it is half full: a quarter of its capacity by
    /// default. `usize::MAX` means no limit, for a server whose clients are few and known.
    ///
    /// The entries are counted in a table in which keys share counters: with the default and a capacity of at
    /// least 4,096, a key counts as another that holds many with a probability of about one in a million (one
    /// in 65,000 below 1,024). A limit below a thousandth of the capacity, or below about five, refuses keys
    /// that hold few.
    #[must_use]
    pub fn max_proofs_per_key(self, proofs: usize) -> Self {
        Self { max_per_key: proofs, ..self }
    }

    /// Sets the clock whose [`elapsed`](Clock::elapsed) time ends entries: that of the machine by default. A
    /// test that makes up the time of its requests needs one that agrees with it.
    #[must_use]
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Counts one more entry, unless the store is full or it is half full and the key has its share.
    fn reserve(&self, places: Places, retry_after: Duration) -> Result<(), ReplayStoreError> {
        let half_full = self.total.load(Ordering::Relaxed) >= self.capacity.div_ceil(2);
        if half_full && self.shares.held(places) >= self.max_per_key {
            return Err(ReplayStoreError::TooManyProofs { allowed: self.max_per_key, retry_after });
        }
        let more = |total| (total < self.capacity).then(|| total + 1);
        let counted = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.map_err(|_| ReplayStoreError::Full { capacity: self.capacity })?;
        self.shares.add(places);
        Ok(())
    }

    /// Counts an entry less.
    fn release(&self, places: Places) {
        self.total.fetch_sub(1, Ordering::Relaxed);
        self.shares.remove(places);
    }

    /// Removes the expired entries of all shards, none of which may be locked by the caller. It does so at
    /// most once a second, because entries expire at the end of a second.
    fn make_room(&self, elapsed: u32) {
        // A thread that comes during another thread's search waits for its end.
        let Ok(mut searched) = self.searched.lock() else { return };
        if searched.replace(elapsed) != Some(elapsed) {
            for shard in &self.shards {
                if let Ok(mut shard) = shard.lock() {
                    shard.remove_expired(elapsed, |places| self.release(places));
                }
            }
        }
    }
}

impl ReplayStore for MemoryReplayStore {
    fn insert_if_absent(
        &self,
        proof: &ProofRecord,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError> {
        let seconds = |time| unix_seconds(time).map_err(|error| ReplayStoreError::Failed(error.to_string()));
        let (from, until) = (seconds(proof.accepted_from())?, seconds(proof.accepted_until())?);
        // The clock may be the caller's: no lock is held.
        let now = Reading::new(now, self.clock.elapsed())
            .map_err(|error| ReplayStoreError::Failed(error.to_string()))?;
        let elapsed = now.elapsed;
        let places = self.shares.places(proof.thumbprint());
        let index = proof.key().as_bytes().first().map_or(0, |byte| usize::from(*byte) % SHARDS);
        let lock = || {
            let shard = self.shards.get(index).and_then(|shard| shard.lock().ok());
            shard.ok_or_else(|| {
                ReplayStoreError::Failed("a thread panicked while it held the lock".to_owned())
            })
        };
        let mut shard = lock()?;
        if shard.entries.contains_key(proof.key()) {
            return Ok(InsertOutcome::AlreadyPresent);
        }
        if shard.steps.may_be_forgotten(from, until, now) {
            return Err(ReplayStoreError::ClockSetBack);
        }
        if shard.must_grow() {
            // Expired entries are removed only before the map grows, so that the cost for each entry is
            // small.
            shard.remove_expired(elapsed, |places| self.release(places));
        }
        let left = until.saturating_sub(now.time);
        let retry_after = retry_after(left);
        if self.reserve(places, retry_after).is_err() {
            drop(shard);
            self.make_room(elapsed);
            self.reserve(places, retry_after)?;
            shard = lock()?;
        }
        // The entry must live until the last second has passed, and both clocks are in the middle of a
        // second.
        let left = u32::try_from(left.saturating_add(1)).unwrap_or(u32::MAX);
        let lifetime = Lifetime { end: elapsed.saturating_add(left), places };
        let inserted = shard.insert_if_absent(*proof.key(), lifetime, now);
        if inserted != InsertOutcome::Inserted {
            self.release(places);
        }
        Ok(inserted)
    }

    fn recording_since(&self, now: SystemTime) -> Option<SystemTime> {
        if let Some((first, _)) = self.first_request.get().filter(|(first, _)| *first <= now) {
            return Some(*first);
        }
        let seen = || {
            // Nonces are dated in milliseconds.
            let millis = unix_millis(now).ok().map(Duration::from_millis);
            let first = millis.and_then(|millis| UNIX_EPOCH.checked_add(millis));
            (first.unwrap_or(now), self.clock.elapsed())
        };
        let (first, then) = *self.first_request.get_or_init(seen);
        match first.duration_since(now) {
            // The clock has been set back to a time before the first request. The monotonic clock tells when
            // that was by the present setting.
            Ok(before) if before > MAX_DIFFERENCE => {
                now.checked_sub(self.clock.elapsed().saturating_sub(then))
            }
            // The threads of the first requests have read the clock in no certain order.
            _ => Some(first),
        }
    }

    fn needs_io(&self) -> bool {
        false
    }
}

/// Returns when a client should try again whose proofs are remembered for `left` seconds. Some of them expire
/// earlier, but when that is is not known.
fn retry_after(left: u64) -> Duration {
    Duration::from_secs((left / 8).max(1))
}

impl Shard {
    fn must_grow(&self) -> bool {
        self.entries.len() == self.entries.capacity()
    }

    fn insert_if_absent(&mut self, key: ReplayKey, lifetime: Lifetime, now: Reading) -> InsertOutcome {
        let end = lifetime.end;
        let next_end = if self.entries.is_empty() { end } else { self.next_end.min(end) };
        match self.entries.entry(key) {
            Entry::Occupied(_) => return InsertOutcome::AlreadyPresent,
            Entry::Vacant(place) => place.insert(lifetime),
        };
        self.next_end = next_end;
        self.steps.record(now);
        InsertOutcome::Inserted
    }

    /// Removes the entries that ended before `elapsed`, and reports whose they were.
    fn remove_expired(&mut self, elapsed: u32, removed: impl Fn(Places)) {
        if self.entries.is_empty() || self.next_end >= elapsed {
            return;
        }
        let mut next_end = u32::MAX;
        self.entries.retain(|_, lifetime| {
            let keep = lifetime.end >= elapsed;
            match keep {
                true => next_end = next_end.min(lifetime.end),
                false => removed(lifetime.places),
            }
            keep
        });
        self.next_end = next_end;
    }
}

impl fmt::Debug for MemoryReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReplayStore").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[cfg(all(test, shuttle))]
impl MemoryReplayStore {
    /// Returns the numbers of entries that are kept in all and for a single key.
    pub(super) fn counts(&self, jkt: &crate::jose::public_key::Thumbprint) -> (usize, usize) {
        (self.total.load(Ordering::SeqCst), self.shares.held(self.shares.places(jkt)))
    }

    /// Returns the number of entries, twice, for a store all of whose entries are of that key.
    pub(super) fn counted(&self) -> (usize, usize) {
        let entries = self.shards.iter().map(|shard| crate::sync::lock(shard).entries.len()).sum();
        (entries, entries)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn proof(n: u64, until: u64) -> ProofRecord {
        proof_of("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", n, until)
    }

    fn proof_of(jkt: &str, n: u64, until: u64) -> ProofRecord {
        ProofRecord::new(&jkt.parse().unwrap(), &n.to_string(), at(0)..=at(until))
    }

    /// A store whose two clocks show the same.
    struct TestStore {
        store: MemoryReplayStore,
        elapsed: Arc<AtomicU64>,
    }

    impl TestStore {
        fn new(capacity: usize) -> Self {
            let elapsed = Arc::new(AtomicU64::new(0));
            let clock = TestClock(Arc::clone(&elapsed));
            let store = MemoryReplayStore::new(capacity).max_proofs_per_key(usize::MAX).clock(clock);
            Self { store, elapsed }
        }

        fn insert(&self, proof: &ProofRecord, now: u64) -> Result<InsertOutcome, ReplayStoreError> {
            self.elapsed.store(now, Ordering::Relaxed);
            self.store.insert_if_absent(proof, at(now))
        }
    }

    struct TestClock(Arc<AtomicU64>);

    impl Clock for TestClock {
        fn now(&self) -> SystemTime {
            unreachable!("the time of day comes with each proof")
        }

        fn elapsed(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }

        fn sleep(&self, _: Duration) {
            unreachable!("a store does not wait")
        }
    }

    #[test]
    fn an_entry_lives_through_its_last_second() {
        let store = TestStore::new(2);
        assert_eq!(store.insert(&proof(0, 165), 100), Ok(InsertOutcome::Inserted));
        assert_eq!(store.insert(&proof(1, 300), 100), Ok(InsertOutcome::Inserted));
        for now in [100, 160, 165] {
            assert_eq!(store.insert(&proof(0, 165), now), Ok(InsertOutcome::AlreadyPresent), "{now}");
        }
        // It began and ends in the middle of a second: that of the end may be the second after.
        for (now, room) in [(165, false), (166, false), (167, true)] {
            let seen = store.insert(&proof(2, 300), now);
            assert_eq!(seen == Ok(InsertOutcome::Inserted), room, "{now}");
        }
    }

    /// V-40: a full store keeps unexpired entries and rejects new ones. There is room again when entries
    /// expire.
    #[test]
    fn a_full_store_rejects_and_never_evicts() {
        let store = TestStore::new(6400);
        let mut full = None;
        let mut inserted = Vec::new();
        for n in 0..10_000 {
            match store.insert(&proof(n, 160), 100) {
                Ok(InsertOutcome::Inserted) => inserted.push(n),
                Err(ReplayStoreError::Full { capacity: 6400 }) => full = Some(n),
                other => panic!("{other:?}"),
            }
        }
        assert!(full.is_some());
        assert_eq!(inserted, (0..6400).collect::<Vec<_>>(), "exactly the capacity");
        for n in &inserted {
            assert_eq!(store.insert(&proof(*n, 160), 160), Ok(InsertOutcome::AlreadyPresent));
        }
        assert_eq!(store.insert(&proof(full.unwrap(), 221), 162), Ok(InsertOutcome::Inserted));
    }

    /// V-40: over time many more proofs are inserted than the store can hold, and its memory stays bounded.
    #[test]
    fn memory_is_bounded_by_the_unexpired_entries() {
        let store = TestStore::new(64_000);
        for n in 0..100_000 {
            let now = 1000 + n / 100;
            assert_eq!(store.insert(&proof(n, now + 60), now), Ok(InsertOutcome::Inserted), "{n}");
        }
        let held: usize =
            store.store.shards.iter().map(|shard| shard.lock().unwrap().entries.capacity()).sum();
        assert!(held <= 4 * 6300, "{held} places for 6,300 unexpired entries");
    }

    /// The counts of keys go down again when entries expire.
    #[test]
    fn every_expired_entry_is_counted_off() {
        let store = TestStore::new(1_000);
        let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().unwrap();
        for round in 0..20 {
            let now = 100 + 100 * round;
            for n in 0..1_000 {
                let proof = proof(1_000 * round + n, now + 60);
                assert_eq!(store.insert(&proof, now), Ok(InsertOutcome::Inserted));
                assert_eq!(store.insert(&proof, now), Ok(InsertOutcome::AlreadyPresent));
            }
            let store = &store.store;
            assert_eq!(store.shares.held(store.shares.places(&jkt)), 1_000);
        }
        store.store.make_room(u32::MAX);
        assert_eq!(store.store.total.load(Ordering::Relaxed), 0);
        assert_eq!(store.store.shares.held(store.store.shares.places(&jkt)), 0);
    }

    /// Several threads insert at once when all entries of a full store have expired: each finds room,
    /// whichever makes it.
    #[test]
    fn no_thread_is_rejected_while_another_makes_room() {
        for round in 0..500u64 {
            let store = TestStore::new(37);
            for n in 0..37 {
                assert_eq!(store.insert(&proof(n, 160), 100), Ok(InsertOutcome::Inserted));
            }
            let barrier = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                for thread in 0..8 {
                    let (store, barrier) = (&store, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        for n in 0..4 {
                            let seen = store.insert(&proof(1000 + thread * 4 + n, 360), 300);
                            assert_eq!(seen, Ok(InsertOutcome::Inserted), "{round}");
                        }
                    });
                }
            });
        }
    }
}
