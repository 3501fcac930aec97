//! The demonstration authorization server of the examples, and what strangers can occupy of all example
//! servers. Threat V-66.

#[path = "../../examples/demo/authorization_server.rs"]
mod authorization_server;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use authorization_server::connections::Limits;
use authorization_server::{CLIENT_ID, Running, Setup, start};
use serde_json::Value;

fn running(limits: Limits) -> Running {
    start(Setup { port: 0, opaque: false, resources: Vec::new(), verbose: false, limits }).unwrap()
}

/// No limit of time is reached in a test.
const PATIENT: Duration = Duration::from_secs(3_600);

/// Opens a connection and sends a part of a request. No read waits longer than 20 seconds.
fn connect(issuer: &str, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(issuer.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    stream
}

/// Returns the status and the body of the response.
fn ask(issuer: &str, method: &str, path: &str) -> (u16, String) {
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let mut stream = connect(issuer, &head);
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// RFC 8414 §3 and OpenID Connect Discovery 1.0 §4 have different locations, and there are clients that
/// know only one of them.
#[test]
fn the_metadata_are_served_at_both_well_known_locations() {
    let running = running(Limits::default());
    assert!(!CLIENT_ID.is_empty() && !running.client_secret.is_empty());
    let locations = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];
    let documents = locations.map(|location| {
        let (status, body) = ask(&running.issuer, "GET", location);
        assert_eq!(status, 200, "{location}");
        assert_eq!(ask(&running.issuer, "POST", location).0, 405, "{location}");
        let document: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(document["issuer"], running.issuer, "{location}");
        assert_eq!(document["token_endpoint"], format!("{}/token", running.issuer), "{location}");
        document
    });
    assert_eq!(documents[0], documents[1]);
    assert_eq!(ask(&running.issuer, "GET", "/.well-known/other").0, 404);
}

/// What a connection may stop at: before its request, in the head, and in the body.
const PARTS: [&str; 3] = [
    "",
    "GET /jwks HTTP/1.1\r\nhost: x\r\n",
    "POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n12345",
];

/// The oldest of them give way, however many there are.
#[test]
fn v_66_half_open_connections_are_bounded_in_number_and_keep_nobody_out() {
    let limits = Limits { connections: 20, head: PATIENT, body: PATIENT, ..Limits::default() };
    let running = running(limits);
    for sent in PARTS {
        let mut open: Vec<_> = (0..60).map(|_| connect(&running.issuer, sent)).collect();
        for _ in 0..30 {
            assert_eq!(ask(&running.issuer, "GET", "/jwks").0, 200, "{sent:?}");
        }
        for closed in &mut open[..40] {
            assert!(is_closed(closed), "{sent:?}");
        }
    }
}

/// Waits until the server has closed the connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn v_66_half_open_connections_are_bounded_in_time() {
    let soon = Duration::from_millis(200);
    for (head, body, parts) in [(soon, PATIENT, &PARTS[..2]), (PATIENT, soon, &PARTS[2..])] {
        let running = running(Limits { head, body, ..Limits::default() });
        for sent in parts {
            assert!(is_closed(&mut connect(&running.issuer, sent)), "{sent:?}");
            // More bytes from time to time do not extend the time.
            let mut stream = connect(&running.issuer, sent);
            let mut drip = stream.try_clone().unwrap();
            let dripping = thread::spawn(move || {
                while drip.write_all(b"a").is_ok() {
                    thread::sleep(Duration::from_millis(50));
                }
            });
            assert!(is_closed(&mut stream), "{sent:?}");
            dripping.join().unwrap();
        }
        // A connection that is kept for the next request.
        if head == soon {
            let mut stream = connect(&running.issuer, "GET /jwks HTTP/1.1\r\nhost: x\r\n\r\n");
            assert!(is_closed(&mut stream));
        }
    }
}

#[test]
fn v_66_the_body_of_a_request_is_bounded_in_size() {
    let running = running(Limits { max_body: 4, ..Limits::default() });
    let mut stream = connect(&running.issuer, PARTS[2]);
    let mut response = [0; 12];
    stream.read_exact(&mut response).unwrap();
    assert_eq!(response, *b"HTTP/1.1 413");
}
