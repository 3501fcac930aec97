//! Access token validation.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::jose::json::{self, Object};
use crate::jose::public_key::Thumbprint;
use crate::server::claim_values::ClaimValue;
use crate::server::presented_token::PresentedToken;
use crate::server::token_error::TokenError;

/// Validates access tokens: [`JwtValidator`](crate::server::JwtValidator) for JWTs,
/// [`Introspector`](crate::server::Introspector) for tokens of any form, or your own implementation.
///
/// ```
/// use std::collections::HashMap;
/// use std::time::SystemTime;
///
/// use possession::Thumbprint;
/// use possession::server::{AccessToken, TokenError, TokenValidator};
///
/// /// The tokens that this server issued itself, with the keys they are bound to.
/// struct TokenTable(HashMap<String, Thumbprint>);
///
/// impl TokenValidator for TokenTable {
///     fn validate(&self, access_token: &str, _now: SystemTime) -> Result<AccessToken, TokenError> {
///         let jkt = self.0.get(access_token).ok_or(TokenError::Inactive)?;
///         Ok(AccessToken::bound_to(*jkt))
///     }
///
///     fn needs_io(&self) -> bool {
///         false
///     }
/// }
/// ```
pub trait TokenValidator: Send + Sync {
    /// Returns the claims of the token after every check of the token itself.
    ///
    /// # Errors
    /// Returns why the token is not accepted, or [`Unavailable`](TokenError::Unavailable) when it could not
    /// be validated.
    fn validate(&self, access_token: &str, now: SystemTime) -> Result<AccessToken, TokenError>;

    /// Validates a token as [`validate`](Self::validate) does. [`PresentedToken::jkt`] is the thumbprint of
    /// the key whose proof came with the token, and `None` for a token that was presented as `Bearer` (RFC
    /// 9449 §7.1, §7.2). A [`ResourceServer`](crate::server::ResourceServer) calls this function, and
    /// compares the key with that of the result.
    ///
    /// By default it calls `validate`. Implement it if results are remembered: a result must be found only
    /// with the key that it was found for before. Otherwise, a thief who has a token and not its key learns
    /// from a fast refusal that the token is in use. A token that is bound to another key than `jkt` serves
    /// a refusal only, and may be returned without claims.
    ///
    /// # Errors
    /// Returns the same errors as `validate`.
    fn validate_presented(
        &self,
        presented: &PresentedToken<'_>,
        now: SystemTime,
    ) -> Result<AccessToken, TokenError> {
        self.validate(presented.access_token(), now)
    }

    /// Returns whether every validation needs I/O. By default it does, and
    /// [`ResourceServer::try_authenticate`](crate::server::ResourceServer::try_authenticate) then leaves the
    /// request to a thread that may block.
    ///
    /// A validator that never waits, such as the table above, returns false and needs nothing else.
    fn needs_io(&self) -> bool {
        true
    }

    /// Validates the token if that needs no I/O, and returns `None` if it does. It must not wait, and must
    /// return what [`validate_presented`](Self::validate_presented) would.
    ///
    /// It is called unless [`needs_io`](Self::needs_io) returns true. By default it calls
    /// `validate_presented`.
    fn try_validate_presented(
        &self,
        presented: &PresentedToken<'_>,
        now: SystemTime,
    ) -> Option<Result<AccessToken, TokenError>> {
        Some(self.validate_presented(presented, now))
    }
}

impl<V: TokenValidator + ?Sized> TokenValidator for Arc<V> {
    fn validate(&self, access_token: &str, now: SystemTime) -> Result<AccessToken, TokenError> {
        (**self).validate(access_token, now)
    }

    fn validate_presented(
        &self,
        presented: &PresentedToken<'_>,
        now: SystemTime,
    ) -> Result<AccessToken, TokenError> {
        (**self).validate_presented(presented, now)
    }

    fn needs_io(&self) -> bool {
        (**self).needs_io()
    }

    fn try_validate_presented(
        &self,
        presented: &PresentedToken<'_>,
        now: SystemTime,
    ) -> Option<Result<AccessToken, TokenError>> {
        (**self).try_validate_presented(presented, now)
    }
}

/// The claims of a valid access token, and the key that it is bound to.
///
/// ```
/// use possession::server::AccessToken;
///
/// let claims = serde_json::json!({
///     "sub": "alice",
///     "scope": "orders:read orders:write",
///     "cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
/// });
/// let token = AccessToken::new(claims.as_object().cloned().unwrap_or_default())?;
/// assert!(token.has_scope("orders:read"));
/// assert!(token.jkt().is_some());
/// # Ok::<(), possession::server::TokenError>(())
/// ```
#[derive(Clone)]
pub struct AccessToken {
    /// Shared, because caches return copies.
    claims: Arc<TokenClaims>,
    jkt: Option<Thumbprint>,
}

