//! C-71 for sessions that are left running: renewals, back-off, clocks, changed keys, agents, other HTTP
//! clients, streams, numbers and panics. A logger takes every record of every thread at TRACE (it is the
//! whole process's, hence a file of its own), every value on the way is formatted by `{:?}`, `{:#?}` and
//! `{}`, every error with its sources; and in none of it is a piece of a secret, a token, a proof, an
//! assertion or a private key that was on the wire or in hand. `redaction.rs` has single grants and calls.
#![cfg(feature = "ureq")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: what fails here fails a test"
)]

mod common;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, Once, PoisonError};
use std::thread;
use std::time::Duration;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use common::server::{SECOND, always};
use http::{Request, Response, StatusCode};
use possession::testing::{ChallengeForm, Endpoint, ManualClock, Nonces, Quirk, TestServer, When};
use possession::*;

const HOUR: Duration = Duration::from_secs(3600);
// No two share twelve bytes: which one leaked can be told, and a URL's query is no part of another.
const SECRET: &str = "canary-secret-8f14e45fceea167a5a36dedd4bea2543c9f0f895fb98ab9159f51fd0297e236d";
const REFRESH_TOKEN: &str = "refresh-canary-45c48cce2e2d7fbdea1afc51c7c6ad26";
const ACCESS_TOKEN: &str = "access-canary-d3d9446802a44259755d38e6d163e820";
const PARAMETER: &str = "parameter-canary-6512bd43d9caa6e02c990b0a82652dca";
const QUERY: &str = "query-canary-c20ad4d76fe97759aa27a0c99bff6710";
const BODY: &str = "body-canary-c51ce410c124a10e0db5e4b97fc2af39";
const PLANTED: &str = "planted-aab3238922bcc25a6f606eb525ffdc56";

// ---- Capturing

/// What was logged by any thread, or said by a panic: target and text.
static LINES: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());
/// The records of ureq-proto that hold every byte: nothing is sent while a logger takes them.
const DUMPS: &str = "ureq_proto::util";

thread_local! {
    static DUMP: Cell<bool> = const { Cell::new(false) };
}

struct Capture;

impl log::Log for Capture {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() != DUMPS || DUMP.get()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            took(record.target(), record.args().to_string());
        }
    }

    fn flush(&self) {}
}

fn took(target: &str, text: String) {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).push((target.to_owned(), text));
}

fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Capture).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        let shows = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            took("panic", info.to_string());
            // One that a test provokes is not shown.
            if !info.to_string().contains("provoked") {
                shows(info);
            }
        }));
    });
}

fn lines() -> Vec<(String, String)> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// So many bytes are enough to know a secret by.
const PIECE: usize = 12;

/// The forms in which a piece of a secret would be readable. Any may be shown: those at its start, in its
/// middle and at its end, as text, in hexadecimal, as `Debug` has slices, and in base64 at each of the three
/// places an encoder may stand.
fn forms(secret: &[u8]) -> HashSet<String> {
    let starts = [0, (secret.len() - PIECE) / 2, secret.len() - PIECE];
    let piece_forms = |bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{bytes:?}").trim_matches(['[', ']']).to_owned();
        let hex_list = format!("{bytes:02x?}").trim_matches(['[', ']']).to_owned();
        let text = std::str::from_utf8(bytes).ok().map(str::to_owned);
        // Of nine bytes at a place divisible by three, twelve characters depend on nothing beside them.
        let base64 = (0..3).flat_map(|skip| {
            [
                Base64::encode_string(&bytes[skip..skip + 9]),
                Base64UrlUnpadded::encode_string(&bytes[skip..skip + 9]),
            ]
        });
        text.into_iter().chain([hex.to_uppercase(), hex, list, hex_list]).chain(base64).collect::<Vec<_>>()
    };
    starts.into_iter().flat_map(|start| piece_forms(&secret[start..start + PIECE])).collect()
}

/// What was shown, and what must not have been.
#[derive(Default)]
struct Watch {
    shown: Vec<String>,
    secrets: Vec<Vec<u8>>,
}

impl Watch {
    fn new() -> Self {
        capture();
        let mut watch = Self::default();
        for secret in [SECRET, REFRESH_TOKEN, PARAMETER, BODY] {
            watch.secret(secret);
        }
        watch
    }

