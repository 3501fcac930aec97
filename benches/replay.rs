//! What the replay store in memory costs: time and memory of an entry, and that it stays at its bound. `cargo bench --bench
//! replay`.

// A benchmark that cannot run has nothing better to do than stop.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use possession::{Insertion, MemoryReplayStore, ReplayKey, ReplayStore, ReplayStoreError, Thumbprint};

fn main() {
    let jkt: Thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().expect("RFC 9449");
    let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
    let keys: Vec<_> = (0..2_000_000u32).map(|n| ReplayKey::new(&jkt, &n.to_string())).collect();

    for entries in [1_000, 10_000, 100_000, 1_000_000] {
        let (before, store) = (resident(), MemoryReplayStore::new(entries));
        let start = Instant::now();
        for key in &keys[..entries] {
            assert_eq!(store.insert_if_absent(key, at(160), at(100)), Ok(Insertion::Inserted));
        }
        let each = start.elapsed().as_secs_f64() * 1e9 / entries as f64;
        let octets = resident().saturating_sub(before) as f64 / entries as f64;
        println!("{entries:>9} entries: {each:6.0} ns an insertion, {octets:6.1} octets an entry");
        let more = store.insert_if_absent(&keys[entries], at(160), at(100));
        assert_eq!(more, Err(ReplayStoreError::Full { capacity: entries }));
    }

    // A million distinct proofs, 1,000 a second with a life of 65 seconds, in a store for 100,000.
    let (before, store) = (resident(), MemoryReplayStore::new(100_000));
    for (n, key) in (0u64..).zip(&keys[1_000_000..]) {
        let now: SystemTime = at(1_000 + n / 1_000);
        assert_eq!(store.insert_if_absent(key, now + Duration::from_secs(65), now), Ok(Insertion::Inserted));
    }
    let grown = resident().saturating_sub(before) as f64 / 1024.0 / 1024.0;
    println!("1,000,000 proofs over 1,000 s through a store for 100,000: {grown:.1} MiB more resident");
}

/// Octets of resident memory (Linux; elsewhere 0).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}
