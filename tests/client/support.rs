//! Helpers of the tests that run against the project's test server.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use http::{Request, Response};
use possession::testing::{Endpoint, Quirk, Received, TestServer};
use possession::ureq::middleware::MiddlewareNext;
use possession::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::server::respond;
use crate::common::{self, JSON};

/// Long enough for a loaded machine, short enough to wait for.
pub const SHORT: Duration = Duration::from_millis(400);
/// What ends sooner than this was not ended by a timeout.
pub const LONG: Duration = Duration::from_secs(20);
pub const NONCE_CHALLENGE: (&str, &str) = ("www-authenticate", "DPoP error=\"use_dpop_nonce\"");
/// A token response.
pub const TOKEN_BODY: &str = r#"{"access_token":"t","token_type":"DPoP"}"#;
/// The two endpoints that can challenge a client.
pub const BOTH: [Endpoint; 2] = [Endpoint::Token, Endpoint::Resource];

/// A session whose back-off pauses pass in simulated time. The transport's timeout runs in real time.
pub fn builder(server: &TestServer, timeout: Duration) -> SessionBuilder {
    let transport = Transport::builder().timeout(timeout).build();
    server.session().scope("orders:read").transport(transport)
}

pub fn session(server: &TestServer) -> Session {
    builder(server, LONG).discover().unwrap()
}

/// A session with the defaults of the test server: no scope.
pub fn default_session(server: &TestServer) -> Session {
    server.session().discover().unwrap()
}

/// The transport of this crate, and one from an agent with the defaults of ureq, which follows redirects and
/// turns error statuses into errors without headers.
pub fn transports() -> [Transport; 2] {
    let config = ureq::Agent::config_builder().timeout_global(Some(LONG));
    [Transport::builder().timeout(LONG).build(), Transport::from_agent(config.build().new_agent())]
}

/// Requests a token at that URL with the two functions of the client credentials grant.
pub fn grant(endpoint: &str, transport: &Transport) -> Result<TokenResponse, Error> {
    let server = AuthorizationServer::builder("http://127.0.0.1").token_endpoint(endpoint);
    let server = server.dangerous_allow_http_on_loopback().build().unwrap();
    let (client, auth) = (Client::new("app").unwrap(), ClientAuth::client_secret_basic("secret"));
    let prover = Prover::new(key(Algorithm::Ed25519)).unwrap();
    let options = RequestOptions::new().prover(&prover).http(transport);
    let response = client_credentials_grant_request(&server, &client, &auth, Parameters::new(), &options)?;
    process_client_credentials_response(&server, &client, response)
}

pub fn key(algorithm: Algorithm) -> KeyPair {
    KeyPair::generate(algorithm).unwrap()
}

/// The `DPoP-Nonce` fields of a response, in place of the test server's own.
pub fn nonce(values: &[&str]) -> Quirk {
    Quirk::Nonce(values.iter().map(ToString::to_string).collect())
}

/// One more header field in a response.
pub fn header(name: &str, value: &str) -> Quirk {
    Quirk::Header { name: name.to_owned(), value: value.to_owned() }
}

pub fn text(response: Response<ureq::Body>) -> String {
    response.into_body().read_to_string().unwrap()
}

