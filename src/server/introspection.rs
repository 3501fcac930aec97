//! Access tokens of any form, asked about at their issuer (RFC 7662).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use zeroize::Zeroizing;

use crate::crypto::sha256;
use crate::error::{Error, ErrorKind};
use crate::jose::json;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::form_request::form_request;
use crate::oauth::http_client::HttpClient;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::oauth_error::OAuthError;
use crate::oauth::response::{oauth_error, require_json};
use crate::server::access_token::{AccessToken, Expected, TokenError, TokenValidator};
use crate::server::claims::NumericDate;
use crate::sync;
use crate::text::{is_token68, printable};
use crate::time::unix_seconds;
use crate::url::Url;

/// Answers that are kept at the same time, at the most, of either kind.
const CACHE_ENTRIES: usize = 10_000;
/// A longer answer is not kept.
const MAX_CACHED: usize = 16 * 1024;
/// How long it is kept that a token is not active, at the most: somebody may send it over and over.
const INACTIVE_LIFE: Duration = Duration::from_secs(10);

/// Validates access tokens by asking the authorization server (RFC 7662): `active`, `exp` and `nbf`, `iss` where it is
/// there, `aud` where one is demanded, and `cnf` (RFC 9449 §6.2). No proof goes along; the proof's key is checked here.
pub struct Introspector {
    server: AuthorizationServer,
    endpoint: Url,
    client: Client,
    auth: ClientAuth,
    http: Box<dyn HttpClient>,
    audience: Option<String>,
    cache: Option<Cache>,
}

struct Cache {
    life: Duration,
    active: Mutex<Answers<AccessToken>>,
    /// Kept apart, so that made-up tokens do not displace real ones.
    inactive: Mutex<Answers<()>>,
}

/// By the hash of the token: from when until when the answer may be used, and the answer.
struct Answers<T> {
    by_token: HashMap<[u8; 32], (SystemTime, SystemTime, T)>,
    searched: Option<SystemTime>,
}

impl Introspector {
    /// Asks `server` as `client`, which authenticates as at the token endpoint, and demands that the answer's `aud` contains
    /// `audience`, this resource server's identifier.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when the metadata have no `introspection_endpoint`;
    /// [`AuthMethod`](ErrorKind::AuthMethod) and [`Algorithm`](ErrorKind::Algorithm) when the client cannot authenticate
    /// so there.
    pub fn new(
        server: &AuthorizationServer,
        client: &Client,
        auth: &ClientAuth,
        audience: impl Into<String>,
        http: impl HttpClient + 'static,
    ) -> Result<Self, Error> {
        let mtls = auth.uses_mtls_aliases(client);
        let endpoint = server.endpoint_for("introspection_endpoint", mtls).ok_or_else(|| {
            let wrong = format!(
                "the metadata of {} have no `introspection_endpoint`",
                printable(server.issuer(), 200)
            );
            Error::new(ErrorKind::Metadata, "introspecting access tokens", wrong)
        })?;
        auth.check(&server.supported_client_auth("introspection_endpoint"), client, None)?;
        auth.require_certificate(client, &http, || "introspecting access tokens".to_owned())?;
        Ok(Self {
            server: server.clone(),
            endpoint,
            client: client.clone(),
            auth: auth.clone(),
            http: Box::new(http),
            audience: Some(audience.into()),
            cache: None,
        })
    }

    /// Accepts tokens whatever their `aud`, or without one: for a server that does not say. A token that was issued for
    /// another resource server, which that one could send here, is then accepted.
    #[must_use]
    pub fn dangerous_any_audience(self) -> Self {
        Self { audience: None, ..self }
    }

    /// Keeps answers that a token is active for so long, and no longer than its `exp`; that it is not, for 10 seconds at
    /// most. A token that is revoked is accepted until then: keep it short. Without this, every request asks, and whoever
    /// sends requests makes this server send them.
    #[must_use]
    pub fn cache(self, life: Duration) -> Self {
        Self { cache: Some(Cache { life, active: Mutex::default(), inactive: Mutex::default() }), ..self }
    }

    fn ask(&self, access_token: &str, now: SystemTime) -> Result<AccessToken, TokenError> {
        let members = match self.answer(access_token, now) {
            Ok(members) if members.get("active") == Some(&Value::Bool(true)) => members,
            Ok(_) => return Err(TokenError::Inactive),
            // What some servers say of a token they do not know, against RFC 7662 §2.2.
            Err(error) if error.oauth().is_some_and(is_about_the_token) => {
                log::warn!("{error}: taken for a token that is not active");
                return Err(TokenError::Inactive);
            }
            Err(error) => return Err(TokenError::Unavailable(error)),
        };
        let seconds = unix_seconds(now).map_err(TokenError::Unavailable)?;
        let expected =
            Expected { issuer: self.server.issuer(), audience: self.audience.as_deref(), leeway: 0 };
        expected.check(&members, seconds)?;
        // The hint is a hint: a server looks among its refresh tokens as well.
        let is_dpop = match members.get("token_type") {
            None | Some(Value::Null) => false,
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("Bearer") => false,
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("DPoP") => true,
            Some(_) => return Err(TokenError::Kind),
        };
        let token = AccessToken::new(members.into_inner())?;
        // RFC 9449 §6.2: whatever `token_type` says, what `cnf` says is demanded; but DPoP without a key is nothing.
        match is_dpop && token.jkt().is_none() {
            true => Err(TokenError::Confirmation),
            false => Ok(token),
        }
    }

