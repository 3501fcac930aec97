//! A replay store for servers on several machines, in Redis or Valkey.

mod availability;
mod manager;
mod problem;
mod server_info;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use r2d2::{ManageConnection, NopErrorHandler, Pool};
use redis::{ConnectionLike, Value};

use self::availability::Availability;
pub use self::manager::RedisManager;
use self::manager::TIMEOUT;
use self::problem::Problem;
use self::server_info::ServerInfo;
use crate::error::{Error, ErrorKind};
use crate::server::replay::{InsertOutcome, ProofRecord, ReplayStore, ReplayStoreError};
use crate::text::printable;
use crate::time::SystemClock;

/// The largest number of connections of [`RedisReplayStore::connect`].
const CONNECTIONS: u32 = 8;

/// A replay store in Redis or Valkey, for servers on several machines (feature `redis`).
///
/// ```no_run
/// use possession::server::{RedisReplayStore, Verifier};
///
/// # fn main() -> Result<(), possession::Error> {
/// let replay = RedisReplayStore::connect("redis://:password@10.0.0.7:6379/3")?.prefix("orders:dpop:");
/// let verifier = Verifier::new(replay);
/// # Ok(()) }
/// ```
///
/// # How it keeps the contract
///
/// Each proof costs one command, [`SET`](https://redis.io/docs/latest/commands/set/) *prefix + key* `1 NX
/// PX` *ttl*, which the server executes as one atomic step. Of all nodes exactly one receives `OK`. The
/// others receive nil, which means a replay. Anything else (no connection, no response in time, an error
/// code) is an error, and the proof is rejected.
///
/// The command is never retried. When its response is lost, the entry may have been made or not. A second
/// `SET` would find the entry of the first and could not distinguish it from a replay. So the proof is
/// rejected, and the client makes a new one.
///
/// An entry lives until the end of the last second that was requested. The server receives a *duration*
/// (`PX`) and counts it from the arrival of the command, so the server's own time of day does not matter.
/// The clocks of the nodes do matter: a node whose clock is behind accepts proofs for longer than the node
/// that made the entry could know. The [`Verifier`](crate::server::Verifier) adds 10 seconds for that, so
/// keep the clocks closer than that. If a clock is set back further, entries are already gone. A node that
/// has seen a later time rejects the proofs that were too old then
/// ([`ClockSetBack`](ReplayStoreError::ClockSetBack)). A restarted node cannot know.
///
/// # Requirements for the server
///
/// - **A database of its own with `maxmemory-policy noeviction`**, which is the default. Every other policy
///   evicts live entries when memory is short (the `volatile-*` policies exactly these), and the proof of an
///   evicted entry can be used twice. With `noeviction` a full server responds with `OOM`, and proofs are
///   rejected ([key eviction](https://redis.io/docs/latest/develop/reference/eviction/)). An entry takes
///   about 150 bytes of the server's memory: 1,000 proofs a second with the verifier's defaults are some
///   70,000 entries, or 11 MB.
/// - **A private network or TLS** (below). Whoever can write to the database can use up proofs and make used
///   ones acceptable again.
///
/// # What can be lost
///
/// If an entry is lost before it expires, its proof can be used once more. That requires an attacker who has
/// the proof and the access token, within [`max_age`](crate::server::Verifier::max_age), so keep that short.
/// Entries are lost
///
/// - **at a failover.** [Replication is
///   asynchronous](https://redis.io/docs/latest/operate/oss_and_stack/management/replication/): the new
///   primary does not know what the old one acknowledged and had not yet replicated. The same holds on both
///   sides of a partitioned network.
///   [`min-replicas-to-write`](https://redis.io/docs/latest/operate/oss_and_stack/management/replication/)
///   and `min-replicas-max-lag` make a primary that lost its replicas refuse writes, which limits the loss
///   to a few seconds. `WAIT` would reduce it further at the cost of one more round trip for each proof, and
///   [does not prevent it](https://redis.io/docs/latest/commands/wait/). This store does not send it.
/// - **at a restart.** Without persistence everything is lost. With `appendonly yes` and the default
///   `appendfsync everysec`, it is up to the last second or two
///   ([persistence](https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/)).
///   Alternatively, keep the nodes from reaching the server for `max_age` + `leeway` after it lost its data.
/// - **by `FLUSHDB`, `DEL`** and similar commands.
///
/// # Cluster, Sentinel, TLS
///
/// [`new`](Self::new) takes a pool of any connection manager. The `redis` crate has one for
/// `redis::cluster::ClusterClient` (its feature `cluster`) and one for
/// `redis::sentinel::LockedSentinelClient` (its feature `sentinel`). Set their timeouts, because they have
/// none by default: with `ClusterClientBuilder` for a cluster, otherwise with `r2d2::CustomizeConnection`.
/// Use no braces in the prefix: in a cluster they would put all entries on one node. A cluster client
/// resends commands when a node fails. If such a `SET` finds its own entry, the proof is rejected as a
/// replay. For `rediss://` enable one of the `redis` crate's own TLS features, such as `tls-rustls`.
///
/// # When the server is down
///
/// Every proof is rejected: after half a second at most when no connection can be made, and after about two
/// seconds in the worst case when the server hangs, including the waits for the pool and for the response. A
/// failed connection is dropped, together with those made before the failure. New connections are tried
/// until the server is available again.
pub struct RedisReplayStore<M: ManageConnection = RedisManager> {
    pool: Pool<M>,
    prefix: String,
    any_eviction_policy: bool,
    availability: Availability,
    /// The latest time of a request so far, in milliseconds since 1970.
    latest: AtomicU64,
}

