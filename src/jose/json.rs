//! Strict JSON: a text that two parsers could read differently is refused.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::{self, Write};
use std::ops::{Deref, DerefMut};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use zeroize::{Zeroize, Zeroizing};

use crate::jose::defined_names::is_defined;

/// A value that borrows from the text it was parsed from.
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(JsonString<'a>),
    Array(Vec<Self>),
    Object(Object<'a>),
}

/// The members of an object in the order of the text. Their names are unique.
#[derive(Default)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

/// A string. It is borrowed from the text, unless it contains escapes: then it is an unescaped copy that is
/// wiped when dropped.
pub(crate) struct JsonString<'a>(Cow<'a, str>);

/// The members of an object that may contain secrets. Their strings are wiped when dropped.
pub(crate) type Members = Wiping<Map<String, Value>>;

/// Why a text is not a JSON object that this crate accepts. It names places and never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonError {
    /// The text is not well-formed JSON (RFC 8259), or its values are nested more than 127 levels deep.
    Malformed {
        /// The line of the text, from 1.
        line: usize,
        /// The column of the line, from 1.
        column: usize,
    },
    /// A member name occurs twice in one object, in whatever spelling, or it is a name that an RFC
    /// defines and is written with escapes.
    MemberName {
        /// The line of the text, from 1.
        line: usize,
        /// The column of the line, from 1.
        column: usize,
    },
    /// The value is not an object.
    NotAnObject,
    /// The text is not UTF-8.
    NotUtf8,
}

/// Parses one JSON object in UTF-8, without duplicate member names at any depth, without trailing data and
/// with at most 127 levels.
pub(crate) fn parse_members(text: &[u8]) -> Result<Members, JsonError> {
    parse_object(text).map(|object| Wiping(object.into_map()))
}

/// Returns the text of an object, without white space. It is wiped when dropped, and so are the members.
pub(crate) fn to_text(mut members: Members) -> Zeroizing<String> {
    let value = Wiping(Value::Object(std::mem::take(&mut *members)));
    let mut length = Length(0);
    // Writing to a `Length` or to a `String` does not fail.
    let _ = write!(length, "{}", *value);
    // The buffer never grows, because growing would leave a copy of the secrets behind.
    let mut text = Zeroizing::new(String::with_capacity(length.0));
    let _ = write!(text, "{}", *value);
    text
}

/// Counts the bytes of a text.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

/// Parses an object like [`parse_members`], and borrows from the text.
pub(crate) fn parse_object(text: &[u8]) -> Result<Object<'_>, JsonError> {
    parse(text, false)
}

/// Parses the header or the claims of a JWS. A name that an RFC defines is refused where it is written
/// with escapes (`\u0061lg`): no encoder does so, and its only purpose is that two parsers read it
/// differently. Other names may have escapes, as some encoders write them: `https:\/\/claims.example\/t`
/// (PHP), `R\u0026D` (Go), `a\u002Bb` (.NET).
pub(crate) fn parse_jose_object(text: &[u8]) -> Result<Object<'_>, JsonError> {
    parse(text, true)
}

/// Parses a value of any type, as strictly as [`parse_object`].
pub(crate) fn parse_value(text: &[u8]) -> Result<Json<'_>, JsonError> {
    parse_any(text, false)
}

fn parse(text: &[u8], is_jose: bool) -> Result<Object<'_>, JsonError> {
    match parse_any(text, is_jose)? {
        Json::Object(members) => Ok(members),
        _ => Err(JsonError::NotAnObject),
    }
}

fn parse_any(text: &[u8], is_jose: bool) -> Result<Json<'_>, JsonError> {
    let text = std::str::from_utf8(text).map_err(|_| JsonError::NotUtf8)?;
    let mut parser = serde_json::Deserializer::from_str(text);
    let out_of_range = Cell::new(false);
    let strict = Strict { text, is_jose, out_of_range: &out_of_range };
    let value = strict.deserialize(&mut parser);
    match value.and_then(|value| parser.end().map(|()| value)) {
        Ok(value) => Ok(value),
        // The parser's message may quote the text, so only its category and place are used.
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            Err(match error.is_data() && !out_of_range.get() {
                true => JsonError::MemberName { line, column },
                false => JsonError::Malformed { line, column },
            })
        }
    }
}

