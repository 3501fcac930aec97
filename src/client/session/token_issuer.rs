//! Token requests of a session.

use std::sync::Arc;

use http::{Request, Response};
use zeroize::Zeroizing;

use super::deadline::Deadline;
use super::grant::{Grant, Source, Supplier};
use super::persistence::Persistence;
use super::refresh_tokens::{RefreshTokens, Turn};
use super::stats::{Counter, Counters};
use super::token_cache::{CachedToken, Demand, FailureCause, FetchFailure, Fetched, TokenSource};
use crate::client::endpoints::endpoint::Endpoint;
use crate::client::grants::client_credentials::process_client_credentials_response;
use crate::client::grants::jwt_bearer::process_jwt_bearer_response;
use crate::client::grants::refresh_token::process_refresh_token_response;
use crate::client::grants::token_endpoint_response::TokenEndpointResponse;
use crate::client::grants::token_exchange::{TokenExchange, process_token_exchange_response};
use crate::client::grants::token_request::TokenRequest;
use crate::client::grants::token_response::{TokenResponse, TokenType};
use crate::client::parameters::Parameters;
use crate::client::proofs::prover::Prover;
use crate::client::request_options::RequestOptions;
use crate::error::{Error, ErrorKind};
use crate::jose::signer::foreign_failure;
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::http_client::{HttpClient, RemainingTime, RequestBody};
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::retry_after::retry_after;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::text::printable;
use crate::time::Clock;

/// The client, the authorization server and the way to it.
pub(super) struct TokenIssuer {
    pub(super) server: AuthorizationServer,
    pub(super) client: Client,
    pub(super) auth: ClientAuth,
    pub(super) grant: TokenGrant,
    pub(super) http: Arc<dyn HttpClient>,
    pub(super) accept_bearer: bool,
    pub(super) prove_revocation: bool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) counters: Counters,
    /// Whether the caller has ended the session.
    pub(super) ended: AtomicBool,
}

/// The grant of a session, with what it has received.
pub(super) enum TokenGrant {
    ClientCredentials,
    RefreshToken(RefreshTokens),
    TokenExchange(Supplier<TokenExchange>),
    JwtBearer(Supplier<Zeroizing<String>>),
}

impl TokenGrant {
    /// The grant of a session that starts with that refresh token.
    pub(super) fn new(grant: &Grant, refresh_token: Option<Zeroizing<String>>) -> Self {
        match &grant.0 {
            Source::ClientCredentials => Self::ClientCredentials,
            Source::RefreshToken(_) | Source::Tokens(_) | Source::Stored => {
                Self::RefreshToken(RefreshTokens::new(refresh_token))
            }
            Source::TokenExchange(supplier) => Self::TokenExchange(Arc::clone(supplier)),
            Source::JwtBearer(supplier) => Self::JwtBearer(Arc::clone(supplier)),
        }
    }
}

impl TokenIssuer {
    /// Refuses parameters that cannot be sent.
    pub(super) fn check(&self, parameters: &Parameters, prover: &Prover) -> Result<(), Error> {
        let (server, client, auth) = (&self.server, &self.client, &self.auth);
        let (options, parameters) = (self.options(prover), parameters.clone());
        match &self.grant {
            TokenGrant::ClientCredentials => {
                TokenRequest::client_credentials(server, client, auth, parameters, &options)
            }
            TokenGrant::RefreshToken(_) => {
                TokenRequest::refresh_token(server, client, auth, "", parameters, &options)
            }
            TokenGrant::TokenExchange(_) => {
                let exchange = TokenExchange::new("subject", TokenExchange::ACCESS_TOKEN);
                TokenRequest::token_exchange(server, client, auth, &exchange, parameters, &options)
            }
            TokenGrant::JwtBearer(_) => {
                TokenRequest::jwt_bearer(server, client, auth, "", parameters, &options)
            }
        }
        .map(drop)
    }

