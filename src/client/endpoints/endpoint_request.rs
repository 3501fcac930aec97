//! Requests to the endpoints of an authorization server that authenticate clients, without I/O.

use std::fmt;
use std::time::SystemTime;

use http::{Method, Request};
use zeroize::Zeroizing;

use crate::client::endpoints::endpoint::Endpoint;
use crate::client::endpoints::endpoint_response::EndpointResponse;
use crate::client::parameters::{Field, Parameters};
use crate::client::proofs::clock_offset::Freshness;
use crate::client::proofs::proof_attempts::ProofAttempts;
use crate::client::proofs::prover::Prover;
use crate::client::request_options::RequestOptions;
use crate::client::request_target::RequestTarget;
use crate::dpop::header_names::DPOP;
use crate::dpop::server_role::ServerRole;
use crate::error::Error;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::form_request::form_request;
use crate::oauth::http_client::{HttpClient, RequestBody};
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::response_facts::{ResponseFacts, refuse_redirect};
use crate::oauth::step::Step;
use crate::url::Url;

/// One request to an endpoint that authenticates the client, other than the token endpoint: pushed
/// authorization requests (RFC 9126), device authorization (RFC 8628), revocation (RFC 7009) or introspection
/// (RFC 7662).
///
/// Functions such as [`revocation_request`](crate::revocation_request) send it over an [`HttpClient`]. With
/// another HTTP client, or in a test:
///
/// ```
/// use std::time::SystemTime;
/// use possession::*;
///
/// # fn main() -> Result<(), Error> {
/// let server = AuthorizationServer::builder("https://server.example.com")
///     .member("revocation_endpoint", "https://server.example.com/revoke")
///     .build()?;
/// let (client, auth) = (Client::new("s6BhdRkqt3")?, ClientAuth::client_secret_basic("gX1fBat3bV"));
/// let options = RequestOptions::new();
///
/// let token = "45ghiukldjahdnhzdauz";
/// let mut revocation =
///     EndpointRequest::revocation(&server, &client, &auth, token, Parameters::new(), &options)?;
/// let response = loop {
///     let request = revocation.request(SystemTime::now())?;
///     match revocation.receive(send(request), SystemTime::now())? {
///         Step::Retry => continue,
///         Step::Done(response) => break response,
///     }
/// };
/// process_revocation_response(&server, &client, response)?;
/// # Ok(()) }
/// # fn send(request: http::Request<RequestBody>) -> http::Response<Vec<u8>> {
/// #     assert_eq!(&request.body()[..], b"token=45ghiukldjahdnhzdauz");
/// #     http::Response::default()
/// # }
/// ```
pub struct EndpointRequest<'a> {
    server: &'a AuthorizationServer,
    client: &'a Client,
    auth: &'a ClientAuth,
    endpoint: Endpoint,
    url: Url,
    fields: Vec<Field>,
    /// `None` without DPoP, and at endpoints that take no proofs.
    attempts: Option<ProofAttempts>,
    /// Knows the clock of the server, whether there are proofs or not.
    prover: Option<Prover>,
    /// The client assertion of the last request.
    assertion: Option<Zeroizing<String>>,
    sent: u32,
}

impl<'a> EndpointRequest<'a> {
    /// Creates a request with these fields of its own and the caller's parameters, after every check that
    /// needs no request.
    pub(crate) fn new(
        endpoint: Endpoint,
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        fields: Vec<Field>,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        let fields = parameters.into_fields(fields)?;
        let prover = options.prover.as_ref();
        let supported = server.supported_client_auth(endpoint.client_auth_metadata())?;
        auth.check(&supported, client, prover.map(Prover::thumbprint))?;
        let mtls = auth.uses_mtls_aliases(client);
        let url = match endpoint {
            Endpoint::Token => server.token_endpoint(mtls)?.clone(),
            _ => server.endpoint_for(endpoint.metadata_name(), mtls)?,
        };
        let takes_proofs =
            endpoint.takes_proofs() || (endpoint == Endpoint::Revocation && options.prove_revocation);
        let proving = prover.filter(|_| takes_proofs);
        let attempts = proving.map(|prover| -> Result<_, Error> {
            let alg = prover.choose_alg(server.dpop_algorithms()?)?;
            let target = RequestTarget::new(Method::POST, url.clone());
            let attempts = ProofAttempts::new(prover.clone(), ServerRole::AuthorizationServer, alg, target);
            // Keycloak refuses proofs with `invalid_request`. A client assertion has a time as well.
            let attempts = attempts.with_assertion(auth.makes_assertions());
            Ok(attempts.with_clock_error_codes(match auth.makes_assertions() {
                true => &["invalid_request", "invalid_client"],
                false => &["invalid_request"],
            }))
        });
        Ok(Self {
            server,
            client,
            auth,
            endpoint,
            url,
            fields,
            attempts: attempts.transpose()?,
            prover: prover.cloned(),
            assertion: None,
            sent: 0,
        })
    }

