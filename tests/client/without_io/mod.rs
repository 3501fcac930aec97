//! Requests by scripted responses: no sockets, and no clock but the time that is passed in. No feature is
//! needed.

pub mod authorization_requests;
mod authorization_responses;
mod client_authentication;
mod discovery;
mod endpoints;
mod errors;
mod grants;
mod nonces;
mod parameters;
mod resource_request;
mod signers;
mod token_response;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Request, Response, StatusCode};
use possession::*;
use serde_json::json;

use crate::common::{Form, JSON, Jwt, TOKEN, form, token_json, values};

pub const ISSUER: &str = "https://as.example";
pub const ENDPOINT: &str = "https://as.example/token";
/// As long as HS512 demands.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub fn key(algorithm: Algorithm) -> KeyPair {
    KeyPair::generate(algorithm).unwrap()
}

pub fn prover() -> Prover {
    Prover::new(key(Algorithm::Es256)).unwrap()
}

pub type HttpResponse = Response<Vec<u8>>;

pub fn response(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> HttpResponse {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, value.as_bytes());
    }
    response.body(body.as_ref().to_vec()).unwrap()
}

pub fn token() -> HttpResponse {
    response(200, &[JSON], token_json(TOKEN, ""))
}

pub fn token_and_nonce(nonce: &str) -> HttpResponse {
    response(200, &[JSON, ("dpop-nonce", nonce)], token_json(TOKEN, ""))
}

