//! Connections to Redis that are not used again after a failure.

use std::fmt;
use std::time::{Duration, Instant};

use r2d2::ManageConnection;
use redis::{ConnectionLike, RedisError, RedisResult, ServerErrorKind, Value};

use super::problem::Problem;
use crate::error::{Error, ErrorKind};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The timeout for each wait, unless set otherwise.
pub(super) const TIMEOUT: Duration = Duration::from_millis(500);
/// A connection that was idle for longer is tested before it is used.
const MAX_IDLE: Duration = Duration::from_secs(1);

/// Makes the connections of a [`RedisReplayStore`](super::RedisReplayStore). Every wait has a timeout, and a
/// connection is not used again after a failure, nor are those that were made before the failure.
///
/// Use it for a pool of another size, or for a client with other settings:
///
/// ```no_run
/// use std::time::Duration;
/// use possession::{r2d2, redis};
/// use possession::server::{RedisManager, RedisReplayStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = redis::Client::open("unix:///run/valkey/valkey.sock")?;
/// let timeout = Duration::from_millis(200);
/// let manager = RedisManager::new(client).timeout(timeout);
/// let pool = r2d2::Pool::builder().max_size(32).connection_timeout(timeout).build(manager)?;
/// let for_the_token_endpoint = RedisReplayStore::new(pool.clone()).prefix("token:");
/// let for_the_resource = RedisReplayStore::new(pool).prefix("orders:").check()?;
/// # Ok(()) }
/// ```
pub struct RedisManager<M: ManageConnection = redis::Client> {
    manager: M,
    connect: fn(&M, Duration) -> RedisResult<M::Connection>,
    set_timeouts: fn(&M::Connection, Duration) -> RedisResult<()>,
    timeout: Duration,
    /// The number of failures so far. Connections made before the last failure are not used any more, so
    /// that a server that goes away costs one proof, and not one for each connection.
    failures: AtomicU64,
}

/// A connection that records whether it failed.
pub struct Connection<C> {
    connection: C,
    failed: bool,
    /// The number of failures when this connection was made.
    failures: u64,
    last_use: Instant,
}

impl RedisManager {
    /// Creates a manager for connections of that client.
    #[must_use]
    pub fn new(client: redis::Client) -> Self {
        Self {
            manager: client,
            connect: redis::Client::get_connection_with_timeout,
            set_timeouts,
            timeout: TIMEOUT,
            failures: AtomicU64::new(0),
        }
    }
}

impl<M> RedisManager<M>
where
    M: ManageConnection<Error = RedisError>,
    M::Connection: ConnectionLike,
{
    /// Creates a manager for the connections of another one: `redis::cluster::ClusterClient` or
    /// `redis::sentinel::LockedSentinelClient`. They have no timeouts unless you set them. The guide page on
    /// [several nodes](crate::guide::several_nodes) shows how.
    ///
    /// Without it, a connection to a cluster may go on using nodes that are gone.
    #[must_use]
    pub fn wrap(manager: M) -> Self {
        Self {
            manager,
            connect: |manager, _| manager.connect(),
            set_timeouts: |_, _| Ok(()),
            timeout: TIMEOUT,
            failures: AtomicU64::new(0),
        }
    }
}

impl<M: ManageConnection<Connection = redis::Connection>> RedisManager<M> {
    /// Sets the timeout for each of three waits: for a connection to be made, for a command to be sent, and
    /// for its response. It is half a second by default. Zero becomes one millisecond.
    ///
    /// A manager that was [wrapped](Self::wrap) makes its connections with its own timeouts.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: timeout.max(Duration::from_millis(1)), set_timeouts, ..self }
    }
}

fn set_timeouts(connection: &redis::Connection, timeout: Duration) -> RedisResult<()> {
    connection.set_read_timeout(Some(timeout))?;
    connection.set_write_timeout(Some(timeout))
}

