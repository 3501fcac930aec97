//! `use_dpop_nonce` challenges and the nonces that are kept (rows C-30 … C-41, Q-05 … Q-09, Q-28).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use possession::testing::{Endpoint, ManualClock, Nonces, Quirk, Received, TestServer, When};
use possession::*;

use crate::common::server::{
    FORMS, SECOND, always, calls, get, nonces, once, once_all, respond, start, statuses, token_requests, with,
};
use crate::common::{JSON, Jwt, Peer};
use crate::peer::{all_distinct, body_challenge, header_challenge, jtis, session_over, token_server};
use crate::support::{
    BOTH, LONG, NONCE_CHALLENGE, builder, claim, code, default_session, nonce, nothing_twice, session, some,
    text, transports,
};

/// A clock that advances by a second whenever it is read.
#[derive(Clone)]
struct Ticking(Arc<AtomicU64>, SystemTime);

impl Clock for Ticking {
    fn now(&self) -> SystemTime {
        self.1 + SECOND * u32::try_from(self.0.fetch_add(1, Ordering::SeqCst)).unwrap()
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}

#[test]
fn c_30_c_64_the_retry_has_a_new_proof_and_a_new_assertion() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let server = with(|server| server.client_public_key(key.to_public()));
    // Behind the server by less than it tolerates, with room to advance.
    let clock = Ticking(Arc::default(), SystemTime::now() - 30 * SECOND);
    let session = server.session().auth(ClientAuth::private_key_jwt(key)).clock(clock).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    let time = |claims: &serde_json::Value| claims["iat"].as_u64().unwrap();
    for requests in [token_requests(&server), calls(&server)] {
        let [first, second] = &requests[..] else { panic!("two, not {}", requests.len()) };
        assert_eq!((claim(first, "nonce"), claim(second, "nonce").is_some()), (None, true));
        let proofs = [first, second].map(|request| request.proof().unwrap().claims);
        assert_ne!(proofs[0]["jti"], proofs[1]["jti"]);
        assert!(time(&proofs[0]) < time(&proofs[1]), "{proofs:?}");
        if let [Some(first), Some(second)] = [first, second].map(Received::assertion) {
            assert_ne!(first.claims["jti"], second.claims["jti"]);
            assert!(time(&first.claims) < time(&second.claims));
        }
    }
    assert!(token_requests(&server).iter().all(|request| request.assertion().is_some()));
    assert_eq!(server.counts().challenges, 2, "one at each endpoint");
    nothing_twice(&server);
}

#[test]
fn c_30_c_31_a_resource_may_challenge_by_header_or_body_and_the_caller_gets_the_second_refusal() {
    let tokens = token_server("");
    for transport in transports() {
        for challenge in [header_challenge, body_challenge] {
            let session = session_over(&tokens, transport.clone());
            let peer =
                Peer::scripted([challenge("n-1"), crate::common::http(200, &[("dpop-nonce", "n-2")], "ok")]);
            let mut response = session.get(&peer.url("/")).unwrap();
            assert_eq!(
                (response.status().as_u16(), &*response.body_mut().read_to_string().unwrap()),
                (200, "ok")
            );
            // The nonce of the 200 is used by the next call.
            assert_eq!(session.get(&peer.url("/")).unwrap().status(), 200);
            let seen = peer.seen();
            let proofs: Vec<_> = seen.iter().map(|seen| seen.proof()).collect();
            let nonces: Vec<_> = proofs.iter().map(Jwt::nonce).collect();
            assert_eq!(nonces, [None, Some("n-1"), Some("n-2")]);
            assert!(all_distinct(&jtis(&peer)));
            // Challenges without end: two requests, then the caller gets the refusal with its body.
            let responses: Vec<_> = (0..9).map(|n| challenge(&format!("n-{n}"))).collect();
            let peer = Peer::scripted(responses.clone());
            let mut response = session.get(&peer.url("/")).unwrap();
            assert!(matches!(response.status().as_u16(), 400 | 401));
            let body = responses[1].split_once("\r\n\r\n").unwrap().1;
            assert_eq!(response.body_mut().read_to_string().unwrap(), body);
            assert_eq!(peer.seen().len(), 2);
        }
    }
}

