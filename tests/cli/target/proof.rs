//! The proofs that a target accepts: a verifier written for these tests, each check of which can be left out.

use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};
use possession::ath;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::fault::{Check, Excess, Fault};
use super::signature;
use super::url::is_same_url;

/// What a proof should be for.
pub struct Expected<'a> {
    pub method: &'a str,
    pub url: &'a str,
    pub access_token: Option<&'a str>,
    /// The thumbprint that the token is bound to.
    pub jkt: Option<&'a str>,
    /// The nonce of the server in this role; `None` if it uses none.
    pub nonce: Option<&'a str>,
    /// The nonce of the other role.
    pub foreign_nonce: &'a str,
}

/// A proof that was accepted.
pub struct Accepted {
    /// The thumbprint of its key, if there is one.
    pub jkt: Option<String>,
    pub jti: Option<String>,
    pub text: String,
}

/// Why a proof is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    Proof,
    Nonce,
}

type Check2<T> = Result<T, Refused>;

fn refuse_unless(holds: bool) -> Check2<()> {
    if holds { Ok(()) } else { Err(Refused::Proof) }
}

/// Verifies the proof of a request.
pub fn verify(fault: Fault, fields: &[String], expected: &Expected<'_>) -> Check2<Accepted> {
    let nothing = |text: &str| Accepted { jkt: None, jti: None, text: text.to_owned() };
    let Some(text) = fields.first() else {
        return match fault.makes(Check::Proof) {
            true => Err(Refused::Proof),
            false => Ok(nothing("")),
        };
    };
    refuse_unless(fields.len() == 1 || !fault.makes(Check::OneField))?;
    let Some(jws) = Jws::read(fault, text)? else {
        return Ok(nothing(text));
    };
    let jkt = header(fault, &jws)?;
    claims(fault, &jws, expected)?;
    let is_bound = expected.jkt.is_none_or(|bound| jkt.as_deref().is_none_or(|jkt| jkt == bound));
    refuse_unless(is_bound || !fault.makes(Check::Binding))?;
    let jti = jws.claims.get("jti").and_then(Value::as_str).map(str::to_owned);
    Ok(Accepted { jkt, jti, text: text.clone() })
}

/// A compact JWS.
pub struct Jws {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    /// The text of the payload.
    payload: String,
    pub signed: String,
    pub signature: Vec<u8>,
}

impl Jws {
    /// Returns `None` for a text that is not one, if such texts are not refused.
    fn read(fault: Fault, text: &str) -> Check2<Option<Self>> {
        let text = match text.split_once(',') {
            Some((first, _)) if !fault.makes(Check::OneProof) => first,
            _ => text,
        };
        let mut segments: Vec<_> = text.split('.').collect();
        if !fault.makes(Check::ThreeSegments) {
            segments.truncate(3);
        }
        let decode = |segment: &str| {
            let segment = if fault.makes(Check::NoPadding) { segment } else { segment.trim_end_matches('=') };
            Base64UrlUnpadded::decode_vec(segment).ok()
        };
        let read = || {
            let [header, payload, signature] = *segments.as_slice() else { return None };
            let payload_text = String::from_utf8(decode(payload)?).ok()?;
            Some(Self {
                header: object(fault, &decode(header)?)?,
                claims: object(fault, payload_text.as_bytes())?,
                payload: payload_text,
                signed: format!("{header}.{payload}"),
                signature: decode(signature)?,
            })
        };
        match read() {
            None if fault.makes(Check::Readable) => Err(Refused::Proof),
            jws => Ok(jws),
        }
    }
}

/// Reads a JSON object.
fn object(fault: Fault, text: &[u8]) -> Option<Map<String, Value>> {
    match fault.makes(Check::UniqueNames) {
        true => serde_json::from_slice::<Unique>(text).ok().map(|unique| unique.0),
        // The last of two members is kept.
        false => serde_json::from_slice(text).ok(),
    }
}

