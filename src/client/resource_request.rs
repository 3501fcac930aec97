//! Requests to protected resources, without I/O.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Method, Request, StatusCode, header};
use zeroize::Zeroizing;

use crate::client::grants::token_response::{TokenType, TypedToken};
use crate::client::proofs::proof_attempts::ProofAttempts;
use crate::client::proofs::proof_target::ProofTarget;
use crate::client::proofs::prover::Prover;
use crate::client::request_target::RequestTarget;
use crate::dpop::header_names::DPOP;
use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::oauth::http_client::{HttpClient, RequestBody, sensitive};
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::response_facts::ResponseFacts;
use crate::oauth::step::Step;
use crate::text::is_token68;

/// One request to a protected resource, with its access token and proof (RFC 9449 §7). It is retried once
/// when a refusal brings a nonce that may be what the proof lacks, and once when the server refuses the proof
/// and its `Date` differs from the local clock. It is sent three times at most.
///
/// [`run`](Self::run) sends it over an [`HttpClient`]. With another HTTP client:
///
/// ```
/// use std::time::SystemTime;
/// use possession::{AuthorizationServer, Prover, ResourceRequest, Step};
///
/// # fn send(_: &http::Uri, _: &http::HeaderMap) -> http::Response<Vec<u8>> { http::Response::new(Vec::new()) }
/// # fn call(server: &AuthorizationServer, prover: &Prover, access_token: &str) -> Result<(), possession::Error> {
/// let url = "https://api.example.com/orders";
/// let mut request = ResourceRequest::new(server, prover, access_token, &http::Method::GET, url)?;
/// let response = loop {
///     let mut headers = http::HeaderMap::new();
///     request.authorize(&mut headers, SystemTime::now())?;
///     let response = send(&request.uri()?, &headers);
///     let (status, body) = (response.status(), Some(&response.body()[..]));
///     if request.receive(status, response.headers(), body, SystemTime::now())? == Step::Done(()) {
///         break response;
///     }
/// };
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ResourceRequest {
    token: TypedToken,
    attempts: ProofAttempts,
}

impl ResourceRequest {
    /// Creates a request to `url` with a token that `server` bound to the prover's key. The metadata say
    /// which algorithms the server supports, and whether plain http is allowed on loopback.
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
        let target = RequestTarget::from_resource_url(server, method.clone(), url)?;
        let access_token = Arc::new(Zeroizing::new(access_token.to_owned()));
        Self::from_token(server, prover, TypedToken { token_type: TokenType::Dpop, access_token }, target)
    }

    /// Creates a request with a token of either type.
    pub(crate) fn from_token(
        server: &AuthorizationServer,
        prover: &Prover,
        token: TypedToken,
        target: RequestTarget,
    ) -> Result<Self, Error> {
        if !is_token68(&token.access_token) {
            let wrong = "it has characters that the DPoP scheme cannot carry (RFC 9449 §7.1)";
            return Err(Error::new(ErrorKind::Parameter, "checking an access token", wrong));
        }
        let alg = prover.choose_alg(server.dpop_algorithms()?)?;
        let attempts = ProofAttempts::new(prover.clone(), ServerRole::ResourceServer, alg, target);
        Ok(Self { token, attempts })
    }

    /// Names another method and URL in the proofs than those of the request: see [`ProofTarget`].
    #[must_use]
    pub fn proof_target(self, target: ProofTarget) -> Self {
        let named = |request: RequestTarget| request.with_proof_target(Some(target));
        Self { attempts: self.attempts.map_target(named), ..self }
    }

    /// Sends the request over an HTTP client, with the headers and the body of `request`, and retries it as
    /// [`receive`](Self::receive) says. The response of the resource is returned whatever its status.
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
            *request.method_mut() = self.attempts.target().method.clone();
            *request.uri_mut() = self.uri()?;
            self.authorize(request.headers_mut(), SystemTime::now())?;
            let response = http.send(request).map_err(|error| error.while_doing(self.calling()))?;
            let (status, body) = (response.status(), Some(response.body().as_slice()));
            match self.receive(status, response.headers(), body, SystemTime::now())? {
                Step::Retry => {}
                Step::Done(()) => return Ok(response),
            }
        }
    }

    /// Replaces `Authorization` and `DPoP` in the headers with the access token and a new proof. Send the
    /// request once, and without delay.
    ///
    /// # Errors
    /// [`Clock`](ErrorKind::Clock), [`Random`](ErrorKind::Random) and [`Signer`](ErrorKind::Signer).
    pub fn authorize(&mut self, headers: &mut HeaderMap, now: SystemTime) -> Result<(), Error> {
        let TypedToken { token_type, access_token } = &self.token;
        let value = Zeroizing::new(format!("{token_type} {}", access_token.as_str()));
        headers.insert(header::AUTHORIZATION, sensitive(&value)?);
        headers.remove(DPOP);
        if *token_type == TokenType::Dpop {
            let proof = self.attempts.prove(Some(access_token), now);
            headers.insert(DPOP, proof.map_err(|error| error.while_doing(self.calling()))?);
        }
        Ok(())
    }

    /// Takes status and headers of the response and records its nonce. [`Step::Retry`] means: authorize the
    /// request and send it again, since the server gave a nonce or its clock differs. The body is read only
    /// if it is given and the headers name no error.
    ///
    /// A new nonce leads to one retry if the server asks for a nonce (`use_dpop_nonce`), refuses the proof
    /// (`invalid_dpop_proof`) or sends a `DPoP` challenge without an error code, and if a 401 refuses the
    /// token or names no error.
    ///
    /// # Errors
    /// - [`Algorithm`](ErrorKind::Algorithm) when the server refuses the proof and its challenge lists `algs`
    ///   that the key does not sign. A new nonce is tried first.
    /// - [`Signer`](ErrorKind::Signer) after a refusal of a proof whose signature does not belong to the
    ///   public key of its [`Signer`](crate::Signer).
    pub fn receive(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        now: SystemTime,
    ) -> Result<Step<()>, Error> {
        self.receive_facts(&ResponseFacts::from_resource(status, headers, body), now)
    }

    /// Does the same with a response that has been read.
    pub(crate) fn receive_facts(
        &mut self,
        response: &ResponseFacts<'_>,
        now: SystemTime,
    ) -> Result<Step<()>, Error> {
        let is_dpop = self.token.token_type == TokenType::Dpop;
        match is_dpop && self.attempts.receive(response, now)? {
            true => Ok(Step::Retry),
            false => Ok(Step::Done(())),
        }
    }

    /// Returns the URL to send the request to, which is the one that the proof names.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) when an HTTP client would not accept it.
    pub fn uri(&self) -> Result<http::Uri, Error> {
        self.attempts.target().uri()
    }

    /// Continues the same request, which was refused with another access token.
    pub(crate) fn after(self, earlier: Self) -> Self {
        Self { attempts: self.attempts.after(earlier.attempts), ..self }
    }

    /// Keeps what the request has learned about the server although it is not retried.
    #[cfg(feature = "ureq")]
    pub(crate) fn keep_corrections(&self) {
        self.attempts.keep_corrections();
    }

    pub(crate) fn calling(&self) -> String {
        self.attempts.target().calling()
    }
}

impl fmt::Debug for ResourceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.attempts.target();
        f.debug_struct("ResourceRequest")
            .field("method", &target.method)
            .field("url", &target.url)
            .finish_non_exhaustive()
    }
}
