//! What a client keeps while the browser is at the authorization server.

use std::fmt;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::client::sign_in::pkce::CodeVerifier;
use crate::error::{Error, ErrorKind};
use crate::jose::json::{self, Members};
use crate::jose::public_key::Thumbprint;

/// The version of the JSON form.
const VERSION: u64 = 1;
/// The shortest `state` that is read back: the one of this crate, with 128 bits.
const MIN_STATE: usize = 22;

/// An authorization request that was made and whose response has not come: what the response is compared
/// with, and what the code is exchanged with. Give it the response with [`receive`](Self::receive), which
/// consumes it.
///
/// Keep it where only this login can find it: in memory, or in the session of one browser, which protects
/// users from logins that somebody else started (RFC 6749 §10.12). [`to_json`](Self::to_json) writes it as
/// text. It is a secret: whoever has it and the code has the tokens, unless the code is bound to a key. It is
/// wiped when dropped, and `Debug` shows neither `state` nor the code verifier.
///
/// ```
/// use possession::{AuthorizationRequest, PendingAuthorization};
///
/// # use possession::*;
/// # fn main() -> Result<(), Error> {
/// # let server = AuthorizationServer::builder("https://server.example.com")
/// #     .member("authorization_endpoint", "https://server.example.com/authorize").build()?;
/// # let (client, options) = (Client::new("s6BhdRkqt3")?, RequestOptions::new());
/// # let request = AuthorizationRequest::new("https://client.example.org/cb");
/// let (url, pending) = request.front_channel(&server, &client, &options)?;
/// let stored = pending.to_json();
/// // In the request that the browser makes to the redirect URI:
/// let pending = PendingAuthorization::from_json(&stored)?;
/// # let query = format!("code=x&state={}", pending.state());
/// let code = pending.receive_query(&query)?;
/// # let _ = (url, code);
/// # Ok(()) }
/// ```
pub struct PendingAuthorization {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) state: Zeroizing<String>,
    pub(crate) code_verifier: CodeVerifier,
    pub(crate) jkt: Option<Thumbprint>,
    /// Whether the response must have `iss` (RFC 9207 §2.4).
    pub(crate) iss_required: bool,
}

impl PendingAuthorization {
    /// Returns `state`, by which a program that waits for several responses finds the request of one.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Returns the issuer identifier of the authorization server.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the redirect URI that the response goes to.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Returns the thumbprint of the key that the code is bound to (RFC 9449 §10), if there is one.
    #[must_use]
    pub fn jkt(&self) -> Option<Thumbprint> {
        self.jkt
    }

    /// Returns the value as JSON, which holds secrets.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<String> {
        let mut members = Members::default();
        let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
        add("version", VERSION.into());
        add("issuer", self.issuer.as_str().into());
        add("client_id", self.client_id.as_str().into());
        add("redirect_uri", self.redirect_uri.as_str().into());
        add("state", self.state.as_str().into());
        add("code_verifier", self.code_verifier.as_str().into());
        if let Some(jkt) = self.jkt {
            add("dpop_jkt", jkt.to_string().into());
        }
        add("iss_required", self.iss_required.into());
        // Capacity for every character escaped, so that no reallocation leaves a secret in memory.
        let text = |value: &Value| value.as_str().map_or(0, str::len).saturating_mul(6);
        let capacity = members.values().fold(512, |sum, value| text(value).saturating_add(sum));
        let mut json = Zeroizing::new(Vec::with_capacity(capacity));
        // Writing strings and numbers to memory cannot fail, and what is written is UTF-8.
        let _ = serde_json::to_writer(&mut *json, &*members);
        Zeroizing::new(String::from_utf8(std::mem::take(&mut *json)).unwrap_or_default())
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`Malformed`](ErrorKind::Malformed) when it is something else, or of another version.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        Self::parse(json).map_err(|wrong| {
            Error::new(ErrorKind::Malformed, "reading a pending authorization from JSON", wrong)
        })
    }

    fn parse(json: &str) -> Result<Self, String> {
        let mut members = json::parse_members(json.as_bytes()).map_err(|error| error.to_string())?;
        if members.get("version").and_then(Value::as_u64) != Some(VERSION) {
            return Err(format!("its `version` is not {VERSION}"));
        }
        let mut text = |name: &str| match members.remove(name) {
            Some(Value::String(text)) => Ok(Some(Zeroizing::new(text))),
            Some(_) => Err(format!("its `{name}` is not a string")),
            None => Ok(None),
        };
        let mut required = |name: &str| text(name)?.ok_or_else(|| format!("it has no `{name}`"));
        let state = required("state")?;
        if state.len() < MIN_STATE {
            return Err("its `state` is too short".to_owned());
        }
        let code_verifier = CodeVerifier::new(required("code_verifier")?.as_str());
        let [issuer, client_id, redirect_uri] =
            [required("issuer")?, required("client_id")?, required("redirect_uri")?]
                .map(|text| text.to_string());
        let jkt = text("dpop_jkt")?.map(|jkt| jkt.parse()).transpose();
        let iss_required = members.get("iss_required").and_then(Value::as_bool);
        Ok(Self {
            issuer,
            client_id,
            redirect_uri,
            state,
            code_verifier: code_verifier.map_err(|error| error.to_string())?,
            jkt: jkt.map_err(|error: Error| error.to_string())?,
            iss_required: iss_required.ok_or("it has no boolean `iss_required`")?,
        })
    }
}

impl fmt::Debug for PendingAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAuthorization")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .field("jkt", &self.jkt)
            .field("iss_required", &self.iss_required)
            .finish_non_exhaustive()
    }
}
