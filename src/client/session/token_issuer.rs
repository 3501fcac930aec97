//! Token requests of a session.

use std::sync::Arc;

use http::{Request, Response};

use super::deadline::Deadline;
use super::stats::Counters;
use super::token_cache::{CachedToken, FetchFailure, TokenSource};
use crate::client::endpoint::Endpoint;
use crate::client::grants::client_credentials::process_client_credentials_response;
use crate::client::parameters::Parameters;
use crate::client::prover::Prover;
use crate::client::request_options::RequestOptions;
use crate::client::token_request::TokenRequest;
use crate::client::token_response::{TokenResponse, TokenType};
use crate::error::{Error, ErrorKind};
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::http_client::{HttpClient, RemainingTime, RequestBody};
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::retry_after::retry_after;
use crate::text::printable;
use crate::time::Clock;

/// The client, the authorization server and the way to it.
pub(super) struct TokenIssuer {
    pub(super) server: AuthorizationServer,
    pub(super) client: Client,
    pub(super) auth: ClientAuth,
    pub(super) http: Arc<dyn HttpClient>,
    pub(super) accept_bearer: bool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) counters: Counters,
}

impl TokenIssuer {
    /// Refuses parameters that cannot be sent.
    pub(super) fn check(&self, parameters: &Parameters, prover: &Prover) -> Result<(), Error> {
        let options = RequestOptions::new().prover(prover);
        TokenRequest::client_credentials(&self.server, &self.client, &self.auth, parameters.clone(), &options)
            .map(drop)
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
    pub(super) prover: &'a Prover,
}

impl TokenSource for TokenFetch<'_> {
    fn prover(&self) -> &Prover {
        self.prover
    }

    fn fetch(&self, deadline: Deadline) -> Result<TokenResponse, FetchFailure> {
        let TokenIssuer { server, client, auth, clock, counters, .. } = self.issuer;
        let options = RequestOptions::new().prover(self.prover);
        let options = if self.issuer.accept_bearer { options.dangerous_accept_bearer() } else { options };
        let send = || {
            let parameters = self.parameters.clone();
            let request = TokenRequest::client_credentials(server, client, auth, parameters, &options)?;
            request.run_with_clock(&WithinDeadline { issuer: self.issuer, deadline }, &|| clock.now())
        };
        let response = send().map_err(|error| {
            // That the call's own time ran out says nothing about the server.
            let cut_short = *error.kind() == ErrorKind::Timeout && deadline.remaining(&**clock).is_zero();
            FetchFailure { error, retry_after: None, cut_short }
        })?;
        counters.retries.add_all(response.requests().saturating_sub(1));
        let retry_after = retry_after(response.headers(), clock.now());
        process_client_credentials_response(server, client, response).map_err(|error| FetchFailure {
            error,
            retry_after,
            cut_short: false,
        })
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
struct WithinDeadline<'a> {
    issuer: &'a TokenIssuer,
    deadline: Deadline,
}

impl HttpClient for WithinDeadline<'_> {
    fn send(&self, mut request: Request<RequestBody>) -> Result<Response<Vec<u8>>, Error> {
        self.issuer.counters.token_requests.add();
        let remaining = self.deadline.remaining(&*self.issuer.clock);
        request.extensions_mut().insert(RemainingTime(remaining));
        self.issuer.http.send(request)
    }

    fn has_client_certificate(&self) -> Option<bool> {
        self.issuer.http.has_client_certificate()
    }
}
