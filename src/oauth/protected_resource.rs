//! Protected resource metadata (RFC 9728).

use std::fmt;

use http::{HeaderValue, Request, header};
use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::jose::json::{self, Members};
use crate::oauth::challenge::Challenge;
use crate::oauth::http_client::{HttpClient, RequestBody};
use crate::oauth::response_facts::require_json;
use crate::text::{printable, without_bom_bytes};
use crate::url::{self, PlainHttp, Url};

/// Fetches the metadata of a protected resource (RFC 9728 §3): which authorization servers issue tokens for
/// it, for example. `resource` is its identifier, an https URL. [`ProtectedResourceDiscovery`] does the same
/// with options and without I/O, and from the challenge of a 401 response.
///
/// ```no_run
/// use possession::*;
///
/// # #[cfg(feature = "ureq")]
/// # fn main() -> Result<(), Error> {
/// let http = Transport::new();
/// let resource = protected_resource_metadata("https://api.example.com/orders", &http)?;
/// // Credentials go only to an issuer that this program knows.
/// let issuer = resource.authorization_server_among(["https://as.example.com"])?;
/// let server = AuthorizationServer::discover(issuer, &http)?;
/// # Ok(()) }
/// # #[cfg(not(feature = "ureq"))] fn main() {}
/// ```
///
/// # Errors
/// [`Url`](ErrorKind::Url) when `resource` is not a valid identifier; [`Metadata`](ErrorKind::Metadata) when
/// the document is not that of the resource; [`Redirect`](ErrorKind::Redirect),
/// [`Status`](ErrorKind::Status) and [`Content`](ErrorKind::Content); the errors of the HTTP client.
pub fn protected_resource_metadata(
    resource: &str,
    http: &dyn HttpClient,
) -> Result<ProtectedResource, Error> {
    ProtectedResourceDiscovery::new(resource)?.run(http)
}

/// The metadata of a protected resource (RFC 9728 §2).
pub struct ProtectedResource {
    resource: String,
    origin: String,
    authorization_servers: Vec<String>,
    members: Members,
}

impl ProtectedResource {
    /// Returns the identifier of the resource. It is the value for the parameter `resource` of token requests
    /// (RFC 8707 §2).
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Returns the origin (scheme, host and port) of the URL that the discovery started from: where the
    /// tokens may go, for [`SessionBuilder::resource_origins`](crate::SessionBuilder::resource_origins).
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns the issuer identifiers of the authorization servers. Anybody who controls the resource chooses
    /// them, so send no credentials there before the user or the configuration has confirmed one (RFC 9728
    /// §7.6): see [`authorization_server_among`](Self::authorization_server_among).
    #[must_use]
    pub fn authorization_servers(&self) -> &[String] {
        &self.authorization_servers
    }

    /// Returns the first authorization server that is one of `known`, those that this program trusts with its
    /// credentials. They are compared code point for code point.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when there is none; the text names those of the resource.
    pub fn authorization_server_among<'a>(
        &self,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Result<&str, Error> {
        let known: Vec<&str> = known.into_iter().collect();
        let mut servers = self.authorization_servers.iter().map(String::as_str);
        servers.find(|server| known.contains(server)).ok_or_else(|| {
            let named = printable(&self.authorization_servers.join(" "), 300);
            let wrong = match named.is_empty() {
                true => "it names no authorization server".to_owned(),
                false => format!("it names {named}, and none of them is known to this program"),
            };
            let doing = format!("choosing the authorization server of {}", printable(&self.resource, 200));
            Error::new(ErrorKind::Metadata, doing, wrong)
        })
    }

    /// Returns any other member, such as `scopes_supported`, `dpop_bound_access_tokens_required` or
    /// `dpop_signing_alg_values_supported`.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }
}

impl fmt::Debug for ProtectedResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtectedResource")
            .field("resource", &self.resource)
            .field("authorization_servers", &self.authorization_servers)
            .finish_non_exhaustive()
    }
}

/// Fetches the metadata of a protected resource, with options and without I/O (RFC 9728 §3, §5).
///
/// ```
/// use possession::{Challenge, ProtectedResourceDiscovery};
///
/// let discovery = ProtectedResourceDiscovery::new("https://api.example.com/orders?tenant=7")?;
/// let uri = discovery.request()?.uri().to_string();
/// assert_eq!(uri, "https://api.example.com/.well-known/oauth-protected-resource/orders?tenant=7");
///
/// // After a 401 response to a request for https://api.example.com/orders:
/// let field = br#"DPoP resource_metadata="https://api.example.com/orders-metadata""#;
/// let challenges = Challenge::parse(field)?;
/// let url = "https://api.example.com/orders";
/// let discovery = ProtectedResourceDiscovery::from_challenges(url, &challenges)?;
/// assert_eq!(discovery.request()?.uri(), "https://api.example.com/orders-metadata");
/// # Ok::<(), possession::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProtectedResourceDiscovery {
    /// The identifier that the document must name.
    resource: String,
    origin: String,
    url: Url,
}

