//! Explains JSON documents: keys and metadata.

use possession::{AuthorizationServer, PublicKey};
use serde_json::{Value, json};

use super::Explanation;
use crate::failure::Failure;
use crate::jwt::{PRIVATE, without_secrets};

pub fn explain(text: &str) -> Result<Explanation, Failure> {
    let document: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let has = |name: &str| document.get(name).is_some();
    let (kind, content, notes) = if has("kty") {
        jwk(&document)
    } else if document.get("keys").is_some_and(Value::is_array) {
        jwk_set(&document)
    } else if ["issuer", "client_id", "jkt", "tokens", "servers"].iter().all(|name| has(name)) {
        stored_session(&document)
    } else if has("issuer") {
        authorization_server(document, text)
    } else if has("resource") {
        protected_resource(document)
    } else {
        return Err("it is a JSON document, and neither a JWK, a JWK Set nor metadata".into());
    };
    Ok(Explanation { kind, content: without_secrets(content), checks: Vec::new(), notes })
}

type Explained = (&'static str, Value, Vec<String>);

/// A JWK without its private members, which nobody should see.
fn jwk(document: &Value) -> Explained {
    let mut public = document.clone();
    let mut notes = Vec::new();
    let mut private = 0;
    if let Some(members) = public.as_object_mut() {
        private = PRIVATE.iter().filter(|name| members.remove(**name).is_some()).count();
    }
    if private > 0 {
        notes.push("it has private members, which are not shown: nobody else may see this file".to_owned());
    }
    match PublicKey::from_jwk(&public.to_string()) {
        Ok(key) => notes.push(format!("its thumbprint (jkt, RFC 7638) is {}", key.thumbprint())),
        Err(error) => notes.push(error.to_string()),
    }
    ("JWK", document.clone(), notes)
}

/// What `possession login` stores: nothing of it is shown but who it is for.
fn stored_session(document: &Value) -> Explained {
    let number = |name: &str| document.get(name).and_then(Value::as_array).map_or(0, Vec::len);
    let member = |name: &str| document.get(name).cloned().unwrap_or_default();
    let content = json!({
        "issuer": member("issuer"),
        "client_id": member("client_id"),
        "grant": member("grant"),
        "jkt": member("jkt"),
    });
    let mut notes = vec![format!("{} access tokens, which are not shown", number("tokens"))];
    for (name, what) in [("refresh_token", "a refresh token"), ("key", "the private key")] {
        if document.get(name).is_some() {
            notes.push(format!("{what}, which is not shown"));
        }
    }
    notes.push("nobody else may see this file".to_owned());
    ("a stored session of possession", content, notes)
}

fn jwk_set(document: &Value) -> Explained {
    let keys = document.get("keys").and_then(Value::as_array).into_iter().flatten();
    let explained = keys.map(|key| {
        let (_, shown, notes) = jwk(key);
        json!({ "jwk": shown, "notes": notes })
    });
    let explained: Vec<_> = explained.collect();
    let notes = vec![format!("{} keys", explained.len())];
    ("JWK Set", Value::Array(explained), notes)
}

fn authorization_server(document: Value, text: &str) -> Explained {
    let issuer = document.get("issuer").and_then(Value::as_str).unwrap_or_default();
    let mut notes = Vec::new();
    if let Err(error) = AuthorizationServer::builder(issuer).document(text).build() {
        notes.push(error.to_string());
    }
    let missing = |name: &str, what: &str| document.get(name).is_none().then(|| format!("no {name}: {what}"));
    notes.extend(
        [
            ("dpop_signing_alg_values_supported", "it does not say that it supports DPoP (RFC 9449 §5.1)"),
            ("pushed_authorization_request_endpoint", "no pushed authorization requests (RFC 9126)"),
            ("code_challenge_methods_supported", "it does not say that it supports PKCE (RFC 8414 §2)"),
            (
                "authorization_response_iss_parameter_supported",
                "responses need not have iss, which protects against mix-up (RFC 9207)",
            ),
        ]
        .into_iter()
        .filter_map(|(name, what)| missing(name, what)),
    );
    let algorithms = document.get("dpop_signing_alg_values_supported").and_then(Value::as_array);
    let symmetric =
        |name: &&Value| name.as_str().is_some_and(|name| name == "none" || name.starts_with("HS"));
    if let Some(name) = algorithms.into_iter().flatten().find(symmetric) {
        notes.push(format!(
            "{name} is no asymmetric algorithm, and no proof may use it (RFC 9449 §4.3 check 5)"
        ));
    }
    ("authorization server metadata", document, notes)
}

fn protected_resource(document: Value) -> Explained {
    let mut notes = Vec::new();
    if document.get("authorization_servers").is_none() {
        notes.push("it names no authorization server".to_owned());
    }
    if document.get("dpop_signing_alg_values_supported").is_none() {
        notes.push("it does not say that it supports DPoP (RFC 9728 §2)".to_owned());
    }
    ("protected resource metadata", document, notes)
}
