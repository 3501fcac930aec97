//! The program `possession`: what it prints, and what `possession probe` finds out about servers.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: what fails here fails a test"
)]

mod calls;
#[path = "../../src/bin/possession/commands/explain/checks.rs"]
mod checks;
mod documents;
mod explain;
mod golden;
#[allow(dead_code, reason = "the checks of `explain` use a part of it")]
#[path = "../../src/bin/possession/jwt.rs"]
mod jwt;
mod keys;
mod probe;
mod program;
mod secrets;
mod serve;
mod sessions;
mod target;
mod trace;
