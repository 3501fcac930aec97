//! An authorization server and a protected resource on loopback, for demonstration: one client, tokens in memory, and one
//! random nonce each for as long as they run. They check proofs with this crate's `Verifier`.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use base64ct::{Base64, Encoding};
use oxhttp::model::{Body, HeaderMap, Method, Request, Response, StatusCode, header};
use possession::{MemoryReplayStore, Nonces, ReceivedRequest, Thumbprint, Verifier};
use subtle::ConstantTimeEq;

pub const CLIENT_ID: &str = "demo-client";
const LIFETIME: u64 = 300;
const SCOPE: &str = "orders:read";

/// Where the servers are, and what its one client needs.
pub struct Demo {
    pub issuer: String,
    pub resource: String,
    pub client_secret: String,
}

struct State {
    issuer: String,
    api: String,
    client_secret: String,
    /// What each part's nonce is: they are told apart.
    nonces: [String; 2],
    verifier: Verifier,
    /// The key each token is bound to, and until when it is valid.
    tokens: Mutex<HashMap<String, (Thumbprint, SystemTime)>>,
}

type Handler = fn(&State, &mut Request<Body>) -> Response<Body>;
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Starts both; they stop with the program.
pub fn start() -> Result<Demo> {
    let nonces = [random()?, random()?];
    let [issuer_port, api_port] = free_ports()?;
    let state = Arc::new(State {
        issuer: format!("http://127.0.0.1:{issuer_port}"),
        api: format!("http://127.0.0.1:{api_port}"),
        client_secret: random()?,
        nonces,
        verifier: Verifier::new(MemoryReplayStore::new(100_000)),
        tokens: Mutex::default(),
    });
    let handlers: [Handler; 2] = [authorization_server, resource_server];
    for (port, handler) in [issuer_port, api_port].into_iter().zip(handlers) {
        let state = Arc::clone(&state);
        oxhttp::Server::new(move |request| handler(&state, request))
            .bind((Ipv4Addr::LOCALHOST, port))
            .spawn()?;
    }
    Ok(Demo {
        issuer: state.issuer.clone(),
        resource: format!("{}/orders", state.api),
        client_secret: state.client_secret.clone(),
    })
}

fn authorization_server(state: &State, request: &mut Request<Body>) -> Response<Body> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/.well-known/oauth-authorization-server") => {
            let (issuer, methods) = (&state.issuer, r#"["client_secret_basic"]"#);
            json(
                StatusCode::OK,
                None,
                format!(
                    r#"{{"issuer":"{issuer}","token_endpoint":"{issuer}/token","grant_types_supported":["client_credentials"],"token_endpoint_auth_methods_supported":{methods},"dpop_signing_alg_values_supported":["ES256","EdDSA","Ed25519"]}}"#
                ),
            )
        }
        (&Method::POST, "/token") => token(state, request),
        _ => json(StatusCode::NOT_FOUND, None, "{}".into()),
    }
}