    /// Sends the request over the HTTP client of the options until there is a response to process.
    pub(crate) fn run(&mut self, options: &RequestOptions<'_>) -> Result<EndpointResponse, Error> {
        let doing = self.doing();
        options.with_http(&doing, |http| self.run_with_clock(http, &SystemTime::now))
    }

    /// Sends the request over an HTTP client, with the time that `now` returns.
    pub(crate) fn run_with_clock(
        &mut self,
        http: &dyn HttpClient,
        now: &dyn Fn() -> SystemTime,
    ) -> Result<EndpointResponse, Error> {
        self.auth.require_certificate(self.client, http, || self.doing())?;
        loop {
            let request = self.request(now())?;
            // A request without a response is not sent again: its code or refresh token may have been used
            // up.
            let response = http.send(request).map_err(|error| error.while_doing(self.doing()))?;
            match self.receive(response, now())? {
                Step::Retry => {}
                Step::Done(response) => return Ok(response),
            }
        }
    }

    /// Returns the request to send next. Each one has a new client assertion and, at endpoints that take
    /// proofs, a new proof: send it once, and without delay.
    ///
    /// # Errors
    /// [`Clock`](crate::ErrorKind::Clock), [`Random`](crate::ErrorKind::Random) and
    /// [`Signer`](crate::ErrorKind::Signer).
    pub fn request(&mut self, now: SystemTime) -> Result<Request<RequestBody>, Error> {
        self.build(now).map_err(|error| error.while_doing(self.doing()))
    }

    fn build(&mut self, now: SystemTime) -> Result<Request<RequestBody>, Error> {
        let supported = self.server.supported_client_auth(self.endpoint.client_auth_metadata())?;
        let credentials = self.auth.credentials(&supported, self.client, self.assertion_time(now))?;
        self.assertion = credentials.assertion();
        let mut request = form_request(&self.url, &self.fields, credentials)?;
        if let Some(attempts) = &mut self.attempts {
            request.headers_mut().insert(DPOP, attempts.prove(None, now)?);
        }
        self.sent = self.sent.saturating_add(1);
        log::debug!("{}: request {}", self.doing(), self.sent);
        Ok(request)
    }

    /// Takes the response to the last request and records its nonce, whatever else the response says (RFC
    /// 9449 §8.2).
    ///
    /// At an endpoint that takes proofs, the request is to be retried after a `use_dpop_nonce` or
    /// `invalid_dpop_proof` error, or a `DPoP` challenge without an error code, with a nonce that was not
    /// just sent, and after a refusal of the proof or the client assertion by a server whose clock differs:
    /// the retry has the server's time. Any other response is returned.
    ///
    /// # Errors
    /// - [`Redirect`](crate::ErrorKind::Redirect), which is never followed.
    /// - [`Signer`](crate::ErrorKind::Signer) after a refusal of a proof or a client assertion whose
    ///   signature does not belong to the public key of its [`Signer`](crate::Signer).
    pub fn receive(
        &mut self,
        response: http::Response<Vec<u8>>,
        now: SystemTime,
    ) -> Result<Step<EndpointResponse>, Error> {
        let facts = ResponseFacts::from_token_endpoint(&response);
        log::debug!("{}: status {}", self.doing(), facts.status().as_u16());
        let retry = match &mut self.attempts {
            Some(attempts) => attempts.receive(&facts, now)?,
            None => {
                // A nonce belongs to the origin and its role, whatever endpoint sent it.
                if let Some(prover) = &self.prover {
                    prover.update_nonce(ServerRole::AuthorizationServer, self.url.origin(), facts.nonce());
                }
                false
            }
        };
        refuse_redirect(facts.status(), || self.doing())?;
        if facts.is_refusal() && !retry {
            let assertion = self.assertion.as_ref().map(|assertion| assertion.as_str());
            self.auth.check_refused_assertion(assertion).map_err(|error| error.while_doing(self.doing()))?;
        }
        if retry {
            return Ok(Step::Retry);
        }
        let refusal = facts.into_refusal();
        let attempts = self.attempts.as_ref();
        Ok(Step::Done(EndpointResponse {
            jkt: attempts.map(|attempts| attempts.prover().thumbprint()),
            clock_difference: attempts.and_then(ProofAttempts::clock_difference).cloned(),
            ..EndpointResponse::new(response, refusal, self.sent, now)
        }))
    }

    /// Returns the time to date a client assertion with: that of the server's clock, as far as it is known.
    fn assertion_time(&self, now: SystemTime) -> SystemTime {
        match (&self.attempts, &self.prover) {
            (Some(attempts), _) => attempts.assertion_time(now),
            (None, Some(prover)) => {
                let state = prover.origin_state(ServerRole::AuthorizationServer, self.url.origin());
                state.offset.limited(Freshness::DateOnly).apply(now)
            }
            (None, None) => now,
        }
    }

    fn doing(&self) -> String {
        self.endpoint.doing(self.url.htu(), self.client)
    }
}

impl fmt::Debug for EndpointRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointRequest")
            .field("client", &self.client)
            .field("auth", &self.auth)
            .field("url", &self.url)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}
