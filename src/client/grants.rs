//! The grants: a request function and a process function for each (RFC 6749 §4).

pub(crate) mod authorization_code;
pub(crate) mod client_credentials;
pub(crate) mod device_code;
pub(crate) mod extension;
pub(crate) mod jwt_bearer;
pub(crate) mod refresh_token;
pub(crate) mod token_endpoint_response;
pub(crate) mod token_exchange;
pub(crate) mod token_request;
pub(crate) mod token_response;
