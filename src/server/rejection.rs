//! Why a proof was refused: precisely for logs and tests, by RFC codes alone for the peer.

use std::fmt;
use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};

use crate::dpop::header_names::DPOP_NONCE;
use crate::dpop::htu::Htu;
use crate::dpop::server_role::ServerRole;
use crate::error::Error;
use crate::jose::algorithm::Algorithm;
use crate::jose::backend::not_checked;
use crate::jose::jws::JwsError;
use crate::jose::public_key::Thumbprint;
use crate::server::access_token::TokenError;
use crate::server::replay::ReplayStoreError;
use crate::text::{is_nonce, printable};

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
    Malformed(JwsError),
    /// `typ` is not exactly `dpop+jwt` (check 4).
    Typ,
    /// `alg` is not one that is accepted (check 5).
    Algorithm {
        /// What it says, cut to printable ASCII.
        alg: String,
    },
    /// `alg` is one that is accepted, and whose signatures nobody here checks: a setting to mend.
    NoSignatureVerifier {
        /// Which.
        algorithm: Algorithm,
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
    /// The request has no access token.
    NoToken,
    /// The request presents its credentials in a way that is not allowed (RFC 6750 §3.1 `invalid_request`).
    Credentials {
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// The URL of the request cannot be told, or is not one.
    RequestUrl(Error),
    /// The access token is not accepted.
    Token(TokenError),
    /// The access token is bound to a key and came as `Bearer`, where unbound ones may (RFC 9449 §7.2).
    BoundTokenAsBearer,
    /// The access token is bound to no key and came as `DPoP`.
    UnboundToken,
    /// The access token came as `Bearer`, and such are not accepted here, bound to a key or not.
    BearerNotAccepted,
    /// The access token lacks a scope.
    Scope {
        /// The one that is needed.
        needed: String,
    },
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
            Self::Algorithm { alg } => {
                write!(f, "the proof's alg {alg} is not accepted (`Verifier::algorithms` says what is)")
            }
            Self::NoSignatureVerifier { algorithm } => {
                write!(f, "the proof's alg {algorithm} is accepted, but {}", not_checked(*algorithm))
            }
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
            Self::NoToken => f.write_str("the request has no access token"),
            Self::Credentials { wrong } => f.write_str(wrong),
            Self::RequestUrl(error) => write!(f, "the request's URL: {error}"),
            Self::Token(error) => write!(f, "{error}"),
            Self::BoundTokenAsBearer => f.write_str("the access token is bound to a key and came as Bearer"),
            Self::UnboundToken => f.write_str("the access token is bound to no key and came as DPoP"),
            Self::BearerNotAccepted => {
                f.write_str("the access token came as Bearer, and such are not accepted")
            }
            Self::Scope { needed } => write!(f, "the access token lacks the scope {}", printable(needed, 80)),
        }
    }
}

/// A refused request, with the response to give.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection(Box<Inner>);

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    reason: Reason,
    part: ServerRole,
    algs: String,
    nonce: Option<String>,
    bearer: Bearer,
}

/// What `Bearer` tokens have to do with a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bearer {
    NotAccepted,
    Offered,
    Tried,
}

impl Rejection {
    pub(crate) fn new(reason: Reason, part: ServerRole, algs: String) -> Self {
        Self(Box::new(Inner { reason, part, algs, nonce: None, bearer: Bearer::NotAccepted }))
    }

    pub(crate) fn with_nonce(mut self, nonce: Option<String>) -> Self {
        self.0.nonce = nonce;
        self
    }

    /// Says in challenges that `Bearer` tokens are accepted as well.
    pub(crate) fn offering_bearer(mut self, bearer: bool) -> Self {
        if bearer {
            self.0.bearer = Bearer::Offered;
        }
        self
    }

    /// Answers a `Bearer` token where such are accepted.
    pub(crate) fn of_bearer(mut self) -> Self {
        self.0.bearer = Bearer::Tried;
        self
    }

