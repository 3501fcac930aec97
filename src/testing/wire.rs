//! HTTP/1.1 down to the byte, for answers that no server crate would give: heads are read by httparse, the rest is short.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Uri};

const MAX_HEAD: usize = 64 * 1024;
const MAX_FIELDS: usize = 128;
const MAX_BODY: u64 = 64 * 1024 * 1024;
/// What an answer without end ends at all the same, should the client have no bound.
const MAX_ENDLESS: u64 = 1024 * 1024 * 1024;

#[cfg(feature = "ureq")]
pub(super) use rustls::ServerConfig;

/// Without a TLS library there are no settings for it.
#[cfg(not(feature = "ureq"))]
pub(super) enum ServerConfig {}

trait Duplex: Read + Write {}

impl<T: Read + Write> Duplex for T {}

/// A request of which the body is still to be read.
pub(super) struct Incoming<'a> {
    pub(super) parts: Parts,
    pub(super) target: String,
    connection: &'a mut Connection,
    framing: Framing,
    /// The client waits to be told that it may send the body.
    expects: bool,
    broken: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    Read,
}

/// What to answer, and how.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Payload,
    pub(super) delivery: Delivery,
}

pub(super) enum Payload {
    Bytes(Vec<u8>),
    /// So many of one byte; without a number they do not end.
    Repeated(u8, Option<u64>),
}

#[derive(Default)]
pub(super) struct Delivery {
    /// Bytes in place of everything.
    pub(super) raw: Option<Vec<u8>>,
    /// Nothing comes, or nothing after the head.
    pub(super) silence: Option<Silence>,
    /// A pause before each byte.
    pub(super) drip: Option<Duration>,
    /// So many `100 Continue` before.
    pub(super) interim: usize,
    /// So many bytes more in the head.
    pub(super) padding: usize,
    /// What `Content-Length` says more than there is.
    pub(super) surplus: i64,
    pub(super) close: Option<Close>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    FromTheStart,
    AfterTheHead,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// Without an answer.
    Instead,
    /// In the middle of the body.
    Midway,
    /// After it, and the head does not say so.
    After,
}

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        let (headers, body) = (Vec::new(), Payload::Bytes(Vec::new()));
        Self { status, headers, body, delivery: Delivery::default() }
    }

    pub(super) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status).header("content-type", "application/json").body(body)
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Payload::Bytes(body.into()), ..self }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }
}

