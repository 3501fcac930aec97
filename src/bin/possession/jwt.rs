//! Reading JWTs without verifying them, to show them and other documents without secrets.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

/// The private members of a JWK (RFC 7518 §6), and that of ML-DSA (RFC 9964).
pub const PRIVATE: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// The parts of a compact JWS, as far as they can be read.
pub struct Decoded {
    pub header: Result<Value, &'static str>,
    pub claims: Result<Value, &'static str>,
    /// The text that the signature is for.
    pub signed: String,
    pub signature: Result<Vec<u8>, &'static str>,
}

impl Decoded {
    /// Reads a text of three segments; `None` if it is not one.
    pub fn read(text: &str) -> Option<Self> {
        let mut segments = text.split('.');
        let (header, claims, signature) = (segments.next()?, segments.next()?, segments.next()?);
        segments.next().is_none().then(|| Self {
            header: json(header),
            claims: json(claims),
            signed: format!("{header}.{claims}"),
            signature: bytes(signature),
        })
    }
}

fn bytes(segment: &str) -> Result<Vec<u8>, &'static str> {
    Base64UrlUnpadded::decode_vec(segment).map_err(|_| "it is not base64url without padding (RFC 7515 §2)")
}

fn json(segment: &str) -> Result<Value, &'static str> {
    serde_json::from_slice(&bytes(segment)?).map_err(|_| "it is not JSON")
}

/// What is written in place of a secret.
pub const NOT_SHOWN: &str = "(not shown)";

/// Members of JSON documents and form fields that are secret, beside the private members of a JWK.
const SECRET: [&str; 8] = [
    "client_assertion",
    "assertion",
    "code",
    "code_verifier",
    "device_code",
    "user_code",
    "auth_req_id",
    "private_key",
];
/// How the names of others end, such as `registration_access_token`.
const SECRET_ENDS: [&str; 6] = ["token", "secret", "password", "passwd", "passphrase", "apikey"];

/// Returns whether the value of a member or a form field is secret. Capitals, `_` and `-` do not matter.
pub fn is_secret(name: &str) -> bool {
    let plain = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let name = plain(name);
    PRIVATE.contains(&name.as_str())
        || SECRET.iter().any(|secret| plain(secret) == name)
        || SECRET_ENDS.iter().any(|end| name.ends_with(end))
}

/// Returns a document without what nobody should see, at any depth: private keys, secrets and tokens.
pub fn without_secrets(document: Value) -> Value {
    conceal(document, false)
}

/// `is_key` says that the value should be a key, and is not shown as a text.
fn conceal(document: Value, is_key: bool) -> Value {
    match document {
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| {
                let value = match is_secret(&name) && !value.is_null() {
                    true => json!(NOT_SHOWN),
                    false => conceal(value, matches!(name.as_str(), "jwk" | "jwks" | "keys" | "key")),
                };
                (name, value)
            });
            Value::Object(members.collect())
        }
        Value::Array(values) => values.into_iter().map(|value| conceal(value, is_key)).collect(),
        Value::String(text) if is_key || text.contains("PRIVATE KEY-----") => {
            json!(if text.is_empty() { "" } else { NOT_SHOWN })
        }
        // JSON in a text.
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            match serde_json::from_str(text.trim()) {
                Ok(inner) => conceal(inner, false).to_string().into(),
                Err(_) if PRIVATE.iter().chain(&SECRET).any(|name| text.contains(&format!("\"{name}\""))) => {
                    json!(NOT_SHOWN)
                }
                Err(_) => text.into(),
            }
        }
        Value::String(text) => without_signature(&text).map_or(Value::String(text), Value::String),
        value => value,
    }
}

/// Returns a JWT without its signature, with which it could be used, and an encrypted one without its
/// content.
fn without_signature(text: &str) -> Option<String> {
    let (header, rest) = text.split_once('.')?;
    let (claims, signature) = rest.split_once('.')?;
    let is_jwt = json(header).is_ok_and(|header| header.is_object());
    let shown = if signature.contains('.') { header.to_owned() } else { format!("{header}.{claims}") };
    (is_jwt && !signature.is_empty()).then(|| format!("{shown}.{NOT_SHOWN}"))
}

/// Returns the name of a private member that a `jwk` has, or that is deeper in what should be one and is not.
pub fn private_member(jwk: &Value) -> Option<&'static str> {
    match jwk {
        Value::Array(values) => values.iter().find_map(private_member),
        // JSON in a text. Every level of it is shorter.
        Value::String(text) => private_member(&serde_json::from_str(text).ok()?),
        jwk => PRIVATE.into_iter().find(|name| jwk.get(*name).is_some()),
    }
}
