//! Discovery to call, time, back-off, statistics and errors of a session.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Response;
use oxhttp::model::Body;
use possession::server::*;
use possession::testing::{Endpoint, ManualClock, Nonces, Quirk};
use possession::*;

use crate::common::server::{SECOND, always, calls, once, start, statuses, token_requests, with};
use crate::common::{JSON, Jwt, TOKEN, token_json};
use crate::support::{default_session, key, nothing_twice};
use crate::threads::{reply, serve};

/// Discovery, a nonce at each endpoint, the token and the call: the verifier of this crate checks what a
/// server of another crate received.
#[test]
fn a_session_works_with_the_verifier_of_this_crate_behind_another_http_server() {
    // One secret, and yet the nonces of the two endpoints differ.
    let nonces = StatelessNonces::generate().unwrap();
    let verifier = Verifier::new(MemoryReplayStore::new(1_000)).require_nonces(nonces);
    let origin = Arc::new(Mutex::new(String::new()));
    let own = Arc::clone(&origin);
    let issuer = serve(move |request| {
        let issuer = own.lock().unwrap().clone();
        let url = format!("{issuer}{}", request.uri().path());
        let now = std::time::SystemTime::now();
        let received = ReceivedRequest::new(request.method(), &url, request.headers()).unwrap();
        match request.uri().path() {
            "/.well-known/openid-configuration" => {
                let methods = r#""token_endpoint_auth_methods_supported":["client_secret_post"]"#;
                reply(
                    200,
                    &[JSON],
                    format!(r#"{{"issuer":"{issuer}","token_endpoint":"{issuer}/token",{methods}}}"#),
                )
            }
            "/token" => match verifier.verify_token_request(&received, now) {
                Ok(_) => reply(200, &[JSON], token_json(TOKEN, r#","expires_in":3600"#)),
                Err(rejection) => rejection.to_response().map(Body::from),
            },
            "/api" => {
                let field = request.headers()["authorization"].to_str().unwrap();
                let jkt = Jwt::decode(request.headers()["dpop"].to_str().unwrap()).header["jwk"].to_string();
                let jkt = Thumbprint::from_jwk(&jkt).unwrap();
                assert_eq!(field, format!("DPoP {TOKEN}"));
                match verifier.verify_resource_request(&received, TOKEN, &jkt, now) {
                    Ok(_) => reply(200, &[], "ok"),
                    Err(rejection) => rejection.to_response().map(Body::from),
                }
            }
            _ => reply(404, &[], ""),
        }
    });
    origin.lock().unwrap().clone_from(&issuer);
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let session = Session::builder(&issuer, "app")
            .auth(ClientAuth::client_secret_post("secret"))
            .key(KeyPair::generate(algorithm).unwrap())
            .dangerous_allow_http_on_loopback()
            .discover()
            .unwrap();
        for _ in 0..2 {
            let mut response = session.get(&format!("{issuer}/api")).unwrap();
            assert_eq!(response.body_mut().read_to_string().unwrap(), "ok");
        }
    }
}

/// The deadline of a call bounds its token request and the pauses of back-off, whatever `Retry-After` says.
#[test]
fn a_call_lasts_no_longer_than_its_deadline() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()));
    let session = server.session().clock(clock.clone()).deadline(10 * SECOND).discover().unwrap();
    always(&server, Endpoint::Token, Quirk::Refuse { status: 503, retry_after: Some(4) });
    let before = clock.elapsed();
    let error = session.get(&server.resource("/")).unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert!(clock.elapsed() - before <= 10 * SECOND);
    assert_eq!(statuses(&token_requests(&server)), [503, 503, 503]);
    // No request before the pause ends: a call with a shorter deadline gets an error that says how long it
    // is.
    let error = session.with_deadline(SECOND).get(&server.resource("/")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::BackOff { .. }), "{error}");
    assert_eq!(token_requests(&server).len(), 3);
    server.behave();
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
    assert!(calls(&server).len() == 2, "no call was sent without a token");
}

