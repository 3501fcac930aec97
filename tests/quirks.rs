//! What real servers do, each against the test server, named with its number in the project's catalogue (Q-01 … Q-28): a
//! client that works everywhere survives all of it.
#![cfg(feature = "ureq")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: what fails here fails a test"
)]

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::server::{SECOND, always, nothing_twice, once, start, statuses, with};
use http::{Method, Request, Response};
use possession::testing::{ChallengeForm, Endpoint, ManualClock, Nonces, Quirk, Received, TestServer, When};
use possession::*;

const AT: [Endpoint; 2] = [Endpoint::Token, Endpoint::Resource];

fn session(server: &TestServer) -> Session {
    server.session().scope("orders:read").discover().unwrap()
}

/// Status and body of a GET of the resource.
fn get(session: &Session, server: &TestServer) -> (u16, String) {
    read(session.get(&server.resource("/orders?page=2")).unwrap())
}

fn read(mut response: Response<ureq::Body>) -> (u16, String) {
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

/// The nonces that proofs at an endpoint had, in order.
fn nonces(server: &TestServer, at: Endpoint) -> Vec<Option<String>> {
    common::server::nonces(&server.received_at(at))
}

/// Both servers know each form.
#[test]
fn q_01_q_02_q_03_challenges_come_in_every_form_from_either_server() {
    for form in common::server::FORMS {
        let server = start();
        for at in AT {
            always(&server, at, Quirk::ChallengeForm(form));
        }
        let session = session(&server);
        assert_eq!(get(&session, &server).0, 200, "{form:?}");
        let refused =
            if form == ChallengeForm::Json || form == ChallengeForm::HeaderWith400 { 400 } else { 401 };
        for at in AT {
            assert_eq!(statuses(&server.received_at(at)), [refused, 200], "{form:?}");
            assert!(matches!(&*nonces(&server, at), [None, Some(_)]));
        }
        // Known from now on.
        assert_eq!(get(&session, &server).0, 200);
        assert_eq!(server.counts().challenges, 2, "{form:?}");
        nothing_twice(&server);
    }
}

/// Under `Bearer` it is no challenge of DPoP, so nothing is sent again; the nonce beside it is kept all the same, and the next
/// call has it.
#[test]
fn q_02_an_error_under_bearer_is_the_caller_s_and_its_nonce_is_kept() {
    let server = start();
    once(&server, Endpoint::Resource, Quirk::ChallengeForm(ChallengeForm::InsideBearer));
    let session = session(&server);
    assert_eq!(get(&session, &server).0, 401);
    assert_eq!(get(&session, &server).0, 200);
    assert!(matches!(&*nonces(&server, Endpoint::Resource), [None, Some(_)]));
}

#[test]
fn q_04_the_word_inside_another_value_is_no_challenge() {
    let server = start();
    always(&server, Endpoint::Resource, Quirk::ChallengeForm(ChallengeForm::InsideRealm));
    assert_eq!(get(&session(&server), &server).0, 401);
    assert_eq!(server.received_at(Endpoint::Resource).len(), 1);
}

#[test]
fn q_05_a_nonce_on_every_response_is_used_by_the_next_request() {
    let server = with(|server| server.nonces(Nonces::EachResponse));
    let session = session(&server);
    for _ in 0..5 {
        assert_eq!(get(&session, &server).0, 200);
        session.discard_token();
    }
    for at in AT {
        // One challenge for each part, and then a new nonce each time.
        let nonces = nonces(&server, at);
        assert_eq!((nonces.len(), &nonces[0]), (6, &None));
        assert_eq!(nonces[1..].iter().flatten().collect::<HashSet<_>>().len(), 5, "{at:?}");
    }
    assert_eq!(server.counts().challenges, 2);
    assert_eq!(session.stats().nonces_learned, 12, "one with each response");
}

/// Some give none and refuse any: what another gave, or the same in its other part, must not reach them.
#[test]
fn q_06_a_nonce_goes_to_the_origin_and_part_that_gave_it() {
    let server = start();
    always(&server, Endpoint::Resource, Quirk::RefuseNonces);
    let session = session(&server);
    // The token endpoint gave a nonce; the resource on the same origin, and the one on another, must not see it. They ask for
    // one of their own, and would refuse that as well: no nonces at all there.
    let plain = with(|server| server.nonces(Nonces::Off));
    always(&plain, Endpoint::Resource, Quirk::RefuseNonces);
    let other = plain.session().prover(&session.prover()).discover().unwrap();
    session.access_token().unwrap();
    assert_eq!(get(&other, &plain).0, 200);
    assert!(
        nonces(&plain, Endpoint::Token)
            .iter()
            .chain(&nonces(&plain, Endpoint::Resource))
            .all(Option::is_none)
    );

    let same = format!("{}/orders", server.issuer());
    assert_eq!(session.get(&same).unwrap().status(), 401, "it asked for a nonce and refused it");
    let [first, second] = &nonces(&server, Endpoint::Resource)[..] else { panic!("two requests") };
    let at_token = nonces(&server, Endpoint::Token);
    assert!(
        first.is_none() && second.is_some() && !at_token.contains(second),
        "its own, not the token endpoint's"
    );
}

#[test]
fn q_07_a_challenge_without_a_new_nonce_is_not_answered_and_one_for_ever_once() {
    let cases = [
        (vec![Quirk::Challenge, Quirk::WithoutNonce], 1),
        (vec![Quirk::Challenge, Quirk::RepeatNonce], 1),
        (vec![Quirk::Challenge], 2),
    ];
    for (quirks, requests) in cases {
        let server = start();
        let session = session(&server);
        assert_eq!(get(&session, &server).0, 200);
        server.clear_received();
        for quirk in &quirks {
            for at in AT {
                always(&server, at, quirk.clone());
            }
        }
        let (status, _) = get(&session, &server);
        assert_eq!((status, server.received().len()), (401, requests), "{quirks:?}");
        session.discard_token();
        server.clear_received();
        let error = session.access_token().unwrap_err();
        assert_eq!(error.oauth().map(OAuthError::error), Some("use_dpop_nonce"));
        assert_eq!(server.received().len(), requests, "{quirks:?}");
        nothing_twice(&server);
    }
}

/// Ten seconds, three minutes, three days: the client assumes nothing, and each end of a nonce costs one challenge, none where a
/// response brings the next in time.
#[test]
fn q_08_q_09_nonces_that_expire_cost_one_challenge_each() {
    for life in [10, 180, 3 * 86_400] {
        for (kind, calls, challenges) in [
            // A call every life and a half: each finds its nonce expired.
            (Nonces::LifetimeByChallenge(life * SECOND), life * 3 / 2, 10),
            // Four calls in a life: responses bring the next nonce, and no call is refused for its nonce.
            (Nonces::Lifetime(life * SECOND), life / 4, 1),
        ] {
            let clock = ManualClock::new();
            let server = with(|server| {
                server.clock(clock.clone()).nonces(kind).token_lifetime(Duration::from_secs(u32::MAX.into()))
            });
            let session = server.session().clock(clock.clone()).discover().unwrap();
            for _ in 0..10 {
                assert_eq!(get(&session, &server).0, 200, "{kind:?}");
                clock.advance(calls * SECOND);
            }
            let refused =
                statuses(&server.received_at(Endpoint::Resource)).iter().filter(|s| **s == 401).count();
            assert_eq!(refused, challenges, "{kind:?}");
        }
    }
}

/// The server authenticates the client first, so that the challenge has spent the assertion already.
#[test]
fn q_10_each_attempt_has_its_own_assertion_and_proof() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let server = with(|server| server.client_public_key(key.to_public()));
    server.misbehave(Endpoint::Token, When::Next(2), Quirk::CloseWithoutResponse);
    let clock = ManualClock::new();
    let auth = ClientAuth::private_key_jwt(key);
    let session = server.session().auth(auth).clock(clock.clone()).discover().unwrap();
    assert_eq!(get(&session, &server).0, 200);
    // Two that were lost, a challenge, and at last a token.
    let received = server.received_at(Endpoint::Token);
    let assertions: HashSet<_> =
        received.iter().map(|one| one.assertion().unwrap().claims["jti"].to_string()).collect();
    assert_eq!(assertions.len(), received.len());
    let answers: Vec<_> = received.iter().map(|one| one.status.map(|status| status.as_u16())).collect();
    assert_eq!(answers, [None, None, Some(400), Some(200)]);
    nothing_twice(&server);
}

