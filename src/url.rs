//! URLs that client and server read in the same way (RFC 3986).
//!
//! The `url` crate follows the WHATWG rules and repairs its input (backslashes, tabs, `https:host`,
//! `0x7f.1`), while the HTTP client sends the input as it is. `http::Uri` accepts more than RFC 3986 does. A
//! proof must name exactly the URL that the server receives. Therefore a URL that does not follow RFC 3986 to
//! the letter is refused here, and the text that is made from its components is both sent and signed.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::{Error, ErrorKind};
use crate::text::{is_pchar, is_unreserved, is_uri_scheme, printable};

/// A parsed absolute URL with a host. Scheme and host are in lower case, a default port is dropped, and an
/// empty path becomes `/`. Everything else is kept as it was written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// Such as `https://host:port/path`.
    text: String,
    host_start: usize,
    path_start: usize,
    query: Option<String>,
    fragment: bool,
}

const NOT_HTTPS: &str =
    "it is not https (plain http is for loopback, where `dangerous_allow_http_on_loopback` allows it)";

/// Whether plain http is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum PlainHttp {
    #[default]
    Refused,
    OnLoopback,
}

impl Url {
    /// Parses an absolute URL of any scheme.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(bad) = text.bytes().find(|b| !b.is_ascii_graphic()) {
            return Err(match bad {
                b' ' | b'\t' | b'\r' | b'\n' => "it contains white space",
                0x80.. => {
                    "it contains characters that are not ASCII: use percent-encoding in the path and Punycode in the host"
                }
                _ => "it contains control characters",
            });
        }
        let (scheme, rest) =
            text.split_once("://").ok_or("it is not an absolute URL such as https://host/path")?;
        if !is_uri_scheme(scheme) {
            return Err("its scheme is malformed");
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).ok_or("it is malformed")?;
        let (rest, fragment) = match rest.split_once('#') {
            Some((rest, fragment)) => {
                check_chars(fragment, b"?")
                    .map_err(|()| "its fragment has a character that must be percent-encoded")?;
                (rest, true)
            }
            None => (rest, false),
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        check_path(path)?;

        let (host, port) = split_authority(authority)?;
        // One more byte for the path `/`: no other component becomes longer.
        let mut url = String::with_capacity(text.len().saturating_add(1));
        push_lowercase(&mut url, scheme);
        url.push_str("://");
        let host_start = url.len();
        push_normal_host(&mut url, host)?;
        match (port, url.get(..host_start)) {
            (None, _) | (Some(443), Some("https://")) | (Some(80), Some("http://")) => {}
            (Some(port), _) => {
                // Writing to a String cannot fail.
                let _ = write!(url, ":{port}");
            }
        }
        let path_start = url.len();
        url.push_str(if path.is_empty() { "/" } else { path });
        Ok(Self { text: url, host_start, path_start, query, fragment })
    }

    /// Parses an https or http URL without dot segments: for proofs that are made or verified by hand.
    pub(crate) fn http(text: &str) -> Result<Self, &'static str> {
        let url = Self::parse(text)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(NOT_HTTPS);
        }
        url.without_dot_segments()
    }

    /// Refuses a URL with dot segments.
    fn without_dot_segments(self) -> Result<Self, &'static str> {
        let is_dots = |segment| matches!(&*decode_unreserved(segment), "." | "..");
        match self.may_have_dot_segments() && self.path().split('/').any(is_dots) {
            true => Err(
                "its path has dot segments, which servers resolve in different ways: write the path without them",
            ),
            false => Ok(self),
        }
    }

    /// Returns the URL of a path, which begins with a slash and has no dot segments, at the origin of this
    /// one.
    pub(crate) fn at_path(&self, path: &str) -> Result<Self, &'static str> {
        check_path(path)?;
        let text = [self.origin(), path].concat();
        Self { text, query: None, fragment: false, ..*self }.without_dot_segments()
    }

    /// Parses a URL that requests may be sent to: like [`http`](Self::http), but plain http only where `http`
    /// allows it.
    pub(crate) fn target(text: &str, http: PlainHttp) -> Result<Self, &'static str> {
        let url = Self::http(text)?;
        if url.scheme() == "http" {
            match http {
                PlainHttp::Refused => return Err(NOT_HTTPS),
                PlainHttp::OnLoopback if !url.is_loopback() => {
                    return Err("plain http is allowed on loopback only");
                }
                PlainHttp::OnLoopback => {}
            }
        }
        Ok(url)
    }

    /// Parses `scheme://host[:port]` with the scheme http or https.
    pub(crate) fn origin_alone(text: &str) -> Result<Self, &'static str> {
        let url = Self::http(text)?;
        match (url.path(), &url.query, url.fragment) {
            ("/", None, false) => Ok(url),
            _ => Err("it is not an origin (scheme, host and port only, such as https://api.example.com)"),
        }
    }

    /// Checks that the query follows RFC 3986, too. A URL that requests are sent to need not: the query is
    /// not part of a proof, and many APIs use characters such as brackets in it.
    pub(crate) fn with_clean_query(self) -> Result<Self, &'static str> {
        match check_chars(self.query().unwrap_or_default(), b"?") {
            Ok(()) => Ok(self),
            Err(()) => Err("its query has a character that must be percent-encoded"),
        }
    }

    /// Refuses a URL with a fragment.
    pub(crate) fn without_fragment(self) -> Result<Self, &'static str> {
        match self.fragment {
            true => Err("it has a fragment"),
            false => Ok(self),
        }
    }

    pub(crate) fn scheme(&self) -> &str {
        self.text.get(..self.host_start.saturating_sub(3)).unwrap_or_default()
    }

    /// Returns `scheme://host[:port]`.
    pub(crate) fn origin(&self) -> &str {
        self.text.get(..self.path_start).unwrap_or_default()
    }

    pub(crate) fn path(&self) -> &str {
        self.text.get(self.path_start..).unwrap_or_default()
    }

    pub(crate) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    pub(crate) fn host(&self) -> &str {
        let host = self.text.get(self.host_start..self.path_start).unwrap_or_default();
        match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => host,
        }
    }

    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost" || host == "[::1]" || host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback())
    }

    /// Returns the `htu` of RFC 9449 §4.2: the URL without query and fragment.
    pub(crate) fn htu(&self) -> &str {
        &self.text
    }

    pub(crate) fn into_htu(self) -> String {
        self.text
    }

    /// Returns false if no segment of the path can be `.` or `..`, which is so for most URLs: none begins
    /// with a dot or a percent-encoding.
    fn may_have_dot_segments(&self) -> bool {
        self.path().as_bytes().windows(2).any(|pair| matches!(pair, b"/." | b"/%"))
    }

    /// Returns the URL without its fragment, for an HTTP client.
    pub(crate) fn to_uri(&self) -> Result<http::Uri, &'static str> {
        let uri = match &self.query {
            Some(query) => format!("{}?{query}", self.text).parse(),
            None => self.text.parse(),
        };
        uri.map_err(
            |_| "it is too long for an HTTP client, or its query has characters that HTTP clients refuse",
        )
    }

    /// Returns the form in which two `htu` are compared: normalized by RFC 3986 §6.2.2 and §6.2.3, without
    /// query and fragment.
    pub(crate) fn into_normal_form(self) -> String {
        if !self.may_have_dot_segments() && !self.path().contains('%') {
            return self.text;
        }
        let mut segments = Vec::new();
        // Percent-encodings are decoded first, because `%2e` is a dot.
        let path = decode_unreserved(self.path());
        let mut rest = path.strip_prefix('/').unwrap_or(&path).split('/').peekable();
        while let Some(segment) = rest.next() {
            let last = rest.peek().is_none();
            match segment {
                "." => {}
                ".." => drop(segments.pop()),
                _ => {
                    segments.push(segment);
                    continue;
                }
            }
            if last {
                segments.push("");
            }
        }
        format!("{}/{}", self.origin(), segments.join("/"))
    }
}

