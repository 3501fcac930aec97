//! The access that a client asks for.

use serde_json::Value;

use super::clients::is_redirect_uri;
use super::form::Form;
use crate::text::is_scope;

#[derive(Clone, Default)]
pub(super) struct RequestedAccess {
    pub(super) scope: Option<String>,
    /// The resource indicators (RFC 8707).
    pub(super) resources: Vec<String>,
    /// An array (RFC 9396 §2).
    pub(super) authorization_details: Option<Value>,
}

impl RequestedAccess {
    /// Parses the parameters of a request. The error is an OAuth error code.
    pub(super) fn parse(form: &Form) -> Result<Self, &'static str> {
        let scope = form.field("scope");
        if scope.is_some_and(|scope| !is_scope(scope)) {
            return Err("invalid_scope");
        }
        // Like redirect URIs, they are absolute URIs without a fragment.
        if !form.values("resource").all(is_redirect_uri) {
            return Err("invalid_target");
        }
        let details = form.field("authorization_details").map(parse_details);
        if details == Some(None) {
            return Err("invalid_authorization_details");
        }
        Ok(Self {
            scope: scope.map(str::to_owned),
            resources: form.values("resource").map(str::to_owned).collect(),
            authorization_details: details.flatten(),
        })
    }
}

/// Returns an array of objects, each of which has a `type` (RFC 9396 §2).
fn parse_details(text: &str) -> Option<Value> {
    let details: Value = serde_json::from_str(text).ok()?;
    let has_type = |detail: &Value| detail.get("type").is_some_and(Value::is_string);
    details.as_array()?.iter().all(has_type).then_some(details)
}