#[test]
fn q_10_a_429_is_retried_with_everything_new() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let clock = ManualClock::new();
    let server =
        with(|server| server.clock(clock.clone()).client_public_key(key.to_public()).nonces(Nonces::Off));
    server.misbehave(Endpoint::Token, When::Next(2), Quirk::Refuse { status: 429, retry_after: Some(3) });
    let auth = ClientAuth::private_key_jwt(key);
    let session = server.session().auth(auth).clock(clock.clone()).discover().unwrap();
    assert_eq!(get(&session, &server).0, 200);
    assert_eq!(statuses(&server.received_at(Endpoint::Token)), [429, 429, 200]);
    assert!(
        clock.sleeps().iter().all(|slept| (3 * SECOND..=4 * SECOND).contains(slept))
            && clock.sleeps().len() == 2
    );
    nothing_twice(&server);
}

#[test]
fn q_11_assertions_for_older_servers_are_options() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let jwk = key.to_jwk();
    let server = with(|server| server.client_public_key(key.to_public()));
    let endpoint = format!("{}/token", server.issuer());
    let token = |options: AssertionOptions| {
        let auth = ClientAuth::private_key_jwt_with(KeyPair::from_jwk(&jwk).unwrap(), options);
        server.session().auth(auth).discover().unwrap().access_token()
    };
    let plain = AssertionOptions::new;
    let cases = [
        (Quirk::AssertionAudience(endpoint), plain().dangerous_token_endpoint_as_audience()),
        (Quirk::AssertionType(Some("JWT".to_owned())), plain().typ(Some("JWT"))),
        (Quirk::AssertionType(None), plain().typ(None)),
        (Quirk::AssertionLifetime(30 * SECOND), plain().lifetime(30 * SECOND)),
    ];
    for (quirk, option) in cases {
        always(&server, Endpoint::Token, quirk.clone());
        let error = token(plain()).unwrap_err();
        assert_eq!(error.oauth().map(OAuthError::error), Some("invalid_client"), "{quirk:?}");
        assert!(token(option).is_ok(), "{quirk:?}");
        server.behave();
    }
    // HelseID: at most a minute, which the defaults keep.
    always(&server, Endpoint::Token, Quirk::AssertionLifetime(60 * SECOND));
    assert!(token(plain()).is_ok());
}

