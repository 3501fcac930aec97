//! The client (RFC 6749 §2).

use crate::error::{Error, ErrorKind};

/// A client as the authorization server knows it: its identifier, and whether it uses the mutual-TLS
/// endpoints.
///
/// ```
/// let client = possession::Client::new("s6BhdRkqt3")?;
/// assert_eq!(client.client_id(), "s6BhdRkqt3");
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    client_id: String,
    use_mtls_endpoint_aliases: bool,
}

impl Client {
    /// Creates a client with the identifier that the authorization server assigned to it (RFC 6749 §2.2).
    ///
    /// # Errors
    /// [`Parameter`](ErrorKind::Parameter) when it is empty or has control characters.
    pub fn new(client_id: impl Into<String>) -> Result<Self, Error> {
        let client_id = client_id.into();
        if client_id.is_empty() || client_id.chars().any(char::is_control) {
            let wrong = "it is empty or has control characters (RFC 6749 Appendix A.1)";
            return Err(Error::new(ErrorKind::Parameter, "checking a client_id", wrong));
        }
        Ok(Self { client_id, use_mtls_endpoint_aliases: false })
    }

    /// Uses the server's `mtls_endpoint_aliases` (RFC 8705 §5) with any authentication method, for clients
    /// that present a certificate for another reason than authentication. The mutual-TLS methods use the
    /// aliases anyway.
    #[must_use]
    pub fn use_mtls_endpoint_aliases(self) -> Self {
        Self { use_mtls_endpoint_aliases: true, ..self }
    }

    /// Returns the client identifier.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(crate) fn uses_mtls_endpoint_aliases(&self) -> bool {
        self.use_mtls_endpoint_aliases
    }
}
