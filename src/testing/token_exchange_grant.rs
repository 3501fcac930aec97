//! Token exchange at the token endpoint (RFC 8693).

use std::sync::Arc;

use super::endpoint_error::EndpointError;
use super::grant::Grant;
use super::response::ServerResponse;
use super::token_request::TokenRequest;
use super::token_response::TokenResponse;
use super::trusted_assertions;

/// The prefix of the registered token types (RFC 8693 §3).
const TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:";

/// The token types beside `access_token` that can be requested. The tokens are opaque texts, for whoever
/// accepts such a token.
const OTHER_TYPES: [&str; 4] = ["jwt", "id_token", "saml1", "saml2"];

pub(super) fn respond(token_request: &TokenRequest<'_>) -> Result<ServerResponse, EndpointError> {
    let invalid = || EndpointError::oauth(400, "invalid_request");
    let form = token_request.form;
    let subject_type = token_request.required("subject_token_type")?;
    let subject = subject(token_request, token_request.required("subject_token")?, subject_type)?;
    // RFC 8693 §2.1: the type is there if and only if there is an actor token.
    let actor = match (form.field("actor_token"), form.field("actor_token_type")) {
        (None, None) => None,
        (Some(token), Some(token_type)) => Some(self::subject(token_request, token, token_type)?),
        _ => return Err(invalid()),
    };
    let requested = form.field("requested_token_type").map(|requested| requested.strip_prefix(TOKEN_TYPE));
    let token_type = match requested {
        None | Some(Some("access_token")) => "access_token",
        Some(Some(other)) => OTHER_TYPES.into_iter().find(|known| *known == other).ok_or_else(invalid)?,
        Some(None) => return Err(invalid()),
    };
    let mut access = token_request.requested_access()?;
    access.resources.extend(form.values("audience").map(str::to_owned));
    let grant = Grant::new(&token_request.client.client.id, Some(subject), access).with_actor(actor);
    token_request.refuse_by_quirk()?;
    let response =
        TokenResponse::new(&Arc::new(grant)).issued_token_type(format!("{TOKEN_TYPE}{token_type}"));
    match token_type {
        "access_token" => response.respond(token_request),
        _ => response.respond_with_other_token(token_request),
    }
}

/// Returns the subject of a token: an access token or refresh token of this server, or a JWT of an issuer
/// that it trusts.
fn subject(token_request: &TokenRequest<'_>, token: &str, token_type: &str) -> Result<String, EndpointError> {
    let TokenRequest { state, request, client, .. } = token_request;
    let of_grant = |grant: &Grant| grant.subject.clone().unwrap_or_else(|| grant.client_id.clone());
    let subject = match token_type.strip_prefix(TOKEN_TYPE) {
        Some("access_token") => state.tokens.find(token, request.now).map(|issued| of_grant(&issued.grant)),
        Some("refresh_token") => {
            let found = state.refresh_tokens.find(token, request.now).filter(|found| !found.used);
            let grant = found.map(|found| found.value.grant).filter(|grant| !grant.is_revoked());
            grant.filter(|grant| grant.client_id == client.client.id).map(|grant| of_grant(&grant))
        }
        Some("jwt" | "id_token") => trusted_assertions::subject(state, &client.client, request, token),
        _ => None,
    };
    // RFC 8693 §2.2.2: the error code for a token that is invalid or not acceptable.
    subject.ok_or_else(|| EndpointError::oauth(400, "invalid_request"))
}
