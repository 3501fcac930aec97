//! Responses of the token endpoint before they are processed.

use std::fmt;

use http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

use crate::client::clock_offset::ClockDifference;
use crate::client::token_response::{TokenResponse, TokenType};
use crate::error::{Error, ErrorKind};
use crate::jose::json;
use crate::jose::public_key::Thumbprint;
use crate::oauth::challenge::Challenge;
use crate::oauth::response_facts::{Refusal, require_json_type};
use crate::text::{printable, without_bom_bytes};

/// A response of the token endpoint that has not been processed. Give it to the `process_…` function that
/// belongs to the function that returned it.
pub struct TokenEndpointResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
    pub(super) refusal: Refusal,
    pub(super) requests: u32,
    /// The key the token must be bound to; `None` without DPoP.
    pub(super) jkt: Option<Thumbprint>,
    pub(super) accept_bearer: bool,
    /// A difference of clocks that may be the reason for a refusal.
    pub(super) clock_difference: Option<ClockDifference>,
}

impl TokenEndpointResponse {
    /// Returns the HTTP status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the response headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the body, which holds the token.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns the number of requests that were sent: 2 when the server asked for a nonce, 3 when it also
    /// refused the time.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Checks the response to a token request of any grant and returns its token.
    pub(super) fn into_token(self, doing: impl Fn() -> String) -> Result<TokenResponse, Error> {
        // Some servers create a token with 201, and some send their errors with 200: an error is never
        // taken for a token.
        let may_have_token = matches!(self.status, StatusCode::OK | StatusCode::CREATED);
        if !may_have_token || self.refusal.oauth_error.is_some() {
            return Err(self.into_error(doing()));
        }
        require_json_type(self.status, &self.headers, &doing)?;
        let content =
            |wrong: String| Error::new(ErrorKind::Content { status: self.status.as_u16() }, doing(), wrong);
        let members = json::parse_members(without_bom_bytes(&self.body))
            .map_err(|wrong| content(format!("the response: {wrong}")))?;
        let token = TokenResponse::from_members(members, self.jkt, self.requests).map_err(content)?;
        let wrong = match (token.token_type(), self.jkt) {
            (TokenType::Dpop, Some(_)) | (TokenType::Bearer, None) => return Ok(token),
            (TokenType::Bearer, Some(_)) if self.accept_bearer => return Ok(token),
            (TokenType::Bearer, Some(_)) => {
                "the response to a DPoP request has a Bearer token, which is not bound to the key; \
                 it was discarded (configure the server to bind this client's tokens: `dpop_bound_access_tokens`)"
            }
            (TokenType::Dpop, None) => {
                "the response to a request without a proof has a DPoP token, which nobody can use"
            }
        };
        let token_type = token.token_type().to_string();
        Err(Error::new(ErrorKind::TokenType { token_type }, doing(), wrong))
    }

    /// Returns the error for a response that is not a success.
    fn into_error(self, doing: String) -> Error {
        let status = self.status.as_u16();
        let clock = self.clock_difference.map(|difference| format!("; {difference}")).unwrap_or_default();
        let Refusal { oauth_error, challenges, has_malformed_challenge } = self.refusal;
        if let Some(error) = oauth_error {
            let advice = advice(error.error()).map(|advice| format!(": {advice}")).unwrap_or_default();
            let wrong = format!("the server responded with {error}{advice}{clock}");
            return Error::new(ErrorKind::OAuth(error), doing, wrong);
        }
        if challenges.is_empty() || has_malformed_challenge {
            let wrong = format!("the response has status {status} and no OAuth error{clock}");
            return Error::new(ErrorKind::Status { status }, doing, wrong);
        }
        let shown: Vec<_> = challenges.iter().take(3).map(Challenge::to_string).collect();
        let shown = printable(&shown.join(", "), 500);
        let wrong = format!("the server responded with {status} and the challenge {shown}{clock}");
        Error::new(ErrorKind::Challenge { status, challenges }, doing, wrong)
    }
}

impl fmt::Debug for TokenEndpointResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpointResponse")
            .field("status", &self.status)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

/// Returns what to do about an error of RFC 6749 §5.2, RFC 8707 §2 or RFC 9449, where its name does not say
/// so.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "invalid_client" => {
            "check the client's identifier, its secret or key, and the method and algorithm it is registered with"
        }
        "unauthorized_client" => "the client is not registered for this grant",
        "unsupported_grant_type" => "the server does not support this grant",
        "invalid_scope" => "check the scope, and what the client may request",
        "invalid_target" => "check the resource, and what the client may request",
        "use_dpop_nonce" => "it sent no nonce, or refused the one it had just sent",
        _ => return None,
    })
}