    /// The check that failed.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.0.reason
    }

    /// The code for the peer; `None` where there is none: no token came (RFC 6750 §3.1), or the fault is this server's.
    #[must_use]
    pub fn error(&self) -> Option<&'static str> {
        match (&self.0.reason, self.0.part) {
            (Reason::NoToken, _) => None,
            _ if self.is_server_fault() => None,
            (Reason::NoNonce | Reason::Nonce, _) => Some("use_dpop_nonce"),
            (Reason::Credentials { .. } | Reason::RequestUrl(_), _) => Some("invalid_request"),
            (Reason::Scope { .. }, _) => Some("insufficient_scope"),
            // RFC 9449 figure 16. At the token endpoint no access token is involved.
            (Reason::Binding { .. }, ServerRole::ResourceServer) => Some("invalid_token"),
            (
                Reason::Token(_)
                | Reason::BoundTokenAsBearer
                | Reason::UnboundToken
                | Reason::BearerNotAccepted,
                _,
            ) => Some("invalid_token"),
            _ => Some("invalid_dpop_proof"),
        }
    }

    /// Whether the request was refused for this server's own trouble: its clock, its replay store, or keys and
    /// introspection out of reach. The response is then 503, so that clients do not look for what is wrong with theirs.
    #[must_use]
    pub fn is_server_fault(&self) -> bool {
        matches!(
            self.0.reason,
            Reason::Clock(_) | Reason::ReplayStore(_) | Reason::Token(TokenError::Unavailable(_))
        )
    }

    /// The nonce that goes with the response.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.0.nonce.as_deref()
    }

    /// The response to give, not to be cached, with `DPoP-Nonce` where a nonce is asked for, and nothing in it that came
    /// from the peer.
    ///
    /// At the token endpoint: 400 with the code as JSON (RFC 6749 §5.2, RFC 9449 §8). At a protected resource: 401 with a
    /// `DPoP` challenge that lists `algs` (RFC 9449 §7.1, §9), 400 for credentials presented wrongly, 403 for a scope that is
    /// missing. For this server's own faults: 503.
    #[must_use]
    pub fn to_response(&self) -> Response<String> {
        let status = match (self.error(), self.0.part) {
            _ if self.is_server_fault() => StatusCode::SERVICE_UNAVAILABLE,
            (Some("invalid_request"), _) | (_, ServerRole::AuthorizationServer) => StatusCode::BAD_REQUEST,
            (Some("insufficient_scope"), _) => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        };
        let mut response = Response::new(String::new());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.is_server_fault() {
            return response;
        }
        if let Some(nonce) =
            self.0.nonce.as_ref().filter(|nonce| is_nonce(nonce)).and_then(|nonce| nonce.parse().ok())
        {
            headers.insert(DPOP_NONCE, nonce);
        }
        match self.0.part {
            ServerRole::AuthorizationServer => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                *response.body_mut() =
                    format!(r#"{{"error":"{}"}}"#, self.error().unwrap_or("invalid_request"));
            }
            ServerRole::ResourceServer => {
                for challenge in self.challenges() {
                    if let Ok(challenge) = challenge.parse() {
                        headers.append(header::WWW_AUTHENTICATE, challenge);
                    }
                }
            }
        }
        response
    }

    fn challenges(&self) -> Vec<String> {
        let mut params = Vec::new();
        if let Some(error) = self.error() {
            params.push(format!(r#"error="{error}""#));
        }
        if let Reason::Scope { needed } = &self.0.reason {
            // The server's own word, and checked all the same.
            params.push(format!(r#"scope="{}""#, printable(needed, 300)));
        }
        let algs = format!(r#"algs="{}""#, self.0.algs);
        // What is wrong stands in the challenge of the scheme that was tried (RFC 9449 §7.2).
        match self.0.bearer {
            Bearer::Tried => vec![format!("Bearer {}", params.join(", ")), format!("DPoP {algs}")],
            offered => {
                params.push(algs);
                let mut challenges = vec![format!("DPoP {}", params.join(", "))];
                challenges.extend((offered == Bearer::Offered).then(|| "Bearer".to_owned()));
                challenges
            }
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error() {
            Some(error) => write!(f, "{error}: {}", self.0.reason),
            None => write!(f, "{}", self.0.reason),
        }
    }
}

impl std::error::Error for Rejection {}
