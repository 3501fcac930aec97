//! The HTTP client that requests are sent with, and the secret parts of requests.

use std::fmt;
use std::ops::Deref;

use http::{HeaderValue, Request};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// A blocking HTTP client that sends one request and returns the response, whatever its status.
///
/// `Transport` (feature `ureq`) implements it. An implementation for another HTTP client must never follow
/// redirects, must never retry, must limit time and size, and must return responses with error statuses.
///
/// ```
/// use std::time::Duration;
/// use possession::{Error, HttpClient, RemainingTime, RequestBody};
///
/// struct MyClient;
///
/// impl HttpClient for MyClient {
///     fn send(&self, request: http::Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error> {
///         let own_limit = Duration::from_secs(30);
///         let remaining = request.extensions().get();
///         let timeout = remaining.map_or(own_limit, |RemainingTime(time)| own_limit.min(*time));
///         let (head, body) = request.into_parts();
///         my_http::send(head, &body, timeout).map_err(Error::transport)
///     }
/// }
/// # mod my_http {
/// #     use std::{io::Result, time::Duration};
/// #     pub fn send(_: http::request::Parts, _: &[u8], _: Duration) -> Result<http::Response<Vec<u8>>> {
/// #         Ok(http::Response::default())
/// #     }
/// # }
/// ```
pub trait HttpClient: Send + Sync {
    /// Sends the request. If its extensions have a [`RemainingTime`], the call ends by then: an
    /// implementation that takes longer holds its calling thread past the deadline of the session.
    ///
    /// # Errors
    /// [`Error::transport`], [`Error::timeout`] or [`Error::too_large`] when there is no response.
    fn send(&self, request: Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error>;

    /// Returns whether the client presents a certificate in TLS handshakes; `None` if that is not known.
    fn has_client_certificate(&self) -> Option<bool> {
        None
    }
}

/// The body of a request. It may contain a secret or an assertion, so it is wiped when dropped and not shown
/// by `Debug`.
///
/// ```
/// use possession::RequestBody;
///
/// let body = RequestBody::from(b"grant_type=client_credentials".to_vec());
/// assert_eq!(body.len(), 29);
/// assert_eq!(format!("{body:?}"), "RequestBody(29 bytes)");
/// ```
#[derive(Clone, Default)]
pub struct RequestBody(Zeroizing<Vec<u8>>);

impl From<Vec<u8>> for RequestBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl Deref for RequestBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for RequestBody {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<RequestBody> for Vec<u8> {
    /// Copies the body for an HTTP client that needs to own it. The copy is not wiped.
    fn from(body: RequestBody) -> Self {
        body.0.to_vec()
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestBody({} bytes)", self.0.len())
    }
}

/// Creates a header value that `Debug` does not show.
pub(crate) fn sensitive(value: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        Error::new(
            ErrorKind::Parameter,
            "writing a header",
            "the value has characters that no header field can carry",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The time that a request may still take, in the extensions of the requests that a
/// [`Session`](crate::Session) sends to the authorization server: what is left of the call's deadline. An
/// [`HttpClient`] should end the request with [`Error::timeout`] by then.
///
/// ```
/// use std::time::Duration;
/// use possession::{RemainingTime, RequestBody};
///
/// fn timeout(request: &http::Request<RequestBody>) -> Duration {
///     let own_limit = Duration::from_secs(30);
///     request.extensions().get().map_or(own_limit, |RemainingTime(remaining)| own_limit.min(*remaining))
/// }
/// # assert_eq!(timeout(&http::Request::default()), Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemainingTime(pub std::time::Duration);
