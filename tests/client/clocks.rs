//! Clocks that are wrong, and what is learned from a server's `Date` (rows C-54, Q-12, Q-19).

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use possession::testing::{DecodedJwt, Endpoint, ManualClock, Nonces, Quirk, When};
use possession::*;

use crate::common::Jwt;
use crate::common::server::{
    SECOND, always, calls, get, once, once_all, respond, statuses, token_requests, with,
};
use crate::support::{LONG, builder, code, default_session, header, key, nothing_twice, take_logged};

/// Either an error of kind `Clock` and nothing is sent, or a proof dated in whole seconds. Steps back do no
/// harm.
#[test]
fn c_54_a_broken_clock_is_an_error_and_iat_is_in_seconds() {
    let epoch = SystemTime::UNIX_EPOCH;
    let edges = [
        epoch.checked_sub(SECOND),
        epoch.checked_sub(Duration::from_nanos(1)),
        epoch.checked_sub(Duration::from_secs(i64::MAX.unsigned_abs())),
        epoch.checked_add(Duration::from_secs(i64::MAX.unsigned_abs())),
        epoch.checked_add(Duration::from_secs(i64::MAX.unsigned_abs() - 1)),
        epoch.checked_add(Duration::from_secs(253_402_300_800)), // the year 10000
        Some(epoch),
        epoch.checked_add(SECOND),
    ];
    for shown in edges.into_iter().flatten() {
        let client = key(Algorithm::Es256);
        let server = with(|server| server.client_public_key(client.to_public()));
        let builder =
            server.session().auth(ClientAuth::private_key_jwt(client)).clock(ManualClock::at(shown));
        let session = builder.discover().unwrap();
        let error = session.get(&server.resource("/")).unwrap_err();
        let before = shown < epoch;
        assert_eq!(*error.kind() == ErrorKind::Clock, before, "{shown:?} {error}");
        assert_eq!(token_requests(&server).is_empty(), before, "{shown:?}");
        for request in token_requests(&server) {
            for claims in [request.proof().unwrap().claims, request.assertion().unwrap().claims] {
                let most = shown.duration_since(epoch).unwrap().as_secs();
                assert!(claims["iat"].is_u64() && claims["iat"].as_u64().unwrap() <= most, "{claims}");
            }
        }
    }
    // The clocks of a running session and its server step an hour back and forth: each call succeeds.
    let clock = ManualClock::at(epoch + 1_800_000_000 * SECOND);
    let server = with(|server| server.clock(clock.clone()));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    for seconds in [1_800_000_000, 1_799_996_400, 1_799_996_399, 1_800_000_001] {
        clock.set(epoch + seconds * SECOND + Duration::from_millis(999));
        assert_eq!(get(&session, &server), 200, "{seconds}");
        let iat = calls(&server).pop().unwrap().proof().unwrap().claims["iat"].as_u64().unwrap();
        assert!((u64::from(seconds) - 1..=u64::from(seconds)).contains(&iat), "{iat} at {seconds}");
    }
    nothing_twice(&server);
}

/// rauthy and go-dpop accept no `iat` that is a second ahead. A greater difference is learned from the
/// `Date` of each server.
///
/// `Date` is not authenticated beyond TLS: a server that lies must not get JWTs that are valid for hours.
#[test]
fn q_12_a_proof_refused_for_its_time_is_dated_by_the_server_s_clock() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let jwk = key.to_jwk();
    for offset in [-50_000, -300, -61, -10, -2, -1, 0, 1, 2, 58, 62, 300] {
        // Both clocks show a whole second, so that the offset is exact but for the fraction that `Date`
        // lacks.
        let clock = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND);
        let server = with(|server| {
            server.clock(clock.clone()).client_public_key(key.to_public()).leeway(Duration::ZERO)
        });
        server.set_clock_offset(offset);
        let auth = ClientAuth::private_key_jwt(KeyPair::from_jwk(&jwk).unwrap());
        let session = server.session().auth(auth).clock(clock.clone()).discover().unwrap();
        assert_eq!(get(&session, &server), 200, "{offset}");
        assert_eq!(get(&session, &server), 200);
        nothing_twice(&server);
        // Less than a minute behind, proofs are old and accepted: nothing has to be learned.
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
            assert!(
                good || received.status != Some(http::StatusCode::OK),
                "an accepted proof is never dated ahead"
            );
        }
        // At most one more at each endpoint: a challenge, a refusal for the time, and the accepted one.
        assert!(
            server.received_at(Endpoint::Token).len() <= 3
                && server.received_at(Endpoint::Resource).len() <= 4
        );
    }
}

