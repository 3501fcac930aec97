//! Discovery of authorization server metadata (RFC 8414 §3, OpenID Connect Discovery 1.0 §4).

use http::{HeaderValue, Request, StatusCode, header};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::oauth::http_client::{HttpClient, RequestBody};
use crate::oauth::metadata::{AuthorizationServer, AuthorizationServerBuilder, issuer_url};
use crate::oauth::response_facts::require_json;
use crate::oauth::step::Step;
use crate::text::printable;
use crate::url::{self, PlainHttp, Url};

impl AuthorizationServer {
    /// Fetches the metadata of an issuer: the document of RFC 8414, or that of OpenID Connect where the
    /// server refuses the first one (status 4xx). [`Discovery`] does the same with options, and without I/O.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when the issuer is not a valid identifier or the document is not
    /// the issuer's; [`Redirect`](ErrorKind::Redirect), [`Status`](ErrorKind::Status) and
    /// [`Content`](ErrorKind::Content); the errors of the HTTP client.
    pub fn discover(issuer: &str, http: &dyn HttpClient) -> Result<Self, Error> {
        Discovery::new(issuer)?.run(http)
    }
}

/// Where the metadata document of an issuer is. The default is to try the location of RFC 8414 and then
/// that of OpenID Connect.
///
/// ```
/// use possession::{Discovery, MetadataLocation};
///
/// let discovery = Discovery::new("https://server.example.com/tenant")?.location(MetadataLocation::OpenId)?;
/// let uri = discovery.request()?.uri().to_string();
/// assert_eq!(uri, "https://server.example.com/tenant/.well-known/openid-configuration");
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataLocation {
    /// `/.well-known/oauth-authorization-server` between host and path of the issuer (RFC 8414 §3.1).
    OAuth,
    /// `/.well-known/openid-configuration` after the path of the issuer (OpenID Connect Discovery 1.0 §4).
    OpenId,
    /// Any other URL. Its document must still name the issuer.
    Url(String),
}

/// Fetches the metadata of an issuer (RFC 8414 §3, OpenID Connect Discovery 1.0 §4).
///
/// The location of OpenID Connect is tried after that of RFC 8414 has responded with a status 4xx,
/// because gateways respond with 400, 401 or 403 where there is no document. It is not tried after 407,
/// 408, 425 and 429, which say nothing about the document, after 5xx and redirects, and after a document
/// that is not the issuer's metadata. [`location`](Self::location) names one location.
///
/// [`run`](Self::run) does so over an [`HttpClient`]. With another HTTP client, send what
/// [`request`](Self::request) returns, and give the response to [`receive`](Self::receive):
///
/// ```
/// use possession::{AuthorizationServer, Discovery, Step};
///
/// # fn main() -> Result<(), possession::Error> {
/// let mut discovery = Discovery::new("https://server.example.com")?;
/// let server: AuthorizationServer = loop {
///     match discovery.receive(send(discovery.request()?))? {
///         Step::Retry => continue,
///         Step::Done(server) => break server,
///     }
/// };
/// # assert_eq!(server.issuer(), "https://server.example.com");
/// # Ok(()) }
/// # fn send(request: http::Request<possession::RequestBody>) -> http::Response<Vec<u8>> {
/// #     assert_eq!(request.uri(), "https://server.example.com/.well-known/oauth-authorization-server");
/// #     let document = r#"{"issuer":"https://server.example.com","token_endpoint":"https://server.example.com/token"}"#;
/// #     http::Response::new(document.into())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Discovery {
    builder: AuthorizationServerBuilder,
    http: PlainHttp,
    /// The location of RFC 8414, then that of OpenID Connect.
    urls: [Url; 2],
    current: Url,
    /// Whether the second location is tried if the first one has no document.
    may_go_on: bool,
    /// The status of the first location, if it had no document.
    first_status: Option<StatusCode>,
}

impl Discovery {
    /// Starts discovery for an issuer identifier: an https URL without query and fragment (RFC 8414 §2).
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when it is not one.
    pub fn new(issuer: &str) -> Result<Self, Error> {
        Self::with_plain_http(issuer, PlainHttp::Refused)
    }

