//! Why a proof was refused: precisely for logs and tests, by RFC codes alone for the peer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode, header};

use crate::algorithm::Algorithm;
use crate::error::{Error, printable};
use crate::jws::Malformed;
use crate::proof::{Htu, is_nonce};
use crate::public_key::Thumbprint;
use crate::server::ReplayStoreError;

/// The check that failed, with its facts. For logs: the peer is told a code only.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// There is no `DPoP` header field.
    NoProof,
    /// There is more than one (RFC 9449 §4.3 check 1).
    SeveralProofs {
        /// How many.
        fields: usize,
    },
    /// The field is not ASCII.
    NotAscii,
    /// It is not a well-formed JWT (check 2).
    Malformed(Malformed),
    /// `typ` is not exactly `dpop+jwt` (check 4).
    Typ,
    /// `alg` is not one that is accepted (check 5).
    Algorithm {
        /// What it says, cut to printable ASCII.
        alg: String,
    },
    /// The `jwk` header is missing, malformed, private, weak, or not for this algorithm (checks 5 and 7).
    Jwk {
        /// What is wrong with it.
        wrong: String,
    },
    /// A claim is missing or of the wrong type (check 3).
    Claim {
        /// Which one.
        claim: &'static str,
    },
    /// `htm` is not the method of the request (check 8).
    Htm {
        /// The method of the request.
        expected: String,
        /// What the proof says, cut to printable ASCII.
        seen: String,
    },
    /// `htu` is not the URL of the request (check 9).
    Htu {
        /// The URL of the request, in normal form.
        expected: Htu,
        /// What the proof says, in normal form.
        seen: Htu,
    },
    /// `htu` is not a URL.
    HtuMalformed(Error),
    /// The server's own clock cannot be used.
    Clock(Error),
    /// `iat` is too long ago (check 11).
    Stale {
        /// How long.
        age: Duration,
        /// How long it may be.
        allowed: Duration,
    },
    /// `iat` is too far ahead of the server's clock (check 11).
    Future {
        /// How far.
        ahead: Duration,
        /// How far it may be.
        allowed: Duration,
    },
    /// `exp` is over.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
    /// `ath` is not the hash of the access token (check 12).
    Ath,
    /// The proof's key is not the one that is bound (check 12).
    Binding {
        /// The bound one.
        expected: Thumbprint,
        /// The proof's.
        seen: Thumbprint,
    },
    /// The signature does not hold (check 6).
    Signature,
    /// A nonce is required and the proof has none (check 10).
    NoNonce,
    /// The nonce is not one that is accepted (check 10).
    Nonce,
    /// The proof was seen before (RFC 9449 §11.1).
    Replayed,
    /// Whether it was seen before cannot be told, so it is not accepted.
    ReplayStore(ReplayStoreError),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProof => f.write_str("the request has no DPoP header field"),
            Self::SeveralProofs { fields } => {
                write!(f, "the request has {fields} DPoP header fields instead of one")
            }
            Self::NotAscii => f.write_str("the DPoP header field is not ASCII"),
            Self::Malformed(wrong) => write!(f, "the proof is malformed: {wrong}"),
            Self::Typ => f.write_str("the proof's typ is not dpop+jwt"),
            Self::Algorithm { alg } => write!(f, "the proof's alg {alg} is not accepted"),
            Self::Jwk { wrong } => write!(f, "the proof's jwk: {wrong}"),
            Self::Claim { claim } => write!(f, "the proof's {claim} is missing or of the wrong type"),
            Self::Htm { expected, seen } => {
                write!(f, "the proof's htm is {seen}, the request's method {expected}")
            }
            Self::Htu { expected, seen } => {
                let short = |htu: &Htu| printable(&htu.to_string(), 300);
                write!(f, "the proof's htu is {}, the request's URL {}", short(seen), short(expected))
            }
            Self::HtuMalformed(error) => write!(f, "the proof's htu: {error}"),
            Self::Clock(error) => write!(f, "{error}"),
            Self::Stale { age, allowed } => {
                write!(f, "the proof's iat is {} s ago, {} s are allowed", age.as_secs(), allowed.as_secs())
            }
            Self::Future { ahead, allowed } => {
                write!(
                    f,
                    "the proof's iat is {} s ahead of this clock, {} s are allowed",
                    ahead.as_secs(),
                    allowed.as_secs()
                )
            }
            Self::Expired => f.write_str("the proof's exp is over"),
            Self::NotYetValid => f.write_str("the proof's nbf has not come"),
            Self::Ath => f.write_str("the proof's ath is not the hash of the access token"),
            Self::Binding { expected, seen } => {
                write!(f, "the proof is by key {seen}, the binding is to {expected}")
            }
            Self::Signature => f.write_str("the proof's signature does not hold"),
            Self::NoNonce => f.write_str("the proof has no nonce"),
            Self::Nonce => f.write_str("the proof's nonce is not one that is accepted"),
            Self::Replayed => f.write_str("the proof was seen before"),
            Self::ReplayStore(error) => write!(f, "{error}"),
        }
    }
}

