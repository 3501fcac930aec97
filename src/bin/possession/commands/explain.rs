//! `possession explain`: decodes what the protocol consists of.

mod at;
mod challenge;
mod checks;
mod document;
mod explanation;
mod message;
mod metadata;
mod token;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use http::Method;
use possession::{Algorithm, Htu, Thumbprint, ath};
use serde_json::{Value, json};

use self::checks::Expected;
use self::explanation::Explanation;
use self::message::Message;
use crate::commands::token::method;
use crate::failure::{Failure, usage};
use crate::jwt::{Decoded, NOT_SHOWN, without_secrets};
use crate::options::secret::{TokenOptions, is_token68, read_file};
use crate::output;

/// Decode a proof, a token, a challenge, a key, metadata, or an HTTP message with them.
///
/// For a proof, each check of RFC 9449 §4.3 is listed: whether it holds for the request of --method and
/// --url, and why not. A request with its header fields says itself which request it is. The exit status is 1
/// if a check does not hold or something is wrong with the rest. Nothing is sent anywhere, and private keys,
/// tokens and secrets are not shown.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  possession explain proof.txt --method GET --url https://api.example.com/orders --token-env TOKEN
  curl -si https://api.example.com/orders | possession explain")]
pub struct Explain {
    /// A file with the text, with or without the name of its header field, or a request or response as
    /// `curl -i` and `curl -v` print it; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// What the text is. By default what it looks like
    #[arg(long = "as", value_enum, value_name = "KIND")]
    kind: Option<Kind>,
    /// The method of the request that the proof came with
    #[arg(long, value_name = "METHOD", help_heading = "The request of a proof")]
    method: Option<String>,
    /// The URL of the request that the proof came with
    #[arg(long, value_name = "URL", help_heading = "The request of a proof")]
    url: Option<String>,
    /// The nonce that the server gave the client
    #[arg(long, value_name = "NONCE", allow_hyphen_values = true, help_heading = "The request of a proof")]
    nonce: Option<String>,
    /// An algorithm that the server accepts; may be repeated. By default all
    #[arg(long, value_name = "ALG", help_heading = "The request of a proof")]
    alg: Vec<Algorithm>,
    /// The thumbprint of the key that the access token is bound to, if the token does not say so itself
    #[arg(
        long,
        value_name = "THUMBPRINT",
        allow_hyphen_values = true,
        help_heading = "The request of a proof"
    )]
    jkt: Option<String>,
    /// The time of the request: seconds since 1970, a date such as 2025-06-15T15:06:40Z, or one of HTTP. By
    /// default now
    #[arg(long, value_name = "TIME", help_heading = "The request of a proof")]
    at: Option<String>,
    /// How old a proof may be, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, help_heading = "The request of a proof")]
    max_age: u64,
    /// How far ahead of the clock a proof may be dated, in seconds (FAPI 2.0 has 10)
    #[arg(long, value_name = "SECONDS", default_value_t = 10, help_heading = "The request of a proof")]
    leeway: u64,
    #[command(flatten)]
    token: TokenOptions,
    /// How the result is written
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    format: Format,
}

/// What a text is.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A DPoP proof
    Proof,
    /// An access token
    Token,
    /// A WWW-Authenticate field
    Challenge,
    /// A key
    Jwk,
    /// Metadata of an authorization server or a protected resource
    Metadata,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

impl Explain {
    pub fn run(self) -> Result<(), Failure> {
        // What is wrong with the command line is found before the text is read.
        self.check_options()?;
        let bytes = read_file(&self.file)?;
        let text = String::from_utf8(bytes).map_err(|_| "the text is not UTF-8")?;
        let explanations = self.explain(unquoted(text.trim_start_matches('\u{feff}')))?;
        if explanations.iter().all(|explanation| explanation.kind != "proof") {
            self.warn_of_unused();
        }
        match (self.format, explanations.as_slice()) {
            (Format::Text, explanations) => explanations.iter().try_for_each(Explanation::print)?,
            (Format::Json, [explanation]) => output::pretty_json(&explanation.to_json())?,
            (Format::Json, explanations) => {
                let parts: Vec<_> = explanations.iter().map(Explanation::to_json).collect();
                output::pretty_json(&json!({ "kind": "message", "parts": parts }))?;
            }
        }
        match explanations.iter().any(Explanation::has_problems) {
            true => Err(Failure::Reported),
            false => Ok(()),
        }
    }

