//! A whole request in, who is asking out.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::request::Parts;
use http::{HeaderMap, header};

use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::jose::public_key::Thumbprint;
use crate::server::access_token::{AccessToken, TokenError, TokenValidator};
use crate::server::received_request::ReceivedRequest;
use crate::server::rejection::{Reason, Rejection};
use crate::server::verified_proof::VerifiedProof;
use crate::server::verifier::Verifier;
use crate::text::{is_token, is_token68};
use crate::url::{self, Url};

/// Protects resources: takes a request and answers who is asking, or the response to refuse it with.
///
/// It reads the credentials, has the access token validated, refuses bound tokens that come as `Bearer`, and has the proof
/// checked for this token and its key (RFC 9449 §7). One serves all threads.
///
/// ```
/// use std::time::SystemTime;
/// use possession::*;
/// use possession::server::{JwtValidator, MemoryReplayStore, ResourceServer, StatelessNonces, Verifier};
///
/// # fn run(server: &AuthorizationServer, http: impl HttpClient + 'static, parts: &http::request::Parts) -> Result<(), Error> {
/// let tokens = JwtValidator::new(server, "https://api.example.com", http)?;
/// let verifier = Verifier::new(MemoryReplayStore::new(100_000)).require_nonces(StatelessNonces::generate()?);
/// let api = ResourceServer::new("https://api.example.com", verifier, tokens)?;
///
/// match api.authenticate(parts, SystemTime::now()) {
///     Ok(caller) => println!("{:?} may read: {}", caller.token().claim("sub"), caller.token().has_scope("read")),
///     Err(rejection) => println!("log {}, send {:?}", rejection.reason(), rejection.to_response()),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ResourceServer {
    /// The first is this server's own; the others are those that a trusted proxy may name.
    origins: Vec<Url>,
    trusted_proxy: bool,
    verifier: Verifier,
    tokens: Arc<dyn TokenValidator>,
    accept_unbound_bearer: bool,
}

/// Who is asking.
#[derive(Clone, Debug)]
pub struct Authenticated {
    token: AccessToken,
    proof: Option<VerifiedProof>,
}

impl ResourceServer {
    /// For resources under `origin`, this server's own public scheme, host and port, such as `https://api.example.com`.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) when it is not one.
    pub fn new(
        origin: &str,
        verifier: Verifier,
        tokens: impl TokenValidator + 'static,
    ) -> Result<Self, Error> {
        Ok(Self {
            origins: vec![origin_of(origin)?],
            trusted_proxy: false,
            verifier,
            tokens: Arc::new(tokens),
            accept_unbound_bearer: false,
        })
    }

    /// Accepts access tokens that are bound to no key, as `Bearer`, beside bound ones (RFC 9449 §7.2): for a time of
    /// change. Bound tokens still come with a proof only.
    #[must_use]
    pub fn accept_unbound_bearer(self) -> Self {
        Self { accept_unbound_bearer: true, ..self }
    }

    /// Takes the origin of a request from `Forwarded` (RFC 7239), or `X-Forwarded-Proto` and `X-Forwarded-Host`: for a
    /// server that is reached under several origins through a proxy. Only this server's own and these are taken; a request
    /// that names another, or several, is refused. The proxy must set or remove these fields on every request: whoever
    /// reaches this server past it can say what they like.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) when one of them is not scheme, host and port alone.
    pub fn trust_forwarded_origins<'a>(
        mut self,
        origins: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Error> {
        for origin in origins {
            self.origins.push(origin_of(origin)?);
        }
        self.trusted_proxy = true;
        Ok(self)
    }

    /// Checks a request: its credentials, its token, its proof.
    ///
    /// # Errors
    /// The first check that failed, with the response to give.
    pub fn authenticate(&self, parts: &Parts, now: SystemTime) -> Result<Authenticated, Rejection> {
        let started = Instant::now();
        let reject = |reason| self.rejection(reason);
        match credentials(parts).map_err(reject)? {
            Credentials::Dpop(token) => {
                let origin = self.origin(&parts.headers).map_err(reject)?;
                let request = ReceivedRequest::from_parts(origin, parts)
                    .map_err(|error| self.rejection(Reason::RequestUrl(error)))?;
                let offering = |rejection: Rejection| rejection.offering_bearer(self.accept_unbound_bearer);
                // The proof before the token, which may cost a request to its issuer; its key and its `jti` after it.
                let part = ServerRole::ResourceServer;
                let examined = self.verifier.examine(&request, part, Some(token), now).map_err(offering)?;
                let access_token = self.validate(token, now)?;
                let Some(jkt) = access_token.jkt() else {
                    return Err(self.rejection(Reason::UnboundToken));
                };
                // Validation may have taken its time, which counts.
                let later = now.checked_add(started.elapsed()).unwrap_or(now);
                let proof = self.verifier.accept(examined, part, Some(&jkt), later).map_err(offering)?;
                Ok(Authenticated { token: access_token, proof: Some(proof) })
            }
            // Whatever the token is, it must not come so: nobody needs to be asked.
            Credentials::Bearer(_) if !self.accept_unbound_bearer => {
                Err(self.rejection(Reason::BearerNotAccepted))
            }
            Credentials::Bearer(token) => {
                let access_token = self.validate(token, now).map_err(Rejection::of_bearer)?;
                match access_token.jkt() {
                    Some(_) => Err(self.rejection(Reason::BoundTokenAsBearer).of_bearer()),
                    None => Ok(Authenticated { token: access_token, proof: None }),
                }
            }
        }
    }

