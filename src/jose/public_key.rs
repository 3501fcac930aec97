//! Public keys as JWK (RFC 7517), and their thumbprints (RFC 7638).

use std::fmt;
use std::str::FromStr;

use p256::pkcs8::der::Decode;
use p256::pkcs8::{DecodePublicKey, Document, ObjectIdentifier, SubjectPublicKeyInfoRef};

use crate::crypto::sha256;
use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::{Algorithm, KeyType};
use crate::jose::backend::{
    self, OID_EC, OID_ED25519, OID_P256, OID_P384, OID_P521, OID_RSA_PSS, P384Point, RsaNumbers, VerifyingKey,
};
use crate::jose::base64url::{base64url, from_base64url, from_base64url_to};
use crate::jose::json::{self, Json, Object};
use crate::jose::jws::{Jws, JwsError};
use crate::text::printable;

/// No key that this crate reads is longer, public or private.
pub(crate) const MAX_KEY_TEXT: usize = 64 * 1024;

/// A public key: what a proof carries in its `jwk` header.
///
/// P-256 and Ed25519 keys were checked to be points of their curve (for Ed25519: in canonical form and not of small
/// order); RSA keys to have 2048 to 4096 bits and an odd exponent from 3 to 4294967295. P-384, P-521 and ML-DSA keys were
/// checked in form only: a P-384 point is checked with each signature, the others are for your own [`Signer`](crate::Signer) and
/// [`SignatureVerifier`](crate::server::SignatureVerifier).
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyType,
    jwk: String,
    thumbprint: Thumbprint,
    verifying_key: Option<VerifyingKey>,
}

impl PublicKey {
    /// From a public JWK (RFC 7517) of one of the kinds that [`Algorithm`] signs with; members beyond the required ones
    /// are ignored.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it is malformed, weak, symmetric, or has a private member, even one that is null.
    pub fn from_jwk(jwk: &str) -> Result<Self, Error> {
        Self::parse(jwk, "importing a public JWK", |members| match private_member(members) {
            Some(name) => Err(format!("it has the private member `{name}`: give the public half alone")),
            None => Ok(()),
        })
    }

