//! A replay store for servers on several machines, in Redis or Valkey.

mod availability;
mod loss_detector;
mod manager;
mod problem;
mod server_info;
mod server_watch;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use base64ct::{Base64UrlUnpadded, Encoding};
use r2d2::{ManageConnection, NopErrorHandler, Pool};
use redis::{ConnectionLike, Value};

use self::availability::Availability;
use self::loss_detector::MARGIN;
pub use self::manager::RedisManager;
use self::manager::TIMEOUT;
use self::problem::Problem;
use self::server_watch::ServerWatch;
use crate::error::{Error, ErrorKind};
use crate::server::clock_steps::{ClockSteps, Reading};
use crate::server::guarded_replay_store::{guard, guarded};
use crate::server::memory_replay_store::MemoryReplayStore;
use crate::server::replay::{InsertOutcome, ProofRecord, ReplayStore, ReplayStoreError};
use crate::sync::{self, Mutex};
use crate::text::printable;
use crate::time::{Clock, SystemClock, unix_millis, unix_seconds};

/// The number of proofs that the process remembers itself, unless set otherwise.
const GUARDED: usize = 100_000;
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
/// Each proof costs one round trip with two commands. [`SET`](https://redis.io/docs/latest/commands/set/)
/// *prefix + key* `1 NX PX` *ttl* is executed as one atomic step: of all nodes exactly one receives `OK`.
/// The others receive nil, which means a replay. Anything else (no connection, no response in time, an
/// error code) is an error, and the proof is rejected.
/// [`TIME`](https://redis.io/docs/latest/commands/time/) shows whether entries were lost, as explained
/// below. It costs the server a fraction of a microsecond.
///
/// The commands are never retried. When the response is lost, the entry may have been made or not. A second
/// `SET` would find the entry of the first and could not distinguish it from a replay. So the proof is
/// rejected, and the client makes a new one.
///
/// An entry lives until the end of the last second that was requested, and 3 seconds longer. The server
/// receives a *duration* (`PX`) and counts it from the arrival of the command, so it does not matter whether
/// its time of day is right, but only that it is not set.
///
/// The clocks of the nodes do matter: a node whose clock is behind accepts proofs for longer than the node
/// that made the entry could know. The [`Verifier`](crate::server::Verifier) adds 10 seconds for that, so
/// keep the clocks closer than that. If a node's clock is set back further, entries may already be gone.
/// The node finds that out by its monotonic clock, and rejects the proofs that it could have accepted
/// before the clock was set back ([`ClockSetBack`](ReplayStoreError::ClockSetBack)). A clock that was ahead
/// for a moment does no harm. A process that was started after the step, or had recorded no proof before,
/// cannot know.
///
/// The process also remembers the proofs that it has accepted itself
/// ([`guarded_proofs`](Self::guarded_proofs)).
///
/// # When entries may have been lost
///
/// If an entry is lost early, its proof could be used once more. The store finds out, and rejects the proofs
/// that may be among the lost ones ([`Forgotten`](ReplayStoreError::Forgotten)):
///
/// - **The clock of the server is set ahead** by more than 2 seconds: the entries made before end early. The
///   clock is compared with the monotonic clock of the node at every proof. In a virtual machine that was
///   suspended, the monotonic clock may have stood still, which looks the same.
/// - **The server is restarted**, or another one takes its place after a failover. What it had not saved
///   (with `appendfsync everysec`, up to the last second or two), or had not sent to the replica, is gone.
///   The store compares the `run_id` in `INFO` on each new connection and once a second.
/// - **The server evicts entries** because its memory is full. `evicted_keys` in `INFO` is compared once a
///   second. With the policy `noeviction`, which [`check`](Self::check) demands, it does not happen.
///
/// A proof is then rejected if it could have been accepted before the loss was noticed: with the verifier's
/// defaults, each one for about 20 seconds, with 503 and `Retry-After` or a demand for a new nonce.
///
/// What cannot be noticed:
///
/// - `FLUSHDB`, `DEL` and similar commands. Nobody else should have access to the database. A proof is then
///   still a replay at the node that accepted it.
/// - A loss before the process contacted the server for the first time. It learns only when that server was
///   started, and treats that like its own start: a nonce from before is answered with `use_dpop_nonce`, and
///   [`refuse_proofs_from_before_start`](crate::server::Verifier::refuse_proofs_from_before_start) refuses
///   proofs without nonces. [`connect`](Self::connect) and [`check`](Self::check) make the first contact.
/// - Entries that a primary accepts while it is cut off from its replicas, on the other side of a
///   partitioned network. [Replication is
///   asynchronous](https://redis.io/docs/latest/operate/oss_and_stack/management/replication/), so nodes on
///   each side could accept a proof once. `min-replicas-to-write` and `min-replicas-max-lag` make such a
///   primary refuse writes after some seconds. `WAIT` would need one more round trip for each proof, and
///   [does not prevent it](https://redis.io/docs/latest/commands/wait/). This store does not send it.
///
/// # Requirements for the server
///
/// - **A database of its own with `maxmemory-policy noeviction`**, which is the default. Every other policy
///   evicts live entries when memory is short (the `volatile-*` policies exactly these). With `noeviction`
///   a full server responds with `OOM`, and proofs are rejected ([key
///   eviction](https://redis.io/docs/latest/develop/reference/eviction/)). An entry takes 144 to
///   176 bytes of the server's memory. The guide page on [sizing](crate::guide::sizing) says how much a rate
///   needs.
/// - **A clock that is adjusted gradually.** NTP services set it only when the machine starts, unless they
///   are told otherwise. After each step ahead, proofs are rejected for a while.
/// - **A user with the permissions** `+set +time +info +ping` on the keys with the prefix, where there are
///   access control lists; `+select` if the URL names a database, `+role` for Sentinel and `+cluster|slots`
///   for a cluster: `ACL SETUSER orders on >password ~orders:dpop:* +set +time +info +ping +select`.
/// - **A private network or TLS** (below). Whoever can write to the database can use up proofs and make used
///   ones acceptable again.
///
/// # Cluster, Sentinel, TLS
///
/// [`new`](Self::new) takes a pool of any connection manager. The `redis` crate has one for
/// `redis::cluster::ClusterClient` (its feature `cluster`) and one for
/// `redis::sentinel::LockedSentinelClient` (its feature `sentinel`); put them into a
/// [`RedisManager`](RedisManager::wrap). Set their timeouts, because they have none by default. Use no
/// braces in the prefix: in a cluster they would put all entries on one node. A cluster client resends
/// commands when a node fails. If such a `SET` finds its own entry, the proof is rejected as a replay. For
/// `rediss://` enable one of the `redis` crate's own TLS features, such as `tls-rustls`. See the guide page
/// on [several nodes](crate::guide::several_nodes).
///
/// # When the server is down
///
/// Every proof is rejected. After a call that waited in vain (half a second when no connection can be made,
/// and at most two when the server hangs), further ones fail at once, with 503 and `Retry-After`
/// ([`Unavailable`](ReplayStoreError::Unavailable)). After a pause of an eighth of a second, which grows to
/// two, one call tries again, and the server is used as soon as it responds. While there is no response, at
/// most [32 threads](Self::max_waiting) wait.
///
/// A failed connection is dropped, together with those made before the failure.
pub struct RedisReplayStore<M: ManageConnection = RedisManager> {
    pool: Pool<M>,
    prefix: String,
    availability: Availability,
    watch: ServerWatch,
    /// The settings of this node's clock.
    steps: Mutex<ClockSteps>,
    /// The proofs that this process has accepted.
    guard: MemoryReplayStore,
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
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Self {
            pool,
            prefix: "dpop:".to_owned(),
            availability: Availability::new(Arc::clone(&clock)),
            watch: ServerWatch::new(clock),
            steps: Mutex::default(),
            guard: guard(GUARDED),
        }
    }

    /// Sets how many proofs this process remembers itself, in case the server loses entries unnoticed:
    /// 100,000 by default, which is some 1,200 proofs a second, and at most 9 MB of memory. 0 switches the
    /// guard off. [`GuardedReplayStore`](crate::server::GuardedReplayStore) says what a guard is worth.
    #[must_use]
    pub fn guarded_proofs(mut self, capacity: usize) -> Self {
        self.guard = guard(capacity).clock(self.watch.time_source());
        self
    }

    /// Sets the prefix of the keys, `dpop:` by default.
    ///
    /// Stores with different prefixes are independent, so several endpoints can share a server. The
    /// verifiers of one endpoint must have the same prefix on all nodes.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Sets the clock whose [`elapsed`](Clock::elapsed) time the clock of the server is compared with: that
    /// of the machine by default. For tests.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(clock);
        self.availability.clock(Arc::clone(&clock));
        self.guard = self.guard.clock(Arc::clone(&clock));
        self.watch.clock(clock);
        self
    }

    /// Sets how many threads may wait for the server while no response arrives from it: 32 by default, and
    /// at least 1. Proofs on further threads are rejected at once with 503 and `Retry-After`. While the
    /// server responds there is no limit.
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
    pub fn dangerous_any_eviction_policy(mut self) -> Self {
        self.watch.any_eviction_policy = true;
        self
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
            self.watch.check(&mut connection)?;
            server_info::request_time(&mut *connection)
        };
        check().map_err(Problem::while_connecting)?;
        Ok(self)
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
        let time_to_live = time_to_live(proof.accepted_until(), now)?;
        let reading = Reading::new(now, self.watch.elapsed()).map_err(impossible)?;
        let (from, until) = (proof.accepted_from(), proof.accepted_until());
        let (from, until) =
            (unix_seconds(from).map_err(impossible)?, unix_seconds(until).map_err(impossible)?);
        let mut steps = sync::lock(&self.steps);
        steps.observe(reading);
        if steps.may_be_forgotten(from, until, reading) {
            return Err(ReplayStoreError::ClockSetBack);
        }
        drop(steps);
        let key = format!("{}{}", self.prefix, Base64UrlUnpadded::encode_string(proof.key().as_bytes()));
        let call = self.availability.begin()?;
        let outcome = self.record(&key, time_to_live);
        match &outcome {
            Err(problem) if !problem.is_response() => call.failed(),
            _ => call.responded(),
        }
        let outcome = outcome?;
        if let (InsertOutcome::Inserted, Some(lost_until)) = (outcome, self.watch.lost_until(now)) {
            proof.check_not_lost(lost_until)?;
        }
        guarded(&self.guard, outcome, proof, now)
    }

    /// Returns when the server was started that this process has seen first: what it recorded before may be
    /// lost. Before the first request or [`check`](Self::check) it is not known.
    fn recording_since(&self, now: SystemTime) -> Option<SystemTime> {
        self.watch.recording_since(now)
    }
}

