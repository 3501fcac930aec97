//! Reads the claims of a JWT, whichever JSON type they were parsed into.

use serde_json::{Map, Number, Value};

use crate::jose::json::{Json, Object};

/// A JSON object of claims: this crate's own [`Object`], or a map of `serde_json`.
pub(crate) trait Claims {
    /// Returns a claim by its name.
    fn claim(&self, name: &str) -> Option<Claim<'_>>;
}

/// The value of a claim.
pub(crate) enum Claim<'a> {
    Text(&'a str),
    Number(&'a Number),
    Other,
}

impl Claims for Map<String, Value> {
    fn claim(&self, name: &str) -> Option<Claim<'_>> {
        self.get(name).map(|value| match value {
            Value::String(text) => Claim::Text(text),
            Value::Number(number) => Claim::Number(number),
            _ => Claim::Other,
        })
    }
}

impl Claims for Object<'_> {
    fn claim(&self, name: &str) -> Option<Claim<'_>> {
        self.get(name).map(|value| match value {
            Json::String(text) => Claim::Text(text),
            Json::Number(number) => Claim::Number(number),
            _ => Claim::Other,
        })
    }
}

/// The last second of the year 9999. A larger number is not a time in seconds.
pub(crate) const MAX_TIME: u64 = 253_402_300_799;

/// Returns a claim that is a string and is not empty.
pub(crate) fn string_claim<'a>(claims: &'a impl Claims, claim: &str) -> Option<&'a str> {
    match claims.claim(claim) {
        Some(Claim::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// A NumericDate (RFC 7519 §2): seconds since 1970, possibly with a fraction.
#[derive(Clone, Copy)]
pub(crate) struct NumericDate {
    whole: u64,
    fraction: bool,
}

impl NumericDate {
    /// Reads a claim; `None` if it is absent, an error if it is not a date.
    pub(crate) fn from_claim(claims: &impl Claims, claim: &str) -> Result<Option<Self>, ()> {
        let number = match claims.claim(claim) {
            None => return Ok(None),
            Some(Claim::Number(number)) => number,
            Some(_) => return Err(()),
        };
        let date = match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => Self { whole, fraction: false },
            // A cast from a float saturates. A number that is too large is refused below.
            (None, Some(float)) if float >= 0.0 => {
                Self { whole: float as u64, fraction: float.fract() != 0.0 }
            }
            _ => return Err(()),
        };
        if date.whole > MAX_TIME { Err(()) } else { Ok(Some(date)) }
    }

    /// The last whole second that is not later.
    pub(crate) fn floor(self) -> u64 {
        self.whole
    }

    /// The first whole second that is not earlier.
    pub(crate) fn ceiling(self) -> u64 {
        self.whole.saturating_add(u64::from(self.fraction))
    }
}
