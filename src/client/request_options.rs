//! Options of requests.

use std::fmt;

use crate::client::prover::Prover;
use crate::oauth::http_client::HttpClient;

/// How a grant is requested.
#[derive(Clone, Default)]
pub struct RequestOptions<'a> {
    pub(crate) http: Option<&'a dyn HttpClient>,
    pub(super) prover: Option<Prover>,
    pub(super) accept_bearer: bool,
}

impl<'a> RequestOptions<'a> {
    /// Without DPoP, over a transport of its own with the defaults (feature `ureq`).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds the token to the prover's key: a proof goes with each request (RFC 9449 §5).
    #[must_use]
    pub fn prover(self, prover: &Prover) -> Self {
        Self { prover: Some(prover.clone()), ..self }
    }

    /// Sends over this HTTP client. Keep one: it pools connections.
    #[must_use]
    pub fn http(self, http: &'a dyn HttpClient) -> Self {
        Self { http: Some(http), ..self }
    }

    /// Accepts a `Bearer` token in answer to a DPoP request. Whoever steals such a token can use it: the proof was for
    /// nothing.
    #[must_use]
    pub fn dangerous_accept_bearer(self) -> Self {
        Self { accept_bearer: true, ..self }
    }
}

impl fmt::Debug for RequestOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("prover", &self.prover)
            .field("accept_bearer", &self.accept_bearer)
            .finish_non_exhaustive()
    }
}
