//! The test server itself: which responses its quirks change, scripted resources, and the requests that it
//! refuses as deployed servers do.

mod authorization;
mod codes;
mod device;
mod introspection;
mod plain_client;
mod pushed_authorization;
mod refresh_tokens;
mod registration;
mod resource_metadata;
mod revocation;
mod token_exchange;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Method, Response};
use possession::testing::{ChallengeForm, Endpoint, Nonces, Quirk, TestServer, TestServerBuilder, When};
use possession::{ClientAuth, ErrorKind, HmacAlgorithm, Proof, Session};

use crate::common::server::{
    always, calls, get, member, once, once_all, respond, start, statuses, token_requests, with,
};
use crate::support::{default_session, header};

use self::plain_client::PlainClient;

fn refuse(status: u16) -> Quirk {
    Quirk::Refuse { status, retry_after: Some(0) }
}

/// The values of a header field in the responses to so many calls.
fn fields(session: &Session, server: &TestServer, name: &str, calls: usize) -> Vec<Vec<String>> {
    let call = |_| {
        let response = session.get(&server.resource("/")).unwrap();
        let values = response.headers().get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    (0..calls).map(call).collect()
}

#[test]
fn a_quirk_waits_for_a_response_that_it_changes() {
    let server = start();
    once(&server, Endpoint::Token, Quirk::Bearer);
    let session = server.session().discover().unwrap();
    let error = session.access_token().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TokenType { .. }), "{error}");
    // A nonce is asked for first. That response has no token type.
    assert_eq!(statuses(&token_requests(&server)), [400, 200]);
    assert_eq!(server.counts().quirks, 1);
    session.discard_token();
    session.access_token().unwrap();
    assert_eq!(server.counts().quirks, 1);
}

/// The quirk is set for the next response, and two calls are made. Each of these changes one of the
/// responses.
#[test]
fn a_quirk_counts_once_for_each_response_that_it_changes() {
    let cases = [
        (Endpoint::Token, member("scope", "\"x\"")),
        (Endpoint::Token, Quirk::WithoutMember("expires_in".to_owned())),
        (Endpoint::Token, Quirk::DuplicateMember { name: "x".to_owned(), json: "1".to_owned() }),
        (Endpoint::Resource, Quirk::ChallengeForm(ChallengeForm::Unquoted)),
        (Endpoint::Resource, Quirk::Challenge),
        (Endpoint::Resource, Quirk::RepeatNonce),
        (Endpoint::Resource, Quirk::WithoutHeader("content-type".to_owned())),
        (Endpoint::Token, Quirk::WithoutHeader("pragma".to_owned())),
        (Endpoint::Resource, Quirk::CloseAfterResponse),
        (Endpoint::Metadata, Quirk::ContentType("text/plain".to_owned())),
    ];
    for (at, quirk) in cases {
        let server = start();
        let about = format!("{quirk:?}");
        server.misbehave(at, When::Next(1), quirk.clone());
        let session = server.session().discover().unwrap();
        let _ = session.get(&server.resource("/"));
        let _ = session.get(&server.resource("/"));
        assert_eq!(server.counts().quirks, 1, "{about}");
    }
}

