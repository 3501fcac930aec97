//! Transport and session over real sockets on 127.0.0.1: a server crate for servers that behave, a bare listener for those
//! that do not. The numbers in the names are rows of the project's threat catalogue.
#![cfg(feature = "ureq")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: what fails here fails a test"
)]

mod common;

use std::collections::{HashSet, VecDeque};
use std::io::{ErrorKind as Io, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::{ATH, JSON, Jwt, Peer, TOKEN, Then, Trap, form, http, token_json, values};
use http::{Method, Request};
use oxhttp::model::{Body, Response};
use possession::server::*;
use possession::server::*;
use possession::*;

// ---- Setting up

/// Long enough for a loaded machine, short enough to wait for.
const SHORT: Duration = Duration::from_millis(400);

fn transport() -> TransportBuilder {
    Transport::builder().timeout(Duration::from_secs(20))
}

/// A server that behaves, on a port of its own.
fn serve(
    handler: impl Fn(&mut oxhttp::model::Request<Body>) -> Response<Body> + Send + Sync + Clone + 'static,
) -> String {
    loop {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        // Another test may have been given the port meanwhile: then there is another one.
        let server = oxhttp::Server::new(handler.clone()).with_global_timeout(Duration::from_secs(20));
        if server.bind(address).spawn().is_ok() {
            return format!("http://{address}");
        }
    }
}

fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<String>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Body::from(body.into())).unwrap()
}

/// An authorization server at `issuer` whose tokens come from `endpoint`.
fn metadata(issuer: &str, endpoint: &str) -> AuthorizationServer {
    let server = AuthorizationServer::builder(issuer).token_endpoint(endpoint);
    server.dangerous_allow_http_on_loopback().build().unwrap()
}

/// An authorization server that gives tokens `token-0`, `token-1` …, with more members.
fn token_server(more: &str) -> Peer {
    let more = more.to_owned();
    Peer::start(move |number, _, stream| {
        let body = token_json(&format!("token-{number}"), &more);
        stream.write_all(http(200, &[JSON], &body).as_bytes()).map(|()| Then::Keep)
    })
}

fn session_over(peer: &Peer, transport: Transport) -> Session {
    let server = metadata(&peer.origin, &peer.url("/token"));
    let builder = Session::builder("", "app").auth(ClientAuth::client_secret_basic("secret"));
    builder.transport(transport).server(server).unwrap()
}

fn session(peer: &Peer) -> Session {
    session_over(peer, transport().build())
}

/// Asks for a token at that URL.
fn grant(endpoint: &str, transport: &Transport) -> Result<TokenResponse, Error> {
    let server = metadata("http://127.0.0.1", endpoint);
    let (client, auth) = (Client::new("app").unwrap(), ClientAuth::client_secret_basic("secret"));
    let prover = Prover::new(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
    let options = RequestOptions::new().prover(&prover).http(transport);
    let response = client_credentials_grant_request(&server, &client, &auth, Parameters::new(), &options)?;
    process_client_credentials_response(&server, &client, response)
}

fn jtis(peer: &Peer) -> Vec<String> {
    peer.seen().iter().map(|seen| seen.proof().jti()).collect()
}

fn all_distinct(jtis: &[String]) -> bool {
    jtis.iter().collect::<HashSet<_>>().len() == jtis.len()
}

fn challenge(nonce: &str) -> String {
    let field = ("www-authenticate", r#"DPoP error="use_dpop_nonce", algs="ES256 EdDSA""#);
    http(401, &[field, ("dpop-nonce", nonce)], "")
}

fn body_challenge(nonce: &str) -> String {
    http(400, &[JSON, ("dpop-nonce", nonce)], r#"{"error":"use_dpop_nonce"}"#)
}

fn granted(token: &str) -> String {
    http(200, &[JSON], &token_json(token, ""))
}

fn redirect(status: u16, to: &str) -> String {
    http(status, &[("location", to)], "moved")
}

// ---- Redirects and origins

/// The agents people bring follow redirects, and turn error statuses into errors without headers.
fn transports() -> [Transport; 2] {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(20)));
    [transport().build(), Transport::from_agent(config.build().new_agent())]
}

#[test]
fn c_01_no_redirect_of_a_token_endpoint_reaches_another_origin() {
    for transport in transports() {
        for status in [301, 302, 303, 307, 308] {
            let trap = Trap::set();
            let peer = Peer::scripted([redirect(status, &format!("{}/token", trap.origin()))]);
            let error = grant(&peer.url("/token"), &transport).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Redirect { status });
            assert!(error.to_string().contains(&status.to_string()), "{error}");
            assert!(trap.untouched(), "{status}");
            assert_eq!(peer.seen().len(), 1);
        }
    }
}

