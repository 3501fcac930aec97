//! C-71: secrets in no log line, no `Debug`, no `Display` and no error. Canaries are put wherever a secret goes, and every
//! flow runs over loopback under a logger that takes everything.
//!
//! Panics are not looked at, because none could be provoked.
#![cfg(feature = "ureq")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: what fails here fails a test"
)]

mod common;

use std::cell::Cell;
use std::error::Error as _;
use std::fmt::{Debug, Write as _};
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::{Mutex, Once, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, SystemTime};

use base64ct::{Base64UrlUnpadded, Encoding};
use common::{JSON, Peer, Then, form, http, values};
use http::{HeaderMap, Method};
use possession::server::*;
use possession::server::*;
use possession::*;

const SECRET: &str = "canary-secret-0123456789abcdef0123456789abcdef0123456789abcdef";
const ACCESS_TOKEN: &str = "canary-access-token-0123456789";
const REFRESH_TOKEN: &str = "canary-refresh-token-0123456789";
const PARAMETER: &str = "canary-parameter-0123456789";
const QUERY: &str = "canary-query-0123456789";
const PASSWORD: &str = "canary-password-0123456789";

// ---- Capturing

struct Line {
    thread: ThreadId,
    target: String,
    text: String,
}

struct Capture;

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

thread_local! {
    /// Whether this thread wants to see the bytes that ureq-proto dumps at TRACE.
    static DUMP: Cell<bool> = const { Cell::new(false) };
}

const DUMPS: &str = "ureq_proto::util";

impl log::Log for Capture {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() != DUMPS || DUMP.get()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let (target, text) = (record.target().to_owned(), record.args().to_string());
            let line = Line { thread: thread::current().id(), target, text };
            LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    fn flush(&self) {}
}

fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Capture).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// What this thread logged.
fn logged() -> Vec<(String, String)> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let own = lines.iter().filter(|line| line.thread == thread::current().id());
    own.map(|line| (line.target.clone(), line.text.clone())).collect()
}

/// The forms in which a secret would be readable: itself, and its bytes in hexadecimal or as `Debug` of a slice.
fn forms(secret: &[u8]) -> Vec<String> {
    // Twelve bytes are enough to know it, should it be cut.
    let bytes = &secret[..secret.len().min(12)];
    let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let list = format!("{bytes:?}").trim_matches(['[', ']']).to_owned();
    let text = std::str::from_utf8(bytes).ok().map(str::to_owned);
    text.into_iter().chain([hex.to_uppercase(), hex, list]).collect()
}

/// Everything that was shown, and everything that must not have been.
#[derive(Default)]
struct Watch {
    shown: Vec<String>,
    secrets: Vec<Vec<u8>>,
}

impl Watch {
    fn new() -> Self {
        capture();
        let mut watch = Self::default();
        for secret in [SECRET, ACCESS_TOKEN, REFRESH_TOKEN] {
            watch.secret(secret);
        }
        watch
    }

    fn secret(&mut self, secret: impl AsRef<[u8]>) {
        assert!(secret.as_ref().len() >= 12);
        self.secrets.push(secret.as_ref().to_vec());
    }

    fn show(&mut self, value: impl Debug) {
        self.shown.push(format!("{value:?}"));
        self.shown.push(format!("{value:#?}"));
    }

    /// An error with all its sources.
    fn show_error(&mut self, error: &Error) {
        self.show(error);
        self.shown.push(error.to_string());
        let mut source = error.source();
        while let Some(error) = source {
            self.show(error);
            self.shown.push(error.to_string());
            source = error.source();
        }
    }

    fn show_result<T: Debug>(&mut self, result: &Result<T, Error>) {
        match result {
            Ok(value) => self.show(value),
            Err(error) => self.show_error(error),
        }
    }

    /// Private key: its scalar, in both encodings, and the lines of its PEM.
    fn key(&mut self, key: &KeyPair) {
        let jwk: serde_json::Value = serde_json::from_str(&key.to_jwk()).unwrap();
        let d = jwk["d"].as_str().unwrap();
        self.secret(d);
        self.secret(Base64UrlUnpadded::decode_vec(d).unwrap());
        for line in key.to_pkcs8_pem().unwrap().lines().filter(|line| !line.starts_with('-')) {
            // The first line begins with what all keys of a kind have in common.
            self.secret(line.get(line.len() - 12..).unwrap());
        }
    }

