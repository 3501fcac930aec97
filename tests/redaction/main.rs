//! Threat C-71: no secret is in a log record, in `Debug` or `Display` output, in an error or in a panic
//! message.
//!
//! Recognizable secrets are used wherever a secret goes, and every flow runs under a logger that takes
//! every record of every thread at TRACE. Every value on the way is formatted with `{:?}` and `{:#?}`,
//! every error with all its sources. `watch.rs` then looks for pieces of these secrets, and of every token,
//! proof, assertion and private key that was used.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails here fails the test that called it"
)]

#[cfg(feature = "ureq")]
#[path = "../common/mod.rs"]
mod common;

mod capture;
#[allow(dead_code, reason = "fewer helpers are needed without the features `ureq` and `testing`")]
mod watch;

mod harness;
#[cfg(feature = "ureq")]
mod transport;
mod values;

#[cfg(all(feature = "ureq", feature = "testing"))]
mod agents_and_other_clients;
#[cfg(all(feature = "ureq", feature = "testing"))]
mod scene;
#[cfg(all(feature = "ureq", feature = "testing"))]
mod sessions;
#[cfg(all(feature = "ureq", feature = "testing"))]
mod stored_sessions;
