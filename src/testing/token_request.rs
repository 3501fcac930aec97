//! A token request as the grants handle it.

use std::sync::Arc;

use super::client_authentication::AuthenticatedClient;
use super::endpoint_error::{EndpointError, oauth_error_of_quirk};
use super::form::Form;
use super::grant::Grant;
use super::refresh_token::RefreshToken;
use super::request::Request;
use super::requested_access::RequestedAccess;
use super::state::State;
use crate::jose::public_key::Thumbprint;
use crate::text::is_scope;

/// A token request whose client and proof were verified.
pub(super) struct TokenRequest<'a> {
    pub(super) state: &'a State,
    pub(super) request: &'a Request<'a>,
    pub(super) form: &'a Form,
    pub(super) client: &'a AuthenticatedClient,
    pub(super) jkt: Thumbprint,
}

impl TokenRequest<'_> {
    /// Returns a field that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, EndpointError> {
        self.form.field(name).ok_or_else(|| EndpointError::oauth(400, "invalid_request"))
    }

    /// Refuses a valid request if a quirk says so. A code or token that the request is for stays unused.
    pub(super) fn refuse_by_quirk(&self) -> Result<(), EndpointError> {
        match oauth_error_of_quirk(self.request) {
            Some(code) => Err(EndpointError::oauth(400, code)),
            None => Ok(()),
        }
    }

    /// Returns what the client asks for, where nobody approved it before.
    pub(super) fn requested_access(&self) -> Result<RequestedAccess, EndpointError> {
        RequestedAccess::parse(self.form).map_err(|code| EndpointError::oauth(400, code))
    }

    /// Issues a refresh token for the key of the request, if the client may use it.
    pub(super) fn issue_refresh_token(&self, grant: &Arc<Grant>) -> Result<Option<String>, EndpointError> {
        if !self.client.client.may_use("refresh_token") {
            return Ok(None);
        }
        let now = self.request.now;
        let token =
            RefreshToken { grant: Arc::clone(grant), jkt: self.jkt, is_public: self.client.is_public };
        let expires = now.checked_add(self.state.settings.refresh_token_lifetime);
        self.state
            .refresh_tokens
            .issue("refresh-", token, expires, now)
            .map(Some)
            .map_err(EndpointError::server)
    }

    /// Returns the scope of the new tokens: what was granted, or the part of it that the client asks for.
    pub(super) fn narrowed_scope(&self, grant: &Grant) -> Result<Option<String>, EndpointError> {
        match self.form.field("scope") {
            None => Ok(grant.access.scope.clone()),
            Some(scope) if is_scope(scope) && grant.has_scope(scope) => Ok(Some(scope.to_owned())),
            Some(_) => Err(EndpointError::oauth(400, "invalid_scope")),
        }
    }
}
