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
    let bearer = request.quirks.iter().any(|quirk| matches!(quirk, Quirk::Bearer));
    let Some(token) = issue_token(state, request, form.field("scope"), (!bearer).then_some(&jkt)) else {
        return Ok(oauth_error(500, "server_error"));
    };
    let mut members = members(state, &token, bearer, form.field("scope"));
    apply_quirks(request.quirks, &mut members);
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
    scope: Option<&str>,
    jkt: Option<&Thumbprint>,
) -> Option<String> {
    let token = base64url(&random::<24>().ok()?);
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
    state.tokens.insert(token.clone(), claims, request.now.checked_add(lifetime));
    state.log.count(|counts| &mut counts.tokens);
    Some(token)
}

/// The members of the response (RFC 6749 §5.1), in order, each with its value as JSON text. A map could hold
/// neither duplicates nor invalid JSON, which quirks need.
fn members(state: &State, token: &str, bearer: bool, scope: Option<&str>) -> Vec<(String, String)> {
    let mut members = vec![
        ("access_token".to_owned(), quoted(token)),
        ("token_type".to_owned(), quoted(if bearer { "Bearer" } else { "DPoP" })),
        ("expires_in".to_owned(), state.settings.token_lifetime.as_secs().to_string()),
    ];
    members.extend(scope.map(|scope| ("scope".to_owned(), quoted(scope))));
    members
}

fn apply_quirks(quirks: &[Quirk], members: &mut Vec<(String, String)>) {
    for quirk in quirks {
        match quirk {
            Quirk::Member { name, json } => match members.iter_mut().find(|(known, _)| known == name) {
                Some((_, value)) => value.clone_from(json),
                None => members.push((name.clone(), json.clone())),
            },
            Quirk::DuplicateMember { name, json } => members.push((name.clone(), json.clone())),
            Quirk::WithoutMember(name) => members.retain(|(known, _)| known != name),
            _ => {}
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
