//! The JWT bearer grant at the token endpoint (RFC 7523 §2.1).

use std::sync::Arc;

use super::endpoint_error::{EndpointError, invalid_grant};
use super::grant::Grant;
use super::response::ServerResponse;
use super::token_request::TokenRequest;
use super::token_response::TokenResponse;
use super::trusted_assertions;

/// Issues an access token for the subject of the assertion. There is no refresh token: the client can bring
/// another assertion (RFC 7521 §4.1).
pub(super) fn respond(token_request: &TokenRequest<'_>) -> Result<ServerResponse, EndpointError> {
    let TokenRequest { state, request, client, .. } = token_request;
    let assertion = token_request.required("assertion")?;
    let subject = trusted_assertions::subject(state, &client.client, request, assertion);
    let subject = Some(subject.ok_or_else(invalid_grant)?);
    let grant = Grant::new(&client.client.id, subject, token_request.requested_access()?);
    token_request.refuse_by_quirk()?;
    TokenResponse::new(&Arc::new(grant)).respond(token_request)
}