    /// From the DER of a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7), as key stores and `openssl pkey -pubout -outform DER`
    /// give it: P-256, P-384, P-521, Ed25519 and RSA (`rsaEncryption`, RFC 8017 Appendix A.1). Points are uncompressed but for
    /// P-256.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it is malformed, weak or of another kind.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, Error> {
        Self::of_spki(der).map_err(|wrong| Error::new(ErrorKind::Key, "importing a public key", wrong))
    }

    fn of_spki(der: &[u8]) -> Result<Self, String> {
        let info = SubjectPublicKeyInfoRef::from_der(der)
            .map_err(|_| "it is not the DER of a SubjectPublicKeyInfo".to_owned())?;
        let bytes = info.subject_public_key.as_bytes().ok_or("its key does not end with a byte")?;
        let unsound = |kind: KeyType| format!("it is not a sound {} key", kind.name());
        let key = match (info.algorithm.oid, info.algorithm.parameters_oid().ok()) {
            (OID_EC, Some(OID_P256)) => {
                let key = p256::PublicKey::from_public_key_der(der).map_err(|_| unsound(KeyType::P256))?;
                VerifyingKey::P256(key.into())
            }
            (OID_EC, Some(OID_P384)) => {
                VerifyingKey::P384(P384Point::from_sec1(bytes).ok_or_else(|| unsound(KeyType::P384))?)
            }
            (OID_EC, Some(OID_P521)) => {
                let point = bytes.strip_prefix(&[4]).and_then(|bytes| bytes.split_at_checked(66));
                let (x, y) = point.filter(|(_, y)| y.len() == 66).ok_or_else(|| unsound(KeyType::P521))?;
                let jwk = ec_jwk(KeyType::P521, &base64url(x), &base64url(y));
                return Ok(Self::from_parts(KeyType::P521, jwk, None));
            }
            // RFC 8017 Appendix A.1: the parameters are NULL.
            (pkcs1::ALGORITHM_OID, _) if info.algorithm.parameters.is_some_and(|of| of.is_null()) => {
                let key = pkcs1::RsaPublicKeyRef::from_der(bytes).map_err(|_| unsound(KeyType::Rsa))?;
                let numbers = RsaNumbers::of(&key).map_err(|wrong| format!("it is an RSA key, and {wrong}"));
                VerifyingKey::Rsa(numbers?)
            }
            (OID_ED25519, _) => {
                let key = ed25519_dalek::pkcs8::PublicKeyBytes::from_public_key_der(der);
                let key = key.ok().and_then(|key| VerifyingKey::ed25519(&key.to_bytes()));
                key.ok_or_else(|| unsound(KeyType::Ed25519))?
            }
            (oid, _) => {
                let what = other_key(oid);
                return Err(format!("it is {what}; P-256, P-384, P-521, Ed25519 and RSA keys are read"));
            }
        };
        Ok(Self::from_verifying_key(key))
    }

    /// The same as PEM: one block labelled `PUBLIC KEY` (RFC 7468 §13).
    ///
    /// # Errors
    /// Those of [`from_spki_der`](Self::from_spki_der), and [`Key`](ErrorKind::Key) for another label or broken PEM.
    pub fn from_spki_pem(pem: &str) -> Result<Self, Error> {
        match Document::from_pem(pem.trim_ascii()) {
            Ok(("PUBLIC KEY", document)) if pem.len() <= MAX_KEY_TEXT => {
                Self::from_spki_der(document.as_bytes())
            }
            _ => {
                let wrong = "it is not PEM of one `PUBLIC KEY`";
                Err(Error::new(ErrorKind::Key, "importing a PEM public key", wrong))
            }
        }
    }

    fn parse(
        jwk: &str,
        doing: &'static str,
        check: impl FnOnce(&Object<'_>) -> Result<(), String>,
    ) -> Result<Self, Error> {
        let wrong = |wrong: String| Error::new(ErrorKind::Key, doing, wrong);
        if jwk.len() > MAX_KEY_TEXT {
            return Err(wrong("it is too long to be one".to_owned()));
        }
        let members = json::parse_object(jwk.as_bytes()).map_err(wrong)?;
        check(&members).map_err(wrong)?;
        Self::from_members(&members).map_err(|error| error.while_doing(doing))
    }

    /// From the members of a JWK; what is private is the caller's to look for.
    pub(crate) fn from_members(members: &Object<'_>) -> Result<Self, Error> {
        let wrong = |wrong: String| Error::new(ErrorKind::Key, "reading the members of a JWK", wrong);
        let text = |name: &str| match members.get(name) {
            Some(Json::String(text)) => Ok(&**text),
            Some(_) => Err(wrong(format!("`{name}` is not a string"))),
            None => Err(wrong(format!("`{name}` is missing"))),
        };
        let bytes = |name: &str| {
            from_base64url(text(name)?)
                .ok_or_else(|| wrong(format!("`{name}` is not base64url without padding")))
        };
        let misfit = |name: &str, length: usize| match bytes(name) {
            Ok(seen) => wrong(format!("`{name}` has {} bytes instead of {length}", seen.len())),
            Err(error) => error,
        };
        let of_length = |name: &str, length: usize| match bytes(name)?.len() == length {
            true => Ok(()),
            false => Err(misfit(name, length)),
        };
        // Base64url has one form, so the text that was read is that of the canonical JWK.
        let (kind, jwk, key) = match text("kty")? {
            "EC" => {
                let crv = text("crv")?;
                let (kind, key) = match crv {
                    "P-256" => {
                        let (x, y) = (fixed(&text, &misfit, "x")?, fixed(&text, &misfit, "y")?);
                        let key = VerifyingKey::p256(&x, &y)
                            .ok_or_else(|| wrong("`x` and `y` are not a point of P-256".to_owned()))?;
                        (KeyType::P256, Some(key))
                    }
                    "P-384" => {
                        let (x, y) = (fixed(&text, &misfit, "x")?, fixed(&text, &misfit, "y")?);
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
                    let key = VerifyingKey::ed25519(&fixed(&text, &misfit, "x")?).ok_or_else(|| {
                        wrong("`x` is not a canonical Ed25519 key of full order".to_owned())
                    })?;
                    (KeyType::Ed25519, okp_jwk(text("x")?), Some(key))
                }
                other => return Err(wrong(format!("`crv` {} is not known for OKP", printable(other, 40)))),
            },
            "RSA" => {
                let numbers = RsaNumbers::new(bytes("n")?, bytes("e")?).map_err(wrong)?;
                (KeyType::Rsa, rsa_jwk(text("n")?, text("e")?), Some(VerifyingKey::Rsa(numbers)))
            }
            // RFC 9964: `alg` is required, and counts for the thumbprint. The lengths are those of FIPS 204 table 2.
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

    pub(crate) fn from_verifying_key(key: VerifyingKey) -> Self {
        let (kind, jwk) = match &key {
            VerifyingKey::P256(key) => {
                let point = key.to_sec1_point(false);
                let part =
                    |part: Option<&p256::FieldBytes>| base64url(part.map(|part| &**part).unwrap_or_default());
                (KeyType::P256, ec_jwk(KeyType::P256, &part(point.x()), &part(point.y())))
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

    /// `jwk` is the canonical form of RFC 7638 §3: the required members alone, in order, without white space.
    fn from_parts(kind: KeyType, jwk: String, verifying_key: Option<VerifyingKey>) -> Self {
        let thumbprint = Thumbprint(sha256(jwk.as_bytes()));
        Self { kind, jwk, thumbprint, verifying_key }
    }

    /// The public JWK with the required members only, in the canonical order of RFC 7638 §3.
    #[must_use]
    pub fn to_jwk(&self) -> &str {
        &self.jwk
    }

    /// The bytes of one of its numbers by the name that JWK has for it: `x` and `y` of full size (RFC 7518 §6.2.1, RFC 8037 §2),
    /// `n` and `e` without leading zeros (RFC 7518 §6.3.1), `pub` (RFC 9964).
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Vec<u8>> {
        let members = json::parse_object(self.jwk.as_bytes()).ok()?;
        members.text(name).filter(|_| ["x", "y", "n", "e", "pub"].contains(&name)).and_then(from_base64url)
    }

    /// The JWK thumbprint (RFC 7638 §3): the `jkt` of RFC 9449 §6.1.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    pub(crate) fn kind(&self) -> KeyType {
        self.kind
    }

    /// Whether this key makes signatures of `algorithm`.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        algorithm.fits(self.kind)
    }

    /// How many bytes a signature by that algorithm has.
    pub(crate) fn signature_length(&self, algorithm: Algorithm) -> Option<usize> {
        match &self.verifying_key {
            Some(VerifyingKey::Rsa(numbers)) => Some(numbers.modulus().len()),
            _ => algorithm.signature_length(),
        }
    }

    /// The key in a form that checks signatures, for the kinds that may be checked here.
    pub(crate) fn verifying_key(&self) -> Option<&VerifyingKey> {
        self.verifying_key.as_ref()
    }
}

/// The private or symmetric member a JWK has, by presence, whatever its value (RFC 9449 §4.3, check 7).
pub(crate) fn private_member(members: &Object<'_>) -> Option<&'static str> {
    ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].into_iter().find(|name| members.contains(name))
}

/// A member of so many bytes; `misfit` says what is wrong with another.
fn fixed<'a, const N: usize>(
    text: &impl Fn(&str) -> Result<&'a str, Error>,
    misfit: &impl Fn(&str, usize) -> Error,
    name: &str,
) -> Result<[u8; N], Error> {
    from_base64url_to(text(name)?).ok_or_else(|| misfit(name, N))
}

/// What a key is that is not read, by its algorithm in SPKI or PKCS#8.
pub(crate) fn other_key(oid: ObjectIdentifier) -> String {
    match oid {
        OID_RSA_PSS => {
            "an RSA key for PSS alone (one by `openssl genpkey -algorithm RSA` signs PS256 as well)"
                .to_owned()
        }
        OID_EC => "an EC key on another curve or with explicit parameters".to_owned(),
        pkcs1::ALGORITHM_OID => "an RSA key whose parameters are not NULL".to_owned(),
        other => format!("a key of algorithm {other}"),
    }
}

fn ec_jwk(kind: KeyType, x: &str, y: &str) -> String {
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

/// A SHA-256 JWK thumbprint (RFC 7638), the `jkt` that binds a token to a key. `Display` and `FromStr` speak base64url.
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
    /// The thumbprint of a JWK, public or private: only the required members count.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it is not a key of a known kind.
    pub fn from_jwk(jwk: &str) -> Result<Self, Error> {
        PublicKey::parse(jwk, "taking the thumbprint of a JWK", |_| Ok(())).map(|key| key.thumbprint)
    }

    /// The 32 bytes of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Thumbprint {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.0[..], &other.0[..]).into()
    }
}

impl std::hash::Hash for Thumbprint {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl FromStr for Thumbprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bytes = from_base64url(text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| {
            Error::new(
                ErrorKind::Key,
                "reading a JWK thumbprint",
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

impl PublicKey {
    /// Checks a compact JWS (RFC 7515 §3.1) made with this key and gives its payload. Nothing but form, `alg`, `crit` and
    /// signature is looked at: for proofs there is [`Verifier`](crate::server::Verifier).
    ///
    /// # Errors
    /// [`JwsError`](ErrorKind::Malformed) when it is malformed or the signature does
    /// not hold; [`Algorithm`](ErrorKind::Algorithm) when its `alg` does not fit the key or is not checked here.
    pub fn verify_jws(&self, jws: &str) -> Result<Vec<u8>, Error> {
        let doing = "checking a JWS";
        let content = |wrong: JwsError| Error::new(ErrorKind::Malformed, doing, wrong.to_string());
        let jws = Jws::parse(jws).map_err(content)?;
        let header = jws.header().map_err(content)?;
        let alg = header.alg().map_err(content)?;
        let algorithm = Algorithm::from_name(alg).ok_or_else(|| {
            let wrong = "is not an asymmetric signature algorithm known here";
            Error::new(ErrorKind::Algorithm, doing, format!("`alg` {} {wrong}", printable(alg, 40)))
        })?;
        self.verify(algorithm, jws.signed(), jws.signature()).map_err(|error| error.while_doing(doing))?;
        Ok(jws.payload().to_vec())
    }

    /// Checks a signature of `message` in the form that JWS has ([`Signer::sign`](crate::Signer::sign)).
    ///
    /// # Errors
    /// [`JwsError`](ErrorKind::Malformed) when it does not hold; [`Algorithm`](ErrorKind::Algorithm) when the algorithm
    /// does not fit the key or is not checked here.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let doing = "checking a signature";
        let refuse = |wrong: String| Error::new(ErrorKind::Algorithm, doing, format!("{algorithm} {wrong}"));
        if !self.fits(algorithm) {
            return Err(refuse(format!("does not fit {} key", self.kind().a_name())));
        }
        match self.verifying_key().and_then(|key| key.verify(algorithm, message, signature)) {
            Some(true) => Ok(()),
            Some(false) => Err(Error::new(ErrorKind::Malformed, doing, "the signature does not hold")),
            None => Err(refuse(backend::not_checked(algorithm).to_owned())),
        }
    }
}
