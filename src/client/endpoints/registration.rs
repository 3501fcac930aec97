//! Dynamic client registration (RFC 7591).

use std::fmt;
use std::time::SystemTime;

use http::{HeaderValue, Method, Request, header};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::client::endpoints::endpoint_response::EndpointResponse;
use crate::client::request_options::RequestOptions;
use crate::error::{Error, ErrorKind};
use crate::jose::json::Members;
use crate::oauth::client::Client;
use crate::oauth::http_client::RequestBody;
use crate::oauth::metadata::AuthorizationServer;
use crate::oauth::response_facts::{ResponseFacts, refuse_redirect};
use crate::text::printable;
use crate::url::{self, Url};

const BOUND: &str = "dpop_bound_access_tokens";

/// The metadata of a client that registers itself (RFC 7591 §2). They always have
/// `dpop_bound_access_tokens: true`, so that the server issues no other tokens to the client (RFC 9449 §5.2).
///
/// ```
/// use possession::ClientMetadata;
///
/// let metadata = ClientMetadata::new()
///     .redirect_uris(["http://127.0.0.1/callback"])
///     .member("grant_types", vec!["authorization_code", "refresh_token"])
///     .member("token_endpoint_auth_method", "none")
///     .member("client_name", "My tool");
/// ```
#[derive(Clone)]
pub struct ClientMetadata(Map<String, Value>);

impl ClientMetadata {
    /// Creates metadata without anything but `dpop_bound_access_tokens: true`.
    #[must_use]
    pub fn new() -> Self {
        Self(Map::from_iter([(BOUND.to_owned(), Value::Bool(true))]))
    }

    /// Sets `redirect_uris`.
    #[must_use]
    pub fn redirect_uris<S: Into<String>>(self, uris: impl IntoIterator<Item = S>) -> Self {
        let uris: Vec<_> = uris.into_iter().map(|uri| Value::from(uri.into())).collect();
        self.member("redirect_uris", uris)
    }

    /// Sets any other member, such as `token_endpoint_auth_method`, `grant_types`, `jwks` or `client_name`. A
    /// `dpop_bound_access_tokens` other than `true` is refused when the request is made.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }
}

impl Default for ClientMetadata {
    fn default() -> Self {
        Self::new()
    }
}

/// What a server has registered (RFC 7591 §3.2.1). The server may have changed any of the client's metadata.
/// `Debug` does not show the secrets.
pub struct ClientRegistration {
    client: Client,
    client_secret: Option<Zeroizing<String>>,
    members: Members,
}

impl ClientRegistration {
    /// Returns the client with the identifier that the server assigned.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the `client_secret`, if the server issued one.
    #[must_use]
    pub fn client_secret(&self) -> Option<&str> {
        self.client_secret.as_deref().map(String::as_str)
    }

    /// Returns any other member of the response, such as `client_secret_expires_at`,
    /// `registration_access_token` or the metadata as they were registered.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }
}

impl fmt::Debug for ClientRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRegistration").field("client", &self.client).finish_non_exhaustive()
    }
}

/// A registration request, without I/O (RFC 7591 §3.1). It is sent once.
///
/// ```
/// # use std::time::SystemTime;
/// # use possession::*;
/// # fn run(server: &AuthorizationServer, send: impl Fn(http::Request<RequestBody>) -> http::Response<Vec<u8>>)
/// #     -> Result<(), Error> {
/// let registration = RegistrationRequest::new(server, &ClientMetadata::new())?;
/// let response = registration.receive(send(registration.request()?), SystemTime::now())?;
/// let registered = process_registration_response(server, response)?;
/// # Ok(()) }
/// ```
pub struct RegistrationRequest {
    url: Url,
    body: String,
}

impl fmt::Debug for ClientMetadata {
    /// Shows the names only, since a value may be a software statement.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for RegistrationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrationRequest").field("url", &self.url).finish_non_exhaustive()
    }
}

