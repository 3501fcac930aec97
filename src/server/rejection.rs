//! The response to a rejected request.

use std::fmt;
use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};

use crate::dpop::header_names::DPOP_NONCE;
use crate::dpop::server_role::ServerRole;
use crate::error::ErrorKind;
use crate::server::reason::Reason;
use crate::server::replay::ReplayStoreError;
use crate::server::token_error::TokenError;
use crate::text::{is_nonce, printable};

/// A rejected request: the precise [`Reason`] for logs, and the response for the peer.
///
/// ```
/// use possession::server::{MemoryReplayStore, ReceivedRequest, Verifier};
///
/// let verifier = Verifier::new(MemoryReplayStore::new(100_000));
/// let method = http::Method::POST;
/// let request = ReceivedRequest::from_fields(&method, "https://server.example.com/token", Vec::new())?;
/// let rejection = verifier.verify_token_request(&request, std::time::SystemTime::now()).unwrap_err();
///
/// assert_eq!(
///     rejection.to_string(), // for the log
///     "invalid_dpop_proof: verifying a DPoP proof: the request has no `DPoP` header field"
/// );
/// let response = rejection.to_response(); // for the peer
/// assert_eq!(response.status(), 400);
/// assert_eq!(response.body(), r#"{"error":"invalid_dpop_proof"}"#);
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection(Box<Inner>);

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    refusal: Refusal,
    role: ServerRole,
    algs: String,
    bearer: BearerChallenge,
}

/// What a check reports when it fails. A [`Rejection`] is made of it in one place, where role and algorithms
/// are known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// The nonce to send with the response.
    pub(crate) nonce: Option<String>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, nonce: None }
    }
}

/// How the challenges of a response present the `Bearer` scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BearerChallenge {
    /// `Bearer` tokens are not accepted.
    Absent,
    /// `Bearer` tokens are accepted, and the request did not present one.
    Offered,
    /// The request presented a `Bearer` token, and it was rejected.
    Failed,
}

impl Rejection {
    pub(crate) fn new(
        refusal: impl Into<Refusal>,
        role: ServerRole,
        algs: String,
        bearer: BearerChallenge,
    ) -> Self {
        Self(Box::new(Inner { refusal: refusal.into(), role, algs, bearer }))
    }

    /// Returns the check that failed.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.0.refusal.reason
    }

    /// Returns the error code for the peer. There is none when the request had no token (RFC 6750 §3.1), none
    /// for too many requests, and none for a fault of this server.
    #[must_use]
    pub fn error(&self) -> Option<&'static str> {
        match (self.reason(), self.0.role) {
            (Reason::NoToken | Reason::TooManyProofs { .. }, _) => None,
            _ if self.is_server_fault() => None,
            (Reason::NoNonce | Reason::Nonce | Reason::NonceOlderThanStore, _) => Some("use_dpop_nonce"),
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

    /// Returns whether the request was rejected for a fault of this server: its clock, its replay store, or
    /// the issuer's keys or introspection endpoint being unavailable. The response is then 503, so that
    /// clients do not look for a fault of theirs.
    #[must_use]
    pub fn is_server_fault(&self) -> bool {
        matches!(
            self.reason(),
            Reason::Clock(_) | Reason::ReplayStore(_) | Reason::Token(TokenError::Unavailable(_))
        )
    }

    /// Returns whether the request was rejected because its client has sent too many.
    fn is_overuse(&self) -> bool {
        matches!(self.reason(), Reason::TooManyProofs { .. })
    }

    /// Returns the nonce that the response carries.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.0.refusal.nonce.as_deref()
    }

    /// Returns the response for the peer. It must not be cached, carries `DPoP-Nonce` if a nonce is
    /// demanded, and contains nothing that the peer sent.
    ///
    /// At the token endpoint the status is 400 (RFC 6749 §5.2, RFC 9449 §8). At a protected resource it is
    /// 401, with a `DPoP` challenge that lists `algs` (RFC 9449 §7.1, §9); 400 for credentials that were
    /// presented wrongly; and 403 for a missing scope. For a fault of this server it is 503, with
    /// `Retry-After` when too many threads were waiting for the issuer or its keys were fetched too often,
    /// and when the replay store has lost entries or does not respond.
    ///
    /// The body is the error code as JSON, `{"error":"…"}`: some clients read it only there. Without a code
    /// there is no body.
    #[must_use]
    pub fn to_response(&self) -> Response<String> {
        let status = match (self.error(), self.0.role) {
            _ if self.is_server_fault() => StatusCode::SERVICE_UNAVAILABLE,
            _ if self.is_overuse() => StatusCode::TOO_MANY_REQUESTS,
            (Some("invalid_request"), _) | (_, ServerRole::AuthorizationServer) => StatusCode::BAD_REQUEST,
            (Some("insufficient_scope"), _) => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        };
        let mut response = Response::new(String::new());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.is_server_fault() || self.is_overuse() {
            if let Some(pause) = self.retry_after() {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(pause.as_secs().max(1)));
            }
            return response;
        }
        let nonce = self.nonce().filter(|nonce| is_nonce(nonce));
        if let Some(nonce) = nonce.and_then(|nonce| nonce.parse().ok()) {
            headers.insert(DPOP_NONCE, nonce);
        }
        if self.0.role == ServerRole::ResourceServer {
            for challenge in self.challenges() {
                if let Ok(challenge) = challenge.parse() {
                    headers.append(header::WWW_AUTHENTICATE, challenge);
                }
            }
        }
        // RFC 6749 §5.2 demands a code.
        let needs_code = self.0.role == ServerRole::AuthorizationServer;
        if let Some(error) = self.error().or(needs_code.then_some("invalid_request")) {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *response.body_mut() = format!(r#"{{"error":"{error}"}}"#);
        }
        response
    }

    /// Returns when the client may try again, where this server knows it (RFC 9110 §10.2.3).
    fn retry_after(&self) -> Option<Duration> {
        match self.reason() {
            Reason::Token(TokenError::Unavailable(error)) => match error.kind() {
                ErrorKind::BackOff { retry_after } => Some(*retry_after),
                _ => None,
            },
            Reason::TooManyProofs { retry_after, .. }
            | Reason::ReplayStore(
                ReplayStoreError::Forgotten { retry_after, .. }
                | ReplayStoreError::Unavailable { retry_after },
            ) => Some(*retry_after),
            _ => None,
        }
    }

    fn challenges(&self) -> Vec<String> {
        let mut params = Vec::new();
        if let Some(error) = self.error() {
            params.push(format!(r#"error="{error}""#));
        }
        if let Reason::Scope { needed } = self.reason() {
            // The scope comes from this server, not from the peer; `printable` keeps the quoted string
            // whole.
            params.push(format!(r#"scope="{}""#, printable(needed, 300)));
        }
        let algs = format!(r#"algs="{}""#, self.0.algs);
        // The error belongs to the challenge of the scheme that the request used (RFC 9449 §7.2).
        match self.0.bearer {
            BearerChallenge::Failed => vec![format!("Bearer {}", params.join(", ")), format!("DPoP {algs}")],
            bearer => {
                params.push(algs);
                let mut challenges = vec![format!("DPoP {}", params.join(", "))];
                challenges.extend((bearer == BearerChallenge::Offered).then(|| "Bearer".to_owned()));
                challenges
            }
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error() {
            Some(error) => write!(f, "{error}: {}", self.reason()),
            None => write!(f, "{}", self.reason()),
        }
    }
}

impl std::error::Error for Rejection {}
