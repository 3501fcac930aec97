//! What went wrong with Redis, in words that contain no secret.

use std::borrow::Cow;

use redis::RedisError;

use crate::error::{Error, ErrorKind};
use crate::server::replay::ReplayStoreError;
use crate::text::printable;

/// Why a server could not be used.
pub(super) struct Problem {
    kind: ProblemKind,
    wrong: Cow<'static, str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ProblemKind {
    /// It persists until a setting is changed.
    Configuration,
    /// There was no response within the timeout, or no connection.
    NoResponse,
    /// The server responded with an error or with something else than expected.
    Response,
}

impl Problem {
    pub(super) fn configuration(wrong: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: ProblemKind::Configuration, wrong: wrong.into() }
    }

    pub(super) fn response(wrong: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: ProblemKind::Response, wrong: wrong.into() }
    }

    pub(super) fn no_response(wrong: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: ProblemKind::NoResponse, wrong: wrong.into() }
    }

    /// Returns whether the server responded, if only with an error.
    pub(super) fn is_response(&self) -> bool {
        self.kind != ProblemKind::NoResponse
    }

    /// Returns the error of an operation that connects.
    pub(super) fn while_connecting(self) -> Error {
        let kind = match self.kind {
            ProblemKind::Configuration => ErrorKind::Configuration,
            ProblemKind::NoResponse | ProblemKind::Response => ErrorKind::Transport,
        };
        Error::new(kind, "connecting to the replay store", self.wrong)
    }
}

impl From<Problem> for ReplayStoreError {
    fn from(problem: Problem) -> Self {
        Self::Failed(printable(&problem.wrong, 300))
    }
}

impl From<&RedisError> for Problem {
    /// Of an error response only the code is used, because some messages repeat the user's name or the
    /// command.
    fn from(error: &RedisError) -> Self {
        match error.code() {
            Some("NOAUTH") => Self::configuration(
                "the server demands a password and was given none (NOAUTH): put it into the URL, as in \
                 `redis://:password@host` or `redis://user:password@host`",
            ),
            Some("WRONGPASS") => Self::configuration(
                "the server does not accept the user name or the password (WRONGPASS): correct those in the URL",
            ),
            Some(code) => {
                Self::response(format!("the server responded with the error {}", printable(code, 40)))
            }
            None if error.kind() == redis::ErrorKind::AuthenticationFailed => Self::configuration(
                "the server does not accept the user name or the password: correct those in the URL",
            ),
            None if error.is_timeout() => Self::no_response("no response within the timeout"),
            None => Self::no_response(printable(&error.to_string(), 200)),
        }
    }
}