/// A refused proof, with the response to give.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    reason: Reason,
    algorithms: Arc<[Algorithm]>,
}

impl Rejection {
    pub(crate) fn new(reason: Reason, algorithms: Arc<[Algorithm]>) -> Self {
        Self { reason, algorithms }
    }

    /// The check that failed.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The code for the peer: `use_dpop_nonce`, `invalid_token` when the key is not the token's (RFC 9449 figure 16), or
    /// `invalid_dpop_proof`.
    #[must_use]
    pub fn error(&self) -> &'static str {
        match self.reason {
            Reason::NoNonce | Reason::Nonce => "use_dpop_nonce",
            Reason::Binding { .. } => "invalid_token",
            _ => "invalid_dpop_proof",
        }
    }

    /// Whether the request was refused for this server's own trouble: its clock or its replay store. The responses are
    /// then 503, so that clients do not look for what is wrong with their proofs.
    #[must_use]
    pub fn is_server_fault(&self) -> bool {
        matches!(self.reason, Reason::Clock(_) | Reason::ReplayStore(_))
    }

    /// The response of a token endpoint: 400 with the code as JSON (RFC 6749 §5.2, RFC 9449 §8), `nonce` as `DPoP-Nonce`,
    /// not to be cached.
    #[must_use]
    pub fn to_token_response(&self, nonce: Option<&str>) -> Response<String> {
        if self.is_server_fault() {
            return response(StatusCode::SERVICE_UNAVAILABLE, None);
        }
        // Here the key is bound to a refresh token or an authorization request, and no access token is involved.
        let error = match self.error() {
            "invalid_token" => "invalid_dpop_proof",
            error => error,
        };
        let mut response = response(StatusCode::BAD_REQUEST, nonce);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        *response.body_mut() = format!(r#"{{"error":"{error}"}}"#);
        response
    }

    /// The response of a protected resource: 401 with a `DPoP` challenge (RFC 9449 §7.1, §9), `nonce` as `DPoP-Nonce`, not
    /// to be cached.
    #[must_use]
    pub fn to_resource_response(&self, nonce: Option<&str>) -> Response<String> {
        if self.is_server_fault() {
            return response(StatusCode::SERVICE_UNAVAILABLE, None);
        }
        // What is listed is what would be accepted.
        let checked = self.algorithms.iter().filter(|algorithm| algorithm.is_checked_here());
        let names: Vec<_> = checked.flat_map(|algorithm| algorithm.names()).copied().collect();
        let challenge = format!(r#"DPoP error="{}", algs="{}""#, self.error(), names.join(" "));
        let mut response = response(StatusCode::UNAUTHORIZED, nonce);
        if let Ok(challenge) = challenge.parse() {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

fn response(status: StatusCode, nonce: Option<&str>) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if let Some(nonce) = nonce.filter(|nonce| is_nonce(nonce)).and_then(|nonce| nonce.parse().ok()) {
        headers.insert("dpop-nonce", nonce);
    }
    response
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error(), self.reason)
    }
}

impl std::error::Error for Rejection {}
