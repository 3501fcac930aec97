//! Any other grant (RFC 6749 §4.5).

use crate::client::grants::token_endpoint_response::TokenEndpointResponse;
use crate::client::grants::token_request::TokenRequest;
use crate::client::grants::token_response::TokenResponse;
use crate::client::parameters::Parameters;
use crate::client::request_options::RequestOptions;
use crate::error::Error;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::metadata::AuthorizationServer;

/// Requests a token by a grant that this crate has no function for, such as CIBA, SAML assertions (RFC 7522)
/// or a vendor's own. `grant_type` is its name, a URI for an extension grant (RFC 6749 §4.5). The request has
/// proof, retries and client authentication as
/// [`client_credentials_grant_request`](crate::client_credentials_grant_request) has. Give the response to
/// [`process_token_endpoint_response`].
///
/// ```no_run
/// # use possession::*;
/// # fn run(server: &AuthorizationServer, client: &Client, auth: &ClientAuth, prover: &Prover) -> Result<(), Error> {
/// let options = RequestOptions::new().prover(prover);
/// let parameters = Parameters::new().parameter("auth_req_id", "1c266114-a1be-4252-8ad1-04986c5b9ac1");
/// let grant_type = "urn:openid:params:grant-type:ciba";
/// let response = token_endpoint_request(server, client, auth, grant_type, parameters, &options)?;
/// let token = process_token_endpoint_response(server, client, response)?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of [`client_credentials_grant_request`](crate::client_credentials_grant_request).
pub fn token_endpoint_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    grant_type: &str,
    parameters: Parameters,
    options: &RequestOptions<'_>,
) -> Result<TokenEndpointResponse, Error> {
    TokenRequest::new(server, client, auth, grant_type, parameters, options)?.run(options)
}

/// Checks the response to [`token_endpoint_request`] (RFC 6749 §5, RFC 9449 §5) and returns its token.
///
/// # Errors
/// Those of [`process_client_credentials_response`](crate::process_client_credentials_response).
pub fn process_token_endpoint_response(
    server: &AuthorizationServer,
    client: &Client,
    response: TokenEndpointResponse,
) -> Result<TokenResponse, Error> {
    response.into_token(server, client)
}