/// rauthy and go-dpop take no `iat` that is a second ahead. Beyond a second either way, the server's `Date` is learned, at each
/// part by itself.
#[test]
fn q_12_a_proof_refused_for_its_time_is_dated_by_the_server_s_clock() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let jwk = key.to_jwk();
    for offset in [-50_000, -300, -61, -10, -2, -1, 0, 1, 2, 58, 62, 312, 50_000] {
        // Both clocks stand at a whole second, so that what is learned is exact but for the second that Date cuts off.
        let clock = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND);
        let server = with(|server| {
            server.clock(clock.clone()).client_public_key(key.to_public()).leeway(Duration::ZERO)
        });
        server.set_clock_offset(offset);
        let auth = ClientAuth::private_key_jwt(KeyPair::from_jwk(&jwk).unwrap());
        let session = server.session().auth(auth).clock(clock.clone()).discover().unwrap();
        assert_eq!(get(&session, &server).0, 200, "{offset}");
        assert_eq!(get(&session, &server).0, 200);
        nothing_twice(&server);
        // Behind by less than a minute, proofs are old and good: nothing has to be learned.
        let harmless = (-1..=58).contains(&offset);
        let learned = session.stats().clock_offsets;
        let expected = [server.issuer(), server.resource_origin()].map(|origin| (origin.to_owned(), offset));
        match harmless {
            true => assert_eq!(learned, [], "{offset}"),
            false => {
                assert_eq!(learned.into_iter().collect::<HashSet<_>>(), HashSet::from(expected), "{offset}")
            }
        }
        for received in server.received() {
            let iat = received.proof().map(|proof| proof.claims["iat"].as_u64().unwrap());
            let at = received.at.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
            let good = iat.is_none_or(|iat| (at - 60..=at).contains(&iat));
            assert!(good || received.status != Some(http::StatusCode::OK), "never ahead where it counts");
        }
        // At most one more for each part: a challenge, a refusal for the time, and the one that is good.
        assert!(
            server.received_at(Endpoint::Token).len() <= 3
                && server.received_at(Endpoint::Resource).len() <= 4
        );
    }
}

