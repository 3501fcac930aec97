//! Why an access token is not accepted.

use std::fmt;

use crate::error::Error;
use crate::jose::algorithm::Algorithm;
use crate::jose::backend::no_verifier;
use crate::jose::jws::{AlgorithmError, JwsError};

/// Why an access token is not accepted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TokenError {
    /// The token is not a well-formed JWT.
    Malformed(JwsError),
    /// `typ` is not `at+jwt` (RFC 9068 §4).
    Typ,
    /// `alg` is not accepted.
    Algorithm {
        /// The `alg` of the token, shortened and in printable ASCII.
        alg: String,
    },
    /// Allowed, but no verifier is configured for it: a configuration error.
    NoSignatureVerifier {
        /// The `alg` of the token.
        algorithm: Algorithm,
    },
    /// No key of the issuer has the token's `kid` and fits its `alg`.
    UnknownKey,
    /// The signature is invalid.
    Signature,
    /// `iss` is not the expected issuer.
    Issuer,
    /// `aud` does not contain this resource server.
    Audience,
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
    /// A required claim is missing or has the wrong type.
    Claim {
        /// The name of the claim.
        claim: String,
    },
    /// `cnf` has no valid `jkt`, has a second binding that is not checked, or is missing although the token is
    /// of type `DPoP`.
    Confirmation,
    /// The introspection response says that the token is not an access token: `token_type` is neither
    /// `Bearer` nor `DPoP`.
    Kind,
    /// The token was never issued, has expired or was revoked. Introspection does not say which (RFC 7662
    /// §2.2).
    Inactive,
    /// The token could not be validated, because the issuer's keys or its introspection endpoint are
    /// unavailable.
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
            Self::Malformed(wrong) => write!(f, "it is malformed: {wrong}"),
            Self::Typ => f.write_str("its `typ` is not `at+jwt`"),
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
            Self::Issuer => f.write_str("its `iss` is not the expected issuer"),
            Self::Audience => f.write_str("its `aud` does not contain this resource server"),
            Self::Expired { seconds } => write!(f, "it expired {seconds} s ago"),
            Self::NotYetValid { seconds } => write!(f, "it becomes valid in {seconds} s"),
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