/// Compares two names. Most differ in the length or in the first byte, for which no function is called.
fn is_same(name: &str, other: &str) -> bool {
    name.len() == other.len() && name.bytes().zip(other.bytes()).all(|(byte, other)| byte == other)
}

impl<'a> Object<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.iter().find(|(known, _)| is_same(known, name)).map(|(_, value)| value)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// Returns the value of a member that is a string.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Json::as_str)
    }

    /// Removes a member and returns its value.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json<'a>> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(place).1)
    }

    /// Keeps the members for which `wanted` returns true.
    pub(crate) fn retain(&mut self, mut wanted: impl FnMut(&str, &Json<'a>) -> bool) {
        self.0.retain(|(name, value)| wanted(name, value));
    }

    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0.into_iter().map(|(name, value)| (name.into_owned(), value.into_value())).collect()
    }

    fn has_duplicates(&self) -> bool {
        // Comparing each pair is faster than sorting for few names, and slower for many.
        if self.0.len() <= 16 {
            let mut rest = self.0.as_slice();
            while let Some(((name, _), others)) = rest.split_first() {
                if others.iter().any(|(other, _)| is_same(other, name)) {
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

    /// Returns whether the value is an array that contains the string.
    pub(crate) fn contains(&self, wanted: &str) -> bool {
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

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { line, column } => {
                write!(f, "it is not well-formed JSON (line {line}, column {column})")
            }
            Self::MemberName { line, column } => {
                f.write_str("a member name occurs twice, or is defined by an RFC and has escapes")?;
                write!(f, " (line {line}, column {column})")
            }
            Self::NotAnObject => f.write_str("it is not a JSON object"),
            Self::NotUtf8 => f.write_str("it is not UTF-8"),
        }
    }
}

impl std::error::Error for JsonError {}

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

/// Builds a [`Json`] and refuses duplicate member names.
#[derive(Clone, Copy)]
struct Strict<'a> {
    text: &'a str,
    /// Whether the text is the header or the payload of a JWS: [`parse_jose_object`].
    is_jose: bool,
    /// Is set if a number is too large for an `f64`.
    out_of_range: &'a Cell<bool>,
}

/// The name of the only member of the map as which `serde_json` passes a number that is no integer of 64
/// bits, if its feature `arbitrary_precision` is on. Any crate of a program can switch that on for all of
/// them.
const NUMBER: &str = "$serde_json::private::Number";

impl Strict<'_> {
    /// Returns whether a borrowed member name is that of `serde_json`'s map and not from the text, where it
    /// is an ordinary name.
    fn is_number(&self, name: &str) -> bool {
        name == NUMBER && !self.text.as_bytes().as_ptr_range().contains(&name.as_ptr())
    }

    /// Reads a number as `serde_json` does without the feature `arbitrary_precision`.
    fn number<'de, E: serde::de::Error>(&self, digits: &str) -> Result<Json<'de>, E> {
        let number = digits.parse().ok().and_then(Number::from_f64);
        number.map(Json::Number).ok_or_else(|| {
            self.out_of_range.set(true);
            E::custom("number out of range")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
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
        // The parser supplies finite numbers only.
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    /// Takes a string without escapes.
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(JsonString(Cow::Borrowed(value))))
    }

    /// Takes a string that the parser had to copy, because it contains escapes.
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
            if object.0.is_empty()
                && let Cow::Borrowed(name) = name
                && self.is_number(name)
            {
                return self.number(&members.next_value::<String>()?);
            }
            if object.0.is_empty() && self.is_jose {
                // Headers, keys and claims rarely have more members.
                object.0.reserve(8);
            }
            object.0.push((name, members.next_value_seed(self)?));
        }
        match object.has_duplicates() {
            true => Err(A::Error::custom("duplicate member")),
            false => Ok(Json::Object(object)),
        }
    }
}

