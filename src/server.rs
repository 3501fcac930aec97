//! The other side: checking the proofs that clients send (RFC 9449 §4.3).

mod rejection;
mod replay;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Method};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

pub use self::rejection::{Reason, Rejection};
pub use self::replay::{Insertion, MemoryReplayStore, ReplayKey, ReplayStore, ReplayStoreError};
use crate::algorithm::Algorithm;
use crate::error::{Error, ErrorKind};
use crate::jws::Jws;
use crate::proof::{Htu, ath, is_nonce, unix_seconds};
use crate::public_key::{PublicKey, Thumbprint, private_member};
use crate::url::{self, Url};

/// Beyond this no number is a time in seconds that anybody means: the year 9999.
const MAX_TIME: u64 = 253_402_300_799;

/// Checks DPoP proofs: everything RFC 9449 §4.3 demands, in one call that cannot be half done.
///
/// One verifier serves all threads. Give each endpoint its own replay store, and authenticate the client of a token request
/// first: at an endpoint that is open to all, whoever likes can fill the store with proofs by keys of their own, and a full
/// store rejects. By default it accepts `ES256` and Ed25519, proofs up to 60 seconds old and up to
/// 5 seconds ahead of this machine's clock.
///
/// ```
/// use std::time::SystemTime;
/// use possession::*;
///
/// let verifier = Verifier::new(MemoryReplayStore::new(100_000));
///
/// # let key = KeyPair::generate(Algorithm::Es256)?;
/// # let now = SystemTime::now();
/// # let proof = Proof::new("POST", "https://server.example.com/token")?.sign(&key, now)?;
/// # let mut headers = http::HeaderMap::new();
/// # headers.insert("dpop", proof.parse().unwrap());
/// # let method = http::Method::POST;
/// // At the token endpoint: the URL is the server's own, from its configuration, not from the request's headers.
/// let request = ReceivedRequest::new(&method, "https://server.example.com/token", &headers)?;
/// match verifier.token_request(&request, Nonces::NotUsed, now) {
///     Ok(proof) => println!("bind the token to {}", proof.thumbprint()),
///     Err(rejection) => println!("log {}, send {:?}", rejection.reason(), rejection.to_token_response(None)),
/// }
/// # assert!(verifier.token_request(&request, Nonces::NotUsed, now).is_err()); // the same proof again
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Verifier {
    algorithms: Arc<[Algorithm]>,
    max_age: Duration,
    future_skew: Duration,
    replay: Arc<dyn ReplayStore>,
}

/// What of a received request a proof must agree with.
#[derive(Clone)]
pub struct ReceivedRequest<'a> {
    method: &'a str,
    url: Htu,
    proofs: Vec<&'a [u8]>,
}

/// The nonces a server accepts in a proof.
#[derive(Clone, Copy, Debug)]
pub enum Nonces<'a> {
    /// The server gives none; a proof may carry one all the same.
    NotUsed,
    /// A proof must carry one of these.
    OneOf(&'a [&'a str]),
}

/// A proof that passed every check.
#[derive(Clone, Debug)]
pub struct VerifiedProof {
    key: PublicKey,
    jti: String,
    iat: SystemTime,
    claims: Map<String, Value>,
}

impl Verifier {
    /// A verifier that remembers proofs in `replay`, for as long as they could be accepted again.
    #[must_use]
    pub fn new(replay: impl ReplayStore + 'static) -> Self {
        Self {
            algorithms: Arc::new([Algorithm::Es256, Algorithm::Ed25519]),
            max_age: Duration::from_secs(60),
            future_skew: Duration::from_secs(5),
            replay: Arc::new(replay),
        }
    }

    /// The algorithms to accept, and no others. Those that this crate does not check are never accepted.
    #[must_use]
    pub fn algorithms(self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        Self { algorithms: algorithms.into_iter().collect(), ..self }
    }

