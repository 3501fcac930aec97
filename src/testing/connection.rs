//! HTTP/1.1 on one connection. It is written here because no HTTP library sends the responses that the quirks
//! need. httparse parses the request heads, and [`super::framing`] says where requests end.

use std::io;
use std::thread;
use std::time::Duration;

use http::request::Parts;
use http::{Method, header};

use super::framing::{Framing, Head, has_list_member};
use super::response::{Close, Delivery, ResponseBody, ServerResponse, Stall};
use super::tls::Stream;

const MAX_HEAD: usize = 64 * 1024;
const MAX_FIELDS: usize = 128;
const MAX_BODY: u64 = 64 * 1024 * 1024;
/// Where an endless body ends if the client has no limit.
const MAX_ENDLESS_BODY: u64 = 1024 * 1024 * 1024;
/// The size of the pieces in which bytes are read and repeated.
const PIECE: usize = 16 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A request whose body is read on demand.
pub(super) struct IncomingRequest<'a> {
    pub(super) parts: Parts,
    /// The request target exactly as it was received.
    pub(super) target: String,
    connection: &'a mut Connection,
    unread_body: Option<Framing>,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    expects_continue: bool,
    /// Whether the request violates HTTP, so that it is refused and nothing after it is read.
    malformed: bool,
    is_http_1_0: bool,
    /// Whether the connection failed while the body was read.
    broken: bool,
}

