//! The introspection endpoint (RFC 7662) for access tokens and refresh tokens.

use serde_json::{Map, Value, json};

use super::endpoint_error::{EndpointError, oauth_error_of_quirk};
use super::form::Form;
use super::json_document::JsonDocument;
use super::request::Request;
use super::response::ServerResponse;
use super::state::State;
use crate::time::unix_seconds;

/// Describes a token to a client, which need not be the one that the token was issued to.
pub(super) fn respond(
    state: &State,
    request: &Request<'_>,
    body: &[u8],
) -> Result<ServerResponse, EndpointError> {
    let form = Form::parse(body);
    state.client_authentication.authenticate(request, &form)?;
    let token = form.field("token").ok_or_else(|| EndpointError::oauth(400, "invalid_request"))?;
    if let Some(code) = oauth_error_of_quirk(request) {
        return Err(EndpointError::oauth(400, code));
    }
    let mut members = Map::new();
    members.insert("active".to_owned(), Value::Bool(false));
    if let Some(claims) = access_token(state, request, token).or_else(|| refresh_token(state, request, token))
    {
        members.extend(claims);
        members.insert("active".to_owned(), Value::Bool(true));
        members.insert("iss".to_owned(), state.issuer.as_str().into());
    }
    Ok(JsonDocument::from(members).respond(request, 200))
}

/// Returns the claims of a valid access token (RFC 7662 §2.2, RFC 9449 §6.2).
fn access_token(state: &State, request: &Request<'_>, token: &str) -> Option<Map<String, Value>> {
    let issued = state.tokens.find(token, request.now)?;
    let mut claims = issued.claims;
    let token_type = if claims.contains_key("cnf") { "DPoP" } else { "Bearer" };
    claims.insert("token_type".to_owned(), token_type.into());
    let times = [("iat", Some(issued.issued)), ("exp", issued.expires)];
    for (name, time) in times {
        if let Some(seconds) = time.and_then(|time| unix_seconds(time).ok()) {
            claims.insert(name.to_owned(), json!(seconds));
        }
    }
    Some(claims)
}

/// Returns what there is to say about a refresh token that can be used.
fn refresh_token(state: &State, request: &Request<'_>, token: &str) -> Option<Map<String, Value>> {
    let found = state.refresh_tokens.find(token, request.now)?;
    let grant = &found.value.grant;
    (!found.used && !grant.is_revoked()).then(|| grant.claims(grant.access.scope.as_deref()))
}
