//! `WWW-Authenticate` by the grammar of RFC 9110 §11.
//!
//! This parser is our own, because `http-auth` does not support `token68`, and a field with a DPoP
//! challenge may contain another challenge with one.

use std::fmt;

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

use crate::text::{is_quoted_text, is_tchar, is_token68_char};

/// Why a `WWW-Authenticate` field could not be parsed (RFC 9110 §11.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChallengeError {
    /// Something other than a parameter or a `token68` follows a scheme.
    AfterScheme,
    /// A quoted string contains a control character.
    ControlCharacter,
    /// A parameter occurs twice in one challenge.
    DuplicateParameter,
    /// A backslash in a quoted string is not followed by a character that may be escaped.
    Escape,
    /// Two list members are not separated by a comma.
    MissingComma,
    /// A scheme, a parameter name or a parameter value is missing.
    MissingToken,
    /// A parameter follows a `token68`, which stands in place of parameters.
    ParameterAfterToken68,
    /// A parameter stands before the first scheme.
    ParameterWithoutScheme,
    /// A challenge has more than 100 parameters. The limit bounds the time that a hostile field can take.
    TooManyParameters,
    /// A quoted string has no closing quotation mark.
    UnterminatedString,
}

/// One challenge of a `WWW-Authenticate` field (RFC 9110 §11.3).
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    scheme: String,
    params: Vec<(String, String)>,
    token68: Option<String>,
}

impl Challenge {
    /// Returns the challenges of all `WWW-Authenticate` fields, in order. Parameters without a known
    /// meaning are kept.
    ///
    /// # Errors
    /// Fails when one field is malformed. [`parse`](Self::parse) takes the fields one by one, so that the
    /// others can be read all the same.
    pub fn from_headers(headers: &HeaderMap) -> Result<Vec<Self>, ChallengeError> {
        let mut challenges = Vec::new();
        for field in headers.get_all(WWW_AUTHENTICATE) {
            challenges.append(&mut Self::parse(field.as_bytes())?);
        }
        Ok(challenges)
    }

    /// Returns the challenges of one field value, in order. White space alone may separate the parameters
    /// of a challenge, since some servers leave the commas out.
    ///
    /// # Errors
    /// Fails when the field does not follow the grammar of RFC 9110 §11.6.1 in any other way.
    pub fn parse(field: &[u8]) -> Result<Vec<Self>, ChallengeError> {
        Parser { rest: field }.challenges()
    }

    /// Returns the authentication scheme in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Returns the parameters in order, names in lower case, values without quotes and escapes.
    #[must_use]
    pub fn params(&self) -> &[(String, String)] {
        &self.params
    }

    /// Returns the value of a parameter, by its name in lower case.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns the `token68` that stands in place of parameters in some schemes.
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

impl fmt::Display for ChallengeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AfterScheme => "neither a parameter nor a token68 follows a scheme",
            Self::ControlCharacter => "a quoted string contains a control character",
            Self::DuplicateParameter => "a parameter occurs twice in one challenge",
            Self::Escape => "a backslash in a quoted string escapes nothing",
            Self::MissingComma => "a comma is missing between two list members",
            Self::MissingToken => "a token is missing",
            Self::ParameterAfterToken68 => "a parameter follows a token68",
            Self::ParameterWithoutScheme => "a parameter stands before the first scheme",
            Self::TooManyParameters => "a challenge has more than 100 parameters",
            Self::UnterminatedString => "a quoted string has no closing quotation mark",
        })
    }
}

impl std::error::Error for ChallengeError {}

struct Parser<'a> {
    rest: &'a [u8],
}

type Parsed<T> = Result<T, ChallengeError>;

impl<'a> Parser<'a> {
    /// Parses a list whose members are schemes and parameters: a parameter belongs to the scheme before it.
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
                    return Err(ChallengeError::ParameterWithoutScheme);
                };
                challenge.add(name, value)?;
            } else {
                challenges.push(self.challenge(name)?);
            }
            let is_spaced = self.skip_white_space();
            if self.rest.is_empty() || self.skip(b',') {
                continue;
            }
            // Deployed servers leave the comma out between parameters. Anywhere else, its absence would
            // make one challenge look like two.
            let after_parameter = challenges.last().is_some_and(|challenge| !challenge.params.is_empty());
            if !is_spaced || !after_parameter || !self.parameter_follows() {
                return Err(ChallengeError::MissingComma);
            }
        }
    }

    /// Returns whether a name and `=` come next.
    fn parameter_follows(&self) -> bool {
        let mut ahead = Parser { rest: self.rest };
        let has_name = ahead.token().is_ok();
        ahead.skip_white_space();
        has_name && ahead.skip(b'=')
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
            None => return Err(ChallengeError::AfterScheme),
        }
        Ok(challenge)
    }

    /// Parses `BWS "=" BWS ( token / quoted-string )`, or nothing where no `=` comes.
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
        let token = self.take_while(|b| is_tchar(*b));
        match std::str::from_utf8(token) {
            Ok(token) if !token.is_empty() => Ok(token),
            _ => Err(ChallengeError::MissingToken),
        }
    }

    /// Parses a token68 that is the whole member; anything else is left where it stands.
    fn token68(&mut self) -> Option<String> {
        let before = self.rest;
        let body = self.take_while(|b| is_token68_char(*b));
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
                return Err(ChallengeError::UnterminatedString);
            };
            self.rest = rest;
            match first {
                b'"' => return Ok(String::from_utf8_lossy(&text).into_owned()),
                b'\\' => match self.rest.split_first() {
                    Some((escaped, rest)) if is_quoted_text(*escaped) => {
                        text.push(*escaped);
                        self.rest = rest;
                    }
                    _ => return Err(ChallengeError::Escape),
                },
                other if is_quoted_text(*other) => text.push(*other),
                _ => return Err(ChallengeError::ControlCharacter),
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
            return Err(ChallengeError::ParameterAfterToken68);
        }
        // A bound, so that a hostile field is read in linear time.
        if self.params.len() >= 100 {
            return Err(ChallengeError::TooManyParameters);
        }
        if self.params.iter().any(|(known, _)| *known == name) {
            return Err(ChallengeError::DuplicateParameter);
        }
        self.params.push((name, value));
        Ok(())
    }
}
