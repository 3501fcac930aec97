//! Public keys: JWK (RFC 7517), thumbprints (RFC 7638) and verification.

use std::fmt;
use std::str::FromStr;

use crate::crypto::{are_equal, sha256};
use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::{Algorithm, KeyType};
use crate::jose::backend::{self, P256Point, P384Point, RsaPublicNumbers, VerifyingKey};
use crate::jose::base64url::{base64url, from_base64url, from_base64url_to};
use crate::jose::json::{self, Json, Object};
use crate::jose::jwk_use::remove_empty_members;
use crate::jose::jws::{AlgorithmError, AlgorithmPolicy, Jws, JwsError};
use crate::text::{printable, without_bom};

/// The maximum length of a public or private key that this crate reads.
pub(crate) const MAX_KEY_TEXT: usize = 64 * 1024;

/// A public key, such as the one in the `jwk` header of a proof.
///
/// P-256 and Ed25519 keys have been checked to be points of their curve (Ed25519 points in canonical form and
/// not of small order). RSA keys have 2048 to 4096 bits and an odd exponent from 3 to 4294967295. Only the
/// form of P-384, P-521 and ML-DSA keys has been checked: a P-384 point is checked with each signature, and
/// the others are for a [`Signer`](crate::Signer) and a
/// [`SignatureVerifier`](crate::server::SignatureVerifier) of your own.
///
/// ```
/// use possession::PublicKey;
///
/// let key = PublicKey::from_jwk(
///     r#"{"kty":"EC","crv":"P-256","kid":"1",
///         "x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
///         "y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}"#,
/// )?;
/// assert_eq!(key.thumbprint().to_string(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
/// assert!(!key.to_jwk().contains("kid")); // the required members only
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyType,
    jwk: String,
    thumbprint: Thumbprint,
    verifying_key: Option<VerifyingKey>,
}

impl PublicKey {
    /// Imports a public JWK (RFC 7517) that fits one of the algorithms of [`Algorithm`]. Members other than
    /// the required ones are ignored. A member that is `null`, an empty array or an empty string counts as
    /// absent.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it is malformed, weak or symmetric, or has a private member that is not
    /// empty.
    pub fn from_jwk(jwk: &str) -> Result<Self, Error> {
        Self::parse(jwk, "importing a public JWK", |members| match private_member(members) {
            Some(name) => {
                Err(format!("it has the private member `{name}` (the public key without it is needed)"))
            }
            None => Ok(()),
        })
    }

