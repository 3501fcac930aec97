//! One request for all threads that ask about one token, presented alike, and a limit for the threads that
//! wait.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use crate::server::token_cache_key::TokenCacheKey;
use crate::sync::{self, Condvar, Mutex};

/// The number of threads that may wait for an issuer at the same time, unless set otherwise.
pub(super) const MAX_WAITING: usize = 32;
/// When a client may try again after too many threads were waiting.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Runs one piece of work per token at a time, whose outcome all threads get that ask meanwhile.
pub(super) struct SingleFlight<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    calls: HashMap<TokenCacheKey, Arc<Call<T>>>,
    /// The threads that work or wait for one that does.
    threads: usize,
}

struct Call<T> {
    /// It stays empty if the work panics.
    outcome: OnceLock<T>,
    ended: Mutex<bool>,
    done: Condvar,
}

/// What became of the work.
pub(super) enum SharedOutcome<T> {
    Ended(T),
    /// The thread that did the work panicked.
    Unfinished,
    /// So many threads work or wait already that this one did neither.
    TooManyThreads,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { calls: HashMap::new(), threads: 0 }) }
    }
}

impl<T: Clone> SingleFlight<T> {
    /// Returns whether `max_threads` threads work or wait.
    pub(super) fn is_full(&self, max_threads: usize) -> bool {
        sync::lock(&self.state).threads >= max_threads
    }

    /// Does the work, or waits for the thread that does it for the same token, unless `max_threads` threads
    /// work or wait already, for whatever token. No lock is held during the work.
    pub(super) fn run(
        &self,
        token: TokenCacheKey,
        max_threads: usize,
        work: impl FnOnce() -> T,
    ) -> SharedOutcome<T> {
        let mut state = sync::lock(&self.state);
        if state.threads >= max_threads {
            return SharedOutcome::TooManyThreads;
        }
        state.threads = state.threads.saturating_add(1);
        let (call, is_first) = match state.calls.entry(token) {
            Entry::Occupied(call) => (Arc::clone(call.get()), false),
            Entry::Vacant(vacancy) => (Arc::clone(vacancy.insert(Arc::default())), true),
        };
        drop(state);
        let _count = CountedThread(self);
        if is_first {
            let _end = EndOnDrop { shared: self, token, call: &call };
            let outcome = work();
            // Nobody else sets it.
            let _ = call.outcome.set(outcome.clone());
            return SharedOutcome::Ended(outcome);
        }
        let waited = call.done.wait_while(sync::lock(&call.ended), |ended| !*ended);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        call.outcome.get().map_or(SharedOutcome::Unfinished, |outcome| SharedOutcome::Ended(outcome.clone()))
    }
}

impl<T> Default for Call<T> {
    fn default() -> Self {
        Self { outcome: OnceLock::new(), ended: Mutex::new(false), done: Condvar::new() }
    }
}

/// Counts a thread until it is dropped.
struct CountedThread<'a, T>(&'a SingleFlight<T>);

impl<T> Drop for CountedThread<'_, T> {
    fn drop(&mut self) {
        let mut state = sync::lock(&self.0.state);
        state.threads = state.threads.saturating_sub(1);
    }
}

/// Marks the call as ended when it is dropped, also if the work panicked.
struct EndOnDrop<'a, T> {
    shared: &'a SingleFlight<T>,
    token: TokenCacheKey,
    call: &'a Call<T>,
}

impl<T> Drop for EndOnDrop<'_, T> {
    fn drop(&mut self) {
        // This is not the last reference, so no outcome is dropped under the lock.
        let call = sync::lock(&self.shared.state).calls.remove(&self.token);
        *sync::lock(&self.call.ended) = true;
        self.call.done.notify_all();
        drop(call);
    }
}
