//! How many entries of a replay store belong to each key.

use std::hash::{BuildHasher, RandomState};

use crate::jose::public_key::Thumbprint;
use crate::sync::atomic::{AtomicUsize, Ordering};

const MIN_COUNTERS: usize = 16;
/// A place has 16 bits for each of the two counters.
const MAX_COUNTERS: usize = 4096;

/// Counts the entries of each key, in a table whose size does not depend on the number of keys.
///
/// A key has a counter in each of two rows, which it may share with others: the smaller of the two is at least
/// its number of entries. It is more only if both counters are shared with keys that hold many. The hash has
/// a random key, so nobody can choose a key that shares its counters with another.
pub(super) struct KeyShares {
    hasher: RandomState,
    rows: [Box<[AtomicUsize]>; 2],
}

/// The place of a key in each of the two rows.
#[derive(Clone, Copy)]
pub(super) struct Places([u16; 2]);

impl KeyShares {
    /// Creates the counters for a store of that capacity.
    pub(super) fn new(capacity: usize) -> Self {
        let length = (capacity / 4).clamp(MIN_COUNTERS, MAX_COUNTERS).next_power_of_two();
        let row = || std::iter::repeat_with(AtomicUsize::default).take(length).collect();
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
        self.counters(places).map(|counter| counter.load(Ordering::Relaxed)).min().unwrap_or_default()
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

    fn counters(&self, places: Places) -> impl Iterator<Item = &AtomicUsize> {
        // The length of a row is a power of two.
        let rows = self.rows.iter().zip(places.0);
        rows.filter_map(|(row, place)| row.get(usize::from(place) & row.len().saturating_sub(1)))
    }
}