/// Keycloak refuses proofs as `invalid_request`, and an assertion of another time is `invalid_client`.
#[test]
fn q_12_q_19_the_time_is_learned_whatever_the_refusal_is_called() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()));
    server.set_clock_offset(-600);
    always(&server, Endpoint::Token, Quirk::ErrorCode("invalid_request".to_owned()));
    let session = server.session().clock(clock).discover().unwrap();
    assert!(session.access_token().is_ok());
    assert!(statuses(&server.received_at(Endpoint::Token)).len() <= 3);
}

/// What does not help is told: a clock further off than a day, and a refusal that has another reason.
#[test]
fn q_12_the_error_tells_of_a_clock_that_is_wrong() {
    let clock = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND);
    let server = with(|server| server.clock(clock.clone()));
    for (offset, says) in [(90_000, "s behind 127.0.0.1: set it"), (-90_000, "s ahead of 127.0.0.1: set it")]
    {
        server.set_clock_offset(offset);
        let session = server.session().clock(clock.clone()).discover().unwrap();
        let error = session.access_token().unwrap_err();
        assert_eq!(error.oauth().map(OAuthError::error), Some("invalid_dpop_proof"));
        assert!(error.to_string().contains("this machine's clock is 90000"), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(session.stats().clock_offsets, []);
    }
    server.set_clock_offset(312);
    always(&server, Endpoint::Token, Quirk::RefuseProofs);
    let session = server.session().clock(clock.clone()).discover().unwrap();
    server.clear_received();
    let error = session.access_token().unwrap_err().to_string();
    assert!(error.contains("this machine's clock is 312 s"), "{error}");
    assert!(
        error.contains("behind 127.0.0.1, and a proof dated by the server's clock was refused as well"),
        "{error}"
    );
    assert_eq!(server.received().len(), 2);
    // What helped nothing is not kept: the Date of a proxy may be anything.
    assert_eq!(session.stats().clock_offsets, []);
}

/// A gateway whose own clock is wrong: what its `Date` led to is kept only where it helped, and given up where it does not.
#[test]
fn q_12_a_date_that_is_not_the_server_s_time_does_no_lasting_harm() {
    let wrong =
        || Quirk::Header { name: "date".to_owned(), value: "Fri, 15 Jan 2027 06:36:40 GMT".to_owned() };
    let now = std::time::SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND; // two hours and a bit later
    let clock = ManualClock::at(now);
    let server = with(|server| server.clock(clock.clone()).nonces(Nonces::Off));
    let session = server.session().clock(clock).discover().unwrap();
    assert_eq!(get(&session, &server).0, 200);
    // Refused for another reason; and then the server's word, or the gateway's.
    for (then, status) in [(None, 401), (Some(Quirk::Html { status: 502 }), 502)] {
        once(&server, Endpoint::Resource, Quirk::RefuseProofs);
        once(&server, Endpoint::Resource, Quirk::WithoutHeader("date".to_owned()));
        once(&server, Endpoint::Resource, wrong());
        if let Some(quirk) = then {
            server.misbehave(Endpoint::Resource, When::Every(2), quirk);
        }
        server.clear_received();
        assert_eq!((get(&session, &server).0, server.received().len()), (status, 2));
        assert_eq!(session.stats().clock_offsets, [], "it helped nothing");
        server.behave();
    }
    // Learned while it helped; later the server goes by the right time, and nothing says so.
    server.set_clock_offset(-4_000);
    assert_eq!(get(&session, &server).0, 200);
    assert_eq!(session.stats().clock_offsets.len(), 1);
    server.set_clock_offset(0);
    always(&server, Endpoint::Resource, Quirk::WithoutHeader("date".to_owned()));
    assert_eq!(get(&session, &server).0, 200);
    assert_eq!(session.stats().clock_offsets, []);
}

