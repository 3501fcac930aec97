//! Access tokens that are JWTs (RFC 9068), and the keys of their issuer.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{Request, StatusCode};

use crate::algorithm::Algorithm;
use crate::error::{Error, ErrorKind, printable};
use crate::json::{self, Json};
use crate::jws::Jws;
use crate::metadata::AuthorizationServer;
use crate::proof::unix_seconds;
use crate::public_key::{PublicKey, private_member};
use crate::server::SignatureChecker;
use crate::server::access_token::{AccessToken, Expected, TokenError, TokenValidator, require};
use crate::server::signatures::Signatures;
use crate::wire::{HttpClient, RequestBody, is_json, refuse_redirect};

/// Keys older than this are fetched again when they are next needed.
const KEYS_LIFE: Duration = Duration::from_secs(15 * 60);
/// Older than this they are not used any more: whoever could keep them from being fetched could keep a revoked key alive.
const MAX_STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// More keys of a set are not looked at.
const MAX_KEYS: usize = 100;
/// Between two fetches, whoever asks for whatever key.
const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// The same while there are no keys at all.
const MIN_INTERVAL_WITHOUT_KEYS: Duration = Duration::from_secs(5);

/// Validates access tokens that are JWTs by RFC 9068 §4: `typ`, `alg` of a fixed list, signature by a key of the issuer,
/// `iss`, `aud`, `exp`, `nbf`, the required claims of §2.2, and `cnf`.
#[derive(Clone)]
pub struct JwtValidator {
    issuer: String,
    audience: String,
    signatures: Signatures,
    types: Vec<String>,
    required: Vec<String>,
    leeway: Duration,
    keys: Arc<Keys>,
}

impl JwtValidator {
    /// For tokens of `server` that name `audience`, this resource server's identifier, in `aud`. The keys come from the
    /// server's `jwks_uri`: they are kept for 15 minutes, and for a day at most while they cannot be fetched, and fetched early for a
    /// `kid` that is not among them, at most once a minute.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when the server's metadata have no `jwks_uri`.
    pub fn new(
        server: &AuthorizationServer,
        audience: impl Into<String>,
        http: impl HttpClient + 'static,
    ) -> Result<Self, Error> {
        let Some(url) = server.endpoint_for("jwks_uri", false) else {
            let wrong = format!("the metadata of {} have no `jwks_uri`", printable(server.issuer(), 200));
            return Err(Error::new(ErrorKind::Metadata, "validating JWT access tokens", wrong));
        };
        let uri =
            url.to_uri().map_err(|why| Error::new(ErrorKind::Metadata, "taking the `jwks_uri`", why))?;
        let remote = Remote { uri, http: Box::new(http), state: Mutex::default(), fetched: Condvar::new() };
        Ok(Self::of(server.issuer(), audience.into(), Keys::Remote(remote)))
    }

    /// The same with keys that are at hand: a JWK Set (RFC 7517 §5).
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) when it is malformed or has no key that can be used.
    pub fn with_keys(issuer: &str, audience: impl Into<String>, jwk_set: &str) -> Result<Self, Error> {
        let wrong = |wrong: String| Error::new(ErrorKind::Key, "reading a JWK Set", wrong);
        let keys = KeySet::parse(jwk_set.as_bytes()).map_err(wrong)?;
        if keys.keys.is_empty() {
            let why = keys.passed_over.map(|why| format!(": {why}")).unwrap_or_default();
            return Err(wrong(format!("it has no key that can be used{why}")));
        }
        Ok(Self::of(issuer, audience.into(), Keys::Fixed(Arc::new(keys))))
    }

    fn of(issuer: &str, audience: String, keys: Keys) -> Self {
        // RFC 9068 §2.1: every resource server supports RS256.
        let mut signatures = Signatures::default();
        signatures.accept([Algorithm::Es256, Algorithm::Ed25519, Algorithm::Rs256]);
        let required = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"];
        Self {
            issuer: issuer.to_owned(),
            audience,
            signatures,
            types: vec!["at+jwt".to_owned()],
            required: required.map(str::to_owned).to_vec(),
            leeway: Duration::from_secs(5),
            keys: Arc::new(keys),
        }
    }

    /// The algorithms to accept, and no others: ES256, Ed25519 and RS256 unless set otherwise. RS256 is what RFC 9068 §2.1
    /// demands of every resource server; it needs the feature `ring`.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.signatures.accept(algorithms);
        self
    }

    /// Checks signatures of algorithms that this crate does not check. List them in [`algorithms`](Self::algorithms) too.
    #[must_use]
    pub fn signature_checker(mut self, checker: impl SignatureChecker + 'static) -> Self {
        self.signatures.add(checker);
        self
    }

    /// How far this machine's clock may be off for `exp` and `nbf`, in whole seconds: 5 unless set otherwise.
    #[must_use]
    pub fn leeway(self, leeway: Duration) -> Self {
        Self { leeway, ..self }
    }

    /// The claims that must be there, in place of those of RFC 9068 §2.2: for servers that follow another profile.
    /// `iss`, `aud` and `exp` are demanded always.
    #[must_use]
    pub fn required_claims<S: Into<String>>(self, claims: impl IntoIterator<Item = S>) -> Self {
        let required = ["iss", "aud", "exp"].map(str::to_owned).into_iter();
        Self { required: required.chain(claims.into_iter().map(Into::into)).collect(), ..self }
    }

    /// Accepts this `typ` beside `at+jwt`: for servers that do not follow RFC 9068 there (`JWT`: Keycloak). Other JWTs of
    /// the same issuer, such as ID tokens, may then pass for access tokens, where audience and claims do not tell them apart.
    #[must_use]
    pub fn dangerous_accept_typ(mut self, typ: impl Into<String>) -> Self {
        self.types.push(media_subtype(&typ.into()));
        self
    }

    fn is_accepted_typ(&self, typ: Option<&str>) -> bool {
        typ.is_some_and(|typ| self.types.contains(&media_subtype(typ)))
    }
}

