//! The client half: obtaining and using DPoP-bound access tokens (RFC 9449 §5, §7).

pub(crate) mod endpoints;
pub(crate) mod grants;
pub(crate) mod parameters;
pub(crate) mod proofs;
pub(crate) mod request_options;
pub(crate) mod request_target;
pub(crate) mod resource_request;
pub(crate) mod session;
pub(crate) mod session_store;
pub(crate) mod sign_in;
#[cfg(feature = "ureq")]
pub(crate) mod transport;
