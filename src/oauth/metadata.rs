//! Authorization server metadata (RFC 8414 §2).

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::jose::json;
use crate::oauth::response_facts::without_bom;
use crate::text::printable;
use crate::url::{self, PlainHttp, Url};

const TAKING_METADATA: &str = "taking an authorization server's metadata";

/// The metadata of an authorization server: its issuer, its endpoints, and what it supports (RFC 8414 §2).
///
/// Every URL in it has been checked. `signed_metadata` is ignored.
#[derive(Clone)]
pub struct AuthorizationServer {
    issuer: String,
    token_endpoint: Url,
    mtls_token_endpoint: Option<Url>,
    dpop_algorithms: Option<Vec<String>>,
    members: Map<String, Value>,
    http: PlainHttp,
}

/// The client authentication that a server supports at an endpoint. A list is `None` where the metadata have
/// none.
pub(crate) struct SupportedClientAuth<'a> {
    pub(crate) server: &'a AuthorizationServer,
    pub(crate) methods: Option<Vec<&'a str>>,
    pub(crate) algorithms: Option<Vec<&'a str>>,
}

impl AuthorizationServer {
    /// Starts from the issuer identifier. Give the builder a
    /// [`document`](AuthorizationServerBuilder::document), a
    /// [`token_endpoint`](AuthorizationServerBuilder::token_endpoint), or both: members that are set by hand
    /// take precedence over the document.
    ///
    /// ```
    /// use possession::AuthorizationServer;
    ///
    /// let server = AuthorizationServer::builder("https://server.example.com")
    ///     .token_endpoint("https://server.example.com/token")
    ///     .dpop_signing_alg_values_supported(["ES256"])
    ///     .build()?;
    /// # Ok::<(), possession::Error>(())
    /// ```
    pub fn builder(issuer: impl Into<String>) -> AuthorizationServerBuilder {
        AuthorizationServerBuilder {
            issuer: issuer.into(),
            document: None,
            members: Map::new(),
            endpoint_hosts: None,
            http: PlainHttp::Refused,
        }
    }

    /// Returns a builder that starts from this metadata, to correct them.
    #[must_use]
    pub fn to_builder(&self) -> AuthorizationServerBuilder {
        let (issuer, members) = (self.issuer.clone(), self.members.clone());
        AuthorizationServerBuilder { issuer, document: None, members, endpoint_hosts: None, http: self.http }
    }

    /// Returns the issuer identifier exactly as it was given. It is compared and sent code point for code
    /// point.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns a member of the metadata document, or the value that was set by hand in its place.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// Returns the token endpoint, or its alias for mutual TLS (RFC 8705 §5) where `mtls` is set and there
    /// is one.
    pub(crate) fn token_endpoint(&self, mtls: bool) -> &Url {
        self.mtls_token_endpoint.as_ref().filter(|_| mtls).unwrap_or(&self.token_endpoint)
    }

    /// Returns any other endpoint, or its alias for mutual TLS where `mtls` is set and there is one. The
    /// builder has checked it.
    pub(crate) fn endpoint_for(&self, name: &str, mtls: bool) -> Option<Url> {
        let aliases = self.member("mtls_endpoint_aliases").filter(|_| mtls);
        let url = aliases.and_then(|aliases| aliases.get(name)).filter(|alias| !alias.is_null());
        Url::target(url.or_else(|| self.member(name))?.as_str()?, self.http).ok()
    }

    /// Returns how clients may authenticate at an endpoint, such as `token_endpoint`.
    pub(crate) fn supported_client_auth(&self, endpoint: &str) -> SupportedClientAuth<'_> {
        let list = |what: &str| self.member(&format!("{endpoint}_auth_{what}_supported")).and_then(strings);
        SupportedClientAuth { server: self, methods: list("methods"), algorithms: list("signing_alg_values") }
    }

    pub(crate) fn dpop_algorithms(&self) -> Option<&[String]> {
        self.dpop_algorithms.as_deref()
    }

    /// Returns whether plain http on loopback is allowed at this server.
    pub(crate) fn http(&self) -> PlainHttp {
        self.http
    }
}

impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationServer")
            .field("issuer", &self.issuer)
            .field("token_endpoint", &self.token_endpoint)
            .finish_non_exhaustive()
    }
}

