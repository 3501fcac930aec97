//! The access tokens that a test server issued. They are opaque, as with introspection (RFC 7662).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::grant::Grant;
use crate::jose::public_key::Thumbprint;
use crate::server::access_token::{AccessToken, TokenValidator};
use crate::server::token_error::TokenError;
use crate::sync;

#[derive(Default)]
pub(super) struct IssuedTokens(Mutex<HashMap<String, IssuedToken>>);

struct IssuedToken {
    claims: Map<String, Value>,
    /// `None` if the time cannot be represented.
    expires: Option<SystemTime>,
    grant: Arc<Grant>,
}

impl IssuedTokens {
    pub(super) fn insert(
        &self,
        token: String,
        claims: Map<String, Value>,
        expires: Option<SystemTime>,
        grant: Arc<Grant>,
    ) {
        sync::lock(&self.0).insert(token, IssuedToken { claims, expires, grant });
    }

    /// Returns the grant that a token was issued from.
    pub(super) fn grant(&self, token: &str) -> Option<Arc<Grant>> {
        sync::lock(&self.0).get(token).map(|token| Arc::clone(&token.grant))
    }

    pub(super) fn revoke(&self, token: &str) {
        sync::lock(&self.0).remove(token);
    }

    pub(super) fn revoke_all(&self) {
        sync::lock(&self.0).clear();
    }

    pub(super) fn revoke_bound_to(&self, jkt: &Thumbprint) {
        let confirmation = confirmation(jkt);
        sync::lock(&self.0).retain(|_, token| token.claims.get("cnf") != Some(&confirmation));
    }
}

impl TokenValidator for IssuedTokens {
    fn validate(&self, access_token: &str, now: SystemTime) -> Result<AccessToken, TokenError> {
        let mut tokens = sync::lock(&self.0);
        // Expired tokens are removed from time to time, so that the memory of a long test stays bounded.
        if tokens.len().is_multiple_of(1024) {
            tokens.retain(|_, token| token.expires.is_none_or(|expires| now < expires));
        }
        let token = tokens.get(access_token).ok_or(TokenError::Inactive)?;
        if token.expires.is_some_and(|expires| now >= expires) || token.grant.is_revoked() {
            return Err(TokenError::Inactive);
        }
        AccessToken::new(token.claims.clone())
    }
}

/// The `cnf` claim of a token that is bound to a key (RFC 9449 §6.1).
pub(super) fn confirmation(jkt: &Thumbprint) -> Value {
    json!({ "jkt": jkt.to_string() })
}
