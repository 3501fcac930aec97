//! The refresh token grant (RFC 6749 §6, RFC 9449 §5).

use crate::client::grants::token_endpoint_response::TokenEndpointResponse;
use crate::client::grants::token_request::TokenRequest;
use crate::client::grants::token_response::TokenResponse;
use crate::client::parameters::{Parameters, field};
use crate::client::request_options::RequestOptions;
use crate::error::Error;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::metadata::AuthorizationServer;

impl<'a> TokenRequest<'a> {
    /// Creates a request of the refresh token grant (RFC 6749 §6).
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn refresh_token(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        refresh_token: &str,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        let fields = [field("refresh_token", refresh_token)];
        Self::with_fields(server, client, auth, "refresh_token", fields, parameters, options)
    }
}

/// Requests a new access token for a refresh token (RFC 6749 §6). Give the response to
/// [`process_refresh_token_response`].
///
/// The refresh token of a public client is bound to the key that its proof was made with when it was issued,
/// so the prover must have that key (RFC 9449 §5). Many servers replace the refresh token with each use:
/// store the new one before the new access token is used, and discard the old one.
///
/// The request is retried for a nonce, which the server demands before it looks at the refresh token. It is
/// not sent again after a timeout or a broken connection, since the server may have replaced the refresh
/// token already.
///
/// ```no_run
/// # use possession::*;
/// # fn run(server: &AuthorizationServer, client: &Client, auth: &ClientAuth, prover: &Prover) -> Result<(), Error> {
/// # let stored = "8xLOxBtZp8";
/// let options = RequestOptions::new().prover(prover);
/// let response = refresh_token_grant_request(server, client, auth, stored, Parameters::new(), &options)?;
/// let token = process_refresh_token_response(server, client, response)?;
/// let to_store = token.refresh_token().unwrap_or(stored);
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of [`client_credentials_grant_request`](crate::client_credentials_grant_request).
pub fn refresh_token_grant_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    refresh_token: &str,
    parameters: Parameters,
    options: &RequestOptions<'_>,
) -> Result<TokenEndpointResponse, Error> {
    TokenRequest::refresh_token(server, client, auth, refresh_token, parameters, options)?.run(options)
}

/// Checks the response to [`refresh_token_grant_request`] (RFC 6749 §5, RFC 9449 §5) and returns its token.
/// If it has a [`refresh_token`](TokenResponse::refresh_token), that one replaces the one that was sent.
///
/// # Errors
/// Those of [`process_client_credentials_response`](crate::process_client_credentials_response).
/// `invalid_grant` means that the refresh token has expired, was used or revoked, or belongs to another
/// client or key: the user must sign in again.
pub fn process_refresh_token_response(
    server: &AuthorizationServer,
    client: &Client,
    response: TokenEndpointResponse,
) -> Result<TokenResponse, Error> {
    response.into_token(server, client)
}
