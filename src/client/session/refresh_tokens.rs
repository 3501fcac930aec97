//! The refresh token of a session, which a server may replace with each use.

use std::sync::PoisonError;

use zeroize::Zeroizing;

use super::deadline::Deadline;
use super::token_cache::FetchFailure;
use crate::client::session_store::stored_session::StoredToken;
use crate::error::{Error, ErrorKind};
use crate::sync::{self, Condvar, Mutex, MutexGuard};
use crate::time::Clock;

/// The refresh token that is used next. One thread at a time uses it, whatever access token it is for: a
/// server that replaces refresh tokens takes a second use for theft, and revokes all of them (RFC 9700
/// §4.14.2).
///
/// A thread holds its turn during the request, and no lock.
pub(super) struct RefreshTokens {
    state: Mutex<State>,
    turn_ended: Condvar,
}

struct State {
    token: Option<Zeroizing<String>>,
    in_use: bool,
    /// Whether the response to a request with this token was lost, so that the server may have replaced it.
    uncertain: bool,
    /// Why the token is not used any more.
    refused: Option<Error>,
    /// The access token that the refresh token came with, if both could not be stored. They must be before
    /// the refresh token is used.
    unsaved: Option<StoredToken>,
}

/// The right to use the refresh token.
pub(super) struct Turn<'a> {
    tokens: &'a RefreshTokens,
}

impl RefreshTokens {
    pub(super) fn new(token: Option<Zeroizing<String>>) -> Self {
        let state = State { token, in_use: false, uncertain: false, refused: None, unsaved: None };
        Self { state: Mutex::new(state), turn_ended: Condvar::new() }
    }

    /// Waits until no other thread uses the refresh token.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout) when they do not end in time.
    pub(super) fn take_turn(
        &self,
        deadline: Deadline,
        clock: &dyn Clock,
        doing: impl Fn() -> String,
    ) -> Result<Turn<'_>, Error> {
        let remaining = deadline.remaining(clock);
        let waited = self.turn_ended.wait_timeout_while(self.lock(), remaining, |state| state.in_use);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && state.in_use {
            drop(state);
            return Err(deadline.exceeded(doing()));
        }
        state.in_use = true;
        Ok(Turn { tokens: self })
    }

    /// Returns what could not be stored: the access token, and the refresh token that came with it.
    pub(super) fn unsaved(&self) -> Option<(StoredToken, Option<Zeroizing<String>>)> {
        let state = self.lock();
        state.unsaved.clone().map(|unsaved| (unsaved, state.token.clone()))
    }

    /// Removes the token and returns it.
    pub(super) fn take(&self) -> Option<Zeroizing<String>> {
        self.lock().token.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        sync::lock(&self.state)
    }
}

impl Turn<'_> {
    /// Returns the refresh token to use.
    ///
    /// # Errors
    /// [`SessionEnded`](ErrorKind::SessionEnded) when there is none or the server has refused it.
    pub(super) fn token(&self, doing: impl FnOnce() -> String) -> Result<Zeroizing<String>, Error> {
        let (token, refused) = {
            let state = self.tokens.lock();
            (state.token.clone(), state.refused.clone())
        };
        refused.map_or(Ok(()), Err)?;
        token.ok_or_else(|| {
            let wrong = "there is no refresh token, and the access token has expired (sign in again)";
            Error::new(ErrorKind::SessionEnded, doing(), wrong)
        })
    }

    /// Returns the refresh token to store: none if the server has refused it.
    pub(super) fn token_to_store(&self) -> Option<Zeroizing<String>> {
        let state = self.tokens.lock();
        state.token.clone().filter(|_| state.refused.is_none())
    }

    /// Takes the refresh token that another process has stored. Returns whether it is another one.
    pub(super) fn adopt(&self, stored: Option<&Zeroizing<String>>) -> bool {
        let mut state = self.tokens.lock();
        if state.token.as_ref() == stored || stored.is_none() && state.refused.is_some() {
            return false;
        }
        state.uncertain = false;
        let replaced = (state.refused.take(), std::mem::replace(&mut state.token, stored.cloned()));
        drop(state);
        drop(replaced);
        true
    }

    /// Records that the server responded with tokens: the new refresh token, if there is one, replaces the
    /// old one (RFC 6749 §6). Returns whether it is another one.
    pub(super) fn succeeded(&self, new: Option<&str>) -> bool {
        let new = new.map(|token| Zeroizing::new(token.to_owned()));
        let mut state = self.tokens.lock();
        state.uncertain = false;
        let is_replaced = new.is_some() && new != state.token;
        let replaced = new.and_then(|new| state.token.replace(new));
        drop(state);
        drop(replaced);
        is_replaced
    }

    /// Records that the refresh token and the access token that came with it could not be stored, or that
    /// they are.
    pub(super) fn set_unsaved(&self, unsaved: Option<StoredToken>) {
        let replaced = std::mem::replace(&mut self.tokens.lock().unsaved, unsaved);
        drop(replaced);
    }

    /// Takes the failure of a request and returns the one to report: a refused refresh token ends the
    /// session, and a request that may have used it up is not repeated.
    pub(super) fn failed_request(&self, failure: FetchFailure) -> FetchFailure {
        let may_repeat = !may_have_been_used(&failure.error);
        FetchFailure { error: self.failed(failure.error), may_repeat, ..failure }
    }

    fn failed(&self, error: Error) -> Error {
        let is_refused = error.oauth().is_some_and(|oauth| oauth.error() == "invalid_grant");
        let mut state = self.tokens.lock();
        if !is_refused {
            state.uncertain |= may_have_been_used(&error);
            return error;
        }
        let wrong = match state.uncertain {
            false => "the server refused the refresh token (sign in again)",
            true => {
                "the server refused the refresh token, which it has probably replaced in an earlier response that \
                 was lost (sign in again)"
            }
        };
        drop(state);
        let ended = Error::new(ErrorKind::SessionEnded, error.to_string(), wrong).with_source(error);
        let mut state = self.tokens.lock();
        let replaced = state.refused.replace(ended.clone());
        drop(state);
        drop(replaced);
        ended
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.tokens.lock().in_use = false;
        self.tokens.turn_ended.notify_one();
    }
}

/// Returns whether the server may have replaced a refresh token although the request failed: there was no
/// response, or one that need not come from the server itself, or a success that cannot be used.
fn may_have_been_used(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Transport
        | ErrorKind::Timeout
        | ErrorKind::TooLarge { .. }
        | ErrorKind::TokenType { .. }
        | ErrorKind::Content { .. } => true,
        // With 425, 429 and 503 a server says that it has not acted. Any other failure may be that of a
        // gateway whose server has.
        _ => error.is_transient() && error.status().is_some_and(|status| !matches!(status, 425 | 429 | 503)),
    }
}