    /// Returns why no token can be fetched any more, if the caller has ended the session.
    pub(super) fn check_not_ended(&self) -> Result<(), Error> {
        match self.ended.load(Ordering::Acquire) {
            false => Ok(()),
            true => {
                let doing = Endpoint::Token.doing(self.server.issuer(), &self.client);
                Err(Error::new(ErrorKind::SessionEnded, doing, "the session was ended (`Session::end`)"))
            }
        }
    }

    /// Returns an HTTP client that passes on the remaining time of a call.
    pub(super) fn http_within(&self, deadline: Deadline) -> WithinDeadline<'_> {
        WithinDeadline { issuer: self, deadline, counter: None }
    }

    fn options(&self, prover: &Prover) -> RequestOptions<'static> {
        let options = RequestOptions::new().prover(prover);
        if self.accept_bearer { options.dangerous_accept_bearer() } else { options }
    }

    /// The client identifier as it may be shown.
    pub(super) fn shown_client(&self) -> String {
        printable(self.client.client_id(), 80)
    }
}

/// Requests for one token: with these parameters, bound to this key.
pub(super) struct TokenFetch<'a> {
    pub(super) issuer: &'a TokenIssuer,
    pub(super) parameters: &'a Parameters,
    pub(super) parameters_digest: [u8; 32],
    pub(super) prover: &'a Prover,
    pub(super) persistence: Option<&'a Persistence>,
}

impl TokenFetch<'_> {
    /// Requests a token by the grant of the session.
    fn request(&self, deadline: Deadline) -> Result<TokenResponse, FetchFailure> {
        let TokenIssuer { server, client, auth, grant, .. } = self.issuer;
        let (options, parameters) = (self.issuer.options(self.prover), self.parameters.clone());
        match grant {
            TokenGrant::ClientCredentials => {
                let request = TokenRequest::client_credentials(server, client, auth, parameters, &options);
                self.send(request, deadline, process_client_credentials_response)
            }
            TokenGrant::RefreshToken(tokens) => {
                let turn = self.take_turn(tokens, deadline)?;
                let token =
                    self.send_refresh(&turn, deadline).map_err(|failure| turn.failed_request(failure))?;
                turn.succeeded(token.refresh_token());
                Ok(token)
            }
            TokenGrant::TokenExchange(supplier) => {
                let exchange = supplied("getting the tokens of a token exchange", &**supplier)?;
                let request =
                    TokenRequest::token_exchange(server, client, auth, &exchange, parameters, &options);
                self.send(request, deadline, process_token_exchange_response)
            }
            TokenGrant::JwtBearer(supplier) => {
                let assertion = supplied("getting the assertion of a grant", &**supplier)?;
                let request =
                    TokenRequest::jwt_bearer(server, client, auth, &assertion, parameters, &options);
                self.send(request, deadline, process_jwt_bearer_response)
            }
        }
    }

    /// Waits until no other thread uses the refresh token.
    pub(super) fn take_turn<'t>(
        &self,
        tokens: &'t RefreshTokens,
        deadline: Deadline,
    ) -> Result<Turn<'t>, FetchFailure> {
        tokens.take_turn(deadline, &*self.issuer.clock, || self.action()).map_err(FetchFailure::not_sent)
    }

    /// Requests a token with the refresh token. What that means for the refresh token is for the caller to
    /// record.
    pub(super) fn send_refresh(
        &self,
        turn: &Turn<'_>,
        deadline: Deadline,
    ) -> Result<TokenResponse, FetchFailure> {
        let TokenIssuer { server, client, auth, .. } = self.issuer;
        let (options, parameters) = (self.issuer.options(self.prover), self.parameters.clone());
        let token = turn.token(|| self.action())?;
        let request = TokenRequest::refresh_token(server, client, auth, &token, parameters, &options);
        self.send(request, deadline, process_refresh_token_response)
    }

    /// Sends a request and processes its response.
    fn send(
        &self,
        request: Result<TokenRequest<'_>, Error>,
        deadline: Deadline,
        process: fn(&AuthorizationServer, &Client, TokenEndpointResponse) -> Result<TokenResponse, Error>,
    ) -> Result<TokenResponse, FetchFailure> {
        let TokenIssuer { server, client, clock, counters, .. } = self.issuer;
        // The session may have been ended while this thread waited for another one or for the store.
        self.issuer.check_not_ended()?;
        let http =
            WithinDeadline { counter: Some(&counters.token_requests), ..self.issuer.http_within(deadline) };
        let response =
            request.and_then(|request| request.run_with_clock(&http, &|| clock.now())).map_err(|error| {
                // That the call's own time ran out says nothing about the server.
                let cut_short = *error.kind() == ErrorKind::Timeout && deadline.remaining(&**clock).is_zero();
                let cause = if cut_short { FailureCause::Deadline } else { FailureCause::Request };
                FetchFailure { cause, ..FetchFailure::from(error) }
            })?;
        counters.retries.add_all(response.requests().saturating_sub(1));
        let retry_after = retry_after(response.headers(), clock.now());
        process(server, client, response)
            .map_err(|error| FetchFailure { retry_after, ..FetchFailure::from(error) })
    }
}

