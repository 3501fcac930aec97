//! The pushed authorization request endpoint (RFC 9126), with DPoP (RFC 9449 §10.1).

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::authorization_request::AuthorizationRequest;
use super::clients::Client;
use super::endpoint_error::{EndpointError, oauth_error_of_quirk};
use super::form::Form;
use super::json_document::JsonDocument;
use super::quirk::Quirk;
use super::refusal::with_nonce;
use super::request::Request;
use super::response::ServerResponse;
use super::state::State;
use crate::dpop::header_names::DPOP;
use crate::jose::public_key::Thumbprint;

/// The lifetime of a `request_uri`. RFC 9126 §2.2 mentions 5 to 600 seconds.
const LIFETIME: Duration = Duration::from_secs(60);

pub(super) fn respond(
    state: &State,
    request: &Request<'_>,
    body: &[u8],
) -> Result<ServerResponse, EndpointError> {
    let form = Form::parse(body);
    let client = state.client_authentication.authenticate(request, &form)?.client;
    let (jkt, next_nonce) = verified_proof(state, request)?;
    let response = pushed(state, request, &form, &client, jkt);
    Ok(with_nonce(EndpointError::into_response(response)?, next_nonce.as_deref()))
}

/// Remembers the request. Its code will be bound to the key of the proof, if there was one.
fn pushed(
    state: &State,
    request: &Request<'_>,
    form: &Form,
    client: &Client,
    jkt: Option<Thumbprint>,
) -> Result<ServerResponse, EndpointError> {
    if form.field("request_uri").is_some() {
        return Err(EndpointError::oauth(400, "invalid_request"));
    }
    let mut pushed = AuthorizationRequest::parse(form, client)
        .map_err(|invalid| EndpointError::oauth(400, invalid.code))?;
    // RFC 9449 §10.1: proof and parameter must agree.
    if pushed.dpop_jkt.is_some_and(|bound| jkt.is_some_and(|jkt| jkt != bound)) {
        return Err(EndpointError::oauth(400, "invalid_request"));
    }
    pushed.dpop_jkt = pushed.dpop_jkt.or(jkt);
    if let Some(code) = oauth_error_of_quirk(request) {
        return Err(EndpointError::oauth(400, code));
    }
    let expires = request.now.checked_add(LIFETIME);
    let prefix = "urn:ietf:params:oauth:request_uri:";
    let request_uri = state.pushed_requests.issue(prefix, Arc::new(pushed), expires, request.now);
    let document = JsonDocument::new([
        ("request_uri", Value::from(request_uri.map_err(EndpointError::server)?)),
        ("expires_in", Value::from(LIFETIME.as_secs())),
    ]);
    Ok(document.respond(request, 201))
}

/// Verifies the proof, if there is one. Returns the thumbprint of its key and the nonce for the response.
fn verified_proof(
    state: &State,
    request: &Request<'_>,
) -> Result<(Option<Thumbprint>, Option<String>), EndpointError> {
    let has_proof = request.parts.headers.contains_key(DPOP);
    if has_proof && request.quirks.any_applies(|quirk| matches!(quirk, Quirk::IgnoreProofs)) {
        return Ok((None, None));
    }
    if !has_proof && !request.quirks.any_applies(|quirk| matches!(quirk, Quirk::RequireProof)) {
        return Ok((None, None));
    }
    let (jkt, next_nonce) = state.proofs.verify_token_request(request)?;
    Ok((Some(jkt), next_nonce))
}