#[test]
fn c_02_c_03_a_resource_s_redirect_is_returned_unfollowed() {
    for transport in transports() {
        for status in [301, 302, 303, 307, 308] {
            let (trap, tokens) = (Trap::set(), token_server(""));
            // To another origin, and to the same one.
            for to in [format!("{}/", trap.origin()), "/elsewhere".to_owned()] {
                let peer = Peer::scripted([redirect(status, &to)]);
                let session = session_over(&tokens, transport.clone());
                let mut get = session.get(&peer.url("/a")).unwrap();
                assert_eq!(
                    (get.status().as_u16(), get.headers()["location"].to_str().unwrap()),
                    (status, &*to)
                );
                assert_eq!(get.body_mut().read_to_string().unwrap(), "moved");
                let post = session.post(&peer.url("/a"), "text/plain", "x").unwrap();
                assert_eq!(post.status().as_u16(), status);
                assert_eq!(peer.seen().len(), 2);
            }
            assert!(trap.untouched(), "{status}");
        }
    }
}

#[test]
fn c_04_no_redirect_of_discovery_is_followed() {
    for transport in transports() {
        for status in [301, 302, 303, 307, 308] {
            let trap = Trap::set();
            let peer = Peer::scripted([redirect(status, &format!("{}/x", trap.origin()))]);
            let discovery = Discovery::dangerous_allow_http_on_loopback(&peer.origin).unwrap();
            let error = discovery.run(&transport).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Redirect { status });
            assert!(trap.untouched() && peer.seen().len() == 1, "{status}");
        }
    }
}

#[test]
fn c_05_c_06_plain_http_and_userinfo_are_refused_before_connecting() {
    let trap = Trap::set();
    let (origin, host) = (trap.origin(), trap.origin().replace("http://", ""));
    // Plain http is not allowed unless its name was said, and then on loopback only.
    assert_eq!(*Discovery::new(&origin).unwrap_err().kind(), ErrorKind::Metadata);
    let transport = transport().build();
    assert_eq!(*AuthorizationServer::discover(&origin, &transport).unwrap_err().kind(), ErrorKind::Metadata);
    let by_hand = || AuthorizationServer::builder("https://as.example");
    assert_eq!(*by_hand().token_endpoint(&origin).build().unwrap_err().kind(), ErrorKind::Metadata);
    let aliased = by_hand().token_endpoint("https://as.example/token").mtls_token_endpoint(&origin);
    assert_eq!(*aliased.build().unwrap_err().kind(), ErrorKind::Metadata);
    assert_eq!(*Session::builder(&origin, "app").discover().unwrap_err().kind(), ErrorKind::Metadata);
    let strict = by_hand().token_endpoint("https://as.example/token").build().unwrap();
    let strict = Session::builder("", "app").server(strict).unwrap();
    assert_eq!(*strict.get(&origin).unwrap_err().kind(), ErrorKind::Url);

    let tokens = token_server("");
    let lax = session(&tokens);
    for url in [
        format!("http://user:password@{host}/"),
        format!("http://user@{host}/"),
        format!("http://@{host}/"),
        format!("https://user:password@{host}/"),
        "http://192.0.2.1/".to_owned(),
        "http://resource.example/".to_owned(),
    ] {
        assert_eq!(*lax.get(&url).unwrap_err().kind(), ErrorKind::Url, "{url}");
        let discovery = Discovery::dangerous_allow_http_on_loopback(&url);
        assert_eq!(*discovery.unwrap_err().kind(), ErrorKind::Metadata, "{url}");
    }
    assert!(trap.untouched());
    // No token was fetched for a call that could not be made.
    assert_eq!(tokens.connections(), 0);
}

#[test]
fn c_11_there_is_one_authorization_and_one_proof_and_they_are_the_session_s() {
    let (tokens, peer) = (token_server(""), Peer::scripted([http(200, &[], "ok")]));
    let session = session(&tokens);
    // The others would make the server see another request than the proof names.
    let own = ["authorization", "Authorization", "AUTHORIZATION", "dpop", "DPoP", "DPOP"];
    for name in own.into_iter().chain(["Host", "Content-Length", "Transfer-Encoding", "Connection"]) {
        let request = Request::get(peer.url("/")).header(name, "x").body(Vec::new()).unwrap();
        assert_eq!(*session.run(request).unwrap_err().kind(), ErrorKind::Parameter, "{name}");
    }
    assert_eq!((peer.connections(), tokens.connections()), (0, 0));
    let request = Request::get(peer.url("/a?b")).header("x-own", "kept").body(Vec::new()).unwrap();
    session.run(request).unwrap();
    let seen = &peer.seen()[0];
    assert_eq!(seen.header_values("authorization"), ["DPoP token-0"]);
    assert_eq!((&*seen.line, seen.header_values("x-own")), ("GET /a?b HTTP/1.1", vec!["kept"]));
    let proof = seen.proof();
    assert_eq!([proof.text("htm"), proof.text("htu")], ["GET".to_owned(), peer.url("/a")]);
    // Only what is registered for the token endpoint goes there.
    let seen = &tokens.seen()[0];
    assert_eq!((seen.header_values("authorization").len(), seen.proof().claims.get("ath")), (1, None));
    assert_eq!(values(&form(&seen.body), "grant_type"), ["client_credentials"]);
}

