//! What caches find a result about an access token by.

use std::hash::{Hash, Hasher};

use crate::crypto::sha256;
use crate::jose::public_key::Thumbprint;
use crate::server::access_token::AccessToken;
use crate::server::presented_token::PresentedToken;

/// The SHA-256 hash of a whole access token, with its signature, and how the token was presented.
///
/// A result is found only for a token that is presented as it was before. Otherwise, anyone who has a token
/// and not its key would learn from a fast refusal that the token is in use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenCacheKey {
    hash: [u8; 32],
    presentation: Presentation,
}

/// How a token was presented.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presentation {
    /// The caller did not say.
    Unknown,
    /// As `Bearer`, without a proof.
    Bearer,
    /// As `DPoP`, with a proof by the key with this thumbprint.
    Proof(Thumbprint),
}

impl TokenCacheKey {
    pub(super) fn new(presented: &PresentedToken<'_>) -> Self {
        let presentation = presented.jkt().map_or(Presentation::Bearer, Presentation::Proof);
        Self { hash: *presented.sha256(), presentation }
    }

    /// Returns the key for a token of which it is not known how it was presented.
    pub(super) fn of_token_alone(access_token: &str) -> Self {
        Self { hash: sha256(access_token.as_bytes()), presentation: Presentation::Unknown }
    }

    pub(super) fn first_byte(&self) -> u8 {
        let [first, ..] = self.hash;
        first
    }

    /// Returns whether a valid token is bound as it was presented. Otherwise it will be refused.
    pub(super) fn fits(&self, token: &AccessToken) -> bool {
        match self.presentation {
            Presentation::Unknown => true,
            Presentation::Bearer => token.jkt().is_none(),
            Presentation::Proof(jkt) => token.jkt() == Some(jkt),
        }
    }
}

impl Hash for TokenCacheKey {
    /// Hashes a part that is as good as the whole, because it is part of a hash.
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(start) = self.hash.first_chunk::<8>() {
            state.write_u64(u64::from_ne_bytes(*start));
        }
    }
}
