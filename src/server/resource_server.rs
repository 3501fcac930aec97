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
use crate::server::reason::Reason;
use crate::server::received_request::ReceivedRequest;
use crate::server::rejection::{BearerChallenge, Refusal, Rejection};
use crate::server::verified_proof::VerifiedProof;
use crate::server::verifier::Verifier;
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
    /// The first is the server's own. The others are those that a trusted proxy may name.
    origins: Vec<Url>,
    trusted_proxy: bool,
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
            origins: vec![parse_origin(origin)?],
            trusted_proxy: false,
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
        for origin in origins {
            self.origins.push(parse_origin(origin)?);
        }
        self.trusted_proxy = true;
        Ok(self)
    }

    /// Authenticates a request: checks its credentials, its access token and its proof.
    ///
    /// # Errors
    /// Returns the first check that failed, with the response to send.
    pub fn authenticate(&self, parts: &Parts, now: SystemTime) -> Result<Authenticated, Rejection> {
        let (outcome, bearer) = match credentials(parts) {
            Ok(Credentials::Dpop(token)) => (self.authenticate_dpop(token, parts, now), self.bearer()),
            Ok(Credentials::Bearer(token)) if self.accept_unbound_bearer => {
                (self.authenticate_bearer(token, now).map_err(Refusal::from), BearerChallenge::Failed)
            }
            // No `Bearer` token is accepted here, so this one is not validated.
            Ok(Credentials::Bearer(_)) => (Err(Reason::BearerNotAccepted.into()), self.bearer()),
            Err(reason) => (Err(reason.into()), self.bearer()),
        };
        outcome.map_err(|refusal| self.reject(refusal, bearer))
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

    fn authenticate_dpop(
        &self,
        token: &str,
        parts: &Parts,
        now: SystemTime,
    ) -> Result<Authenticated, Refusal> {
        let started = Instant::now();
        let origin = self.origin(parts)?;
        let request = ReceivedRequest::from_parts(origin, parts).map_err(Reason::RequestUrl)?;
        // The proof is checked before the token, because validation may cost a request to the issuer. Its
        // key and its `jti` are checked afterwards.
        let proof = self.verifier.check(&request, ServerRole::ResourceServer, Some(token), now)?;
        let validated = self.tokens.validate_presented(token, Some(&proof.thumbprint()), now);
        let access_token = validated.map_err(Reason::Token)?;
        let jkt = access_token.jkt().ok_or(Reason::UnboundToken)?;
        // The time that validation took counts for the age of the proof.
        let later = now.checked_add(started.elapsed()).unwrap_or(now);
        let proof = self.verifier.accept(proof, Some(&jkt), later)?;
        Ok(Authenticated { token: access_token, proof: Some(proof) })
    }

    fn authenticate_bearer(&self, token: &str, now: SystemTime) -> Result<Authenticated, Reason> {
        let access_token = self.tokens.validate_presented(token, None, now).map_err(Reason::Token)?;
        match access_token.jkt() {
            Some(_) => Err(Reason::BoundTokenAsBearer),
            None => Ok(Authenticated { token: access_token, proof: None }),
        }
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
    fn origin(&self, parts: &Parts) -> Result<&str, Reason> {
        let own = self.origins.first().map(Url::origin).unwrap_or_default();
        if !self.trusted_proxy {
            return Ok(own);
        }
        let Some(named) = forwarded_origin(parts)? else {
            return Ok(own);
        };
        let known = Url::origin_alone(&named).ok().and_then(|named| {
            self.origins.iter().find(|origin| origin.origin() == named.origin()).map(Url::origin)
        });
        known.ok_or(Reason::Credentials {
            detail: "the proxy names an origin that is not one of this server's",
        })
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
    let Ok(field) = field.to_str() else {
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
