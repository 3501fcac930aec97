//! The DPoP proof JWT (RFC 9449 §4.2) and its `ath` claim.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::SystemTime;

use http::Method;
use serde_json::{Map, Value};

use crate::crypto::{jti, sha256};
use crate::error::{Error, ErrorKind};
use crate::jose::base64url::{base64url, from_base64url, push_base64url};
use crate::jose::json::{self, Json};
use crate::jose::public_key::PublicKey;
use crate::jose::signer::{self, Signer, sign_compact};
use crate::text::{is_nonce, is_token68};
use crate::time::unix_seconds;
use crate::url::{self, Url};

/// The claims that a caller cannot set with [`Proof::claim`].
const RESERVED: [&str; 6] = ["jti", "htm", "htu", "iat", "ath", "nonce"];

/// The claims of a DPoP proof: method and URL of one request, and where they apply the access token, a nonce
/// and claims of your own.
///
/// [`Prover`](crate::Prover) makes the proofs of all requests that this crate sends. A proof is made by hand
/// like this:
///
/// ```
/// use std::time::SystemTime;
/// use possession::{Algorithm, KeyPair, Proof};
///
/// let key = KeyPair::generate(Algorithm::Es256)?;
/// let proof: String = Proof::new(&http::Method::GET, "https://resource.example.org/orders?page=2")?
///     .access_token("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")
///     .sign(&key, SystemTime::now())?; // the value of the `DPoP` header
/// # assert_eq!(proof.split('.').count(), 3);
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone)]
pub struct Proof<'a> {
    method: &'a Method,
    htu: Cow<'a, str>,
    /// The length of the origin, with which `htu` begins.
    origin: usize,
    access_token: Option<&'a str>,
    nonce: Option<Cow<'a, str>>,
    claims: Map<String, Value>,
}

impl<'a> Proof<'a> {
    /// Starts a proof for one request. `htm` is the method, which is case-sensitive. `htu` is the URL without
    /// query and fragment, with scheme and host in lower case and without a default port, and otherwise as it
    /// was given.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) for a URL that is not http or https, or that client and server may read
    /// differently: one with dot segments, a user name, white space or characters that must be
    /// percent-encoded.
    pub fn new(method: &'a Method, url: &str) -> Result<Self, Error> {
        let url = Url::http(url).map_err(|why| url::refused(ErrorKind::Url, "URL", url, why))?;
        let origin = url.origin().len();
        Ok(Self::with_htu(method, Cow::Owned(url.into_htu()), origin))
    }

    /// Starts a proof for a URL that was parsed before.
    pub(crate) fn from_url(method: &'a Method, url: &'a Url) -> Self {
        Self::with_htu(method, Cow::Borrowed(url.htu()), url.origin().len())
    }

    fn with_htu(method: &'a Method, htu: Cow<'a, str>, origin: usize) -> Self {
        Self { method, htu, origin, access_token: None, nonce: None, claims: Map::new() }
    }

    /// Adds `ath`, the hash of the access token that is sent with the request (RFC 9449 §7). Proofs for the
    /// token endpoint have none.
    #[must_use]
    pub fn access_token(self, access_token: &'a str) -> Self {
        Self { access_token: Some(access_token), ..self }
    }

    /// Adds `nonce`, the nonce that the server supplied (RFC 9449 §8).
    #[must_use]
    pub fn nonce(self, nonce: impl Into<Cow<'a, str>>) -> Self {
        Self { nonce: Some(nonce.into()), ..self }
    }

    /// Adds a claim of your own. The claims of RFC 9449 §4.2 cannot be set this way. `value` is anything that
    /// converts into a [`serde_json::Value`](https://docs.rs/serde_json/1/serde_json/enum.Value.html).
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Returns the signed proof, a compact JWS. Each call generates a new `jti`. `iat` is `now`, rounded down
    /// to the second.
    ///
    /// # Errors
    /// - [`Parameter`](ErrorKind::Parameter) for a nonce, an access token or a claim that a proof cannot
    ///   contain.
    /// - [`Algorithm`](ErrorKind::Algorithm) when the signer's algorithm does not fit its key.
    /// - [`Clock`](ErrorKind::Clock) when `now` is before 1970 or too late for a JWT.
    /// - [`Random`](ErrorKind::Random) when the operating system supplies no random bytes.
    /// - [`Signer`](ErrorKind::Signer) when the signer fails.
    pub fn sign(&self, signer: &dyn Signer, now: SystemTime) -> Result<String, Error> {
        signer::check_signer(signer)?;
        let alg = signer.algorithm().name_for(None, signer.algorithm_name());
        let header = encoded_header(signer.public_key(), alg.unwrap_or_default());
        self.sign_with(&header, signer, unix_seconds(now)?)
    }