// ---- Limits

/// Writes until the other side is gone, and says how much that was.
fn pour(stream: &mut TcpStream, piece: &[u8], poured: &AtomicUsize) -> std::io::Result<Then> {
    // Far beyond every limit, should there be none.
    for _ in 0..(256 << 20) / piece.len() {
        stream.write_all(piece)?;
        poured.fetch_add(piece.len(), Ordering::SeqCst);
    }
    Ok(Then::Close)
}

#[test]
fn c_12_c_13_a_server_that_is_silent_or_drips_is_left_after_the_time() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n";
    let status = "HTTP/1.1 200 OK\r\n";
    // What comes at once, and what comes drop by drop, its last byte again and again.
    let cases =
        [("", ""), (status, ""), (head, ""), ("", "HTTP/1.1 200 OK\r\nx: a"), (status, "x: a"), (head, " ")];
    let silent_or_dripping = |(at_once, dripped): (&'static str, &'static str)| {
        Peer::start(move |_, _, stream| {
            stream.write_all(at_once.as_bytes())?;
            // Waiting for a client that sends nothing more paces the drops; it ends when the client hangs up.
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

/// The body of a resource is the caller's to read: the time holds there as well, and where the session itself reads the body
/// to look for a challenge: status and headers are there all the same.
#[test]
fn c_13_the_time_holds_for_the_body_of_a_resource() {
    let stall = |head: &'static str| {
        Peer::start(move |_, _, stream| {
            stream.write_all(head.as_bytes())?;
            let _ = stream.read(&mut [0]);
            Ok(Then::Close)
        })
    };
    let tokens = token_server("");
    // The token is fetched within that time, too.
    let session = session_over(&tokens, transport().timeout(Duration::from_secs(1)).build());
    let peer = stall("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n");
    let read = session.get(&peer.origin).unwrap().body_mut().read_to_string();
    assert!(matches!(read, Err(ureq::Error::Timeout(_))), "{read:?}");

    let peer = stall(
        "HTTP/1.1 401 X\r\ncontent-type: application/json\r\ndpop-nonce: n\r\ncontent-length: 9\r\n\r\n",
    );
    let mut response = session.get(&peer.origin).unwrap();
    assert_eq!(response.status(), 401);
    let read = response.body_mut().read_to_string();
    assert!(matches!(read, Err(ureq::Error::Timeout(_))), "{read:?}");
}

#[test]
fn c_14_a_body_without_end_stops_at_the_limit() {
    // A chunk of 64 KiB, white space so that it stays JSON.
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
        // What is beyond the limits lay in buffers of the system.
        assert!(poured.load(Ordering::SeqCst) < 64 << 20);
    }
}

/// A refusal is looked at for a challenge: no more of it is read than a challenge is long, and the caller gets the rest.
#[test]
fn c_14_a_refusal_of_a_resource_without_end_is_given_to_the_caller() {
    let poured = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&poured);
    let peer = Peer::start(move |_, _, stream| {
        stream.write_all(b"HTTP/1.1 401 X\r\ncontent-type: application/json\r\ndpop-nonce: n\r\n\r\n")?;
        pour(stream, &[b' '; 0x10000], &count)
    });
    let tokens = token_server("");
    let mut response = session(&tokens).get(&peer.origin).unwrap();
    assert_eq!(response.status(), 401);
    let mut start = vec![0; 200_000];
    response.body_mut().as_reader().read_exact(&mut start).unwrap();
    assert!(start.iter().all(|byte| *byte == b' '));
    drop(response);
    assert!(poured.load(Ordering::SeqCst) < 64 << 20);

    // Behind a challenge in the header nothing of it is for anybody: it does not keep from answering.
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
    assert_eq!(session(&tokens).get(&peer.origin).unwrap().status(), 200);
    assert!(poured.load(Ordering::SeqCst) < 64 << 20);
}

#[test]
fn c_16_heads_beyond_all_measure_are_an_error() {
    let long = |text: &str| format!("HTTP/1.1 200 {text}\r\n\r\n");
    let heads = [
        long(&format!("OK\r\nx: {}", "a".repeat(70_000))),
        long(&format!("OK{}", "\r\nx: a".repeat(10_000))),
        long(&"reason".repeat(200_000)),
        // No end of the head at all.
        format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(2_000_000)),
    ];
    let tokens = token_server("");
    let session = session(&tokens);
    for head in heads {
        let peer = Peer::start(move |_, _, stream| stream.write_all(head.as_bytes()).map(|()| Then::Close));
        let error = grant(&peer.url("/token"), &transport().build()).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Transport);
        assert_eq!(*session.get(&peer.origin).unwrap_err().kind(), ErrorKind::Transport);
        assert_eq!(peer.seen().len(), 2, "nothing is sent again");
    }
}

