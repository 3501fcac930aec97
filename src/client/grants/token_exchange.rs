//! Token exchange (RFC 8693).

use std::fmt;

use zeroize::Zeroizing;

use crate::client::endpoints::endpoint::Endpoint;
use crate::client::grants::token_endpoint_response::TokenEndpointResponse;
use crate::client::grants::token_request::TokenRequest;
use crate::client::grants::token_response::TokenResponse;
use crate::client::parameters::{Field, Parameters, field};
use crate::client::request_options::RequestOptions;
use crate::error::{Error, ErrorKind};
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::metadata::AuthorizationServer;

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The tokens of a token exchange: who the new token is about, who acts, and what is requested (RFC 8693
/// §2.1). `Debug` does not show the tokens.
///
/// ```
/// use possession::TokenExchange;
///
/// let of_the_user = "accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC";
/// let exchange = TokenExchange::new(of_the_user, TokenExchange::ACCESS_TOKEN)
///     .actor_token("eyJhbGciOiJFUzI1NiJ9.eyJzdWIi.J9l-ZhwP", TokenExchange::JWT);
/// ```
#[derive(Clone)]
pub struct TokenExchange {
    subject_token: Zeroizing<String>,
    subject_token_type: String,
    actor_token: Option<(Zeroizing<String>, String)>,
    requested_token_type: Option<String>,
}

impl TokenExchange {
    /// The token type of access tokens of the same server (RFC 8693 §3).
    pub const ACCESS_TOKEN: &'static str = ACCESS_TOKEN;
    /// The token type of refresh tokens of the same server (RFC 8693 §3).
    pub const REFRESH_TOKEN: &'static str = "urn:ietf:params:oauth:token-type:refresh_token";
    /// The token type of ID tokens (RFC 8693 §3).
    pub const ID_TOKEN: &'static str = "urn:ietf:params:oauth:token-type:id_token";
    /// The token type of JWTs (RFC 8693 §3).
    pub const JWT: &'static str = "urn:ietf:params:oauth:token-type:jwt";
    /// The token type of SAML 2.0 assertions, base64url-encoded (RFC 8693 §3).
    pub const SAML2: &'static str = "urn:ietf:params:oauth:token-type:saml2";

    /// Exchanges a token about the user, or about whomever the new token is to be about. The type is a URI,
    /// such as [`ACCESS_TOKEN`](Self::ACCESS_TOKEN).
    #[must_use]
    pub fn new(subject_token: impl Into<String>, subject_token_type: impl Into<String>) -> Self {
        Self {
            subject_token: Zeroizing::new(subject_token.into()),
            subject_token_type: subject_token_type.into(),
            actor_token: None,
            requested_token_type: None,
        }
    }

    /// Adds a token about the party that acts for the subject: delegation instead of impersonation (RFC 8693
    /// §1.1).
    #[must_use]
    pub fn actor_token(self, actor_token: impl Into<String>, actor_token_type: impl Into<String>) -> Self {
        Self { actor_token: Some((Zeroizing::new(actor_token.into()), actor_token_type.into())), ..self }
    }

    /// Requests a token of this type. Without it the server chooses, usually an access token. If it is not
    /// [`ACCESS_TOKEN`](Self::ACCESS_TOKEN), the response may have the token type `N_A`.
    #[must_use]
    pub fn requested_token_type(self, token_type: impl Into<String>) -> Self {
        Self { requested_token_type: Some(token_type.into()), ..self }
    }

    /// Returns whether the token in the response may be one that is not an access token.
    fn may_be_another_token(&self) -> bool {
        self.requested_token_type.as_deref().is_some_and(|token_type| token_type != ACCESS_TOKEN)
    }

    fn fields(&self) -> Result<Vec<Field>, Error> {
        let mut fields = vec![
            field("subject_token", self.subject_token.as_str()),
            field("subject_token_type", self.subject_token_type.as_str()),
        ];
        if let Some((token, token_type)) = &self.actor_token {
            fields.push(field("actor_token", token.as_str()));
            fields.push(field("actor_token_type", token_type.as_str()));
        }
        if let Some(token_type) = &self.requested_token_type {
            fields.push(field("requested_token_type", token_type.as_str()));
        }
        match fields.iter().find(|(_, value)| value.is_empty()) {
            None => Ok(fields),
            Some((name, _)) => {
                let wrong = format!("`{name}` is empty");
                Err(Error::new(ErrorKind::Parameter, "checking a token exchange", wrong))
            }
        }
    }
}

impl fmt::Debug for TokenExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenExchange")
            .field("subject_token_type", &self.subject_token_type)
            .field("actor_token_type", &self.actor_token.as_ref().map(|(_, token_type)| token_type))
            .field("requested_token_type", &self.requested_token_type)
            .finish_non_exhaustive()
    }
}

impl<'a> TokenRequest<'a> {
    /// Creates a request of a token exchange (RFC 8693 §2.1). `resource`, `audience` and `scope` of the new
    /// token are parameters.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn token_exchange(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        exchange: &TokenExchange,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        let fields = exchange.fields()?;
        let request = Self::with_fields(server, client, auth, TOKEN_EXCHANGE, fields, parameters, options)?;
        Ok(if exchange.may_be_another_token() { request.accept_not_applicable() } else { request })
    }
}

/// Exchanges a token for another one (RFC 8693 §2.1), such as a user's access token for one that this service
/// may use at another resource. The new access token is bound to the prover's key. Give the response to
/// [`process_token_exchange_response`].
///
/// ```no_run
/// # use possession::*;
/// # fn run(server: &AuthorizationServer, client: &Client, auth: &ClientAuth, prover: &Prover) -> Result<(), Error> {
/// # let of_the_user = "accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC";
/// let options = RequestOptions::new().prover(prover);
/// let exchange = TokenExchange::new(of_the_user, TokenExchange::ACCESS_TOKEN);
/// let parameters = Parameters::new().parameter("audience", "orders").scope("orders:read");
/// let response = token_exchange_grant_request(server, client, auth, &exchange, parameters, &options)?;
/// let token = process_token_exchange_response(server, client, response)?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of [`client_credentials_grant_request`](crate::client_credentials_grant_request).
pub fn token_exchange_grant_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    exchange: &TokenExchange,
    parameters: Parameters,
    options: &RequestOptions<'_>,
) -> Result<TokenEndpointResponse, Error> {
    TokenRequest::token_exchange(server, client, auth, exchange, parameters, options)?.run(options)
}

/// Checks the response to [`token_exchange_grant_request`] (RFC 8693 §2.2) and returns its token. Its
/// [`issued_token_type`](TokenResponse::issued_token_type) says what was issued. A token of type `N_A` is
/// accepted only if another type than an access token was requested.
///
/// # Errors
/// Those of [`process_client_credentials_response`](crate::process_client_credentials_response).
/// [`Content`](ErrorKind::Content) also when the response has no `issued_token_type`, which RFC 8693 §2.2.1
/// requires.
pub fn process_token_exchange_response(
    server: &AuthorizationServer,
    client: &Client,
    response: TokenEndpointResponse,
) -> Result<TokenResponse, Error> {
    let status = response.status().as_u16();
    let token = response.into_token(server, client)?;
    if token.issued_token_type().is_none() {
        let doing = Endpoint::Token.doing(server.issuer(), client);
        let wrong = "the response has no `issued_token_type` (RFC 8693 §2.2.1)";
        return Err(Error::new(ErrorKind::Content { status }, doing, wrong));
    }
    Ok(token)
}