impl RegistrationRequest {
    /// Creates a request.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when the server has no valid `registration_endpoint`, and
    /// [`Parameter`](ErrorKind::Parameter) for metadata that ask for tokens that are not bound.
    pub fn new(server: &AuthorizationServer, metadata: &ClientMetadata) -> Result<Self, Error> {
        let url = server.endpoint_for("registration_endpoint", false)?;
        if metadata.0.get(BOUND) != Some(&Value::Bool(true)) {
            let wrong = format!("`{BOUND}` is not true, so the server could issue tokens that are not bound");
            return Err(Error::new(ErrorKind::Parameter, "checking the metadata of a client", wrong));
        }
        Ok(Self { url, body: Value::from(metadata.0.clone()).to_string() })
    }

    /// Returns the request to send.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) when the endpoint is too long for an HTTP request.
    pub fn request(&self) -> Result<Request<RequestBody>, Error> {
        let refused = |why| url::refused(ErrorKind::Url, "endpoint", self.url.htu(), why);
        let uri = self.url.to_uri().map_err(refused)?;
        let mut request = Request::new(RequestBody::from(self.body.clone().into_bytes()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::ACCEPT, json.clone());
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok(request)
    }

    /// Takes the response, which arrived at `now`.
    ///
    /// # Errors
    /// [`Redirect`](ErrorKind::Redirect), which is never followed.
    pub fn receive(
        &self,
        response: http::Response<Vec<u8>>,
        now: SystemTime,
    ) -> Result<EndpointResponse, Error> {
        refuse_redirect(response.status(), || doing(self.url.htu()))?;
        let refusal = ResponseFacts::from_token_endpoint(&response).into_refusal();
        Ok(EndpointResponse::new(response, refusal, 1, now))
    }
}

/// Registers a client at a server that lets anybody do so (RFC 7591 §3): a server that wants an initial
/// access token is not supported. Of the options, only the HTTP client is used. Give the response to
/// [`process_registration_response`].
///
/// ```no_run
/// # use possession::*;
/// # fn run(server: &AuthorizationServer) -> Result<(), Error> {
/// let metadata = ClientMetadata::new()
///     .redirect_uris(["http://127.0.0.1/callback"])
///     .member("token_endpoint_auth_method", "none");
/// let response = registration_request(server, &metadata, &RequestOptions::new())?;
/// let registered = process_registration_response(server, response)?;
/// println!("registered as {}", registered.client().client_id());
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Metadata`](ErrorKind::Metadata) when the server has no `registration_endpoint`,
/// [`Parameter`](ErrorKind::Parameter) for metadata that ask for tokens that are not bound,
/// [`Redirect`](ErrorKind::Redirect), and the errors of the HTTP client.
pub fn registration_request(
    server: &AuthorizationServer,
    metadata: &ClientMetadata,
    options: &RequestOptions<'_>,
) -> Result<EndpointResponse, Error> {
    let registration = RegistrationRequest::new(server, metadata)?;
    let doing = doing(registration.url.htu());
    let sent = |error: Error| error.while_doing(&doing);
    let response = options.with_http(&doing, |http| http.send(registration.request()?).map_err(sent))?;
    registration.receive(response, SystemTime::now())
}

/// Checks the response to [`registration_request`] (RFC 7591 §3.2).
///
/// # Errors
/// [`OAuth`](ErrorKind::OAuth) for an OAuth error, such as `invalid_redirect_uri`;
/// [`Status`](ErrorKind::Status) and [`Content`](ErrorKind::Content) for a response that is not one of this
/// endpoint.
pub fn process_registration_response(
    server: &AuthorizationServer,
    response: EndpointResponse,
) -> Result<ClientRegistration, Error> {
    let doing = || doing(server.issuer());
    let response = response.success(doing)?;
    let mut members = response.members(doing)?;
    let mut text = |name: &str| match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(response.content(doing(), format!("the response's `{name}` is not a string"))),
    };
    let client_secret = text("client_secret")?.map(Zeroizing::new);
    let client_id = text("client_id")?;
    let client_id =
        client_id.ok_or_else(|| response.content(doing(), "the response has no `client_id`".to_owned()))?;
    let client = Client::new(client_id).map_err(|error| error.while_doing(doing()))?;
    Ok(ClientRegistration { client, client_secret, members })
}

fn doing(place: &str) -> String {
    format!("registering a client at {}", printable(place, 200))
}
