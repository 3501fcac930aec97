//! `possession explain`: decodes what the protocol consists of.

mod checks;
mod document;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use http::Method;
use possession::Challenge;
use serde_json::{Value, json};

use self::checks::{Check, Expected};
use crate::commands::token::method;
use crate::failure::{Failure, usage};
use crate::jwt::Decoded;
use crate::options::secret::{TokenOptions, read_file};
use crate::output::{self, BAD, FAINT, GOOD, RESET, STRONG, UNSURE};

/// Decode a proof, a token, a challenge, a JWK or a metadata document.
///
/// For a proof, each check of RFC 9449 §4.3 is listed: whether it holds for the request of --method and --url,
/// and why not. The exit status is 1 if a check does not hold. Nothing is sent anywhere.
#[derive(clap::Args)]
pub struct Explain {
    /// A file with what to explain, with or without the name of its header field; - is standard input
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
    /// The time of the request in seconds since 1970; by default now
    #[arg(long, value_name = "SECONDS", help_heading = "The request of a proof")]
    at: Option<u64>,
    /// How old a proof may be, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, help_heading = "The request of a proof")]
    max_age: u64,
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
        let explanation = self.explain(without_field_name(text.trim()))?;
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
        // `Authorization: DPoP …`
        let token = text.split_once(' ').filter(|(scheme, _)| {
            scheme.eq_ignore_ascii_case("dpop") || scheme.eq_ignore_ascii_case("bearer")
        });
        let candidate = token.map_or(text, |(_, token)| token.trim());
        if let Some(decoded) = Decoded::read(candidate).filter(|decoded| decoded.header.is_ok()) {
            let header = decoded.header.as_ref().unwrap_or(&Value::Null);
            let is_proof = header.get("typ").and_then(Value::as_str) == Some("dpop+jwt")
                || header.get("jwk").is_some()
                || self.url.is_some();
            return match is_proof && token.is_none() {
                true => self.proof(candidate, &decoded),
                false => Ok(explain_token(&decoded)),
            };
        }
        match Challenge::parse(text.as_bytes()) {
            Ok(challenges) if !challenges.is_empty() => Ok(explain_challenges(&challenges)),
            _ => Err("it is no proof, token, challenge, JWK or metadata document".into()),
        }
    }

    fn proof(&self, text: &str, decoded: &Decoded) -> Result<Explanation, Failure> {
        let token = self.token.read()?;
        let request = match (&self.method, &self.url) {
            (Some(name), Some(url)) => Some((method(name)?, url.as_str())),
            _ => None,
        };
        let now = match self.at {
            None => SystemTime::now(),
            Some(seconds) => UNIX_EPOCH
                .checked_add(Duration::from_secs(seconds))
                .ok_or_else(|| usage("--at is too late for this machine"))?,
        };
        let expected = Expected {
            request: request.as_ref().map(|(method, url): &(Method, &str)| (method, *url)),
            access_token: token.as_deref().map(String::as_str),
            nonce: self.nonce.as_deref(),
            now,
            max_age: Duration::from_secs(self.max_age),
        };
        Ok(Explanation {
            kind: "proof",
            content: content(decoded),
            checks: checks::all(text, decoded, &expected),
            notes: request
                .is_none()
                .then(|| "--method and --url say which request it came with".to_owned())
                .into_iter()
                .collect(),
        })
    }
}

/// Removes the name of a header field.
fn without_field_name(text: &str) -> &str {
    let names = ["dpop", "authorization", "www-authenticate"];
    match text.split_once(':') {
        Some((name, value)) if names.contains(&name.trim().to_ascii_lowercase().as_str()) => value.trim(),
        _ => text,
    }
}

fn content(decoded: &Decoded) -> Value {
    let part =
        |part: &Result<Value, &'static str>| part.clone().unwrap_or_else(|why| json!({ "unreadable": why }));
    json!({ "header": part(&decoded.header), "claims": part(&decoded.claims) })
}

fn explain_token(decoded: &Decoded) -> Explanation {
    let claims = decoded.claims.as_ref().ok();
    let jkt = claims.and_then(|claims| claims.pointer("/cnf/jkt")).and_then(Value::as_str);
    let bound = match jkt {
        Some(jkt) => format!("it is bound to the key {} (RFC 9449 §6.1)", output::printable(jkt)),
        None => "it has no cnf.jkt: it is bound to no key".to_owned(),
    };
    let mut notes = vec![bound];
    let time = |name: &str| claims.and_then(|claims| claims.get(name)).and_then(Value::as_u64);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if let Some(exp) = time("exp") {
        notes.push(match exp.checked_sub(now) {
            Some(left) => format!("it expires in {left} s"),
            None => format!("it expired {} s ago", now.saturating_sub(exp)),
        });
    }
    notes.push("its signature was not verified".to_owned());
    Explanation { kind: "token", content: content(decoded), checks: Vec::new(), notes }
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
        output::line(output::printable_lines(&format!("{:#}", self.content)))?;
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