/// An HTTP-date as well as seconds (RFC 9110 §10.2.3), by the server's clock.
#[test]
fn retry_after_may_be_a_date() {
    let clock = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND);
    let server = with(|server| server.clock(clock.clone()));
    server.set_clock_offset(-5_000);
    let busy = Response::builder()
        .status(429)
        .header("date", "Fri, 15 Jan 2027 06:36:40 GMT")
        .header("retry-after", "Fri, 15 Jan 2027 06:37:00 GMT");
    once(&server, Endpoint::Token, Quirk::Respond(busy.body(Vec::new()).unwrap()));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
    let slept = clock.sleeps();
    assert!(matches!(*slept, [slept] if (20 * SECOND..=21 * SECOND).contains(&slept)), "{slept:?}");
}

/// `Retry-After` counts for five minutes, and less if the time of day shows that the machine was suspended:
/// its monotonic clock stood still.
#[test]
fn q_38_a_pause_ends_after_five_minutes_or_when_either_clock_says_so() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    let pauses: [(u64, &dyn Fn()); 3] = [
        (86_400, &|| clock.advance(300 * SECOND)),
        (250, &|| clock.set(clock.now() + 251 * SECOND)),
        (250, &|| {
            clock.set(clock.now() - 86_400 * SECOND);
            clock.advance(251 * SECOND);
        }),
    ];
    for (seconds, pass) in pauses {
        once(&server, Endpoint::Token, Quirk::Refuse { status: 503, retry_after: Some(seconds) });
        session.discard_token();
        assert_eq!(session.access_token().unwrap_err().status(), Some(503));
        let error = session.access_token().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::BackOff { .. }), "{error}");
        pass();
        session.access_token().unwrap();
    }
    assert!(clock.sleeps().is_empty());
}

/// A week of calls: a token every hour, each renewed before it expires, and nothing else.
#[test]
fn a_session_runs_for_a_week_with_one_token_request_per_lifetime() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).nonces(Nonces::Lifetime(300 * SECOND)));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    for _ in 0..1_000 {
        assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
        clock.advance(600 * SECOND);
    }
    let stats = session.stats();
    assert_eq!((stats.calls, stats.failures), (1_000, 0));
    // Ten minutes apart: every sixth call finds the token due for renewal.
    assert_eq!((stats.tokens, stats.renewals), (167, 166));
    assert!(statuses(&server.received()).iter().all(|status| [200, 400, 401].contains(status)));
    nothing_twice(&server);
}

