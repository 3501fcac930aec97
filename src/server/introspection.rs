//! Validation of access tokens by introspection (RFC 7662).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::jose::json;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::form_request::form_request;
use crate::oauth::http_client::HttpClient;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::oauth_error::OAuthError;
use crate::oauth::response_facts::{oauth_error, require_json};
use crate::server::access_token::{AccessToken, TokenValidator};
use crate::server::expected_claims::{DEFAULT_LEEWAY, ExpectedClaims};
use crate::server::introspection_cache::{IntrospectionCache, Outcome};
use crate::server::presented_token::PresentedToken;
use crate::server::single_flight::{MAX_WAITING, RETRY_AFTER, SharedOutcome, SingleFlight};
use crate::server::token_cache_key::TokenCacheKey;
use crate::server::token_error::TokenError;
use crate::text::{is_token68, without_bom_bytes};
use crate::time::unix_seconds;
use crate::url::Url;

/// Validates access tokens of any form by asking the authorization server (RFC 7662).
///
/// It checks `active`, `exp`, `nbf` and `iss` where they are present, `aud` by default, and `cnf`
/// (RFC 9449 §6.2). A member that is `null` counts as absent, and so do an `exp` of 0 and the `token_type`
/// `access_token`. The proof is not sent along: its key is compared with `cnf` here.
///
/// Threads that need the same token share one request. That a token is refused, or that the request about it
/// failed, is remembered for 5 seconds. For active tokens see [`cache`](Self::cache). All this is per token
/// and key of the proof: a token with a proof by another key than its own takes as long as an unknown token,
/// so the time of a refusal does not tell a thief whether a token is in use.
///
/// ```no_run
/// use std::time::Duration;
///
/// use possession::server::Introspector;
/// use possession::{AuthorizationServer, Client, ClientAuth, HttpClient};
///
/// # fn run(http: impl HttpClient + Clone + 'static, secret: &str) -> Result<(), possession::Error> {
/// let server = AuthorizationServer::discover("https://as.example.com", &http)?;
/// let client = Client::new("orders-api")?;
/// let auth = ClientAuth::client_secret_basic(secret);
/// let tokens = Introspector::new(&server, &client, &auth, "https://api.example.com", http)?
///     .cache(Duration::from_secs(30));
/// # Ok(()) }
/// ```
pub struct Introspector {
    server: AuthorizationServer,
    endpoint: Url,
    client: Client,
    auth: ClientAuth,
    http: Box<dyn HttpClient>,
    audience: Option<String>,
    leeway: Duration,
    cache: IntrospectionCache,
    requests: SingleFlight<Outcome>,
    max_waiting: usize,
}

impl Introspector {
    /// Creates a validator that asks `server` as `client`, which authenticates as at the token endpoint. The
    /// `aud` of the response must contain `audience`, the identifier of this resource server.
    ///
    /// # Errors
    /// Returns [`Metadata`](ErrorKind::Metadata) when the metadata have no valid `introspection_endpoint`,
    /// and [`AuthMethod`](ErrorKind::AuthMethod) or [`Algorithm`](ErrorKind::Algorithm) when the client
    /// cannot authenticate there with `auth`.
    pub fn new(
        server: &AuthorizationServer,
        client: &Client,
        auth: &ClientAuth,
        audience: impl Into<String>,
        http: impl HttpClient + 'static,
    ) -> Result<Self, Error> {
        let mtls = auth.uses_mtls_aliases(client);
        let doing = "introspecting access tokens";
        let endpoint =
            server.endpoint_for("introspection_endpoint", mtls).map_err(|error| error.while_doing(doing))?;
        auth.check(&server.supported_client_auth("introspection_endpoint")?, client, None)?;
        auth.require_certificate(client, &http, || doing.to_owned())?;
        Ok(Self {
            server: server.clone(),
            endpoint,
            client: client.clone(),
            auth: auth.clone(),
            http: Box::new(http),
            audience: Some(audience.into()),
            leeway: DEFAULT_LEEWAY,
            cache: IntrospectionCache::new(Duration::ZERO),
            requests: SingleFlight::default(),
            max_waiting: MAX_WAITING,
        })
    }

    /// Accepts tokens whatever their `aud`, and tokens without one, for a server that does not return it. A
    /// token that was issued for another resource server is then accepted, and that server could use it
    /// here.
    #[must_use]
    pub fn dangerous_any_audience(self) -> Self {
        Self { audience: None, ..self }
    }

