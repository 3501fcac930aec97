//! Limits on what a server may send: bodies, heads, lengths (rows C-14 … C-17).

use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use possession::testing::{Endpoint, ManualClock, Nonces, Quirk};
use possession::*;

use crate::common::server::{
    SECOND, always, calls, get, once, once_all, respond, start, token_requests, with,
};
use crate::common::{JSON, Peer, TOKEN, Then, http, token_json};
use crate::peer::{granted, pour, session as peer_session, token_server, transport};
use crate::support::{
    BOTH, LONG, NONCE_CHALLENGE, SHORT, TOKEN_BODY, builder, grant, nothing_twice, session, text,
};

#[test]
fn c_14_a_body_beyond_the_limit_is_an_error_and_is_not_requested_again() {
    const LIMIT: u64 = 1 << 20;
    for quirk in [Quirk::LargeBody(None), Quirk::LargeBody(Some(1 << 30)), Quirk::LargeBody(Some(LIMIT + 1))]
    {
        let server = start();
        let session = session(&server);
        always(&server, Endpoint::Token, quirk.clone());
        let error = session.access_token().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: LIMIT }, "{quirk:?} {error}");
        assert_eq!(token_requests(&server).len(), 1, "no retry");
        always(&server, Endpoint::Metadata, quirk.clone());
        let error = builder(&server, LONG).discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: LIMIT }, "{quirk:?} {error}");
        // The limit holds for error responses too.
        server.behave();
        always(&server, Endpoint::Token, respond(400, &[JSON], ""));
        always(&server, Endpoint::Token, quirk);
        let error = session.access_token().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: LIMIT }, "{error}");
    }
    // A limit that the caller sets.
    let server = start();
    let transport = Transport::builder().max_response_size(2_000).build();
    let session = server.session().transport(transport).discover().unwrap();
    always(&server, Endpoint::Token, Quirk::LargeBody(Some(2_001)));
    let error = session.access_token().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 2_000 }, "{error}");
}

/// By chunks, by `Content-Length` and by the end of the connection; a success and an error.
#[test]
fn c_14_reading_stops_at_the_limit_for_every_framing_of_a_body() {
    // A chunk of 64 KiB of white space, so that the body stays JSON.
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000)).into_bytes();
    let chunked =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let sized =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\n\r\n".to_vec();
    let unsized_ = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
    let error = b"HTTP/1.1 500 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for (head, piece) in [
        (chunked, chunk.clone()),
        (sized, vec![b' '; 0x10000]),
        (unsized_, vec![b' '; 0x10000]),
        (error, chunk),
    ] {
        let poured = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&poured);
        let peer = Peer::start(move |_, _, stream| {
            stream.write_all(&head)?;
            pour(stream, &piece, &count)
        });
        // The default is 1 MiB.
        for (transport, limit) in
            [(transport().build(), 1 << 20), (transport().max_response_size(5_000).build(), 5_000)]
        {
            let error = grant(&peer.url("/token"), &transport).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::TooLarge { limit });
            assert!(error.to_string().contains(&limit.to_string()), "{error}");
            let discovery = Discovery::dangerous_allow_http_on_loopback(&peer.origin).unwrap();
            assert_eq!(*discovery.run(&transport).unwrap_err().kind(), ErrorKind::TooLarge { limit });
        }
        // What was written beyond the limits is in buffers of the system.
        assert!(poured.load(Ordering::SeqCst) < 64 << 20);
    }
}

/// A refusal by a resource is read for its reason and then dropped. Neither step reads all of it.
#[test]
fn c_14_a_refusal_without_end_delays_neither_the_retry_nor_the_next_call() {
    for length in [None, Some(1 << 30)] {
        for headers in [&[NONCE_CHALLENGE, JSON, ("dpop-nonce", "n")][..], &[JSON, ("dpop-nonce", "n")]] {
            let server = with(|server| server.nonces(Nonces::Off));
            // By the real clock: a client that reads a gibibyte before the retry has no time left for it.
            let hurried = builder(&server, LONG).clock(SystemClock::new()).deadline(3 * SECOND);
            let session = hurried.discover().unwrap();
            let refusal = respond(401, headers, "");
            once_all(&server, Endpoint::Resource, [refusal, Quirk::LargeBody(length)]);
            // A challenge in the header leads to a retry, and so does a body that names no error within the
            // limit: the nonce is new.
            assert_eq!(get(&session, &server), 200);
            assert_eq!(get(&session, &server), 200);
            assert_eq!((calls(&server).len(), server.counts().tokens), (3, 1));
        }
    }
}

