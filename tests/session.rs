//! What a session does beyond getting a token and calling: bodies, other clients, ureq agents, keys, views, numbers.
#![cfg(feature = "ureq")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: what fails here fails a test"
)]

mod common;

use std::collections::HashSet;
use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::server::{SECOND, calls, start, statuses};
use http::{Request, Response, StatusCode};
use possession::testing::{ChallengeForm, Endpoint, ManualClock, Nonces, Quirk, Received, TestServer, When};
use possession::ureq::Agent;
use possession::ureq::middleware::MiddlewareNext;
use possession::*;

fn session(server: &TestServer) -> Session {
    server.session().discover().unwrap()
}

fn tokens_used(received: &[Received]) -> HashSet<String> {
    received.iter().map(|received| received.header_values("authorization")[0].to_owned()).collect()
}

/// Bytes that know how many of them were read.
struct Counted {
    left: usize,
    read: Arc<AtomicUsize>,
}

impl Counted {
    fn new(length: usize) -> (Self, Arc<AtomicUsize>) {
        let read = Arc::<AtomicUsize>::default();
        (Self { left: length, read: Arc::clone(&read) }, read)
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.left.min(buffer.len());
        buffer[..count].fill(b'y');
        self.left -= count;
        self.read.fetch_add(count, Ordering::SeqCst);
        Ok(count)
    }
}

// ---- Bodies

#[test]
fn bodies_of_every_kind_are_sent_whole() {
    let server = start();
    let session = session(&server);
    let file = std::env::temp_dir().join(format!("possession-body-{}", std::process::id()));
    std::fs::write(&file, "from a file").unwrap();
    // The first meets a challenge; bytes are sent again.
    let bodies: [(Body, &[u8], Option<&str>); 9] = [
        ("text".into(), b"text", Some("4")),
        (String::from("owned").into(), b"owned", Some("5")),
        (vec![1, 0, 255].into(), &[1, 0, 255], Some("3")),
        ((&b"static"[..]).into(), b"static", Some("6")),
        (b"array".into(), b"array", Some("5")),
        (().into(), b"", Some("0")),
        (Body::from_reader(Cursor::new(b"a stream")), b"a stream", None),
        (Body::from_sized_reader(Cursor::new(b"sized"), 5), b"sized", Some("5")),
        (std::fs::File::open(&file).unwrap().into(), b"from a file", None),
    ];
    for (body, bytes, length) in bodies {
        let shown = format!("{body:?}");
        assert_eq!(
            session.post(&server.resource("/"), "application/x", body).unwrap().status(),
            200,
            "{shown}"
        );
        let call = calls(&server).pop().unwrap();
        assert_eq!(
            (&*call.body, call.header_values("content-type")),
            (bytes, vec!["application/x"]),
            "{shown}"
        );
        assert_eq!(call.header_values("content-length").first().copied(), length, "{shown}");
        assert_eq!(call.header_values("transfer-encoding").is_empty(), length.is_some(), "{shown}");
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(statuses(&calls(&server)).iter().filter(|status| **status == 401).count(), 1);
    // Methods that have none send none.
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let request = Request::builder().method(method).uri(server.resource("/")).body(()).unwrap();
        session.run(request).unwrap();
        let call = calls(&server).pop().unwrap();
        assert!(
            call.header_values("content-length").is_empty()
                && call.header_values("transfer-encoding").is_empty(),
            "{method}"
        );
    }
    for call in [session.head(&server.resource("/")), session.delete(&server.resource("/"))] {
        assert_eq!(call.unwrap().status(), 200);
    }
    let put = session.put(&server.resource("/"), "text/plain", "p").unwrap();
    let patch = session.patch(&server.resource("/"), "text/plain", "p").unwrap();
    assert_eq!([put.status(), patch.status()], [200, 200]);
}

/// C-39: the error says what to do, and doing it works.
#[test]
fn c_39_a_stream_is_not_sent_again_and_the_error_says_so() {
    let server = start();
    let session = session(&server);
    let url = server.resource("/upload");
    let stream = || Body::from_reader(Counted::new(100_000).0);
    let error = session.post(&url, "application/x", stream()).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::BodySent { status: 401 });
    let text = error.to_string();
    for says in [&*url, "POST", "401", "another proof", "stream", "call again", "or pass the body as bytes"] {
        assert!(text.contains(says), "{text}");
    }
    assert_eq!(calls(&server).len(), 1);
    assert_eq!(session.post(&url, "application/x", stream()).unwrap().status(), 200);
    assert_eq!(calls(&server)[1].body.len(), 100_000);
    // So with a token that is refused.
    server.revoke_tokens();
    let error = session.post(&url, "application/x", stream()).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::BodySent { status: 401 });
    assert!(error.to_string().contains("another token"), "{error}");
    assert_eq!(session.post(&url, "application/x", stream()).unwrap().status(), 200);
    assert_eq!(server.counts().repeated_proofs, 0);
}

