//! A proof that passed every check.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value};

use crate::dpop::header_names::DPOP_NONCE;
use crate::jose::json;
use crate::jose::public_key::{PublicKey, Thumbprint};
use crate::text::is_nonce;

/// A proof that passed every check of a [`Verifier`](crate::server::Verifier). Copies are cheap.
#[derive(Clone)]
pub struct VerifiedProof {
    pub(super) contents: Arc<ProofContents>,
    pub(super) next_nonce: Option<String>,
}

/// What a proof contains.
pub(super) struct ProofContents {
    pub(super) key: PublicKey,
    /// The `jti`, followed by the nonce: they share an allocation.
    pub(super) jti_and_nonce: String,
    /// The length of `jti` in bytes.
    pub(super) jti_length: usize,
    pub(super) iat: SystemTime,
    /// The claims as a JSON object, which has been checked.
    pub(super) payload: Vec<u8>,
    /// The parsed claims. They are parsed when they are first used.
    pub(super) claims: OnceLock<Map<String, Value>>,
}

impl ProofContents {
    pub(super) fn jti(&self) -> &str {
        self.jti_and_nonce.get(..self.jti_length).unwrap_or_default()
    }

    /// Returns the nonce; empty if there is none.
    pub(super) fn nonce(&self) -> &str {
        self.jti_and_nonce.get(self.jti_length..).unwrap_or_default()
    }
}

impl VerifiedProof {
    /// Returns the thumbprint of the key: the `cnf.jkt` of the token to bind (RFC 9449 §6.1).
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.contents.key.thumbprint()
    }

    /// Returns the public key of the proof.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.contents.key
    }

    /// Returns the `jti` of the proof.
    #[must_use]
    pub fn jti(&self) -> &str {
        self.contents.jti()
    }

    /// Returns the `iat` of the proof.
    #[must_use]
    pub fn iat(&self) -> SystemTime {
        self.contents.iat
    }

    /// Returns the nonce to send with the response as `DPoP-Nonce`, if there is one: the nonce of the proof
    /// expires soon, or the proof had none and nonces are offered. A client that receives it in time is
    /// never challenged.
    #[must_use]
    pub fn next_nonce(&self) -> Option<&str> {
        self.next_nonce.as_deref()
    }

    /// Adds `DPoP-Nonce` and `Cache-Control: no-store` (RFC 9449 §8.2) to the header fields of the response,
    /// if there is a [`next_nonce`](Self::next_nonce).
    pub fn add_headers(&self, response: &mut HeaderMap) {
        let nonce = self.next_nonce.as_ref().filter(|nonce| is_nonce(nonce));
        if let Some(nonce) = nonce.and_then(|nonce| nonce.parse().ok()) {
            response.insert(DPOP_NONCE, nonce);
            response.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }

    /// Returns the confirmation claim for a token bound to this key: `{"jkt": "…"}`, the `cnf` of a JWT (RFC
    /// 9449 §6.1) or of an introspection response (§6.2).
    #[must_use]
    pub fn cnf(&self) -> Value {
        Value::Object(Map::from_iter([("jkt".to_owned(), Value::from(self.thumbprint().to_string()))]))
    }

    /// Returns a claim of the proof.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims().get(name)
    }

    fn claims(&self) -> &Map<String, Value> {
        let ProofContents { payload, claims, .. } = &*self.contents;
        claims.get_or_init(|| json::parse_jose_object(payload).unwrap_or_default().into_map())
    }
}

impl fmt::Debug for VerifiedProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claims: Vec<_> = self.claims().keys().collect();
        f.debug_struct("VerifiedProof")
            .field("key", &self.contents.key)
            .field("claims", &claims)
            .finish_non_exhaustive()
    }
}
