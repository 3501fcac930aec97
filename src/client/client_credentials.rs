//! The client credentials grant (RFC 6749 §4.4).

use std::time::SystemTime;

use http::StatusCode;
use zeroize::Zeroizing;

use crate::client::parameters::Parameters;
use crate::client::request_options::RequestOptions;
use crate::client::token_endpoint_response::{TokenEndpointResponse, refusal};
use crate::client::token_request::TokenRequest;
use crate::client::token_response::{TokenResponse, TokenType};
use crate::error::{Error, ErrorKind};
use crate::jose::json;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::http_client::HttpClient;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::response::is_json;
use crate::oauth::step::Step;
use crate::text::printable;

/// Requests a token by the client credentials grant (RFC 6749 §4.4), with a DPoP proof when `options` has a
/// [`Prover`](crate::Prover) (RFC 9449 §5), and once more with the server's nonce when it asks for one (§8). Give the response to
/// [`process_client_credentials_response`].
///
/// ```no_run
/// use possession::*;
///
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
/// ```
///
/// # Errors
/// What is refused before sending ([`Parameter`](ErrorKind::Parameter), [`AuthMethod`](ErrorKind::AuthMethod),
/// [`Algorithm`](ErrorKind::Algorithm)), what keeps a request from being made ([`Clock`](ErrorKind::Clock),
/// [`Random`](ErrorKind::Random), [`Signer`](ErrorKind::Signer)), the errors of the HTTP client
/// ([`Transport`](ErrorKind::Transport), [`Timeout`](ErrorKind::Timeout), [`TooLarge`](ErrorKind::TooLarge)), and
/// [`Redirect`](ErrorKind::Redirect). An OAuth error is a response: its twin says so.
pub fn client_credentials_grant_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    parameters: Parameters,
    options: &RequestOptions<'_>,
) -> Result<TokenEndpointResponse, Error> {
    let exchange = TokenRequest::client_credentials(server, client, auth, parameters, options)?;
    run(exchange, auth, options)
}

fn run(
    exchange: TokenRequest<'_>,
    auth: &ClientAuth,
    options: &RequestOptions<'_>,
) -> Result<TokenEndpointResponse, Error> {
    #[cfg(feature = "ureq")]
    let default = options.http.is_none().then(crate::client::transport::Transport::new);
    #[cfg(feature = "ureq")]
    let http = options.http.or(default.as_ref().map(|http| http as _));
    #[cfg(not(feature = "ureq"))]
    let http = options.http;
    match http {
        Some(http) => drive(exchange, auth, http, &SystemTime::now),
        None => {
            let wrong = "no HTTP client was given in the options";
            Err(Error::new(ErrorKind::Transport, exchange.doing(), wrong))
        }
    }
}

/// Sends what an exchange hands out, until it is done.
pub(crate) fn drive(
    mut exchange: TokenRequest<'_>,
    auth: &ClientAuth,
    http: &dyn HttpClient,
    now: &dyn Fn() -> SystemTime,
) -> Result<TokenEndpointResponse, Error> {
    if auth.uses_mtls_aliases(exchange.client()) && http.has_client_certificate() == Some(false) {
        let wrong = format!("{} needs a client certificate, and the HTTP client has none", auth.method());
        return Err(Error::new(ErrorKind::AuthMethod, exchange.doing(), wrong));
    }
    loop {
        let request = exchange.request(now())?;
        let response = http.send(request).map_err(|error| error.while_doing(exchange.doing()))?;
        match exchange.receive(response, now())? {
            Step::Retry => {}
            Step::Done(response) => return Ok(response),
        }
    }
}

/// Checks the response to [`client_credentials_grant_request`] (RFC 6749 §5, RFC 9449 §5).
///
/// # Errors
/// [`OAuth`](ErrorKind::OAuth) when the server refused; [`Challenge`](ErrorKind::Challenge) when it did so in headers
/// only; [`Status`](ErrorKind::Status) and [`Content`](ErrorKind::Content) when the answer is not one;
/// [`TokenType`](ErrorKind::TokenType) when a DPoP request was answered with a `Bearer` token.
pub fn process_client_credentials_response(
    server: &AuthorizationServer,
    client: &Client,
    response: TokenEndpointResponse,
) -> Result<TokenResponse, Error> {
    let client_id = printable(client.client_id(), 80);
    let doing = || format!("asking {} for a token as {client_id}", printable(server.issuer(), 200));
    let (jkt, accept_bearer, requests) = (response.jkt, response.accept_bearer, response.requests());
    let skew = response.skew.clone();
    let response = response.into_http();
    let status = response.status();
    if status != StatusCode::OK {
        return Err(refusal(&response, doing(), skew));
    }
    let content = |wrong: String| Error::new(ErrorKind::Content { status: status.as_u16() }, doing(), wrong);
    if !is_json(response.headers()) {
        return Err(content("the answer is not application/json".to_owned()));
    }
    let body = Zeroizing::new(response.into_body());
    let members = json::parse_members(&body).map_err(|wrong| content(format!("the answer: {wrong}")))?;
    let token = TokenResponse::read(members, jkt, requests).map_err(content)?;
    let wrong = match (token.token_type, jkt) {
        (TokenType::Dpop, Some(_)) | (TokenType::Bearer, None) => return Ok(token),
        (TokenType::Bearer, Some(_)) if accept_bearer => return Ok(token),
        (TokenType::Bearer, Some(_)) => {
            "the server answered a DPoP request with a Bearer token, which is not bound to the key; it was thrown away: have the server bind this client's tokens (`dpop_bound_access_tokens`)"
        }
        (TokenType::Dpop, None) => {
            "the server answered a request without a proof with a DPoP token, which nobody can use"
        }
    };
    let token_type = token.token_type.to_string();
    Err(Error::new(ErrorKind::TokenType { token_type }, doing(), wrong))
}
