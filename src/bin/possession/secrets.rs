//! Texts that must not be shown, however a server spells them.

use std::collections::BTreeSet;

use base64ct::{Base64, Encoding};
use http::{HeaderMap, Request, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use possession::RequestBody;
use serde_json::Value;

use crate::jwt::{Decoded, NOT_SHOWN, PRIVATE, is_secret};

/// In characters: shorter texts are no signatures.
const SHORTEST_SIGNATURE: usize = 20;
/// How many encodings around each other are undone.
const LAYERS: usize = 6;
/// How many texts these may come to, in whatever order they are undone. No server encodes so much by chance.
const MAX_DECODED: usize = 100;
/// In bytes: a shorter value of a header field or a query is rather a number or a flag than a key.
pub const SHORTEST_VALUE: usize = 6;
/// The names of ASCII characters in HTML (HTML Living Standard §13.5), but for synonyms.
const ENTITIES: [(&str, char); 29] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("excl", '!'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("equals", '='),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("grave", '`'),
    ("lcub", '{'),
    ("rcub", '}'),
];

/// All but the unreserved characters (RFC 3986 §2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The secrets of a run: those of the options, and those in requests and responses so far.
#[derive(Default)]
pub struct Secrets {
    texts: BTreeSet<String>,
    /// The texts and how they may be spelled, with the longest first: a secret may be a part of another.
    spellings: Vec<String>,
}

impl Secrets {
    pub fn add(&mut self, secret: &str) {
        if secret.is_empty() || !self.texts.insert(secret.to_owned()) {
            return;
        }
        for spelling in spellings(secret) {
            let at = self.spellings.partition_point(|other| other.len() >= spelling.len());
            self.spellings.insert(at, spelling);
        }
    }

    /// Adds the secrets of a request.
    pub fn add_request(&mut self, request: &Request<RequestBody>) {
        for proof in texts(request.headers(), "dpop").iter().flat_map(|field| field.split(',')) {
            for signature in proof.split('.').skip(2).filter(|text| text.len() >= SHORTEST_SIGNATURE) {
                self.add(signature);
            }
            self.add_private_key(proof);
        }
        for field in texts(request.headers(), "authorization") {
            let credentials = field.split_once(' ').map_or(field.as_str(), |(_, rest)| rest.trim());
            self.add(credentials);
            let pair = Base64::decode_vec(credentials).ok().and_then(|pair| String::from_utf8(pair).ok());
            if let Some((_, secret)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
                self.add(secret);
                // RFC 6749 §2.3.1: it is form-encoded.
                self.add(&percent_decoded(&secret.replace('+', " ")));
            }
        }
        for (name, value) in form_urlencoded::parse(request.body()) {
            if is_secret(&name) {
                self.add(&value);
            }
        }
        self.add_query(request.uri().query().unwrap_or_default());
    }

    /// Adds the values of a query, as they are and decoded. What has no name is a value.
    fn add_query(&mut self, query: &str) {
        for pair in query.split('&') {
            let value = pair.split_once('=').map_or(pair, |(_, value)| value);
            for value in [value.to_owned(), percent_decoded(value), percent_decoded(&value.replace('+', " "))]
            {
                if value.len() >= SHORTEST_VALUE {
                    self.add(&value);
                }
            }
        }
    }

    /// One case has a private key in a proof.
    fn add_private_key(&mut self, proof: &str) {
        let header = Decoded::read(proof.trim()).and_then(|decoded| decoded.header.ok());
        let jwk = header.as_ref().and_then(|header| header.get("jwk"));
        let members = PRIVATE.iter().filter_map(|name| jwk?.get(name)?.as_str());
        let members: Vec<_> = members.filter(|value| value.len() >= SHORTEST_SIGNATURE).collect();
        if !members.is_empty() {
            self.add(proof.trim().split('.').next().unwrap_or_default());
        }
        members.into_iter().for_each(|value| self.add(value));
    }

    /// Adds the tokens of a response.
    pub fn add_response(&mut self, response: &Response<Vec<u8>>) {
        let body = serde_json::from_slice::<Value>(response.body()).ok();
        let members = body.as_ref().and_then(Value::as_object).filter(|_| response.status().is_success());
        for (name, value) in members.into_iter().flatten() {
            if let Some(value) = value.as_str().filter(|_| name.ends_with("token")) {
                self.add(value);
            }
        }
    }

    /// Hides them in every text of a document.
    pub fn hide_in(&self, document: Value) -> Value {
        match document {
            Value::String(text) => Value::String(self.hide(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.hide_in(value)).collect(),
            Value::Object(members) => {
                let hidden = members.into_iter().map(|(name, value)| (self.hide(&name), self.hide_in(value)));
                Value::Object(hidden.collect())
            }
            value => value,
        }
    }

    /// Hides them in a text. If one is there in a spelling that is not known, nothing of the text is shown.
    pub fn hide(&self, text: &str) -> String {
        let mut shown = text.to_owned();
        for spelling in &self.spellings {
            if shown.contains(spelling) {
                shown = shown.replace(spelling, NOT_SHOWN);
            }
        }
        if !shown.contains(['%', '\\', '+', '&']) {
            return shown;
        }
        match self.is_encoded_in(&shown) {
            true => NOT_SHOWN.to_owned(),
            false => shown,
        }
    }

    /// Returns whether a secret is in a text after some encodings are undone. Which they are cannot be seen:
    /// a secret may itself have what looks like an escape or a character reference.
    fn is_encoded_in(&self, text: &str) -> bool {
        let mut known = BTreeSet::from([text.to_owned()]);
        let mut last = vec![text.to_owned()];
        for _ in 0..=LAYERS {
            if known.len() > MAX_DECODED || last.iter().any(|text| self.is_in(text)) {
                return true;
            }
            let decoded = last
                .iter()
                .flat_map(|text| [percent_decoded, unescaped, without_references].map(|undo| undo(text)));
            last = decoded.filter(|text| known.insert(text.clone())).collect();
        }
        false
    }

    fn is_in(&self, text: &str) -> bool {
        let with_spaces = text.replace('+', " ");
        self.texts.iter().any(|secret| text.contains(secret) || with_spaces.contains(secret))
    }
}

/// Returns a secret and how it may be spelled in forms, URLs, JSON and HTML.
fn spellings(secret: &str) -> BTreeSet<String> {
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let percent = utf8_percent_encode(secret, RESERVED).to_string();
    let json = Value::from(secret).to_string();
    let json = json.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned();
    // The first one first, which is in the others.
    let entities = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;")];
    let html = entities.iter().fold(secret.to_owned(), |text, (c, entity)| text.replace(c, entity));
    let lower = [&form, &percent].map(|text| lower_case_digits(text));
    [secret.to_owned(), form, percent, json.replace('/', "\\/"), json, html]
        .into_iter()
        .chain(lower)
        .collect()
}

/// Writes the digits after percent signs in lower case.
fn lower_case_digits(text: &str) -> String {
    let mut digits = 0_u8;
    let lowered = text.chars().map(|c| {
        let is_digit = digits > 0;
        digits = if c == '%' { 2 } else { digits.saturating_sub(1) };
        if is_digit { c.to_ascii_lowercase() } else { c }
    });
    lowered.collect()
}

/// Decodes percent signs with two digits, and leaves all else as it is.
fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Undoes the escapes of JSON strings and of quoted strings.
fn unescaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        match rest.next() {
            Some('u') => {
                let digits: String = rest.clone().take(4).collect();
                match u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32) {
                    Some(c) if digits.len() == 4 => {
                        result.push(c);
                        rest = rest.as_str().get(4..).unwrap_or_default().chars();
                    }
                    _ => result.push('u'),
                }
            }
            Some('n') => result.push('\n'),
            Some('r') => result.push('\r'),
            Some('t') => result.push('\t'),
            Some(c) => result.push(c),
            None => {}
        }
    }
    result
}

