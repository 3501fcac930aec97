//! Sends requests to the server under test: not too fast, only to the origins that were named, and with a record
//! of what was sent and what came back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Method, Request, Response};
use possession::{Algorithm, Challenge, HttpClient, KeyPair, RequestBody, Transport};
use serde_json::{Value, json};

use super::malformed_proof::{ProofParts, Target};
use crate::failure::Failure;
use crate::jwt::Decoded;
use crate::output::printable;

/// The longest part of a body that a record contains.
const MAX_BODY: usize = 400;

pub struct Prober {
    transport: Transport,
    /// The origins that requests may go to.
    origins: Vec<String>,
    /// The time between two requests.
    interval: Duration,
    last: Option<Instant>,
    record: Vec<Exchange>,
    /// Set by Ctrl-C.
    interrupted: Arc<AtomicBool>,
    /// The number of requests so far.
    pub requests: u64,
}

/// A request and its response, without secrets.
#[derive(Clone)]
pub struct Exchange {
    pub request: Value,
    pub response: Value,
}

/// What a response says about the request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    Accepted,
    Refused,
    /// Neither can be said, because of this.
    Unclear(String),
}

impl Prober {
    pub fn new(transport: Transport, origins: Vec<String>, per_second: f64) -> Result<Self, Failure> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;
        let interval = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::from_secs(1));
        let (last, record) = (None, Vec::new());
        Ok(Self { transport, origins, interval, last, record, interrupted, requests: 0 })
    }

    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Returns what was sent and received since the last call.
    pub fn take_record(&mut self) -> Vec<Exchange> {
        std::mem::take(&mut self.record)
    }

    /// Sends a request when it is time.
    pub fn send(&mut self, request: Request<RequestBody>) -> Result<Response<Vec<u8>>, Failure> {
        let uri = request.uri();
        let origin = format!(
            "{}://{}",
            uri.scheme_str().unwrap_or_default(),
            uri.authority().map_or("", |authority| authority.as_str())
        );
        if !self.origins.iter().any(|known| known.eq_ignore_ascii_case(&origin)) {
            return Err(
                format!("{origin} is not one of the servers to be tested (--also names another)").into()
            );
        }
        if let Some(last) = self.last {
            std::thread::sleep(self.interval.saturating_sub(last.elapsed()));
        }
        self.last = Some(Instant::now());
        self.requests = self.requests.saturating_add(1);
        let described = describe_request(&request);
        let response = self.transport.send(request);
        let shown = match &response {
            Ok(response) => describe_response(response),
            Err(error) => json!({ "error": error.to_string() }),
        };
        self.record.push(Exchange { request: described, response: shown });
        Ok(response?)
    }
}

/// Returns the time in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Returns the nonce of a response that asks for one: in a challenge, or in the error of its body (RFC 9449 §8,
/// §9).
pub fn asked_nonce(response: &Response<Vec<u8>>) -> Option<String> {
    let in_challenge = Challenge::from_headers(response.headers())
        .unwrap_or_default()
        .iter()
        .any(|challenge| challenge.param("error") == Some("use_dpop_nonce"));
    let in_body = || {
        let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        body.get("error").and_then(Value::as_str) == Some("use_dpop_nonce")
    };
    let asks = matches!(response.status().as_u16(), 400 | 401) && (in_challenge || in_body());
    offered_nonce(response).filter(|_| asks)
}

/// Returns the `DPoP-Nonce` of a response.
pub fn offered_nonce(response: &Response<Vec<u8>>) -> Option<String> {
    response.headers().get("dpop-nonce").and_then(|nonce| nonce.to_str().ok()).map(str::to_owned)
}

