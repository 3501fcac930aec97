//! The metadata of the authorization server (RFC 8414 §2).

use serde_json::{Value, json};

use super::client_authentication::{HMAC_ALGORITHMS, METHODS};
use super::state::State;
use crate::jose::algorithm::Algorithm;
use crate::jose::backend;

/// The paths at which the document is served.
pub(super) const PATHS: [&str; 2] =
    ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];

pub(super) fn document(state: &State) -> Value {
    let (issuer, settings) = (&state.issuer, &state.settings);
    let mut document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/token"),
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": assertion_algorithms(state),
        "dpop_signing_alg_values_supported": settings.dpop_algorithms,
    });
    if settings.mtls_alias
        && let Some(document) = document.as_object_mut()
    {
        let alias = json!({ "token_endpoint": format!("{}/token", state.resource_origin) });
        document.insert("mtls_endpoint_aliases".to_owned(), alias);
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