    fn parse(
        jwk: &str,
        doing: &'static str,
        check: impl FnOnce(&Object<'_>) -> Result<(), String>,
    ) -> Result<Self, Error> {
        let wrong = |wrong: String| Error::new(ErrorKind::Key, doing, wrong);
        if jwk.len() > MAX_KEY_TEXT {
            return Err(wrong("it is too long for a JWK".to_owned()));
        }
        let mut members =
            json::parse_object(without_bom(jwk).as_bytes()).map_err(|error| wrong(error.to_string()))?;
        remove_empty_members(&mut members);
        check(&members).map_err(wrong)?;
        Self::from_members(&members).map_err(|error| error.while_doing(doing))
    }

    /// Creates a key from the members of a JWK. Private members are ignored: the caller checks for them.
    pub(crate) fn from_members(members: &Object<'_>) -> Result<Self, Error> {
        let key = Self::from_unchecked_members(members)?;
        key.check_point()?;
        Ok(key)
    }

    /// Does the same without [`check_point`](Self::check_point), which takes time, for a key that is only
    /// used to verify a signature: that checks it as well.
    pub(crate) fn from_unchecked_members(members: &Object<'_>) -> Result<Self, Error> {
        let wrong = |wrong: String| Error::new(ErrorKind::Key, READING_MEMBERS, wrong);
        let text = |name: &str| match members.get(name) {
            Some(Json::String(text)) => Ok(&**text),
            Some(_) => Err(wrong(format!("`{name}` is not a string"))),
            None => Err(wrong(format!("`{name}` is missing"))),
        };
        let bytes = |name: &str| {
            from_base64url(text(name)?)
                .ok_or_else(|| wrong(format!("`{name}` is not base64url without padding")))
        };
        let wrong_length = |name: &str, length: usize| match bytes(name) {
            Ok(seen) => wrong(format!("`{name}` has {} bytes instead of {length}", seen.len())),
            Err(error) => error,
        };
        let of_length = |name: &str, length: usize| match bytes(name)?.len() == length {
            true => Ok(()),
            false => Err(wrong_length(name, length)),
        };
        // Only canonical base64url is accepted, so the canonical JWK can reuse the texts that were read.
        let (kind, jwk, key) = match text("kty")? {
            "EC" => {
                let crv = text("crv")?;
                let (kind, key) = match crv {
                    "P-256" => {
                        let (x, y) = (fixed(&text, &wrong_length, "x")?, fixed(&text, &wrong_length, "y")?);
                        (KeyType::P256, Some(VerifyingKey::P256(P256Point::new(&x, &y))))
                    }
                    "P-384" => {
                        let (x, y) = (fixed(&text, &wrong_length, "x")?, fixed(&text, &wrong_length, "y")?);
                        (KeyType::P384, Some(VerifyingKey::P384(P384Point::new(&x, &y))))
                    }
                    "P-521" => {
                        of_length("x", 66)?;
                        of_length("y", 66)?;
                        (KeyType::P521, None)
                    }
                    other => {
                        return Err(wrong(format!("`crv` {} is not known for EC", printable(other, 40))));
                    }
                };
                (kind, ec_jwk(kind, text("x")?, text("y")?), key)
            }
            "OKP" => match text("crv")? {
                "Ed25519" => {
                    let key =
                        VerifyingKey::from_ed25519(&fixed(&text, &wrong_length, "x")?).ok_or_else(|| {
                            wrong("`x` is not a canonical Ed25519 key of full order".to_owned())
                        })?;
                    (KeyType::Ed25519, okp_jwk(text("x")?), Some(key))
                }
                other => return Err(wrong(format!("`crv` {} is not known for OKP", printable(other, 40)))),
            },
            "RSA" => {
                let numbers = RsaPublicNumbers::new(bytes("n")?, bytes("e")?).map_err(wrong)?;
                (KeyType::Rsa, rsa_jwk(text("n")?, text("e")?), Some(VerifyingKey::Rsa(numbers)))
            }
            // RFC 9964: `alg` is required and part of the thumbprint. FIPS 204 table 2 has the lengths.
            "AKP" => {
                let (kind, length) = match text("alg")? {
                    "ML-DSA-44" => (KeyType::MlDsa44, 1312),
                    "ML-DSA-65" => (KeyType::MlDsa65, 1952),
                    "ML-DSA-87" => (KeyType::MlDsa87, 2592),
                    other => {
                        return Err(wrong(format!("`alg` {} is not known for AKP", printable(other, 40))));
                    }
                };
                of_length("pub", length)?;
                let jwk = [r#"{"alg":""#, kind.name(), r#"","kty":"AKP","pub":""#, text("pub")?, r#""}"#];
                (kind, jwk.concat(), None)
            }
            "oct" => return Err(wrong("it is a symmetric key".to_owned())),
            other => return Err(wrong(format!("`kty` {} is not known", printable(other, 40)))),
        };
        Ok(Self::from_parts(kind, jwk, key))
    }

    /// Checks that the key is a point of its curve, if this build can tell without a signature.
    pub(crate) fn check_point(&self) -> Result<(), Error> {
        match self.verifying_key.as_ref().is_none_or(VerifyingKey::is_on_curve) {
            true => Ok(()),
            false => {
                let wrong = format!("`x` and `y` are not a point of {}", self.kind.name());
                Err(Error::new(ErrorKind::Key, READING_MEMBERS, wrong))
            }
        }
    }

    pub(crate) fn from_verifying_key(key: VerifyingKey) -> Self {
        let (kind, jwk) = match &key {
            VerifyingKey::P256(point) => {
                let (x, y) = point.coordinates();
                (KeyType::P256, ec_jwk(KeyType::P256, &base64url(x), &base64url(y)))
            }
            VerifyingKey::P384(point) => {
                let (x, y) = point.coordinates();
                (KeyType::P384, ec_jwk(KeyType::P384, &base64url(x), &base64url(y)))
            }
            VerifyingKey::Ed25519(key) => (KeyType::Ed25519, okp_jwk(&base64url(key.as_bytes()))),
            VerifyingKey::Rsa(numbers) => {
                let (n, e) = (base64url(numbers.modulus()), base64url(numbers.exponent()));
                (KeyType::Rsa, rsa_jwk(&n, &e))
            }
        };
        Self::from_parts(kind, jwk, Some(key))
    }

    /// Creates a key from its canonical JWK (RFC 7638 §3): the required members only, in order, without white
    /// space.
    pub(crate) fn from_parts(kind: KeyType, jwk: String, verifying_key: Option<VerifyingKey>) -> Self {
        let thumbprint = Thumbprint(sha256(jwk.as_bytes()));
        Self { kind, jwk, thumbprint, verifying_key }
    }

    /// Returns the public JWK with the required members only, in the canonical order of RFC 7638 §3.
    #[must_use]
    pub fn to_jwk(&self) -> &str {
        &self.jwk
    }

    /// Returns the decoded bytes of a JWK parameter: `x` and `y` in full size (RFC 7518 §6.2.1, RFC 8037 §2),
    /// `n` and `e` without leading zeros (RFC 7518 §6.3.1), `pub` (RFC 9964).
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Vec<u8>> {
        let members = json::parse_object(self.jwk.as_bytes()).ok()?;
        members.text(name).filter(|_| ["x", "y", "n", "e", "pub"].contains(&name)).and_then(from_base64url)
    }

    /// Returns the JWK thumbprint (RFC 7638 §3), which is the `jkt` of RFC 9449 §6.1.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    pub(crate) fn kind(&self) -> KeyType {
        self.kind
    }

    /// Returns whether the key can be used with the algorithm.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        algorithm.fits(self.kind)
    }

