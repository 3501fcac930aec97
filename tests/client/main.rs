//! Tests of the client half, one module a subject. A name begins with the numbers of the rows of
//! `tests/THREATS.md` that it is for.
//!
//! The modules in `without_io` drive requests by scripted responses, and `file_store` is about files: they
//! need no feature. All others talk to servers on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: what fails here fails a test"
)]

#[path = "../common/mod.rs"]
mod common;

mod file_store;
mod folder;
mod process;
mod without_io;

// Helpers.
#[cfg(all(feature = "testing", feature = "ureq"))]
mod certificates;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod peer;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod signed_in;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod support;

#[cfg(all(feature = "testing", feature = "ureq"))]
mod agent;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod algorithms;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod bodies;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod challenges;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod client_authentication;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod clocks;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod conformance;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod connections;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod discovery;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod htu;
#[cfg(all(feature = "json", feature = "testing", feature = "ureq"))]
mod json;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod keys;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod limits;
#[cfg(feature = "loopback")]
mod loopback;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod nonces;
#[cfg(feature = "loopback")]
mod open_browser;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod other_clients;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod overload;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod panics;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod proofs;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod redirects;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod refused_proofs;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod refused_tokens;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod secrets;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod session;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod session_grants;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod sign_in;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod startup;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod stored_sessions;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod stored_sign_ins;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod test_server;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod threads;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod timeouts;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod tls;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod token_response;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod tokens;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod urls;
