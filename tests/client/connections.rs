//! Connections that break, and the settings of agents that hide a challenge (rows C-18 and C-19).

use std::io::Write;

use http::{Method, Request};
use possession::testing::{ChallengeForm, Endpoint, ManualClock, Quirk, When};
use possession::*;

use crate::common::server::{always, calls, get, once, respond, start, token_requests, with};
use crate::common::{JSON, Peer, TOKEN, Then, Trap, http};
use crate::peer::{
    all_distinct, body_challenge, granted, header_challenge, jtis, session as peer_session, token_server,
};
use crate::support::{BOTH, builder, code, grant, nothing_twice, session, text, transports};

#[test]
fn c_18_a_connection_that_breaks_never_carries_a_proof_twice() {
    // At the resource: an idempotent request is sent again with another proof. Other requests fail.
    for quirk in [Quirk::CloseAfterResponse, Quirk::CloseWithoutResponse] {
        let server = start();
        let session = session(&server);
        assert_eq!(get(&session, &server), 200);
        let url = server.resource("/orders");
        for harmless in [true, false] {
            server.behave();
            server.clear_received();
            once(&server, Endpoint::Resource, quirk.clone());
            let send = || match harmless {
                true => session.get(&url).map(text),
                false => session.post(&url, "text/plain", "x").map(text),
            };
            // The first request is lost, or is the last of its connection; the second finds it closed.
            let outcomes = [send(), send()];
            let lost = matches!(quirk, Quirk::CloseWithoutResponse);
            match (harmless, lost) {
                (true, _) => assert!(outcomes.iter().all(Result::is_ok), "{quirk:?} {outcomes:?}"),
                (false, true) => {
                    let error = outcomes[0].as_ref().unwrap_err();
                    assert_eq!(*error.kind(), ErrorKind::Transport, "{error}");
                    assert_eq!(calls(&server).len(), 2, "a lost POST is not repeated");
                }
                (false, false) => assert!(outcomes[0].is_ok()),
            }
            nothing_twice(&server);
        }
    }
    // At the token endpoint each attempt has its own proof and assertion.
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).client_public_key(key.to_public()));
    let auth = ClientAuth::private_key_jwt(key);
    let session = builder(&server, crate::support::LONG).clock(clock).auth(auth).discover().unwrap();
    for quirk in [Quirk::CloseWithoutResponse, Quirk::CloseMidway] {
        server.misbehave(Endpoint::Token, When::Next(2), quirk);
        session.access_token().unwrap();
        session.discard_token();
    }
    assert!(token_requests(&server).len() >= 6);
    nothing_twice(&server);
}

#[test]
fn c_18_thirty_calls_over_breaking_connections_repeat_no_proof() {
    for quirk in [Quirk::CloseAfterResponse, Quirk::CloseWithoutResponse, Quirk::CloseMidway] {
        let server = start();
        server.misbehave(Endpoint::Resource, When::Every(3), quirk.clone());
        let session = session(&server);
        let mut failed = 0;
        for i in 0..30 {
            let url = server.resource("/");
            // A lost request is repeated where that is harmless; otherwise the call fails.
            match if i % 2 == 0 { session.get(&url) } else { session.post(&url, "text/plain", "x") } {
                Ok(mut response) => drop(response.body_mut().read_to_vec()),
                Err(error) => {
                    assert!(i % 2 == 1 && *error.kind() == ErrorKind::Transport, "{quirk:?} {error}");
                    failed += 1;
                }
            }
        }
        // A POST that failed may have been lost before the server received it.
        assert!(calls(&server).len() + failed >= 30, "{quirk:?}");
        nothing_twice(&server);
    }
}

