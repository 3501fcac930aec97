//! Request bodies of calls.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderValue};
use http::{Method, Request, Response};

use super::expect_continue::Expectation;
use crate::client::transport::{Limits, Transport};
use crate::error::{Error, ErrorKind};

/// The body of a call: bytes, a file, or a stream. Bytes and files are sent again when a server asks for a
/// nonce. A stream can be sent once, unless a function opens it again.
///
/// ```
/// use possession::Body;
///
/// let none: Body = ().into();
/// let text: Body = "42 bolts".into();
/// let bytes: Body = vec![0; 1024].into();
/// let stream = Body::from_reader(std::io::repeat(b'x'));
/// # fn files() -> std::io::Result<()> {
/// let file: Body = std::fs::File::open("orders.csv")?.into();
/// let pipe = Body::reopenable(|| std::fs::File::open("/run/orders.pipe"));
/// # Ok(()) }
/// ```
///
/// A server that requires a nonce refuses a request without one. So that it can do so before a file or a
/// stream is sent, these carry `Expect: 100-continue` while no nonce of the server is known (RFC 9110
/// §10.1.1). A stream of which nothing was read yet can be sent again. Where a server ignores the field,
/// make a call without a body first.
pub struct Body(Inner);

enum Inner {
    Bytes(Cow<'static, [u8]>),
    File { file: File, start: u64 },
    Reopenable { open: Box<Open>, length: Option<u64> },
    Stream { reader: Box<dyn Read + Send>, length: Option<u64> },
}

type Open = dyn FnMut() -> io::Result<Box<dyn Read + Send>> + Send;

/// A body being sent.
pub(super) enum Payload<'a> {
    Bytes(&'a [u8]),
    Stream { source: Source<'a>, touched: bool },
}

/// Where the bytes of a stream come from.
pub(super) enum Source<'a> {
    Once { reader: &'a mut dyn Read, length: Option<u64> },
    File { file: &'a File, start: u64 },
    Reopenable { open: &'a mut Open, length: Option<u64> },
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

    /// Creates a body from a function that opens a stream. It is called each time the body is sent, so the
    /// call can be retried. The stream is sent in chunks.
    ///
    /// ```
    /// use std::io::Cursor;
    /// use possession::Body;
    ///
    /// let body = Body::reopenable(|| Ok(Cursor::new(b"made on demand")));
    /// ```
    pub fn reopenable<R: Read + Send + 'static>(
        open: impl FnMut() -> io::Result<R> + Send + 'static,
    ) -> Self {
        Self::opened_by(open, None)
    }

    /// Creates a body from a function that opens a stream of `length` bytes, as
    /// [`reopenable`](Self::reopenable) does. A stream of another length fails the call.
    pub fn reopenable_sized<R: Read + Send + 'static>(
        open: impl FnMut() -> io::Result<R> + Send + 'static,
        length: u64,
    ) -> Self {
        Self::opened_by(open, Some(length))
    }

    /// Creates a body with a value as JSON.
    ///
    /// ```
    /// use possession::Body;
    ///
    /// #[derive(serde::Serialize)]
    /// struct Order {
    ///     item: &'static str,
    ///     count: u32,
    /// }
    ///
    /// # fn order(session: &possession::Session) -> Result<(), Box<dyn std::error::Error>> {
    /// let body = Body::json(&Order { item: "bolt", count: 42 })?;
    /// session.post("https://api.example.com/orders", "application/json", body)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Body`](ErrorKind::Body) for a value that cannot be JSON, such as a map whose keys are not strings.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let bytes = serde_json::to_vec(value).map_err(|error| {
            let wrong = "the value cannot be JSON (source() says why)";
            Error::new(ErrorKind::Body, "writing the body of the request", wrong).with_source(error)
        })?;
        Ok(bytes.into())
    }

    fn opened_by<R: Read + Send + 'static>(
        mut open: impl FnMut() -> io::Result<R> + Send + 'static,
        length: Option<u64>,
    ) -> Self {
        let open = Box::new(move || open().map(|reader| Box::new(reader) as Box<dyn Read + Send>));
        Self(Inner::Reopenable { open, length })
    }

    pub(super) fn payload(&mut self) -> Payload<'_> {
        let source = match &mut self.0 {
            Inner::Bytes(bytes) => return Payload::Bytes(bytes),
            Inner::File { file, start } => Source::File { file, start: *start },
            Inner::Reopenable { open, length } => Source::Reopenable { open, length: *length },
            Inner::Stream { reader, length } => Source::Once { reader, length: *length },
        };
        Payload::Stream { source, touched: false }
    }
}

