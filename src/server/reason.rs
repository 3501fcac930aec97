//! Why a request was rejected.

use std::fmt;
use std::time::Duration;

use crate::dpop::htu::Htu;
use crate::error::Error;
use crate::jose::algorithm::Algorithm;
use crate::jose::backend::no_verifier;
use crate::jose::jws::{AlgorithmError, JwsError};
use crate::jose::public_key::Thumbprint;
use crate::server::replay::ReplayStoreError;
use crate::server::token_error::TokenError;
use crate::text::printable;

/// The check that failed, with its facts. It is meant for logs: the peer receives an error code only
/// ([`Rejection::error`](crate::server::Rejection::error)).
///
/// The numbers of checks are those of RFC 9449 §4.3.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The request has no `DPoP` header field.
    NoProof,
    /// The request has more than one `DPoP` header field (check 1).
    SeveralProofs {
        /// The number of fields.
        fields: usize,
    },
    /// The `DPoP` header field is not ASCII.
    NotAscii,
    /// The proof is not a well-formed JWT (check 2).
    Malformed(JwsError),
    /// `typ` is not exactly `dpop+jwt` (check 4).
    Typ,
    /// `alg` is not accepted (check 5).
    Algorithm {
        /// The `alg` of the proof, shortened and in printable ASCII.
        alg: String,
    },
    /// The algorithm is accepted, but no verifier is configured for it: a configuration error.
    NoSignatureVerifier {
        /// The `alg` of the proof.
        algorithm: Algorithm,
    },
    /// The `jwk` header parameter is missing, malformed, private, weak, or not for this algorithm (checks 5
    /// and 7).
    Jwk {
        /// What is wrong with it.
        detail: String,
    },
    /// A claim is missing or has the wrong type (check 3).
    Claim {
        /// The name of the claim.
        claim: &'static str,
    },
    /// `htm` is not the method of the request (check 8).
    Htm {
        /// The method of the request.
        expected: String,
        /// The `htm` of the proof, shortened and in printable ASCII.
        actual: String,
    },
    /// `htu` is not the URL of the request (check 9).
    Htu {
        /// The URL of the request, in normal form.
        expected: Htu,
        /// The `htu` of the proof, in normal form.
        actual: Htu,
    },
    /// `htu` is not a URL.
    HtuMalformed(Error),
    /// The server's own clock cannot be used.
    Clock(Error),
    /// `iat` is too far in the past (check 11).
    Stale {
        /// The age of the proof.
        age: Duration,
        /// The age that is accepted: [`Verifier::max_age`](crate::server::Verifier::max_age).
        allowed: Duration,
    },
    /// `iat` is too far in the future (check 11).
    Future {
        /// How far it is ahead of the server's clock.
        ahead: Duration,
        /// How far it may be ahead: [`Verifier::leeway`](crate::server::Verifier::leeway).
        allowed: Duration,
    },
    /// `exp` has passed.
    Expired,
    /// `nbf` has not been reached.
    NotYetValid,
    /// `ath` is not the hash of the access token (check 12).
    Ath,
    /// The key of the proof is not the expected one (check 12).
    Binding {
        /// The thumbprint that the token or the grant is bound to.
        expected: Thumbprint,
        /// The thumbprint of the proof's key.
        actual: Thumbprint,
    },
    /// The signature is invalid (check 6).
    Signature,
    /// A nonce is required, and the proof has none (check 10).
    NoNonce,
    /// The nonce is expired, forged or unknown (check 10).
    Nonce,
    /// The nonce is valid, but the replay store does not know whether the proof was used before: it has lost
    /// the entries of the time when the nonce was made. The client retries with a new one.
    NonceOlderThanStore,
    /// The proof has been used before (RFC 9449 §11.1).
    Replayed,
    /// The key of the proof has so many unexpired proofs in the replay store that there might be no room for
    /// others.
    TooManyProofs {
        /// The number of proofs that one key may have there:
        /// [`MemoryReplayStore::max_proofs_per_key`](crate::server::MemoryReplayStore::max_proofs_per_key).
        allowed: usize,
        /// When the client should try again.
        retry_after: Duration,
    },
    /// The replay store cannot tell whether the proof has been used before, so it is not accepted.
    ReplayStore(ReplayStoreError),
    /// The request has no access token.
    NoToken,
    /// The request presents its credentials in a way that is not allowed (RFC 6750 §3.1 `invalid_request`).
    Credentials {
        /// What is wrong with them.
        detail: &'static str,
    },
    /// The URL of the request cannot be determined, or is not a URL.
    RequestUrl(Error),
    /// The access token is not accepted.
    Token(TokenError),
    /// A bound access token was presented as `Bearer`. This server accepts unbound tokens as `Bearer`, but
    /// not bound ones (RFC 9449 §7.2).
    BoundTokenAsBearer,
    /// The access token is not bound to a key and was presented as `DPoP`.
    UnboundToken,
    /// The access token was presented as `Bearer`, which is not accepted here whether the token is bound or
    /// not.
    BearerNotAccepted,
    /// The access token lacks a scope.
    Scope {
        /// The scope that is needed.
        needed: String,
    },
}

