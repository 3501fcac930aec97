//! Protected resource metadata (RFC 9728): each resource has its own.

use serde_json::{Value, json};

use super::json_document::JsonDocument;
use super::paths;
use super::request::Request;
use super::response::ServerResponse;
use super::state::State;

/// Responds with the metadata of the resource whose path and query follow the well-known path.
pub(super) fn respond(state: &State, request: &Request<'_>) -> ServerResponse {
    let target = request.parts.uri.path_and_query().map(|target| target.as_str()).unwrap_or_default();
    let resource = target.strip_prefix(paths::RESOURCE_METADATA).unwrap_or_default();
    let mut document = JsonDocument::new([
        ("resource", Value::from(format!("{}{resource}", request.origin))),
        ("authorization_servers", json!([state.issuer])),
        ("bearer_methods_supported", json!(["header"])),
        ("dpop_signing_alg_values_supported", json!(state.settings.dpop_algorithms)),
        ("dpop_bound_access_tokens_required", json!(true)),
    ]);
    document.apply_quirks(request, false);
    document.to_response(200)
}

/// Returns where the metadata of the requested resource are. Its `resource` is the URL of the request, as
/// RFC 9728 §3.3 demands, but without the query: that may contain a secret, and challenges are logged.
pub(super) fn url(request: &Request<'_>) -> String {
    // Two characters end or escape the quoted string that the URL will be in.
    let path = request.parts.uri.path().replace('"', "%22").replace('\\', "%5C");
    format!("{}{}{path}", request.origin, paths::RESOURCE_METADATA)
}