/// Calls a function of the caller that supplies a token.
fn supplied<T>(
    doing: &'static str,
    supplier: &(dyn Fn() -> Result<T, Box<dyn std::error::Error + Send + Sync>> + Send + Sync),
) -> Result<T, Error> {
    supplier().map_err(|error| foreign_failure(ErrorKind::Callback, doing, error))
}

impl TokenSource for TokenFetch<'_> {
    fn prover(&self) -> &Prover {
        self.prover
    }

    fn fetch(&self, demand: &Demand<'_>, deadline: Deadline) -> Result<Fetched, FetchFailure> {
        self.issuer.check_not_ended()?;
        let request = || {
            let sent = demand.now();
            self.request(deadline).map(|response| (Arc::new(response), sent))
        };
        let fetched = match (self.persistence, &self.issuer.grant) {
            (Some(persistence), TokenGrant::RefreshToken(tokens)) => {
                self.refresh_stored(persistence, tokens, demand, deadline)
            }
            (Some(persistence), _) => {
                persistence.fetch(self.parameters_digest, self.prover, demand, deadline, request)
            }
            (None, _) => request().map(|(response, sent)| Fetched::Issued { response, sent, unsaved: None }),
        }?;
        // Nobody uses a token that arrives after the end of the session.
        self.issuer.check_not_ended()?;
        Ok(fetched)
    }

    fn action(&self) -> String {
        Endpoint::Token.doing(self.issuer.server.issuer(), &self.issuer.client)
    }

    fn received(&self, token: &CachedToken, renewal: bool) {
        let counters = &self.issuer.counters;
        counters.tokens.add();
        if renewal {
            counters.renewals.add();
        }
        let lifetime = match token.response.expires_in() {
            Some(lifetime) => format!("valid for {} s", lifetime.as_secs()),
            None => "without an expiry".to_owned(),
        };
        let (issuer, client) = (self.issuer.server.issuer(), self.issuer.shown_client());
        let token_type = token.response.token_type();
        log::info!("{issuer} issued a {token_type} token to {client}, {lifetime}");
        if token_type == TokenType::Bearer {
            log::warn!("the token of {client} is not bound to a key: whoever steals it can use it");
        }
    }
}

/// An HTTP client that passes on the remaining time of the call.
pub(super) struct WithinDeadline<'a> {
    issuer: &'a TokenIssuer,
    deadline: Deadline,
    /// Counts the requests.
    counter: Option<&'a Counter>,
}

impl HttpClient for WithinDeadline<'_> {
    fn send(&self, mut request: Request<RequestBody>) -> Result<Response<Vec<u8>>, Error> {
        if let Some(counter) = self.counter {
            counter.add();
        }
        let remaining = self.deadline.remaining(&*self.issuer.clock);
        request.extensions_mut().insert(RemainingTime(remaining));
        self.issuer.http.send(request)
    }

    fn has_client_certificate(&self) -> Option<bool> {
        self.issuer.http.has_client_certificate()
    }
}
