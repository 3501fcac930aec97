//! The registration endpoint (RFC 7591), open to everybody.

use serde_json::{Map, Value};

use super::client_authentication::METHODS;
use super::clients::{Client, is_redirect_uri};
use super::endpoint_error::{EndpointError, oauth_error_of_quirk};
use super::json_document::JsonDocument;
use super::request::Request;
use super::response::ServerResponse;
use super::state::State;
use super::token_endpoint::GRANT_TYPES;
use crate::crypto::random;
use crate::jose::base64url::base64url;
use crate::jose::json;
use crate::jose::public_key::PublicKey;
use crate::time::unix_seconds;

/// Registers a client. The response repeats its metadata with the defaults filled in (RFC 7591 §3.2.1).
pub(super) fn respond(
    state: &State,
    request: &Request<'_>,
    body: &[u8],
) -> Result<ServerResponse, EndpointError> {
    let invalid = || EndpointError::oauth(400, "invalid_client_metadata");
    let mut metadata = json::parse_members(body).map_err(|_| invalid())?.into_inner();
    for (name, default) in [
        ("grant_types", Value::from(vec!["authorization_code"])),
        ("token_endpoint_auth_method", Value::from("client_secret_basic")),
    ] {
        metadata.entry(name).or_insert(default);
    }
    let mut client = client(&metadata)?;
    if let Some(code) = oauth_error_of_quirk(request) {
        return Err(EndpointError::oauth(400, code));
    }
    client.id = format!("client-{}", base64url(&random::<12>().map_err(EndpointError::server)?));
    metadata.insert("client_id".to_owned(), client.id.as_str().into());
    metadata.insert("client_id_issued_at".to_owned(), unix_seconds(request.now).unwrap_or_default().into());
    if client.secret.is_some() {
        // HMAC with SHA-512 needs 64 bytes (RFC 7518 §3.2).
        let secret = base64url(&random::<48>().map_err(EndpointError::server)?);
        metadata.insert("client_secret".to_owned(), secret.as_str().into());
        metadata.insert("client_secret_expires_at".to_owned(), 0.into());
        client.secret = Some(secret);
    }
    state.clients.register(client);
    Ok(JsonDocument::from(metadata).respond(request, 201))
}

/// Returns the client that the metadata describe, still without an identifier and with an empty secret.
fn client(metadata: &Map<String, Value>) -> Result<Client, EndpointError> {
    let invalid = || EndpointError::oauth(400, "invalid_client_metadata");
    let grant_types = strings(metadata, "grant_types").ok_or_else(invalid)?;
    if grant_types.iter().any(|grant_type| !GRANT_TYPES.contains(&grant_type.as_str())) {
        return Err(invalid());
    }
    let redirect_uris =
        strings(metadata, "redirect_uris").filter(|uris| uris.iter().all(|uri| is_redirect_uri(uri)));
    let redirect_uris = redirect_uris.ok_or_else(|| EndpointError::oauth(400, "invalid_redirect_uri"))?;
    if redirect_uris.is_empty() && grant_types.iter().any(|grant_type| grant_type == "authorization_code") {
        return Err(EndpointError::oauth(400, "invalid_redirect_uri"));
    }
    let method = metadata.get("token_endpoint_auth_method").and_then(Value::as_str).unwrap_or_default();
    if !METHODS.contains(&method) {
        return Err(invalid());
    }
    let key = metadata.get("jwks").and_then(|jwks| jwks.get("keys")?.get(0));
    let key = key.map(|jwk| PublicKey::from_jwk(&jwk.to_string())).transpose().map_err(|_| invalid())?;
    // The server fetches nothing, so a `jwks_uri` does not help.
    if method == "private_key_jwt" && key.is_none() {
        return Err(invalid());
    }
    Ok(Client {
        id: String::new(),
        secret: method.starts_with("client_secret").then(String::new),
        public_key: key,
        public: matches!(method, "none" | "tls_client_auth" | "self_signed_tls_client_auth"),
        redirect_uris,
        grant_types: Some(grant_types),
    })
}

/// Returns an array of strings, or an empty one if it is absent.
fn strings(metadata: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    match metadata.get(name) {
        None => Some(Vec::new()),
        Some(value) => value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
    }
}