/// RFC 7515 §4.1.9: a media type, in any case, of which `application/` may be left out.
fn media_subtype(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ).to_owned()
}

impl TokenValidator for JwtValidator {
    fn validate(&self, access_token: &str, now: SystemTime) -> Result<AccessToken, TokenError> {
        let jws = Jws::parse(access_token).map_err(TokenError::Malformed)?;
        let header = jws.header().map_err(TokenError::Malformed)?;
        if !self.is_accepted_typ(header.get("typ").and_then(Json::as_str)) {
            return Err(TokenError::Typ);
        }
        let alg = header.alg().map_err(TokenError::Malformed)?;
        let refused = || TokenError::Algorithm { alg: printable(alg, 40) };
        let algorithm = self.signatures.accepted(alg).ok_or_else(refused)?;
        if !self.signatures.checks(algorithm) {
            return Err(TokenError::AlgorithmNotChecked { algorithm });
        }
        let kid = match header.get("kid") {
            None => None,
            Some(Json::Text(kid)) => Some(&**kid),
            Some(_) => return Err(TokenError::UnknownKey),
        };
        let claims = jws.claims().map_err(TokenError::Malformed)?.into_map();
        let seconds = unix_seconds(now).map_err(TokenError::Unavailable)?;
        // Cheap, and a token of another issuer must not make this server fetch keys.
        let expected =
            Expected { issuer: &self.issuer, audience: Some(&self.audience), leeway: self.leeway.as_secs() };
        self.required.iter().try_for_each(|claim| require(&claims, claim))?;
        expected.check(&claims, seconds)?;

        let keys = self.keys.holding(kid, now).map_err(TokenError::Unavailable)?;
        let mut candidates = keys.candidates(kid, alg, algorithm).peekable();
        if candidates.peek().is_none() {
            return Err(TokenError::UnknownKey);
        }
        if !candidates.any(|key| self.signatures.check(&jws, algorithm, key) == Some(true)) {
            return Err(TokenError::Signature);
        }
        AccessToken::new(claims)
    }
}

impl fmt::Debug for JwtValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtValidator")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("algorithms", &self.signatures)
            .finish_non_exhaustive()
    }
}

/// A JWK Set (RFC 7517 §5): what of it can check signatures.
#[derive(Debug, Default)]
struct KeySet {
    keys: Vec<(Option<String>, Option<String>, PublicKey)>,
    /// Why the first of those was that are not among them.
    passed_over: Option<String>,
}

impl KeySet {
    /// Keys that are not understood, not for signatures or not public are passed over, as RFC 7517 §5 says.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let members = json::tree(text)?;
        let Some(Json::Array(jwks)) = members.get("keys") else {
            return Err("it has no array `keys`".to_owned());
        };
        let (mut keys, mut passed_over) = (Vec::new(), None);
        for jwk in jwks.iter().take(MAX_KEYS) {
            let Json::Object(jwk) = jwk else { continue };
            let for_signatures = jwk.get("use").is_none_or(|of| of.as_str() == Some("sig"))
                && jwk.get("key_ops").is_none_or(|ops| ops.has("verify"))
                && private_member(jwk).is_none();
            let text = |name: &str| jwk.text(name).map(str::to_owned);
            match PublicKey::from_members(jwk) {
                Ok(key) if for_signatures => keys.push((text("kid"), text("alg"), key)),
                Ok(_) => {
                    passed_over.get_or_insert_with(|| "a key is private or not for signatures".to_owned());
                }
                Err(error) => {
                    log::debug!("a key of the JWK Set is passed over: {error}");
                    passed_over.get_or_insert_with(|| error.to_string());
                }
            }
        }
        // A set without keys is a set: its server has taken them back.
        Ok(Self { keys, passed_over })
    }

    fn holds(&self, kid: Option<&str>) -> bool {
        self.keys.iter().any(|(known, ..)| kid.is_none() || known.as_deref() == kid)
    }

    /// The keys a token with that header may be signed with.
    fn candidates(
        &self,
        kid: Option<&str>,
        alg: &str,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter_map(move |(known, key_alg, key)| {
            let named = kid.is_none() || known.as_deref() == kid;
            let said = key_alg.as_deref().is_none_or(|said| said == alg || algorithm.names().contains(&said));
            (named && said && key.fits(algorithm)).then_some(key)
        })
    }
}

