//! Measures time and memory per entry of the replay store in memory, for any number of entries, and shows
//! that it keeps to its capacity: `cargo bench --bench replay`.

// A panic is the right end of a benchmark that cannot run.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{at_most, median};
use possession::server::{
    InsertOutcome, MemoryReplayStore, ProofRecord, ReplayKey, ReplayStore, ReplayStoreError,
};
use possession::{Clock, Thumbprint};

fn main() {
    let jkt: Thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().expect("RFC 9449");
    let proofs: Vec<_> = (0..1_000_002).map(|n| record(&jkt, n, at(100))).collect();

    // A hash table doubles when it is full, so the maximum per entry lies somewhere between two powers of
    // two.
    let mut max_bytes = 0.0f64;
    let mut entries = 1_000;
    while entries <= 1_000_000 {
        let mut store = None;
        let measured = allocation_counter::measure(|| {
            let filled = MemoryReplayStore::new(entries).max_proofs_per_key(usize::MAX);
            for proof in &proofs[..entries] {
                insert(&filled, proof, at(100));
            }
            store = Some(filled);
        });
        let bytes = measured.bytes_current as f64 / entries as f64;
        max_bytes = max_bytes.max(bytes);
        let one_more = store.expect("a full store").insert_if_absent(&proofs[entries], at(100));
        assert_eq!(one_more, Err(ReplayStoreError::Full { capacity: entries }));
        entries = entries * 21 / 20;
    }
    at_most("replay store: bytes per live entry, maximum from 1,000 to 1,000,000", max_bytes, 96.0);

    const LIVE: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
    drop(proofs);
    let times = LIVE.map(|live| [steady(&jkt, live), steady_map(&jkt, live)]);
    for (live, [store, map]) in LIVE.iter().zip(times) {
        println!("{live:>9} live entries: {store:4.0} ns per insertion; in a bare HashMap {map:4.0}");
    }
    at_most("replay store: insertion among 1,000,000 live entries, µs", times[3][0] / 1000.0, 1.0);
    // 1,000,000 entries do not fit into the processor's caches, in any map: the growth is compared with that
    // of a `HashMap`.
    let growth = |column: usize| times[3][column] / times[0][column];
    println!("1,000,000 / 1,000 live entries: {:.2} for the store, {:.2} for the map", growth(0), growth(1));
    at_most(
        "replay store: growth of the time per insertion / that of a bare HashMap",
        growth(0) / growth(1),
        1.0,
    );
}

/// A clock that shows the time of the proofs, so that their entries end.
struct BenchClock(Arc<AtomicU64>);

impl Clock for BenchClock {
    fn now(&self) -> SystemTime {
        at(self.0.load(Ordering::Relaxed))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) {}
}

/// Returns the nanoseconds per insertion while as many entries expire as are inserted: the median of several
/// rounds.
fn steady(jkt: &Thumbprint, live: usize) -> f64 {
    let elapsed = Arc::new(AtomicU64::new(0));
    let clock = BenchClock(Arc::clone(&elapsed));
    let store = MemoryReplayStore::new(live * 2).max_proofs_per_key(usize::MAX).clock(clock);
    // An entry lives for 60 seconds, in which `live` entries are inserted.
    let second = |n: usize| 1_000 + (n as u64 * 60) / live as u64;
    let mut next = 0..;
    // The records are made before the time is taken, because their keys are hashes.
    let mut insert_some = |count: usize| {
        let record_with_second = |n| (record(jkt, n, at(second(n))), second(n));
        let records: Vec<_> = next.by_ref().take(count).map(record_with_second).collect();
        let start = Instant::now();
        for (proof, second) in &records {
            elapsed.store(*second, Ordering::Relaxed);
            insert(&store, proof, at(*second));
        }
        start.elapsed().as_secs_f64() * 1e9 / count as f64
    };
    insert_some(live);
    median((0..21).map(|_| insert_some(live.min(40_000))).collect())
}

/// Returns the same for a map of the standard library whose oldest entry is removed at each insertion.
fn steady_map(jkt: &Thumbprint, live: usize) -> f64 {
    let key = |n: usize| ReplayKey::new(jkt, &n.to_string());
    let mut map: HashMap<ReplayKey, u64> = (0..live).map(|n| (key(n), 0)).collect();
    let mut next = live;
    let mut insert_some = |count: usize| {
        let keys: Vec<_> = (next..next + count).map(|n| (key(n), key(n - live))).collect();
        next += count;
        let start = Instant::now();
        for (inserted, removed) in &keys {
            assert_eq!(map.insert(*inserted, 0), None);
            map.remove(removed);
        }
        start.elapsed().as_secs_f64() * 1e9 / count as f64
    };
    median((0..21).map(|_| insert_some(live.min(40_000))).collect())
}

fn record(jkt: &Thumbprint, n: usize, now: SystemTime) -> ProofRecord {
    ProofRecord::new(jkt, &n.to_string(), now..=now + Duration::from_secs(60))
}

fn insert(store: &MemoryReplayStore, proof: &ProofRecord, now: SystemTime) {
    assert_eq!(store.insert_if_absent(proof, now), Ok(InsertOutcome::Inserted));
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}