    fn secret(&mut self, secret: impl AsRef<[u8]>) {
        assert!(secret.as_ref().len() >= PIECE, "too short to be known again");
        self.secrets.push(secret.as_ref().to_vec());
    }

    fn show(&mut self, value: impl Debug) {
        self.shown.extend([format!("{value:?}"), format!("{value:#?}")]);
    }

    fn show_both(&mut self, value: impl Debug + Display) {
        self.shown.extend([value.to_string(), format!("{value:#}")]);
        self.show(value);
    }

    /// An error with all that stands behind it; what ureq wraps is no source of it.
    fn show_error(&mut self, error: &(dyn StdError + 'static)) {
        self.show_both(error);
        if let Some(ureq::Error::Other(inner)) = error.downcast_ref() {
            self.show_error(&**inner);
        }
        if let Some(source) = error.source() {
            self.show_error(source);
        }
    }

    fn show_result<T: Debug, E: StdError + 'static>(&mut self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => {
                self.show(&value);
                Some(value)
            }
            Err(error) => {
                self.show_error(&error);
                None
            }
        }
    }

    fn show_token(&mut self, session: &Session) {
        let Some(token) = self.show_result(session.access_token()) else { return };
        self.secret(token.access_token());
        self.show(token.scope());
    }

    fn key(&mut self, algorithm: Algorithm) -> KeyPair {
        let key = KeyPair::generate(algorithm).unwrap();
        let jwk: serde_json::Value = serde_json::from_str(&key.to_jwk()).unwrap();
        let d = jwk["d"].as_str().unwrap();
        self.secret(d);
        self.secret(Base64UrlUnpadded::decode_vec(d).unwrap());
        for line in key.to_pkcs8_pem().unwrap().lines().filter(|line| !line.starts_with('-')) {
            // The first line begins, and the last may end, with what is not secret: the private bytes are at
            // their ends.
            self.secret(line.get(line.len().saturating_sub(16)..).unwrap());
        }
        self.show(&key);
        self.show_both(key.to_public().thumbprint());
        key
    }

    /// A JWT begins with its header, which is no secret; what follows proves something.
    fn credential(&mut self, text: &str) {
        match text.split('.').collect::<Vec<_>>()[..] {
            [_, claims, signature] => [claims, signature].into_iter().for_each(|part| self.secret(part)),
            _ => self.secret(text),
        }
    }

    /// Everything that proved something on the wire. How many there were, so that a test knows that it saw
    /// some.
    fn sent(&mut self, server: &TestServer) -> usize {
        let before = self.secrets.len();
        for received in server.received() {
            for field in received.header_values("authorization") {
                self.credential(field.split_once(' ').unwrap().1);
            }
            received.header_values("dpop").into_iter().for_each(|proof| self.credential(proof));
            received.form_field("client_assertion").iter().for_each(|assertion| self.credential(assertion));
        }
        self.secrets.len() - before
    }

    /// What shows a form of a secret: all texts against all forms at once, by the twelve bytes that each
    /// begins with.
    fn leaks(&self, lines: &[(String, String)]) -> Vec<String> {
        let mut by_start = HashMap::<Vec<u8>, Vec<String>>::new();
        for form in self.secrets.iter().flat_map(|secret| forms(secret)) {
            by_start.entry(form.as_bytes()[..PIECE].to_vec()).or_default().push(form);
        }
        let leaks = |text: &String| {
            let bytes = text.as_bytes();
            bytes.windows(PIECE).enumerate().any(|(at, window)| {
                let begin_so = by_start.get(window);
                begin_so
                    .is_some_and(|forms| forms.iter().any(|form| bytes[at..].starts_with(form.as_bytes())))
            })
        };
        let lines = lines.iter().map(|(target, text)| format!("{target}: {text}"));
        // Much is shown again and again.
        let texts: HashSet<_> = self.shown.iter().cloned().chain(lines).collect();
        texts.into_iter().filter(leaks).collect()
    }

    /// Nothing leaked, and there was something to see: all of that was told.
    fn check(&self, told: &[&str]) {
        let lines = lines();
        let leaks = self.leaks(&lines);
        assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
        // ureq's own records show the URLs it is given; nothing here shows a query.
        let own = || lines.iter().filter(|(target, _)| target.starts_with("possession"));
        let texts = own().map(|(_, text)| text).chain(&self.shown);
        assert!(texts.into_iter().all(|text| !text.contains(QUERY)));
        for told in told {
            let was_told = own().any(|(_, text)| text.contains(told))
                || self.shown.iter().any(|text| text.contains(told));
            assert!(was_told, "nothing told of {told:?}");
        }
    }
}