/// A stream of which nothing was read is as good as new: `Expect: 100-continue` makes servers refuse before it is sent.
#[test]
fn a_stream_that_was_not_touched_is_sent_after_all() {
    let server = start();
    let session = session(&server);
    let (body, read) = Counted::new(100_000);
    let request = Request::post(server.resource("/upload")).header("expect", "100-continue");
    let response = session.run(request.body(Body::from_reader(body)).unwrap()).unwrap();
    assert_eq!(response.status(), 200);
    let calls = calls(&server);
    assert_eq!(statuses(&calls), [401, 200]);
    assert_eq!(
        (calls[0].body.len(), calls[1].body.len(), read.load(Ordering::SeqCst)),
        (0, 100_000, 100_000)
    );
}

#[test]
fn a_stream_that_is_not_what_was_said_fails_the_call_and_says_so() {
    let server = start();
    let session = session(&server);
    session.get(&server.resource("/")).unwrap();
    let body = Body::from_sized_reader(Cursor::new(b"short"), 500);
    let url = server.resource("/");
    let said = |body: Body, says: &str| {
        let error = session.put(&url, "application/x", body).unwrap_err();
        assert!(*error.kind() == ErrorKind::Body && !error.is_transient(), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(&url) && text.contains("the body of the request") && text.contains(says),
            "{text}"
        );
    };
    said(body, "it ended after 5 of the declared 500 bytes");
    said(Body::from_sized_reader(Cursor::new(b"too long"), 3), "it is longer than the declared 3 bytes");
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk on fire"))
        }
    }
    said(Body::from_reader(Failing), "disk on fire");
    said(Body::from_sized_reader(Failing, 10), "disk on fire");
    // And the server saw no whole request.
    assert!(calls(&server)[2..].iter().all(|call| call.status.is_none()));
}

/// The start is there before the end was sent, and as much as there is can be read: 200 MiB, which nobody keeps.
#[test]
fn downloads_stream() {
    const LENGTH: u64 = 200 << 20;
    let server = start();
    let session = session(&server);
    let mut response = session.get(&server.resource(&format!("/bytes/{LENGTH}"))).unwrap();
    assert_eq!(response.body().content_length(), Some(LENGTH));
    let mut reader = response.body_mut().as_reader();
    let mut first = [0; 10];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"xxxxxxxxxx");
    let rest = std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    assert_eq!(rest, LENGTH - 10);
}

// ---- What may be called

#[test]
fn only_the_allowed_origins_are_called_and_others_cost_no_token() {
    let (server, other) = (start(), start());
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    for url in [other.resource("/"), format!("{}/orders", server.issuer()), "https://example.com/".to_owned()]
    {
        let error = session.get(&url).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Url);
        assert!(error.to_string().contains("resource_origins"), "{error}");
        let (mut parts, ()) = Request::get(&url).body(()).unwrap().into_parts();
        assert_eq!(*session.authorize(&mut parts).unwrap_err().kind(), ErrorKind::Url);
        assert!(parts.headers.is_empty());
    }
    assert!(other.received().is_empty() && server.received_at(Endpoint::Token).is_empty());
    // Spelling is no matter.
    let spelled = server.resource("/").replace("http://", "HTTP://");
    assert_eq!(session.get(&spelled).unwrap().status(), 200);
    for origin in ["example.com", "https://example.com/api", "ftp://example.com", ""] {
        let error = server.session().resource_origins([origin]).discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Url, "{origin}");
    }
}

// ---- Other HTTP clients

/// Drives a request over plain ureq, as any client would.
fn drive(session: &Session, request: Request<()>) -> (Response<String>, u32) {
    let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
    let (mut parts, ()) = request.into_parts();
    for sent in 1.. {
        session.authorize(&mut parts).unwrap();
        let (head, mut body) = agent.run(Request::from_parts(parts.clone(), ())).unwrap().into_parts();
        let body = body.read_to_string().unwrap();
        if session.receive(&mut parts, head.status, &head.headers, Some(body.as_bytes())).unwrap()
            == possession::Step::Done(())
        {
            return (Response::from_parts(head, body), sent);
        }
        assert!(sent < 10, "it ends");
    }
    unreachable!()
}

