//! The client half: obtaining and using DPoP-bound access tokens (RFC 9449 §5, §7).

pub(crate) mod authorization_request;
pub(crate) mod authorization_response;
pub(crate) mod clock_offset;
pub(crate) mod endpoint;
pub(crate) mod endpoint_request;
pub(crate) mod endpoint_response;
pub(crate) mod endpoints;
pub(crate) mod grants;
pub(crate) mod known_servers;
pub(crate) mod parameters;
pub(crate) mod pending_authorization;
pub(crate) mod pkce;
pub(crate) mod proof_attempts;
pub(crate) mod proof_target;
pub(crate) mod prover;
pub(crate) mod request_options;
pub(crate) mod request_target;
pub(crate) mod resource_request;
pub(crate) mod session;
pub(crate) mod session_store;
pub(crate) mod token_endpoint_response;
pub(crate) mod token_request;
pub(crate) mod token_response;
#[cfg(feature = "ureq")]
pub(crate) mod transport;