enum Keys {
    Fixed(Arc<KeySet>),
    Remote(Remote),
}

impl Keys {
    /// The keys at hand, after a fetch where that is due to find `kid`.
    fn holding(&self, kid: Option<&str>, now: SystemTime) -> Result<Arc<KeySet>, Error> {
        match self {
            Self::Fixed(keys) => Ok(Arc::clone(keys)),
            Self::Remote(remote) => remote.holding(kid, now),
        }
    }
}

struct Remote {
    uri: http::Uri,
    http: Box<dyn HttpClient>,
    state: Mutex<State>,
    fetched: Condvar,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// When those were fetched.
    since: Option<SystemTime>,
    /// When a fetch was last begun, and how it ended where it failed.
    tried: Option<SystemTime>,
    error: Option<Error>,
    fetching: bool,
}

impl State {
    fn younger_than(&self, age: Duration, now: SystemTime) -> bool {
        self.since.is_some_and(|since| elapsed(since, now).is_some_and(|elapsed| elapsed < age))
    }

    fn may_fetch(&self, now: SystemTime) -> bool {
        let interval = if self.keys.is_some() { MIN_INTERVAL } else { MIN_INTERVAL_WITHOUT_KEYS };
        // A clock that was set back must not keep the keys from being fetched.
        let due = |tried| elapsed(tried, now).is_none_or(|elapsed| elapsed >= interval);
        !self.fetching && self.tried.is_none_or(due)
    }
}

/// What passed between two readings of the clock: nothing where threads read it in another order; `None` where it was set
/// back.
fn elapsed(then: SystemTime, now: SystemTime) -> Option<Duration> {
    match now.duration_since(then) {
        Ok(elapsed) => Some(elapsed),
        Err(back) if back.duration() < MIN_INTERVAL => Some(Duration::ZERO),
        Err(_) => None,
    }
}

impl Remote {
    fn holding(&self, kid: Option<&str>, now: SystemTime) -> Result<Arc<KeySet>, Error> {
        let mut state = self.lock();
        let holds = state.keys.as_ref().is_some_and(|keys| keys.holds(kid));
        if !(holds && state.younger_than(KEYS_LIFE, now)) {
            if state.may_fetch(now) {
                state.fetching = true;
                state.tried = Some(now);
                drop(state);
                // Whatever becomes of the fetch, a panic in the HTTP client included, the others go on.
                let ending = Ending(self);
                let started = Instant::now();
                let fetched = self.fetch();
                state = self.lock();
                // The pause counts from the end.
                state.tried = now.checked_add(started.elapsed());
                match fetched {
                    Ok(keys) => {
                        (state.keys, state.since, state.error) = (Some(Arc::new(keys)), Some(now), None)
                    }
                    Err(error) => {
                        log::warn!("{error}");
                        state.error = Some(error);
                    }
                }
                drop(state);
                drop(ending);
                state = self.lock();
            } else if !holds {
                // Another thread fetches: who has a key at hand, be it old, goes on with it, and who waits takes what comes.
                let fetched = self.fetched.wait_while(state, |state| state.fetching);
                state = fetched.unwrap_or_else(PoisonError::into_inner);
            }
        }
        match (&state.keys, &state.error) {
            (Some(keys), _) if state.younger_than(MAX_STALE, now) => Ok(Arc::clone(keys)),
            (_, Some(error)) => Err(error.clone()),
            (_, None) => Err(self.error(ErrorKind::Transport, "an earlier fetch did not end")),
        }
    }

    fn fetch(&self) -> Result<KeySet, Error> {
        let request = Request::get(self.uri.clone())
            .header("accept", "application/jwk-set+json, application/json")
            .body(RequestBody::default())
            .map_err(|error| self.error(ErrorKind::Url, error.to_string()))?;
        let response = self.http.send(request).map_err(|error| error.while_doing(self.doing()))?;
        let status = response.status();
        refuse_redirect(status, self.doing())?;
        if status != StatusCode::OK {
            let kind = ErrorKind::Status { status: status.as_u16() };
            return Err(self.error(kind, format!("the server answered with status {}", status.as_u16())));
        }
        let content = |wrong| self.error(ErrorKind::Content { status: 200 }, wrong);
        if !is_json(response.headers()) {
            return Err(content("the answer is not JSON".to_owned()));
        }
        KeySet::parse(response.body()).map_err(content)
    }

    fn doing(&self) -> String {
        format!("fetching the keys at {}", printable(&self.uri.to_string(), 200))
    }

    fn error(&self, kind: ErrorKind, wrong: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::new(kind, self.doing(), wrong)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a fetch when dropped.
struct Ending<'a>(&'a Remote);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.lock().fetching = false;
        self.0.fetched.notify_all();
    }
}