/// Serves requests until the client or a response closes the connection.
pub(super) fn serve(
    stream: Box<dyn Stream>,
    respond: &dyn Fn(&mut IncomingRequest<'_>) -> ServerResponse,
) -> io::Result<()> {
    let mut connection = Connection { stream, buffer: Vec::new() };
    loop {
        let head = match connection.read_head() {
            Ok(Some(head)) => head,
            Ok(None) => break,
            // What is not HTTP is refused as a deployed server does it. It has no method or path to respond
            // to.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                connection.send(ServerResponse::new(400).header("connection", "close"), false)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let is_head = head.parts.method == Method::HEAD;
        let mut request = IncomingRequest::new(&mut connection, head);
        let is_last = request.is_malformed() || is_last(&request);
        let response = respond(&mut request);
        // A client that waits for `100 Continue` does not send a body that was not asked for. Whether it
        // sends the body after a final response is not known, so the connection ends.
        let body_stays_unread = request.expects_continue && request.unread_body.is_some();
        if !body_stays_unread {
            request.read_body()?;
        }
        let reusable = connection.send(response, is_head)?;
        if body_stays_unread || is_last || !reusable {
            break;
        }
    }
    Ok(())
}

/// Returns whether the client sends nothing after this request. HTTP/1.0 has no persistent connections.
fn is_last(request: &IncomingRequest<'_>) -> bool {
    request.is_http_1_0 || has_list_member(&request.parts, &header::CONNECTION, "close")
}

impl<'a> IncomingRequest<'a> {
    fn new(connection: &'a mut Connection, head: Head) -> Self {
        let Head { parts, target, is_http_1_0 } = head;
        let framing = Framing::new(&parts, &target, is_http_1_0);
        // HTTP/1.0 does not have `100 Continue`.
        let expects_continue = has_list_member(&parts, &header::EXPECT, "100-continue") && !is_http_1_0;
        let malformed = framing.is_none();
        Self {
            parts,
            target,
            connection,
            unread_body: framing,
            expects_continue,
            malformed,
            is_http_1_0,
            broken: false,
        }
    }

    /// Returns whether the request violates HTTP. It has no body that could be read.
    pub(super) fn is_malformed(&self) -> bool {
        self.malformed
    }

    /// Reads the body. A second call returns an empty one.
    pub(super) fn read_body(&mut self) -> io::Result<Vec<u8>> {
        let Some(framing) = self.unread_body.take() else {
            return Ok(Vec::new());
        };
        if std::mem::take(&mut self.expects_continue) {
            self.connection.stream.write_all(CONTINUE)?;
        }
        let body = match framing {
            Framing::Length(length) if length > MAX_BODY => Err(io::ErrorKind::InvalidData.into()),
            Framing::Length(length) => self.connection.read_bytes(length),
            Framing::Chunked => self.connection.read_chunks(),
        };
        self.broken |= body.is_err();
        body
    }

    /// Returns whether the connection failed while the body was read.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }
}

struct Connection {
    stream: Box<dyn Stream>,
    /// Bytes that were received and not yet consumed.
    buffer: Vec<u8>,
}

impl Connection {
    /// Reads the next request head. Returns `None` when the client has closed the connection.
    fn read_head(&mut self) -> io::Result<Option<Head>> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut head = httparse::Request::new(&mut fields);
            match head.parse(&self.buffer) {
                Ok(httparse::Status::Complete(length)) => {
                    let parsed = Head::parse(&head);
                    self.buffer.drain(..length);
                    return parsed.map(Some);
                }
                Ok(httparse::Status::Partial) if self.buffer.len() < MAX_HEAD => {}
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
            if !self.receive()? {
                return Ok(None);
            }
        }
    }

    fn read_bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        while self.buffer.len() < length {
            self.receive_more()?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// Reads a chunked body (RFC 9112 §7.1). Trailers are not supported.
    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((start, length))) => {
                    self.buffer.drain(..start);
                    if u64::try_from(body.len()).is_ok_and(|read| read.saturating_add(length) > MAX_BODY) {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    body.append(&mut self.read_bytes(length)?);
                    // The line break that ends each chunk.
                    if self.read_bytes(2)? != b"\r\n" {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    if length == 0 {
                        return Ok(body);
                    }
                }
                Ok(httparse::Status::Partial) => self.receive_more()?,
                Err(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// Receives bytes into the buffer. Returns false at the end of the stream.
    fn receive(&mut self) -> io::Result<bool> {
        let mut bytes = [0; PIECE];
        let count = self.stream.read(&mut bytes)?;
        self.buffer.extend(bytes.get(..count).unwrap_or_default());
        Ok(count > 0)
    }

    /// Receives bytes into the buffer. The end of the stream is an error.
    fn receive_more(&mut self) -> io::Result<()> {
        match self.receive()? {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Sends a response. Returns whether the connection can be used for another request.
    fn send(&mut self, response: ServerResponse, is_head: bool) -> io::Result<bool> {
        let delivery = &response.delivery;
        if delivery.close == Some(Close::WithoutResponse) {
            return Ok(false);
        }
        if delivery.stall == Some(Stall::BeforeHead) {
            return self.wait_for_client_to_close();
        }
        for _ in 0..delivery.interim_responses {
            self.stream.write_all(CONTINUE)?;
        }
        if let Some(bytes) = &delivery.raw_bytes {
            self.write(bytes, delivery.pause_per_byte)?;
            return Ok(delivery.close.is_none());
        }
        self.write(serialize_head(&response).as_bytes(), delivery.pause_per_byte)?;
        if delivery.stall == Some(Stall::AfterHead) {
            return self.wait_for_client_to_close();
        }
        if is_head {
            return Ok(delivery.close.is_none());
        }
        self.send_body(&response.body, delivery)?;
        Ok(delivery.close.is_none() && delivery.content_length_error == 0)
    }

    fn send_body(&mut self, body: &ResponseBody, delivery: &Delivery) -> io::Result<()> {
        match body {
            ResponseBody::Bytes(bytes) => {
                let sent = match delivery.close {
                    Some(Close::Midway) => bytes.get(..bytes.len() / 2).unwrap_or_default(),
                    _ => bytes,
                };
                self.write(sent, delivery.pause_per_byte)
            }
            ResponseBody::Repeated { byte, length } => self.write_repeated(*byte, *length),
        }
    }

    fn write(&mut self, bytes: &[u8], pause_per_byte: Option<Duration>) -> io::Result<()> {
        let Some(pause) = pause_per_byte else {
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

    /// Writes `length` times `byte`, or an endless chunked body.
    fn write_repeated(&mut self, byte: u8, length: Option<u64>) -> io::Result<()> {
        let piece = [byte; PIECE];
        let mut left = length.unwrap_or(MAX_ENDLESS_BODY);
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(piece.len()).min(piece.len());
            let bytes = piece.get(..count).unwrap_or_default();
            if length.is_none() {
                self.stream.write_all(format!("{count:x}\r\n").as_bytes())?;
                self.stream.write_all(bytes)?;
                self.stream.write_all(b"\r\n")?;
            } else {
                self.stream.write_all(bytes)?;
            }
            left = left.saturating_sub(u64::try_from(count).unwrap_or(left));
        }
        self.stream.flush()
    }

    fn wait_for_client_to_close(&mut self) -> io::Result<bool> {
        while self.receive()? {
            self.buffer.clear();
        }
        Ok(false)
    }
}

fn serialize_head(response: &ServerResponse) -> String {
    let reason = http::StatusCode::from_u16(response.status).ok();
    let reason = reason.and_then(|status| status.canonical_reason()).unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", response.status);
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if response.delivery.head_padding > 0 {
        head.push_str(&format!("x-padding: {}\r\n", "x".repeat(response.delivery.head_padding)));
    }
    let length = match &response.body {
        ResponseBody::Bytes(bytes) => u64::try_from(bytes.len()).ok(),
        ResponseBody::Repeated { length, .. } => *length,
    };
    head.push_str(&match length {
        None => "transfer-encoding: chunked\r\n\r\n".to_owned(),
        Some(length) => {
            let length = length.saturating_add_signed(response.delivery.content_length_error);
            format!("content-length: {length}\r\n\r\n")
        }
    });
    head
}