#[test]
fn c_31_a_server_that_always_challenges_gets_two_requests() {
    // Often enough for a client that stops, and an end for one that does not.
    let always_challenge = |server: &TestServer, at| server.misbehave(at, When::Next(20), Quirk::Challenge);
    for form in FORMS {
        let server = start();
        let session = session(&server);
        for at in BOTH {
            always(&server, at, Quirk::ChallengeForm(form));
        }
        once(&server, Endpoint::Token, Quirk::Challenge);
        session.access_token().unwrap();
        server.clear_received();
        always_challenge(&server, Endpoint::Resource);
        let response = session.get(&server.resource("/")).unwrap();
        assert!([400, 401].contains(&response.status().as_u16()), "{form:?}");
        assert_eq!(calls(&server).len(), 2, "{form:?}");
        let agent = builder(&server, LONG).resource_origins([server.resource_origin()]).discover().unwrap();
        assert!(agent.agent().unwrap().get(server.resource("/")).call().is_err());
        assert_eq!(calls(&server).len(), 4, "{form:?}");
        always_challenge(&server, Endpoint::Token);
        server.clear_received();
        session.discard_token();
        let error = session.get(&server.resource("/")).unwrap_err();
        assert!(!error.is_transient(), "{form:?} {error}: no retry after a pause either");
        assert!(error.to_string().contains("use_dpop_nonce"), "{form:?} {error}");
        if form == possession::testing::ChallengeForm::Json {
            assert_eq!(code(&error), Some("use_dpop_nonce"));
        }
        assert_eq!((token_requests(&server).len(), calls(&server).len()), (2, 0), "{form:?}");
        nothing_twice(&server);
    }
}

/// C-32: none, an empty one, the one just sent. C-36: a value that no proof can carry. C-37: two, even equal
/// ones.
#[test]
fn c_32_c_36_c_37_without_exactly_one_new_valid_nonce_there_is_no_retry() {
    let (long, longest) = ("n".repeat(1_025), "n".repeat(1_024));
    let bad: [&[&str]; 12] = [
        &[],
        &[""],
        &["a b"],
        &["a\"b"],
        &["a\\b"],
        &["a\tb"],
        &["é"],
        &["\u{a0}"],
        &[&long],
        &["one", "two"],
        &["same", "same"],
        &["", "one"],
    ];
    for values in bad {
        for (at, known) in BOTH.into_iter().flat_map(|at| [(at, Some("known")), (at, None)]) {
            let server = with(|server| server.nonces(Nonces::Off));
            let session = session(&server);
            // A valid nonce that is known already stays.
            if let Some(known) = known {
                once(&server, at, nonce(&[known]));
            }
            assert_eq!(get(&session, &server), 200);
            server.behave();
            server.clear_received();
            always(&server, at, Quirk::Challenge);
            always(&server, at, nonce(values));
            match at {
                Endpoint::Token => {
                    session.discard_token();
                    assert_eq!(
                        code(&session.access_token().unwrap_err()),
                        Some("use_dpop_nonce"),
                        "{values:?}"
                    );
                }
                _ => assert_eq!(get(&session, &server), 401, "{values:?}"),
            }
            assert_eq!(nonces(&server.received_at(at)), some(&[known]), "{values:?}");
            // None of the values is used later.
            server.behave();
            session.discard_token();
            assert_eq!(get(&session, &server), 200);
            assert_eq!(nonces(&server.received_at(at)), some(&[known, known]), "{values:?}");
        }
    }
    // The nonce just sent.
    for at in BOTH {
        let server = start();
        let session = session(&server);
        assert_eq!(get(&session, &server), 200);
        always(&server, at, Quirk::Challenge);
        always(&server, at, Quirk::RepeatNonce);
        server.clear_received();
        match at {
            Endpoint::Token => {
                session.discard_token();
                assert_eq!(code(&session.access_token().unwrap_err()), Some("use_dpop_nonce"));
            }
            _ => assert_eq!(get(&session, &server), 401),
        }
        assert_eq!(server.received_at(at).len(), 1, "{at:?}");
    }
    // The longest nonce, and every character that RFC 9449 §8.1 allows.
    let allowed: String = (0x21..=0x7eu8).filter(|b| !b"\"\\".contains(b)).map(char::from).collect();
    for value in [longest, allowed, "~".to_owned()] {
        let server = with(|server| server.nonces(Nonces::Off));
        once_all(&server, Endpoint::Resource, [Quirk::Challenge, nonce(&[&value])]);
        assert_eq!(get(&session(&server), &server), 200);
        assert_eq!(nonces(&calls(&server)), [None, Some(value)]);
    }
}

