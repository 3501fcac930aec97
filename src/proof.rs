//! The DPoP proof JWT (RFC 9449 §4.2), and the two values that its maker and its verifier both compute.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::crypto::{base64url, jti, push_base64url, sha256};
use crate::error::{Error, ErrorKind, printable};
use crate::key::{self, Signer};
use crate::public_key::PublicKey;
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
/// let proof: String = Proof::new("GET", "https://resource.example.org/orders?page=2")?
///     .access_token("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")
///     .sign(&key, SystemTime::now())?; // the value of the `DPoP` header
/// # assert_eq!(proof.split('.').count(), 3);
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone)]
pub struct Proof<'a> {
    method: &'a str,
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
    /// [`Url`](ErrorKind::Url) for a URL that client and server may read differently ([what it insists on](crate#what-it-insists-on));
    /// [`Parameter`](ErrorKind::Parameter) for a method that is not an HTTP token.
    pub fn new(method: &'a str, url: &str) -> Result<Self, Error> {
        let url = Url::http(url).map_err(|why| url::refused(ErrorKind::Url, "URL", url, why))?;
        check_method(method)?;
        let origin = url.origin().len();
        Ok(Self::with_htu(method, Cow::Owned(url.into_htu()), origin))
    }

    /// From a method and a URL that were checked before.
    pub(crate) fn of(method: &'a str, url: &'a Url) -> Self {
        Self::with_htu(method, Cow::Borrowed(url.htu()), url.origin().len())
    }

    fn with_htu(method: &'a str, htu: Cow<'a, str>, origin: usize) -> Self {
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
        key::check_signer(signer)?;
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
        claims.push_str(self.method);
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

/// A compact JWS from an encoded header and the JSON of the claims.
pub(crate) fn sign_compact(header: &str, claims: &str, signer: &dyn Signer) -> Result<String, Error> {
    // A third more than the octets, and 512 octets of signature for RSA with 4096 bits.
    let mut jws = String::with_capacity(header.len() + claims.len() * 4 / 3 + 96);
    jws.push_str(header);
    jws.push('.');
    push_base64url(&mut jws, claims.as_bytes());
    let signature = key::sign(signer, jws.as_bytes())?;
    jws.push('.');
    push_base64url(&mut jws, &signature);
    Ok(jws)
}

/// The JOSE header of every proof of a key, encoded.
pub(crate) fn encoded_header(key: &PublicKey, alg: &str) -> String {
    base64url(format!(r#"{{"typ":"dpop+jwt","alg":"{alg}","jwk":{}}}"#, key.to_jwk()).as_bytes())
}

pub(crate) fn check_method(method: &str) -> Result<(), Error> {
    match http::Method::from_bytes(method.as_bytes()) {
        Ok(_) => Ok(()),
        Err(_) => {
            let wrong = format!("{} is not an HTTP method", printable(method, 40));
            Err(Error::new(ErrorKind::Parameter, "making a DPoP proof", wrong))
        }
    }
}

/// Seconds since 1970, rounded down: a time that is never ahead of the clock.
pub(crate) fn unix_seconds(now: SystemTime) -> Result<u64, Error> {
    match now.duration_since(UNIX_EPOCH) {
        Ok(since) if i64::try_from(since.as_secs()).is_ok() => Ok(since.as_secs()),
        Ok(_) => {
            Err(Error::new(ErrorKind::Clock, "reading the clock", "it is further ahead than a JWT can say"))
        }
        Err(_) => {
            Err(Error::new(ErrorKind::Clock, "reading the clock", "it shows a time before 1970: set it"))
        }
    }
}

/// 1*NQCHAR (RFC 9449 §8.1), within a bound: a server's nonce is kept and sent back.
pub(crate) fn is_nonce(nonce: &str) -> bool {
    (1..=1024).contains(&nonce.len()) && nonce.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// RFC 9110 §11.2.
pub(crate) fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
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

/// An `htu` as it is compared (RFC 9449 §4.3): without query and fragment, after the syntax-based and scheme-based
/// normalisation of RFC 3986 §6.2.2 and §6.2.3. Equal means the same resource.
///
/// Case of scheme and host, a default port, escapes of unreserved characters, dot segments and an empty path make no
/// difference; a trailing slash, `//`, case of the path and `%2F` do.
///
/// ```
/// use possession::Htu;
///
/// let a: Htu = "HTTPS://Server.Example.com:443/%7Euser/./token?x=1".parse()?;
/// assert_eq!(a, "https://server.example.com/~user/token".parse()?);
/// assert_ne!(a, "https://server.example.com/~user/token/".parse()?);
/// assert!("https:\\server.example.com/".parse::<Htu>().is_err()); // refused, not repaired
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Htu(String);

impl Htu {
    /// Whether `text` is this one, written in normal form; one written otherwise may be the same all the same.
    pub(crate) fn is_written(&self, text: &str) -> bool {
        self.0 == text
    }
}

impl FromStr for Htu {
    type Err = Error;

    /// # Errors
    /// [`Url`](ErrorKind::Url) for anything that is not an absolute URL with a host by the letter of RFC 3986.
    fn from_str(text: &str) -> Result<Self, Error> {
        match Url::parse(text).and_then(Url::with_clean_query) {
            Ok(url) => Ok(Self(url.into_normal_form())),
            Err(why) => Err(url::refused(ErrorKind::Url, "htu", text, why)),
        }
    }
}

impl fmt::Display for Htu {
    /// In normal form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Htu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Htu({})", self.0)
    }
}