    /// What was sent: the values after the scheme, the proofs, the assertions, and of these the signatures by themselves.
    fn sent(&mut self, peer: &Peer) {
        for seen in peer.seen() {
            let (form, authorization) = (form(&seen.body), seen.header_values("authorization"));
            let credentials = authorization.iter().map(|field| field.split_once(' ').unwrap().1);
            let sent = credentials.chain(seen.header_values("dpop")).chain(values(&form, "client_assertion"));
            for value in sent.map(str::to_owned).collect::<Vec<_>>() {
                // A JWT begins with its header, which is no secret.
                let jwt = value.split('.').count() == 3;
                let secret = if jwt { value.rsplit('.').next().unwrap() } else { &value };
                self.secret(secret);
                if jwt {
                    self.secret(value.split('.').nth(1).unwrap());
                }
            }
        }
    }

    fn leaks(&self, lines: &[(String, String)]) -> Vec<String> {
        let forms: Vec<_> = self.secrets.iter().flat_map(|secret| forms(secret)).collect();
        let logged = lines.iter().map(|(target, text)| format!("{target}: {text}"));
        let texts = self.shown.iter().cloned().chain(logged);
        texts.filter(|text| forms.iter().any(|form| text.contains(form))).collect()
    }

    fn check(&self) {
        let leaks = self.leaks(&logged());
        assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    }
}

// ---- Flows

const CHALLENGE: (&str, &str) = ("www-authenticate", "DPoP error=\"use_dpop_nonce\"");
const NONCE: (&str, &str) = ("dpop-nonce", "n-1");

fn token_body(token_type: &str) -> String {
    format!(
        r#"{{"access_token":"{ACCESS_TOKEN}","token_type":"{token_type}","refresh_token":"{REFRESH_TOKEN}","expires_in":0}}"#
    )
}

