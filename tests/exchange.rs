//! The token exchange, discovery and the call of a resource by scripted responses: no sockets, no clock but the one given.
//! The numbers in the names are rows of the project's threat catalogue.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: what fails here fails a test"
)]

mod common;

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use common::{ATH, Form, Jwt, TOKEN, form, token_json, values};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use possession::*;
use serde_json::json;

const ISSUER: &str = "https://as.example";
const ENDPOINT: &str = "https://as.example/token";
const JSON: (&str, &str) = common::JSON;
/// Exactly enough for HS512.
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn key(algorithm: Algorithm) -> KeyPair {
    KeyPair::generate(algorithm).unwrap()
}

fn prover() -> Prover {
    Prover::new(key(Algorithm::Es256)).unwrap()
}

type Answer = Response<Vec<u8>>;

fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, value.as_bytes());
    }
    response.body(body.as_ref().to_vec()).unwrap()
}

fn token() -> Answer {
    answer(200, &[JSON], token_json(TOKEN, ""))
}

fn token_and_nonce(nonce: &str) -> Answer {
    answer(200, &[JSON, ("dpop-nonce", nonce)], token_json(TOKEN, ""))
}

/// RFC 9449, Figure 20: what an authorization server sends.
fn body_challenge(nonces: &[&str]) -> Answer {
    let nonces = nonces.iter().map(|nonce| ("dpop-nonce", *nonce));
    let headers: Vec<_> = nonces.chain([JSON]).collect();
    answer(400, &headers, r#"{"error":"use_dpop_nonce","error_description":"give a nonce"}"#)
}

/// RFC 9449, Figure 24: the form of resource servers, which some authorization servers use as well.
fn header_challenge(nonces: &[&str]) -> Answer {
    let nonces = nonces.iter().map(|nonce| ("dpop-nonce", *nonce));
    let challenge = ("www-authenticate", r#"DPoP error="use_dpop_nonce", error_description="x""#);
    let headers: Vec<_> = nonces.chain([challenge, ("content-type", "text/html")]).collect();
    answer(401, &headers, "<p>nonce required</p>")
}

#[derive(Debug)]
struct Sent {
    uri: String,
    headers: HeaderMap,
    form: Form,
}

impl Sent {
    fn new(request: &Request<RequestBody>) -> Self {
        let form = form(request.body());
        Self { uri: request.uri().to_string(), headers: request.headers().clone(), form }
    }

    fn proof(&self) -> Jwt {
        let proofs: Vec<_> = self.headers.get_all("dpop").iter().collect();
        assert_eq!(proofs.len(), 1, "one proof");
        Jwt::decode(proofs[0].to_str().unwrap())
    }

    fn assertion(&self) -> Jwt {
        let assertions = values(&self.form, "client_assertion");
        assert_eq!(assertions.len(), 1, "one assertion");
        Jwt::decode(assertions[0])
    }
}

/// An HTTP client that gives what it was told to, and remembers what it was given.
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    sent: Mutex<Vec<Sent>>,
    certificate: Option<bool>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = Mutex::new(answers.into_iter().collect());
        Self { answers, sent: Mutex::default(), certificate: None }
    }

    fn sent(self) -> Vec<Sent> {
        self.sent.into_inner().unwrap()
    }
}

impl HttpClient for Script {
    fn send(&self, request: Request<RequestBody>) -> Result<Answer, Error> {
        self.sent.lock().unwrap().push(Sent::new(&request));
        self.answers.lock().unwrap().pop_front().ok_or_else(|| Error::transport("the script has ended"))
    }

    fn has_client_certificate(&self) -> Option<bool> {
        self.certificate
    }
}

/// One client at one server: `private_key_jwt`, so that every attempt shows an assertion.
struct Setup {
    server: AuthorizationServer,
    client: Client,
    auth: ClientAuth,
    prover: Option<Prover>,
    parameters: Parameters,
    accept_bearer: bool,
}

impl Setup {
    fn new() -> Self {
        Self {
            server: AuthorizationServer::builder(ISSUER).token_endpoint(ENDPOINT).build().unwrap(),
            client: Client::new("app").unwrap(),
            auth: ClientAuth::private_key_jwt(key(Algorithm::Ed25519)),
            prover: Some(prover()),
            parameters: Parameters::new(),
            accept_bearer: false,
        }
    }

    fn with(self, auth: ClientAuth) -> Self {
        Self { auth, ..self }
    }

    fn server(self, server: AuthorizationServerBuilder) -> Self {
        Self { server: server.build().unwrap(), ..self }
    }

    fn options(&self) -> RequestOptions<'_> {
        let options = self.prover.iter().fold(RequestOptions::new(), RequestOptions::prover);
        if self.accept_bearer { options.dangerous_accept_bearer() } else { options }
    }

    fn run_over(&self, script: &Script) -> Result<TokenResponse, Error> {
        let options = self.options().http(script);
        let (server, client) = (&self.server, &self.client);
        let response =
            client_credentials_grant_request(server, client, &self.auth, self.parameters.clone(), &options)?;
        process_client_credentials_response(server, client, response)
    }

    fn run(&self, answers: impl IntoIterator<Item = Answer>) -> (Result<TokenResponse, Error>, Vec<Sent>) {
        let script = Script::new(answers);
        (self.run_over(&script), script.sent())
    }

    /// For a case that is refused before anything is sent.
    fn refused(&self) -> Error {
        let (result, sent) = self.run([token()]);
        assert_eq!(sent.len(), 0, "nothing may be sent");
        result.unwrap_err()
    }

    /// The nonce that the next request carries.
    fn next_nonce(&self) -> Option<String> {
        let (result, sent) = self.run([token()]);
        assert!(result.is_ok());
        sent[0].proof().nonce().map(str::to_owned)
    }
}

// ---- The nonce of the token endpoint (RFC 9449 §8)

#[test]
fn c_30_a_challenge_in_body_or_header_is_answered_once_with_everything_new() {
    for challenge in [body_challenge(&["n-1"]), header_challenge(&["n-1"])] {
        let setup = Setup::new();
        let (result, sent) = setup.run([challenge, token()]);
        let token = result.unwrap();
        assert_eq!((token.access_token(), token.token_type(), token.requests()), (TOKEN, TokenType::Dpop, 2));
        assert_eq!(token.jkt(), setup.prover.as_ref().map(Prover::thumbprint));
        assert_eq!(sent.len(), 2);
        let (proofs, assertions) =
            ([sent[0].proof(), sent[1].proof()], [sent[0].assertion(), sent[1].assertion()]);
        assert_eq!([proofs[0].nonce(), proofs[1].nonce()], [None, Some("n-1")]);
        assert_ne!(proofs[0].jti(), proofs[1].jti());
        assert_ne!(assertions[0].jti(), assertions[1].jti());
        for proof in &proofs {
            assert_eq!(proof.header["typ"], "dpop+jwt");
            assert_eq!([proof.text("htm"), proof.text("htu")], ["POST", ENDPOINT]);
            // `ath` is for protected resources (RFC 9449 §4.2), and some servers refuse it elsewhere.
            assert_eq!(proof.claims.get("ath"), None);
        }
        // All the rest is the same request again.
        let rest = |sent: &Sent| {
            let mut form = sent.form.clone();
            form.retain(|(name, _)| name != "client_assertion");
            (sent.uri.clone(), form)
        };
        assert_eq!(rest(&sent[0]), rest(&sent[1]));
    }
}

/// The clock is read anew for the retry, and may have been set back meanwhile (C-54): neither proof nor assertion is ever
/// dated ahead of it, nor more than the one second back that differing clocks need.
#[test]
fn c_30_the_retry_is_dated_when_it_is_made() {
    for (first, second) in [(1_000_000, 1_000_100), (1_000_000, 999_000)] {
        let setup = Setup::new();
        let (options, parameters) = (setup.options(), Parameters::new());
        let mut exchange =
            TokenRequest::client_credentials(&setup.server, &setup.client, &setup.auth, parameters, &options)
                .unwrap();
        for now in [first, second] {
            let sent = Sent::new(&exchange.request(at(now) + Duration::from_millis(999)).unwrap());
            for jwt in [sent.proof(), sent.assertion()] {
                assert!((now - 1..=now).contains(&jwt.time("iat")), "{} at {now}", jwt.claims);
            }
            let _ = exchange.receive(body_challenge(&["n-1"]), at(now)).unwrap();
        }
    }
}

#[test]
fn c_31_a_server_that_challenges_for_ever_gets_two_requests() {
    let fresh = |challenge: fn(&[&str]) -> Answer| (0..9).map(move |n| challenge(&[&format!("n-{n}")]));
    let setup = Setup::new();
    let (result, sent) = setup.run(fresh(body_challenge));
    let error = result.unwrap_err();
    assert_eq!(error.oauth().map(|error| (error.status(), error.error())), Some((400, "use_dpop_nonce")));
    assert_eq!(sent.len(), 2);
    // C-34: the nonce of the failed retry is used next, and a cached nonce does not keep from retrying (C-33).
    let (_, sent) = setup.run(fresh(body_challenge));
    let nonces: Vec<_> = sent.iter().map(|sent| sent.proof().nonce().map(str::to_owned)).collect();
    assert_eq!(nonces, [Some("n-1".to_owned()), Some("n-0".to_owned())]);

    let (result, sent) = Setup::new().run(fresh(header_challenge));
    let error = result.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Challenge { status: 401, challenges } if challenges.len() == 1)
    );
    assert_eq!(sent.len(), 2);
}

