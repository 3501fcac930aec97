//! Helpers of the tests against servers that write what a test tells them to, byte by byte.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use possession::*;

use crate::common::{JSON, Peer, Then, http, token_json};
use crate::support::LONG;

pub fn transport() -> TransportBuilder {
    Transport::builder().timeout(LONG)
}

/// An authorization server at `issuer` with that token endpoint.
pub fn metadata(issuer: &str, endpoint: &str) -> AuthorizationServer {
    let server = AuthorizationServer::builder(issuer).token_endpoint(endpoint);
    server.dangerous_allow_http_on_loopback().build().unwrap()
}

/// An authorization server that issues the tokens `token-0`, `token-1` …, with more members in its
/// responses.
pub fn token_server(more: &str) -> Peer {
    let more = more.to_owned();
    Peer::start(move |number, _, stream| {
        let body = token_json(&format!("token-{number}"), &more);
        stream.write_all(http(200, &[JSON], &body).as_bytes()).map(|()| Then::Keep)
    })
}

pub fn session_over(peer: &Peer, transport: Transport) -> Session {
    let server = metadata(&peer.origin, &peer.url("/token"));
    let builder = Session::builder("", "app").auth(ClientAuth::client_secret_basic("secret"));
    builder.transport(transport).server(server).unwrap()
}

pub fn session(peer: &Peer) -> Session {
    session_over(peer, transport().build())
}

pub fn jtis(peer: &Peer) -> Vec<String> {
    peer.seen().iter().map(|seen| seen.proof().jti()).collect()
}

pub fn all_distinct(jtis: &[String]) -> bool {
    jtis.iter().collect::<HashSet<_>>().len() == jtis.len()
}

/// The challenge in the form of resource servers (RFC 9449 §9).
pub fn header_challenge(nonce: &str) -> String {
    let field = ("www-authenticate", r#"DPoP error="use_dpop_nonce", algs="ES256 EdDSA""#);
    http(401, &[field, ("dpop-nonce", nonce)], "")
}

/// The challenge in the form of authorization servers (RFC 9449 §8).
pub fn body_challenge(nonce: &str) -> String {
    http(400, &[JSON, ("dpop-nonce", nonce)], r#"{"error":"use_dpop_nonce"}"#)
}

pub fn granted(token: &str) -> String {
    http(200, &[JSON], &token_json(token, ""))
}

/// Writes until the client hangs up, and counts the bytes.
pub fn pour(stream: &mut TcpStream, piece: &[u8], poured: &AtomicUsize) -> std::io::Result<Then> {
    // Far beyond every limit, in case there is none.
    for _ in 0..(256 << 20) / piece.len() {
        stream.write_all(piece)?;
        poured.fetch_add(piece.len(), Ordering::SeqCst);
    }
    Ok(Then::Close)
}