/// Somebody sets the clock: what was learned is unlearned the same way.
#[test]
fn q_12_an_offset_that_is_not_right_any_more_is_corrected() {
    let clock = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND);
    let right = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + 1_800_000_300 * SECOND);
    let server = with(|server| server.clock(right.clone()));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    assert_eq!(get(&session, &server).0, 200);
    assert_eq!(session.stats().clock_offsets.len(), 2);
    clock.set(std::time::SystemTime::UNIX_EPOCH + 1_800_000_300 * SECOND);
    for _ in 0..2 {
        assert_eq!(get(&session, &server).0, 200);
        session.discard_token();
    }
    assert_eq!(session.stats().clock_offsets, []);
}

/// RFC 9449 §4.2: without query and fragment, the path as it is sent, no default port, `/` for none, slashes as they are.
#[test]
fn q_13_htu_is_what_was_sent_without_query_and_fragment() {
    let server = start();
    let session = session(&server);
    for (path, htu) in [
        ("/orders?next=%2Fa&b=[1]", "/orders"),
        ("/orders/", "/orders/"),
        ("/orders/42#top", "/orders/42"),
        ("", "/"),
        ("?q", "/"),
        ("/a//b", "/a//b"),
        ("/a%20b/%C3%A9", "/a%20b/%C3%A9"),
    ] {
        assert_eq!(session.get(&server.resource(path)).unwrap().status(), 200, "{path}");
        let last = server.received().pop().unwrap();
        assert_eq!(last.proof().unwrap().claims["htu"], server.resource(htu), "{path}");
    }
}

/// Okta compares with the decoded path: the caller who knows names it.
#[test]
fn q_14_q_17_a_proof_can_name_what_the_server_compares_with() {
    let server = start();
    let session = session(&server);
    always(&server, Endpoint::Resource, Quirk::DecodedHtu);
    let url = server.resource("/users/me%40example.com");
    assert_eq!(session.get(&url).unwrap().status(), 401);
    let named = |method, url: &str| ProofTarget::new(method, url).unwrap();
    let request = Request::get(&url)
        .extension(named(Method::GET, &server.resource("/users/me@example.com")))
        .body(())
        .unwrap();
    assert_eq!(session.run(request).unwrap().status(), 200);
    assert_eq!(
        server.received().pop().unwrap().target,
        "/users/me%40example.com",
        "what is sent is what was asked"
    );

    // A gateway that passes requests on to another origin: proof, nonce and retry as ever.
    server.behave();
    always(&server, Endpoint::Resource, Quirk::HtuOrigin("https://internal.example".to_owned()));
    server.rotate_nonces();
    let request = || Request::post(server.resource("/orders"));
    let plain = session.run(request().body("x").unwrap()).unwrap();
    assert_eq!(plain.status(), 401);
    let target = named(Method::POST, "https://internal.example/orders");
    let response = session.run(request().extension(target).body("x").unwrap()).unwrap();
    assert_eq!(response.status(), 200);
    nothing_twice(&server);
}

#[test]
fn q_15_a_redirect_that_adds_a_slash_is_the_caller_s() {
    let server = start();
    let session = session(&server);
    let location = server.resource("/orders/");
    always(&server, Endpoint::Resource, Quirk::Redirect { status: 301, location: location.clone() });
    let response = session.get(&server.resource("/orders")).unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers()["location"].to_str().unwrap()),
        (301, &*location)
    );
    assert_eq!(server.received_at(Endpoint::Resource).len(), 1);
    server.behave();
    assert_eq!(session.get(&location).unwrap().status(), 200);
}

#[test]
fn q_16_htm_is_the_method_as_it_is_sent_on_the_retry_too() {
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "get", "Report"] {
        let server = start();
        let request = Request::builder().method(method).uri(server.resource("/")).body("x").unwrap();
        assert_eq!(session(&server).run(request).unwrap().status(), 200, "{method}");
        let received = server.received_at(Endpoint::Resource);
        assert_eq!(statuses(&received), [401, 200]);
        for one in received {
            assert_eq!((one.method.as_str(), &one.proof().unwrap().claims["htm"]), (method, &method.into()));
        }
    }
}

