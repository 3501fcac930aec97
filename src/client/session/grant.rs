//! The grant by which a session gets its tokens.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::client::grants::token_exchange::TokenExchange;
use crate::client::grants::token_response::TokenResponse;
use crate::client::session_store::stored_session::StoredToken;
use crate::error::{Error, ErrorKind};

/// A function of the caller that supplies a token or an assertion.
pub(super) type Supplier<T> =
    Arc<dyn Fn() -> Result<T, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// The grant by which a [`Session`](crate::Session) gets its tokens: see
/// [`SessionBuilder::grant`](crate::SessionBuilder::grant). `Debug` shows none of its secrets.
///
/// ```
/// use possession::{Grant, Session, TokenExchange};
///
/// # fn of_the_current_user() -> Result<String, std::io::Error> { Ok(String::new()) }
/// let settings = Session::builder("https://as.example.com", "my-service").grant(Grant::token_exchange(|| {
///     Ok(TokenExchange::new(of_the_current_user()?, TokenExchange::ACCESS_TOKEN))
/// }));
/// ```
#[derive(Clone)]
pub struct Grant(pub(super) Source);

#[derive(Clone)]
pub(super) enum Source {
    ClientCredentials,
    RefreshToken(Zeroizing<String>),
    Tokens(Arc<TokenResponse>),
    Stored,
    TokenExchange(Supplier<TokenExchange>),
    JwtBearer(Supplier<Zeroizing<String>>),
}

impl Grant {
    /// The client credentials grant (RFC 6749 §4.4), the default.
    #[must_use]
    pub fn client_credentials() -> Self {
        Self(Source::ClientCredentials)
    }

    /// Gets access tokens for a refresh token (RFC 6749 §6), which was issued to this client and, if it is a
    /// public client, for this key (RFC 9449 §5). If the server replaces the refresh token, the session uses
    /// the new one from then on.
    ///
    /// Make one session of it: a server that sees a replaced refresh token again revokes the newer ones as
    /// well (RFC 9700 §4.14.2). With a [store](crate::SessionBuilder::store), sessions that are given the
    /// same refresh token continue with the newest one, in whatever process.
    #[must_use]
    pub fn refresh_token(refresh_token: impl Into<String>) -> Self {
        Self(Source::RefreshToken(Zeroizing::new(refresh_token.into())))
    }

    /// Starts with the tokens of a sign-in: the response of the authorization code grant, of the device
    /// authorization grant, or of any other. The access token is used while it is valid, and its refresh
    /// token, if it has one, as with [`refresh_token`](Self::refresh_token). The session must have the key
    /// that the tokens are bound to.
    #[must_use]
    pub fn tokens(tokens: TokenResponse) -> Self {
        Self(Source::Tokens(Arc::new(tokens)))
    }

    /// Continues with the refresh token of the session's [store](crate::SessionBuilder::store), which an
    /// earlier session began with [`tokens`](Self::tokens) or [`refresh_token`](Self::refresh_token). If
    /// there is none, or the server has refused it, starting the session fails with
    /// [`SessionEnded`](crate::ErrorKind::SessionEnded): the user must sign in.
    #[must_use]
    pub fn stored() -> Self {
        Self(Source::Stored)
    }

    /// Exchanges a token for each access token (RFC 8693). The function supplies the tokens to exchange; it
    /// is called for each attempt, on the thread that needs the access token.
    #[must_use]
    pub fn token_exchange(
        supplier: impl Fn() -> Result<TokenExchange, Box<dyn std::error::Error + Send + Sync>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Source::TokenExchange(Arc::new(supplier)))
    }

    /// Gets access tokens for JWT assertions (RFC 7523 §2.1). The function supplies a new assertion; it is
    /// called for each attempt, on the thread that needs the access token.
    #[must_use]
    pub fn jwt_bearer(
        supplier: impl Fn() -> Result<String, Box<dyn std::error::Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        Self(Source::JwtBearer(Arc::new(move || supplier().map(Zeroizing::new))))
    }

    /// The grant of the token requests, in stored sessions.
    pub(super) fn of_requests(&self) -> &'static str {
        match self.0 {
            Source::Tokens(_) | Source::Stored => "refresh_token",
            _ => self.name(),
        }
    }

    fn name(&self) -> &'static str {
        match self.0 {
            Source::ClientCredentials => "client_credentials",
            Source::RefreshToken(_) => "refresh_token",
            Source::Tokens(_) => "tokens",
            Source::Stored => "stored",
            Source::TokenExchange(_) => "token_exchange",
            Source::JwtBearer(_) => "jwt_bearer",
        }
    }
}

impl Source {
    /// What a session without a store starts with: access tokens for these parameters, and a refresh token.
    pub(super) fn start(
        &self,
        parameters: [u8; 32],
    ) -> Result<(Vec<StoredToken>, Option<Zeroizing<String>>), Error> {
        match self {
            Self::RefreshToken(token) => Ok((Vec::new(), Some(token.clone()))),
            Self::Tokens(response) => {
                let refresh_token = response.refresh_token().map(|token| Zeroizing::new(token.to_owned()));
                Ok((vec![StoredToken { parameters, response: Arc::clone(response) }], refresh_token))
            }
            Self::Stored => {
                let wrong = "`Grant::stored` needs a store (`SessionBuilder::store`)";
                Err(Error::new(ErrorKind::Configuration, "setting up a session", wrong))
            }
            _ => Ok((Vec::new(), None)),
        }
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({})", self.name())
    }
}