#[derive(Default)]
struct TokenClaims {
    /// The claims as a JSON object, which has been checked; empty if there is a map.
    json: Box<[u8]>,
    /// The claims of the JSON object are parsed when they are first used.
    map: OnceLock<Map<String, Value>>,
}

impl AccessToken {
    /// Creates an access token from the claims of a validated token. The key that it is bound to is read
    /// from `cnf` (RFC 9449 §6).
    ///
    /// Members of `cnf` that are not known are ignored, as RFC 7800 §3.1 demands.
    ///
    /// # Errors
    /// Returns [`Confirmation`](TokenError::Confirmation) when `cnf` is present and has no valid `jkt`, or
    /// binds the token in another registered way as well, such as to a certificate (`x5t#S256`): that
    /// binding would not be checked here.
    pub fn new(claims: Map<String, Value>) -> Result<Self, TokenError> {
        let jkt = claims.get("cnf").map(confirmed_jkt).transpose()?;
        let claims = TokenClaims { json: Box::default(), map: OnceLock::from(claims) };
        Ok(Self { claims: Arc::new(claims), jkt })
    }

    /// Creates an access token like [`new`](Self::new) from the payload of a JWT and the key that
    /// [`bound_key`](Self::bound_key) found in it.
    pub(super) fn from_payload(payload: &[u8], jkt: Option<Thumbprint>) -> Self {
        Self { claims: Arc::new(TokenClaims { json: payload.into(), map: OnceLock::new() }), jkt }
    }

    /// Returns the key that a token with these claims is bound to.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub(super) fn bound_key(claims: &Object<'_>) -> Result<Option<Thumbprint>, TokenError> {
        claims.get("cnf").map(confirmed_jkt).transpose()
    }

    /// Creates an access token that is bound to a key and has no claims.
    #[must_use]
    pub fn bound_to(jkt: Thumbprint) -> Self {
        Self { claims: Arc::default(), jkt: Some(jkt) }
    }

    /// Returns the token without its claims, which serves to refuse it.
    pub(super) fn without_claims(&self) -> Self {
        Self { claims: Arc::default(), jkt: self.jkt }
    }

    /// Returns the thumbprint of the key that the token is bound to; `None` for a `Bearer` token.
    #[must_use]
    pub fn jkt(&self) -> Option<Thumbprint> {
        self.jkt
    }

    /// Returns a claim.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims().get(name)
    }

    /// Returns all claims.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        let TokenClaims { json, map } = &*self.claims;
        map.get_or_init(|| json::parse_jose_object(json).unwrap_or_default().into_map())
    }

    /// Returns whether `scope` contains that scope token (RFC 6749 §3.3). Some servers write `scope` as an
    /// array of strings instead of one string with spaces; both are read.
    #[must_use]
    pub fn has_scope(&self, scope_token: &str) -> bool {
        let scopes = match self.claim("scope") {
            Some(scope @ Value::String(_)) => std::slice::from_ref(scope),
            Some(Value::Array(scopes)) => scopes.as_slice(),
            _ => &[],
        };
        let mut tokens = scopes.iter().filter_map(Value::as_str).flat_map(|scope| scope.split(' '));
        !scope_token.is_empty() && tokens.any(|token| token == scope_token)
    }
}

/// The confirmation methods other than `jkt` that are registered for JWTs (RFC 7800 §6.2): RFC 7800 §3.1,
/// RFC 8705 §3.1 and RFC 9203 §3.2.1.
const OTHER_METHODS: [&str; 6] = ["x5t#S256", "jwk", "jwe", "jku", "kid", "osc"];

/// Returns the thumbprint in a `cnf`. It never reports that there is none: a token with a `cnf` is bound to
/// something, and must not pass for one that anybody may use.
fn confirmed_jkt(cnf: &impl ClaimValue) -> Result<Thumbprint, TokenError> {
    let jkt = cnf.member("jkt").and_then(ClaimValue::text).and_then(|jkt| jkt.parse().ok());
    // Some issuers write `null` for a member that is absent. It binds nothing.
    let is_bound_otherwise =
        OTHER_METHODS.iter().any(|method| cnf.member(method).is_some_and(|binding| !binding.is_null()));
    jkt.filter(|_| !is_bound_otherwise).ok_or(TokenError::Confirmation)
}

impl PartialEq for AccessToken {
    fn eq(&self, other: &Self) -> bool {
        self.jkt == other.jkt && self.claims() == other.claims()
    }
}

impl fmt::Debug for AccessToken {
    /// Shows the names of the claims only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.claims().keys().collect();
        f.debug_struct("AccessToken").field("claims", &names).field("jkt", &self.jkt).finish()
    }
}
