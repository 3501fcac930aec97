//! A replay store for servers on several machines, in Redis or Valkey.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use r2d2::{ManageConnection, NopErrorHandler, Pool};
use redis::{ConnectionLike, RedisError, RedisResult, ServerErrorKind, Value};

use crate::error::{Error, ErrorKind};
use crate::server::replay::{InsertOutcome, ReplayKey, ReplayStore, ReplayStoreError};
use crate::text::printable;

/// What [`RedisReplayStore::connect`] allows for each wait: for a connection of the pool, for a connection to be made, for
/// a command to be sent, and for its answer.
const TIMEOUT: Duration = Duration::from_millis(500);
const CONNECTIONS: u32 = 8;
/// A connection that rested longer is tried before it is used.
const RESTED: Duration = Duration::from_secs(1);

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
/// Each proof costs one command, [`SET`](https://redis.io/docs/latest/commands/set/) *prefix + key* `1 NX PX` *ttl*, which
/// the server executes as one atomic step: of all nodes exactly one gets `OK`, the others get nil, which is a replay.
/// Anything else is an error, and the proof is rejected: no connection, no answer in time, an error code.
/// The command is never sent a second time. When the answer is lost, the entry may have been made or not; a second `SET`
/// would find the first one's entry and could not tell it from a replay, so the proof is rejected, and the client makes
/// a new one.
///
/// The entry lives until the last second it is asked to live through is over. The server is told a *duration* (`PX`) and
/// counts it from the arrival of the command, so its own time of day does not matter. What does matter is that the nodes
/// agree on the time: where a clock is behind, proofs are accepted for longer than the node that made the entry could
/// know. The [`Verifier`](crate::server::Verifier) asks for 10 seconds more for that; keep the clocks closer than that.
/// A clock that is set back further would find entries gone. A node whose own clock was later once refuses the proofs
/// that were too old then ([`ClockSetBack`](ReplayStoreError::ClockSetBack)); a restarted one cannot know.
///
/// # What the server must be
///
/// - **A database of its own with `maxmemory-policy noeviction`**, which is the default. Every other policy drops live
///   entries when memory is short, the `volatile-*` ones exactly these, and a dropped entry is a proof that works twice.
///   With `noeviction` a full server answers `OOM`, and proofs are rejected
///   ([key eviction](https://redis.io/docs/latest/develop/reference/eviction/)). An entry takes about 150 bytes of the
///   server's memory: 1,000 proofs a second with the verifier's defaults are some 70,000 entries, 11 MB.
/// - **Private.** Who can write there can burn proofs and revive them. Use TLS (below) or a network of your own.
///
/// # What can be lost
///
/// Where an entry is lost before its end, its proof can be used once more. That takes someone who has the proof, and the
/// access token with it, within [`max_age`](crate::server::Verifier::max_age): keep that short. Entries are lost
///
/// - **at a failover.** [Replication is asynchronous](https://redis.io/docs/latest/operate/oss_and_stack/management/replication/):
///   what the old primary had answered and not yet sent on is unknown to the new one. The same holds on both sides of a
///   network that fell in two. [`min-replicas-to-write`](https://redis.io/docs/latest/operate/oss_and_stack/management/replication/)
///   and `min-replicas-max-lag` make a primary that lost its replicas refuse instead, which bounds the loss to a few
///   seconds; `WAIT` would narrow it further for one more round trip a proof, and
///   [does not close it](https://redis.io/docs/latest/commands/wait/) either. This store does not send it.
/// - **at a restart** without persistence: everything; with `appendonly yes` and the default `appendfsync everysec`, up
///   to the last second or two ([persistence](https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/)).
///   Or keep the server closed to the nodes for `max_age` + `leeway` after it lost its data.
/// - **by `FLUSHDB`, `DEL`** and the like.
///
/// # Cluster, Sentinel, TLS
///
/// [`new`](Self::new) takes a pool of any connection manager: the `redis` crate has one for
/// `redis::cluster::ClusterClient` (its feature `cluster`) and `redis::sentinel::LockedSentinelClient` (`sentinel`). Give
/// them timeouts, since they have none of their own (for a cluster: `ClusterClientBuilder`; else
/// `r2d2::CustomizeConnection`). Keep braces out of the prefix: in a cluster they would put all entries on one node. A
/// cluster client sends commands again when a node fails; a `SET` that finds its own entry so is rejected as a replay.
/// For `rediss://` switch on one of the `redis` crate's own TLS features, such as `tls-rustls`.
///
/// # When the server is down
///
/// Every proof is rejected, after half a second at most when no connection can be made; when the server hangs, after
/// about two seconds at the very worst, waiting for pool and answer together. Connections that failed are dropped, those
/// made before the failure with them; new ones are tried until the server is there again.
pub struct RedisReplayStore<M: ManageConnection = RedisManager> {
    pool: Pool<M>,
    prefix: String,
    /// The latest time of a request, in milliseconds since 1970.
    latest: AtomicU64,
}