impl<'a> Payload<'a> {
    pub(super) fn stream(reader: &'a mut dyn Read, length: Option<u64>) -> Self {
        Self::Stream { source: Source::Once { reader, length }, touched: false }
    }

    /// Whether all of it can be sent: a stream that cannot be opened again only while nothing of it was read.
    pub(super) fn is_whole(&self) -> bool {
        !matches!(self, Self::Stream { source: Source::Once { .. }, touched: true })
    }

    /// Whether it is a stream: sending it is work that a refusal would waste.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream { .. })
    }

    /// Sends a request with this body. With an expectation, a stream waits for `100 Continue`.
    pub(super) fn send(
        &mut self,
        mut request: Request<()>,
        transport: &Transport,
        limits: Limits<'_>,
        mut expectation: Option<&mut Expectation<'_>>,
    ) -> Result<Response<ureq::Body>, Error> {
        let (source, touched) = match self {
            Self::Bytes(bytes) if bytes.is_empty() && !may_have_body(request.method()) => {
                return transport.run(request, limits);
            }
            Self::Bytes(bytes) => return transport.run(request.map(|()| &**bytes), limits),
            Self::Stream { source, touched } => (source, touched),
        };
        *touched = false;
        let (mut reader, length) = source.open().map_err(|error| {
            Error::new(ErrorKind::Body, "opening the body of the request", error.to_string())
                .with_source(error)
        })?;
        if let Some(length) = length {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        // Not without content (RFC 9110 §10.1.1).
        expectation = expectation.filter(|_| length != Some(0));
        if expectation.is_some() {
            request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
            // ureq reads a final response that comes in place of the 100 only when more bytes or the end of
            // the connection follow, so the server is asked to close it (RFC 9112 §9.6).
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut watched =
            WatchedReader { reader: &mut *reader, touched, expectation, length, read: 0, wrong: None };
        let response = transport.run(request.map(|()| ureq::SendBody::from_reader(&mut watched)), limits);
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

impl Source<'_> {
    /// A reader of the whole stream, and its length where that is known.
    fn open(&mut self) -> io::Result<(Box<dyn Read + '_>, Option<u64>)> {
        match self {
            Self::Once { reader, length } => Ok((Box::new(reader), *length)),
            Self::Reopenable { open, length } => Ok((open()?, *length)),
            Self::File { file, start } => {
                let mut file: &File = file;
                file.seek(SeekFrom::Start(*start))?;
                // A file that grows is sent as long as it is now.
                Ok(match file_length(file, *start)? {
                    Some(length) => (Box::new(file.take(length)), Some(length)),
                    None => (Box::new(file), None),
                })
            }
        }
    }
}

/// The length of a file from `start` to its end. Files of `/proc` say that they are empty and are not:
/// their length is unknown.
fn file_length(mut file: &File, start: u64) -> io::Result<Option<u64>> {
    let length = file.metadata()?.len().saturating_sub(start);
    if length > 0 {
        return Ok(Some(length));
    }
    let is_empty = file.read(&mut [0])? == 0;
    file.seek(SeekFrom::Start(start))?;
    Ok(is_empty.then_some(0))
}

/// Records whether anything was read and what failed.
struct WatchedReader<'a, 'c> {
    reader: &'a mut dyn Read,
    touched: &'a mut bool,
    expectation: Option<&'a mut Expectation<'c>>,
    length: Option<u64>,
    read: u64,
    wrong: Option<io::Error>,
}

impl WatchedReader<'_, '_> {
    /// Keeps the error for the caller and returns a copy for ureq.
    fn fail(&mut self, wrong: io::Error) -> io::Error {
        let shown = io::Error::new(wrong.kind(), wrong.to_string());
        self.wrong = Some(wrong);
        shown
    }
}

impl Read for WatchedReader<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if !std::mem::replace(self.touched, true)
            && let Some(expectation) = &mut self.expectation
        {
            expectation.body_starts();
        }
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
    /// Creates a body from the current position of the file to its end. It is sent with its length, and
    /// again from that position if the call is retried. What is no regular file (a pipe, a device) is a
    /// stream.
    fn from(file: File) -> Self {
        let is_regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        match (&file).stream_position() {
            Ok(start) if is_regular => Self(Inner::File { file, start }),
            _ => Self::from_reader(file),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Bytes(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Inner::File { .. } => f.write_str("Body(file)"),
            Inner::Reopenable { length: Some(length), .. } | Inner::Stream { length: Some(length), .. } => {
                write!(f, "Body(stream of {length} bytes)")
            }
            Inner::Reopenable { .. } | Inner::Stream { .. } => f.write_str("Body(stream)"),
        }
    }
}
