//! The response that issues tokens (RFC 6749 §5.1), and what quirks make of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::endpoint_error::EndpointError;
use super::grant::Grant;
use super::issued_tokens::confirmation;
use super::json_document::JsonDocument;
use super::quirk::Quirk;
use super::response::{Close, ServerResponse};
use super::token_request::TokenRequest;
use crate::crypto::random;
use crate::jose::base64url::base64url;

/// The tokens to issue.
pub(super) struct TokenResponse {
    grant: Arc<Grant>,
    scope: Option<String>,
    /// The refresh token to send, if any.
    refresh_token: Option<String>,
}

impl TokenResponse {
    /// An access token with all that was granted.
    pub(super) fn new(grant: &Arc<Grant>) -> Self {
        Self { grant: Arc::clone(grant), scope: grant.scope.clone(), refresh_token: None }
    }

    pub(super) fn scope(self, scope: Option<String>) -> Self {
        Self { scope, ..self }
    }

    pub(super) fn refresh_token(self, refresh_token: Option<String>) -> Self {
        Self { refresh_token, ..self }
    }

    /// Issues the access token, bound to the key of the proof unless a quirk says otherwise, and builds the
    /// response.
    pub(super) fn respond(self, token_request: &TokenRequest<'_>) -> Result<ServerResponse, EndpointError> {
        let TokenRequest { state, request, jkt, .. } = token_request;
        let token = random::<24>().map(|bytes| base64url(&bytes)).map_err(EndpointError::server)?;
        let lifetime = state.settings.token_lifetime.as_secs();
        let mut document = JsonDocument::new([
            ("access_token", Value::from(token.as_str())),
            ("token_type", Value::from("DPoP")),
            ("expires_in", Value::from(lifetime)),
        ]);
        document.add("scope", self.scope.as_deref());
        document.add("refresh_token", self.refresh_token);
        document.add("authorization_details", self.grant.authorization_details.clone());
        let bearer = document.apply_quirks(request, true);
        let mut claims = self.grant.claims(self.scope.as_deref());
        if !bearer {
            claims.insert("cnf".to_owned(), confirmation(jkt));
        }
        // `expires_in` has whole seconds.
        let expires = request.now.checked_add(Duration::from_secs(lifetime));
        state.tokens.insert(token, claims, expires, self.grant);
        state.log.count(|counts| &mut counts.tokens);
        let mut response =
            document.to_response(200).header("cache-control", "no-store").header("pragma", "no-cache");
        if request.quirks.any_applies(|quirk| matches!(quirk, Quirk::LoseTokenResponse)) {
            response.delivery.close = Some(Close::WithoutResponse);
        }
        Ok(response)
    }
}
