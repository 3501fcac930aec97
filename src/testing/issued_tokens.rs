//! The access tokens that a test server issued. They are opaque, as with introspection (RFC 7662).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::grant::Grant;
use crate::jose::public_key::Thumbprint;
use crate::server::access_token::{AccessToken, TokenValidator};
use crate::server::token_error::TokenError;
use crate::sync::{self, Mutex};

#[derive(Default)]
pub(super) struct IssuedTokens(Mutex<HashMap<String, IssuedToken>>);

#[derive(Clone)]
pub(super) struct IssuedToken {
    pub(super) claims: Map<String, Value>,
    pub(super) issued: SystemTime,
    /// `None` if the time cannot be represented.
    pub(super) expires: Option<SystemTime>,
    pub(super) grant: Arc<Grant>,
}

impl IssuedTokens {
    pub(super) fn insert(&self, token: String, issued: IssuedToken) {
        sync::lock(&self.0).insert(token, issued);
    }

    /// Returns a token that is valid.
    pub(super) fn find(&self, token: &str, now: SystemTime) -> Option<IssuedToken> {
        let mut tokens = sync::lock(&self.0);
        // Expired tokens are removed from time to time, so that the memory of a long test stays bounded.
        if tokens.len().is_multiple_of(1024) {
            tokens.retain(|_, token| !token.is_expired(now));
        }
        tokens.get(token).filter(|token| !token.is_expired(now) && !token.grant.is_revoked()).cloned()
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

impl IssuedToken {
    fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }
}

impl TokenValidator for IssuedTokens {
    fn validate(&self, access_token: &str, now: SystemTime) -> Result<AccessToken, TokenError> {
        AccessToken::new(self.find(access_token, now).ok_or(TokenError::Inactive)?.claims)
    }
}

/// The `cnf` claim of a token that is bound to a key (RFC 9449 §6.1).
pub(super) fn confirmation(jkt: &Thumbprint) -> Value {
    json!({ "jkt": jkt.to_string() })
}
