//! Options of requests to an authorization server.

use std::fmt;

use crate::client::proofs::prover::Prover;
use crate::error::Error;
use crate::oauth::http_client::HttpClient;

/// How a request to an authorization server is made: with which key and over which HTTP client.
///
/// ```
/// use possession::{Algorithm, KeyPair, Prover, RequestOptions};
///
/// # fn request(http: &dyn possession::HttpClient) -> Result<(), possession::Error> {
/// let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
/// let options = RequestOptions::new().prover(&prover).http(http);
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct RequestOptions<'a> {
    pub(super) http: Option<&'a dyn HttpClient>,
    pub(super) prover: Option<Prover>,
    pub(super) accept_bearer: bool,
    pub(super) prove_revocation: bool,
}

impl<'a> RequestOptions<'a> {
    /// Creates options without DPoP. Requests are sent over a new `Transport` with the defaults (feature
    /// `ureq`).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds the token to the prover's key: each request has a proof (RFC 9449 §5).
    #[must_use]
    pub fn prover(self, prover: &Prover) -> Self {
        Self { prover: Some(prover.clone()), ..self }
    }

    /// Sends requests over this HTTP client. Use one client for many requests, since it pools connections.
    #[must_use]
    pub fn http(self, http: &'a dyn HttpClient) -> Self {
        Self { http: Some(http), ..self }
    }

    /// Accepts a `Bearer` token in response to a DPoP request. Whoever steals such a token can use it, so
    /// the proof protects nothing.
    #[must_use]
    pub fn dangerous_accept_bearer(self) -> Self {
        Self { accept_bearer: true, ..self }
    }

    /// Sends a proof with revocation requests as well. RFC 9449 defines none there, and most servers ignore
    /// it. Those of atproto need it: they respond with success to a request without one and revoke nothing.
    #[must_use]
    pub fn prove_revocation(self) -> Self {
        Self { prove_revocation: true, ..self }
    }

    /// Calls `send` with the HTTP client of the options, or with a new `Transport`. `doing` is what fails if
    /// there is neither.
    pub(super) fn with_http<T>(
        &self,
        doing: &str,
        send: impl FnOnce(&dyn HttpClient) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(http) = self.http {
            return send(http);
        }
        #[cfg(feature = "ureq")]
        {
            let _ = doing;
            send(&crate::client::transport::Transport::new())
        }
        #[cfg(not(feature = "ureq"))]
        {
            let wrong =
                "there is no HTTP client (give one to `RequestOptions::http`, or enable the feature `ureq`)";
            Err(Error::new(crate::error::ErrorKind::Configuration, doing.to_owned(), wrong))
        }
    }
}

impl fmt::Debug for RequestOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestOptions")
            .field("prover", &self.prover)
            .field("accept_bearer", &self.accept_bearer)
            .field("prove_revocation", &self.prove_revocation)
            .finish_non_exhaustive()
    }
}