    /// Returns the length of a signature by the algorithm in bytes.
    pub(crate) fn signature_length(&self, algorithm: Algorithm) -> Option<usize> {
        match &self.verifying_key {
            Some(VerifyingKey::Rsa(numbers)) => Some(numbers.modulus().len()),
            _ => algorithm.signature_length(),
        }
    }

    /// Returns the key that verifies signatures, for the kinds that this crate may verify.
    pub(crate) fn verifying_key(&self) -> Option<&VerifyingKey> {
        self.verifying_key.as_ref()
    }

    /// Verifies a compact JWS (RFC 7515 §3.1) with this key and returns its payload. Only the form, `alg`,
    /// `crit` and the signature are checked. Proofs are verified by [`Verifier`](crate::server::Verifier).
    ///
    /// # Errors
    /// - [`Malformed`](ErrorKind::Malformed) when it is not a JWS or the signature is wrong.
    /// - [`Algorithm`](ErrorKind::Algorithm) when its `alg` does not fit the key or cannot be verified.
    pub fn verify_jws(&self, jws: &str) -> Result<Vec<u8>, Error> {
        let doing = "verifying a JWS";
        let malformed =
            |error: JwsError| Error::new(ErrorKind::Malformed, doing, error.to_string()).with_source(error);
        let jws = Jws::parse(jws).map_err(malformed)?;
        let header = jws.header().map_err(malformed)?;
        let algorithm = header.algorithm(self).map_err(|error| match error {
            AlgorithmError::Malformed(error) => malformed(error),
            AlgorithmError::NotAccepted { alg } => {
                let wrong = format!("`alg` {alg} is not an algorithm of {} key", self.kind.with_article());
                Error::new(ErrorKind::Algorithm, doing, wrong)
            }
            AlgorithmError::NoSignatureVerifier { algorithm } => no_verifier(algorithm).while_doing(doing),
        })?;
        self.verify(algorithm, jws.signed(), jws.signature()).map_err(|error| error.while_doing(doing))?;
        Ok(jws.payload().to_vec())
    }

