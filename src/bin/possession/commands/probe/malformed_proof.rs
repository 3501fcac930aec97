//! Proofs with one defect. The library makes none: each part can be replaced here, and the signature as well.

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use possession::{KeyPair, Signer, ath};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::target::Target;
use crate::failure::Failure;

/// A proof before it is signed.
pub struct ProofParts<'a> {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    /// The text of the header, where it is not that of the members.
    pub header_text: Option<String>,
    /// The text of the payload, where it is not that of the members.
    pub claims_text: Option<String>,
    pub signature: Signature,
    /// Changes the finished proof.
    pub finish: fn(String) -> String,
    pub key: &'a KeyPair,
    /// A key that has nothing to do with the token.
    pub other_key: &'a KeyPair,
}

/// What is put in place of the signature.
pub enum Signature {
    Valid,
    /// Valid, by the other key.
    ByOtherKey,
    /// Valid but for one bit.
    Corrupt,
    /// Without its last byte.
    Truncated,
    Empty,
    /// Zeros of the right length: CVE-2022-21449.
    Zero,
    /// In ASN.1 DER, as TLS libraries write ECDSA signatures.
    Der,
    /// HMAC-SHA256 with this text as the key.
    Hmac(Vec<u8>),
    /// These bytes.
    Bytes(Vec<u8>),
    /// Made from the text that is signed.
    From(fn(&[u8]) -> Vec<u8>),
}

impl<'a> ProofParts<'a> {
    /// Returns a correct proof.
    pub fn new(target: &Target, key: &'a KeyPair, other_key: &'a KeyPair) -> Result<Self, Failure> {
        let jwk: Value = serde_json::from_str(key.public_key().to_jwk())?;
        let header = members(json!({ "typ": "dpop+jwt", "alg": key.algorithm().name(), "jwk": jwk }));
        let url = target.url.split(['?', '#']).next().unwrap_or_default();
        let mut claims = members(json!({
            "jti": random_text()?,
            "htm": target.method,
            "htu": url,
            "iat": target.now.saturating_sub(1),
        }));
        if let Some(token) = &target.access_token {
            claims.insert("ath".to_owned(), ath(token).into());
        }
        if let Some(nonce) = &target.nonce {
            claims.insert("nonce".to_owned(), nonce.as_str().into());
        }
        Ok(Self {
            header,
            claims,
            header_text: None,
            claims_text: None,
            signature: Signature::Valid,
            finish: |proof| proof,
            key,
            other_key,
        })
    }

    pub fn set_header(&mut self, name: &str, value: impl Into<Value>) {
        self.header.insert(name.to_owned(), value.into());
    }

    pub fn set_claim(&mut self, name: &str, value: impl Into<Value>) {
        self.claims.insert(name.to_owned(), value.into());
    }

    pub fn claim(&self, name: &str) -> &str {
        self.claims.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn iat(&self) -> u64 {
        self.claims.get("iat").and_then(Value::as_u64).unwrap_or_default()
    }

    /// Sets a member of the `jwk` header parameter.
    pub fn set_jwk_member(&mut self, name: &str, value: impl Into<Value>) {
        if let Some(jwk) = self.header.get_mut("jwk").and_then(Value::as_object_mut) {
            jwk.insert(name.to_owned(), value.into());
        }
    }

    /// Puts the other key into `jwk`.
    pub fn set_jwk_of_other_key(&mut self) {
        let jwk = self.other_key.public_key().to_jwk();
        self.set_header("jwk", serde_json::from_str::<Value>(jwk).unwrap_or_default());
    }

    /// Returns the compact JWS.
    pub fn sign(self) -> Result<String, Failure> {
        let header = self.header_text.unwrap_or_else(|| Value::Object(self.header).to_string());
        let claims = self.claims_text.unwrap_or_else(|| Value::Object(self.claims).to_string());
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let valid = || self.key.sign(signed.as_bytes());
        let signature = match self.signature {
            Signature::Valid => valid()?,
            Signature::ByOtherKey => self.other_key.sign(signed.as_bytes())?,
            Signature::Corrupt => {
                let mut signature = valid()?;
                if let Some(byte) = signature.last_mut() {
                    *byte ^= 1;
                }
                signature
            }
            Signature::Truncated => {
                let mut signature = valid()?;
                signature.pop();
                signature
            }
            Signature::Empty => Vec::new(),
            Signature::Zero => vec![0; valid()?.len()],
            Signature::Der => der(&valid()?),
            Signature::Hmac(key) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
                mac.update(signed.as_bytes());
                mac.finalize().into_bytes().to_vec()
            }
            Signature::Bytes(bytes) => bytes,
            Signature::From(make) => make(signed.as_bytes()),
        };
        Ok((self.finish)(format!("{signed}.{}", encode(&signature))))
    }
}

pub fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Returns a text that nobody else has.
fn random_text() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("the system supplied no random bytes: {error}"))?;
    Ok(encode(&bytes))
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Encodes R || S as the SEQUENCE of two INTEGERs of ASN.1 DER.
fn der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let integer = |bytes: &[u8]| {
        let digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        let sign = if digits.first().is_none_or(|byte| byte & 0x80 != 0) { vec![0] } else { Vec::new() };
        let content = [sign, digits].concat();
        [vec![2, u8::try_from(content.len()).unwrap_or(u8::MAX)], content].concat()
    };
    let content = [integer(r), integer(s)].concat();
    [vec![0x30, u8::try_from(content.len()).unwrap_or(u8::MAX)], content].concat()
}
