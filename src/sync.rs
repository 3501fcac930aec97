//! Shared state: the types of locks, functions that lock although a thread panicked, and a bounded cache.
//!
//! No lock of this crate is held while foreign code runs, and every critical section leaves consistent data
//! behind, so a poisoned lock can be used further.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::PoisonError;

// The other files take these from here, so that models can try out the orders in which threads run: see
// CONTRIBUTING.md.
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic,
};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic};

use self::atomic::{AtomicU64, Ordering};

/// Locks a mutex, also when a thread panicked while it held it.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for reading, also when a thread panicked while it held the lock.
pub(crate) fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing, also when a thread panicked while it held the lock.
pub(crate) fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// A map with a bounded number of entries: a new key evicts the least recently used one.
///
/// Looking an entry up takes `&self`, so that readers share an [`RwLock`]. Eviction scans all entries: it is
/// for caches whose keys are normally fewer than the bound.
pub(crate) struct LruMap<K, V> {
    entries: HashMap<K, Entry<V>>,
    capacity: usize,
    uses: AtomicU64,
}

struct Entry<V> {
    value: V,
    last_use: AtomicU64,
}

impl<K: Eq + Hash + Clone, V> LruMap<K, V> {
    /// A map for up to `capacity` entries.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity, uses: AtomicU64::new(0) }
    }

    /// Inserts or replaces an entry. Returns the value that was replaced or evicted, so that the caller can
    /// drop it after unlocking: a `Drop` may be foreign code.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let mut evicted = None;
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last_use.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                evicted = self.entries.remove(&oldest);
            }
        }
        let last_use = AtomicU64::new(self.next_use());
        let replaced = self.entries.insert(key, Entry { value, last_use });
        replaced.or(evicted).map(|entry| entry.value)
    }

    /// Removes an entry and returns its value.
    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.entries.remove(key).map(|entry| entry.value)
    }

    /// Keeps the entries whose key is wanted, and returns the values of the others.
    pub(crate) fn retain(&mut self, mut wanted: impl FnMut(&K) -> bool) -> Vec<V> {
        self.entries.extract_if(|key, _| !wanted(key)).map(|(_, entry)| entry.value).collect()
    }

    /// The value of a key, which counts as a use.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.get(key)?;
        entry.last_use.store(self.next_use(), Ordering::Relaxed);
        Some(&entry.value)
    }

    /// Returns the entries, the most recently used one first.
    pub(crate) fn most_recent(&self) -> Vec<(&K, &V)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.last_use.load(Ordering::Relaxed)));
        entries.into_iter().map(|(key, entry)| (key, &entry.value)).collect()
    }

    /// The number of entries.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_evicts_the_least_recently_used_one() {
        let mut map = LruMap::new(2);
        map.insert("a", 1);
        map.insert("b", 2);
        assert_eq!(map.get("a"), Some(&1));
        assert_eq!(map.insert("c", 3), Some(2));
        assert_eq!((map.get("a"), map.get("b"), map.get("c")), (Some(&1), None, Some(&3)));
        // Replacing a value evicts nothing.
        assert_eq!(map.insert("a", 4), Some(1));
        assert_eq!((map.get("a"), map.get("c"), map.len()), (Some(&4), Some(&3), 2));
        assert_eq!(map.most_recent(), [(&"c", &3), (&"a", &4)]);
        assert_eq!(map.retain(|key| *key != "a"), [4]);
        assert_eq!(map.remove("c"), Some(3));
        assert_eq!(map.len(), 0);
    }

    #[test]
    fn a_lock_can_be_used_after_a_panic_of_its_holder() {
        let shared = std::sync::Arc::new((Mutex::new(1), RwLock::new(2)));
        let theirs = std::sync::Arc::clone(&shared);
        let panicked = std::thread::spawn(move || {
            let (_one, _two) = (theirs.0.lock(), theirs.1.write());
            panic!("while both are held");
        });
        assert!(panicked.join().is_err() && shared.0.lock().is_err() && shared.1.read().is_err());
        assert_eq!((*lock(&shared.0), *read(&shared.1)), (1, 2));
        *write(&shared.1) = 3;
        assert_eq!(*read(&shared.1), 3);
    }
}
