//! The error type of the crate.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::oauth::challenge::{Challenge, ChallengeError};
use crate::oauth::oauth_error::OAuthError;

/// Why an operation failed.
///
/// The text says what was being done, what was wrong and, where it helps, what would be right. It never
/// contains a secret, and text from a peer is limited to printable ASCII. Programs act on
/// [`kind`](Self::kind):
///
/// ```
/// use possession::{Algorithm, ErrorKind, KeyPair};
///
/// let error = KeyPair::generate(Algorithm::Es512).unwrap_err();
/// assert_eq!(*error.kind(), ErrorKind::Algorithm);
/// assert!(!error.is_transient());
/// println!("{error}");
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    doing: Cow<'static, str>,
    wrong: Cow<'static, str>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// Set by the transport or the signer that failed.
    failure: Option<Failure>,
}

/// How a request without a response, or a signature, failed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "ureq"), allow(dead_code, reason = "the transport tells them apart"))]
pub(crate) enum Failure {
    /// The same request may succeed later.
    Transient,
    /// The same request may succeed later, and the connection was lost before any byte of a response arrived.
    ConnectionLost,
    /// The same request fails until the configuration is changed.
    Permanent,
}

/// The kind of an [`Error`], for programs to act on.
///
/// ```
/// use std::time::Duration;
/// use possession::{Error, ErrorKind};
///
/// fn pause_after(error: &Error) -> Option<Duration> {
///     match error.kind() {
///         ErrorKind::BackOff { retry_after } => Some(*retry_after),
///         _ if error.is_transient() => Some(Duration::from_secs(5)),
///         _ => None,
///     }
/// }
/// # assert!(pause_after(&Error::timeout("no response")).is_some());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The algorithm is not supported, does not fit the key, or is not listed in the server's metadata.
    Algorithm,
    /// The client authentication method is not listed in the server's metadata, or cannot be used as
    /// configured.
    AuthMethod,
    /// What came to the redirect URI is not a response to the authorization request: `state` or `iss` is
    /// missing or differs, or a parameter is missing, malformed or there twice. Nothing of it was used.
    AuthorizationResponse,
    /// The authorization server failed before, and no token is requested from it until the pause is over; or
    /// too many threads of a resource server wait for it already.
    BackOff {
        /// How long the pause still lasts.
        retry_after: Duration,
    },
    /// The body of the request could not be read, or its length is not the declared one.
    Body,
    /// The request would have to be retried, but its body was a stream that has been consumed. What the
    /// server asked for is known now: make the call again with a new body.
    BodySent {
        /// The HTTP status code of the refusal.
        status: u16,
    },
    /// A function of the caller failed, such as one that supplies client assertions or subject tokens, and
    /// [`source`](std::error::Error::source) says why; or it returned something that cannot be sent.
    Callback,
    /// The server refused the request with a `WWW-Authenticate` challenge and no OAuth error in the body.
    Challenge {
        /// The HTTP status code.
        status: u16,
        /// Every challenge of every field, in order.
        challenges: Vec<Challenge>,
    },
    /// The clock cannot be used: it shows a time before 1970 or one that is too late for a JWT.
    Clock,
    /// The program is set up in a way that cannot work or is not safe: there is no HTTP client, the key of a
    /// stored session is neither stored nor given, or a logger takes records that show tokens and secrets.
    /// Nothing was sent.
    Configuration,
    /// The content type, the JSON or a member of the response is not what the protocol requires.
    Content {
        /// The HTTP status code.
        status: u16,
    },
    /// Key material was refused.
    Key,
    /// A text does not have the form it should have, such as a JWS or a `WWW-Authenticate` field, or a
    /// signature is wrong.
    Malformed,
    /// The authorization server's metadata cannot be used.
    Metadata,
    /// The server responded with an OAuth error (RFC 6749 §4.1.2.1, §5.2).
    OAuth(OAuthError),
    /// A parameter, scope, client identifier or other input was refused before anything was sent.
    Parameter,
    /// The operating system did not supply random bytes.
    Random,
    /// The server responded with a redirect, which is never followed.
    Redirect {
        /// The HTTP status code.
        status: u16,
    },
    /// The session has no usable token and cannot get one: its refresh token was refused or there is none, or
    /// the session was ended. The user must sign in again. The [`source`](std::error::Error::source) is the
    /// server's refusal, if there was one.
    SessionEnded,
    /// The [`Signer`](crate::Signer) failed, and [`source`](std::error::Error::source) says why; or its
    /// signatures do not verify under its own public key.
    Signer,
    /// The server responded with a status that the protocol does not define at this point, and without an
    /// OAuth error.
    Status {
        /// The HTTP status code.
        status: u16,
    },
    /// A stored session could not be read, written or locked, or cannot be used.
    Store(StoreProblem),
    /// The request was not complete before its timeout.
    Timeout,
    /// The token is not of the requested type: a `Bearer` token was issued for a DPoP request.
    TokenType {
        /// The `token_type` of the response, limited to printable ASCII.
        token_type: String,
    },
    /// The response is larger than the limit.
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// There was no response: name resolution, connection, TLS or HTTP framing failed.
    Transport,
    /// A URL was refused.
    Url,
}