/// A server that shows a time far ahead, for whatever reason, does not get proofs that can be used tomorrow:
/// without a nonce, a stolen proof is limited by its date alone.
#[test]
fn q_12_without_a_nonce_nothing_is_dated_ahead_by_more_than_five_minutes() {
    let now = SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND;
    let local = 1_800_000_000;
    for (offset, follows) in [(299, true), (300, true), (301, false), (3_600, false), (82_800, false)] {
        let clock = ManualClock::at(now);
        let client = key(Algorithm::Es256);
        let server = with(|server| {
            server.clock(clock.clone()).nonces(Nonces::Off).client_public_key(client.to_public())
        });
        server.set_clock_offset(offset);
        let auth = ClientAuth::private_key_jwt(KeyPair::from_jwk(&client.to_jwk()).unwrap());
        let assertions = server.session().auth(auth).clock(clock.clone()).discover().unwrap();
        let secret = server.session().clock(clock.clone()).discover().unwrap();
        for session in [assertions, secret] {
            let token = session.access_token();
            assert_eq!(token.is_ok(), follows, "{offset}");
            if let Err(error) = token {
                let says = format!("this machine's clock is {offset} s behind 127.0.0.1: set it");
                assert!(error.to_string().contains(&says), "{error}");
            }
            assert_eq!(session.stats().clock_offsets.len(), usize::from(follows));
        }
        for request in token_requests(&server) {
            let jwts = [request.proof(), request.assertion()].into_iter().flatten();
            for jwt in jwts {
                let iat = jwt.claims["iat"].as_u64().unwrap();
                assert!(iat <= local + 300, "{} s ahead", iat - local);
            }
        }
        // A resource as well.
        server.set_clock_offset(0);
        let session = server.session().clock(clock.clone()).discover().unwrap();
        session.access_token().unwrap();
        server.set_clock_offset(offset);
        assert_eq!(get(&session, &server) == 200, follows, "{offset}");
        for call in calls(&server) {
            let iat = call.proof().unwrap().claims["iat"].as_u64().unwrap();
            assert!(iat <= local + 300, "{} s ahead", iat - local);
        }
    }
}

/// A nonce limits how long a proof can be used, whatever its date. A client assertion has none.
#[test]
fn q_12_with_a_nonce_of_the_server_a_proof_follows_its_clock_and_an_assertion_does_not() {
    let now = SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND;
    let local = 1_800_000_000_u64;
    let seconds_ahead = |claims: &serde_json::Value| claims["iat"].as_u64().unwrap().saturating_sub(local);
    let ahead = |jwt: Option<DecodedJwt>| jwt.map(|jwt| seconds_ahead(&jwt.claims));
    let date = |at: SystemTime| header("date", &httpdate::fmt_http_date(at));
    for by in [3_600_u32, 82_800] {
        let clock = ManualClock::at(now);
        let client = key(Algorithm::Es256);
        let server = with(|server| server.clock(clock.clone()).client_public_key(client.to_public()));
        let auth = ClientAuth::private_key_jwt(KeyPair::from_jwk(&client.to_jwk()).unwrap());
        let assertions = server.session().auth(auth).clock(clock.clone()).discover().unwrap();
        let secret = server.session().clock(clock.clone()).discover().unwrap();
        for (session, follows) in [(&secret, true), (&assertions, false)] {
            // The nonce is known.
            session.access_token().unwrap();
            session.discard_token();
            server.clear_received();
            let no_date = Quirk::WithoutHeader("date".to_owned());
            once_all(&server, Endpoint::Token, [Quirk::RefuseProofs, no_date, date(now + by * SECOND)]);
            let error = session.access_token().err().map(|error| error.to_string()).unwrap_or_default();
            let requests = token_requests(&server);
            let proofs: Vec<_> = requests.iter().map(|request| ahead(request.proof()).unwrap()).collect();
            assert!(requests.iter().all(|request| ahead(request.assertion()).unwrap_or(0) <= 300));
            match follows {
                true => assert_eq!(proofs, [0, u64::from(by) - 1], "{error}"),
                false => {
                    assert_eq!(proofs, [0]);
                    assert!(error.contains(&format!("{by} s behind 127.0.0.1: set it")), "{error}");
                }
            }
        }
    }
    // What was learned with a nonce does not date proofs that have none.
    let clock = ManualClock::at(now);
    let server = with(|server| server.clock(clock.clone()));
    let session = server.session().clock(clock).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    server.set_clock_offset(3_000);
    assert_eq!(get(&session, &server), 200);
    assert_eq!(session.stats().clock_offsets, [(server.resource_origin().to_owned(), 3_000)]);
    let url = server.resource("/orders");
    let iat = |prover: &Prover| {
        let proof = Proof::new(&http::Method::GET, &url).unwrap();
        let proof = prover.prove(ServerRole::ResourceServer, proof, now).unwrap();
        seconds_ahead(&Jwt::decode(&proof).claims)
    };
    let prover = session.prover();
    assert_eq!(iat(&prover), 2_999, "with the nonce of the resource");
    // This one looks for another nonce, and there is none.
    assert_eq!(iat(&prover.share_nonces_between_roles()), 299);
}

