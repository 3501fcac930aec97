//! Tests of the client half, one module a subject. Names begin with the numbers of the catalogue in
//! `tests/THREATS.md`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: what fails here fails a test"
)]

#[path = "../common/mod.rs"]
mod common;

// Helpers.
#[cfg(all(feature = "testing", feature = "ureq"))]
mod certificates;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod peer;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod support;

#[cfg(all(feature = "testing", feature = "ureq"))]
mod htu;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod redirects;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod tls;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod urls;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod timeouts;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod limits;
#[cfg(all(feature = "testing", feature = "ureq"))]
mod connections;
