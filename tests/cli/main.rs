//! The program `possession`: what it prints, and what `possession probe` finds out about servers.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: what fails here fails a test"
)]

mod probe;
mod program;
mod target;
