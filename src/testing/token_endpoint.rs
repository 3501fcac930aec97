//! The token endpoint (RFC 6749 §3.2) with DPoP (RFC 9449 §5).

use std::sync::Arc;

use super::endpoint_error::EndpointError;
use super::form::Form;
use super::grant::Grant;
use super::refusal::with_nonce;
use super::request::Request;
use super::response::ServerResponse;
use super::state::State;
use super::token_request::TokenRequest;
use super::token_response::TokenResponse;
use super::{authorization_code_grant, device_code_grant, refresh_token_grant};

/// The grant types that the metadata list.
pub(super) const GRANT_TYPES: [&str; 4] = [
    "client_credentials",
    "authorization_code",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
];

pub(super) fn respond(
    state: &State,
    request: &Request<'_>,
    body: &[u8],
) -> Result<ServerResponse, EndpointError> {
    let form = &Form::parse(body);
    let client = &state.client_authentication.authenticate(request, form)?;
    let (jkt, next_nonce) = state.proofs.verify_token_request(request)?;
    let token_request = TokenRequest { state, request, form, client, jkt };
    let response = match form.field("grant_type") {
        Some("client_credentials") => client_credentials(&token_request),
        Some("authorization_code") => authorization_code_grant::respond(&token_request),
        Some("refresh_token") => refresh_token_grant::respond(&token_request),
        Some("urn:ietf:params:oauth:grant-type:device_code") => device_code_grant::respond(&token_request),
        _ => Err(EndpointError::oauth(400, "unsupported_grant_type")),
    };
    Ok(with_nonce(EndpointError::into_response(response)?, next_nonce.as_deref()))
}

/// The client credentials grant (RFC 6749 §4.4).
fn client_credentials(token_request: &TokenRequest<'_>) -> Result<ServerResponse, EndpointError> {
    token_request.refuse_by_quirk()?;
    let grant = Grant {
        client_id: token_request.client.client.id.clone(),
        scope: token_request.form.field("scope").map(str::to_owned),
        ..Grant::default()
    };
    TokenResponse::new(&Arc::new(grant)).respond(token_request)
}
