//! A small authorization server for demonstration: one client, the client credentials grant, and access
//! tokens bound to the key of the request's proof, which are JWTs (RFC 9068) or opaque. What it knows of
//! tokens is in memory, its signing key is made when it starts.

#[path = "connections.rs"]
pub mod connections;

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use connections::{Limits, serve};
use possession::server::{
    MemoryReplayStore, ReceivedRequest, Rejection, StatelessNonces, VerifiedProof, Verifier,
};
use possession::{Algorithm, KeyPair, Signer};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

pub const CLIENT_ID: &str = "demo-client";
const SCOPES: [&str; 2] = ["orders:read", "orders:write"];
/// What a token is good for whose request names no scope.
const DEFAULT_SCOPE: &str = "orders:read";
/// Of an access token, in seconds.
const LIFETIME: u64 = 300;
/// Of a form, in bytes.
const MAX_FORM: usize = 16 * 1024;
/// Where clients look for the metadata: RFC 8414 §3, and OpenID Connect Discovery 1.0 §4.
const METADATA: [&str; 2] = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];

/// How to start it.
pub struct Setup {
    /// On 127.0.0.1; 0 for one that is free.
    pub port: u16,
    /// Access tokens are random strings that only introspection can read, instead of JWTs.
    pub opaque: bool,
    /// Whom tokens can be for (RFC 8707); the first is meant where a request names none.
    pub resources: Vec<String>,
    /// Tells on standard error why requests are refused.
    pub verbose: bool,
    /// What strangers can occupy.
    pub limits: Limits,
}

/// It runs until the program ends.
pub struct Running {
    pub issuer: String,
    /// Of [`CLIENT_ID`], the only client.
    pub client_secret: String,
}

struct Server {
    issuer: String,
    setup: Setup,
    client_secret: String,
    key: KeyPair,
    verifier: Verifier,
    /// What each token says, until it expires.
    tokens: Mutex<HashMap<String, Value>>,
}

/// Why there is no success.
enum Refusal {
    Proof(Rejection),
    /// A code of RFC 6749 §5.2.
    OAuth(&'static str),
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
type Form = HashMap<String, String>;

pub fn start(setup: Setup) -> Result<Running> {
    let (port, limits) = (setup.port, setup.limits);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|error| format!("listening on 127.0.0.1:{port}: {error}"))?;
    let port = listener.local_addr()?.port();
    let server = Server {
        issuer: format!("http://127.0.0.1:{port}"),
        setup,
        client_secret: random()?,
        key: KeyPair::generate(Algorithm::Es256)?,
        verifier: Verifier::new(MemoryReplayStore::new(100_000)).require_nonces(StatelessNonces::generate()?),
        tokens: Mutex::default(),
    };
    let running = Running { issuer: server.issuer.clone(), client_secret: server.client_secret.clone() };
    let server = Arc::new(server);
    let app = Router::new().fallback(move |request: Request<Body>| {
        let server = Arc::clone(&server);
        async move {
            let (parts, body) = request.into_parts();
            // It is there already, and limited.
            let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
            server.answer(&Request::from_parts(parts, body))
        }
    });
    std::thread::Builder::new().spawn(move || serve(listener, app, limits))?;
    Ok(running)
}

impl Server {
    fn answer(&self, request: &Request<Bytes>) -> Response<Body> {
        let answer = match (request.uri().path(), request.method()) {
            (path, &Method::GET) if METADATA.contains(&path) => Ok(json(StatusCode::OK, &self.metadata())),
            ("/jwks", &Method::GET) => self.jwks().map(|jwks| json(StatusCode::OK, &jwks)),
            ("/token", &Method::POST) => self.token(request),
            ("/introspect", &Method::POST) => self.introspect(request),
            (path, _) if METADATA.contains(&path) || ["/jwks", "/token", "/introspect"].contains(&path) => {
                return empty(StatusCode::METHOD_NOT_ALLOWED);
            }
            _ => return empty(StatusCode::NOT_FOUND),
        };
        answer.unwrap_or_else(|refusal| {
            if self.setup.verbose {
                match &refusal {
                    Refusal::Proof(rejection) => eprintln!("refused: {rejection}"),
                    Refusal::OAuth(code) => eprintln!("refused: {code}"),
                }
            }
            refusal.into_response()
        })
    }