#[test]
fn a_quirk_that_changes_no_response_is_not_counted() {
    let server = with(|server| server.nonces(Nonces::EachResponse));
    let cases = [
        (Endpoint::Metadata, Quirk::Bearer),
        (Endpoint::Resource, Quirk::Bearer),
        (Endpoint::Metadata, Quirk::Challenge),
        // The forms that the server uses anyway.
        (Endpoint::Resource, Quirk::ChallengeForm(ChallengeForm::Header)),
        (Endpoint::Token, Quirk::ChallengeForm(ChallengeForm::Json)),
        // No proof is refused as invalid.
        (Endpoint::Resource, Quirk::ErrorCode("invalid_request".to_owned())),
        (Endpoint::Token, Quirk::MaxProofs(1_000)),
        (Endpoint::Resource, Quirk::HtuOrigin(server.resource_origin().to_owned())),
        (Endpoint::Resource, Quirk::DecodedHtu),
        // The client does not use an assertion, and its secret has no characters to encode.
        (Endpoint::Token, Quirk::AssertionType(None)),
        (Endpoint::Token, Quirk::AssertionAudience("x".to_owned())),
        (Endpoint::Token, Quirk::RawBasic),
        (Endpoint::Token, Quirk::WithoutMember("refresh_token".to_owned())),
        (Endpoint::Token, member("token_type", "\"DPoP\"")),
        (Endpoint::Resource, Quirk::WithoutHeader("x-none".to_owned())),
        (Endpoint::Metadata, Quirk::WithoutNonce),
        (Endpoint::Metadata, Quirk::RepeatNonce),
        (Endpoint::Metadata, Quirk::ContentType("application/json".to_owned())),
        (Endpoint::Resource, Quirk::WrongLength(0)),
        (Endpoint::Resource, Quirk::ManyFields(0)),
        (Endpoint::Resource, Quirk::InterimResponses(0)),
        (Endpoint::Resource, Quirk::All(Vec::new())),
    ];
    for when in [When::Always, When::Next(1), When::Every(1)] {
        for (at, quirk) in cases.clone() {
            server.misbehave(at, when, quirk);
        }
    }
    let session = server.session().discover().unwrap();
    for _ in 0..3 {
        assert_eq!(get(&session, &server), 200);
    }
    session.discard_token();
    assert_eq!(get(&session, &server), 200);
    assert_eq!(server.counts().quirks, 0);
}

/// What a client authenticates with, or its proof is for, decides whether these change the response.
#[test]
fn a_requirement_counts_where_it_decides() {
    let audience = || Quirk::AssertionAudience("https://other.example".to_owned());
    let secret = "a secret+of 32 bytes and some more";
    let jwt = || ClientAuth::client_secret_jwt(secret, HmacAlgorithm::Hs256);
    let cases = [
        (jwt(), audience(), 1),
        (jwt(), Quirk::AssertionLifetime(Duration::from_secs(9_999)), 0),
        (ClientAuth::client_secret_basic(secret), Quirk::RawBasic, 1),
        (ClientAuth::client_secret_basic(secret), audience(), 0),
        (ClientAuth::client_secret_post(secret), Quirk::RawBasic, 0),
    ];
    for (auth, quirk, expected) in cases {
        let about = format!("{quirk:?} {auth:?}");
        let server = with(|server| server.client("app", secret).nonces(Nonces::Off));
        once(&server, Endpoint::Token, quirk);
        let session = server.session().auth(auth).discover().unwrap();
        assert_eq!(session.access_token().is_err(), expected == 1, "{about}");
        assert_eq!(server.counts().quirks, expected, "{about}");
    }
    // Each of two lasting requirements decides, and only together they are met.
    let server = with(|server| server.nonces(Nonces::Off));
    let session = default_session(&server);
    always(&server, Endpoint::Resource, Quirk::HtuOrigin("https://public.example".to_owned()));
    always(&server, Endpoint::Resource, Quirk::DecodedHtu);
    assert_eq!(session.get(&server.resource("/a%40b")).unwrap().status(), 401);
    assert!(server.counts().quirks > 0);
}

#[test]
fn quirks_for_the_next_response_take_effect_one_after_the_other() {
    let server = start();
    let session = default_session(&server);
    assert_eq!(get(&session, &server), 200);
    for status in [501, 502, 404] {
        once(&server, Endpoint::Resource, refuse(status));
    }
    server.clear_received();
    assert_eq!([(); 4].map(|()| get(&session, &server)), [501, 502, 404, 200]);
    assert_eq!(server.counts().quirks, 3);

    // Also where they could take effect together.
    server.misbehave(Endpoint::Resource, When::Next(2), header("x-quirk", "a"));
    once(&server, Endpoint::Resource, header("x-quirk", "b"));
    always(&server, Endpoint::Resource, header("x-quirk", "always"));
    assert_eq!(
        fields(&session, &server, "x-quirk", 4),
        [vec!["a", "always"], vec!["a", "always"], vec!["b", "always"], vec!["always"]]
    );
}