/// Scripts of a token endpoint, good and bad: the last answers hold the token where it must not be shown.
fn token_scripts() -> Vec<Vec<String>> {
    let good = || http(200, &[JSON], &token_body("DPoP"));
    let error = r#"{"error":"invalid_client","error_description":"no"}"#;
    let bad = format!(r#"{{"access_token":"{ACCESS_TOKEN} ","token_type":"DPoP"}}"#);
    let numbers =
        format!(r#"{{"access_token":"{ACCESS_TOKEN}","token_type":"DPoP","expires_in":"{ACCESS_TOKEN}"}}"#);
    let twice =
        format!(r#"{{"access_token":"{ACCESS_TOKEN}","access_token":"{ACCESS_TOKEN}","token_type":"DPoP"}}"#);
    vec![
        vec![good()],
        vec![http(400, &[JSON, NONCE], r#"{"error":"use_dpop_nonce"}"#), good()],
        vec![http(401, &[CHALLENGE, NONCE], ""), http(401, &[CHALLENGE, ("dpop-nonce", "n-2")], "")],
        vec![http(401, &[JSON], error)],
        vec![http(500, &[], "<p>")],
        vec![http(302, &[("location", "https://evil.example/")], "")],
        vec![http(200, &[JSON], &token_body("Bearer"))],
        vec![http(200, &[JSON], &token_body("N_A"))],
        vec![http(200, &[("content-type", "text/html")], &token_body("DPoP"))],
        vec![http(200, &[JSON], &token_body("DPoP").replace('}', ""))],
        vec![http(201, &[JSON], &token_body("DPoP"))],
        vec![http(200, &[JSON], &bad)],
        vec![http(200, &[JSON], &numbers)],
        vec![http(200, &[JSON], &twice)],
        vec![http(200, &[JSON], "x").replace("content-length: 1", "content-length: 9999999")],
        vec!["not HTTP\r\n\r\n".to_owned()],
    ]
}

fn resource_scripts() -> Vec<Vec<String>> {
    vec![
        vec![http(401, &[CHALLENGE, NONCE], ""), http(200, &[], "ok")],
        vec![http(400, &[JSON, NONCE], r#"{"error":"use_dpop_nonce"}"#), http(200, &[], "ok")],
        vec![http(401, &[("www-authenticate", "DPoP error=invalid_token")], "")],
        vec![http(307, &[("location", "https://evil.example/")], "")],
        vec!["not HTTP\r\n\r\n".to_owned()],
    ]
}

/// A server that closes each connection after its answer, so that nothing waits for what was announced and does not come.
fn closing(script: Vec<String>) -> Peer {
    Peer::start(move |number, _, stream| {
        let answer = script.get(number).or(script.last()).unwrap();
        stream.write_all(answer.as_bytes()).map(|()| Then::Close)
    })
}

fn transport() -> Transport {
    Transport::builder().timeout(Duration::from_secs(20)).build()
}

fn metadata(peer: &Peer) -> AuthorizationServer {
    let server = AuthorizationServer::builder(&peer.origin).token_endpoint(peer.url("/token"));
    server.dangerous_allow_http_on_loopback().build().unwrap()
}

/// Every method that has a secret.
fn methods(watch: &mut Watch) -> Vec<ClientAuth> {
    let mut key = |algorithm| {
        let key = KeyPair::generate(algorithm).unwrap();
        watch.key(&key);
        key
    };
    vec![
        ClientAuth::client_secret_basic(SECRET),
        ClientAuth::client_secret_basic_unencoded(SECRET),
        ClientAuth::client_secret_post(SECRET),
        ClientAuth::client_secret_jwt(SECRET, HmacAlgorithm::Hs256),
        ClientAuth::client_secret_jwt(SECRET, HmacAlgorithm::Hs512), // too short: refused
        ClientAuth::private_key_jwt(key(Algorithm::Es256)),
        ClientAuth::private_key_jwt_with(key(Algorithm::Ed25519), AssertionOptions::new().kid("k")),
    ]
}

fn run_grants(watch: &mut Watch) {
    for auth in methods(watch) {
        let key = KeyPair::generate(Algorithm::Es256).unwrap();
        watch.key(&key);
        watch.show(&auth);
        watch.show(&key);
        let prover = Prover::new(key).unwrap();
        watch.show(&prover);
        for script in token_scripts() {
            let (peer, http) = (closing(script), transport());
            let (server, client) = (metadata(&peer), Client::new("app").unwrap());
            let options = RequestOptions::new().prover(&prover).http(&http);
            watch.show((&options, &server, &client));
            let response =
                client_credentials_grant_request(&server, &client, &auth, Parameters::new(), &options);
            watch.show_result(&response);
            if let Ok(response) = response {
                let token = process_client_credentials_response(&server, &client, response);
                watch.show_result(&token);
            }
            watch.sent(&peer);
        }
    }
}

fn run_calls(watch: &mut Watch) {
    for script in resource_scripts() {
        let tokens = closing(vec![http(200, &[JSON], &token_body("DPoP"))]);
        let resource = closing(script);
        let key = KeyPair::generate(Algorithm::Ed25519).unwrap();
        watch.key(&key);
        let builder = Session::builder("", "app").auth(ClientAuth::client_secret_basic(SECRET)).key(key);
        let builder = builder.transport(transport());
        watch.show(&builder);
        let session = builder.server(metadata(&tokens)).unwrap();
        watch.show((&session, session.prover(), session.server()));
        for _ in 0..2 {
            watch.show_result(&session.get(&resource.url("/")));
            watch.show_result(&session.post(&resource.url("/"), "text/plain", "x"));
        }
        watch.show_result(&session.access_token());
        watch.show(&session);
        watch.sent(&tokens);
        watch.sent(&resource);
    }
}

// ---- Tests

/// The check finds what it is there to find.
#[test]
fn a_leak_is_found_in_every_form() {
    let watch = Watch::new();
    let line = |text: String| vec![("target".to_owned(), text)];
    assert!(watch.leaks(&line("nothing".to_owned())).is_empty());
    for text in [
        format!("x{SECRET}y"),
        format!("{:?}", SECRET.as_bytes()),
        format!("{:02x?}", SECRET.as_bytes()).replace(", ", ""),
        SECRET[..20].to_owned(),
    ] {
        assert_eq!(watch.leaks(&line(text)).len(), 1);
    }
    log::trace!("{ACCESS_TOKEN}");
    assert_eq!(watch.leaks(&logged()).len(), 1);
}

#[test]
fn c_71_no_grant_shows_a_secret() {
    let mut watch = Watch::new();
    run_grants(&mut watch);
    watch.check();
    // There was something to look at.
    assert!(watch.secrets.len() > 200 && watch.shown.len() > 500);
    for target in ["possession", "ureq"] {
        assert!(logged().iter().any(|(logger, _)| logger.starts_with(target)), "{target}");
    }
}

#[test]
fn c_71_no_call_shows_a_secret() {
    let mut watch = Watch::new();
    run_calls(&mut watch);
    watch.check();
    assert!(watch.secrets.len() > 50 && watch.shown.len() > 50);
}

/// What ureq-proto, below ureq, dumped in this thread at TRACE: every byte of heads and answers, in rows of 16.
fn dumped() -> Vec<(String, String)> {
    let mut bytes = Vec::new();
    for (_, row) in logged().into_iter().filter(|(target, _)| target == DUMPS) {
        // Eight groups of four digits and a space each, `--` where there is nothing.
        let digits: String = row.chars().take(40).filter(char::is_ascii_hexdigit).collect();
        bytes.extend(
            (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()),
        );
    }
    vec![(DUMPS.to_owned(), String::from_utf8_lossy(&bytes).into_owned())]
}

#[test]
fn c_71_nothing_is_sent_while_the_log_would_take_every_octet() {
    DUMP.set(true);
    let mut watch = Watch::new();
    run_grants(&mut watch);
    run_calls(&mut watch);
    assert!(watch.leaks(&dumped()).is_empty(), "{}", dumped()[0].1);

    let agent = Transport::from_agent(ureq::Agent::new_with_defaults());
    let send = |transport: &Transport| {
        let peer = closing(vec![http(200, &[JSON], &token_body("DPoP"))]);
        let prover = Prover::new(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
        let (server, client) = (metadata(&peer), Client::new("app").unwrap());
        let (auth, options) =
            (ClientAuth::client_secret_basic(SECRET), RequestOptions::new().prover(&prover).http(transport));
        let result =
            client_credentials_grant_request(&server, &client, &auth, Parameters::new(), &options).map(drop);
        (result, peer.connections())
    };
    for transport in [transport(), agent.clone()] {
        let (result, connections) = send(&transport);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), connections), (&ErrorKind::Transport, 0));
        assert!(error.to_string().contains("ureq_proto"), "{error}");
    }
    // Whoever asks for it by its name gets it; and here is what there is to see then.
    let (result, connections) = send(&agent.dangerous_allow_trace_log());
    assert_eq!((result, connections), (Ok(()), 1));
    assert!(!watch.leaks(&dumped()).is_empty());
}

#[test]
fn c_71_no_value_on_the_way_shows_a_secret() {
    let mut watch = Watch::new();
    let server =
        AuthorizationServer::builder("https://as.example").token_endpoint("https://as.example/token");
    let (server, client) = (server.build().unwrap(), Client::new("app").unwrap());
    for auth in methods(&mut watch) {
        let prover = Prover::new(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
        let options = RequestOptions::new().prover(&prover);
        let parameters = Parameters::new().scope("a");
        let Ok(mut exchange) =
            TokenRequest::client_credentials(&server, &client, &auth, parameters, &options)
        else {
            continue;
        };
        watch.show(&exchange);
        let now = SystemTime::now();
        let request = exchange.request(now).unwrap();
        for name in ["authorization", "dpop"] {
            if let Some(value) = request.headers().get(name) {
                watch.secret(value.to_str().unwrap().rsplit([' ', '.']).next().unwrap());
            }
        }
        if let Some(assertion) = values(&form(request.body()), "client_assertion").first() {
            watch.secret(assertion.rsplit('.').next().unwrap());
        }
        watch.show((&request, request.body(), request.headers(), &exchange));
        let answer = http::Response::builder().header("content-type", "application/json");
        let step = exchange.receive(answer.body(token_body("DPoP").into_bytes()).unwrap(), now).unwrap();
        watch.show(&step);
        let Step::Done(response) = step else { continue };
        let token = process_client_credentials_response(&server, &client, response).unwrap();
        assert_eq!((token.access_token(), token.refresh_token()), (ACCESS_TOKEN, Some(REFRESH_TOKEN)));
        watch.show(&token);

        let url = format!("https://api.example/?{QUERY}");
        watch.secret(QUERY);
        let mut call = ResourceRequest::new(&server, &prover, ACCESS_TOKEN, &Method::GET, &url).unwrap();
        let mut headers = HeaderMap::new();
        call.authorize(&mut headers, now).unwrap();
        watch.secret(headers["dpop"].to_str().unwrap().rsplit('.').next().unwrap());
        watch.show((&call, &headers));
        watch.show(Proof::new(&http::Method::GET, &url).unwrap().access_token(ACCESS_TOKEN));
    }
    watch.check();
}

/// Parameters may hold secrets as well (a password, a token to exchange): the library wipes them for that reason.
#[test]
fn c_71_parameters_do_not_show_their_values() {
    let mut watch = Watch::new();
    watch.secret(PARAMETER);
    watch.show(Parameters::new().parameter("subject_token", PARAMETER));
    watch.check();
}

/// What a server receives can be used until it has been checked.
#[test]
fn c_71_a_received_request_does_not_show_its_proof() {
    let mut watch = Watch::new();
    let key = KeyPair::generate(Algorithm::Ed25519).unwrap();
    let proof = Proof::new(&http::Method::POST, "https://as.example/token")
        .unwrap()
        .sign(&key, SystemTime::now())
        .unwrap();
    // All of it in one form or the other: the header at its start is shown by nothing else.
    watch.secret(&proof);
    let headers = HeaderMap::from_iter([("dpop".parse().unwrap(), proof.parse().unwrap())]);
    watch.show(ReceivedRequest::new(&Method::POST, "https://as.example/token", &headers).unwrap());
    watch.check();
}

#[test]
fn c_71_no_refusal_of_a_key_shows_it() {
    let mut watch = Watch::new();
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    watch.key(&key);
    let (jwk, pem) = (key.to_jwk(), key.to_pkcs8_pem().unwrap());
    let other = KeyPair::generate(Algorithm::Es256).unwrap();
    let json: serde_json::Value = serde_json::from_str(&jwk).unwrap();
    let with = |name: &str, value: serde_json::Value| {
        let mut json = json.clone();
        json[name] = value;
        json.to_string()
    };
    let other: serde_json::Value = serde_json::from_str(other.to_public().to_jwk()).unwrap();
    let jwks = [
        jwk.replace('}', ""),
        jwk.replace("}", ",}"),
        jwk.replace("}", ",\"d\":1}"),
        with("x", other["x"].clone()),
        with("kty", "RSA".into()),
        with("crv", "P-384".into()),
        with("alg", "RS256".into()),
        with("kid", 1.into()),
        format!("\"{}\"", json["d"].as_str().unwrap()),
        json["d"].as_str().unwrap().to_owned(),
    ];
    for jwk in jwks {
        let error = KeyPair::from_jwk(&jwk).unwrap_err();
        watch.show_error(&error);
        watch.show_result(&PublicKey::from_jwk(&jwk));
        watch.show_result(&Thumbprint::from_jwk(&jwk));
    }
    watch.show_error(&PublicKey::from_jwk(&jwk).unwrap_err());
    let pems = [
        pem.replace("PRIVATE KEY", "EC PRIVATE KEY"),
        pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        pem.replace("-----END", "-----"),
        pem.replace("M", "!"),
        pem.replacen("MIGH", "MIGI", 1),
        pem.lines().nth(1).unwrap().to_owned(),
    ];
    for pem in pems {
        watch.show_error(&KeyPair::from_pkcs8_pem(&pem).unwrap_err());
        let builder = Transport::builder();
        watch.show_result(&builder.clone().client_certificate_pem(pem.as_bytes(), pem.as_bytes()));
        watch.show_result(&builder.root_certificates_pem(pem.as_bytes()));
    }
    watch.check();
}

/// A URL can hold secrets in its user information and its query: no error repeats them.
#[test]
fn c_71_no_error_shows_the_secret_parts_of_a_url() {
    let mut watch = Watch::new();
    watch.secret(QUERY);
    watch.secret(PASSWORD);
    let tokens = closing(vec![http(200, &[JSON], &token_body("DPoP"))]);
    let broken = closing(vec![String::new()]);
    let session = Session::builder("", "app").transport(transport()).server(metadata(&tokens)).unwrap();
    let host = broken.origin.replace("http://", "");
    for url in [
        broken.url(&format!("/?{QUERY}")),
        format!("https://user:{PASSWORD}@{host}/?{QUERY}"),
        format!("https://{PASSWORD}@{host}/../?{QUERY}"),
        format!("http://api.example/?{QUERY}"),
        broken.url(&format!("/#{QUERY}\n")),
    ] {
        watch.show_error(&session.get(&url).unwrap_err());
        for content_type in ["text/plain", "text/\nplain"] {
            watch.show_error(&session.post(&url, content_type, "").unwrap_err());
        }
        watch.show_result(&Proof::new(&http::Method::GET, &url));
        watch.show_error(&Discovery::new(&url).unwrap_err());
        let server = AuthorizationServer::builder("https://as.example").token_endpoint(&url);
        watch.show_result(&server.build());
    }
    // At TRACE ureq logs the URL of a request that is sent, with its query: that is not looked at here.
    let own: Vec<_> = logged().into_iter().filter(|(target, _)| target.starts_with("possession")).collect();
    let leaks = watch.leaks(&own);
    assert!(leaks.is_empty(), "{leaks:#?}");
}

/// The password of a proxy is in the transport, and on the wire to the proxy.
#[test]
fn c_71_no_proxy_shows_its_password() {
    let mut watch = Watch::new();
    watch.secret(PASSWORD);
    let proxy = closing(vec![http(407, &[], "")]);
    let address = proxy.origin.replace("http://", "");
    let uri = format!("http://user:{PASSWORD}@{address}");
    let builder = Transport::builder().proxy(Some(ureq::Proxy::new(&uri).unwrap()));
    watch.show(&builder);
    let transport = builder.timeout(Duration::from_secs(20)).build();
    watch.show(&transport);
    let target = format!("http://{}:9", Ipv4Addr::LOCALHOST);
    let discovery = Discovery::dangerous_allow_http_on_loopback(&target).unwrap();
    watch.show_error(&discovery.run(&transport).unwrap_err());
    let seen = proxy.seen();
    let mut lines = String::new();
    seen.iter().for_each(|seen| writeln!(lines, "{}", seen.line).unwrap());
    assert!(!seen.is_empty(), "the proxy was asked");
    for seen in &seen {
        let fields = seen.header_values("proxy-authorization");
        fields.iter().for_each(|field| watch.secret(field.split_once(' ').unwrap().1));
    }
    watch.check();
}

/// A session that runs long: renewals, back-off, refusals, clocks, another key, an agent, another client, streams; and what the
/// test server shows of itself.
#[test]
fn c_71_no_session_that_runs_long_shows_a_secret() {
    use possession::testing::{Endpoint, ManualClock, Quirk, TestServer, When};

    let mut watch = Watch::new();
    let [key, next, assertion] = [(); 3].map(|()| KeyPair::generate(Algorithm::Es256).unwrap());
    let clock = ManualClock::new();
    let builder = TestServer::builder().clock(clock.clone()).client("app", SECRET);
    let server = builder.client_public_key(assertion.to_public()).start().unwrap();
    for key in [&key, &next, &assertion] {
        watch.key(key);
    }
    watch.secret(PARAMETER);
    let url = server.resource(&format!("/?{QUERY}"));
    let quiet = |builder: SessionBuilder| {
        builder
            .clock(clock.clone())
            .parameter("extra", PARAMETER)
            .resource_origins([server.resource_origin()])
    };
    let basic = quiet(server.session().key(key)).discover().unwrap();
    let jwt = quiet(server.session().auth(ClientAuth::private_key_jwt(assertion))).discover().unwrap();
    let lax = quiet(server.session().dangerous_accept_bearer()).discover().unwrap();
    for session in [&basic, &jwt, &lax] {
        watch.show(session);
        watch.show(session.get(&url).unwrap().headers());
        // Renewed ahead, and after a refusal.
        clock.advance(Duration::from_secs(3_550));
        session.get(&url).unwrap();
        server.revoke_tokens();
        session.get(&url).unwrap();
        // Failures and pauses, by every kind of refusal.
        for (times, quirk) in [
            (2, Quirk::Refuse { status: 503, retry_after: Some(3) }),
            (9, Quirk::Refuse { status: 429, retry_after: Some(500) }),
            (9, Quirk::Html { status: 502 }),
            (1, Quirk::Html { status: 400 }),
            (1, Quirk::CloseWithoutResponse),
            (2, Quirk::DuplicateMember { name: "access_token".to_owned(), json: "7".to_owned() }),
            (2, Quirk::ContentType("text/html".to_owned())),
            (1, Quirk::RefuseProofs),
            // The first request is asked for a nonce.
            (2, Quirk::Bearer),
        ] {
            session.discard_token();
            server.misbehave(Endpoint::Token, When::Next(times), quirk);
            watch.show_result(&session.get(&url));
            watch.show_result(&session.access_token());
            server.behave();
            clock.advance(Duration::from_secs(1_000));
        }
        // Clocks that differ, and a refusal that another time does not mend.
        for offset in [-400, 90_000, 0] {
            server.set_clock_offset(offset);
            watch.show_result(&session.get(&url));
            session.discard_token();
            watch.show_result(&session.access_token());
        }
        // A stream that is refused, an origin that is not called, a resource that takes no such algorithm.
        server.rotate_nonces();
        let stream = || Body::from_reader(std::io::Cursor::new("a stream"));
        watch.show(stream());
        watch.show_result(&session.post(&url, "text/plain", stream()));
        watch.show_result(&session.get(&format!("{}/?{QUERY}", server.issuer())));
        server.misbehave(Endpoint::Resource, When::Always, Quirk::Challenge);
        server.misbehave(Endpoint::Resource, When::Always, Quirk::Algs("PS256".to_owned()));
        watch.show_result(&session.get(&url));
        server.behave();
        // An agent, and another client.
        let agent = session.agent().unwrap();
        watch.show(&agent);
        agent.get(&url).call().unwrap();
        if let Err(error) = agent.get(&url).header("dpop", "x").call() {
            watch.show(&error);
        }
        let (mut parts, ()) = http::Request::get(&url).body(()).unwrap().into_parts();
        session.authorize(&mut parts).unwrap();
        for name in ["authorization", "dpop"] {
            if let Some(value) = parts.headers.get(name) {
                watch.secret(value.to_str().unwrap().rsplit([' ', '.']).next().unwrap());
            }
        }
        watch.show(&parts.headers);
        watch.show(&parts.extensions);
        watch.show(session.stats());
        watch.show(session.prover());
    }
    basic.rotate_key(next).unwrap();
    watch.show(&basic);
    let view = basic.with_parameters(Parameters::new().parameter("extra", PARAMETER)).unwrap();
    watch.show((&view, &server, TestServer::builder()));

    let mut secrets = Vec::new();
    for received in server.received() {
        let authorization = received.header_values("authorization").into_iter();
        let authorization = authorization.map(|field| field.split_once(' ').unwrap().1.to_owned());
        let proofs = received.header_values("dpop").into_iter().map(str::to_owned);
        secrets.extend(authorization.chain(proofs).chain(received.form_field("client_assertion")));
    }
    assert!(secrets.len() > 100);
    for secret in secrets {
        let segments: Vec<_> = secret.split('.').collect();
        // A JWT begins with its header, which is no secret.
        match *segments {
            [_, claims, signature] => {
                [claims, signature].map(|part| watch.secret(part)).into_iter().collect()
            }
            _ => watch.secret(&secret),
        }
    }
    watch.check();
    // ureq's own records show URLs with their queries; nothing here does.
    let lines = logged();
    let own = || lines.iter().filter(|(target, _)| target.starts_with("possession")).map(|(_, text)| text);
    assert!(own().chain(&watch.shown).all(|text| !text.contains(QUERY)));
    // Something was told at all.
    for told in
        ["gave app a", "once more", "not bound to a key", "since clocks differ", "goes on with the key"]
    {
        assert!(
            lines.iter().any(|(target, text)| target.starts_with("possession") && text.contains(told)),
            "{told}"
        );
    }
}
