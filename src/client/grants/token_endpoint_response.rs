//! Responses of the token endpoint before they are processed.

use std::fmt;

use http::{HeaderMap, StatusCode};

use crate::client::endpoints::endpoint::Endpoint;
use crate::client::endpoints::endpoint_response::EndpointResponse;
use crate::client::grants::token_response::{TokenResponse, TokenType};
use crate::error::{Error, ErrorKind};
use crate::oauth::client::Client;
use crate::oauth::metadata::AuthorizationServer;

/// A response of the token endpoint that has not been processed. Give it to the `process_…` function that
/// belongs to the function that returned it.
pub struct TokenEndpointResponse {
    pub(crate) response: EndpointResponse,
    pub(crate) accepted: AcceptedTokens,
}

/// The tokens that a response may have, beside one of the type that the request implies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AcceptedTokens {
    /// A `Bearer` token in response to a DPoP request.
    pub(crate) bearer: bool,
    /// A token that is not an access token, with the type `N_A` (RFC 8693 §2.2.1).
    pub(crate) not_applicable: bool,
}

impl TokenEndpointResponse {
    /// Returns the HTTP status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status
    }

    /// Returns the response headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.response.headers
    }

    /// Returns the body, which holds the token.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.response.body
    }

    /// Returns the number of requests that were sent: 2 when the server asked for a nonce, 3 when it also
    /// refused the time.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.response.requests
    }

    /// Checks the response to a token request of any grant and returns its token.
    pub(crate) fn into_token(
        self,
        server: &AuthorizationServer,
        client: &Client,
    ) -> Result<TokenResponse, Error> {
        let doing = || Endpoint::Token.doing(server.issuer(), client);
        let response = self.response.success(doing)?;
        let (jkt, members) = (response.jkt, response.members(doing)?);
        let token = TokenResponse::from_members(members, jkt, response.requests, response.received_at)
            .map_err(|wrong| response.content(doing(), wrong))?;
        let wrong = match (token.token_type(), jkt) {
            (TokenType::Dpop, Some(_)) | (TokenType::Bearer, None) => return Ok(token),
            (TokenType::Bearer, Some(_)) if self.accepted.bearer => return Ok(token),
            (TokenType::NotApplicable, _) if self.accepted.not_applicable => return Ok(token),
            (TokenType::NotApplicable, _) => {
                "the response has a token of type N_A, which is not an access token (RFC 8693 §2.2.1), \
                 and an access token was requested"
            }
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
}

impl fmt::Debug for TokenEndpointResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpointResponse")
            .field("status", &self.response.status)
            .field("requests", &self.response.requests)
            .finish_non_exhaustive()
    }
}
