//! Explains what servers say when they refuse: challenges, nonces and error codes.

use possession::Challenge;
use serde_json::{Map, Value, json};

use super::explanation::Explanation;

/// Returns whether a text is a `WWW-Authenticate` field. A single word is one as well, and rather something
/// else.
pub fn is_one(text: &str) -> bool {
    match Challenge::parse(text.as_bytes()) {
        Ok(challenges) => challenges.iter().any(|challenge| !challenge.params().is_empty()),
        Err(_) => {
            let scheme = text.split(' ').next().unwrap_or_default();
            ["dpop", "bearer"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) && text.contains('=')
        }
    }
}

/// Explains the `WWW-Authenticate` fields of a response, and its `DPoP-Nonce`.
pub fn explain(fields: &[String], nonce: Option<&str>) -> Explanation {
    let (mut challenges, mut problems) = (Vec::new(), Vec::new());
    for field in fields {
        match Challenge::parse(field.trim().as_bytes()) {
            Ok(parsed) => challenges.extend(parsed),
            Err(error) => problems.push(format!("a WWW-Authenticate field, but not well-formed: {error}")),
        }
    }
    let shown = challenges.iter().map(|challenge| {
        let params = challenge.params().iter();
        let params: Map<String, Value> =
            params.map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        json!({ "scheme": challenge.scheme(), "params": params })
    });
    let mut explanation = Explanation::new("challenge", shown.collect());
    explanation.problems = problems;
    let codes = challenges.iter().filter_map(|challenge| challenge.param("error"));
    for code in codes {
        explanation.notes.extend(meaning(code).map(str::to_owned));
        if code == "use_dpop_nonce" {
            explanation.notes.push(match nonce {
                Some(nonce) => format!("the nonce is {nonce}"),
                None => "the response should have the field DPoP-Nonce, which is not here".to_owned(),
            });
        }
    }
    if let Some(nonce) =
        nonce.filter(|_| !challenges.iter().any(|c| c.param("error") == Some("use_dpop_nonce")))
    {
        explanation.notes.push(next_nonce(nonce));
    }
    let has_dpop = challenges.iter().any(|challenge| challenge.scheme() == "dpop");
    if !has_dpop && explanation.problems.is_empty() {
        explanation.notes.push("it does not offer DPoP (RFC 9449 §7.1)".to_owned());
    }
    explanation
}

/// Explains a `DPoP-Nonce` field.
pub fn explain_nonce(nonce: &str) -> Explanation {
    let mut explanation = Explanation::new("nonce", json!({ "nonce": nonce }));
    // RFC 9449 §8.1: 1*NQCHAR
    match nonce.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) && !nonce.is_empty() {
        true => explanation.notes.push(next_nonce(nonce)),
        false => explanation.problems.push(
            "it is not a nonce: visible ASCII characters other than \" and \\ (RFC 9449 §8.1)".to_owned(),
        ),
    }
    explanation
}

fn next_nonce(nonce: &str) -> String {
    format!("the next proof for this server has the claim nonce {} (RFC 9449 §8.2)", Value::from(nonce))
}

/// Explains the error response of an authorization server or a resource.
pub fn explain_error(document: Value) -> Explanation {
    let code = document.get("error").and_then(Value::as_str).map(str::to_owned);
    let mut explanation = Explanation::new("error response", document);
    match &code {
        Some(code) => explanation.notes.extend(meaning(code).map(str::to_owned)),
        None => explanation.problems.push("error is not a string (RFC 6749 §5.2)".to_owned()),
    }
    explanation
}

/// Says what an error code means.
fn meaning(code: &str) -> Option<&'static str> {
    Some(match code {
        "use_dpop_nonce" => "use_dpop_nonce: retry with the nonce of the field DPoP-Nonce (RFC 9449 §8, §9)",
        "invalid_dpop_proof" => "invalid_dpop_proof: the proof was refused (RFC 9449 §5)",
        "invalid_token" => "invalid_token: the access token was refused, or is bound to another key",
        "insufficient_scope" => "insufficient_scope: the token lacks a scope (RFC 6750 §3.1)",
        "invalid_request" => "invalid_request: a parameter is missing, unknown or repeated (RFC 6749 §5.2)",
        "invalid_client" => {
            "invalid_client: the client did not authenticate as the server expects (RFC 6749 §5.2)"
        }
        "invalid_grant" => {
            "invalid_grant: the code or token is used up, expired, somebody else's, or bound to another key \
             (RFC 6749 §5.2)"
        }
        "unauthorized_client" => "unauthorized_client: the client may not use this grant (RFC 6749 §5.2)",
        "unsupported_grant_type" => {
            "unsupported_grant_type: the server does not have this grant (RFC 6749 §5.2)"
        }
        "invalid_scope" => "invalid_scope: the scope is unknown, or more than was granted (RFC 6749 §5.2)",
        "invalid_target" => {
            "invalid_target: the server does not issue tokens for this resource (RFC 8707 §2)"
        }
        "authorization_pending" => "authorization_pending: the user has not signed in yet (RFC 8628 §3.5)",
        "slow_down" => "slow_down: ask five seconds less often (RFC 8628 §3.5)",
        _ => return None,
    })
}
