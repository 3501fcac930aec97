//! HTTP over ureq.

#[cfg(feature = "ureq-unversioned")]
mod name_resolution;

use std::time::Duration;
use std::{fmt, io};

use http::uri::Scheme;
use http::{HeaderValue, Request, Response};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use ureq::config::{AutoHeaderValue, Config};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::error::{Error, ErrorKind, Failure};
use crate::oauth::http_client::{HttpClient, RemainingTime, RequestBody};
use crate::text::without_bom_bytes;

/// Sends requests over a [`ureq::Agent`](https://docs.rs/ureq/3/ureq/struct.Agent.html), with settings that
/// suit credentials: redirects are not followed, error statuses are responses, each request has a time
/// limit (30 seconds by default), and responses of an authorization server have a size limit (1 MiB).
/// Proxies named by the environment are not used.
///
/// Clones share the connection pool.
///
/// ```
/// use std::time::Duration;
/// use possession::Transport;
///
/// let http = Transport::builder().timeout(Duration::from_secs(10)).build();
/// ```
#[derive(Clone)]
pub struct Transport {
    agent: ureq::Agent,
    timeout: Duration,
    max_response_size: u64,
    allow_trace_log: bool,
    /// The field of the configuration that no request can carry. ureq would panic when it sends it.
    unusable_field: Option<&'static str>,
}

/// Sets up a [`Transport`].
#[derive(Clone)]
pub struct TransportBuilder {
    roots: Option<Vec<Certificate<'static>>>,
    client_certificate: Option<ClientCert>,
    proxy: Option<ureq::Proxy>,
    user_agent: String,
    timeout: Duration,
    max_response_size: u64,
}

/// ureq adds timeouts without an overflow check, so longer ones are cut to this, which has the same effect.
pub(crate) const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_RESPONSE_SIZE: u64 = 1024 * 1024;

impl Transport {
    /// Creates a transport with the defaults. It trusts the CAs of Mozilla's list (`webpki-roots`).
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts a builder with the defaults.
    #[must_use]
    pub fn builder() -> TransportBuilder {
        TransportBuilder {
            roots: None,
            client_certificate: None,
            proxy: None,
            user_agent: concat!("possession/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeout: TIMEOUT,
            max_response_size: MAX_RESPONSE_SIZE,
        }
    }

    /// Uses an agent with its own TLS settings, proxy and pool. Redirects and error statuses are still
    /// handled as described for [`Transport`]; the total timeout is the agent's, if it has one.
    #[must_use]
    pub fn from_agent(agent: ureq::Agent) -> Self {
        let timeout = agent.config().timeouts().global.unwrap_or(TIMEOUT).min(LONGEST_TIMEOUT);
        Self {
            timeout,
            max_response_size: MAX_RESPONSE_SIZE,
            allow_trace_log: false,
            unusable_field: unusable_field(agent.config()),
            agent,
        }
    }

    /// Sends requests even if the `log` crate's logger takes records of `ureq_proto` at trace level. Those
    /// contain every byte of request heads and of responses: tokens, proofs and `Basic` credentials. By
    /// default such a request is an error.
    #[must_use]
    pub fn dangerous_allow_trace_log(self) -> Self {
        Self { allow_trace_log: true, ..self }
    }

    /// The time limit of a request that names no other.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The configuration of its agent.
    pub(crate) fn config(&self) -> &Config {
        self.agent.config()
    }

    /// Sends a request and returns the response, whose body is still to be read.
    pub(crate) fn run(
        &self,
        request: Request<impl ureq::AsSendBody>,
        limits: Limits<'_>,
    ) -> Result<Response<ureq::Body>, Error> {
        if !self.allow_trace_log && log::log_enabled!(target: "ureq_proto::util", log::Level::Trace) {
            let wrong = "the logger takes records of ureq_proto at trace level, which show tokens and secrets \
                         (log this crate alone: RUST_LOG=possession=debug)";
            return Err(Error::new(ErrorKind::Configuration, "sending the request", wrong));
        }
        if let Some(name) = self.unusable_field {
            return Err(unusable(name, "sending the request"));
        }
        let https = request.uri().scheme() == Some(&Scheme::HTTPS) || self.agent.config().https_only();
        let (request, timeout) = match limits {
            Limits::Within(remaining) => {
                let timeout = self.timeout.min(remaining);
                let request = self.agent.configure_request(request).timeout_global(Some(timeout));
                (request, Some(timeout))
            }
            Limits::Of(agent) => (agent.configure_request(request), None),
        };
        let request = request
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .https_only(https)
            .allow_non_standard_methods(true)
            .build();
        self.agent.run(request).map_err(|error| transport_error(error, timeout))
    }

    /// Sends a request and reads the whole response.
    pub(crate) fn send_within(
        &self,
        request: Request<RequestBody>,
        remaining: Duration,
    ) -> Result<Response<Vec<u8>>, Error> {
        let (limits, timeout) = (Limits::Within(remaining), Some(self.timeout.min(remaining)));
        let (parts, body) = request.into_parts();
        let response = match parts.method.is_safe() && body.is_empty() {
            true => self.run(Request::from_parts(parts, ()), limits)?,
            false => self.run(Request::from_parts(parts, &*body), limits)?,
        };
        let (parts, body) = response.into_parts();
        let body = body.into_with_config().limit(self.max_response_size).read_to_vec();
        Ok(Response::from_parts(parts, body.map_err(|error| transport_error(error, timeout))?))
    }
}

/// The time limits of one request.
#[derive(Clone, Copy)]
pub(crate) enum Limits<'a> {
    /// Those of the transport, and not more than this.
    Within(Duration),
    /// Those of the request's own configuration or of this agent. The agent's connections are not used.
    Of(&'a ureq::Agent),
}

/// Returns the first field of a configuration that no request can carry.
pub(crate) fn unusable_field(config: &Config) -> Option<&'static str> {
    let fields = [
        ("user-agent", config.user_agent()),
        ("accept", config.accept()),
        ("accept-encoding", config.accept_encoding()),
    ];
    let is_unusable = |value: &AutoHeaderValue| match value {
        AutoHeaderValue::Provided(text) => {
            HeaderValue::from_str(text).map_or(true, |text| text.to_str().is_err())
        }
        _ => false,
    };
    fields.into_iter().find(|(_, value)| is_unusable(value)).map(|(name, _)| name)
}

