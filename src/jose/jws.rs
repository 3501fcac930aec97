//! Strict parsing of a compact JWS (RFC 7515 §3.1, RFC 8725).

use std::fmt;

use crate::jose::algorithm::Algorithm;
use crate::jose::base64url::push_decoded;
use crate::jose::json::{self, Json, JsonError, Object};
use crate::text::printable;

/// The maximum length of a JWS, unless the caller sets another. A proof with an `htu` of 8 KiB and an RSA
/// key is shorter, and a text of this length is refused or parsed quickly.
pub(crate) const MAX_LENGTH: usize = 16 * 1024;

/// A parsed and decoded compact JWS whose signature has not been verified.
pub(crate) struct Jws<'a> {
    signed: &'a [u8],
    /// Header, payload and signature, concatenated.
    bytes: Vec<u8>,
    header_end: usize,
    payload_end: usize,
}

/// A JOSE header: a strict JSON object without `crit` and without `b64: false`.
pub(crate) struct Header<'a>(Object<'a>);

/// Which signature algorithms a recipient accepts, and which of them it can verify.
pub(crate) trait AlgorithmPolicy {
    fn accepts(&self, algorithm: Algorithm) -> bool;

    fn supports(&self, algorithm: Algorithm) -> bool;
}

/// Why the algorithm of a JWS is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AlgorithmError {
    /// `alg` is missing or not a string.
    Malformed(JwsError),
    /// `alg` is unknown or not accepted. Its text is limited to printable ASCII.
    NotAccepted { alg: String },
    /// `alg` is accepted, but no verifier is configured for it: a configuration error.
    NoSignatureVerifier { algorithm: Algorithm },
}

/// Why a text is not a compact JWS that this crate accepts. It names places and never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwsError {
    /// `alg` in the header is not a string.
    AlgorithmNotAString,
    /// The header has `b64`, which no JWT may use (RFC 7797 §7).
    B64,
    /// A segment is not base64url without padding (RFC 7515 §2).
    Base64Url {
        /// `header`, `payload` or `signature`.
        segment: &'static str,
    },
    /// The header has `crit`. This crate understands no extension (RFC 7515 §4.1.11).
    Crit,
    /// A segment that must not be empty is empty.
    EmptySegment {
        /// `header` or `signature`.
        segment: &'static str,
    },
    /// The header or the payload is not an acceptable JSON object.
    Json {
        /// `header` or `payload`.
        segment: &'static str,
        /// What is wrong with it.
        error: JsonError,
    },
    /// The header has no `alg`.
    NoAlgorithm,
    /// The text does not consist of three segments (RFC 7515 §7.1).
    SegmentCount,
    /// The text is longer than the limit.
    TooLong {
        /// The limit in characters.
        limit: usize,
    },
}

impl<'a> Jws<'a> {
    /// Parses three segments of strict base64url. Nothing is decoded unless there are exactly three.
    pub(crate) fn parse(text: &'a str) -> Result<Self, JwsError> {
        Self::parse_with_limit(text, MAX_LENGTH)
    }

    /// Parses a JWS of at most `limit` characters.
    pub(crate) fn parse_with_limit(text: &'a str, limit: usize) -> Result<Self, JwsError> {
        if text.len() > limit {
            return Err(JwsError::TooLong { limit });
        }
        let mut segments = text.splitn(4, '.');
        let (Some(header), Some(payload), Some(signature), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(JwsError::SegmentCount);
        };
        for (segment, text) in [("header", header), ("signature", signature)] {
            if text.is_empty() {
                return Err(JwsError::EmptySegment { segment });
            }
        }
        let mut bytes = Vec::with_capacity(text.len());
        let mut decode = |segment: &'static str, text: &str| match push_decoded(&mut bytes, text) {
            true => Ok(bytes.len()),
            false => Err(JwsError::Base64Url { segment }),
        };
        let header_end = decode("header", header)?;
        let payload_end = decode("payload", payload)?;
        decode("signature", signature)?;
        // What precedes the last dot.
        let signed_length = text.len().saturating_sub(signature.len()).saturating_sub(1);
        let signed = text.as_bytes().get(..signed_length).unwrap_or_default();
        Ok(Self { signed, bytes, header_end, payload_end })
    }

    /// Parses the header.
    pub(crate) fn header(&self) -> Result<Header<'_>, JwsError> {
        let bytes = self.bytes.get(..self.header_end).unwrap_or_default();
        let header =
            json::parse_jose_object(bytes).map_err(|error| JwsError::Json { segment: "header", error })?;
        if header.contains("crit") {
            return Err(JwsError::Crit);
        }
        match header.get("b64") {
            None | Some(Json::Bool(true)) => Ok(Header(header)),
            Some(_) => Err(JwsError::B64),
        }
    }

    /// Parses the payload as a strict JSON object.
    pub(crate) fn claims(&self) -> Result<Object<'_>, JwsError> {
        json::parse_jose_object(self.payload()).map_err(|error| JwsError::Json { segment: "payload", error })
    }

    /// Returns the decoded payload.
    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(self.header_end..self.payload_end).unwrap_or_default()
    }

    /// Returns the JWS signing input (RFC 7515 §5.1 step 8).
    pub(crate) fn signed(&self) -> &'a [u8] {
        self.signed
    }

    /// Returns the decoded signature.
    pub(crate) fn signature(&self) -> &[u8] {
        self.bytes.get(self.payload_end..).unwrap_or_default()
    }

    /// Returns the decoded payload, without an allocation.
    pub(crate) fn into_payload(mut self) -> Vec<u8> {
        self.bytes.truncate(self.payload_end);
        self.bytes.drain(..self.header_end.min(self.bytes.len()));
        self.bytes
    }
}

