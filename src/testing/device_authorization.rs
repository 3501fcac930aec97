//! The device authorization endpoint and the page for the user (RFC 8628 §3.1 to §3.3). The user agrees at
//! once.

use std::time::Duration;

use serde_json::Value;

use super::device_code::DeviceCode;
use super::endpoint_error::{EndpointError, oauth_error_of_quirk};
use super::form::Form;
use super::grant::Grant;
use super::json_document::JsonDocument;
use super::paths;
use super::request::Request;
use super::requested_access::RequestedAccess;
use super::response::ServerResponse;
use super::state::State;
use crate::crypto::random;

/// How long an expired device code is remembered, so that the client learns that it has expired.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// The letters of user codes: RFC 8628 §6.1 leaves out vowels, so that no words come about.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

pub(super) fn respond(
    state: &State,
    request: &Request<'_>,
    body: &[u8],
) -> Result<ServerResponse, EndpointError> {
    let refuse = |code| EndpointError::oauth(400, code);
    let form = Form::parse(body);
    let client = state.client_authentication.authenticate(request, &form)?.client;
    if form.has_duplicate() {
        return Err(refuse("invalid_request"));
    }
    let access = RequestedAccess::parse(&form).map_err(refuse)?;
    let grant = Grant::new(&client.id, Some(state.settings.subject.clone()), access);
    if let Some(code) = oauth_error_of_quirk(request) {
        return Err(EndpointError::oauth(400, code));
    }
    let user_code = user_code().ok_or_else(|| EndpointError::oauth(500, "server_error"))?;
    let (lifetime, interval) = (state.settings.device_code_lifetime, state.settings.polling_interval);
    let expires = request.now.checked_add(lifetime);
    let device_code = DeviceCode::new(grant, user_code.clone(), expires, interval);
    let forget = expires.and_then(|expires| expires.checked_add(REMEMBERED));
    let device_code = state.device_codes.issue("device-", device_code, forget, request.now);
    let page = format!("{}{}", state.issuer, paths::VERIFICATION);
    let document = JsonDocument::new([
        ("device_code", Value::from(device_code.map_err(EndpointError::server)?)),
        ("user_code", Value::from(user_code.as_str())),
        ("verification_uri", Value::from(page.as_str())),
        ("verification_uri_complete", Value::from(format!("{page}?user_code={user_code}"))),
        ("expires_in", Value::from(lifetime.as_secs())),
        ("interval", Value::from(interval.as_secs())),
    ]);
    Ok(document.respond(request, 200))
}

/// Returns a user code such as `WDJB-MJHT`.
fn user_code() -> Option<String> {
    let random = random::<8>().ok()?;
    let letters = random.iter().map(|byte| LETTERS.get(usize::from(byte % 20)).copied().map(char::from));
    let letters: String = letters.collect::<Option<_>>()?;
    let (first, second) = letters.split_at_checked(4)?;
    Some(format!("{first}-{second}"))
}

/// The page for the user. It says whether the code is known.
pub(super) fn verification_page(state: &State, request: &Request<'_>) -> ServerResponse {
    let page = |status, text: &str| {
        ServerResponse::new(status).header("content-type", "text/plain; charset=utf-8").body(text)
    };
    let form = Form::parse(request.parts.uri.query().unwrap_or_default().as_bytes());
    let Some(user_code) = form.field("user_code") else {
        return page(200, "Add the parameter user_code to this URL.");
    };
    let is_known = |code: &DeviceCode| code.user_code == user_code && !code.is_expired(request.now);
    match state.device_codes.any(is_known) {
        true => page(200, "You are signed in on your device."),
        false => page(400, "The code is unknown or has expired."),
    }
}