// ---- What runs

fn member(name: &str, text: &str) -> Quirk {
    Quirk::Member { name: name.to_owned(), json: format!("\"{text}\"") }
}

fn with_refresh_token(server: &TestServer) {
    always(server, Endpoint::Token, member("refresh_token", REFRESH_TOKEN));
}

/// A server, its clock, and a session by each way to authenticate that has a secret, all of it with canaries.
struct Scene {
    clock: ManualClock,
    server: TestServer,
    sessions: Vec<Session>,
    url: String,
}

impl Scene {
    fn set(watch: &mut Watch) -> Self {
        Self::with(watch, Nonces::Lifetime(300 * SECOND))
    }

    fn with(watch: &mut Watch, nonces: Nonces) -> Self {
        let (clock, assertion) = (ManualClock::new(), watch.key(Algorithm::Es256));
        let builder = TestServer::builder().clock(clock.clone()).nonces(nonces).client("app", SECRET);
        let builder = builder.client_public_key(assertion.to_public());
        watch.show(&builder);
        let server = builder.start().unwrap();
        watch.show(&server);
        with_refresh_token(&server);
        let auths = [
            ClientAuth::client_secret_basic(SECRET),
            ClientAuth::client_secret_basic_unencoded(SECRET),
            ClientAuth::client_secret_post(SECRET),
            ClientAuth::client_secret_jwt(SECRET, HmacAlgorithm::Hs512),
            ClientAuth::private_key_jwt_with(
                assertion,
                AssertionOptions::new().kid("k").typ(Some("client-authentication+jwt")),
            ),
        ];
        let sessions = auths.into_iter().enumerate().map(|(i, auth)| {
            let key = watch.key(if i % 2 == 0 { Algorithm::Es256 } else { Algorithm::Ed25519 });
            watch.show(&auth);
            let builder =
                server.session().auth(auth).key(key).clock(clock.clone()).parameter("extra", PARAMETER);
            let builder = builder.resource_origins([server.resource_origin()]).deadline(60 * SECOND);
            watch.show(&builder);
            let session = builder.discover().unwrap();
            watch.show((&session, session.server(), session.prover(), session.stats()));
            session
        });
        let sessions = sessions.collect();
        let url = server.resource(&format!("/orders?{QUERY}"));
        Self { clock, server, sessions, url }
    }

    /// Good again, and long after.
    fn behave(&self) {
        self.server.behave();
        with_refresh_token(&self.server);
        self.clock.advance(2 * HOUR);
    }
}

/// `Debug` and the rest of a response, body aside, which is the resource's own.
fn show_call(watch: &mut Watch, result: Result<Response<ureq::Body>, Error>) -> Option<StatusCode> {
    let response = watch.show_result(result)?;
    watch.show((response.headers(), response.extensions()));
    Some(response.status())
}

// ---- Tests

/// The check finds what it is there to find, in each form and from each thread.
#[test]
fn a_leak_is_found_in_every_form_and_from_every_thread() {
    let watch = Watch::new();
    let found = |text: String| watch.leaks(&[("target".to_owned(), text)]).len();
    assert_eq!(found("nothing".to_owned()), 0);
    let bytes = SECRET.as_bytes();
    for text in [
        format!("x{SECRET}y"),
        format!("{bytes:?}"),
        format!("{bytes:02x?}"),
        format!("{bytes:02X?}").replace(", ", ""),
        SECRET[..12].to_owned(),
        SECRET[SECRET.len() - 12..].to_owned(),
        format!("Basic {}", Base64::encode_string(format!("app:{SECRET}").as_bytes())),
        format!("Basic {}", Base64::encode_string(format!("ap:{SECRET}").as_bytes())),
        format!("Basic {}", Base64::encode_string(format!("a:{SECRET}").as_bytes())),
    ] {
        assert_eq!(found(text.clone()), 1, "{text}");
    }
    // A secret of this test alone, since the others look at all lines as well.
    let mut watch = Watch { shown: Vec::new(), secrets: Vec::new() };
    watch.secret(PLANTED);
    thread::spawn(|| log::trace!("{PLANTED}")).join().unwrap();
    assert_eq!(watch.leaks(&lines()).len(), 1);
    assert!(panic::catch_unwind(|| panic!("provoked: {PLANTED}")).is_err());
    assert_eq!(watch.leaks(&lines()).len(), 2);
    let hidden = ureq::Error::Other(Box::new(std::io::Error::other(PLANTED)));
    watch.show_error(&hidden);
    assert!(watch.leaks(&[]).len() >= 2);
}

