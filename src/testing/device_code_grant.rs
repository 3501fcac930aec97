//! The device code grant at the token endpoint (RFC 8628 §3.4 and §3.5).

use super::device_code::DeviceCode;
use super::endpoint_error::{EndpointError, invalid_grant, oauth_error_of_quirk};
use super::response::ServerResponse;
use super::token_request::TokenRequest;
use super::token_response::TokenResponse;

pub(super) fn respond(token_request: &TokenRequest<'_>) -> Result<ServerResponse, EndpointError> {
    let TokenRequest { state, request, client, .. } = token_request;
    let secret = token_request.required("device_code")?;
    let found = state.device_codes.find(secret, request.now).ok_or_else(invalid_grant)?;
    let DeviceCode { grant, .. } = &found.value;
    if grant.client_id != client.client.id || found.used {
        return Err(invalid_grant());
    }
    if found.value.is_expired(request.now) {
        return Err(EndpointError::oauth(400, "expired_token"));
    }
    if state.device_codes.update(secret, |code| code.poll(request.now)) != Some(true) {
        return Err(EndpointError::oauth(400, "slow_down"));
    }
    if let Some(code) = oauth_error_of_quirk(request) {
        match code.as_str() {
            "slow_down" => {
                state.device_codes.update(secret, DeviceCode::slow_down);
            }
            // RFC 8628 §3.5: these are final.
            "access_denied" | "expired_token" => {
                state.device_codes.mark_used(secret);
            }
            _ => {}
        }
        return Err(EndpointError::oauth(400, code));
    }
    if !state.device_codes.mark_used(secret) {
        return Err(invalid_grant());
    }
    let refresh_token = token_request.issue_refresh_token(grant)?;
    TokenResponse::new(grant).refresh_token(refresh_token).respond(token_request)
}
