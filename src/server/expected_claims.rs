//! The checks of the claims of an access token that do not depend on its form.

use std::time::Duration;

use crate::server::claim_values::{ClaimValue, Claims, NumericDate, nonempty_text};
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

/// The times in the claims of an access token, as far as they are present.
#[derive(Clone, Copy)]
pub(crate) struct TokenTimes {
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    /// `None` also if it is no date.
    iat: Option<NumericDate>,
}

impl TokenTimes {
    fn from_claims(claims: &impl Claims) -> Result<Self, TokenError> {
        let date = |claim| NumericDate::from_claim(claims, claim).map_err(|()| wrong_claim(claim));
        Ok(Self { exp: date("exp")?, nbf: date("nbf")?, iat: date("iat").unwrap_or_default() })
    }
}

impl ExpectedClaims<'_> {
    /// Checks `aud`, and `iss`, `exp` and `nbf` where they are present. Returns the times.
    pub(crate) fn check(&self, claims: &impl Claims, now: u64) -> Result<TokenTimes, TokenError> {
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        let times = TokenTimes::from_claims(claims)?;
        self.check_lifetime(&times, now)?;
        Ok(times)
    }

    /// Checks `exp` and `nbf` where they are present.
    pub(crate) fn check_lifetime(&self, times: &TokenTimes, now: u64) -> Result<(), TokenError> {
        if let Some(exp) = times.exp {
            let end = exp.ceiling().saturating_add(self.leeway);
            if now >= end {
                return Err(TokenError::Expired { seconds: now.saturating_sub(exp.floor()) });
            }
        }
        if let Some(nbf) = times.nbf {
            let start = nbf.floor().saturating_sub(self.leeway);
            if now < start {
                return Err(TokenError::NotYetValid { seconds: nbf.floor().saturating_sub(now) });
            }
        }
        Ok(())
    }

    /// Checks that `iat` is not far in the future, where it is a date.
    pub(crate) fn check_issued_at(&self, times: &TokenTimes, now: u64) -> Result<(), TokenError> {
        let Some(iat) = times.iat else { return Ok(()) };
        let ahead = iat.floor().saturating_sub(now);
        match ahead > self.leeway.max(MAX_IAT_AHEAD) {
            true => Err(TokenError::IssuedInFuture { seconds: ahead }),
            false => Ok(()),
        }
    }

    fn check_issuer(&self, claims: &impl Claims) -> Result<(), TokenError> {
        let Some(iss) = claims.claim("iss") else { return Ok(()) };
        if iss.text() == Some(self.issuer) {
            return Ok(());
        }
        let actual = iss.text().map(|iss| printable(iss, 200));
        Err(TokenError::Issuer { expected: self.issuer.to_owned(), actual })
    }

    fn check_audience(&self, claims: &impl Claims) -> Result<(), TokenError> {
        let Some(audience) = self.audience else { return Ok(()) };
        let aud = claims.claim("aud").map(|aud| aud.elements().unwrap_or(std::slice::from_ref(aud)));
        let texts = || aud.unwrap_or_default().iter().filter_map(ClaimValue::text);
        if texts().any(|aud| aud == audience) {
            return Ok(());
        }
        let actual = texts().take(SHOWN_AUDIENCES).map(|aud| printable(aud, 200)).collect();
        Err(TokenError::Audience { expected: audience.to_owned(), actual })
    }
}

/// Checks that a claim is present and has the type that its definition demands, where it is one that is
/// known: RFC 7519 §4.1, RFC 8693 §4.3, RFC 9068 §2.2 and OpenID Connect Core 1.0 §2. A string must not
/// be empty. `iss` and `aud` are compared by [`ExpectedClaims::check`].
pub(crate) fn require_claim(claims: &impl Claims, claim: &str) -> Result<(), TokenError> {
    let value = claims.claim(claim).filter(|value| !value.is_null()).ok_or_else(|| wrong_claim(claim))?;
    let is_text = || nonempty_text(value).is_some();
    let fits = match claim {
        "sub" | "client_id" | "jti" | "azp" | "acr" => is_text(),
        "exp" | "iat" | "nbf" | "auth_time" => NumericDate::from_value(value).is_ok(),
        "scope" => match value.elements() {
            Some(scopes) => scopes.iter().all(|scope| scope.text().is_some()),
            None => is_text(),
        },
        _ => value.text().is_none() || is_text(),
    };
    fits.then_some(()).ok_or_else(|| wrong_claim(claim))
}

fn wrong_claim(claim: &str) -> TokenError {
    TokenError::Claim { claim: claim.to_owned() }
}
