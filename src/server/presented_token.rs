//! An access token that came with a request.

use std::fmt;
use std::sync::OnceLock;

use crate::crypto::sha256;
use crate::jose::public_key::Thumbprint;

/// An access token that came with a request, and the key of the proof that came with it.
///
/// ```
/// use possession::Thumbprint;
/// use possession::server::PresentedToken;
///
/// let jkt: Thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse()?;
/// let presented = PresentedToken::new("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU", Some(&jkt));
/// assert_eq!((presented.jkt(), presented.sha256().len()), (Some(jkt), 32));
/// # Ok::<(), possession::Error>(())
/// ```
pub struct PresentedToken<'a> {
    access_token: &'a str,
    jkt: Option<Thumbprint>,
    hash: OnceLock<[u8; 32]>,
}

impl<'a> PresentedToken<'a> {
    /// Describes a token with a proof by the key with this thumbprint (RFC 9449 §7.1), or a token that was
    /// presented as `Bearer` (`None`, §7.2).
    #[must_use]
    pub fn new(access_token: &'a str, jkt: Option<&Thumbprint>) -> Self {
        Self { access_token, jkt: jkt.copied(), hash: OnceLock::new() }
    }

    /// Describes a token whose hash is known.
    pub(super) fn with_hash(access_token: &'a str, jkt: Thumbprint, hash: [u8; 32]) -> Self {
        Self { access_token, jkt: Some(jkt), hash: OnceLock::from(hash) }
    }

    /// Returns the text of the token.
    #[must_use]
    pub fn access_token(&self) -> &'a str {
        self.access_token
    }

    /// Returns the thumbprint of the key whose proof came with the token; `None` for a `Bearer` token.
    #[must_use]
    pub fn jkt(&self) -> Option<Thumbprint> {
        self.jkt
    }

    /// Returns the SHA-256 hash of the token, by which caches find it. It is the `ath` of the proof (RFC 9449
    /// §4.2) and need not be computed again for that reason.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        self.hash.get_or_init(|| sha256(self.access_token.as_bytes()))
    }
}

impl fmt::Debug for PresentedToken<'_> {
    /// Omits the token and its hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedToken").field("jkt", &self.jkt).finish_non_exhaustive()
    }
}
