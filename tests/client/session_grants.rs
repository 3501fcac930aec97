//! Sessions from every grant, and refresh tokens that the server replaces.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use possession::testing::{Endpoint, ManualClock, Nonces, Quirk, TestServer};
use possession::*;

use crate::common::server::{always, calls, get, once, respond, start, token_requests, with};
use crate::common::{JSON, token_json};
use crate::signed_in::{refreshes, secret, sign_in};
use crate::support::{LONG, key, nothing_twice};

const HOUR: Duration = Duration::from_secs(3600);

fn server(clock: &ManualClock) -> TestServer {
    with(|server| server.clock(clock.clone()).token_lifetime(HOUR))
}

fn session(server: &TestServer, clock: &ManualClock) -> Session {
    sign_in(server, clock, secret(server)).session()
}

#[test]
fn the_token_of_a_sign_in_is_used_until_it_expires_and_then_refreshed() {
    for public in [false, true] {
        let clock = ManualClock::new();
        let server = with(|server| {
            if public { server.public_client() } else { server }.clock(clock.clone()).token_lifetime(HOUR)
        });
        let auth = if public { ClientAuth::none() } else { secret(&server) };
        let session = sign_in(&server, &clock, auth).session();
        server.clear_received();
        assert_eq!(get(&session, &server), 200);
        assert_eq!(get(&session, &server), 200);
        assert_eq!(token_requests(&server).len(), 0);
        for refreshed in 1..=3 {
            clock.advance(HOUR);
            assert_eq!(get(&session, &server), 200);
            // Each refresh token was used once, and the next one is another.
            let mut sent = refreshes(&server);
            assert_eq!(sent.len(), refreshed);
            sent.dedup();
            assert_eq!(sent.len(), refreshed);
        }
        let stats = session.stats();
        assert_eq!((stats.tokens, stats.renewals), (3, 3));
        nothing_twice(&server);
    }
}

#[test]
fn a_refresh_token_alone_starts_a_session() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let signed_in = sign_in(&server, &clock, secret(&server));
    let grant = Grant::refresh_token(signed_in.tokens.refresh_token().unwrap());
    let session = signed_in.builder(grant).server(signed_in.metadata).unwrap();
    assert_eq!(get(&session, &server), 200);
    assert_eq!(session.access_token().unwrap().jkt(), Some(session.prover().thumbprint()));
}

/// The time that has passed since the sign-in counts.
#[test]
fn the_lifetime_of_a_token_counts_from_its_response() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let signed_in = sign_in(&server, &clock, secret(&server));
    clock.advance(HOUR);
    let session = signed_in.session();
    server.clear_received();
    assert_eq!(get(&session, &server), 200);
    assert_eq!((refreshes(&server).len(), calls(&server).len()), (1, 2), "one challenge, no refused token");
}

#[test]
fn a_token_that_a_resource_refuses_is_refreshed_once() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let session = session(&server, &clock);
    assert_eq!(get(&session, &server), 200);
    server.revoke_tokens();
    server.clear_received();
    assert_eq!(get(&session, &server), 200);
    assert_eq!(refreshes(&server).len(), 1);
}

/// RFC 9700 §4.14.2: a server takes the second use of a refresh token for theft.
#[test]
fn threads_and_derived_sessions_use_each_refresh_token_once() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let session = session(&server, &clock);
    for _ in 0..5 {
        clock.advance(HOUR);
        // Each derived session has a token of its own, and all have one refresh token.
        let sessions: Vec<_> = ["read", "write", "read write", "x"]
            .iter()
            .map(|scope| session.with_parameters(Parameters::new().scope(*scope)).unwrap())
            .collect();
        let barrier = Barrier::new(sessions.len() * 4);
        std::thread::scope(|scope| {
            for session in sessions.iter().flat_map(|session| [session; 4]) {
                scope.spawn(|| {
                    barrier.wait();
                    assert!(session.access_token().is_ok());
                });
            }
        });
    }
    let mut sent = refreshes(&server);
    assert_eq!(sent.len(), 20);
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), 20, "a refresh token was used twice");
}

#[test]
fn a_refused_refresh_token_ends_the_session_and_is_not_sent_again() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let session = session(&server, &clock);
    server.revoke_refresh_tokens();
    clock.advance(HOUR);
    let error = session.access_token().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::SessionEnded);
    assert!(error.to_string().contains("sign in again"), "{error}");
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<Error>().unwrap();
    assert_eq!(source.oauth().unwrap().error(), "invalid_grant");
    let sent = token_requests(&server).len();
    for _ in 0..3 {
        clock.advance(HOUR);
        assert_eq!(*session.get(&server.resource("/")).unwrap_err().kind(), ErrorKind::SessionEnded);
    }
    assert_eq!(token_requests(&server).len(), sent);
}

