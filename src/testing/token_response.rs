//! The response that issues tokens (RFC 6749 §5.1), and what quirks make of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::endpoint_error::EndpointError;
use super::grant::Grant;
use super::issued_tokens::{IssuedToken, confirmation};
use super::json_document::JsonDocument;
use super::quirk::Quirk;
use super::response::{Close, ServerResponse};
use super::token_request::TokenRequest;
use crate::crypto::random;
use crate::error::Error;
use crate::jose::base64url::base64url;

/// The tokens to issue.
pub(super) struct TokenResponse {
    grant: Arc<Grant>,
    scope: Option<String>,
    /// The refresh token to send, if any.
    refresh_token: Option<String>,
    /// What was issued by a token exchange (RFC 8693 §2.2.1).
    issued_token_type: Option<String>,
}

impl TokenResponse {
    /// An access token with all that was granted.
    pub(super) fn new(grant: &Arc<Grant>) -> Self {
        Self {
            grant: Arc::clone(grant),
            scope: grant.access.scope.clone(),
            refresh_token: None,
            issued_token_type: None,
        }
    }

    pub(super) fn scope(self, scope: Option<String>) -> Self {
        Self { scope, ..self }
    }

    pub(super) fn refresh_token(self, refresh_token: Option<String>) -> Self {
        Self { refresh_token, ..self }
    }

    pub(super) fn issued_token_type(self, token_type: String) -> Self {
        Self { issued_token_type: Some(token_type), ..self }
    }

    /// Issues an access token, bound to the key of the proof unless a quirk says otherwise, and builds the
    /// response.
    pub(super) fn respond(self, token_request: &TokenRequest<'_>) -> Result<ServerResponse, EndpointError> {
        let TokenRequest { state, request, jkt, .. } = token_request;
        let token = opaque().map_err(EndpointError::server)?;
        let mut document = self.document(token_request, &token, "DPoP");
        let bearer = document.apply_quirks(request, true);
        let mut claims = self.grant.claims(self.scope.as_deref());
        if !bearer {
            claims.insert("cnf".to_owned(), confirmation(jkt));
        }
        // `expires_in` has whole seconds.
        let lifetime = Duration::from_secs(state.settings.token_lifetime.as_secs());
        let expires = request.now.checked_add(lifetime);
        state.tokens.insert(token, IssuedToken { claims, issued: request.now, expires, grant: self.grant });
        state.log.count(|counts| &mut counts.tokens);
        Ok(response(&document, token_request))
    }

    /// Issues a token that is not an access token, with the token type `N_A` (RFC 8693 §2.2.1).
    pub(super) fn respond_with_other_token(
        self,
        token_request: &TokenRequest<'_>,
    ) -> Result<ServerResponse, EndpointError> {
        let token = opaque().map_err(EndpointError::server)?;
        let mut document = self.document(token_request, &token, "N_A");
        document.apply_quirks(token_request.request, true);
        Ok(response(&document, token_request))
    }

    fn document(&self, token_request: &TokenRequest<'_>, token: &str, token_type: &str) -> JsonDocument {
        let mut document = JsonDocument::new([
            ("access_token", Value::from(token)),
            ("token_type", Value::from(token_type)),
            ("expires_in", Value::from(token_request.state.settings.token_lifetime.as_secs())),
        ]);
        document.add("issued_token_type", self.issued_token_type.as_deref());
        document.add("scope", self.scope.as_deref());
        document.add("refresh_token", self.refresh_token.as_deref());
        document.add("authorization_details", self.grant.access.authorization_details.clone());
        document
    }
}

fn opaque() -> Result<String, Error> {
    random::<24>().map(|bytes| base64url(&bytes))
}

fn response(document: &JsonDocument, token_request: &TokenRequest<'_>) -> ServerResponse {
    let mut response =
        document.to_response(200).header("cache-control", "no-store").header("pragma", "no-cache");
    if token_request.request.quirks.any_applies(|quirk| matches!(quirk, Quirk::LoseTokenResponse)) {
        response.delivery.close = Some(Close::WithoutResponse);
    }
    response
}
