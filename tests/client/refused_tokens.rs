//! Access tokens that a resource refuses (rows C-75, Q-24, Q-29).

use std::collections::HashSet;
use std::io::Write;

use http::{Request, Response};
use possession::testing::{Endpoint, ManualClock, Quirk, TestServer, When};
use possession::*;

use crate::common::server::{SECOND, always, calls, get, nonces, once, respond, start, with};
use crate::common::{JSON, Peer, Then, http};
use crate::other_clients::drive;
use crate::peer::{all_distinct, jtis, session as peer_session, token_server};
use crate::support::{code, default_session, nothing_twice, some, text, token_of, without_nonces};

/// RFC 6750 §3.1: one more token, one more call, and then the refusal reaches the caller; for each way to
/// call and each scheme, with a new proof each time. A streamed body is not sent again.
#[test]
fn c_75_an_access_token_that_is_refused_is_replaced_once() {
    for field in [
        r#"DPoP error="invalid_token""#,
        r#"Bearer error="invalid_token", error_description="Invalid token", DPoP algs="ES256""#, // Figure 18
        r#"dpop Error=invalid_token"#,
    ] {
        let server = start();
        let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
        let agent = session.agent().unwrap();
        let url = server.resource("/orders");
        let other_client = || {
            let (mut parts, ()) = Request::get(&url).body(()).unwrap().into_parts();
            let mut sent = 0_usize;
            loop {
                session.authorize(&mut parts).unwrap();
                sent += 1;
                // Another HTTP client with the fewest settings.
                let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
                let response = config.new_agent().run(Request::from_parts(parts.clone(), ())).unwrap();
                let (status, headers) = (response.status(), response.headers().clone());
                if session.receive(&mut parts, status, &headers, None).unwrap() == possession::Step::Done(())
                {
                    assert!(sent <= 2, "{field}");
                    return status.as_u16();
                }
            }
        };
        let status = |result: Result<Response<ureq::Body>, ureq::Error>| match result {
            Ok(response) => response.status().as_u16(),
            Err(ureq::Error::StatusCode(status)) => status,
            Err(error) => panic!("{field} {error}"),
        };
        let ways: [(&str, &dyn Fn() -> u16); 6] = [
            ("get", &|| get(&session, &server)),
            ("post", &|| session.post(&url, "text/plain", "the same").unwrap().status().as_u16()),
            ("run", &|| {
                session.run(Request::patch(&url).body("the same").unwrap()).unwrap().status().as_u16()
            }),
            ("agent", &|| status(agent.get(&url).call())),
            ("agent with a body", &|| status(agent.post(&url).send("the same"))),
            ("another client", &other_client),
        ];
        for (way, call) in ways {
            assert_eq!(call(), 200, "{way}");
            // Refused once: the call is made with another token.
            server.clear_received();
            server.revoke_tokens();
            assert_eq!(call(), 200, "{way}");
            let tokens: Vec<_> = calls(&server).iter().map(token_of).collect();
            assert!(tokens.len() == 2 && tokens[0] != tokens[1], "{way}");
            assert_eq!(server.counts().tokens, 1, "{way}");
            // Refused always: the second refusal reaches the caller.
            server.clear_received();
            always(&server, Endpoint::Resource, respond(401, &[("www-authenticate", field)], ""));
            assert_eq!(call(), 401, "{way} {field}");
            let tokens: Vec<_> = calls(&server).iter().map(token_of).collect();
            assert!(tokens.len() == 2 && tokens[0] != tokens[1], "{way} {field}");
            assert_eq!(server.counts().tokens, 1, "{way} {field}");
            let bodies: HashSet<_> = calls(&server).into_iter().map(|call| call.body).collect();
            assert_eq!(bodies.len(), 1, "{way}: identical bytes");
            server.behave();
            session.discard_token();
        }
        // A stream is used up: the error says so, and the next call has a new token.
        assert_eq!(get(&session, &server), 200);
        server.revoke_tokens();
        server.clear_received();
        let stream = Body::from_reader(std::io::Cursor::new("a stream"));
        let error = session.post(&url, "text/plain", stream).unwrap_err();
        assert_eq!((error.kind(), calls(&server).len()), (&ErrorKind::BodySent { status: 401 }, 1));
        assert_eq!(get(&session, &server), 200);
        nothing_twice(&server);
    }
}