impl<M> RedisReplayStore<M>
where
    M: ManageConnection,
    M::Connection: ConnectionLike,
{
    fn record(&self, key: &str, time_to_live: u64) -> Result<InsertOutcome, Problem> {
        let mut connection = self.pool.get().map_err(|error| Problem::no_response(error.to_string()))?;
        self.watch.check_if_due(&mut connection)?;
        let mut set = redis::cmd("SET");
        set.arg(key).arg(1).arg("NX").arg("PX").arg(time_to_live);
        // In one round trip. A connection to a cluster sends both to the node of the key, which is in the
        // first. After a `SET` that found no entry because the clock was set ahead, `TIME` shows it.
        let commands = [set.get_packed_command(), redis::cmd("TIME").get_packed_command()].concat();
        let sent = self.watch.elapsed();
        // The commands are not retried: without a response their outcome is not known.
        let responses = connection.req_packed_commands(&commands, 0, 2);
        let mut responses = responses.map_err(|error| Problem::from(&error))?.into_iter();
        let outcome = match responses.next().map(Value::extract_error).transpose() {
            Ok(Some(Value::Okay)) => InsertOutcome::Inserted,
            Ok(Some(Value::Nil)) => InsertOutcome::AlreadyPresent,
            Ok(_) => return Err(Problem::response("the response to SET is neither OK nor nil")),
            Err(error) => return Err(Problem::from(&error)),
        };
        let time = responses.next().ok_or_else(|| Problem::response("there is no response to TIME"))?;
        self.watch.observe_time(server_info::time(time)?, sent);
        Ok(outcome)
    }
}

impl<M: ManageConnection> fmt::Debug for RedisReplayStore<M> {
    /// Omits the connections, which contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReplayStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Returns how long an entry must live from now on, in milliseconds.
fn time_to_live(accepted_until: SystemTime, now: SystemTime) -> Result<u64, ReplayStoreError> {
    let (last, now) =
        (unix_millis(accepted_until).map_err(impossible)?, unix_millis(now).map_err(impossible)?);
    // It is the last second, and the entry lives until its end.
    let end = last.saturating_add(1000);
    let left = end.checked_sub(now).filter(|left| *left > 0);
    let left = left.ok_or_else(|| failed("the proof is too old to be remembered"))?;
    Ok(left.saturating_add(u64::try_from(MARGIN.as_millis()).unwrap_or_default()))
}

fn impossible(error: Error) -> ReplayStoreError {
    failed(&error.to_string())
}

fn failed(wrong: &str) -> ReplayStoreError {
    ReplayStoreError::Failed(printable(wrong, 300))
}