impl From<AlgorithmError> for Reason {
    fn from(error: AlgorithmError) -> Self {
        match error {
            AlgorithmError::Malformed(error) => Self::Malformed(error),
            AlgorithmError::NotAccepted { alg } => Self::Algorithm { alg },
            AlgorithmError::NoSignatureVerifier { algorithm } => Self::NoSignatureVerifier { algorithm },
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self {
            // The error says what was being done.
            Self::Token(error) => return write!(f, "{error}"),
            Self::NoToken | Self::Credentials { .. } | Self::BearerNotAccepted => {
                "reading the credentials of a request"
            }
            Self::RequestUrl(_) => "determining the URL of a request",
            Self::BoundTokenAsBearer | Self::UnboundToken => "checking the binding of an access token",
            Self::Scope { .. } => "authorizing a request",
            _ => "verifying a DPoP proof",
        };
        write!(f, "{action}: ")?;
        self.fmt_problem(f)
    }
}

impl Reason {
    fn fmt_problem(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProof => f.write_str("the request has no `DPoP` header field"),
            Self::SeveralProofs { fields } => {
                write!(f, "the request has {fields} `DPoP` header fields (it must have one)")
            }
            Self::NotAscii => f.write_str("the `DPoP` header field is not ASCII"),
            Self::Malformed(wrong) => write!(f, "it is malformed: {wrong}"),
            Self::Typ => f.write_str("its `typ` is not `dpop+jwt`"),
            Self::Algorithm { alg } => {
                write!(f, "its `alg` {alg} is not accepted (`Verifier::algorithms` sets the accepted ones)")
            }
            Self::NoSignatureVerifier { algorithm } => {
                write!(f, "its `alg` {algorithm} is accepted, but {}", no_verifier(*algorithm))
            }
            Self::Jwk { detail } => write!(f, "its `jwk`: {detail}"),
            Self::Claim { claim } => write!(f, "its `{claim}` is missing or has the wrong type"),
            Self::Htm { expected, actual } => {
                write!(f, "its `htm` is {actual} (the method of the request is {expected})")
            }
            Self::Htu { expected, actual } => {
                let short = |htu: &Htu| printable(&htu.to_string(), 300);
                write!(f, "its `htu` is {} (the URL of the request is {})", short(actual), short(expected))
            }
            Self::HtuMalformed(error) => write!(f, "its `htu`: {error}"),
            Self::Clock(error) | Self::RequestUrl(error) => write!(f, "{error}"),
            Self::Stale { age, allowed } => {
                write!(f, "its `iat` is {} s ago (at most {} s)", age.as_secs(), allowed.as_secs())
            }
            Self::Future { ahead, allowed } => {
                let (ahead, leeway) = (ahead.as_secs(), allowed.as_secs());
                write!(f, "its `iat` is {ahead} s ahead of this server's clock (the leeway is {leeway} s)")
            }
            Self::Expired => f.write_str("its `exp` has passed"),
            Self::NotYetValid => f.write_str("its `nbf` has not been reached"),
            Self::Ath => f.write_str("its `ath` is not the hash of the access token"),
            Self::Binding { expected, actual } => {
                write!(f, "its key has the thumbprint {actual} (the expected one is {expected})")
            }
            Self::Signature => f.write_str("signature verification failed"),
            Self::NoNonce => f.write_str("it has no `nonce`, and one is required"),
            Self::Nonce => f.write_str("its `nonce` is not accepted: it is expired, forged or unknown"),
            Self::NonceOlderThanStore => f.write_str(
                "its `nonce` is older than the entries of the replay store, so the proof may have been used before",
            ),
            Self::Replayed => f.write_str("it has been used before"),
            Self::TooManyProofs { allowed, .. } => {
                write!(f, "its key has {allowed} unexpired proofs in the replay store (no key may have more)")
            }
            Self::ReplayStore(error) => write!(f, "{error}"),
            Self::NoToken => f.write_str("there is no access token"),
            Self::Credentials { detail } => f.write_str(detail),
            Self::Token(error) => write!(f, "{error}"),
            Self::BoundTokenAsBearer => f.write_str(
                "it is bound to a key and was presented as `Bearer` (it must be presented as `DPoP`)",
            ),
            Self::UnboundToken => f.write_str("it is not bound to a key and was presented as `DPoP`"),
            Self::BearerNotAccepted => {
                f.write_str("the access token was presented as `Bearer` (only `DPoP` is accepted)")
            }
            Self::Scope { needed } => write!(f, "the access token lacks the scope {}", printable(needed, 80)),
        }
    }
}
