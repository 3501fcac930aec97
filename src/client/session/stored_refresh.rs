//! Token requests with a refresh token that several processes share in a store.

use std::sync::Arc;

use super::deadline::Deadline;
use super::persistence::{Changes, Persistence};
use super::refresh_tokens::RefreshTokens;
use super::token_cache::{Demand, FetchFailure, Fetched, TokenSource};
use super::token_issuer::TokenFetch;
use crate::client::session_store::stored_session::StoredToken;
use crate::error::{Error, ErrorKind};

impl TokenFetch<'_> {
    /// Returns the token that another process has stored, or requests one with the stored refresh token. The
    /// store is locked meanwhile: a refresh token that is used twice is taken for a stolen one (RFC 9700
    /// §4.14.2). So nothing is requested without the lock, and a new refresh token is stored before it is
    /// used.
    pub(super) fn refresh_stored(
        &self,
        persistence: &Persistence,
        tokens: &RefreshTokens,
        demand: &Demand<'_>,
        deadline: Deadline,
    ) -> Result<Fetched, FetchFailure> {
        let store_failed = |error: Error| FetchFailure::not_sent(error.while_doing(self.action()));
        let turn = self.take_turn(tokens, deadline)?;
        let mut locked = persistence.lock_for(demand, deadline).map_err(store_failed)?;
        let stored = persistence.refresh_token(&locked, || self.action())?;
        match tokens.unsaved() {
            None => drop(turn.adopt(stored)),
            // What is in memory is newer than what is stored.
            Some((token, refresh_token)) => {
                let changes = Changes { token: Some(token), refresh_token: Some(refresh_token) };
                persistence.save(&mut locked, self.prover, changes).map_err(store_failed)?;
                turn.set_unsaved(None);
            }
        }
        if let Some(token) = persistence.token_of_others(&locked, self.parameters_digest, self.prover, demand)
        {
            return Ok(Fetched::Stored(token));
        }
        let mut sent = demand.now();
        let mut outcome = self.send_refresh(&turn, deadline);
        // Somebody may have replaced the stored session without the lock.
        if outcome.as_ref().is_err_and(|failure| is_refused(&failure.error))
            && persistence.reload(&mut locked).is_ok()
            && let Ok(Some(stored)) = persistence.refresh_token(&locked, || self.action())
            && turn.adopt(Some(stored))
        {
            sent = demand.now();
            outcome = self.send_refresh(&turn, deadline);
        }
        let response = match outcome {
            Ok(response) => Arc::new(response),
            Err(failure) => {
                let failure = turn.failed_request(failure);
                if *failure.error.kind() == ErrorKind::SessionEnded {
                    // No process is to send it again.
                    let changes =
                        Changes { refresh_token: Some(turn.token_to_store()), ..Changes::default() };
                    if let Err(error) = persistence.save(&mut locked, self.prover, changes) {
                        log::warn!("it was not stored that the refresh token was refused: {error}");
                    }
                }
                return Err(failure);
            }
        };
        let is_replaced = turn.succeeded(response.refresh_token());
        let token = StoredToken { parameters: self.parameters_digest, response: Arc::clone(&response) };
        let changes = Changes { token: Some(token.clone()), refresh_token: Some(turn.token_to_store()) };
        let unsaved = match persistence.save(&mut locked, self.prover, changes) {
            Ok(()) => None,
            Err(error) if is_replaced => {
                turn.set_unsaved(Some(token));
                let doing = "storing a new refresh token, which the session keeps in memory";
                Some(error.while_doing(doing))
            }
            Err(error) => {
                log::warn!("a token was not stored, and the session continues with it: {error}");
                None
            }
        };
        Ok(Fetched::Issued { response, sent, unsaved })
    }
}

fn is_refused(error: &Error) -> bool {
    error.oauth().is_some_and(|oauth| oauth.error() == "invalid_grant")
}
