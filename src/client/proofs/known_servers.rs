//! Per-server state, shared by all keys: nonces, clock offsets and algorithms.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::client::proofs::clock_offset::{ClockOffset, Freshness};
use crate::dpop::server_role::ServerRole;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{self, LruMap, RwLock};

/// The number of origins whose state is kept, for each role.
const MAX_ORIGINS: usize = 1000;

/// The number of origins whose state is stored with a session, for each role.
const MAX_STORED: usize = 100;

/// What is known about one server in one role, in the form in which it is stored with a session.
#[derive(PartialEq)]
pub(crate) struct KnownServer {
    pub(crate) role: ServerRole,
    pub(crate) origin: String,
    pub(crate) nonce: Option<String>,
    /// The seconds that its clock is ahead of the local one.
    pub(crate) clock_offset: i64,
    pub(crate) alg: Option<String>,
}

/// The state of all servers. By role, so that a resource cannot influence requests to the token endpoint on
/// the same origin.
#[derive(Default)]
pub(crate) struct ServerState {
    pub(crate) authorization_servers: RoleState,
    pub(crate) resource_servers: RoleState,
}

/// The state of the servers in one role.
#[derive(Default)]
pub(crate) struct RoleState {
    pub(crate) nonces: NonceCache,
    pub(crate) origins: OriginStates,
}

impl ServerState {
    /// Returns what is worth storing, in a fixed order.
    pub(crate) fn known(&self) -> Vec<KnownServer> {
        let mut known = self.authorization_servers.known(ServerRole::AuthorizationServer);
        known.extend(self.resource_servers.known(ServerRole::ResourceServer));
        known
    }
}

impl RoleState {
    fn known(&self, role: ServerRole) -> Vec<KnownServer> {
        let mut known = BTreeMap::<String, (Option<String>, OriginState)>::new();
        for (origin, nonce) in sync::read(&self.nonces.by_origin).most_recent().into_iter().take(MAX_STORED) {
            known.entry(origin.to_string()).or_default().0 = Some(nonce.to_string());
        }
        for (origin, state) in sync::read(&self.origins.by_origin).iter().take(MAX_STORED) {
            known.entry(origin.to_string()).or_default().1 = *state;
        }
        let server = |(origin, (nonce, state)): (_, (_, OriginState))| {
            let (clock_offset, alg) = (state.offset.0, state.alg.map(str::to_owned));
            KnownServer { role, origin, nonce, clock_offset, alg }
        };
        known.into_iter().map(server).collect()
    }

    /// Takes what was stored, unless something newer is known. `algs` are the names of the key's algorithm.
    pub(crate) fn restore(&self, server: &KnownServer, algs: impl IntoIterator<Item = &'static str>) {
        if let Some(nonce) = &server.nonce {
            self.nonces.record_unless_known(&server.origin, nonce);
        }
        let alg = algs.into_iter().find(|alg| server.alg.as_deref() == Some(alg));
        let offset = ClockOffset(server.clock_offset).limited(Freshness::Nonce);
        self.origins.record_unless_known(&server.origin, OriginState { offset, alg });
    }
}

/// The newest nonce of each origin.
pub(crate) struct NonceCache {
    by_origin: RwLock<LruMap<Box<str>, Arc<str>>>,
    learned: AtomicU64,
}

impl NonceCache {
    pub(crate) fn find(&self, origin: &str) -> Option<Arc<str>> {
        sync::read(&self.by_origin).get(origin).cloned()
    }

    /// Records a nonce and returns it.
    pub(crate) fn record(&self, origin: &str, nonce: &str) -> Arc<str> {
        // Most responses repeat the nonce, which takes the read lock only.
        if let Some(known) = self.find(origin).filter(|known| **known == *nonce) {
            return known;
        }
        let nonce: Arc<str> = nonce.into();
        self.learned.fetch_add(1, Ordering::Relaxed);
        sync::write(&self.by_origin).insert(origin.into(), Arc::clone(&nonce));
        nonce
    }

    /// Records a nonce that another session has learned, unless there is one.
    fn record_unless_known(&self, origin: &str, nonce: &str) {
        let mut by_origin = sync::write(&self.by_origin);
        if by_origin.get(origin).is_none() {
            by_origin.insert(origin.into(), nonce.into());
        }
    }

    /// Returns the number of nonces that were new when they were recorded.
    pub(crate) fn learned(&self) -> u64 {
        self.learned.load(Ordering::Relaxed)
    }
}

