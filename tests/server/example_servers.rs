//! The demonstration authorization server of the examples.

#[path = "../../examples/demo/authorization_server.rs"]
mod authorization_server;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use authorization_server::{CLIENT_ID, Setup, start};
use serde_json::Value;

/// Returns the status and the body of the response.
fn ask(issuer: &str, method: &str, path: &str) -> (u16, String) {
    let host = issuer.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// RFC 8414 §3 and OpenID Connect Discovery 1.0 §4 have different locations, and there are clients that
/// know only one of them.
#[test]
fn the_metadata_are_served_at_both_well_known_locations() {
    let setup = Setup { port: 0, opaque: false, resources: Vec::new(), verbose: false };
    let running = start(setup).unwrap();
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
