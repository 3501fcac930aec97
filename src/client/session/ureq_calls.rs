//! Calls that a session sends over ureq.

use std::io::{Cursor, Read};

use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, header};

use super::Session;
use super::body::{Body, Payload};
use super::call::{Call, RetryReason};
use super::expect_continue::Expectation;
use super::overload::Overload;
use crate::client::grants::token_response::TokenType;
use crate::client::proofs::proof_target::ProofTarget;
use crate::client::transport::Limits;
use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::oauth::response_facts::ResponseFacts;

/// The rest of a refusal is read up to this size, so that its connection can be used again.
const MAX_DRAINED: u64 = 16 * 1024;
/// The largest body that is searched for an error code.
const MAX_ERROR_BODY: u64 = 64 * 1024;

impl Session {
    /// Gets a resource.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn get(&self, url: &str) -> Result<Response<ureq::Body>, Error> {
        self.send(Outgoing::new(Method::GET, url))
    }

    /// Gets the headers of a resource.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn head(&self, url: &str) -> Result<Response<ureq::Body>, Error> {
        self.send(Outgoing::new(Method::HEAD, url))
    }

    /// Deletes a resource.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn delete(&self, url: &str) -> Result<Response<ureq::Body>, Error> {
        self.send(Outgoing::new(Method::DELETE, url))
    }

    /// Posts a body of that media type to a resource.
    ///
    /// # Errors
    /// Those of [`run`](Self::run); [`Parameter`](ErrorKind::Parameter) if `content_type` cannot be a header
    /// value.
    pub fn post(
        &self,
        url: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> Result<Response<ureq::Body>, Error> {
        self.send(Outgoing::new(Method::POST, url).with_body(content_type, &mut body.into())?)
    }

    /// Puts a body of that media type to a resource.
    ///
    /// # Errors
    /// Those of [`post`](Self::post).
    pub fn put(
        &self,
        url: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> Result<Response<ureq::Body>, Error> {
        self.send(Outgoing::new(Method::PUT, url).with_body(content_type, &mut body.into())?)
    }

    /// Patches a resource with a body of that media type.
    ///
    /// # Errors
    /// Those of [`post`](Self::post).
    pub fn patch(
        &self,
        url: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> Result<Response<ureq::Body>, Error> {
        self.send(Outgoing::new(Method::PATCH, url).with_body(content_type, &mut body.into())?)
    }

    /// Sends any request with the token and a proof (RFC 9449 §7), and retries it as [described
    /// above](Self#what-it-does-by-itself). Whatever else the resource responds is returned as a response.
    /// A [`Body`] of bytes, a file or a reopenable stream can be sent again; another stream cannot, and the
    /// error says so. While no nonce of the server is known, files and streams are sent with `Expect:
    /// 100-continue`. A [`ProofTarget`] in the request's extensions names another method and URL in the
    /// proof.
    ///
    /// # Errors
    /// Those of [`access_token`](Self::access_token); [`Url`](ErrorKind::Url) if the URL is not https, can be
    /// read in two ways, or does not belong to an origin that the session may call;
    /// [`Parameter`](ErrorKind::Parameter) if the request has a header that the session sets
    /// (`Authorization`, `DPoP`) or the HTTP client (`Host`, `Content-Length` …);
    /// [`BodySent`](ErrorKind::BodySent) for a stream that would have to be sent again;
    /// [`Algorithm`](ErrorKind::Algorithm) if the resource accepts only proofs by other algorithms;
    /// [`Transport`](ErrorKind::Transport) and [`Timeout`](ErrorKind::Timeout).
    pub fn run(&self, request: Request<impl Into<Body>>) -> Result<Response<ureq::Body>, Error> {
        let (parts, body) = request.into_parts();
        let (url, mut body) = (parts.uri.to_string(), body.into());
        let proof_target = parts.extensions.get().cloned();
        let outgoing = Outgoing::new(parts.method, &url);
        self.send(Outgoing { headers: parts.headers, body: body.payload(), proof_target, ..outgoing })
    }

    pub(super) fn send(&self, outgoing: Outgoing<'_>) -> Result<Response<ureq::Body>, Error> {
        let core = &*self.core;
        let (clock, counters) = (&*core.issuer.clock, &core.issuer.counters);
        refuse_reserved_headers(&outgoing.headers)?;
        let Outgoing { method, url, headers, mut body, proof_target, agent } = outgoing;
        let mut call = self.begin_call(method, url, proof_target)?;
        let deadline = self.new_deadline();
        let mut reconnected = false;
        let mut overload = core.retry_when_overloaded.then(|| Overload::new(&call));
        loop {
            let mut request = Request::new(());
            *request.method_mut() = call.target.method.clone();
            *request.uri_mut() = call.uri.clone();
            *request.headers_mut() = headers.clone();
            self.authorize_call(&mut call, request.headers_mut(), deadline)?;
            let limits = match &agent {
                Some((agent, extensions)) => {
                    *request.extensions_mut() = extensions.clone();
                    Limits::Of(agent)
                }
                None => Limits::Within(deadline.remaining(clock)),
            };
            let mut expectation = (body.is_stream()
                && !headers.contains_key(header::EXPECT)
                && self.may_be_refused_for_its_nonce(&call))
            .then(|| Expectation::new(clock));
            let result = body.send(request, &core.transport, limits, expectation.as_mut());
            let in_vain = expectation.is_some_and(|expectation| {
                expectation.was_in_vain(result.as_ref().map(Response::status).map_err(Error::kind))
            });
            if in_vain {
                core.no_expect_continue.insert(call.target.url.origin());
            }
            let response = match result {
                Ok(response) => response,
                Err(error) => {
                    let retry = error.is_lost_connection()
                        && call.may_be_sent()
                        && call.target.method.is_idempotent()
                        && body.is_whole();
                    if retry && !std::mem::replace(&mut reconnected, true) {
                        log::debug!(
                            "{}: the connection was lost, retrying on another one",
                            call.target.calling()
                        );
                        counters.retries.add();
                        continue;
                    }
                    counters.failures.add();
                    return Err(error.while_doing(call.target.calling()));
                }
            };
            let (parts, response_body) = response.into_parts();
            let mut facts = ResponseFacts::from_resource(parts.status, &parts.headers, None);
            let response_body = read_error_body(&mut facts, response_body);
            match self.receive_response(&mut call, &facts)? {
                Some(reason) if !body.is_whole() => {
                    counters.failures.add();
                    call.keep_corrections();
                    return Err(body_sent(&call, parts.status, reason));
                }
                Some(_) => {
                    counters.retries.add();
                    drain(response_body);
                }
                // Without the field, which is not the caller's (RFC 9110 §10.1.1).
                None if in_vain
                    && parts.status == StatusCode::EXPECTATION_FAILED
                    && body.is_whole()
                    && call.may_be_sent() =>
                {
                    log::debug!("{}: retrying without Expect: 100-continue", call.target.calling());
                    counters.retries.add();
                    drain(response_body);
                }
                None => {
                    let repetition = overload.as_mut().filter(|_| body.is_whole()).and_then(|overload| {
                        overload.repetition(parts.status, &parts.headers, clock, deadline)
                    });
                    let Some((pause, again)) = repetition else {
                        return Ok(Response::from_parts(parts, response_body));
                    };
                    counters.retries.add();
                    drain(response_body);
                    clock.sleep(pause);
                    call = again;
                }
            }
        }
    }

    /// Whether a server that requires a nonce would refuse the call: no nonce of the server is known. It is
    /// not asked to say so before the body is sent if it does not support that.
    fn may_be_refused_for_its_nonce(&self, call: &Call) -> bool {
        let origin = call.target.url.origin();
        let is_unknown = call.authorized.as_ref().is_some_and(|(token, _)| {
            token.response.token_type() == TokenType::Dpop
                && token.prover.nonce(ServerRole::ResourceServer, origin).is_none()
        });
        is_unknown && !self.core.no_expect_continue.contains(origin)
    }
}

/// A request to be sent.
pub(super) struct Outgoing<'a> {
    pub(super) method: Method,
    pub(super) url: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: Payload<'a>,
    pub(super) proof_target: Option<ProofTarget>,
    /// For a request of a ureq agent: the agent whose configuration applies, and the request's own
    /// extensions.
    pub(super) agent: Option<(&'a ureq::Agent, Extensions)>,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(method: Method, url: &'a str) -> Self {
        let (headers, body) = (HeaderMap::new(), Payload::Bytes(&[]));
        Self { method, url, headers, body, proof_target: None, agent: None }
    }

    fn with_body(mut self, content_type: &str, body: &'a mut Body) -> Result<Self, Error> {
        let content_type = content_type.parse().map_err(|_| {
            Error::new(ErrorKind::Parameter, "calling a resource", "the content type is not a header value")
        })?;
        self.headers.insert(header::CONTENT_TYPE, content_type);
        Ok(Self { body: body.payload(), ..self })
    }
}

/// Refuses headers that would make the server see another request than the proof names, or a second
/// credential.
fn refuse_reserved_headers(headers: &HeaderMap) -> Result<(), Error> {
    let refuse = |wrong: String| Err(Error::new(ErrorKind::Parameter, "calling a resource", wrong));
    for name in ["authorization", "dpop"] {
        if headers.contains_key(name) {
            return refuse(format!(
                "the request has a header `{name}`, which the session sets (leave it out)"
            ));
        }
    }
    let set_by_client =
        ["host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "proxy-authorization"];
    match set_by_client.into_iter().find(|name| headers.contains_key(*name)) {
        Some(name) => refuse(format!("the header `{name}` is set by the HTTP client alone")),
        None => Ok(()),
    }
}

/// Reads the start of the body if only the body can name the error of a refusal, and returns the whole body
/// for the caller.
fn read_error_body(facts: &mut ResponseFacts<'_>, body: ureq::Body) -> ureq::Body {
    let is_short = body.content_length().is_some_and(|length| length <= MAX_DRAINED);
    if !facts.needs_body(is_short) {
        return body;
    }
    let mut reader = body.into_reader();
    let mut start = Vec::new();
    let result = reader.by_ref().take(MAX_ERROR_BODY).read_to_end(&mut start);
    match result {
        Ok(_) => {
            facts.read_body(&start);
            ureq::Body::builder().reader(Cursor::new(start).chain(reader))
        }
        // Status and headers are complete; who reads the body meets the error where it occurred.
        Err(error) => {
            facts.read_broken_body(&start);
            ureq::Body::builder().reader(Cursor::new(start).chain(BrokenOff(Some(error))))
        }
    }
}

/// The rest of a body whose connection broke.
struct BrokenOff(Option<std::io::Error>);

impl Read for BrokenOff {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

fn body_sent(call: &Call, status: StatusCode, reason: RetryReason) -> Error {
    let (wants, known) = match reason {
        RetryReason::Proof => ("another proof", "what the server asks for is known now"),
        RetryReason::Token => ("another token", "the refused one is discarded"),
    };
    let wrong = format!(
        "the server responded with {} and wants {wants}, but the body is a stream that was already sent: call again with a \
         new one ({known}), or pass the body as bytes, as a file or by `Body::reopenable`",
        status.as_u16()
    );
    Error::new(ErrorKind::BodySent { status: status.as_u16() }, call.target.calling(), wrong)
}

/// Reads a short body to its end, which returns the connection to the pool. A long one, or one of unknown
/// length, costs more than a new connection.
fn drain(body: ureq::Body) {
    if body.content_length().is_none_or(|length| length > MAX_DRAINED) {
        return;
    }
    if let Err(error) = body.into_with_config().limit(MAX_DRAINED).read_to_vec() {
        log::debug!("reading the rest of a refusal: {error}");
    }
}
