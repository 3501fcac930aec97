//! The client credentials grant (RFC 6749 §4.4).

use crate::client::grants::token_endpoint_response::TokenEndpointResponse;
use crate::client::grants::token_request::TokenRequest;
use crate::client::grants::token_response::TokenResponse;
use crate::client::parameters::Parameters;
use crate::client::request_options::RequestOptions;
use crate::error::Error;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::metadata::AuthorizationServer;

impl<'a> TokenRequest<'a> {
    /// Creates a request of the client credentials grant (RFC 6749 §4.4).
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn client_credentials(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        Self::with_fields(server, client, auth, "client_credentials", [], parameters, options)
    }
}

/// Requests a token by the client credentials grant (RFC 6749 §4.4). With a [`Prover`](crate::Prover) in the
/// options, the request has a DPoP proof (RFC 9449 §5), and a `use_dpop_nonce` error with a nonce is
/// followed by one retry (§8). Give the response to [`process_client_credentials_response`].
///
/// ```no_run
/// use possession::*;
///
/// # #[cfg(feature = "ureq")]
/// # fn main() -> Result<(), Error> {
/// let http = Transport::new();
/// let server = AuthorizationServer::discover("https://server.example.com", &http)?;
/// let client = Client::new("s6BhdRkqt3")?;
/// let auth = ClientAuth::client_secret_basic("7Fjfp0ZBr1KtDRbnfVdmIw");
/// let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
/// let options = RequestOptions::new().prover(&prover).http(&http);
///
/// let parameters = Parameters::new().scope("orders:read").resource("https://api.example.com");
/// let response = client_credentials_grant_request(&server, &client, &auth, parameters, &options)?;
/// let token = process_client_credentials_response(&server, &client, response)?;
/// # Ok(()) }
/// # #[cfg(not(feature = "ureq"))]
/// # fn main() {}
/// ```
///
/// # Errors
/// - What is refused before a request is sent: [`Parameter`](crate::ErrorKind::Parameter),
///   [`AuthMethod`](crate::ErrorKind::AuthMethod), [`Algorithm`](crate::ErrorKind::Algorithm).
/// - What prevents a request from being made: [`Clock`](crate::ErrorKind::Clock),
///   [`Random`](crate::ErrorKind::Random), [`Signer`](crate::ErrorKind::Signer).
/// - The errors of the HTTP client: [`Transport`](crate::ErrorKind::Transport),
///   [`Timeout`](crate::ErrorKind::Timeout), [`TooLarge`](crate::ErrorKind::TooLarge).
/// - [`Redirect`](crate::ErrorKind::Redirect).
///
/// An OAuth error is a response: [`process_client_credentials_response`] returns it.
pub fn client_credentials_grant_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    parameters: Parameters,
    options: &RequestOptions<'_>,
) -> Result<TokenEndpointResponse, Error> {
    TokenRequest::client_credentials(server, client, auth, parameters, options)?.run(options)
}

/// Checks the response to [`client_credentials_grant_request`] (RFC 6749 §5, RFC 9449 §5) and returns its
/// token.
///
/// # Errors
/// [`OAuth`](crate::ErrorKind::OAuth) for an OAuth error; [`Challenge`](crate::ErrorKind::Challenge) for a
/// refusal in headers only; [`Status`](crate::ErrorKind::Status) and [`Content`](crate::ErrorKind::Content)
/// for a response that a token endpoint does not send; [`TokenType`](crate::ErrorKind::TokenType) for a
/// `Bearer` token in response to a DPoP request.
pub fn process_client_credentials_response(
    server: &AuthorizationServer,
    client: &Client,
    response: TokenEndpointResponse,
) -> Result<TokenResponse, Error> {
    response.into_token(server, client)
}
