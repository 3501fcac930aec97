//! Directs each request to its endpoint and lets the quirks take effect.

use std::time::SystemTime;

use http::{Method, StatusCode};

use super::connection::IncomingRequest;
use super::quirk::Endpoint;
use super::received::Received;
use super::refusal::refusal;
use super::request::Request;
use super::response::{Close, ServerResponse};
use super::state::State;
use super::{metadata, quirk_effects, resource, token_endpoint};
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
    let endpoint = endpoint(state, origin, parts.uri.path());
    let quirks = state.quirks.next_request(endpoint);
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
    let proof = received.proof();
    let proof_nonce = proof.as_ref().and_then(|proof| proof.string_claim("nonce")).map(str::to_owned);
    let role = match endpoint {
        Endpoint::Metadata | Endpoint::Token => ServerRole::AuthorizationServer,
        Endpoint::Resource => ServerRole::ResourceServer,
    };
    let origin = state.origin(origin);
    let request = Request { endpoint, role, origin, parts: &parts, proof, quirks: &quirks, now };
    let mut response = match quirks.iter().find_map(quirk_effects::replacement) {
        Some(response) => {
            received.body = incoming.read_body().unwrap_or_default();
            response
        }
        None => regular_response(state, &request, incoming, &mut received.body),
    };
    if incoming.is_broken() {
        response.delivery.close = Some(Close::WithoutResponse);
    }
    if !response.has_header("date")
        && let Some(date) = http_date(now)
    {
        response = response.header("date", date);
    }
    for quirk in &quirks {
        quirk_effects::apply(quirk, &mut response, proof_nonce.as_deref());
        state.log.count(|counts| &mut counts.quirks);
    }
    received.status = StatusCode::from_u16(response.status).ok().filter(|_| response.delivers_status());
    state.log.add(received);
    response
}

fn endpoint(state: &State, origin: ServerRole, path: &str) -> Endpoint {
    let at_issuer = origin == ServerRole::AuthorizationServer;
    match path {
        path if at_issuer && metadata::PATHS.contains(&path) => Endpoint::Metadata,
        "/token" if at_issuer || state.settings.mtls_alias => Endpoint::Token,
        _ => Endpoint::Resource,
    }
}

fn regular_response(
    state: &State,
    request: &Request<'_>,
    incoming: &mut IncomingRequest<'_>,
    body: &mut Vec<u8>,
) -> ServerResponse {
    let response = match (request.endpoint, &request.parts.method) {
        (Endpoint::Metadata, &Method::GET) => {
            Ok(ServerResponse::json(200, metadata::document(state).to_string()))
        }
        (Endpoint::Token, &Method::POST) => {
            *body = incoming.read_body().unwrap_or_default();
            token_endpoint::respond(state, request, body)
        }
        (Endpoint::Metadata | Endpoint::Token, _) => Ok(ServerResponse::new(405)),
        (Endpoint::Resource, _) => resource::respond(state, request, incoming, body),
    };
    response.unwrap_or_else(|rejection| {
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
