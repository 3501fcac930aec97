//! Files with keys: PEM, JWK or DER. `-` is standard input.

use std::path::Path;

use possession::{KeyPair, PublicKey, Signer};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::options::secret::read_key;

/// A key that was read, with those members of its JWK that are not part of the key and that its public half
/// keeps.
pub struct KeyFile {
    pub key: AnyKey,
    kid: Option<String>,
    alg: Option<String>,
}

/// A private or a public key.
pub enum AnyKey {
    Private(Box<KeyPair>),
    Public(Box<PublicKey>),
}

impl From<KeyPair> for KeyFile {
    fn from(key: KeyPair) -> Self {
        let kid = key.key_id().map(str::to_owned);
        // The JWK has alg if that was imported or chosen.
        let jwk = key.to_jwk();
        let names = [key.algorithm_name(), Some(key.algorithm().name())].into_iter().flatten();
        let alg = names.map(str::to_owned).find(|name| jwk.contains(&format!("\"alg\":\"{name}\"")));
        Self { key: AnyKey::Private(Box::new(key)), kid, alg }
    }
}

impl From<PublicKey> for KeyFile {
    fn from(key: PublicKey) -> Self {
        Self { key: AnyKey::Public(Box::new(key)), kid: None, alg: None }
    }
}

impl KeyFile {
    /// Reads a private or a public key.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let bytes = read_key(file)?;
        Ok(Self::from_bytes(&bytes).map_err(|wrong| format!("reading {}: {wrong}", file.display()))?)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let not_private = match KeyPair::from_bytes(bytes) {
            Ok(key) => return Ok(key.into()),
            Err(error) => in_words_of_the_program(&error),
        };
        let public = |key: Result<PublicKey, possession::Error>| match key {
            Ok(key) => Ok(key.into()),
            Err(error) => Err(error.to_string()),
        };
        // Comments beside PEM may have any encoding.
        let text = String::from_utf8_lossy(bytes);
        let has = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
        if text.contains("PRIVATE KEY-----") {
            return Err(not_private);
        }
        if has("PUBLIC KEY") {
            return public(PublicKey::from_spki_pem(&text));
        }
        if has("CERTIFICATE") {
            let advice = "`openssl x509 -pubkey -noout -in FILE` writes its public key";
            return Err(format!("it is a certificate ({advice})"));
        }
        if has("RSA PUBLIC KEY") {
            let advice = "`openssl rsa -RSAPublicKey_in -in FILE -pubout` converts it";
            return Err(format!("it is a public key in PKCS#1 ({advice})"));
        }
        if let Ok(jwk) = serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) {
            let member = |name: &str| text_of(&jwk, name);
            return match member("kty") {
                Some(kty) if kty != "oct" && member("d").is_none() => Self::from_public_jwk(&text, &jwk),
                _ => Err(not_private),
            };
        }
        if let Ok(key) = PublicKey::from_spki_der(bytes) {
            return Ok(key.into());
        }
        Err(match not_private {
            text if text.contains("it is not the DER of") => {
                "it is neither the DER of a private key (unencrypted PKCS#8, PKCS#1) nor of a public one \
                 (SubjectPublicKeyInfo); `openssl pkey` converts most other formats of keys"
                    .to_owned()
            }
            text if text.contains("neither PEM nor JSON nor DER") => {
                "it is neither PEM nor JSON nor DER (accepted: a private key in PKCS#8, or in PKCS#1 for RSA; a public \
                 one in SubjectPublicKeyInfo; a JWK)"
                    .to_owned()
            }
            text => text,
        })
    }

    fn from_public_jwk(text: &str, jwk: &Value) -> Result<Self, String> {
        let key = PublicKey::from_jwk(text).map_err(|error| error.to_string())?;
        // RFC 7517 §4.2, §4.3
        let allows = |value: &Value| value.as_str() == Some("verify");
        let operations =
            jwk.get("key_ops").and_then(Value::as_array).filter(|operations| !operations.is_empty());
        if text_of(jwk, "use").is_some_and(|purpose| purpose != "sig")
            || operations.is_some_and(|operations| !operations.iter().any(allows))
        {
            return Err("it is not for signatures (use, key_ops)".to_owned());
        }
        let mut file = Self::from(key);
        if let Some(alg) = text_of(jwk, "alg") {
            if !file.algorithms().contains(&alg) {
                return Err(format!("its alg is {}, which is no algorithm of this key", json!(alg)));
            }
            file.alg = Some(alg.to_owned());
        }
        file.kid = text_of(jwk, "kid").map(str::to_owned);
        Ok(file)
    }

    pub fn public(&self) -> &PublicKey {
        match &self.key {
            AnyKey::Private(key) => key.public_key(),
            AnyKey::Public(key) => key,
        }
    }

    /// Returns the algorithm that the JWK names, or else those that the key can have (RFC 7518 §3.1, RFC 8037
    /// §3.1, RFC 9864 §2.2, RFC 9964).
    pub fn algorithms(&self) -> Vec<&str> {
        let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
        let curves = [("P-256", "ES256"), ("P-384", "ES384"), ("P-521", "ES512")];
        let jwk = self.public().to_jwk();
        let has = |name: &str, value: &str| jwk.contains(&format!("\"{name}\":\"{value}\""));
        match &self.alg {
            Some(alg) => vec![alg],
            None if has("kty", "RSA") => rsa.into(),
            None if has("crv", "Ed25519") => vec!["EdDSA", "Ed25519"],
            None if has("kty", "EC") => {
                curves.into_iter().filter(|(crv, _)| has("crv", crv)).map(|(_, alg)| alg).collect()
            }
            None => {
                ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"].into_iter().filter(|alg| has("alg", alg)).collect()
            }
        }
    }

    /// Returns the JWK of its public half, with kid and alg if the key was read from a JWK that has them.
    pub fn public_jwk(&self) -> String {
        let jwk = self.public().to_jwk();
        let mut jwk = jwk.strip_suffix('}').unwrap_or(jwk).to_owned();
        for (name, value) in [("kid", &self.kid), ("alg", &self.alg)] {
            if let Some(value) = value.as_ref().filter(|_| !jwk.contains(&format!("\"{name}\":"))) {
                jwk.push_str(&format!(",\"{name}\":{}", json!(value)));
            }
        }
        jwk + "}"
    }

    /// Returns whether a JWK of it has more than the key.
    pub fn has_members_of_jwk(&self) -> bool {
        self.kid.is_some() || self.alg.is_some()
    }
}

/// Reads a private key.
pub fn read_private(file: &Path) -> Result<KeyPair, Failure> {
    let key = KeyPair::from_bytes(&read_key(file)?);
    Ok(key.map_err(|error| format!("reading {}: {}", file.display(), in_words_of_the_program(&error)))?)
}

/// Returns a member that is a string and not empty.
fn text_of<'a>(jwk: &'a Value, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// Returns what is wrong with a key. There is no `Signer` to implement here.
fn in_words_of_the_program(error: &possession::Error) -> String {
    error.to_string().replace("needs a `Signer` of yours", "this program cannot sign with")
}
