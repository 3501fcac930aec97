//! Explains access tokens, and the responses that they come in.

use std::time::SystemTime;

use possession::ath;
use serde_json::{Value, json};

use super::checks::{date, seconds, span};
use super::content;
use super::explanation::Explanation;
use crate::jwt::{Decoded, without_secrets};

/// Explains an access token: a JWT, or an opaque one.
pub fn explain(text: &str, now: SystemTime) -> Explanation {
    let Some(decoded) = Decoded::read(text).filter(|decoded| decoded.header.is_ok()) else {
        let mut explanation = Explanation::new("opaque token", Value::Null);
        explanation
            .notes
            .push("it is no JWT: only the server that issued it knows what it means (RFC 7662)".to_owned());
        explanation.notes.push(format!("its hash (ath) is {}", ath(text)));
        return explanation;
    };
    let mut explanation = Explanation::new("token", content(&decoded));
    let claims = decoded.claims.unwrap_or_default();
    explanation.notes.push(describe_binding(&claims));
    explanation.notes.extend(expiry(&claims, now).map(|(_, expiry)| format!("it {expiry}")));
    explanation.notes.push(format!("its hash (ath) is {}", ath(text)));
    explanation.notes.push("its signature was not verified".to_owned());
    explanation
}

/// Returns whether a token has expired, if it is a JWT with exp, and when it expires or did.
fn expiry(claims: &Value, now: SystemTime) -> Option<(bool, String)> {
    let exp = claims.get("exp")?.as_f64()?;
    let now = seconds(now);
    Some(match exp > now {
        true => (false, format!("expires at {}, in {}", date(exp), span(exp - now))),
        false => (true, format!("expired at {}, {} ago", date(exp), span(now - exp))),
    })
}

/// Returns when a token expired, if it is a JWT that says so.
pub fn expired(text: &str, now: SystemTime) -> Option<String> {
    let claims = Decoded::read(text)?.claims.ok()?;
    expiry(&claims, now).filter(|(is_over, _)| *is_over).map(|(_, expired)| expired)
}

/// Returns the thumbprint of the key that a token is bound to, if it is a JWT that says so.
pub fn binding(text: &str) -> Option<String> {
    let claims = Decoded::read(text)?.claims.ok()?;
    Some(claims.pointer("/cnf/jkt")?.as_str()?.to_owned())
}

fn describe_binding(claims: &Value) -> String {
    let member = |name: &str| claims.get("cnf").and_then(|cnf| cnf.get(name)).and_then(Value::as_str);
    match (member("jkt"), member("x5t#S256")) {
        (Some(jkt), _) => format!("it is bound to the key {jkt} (RFC 9449 §6.1)"),
        (None, Some(_)) => {
            "it has no cnf.jkt, and cnf.x5t#S256: it is bound to a certificate (RFC 8705)".to_owned()
        }
        (None, None) => "it has no cnf.jkt: it is bound to no key".to_owned(),
    }
}

/// Explains a token response (RFC 6749 §5.1), of which the tokens are not shown.
pub fn explain_response(document: &Value) -> Explanation {
    let mut explanation = Explanation::new("token response", without_secrets(document.clone()));
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let token = text("access_token");
    let is_bound = token.and_then(binding).is_some();
    match text("token_type") {
        Some(name) if name.eq_ignore_ascii_case("dpop") => {
            explanation.notes.push("the access token is bound to a key (RFC 9449 §5)".to_owned());
        }
        Some(name) if name.eq_ignore_ascii_case("bearer") && is_bound => explanation.problems.push(
            "token_type is Bearer, and the access token is bound to a key, so it should be DPoP (RFC 9449 \
             §5)".to_owned(),
        ),
        Some(name) if name.eq_ignore_ascii_case("bearer") => explanation.notes.push(
            "token_type is Bearer: the access token is bound to no key, whether there was a proof or not (RFC \
             9449 §5)"
                .to_owned(),
        ),
        Some(name) => explanation.problems.push(format!("token_type is {}, which is not known here", json!(name))),
        None => explanation.problems.push("there is no token_type (RFC 6749 §5.1)".to_owned()),
    }
    match token {
        None => explanation.problems.push("access_token is not a string (RFC 6749 §5.1)".to_owned()),
        Some(token) => {
            let claims = Decoded::read(token).filter(|decoded| decoded.header.is_ok());
            if let Some(claims) = claims.and_then(|decoded| decoded.claims.ok()) {
                explanation.notes.push(format!("the access token is a JWT: {}", describe_binding(&claims)));
            }
            explanation.notes.push(format!("the hash of the access token (ath) is {}", ath(token)));
        }
    }
    explanation
}
