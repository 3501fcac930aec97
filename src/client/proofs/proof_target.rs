//! The method and URL that a proof names in place of those of the request.

use http::Method;

use crate::error::{Error, ErrorKind};
use crate::url::{self, Url};

/// The method and URL that a proof names in place of those of the request. It is for a proxy that rewrites
/// the method or the URL, in front of a server that compares proofs with what it receives. Put it into the
/// extensions of a request, or give it to
/// [`ResourceRequest::proof_target`](crate::ResourceRequest::proof_target).
///
/// ```
/// use possession::ProofTarget;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The gateway forwards this request as /internal/orders. Send it with `Session::run`.
/// let request = http::Request::get("https://gateway.example.com/v1/orders")
///     .extension(ProofTarget::new(http::Method::GET, "https://api.example.com/internal/orders")?)
///     .body(())?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofTarget {
    pub(crate) method: Method,
    pub(crate) url: Url,
}

impl ProofTarget {
    /// Takes the method and the URL as the server sees them. Query and fragment are left out of the proof.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) for a URL that client and server may read differently.
    pub fn new(method: Method, url: &str) -> Result<Self, Error> {
        let url = Url::http(url).map_err(|why| url::refused(ErrorKind::Url, "URL of a proof", url, why))?;
        Ok(Self { method, url })
    }
}
