//! Requests to the token endpoint, without I/O, for any grant.

use std::fmt;
use std::time::SystemTime;

use http::{Method, Request};
use zeroize::Zeroizing;

use crate::client::parameters::Parameters;
use crate::client::proof_attempts::ProofAttempts;
use crate::client::prover::Prover;
use crate::client::request_options::RequestOptions;
use crate::client::request_target::RequestTarget;
use crate::client::token_endpoint_response::TokenEndpointResponse;
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
use crate::text::printable;
use crate::url::Url;

/// One request to a token endpoint. It is retried once when a refusal brings a nonce that may be what the
/// proof lacks, and once when the server refuses the proof and its `Date` differs from the local clock.
///
/// [`client_credentials_grant_request`](crate::client_credentials_grant_request) sends it over an
/// [`HttpClient`]. With another HTTP client, or in a test:
///
/// ```
/// use std::time::SystemTime;
/// use possession::*;
///
/// # fn main() -> Result<(), Error> {
/// let server = AuthorizationServer::builder("https://server.example.com")
///     .token_endpoint("https://server.example.com/token")
///     .build()?;
/// let (client, auth) = (Client::new("s6BhdRkqt3")?, ClientAuth::client_secret_basic("7Fjfp0ZBr1KtDRbnfVdmIw"));
/// let options = RequestOptions::new().prover(&Prover::new(KeyPair::generate(Algorithm::Es256)?)?);
///
/// let mut token_request =
///     TokenRequest::client_credentials(&server, &client, &auth, Parameters::new().scope("read"), &options)?;
/// let response = loop {
///     let request = token_request.request(SystemTime::now())?;
///     match token_request.receive(send(request), SystemTime::now())? {
///         Step::Retry => continue,
///         Step::Done(response) => break response,
///     }
/// };
/// let token = process_client_credentials_response(&server, &client, response)?;
/// # assert_eq!(token.access_token(), "Kz~8mXK1EalYznwH");
/// # Ok(()) }
/// # fn send(request: http::Request<RequestBody>) -> http::Response<Vec<u8>> {
/// #     assert_eq!(request.headers()["authorization"], "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3");
/// #     assert_eq!(&request.body()[..], b"grant_type=client_credentials&scope=read");
/// #     let body = br#"{"access_token":"Kz~8mXK1EalYznwH","token_type":"DPoP","expires_in":2677}"#;
/// #     http::Response::builder().header("content-type", "application/json").body(body.to_vec()).unwrap()
/// # }
/// ```
pub struct TokenRequest<'a> {
    server: &'a AuthorizationServer,
    client: &'a Client,
    auth: &'a ClientAuth,
    endpoint: &'a Url,
    fields: Vec<(String, Zeroizing<String>)>,
    /// `None` without DPoP.
    attempts: Option<ProofAttempts>,
    accept_bearer: bool,
    /// The client assertion of the last request.
    assertion: Option<Zeroizing<String>>,
    sent: u32,
}

impl<'a> TokenRequest<'a> {
    /// Creates a request of the client credentials grant (RFC 6749 §4.4).
    ///
    /// # Errors
    /// [`Parameter`](crate::ErrorKind::Parameter), [`AuthMethod`](crate::ErrorKind::AuthMethod),
    /// [`Algorithm`](crate::ErrorKind::Algorithm) and [`Metadata`](crate::ErrorKind::Metadata), for
    /// everything that can be refused before a request is sent.
    pub fn client_credentials(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        Self::new(server, client, auth, parameters.into_fields("client_credentials")?, options)
    }

    /// Creates a request with the form fields of any grant, after every check that needs no request.
    fn new(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        fields: Vec<(String, Zeroizing<String>)>,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        let prover = options.prover.as_ref();
        auth.check(&server.supported_client_auth("token_endpoint")?, client, prover.map(Prover::thumbprint))?;
        let endpoint = server.token_endpoint(auth.uses_mtls_aliases(client))?;
        let attempts = prover.map(|prover| -> Result<_, Error> {
            let alg = prover.choose_alg(server.dpop_algorithms()?)?;
            let target = RequestTarget::new(Method::POST, endpoint.clone());
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
            fields,
            attempts: attempts.transpose()?,
            accept_bearer: options.accept_bearer,
            assertion: None,
            sent: 0,
        })
    }