impl fmt::Debug for Url {
    /// Writes the URL without its query, which may contain a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.htu())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.htu())
    }
}

/// Returns the error for a URL that a caller gave or a server sent.
pub(crate) fn refused(kind: ErrorKind, what: &str, text: &str, why: &'static str) -> Error {
    // Userinfo and query may contain a secret, so they are not shown.
    let shown = text.split(['?', '#']).next().unwrap_or_default();
    let shown = match text.contains('@') && !why.contains("dot segments") {
        true => "(with an @)".to_owned(),
        false => printable(shown, 200),
    };
    Error::new(kind, format!("reading the {what} {shown}"), why)
}

/// Returns whether the authority of an absolute URL has user information (RFC 3986 §3.2.1), whatever
/// else is wrong with it.
pub(crate) fn has_user_information(text: &str) -> bool {
    let authority = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    authority.is_some_and(|authority| authority.contains('@'))
}

fn split_authority(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    if authority.contains('@') {
        return Err("it contains a user name or password");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, ""),
    };
    if host.is_empty() {
        return Err("it has no host");
    }
    if port.is_empty() {
        return Ok((host, None));
    }
    let clean = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    match port.parse() {
        Ok(port) if clean => Ok((host, Some(port))),
        _ => Err("its port is not a number from 1 to 65535"),
    }
}

