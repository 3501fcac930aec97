//! Tests of keys, algorithms, JWKs and proofs.
//!
//! A name that begins with `c_`, `v_` or `b_` and a number tests that row of the threat catalogue.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails here fails the test that called it"
)]

mod encoding;
mod sample_keys;

mod algorithms;
mod jwk;
mod key_export;
mod key_files;
mod key_import;
mod key_types;
mod proofs;
mod signers;