    /// RFC 8414. It names this server as it was started, never as a request calls it.
    fn metadata(&self) -> Value {
        let issuer = &self.issuer;
        let methods = ["client_secret_basic"];
        json!({
            "issuer": issuer,
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "introspection_endpoint": format!("{issuer}/introspect"),
            "scopes_supported": SCOPES,
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_methods_supported": methods,
            "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "Ed25519"],
        })
    }

    /// RFC 7517 §5: the key that checks JWT access tokens.
    fn jwks(&self) -> std::result::Result<Value, Refusal> {
        let mut jwk: Value = serde_json::from_str(self.key.public_key().to_jwk())
            .map_err(|_| Refusal::OAuth("server_error"))?;
        if let Some(jwk) = jwk.as_object_mut() {
            jwk.insert("kid".to_owned(), self.kid().into());
            jwk.insert("use".to_owned(), "sig".into());
            jwk.insert("alg".to_owned(), self.key.algorithm().name().into());
        }
        Ok(json!({ "keys": [jwk] }))
    }

    /// RFC 6749 §4.4 with RFC 9449 §5: who the client is first, then its proof, then what it wants.
    fn token(&self, request: &Request<Bytes>) -> std::result::Result<Response<Body>, Refusal> {
        let form = self.form_of_the_client(request)?;
        let now = SystemTime::now();
        let url = format!("{}/token", self.issuer); // the server's own, not what the request says of it
        let received = ReceivedRequest::new(request.method(), &url, request.headers())
            .map_err(|_| Refusal::OAuth("server_error"))?;
        let proof = self.verifier.verify_token_request(&received, now).map_err(Refusal::Proof)?;

        match form.get("grant_type").map(String::as_str) {
            Some("client_credentials") => {}
            Some(_) => return Err(Refusal::OAuth("unsupported_grant_type")),
            None => return Err(Refusal::OAuth("invalid_request")),
        }
        let scope = form.get("scope").map_or(DEFAULT_SCOPE, String::as_str);
        if !scope.split(' ').all(|token| SCOPES.contains(&token)) {
            return Err(Refusal::OAuth("invalid_scope"));
        }
        let audience = match form.get("resource") {
            None => self.setup.resources.first(),
            Some(resource) => self.setup.resources.iter().find(|known| *known == resource),
        };
        let audience = audience.ok_or(Refusal::OAuth("invalid_target"))?;

        let token = self.issue(&proof, scope, audience, now).map_err(|_| Refusal::OAuth("server_error"))?;
        let answer = json!({
            "access_token": token, "token_type": "DPoP", "expires_in": LIFETIME, "scope": scope,
        });
        let mut response = json(StatusCode::OK, &answer);
        proof.add_headers(response.headers_mut());
        Ok(response)
    }

    /// A token of RFC 9068, or an opaque one that means the same, bound to the key of the proof (RFC 9449
    /// §6).
    fn issue(&self, proof: &VerifiedProof, scope: &str, audience: &str, now: SystemTime) -> Result<String> {
        let iat = now.duration_since(UNIX_EPOCH)?.as_secs();
        let claims = json!({
            "iss": self.issuer, "sub": CLIENT_ID, "client_id": CLIENT_ID, "aud": audience,
            "iat": iat, "exp": iat + LIFETIME, "jti": random()?, "scope": scope, "cnf": proof.cnf(),
        });
        let token = if self.setup.opaque { random()? } else { self.sign(&claims)? };
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, claims| is_alive(claims, now));
        tokens.insert(token.clone(), claims);
        Ok(token)
    }

    fn sign(&self, claims: &Value) -> Result<String> {
        let header = json!({ "typ": "at+jwt", "alg": self.key.algorithm().name(), "kid": self.kid() });
        let base64url = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
        let [header, claims] = [&header, claims].map(|part| base64url(part.to_string().as_bytes()));
        let message = format!("{header}.{claims}");
        let signature = self.key.sign(message.as_bytes()).map_err(|error| error.to_string())?;
        Ok(format!("{message}.{}", base64url(&signature)))
    }

