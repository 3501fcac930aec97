//! The roles of a server.

/// The role in which a server receives a proof.
///
/// One origin may have both roles and refuse, in one role, the nonces that it issued in the other (RFC 9449
/// §8, §9). Nonces are therefore kept by origin and role.
///
/// ```
/// use std::time::SystemTime;
/// use possession::{Algorithm, KeyPair, Proof, Prover, ServerRole};
///
/// let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
/// let proof = Proof::new(&http::Method::POST, "https://server.example.com/token")?;
/// let proof = prover.prove(ServerRole::AuthorizationServer, proof, SystemTime::now())?;
/// # assert!(proof.starts_with("eyJ"));
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerRole {
    /// The server issues access tokens (RFC 6749 §1.1).
    AuthorizationServer,
    /// The server hosts protected resources and accepts access tokens (RFC 6749 §1.1).
    ResourceServer,
}