#[test]
fn another_client_is_served_by_authorize_and_receive() {
    for form in [ChallengeForm::Header, ChallengeForm::Json] {
        let server = start();
        server.misbehave(Endpoint::Resource, When::Always, Quirk::ChallengeForm(form));
        let session = session(&server);
        let get = || Request::get(server.resource("/orders?a")).body(()).unwrap();
        let (response, sent) = drive(&session, get());
        assert_eq!((response.status().as_u16(), sent), (200, 2), "a nonce first");
        assert_eq!(drive(&session, get()).1, 1);
        // A token that is refused, a clock that differs, and both at once.
        server.revoke_tokens();
        assert_eq!(drive(&session, get()).1, 2);
        server.set_clock_offset(-900);
        let (response, sent) = drive(&session, get());
        assert_eq!(response.status(), 200);
        assert!(sent <= 3, "{sent}");
        // For ever: it ends.
        server.misbehave(Endpoint::Resource, When::Always, Quirk::Challenge);
        assert_eq!(drive(&session, get()).1, 2);
        for call in calls(&server) {
            assert_eq!((call.header_values("authorization").len(), call.header_values("dpop").len()), (1, 1));
        }
        assert_eq!(server.counts().repeated_proofs, 0);
    }
    // A response to what was not authorized here says nothing, and a head can be used for another call.
    let server = start();
    let session = session(&server);
    let (mut parts, ()) = Request::get(server.resource("/a")).body(()).unwrap().into_parts();
    assert!(
        session.receive(&mut parts, StatusCode::UNAUTHORIZED, &http::HeaderMap::new(), None).unwrap()
            == possession::Step::Done(())
    );
    let (_, first) = drive(&session, Request::from_parts(parts.clone(), ()));
    server.rotate_nonces();
    parts.uri = server.resource("/b").parse().unwrap();
    let (_, second) = drive(&session, Request::from_parts(parts, ()));
    assert_eq!((first, second), (2, 2));
}

// ---- ureq

#[test]
fn an_agent_s_requests_to_the_allowed_origins_carry_token_and_proof() {
    let (server, plain) = (start(), start());
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = session.agent().unwrap();
    let mut response = agent.get(server.resource("/orders?page=2")).header("x-own", "kept").call().unwrap();
    let body = response.body_mut().read_to_string().unwrap();
    assert!(body.contains("\"target\":\"/orders?page=2\""), "{body}");
    assert_eq!(statuses(&calls(&server)), [401, 200], "the challenge is answered");
    assert!(calls(&server).iter().all(|call| call.header_values("x-own") == ["kept"]));
    agent.post(server.resource("/")).content_type("text/x").send("posted").unwrap();
    let call = calls(&server).pop().unwrap();
    assert_eq!(
        (&*call.body, call.header_values("content-type"), call.header_values("content-length")),
        (&b"posted"[..], vec!["text/x"], vec!["6"])
    );
    assert_eq!(call.proof().unwrap().claims["htm"], "POST");
    // http::Request, all methods, a body where there is usually none.
    for method in ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"] {
        let request = Request::builder().method(method).uri(server.resource("/")).body("b").unwrap();
        assert_eq!(agent.run(request).unwrap().status(), 200, "{method}");
        assert_eq!(calls(&server).pop().unwrap().body, b"b");
    }
    // A revoked token, and bodies again.
    server.revoke_tokens();
    assert_eq!(agent.put(server.resource("/")).send(vec![7; 5000]).unwrap().status(), 200);
    assert_eq!(calls(&server).pop().unwrap().body, vec![7; 5000]);
    assert_eq!(session.stats().tokens, 2);

    // Elsewhere nothing of it is seen: another server, another port of the same host.
    for url in [plain.resource("/"), format!("{}/orders", server.issuer())] {
        let error = agent.get(&url).call().unwrap_err();
        assert!(matches!(error, ureq::Error::StatusCode(401)), "{error}");
    }
    let seen = plain
        .received()
        .into_iter()
        .chain(calls(&server).into_iter().filter(|call| call.origin == server.issuer()));
    let seen: Vec<_> = seen.collect();
    assert_eq!(seen.len(), 2);
    assert!(
        seen.iter()
            .all(|call| call.header_values("dpop").is_empty()
                && call.header_values("authorization").is_empty())
    );
    assert_eq!(server.counts().repeated_proofs, 0);
}

/// A URL of an allowed origin that no proof can name is an error, and not a request without a token.
#[test]
fn an_agent_sends_nothing_without_a_token_where_one_belongs() {
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = session.agent().unwrap();
    let host = server.resource_origin().trim_start_matches("http://");
    for url in [
        server.resource("/a/../b"),
        server.resource("/%2e%2e/b"),
        format!("http://user:password@{host}/"),
        format!("HTTP://user@{host}/"),
    ] {
        let error = agent.get(&url).call().unwrap_err();
        let ureq::Error::Other(error) = error else { panic!("{error}") };
        assert_eq!(*error.downcast_ref::<Error>().unwrap().kind(), ErrorKind::Url, "{url}");
    }
    assert!(calls(&server).is_empty());
}

#[test]
fn an_agent_needs_to_know_where_the_token_may_go() {
    let server = start();
    let error = session(&server).agent().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Parameter);
    assert!(error.to_string().contains("resource_origins"), "{error}");
}

