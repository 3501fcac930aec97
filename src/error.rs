//! Errors that carry facts.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::oauth::challenge::Challenge;
use crate::oauth::oauth_error::OAuthError;

/// Why something could not be done.
///
/// The text says what was being done, what was wrong and, where it helps, what would be right; it never contains a
/// secret, and text that came from a peer is cut to printable ASCII. [`kind`](Self::kind) is for programs.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    doing: Cow<'static, str>,
    wrong: Cow<'static, str>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    failure: TransportFailure,
}

/// What became of a request that got no response.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(not(feature = "ureq"), allow(dead_code, reason = "the transport tells them apart"))]
pub(crate) enum TransportFailure {
    /// It may work another time.
    #[default]
    Passing,
    /// The same, and the connection broke off before anything came back.
    ConnectionLost,
    /// Something must be changed first.
    Lasting,
}

/// What went wrong, for programs to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The algorithm is not supported here, does not fit the key, or is not one the server's metadata lists.
    Algorithm,
    /// The client authentication method is not one the server's metadata lists, or cannot be used as configured.
    AuthMethod,
    /// The authorization server failed before and is not asked for a token again yet.
    BackOff {
        /// How long not.
        retry_after: Duration,
    },
    /// The body of the request could not be read, or is not as long as was said.
    Body,
    /// The request would have to be sent again, and its body was a stream that is gone.
    BodySent {
        /// The HTTP status code of the refusal.
        status: u16,
    },
    /// The server refused with a `WWW-Authenticate` challenge and no OAuth error in the body.
    Challenge {
        /// The HTTP status code.
        status: u16,
        /// Every challenge of every field, in order.
        challenges: Vec<Challenge>,
    },
    /// The clock cannot be used: before 1970 or beyond what a JWT can say.
    Clock,
    /// The response is not what the protocol says: content type, JSON, or a member of it.
    Content {
        /// The HTTP status code.
        status: u16,
    },
    /// Key material was refused.
    Key,
    /// A text does not have the form it should: a JWS, a `WWW-Authenticate` field.
    Malformed,
    /// The authorization server's metadata cannot be used.
    Metadata,
    /// The server answered with an OAuth error (RFC 6749 §5.2).
    OAuth(OAuthError),
    /// A parameter, scope, client identifier or other input was refused before anything was sent.
    Parameter,
    /// The operating system gave no randomness.
    Random,
    /// The server answered with a redirect, which is never followed.
    Redirect {
        /// The HTTP status code.
        status: u16,
    },
    /// The [`Signer`](crate::Signer) failed; [`source`](std::error::Error::source) says why.
    Signer,
    /// The server answered with a status that the protocol does not know here and no OAuth error.
    Status {
        /// The HTTP status code.
        status: u16,
    },
    /// The request did not end within its time.
    Timeout,
    /// The token is not of the type that was asked for: a `Bearer` token came back for a DPoP request.
    TokenType {
        /// What the server called it, cut to printable ASCII.
        token_type: String,
    },
    /// The response is larger than the limit.
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// No response: name resolution, connection, TLS or HTTP framing failed.
    Transport,
    /// A URL was refused.
    Url,
}

impl Error {
    pub(crate) fn new(
        kind: ErrorKind,
        doing: impl Into<Cow<'static, str>>,
        wrong: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Inner {
            kind,
            doing: doing.into(),
            wrong: wrong.into(),
            source: None,
            failure: TransportFailure::default(),
        }))
    }

    /// An error for people who implement [`HttpClient`](crate::HttpClient): no response came, because of `source`.
    pub fn transport(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source = source.into();
        let wrong = source.to_string();
        Self::new(ErrorKind::Transport, "sending the request", wrong).with_source(source)
    }

    /// The same: the request did not end within its time.
    pub fn timeout(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let wrong = "no complete answer within the time allowed";
        Self::new(ErrorKind::Timeout, "sending the request", wrong).with_source(source)
    }

    /// The same: the response is larger than `limit` bytes.
    #[must_use]
    pub fn too_large(limit: u64) -> Self {
        let wrong = format!("the answer is larger than {limit} bytes");
        Self::new(ErrorKind::TooLarge { limit }, "sending the request", wrong)
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    #[cfg(feature = "ureq")]
    pub(crate) fn failing(mut self, failure: TransportFailure) -> Self {
        self.0.failure = failure;
        self
    }

    #[cfg(feature = "ureq")]
    pub(crate) fn is_lost_connection(&self) -> bool {
        self.0.kind == ErrorKind::Transport && self.0.failure == TransportFailure::ConnectionLost
    }

    /// The same error with more to say.
    pub(crate) fn noting(mut self, note: impl fmt::Display) -> Self {
        self.0.wrong = format!("{} ({note})", self.0.wrong).into();
        self
    }

    /// The same error, said of the larger thing that was being done.
    pub(crate) fn while_doing(mut self, doing: impl fmt::Display) -> Self {
        self.0.doing = format!("{doing}: {}", self.0.doing).into();
        self
    }

    /// What went wrong, for programs.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The OAuth error the server answered with, if that is what happened.
    #[must_use]
    pub fn oauth(&self) -> Option<&OAuthError> {
        match &self.0.kind {
            ErrorKind::OAuth(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the same may succeed later although nobody changes anything: the network failed, time ran out, or the server
    /// had too much to do or failed by itself (429, 5xx).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match (&self.0.kind, self.status()) {
            (_, Some(status)) => status == 429 || (500..=599).contains(&status),
            (ErrorKind::Transport, _) => self.0.failure != TransportFailure::Lasting,
            (ErrorKind::BackOff { .. } | ErrorKind::Timeout, _) => true,
            _ => false,
        }
    }

    /// The HTTP status code of the response that caused this, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match &self.0.kind {
            ErrorKind::OAuth(error) => Some(error.status()),
            ErrorKind::BodySent { status }
            | ErrorKind::Challenge { status, .. }
            | ErrorKind::Content { status }
            | ErrorKind::Redirect { status }
            | ErrorKind::Status { status } => Some(*status),
            _ => None,
        }
    }
}

impl PartialEq for Error {
    /// Compares what happened; the [`source`](std::error::Error::source) has no equality and is left out.
    fn eq(&self, other: &Self) -> bool {
        (&self.0.kind, &self.0.doing, &self.0.wrong) == (&other.0.kind, &other.0.doing, &other.0.wrong)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.to_string())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.doing, self.0.wrong)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
