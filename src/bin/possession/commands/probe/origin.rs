//! Origins of URLs: scheme, host and port.

use std::fmt;
use std::net::IpAddr;

use http::Uri;

/// Scheme, host and port of a URL, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// Returns the origin of a URL of http or https.
    pub fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let port = uri.port_u16().or_else(|| default_port(&scheme))?;
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        default_port(&scheme).map(|_| Self { scheme, host, port })
    }

    fn has_default_port(&self) -> bool {
        default_port(&self.scheme) == Some(self.port)
    }

    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Returns whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.has_default_port() {
            true => Ok(()),
            false => write!(f, ":{}", self.port),
        }
    }
}
