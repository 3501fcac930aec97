//! Why an endpoint of the authorization server refuses a request.

use std::borrow::Cow;

use super::client_authentication::AuthenticationError;
use super::quirk::Quirk;
use super::refusal::oauth_error;
use super::request::Request;
use super::response::ServerResponse;
use crate::error::Error;
use crate::server::rejection::Rejection;

pub(super) enum EndpointError {
    /// An error in the form of RFC 6749 §5.2.
    OAuth { status: u16, code: Cow<'static, str> },
    /// The proof, or the access token, was refused.
    Rejected(Rejection),
}

impl EndpointError {
    pub(super) fn oauth(status: u16, code: impl Into<Cow<'static, str>>) -> Self {
        Self::OAuth { status, code: code.into() }
    }

    /// The server has no randomness.
    pub(super) fn server(_: Error) -> Self {
        Self::oauth(500, "server_error")
    }

    /// Turns an OAuth error into its response, to which a nonce can be added.
    pub(super) fn into_response(result: Result<ServerResponse, Self>) -> Result<ServerResponse, Rejection> {
        match result {
            Ok(response) => Ok(response),
            Err(Self::OAuth { status, code }) => {
                let response = oauth_error(status, &code);
                Ok(match status {
                    401 => response.header("www-authenticate", "Basic realm=\"test server\""),
                    _ => response,
                })
            }
            Err(Self::Rejected(rejection)) => Err(rejection),
        }
    }
}

impl From<AuthenticationError> for EndpointError {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::InvalidRequest => Self::oauth(400, "invalid_request"),
            AuthenticationError::InvalidClient => Self::oauth(401, "invalid_client"),
        }
    }
}

impl From<Rejection> for EndpointError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// The error for a code or a token that is unknown, expired, or used by the wrong client or key.
pub(super) fn invalid_grant() -> EndpointError {
    EndpointError::oauth(400, "invalid_grant")
}

/// Returns the error code with which a quirk refuses a valid request.
pub(super) fn oauth_error_of_quirk(request: &Request<'_>) -> Option<String> {
    request.quirks.iter().find_map(|active| match &active.quirk {
        Quirk::OAuthError(code) if request.quirks.applies(active, true) => Some(code.clone()),
        _ => None,
    })
}
