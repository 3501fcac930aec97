//! Sessions that run for long: renewals, back-off, clocks, changed keys, Bearer tokens and panics.

use std::error::Error as StdError;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use http::{Request, Response, StatusCode};
use possession::testing::{ChallengeForm, Endpoint, ManualClock, Nonces, Quirk, TestServer, When};
use possession::*;

use crate::capture;
use crate::common::server::{SECOND, always};
use crate::scene::{HOUR, Scene, member, show_call, with_refresh_token};
use crate::watch::{ACCESS_TOKEN, BODY, PARAMETER, QUERY, SECRET, Watch};

/// Tokens are renewed ahead of their end, at their end, after a refusal and by one of many threads. Some
/// renewals fail.
#[test]
fn c_71_renewals_do_not_show_a_secret() {
    let mut watch = Watch::new();
    let scene = Scene::new(&mut watch);
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
        // A renewal that is due fails: the cached token is used, and that is logged.
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
        "issued a DPoP token to app, valid for 3600 s",
        "a token was not renewed",
        "the token was refused",
        "retrying with a new one",
    ]);
}

/// Every way in which a token endpoint fails, with the pauses that follow, calls during a pause, and
/// deadlines that pass. Some responses have a token in a place from which it must not be shown.
#[test]
fn c_71_failures_of_the_token_endpoint_do_not_show_a_secret() {
    let mut watch = Watch::new();
    let scene = Scene::new(&mut watch);
    let json = |status: u16, body: String| {
        let response = Response::builder().status(status).header("content-type", "application/json");
        Quirk::Respond(response.body(body.into_bytes()).unwrap())
    };
    // A token that is never accepted as one.
    let token = ACCESS_TOKEN;
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
        Quirk::DuplicateMember { name: "access_token".to_owned(), json: "7".to_owned() },
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
        // Failures that end while the session tries again.
        for (times, quirk) in [
            (2, Quirk::Refuse { status: 503, retry_after: Some(3) }),
            (9, Quirk::Refuse { status: 429, retry_after: Some(500) }),
            (9, Quirk::Html { status: 502 }),
            (1, Quirk::CloseWithoutResponse),
            (1, Quirk::RefuseProofs),
            // The first of these requests gets a nonce challenge.
            (2, Quirk::Bearer),
        ] {
            session.discard_token();
            scene.server.misbehave(Endpoint::Token, When::Next(times), quirk);
            show_call(&mut watch, session.get(&scene.url));
            watch.show_result(session.access_token());
            scene.behave();
        }
        assert_eq!(show_call(&mut watch, session.get(&scene.url)), Some(StatusCode::OK));
        watch.show_token(session);
    }
    assert!(watch.sent(&scene.server) > 1_000);
    watch.check(&[
        "a token request failed and is retried after a pause",
        "is not asked again for",
        "asked 5 times",
        "asked once",
    ]);
}

/// Clocks that differ and change, nonces that rotate, algorithms that are not accepted, invalid nonces.
#[test]
fn c_71_clock_offsets_nonces_and_algorithms_do_not_show_a_secret() {
    let mut watch = Watch::new();
    let scene = Scene::with_nonces(&mut watch, Nonces::EachResponse);
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
    let expected = [
        "its clock differs",
        "retrying with the server's nonce",
        "this machine's clock is",
        "several DPoP-Nonce fields",
        "PS256",
    ];
    watch.check(&expected);
}

/// Key rotations that succeed, and some that fail.
#[test]
fn c_71_key_rotation_and_derived_sessions_do_not_show_a_secret() {
    let mut watch = Watch::new();
    let scene = Scene::new(&mut watch);
    for session in &scene.sessions {
        let derived =
            session.with_parameters(Parameters::new().parameter("subject_token", PARAMETER)).unwrap();
        watch.show(&derived);
        watch.show_result(session.with_parameters(Parameters::new().parameter("", PARAMETER)));
        watch.show_result(session.with_parameters(Parameters::new().parameter("client_secret", SECRET)));
        watch.show_result(session.with_parameters(Parameters::new().scope(format!("{PARAMETER}\""))));
        show_call(&mut watch, derived.get(&scene.url));
        for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
            let next = watch.new_key(algorithm);
            session.rotate_key(next).unwrap();
            for session in [session, &derived] {
                assert_eq!(show_call(&mut watch, session.get(&scene.url)), Some(StatusCode::OK));
                watch.show_token(session);
                watch.show((session, session.prover()));
            }
        }
        let revoked = watch.new_key(Algorithm::Es256);
        scene.server.revoke_key(&revoked.to_public().thumbprint());
        watch.show_result(session.rotate_key(revoked));
        let failing = Failing(watch.new_key(Algorithm::Es256));
        watch.show_result(session.rotate_key(failing));
    }
    assert!(watch.sent(&scene.server) > 100);
    watch.check(&[
        "uses the key",
        "the device is gone",
        "invalid_dpop_proof",
        "`client_secret` is set by the library and cannot be given",
    ]);
}

/// A signer whose device is not available.
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

/// A Bearer token that the caller accepts is a secret too, and can be stolen without a key.
#[test]
fn c_71_sessions_that_accept_bearer_tokens_do_not_show_a_secret() {
    let mut watch = Watch::new();
    let clock = ManualClock::new();
    let server = TestServer::builder().clock(clock.clone()).client("app", SECRET).start().unwrap();
    with_refresh_token(&server);
    always(&server, Endpoint::Token, Quirk::Bearer);
    let builder =
        server.session().key(watch.new_key(Algorithm::Es256)).dangerous_accept_bearer().clock(clock.clone());
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
    watch.check(&["is not bound to a key", "issued a Bearer token to app"]);
}

/// A signer that panics when it is told to.
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

/// The message of the panic, its place, and its payload.
#[test]
fn c_71_a_panic_inside_a_session_does_not_show_a_secret() {
    let mut watch = Watch::new();
    let (clock, broken) = (ManualClock::new(), Arc::<AtomicBool>::default());
    let server = TestServer::builder().clock(clock.clone()).client("app", SECRET).start().unwrap();
    with_refresh_token(&server);
    let signer = Panicking(watch.new_key(Algorithm::Es256), Arc::clone(&broken));
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
    let records = capture::records_of_this_thread();
    let panics = records
        .iter()
        .filter(|record| record.target == capture::PANIC && record.text.contains("signer is broken"));
    assert!(panics.count() >= 7);
    watch.check(&["provoked: the signer is broken"]);
}
