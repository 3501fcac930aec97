//! An authorization request (RFC 6749 §4.1.1), whether it came through the browser or was pushed.

use std::sync::Arc;

use super::clients::Client;
use super::form::Form;
use super::grant::Grant;
use super::requested_access::RequestedAccess;
use crate::jose::base64url::from_base64url_to;
use crate::jose::public_key::Thumbprint;

#[derive(Clone)]
pub(super) struct AuthorizationRequest {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    /// The SHA-256 digest of the code verifier (RFC 7636 §4.2).
    pub(super) code_challenge: [u8; 32],
    /// The key that the code is bound to (RFC 9449 §10).
    pub(super) dpop_jkt: Option<Thumbprint>,
    access: RequestedAccess,
}

/// What an authorization code stands for.
#[derive(Clone)]
pub(super) struct AuthorizationCode {
    pub(super) request: Arc<AuthorizationRequest>,
    pub(super) grant: Arc<Grant>,
}

/// An invalid authorization request, with its OAuth error code.
pub(super) struct InvalidRequest {
    pub(super) code: &'static str,
    /// Where the error may be sent; `None` where client or redirect URI is wrong (RFC 6749 §4.1.2.1).
    pub(super) redirect_uri: Option<String>,
}

impl AuthorizationRequest {
    /// Parses the parameters of a client that is known.
    pub(super) fn parse(form: &Form, client: &Client) -> Result<Self, InvalidRequest> {
        let redirect_uri = form.field("redirect_uri").filter(|uri| client.may_redirect_to(uri));
        let Some(redirect_uri) = redirect_uri.map(str::to_owned) else {
            return Err(InvalidRequest { code: "invalid_request", redirect_uri: None });
        };
        let refuse = |code| InvalidRequest { code, redirect_uri: Some(redirect_uri.clone()) };
        let invalid = || refuse("invalid_request");
        if form.has_duplicate() {
            return Err(invalid());
        }
        match form.field("response_type") {
            Some("code") => {}
            Some(_) => return Err(refuse("unsupported_response_type")),
            None => return Err(invalid()),
        }
        if form.field("request").is_some() {
            return Err(refuse("request_not_supported"));
        }
        if form.field("response_mode").is_some_and(|mode| mode != "query") {
            return Err(invalid());
        }
        // PKCE is required (RFC 9700 §2.1.1), and the default of a missing method would be `plain`.
        let challenge =
            form.field("code_challenge").filter(|_| form.field("code_challenge_method") == Some("S256"));
        let code_challenge = challenge.and_then(from_base64url_to).ok_or_else(invalid)?;
        let dpop_jkt = form.field("dpop_jkt").map(str::parse).transpose().map_err(|_| invalid())?;
        Ok(Self {
            client_id: client.id.clone(),
            state: form.field("state").map(str::to_owned),
            code_challenge,
            dpop_jkt,
            access: RequestedAccess::parse(form).map_err(refuse)?,
            redirect_uri,
        })
    }

    /// Returns what the resource owner grants by approving the request.
    pub(super) fn approve(&self, subject: &str) -> Grant {
        Grant::new(&self.client_id, Some(subject.to_owned()), self.access.clone())
    }
}