    /// Verifies a signature of `message` in the form of JWS, which is the one that
    /// [`Signer::sign`](crate::Signer::sign) returns.
    ///
    /// # Errors
    /// - [`Malformed`](ErrorKind::Malformed) when the signature is wrong.
    /// - [`Algorithm`](ErrorKind::Algorithm) when the algorithm does not fit the key or cannot be verified.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        if !self.fits(algorithm) {
            let wrong = format!("{algorithm} does not fit {} key", self.kind.with_article());
            return Err(Error::new(ErrorKind::Algorithm, VERIFYING, wrong));
        }
        match self.verify_signature(algorithm, message, signature) {
            Some(true) => Ok(()),
            Some(false) => Err(Error::new(ErrorKind::Malformed, VERIFYING, "signature verification failed")),
            None => Err(no_verifier(algorithm)),
        }
    }

    /// Returns whether the signature verifies, by an algorithm that fits the key, or `None` where this build
    /// cannot verify it.
    pub(crate) fn verify_signature(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        self.verifying_key.as_ref()?.verify(algorithm, message, signature)
    }
}

impl AlgorithmPolicy for PublicKey {
    fn accepts(&self, algorithm: Algorithm) -> bool {
        self.fits(algorithm)
    }

    fn supports(&self, algorithm: Algorithm) -> bool {
        backend::supports(algorithm)
    }
}

const READING_MEMBERS: &str = "reading the members of a JWK";
const VERIFYING: &str = "verifying a signature";

/// Returns the error for an algorithm that this build cannot verify.
fn no_verifier(algorithm: Algorithm) -> Error {
    let wrong = format!("{algorithm} is not supported: {}", backend::no_verifier(algorithm));
    Error::new(ErrorKind::Algorithm, VERIFYING, wrong)
}

/// Returns the name of a private or symmetric member of a JWK. Its presence counts, whatever its value is
/// (RFC 9449 §4.3, check 7).
pub(crate) fn private_member(members: &Object<'_>) -> Option<&'static str> {
    ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].into_iter().find(|name| members.contains(name))
}

/// Decodes a member of `N` bytes. `wrong_length` makes the error for another length.
fn fixed<'a, const N: usize>(
    text: &impl Fn(&str) -> Result<&'a str, Error>,
    wrong_length: &impl Fn(&str, usize) -> Error,
    name: &str,
) -> Result<[u8; N], Error> {
    from_base64url_to(text(name)?).ok_or_else(|| wrong_length(name, N))
}

pub(crate) fn ec_jwk(kind: KeyType, x: &str, y: &str) -> String {
    [r#"{"crv":""#, kind.name(), r#"","kty":"EC","x":""#, x, r#"","y":""#, y, r#""}"#].concat()
}

fn okp_jwk(x: &str) -> String {
    [r#"{"crv":"Ed25519","kty":"OKP","x":""#, x, r#""}"#].concat()
}

fn rsa_jwk(n: &str, e: &str) -> String {
    [r#"{"e":""#, e, r#"","kty":"RSA","n":""#, n, r#""}"#].concat()
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.jwk)
    }
}

/// A SHA-256 JWK thumbprint (RFC 7638), the `jkt` that binds a token to a key. `Display` and `FromStr` use
/// base64url.
///
/// ```
/// use possession::Thumbprint;
///
/// let jkt: Thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse()?;
/// assert_eq!(jkt.to_string(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, Copy, Eq)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// Computes the thumbprint of a public or private JWK. Only the required members are part of it.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when the JWK is malformed or of an unknown kind.
    pub fn from_jwk(jwk: &str) -> Result<Self, Error> {
        PublicKey::parse(jwk, "computing the thumbprint of a JWK", |_| Ok(())).map(|key| key.thumbprint)
    }

    /// Returns the 32 bytes of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Thumbprint {
    /// Compares in constant time.
    fn eq(&self, other: &Self) -> bool {
        are_equal(&self.0, &other.0)
    }
}

impl std::hash::Hash for Thumbprint {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl FromStr for Thumbprint {
    type Err = Error;

    /// # Errors
    /// [`Key`](ErrorKind::Key) when the text is not the base64url encoding of 32 bytes.
    fn from_str(text: &str) -> Result<Self, Error> {
        from_base64url_to(text).map(Self).ok_or_else(|| {
            Error::new(
                ErrorKind::Key,
                "parsing a JWK thumbprint",
                "it is not 43 characters of base64url without padding",
            )
        })
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}