    /// How old a proof may be, in whole seconds (RFC 9449 §11.1). Verifiers that share a replay store, clones included,
    /// must have the same: what one of them forgets, the other must not accept any more.
    #[must_use]
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age: Duration::from_secs(max_age.as_secs()), ..self }
    }

    /// How far ahead of this machine's clock a proof may be dated, in whole seconds.
    #[must_use]
    pub fn future_skew(self, future_skew: Duration) -> Self {
        Self { future_skew: Duration::from_secs(future_skew.as_secs()), ..self }
    }

    /// Checks the proof of a request to the token endpoint. Bind the token to the
    /// [`thumbprint`](VerifiedProof::thumbprint) it gives (RFC 9449 §5, §6).
    ///
    /// # Errors
    /// The first check that failed.
    pub fn token_request(
        &self,
        request: &ReceivedRequest<'_>,
        nonces: Nonces<'_>,
        now: SystemTime,
    ) -> Result<VerifiedProof, Rejection> {
        self.check(request, None, nonces, now).map_err(|reason| self.reject(reason))
    }

    /// Checks the proof of a request to the token endpoint that must come from one key: the `dpop_jkt` of the
    /// authorization request (RFC 9449 §10) or the key a refresh token is bound to (§5).
    ///
    /// # Errors
    /// The first check that failed.
    pub fn token_request_of(
        &self,
        request: &ReceivedRequest<'_>,
        jkt: &Thumbprint,
        nonces: Nonces<'_>,
        now: SystemTime,
    ) -> Result<VerifiedProof, Rejection> {
        let binding = Binding { jkt, access_token: None };
        self.check(request, Some(binding), nonces, now).map_err(|reason| self.reject(reason))
    }

    /// Checks the proof of a request to a protected resource: that it was made for this access token, by the key the
    /// token is bound to (RFC 9449 §7.1). Token and `jkt` come from you: the token from `Authorization: DPoP`, its `jkt`
    /// from the `cnf` claim of the token after *its* checks, or from introspection (§6).
    ///
    /// # Errors
    /// The first check that failed.
    pub fn resource_request(
        &self,
        request: &ReceivedRequest<'_>,
        access_token: &str,
        jkt: &Thumbprint,
        nonces: Nonces<'_>,
        now: SystemTime,
    ) -> Result<VerifiedProof, Rejection> {
        let binding = Binding { jkt, access_token: Some(access_token) };
        self.check(request, Some(binding), nonces, now).map_err(|reason| self.reject(reason))
    }

    fn reject(&self, reason: Reason) -> Rejection {
        Rejection::new(reason, Arc::clone(&self.algorithms))
    }

    /// Cheap checks first, the signature next, the `jti` burned last.
    fn check(
        &self,
        request: &ReceivedRequest<'_>,
        binding: Option<Binding<'_>>,
        nonces: Nonces<'_>,
        now: SystemTime,
    ) -> Result<VerifiedProof, Reason> {
        let proof = match *request.proofs.as_slice() {
            [proof] => std::str::from_utf8(proof).map_err(|_| Reason::NotAscii)?,
            [] => return Err(Reason::NoProof),
            _ => return Err(Reason::SeveralProofs { fields: request.proofs.len() }),
        };
        let jws = Jws::parse(proof).map_err(Reason::Malformed)?;
        if jws.header.get("typ") != Some(&Value::from("dpop+jwt")) {
            return Err(Reason::Typ);
        }
        let alg = jws.alg().map_err(Reason::Malformed)?;
        let algorithm = Algorithm::from_name(alg)
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or_else(|| Reason::Algorithm { alg: crate::error::printable(alg, 40) })?;
        let key = embedded_key(&jws, algorithm)?;

        let claims = jws.claims().map_err(Reason::Malformed)?;
        let jti = text(&claims, "jti")?.to_owned();
        let htm = text(&claims, "htm")?;
        if htm != request.method {
            let (expected, seen) = (request.method.to_owned(), crate::error::printable(htm, 40));
            return Err(Reason::Htm { expected, seen });
        }
        let htu = text(&claims, "htu")?;
        match htu.parse::<Htu>() {
            Ok(htu) if htu == request.url => {}
            Ok(htu) => return Err(Reason::Htu { expected: request.url.clone(), seen: htu }),
            Err(error) => return Err(Reason::HtuMalformed(error)),
        }
        let window = self.window(&claims, now)?;
        if let Some(token) = binding.as_ref().and_then(|binding| binding.access_token) {
            check_ath(&claims, token)?;
        }

        match jws.verify(&key) {
            Some(true) => {}
            Some(false) => return Err(Reason::Signature),
            None => return Err(Reason::Algorithm { alg: crate::error::printable(alg, 40) }),
        }
        // After the signature, so that nobody can ask which key a token is bound to without having the key.
        if let Some(Binding { jkt, .. }) = binding
            && key.thumbprint() != *jkt
        {
            return Err(Reason::Binding { expected: *jkt, seen: key.thumbprint() });
        }
        nonces.check(&claims)?;

        let replay_key = ReplayKey::new(&key.thumbprint(), &jti);
        match self.replay.insert_if_absent(&replay_key, window.accepted_until, now) {
            Ok(Insertion::Inserted) => Ok(VerifiedProof { key, jti, iat: window.iat, claims }),
            Ok(Insertion::AlreadyPresent) => Err(Reason::Replayed),
            Err(error) => Err(Reason::ReplayStore(error)),
        }
    }

    /// RFC 9449 §4.3 check 11, and `exp` and `nbf` where they are present (RFC 7519 §4.1.4, §4.1.5).
    fn window(&self, claims: &Map<String, Value>, now: SystemTime) -> Result<Window, Reason> {
        let now = unix_seconds(now).map_err(Reason::Clock)?;
        let (max_age, skew) = (self.max_age.as_secs(), self.future_skew.as_secs());
        let iat = numeric_date(claims, "iat")?.ok_or(Reason::Claim { claim: "iat" })?;
        // A fraction counts for the end it is nearer to being refused at.
        let (iat_down, iat_up) = (iat.whole, iat.whole.saturating_add(u64::from(iat.fraction)));
        if iat_up > now.saturating_add(skew) {
            return Err(Reason::Future {
                ahead: Duration::from_secs(iat_up.saturating_sub(now)),
                allowed: self.future_skew,
            });
        }
        let end = iat_down.saturating_add(max_age).min(MAX_TIME);
        if end < now {
            return Err(Reason::Stale {
                age: Duration::from_secs(now.saturating_sub(iat_down)),
                allowed: self.max_age,
            });
        }
        if numeric_date(claims, "exp")?
            .is_some_and(|exp| exp.whole <= now && (exp.whole < now || !exp.fraction))
        {
            return Err(Reason::Expired);
        }
        if numeric_date(claims, "nbf")?.is_some_and(|nbf| nbf.whole > now.saturating_add(skew)) {
            return Err(Reason::NotYetValid);
        }
        let time = |seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        match (time(iat_down), time(end)) {
            (Some(iat), Some(accepted_until)) => Ok(Window { iat, accepted_until }),
            _ => Err(Reason::Claim { claim: "iat" }),
        }
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("algorithms", &self.algorithms)
            .field("max_age", &self.max_age)
            .field("future_skew", &self.future_skew)
            .finish_non_exhaustive()
    }
}