/// Keycloak refuses proofs as `invalid_request`, and an assertion with a wrong time is `invalid_client`.
#[test]
fn q_12_q_19_the_time_is_learned_whatever_the_error_code_is() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()));
    server.set_clock_offset(-600);
    always(&server, Endpoint::Token, Quirk::ErrorCode("invalid_request".to_owned()));
    let session = server.session().clock(clock).discover().unwrap();
    assert!(session.access_token().is_ok());
    assert!(statuses(&server.received_at(Endpoint::Token)).len() <= 3);
}

/// A clock more than a day off, and a refusal for another reason.
#[test]
fn q_12_the_error_says_that_the_clock_is_wrong() {
    let clock = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND);
    let server = with(|server| server.clock(clock.clone()));
    for (offset, says) in [(90_000, "s behind 127.0.0.1: set it"), (-90_000, "s ahead of 127.0.0.1: set it")]
    {
        server.set_clock_offset(offset);
        let session = server.session().clock(clock.clone()).discover().unwrap();
        let error = session.access_token().unwrap_err();
        assert_eq!(code(&error), Some("invalid_dpop_proof"));
        assert!(error.to_string().contains("this machine's clock is 90000"), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(session.stats().clock_offsets, []);
    }
    server.set_clock_offset(212);
    always(&server, Endpoint::Token, Quirk::RefuseProofs);
    let session = server.session().clock(clock.clone()).discover().unwrap();
    server.clear_received();
    let error = session.access_token().unwrap_err().to_string();
    assert!(error.contains("this machine's clock is 212 s"), "{error}");
    assert!(
        error.contains("behind 127.0.0.1, and a proof with the server's time was refused as well"),
        "{error}"
    );
    assert_eq!(server.received().len(), 2);
    // An offset that did not help is not kept: the `Date` of a proxy may be anything.
    assert_eq!(session.stats().clock_offsets, []);
}

/// A gateway whose own clock is wrong: an offset from its `Date` is kept only while it helps.
#[test]
fn q_12_a_date_that_is_not_the_server_s_time_does_no_lasting_harm() {
    let wrong = || header("date", "Fri, 15 Jan 2027 06:36:40 GMT");
    let now = std::time::SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND; // more than an hour later
    let clock = ManualClock::at(now);
    let server = with(|server| server.clock(clock.clone()).nonces(Nonces::Off));
    let session = server.session().clock(clock).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    // Refused for another reason; the second response is the server's or the gateway's.
    for (then, status) in [(None, 401), (Some(Quirk::Html { status: 502 }), 502)] {
        let no_date = Quirk::WithoutHeader("date".to_owned());
        once_all(&server, Endpoint::Resource, [Quirk::RefuseProofs, no_date, wrong()]);
        if let Some(quirk) = then {
            server.misbehave(Endpoint::Resource, When::Every(2), quirk);
        }
        server.clear_received();
        assert_eq!((get(&session, &server), server.received().len()), (status, 2));
        assert_eq!(session.stats().clock_offsets, [], "it did not help");
        server.behave();
    }
    // Learned while it helped. Later the clock of the server is corrected, and no `Date` says so.
    server.set_clock_offset(-4_000);
    assert_eq!(get(&session, &server), 200);
    assert_eq!(session.stats().clock_offsets.len(), 1);
    server.set_clock_offset(0);
    always(&server, Endpoint::Resource, Quirk::WithoutHeader("date".to_owned()));
    assert_eq!(get(&session, &server), 200);
    assert_eq!(session.stats().clock_offsets, []);
}

/// Somebody sets the clock: the offset is corrected in the same way as it was learned.
#[test]
fn q_12_an_outdated_offset_is_corrected() {
    let clock = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND);
    let right = ManualClock::at(std::time::SystemTime::UNIX_EPOCH + 1_800_000_300 * SECOND);
    let server = with(|server| server.clock(right.clone()));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    assert_eq!(session.stats().clock_offsets.len(), 2);
    clock.set(std::time::SystemTime::UNIX_EPOCH + 1_800_000_300 * SECOND);
    for _ in 0..2 {
        assert_eq!(get(&session, &server), 200);
        session.discard_token();
    }
    assert_eq!(session.stats().clock_offsets, []);
}