/// While the access token is valid, a refused renewal does no harm.
#[test]
fn a_valid_access_token_is_used_after_its_refresh_token_was_refused() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let session = session(&server, &clock);
    server.revoke_refresh_tokens();
    clock.advance(HOUR - Duration::from_secs(30));
    server.clear_received();
    assert!(session.access_token().is_ok());
    assert!(!token_requests(&server).is_empty() && refreshes(&server).is_empty(), "it was refused");
    clock.advance(Duration::from_secs(60));
    assert_eq!(*session.access_token().unwrap_err().kind(), ErrorKind::SessionEnded);
}

/// The server may have replaced the refresh token: the same call does not send it again. A later one tries it
/// once, and then says so.
#[test]
fn a_lost_response_is_not_followed_by_a_second_request_in_the_same_call() {
    for (quirk, replaced) in [
        (Quirk::LoseTokenResponse, true),
        (Quirk::CloseWithoutResponse, true),
        (Quirk::CloseMidway, true),
        (respond(504, &[], ""), false),
        (Quirk::Bearer, true),
    ] {
        let clock = ManualClock::new();
        let server = with(|server| server.clock(clock.clone()).token_lifetime(HOUR).nonces(Nonces::Off));
        let session = session(&server, &clock);
        clock.advance(HOUR);
        server.clear_received();
        once(&server, Endpoint::Token, quirk.clone());
        let error = session.access_token().unwrap_err();
        assert_ne!(*error.kind(), ErrorKind::SessionEnded, "{quirk:?} {error}");
        assert_eq!(token_requests(&server).len(), 1, "{quirk:?}");
        clock.advance(HOUR);
        match session.access_token() {
            Ok(_) => assert!(!replaced, "{quirk:?}"),
            Err(error) => {
                assert!(replaced && *error.kind() == ErrorKind::SessionEnded, "{quirk:?} {error}");
                assert!(error.to_string().contains("that was lost"), "{error}");
            }
        }
    }
}

/// With 503 and 429 the server says that it has not acted.
#[test]
fn an_overloaded_server_is_asked_again_for_a_refresh() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let session = session(&server, &clock);
    clock.advance(HOUR);
    once(&server, Endpoint::Token, respond(503, &[("retry-after", "1")], ""));
    assert_eq!(get(&session, &server), 200);
    assert_eq!(session.stats().tokens, 1);
}

/// RFC 6749 §6: the server may keep the refresh token.
#[test]
fn a_refresh_token_that_is_not_replaced_is_used_again() {
    for sent in [true, false] {
        let clock = ManualClock::new();
        let server = server(&clock);
        always(&server, Endpoint::Token, Quirk::KeepRefreshToken { sent });
        let session = session(&server, &clock);
        server.clear_received();
        for _ in 0..3 {
            clock.advance(HOUR);
            assert_eq!(get(&session, &server), 200);
        }
        let mut sent = refreshes(&server);
        assert_eq!(sent.len(), 3);
        sent.dedup();
        assert_eq!(sent.len(), 1);
    }
}

#[test]
fn tokens_without_a_refresh_token_end_with_the_access_token() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let signed_in = sign_in(&server, &clock, secret(&server));
    let options = RequestOptions::new().prover(&signed_in.prover);
    let (client, auth) = (&signed_in.client, &signed_in.auth);
    let body = token_json("t", "");
    let tokens = {
        let mut request =
            TokenRequest::client_credentials(&signed_in.metadata, client, auth, Parameters::new(), &options)
                .unwrap();
        request.request(clock.now()).unwrap();
        let response = http::Response::builder().header(JSON.0, JSON.1).body(body.into_bytes()).unwrap();
        let Step::Done(response) = request.receive(response, clock.now()).unwrap() else { panic!() };
        process_client_credentials_response(&signed_in.metadata, client, response).unwrap()
    };
    let session = signed_in.builder(Grant::tokens(tokens)).server(signed_in.metadata.clone()).unwrap();
    assert_eq!(session.access_token().unwrap().access_token(), "t");
    session.discard_token();
    let error = session.access_token().unwrap_err();
    assert!(*error.kind() == ErrorKind::SessionEnded && error.to_string().contains("no refresh token"));
}

