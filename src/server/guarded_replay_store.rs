//! A guard in the process, in front of a replay store that several machines share.

use std::fmt;
use std::time::SystemTime;

use crate::server::memory_replay_store::MemoryReplayStore;
use crate::server::replay::{InsertOutcome, ProofRecord, ReplayStore, ReplayStoreError};
use crate::time::Clock;

/// A shared replay store with a guard: the proofs that this process has accepted are also remembered in its
/// memory, so that none of them is accepted again here when the shared store has forgotten it.
///
/// ```
/// use std::sync::Arc;
/// use std::time::{Duration, SystemTime};
///
/// use possession::Thumbprint;
/// use possession::server::*;
///
/// /// Stands for a store on another machine. This one forgets everything at once.
/// struct SharedStore;
///
/// impl ReplayStore for SharedStore {
///     fn insert_if_absent(
///         &self,
///         _: &ProofRecord,
///         _: SystemTime,
///     ) -> Result<InsertOutcome, ReplayStoreError> {
///         Ok(InsertOutcome::Inserted)
///     }
/// }
///
/// let jkt: Thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse()?;
/// let now = SystemTime::now();
/// let proof = ProofRecord::new(&jkt, "e1j3V_bKic8-LAEB", now..=now + Duration::from_secs(60));
/// let store = GuardedReplayStore::new(SharedStore, 100_000);
/// assert_eq!(store.insert_if_absent(&proof, now), Ok(InsertOutcome::Inserted));
/// assert_eq!(store.insert_if_absent(&proof, now), Ok(InsertOutcome::AlreadyPresent));
/// # Ok::<(), possession::Error>(())
/// ```
///
/// # What it is worth, and what it costs
///
/// A shared store says when it has lost entries, if it notices: then every proof that may be among them is
/// refused, by every node. The guard is for losses that go unnoticed, such as a failover or a clock that was
/// set for a moment. It covers the proofs that this node has accepted: a thief who has recorded a request to
/// a node gains nothing by sending it there again. The proofs that other nodes accepted are not covered, so
/// let the load balancer send the requests of one client to one node where it can.
///
/// A proof costs less than a microsecond more, and 90 bytes of memory until it expires. `capacity` bounds
/// that: a node that verifies 1,000 proofs a second has 84,000 of them. The guard never refuses a proof
/// because it is full, but does not cover further proofs until some have expired.
pub struct GuardedReplayStore<S> {
    shared: S,
    guard: MemoryReplayStore,
}

impl<S: ReplayStore> GuardedReplayStore<S> {
    /// Guards `shared`. `capacity` is the number of proofs that this process remembers at most:
    /// [`Verifier::capacity`](crate::server::Verifier::capacity) returns how many are needed for a rate.
    #[must_use]
    pub fn new(shared: S, capacity: usize) -> Self {
        Self { shared, guard: guard(capacity) }
    }

    /// Sets the clock whose [`elapsed`](Clock::elapsed) time ends the entries of the guard: that of the
    /// machine by default.
    #[must_use]
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Self { guard: self.guard.clock(clock), ..self }
    }
}

/// Records in `guard` a proof that the shared store has inserted, and returns whether it is known there.
pub(super) fn guarded(
    guard: &MemoryReplayStore,
    outcome: InsertOutcome,
    proof: &ProofRecord,
    now: SystemTime,
) -> Result<InsertOutcome, ReplayStoreError> {
    match outcome {
        InsertOutcome::AlreadyPresent => Ok(outcome),
        InsertOutcome::Inserted => match guard.insert_if_absent(proof, now) {
            Err(ReplayStoreError::Full { .. }) => Ok(outcome),
            seen => seen,
        },
    }
}

/// Creates the memory of a guard.
pub(super) fn guard(capacity: usize) -> MemoryReplayStore {
    // One client with many proofs is the concern of the shared store.
    MemoryReplayStore::new(capacity).max_proofs_per_key(usize::MAX)
}

impl<S: ReplayStore> ReplayStore for GuardedReplayStore<S> {
    fn insert_if_absent(
        &self,
        proof: &ProofRecord,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError> {
        let outcome = self.shared.insert_if_absent(proof, now)?;
        guarded(&self.guard, outcome, proof, now)
    }

    fn recording_since(&self, now: SystemTime) -> Option<SystemTime> {
        self.shared.recording_since(now)
    }

    fn needs_io(&self) -> bool {
        self.shared.needs_io()
    }
}

impl<S: fmt::Debug> fmt::Debug for GuardedReplayStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedReplayStore")
            .field("shared", &self.shared)
            .field("guard", &self.guard)
            .finish()
    }
}