#[test]
fn c_17_a_body_of_another_length_is_an_error_or_costs_the_connection() {
    let token = token_json(TOKEN, "");
    let head = |length: usize| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
    };
    // Too short, cut in a chunk, cut in the head, not a response, nothing: an error.
    for answer in [
        head(token.len() + 1) + &token,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{}"
            .to_owned(),
        "HTTP/1.1 200 OK\r\nconte".to_owned(),
        "SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned(),
        String::new(),
    ] {
        let peer = Peer::start(move |_, _, stream| stream.write_all(answer.as_bytes()).map(|()| Then::Close));
        let error = grant(&peer.url("/token"), &transport().build()).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Transport, "{error}");
        assert_eq!(peer.seen().len(), 1, "nothing is sent again");
    }
    // Too long: what follows the body, here a second response, is never taken for the answer to the next request.
    let smuggled = http(200, &[JSON], &token_json("smuggled", ""));
    let peer = Peer::scripted([head(token.len()) + &token + &smuggled, granted("second")]);
    let transport = transport().build();
    assert_eq!(grant(&peer.url("/token"), &transport).unwrap().access_token(), TOKEN);
    assert_eq!(grant(&peer.url("/token"), &transport).unwrap().access_token(), "second");
    assert_eq!(peer.connections(), 2, "not reused");
}

#[test]
fn c_17_interim_responses_without_end_are_an_error() {
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"] {
        let peer = Peer::start(move |_, _, stream| {
            pour(stream, interim.repeat(100).as_bytes(), &AtomicUsize::new(0))
        });
        let error = grant(&peer.url("/token"), &transport().timeout(SHORT).build()).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Transport, "{error}");
        assert_eq!(peer.seen().len(), 1);
    }
    // A few are nothing to mind (RFC 9110 §15.2).
    let peer = Peer::scripted([format!(
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n{}",
        granted(TOKEN)
    )]);
    assert_eq!(grant(&peer.url("/token"), &transport().build()).unwrap().access_token(), TOKEN);
}

