//! Helpers that several test binaries share: reading what was sent, and servers on loopback.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: what fails here fails a test"
)]

#[cfg(feature = "ureq")]
pub mod certificates;
#[cfg(all(feature = "testing", feature = "ureq"))]
pub mod server;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;

/// Access token and `ath` of RFC 9449, Figures 13 and 14.
pub const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
pub const ATH: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";

/// A compact JWS, decoded and not verified.
#[derive(Debug, Clone)]
pub struct Jwt {
    pub header: Value,
    pub claims: Value,
    pub text: String,
}

impl Jwt {
    pub fn decode(text: &str) -> Self {
        let part = |i| {
            let segment = text.split('.').nth(i).unwrap();
            serde_json::from_slice(&Base64UrlUnpadded::decode_vec(segment).unwrap()).unwrap()
        };
        assert_eq!(text.split('.').count(), 3, "{text}");
        Self { header: part(0), claims: part(1), text: text.to_owned() }
    }

    /// A claim that must be a string.
    pub fn text(&self, claim: &str) -> String {
        self.claims[claim].as_str().unwrap().to_owned()
    }

    /// A claim that must be a whole number of seconds.
    pub fn time(&self, claim: &str) -> u64 {
        self.claims[claim].as_u64().unwrap()
    }

    pub fn jti(&self) -> String {
        self.text("jti")
    }

    pub fn nonce(&self) -> Option<&str> {
        self.claims.get("nonce").map(|nonce| nonce.as_str().unwrap())
    }
}

pub type Form = Vec<(String, String)>;

pub fn form(body: &[u8]) -> Form {
    form_urlencoded::parse(body).into_owned().collect()
}

/// The values of a field, in order.
pub fn values<'a>(form: &'a Form, name: &str) -> Vec<&'a str> {
    form.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
}

/// The JSON of a token response.
pub fn token_json(token: &str, more: &str) -> String {
    format!(r#"{{"access_token":"{token}","token_type":"DPoP"{more}}}"#)
}

/// A request as it was received.
#[derive(Debug, Clone)]
pub struct Seen {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub connection: usize,
}

impl Seen {
    /// The values of all header fields of that name, without regard to case.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        let fields = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str()).collect()
    }

    pub fn proof(&self) -> Jwt {
        assert_eq!(self.header_values("dpop").len(), 1, "one proof");
        Jwt::decode(self.header_values("dpop")[0])
    }

    fn read(stream: &mut TcpStream, connection: usize) -> io::Result<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut seen = Self { line, headers, body: Vec::new(), connection };
        let length = seen.header_values("content-length").first().map_or(0, |length| length.parse().unwrap());
        seen.body = vec![0; length];
        stream.read_exact(&mut seen.body)?;
        Ok(seen)
    }
}

/// What happens to a connection after a response.
#[derive(PartialEq, Eq, Clone, Copy)]
pub enum Then {
    Keep,
    Close,
}

/// A server that writes what a test tells it to, byte by byte.
pub struct Peer {
    pub origin: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Peer {
    /// `respond` gets the number of the request, counted over all connections, and the request.
    pub fn start(
        respond: impl Fn(usize, &Seen, &mut TcpStream) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        Self::on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), respond)
    }

    pub fn on(
        listener: TcpListener,
        respond: impl Fn(usize, &Seen, &mut TcpStream) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let peer = Self { origin, seen: Arc::default(), connections: Arc::default() };
        let (respond, seen) = (Arc::new(respond), Arc::clone(&peer.seen));
        let connections = Arc::clone(&peer.connections);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // No read or write blocks for longer, whatever the client does.
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
                stream.set_nodelay(true).unwrap();
                let connection = connections.fetch_add(1, Ordering::SeqCst);
                let (respond, seen) = (Arc::clone(&respond), Arc::clone(&seen));
                thread::spawn(move || {
                    while let Ok(request) = Seen::read(&mut stream, connection) {
                        let number = {
                            let mut seen = seen.lock().unwrap();
                            seen.push(request.clone());
                            seen.len() - 1
                        };
                        if !matches!(respond(number, &request, &mut stream), Ok(Then::Keep)) {
                            break;
                        }
                    }
                });
            }
        });
        peer
    }

    /// Writes one response after the other, and then repeats the last one.
    pub fn scripted(responses: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        let responses: Vec<Vec<u8>> = responses.into_iter().map(Into::into).collect();
        Self::start(move |number, _, stream| {
            stream.write_all(responses.get(number).or(responses.last()).unwrap()).map(|()| Then::Keep)
        })
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A listener that no client should connect to. A connection waits in its backlog and is found there.
pub struct Trap(TcpListener);

impl Trap {
    pub fn set() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    pub fn untouched(&self) -> bool {
        matches!(self.0.accept(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// A whole response with its length.
pub fn http(status: u16, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n" + body
}

pub const JSON: (&str, &str) = ("content-type", "application/json");