    fn check_options(&self) -> Result<(), Failure> {
        self.now()?;
        self.method.as_deref().map(method).transpose()?;
        if let Some(url) = &self.url {
            url.parse::<Htu>().map_err(|_| {
                usage(format!("--url {url} is not an absolute URL such as https://host/path"))
            })?;
        }
        if let Some(jkt) = &self.jkt {
            jkt.parse::<Thumbprint>().map_err(|_| {
                usage(format!("--jkt {jkt} is not a thumbprint: 43 characters of base64url without padding"))
            })?;
        }
        Ok(())
    }

    /// Says of the first option for the request of a proof that it was not needed.
    fn warn_of_unused(&self) {
        let options = [
            ("--method", self.method.is_some()),
            ("--url", self.url.is_some()),
            ("--nonce", self.nonce.is_some()),
            ("--alg", !self.alg.is_empty()),
            ("--jkt", self.jkt.is_some()),
            ("--token-env", self.token.token_env.is_some()),
            ("--token-file", self.token.token_file.is_some()),
        ];
        if let Some((option, _)) = options.iter().find(|(_, is_given)| *is_given) {
            output::note(format_args!("warning: {option} has no use here: the text has no proof"));
        }
    }

    fn explain(&self, text: &str) -> Result<Vec<Explanation>, Failure> {
        if text.is_empty() {
            return Err("there is nothing to explain (the text is empty)".into());
        }
        if let Some(kind) = self.kind {
            return Ok(vec![self.explain_as(kind, text)?]);
        }
        if text.starts_with(['{', '[']) {
            let document = document::explain(text, self.now()?);
            return document.map(|document| vec![document]).or_else(|failure| self.jwts_in(text, failure));
        }
        if text.starts_with("-----BEGIN") {
            return Err("it is PEM (possession key check reads keys)".into());
        }
        match Message::read(text) {
            Some(message) => self.message(&message),
            None => match self.value(text) {
                Ok(explanation) => Ok(vec![explanation]),
                Err(failure) => self.jwts_in(text, failure),
            },
        }
    }