/// No more of a refusal is read than a challenge can have. The caller can read all of it.
#[test]
fn c_14_a_refusal_without_end_reaches_the_caller_who_can_read_on() {
    let poured = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&poured);
    let peer = Peer::start(move |_, _, stream| {
        stream.write_all(b"HTTP/1.1 401 X\r\ncontent-type: application/json\r\ndpop-nonce: n\r\n\r\n")?;
        pour(stream, &[b' '; 0x10000], &count)
    });
    let tokens = token_server("");
    let mut response = peer_session(&tokens).get(&peer.origin).unwrap();
    assert_eq!(response.status(), 401);
    let mut start = vec![0; 200_000];
    response.body_mut().as_reader().read_exact(&mut start).unwrap();
    assert!(start.iter().all(|byte| *byte == b' '));
    drop(response);
    assert!(poured.load(Ordering::SeqCst) < 64 << 20);

    // After a challenge in the header, the body is not needed: it does not prevent the retry.
    let count = Arc::clone(&poured);
    let peer = Peer::start(move |number, _, stream| match number {
        0 => {
            stream.write_all(
                b"HTTP/1.1 401 X\r\nwww-authenticate: DPoP error=use_dpop_nonce\r\ndpop-nonce: n\r\n\r\n",
            )?;
            pour(stream, &[b' '; 0x10000], &count)
        }
        _ => stream.write_all(http(200, &[], "ok").as_bytes()).map(|()| Then::Keep),
    });
    assert_eq!(peer_session(&tokens).get(&peer.origin).unwrap().status(), 200);
    assert!(poured.load(Ordering::SeqCst) < 64 << 20);
}

/// The client sends no `Accept-Encoding`, so gzip is read as it is: no JSON. Where another crate enables
/// ureq's decoder, the limit counts decoded bytes.
#[test]
fn c_15_compressed_responses_are_not_requested_and_not_expanded() {
    let server = with(|server| server.nonces(Nonces::Off));
    let session = session(&server);
    let bomb = Quirk::Gzip { padding: 8 << 20 };
    let stopped = |error: Error| {
        let kinds =
            [ErrorKind::Metadata, ErrorKind::Content { status: 200 }, ErrorKind::TooLarge { limit: 1 << 20 }];
        assert!(kinds.contains(error.kind()), "{error}");
    };
    always(&server, Endpoint::Metadata, bomb.clone());
    stopped(builder(&server, LONG).discover().unwrap_err());
    once(&server, Endpoint::Token, bomb);
    stopped(session.access_token().unwrap_err());
    session.discard_token();
    assert_eq!(get(&session, &server), 200);
    for request in server.received() {
        assert!(request.header_values("accept-encoding").is_empty(), "{}", request.target);
    }
}

#[test]
fn c_16_an_oversized_head_is_an_error_and_costs_one_request() {
    let reason = format!("HTTP/1.1 200 {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(1_000_000));
    let name = format!("HTTP/1.1 200 OK\r\n{}: x\r\ncontent-length: 0\r\n\r\n", "x".repeat(100_000));
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(8_000_000));
    for quirk in [
        Quirk::HugeHead(70_000),
        Quirk::HugeHead(100_000),
        Quirk::HugeHead(50_000_000),
        Quirk::ManyFields(10_000),
        Quirk::RawBytes(reason.into_bytes()),
        Quirk::RawBytes(name.into_bytes()),
        Quirk::RawBytes(endless.into_bytes()),
    ] {
        let what = format!("{quirk:?}").chars().take(40).collect::<String>();
        let server = start();
        let session = session(&server);
        session.access_token().unwrap();
        always(&server, Endpoint::Metadata, quirk.clone());
        for at in BOTH {
            always(&server, at, quirk.clone());
        }
        server.clear_received();
        let endpoint = format!("{}/token", server.issuer());
        let errors = [
            builder(&server, LONG).discover().map(drop).unwrap_err(),
            session.get(&server.resource("/")).map(drop).unwrap_err(),
            grant(&endpoint, &transport().build()).map(drop).unwrap_err(),
        ];
        assert_eq!(server.received().len(), 3, "{what}: nothing is sent again");
        session.discard_token();
        let errors = errors.into_iter().chain([session.access_token().map(drop).unwrap_err()]);
        for error in errors {
            // Because of its size, long before the timeout.
            assert_eq!(*error.kind(), ErrorKind::Transport, "{what} {error}");
            assert!(error.to_string().len() < 1_000, "{what}");
        }
        server.behave();
        assert_eq!(get(&session, &server), 200, "{what}");
    }
}

