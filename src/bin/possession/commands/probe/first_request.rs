//! Says why the first correct request does not succeed, which is most often a matter of configuration.

use serde_json::Value;

/// Returns what the server responded, and what may be wrong. `response` is the record of it.
pub fn explain(why: &str, url: &str, response: &Value) -> String {
    let header = |name: &str| response.pointer(&format!("/headers/{name}")).and_then(Value::as_str);
    let body = response.get("body").and_then(Value::as_str).unwrap_or_default();
    let challenge = header("www-authenticate");
    let mut seen = Vec::new();
    if let Some(status) = response.get("status") {
        seen.push(format!("status {status}"));
    }
    seen.extend(challenge.map(|challenge| format!("WWW-Authenticate: {challenge}")));
    seen.extend(header("location").map(|location| format!("Location: {location}")));
    if body.starts_with('{') {
        seen.push(body.to_owned());
    }
    let seen = if seen.is_empty() { String::new() } else { format!(" ({})", seen.join(", ")) };
    let guess = guess(url, response.get("status").and_then(Value::as_u64), challenge, body);
    let guess = guess.map_or(String::new(), |guess| format!(". {guess}"));
    format!(
        "a correct request of {url} does not succeed, so that nothing can be found out: {why}{seen}{guess}"
    )
}

fn guess(url: &str, status: Option<u64>, challenge: Option<&str>, body: &str) -> Option<String> {
    let has = |code: &str| challenge.is_some_and(|text| text.contains(code)) || body.contains(code);
    let is_dpop = challenge.is_some_and(|text| text.to_ascii_lowercase().contains("dpop"));
    let guess = match status? {
        _ if has("use_dpop_nonce") => {
            "Each response needs a nonce in DPoP-Nonce of the characters of RFC 9449 §8.1".to_owned()
        }
        _ if has("invalid_dpop_proof") => {
            format!("Does the server know that its public URL is {url}, and is its clock right?")
        }
        _ if has("invalid_client") => {
            "Are --client-id, --auth and the secret or key those of the client?".to_owned()
        }
        _ if has("invalid_token") => {
            "Is the token for this server, still valid, and bound to the key of --dpop-key?".to_owned()
        }
        _ if has("insufficient_scope") => "Which --scope does the resource need?".to_owned(),
        300..=399 => "Name the URL that it redirects to".to_owned(),
        401 if !is_dpop && challenge.is_some() => "Does the server accept DPoP?".to_owned(),
        403 => "Does the token allow this request?".to_owned(),
        404 => "Is the URL right?".to_owned(),
        405 => "Is the method right (--method)?".to_owned(),
        _ => return None,
    };
    Some(guess)
}