    /// Explains each JWT in a text that is something else, such as the line of a log, or fails as it should.
    fn jwts_in(&self, text: &str, failure: Failure) -> Result<Vec<Explanation>, Failure> {
        let is_delimiter = |c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c));
        let jwts = text.split(is_delimiter).filter(|word| {
            Decoded::read(word).is_some_and(|jwt| jwt.header.is_ok_and(|header| header.is_object()))
        });
        let explained: Vec<_> = jwts.map(|jwt| self.value(jwt)).collect::<Result<_, _>>()?;
        if explained.is_empty() { Err(failure) } else { Ok(explained) }
    }

    fn explain_as(&self, kind: Kind, text: &str) -> Result<Explanation, Failure> {
        let message = Message::read(text).unwrap_or_default();
        let values = |values: &[String]| match values {
            [] => vec![text.to_owned()],
            values => values.to_vec(),
        };
        match kind {
            Kind::Proof if message.method.is_some() => self.proof(&message.proofs, &message),
            Kind::Proof => self.proof(&values(&message.proofs), &message),
            Kind::Token => {
                let text = message.authorization.first().map_or(text, String::as_str);
                let credentials = credentials(text).map_or(text, |(_, token)| token);
                Ok(token::explain(unquoted(credentials), self.now()?))
            }
            Kind::Challenge => Ok(challenge::explain(&values(&message.challenges), message.nonce.as_deref())),
            Kind::Jwk => document::jwk(text),
            Kind::Metadata => document::metadata(text),
        }
    }

    /// Explains the fields of a request or a response.
    fn message(&self, message: &Message) -> Result<Vec<Explanation>, Failure> {
        let mut explanations = Vec::new();
        if !message.proofs.is_empty() {
            explanations.push(self.proof(&message.proofs, message)?);
        }
        for field in &message.authorization {
            if let Some((scheme, text)) = credentials(field) {
                let mut explanation = token::explain(text, self.time_of(message)?);
                let is_bearer = scheme.eq_ignore_ascii_case("bearer");
                if is_bearer && token::binding(text).is_some() {
                    let note = "it is bound to a key, and is sent as Bearer, not as DPoP (RFC 9449 §7.1)";
                    explanation.notes.push(note.to_owned());
                } else if is_bearer && !message.proofs.is_empty() {
                    let note = "it is sent as Bearer, although with a proof; a token that is bound to a key is sent as \
                                DPoP (RFC 9449 §7.1)";
                    explanation.notes.push(note.to_owned());
                }
                if !is_bearer && message.method.is_some() && message.proofs.is_empty() {
                    let problem = "the request has no DPoP field with a proof (RFC 9449 §7.1)";
                    explanation.problems.push(problem.to_owned());
                }
                explanations.push(explanation);
            }
        }
        match &message.nonce {
            nonce if !message.challenges.is_empty() => {
                explanations.push(challenge::explain(&message.challenges, nonce.as_deref()));
            }
            Some(nonce) => explanations.push(challenge::explain_nonce(nonce)),
            None => {}
        }
        // A body of another kind is the user's.
        explanations.extend(document::explain(message.body.trim(), self.now()?).ok());
        match explanations.is_empty() {
            true => Err(
                "it has none of the header fields DPoP, Authorization with a token, WWW-Authenticate and \
                DPoP-Nonce"
                    .into(),
            ),
            false => Ok(explanations),
        }
    }

    /// Explains the value of a field, without its name.
    fn value(&self, text: &str) -> Result<Explanation, Failure> {
        let credentials = credentials(text);
        let token = credentials.map_or(text, |(_, token)| token);
        if let Some(decoded) = Decoded::read(token).filter(|decoded| decoded.header.is_ok()) {
            let header = decoded.header.as_ref().unwrap_or(&Value::Null);
            let is_proof = header.get("typ").and_then(Value::as_str) == Some("dpop+jwt");
            let may_be_proof = header.get("jwk").is_some() || self.method.is_some() || self.url.is_some();
            return match is_proof || may_be_proof && credentials.is_none() {
                true => self.proof(&[token.to_owned()], &Message::default()),
                false => Ok(token::explain(token, self.now()?)),
            };
        }
        if challenge::is_one(text) {
            return Ok(challenge::explain(&[text.to_owned()], None));
        }
        let is_word = !text.contains(char::is_whitespace);
        if is_word && (self.method.is_some() || self.url.is_some()) {
            return self.proof(&[text.to_owned()], &Message::default());
        }
        match credentials {
            Some((_, token)) => Ok(token::explain(token, self.now()?)),
            None => unknown(text),
        }
    }

    fn now(&self) -> Result<SystemTime, Failure> {
        match &self.at {
            None => Ok(SystemTime::now()),
            Some(text) => at::parse(text).ok_or_else(|| {
                usage(format!(
                    "--at {text} is not a time: seconds since 1970, or a date such as 2025-06-15T15:06:40Z"
                ))
            }),
        }
    }

    /// Returns the time of the request in a message.
    fn time_of(&self, message: &Message) -> Result<SystemTime, Failure> {
        match (&self.at, message.date) {
            (None, Some(date)) => Ok(date),
            _ => self.now(),
        }
    }

    fn proof(&self, fields: &[String], message: &Message) -> Result<Explanation, Failure> {
        let given = self.token.read()?;
        let of_message = message.authorization.iter().find_map(|field| Some(credentials(field)?.1));
        let access_token = given.as_deref().map(String::as_str).or(of_message);
        // Of several, the first is looked at.
        let proof = fields.first().map(|field| unquoted(field));
        let decoded = proof.and_then(Decoded::read);
        let htu = decoded.as_ref().and_then(|decoded| decoded.claims.as_ref().ok()?.get("htu")?.as_str());
        let url = self.url.clone().or_else(|| message.url(htu));
        let method: Option<Method> = match (&self.method, &message.method) {
            (Some(name), _) => Some(method(name)?),
            (None, name) => name.as_ref().and_then(|name| method(name).ok()),
        };
        let expected = Expected {
            method: method.as_ref(),
            url: url.as_deref(),
            access_token,
            jkt: self.jkt.as_deref(),
            nonce: self.nonce.as_deref().or(message.demanded_nonce()),
            algorithms: Some(self.alg.as_slice()).filter(|algorithms| !algorithms.is_empty()),
            now: self.time_of(message)?,
            max_age: Duration::from_secs(self.max_age),
            leeway: Duration::from_secs(self.leeway),
        };
        let mut explanation = Explanation::new("proof", Value::Null);
        // A request shows how many fields it has. Some of its lines can show that there are several.
        let number = message.proofs.len();
        let number_of_fields = Some(number).filter(|_| message.method.is_some() || number > 1);
        explanation.checks = checks::all(proof, number_of_fields, &expected);
        if method.is_none() || url.is_none() {
            explanation.notes.push("--method and --url say which request it came with".to_owned());
        }
        if let (None, Some(Ok(url))) = (&self.url, url.as_deref().map(str::parse::<Htu>)) {
            let scheme = match message.has_scheme() {
                true => "",
                false => ", where the scheme is assumed (--url says otherwise)",
            };
            explanation.notes.push(format!("the URL of the request is {url}{scheme}"));
        }
        if let Some(expired) = given.as_deref().and_then(|token| token::expired(token, expected.now)) {
            explanation.notes.push(format!("the access token {expired}"));
        }
        let is_untimely =
            explanation.checks.iter().any(|check| check.number == 11 && check.holds == Some(false));
        match (&self.at, &message.date) {
            (None, Some(date)) => {
                let date = httpdate::fmt_http_date(*date);
                explanation.notes.push(format!("the time is that of the response: {date}"));
            }
            (None, None) if is_untimely => {
                explanation.notes.push("--at says when the request was made, if that was not now".to_owned());
            }
            _ => {}
        }
        explanation.content =
            decoded.map_or(Value::Null, |decoded| without_token(content(&decoded), access_token));
        Ok(explanation)
    }
}