impl<'a> ReceivedRequest<'a> {
    /// A request to `url`, the server's own public URL of the target (query and fragment do not matter), taken from its
    /// configuration: `Host` and `X-Forwarded-*` say what the sender likes.
    ///
    /// # Errors
    /// [`Url`](crate::ErrorKind::Url) when `url` is not one.
    pub fn new(method: &'a Method, url: &str, headers: &'a HeaderMap) -> Result<Self, Error> {
        let proofs = headers.get_all("dpop").iter().map(http::HeaderValue::as_bytes).collect();
        Self::from_fields(method.as_str(), url, proofs)
    }

    /// The same from the parts of an [`http::Request`]: `origin` is the server's own, such as `https://api.example.com`,
    /// the path is the request's. A host that the request names by itself is not looked at.
    ///
    /// # Errors
    /// [`Url`](crate::ErrorKind::Url) when `origin` is not scheme, host and port alone, or the path cannot be in a URL:
    /// answer 400.
    pub fn from_parts(origin: &str, parts: &'a http::request::Parts) -> Result<Self, Error> {
        let refuse = |text: &str, why| url::refused(ErrorKind::Url, "URL of a request", text, why);
        let origin = Url::origin_alone(origin).map_err(|why| refuse(origin, why))?;
        let path = parts.uri.path();
        if !path.starts_with('/') {
            return Err(refuse(path, "its path does not begin with a slash"));
        }
        Self::new(&parts.method, &format!("{}{path}", origin.origin()), &parts.headers)
    }

    /// The same from the values of all `DPoP` header fields, for servers without the `http` crate.
    ///
    /// # Errors
    /// [`Url`](crate::ErrorKind::Url) when `url` is not one.
    pub fn from_fields(method: &'a str, url: &str, proofs: Vec<&'a [u8]>) -> Result<Self, Error> {
        // Queries come as clients write them, and do not matter here.
        let url = url.split(['?', '#']).next().unwrap_or_default().parse()?;
        Ok(Self { method, url, proofs })
    }
}

