//! `possession explain`: decodes what the protocol consists of.

mod checks;
mod document;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use http::Method;
use possession::{Algorithm, Challenge, ath};
use serde_json::{Value, json};

use self::checks::{Check, Expected};
use crate::commands::token::method;
use crate::failure::{Failure, usage};
use crate::jwt::{Decoded, NOT_SHOWN, without_secrets};
use crate::options::secret::{TokenOptions, read_file};
use crate::output::{self, BAD, FAINT, GOOD, RESET, STRONG, UNSURE};

/// Decode a proof, a token, a challenge, a JWK or a metadata document.
///
/// For a proof, each check of RFC 9449 §4.3 is listed: whether it holds for the request of --method and --url,
/// and why not. The exit status is 1 if a check does not hold. Nothing is sent anywhere, and private keys are not
/// shown.
#[derive(clap::Args)]
#[command(after_long_help = "\
Example:
  possession explain proof.txt --method GET --url https://api.example.com/orders --token-env TOKEN")]
pub struct Explain {
    /// A file with the text, with or without the name of its header field; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The method of the request that the proof came with
    #[arg(long, value_name = "METHOD", requires = "url", help_heading = "The request of a proof")]
    method: Option<String>,
    /// The URL of the request that the proof came with
    #[arg(long, value_name = "URL", requires = "method", help_heading = "The request of a proof")]
    url: Option<String>,
    /// The nonce that the server gave the client
    #[arg(long, value_name = "NONCE", help_heading = "The request of a proof")]
    nonce: Option<String>,
    /// An algorithm that the server accepts; may be repeated. By default all
    #[arg(long, value_name = "ALG", help_heading = "The request of a proof")]
    alg: Vec<Algorithm>,
    /// The thumbprint of the key that the access token is bound to, if the token does not say so itself
    #[arg(long, value_name = "THUMBPRINT", help_heading = "The request of a proof")]
    jkt: Option<String>,
    /// The time of the request in seconds since 1970. By default now
    #[arg(long, value_name = "SECONDS", help_heading = "The request of a proof")]
    at: Option<u64>,
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// What was found out.
struct Explanation {
    /// What it is.
    kind: &'static str,
    /// Its content.
    content: Value,
    /// The checks of a proof.
    checks: Vec<Check>,
    /// What else is worth knowing.
    notes: Vec<String>,
}

impl Explain {
    pub fn run(self) -> Result<(), Failure> {
        let bytes = read_file(&self.file)?;
        let text = String::from_utf8(bytes).map_err(|_| "the text is not UTF-8")?;
        let explanation = self.explain(text.trim())?;
        match self.format {
            Format::Text => explanation.print()?,
            Format::Json => output::pretty_json(&explanation.to_json())?,
        }
        match explanation.checks.iter().any(|check| check.holds == Some(false)) {
            true => Err(Failure::Reported),
            false => Ok(()),
        }
    }

