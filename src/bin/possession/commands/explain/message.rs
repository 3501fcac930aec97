//! Requests and responses as tools print them: the header block, and what comes after it.

use std::time::SystemTime;

use possession::{Challenge, Htu};
use serde_json::Value;

/// The fields of a request, a response or both that matter here.
#[derive(Default)]
pub struct Message {
    pub method: Option<String>,
    /// The request target (RFC 9112 §3.2).
    target: Option<String>,
    scheme: Option<String>,
    host: Option<String>,
    pub proofs: Vec<String>,
    pub authorization: Vec<String>,
    pub challenges: Vec<String>,
    pub nonce: Option<String>,
    /// When the response was made.
    pub date: Option<SystemTime>,
    pub body: String,
}

impl Message {
    /// Reads header fields: alone, in what `curl -i` and `curl -v` print, or in a request as it is sent.
    /// `None` if the text has no field that is known here.
    pub fn read(text: &str) -> Option<Self> {
        // `curl -v` marks every line, and adds its own.
        let is_marked = |line: &str| line.starts_with("> ") || line.starts_with("< ");
        let is_verbose = text.lines().any(is_marked);
        let mut message = Self::default();
        let (mut is_known, mut is_body) = (false, false);
        let mut last: Option<String> = None;
        for line in text.lines() {
            // Beside them there is the body, and before it what the tool says.
            let (line, is_noise) = match line.strip_prefix(['>', '<']).filter(|_| is_verbose) {
                Some(rest) => (rest.strip_prefix(' ').unwrap_or(rest), false),
                None => (line, is_verbose && (!is_body || line.starts_with(['*', '}']))),
            };
            if is_noise {
                continue;
            }
            if let Some(start) = StartLine::read(line) {
                is_known = true;
                is_body = false;
                message.begin(start);
                last = None;
            } else if is_body {
                message.body.push_str(line);
                message.body.push('\n');
            } else if line.trim().is_empty() {
                is_body = is_known;
            } else if let Some(more) = line.strip_prefix([' ', '\t']) {
                // A field may go on in the next line (RFC 9112 §5.2).
                message.field(last.as_deref()?, more.trim(), true);
            } else {
                let at = line.get(1..)?.find(':')?.checked_add(1)?;
                let (name, value) = (line.get(..at)?.trim(), line.get(at..)?.strip_prefix(':')?.trim());
                let is_name = name.bytes().all(|byte| byte.is_ascii_graphic());
                let name = is_name.then(|| name.to_ascii_lowercase())?;
                is_known |= message.field(&name, value, false);
                last = Some(name);
            }
        }
        is_known.then_some(message)
    }

    /// Begins with another request or response. Of several responses, the last one is explained.
    fn begin(&mut self, start: StartLine) {
        self.body.clear();
        match start {
            StartLine::Request { method, target } => {
                let (method, target) = (Some(method), Some(target));
                *self = Self { method, target, ..Self::default() };
            }
            StartLine::Response => {
                self.challenges.clear();
                (self.nonce, self.date) = (None, None);
            }
        }
    }

    /// Takes a field, and returns whether it is known here.
    fn field(&mut self, name: &str, value: &str, is_continued: bool) -> bool {
        let of_several = match name {
            "dpop" => Some(&mut self.proofs),
            "authorization" => Some(&mut self.authorization),
            "www-authenticate" => Some(&mut self.challenges),
            _ => None,
        };
        if let Some(values) = of_several {
            match values.last_mut().filter(|_| is_continued) {
                Some(last) => *last = format!("{last} {value}"),
                None => values.push(value.to_owned()),
            }
            return true;
        }
        if name == "date" {
            self.date = httpdate::parse_http_date(value).ok();
            return false;
        }
        let single = match name {
            "dpop-nonce" => &mut self.nonce,
            "host" | ":authority" => &mut self.host,
            ":method" => &mut self.method,
            ":path" => &mut self.target,
            ":scheme" => &mut self.scheme,
            _ => return false,
        };
        *single = Some(value.to_owned());
        name == "dpop-nonce"
    }

    /// Returns the nonce that the response demands (RFC 9449 §8, §9).
    pub fn demanded_nonce(&self) -> Option<&str> {
        let fields = self.challenges.iter().filter_map(|field| Challenge::parse(field.as_bytes()).ok());
        let mut challenges = fields.flatten();
        let body = serde_json::from_str::<Value>(&self.body).ok();
        let is_demand = |code: Option<&str>| code == Some("use_dpop_nonce");
        let is_demanded = challenges.any(|challenge| is_demand(challenge.param("error")))
            || is_demand(body.as_ref().and_then(|body| body.get("error")?.as_str()));
        self.nonce.as_deref().filter(|_| is_demanded)
    }

    /// Returns the URL of the request. Where the scheme is not known, it is that of `htu`.
    pub fn url(&self, htu: Option<&str>) -> Option<String> {
        let target = self.target.as_deref()?;
        let url = match target.starts_with('/') {
            false => target.to_owned(),
            true => {
                let is_http = htu.is_some_and(|htu| htu.starts_with("http://"));
                let scheme = self.scheme.as_deref().unwrap_or(if is_http { "http" } else { "https" });
                format!("{scheme}://{}{target}", self.host.as_deref()?)
            }
        };
        url.parse::<Htu>().is_ok().then_some(url)
    }

    /// Returns whether the message says which scheme the URL has.
    pub fn has_scheme(&self) -> bool {
        self.scheme.is_some() || self.target.as_deref().is_some_and(|target| !target.starts_with('/'))
    }
}

enum StartLine {
    Request { method: String, target: String },
    Response,
}

impl StartLine {
    fn read(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            [version, ..] if version.starts_with("HTTP/") => Some(Self::Response),
            [method, target, version] if version.starts_with("HTTP/") => {
                Some(Self::Request { method: (*method).to_owned(), target: (*target).to_owned() })
            }
            _ => None,
        }
    }
}
