//! Why the program ends without having done its work.

use std::error::Error;

/// Why the program ends without having done its work.
pub enum Failure {
    /// The command line is wrong. Exit status 2.
    Usage(String),
    /// Something failed. Exit status 1.
    Failed(Box<dyn Error + Send + Sync>),
    /// What is wrong has been reported. Exit status 1.
    Reported,
    /// What was to be found out was not, as reported on standard output. Exit status 3.
    Inconclusive,
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Returns a failure because of the command line.
pub fn usage(message: impl Into<String>) -> Failure {
    Failure::Usage(message.into())
}

/// Returns a failure because of the command line, of which the library says what is wrong.
pub fn refused(error: possession::Error) -> Failure {
    usage(error.to_string())
}

impl Failure {
    /// Returns whether a stored session cannot be continued.
    pub fn is_ended_session(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        let error = error.downcast_ref::<possession::Error>();
        error.is_some_and(|error| *error.kind() == possession::ErrorKind::SessionEnded)
    }

    /// Changes the text of the error.
    pub fn map_text(self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(change(&error.to_string()).into()),
            Self::Usage(message) => Self::Usage(change(&message)),
            other => other,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(message) => f.write_str(message),
            Self::Failed(error) => error.fmt(f),
            Self::Reported | Self::Inconclusive => Ok(()),
        }
    }
}