/// Makes a proof, changed by `change`.
pub fn proof(
    target: &Target,
    keys: (&KeyPair, &KeyPair),
    change: &dyn Fn(&mut ProofParts<'_>, &Target),
) -> Result<String, Failure> {
    let mut parts = ProofParts::new(target, keys.0, keys.1)?;
    change(&mut parts, target);
    parts.sign()
}

/// Returns a key for an algorithm that is not among `listed`; `None` if they list all that keys can be generated
/// for.
pub fn unlisted_key(listed: &[String]) -> Result<Option<KeyPair>, Failure> {
    let candidates = [Algorithm::Ed25519, Algorithm::Es384, Algorithm::Es256];
    let is_listed =
        |algorithm: &Algorithm| listed.iter().any(|name| algorithm.names().contains(&name.as_str()));
    let unlisted = candidates.into_iter().find(|algorithm| !is_listed(algorithm));
    Ok(unlisted.map(KeyPair::generate).transpose()?)
}

/// Creates a request with these `DPoP` fields.
pub fn request(
    method: &str,
    url: &str,
    authorization: Option<&str>,
    proofs: &[String],
    body: Option<(&'static str, String)>,
) -> Result<Request<RequestBody>, Failure> {
    let mut request = Request::new(RequestBody::default());
    *request.method_mut() = Method::from_bytes(method.as_bytes())?;
    *request.uri_mut() = url.parse()?;
    let headers = request.headers_mut();
    for proof in proofs {
        headers.append("dpop", HeaderValue::from_str(proof)?);
    }
    if let Some(authorization) = authorization {
        headers.insert("authorization", HeaderValue::from_str(authorization)?);
    }
    headers.insert("accept", HeaderValue::from_static("*/*"));
    if let Some((content_type, text)) = body {
        headers.insert("content-type", HeaderValue::from_static(content_type));
        *request.body_mut() = RequestBody::from(text.into_bytes());
    }
    Ok(request)
}

/// Describes a request without secrets: of a proof header and claims, which prove nothing without the signature.
fn describe_request(request: &Request<RequestBody>) -> Value {
    let proofs: Vec<_> = request
        .headers()
        .get_all("dpop")
        .iter()
        .map(|field| {
            let text = String::from_utf8_lossy(field.as_bytes()).into_owned();
            match Decoded::read(&text) {
                Some(Decoded { header: Ok(header), claims: Ok(claims), .. }) => {
                    json!({ "header": without_private_members(header), "claims": claims })
                }
                _ => json!(printable(&text.chars().take(MAX_BODY).collect::<String>())),
            }
        })
        .collect();
    let authorization = request.headers().get("authorization").and_then(|field| field.to_str().ok());
    let scheme = authorization.map(|field| field.split(' ').next().unwrap_or_default());
    let fields: Vec<_> = form_urlencoded::parse(request.body()).map(|(name, _)| name.into_owned()).collect();
    json!({
        "method": request.method().as_str(),
        "url": request.uri().to_string(),
        "authorization": scheme.map(|scheme| format!("{scheme} (not shown)")),
        "proofs": proofs,
        "form_fields": fields,
    })
}

fn without_private_members(mut header: Value) -> Value {
    if let Some(jwk) = header.get_mut("jwk").and_then(Value::as_object_mut) {
        for name in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            if let Some(value) = jwk.get_mut(name) {
                *value = json!("(not shown)");
            }
        }
    }
    header
}

fn describe_response(response: &Response<Vec<u8>>) -> Value {
    let names = ["www-authenticate", "dpop-nonce", "content-type", "cache-control", "date", "retry-after"];
    let headers: serde_json::Map<String, Value> = names
        .iter()
        .filter_map(|name| {
            let value = response.headers().get(*name)?;
            Some(((*name).to_owned(), printable(&String::from_utf8_lossy(value.as_bytes())).into()))
        })
        .collect();
    let body = match serde_json::from_slice::<Value>(response.body()) {
        Ok(mut body) => {
            for name in ["access_token", "refresh_token", "id_token", "client_secret"] {
                if let Some(value) = body.get_mut(name) {
                    *value = json!("(not shown)");
                }
            }
            body.to_string()
        }
        Err(_) => String::from_utf8_lossy(response.body()).into_owned(),
    };
    let body: String = printable(&body).chars().take(MAX_BODY).collect();
    json!({ "status": response.status().as_u16(), "headers": headers, "body": body })
}