#[test]
fn an_agent_treats_statuses_redirects_and_headers_as_said() {
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = session.agent().unwrap();
    server.misbehave(Endpoint::Resource, When::Always, Quirk::Html { status: 404 });
    let error = agent.get(server.resource("/")).call().unwrap_err();
    assert!(matches!(error, ureq::Error::StatusCode(404)), "{error}");
    let lenient = session.agent_with(|config| config.http_status_as_error(false)).unwrap();
    let mut response = lenient.get(server.resource("/")).call().unwrap();
    assert_eq!(response.status(), 404);
    assert!(response.body_mut().read_to_string().unwrap().contains("Bad gateway"));
    // No redirect is followed with a proof in hand.
    server.behave();
    let location = server.resource("/elsewhere");
    server.misbehave(Endpoint::Resource, When::Always, Quirk::Redirect { status: 307, location });
    server.clear_received();
    assert_eq!(agent.get(server.resource("/")).call().unwrap().status(), 307);
    assert_eq!(calls(&server).len(), 1);
    // Credentials of one's own are an error that can be looked at.
    for name in ["authorization", "DPoP"] {
        let error = agent.get(server.resource("/")).header(name, "x").call().unwrap_err();
        let ureq::Error::Other(error) = error else { panic!("{error}") };
        let error: &Error = error.downcast_ref().unwrap();
        assert_eq!(*error.kind(), ErrorKind::Parameter);
    }
    assert_eq!(calls(&server).len(), 1);
}

#[test]
fn an_agent_has_the_settings_it_was_given() {
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    // Middleware of one's own comes before the token, so it cannot see it.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let own = Arc::clone(&seen);
    let look = move |mut request: Request<ureq::SendBody>, next: MiddlewareNext| {
        own.lock().unwrap().push(request.headers().keys().map(ToString::to_string).collect::<Vec<_>>());
        request.headers_mut().insert("x-middleware", "was here".parse().unwrap());
        next.handle(request)
    };
    let agent = session.agent_with(|config| config.user_agent("orders/1.0").middleware(look)).unwrap();
    agent.get(server.resource("/")).call().unwrap();
    for call in calls(&server) {
        assert_eq!(
            (call.header_values("user-agent"), call.header_values("x-middleware")),
            (vec!["orders/1.0"], vec!["was here"])
        );
    }
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 1, "once, however often the request is sent");
    assert!(!seen[0].iter().any(|name| name == "authorization" || name == "dpop"));

    // A timeout of one request, and one of the agent.
    server.misbehave(Endpoint::Resource, When::Always, Quirk::Silence);
    let short = Some(Duration::from_millis(300));
    let error = agent.get(server.resource("/")).config().timeout_global(short).build().call().unwrap_err();
    assert!(matches!(error, ureq::Error::Timeout(_)), "{error}");
    let hasty = session.agent_with(|config| config.timeout_global(short)).unwrap();
    let error = hasty.get(server.resource("/")).call().unwrap_err();
    assert!(matches!(error, ureq::Error::Timeout(_)), "{error}");
}

/// ureq does not say whether a body can be read twice: up to a mebibyte is kept, the rest streams.
#[test]
fn an_agent_keeps_short_bodies_and_streams_long_ones() {
    const MIB: usize = 1 << 20;
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = session.agent().unwrap();
    // From a reader, so that its length is not known: read before it is sent, and sent twice.
    let (body, read) = Counted::new(MIB);
    let body = ureq::SendBody::from_owned_reader(body);
    assert_eq!(agent.put(server.resource("/")).send(body).unwrap().status(), 200);
    assert_eq!(read.load(Ordering::SeqCst), MIB);
    let sent = calls(&server);
    assert_eq!((statuses(&sent), sent[1].body.len()), (vec![401, 200], MIB));
    assert_eq!(sent[1].header_values("content-length"), [MIB.to_string()]);
    // Longer: chunks, or the length that was said; and after a challenge the error that says so.
    let long = vec![b'z'; MIB + 1];
    assert_eq!(agent.put(server.resource("/")).send(&long[..]).unwrap().status(), 200);
    assert_eq!(calls(&server).pop().unwrap().header_values("transfer-encoding"), ["chunked"]);
    let length = long.len().to_string();
    assert_eq!(
        agent.put(server.resource("/")).header("content-length", &length).send(&long[..]).unwrap().status(),
        200
    );
    let call = calls(&server).pop().unwrap();
    assert_eq!((call.header_values("content-length"), call.body == long), (vec![&*length], true));
    server.rotate_nonces();
    let error = agent.put(server.resource("/")).send(&long[..]).unwrap_err();
    let ureq::Error::Other(error) = error else { panic!("{error}") };
    assert_eq!(*error.downcast_ref::<Error>().unwrap().kind(), ErrorKind::BodySent { status: 401 });
}