#[test]
fn tokens_for_another_key_are_refused() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let signed_in = sign_in(&server, &clock, secret(&server));
    let other = Prover::new(key(Algorithm::Es256)).unwrap();
    let builder = signed_in.builder(Grant::client_credentials());
    let refused = builder.grant(Grant::tokens(signed_in.tokens)).prover(&other).server(signed_in.metadata);
    assert_eq!(*refused.unwrap_err().kind(), ErrorKind::Parameter);
    let signed_in = sign_in(&server, &clock, secret(&server));
    let builder = Session::builder(server.issuer(), "c").grant(Grant::tokens(signed_in.tokens));
    let error = builder.server(signed_in.metadata).unwrap_err();
    assert!(error.to_string().contains("SessionBuilder::key"), "{error}");
}

/// RFC 9449 §5: the refresh token of a public client is bound to the key; that of a confidential one is not.
#[test]
fn the_key_of_a_public_client_with_a_refresh_token_is_not_replaced() {
    let clock = ManualClock::new();
    let server = with(|server| server.public_client().clock(clock.clone()));
    let public = sign_in(&server, &clock, ClientAuth::none()).session();
    server.clear_received();
    assert_eq!(*public.rotate_key(key(Algorithm::Es256)).unwrap_err().kind(), ErrorKind::Parameter);
    assert_eq!((token_requests(&server).len(), get(&public, &server)), (0, 200));
    let server = with(|server| server.clock(clock.clone()));
    let confidential = session(&server, &clock);
    assert!(confidential.rotate_key(key(Algorithm::Es256)).is_ok());
    assert_eq!(get(&confidential, &server), 200);
}

#[test]
fn the_end_of_a_session_revokes_its_tokens() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let session = session(&server, &clock);
    let clone = session.with_parameters(Parameters::new().scope("read")).unwrap();
    assert!(clone.access_token().is_ok());
    assert!(session.end().is_ok());
    let hints: Vec<_> = server
        .received_at(Endpoint::Revocation)
        .iter()
        .map(|received| {
            assert!(received.proof().is_none(), "RFC 9449 defines no proof here");
            let form = form_urlencoded::parse(&received.body).into_owned();
            form.collect::<std::collections::HashMap<_, _>>()["token_type_hint"].clone()
        })
        .collect();
    assert_eq!(hints, ["refresh_token", "access_token", "access_token"]);
    server.clear_received();
    for session in [&session, &clone] {
        assert_eq!(*session.access_token().unwrap_err().kind(), ErrorKind::SessionEnded);
        assert_eq!(*session.get(&server.resource("/")).unwrap_err().kind(), ErrorKind::SessionEnded);
    }
    assert!(session.end().is_ok(), "there is nothing left");
    assert!(server.received().is_empty());
}

/// As atproto needs it.
#[test]
fn the_end_of_a_session_has_proofs_where_the_caller_says_so() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let signed_in = sign_in(&server, &clock, secret(&server));
    let builder = signed_in.builder(Grant::client_credentials()).prove_revocation();
    let session = builder.grant(Grant::tokens(signed_in.tokens)).server(signed_in.metadata).unwrap();
    assert!(session.end().is_ok());
    let revoked = server.received_at(Endpoint::Revocation);
    assert_eq!(revoked.len(), 2);
    for received in revoked {
        assert_eq!(received.proof().unwrap().claims["htm"], "POST");
    }
}

#[test]
fn a_failed_revocation_is_reported_and_the_session_has_ended() {
    let clock = ManualClock::new();
    let server = server(&clock);
    let session = session(&server, &clock);
    once(&server, Endpoint::Revocation, respond(503, &[], ""));
    assert_eq!(*session.end().unwrap_err().kind(), ErrorKind::Status { status: 503 });
    assert_eq!(
        server.received_at(Endpoint::Revocation).len(),
        2,
        "the access token was revoked nevertheless"
    );
    assert_eq!(*session.access_token().unwrap_err().kind(), ErrorKind::SessionEnded);
    // A server without the endpoint.
    let plain = crate::support::session(&start());
    assert!(plain.end().is_ok());
}

