//! What a request and its response were, without secrets.

use http::{Request, Response};
use possession::RequestBody;
use serde_json::{Map, Value, json};

use crate::jwt::{Decoded, NOT_SHOWN, without_secrets};
use crate::output::printable;
use crate::secrets::{Secrets, texts};

/// The longest part of a text that a record contains.
const MAX_TEXT: usize = 400;
const RESPONSE_HEADERS: [&str; 10] = [
    "location",
    "www-authenticate",
    "dpop-nonce",
    "content-type",
    "cache-control",
    "date",
    "retry-after",
    "access-control-allow-origin",
    "access-control-allow-headers",
    "access-control-expose-headers",
];

/// A request and its response, without secrets.
#[derive(Clone)]
pub struct Exchange {
    pub request: Value,
    pub response: Value,
}

/// Describes a request: of a proof header and claims, which prove nothing without the signature.
pub fn describe_request(request: &Request<RequestBody>, secrets: &Secrets) -> Value {
    // One case has the access token in a claim.
    let describe = |proof: &String| secrets.hide_in(describe_proof(proof));
    let proofs: Vec<_> = texts(request.headers(), "dpop").iter().map(describe).collect();
    let schemes: Vec<_> = texts(request.headers(), "authorization")
        .iter()
        .map(|field| format!("{} {NOT_SHOWN}", field.split(' ').next().unwrap_or_default()))
        .collect();
    let fields: Vec<_> = form_urlencoded::parse(request.body()).map(|(name, _)| name.into_owned()).collect();
    json!({
        "method": request.method().as_str(),
        "url": secrets.hide(&without_query_values(&request.uri().to_string())),
        "authorization": schemes.first(),
        "proofs": proofs,
        "form_fields": fields,
    })
}

fn describe_proof(text: &str) -> Value {
    match Decoded::read(text) {
        Some(Decoded { header: Ok(header), claims: Ok(claims), .. }) => {
            json!({ "header": without_secrets(header), "claims": claims })
        }
        // Several proofs, or what is none. Nothing that may be a signature is shown.
        _ => {
            let shown = |proof: &str| match proof.split('.').collect::<Vec<_>>().as_slice() {
                [header, claims, _, ..] => format!("{header}.{claims}.{NOT_SHOWN}"),
                _ => proof.to_owned(),
            };
            let proofs: Vec<_> = text.split(',').map(shown).collect();
            json!(shortened(&proofs.join(",")))
        }
    }
}

/// Describes a response to a request that contained these secrets.
pub fn describe_response(response: &Response<Vec<u8>>, secrets: &Secrets) -> Value {
    let headers: Map<String, Value> = RESPONSE_HEADERS
        .iter()
        .filter_map(|name| {
            let values = texts(response.headers(), name);
            let text = values.join(", ");
            let text = if *name == "location" { without_query_values(&text) } else { text };
            (!values.is_empty()).then(|| ((*name).to_owned(), shortened(&secrets.hide(&text)).into()))
        })
        .collect();
    // A body may have tokens and the data of users in any form. Only the members of an error are shown.
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let body = match serde_json::from_slice::<Value>(response.body()) {
        Ok(Value::Object(members)) if is_error && members.contains_key("error") => {
            let shown = members.into_iter().map(|(name, value)| {
                let is_shown = matches!(name.as_str(), "error" | "error_description" | "error_uri");
                (name, if is_shown { value } else { json!(NOT_SHOWN) })
            });
            secrets.hide_in(Value::Object(shown.collect())).to_string()
        }
        _ => format!("{} bytes {NOT_SHOWN}", response.body().len()),
    };
    json!({
        "status": response.status().as_u16(),
        "headers": headers,
        "body": shortened(&body),
    })
}

/// Returns a URL without the values in its query, which may be secrets.
pub fn without_query_values(url: &str) -> String {
    let Some((path, query)) = url.split_once('?') else { return url.to_owned() };
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) => format!("{name}={NOT_SHOWN}"),
        None => NOT_SHOWN.to_owned(),
    });
    format!("{path}?{}", shown.collect::<Vec<_>>().join("&"))
}

fn shortened(text: &str) -> String {
    printable(text).chars().take(MAX_TEXT).collect()
}
