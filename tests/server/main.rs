//! Tests of the server half: the proof verifier, the replay stores, nonces, access tokens and whole
//! requests to a protected resource.
//!
//! A name that begins with `v_` and a number tests that row of the threat catalogue. The tables of
//! malformed proofs are in `test-vectors/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails here fails the test that called it"
)]

#[path = "../common/mod.rs"]
mod common;
mod support;

mod access_tokens;
mod cached_tokens;
mod clock_steps;
mod conformance;
mod example_servers;
mod floods;
mod introspection;
mod issuer;
mod key_rotation;
mod key_sets;
mod limits;
mod locks;
mod lost_entries;
mod nonce_challenges;
mod nonces;
#[cfg(feature = "redis")]
mod redis;
mod replay;
mod resource_server;
mod restarts;
mod shares;
mod signature_verifiers;
mod single_use_nonces;
mod sizing;
mod stolen_tokens;
mod try_authenticate;
mod verifier;