    fn explain(&self, text: &str) -> Result<Explanation, Failure> {
        if text.is_empty() {
            return Err("there is nothing to explain (the text is empty)".into());
        }
        if text.starts_with('{') {
            return document::explain(text);
        }
        if text.starts_with("-----BEGIN") {
            return Err("it is PEM (possession key check reads keys)".into());
        }
        let fields: Vec<_> = text.lines().map(field).collect();
        if let Some(("dpop", _)) = fields.first().and_then(|(name, value)| Some((name.as_deref()?, value))) {
            let is_proof = |(name, _): &&(Option<String>, &str)| name.as_deref() == Some("dpop");
            let proofs: Vec<_> = fields.iter().filter(is_proof).map(|(_, value)| *value).collect();
            return self.proof(&proofs);
        }
        let (name, value) = field(text);
        let has_scheme =
            |scheme: &str| scheme.eq_ignore_ascii_case("dpop") || scheme.eq_ignore_ascii_case("bearer");
        let credentials = value.split_once(' ').filter(|(scheme, _)| has_scheme(scheme));
        let token = credentials.map_or(value, |(_, token)| token.trim());
        let is_credentials = name.as_deref() == Some("authorization");
        if let Some(decoded) = Decoded::read(token).filter(|decoded| decoded.header.is_ok()) {
            let header = decoded.header.as_ref().unwrap_or(&Value::Null);
            let is_proof = header.get("typ").and_then(Value::as_str) == Some("dpop+jwt")
                || header.get("jwk").is_some()
                || self.url.is_some();
            return match is_proof && credentials.is_none() {
                true => self.proof(&[token]),
                false => self.token(token, &decoded),
            };
        }
        if self.url.is_some() && !is_credentials {
            return self.proof(&[value]);
        }
        let challenges = Challenge::parse(value.as_bytes()).unwrap_or_default();
        let has_params = challenges.iter().any(|challenge| !challenge.params().is_empty());
        // A single word is a challenge as well, and an access token rather.
        if name.as_deref() == Some("www-authenticate") && !challenges.is_empty()
            || has_params && !is_credentials
        {
            return Ok(explain_challenges(&challenges));
        }
        match token.bytes().all(is_token_character) {
            true => Ok(explain_opaque_token(token)),
            false => Err("it is no proof, token, challenge, JWK or metadata document".into()),
        }
    }

    fn now(&self) -> Result<SystemTime, Failure> {
        match self.at {
            None => Ok(SystemTime::now()),
            Some(seconds) => UNIX_EPOCH
                .checked_add(Duration::from_secs(seconds))
                .ok_or_else(|| usage("--at is too late for this machine")),
        }
    }

    fn proof(&self, fields: &[&str]) -> Result<Explanation, Failure> {
        let token = self.token.read()?;
        let request = match (&self.method, &self.url) {
            (Some(name), Some(url)) => Some((method(name)?, url.as_str())),
            _ => None,
        };
        let expected = Expected {
            request: request.as_ref().map(|(method, url): &(Method, &str)| (method, *url)),
            access_token: token.as_deref().map(String::as_str),
            jkt: self.jkt.as_deref(),
            nonce: self.nonce.as_deref(),
            algorithms: Some(self.alg.as_slice()).filter(|algorithms| !algorithms.is_empty()),
            now: self.now()?,
            max_age: Duration::from_secs(self.max_age),
            leeway: Duration::from_secs(self.leeway),
        };
        let decoded = fields.first().and_then(|text| Decoded::read(text));
        let unknown_request =
            request.is_none().then_some("--method and --url say which request it came with");
        Ok(Explanation {
            kind: "proof",
            content: decoded
                .map_or(Value::Null, |decoded| without_token(content(&decoded), token.as_deref())),
            checks: checks::all(fields, &expected),
            notes: unknown_request.into_iter().map(str::to_owned).collect(),
        })
    }

    fn token(&self, text: &str, decoded: &Decoded) -> Result<Explanation, Failure> {
        let claims = decoded.claims.as_ref().ok();
        let jkt = claims.and_then(|claims| claims.pointer("/cnf/jkt")).and_then(Value::as_str);
        let mut notes = vec![match jkt {
            Some(jkt) => format!("it is bound to the key {jkt} (RFC 9449 §6.1)"),
            None => "it has no cnf.jkt: it is bound to no key".to_owned(),
        }];
        if let Some(exp) = claims.and_then(|claims| claims.get("exp")).and_then(Value::as_f64) {
            let now = self.now()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let verb = if exp > now as f64 { "expires" } else { "expired" };
            notes.push(format!("it {verb} at {}", checks::date(exp)));
        }
        notes.push(format!("its hash (ath) is {}", ath(text)));
        notes.push("its signature was not verified".to_owned());
        Ok(Explanation { kind: "token", content: content(decoded), checks: Vec::new(), notes })
    }
}

/// Splits a header field into its name in lower case, and its value. A text without the name of a field that is known
/// here is a value.
fn field(text: &str) -> (Option<String>, &str) {
    let names = ["dpop", "authorization", "www-authenticate"];
    let split = text.split_once(':').map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()));
    match split.filter(|(name, _)| names.contains(&name.as_str())) {
        Some((name, value)) => (Some(name), value),
        None => (None, text.trim()),
    }
}