/// Explains a text that is like nothing.
fn unknown(text: &str) -> Result<Explanation, Failure> {
    if !is_token68(text) {
        return Err("it is no proof, token, challenge, JWK or metadata document".into());
    }
    let mut explanation = Explanation::new("unknown", Value::Null);
    let is_base64url =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let problem = match text.split('.').collect::<Vec<_>>().as_slice() {
        parts @ [_, _, _] if parts.iter().all(|part| is_base64url(part)) => {
            "it has three parts, as a JWT has, and the first one is not the base64url of JSON: a proof or a token \
             that is damaged, or something else (--as says what it is)"
        }
        _ => "it cannot be told what it is (--as says what it is)",
    };
    explanation.problems.push(problem.to_owned());
    explanation.notes.push(format!("if it is an opaque access token, its hash (ath) is {}", ath(text)));
    Ok(explanation)
}

/// Returns scheme and token of an `Authorization` field that has a token.
fn credentials(field: &str) -> Option<(&str, &str)> {
    let (scheme, token) = field.trim().split_once(' ')?;
    let has_scheme = scheme.eq_ignore_ascii_case("dpop") || scheme.eq_ignore_ascii_case("bearer");
    Some((scheme, token.trim())).filter(|(_, token)| has_scheme && !token.is_empty() && is_token68(token))
}

/// Returns a text without the quotation marks around it that the place it was copied from had.
fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner = text.trim_end_matches([',', ';']).trim_end();
    let quoted = |quote: char| inner.strip_prefix(quote)?.strip_suffix(quote);
    ['"', '\'', '`'].into_iter().find_map(quoted).map_or(text, str::trim)
}

/// Returns header and claims of a JWT without secrets.
fn content(decoded: &Decoded) -> Value {
    let part =
        |part: &Result<Value, &'static str>| part.clone().unwrap_or_else(|why| json!({ "unreadable": why }));
    without_secrets(json!({ "header": part(&decoded.header), "claims": part(&decoded.claims) }))
}

/// Hides an access token that a proof has where its hash should be.
fn without_token(mut content: Value, token: Option<&str>) -> Value {
    match content.pointer_mut("/claims/ath") {
        Some(ath) if token.is_some_and(|token| *ath == *token) => *ath = json!(NOT_SHOWN),
        _ => {}
    }
    content
}
