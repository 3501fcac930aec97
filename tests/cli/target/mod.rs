//! An authorization server and a protected resource, written for these tests, in which one check can be left
//! out. `possession probe` must notice.

pub mod fault;
mod proof;
mod signature;
mod url;

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use self::fault::{Check, Excess, Fault};
use self::proof::{Accepted, Expected, Refused, from_base64, verify};

pub const CLIENT_ID: &str = "probe-client";
/// With characters that forms, URLs, JSON and HTML spell in their own ways.
pub const CLIENT_SECRET: &str = "a \"client\" secret+%/\\<é>-0123456789abcdef";
pub const REDIRECT_URI: &str = "https://client.example/callback";
/// The first refresh token of the public client, if there is one.
pub const REFRESH_TOKEN: &str = "refresh-token-0";

/// How a target behaves.
#[derive(Clone)]
pub struct Setup {
    pub fault: Fault,
    /// The role that has the fault.
    pub faulty: Role,
    pub nonces: Nonces,
    /// The thumbprint that [`REFRESH_TOKEN`] is bound to. The client is public then.
    pub refresh_jkt: Option<String>,
    /// How many proofs are refused before everything is.
    pub lock_after: Option<usize>,
    /// How many requests of the resource get a 503 in the beginning.
    pub unavailable_for: usize,
    /// How many requests of the resource are refused after each that is accepted.
    pub limit: usize,
    /// After how many requests of the resource that begins.
    pub limit_after: usize,
    /// How many requests are refused after each proof that is.
    pub lock_for: usize,
    /// How many requests of the resource are refused after each wrong one that is accepted.
    pub lock_after_fault: usize,
    /// Whether a new token ends that.
    pub unlocks: bool,
    /// Repeats every secret of a request in the response.
    pub echoes: bool,
    /// The `error_description` of every refusal of the resource.
    pub description: Option<String>,
    /// Where the metadata say that the token endpoint is.
    pub token_endpoint: Option<String>,
    /// Where the metadata say that a device begins a sign-in.
    pub device_endpoint: Option<String>,
    /// The address to listen on.
    pub address: SocketAddr,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Nonces {
    Off,
    On,
    /// Each is accepted so many times, and every response has the current one.
    Uses(usize),
    /// Each is accepted once, and only a challenge has one.
    Challenge,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            fault: Fault::Nothing,
            faulty: Role::Resource,
            nonces: Nonces::On,
            refresh_jkt: None,
            lock_after: None,
            unavailable_for: 0,
            limit: 0,
            limit_after: 0,
            lock_for: 0,
            lock_after_fault: 0,
            unlocks: false,
            echoes: false,
            description: None,
            token_endpoint: None,
            device_endpoint: None,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
        }
    }
}

/// A running target. It runs until the program ends.
#[derive(Clone)]
pub struct Target(Arc<Inner>);

struct Inner {
    setup: Setup,
    origin: String,
    /// The second address of the resource.
    node: String,
    state: Mutex<State>,
    /// Called with the number of each request, before it is processed.
    on_request: Mutex<Option<OnRequest>>,
}

type OnRequest = Box<dyn Fn(usize) + Send>;

#[derive(Default)]
struct State {
    requests: Vec<Seen>,
    /// The tokens with the thumbprints that they are bound to.
    tokens: HashMap<String, String>,
    refresh_tokens: HashMap<String, String>,
    /// The pushed requests, by their reference, with the thumbprint of the proof.
    pushed: HashMap<String, Pushed>,
    /// The codes with the thumbprints that they are bound to.
    codes: HashMap<String, Option<String>>,
    /// The proofs that were accepted, with the nodes.
    proofs: HashSet<(usize, String)>,
    jtis: HashSet<(usize, String)>,
    refusals: usize,
    /// How many requests of the resource there were.
    orders: usize,
    /// How many requests are yet to be refused.
    locked: usize,
    nonces: HashMap<Role, (usize, usize)>,
}

/// A pushed authorization request.
struct Pushed {
    redirect_uri: String,
    state: String,
    jkt: Option<String>,
}

/// A request as it was received.
#[derive(Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    Authorization,
    Resource,
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap());

