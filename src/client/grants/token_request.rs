//! Requests to the token endpoint, without I/O, for any grant.

use std::fmt;
use std::time::SystemTime;

use http::Request;

use crate::client::endpoints::endpoint::Endpoint;
use crate::client::endpoints::endpoint_request::EndpointRequest;
use crate::client::grants::token_endpoint_response::{AcceptedTokens, TokenEndpointResponse};
use crate::client::parameters::{Field, Parameters, field};
use crate::client::request_options::RequestOptions;
use crate::error::{Error, ErrorKind};
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::http_client::{HttpClient, RequestBody};
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::step::Step;

/// One request to a token endpoint. It is retried once when a refusal brings a nonce that may be what the
/// proof lacks, and once when the server refuses the proof and its `Date` differs from the local clock.
///
/// Each grant has a constructor here and a function that sends the request over an [`HttpClient`], such as
/// [`client_credentials_grant_request`](crate::client_credentials_grant_request). With another HTTP client,
/// or in a test:
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
    request: EndpointRequest<'a>,
    accepted: AcceptedTokens,
}

impl<'a> TokenRequest<'a> {
    /// Creates a request of any grant, such as one that this crate has no function for. `grant_type` is its
    /// name, a URI for an extension grant (RFC 6749 §4.5); the parameters are those of the grant.
    ///
    /// # Errors
    /// [`Parameter`](ErrorKind::Parameter), [`AuthMethod`](ErrorKind::AuthMethod),
    /// [`Algorithm`](ErrorKind::Algorithm) and [`Metadata`](ErrorKind::Metadata), for everything that can be
    /// refused before a request is sent.
    pub fn new(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        grant_type: &str,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        if grant_type.is_empty() || grant_type.chars().any(|c| c.is_control() || c == ' ') {
            let wrong =
                "the `grant_type` is empty, or has spaces or control characters (RFC 6749 Appendix A.10)";
            return Err(Error::new(ErrorKind::Parameter, "checking the parameters of a request", wrong));
        }
        Self::with_fields(server, client, auth, grant_type, [], parameters, options)
    }

    /// Creates a request with the fields of a grant that callers cannot give as parameters.
    pub(crate) fn with_fields(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        grant_type: &str,
        fields: impl IntoIterator<Item = Field>,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        let fields = [field("grant_type", grant_type)].into_iter().chain(fields).collect();
        let request =
            EndpointRequest::new(Endpoint::Token, server, client, auth, fields, parameters, options)?;
        let accepted = AcceptedTokens { bearer: options.accept_bearer, not_applicable: false };
        Ok(Self { request, accepted })
    }

    /// Accepts a token of type `N_A` in the response.
    pub(crate) fn accept_not_applicable(mut self) -> Self {
        self.accepted.not_applicable = true;
        self
    }

    /// Sends the request over the HTTP client of the options until there is a response to process.
    pub(crate) fn run(self, options: &RequestOptions<'_>) -> Result<TokenEndpointResponse, Error> {
        let Self { mut request, accepted } = self;
        Ok(TokenEndpointResponse { response: request.run(options)?, accepted })
    }

    /// Sends the request over an HTTP client, with the time that `now` returns.
    pub(crate) fn run_with_clock(
        self,
        http: &dyn HttpClient,
        now: &dyn Fn() -> SystemTime,
    ) -> Result<TokenEndpointResponse, Error> {
        let Self { mut request, accepted } = self;
        Ok(TokenEndpointResponse { response: request.run_with_clock(http, now)?, accepted })
    }

    /// Returns the request to send next. Each one has a new proof and a new client assertion: send it once,
    /// and without delay.
    ///
    /// # Errors
    /// [`Clock`](ErrorKind::Clock), [`Random`](ErrorKind::Random) and [`Signer`](ErrorKind::Signer).
    pub fn request(&mut self, now: SystemTime) -> Result<Request<RequestBody>, Error> {
        self.request.request(now)
    }

    /// Takes the response to the last request and records its nonce, whatever else the response says (RFC
    /// 9449 §8.2). [`EndpointRequest::receive`] says when the request is to be retried.
    ///
    /// # Errors
    /// - [`Redirect`](ErrorKind::Redirect), which is never followed.
    /// - [`Signer`](ErrorKind::Signer) after a refusal of a proof or a client assertion whose signature does
    ///   not belong to the public key of its [`Signer`](crate::Signer).
    pub fn receive(
        &mut self,
        response: http::Response<Vec<u8>>,
        now: SystemTime,
    ) -> Result<Step<TokenEndpointResponse>, Error> {
        Ok(match self.request.receive(response, now)? {
            Step::Retry => Step::Retry,
            Step::Done(response) => Step::Done(TokenEndpointResponse { response, accepted: self.accepted }),
        })
    }
}

impl fmt::Debug for TokenRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenRequest").field(&self.request).finish()
    }
}
