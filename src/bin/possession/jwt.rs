//! Reading JWTs without verifying them, to show them.

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

/// Replaces the private members of the `jwk` header parameter, which nobody should see.
pub fn without_private_members(mut header: Value) -> Value {
    if let Some(jwk) = header.get_mut("jwk").and_then(Value::as_object_mut) {
        for name in PRIVATE {
            if let Some(value) = jwk.get_mut(name) {
                *value = json!("(not shown)");
            }
        }
    }
    header
}