impl Target {
    pub fn start(setup: Setup) -> Self {
        let listeners = [setup.address, (Ipv4Addr::LOCALHOST, 0).into()].map(|address: SocketAddr| {
            let listener = TcpListener::bind(address).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        });
        let [origin, node] = [0, 1].map(|i: usize| {
            let address = listeners[i].local_addr().unwrap();
            match address.port() {
                80 => format!("http://{}", address.ip()),
                _ => format!("http://{address}"),
            }
        });
        let state = Mutex::default();
        let target = Self(Arc::new(Inner { setup, origin, node, state, on_request: Mutex::default() }));
        for (node, listener) in listeners.into_iter().enumerate() {
            let target = target.clone();
            let app = Router::new().fallback(move |request: Request<Body>| {
                let target = target.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = to_bytes(body, usize::MAX).await.unwrap();
                    target.respond(node, &Request::from_parts(parts, body)).map(Body::from)
                }
            });
            RUNTIME.spawn(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        }
        target
    }

    pub fn issuer(&self) -> &str {
        &self.0.origin
    }

    /// The URL of the resource.
    pub fn resource(&self) -> String {
        format!("{}/api/Orders", self.0.origin)
    }

    /// Another address of the resource.
    pub fn node(&self) -> String {
        format!("{}/api/Orders", self.0.node)
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.0.state.lock().unwrap().requests.clone()
    }

    /// The access tokens and the refresh tokens that were issued.
    pub fn issued(&self) -> Vec<String> {
        let state = self.0.state.lock().unwrap();
        state.tokens.keys().chain(state.refresh_tokens.keys()).cloned().collect()
    }

    pub fn on_request(&self, call: impl Fn(usize) + Send + 'static) {
        *self.0.on_request.lock().unwrap() = Some(Box::new(call));
    }

    fn respond(&self, node: usize, request: &Request<Bytes>) -> Response<String> {
        let seen = Seen {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: request.headers().clone(),
            body: String::from_utf8_lossy(request.body()).into_owned(),
        };
        let count = {
            let mut state = self.0.state.lock().unwrap();
            state.requests.push(seen.clone());
            state.requests.len()
        };
        if let Some(call) = &*self.0.on_request.lock().unwrap() {
            call(count);
        }
        let mut response = self.route(node, &seen);
        if self.0.setup.echoes {
            let fields: Vec<_> =
                seen.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
            *response.body_mut() = match serde_json::from_str::<Value>(response.body()) {
                Ok(Value::Object(mut members)) => {
                    members.insert("echo".to_owned(), json!({ "fields": fields, "body": seen.body }));
                    if members.get("error").is_some_and(Value::is_string) {
                        members.insert("error_description".to_owned(), respelled(&seen, count).into());
                    }
                    Value::Object(members).to_string()
                }
                _ => format!("{}\n{}", fields.join("\n"), seen.body),
            };
        }
        self.cors(&seen, response)
    }

    fn route(&self, node: usize, seen: &Seen) -> Response<String> {
        match (seen.method.as_str(), seen.path.as_str()) {
            ("OPTIONS", _) => respond(204, ""),
            ("GET", "/.well-known/oauth-authorization-server") => json_response(200, &self.metadata()),
            ("POST", "/token") => self.token(seen),
            ("POST", "/par") => self.pushed(seen),
            ("GET", "/authorize") => self.authorize(seen),
            ("GET", "/api/Orders") => self.orders(node, seen),
            ("GET", "/moved") => {
                let mut response = respond(302, "");
                response.headers_mut().insert("location", "/api/Orders".parse().unwrap());
                response
            }
            _ => respond(404, ""),
        }
    }

    fn fault(&self, role: Role) -> Fault {
        if self.0.setup.faulty == role { self.0.setup.fault } else { Fault::Nothing }
    }

    fn makes(&self, check: Check) -> bool {
        self.0.setup.fault.makes(check)
    }

    fn refuses(&self, excess: Excess) -> bool {
        self.0.setup.fault.refuses(excess)
    }

    fn cors(&self, seen: &Seen, mut response: Response<String>) -> Response<String> {
        if !seen.headers.contains_key("origin") {
            return response;
        }
        let headers = response.headers_mut();
        headers.insert("access-control-allow-origin", "*".parse().unwrap());
        if seen.method == "OPTIONS" && !self.refuses(Excess::CorsPreflight) {
            headers.insert("access-control-allow-headers", "Authorization, DPoP".parse().unwrap());
        }
        if !self.refuses(Excess::CorsExpose) {
            let fields = "DPoP-Nonce, WWW-Authenticate";
            headers.insert("access-control-expose-headers", fields.parse().unwrap());
        }
        response
    }