impl RedisReplayStore {
    /// A store on one server: `redis://[user][:password@]host[:port][/database]`, or another form that
    /// [`redis::Client::open`] takes. Up to 8 connections, and half a second for each wait. One connection is made at once,
    /// to see that it works; a password or an address that is wrong is found here.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) when the URL cannot be used, [`Transport`](ErrorKind::Transport) when no connection can be
    /// made. Their texts do not repeat the URL.
    pub fn connect(url: &str) -> Result<Self, Error> {
        let client = redis::Client::open(url).map_err(|error| {
            Error::new(ErrorKind::Url, "reading the URL of the replay store", said(&error))
        })?;
        let manager = RedisManager::new(client);
        manager.connect()?;
        let pool = Pool::builder()
            .max_size(CONNECTIONS)
            .min_idle(Some(1))
            .connection_timeout(TIMEOUT)
            // What fails is told to the request that it fails.
            .error_handler(Box::new(NopErrorHandler))
            .build_unchecked(manager);
        Ok(Self::new(pool))
    }
}

impl<M: ManageConnection> RedisReplayStore<M> {
    /// A store on connections of your own. Their timeouts are yours too: set `connection_timeout` of the pool, which is 30
    /// seconds otherwise, and use [`RedisManager`] rather than a bare [`redis::Client`], which waits for a silent server
    /// without end.
    #[must_use]
    pub fn new(pool: Pool<M>) -> Self {
        Self { pool, prefix: "dpop:".to_owned(), latest: AtomicU64::new(0) }
    }

    /// What the keys begin with, `dpop:` at first. Stores with other prefixes are other stores, so endpoints can share a
    /// server without burning each other's proofs. Verifiers of one endpoint must have the same, on all nodes.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// How long the entry must live from now on, in milliseconds.
    fn lifetime(&self, accepted_until: SystemTime, now: SystemTime) -> Result<u64, ReplayStoreError> {
        let out_of_range = || failed("the time cannot be expressed");
        let milliseconds = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).map_err(|_| out_of_range())?;
            u64::try_from(since.as_millis()).map_err(|_| out_of_range())
        };
        // `accepted_until` is the last second, and all of it counts.
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
        key: &ReplayKey,
        accepted_until: SystemTime,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError> {
        let lifetime = self.lifetime(accepted_until, now)?;
        let key = format!("{}{}", self.prefix, Base64UrlUnpadded::encode_string(key.as_bytes()));
        let mut connection = self.pool.get().map_err(|error| failed(&error.to_string()))?;
        let mut set = redis::cmd("SET");
        set.arg(key).arg(1).arg("NX").arg("PX").arg(lifetime);
        // Once only: the outcome of a command without an answer is not known.
        match set.query::<Value>(&mut *connection) {
            Ok(Value::Okay) => Ok(InsertOutcome::Inserted),
            Ok(Value::Nil) => Ok(InsertOutcome::AlreadyPresent),
            Ok(_) => Err(failed("the answer to SET is neither OK nor nil")),
            Err(error) => Err(failed(&said(&error))),
        }
    }
}

