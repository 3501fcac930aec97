//! Strict JSON: what two parsers could read differently is refused.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use zeroize::Zeroize;

/// The members of an object that may hold secrets: their strings are wiped when dropped.
pub(crate) type Members = Wiping<Map<String, Value>>;

/// Parses one JSON object of UTF-8 text: no duplicate member at any depth, no trailing data, at most 127 levels.
pub(crate) fn object(text: &[u8]) -> Result<Members, String> {
    parse(text, Strict { plain_names: false })
}

/// The same for the header and the claims of a JWS, where a member name written with escapes it does not need
/// (`\u0061lg`) is refused too: nobody writes it but to be read in two ways.
pub(crate) fn jose_object(text: &[u8]) -> Result<Map<String, Value>, String> {
    parse(text, Strict { plain_names: true }).map(Wiping::into_inner)
}

fn parse(text: &[u8], strict: Strict) -> Result<Members, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = strict.deserialize(&mut parser).map(Wiping);
    match value.and_then(|value| parser.end().map(|()| value.into_inner())) {
        Ok(Value::Object(members)) => Ok(Wiping(members)),
        Ok(_) => Err("it is not a JSON object".to_owned()),
        // The parser's own words can quote the text; its category and place cannot.
        Err(error) if error.is_data() => Err(format!(
            "a member stands twice or is written with needless escapes (column {})",
            error.column()
        )),
        Err(error) => {
            Err(format!("it is not well-formed JSON (line {}, column {})", error.line(), error.column()))
        }
    }
}

#[derive(Clone, Copy)]
struct Strict {
    plain_names: bool,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Wiping(Vec::new());
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Value::Array(array.into_inner()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Wiping(Map::new());
        while let Some(name) = members.next_key_seed(Name(self))? {
            let value = members.next_value_seed(self)?;
            if let Some(first) = object.insert(name, value) {
                drop(Wiping(first));
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(Value::Object(object.into_inner()))
    }
}

struct Name(Strict);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    /// Text that stands in the input as it is.
    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<String, E> {
        Ok(name.to_owned())
    }

    /// Text that the parser had to build, because an escape was in it.
    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<String, E> {
        let needless = name.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        match self.0.plain_names && needless {
            true => Err(E::custom("needless escape")),
            false => Ok(name.to_owned()),
        }
    }
}

/// JSON whose strings are wiped when dropped.
#[derive(Default)]
pub(crate) struct Wiping<T: Wipe>(T);

pub(crate) trait Wipe: Default {
    fn wipe(&mut self);
}

impl<T: Wipe> Wiping<T> {
    pub(crate) fn into_inner(mut self) -> T {
        std::mem::take(&mut self.0)
    }
}

impl<T: Wipe> Deref for Wiping<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Wipe> DerefMut for Wiping<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Wipe> Drop for Wiping<T> {
    fn drop(&mut self) {
        self.0.wipe();
    }
}

impl Wipe for Value {
    fn wipe(&mut self) {
        match self {
            Value::String(text) => text.zeroize(),
            Value::Array(items) => items.wipe(),
            Value::Object(members) => members.wipe(),
            _ => {}
        }
    }
}

impl Wipe for Vec<Value> {
    fn wipe(&mut self) {
        self.iter_mut().for_each(Wipe::wipe);
    }
}

impl Wipe for Map<String, Value> {
    fn wipe(&mut self) {
        self.values_mut().for_each(Wipe::wipe);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_refused_at_every_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":{"a":1,"a":2}}"#, r#"{"x":[{"a":1,"\u0061":2}]}"#] {
            assert!(object(text.as_bytes()).is_err(), "{text}");
        }
        assert!(object(br#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#).is_ok());
    }

    #[test]
    fn only_needless_escapes_in_names_are_refused() {
        assert!(object(br#"{"\u0061lg":"x"}"#).is_ok());
        assert!(jose_object(br#"{"\u0061lg":"x"}"#).is_err());
        assert!(jose_object(br#"{"a\u0020b":1,"\u00e9":2,"c\\d":3,"v":"\u0061"}"#).is_ok());
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        let cases: [&[u8]; 10] = [
            b"",
            b"[]",
            b"1",
            b"{} {}",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":NaN}",
            b"{/**/}",
            b"{\"a\":1e400}",
            deep.as_bytes(),
        ];
        for text in cases {
            assert!(object(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
        assert!(object(b" {\"a\" : [null, true, -1, 1.5, \"x\"]}\r\n").is_ok());
    }
}
