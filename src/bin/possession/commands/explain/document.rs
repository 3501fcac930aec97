//! Explains JSON documents: keys and metadata.

use possession::{AuthorizationServer, PublicKey};
use serde_json::{Value, json};

use super::Explanation;
use crate::failure::Failure;
use crate::jwt::PRIVATE;

pub fn explain(text: &str) -> Result<Explanation, Failure> {
    let document: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let has = |name: &str| document.get(name).is_some();
    let (kind, content, notes) = if has("kty") {
        jwk(&document)
    } else if document.get("keys").is_some_and(Value::is_array) {
        jwk_set(&document)
    } else if has("issuer") {
        authorization_server(document, text)
    } else if has("resource") {
        protected_resource(document)
    } else {
        return Err("it is a JSON document, and neither a JWK, a JWK Set nor metadata".into());
    };
    Ok(Explanation { kind, content, checks: Vec::new(), notes })
}

type Explained = (&'static str, Value, Vec<String>);

/// A JWK without its private members, which nobody should see.
fn jwk(document: &Value) -> Explained {
    let mut shown = document.clone();
    let mut notes = Vec::new();
    let mut private = 0;
    if let Some(members) = shown.as_object_mut() {
        private = PRIVATE.iter().filter(|name| members.remove(**name).is_some()).count();
    }
    if private > 0 {
        notes.push("it has private members, which are not shown: nobody else may see this file".to_owned());
    }
    match PublicKey::from_jwk(&shown.to_string()) {
        Ok(key) => notes.push(format!("its thumbprint (jkt, RFC 7638) is {}", key.thumbprint())),
        Err(error) => notes.push(error.to_string()),
    }
    ("JWK", shown, notes)
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
