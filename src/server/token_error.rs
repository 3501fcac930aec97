//! Why an access token is not accepted.

use std::fmt;

use crate::error::Error;
use crate::jose::algorithm::Algorithm;
use crate::jose::backend::no_verifier;
use crate::jose::jws::{AlgorithmError, JwsError};
use crate::text::printable;

/// Why an access token is not accepted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TokenError {
    /// The token is not a well-formed JWT.
    Malformed(JwsError),
    /// `typ` is not one that is accepted: `at+jwt` (RFC 9068 §4), unless configured otherwise.
    Typ {
        /// The accepted types, in lower case and without `application/`.
        expected: Vec<String>,
        /// The `typ` of the token, shortened and in printable ASCII; `None` if it is missing or not a
        /// string.
        actual: Option<String>,
    },
    /// `alg` is not accepted.
    Algorithm {
        /// The `alg` of the token, shortened and in printable ASCII.
        alg: String,
    },
    /// The algorithm is accepted, but no verifier is configured for it: a configuration error.
    NoSignatureVerifier {
        /// The `alg` of the token.
        algorithm: Algorithm,
    },
    /// No key of the issuer has the token's `kid` and fits its `alg`.
    UnknownKey,
    /// The signature is invalid.
    Signature,
    /// `iss` is not the expected issuer.
    Issuer {
        /// The expected issuer.
        expected: String,
        /// The `iss` of the token, shortened and in printable ASCII; `None` if it is not a string.
        actual: Option<String>,
    },
    /// `aud` does not contain this resource server.
    Audience {
        /// The identifier of this resource server.
        expected: String,
        /// The strings in the `aud` of the token, at most ten, shortened and in printable ASCII.
        actual: Vec<String>,
    },
    /// `exp` has passed.
    Expired {
        /// How many seconds ago.
        seconds: u64,
    },
    /// `nbf` has not been reached.
    NotYetValid {
        /// In how many seconds it will be.
        seconds: u64,
    },
    /// `iat` is too far in the future.
    IssuedInFuture {
        /// How many seconds it is ahead of this server's clock.
        seconds: u64,
    },
    /// A required claim is missing or has the wrong type.
    Claim {
        /// The name of the claim.
        claim: String,
    },
    /// `cnf` has no valid `jkt`, has a second binding that is not checked, or is missing although the
    /// token is of type `DPoP`.
    Confirmation,
    /// The introspection response says that the token is not an access token: `token_type` is neither
    /// `Bearer` nor `DPoP`.
    Kind,
    /// The token was never issued, has expired or was revoked. Introspection does not say which (RFC 7662
    /// §2.2).
    Inactive,
    /// The token could not be validated: the issuer's keys or its introspection endpoint are unavailable, or
    /// the issuer has more keys than are read.
    Unavailable(Error),
}

impl From<AlgorithmError> for TokenError {
    fn from(error: AlgorithmError) -> Self {
        match error {
            AlgorithmError::Malformed(error) => Self::Malformed(error),
            AlgorithmError::NotAccepted { alg } => Self::Algorithm { alg },
            AlgorithmError::NoSignatureVerifier { algorithm } => Self::NoSignatureVerifier { algorithm },
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("validating an access token: ")?;
        match self {
            Self::Malformed(wrong @ JwsError::TooLong { .. }) => {
                write!(f, "{wrong}; `JwtValidator::max_token_length` sets the limit")
            }
            Self::Malformed(wrong) => write!(f, "it is malformed: {wrong}"),
            Self::Typ { expected, actual } => {
                match actual {
                    Some(actual) => write!(f, "its `typ` is {actual}")?,
                    None => f.write_str("it has no `typ` that is a string")?,
                }
                let expected = printable(&expected.join(", "), 200);
                write!(f, " (expected: {expected}; `JwtValidator::dangerous_accept_typ` adds others)")
            }
            Self::Algorithm { alg } => {
                write!(
                    f,
                    "its `alg` {alg} is not accepted (`JwtValidator::algorithms` sets the accepted ones)"
                )
            }
            Self::NoSignatureVerifier { algorithm } => {
                write!(f, "its `alg` {algorithm} is accepted, but {}", no_verifier(*algorithm))
            }
            Self::UnknownKey => f.write_str("no key of the issuer has its `kid` and fits its `alg`"),
            Self::Signature => f.write_str("signature verification failed"),
            Self::Issuer { expected, actual } => {
                match actual {
                    Some(actual) => write!(f, "its `iss` is {actual}")?,
                    None => f.write_str("its `iss` is not a string")?,
                }
                write!(f, " (the expected issuer is {})", printable(expected, 200))
            }
            Self::Audience { expected, actual } => {
                match actual.is_empty() {
                    true => f.write_str("it has no `aud`")?,
                    false => write!(f, "its `aud` is {}", actual.join(", "))?,
                }
                write!(f, " (it must contain {})", printable(expected, 200))
            }
            Self::Expired { seconds } => write!(f, "it expired {seconds} s ago"),
            Self::NotYetValid { seconds } => write!(f, "it becomes valid in {seconds} s"),
            Self::IssuedInFuture { seconds } => {
                write!(f, "its `iat` is {seconds} s ahead of this server's clock")
            }
            Self::Claim { claim } => write!(f, "its `{claim}` is missing or has the wrong type"),
            Self::Confirmation => {
                f.write_str("its `cnf` has no valid `jkt`, or has a second binding that is not checked")
            }
            Self::Kind => f.write_str("it is not an access token"),
            Self::Inactive => f.write_str("it is not active"),
            Self::Unavailable(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for TokenError {}