impl ProtectedResourceDiscovery {
    /// Starts from the identifier of a resource, an https URL without a fragment. The document is at
    /// `/.well-known/oauth-protected-resource`, between its host and its path (RFC 9728 §3.1).
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) when it is not one.
    pub fn new(resource: &str) -> Result<Self, Error> {
        Self::with_plain_http(resource, PlainHttp::Refused)
    }

    /// Starts where plain http is allowed for hosts `localhost`, `127.0.0.0/8` and `[::1]`.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn dangerous_allow_http_on_loopback(resource: &str) -> Result<Self, Error> {
        Self::with_plain_http(resource, PlainHttp::OnLoopback)
    }

    fn with_plain_http(resource: &str, http: PlainHttp) -> Result<Self, Error> {
        let identifier = parse(resource, "resource identifier", http)?;
        let path = identifier.path().strip_suffix('/').unwrap_or(identifier.path());
        let query = identifier.query().map(|query| format!("?{query}")).unwrap_or_default();
        let origin = identifier.origin();
        let location = format!("{origin}/.well-known/oauth-protected-resource{path}{query}");
        let url = parse(&location, "metadata URL", http)?;
        Ok(Self { resource: resource.to_owned(), origin: origin.to_owned(), url })
    }

    /// Starts from the challenges of a 401 response to a request for the URL `requested`: the first
    /// `resource_metadata` is where the document is (RFC 9728 §5.1). The document must be that of
    /// `requested`.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when no challenge has a `resource_metadata`, and
    /// [`Url`](ErrorKind::Url) when one of the URLs is not valid.
    pub fn from_challenges(requested: &str, challenges: &[Challenge]) -> Result<Self, Error> {
        Self::new(requested)?.with_challenges(challenges, PlainHttp::Refused)
    }

    /// Starts from challenges where plain http is allowed for hosts `localhost`, `127.0.0.0/8` and `[::1]`.
    ///
    /// # Errors
    /// Those of [`from_challenges`](Self::from_challenges).
    pub fn dangerous_from_challenges_with_http_on_loopback(
        requested: &str,
        challenges: &[Challenge],
    ) -> Result<Self, Error> {
        Self::dangerous_allow_http_on_loopback(requested)?.with_challenges(challenges, PlainHttp::OnLoopback)
    }

    fn with_challenges(self, challenges: &[Challenge], http: PlainHttp) -> Result<Self, Error> {
        let mut locations = challenges.iter().filter_map(|challenge| challenge.param("resource_metadata"));
        let Some(location) = locations.next() else {
            let doing = format!("looking for the metadata of {}", printable(&self.resource, 200));
            let wrong = "no challenge has a `resource_metadata` (RFC 9728 §5.1)";
            return Err(Error::new(ErrorKind::Metadata, doing, wrong));
        };
        Ok(Self { url: parse(location, "`resource_metadata`", http)?, ..self })
    }

    /// Expects the document to be that of another resource identifier, for a resource whose identifier is not
    /// the URL of the request, such as one for a whole host. The caller vouches for it: whoever has the
    /// tokens for it can use them at every URL that it covers.
    #[must_use]
    pub fn dangerous_resource(self, identifier: impl Into<String>) -> Self {
        Self { resource: identifier.into(), ..self }
    }

    /// Sends the request and returns the metadata.
    ///
    /// # Errors
    /// Those of [`protected_resource_metadata`].
    pub fn run(&self, http: &dyn HttpClient) -> Result<ProtectedResource, Error> {
        let response = http.send(self.request()?).map_err(|error| error.while_doing(self.doing()))?;
        self.receive(response)
    }

    /// Returns the request to send.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) when the URL is too long for an HTTP request.
    pub fn request(&self) -> Result<Request<RequestBody>, Error> {
        let uri = self.url.to_uri().map_err(|why| Error::new(ErrorKind::Url, self.doing(), why))?;
        let mut request = Request::new(RequestBody::default());
        *request.uri_mut() = uri;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    /// Takes the response, and requires its `resource` to be the expected one, code point for code point (RFC
    /// 9728 §3.3).
    ///
    /// # Errors
    /// Those of [`protected_resource_metadata`] without the HTTP client's.
    pub fn receive(&self, response: http::Response<Vec<u8>>) -> Result<ProtectedResource, Error> {
        require_json(response.status(), response.headers(), || self.doing())?;
        let refused = |wrong: String| Error::new(ErrorKind::Metadata, self.doing(), wrong);
        let members = json::parse_members(without_bom_bytes(response.body()))
            .map_err(|error| refused(error.to_string()))?;
        match members.get("resource") {
            Some(Value::String(resource)) if *resource == self.resource => {}
            Some(Value::String(resource)) => {
                let (seen, expected) = (printable(resource, 200), printable(&self.resource, 200));
                return Err(refused(format!(
                    "its resource is {seen}, not exactly {expected} (RFC 9728 §3.3; `dangerous_resource` expects another \
                     one)"
                )));
            }
            _ => return Err(refused("it has no `resource` string (RFC 9728 §2)".to_owned())),
        }
        let authorization_servers = match members.get("authorization_servers") {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::Array(servers)) => {
                servers.iter().map(|server| server.as_str().map(str::to_owned)).collect()
            }
            Some(_) => None,
        };
        let authorization_servers = authorization_servers
            .ok_or_else(|| refused("`authorization_servers` is not an array of strings".to_owned()))?;
        let (resource, origin) = (self.resource.clone(), self.origin.clone());
        Ok(ProtectedResource { resource, origin, authorization_servers, members })
    }

    fn doing(&self) -> String {
        format!("fetching the metadata of a protected resource at {}", printable(self.url.htu(), 200))
    }
}

fn parse(text: &str, what: &str, http: PlainHttp) -> Result<Url, Error> {
    let url = Url::target(text, http).and_then(Url::without_fragment);
    url.map_err(|why| url::refused(ErrorKind::Url, what, text, why))
}
