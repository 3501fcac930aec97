//! The authorization code grant (RFC 6749 §4.1.3, RFC 7636).

use std::fmt;

use zeroize::Zeroizing;

use crate::client::grants::token_endpoint_response::TokenEndpointResponse;
use crate::client::grants::token_request::TokenRequest;
use crate::client::grants::token_response::TokenResponse;
use crate::client::parameters::{Parameters, field};
use crate::client::request_options::RequestOptions;
use crate::error::{Error, ErrorKind};
use crate::jose::public_key::Thumbprint;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::metadata::AuthorizationServer;

/// An authorization code, with what must be sent along with it: the redirect URI and the PKCE code verifier.
/// It is used once, so requests consume it. `Debug` does not show its secrets.
///
/// The callback of an authorization request returns it; [`new`](Self::new) is for programs that make that
/// request themselves.
pub struct AuthorizationCode {
    pub(crate) code: Zeroizing<String>,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) code_verifier: Option<Zeroizing<String>>,
    /// The issuer and the client of the authorization request, if they are known.
    pub(crate) requested: Option<(String, String)>,
    /// The key that the code is bound to (RFC 9449 §10).
    pub(crate) jkt: Option<Thumbprint>,
}

impl AuthorizationCode {
    /// Takes a code that the program received at its redirect URI. Check `state` and `iss` before (RFC 6749
    /// §10.12, RFC 9207 §2.4).
    #[must_use]
    pub fn new(code: impl Into<String>) -> Self {
        Self {
            code: Zeroizing::new(code.into()),
            redirect_uri: None,
            code_verifier: None,
            requested: None,
            jkt: None,
        }
    }

    /// Sets the redirect URI, which must be sent if the authorization request had one (RFC 6749 §4.1.3).
    #[must_use]
    pub fn redirect_uri(self, uri: impl Into<String>) -> Self {
        Self { redirect_uri: Some(uri.into()), ..self }
    }

    /// Sets the `code_verifier` whose challenge the authorization request had (RFC 7636 §4.5).
    #[must_use]
    pub fn code_verifier(self, verifier: impl Into<String>) -> Self {
        Self { code_verifier: Some(Zeroizing::new(verifier.into())), ..self }
    }

    /// Refuses to send the code to another server, as another client or with a proof by another key than
    /// those of the authorization request.
    fn check(
        &self,
        server: &AuthorizationServer,
        client: &Client,
        options: &RequestOptions<'_>,
    ) -> Result<(), Error> {
        let refuse =
            |wrong: &'static str| Err(Error::new(ErrorKind::Parameter, "using an authorization code", wrong));
        if self.code.is_empty() {
            return refuse("the code is empty");
        }
        if let Some((issuer, client_id)) = &self.requested {
            if issuer != server.issuer() {
                return refuse("the code is from another authorization server (RFC 9207 §2.4)");
            }
            if client_id != client.client_id() {
                return refuse("the code was issued to another client");
            }
        }
        let proves_with = options.prover.as_ref().map(|prover| prover.thumbprint());
        match self.jkt.is_none_or(|jkt| proves_with == Some(jkt)) {
            true => Ok(()),
            false => refuse(
                "the code is bound to a key (`dpop_jkt`), and the options have no prover with that key \
                 (RFC 9449 §10)",
            ),
        }
    }
}

impl fmt::Debug for AuthorizationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationCode")
            .field("redirect_uri", &self.redirect_uri)
            .field("jkt", &self.jkt)
            .finish_non_exhaustive()
    }
}

impl<'a> TokenRequest<'a> {
    /// Creates a request of the authorization code grant (RFC 6749 §4.1.3, RFC 7636 §4.5).
    ///
    /// # Errors
    /// Those of [`new`](Self::new). [`Parameter`](ErrorKind::Parameter) also when the code is from another
    /// server, for another client or bound to another key.
    pub fn authorization_code(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        code: AuthorizationCode,
        parameters: Parameters,
        options: &RequestOptions<'_>,
    ) -> Result<Self, Error> {
        code.check(server, client, options)?;
        let mut fields = vec![field("code", code.code.as_str())];
        fields.extend(code.redirect_uri.map(|uri| field("redirect_uri", uri)));
        fields.extend(code.code_verifier.map(|verifier| field("code_verifier", verifier.as_str())));
        Self::with_fields(server, client, auth, "authorization_code", fields, parameters, options)
    }
}

/// Requests a token for an authorization code (RFC 6749 §4.1.3). With a [`Prover`](crate::Prover) in the
/// options, the access token is bound to its key, and for a public client the refresh token as well (RFC 9449
/// §5). Give the response to [`process_authorization_code_response`].
///
/// The request is retried for a nonce, which the server demands before it looks at the code. It is not sent
/// again after a timeout or a broken connection, since the server may have used up the code: the user must
/// then sign in again.
///
/// # Errors
/// Those of [`client_credentials_grant_request`](crate::client_credentials_grant_request).
/// [`Parameter`](ErrorKind::Parameter) also when the code is from another server, for another client or bound
/// to another key.
pub fn authorization_code_grant_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    code: AuthorizationCode,
    parameters: Parameters,
    options: &RequestOptions<'_>,
) -> Result<TokenEndpointResponse, Error> {
    TokenRequest::authorization_code(server, client, auth, code, parameters, options)?.run(options)
}

/// Checks the response to [`authorization_code_grant_request`] (RFC 6749 §5, RFC 9449 §5) and returns its
/// tokens.
///
/// # Errors
/// Those of [`process_client_credentials_response`](crate::process_client_credentials_response).
pub fn process_authorization_code_response(
    server: &AuthorizationServer,
    client: &Client,
    response: TokenEndpointResponse,
) -> Result<TokenResponse, Error> {
    response.into_token(server, client)
}
