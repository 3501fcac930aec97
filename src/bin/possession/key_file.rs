//! Files with keys: PEM, JWK or DER. `-` is standard input.

use std::path::Path;

use possession::zeroize::Zeroizing;
use possession::{KeyPair, PublicKey, Signer};
use serde_json::Value;

use crate::failure::Failure;
use crate::options::secret::read_start;

/// More than any key has. The library refuses what is so long.
const MAX_BYTES: u64 = 1024 * 1024;
/// What a public JWK keeps of the members that are not part of the key: client assertions have this kid.
const KEPT: [&str; 2] = ["kid", "alg"];

/// A key that was read.
pub struct KeyFile {
    pub key: AnyKey,
    /// The members of its JWK, if it is one.
    jwk: Option<Value>,
}

/// A private or a public key.
pub enum AnyKey {
    Private(Box<KeyPair>),
    Public(Box<PublicKey>),
}

impl From<KeyPair> for KeyFile {
    fn from(key: KeyPair) -> Self {
        Self { key: AnyKey::Private(Box::new(key)), jwk: None }
    }
}

impl KeyFile {
    /// Reads a private or a public key.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let bytes = Zeroizing::new(read_start(file, MAX_BYTES)?);
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let jwk: Option<Value> = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok();
        let key = read(&bytes, text, jwk.as_ref());
        let key = key.map_err(|error| format!("reading {}: {error}", file.display()))?;
        Ok(Self { key, jwk: jwk.map(|jwk| kept(&jwk)) })
    }

    pub fn public(&self) -> &PublicKey {
        match &self.key {
            AnyKey::Private(key) => key.public_key(),
            AnyKey::Public(key) => key,
        }
    }

    /// Returns the JWK of its public half, with kid and alg if the file has them.
    pub fn public_jwk(&self) -> Result<String, Failure> {
        let mut jwk = self.public().to_jwk().trim_end_matches('}').to_owned();
        for (name, value) in self.jwk.iter().filter_map(Value::as_object).flatten() {
            jwk.push_str(&format!(",{}:{}", serde_json::to_string(name)?, serde_json::to_string(value)?));
        }
        Ok(jwk + "}")
    }
}

/// Reads a private key.
pub fn read_private(file: &Path) -> Result<KeyPair, Failure> {
    let bytes = Zeroizing::new(read_start(file, MAX_BYTES)?);
    let key = KeyPair::from_bytes(&bytes);
    Ok(key.map_err(|error| format!("reading {}: {}", file.display(), in_words_of_the_program(&error)))?)
}

/// Reads a public key.
pub fn read_public(file: &Path) -> Result<PublicKey, Failure> {
    let key = KeyFile::read(file)?;
    Ok(match key.key {
        AnyKey::Private(key) => key.public_key().clone(),
        AnyKey::Public(key) => *key,
    })
}

fn read(bytes: &[u8], text: &str, jwk: Option<&Value>) -> Result<AnyKey, String> {
    let wrong = |error: possession::Error| in_words_of_the_program(&error);
    let public = |key: Result<PublicKey, possession::Error>| match key {
        Ok(key) => Ok(AnyKey::Public(Box::new(key))),
        Err(error) => Err(wrong(error)),
    };
    let member = |name: &str| jwk.and_then(|jwk| jwk.get(name)).and_then(Value::as_str);
    let has_private = text.contains("PRIVATE KEY-----");
    if member("kty").is_some_and(|kty| kty != "oct") && member("d").is_none() {
        return public(PublicKey::from_jwk(text));
    }
    if text.contains("-----BEGIN PUBLIC KEY-----") && !has_private {
        return public(PublicKey::from_spki_pem(text));
    }
    for (label, what, command) in [
        ("CERTIFICATE", "a certificate", "openssl x509 -pubkey -noout -in FILE` writes its public key"),
        ("RSA PUBLIC KEY", "PKCS#1", "openssl rsa -RSAPublicKey_in -in FILE -pubout` converts it"),
    ] {
        if text.contains(&format!("-----BEGIN {label}-----")) && !has_private {
            return Err(format!("it is {what} (`{command})"));
        }
    }
    if let Ok(key) = PublicKey::from_spki_der(bytes) {
        return Ok(AnyKey::Public(Box::new(key)));
    }
    let key = KeyPair::from_bytes(bytes).map_err(|error| match in_words_of_the_program(&error) {
        text if text.contains("it is not the DER of") => {
            "it is neither the DER of a private key (unencrypted PKCS#8, PKCS#1) nor of a public one \
             (SubjectPublicKeyInfo); `openssl pkey` converts most other formats of keys"
                .to_owned()
        }
        text => text,
    })?;
    Ok(AnyKey::Private(Box::new(key)))
}

/// Returns the members of a JWK that its public half keeps.
fn kept(jwk: &Value) -> Value {
    let member =
        |name: &str| Some((name.to_owned(), jwk.get(name).filter(|value| value.is_string())?.clone()));
    KEPT.into_iter().filter_map(member).collect()
}

/// Returns what is wrong with a key. There is no `Signer` to implement here.
fn in_words_of_the_program(error: &possession::Error) -> String {
    error.to_string().replace("needs a `Signer` of yours", "this program cannot sign with")
}