/// Tokens that are renewed ahead, at their end, after a refusal, by one of many threads; and those that could
/// not be.
#[test]
fn c_71_renewals_show_nothing() {
    let mut watch = Watch::new();
    let scene = Scene::set(&mut watch);
    for session in &scene.sessions {
        let call =
            |watch: &mut Watch| assert_eq!(show_call(watch, session.get(&scene.url)), Some(StatusCode::OK));
        call(&mut watch);
        scene.clock.advance(3_550 * SECOND);
        call(&mut watch);
        scene.clock.advance(2 * HOUR);
        call(&mut watch);
        scene.server.revoke_tokens();
        call(&mut watch);
        session.discard_token();
        call(&mut watch);
        watch.show_token(session);
        // Due, and refused: the token at hand is used, and that is told.
        scene.clock.advance(3_570 * SECOND);
        scene.server.misbehave(Endpoint::Token, When::Next(1), Quirk::Html { status: 502 });
        call(&mut watch);
        scene.clock.advance(2 * HOUR);
        let barrier = Barrier::new(16);
        thread::scope(|scope| {
            let call = || {
                barrier.wait();
                session.get(&scene.url).unwrap().status()
            };
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(call)).collect();
            assert!(threads.into_iter().all(|thread| thread.join().unwrap() == StatusCode::OK));
        });
        watch.show((session, session.stats(), session.prover()));
    }
    assert!(watch.sent(&scene.server) > 200);
    watch.check(&[
        "gave app a DPoP token for 3600 s",
        "a token was not renewed",
        "the token was refused",
        "once more",
    ]);
}