/// ureq checks whether a pooled connection was closed before it uses it, and then opens another. When a
/// connection ends after the request was written, it returns the error and does not send again, not even a
/// GET. The session repeats idempotent requests, with a new proof.
#[test]
fn c_18_idempotent_requests_are_repeated_once_with_a_new_proof_and_others_fail() {
    // Closed after a whole response: the next call succeeds.
    for method in [Method::GET, Method::POST] {
        let peer = Peer::start(|_, _, stream| {
            stream.write_all(http(200, &[], "ok").as_bytes()).map(|()| Then::Close)
        });
        let tokens = token_server("");
        let session = peer_session(&tokens);
        for _ in 0..5 {
            let body = if method == Method::GET { "" } else { "x" };
            let request = Request::builder().method(&method).uri(peer.url("/")).body(body).unwrap();
            // Whether the client sees the end in time depends on the system. The proof is new in either
            // case.
            if let Ok(mut response) = session.run(request) {
                assert_eq!(response.body_mut().read_to_string().unwrap(), "ok");
            }
        }
        assert!(all_distinct(&jtis(&peer)) && peer.seen().len() <= 10);
    }
    // Closed in place of a response, on a pooled connection.
    for (method, again) in [("GET", true), ("PUT", true), ("DELETE", true), ("POST", false), ("PATCH", false)]
    {
        let peer = Peer::start(|number, _, stream| match number {
            1 => Ok(Then::Close),
            _ => stream.write_all(http(200, &[], "ok").as_bytes()).map(|()| Then::Keep),
        });
        let tokens = token_server("");
        let session = peer_session(&tokens);
        let call = || {
            let request = Request::builder().method(method).uri(peer.url("/")).body("x").unwrap();
            session.run(request).map(|mut response| response.body_mut().read_to_string().unwrap())
        };
        assert_eq!(call().unwrap(), "ok");
        match call() {
            Ok(body) => assert!(again && body == "ok", "{method}"),
            Err(error) => assert!(!again && *error.kind() == ErrorKind::Transport, "{method} {error}"),
        }
        assert_eq!(call().unwrap(), "ok");
        let seen = peer.seen();
        let connections: Vec<_> = seen.iter().map(|seen| seen.connection).collect();
        let expected: &[usize] = if again { &[0, 0, 1, 1] } else { &[0, 0, 1] };
        assert_eq!(connections, expected, "{method}: the second was sent on the pooled connection");
        assert!(all_distinct(&jtis(&peer)) && seen.iter().all(|seen| seen.body == b"x"));
    }
    // One repetition and no more.
    let (tokens, peer) = (token_server(""), Peer::start(|_, _, _| Ok(Then::Close)));
    let error = peer_session(&tokens).get(&peer.url("/")).unwrap_err();
    assert_eq!((error.kind(), peer.seen().len()), (&ErrorKind::Transport, 2));
}

#[test]
fn c_19_a_challenge_is_read_whatever_an_agent_does_with_error_statuses() {
    let configured = ureq::Agent::config_builder().http_status_as_error(true).max_redirects(10).build();
    // The defaults of ureq turn error statuses into errors, follow redirects and have no timeout.
    for agent in [ureq::Agent::new_with_defaults(), configured.new_agent()] {
        for form in [ChallengeForm::Json, ChallengeForm::Header, ChallengeForm::HeaderWith400] {
            let server = start();
            for at in BOTH {
                always(&server, at, Quirk::ChallengeForm(form));
            }
            let transport = Transport::from_agent(agent.clone());
            let session = server.session().transport(transport).discover().unwrap();
            assert_eq!(get(&session, &server), 200, "{form:?}");
            assert_eq!((token_requests(&server).len(), calls(&server).len()), (2, 2), "{form:?}");
            assert_eq!(server.counts().challenges, 2, "{form:?}");
            // Through an agent too. Its caller gets what ureq makes of an error status.
            let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
            let agent = session.agent().unwrap();
            assert_eq!(agent.get(server.resource("/")).call().unwrap().status(), 200, "{form:?}");
            once(&server, Endpoint::Resource, respond(403, &[], ""));
            let error = agent.get(server.resource("/")).call().unwrap_err();
            assert!(matches!(error, ureq::Error::StatusCode(403)), "{error}");
            // A redirect of the token endpoint as well.
            let trap = Trap::set();
            once(&server, Endpoint::Token, Quirk::Redirect { status: 302, location: trap.origin() });
            session.discard_token();
            assert_eq!(*session.access_token().unwrap_err().kind(), ErrorKind::Redirect { status: 302 });
            assert!(trap.untouched());
        }
    }
}

#[test]
fn c_19_a_challenge_is_read_to_its_end_and_its_connection_used_again() {
    for transport in transports() {
        for challenge in [body_challenge("n-1"), header_challenge("n-1")] {
            let peer = Peer::scripted([challenge, granted(TOKEN)]);
            let token = grant(&peer.url("/token"), &transport).unwrap();
            assert_eq!((token.access_token(), token.requests()), (TOKEN, 2));
            let seen = peer.seen();
            assert_eq!([seen[0].proof().nonce(), seen[1].proof().nonce()], [None, Some("n-1")]);
            assert!(all_distinct(&jtis(&peer)));
            assert_eq!(peer.connections(), 1, "the refusal was read to its end");
        }
        // Other OAuth errors stay readable as well.
        let peer = Peer::scripted([http(401, &[JSON], r#"{"error":"invalid_client"}"#)]);
        let error = grant(&peer.url("/token"), &transport).unwrap_err();
        assert_eq!(code(&error), Some("invalid_client"));
    }
}
