//! Strict compact JWS (RFC 7515 §3.1, RFC 8725).

use std::fmt;

use crate::jose::algorithm::Algorithm;
use crate::jose::base64url::push_decoded;
use crate::jose::json::{self, Json, Object};
use crate::jose::public_key::PublicKey;

/// Long enough for an `htu` of 8 KiB with an RSA key, short enough that garbage costs nothing.
pub(crate) const MAX_LENGTH: usize = 16 * 1024;

/// A compact JWS taken apart and decoded, its signature not yet checked.
pub(crate) struct Jws<'a> {
    signed: &'a [u8],
    /// Header, payload and signature, one behind the other.
    bytes: Vec<u8>,
    header_end: usize,
    payload_end: usize,
}

/// A header that is a strict JSON object without `crit` and `b64: false`.
pub(crate) struct Header<'a>(Object<'a>);

/// What is wrong with a text that should be a JWS. It names places, never the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwsError(String);

impl<'a> Jws<'a> {
    /// Three segments of strict base64url: nothing is decoded before their number is right.
    pub(crate) fn parse(text: &'a str) -> Result<Self, JwsError> {
        if text.len() > MAX_LENGTH {
            return Err(malformed(format!("it is longer than {MAX_LENGTH} characters")));
        }
        let mut segments = text.splitn(4, '.');
        let (Some(header), Some(payload), Some(signature), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(malformed("it does not have three segments"));
        };
        if header.is_empty() || signature.is_empty() {
            return Err(malformed("its header or its signature is empty"));
        }
        let mut bytes = Vec::with_capacity(text.len());
        let mut decode = |name: &str, segment: &str| match push_decoded(&mut bytes, segment) {
            true => Ok(bytes.len()),
            false => Err(malformed(format!("its {name} is not base64url without padding"))),
        };
        let header_end = decode("header", header)?;
        let payload_end = decode("payload", payload)?;
        decode("signature", signature)?;
        let signed = text.as_bytes().get(..text.rfind('.').unwrap_or_default()).unwrap_or_default();
        Ok(Self { signed, bytes, header_end, payload_end })
    }

    /// The header.
    pub(crate) fn header(&self) -> Result<Header<'_>, JwsError> {
        let bytes = self.bytes.get(..self.header_end).unwrap_or_default();
        let header = json::parse_jose_object(bytes).map_err(|wrong| malformed(format!("header: {wrong}")))?;
        if header.contains("crit") {
            return Err(malformed(
                "its header has `crit`, and no extension is understood here (RFC 7515 §4.1.11)",
            ));
        }
        match header.get("b64") {
            None | Some(Json::Bool(true)) => Ok(Header(header)),
            Some(_) => Err(malformed("its header has `b64`, which no JWT may use (RFC 7797 §7)")),
        }
    }

    /// The payload as a strict JSON object.
    pub(crate) fn claims(&self) -> Result<Object<'_>, JwsError> {
        json::parse_jose_object(self.payload()).map_err(|wrong| malformed(format!("claims: {wrong}")))
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(self.header_end..self.payload_end).unwrap_or_default()
    }

    pub(crate) fn into_payload(mut self) -> Vec<u8> {
        self.bytes.truncate(self.payload_end);
        self.bytes.drain(..self.header_end.min(self.bytes.len()));
        self.bytes
    }

    /// What was signed.
    pub(crate) fn signed(&self) -> &'a [u8] {
        self.signed
    }

    pub(crate) fn signature(&self) -> &[u8] {
        self.bytes.get(self.payload_end..).unwrap_or_default()
    }

    /// Whether the signature holds, by an algorithm that fits the key; `None` where it is not checked here.
    pub(crate) fn verify(&self, algorithm: Algorithm, key: &PublicKey) -> Option<bool> {
        key.verifying_key()?.verify(algorithm, self.signed, self.signature())
    }
}

impl<'a> Header<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.get(name)
    }

    /// The `alg` as it stands there.
    pub(crate) fn alg(&self) -> Result<&str, JwsError> {
        match self.get("alg") {
            Some(Json::String(alg)) => Ok(alg),
            Some(_) => Err(malformed("`alg` in its header is not a string")),
            None => Err(malformed("its header has no `alg`")),
        }
    }
}

fn malformed(wrong: impl Into<String>) -> JwsError {
    JwsError(wrong.into())
}

impl fmt::Display for JwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JwsError {}
