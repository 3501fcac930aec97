//! Responses of the endpoints that authenticate clients, before they are processed.

use std::fmt;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

use crate::client::proofs::clock_offset::ClockDifference;
use crate::error::{Error, ErrorKind};
use crate::jose::json::{self, Members};
use crate::jose::public_key::Thumbprint;
use crate::oauth::challenge::Challenge;
use crate::oauth::response_facts::{Refusal, require_json_type};
use crate::text::{printable, without_bom_bytes};

/// A response to an [`EndpointRequest`](crate::EndpointRequest) that has not been processed. Give it to the
/// `process_…` function that belongs to the function that returned it.
pub struct EndpointResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
    pub(crate) refusal: Refusal,
    pub(crate) requests: u32,
    pub(crate) received_at: SystemTime,
    /// The key of the proofs; `None` without DPoP.
    pub(crate) jkt: Option<Thumbprint>,
    /// A difference of clocks that may be the reason for a refusal.
    pub(crate) clock_difference: Option<ClockDifference>,
}

impl EndpointResponse {
    /// Takes a response that `requests` requests were sent for, without proofs.
    pub(crate) fn new(
        response: http::Response<Vec<u8>>,
        refusal: Refusal,
        requests: u32,
        received_at: SystemTime,
    ) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: Zeroizing::new(body),
            refusal,
            requests,
            received_at,
            jkt: None,
            clock_difference: None,
        }
    }

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

    /// Returns the body, which may hold secrets.
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

    /// Requires a success and returns it. Some servers create a resource with 201, and some send their errors
    /// with 200: an error is never taken for a success.
    pub(crate) fn success(self, doing: impl Fn() -> String) -> Result<Self, Error> {
        let is_success = matches!(self.status, StatusCode::OK | StatusCode::CREATED);
        match is_success && self.refusal.oauth_error.is_none() {
            true => Ok(self),
            false => Err(self.into_error(doing())),
        }
    }

    /// Returns the members of a successful JSON response.
    pub(crate) fn members(&self, doing: impl Fn() -> String) -> Result<Members, Error> {
        require_json_type(self.status, &self.headers, &doing)?;
        json::parse_members(without_bom_bytes(&self.body))
            .map_err(|wrong| self.content(doing(), format!("the response: {wrong}")))
    }

    /// Returns the error for a successful response whose content is wrong.
    pub(crate) fn content(&self, doing: String, wrong: String) -> Error {
        Error::new(ErrorKind::Content { status: self.status.as_u16() }, doing, wrong)
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

impl fmt::Debug for EndpointResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointResponse")
            .field("status", &self.status)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

/// Returns what to do about an OAuth error, where its name does not say so: RFC 6749 §5.2, RFC 7009 §2.2.1,
/// RFC 8628 §3.5, RFC 8707 §2, RFC 9449.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "invalid_client" => {
            "check the client's identifier, its secret or key, and the method and algorithm it is registered with"
        }
        "invalid_grant" => {
            "the code, token or assertion of the grant has expired, was used or revoked, or belongs to another \
             client, key or redirect URI"
        }
        "unauthorized_client" => "the client is not registered for this grant",
        "unsupported_grant_type" => "the server does not support this grant",
        "unsupported_token_type" => "the server does not revoke tokens of this type",
        "invalid_scope" => "check the scope, and what the client may request",
        "invalid_target" => "check the resource, and what the client may request",
        "authorization_pending" => "the user has not decided yet",
        "access_denied" => "the user or the server refused",
        "expired_token" => "the user did not decide in time (start again)",
        "use_dpop_nonce" => "it sent no nonce, or refused the one it had just sent",
        _ => return None,
    })
}