impl RedisReplayStore {
    /// Connects to a server at `redis://[user][:password@]host[:port][/database]`, or another form of URL
    /// that [`redis::Client::open`](https://docs.rs/redis/1/redis/struct.Client.html#method.open) accepts,
    /// and [checks](Self::check) that it can keep proofs.
    ///
    /// The store uses up to 8 connections and a timeout of half a second for each wait.
    ///
    /// # Errors
    /// Returns [`Url`](ErrorKind::Url) when the URL cannot be used, [`Transport`](ErrorKind::Transport) when
    /// no connection can be made, and [`Configuration`](ErrorKind::Configuration) when the password is
    /// missing or wrong or the server cannot keep proofs. The texts of these errors do not contain the URL.
    pub fn connect(url: &str) -> Result<Self, Error> {
        let manager = manager(url)?;
        // A pool would try again for half a second, and then tell no more than a text.
        manager.connect()?;
        Self::new(pool(manager)).check()
    }

    /// Creates a store on the server of a URL like that of [`connect`](Self::connect), without waiting for a
    /// connection.
    ///
    /// # Errors
    /// Returns [`Url`](ErrorKind::Url) when the URL cannot be used. The text does not contain the URL.
    ///
    /// ```no_run
    /// use possession::server::RedisReplayStore;
    ///
    /// # fn main() -> Result<(), possession::Error> {
    /// // A service whose policy cannot be changed. It is large enough never to evict anything.
    /// let url = "redis://:password@10.0.0.7:6379";
    /// let replay = RedisReplayStore::open(url)?.dangerous_any_eviction_policy().check()?;
    /// # Ok(()) }
    /// ```
    pub fn open(url: &str) -> Result<Self, Error> {
        Ok(Self::new(pool(manager(url)?)))
    }
}

fn manager(url: &str) -> Result<RedisManager, Error> {
    let client = redis::Client::open(url).map_err(|error| {
        let wrong = printable(&error.to_string(), 200);
        Error::new(ErrorKind::Url, "reading the URL of the replay store", wrong)
    })?;
    Ok(RedisManager::new(client))
}

fn pool(manager: RedisManager) -> Pool<RedisManager> {
    Pool::builder()
        .max_size(CONNECTIONS)
        .min_idle(Some(1))
        .connection_timeout(TIMEOUT)
        // A failure is reported to the request that it affects.
        .error_handler(Box::new(NopErrorHandler))
        .build_unchecked(manager)
}

impl<M: ManageConnection> RedisReplayStore<M> {
    /// Creates a store on a pool of connections.
    ///
    /// Set the timeouts: the `connection_timeout` of the
    /// [`Pool`](https://docs.rs/r2d2/0.8/r2d2/struct.Pool.html) is 30 seconds by default, and a bare
    /// [`redis::Client`](https://docs.rs/redis/1/redis/struct.Client.html) waits for ever for a server that
    /// does not respond, which a [`RedisManager`] does not.
    #[must_use]
    pub fn new(pool: Pool<M>) -> Self {
        Self {
            pool,
            prefix: "dpop:".to_owned(),
            any_eviction_policy: false,
            availability: Availability::new(Arc::new(SystemClock::new())),
            latest: AtomicU64::new(0),
        }
    }

