//! Validation of access tokens that are JWTs (RFC 9068).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{Error, ErrorKind};
use crate::jose::algorithm::Algorithm;
use crate::jose::json::Json;
use crate::jose::jws::{self, Jws};
use crate::jose::public_key::{PublicKey, Thumbprint};
use crate::oauth::http_client::HttpClient;
use crate::oauth::metadata::AuthorizationServer;
use crate::server::accepted_algorithms::{AcceptedAlgorithms, SignatureVerifier};
use crate::server::access_token::{AccessToken, TokenValidator};
use crate::server::expected_claims::{DEFAULT_LEEWAY, ExpectedClaims, require_claim};
use crate::server::jwk_set::{JwkSet, MAX_KEYS};
use crate::server::presented_token::PresentedToken;
use crate::server::remote_jwk_set::{AvailableKeys, KeyQuery, NoKeys, RemoteJwkSet};
use crate::server::single_flight::MAX_WAITING;
use crate::server::token_cache_key::TokenCacheKey;
use crate::server::token_error::TokenError;
use crate::server::verified_tokens::{DEFAULT_TOKENS, VerifiedToken, VerifiedTokens, bytes_of_claims};
use crate::text::printable;
use crate::time::unix_seconds;

/// The number of keys that are tried for one token. Each costs the verification of a signature, and
/// anybody can send tokens: with 100 RSA keys of 4096 bits, one token without `kid` cost 13.5 ms.
const MAX_TRIED: usize = 8;

/// Validates access tokens that are JWTs as RFC 9068 §4 demands: `typ`, an accepted `alg`, the signature by
/// a key of the issuer, `iss`, `aud`, `exp`, `nbf`, the required claims of §2.2, and `cnf`.
///
/// ```
/// use possession::server::{JwtValidator, MemoryReplayStore, ResourceServer, Verifier};
///
/// # let jwk_set = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519",
/// #     "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
/// let tokens = JwtValidator::with_keys("https://as.example.com", "https://api.example.com", jwk_set)?;
/// let verifier = Verifier::new(MemoryReplayStore::new(100_000));
/// let api = ResourceServer::new("https://api.example.com", verifier, tokens)?;
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone)]
pub struct JwtValidator {
    issuer: String,
    audience: String,
    algorithms: AcceptedAlgorithms,
    types: Vec<String>,
    required: Vec<String>,
    leeway: Duration,
    max_token_length: usize,
    keys: Arc<KeySource>,
    max_waiting: usize,
    cached_tokens: usize,
    /// The tokens that passed every check with these very settings. A copy with other settings has its own.
    verified: Arc<VerifiedTokens>,
}

impl JwtValidator {
    /// Creates a validator for tokens of `server` whose `aud` contains `audience`, the identifier of this
    /// resource server.
    ///
    /// The keys are fetched from the server's `jwks_uri` and cached. They are fetched again after 15
    /// minutes, and are used for a day at most while they cannot be fetched. After a fetch that failed the
    /// next one may follow after five seconds. Until one succeeds, a token by a key that is not among those
    /// at hand is not called invalid: it cannot be verified ([`Unavailable`](TokenError::Unavailable)).
    ///
    /// A `kid` that is not among the keys, and a signature that none of them verifies, cause an early fetch,
    /// because the issuer may have changed its keys. There may be five of them at once, and then one a
    /// minute, as anybody can write such tokens. While there may be none, a token whose `kid` is not among
    /// the keys cannot be verified, and the response is 503 with `Retry-After`, unless the issuer was asked
    /// for this key before. An invalid signature of a token with a known `kid`, or without one, is a 401.
    ///
    /// So an attacker can delay tokens by a new key for a minute at most. Where the issuer gives its keys no
    /// `kid`, or always the same, or where the attacker guesses the next one, they are called invalid for so
    /// long.
    ///
    /// The key set may be served as any kind of JSON or as bytes (`application/octet-stream`,
    /// `binary/octet-stream`), as file stores do. Its first 1,000 keys are read, and for a token whose `kid`
    /// selects no single key, the first 8 that fit its `alg` are tried: each costs time that anybody can
    /// cause.
    ///
    /// # Errors
    /// Returns [`Metadata`](ErrorKind::Metadata) when the server's metadata have no valid `jwks_uri`.
    pub fn new(
        server: &AuthorizationServer,
        audience: impl Into<String>,
        http: impl HttpClient + 'static,
    ) -> Result<Self, Error> {
        let url = server
            .endpoint_for("jwks_uri", false)
            .map_err(|error| error.while_doing("validating JWT access tokens"))?;
        let uri =
            url.to_uri().map_err(|why| Error::new(ErrorKind::Metadata, "reading the `jwks_uri`", why))?;
        let remote = RemoteJwkSet::new(uri, Box::new(http));
        Ok(Self::from_key_source(server.issuer(), audience.into(), KeySource::Remote(Box::new(remote))))
    }

