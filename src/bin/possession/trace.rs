//! Shows requests and responses so that the protocol can be followed, and nothing that is secret.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Mutex;

use base64ct::{Base64UrlUnpadded, Encoding};
use http::{HeaderMap, Request, Response};
use possession::{Error, HttpClient, RequestBody};
use serde_json::Value;

/// Form fields and JSON members that may be shown as they are; every other value is left out.
const SHOWN: [&str; 12] = [
    "grant_type",
    "client_id",
    "scope",
    "resource",
    "audience",
    "client_assertion_type",
    "token_type",
    "expires_in",
    "error",
    "error_description",
    "orders",
    "for_key",
];
const SHOWN_HEADERS: [&str; 6] =
    ["accept", "content-type", "dpop-nonce", "www-authenticate", "location", "date"];

/// An HTTP client that shows what passes through it.
pub struct Traced<H> {
    http: H,
    out: Mutex<Box<dyn Write + Send>>,
}

impl<H: HttpClient> Traced<H> {
    pub fn new(http: H, out: impl Write + Send + 'static) -> Self {
        Self { http, out: Mutex::new(Box::new(out)) }
    }

    pub fn say(&self, text: &str) {
        if let Ok(mut out) = self.out.lock() {
            // A reader that has closed the pipe does not want more.
            let _ = out.write_all(text.as_bytes());
        }
    }
}

impl<H: HttpClient> HttpClient for Traced<H> {
    fn send(&self, request: Request<RequestBody>) -> Result<Response<Vec<u8>>, Error> {
        let uri = request.uri();
        let (scheme, authority) =
            (uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |a| a.as_str()));
        let mut text = format!("  > {} {scheme}://{authority}{}\n", request.method(), uri.path());
        headers(&mut text, '>', request.headers());
        for (name, value) in form_urlencoded::parse(request.body()) {
            let value = match &*name {
                "client_assertion" => jwt(&value),
                name if SHOWN.contains(&name) => plain(&value),
                _ => "(not shown)".to_owned(),
            };
            let _ = writeln!(text, "  >   {name} = {value}");
        }
        self.say(&text);

        let response = self.http.send(request)?;
        let mut text = format!("  < {}\n", response.status());
        headers(&mut text, '<', response.headers());
        if let Ok(Value::Object(members)) = serde_json::from_slice(response.body()) {
            // Nothing in metadata is secret (RFC 8414 §2).
            let is_metadata = ["issuer", "token_endpoint"].iter().all(|name| members.contains_key(*name));
            for (name, value) in members {
                let shown = is_metadata || SHOWN.contains(&name.as_str());
                let value = if shown { plain(&value.to_string()) } else { "(not shown)".to_owned() };
                let _ = writeln!(text, "  <   {} = {value}", plain(&name));
            }
        }
        self.say(&text);
        Ok(response)
    }

    fn has_client_certificate(&self) -> Option<bool> {
        self.http.has_client_certificate()
    }
}

fn headers(text: &mut String, arrow: char, headers: &HeaderMap) {
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let value = match name.as_str() {
            "dpop" => jwt(&value),
            "authorization" => format!("{} (not shown)", value.split(' ').next().unwrap_or_default()),
            name if SHOWN_HEADERS.contains(&name) => plain(&value),
            _ => continue,
        };
        let _ = writeln!(text, "  {arrow} {name}: {value}");
    }
}

/// Header and claims of a JWT. Without its signature it can be shown: it proves nothing.
fn jwt(text: &str) -> String {
    let part = |segment: Option<&str>| {
        let bytes = Base64UrlUnpadded::decode_vec(segment.unwrap_or_default()).unwrap_or_default();
        plain(&String::from_utf8_lossy(&bytes))
    };
    let mut segments = text.split('.');
    format!("a JWT\n  >     header {}\n  >     claims {}", part(segments.next()), part(segments.next()))
}

fn plain(text: &str) -> String {
    text.chars().take(1000).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}
