//! Writing private keys.

use p256::pkcs8::der::Decode;
use p256::pkcs8::der::asn1::{AnyRef, OctetStringRef};
use p256::pkcs8::spki::AlgorithmIdentifierRef;
use p256::pkcs8::{EncodePrivateKey, LineEnding, PrivateKeyInfoRef, SecretDocument};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::jose::backend::{OID_EC, OID_P384, PrivateKey};
use crate::jose::base64url::base64url;
use crate::jose::key_pair::KeyPair;

impl KeyPair {
    /// The DER of a PKCS#8 `PrivateKeyInfo` (RFC 5208), as OpenSSL and every other tool reads it. It has no place for the
    /// algorithm that an RSA key signs by, nor for `kid`: a JWK has.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it cannot be encoded, which does not happen to a key that could be made.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.to_pkcs8().map(|document| document.to_bytes())
    }

    /// The same as PEM, labelled `PRIVATE KEY` (RFC 7468 §10), lines ended by LF.
    ///
    /// # Errors
    /// Those of [`to_pkcs8_der`](Self::to_pkcs8_der).
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, Error> {
        self.to_pkcs8()?.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|error| export_failed(&error))
    }

    /// The private JWK (RFC 7517): the required members, the private ones, `kid` where there is one, and `alg` where it was
    /// said.
    #[must_use]
    pub fn to_jwk(&self) -> Zeroizing<String> {
        let secret = |bytes: &[u8]| Zeroizing::new(base64url(bytes));
        let private: Vec<(&str, Zeroizing<String>)> = match &self.private {
            PrivateKey::P256 { key, .. } => vec![("d", secret(&Zeroizing::new(key.to_bytes())))],
            PrivateKey::P384 { scalar, .. } => vec![("d", secret(scalar.as_slice()))],
            PrivateKey::Ed25519(key) => vec![("d", secret(Zeroizing::new(key.to_bytes()).as_slice()))],
            PrivateKey::Rsa { pkcs1, .. } => match pkcs1::RsaPrivateKeyRef::from_der(pkcs1) {
                // RFC 7518 §6.3.2
                Ok(key) => vec![
                    ("d", secret(key.private_exponent.as_bytes())),
                    ("p", secret(key.prime1.as_bytes())),
                    ("q", secret(key.prime2.as_bytes())),
                    ("dp", secret(key.exponent1.as_bytes())),
                    ("dq", secret(key.exponent2.as_bytes())),
                    ("qi", secret(key.coefficient.as_bytes())),
                ],
                // It was read when it came in.
                Err(_) => Vec::new(),
            },
        };
        // Neither base64url nor the names of algorithms need escapes. Room for all of it, so that nothing is left behind
        // when it grows.
        let kid = self.key_id.as_deref().map(Value::from).map(|kid| format!(",\"kid\":{kid}"));
        let alg = self.algorithm_name.map(|alg| format!(",\"alg\":\"{alg}\""));
        let more = kid.unwrap_or_default() + &alg.unwrap_or_default();
        let public = self.public.to_jwk().trim_end_matches('}');
        let room: usize = private.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
        let mut jwk = Zeroizing::new(String::with_capacity(public.len() + room + more.len() + 1));
        jwk.push_str(public);
        for (name, value) in &private {
            for part in [",\"", name, "\":\"", value, "\""] {
                jwk.push_str(part);
            }
        }
        jwk.push_str(&more);
        jwk.push('}');
        jwk
    }

    fn to_pkcs8(&self) -> Result<SecretDocument, Error> {
        let encoded = |algorithm, key: &[u8]| {
            let info = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(key)?);
            SecretDocument::encode_msg(&info)
        };
        match &self.private {
            PrivateKey::P256 { key, .. } => p256::SecretKey::from(key.as_nonzero_scalar())
                .to_pkcs8_der()
                .map_err(|error| export_failed(&error)),
            // Version 1, without the public key: OpenSSL before 3.5 and Java refuse version 2.
            PrivateKey::Ed25519(key) => {
                // Wipes itself.
                let bytes =
                    ed25519_dalek::pkcs8::KeypairBytes { secret_key: key.to_bytes(), public_key: None };
                bytes.to_pkcs8_der().map_err(|error| export_failed(&error))
            }
            PrivateKey::P384 { scalar, point, .. } => {
                let key = sec1::EcPrivateKey {
                    private_key: scalar.as_slice(),
                    parameters: None,
                    public_key: Some(point.as_sec1()),
                };
                SecretDocument::encode_msg(&key)
                    .and_then(|key| {
                        let algorithm =
                            AlgorithmIdentifierRef { oid: OID_EC, parameters: Some((&OID_P384).into()) };
                        encoded(algorithm, key.as_bytes())
                    })
                    .map_err(|error| export_failed(&error))
            }
            PrivateKey::Rsa { pkcs1, .. } => {
                let algorithm =
                    AlgorithmIdentifierRef { oid: pkcs1::ALGORITHM_OID, parameters: Some(AnyRef::NULL) };
                encoded(algorithm, pkcs1).map_err(|error| export_failed(&error))
            }
        }
    }
}

fn export_failed(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Key, "exporting a private key", error.to_string())
}