#[test]
fn c_32_c_36_c_37_without_one_new_valid_nonce_there_is_no_retry() {
    let long = "n".repeat(1025);
    let cases: [&[&str]; 12] = [
        &[],
        &[""],
        &["sent"], // the one just sent
        &["has space"],
        &["has\"quote"],
        &["has\\backslash"],
        &["non-ascii-é"],
        &["tab\there"],
        &[&long],
        &["n-1", "n-2"],
        &["n-1", "n-1"],
        &["n-1", ""],
    ];
    for nonces in cases {
        for challenge in [body_challenge, header_challenge] {
            let setup = Setup::new();
            assert_eq!(setup.run([token_and_nonce("sent")]).1.len(), 1);
            let (result, sent) = setup.run([challenge(nonces), token()]);
            assert_eq!(sent.len(), 1, "{nonces:?}");
            assert!(matches!(result.unwrap_err().status(), Some(400 | 401)), "{nonces:?}");
            // What cannot be a nonce replaces none.
            assert_eq!(setup.next_nonce().as_deref(), Some("sent"), "{nonces:?}");
        }
    }
    // The bound itself, and every character of NQCHAR (RFC 6749 Appendix A, by RFC 9449 §8.1).
    let characters: String = (0x21..=0x7e_u8).map(char::from).filter(|c| !"\"\\".contains(*c)).collect();
    for nonce in ["n".repeat(1024), characters] {
        let (result, sent) = Setup::new().run([body_challenge(&[&nonce]), token()]);
        assert!(result.is_ok());
        assert_eq!(sent[1].proof().nonce(), Some(&*nonce));
    }
}