/// A claim of the proof in a request.
pub fn claim(received: &Received, name: &str) -> Option<String> {
    let value = received.proof().unwrap().claims.get(name)?.clone();
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

pub fn some(texts: &[Option<&str>]) -> Vec<Option<String>> {
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

/// No `jti` of a proof or assertion was sent twice: by the test server's count, and counted here over what
/// it has received.
pub fn nothing_twice(server: &TestServer) {
    common::server::nothing_twice(server);
    let received = server.received();
    let proofs = received.iter().filter_map(Received::proof);
    let jwts = proofs.chain(received.iter().filter_map(Received::assertion));
    let jtis: Vec<_> = jwts.map(|jwt| jwt.claims["jti"].as_str().unwrap().to_owned()).collect();
    assert_eq!(jtis.iter().collect::<HashSet<_>>().len(), jtis.len());
}

/// The OAuth error code of an error.
pub fn code(error: &Error) -> Option<&str> {
    error.oauth().map(OAuthError::error)
}

/// Metadata that were not fetched, with that token endpoint.
pub fn by_hand(server: &TestServer, endpoint: &str) -> Result<AuthorizationServer, Error> {
    let builder = AuthorizationServer::builder(server.issuer()).token_endpoint(endpoint);
    builder.dangerous_allow_http_on_loopback().build()
}

/// The metadata document of that server with another token endpoint, and more members.
pub fn document(server: &TestServer, endpoint: &str, more: &str) -> Quirk {
    let issuer = server.issuer();
    respond(200, &[JSON], format!(r#"{{"issuer":"{issuer}","token_endpoint":"{endpoint}"{more}}}"#))
}

/// What the test server says about the token and the key that a call came with.
pub fn echoed(session: &Session, server: &TestServer) -> Value {
    let mut response = session.get(&server.resource("/orders")).unwrap();
    assert_eq!(response.status(), 200);
    serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
}

pub fn proofs(received: &[Received]) -> Vec<possession::testing::DecodedJwt> {
    received.iter().filter_map(Received::proof).collect()
}

/// The access token that a call was sent with.
pub fn token_of(call: &Received) -> String {
    let [field] = call.header_values("authorization")[..] else { panic!("one Authorization field") };
    field.strip_prefix("DPoP ").unwrap().to_owned()
}

/// The thumbprint of the key that a call was proved with.
pub fn jkt_of(call: &Received) -> String {
    rfc7638(&call.proof().unwrap().header["jwk"])
}

pub fn decoded(text: &str) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(text).unwrap()
}

/// The thumbprint by RFC 7638 §3 and RFC 8037 §2, computed here: the required members in lexicographic
/// order, without white space.
pub fn rfc7638(jwk: &Value) -> String {
    let members: &[&str] = match jwk["kty"].as_str().unwrap() {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        other => panic!("{other}"),
    };
    let members: Vec<_> = members.iter().map(|name| format!("\"{name}\":{}", jwk[*name])).collect();
    Base64UrlUnpadded::encode_string(&Sha256::digest(format!("{{{}}}", members.join(","))))
}

/// A signer outside this crate, with the signatures of a closure.
pub struct Foreign<F>(pub Algorithm, pub PublicKey, pub F);

impl<F: Fn(&[u8]) -> Vec<u8> + Send + Sync> Signer for Foreign<F> {
    fn algorithm(&self) -> Algorithm {
        self.0
    }

    fn public_key(&self) -> &PublicKey {
        &self.1
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.2(message))
    }
}

/// A transport, and the list of all URLs that it sends to.
pub fn watched() -> (Transport, Arc<Mutex<Vec<String>>>) {
    let urls = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&urls);
    let watch = move |request: Request<ureq::SendBody>, next: MiddlewareNext| {
        seen.lock().unwrap().push(request.uri().to_string());
        next.handle(request)
    };
    let agent = ureq::Agent::config_builder().middleware(watch).proxy(None).build().new_agent();
    (Transport::from_agent(agent), urls)
}

/// A test server that issues no nonces.
pub fn without_nonces() -> TestServer {
    common::server::with(|server| server.nonces(possession::testing::Nonces::Off))
}

thread_local! {
    /// The records that this thread logged. A session has no other thread.
    static LOGGED: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("possession")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LOGGED.with_borrow_mut(|logged| logged.push_str(&format!("{}\n", record.args())));
        }
    }

    fn flush(&self) {}
}

/// The records that this thread has logged since the last call.
pub fn take_logged() -> String {
    static SET: Once = Once::new();
    SET.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
    LOGGED.take()
}