    /// Creates a validator with the keys of a JWK Set (RFC 7517 §5), which are not fetched.
    ///
    /// # Errors
    /// Returns [`Key`](ErrorKind::Key) when the set is malformed or contains no usable key.
    pub fn with_keys(issuer: &str, audience: impl Into<String>, jwk_set: &str) -> Result<Self, Error> {
        let wrong = |wrong: String| Error::new(ErrorKind::Key, "reading a JWK Set", wrong);
        let keys = JwkSet::parse(jwk_set.as_bytes()).map_err(wrong)?;
        if keys.is_empty() {
            let why = keys.skipped().map(|why| format!(": {why}")).unwrap_or_default();
            return Err(wrong(format!("it contains no usable key{why}")));
        }
        Ok(Self::from_key_source(issuer, audience.into(), KeySource::Fixed(Arc::new(keys))))
    }

    fn from_key_source(issuer: &str, audience: String, keys: KeySource) -> Self {
        // RFC 9068 §2.1: every resource server supports RS256.
        let mut algorithms = AcceptedAlgorithms::default();
        algorithms.accept([Algorithm::Es256, Algorithm::Ed25519, Algorithm::Rs256]);
        let required = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"];
        Self {
            issuer: issuer.to_owned(),
            audience,
            algorithms,
            types: vec!["at+jwt".to_owned()],
            required: required.map(str::to_owned).to_vec(),
            leeway: DEFAULT_LEEWAY,
            max_token_length: jws::MAX_LENGTH,
            keys: Arc::new(keys),
            max_waiting: MAX_WAITING,
            cached_tokens: DEFAULT_TOKENS,
            verified: Arc::new(VerifiedTokens::new(DEFAULT_TOKENS)),
        }
    }