/// An object with no name twice.
struct Unique(Map<String, Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Unique;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name occurs twice"));
                    }
                }
                Ok(Unique(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Checks the header and the signature, and returns the thumbprint of the key.
fn header(fault: Fault, jws: &Jws) -> Check2<Option<String>> {
    let typ = jws.header.get("typ").and_then(Value::as_str);
    refuse_unless(typ == Some("dpop+jwt") || !fault.makes(Check::Typ))?;
    refuse_unless(!jws.header.contains_key("crit") || !fault.makes(Check::Crit))?;
    let mut names = jws.header.keys().map(String::as_str);
    let is_known = names.all(|name| ["typ", "alg", "jwk", "crit"].contains(&name));
    refuse_unless(is_known || !fault.refuses(Excess::UnknownHeader))?;
    signature::check(fault, jws)
}

fn claims(fault: Fault, jws: &Jws, expected: &Expected<'_>) -> Check2<()> {
    let claims = &jws.claims;
    let known = ["jti", "htm", "htu", "iat", "ath", "nonce", "nbf", "exp"];
    let is_known = claims.keys().all(|name| known.contains(&name.as_str()));
    refuse_unless(is_known || !fault.refuses(Excess::UnknownClaim))?;
    refuse_unless(!jws.payload.contains('\\') || !fault.refuses(Excess::Escapes))?;

    let jti = claims.get("jti").and_then(Value::as_str).unwrap_or_default();
    refuse_unless(!jti.is_empty() || !fault.makes(Check::Jti))?;
    refuse_unless(jti.len() <= 100 || !fault.refuses(Excess::LongJti))?;

    let is_complete = ["htm", "htu", "iat"].iter().all(|name| claims.contains_key(*name));
    refuse_unless(is_complete || !fault.makes(Check::Required))?;
    if let Some(htm) = claims.get("htm") {
        let htm = htm.as_str().unwrap_or_default();
        let is_same = match fault.makes(Check::HtmCase) {
            true => htm == expected.method,
            false => htm.eq_ignore_ascii_case(expected.method),
        };
        refuse_unless(is_same || !fault.makes(Check::Htm))?;
    }
    if let Some(htu) = claims.get("htu") {
        let htu = match htu {
            Value::Array(values) if !fault.makes(Check::Types) => values.first().unwrap_or(htu),
            htu => htu,
        };
        refuse_unless(htu.as_str().is_some_and(|htu| is_same_url(fault, htu, expected.url)))?;
    }
    times(fault, claims)?;
    token(fault, claims, expected)?;
    nonce(fault, claims, expected)
}

fn times(fault: Fault, claims: &Map<String, Value>) -> Check2<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    if let Some(iat) = claims.get("iat") {
        let seconds = match iat {
            Value::String(text) if !fault.makes(Check::Types) => text.parse().ok(),
            iat => iat.as_f64(),
        };
        let age = now - seconds.ok_or(Refused::Proof)?;
        refuse_unless(age <= 60.0 || !fault.makes(Check::NotOld))?;
        refuse_unless(age >= -10.0 || !fault.makes(Check::NotFuture))?;
        // A correct proof is a second old, and may take some time to arrive.
        refuse_unless(age <= 9.0 || !fault.refuses(Excess::TenSecondsOld))?;
        refuse_unless(age >= -1.0 || !fault.refuses(Excess::EightSecondsAhead))?;
        refuse_unless(!iat.is_f64() || !fault.refuses(Excess::Fraction))?;
    }
    let time = |name: &str| claims.get(name).and_then(Value::as_f64);
    refuse_unless(time("exp").is_none_or(|exp| now < exp) || !fault.makes(Check::Exp))?;
    refuse_unless(time("nbf").is_none_or(|nbf| nbf <= now + 10.0) || !fault.makes(Check::Nbf))?;
    let has_both = claims.contains_key("nbf") && claims.contains_key("exp");
    refuse_unless(!has_both || !fault.refuses(Excess::NbfAndExp))
}

fn token(fault: Fault, claims: &Map<String, Value>, expected: &Expected<'_>) -> Check2<()> {
    let Some(token) = expected.access_token else { return Ok(()) };
    let Some(actual) = claims.get("ath") else { return refuse_unless(!fault.makes(Check::AthRequired)) };
    refuse_unless(actual.as_str() == Some(ath(token).as_str()) || !fault.makes(Check::Ath))
}

fn nonce(fault: Fault, claims: &Map<String, Value>, expected: &Expected<'_>) -> Check2<()> {
    let Some(right) = expected.nonce else { return Ok(()) };
    let is_right = match claims.get("nonce") {
        None => !fault.makes(Check::NonceRequired),
        Some(Value::String(nonce)) => {
            let is_foreign = nonce == expected.foreign_nonce && !fault.makes(Check::NonceRole);
            nonce == right || is_foreign || !fault.makes(Check::NonceKnown)
        }
        Some(_) => !fault.makes(Check::NonceType),
    };
    if is_right { Ok(()) } else { Err(Refused::Nonce) }
}

/// Decodes standard base64, as `Authorization: Basic` has it.
pub fn from_base64(text: &str) -> Option<String> {
    String::from_utf8(Base64Unpadded::decode_vec(text.trim_end_matches('=')).ok()?).ok()
}
