//! A ureq agent whose requests carry the token and proofs.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use http::{Request, Response, Uri};
use ureq::SendBody;
use ureq::config::{Config, ConfigBuilder};
use ureq::middleware::{Middleware, MiddlewareNext};
use ureq::typestate::AgentScope;

use super::Session;
use super::body::Payload;
use super::ureq_calls::Outgoing;

use crate::client::request_target::RequestTarget;
use crate::client::transport::{LONGEST_TIMEOUT, unusable, unusable_field};
use crate::error::{Error, ErrorKind};
use crate::url::Url;

/// A body up to this size is kept to be sent again; a longer one is a stream.
const MAX_KEPT_BODY: u64 = 1024 * 1024;

impl Session {
    /// Returns a ureq agent, for programs that use ureq already. Each of its requests to the
    /// [`resource_origins`](crate::SessionBuilder::resource_origins) carries the token and a proof and is
    /// retried as by [`run`](Self::run); requests to other origins carry neither. It has the transport's
    /// certificates, proxy and timeout.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = possession::Session::builder("https://as.example.com", "my-client");
    /// let session = builder.resource_origins(["https://api.example.com"]).discover()?;
    /// let agent = session.agent()?;
    /// let orders = agent.get("https://api.example.com/orders").call()?.body_mut().read_to_string()?;
    /// # Ok(()) }
    /// ```
    ///
    /// Its behaviour in detail:
    ///
    /// - Error statuses are errors, which is ureq's default; [`agent_with`](Self::agent_with) changes that
    ///   for the agent. The setting `http_status_as_error` of a single request has no effect.
    /// - A redirect of such an origin is returned as a response and not followed: a proof is for one URL.
    /// - A body of up to 1 MiB is kept and can be sent again. A longer one is a stream: it is sent in chunks
    ///   unless the request has a `Content-Length`, and it is an error if it would have to be sent again.
    /// - A request to such an origin that already has `Authorization` or `DPoP` is an error.
    /// - Errors of the session are [`ureq::Error::Other`] around an [`Error`](crate::Error).
    /// - A timeout applies to each request that is sent, and the session's deadline to the token.
    ///
    /// # Errors
    /// [`Parameter`](ErrorKind::Parameter) if the session has no `resource_origins`: every server the agent
    /// talks to would receive the token.
    pub fn agent(&self) -> Result<ureq::Agent, Error> {
        self.agent_with(|config| config)
    }