#[test]
fn c_34_c_41_the_nonce_of_any_response_is_used_next_and_only_a_challenge_is_retried() {
    let nonce = ("dpop-nonce", "new");
    let challenge = ("www-authenticate", r#"DPoP error="use_dpop_nonce""#);
    let with_error =
        |status, error: &str| answer(status, &[JSON, nonce], format!(r#"{{"error":"{error}"}}"#));
    let cases = [
        token_and_nonce("new"),
        // C-41, and C-29: the OAuth error wins over a challenge beside it.
        with_error(401, "invalid_client"),
        with_error(400, "invalid_scope"),
        with_error(400, "invalid_dpop_proof"),
        with_error(400, "USE_DPOP_NONCE"),
        answer(401, &[JSON, nonce, challenge], r#"{"error":"invalid_client"}"#),
        // A challenge is a refusal: with these it is none.
        answer(200, &[JSON, nonce, challenge], token_json(TOKEN, "")),
        answer(403, &[nonce, challenge], ""),
        answer(500, &[JSON, nonce, challenge], r#"{"error":"use_dpop_nonce"}"#),
        answer(503, &[("content-type", "text/html"), nonce], "<p>"),
        answer(302, &[("location", "https://evil.example"), nonce, challenge], ""),
        answer(204, &[nonce], ""),
    ];
    for case in cases {
        let shown = format!("{case:?}");
        let setup = Setup::new();
        let (_, sent) = setup.run([case, token()]);
        assert_eq!(sent.len(), 1, "{shown}");
        assert_eq!(setup.next_nonce().as_deref(), Some("new"), "{shown}");
    }
    let setup = Setup::new();
    let (result, _) = setup.run([answer(401, &[JSON, nonce, challenge], r#"{"error":"invalid_client"}"#)]);
    assert_eq!(
        result.unwrap_err().oauth().map(|error| error.error().to_owned()).as_deref(),
        Some("invalid_client")
    );
    // The successful retry's nonce replaces the challenge's.
    assert!(setup.run([body_challenge(&["n-1"]), token_and_nonce("n-2")]).0.is_ok());
    assert_eq!(setup.next_nonce().as_deref(), Some("n-2"));
}

#[test]
fn c_43_c_44_what_is_a_challenge_in_the_header() {
    let cases: [(&[&str], bool); 14] = [
        (&[r#"DPoP error="use_dpop_nonce""#], true),
        (&["dpop ERROR=use_dpop_nonce"], true),
        (&[r#"DPoP algs="ES256 PS256",realm="x" , scope="", error = "use_dpop_nonce""#], true),
        (&[r#"Bearer realm="a, b", DPoP algs="ES256", error="use_dpop_nonce""#], true),
        (&["Negotiate YWJj==, DPoP error=use_dpop_nonce"], true),
        (&["Basic realm=\"x\"", r#"DPoP error="use_dpop_nonce""#], true),
        (&["Broken \"", r#"DPoP error="use_dpop_nonce""#], true),
        (&[r#"Bearer error="use_dpop_nonce""#], false),
        (&[r#"Bearer error="use_dpop_nonce", DPoP algs="ES256""#], false),
        (&[r#"Basic realm="DPoP error=use_dpop_nonce""#], false),
        (&[r#"DPoP realm="use_dpop_nonce_x""#], false),
        (&[r#"DPoP error="use_dpop_nonce_x""#], false),
        (&[r#"DPoP error="invalid_token", error_description="use_dpop_nonce""#], false),
        (&[r#"DPoP error="use_dpop_nonce"#], false),
    ];
    for (fields, challenged) in cases {
        let fields = fields.iter().map(|field| ("www-authenticate", *field));
        let headers: Vec<_> = fields.chain([("dpop-nonce", "n-1")]).collect();
        let (_, sent) = Setup::new().run([answer(401, &headers, ""), token()]);
        assert_eq!(sent.len(), 1 + usize::from(challenged), "{headers:?}");
    }
}

#[test]
fn without_a_prover_there_is_no_proof_and_no_retry() {
    let setup = Setup { prover: None, ..Setup::new() };
    let (result, sent) = setup.run([body_challenge(&["n-1"]), token()]);
    assert_eq!(
        result.unwrap_err().oauth().map(|error| error.error().to_owned()).as_deref(),
        Some("use_dpop_nonce")
    );
    assert_eq!((sent.len(), sent[0].headers.get("dpop")), (1, None));
}

// ---- Nonces by origin and part (RFC 9449 §9)

/// A signer that costs nothing, to make many proofs: their claims are looked at, their signatures are not.
struct Cheap(PublicKey);

impl Signer for Cheap {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }
    fn public_key(&self) -> &PublicKey {
        &self.0
    }
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(vec![1; 64])
    }
}

fn cheap_prover() -> Prover {
    Prover::new(Cheap(key(Algorithm::Es256).to_public())).unwrap()
}

fn learn(prover: &Prover, part: ServerRole, url: &str, nonce: &str) {
    let headers = HeaderMap::from_iter([("dpop-nonce".parse().unwrap(), nonce.parse().unwrap())]);
    assert!(prover.record_nonce(part, url, &headers).unwrap());
}

fn nonce_at(prover: &Prover, part: ServerRole, url: &str) -> Option<String> {
    let proof = Proof::new(&http::Method::GET, url).unwrap();
    Jwt::decode(&prover.prove(part, proof, at(1_000)).unwrap()).nonce().map(str::to_owned)
}

#[test]
fn c_35_a_nonce_belongs_to_an_origin_and_a_part() {
    let prover = cheap_prover();
    let (authorization, resource) = (ServerRole::AuthorizationServer, ServerRole::ResourceServer);
    learn(&prover, authorization, "https://host.example/token", "as");
    assert_eq!(nonce_at(&prover, resource, "https://host.example/token"), None);
    learn(&prover, resource, "https://host.example/api", "rs");
    learn(&prover, authorization, "https://host.example:8443/token", "as-8443");
    let cases = [
        (authorization, "https://host.example/other?q", Some("as")),
        (authorization, "https://host.example:443/token", Some("as")),
        (authorization, "https://HOST.Example/token", Some("as")),
        (authorization, "HTTPS://host.example", Some("as")),
        (resource, "https://host.example/token", Some("rs")),
        (authorization, "https://host.example:8443/", Some("as-8443")),
        (resource, "https://host.example:8443/", None),
        (authorization, "http://host.example/token", None),
        (authorization, "https://host.example:80/token", None),
        (authorization, "https://host.example.evil/token", None),
        (authorization, "https://sub.host.example/token", None),
        (authorization, "https://host.example./token", None),
    ];
    for (part, url, nonce) in cases {
        assert_eq!(nonce_at(&prover, part, url).as_deref(), nonce, "{part:?} {url}");
    }
    // Clones share; another prover knows nothing.
    assert_eq!(nonce_at(&prover.clone(), authorization, "https://host.example/").as_deref(), Some("as"));
    assert_eq!(nonce_at(&cheap_prover(), authorization, "https://host.example/"), None);
}

/// The same through the two exchanges, on one origin.
#[test]
fn c_35_authorization_server_and_resource_on_one_origin_keep_their_nonces_apart() {
    let setup = Setup::new();
    assert!(setup.run([token_and_nonce("as")]).0.is_ok());
    let mut call = Call::new(&setup, "GET", "https://as.example/api");
    assert_eq!(call.proof().nonce(), None);
    assert!(!call.receive(200, &[("dpop-nonce", "rs")]));
    assert_eq!(setup.next_nonce().as_deref(), Some("as"));
    assert_eq!(Call::new(&setup, "GET", "https://as.example/api").proof().nonce(), Some("rs"));
}

#[test]
fn c_38_nonces_of_at_most_1000_origins_are_kept_the_newest_used() {
    let (prover, part) = (cheap_prover(), ServerRole::ResourceServer);
    let url = |n: usize| format!("https://h{n}.example/");
    learn(&prover, ServerRole::AuthorizationServer, &url(0), "other-part");
    for n in 0..10_000 {
        learn(&prover, part, &url(n), "n");
    }
    let known: Vec<usize> = (8_500..10_000).filter(|n| nonce_at(&prover, part, &url(*n)).is_some()).collect();
    assert_eq!(known, (9_000..10_000).collect::<Vec<_>>());
    assert!((0..8_500).step_by(50).all(|n| nonce_at(&prover, part, &url(n)).is_none()));
    // 9000 was used before 9001 and so on: the next newcomer takes its place, unless it is used now.
    assert!(nonce_at(&prover, part, &url(9_000)).is_some());
    learn(&prover, part, &url(10_000), "n");
    assert!(nonce_at(&prover, part, &url(9_000)).is_some());
    assert!(nonce_at(&prover, part, &url(9_001)).is_none());
    // A known origin takes nobody's place, and the parts do not crowd each other out.
    learn(&prover, part, &url(9_500), "newer");
    assert!(nonce_at(&prover, part, &url(9_002)).is_some());
    assert_eq!(nonce_at(&prover, part, &url(9_500)).as_deref(), Some("newer"));
    assert_eq!(nonce_at(&prover, ServerRole::AuthorizationServer, &url(0)).as_deref(), Some("other-part"));
}

// ---- Answers that are none

#[test]
fn c_25_what_is_no_token_response_is_a_typed_error_with_its_status_and_no_token() {
    let body = &token_json(TOKEN, "");
    let html = ("content-type", "text/html");
    let cases = [
        (500, vec![html], "<p>Oops</p>", ErrorKind::Status { status: 500 }),
        (502, vec![], "", ErrorKind::Status { status: 502 }),
        (400, vec![html], "<p>Oops</p>", ErrorKind::Status { status: 400 }),
        (404, vec![JSON], "{}", ErrorKind::Status { status: 404 }),
        (429, vec![JSON], r#"{"error":1}"#, ErrorKind::Status { status: 429 }),
        (200, vec![html], "<p>Log in</p>", ErrorKind::Content { status: 200 }),
        (200, vec![html], body, ErrorKind::Content { status: 200 }),
        (200, vec![JSON], "<p>Log in</p>", ErrorKind::Content { status: 200 }),
        (200, vec![JSON], "", ErrorKind::Content { status: 200 }),
        (200, vec![JSON], r#"{"error":"invalid_client"}"#, ErrorKind::Content { status: 200 }),
        // RFC 6749 §5.1: the response to a token request is a 200.
        (201, vec![JSON], body, ErrorKind::Status { status: 201 }),
        (204, vec![], "", ErrorKind::Status { status: 204 }),
        (206, vec![JSON], body, ErrorKind::Status { status: 206 }),
        (401, vec![JSON], body, ErrorKind::Status { status: 401 }),
    ];
    for (status, headers, body, kind) in cases {
        let (result, sent) = Setup::new().run([answer(status, &headers, body)]);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.status(), sent.len()), (&kind, Some(status), 1), "{body}");
        assert!(!format!("{error}{error:?}").contains(TOKEN), "{error}");
    }
}

#[test]
fn c_01_a_redirect_of_the_token_endpoint_is_an_error_that_names_it() {
    for status in [300, 301, 302, 303, 304, 305, 307, 308] {
        for challenge in ["", r#"DPoP error="use_dpop_nonce""#] {
            let headers = [
                JSON,
                ("location", "https://evil.example/token"),
                ("dpop-nonce", "n-1"),
                ("www-authenticate", challenge),
            ];
            let (result, sent) = Setup::new().run([answer(status, &headers, token_json(TOKEN, "")), token()]);
            let error = result.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Redirect { status });
            assert_eq!(sent.len(), 1);
            let text = error.to_string();
            assert!(text.contains(&status.to_string()) && text.contains(ENDPOINT), "{text}");
            assert!(!format!("{error:?}").contains(TOKEN));
        }
    }
}

#[test]
fn c_20_a_bearer_token_is_refused_unless_it_is_asked_for() {
    let bearer =
        |name| answer(200, &[JSON], format!(r#"{{"access_token":"{TOKEN}","token_type":"{name}"}}"#));
    for name in ["Bearer", "bearer", "BEARER"] {
        let error = Setup::new().run([bearer(name)]).0.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TokenType { token_type: "Bearer".to_owned() });
        assert!(!format!("{error}{error:?}").contains(TOKEN), "{error}");
        // Opted out, or never asked for DPoP.
        let plain = Setup { prover: None, ..Setup::new() };
        for setup in [Setup { accept_bearer: true, ..Setup::new() }, plain] {
            let token = setup.run([bearer(name)]).0.unwrap();
            assert_eq!((token.token_type(), token.jkt()), (TokenType::Bearer, None));
        }
    }
    // RFC 6749 §5.1: the type is compared case-insensitively.
    for (name, good) in [("dpop", true), ("DPOP", true), ("N_A", false), ("DPoPx", false), ("", false)] {
        let (result, _) = Setup { accept_bearer: true, ..Setup::new() }.run([bearer(name)]);
        assert_eq!(result.is_ok(), good, "{name}");
    }
}

#[test]
fn c_26_an_oauth_error_is_shown_in_safe_characters_and_length() {
    let description = format!("\u{1b}[31mred\r\nlevel=error \u{202e}\"quoted\" {}", "x".repeat(500_000));
    let body =
        json!({ "error": "invalid_scope", "error_description": description, "error_uri": "javascript:x" });
    let error = Setup::new().run([answer(400, &[JSON], body.to_string())]).0.unwrap_err();
    let text = error.to_string();
    assert!(text.len() < 1_000 && text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{text}");
    assert!(text.contains("400") && text.contains("invalid_scope") && text.contains("[31mred"), "{text}");
    assert!(format!("{error:?}").len() < 2_000);
    let oauth = error.oauth().unwrap();
    assert_eq!(oauth.raw_error_description(), Some(&*description));
    assert_eq!(oauth.raw_error_uri(), Some("javascript:x"));
}

// ---- Parameters

#[test]
fn c_28_parameters_are_checked_before_anything_is_sent() {
    let scope = |scope: &str| Parameters::new().scope(scope);
    let resource = |uri: &str| Parameters::new().resource(uri);
    let parameter = |name: &str| Parameters::new().parameter(name, "x");
    let refused = [
        // RFC 6749 §3.3: tokens of %x21 / %x23-5B / %x5D-7E, one space between them.
        scope(""),
        scope(" "),
        scope("a  b"),
        scope(" a"),
        scope("a "),
        scope("a\tb"),
        scope("a\"b"),
        scope("a\\b"),
        scope("a\u{a0}b"),
        scope("a\nb"),
        scope("a").scope("b"),
        scope("a").parameter("scope", "b"),
        // RFC 8707 §2: an absolute URI, no fragment.
        resource(""),
        resource("/api"),
        resource("//api.example/"),
        resource("api.example"),
        resource("https:"),
        resource("https://api.example/#"),
        resource("https://api.example/#f"),
        resource("https://api.example/a b"),
        resource("1https://api.example/"),
        Parameters::new().parameter("resource", "relative"),
        // The library's own.
        parameter("grant_type"),
        parameter("client_id"),
        parameter("client_secret"),
        parameter("client_assertion"),
        parameter("client_assertion_type"),
        parameter(""),
    ];
    for parameters in refused {
        let shown = format!("{parameters:?}");
        let error = Setup { parameters, ..Setup::new() }.refused();
        assert_eq!(*error.kind(), ErrorKind::Parameter, "{shown}");
    }
    for client_id in ["", "a\nb", "a\0", "\u{85}"] {
        assert_eq!(Client::new(client_id).unwrap_err().kind(), &ErrorKind::Parameter, "{client_id:?}");
    }
}

#[test]
fn parameters_are_sent_as_given_repeats_in_order() {
    let parameters = Parameters::new()
        .resource("https://b.example/?q=1")
        .parameter("audience", "é&=+ %\u{1f511}")
        .scope("z:write a !#[]~")
        .resource("urn:a")
        .parameter("audience", "")
        .resource("https://b.example/?q=1");
    let setup = Setup { parameters, ..Setup::new().with(ClientAuth::none()) };
    let (result, sent) = setup.run([body_challenge(&["n-1"]), token()]);
    assert!(result.is_ok());
    let expected = [
        ("grant_type", "client_credentials"),
        ("resource", "https://b.example/?q=1"),
        ("audience", "é&=+ %\u{1f511}"),
        ("scope", "z:write a !#[]~"),
        ("resource", "urn:a"),
        ("audience", ""),
        ("resource", "https://b.example/?q=1"),
        ("client_id", "app"),
    ];
    for sent in &sent {
        let form: Vec<_> = sent.form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(form, expected);
        assert_eq!(sent.headers["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(sent.headers["accept"], "application/json");
    }
}

// ---- Client authentication

/// Every method, with its name and what it sends: `Authorization`, `client_secret`, `client_assertion`, `client_id`.
fn methods() -> Vec<(&'static str, ClientAuth, [usize; 4])> {
    vec![
        ("none", ClientAuth::none(), [0, 0, 0, 1]),
        ("client_secret_basic", ClientAuth::client_secret_basic(SECRET), [1, 0, 0, 0]),
        ("client_secret_basic", ClientAuth::client_secret_basic_unencoded(SECRET), [1, 0, 0, 0]),
        ("client_secret_post", ClientAuth::client_secret_post(SECRET), [0, 1, 0, 1]),
        ("client_secret_jwt", ClientAuth::client_secret_jwt(SECRET, HmacAlgorithm::Hs256), [0, 0, 1, 1]),
        ("private_key_jwt", ClientAuth::private_key_jwt(key(Algorithm::Es256)), [0, 0, 1, 1]),
        ("tls_client_auth", ClientAuth::tls_client_auth(), [0, 0, 0, 1]),
        ("self_signed_tls_client_auth", ClientAuth::self_signed_tls_client_auth(), [0, 0, 0, 1]),
    ]
}

/// RFC 6749 §2.3: no more than one method in a request; §2.3.1: nothing of it in the URL.
#[test]
fn c_58_each_method_sends_exactly_one_credential_and_none_in_the_url() {
    for (name, auth, [authorization, secrets, assertions, ids]) in methods() {
        assert_eq!(auth.method(), name);
        let (result, sent) = Setup::new().with(auth).run([body_challenge(&["n-1"]), token()]);
        assert!(result.is_ok(), "{name}");
        for sent in &sent {
            let count = |field| values(&sent.form, field).len();
            assert_eq!(sent.uri, ENDPOINT);
            assert_eq!(sent.headers.get_all("authorization").iter().count(), authorization, "{name}");
            assert_eq!(count("client_secret"), secrets, "{name}");
            assert_eq!(
                (count("client_assertion"), count("client_assertion_type")),
                (assertions, assertions),
                "{name}"
            );
            assert_eq!(count("client_id"), ids, "{name}");
            // The secret itself goes out in one place of one method.
            let readable = sent.form.iter().filter(|(_, value)| value.contains(SECRET)).count();
            assert_eq!(readable, secrets, "{name}");
            if assertions == 1 {
                let kind = values(&sent.form, "client_assertion_type")[0];
                assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"); // RFC 7523 §2.2
            }
        }
    }
}

/// RFC 6749 §2.3.1: form-encoded, a colon between, Base64. The server takes it apart in the other direction.
#[test]
fn c_59_basic_decodes_back_to_identifier_and_secret() {
    let texts = [
        "plain",
        "a:b",
        "100%",
        "%41",
        "a+b",
        "a/b",
        "a&b=c",
        "a b",
        "é",
        "\u{1f511}",
        "~!*'()",
        ":",
        "+%2B",
    ];
    let decode_half = |half: &str| {
        let decoded = form(format!("x={half}").as_bytes());
        assert_eq!(decoded.len(), 1, "{half}");
        decoded[0].1.clone()
    };
    for id in texts {
        for secret in texts.iter().copied().chain([""]) {
            let setup = Setup { client: Client::new(id).unwrap(), ..Setup::new() };
            let (result, sent) = setup.with(ClientAuth::client_secret_basic(secret)).run([token()]);
            assert!(result.is_ok());
            let header = sent[0].headers["authorization"].to_str().unwrap();
            let pair = Base64::decode_vec(header.strip_prefix("Basic ").unwrap()).unwrap();
            let pair = String::from_utf8(pair).unwrap();
            let (left, right) = pair.split_once(':').unwrap();
            assert!(!right.contains(':'), "one separator: {pair}");
            assert_eq!([decode_half(left), decode_half(right)], [id, secret]);
        }
    }
    // Not encoded, for servers that do not decode: RFC 7617 §2 has no colon in the identifier.
    let auth = ClientAuth::client_secret_basic_unencoded("p:1+%é");
    let (_, sent) = Setup::new().with(auth.clone()).run([token()]);
    let header = sent[0].headers["authorization"].to_str().unwrap();
    assert_eq!(Base64::decode_vec(&header["Basic ".len()..]).unwrap(), "app:p:1+%é".as_bytes());
    let error = Setup { client: Client::new("a:b").unwrap(), ..Setup::new() }.with(auth).refused();
    assert_eq!(*error.kind(), ErrorKind::AuthMethod);
}

/// RFC 7523bis §4, RFC 7523 §3.
#[test]
fn c_60_c_61_an_assertion_names_client_and_issuer_and_lives_60_seconds() {
    let issuers = ["https://as.example", "https://as.example/", "https://AS.Example:443/t%2fx/"];
    // Not the issuer's host: an honest server's token endpoint that a malicious document could name.
    let endpoint = "https://honest.example/token";
    let signer = key(Algorithm::Es256);
    let public = signer.to_public();
    let auths = [
        (ClientAuth::private_key_jwt(signer), "ES256"),
        (ClientAuth::client_secret_jwt(SECRET, HmacAlgorithm::Hs256), "HS256"),
    ];
    let mut seen = HashSet::new();
    for issuer in issuers {
        for (auth, alg) in &auths {
            let server = AuthorizationServer::builder(issuer).token_endpoint(endpoint);
            let setup = Setup { client: Client::new("app \"é").unwrap(), ..Setup::new().server(server) };
            let setup = setup.with(auth.clone());
            let mut exchange = TokenRequest::client_credentials(
                &setup.server,
                &setup.client,
                &setup.auth,
                Parameters::new(),
                &setup.options(),
            )
            .unwrap();
            let sent = Sent::new(&exchange.request(at(1_000_000)).unwrap());
            let jwt = sent.assertion();
            assert_eq!(jwt.header, json!({ "alg": alg, "typ": "client-authentication+jwt" }));
            assert_eq!([jwt.text("iss"), jwt.text("sub")], ["app \"é", "app \"é"]);
            assert_eq!(jwt.claims["aud"], json!(issuer));
            assert!((999_999..=1_000_000).contains(&jwt.time("iat")));
            assert_eq!(jwt.time("exp") - jwt.time("iat"), 60);
            assert!(seen.insert(jwt.jti()) && jwt.jti().len() >= 16);
            match *alg {
                "ES256" => assert!(public.verify_jws(&jwt.text).is_ok()),
                _ => assert_eq!(signature(&jwt), mac::<Hmac<sha2::Sha256>>(SECRET, &jwt)),
            }
            // C-63: neither JWT can stand for the other, by `typ`.
            assert_eq!(sent.proof().header["typ"], "dpop+jwt");
        }
    }
}

fn signature(jwt: &Jwt) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(jwt.text.rsplit('.').next().unwrap()).unwrap()
}

fn mac<M: Mac + KeyInit>(secret: &str, jwt: &Jwt) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(jwt.text.rsplit_once('.').unwrap().0.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn c_60_each_option_changes_what_it_says_and_nothing_else() {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"own"}"#;
    let assertion = |options: Option<AssertionOptions>| {
        // The key of RFC 8037 Appendix A.1, with a `kid`.
        let signer = KeyPair::from_jwk(jwk).unwrap();
        let auth = match options {
            Some(options) => ClientAuth::private_key_jwt_with(signer, options),
            None => ClientAuth::private_key_jwt(signer),
        };
        let (result, sent) = Setup::new().with(auth).run([token()]);
        result.unwrap();
        sent[0].assertion()
    };
    let default = assertion(None);
    assert_eq!(default.header, json!({ "alg": "EdDSA", "kid": "own", "typ": "client-authentication+jwt" }));
    let options = AssertionOptions::new;
    let header = |alg, kid, typ: Option<&str>| match typ {
        Some(typ) => json!({ "alg": alg, "kid": kid, "typ": typ }),
        None => json!({ "alg": alg, "kid": kid }),
    };
    let typ = Some("client-authentication+jwt");
    let cases = [
        (options(), header("EdDSA", "own", typ), ISSUER, 60),
        (options().kid("other\""), header("EdDSA", "other\"", typ), ISSUER, 60),
        (options().alg("Ed25519"), header("Ed25519", "own", typ), ISSUER, 60),
        (options().typ(Some("JWT")), header("EdDSA", "own", Some("JWT")), ISSUER, 60),
        (options().typ(None), header("EdDSA", "own", None), ISSUER, 60),
        (options().lifetime(Duration::from_secs(1)), header("EdDSA", "own", typ), ISSUER, 1),
        (options().lifetime(Duration::from_secs(300)), header("EdDSA", "own", typ), ISSUER, 300),
        (options().dangerous_token_endpoint_as_audience(), header("EdDSA", "own", typ), ENDPOINT, 60),
    ];
    for (options, header, aud, lifetime) in cases {
        let jwt = assertion(Some(options));
        assert_eq!((&jwt.header, &jwt.claims["aud"]), (&header, &json!(aud)));
        assert_eq!(jwt.time("exp") - jwt.time("iat"), lifetime);
        let names = |jwt: &Jwt| jwt.claims.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&jwt), names(&default));
    }
    // The same options with a secret.
    let options = options().kid("k").typ(None).lifetime(Duration::from_secs(10));
    let auth = ClientAuth::client_secret_jwt_with(SECRET, HmacAlgorithm::Hs384, options);
    let (_, sent) = Setup::new().with(auth).run([token()]);
    let jwt = sent[0].assertion();
    assert_eq!(jwt.header, json!({ "alg": "HS384", "kid": "k" }));
    assert_eq!(jwt.time("exp") - jwt.time("iat"), 10);
    // What no server should take.
    for lifetime in [Duration::ZERO, Duration::from_millis(999), Duration::from_secs(301), Duration::MAX] {
        let auth = ClientAuth::private_key_jwt_with(
            key(Algorithm::Es256),
            AssertionOptions::new().lifetime(lifetime),
        );
        assert_eq!(*Setup::new().with(auth).refused().kind(), ErrorKind::Parameter, "{lifetime:?}");
    }
    for alg in ["ES256", "none", "HS256", "eddsa"] {
        let auth =
            ClientAuth::private_key_jwt_with(key(Algorithm::Ed25519), AssertionOptions::new().alg(alg));
        assert_eq!(*Setup::new().with(auth).refused().kind(), ErrorKind::Algorithm, "{alg}");
    }
}

/// RFC 7518 §3.2: the key is at least as long as the hash.
#[test]
fn c_62_the_secret_of_an_hmac_is_as_long_as_its_hash() {
    type Check = fn(&str, &Jwt) -> Vec<u8>;
    let cases: [(HmacAlgorithm, &str, usize, Check); 3] = [
        (HmacAlgorithm::Hs256, "HS256", 32, mac::<Hmac<sha2::Sha256>>),
        (HmacAlgorithm::Hs384, "HS384", 48, mac::<Hmac<sha2::Sha384>>),
        (HmacAlgorithm::Hs512, "HS512", 64, mac::<Hmac<sha2::Sha512>>),
    ];
    for (algorithm, name, length, check) in cases {
        for secret in ["", &SECRET[..length - 1]] {
            let error = Setup::new().with(ClientAuth::client_secret_jwt(secret, algorithm)).refused();
            assert_eq!(*error.kind(), ErrorKind::AuthMethod);
            assert!(
                error.to_string().contains(name) && error.to_string().contains(&length.to_string()),
                "{error}"
            );
        }
        // Bytes count, not characters.
        for secret in [SECRET[..length].to_owned(), "é".repeat(length / 2)] {
            let (result, sent) =
                Setup::new().with(ClientAuth::client_secret_jwt(&*secret, algorithm)).run([token()]);
            assert!(result.is_ok());
            let jwt = sent[0].assertion();
            assert_eq!(jwt.header["alg"], name);
            assert_eq!(signature(&jwt), check(&secret, &jwt));
        }
    }
}

#[test]
fn c_63_one_key_for_assertions_and_proofs_is_refused() {
    let pem = key(Algorithm::Es256).to_pkcs8_pem().unwrap();
    let same = || KeyPair::from_pkcs8_pem(&pem).unwrap();
    let setup = Setup { prover: Some(Prover::new(same()).unwrap()), ..Setup::new() };
    let error = setup.with(ClientAuth::private_key_jwt(same())).refused();
    assert_eq!(*error.kind(), ErrorKind::AuthMethod);
    assert!(
        error.to_string().contains("private_key_jwt") && error.to_string().contains("two keys"),
        "{error}"
    );
    // Without proofs there is nothing it could be mixed up with.
    let setup = Setup { prover: None, ..Setup::new() };
    let bearer = answer(200, &[JSON], r#"{"access_token":"a","token_type":"Bearer"}"#);
    assert!(setup.with(ClientAuth::private_key_jwt(same())).run([bearer]).0.is_ok());
}

/// RFC 6749 §7.1: a client must not use a token of a type it cannot use, and without a key there is no proof to go with it.
#[test]
fn a_dpop_token_without_a_proof_in_the_request_is_refused() {
    let setup = Setup { prover: None, ..Setup::new() };
    let error = setup.run([token()]).0.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TokenType { token_type: "DPoP".to_owned() });
}

#[test]
fn a_method_the_metadata_does_not_list_is_refused_before_anything_is_sent() {
    let all: Vec<_> = methods().into_iter().map(|(name, _, _)| name).collect();
    for (name, auth, _) in methods() {
        let listing = |names: Vec<&str>| {
            let server = AuthorizationServer::builder(ISSUER).token_endpoint(ENDPOINT);
            Setup::new().with(auth.clone()).server(server.token_endpoint_auth_methods_supported(names))
        };
        assert!(listing(vec!["x", name]).run([token()]).0.is_ok(), "{name}");
        let others: Vec<_> = all.iter().copied().filter(|other| *other != name).collect();
        for list in [others, vec![], vec!["NONE", "Client_Secret_Basic"]] {
            let error = listing(list.clone()).refused();
            assert_eq!(*error.kind(), ErrorKind::AuthMethod);
            let text = error.to_string();
            assert!(text.contains(name) && list.iter().all(|other| text.contains(other)), "{text}");
        }
        // RFC 8414 §2: a document that does not say means client_secret_basic.
        let document = json!({ "issuer": ISSUER, "token_endpoint": ENDPOINT }).to_string();
        let setup = Setup::new().with(auth).server(AuthorizationServer::builder(ISSUER).document(document));
        match name {
            "client_secret_basic" => assert!(setup.run([token()]).0.is_ok()),
            _ => assert_eq!(*setup.refused().kind(), ErrorKind::AuthMethod),
        }
    }
}

#[test]
fn an_algorithm_of_assertions_that_the_metadata_do_not_list_is_refused() {
    let server = |listed: &[&str]| {
        AuthorizationServer::builder(ISSUER)
            .token_endpoint(ENDPOINT)
            .token_endpoint_auth_signing_alg_values_supported(listed.iter().copied())
    };
    let es256 = || ClientAuth::private_key_jwt(key(Algorithm::Es256));
    let named =
        |alg| ClientAuth::private_key_jwt_with(key(Algorithm::Es256), AssertionOptions::new().alg(alg));
    let hs = |algorithm| ClientAuth::client_secret_jwt(SECRET, algorithm);
    let cases = [
        (es256(), vec!["RS256", "ES256"], true),
        (es256(), vec!["RS256", "HS256"], false),
        (es256(), vec![], false),
        (named("ES256"), vec!["ES256"], true),
        // Naming the algorithm does not make the server know it.
        (named("ES256"), vec!["RS256"], false),
        (hs(HmacAlgorithm::Hs512), vec!["HS512"], true),
        (hs(HmacAlgorithm::Hs512), vec!["HS256", "hs512"], false),
    ];
    for (auth, listed, good) in cases {
        let setup = Setup::new().with(auth).server(server(&listed));
        match good {
            true => assert!(setup.run([token()]).0.is_ok(), "{listed:?}"),
            false => {
                let (result, sent) = setup.run([token()]);
                assert_eq!((result.is_ok(), sent.len()), (false, 0), "{listed:?}");
                assert_eq!(*result.unwrap_err().kind(), ErrorKind::Algorithm, "{listed:?}");
            }
        }
    }
}

/// RFC 9864 gives EdDSA with Ed25519 the name `Ed25519`; RFC 8037 called it `EdDSA`, which more servers know.
#[test]
fn c_53_proofs_and_assertions_use_a_name_that_the_metadata_list() {
    let jwk = |alg: &str| {
        // RFC 8037 Appendix A.1
        let member = if alg.is_empty() { String::new() } else { format!(r#","alg":"{alg}""#) };
        KeyPair::from_jwk(&format!(r#"{{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"{member}}}"#)).unwrap()
    };
    // The `alg` of the key, what the server lists, the name to send.
    type Case = (&'static str, Option<&'static [&'static str]>, Option<&'static str>);
    let cases: [Case; 13] = [
        ("", None, Some("EdDSA")),
        ("", Some(&["ES256", "EdDSA"]), Some("EdDSA")),
        ("", Some(&["Ed25519"]), Some("Ed25519")),
        ("", Some(&["Ed25519", "EdDSA"]), Some("EdDSA")),
        ("Ed25519", None, Some("Ed25519")),
        ("Ed25519", Some(&["EdDSA"]), Some("EdDSA")),
        ("Ed25519", Some(&["EdDSA", "Ed25519"]), Some("Ed25519")),
        ("EdDSA", Some(&["Ed25519"]), Some("Ed25519")),
        ("", Some(&["ES256"]), None),
        ("", Some(&["none"]), None),
        ("", Some(&["HS256"]), None),
        ("", Some(&["ed25519", "eddsa", "Ed448"]), None),
        ("", Some(&[]), None),
    ];
    for (alg, listed, name) in cases {
        let server = || AuthorizationServer::builder(ISSUER).token_endpoint(ENDPOINT);
        let listed = listed.map(|listed| listed.iter().copied());
        let dpop = match listed.clone() {
            Some(listed) => server().dpop_signing_alg_values_supported(listed),
            None => server(),
        };
        let client = match listed.clone() {
            Some(listed) => server().token_endpoint_auth_signing_alg_values_supported(listed),
            None => server(),
        };
        let proving = Setup { prover: Some(Prover::new(jwk(alg)).unwrap()), ..Setup::new().server(dpop) };
        let asserting = Setup::new().with(ClientAuth::private_key_jwt(jwk(alg))).server(client);
        match name {
            Some(name) => {
                assert_eq!(proving.run([token()]).1[0].proof().header["alg"], name, "{alg} {listed:?}");
                assert_eq!(Call::new(&proving, "GET", "https://api.example/").proof().header["alg"], name);
                assert_eq!(asserting.run([token()]).1[0].assertion().header["alg"], name, "{alg} {listed:?}");
            }
            None => {
                for setup in [&proving, &asserting] {
                    assert_eq!(*setup.refused().kind(), ErrorKind::Algorithm, "{listed:?}");
                }
                let prover = proving.prover.as_ref().unwrap();
                let resource = "https://api.example/";
                let call = ResourceRequest::new(&proving.server, prover, TOKEN, &Method::GET, resource);
                assert_eq!(*call.unwrap_err().kind(), ErrorKind::Algorithm);
            }
        }
    }
}

/// RFC 8705 §5: the alias is where requests go; the issuer stays who the assertion is for.
#[test]
fn c_10_mutual_tls_uses_the_alias_for_url_and_htu_and_the_issuer_for_aud() {
    let alias = "https://mtls.as.example/token?t=1";
    let server = || AuthorizationServer::builder(ISSUER).token_endpoint(ENDPOINT);
    let mtls_client = || Client::new("app").unwrap().use_mtls_endpoint_aliases();
    let plain_client = || Client::new("app").unwrap();
    let pkjwt = || ClientAuth::private_key_jwt(key(Algorithm::Es256));
    let cases = [
        (ClientAuth::tls_client_auth(), plain_client(), true),
        (ClientAuth::self_signed_tls_client_auth(), plain_client(), true),
        (pkjwt(), mtls_client(), true),
        (pkjwt(), plain_client(), false),
    ];
    for (auth, client, aliased) in cases {
        let setup = Setup { client, ..Setup::new().with(auth) };
        let with_alias = Setup { ..setup }.server(server().mtls_token_endpoint(alias));
        let (result, sent) = with_alias.run([token()]);
        assert!(result.is_ok());
        let (uri, htu) =
            if aliased { (alias, "https://mtls.as.example/token") } else { (ENDPOINT, ENDPOINT) };
        assert_eq!((&*sent[0].uri, &*sent[0].proof().text("htu")), (uri, htu));
        assert_eq!(values(&sent[0].form, "client_id"), ["app"]);
        if !values(&sent[0].form, "client_assertion").is_empty() {
            assert_eq!(sent[0].assertion().text("aud"), ISSUER);
        }
        let (_, sent) = Setup { ..with_alias }.server(server()).run([token()]);
        assert_eq!(sent[0].uri, ENDPOINT, "where there is no alias");
    }
    // A client that is known to have no certificate cannot authenticate with one.
    let script = Script { certificate: Some(false), ..Script::new([token()]) };
    let error = Setup::new().with(ClientAuth::tls_client_auth()).run_over(&script).unwrap_err();
    assert_eq!((error.kind(), script.sent().len()), (&ErrorKind::AuthMethod, 0));
}

#[test]
fn c_07_the_query_of_the_token_endpoint_is_sent_and_is_no_part_of_htu() {
    for (endpoint, htu) in [
        ("https://as.example/token?tenant=a%20b&x", ENDPOINT),
        ("https://as.example?tenant=1", "https://as.example/"),
        ("https://as.example/token?", ENDPOINT),
    ] {
        let setup = Setup::new().server(AuthorizationServer::builder(ISSUER).token_endpoint(endpoint));
        let (_, sent) = setup.run([token()]);
        assert_eq!(sent[0].proof().text("htu"), htu);
        let sent: http::Uri = sent[0].uri.parse().unwrap();
        assert_eq!(sent.query(), endpoint.split_once('?').map(|(_, query)| query), "{endpoint}");
    }
}

/// What goes on the wire is the URI of the request: the `htu` says the same, without the query.
#[test]
fn c_48_htu_is_the_uri_of_the_request() {
    let urls = [
        ("https://api.example", "https://api.example/"),
        ("https://api.example/", "https://api.example/"),
        ("HTTPS://API.Example:443/A/b", "https://api.example/A/b"),
        ("https://api.example:/a", "https://api.example/a"),
        ("https://api.example:8443/a", "https://api.example:8443/a"),
        ("https://api.example:80/a", "https://api.example:80/a"),
        ("https://api.example/a//b/", "https://api.example/a//b/"),
        ("https://api.example/%7Euser/%2f%2F", "https://api.example/%7Euser/%2f%2F"),
        ("https://api.example/a;b=c,d@e:f", "https://api.example/a;b=c,d@e:f"),
        ("https://api.example/a?q=[1]#f", "https://api.example/a"),
        ("https://[2001:DB8::0:1]:443/a", "https://[2001:db8::1]/a"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
    ];
    for (url, htu) in urls {
        let mut call = Call::new(&Setup::new(), "GET", url);
        assert_eq!(call.proof().text("htu"), htu, "{url}");
        let uri = call.exchange.uri().unwrap();
        let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        assert_eq!(format!("https://{}{port}{}", uri.host().unwrap(), uri.path()), htu, "{url}");
    }
}

// ---- Calls of a resource (RFC 9449 §7, §9)

struct Call {
    exchange: ResourceRequest,
}

impl Call {
    fn new(setup: &Setup, method: &str, url: &str) -> Self {
        let (prover, method) = (setup.prover.as_ref().unwrap(), method.parse().unwrap());
        Self { exchange: ResourceRequest::new(&setup.server, prover, TOKEN, &method, url).unwrap() }
    }

    fn headers(&mut self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // C-11: whatever stands there is replaced.
        headers.append("authorization", "Bearer other".parse().unwrap());
        headers.append("authorization", "Basic other".parse().unwrap());
        headers.append("dpop", "other".parse().unwrap());
        self.exchange.authorize(&mut headers, at(1_000_000)).unwrap();
        headers
    }

    fn proof(&mut self) -> Jwt {
        let headers = self.headers();
        let [authorization, proofs] = ["authorization", "dpop"].map(|name| headers.get_all(name));
        assert_eq!(authorization.iter().collect::<Vec<_>>(), [&format!("DPoP {TOKEN}")]);
        assert_eq!(proofs.iter().count(), 1);
        Jwt::decode(headers["dpop"].to_str().unwrap())
    }

    fn receive(&mut self, status: u16, headers: &[(&str, &str)]) -> bool {
        self.receive_body(status, headers, None)
    }

    fn receive_body(&mut self, status: u16, headers: &[(&str, &str)], body: Option<&str>) -> bool {
        let response = answer(status, headers, "");
        let status = StatusCode::from_u16(status).unwrap();
        self.exchange.receive(status, response.headers(), body.map(str::as_bytes), at(1_000_000)).unwrap()
            == possession::Step::Retry
    }
}

#[test]
fn a_call_carries_the_token_its_hash_and_a_new_proof() {
    let setup = Setup::new();
    let mut call = Call::new(&setup, "PaTcH", "https://api.example/a?b#c");
    let (first, second) = (call.proof(), call.proof());
    assert_eq!([first.text("htm"), first.text("htu")], ["PaTcH", "https://api.example/a"]);
    assert_eq!(first.text("ath"), ATH);
    assert!((999_999..=1_000_000).contains(&first.time("iat")));
    assert_ne!(first.jti(), second.jti());
}

#[test]
fn c_30_c_31_a_resource_s_challenge_is_answered_once() {
    let nonce = ("dpop-nonce", "n-1");
    let challenge = ("www-authenticate", r#"DPoP error="use_dpop_nonce", algs="ES256""#);
    let body = Some(r#"{"error":"use_dpop_nonce"}"#);
    // Status, challenge in the header, body, whether it is answered.
    let invalid = ("www-authenticate", r#"DPoP error="invalid_token""#);
    let bearer = ("www-authenticate", r#"Bearer error="use_dpop_nonce""#);
    type Fields = Vec<(&'static str, &'static str)>;
    let cases: [(u16, Fields, Option<&str>, bool); 13] = [
        (401, vec![challenge, nonce], None, true),
        (400, vec![challenge, nonce], None, true),
        (401, vec![JSON, nonce], body, true),
        (400, vec![JSON, nonce], body, true),
        (401, vec![challenge], None, false),
        (401, vec![challenge, nonce, nonce], None, false),
        (401, vec![challenge, ("dpop-nonce", "a b")], None, false),
        (401, vec![nonce], None, false),
        (401, vec![bearer, nonce], None, false),
        (401, vec![invalid, nonce], body, false),
        (200, vec![challenge, nonce], body, false),
        (403, vec![challenge, nonce], body, false),
        (307, vec![challenge, nonce, ("location", "https://evil.example")], body, false),
    ];
    for (status, headers, body, answered) in cases {
        let setup = Setup::new();
        let mut call = Call::new(&setup, "GET", "https://api.example/");
        let first = call.proof();
        assert_eq!(call.receive_body(status, &headers, body), answered, "{status} {headers:?}");
        if answered {
            let second = call.proof();
            assert_eq!((first.nonce(), second.nonce()), (None, Some("n-1")));
            assert_ne!(first.jti(), second.jti());
            // For ever: not once more, but the nonce is kept.
            assert!(!call.receive_body(status, &[headers[0], ("dpop-nonce", "n-2")], body));
            assert_eq!(Call::new(&setup, "GET", "https://api.example/").proof().nonce(), Some("n-2"));
            // With a nonce at hand a new one is still answered, the same is not.
            let mut call = Call::new(&setup, "GET", "https://api.example/");
            call.proof();
            assert!(!call.receive_body(status, &[headers[0], ("dpop-nonce", "n-2")], body));
            assert!(call.receive_body(status, &[headers[0], ("dpop-nonce", "n-3")], body));
        }
    }
}

/// The same, driven over an HTTP client: two requests with the same body, then whatever the resource answers.
#[test]
fn c_31_c_39_a_call_that_is_driven_is_sent_twice_at_most() {
    for (answers, sent, status) in [
        (vec![answer(302, &[("dpop-nonce", "n-1")], "moved")], 1, 302),
        (vec![header_challenge(&["n-1"]), answer(200, &[], "ok")], 2, 200),
        (vec![body_challenge(&["n-1"]), header_challenge(&["n-2"]), answer(200, &[], "ok")], 2, 401),
    ] {
        let script = Script::new(answers);
        let mut call = Call::new(&Setup::new(), "POST", "https://api.example/a?b");
        let mut request = Request::new(RequestBody::from(b"a=1&b=2".to_vec()));
        request.headers_mut().append("authorization", "Basic x".parse().unwrap());
        request.headers_mut().append("x-own", "kept".parse().unwrap());
        let response = call.exchange.run(&request, &script).unwrap();
        assert_eq!(response.status().as_u16(), status);
        let all = script.sent();
        assert_eq!(all.len(), sent);
        for sent in &all {
            assert_eq!(
                (&*sent.uri, &sent.headers["x-own"]),
                ("https://api.example/a?b", &"kept".parse().unwrap())
            );
            assert_eq!(
                sent.headers.get_all("authorization").iter().collect::<Vec<_>>(),
                [&format!("DPoP {TOKEN}")]
            );
            assert_eq!([values(&sent.form, "a"), values(&sent.form, "b")], [["1"], ["2"]]);
        }
        let jtis: HashSet<_> = all.iter().map(|sent| sent.proof().jti()).collect();
        assert_eq!(jtis.len(), sent);
        let nonces: Vec<_> = all.iter().map(|sent| sent.proof().nonce().map(str::to_owned)).collect();
        assert_eq!(nonces, [None, Some("n-1".to_owned())][..sent]);
    }
}

#[test]
fn c_05_c_06_c_22_what_cannot_be_called_is_refused() {
    let setup = Setup::new();
    let prover = setup.prover.as_ref().unwrap();
    let new = |token, url| ResourceRequest::new(&setup.server, prover, token, &Method::GET, url);
    for url in [
        "http://api.example/",
        "http://127.0.0.1/",
        "https://u:p@api.example/",
        "https://u@api.example/",
        "https://@api.example/",
        "https://api.example/a/../b",
        "https://api.example/%2e%2E/b",
        "https://api.example/a b",
        "https://api.example/a\\b",
        "https://api.example/é",
        "https://api.example/%zz",
        "https://2130706433/",
        "https:api.example",
        "//api.example/",
        "ftp://api.example/",
        "",
    ] {
        assert_eq!(*new(TOKEN, url).unwrap_err().kind(), ErrorKind::Url, "{url}");
    }
    for token in ["", "=", "a b", "a\r\nx: y", "a,b", "a\"b", "a\0", "é", "a=b"] {
        assert_eq!(
            *new(token, "https://api.example/").unwrap_err().kind(),
            ErrorKind::Parameter,
            "{token:?}"
        );
    }
    // A fragment is not sent; it stays with the caller.
    let uri = new(TOKEN, "https://api.example/a?b#secret").unwrap().uri().unwrap();
    assert_eq!(uri, "https://api.example/a?b");
    // Neither secret part of a URL gets into the error.
    for url in [
        "https://user:hunter2@api.example/",
        "http://api.example/?key=hunter2",
        "https://api.example/..?hunter2",
    ] {
        let error = new(TOKEN, url).unwrap_err();
        assert!(!format!("{error}{error:?}").contains("hunter2"), "{error}");
    }
}

// ---- Discovery (RFC 8414)

const AT_OAUTH: &str = "https://as.example/.well-known/oauth-authorization-server/t";
const AT_OPENID: &str = "https://as.example/t/.well-known/openid-configuration";
const TENANT: &str = "https://as.example/t";

fn document(members: serde_json::Value) -> Answer {
    let mut document = json!({ "issuer": TENANT, "token_endpoint": ENDPOINT });
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    answer(200, &[JSON], document.to_string())
}

fn discover(answers: impl IntoIterator<Item = Answer>) -> (Result<AuthorizationServer, Error>, Vec<String>) {
    let script = Script::new(answers);
    let result = AuthorizationServer::discover(TENANT, &script);
    (result, script.sent().into_iter().map(|sent| sent.uri).collect())
}

#[test]
fn c_69_openid_discovery_follows_a_404_of_the_first_place_and_nothing_else() {
    let good = || document(json!({}));
    assert_eq!(discover([good()]).1, [AT_OAUTH]);
    let (result, asked) = discover([answer(404, &[JSON], "{}"), good()]);
    assert_eq!((result.unwrap().issuer(), asked), (TENANT, vec![AT_OAUTH.to_owned(), AT_OPENID.to_owned()]));

    let status = |status| ErrorKind::Status { status };
    let other = |issuer: &str| document(json!({ "issuer": issuer }));
    let cases = [
        (answer(400, &[], ""), status(400)),
        (answer(401, &[], ""), status(401)),
        (answer(403, &[], ""), status(403)),
        (answer(405, &[], ""), status(405)),
        (answer(410, &[], ""), status(410)),
        (answer(500, &[], ""), status(500)),
        (answer(503, &[], ""), status(503)),
        (answer(204, &[], ""), status(204)),
        (answer(201, &[JSON], good().into_body()), status(201)),
        (answer(302, &[("location", AT_OPENID)], ""), ErrorKind::Redirect { status: 302 }),
        (answer(307, &[("location", "http://169.254.169.254/")], ""), ErrorKind::Redirect { status: 307 }),
        (
            answer(200, &[("content-type", "text/html")], good().into_body()),
            ErrorKind::Content { status: 200 },
        ),
        (other("https://evil.example/t"), ErrorKind::Metadata),
        (answer(200, &[JSON], "<p>"), ErrorKind::Metadata),
        (answer(200, &[JSON], format!("{}{}", "[".repeat(20_000), "]".repeat(20_000))), ErrorKind::Metadata),
        (
            answer(
                200,
                &[JSON],
                format!(
                    r#"{{"issuer":"{TENANT}","token_endpoint":"{ENDPOINT}","token_endpoint":"{ENDPOINT}"}}"#
                ),
            ),
            ErrorKind::Metadata,
        ),
    ];
    for (first, kind) in cases {
        let shown = format!("{:?}", first.status());
        let (result, asked) = discover([first, good()]);
        assert_eq!((result.unwrap_err().kind(), asked), (&kind, vec![AT_OAUTH.to_owned()]), "{shown}");
    }
    // At the second place a 404 is the end.
    let (result, asked) = discover([answer(404, &[], ""), answer(404, &[], ""), good()]);
    let error = result.unwrap_err();
    assert_eq!((error.kind(), asked.len()), (&status(404), 2));
    assert!(error.to_string().contains(AT_OPENID), "{error}");
}

/// RFC 8414 §3.3, §4: identical, code point for code point.
#[test]
fn c_66_a_document_of_another_issuer_is_not_used() {
    let issuers = [
        json!("https://as.example/t/"),
        json!("https://as.example/T"),
        json!("https://AS.example/t"),
        json!("HTTPS://as.example/t"),
        json!("https://as.example:443/t"),
        json!("https://as.example/%74"),
        json!("https://as.example/t?"),
        json!("https://as.example/t#"),
        json!(" https://as.example/t"),
        json!("https://as.example/t\u{0}"),
        json!("https://as.example/ｔ"),
        json!("https://as.example"),
        json!(""),
        json!(null),
        json!(1),
        json!([TENANT]),
    ];
    for issuer in issuers {
        let error = discover([document(json!({ "issuer": issuer }))]).0.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Metadata, "{issuer}");
    }
    let error =
        discover([answer(200, &[JSON], json!({ "token_endpoint": ENDPOINT }).to_string())]).0.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Metadata);
    // Case of an escape, and two forms of one letter, are differences too.
    for (ours, theirs) in [
        ("https://as.example/%2f", "https://as.example/%2F"),
        ("https://as.example/%C3%A9", "https://as.example/e%CC%81"),
    ] {
        let document = |issuer| json!({ "issuer": issuer, "token_endpoint": ENDPOINT }).to_string();
        assert!(AuthorizationServer::builder(ours).document(document(ours)).build().is_ok());
        let error = AuthorizationServer::builder(ours).document(document(theirs)).build().unwrap_err();
        assert!(error.to_string().contains(ours) && error.to_string().contains(theirs), "{error}");
    }
}

#[test]
fn c_05_c_07_c_67_endpoints_are_checked_whatever_they_are_for() {
    let bad = [
        json!("http://as.example/token"),
        json!("http://127.0.0.1/token"),
        json!("file:///etc/passwd"),
        json!("data:text/plain,x"),
        json!("javascript:alert(1)"),
        json!("/token"),
        json!("//as.example/token"),
        json!("https://u:p@as.example/token"),
        json!("https://as.example/token#f"),
        json!("https://as.example/token#"),
        json!("https://as.example/a/../token"),
        json!("https://as.example/to ken"),
        json!(""),
        json!(1),
        json!([ENDPOINT]),
    ];
    for url in bad {
        let documents = [
            json!({ "token_endpoint": url }),
            json!({ "mtls_endpoint_aliases": { "token_endpoint": url } }),
            json!({ "jwks_uri": url }),
            json!({ "authorization_endpoint": url }),
        ];
        for members in documents {
            let error = discover([document(members.clone())]).0.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Metadata, "{members}");
        }
    }
    let malformed = [
        json!({ "token_endpoint": null }),
        json!({ "mtls_endpoint_aliases": [] }),
        json!({ "token_endpoint_auth_methods_supported": "none" }),
        json!({ "token_endpoint_auth_methods_supported": [1] }),
        json!({ "dpop_signing_alg_values_supported": { "ES256": true } }),
    ];
    for members in malformed {
        assert_eq!(
            *discover([document(members.clone())]).0.unwrap_err().kind(),
            ErrorKind::Metadata,
            "{members}"
        );
    }
    // By hand the same rules hold; plain http is for loopback alone, and only when allowed by its name.
    let by_hand = |url: &str| AuthorizationServer::builder(ISSUER).token_endpoint(url);
    for (url, good) in [
        ("http://127.0.0.1:1/t", true),
        ("http://[::1]/t", true),
        ("http://localhost/t", true),
        ("http://as.example/t", false),
        ("http://127.0.0.1.evil.example/t", false),
        ("http://10.0.0.1/t", false),
        ("http://localhost.evil.example/t", false),
        ("http://0.0.0.0/t", false),
        ("http://2130706433/t", false),
    ] {
        assert!(by_hand(url).build().is_err(), "{url}");
        assert_eq!(by_hand(url).dangerous_allow_http_on_loopback().build().is_ok(), good, "{url}");
    }
}

#[test]
fn c_68_c_70_other_hosts_are_allowed_and_signed_metadata_is_not_read() {
    // {"alg":"none"} and {"issuer":…,"token_endpoint":"https://evil.example/token"}
    let encode = |json: serde_json::Value| Base64UrlUnpadded::encode_string(json.to_string().as_bytes());
    let claims =
        encode(json!({ "iss": TENANT, "issuer": TENANT, "token_endpoint": "https://evil.example/token" }));
    let signed = format!("{}.{claims}.", encode(json!({ "alg": "none" })));
    let members = json!({
        "token_endpoint": "https://other.example/token",
        "signed_metadata": signed,
        "token_endpoint_auth_methods_supported": ["none"],
        "future": { "nested": [null] },
    });
    let server = discover([document(members)]).0.unwrap();
    assert_eq!(server.member("future"), Some(&json!({ "nested": [null] })));
    let setup = Setup { server, ..Setup::new().with(ClientAuth::none()) };
    let (_, sent) = setup.run([token()]);
    assert_eq!(sent[0].uri, "https://other.example/token");

    // With the hook on, other hosts are those that were named, for every endpoint.
    let discover_with = |members, hosts: &[&str]| {
        let discovery = Discovery::new(TENANT).unwrap().endpoint_hosts(hosts.iter().copied());
        discovery.run(&Script::new([document(members)])).map(drop)
    };
    let token_endpoint = |url: &str| json!({ "token_endpoint": url });
    let alias = json!({ "mtls_endpoint_aliases": { "token_endpoint": "https://other.example/" } });
    let jwks = json!({ "jwks_uri": "https://169.254.169.254/" });
    let cases: [(_, &[&str], bool); 8] = [
        (token_endpoint("https://as.example:8443/token"), &[], true),
        (token_endpoint("https://other.example/token"), &["x", "Other.Example"], true),
        (token_endpoint("https://other.example/token"), &[], false),
        (token_endpoint("https://as.example.evil/token"), &["other.example"], false),
        (token_endpoint("https://sub.other.example/token"), &["other.example"], false),
        (alias.clone(), &["other.example"], true),
        (alias, &[], false),
        (jwks, &["other.example"], false),
    ];
    for (members, hosts, good) in cases {
        let shown = members.to_string();
        match discover_with(members, hosts) {
            Ok(()) => assert!(good, "{shown}"),
            Err(error) => assert_eq!((error.kind(), good), (&ErrorKind::Metadata, false), "{shown}"),
        }
    }
}

// ---- The clock

#[test]
fn c_54_a_clock_that_cannot_be_used_is_an_error_or_is_clamped() {
    let setup = Setup::new();
    let request = |now| {
        let (options, parameters) = (setup.options(), Parameters::new());
        let (server, client, auth) = (&setup.server, &setup.client, &setup.auth);
        let mut exchange =
            TokenRequest::client_credentials(server, client, auth, parameters, &options).unwrap();
        exchange.request(now).map(|request| Sent::new(&request))
    };
    for before in [Duration::from_nanos(1), Duration::from_secs(1), Duration::from_secs(1 << 40)] {
        let error = request(UNIX_EPOCH - before).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Clock);
        assert!(error.to_string().contains("1970"), "{error}");
    }
    let ends = [0, 1, u64::from(u32::MAX), 253_402_300_799, i64::MAX as u64 - 1, i64::MAX as u64];
    for now in ends {
        // Not every system has a clock that goes so far.
        let Some(time) = UNIX_EPOCH.checked_add(Duration::from_secs(now)) else { continue };
        match request(time) {
            Err(error) => assert_eq!(*error.kind(), ErrorKind::Clock),
            Ok(sent) => {
                for jwt in [sent.proof(), sent.assertion()] {
                    assert!((now.saturating_sub(1)..=now).contains(&jwt.time("iat")), "{}", jwt.claims);
                }
                assert!(sent.assertion().time("exp") >= now);
            }
        }
    }
}

// ---- Errors

#[test]
fn errors_say_what_was_done_to_whom_and_why_it_failed() {
    let server = || AuthorizationServer::builder(ISSUER).token_endpoint(ENDPOINT);
    let run = |answer| Setup::new().run([answer]).0.unwrap_err();
    let refused = |setup: Setup| setup.refused();
    let html = ("content-type", "text/html");
    let oauth = r#"{"error":"invalid_client","error_description":"unknown key"}"#;
    let bearer = r#"{"access_token":"a","token_type":"Bearer"}"#;
    let cases = [
        (run(answer(401, &[JSON], oauth)), vec![ISSUER, "app", "401", "invalid_client", "unknown key"]),
        (run(header_challenge(&[])), vec![ISSUER, "app", "401", "dpop", "use_dpop_nonce"]),
        (run(answer(500, &[html], "<p>")), vec![ISSUER, "app", "500"]),
        (run(answer(200, &[html], "<p>")), vec![ISSUER, "app", "application/json"]),
        (run(answer(200, &[JSON], "{}")), vec![ISSUER, "access_token"]),
        (run(answer(200, &[JSON], bearer)), vec![ISSUER, "Bearer", "DPoP"]),
        (run(answer(303, &[], "")), vec![ENDPOINT, "app", "303", "redirect"]),
        (
            refused(Setup::new().server(server().token_endpoint_auth_methods_supported(["none"]))),
            vec!["private_key_jwt", "none"],
        ),
        (
            refused(Setup::new().server(server().dpop_signing_alg_values_supported(["RS256"]))),
            vec!["ES256", "RS256", "DPoP"],
        ),
        (
            refused(Setup { parameters: Parameters::new().parameter("client_secret", "x"), ..Setup::new() }),
            vec!["client_secret"],
        ),
        (
            refused(Setup { parameters: Parameters::new().scope("a  b"), ..Setup::new() }),
            vec!["scope", "6749"],
        ),
        (
            AuthorizationServer::builder("http://as.example").build().unwrap_err(),
            vec!["http://as.example", "https"],
        ),
        (discover([answer(500, &[], "")]).0.unwrap_err(), vec![AT_OAUTH, "500"]),
        (
            discover([document(json!({ "issuer": "https://evil.example" }))]).0.unwrap_err(),
            vec![AT_OAUTH, "https://evil.example", TENANT],
        ),
        (KeyPair::generate(Algorithm::Rs256).unwrap_err(), vec!["RS256", "RSA keys"]),
    ];
    for (error, needles) in cases {
        let text = error.to_string();
        for needle in needles {
            assert!(text.contains(needle), "{needle} is not in: {text}");
        }
        assert!(text.len() < 400 && !text.contains('\n'), "{text}");
    }
    // The same thing happening twice is the same error.
    assert_eq!(run(answer(401, &[JSON], oauth)), run(answer(401, &[JSON], oauth)));
    assert_ne!(run(answer(401, &[JSON], oauth)), run(answer(400, &[JSON], oauth)));
    assert_eq!(run(answer(500, &[], "")), run(answer(500, &[html], "<p>")));
}

/// The error of an HTTP client keeps its cause and says what it was sent for.
#[test]
fn an_error_of_the_http_client_is_told_of_the_exchange() {
    let error = Setup::new().run([]).0.unwrap_err();
    assert_eq!((error.kind(), error.status()), (&ErrorKind::Transport, None));
    let text = error.to_string();
    assert!(
        text.contains(ENDPOINT) && text.contains("app") && text.contains("the script has ended"),
        "{text}"
    );
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the script has ended");
    let error = discover([]).0.unwrap_err();
    assert!(error.to_string().contains(AT_OAUTH), "{error}");
}