/// Builds an [`AuthorizationServer`] by hand or from a metadata document.
///
/// ```
/// use possession::AuthorizationServer;
///
/// # fn server(document: Vec<u8>) -> Result<AuthorizationServer, possession::Error> {
/// AuthorizationServer::builder("https://server.example.com")
///     .document(document)
///     .token_endpoint_auth_methods_supported(["private_key_jwt"]) // the document does not list it
///     .endpoint_hosts(["login.example.com"])
///     .build()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AuthorizationServerBuilder {
    issuer: String,
    document: Option<Vec<u8>>,
    members: Map<String, Value>,
    /// The hosts that endpoints may be on, beside the issuer's; `None` allows any host.
    endpoint_hosts: Option<Vec<String>>,
    http: PlainHttp,
}

impl AuthorizationServerBuilder {
    /// Sets the metadata document. Its `issuer` must equal the builder's, code point for code point (RFC
    /// 8414 §3.3).
    #[must_use]
    pub fn document(self, json: impl Into<Vec<u8>>) -> Self {
        Self { document: Some(json.into()), ..self }
    }

    /// Sets `token_endpoint`.
    #[must_use]
    pub fn token_endpoint(self, url: impl Into<String>) -> Self {
        self.member("token_endpoint", url.into())
    }

    /// Sets `token_endpoint_auth_methods_supported`. A document without it means `client_secret_basic` (RFC
    /// 8414 §2), so set it when the server supports more than its document says.
    #[must_use]
    pub fn token_endpoint_auth_methods_supported<S: Into<String>>(
        self,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        self.list("token_endpoint_auth_methods_supported", names)
    }

    /// Sets `token_endpoint_auth_signing_alg_values_supported`.
    #[must_use]
    pub fn token_endpoint_auth_signing_alg_values_supported<S: Into<String>>(
        self,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        self.list("token_endpoint_auth_signing_alg_values_supported", names)
    }

    /// Sets `dpop_signing_alg_values_supported` (RFC 9449 §5.1).
    #[must_use]
    pub fn dpop_signing_alg_values_supported<S: Into<String>>(
        self,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        self.list("dpop_signing_alg_values_supported", names)
    }

    /// Sets the `token_endpoint` of `mtls_endpoint_aliases` (RFC 8705 §5).
    #[must_use]
    pub fn mtls_token_endpoint(self, url: impl Into<String>) -> Self {
        let aliases = Map::from_iter([("token_endpoint".to_owned(), Value::from(url.into()))]);
        self.member("mtls_endpoint_aliases", Value::Object(aliases))
    }

    /// Sets any other member of the metadata.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Refuses endpoints on a host other than the issuer's and these. By default any host is accepted, as
    /// RFC 8414 allows; the metadata are then trusted not to name an address inside your network
    /// (server-side request forgery, RFC 9700 §4.11).
    #[must_use]
    pub fn endpoint_hosts<S: Into<String>>(self, hosts: impl IntoIterator<Item = S>) -> Self {
        Self { endpoint_hosts: Some(hosts.into_iter().map(Into::into).collect()), ..self }
    }

    /// Allows plain http for URLs whose host is `localhost`, `127.0.0.0/8` or `[::1]`. It is for tests on
    /// one machine: whoever can listen there can read tokens and secrets.
    #[must_use]
    pub fn dangerous_allow_http_on_loopback(self) -> Self {
        Self { http: PlainHttp::OnLoopback, ..self }
    }

    fn list<S: Into<String>>(self, name: &str, values: impl IntoIterator<Item = S>) -> Self {
        let values: Vec<Value> = values.into_iter().map(|value| Value::from(value.into())).collect();
        self.member(name, values)
    }

    /// Checks the metadata and returns them.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when the issuer, the document or a URL in it is not usable.
    pub fn build(mut self) -> Result<AuthorizationServer, Error> {
        let issuer = issuer_url(&self.issuer, self.http)?;
        let members = self.merged_members()?;
        let no_aliases = Map::new();
        let aliases = match members.get("mtls_endpoint_aliases") {
            None | Some(Value::Null) => &no_aliases,
            Some(Value::Object(aliases)) => aliases,
            Some(_) => return Err(refused("`mtls_endpoint_aliases` is not an object".to_owned())),
        };
        let check = EndpointCheck { issuer: &issuer, hosts: self.endpoint_hosts.as_deref(), http: self.http };
        check.endpoints("", &members)?;
        check.endpoints("mtls_endpoint_aliases.", aliases)?;
        let token_endpoint = check.endpoint("", "token_endpoint", &members)?;
        let token_endpoint =
            token_endpoint.ok_or_else(|| refused("it has no `token_endpoint`".to_owned()))?;
        let mtls_token_endpoint = check.endpoint("mtls_endpoint_aliases.", "token_endpoint", aliases)?;
        check_lists(&members)?;
        let dpop_algorithms = members.get("dpop_signing_alg_values_supported").and_then(strings);
        let dpop_algorithms = dpop_algorithms.map(|names| names.into_iter().map(str::to_owned).collect());
        Ok(AuthorizationServer {
            token_endpoint,
            mtls_token_endpoint,
            dpop_algorithms,
            issuer: self.issuer,
            http: self.http,
            members,
        })
    }