    fn metadata(&self) -> Value {
        let origin = &self.0.origin;
        let mut listed = signature::LISTED.to_vec();
        if !self.makes(Check::ListsAsymmetric) {
            listed.push("HS256");
        }
        if !self.makes(Check::ListsAll) {
            listed.retain(|name| *name != "ES256");
        }
        let methods = ["client_secret_basic", "none"];
        let mut metadata = json!({
            "issuer": origin,
            "token_endpoint": self.0.setup.token_endpoint.clone().unwrap_or(format!("{origin}/token")),
            "device_authorization_endpoint": self.0.setup.device_endpoint,
            "authorization_endpoint": format!("{origin}/authorize"),
            "pushed_authorization_request_endpoint": format!("{origin}/par"),
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": methods,
            "dpop_signing_alg_values_supported": listed,
        });
        if !self.makes(Check::ListsAlgorithms) {
            metadata.as_object_mut().unwrap().remove("dpop_signing_alg_values_supported");
        }
        metadata
    }

    /// Verifies the proof of a request and remembers it.
    fn verify(
        &self,
        role: Role,
        node: usize,
        seen: &Seen,
        token: Option<(&str, Option<&str>)>,
    ) -> Result<Accepted, Refused> {
        let other = if role == Role::Resource { Role::Authorization } else { Role::Resource };
        let nonce = (self.0.setup.nonces != Nonces::Off).then(|| self.nonce(role));
        let fields = seen.headers.get_all("dpop").iter();
        let fields: Vec<_> = fields.map(|field| field.to_str().unwrap().to_owned()).collect();
        let expected = Expected {
            method: &seen.method,
            url: &format!("{}{}", self.0.origin, seen.path),
            access_token: token.map(|(token, _)| token),
            jkt: token.and_then(|(_, jkt)| jkt),
            nonce: nonce.as_deref(),
            foreign_nonce: &self.nonce(other),
        };
        let accepted = verify(self.fault(role), &fields, &expected)
            .and_then(|accepted| self.remember(node, &accepted).map(|()| accepted));
        if accepted.is_err() {
            let mut state = self.0.state.lock().unwrap();
            state.refusals += 1;
            if matches!(accepted, Err(Refused::Proof)) {
                state.locked = self.0.setup.lock_for;
            }
        } else {
            let mut state = self.0.state.lock().unwrap();
            if role == Role::Resource && state.orders > self.0.setup.limit_after {
                state.locked = self.0.setup.limit;
            }
            if role == Role::Resource && verify(Fault::Nothing, &fields, &expected).is_err() {
                state.locked = self.0.setup.lock_after_fault;
            }
            drop(state);
            self.use_nonce(role);
        }
        accepted
    }

    /// Refuses a proof that was used before.
    fn remember(&self, node: usize, accepted: &Accepted) -> Result<(), Refused> {
        let mut state = self.0.state.lock().unwrap();
        let node = if self.makes(Check::SharedReplay) { 0 } else { node };
        let is_new = accepted.text.is_empty() || state.proofs.insert((node, accepted.text.clone()));
        let jti = accepted.jti.clone();
        let is_new_jti = jti.is_none_or(|jti| state.jtis.insert((node, jti)));
        let is_replay = !is_new && self.makes(Check::Replay);
        // A proof that is there twice has its `jti` twice as well.
        let is_replayed_jti = is_new && !is_new_jti && self.makes(Check::ReplayedJti);
        if is_replay || is_replayed_jti { Err(Refused::Proof) } else { Ok(()) }
    }

    fn nonce(&self, role: Role) -> String {
        let number = self.0.state.lock().unwrap().nonces.entry(role).or_default().0;
        let quote = if self.fault(role).makes(Check::NonceSyntax) { "" } else { "\"" };
        format!("{quote}nonce-{role:?}-{number}-{}", self.0.origin.len())
    }

