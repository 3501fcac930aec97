//! Strict compact JWS (RFC 7515 §3.1, RFC 8725).

use std::fmt;

use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::crypto::from_base64url;
use crate::error::{Error, ErrorKind, printable};
use crate::json;
use crate::public_key::PublicKey;
use crate::signature;

/// Long enough for an `htu` of 8 KiB with an RSA key, short enough that garbage costs nothing.
pub(crate) const MAX_LENGTH: usize = 16 * 1024;

/// A compact JWS taken apart, its signature not yet checked.
pub(crate) struct Jws<'a> {
    pub(crate) header: Map<String, Value>,
    pub(crate) payload: Vec<u8>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

/// What is wrong with a text that should be a JWS. It names places, never the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl<'a> Jws<'a> {
    /// Three segments of strict base64url, a header that is a strict JSON object without `crit` and `b64: false`.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Malformed> {
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
        let decode = |name: &str, segment: &str| {
            from_base64url(segment)
                .ok_or_else(|| malformed(format!("its {name} is not base64url without padding")))
        };
        let header = decode("header", header)?;
        let header = json::jose_object(&header).map_err(|wrong| malformed(format!("header: {wrong}")))?;
        if header.contains_key("crit") {
            return Err(malformed(
                "its header has `crit`, and no extension is understood here (RFC 7515 §4.1.11)",
            ));
        }
        if header.get("b64").is_some_and(|b64| *b64 != Value::Bool(true)) {
            return Err(malformed("its header has `b64`, which no JWT may use (RFC 7797 §7)"));
        }
        let payload = decode("payload", payload)?;
        let signature = decode("signature", signature)?;
        let end = text.rfind('.').unwrap_or_default();
        Ok(Self { header, payload, signed: text.as_bytes().get(..end).unwrap_or_default(), signature })
    }

    /// The `alg` of the header as it stands there.
    pub(crate) fn alg(&self) -> Result<&str, Malformed> {
        match self.header.get("alg") {
            Some(Value::String(alg)) => Ok(alg),
            Some(_) => Err(malformed("`alg` in its header is not a string")),
            None => Err(malformed("its header has no `alg`")),
        }
    }

    /// The payload as a strict JSON object.
    pub(crate) fn claims(&self) -> Result<Map<String, Value>, Malformed> {
        json::jose_object(&self.payload).map_err(|wrong| malformed(format!("claims: {wrong}")))
    }

    /// What was signed.
    pub(crate) fn signed(&self) -> &'a [u8] {
        self.signed
    }

    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether the signature holds, by an algorithm that fits the key; `None` where it is not checked here.
    pub(crate) fn verify(&self, algorithm: Algorithm, key: &PublicKey) -> Option<bool> {
        key.verifying_key()?.verify(algorithm, self.signed, &self.signature)
    }
}

fn malformed(wrong: impl Into<String>) -> Malformed {
    Malformed(wrong.into())
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

impl PublicKey {
    /// Checks a compact JWS (RFC 7515 §3.1) made with this key and gives its payload. Nothing but form, `alg`, `crit` and
    /// signature is looked at: for proofs there is [`Verifier`](crate::Verifier).
    ///
    /// # Errors
    /// [`Malformed`](ErrorKind::Malformed) when it is malformed or the signature does
    /// not hold; [`Algorithm`](ErrorKind::Algorithm) when its `alg` does not fit the key or is not checked here.
    pub fn verify_jws(&self, jws: &str) -> Result<Vec<u8>, Error> {
        let doing = "checking a JWS";
        let content = |wrong: Malformed| Error::new(ErrorKind::Malformed, doing, wrong.to_string());
        let jws = Jws::parse(jws).map_err(content)?;
        let alg = jws.alg().map_err(content)?;
        let algorithm = Algorithm::from_name(alg).ok_or_else(|| {
            let wrong = "is not an asymmetric signature algorithm known here";
            Error::new(ErrorKind::Algorithm, doing, format!("`alg` {} {wrong}", printable(alg, 40)))
        })?;
        self.verify(algorithm, jws.signed(), jws.signature()).map_err(|error| error.while_doing(doing))?;
        Ok(jws.payload)
    }

    /// Checks a signature of `message` in the form that JWS has ([`Signer::sign`](crate::Signer::sign)).
    ///
    /// # Errors
    /// [`Malformed`](ErrorKind::Malformed) when it does not hold; [`Algorithm`](ErrorKind::Algorithm) when the algorithm
    /// does not fit the key or is not checked here.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let doing = "checking a signature";
        let refuse = |wrong: String| Error::new(ErrorKind::Algorithm, doing, format!("{algorithm} {wrong}"));
        if !self.fits(algorithm) {
            return Err(refuse(format!("does not fit a {} key", self.kind().name())));
        }
        match self.verifying_key().and_then(|key| key.verify(algorithm, message, signature)) {
            Some(true) => Ok(()),
            Some(false) => Err(Error::new(ErrorKind::Malformed, doing, "the signature does not hold")),
            None => Err(refuse(signature::not_checked(algorithm).to_owned())),
        }
    }
}