/// The error for a field that no request can carry.
pub(crate) fn unusable(name: &str, doing: &'static str) -> Error {
    let wrong =
        format!("the configured `{name}` is not a header value (visible ASCII characters and blanks)");
    Error::new(ErrorKind::Parameter, doing, wrong)
}

pub(crate) fn transport_error(error: ureq::Error, timeout: Option<Duration>) -> Error {
    match error {
        ureq::Error::Timeout(_) => {
            let wrong = match timeout {
                Some(timeout) => format!("no complete response within {} ms", timeout.as_millis()),
                None => error.to_string(),
            };
            Error::new(ErrorKind::Timeout, "sending the request", wrong).with_source(error)
        }
        ureq::Error::BodyExceedsLimit(limit) => Error::too_large(limit).with_source(error),
        ureq::Error::Io(ref cause) if is_not_tls(cause) => {
            let wrong = "what the server sent is not TLS: does it speak plain http on this port?";
            let error = Error::new(ErrorKind::Transport, "sending the request", wrong).with_source(error);
            error.with_failure(Failure::Permanent)
        }
        ureq::Error::Io(ref cause) => {
            let failure = match cause.kind() {
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => Failure::ConnectionLost,
                // How rustls reports a certificate that it rejects.
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Failure::Permanent,
                _ => Failure::Transient,
            };
            Error::transport(error).with_failure(failure)
        }
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
            Error::transport(error).with_failure(Failure::Transient)
        }
        _ => Error::transport(error).with_failure(Failure::Permanent),
    }
}

/// Returns whether the server sent something other than a TLS record.
fn is_not_tls(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(error, Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)))
}

impl Default for Transport {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpClient for Transport {
    fn send(&self, request: Request<RequestBody>) -> Result<Response<Vec<u8>>, Error> {
        let remaining =
            request.extensions().get().map_or(Duration::MAX, |RemainingTime(remaining)| *remaining);
        self.send_within(request, remaining)
    }

    fn has_client_certificate(&self) -> Option<bool> {
        Some(self.agent.config().tls_config().client_cert().is_some())
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("timeout", &self.timeout)
            .field("max_response_size", &self.max_response_size)
            .finish_non_exhaustive()
    }
}

impl TransportBuilder {
    /// Trusts these CAs in place of the built-in ones: one or more PEM blocks labelled `CERTIFICATE`.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) if there is no such block, or if one is not a CA certificate.
    pub fn root_certificates_pem(self, pem: &[u8]) -> Result<Self, Error> {
        let doing = "reading CA certificates";
        let roots = certificates(doing, pem)?;
        // ureq skips certificates that it cannot use, and every connection would fail later.
        let mut store = rustls::RootCertStore::empty();
        for root in &roots {
            store.add(CertificateDer::from(root.der())).map_err(|error| {
                Error::new(ErrorKind::Key, doing, "one of them is not a certificate").with_source(error)
            })?;
        }
        Ok(Self { roots: Some(roots), ..self })
    }

