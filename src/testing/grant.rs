//! What a client may do, as long as it is not revoked: all tokens that were issued from one login, for
//! example.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};

#[derive(Default)]
pub(super) struct Grant {
    pub(super) client_id: String,
    /// The resource owner; `None` where the client acts for itself.
    pub(super) subject: Option<String>,
    pub(super) scope: Option<String>,
    /// The resource indicators (RFC 8707).
    pub(super) resources: Vec<String>,
    /// An array (RFC 9396 §2).
    pub(super) authorization_details: Option<Value>,
    pub(super) revoked: AtomicBool,
}

impl Grant {
    /// Ends all tokens that were issued from it, and those that are being issued at this moment.
    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    /// Returns whether each of these scopes was granted (RFC 6749 §6).
    pub(super) fn has_scope(&self, scope: &str) -> bool {
        let granted = || self.scope.iter().flat_map(|scope| scope.split(' '));
        scope.split(' ').all(|wanted| granted().any(|granted| granted == wanted))
    }

    /// Returns the claims of an access token with this scope.
    pub(super) fn claims(&self, scope: Option<&str>) -> Map<String, Value> {
        let mut claims = Map::new();
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value);
            }
        };
        add("client_id", Some(self.client_id.as_str().into()));
        add("scope", scope.map(Value::from));
        add("sub", self.subject.as_deref().map(Value::from));
        add("aud", (!self.resources.is_empty()).then(|| self.resources.clone().into()));
        add("authorization_details", self.authorization_details.clone());
        claims
    }
}