#[test]
fn c_75_an_invalid_token_error_under_either_scheme_replaces_the_token_once() {
    let invalid = |scheme: &str| {
        http(401, &[("www-authenticate", &format!("{scheme} error=\"invalid_token\""))], "old")
    };
    let ok = || http(200, &[], "ok");
    // The resource's first response, and whether the token is discarded.
    let cases = [
        (invalid("DPoP"), true),
        (invalid("Bearer realm=x, dpop"), true),
        // Servers that support both schemes often report it under the other.
        (invalid("Bearer"), true),
        (invalid("DPoP").replace("401", "403"), false),
        (http(401, &[("www-authenticate", "Basic realm=x, error=insufficient_scope")], ""), false),
        (http(401, &[("www-authenticate", "DPoP error=insufficient_scope")], ""), false),
    ];
    for (response, discarded) in cases {
        let (tokens, peer) =
            (token_server(r#","expires_in":3600"#), Peer::scripted([response.clone(), ok()]));
        let session = peer_session(&tokens);
        let first = session.post(&peer.url("/"), "text/plain", "x").unwrap();
        assert_eq!(first.status() == 200, discarded, "{response}");
        assert_eq!(peer.seen().len(), if discarded { 2 } else { 1 });
        assert_eq!(session.get(&peer.url("/")).unwrap().status(), 200);
        let used: Vec<_> =
            peer.seen().iter().map(|seen| seen.header_values("authorization")[0].to_owned()).collect();
        let expected: &[&str] = match discarded {
            true => &["DPoP token-0", "DPoP token-1", "DPoP token-1"],
            false => &["DPoP token-0", "DPoP token-0"],
        };
        assert_eq!(used, expected, "{response}");
        assert_eq!(tokens.seen().len(), 1 + usize::from(discarded));
        assert!(all_distinct(&jtis(&peer)));
    }
    // Every token is refused: the call ends with the second refusal, and the next call carries the token in
    // hand.
    let (tokens, peer) = (token_server(""), Peer::scripted([invalid("DPoP")]));
    let session = peer_session(&tokens);
    for calls in 1..3 {
        let mut response = session.get(&peer.url("/")).unwrap();
        assert_eq!(
            (response.status().as_u16(), &*response.body_mut().read_to_string().unwrap()),
            (401, "old")
        );
        // The token that was fetched for a call is kept, and the next call is sent once.
        assert_eq!((peer.seen().len(), tokens.seen().len()), (1 + calls, 2));
    }
}

/// Another error, another status, another scheme: that is no refusal of the token.
#[test]
fn c_75_other_refusals_fetch_no_token() {
    for (status, field) in [
        (401, r#"DPoP error="insufficient_scope""#),
        (401, r#"DPoP error="invalid_request""#),
        (401, r#"DPoP error="INVALID_TOKEN""#),
        (401, r#"DPoP error="invalid_token_x""#),
        (401, r#"Bearer error="insufficient_scope""#),
        (401, r#"Bearer error="use_dpop_nonce", DPoP algs="ES256 EdDSA""#),
        (401, r#"DPoP error="insufficient_scope", Bearer"#),
        (401, r#"Token error="access_denied""#),
        (403, r#"DPoP error="invalid_token""#),
        (403, "DPoP"),
        (400, r#"DPoP error="invalid_token""#),
        (400, "DPoP"),
        (200, r#"DPoP error="invalid_token""#),
        (503, r#"Bearer error="invalid_token""#),
    ] {
        let server = start();
        let session = default_session(&server);
        assert_eq!(get(&session, &server), 200);
        server.clear_received();
        always(&server, Endpoint::Resource, respond(status, &[("www-authenticate", field)], ""));
        assert_eq!(get(&session, &server), status, "{field}");
        let counts = server.counts();
        assert_eq!((counts.token_requests, counts.resource_requests), (0, 1), "{status} {field}");
    }
    // A token that cannot be replaced is an error of the token endpoint.
    let server = start();
    let session = default_session(&server);
    assert_eq!(get(&session, &server), 200);
    server.revoke_tokens();
    always(&server, Endpoint::Token, respond(400, &[JSON], r#"{"error":"unauthorized_client"}"#));
    server.clear_received();
    let error = session.get(&server.resource("/")).unwrap_err();
    assert_eq!(code(&error), Some("unauthorized_client"));
    let counts = server.counts();
    assert_eq!((counts.token_requests, counts.resource_requests), (1, 1));
}

/// RFC 6750 §3 makes the error code optional, so that its absence says nothing about the token. Each of these
/// was sent by a deployed server for a token that it no longer accepts.
#[test]
fn q_29_a_401_that_names_no_error_replaces_the_token_once() {
    let www = "www-authenticate";
    let html = ("content-type", "text/html");
    let cases: [(&[(&str, &str)], &str); 15] = [
        (&[], ""),
        (&[(www, "DPoP")], ""),
        (&[(www, r#"DPoP algs="ES256""#)], ""),
        (&[(www, r#"DPoP realm="invalid_token""#)], ""),
        (&[(www, r#"Bearer scope="openid webid""#)], ""),
        (&[(www, r#"Bearer scope="openid webid", DPoP algs="ES256", Basic realm="x""#)], ""),
        (&[(www, "Token"), JSON], r#"[{"message":"Session expired","errorCode":"INVALID_SESSION_ID"}]"#),
        (&[(www, r#"Basic error="invalid_token""#)], ""),
        (&[(www, r#"DPoP error="no end"#)], ""),
        (&[JSON], r#"{"error":"invalid_token"}"#),
        (&[JSON], r#"{"message":"Unauthorized"}"#),
        (&[JSON], r#"{"error":{"code":401}}"#),
        (&[(www, "DPoP"), JSON], r#"{"error":"invalid_token","error_description":"\ud83d"}"#),
        (&[html], r#"{"error":"invalid_token"}"#),
        (&[html], "<p>Log in</p>"),
    ];
    for (headers, body) in cases {
        let server = without_nonces();
        let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
        let url = server.resource("/");
        let plain = Request::get(&url).body(()).unwrap();
        let agent = session.agent_with(|config| config.http_status_as_error(false)).unwrap();
        let ways: [&dyn Fn() -> u16; 3] = [
            &|| session.get(&url).unwrap().status().as_u16(),
            &|| agent.get(&url).call().unwrap().status().as_u16(),
            &|| drive(&session, plain.clone()).0.status().as_u16(),
        ];
        for (way, call) in ways.into_iter().enumerate() {
            assert_eq!(call(), 200);
            // Refused once: another token is fetched, and the call succeeds.
            once(&server, Endpoint::Resource, respond(401, headers, body));
            server.clear_received();
            assert_eq!(call(), 200, "{way} {headers:?} {body}");
            let tokens: Vec<_> = calls(&server).iter().map(token_of).collect();
            assert!(tokens.len() == 2 && tokens[0] != tokens[1], "{way} {headers:?} {body}");
            // The next calls use the new token.
            assert_eq!(call(), 200);
            assert_eq!((server.counts().tokens, token_of(&calls(&server)[2])), (1, tokens[1].clone()));
            // Refused always: two requests, and the second refusal reaches the caller.
            always(&server, Endpoint::Resource, respond(401, headers, body));
            server.clear_received();
            assert_eq!(call(), 401, "{way} {headers:?} {body}");
            let counts = server.counts();
            assert_eq!((counts.tokens, counts.resource_requests), (1, 2), "{way} {headers:?} {body}");
            server.behave();
            session.discard_token();
        }
        nothing_twice(&server);
    }
}

/// A code in the body counts where the header has none, under any media type that servers send JSON with.
#[test]
fn q_29_another_error_code_in_the_body_of_a_401_reaches_the_caller() {
    for content_type in ["application/json", "application/problem+json", "text/plain", "text/html"] {
        for field in ["", "DPoP", r#"Bearer realm="x""#, "Token"] {
            for code in ["insufficient_scope", "invalid_request", "use_dpop_nonce", "Invalid_Token", "no"] {
                let server = without_nonces();
                let session = default_session(&server);
                assert_eq!(get(&session, &server), 200);
                let headers = [("www-authenticate", field), ("content-type", content_type)];
                let body = format!(r#"{{"error":"{code}"}}"#);
                always(&server, Endpoint::Resource, respond(401, &headers, body.clone()));
                server.clear_received();
                let response = session.get(&server.resource("/")).unwrap();
                assert_eq!((response.status().as_u16(), text(response)), (401, body), "{headers:?}");
                let counts = server.counts();
                assert_eq!((counts.token_requests, counts.resource_requests), (0, 1), "{headers:?} {code}");
            }
        }
    }
}

/// The nonce of the refusal comes first, since it costs no token. The call is sent three times at most.
#[test]
fn q_29_a_new_nonce_is_tried_with_the_same_token_before_the_token_is_replaced() {
    let www = "www-authenticate";
    let fields = ["DPoP", r#"DPoP algs="ES256""#, r#"DPoP error="invalid_token""#, "Bearer", "Token", ""];
    for field in fields {
        let refusal = |nonce: &str| respond(401, &[(www, field), ("dpop-nonce", nonce)], "");
        let sent = |server: &TestServer| {
            let calls = calls(server);
            let mut tokens: Vec<_> = calls.iter().map(token_of).collect();
            tokens.dedup();
            (nonces(&calls), tokens.len())
        };
        // The nonce was the reason.
        let server = without_nonces();
        let session = default_session(&server);
        session.access_token().unwrap();
        once(&server, Endpoint::Resource, refusal("n-1"));
        assert_eq!(get(&session, &server), 200, "{field}");
        assert_eq!(sent(&server), (some(&[None, Some("n-1")]), 1), "{field}");
        assert_eq!(server.counts().tokens, 1);
        // The token was the reason: two requests with it, one with the next.
        for (nonces, expected) in [
            (["n-2", "n-2"], [Some("n-1"), Some("n-2"), Some("n-2")]),
            (["n-3", "n-4"], [Some("n-2"), Some("n-3"), Some("n-4")]),
        ] {
            server.clear_received();
            for nonce in nonces {
                once(&server, Endpoint::Resource, refusal(nonce));
            }
            assert_eq!(get(&session, &server), 200, "{field}");
            assert_eq!(sent(&server), (some(&expected), 2), "{field}");
            server.behave();
        }
        // Everything is refused, each time with another nonce.
        let peer = Peer::scripted(
            (0..9).map(|n| http(401, &[(www, field), ("dpop-nonce", &format!("n-{n}"))], "no")),
        );
        let tokens = token_server("");
        assert_eq!(peer_session(&tokens).get(&peer.url("/")).unwrap().status(), 401, "{field}");
        assert_eq!((peer.seen().len(), tokens.seen().len()), (3, 2), "{field}");
        assert!(all_distinct(&jtis(&peer)));
    }
}

/// Whatever reasons a server finds, one after the other: nonce, clock, token.
#[test]
fn a_call_is_sent_at_most_three_times() {
    let challenge = |code: &str, nonce: &str| {
        let field = format!("DPoP error=\"{code}\"");
        // Every response shows a time that differs from the client's and from the one before.
        let date = format!("Sun, 09 Sep 2001 0{}:46:40 GMT", nonce.len() % 10);
        http(401, &[("www-authenticate", &field), ("dpop-nonce", nonce), ("date", &date)], "no")
    };
    let codes = ["use_dpop_nonce", "invalid_dpop_proof", "invalid_token", "insufficient_scope"];
    for (first, second) in codes.iter().flat_map(|first| codes.map(|second| (*first, second))) {
        let script = (1..9).map(|n| challenge(if n % 2 == 1 { first } else { second }, &"n".repeat(n)));
        let (peer, tokens) = (Peer::scripted(script), token_server(""));
        let session = peer_session(&tokens);
        for number in 1..=2 {
            let before = peer.seen().len();
            assert_eq!(session.get(&peer.url("/")).unwrap().status(), 401, "{first} {second}");
            let sent = peer.seen().len() - before;
            assert!((1..=3).contains(&sent), "{first} {second}: {sent} in call {number}");
        }
        assert!(all_distinct(&jtis(&peer)));
    }
}

/// A refusal on the last attempt that a call has. The token is discarded all the same.
#[test]
fn a_token_that_the_last_attempt_shows_to_be_refused_is_not_used_again() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    session.access_token().unwrap();
    server.set_clock_offset(290);
    // A nonce, the time, and then the token.
    server.misbehave(Endpoint::Resource, When::Every(3), respond(401, &[], ""));
    server.clear_received();
    assert_eq!(get(&session, &server), 401);
    assert_eq!((calls(&server).len(), server.counts().tokens), (3, 0));
    server.behave();
    server.clear_received();
    assert_eq!(get(&session, &server), 200);
    assert_eq!(server.counts().tokens, 1);
}

/// A broken resource and a well-behaved one, two refused clients, a hundred calls each.
#[test]
fn c_75_permanent_refusals_do_not_multiply_requests() {
    let clock = ManualClock::new();
    let [server, bad] = [(); 2].map(|()| with(|server| server.clock(clock.clone())));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    // The other server knows none of the tokens.
    let broken = || session.get(&bad.resource("/")).unwrap().status().as_u16();
    for _ in 0..100 {
        assert_eq!((broken(), get(&session, &server)), (401, 200));
        clock.advance(SECOND / 100);
    }
    assert_eq!(server.counts().tokens, 2);
    // The pauses grow: 1 to 2 s, 2 to 4 s and so on, and all are over after four minutes.
    for seconds in [2, 4, 8, 16, 32, 60, 60] {
        clock.advance(seconds * SECOND);
        assert_eq!(broken(), 401);
    }
    assert_eq!(server.counts().tokens, 9);
    assert_eq!((broken(), get(&session, &server), server.counts().tokens), (401, 200, 9));

    // Wrong credentials: the first attempt may be made twice, for the nonce.
    server.clear_received();
    let auth = || ClientAuth::client_secret_basic("wrong");
    let wrong = server.session().auth(auth()).clock(clock.clone()).discover().unwrap();
    for number in 0..100 {
        let derived = wrong.with_parameters(Parameters::new().scope(format!("s{number}"))).unwrap();
        for session in [&wrong, &derived] {
            let error = session.access_token().unwrap_err();
            assert_eq!((code(&error), error.is_transient()), (Some("invalid_client"), false));
            let repeated =
                error.to_string().contains("the same credentials and parameters are not tried again");
            assert_eq!(repeated, number > 0 || std::ptr::eq(session, &derived), "{error}");
        }
        clock.advance(SECOND / 200);
    }
    let tried = server.received_at(Endpoint::Token).len();
    assert!(tried <= 2, "{tried}");
    // Changed credentials are tried at once.
    assert!(wrong.rotate_key(KeyPair::generate(Algorithm::Ed25519).unwrap()).is_err());
    assert!(server.received_at(Endpoint::Token).len() > tried, "another key");
    let tried = server.received_at(Endpoint::Token).len();
    let other = server.session().auth(auth()).clock(clock.clone()).discover().unwrap();
    assert!(other.access_token().is_err());
    assert!(server.received_at(Endpoint::Token).len() > tried, "another session");
}

/// A resource that refuses every token costs one token request, and the other resources get the new token.
#[test]
fn c_75_a_token_that_one_resource_refuses_is_used_at_the_others() {
    let server = start();
    let session = default_session(&server);
    session.access_token().unwrap();
    server.clear_received();
    let refusal = Response::builder().status(401).header("www-authenticate", "DPoP error=\"invalid_token\"");
    server.misbehave(
        Endpoint::Resource,
        possession::testing::When::Next(2),
        Quirk::Respond(refusal.body(Vec::new()).unwrap()),
    );
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 401);
    assert_eq!(session.get(&server.resource("/other")).unwrap().status(), 200);
    assert_eq!(server.counts().tokens, 1, "the token of the refused call is used by the next");
}

#[test]
fn q_24_an_invalid_token_is_renewed_once() {
    let server = start();
    let session = default_session(&server);
    assert_eq!(get(&session, &server), 200);
    server.revoke_tokens();
    assert_eq!(get(&session, &server), 200);
    assert_eq!(server.counts().tokens, 2);
    // Every token is refused: one more, and then the refusal reaches the caller.
    let refusal = Response::builder().status(401).header("www-authenticate", "DPoP error=\"invalid_token\"");
    always(&server, Endpoint::Resource, Quirk::Respond(refusal.body(b"no".to_vec()).unwrap()));
    server.clear_received();
    let response = session.get(&server.resource("/")).unwrap();
    assert_eq!((response.status().as_u16(), &*text(response)), (401, "no"));
    assert_eq!((server.counts().tokens, server.received_at(Endpoint::Resource).len()), (1, 2));
}

/// A connection that is lost counts as a request that was sent.
#[test]
fn a_lost_connection_is_not_replaced_beyond_three_requests() {
    let peer = Peer::start(|number, _, stream| match number {
        0 => {
            let challenge = [("www-authenticate", "DPoP error=use_dpop_nonce"), ("dpop-nonce", "n")];
            stream.write_all(http(401, &challenge, "").as_bytes()).map(|()| Then::Keep)
        }
        1 => stream.write_all(http(401, &[], "").as_bytes()).map(|()| Then::Keep),
        _ => Ok(Then::Close),
    });
    let tokens = token_server("");
    let error = peer_session(&tokens).get(&peer.url("/")).unwrap_err();
    assert_eq!((error.kind(), peer.seen().len()), (&ErrorKind::Transport, 3), "{error}");
}
