//! The checks of the claims of an access token that do not depend on its form.

use serde_json::{Map, Value};

use crate::server::claim_values::{NumericDate, string_claim};
use crate::server::token_error::TokenError;

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
        match claims.get("iss") {
            Some(Value::String(iss)) if iss == self.issuer => {}
            None => {}
            Some(_) => return Err(TokenError::Issuer),
        }
        if let Some(audience) = self.audience {
            let contained = match claims.get("aud") {
                Some(Value::String(aud)) => aud == audience,
                Some(Value::Array(all)) => all.iter().any(|aud| aud == audience),
                _ => false,
            };
            if !contained {
                return Err(TokenError::Audience);
            }
        }
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
}

/// Checks that a claim is present, whatever its type. A string must not be empty.
pub(crate) fn require_claim(claims: &Map<String, Value>, claim: &str) -> Result<(), TokenError> {
    let present = match claims.get(claim) {
        None | Some(Value::Null) => false,
        Some(Value::String(_)) => string_claim(claims, claim).is_some(),
        Some(_) => true,
    };
    present.then_some(()).ok_or_else(|| wrong_claim(claim))
}

fn wrong_claim(claim: &str) -> TokenError {
    TokenError::Claim { claim: claim.to_owned() }
}