    /// Returns such an agent with further ureq settings. Middleware added here runs before the token is
    /// added.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let session = possession::Session::builder("https://as.example.com", "my-client").discover()?;
    /// let agent = session.agent_with(|config| config.http_status_as_error(false).user_agent("orders/1.0"))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`agent`](Self::agent), and [`Parameter`](ErrorKind::Parameter) for a `User-Agent`,
    /// `Accept` or `Accept-Encoding` that is not a header value.
    pub fn agent_with(
        &self,
        set: impl FnOnce(ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope>,
    ) -> Result<ureq::Agent, Error> {
        if self.core.resource_origins.is_none() {
            let wrong = "the session has no `resource_origins` (name the origins whose requests are to carry the token)";
            return Err(Error::new(ErrorKind::Parameter, "making a ureq agent", wrong));
        }
        let transport = &self.core.transport;
        let settings_agent = Arc::new(OnceLock::new());
        let middleware =
            DpopMiddleware { session: self.clone(), settings_agent: Arc::clone(&settings_agent) };
        let config = copy(transport.config()).timeout_global(Some(transport.timeout()));
        let config = set(config).middleware(middleware).build();
        if let Some(name) = unusable_field(&config) {
            return Err(unusable(name, "making a ureq agent"));
        }
        let agent = config.new_agent();
        // Its settings without its middleware, for the requests that are sent over the transport's agent.
        let timeout = agent.config().timeouts().global.map(|timeout| timeout.min(LONGEST_TIMEOUT));
        let plain = copy(agent.config()).timeout_global(timeout).build().new_agent();
        // It is empty: nothing else has a reference to it yet.
        let _ = settings_agent.set(plain);
        Ok(agent)
    }
}

struct DpopMiddleware {
    session: Session,
    settings_agent: Arc<OnceLock<ureq::Agent>>,
}

impl Middleware for DpopMiddleware {
    fn handle(
        &self,
        request: Request<SendBody>,
        next: MiddlewareNext,
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        let url = request.uri().to_string();
        // Decided by the origin alone: a URL of such an origin that no proof can name is an error, not a
        // plain request.
        let is_here = origin(request.uri()).is_some_and(|origin| self.session.core.may_call(&origin));
        let Some(settings_agent) = self.settings_agent.get().filter(|_| is_here) else {
            return next.handle(request);
        };
        let (parts, body) = request.into_parts();
        let proof_target = parts.extensions.get().cloned();
        // `next` can send the request once; the transport's agent can retry, with the same settings.
        let outgoing = Outgoing {
            headers: parts.headers,
            proof_target,
            agent: Some((settings_agent, parts.extensions)),
            ..Outgoing::new(parts.method, &url)
        };
        let response = send(&self.session, outgoing, body).map_err(into_ureq)?;
        let status = response.status();
        if settings_agent.config().http_status_as_error()
            && (status.is_client_error() || status.is_server_error())
        {
            return Err(ureq::Error::StatusCode(status.as_u16()));
        }
        Ok(response)
    }
}

/// The scheme, host and port of a URL, whatever else it contains.
fn origin(uri: &Uri) -> Option<Url> {
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    Url::origin_alone(&format!("{}://{}{port}", uri.scheme_str()?, uri.host()?)).ok()
}

/// Sends a request of the agent. ureq does not tell what a body consists of, so its start is read: a body
/// that ends there can be sent again.
fn send(
    session: &Session,
    mut outgoing: Outgoing<'_>,
    body: SendBody,
) -> Result<Response<ureq::Body>, Error> {
    // Checked before the body is read. Only the checked URL is shown in errors.
    let server = &session.core.issuer.server;
    let target = RequestTarget::from_resource_url(server, outgoing.method.clone(), outgoing.url)?;
    let mut reader = body.into_reader();
    let mut start = Vec::new();
    reader.by_ref().take(MAX_KEPT_BODY.saturating_add(1)).read_to_end(&mut start).map_err(|error| {
        let doing = format!("{}: reading the body of the request", target.calling());
        Error::new(ErrorKind::Body, doing, error.to_string()).with_source(error)
    })?;
    let length = outgoing.headers.remove(http::header::CONTENT_LENGTH);
    outgoing.headers.remove(http::header::TRANSFER_ENCODING);
    if u64::try_from(start.len()).is_ok_and(|length| length <= MAX_KEPT_BODY) {
        return session.send(Outgoing { body: Payload::Bytes(&start), ..outgoing });
    }
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let mut whole = start.chain(reader);
    session.send(Outgoing { body: Payload::stream(&mut whole, length), ..outgoing })
}

fn into_ureq(error: Error) -> ureq::Error {
    match error.kind() {
        ErrorKind::Timeout => ureq::Error::Timeout(ureq::Timeout::Global),
        _ => ureq::Error::Other(Box::new(error)),
    }
}

/// A builder with the settings of a configuration, without its middleware. ureq has no conversion for this.
fn copy(config: &Config) -> ConfigBuilder<AgentScope> {
    let timeouts = config.timeouts();
    ureq::Agent::config_builder()
        .http_status_as_error(config.http_status_as_error())
        .https_only(config.https_only())
        .ip_family(config.ip_family())
        .tls_config(config.tls_config().clone())
        .proxy(config.proxy().cloned())
        .no_delay(config.no_delay())
        .max_redirects(config.max_redirects())
        .max_redirects_will_error(config.max_redirects_will_error())
        .redirect_auth_headers(config.redirect_auth_headers())
        .save_redirect_history(config.save_redirect_history())
        .user_agent(config.user_agent().clone())
        .accept(config.accept().clone())
        .accept_encoding(config.accept_encoding().clone())
        .timeout_global(timeouts.global)
        .timeout_per_call(timeouts.per_call)
        .timeout_resolve(timeouts.resolve)
        .timeout_connect(timeouts.connect)
        .timeout_send_request(timeouts.send_request)
        .timeout_await_100(timeouts.await_100)
        .timeout_send_body(timeouts.send_body)
        .timeout_recv_response(timeouts.recv_response)
        .timeout_recv_body(timeouts.recv_body)
        .timeout_per_read(config.timeout_per_read())
        .timeout_per_write(config.timeout_per_write())
        .max_response_header_size(config.max_response_header_size())
        .input_buffer_size(config.input_buffer_size())
        .output_buffer_size(config.output_buffer_size())
        .max_idle_connections(config.max_idle_connections())
        .max_idle_connections_per_host(config.max_idle_connections_per_host())
        .max_idle_age(config.max_idle_age())
        .allow_non_standard_methods(config.allow_non_standard_methods())
}
