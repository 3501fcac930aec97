//! Reads the claims of a JWT, whichever JSON type they were parsed into.

use serde_json::{Map, Number, Value};

use crate::jose::json::{Json, Object};

/// A JSON object of claims: this crate's own [`Object`], or a map of `serde_json`.
pub(crate) trait Claims {
    type Value: ClaimValue;

    /// Returns a claim by its name.
    fn claim(&self, name: &str) -> Option<&Self::Value>;
}

/// The value of a claim. Each function returns `None` for a value of another type.
pub(crate) trait ClaimValue: Sized {
    fn text(&self) -> Option<&str>;

    fn number(&self) -> Option<&Number>;

    /// Returns the elements of an array.
    fn elements(&self) -> Option<&[Self]>;

    /// Returns a member of an object by its name.
    fn member(&self, name: &str) -> Option<&Self>;

    fn is_null(&self) -> bool;
}

impl Claims for Map<String, Value> {
    type Value = Value;

    fn claim(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }
}

impl ClaimValue for Value {
    fn text(&self) -> Option<&str> {
        self.as_str()
    }

    fn number(&self) -> Option<&Number> {
        self.as_number()
    }

    fn elements(&self) -> Option<&[Self]> {
        self.as_array().map(Vec::as_slice)
    }

    fn member(&self, name: &str) -> Option<&Self> {
        self.get(name)
    }

    fn is_null(&self) -> bool {
        self.is_null()
    }
}

impl<'a> Claims for Object<'a> {
    type Value = Json<'a>;

    fn claim(&self, name: &str) -> Option<&Json<'a>> {
        self.get(name)
    }
}

impl ClaimValue for Json<'_> {
    fn text(&self) -> Option<&str> {
        self.as_str()
    }

    fn number(&self) -> Option<&Number> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(name),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// The last second of the year 9999. A larger number is not a time in seconds.
pub(crate) const MAX_TIME: u64 = 253_402_300_799;

/// Returns a claim that is a string and is not empty.
pub(crate) fn string_claim<'a>(claims: &'a impl Claims, claim: &str) -> Option<&'a str> {
    nonempty_text(claims.claim(claim)?)
}

/// Returns a string that is not empty.
pub(crate) fn nonempty_text(value: &impl ClaimValue) -> Option<&str> {
    value.text().filter(|text| !text.is_empty())
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
        claims.claim(claim).map(Self::from_value).transpose()
    }

    /// Reads the value of a claim.
    pub(crate) fn from_value(value: &impl ClaimValue) -> Result<Self, ()> {
        let number = value.number().ok_or(())?;
        let date = match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => Self { whole, fraction: false },
            // A cast from a float saturates. A number that is too large is refused below.
            (None, Some(float)) if float >= 0.0 => {
                Self { whole: float as u64, fraction: float.fract() != 0.0 }
            }
            _ => return Err(()),
        };
        if date.whole > MAX_TIME { Err(()) } else { Ok(date) }
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
