//! The checks of the claims of an access token that do not depend on its form.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::server::claim_values::{NumericDate, string_claim};
use crate::server::token_error::TokenError;
use crate::text::printable;

/// The leeway for `exp` and `nbf` of access tokens, unless configured otherwise.
pub(crate) const DEFAULT_LEEWAY: Duration = Duration::from_secs(5);

/// How many seconds ahead of this server's clock the `iat` of a JWT may be, if the leeway is not more.
/// FAPI 2.0 Security Profile §5.3.2.1 has it that clocks differ by up to 10 seconds, and that more than
/// 60 seconds must not be accepted.
const MAX_IAT_AHEAD: u64 = 60;

/// The number of members of `aud` that an error shows.
const SHOWN_AUDIENCES: usize = 10;

/// The expected `iss` and `aud`, and the leeway for `exp` and `nbf`.
pub(crate) struct ExpectedClaims<'a> {
    pub(crate) issuer: &'a str,
    /// `None` accepts every `aud`, and a token without one.
    pub(crate) audience: Option<&'a str>,
    /// In seconds.
    pub(crate) leeway: u64,
}

impl ExpectedClaims<'_> {
    /// Checks `aud`, and `iss`, `exp` and `nbf` where they are present.
    pub(crate) fn check(&self, claims: &Map<String, Value>, now: u64) -> Result<(), TokenError> {
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        self.check_times(claims, now)
    }

    /// Checks `exp` and `nbf` where they are present.
    pub(crate) fn check_times(&self, claims: &Map<String, Value>, now: u64) -> Result<(), TokenError> {
        let date = |claim| NumericDate::from_claim(claims, claim).map_err(|()| wrong_claim(claim));
        if let Some(exp) = date("exp")? {
            let end = exp.ceiling().saturating_add(self.leeway);
            if now >= end {
                return Err(TokenError::Expired { seconds: now.saturating_sub(exp.floor()) });
            }
        }
        if let Some(nbf) = date("nbf")? {
            let start = nbf.floor().saturating_sub(self.leeway);
            if now < start {
                return Err(TokenError::NotYetValid { seconds: nbf.floor().saturating_sub(now) });
            }
        }
        Ok(())
    }

    /// Checks that `iat` is not far in the future, where it is a date.
    pub(crate) fn check_issued_at(&self, claims: &Map<String, Value>, now: u64) -> Result<(), TokenError> {
        let Ok(Some(iat)) = NumericDate::from_claim(claims, "iat") else { return Ok(()) };
        let ahead = iat.floor().saturating_sub(now);
        match ahead > self.leeway.max(MAX_IAT_AHEAD) {
            true => Err(TokenError::IssuedInFuture { seconds: ahead }),
            false => Ok(()),
        }
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let actual = match claims.get("iss") {
            None => return Ok(()),
            Some(Value::String(iss)) if iss == self.issuer => return Ok(()),
            Some(Value::String(iss)) => Some(printable(iss, 200)),
            Some(_) => None,
        };
        Err(TokenError::Issuer { expected: self.issuer.to_owned(), actual })
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let Some(audience) = self.audience else { return Ok(()) };
        let actual = match claims.get("aud") {
            Some(aud @ Value::String(_)) => std::slice::from_ref(aud),
            Some(Value::Array(all)) => all.as_slice(),
            _ => &[],
        };
        if actual.iter().any(|aud| aud == audience) {
            return Ok(());
        }
        let texts = actual.iter().filter_map(Value::as_str).take(SHOWN_AUDIENCES);
        let actual = texts.map(|aud| printable(aud, 200)).collect();
        Err(TokenError::Audience { expected: audience.to_owned(), actual })
    }
}

/// Checks that a claim is present and has the type that its definition demands, where it is one that is
/// known: RFC 7519 §4.1, RFC 8693 §4.3, RFC 9068 §2.2 and OpenID Connect Core 1.0 §2. A string must not
/// be empty. `iss` and `aud` are compared by [`ExpectedClaims::check`].
pub(crate) fn require_claim(claims: &Map<String, Value>, claim: &str) -> Result<(), TokenError> {
    let is_text = || string_claim(claims, claim).is_some();
    let fits = match (claim, claims.get(claim)) {
        (_, None | Some(Value::Null)) => false,
        ("sub" | "client_id" | "jti" | "azp" | "acr", _) => is_text(),
        ("exp" | "iat" | "nbf" | "auth_time", _) => NumericDate::from_claim(claims, claim).is_ok(),
        ("scope", Some(Value::Array(scopes))) => scopes.iter().all(Value::is_string),
        ("scope", _) => is_text(),
        (_, Some(Value::String(_))) => is_text(),
        (_, Some(_)) => true,
    };
    fits.then_some(()).ok_or_else(|| wrong_claim(claim))
}

fn wrong_claim(claim: &str) -> TokenError {
    TokenError::Claim { claim: claim.to_owned() }
}
