//! What a resource server learns of an access token, from whoever can tell.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::error::Error;
use crate::jose::algorithm::Algorithm;
use crate::jose::backend::no_verifier;
use crate::jose::jws::{AlgorithmError, JwsError};
use crate::jose::public_key::Thumbprint;
use crate::server::claims::{NumericDate, string_claim};

/// Tells what an access token is worth: [`JwtValidator`](crate::server::JwtValidator) for JWTs,
/// [`Introspector`](crate::server::Introspector) for any, or your own table.
pub trait TokenValidator: Send + Sync {
    /// The token's claims after every check of the token itself.
    ///
    /// # Errors
    /// Why it is not accepted, or that nobody could tell.
    fn validate(&self, access_token: &str, now: SystemTime) -> Result<AccessToken, TokenError>;
}

impl<V: TokenValidator + ?Sized> TokenValidator for Arc<V> {
    fn validate(&self, access_token: &str, now: SystemTime) -> Result<AccessToken, TokenError> {
        (**self).validate(access_token, now)
    }
}

/// An access token that is valid, as its claims or its introspection say.
#[derive(Clone, PartialEq)]
pub struct AccessToken {
    claims: Map<String, Value>,
    jkt: Option<Thumbprint>,
}

impl AccessToken {
    /// From the claims of a token that was checked, with its binding from `cnf` (RFC 9449 §6).
    ///
    /// # Errors
    /// [`Confirmation`](TokenError::Confirmation) when `cnf` is there and is not the thumbprint of a key alone: a binding
    /// that is not understood must not be ignored.
    pub fn new(claims: Map<String, Value>) -> Result<Self, TokenError> {
        let jkt = match claims.get("cnf") {
            None => None,
            Some(Value::Object(cnf)) => match (cnf.get("jkt"), cnf.len()) {
                (Some(Value::String(jkt)), 1) => Some(jkt.parse().map_err(|_| TokenError::Confirmation)?),
                _ => return Err(TokenError::Confirmation),
            },
            Some(_) => return Err(TokenError::Confirmation),
        };
        Ok(Self { claims, jkt })
    }

    /// For a table of your own: a token bound to that key, with no claims.
    #[must_use]
    pub fn bound_to(jkt: Thumbprint) -> Self {
        Self { claims: Map::new(), jkt: Some(jkt) }
    }

    /// The thumbprint of the key it is bound to; `None` for a Bearer token.
    #[must_use]
    pub fn jkt(&self) -> Option<Thumbprint> {
        self.jkt
    }

    /// A claim.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// All of them.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Whether `scope` has that scope token (RFC 6749 §3.3).
    #[must_use]
    pub fn has_scope(&self, scope_token: &str) -> bool {
        let scope = self.claims.get("scope").and_then(Value::as_str);
        !scope_token.is_empty()
            && scope.is_some_and(|scope| scope.split(' ').any(|token| token == scope_token))
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.claims.keys().collect();
        f.debug_struct("AccessToken").field("claims", &names).field("jkt", &self.jkt).finish()
    }
}

/// Why an access token is not accepted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TokenError {
    /// It is not a well-formed JWT.
    Malformed(JwsError),
    /// Its `typ` is not `at+jwt` (RFC 9068 §4).
    Typ,
    /// Its `alg` is not one that is accepted.
    Algorithm {
        /// What it says, cut to printable ASCII.
        alg: String,
    },
    /// Its `alg` is one that is accepted, and whose signatures nobody here checks: a setting to mend.
    NoSignatureVerifier {
        /// Which.
        algorithm: Algorithm,
    },
    /// No key of the issuer has its `kid` and fits its `alg`.
    UnknownKey,
    /// The signature does not hold.
    Signature,
    /// Its `iss` is not the expected one.
    Issuer,
    /// Its `aud` does not contain this server.
    Audience,
    /// `exp` is over.
    Expired {
        /// For how many seconds.
        seconds: u64,
    },
    /// `nbf` has not come.
    NotYetValid {
        /// For how many seconds.
        seconds: u64,
    },
    /// A required claim is missing or of the wrong type.
    Claim {
        /// Which one.
        claim: String,
    },
    /// `cnf` is not one that is understood in full.
    Confirmation,
    /// It is not an access token: its `token_type` in the introspection response is another.
    Kind,
    /// It was never issued, expired or revoked: introspection does not say which (RFC 7662 §2.2).
    Inactive,
    /// Nobody could tell: keys or introspection are out of reach.
    Unavailable(Error),
}

impl From<AlgorithmError> for TokenError {
    fn from(error: AlgorithmError) -> Self {
        match error {
            AlgorithmError::Malformed(error) => Self::Malformed(error),
            AlgorithmError::NotAccepted { alg } => Self::Algorithm { alg },
            AlgorithmError::NoSignatureVerifier { algorithm } => Self::NoSignatureVerifier { algorithm },
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(wrong) => write!(f, "the access token is malformed: {wrong}"),
            Self::Typ => f.write_str("the access token's typ is not at+jwt"),
            Self::Algorithm { alg } => {
                write!(
                    f,
                    "the access token's alg {alg} is not accepted (`JwtValidator::algorithms` says what is)"
                )
            }
            Self::NoSignatureVerifier { algorithm } => {
                write!(f, "the access token's alg {algorithm} is accepted, but {}", no_verifier(*algorithm))
            }
            Self::UnknownKey => {
                f.write_str("no key of the issuer has the access token's kid and fits its alg")
            }
            Self::Signature => f.write_str("the access token's signature does not hold"),
            Self::Issuer => f.write_str("the access token's iss is not the expected one"),
            Self::Audience => f.write_str("the access token's aud does not contain this server"),
            Self::Expired { seconds } => write!(f, "the access token expired {seconds} s ago"),
            Self::NotYetValid { seconds } => write!(f, "the access token becomes valid in {seconds} s"),
            Self::Claim { claim } => write!(f, "the access token's {claim} is missing or of the wrong type"),
            Self::Confirmation => f.write_str("the access token's cnf is not one that is understood in full"),
            Self::Kind => f.write_str("the token is not an access token"),
            Self::Inactive => f.write_str("the access token is not active"),
            Self::Unavailable(error) => write!(f, "the access token could not be checked: {error}"),
        }
    }
}

impl std::error::Error for TokenError {}

/// `iss`, `aud`, `exp` and `nbf`, each where it is there.
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) audience: Option<&'a str>,
    pub(crate) leeway: u64,
}

impl Expected<'_> {
    pub(crate) fn check(&self, claims: &Map<String, Value>, now: u64) -> Result<(), TokenError> {
        let wrong = |claim: &str| TokenError::Claim { claim: claim.to_owned() };
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
        let date = |claim| NumericDate::of(claims, claim).map_err(|()| wrong(claim));
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

/// A claim that must be there, whatever its type; a string must not be empty.
pub(crate) fn require(claims: &Map<String, Value>, claim: &str) -> Result<(), TokenError> {
    let there = match claims.get(claim) {
        None | Some(Value::Null) => false,
        Some(Value::String(_)) => string_claim(claims, claim).is_some(),
        Some(_) => true,
    };
    there.then_some(()).ok_or_else(|| TokenError::Claim { claim: claim.to_owned() })
}
