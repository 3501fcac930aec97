//! The server half: verification of DPoP proofs (RFC 9449 §4.3) and of the access tokens that come with
//! them.
//!
//! - A [`ResourceServer`] authenticates whole requests to a protected resource. It has the access token
//!   validated by a [`TokenValidator`] ([`JwtValidator`], [`Introspector`] or your own) and the proof
//!   verified by a [`Verifier`].
//! - A [`Verifier`] alone verifies the proof of one request. A token endpoint uses it directly.
//! - A [`ReplayStore`] remembers accepted proofs, and a [`NonceSource`] issues and recognizes nonces.
//! - A [`Rejection`] carries the precise [`Reason`] for logs and the response for the peer.

pub(crate) mod accepted_algorithms;
pub(crate) mod access_token;
mod claim_values;
mod clock_steps;
mod clock_tolerance;
mod expected_claims;
mod forwarded;
mod forwarded_origin;
mod guarded_replay_store;
mod introspection;
mod introspection_cache;
pub(crate) mod jwk_set;
mod jwt_validator;
mod key_shares;
pub(crate) mod memory_replay_store;
#[cfg(all(test, shuttle))]
mod models;
pub(crate) mod nonce;
mod nonce_policy;
pub(crate) mod presented_token;
mod proof_lifetime;
pub(crate) mod reason;
pub(crate) mod received_request;
#[cfg(feature = "redis")]
mod redis_replay_store;
mod refetch_budget;
pub(crate) mod rejection;
mod remote_jwk_set;
pub(crate) mod replay;
mod resource_server;
mod single_flight;
mod token_cache_key;
pub(crate) mod token_error;
pub(crate) mod verified_proof;
mod verified_tokens;
pub(crate) mod verifier;

pub use self::accepted_algorithms::SignatureVerifier;
pub use self::access_token::{AccessToken, TokenValidator};
pub use self::guarded_replay_store::GuardedReplayStore;
pub use self::introspection::Introspector;
pub use self::jwt_validator::JwtValidator;
pub use self::memory_replay_store::MemoryReplayStore;
pub use self::nonce::{NonceSource, NonceState, StatelessNonces};
pub use self::presented_token::PresentedToken;
pub use self::reason::Reason;
pub use self::received_request::ReceivedRequest;
#[cfg(feature = "redis")]
pub use self::redis_replay_store::{RedisManager, RedisReplayStore};
pub use self::rejection::Rejection;
pub use self::replay::{InsertOutcome, ProofRecord, ReplayKey, ReplayStore, ReplayStoreError};
pub use self::resource_server::{Authenticated, ResourceServer};
pub use self::token_error::TokenError;
pub use self::verified_proof::VerifiedProof;
pub use self::verifier::Verifier;
