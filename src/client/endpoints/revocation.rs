//! Token revocation (RFC 7009).

use crate::client::endpoints::endpoint::Endpoint;
use crate::client::endpoints::endpoint_request::EndpointRequest;
use crate::client::endpoints::endpoint_response::EndpointResponse;
use crate::client::parameters::{Parameters, field};
use crate::client::request_options::RequestOptions;
use crate::error::Error;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::metadata::AuthorizationServer;

impl<'a> EndpointRequest<'a> {
    /// Creates a revocation request (RFC 7009 §2.1). It has no proof, because RFC 9449 defines none here,
    /// unless the options say [`prove_revocation`](RequestOptions::prove_revocation).
    ///
    /// # Errors
    /// [`Parameter`](crate::ErrorKind::Parameter), [`AuthMethod`](crate::ErrorKind::AuthMethod) and
    /// [`Metadata`](crate::ErrorKind::Metadata), for everything that can be refused before a request is sent.
    pub fn revocation(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        token: &str,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        let fields = vec![field("token", token)];
        Self::new(Endpoint::Revocation, server, client, auth, fields, parameters, options)
    }
}

/// Revokes an access token or a refresh token (RFC 7009 §2.1). `token_type_hint` may be among the parameters.
/// Revoke the refresh token where there is one: the server should then revoke the access tokens as well (§2).
/// Give the response to [`process_revocation_response`].
///
/// ```no_run
/// # use possession::*;
/// # fn run(server: &AuthorizationServer, client: &Client, auth: &ClientAuth, refresh_token: &str) -> Result<(), Error> {
/// let parameters = Parameters::new().parameter("token_type_hint", "refresh_token");
/// let options = RequestOptions::new();
/// let response = revocation_request(server, client, auth, refresh_token, parameters, &options)?;
/// process_revocation_response(server, client, response)?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of [`client_credentials_grant_request`](crate::client_credentials_grant_request).
/// [`Metadata`](crate::ErrorKind::Metadata) when the server has no `revocation_endpoint`.
pub fn revocation_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    token: &str,
    parameters: Parameters,
    options: &RequestOptions<'_>,
) -> Result<EndpointResponse, Error> {
    EndpointRequest::revocation(server, client, auth, token, parameters, options)?.run(options)
}

/// Checks the response to [`revocation_request`] (RFC 7009 §2.2). A server responds with success to a token
/// that it does not know as well.
///
/// # Errors
/// [`OAuth`](crate::ErrorKind::OAuth) for an OAuth error, such as `unsupported_token_type`;
/// [`Status`](crate::ErrorKind::Status) for another status: after 503 the token still exists, and the request
/// may be repeated later.
pub fn process_revocation_response(
    server: &AuthorizationServer,
    client: &Client,
    response: EndpointResponse,
) -> Result<(), Error> {
    response.success(|| Endpoint::Revocation.doing(server.issuer(), client)).map(drop)
}