    /// The members of a successful answer.
    fn answer(&self, access_token: &str, now: SystemTime) -> Result<json::Members, Error> {
        let supported = self.server.supported_client_auth("introspection_endpoint");
        let credentials = self.auth.credentials(&supported, &self.client, now)?;
        let fields = [("token", access_token), ("token_type_hint", "access_token")]
            .map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned())));
        let request = form_request(&self.endpoint, &fields, credentials)?;
        let response = self.http.send(request).map_err(|error| error.while_doing(self.doing()))?;
        if let Some(error) = oauth_error(&response) {
            let wrong = format!("the server answered {error}");
            return Err(Error::new(ErrorKind::OAuth(error), self.doing(), wrong));
        }
        require_json(response.status(), response.headers(), || self.doing())?;
        let content = |wrong: String| Error::new(ErrorKind::Content { status: 200 }, self.doing(), wrong);
        let members =
            json::parse_members(response.body()).map_err(|wrong| content(format!("the answer: {wrong}")))?;
        match members.get("active") {
            Some(Value::Bool(_)) => Ok(members),
            _ => Err(content("the answer has no boolean `active`".to_owned())),
        }
    }

    fn doing(&self) -> String {
        format!("introspecting a token at {}", self.endpoint)
    }
}

impl TokenValidator for Introspector {
    fn validate(&self, access_token: &str, now: SystemTime) -> Result<AccessToken, TokenError> {
        if !is_token68(access_token) {
            return Err(TokenError::Inactive);
        }
        let Some(cache) = &self.cache else {
            return self.ask(access_token, now);
        };
        let key = sha256(access_token.as_bytes());
        if let Some(token) = lock(&cache.active).find(&key, now) {
            return Ok(token);
        }
        if lock(&cache.inactive).find(&key, now).is_some() {
            return Err(TokenError::Inactive);
        }
        let answer = self.ask(access_token, now);
        match &answer {
            Ok(token) => cache.keep(key, token, now),
            Err(TokenError::Inactive) => {
                let end = now.checked_add(cache.life.min(INACTIVE_LIFE));
                lock(&cache.inactive).keep(key, (), now, end);
            }
            Err(_) => {}
        }
        answer
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

fn is_about_the_token(error: &OAuthError) -> bool {
    error.status() == 400
        && ["invalid_request", "invalid_token", "unsupported_token_type"].contains(&error.error())
}

fn lock<T>(answers: &Mutex<Answers<T>>) -> MutexGuard<'_, Answers<T>> {
    sync::lock(&answers)
}

impl Cache {
    fn keep(&self, key: [u8; 32], token: &AccessToken, now: SystemTime) {
        let exp = NumericDate::of(token.claims(), "exp").ok().flatten();
        let exp = exp.and_then(|exp| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(exp.floor())));
        let end = now.checked_add(self.life).map(|end| exp.map_or(end, |exp| end.min(exp)));
        if Value::Object(token.claims().clone()).to_string().len() <= MAX_CACHED {
            lock(&self.active).keep(key, token.clone(), now, end);
        }
    }
}

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self { by_token: HashMap::new(), searched: None }
    }
}

impl<T: Clone> Answers<T> {
    /// A clock that was set back does not make an answer last.
    fn find(&self, key: &[u8; 32], now: SystemTime) -> Option<T> {
        let (since, end, answer) = self.by_token.get(key)?;
        (*since <= now && now < *end).then(|| answer.clone())
    }

    fn keep(&mut self, key: [u8; 32], answer: T, now: SystemTime, end: Option<SystemTime>) {
        if self.by_token.len() >= CACHE_ENTRIES {
            let lately =
                |searched| now.duration_since(searched).is_ok_and(|ago| ago < Duration::from_secs(1));
            if !self.searched.is_some_and(lately) {
                self.searched = Some(now);
                self.by_token.retain(|_, (_, end, _)| now < *end);
            }
        }
        if let Some(end) = end.filter(|_| self.by_token.len() < CACHE_ENTRIES) {
            self.by_token.insert(key, (now, end, answer));
        }
    }
}
