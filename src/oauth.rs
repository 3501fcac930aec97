//! OAuth 2.0 for clients and resource servers: metadata, client authentication, challenges and responses
//! (RFC 6749, RFC 8414, RFC 9110 §11).

pub(crate) mod challenge;
pub(crate) mod client;
pub(crate) mod client_assertion;
pub(crate) mod client_auth;
pub(crate) mod discovery;
pub(crate) mod form_request;
pub(crate) mod http_client;
pub(crate) mod metadata;
pub(crate) mod oauth_error;
pub(crate) mod protected_resource;
pub(crate) mod response_facts;
pub(crate) mod retry_after;
pub(crate) mod step;
