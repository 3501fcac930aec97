//! Calls that another HTTP client sends.

use std::sync::{Arc, Weak};

use http::request::Parts;
use http::{HeaderMap, StatusCode, header};

use super::call::{Call, check_host};
use super::{Core, Session};
use crate::dpop::header_names::DPOP;
use crate::error::Error;
use crate::oauth::response_facts::ResponseFacts;
use crate::oauth::step::Step;

/// The state of a call between [`Session::authorize`] and [`Session::receive`], in the extensions of its
/// request.
#[derive(Clone)]
struct Attempt {
    /// The session it belongs to.
    session: Weak<Core>,
    parameters_digest: [u8; 32],
    /// The URL as the request has it.
    url: String,
    call: Call,
    /// Whether the call is to be sent once more.
    retry: bool,
}

impl Attempt {
    fn belongs_to(&self, session: &Session) -> bool {
        std::ptr::eq(self.session.as_ptr(), Arc::as_ptr(&session.core))
            && self.parameters_digest == session.parameters_digest
    }
}

impl Session {
    /// Sets the token and a new proof in the head of a request that another HTTP client sends. Send the
    /// request once, and pass the response to [`receive`](Self::receive).
    ///
    /// ```no_run
    /// use possession::Step;
    ///
    /// # use http::request::Parts;
    /// # fn send(_: &Parts) -> http::Response<Vec<u8>> { http::Response::default() }
    /// # fn call(session: &possession::Session) -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut request, ()) = http::Request::get("https://api.example.com/orders").body(())?.into_parts();
    /// let response = loop {
    ///     session.authorize(&mut request)?;
    ///     let response = send(&request);
    ///     let (status, body) = (response.status(), Some(&response.body()[..]));
    ///     match session.receive(&mut request, status, response.headers(), body)? {
    ///         Step::Retry => continue,
    ///         Step::Done(()) => break response,
    ///     }
    /// };
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`access_token`](Self::access_token); [`Url`](crate::ErrorKind::Url) if the URL is not https,
    /// can be read in two ways, or does not belong to an origin that the session may call;
    /// [`Parameter`](crate::ErrorKind::Parameter) for a `Host` that differs from the URL.
    pub fn authorize(&self, request: &mut Parts) -> Result<(), Error> {
        let url = request.uri.to_string();
        // If this fails, the credentials of the last attempt must not be sent again.
        request.headers.remove(header::AUTHORIZATION);
        request.headers.remove(DPOP);
        check_host(&request.uri, &request.headers)?;
        let attempt = request.extensions.remove::<Attempt>();
        // Only an attempt that `receive` wants retried continues, and never one of another session.
        let continues = |attempt: &Attempt| {
            let same_request = attempt.call.target.method == request.method && attempt.url == url;
            attempt.retry && attempt.belongs_to(self) && same_request
        };
        let mut call = match attempt.filter(continues) {
            Some(attempt) => attempt.call,
            None => {
                let proof_target = request.extensions.get().cloned();
                self.begin_call(request.method.clone(), &url, proof_target)?
            }
        };
        if let Some((token, _)) = &call.authorized
            && !self.core.tokens.slot(&self.cache_key(&token.prover)).holds(token)
        {
            call.authorized = None;
        }
        self.authorize_call(&mut call, &mut request.headers, self.new_deadline())?;
        let (session, parameters_digest) = (Arc::downgrade(&self.core), self.parameters_digest);
        request.extensions.insert(Attempt { session, parameters_digest, url, call, retry: false });
        Ok(())
    }

    /// Processes the response to a request that [`authorize`](Self::authorize) prepared. [`Step::Retry`]
    /// says that the request is to be authorized and sent once more. The body matters for servers that name
    /// their error in JSON instead of the header: without it, a 401 whose header names no error refuses the
    /// token. [`Step::Done`] says only that there is nothing to retry, not that the call succeeded: check
    /// the status.
    ///
    /// # Errors
    /// [`Algorithm`](crate::ErrorKind::Algorithm) if the resource accepts only proofs by other algorithms
    /// than the key's.
    pub fn receive(
        &self,
        request: &mut Parts,
        status: StatusCode,
        headers: &HeaderMap,
        body: Option<&[u8]>,
    ) -> Result<Step<()>, Error> {
        let attempt = request.extensions.remove::<Attempt>().filter(|attempt| attempt.belongs_to(self));
        let Some(mut attempt) = attempt else {
            return Ok(Step::Done(()));
        };
        if self
            .receive_response(&mut attempt.call, &ResponseFacts::from_resource(status, headers, body))?
            .is_none()
        {
            return Ok(Step::Done(()));
        }
        self.core.issuer.counters.retries.add();
        attempt.retry = true;
        request.extensions.insert(attempt);
        Ok(Step::Retry)
    }
}
