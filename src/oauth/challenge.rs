//! A parser of `WWW-Authenticate` fields (RFC 9110 §11).
//!
//! The crate `http-auth` is not used because it stops at a `token68`, and a DPoP challenge may follow one.

use std::fmt;

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

use crate::error::{Error, ErrorKind};

/// One challenge of a `WWW-Authenticate` field (RFC 9110 §11.3).
///
/// ```
/// use possession::Challenge;
///
/// let field = br#"Negotiate dG9rZW4=, DPoP error="use_dpop_nonce", algs="ES256 EdDSA""#;
/// let challenges = Challenge::parse(field)?;
/// assert_eq!(challenges[0].token68(), Some("dG9rZW4="));
/// assert_eq!((challenges[1].scheme(), challenges[1].param("error")), ("dpop", Some("use_dpop_nonce")));
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    scheme: String,
    params: Vec<(String, String)>,
    token68: Option<String>,
}

impl Challenge {
    /// Parses all `WWW-Authenticate` fields and returns their challenges in order, with every parameter.
    ///
    /// # Errors
    /// [`JwsError`](ErrorKind::Malformed) when a field does not follow the grammar of RFC 9110 §11.6.1. To
    /// skip such a field, parse the fields one by one with [`parse`](Self::parse).
    pub fn from_headers(headers: &HeaderMap) -> Result<Vec<Self>, Error> {
        let mut challenges = Vec::new();
        for field in headers.get_all(WWW_AUTHENTICATE) {
            challenges.append(&mut Self::parse(field.as_bytes())?);
        }
        Ok(challenges)
    }

    /// Parses one field value and returns its challenges in order.
    ///
    /// # Errors
    /// [`JwsError`](ErrorKind::Malformed) when it does not follow the grammar of RFC 9110 §11.6.1.
    pub fn parse(field: &[u8]) -> Result<Vec<Self>, Error> {
        Parser { rest: field }
            .challenges()
            .map_err(|wrong| Error::new(ErrorKind::Malformed, "reading a WWW-Authenticate field", wrong))
    }

    /// Returns the authentication scheme in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Returns the parameters in order, with names in lower case and values without quotes and escapes.
    #[must_use]
    pub fn params(&self) -> &[(String, String)] {
        &self.params
    }

    /// Returns the value of a parameter, by its name in lower case.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns the `token68` that some schemes have in place of parameters.
    #[must_use]
    pub fn token68(&self) -> Option<&str> {
        self.token68.as_deref()
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::text::printable(&self.scheme, 40))?;
        for (i, (name, value)) in self.params.iter().take(10).enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(
                f,
                "{comma} {}='{}'",
                crate::text::printable(name, 40),
                crate::text::printable(value, 200)
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({})", crate::text::printable(&self.to_string(), 500))
    }
}

struct Parser<'a> {
    rest: &'a [u8],
}

type Parsed<T> = Result<T, &'static str>;

impl<'a> Parser<'a> {
    /// Parses a list whose members are schemes and parameters. A parameter belongs to the scheme before it.
    fn challenges(mut self) -> Parsed<Vec<Challenge>> {
        let mut challenges: Vec<Challenge> = Vec::new();
        loop {
            while self.skip_white_space() | self.skip(b',') {}
            if self.rest.is_empty() {
                return Ok(challenges);
            }
            let name = self.token()?;
            if let Some(value) = self.value()? {
                let Some(challenge) = challenges.last_mut() else {
                    return Err("a parameter comes before any scheme");
                };
                challenge.add(name, value)?;
            } else {
                challenges.push(self.challenge(name)?);
            }
            self.skip_white_space();
            if !self.rest.is_empty() && !self.skip(b',') {
                return Err("a comma is missing between two members");
            }
        }
    }

    /// Parses what follows a scheme: nothing, a token68, or the first of its parameters.
    fn challenge(&mut self, scheme: &str) -> Parsed<Challenge> {
        let mut challenge =
            Challenge { scheme: scheme.to_ascii_lowercase(), params: Vec::new(), token68: None };
        if !self.skip(b' ') {
            return Ok(challenge);
        }
        while self.skip(b' ') {}
        if self.rest.first().is_none_or(|b| *b == b',') {
            return Ok(challenge);
        }
        if let Some(token68) = self.token68() {
            challenge.token68 = Some(token68);
            return Ok(challenge);
        }
        let name = self.token()?;
        match self.value()? {
            Some(value) => challenge.add(name, value)?,
            None => return Err("what follows a scheme is neither a parameter nor a token68"),
        }
        Ok(challenge)
    }

    /// Parses `BWS "=" BWS ( token / quoted-string )`; returns `None` where no `=` follows.
    fn value(&mut self) -> Parsed<Option<String>> {
        let before = self.rest;
        self.skip_white_space();
        if !self.skip(b'=') {
            self.rest = before;
            return Ok(None);
        }
        self.skip_white_space();
        match self.skip(b'"') {
            true => self.quoted().map(Some),
            false => self.token().map(|token| Some(token.to_owned())),
        }
    }

    fn token(&mut self) -> Parsed<&'a str> {
        let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        let token = self.take_while(is_token);
        match std::str::from_utf8(token) {
            Ok(token) if !token.is_empty() => Ok(token),
            _ => Err("a token is missing"),
        }
    }

    /// Parses a token68 that is the whole member; consumes nothing else.
    fn token68(&mut self) -> Option<String> {
        let before = self.rest;
        let body = self.take_while(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(b));
        let padding = self.take_while(|b| *b == b'=');
        let after = self.rest.trim_ascii_start().first().copied();
        let text = [body, padding].concat();
        match String::from_utf8(text) {
            Ok(text) if !body.is_empty() && matches!(after, None | Some(b',')) => Some(text),
            _ => {
                self.rest = before;
                None
            }
        }
    }

    /// Parses the rest of a quoted-string (RFC 9110 §5.6.4).
    fn quoted(&mut self) -> Parsed<String> {
        let mut text = Vec::new();
        loop {
            let Some((first, rest)) = self.rest.split_first() else {
                return Err("a quoted string is not terminated");
            };
            self.rest = rest;
            match first {
                b'"' => return Ok(String::from_utf8_lossy(&text).into_owned()),
                b'\\' => match self.rest.split_first() {
                    Some((escaped, rest)) if is_text(*escaped) => {
                        text.push(*escaped);
                        self.rest = rest;
                    }
                    _ => return Err("a backslash in a quoted string escapes nothing"),
                },
                other if is_text(*other) => text.push(*other),
                _ => return Err("a quoted string contains a control character"),
            }
        }
    }

    fn take_while(&mut self, mut fits: impl FnMut(&u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|b| !fits(b)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest;
        taken
    }

    fn skip(&mut self, byte: u8) -> bool {
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_white_space(&mut self) -> bool {
        !self.take_while(|b| matches!(b, b' ' | b'\t')).is_empty()
    }
}

impl Challenge {
    fn add(&mut self, name: &str, value: String) -> Parsed<()> {
        let name = name.to_ascii_lowercase();
        if self.token68.is_some() {
            return Err("a parameter follows a token68");
        }
        // The bound keeps the time for a hostile field linear.
        if self.params.len() >= 100 {
            return Err("a challenge has more than 100 parameters");
        }
        if self.params.iter().any(|(known, _)| *known == name) {
            return Err("one challenge has the same parameter twice");
        }
        self.params.push((name, value));
        Ok(())
    }
}

fn is_text(b: u8) -> bool {
    matches!(b, b'\t' | b' '..=b'~' | 0x80..)
}