    /// Sets the leeway: how far the authorization server's clock and this machine's may differ for `exp` and
    /// `nbf`, in whole seconds. It is 5 seconds by default, as that of
    /// [`JwtValidator::leeway`](crate::server::JwtValidator::leeway).
    #[must_use]
    pub fn leeway(self, leeway: Duration) -> Self {
        Self { leeway, ..self }
    }

    /// Caches that a token is active for `lifetime`, but not beyond its `exp`.
    ///
    /// A revoked token is accepted until its entry expires, so keep the lifetime short. Without a cache
    /// every request with an active token causes an introspection request.
    #[must_use]
    pub fn cache(self, lifetime: Duration) -> Self {
        Self { cache: IntrospectionCache::new(lifetime), ..self }
    }

    /// Sets how many threads may wait for the authorization server at the same time: those that ask it, and
    /// those that wait for another thread to ask about the same token. It is 32 by default, and at least 1.
    /// A token beyond that cannot be validated ([`Unavailable`](TokenError::Unavailable)), and the response
    /// is 503 with `Retry-After`. Tokens whose result is cached are not affected.
    ///
    /// The limit protects the other threads of the server when the authorization server responds slowly,
    /// because anybody can send tokens that it must be asked about. Strangers can still use up the limit,
    /// and tokens that are not cached are then refused with 503.
    #[must_use]
    pub fn max_waiting(self, threads: usize) -> Self {
        Self { max_waiting: threads.max(1), ..self }
    }

    /// Asks about a token and remembers the result, unless another thread has done so meanwhile.
    fn introspect_and_cache(&self, cache_key: TokenCacheKey, access_token: &str, now: SystemTime) -> Outcome {
        if let Some(known) = self.cache.find(&cache_key, now) {
            return known;
        }
        let started = Instant::now();
        let outcome = match self.introspect(access_token, now) {
            Ok(token) if cache_key.fits(&token) => Ok(token),
            // It will be refused, and refusals take little memory.
            Ok(token) => Ok(token.without_claims()),
            Err(error) => Err(Arc::new(error)),
        };
        self.cache.insert(cache_key, &outcome, self.leeway, now, started.elapsed());
        outcome
    }

    /// Validates a token in the way of [`TokenValidator::validate`].
    fn validate_as(
        &self,
        access_token: &str,
        cache_key: impl FnOnce() -> TokenCacheKey,
        now: SystemTime,
    ) -> Result<AccessToken, TokenError> {
        if !is_token68(access_token) {
            return Err(TokenError::Inactive);
        }
        let cache_key = cache_key();
        let outcome = match self.cache.find(&cache_key, now) {
            Some(known) => known,
            None => {
                let work = || self.introspect_and_cache(cache_key, access_token, now);
                match self.requests.run(cache_key, self.max_waiting, work) {
                    SharedOutcome::Ended(outcome) => outcome,
                    SharedOutcome::Unfinished => return Err(self.unfinished()),
                    SharedOutcome::TooManyThreads => return Err(self.too_many_wait()),
                }
            }
        };
        // The error is copied for its owner without a lock.
        outcome.map_err(Arc::unwrap_or_clone)
    }

    /// Asks the authorization server about a token.
    fn introspect(&self, access_token: &str, now: SystemTime) -> Result<AccessToken, TokenError> {
        let mut members = match self.fetch(access_token, now) {
            Ok(members) if members.get("active") == Some(&Value::Bool(true)) => members,
            Ok(_) => return Err(TokenError::Inactive),
            // Some servers respond so to a token that they do not know, although RFC 7662 §2.2 does not
            // allow it.
            Err(error) if error.oauth().is_some_and(is_about_the_token) => {
                log::warn!("{error} (treating the token as not active)");
                return Err(TokenError::Inactive);
            }
            Err(error) => return Err(TokenError::Unavailable(error)),
        };
        let seconds = unix_seconds(now).map_err(TokenError::Unavailable)?;
        remove_empty_members(&mut members);
        let expected = ExpectedClaims {
            issuer: self.server.issuer(),
            audience: self.audience.as_deref(),
            leeway: self.leeway.as_secs(),
        };
        expected.check(&*members, seconds)?;
        // `token_type_hint` is only a hint: the server searches its refresh tokens as well.
        let is_dpop = match members.get("token_type") {
            None => false,
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("Bearer") => false,
            // It says what the token is for, and nothing about its type (RFC 6749 §5.1, RFC 8693 §3).
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("access_token") => false,
            Some(Value::String(kind)) if kind == "urn:ietf:params:oauth:token-type:access_token" => false,
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("DPoP") => true,
            Some(_) => return Err(TokenError::Kind),
        };
        let token = AccessToken::new(members.into_inner())?;
        // RFC 9449 §6.2: `cnf` binds the token, whatever `token_type` says. A token of type DPoP must have
        // it.
        match is_dpop && token.jkt().is_none() {
            true => Err(TokenError::Confirmation),
            false => Ok(token),
        }
    }

