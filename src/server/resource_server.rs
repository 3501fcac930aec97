//! Authenticates requests to a protected resource.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::request::Parts;
use http::{HeaderMap, header};

use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::jose::public_key::Thumbprint;
use crate::server::access_token::{AccessToken, TokenValidator};
use crate::server::forwarded_origin::forwarded_origin;
use crate::server::presented_token::PresentedToken;
use crate::server::reason::Reason;
use crate::server::received_request::ReceivedRequest;
use crate::server::rejection::{BearerChallenge, Refusal, Rejection};
use crate::server::token_error::TokenError;
use crate::server::verified_proof::VerifiedProof;
use crate::server::verifier::{UnrecordedProof, Verifier};
use crate::text::{is_token, is_token68};
use crate::url::{self, Url};

/// Authenticates requests to protected resources: takes a request, and returns the authenticated caller or a
/// rejection.
///
/// It reads the credentials, has the access token validated, rejects bound tokens that are presented as
/// `Bearer`, and has the proof verified for this token and its key (RFC 9449 §7). One resource server serves
/// all threads.
///
/// ```
/// use std::time::SystemTime;
/// use possession::*;
/// use possession::server::{JwtValidator, MemoryReplayStore, ResourceServer, StatelessNonces, Verifier};
///
/// # fn run(
/// #     server: &AuthorizationServer,
/// #     http: impl HttpClient + 'static,
/// #     parts: &http::request::Parts,
/// # ) -> Result<(), Error> {
/// let tokens = JwtValidator::new(server, "https://api.example.com", http)?;
/// let nonces = StatelessNonces::generate()?;
/// let verifier = Verifier::new(MemoryReplayStore::new(100_000)).require_nonces(nonces);
/// let api = ResourceServer::new("https://api.example.com", verifier, tokens)?;
///
/// match api.authenticate(parts, SystemTime::now()) {
///     Ok(caller) if caller.token().has_scope("read") => println!("{:?}", caller.token().claim("sub")),
///     Ok(caller) => println!("{:?} may not read", caller.token().claim("sub")),
///     Err(rejection) => println!("log {}, send {:?}", rejection.reason(), rejection.to_response()),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ResourceServer {
    origin: Url,
    /// Other origins that a proxy may name; `None` if no proxy is trusted.
    forwarded_origins: Option<Vec<Url>>,
    verifier: Verifier,
    tokens: Arc<dyn TokenValidator>,
    accept_unbound_bearer: bool,
}

/// The authenticated caller of a request: its access token, and its proof if the token is bound to a key.
#[derive(Clone, Debug)]
pub struct Authenticated {
    token: AccessToken,
    proof: Option<VerifiedProof>,
}

impl ResourceServer {
    /// Creates a resource server for the resources under `origin`, its own public scheme, host and port,
    /// such as `https://api.example.com`.
    ///
    /// # Errors
    /// Returns [`Url`](ErrorKind::Url) when `origin` is not scheme, host and port alone.
    pub fn new(
        origin: &str,
        verifier: Verifier,
        tokens: impl TokenValidator + 'static,
    ) -> Result<Self, Error> {
        Ok(Self {
            origin: parse_origin(origin)?,
            forwarded_origins: None,
            verifier,
            tokens: Arc::new(tokens),
            accept_unbound_bearer: false,
        })
    }

    /// Accepts access tokens that are not bound to a key, presented as `Bearer`, in addition to bound ones
    /// (RFC 9449 §7.2). This is for a period of transition. A bound token still needs a proof.
    #[must_use]
    pub fn accept_unbound_bearer(self) -> Self {
        Self { accept_unbound_bearer: true, ..self }
    }