    /// Starts discovery where plain http is allowed for hosts `localhost`, `127.0.0.0/8` and `[::1]`, both
    /// here and in the metadata.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn dangerous_allow_http_on_loopback(issuer: &str) -> Result<Self, Error> {
        Self::with_plain_http(issuer, PlainHttp::OnLoopback)
    }

    pub(crate) fn with_plain_http(issuer: &str, http: PlainHttp) -> Result<Self, Error> {
        let url = issuer_url(issuer, http)?;
        let path = url.path().strip_suffix('/').unwrap_or(url.path());
        let well_known = |text: String| {
            Url::target(&text, http)
                .map_err(|why| url::refused(ErrorKind::Metadata, "metadata URL", &text, why))
        };
        let urls = [
            // RFC 8414 §3.1: between host and path.
            well_known(format!("{}/.well-known/oauth-authorization-server{path}", url.origin()))?,
            // OpenID Connect Discovery 1.0 §4: after the path.
            well_known(format!("{}{path}/.well-known/openid-configuration", url.origin()))?,
        ];
        let mut builder = AuthorizationServer::builder(issuer);
        if http == PlainHttp::OnLoopback {
            builder = builder.dangerous_allow_http_on_loopback();
        }
        let [current, _] = urls.clone();
        Ok(Self { builder, http, urls, current, may_go_on: true, first_status: None })
    }

    /// Names the only location to fetch the metadata from.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when the URL is not https, or has user information or a fragment.
    pub fn location(self, location: MetadataLocation) -> Result<Self, Error> {
        let [oauth, openid] = &self.urls;
        let current = match &location {
            MetadataLocation::OAuth => oauth.clone(),
            MetadataLocation::OpenId => openid.clone(),
            MetadataLocation::Url(text) => Url::target(text, self.http)
                .and_then(Url::without_fragment)
                .map_err(|why| url::refused(ErrorKind::Metadata, "metadata URL", text, why))?,
        };
        Ok(Self { current, may_go_on: false, first_status: None, ..self })
    }

    /// Refuses metadata with an endpoint on a host other than the issuer's and these, like
    /// [`AuthorizationServerBuilder::endpoint_hosts`].
    #[must_use]
    pub fn endpoint_hosts<S: Into<String>>(self, hosts: impl IntoIterator<Item = S>) -> Self {
        Self { builder: self.builder.endpoint_hosts(hosts), ..self }
    }

    /// Sends the requests and returns the metadata.
    ///
    /// # Errors
    /// Those of [`AuthorizationServer::discover`].
    pub fn run(mut self, http: &dyn HttpClient) -> Result<AuthorizationServer, Error> {
        loop {
            let response = http.send(self.request()?).map_err(|error| error.while_doing(self.doing()))?;
            match self.receive(response)? {
                Step::Retry => {}
                Step::Done(server) => return Ok(server),
            }
        }
    }

    /// Takes the response to the last request. A status 4xx of the first location leads to the second
    /// one, except 407, 408, 425 and 429.
    ///
    /// # Errors
    /// Those of [`AuthorizationServer::discover`] without the HTTP client's.
    pub fn receive(&mut self, response: http::Response<Vec<u8>>) -> Result<Step<AuthorizationServer>, Error> {
        let status = response.status();
        if self.may_go_on && has_no_document(status) {
            log::debug!("{}: status {}", self.doing(), status.as_u16());
            let [_, openid] = &self.urls;
            self.current.clone_from(openid);
            (self.may_go_on, self.first_status) = (false, Some(status));
            return Ok(Step::Retry);
        }
        require_json(status, response.headers(), || self.doing()).map_err(|error| {
            match (error.kind(), self.first_status) {
                (ErrorKind::Status { .. }, Some(first)) => error.with_note(format!(
                    "the location of RFC 8414 had status {} before: is this the server's issuer identifier?",
                    first.as_u16()
                )),
                _ => error,
            }
        })?;
        let server = self.builder.clone().document(response.into_body()).build();
        server.map(Step::Done).map_err(|error| error.while_doing(self.doing()))
    }

    /// Returns the server of metadata that were fetched before, which are checked like fetched ones.
    pub(crate) fn server_of(&self, members: &Map<String, Value>) -> Result<AuthorizationServer, Error> {
        self.builder.clone().document(Value::Object(members.clone()).to_string()).build()
    }

    /// Returns the request to send next.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when the issuer is too long for an HTTP request.
    pub fn request(&self) -> Result<Request<RequestBody>, Error> {
        let uri = self.current.to_uri().map_err(|why| Error::new(ErrorKind::Metadata, self.doing(), why))?;
        let mut request = Request::new(RequestBody::default());
        *request.uri_mut() = uri;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    /// Returns the standard locations of the issuer: that of RFC 8414, then that of OpenID Connect.
    #[must_use]
    pub fn urls(&self) -> [String; 2] {
        self.urls.each_ref().map(|url| url.htu().to_owned())
    }

    fn doing(&self) -> String {
        format!("fetching the metadata at {}", printable(self.current.htu(), 200))
    }
}

/// Returns whether a status of the first location says that there is no document for this client: any
/// 4xx, except those that concern a proxy, the time or the number of requests.
fn has_no_document(status: StatusCode) -> bool {
    let says_nothing = [
        StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_client_error() && !says_nothing.contains(&status)
}