/// The error is what the server said, and no challenge: there is no retry.
#[test]
fn q_19_a_refused_proof_is_an_error_under_any_code() {
    let server = with(|server| server.nonces(Nonces::Off));
    always(&server, Endpoint::Token, Quirk::RefuseProofs);
    always(&server, Endpoint::Token, Quirk::ErrorCode("invalid_request".to_owned()));
    let error = default_session(&server).access_token().unwrap_err();
    assert_eq!(code(&error), Some("invalid_request"));
    assert_eq!(server.received_at(Endpoint::Token).len(), 1);
    // Spring's challenge has no description.
    always(&server, Endpoint::Resource, Quirk::RefuseProofs);
    server.misbehave(Endpoint::Token, When::Always, Quirk::RefuseProofs);
    server.behave();
    let session = default_session(&server);
    always(&server, Endpoint::Resource, Quirk::RefuseProofs);
    assert_eq!(get(&session, &server), 401);
    assert_eq!(server.received_at(Endpoint::Resource).len(), 1);
}

/// A 401 without a reason may be about the time of the proof. The difference is logged, once a request, and
/// the error of a token request names it. It is no reason for a retry: such a refusal is not about the proof.
#[test]
fn a_bare_401_of_a_server_whose_clock_differs_is_logged_with_the_difference() {
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND);
    for (offset, says) in [(212, "212 s behind 127.0.0.1"), (-900, "s ahead of 127.0.0.1"), (0, "")] {
        let server = with(|server| server.clock(clock.clone()).nonces(Nonces::Off));
        let session = server.session().clock(clock.clone()).discover().unwrap();
        session.access_token().unwrap();
        server.set_clock_offset(offset);
        for refusal in [respond(401, &[], ""), respond(401, &[("www-authenticate", "DPoP")], "no")] {
            always(&server, Endpoint::Resource, refusal.clone());
            // A second refusal of a new token would be kept for a while.
            session.discard_token();
            session.access_token().unwrap();
            take_logged();
            server.clear_received();
            assert_eq!(get(&session, &server), 401);
            let logged = take_logged();
            let records: Vec<_> =
                logged.lines().filter(|record| record.contains("this machine's clock")).collect();
            assert_eq!(records.len(), usize::from(offset != 0), "{logged}");
            assert!(
                records.iter().all(|record| record.contains(says) && record.contains("/orders")),
                "{logged}"
            );
            assert_eq!(calls(&server).len(), 2, "one with each token");
            let learned = session.stats().clock_offsets;
            assert!(learned.iter().all(|(origin, _)| origin != server.resource_origin()), "{learned:?}");
        }
        // The same at the token endpoint, where the error says it as well.
        always(&server, Endpoint::Token, respond(401, &[], ""));
        let session = server.session().clock(clock.clone()).discover().unwrap();
        take_logged();
        let error = session.access_token().unwrap_err().to_string();
        let logged = take_logged();
        for text in [&error, &logged] {
            assert_eq!(text.contains("this machine's clock"), offset != 0, "{text}");
            assert!(text.contains(says), "{text}");
        }
    }
}

/// A stream cannot be sent again, so that the retry is up to the caller. What the server asked for is known
/// then, whatever it was.
#[test]
fn a_call_whose_stream_was_sent_succeeds_with_a_new_stream() {
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + 1_800_000_000 * SECOND);
    let server = with(|server| server.clock(clock.clone()));
    let session = server.session().clock(clock).discover().unwrap();
    let stream = || Body::from_reader(std::io::Cursor::new("a stream"));
    let post = || session.post(&server.resource("/"), "text/plain", stream());
    assert_eq!(get(&session, &server), 200);
    let bare = respond(401, &[], "");
    let refuse: [&dyn Fn(); 4] =
        [&|| server.rotate_nonces(), &|| server.revoke_tokens(), &|| server.set_clock_offset(100), &|| {
            once(&server, Endpoint::Resource, bare.clone())
        }];
    for (number, refuse) in refuse.into_iter().enumerate() {
        refuse();
        let error = post().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::BodySent { status: 401 }, "{number}: {error}");
        assert!(error.is_transient() && error.to_string().contains("call again with a new one"), "{error}");
        server.clear_received();
        let status = post().unwrap().status();
        assert_eq!((status.as_u16(), calls(&server).len()), (200, 1), "{number}");
    }
}

/// RFC 9110 §15.5.9 and RFC 8470 §5.2: these two are invitations to try again.
#[test]
fn a_status_that_asks_for_another_attempt_is_transient() {
    for (status, transient) in
        [(408, true), (425, true), (429, true), (503, true), (404, false), (423, false)]
    {
        let server = with(|server| server.nonces(Nonces::Off));
        always(&server, Endpoint::Token, respond(status, &[], ""));
        let session = builder(&server, LONG).discover().unwrap();
        let error = session.access_token().unwrap_err();
        assert_eq!((error.status(), error.is_transient()), (Some(status), transient), "{error}");
        // A session tries it again by itself.
        assert_eq!(token_requests(&server).len() > 1, transient, "{status}");
    }
}