impl std::fmt::Debug for ReceivedRequest<'_> {
    /// Without the proofs, which may not have been used yet.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceivedRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("proofs", &self.proofs.len())
            .finish()
    }
}

impl VerifiedProof {
    /// The thumbprint of the key: the `cnf.jkt` of the token to bind (RFC 9449 §6.1).
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.key.thumbprint()
    }

    /// The key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Its `jti`.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// Its `iat`.
    #[must_use]
    pub fn iat(&self) -> SystemTime {
        self.iat
    }

    /// Any of its claims.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }
}

struct Window {
    iat: SystemTime,
    accepted_until: SystemTime,
}

struct Binding<'a> {
    jkt: &'a Thumbprint,
    access_token: Option<&'a str>,
}

/// RFC 9449 §4.3 check 12.
fn check_ath(claims: &Map<String, Value>, access_token: &str) -> Result<(), Reason> {
    let seen = text(claims, "ath")?;
    match seen.as_bytes().ct_eq(ath(access_token).as_bytes()).into() {
        true => Ok(()),
        false => Err(Reason::Ath),
    }
}

impl Nonces<'_> {
    /// RFC 9449 §4.3 check 10. All candidates are compared, each in constant time.
    fn check(self, claims: &Map<String, Value>) -> Result<(), Reason> {
        let Self::OneOf(accepted) = self else {
            return Ok(());
        };
        let Some(Value::String(nonce)) = claims.get("nonce") else {
            return Err(Reason::NoNonce);
        };
        // An empty entry, of a server that has no former nonce yet, must not let an empty nonce pass.
        let accepted = accepted.iter().filter(|accepted| is_nonce(accepted));
        let known = accepted.fold(subtle::Choice::from(0), |known, accepted| {
            known | nonce.as_bytes().ct_eq(accepted.as_bytes())
        });
        match known.into() {
            true => Ok(()),
            false => Err(Reason::Nonce),
        }
    }
}

/// RFC 9449 §4.3 checks 5 to 7: the `jwk` header, which is used for this proof and nothing else.
fn embedded_key(jws: &Jws<'_>, algorithm: Algorithm) -> Result<PublicKey, Reason> {
    let wrong = |wrong: String| Reason::Jwk { wrong };
    let Some(Value::Object(jwk)) = jws.header.get("jwk") else {
        return Err(wrong("there is none, or it is not an object".to_owned()));
    };
    if let Some(name) = private_member(jwk) {
        return Err(wrong(format!("it has the private member `{name}`")));
    }
    let fits = |name: &str, fits: &[&str]| match jwk.get(name) {
        None => Ok(()),
        Some(Value::String(value)) if fits.contains(&value.as_str()) => Ok(()),
        Some(_) => Err(wrong(format!("its `{name}` says that it is not for this"))),
    };
    fits("alg", algorithm.names())?;
    fits("use", &["sig"])?;
    match jwk.get("key_ops") {
        None => {}
        Some(Value::Array(ops)) if ops.iter().any(|op| op == "verify") => {}
        Some(_) => return Err(wrong("its `key_ops` say that it is not for this".to_owned())),
    }
    let key = PublicKey::from_members(jwk).map_err(|error| wrong(error.to_string()))?;
    match key.fits(algorithm) {
        true => Ok(key),
        false => Err(wrong(format!("it is not a key for {algorithm}"))),
    }
}

/// A claim that must be a string with something in it.
fn text<'a>(claims: &'a Map<String, Value>, claim: &'static str) -> Result<&'a str, Reason> {
    match claims.get(claim) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        _ => Err(Reason::Claim { claim }),
    }
}

#[derive(Clone, Copy)]
struct NumericDate {
    whole: u64,
    fraction: bool,
}

/// RFC 7519 §2: seconds since 1970, possibly with a fraction.
fn numeric_date(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<NumericDate>, Reason> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    let date = match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => NumericDate { whole, fraction: false },
        // A cast from a float saturates; negative numbers and those beyond the bound are refused below.
        (None, Some(float)) if value.is_number() && float >= 0.0 => {
            NumericDate { whole: float as u64, fraction: float.fract() != 0.0 }
        }
        _ => return Err(Reason::Claim { claim }),
    };
    match date.whole <= MAX_TIME {
        true => Ok(Some(date)),
        false => Err(Reason::Claim { claim }),
    }
}
