//! What a request and its response were, without secrets.

use base64ct::{Base64, Encoding};
use http::{HeaderMap, Request, Response};
use possession::RequestBody;
use serde_json::{Map, Value, json};

use crate::jwt::{Decoded, without_secrets};
use crate::output::printable;

/// The longest part of a text that a record contains.
const MAX_TEXT: usize = 400;
/// In characters: shorter texts are no signatures.
const SHORTEST_SIGNATURE: usize = 20;
const NOT_SHOWN: &str = "(not shown)";
/// Form fields and members of JSON documents that are secret.
const SECRET: [&str; 14] = [
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "client_assertion",
    "assertion",
    "subject_token",
    "actor_token",
    "code",
    "code_verifier",
    "device_code",
    "token",
    "password",
    "registration_access_token",
];
const RESPONSE_HEADERS: [&str; 9] = [
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

/// The texts of a request that must not be shown, in case the response repeats them.
pub struct Secrets(Vec<String>);

impl Secrets {
    pub fn of(request: &Request<RequestBody>) -> Self {
        let mut secrets = Vec::new();
        for proof in texts(request.headers(), "dpop").iter().flat_map(|field| field.split(',')) {
            let signatures = proof.split('.').skip(2).filter(|text| text.len() >= SHORTEST_SIGNATURE);
            secrets.extend(signatures.map(str::to_owned));
        }
        for field in texts(request.headers(), "authorization") {
            let credentials = field.split_once(' ').map_or(field.as_str(), |(_, rest)| rest.trim());
            secrets.push(credentials.to_owned());
            let decoded = Base64::decode_vec(credentials).ok().and_then(|pair| String::from_utf8(pair).ok());
            secrets.extend(decoded.and_then(|pair| Some(pair.split_once(':')?.1.to_owned())));
        }
        let fields = form_urlencoded::parse(request.body());
        secrets.extend(
            fields.filter(|(name, _)| SECRET.contains(&name.as_ref())).map(|(_, value)| value.into_owned()),
        );
        secrets.retain(|secret| !secret.is_empty());
        // A secret may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// Hides them in every text of a document.
    fn hide_in(&self, document: Value) -> Value {
        match document {
            Value::String(text) => Value::String(self.hide(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.hide_in(value)).collect(),
            Value::Object(members) => {
                Value::Object(members.into_iter().map(|(name, value)| (name, self.hide_in(value))).collect())
            }
            value => value,
        }
    }

    fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, NOT_SHOWN))
    }
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
        "url": request.uri().to_string(),
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
            (!values.is_empty()).then(|| ((*name).to_owned(), shortened(&secrets.hide(&text)).into()))
        })
        .collect();
    // A body may have tokens and the data of users in any form. Only the members of an error are shown.
    let body = match serde_json::from_slice::<Value>(response.body()) {
        Ok(Value::Object(members)) => {
            let shown = members.into_iter().map(|(name, value)| {
                let is_shown = matches!(name.as_str(), "error" | "error_description" | "error_uri");
                (name, if is_shown { value } else { json!(NOT_SHOWN) })
            });
            Value::Object(shown.collect()).to_string()
        }
        _ => format!("{} bytes {NOT_SHOWN}", response.body().len()),
    };
    json!({
        "status": response.status().as_u16(),
        "headers": headers,
        "body": shortened(&secrets.hide(&body)),
    })
}

/// Returns the values of a header field.
fn texts(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

fn shortened(text: &str) -> String {
    printable(text).chars().take(MAX_TEXT).collect()
}
