//! The metadata of the authorization server (RFC 8414 §2).

use serde_json::{Map, Value, json};

use super::client_authentication::{HMAC_ALGORITHMS, METHODS};
use super::json_document::JsonDocument;
use super::paths;
use super::request::Request;
use super::response::ServerResponse;
use super::state::State;
use super::token_endpoint::GRANT_TYPES;
use crate::jose::algorithm::Algorithm;
use crate::jose::backend;

pub(super) fn respond(state: &State, request: &Request<'_>) -> ServerResponse {
    let mut document = JsonDocument::from(document(state));
    document.apply_quirks(request, false);
    document.to_response(200)
}

fn document(state: &State) -> Map<String, Value> {
    let (issuer, settings) = (&state.issuer, &state.settings);
    let mut document = Map::new();
    let mut add = |name: &str, value: Value| document.insert(name.to_owned(), value);
    add("issuer", json!(issuer));
    add("response_types_supported", json!(["code"]));
    add("response_modes_supported", json!(["query"]));
    add("grant_types_supported", json!(GRANT_TYPES));
    add("code_challenge_methods_supported", json!(["S256"]));
    add("authorization_response_iss_parameter_supported", json!(true));
    add("dpop_signing_alg_values_supported", json!(settings.dpop_algorithms));
    if settings.require_pushed_authorization_requests {
        add("require_pushed_authorization_requests", json!(true));
    }
    for name in ["token_endpoint", "revocation_endpoint", "introspection_endpoint"] {
        add(&format!("{name}_auth_methods_supported"), json!(METHODS));
        add(&format!("{name}_auth_signing_alg_values_supported"), json!(assertion_algorithms(state)));
    }
    let mut aliases = Map::new();
    for path in &paths::ENDPOINTS {
        add(path.member, json!(format!("{issuer}{}", path.path)));
        if path.has_alias {
            aliases.insert(path.member.to_owned(), json!(format!("{}{}", state.resource_origin, path.path)));
        }
    }
    if settings.mtls_alias {
        add("mtls_endpoint_aliases", aliases.into());
    }
    document
}

/// Lists HMAC, the two common algorithms, and those that fit the key of the client.
fn assertion_algorithms(state: &State) -> Vec<&'static str> {
    let key = state.settings.client_public_key.as_ref();
    let is_listed = |algorithm: &Algorithm| {
        matches!(algorithm, Algorithm::Es256 | Algorithm::Ed25519)
            || key.is_some_and(|key| key.fits(*algorithm))
    };
    let asymmetric = Algorithm::ALL.into_iter().filter(|algorithm| backend::supports(*algorithm));
    let asymmetric = asymmetric.filter(is_listed).flat_map(|algorithm| algorithm.names()).copied();
    HMAC_ALGORITHMS.into_iter().map(|algorithm| algorithm.name()).chain(asymmetric).collect()
}
