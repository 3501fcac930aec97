//! One call of a resource, however often it is sent.

use http::{HeaderMap, Method, StatusCode, header};

use super::Session;
use super::deadline::Deadline;
use super::token_cache::CachedToken;
use crate::client::proofs::proof_target::ProofTarget;
use crate::client::request_target::RequestTarget;
use crate::client::resource_request::ResourceRequest;
use crate::error::{Error, ErrorKind};
use crate::oauth::response_facts::ResponseFacts;
use crate::oauth::step::Step;
use crate::url;

/// One call is not sent more often than this, however the server responds.
const MAX_SENT: u32 = 3;

/// A call and what it needs to be sent once more.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) target: RequestTarget,
    /// The URL as ureq takes it.
    #[cfg(feature = "ureq")]
    pub(super) uri: http::Uri,
    /// The token in use and the request that makes its proofs.
    pub(super) authorized: Option<(CachedToken, ResourceRequest)>,
    /// The request with the token that was refused.
    refused: Option<ResourceRequest>,
    renewed: bool,
    sent: u32,
}

/// Why a call is sent once more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryReason {
    /// The server wants another proof: with a nonce, or dated by its clock.
    Proof,
    /// The server refused the token.
    Token,
}

impl Session {
    /// Refuses what can be refused before a token is fetched.
    pub(super) fn begin_call(
        &self,
        method: Method,
        url: &str,
        proof_target: Option<ProofTarget>,
    ) -> Result<Call, Error> {
        let core = &*self.core;
        if method == Method::CONNECT {
            let wrong = "a proof cannot be made for CONNECT";
            return Err(Error::new(ErrorKind::Parameter, "calling a resource", wrong));
        }
        let target = RequestTarget::from_resource_url(&core.issuer.server, method, url)?;
        // Also without ureq: a URL that no HTTP client takes is refused now.
        let uri = target.uri()?;
        if !core.may_call(&target.url) {
            let wrong = "its origin is not one of the `resource_origins` of this session";
            return Err(url::refused(ErrorKind::Url, "resource URL", url, wrong));
        }
        core.issuer.counters.calls.add();
        #[cfg(not(feature = "ureq"))]
        drop(uri);
        Ok(Call {
            target: target.with_proof_target(proof_target),
            #[cfg(feature = "ureq")]
            uri,
            authorized: None,
            refused: None,
            renewed: false,
            sent: 0,
        })
    }

    /// Sets the token and a new proof in the headers.
    pub(super) fn authorize_call(
        &self,
        call: &mut Call,
        headers: &mut HeaderMap,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let core = &*self.core;
        let (_, request) = match &mut call.authorized {
            Some(authorized) => authorized,
            none => {
                let token = self.valid_token(deadline)?;
                let (typed_token, target) = (token.response.typed_token().clone(), call.target.clone());
                let server = &core.issuer.server;
                let request = ResourceRequest::from_token(server, &token.prover, typed_token, target)?;
                // What was learned about the server holds with another token, and each retry is made once.
                let request = match call.refused.take() {
                    Some(refused) => request.after(refused),
                    None => request,
                };
                none.insert((token, request))
            }
        };
        call.sent = call.sent.saturating_add(1);
        request.authorize(headers, core.issuer.clock.now())
    }

    /// Processes a response and decides whether, and why, the call is sent once more.
    pub(super) fn receive_response(
        &self,
        call: &mut Call,
        facts: &ResponseFacts<'_>,
    ) -> Result<Option<RetryReason>, Error> {
        let core = &*self.core;
        let Some((token, request)) = &mut call.authorized else {
            return Ok(None);
        };
        let step = request.receive_facts(facts, core.issuer.clock.now())?;
        if step == Step::Retry && call.sent < MAX_SENT {
            return Ok(Some(RetryReason::Proof));
        }
        let (key, origin) = (self.cache_key(&token.prover), call.target.url.origin());
        if !facts.refuses_token() {
            if accepts_token(facts.status()) {
                core.tokens.record_accepted(&key, token, origin);
            }
            return Ok(None);
        }
        // A token that was fetched for this very call is kept: other resources may accept it.
        if call.renewed {
            core.tokens.record_refused(&key, token, origin);
            return Ok(None);
        }
        if let Some(pause) = core.tokens.replace_refused(&key, token, origin) {
            let (calling, seconds) = (call.target.calling(), pause.as_secs_f64());
            log::info!(
                "{calling}: the token was refused, and so was another one: it is kept for {seconds:.1} s"
            );
            return Ok(None);
        }
        if call.sent >= MAX_SENT {
            log::info!("{}: the token was refused, the next call has a new one", call.target.calling());
            return Ok(None);
        }
        log::info!("{}: the token was refused, retrying with a new one", call.target.calling());
        call.refused = call.authorized.take().map(|(_, request)| request);
        call.renewed = true;
        Ok(Some(RetryReason::Token))
    }
}

impl Call {
    /// Returns whether the call may be sent once more.
    #[cfg(feature = "ureq")]
    pub(super) fn may_be_sent(&self) -> bool {
        self.sent < MAX_SENT
    }

    /// Keeps what a call has learned that cannot be retried, so that the caller's next one succeeds.
    #[cfg(feature = "ureq")]
    pub(super) fn keep_corrections(&self) {
        let in_use = self.authorized.as_ref().map(|(_, request)| request);
        if let Some(request) = in_use.or(self.refused.as_ref()) {
            request.keep_corrections();
        }
    }
}

/// Returns whether a status shows that the server accepted the token. An overloaded or failing server, or
/// its gateway, may not have looked at it.
fn accepts_token(status: StatusCode) -> bool {
    let no_sign = [StatusCode::UNAUTHORIZED, StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    !status.is_server_error() && !no_sign.contains(&status)
}

/// Refuses a `Host` that differs from the URL: the server would see another origin than the proof names.
pub(super) fn check_host(uri: &http::Uri, headers: &HeaderMap) -> Result<(), Error> {
    let own = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let mut hosts = headers.get_all(header::HOST).iter();
    match hosts.all(|host| own.as_bytes().eq_ignore_ascii_case(host.as_bytes())) {
        true => Ok(()),
        false => {
            let wrong = "the header `host` is not that of the URL";
            Err(Error::new(ErrorKind::Parameter, "calling a resource", wrong))
        }
    }
}
