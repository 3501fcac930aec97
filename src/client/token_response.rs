//! Token responses (RFC 6749 §5.1).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::jose::json::Members;
use crate::jose::public_key::Thumbprint;
use crate::text::{is_token68, printable};

/// HTTP clients and servers limit the size of a request head, most of them below this.
const MAX_ACCESS_TOKEN: usize = 32 * 1024;

/// What a token may be used as (RFC 6749 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenType {
    /// Bound to a key: a proof goes with each use (RFC 9449).
    Dpop,
    /// Whoever has it can use it (RFC 6750).
    Bearer,
}

impl fmt::Display for TokenType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dpop => "DPoP",
            Self::Bearer => "Bearer",
        })
    }
}

/// A token, checked. `Debug` shows none of its secrets.
pub struct TokenResponse {
    access_token: Arc<Zeroizing<String>>,
    refresh_token: Option<Zeroizing<String>>,
    pub(super) token_type: TokenType,
    expires_in: Option<Duration>,
    scope: Option<String>,
    jkt: Option<Thumbprint>,
    requests: u32,
    members: Members,
}

impl TokenResponse {
    pub(crate) fn read(mut members: Members, jkt: Option<Thumbprint>, requests: u32) -> Result<Self, String> {
        let mut optional = |name: &str| match members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("the answer's `{name}` is not a string")),
        };
        let access_token =
            optional("access_token")?.map(Zeroizing::new).ok_or("the answer has no `access_token`")?;
        let refresh_token = optional("refresh_token")?.map(Zeroizing::new);
        let scope = optional("scope")?;
        let token_type = optional("token_type")?.ok_or("the answer has no `token_type`")?;
        let token_type = match token_type.to_ascii_lowercase().as_str() {
            "dpop" => TokenType::Dpop,
            "bearer" => TokenType::Bearer,
            _ => {
                return Err(format!(
                    "the answer's `token_type` {} is neither DPoP nor Bearer",
                    printable(&token_type, 40)
                ));
            }
        };
        if access_token.len() > MAX_ACCESS_TOKEN {
            return Err(format!(
                "the answer's `access_token` is longer than the {MAX_ACCESS_TOKEN} characters that fit into a request"
            ));
        }
        if !is_token68(&access_token) {
            return Err("the answer's `access_token` has characters that no Authorization header can carry"
                .to_owned());
        }
        let expires_in = match members.remove("expires_in") {
            None | Some(Value::Null) => None,
            Some(value) => {
                Some(seconds(&value).ok_or("the answer's `expires_in` is not a number of seconds")?)
            }
        };
        let jkt = jkt.filter(|_| token_type == TokenType::Dpop);
        let access_token = Arc::new(access_token);
        Ok(Self { access_token, refresh_token, token_type, expires_in, scope, jkt, requests, members })
    }

    /// The access token.
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    pub(crate) fn shared_access_token(&self) -> Arc<Zeroizing<String>> {
        Arc::clone(&self.access_token)
    }

    /// The refresh token, which servers should not give in this grant (RFC 6749 §4.4.3).
    #[must_use]
    pub fn refresh_token(&self) -> Option<&str> {
        self.refresh_token.as_deref().map(String::as_str)
    }

    /// Its type.
    #[must_use]
    pub fn token_type(&self) -> TokenType {
        self.token_type
    }

    /// How long it is valid from the response on, if the server said.
    #[must_use]
    pub fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }

    /// The scope the server granted; `None`: the one that was asked for (RFC 6749 §5.1).
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The thumbprint of the key it is bound to; `None` for a `Bearer` token.
    #[must_use]
    pub fn jkt(&self) -> Option<Thumbprint> {
        self.jkt
    }

    /// How many requests were sent for it: 2 when the server asked for a nonce.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Any further member of the response.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse")
            .field("token_type", &self.token_type)
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .field("jkt", &self.jkt)
            .finish_non_exhaustive()
    }
}

/// A number of seconds from zero up, also written as a string as some servers do; fractions are cut off, and what is
/// beyond all time is as long as can be said.
fn seconds(value: &Value) -> Option<Duration> {
    let number = match value {
        Value::Number(number) => match number.as_u64() {
            Some(whole) => return Some(Duration::from_secs(whole)),
            None => number.as_f64()?,
        },
        Value::String(digits)
            if (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            return Some(Duration::from_secs(digits.parse().unwrap_or(u64::MAX)));
        }
        _ => return None,
    };
    // A cast from a float saturates.
    (number >= 0.0).then_some(Duration::from_secs(number as u64))
}