/// Returns whether an access token may have this character: token68 (RFC 9110 §11.2).
fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

/// Returns header and claims of a JWT without secrets.
fn content(decoded: &Decoded) -> Value {
    let part =
        |part: &Result<Value, &'static str>| part.clone().unwrap_or_else(|why| json!({ "unreadable": why }));
    without_secrets(json!({ "header": part(&decoded.header), "claims": part(&decoded.claims) }))
}

/// Hides an access token that a proof has where its hash should be.
fn without_token(mut content: Value, token: Option<&String>) -> Value {
    match content.pointer_mut("/claims/ath") {
        Some(ath) if token.is_some_and(|token| *ath == **token) => *ath = json!(NOT_SHOWN),
        _ => {}
    }
    content
}

fn explain_opaque_token(text: &str) -> Explanation {
    let notes = vec![
        "it is no JWT: only the server that issued it knows what it means (RFC 7662)".to_owned(),
        format!("its hash (ath) is {}", ath(text)),
    ];
    Explanation { kind: "opaque token", content: Value::Null, checks: Vec::new(), notes }
}

fn explain_challenges(challenges: &[Challenge]) -> Explanation {
    let shown: Vec<_> = challenges
        .iter()
        .map(|challenge| {
            let params: serde_json::Map<String, Value> = challenge
                .params()
                .iter()
                .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
                .collect();
            json!({ "scheme": challenge.scheme(), "params": params })
        })
        .collect();
    let notes = challenges.iter().filter_map(|challenge| {
        Some(
            match challenge.param("error")? {
                "use_dpop_nonce" => {
                    "use_dpop_nonce: retry with the nonce of the field DPoP-Nonce (RFC 9449 §8, §9)"
                }
                "invalid_dpop_proof" => "invalid_dpop_proof: the proof was refused (RFC 9449 §5)",
                "invalid_token" => "invalid_token: the access token was refused, or is bound to another key",
                "insufficient_scope" => "insufficient_scope: the token lacks a scope (RFC 6750 §3.1)",
                _ => return None,
            }
            .to_owned(),
        )
    });
    let notes = notes.collect();
    Explanation { kind: "challenge", content: Value::Array(shown), checks: Vec::new(), notes }
}

impl Explanation {
    fn to_json(&self) -> Value {
        let checks: Vec<_> = self
            .checks
            .iter()
            .map(|check| {
                json!({ "check": check.number, "rule": check.rule, "holds": check.holds, "why": check.why })
            })
            .collect();
        let mut members = json!({ "kind": self.kind, "content": self.content, "notes": self.notes });
        if let Some(members) = members.as_object_mut().filter(|_| !checks.is_empty()) {
            members.insert("checks".to_owned(), checks.into());
        }
        members
    }

    fn print(&self) -> Result<(), Failure> {
        output::line(format_args!("{STRONG}{}{RESET}", self.kind))?;
        if !self.content.is_null() {
            output::line(output::printable_lines(&format!("{:#}", self.content)))?;
        }
        for check in &self.checks {
            let (style, verdict) = match check.holds {
                Some(true) => (GOOD, "holds"),
                Some(false) => (BAD, "FAILS"),
                None => (UNSURE, "not checked"),
            };
            let rule = check.rule;
            output::line(format_args!("{:>2}  {style}{verdict:<11}{RESET}  {rule}", check.number))?;
            if !check.why.is_empty() {
                output::line(format_args!(
                    "                 {FAINT}{}{RESET}",
                    output::printable(&check.why)
                ))?;
            }
        }
        self.notes.iter().try_for_each(|note| output::line(format_args!("note: {}", output::printable(note))))
    }
}
