//! JWTs about users, from issuers that the authorization server trusts (RFC 7523 §3).

use serde_json::Value;

use super::clients::Client;
use super::received::DecodedJwt;
use super::request::Request;
use super::state::State;
use crate::time::unix_seconds;

/// Verifies an assertion and returns its subject. A client may issue assertions itself, with the key that it
/// authenticates with.
pub(super) fn subject(state: &State, client: &Client, request: &Request<'_>, jwt: &str) -> Option<String> {
    let claims = DecodedJwt::decode(jwt)?.claims;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let issuer = text("iss")?;
    let trusted = state.settings.assertion_issuers.iter().find(|(known, _)| known == issuer);
    let own = client.public_key.as_ref().filter(|_| client.id == issuer);
    let key = trusted.map(|(_, key)| key).or(own)?;
    key.verify_jws(jwt).ok()?;
    let audiences = [state.issuer.clone(), format!("{}/token", state.issuer)];
    let is_audience =
        |value: &Value| value.as_str().is_some_and(|text| audiences.iter().any(|own| own == text));
    let is_meant = match claims.get("aud")? {
        Value::Array(values) => values.iter().any(is_audience),
        value => is_audience(value),
    };
    let now = unix_seconds(request.now).ok()?;
    let is_valid = is_meant && claims.get("exp").and_then(Value::as_u64).is_some_and(|exp| now < exp);
    text("sub").filter(|_| is_valid).map(str::to_owned)
}