    /// Accepts these algorithms and no others. The default is ES256, Ed25519 and RS256. RFC 9068 §2.1
    /// demands RS256 of every resource server; it needs the feature `ring`.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms.accept(algorithms);
        self.forget_tokens()
    }

    /// Adds a verifier for signatures of algorithms that this crate does not verify. List these algorithms in
    /// [`algorithms`](Self::algorithms) too.
    #[must_use]
    pub fn signature_verifier(mut self, verifier: impl SignatureVerifier + 'static) -> Self {
        self.algorithms.add_verifier(verifier);
        self.forget_tokens()
    }

    /// Sets the leeway: how far the issuer's clock and this machine's may differ for `exp` and `nbf`, in
    /// whole seconds. It is 5 seconds by default, as that of
    /// [`Introspector::leeway`](crate::server::Introspector::leeway). An `iat` may be a minute ahead of this
    /// machine's clock, or as far as the leeway if that is more.
    #[must_use]
    pub fn leeway(self, leeway: Duration) -> Self {
        Self { leeway, ..self }.forget_tokens()
    }

    /// Sets the maximum length of a token in characters. It is 16,384 by default, which bounds the work for
    /// text that anybody can send. Most HTTP servers limit header fields to a similar length, and need a
    /// setting of their own for longer tokens.
    #[must_use]
    pub fn max_token_length(self, max_token_length: usize) -> Self {
        Self { max_token_length, ..self }.forget_tokens()
    }

    /// Sets the claims that must be present, in place of those of RFC 9068 §2.2, for servers that follow
    /// another profile. `iss`, `aud` and `exp` are always required. A claim of a known name must have the
    /// type of its definition, such as a string for `sub` and a number for `iat`.
    #[must_use]
    pub fn required_claims<S: Into<String>>(self, claims: impl IntoIterator<Item = S>) -> Self {
        let required = ["iss", "aud", "exp"].map(str::to_owned).into_iter();
        let required = required.chain(claims.into_iter().map(Into::into)).collect();
        Self { required, ..self }.forget_tokens()
    }

    /// Accepts this `typ` in addition to `at+jwt`, for servers that do not follow RFC 9068 there (Keycloak:
    /// `JWT`).
    ///
    /// Other JWTs of the same issuer, such as ID tokens, may then be accepted as access tokens, unless their
    /// audience or claims distinguish them.
    #[must_use]
    pub fn dangerous_accept_typ(mut self, typ: impl Into<String>) -> Self {
        self.types.push(media_subtype(&typ.into()).to_ascii_lowercase());
        self.forget_tokens()
    }

    /// Sets how many verified tokens are remembered, so that the signature of a token is verified once and
    /// not for every request. It is 10,000 by default, and 0 switches it off. They take at most 4 KiB each on
    /// average, or 256 KiB in all if that is more; when there are more or larger ones, those that were not
    /// used for the longest time are forgotten.
    ///
    /// A token is found by the SHA-256 hash of the whole token, and with a proof by the key that it is bound
    /// to: for anybody else its signature is verified again, so that the time of a refusal does not tell a
    /// thief whether the token has been used here. Its `exp`, `nbf` and `iat` are checked on every use, and
    /// it is forgotten when the issuer's key set no longer has the key that it was verified with. The proof
    /// that comes with it is verified every time.
    #[must_use]
    pub fn cached_tokens(self, max: usize) -> Self {
        Self { cached_tokens: max, ..self }.forget_tokens()
    }

    /// Sets how many threads may wait for a fetch of the issuer's keys at the same time, including the one
    /// that fetches. It is 32 by default, and at least 1. A token beyond that cannot be validated
    /// ([`Unavailable`](TokenError::Unavailable)), and the response is 503 with `Retry-After`.
    ///
    /// Only a token whose key is not among those at hand waits for the fetch of another thread. The limit
    /// protects the other threads of the server, because anybody can make up a `kid`. Strangers can still use
    /// up the limit while the issuer responds slowly, and tokens by a new key are then refused with 503.
    #[must_use]
    pub fn max_waiting(self, threads: usize) -> Self {
        Self { max_waiting: threads.max(1), ..self }
    }

    /// Starts with an empty memory, as tokens that were accepted with other settings may not be acceptable
    /// with these.
    fn forget_tokens(self) -> Self {
        Self { verified: Arc::new(VerifiedTokens::new(self.cached_tokens)), ..self }
    }

    fn expected_claims(&self) -> ExpectedClaims<'_> {
        ExpectedClaims { issuer: &self.issuer, audience: Some(&self.audience), leeway: self.leeway.as_secs() }
    }

    /// Returns a token that was verified before, if its times are still right and its key is still one of
    /// the issuer's. Otherwise, the token is validated as if it were new, which finds the error.
    fn find_verified<E>(
        &self,
        presented: &TokenCacheKey,
        now: SystemTime,
        find_keys: impl Fn(KeyQuery<'_>) -> Result<Result<AvailableKeys, NoKeys>, E>,
    ) -> Option<AccessToken> {
        let found = self.verified.find(presented)?;
        let seconds = unix_seconds(now).ok()?;
        let expected = self.expected_claims();
        expected.check_lifetime(&found.times, seconds).ok()?;
        expected.check_issued_at(&found.times, seconds).ok()?;
        // The keys may be due for a fetch. None is made for the `kid` here: that is left to the validation.
        let keys = find_keys(KeyQuery::First { kid: None, now }).ok()?.ok()?.keys;
        if keys.id() == found.key_set {
            return Some(found.token.clone());
        }
        let is_key = |key: &PublicKey| key.thumbprint() == found.key;
        if !keys.candidates(found.kid.as_deref(), found.algorithm).take(MAX_TRIED).any(is_key) {
            self.verified.remove(presented);
            return None;
        }
        let token = found.token.clone();
        let found = VerifiedToken { key_set: keys.id(), ..Arc::unwrap_or_clone(found) };
        self.verified.insert(*presented, Arc::new(found));
        Some(token)
    }

    fn accepts_typ(&self, typ: Option<&str>) -> bool {
        let is = |typ: &str| self.types.iter().any(|known| known.eq_ignore_ascii_case(media_subtype(typ)));
        typ.is_some_and(is)
    }

    /// Validates a token in the way of [`TokenValidator::validate`].
    fn validate_as(
        &self,
        access_token: &str,
        cache_key: impl FnOnce() -> TokenCacheKey,
        now: SystemTime,
    ) -> Result<AccessToken, TokenError> {
        self.validate_with(access_token, cache_key, now, |query| Ok(self.keys.find(query, self.max_waiting)))
    }

    /// Validates a token with the keys that `find_keys` returns. An outer error of that function is returned
    /// as it is, unless the token is refused before the keys are needed.
    fn validate_with<E: From<TokenError>>(
        &self,
        access_token: &str,
        cache_key: impl FnOnce() -> TokenCacheKey,
        now: SystemTime,
        find_keys: impl Fn(KeyQuery<'_>) -> Result<Result<AvailableKeys, NoKeys>, E>,
    ) -> Result<AccessToken, E> {
        // A token that is too long is refused before it is hashed.
        let may_be_cached = self.verified.is_enabled() && access_token.len() <= self.max_token_length;
        let presented = may_be_cached.then(cache_key);
        let verified = presented.as_ref();
        if let Some(token) = verified.and_then(|verified| self.find_verified(verified, now, &find_keys)) {
            return Ok(token);
        }
        let jws =
            Jws::parse_with_limit(access_token, self.max_token_length).map_err(TokenError::Malformed)?;
        let header = jws.header().map_err(TokenError::Malformed)?;
        let typ = header.get("typ").and_then(Json::as_str);
        if !self.accepts_typ(typ) {
            let actual = typ.map(|typ| printable(typ, 100));
            return Err(TokenError::Typ { expected: self.types.clone(), actual }.into());
        }
        let algorithm = header.algorithm(&self.algorithms).map_err(TokenError::from)?;
        let kid = match header.get("kid") {
            None => None,
            Some(Json::String(kid)) => Some(&**kid),
            Some(_) => return Err(TokenError::UnknownKey.into()),
        };

        // The claims are checked first, because it is cheap and a token of another issuer must not cause a
        // fetch of keys.
        let claims = jws.claims().map_err(TokenError::Malformed)?;
        let seconds = unix_seconds(now).map_err(TokenError::Unavailable)?;
        let expected = self.expected_claims();
        self.required.iter().try_for_each(|claim| require_claim(&claims, claim))?;
        let times = expected.check(&claims, seconds)?;
        expected.check_issued_at(&times, seconds)?;

        let (key, keys) = self.verify_signature(&jws, kid, algorithm, now, find_keys)?;
        let jkt = AccessToken::bound_key(&claims)?;
        let kid = kid.and_then(|kid| keys.find_kid(kid)).cloned();
        let bytes_of_claims = bytes_of_claims(jws.payload(), &claims);
        // Their memory is used for what is remembered.
        drop((header, claims));
        let token = AccessToken::from_payload(jws.payload(), jkt);
        if let Some(presented) = presented.filter(|presented| presented.fits(&token)) {
            let (token, key_set) = (token.clone(), keys.id());
            let verified = VerifiedToken { token, kid, algorithm, key, key_set, times, bytes_of_claims };
            self.verified.insert(presented, Arc::new(verified));
        }
        Ok(token)
    }

    /// Verifies the signature with the keys of the issuer, and returns the thumbprint of the key and its set.
    fn verify_signature<E: From<TokenError>>(
        &self,
        jws: &Jws<'_>,
        kid: Option<&str>,
        algorithm: Algorithm,
        now: SystemTime,
        find_keys: impl Fn(KeyQuery<'_>) -> Result<Result<AvailableKeys, NoKeys>, E>,
    ) -> Result<(Thumbprint, Arc<JwkSet>), E> {
        let unavailable = |why: NoKeys| TokenError::Unavailable(why.into());
        let mut available = find_keys(KeyQuery::First { kid, now })?.map_err(unavailable)?;
        loop {
            let failure = match self.verify_with(&available.keys, jws, kid, algorithm) {
                Ok(key) => return Ok((key, available.keys)),
                Err(failure) => failure,
            };
            if available.are_current || matches!(failure, TokenError::Unavailable(_)) {
                return Err(failure.into());
            }
            // The issuer may have another key by now, with the same name or with none.
            available = match find_keys(KeyQuery::OtherThan(&available))? {
                Ok(others) => others,
                Err(why @ NoKeys::FetchFailed(_)) if kid.is_none() => return Err(unavailable(why).into()),
                // Nobody must be able to make a bad signature pass for a fault of this server.
                Err(_) => return Err(failure.into()),
            };
        }
    }

    /// Verifies the signature with the keys of a set, and returns the thumbprint of the key.
    fn verify_with(
        &self,
        keys: &JwkSet,
        jws: &Jws<'_>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Thumbprint, TokenError> {
        let mut candidates = keys.candidates(kid, algorithm).peekable();
        let is_key_known = candidates.peek().is_some();
        let mut tried = candidates.by_ref().take(MAX_TRIED);
        if let Some(key) = tried.find(|key| self.algorithms.verify(jws, algorithm, key) == Some(true)) {
            return Ok(key.thumbprint());
        }
        // The key of the token may be one that is not among those that were tried.
        let limit = |wrong: String| {
            let doing = "looking for the key of its issuer";
            Err(TokenError::Unavailable(Error::new(ErrorKind::Key, doing, wrong)))
        };
        if candidates.peek().is_some() {
            return limit(format!(
                "more than {MAX_TRIED} keys fit its `alg` and `kid` (at most {MAX_TRIED} are tried)"
            ));
        }
        let names_known_key = kid.is_some_and(|kid| keys.contains(kid));
        if keys.unread() > 0 && !names_known_key {
            let count = keys.unread().saturating_add(MAX_KEYS);
            return limit(format!("the key set has {count} keys (at most {MAX_KEYS} are read)"));
        }
        Err(if is_key_known { TokenError::Signature } else { TokenError::UnknownKey })
    }
}

impl TokenValidator for JwtValidator {
    /// A verified token is remembered for itself alone.
    /// [`validate_presented`](TokenValidator::validate_presented) remembers it for the key as well.
    fn validate(&self, access_token: &str, now: SystemTime) -> Result<AccessToken, TokenError> {
        self.validate_as(access_token, || TokenCacheKey::of_token_alone(access_token), now)
    }

    fn validate_presented(
        &self,
        presented: &PresentedToken<'_>,
        now: SystemTime,
    ) -> Result<AccessToken, TokenError> {
        self.validate_as(presented.access_token(), || TokenCacheKey::new(presented), now)
    }

    /// Returns true if an added [`SignatureVerifier`] needs I/O.
    fn needs_io(&self) -> bool {
        self.algorithms.need_io()
    }

    fn try_validate_presented(
        &self,
        presented: &PresentedToken<'_>,
        now: SystemTime,
    ) -> Option<Result<AccessToken, TokenError>> {
        let validated = self.validate_with(
            presented.access_token(),
            || TokenCacheKey::new(presented),
            now,
            |query| self.keys.find_without_io(query, self.max_waiting).ok_or(NotValidated::NeedsIo),
        );
        match validated {
            Ok(token) => Some(Ok(token)),
            Err(NotValidated::Refused(error)) => Some(Err(error)),
            Err(NotValidated::NeedsIo) => None,
        }
    }
}

impl fmt::Debug for JwtValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtValidator")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("algorithms", &self.algorithms)
            .field("leeway", &self.leeway)
            .finish_non_exhaustive()
    }
}

