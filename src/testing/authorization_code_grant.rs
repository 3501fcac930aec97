//! The authorization code grant at the token endpoint (RFC 6749 §4.1.3, RFC 7636 §4.6, RFC 9449 §10).

use super::endpoint_error::{EndpointError, invalid_grant};
use super::quirk::Quirk;
use super::response::ServerResponse;
use super::token_request::TokenRequest;
use super::token_response::TokenResponse;
use crate::crypto::sha256;

pub(super) fn respond(token_request: &TokenRequest<'_>) -> Result<ServerResponse, EndpointError> {
    let TokenRequest { state, request, client, jkt, .. } = token_request;
    let (code, verifier) = (token_request.required("code")?, token_request.required("code_verifier")?);
    let redirect_uri = token_request.required("redirect_uri")?;
    let found = state.codes.find(code, request.now).ok_or_else(invalid_grant)?;
    let (authorization, grant) = (&found.value.request, &found.value.grant);
    if authorization.client_id != client.client.id {
        return Err(invalid_grant());
    }
    // RFC 6749 §4.1.2: a code that is used twice was stolen, so the tokens issued for it are revoked.
    let refuse_reuse = || {
        state.log.count(|counts| &mut counts.repeated_grants);
        if request.quirks.any_applies(|quirk| matches!(quirk, Quirk::AcceptUsedCodes)) {
            return Ok(());
        }
        grant.revoke();
        Err(invalid_grant())
    };
    if found.used {
        refuse_reuse()?;
    }
    let is_other_key = authorization.dpop_jkt.is_some_and(|bound| bound != *jkt);
    if grant.is_revoked()
        || authorization.redirect_uri != redirect_uri
        || !is_code_verifier(verifier)
        || sha256(verifier.as_bytes()) != authorization.code_challenge
        || is_other_key && !request.quirks.any_applies(|quirk| matches!(quirk, Quirk::IgnoreDpopJkt))
    {
        return Err(invalid_grant());
    }
    token_request.refuse_by_quirk()?;
    // Another request may have used the code since.
    if !state.codes.mark_used(code) && !found.used {
        refuse_reuse()?;
    }
    let refresh_token = token_request.issue_refresh_token(grant)?;
    TokenResponse::new(grant).refresh_token(refresh_token).respond(token_request)
}

/// `code-verifier = 43*128unreserved` (RFC 7636 §4.1).
fn is_code_verifier(text: &str) -> bool {
    let is_unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved)
}
