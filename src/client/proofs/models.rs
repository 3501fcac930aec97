//! Models of what the threads of a client know about servers.

use std::sync::Arc;

use crate::client::proofs::known_servers::{KnownServer, RoleState};
use crate::dpop::server_role::ServerRole;
use crate::models::{on_threads, try_out};

const ORIGIN: &str = "https://as.example.com";

/// Responses with new nonces arrive while requests look for one: there is one from the first on, and it is
/// one of the newest.
#[test]
fn a_nonce_is_never_lost_and_no_older_one_comes_back() {
    try_out(|| {
        let state = Arc::new(RoleState::default());
        state.nonces.record(ORIGIN, "n-0");
        let theirs = Arc::clone(&state);
        let seen = on_threads(3, move |n| match n {
            0 => ["n-1", "n-2"].map(|nonce| theirs.nonces.record(ORIGIN, nonce)).to_vec(),
            // A response that repeats the nonce in use.
            1 => theirs
                .nonces
                .find(ORIGIN)
                .map(|nonce| theirs.nonces.record(ORIGIN, &nonce))
                .into_iter()
                .collect(),
            _ => (0..3).map(|_| theirs.nonces.find(ORIGIN).unwrap()).collect(),
        });
        let [_, repeated, found] = &seen[..] else { panic!("three threads") };
        let last = state.nonces.find(ORIGIN).unwrap();
        // The repeated one counts as the newest if it was recorded last.
        assert!(*last == *"n-2" || repeated.contains(&last), "{last}");
        let newest_first = found.windows(2).all(|pair| pair[0] <= pair[1] || repeated.contains(&pair[1]));
        assert!(newest_first, "{found:?}");
        let learned = state.nonces.learned();
        assert!((3..=4).contains(&learned), "{learned}");
    });
}

/// What a stored session knew never replaces what a response has brought meanwhile.
#[test]
fn a_stored_nonce_replaces_no_newer_one() {
    try_out(|| {
        let state = Arc::new(RoleState::default());
        let theirs = Arc::clone(&state);
        on_threads(2, move |n| match n {
            0 => drop(theirs.nonces.record(ORIGIN, "new")),
            _ => {
                let (nonce, alg) = (Some("stored".to_owned()), Some("EdDSA".to_owned()));
                let (role, origin) = (ServerRole::AuthorizationServer, ORIGIN.to_owned());
                theirs.restore(&KnownServer { role, origin, nonce, clock_offset: 5, alg }, ["EdDSA"]);
            }
        });
        assert_eq!(state.nonces.find(ORIGIN).as_deref(), Some("new"));
        assert_eq!(state.origins.clock_offsets(), [(ORIGIN.to_owned(), 5)]);
    });
}
