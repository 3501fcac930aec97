//! What a proof names in place of the request.

use http::Method;

use crate::error::{Error, ErrorKind};
use crate::url::{self, Url};

/// What a proof names in place of the request: for a proxy that rewrites method or URL on the way, and a server that
/// compares proofs with what it receives. Put it into the extensions of a request.
///
/// ```
/// use possession::{ProofTarget, Session};
///
/// # fn call(session: &Session) -> Result<(), Box<dyn std::error::Error>> {
/// // The gateway passes this on as /internal/orders.
/// let request = http::Request::get("https://gateway.example.com/v1/orders")
///     .extension(ProofTarget::new(http::Method::GET, "https://api.example.com/internal/orders")?)
///     .body(())?;
/// let response = session.run(request)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofTarget {
    pub(super) method: Method,
    pub(super) url: Url,
}

impl ProofTarget {
    /// The method and the URL as the server sees them. Query and fragment are left out.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) for a URL that client and server may read differently.
    pub fn new(method: Method, url: &str) -> Result<Self, Error> {
        let url = Url::http(url).map_err(|why| url::refused(ErrorKind::Url, "URL of a proof", url, why))?;
        Ok(Self { method, url })
    }
}
