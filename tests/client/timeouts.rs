//! Every wait ends (rows C-12 and C-13).

use std::io::{ErrorKind as Io, Read, Write};
use std::thread;
use std::time::Duration;

use possession::testing::{Endpoint, Quirk};
use possession::*;

use crate::common::server::{SECOND, always, calls, once_all, respond, start};
use crate::common::{JSON, Peer, Then, Trap};
use crate::peer::transport;
use crate::support::{SHORT, builder, by_hand, grant};

/// A session that gives up soon: by the timeout of its transport, and also by its deadline where there is
/// one.
fn hasty(server: &possession::testing::TestServer, deadline: bool) -> Session {
    let builder = builder(server, SHORT);
    let builder = if deadline { builder.deadline(SHORT) } else { builder };
    let metadata = by_hand(server, &format!("{}/token", server.issuer())).unwrap();
    builder.server(metadata).unwrap()
}

fn timed_out(error: Error) {
    assert_eq!(*error.kind(), ErrorKind::Timeout, "{error}");
}

/// The server is silent from the start or after the head of its response; at each endpoint.
#[test]
fn c_12_a_silent_server_is_left_after_the_timeout() {
    for quirk in [Quirk::Silence, Quirk::SilentBody] {
        for deadline in [false, true] {
            let server = start();
            let hasty = hasty(&server, deadline);
            hasty.access_token().unwrap();
            for at in [Endpoint::Metadata, Endpoint::Token, Endpoint::Resource] {
                always(&server, at, quirk.clone());
            }
            timed_out(builder(&server, SHORT).discover().unwrap_err());
            match (hasty.get(&server.resource("/")), &quirk) {
                // The head came: the caller who reads the body gets the error.
                (Ok(response), Quirk::SilentBody) => {
                    let error = response.into_body().read_to_vec().unwrap_err();
                    assert!(matches!(error, ureq::Error::Timeout(_)), "{error}");
                }
                (response, _) => timed_out(response.unwrap_err()),
            }
            hasty.discard_token();
            let error = hasty.access_token().unwrap_err();
            assert!(error.to_string().contains("no complete response within"), "{error}");
            timed_out(error);
        }
    }
}

/// The kernel accepts the connection, and nobody speaks TLS.
#[test]
fn c_12_a_server_that_is_silent_before_the_tls_handshake_is_left_after_the_timeout() {
    let silent = Trap::set();
    let transport = Transport::builder().timeout(SHORT).build();
    let issuer = silent.origin().replace("http:", "https:");
    timed_out(Session::builder(issuer, "app").transport(transport).discover().unwrap_err());
}

/// ureq has no timeout by default.
#[test]
fn c_12_there_is_a_timeout_by_default() {
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let timeouts = session.agent().unwrap().config().timeouts();
    assert!(timeouts.global.is_some_and(|global| global <= 60 * SECOND), "{timeouts:?}");
}

/// A refusal is read for its reason, and no longer than the call may last. Status and headers reach the
/// caller.
#[test]
fn c_12_c_13_a_refusal_whose_body_does_not_come_reaches_the_caller_in_time() {
    for deadline in [false, true] {
        let server = start();
        let hasty = hasty(&server, deadline);
        hasty.access_token().unwrap();
        let refusal = respond(401, &[JSON, ("dpop-nonce", "n")], r#"{"error":"use_dpop_nonce"}"#);
        once_all(&server, Endpoint::Resource, [refusal, Quirk::SilentBody]);
        let response = hasty.get(&server.resource("/")).unwrap();
        assert_eq!((response.status().as_u16(), calls(&server).len()), (401, 1));
        let read = response.into_body().read_to_vec();
        assert!(matches!(read, Err(ureq::Error::Timeout(_))), "{read:?}");
    }
}

/// Each byte comes within any limit of one read; the whole response does not.
#[test]
fn c_13_a_dripping_server_is_left_after_the_timeout() {
    for deadline in [false, true] {
        let server = start();
        let hasty = hasty(&server, deadline);
        hasty.access_token().unwrap();
        for at in [Endpoint::Metadata, Endpoint::Token, Endpoint::Resource] {
            always(&server, at, Quirk::Drip(Duration::from_millis(20)));
        }
        let resource = hasty.get(&server.resource("/")).map(drop);
        hasty.discard_token();
        let token = hasty.access_token().map(drop);
        for outcome in [resource, token, builder(&server, SHORT).discover().map(drop)] {
            timed_out(outcome.unwrap_err());
        }
    }
}

/// In the status line, a header field and the body; for the transport of this crate and an agent of the
/// caller.
#[test]
fn c_12_c_13_silence_and_drips_in_every_part_of_a_response_end_at_the_timeout() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n";
    let status = "HTTP/1.1 200 OK\r\n";
    // What is sent at once, and what is sent byte by byte. Its last byte is repeated.
    let cases =
        [("", ""), (status, ""), (head, ""), ("", "HTTP/1.1 200 OK\r\nx: a"), (status, "x: a"), (head, " ")];
    let silent_or_dripping = |(at_once, dripped): (&'static str, &'static str)| {
        Peer::start(move |_, _, stream| {
            stream.write_all(at_once.as_bytes())?;
            // Reading from a client that sends nothing more paces the bytes, and ends when the client hangs
            // up.
            stream.set_read_timeout(Some(Duration::from_millis(10)))?;
            let mut drops = dripped.bytes().chain(dripped.bytes().last().into_iter().cycle());
            for _ in 0..2_000 {
                match stream.read(&mut [0]) {
                    Err(error) if matches!(error.kind(), Io::WouldBlock | Io::TimedOut) => {}
                    _ => break,
                }
                if let Some(drop) = drops.next() {
                    stream.write_all(&[drop])?;
                }
            }
            Ok(Then::Close)
        })
    };
    let short = transport().timeout(SHORT).build();
    let agent = ureq::Agent::config_builder().timeout_global(Some(SHORT)).build().new_agent();
    let transports = [short, Transport::from_agent(agent)];
    thread::scope(|scope| {
        for case in cases {
            for transport in &transports {
                scope.spawn(move || {
                    let peer = silent_or_dripping(case);
                    let error = grant(&peer.url("/token"), transport).unwrap_err();
                    assert_eq!(*error.kind(), ErrorKind::Timeout, "{case:?} {error}");
                    let text = error.to_string();
                    assert!(text.contains("400 ms") && text.contains(&peer.url("/token")), "{text}");
                    let discovery = Discovery::dangerous_allow_http_on_loopback(&peer.origin).unwrap();
                    assert_eq!(*discovery.run(transport).unwrap_err().kind(), ErrorKind::Timeout, "{case:?}");
                });
            }
        }
    });
}