#[test]
fn q_18_a_bearer_answer_is_refused_unless_the_caller_decides_otherwise() {
    let server = start();
    always(&server, Endpoint::Token, Quirk::Bearer);
    let error = session(&server).get(&server.resource("/")).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TokenType { token_type: "Bearer".to_owned() });
    assert!(server.received_at(Endpoint::Resource).is_empty(), "no call without a bound token");

    let session = server
        .session()
        .dangerous_accept_bearer()
        .resource_origins([server.resource_origin()])
        .discover()
        .unwrap();
    assert_eq!(get(&session, &server).0, 200);
    let call = server.received().pop().unwrap();
    let [authorization] = call.header_values("authorization")[..] else { panic!("one") };
    assert!(authorization.starts_with("Bearer ") && call.header_values("dpop").is_empty());
    // A refused one is renewed like any other, and a bound one is used as such.
    server.revoke_tokens();
    assert_eq!(get(&session, &server).0, 200);
    server.behave();
    server.revoke_tokens();
    assert_eq!(get(&session, &server).0, 200);
    let call = server.received().pop().unwrap();
    assert!(call.header_values("authorization")[0].starts_with("DPoP ") && call.proof().is_some());

    for (name, accepted) in [("dpop", true), ("DPOP", true), ("DPoPx", false), ("N_A", false)] {
        let server = start();
        let json = format!("\"{name}\"");
        always(&server, Endpoint::Token, Quirk::Member { name: "token_type".to_owned(), json });
        assert_eq!(server.session().discover().unwrap().access_token().is_ok(), accepted, "{name}");
    }
}

/// The error is what the server said, and no challenge: nothing is repeated.
#[test]
fn q_19_a_refused_proof_is_an_error_under_any_name() {
    let server = with(|server| server.nonces(Nonces::Off));
    always(&server, Endpoint::Token, Quirk::RefuseProofs);
    always(&server, Endpoint::Token, Quirk::ErrorCode("invalid_request".to_owned()));
    let error = session(&server).access_token().unwrap_err();
    assert_eq!(error.oauth().map(OAuthError::error), Some("invalid_request"));
    assert_eq!(server.received_at(Endpoint::Token).len(), 1);
    // Spring's challenge has no description.
    always(&server, Endpoint::Resource, Quirk::RefuseProofs);
    server.misbehave(Endpoint::Token, When::Always, Quirk::RefuseProofs);
    server.behave();
    let session = session(&server);
    always(&server, Endpoint::Resource, Quirk::RefuseProofs);
    assert_eq!(get(&session, &server).0, 401);
    assert_eq!(server.received_at(Endpoint::Resource).len(), 1);
}

