//! Resources that refuse calls with 429 or 503 and a `Retry-After`.

use std::io::Cursor;
use std::time::Duration;

use http::{Method, Request};
use possession::testing::{Endpoint, ManualClock, Quirk, TestServer, When};
use possession::*;

use crate::common::server::{SECOND, always, calls, once, respond, statuses, with};
use crate::support::{nothing_twice, token_of};

fn refuse(status: u16, retry_after: u64) -> Quirk {
    Quirk::Refuse { status, retry_after: Some(retry_after) }
}

fn server(clock: &ManualClock) -> TestServer {
    with(|server| server.clock(clock.clone()))
}

/// A session that has a token and knows a nonce.
fn session(server: &TestServer, clock: &ManualClock, set: fn(SessionBuilder) -> SessionBuilder) -> Session {
    let builder = server.session().clock(clock.clone()).deadline(60 * SECOND);
    let session = set(builder.resource_origins([server.resource_origin()])).discover().unwrap();
    session.get(&server.resource("/")).unwrap();
    server.clear_received();
    session
}

/// By default the caller decides, with the help of `retry_after`.
#[test]
fn an_overloaded_resource_is_asked_once_by_default() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let session = session(&server, &clock, |builder| builder);
    for status in [429, 503] {
        server.clear_received();
        once(&server, Endpoint::Resource, refuse(status, 7));
        let response = session.get(&server.resource("/")).unwrap();
        assert_eq!((response.status().as_u16(), calls(&server).len()), (status, 1));
        assert_eq!(retry_after(response.headers(), clock.now()), Some(7 * SECOND));
    }
    assert!(clock.sleeps().is_empty());
}

#[test]
fn a_call_is_repeated_when_the_retry_after_of_429_and_503_is_over() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let session = session(&server, &clock, SessionBuilder::retry_when_overloaded);
    for method in [Method::GET, Method::POST] {
        server.clear_received();
        let before = clock.sleeps().len();
        once(&server, Endpoint::Resource, refuse(429, 7));
        let body = if method == Method::POST { "an order" } else { "" };
        let request = Request::builder().method(&method).uri(server.resource("/")).body(body).unwrap();
        assert_eq!(session.run(request).unwrap().status(), 200);
        once(&server, Endpoint::Resource, refuse(503, 20));
        let agent = session.agent().unwrap();
        let request = Request::builder().method(&method).uri(server.resource("/")).body(body).unwrap();
        assert_eq!(agent.run(request).unwrap().status(), 200);
        let calls = calls(&server);
        assert_eq!(statuses(&calls), [429, 200, 503, 200]);
        assert!(calls.iter().all(|call| call.body == body.as_bytes()));
        let slept: Vec<_> = clock.sleeps().split_off(before).iter().map(Duration::as_secs).collect();
        assert!(matches!(*slept, [7..=8, 20..=21]), "{slept:?}");
    }
    nothing_twice(&server);
    assert_eq!(session.stats().retries, 6, "two challenges at the start, and four repetitions");
}

#[test]
fn a_response_is_returned_when_its_retry_after_is_missing_or_ends_after_the_deadline() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let session = session(&server, &clock, SessionBuilder::retry_when_overloaded);
    let cases = [
        (refuse(429, 61), 429),
        (refuse(503, u64::MAX), 503),
        (Quirk::Refuse { status: 503, retry_after: None }, 503),
        (respond(503, &[("retry-after", "soon")], ""), 503),
        // These have another meaning (RFC 9110 §10.2.3 allows the field with any status).
        (refuse(500, 1), 500),
        (refuse(403, 1), 403),
        (respond(301, &[("retry-after", "1"), ("location", "/elsewhere")], ""), 301),
        (respond(200, &[("retry-after", "1")], "fine"), 200),
    ];
    for (quirk, status) in cases {
        server.clear_received();
        server.misbehave(Endpoint::Resource, When::Next(1), quirk);
        assert_eq!(session.get(&server.resource("/")).unwrap().status(), status);
        assert_eq!(calls(&server).len(), 1, "{status}");
    }
    // A stream is gone.
    server.clear_received();
    once(&server, Endpoint::Resource, refuse(503, 1));
    let stream = Body::from_reader(Cursor::new("a stream"));
    assert_eq!(session.post(&server.resource("/"), "text/plain", stream).unwrap().status(), 503);
    assert_eq!((calls(&server).len(), clock.sleeps().len()), (1, 0));
}

/// Also one that says zero: the pauses are short, but there are pauses, and five requests in all.
#[test]
fn a_resource_that_stays_overloaded_is_asked_five_times() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let session = session(&server, &clock, SessionBuilder::retry_when_overloaded);
    always(&server, Endpoint::Resource, refuse(503, 0));
    let mut response = session.get(&server.resource("/")).unwrap();
    assert_eq!((response.status().as_u16(), calls(&server).len()), (503, 5));
    response.body_mut().read_to_vec().unwrap();
    assert!(clock.sleeps().iter().all(|slept| *slept >= SECOND / 8) && clock.sleeps().len() == 4);
    nothing_twice(&server);
    // All pauses together end before the deadline.
    server.clear_received();
    server.behave();
    always(&server, Endpoint::Resource, refuse(503, 25));
    let before = clock.elapsed();
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 503);
    assert!(clock.elapsed() - before <= 60 * SECOND && calls(&server).len() == 3);
}

#[test]
fn a_token_that_expires_in_the_pause_is_replaced() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).token_lifetime(30 * SECOND));
    let session = session(&server, &clock, SessionBuilder::retry_when_overloaded);
    once(&server, Endpoint::Resource, refuse(503, 40));
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
    let calls = calls(&server);
    assert_eq!(statuses(&calls), [503, 200]);
    assert_ne!(token_of(&calls[0]), token_of(&calls[1]));
    nothing_twice(&server);
}
