//! Request bodies of calls.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, Response};

use crate::client::transport::{Limits, Transport};
use crate::error::{Error, ErrorKind};

/// The body of a call: bytes, which are sent again when a server asks for a nonce, or a stream, which can be sent once.
///
/// ```
/// use possession::Body;
///
/// let none: Body = ().into();
/// let text: Body = "42 bolts".into();
/// let bytes: Body = vec![0; 1024].into();
/// let stream = Body::from_reader(std::io::repeat(b'x'));
/// ```
///
/// A server that requires a nonce refuses the first request, which has none, after part of the stream was sent. Make a call
/// without a body first, so that the nonce is known, or set the header `Expect: 100-continue`, so that the server refuses
/// before the body is sent. A stream of which nothing was read yet can be sent again.
pub struct Body(Inner);

enum Inner {
    Bytes(Cow<'static, [u8]>),
    Stream { reader: Box<dyn Read + Send>, length: Option<u64> },
}

/// A body being sent.
pub(super) enum Payload<'a> {
    Bytes(&'a [u8]),
    Stream { reader: &'a mut dyn Read, length: Option<u64>, touched: bool },
}

impl Body {
    /// Creates a body from a stream of unknown length, which is sent in chunks.
    pub fn from_reader(reader: impl Read + Send + 'static) -> Self {
        Self(Inner::Stream { reader: Box::new(reader), length: None })
    }

    /// Creates a body from a stream of `length` bytes. A stream of another length fails the call.
    pub fn from_sized_reader(reader: impl Read + Send + 'static, length: u64) -> Self {
        Self(Inner::Stream { reader: Box::new(reader), length: Some(length) })
    }

    pub(super) fn payload(&mut self) -> Payload<'_> {
        match &mut self.0 {
            Inner::Bytes(bytes) => Payload::Bytes(bytes),
            Inner::Stream { reader, length } => Payload::stream(reader, *length),
        }
    }
}

impl<'a> Payload<'a> {
    pub(super) fn stream(reader: &'a mut dyn Read, length: Option<u64>) -> Self {
        Self::Stream { reader, length, touched: false }
    }

    /// Whether all of it can be sent: a stream only while nothing of it was read.
    pub(super) fn is_whole(&self) -> bool {
        !matches!(self, Self::Stream { touched: true, .. })
    }

    /// Sends a request with this body.
    pub(super) fn send(
        &mut self,
        mut request: Request<()>,
        transport: &Transport,
        limits: Limits<'_>,
    ) -> Result<Response<ureq::Body>, Error> {
        match self {
            Self::Bytes(bytes) if bytes.is_empty() && !may_have_body(request.method()) => {
                transport.run(request, limits)
            }
            Self::Bytes(bytes) => transport.run(request.map(|()| &**bytes), limits),
            Self::Stream { reader, length, touched } => {
                if let Some(length) = length {
                    request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(*length));
                }
                let mut watched = WatchedReader { reader, touched, length: *length, read: 0, wrong: None };
                let response =
                    transport.run(request.map(|()| ureq::SendBody::from_reader(&mut watched)), limits);
                match watched.wrong {
                    // The cause, whatever the server or ureq made of the truncated body.
                    Some(wrong) => {
                        let doing = "reading the body of the request";
                        Err(Error::new(ErrorKind::Body, doing, wrong.to_string()).with_source(wrong))
                    }
                    None => response,
                }
            }
        }
    }
}

/// Records whether anything was read and what failed.
struct WatchedReader<'a> {
    reader: &'a mut dyn Read,
    touched: &'a mut bool,
    length: Option<u64>,
    read: u64,
    wrong: Option<io::Error>,
}

impl WatchedReader<'_> {
    /// Keeps the error for the caller and returns a copy for ureq.
    fn fail(&mut self, wrong: io::Error) -> io::Error {
        let shown = io::Error::new(wrong.kind(), wrong.to_string());
        self.wrong = Some(wrong);
        shown
    }
}

impl Read for WatchedReader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        *self.touched = true;
        let count = match self.reader.read(bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(self.fail(error)),
        };
        self.read = self.read.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        let wrong = match self.length {
            Some(length) if self.read > length => {
                format!("it is longer than the declared {length} bytes")
            }
            Some(length) if count == 0 && !bytes.is_empty() && self.read < length => {
                format!("it ended after {} of the declared {length} bytes", self.read)
            }
            _ => return Ok(count),
        };
        Err(self.fail(io::Error::other(wrong)))
    }
}

fn may_have_body(method: &Method) -> bool {
    !matches!(
        *method,
        Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE | Method::CONNECT
    )
}

impl Default for Body {
    fn default() -> Self {
        Self(Inner::Bytes(Cow::Borrowed(&[])))
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Inner::Bytes(Cow::Owned(bytes)))
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Inner::Bytes(Cow::Borrowed(bytes)))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Body {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self(Inner::Bytes(Cow::Borrowed(bytes)))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        text.as_bytes().into()
    }
}

impl From<File> for Body {
    /// Creates a stream from the current position of the file to its end.
    fn from(file: File) -> Self {
        Self::from_reader(file)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Bytes(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Inner::Stream { length: Some(length), .. } => write!(f, "Body(stream of {length} bytes)"),
            Inner::Stream { length: None, .. } => f.write_str("Body(stream)"),
        }
    }
}
