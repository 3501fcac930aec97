//! Directs each request to its endpoint and lets the quirks take effect.

use std::time::SystemTime;

use http::{Method, StatusCode};

use super::connection::IncomingRequest;
use super::endpoint_error::EndpointError;
use super::quirk::Endpoint;
use super::quirk_schedule::ActiveQuirks;
use super::received::Received;
use super::refusal::refusal;
use super::request::Request;
use super::response::{Close, ServerResponse};
use super::state::State;
use super::{
    authorization_endpoint, device_authorization, introspection, metadata, paths, pushed_authorization,
    quirk_effects, registration, resource, resource_metadata, revocation, token_endpoint,
};
use crate::dpop::server_role::ServerRole;
use crate::time::unix_seconds;

/// Responds to a request that came to the origin of the authorization server or of the resource server.
pub(super) fn respond(
    state: &State,
    origin: ServerRole,
    connection: usize,
    incoming: &mut IncomingRequest<'_>,
) -> ServerResponse {
    let parts = incoming.parts.clone();
    let endpoint = paths::endpoint(origin, parts.uri.path(), state.settings.mtls_alias);
    let now = state.now();
    let mut received = Received {
        endpoint,
        method: parts.method.clone(),
        target: incoming.target.clone(),
        origin: state.origin(origin).to_owned(),
        headers: parts.headers.clone(),
        body: Vec::new(),
        connection,
        at: now,
        status: None,
    };
    if incoming.is_malformed() {
        received.status = Some(StatusCode::BAD_REQUEST);
        state.log.add(received);
        return ServerResponse::new(400).header("connection", "close");
    }
    let quirks = state.quirks.next_request(endpoint);
    let proof = received.proof();
    let proof_nonce = proof.as_ref().and_then(|proof| proof.string_claim("nonce")).map(str::to_owned);
    let role = match endpoint {
        Endpoint::Resource | Endpoint::ResourceMetadata => ServerRole::ResourceServer,
        _ => ServerRole::AuthorizationServer,
    };
    let origin = state.origin(origin);
    let request = Request { endpoint, role, origin, parts: &parts, proof, quirks: &quirks, now };
    let mut response = match replacement(&quirks) {
        Some(response) => {
            received.body = incoming.read_body().unwrap_or_default();
            response
        }
        None => regular_response(state, &request, incoming, &mut received),
    };
    if incoming.is_broken() {
        response.delivery.close = Some(Close::WithoutResponse);
    }
    response = dated(response, now);
    for active in quirks.iter() {
        let changed = match quirk_effects::replacement(&active.quirk) {
            None => {
                let mut changed = response.clone();
                quirk_effects::apply(&active.quirk, &mut changed, proof_nonce.as_deref());
                changed
            }
            // The first replacement is the one that counts.
            Some(replacement) if !is_replaced(&quirks) => dated(replacement, now),
            Some(_) => continue,
        };
        if quirks.applies(active, !changed.looks_like(&response)) {
            response = changed;
        }
    }
    state.log.add_quirks(quirks.effects(response.is_sent()));
    received.status = StatusCode::from_u16(response.status).ok().filter(|_| response.delivers_status());
    state.log.add(received);
    response
}

/// Returns the response of a quirk that replaces the correct one, unless another quirk may have to come
/// first.
fn replacement(quirks: &ActiveQuirks<'_>) -> Option<ServerResponse> {
    quirks.iter().filter(|active| !quirks.has_to_wait(active)).find_map(|active| {
        let response = quirk_effects::replacement(&active.quirk)?;
        quirks.applies(active, true).then_some(response)
    })
}

fn is_replaced(quirks: &ActiveQuirks<'_>) -> bool {
    quirks.iter().any(|active| active.took_effect() && quirk_effects::replacement(&active.quirk).is_some())
}

/// Adds `Date` to a response without one.
fn dated(response: ServerResponse, now: SystemTime) -> ServerResponse {
    match http_date(now) {
        Some(date) if !response.has_header("date") => response.header("date", date),
        _ => response,
    }
}

fn regular_response(
    state: &State,
    request: &Request<'_>,
    incoming: &mut IncomingRequest<'_>,
    received: &mut Received,
) -> ServerResponse {
    let allowed = match request.endpoint {
        Endpoint::Metadata
        | Endpoint::Authorization
        | Endpoint::Verification
        | Endpoint::ResourceMetadata => &Method::GET,
        Endpoint::PushedAuthorization
        | Endpoint::DeviceAuthorization
        | Endpoint::Token
        | Endpoint::Revocation
        | Endpoint::Introspection
        | Endpoint::Registration => &Method::POST,
        Endpoint::Resource => &request.parts.method,
    };
    if request.parts.method != *allowed {
        return ServerResponse::new(405);
    }
    if request.endpoint != Endpoint::Resource {
        received.body = incoming.read_body().unwrap_or_default();
    }
    let response = match request.endpoint {
        Endpoint::Metadata => Ok(metadata::respond(state, request)),
        Endpoint::Authorization => authorization_endpoint::respond(state, request),
        Endpoint::PushedAuthorization => pushed_authorization::respond(state, request, &received.body),
        Endpoint::DeviceAuthorization => device_authorization::respond(state, request, &received.body),
        Endpoint::Verification => Ok(device_authorization::verification_page(state, request)),
        Endpoint::Token => token_endpoint::respond(state, request, &received.body),
        Endpoint::Revocation => revocation::respond(state, request, &received.body),
        Endpoint::Introspection => introspection::respond(state, request, &received.body),
        Endpoint::Registration => registration::respond(state, request, &received.body),
        Endpoint::ResourceMetadata => Ok(resource_metadata::respond(state, request)),
        Endpoint::Resource => {
            resource::respond(state, request, incoming, received).map_err(EndpointError::Rejected)
        }
    };
    EndpointError::into_response(response).unwrap_or_else(|rejection| {
        if rejection.error() == Some("use_dpop_nonce") {
            state.log.count(|counts| &mut counts.challenges);
        }
        refusal(request, &rejection, &state.proofs.algs())
    })
}

/// Formats the time for `Date` (RFC 9110 §5.6.7), which has room for years of four digits.
fn http_date(now: SystemTime) -> Option<String> {
    const YEAR_10000: u64 = 253_402_300_800;
    (unix_seconds(now).ok()? < YEAR_10000).then(|| httpdate::fmt_http_date(now))
}
