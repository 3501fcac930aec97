//! Responses of the token endpoint, not yet checked.

use std::fmt;

use http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

use crate::client::clock_offset::ClockDifference;
use crate::error::{Error, ErrorKind};
use crate::jose::public_key::Thumbprint;
use crate::oauth::challenge::Challenge;
use crate::oauth::response::{is_refusal, oauth_error};
use crate::text::printable;

/// A response of the token endpoint, to be processed by the twin of the function that gave it.
pub struct TokenEndpointResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
    pub(super) requests: u32,
    /// The key the token must be bound to; `None` without DPoP.
    pub(crate) jkt: Option<Thumbprint>,
    pub(crate) accept_bearer: bool,
    /// A disagreement of clocks that may be why it is a refusal.
    pub(crate) skew: Option<ClockDifference>,
}

impl TokenEndpointResponse {
    /// The HTTP status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The response headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body. It holds the token.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// How many requests were sent for it: 2 when the server asked for a nonce, 3 when it also refused the time.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    pub(crate) fn into_http(self) -> http::Response<Vec<u8>> {
        let mut response = http::Response::new(self.body.to_vec());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
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

/// The error for a response that is not a success.
pub(super) fn refusal(
    response: &http::Response<Vec<u8>>,
    doing: String,
    skew: Option<ClockDifference>,
) -> Error {
    let status = response.status().as_u16();
    let skew = skew.map(|skew| format!("; {skew}")).unwrap_or_default();
    if let Some(error) = oauth_error(response) {
        let advice = advice(error.error()).map(|advice| format!(": {advice}")).unwrap_or_default();
        let wrong = format!("the server answered {error}{advice}{skew}");
        return Error::new(ErrorKind::OAuth(error), doing, wrong);
    }
    match Challenge::from_headers(response.headers()) {
        Ok(challenges) if is_refusal(response.status()) && !challenges.is_empty() => {
            let shown: Vec<_> = challenges.iter().take(3).map(Challenge::to_string).collect();
            let shown = printable(&shown.join(", "), 500);
            let wrong = format!("the server answered {status} with the challenge {shown}{skew}");
            Error::new(ErrorKind::Challenge { status, challenges }, doing, wrong)
        }
        _ => {
            let wrong = format!("the server answered with status {status} and no OAuth error");
            Error::new(ErrorKind::Status { status }, doing, wrong)
        }
    }
}

/// What to do about an error of RFC 6749 §5.2, RFC 8707 §2 or RFC 9449, where its name does not say so.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "invalid_client" => {
            "check the client's identifier, its secret or key, and the method and algorithm it is registered with"
        }
        "unauthorized_client" => "the client is not registered for this grant",
        "unsupported_grant_type" => "the server does not know this grant",
        "invalid_scope" => "check the scope, and what the client may ask for",
        "invalid_target" => "check the resource, and what the client may ask for",
        "use_dpop_nonce" => "it gave no nonce, or refused the one it had just given",
        _ => return None,
    })
}
