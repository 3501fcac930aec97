//! The responses of a test server, including what no HTTP library would send.

use std::time::Duration;

/// A response and how it is sent.
#[derive(Clone)]
pub(super) struct ServerResponse {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: ResponseBody,
    pub(super) delivery: Delivery,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum ResponseBody {
    Bytes(Vec<u8>),
    /// One byte, repeated. Without a length the body does not end.
    Repeated {
        byte: u8,
        length: Option<u64>,
    },
}

/// Deviations from the correct way to send a response.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Bytes that are sent instead of the response.
    pub(super) raw_bytes: Option<Vec<u8>>,
    /// Where the server stops sending, while it keeps the connection open.
    pub(super) stall: Option<Stall>,
    /// A pause before each byte.
    pub(super) pause_per_byte: Option<Duration>,
    /// The number of `100 Continue` responses that are sent first.
    pub(super) interim_responses: usize,
    /// The size of an additional header field, in bytes.
    pub(super) head_padding: usize,
    /// The difference between `Content-Length` and the length of the body.
    pub(super) content_length_error: i64,
    pub(super) close: Option<Close>,
}

/// Where a server stops sending.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stall {
    BeforeHead,
    AfterHead,
}

/// When a server closes the connection without announcing it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    WithoutResponse,
    Midway,
    AfterResponse,
}

impl ServerResponse {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: ResponseBody::Bytes(Vec::new()),
            delivery: Delivery::default(),
        }
    }

    pub(super) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status).header("content-type", "application/json").body(body)
    }

    /// Adds a header field.
    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: ResponseBody::Bytes(body.into()), ..self }
    }

    pub(super) fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    pub(super) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// Returns whether a client cannot tell this response from another one. The order of header fields with
    /// different names does not count (RFC 9110 §5.3).
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        if self.delivery != other.delivery {
            return false;
        }
        if !self.delivers_status() {
            return true;
        }
        let sorted = |response: &Self| {
            let mut headers = response.headers.clone();
            headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
            headers.sort_by(|(a, _), (b, _)| a.cmp(b));
            headers
        };
        self.status == other.status && self.body == other.body && sorted(self) == sorted(other)
    }

    /// Returns whether a client receives anything.
    pub(super) fn is_sent(&self) -> bool {
        self.delivery.stall != Some(Stall::BeforeHead) && self.delivery.close != Some(Close::WithoutResponse)
    }

    /// Returns whether a client receives the status code: neither nothing at all nor raw bytes.
    pub(super) fn delivers_status(&self) -> bool {
        self.delivery.raw_bytes.is_none() && self.is_sent()
    }
}

impl<B: Into<Vec<u8>>> From<http::Response<B>> for ServerResponse {
    fn from(response: http::Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        let mut response = Self::new(parts.status.as_u16()).body(body);
        for (name, value) in &parts.headers {
            response = response.header(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
        }
        response
    }
}