/// Stale because it expired, and because the server dropped it; at both endpoints.
#[test]
fn c_33_a_stale_nonce_is_replaced_by_that_of_the_challenge() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).nonces(Nonces::LifetimeByChallenge(60 * SECOND)));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    type Stale<'a> = &'a dyn Fn();
    let stale: [Stale<'_>; 2] = [&|| clock.advance(61 * SECOND), &|| server.rotate_nonces()];
    for make_stale in stale {
        let before =
            [token_requests(&server), calls(&server)].map(|requests| nonces(&requests).pop().unwrap());
        make_stale();
        server.clear_received();
        session.discard_token();
        assert_eq!(get(&session, &server), 200);
        for (requests, before) in [token_requests(&server), calls(&server)].into_iter().zip(before) {
            let sent = nonces(&requests);
            assert_eq!(sent.len(), 2);
            assert!(sent[0] == before && sent[1] != before && sent[1].is_some(), "{sent:?}");
        }
    }
}

#[test]
fn c_34_the_nonce_of_every_response_is_used_by_the_next_request() {
    let server = with(|server| server.nonces(Nonces::Off));
    let session = session(&server);
    session.access_token().unwrap();
    let mut last = None;
    let mut next = |session: &Session, expected: &[&str]| {
        server.clear_received();
        let status = get(session, &server);
        let mut sent = vec![last.clone()];
        sent.extend(expected[..expected.len() - 1].iter().map(|text| Some((*text).to_owned())));
        assert_eq!(nonces(&calls(&server)), sent);
        last = expected.last().map(|text| (*text).to_owned());
        server.behave();
        status
    };
    // A plain 200, a challenge and the 200 after it, a challenge and the refusal after it.
    always(&server, Endpoint::Resource, nonce(&["a"]));
    assert_eq!(next(&session, &["a"]), 200);
    let challenge = respond(401, &[NONCE_CHALLENGE, ("dpop-nonce", "b")], "");
    once(&server, Endpoint::Resource, challenge.clone());
    server.misbehave(Endpoint::Resource, When::Every(2), nonce(&["c"]));
    assert_eq!(next(&session, &["b", "c"]), 200);
    once(&server, Endpoint::Resource, challenge);
    server.misbehave(Endpoint::Resource, When::Every(2), respond(403, &[("dpop-nonce", "d")], ""));
    assert_eq!(next(&session, &["b", "d"]), 403);
    once(&server, Endpoint::Resource, respond(401, &[NONCE_CHALLENGE, ("dpop-nonce", "first")], ""));
    let refusal = [("www-authenticate", "DPoP error=access_denied"), ("dpop-nonce", "second")];
    server.misbehave(Endpoint::Resource, When::Every(2), respond(401, &refusal, ""));
    assert_eq!(next(&session, &["first", "second"]), 401);
    // Every status.
    for status in [302, 307, 400, 403, 404, 429, 500, 503] {
        let value = format!("on-{status}");
        once(&server, Endpoint::Resource, respond(status, &[("dpop-nonce", &value)], ""));
        assert_eq!(next(&session, &[&value]), status);
    }
    assert_eq!(next(&session, &["-"]), 200);
    // The same at the token endpoint.
    let refused =
        |status: u16, value: &str, body: &str| respond(status, &[JSON, ("dpop-nonce", value)], body);
    let use_nonce = r#"{"error":"use_dpop_nonce"}"#;
    server.clear_received();
    once(&server, Endpoint::Token, refused(400, "e", use_nonce));
    server.misbehave(Endpoint::Token, When::Every(2), nonce(&["f"]));
    session.discard_token();
    session.access_token().unwrap();
    server.behave();
    once(&server, Endpoint::Token, refused(400, "g", use_nonce));
    server.misbehave(Endpoint::Token, When::Every(2), refused(400, "h", r#"{"error":"invalid_scope"}"#));
    session.discard_token();
    assert_eq!(code(&session.access_token().unwrap_err()), Some("invalid_scope"));
    server.behave();
    session.discard_token();
    let redirect = Quirk::Redirect { status: 302, location: "/x".to_owned() };
    once_all(&server, Endpoint::Token, [redirect, nonce(&["i"])]);
    assert!(session.access_token().is_err());
    session.discard_token();
    session.access_token().unwrap();
    let sent = [None, Some("e"), Some("f"), Some("g"), Some("h"), Some("i")];
    assert_eq!(nonces(&token_requests(&server)), some(&sent));
}

#[test]
fn c_35_nonces_of_endpoints_and_ports_are_kept_apart() {
    let (server, other) =
        (with(|server| server.nonces(Nonces::Off)), with(|server| server.nonces(Nonces::Off)));
    let session = session(&server);
    always(&server, Endpoint::Token, nonce(&["of-as"]));
    always(&server, Endpoint::Resource, nonce(&["of-rs"]));
    always(&other, Endpoint::Resource, nonce(&["of-other"]));
    let resources = [
        server.resource("/"),            // a port of its own
        format!("{}/", server.issuer()), // a resource at the origin of the authorization server
        other.resource("/"),             // the same host, another port
    ];
    for _ in 0..3 {
        session.discard_token();
        for url in &resources {
            session.get(url).unwrap();
        }
    }
    // Three times, and one retry each, because the other server knows none of the tokens.
    let as_nonce = Some("of-as");
    assert_eq!(
        nonces(&token_requests(&server)),
        some(&[None, as_nonce, as_nonce, as_nonce, as_nonce, as_nonce])
    );
    for (origin, received, own) in [
        (server.resource_origin(), calls(&server), "of-rs"),
        (server.issuer(), calls(&server), "of-rs"),
        (other.resource_origin(), calls(&other), "of-other"),
    ] {
        let here: Vec<_> = received.into_iter().filter(|call| call.origin == origin).collect();
        let sent = nonces(&here);
        assert!(sent.len() >= 3 && sent[0].is_none(), "{origin} {sent:?}");
        assert!(sent[1..].iter().all(|nonce| nonce.as_deref() == Some(own)), "{origin} {sent:?}");
    }
    // One nonce for one host, however it is written, and none for another name of the host.
    let port = server.resource_origin().rsplit(':').next().unwrap().to_owned();
    always(&server, Endpoint::Resource, Quirk::HtuOrigin(format!("http://localhost:{port}")));
    server.clear_received();
    for host in ["localhost", "LOCALHOST", "LocalHost"] {
        assert_eq!(session.get(&format!("HTTP://{host}:{port}/")).unwrap().status(), 200);
    }
    assert_eq!(nonces(&calls(&server)), some(&[None, Some("of-rs"), Some("of-rs")]));
}

/// Ten thousand other origins set nonces. The server's own stays while it is used, and is evicted when it is
/// not.
#[test]
fn c_38_the_number_of_nonces_is_bounded_and_the_least_recently_used_go() {
    let server = start();
    let prover = Prover::new(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
    let session = builder(&server, LONG).prover(&prover).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    let known = nonces(&calls(&server)).pop().unwrap();
    server.clear_received();
    let headers = HeaderMap::from_iter([(http::HeaderName::from_static("dpop-nonce"), "n".parse().unwrap())]);
    let learn = |role, range: std::ops::Range<u32>| {
        for i in range {
            prover.record_nonce(role, &format!("https://{i}.example/"), &headers).unwrap();
        }
    };
    for hundred in 0..100 {
        learn(ServerRole::ResourceServer, hundred * 100..(hundred + 1) * 100);
        assert_eq!(get(&session, &server), 200);
    }
    assert!(calls(&server).len() == 100 && nonces(&calls(&server)).iter().all(|nonce| *nonce == known));
    // Those of resource servers do not evict that of the authorization server.
    learn(ServerRole::ResourceServer, 0..10_000);
    session.discard_token();
    server.clear_received();
    assert_eq!(get(&session, &server), 200);
    assert_eq!(token_requests(&server).len(), 1, "the authorization server's nonce is kept");
    let sent = nonces(&calls(&server));
    assert!(sent.len() == 2 && sent[0].is_none() && sent[1].is_some(), "the resource's is evicted: {sent:?}");
}

#[test]
fn c_40_32_threads_share_a_session_while_each_response_rotates_the_nonce() {
    const THREADS: usize = 32;
    const EACH: usize = 8;
    let server = with(|server| server.nonces(Nonces::EachResponse));
    // The real clock: threads that wait for a token use it.
    let session = server.session().discover().unwrap();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (session, server) = (session.clone(), &server);
            scope.spawn(move || {
                for i in 0..EACH {
                    let response = session.get(&server.resource(&format!("/{number}/{i}"))).unwrap();
                    assert_eq!(response.status(), 200);
                    text(response);
                }
            });
        }
    });
    let mut by_call = HashMap::<String, usize>::new();
    for call in calls(&server) {
        *by_call.entry(call.target).or_default() += 1;
    }
    assert_eq!(by_call.len(), THREADS * EACH);
    assert!(by_call.values().all(|requests| *requests <= 2), "at most one retry of each: {by_call:?}");
    assert_eq!((server.counts().tokens, token_requests(&server).len()), (1, 2));
    nothing_twice(&server);
    assert_eq!(session.stats().failures, 0);
}