    fn use_nonce(&self, role: Role) {
        let uses = match self.0.setup.nonces {
            Nonces::Uses(uses) => Some(uses),
            Nonces::Challenge => Some(1),
            Nonces::On | Nonces::Off => None,
        };
        if let Some(uses) = uses {
            let mut state = self.0.state.lock().unwrap();
            let (number, used) = state.nonces.entry(role).or_default();
            *used += 1;
            if *used >= uses {
                (*number, *used) = (*number + 1, 0);
            }
        }
    }

    fn is_locked(&self) -> bool {
        let refusals = self.0.state.lock().unwrap().refusals;
        self.0.setup.lock_after.is_some_and(|after| refusals > after)
    }

    fn with_nonce(&self, role: Role, mut response: Response<String>) -> Response<String> {
        if !self.fault(role).makes(Check::NonceAscii) {
            let nonce = HeaderValue::from_bytes(b"n\xf6nce").unwrap();
            response.headers_mut().insert("dpop-nonce", nonce);
        }
        if self.0.setup.nonces == Nonces::Off {
            return response;
        }
        let (nonce, headers) = (self.nonce(role), response.headers_mut());
        headers.append("dpop-nonce", nonce.parse().unwrap());
        if !self.fault(role).makes(Check::OneNonce) {
            headers.append("dpop-nonce", nonce.parse().unwrap());
        }
        if self.makes(Check::NonceNoStore) {
            headers.insert("cache-control", "no-store".parse().unwrap());
        }
        response
    }