/// Replaces the character references of HTML, and leaves all else as it is.
fn without_references(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        result.push_str(before);
        let reference = numeric_reference(after).or_else(|| named_reference(after));
        let (c, after) = reference.unwrap_or(('&', after));
        result.push(c);
        rest = after;
    }
    result.push_str(rest);
    result
}

/// Reads what follows the `&` of a numeric reference. Returns the character, and the text after it. Browsers
/// do not insist on the semicolon.
fn numeric_reference(text: &str) -> Option<(char, &str)> {
    let number = text.strip_prefix('#')?;
    let (radix, number) = match number.strip_prefix(['x', 'X']) {
        Some(digits) => (16, digits),
        None => (10, number),
    };
    let end = number.find(|c: char| !c.is_digit(radix)).unwrap_or(number.len());
    let (digits, after) = number.split_at_checked(end)?;
    let c = u32::from_str_radix(digits, radix).ok().and_then(char::from_u32)?;
    Some((c, after.strip_prefix(';').unwrap_or(after)))
}

/// Reads what follows the `&` of a named reference. Returns the character, and the text after it.
fn named_reference(text: &str) -> Option<(char, &str)> {
    ENTITIES.iter().find_map(|(name, c)| Some((*c, text.strip_prefix(name)?.strip_prefix(';')?)))
}

/// Returns the values of a header field.
pub fn texts(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}