impl<'a> Header<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.get(name)
    }

    /// Returns the algorithm that `alg` names, if it is known, accepted and can be verified.
    pub(crate) fn algorithm(&self, policy: &impl AlgorithmPolicy) -> Result<Algorithm, AlgorithmError> {
        let alg = self.alg().map_err(AlgorithmError::Malformed)?;
        let algorithm = Algorithm::from_name(alg)
            .filter(|algorithm| policy.accepts(*algorithm))
            .ok_or_else(|| AlgorithmError::NotAccepted { alg: printable(alg, 40) })?;
        match policy.supports(algorithm) {
            true => Ok(algorithm),
            false => Err(AlgorithmError::NoSignatureVerifier { algorithm }),
        }
    }

    /// Returns the text of `alg`.
    pub(crate) fn alg(&self) -> Result<&str, JwsError> {
        match self.get("alg") {
            Some(Json::String(alg)) => Ok(alg),
            Some(_) => Err(JwsError::AlgorithmNotAString),
            None => Err(JwsError::NoAlgorithm),
        }
    }
}

impl fmt::Display for JwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlgorithmNotAString => f.write_str("`alg` in its header is not a string"),
            Self::B64 => f.write_str("its header has `b64`, which no JWT may use (RFC 7797 §7)"),
            Self::Base64Url { segment } => write!(f, "its {segment} is not base64url without padding"),
            Self::Crit => {
                f.write_str("its header has `crit`, and no extension is supported (RFC 7515 §4.1.11)")
            }
            Self::EmptySegment { segment } => write!(f, "its {segment} is empty"),
            Self::Json { segment, error } => write!(f, "its {segment} cannot be parsed: {error}"),
            Self::NoAlgorithm => f.write_str("its header has no `alg`"),
            Self::SegmentCount => f.write_str("it does not have three segments"),
            Self::TooLong { limit } => write!(f, "it is too long (at most {limit} characters are read)"),
        }
    }
}

impl std::error::Error for JwsError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::base64url::base64url;

    fn jws(header: &str, payload: &str) -> String {
        format!("{}.{}.AA", base64url(header.as_bytes()), base64url(payload.as_bytes()))
    }

    #[test]
    fn an_error_names_the_segment() {
        let error = |text: &str| Jws::parse(text).err().unwrap();
        assert_eq!((error("a.b"), error("a.b.c.d")), (JwsError::SegmentCount, JwsError::SegmentCount));
        assert_eq!(error(".AA.AA"), JwsError::EmptySegment { segment: "header" });
        assert_eq!(error("AA.AA."), JwsError::EmptySegment { segment: "signature" });
        assert_eq!(error("A.AA.AA"), JwsError::Base64Url { segment: "header" });
        assert_eq!(error("AA.A.AA"), JwsError::Base64Url { segment: "payload" });
        assert_eq!(error("AA.AA.A"), JwsError::Base64Url { segment: "signature" });
        assert_eq!(error(&"a".repeat(MAX_LENGTH + 1)), JwsError::TooLong { limit: MAX_LENGTH });

        let header_error = |header: &str| {
            Jws::parse(&jws(header, "{}"))
                .unwrap()
                .header()
                .and_then(|header| header.alg().map(str::to_owned))
        };
        assert_eq!(header_error(r#"{"alg":"ES256","crit":["exp"]}"#), Err(JwsError::Crit));
        assert_eq!(header_error(r#"{"alg":"ES256","b64":false}"#), Err(JwsError::B64));
        assert_eq!(header_error(r#"{"alg":1}"#), Err(JwsError::AlgorithmNotAString));
        assert_eq!(header_error("{}"), Err(JwsError::NoAlgorithm));
        let error = JsonError::NotAnObject;
        assert_eq!(header_error("[]"), Err(JwsError::Json { segment: "header", error }));
        let text = jws("{}", "1");
        let claims = Jws::parse(&text).unwrap();
        assert_eq!(claims.claims().err(), Some(JwsError::Json { segment: "payload", error }));
    }

    #[test]
    fn an_algorithm_must_be_known_accepted_and_supported() {
        struct Policy;
        impl AlgorithmPolicy for Policy {
            fn accepts(&self, algorithm: Algorithm) -> bool {
                matches!(algorithm, Algorithm::Es256 | Algorithm::Es512)
            }

            fn supports(&self, algorithm: Algorithm) -> bool {
                algorithm == Algorithm::Es256
            }
        }
        let algorithm = |header: &str| {
            let text = jws(header, "{}");
            let jws = Jws::parse(&text).unwrap();
            jws.header().unwrap().algorithm(&Policy)
        };
        assert_eq!(algorithm(r#"{"alg":"ES256"}"#), Ok(Algorithm::Es256));
        assert_eq!(algorithm("{}"), Err(AlgorithmError::Malformed(JwsError::NoAlgorithm)));
        for alg in ["none", "HS256", "es256", "RS256"] {
            let seen = algorithm(&format!(r#"{{"alg":"{alg}"}}"#));
            assert_eq!(seen, Err(AlgorithmError::NotAccepted { alg: alg.to_owned() }));
        }
        let seen = algorithm(r#"{"alg":"ES512"}"#);
        assert_eq!(seen, Err(AlgorithmError::NoSignatureVerifier { algorithm: Algorithm::Es512 }));
    }
}