    /// Reads the origin of a request from `Forwarded` (RFC 7239), or from `X-Forwarded-Proto`,
    /// `X-Forwarded-Host` and `X-Forwarded-Port`, for a server that is reached under several origins through
    /// a proxy. Where the proxy names the scheme and no host, the host is that of `Host`.
    ///
    /// Only the server's own origin and these are accepted. A request that names another one, or several, is
    /// rejected. The proxy must set or remove these fields on every request, because a client that bypasses
    /// the proxy can put anything into them. Of several elements of `Forwarded`, only the last may name an
    /// origin: it is that of the nearest proxy.
    ///
    /// # Errors
    /// Returns [`Url`](ErrorKind::Url) when one of `origins` is not scheme, host and port alone.
    pub fn trust_forwarded_origins<'a>(
        mut self,
        origins: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Error> {
        let known = self.forwarded_origins.get_or_insert_default();
        for origin in origins {
            known.push(parse_origin(origin)?);
        }
        Ok(self)
    }

    /// Authenticates a request: checks its credentials, its access token and its proof.
    ///
    /// It blocks the thread where keys must be fetched, the token must be introspected or the replay store
    /// is on another machine: see [`try_authenticate`](Self::try_authenticate).
    ///
    /// # Errors
    /// Returns the first check that failed, with the response to send.
    pub fn authenticate(&self, parts: &Parts, now: SystemTime) -> Result<Authenticated, Rejection> {
        let validate = |presented: &PresentedToken<'_>| {
            self.tokens.validate_presented(presented, now).map_err(refused_token)
        };
        self.authenticate_with(credentials(parts), parts, now, validate)
            .map_err(|(refusal, bearer)| self.reject(refusal, bearer))
    }

    /// Authenticates a request if that needs no I/O, and returns `None` if it does, for a server whose
    /// threads must not block. Nothing has been used up then, neither the proof nor its nonce, and
    /// [`authenticate`](Self::authenticate) on another thread accepts the same request.
    ///
    /// A JWT whose key is at hand, a token whose introspection is cached, and a
    /// [`MemoryReplayStore`](crate::server::MemoryReplayStore) need no I/O. A fetch of keys, an introspection
    /// and a replay store on another machine do. When cached keys are due for a fetch, requests need I/O
    /// until a thread fetches them; during the fetch, the others go on with the keys at hand. A validator,
    /// replay store, nonce source or signature verifier of your own counts as I/O unless its `needs_io`
    /// returns false.
    ///
    /// # Errors
    /// Returns what [`authenticate`](Self::authenticate) would.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use possession::server::{Authenticated, Rejection, ResourceServer};
    ///
    /// # fn on_another_thread<T>(work: impl FnOnce() -> T) -> T { work() }
    /// fn caller(api: &ResourceServer, parts: &http::request::Parts) -> Result<Authenticated, Rejection> {
    ///     match api.try_authenticate(parts, SystemTime::now()) {
    ///         Some(outcome) => outcome,
    ///         None => on_another_thread(|| api.authenticate(parts, SystemTime::now())),
    ///     }
    /// }
    /// ```
    ///
    /// The guide's page [protect_an_api](crate::guide::protect_an_api) shows it with tokio.
    pub fn try_authenticate(
        &self,
        parts: &Parts,
        now: SystemTime,
    ) -> Option<Result<Authenticated, Rejection>> {
        let credentials = credentials(parts);
        if self.always_needs_io(&credentials) {
            return None;
        }
        let validate = |presented: &PresentedToken<'_>| {
            let validated = self.tokens.try_validate_presented(presented, now);
            validated.ok_or(NotAuthenticated::NeedsIo)?.map_err(|error| refused_token(error).into())
        };
        match self.authenticate_with(credentials, parts, now, validate) {
            Ok(caller) => Some(Ok(caller)),
            Err((NotAuthenticated::Refused(refusal), bearer)) => Some(Err(self.reject(refusal, bearer))),
            Err((NotAuthenticated::NeedsIo, _)) => None,
        }
    }

    /// Rejects a caller whose token lacks a scope, with 403 (RFC 6750 §3.1 `insufficient_scope`).
    ///
    /// # Errors
    /// Returns [`Scope`](Reason::Scope) when the token lacks it.
    pub fn require_scope(&self, caller: &Authenticated, scope_token: &str) -> Result<(), Rejection> {
        if caller.token.has_scope(scope_token) {
            return Ok(());
        }
        let reason = Reason::Scope { needed: scope_token.to_owned() };
        // A new nonce goes with this response as with a successful one.
        let nonce = caller.proof.as_ref().and_then(VerifiedProof::next_nonce).map(str::to_owned);
        let bearer = if caller.proof.is_none() { BearerChallenge::Failed } else { self.bearer() };
        Err(self.reject(Refusal { reason, nonce }, bearer))
    }

    /// Returns whether requests with such credentials need I/O whatever they contain, so that there is no
    /// point in beginning.
    fn always_needs_io(&self, credentials: &Result<Credentials<'_>, Reason>) -> bool {
        match credentials {
            Ok(Credentials::Dpop(_)) => self.verifier.needs_io() || self.tokens.needs_io(),
            Ok(Credentials::Bearer(_)) => self.accept_unbound_bearer && self.tokens.needs_io(),
            Err(_) => false,
        }
    }

    /// Authenticates a request whose token `validate` validates. An error comes with how the response
    /// presents the `Bearer` scheme.
    fn authenticate_with<E: From<Refusal>>(
        &self,
        credentials: Result<Credentials<'_>, Reason>,
        parts: &Parts,
        now: SystemTime,
        validate: impl Fn(&PresentedToken<'_>) -> Result<AccessToken, E>,
    ) -> Result<Authenticated, (E, BearerChallenge)> {
        let (outcome, bearer) = match credentials {
            Ok(Credentials::Dpop(token)) => {
                (self.authenticate_dpop(token, parts, now, validate), self.bearer())
            }
            Ok(Credentials::Bearer(token)) if self.accept_unbound_bearer => (
                validate(&PresentedToken::new(token, None)).and_then(|token| Ok(unbound(token)?)),
                BearerChallenge::Failed,
            ),
            // No `Bearer` token is accepted here, so this one is not validated.
            Ok(Credentials::Bearer(_)) => {
                (Err(Refusal::from(Reason::BearerNotAccepted).into()), self.bearer())
            }
            Err(reason) => (Err(Refusal::from(reason).into()), self.bearer()),
        };
        outcome.map_err(|error| (error, bearer))
    }

    fn authenticate_dpop<E: From<Refusal>>(
        &self,
        token: &str,
        parts: &Parts,
        now: SystemTime,
        validate: impl Fn(&PresentedToken<'_>) -> Result<AccessToken, E>,
    ) -> Result<Authenticated, E> {
        let started = Instant::now();
        // The proof is checked before the token, because validation may cost a request to the issuer. Its
        // key and its `jti` are checked afterwards.
        let proof = self.check_proof(token, parts, now)?;
        let token = validate(&proof.presented_token(token))?;
        let jkt = token.jkt().ok_or(Reason::UnboundToken).map_err(Refusal::from)?;
        // The time that validation took counts for the age of the proof.
        let later = now.checked_add(started.elapsed()).unwrap_or(now);
        let proof = self.verifier.accept(proof, Some(&jkt), later)?;
        Ok(Authenticated { token, proof: Some(proof) })
    }

    fn check_proof(&self, token: &str, parts: &Parts, now: SystemTime) -> Result<UnrecordedProof, Refusal> {
        let origin = self.origin(parts)?;
        let request = ReceivedRequest::at_origin(origin, parts).map_err(Reason::RequestUrl)?;
        self.verifier.check(&request, ServerRole::ResourceServer, Some(token), now)
    }

    fn reject(&self, refusal: Refusal, bearer: BearerChallenge) -> Rejection {
        self.verifier.reject(refusal, ServerRole::ResourceServer, bearer)
    }

    /// Returns how challenges present the `Bearer` scheme to a client that did not use it.
    fn bearer(&self) -> BearerChallenge {
        if self.accept_unbound_bearer { BearerChallenge::Offered } else { BearerChallenge::Absent }
    }

    /// Returns the origin that the request was sent to: the server's own, or another known one that a
    /// trusted proxy names.
    fn origin(&self, parts: &Parts) -> Result<&Url, Reason> {
        let Some(others) = &self.forwarded_origins else {
            return Ok(&self.origin);
        };
        let Some(named) = forwarded_origin(parts)? else {
            return Ok(&self.origin);
        };
        let mut known = std::iter::once(&self.origin).chain(others);
        let named = Url::origin_alone(&named).ok();
        let origin = named.and_then(|named| known.find(|origin| origin.origin() == named.origin()));
        origin.ok_or(Reason::Credentials {
            detail: "the proxy names an origin that is not one of this server's",
        })
    }
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServer")
            .field("origin", &self.origin)
            .field("forwarded_origins", &self.forwarded_origins)
            .field("verifier", &self.verifier)
            .field("accept_unbound_bearer", &self.accept_unbound_bearer)
            .finish_non_exhaustive()
    }
}