    fn kid(&self) -> String {
        self.key.public_key().thumbprint().to_string()
    }

    /// RFC 7662, with the binding of RFC 9449 §6.2.
    fn introspect(&self, request: &Request<Bytes>) -> std::result::Result<Response<Body>, Refusal> {
        let form = self.form_of_the_client(request)?;
        let token = form.get("token").ok_or(Refusal::OAuth("invalid_request"))?;
        let known = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned();
        let answer = match known.filter(|claims| is_alive(claims, SystemTime::now())) {
            Some(Value::Object(mut members)) => {
                members.insert("active".to_owned(), true.into());
                members.insert("token_type".to_owned(), "DPoP".into());
                Value::Object(members)
            }
            _ => json!({ "active": false }),
        };
        Ok(json(StatusCode::OK, &answer))
    }

    /// The parameters of a request that the client made and nobody else.
    fn form_of_the_client(&self, request: &Request<Bytes>) -> std::result::Result<Form, Refusal> {
        let invalid = || Refusal::OAuth("invalid_request");
        if !self.is_client(request.headers()) {
            return Err(Refusal::OAuth("invalid_client"));
        }
        let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
        if !media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(invalid());
        }
        if request.body().len() > MAX_FORM {
            return Err(invalid());
        }
        let mut form = Form::new();
        for (name, value) in form_urlencoded::parse(request.body()).into_owned() {
            // RFC 6749 §3.2: no parameter twice; several resources (RFC 8707) are one token for each here.
            let refusal = if name == "resource" { Refusal::OAuth("invalid_target") } else { invalid() };
            if form.insert(name, value).is_some() {
                return Err(refusal);
            }
        }
        let authenticates_twice =
            ["client_secret", "client_assertion"].iter().any(|name| form.contains_key(*name));
        let is_another = form.get("client_id").is_some_and(|client_id| client_id != CLIENT_ID);
        if authenticates_twice || is_another { Err(invalid()) } else { Ok(form) }
    }

    /// Whether that is the client's `Authorization: Basic`: identifier and secret are form-encoded in it, and
    /// which of their characters are escaped is the client's choice (RFC 6749 §2.3.1).
    fn is_client(&self, headers: &HeaderMap) -> bool {
        let pair = || {
            let mut fields = headers.get_all(header::AUTHORIZATION).iter();
            let field = fields.next().filter(|_| fields.next().is_none())?.to_str().ok()?;
            let (scheme, credentials) = field.split_once(' ')?;
            let pair = Base64::decode_vec(credentials.trim()).ok();
            let pair = String::from_utf8(pair.filter(|_| scheme.eq_ignore_ascii_case("basic"))?).ok()?;
            let (id, secret) = pair.split_once(':')?;
            let decode = |half: &str| {
                form_urlencoded::parse(half.as_bytes()).next().map(|(half, _)| half.into_owned())
            };
            Some((decode(id)?, decode(secret)?))
        };
        pair().is_some_and(|(id, secret)| {
            id == CLIENT_ID && bool::from(secret.as_bytes().ct_eq(self.client_secret.as_bytes()))
        })
    }
}

impl Refusal {
    fn into_response(self) -> Response<Body> {
        let code = match self {
            Self::Proof(rejection) => return rejection.to_response().map(Body::from),
            Self::OAuth(code) => code,
        };
        let status = match code {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut response = json(status, &json!({ "error": code }));
        if status == StatusCode::UNAUTHORIZED {
            let challenge = header::HeaderValue::from_static("Basic realm=\"authorization server\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

fn is_alive(claims: &Value, now: SystemTime) -> bool {
    let end = claims.get("exp").and_then(Value::as_u64).map(|exp| UNIX_EPOCH + Duration::from_secs(exp));
    end.is_some_and(|end| now < end)
}

fn json(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = empty(status);
    *response.body_mut() = Body::from(body.to_string());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// 256 random bits.
fn random() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Base64UrlUnpadded::encode_string(&bytes))
}
