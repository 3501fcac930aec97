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
use super::{
    authorization_code_grant, device_code_grant, jwt_bearer_grant, refresh_token_grant, token_exchange_grant,
};

/// The grant types that the metadata list.
pub(super) const GRANT_TYPES: [&str; 6] = [
    "client_credentials",
    "authorization_code",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:token-exchange",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
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
    let response = grant(&token_request);
    Ok(with_nonce(EndpointError::into_response(response)?, next_nonce.as_deref()))
}

fn grant(token_request: &TokenRequest<'_>) -> Result<ServerResponse, EndpointError> {
    let grant_type = token_request.required("grant_type")?;
    if !GRANT_TYPES.contains(&grant_type) {
        return Err(EndpointError::oauth(400, "unsupported_grant_type"));
    }
    if !token_request.client.client.may_use(grant_type) {
        return Err(EndpointError::oauth(400, "unauthorized_client"));
    }
    match grant_type.strip_prefix("urn:ietf:params:oauth:grant-type:").unwrap_or(grant_type) {
        "authorization_code" => authorization_code_grant::respond(token_request),
        "refresh_token" => refresh_token_grant::respond(token_request),
        "device_code" => device_code_grant::respond(token_request),
        "token-exchange" => token_exchange_grant::respond(token_request),
        "jwt-bearer" => jwt_bearer_grant::respond(token_request),
        _ => client_credentials(token_request),
    }
}

/// The client credentials grant (RFC 6749 §4.4).
fn client_credentials(token_request: &TokenRequest<'_>) -> Result<ServerResponse, EndpointError> {
    let access = token_request.requested_access()?;
    token_request.refuse_by_quirk()?;
    let grant = Grant::new(&token_request.client.client.id, None, access);
    TokenResponse::new(&Arc::new(grant)).respond(token_request)
}