    /// Returns the members of the document, after a check of its `issuer`, with those that were set by hand.
    fn merged_members(&mut self) -> Result<Map<String, Value>, Error> {
        let mut members = Map::new();
        if let Some(document) = &self.document {
            members = json::parse_members(without_bom(document))
                .map_err(|error| refused(error.to_string()))?
                .into_inner();
            match members.get("issuer") {
                Some(Value::String(issuer)) if *issuer == self.issuer => {}
                Some(Value::String(issuer)) => {
                    let (seen, expected) = (printable(issuer, 200), printable(&self.issuer, 200));
                    return Err(refused(format!(
                        "its issuer is {seen}, not exactly {expected} (RFC 8414 §3.3)"
                    )));
                }
                _ => return Err(refused("it has no `issuer` string".to_owned())),
            }
            // RFC 8414 §2: the default of a document without this member.
            let methods = members.entry("token_endpoint_auth_methods_supported").or_insert(Value::Null);
            if methods.is_null() {
                *methods = Value::from(vec!["client_secret_basic"]);
            }
        }
        members.extend(std::mem::take(&mut self.members));
        members.insert("issuer".to_owned(), Value::from(self.issuer.as_str()));
        Ok(members)
    }
}

/// The rules for the URLs of endpoints.
struct EndpointCheck<'a> {
    issuer: &'a Url,
    hosts: Option<&'a [String]>,
    http: PlainHttp,
}

impl EndpointCheck<'_> {
    /// Checks every endpoint of the metadata or of their aliases. `place` is where they are, for errors.
    fn endpoints(&self, place: &str, members: &Map<String, Value>) -> Result<(), Error> {
        let names = members.keys().filter(|name| name.ends_with("_endpoint") || *name == "jwks_uri");
        names.map(|name| self.endpoint(place, name, members)).try_for_each(|endpoint| endpoint.map(drop))
    }

    /// Checks and returns one endpoint, if it is there.
    fn endpoint(&self, place: &str, name: &str, members: &Map<String, Value>) -> Result<Option<Url>, Error> {
        let text = match members.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text,
            Some(_) => return Err(refused(format!("`{place}{name}` is not a string"))),
        };
        let url = Url::target(text, self.http).and_then(Url::without_fragment);
        match url.and_then(|url| self.on_allowed_host(url)) {
            Ok(url) => Ok(Some(url)),
            Err(why) => Err(url::refused(ErrorKind::Metadata, &format!("{place}{name}"), text, why)),
        }
    }

    fn on_allowed_host(&self, url: Url) -> Result<Url, &'static str> {
        let allowed = |hosts: &[String]| {
            url.host() == self.issuer.host() || hosts.iter().any(|host| host.eq_ignore_ascii_case(url.host()))
        };
        match self.hosts.is_none_or(allowed) {
            true => Ok(url),
            false => Err("its host is neither the issuer's nor one of the allowed endpoint hosts"),
        }
    }
}

/// Parses an issuer identifier, which has no query and no fragment (RFC 8414 §2).
pub(super) fn issuer_url(issuer: &str, http: PlainHttp) -> Result<Url, Error> {
    Url::target(issuer, http)
        .and_then(Url::without_fragment)
        .and_then(|url| match url.query() {
            Some(_) => Err("it has a query"),
            None => Ok(url),
        })
        .map_err(|why| url::refused(ErrorKind::Metadata, "issuer", issuer, why))
}

/// Checks the lists that are used: those of client authentication and of proof algorithms.
fn check_lists(members: &Map<String, Value>) -> Result<(), Error> {
    for (name, value) in members {
        let is_used = name.contains("_auth_") || name == "dpop_signing_alg_values_supported";
        let is_list = value.is_null() || strings(value).is_some();
        if name.ends_with("_supported") && is_used && !is_list {
            return Err(refused(format!("`{name}` is not an array of strings")));
        }
    }
    Ok(())
}

fn strings(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn refused(wrong: String) -> Error {
    Error::new(ErrorKind::Metadata, TAKING_METADATA, wrong)
}
