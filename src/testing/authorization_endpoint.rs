//! The authorization endpoint (RFC 6749 §4.1.1). There is no page: the user agrees at once.

use std::sync::Arc;
use std::time::Duration;

use super::authorization_request::{AuthorizationCode, AuthorizationRequest, InvalidRequest};
use super::endpoint_error::{EndpointError, oauth_error_of_quirk};
use super::fields::Fields;
use super::form::Form;
use super::quirk::Quirk;
use super::request::Request;
use super::response::ServerResponse;
use super::state::State;

/// The lifetime of an authorization code. RFC 6749 §4.1.2 recommends ten minutes at most.
const CODE_LIFETIME: Duration = Duration::from_secs(60);

/// Redirects to the client with a code or an error. An error that must not be sent there is a response to the
/// browser.
pub(super) fn respond(state: &State, request: &Request<'_>) -> Result<ServerResponse, EndpointError> {
    let form = Form::parse(request.parts.uri.query().unwrap_or_default().as_bytes());
    let authorization_request = match authorization_request(state, request, &form) {
        Ok(authorization_request) => authorization_request,
        Err(InvalidRequest { code, redirect_uri: None }) => return Err(EndpointError::oauth(400, code)),
        Err(InvalidRequest { code, redirect_uri: Some(redirect_uri) }) => {
            let response = Fields::new([("error", code.to_owned())]);
            return Ok(redirect(state, request, &redirect_uri, form.field("state"), response));
        }
    };
    let response = match oauth_error_of_quirk(request) {
        Some(code) => Fields::new([("error", code)]),
        None => {
            let grant = Arc::new(authorization_request.approve(&state.settings.subject));
            let code = AuthorizationCode { request: Arc::clone(&authorization_request), grant };
            let expires = request.now.checked_add(CODE_LIFETIME);
            let code =
                state.codes.issue("code-", code, expires, request.now).map_err(EndpointError::server)?;
            Fields::new([("code", code)])
        }
    };
    let AuthorizationRequest { redirect_uri, state: client_state, .. } = &*authorization_request;
    Ok(redirect(state, request, redirect_uri, client_state.as_deref(), response))
}

/// Returns the request in the query, or the one that was pushed.
fn authorization_request(
    state: &State,
    request: &Request<'_>,
    form: &Form,
) -> Result<Arc<AuthorizationRequest>, InvalidRequest> {
    let refuse = |code| InvalidRequest { code, redirect_uri: None };
    let client = form.field("client_id").and_then(|id| state.clients.find(id));
    let client = client.ok_or_else(|| refuse("invalid_request"))?;
    let Some(request_uri) = form.field("request_uri") else {
        let parsed = AuthorizationRequest::parse(form, &client)?;
        if state.settings.require_pushed_authorization_requests {
            let redirect_uri = Some(parsed.redirect_uri);
            return Err(InvalidRequest { code: "invalid_request", redirect_uri });
        }
        return Ok(Arc::new(parsed));
    };
    // RFC 9126 §2.2 and §7.3: it belongs to one client, expires, and is used once. §4: other parameters are
    // not looked at.
    let pushed = state.pushed_requests.find(request_uri, request.now);
    let pushed = pushed.filter(|pushed| pushed.value.client_id == client.id);
    match pushed {
        Some(pushed) if state.pushed_requests.mark_used(request_uri) => Ok(pushed.value),
        _ => Err(refuse("invalid_request_uri")),
    }
}

/// Adds `state` and `iss` (RFC 9207 §2) to the parameters, applies the quirks, and redirects.
fn redirect(
    state: &State,
    request: &Request<'_>,
    redirect_uri: &str,
    client_state: Option<&str>,
    mut parameters: Fields,
) -> ServerResponse {
    if let Some(client_state) = client_state {
        parameters.push("state", client_state);
    }
    parameters.push("iss", state.issuer.as_str());
    for active in request.quirks.iter() {
        let mut changed = parameters.clone();
        match &active.quirk {
            Quirk::Parameter { name, value } => changed.set(name, value),
            Quirk::DuplicateParameter { name, value } => changed.push(name, value.as_str()),
            Quirk::WithoutParameter(name) => changed.remove(name),
            _ => continue,
        }
        if request.quirks.applies(active, changed != parameters) {
            parameters = changed;
        }
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters.iter()).finish();
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    ServerResponse::new(302)
        .header("location", format!("{redirect_uri}{separator}{query}"))
        .header("cache-control", "no-store")
}
