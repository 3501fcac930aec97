//! How many entries of a replay store belong to each key.

use std::hash::{BuildHasher, RandomState};

use crate::jose::public_key::Thumbprint;
use crate::sync::atomic::{AtomicU32, Ordering};

/// The smallest and the largest number of counters in a row. With fewer of them than keys, keys that hold few
/// would count as one that holds many. In models, each counter is slow to create.
const COUNTERS: [usize; 2] = if cfg!(all(test, shuttle)) { [16, 16] } else { [1024, 4096] };

/// Counts the entries of each key, in a table whose size depends on the capacity of the store, and not on
/// the number of keys.
///
/// A key has a counter in each of two rows, which it may share with others: the smaller of the two is at
/// least its number of entries. It is more only if both counters are shared with keys that hold many. The
/// hash has a random key, so nobody can choose a key that shares its counters with another.
pub(super) struct KeyShares {
    hasher: RandomState,
    /// As many entries as a counter can count would need more than 300 GB.
    rows: [Box<[AtomicU32]>; 2],
}

/// The place of a key in each of the two rows, in 65,536ths of the row.
#[derive(Clone, Copy)]
pub(super) struct Places([u16; 2]);

impl KeyShares {
    /// Creates the counters for a store of that capacity: at most 8 bytes for each of its entries, unless it
    /// is very small.
    pub(super) fn new(capacity: usize) -> Self {
        let [min, max] = COUNTERS;
        let row = || std::iter::repeat_with(AtomicU32::default).take(capacity.clamp(min, max)).collect();
        Self { hasher: RandomState::new(), rows: [row(), row()] }
    }

    /// Returns the places of a key.
    pub(super) fn places(&self, jkt: &Thumbprint) -> Places {
        // A thumbprint is a hash already: half of it tells keys apart.
        let half = jkt.as_bytes().first_chunk().copied().unwrap_or_default();
        let [a, b, c, d, ..] = self.hasher.hash_one(u128::from_ne_bytes(half)).to_ne_bytes();
        Places([u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])])
    }

    /// Returns how many entries the key holds, or more if others share its counters.
    pub(super) fn held(&self, places: Places) -> usize {
        let held = self.counters(places).map(|counter| counter.load(Ordering::Relaxed)).min();
        held.and_then(|held| held.try_into().ok()).unwrap_or_default()
    }

    /// Counts one more entry of the key.
    pub(super) fn add(&self, places: Places) {
        self.counters(places).for_each(|counter| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Counts one entry less of the key.
    pub(super) fn remove(&self, places: Places) {
        self.counters(places).for_each(|counter| {
            counter.fetch_sub(1, Ordering::Relaxed);
        });
    }

    fn counters(&self, places: Places) -> impl Iterator<Item = &AtomicU32> {
        let rows = self.rows.iter().zip(places.0);
        rows.filter_map(|(row, place)| row.get(usize::from(place).saturating_mul(row.len()) >> 16))
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use base64ct::{Base64UrlUnpadded, Encoding};

    use super::*;

    /// 19 keys hold two entries each. A key would count as one that holds ten only if it shared each of its
    /// counters with four others, which is less likely than one in 10^16; with 16 counters in a row it
    /// happens in one of 200 tables.
    #[test]
    fn keys_that_hold_few_do_not_count_as_one_that_holds_many() {
        for round in 0..1_000_u32 {
            let shares = KeyShares::new(43);
            let places = Vec::from_iter((0..19).map(|key| {
                let mut digest = [0; 32];
                digest[..4].copy_from_slice(&(19 * round + key).to_be_bytes());
                shares.places(&Base64UrlUnpadded::encode_string(&digest).parse().unwrap())
            }));
            for _ in 0..2 {
                places.iter().for_each(|places| shares.add(*places));
            }
            for places in places {
                assert!((2..10).contains(&shares.held(places)), "{round}");
            }
        }
    }

    /// The counters of a row are used evenly by 64 times as many keys. The number of keys in a counter has
    /// the mean 64 and the standard deviation 8.
    #[test]
    fn every_counter_is_used() {
        for (capacity, counters) in [(0, 1024), (1500, 1500), (1_000_000, 4096)] {
            let shares = KeyShares::new(capacity);
            for key in 0..64 * u32::try_from(counters).unwrap() {
                let mut digest = [0; 32];
                digest[..4].copy_from_slice(&key.to_be_bytes());
                shares.add(shares.places(&Base64UrlUnpadded::encode_string(&digest).parse().unwrap()));
            }
            for row in &shares.rows {
                assert_eq!(row.len(), counters, "{capacity}");
                for counter in row {
                    let away = counter.load(Ordering::Relaxed).abs_diff(64);
                    assert!(away < 7 * 8, "{capacity}: {away}");
                }
            }
        }
    }
}