/// An agent of one's own below: its middleware and connections are used, whatever asks.
#[test]
fn an_agent_over_a_transport_from_an_agent() {
    let server = start();
    let count = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&count);
    let counting = move |request: Request<ureq::SendBody>, next: MiddlewareNext| {
        counted.fetch_add(1, Ordering::SeqCst);
        next.handle(request)
    };
    let below = Agent::config_builder().middleware(counting).user_agent("below").build().new_agent();
    let session =
        server.session().transport(Transport::from_agent(below)).resource_origins([server.resource_origin()]);
    let session = session.discover().unwrap();
    let agent = session.agent().unwrap();
    assert_eq!(agent.get(server.resource("/")).call().unwrap().status(), 200);
    // Metadata, two for the token, two for the call.
    assert_eq!(count.load(Ordering::SeqCst), 5);
    assert!(server.received().iter().all(|received| received.header_values("user-agent") == ["below"]));
}

// ---- Keys and views

#[test]
fn c_73_a_key_is_changed_without_a_gap() {
    let server = start();
    let session = session(&server);
    session.get(&server.resource("/")).unwrap();
    let old = session.prover().thumbprint();
    let new = KeyPair::generate(Algorithm::Ed25519).unwrap();
    let thumbprint = new.to_public().thumbprint();
    thread::scope(|scope| {
        // Calls go on while it changes.
        let calling = scope.spawn(|| {
            (0..50).map(|_| session.get(&server.resource("/")).unwrap().status()).collect::<Vec<_>>()
        });
        session.rotate_key(new).unwrap();
        assert!(calling.join().unwrap().iter().all(|status| *status == 200));
    });
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
    assert_eq!(session.prover().thumbprint(), thumbprint);
    // Each token went with its own key, and the nonces that were known stayed known.
    let mut by_token = std::collections::HashMap::<String, HashSet<String>>::new();
    for call in calls(&server) {
        let jkt = Thumbprint::from_jwk(&call.proof().unwrap().header["jwk"].to_string()).unwrap();
        by_token
            .entry(call.header_values("authorization")[0].to_owned())
            .or_default()
            .insert(jkt.to_string());
    }
    let keys: HashSet<_> =
        by_token.values().map(|keys| (keys.len(), keys.iter().next().unwrap().clone())).collect();
    assert_eq!(keys, HashSet::from([(1, old.to_string()), (1, thumbprint.to_string())]));
    assert_eq!((server.counts().challenges, server.counts().tokens), (2, 2));
    // The key that was revoked is no trouble any more.
    server.revoke_key(&old);
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
}

#[test]
fn a_key_that_cannot_be_used_changes_nothing() {
    let server = TestServer::builder().dpop_algorithms(["ES256"]).start().unwrap();
    let session = session(&server);
    session.get(&server.resource("/")).unwrap();
    let before = session.prover().thumbprint();
    let error = session.rotate_key(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Algorithm);
    let revoked = KeyPair::generate(Algorithm::Es256).unwrap();
    server.revoke_key(&revoked.to_public().thumbprint());
    let error = session.rotate_key(revoked).unwrap_err();
    assert_eq!(error.oauth().map(OAuthError::error), Some("invalid_dpop_proof"));
    server.clear_received();
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
    assert_eq!(
        (session.prover().thumbprint(), server.counts().tokens),
        (before, 0),
        "key and token as before"
    );

    // The key of client assertions is not one for proofs.
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let (jwk, public) = (key.to_jwk(), key.to_public());
    let server = TestServer::builder().client_public_key(public).start().unwrap();
    let session = server.session().auth(ClientAuth::private_key_jwt(key)).discover().unwrap();
    let error = session.rotate_key(KeyPair::from_jwk(&jwk).unwrap()).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::AuthMethod);
}

#[test]
fn c_73_views_have_tokens_of_their_own_and_share_the_rest() {
    let server = start();
    let read = server.session().scope("read").discover().unwrap();
    let write = read.with_parameters(Parameters::new().scope("write")).unwrap();
    let also_read = write.with_parameters(Parameters::new().scope("read")).unwrap();
    let echoed = |session: &Session| {
        let body = session.get(&server.resource("/")).unwrap().body_mut().read_to_string().unwrap();
        ["read", "write"].into_iter().find(|scope| body.contains(&format!("\"scope\":\"{scope}\""))).unwrap()
    };
    assert_eq!([&read, &write, &also_read, &read].map(echoed), ["read", "write", "read", "read"]);
    assert_eq!(server.counts().tokens, 2);
    assert_eq!(tokens_used(&calls(&server)).len(), 2);
    assert_eq!(server.counts().challenges, 2, "one for each part: what one learned, all know");
    assert_eq!(read.stats(), write.stats());
    let error = read.with_parameters(Parameters::new().scope("a  b")).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Parameter);
    // Another key is for all of them.
    write.rotate_key(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
    assert_eq!(read.prover().thumbprint(), write.prover().thumbprint());
    assert_eq!(echoed(&read), "read");
    assert_eq!(server.counts().tokens, 4);
}

// ---- Time