    /// Presents this certificate to servers that request one (RFC 8705): its chain, leaf first, and its
    /// private key, both as PEM.
    ///
    /// # Errors
    /// [`Key`](ErrorKind::Key) if one of them is missing or malformed, or if they do not belong together.
    pub fn client_certificate_pem(self, chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        let doing = "reading a client certificate";
        let chain = certificates(doing, chain)?;
        let key = PrivateKey::from_pem(without_bom_bytes(key)).map_err(|error| {
            Error::new(ErrorKind::Key, doing, "its private key is not the PEM of a private key")
                .with_source(error)
        })?;
        // ureq would panic at the first request if they do not belong together.
        let chain_der =
            chain.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
        PrivateKeyDer::try_from(key.der().to_vec())
            .map_err(str::to_owned)
            .and_then(|key| {
                CertifiedKey::from_der(chain_der, key, &rustls::crypto::ring::default_provider())
                    .map_err(|error| error.to_string())
            })
            .map_err(|error| {
                let wrong = "chain and private key are malformed or do not belong together";
                Error::new(ErrorKind::Key, doing, wrong).with_source(error)
            })?;
        Ok(Self { client_certificate: Some(ClientCert::new_with_certs(&chain, key)), ..self })
    }

    /// Connects through this proxy; [`ureq::Proxy::try_from_env`] reads the environment. For https servers
    /// the proxy opens a tunnel and sees no request.
    #[must_use]
    pub fn proxy(self, proxy: Option<ureq::Proxy>) -> Self {
        Self { proxy, ..self }
    }

    /// Sets the `User-Agent` of all requests, such as `orders/1.0` (RFC 9110 §10.1.5). The default names
    /// this crate and its version; with an empty text there is no such field. With a text that no header
    /// field can carry, each request is an error of kind [`Parameter`](ErrorKind::Parameter).
    ///
    /// ```
    /// use possession::Transport;
    ///
    /// let http = Transport::builder().user_agent("orders/1.0").build();
    /// ```
    #[must_use]
    pub fn user_agent(self, user_agent: impl Into<String>) -> Self {
        Self { user_agent: user_agent.into(), ..self }
    }

    /// Limits the total time of a request, from name resolution to the last byte of the body.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Limits the size of an authorization server's response, in bytes after decompression. Responses of
    /// resource servers are streamed to the caller.
    #[must_use]
    pub fn max_response_size(self, bytes: u64) -> Self {
        Self { max_response_size: bytes, ..self }
    }

    /// Builds the transport.
    #[must_use]
    pub fn build(self) -> Transport {
        let mut tls = TlsConfig::builder().client_cert(self.client_certificate);
        if let Some(roots) = self.roots {
            tls = tls.root_certs(RootCerts::new_with_certs(&roots));
        }
        let config = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .proxy(self.proxy)
            .user_agent(&self.user_agent)
            // A session is shared by threads, and each needs a connection while it calls.
            .max_idle_connections(64)
            .max_idle_connections_per_host(32)
            .build();
        Transport {
            allow_trace_log: false,
            unusable_field: unusable_field(&config),
            agent: new_agent(config),
            timeout: self.timeout.min(LONGEST_TIMEOUT),
            max_response_size: self.max_response_size,
        }
    }
}

impl fmt::Debug for TransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportBuilder")
            .field("timeout", &self.timeout)
            .field("max_response_size", &self.max_response_size)
            .finish_non_exhaustive()
    }
}

/// Returns an agent that resolves a name only when it opens a connection.
#[cfg(feature = "ureq-unversioned")]
fn new_agent(config: ureq::config::Config) -> ureq::Agent {
    name_resolution::agent(config)
}

/// Returns ureq's own agent, which resolves the name for each request.
#[cfg(not(feature = "ureq-unversioned"))]
fn new_agent(config: ureq::config::Config) -> ureq::Agent {
    config.new_agent()
}

fn certificates(doing: &'static str, pem: &[u8]) -> Result<Vec<Certificate<'static>>, Error> {
    let mut certificates = Vec::new();
    for item in parse_pem(without_bom_bytes(pem)) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => {
                return Err(Error::new(ErrorKind::Key, doing, "the PEM is malformed").with_source(error));
            }
        }
    }
    match certificates.is_empty() {
        true => Err(Error::new(ErrorKind::Key, doing, "there is no PEM block labelled CERTIFICATE")),
        false => Ok(certificates),
    }
}
