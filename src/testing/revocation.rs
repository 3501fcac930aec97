//! The revocation endpoint (RFC 7009).

use super::endpoint_error::{EndpointError, invalid_grant, oauth_error_of_quirk};
use super::form::Form;
use super::request::Request;
use super::response::ServerResponse;
use super::state::State;

/// Revokes a token. A refresh token takes the access tokens with it that were issued from the same grant; an
/// access token is revoked alone. A token that is unknown is no error (RFC 7009 §2.2).
pub(super) fn respond(
    state: &State,
    request: &Request<'_>,
    body: &[u8],
) -> Result<ServerResponse, EndpointError> {
    let form = Form::parse(body);
    let client = state.client_authentication.authenticate(request, &form)?.client;
    let token = form.field("token").ok_or_else(|| EndpointError::oauth(400, "invalid_request"))?;
    if let Some(code) = oauth_error_of_quirk(request) {
        return Err(EndpointError::oauth(400, code));
    }
    // The hint about the type of the token is not needed.
    if let Some(found) = state.refresh_tokens.find(token, request.now) {
        let grant = found.value.grant;
        // RFC 7009 §2.1: the client may revoke its own tokens only.
        if grant.client_id != client.id {
            return Err(invalid_grant());
        }
        grant.revoke();
    } else if let Some(issued) = state.tokens.find(token, request.now) {
        if issued.grant.client_id != client.id {
            return Err(invalid_grant());
        }
        state.tokens.revoke(token);
    }
    Ok(ServerResponse::new(200).header("cache-control", "no-store"))
}
