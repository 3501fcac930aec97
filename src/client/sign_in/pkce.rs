//! Proof Key for Code Exchange (RFC 7636).

use std::fmt;

use zeroize::Zeroizing;

use crate::crypto::{random, sha256};
use crate::error::{Error, ErrorKind};
use crate::jose::base64url::{base64url, secret_base64url};
use crate::text::is_unreserved;

/// The code verifier of PKCE (RFC 7636 §4.1): a secret that ties an authorization code to the client that
/// requested it. It is wiped when dropped, and `Debug` does not show it.
///
/// An authorization request makes its own. The type is for programs that make the request themselves:
///
/// ```
/// use possession::CodeVerifier;
///
/// let verifier = CodeVerifier::generate()?;
/// let query = format!("code_challenge={}&code_challenge_method=S256", verifier.challenge());
/// # assert_eq!(verifier.challenge().len(), 43);
/// # Ok::<(), possession::Error>(())
/// ```
pub struct CodeVerifier(Zeroizing<String>);

impl CodeVerifier {
    /// Makes a verifier from 32 random bytes of the operating system, which are 43 characters.
    ///
    /// # Errors
    /// [`Random`](ErrorKind::Random).
    pub fn generate() -> Result<Self, Error> {
        random().map(Zeroizing::new).map(|bytes| Self::from_bytes(&bytes))
    }

    /// Takes a verifier that was made elsewhere.
    ///
    /// # Errors
    /// [`Parameter`](ErrorKind::Parameter) when it is not 43 to 128 letters, digits and `-._~` (RFC 7636
    /// §4.1).
    pub fn new(verifier: impl Into<String>) -> Result<Self, Error> {
        let verifier = Zeroizing::new(verifier.into());
        match (43..=128).contains(&verifier.len()) && verifier.bytes().all(is_unreserved) {
            true => Ok(Self(verifier)),
            false => {
                let wrong = "it is not 43 to 128 letters, digits and -._~ (RFC 7636 §4.1)";
                Err(Error::new(ErrorKind::Parameter, "checking a code_verifier", wrong))
            }
        }
    }

    fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(secret_base64url(bytes))
    }

    /// Returns the `code_challenge` of the method `S256`: the base64url encoding of the verifier's SHA-256
    /// hash (RFC 7636 §4.2).
    #[must_use]
    pub fn challenge(&self) -> String {
        base64url(&sha256(self.0.as_bytes()))
    }

    pub(crate) fn into_inner(self) -> Zeroizing<String> {
        self.0
    }

    /// Returns the verifier, which is a secret until the code has been exchanged.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CodeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeVerifier").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 Appendix B.
    #[test]
    fn verifier_and_challenge_of_rfc_7636() {
        let bytes = [
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105,
            214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
        ];
        let verifier = CodeVerifier::from_bytes(&bytes);
        assert_eq!(verifier.as_str(), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn verifiers_are_random_and_have_43_characters() {
        let [one, two] = [(); 2].map(|()| CodeVerifier::generate().unwrap());
        assert_ne!(one.as_str(), two.as_str());
        assert_eq!(one.as_str().len(), 43);
        assert!(CodeVerifier::new(one.as_str()).is_ok());
    }

    /// RFC 7636 §4.1: `code-verifier = 43*128unreserved`.
    #[test]
    fn a_verifier_from_elsewhere_has_43_to_128_unreserved_characters() {
        let text = |length: usize, last: &str| format!("{}{last}", "a".repeat(length - last.chars().count()));
        for good in [text(43, "a"), text(128, "a"), text(43, "-._~09AZ")] {
            assert_eq!(CodeVerifier::new(good.clone()).unwrap().as_str(), good);
        }
        for bad in [text(42, "a"), text(129, "a"), text(43, "="), text(43, "+"), text(43, " "), text(43, "é")]
        {
            assert_eq!(*CodeVerifier::new(bad.clone()).unwrap_err().kind(), ErrorKind::Parameter, "{bad}");
        }
    }

    #[test]
    fn debug_does_not_show_the_verifier() {
        let verifier = CodeVerifier::generate().unwrap();
        assert_eq!(format!("{verifier:?}"), "CodeVerifier { .. }");
    }
}