/// Every way that a token endpoint fails, with pauses, refusals while one lasts, and deadlines that pass; and
/// answers that hold a token where it must not be shown.
#[test]
fn c_71_failures_and_back_off_show_nothing() {
    let mut watch = Watch::new();
    let scene = Scene::set(&mut watch);
    let json = |status: u16, body: String| {
        let response = Response::builder().status(status).header("content-type", "application/json");
        Quirk::Respond(response.body(body.into_bytes()).unwrap())
    };
    // One that never comes to be a token.
    let token = ACCESS_TOKEN;
    watch.secret(token);
    let quirks = [
        Quirk::Refuse { status: 503, retry_after: Some(3) },
        Quirk::Refuse { status: 429, retry_after: Some(500) },
        Quirk::Html { status: 502 },
        Quirk::Html { status: 400 },
        Quirk::Html { status: 200 },
        Quirk::CloseWithoutResponse,
        Quirk::CloseMidway,
        Quirk::WrongLength(-7),
        Quirk::Redirect { status: 307, location: "https://evil.example/".to_owned() },
        Quirk::RefuseProofs,
        Quirk::Challenge,
        Quirk::Nonce(vec!["one".to_owned(), "two".to_owned()]),
        Quirk::ChallengeForm(ChallengeForm::HeaderAndHtml),
        Quirk::Bearer,
        Quirk::LargeBody(None),
        Quirk::RawBytes(b"not HTTP\r\n\r\n".to_vec()),
        Quirk::ContentType("text/html".to_owned()),
        member("token_type", "N_A"),
        member("access_token", &format!("{token} ")),
        member("expires_in", token),
        member("scope", "a\\u0000b"),
        Quirk::DuplicateMember { name: "access_token".to_owned(), json: format!("\"{token}\"") },
        Quirk::DuplicateMember { name: token.to_owned(), json: "1".to_owned() },
        json(200, format!(r#"{{"access_token":"{token}","token_type":"DPoP"}}{token}"#)),
        json(200, format!(r#"{{"access_token":"{token}","#)),
        json(200, format!(r#"["{token}"]"#)),
        json(200, format!("\"{token}\"")),
        json(201, format!(r#"{{"access_token":"{token}","token_type":"DPoP"}}"#)),
        json(500, format!(r#"{{"access_token":"{token}"}}"#)),
        json(401, r#"{"error":"invalid_client","error_description":"no"}"#.to_owned()),
    ];
    for session in &scene.sessions {
        for quirk in &quirks {
            session.discard_token();
            always(&scene.server, Endpoint::Token, quirk.clone());
            show_call(&mut watch, session.get(&scene.url));
            show_call(&mut watch, session.with_deadline(SECOND).post(&scene.url, "text/plain", BODY));
            watch.show_result(session.access_token());
            watch.show_result(session.rotate_key(KeyPair::generate(Algorithm::Es256).unwrap()));
            watch.show((session, session.stats()));
            scene.behave();
        }
        assert_eq!(show_call(&mut watch, session.get(&scene.url)), Some(StatusCode::OK));
        watch.show_token(session);
    }
    assert!(watch.sent(&scene.server) > 1_000);
    watch.check(&[
        "asking for a token failed, once more after a pause",
        "is not asked again for",
        "asked 5 times",
        "asked once",
    ]);
}

/// Clocks that differ, are set right and go wrong again; nonces that rotate; algorithms that are not taken;
/// invalid nonces.
#[test]
fn c_71_clocks_nonces_and_algorithms_show_nothing() {
    let mut watch = Watch::new();
    let scene = Scene::with(&mut watch, Nonces::EachResponse);
    for session in &scene.sessions {
        for offset in [-400, 400, 90_000, -90_000, 0] {
            scene.server.set_clock_offset(offset);
            for _ in 0..2 {
                session.discard_token();
                show_call(&mut watch, session.get(&scene.url));
                watch.show_result(session.access_token());
            }
            watch.show((session.stats(), session.prover(), session.prover().clock_offsets()));
        }
        scene.server.rotate_nonces();
        show_call(&mut watch, session.get(&scene.url));
        for quirk in [
            Quirk::Nonce(vec!["not a nonce".to_owned()]),
            Quirk::RepeatNonce,
            Quirk::Challenge,
            Quirk::RefuseProofs,
            Quirk::RefuseNonces,
            Quirk::Algs("PS256".to_owned()),
        ] {
            always(&scene.server, Endpoint::Resource, Quirk::Challenge);
            always(&scene.server, Endpoint::Resource, quirk);
            show_call(&mut watch, session.get(&scene.url));
            scene.behave();
        }
    }
    assert!(watch.sent(&scene.server) > 200);
    let told = [
        "since clocks differ",
        "once more with the server's nonce",
        "this machine's clock is",
        "several DPoP-Nonce fields",
        "PS256",
    ];
    watch.check(&told);
}

/// Keys that take the place of others, and those that cannot.
#[test]
fn c_71_changed_keys_show_nothing() {
    let mut watch = Watch::new();
    let scene = Scene::set(&mut watch);
    for session in &scene.sessions {
        let view = session.with_parameters(Parameters::new().parameter("subject_token", PARAMETER)).unwrap();
        watch.show(&view);
        watch.show_result(session.with_parameters(Parameters::new().parameter("", PARAMETER)));
        watch.show_result(session.with_parameters(Parameters::new().parameter("client_secret", SECRET)));
        watch.show_result(session.with_parameters(Parameters::new().scope(format!("{PARAMETER}\""))));
        show_call(&mut watch, view.get(&scene.url));
        for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
            let next = watch.key(algorithm);
            session.rotate_key(next).unwrap();
            for session in [session, &view] {
                assert_eq!(show_call(&mut watch, session.get(&scene.url)), Some(StatusCode::OK));
                watch.show_token(session);
                watch.show((session, session.prover()));
            }
        }
        let revoked = watch.key(Algorithm::Es256);
        scene.server.revoke_key(&revoked.to_public().thumbprint());
        watch.show_result(session.rotate_key(revoked));
        let failing = Failing(watch.key(Algorithm::Es256));
        watch.show_result(session.rotate_key(failing));
    }
    assert!(watch.sent(&scene.server) > 100);
    watch.check(&[
        "goes on with the key",
        "the device is gone",
        "invalid_dpop_proof",
        "`client_secret` is set by the library alone",
    ]);
}

/// A signer whose device is gone.
struct Failing(KeyPair);

impl Signer for Failing {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>> {
        Err("the device is gone".into())
    }
}

/// Agents: what ureq shows of them and of their errors is theirs, and what they carry is the session's.
#[test]
fn c_71_agents_show_nothing() {
    let mut watch = Watch::new();
    let scene = Scene::set(&mut watch);
    for session in &scene.sessions {
        let agent = session.agent_with(|config| config.timeout_global(Some(20 * SECOND))).unwrap();
        watch.show((&agent, agent.config()));
        for _ in 0..2 {
            watch.show_result(agent.get(&scene.url).call());
            watch.show_result(agent.post(&scene.url).send(BODY));
            scene.server.rotate_nonces();
            scene.server.revoke_tokens();
        }
        // Too long to be kept, and refused: that is told in an error of the session's, within one of ureq's.
        scene.server.rotate_nonces();
        let long = BODY.repeat((2 << 20) / BODY.len());
        watch.show_result(agent.put(&scene.url).send(long));
        watch.show_result(agent.get(&scene.url).header("dpop", SECRET).call());
        watch.show_result(agent.get(&scene.url).header("authorization", format!("Bearer {SECRET}")).call());
        watch.show_result(agent.get(scene.url.replace("/orders", "/a/../b")).call());
        for quirk in [
            Quirk::Html { status: 500 },
            Quirk::CloseWithoutResponse,
            Quirk::RawBytes(b"not HTTP\r\n\r\n".to_vec()),
            Quirk::Redirect { status: 302, location: "https://evil.example/".to_owned() },
        ] {
            always(&scene.server, Endpoint::Resource, quirk);
            watch.show_result(agent.get(&scene.url).call());
            watch.show_result(agent.post(&scene.url).send(BODY));
            scene.behave();
        }
        always(&scene.server, Endpoint::Token, Quirk::Refuse { status: 503, retry_after: Some(100) });
        session.discard_token();
        watch.show_result(agent.get(&scene.url).call());
        watch.show_result(agent.get(&scene.url).call());
        scene.behave();
        // Somewhere else it is any agent: without a token.
        watch.show_result(agent.get(format!("{}/orders?{QUERY}", scene.server.issuer())).call());
        let elsewhere = scene.server.received().pop().unwrap();
        assert!(
            elsewhere.header_values("authorization").is_empty() && elsewhere.header_values("dpop").is_empty()
        );
        watch.show(session);
    }
    assert!(watch.sent(&scene.server) > 100);
    watch.check(&[
        "is a stream that was sent already",
        "is not asked again for",
        "the connection was lost",
        "has a header `dpop` already",
    ]);
}

/// The head that another HTTP client sends, and the state that stays in its extensions between two attempts.
#[test]
fn c_71_requests_of_other_clients_show_nothing() {
    let mut watch = Watch::new();
    let scene = Scene::set(&mut watch);
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
    let client = config.new_agent();
    // Its URL is the caller's own; `Parts` show it, so this one has nothing in it.
    let url = scene.server.resource("/orders");
    for session in &scene.sessions {
        for happens in [TestServer::rotate_nonces, TestServer::revoke_tokens, |_: &TestServer| {}] {
            happens(&scene.server);
            let (mut parts, ()) = Request::get(&url).body(()).unwrap().into_parts();
            let status = loop {
                session.authorize(&mut parts).unwrap();
                watch.show(&parts);
                watch.show((&parts.headers, &parts.extensions, Request::from_parts(parts.clone(), ())));
                for name in ["authorization", "dpop"] {
                    let value = parts.headers[name].to_str().unwrap().to_owned();
                    assert!(parts.headers[name].is_sensitive());
                    watch.credential(value.rsplit(' ').next().unwrap());
                }
                let response = client.run(Request::from_parts(parts.clone(), ())).unwrap();
                let headers = response.headers().clone();
                if session.receive(&mut parts, response.status(), &headers, None).unwrap()
                    == possession::Step::Done(())
                {
                    break response.status();
                }
                watch.show(&parts);
            };
            assert_eq!(status, StatusCode::OK);
        }
        for uri in [format!("http://example.com/?{QUERY}"), format!("{}/?{QUERY}", scene.server.issuer())] {
            let (mut parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
            watch.show_result(session.authorize(&mut parts));
        }
        watch.show(session);
    }
    assert!(watch.sent(&scene.server) > 50);
    watch.check(&["its origin is not one of the `resource_origins`", "Sensitive"]);
}

/// Bodies of every kind, that arrive, have to be sent again, break off, or cannot be read.
#[test]
fn c_71_streams_and_bodies_show_nothing() {
    struct Unreadable;
    impl std::io::Read for Unreadable {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("gone"))
        }
    }
    let mut watch = Watch::new();
    let scene = Scene::set(&mut watch);
    let (stream, length) = (|| std::io::Cursor::new(BODY), BODY.len() as u64);
    for session in &scene.sessions {
        let bodies = || {
            [
                Body::from(BODY),
                Body::from(BODY.to_owned()),
                Body::from(BODY.as_bytes()),
                Body::from_reader(stream()),
                Body::from_sized_reader(stream(), length),
                Body::from_reader(Unreadable),
            ]
        };
        for quirk in
            [None, Some(Quirk::Challenge), Some(Quirk::CloseWithoutResponse), Some(Quirk::CloseMidway)]
        {
            for body in bodies() {
                if let Some(quirk) = &quirk {
                    always(&scene.server, Endpoint::Resource, quirk.clone());
                }
                watch.show(&body);
                show_call(&mut watch, session.put(&scene.url, "text/plain", body));
                scene.server.behave();
            }
        }
        for body in bodies() {
            scene.server.rotate_nonces();
            let request = Request::post(&scene.url).header("x-secret", "x").body(body).unwrap();
            watch.show(request.headers());
            show_call(&mut watch, session.run(request));
        }
        watch.show_result(session.post(&scene.url, &format!("text/plain\n{BODY}"), ()).map(drop));
    }
    assert!(watch.sent(&scene.server) > 50);
    watch.check(&[
        "Body(stream)",
        "Body(stream of 44 bytes)",
        "wants another proof",
        "the content type is not a header value",
    ]);
}

/// A Bearer token that was asked for in spite of everything is a token as well, and needs no proof to be
/// stolen.
#[test]
fn c_71_sessions_that_take_bearer_tokens_show_nothing() {
    let mut watch = Watch::new();
    let clock = ManualClock::new();
    let server = TestServer::builder().clock(clock.clone()).client("app", SECRET).start().unwrap();
    with_refresh_token(&server);
    always(&server, Endpoint::Token, Quirk::Bearer);
    let builder =
        server.session().key(watch.key(Algorithm::Es256)).dangerous_accept_bearer().clock(clock.clone());
    watch.show(&builder);
    let session = builder.resource_origins([server.resource_origin()]).discover().unwrap();
    let url = server.resource(&format!("/?{QUERY}"));
    for _ in 0..2 {
        assert_eq!(show_call(&mut watch, session.get(&url)), Some(StatusCode::OK));
        watch.show_result(session.agent().unwrap().get(&url).call());
        watch.show_token(&session);
        server.revoke_tokens();
        assert_eq!(show_call(&mut watch, session.get(&url)), Some(StatusCode::OK));
        clock.advance(2 * HOUR);
    }
    let (mut parts, ()) = Request::get(server.resource("/")).body(()).unwrap().into_parts();
    session.authorize(&mut parts).unwrap();
    watch.show((&parts, &session));
    watch.credential(parts.headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap());
    assert!(
        server
            .received()
            .iter()
            .any(|one| one.header_values("authorization").iter().any(|field| field.starts_with("Bearer ")))
    );
    assert!(watch.sent(&server) > 10);
    watch.check(&["is not bound to a key", "gave app a Bearer token"]);
}

/// Signs until it is told to panic.
struct Panicking(KeyPair, Arc<AtomicBool>);

impl Signer for Panicking {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>> {
        if self.1.load(Ordering::SeqCst) {
            panic!("provoked: the signer is broken");
        }
        self.0.sign(message)
    }
}

/// What a panic on its way through a session says, with its place, and what it carries.
#[test]
fn c_71_panics_show_nothing() {
    let mut watch = Watch::new();
    let (clock, broken) = (ManualClock::new(), Arc::<AtomicBool>::default());
    let server = TestServer::builder().clock(clock.clone()).client("app", SECRET).start().unwrap();
    with_refresh_token(&server);
    let signer = Panicking(watch.key(Algorithm::Es256), Arc::clone(&broken));
    let session =
        server.session().key(signer).clock(clock.clone()).parameter("extra", PARAMETER).discover().unwrap();
    let url = server.resource(&format!("/?{QUERY}"));
    type Way<'a> = &'a dyn Fn(&Session) -> Option<Error>;
    let ways: [Way<'_>; 4] = [
        &|session| session.get(&url).err(),
        &|session| session.post(&url, "text/plain", BODY).err(),
        &|session| session.access_token().err(),
        &|session| {
            let (mut parts, ()) = Request::get(&url).body(()).unwrap().into_parts();
            session.authorize(&mut parts).err()
        },
    ];
    for way in ways {
        assert!(way(&session).is_none());
        for expired in [false, true] {
            if expired {
                clock.advance(2 * HOUR);
            }
            broken.store(true, Ordering::SeqCst);
            let panicked = panic::catch_unwind(AssertUnwindSafe(|| way(&session)));
            broken.store(false, Ordering::SeqCst);
            if let Err(payload) = panicked {
                watch.show_both(*payload.downcast_ref::<&str>().unwrap());
            }
            watch.show((&session, session.stats()));
            assert!(way(&session).is_none());
            watch.show_token(&session);
        }
    }
    assert!(watch.sent(&server) > 20);
    assert!(
        lines()
            .iter()
            .filter(|(target, text)| target == "panic" && text.contains("signer is broken"))
            .count()
            >= 7
    );
    watch.check(&["provoked: the signer is broken"]);
}

/// While a logger takes what shows every byte, no way to call sends anything, and no state changes for it.
#[test]
fn c_71_nothing_is_sent_while_the_log_would_take_every_octet() {
    let mut watch = Watch::new();
    let scene = Scene::set(&mut watch);
    for session in &scene.sessions {
        assert_eq!(show_call(&mut watch, session.get(&scene.url)), Some(StatusCode::OK));
        let (agent, jkt) = (session.agent().unwrap(), session.prover().thumbprint());
        for with_token in [true, false] {
            if !with_token {
                session.discard_token();
            }
            let before = scene.server.counts();
            DUMP.set(true);
            let mut results = vec![
                session.get(&scene.url).map(drop),
                session.post(&scene.url, "text/plain", BODY).map(drop),
                session
                    .post(&scene.url, "text/plain", Body::from_reader(std::io::Cursor::new(BODY)))
                    .map(drop),
                session.rotate_key(watch.key(Algorithm::Es256)),
                scene.server.session().discover().map(drop),
            ];
            let by_agent = agent.get(&scene.url).call().map(drop);
            if !with_token {
                results.push(session.access_token().map(drop));
                let (mut parts, ()) = Request::get(&scene.url).body(()).unwrap().into_parts();
                results.push(session.authorize(&mut parts));
            }
            DUMP.set(false);
            for result in results {
                let error = result.unwrap_err();
                assert_eq!(*error.kind(), ErrorKind::Transport, "{error}");
                assert!(error.to_string().contains("ureq_proto=debug") && !error.is_transient(), "{error}");
                watch.show_error(&error);
            }
            watch.show_error(&by_agent.unwrap_err());
            assert_eq!(scene.server.counts(), before);
            assert_eq!(session.prover().thumbprint(), jkt);
        }
        assert_eq!(show_call(&mut watch, session.get(&scene.url)), Some(StatusCode::OK));
    }
    assert!(lines().iter().all(|(target, _)| target != DUMPS), "not a byte was dumped");
    watch.sent(&scene.server);
    watch.check(&["the log takes records of ureq_proto at trace level"]);
}