/// The pauses of back-off and the token together are bounded by the call's deadline, whatever the server asks for.
#[test]
fn a_call_lasts_no_longer_than_its_deadline() {
    let clock = ManualClock::new();
    let server = TestServer::builder().clock(clock.clone()).start().unwrap();
    let session = server.session().clock(clock.clone()).deadline(10 * SECOND).discover().unwrap();
    server.misbehave(Endpoint::Token, When::Always, Quirk::Refuse { status: 503, retry_after: Some(4) });
    let before = clock.elapsed();
    let error = session.get(&server.resource("/")).unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert!(clock.elapsed() - before <= 10 * SECOND);
    assert_eq!(statuses(&server.received_at(Endpoint::Token)), [503, 503, 503]);
    // Not asked again before: the error of a call that may not last so long says for how long.
    let error = session.with_deadline(SECOND).get(&server.resource("/")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::BackOff { .. }), "{error}");
    assert_eq!(server.received_at(Endpoint::Token).len(), 3);
    server.behave();
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
    assert!(calls(&server).len() == 2, "and no call went out without a token");
}

/// HTTP-date as well as seconds (RFC 9110 §10.2.3), by the server's own clock.
#[test]
fn retry_after_may_be_a_date() {
    let clock = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND);
    let server = TestServer::builder().clock(clock.clone()).start().unwrap();
    server.set_clock_offset(-5_000);
    let busy = Response::builder()
        .status(429)
        .header("date", "Fri, 15 Jan 2027 06:36:40 GMT")
        .header("retry-after", "Fri, 15 Jan 2027 06:37:00 GMT");
    server.misbehave(Endpoint::Token, When::Next(1), Quirk::Respond(busy.body(Vec::new()).unwrap()));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
    let slept = clock.sleeps();
    assert!(matches!(*slept, [slept] if (20 * SECOND..=21 * SECOND).contains(&slept)), "{slept:?}");
}

/// Months: a token every hour, each renewed before its end, and nothing else.
#[test]
fn it_can_be_left_running() {
    let clock = ManualClock::new();
    let server =
        TestServer::builder().clock(clock.clone()).nonces(Nonces::Lifetime(300 * SECOND)).start().unwrap();
    let session = server.session().clock(clock.clone()).discover().unwrap();
    for _ in 0..1_000 {
        assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
        clock.advance(600 * SECOND);
    }
    let stats = session.stats();
    assert_eq!((stats.calls, stats.failures), (1_000, 0));
    // 10 minutes apart: in each hour the sixth call finds the token at its end.
    assert_eq!((stats.tokens, stats.renewals), (167, 166));
    assert!(statuses(&server.received()).iter().all(|status| [200, 400, 401].contains(status)));
    assert_eq!(server.counts().repeated_proofs, 0);
}

#[test]
fn stats_say_what_happened() {
    let server = start();
    let session = session(&server);
    assert_eq!(session.stats(), Stats::default());
    session.get(&server.resource("/")).unwrap();
    let stats = session.stats();
    // A challenge and its answer at each part.
    assert_eq!((stats.calls, stats.retries, stats.failures), (1, 2, 0));
    assert_eq!((stats.tokens, stats.renewals, stats.token_requests, stats.nonces_learned), (1, 0, 2, 2));
    server.revoke_tokens();
    session.get(&server.resource("/")).unwrap();
    let stats = session.stats();
    assert_eq!(
        (stats.calls, stats.retries, stats.tokens, stats.renewals, stats.token_requests),
        (2, 3, 2, 1, 3)
    );
    server.misbehave(Endpoint::Token, When::Always, Quirk::Html { status: 400 });
    session.discard_token();
    session.get(&server.resource("/")).unwrap_err();
    let stats = session.stats();
    assert_eq!((stats.calls, stats.failures, stats.tokens), (3, 1, 2));
    server.set_clock_offset(-100);
    server.behave();
    session.get(&server.resource("/")).unwrap();
    let origins: Vec<_> = session.stats().clock_offsets.into_iter().map(|(origin, _)| origin).collect();
    assert_eq!(origins.len(), 2);
    assert!(
        origins.contains(&server.issuer().to_owned())
            && origins.contains(&server.resource_origin().to_owned())
    );
    assert_eq!(session.stats(), session.clone().stats());
}