    /// Sets the prefix of the keys, `dpop:` by default.
    ///
    /// Stores with different prefixes are independent, so several endpoints can share a server. The
    /// verifiers of one endpoint must have the same prefix on all nodes.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Sets how many threads may wait for the server while no response arrives from it: 32 by default, and at
    /// least 1. Proofs on further threads are rejected at once with 503 and `Retry-After`. While the server
    /// responds there is no limit.
    #[must_use]
    pub fn max_waiting(mut self, threads: usize) -> Self {
        self.availability.max_waiting = threads.max(1);
        self
    }

    /// Uses a server whose `maxmemory-policy` is not `noeviction`.
    ///
    /// Such a server removes live entries when its memory is full, and the proof of a removed entry can be
    /// used twice. The other checks are still made.
    #[must_use]
    pub fn dangerous_any_eviction_policy(self) -> Self {
        Self { any_eviction_policy: true, ..self }
    }

    /// Checks that the server can keep proofs: that it needs no other password, is not a read-only replica,
    /// and does not remove live entries when its memory is full. In a cluster, each primary is checked.
    ///
    /// The server is asked by [`INFO`](https://redis.io/docs/latest/commands/info/), which managed services
    /// permit. If an access control list does not, the server cannot be used: the user needs `+info`.
    ///
    /// # Errors
    /// Returns [`Transport`](ErrorKind::Transport) when there is no connection or no response, and
    /// [`Configuration`](ErrorKind::Configuration) for what does not change by itself.
    pub fn check(self) -> Result<Self, Error>
    where
        M::Connection: ConnectionLike,
    {
        let check = || {
            let mut connection = self.pool.get().map_err(|error| Problem::no_response(error.to_string()))?;
            for server in ServerInfo::request(&mut *connection)? {
                server.check(self.any_eviction_policy)?;
            }
            Ok(())
        };
        check().map_err(Problem::while_connecting)?;
        Ok(self)
    }

    /// Returns how long the entry must live from now on, in milliseconds.
    fn time_to_live(&self, accepted_until: SystemTime, now: SystemTime) -> Result<u64, ReplayStoreError> {
        let out_of_range = || failed("the time cannot be expressed");
        let milliseconds = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).map_err(|_| out_of_range())?;
            u64::try_from(since.as_millis()).map_err(|_| out_of_range())
        };
        // `accepted_until` is the last second, and the entry lives until its end.
        let end = milliseconds(accepted_until)?.checked_add(1000).ok_or_else(out_of_range)?;
        let now = milliseconds(now)?;
        let left = end.checked_sub(now).filter(|left| *left > 0);
        let left = left.ok_or_else(|| failed("the proof is too old to be remembered"))?;
        match self.latest.fetch_max(now, Ordering::Relaxed) < end {
            true => Ok(left),
            false => Err(ReplayStoreError::ClockSetBack),
        }
    }
}

impl<M> ReplayStore for RedisReplayStore<M>
where
    M: ManageConnection,
    M::Connection: ConnectionLike,
{
    fn insert_if_absent(
        &self,
        proof: &ProofRecord,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError> {
        let time_to_live = self.time_to_live(proof.accepted_until(), now)?;
        let key = format!("{}{}", self.prefix, Base64UrlUnpadded::encode_string(proof.key().as_bytes()));
        let call = self.availability.begin()?;
        let outcome = self.set(&key, time_to_live);
        match &outcome {
            Err(problem) if !problem.is_response() => call.failed(),
            _ => call.responded(),
        }
        Ok(outcome?)
    }
}

impl<M> RedisReplayStore<M>
where
    M: ManageConnection,
    M::Connection: ConnectionLike,
{
    fn set(&self, key: &str, time_to_live: u64) -> Result<InsertOutcome, Problem> {
        let mut connection = self.pool.get().map_err(|error| Problem::no_response(error.to_string()))?;
        let mut set = redis::cmd("SET");
        set.arg(key).arg(1).arg("NX").arg("PX").arg(time_to_live);
        // The command is not retried: without a response its outcome is not known.
        match set.query::<Value>(&mut *connection) {
            Ok(Value::Okay) => Ok(InsertOutcome::Inserted),
            Ok(Value::Nil) => Ok(InsertOutcome::AlreadyPresent),
            Ok(_) => Err(Problem::response("the response to SET is neither OK nor nil")),
            Err(error) => Err(Problem::from(&error)),
        }
    }
}

impl<M: ManageConnection> fmt::Debug for RedisReplayStore<M> {
    /// Omits the connections, which contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReplayStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

fn failed(wrong: &str) -> ReplayStoreError {
    ReplayStoreError::Failed(printable(wrong, 300))
}
