//! The origin that a proxy names in `Forwarded` (RFC 7239), or in `X-Forwarded-Proto`, `X-Forwarded-Host`
//! and `X-Forwarded-Port`.

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderValue, header};

use crate::server::forwarded::parse_forwarded;
use crate::server::reason::Reason;

const UNCLEAR: Reason =
    Reason::Credentials { detail: "the proxy names several origins, or one that cannot be read" };

/// Returns the origin that a proxy names, if it names one.
///
/// The proxy names the scheme. Where it does not name the host, it has passed on the `Host` of the client.
pub(super) fn forwarded_origin(parts: &Parts) -> Result<Option<String>, Reason> {
    let mut proto = single(parts, "x-forwarded-proto")?.map(Cow::Borrowed);
    let mut host = single(parts, "x-forwarded-host")?.map(Cow::Borrowed);
    let port = single(parts, "x-forwarded-port")?;
    if parts.headers.contains_key(header::FORWARDED) {
        if proto.is_some() || host.is_some() || port.is_some() {
            return Err(UNCLEAR);
        }
        (proto, host) = forwarded(parts)?;
    }
    let proto = match (proto, &host, port) {
        (None, None, None) => return Ok(None),
        (Some(proto), ..) => proto,
        _ => return Err(UNCLEAR),
    };
    let host = match host {
        Some(host) => host,
        None => Cow::Borrowed(requested_host(parts)?),
    };
    match port {
        None => Ok(Some(format!("{proto}://{host}"))),
        // A port that the host names as well must be the same.
        Some(port) => match (port_of(&host), is_port(port)) {
            (_, false) => Err(UNCLEAR),
            (None, true) => Ok(Some(format!("{proto}://{host}:{port}"))),
            (Some(own), true) if own == port => Ok(Some(format!("{proto}://{host}"))),
            (Some(_), true) => Err(UNCLEAR),
        },
    }
}

type ProtoAndHost<'a> = (Option<Cow<'a, str>>, Option<Cow<'a, str>>);

/// Returns what the nearest proxy wrote into `Forwarded`: the last element of the last field (RFC 7239
/// §4). An origin in any other element was written by somebody else, who need not be trusted, and makes
/// the field ambiguous.
fn forwarded(parts: &Parts) -> Result<ProtoAndHost<'static>, Reason> {
    let mut elements = Vec::new();
    for field in parts.headers.get_all(header::FORWARDED) {
        elements.append(&mut parse_forwarded(field.as_bytes()).ok_or(UNCLEAR)?);
    }
    let last = elements.pop().unwrap_or_default();
    if elements.iter().any(|element| element.proto.is_some() || element.host.is_some()) {
        return Err(UNCLEAR);
    }
    Ok((last.proto.map(Cow::Owned), last.host.map(Cow::Owned)))
}

/// Returns the value of a field that occurs at most once and is not a list.
fn single<'a>(parts: &'a Parts, name: &str) -> Result<Option<&'a str>, Reason> {
    let mut fields = parts.headers.get_all(name).iter();
    match (fields.next().map(HeaderValue::to_str), fields.next()) {
        (None, _) => Ok(None),
        (Some(Ok(field)), None) if !field.contains(',') => Ok(Some(field.trim())),
        _ => Err(UNCLEAR),
    }
}

/// Returns the host that the request names: its `Host`, or `:authority` in HTTP/2 (RFC 9113 §8.3.1).
/// Where a request has both, they must be the same.
fn requested_host(parts: &Parts) -> Result<&str, Reason> {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    match (single(parts, "host")?, authority) {
        (Some(host), None) | (None, Some(host)) => Ok(host),
        (Some(host), Some(authority)) if host.eq_ignore_ascii_case(authority) => Ok(host),
        _ => Err(UNCLEAR),
    }
}

/// Returns the port of `host [ ":" port ]`. The colons of an IPv6 address are inside brackets.
fn port_of(host: &str) -> Option<&str> {
    host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.contains(']'))
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
