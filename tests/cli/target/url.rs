//! The comparison of `htu` with the URL of the request.

use super::fault::{Check, Excess, Fault};

struct Parts {
    scheme: String,
    user: Option<String>,
    host: String,
    port: String,
    has_port: bool,
    path: String,
    query: bool,
    fragment: bool,
}

fn split(url: &str) -> Option<Parts> {
    let (scheme, rest) = url.split_once("://")?;
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(authority_end);
    let path_end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, authority),
    };
    let (host, port, has_port) = match host.rsplit_once(':') {
        Some((host, port)) => (host, port, true),
        None => (host, if scheme.eq_ignore_ascii_case("https") { "443" } else { "80" }, false),
    };
    Some(Parts {
        scheme: scheme.to_owned(),
        user,
        host: host.to_owned(),
        port: port.to_owned(),
        has_port,
        path: rest[..path_end].to_owned(),
        query: rest.contains('?'),
        fragment: rest.contains('#'),
    })
}

/// Returns whether `htu` names the URL of the request, which has an origin and a path.
pub fn is_same_url(fault: Fault, htu: &str, url: &str) -> bool {
    let right = split(url).unwrap();
    if htu.is_empty() {
        return !fault.makes(Check::HtuNotEmpty);
    }
    let Some(actual) = split(htu) else {
        return !fault.makes(Check::HtuAbsolute) && htu == right.path;
    };
    let is_too_much = actual.query && fault.refuses(Excess::HtuQuery)
        || actual.fragment && fault.refuses(Excess::HtuFragment)
        || (&actual.scheme, &actual.host) != (&right.scheme, &right.host) && fault.refuses(Excess::HtuCase)
        || actual.has_port != right.has_port && fault.refuses(Excess::HtuDefaultPort);
    let scheme = actual.scheme.eq_ignore_ascii_case(&right.scheme) || !fault.makes(Check::HtuScheme);
    let host = actual.host.eq_ignore_ascii_case(&right.host) || !fault.makes(Check::HtuHost);
    let port = actual.port == right.port || !fault.makes(Check::HtuPort);
    let user = actual.user.is_none() || !fault.makes(Check::NoUserInformation);
    !is_too_much && scheme && host && port && user && is_same_path(fault, &actual.path, &right.path)
}

fn is_same_path(fault: Fault, actual: &str, right: &str) -> bool {
    let segments = |path: &str| -> Vec<String> {
        path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
    };
    actual == right
        || !fault.makes(Check::HtuPath)
        || !fault.makes(Check::HtuPathCase) && actual.eq_ignore_ascii_case(right)
        || !fault.makes(Check::HtuSlashes) && segments(actual) == segments(right)
        || !fault.makes(Check::HtuEnd) && actual.starts_with(right)
}
