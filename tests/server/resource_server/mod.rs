//! Whole requests to a protected resource. Most tables compare the whole response: status, every field,
//! body.

mod binding;
mod credentials;
mod faults;
mod hygiene;
mod nonces;
mod urls;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request};
use possession::server::*;
use possession::*;
use serde_json::{Value, json};

use crate::support::{ATH, NOW, TOKEN, at, header_of, jws, mine};

const ORIGIN: &str = "https://api.example.com";

const URL: &str = "https://api.example.com/orders";

fn other() -> KeyPair {
    KeyPair::generate(Algorithm::Ed25519).unwrap()
}

/// The tokens that were issued. Counts the lookups.
#[derive(Default)]
struct Table {
    tokens: HashMap<&'static str, AccessToken>,
    fault: Option<TokenError>,
    asked: AtomicUsize,
}

impl Table {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl TokenValidator for Table {
    fn validate(&self, access_token: &str, _: SystemTime) -> Result<AccessToken, TokenError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match &self.fault {
            Some(fault) => Err(fault.clone()),
            None => self.tokens.get(access_token).cloned().ok_or(TokenError::Inactive),
        }
    }
}

/// `TOKEN` is bound to the key `mine`, the token `unbound` to none.
fn table() -> Arc<Table> {
    let claims = |claims: Value| AccessToken::new(claims.as_object().unwrap().clone()).unwrap();
    let bound = json!({"sub": "s", "scope": "read write", "cnf": {"jkt": mine().public_key().thumbprint().to_string()}});
    let tokens = [(TOKEN, claims(bound)), ("unbound", claims(json!({"sub": "s", "scope": "read"})))];
    Arc::new(Table { tokens: tokens.into(), ..Table::default() })
}

fn verifier() -> Verifier {
    Verifier::new(MemoryReplayStore::new(10_000))
}

fn server() -> ResourceServer {
    ResourceServer::new(ORIGIN, verifier(), table()).unwrap()
}

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let value = |value: &str| HeaderValue::from_bytes(value.as_bytes()).unwrap();
    let mut headers = HeaderMap::new();
    for (name, text) in fields {
        headers.append(*name, value(text));
    }
    headers
}

fn request(target: &str, headers: HeaderMap) -> Parts {
    let mut request = Request::get(target).body(()).unwrap();
    *request.headers_mut() = headers;
    request.into_parts().0
}

/// A proof by that key for `URL` and that token.
fn proof_by(key: &KeyPair, token: &str) -> String {
    Proof::new(&http::Method::GET, URL).unwrap().access_token(token).sign(key, at(NOW)).unwrap()
}

fn proof() -> String {
    proof_by(&mine(), TOKEN)
}

fn proof_for(url: &str) -> String {
    Proof::new(&http::Method::GET, url).unwrap().access_token(TOKEN).sign(&mine(), at(NOW)).unwrap()
}

/// A proof with claims that the crate would not write; `null` removes a claim.
fn proof_saying(changes: &Value) -> String {
    let key = mine();
    let mut claims = json!({"jti": "by hand", "htm": "GET", "htu": URL, "iat": NOW, "ath": ATH});
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    jws(&key, &header_of(&key), &claims)
}

fn ask(server: &ResourceServer, headers: &[(&'static str, &str)]) -> Result<Authenticated, Rejection> {
    server.authenticate(&request("/orders", fields(headers)), at(NOW))
}

fn dpop() -> String {
    format!("DPoP {TOKEN}")
}

const ALGS: &str = r#"algs="ES256 EdDSA Ed25519""#;

/// The whole of a response: status, every field in order, body.
type Whole = (u16, Vec<(String, String)>, String);

fn whole_response(rejection: &Rejection) -> Whole {
    let response = rejection.to_response();
    let mut headers: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    // A client that parses the challenges reads the same (RFC 9110 §11.6.1).
    for (name, value) in &headers {
        if name == "www-authenticate" {
            let challenges = Challenge::parse(value.as_bytes()).unwrap();
            assert_eq!(challenges.len(), 1, "{value}");
            assert!(["dpop", "bearer"].contains(&challenges[0].scheme()), "{value}");
            if challenges[0].scheme() == "dpop" {
                // The error is in the `Bearer` challenge where the client tried that scheme.
                assert!([rejection.error(), None].contains(&challenges[0].param("error")), "{value}");
                assert_eq!(challenges[0].param("algs"), Some("ES256 EdDSA Ed25519"));
            }
        }
    }
    (response.status().as_u16(), headers, response.body().clone())
}

/// The error code of a challenge is the body as well, as JSON.
fn with_challenges(status: u16, error: Option<&str>, challenges: &[&str]) -> Whole {
    let mut headers = vec![("cache-control".to_owned(), "no-store".to_owned())];
    headers.extend(error.map(|_| ("content-type".to_owned(), "application/json".to_owned())));
    headers
        .extend(challenges.iter().map(|challenge| ("www-authenticate".to_owned(), (*challenge).to_owned())));
    headers.sort();
    (status, headers, error.map(|error| format!(r#"{{"error":"{error}"}}"#)).unwrap_or_default())
}

/// RFC 9449 §7.1: a `DPoP` challenge that lists `algs`, with an error where one is due.
fn challenged(status: u16, error: Option<&str>) -> Whole {
    let param = error.map(|error| format!(r#"error="{error}", "#)).unwrap_or_default();
    with_challenges(status, error, &[&format!("DPoP {param}{ALGS}")])
}

/// A fault of the server: the response says nothing about it.
fn unavailable() -> Whole {
    with_challenges(503, None, &[])
}
