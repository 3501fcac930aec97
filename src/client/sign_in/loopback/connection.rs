//! One connection, of which one request head is read without blocking.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use zeroize::Zeroizing;

use crate::time::TimePoint;

use super::page::Page;

/// The largest head that is read. Browsers send their cookies of all servers on this address along.
const MAX_HEAD: usize = 32 * 1024;
const MAX_FIELDS: usize = 100;

/// A connection whose request has not been read to its end.
pub(super) struct Connection {
    stream: TcpStream,
    /// What was received. It may have the code, and is never moved.
    received: Zeroizing<Vec<u8>>,
    /// When the request must be complete.
    end: TimePoint,
}

/// The head of a request.
pub(super) struct RequestHead<'a> {
    pub(super) method: &'a str,
    /// The request target as it was received.
    pub(super) target: &'a str,
    /// The minor version of HTTP/1.
    pub(super) version: u8,
    /// The only `Host` field.
    pub(super) host: Option<&'a [u8]>,
}

/// What reading a connection has led to.
pub(super) enum Progress<T> {
    /// The head is complete, and this was made of it.
    Complete(T),
    Incomplete,
    Malformed,
    TooLarge,
    Closed,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, end: TimePoint) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, received: Zeroizing::new(Vec::with_capacity(MAX_HEAD)), end })
    }

    pub(super) fn has_expired(&self, now: TimePoint) -> bool {
        self.end.remaining(now).is_zero()
    }

    /// Reads what has arrived. Calls `take` with the head once it is complete.
    pub(super) fn read<T>(&mut self, take: impl FnOnce(&RequestHead<'_>) -> T) -> Progress<T> {
        let mut piece = Zeroizing::new([0; 4096]);
        let is_closed = loop {
            match self.stream.read(&mut *piece) {
                Ok(0) => break true,
                Ok(length) => {
                    let free = MAX_HEAD.saturating_sub(self.received.len());
                    let new = piece.get(..length.min(free)).unwrap_or_default();
                    self.received.extend_from_slice(new);
                    if length > free {
                        break false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break true,
            }
        };
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Request::new(&mut fields);
        match head.parse(&self.received) {
            Ok(httparse::Status::Complete(_)) => Progress::Complete(take(&RequestHead::new(&head))),

            Ok(httparse::Status::Partial) if self.received.len() >= MAX_HEAD => Progress::TooLarge,
            Ok(httparse::Status::Partial) if is_closed => Progress::Closed,
            Ok(httparse::Status::Partial) => Progress::Incomplete,
            Err(httparse::Error::TooManyHeaders) => Progress::TooLarge,
            Err(_) => Progress::Malformed,
        }
    }

    /// Writes a response and ends the connection. The response fits into the buffer of the socket, so that a
    /// client which reads nothing delays nobody.
    pub(super) fn respond(&mut self, page: Page) {
        if let Err(error) = self.stream.write_all(page.to_http().as_bytes()) {
            log::debug!("responding to a browser: {error}");
        }
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl<'a> RequestHead<'a> {
    fn new(head: &httparse::Request<'_, 'a>) -> Self {
        let mut hosts = head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("host"));
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => Some(host.value),
            _ => None,
        };
        Self {
            method: head.method.unwrap_or_default(),
            target: head.path.unwrap_or_default(),
            version: head.version.unwrap_or_default(),
            host,
        }
    }
}
