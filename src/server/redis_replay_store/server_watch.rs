//! Asks the servers about themselves: on each new connection, and once a second.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use r2d2::{ManageConnection, PooledConnection};
use redis::ConnectionLike;

use super::loss_detector::{Exchange, LossDetector};
use super::problem::Problem;
use super::server_info::ServerInfo;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{self, Mutex};
use crate::time::Clock;

/// How often the servers are asked: in milliseconds.
const INTERVAL: u64 = 1_000;
/// When the last response is older than that, no call goes on without one of its own, in milliseconds. A
/// node of a cluster that was restarted rejects writes for two seconds (`CLUSTER_WRITABLE_DELAY` in Redis).
/// Therefore it cannot make an entry, over a connection that was replaced unnoticed, before the store knows
/// of the restart.
const MAX_AGE: u64 = 2_000;

/// What one store knows about its servers.
pub(super) struct ServerWatch {
    /// The number of the store. Several may share a pool.
    store: u64,
    clock: Arc<dyn Clock>,
    pub(super) any_eviction_policy: bool,
    /// When a call last asked the servers, in milliseconds of the clock.
    asked: AtomicU64,
    /// When a call last asked that got a response, or 0.
    known: AtomicU64,
    detector: Mutex<LossDetector>,
}

/// The stores that have asked the server over this connection. It is kept with the connection.
struct AskedBy(Vec<u64>);

impl ServerWatch {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        static STORES: AtomicU64 = AtomicU64::new(0);
        Self {
            store: STORES.fetch_add(1, Ordering::Relaxed),
            clock,
            any_eviction_policy: false,
            asked: AtomicU64::new(0),
            known: AtomicU64::new(0),
            detector: Mutex::default(),
        }
    }

    /// Starts anew with another clock.
    pub(super) fn clock(&mut self, clock: Arc<dyn Clock>) {
        *self = Self { any_eviction_policy: self.any_eviction_policy, ..Self::new(clock) };
    }

    /// Returns the clock that the times of servers are compared with.
    pub(super) fn time_source(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Returns the time by the monotonic clock.
    pub(super) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Asks the servers if the connection is new, because it may reach another server than the last one, or
    /// if a second has passed. Of the calls that find that a second has passed, only one asks.
    pub(super) fn check_if_due<M>(&self, connection: &mut PooledConnection<M>) -> Result<(), Problem>
    where
        M: ManageConnection,
        M::Connection: ConnectionLike,
    {
        let asked_by = PooledConnection::extensions(connection).get::<AskedBy>();
        let is_new = asked_by.is_none_or(|asked_by| !asked_by.0.contains(&self.store));
        let now = millis(self.clock.elapsed());
        let claim = |asked: u64| (now.saturating_sub(asked) >= INTERVAL).then_some(now);
        let is_due = self.asked.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim).is_ok();
        let known = self.known.load(Ordering::Relaxed);
        let is_overdue = known == 0 || now.saturating_sub(known) >= MAX_AGE;
        match is_new || is_due || is_overdue {
            true => self.check(connection),
            false => Ok(()),
        }
    }

    /// Asks the servers.
    ///
    /// # Errors
    /// Returns an error when there is no response, and when proofs cannot be kept there.
    pub(super) fn check<M>(&self, connection: &mut PooledConnection<M>) -> Result<(), Problem>
    where
        M: ManageConnection,
        M::Connection: ConnectionLike,
    {
        self.ask(&mut **connection)?;
        let extensions = PooledConnection::extensions_mut(connection);
        match extensions.get_mut::<AskedBy>() {
            Some(AskedBy(stores)) if stores.contains(&self.store) => {}
            Some(AskedBy(stores)) => stores.push(self.store),
            None => {
                extensions.insert(AskedBy(vec![self.store]));
            }
        }
        Ok(())
    }

    fn ask(&self, connection: &mut impl ConnectionLike) -> Result<(), Problem> {
        let sent = self.clock.elapsed();
        let servers = ServerInfo::request(connection)?;
        let exchange = Exchange { sent, received: self.clock.elapsed() };
        for server in &servers {
            server.check(self.any_eviction_policy)?;
        }
        sync::lock(&self.detector).observe_servers(servers, exchange);
        self.known.fetch_max(millis(sent).max(1), Ordering::Relaxed);
        Ok(())
    }

    /// Takes note of the time that a server showed in the response to a request that was sent at `sent`.
    pub(super) fn observe_time(&self, time: Duration, sent: Duration) {
        let exchange = Exchange { sent, received: self.clock.elapsed() };
        if sync::lock(&self.detector).observe_time(time, exchange) {
            // The next call asks.
            self.known.store(0, Ordering::Relaxed);
        }
    }

    /// Returns the time of day until which entries were made that may be lost, if any may be.
    pub(super) fn lost_until(&self, now: SystemTime) -> Option<SystemTime> {
        let elapsed = self.clock.elapsed();
        sync::lock(&self.detector).lost_until(now, elapsed)
    }

    /// Returns the time of day when the server was started that was seen first, once it is known.
    pub(super) fn recording_since(&self, now: SystemTime) -> Option<SystemTime> {
        let elapsed = self.clock.elapsed();
        sync::lock(&self.detector).recording_since(now, elapsed)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
