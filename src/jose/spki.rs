//! Public keys as `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7), in DER and PEM.

use p256::pkcs8::der::asn1::{AnyRef, BitStringRef, UintRef};
use p256::pkcs8::der::{self, Decode, Document};
use p256::pkcs8::spki::AlgorithmIdentifierRef;
use p256::pkcs8::{DecodePublicKey, LineEnding, SubjectPublicKeyInfoRef};

use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::KeyType;
use crate::jose::backend::{P384Point, RsaPublicNumbers, VerifyingKey};
use crate::jose::base64url::base64url;
use crate::jose::oid::{OID_EC, OID_ED25519, OID_P256, OID_P384, OID_P521, describe_unsupported_key};
use crate::jose::pem;
use crate::jose::public_key::{MAX_KEY_TEXT, PublicKey, ec_jwk};

impl PublicKey {
    /// Imports the DER of a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7), which key stores and
    /// `openssl pkey -pubout -outform DER` write: P-256, P-384, P-521, Ed25519 and RSA (`rsaEncryption`, RFC
    /// 8017 Appendix A.1). Only a P-256 point may be compressed.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it is malformed, weak or of another kind.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, Error> {
        Self::from_spki(der).map_err(|wrong| Error::new(ErrorKind::Key, "importing a public key", wrong))
    }

    fn from_spki(der: &[u8]) -> Result<Self, String> {
        let info = SubjectPublicKeyInfoRef::from_der(der)
            .map_err(|_| "it is not the DER of a SubjectPublicKeyInfo".to_owned())?;
        let bytes = info
            .subject_public_key
            .as_bytes()
            .ok_or("the length of its key is not a whole number of bytes")?;
        let invalid = |kind: KeyType| format!("it is not a valid {} key", kind.name());
        let key = match (info.algorithm.oid, info.algorithm.parameters_oid().ok()) {
            (OID_EC, Some(OID_P256)) => {
                let key = p256::PublicKey::from_public_key_der(der).map_err(|_| invalid(KeyType::P256))?;
                VerifyingKey::from_p256(&key.into())
            }
            (OID_EC, Some(OID_P384)) => {
                VerifyingKey::P384(P384Point::from_sec1(bytes).ok_or_else(|| invalid(KeyType::P384))?)
            }
            (OID_EC, Some(OID_P521)) => {
                let point = bytes.strip_prefix(&[4]).and_then(|bytes| bytes.split_at_checked(66));
                let (x, y) = point.filter(|(_, y)| y.len() == 66).ok_or_else(|| invalid(KeyType::P521))?;
                let jwk = ec_jwk(KeyType::P521, &base64url(x), &base64url(y));
                return Ok(Self::from_parts(KeyType::P521, jwk, None));
            }
            // RFC 8017 Appendix A.1: the parameters are NULL.
            (pkcs1::ALGORITHM_OID, _) if info.algorithm.parameters.is_some_and(|value| value.is_null()) => {
                let key = pkcs1::RsaPublicKeyRef::from_der(bytes).map_err(|_| invalid(KeyType::Rsa))?;
                let numbers = RsaPublicNumbers::from_pkcs1(&key)
                    .map_err(|wrong| format!("it is an RSA key, but {wrong}"));
                VerifyingKey::Rsa(numbers?)
            }
            (OID_ED25519, _) => {
                let key = ed25519_dalek::pkcs8::PublicKeyBytes::from_public_key_der(der);
                let key = key.ok().and_then(|key| VerifyingKey::from_ed25519(&key.to_bytes()));
                key.ok_or_else(|| invalid(KeyType::Ed25519))?
            }
            (oid, _) => {
                let what = describe_unsupported_key(oid);
                return Err(format!(
                    "it is {what} (P-256, P-384, P-521, Ed25519 and RSA keys are supported)"
                ));
            }
        };
        Ok(Self::from_verifying_key(key))
    }

    /// Imports PEM with one public key, labelled `PUBLIC KEY` (RFC 7468 §13), that contains what
    /// [`from_spki_der`](Self::from_spki_der) imports. Line lengths, blanks, a byte order mark, and text
    /// and other blocks beside it do not matter.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) for malformed PEM, another label and a key that
    /// [`from_spki_der`](Self::from_spki_der) refuses.
    pub fn from_spki_pem(text: &str) -> Result<Self, Error> {
        let wrong = |wrong: String| Error::new(ErrorKind::Key, "importing a PEM public key", wrong);
        if text.len() > MAX_KEY_TEXT {
            return Err(wrong("it is too long for a key".to_owned()));
        }
        let der = pem::decode(text, "PUBLIC KEY", |label| label.ends_with("PUBLIC KEY"));
        let der = der.map_err(|error| {
            wrong(format!("it is not PEM with one public key, labelled `PUBLIC KEY`: {error}"))
        })?;
        Self::from_spki_der(&der)
    }

    /// Returns the DER of a `SubjectPublicKeyInfo`, as `openssl pkey -pubout -outform DER` writes it. A point
    /// is not compressed.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) for an ML-DSA key.
    pub fn to_spki_der(&self) -> Result<Vec<u8>, Error> {
        self.to_spki().map(Document::into_vec)
    }

    /// Returns the `SubjectPublicKeyInfo` as PEM, labelled `PUBLIC KEY` (RFC 7468 §13), with LF at the end of
    /// each line.
    ///
    /// # Errors
    /// The errors of [`to_spki_der`](Self::to_spki_der).
    pub fn to_spki_pem(&self) -> Result<String, Error> {
        self.to_spki()?.to_pem("PUBLIC KEY", LineEnding::LF).map_err(|error| export_failed(error.to_string()))
    }

    fn to_spki(&self) -> Result<Document, Error> {
        let parameter = |name| self.parameter(name).unwrap_or_default();
        let point = || [&[4], parameter("x").as_slice(), parameter("y").as_slice()].concat();
        let encoded = match self.kind() {
            KeyType::P256 => encode(OID_EC, Some((&OID_P256).into()), &point()),
            KeyType::P384 => encode(OID_EC, Some((&OID_P384).into()), &point()),
            KeyType::P521 => encode(OID_EC, Some((&OID_P521).into()), &point()),
            KeyType::Ed25519 => encode(OID_ED25519, None, &parameter("x")),
            KeyType::Rsa => rsa_public_key(&parameter("n"), &parameter("e"))
                .and_then(|key| encode(pkcs1::ALGORITHM_OID, Some(AnyRef::NULL), key.as_bytes())),
            other @ (KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87) => {
                return Err(export_failed(format!(
                    "it is {} key, whose SubjectPublicKeyInfo is not supported (its JWK is)",
                    other.with_article()
                )));
            }
        };
        encoded.map_err(|error| export_failed(error.to_string()))
    }
}

fn encode(
    oid: p256::pkcs8::ObjectIdentifier,
    parameters: Option<AnyRef<'_>>,
    key: &[u8],
) -> der::Result<Document> {
    Document::encode_msg(&SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid, parameters },
        subject_public_key: BitStringRef::from_bytes(key)?,
    })
}

/// Returns the DER of an `RSAPublicKey` (RFC 8017 Appendix A.1.1).
fn rsa_public_key(n: &[u8], e: &[u8]) -> der::Result<Document> {
    let (modulus, public_exponent) = (UintRef::new(n)?, UintRef::new(e)?);
    Document::encode_msg(&pkcs1::RsaPublicKeyRef { modulus, public_exponent })
}

fn export_failed(wrong: String) -> Error {
    Error::new(ErrorKind::Key, "exporting a public key", wrong)
}
