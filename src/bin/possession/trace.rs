//! Shows requests and responses so that the protocol can be followed, and nothing that is secret.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Mutex;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use possession::{Error, HttpClient, RequestBody};
use serde_json::Value;

use crate::jwt::{Decoded, NOT_SHOWN, without_secrets};
use crate::secrets::{SHORTEST_VALUE, Secrets};

/// Form fields and members of responses of the authorization server that may be shown as they are. Every
/// other value is left out.
const SHOWN: [&str; 11] = [
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
    "error_uri",
];
/// The members of an error (RFC 6749 §5.2), which resources may send as well.
const ERROR: [&str; 3] = ["error", "error_description", "error_uri"];
const REQUEST_FIELDS: [&str; 4] = ["accept", "content-type", "content-length", "user-agent"];
const RESPONSE_FIELDS: [&str; 6] =
    ["content-type", "dpop-nonce", "www-authenticate", "location", "retry-after", "date"];
/// The longest name of a form field that is shown.
const MAX_NAME: usize = 64;

/// An HTTP client that shows what passes through it.
pub struct Traced<H> {
    http: H,
    out: Mutex<Box<dyn Write + Send>>,
    last: Mutex<Last>,
    /// What was sent and received so far, in case a server repeats it.
    secrets: Mutex<Secrets>,
}

/// What was shown last.
#[derive(Default)]
struct Last {
    purpose: Option<Purpose>,
    /// The nonce with which the server refused the request.
    nonce: Option<String>,
}

/// What a request is for, as far as it can be seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Metadata,
    TokenRequest,
    OtherForm,
    Call,
}

impl<H: HttpClient> Traced<H> {
    pub fn new(http: H, out: impl Write + Send + 'static) -> Self {
        Self { http, out: Mutex::new(Box::new(out)), last: Mutex::default(), secrets: Mutex::default() }
    }

    /// Hides the secrets of the requests and responses so far: a server may repeat them in its errors.
    pub fn hide(&self, text: &str) -> String {
        self.secrets.lock().map_or_else(|_| NOT_SHOWN.to_owned(), |secrets| secrets.hide(text))
    }

    pub fn say(&self, text: &str) {
        if let Ok(mut out) = self.out.lock() {
            // A reader that has closed the pipe does not want more.
            let _ = out.write_all(text.as_bytes());
        }
    }

    /// Describes a response, which may repeat what was sent.
    fn describe(&self, purpose: Purpose, response: &Response<Vec<u8>>) -> String {
        let mut text = format!("  < {}\n", response.status());
        // Without the secrets nothing more can be shown.
        let Ok(mut secrets) = self.secrets.lock() else { return text };
        secrets.add_response(response);
        for (name, value) in response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = match name.as_str() {
                "location" => plain(&secrets.hide(&without_query(&value))),
                name if RESPONSE_FIELDS.contains(&name) => plain(&secrets.hide(&value)),
                _ => continue,
            };
            let _ = writeln!(text, "  < {name}: {value}");
        }
        response_body(&mut text, purpose, response, &secrets);
        text
    }

    /// Returns the heading of a request.
    fn heading(&self, purpose: Purpose, headers: &HeaderMap) -> String {
        let Ok(mut last) = self.last.lock() else { return String::new() };
        let nonce = last.nonce.take();
        let is_first = last.purpose.is_none();
        if last.purpose.replace(purpose) == Some(purpose) {
            let is_repeated = nonce.is_some() && nonce == nonce_of_proof(headers);
            return if is_repeated { "  (repeated with the nonce of the server)\n" } else { "" }.to_owned();
        }
        let text = match purpose {
            Purpose::Metadata => "Discovery: what does the server offer?",
            Purpose::TokenRequest => {
                "Token request: the proof is signed with the key that the token will be bound to."
            }
            Purpose::OtherForm => "Request to the authorization server.",
            Purpose::Call => {
                "Call: the token, and a proof for this request that contains the hash of the token (ath)."
            }
        };
        format!("{}{text}\n", if is_first { "" } else { "\n" })
    }
}

impl<H: HttpClient> HttpClient for Traced<H> {
    fn send(&self, request: Request<RequestBody>) -> Result<Response<Vec<u8>>, Error> {
        if let Ok(mut secrets) = self.secrets.lock() {
            secrets.add_request(&request);
            for (name, value) in request.headers() {
                let is_other = !REQUEST_FIELDS.contains(&name.as_str()) && value.len() >= SHORTEST_VALUE;
                if let Some(value) = value.to_str().ok().filter(|_| is_other) {
                    secrets.add(value);
                }
            }
        }
        let purpose = purpose(&request);
        let mut text = self.heading(purpose, request.headers());
        let _ = writeln!(text, "  > {} {}", request.method(), url(request.uri()));
        for (name, value) in request.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = match name.as_str() {
                "dpop" => jwt(&value),
                "authorization" => {
                    let scheme = value.split_once(' ').map(|(scheme, _)| plain(scheme));
                    scheme.map_or(NOT_SHOWN.to_owned(), |scheme| format!("{scheme} {NOT_SHOWN}"))
                }
                name if REQUEST_FIELDS.contains(&name) => plain(&value),
                _ => NOT_SHOWN.to_owned(),
            };
            let _ = writeln!(text, "  > {name}: {value}");
        }
        match form_fields(request.headers(), request.body()) {
            Some(fields) => fields.iter().for_each(|(name, value)| {
                let value = match name.as_str() {
                    "client_assertion" => jwt(value),
                    // What a resource is sent is the user's.
                    name if purpose != Purpose::Call && SHOWN.contains(&name) => plain(value),
                    _ => NOT_SHOWN.to_owned(),
                };
                let _ = writeln!(text, "  >   {} = {value}", plain(name));
            }),
            None => body(&mut text, '>', request.headers(), request.body()),
        }
        self.say(&text);

