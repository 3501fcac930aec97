//! Reading claims.

use serde_json::{Map, Value};

/// Beyond this no number is a time in seconds that anybody means: the year 9999.
pub(crate) const MAX_TIME: u64 = 253_402_300_799;

/// A claim that is a string with something in it.
pub(crate) fn text<'a>(claims: &'a Map<String, Value>, claim: &str) -> Option<&'a str> {
    claims.get(claim).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// RFC 7519 §2: seconds since 1970, possibly with a fraction.
#[derive(Clone, Copy)]
pub(crate) struct NumericDate {
    whole: u64,
    fraction: bool,
}

impl NumericDate {
    /// The claim, if it is there.
    pub(crate) fn of(claims: &Map<String, Value>, claim: &str) -> Result<Option<Self>, ()> {
        let Some(Value::Number(number)) = claims.get(claim) else {
            return if claims.contains_key(claim) { Err(()) } else { Ok(None) };
        };
        let date = match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => Self { whole, fraction: false },
            // A cast from a float saturates; what is too large is refused below.
            (None, Some(float)) if float >= 0.0 => {
                Self { whole: float as u64, fraction: float.fract() != 0.0 }
            }
            _ => return Err(()),
        };
        if date.whole > MAX_TIME { Err(()) } else { Ok(Some(date)) }
    }

    pub(crate) fn floor(self) -> u64 {
        self.whole
    }

    pub(crate) fn ceiling(self) -> u64 {
        self.whole.saturating_add(u64::from(self.fraction))
    }
}