/// RFC 9449, Figure 20: the challenge of an authorization server.
pub fn body_challenge(nonces: &[&str]) -> HttpResponse {
    let nonces = nonces.iter().map(|nonce| ("dpop-nonce", *nonce));
    let headers: Vec<_> = nonces.chain([JSON]).collect();
    response(400, &headers, r#"{"error":"use_dpop_nonce","error_description":"give a nonce"}"#)
}

/// RFC 9449, Figure 24: the form of resource servers, which some authorization servers use as well.
pub fn header_challenge(nonces: &[&str]) -> HttpResponse {
    let nonces = nonces.iter().map(|nonce| ("dpop-nonce", *nonce));
    let challenge = ("www-authenticate", r#"DPoP error="use_dpop_nonce", error_description="x""#);
    let headers: Vec<_> = nonces.chain([challenge, ("content-type", "text/html")]).collect();
    response(401, &headers, "<p>nonce required</p>")
}

/// A request that was sent.
#[derive(Debug)]
pub struct Sent {
    pub uri: String,
    pub headers: HeaderMap,
    pub form: Form,
}

impl Sent {
    pub fn new(request: &Request<RequestBody>) -> Self {
        let form = form(request.body());
        Self { uri: request.uri().to_string(), headers: request.headers().clone(), form }
    }

    pub fn proof(&self) -> Jwt {
        let proofs: Vec<_> = self.headers.get_all("dpop").iter().collect();
        assert_eq!(proofs.len(), 1, "one proof");
        Jwt::decode(proofs[0].to_str().unwrap())
    }

    pub fn assertion(&self) -> Jwt {
        let assertions = values(&self.form, "client_assertion");
        assert_eq!(assertions.len(), 1, "one assertion");
        Jwt::decode(assertions[0])
    }
}

/// An HTTP client that returns scripted responses and keeps the requests.
pub struct Script {
    pub responses: Mutex<VecDeque<HttpResponse>>,
    pub sent: Mutex<Vec<Sent>>,
    pub certificate: Option<bool>,
}

impl Script {
    pub fn new(responses: impl IntoIterator<Item = HttpResponse>) -> Self {
        let responses = Mutex::new(responses.into_iter().collect());
        Self { responses, sent: Mutex::default(), certificate: None }
    }

    pub fn sent(self) -> Vec<Sent> {
        self.sent.into_inner().unwrap()
    }
}

impl HttpClient for Script {
    fn send(&self, request: Request<RequestBody>) -> Result<HttpResponse, Error> {
        self.sent.lock().unwrap().push(Sent::new(&request));
        self.responses.lock().unwrap().pop_front().ok_or_else(|| Error::transport("the script has ended"))
    }

    fn has_client_certificate(&self) -> Option<bool> {
        self.certificate
    }
}

/// One client at one server. It authenticates with `private_key_jwt`, so that every attempt has an
/// assertion.
pub struct Setup {
    pub server: AuthorizationServer,
    pub client: Client,
    pub auth: ClientAuth,
    pub prover: Option<Prover>,
    pub parameters: Parameters,
    pub accept_bearer: bool,
}

impl Setup {
    pub fn new() -> Self {
        Self {
            server: AuthorizationServer::builder(ISSUER).token_endpoint(ENDPOINT).build().unwrap(),
            client: Client::new("app").unwrap(),
            auth: ClientAuth::private_key_jwt(key(Algorithm::Ed25519)),
            prover: Some(prover()),
            parameters: Parameters::new(),
            accept_bearer: false,
        }
    }

    pub fn with(self, auth: ClientAuth) -> Self {
        Self { auth, ..self }
    }

    pub fn server(self, server: AuthorizationServerBuilder) -> Self {
        Self { server: server.build().unwrap(), ..self }
    }

    pub fn options(&self) -> RequestOptions<'_> {
        let options = self.prover.iter().fold(RequestOptions::new(), RequestOptions::prover);
        if self.accept_bearer { options.dangerous_accept_bearer() } else { options }
    }

    pub fn run_over(&self, script: &Script) -> Result<TokenResponse, Error> {
        let options = self.options().http(script);
        let (server, client) = (&self.server, &self.client);
        let response =
            client_credentials_grant_request(server, client, &self.auth, self.parameters.clone(), &options)?;
        process_client_credentials_response(server, client, response)
    }

    pub fn run(
        &self,
        responses: impl IntoIterator<Item = HttpResponse>,
    ) -> (Result<TokenResponse, Error>, Vec<Sent>) {
        let script = Script::new(responses);
        (self.run_over(&script), script.sent())
    }

    /// For a case that is refused before anything is sent.
    pub fn refused(&self) -> Error {
        let (result, sent) = self.run([token()]);
        assert_eq!(sent.len(), 0, "nothing may be sent");
        result.unwrap_err()
    }

    /// The nonce that the next request carries.
    pub fn next_nonce(&self) -> Option<String> {
        let (result, sent) = self.run([token()]);
        assert!(result.is_ok());
        sent[0].proof().nonce().map(str::to_owned)
    }
}

/// A call of a resource (RFC 9449 §7).
pub struct Call {
    pub exchange: ResourceRequest,
}

impl Call {
    pub fn new(setup: &Setup, method: &str, url: &str) -> Self {
        let (prover, method) = (setup.prover.as_ref().unwrap(), method.parse().unwrap());
        Self { exchange: ResourceRequest::new(&setup.server, prover, TOKEN, &method, url).unwrap() }
    }

    pub fn headers(&mut self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // C-11: what is there already is replaced.
        headers.append("authorization", "Bearer other".parse().unwrap());
        headers.append("authorization", "Basic other".parse().unwrap());
        headers.append("dpop", "other".parse().unwrap());
        self.exchange.authorize(&mut headers, at(1_000_000)).unwrap();
        headers
    }

    pub fn proof(&mut self) -> Jwt {
        let headers = self.headers();
        let [authorization, proofs] = ["authorization", "dpop"].map(|name| headers.get_all(name));
        assert_eq!(authorization.iter().collect::<Vec<_>>(), [&format!("DPoP {TOKEN}")]);
        assert_eq!(proofs.iter().count(), 1);
        Jwt::decode(headers["dpop"].to_str().unwrap())
    }

    pub fn receive(&mut self, status: u16, headers: &[(&str, &str)]) -> bool {
        self.receive_body(status, headers, None)
    }

    pub fn receive_body(&mut self, status: u16, headers: &[(&str, &str)], body: Option<&str>) -> bool {
        let response = response(status, headers, "");
        let status = StatusCode::from_u16(status).unwrap();
        self.exchange.receive(status, response.headers(), body.map(str::as_bytes), at(1_000_000)).unwrap()
            == possession::Step::Retry
    }
}

pub const AT_OAUTH: &str = "https://as.example/.well-known/oauth-authorization-server/t";

pub const AT_OPENID: &str = "https://as.example/t/.well-known/openid-configuration";

pub const TENANT: &str = "https://as.example/t";

pub fn document(members: serde_json::Value) -> HttpResponse {
    let mut document = json!({ "issuer": TENANT, "token_endpoint": ENDPOINT });
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    response(200, &[JSON], document.to_string())
}

pub fn discover(
    responses: impl IntoIterator<Item = HttpResponse>,
) -> (Result<AuthorizationServer, Error>, Vec<String>) {
    let script = Script::new(responses);
    let result = AuthorizationServer::discover(TENANT, &script);
    (result, script.sent().into_iter().map(|sent| sent.uri).collect())
}
