//! Token responses (RFC 6749 §5.1).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use zeroize::Zeroizing;

use crate::jose::json::Members;
use crate::jose::public_key::Thumbprint;
use crate::text::{is_token68, printable};

/// The longest access token that is accepted, in bytes: HTTP clients and servers limit the size of a request
/// head, most of them below this.
const MAX_ACCESS_TOKEN: usize = 32 * 1024;

/// How a token is used (RFC 6749 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenType {
    /// The token is bound to a key, and each use needs a proof (RFC 9449).
    Dpop,
    /// Whoever has the token can use it (RFC 6750).
    Bearer,
    /// The issued token is not an access token, so that it is not used as one (`N_A`, RFC 8693 §2.2.1).
    NotApplicable,
}

impl fmt::Display for TokenType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dpop => "DPoP",
            Self::Bearer => "Bearer",
            Self::NotApplicable => "N_A",
        })
    }
}

/// An access token with its type. Clones share the token.
#[derive(Clone)]
pub(crate) struct TypedToken {
    pub(crate) token_type: TokenType,
    pub(crate) access_token: Arc<Zeroizing<String>>,
}

/// A successful token response that has been checked. `Debug` shows none of its secrets.
pub struct TokenResponse {
    token: TypedToken,
    refresh_token: Option<Zeroizing<String>>,
    expires_in: Option<Duration>,
    scope: Option<String>,
    jkt: Option<Thumbprint>,
    requests: u32,
    received_at: SystemTime,
    members: Members,
}

impl TokenResponse {
    /// Takes the members of a token response that `requests` requests were sent for. `jkt` is the key of
    /// their proofs.
    pub(crate) fn from_members(
        mut members: Members,
        jkt: Option<Thumbprint>,
        requests: u32,
        received_at: SystemTime,
    ) -> Result<Self, String> {
        if members.get("error").is_some_and(|error| !is_no_error(error)) {
            return Err("the response has an `error` that is not an error code (RFC 6749 §5.2)".to_owned());
        }
        let mut optional = |name: &str| match members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("the response's `{name}` is not a string")),
        };
        let access_token =
            optional("access_token")?.map(Zeroizing::new).ok_or("the response has no `access_token`")?;
        let refresh_token = optional("refresh_token")?.map(Zeroizing::new);
        let scope = optional("scope")?;
        let token_type = optional("token_type")?.ok_or("the response has no `token_type`")?;
        let token_type = match token_type.to_ascii_lowercase().as_str() {
            "dpop" => TokenType::Dpop,
            "bearer" => TokenType::Bearer,
            "n_a" => TokenType::NotApplicable,
            _ => {
                let shown = printable(&token_type, 40);
                return Err(format!("the response's `token_type` {shown} is neither DPoP nor Bearer"));
            }
        };
        let is_access_token = token_type != TokenType::NotApplicable;
        if is_access_token && access_token.len() > MAX_ACCESS_TOKEN {
            return Err(format!(
                "the response's `access_token` is longer than the {MAX_ACCESS_TOKEN} \
                 characters that fit into a request"
            ));
        }
        if is_access_token && !is_token68(&access_token) {
            return Err(
                "the response's `access_token` has characters that no Authorization header can carry"
                    .to_owned(),
            );
        }
        // A token that works is not discarded because nobody knows how long.
        let expires_in = match members.remove("expires_in") {
            None | Some(Value::Null) => None,
            Some(value) => seconds(&value).or_else(|| {
                log::warn!("the `expires_in` of a token response is not a number of seconds: it is ignored");
                None
            }),
        };
        let jkt = jkt.filter(|_| token_type == TokenType::Dpop);
        let token = TypedToken { token_type, access_token: Arc::new(access_token) };
        Ok(Self { token, refresh_token, expires_in, scope, jkt, requests, received_at, members })
    }

    /// Returns the access token.
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.token.access_token
    }

    /// Returns the refresh token. Servers should not issue one in the client credentials grant (RFC 6749
    /// §4.4.3). One that was issued for a refresh token replaces it (§6).
    #[must_use]
    pub fn refresh_token(&self) -> Option<&str> {
        self.refresh_token.as_deref().map(String::as_str)
    }

    /// Returns the type of the access token.
    #[must_use]
    pub fn token_type(&self) -> TokenType {
        self.token.token_type
    }

    /// Returns how long the access token is valid, counted from the response; `None` if the server did not
    /// say so, or not as a number of seconds.
    #[must_use]
    pub fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }

    /// Returns the scope that the server granted; `None` if it is the requested one (RFC 6749 §5.1).
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Returns the thumbprint of the key that the access token is bound to; `None` for a `Bearer` token.
    #[must_use]
    pub fn jkt(&self) -> Option<Thumbprint> {
        self.jkt
    }

    /// Returns the number of requests that were sent for the token: 2 when the server asked for a nonce, 0
    /// when it was stored by an earlier [`Session`](crate::Session).
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Returns when the response arrived, by the time that
    /// [`TokenRequest::receive`](crate::TokenRequest::receive) was given.
    #[must_use]
    pub fn received_at(&self) -> SystemTime {
        self.received_at
    }

    /// Returns the type of the issued token in a response to a token exchange, a URI such as
    /// `urn:ietf:params:oauth:token-type:access_token` (RFC 8693 §2.2.1).
    #[must_use]
    pub fn issued_token_type(&self) -> Option<&str> {
        self.member("issued_token_type").and_then(Value::as_str)
    }

    /// Returns the `id_token`, which has **not** been verified: this crate is not an OpenID client. Use it
    /// for nothing that matters before its signature and claims are checked (OpenID Connect Core 1.0
    /// §3.1.3.7).
    #[must_use]
    pub fn unverified_id_token(&self) -> Option<&str> {
        self.member("id_token").and_then(Value::as_str)
    }

    /// Returns any other member of the response, such as `sub` or `authorization_details`.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// Returns the response as it is stored: with the members that [`from_members`](Self::from_members)
    /// reads.
    pub(crate) fn to_members(&self) -> Members {
        let mut members = self.members.clone();
        let text = |text: &str| Value::String(text.to_owned());
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                members.insert(name.to_owned(), value);
            }
        };
        set("access_token", Some(text(self.access_token())));
        set("token_type", Some(text(&self.token_type().to_string())));
        set("refresh_token", self.refresh_token().map(text));
        set("expires_in", self.expires_in.map(|lifetime| lifetime.as_secs().into()));
        set("scope", self.scope().map(text));
        members
    }

    pub(crate) fn typed_token(&self) -> &TypedToken {
        &self.token
    }
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse")
            .field("token_type", &self.token.token_type)
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .field("jkt", &self.jkt)
            .finish_non_exhaustive()
    }
}

/// Returns whether the value of `error` says that there is none, as some servers write it.
fn is_no_error(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(code) => code.is_empty(),
        _ => false,
    }
}

/// Returns a non-negative number of seconds, which some servers write as a string. Fractions are cut off; a
/// number that is too large becomes the largest duration.
fn seconds(value: &Value) -> Option<Duration> {
    let number = match value {
        Value::Number(number) => match number.as_u64() {
            Some(whole) => return Some(Duration::from_secs(whole)),
            None => number.as_f64()?,
        },
        Value::String(text) => match text.trim().parse::<u64>() {
            Ok(whole) => return Some(Duration::from_secs(whole)),
            Err(_) => text.trim().parse::<f64>().ok()?,
        },
        _ => return None,
    };
    // A cast from a float saturates. Rust parses "inf" and "nan" as well.
    (number.is_finite() && number >= 0.0).then_some(Duration::from_secs(number as u64))
}