#[test]
fn errors_say_what_was_asked_of_whom_what_came_back_and_what_to_do() {
    let clock = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND);
    let server = TestServer::builder().clock(clock.clone()).start().unwrap();
    let builder = || server.session().clock(clock.clone());
    let call = |session: &Session| session.get(&server.resource("/")).unwrap_err().to_string();
    let says = |text: String, words: &[&str]| {
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    let asking = format!("asking {} for a token as test-client: ", server.issuer());
    let wrong = builder().auth(ClientAuth::client_secret_basic("wrong")).discover().unwrap();
    says(call(&wrong), &[&asking, "401 invalid_client", "check the client's identifier, its secret or key"]);
    let session = builder().deadline(10 * SECOND).discover().unwrap();
    server.misbehave(Endpoint::Token, When::Always, Quirk::Bearer);
    says(call(&session), &[&asking, "Bearer", "thrown away", "dpop_bound_access_tokens"]);
    server.behave();
    server.misbehave(Endpoint::Token, When::Always, Quirk::Refuse { status: 503, retry_after: Some(60) });
    says(call(&session), &[&asking, "status 503", "asked once; it is not asked again for 60"]);
    says(
        call(&session),
        &[&asking, "the server failed before and named a pause (Retry-After)", "not asked again for 60"],
    );
    server.behave();
    clock.advance(120 * SECOND);
    server.set_clock_offset(100_000);
    says(
        call(&session),
        &[&asking, "invalid_dpop_proof", "this machine's clock is 100000 s behind 127.0.0.1: set it"],
    );
    let elsewhere = session.get("ftp://example.com/").unwrap_err().to_string();
    says(elsewhere, &["ftp://example.com/", "it is not https"]);
}

// ---- What an attacker or a careless caller may try

fn head(url: &str) -> http::request::Parts {
    Request::get(url).body(()).unwrap().into_parts().0
}

/// C-73: a head that was authorized goes on only where `receive` wants it to, by the session that did it, with a token it still has.
#[test]
fn c_73_a_head_never_carries_another_session_s_token_or_one_that_is_gone() {
    let clock = ManualClock::new();
    let (server, elsewhere) = (TestServer::builder().clock(clock.clone()).start().unwrap(), start());
    let one = server.session().clock(clock.clone()).discover().unwrap();
    let token_in = |parts: &http::request::Parts| parts.headers["authorization"].to_str().unwrap().to_owned();
    let mut parts = head(&server.resource("/"));
    one.authorize(&mut parts).unwrap();
    let first = token_in(&parts);
    // Another session, one that may not call there, a view with another scope: each by itself.
    let mut other = parts.clone();
    server.session().clock(clock.clone()).discover().unwrap().authorize(&mut other).unwrap();
    assert_ne!(token_in(&other), first);
    let mut other = parts.clone();
    let strict = elsewhere.session().resource_origins([elsewhere.resource_origin()]).discover().unwrap();
    assert_eq!(*strict.authorize(&mut other).unwrap_err().kind(), ErrorKind::Url);
    assert!(
        !other.headers.contains_key("authorization") && !other.headers.contains_key("dpop"),
        "nothing is left to be sent twice"
    );
    let mut other = parts.clone();
    one.with_parameters(Parameters::new().scope("other")).unwrap().authorize(&mut other).unwrap();
    assert_ne!(token_in(&other), first);
    // A response that is for another session's head lets go of nothing.
    let refusal = http::HeaderMap::from_iter([(
        http::header::WWW_AUTHENTICATE,
        "DPoP error=invalid_token".parse().unwrap(),
    )]);
    let stranger = session(&elsewhere);
    assert!(
        stranger.receive(&mut parts.clone(), StatusCode::UNAUTHORIZED, &refusal, None).unwrap()
            == possession::Step::Done(())
    );
    // Forgotten, ended, of an old key.
    one.discard_token();
    one.authorize(&mut parts).unwrap();
    let second = token_in(&parts);
    assert_ne!(second, first);
    clock.advance(7_200 * SECOND);
    one.authorize(&mut parts).unwrap();
    assert_ne!(token_in(&parts), second);
    one.rotate_key(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
    one.authorize(&mut parts).unwrap();
    let proof = parts.headers["dpop"].to_str().unwrap();
    assert!(proof.starts_with("eyJ") && one.prover().public_key().to_jwk().contains("Ed25519"));
    assert_eq!(drive(&one, Request::from_parts(parts, ())).0.status(), 200);
    // A host of one's own would make the server see another origin.
    let mut evil = head(&server.resource("/"));
    evil.headers.insert("host", "evil.example".parse().unwrap());
    assert_eq!(*one.authorize(&mut evil).unwrap_err().kind(), ErrorKind::Parameter);
}

/// A resource on the token endpoint's origin does not say how that is to be spoken to.
#[test]
fn what_a_resource_lists_is_not_used_at_the_token_endpoint() {
    let server = TestServer::builder().dpop_algorithms(["Ed25519"]).nonces(Nonces::Off).start().unwrap();
    let session = session(&server);
    let refusal = Response::builder()
        .status(401)
        .header("www-authenticate", r#"DPoP error="invalid_dpop_proof", algs="EdDSA""#)
        .body(Vec::new())
        .unwrap();
    server.misbehave(Endpoint::Resource, When::Always, Quirk::Respond(refusal));
    assert_eq!(session.get(&format!("{}/x", server.issuer())).unwrap().status(), 401);
    assert_eq!(calls(&server).len(), 2, "once with the other name, which helped nothing");
    session.discard_token();
    session.access_token().unwrap();
    server.behave();
    assert_eq!(session.get(&format!("{}/x", server.issuer())).unwrap().status(), 200);
}

/// The one call's end says nothing of the server: the next is not made to wait for it.
#[test]
fn a_short_deadline_does_not_put_the_server_into_back_off() {
    let server = start();
    let session = session(&server);
    server.misbehave(Endpoint::Token, When::Always, Quirk::Silence);
    for _ in 0..5 {
        let error = session.with_deadline(Duration::from_millis(50)).access_token().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Timeout, "{error}");
    }
    server.behave();
    assert!(session.with_deadline(5 * SECOND).access_token().is_ok());
}

/// The server is left alone, not one of its tokens.
#[test]
fn back_off_is_for_the_server_whatever_token_it_is_asked_for() {
    let server = start();
    let session = session(&server);
    server.misbehave(Endpoint::Token, When::Always, Quirk::Refuse { status: 429, retry_after: Some(600) });
    for i in 0..20 {
        let view = session.with_parameters(Parameters::new().scope(format!("s{i}"))).unwrap();
        assert!(view.access_token().is_err());
        assert!(session.rotate_key(KeyPair::generate(Algorithm::Ed25519).unwrap()).is_err());
    }
    assert_eq!(server.received_at(Endpoint::Token).len(), 1);
}

/// A resource that refuses every token costs one request for a token a call, and the others keep a good one.
#[test]
fn c_75_a_resource_that_refuses_every_token_does_not_take_it_from_the_others() {
    let server = start();
    let session = session(&server);
    session.access_token().unwrap();
    server.clear_received();
    let refusal = Response::builder().status(401).header("www-authenticate", "DPoP error=\"invalid_token\"");
    server.misbehave(Endpoint::Resource, When::Next(2), Quirk::Respond(refusal.body(Vec::new()).unwrap()));
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 401);
    assert_eq!(session.get(&server.resource("/other")).unwrap().status(), 200);
    assert_eq!(server.counts().tokens, 1, "the one of the refused call serves the next");
}