        let response = self.http.send(request)?;
        self.say(&self.describe(purpose, &response));
        let is_refused = matches!(response.status(), StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED);
        let nonce = response.headers().get("dpop-nonce").filter(|_| is_refused);
        if let Ok(mut last) = self.last.lock() {
            last.nonce = nonce.and_then(|nonce| Some(nonce.to_str().ok()?.to_owned()));
        }
        Ok(response)
    }

    fn has_client_certificate(&self) -> Option<bool> {
        self.http.has_client_certificate()
    }
}

/// Metadata are requested without credentials (RFC 8414 §3.1). A resource may have a similar URL.
fn purpose(request: &Request<RequestBody>) -> Purpose {
    let has_token = request.headers().get(AUTHORIZATION).is_some_and(|value| {
        let scheme = value.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"dpop") || scheme.eq_ignore_ascii_case(b"bearer")
    });
    let names = ["oauth-authorization-server", "openid-configuration", "oauth-protected-resource"];
    let path = request.uri().path();
    let is_metadata = names.iter().any(|name| path.contains(&format!("/.well-known/{name}")));
    match form_fields(request.headers(), request.body()) {
        _ if has_token => Purpose::Call,
        None if is_metadata && request.body().is_empty() => Purpose::Metadata,
        Some(fields) if fields.iter().any(|(name, _)| name == "grant_type") => Purpose::TokenRequest,
        Some(_) => Purpose::OtherForm,
        None => Purpose::Call,
    }
}

/// Returns the fields of a form. What has another content type, or does not look like a form, is none: its
/// "names" would be the content.
pub fn form_fields(headers: &HeaderMap, body: &[u8]) -> Option<Vec<(String, String)>> {
    if media_type(headers)? != "application/x-www-form-urlencoded" {
        return None;
    }
    let is_name = |name: &str| {
        (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:[]".contains(&byte))
    };
    let pairs: Vec<_> = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).collect();
    // Base64 may have = at its end.
    let has_values = pairs.iter().all(|pair| {
        let value = pair.iter().position(|byte| *byte == b'=').and_then(|at| pair.get(at + 1..));
        value.is_some_and(|value| !value.starts_with(b"=") && (pairs.len() > 1 || !value.is_empty()))
    });
    let fields: Vec<_> = form_urlencoded::parse(body).into_owned().collect();
    (!fields.is_empty() && has_values && fields.iter().all(|(name, _)| is_name(name))).then_some(fields)
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn response_body(text: &mut String, purpose: Purpose, response: &Response<Vec<u8>>, secrets: &Secrets) {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let members = match serde_json::from_slice(response.body()) {
        Ok(Value::Object(members)) if purpose != Purpose::Call || is_error => members,
        _ => return body(text, '<', response.headers(), response.body()),
    };
    if purpose == Purpose::Call && !ERROR.iter().any(|name| members.contains_key(*name)) {
        return body(text, '<', response.headers(), response.body());
    }
    // Nothing in metadata is secret (RFC 8414 §2), unless the server is mistaken.
    let is_metadata = purpose == Purpose::Metadata && response.status().is_success();
    let members = if is_metadata { without_secrets(Value::Object(members)) } else { Value::Object(members) };
    for (name, value) in members.as_object().into_iter().flatten() {
        let shown = match purpose {
            _ if ERROR.contains(&name.as_str()) => true,
            Purpose::Call => continue,
            _ => is_metadata || SHOWN.contains(&name.as_str()),
        };
        let value = match shown {
            true => plain(&secrets.hide_in(value.clone()).to_string()),
            false => NOT_SHOWN.to_owned(),
        };
        let _ = writeln!(text, "  <   {} = {value}", plain(&secrets.hide(name)));
    }
}

/// Describes a body of which nothing is shown.
fn body(text: &mut String, arrow: char, headers: &HeaderMap, body: &[u8]) {
    if body.is_empty() {
        return;
    }
    let media_type = media_type(headers).map(|media_type| format!(" of {}", plain(&media_type)));
    let _ = writeln!(text, "  {arrow}   {} bytes{} {NOT_SHOWN}", body.len(), media_type.unwrap_or_default());
}

/// Returns a URL without user information and query.
fn url(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let query = if uri.query().is_some() { "?(not shown)" } else { "" };
    format!("{}://{authority}{}{query}", uri.scheme_str().unwrap_or_default(), plain(uri.path()))
}

/// Returns a URL reference without query and fragment, which may contain codes and tokens.
fn without_query(url: &str) -> String {
    match url.find(['?', '#']).and_then(|at| url.get(..=at)) {
        Some(start) => format!("{start}{NOT_SHOWN}"),
        None => url.to_owned(),
    }
}

fn nonce_of_proof(headers: &HeaderMap) -> Option<String> {
    let claims = Decoded::read(headers.get("dpop")?.to_str().ok()?)?.claims.ok()?;
    Some(claims.get("nonce")?.as_str()?.to_owned())
}

/// Header and claims of a JWT. Without its signature it can be shown: it proves nothing.
fn jwt(text: &str) -> String {
    let part = |part: Result<Value, _>| match part {
        Ok(part) => plain(&without_secrets(part).to_string()),
        Err(_) => NOT_SHOWN.to_owned(),
    };
    match Decoded::read(text) {
        Some(jwt) => {
            format!("a JWT\n  >     header {}\n  >     claims {}", part(jwt.header), part(jwt.claims))
        }
        None => NOT_SHOWN.to_owned(),
    }
}

fn plain(text: &str) -> String {
    text.chars().take(1000).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}
