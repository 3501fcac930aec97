//! Replay detection: the interface of a store of accepted proofs (RFC 9449 §11.1).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::crypto::sha256_of;
use crate::jose::public_key::Thumbprint;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Hash for ReplayKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // It is a hash already: half of it tells keys apart.
        let half: Option<&[u8; 16]> = self.0.first_chunk();
        u128::from_ne_bytes(half.copied().unwrap_or_default()).hash(state);
    }
}

/// A proof that passed every other check and is to be recorded: its key in the store, and the time during
/// which it is accepted.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
///
/// use possession::Thumbprint;
/// use possession::server::{ProofRecord, ReplayStoreError};
///
/// let jkt: Thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse()?;
/// let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
/// let proof = ProofRecord::new(&jkt, "e1j3V_bKic8-LAEB", at(980)..=at(1070));
///
/// // A store that lost its entries at 970 would know of any use of this proof. One that lost them at 990
/// // may not, and knows of any use of the proofs that are made 11 seconds later.
/// assert_eq!(proof.check_not_lost(at(970)), Ok(()));
/// let forgotten = ReplayStoreError::Forgotten { until: at(990), retry_after: Duration::from_secs(11) };
/// assert_eq!(proof.check_not_lost(at(990)), Err(forgotten));
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofRecord {
    key: ReplayKey,
    jkt: Thumbprint,
    accepted: RangeInclusive<SystemTime>,
}

impl ProofRecord {
    /// Creates the record of a proof with that `jti` by the key `jkt`. `accepted` are the first and the last
    /// second in which a verifier of the store may accept the proof, by the clock of any of them.
    #[must_use]
    pub fn new(jkt: &Thumbprint, jti: &str, accepted: RangeInclusive<SystemTime>) -> Self {
        Self { key: ReplayKey::new(jkt, jti), jkt: *jkt, accepted }
    }

    /// Returns the key of the proof in a store.
    #[must_use]
    pub fn key(&self) -> &ReplayKey {
        &self.key
    }

    /// Returns the thumbprint of the key that signed the proof.
    #[must_use]
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.jkt
    }

    /// Returns the first second in which the proof could have been accepted: the future tolerance before its
    /// `iat` or, if that is later, the time when its nonce was made, less 10 seconds for the clocks of other
    /// nodes.
    #[must_use]
    pub fn accepted_from(&self) -> SystemTime {
        *self.accepted.start()
    }

    /// Returns the last second in which the proof could be accepted: with 10 seconds for the clocks of other
    /// nodes, which may be behind.
    #[must_use]
    pub fn accepted_until(&self) -> SystemTime {
        *self.accepted.end()
    }

    /// Checks that a store which may have lost what was recorded up to `lost_until` knows whether this proof
    /// has been used: that it could not have been accepted by then.
    ///
    /// # Errors
    /// Returns [`Forgotten`](ReplayStoreError::Forgotten) when the proof may have been recorded and lost.
    pub fn check_not_lost(&self, lost_until: SystemTime) -> Result<(), ReplayStoreError> {
        check_not_lost(self.accepted_from(), lost_until)
    }
}