/// A server that hangs takes a part of the call's time for a renewal that is not needed yet, and the call is made.
#[test]
fn a_renewal_that_hangs_leaves_time_for_the_call() {
    let clock = ManualClock::new();
    let server = TestServer::builder().clock(clock.clone()).start().unwrap();
    let session = server.session().clock(clock.clone()).deadline(2 * SECOND).discover().unwrap();
    session.get(&server.resource("/")).unwrap();
    clock.advance(3_545 * SECOND);
    server.misbehave(Endpoint::Token, When::Always, Quirk::Silence);
    for _ in 0..3 {
        assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
    }
    // One try, then the pause; and who has no time for it does not try.
    assert_eq!(server.received_at(Endpoint::Token).len(), 3);
    clock.advance(2 * SECOND);
    assert!(session.with_deadline(SECOND).access_token().is_ok());
    assert_eq!(server.received_at(Endpoint::Token).len(), 3);
}

#[test]
fn what_is_too_much_is_refused_or_cut() {
    let server = start();
    // A timeout without end is a year.
    let transport = Transport::builder().timeout(Duration::MAX).build();
    let session = server.session().transport(transport).deadline(Duration::MAX);
    let session = session.resource_origins([server.resource_origin()]).discover().unwrap();
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
    assert_eq!(session.agent().unwrap().get(server.resource("/")).call().unwrap().status(), 200);
    // A token that fits into no request is not kept.
    let json = format!("\"{}\"", "t".repeat(40_000));
    server.misbehave(Endpoint::Token, When::Always, Quirk::Member { name: "access_token".to_owned(), json });
    session.discard_token();
    let error = session.access_token().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Content { .. }) && error.to_string().contains("32768"),
        "{error}"
    );
    // Bearer tokens go where somebody said.
    let error = server.session().dangerous_accept_bearer().discover().unwrap_err();
    assert!(
        *error.kind() == ErrorKind::Parameter && error.to_string().contains("resource_origins"),
        "{error}"
    );
}

#[test]
fn c_71_no_error_of_an_agent_shows_the_secrets_of_a_url() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk on fire"))
        }
    }
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = session.agent().unwrap();
    let host = server.resource_origin().trim_start_matches("http://");
    for url in [format!("http://user:hunter2@{host}/?sig=SECRET"), server.resource("/?sig=SECRET")] {
        let error = agent.post(&url).send(ureq::SendBody::from_owned_reader(Failing)).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hunter2") && !text.contains("SECRET"), "{text}");
    }
    for url in ["https://user:hun?ter2@api.example/", "https://user:hun#ter2@api.example/"] {
        let error = session.get(url).unwrap_err().to_string();
        assert!(!error.contains("hun"), "{error}");
    }
    let builder = Session::builder("https://u:hunter2@as.example", "app");
    assert!(!format!("{builder:?}").contains("hunter2"));
}
