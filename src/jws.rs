//! Strict compact JWS (RFC 7515 §3.1, RFC 8725).

use std::fmt;

use crate::algorithm::Algorithm;
use crate::crypto::push_decoded;
use crate::error::{Error, ErrorKind, printable};
use crate::json::{self, Json, Object};
use crate::public_key::PublicKey;
use crate::signature;

/// Long enough for an `htu` of 8 KiB with an RSA key, short enough that garbage costs nothing.
pub(crate) const MAX_LENGTH: usize = 16 * 1024;

/// A compact JWS taken apart and decoded, its signature not yet checked.
pub(crate) struct Jws<'a> {
    signed: &'a [u8],
    /// Header, payload and signature, one behind the other.
    octets: Vec<u8>,
    header_end: usize,
    payload_end: usize,
}

/// A header that is a strict JSON object without `crit` and `b64: false`.
pub(crate) struct Header<'a>(Object<'a>);

/// What is wrong with a text that should be a JWS. It names places, never the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl<'a> Jws<'a> {
    /// Three segments of strict base64url: nothing is decoded before their number is right.
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
        let mut octets = Vec::with_capacity(text.len());
        let mut decode = |name: &str, segment: &str| match push_decoded(&mut octets, segment) {
            true => Ok(octets.len()),
            false => Err(malformed(format!("its {name} is not base64url without padding"))),
        };
        let header_end = decode("header", header)?;
        let payload_end = decode("payload", payload)?;
        decode("signature", signature)?;
        let signed = text.as_bytes().get(..text.rfind('.').unwrap_or_default()).unwrap_or_default();
        Ok(Self { signed, octets, header_end, payload_end })
    }

    /// The header.
    pub(crate) fn header(&self) -> Result<Header<'_>, Malformed> {
        let octets = self.octets.get(..self.header_end).unwrap_or_default();
        let header = json::jose_tree(octets).map_err(|wrong| malformed(format!("header: {wrong}")))?;
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
    pub(crate) fn claims(&self) -> Result<Object<'_>, Malformed> {
        json::jose_tree(self.payload()).map_err(|wrong| malformed(format!("claims: {wrong}")))
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.octets.get(self.header_end..self.payload_end).unwrap_or_default()
    }

    pub(crate) fn into_payload(mut self) -> Vec<u8> {
        self.octets.truncate(self.payload_end);
        self.octets.drain(..self.header_end.min(self.octets.len()));
        self.octets
    }

    /// What was signed.
    pub(crate) fn signed(&self) -> &'a [u8] {
        self.signed
    }

    pub(crate) fn signature(&self) -> &[u8] {
        self.octets.get(self.payload_end..).unwrap_or_default()
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
    pub(crate) fn alg(&self) -> Result<&str, Malformed> {
        match self.get("alg") {
            Some(Json::Text(alg)) => Ok(alg),
            Some(_) => Err(malformed("`alg` in its header is not a string")),
            None => Err(malformed("its header has no `alg`")),
        }
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
    /// [`Malformed`](ErrorKind::Malformed) when it does not hold; [`Algorithm`](ErrorKind::Algorithm) when the algorithm
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
            None => Err(refuse(signature::not_checked(algorithm).to_owned())),
        }
    }
}