    /// Sends the request over the HTTP client of the options until there is a response to process.
    pub(super) fn run(self, options: &RequestOptions<'_>) -> Result<TokenEndpointResponse, Error> {
        if let Some(http) = options.http {
            return self.run_with_clock(http, &SystemTime::now);
        }
        #[cfg(feature = "ureq")]
        return self.run_with_clock(&crate::client::transport::Transport::new(), &SystemTime::now);
        #[cfg(not(feature = "ureq"))]
        {
            let wrong =
                "there is no HTTP client (give one to `RequestOptions::http`, or enable the feature `ureq`)";
            Err(Error::new(crate::error::ErrorKind::Configuration, self.doing(), wrong))
        }
    }

    /// Sends the request over an HTTP client, with the time that `now` returns.
    pub(crate) fn run_with_clock(
        mut self,
        http: &dyn HttpClient,
        now: &dyn Fn() -> SystemTime,
    ) -> Result<TokenEndpointResponse, Error> {
        self.auth.require_certificate(self.client, http, || self.doing())?;
        loop {
            let request = self.request(now())?;
            let response = http.send(request).map_err(|error| error.while_doing(self.doing()))?;
            match self.receive(response, now())? {
                Step::Retry => {}
                Step::Done(response) => return Ok(response),
            }
        }
    }

    /// Returns the request to send next. Each one has a new proof and a new client assertion: send it once,
    /// and without delay.
    ///
    /// # Errors
    /// [`Clock`](crate::ErrorKind::Clock), [`Random`](crate::ErrorKind::Random) and
    /// [`Signer`](crate::ErrorKind::Signer).
    pub fn request(&mut self, now: SystemTime) -> Result<Request<RequestBody>, Error> {
        self.build(now).map_err(|error| error.while_doing(self.doing()))
    }

    fn build(&mut self, now: SystemTime) -> Result<Request<RequestBody>, Error> {
        let supported = self.server.supported_client_auth("token_endpoint")?;
        let server_time = self.attempts.as_ref().map_or(now, |attempts| attempts.assertion_time(now));
        let credentials = self.auth.credentials(&supported, self.client, server_time)?;
        self.assertion = credentials.assertion();
        let mut request = form_request(self.endpoint, &self.fields, credentials)?;
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
    /// The request is to be retried after a `use_dpop_nonce` or `invalid_dpop_proof` error, or a `DPoP`
    /// challenge without an error code, with a nonce that was not just sent, and after a refusal of the proof
    /// or the client assertion by a server whose clock differs: the retry has the server's time. Any other
    /// response is returned.
    ///
    /// # Errors
    /// - [`Redirect`](crate::ErrorKind::Redirect), which is never followed.
    /// - [`Signer`](crate::ErrorKind::Signer) after a refusal of a proof or a client assertion whose
    ///   signature does not belong to the public key of its [`Signer`](crate::Signer).
    pub fn receive(
        &mut self,
        response: http::Response<Vec<u8>>,
        now: SystemTime,
    ) -> Result<Step<TokenEndpointResponse>, Error> {
        let facts = ResponseFacts::from_token_endpoint(&response);
        log::debug!("{}: status {}", self.doing(), facts.status().as_u16());
        let retry = match &mut self.attempts {
            Some(attempts) => attempts.receive(&facts, now)?,
            None => false,
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
        let (parts, body) = response.into_parts();
        Ok(Step::Done(TokenEndpointResponse {
            status: parts.status,
            headers: parts.headers,
            body: Zeroizing::new(body),
            refusal,
            requests: self.sent,
            jkt: self.attempts.as_ref().map(|attempts| attempts.prover().thumbprint()),
            accept_bearer: self.accept_bearer,
            clock_difference: self.attempts.as_ref().and_then(ProofAttempts::clock_difference).cloned(),
        }))
    }

    fn doing(&self) -> String {
        requesting_token(self.endpoint.htu(), self.client)
    }
}

impl fmt::Debug for TokenRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest")
            .field("client", &self.client)
            .field("auth", &self.auth)
            .field("endpoint", &self.endpoint)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

/// Returns what a token request is called in errors and log records.
pub(crate) fn requesting_token(from: &str, client: &Client) -> String {
    format!("requesting a token from {} as {}", printable(from, 200), printable(client.client_id(), 80))
}