impl<B: Into<Vec<u8>>> From<http::Response<B>> for Answer {
    fn from(response: http::Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        let mut answer = Self::new(parts.status.as_u16()).body(body);
        for (name, value) in &parts.headers {
            answer = answer.header(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
        }
        answer
    }
}

/// Serves one connection to its end.
pub(super) fn serve(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    answer: &dyn Fn(&mut Incoming<'_>) -> Answer,
) -> io::Result<()> {
    let stream: Box<dyn Duplex> = match tls {
        None => Box::new(stream),
        #[cfg(feature = "ureq")]
        Some(config) => {
            let connection = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
            Box::new(rustls::StreamOwned::new(connection, stream))
        }
        #[cfg(not(feature = "ureq"))]
        Some(config) => match *config {},
    };
    let mut connection = Connection { stream, read: Vec::new() };
    loop {
        let Some((parts, target)) = connection.head()? else {
            return Ok(());
        };
        let contains = |name: &str, token: &str| {
            let values = parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
        };
        let framing = match contains("transfer-encoding", "chunked") {
            true => Framing::Chunked,
            false => Framing::Length(
                parts
                    .headers
                    .get("content-length")
                    .and_then(|length| length.to_str().ok()?.parse().ok())
                    .unwrap_or(0),
            ),
        };
        let (expects, last) = (contains("expect", "100-continue"), contains("connection", "close"));
        let is_head = parts.method == Method::HEAD;
        let mut incoming =
            Incoming { parts, target, connection: &mut connection, framing, expects, broken: false };
        let answer = answer(&mut incoming);
        // A body that nobody asked for is not read: the connection ends with the answer.
        let unread = incoming.expects && incoming.framing != Framing::Read;
        if !unread {
            incoming.body()?;
        }
        let keep = connection.deliver(answer, is_head)?;
        if unread || last || !keep {
            return Ok(());
        }
    }
}

impl Incoming<'_> {
    /// Reads the body, once.
    pub(super) fn body(&mut self) -> io::Result<Vec<u8>> {
        let framing = std::mem::replace(&mut self.framing, Framing::Read);
        if framing != Framing::Read && std::mem::take(&mut self.expects) {
            self.connection.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = match framing {
            Framing::Read => Ok(Vec::new()),
            Framing::Length(length) if length > MAX_BODY => Err(io::ErrorKind::InvalidData.into()),
            Framing::Length(length) => self.connection.bytes(length),
            Framing::Chunked => self.connection.chunks(),
        };
        self.broken |= body.is_err();
        body
    }

    /// Whether the client broke off in the body.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }
}

struct Connection {
    stream: Box<dyn Duplex>,
    /// Read and not yet used.
    read: Vec<u8>,
}

impl Connection {
    /// The next head; `None` when the client has gone.
    fn head(&mut self) -> io::Result<Option<(Parts, String)>> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut head = httparse::Request::new(&mut fields);
            match head.parse(&self.read) {
                Ok(httparse::Status::Complete(length)) => {
                    let parsed = parts(&head);
                    self.read.drain(..length);
                    return parsed.map(Some);
                }
                Ok(httparse::Status::Partial) if self.read.len() < MAX_HEAD => {}
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    fn more(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 16 * 1024];
        let count = self.stream.read(&mut bytes)?;
        self.read.extend(bytes.get(..count).unwrap_or_default());
        Ok(count > 0)
    }

    fn need(&mut self) -> io::Result<()> {
        match self.more()? {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        while self.read.len() < length {
            self.need()?;
        }
        let rest = self.read.split_off(length);
        Ok(std::mem::replace(&mut self.read, rest))
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            match httparse::parse_chunk_size(&self.read) {
                Ok(httparse::Status::Complete((start, length))) => {
                    self.read.drain(..start);
                    if u64::try_from(body.len()).is_ok_and(|have| have.saturating_add(length) > MAX_BODY) {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    body.append(&mut self.bytes(length)?);
                    // Without trailers, which nobody sends here.
                    self.bytes(2)?;
                    if length == 0 {
                        return Ok(body);
                    }
                }
                Ok(httparse::Status::Partial) => self.need()?,
                Err(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// Whether the connection stays.
    fn deliver(&mut self, answer: Answer, is_head: bool) -> io::Result<bool> {
        let Answer { status, headers, body, delivery } = answer;
        if delivery.close == Some(Close::Instead) {
            return Ok(false);
        }
        if delivery.silence == Some(Silence::FromTheStart) {
            return self.wait();
        }
        for _ in 0..delivery.interim {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if let Some(raw) = delivery.raw {
            self.write(&raw, delivery.drip)?;
            return Ok(delivery.close.is_none());
        }
        let chunked = matches!(body, Payload::Repeated(_, None));
        let length = match &body {
            Payload::Bytes(bytes) => u64::try_from(bytes.len()).map_err(io::Error::other)?,
            Payload::Repeated(_, length) => length.unwrap_or(0),
        };
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        for (name, value) in &headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if delivery.padding > 0 {
            head.push_str(&format!("x-padding: {}\r\n", "x".repeat(delivery.padding)));
        }
        match chunked {
            true => head.push_str("transfer-encoding: chunked\r\n\r\n"),
            false => {
                let said = length.saturating_add_signed(delivery.surplus);
                head.push_str(&format!("content-length: {said}\r\n\r\n"));
            }
        }
        self.write(head.as_bytes(), delivery.drip)?;
        if delivery.silence == Some(Silence::AfterTheHead) {
            return self.wait();
        }
        if is_head {
            return Ok(delivery.close.is_none());
        }
        match body {
            Payload::Bytes(bytes) => {
                let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
                let midway = delivery.close == Some(Close::Midway);
                self.write(if midway { half } else { &bytes }, delivery.drip)?;
            }
            Payload::Repeated(byte, length) => self.repeat(byte, length)?,
        }
        Ok(delivery.close.is_none() && delivery.surplus == 0)
    }

    fn write(&mut self, bytes: &[u8], drip: Option<Duration>) -> io::Result<()> {
        let Some(pause) = drip else {
            self.stream.write_all(bytes)?;
            return self.stream.flush();
        };
        for byte in bytes {
            thread::sleep(pause);
            self.stream.write_all(&[*byte])?;
            self.stream.flush()?;
        }
        Ok(())
    }

    fn repeat(&mut self, byte: u8, length: Option<u64>) -> io::Result<()> {
        let piece = [byte; 16 * 1024];
        let mut left = length.unwrap_or(MAX_ENDLESS);
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(piece.len()).min(piece.len());
            let now = piece.get(..now).unwrap_or_default();
            if length.is_none() {
                self.stream.write_all(format!("{:x}\r\n", now.len()).as_bytes())?;
                self.stream.write_all(now)?;
                self.stream.write_all(b"\r\n")?;
            } else {
                self.stream.write_all(now)?;
            }
            left = left.saturating_sub(u64::try_from(now.len()).unwrap_or(left));
        }
        self.stream.flush()
    }

    /// Until the client gives up.
    fn wait(&mut self) -> io::Result<bool> {
        while self.more()? {
            self.read.clear();
        }
        Ok(false)
    }
}

fn parts(head: &httparse::Request<'_, '_>) -> io::Result<(Parts, String)> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
    let target = head.path.unwrap_or_default().to_owned();
    let method = Method::from_bytes(head.method.unwrap_or_default().as_bytes())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let uri: Uri = target.parse().map_err(invalid)?;
    let (mut parts, ()) = http::Request::new(()).into_parts();
    (parts.method, parts.uri) = (method, uri);
    for field in head.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(io::Error::other)?;
        let value = HeaderValue::from_bytes(field.value).map_err(io::Error::other)?;
        parts.headers.append(name, value);
    }
    Ok((parts, target))
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("")
}

#[cfg(feature = "ureq")]
pub(super) fn tls_config(chain: &[u8], key: &[u8]) -> io::Result<ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let invalid =
        |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|error| invalid(&error))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| invalid(&error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| invalid(&error))
}
