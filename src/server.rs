//! The server half: verification of DPoP proofs (RFC 9449 §4.3) and of the access tokens that come with them.

pub(crate) mod accepted_algorithms;
pub(crate) mod access_token;
mod claims;
mod introspection;
pub(crate) mod jwk_set;
mod jwt;
pub(crate) mod nonce;
pub(crate) mod received_request;
#[cfg(feature = "redis")]
mod redis;
pub(crate) mod rejection;
pub(crate) mod replay;
mod resource_server;
pub(crate) mod verified_proof;
pub(crate) mod verifier;

pub use self::accepted_algorithms::SignatureVerifier;
pub use self::access_token::{AccessToken, TokenError, TokenValidator};
pub use self::introspection::Introspector;
pub use self::jwt::JwtValidator;
pub use self::nonce::{NonceSource, NonceState, StatelessNonces};
pub use self::received_request::ReceivedRequest;
#[cfg(feature = "redis")]
pub use self::redis::{RedisManager, RedisReplayStore};
pub use self::rejection::{Reason, Rejection};
pub use self::replay::{InsertOutcome, MemoryReplayStore, ReplayKey, ReplayStore, ReplayStoreError};
pub use self::resource_server::{Authenticated, ResourceServer};
pub use self::verified_proof::VerifiedProof;
pub use self::verifier::Verifier;
