//! The JSON documents of the authorization server, and what quirks make of them.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::quirk::Quirk;
use super::request::Request;
use super::response::ServerResponse;

/// The members of a JSON object, each with its value as JSON text.
pub(super) struct JsonDocument(Fields);

impl JsonDocument {
    pub(super) fn new<const N: usize>(members: [(&str, Value); N]) -> Self {
        Self(Fields::new(members.map(|(name, value)| (name, value.to_string()))))
    }

    /// Adds a member unless its value is `None`.
    pub(super) fn add(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.push(name, value.into().to_string());
        }
    }

    /// Applies the quirks that change members. Returns whether one of them was [`Quirk::Bearer`], which
    /// concerns token responses only.
    pub(super) fn apply_quirks(&mut self, request: &Request<'_>, is_token_response: bool) -> bool {
        let mut bearer = false;
        for active in request.quirks.iter() {
            let mut changed = self.0.clone();
            match &active.quirk {
                Quirk::Bearer if is_token_response => {
                    changed.set("token_type", &Value::from("Bearer").to_string());
                }
                Quirk::Member { name, json } => changed.set(name, json),
                Quirk::DuplicateMember { name, json } => changed.push(name, json.as_str()),
                Quirk::WithoutMember(name) => changed.remove(name),
                _ => continue,
            }
            if request.quirks.applies(active, changed != self.0) {
                self.0 = changed;
                bearer |= matches!(active.quirk, Quirk::Bearer);
            }
        }
        bearer
    }

    /// Returns a response with the document.
    pub(super) fn to_response(&self, status: u16) -> ServerResponse {
        let members: Vec<_> =
            self.0.iter().map(|(name, json)| format!("{}:{json}", Value::from(name))).collect();
        ServerResponse::json(status, format!("{{{}}}", members.join(",")))
    }

    /// Applies the quirks and returns a response that must not be cached.
    pub(super) fn respond(mut self, request: &Request<'_>, status: u16) -> ServerResponse {
        self.apply_quirks(request, false);
        self.to_response(status).header("cache-control", "no-store")
    }
}

impl From<Map<String, Value>> for JsonDocument {
    fn from(members: Map<String, Value>) -> Self {
        Self(Fields::new(members.into_iter().map(|(name, value)| (name, value.to_string()))))
    }
}
