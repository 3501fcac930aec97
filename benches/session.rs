//! Compares a call through a session with the same call by ureq alone, on a persistent connection: `cargo
//! bench --features testing --bench session`.

// A panic is the right end of a benchmark that cannot run.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, SystemTime};

use common::{Bench, at_most, side_by_side};
use possession::testing::TestServer;
use possession::{Algorithm, KeyPair, Proof, ServerRole, Session, Signer, ureq};

fn main() {
    let key = KeyPair::generate(Algorithm::Es256).expect("a key");
    let message = [7; 500];
    let signer = KeyPair::from_jwk(&key.to_jwk()).expect("a key");
    let tokens = TestServer::start().expect("a server on loopback");
    let session = tokens.session().key(key).discover().expect("a session");
    let url = resource();
    // The session has the same settings, so that the difference is DPoP alone.
    let plain: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into();
    let token = session.access_token().expect("a token");
    let (authorization, filler) = (format!("DPoP {}", token.access_token()), "a".repeat(600));

    let call = |session: &Session| {
        let body = session.get(&url).expect("a response").body_mut().read_to_vec().expect("a body");
        assert_eq!(body, b"ok");
    };
    let without = || {
        let body = plain.get(&url).call().expect("a response").body_mut().read_to_vec().expect("a body");
        assert_eq!(body, b"ok");
    };
    let with_fields = || {
        let request = plain.get(&url).header("authorization", &authorization).header("dpop", &filler);
        let body = request.call().expect("a response").body_mut().read_to_vec().expect("a body");
        assert_eq!(body, b"ok");
    };
    let prove = || {
        let proof = Proof::new(&http::Method::GET, &url).expect("a proof").access_token(token.access_token());
        session.prover().prove(ServerRole::ResourceServer, proof, SystemTime::now()).expect("a proof")
    };
    let [call, without, with_fields, proof, signature] = side_by_side([
        Bench::new(|| call(&session)),
        Bench::new(without),
        Bench::new(with_fields),
        Bench::new(prove),
        Bench::new(|| signer.sign(&message).expect("a signature")),
    ]);
    let (whole, bare) = (call.median(), without.median());
    println!("a call by ureq alone             {bare:7.1} µs");
    println!("  fields as long as DPoP's       {:+7.1}", with_fields.median() - bare);
    println!("  the signature                  {:+7.1}", signature.median());
    println!("  the rest of the proof          {:+7.1}", proof.median() - signature.median());
    println!("  the session                    {:+7.1}", whole - with_fields.median() - proof.median());
    println!("a DPoP call through a session    {whole:7.1} µs");
    at_most("DPoP call through a session / the same call by ureq", call.over(&without), 1.7);
}

/// Starts a resource that does as little as possible, so that the client's share of the time is large: its
/// response to each request head is `ok`.
fn resource() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/v1/orders/8f14e45f", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || respond(connection));
        }
    });
    url
}

fn respond(mut connection: TcpStream) {
    connection.set_nodelay(true).expect("an option");
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(bytes @ 1..) = connection.read(&mut buffer) {
        head.extend_from_slice(&buffer[..bytes]);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            let _ = connection
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok");
        }
    }
}
