//! The token endpoint: the client credentials grant (RFC 6749 §4.4) with DPoP (RFC 9449 §5).

use std::time::Duration;

use serde_json::{Map, Value};

use super::client_authentication::AuthenticationError;
use super::form::Form;
use super::issued_tokens::confirmation;
use super::quirk::Quirk;
use super::refusal::{oauth_error, with_nonce};
use super::request::Request;
use super::response::ServerResponse;
use super::state::State;
use crate::crypto::random;
use crate::jose::base64url::base64url;
use crate::jose::public_key::Thumbprint;
use crate::server::rejection::Rejection;

pub(super) fn respond(
    state: &State,
    request: &Request<'_>,
    body: &[u8],
) -> Result<ServerResponse, Rejection> {
    let form = Form::parse(body);
    match state.client_authentication.authenticate(request, &form) {
        Ok(()) => {}
        Err(AuthenticationError::InvalidRequest) => return Ok(oauth_error(400, "invalid_request")),
        Err(AuthenticationError::InvalidClient) => {
            let challenge = "Basic realm=\"test server\"";
            return Ok(oauth_error(401, "invalid_client").header("www-authenticate", challenge));
        }
    }
    let (jkt, next_nonce) = state.proofs.verify_token_request(request)?;
    if form.field("grant_type") != Some("client_credentials") {
        return Ok(oauth_error(400, "unsupported_grant_type"));
    }
    let scope = form.field("scope");
    let Ok(token) = random::<24>().map(|bytes| base64url(&bytes)) else {
        return Ok(oauth_error(500, "server_error"));
    };
    let mut members = members(state, &token, scope);
    let bearer = apply_quirks(request, &mut members);
    issue_token(state, request, token, scope, (!bearer).then_some(&jkt));
    let members: Vec<_> = members.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    let response = ServerResponse::json(200, format!("{{{}}}", members.join(",")))
        .header("cache-control", "no-store")
        .header("pragma", "no-cache");
    Ok(with_nonce(response, next_nonce.as_deref()))
}

/// Issues an access token, bound to a key unless `jkt` is `None`.
fn issue_token(
    state: &State,
    request: &Request<'_>,
    token: String,
    scope: Option<&str>,
    jkt: Option<&Thumbprint>,
) {
    let mut claims = Map::new();
    claims.insert("client_id".to_owned(), state.settings.client_id.as_str().into());
    if let Some(scope) = scope {
        claims.insert("scope".to_owned(), scope.into());
    }
    if let Some(jkt) = jkt {
        claims.insert("cnf".to_owned(), confirmation(jkt));
    }
    // `expires_in` has whole seconds.
    let lifetime = Duration::from_secs(state.settings.token_lifetime.as_secs());
    state.tokens.insert(token, claims, request.now.checked_add(lifetime));
    state.log.count(|counts| &mut counts.tokens);
}

/// The members of the response (RFC 6749 §5.1), in order, each with its value as JSON text. A map could hold
/// neither duplicates nor invalid JSON, which quirks need.
type Members = Vec<(String, String)>;

fn members(state: &State, token: &str, scope: Option<&str>) -> Members {
    let mut members = vec![
        ("access_token".to_owned(), quoted(token)),
        ("token_type".to_owned(), quoted("DPoP")),
        ("expires_in".to_owned(), state.settings.token_lifetime.as_secs().to_string()),
    ];
    members.extend(scope.map(|scope| ("scope".to_owned(), quoted(scope))));
    members
}

/// Applies the quirks of token responses. Returns whether the token is not to be bound to a key.
fn apply_quirks(request: &Request<'_>, members: &mut Members) -> bool {
    let mut bearer = false;
    for active in request.quirks.iter() {
        let mut changed = members.clone();
        match &active.quirk {
            Quirk::Bearer => set(&mut changed, "token_type", &quoted("Bearer")),
            Quirk::Member { name, json } => set(&mut changed, name, json),
            Quirk::DuplicateMember { name, json } => changed.push((name.clone(), json.clone())),
            Quirk::WithoutMember(name) => changed.retain(|(known, _)| known != name),
            _ => continue,
        }
        if request.quirks.applies(active, changed != *members) {
            *members = changed;
            bearer |= matches!(active.quirk, Quirk::Bearer);
        }
    }
    bearer
}

fn set(members: &mut Members, name: &str, json: &str) {
    match members.iter_mut().find(|(known, _)| known == name) {
        Some((_, value)) => json.clone_into(value),
        None => members.push((name.to_owned(), json.to_owned())),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