    fn error_code(&self, refused: &Refused) -> &'static str {
        match refused {
            Refused::Nonce => "use_dpop_nonce",
            Refused::Proof if self.makes(Check::ErrorCode) => "invalid_dpop_proof",
            Refused::Proof => "invalid_request",
        }
    }

    // ---- The resource

    fn orders(&self, node: usize, seen: &Seen) -> Response<String> {
        let orders = {
            let mut state = self.0.state.lock().unwrap();
            state.orders += 1;
            state.orders
        };
        if orders <= self.0.setup.unavailable_for {
            return respond(503, "");
        }
        let Some(field) = seen.headers.get("authorization") else {
            return self.unauthorized(None);
        };
        let (scheme, token) = field.to_str().unwrap().split_once(' ').unwrap();
        if self.is_locked() {
            return self.unauthorized(Some("invalid_token"));
        }
        {
            let mut state = self.0.state.lock().unwrap();
            if state.locked > 0 {
                state.locked -= 1;
                drop(state);
                return self.unauthorized(Some("invalid_dpop_proof"));
            }
        }
        let is_dpop = match self.refuses(Excess::SchemeCase) {
            true => scheme == "DPoP",
            false => scheme.eq_ignore_ascii_case("dpop"),
        };
        let has_proof = seen.headers.contains_key("dpop");
        if scheme == "Bearer" && has_proof && self.refuses(Excess::NonceForBearer) {
            return self.unauthorized(Some("use_dpop_nonce"));
        }
        if scheme == "Bearer" && !has_proof && !self.makes(Check::NoBearerWithoutProof) {
            return self.with_nonce_on_success(Role::Resource, json_response(200, &json!({ "orders": [] })));
        }
        let is_accepted = is_dpop || scheme == "Bearer" && has_proof && !self.makes(Check::NoBearerWithProof);
        if !is_accepted {
            return self.unauthorized(Some("invalid_token"));
        }
        let jkt = self.0.state.lock().unwrap().tokens.get(token).cloned();
        if jkt.is_none() && self.makes(Check::KnownToken) {
            return self.unauthorized(Some("invalid_token"));
        }
        match self.verify(Role::Resource, node, seen, Some((token, jkt.as_deref()))) {
            Ok(_) => self.with_nonce_on_success(Role::Resource, json_response(200, &json!({ "orders": [] }))),
            Err(refused) => self.unauthorized(Some(self.error_code(&refused))),
        }
    }

    /// Only nonces that are used up change with a success.
    fn with_nonce_on_success(&self, role: Role, response: Response<String>) -> Response<String> {
        match self.0.setup.nonces {
            Nonces::Uses(_) => self.with_nonce(role, response),
            Nonces::On | Nonces::Off | Nonces::Challenge => response,
        }
    }

    fn unauthorized(&self, error: Option<&str>) -> Response<String> {
        let scheme = if self.makes(Check::Challenge) { "DPoP" } else { "Other" };
        let algs = if self.makes(Check::ChallengeAlgs) { ", algs=\"ES256\"" } else { "" };
        let parameter = error.map_or(String::new(), |error| format!(", error=\"{error}\""));
        let body = json!({ "error": error, "error_description": self.0.setup.description });
        let mut response = json_response(401, &body);
        let challenge = format!("{scheme} realm=\"orders\"{algs}{parameter}");
        response.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
        self.with_nonce(Role::Resource, response)
    }

    // ---- The authorization server

    fn token(&self, seen: &Seen) -> Response<String> {
        if self.is_locked() && !self.0.setup.unlocks || !self.is_client(seen) {
            return json_response(401, &json!({ "error": "invalid_client" }));
        }
        let accepted = match self.verify(Role::Authorization, 0, seen, None) {
            Ok(accepted) => accepted,
            Err(refused) => return self.bad_request(self.error_code(&refused)),
        };
        let jkt = accepted.jkt.unwrap_or_default();
        let form: HashMap<_, _> = form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect();
        let mut body = json!({ "token_type": "DPoP", "expires_in": 600 });
        match form.get("grant_type").map(String::as_str) {
            Some("client_credentials") => {}
            Some("refresh_token") => {
                let mut state = self.0.state.lock().unwrap();
                if let Some(bound) = &self.0.setup.refresh_jkt
                    && state.refresh_tokens.is_empty()
                {
                    state.refresh_tokens.insert(REFRESH_TOKEN.to_owned(), bound.clone());
                }
                let bound = state.refresh_tokens.remove(&form["refresh_token"]);
                let is_bound = bound.as_ref() == Some(&jkt) || jkt.is_empty();
                if bound.is_none() || !is_bound && self.makes(Check::RefreshBinding) {
                    drop(state);
                    return self.bad_request("invalid_grant");
                }
                let next = format!("refresh-token-{}", state.requests.len());
                state.refresh_tokens.insert(next.clone(), bound.unwrap());
                body["refresh_token"] = next.into();
            }
            Some("authorization_code") => {
                let bound = self.0.state.lock().unwrap().codes.remove(&form["code"]);
                let is_bound = bound.as_ref().is_some_and(|bound| bound.as_ref() == Some(&jkt));
                if bound.is_none() || !is_bound && self.makes(Check::CodeBinding) {
                    return self.bad_request("invalid_grant");
                }
                if self.0.setup.refresh_jkt.is_some() {
                    let mut state = self.0.state.lock().unwrap();
                    let next = format!("refresh-token-{}", state.requests.len());
                    state.refresh_tokens.insert(next.clone(), jkt.clone());
                    body["refresh_token"] = next.into();
                }
            }
            _ => return self.bad_request("unsupported_grant_type"),
        }
        let token = self.new_token(self.makes(Check::TokenBinding).then_some(jkt.as_str()));
        let mut state = self.0.state.lock().unwrap();
        state.tokens.insert(token.clone(), jkt);
        if self.0.setup.unlocks {
            state.refusals = 0;
        }
        drop(state);
        body["access_token"] = token.into();
        let mut response = self.with_nonce_on_success(Role::Authorization, json_response(200, &body));
        if self.makes(Check::TokenNoStore) {
            response.headers_mut().insert("cache-control", "no-store".parse().unwrap());
        }
        response
    }

    fn pushed(&self, seen: &Seen) -> Response<String> {
        if !self.is_client(seen) {
            return json_response(401, &json!({ "error": "invalid_client" }));
        }
        let form: HashMap<_, _> = form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect();
        let jkt = match self.verify(Role::Authorization, 0, seen, None) {
            Ok(accepted) => accepted.jkt,
            Err(Refused::Proof) if !self.makes(Check::ParProof) => None,
            Err(refused) => return self.bad_request(self.error_code(&refused)),
        };
        let is_same = jkt.is_none() || form.get("dpop_jkt").is_none_or(|named| Some(named) == jkt.as_ref());
        if !is_same && self.makes(Check::ParJkt) {
            return self.bad_request("invalid_request");
        }
        let text = |name: &str| form.get(name).cloned().unwrap_or_default();
        let mut state = self.0.state.lock().unwrap();
        let reference = format!("urn:example:{}", state.requests.len());
        let pushed = Pushed { redirect_uri: text("redirect_uri"), state: text("state"), jkt };
        state.pushed.insert(reference.clone(), pushed);
        json_response(201, &json!({ "request_uri": reference, "expires_in": 60 }))
    }

    /// The user agrees at once.
    fn authorize(&self, seen: &Seen) -> Response<String> {
        let query: HashMap<_, _> = form_urlencoded::parse(seen.query.as_bytes()).into_owned().collect();
        let mut state = self.0.state.lock().unwrap();
        let pushed = state.pushed.remove(&query["request_uri"]).unwrap();
        let code = format!("authorization-code-{}", state.requests.len());
        let location = format!("{}?code={code}&state={}", pushed.redirect_uri, pushed.state);
        state.codes.insert(code, pushed.jkt);
        let mut response = respond(302, "");
        response.headers_mut().insert("location", location.parse().unwrap());
        response
    }

    fn bad_request(&self, error: &str) -> Response<String> {
        self.with_nonce(Role::Authorization, json_response(400, &json!({ "error": error })))
    }

    fn is_client(&self, seen: &Seen) -> bool {
        if self.0.setup.refresh_jkt.is_some() {
            return true;
        }
        let field = seen.headers.get("authorization").map(|field| field.to_str().unwrap().to_owned());
        let pair = field.and_then(|field| from_base64(field.strip_prefix("Basic ")?));
        // RFC 6749 §2.3.1: both are form-encoded.
        let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
        pair.is_some_and(|(id, secret)| id == CLIENT_ID && form_decoded(secret) == CLIENT_SECRET)
    }

    /// A JWT whose signature nobody looks at.
    fn new_token(&self, jkt: Option<&str>) -> String {
        let number = self.0.state.lock().unwrap().tokens.len();
        let claims = json!({ "jti": number, "cnf": jkt.map(|jkt| json!({ "jkt": jkt })) });
        let encode = |part: &str| Base64UrlUnpadded::encode_string(part.as_bytes());
        let header = encode(r#"{"typ":"at+jwt","alg":"ES256"}"#);
        format!("{header}.{}.{}", encode(&claims.to_string()), encode("a signature"))
    }
}