impl<M> ManageConnection for RedisManager<M>
where
    M: ManageConnection<Error = RedisError>,
    M::Connection: ConnectionLike,
{
    type Connection = Connection<M::Connection>;
    type Error = Error;

    fn connect(&self) -> Result<Self::Connection, Error> {
        let failures = self.failures.load(Ordering::Relaxed);
        let connection = (self.connect)(&self.manager, self.timeout).and_then(|connection| {
            (self.set_timeouts)(&connection, self.timeout)?;
            Ok(connection)
        });
        let connection = connection.map_err(|error| Problem::from(&error).while_connecting())?;
        Ok(Connection { connection, failed: false, failures, last_use: Instant::now() })
    }

    fn is_valid(&self, connection: &mut Self::Connection) -> Result<(), Error> {
        if self.has_broken(connection) {
            let wrong = "another connection failed after this one was made";
            return Err(Error::new(ErrorKind::Transport, "connecting to the replay store", wrong));
        }
        if connection.last_use.elapsed() < MAX_IDLE {
            return Ok(());
        }
        connection.last_use = Instant::now();
        let valid = self.manager.is_valid(&mut connection.connection);
        if valid.is_err() {
            connection.failed = true;
            self.has_broken(connection);
        }
        valid.map_err(|error| Problem::from(&error).while_connecting())
    }

    fn has_broken(&self, connection: &mut Self::Connection) -> bool {
        let failures = self.failures.load(Ordering::Relaxed);
        connection.failed |= self.manager.has_broken(&mut connection.connection);
        if connection.failed && connection.failures == failures {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        connection.failed || connection.failures != failures
    }
}

impl<M: ManageConnection> fmt::Debug for RedisManager<M> {
    /// Omits the client, which contains a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisManager").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl<C: ConnectionLike> Connection<C> {
    fn send<T>(&mut self, send: impl FnOnce(&mut C) -> RedisResult<T>) -> RedisResult<T> {
        self.last_use = Instant::now();
        let response = send(&mut self.connection);
        // A response that comes too late would be read as the response to the next command.
        self.failed |= response.as_ref().is_err_and(is_failure) || !self.connection.is_open();
        response
    }

    fn note_error_of(&mut self, response: &Value) {
        if let Value::ServerError(error) = response {
            self.failed |= error.kind().is_some_and(is_wrong_server);
        }
    }
}

/// Returns whether a connection cannot be used any more after that error.
fn is_failure(error: &RedisError) -> bool {
    match error.kind() {
        redis::ErrorKind::Server(kind) => is_wrong_server(kind),
        // A response with a code that the `redis` crate does not know.
        redis::ErrorKind::Extension => false,
        _ => true,
    }
}

/// Returns whether a new connection may reach another server than the one that responded with that error:
/// this one was the primary before a failover, or does not have the slots of a cluster that it had.
fn is_wrong_server(kind: ServerErrorKind) -> bool {
    use ServerErrorKind::{ClusterDown, MasterDown, Moved, ReadOnly};
    matches!(kind, ReadOnly | Moved | ClusterDown | MasterDown)
}

impl<C: ConnectionLike> ConnectionLike for Connection<C> {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        let response = self.send(|connection| connection.req_packed_command(command))?;
        self.note_error_of(&response);
        Ok(response)
    }

    fn req_packed_commands(
        &mut self,
        commands: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let responses = self.send(|connection| connection.req_packed_commands(commands, offset, count))?;
        for response in &responses {
            self.note_error_of(response);
        }
        Ok(responses)
    }

    fn req_command(&mut self, command: &redis::Cmd) -> RedisResult<Value> {
        let response = self.send(|connection| connection.req_command(command))?;
        self.note_error_of(&response);
        Ok(response)
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }

    fn supports_pipelining(&self) -> bool {
        self.connection.supports_pipelining()
    }

    fn check_connection(&mut self) -> bool {
        self.send(|connection| Ok(connection.check_connection())).unwrap_or(false)
    }

    fn is_open(&self) -> bool {
        !self.failed && self.connection.is_open()
    }
}
