//! Asks the servers about themselves: on each new connection, and once a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use r2d2::{ManageConnection, PooledConnection};
use redis::ConnectionLike;

use super::loss_detector::{Exchange, LossDetector};
use super::problem::Problem;
use super::server_info::ServerInfo;
use crate::sync;
use crate::time::Clock;

/// How often the servers are asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// What one store knows about its servers.
pub(super) struct ServerWatch {
    /// The number of the store. Several may share a pool.
    store: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) any_eviction_policy: bool,
    /// When the servers are asked again, in milliseconds of the clock.
    next_check: AtomicU64,
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
            next_check: AtomicU64::new(0),
            detector: Mutex::default(),
        }
    }

    /// Asks the servers if the connection is new, because it may reach another server than the last one, or if
    /// a second has passed. Only one of the calls that find that a second has passed asks.
    pub(super) fn check_if_due<M>(&self, connection: &mut PooledConnection<M>) -> Result<(), Problem>
    where
        M: ManageConnection,
        M::Connection: ConnectionLike,
    {
        let asked_by = PooledConnection::extensions(connection).get::<AskedBy>();
        let is_new = asked_by.is_none_or(|asked_by| !asked_by.0.contains(&self.store));
        let now = millis(self.clock.elapsed());
        let next = now.saturating_add(millis(INTERVAL));
        let claim = |due: u64| (due <= now).then_some(next);
        let is_due = self.next_check.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim).is_ok();
        match is_new || is_due {
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
        let checked = self.ask(&mut **connection);
        match checked {
            Ok(()) => {
                let extensions = PooledConnection::extensions_mut(connection);
                match extensions.get_mut::<AskedBy>() {
                    Some(AskedBy(stores)) if stores.contains(&self.store) => {}
                    Some(AskedBy(stores)) => stores.push(self.store),
                    None => {
                        extensions.insert(AskedBy(vec![self.store]));
                    }
                }
            }
            Err(_) => self.check_soon(),
        }
        checked
    }

    fn ask(&self, connection: &mut impl ConnectionLike) -> Result<(), Problem> {
        let sent = self.clock.elapsed();
        let servers = ServerInfo::request(connection)?;
        let exchange = Exchange { sent, received: self.clock.elapsed() };
        for server in &servers {
            server.check(self.any_eviction_policy)?;
        }
        sync::lock(&self.detector).observe_servers(servers, exchange);
        Ok(())
    }

    /// Makes the next call ask the servers.
    fn check_soon(&self) {
        self.next_check.store(0, Ordering::Relaxed);
    }

    /// Takes note of the time that a server showed in the response to a request that was sent at `sent`.
    pub(super) fn observe_time(&self, time: Duration, sent: Duration) {
        let exchange = Exchange { sent, received: self.clock.elapsed() };
        if sync::lock(&self.detector).observe_time(time, exchange) {
            self.check_soon();
        }
    }

    /// Returns the time of day until which entries were made that may be lost, if any may be.
    pub(super) fn lost_until(&self, now: SystemTime) -> Option<SystemTime> {
        let elapsed = self.clock.elapsed();
        sync::lock(&self.detector).lost_until(now, elapsed)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
