//! The endpoints beside the token endpoint: a request function and a process function for each.

pub(crate) mod endpoint;
pub(crate) mod endpoint_request;
pub(crate) mod endpoint_response;
pub(crate) mod introspection;
pub(crate) mod pushed_authorization_request;
pub(crate) mod registration;
pub(crate) mod revocation;
