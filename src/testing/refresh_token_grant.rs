//! The refresh token grant (RFC 6749 §6). Refresh tokens rotate (RFC 9700 §4.14.2).

use super::endpoint_error::{EndpointError, invalid_grant};
use super::quirk::Quirk;
use super::response::ServerResponse;
use super::token_request::TokenRequest;
use super::token_response::TokenResponse;

/// Responds to a refresh request. The refresh token is used up, and a new one takes its place.
pub(super) fn respond(token_request: &TokenRequest<'_>) -> Result<ServerResponse, EndpointError> {
    let TokenRequest { state, request, client, .. } = token_request;
    let secret = token_request.required("refresh_token")?;
    let found = state.refresh_tokens.find(secret, request.now).ok_or_else(invalid_grant)?;
    let grant = &found.value.grant;
    if grant.client_id != client.client.id || grant.is_revoked() {
        return Err(invalid_grant());
    }
    // RFC 9700 §4.14.2: either the client or a thief uses an old refresh token, and which of them is not
    // known. All tokens of the grant are revoked.
    let refuse_reuse = || {
        state.log.count(|counts| &mut counts.repeated_grants);
        if request.quirks.any_applies(|quirk| matches!(quirk, Quirk::AcceptUsedRefreshTokens)) {
            return Ok(());
        }
        grant.revoke();
        Err(invalid_grant())
    };
    if found.used {
        refuse_reuse()?;
    }
    if !found.value.accepts_key(token_request.jkt, request) {
        return Err(invalid_grant());
    }
    let scope = token_request.narrowed_scope(grant)?;
    token_request.refuse_by_quirk()?;
    let refresh_token = match kept(token_request) {
        Some(is_sent) => is_sent.then(|| secret.to_owned()),
        None => {
            // Another request may have used the token since.
            if !state.refresh_tokens.mark_used(secret) && !found.used {
                refuse_reuse()?;
            }
            token_request.issue_refresh_token(grant)?
        }
    };
    TokenResponse::new(grant).scope(scope).refresh_token(refresh_token).respond(token_request)
}

/// Returns whether a quirk keeps the refresh token, and if so, whether the response contains it.
fn kept(token_request: &TokenRequest<'_>) -> Option<bool> {
    let quirks = token_request.request.quirks;
    quirks.iter().find_map(|active| match active.quirk {
        Quirk::KeepRefreshToken { sent } if quirks.applies(active, true) => Some(sent),
        _ => None,
    })
}