/// The order in which the quirks were set counts, not that in which the server handles them.
#[test]
fn the_quirk_that_was_set_first_comes_first() {
    for first_is_bearer in [true, false] {
        let server = with(|server| server.nonces(Nonces::Off));
        let mut quirks = [Quirk::Bearer, Quirk::WithoutMember("token_type".to_owned())];
        if !first_is_bearer {
            quirks.reverse();
        }
        quirks.into_iter().for_each(|quirk| once(&server, Endpoint::Token, quirk));
        let session = server.session().discover().unwrap();
        let is_bearer = [(); 2].map(|()| {
            let error = session.access_token().unwrap_err();
            session.discard_token();
            matches!(error.kind(), ErrorKind::TokenType { .. })
        });
        assert_eq!(is_bearer, [first_is_bearer, !first_is_bearer]);
        session.access_token().unwrap();
    }
    // Every response can be a redirect, and only one of them a token.
    let server = with(|server| server.nonces(Nonces::Off));
    once(&server, Endpoint::Token, Quirk::Bearer);
    once(&server, Endpoint::Token, refuse(500));
    let session = server.session().discover().unwrap();
    let error = session.access_token().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TokenType { .. }), "{error}");
    assert_eq!(statuses(&token_requests(&server)), [200]);
    session.discard_token();
    let _ = session.access_token();
    assert_eq!(statuses(&token_requests(&server))[1], 500);
}

/// A quirk that waits for its kind of response does not hold up the others.
#[test]
fn a_quirk_that_waits_does_not_stop_the_next_one() {
    let server = start();
    let session = default_session(&server);
    assert_eq!(get(&session, &server), 200);
    once(&server, Endpoint::Resource, Quirk::ErrorCode("invalid_request".to_owned()));
    once(&server, Endpoint::Resource, refuse(404));
    assert_eq!(get(&session, &server), 404);
    once(&server, Endpoint::Resource, Quirk::RefuseProofs);
    let response = session.get(&server.resource("/")).unwrap();
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("invalid_dpop_proof"), "{challenge}");
}

#[test]
fn quirks_that_belong_together_change_one_response() {
    let server = start();
    let session = default_session(&server);
    assert_eq!(get(&session, &server), 200);
    server.clear_received();
    // Whatever their order, the second one waits for the response that the other one makes.
    for quirks in [
        [Quirk::RefuseProofs, Quirk::ErrorCode("invalid_request".to_owned())],
        [Quirk::ErrorCode("invalid_request".to_owned()), Quirk::RefuseProofs],
    ] {
        once_all(&server, Endpoint::Resource, quirks);
        let response = session.get(&server.resource("/")).unwrap();
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.contains("invalid_request"), "{challenge}");
        assert_eq!(get(&session, &server), 200);
    }
    assert_eq!(server.counts().quirks, 4);
    // The header field is for the response with the token, not for the nonce challenge before it.
    let server = start();
    once_all(&server, Endpoint::Token, [header("x-quirk", "a"), Quirk::Bearer]);
    let session = server.session().discover().unwrap();
    assert!(session.access_token().is_err());
    assert_eq!((token_requests(&server).len(), server.counts().quirks), (2, 2));
}

#[test]
fn a_response_that_is_not_sent_was_changed_by_what_prevented_it_alone() {
    let server = with(|server| server.nonces(Nonces::Off));
    let session = default_session(&server);
    session.access_token().unwrap();
    server.clear_received();
    always(&server, Endpoint::Resource, header("x-quirk", "a"));
    server.misbehave(Endpoint::Resource, When::Next(2), Quirk::CloseWithoutResponse);
    assert!(session.get(&server.resource("/")).is_err());
    let counts = server.counts();
    assert_eq!(counts.quirks, counts.resource_requests);
}

/// As many responses as were asked for, however many clients there are.
#[test]
fn threads_share_the_responses_that_a_quirk_changes() {
    let server = with(|server| server.nonces(Nonces::Off));
    let session = default_session(&server);
    session.access_token().unwrap();
    server.misbehave(Endpoint::Resource, When::Next(5), refuse(404));
    once(&server, Endpoint::Resource, refuse(410));
    let seen = [AtomicUsize::new(0), AtomicUsize::new(0)];
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..4 {
                    match get(&session, &server) {
                        404 => seen[0].fetch_add(1, Ordering::SeqCst),
                        410 => seen[1].fetch_add(1, Ordering::SeqCst),
                        status => {
                            assert_eq!(status, 200);
                            0
                        }
                    };
                }
            });
        }
    });
    assert_eq!(seen.map(AtomicUsize::into_inner), [5, 1]);
    assert_eq!(server.counts().quirks, 6);
}