impl Authenticated {
    /// Returns the access token.
    #[must_use]
    pub fn token(&self) -> &AccessToken {
        &self.token
    }

    /// Returns the proof; `None` for a `Bearer` token.
    #[must_use]
    pub fn proof(&self) -> Option<&VerifiedProof> {
        self.proof.as_ref()
    }

    /// Returns the thumbprint of the key that signed the proof; `None` for a `Bearer` token.
    #[must_use]
    pub fn thumbprint(&self) -> Option<Thumbprint> {
        self.proof.as_ref().map(VerifiedProof::thumbprint)
    }

    /// Adds a new nonce to the header fields of the response, if there is one: see
    /// [`VerifiedProof::add_headers`].
    pub fn add_headers(&self, response: &mut HeaderMap) {
        if let Some(proof) = &self.proof {
            proof.add_headers(response);
        }
    }
}

/// Why a request was not authenticated without I/O.
enum NotAuthenticated {
    Refused(Refusal),
    NeedsIo,
}

impl From<Refusal> for NotAuthenticated {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn refused_token(error: TokenError) -> Refusal {
    Reason::Token(error).into()
}

/// Returns the caller with a token that was presented as `Bearer`.
fn unbound(token: AccessToken) -> Result<Authenticated, Refusal> {
    match token.jkt() {
        Some(_) => Err(Reason::BoundTokenAsBearer.into()),
        None => Ok(Authenticated { token, proof: None }),
    }
}

enum Credentials<'a> {
    Dpop(&'a str),
    Bearer(&'a str),
}

/// Reads the access token: there must be one `Authorization` header field with one token, and none in the
/// query (RFC 6750 §2, RFC 9449 §7.1).
fn credentials(parts: &Parts) -> Result<Credentials<'_>, Reason> {
    let wrong = |detail| Err(Reason::Credentials { detail });
    let mut fields = parts.headers.get_all(header::AUTHORIZATION).iter();
    let field = match (fields.next(), fields.next()) {
        (None, _) => return Err(Reason::NoToken),
        (Some(field), None) => field,
        _ => return wrong("there are several `Authorization` header fields (there must be one)"),
    };
    let query = parts.uri.query().unwrap_or_default();
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token") {
        return wrong("there is an access token in the query as well");
    }
    // A field value has no control characters but tabs, so this is `HeaderValue::to_str`, many bytes at a
    // time.
    let Some(field) = std::str::from_utf8(field.as_bytes()).ok().filter(|field| field.is_ascii()) else {
        return wrong("the `Authorization` header field is not ASCII");
    };
    let (scheme, token) = field.split_once(' ').unwrap_or((field, ""));
    let token = token.trim_matches(' ');
    let dpop = scheme.eq_ignore_ascii_case("DPoP");
    if !dpop && !scheme.eq_ignore_ascii_case("Bearer") {
        // Credentials of another scheme are not an access token.
        return if scheme.is_empty() || is_token(scheme) {
            Err(Reason::NoToken)
        } else {
            wrong("the `Authorization` header field is malformed")
        };
    }
    if !is_token68(token) {
        return wrong("the `Authorization` header field does not contain one access token");
    }
    Ok(if dpop { Credentials::Dpop(token) } else { Credentials::Bearer(token) })
}

fn parse_origin(origin: &str) -> Result<Url, Error> {
    Url::origin_alone(origin)
        .map_err(|why| url::refused(ErrorKind::Url, "origin of a resource server", origin, why))
}