/// Checks that a proof which could be accepted from `accepted_from` on is not among the entries that were
/// made up to `lost_until`.
pub(crate) fn check_not_lost(
    accepted_from: SystemTime,
    lost_until: SystemTime,
) -> Result<(), ReplayStoreError> {
    match lost_until.duration_since(accepted_from) {
        Err(_) => Ok(()),
        Ok(lost_for) => {
            let retry_after = lost_for.saturating_add(Duration::from_secs(1));
            Err(ReplayStoreError::Forgotten { until: lost_until, retry_after })
        }
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
/// - An entry lives through [`accepted_until`](ProofRecord::accepted_until), the last second in which the
///   proof could be accepted, and is never evicted earlier. All verifiers of a store have the same
///   [`max_age`](crate::server::Verifier::max_age).
/// - If the store cannot tell whether the key is present, it returns an error, and the proof is rejected.
/// - **If entries may have been lost early**, the proofs that may be among them are rejected. A store loses
///   entries when its engine restarts without them, when it evicts them, or when the clock that ends their
///   lifetime is set ahead.
///
/// # When entries may have been lost
///
/// A store that learns of a loss remembers the latest time, by the clock of this machine, at which a lost
/// entry may have been made. From then on it returns the error of [`ProofRecord::check_not_lost`] with that
/// time instead of [`Inserted`](InsertOutcome::Inserted). It must know of a loss before it returns the
/// outcome of an insertion that came after it: a store on another machine asks for the identity of the
/// engine whenever it makes a connection, for example.
///
/// The [`Verifier`](crate::server::Verifier) does the rest. If the proof has a nonce whose time is known,
/// the response is `use_dpop_nonce` with a new nonce, as soon as a new one is late enough to prove that the
/// next proof is not among the lost ones. Otherwise it is 503 with `Retry-After`: with the verifier's
/// defaults, proofs are rejected for about 20 seconds after a loss.
///
/// ```
/// use std::collections::HashSet;
/// use std::sync::Mutex;
/// use std::time::SystemTime;
///
/// use possession::server::{InsertOutcome, ProofRecord, ReplayKey, ReplayStore, ReplayStoreError};
///
/// /// Remembers the proofs of a short test, and never forgets one.
/// #[derive(Default)]
/// struct TestStore(Mutex<HashSet<ReplayKey>>);
///
/// impl ReplayStore for TestStore {
///     fn insert_if_absent(
///         &self,
///         proof: &ProofRecord,
///         _now: SystemTime,
///     ) -> Result<InsertOutcome, ReplayStoreError> {
///         let mut keys = self.0.lock().map_err(|error| ReplayStoreError::Failed(error.to_string()))?;
///         Ok(match keys.insert(*proof.key()) {
///             true => InsertOutcome::Inserted,
///             false => InsertOutcome::AlreadyPresent,
///         })
///     }
/// }
/// ```
pub trait ReplayStore: Send + Sync {
    /// Inserts the key of `proof` unless it is present. `now` is the time of the request.
    ///
    /// # Errors
    /// Returns an error when the store could not insert the key, or could not tell whether the proof has
    /// been used before.
    fn insert_if_absent(
        &self,
        proof: &ProofRecord,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError>;

    /// Returns since when the store has been recording proofs, for a store that forgets them when the process
    /// ends, and `None` for one that does not. `now` is the time of the request.
    ///
    /// The verifier asks at every request, so this must not need I/O. It demands a new nonce in place of one
    /// that was made earlier.
    fn recording_since(&self, now: SystemTime) -> Option<SystemTime> {
        let _ = now;
        None
    }

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
        proof: &ProofRecord,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError> {
        (**self).insert_if_absent(proof, now)
    }

    fn recording_since(&self, now: SystemTime) -> Option<SystemTime> {
        (**self).recording_since(now)
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
    /// Entries that were made up to this time may be lost, and this proof could have been accepted by then.
    Forgotten {
        /// The latest time at which a lost entry may have been made.
        until: SystemTime,
        /// When the client should try again: a proof that it makes then cannot be among the lost ones.
        retry_after: Duration,
    },
    /// The store is more than half full, and the key of the proof has its share of it. Others are not
    /// affected.
    TooManyProofs {
        /// The number of entries that one key may have.
        allowed: usize,
        /// When the client should try again.
        retry_after: Duration,
    },
    /// The store did not respond to the last calls, or too many threads wait for it already. It was not
    /// asked.
    Unavailable {
        /// When the client should try again.
        retry_after: Duration,
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
            Self::Forgotten { .. } => f.write_str(
                "it has lost entries, and this proof may be one of them (the client makes a new one)",
            ),
            Self::Unavailable { .. } => {
                f.write_str("it does not respond, and is not asked again before a short pause")
            }
            Self::TooManyProofs { allowed, .. } => {
                write!(
                    f,
                    "it is half full, and the key has {allowed} unexpired proofs in it (no key may have more)"
                )
            }
            Self::ClockSetBack => f.write_str("the clock was set back to a time whose proofs are forgotten"),
            Self::Failed(wrong) => f.write_str(wrong),
        }
    }
}

impl std::error::Error for ReplayStoreError {}
