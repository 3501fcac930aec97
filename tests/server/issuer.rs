//! An issuer of access tokens for these tests: its JWTs, its key set, and an HTTP client that stands in for
//! its servers.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use possession::server::*;
use possession::*;
use serde_json::{Value, json};

use crate::support::{NOW, jws};

pub const ISSUER: &str = "https://as.example";

pub const AUDIENCE: &str = "https://api.example";

pub const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

pub fn key(algorithm: Algorithm) -> KeyPair {
    KeyPair::generate(algorithm).unwrap()
}

pub fn header() -> Value {
    json!({"typ": "at+jwt", "alg": "ES256", "kid": "k1"})
}

/// The claims of RFC 9068 §2.2.
pub fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "s", "client_id": "c", "jti": "j", "iat": NOW, "exp": NOW + 60,
        "cnf": {"jkt": JKT}, "scope": "read write",
    })
}

pub fn jwk(key: &KeyPair, kid: &str, more: &Value) -> Value {
    let mut jwk: Value = serde_json::from_str(key.public_key().to_jwk()).unwrap();
    jwk["kid"] = kid.into();
    jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    jwk
}

pub fn jwks(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

/// A compact JWS with this header and these claims.
pub fn jwt(key: &KeyPair, header: &Value, claims: &Value) -> String {
    jws(key, header, claims)
}

pub fn validator(key: &KeyPair) -> JwtValidator {
    JwtValidator::with_keys(ISSUER, AUDIENCE, &jwks(&[jwk(key, "k1", &json!({}))])).unwrap()
}

type Response = Box<dyn Fn() -> Result<http::Response<Vec<u8>>, Error> + Send + Sync>;

/// An authorization server's `jwks_uri` or introspection endpoint.
#[derive(Clone, Default)]
pub struct Remote {
    requests: Arc<AtomicUsize>,
    pub sent: Arc<Mutex<Vec<http::Request<RequestBody>>>>,
    response: Arc<Mutex<Option<Response>>>,
}

impl Remote {
    pub fn responds(&self, status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) {
        let body = body.into();
        self.responds_with(move || {
            let response = http::Response::builder().status(status).header("content-type", content_type);
            Ok(response.body(body.clone()).unwrap())
        });
    }

    pub fn responds_with(
        &self,
        response: impl Fn() -> Result<http::Response<Vec<u8>>, Error> + Send + Sync + 'static,
    ) {
        *self.response.lock().unwrap() = Some(Box::new(response));
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl HttpClient for Remote {
    fn send(&self, request: http::Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.sent.lock().unwrap().push(request);
        let response = self.response.lock().unwrap().take().unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(&response));
        *self.response.lock().unwrap() = Some(response);
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

pub fn server() -> AuthorizationServer {
    AuthorizationServer::builder(ISSUER)
        .token_endpoint("https://as.example/token")
        .member("jwks_uri", "https://as.example/jwks")
        .member("introspection_endpoint", "https://as.example/introspect")
        .build()
        .unwrap()
}

/// Counts the verifications of signatures: before each, it is asked whether it supports the algorithm, which
/// this crate supports as well.
#[derive(Clone, Default)]
pub struct Verifications(Arc<AtomicUsize>);

impl Verifications {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl SignatureVerifier for Verifications {
    fn supports(&self, _: Algorithm) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        false
    }

    fn verify(&self, _: Algorithm, _: &PublicKey, _: &[u8], _: &[u8]) -> bool {
        false
    }

    fn needs_io(&self) -> bool {
        false
    }
}

/// Holds a request in the HTTP client until the test lets it continue.
pub struct Gate {
    entered: Mutex<mpsc::Receiver<()>>,
    go_on: Mutex<mpsc::Sender<()>>,
}

/// `remote` responds with `outcome` when the gate is opened. Every wait has a limit.
pub fn gate(
    remote: &Remote,
    outcome: impl Fn() -> Result<http::Response<Vec<u8>>, Error> + Send + Sync + 'static,
) -> Gate {
    let ((enter, entered), (open, opened)) = (mpsc::channel(), mpsc::channel());
    let (enter, opened) = (Mutex::new(enter), Mutex::new(opened));
    remote.responds_with(move || {
        enter.lock().unwrap().send(()).unwrap();
        opened.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
        outcome()
    });
    Gate { entered: Mutex::new(entered), go_on: Mutex::new(open) }
}

impl Gate {
    pub fn wait(&self) {
        self.entered.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
    }

    pub fn open(&self) {
        self.go_on.lock().unwrap().send(()).unwrap();
    }
}