fn push_lowercase(out: &mut String, text: &str) {
    let start = out.len();
    out.push_str(text);
    if let Some(pushed) = out.get_mut(start..) {
        pushed.make_ascii_lowercase();
    }
}

/// Appends the host in the form in which two hosts are compared.
fn push_normal_host(out: &mut String, host: &str) -> Result<(), &'static str> {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        let address = address.ok_or("its IPv6 address is malformed")?;
        // Writing to a String cannot fail.
        let _ = write!(out, "[{address}]");
        return Ok(());
    }
    let start = out.len();
    push_lowercase(out, host);
    let host = out.get(start..).unwrap_or_default();
    let name = host.strip_suffix('.').unwrap_or(host);
    let labels_ok = name.split('.').all(|label| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    });
    if !labels_ok || host.len() > 254 {
        return Err("its host is not a DNS name or an IP address");
    }
    // Some resolvers take 0x7f.1, 2130706433 and 127.1 for 127.0.0.1, others take them for names.
    let last = name.rsplit('.').next().unwrap_or_default();
    let number = match last.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|b| b.is_ascii_hexdigit()),
        None => last.bytes().all(|b| b.is_ascii_digit()),
    };
    if number && (name.len() != host.len() || name.parse::<Ipv4Addr>().is_err()) {
        return Err("its host is a number that is not a dotted IPv4 address");
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), &'static str> {
    check_chars(path, b"").map_err(|()| {
        "its path has a character that must be percent-encoded (browsers leave |, [, ] and ^ as they are: \
         use encodeURIComponent)"
    })
}

/// Checks that a path, query or fragment consists of `pchar`, `/` and the characters of `more` (RFC 3986 §3.3
/// to §3.5).
fn check_chars(text: &str, more: &[u8]) -> Result<(), ()> {
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        let fine = match b {
            b'%' => {
                bytes.next().is_some_and(|b| b.is_ascii_hexdigit())
                    && bytes.next().is_some_and(|b| b.is_ascii_hexdigit())
            }
            _ => is_pchar(b) || b == b'/' || more.contains(&b),
        };
        if !fine {
            return Err(());
        }
    }
    Ok(())
}

/// Decodes the percent-encodings of unreserved characters and writes the others in upper case (RFC 3986
/// §6.2.2.1, §6.2.2.2).
fn decode_unreserved(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len());
    let mut parts = path.split('%');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (hex, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        match u8::from_str_radix(hex, 16) {
            Ok(b) if is_unreserved(b) => out.push(char::from(b)),
            _ => {
                out.push('%');
                out.push_str(&hex.to_ascii_uppercase());
            }
        }
        out.push_str(rest);
    }
    Cow::Owned(out)
}
