//! The request data a proof is compared with.

use std::fmt;

use http::{HeaderMap, HeaderValue, Method};

use crate::dpop::header_names::DPOP;
use crate::dpop::htu::Htu;
use crate::error::{Error, ErrorKind};
use crate::url::{self, Url};

/// The request data a proof is compared with: the method, the URL and the `DPoP` header fields.
///
/// ```
/// use possession::server::ReceivedRequest;
///
/// let request = http::Request::post("/token?tenant=1").header("DPoP", "eyJ0eXAiOiJkcG9wK…").body(())?;
/// let (parts, _) = request.into_parts();
/// let request = ReceivedRequest::from_parts("https://server.example.com", &parts)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ReceivedRequest<'a> {
    pub(super) method: &'a Method,
    pub(super) url: Htu,
    pub(super) proofs: Vec<&'a [u8]>,
}

/// What is read, for errors.
const URL_OF_REQUEST: &str = "URL of the request";

impl<'a> ReceivedRequest<'a> {
    /// Creates the request data from the method, the URL and the header fields of a request.
    ///
    /// `url` is the server's own public URL of the target, with or without query and fragment. Take it from
    /// the server's configuration: the sender of the request chooses what `Host` and `X-Forwarded-*` say.
    ///
    /// # Errors
    /// Returns [`Url`](crate::ErrorKind::Url) when `url` is not an http or https URL.
    pub fn new(method: &'a Method, url: &str, headers: &'a HeaderMap) -> Result<Self, Error> {
        Self::from_fields(method, url, proof_fields(headers))
    }

    /// Creates the request data from the parts of an
    /// [`http::Request`](https://docs.rs/http/1/http/request/struct.Request.html) as it was received, before
    /// a router removes a prefix from its path.
    ///
    /// `origin` is the server's own, such as `https://api.example.com`. The path is that of the request. A
    /// host that the request itself names is ignored.
    ///
    /// # Errors
    /// Returns [`Url`](crate::ErrorKind::Url) when `origin` is not scheme, host and port alone, or when the
    /// path cannot be part of a URL. Respond with status 400 to the latter.
    pub fn from_parts(origin: &str, parts: &'a http::request::Parts) -> Result<Self, Error> {
        let url = Url::origin_alone(origin);
        let url = url.map_err(|why| url::refused(ErrorKind::Url, URL_OF_REQUEST, origin, why))?;
        Self::at_origin(&url, parts)
    }

    /// Creates the request data like [`from_parts`](Self::from_parts).
    pub(super) fn at_origin(origin: &Url, parts: &'a http::request::Parts) -> Result<Self, Error> {
        let refuse = |text: &str, why| url::refused(ErrorKind::Url, URL_OF_REQUEST, text, why);
        let path = parts.uri.path();
        if !path.starts_with('/') {
            return Err(refuse(path, "its path does not begin with a slash"));
        }
        // A path with dot segments is refused. Some routers resolve them and others do not, so the proof
        // would not say which resource is meant.
        let url = origin.at_path(path).map_err(|why| refuse(path, why))?;
        Ok(Self { method: &parts.method, url: Htu::from_url(url), proofs: proof_fields(&parts.headers) })
    }

    /// Creates the request data from the values of all `DPoP` header fields, for servers without an
    /// [`http::HeaderMap`](https://docs.rs/http/1/http/header/struct.HeaderMap.html).
    ///
    /// # Errors
    /// Returns [`Url`](crate::ErrorKind::Url) when `url` is not an http or https URL.
    pub fn from_fields(method: &'a Method, url: &str, proofs: Vec<&'a [u8]>) -> Result<Self, Error> {
        // The query is not part of `htu`, and clients may write characters in it that are refused elsewhere.
        let target = url.split(['?', '#']).next().unwrap_or_default();
        let url = Url::parse(target).and_then(|url| match url.scheme() {
            "https" | "http" => Ok(Htu::from_url(url)),
            _ => Err("it is not an http or https URL"),
        });
        let url = url.map_err(|why| url::refused(ErrorKind::Url, URL_OF_REQUEST, target, why))?;
        Ok(Self { method, url, proofs })
    }
}

fn proof_fields(headers: &HeaderMap) -> Vec<&[u8]> {
    headers.get_all(DPOP).iter().map(HeaderValue::as_bytes).collect()
}

impl fmt::Debug for ReceivedRequest<'_> {
    /// Shows the number of proofs only, because a proof that was not accepted yet could still be used.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("proofs", &self.proofs.len())
            .finish()
    }
}
