//! What goes over the wire: the HTTP client, what it is given, and how its responses are read.

use std::fmt;
use std::ops::Deref;

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::client::Credentials;
use crate::error::{Error, ErrorKind, OAuthError};
use crate::json;
use crate::url::{self, Url};

/// Something that sends one HTTP request and gives the response, whatever its status.
///
/// `Transport` (feature `ureq`) is one. Implement it to use another HTTP client: never follow redirects, never
/// retry by yourself, bound time and size, and leave error statuses as responses.
pub trait HttpClient: Send + Sync {
    /// Sends the request.
    ///
    /// # Errors
    /// [`Error::transport`], [`Error::timeout`] or [`Error::too_large`] when there is no response.
    fn send(&self, request: Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error>;

    /// Whether it shows a certificate of the client in TLS handshakes; `None` when it cannot tell.
    fn has_client_certificate(&self) -> Option<bool> {
        None
    }
}

/// The body of a request: wiped when dropped, not shown by `Debug`, since it may hold a secret or an assertion.
#[derive(Clone, Default)]
pub struct RequestBody(Zeroizing<Vec<u8>>);

impl From<Vec<u8>> for RequestBody {
    fn from(octets: Vec<u8>) -> Self {
        Self(Zeroizing::new(octets))
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
    /// For an HTTP client that wants to own it. The copy is not wiped.
    fn from(body: RequestBody) -> Self {
        body.0.to_vec()
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestBody({} octets)", self.0.len())
    }
}

/// What to do after a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// Ask for the request once more and send it.
    SendAgain,
    /// Nothing more to send.
    Done(T),
}

/// A POST of a form with the credentials of a client.
pub(crate) fn form_request(
    endpoint: &Url,
    fields: &[(String, Zeroizing<String>)],
    credentials: Credentials,
) -> Result<Request<RequestBody>, Error> {
    let uri =
        endpoint.to_uri().map_err(|why| url::refused(ErrorKind::Url, "endpoint", endpoint.htu(), why))?;
    let fields = fields.iter().map(|(name, value)| (name.as_str(), value));
    let pairs = || fields.clone().chain(credentials.fields.iter().map(|(name, value)| (*name, value)));
    // Room for every character escaped, so that no secret is left behind when it grows.
    let room = pairs().map(|(name, value)| (name.len() + value.len()) * 3 + 2).sum();
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(room));
    form.extend_pairs(pairs().map(|(name, value)| (name, value.as_str())));
    let mut request = Request::new(RequestBody::from(form.finish().into_bytes()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.extend(credentials.headers);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    Ok(request)
}

/// The statuses that challenges come with: 401, and 400 from token endpoints and some resource servers.
pub(crate) fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED)
}

pub(crate) fn refuse_redirect(status: StatusCode, doing: String) -> Result<(), Error> {
    if !status.is_redirection() {
        return Ok(());
    }
    let wrong = format!(
        "the server answered with the redirect {}, and a redirect is never followed with a proof or a secret",
        status.as_u16()
    );
    Err(Error::new(ErrorKind::Redirect { status: status.as_u16() }, doing, wrong))
}

/// Whether a body may be read as JSON: said to be, or nothing said, or only said to be text as some servers do.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json"
        || essence == "text/plain"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The OAuth error of a response (RFC 6749 §5.2), if its status and its body are those of one.
pub(crate) fn oauth_error(response: &http::Response<Vec<u8>>) -> Option<OAuthError> {
    let status = response.status();
    let possible = status.is_client_error() || status.is_server_error();
    (possible && is_json(response.headers())).then(|| parse_oauth_error(status, response.body())).flatten()
}

pub(crate) fn parse_oauth_error(status: StatusCode, body: &[u8]) -> Option<OAuthError> {
    let mut members = json::object(body).ok()?;
    let mut text = |name: &str| match members.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let error = text("error")?;
    let plain = |b: u8| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if error.is_empty() || error.len() > 200 || !error.bytes().all(plain) {
        return None;
    }
    Some(OAuthError::new(status.as_u16(), error, text("error_description"), text("error_uri")))
}
