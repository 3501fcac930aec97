//! Ending a session.

use std::sync::Arc;

use super::Session;
use super::deadline::Deadline;
use super::persistence::Locked;
use super::token_issuer::TokenGrant;
use crate::client::endpoints::endpoint::Endpoint;
use crate::client::endpoints::endpoint_request::EndpointRequest;
use crate::client::endpoints::revocation::process_revocation_response;
use crate::client::grants::token_response::TokenResponse;
use crate::client::parameters::Parameters;
use crate::client::request_options::RequestOptions;
use crate::client::session_store::stored_session::StoredToken;
use crate::error::Error;
use crate::sync::atomic::Ordering;

/// What becomes of a stored session whose tokens were not revoked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unrevoked {
    Deleted,
    Kept,
}

impl Session {
    /// Ends the session and all its clones: discards its tokens, revokes them where the server has a
    /// `revocation_endpoint` (RFC 7009), and deletes what its [store](crate::SessionBuilder::store) has of
    /// it, with the key. Afterwards every call fails with [`SessionEnded`](crate::ErrorKind::SessionEnded).
    /// Calls that are on their way may still succeed. An access token that arrives meanwhile is discarded,
    /// and lives until it expires.
    ///
    /// The refresh token is revoked first, and the access tokens even if that fails. Those that other
    /// processes have stored are revoked too.
    ///
    /// # Errors
    /// Returns the first error of [`revocation_request`](crate::revocation_request) and
    /// [`process_revocation_response`](crate::process_revocation_response), or that of the store. The session
    /// has ended nevertheless; the tokens that were not revoked live until they expire, and a stored session
    /// that was not deleted is still there.
    pub fn end(&self) -> Result<(), Error> {
        self.end_with(Unrevoked::Deleted)
    }

    /// Ends the session as [`end`](Self::end) does, but if a token cannot be revoked, the session stays in
    /// its store. A session that is built again can be ended again, for example when the server can be
    /// reached.
    ///
    /// # Errors
    /// Those of [`end`](Self::end).
    pub fn end_if_revoked(&self) -> Result<(), Error> {
        self.end_with(Unrevoked::Kept)
    }

    fn end_with(&self, unrevoked: Unrevoked) -> Result<(), Error> {
        let core = &*self.core;
        core.issuer.ended.store(true, Ordering::Release);
        let deadline = self.new_deadline();
        // The store stays locked until everything is revoked.
        let locked = core.persistence.as_ref().map(|persistence| (persistence, persistence.end(deadline)));
        // A refresh that is on its way brings another refresh token, which must be revoked too. If it does
        // not end in time, the old one is revoked.
        let turn = match &core.issuer.grant {
            TokenGrant::RefreshToken(tokens) => {
                tokens.take_turn(deadline, &*core.issuer.clock, String::new).ok()
            }
            _ => None,
        };
        let mut access_tokens: Vec<_> =
            core.tokens.take_all().into_iter().map(|token| token.response).collect();
        let (mut refresh_token, is_newest) = match &core.issuer.grant {
            TokenGrant::RefreshToken(tokens) => {
                let is_newest = tokens.unsaved().is_some();
                (tokens.take(), is_newest)
            }
            _ => (None, true),
        };
        if let Some((_, Ok(Locked { stored: Some(stored), .. }))) = &locked {
            for StoredToken { response, .. } in &stored.tokens {
                if access_tokens.iter().all(|token| token.access_token() != response.access_token()) {
                    access_tokens.push(Arc::clone(response));
                }
            }
            // Another process may have replaced it.
            if !is_newest {
                refresh_token = stored.refresh_token.clone();
            }
        }
        drop(turn);
        let revoked = self.revoke_all(refresh_token.as_deref(), &access_tokens, deadline);
        if revoked.is_err() && unrevoked == Unrevoked::Kept {
            return revoked;
        }
        let deleted = locked.map_or(Ok(()), |(persistence, locked)| persistence.delete(locked?));
        revoked.and(deleted)
    }

    fn revoke_all(
        &self,
        refresh_token: Option<&String>,
        access_tokens: &[Arc<TokenResponse>],
        deadline: Deadline,
    ) -> Result<(), Error> {
        if self.core.issuer.server.member(Endpoint::Revocation.metadata_name()).is_none() {
            return Ok(());
        }
        let revoked = refresh_token.map_or(Ok(()), |token| self.revoke(token, "refresh_token", deadline));
        access_tokens.iter().fold(revoked, |outcome, token| {
            outcome.and(self.revoke(token.access_token(), "access_token", deadline))
        })
    }

    fn revoke(&self, token: &str, kind: &str, deadline: Deadline) -> Result<(), Error> {
        let issuer = &self.core.issuer;
        let (server, client, auth) = (&issuer.server, &issuer.client, &issuer.auth);
        let parameters = Parameters::new().parameter("token_type_hint", kind);
        let options = RequestOptions::new().prover(&self.prover());
        let options = if issuer.prove_revocation { options.prove_revocation() } else { options };
        let mut request = EndpointRequest::revocation(server, client, auth, token, parameters, &options)?;
        let http = issuer.http_within(deadline);
        let response = request.run_with_clock(&http, &|| issuer.clock.now())?;
        process_revocation_response(server, client, response)
    }
}
