//! Ending a session.

use std::sync::atomic::Ordering;

use super::Session;
use super::token_issuer::TokenGrant;
use crate::client::endpoint::Endpoint;
use crate::client::endpoint_request::EndpointRequest;
use crate::client::endpoints::revocation::process_revocation_response;
use crate::client::parameters::Parameters;
use crate::client::request_options::RequestOptions;
use crate::error::Error;

impl Session {
    /// Ends the session and all its clones: discards its tokens, and revokes them where the server has a
    /// `revocation_endpoint` (RFC 7009). Afterwards every call fails with
    /// [`SessionEnded`](crate::ErrorKind::SessionEnded). Calls that are on their way may still succeed.
    ///
    /// The refresh token is revoked first, and the access tokens even if that fails.
    ///
    /// # Errors
    /// Returns the first error of [`revocation_request`](crate::revocation_request) and
    /// [`process_revocation_response`](crate::process_revocation_response). The session has ended
    /// nevertheless, and the tokens that were not revoked live until they expire.
    pub fn end(&self) -> Result<(), Error> {
        let core = &*self.core;
        core.issuer.ended.store(true, Ordering::Release);
        let access_tokens = core.tokens.take_all();
        let refresh_token = match &core.issuer.grant {
            TokenGrant::RefreshToken(tokens) => tokens.take(),
            _ => None,
        };
        if core.issuer.server.member(Endpoint::Revocation.metadata_name()).is_none() {
            return Ok(());
        }
        let revoked = refresh_token.map_or(Ok(()), |token| self.revoke(&token, "refresh_token"));
        let revoke =
            |outcome: Result<(), Error>, token: &str| outcome.and(self.revoke(token, "access_token"));
        access_tokens.iter().fold(revoked, |outcome, token| revoke(outcome, token.response.access_token()))
    }

    fn revoke(&self, token: &str, kind: &str) -> Result<(), Error> {
        let issuer = &self.core.issuer;
        let (server, client, auth) = (&issuer.server, &issuer.client, &issuer.auth);
        let parameters = Parameters::new().parameter("token_type_hint", kind);
        let options = RequestOptions::new().prover(&self.prover());
        let mut request = EndpointRequest::revocation(server, client, auth, token, parameters, &options)?;
        let http = issuer.http_within(self.new_deadline());
        let response = request.run_with_clock(&http, &|| issuer.clock.now())?;
        process_revocation_response(server, client, response)
    }
}