fn token(state: &State, request: &mut Request<Body>) -> Response<Body> {
    let [nonce, _] = &state.nonces;
    let nonce = nonce.as_str();
    let error = |status, error| json(status, Some(nonce), format!(r#"{{"error":"{error}"}}"#));
    if !is_client(request.headers(), &state.client_secret) {
        return error(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let now = SystemTime::now();
    // The URL is the server's own, not what the request says of it.
    let url = format!("{}/token", state.issuer);
    let Ok(received) = ReceivedRequest::new(request.method(), &url, request.headers()) else {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
    };
    let proof = match state.verifier.token_request(&received, Nonces::OneOf(&[nonce]), now) {
        Ok(proof) => proof,
        Err(rejection) => return rejection.to_token_response(Some(nonce)).map(Body::from),
    };
    let form = std::mem::take(request.body_mut()).to_vec().unwrap_or_default();
    let form: HashMap<_, _> = form_urlencoded::parse(&form).into_owned().collect();
    if form.get("grant_type").is_none_or(|grant_type| grant_type != "client_credentials") {
        return error(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    if form.get("scope").is_some_and(|scope| scope != SCOPE) {
        return error(StatusCode::BAD_REQUEST, "invalid_scope");
    }
    let Ok(token) = random() else {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
    };
    let end = now + std::time::Duration::from_secs(LIFETIME);
    if let Ok(mut tokens) = state.tokens.lock() {
        tokens.insert(token.clone(), (proof.thumbprint(), end));
    }
    json(
        StatusCode::OK,
        Some(nonce),
        format!(
            r#"{{"access_token":"{token}","token_type":"DPoP","expires_in":{LIFETIME},"scope":"orders:read"}}"#
        ),
    )
}

/// Whether that is the client's `Authorization: Basic`: identifier and secret are form-encoded in it, and which of their
/// characters are escaped is the client's choice (RFC 6749 §2.3.1).
fn is_client(headers: &HeaderMap, client_secret: &str) -> bool {
    let pair = || {
        let field = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, credentials) = field.split_once(' ')?;
        let pair =
            Base64::decode_vec(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let pair = String::from_utf8(pair).ok()?;
        let (id, secret) = pair.split_once(':')?;
        let decode =
            |half: &str| form_urlencoded::parse(half.as_bytes()).next().map(|(half, _)| half.into_owned());
        Some((decode(id)?, decode(secret)?))
    };
    pair().is_some_and(|(id, secret)| {
        id == CLIENT_ID && bool::from(secret.as_bytes().ct_eq(client_secret.as_bytes()))
    })
}

fn resource_server(state: &State, request: &mut Request<Body>) -> Response<Body> {
    let [_, nonce] = &state.nonces;
    let nonce = nonce.as_str();
    let refuse = |challenge: &'static str| {
        let mut response = json(StatusCode::UNAUTHORIZED, Some(nonce), "{}".into());
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static(challenge));
        response
    };
    let mut fields = request.headers().get_all(header::AUTHORIZATION).iter();
    let token = match (fields.next().and_then(|field| field.to_str().ok()), fields.next()) {
        (Some(field), None) => match field.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("dpop") => {
                token.trim_start_matches(' ').to_owned()
            }
            _ => return refuse("DPoP algs=\"ES256 EdDSA Ed25519\""),
        },
        _ => return refuse("DPoP algs=\"ES256 EdDSA Ed25519\""),
    };
    let now = SystemTime::now();
    let known = state.tokens.lock().ok().and_then(|tokens| tokens.get(&token).copied());
    let Some((jkt, _)) = known.filter(|(_, end)| now < *end) else {
        return refuse("DPoP error=\"invalid_token\", algs=\"ES256 EdDSA Ed25519\"");
    };
    let url = format!("{}{}", state.api, request.uri().path());
    let Ok(received) = ReceivedRequest::new(request.method(), &url, request.headers()) else {
        return json(StatusCode::BAD_REQUEST, None, "{}".into());
    };
    match state.verifier.resource_request(&received, &token, &jkt, Nonces::OneOf(&[nonce]), now) {
        Ok(_) if request.uri().path() != "/orders" => json(StatusCode::NOT_FOUND, Some(nonce), "{}".into()),
        Ok(_) if request.method() != Method::GET => {
            json(StatusCode::METHOD_NOT_ALLOWED, Some(nonce), "{}".into())
        }
        Ok(proof) => {
            let body = format!(r#"{{"orders":["42 bolts"],"for_key":"{}"}}"#, proof.thumbprint());
            json(StatusCode::OK, Some(nonce), body)
        }
        Err(rejection) => rejection.to_resource_response(Some(nonce)).map(Body::from),
    }
}

fn json(status: StatusCode, nonce: Option<&str>, body: String) -> Response<Body> {
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-store");
    if let Some(nonce) = nonce {
        response = response.header("dpop-nonce", nonce);
    }
    response.body(Body::from(body)).unwrap_or_default()
}

/// 122 random bits.
fn random() -> Result<String> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets)?;
    Ok(uuid::Builder::from_random_bytes(octets).into_uuid().simple().to_string())
}

/// Two ports that were free a moment ago: the server crate binds by itself, and cannot say what port 0 became.
fn free_ports() -> Result<[u16; 2]> {
    let places = [TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?];
    let [first, second] = &places;
    Ok([first.local_addr()?.port(), second.local_addr()?.port()])
}