#[test]
fn c_17_a_body_of_another_length_is_an_error_and_closes_the_connection() {
    for quirk in
        [Quirk::WrongLength(7), Quirk::WrongLength(-7), Quirk::CloseMidway, Quirk::InterimResponses(100_000)]
    {
        // One clock for both, because the pauses between attempts advance the clock of the session.
        let clock = ManualClock::new();
        let server = with(|server| server.nonces(Nonces::Off).clock(clock.clone()));
        let session = builder(&server, LONG).clock(clock).discover().unwrap();
        session.access_token().unwrap();
        session.discard_token();
        always(&server, Endpoint::Token, quirk.clone());
        let error = session.access_token().unwrap_err();
        let known = matches!(error.kind(), ErrorKind::Transport | ErrorKind::Content { .. });
        assert!(known, "{quirk:?} {error}");
        server.behave();
        session.discard_token();
        assert_eq!(get(&session, &server), 200, "{quirk:?}");
        // The first response was whole, so that its connection is used again. Each other request has its
        // own.
        let connections: Vec<_> = token_requests(&server)[1..].iter().map(|one| one.connection).collect();
        let distinct: HashSet<_> = connections.iter().collect();
        assert!(connections.len() > 1 && distinct.len() == connections.len(), "{quirk:?} {connections:?}");
        nothing_twice(&server);
    }
}

#[test]
fn c_17_a_response_that_is_cut_or_is_not_http_is_an_error_and_is_not_requested_again() {
    let token = token_json(TOKEN, "");
    let head = |length: usize| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
    };
    // Too short, cut in a chunk, cut in the head, not a response, nothing.
    for response in [
        head(token.len() + 1) + &token,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{}"
            .to_owned(),
        "HTTP/1.1 200 OK\r\nconte".to_owned(),
        "SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned(),
        String::new(),
    ] {
        let peer =
            Peer::start(move |_, _, stream| stream.write_all(response.as_bytes()).map(|()| Then::Close));
        let error = grant(&peer.url("/token"), &transport().build()).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Transport, "{error}");
        assert_eq!(peer.seen().len(), 1, "nothing is sent again");
    }
}

/// A second response follows that nobody requested, on a connection that stays open.
#[test]
fn c_17_bytes_after_a_response_are_not_read_as_the_next_response() {
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled";
    let challenge = "HTTP/1.1 401 X\r\nwww-authenticate: DPoP error=\"use_dpop_nonce\"\r\ndpop-nonce: n\r\n";
    for first in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n".to_owned(),
        // These lead to a retry at once.
        format!("{challenge}content-length: 0\r\n\r\n"),
        format!("{challenge}content-length: 2\r\n\r\nno"),
    ] {
        let server = with(|server| server.nonces(Nonces::Off));
        let session = session(&server);
        once(&server, Endpoint::Resource, Quirk::RawBytes(format!("{first}{smuggled}").into_bytes()));
        for _ in 0..3 {
            let body = text(session.get(&server.resource("/orders")).unwrap());
            assert!(!body.contains("smuggled"), "{first}");
        }
        let all = calls(&server);
        assert_ne!(all[0].connection, all[1].connection, "{first}: it is not reused");
    }
    // The same at the token endpoint.
    let response = |token: &str| {
        let body = TOKEN_BODY.replace("\"t\"", &format!("\"{token}\""));
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let server = with(|server| server.nonces(Nonces::Off));
    let session = session(&server);
    let bytes = format!("{}{}", response("first"), response("smuggled"));
    once(&server, Endpoint::Token, Quirk::RawBytes(bytes.into_bytes()));
    assert_eq!(session.access_token().unwrap().access_token(), "first");
    session.discard_token();
    assert_ne!(session.access_token().unwrap().access_token(), "smuggled");
    let requests = token_requests(&server);
    assert_eq!(requests.len(), 2);
    assert_ne!(requests[0].connection, requests[1].connection, "it is not reused");
}

#[test]
fn c_17_endless_interim_responses_are_an_error_and_a_few_are_skipped() {
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"] {
        let peer = Peer::start(move |_, _, stream| {
            pour(stream, interim.repeat(100).as_bytes(), &AtomicUsize::new(0))
        });
        let error = grant(&peer.url("/token"), &transport().timeout(SHORT).build()).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Transport, "{error}");
        assert_eq!(peer.seen().len(), 1);
    }
    // A few are skipped (RFC 9110 §15.2).
    let peer = Peer::scripted([format!(
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n{}",
        granted(TOKEN)
    )]);
    assert_eq!(grant(&peer.url("/token"), &transport().build()).unwrap().access_token(), TOKEN);
}
