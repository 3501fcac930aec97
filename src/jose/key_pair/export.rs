//! Exporting private keys.

use p256::pkcs8::der::Decode;
use p256::pkcs8::der::asn1::{AnyRef, OctetStringRef};
use p256::pkcs8::spki::AlgorithmIdentifierRef;
use p256::pkcs8::{EncodePrivateKey, LineEnding, PrivateKeyInfoRef, SecretDocument};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::jose::backend::PrivateKey;
use crate::jose::base64url::secret_base64url;
use crate::jose::key_pair::KeyPair;
use crate::jose::oid::{OID_EC, OID_P384};

impl KeyPair {
    /// Returns the DER of a PKCS#8 `PrivateKeyInfo` (RFC 5208), which OpenSSL and other tools read, in a
    /// buffer that is wiped when dropped
    /// ([`Zeroizing`](https://docs.rs/zeroize/1/zeroize/struct.Zeroizing.html)). It contains neither the
    /// algorithm of an RSA key nor the `kid`. A [JWK](Self::to_jwk) contains both.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when the key cannot be encoded. Every key that was generated or imported can
    /// be.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.to_pkcs8().map(|document| document.to_bytes())
    }

    /// Returns the PKCS#8 key as PEM, labelled `PRIVATE KEY` (RFC 7468 §10), with LF at the end of each line.
    ///
    /// # Errors
    /// The errors of [`to_pkcs8_der`](Self::to_pkcs8_der).
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, Error> {
        self.to_pkcs8()?.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|error| export_failed(&error))
    }

    /// Returns the private JWK (RFC 7517): the required members, the private members, `kid` if there is one,
    /// and `alg` if it was imported or chosen.
    #[must_use]
    pub fn to_jwk(&self) -> Zeroizing<String> {
        let secret = secret_base64url;
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
                // The same bytes were parsed when the key was imported.
                Err(_) => Vec::new(),
            },
        };
        // Neither base64url nor the names of algorithms need escapes. The buffer never grows, because growing
        // would leave a copy of the secret behind.
        let kid = self.key_id.as_deref().map(Value::from).map(|kid| format!(",\"kid\":{kid}"));
        let alg = self.algorithm_name.map(|alg| format!(",\"alg\":\"{alg}\""));
        let optional = kid.unwrap_or_default() + &alg.unwrap_or_default();
        let public = self.public.to_jwk().trim_end_matches('}');
        let length: usize = private.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
        let mut jwk = Zeroizing::new(String::with_capacity(public.len() + length + optional.len() + 1));
        jwk.push_str(public);
        for (name, value) in &private {
            for text in [",\"", name, "\":\"", value, "\""] {
                jwk.push_str(text);
            }
        }
        jwk.push_str(&optional);
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
                // `KeypairBytes` wipes itself when it is dropped.
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