#[test]
fn a_scripted_resource_responds_what_the_test_says() {
    let server = start();
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    server.on("/orders", move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        assert!(request.proof().is_some(), "only valid requests arrive");
        Response::builder()
            .status(202)
            .header("x-method", request.method.as_str())
            .body(request.body.clone())
            .unwrap()
    });
    server.on("/orders?page=2", |_| Response::new("second page"));
    let session = default_session(&server);
    let mut response = session.post(&server.resource("/orders?page=1"), "text/plain", "tea").unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["x-method"].to_str().unwrap()), (202, "POST"));
    assert_eq!(response.body_mut().read_to_string().unwrap(), "tea");
    // The request without a nonce did not come so far.
    assert_eq!((requests.load(Ordering::SeqCst), calls(&server).len()), (1, 2));
    let mut page = session.get(&server.resource("/orders?page=2")).unwrap();
    assert_eq!(page.body_mut().read_to_string().unwrap(), "second page");
    // Other paths echo, a later script replaces an earlier one, and quirks change scripted responses, too.
    assert_eq!(session.get(&server.resource("/orders/1")).unwrap().status(), 200);
    server.on("/orders", |_| Response::builder().status(404).body("gone").unwrap());
    once(&server, Endpoint::Resource, header("x-quirk", "a"));
    let response = session.get(&server.resource("/orders")).unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["x-quirk"].to_str().unwrap()), (404, "a"));
}

/// A script may itself say that the token or the nonce is refused: the client reacts as to any server.
#[test]
fn a_script_can_refuse_what_the_server_accepts() {
    let server = start();
    let first = AtomicUsize::new(0);
    server.on("/orders", move |request| match first.fetch_add(1, Ordering::SeqCst) {
        0 => {
            let challenge = r#"DPoP error="invalid_token""#;
            Response::builder().status(401).header("www-authenticate", challenge).body(String::new()).unwrap()
        }
        _ => Response::new(request.header_values("authorization").join(",")),
    });
    let session = default_session(&server);
    let mut response = session.get(&server.resource("/orders")).unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.body_mut().read_to_string().unwrap().starts_with("DPoP "));
    assert_eq!(server.counts().tokens, 2);
}

#[test]
fn a_script_that_panics_is_a_500_and_the_server_goes_on() {
    let server = start();
    server.on("/bad", |_| -> Response<String> { panic!("as the test wants it") });
    let session = default_session(&server);
    assert_eq!(session.get(&server.resource("/bad")).unwrap().status(), 500);
    assert_eq!(get(&session, &server), 200);
}

/// Sends bytes and returns the status of each response until the server closes the connection.
fn raw(server: &TestServer, request: &str) -> Vec<u16> {
    let mut stream = TcpStream::connect(server.resource_origin().trim_start_matches("http://")).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split("HTTP/1.1 ").skip(1).map(|response| response[..3].parse().unwrap()).collect()
}