    /// Returns the signed proof with the given encoded header and `iat`.
    pub(crate) fn sign_with(&self, header: &str, signer: &dyn Signer, iat: u64) -> Result<String, Error> {
        let refuse =
            |wrong: &'static str| Err(Error::new(ErrorKind::Parameter, "making a DPoP proof", wrong));
        if self.access_token.is_some_and(|token| !is_token68(token)) {
            return refuse("the access token is not a token68, as the DPoP scheme requires (RFC 9449 §7.1)");
        }
        if self.nonce.as_ref().is_some_and(|nonce| !is_nonce(nonce)) {
            return refuse("the nonce is not 1 to 1,024 of the characters that RFC 9449 §8.1 allows");
        }
        if self.claims.keys().any(|name| RESERVED.contains(&name.as_str())) {
            return refuse("a claim of RFC 9449 §4.2 was set as an additional claim");
        }
        // The method, `htu` and the nonce were checked to need no escapes in JSON.
        let mut claims =
            String::with_capacity(192 + self.htu.len() + self.nonce.as_ref().map_or(0, |n| n.len()));
        let mut hyphenated = uuid::Uuid::encode_buffer();
        claims.push_str("{\"jti\":\"");
        claims.push_str(jti()?.hyphenated().encode_lower(&mut hyphenated));
        claims.push_str("\",\"htm\":\"");
        claims.push_str(self.method.as_str());
        claims.push_str("\",\"htu\":\"");
        claims.push_str(&self.htu);
        // Writing to a String cannot fail.
        let _ = write!(claims, "\",\"iat\":{iat}");
        if let Some(token) = self.access_token {
            claims.push_str(",\"ath\":\"");
            push_base64url(&mut claims, &sha256(token.as_bytes()));
            claims.push('"');
        }
        if let Some(nonce) = &self.nonce {
            claims.push_str(",\"nonce\":\"");
            claims.push_str(nonce);
            claims.push('"');
        }
        for (name, value) in &self.claims {
            let _ = write!(claims, ",{}:{value}", Value::from(name.as_str()));
        }
        claims.push('}');
        sign_compact(header, &claims, signer)
    }

    /// Returns the origin of the URL.
    pub(crate) fn origin(&self) -> &str {
        self.htu.get(..self.origin).unwrap_or_default()
    }

    pub(crate) fn has_nonce(&self) -> bool {
        self.nonce.is_some()
    }
}

impl fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").field("htm", &self.method).field("htu", &self.htu).finish_non_exhaustive()
    }
}

/// Returns the base64url-encoded JOSE header of a key's proofs, which is the same for all of them.
pub(crate) fn encoded_header(key: &PublicKey, alg: &str) -> String {
    base64url(format!(r#"{{"typ":"dpop+jwt","alg":"{alg}","jwk":{}}}"#, key.to_jwk()).as_bytes())
}

/// Checks the signature of a proof of this client that a server refused, with the key in its header.
///
/// # Errors
/// [`Signer`](ErrorKind::Signer) when the signature does not belong to that key.
pub(crate) fn check_refused_proof(proof: &str) -> Result<(), Error> {
    let header = proof.split('.').next().and_then(from_base64url).unwrap_or_default();
    let key = json::parse_object(&header).ok().and_then(|header| match header.get("jwk") {
        Some(Json::Object(jwk)) => PublicKey::from_members(jwk).ok(),
        _ => None,
    });
    key.map_or(Ok(()), |key| signer::check_refused_signature(&key, proof))
}

/// Returns the `ath` of an access token (RFC 9449 §4.2): the base64url-encoded SHA-256 hash of its ASCII
/// bytes.
///
/// ```
/// // RFC 9449 figures 13 and 14
/// assert_eq!(
///     possession::ath("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"),
///     "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
/// );
/// ```
#[must_use]
pub fn ath(access_token: &str) -> String {
    base64url(&sha256(access_token.as_bytes()))
}
