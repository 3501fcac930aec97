//! Strict JSON: what two parsers could read differently is refused.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use zeroize::Zeroize;

/// A value that borrows from the text it was read from.
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(JsonString<'a>),
    Array(Vec<Self>),
    Object(Object<'a>),
}

/// The members of an object, no two of one name, in the order of the text.
#[derive(Default)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

/// A string: as it stands in the text, or with its escapes resolved, and then wiped when dropped.
pub(crate) struct JsonString<'a>(Cow<'a, str>);

/// The members of an object that may hold secrets: their strings are wiped when dropped.
pub(crate) type Members = Wiping<Map<String, Value>>;

/// Parses one JSON object of UTF-8 text: no duplicate member at any depth, no trailing data, at most 127 levels.
pub(crate) fn parse_members(text: &[u8]) -> Result<Members, String> {
    parse_object(text).map(|object| Wiping(object.into_map()))
}

/// The same, borrowing from the text.
pub(crate) fn parse_object(text: &[u8]) -> Result<Object<'_>, String> {
    parse(text, Strict { plain_names: false })
}

/// The same for the header and the claims of a JWS, where a member name written with escapes it does not need
/// (`\u0061lg`) is refused too: nobody writes it but to be read in two ways.
pub(crate) fn parse_jose_object(text: &[u8]) -> Result<Object<'_>, String> {
    parse(text, Strict { plain_names: true })
}

fn parse(text: &[u8], strict: Strict) -> Result<Object<'_>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = strict.deserialize(&mut parser);
    match value.and_then(|value| parser.end().map(|()| value)) {
        Ok(Json::Object(members)) => Ok(members),
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

impl<'a> Object<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A member that is a string.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Json::as_str)
    }

    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0.into_iter().map(|(name, value)| (name.into_owned(), value.into_value())).collect()
    }

    fn has_duplicates(&self) -> bool {
        // Two names are compared sooner than a list is sorted, but not every name of many with every other.
        if self.0.len() <= 8 {
            let mut rest = self.0.as_slice();
            while let Some(((name, _), others)) = rest.split_first() {
                if others.iter().any(|(other, _)| other == name) {
                    return true;
                }
                rest = others;
            }
            return false;
        }
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair.first() == pair.last())
    }
}

impl Json<'_> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is an array that has that string among its items.
    pub(crate) fn has(&self, wanted: &str) -> bool {
        match self {
            Self::Array(items) => items.iter().any(|item| item.as_str() == Some(wanted)),
            _ => false,
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(number) => Value::Number(number),
            Self::String(mut text) => Value::String(std::mem::take(&mut text.0).into_owned()),
            Self::Array(items) => Value::Array(items.into_iter().map(Json::into_value).collect()),
            Self::Object(members) => Value::Object(members.into_map()),
        }
    }
}

impl Deref for JsonString<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for JsonString<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.0 {
            text.zeroize();
        }
    }
}

#[derive(Clone, Copy)]
struct Strict {
    plain_names: bool,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        // The parser gives no other than finite ones.
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    /// Text that stands in the input as it is.
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(JsonString(Cow::Borrowed(value))))
    }

    /// Text that the parser had to build, because an escape was in it.
    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::String(JsonString(Cow::Owned(value.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let mut object = Object::default();
        while let Some(name) = members.next_key_seed(Name(self))? {
            object.0.push((name, members.next_value_seed(self)?));
        }
        match object.has_duplicates() {
            true => Err(A::Error::custom("duplicate member")),
            false => Ok(Json::Object(object)),
        }
    }
}

struct Name(Strict);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Cow<'de, str>, E> {
        let needless = name.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        match self.0.plain_names && needless {
            true => Err(E::custom("needless escape")),
            false => Ok(Cow::Owned(name.to_owned())),
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
            assert!(parse_members(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse_members(br#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#).is_ok());
    }

    #[test]
    fn duplicates_are_found_among_many() {
        let names = |names: Vec<String>| {
            let members: Vec<_> = names.iter().map(|name| format!("\"{name}\":1")).collect();
            format!("{{{}}}", members.join(","))
        };
        for count in [1, 2, 7, 8, 9, 10, 100] {
            let all: Vec<_> = (0..count).map(|n| format!("m{n}")).collect();
            assert!(parse_members(names(all.clone()).as_bytes()).is_ok());
            for twice in [0, count / 2, count - 1] {
                let again = [all.clone(), vec![format!("m{twice}")]].concat();
                assert!(parse_members(names(again).as_bytes()).is_err(), "{count} {twice}");
            }
        }
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let text = r#"{"a":null,"b":[true,-1,1.5,"x\n"],"c":{"d":18446744073709551615,"\u00e9":""}}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Object(parse_members(text.as_bytes()).unwrap().into_inner()), expected);
    }

    #[test]
    fn only_needless_escapes_in_names_are_refused() {
        assert!(parse_members(br#"{"\u0061lg":"x"}"#).is_ok());
        assert!(parse_jose_object(br#"{"\u0061lg":"x"}"#).is_err());
        assert!(parse_jose_object(br#"{"a\u0020b":1,"\u00e9":2,"c\\d":3,"v":"\u0061"}"#).is_ok());
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
            assert!(parse_members(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
        assert!(parse_members(b" {\"a\" : [null, true, -1, 1.5, \"x\"]}\r\n").is_ok());
    }
}