#[test]
fn c_41_the_nonce_of_another_error_is_kept_and_there_is_no_retry() {
    for (status, error) in [
        (400, "invalid_scope"),
        (401, "invalid_client"),
        (400, "unauthorized_client"),
        (400, "invalid_target"),
        (400, "invalid_request"),
        (403, "access_denied"),
    ] {
        let server = with(|server| server.nonces(Nonces::Off));
        let session = session(&server);
        let body = format!(r#"{{"error":"{error}"}}"#);
        once(&server, Endpoint::Token, respond(status, &[JSON, ("dpop-nonce", "n")], body));
        assert_eq!(code(&session.access_token().unwrap_err()), Some(error));
        assert_eq!(token_requests(&server).len(), 1, "{error}");
        session.discard_token();
        session.access_token().unwrap();
        assert_eq!(nonces(&token_requests(&server)), some(&[None, Some("n")]), "{error}");
    }
    // The same at a resource.
    for error in ["insufficient_scope", "invalid_request", "access_denied"] {
        let server = with(|server| server.nonces(Nonces::Off));
        let session = session(&server);
        let challenge = format!("DPoP error=\"{error}\"");
        let headers = [("www-authenticate", challenge.as_str()), ("dpop-nonce", "n")];
        once(&server, Endpoint::Resource, respond(401, &headers, ""));
        assert_eq!((get(&session, &server), calls(&server).len()), (401, 1), "{error}");
        assert_eq!(get(&session, &server), 200);
        assert_eq!(nonces(&calls(&server)), some(&[None, Some("n")]), "{error}");
    }
}

#[test]
fn q_05_a_nonce_on_every_response_is_used_by_the_next_request() {
    let server = with(|server| server.nonces(Nonces::EachResponse));
    let session = default_session(&server);
    for _ in 0..5 {
        assert_eq!(get(&session, &server), 200);
        session.discard_token();
    }
    for at in BOTH {
        // One challenge at each endpoint, and then a new nonce each time.
        let sent = nonces(&server.received_at(at));
        assert_eq!((sent.len(), &sent[0]), (6, &None));
        assert_eq!(sent[1..].iter().flatten().collect::<HashSet<_>>().len(), 5, "{at:?}");
    }
    assert_eq!(server.counts().challenges, 2);
    assert_eq!(session.stats().nonces_learned, 12, "one in each response");
}

/// Some servers issue none and refuse any. A nonce of another server, or of the same origin in its other
/// role, must not reach them.
#[test]
fn q_06_a_nonce_goes_to_the_origin_and_role_that_issued_it() {
    let server = start();
    always(&server, Endpoint::Resource, Quirk::RefuseNonces);
    let session = default_session(&server);
    // The token endpoint issued a nonce. The resource at the same origin and the one at another must not see
    // it.
    let plain = with(|server| server.nonces(Nonces::Off));
    always(&plain, Endpoint::Resource, Quirk::RefuseNonces);
    let other = plain.session().prover(&session.prover()).discover().unwrap();
    session.access_token().unwrap();
    assert_eq!(get(&other, &plain), 200);
    assert!(nonces(&token_requests(&plain)).iter().chain(&nonces(&calls(&plain))).all(Option::is_none));

    let same = format!("{}/orders", server.issuer());
    assert_eq!(session.get(&same).unwrap().status(), 401, "it demands a nonce and refuses it");
    let [first, second] = &nonces(&calls(&server))[..] else { panic!("two requests") };
    let at_token = nonces(&token_requests(&server));
    assert!(
        first.is_none() && second.is_some() && !at_token.contains(second),
        "its own, not the token endpoint's"
    );
}

#[test]
fn q_07_a_challenge_without_a_new_nonce_leads_to_no_retry_and_endless_ones_to_one() {
    let cases = [
        (vec![Quirk::Challenge, Quirk::WithoutNonce], 1),
        (vec![Quirk::Challenge, Quirk::RepeatNonce], 1),
        (vec![Quirk::Challenge], 2),
    ];
    for (quirks, requests) in cases {
        let server = start();
        let session = default_session(&server);
        assert_eq!(get(&session, &server), 200);
        server.clear_received();
        for quirk in &quirks {
            for at in BOTH {
                always(&server, at, quirk.clone());
            }
        }
        let status = get(&session, &server);
        assert_eq!((status, server.received().len()), (401, requests), "{quirks:?}");
        session.discard_token();
        server.clear_received();
        let error = session.access_token().unwrap_err();
        assert_eq!(error.oauth().map(OAuthError::error), Some("use_dpop_nonce"));
        assert_eq!(server.received().len(), requests, "{quirks:?}");
        nothing_twice(&server);
    }
}

/// Ten seconds, three minutes, three days: the client assumes no lifetime. An expired nonce costs one
/// challenge, and none where a response brings the next one in time.
#[test]
fn q_08_q_09_nonces_that_expire_cost_one_challenge_each() {
    for life in [10, 180, 3 * 86_400] {
        for (kind, calls, challenges) in [
            // A call every one and a half lifetimes: each finds its nonce expired.
            (Nonces::LifetimeByChallenge(life * SECOND), life * 3 / 2, 10),
            // Four calls in a lifetime: responses bring the next nonce, and no call is refused for its
            // nonce.
            (Nonces::Lifetime(life * SECOND), life / 4, 1),
        ] {
            let clock = ManualClock::new();
            let server = with(|server| {
                server.clock(clock.clone()).nonces(kind).token_lifetime(Duration::from_secs(u32::MAX.into()))
            });
            let session = server.session().clock(clock.clone()).discover().unwrap();
            for _ in 0..10 {
                assert_eq!(get(&session, &server), 200, "{kind:?}");
                clock.advance(calls * SECOND);
            }
            let refused =
                statuses(&server.received_at(Endpoint::Resource)).iter().filter(|s| **s == 401).count();
            assert_eq!(refused, challenges, "{kind:?}");
        }
    }
}

#[test]
fn q_28_of_several_nonces_none_is_used() {
    let server = start();
    let session = default_session(&server);
    assert_eq!(get(&session, &server), 200);
    let before = nonces(&calls(&server)).pop().unwrap();
    once(&server, Endpoint::Resource, Quirk::Nonce(vec!["one".to_owned(), "two".to_owned()]));
    assert_eq!(get(&session, &server), 200);
    assert_eq!(get(&session, &server), 200);
    assert_eq!(nonces(&calls(&server)).pop().unwrap(), before, "the known nonce stays");
    // With a challenge there is no nonce for a retry.
    let two_nonces = Quirk::Nonce(vec!["one".to_owned(), "two".to_owned()]);
    once_all(&server, Endpoint::Resource, [Quirk::Challenge, two_nonces]);
    server.clear_received();
    assert_eq!(get(&session, &server), 401);
    assert_eq!(server.received().len(), 1);
}

/// By default the roles are kept apart (C-35). With the option, the nonce of the token endpoint saves the
/// challenge of a resource at the same origin, and the reverse; other origins see none of it.
#[test]
fn q_37_nonces_are_shared_between_the_roles_of_one_origin_on_request() {
    let server = with(|server| server.nonces(Nonces::Off));
    let other = with(|server| server.nonces(Nonces::Off));
    let same_origin = format!("{}/orders", server.issuer());
    let plain = Prover::new(KeyPair::generate(Algorithm::Es256).unwrap()).unwrap();
    let by_builder = || server.session().share_nonces_between_roles();
    let sessions = [
        (server.session(), false),
        (server.session().prover(&plain), false),
        (by_builder(), true),
        (by_builder().prover(&plain), true),
        (server.session().prover(&plain.share_nonces_between_roles()), true),
    ];
    for (number, (builder, shared)) in sessions.into_iter().enumerate() {
        server.behave();
        server.clear_received();
        other.clear_received();
        let [of_token, of_resource] = ["as", "rs"].map(|role| format!("{role}-{number}"));
        once(&server, Endpoint::Token, nonce(&[&of_token]));
        once(&server, Endpoint::Resource, nonce(&[&of_resource]));
        let session = builder.discover().unwrap();
        session.get(&same_origin).unwrap();
        session.get(&other.resource("/")).unwrap();
        // Another key shares what the first one has learned.
        session.rotate_key(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
        let first_call = nonces(&calls(&server)).remove(0);
        let last_token = nonces(&token_requests(&server)).pop().unwrap();
        if shared {
            assert_eq!(first_call.as_deref(), Some(&*of_token), "{number}");
            assert_eq!(last_token.as_deref(), Some(&*of_resource), "{number}");
        } else {
            assert_ne!(first_call.as_deref(), Some(&*of_token), "{number}");
            assert_eq!(last_token.as_deref(), Some(&*of_token), "{number}");
        }
        assert!(nonces(&calls(&other)).iter().all(Option::is_none), "{number}");
    }
}
