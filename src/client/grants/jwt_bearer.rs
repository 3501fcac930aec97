//! The JWT bearer grant (RFC 7523 §2.1).

use crate::client::grants::token_endpoint_response::TokenEndpointResponse;
use crate::client::grants::token_request::TokenRequest;
use crate::client::grants::token_response::TokenResponse;
use crate::client::parameters::{Parameters, field};
use crate::client::request_options::RequestOptions;
use crate::error::Error;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::metadata::AuthorizationServer;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

impl<'a> TokenRequest<'a> {
    /// Creates a request of the JWT bearer grant (RFC 7523 §2.1).
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn jwt_bearer(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        assertion: &str,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        let fields = [field("assertion", assertion)];
        Self::with_fields(server, client, auth, JWT_BEARER, fields, parameters, options)
    }
}

/// Requests a token for a JWT that somebody whom the authorization server trusts has issued about a user (RFC
/// 7523 §2.1). Give the response to [`process_jwt_bearer_response`].
///
/// The assertion is sent as it is. It is the grant, and authenticates nobody: the client authenticates with
/// `auth` beside it. Servers that accept each assertion once refuse a retry for a nonce only if they check
/// the assertion before the nonce.
///
/// ```no_run
/// # use possession::*;
/// # fn run(server: &AuthorizationServer, client: &Client, auth: &ClientAuth, prover: &Prover) -> Result<(), Error> {
/// # let assertion = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjE2In0.eyJpc3Mi.J9l-ZhwP";
/// let options = RequestOptions::new().prover(prover);
/// let parameters = Parameters::new().scope("orders:read");
/// let response = jwt_bearer_grant_request(server, client, auth, assertion, parameters, &options)?;
/// let token = process_jwt_bearer_response(server, client, response)?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of [`client_credentials_grant_request`](crate::client_credentials_grant_request).
pub fn jwt_bearer_grant_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    assertion: &str,
    parameters: Parameters,
    options: &RequestOptions<'_>,
) -> Result<TokenEndpointResponse, Error> {
    TokenRequest::jwt_bearer(server, client, auth, assertion, parameters, options)?.run(options)
}

/// Checks the response to [`jwt_bearer_grant_request`] (RFC 6749 §5, RFC 9449 §5) and returns its token.
///
/// # Errors
/// Those of [`process_client_credentials_response`](crate::process_client_credentials_response).
pub fn process_jwt_bearer_response(
    server: &AuthorizationServer,
    client: &Client,
    response: TokenEndpointResponse,
) -> Result<TokenResponse, Error> {
    response.into_token(server, client)
}
