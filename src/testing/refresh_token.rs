//! Refresh tokens. Those of public clients are bound to the key of the proof (RFC 9449 §5).

use std::sync::Arc;

use super::grant::Grant;
use super::quirk::Quirk;
use super::request::Request;
use crate::jose::public_key::Thumbprint;

/// What a refresh token stands for.
#[derive(Clone)]
pub(super) struct RefreshToken {
    pub(super) grant: Arc<Grant>,
    /// The key of the proof with which it was issued.
    pub(super) jkt: Thumbprint,
    /// Whether the client was not authenticated when it was issued.
    pub(super) is_public: bool,
}

impl RefreshToken {
    /// Returns whether it may be used with a proof by that key. The refresh token of a confidential client is
    /// bound to the client and not to the key, unless a quirk says otherwise.
    pub(super) fn accepts_key(&self, jkt: Thumbprint, request: &Request<'_>) -> bool {
        let binds = |quirk: &Quirk| matches!(quirk, Quirk::BindRefreshTokens);
        self.jkt == jkt || !self.is_public && !request.quirks.any_applies(binds)
    }
}
