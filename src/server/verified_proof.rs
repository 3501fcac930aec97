//! A proof that passed every check.

use std::sync::OnceLock;
use std::time::SystemTime;

use http::HeaderMap;
use serde_json::{Map, Value};

use crate::dpop::header_names::DPOP_NONCE;
use crate::jose::json;
use crate::jose::public_key::{PublicKey, Thumbprint};
use crate::text::is_nonce;

/// A proof that passed every check.
#[derive(Clone)]
pub struct VerifiedProof {
    pub(super) key: PublicKey,
    pub(super) jti: String,
    pub(super) iat: SystemTime,
    /// Checked: a strict JSON object.
    pub(super) payload: Vec<u8>,
    /// The same, read when it is first asked for.
    pub(super) claims: OnceLock<Map<String, Value>>,
    pub(super) next_nonce: Option<String>,
}

impl VerifiedProof {
    /// The thumbprint of the key: the `cnf.jkt` of the token to bind (RFC 9449 §6.1).
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.key.thumbprint()
    }

    /// The key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Its `jti`.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// Its `iat`.
    #[must_use]
    pub fn iat(&self) -> SystemTime {
        self.iat
    }

    /// The nonce to give with the response as `DPoP-Nonce`: the proof's own grows old, or it had none and nonces are
    /// offered. A client that gets it in time is never challenged.
    #[must_use]
    pub fn next_nonce(&self) -> Option<&str> {
        self.next_nonce.as_deref()
    }

    /// Puts onto the response what goes with it: `DPoP-Nonce` where the client should have a new one, and then
    /// `Cache-Control: no-store` (RFC 9449 §8.2).
    pub fn add_headers(&self, response: &mut HeaderMap) {
        let nonce = self.next_nonce.as_ref().filter(|nonce| is_nonce(nonce));
        if let Some(nonce) = nonce.and_then(|nonce| nonce.parse().ok()) {
            response.insert(DPOP_NONCE, nonce);
            response.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
        }
    }

    /// The confirmation claim for a token bound to this key: `{"jkt": "…"}` as `cnf` of a JWT (RFC 9449 §6.1) or of an
    /// introspection response (§6.2).
    #[must_use]
    pub fn cnf(&self) -> Value {
        Value::Object(Map::from_iter([("jkt".to_owned(), Value::from(self.thumbprint().to_string()))]))
    }

    /// Any of its claims.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims().get(name)
    }

    fn claims(&self) -> &Map<String, Value> {
        self.claims.get_or_init(|| json::parse_jose_object(&self.payload).unwrap_or_default().into_map())
    }
}

impl std::fmt::Debug for VerifiedProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let claims: Vec<_> = self.claims().keys().collect();
        f.debug_struct("VerifiedProof")
            .field("key", &self.key)
            .field("claims", &claims)
            .finish_non_exhaustive()
    }
}