/// The test server refuses what atproto and others refuse: `ath` at the token endpoint, `iss` and `exp`, more members in `jwk`.
#[test]
fn q_20_proofs_have_nothing_that_a_strict_server_refuses() {
    let server = start();
    let key = KeyPair::generate(Algorithm::Ed25519).unwrap().to_jwk();
    // `kid` and `alg` of the key stay out of the proof.
    let key = key.replacen('{', r#"{"kid":"k","use":"sig","alg":"EdDSA","#, 1);
    let session = server.session().key(KeyPair::from_jwk(&key).unwrap()).discover().unwrap();
    assert_eq!(get(&session, &server).0, 200);
    let received: Vec<_> =
        server.received().into_iter().filter_map(|one| Some((one.endpoint, one.proof()?))).collect();
    assert_eq!(received.len(), 4);
    for (endpoint, proof) in received {
        let members: Vec<_> = proof.header["jwk"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(
            members.iter().map(String::as_str).collect::<HashSet<_>>(),
            HashSet::from(["kty", "crv", "x"])
        );
        let claims = proof.claims.as_object().unwrap();
        assert_eq!(claims.contains_key("ath"), endpoint == Endpoint::Resource);
        let known = ["jti", "htm", "htu", "iat", "ath", "nonce"];
        assert!(claims.keys().all(|claim| known.contains(&claim.as_str())), "{claims:?}");
        assert_eq!(proof.header.as_object().unwrap().len(), 3, "typ, alg, jwk");
    }
}

#[test]
fn q_21_the_algorithm_is_one_that_both_servers_know() {
    for (known, generated) in [
        (vec!["ES256"], "ES256"),
        (vec!["EdDSA"], "EdDSA"),
        (vec!["Ed25519"], "Ed25519"),
        (vec!["RS256", "Ed25519"], "Ed25519"),
    ] {
        let server = with(|server| server.dpop_algorithms(known.clone()));
        // Without a key, the session makes one that fits.
        let session = server.session().discover().unwrap();
        assert_eq!(get(&session, &server).0, 200, "{known:?}");
        for one in server.received().iter().filter_map(Received::proof) {
            assert_eq!(one.header["alg"], generated);
        }
        // A key that does not is refused before anything is sent.
        let other = if generated == "ES256" { Algorithm::Ed25519 } else { Algorithm::Es256 };
        server.clear_received();
        let error = server.session().key(KeyPair::generate(other).unwrap()).discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Algorithm);
        assert!(server.received_at(Endpoint::Token).is_empty());
    }
}

/// What a resource's challenge lists counts as well: another name of the same algorithm is used from then on, and where there is
/// none, the error says so.
#[test]
fn q_21_the_algs_of_a_challenge_count() {
    let server = start();
    always(&server, Endpoint::Resource, Quirk::Algs("ES384 Ed25519".to_owned()));
    let key = || KeyPair::generate(Algorithm::Ed25519).unwrap();
    let session = server.session().key(key()).discover().unwrap();
    for _ in 0..2 {
        assert_eq!(get(&session, &server).0, 200);
    }
    let algs = |at| {
        let proofs = server.received_at(at).into_iter().map(|one| one.proof().unwrap());
        proofs.map(|proof| proof.header["alg"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(algs(Endpoint::Token), ["EdDSA", "EdDSA"]);
    assert_eq!(algs(Endpoint::Resource), ["EdDSA", "Ed25519", "Ed25519"]);

    // A refusal that has nothing to do with nonces, too.
    let server = with(|server| server.nonces(Nonces::Off));
    once(&server, Endpoint::Resource, Quirk::RefuseProofs);
    once(&server, Endpoint::Resource, Quirk::Algs("Ed25519".to_owned()));
    let session = server.session().key(key()).discover().unwrap();
    assert_eq!(get(&session, &server).0, 200);
    assert_eq!(statuses(&server.received_at(Endpoint::Resource)), [401, 200]);

    let server = start();
    always(&server, Endpoint::Resource, Quirk::Algs("PS256 ES384".to_owned()));
    let error = session_of(&server, key()).get(&server.resource("/")).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Algorithm);
    let text = error.to_string();
    assert!(
        text.contains("PS256 ES384") && text.contains("EdDSA") && text.contains(&server.resource("/")),
        "{text}"
    );
    assert_eq!(server.received_at(Endpoint::Resource).len(), 1, "no retry that cannot succeed");
}

fn session_of(server: &TestServer, key: KeyPair) -> Session {
    server.session().key(key).discover().unwrap()
}

/// Spring remembers a thousand proofs and then refuses more: the response is the caller's, and nothing loops.
#[test]
fn q_22_a_server_that_has_seen_too_many_proofs_is_not_asked_again_at_once() {
    let server = with(|server| server.nonces(Nonces::Off));
    always(&server, Endpoint::Resource, Quirk::MaxProofs(3));
    let session = session(&server);
    let seen: Vec<_> = (0..5).map(|_| get(&session, &server).0).collect();
    assert_eq!(seen, [200, 200, 200, 401, 401]);
    assert_eq!(server.received_at(Endpoint::Resource).len(), 5);
}

/// A refresh token is not to be expected in this grant (RFC 6749 §4.4.3); the caller gets it, with the key it is bound to.
#[test]
fn q_23_a_refresh_token_is_given_with_the_key_it_is_bound_to() {
    let server = start();
    let json = "\"refresh-me\"".to_owned();
    always(&server, Endpoint::Token, Quirk::Member { name: "refresh_token".to_owned(), json });
    let session = session(&server);
    let token = session.access_token().unwrap();
    assert_eq!(
        (token.refresh_token(), token.jkt()),
        (Some("refresh-me"), Some(session.prover().thumbprint()))
    );
}

#[test]
fn q_24_invalid_token_renews_once() {
    let server = start();
    let session = session(&server);
    assert_eq!(get(&session, &server).0, 200);
    server.revoke_tokens();
    assert_eq!(get(&session, &server).0, 200);
    assert_eq!(server.counts().tokens, 2);
    // Each token is worthless: one more, and then the refusal is the answer.
    let refusal = Response::builder().status(401).header("www-authenticate", "DPoP error=\"invalid_token\"");
    always(&server, Endpoint::Resource, Quirk::Respond(refusal.body(b"no".to_vec()).unwrap()));
    server.clear_received();
    assert_eq!(get(&session, &server), (401, "no".to_owned()));
    assert_eq!((server.counts().tokens, server.received_at(Endpoint::Resource).len()), (1, 2));
}

#[test]
fn q_25_basic_credentials_are_form_encoded_or_as_they_are() {
    let secret = "a+b/c=d%e f&g:h";
    let server = with(|server| server.client("app%1", secret));
    let token = |auth| server.session().auth(auth).discover().unwrap().access_token();
    assert!(token(ClientAuth::client_secret_basic(secret)).is_ok());
    assert!(token(ClientAuth::client_secret_basic_unencoded(secret)).is_err());
    always(&server, Endpoint::Token, Quirk::RawBasic);
    assert!(token(ClientAuth::client_secret_basic(secret)).is_err());
    assert!(token(ClientAuth::client_secret_basic_unencoded(secret)).is_ok());
}

#[test]
fn q_26_a_challenge_on_a_success_is_no_refusal() {
    let server = start();
    for at in AT {
        for value in
            ["Bearer realm=\"kong\"", "DPoP error=\"use_dpop_nonce\"", "DPoP error=\"invalid_token\""]
        {
            always(
                &server,
                at,
                Quirk::Header { name: "www-authenticate".to_owned(), value: value.to_owned() },
            );
        }
    }
    let session = session(&server);
    for _ in 0..2 {
        assert_eq!(get(&session, &server).0, 200);
    }
    assert_eq!(server.counts().tokens, 1);
}

#[test]
fn q_27_token_responses_that_are_nearly_right_are_taken() {
    let member = |name: &str, json: &str| Quirk::Member { name: name.to_owned(), json: json.to_owned() };
    for (quirk, expires_in, scope) in [
        (member("expires_in", "\"3600\""), Some(3600), Some("orders:read")),
        (member("expires_in", "null"), None, Some("orders:read")),
        (Quirk::WithoutMember("expires_in".to_owned()), None, Some("orders:read")),
        (Quirk::ContentType("text/plain;charset=UTF-8".to_owned()), Some(3600), Some("orders:read")),
        (Quirk::ContentType("application/json; charset=utf-8".to_owned()), Some(3600), Some("orders:read")),
        (member("scope", "\"\""), Some(3600), Some("")),
        (member("scope", "null"), Some(3600), None),
        (member("refresh_token", "null"), Some(3600), Some("orders:read")),
        (member("nobody_knows", "{\"a\":[1,null]}"), Some(3600), Some("orders:read")),
    ] {
        let server = start();
        always(&server, Endpoint::Token, quirk.clone());
        let session = session(&server);
        let token = session.access_token().unwrap();
        assert_eq!(token.expires_in(), expires_in.map(Duration::from_secs), "{quirk:?}");
        assert_eq!((token.scope(), token.refresh_token()), (scope, None), "{quirk:?}");
        assert_eq!(get(&session, &server).0, 200);
        assert_eq!(server.counts().tokens, 1);
    }
}

#[test]
fn q_28_of_several_nonces_none_is_taken() {
    let server = start();
    let session = session(&server);
    assert_eq!(get(&session, &server).0, 200);
    let before = nonces(&server, Endpoint::Resource).pop().unwrap();
    once(&server, Endpoint::Resource, Quirk::Nonce(vec!["one".to_owned(), "two".to_owned()]));
    assert_eq!(get(&session, &server).0, 200);
    assert_eq!(get(&session, &server).0, 200);
    assert_eq!(nonces(&server, Endpoint::Resource).pop().unwrap(), before, "the one that was known stays");
    // With a challenge: nothing to answer it with.
    once(&server, Endpoint::Resource, Quirk::Challenge);
    once(&server, Endpoint::Resource, Quirk::Nonce(vec!["one".to_owned(), "two".to_owned()]));
    server.clear_received();
    assert_eq!(get(&session, &server).0, 401);
    assert_eq!(server.received().len(), 1);
}
