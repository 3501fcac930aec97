//! Pushed authorization requests (RFC 9126, RFC 9449 §10.1).

use std::fmt;
use std::time::SystemTime;

use http::Request;
use serde_json::Value;

use crate::client::endpoints::endpoint::Endpoint;
use crate::client::endpoints::endpoint_request::EndpointRequest;
use crate::client::endpoints::endpoint_response::EndpointResponse;
use crate::client::parameters::Parameters;
use crate::client::proofs::prover::Prover;
use crate::client::request_options::RequestOptions;
use crate::client::sign_in::authorization_request::{
    AuthorizationRequest, PreparedAuthorization, pushed_request_url,
};
use crate::client::sign_in::pending_authorization::PendingAuthorization;
use crate::error::{Error, ErrorKind};
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::http_client::RequestBody;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::step::Step;

/// A pushed authorization request, without I/O (RFC 9126 §2). [`pushed_authorization_request`] sends it over
/// an [`HttpClient`](crate::HttpClient).
///
/// ```
/// use std::time::SystemTime;
/// # use possession::*;
///
/// # fn run(server: &AuthorizationServer, client: &Client, auth: &ClientAuth, prover: &Prover,
/// #     send: impl Fn(http::Request<RequestBody>) -> http::Response<Vec<u8>>) -> Result<(), Error> {
/// let options = RequestOptions::new().prover(prover);
/// let request = AuthorizationRequest::new("https://client.example.org/cb").scope("orders:read");
/// let mut pushed = PushedAuthorizationRequest::new(server, client, auth, request, &options)?;
/// let response = loop {
///     let response = send(pushed.request(SystemTime::now())?);
///     match pushed.receive(response, SystemTime::now())? {
///         Step::Retry => continue,
///         Step::Done(response) => break response,
///     }
/// };
/// let (url, pending) = process_pushed_authorization_response(server, client, response)?;
/// # Ok(()) }
/// ```
pub struct PushedAuthorizationRequest<'a> {
    request: EndpointRequest<'a>,
    /// `None` after the last response.
    pending: Option<PendingAuthorization>,
}

/// A response to a pushed authorization request that has not been processed. Give it to
/// [`process_pushed_authorization_response`].
pub struct PushedAuthorizationResponse {
    response: EndpointResponse,
    pending: PendingAuthorization,
}

impl<'a> PushedAuthorizationRequest<'a> {
    /// Creates a request. It has a proof if the options have a [`Prover`], and names its key in `dpop_jkt` as
    /// well, since a server may support only one of the two (RFC 9449 §10.1).
    ///
    /// # Errors
    /// Those of [`AuthorizationRequest::front_channel`], and
    /// [`AuthMethod`](ErrorKind::AuthMethod) and [`Algorithm`](ErrorKind::Algorithm).
    /// [`Metadata`](ErrorKind::Metadata) when the server has no
    /// `pushed_authorization_request_endpoint`.
    pub fn new(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        request: AuthorizationRequest,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        let jkt = options.prover.as_ref().map(Prover::thumbprint);
        let PreparedAuthorization { mut fields, pending } = request.prepare(server, client, jkt)?;
        // Most authentication methods send it themselves, and no parameter may be there twice.
        if auth.sends_client_id() {
            fields.retain(|(name, _)| name != "client_id");
        }
        let endpoint = Endpoint::PushedAuthorizationRequest;
        let request =
            EndpointRequest::new(endpoint, server, client, auth, fields, Parameters::new(), options)?;
        Ok(Self { request, pending: Some(pending) })
    }

    /// Returns the request to send next, as [`EndpointRequest::request`] does.
    ///
    /// # Errors
    /// Those of [`EndpointRequest::request`].
    pub fn request(&mut self, now: SystemTime) -> Result<Request<RequestBody>, Error> {
        self.request.request(now)
    }

    /// Takes the response to the last request, as [`EndpointRequest::receive`] does.
    ///
    /// # Errors
    /// Those of [`EndpointRequest::receive`]; [`Parameter`](ErrorKind::Parameter) after the last response.
    pub fn receive(
        &mut self,
        response: http::Response<Vec<u8>>,
        now: SystemTime,
    ) -> Result<Step<PushedAuthorizationResponse>, Error> {
        match self.request.receive(response, now)? {
            Step::Retry => Ok(Step::Retry),
            Step::Done(response) => self.done(response).map(Step::Done),
        }
    }

