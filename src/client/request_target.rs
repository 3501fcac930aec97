//! The method and URL of a request.

use std::fmt;

use http::Method;

use crate::client::proofs::proof_target::ProofTarget;
use crate::dpop::proof::Proof;
use crate::error::{Error, ErrorKind};
use crate::oauth::metadata::AuthorizationServer;
use crate::url::{self, Url};

/// The method and URL of a request, and the method and URL that its proofs name, where those differ.
#[derive(Clone)]
pub(crate) struct RequestTarget {
    pub(crate) method: Method,
    pub(crate) url: Url,
    proof_target: Option<ProofTarget>,
}

impl RequestTarget {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self { method, url, proof_target: None }
    }

    /// Checks the URL of a protected resource, for which the metadata of `server` say whether plain http is
    /// allowed.
    pub(crate) fn from_resource_url(
        server: &AuthorizationServer,
        method: Method,
        url: &str,
    ) -> Result<Self, Error> {
        let url = Url::target(url, server.http())
            .map_err(|why| url::refused(ErrorKind::Url, "resource URL", url, why))?;
        Ok(Self::new(method, url))
    }

    pub(crate) fn with_proof_target(self, proof_target: Option<ProofTarget>) -> Self {
        Self { proof_target, ..self }
    }

    /// Returns the URI to send the request to.
    pub(crate) fn uri(&self) -> Result<http::Uri, Error> {
        let refused = |why| url::refused(ErrorKind::Url, "resource URL", self.url.htu(), why);
        self.url.to_uri().map_err(refused)
    }

    /// Returns a proof for this request.
    pub(crate) fn proof(&self) -> Proof<'_> {
        match &self.proof_target {
            Some(target) => Proof::from_url(&target.method, &target.url),
            None => Proof::from_url(&self.method, &self.url),
        }
    }

    /// Returns what a call of this target is called in errors and log records.
    pub(crate) fn calling(&self) -> String {
        format!("calling {self}")
    }
}

impl fmt::Display for RequestTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}
