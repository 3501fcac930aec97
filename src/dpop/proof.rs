//! The DPoP proof JWT (RFC 9449 §4.2), and the two values that its maker and its verifier both compute.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::SystemTime;

use http::Method;
use serde_json::{Map, Value};

use crate::crypto::{jti, sha256};
use crate::error::{Error, ErrorKind};
use crate::jose::base64url::{base64url, push_base64url};
use crate::jose::public_key::PublicKey;
use crate::jose::signer::{self, Signer, sign_compact};
use crate::text::{is_nonce, is_token68};
use crate::time::unix_seconds;
use crate::url::{self, Url};

const RESERVED: [&str; 6] = ["jti", "htm", "htu", "iat", "ath", "nonce"];

/// What a DPoP proof is to say: method and URL of one request, and what else applies.
///
/// For requests that this crate sends, proofs are made by [`Prover`](crate::Prover) and you need not touch this. By hand:
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
    /// How much of `htu` is the origin.
    origin: usize,
    access_token: Option<&'a str>,
    nonce: Option<Cow<'a, str>>,
    claims: Map<String, Value>,
}

impl<'a> Proof<'a> {
    /// A proof for one request: its method, verbatim and case-sensitive, and its URL. Query and fragment are left out of
    /// `htu`; scheme and host are written in lower case and without a default port, everything else as it stands.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) for a URL that client and server may read differently ([what it insists on](crate#what-it-insists-on)).
    pub fn new(method: &'a Method, url: &str) -> Result<Self, Error> {
        let url = Url::http(url).map_err(|why| url::refused(ErrorKind::Url, "URL", url, why))?;
        let origin = url.origin().len();
        Ok(Self::with_htu(method, Cow::Owned(url.into_htu()), origin))
    }

    /// From a method and a URL that were checked before.
    pub(crate) fn of(method: &'a Method, url: &'a Url) -> Self {
        Self::with_htu(method, Cow::Borrowed(url.htu()), url.origin().len())
    }

    fn with_htu(method: &'a Method, htu: Cow<'a, str>, origin: usize) -> Self {
        Self { method, htu, origin, access_token: None, nonce: None, claims: Map::new() }
    }

    /// Where it goes, and where its nonce came from.
    pub(crate) fn origin(&self) -> &str {
        self.htu.get(..self.origin).unwrap_or_default()
    }

    pub(crate) fn has_nonce(&self) -> bool {
        self.nonce.is_some()
    }

    /// Adds `ath`, the hash of the access token that goes with the request (RFC 9449 §7). Not at the token endpoint.
    #[must_use]
    pub fn access_token(self, access_token: &'a str) -> Self {
        Self { access_token: Some(access_token), ..self }
    }

    /// Adds the `nonce` that the server gave (RFC 9449 §8).
    #[must_use]
    pub fn nonce(self, nonce: impl Into<Cow<'a, str>>) -> Self {
        Self { nonce: Some(nonce.into()), ..self }
    }

    /// Adds a claim of your own. The claims of RFC 9449 §4.2 cannot be given this way.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Makes the proof: a compact JWS, new `jti` each time, `iat` the whole second that `now` lies in.
    ///
    /// # Errors
    /// [`Parameter`](ErrorKind::Parameter) for a nonce, an access token or a claim that cannot stand in a proof;
    /// [`Clock`](ErrorKind::Clock), [`Random`](ErrorKind::Random), [`Signer`](ErrorKind::Signer);
    /// [`Algorithm`](ErrorKind::Algorithm) when the signer's algorithm does not fit its key.
    pub fn sign(&self, signer: &dyn Signer, now: SystemTime) -> Result<String, Error> {
        signer::check_signer(signer)?;
        let names = signer.algorithm().name_for(None, signer.algorithm_name());
        let header = encoded_header(signer.public_key(), names.unwrap_or_default());
        self.sign_with(&header, signer, unix_seconds(now)?)
    }

    /// The same with a header encoded before and `iat` given.
    pub(crate) fn sign_with(&self, header: &str, signer: &dyn Signer, iat: u64) -> Result<String, Error> {
        let refuse =
            |wrong: &'static str| Err(Error::new(ErrorKind::Parameter, "making a DPoP proof", wrong));
        if self.access_token.is_some_and(|token| !is_token68(token)) {
            return refuse(
                "the access token has characters that the DPoP scheme cannot carry (RFC 9449 §7.1)",
            );
        }
        if self.nonce.as_ref().is_some_and(|nonce| !is_nonce(nonce)) {
            return refuse(
                "the nonce is empty, longer than 1,024 or has characters beyond those of RFC 9449 §8.1",
            );
        }
        if self.claims.keys().any(|name| RESERVED.contains(&name.as_str())) {
            return refuse("a claim of RFC 9449 §4.2 was given as a claim of one's own");
        }
        // Method, htu and nonce were checked to need no escapes in JSON, so the claims are written as they stand.
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
}

impl fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").field("htm", &self.method).field("htu", &self.htu).finish_non_exhaustive()
    }
}

/// The JOSE header of every proof of a key, encoded.
pub(crate) fn encoded_header(key: &PublicKey, alg: &str) -> String {
    base64url(format!(r#"{{"typ":"dpop+jwt","alg":"{alg}","jwk":{}}}"#, key.to_jwk()).as_bytes())
}

/// The `ath` of an access token (RFC 9449 §4.2): base64url of the SHA-256 of its ASCII.
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
