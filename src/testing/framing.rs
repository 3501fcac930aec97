//! Where a request ends (RFC 9112 §6). Servers and proxies that disagree about that can be made to read a
//! request that nobody sent, so deployed servers refuse what is ambiguous.

use std::io;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Uri, header};

/// The head of a request.
pub(super) struct Head {
    pub(super) parts: Parts,
    /// The request target exactly as it was received.
    pub(super) target: String,
    pub(super) is_http_1_0: bool,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

impl Head {
    pub(super) fn parse(head: &httparse::Request<'_, '_>) -> io::Result<Self> {
        let invalid = |error: http::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let target = head.path.unwrap_or_default().to_owned();
        let method = head.method.unwrap_or_default();
        let method = Method::from_bytes(method.as_bytes()).map_err(|error| invalid(error.into()))?;
        let uri: Uri = target.parse().map_err(|error: http::uri::InvalidUri| invalid(error.into()))?;
        let (mut parts, ()) = http::Request::new(()).into_parts();
        (parts.method, parts.uri) = (method, uri);
        for field in head.headers.iter() {
            let name =
                HeaderName::from_bytes(field.name.as_bytes()).map_err(|error| invalid(error.into()))?;
            let value = HeaderValue::from_bytes(field.value).map_err(|error| invalid(error.into()))?;
            parts.headers.append(name, value);
        }
        Ok(Self { parts, target, is_http_1_0: head.version == Some(0) })
    }
}

impl Framing {
    /// Returns `None` for a request that a server has to refuse with 400.
    pub(super) fn new(parts: &Parts, target: &str, is_http_1_0: bool) -> Option<Self> {
        let values = |name: HeaderName| parts.headers.get_all(name).iter().collect::<Vec<_>>();
        // RFC 9112 §3.2: one valid `Host`, which HTTP/1.0 may leave out.
        match values(header::HOST).as_slice() {
            [host] if is_host(host) => {}
            [] if is_http_1_0 => {}
            _ => return None,
        }
        // RFC 9112 §3.2: a request target has no fragment.
        if target.contains('#') {
            return None;
        }
        match (values(header::TRANSFER_ENCODING).as_slice(), values(header::CONTENT_LENGTH).as_slice()) {
            ([], []) => Some(Self::Length(0)),
            ([], [length]) => content_length(length).map(Self::Length),
            // RFC 9112 §6.1: not with `Content-Length`, not in HTTP/1.0, and `chunked` is the only coding
            // here.
            ([coding], []) if !is_http_1_0 && coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
                Some(Self::Chunked)
            }
            _ => None,
        }
    }
}

/// Parses digits only (RFC 9110 §8.6): `u64` would accept a sign.
fn content_length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Returns whether a value is `host[:port]` (RFC 9110 §7.2).
fn is_host(value: &HeaderValue) -> bool {
    let authority = value.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
    authority.is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'))
}

/// Returns whether the comma-separated list of a header field has a member, compared without regard to case.
pub(super) fn has_list_member(parts: &Parts, name: &HeaderName, member: &str) -> bool {
    let values = parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(member))
}