    /// Sends the introspection request, and returns the members of a successful response.
    fn fetch(&self, access_token: &str, now: SystemTime) -> Result<json::Members, Error> {
        let supported = self.server.supported_client_auth("introspection_endpoint")?;
        let credentials = self.auth.credentials(&supported, &self.client, now)?;
        let fields = [("token", access_token), ("token_type_hint", "access_token")]
            .map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned())));
        let assertion = credentials.assertion();
        let request = form_request(&self.endpoint, &fields, credentials)?;
        let response = self.http.send(request).map_err(|error| error.while_doing(self.doing()))?;
        if let Some(error) = oauth_error(&response) {
            let assertion = assertion.as_ref().map(|assertion| assertion.as_str());
            self.auth.check_refused_assertion(assertion).map_err(|error| error.while_doing(self.doing()))?;
            let wrong = format!("the server responded with {error}");
            return Err(Error::new(ErrorKind::OAuth(error), self.doing(), wrong));
        }
        require_json(response.status(), response.headers(), || self.doing())?;
        let content = |wrong: String| Error::new(ErrorKind::Content { status: 200 }, self.doing(), wrong);
        let members = json::parse_members(without_bom_bytes(response.body()))
            .map_err(|wrong| content(format!("the response: {wrong}")))?;
        match members.get("active") {
            Some(Value::Bool(_)) => Ok(members),
            _ => Err(content("the response has no boolean `active`".to_owned())),
        }
    }

    fn unfinished(&self) -> TokenError {
        let wrong = "the request of another thread for the same token did not end";
        TokenError::Unavailable(Error::new(ErrorKind::Transport, self.doing(), wrong))
    }

    fn too_many_wait(&self) -> TokenError {
        let max = self.max_waiting;
        let wrong = format!("{max} threads wait already (`Introspector::max_waiting` sets the limit)");
        let kind = ErrorKind::BackOff { retry_after: RETRY_AFTER };
        TokenError::Unavailable(Error::new(kind, self.doing(), wrong))
    }

    fn doing(&self) -> String {
        format!("introspecting a token at {}", self.endpoint)
    }
}

impl TokenValidator for Introspector {
    /// The result is cached for the token alone. [`validate_presented`](TokenValidator::validate_presented)
    /// caches it for the key as well, so that a fast refusal tells nobody else that the token is in use.
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

    /// Returns true without a cache: then the authorization server is asked about every active token.
    fn needs_io(&self) -> bool {
        !self.cache.holds_active()
    }

    fn try_validate_presented(
        &self,
        presented: &PresentedToken<'_>,
        now: SystemTime,
    ) -> Option<Result<AccessToken, TokenError>> {
        if !is_token68(presented.access_token()) {
            return Some(Err(TokenError::Inactive));
        }
        if let Some(known) = self.cache.find(&TokenCacheKey::new(presented), now) {
            return Some(known.map_err(Arc::unwrap_or_clone));
        }
        // A thread that would be sent away at once need not be started.
        self.requests.is_full(self.max_waiting).then(|| Err(self.too_many_wait()))
    }
}

impl fmt::Debug for Introspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspector")
            .field("endpoint", &self.endpoint)
            .field("client", &self.client)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// Removes the members by which some servers say that there is no such member: `null`, and an `exp` of 0
/// for a token that does not expire.
fn remove_empty_members(members: &mut Map<String, Value>) {
    let is_zero = |value: &Value| value.as_f64() == Some(0.0);
    members.retain(|name, value| !(value.is_null() || name == "exp" && is_zero(value)));
}

/// Returns whether an error says that the token is wrong, rather than the request or the client.
fn is_about_the_token(error: &OAuthError) -> bool {
    error.status() == Some(400)
        && ["invalid_request", "invalid_token", "unsupported_token_type"].contains(&error.error())
}
