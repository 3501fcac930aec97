//! Proofs that a server refuses, and the one retry for a nonce (row Q-36).

use possession::testing::{Endpoint, Nonces, When};
use possession::*;

use crate::common::server::{always, calls, get, nonces, once, respond, with};
use crate::common::{JSON, Peer, http};
use crate::peer::{session as peer_session, token_server};
use crate::support::{BOTH, nothing_twice, session, some};

/// The nonce may be the reason for `invalid_dpop_proof`: many servers have no other code for a stale one. At
/// both endpoints, and once.
#[test]
fn a_refused_proof_is_retried_once_with_the_new_nonce_of_the_refusal() {
    let refusal = |status: u16, nonce: &str, form: &str| match form {
        "header" => {
            let field = ("www-authenticate", r#"DPoP error="invalid_dpop_proof", algs="ES256 EdDSA""#);
            respond(status, &[field, ("dpop-nonce", nonce)], "")
        }
        _ => respond(status, &[JSON, ("dpop-nonce", nonce)], r#"{"error":"invalid_dpop_proof"}"#),
    };
    for (at, form) in BOTH.into_iter().flat_map(|at| [(at, "header"), (at, "body")]) {
        for status in [400, 401] {
            let server = with(|server| server.nonces(Nonces::Off));
            let session = session(&server);
            once(&server, at, refusal(status, "n-1", form));
            assert_eq!(get(&session, &server), 200, "{at:?} {form} {status}");
            assert_eq!(nonces(&server.received_at(at)), some(&[None, Some("n-1")]), "{at:?} {form}");
            assert_eq!(server.counts().tokens, 1);
            // A nonce that was just sent is no reason to try again.
            server.clear_received();
            session.discard_token();
            always(&server, at, refusal(status, "n-1", form));
            let outcome = session.get(&server.resource("/")).map(|response| response.status().as_u16());
            assert_eq!(server.received_at(at).len(), 1, "{at:?} {form} {outcome:?}");
            // Another one is, once.
            let nonce = |n: u32| refusal(status, &format!("m-{n}"), form);
            server.behave();
            server.clear_received();
            session.discard_token();
            server.misbehave(at, When::Next(1), nonce(1));
            server.misbehave(at, When::Every(2), nonce(2));
            let outcome = session.get(&server.resource("/")).map(|response| response.status().as_u16());
            assert!(outcome.is_err() || outcome == Ok(status), "{outcome:?}");
            assert_eq!(nonces(&server.received_at(at)), some(&[Some("n-1"), Some("m-1")]), "{at:?} {form}");
            nothing_twice(&server);
        }
    }
}

/// Whatever the refusals say, a request is retried once for a nonce.
#[test]
fn every_kind_of_refusal_shares_the_one_retry_for_a_nonce() {
    let tokens = token_server("");
    let kinds = [
        "DPoP error=use_dpop_nonce",
        "DPoP error=invalid_dpop_proof",
        "DPoP error=use_dpop_nonce algs=PS256",
    ];
    for (first, second) in kinds.iter().flat_map(|first| kinds.map(|second| (*first, second))) {
        let refusal = |field, nonce| http(401, &[("www-authenticate", field), ("dpop-nonce", nonce)], "");
        let peer = Peer::scripted([refusal(first, "n-1"), refusal(second, "n-2")]);
        let outcome = peer_session(&tokens).get(&peer.url("/"));
        match first.contains("algs") || second.contains("algs") {
            true => assert_eq!(*outcome.unwrap_err().kind(), ErrorKind::Algorithm, "{first} {second}"),
            false => assert_eq!(outcome.unwrap().status(), 401, "{first} {second}"),
        }
        assert_eq!(peer.seen().len(), 2, "{first} {second}");
    }
}

/// Some servers list algorithms that are not the ones they accept. The nonce is tried once, and if that is
/// refused, both facts are in the error.
#[test]
fn q_36_a_nonce_is_tried_once_although_the_algs_of_the_challenge_do_not_list_the_key_s() {
    let challenge = |code: &str, nonce: Option<&str>| {
        let field = format!(r#"DPoP error="{code}", algs="PS256 ES384""#);
        let nonce = nonce.map(|nonce| ("dpop-nonce", nonce));
        respond(401, &[&[("www-authenticate", &*field)][..], nonce.as_slice()].concat(), "")
    };
    for code in ["use_dpop_nonce", "invalid_dpop_proof"] {
        let server = with(|server| server.nonces(Nonces::Off));
        let session = session(&server);
        session.access_token().unwrap();
        let resource = server.resource("/");
        let refused = || {
            server.clear_received();
            let error = session.get(&resource).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Algorithm, "{code} {error}");
            let text = error.to_string();
            assert!(text.contains(&resource) && text.contains("PS256 ES384"), "{text}");
            assert!(text.contains("ES256") && text.contains("use another key"), "{text}");
            (text, calls(&server).len())
        };
        once(&server, Endpoint::Resource, challenge(code, Some("n-1")));
        assert_eq!(get(&session, &server), 200, "{code}");
        assert_eq!(nonces(&calls(&server)), some(&[None, Some("n-1")]), "{code}");
        // The nonce is refused as well, with the list and without it.
        once(&server, Endpoint::Resource, challenge(code, Some("n-2")));
        server.misbehave(Endpoint::Resource, When::Every(2), challenge(code, Some("n-3")));
        let (text, sent) = refused();
        assert!(sent == 2 && text.contains("refused the proof with its nonce as well"), "{text}");
        server.behave();
        once(&server, Endpoint::Resource, challenge(code, Some("n-4")));
        let bare = [("www-authenticate", "DPoP error=\"invalid_dpop_proof\"")];
        server.misbehave(Endpoint::Resource, When::Every(2), respond(401, &bare, ""));
        let (text, sent) = refused();
        assert!(sent == 2 && text.contains("refused the proof with its nonce as well"), "{text}");
        // Without a new nonce there is nothing to try.
        server.behave();
        for nonce in [None, Some("n-4")] {
            always(&server, Endpoint::Resource, challenge(code, nonce));
            let (text, sent) = refused();
            assert_eq!((sent, text.contains("sent no new one")), (1, code == "use_dpop_nonce"), "{text}");
        }
    }
}