/// RFC 9112 §3.2, §6.1 and §6.3, RFC 9110 §8.6: what servers must refuse, because others could read it
/// otherwise.
#[test]
fn an_ambiguous_request_is_refused_and_nothing_after_it_is_read() {
    let server = start();
    let next = "GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let host = "Host: a.example\r\n";
    let malformed = [
        ("two equal lengths", format!("{host}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc")),
        ("two lengths", format!("{host}Content-Length: 3\r\ncontent-length: 0\r\n\r\nabc")),
        ("a list of lengths", format!("{host}Content-Length: 3, 3\r\n\r\nabc")),
        ("a length with a sign", format!("{host}Content-Length: +3\r\n\r\nabc")),
        ("a negative length", format!("{host}Content-Length: -1\r\n\r\nabc")),
        ("a length in hexadecimal", format!("{host}Content-Length: 0x3\r\n\r\nabc")),
        ("an empty length", format!("{host}Content-Length: \r\n\r\nabc")),
        ("a length beyond 64 bits", format!("{host}Content-Length: 18446744073709551616\r\n\r\nabc")),
        (
            "a length and chunks",
            format!("{host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunks and a length",
            format!("{host}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        ),
        ("another coding", format!("{host}Transfer-Encoding: gzip\r\n\r\n")),
        ("chunks that are not last", format!("{host}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")),
        ("chunks twice", format!("{host}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n")),
        (
            "two fields of codings",
            format!("{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        ("two hosts", format!("{host}Host: b.example\r\n\r\n")),
        ("the same host twice", format!("{host}{host}\r\n")),
        ("no host", "\r\n".to_owned()),
        ("an empty host", "Host: \r\n\r\n".to_owned()),
        ("a host with a path", "Host: a.example/b\r\n\r\n".to_owned()),
        ("a host with user information", "Host: b@a.example\r\n\r\n".to_owned()),
        ("two hosts in one field", "Host: a.example, b.example\r\n\r\n".to_owned()),
        ("a space before the colon", format!("{host}Content-Length : 3\r\n\r\nabc")),
        ("a folded field", format!("{host}X-A: b\r\n c\r\n\r\n")),
    ];
    for (about, rest) in &malformed {
        let statuses = raw(&server, &format!("POST /orders HTTP/1.1\r\n{rest}{next}"));
        assert_eq!(statuses, [400], "{about}");
    }
    assert_eq!(raw(&server, &format!("GET /a#b HTTP/1.1\r\n{host}\r\n{next}")), [400], "a fragment");
    assert_eq!(raw(&server, &format!("GET /a HTTP/9.9\r\n{host}\r\n{next}")), [400], "another version");
    assert_eq!(raw(&server, "hello\r\n\r\n"), [400], "no HTTP at all");
    let chunked_1_0 = format!("POST /a HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(raw(&server, &format!("{chunked_1_0}{next}")), [400], "chunks in HTTP/1.0");
    // What could be read is in the log, and quirks leave it alone.
    assert!(calls(&server).iter().all(|call| call.status.unwrap() == 400 && call.target != "/next"));
    assert!(calls(&server).len() >= 20);
    always(&server, Endpoint::Resource, respond(200, &[], ""));
    assert_eq!(raw(&server, &format!("GET /a HTTP/1.1\r\n{host}{host}\r\n{next}")), [400]);
    assert_eq!(server.counts().quirks, 0);
}

/// The counterpart: none of these is refused for its form. Without a token the status is 401.
#[test]
fn unusual_but_valid_requests_are_read_to_their_end() {
    let server = start();
    let next = "GET /next HTTP/1.1\r\nHost: a.example:8080\r\n\r\n";
    for request in [
        "POST /a HTTP/1.1\r\nHOST: a.example\r\ncontent-length: 3\r\n\r\nabc",
        "POST /a HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 003\r\n\r\nabc",
        "POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "POST http://a.example/a HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost:a.example\r\nX-Empty:\r\n\r\n",
    ] {
        assert_eq!(raw(&server, &format!("{request}{next}")), [401, 401], "{request}");
    }
    // HTTP/1.0 ends the connection, and needs no host.
    assert_eq!(raw(&server, &format!("GET /a HTTP/1.0\r\n\r\n{next}")), [401]);
    // A chunk that is not where its length says ends the connection: its rest must not be read as a request.
    let broken =
        "POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n";
    assert_eq!(raw(&server, &format!("{broken}{next}")), [0; 0]);
}

/// RFC 7519 §4.1.4 has `exp`, and RFC 9449 §4.2 allows further claims.
#[test]
fn a_tolerant_server_accepts_proofs_that_some_server_refuses() {
    for (server, status) in [(start(), 400), (with(TestServerBuilder::tolerant), 200)] {
        let (client, form) = (PlainClient::confidential(&server), [("grant_type", "client_credentials")]);
        let nonce = client.post_with("/token", &form, &[client.proof("/token", None)]).nonce.unwrap();
        let exp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 300;
        let proof = Proof::new(&Method::POST, &client.url("/token")).unwrap().nonce(nonce).claim("exp", exp);
        let proof = proof.sign(&client.key, SystemTime::now()).unwrap();
        assert_eq!(client.post_with("/token", &form, &[proof]).status, status);
    }
}
