//! Explains JSON documents: keys, sessions and the bodies of responses.

use std::time::SystemTime;

use possession::PublicKey;
use serde_json::{Value, json};

use super::explanation::Explanation;
use super::{challenge, metadata, token};
use crate::failure::Failure;
use crate::jwt::{PRIVATE, without_secrets};

pub fn explain(text: &str, now: SystemTime) -> Result<Explanation, Failure> {
    let document = parse(text)?;
    if let Some(text) = document.as_str() {
        return Ok(token::explain(text, now));
    }
    let has = |name: &str| document.get(name).is_some();
    let mut explanation = if has("kty") {
        explain_jwk(&document)
    } else if document.get("keys").is_some_and(Value::is_array) {
        jwk_set(&document)
    } else if ["issuer", "client_id", "jkt", "tokens", "servers"].iter().all(|name| has(name)) {
        stored_session(&document)
    } else if ["issuer", "client_id", "state", "code_verifier"].iter().all(|name| has(name)) {
        pending_authorization(&document)
    } else if has("access_token") {
        token::explain_response(&document)
    } else if has("issuer") || has("resource") {
        metadata::explain(document)
    } else if has("error") {
        challenge::explain_error(document)
    } else {
        return Err(
            "it is a JSON document, and neither a JWK, a JWK Set, metadata nor a response of a token \
             endpoint"
                .into(),
        );
    };
    explanation.content = without_secrets(explanation.content);
    Ok(explanation)
}

fn parse(text: &str) -> Result<Value, Failure> {
    Ok(serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?)
}

/// Explains what is said to be a JWK.
pub fn jwk(text: &str) -> Result<Explanation, Failure> {
    let document = parse(text)?;
    match document.is_object() {
        true => Ok(explain_jwk(&document)),
        false => Err("it is JSON, and not an object (a JWK is one)".into()),
    }
}

/// Explains what is said to be metadata.
pub fn metadata(text: &str) -> Result<Explanation, Failure> {
    let document = parse(text)?;
    match document.is_object() {
        true => Ok(metadata::explain(document)),
        false => Err("it is JSON, and not an object (metadata are one)".into()),
    }
}

/// A JWK without its private members, which nobody should see.
fn explain_jwk(document: &Value) -> Explanation {
    let mut explanation = Explanation::new("JWK", without_secrets(document.clone()));
    let mut public = document.clone();
    let mut private = 0;
    if let Some(members) = public.as_object_mut() {
        private = PRIVATE.iter().filter(|name| members.remove(**name).is_some()).count();
    }
    if private > 0 {
        let note = "it has private members, which are not shown: nobody else may see this file";
        explanation.notes.push(note.to_owned());
    }
    match PublicKey::from_jwk(&public.to_string()) {
        Ok(key) => explanation.notes.push(format!("its thumbprint (jkt, RFC 7638) is {}", key.thumbprint())),
        Err(error) => explanation.problems.push(error.to_string()),
    }
    explanation
}

/// What `possession login` stores: nothing of it is shown but who it is for.
fn stored_session(document: &Value) -> Explanation {
    let number = |name: &str| document.get(name).and_then(Value::as_array).map_or(0, Vec::len);
    let mut explanation = Explanation::new(
        "a stored session of possession",
        members(document, &["issuer", "client_id", "grant", "jkt"]),
    );
    explanation.notes.push(format!("access tokens, which are not shown: {}", number("tokens")));
    for (name, what) in [("refresh_token", "a refresh token"), ("key", "the private key")] {
        if document.get(name).is_some() {
            explanation.notes.push(format!("it has {what}, which is not shown"));
        }
    }
    explanation.notes.push("nobody else may see this file".to_owned());
    explanation
}

/// What `PendingAuthorization` is kept as while a user signs in.
fn pending_authorization(document: &Value) -> Explanation {
    let shown = members(document, &["issuer", "client_id", "redirect_uri", "dpop_jkt"]);
    let mut explanation = Explanation::new("a pending authorization of possession", shown);
    explanation.notes.push("state and code_verifier are not shown: nobody else may see this file".to_owned());
    explanation
}

fn members(document: &Value, names: &[&str]) -> Value {
    let members = names.iter().filter_map(|name| Some(((*name).to_owned(), document.get(*name)?.clone())));
    Value::Object(members.collect())
}

fn jwk_set(document: &Value) -> Explanation {
    let keys = document.get("keys").and_then(Value::as_array).into_iter().flatten();
    let explained = keys.map(|key| {
        let Explanation { content, problems, notes, .. } = explain_jwk(key);
        json!({ "jwk": content, "problems": problems, "notes": notes })
    });
    let explained: Vec<_> = explained.collect();
    let note = format!("{} keys", explained.len());
    let mut explanation = Explanation::new("JWK Set", Value::Array(explained));
    explanation.notes.push(note);
    explanation
}