/// Reads a member name.
struct Name<'a>(Strict<'a>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name<'_> {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    /// Takes a name that the parser had to copy, because it contains escapes.
    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Cow<'de, str>, E> {
        match self.0.is_jose && is_defined(name) {
            true => Err(E::custom("escaped name")),
            false => Ok(Cow::Owned(name.to_owned())),
        }
    }
}

/// A JSON value whose strings are wiped when it is dropped.
#[derive(Clone, Default)]
pub(crate) struct Wiping<T: Wipe>(T);

/// A value whose strings can be wiped.
pub(crate) trait Wipe: Default {
    fn wipe(&mut self);
}

impl<T: Wipe> Wiping<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

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
    fn an_error_names_the_place() {
        let error = |text: &[u8]| parse_jose_object(text).err().unwrap();
        assert_eq!(error(b"{\"a\":1,\n\"a\":1}"), JsonError::MemberName { line: 2, column: 6 });
        assert_eq!(error(b"{\"a\":}"), JsonError::Malformed { line: 1, column: 6 });
        assert_eq!((error(b"[]"), error(b"\xff")), (JsonError::NotAnObject, JsonError::NotUtf8));
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
    fn parsing_agrees_with_serde_json() {
        let text = r#"{"a":null,"b":[true,-1,1.5,"x\n"],"c":{"d":18446744073709551615,"\u00e9":""}}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Object(parse_members(text.as_bytes()).unwrap().into_inner()), expected);
    }

    /// Run with and without the features `arbitrary_precision` and `preserve_order` of `serde_json`.
    #[test]
    fn numbers_are_read_alike_with_every_feature_of_serde_json() {
        let read = |number: &str| {
            let text = format!("{{\"n\":[{number}]}}");
            let n = parse_members(text.as_bytes()).ok()?.into_inner().remove("n")?;
            n.get(0)?.as_number().map(|number| (number.as_u64(), number.as_i64(), number.as_f64()))
        };
        // RFC 8259 §6 leaves range and precision to the implementation: integers of 64 bits, everything
        // else binary64.
        let cases = [
            ("1.5", (None, None, Some(1.5))),
            ("1750000000.25", (None, None, Some(1_750_000_000.25))),
            ("1.0", (None, None, Some(1.0))),
            ("1e3", (None, None, Some(1000.0))),
            ("-2E-2", (None, None, Some(-0.02))),
            ("18446744073709551615", (Some(u64::MAX), None, Some(18_446_744_073_709_551_615.0))),
            ("18446744073709551616", (None, None, Some(18_446_744_073_709_551_616.0))),
            ("-9223372036854775808", (None, Some(i64::MIN), Some(-9_223_372_036_854_775_808.0))),
            ("-9223372036854775809", (None, None, Some(-9_223_372_036_854_775_808.0))),
            ("1e-400", (None, None, Some(0.0))),
            ("-0", (None, None, Some(-0.0))),
        ];
        for (number, expected) in cases {
            assert_eq!(read(number), Some(expected), "{number}");
        }
        for (text, column) in [("{\"a\":1e400}", 10), ("{\"a\":-1e400}", 11)] {
            let error = parse_members(text.as_bytes()).err().unwrap();
            assert_eq!(error, JsonError::Malformed { line: 1, column }, "{text}");
        }
    }

    /// The name with which `serde_json` marks numbers internally is an ordinary one in a text.
    #[test]
    fn no_object_is_taken_for_a_number() {
        for text in [
            r#"{"n":{"$serde_json::private::Number":"5"}}"#,
            r#"{"n":{"$serde_json::private::Number":5,"b":1.5}}"#,
            r#"{"n":{"\u0024serde_json::private::Number":"5"}}"#,
        ] {
            let members = parse_members(text.as_bytes()).unwrap();
            let n = members.get("n").and_then(Value::as_object).unwrap();
            assert!(n.contains_key("$serde_json::private::Number"), "{text}");
        }
        let twice = r#"{"$serde_json::private::Number":"5","$serde_json::private::Number":"5"}"#;
        assert!(matches!(parse_members(twice.as_bytes()), Err(JsonError::MemberName { .. })));
    }

    /// RFC 8259 §7 allows every escape in a string, and a member name is one.
    #[test]
    fn names_with_escapes_are_read_unless_an_rfc_defines_them() {
        let ordinary = [
            (r"https:\/\/claims.example\/t", "https://claims.example/t"),
            (r"R\u0026D", "R&D"),
            (r"a\u002Bb", "a+b"),
            (r"a\u0020b", "a b"),
            (r"\u00e9", "\u{e9}"),
            (r"\ud83d\ude00", "\u{1f600}"),
            (r#"c\\d\"e"#, r#"c\d"e"#),
            (r"\t\b\f\n\r\u0000", "\t\u{8}\u{c}\n\r\0"),
            (r"\u0066oo", "foo"),
            (r"\u0041LG", "ALG"),
        ];
        for (written, name) in ordinary {
            for text in [
                format!(r#"{{"{written}":"v"}}"#),
                format!(r#"{{"x":[{{"{written}":{{"{written}":"v"}}}}]}}"#),
            ] {
                let members = parse_jose_object(text.as_bytes()).unwrap().into_map();
                let expected: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(Value::Object(members), expected, "{text}");
                assert!(expected.get(name).is_some() || expected.get("x").is_some(), "{text}");
            }
        }
        for written in [
            r"\u0061lg",
            r"al\u0067",
            r"\u006ati",
            r"ht\u0075",
            r"k\u0069d",
            r"\u0063nf",
            r"jk\u0074",
            r"\u0064",
            r"x5t\u0023S256",
            r"client\u005fid",
            r"\u0061\u0075\u0064",
        ] {
            for text in [
                format!(r#"{{"{written}":1}}"#),
                format!(r#"{{"a":{{"{written}":1}}}}"#),
                format!(r#"{{"a":[[{{"b":0,"{written}":1}}]]}}"#),
            ] {
                let error = parse_jose_object(text.as_bytes()).err();
                assert!(matches!(error, Some(JsonError::MemberName { .. })), "{text}");
                // A document that is not part of a JWS may have them.
                assert!(parse_members(text.as_bytes()).is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn two_spellings_of_one_name_in_an_object_are_refused() {
        for (one, other) in [
            ("a/b", r"a\/b"),
            (r"a\/b", r"a\u002fb"),
            (r"a\u002Fb", r"a\u002fb"),
            ("R&D", r"R\u0026D"),
            ("\u{e9}", r"\u00e9"),
            ("foo", r"f\u006fo"),
            (r"a\/b", r"a\/b"),
        ] {
            for text in [
                format!(r#"{{"{one}":1,"{other}":1}}"#),
                format!(r#"{{"x":[{{"{other}":1,"y":0,"{one}":2}}]}}"#),
            ] {
                for parse in [parse_object, parse_jose_object] {
                    let error = parse(text.as_bytes()).err();
                    assert!(matches!(error, Some(JsonError::MemberName { .. })), "{text}");
                }
            }
        }
        // In different objects they are different members.
        assert!(parse_jose_object(br#"{"x":{"a\/b":1},"y":{"a/b":1}}"#).is_ok());
    }

    #[test]
    fn a_text_is_written_into_a_buffer_of_its_length() {
        for text in ["{}", r#"{"a":"\"\\\n\u0000","b":[null,true,-1,1.5,{"c":""}]}"#] {
            let written = to_text(parse_members(text.as_bytes()).unwrap());
            assert_eq!((written.as_str(), written.capacity()), (text, text.len()));
        }
    }

    #[test]
    fn a_text_that_is_not_one_object_is_refused() {
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