fn form_decoded(text: &str) -> String {
    let form = format!("a={text}");
    form_urlencoded::parse(form.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

/// Returns the secrets of a request as debugging output may spell them, each time in another way. It is
/// short, as reports do not have all of a long text.
fn respelled(seen: &Seen, count: usize) -> String {
    let field = |name: &str| seen.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let credentials = field("authorization").split_once(' ').map_or("", |(_, rest)| rest);
    let pair = from_base64(credentials).unwrap_or_default();
    let forms = [&seen.body, &seen.query].map(|form| form_urlencoded::parse(form.as_bytes()));
    let fields = forms.into_iter().flatten().filter(|(name, _)| name == "apikey");
    let values: Vec<_> = fields.map(|(_, value)| value.into_owned()).collect();
    let plain = format!("{} {}", form_decoded(&pair), values.join(" "));
    let json = Value::from(plain.as_str()).to_string();
    let percent = || plain.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    match count % 13 {
        0 => credentials.to_owned(),
        1 => format!("{pair} {}", seen.body),
        2 => json,
        3 => percent(),
        4 => percent().to_lowercase(),
        5 => Value::from(json).to_string(),
        6 => plain.replace(' ', "%20").replace('"', "%22").replace('\\', "%5c").replace('+', "%2b"),
        7 => plain.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect(),
        8 => field("dpop").rsplit('.').next().unwrap_or_default().to_owned(),
        9 => character_references(&plain),
        10 => plain.chars().map(|c| format!("&#x{:X};", u32::from(c))).collect(),
        11 => plain.replace('&', "&amp;").replace('/', "&sol;").replace('+', "&plus;").replace(' ', "&#032;"),
        _ => plain,
    }
}

/// Returns a text as the character references of HTML.
pub fn character_references(text: &str) -> String {
    text.chars().map(|c| format!("&#{};", u32::from(c))).collect()
}

fn respond(status: u16, body: &str) -> Response<String> {
    let mut response = Response::new(body.to_owned());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn json_response(status: u16, body: &Value) -> Response<String> {
    let mut response = respond(status, &body.to_string());
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}
