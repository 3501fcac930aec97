//! Proofs of a client, and what it has learned about servers: nonces, clocks and algorithms (RFC 9449 §4,
//! §8).

pub(crate) mod clock_offset;
pub(crate) mod known_servers;
#[cfg(all(test, shuttle))]
mod models;
pub(crate) mod proof_attempts;
pub(crate) mod proof_target;
pub(crate) mod prover;
