//! The hash of an access token, by which caches find it.

use crate::crypto::sha256;

/// The SHA-256 hash of a whole access token, with its signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn new(access_token: &str) -> Self {
        Self(sha256(access_token.as_bytes()))
    }

    pub(super) fn first_byte(&self) -> u8 {
        let [first, ..] = self.0;
        first
    }
}