/// ureq looks whether a pooled connection was closed before it uses it, and then connects anew; when a connection ends
/// after the request was written, it gives the error and does not send again, not even a GET. So no proof is ever on the wire
/// twice: the session sends again what is idempotent, with a new proof, and leaves the rest to the caller.
#[test]
fn c_18_a_connection_that_the_server_closed_gets_no_proof_a_second_time() {
    // Closed after a whole answer: the next call does not notice.
    for method in [Method::GET, Method::POST] {
        let peer = Peer::start(|_, _, stream| {
            stream.write_all(http(200, &[], "ok").as_bytes()).map(|()| Then::Close)
        });
        let tokens = token_server("");
        let session = session(&tokens);
        for _ in 0..5 {
            let body = if method == Method::GET { "" } else { "x" };
            let request = Request::builder().method(&method).uri(peer.url("/")).body(body).unwrap();
            // Whether the end has arrived in time to be noticed is the system's affair; the proof is new in either case.
            if let Ok(mut response) = session.run(request) {
                assert_eq!(response.body_mut().read_to_string().unwrap(), "ok");
            }
        }
        assert!(all_distinct(&jtis(&peer)) && peer.seen().len() <= 10);
    }
    // Closed in place of an answer, on a pooled connection: what is idempotent is sent once more with a new proof.
    for (method, again) in [("GET", true), ("PUT", true), ("DELETE", true), ("POST", false), ("PATCH", false)]
    {
        let peer = Peer::start(|number, _, stream| match number {
            1 => Ok(Then::Close),
            _ => stream.write_all(http(200, &[], "ok").as_bytes()).map(|()| Then::Keep),
        });
        let tokens = token_server("");
        let session = session(&tokens);
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
    // Once, and not for ever.
    let (tokens, peer) = (token_server(""), Peer::start(|_, _, _| Ok(Then::Close)));
    let error = session(&tokens).get(&peer.url("/")).unwrap_err();
    assert_eq!((error.kind(), peer.seen().len()), (&ErrorKind::Transport, 2));
}

// ---- Nonces

#[test]
fn c_19_a_challenge_is_read_whatever_the_agent_s_defaults_say() {
    for transport in transports() {
        for challenge in [body_challenge("n-1"), challenge("n-1")] {
            let peer = Peer::scripted([challenge, granted(TOKEN)]);
            let token = grant(&peer.url("/token"), &transport).unwrap();
            assert_eq!((token.access_token(), token.requests()), (TOKEN, 2));
            let seen = peer.seen();
            assert_eq!([seen[0].proof().nonce(), seen[1].proof().nonce()], [None, Some("n-1")]);
            assert!(all_distinct(&jtis(&peer)));
            assert_eq!(peer.connections(), 1, "the refusal was read to its end");
        }
        // An error that is none stays readable as well.
        let peer = Peer::scripted([http(401, &[JSON], r#"{"error":"invalid_client"}"#)]);
        let error = grant(&peer.url("/token"), &transport).unwrap_err();
        assert_eq!(error.oauth().map(OAuthError::error), Some("invalid_client"));
    }
}

#[test]
fn c_30_c_31_a_resource_challenges_by_header_or_body_and_is_answered_once() {
    let tokens = token_server("");
    for transport in transports() {
        for challenge in [challenge, body_challenge] {
            let session = session_over(&tokens, transport.clone());
            let peer = Peer::scripted([challenge("n-1"), http(200, &[("dpop-nonce", "n-2")], "ok")]);
            let mut response = session.get(&peer.url("/")).unwrap();
            assert_eq!(
                (response.status().as_u16(), &*response.body_mut().read_to_string().unwrap()),
                (200, "ok")
            );
            // The last nonce, from a 200, is used at once.
            assert_eq!(session.get(&peer.url("/")).unwrap().status(), 200);
            let seen = peer.seen();
            let proofs: Vec<_> = seen.iter().map(|seen| seen.proof()).collect();
            let nonces: Vec<_> = proofs.iter().map(Jwt::nonce).collect();
            assert_eq!(nonces, [None, Some("n-1"), Some("n-2")]);
            assert!(all_distinct(&jtis(&peer)));
            // For ever: two requests, then the caller gets the refusal with its body.
            let answers: Vec<_> = (0..9).map(|n| challenge(&format!("n-{n}"))).collect();
            let peer = Peer::scripted(answers.clone());
            let mut response = session.get(&peer.url("/")).unwrap();
            assert!(matches!(response.status().as_u16(), 400 | 401));
            let body = answers[1].split_once("\r\n\r\n").unwrap().1;
            assert_eq!(response.body_mut().read_to_string().unwrap(), body);
            assert_eq!(peer.seen().len(), 2);
        }
    }
}

#[test]
fn a_refusal_that_is_no_challenge_is_given_whole_to_the_caller() {
    let nonce = ("dpop-nonce", "n-1");
    let long = format!(r#"{{"error":"use_dpop_nonce","filler":"{}"}}"#, "x".repeat(200_000));
    let cases = [
        (401, vec![JSON, nonce], r#"{"error":"insufficient_scope"}"#),
        (400, vec![JSON, nonce], r#"{"problem":"order has no items"}"#),
        (401, vec![nonce], "not JSON at all"),
        (401, vec![JSON, nonce], &*long), // longer than any challenge
        (401, vec![("content-type", "text/html"), nonce], r#"{"error":"use_dpop_nonce"}"#),
        (403, vec![JSON, nonce], r#"{"error":"use_dpop_nonce"}"#),
        (400, vec![JSON], r#"{"error":"use_dpop_nonce"}"#),
        (
            401,
            vec![JSON, nonce, ("www-authenticate", "DPoP error=insufficient_scope")],
            r#"{"error":"use_dpop_nonce"}"#,
        ),
        (500, vec![JSON, nonce], ""),
    ];
    for (status, headers, body) in cases {
        let (tokens, peer) = (token_server(""), Peer::scripted([http(status, &headers, body)]));
        let mut response = session(&tokens).post(&peer.url("/"), "text/plain", "x").unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.body_mut().read_to_string().unwrap(), body, "{headers:?}");
        assert_eq!(peer.seen().len(), 1, "{body}");
    }
}

#[test]
fn c_39_a_buffered_body_is_sent_again_octet_for_octet() {
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for challenge in [challenge, body_challenge] {
        for method in ["POST", "PUT", "PATCH", "PROPFIND"] {
            let (tokens, peer) = (token_server(""), Peer::scripted([challenge("n-1"), http(200, &[], "ok")]));
            let request = Request::builder().method(method).uri(peer.url("/a?q")).header("x-own", "kept");
            let request = request.header("content-type", "application/x").body(body.clone()).unwrap();
            assert_eq!(session(&tokens).run(request).unwrap().status(), 200, "{method}");
            let seen = peer.seen();
            assert_eq!(seen.len(), 2);
            for seen in &seen {
                assert_eq!(seen.line, format!("{method} /a?q HTTP/1.1"));
                assert_eq!(
                    (seen.header_values("content-type"), seen.header_values("x-own")),
                    (vec!["application/x"], vec!["kept"])
                );
                assert!(seen.body == body, "{method}");
                assert_eq!(seen.proof().text("htm"), method);
            }
            assert_ne!(seen[0].proof().jti(), seen[1].proof().jti());
        }
    }
}

/// Nonces that change with every response; the server takes the last 300 it gave.
#[derive(Clone, Default)]
struct Rotating(Arc<Mutex<Given>>);

#[derive(Default)]
struct Given {
    nonces: VecDeque<String>,
    count: usize,
    jtis: Vec<String>,
}

impl Rotating {
    /// The nonce to give, and whether the proof had one that counts.
    fn turn(&self, request: &oxhttp::model::Request<Body>) -> (String, bool) {
        let proof = Jwt::decode(request.headers()["dpop"].to_str().unwrap());
        let mut given = self.0.lock().unwrap();
        given.jtis.push(proof.jti());
        let accepted = proof.nonce().is_some_and(|nonce| given.nonces.iter().any(|known| known == nonce));
        given.count += 1;
        let nonce = format!("n-{}", given.count);
        given.nonces.push_back(nonce.clone());
        if given.nonces.len() > 300 {
            given.nonces.pop_front();
        }
        (nonce, accepted)
    }

    fn jtis(&self) -> Vec<String> {
        self.0.lock().unwrap().jtis.clone()
    }
}

#[test]
fn c_40_32_threads_share_a_session_while_every_response_rotates_the_nonce() {
    const THREADS: usize = 32;
    const CALLS: usize = 4;
    let (at_token, at_resource) = (Rotating::default(), Rotating::default());
    let nonces = at_token.clone();
    let tokens = serve(move |request| {
        let (nonce, accepted) = nonces.turn(request);
        let nonce = ("dpop-nonce", &*nonce);
        match accepted {
            true => reply(200, &[JSON, nonce], token_json(TOKEN, r#","expires_in":3600"#)),
            false => reply(400, &[JSON, nonce], r#"{"error":"use_dpop_nonce"}"#),
        }
    });
    let nonces = at_resource.clone();
    let resource = serve(move |request| {
        let (nonce, accepted) = nonces.turn(request);
        let challenge = ("www-authenticate", r#"DPoP error="use_dpop_nonce""#);
        match accepted {
            true => reply(200, &[("dpop-nonce", &nonce)], "ok"),
            false => reply(401, &[challenge, ("dpop-nonce", &nonce)], ""),
        }
    });
    let server = metadata(&tokens, &format!("{tokens}/token"));
    let prover = Prover::new(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
    let transport = transport().build();
    let builder = Session::builder("", "app").auth(ClientAuth::client_secret_post("secret")).prover(&prover);
    let session = builder.transport(transport.clone()).server(server.clone()).unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // Each shares the session, and the prover beside it.
                let (client, auth) = (Client::new("other").unwrap(), ClientAuth::none());
                let options = RequestOptions::new().prover(&prover).http(&transport);
                for _ in 0..CALLS {
                    let mut response = session.clone().get(&resource).unwrap();
                    assert_eq!(response.status(), 200);
                    assert_eq!(response.body_mut().read_to_string().unwrap(), "ok");
                }
                let response =
                    client_credentials_grant_request(&server, &client, &auth, Parameters::new(), &options)
                        .unwrap();
                assert!(response.requests() <= 2);
                assert!(process_client_credentials_response(&server, &client, response).is_ok());
            });
        }
    });
    let (grants, calls) = (at_token.jtis(), at_resource.jtis());
    // At most one retry each: the session's own grant and the threads'; the calls.
    assert!((THREADS + 1..=2 * (THREADS + 1)).contains(&grants.len()), "{}", grants.len());
    assert!((THREADS * CALLS..=2 * THREADS * CALLS).contains(&calls.len()), "{}", calls.len());
    assert!(all_distinct(&[grants, calls].concat()));
}

// ---- What the server receives

/// RFC 9449 §4.2: `htu` is the target of the request, without query and fragment. Either both sides read the URL alike, or it
/// is refused; it never differs.
#[test]
fn c_48_htu_and_htm_are_what_the_server_receives() {
    let tokens = token_server("");
    let session = session(&tokens);
    let check = |peer: &Peer, url: &str, sent: bool| {
        let before = peer.seen().len();
        let result = session.get(url);
        let seen = peer.seen();
        if !sent {
            assert_eq!(*result.unwrap_err().kind(), ErrorKind::Url, "{url}");
            assert_eq!(seen.len(), before, "{url}");
            return;
        }
        assert!(result.is_ok(), "{url} {result:?}");
        let (seen, proof) = (&seen[before], seen[before].proof());
        let mut line = seen.line.split(' ');
        let (method, target) = (line.next().unwrap(), line.next().unwrap());
        assert_eq!(seen.header_values("host").len(), 1);
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        assert_eq!(proof.text("htu"), format!("http://{}{path}", seen.header_values("host")[0]), "{url}");
        assert_eq!((proof.text("htm").as_str(), line.next()), (method, Some("HTTP/1.1")));
        // What was written is what is sent: nothing is decoded, merged or cut off, up to the fragment.
        let written = url.split_once('#').map_or(url, |(url, _)| url);
        let (_, after) = written.split_once("://").unwrap();
        let written = after.find(['/', '?']).map_or("", |start| &after[start..]);
        let written = if written.starts_with('/') { written.to_owned() } else { format!("/{written}") };
        assert_eq!(target, written, "{url}");
    };

    let peer = Peer::scripted([http(200, &[], "")]);
    let port = peer.origin.rsplit(':').next().unwrap();
    let paths = [
        ("", true),
        ("/", true),
        ("?q", true),
        ("/?", true),
        ("#f", true),
        ("/a/b", true),
        ("/a/b/", true),
        ("//", true),
        ("//a//b//", true),
        ("/A/b/%41", true),
        ("/%7Euser/~user", true),
        ("/a%2Fb/%2f", true),
        ("/a%20b", true),
        ("/%C3%A9", true),
        ("/%00", true),
        ("/a;p=1,2/b:c@d!$&'()*+=", true),
        ("/...", true),
        ("/.a/..b/c..", true),
        ("/a?q=%20&r=[1]&s=a/../b#f", true),
        ("/a?b?c", true),
        ("/a#b?c", true),
        // Read differently by different servers, or by none.
        ("/a/../b", false),
        ("/a/./b", false),
        ("/..", false),
        ("/.", false),
        ("/%2e%2e/b", false),
        ("/%2E/b", false),
        ("/a/.%2e", false),
        ("/a b", false),
        ("/a\tb", false),
        ("/a\r\nx: y", false),
        ("/a\\b", false),
        ("\\a", false),
        ("/é", false),
        ("/a|b", false),
        ("/a^b`{c}", false),
        ("/a\"<b>", false),
        ("/[a]", false),
        ("/100%", false),
        ("/%4", false),
        ("/%zz", false),
        ("/\0", false),
        ("/\u{7f}", false),
    ];
    for (path, sent) in paths {
        check(&peer, &peer.url(path), sent);
    }
    let hosts = [
        (format!("HTTP://127.0.0.1:{port}/a"), true),
        (format!("http://LocalHost:{port}/a"), true),
        (format!("http://localhost:{port}?q"), true),
        (format!("http://127.0.0.1:0{port}/a"), false),
        (format!("http://127.1:{port}/a"), false),
        (format!("http://0x7f.1:{port}/a"), false),
        (format!("http://2130706433:{port}/a"), false),
        (format!("http://127.0.0.1.:{port}/a"), false),
        (format!("http://0177.0.0.1:{port}/a"), false),
        (format!("http://127.0.0.1:{port}x/a"), false),
        (format!("http://127.0.0.1:+{port}/a"), false),
        ("http://127.0.0.1:99999/a".to_owned(), false),
        (format!("http:127.0.0.1:{port}/a"), false),
        (format!("http:/127.0.0.1:{port}/a"), false),
        (format!("http:\\\\127.0.0.1:{port}/a"), false),
        (format!("//127.0.0.1:{port}/a"), false),
        (format!(" http://127.0.0.1:{port}/a"), false),
        (format!("http://[::ffff:127.0.0.1]:{port}/a"), false),
        (format!("http://bücher.localhost:{port}/a"), false),
        ("/a".to_owned(), false),
    ];
    for (url, sent) in hosts {
        check(&peer, &url, sent);
    }
    // Where there is IPv6: its address has one spelling.
    if let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        let port = listener.local_addr().unwrap().port();
        let peer = Peer::on(listener, |_, _, stream| {
            stream.write_all(http(200, &[], "").as_bytes()).map(|()| Then::Keep)
        });
        check(&peer, &format!("http://[::1]:{port}/a"), true);
        check(&peer, &format!("http://[0:0::0:1]:{port}/a"), true);
        check(&peer, &format!("http://[::1%25lo]:{port}/a"), false);
    }
    // And at the token endpoint, with a query.
    let peer = Peer::scripted([granted(TOKEN)]);
    grant(&peer.url("/a//%7E?tenant=1"), &transport().build()).unwrap();
    let seen = &peer.seen()[0];
    assert_eq!(seen.line, "POST /a//%7E?tenant=1 HTTP/1.1");
    assert_eq!(seen.proof().text("htu"), format!("http://{}/a//%7E", seen.header_values("host")[0]));
}

// ---- The session's token

/// Discovery, a nonce at each part, the token, the call: what the server crate received is checked by the verifier.
#[test]
fn a_session_discovers_proves_and_calls() {
    // One secret, and yet the nonces of the parts differ.
    let nonces = StatelessNonces::generate().unwrap();
    let verifier = Verifier::new(MemoryReplayStore::new(1_000)).require_nonces(nonces);
    let origin = Arc::new(Mutex::new(String::new()));
    let own = Arc::clone(&origin);
    let issuer = serve(move |request| {
        let issuer = own.lock().unwrap().clone();
        let url = format!("{issuer}{}", request.uri().path());
        let now = std::time::SystemTime::now();
        let received = ReceivedRequest::new(request.method(), &url, request.headers()).unwrap();
        match request.uri().path() {
            "/.well-known/openid-configuration" => {
                let methods = r#""token_endpoint_auth_methods_supported":["client_secret_post"]"#;
                reply(
                    200,
                    &[JSON],
                    format!(r#"{{"issuer":"{issuer}","token_endpoint":"{issuer}/token",{methods}}}"#),
                )
            }
            "/token" => match verifier.verify_token_request(&received, now) {
                Ok(_) => reply(200, &[JSON], token_json(TOKEN, r#","expires_in":3600"#)),
                Err(rejection) => rejection.to_response().map(Body::from),
            },
            "/api" => {
                let field = request.headers()["authorization"].to_str().unwrap();
                let jkt = Jwt::decode(request.headers()["dpop"].to_str().unwrap()).header["jwk"].to_string();
                let jkt = Thumbprint::from_jwk(&jkt).unwrap();
                assert_eq!(field, format!("DPoP {TOKEN}"));
                match verifier.verify_resource_request(&received, TOKEN, &jkt, now) {
                    Ok(_) => reply(200, &[], "ok"),
                    Err(rejection) => rejection.to_response().map(Body::from),
                }
            }
            _ => reply(404, &[], ""),
        }
    });
    origin.lock().unwrap().clone_from(&issuer);
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let session = Session::builder(&issuer, "app")
            .auth(ClientAuth::client_secret_post("secret"))
            .key(KeyPair::generate(algorithm).unwrap())
            .dangerous_allow_http_on_loopback()
            .discover()
            .unwrap();
        for _ in 0..2 {
            let mut response = session.get(&format!("{issuer}/api")).unwrap();
            assert_eq!(response.body_mut().read_to_string().unwrap(), "ok");
        }
    }
}

#[test]
fn a_token_is_kept_while_it_lives() {
    // No lifetime, a long one, beyond all time: one token serves. None at all, or none left: each call gets its own.
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
        let session = session(&tokens);
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
    session(&tokens).get(&peer.url("/")).unwrap();
    assert_eq!(
        (peer.seen()[0].header_values("authorization"), &*peer.seen()[0].proof().text("ath")),
        (vec![&*format!("DPoP {TOKEN}")], ATH)
    );
}

#[test]
fn c_75_invalid_token_renews_the_token_once_and_calls_once_more() {
    let invalid = |scheme: &str| {
        http(401, &[("www-authenticate", &format!("{scheme} error=\"invalid_token\""))], "old")
    };
    let ok = || http(200, &[], "ok");
    // The resource's first answer, and whether the token is let go.
    let cases = [
        (invalid("DPoP"), true),
        (invalid("Bearer realm=x, dpop"), true),
        // Who knows both schemes often says so under the other.
        (invalid("Bearer"), true),
        (invalid("DPoP").replace("401", "403"), false),
        (http(401, &[("www-authenticate", "Basic realm=x, error=invalid_token")], ""), false),
        (http(401, &[("www-authenticate", "DPoP algs=\"ES256 EdDSA\"")], ""), false),
        (http(401, &[("www-authenticate", "DPoP error=insufficient_scope")], ""), false),
    ];
    for (answer, let_go) in cases {
        let (tokens, peer) = (token_server(r#","expires_in":3600"#), Peer::scripted([answer.clone(), ok()]));
        let session = session(&tokens);
        let first = session.post(&peer.url("/"), "text/plain", "x").unwrap();
        assert_eq!(first.status() == 200, let_go, "{answer}");
        assert_eq!(peer.seen().len(), if let_go { 2 } else { 1 });
        assert_eq!(session.get(&peer.url("/")).unwrap().status(), 200);
        let used: Vec<_> =
            peer.seen().iter().map(|seen| seen.header_values("authorization")[0].to_owned()).collect();
        let expected: &[&str] = match let_go {
            true => &["DPoP token-0", "DPoP token-1", "DPoP token-1"],
            false => &["DPoP token-0", "DPoP token-0"],
        };
        assert_eq!(used, expected, "{answer}");
        assert_eq!(tokens.seen().len(), 1 + usize::from(let_go));
        assert!(all_distinct(&jtis(&peer)));
    }
    // Whatever the token: the call fails with the second refusal, and the next one starts anew.
    let (tokens, peer) = (token_server(""), Peer::scripted([invalid("DPoP")]));
    let session = session(&tokens);
    for calls in 1..3 {
        let mut response = session.get(&peer.url("/")).unwrap();
        assert_eq!(
            (response.status().as_u16(), &*response.body_mut().read_to_string().unwrap()),
            (401, "old")
        );
        // The token that was fetched for a call is kept, and tried first by the next.
        assert_eq!((peer.seen().len(), tokens.seen().len()), (2 * calls, calls + 1));
    }
}

#[test]
fn a_failed_grant_is_the_error_of_the_call_and_is_tried_again_by_the_next() {
    let refused = http(400, &[JSON], r#"{"error":"invalid_scope"}"#);
    let (tokens, peer) = (Peer::scripted([refused, granted("a")]), Peer::scripted([http(200, &[], "")]));
    let session = session(&tokens);
    let error = session.get(&peer.url("/")).unwrap_err();
    assert_eq!(error.oauth().map(OAuthError::error), Some("invalid_scope"));
    assert_eq!(peer.connections(), 0);
    assert_eq!(session.get(&peer.url("/")).unwrap().status(), 200);
}

/// A session asks for DPoP and takes nothing less.
#[test]
fn c_20_a_session_takes_no_bearer_token() {
    let body = format!(r#"{{"access_token":"{TOKEN}","token_type":"Bearer"}}"#);
    let (tokens, trap) = (Peer::scripted([http(200, &[JSON], &body)]), Trap::set());
    let error = session(&tokens).get(&trap.origin()).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TokenType { token_type: "Bearer".to_owned() });
    assert!(trap.untouched());
}
