//! An access token as it was presented, by which caches find it.

use std::hash::{Hash, Hasher};

use crate::crypto::sha256;
use crate::jose::public_key::Thumbprint;
use crate::server::access_token::AccessToken;

/// The SHA-256 hash of a whole access token, with its signature, and how the token was presented.
///
/// A result is found only for a token that is presented as it was before. Otherwise, whoever has a token and
/// not its key would learn from a fast refusal that the token is in use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct PresentedToken {
    hash: [u8; 32],
    presentation: Presentation,
}

/// How a token was presented.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Presentation {
    /// The caller did not say.
    Unknown,
    /// As `Bearer`, without a proof.
    Bearer,
    /// As `DPoP`, with a proof by the key with this thumbprint.
    Proof(Thumbprint),
}

impl PresentedToken {
    pub(super) fn new(access_token: &str, presentation: Presentation) -> Self {
        Self { hash: sha256(access_token.as_bytes()), presentation }
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

impl Hash for PresentedToken {
    /// Hashes a part that is as good as the whole, because it is part of a hash.
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(start) = self.hash.first_chunk::<8>() {
            state.write_u64(u64::from_ne_bytes(*start));
        }
    }
}

impl From<Option<&Thumbprint>> for Presentation {
    /// `None` stands for `Bearer`.
    fn from(jkt: Option<&Thumbprint>) -> Self {
        jkt.map_or(Self::Bearer, |jkt| Self::Proof(*jkt))
    }
}
