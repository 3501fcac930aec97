//! URLs that differ from another in one part.

use std::fmt;

/// The parts of a URL without query and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlParts {
    pub scheme: String,
    pub host: String,
    /// With its colon; empty if it is the default.
    pub port: String,
    /// It begins with a slash.
    pub path: String,
}

impl UrlParts {
    /// Splits a URL of http or https.
    pub fn read(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let is_port =
            |(_, port): &(&str, &str)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let (host, port) = match authority.rsplit_once(':').filter(is_port) {
            Some((host, port)) => (host, format!(":{port}")),
            None => (authority, String::new()),
        };
        Self { scheme: scheme.to_owned(), host: host.to_owned(), port, path: path.to_owned() }
    }

    /// Writes the port out if it is the default of the scheme.
    pub fn write_port(&mut self) {
        if self.port.is_empty() {
            self.port = if self.scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" }.to_owned();
        }
    }

    /// Changes the case of the first letter of the path.
    pub fn change_case_of_path(&mut self) {
        if let Some(at) = self.path.find(|c: char| c.is_ascii_alphabetic()) {
            let (before, from) = self.path.split_at(at);
            let (letter, after) = from.split_at(1);
            let other = match letter.to_ascii_uppercase() {
                upper if upper == letter => letter.to_ascii_lowercase(),
                upper => upper,
            };
            self.path = [before, &other, after].concat();
        }
    }
}

impl fmt::Display for UrlParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port, path } = self;
        write!(f, "{scheme}://{host}{port}{path}")
    }
}