    /// Refuses a caller whose token lacks a scope, with 403 (RFC 6750 §3.1 `insufficient_scope`).
    ///
    /// # Errors
    /// When it does.
    pub fn require_scope(&self, caller: &Authenticated, scope_token: &str) -> Result<(), Rejection> {
        match caller.token.has_scope(scope_token) {
            true => Ok(()),
            false => {
                // The nonce goes with this answer as with any other.
                let nonce = caller.proof.as_ref().and_then(VerifiedProof::next_nonce).map(str::to_owned);
                let rejection =
                    self.rejection(Reason::Scope { needed: scope_token.to_owned() }).with_nonce(nonce);
                Err(if caller.proof.is_none() { rejection.of_bearer() } else { rejection })
            }
        }
    }

    fn validate(&self, token: &str, now: SystemTime) -> Result<AccessToken, Rejection> {
        self.tokens.validate(token, now).map_err(|error: TokenError| self.rejection(Reason::Token(error)))
    }

    fn rejection(&self, reason: Reason) -> Rejection {
        self.verifier
            .rejection(reason, ServerRole::ResourceServer)
            .offering_bearer(self.accept_unbound_bearer)
    }

    /// Where the request was sent, as far as it is this server's to say.
    fn origin(&self, headers: &HeaderMap) -> Result<&str, Reason> {
        let own = self.origins.first().map(Url::origin).unwrap_or_default();
        if !self.trusted_proxy {
            return Ok(own);
        }
        let Some(named) = forwarded_origin(headers)? else {
            return Ok(own);
        };
        let known = Url::origin_alone(&named).ok().and_then(|named| {
            self.origins.iter().find(|origin| origin.origin() == named.origin()).map(Url::origin)
        });
        known.ok_or(Reason::Credentials { wrong: "the proxy names an origin that is not this server's" })
    }
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServer")
            .field("origins", &self.origins)
            .field("verifier", &self.verifier)
            .field("accept_unbound_bearer", &self.accept_unbound_bearer)
            .finish_non_exhaustive()
    }
}

impl Authenticated {
    /// The access token, with its claims.
    #[must_use]
    pub fn token(&self) -> &AccessToken {
        &self.token
    }

    /// The proof; `None` for a `Bearer` token.
    #[must_use]
    pub fn proof(&self) -> Option<&VerifiedProof> {
        self.proof.as_ref()
    }

    /// The thumbprint of the key that made the request; `None` for a `Bearer` token.
    #[must_use]
    pub fn thumbprint(&self) -> Option<Thumbprint> {
        self.proof.as_ref().map(VerifiedProof::thumbprint)
    }

    /// Puts onto the response what goes with it: see [`VerifiedProof::add_headers`].
    pub fn add_headers(&self, response: &mut HeaderMap) {
        if let Some(proof) = &self.proof {
            proof.add_headers(response);
        }
    }
}

enum Credentials<'a> {
    Dpop(&'a str),
    Bearer(&'a str),
}

/// One `Authorization` field with one token, and none elsewhere (RFC 6750 §2, RFC 9449 §7.1).
fn credentials(parts: &Parts) -> Result<Credentials<'_>, Reason> {
    let wrong = |wrong| Err(Reason::Credentials { wrong });
    let mut fields = parts.headers.get_all(header::AUTHORIZATION).iter();
    let field = match (fields.next(), fields.next()) {
        (None, _) => return Err(Reason::NoToken),
        (Some(field), None) => field,
        _ => return wrong("the request has several Authorization fields"),
    };
    let query = parts.uri.query().unwrap_or_default();
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token") {
        return wrong("the request has an access token in its query as well");
    }
    let Ok(field) = field.to_str() else {
        return wrong("the Authorization field is not ASCII");
    };
    let (scheme, token) = field.split_once(' ').unwrap_or((field, ""));
    let token = token.trim_matches(' ');
    let dpop = scheme.eq_ignore_ascii_case("DPoP");
    if !dpop && !scheme.eq_ignore_ascii_case("Bearer") {
        // Credentials of another scheme are no access token.
        return if scheme.is_empty() || is_token(scheme) {
            Err(Reason::NoToken)
        } else {
            wrong("the Authorization field is malformed")
        };
    }
    if !is_token68(token) {
        return wrong("the Authorization field does not hold one access token");
    }
    Ok(if dpop { Credentials::Dpop(token) } else { Credentials::Bearer(token) })
}

/// The origin a proxy names, if it names one.
fn forwarded_origin(headers: &HeaderMap) -> Result<Option<String>, Reason> {
    let several = Reason::Credentials { wrong: "the proxy names several origins, or none that can be read" };
    let single = |name: &str| {
        let mut fields = headers.get_all(name).iter();
        match (fields.next(), fields.next()) {
            (None, _) => Ok(None),
            (Some(field), None) => match field.to_str() {
                Ok(field) if !field.contains(',') => Ok(Some(field.trim())),
                _ => Err(several.clone()),
            },
            _ => Err(several.clone()),
        }
    };
    let (mut proto, mut host) = (single("x-forwarded-proto")?, single("x-forwarded-host")?);
    if let Some(forwarded) = single("forwarded")? {
        if proto.is_some() || host.is_some() {
            return Err(several);
        }
        for pair in forwarded.split(';') {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(several);
            };
            let slot = match name.trim() {
                name if name.eq_ignore_ascii_case("proto") => &mut proto,
                name if name.eq_ignore_ascii_case("host") => &mut host,
                _ => continue,
            };
            let value = value.trim();
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            if slot.replace(value).is_some() {
                return Err(several);
            }
        }
    }
    match (proto, host) {
        (None, None) => Ok(None),
        (Some(proto), Some(host)) => Ok(Some(format!("{proto}://{host}"))),
        _ => Err(several),
    }
}

fn origin_of(origin: &str) -> Result<Url, Error> {
    Url::origin_alone(origin)
        .map_err(|why| url::refused(ErrorKind::Url, "origin of a resource server", origin, why))
}