#[test]
fn stats_count_calls_retries_tokens_and_failures() {
    let server = start();
    let session = default_session(&server);
    assert_eq!(session.stats(), Stats::default());
    session.get(&server.resource("/")).unwrap();
    let stats = session.stats();
    // A challenge and a retry at each endpoint.
    assert_eq!((stats.calls, stats.retries, stats.failures), (1, 2, 0));
    assert_eq!((stats.tokens, stats.renewals, stats.token_requests, stats.nonces_learned), (1, 0, 2, 2));
    server.revoke_tokens();
    session.get(&server.resource("/")).unwrap();
    let stats = session.stats();
    assert_eq!(
        (stats.calls, stats.retries, stats.tokens, stats.renewals, stats.token_requests),
        (2, 3, 2, 1, 3)
    );
    always(&server, Endpoint::Token, Quirk::Html { status: 400 });
    session.discard_token();
    session.get(&server.resource("/")).unwrap_err();
    let stats = session.stats();
    assert_eq!((stats.calls, stats.failures, stats.tokens), (3, 1, 2));
    server.set_clock_offset(-100);
    server.behave();
    session.discard_token();
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
fn errors_say_what_was_requested_what_was_wrong_and_what_to_do() {
    let clock = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND);
    let server = with(|server| server.clock(clock.clone()));
    let builder = || server.session().clock(clock.clone());
    let call = |session: &Session| session.get(&server.resource("/")).unwrap_err().to_string();
    let says = |text: String, words: &[&str]| {
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    let asking = format!("requesting a token from {} as test-client: ", server.issuer());
    let wrong = builder().auth(ClientAuth::client_secret_basic("wrong")).discover().unwrap();
    says(call(&wrong), &[&asking, "401 invalid_client", "check the client's identifier, its secret or key"]);
    let session = builder().deadline(10 * SECOND).discover().unwrap();
    always(&server, Endpoint::Token, Quirk::Bearer);
    says(call(&session), &[&asking, "Bearer", "discarded", "dpop_bound_access_tokens"]);
    says(call(&session), &[&asking, "Bearer", "the server refused this once", "are not tried again for"]);
    session.discard_token();
    server.behave();
    always(&server, Endpoint::Token, Quirk::Refuse { status: 503, retry_after: Some(60) });
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

/// The end of one call says nothing about the server: the next call does not wait.
#[test]
fn a_short_deadline_does_not_put_the_server_into_back_off() {
    let server = start();
    let session = default_session(&server);
    always(&server, Endpoint::Token, Quirk::Silence);
    for _ in 0..5 {
        let error = session.with_deadline(Duration::from_millis(50)).access_token().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Timeout, "{error}");
    }
    server.behave();
    assert!(session.with_deadline(5 * SECOND).access_token().is_ok());
}

/// The pause is for the server, not for one token.
#[test]
fn back_off_applies_to_every_token_of_the_server() {
    let server = start();
    let session = default_session(&server);
    always(&server, Endpoint::Token, Quirk::Refuse { status: 429, retry_after: Some(600) });
    for i in 0..20 {
        let view = session.with_parameters(Parameters::new().scope(format!("s{i}"))).unwrap();
        assert!(view.access_token().is_err());
        assert!(session.rotate_key(key(Algorithm::Ed25519)).is_err());
    }
    assert_eq!(token_requests(&server).len(), 1);
}

/// A renewal that is not needed yet gets a part of the deadline of a call, and the call is made.
#[test]
fn a_renewal_that_hangs_leaves_time_for_the_call() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()));
    let session = server.session().clock(clock.clone()).deadline(2 * SECOND).discover().unwrap();
    session.get(&server.resource("/")).unwrap();
    clock.advance(3_545 * SECOND);
    always(&server, Endpoint::Token, Quirk::Silence);
    for _ in 0..3 {
        assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
    }
    // One attempt, then the pause; a call without time for an attempt makes none.
    assert_eq!(token_requests(&server).len(), 3);
    clock.advance(2 * SECOND);
    assert!(session.with_deadline(SECOND).access_token().is_ok());
    assert_eq!(token_requests(&server).len(), 3);
}

#[test]
fn extreme_settings_and_tokens_are_limited_or_refused() {
    let server = start();
    // An infinite timeout is limited to a year.
    let transport = Transport::builder().timeout(Duration::MAX).build();
    let session = server.session().transport(transport).deadline(Duration::MAX);
    let session = session.resource_origins([server.resource_origin()]).discover().unwrap();
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
    assert_eq!(session.agent().unwrap().get(server.resource("/")).call().unwrap().status(), 200);
    // A token that fits into no request is refused.
    let json = format!("\"{}\"", "t".repeat(40_000));
    always(&server, Endpoint::Token, Quirk::Member { name: "access_token".to_owned(), json });
    session.discard_token();
    let error = session.access_token().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Content { .. }) && error.to_string().contains("32768"),
        "{error}"
    );
    // Bearer tokens need a list of origins.
    let error = server.session().dangerous_accept_bearer().discover().unwrap_err();
    assert!(
        *error.kind() == ErrorKind::Parameter && error.to_string().contains("resource_origins"),
        "{error}"
    );
}