impl<M: ManageConnection> fmt::Debug for RedisReplayStore<M> {
    /// Without the connections, which know a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReplayStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Makes the connections of a [`RedisReplayStore`] to one server: with a timeout for every wait, and never used again
/// after a failure.
///
/// For pools of another size or clients with settings of their own:
///
/// ```no_run
/// use std::time::Duration;
/// use possession::{r2d2, redis};
/// use possession::server::{RedisManager, RedisReplayStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = redis::Client::open("unix:///run/valkey/valkey.sock")?;
/// let manager = RedisManager::new(client).timeout(Duration::from_millis(200));
/// let pool = r2d2::Pool::builder().max_size(32).connection_timeout(Duration::from_millis(200)).build(manager)?;
/// let at_the_token_endpoint = RedisReplayStore::new(pool.clone()).prefix("token:");
/// let at_the_resource = RedisReplayStore::new(pool).prefix("orders:");
/// # Ok(()) }
/// ```
pub struct RedisManager {
    client: redis::Client,
    timeout: Duration,
    /// How often a connection failed. Those made before the last failure are not used any more: when a server goes away,
    /// it costs one proof and not one for each connection.
    failures: AtomicU64,
}

/// A connection that remembers whether it failed.
pub struct Connection {
    connection: redis::Connection,
    failed: bool,
    /// Failures of others before this connection was made.
    failures: u64,
    used: Instant,
}

impl RedisManager {
    /// Connections of that client.
    #[must_use]
    pub fn new(client: redis::Client) -> Self {
        Self { client, timeout: TIMEOUT, failures: AtomicU64::new(0) }
    }

    /// How long to wait for a connection to be made, for a command to be sent, and for its answer; each half a second at
    /// first. Zero is taken for a millisecond.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: timeout.max(Duration::from_millis(1)), ..self }
    }
}

impl ManageConnection for RedisManager {
    type Connection = Connection;
    type Error = Error;

    fn connect(&self) -> Result<Connection, Error> {
        let failures = self.failures.load(Ordering::Relaxed);
        let connect = || {
            let connection = self.client.get_connection_with_timeout(self.timeout)?;
            connection.set_read_timeout(Some(self.timeout))?;
            connection.set_write_timeout(Some(self.timeout))?;
            Ok(connection)
        };
        let connection = connect().map_err(|error| not_connected(&error))?;
        Ok(Connection { connection, failed: false, failures, used: Instant::now() })
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<(), Error> {
        if self.has_broken(connection) {
            return Err(not_usable("another connection failed since it was made"));
        }
        if connection.used.elapsed() < RESTED {
            return Ok(());
        }
        let answer = redis::cmd("PING").query::<Value>(connection);
        if answer.is_err() {
            connection.failed = true;
            self.has_broken(connection);
        }
        answer.map(drop).map_err(|error| not_connected(&error))
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        let failures = self.failures.load(Ordering::Relaxed);
        if connection.failed && connection.failures == failures {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        connection.failed || connection.failures != failures
    }
}

impl fmt::Debug for RedisManager {
    /// Without the client, which knows a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisManager").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Connection {
    fn ask<T>(&mut self, ask: impl FnOnce(&mut redis::Connection) -> RedisResult<T>) -> RedisResult<T> {
        self.used = Instant::now();
        let answer = ask(&mut self.connection);
        // An answer that came too late would be read as that to the next command.
        self.failed |= answer.is_err() || !self.connection.is_open();
        answer
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        let answer = self.ask(|connection| connection.req_packed_command(command));
        if let Ok(Value::ServerError(error)) = &answer {
            // It was the primary before a failover; the address may lead to the new one.
            self.failed |= error.kind() == Some(ServerErrorKind::ReadOnly);
        }
        answer
    }

    fn req_packed_commands(
        &mut self,
        commands: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        self.ask(|connection| connection.req_packed_commands(commands, offset, count))
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }

    fn check_connection(&mut self) -> bool {
        self.ask(|connection| Ok(connection.check_connection())).unwrap_or(false)
    }

    fn is_open(&self) -> bool {
        !self.failed && self.connection.is_open()
    }
}

fn failed(wrong: &str) -> ReplayStoreError {
    ReplayStoreError::Failed(printable(wrong, 300))
}

fn not_usable(wrong: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Transport, "connecting to the replay store", wrong)
}

fn not_connected(error: &RedisError) -> Error {
    not_usable(said(error))
}

/// What went wrong. Of a server's error answer the code alone, which says it: some repeat the user's name or what the
/// command was.
fn said(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("the server answered {}", printable(code, 40)),
        None if error.is_timeout() => "no answer within the time allowed".to_owned(),
        None => printable(&error.to_string(), 200),
    }
}