/// Where the keys of the issuer come from.
enum KeySource {
    Fixed(Arc<JwkSet>),
    Remote(Box<RemoteJwkSet>),
}

impl KeySource {
    /// See [`RemoteJwkSet::find`].
    fn find(&self, query: KeyQuery<'_>, max_waiting: usize) -> Result<AvailableKeys, NoKeys> {
        match self {
            Self::Fixed(keys) => Ok(AvailableKeys::fixed(keys, query)),
            Self::Remote(remote) => remote.find(query, max_waiting),
        }
    }

    /// See [`RemoteJwkSet::find_without_io`].
    fn find_without_io(
        &self,
        query: KeyQuery<'_>,
        max_waiting: usize,
    ) -> Option<Result<AvailableKeys, NoKeys>> {
        match self {
            Self::Fixed(_) => Some(self.find(query, max_waiting)),
            Self::Remote(remote) => remote.find_without_io(query, max_waiting),
        }
    }
}

/// Why a token was not validated without I/O.
enum NotValidated {
    Refused(TokenError),
    NeedsIo,
}

impl From<TokenError> for NotValidated {
    fn from(error: TokenError) -> Self {
        Self::Refused(error)
    }
}

/// Returns a media type without `application/` (RFC 7515 §4.1.9). Case does not matter.
fn media_subtype(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((start, subtype)) if start.eq_ignore_ascii_case(PREFIX) => subtype,
        _ => typ,
    }
}
