//! OAuth error responses (RFC 6749 §5.2).

use std::fmt;

use crate::text::printable;

/// An error response of an authorization server (RFC 6749 §5.2).
#[derive(Clone, PartialEq, Eq)]
pub struct OAuthError {
    status: u16,
    error: String,
    error_description: Option<String>,
    error_uri: Option<String>,
}

impl OAuthError {
    pub(crate) fn new(
        status: u16,
        error: String,
        error_description: Option<String>,
        error_uri: Option<String>,
    ) -> Self {
        Self { status, error, error_description, error_uri }
    }

    /// The HTTP status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The `error` code, such as `invalid_client`.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// The `error_description` exactly as the server sent it. It may hold anything, control characters included: show
    /// it to people through this type's `Display`, which cuts it to the characters and a length that are safe.
    #[must_use]
    pub fn raw_error_description(&self) -> Option<&str> {
        self.error_description.as_deref()
    }

    /// The `error_uri` exactly as the server sent it. It is never fetched.
    #[must_use]
    pub fn raw_error_uri(&self) -> Option<&str> {
        self.error_uri.as_deref()
    }
}

impl fmt::Debug for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuthError({self})")
    }
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.error)?;
        match &self.error_description {
            Some(description) => write!(f, " ({})", printable(description, 300)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for OAuthError {}