impl Default for NonceCache {
    fn default() -> Self {
        Self { by_origin: RwLock::new(LruMap::new(MAX_ORIGINS)), learned: AtomicU64::default() }
    }
}

/// The state of origins beside their nonces. Most origins have none.
#[derive(Default)]
pub(crate) struct OriginStates {
    by_origin: RwLock<HashMap<Box<str>, OriginState>>,
    /// Whether there has ever been an entry: without one, a look-up takes no lock.
    any: AtomicBool,
}

/// The state of one origin beside its nonce.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) struct OriginState {
    pub(crate) offset: ClockOffset,
    /// The name of the key's algorithm that the server's challenges list.
    pub(crate) alg: Option<&'static str>,
}

impl OriginStates {
    pub(crate) fn find(&self, origin: &str) -> OriginState {
        if !self.any.load(Ordering::Relaxed) {
            return OriginState::default();
        }
        let by_origin = sync::read(&self.by_origin);
        by_origin.get(origin).copied().unwrap_or_default()
    }

    pub(crate) fn record(&self, origin: &str, state: OriginState) {
        self.record_in(&mut sync::write(&self.by_origin), origin, state);
    }

    /// Records what another session has learned, unless something is known.
    fn record_unless_known(&self, origin: &str, state: OriginState) {
        let mut by_origin = sync::write(&self.by_origin);
        if !by_origin.contains_key(origin) {
            self.record_in(&mut by_origin, origin, state);
        }
    }

    fn record_in(&self, by_origin: &mut HashMap<Box<str>, OriginState>, origin: &str, state: OriginState) {
        if state == OriginState::default() {
            by_origin.remove(origin);
            return;
        }
        // Few servers have wrong clocks. The bound protects against one server with any number of host
        // names.
        if by_origin.len() >= MAX_ORIGINS && !by_origin.contains_key(origin) {
            by_origin.clear();
        }
        by_origin.insert(origin.into(), state);
        self.any.store(true, Ordering::Relaxed);
    }

    /// Returns the origins whose clock differs, with the offset in seconds.
    pub(crate) fn clock_offsets(&self) -> Vec<(String, i64)> {
        let by_origin = sync::read(&self.by_origin);
        let differing = by_origin.iter().filter(|(_, state)| state.offset != ClockOffset::default());
        differing.map(|(origin, state)| (origin.to_string(), state.offset.0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://as.example.com";

    fn server(nonce: &str, clock_offset: i64, alg: &str) -> KnownServer {
        let role = ServerRole::AuthorizationServer;
        let (nonce, alg) = (Some(nonce.to_owned()), Some(alg.to_owned()));
        KnownServer { role, origin: ORIGIN.to_owned(), nonce, clock_offset, alg }
    }

    #[test]
    fn what_was_stored_is_taken_where_nothing_newer_is_known() {
        let names = || ["EdDSA", "Ed25519"];
        let state = ServerState::default();
        let role = &state.authorization_servers;
        role.restore(&server("n-1", -5, "Ed25519"), names());
        assert!(state.known() == [server("n-1", -5, "Ed25519")]);
        assert_eq!(role.nonces.learned(), 0, "it was learned by another session");
        role.restore(&server("n-2", 7, "EdDSA"), names());
        role.nonces.record(ORIGIN, "n-3");
        role.restore(&server("n-2", 7, "EdDSA"), names());
        assert!(state.known() == [server("n-3", -5, "Ed25519")]);
        // The name of another key's algorithm, and offsets that no session would store.
        for (stored, used) in [(i64::MAX, 86_400), (i64::MIN, -86_400), (300, 300)] {
            let state = ServerState::default();
            state.resource_servers.restore(&server("n", stored, "ES256"), names());
            let [known] = &state.known()[..] else { panic!("one server") };
            assert_eq!((known.role, known.clock_offset), (ServerRole::ResourceServer, used));
            assert_eq!((known.nonce.as_deref(), known.alg.as_deref()), (Some("n"), None));
        }
    }

    #[test]
    fn the_nonces_that_were_used_last_are_stored() {
        let state = ServerState::default();
        let nonces = &state.resource_servers.nonces;
        for number in 0..MAX_STORED + 50 {
            nonces.record(&format!("https://{number}.example"), "n");
        }
        assert!(nonces.find("https://7.example").is_some());
        let known = state.known();
        assert_eq!(known.len(), MAX_STORED);
        assert!(known.iter().any(|known| known.origin == "https://7.example"));
        assert!(known.iter().all(|known| known.origin != "https://8.example"));
    }
}
