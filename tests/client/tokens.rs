//! Which token a call is made with (row C-73).

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;

use http::{HeaderMap, Request, StatusCode};
use possession::testing::{ManualClock, TestServer};
use possession::*;

use crate::common::server::{SECOND, calls, get, start, with};
use crate::common::{ATH, JSON, Peer, TOKEN, http};
use crate::other_clients::drive;
use crate::peer::{all_distinct, granted, jtis, session as peer_session, token_server};
use crate::support::{code, default_session, echoed, jkt_of, key, nothing_twice, token_of};

#[test]
fn a_token_is_used_until_it_expires() {
    // Without a lifetime or with a long one, one token is used. With a lifetime of zero, each call gets its
    // own.
    for (more, kept) in [
        ("", true),
        (r#","expires_in":3600"#, true),
        (r#","expires_in":"3600""#, true),
        (r#","expires_in":18446744073709551615"#, true),
        (r#","expires_in":1e300"#, true),
        (r#","expires_in":0"#, false),
        (r#","expires_in":0.9"#, false),
    ] {
        let (tokens, peer) = (token_server(more), Peer::scripted([http(200, &[], "ok")]));
        let session = peer_session(&tokens);
        assert_eq!(tokens.connections(), 0, "a token is fetched when it is needed");
        for _ in 0..3 {
            assert_eq!(session.clone().get(&peer.url("/")).unwrap().status(), 200, "{more}");
        }
        let used: Vec<_> =
            peer.seen().iter().map(|seen| seen.header_values("authorization")[0].to_owned()).collect();
        let expected =
            if kept { ["DPoP token-0"; 3] } else { ["DPoP token-0", "DPoP token-1", "DPoP token-2"] };
        assert_eq!(used, expected, "{more}");
        assert_eq!(tokens.seen().len(), if kept { 1 } else { 3 });
        assert!(all_distinct(&jtis(&tokens)) && all_distinct(&jtis(&peer)));
        if kept {
            assert_eq!(session.access_token().unwrap().access_token(), "token-0");
        }
    }
    // The hash in the proof is that of the token beside it (RFC 9449, Figures 13 and 14).
    let (tokens, peer) = (Peer::scripted([granted(TOKEN)]), Peer::scripted([http(200, &[], "")]));
    peer_session(&tokens).get(&peer.url("/")).unwrap();
    assert_eq!(
        (peer.seen()[0].header_values("authorization"), &*peer.seen()[0].proof().text("ath")),
        (vec![&*format!("DPoP {TOKEN}")], ATH)
    );
}

#[test]
fn a_failed_token_request_is_the_error_of_the_calls_until_it_is_tried_again() {
    let refused = http(400, &[JSON], r#"{"error":"invalid_scope"}"#);
    let (tokens, peer) = (Peer::scripted([refused, granted("a")]), Peer::scripted([http(200, &[], "")]));
    let session = peer_session(&tokens);
    let error = session.get(&peer.url("/")).unwrap_err();
    assert_eq!(code(&error), Some("invalid_scope"));
    let error = session.get(&peer.url("/")).unwrap_err();
    assert_eq!((code(&error), tokens.seen().len()), (Some("invalid_scope"), 1), "too early");
    assert_eq!(peer.connections(), 0);
    session.discard_token();
    assert_eq!(session.get(&peer.url("/")).unwrap().status(), 200);
}

/// One token for each issuer, client, scope, resource, parameter and key.
#[test]
fn c_73_a_token_is_used_only_for_the_parameters_it_was_requested_with() {
    let server = start();
    let base = default_session(&server);
    let p = Parameters::new;
    // The last four would be equal if names and values were merely concatenated.
    let asked = [
        p(),
        p().scope("a"),
        p().scope("b"),
        p().scope("a b"),
        p().resource("https://one.example"),
        p().resource("https://two.example"),
        p().resource("https://one.example").resource("https://two.example"),
        p().scope("a").resource("https://one.example"),
        p().parameter("ab", "c"),
        p().parameter("a", "bc"),
        p().parameter("a", "b").parameter("c", "d"),
        p().parameter("a", "b&c=d"),
    ];
    let derived = asked.each_ref().map(|parameters| base.with_parameters(parameters.clone()).unwrap());
    let scopes =
        [None, Some("a"), Some("b"), Some("a b"), None, None, None, Some("a"), None, None, None, None];
    let mut tokens_of_keys = Vec::new();
    for round in 0..3 {
        let jkt = base.prover().thumbprint().to_string();
        server.clear_received();
        let mut tokens = HashSet::new();
        for (one, scope) in derived.iter().zip(scopes) {
            // Twice by the same derived session, and below once more by a new one.
            for _ in 0..2 {
                let echo = echoed(one, &server);
                assert_eq!((&echo["scope"], &echo["jkt"]), (&scope.into(), &jkt.clone().into()), "{round}");
            }
            tokens.insert(one.access_token().unwrap().access_token().to_owned());
        }
        for (parameters, one) in asked.iter().zip(&derived) {
            let again = base.with_parameters(parameters.clone()).unwrap();
            assert_eq!(
                again.access_token().unwrap().access_token(),
                one.access_token().unwrap().access_token()
            );
        }
        assert_eq!(tokens.len(), asked.len());
        // On the wire each token was sent with a proof by that key.
        let sent: HashSet<_> = calls(&server).iter().map(|call| (token_of(call), jkt_of(call))).collect();
        assert_eq!(sent, tokens.iter().map(|token| (token.clone(), jkt.clone())).collect());
        for old in &tokens_of_keys {
            assert!(tokens.is_disjoint(old), "a token of another key");
        }
        tokens_of_keys.push(tokens);
        // A key that the server refuses changes nothing. An accepted one is used by all derived sessions.
        let revoked = key(Algorithm::Es256);
        server.revoke_key(&revoked.to_public().thumbprint());
        base.rotate_key(revoked).unwrap_err();
        assert_eq!(base.prover().thumbprint().to_string(), jkt);
        assert_eq!(echoed(&derived[1], &server)["jkt"], jkt);
        derived[round].rotate_key(key(Algorithm::Ed25519)).unwrap();
    }
    // A key that is used again does not bring its old tokens back: they may have leaked, which may be why it
    // changed.
    let back = Arc::new(key(Algorithm::Es256));
    let mut tokens = HashSet::new();
    for _ in 0..2 {
        base.rotate_key(Arc::clone(&back)).unwrap();
        for one in &derived {
            assert!(tokens.insert(one.access_token().unwrap().access_token().to_owned()));
        }
        base.rotate_key(key(Algorithm::Es256)).unwrap();
    }
    nothing_twice(&server);
}

/// Two issuers, and two clients of one server, that share a key and its state.
#[test]
fn c_73_no_session_uses_the_token_of_another_issuer_or_client() {
    let prover = Prover::new(key(Algorithm::Ed25519)).unwrap();
    let [one, two] = ["one", "two"].map(|id| with(|server| server.client(id, "a secret of both clients")));
    let session = |server: &TestServer, id: &str| {
        let auth = ClientAuth::client_secret_basic("a secret of both clients");
        let builder = Session::builder(server.issuer(), id).auth(auth).prover(&prover);
        builder.dangerous_allow_http_on_loopback().discover().unwrap()
    };
    let [first, second, stranger] = [session(&one, "one"), session(&two, "two"), session(&one, "two")];
    let tokens = [&first, &second].map(|session| session.access_token().unwrap().access_token().to_owned());
    assert_ne!(tokens[0], tokens[1]);
    // This client is registered at the other server only. The token for its key belongs to another client.
    for _ in 0..2 {
        let error = stranger.get(&one.resource("/")).unwrap_err();
        assert_eq!(code(&error), Some("invalid_client"));
    }
    assert_eq!((get(&first, &one), get(&second, &two)), (200, 200));
    for (server, token) in [&one, &two].into_iter().zip(&tokens) {
        assert!(calls(server).iter().all(|call| token_of(call) == *token));
    }
    // A request that one session authorized for another HTTP client gets the token of the session that
    // authorizes it next, and no session processes the response to a request of another.
    let derived = first.with_parameters(Parameters::new().scope("other")).unwrap();
    let challenge = [("www-authenticate", "DPoP error=\"use_dpop_nonce\"")];
    for (i, other) in [&second, &derived].into_iter().enumerate() {
        let own = other.access_token().unwrap();
        let (mut parts, ()) = Request::get(one.resource("/")).body(()).unwrap().into_parts();
        let sent_with =
            |parts: &http::request::Parts| parts.headers["authorization"].to_str().unwrap().to_owned();
        first.authorize(&mut parts).unwrap();
        assert_eq!(sent_with(&parts), format!("DPoP {}", tokens[0]));
        let nonce = format!("nonce-{i}");
        let headers = challenge.into_iter().chain([("dpop-nonce", &*nonce)]);
        let headers: HeaderMap =
            headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let mut stray = parts.clone();
        assert!(
            other.receive(&mut stray, StatusCode::UNAUTHORIZED, &headers, None).unwrap()
                == possession::Step::Done(())
        );
        assert!(
            first.receive(&mut parts, StatusCode::UNAUTHORIZED, &headers, None).unwrap()
                == possession::Step::Retry
        );
        other.authorize(&mut parts).unwrap();
        assert_eq!(sent_with(&parts), format!("DPoP {}", own.access_token()));
    }
}

fn head(url: &str) -> http::request::Parts {
    Request::get(url).body(()).unwrap().into_parts().0
}

/// A request head is authorized again only with a token of the session that does it, and with one that it
/// still has.
#[test]
fn c_73_a_request_head_never_carries_the_token_of_another_session_or_a_discarded_one() {
    let clock = ManualClock::new();
    let (server, elsewhere) = (with(|server| server.clock(clock.clone())), start());
    let one = server.session().clock(clock.clone()).discover().unwrap();
    let token_in = |parts: &http::request::Parts| parts.headers["authorization"].to_str().unwrap().to_owned();
    let mut parts = head(&server.resource("/"));
    one.authorize(&mut parts).unwrap();
    let first = token_in(&parts);
    // Another session, one that may not call that origin, a derived session with another scope.
    let mut other = parts.clone();
    server.session().clock(clock.clone()).discover().unwrap().authorize(&mut other).unwrap();
    assert_ne!(token_in(&other), first);
    let mut other = parts.clone();
    let strict = elsewhere.session().resource_origins([elsewhere.resource_origin()]).discover().unwrap();
    assert_eq!(*strict.authorize(&mut other).unwrap_err().kind(), ErrorKind::Url);
    assert!(
        !other.headers.contains_key("authorization") && !other.headers.contains_key("dpop"),
        "nothing is left to be sent"
    );
    let mut other = parts.clone();
    one.with_parameters(Parameters::new().scope("other")).unwrap().authorize(&mut other).unwrap();
    assert_ne!(token_in(&other), first);
    // A response to the head of another session discards no token.
    let refusal = http::HeaderMap::from_iter([(
        http::header::WWW_AUTHENTICATE,
        "DPoP error=invalid_token".parse().unwrap(),
    )]);
    let stranger = default_session(&elsewhere);
    assert!(
        stranger.receive(&mut parts.clone(), StatusCode::UNAUTHORIZED, &refusal, None).unwrap()
            == possession::Step::Done(())
    );
    // A token that was discarded, that expired, that belongs to an old key.
    one.discard_token();
    one.authorize(&mut parts).unwrap();
    let second = token_in(&parts);
    assert_ne!(second, first);
    clock.advance(7_200 * SECOND);
    one.authorize(&mut parts).unwrap();
    assert_ne!(token_in(&parts), second);
    one.rotate_key(key(Algorithm::Ed25519)).unwrap();
    one.authorize(&mut parts).unwrap();
    let proof = parts.headers["dpop"].to_str().unwrap();
    assert!(proof.starts_with("eyJ") && one.prover().public_key().to_jwk().contains("Ed25519"));
    assert_eq!(drive(&one, Request::from_parts(parts, ())).0.status(), 200);
    // A `Host` of the caller would make the server see another origin.
    let mut evil = head(&server.resource("/"));
    evil.headers.insert("host", "evil.example".parse().unwrap());
    assert_eq!(*one.authorize(&mut evil).unwrap_err().kind(), ErrorKind::Parameter);
}

#[test]
fn c_73_a_key_is_rotated_without_a_failed_call() {
    let server = start();
    let session = default_session(&server);
    session.get(&server.resource("/")).unwrap();
    let old = session.prover().thumbprint();
    let new = key(Algorithm::Ed25519);
    let thumbprint = new.to_public().thumbprint();
    thread::scope(|scope| {
        // Calls continue while the key changes.
        let calling = scope.spawn(|| {
            (0..50).map(|_| session.get(&server.resource("/")).unwrap().status()).collect::<Vec<_>>()
        });
        session.rotate_key(new).unwrap();
        assert!(calling.join().unwrap().iter().all(|status| *status == 200));
    });
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
    assert_eq!(session.prover().thumbprint(), thumbprint);
    // Each token was sent with its own key, and known nonces are kept.
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
    // Revoking the old key has no effect.
    server.revoke_key(&old);
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
}

#[test]
fn a_refused_key_changes_nothing() {
    let server = with(|server| server.dpop_algorithms(["ES256"]));
    let session = default_session(&server);
    session.get(&server.resource("/")).unwrap();
    let before = session.prover().thumbprint();
    let error = session.rotate_key(key(Algorithm::Ed25519)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Algorithm);
    let revoked = KeyPair::generate(Algorithm::Es256).unwrap();
    server.revoke_key(&revoked.to_public().thumbprint());
    let error = session.rotate_key(revoked).unwrap_err();
    assert_eq!(code(&error), Some("invalid_dpop_proof"));
    server.clear_received();
    assert_eq!(session.get(&server.resource("/")).unwrap().status(), 200);
    assert_eq!(
        (session.prover().thumbprint(), server.counts().tokens),
        (before, 0),
        "key and token as before"
    );

    // The key of client assertions is refused for proofs.
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let (jwk, public) = (key.to_jwk(), key.to_public());
    let server = with(|server| server.client_public_key(public));
    let session = server.session().auth(ClientAuth::private_key_jwt(key)).discover().unwrap();
    let error = session.rotate_key(KeyPair::from_jwk(&jwk).unwrap()).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::AuthMethod);
}

#[test]
fn c_73_derived_sessions_have_their_own_tokens_and_share_the_rest() {
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
    assert_eq!(calls(&server).iter().map(token_of).collect::<HashSet<_>>().len(), 2);
    assert_eq!(server.counts().challenges, 2, "one at each endpoint: nonces are shared");
    assert_eq!(read.stats(), write.stats());
    let error = read.with_parameters(Parameters::new().scope("a  b")).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Parameter);
    // A new key is used by all of them.
    write.rotate_key(key(Algorithm::Ed25519)).unwrap();
    assert_eq!(read.prover().thumbprint(), write.prover().thumbprint());
    assert_eq!(echoed(&read), "read");
    assert_eq!(server.counts().tokens, 4);
}