    fn done(&mut self, response: EndpointResponse) -> Result<PushedAuthorizationResponse, Error> {
        let pending = self.pending.take().ok_or_else(|| {
            let wrong = "the response to this request was processed before (make another request)";
            Error::new(ErrorKind::Parameter, "pushing an authorization request", wrong)
        })?;
        Ok(PushedAuthorizationResponse { response, pending })
    }
}

impl fmt::Debug for PushedAuthorizationRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PushedAuthorizationRequest").field(&self.request).finish()
    }
}

impl fmt::Debug for PushedAuthorizationResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PushedAuthorizationResponse").field(&self.response).finish()
    }
}

/// Starts a sign-in: pushes the authorization request where the server has an endpoint for that (RFC 9126),
/// and otherwise puts it into the URL. Returns the URL for the browser, and the value to keep until the
/// response comes.
///
/// ```no_run
/// # use possession::*;
/// # fn run(server: &AuthorizationServer, client: &Client, auth: &ClientAuth, prover: &Prover,
/// #     browse: impl Fn(&str) -> String) -> Result<(), Error> {
/// let options = RequestOptions::new().prover(prover);
/// let request = AuthorizationRequest::new("https://client.example.org/cb").scope("orders:read");
/// let (url, pending) = authorization_request(server, client, auth, request, &options)?;
/// let callback: String = browse(&url);
/// let code = pending.receive(&callback)?;
/// let parameters = Parameters::new();
/// let response = authorization_code_grant_request(server, client, auth, code, parameters, &options)?;
/// let tokens = process_authorization_code_response(server, client, response)?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of [`AuthorizationRequest::front_channel`], [`pushed_authorization_request`] and
/// [`process_pushed_authorization_response`].
pub fn authorization_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    request: AuthorizationRequest,
    options: &RequestOptions<'_>,
) -> Result<(String, PendingAuthorization), Error> {
    if server.member(Endpoint::PushedAuthorizationRequest.metadata_name()).is_none() {
        return request.front_channel(server, client, options);
    }
    let response = pushed_authorization_request(server, client, auth, request, options)?;
    process_pushed_authorization_response(server, client, response)
}

/// Pushes an authorization request (RFC 9126 §2). With a [`Prover`] in the options, the request has a proof
/// and `dpop_jkt`, so that the code is bound to the key (RFC 9449 §10.1). Give the response to
/// [`process_pushed_authorization_response`].
///
/// # Errors
/// Those of [`PushedAuthorizationRequest::new`] and of
/// [`client_credentials_grant_request`](crate::client_credentials_grant_request).
pub fn pushed_authorization_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    request: AuthorizationRequest,
    options: &RequestOptions<'_>,
) -> Result<PushedAuthorizationResponse, Error> {
    let mut pushed = PushedAuthorizationRequest::new(server, client, auth, request, options)?;
    let response = pushed.request.run(options)?;
    pushed.done(response)
}

/// Checks the response to [`pushed_authorization_request`] (RFC 9126 §2.2) and returns the URL for the
/// browser, which is valid for a short time, and the value to keep until the response comes.
///
/// # Errors
/// [`OAuth`](ErrorKind::OAuth) for an OAuth error; [`Status`](ErrorKind::Status) and
/// [`Content`](ErrorKind::Content) for a response that is not one of this endpoint;
/// [`Metadata`](ErrorKind::Metadata) when the server has no usable `authorization_endpoint`.
pub fn process_pushed_authorization_response(
    server: &AuthorizationServer,
    client: &Client,
    response: PushedAuthorizationResponse,
) -> Result<(String, PendingAuthorization), Error> {
    let PushedAuthorizationResponse { response, pending } = response;
    let doing = || Endpoint::PushedAuthorizationRequest.doing(server.issuer(), client);
    let response = response.success(doing)?;
    let members = response.members(doing)?;
    match members.get("request_uri") {
        Some(Value::String(uri)) if !uri.is_empty() && uri.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok((pushed_request_url(server, client, uri)?, pending))
        }
        _ => Err(response.content(doing(), "the response has no `request_uri` that is a URI".to_owned())),
    }
}
