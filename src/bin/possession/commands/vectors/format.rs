//! The format of files of test vectors, which `test-vectors/README.md` describes. What it does not provide
//! for is an error: a misspelt member would leave a check out, and its case would pass without testing
//! anything.
//!
//! `test-vectors/schema.json` says the same for other programs.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

pub type Case = Map<String, Value>;

/// The version of the format that is read here, without its third number, which may be any.
pub const VERSION: &str = "1.0";

/// A member of an object.
pub struct Member {
    pub name: &'static str,
    pub required: bool,
    shape: Shape,
}

/// What a value may be.
enum Shape {
    /// A string.
    Text,
    /// A string that is not empty.
    Name,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A whole number from the first number to the second.
    Number(i64, i64),
    Bool,
    True,
    /// Bytes in hexadecimal.
    Hex,
    /// A list of such values, of which there are at least so many.
    List(&'static Shape, usize),
    /// A list of exactly these values.
    Tuple(&'static [Shape]),
    /// An object with these members.
    Object(&'static [Member]),
    /// An object whose members are strings.
    Texts,
    /// An object with any members.
    Jwk,
}

/// What the presence of a member depends on.
enum Rule {
    /// A case has one of the two members.
    Either(&'static str, &'static str),
    /// A case has the member only if `expect` is one of these.
    OnlyWith(&'static str, &'static [&'static str]),
    /// A case has the member if `expect` is one of these.
    NeededWith(&'static str, &'static [&'static str]),
}

/// One kind of cases.
pub struct Kind {
    pub name: &'static str,
    pub members: &'static [Member],
    rules: &'static [Rule],
}

const fn required(name: &'static str, shape: Shape) -> Member {
    Member { name, required: true, shape }
}

const fn optional(name: &'static str, shape: Shape) -> Member {
    Member { name, required: false, shape }
}

/// The members of a case of every kind.
pub const COMMON: &[Member] = &[
    required("id", Shape::Name),
    optional("about", Shape::Text),
    optional("basis", Shape::Text),
    optional("note", Shape::Text),
];

pub const ALGS: &[&str] =
    &["ES256", "ES384", "EdDSA", "Ed25519", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"];

pub const REASONS: &[&str] = &[
    "fields",
    "segments",
    "base64",
    "json",
    "unique",
    "escape",
    "typ",
    "alg",
    "crit",
    "jwk",
    "private",
    "key",
    "key-alg",
    "signature",
    "jti",
    "htm",
    "htu",
    "iat",
    "exp",
    "nbf",
    "nonce",
    "ath",
    "jkt",
];

const VERDICT: Shape = Shape::OneOf(&["accept", "reject", "policy"]);

pub const CONTEXT: &[Member] = &[
    required("method", Shape::Name),
    required("url", Shape::Name),
    required("now", Shape::Number(i64::MIN, i64::MAX)),
    required("max_age_s", Shape::Number(0, i64::MAX)),
    required("future_skew_s", Shape::Number(0, i64::MAX)),
    // An empty list means that no nonce is accepted.
    optional("nonces", Shape::List(&Shape::Text, 0)),
    optional("access_token", Shape::Name),
    // It may be malformed: then it is the key of no proof.
    optional("jkt", Shape::Text),
    optional("algs", Shape::List(&Shape::OneOf(ALGS), 1)),
];

pub const KINDS: &[Kind] = &[
    Kind {
        name: "proof",
        members: &[
            optional("proof", Shape::Text),
            optional("proof_headers", Shape::List(&Shape::Text, 0)),
            required("context", Shape::Object(CONTEXT)),
            required("expect", VERDICT),
            optional("jkt", Shape::Text),
            optional("reason", Shape::OneOf(REASONS)),
            optional("sole", Shape::Bool),
        ],
        rules: &[
            Rule::Either("proof", "proof_headers"),
            Rule::OnlyWith("jkt", &["accept"]),
            Rule::OnlyWith("reason", &["reject"]),
            Rule::OnlyWith("sole", &["reject"]),
        ],
    },
    Kind {
        name: "replay",
        members: &[
            required("context", Shape::Object(CONTEXT)),
            required(
                "steps",
                Shape::List(&Shape::Tuple(&[Shape::Text, Shape::OneOf(&["accept", "reject", "replay"])]), 1),
            ),
        ],
        rules: &[],
    },
    Kind {
        name: "thumbprint",
        members: &[required("jwk", Shape::Jwk), required("jkt", Shape::Name)],
        rules: &[],
    },
    Kind {
        name: "ath",
        members: &[required("access_token", Shape::Name), required("ath", Shape::Name)],
        rules: &[],
    },
    Kind {
        name: "htu",
        members: &[
            required("a", Shape::Text),
            optional("b", Shape::Text),
            required("expect", Shape::OneOf(&["equal", "different", "invalid", "policy"])),
        ],
        rules: &[
            Rule::OnlyWith("b", &["equal", "different", "policy"]),
            Rule::NeededWith("b", &["equal", "different"]),
        ],
    },
    Kind {
        name: "challenge",
        members: &[
            required("headers", Shape::List(&Shape::Text, 0)),
            optional(
                "challenges",
                Shape::List(
                    &Shape::Object(&[
                        required("scheme", Shape::Name),
                        required("params", Shape::Texts),
                        optional("token68", Shape::Name),
                    ]),
                    0,
                ),
            ),
            optional("expect", Shape::OneOf(&["invalid", "policy"])),
        ],
        rules: &[Rule::Either("challenges", "expect")],
    },
    Kind {
        name: "token_response",
        members: &[
            required("status", Shape::Number(100, 999)),
            required("headers", Shape::Texts),
            required("body", Shape::Text),
            required("expect", Shape::OneOf(&["token", "error", "policy"])),
        ],
        rules: &[],
    },
    Kind {
        name: "discovery",
        members: &[
            required("issuer", Shape::Text),
            optional("oauth", Shape::Name),
            optional("openid", Shape::Name),
            optional("expect", Shape::OneOf(&["invalid", "policy"])),
        ],
        rules: &[Rule::Either("oauth", "expect"), Rule::Either("openid", "expect")],
    },
    Kind {
        name: "basic",
        members: &[
            required("client_id", Shape::Text),
            required("client_secret", Shape::Text),
            required("header", Shape::Name),
        ],
        rules: &[],
    },
    Kind {
        name: "jws",
        members: &[required("jwk", Shape::Jwk), required("jws", Shape::Text), required("expect", VERDICT)],
        rules: &[],
    },
    Kind {
        name: "signature",
        members: &[
            required("alg", Shape::OneOf(&["ES256", "ES384", "Ed25519"])),
            required("key", Shape::Hex),
            required("public_key", Shape::Hex),
            required("message", Shape::Hex),
            required("signature", Shape::Hex),
            required("deterministic", Shape::True),
            optional("expect", Shape::OneOf(&["policy"])),
        ],
        rules: &[],
    },
    Kind {
        name: "pkce",
        members: &[
            required("code_verifier", Shape::Text),
            optional("code_challenge", Shape::Name),
            optional("expect", Shape::OneOf(&["invalid", "policy"])),
        ],
        rules: &[Rule::Either("code_challenge", "expect")],
    },
    Kind {
        name: "dpop_jkt",
        members: &[
            required("dpop_jkt", Shape::Text),
            required("jwk", Shape::Jwk),
            required("expect", Shape::OneOf(&["accept", "reject"])),
        ],
        rules: &[],
    },
    Kind {
        name: "authorization_response",
        members: &[
            required("issuer", Shape::Name),
            required("iss_supported", Shape::Bool),
            required("state", Shape::Name),
            required("query", Shape::Text),
            required("expect", Shape::OneOf(&["code", "error", "reject", "policy"])),
            optional("code", Shape::Name),
            optional("error", Shape::Name),
            optional("reason", Shape::OneOf(&["state", "iss", "repeated", "parameters"])),
        ],
        rules: &[
            Rule::OnlyWith("code", &["code"]),
            Rule::NeededWith("code", &["code"]),
            Rule::OnlyWith("error", &["error"]),
            Rule::NeededWith("error", &["error"]),
            Rule::OnlyWith("reason", &["reject"]),
            Rule::NeededWith("reason", &["reject"]),
        ],
    },
];

/// A file whose outermost members are right.
pub struct File {
    pub kind: &'static Kind,
    /// Each case with its name, and what is wrong with its form, if anything is.
    pub cases: Vec<(String, Result<Case, String>)>,
}

/// The members of a file, all required.
pub const FILE: [&str; 4] = ["version", "source", "kind", "cases"];

/// Refuses a file of another version: its members may mean something else.
fn check_version(version: &Value) -> Result<(), String> {
    let third = version.as_str().and_then(|text| text.strip_prefix(VERSION)?.strip_prefix('.'));
    match third.map(str::as_bytes) {
        Some(b"0") => Ok(()),
        Some(text @ [b'1'..=b'9', ..]) if text.iter().all(u8::is_ascii_digit) => Ok(()),
        _ => Err(format!("`version` is {version:.80} (right is \"{VERSION}.0\" or another third number)")),
    }
}

/// Reads a file of test vectors.
pub fn read(text: &[u8]) -> Result<File, String> {
    let Unique(document) = serde_json::from_slice(text).map_err(|error| format!("reading JSON: {error}"))?;
    let members = document.as_object().ok_or("the file is not a JSON object")?;
    let listed: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
    if let Some(name) = members.keys().find(|name| !FILE.contains(&name.as_str())) {
        return Err(format!("`{name}` is not a known member ({})", FILE.join(", ")));
    }
    check_version(members.get("version").ok_or("`version` is missing")?)?;
    Shape::Name.check("source", members.get("source").ok_or("`source` is missing")?)?;
    let name = members.get("kind").and_then(Value::as_str).ok_or("`kind` is missing or not a string")?;
    let kind = KINDS.iter().find(|kind| kind.name == name);
    let kind = kind.ok_or_else(|| format!("`kind` {name:?} is not one of {}", listed.join(", ")))?;
    let cases = members.get("cases").and_then(Value::as_array).ok_or("`cases` is missing or not a list")?;
    if cases.is_empty() {
        return Err("`cases` is empty".to_owned());
    }
    let mut ids = HashMap::new();
    let cases = cases.iter().enumerate().map(|(at, case)| {
        let id = case.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let label = id.map_or_else(|| format!("case {}", at + 1), str::to_owned);
        let checked = match id.and_then(|id| ids.insert(id, at)) {
            Some(first) => Err(format!("`id` is that of case {}, too", first + 1)),
            None => match case.as_object() {
                Some(case) => kind.check(case),
                None => Err(format!("`cases[{at}]` is not an object")),
            },
        };
        (label, checked)
    });
    let cases = cases.collect();
    Ok(File { kind, cases })
}

impl Kind {
    fn check(&self, members: &Case) -> Result<Case, String> {
        check_members("", &[COMMON, self.members], members)?;
        let expect = members.get("expect").and_then(Value::as_str).unwrap_or_default();
        for rule in self.rules {
            match rule {
                Rule::Either(one, other) => {
                    match (members.contains_key(*one), members.contains_key(*other)) {
                        (true, true) => return Err(format!("`{one}` and `{other}` exclude each other")),
                        (false, false) => return Err(format!("one of `{one}` and `{other}` is missing")),
                        _ => {}
                    }
                }
                Rule::OnlyWith(name, values) => {
                    if members.contains_key(*name) && !values.contains(&expect) {
                        return Err(format!(
                            "`{name}` is not used if `expect` is {expect} (but if it is {})",
                            values.join(", ")
                        ));
                    }
                }
                Rule::NeededWith(name, values) => {
                    if !members.contains_key(*name) && values.contains(&expect) {
                        return Err(format!("`{name}` is missing, and `expect` is {expect}"));
                    }
                }
            }
        }
        Ok(members.clone())
    }
}

/// Checks the members of an object, whose own name is `path` with a dot, or empty for a case.
fn check_members(path: &str, known: &[&[Member]], members: &Case) -> Result<(), String> {
    let known = || known.iter().copied().flatten();
    for name in members.keys() {
        if !known().any(|member| member.name == name) {
            let names: Vec<_> = known().map(|member| member.name).collect();
            return Err(format!("`{path}{name}` is not a known member ({})", names.join(", ")));
        }
    }
    for member in known() {
        let name = format!("{path}{}", member.name);
        match members.get(member.name) {
            Some(value) => member.shape.check(&name, value)?,
            None if member.required => return Err(format!("`{name}` is missing")),
            None => {}
        }
    }
    Ok(())
}

impl Shape {
    fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        let is = |wanted: &str| {
            let seen: String = value.to_string().chars().take(80).collect();
            Err(format!("`{name}` is {seen} (right is {wanted})"))
        };
        match self {
            Self::Text => {
                if value.is_string() {
                    Ok(())
                } else {
                    is("a string")
                }
            }
            Self::Name => match value.as_str() {
                Some(text) if !text.is_empty() => Ok(()),
                _ => is("a string that is not empty"),
            },
            Self::OneOf(known) => match value.as_str() {
                Some(text) if known.contains(&text) => Ok(()),
                _ => is(&format!("one of {}", known.join(", "))),
            },
            Self::Number(least, most) => match value.as_i64() {
                Some(number) if (*least..=*most).contains(&number) => Ok(()),
                _ if *most == i64::MAX && *least == 0 => is("a whole number, 0 or more"),
                _ if *most == i64::MAX => is("a whole number"),
                _ => is(&format!("a whole number from {least} to {most}")),
            },
            Self::Bool => {
                if value.is_boolean() {
                    Ok(())
                } else {
                    is("true or false")
                }
            }
            Self::True => {
                if *value == true {
                    Ok(())
                } else {
                    is("true")
                }
            }
            Self::Hex => match value.as_str() {
                Some(text) if text.len().is_multiple_of(2) && text.bytes().all(is_hex_digit) => Ok(()),
                _ => is("bytes in hexadecimal, in lower case"),
            },
            Self::List(shape, least) => match value.as_array() {
                Some(items) if items.len() >= *least => {
                    let mut items = items.iter().enumerate();
                    items.try_for_each(|(at, item)| shape.check(&format!("{name}[{at}]"), item))
                }
                Some(_) => is("a list that is not empty"),
                None => is("a list"),
            },
            Self::Tuple(shapes) => match value.as_array() {
                Some(items) if items.len() == shapes.len() => {
                    let mut items = shapes.iter().zip(items).enumerate();
                    items.try_for_each(|(at, (shape, item))| shape.check(&format!("{name}[{at}]"), item))
                }
                _ => is(&format!("a list of {} values", shapes.len())),
            },
            Self::Object(members) => match value.as_object() {
                Some(object) => check_members(&format!("{name}."), &[members], object),
                None => is("an object"),
            },
            Self::Texts => match value.as_object() {
                Some(object) => object
                    .iter()
                    .try_for_each(|(key, value)| Self::Text.check(&format!("{name}.{key}"), value)),
                None => is("an object"),
            },
            Self::Jwk => {
                if value.is_object() {
                    Ok(())
                } else {
                    is("an object")
                }
            }
        }
    }
}

fn is_hex_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// A JSON value without repeated members, of which `serde_json` would drop all but the last.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
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
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, Unique>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("the member `{name}` occurs twice")));
            }
            object.insert(name, value);
        }
        Ok(object.into())
    }
}
