//! Signing a user in: authorization requests, their responses, and a redirect URI on loopback (RFC 6749
//! §4.1).

pub(crate) mod authorization_request;
pub(crate) mod authorization_response;
#[cfg(feature = "loopback")]
pub(crate) mod loopback;
#[cfg(feature = "loopback")]
pub(crate) mod open_browser;
pub(crate) mod pending_authorization;
pub(crate) mod pkce;
