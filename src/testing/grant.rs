//! What a client may do, as long as it is not revoked: all tokens that were issued from one login, for
//! example.

use serde_json::{Map, Value, json};

use super::requested_access::RequestedAccess;

use crate::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
pub(super) struct Grant {
    pub(super) client_id: String,
    /// The resource owner; `None` where the client acts for itself.
    pub(super) subject: Option<String>,
    /// Who acts for the resource owner (RFC 8693 §4.1).
    pub(super) actor: Option<String>,
    pub(super) access: RequestedAccess,
    revoked: AtomicBool,
}

impl Grant {
    /// What a client gets that acts for itself, or for the resource owner `subject`.
    pub(super) fn new(client_id: &str, subject: Option<String>, access: RequestedAccess) -> Self {
        Self { client_id: client_id.to_owned(), subject, access, ..Self::default() }
    }

    /// Sets who acts for the resource owner.
    pub(super) fn with_actor(self, actor: Option<String>) -> Self {
        Self { actor, ..self }
    }

    /// Ends all tokens that were issued from it, and those that are being issued at this moment.
    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    /// Returns whether each of these scopes was granted (RFC 6749 §6).
    pub(super) fn has_scope(&self, scope: &str) -> bool {
        let granted = || self.access.scope.iter().flat_map(|scope| scope.split(' '));
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
        add("act", self.actor.as_deref().map(|actor| json!({ "sub": actor })));
        let RequestedAccess { resources, authorization_details, .. } = &self.access;
        add("aud", (!resources.is_empty()).then(|| resources.clone().into()));
        add("authorization_details", authorization_details.clone());
        claims
    }
}
