//! A call to a protected resource, without I/O.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Method, Request, StatusCode, header};
use zeroize::Zeroizing;

use crate::client::proof_attempts::ProofAttempts;
use crate::client::proof_target::ProofTarget;
use crate::client::prover::Prover;
use crate::client::token_response::TokenType;
use crate::dpop::header_names::DPOP;
use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::oauth::challenge;
use crate::oauth::http_client::{HttpClient, RequestBody, sensitive};
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::response::parse_oauth_error;
use crate::oauth::step::Step;
use crate::text::is_token68;
use crate::url::{self, Url};

/// One request to a protected resource, with its access token and proof (RFC 9449 §7), retried once when the resource
/// server asks for a nonce, and once when it refuses the proof and its `Date` shows another time than the clock here.
///
/// [`run`](Self::run) drives it over an [`HttpClient`]; with another HTTP client:
///
/// ```
/// use std::time::SystemTime;
/// use possession::{AuthorizationServer, Prover, ResourceRequest, Step};
///
/// # fn send(_: &http::Uri, _: &http::HeaderMap) -> http::Response<Vec<u8>> { http::Response::new(Vec::new()) }
/// # fn call(server: &AuthorizationServer, prover: &Prover, access_token: &str) -> Result<(), possession::Error> {
/// let url = "https://api.example.com/orders";
/// let mut exchange = ResourceRequest::new(server, prover, access_token, &http::Method::GET, url)?;
/// let response = loop {
///     let mut headers = http::HeaderMap::new();
///     exchange.authorize(&mut headers, SystemTime::now())?;
///     let response = send(&exchange.uri()?, &headers);
///     let (status, body) = (response.status(), Some(&response.body()[..]));
///     if exchange.receive(status, response.headers(), body, SystemTime::now())? == Step::Done(()) {
///         break response;
///     }
/// };
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ResourceRequest {
    proving: ProofAttempts,
    token_type: TokenType,
}

impl ResourceRequest {
    /// For a request that will go to `url` with a token that `server` bound to the prover's key. The metadata say which
    /// algorithms are known there, and whether plain http is allowed on loopback.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url), [`Parameter`](ErrorKind::Parameter) and [`Algorithm`](ErrorKind::Algorithm).
    pub fn new(
        server: &AuthorizationServer,
        prover: &Prover,
        access_token: &str,
        method: &Method,
        url: &str,
    ) -> Result<Self, Error> {
        let target = target(server, url)?;
        let token = Arc::new(Zeroizing::new(access_token.to_owned()));
        Self::of(server, prover, (TokenType::Dpop, token), method.clone(), target)
    }

    /// For a URL that was checked before, and a token of either type.
    pub(crate) fn of(
        server: &AuthorizationServer,
        prover: &Prover,
        (token_type, access_token): (TokenType, Arc<Zeroizing<String>>),
        method: Method,
        target: Url,
    ) -> Result<Self, Error> {
        if !is_token68(&access_token) {
            let wrong = "it has characters that the DPoP scheme cannot carry (RFC 9449 §7.1)";
            return Err(Error::new(ErrorKind::Parameter, "taking an access token", wrong));
        }
        let alg = prover.name_at(server.dpop_algorithms())?;
        let proving = ProofAttempts::new(prover.clone(), ServerRole::ResourceServer, alg, method, target)
            .with_access_token(access_token);
        Ok(Self { proving, token_type })
    }

    /// Names another method and URL in the proofs than those of the request: see [`ProofTarget`].
    #[must_use]
    pub fn proof_target(self, target: ProofTarget) -> Self {
        Self { proving: self.proving.with_target(Some(target)), ..self }
    }

    /// Sends `request` over an HTTP client: method and URL are this exchange's, headers and body are kept, and it is
    /// sent once more when the server asks for a nonce. Whatever the resource answers is a response.
    ///
    /// # Errors
    /// Those of [`authorize`](Self::authorize), of [`receive`](Self::receive) and of the HTTP client.
    pub fn run(
        &mut self,
        request: &Request<RequestBody>,
        http: &dyn HttpClient,
    ) -> Result<http::Response<Vec<u8>>, Error> {
        loop {
            let mut request = request.clone();
            *request.method_mut() = self.proving.method.clone();
            *request.uri_mut() = self.uri()?;
            self.authorize(request.headers_mut(), SystemTime::now())?;
            let response = http.send(request).map_err(|error| error.while_doing(self.doing()))?;
            let (status, body) = (response.status(), Some(response.body().as_slice()));
            match self.receive(status, response.headers(), body, SystemTime::now())? {
                Step::Retry => {}
                Step::Done(()) => return Ok(response),
            }
        }
    }

    /// The URL to send to, which is what the proof names.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) when an HTTP client would not take it.
    pub fn uri(&self) -> Result<http::Uri, Error> {
        let url = &self.proving.url;
        url.to_uri().map_err(|why| url::refused(ErrorKind::Url, "resource URL", url.htu(), why))
    }

    /// Puts `Authorization: DPoP …` and a new proof into the headers, in place of what stands there. Send the request
    /// once and at once.
    ///
    /// # Errors
    /// [`Clock`](ErrorKind::Clock), [`Random`](ErrorKind::Random) and [`Signer`](ErrorKind::Signer).
    pub fn authorize(&mut self, headers: &mut HeaderMap, now: SystemTime) -> Result<(), Error> {
        let token = self.proving.access_token.as_deref().map(|token| token.as_str()).unwrap_or_default();
        let value = Zeroizing::new(format!("{} {token}", self.token_type));
        headers.insert(header::AUTHORIZATION, sensitive(&value)?);
        headers.remove(DPOP);
        if self.token_type == TokenType::Dpop {
            let proof = self.proving.prove(now).map_err(|error| error.while_doing(self.doing()))?;
            headers.insert(DPOP, proof);
        }
        Ok(())
    }

    /// Takes status and headers of the response. The nonce is kept. [`Step::Retry`] says that the request is to be
    /// authorized and sent once more, with the nonce or dated by the server's clock. The body is read only if it is given
    /// and the headers name no error.
    ///
    /// # Errors
    /// [`Algorithm`](ErrorKind::Algorithm) when a challenge lists `algs` that the key does not sign.
    pub fn receive(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        now: SystemTime,
    ) -> Result<Step<()>, Error> {
        if self.token_type != TokenType::Dpop {
            return Ok(Step::Done(()));
        }
        let code = challenge::dpop_error(headers).or_else(|| {
            let error = parse_oauth_error(status, body?)?;
            Some(error.error().to_owned())
        });
        match self.proving.receive(status, headers, code.as_deref(), now)? {
            true => Ok(Step::Retry),
            false => Ok(Step::Done(())),
        }
    }

    pub(crate) fn doing(&self) -> String {
        format!("calling {} {}", self.proving.method, self.proving.url)
    }
}

impl fmt::Debug for ResourceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceRequest")
            .field("method", &self.proving.method)
            .field("url", &self.proving.url)
            .finish_non_exhaustive()
    }
}

/// A URL that calls may go to.
pub(crate) fn target(server: &AuthorizationServer, url: &str) -> Result<Url, Error> {
    Url::target(url, server.http()).map_err(|why| url::refused(ErrorKind::Url, "resource URL", url, why))
}
