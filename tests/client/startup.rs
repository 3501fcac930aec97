//! Sessions that start before their server does.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use possession::testing::{Endpoint, ManualClock, Quirk, When};
use possession::*;

use crate::common::server::{SECOND, respond, start, with};

/// An HTTP client whose first requests fail. It records the time that each had left.
#[derive(Clone)]
struct Down {
    failures: usize,
    error: fn() -> Error,
    sent: Arc<AtomicUsize>,
}

impl Down {
    fn new(failures: usize, error: fn() -> Error) -> Self {
        Self { failures, error, sent: Arc::default() }
    }
}

impl HttpClient for Down {
    fn send(&self, request: Request<RequestBody>) -> Result<Response<Vec<u8>>, Error> {
        let RemainingTime(remaining) = request.extensions().get().expect("the time that is left");
        assert!(*remaining > Duration::ZERO && *remaining <= 60 * SECOND, "{remaining:?}");
        if self.sent.fetch_add(1, Ordering::SeqCst) < self.failures {
            return Err((self.error)());
        }
        let document =
            r#"{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/token"}"#;
        Ok(Response::new(document.into()))
    }
}

fn refused() -> Error {
    Error::transport(io::Error::from(io::ErrorKind::ConnectionRefused))
}

fn builder(http: Down, clock: &ManualClock) -> SessionBuilder {
    let builder = Session::builder("https://as.example.com", "app").http(http).clock(clock.clone());
    builder.auth(ClientAuth::client_secret_basic("secret")).deadline(60 * SECOND)
}

#[test]
fn discover_asks_a_server_that_is_down_until_it_is_up() {
    for failures in [1, 5, 6] {
        for error in [refused, || Error::timeout("slow")] {
            let (http, clock) = (Down::new(failures, error), ManualClock::new());
            let session = builder(http.clone(), &clock).discover().unwrap();
            assert_eq!(session.server().issuer(), "https://as.example.com");
            assert_eq!(http.sent.load(Ordering::SeqCst), failures + 1);
            let slept = clock.sleeps();
            assert_eq!(slept.len(), failures);
            // Each pause is at most twice as long as the one before, beginning with a quarter of a second.
            let most = |i: usize| Duration::from_millis(250 << i);
            assert!(slept.iter().enumerate().all(|(i, slept)| *slept <= most(i)), "{slept:?}");
        }
    }
}

#[test]
fn discover_gives_up_at_its_deadline_and_says_how_often_it_asked() {
    let (http, clock) = (Down::new(usize::MAX, refused), ManualClock::new());
    let error = builder(http.clone(), &clock).discover().unwrap_err();
    assert!(*error.kind() == ErrorKind::Transport && error.is_transient(), "{error}");
    // Pauses of up to 0.25, 0.5, 1, 2, 4, 8, 16, 30 seconds fill a minute.
    let sent = http.sent.load(Ordering::SeqCst);
    assert!(clock.elapsed() <= 60 * SECOND && (7..=10).contains(&sent), "{sent}");
    let text = error.to_string();
    assert!(
        text.contains(&format!("asked {sent} times")) && text.contains("oauth-authorization-server"),
        "{text}"
    );

    // Over the network: nobody listens on the port.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let clock = ManualClock::new();
    let down = Session::builder(&issuer, "app").dangerous_allow_http_on_loopback().clock(clock.clone());
    let error = down.clone().deadline(SECOND).discover().unwrap_err();
    assert!(error.is_transient() && clock.sleeps().len() >= 2, "{error}");
    // Without time for a second attempt there is one.
    let error = down.deadline(Duration::from_millis(1)).discover().unwrap_err();
    assert!(error.to_string().contains("asked once"), "{error}");
}

#[test]
fn discover_honours_retry_after_within_its_deadline() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()));
    let builder = server.session().clock(clock.clone()).deadline(60 * SECOND);
    for status in [429, 500, 502, 503, 504] {
        let before = clock.sleeps().len();
        server.misbehave(Endpoint::Metadata, When::Next(2), Quirk::Refuse { status, retry_after: Some(20) });
        builder.clone().discover().unwrap();
        let slept = clock.sleeps().split_off(before);
        assert!(
            slept.len() == 2 && slept.iter().all(|slept| (20..=21).contains(&slept.as_secs())),
            "{slept:?}"
        );
    }
    // Longer than it may take: the error is immediate.
    let before = clock.sleeps().len();
    server.clear_received();
    server.misbehave(
        Endpoint::Metadata,
        When::Next(1),
        Quirk::Refuse { status: 503, retry_after: Some(120) },
    );
    assert_eq!(builder.clone().discover().unwrap_err().status(), Some(503));
    assert_eq!((clock.sleeps().len(), server.received_at(Endpoint::Metadata).len()), (before, 1));
    builder.discover().unwrap();
}

/// Nothing but time helps against a failure, and time does not help against anything else.
#[test]
fn discover_asks_again_only_after_transient_failures() {
    let clock = ManualClock::new();
    let server = start();
    let other = r#"{"issuer":"https://other.example","token_endpoint":"https://other.example/token"}"#;
    let json = ("content-type", "application/json");
    for quirk in [
        respond(200, &[json], other),
        respond(200, &[json], "not JSON"),
        respond(302, &[("location", "https://other.example/")], ""),
        Quirk::Html { status: 200 },
    ] {
        server.clear_received();
        server.misbehave(Endpoint::Metadata, When::Always, quirk);
        let error = server.session().clock(clock.clone()).discover().unwrap_err();
        assert!(!error.is_transient(), "{error}");
        assert!(server.received_at(Endpoint::Metadata).len() <= 2 && clock.sleeps().is_empty(), "{error}");
        server.behave();
    }
    // Wrong settings are reported before the server is asked.
    let http = Down::new(usize::MAX, refused);
    for wrong in [
        builder(http.clone(), &clock).resource_origins(["not an origin"]),
        builder(http.clone(), &clock).dangerous_accept_bearer(),
        Session::builder("https://as.example.com", "app\n").http(http.clone()),
        Session::builder("https://as.example.com?query", "app").http(http.clone()),
    ] {
        wrong.discover().unwrap_err();
        assert_eq!(http.sent.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn a_builder_can_be_cloned_for_another_attempt_or_another_session() {
    let (http, clock) = (Down::new(1, refused), ManualClock::new());
    let settings = builder(http, &clock).deadline(Duration::from_millis(1)).scope("orders:read");
    settings.clone().discover().unwrap_err();
    let first = settings.clone().discover().unwrap();
    let second = settings.clone().discover().unwrap();
    assert_ne!(first.prover().thumbprint(), second.prover().thumbprint(), "each has a key of its own");
    let with_key = settings.key(KeyPair::generate(Algorithm::Ed25519).unwrap());
    let keys = [with_key.clone(), with_key].map(|builder| builder.discover().unwrap().prover().thumbprint());
    assert_eq!(keys[0], keys[1]);
}
