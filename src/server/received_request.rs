//! The request data a proof is compared with.

use http::{HeaderMap, Method};

use crate::dpop::header_names::DPOP;
use crate::dpop::htu::Htu;
use crate::error::{Error, ErrorKind};
use crate::url::{self, Url};

/// What of a received request a proof must agree with.
#[derive(Clone)]
pub struct ReceivedRequest<'a> {
    pub(super) method: &'a Method,
    pub(super) url: Htu,
    pub(super) proofs: Vec<&'a [u8]>,
}

impl<'a> ReceivedRequest<'a> {
    /// A request to `url`, the server's own public URL of the target (query and fragment do not matter), taken from its
    /// configuration: `Host` and `X-Forwarded-*` say what the sender likes.
    ///
    /// # Errors
    /// [`Url`](crate::ErrorKind::Url) when `url` is not one.
    pub fn new(method: &'a Method, url: &str, headers: &'a HeaderMap) -> Result<Self, Error> {
        let proofs = headers.get_all(DPOP).iter().map(http::HeaderValue::as_bytes).collect();
        Self::from_fields(method, url, proofs)
    }

    /// The same from the parts of an [`http::Request`] as it came, before a router takes a prefix off its path: `origin` is the server's own, such as `https://api.example.com`,
    /// the path is the request's. A host that the request names by itself is not looked at.
    ///
    /// # Errors
    /// [`Url`](crate::ErrorKind::Url) when `origin` is not scheme, host and port alone, or the path cannot be in a URL:
    /// answer 400.
    pub fn from_parts(origin: &str, parts: &'a http::request::Parts) -> Result<Self, Error> {
        let refuse = |text: &str, why| url::refused(ErrorKind::Url, "URL of a request", text, why);
        let origin = Url::origin_alone(origin).map_err(|why| refuse(origin, why))?;
        let path = parts.uri.path();
        if !path.starts_with('/') {
            return Err(refuse(path, "its path does not begin with a slash"));
        }
        // Routers take dot segments as they stand, or resolve them; the proof would not say which resource is meant.
        Url::http(&format!("{}{path}", origin.origin())).map_err(|why| refuse(path, why))?;
        Self::new(&parts.method, &format!("{}{path}", origin.origin()), &parts.headers)
    }

    /// The same from the values of all `DPoP` header fields, for servers without the `http` crate.
    ///
    /// # Errors
    /// [`Url`](crate::ErrorKind::Url) when `url` is not one.
    pub fn from_fields(method: &'a Method, url: &str, proofs: Vec<&'a [u8]>) -> Result<Self, Error> {
        // Queries come as clients write them, and do not matter here.
        let url = url.split(['?', '#']).next().unwrap_or_default().parse()?;
        Ok(Self { method, url, proofs })
    }
}

impl std::fmt::Debug for ReceivedRequest<'_> {
    /// Without the proofs, which may not have been used yet.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceivedRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("proofs", &self.proofs.len())
            .finish()
    }
}