/// RFC 8693 and RFC 7523 §2.1, at a token endpoint that shows what it received.
#[test]
fn suppliers_are_asked_for_each_attempt() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()));
    let counter = || Arc::new(AtomicU32::new(0));
    let (exchanges, assertions) = (counter(), counter());
    let next = |counter: &Arc<AtomicU32>| {
        let counter = Arc::clone(counter);
        move || counter.fetch_add(1, Ordering::Relaxed) + 1
    };
    let (exchange, assertion) = (next(&exchanges), next(&assertions));
    let grants = [
        Grant::token_exchange(move || {
            Ok(TokenExchange::new(format!("subject-{}", exchange()), TokenExchange::ACCESS_TOKEN))
        }),
        Grant::jwt_bearer(move || Ok(format!("assertion-{}", assertion()))),
    ];
    for (grant, name) in grants.into_iter().zip(["subject_token", "assertion"]) {
        let builder = server.session().clock(clock.clone()).grant(grant).scope("read");
        let session = builder.discover().unwrap();
        server.clear_received();
        let body = r#"{"access_token":"t","token_type":"DPoP",
            "issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}"#;
        once(&server, Endpoint::Token, respond(503, &[("retry-after", "1")], ""));
        once(&server, Endpoint::Token, respond(200, &[JSON], body));
        assert_eq!(session.access_token().unwrap().access_token(), "t");
        let sent: Vec<String> = token_requests(&server)
            .iter()
            .map(|received| {
                let form: Vec<(String, String)> =
                    form_urlencoded::parse(&received.body).into_owned().collect();
                form.into_iter().find(|(field, _)| field == name).unwrap().1
            })
            .collect();
        assert!(sent.len() == 2 && sent[0] != sent[1], "{sent:?}");
    }
}

#[test]
fn a_supplier_that_fails_says_nothing_about_the_server() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()));
    let grant = Grant::jwt_bearer(|| Err("nobody has signed in".into()));
    let session = server.session().clock(clock.clone()).grant(grant).discover().unwrap();
    let error = session.access_token().unwrap_err();
    assert!(*error.kind() == ErrorKind::Callback && error.to_string().contains("nobody has signed in"));
    assert!(token_requests(&server).is_empty());
    let shown = format!("{:?}{:?}", Grant::refresh_token("secret"), Grant::jwt_bearer(|| Ok(String::new())));
    assert_eq!(shown, "Grant(refresh_token)Grant(jwt_bearer)");
}

/// With 425, 429 and 503 a server says that it has not acted. Any other failure may be that of a gateway
/// whose server has replaced the refresh token: Cloudflare's 524, for example.
#[test]
fn a_refresh_token_is_sent_once_whatever_failure_comes_back() {
    for status in (500..600).chain([408, 425, 429]) {
        let clock = ManualClock::new();
        let server = with(|server| server.clock(clock.clone()).token_lifetime(HOUR).nonces(Nonces::Off));
        let session = session(&server, &clock);
        clock.advance(HOUR);
        server.clear_received();
        once(&server, Endpoint::Token, respond(status, &[], ""));
        let result = session.access_token();
        let (expected, sent) = match status {
            425 | 429 | 503 => (true, 2),
            _ => (false, 1),
        };
        assert_eq!((result.is_ok(), token_requests(&server).len()), (expected, sent), "{status}");
    }
}

type Meanwhile = Box<dyn FnOnce() + Send>;

/// An HTTP client that runs something while a token request is on its way.
struct Interrupted {
    transport: Transport,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

impl HttpClient for Interrupted {
    fn send(&self, request: http::Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error> {
        let is_token_request = request.uri().path() == "/token";
        let response = self.transport.send(request)?;
        if is_token_request && let Some(meanwhile) = self.meanwhile.lock().unwrap().take() {
            meanwhile();
        }
        Ok(response)
    }
}

#[test]
fn the_refresh_token_that_arrives_while_the_session_ends_is_revoked_as_well() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).token_lifetime(HOUR).nonces(Nonces::Off));
    let signed_in = sign_in(&server, &clock, secret(&server));
    let first = signed_in.tokens.refresh_token().unwrap().to_owned();
    let meanwhile = Arc::new(Mutex::new(None));
    let transport = Transport::builder().timeout(LONG).build();
    let http = Interrupted { transport, meanwhile: Arc::clone(&meanwhile) };
    let builder = signed_in.builder(Grant::client_credentials()).http(http);
    let session = builder.grant(Grant::tokens(signed_in.tokens)).server(signed_in.metadata).unwrap();
    clock.advance(HOUR);
    let (ending, ended) = std::sync::mpsc::channel();
    let clone = session.clone();
    *meanwhile.lock().unwrap() = Some(Box::new(move || {
        let another = clone.clone();
        std::thread::spawn(move || ending.send(another.end()).unwrap());
        let probe = clone.with_deadline(Duration::ZERO);
        while *probe.access_token().unwrap_err().kind() != ErrorKind::SessionEnded {}
    }) as Meanwhile);
    let error = session.access_token().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::SessionEnded);
    assert!(ended.recv().unwrap().is_ok());
    let revoked: Vec<String> = server
        .received_at(Endpoint::Revocation)
        .iter()
        .map(|received| received.form_field("token").unwrap())
        .collect();
    assert!(revoked.len() == 1 && revoked[0] != first, "the new one, and not {first}");
}