/// What is wrong with a [`SessionStore`](crate::SessionStore) or what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreProblem {
    /// The operation failed, and [`source`](std::error::Error::source) says why, if there is one.
    Failed,
    /// Another process held the lock for the whole time. The error
    /// [is transient](Error::is_transient).
    Locked,
    /// What is stored is not a session: it is damaged, cut off or something else.
    Damaged,
    /// What is stored has a format that this version of the crate does not know.
    Version,
    /// Others may read or replace what is stored.
    Permissions,
    /// The stored session is that of another client or of another authorization server.
    OtherSession,
}

impl Error {
    pub(crate) fn new(
        kind: ErrorKind,
        doing: impl Into<Cow<'static, str>>,
        wrong: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Inner { kind, doing: doing.into(), wrong: wrong.into(), source: None, failure: None }))
    }

    /// Creates an error of kind [`Transport`](ErrorKind::Transport) for an implementation of
    /// [`HttpClient`](crate::HttpClient): no response arrived, because of `source`.
    pub fn transport(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source = source.into();
        let wrong = source.to_string();
        Self::new(ErrorKind::Transport, SENDING, wrong).with_source(source)
    }

    /// Creates an error of kind [`Timeout`](ErrorKind::Timeout) for an implementation of
    /// [`HttpClient`](crate::HttpClient): the response was not complete in time.
    pub fn timeout(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let wrong = "no complete response within the timeout";
        Self::new(ErrorKind::Timeout, SENDING, wrong).with_source(source)
    }

    /// Creates an error of kind [`TooLarge`](ErrorKind::TooLarge) for an implementation of
    /// [`HttpClient`](crate::HttpClient): the response is larger than `limit` bytes.
    #[must_use]
    pub fn too_large(limit: u64) -> Self {
        let wrong = format!("the response is larger than {limit} bytes");
        Self::new(ErrorKind::TooLarge { limit }, SENDING, wrong)
    }

    /// Creates an error of kind [`Signer`](ErrorKind::Signer) for an implementation of
    /// [`Signer`](crate::Signer) whose key cannot be used at the moment: its service is overloaded, or
    /// its module is being replaced. The error of the operation [is transient](Self::is_transient), and
    /// its [`source`](std::error::Error::source) is `source`. Any other error of a signer is permanent,
    /// unless it is an [`Error`] that is transient itself, such as one of an
    /// [`HttpClient`](crate::HttpClient).
    ///
    /// ```
    /// use possession::{Error, ErrorKind};
    ///
    /// fn sign_with_service(message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    ///     # let status = 429;
    ///     // …
    ///     match status {
    ///         429 | 503 => Err(Error::transient_signer("the key service is overloaded").into()),
    ///         _ => Err("the key does not exist".into()),
    ///     }
    /// }
    /// # let error = sign_with_service(b"").unwrap_err().downcast::<Error>().unwrap();
    /// # assert!(*error.kind() == ErrorKind::Signer && error.is_transient());
    /// ```
    pub fn transient_signer(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source = source.into();
        let wrong = crate::text::printable(&source.to_string(), 300);
        Self::new(ErrorKind::Signer, SIGNING, wrong).with_source(source).with_failure(Failure::Transient)
    }

    /// Creates an error of kind [`Store`](ErrorKind::Store) for an implementation of
    /// [`SessionStore`](crate::SessionStore): the operation failed because of `source`.
    pub fn store(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source = source.into();
        let wrong = crate::text::printable(&source.to_string(), 300);
        Self::new(ErrorKind::Store(StoreProblem::Failed), "using the store of a session", wrong)
            .with_source(source)
    }

    /// Creates an error of kind [`Store`](ErrorKind::Store) for an implementation of
    /// [`SessionStore::lock`](crate::SessionStore::lock): another process held the lock for all of `timeout`.
    #[must_use]
    pub fn store_locked(timeout: Duration) -> Self {
        let wrong = match timeout.as_millis() {
            0 => "another process has the lock".to_owned(),
            millis => format!("another process has had the lock for {millis} ms"),
        };
        Self::new(ErrorKind::Store(StoreProblem::Locked), "locking the stored session", wrong)
    }

    /// Sets the [`source`](std::error::Error::source).
    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    pub(crate) fn with_failure(mut self, failure: Failure) -> Self {
        self.0.failure = Some(failure);
        self
    }

    /// Appends a note in parentheses.
    pub(crate) fn with_note(mut self, note: impl fmt::Display) -> Self {
        self.0.wrong = format!("{} ({note})", self.0.wrong).into();
        self
    }

    /// Puts a larger operation, of which the failed one was a step, before the text.
    pub(crate) fn while_doing(mut self, doing: impl fmt::Display) -> Self {
        self.0.doing = format!("{doing}: {}", self.0.doing).into();
        self
    }

    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Returns the OAuth error that the server responded with, if there was one.
    #[must_use]
    pub fn oauth(&self) -> Option<&OAuthError> {
        match &self.0.kind {
            ErrorKind::OAuth(error) => Some(error),
            _ => None,
        }
    }

    /// Returns whether the same operation may succeed later without any change: the network failed, a timeout
    /// expired, the server was overloaded, failed or asks for another attempt (status 408, 425, 429 or 5xx,
    /// or the error codes that stand for one in an authorization response), another process uses the stored
    /// session, or a [`Signer`](crate::Signer) or another function of the caller said so of its error. After
    /// [`BodySent`](ErrorKind::BodySent), the same call may succeed at once with a new body.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match (&self.0.kind, self.status()) {
            (ErrorKind::BodySent { .. }, _) => true,
            (ErrorKind::OAuth(error), None) => error.is_server_fault_without_status(),
            (_, Some(status)) => matches!(status, 408 | 425 | 429 | 500..=599),
            (ErrorKind::Transport, _) => self.0.failure != Some(Failure::Permanent),
            (ErrorKind::Callback | ErrorKind::Signer, _) => self.0.failure == Some(Failure::Transient),
            (ErrorKind::Store(problem), _) => *problem == StoreProblem::Locked,
            (ErrorKind::BackOff { .. } | ErrorKind::Timeout, _) => true,
            _ => false,
        }
    }

    #[cfg(feature = "ureq")]
    pub(crate) fn is_lost_connection(&self) -> bool {
        self.0.kind == ErrorKind::Transport && self.0.failure == Some(Failure::ConnectionLost)
    }

    /// Returns the HTTP status code of the response that caused the error, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match &self.0.kind {
            ErrorKind::OAuth(error) => error.status(),
            ErrorKind::BodySent { status }
            | ErrorKind::Challenge { status, .. }
            | ErrorKind::Content { status }
            | ErrorKind::Redirect { status }
            | ErrorKind::Status { status } => Some(*status),
            _ => None,
        }
    }
}

/// What a [`Signer`](crate::Signer) was doing when it failed.
pub(crate) const SIGNING: &str = "signing with the key's `Signer`";
/// What an [`HttpClient`](crate::HttpClient) was doing when it failed.
const SENDING: &str = "sending the request";

impl From<ChallengeError> for Error {
    fn from(error: ChallengeError) -> Self {
        Self::new(ErrorKind::Malformed, "parsing a WWW-Authenticate field", error.to_string())
            .with_source(error)
    }
}

impl PartialEq for Error {
    /// Compares kind and text. The [`source`](std::error::Error::source) cannot be compared.
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
