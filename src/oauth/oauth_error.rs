//! OAuth error responses (RFC 6749 §4.1.2.1, §5.2).

use std::fmt;

use crate::text::printable;

/// An OAuth error that a server responded with (RFC 6749 §5.2), or that an authorization response brought
/// (§4.1.2.1).
#[derive(Clone, PartialEq, Eq)]
pub struct OAuthError {
    status: Option<u16>,
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
        Self { status: Some(status), error, error_description, error_uri }
    }

    /// Creates an error that the browser brought.
    pub(crate) fn in_authorization_response(
        error: String,
        error_description: Option<String>,
        error_uri: Option<String>,
    ) -> Self {
        Self { status: None, error, error_description, error_uri }
    }

    /// Returns the HTTP status code. Some servers send errors with the status 200. It is `None` for an error
    /// in an authorization response, which the browser brings without a status.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns whether an authorization response says that the server failed or is overloaded, for which it
    /// has no status code (RFC 6749 §4.1.2.1).
    pub(crate) fn is_server_fault_without_status(&self) -> bool {
        self.status.is_none() && matches!(self.error.as_str(), "server_error" | "temporarily_unavailable")
    }

    /// Returns the `error` code, such as `invalid_client`.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// Returns the `error_description` as the server sent it. It may contain anything, control characters
    /// included. The `Display` of this type shows it with safe characters only, and shortened.
    ///
    /// In a response whose JSON cannot be parsed otherwise, U+FFFD stands for bytes that are not UTF-8 and
    /// for lone surrogates, and spaces stand for control characters that are not escaped.
    #[must_use]
    pub fn raw_error_description(&self) -> Option<&str> {
        self.error_description.as_deref()
    }

    /// Returns the `error_uri` as the server sent it. It is never fetched.
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
        if let Some(status) = self.status {
            write!(f, "{status} ")?;
        }
        f.write_str(&self.error)?;
        match &self.error_description {
            Some(description) => write!(f, " ({})", printable(description, 300)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for OAuthError {}
