//! Authorization server metadata (RFC 8414 §2).

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::jose::json;
use crate::oauth::discovery::Discovery;
use crate::oauth::http_client::HttpClient;
use crate::text::printable;
use crate::url::{self, PlainHttp, Url};

/// What a program knows of an authorization server: its issuer, its endpoints, and what it supports (RFC 8414 §2).
///
/// Every URL in it was checked. `signed_metadata` is ignored.
#[derive(Clone)]
pub struct AuthorizationServer {
    issuer: String,
    token_endpoint: Url,
    mtls_token_endpoint: Option<Url>,
    dpop_algorithms: Option<Vec<String>>,
    members: Map<String, Value>,
    http: PlainHttp,
}

/// How clients may authenticate at an endpoint; `None` where nothing is said of it.
pub(crate) struct SupportedClientAuth<'a> {
    pub(crate) server: &'a AuthorizationServer,
    pub(crate) methods: Option<Vec<&'a str>>,
    pub(crate) algorithms: Option<Vec<&'a str>>,
}

fn strings(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

/// Puts an [`AuthorizationServer`] together, by hand or from a metadata document.
#[derive(Clone, Debug)]
pub struct AuthorizationServerBuilder {
    issuer: String,
    document: Option<Vec<u8>>,
    members: Map<String, Value>,
    /// The hosts that endpoints may be on beside the issuer's; any, if nothing was said.
    pub(super) hosts: Option<Vec<String>>,
    pub(super) http: PlainHttp,
}

impl AuthorizationServer {
    /// Starts from the issuer identifier. Give it a [`document`](AuthorizationServerBuilder::document), a
    /// [`token_endpoint`](AuthorizationServerBuilder::token_endpoint), or both: what is given by hand takes precedence.
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
            hosts: None,
            http: PlainHttp::Refused,
        }
    }

    /// Fetches the metadata of an issuer: the document of RFC 8414, or of OpenID Connect when there is none (404).
    /// [`Discovery`] does the same in steps, and over plain http on loopback where that is allowed.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when the issuer is not one or the document is not its; the errors of the HTTP
    /// client; [`Redirect`](ErrorKind::Redirect), [`Status`](ErrorKind::Status) and [`Content`](ErrorKind::Content).
    pub fn discover(issuer: &str, http: &dyn HttpClient) -> Result<Self, Error> {
        Discovery::new(issuer)?.run(http)
    }

    /// A builder that starts from this metadata, to correct what the server says of itself.
    #[must_use]
    pub fn to_builder(&self) -> AuthorizationServerBuilder {
        let (issuer, members) = (self.issuer.clone(), self.members.clone());
        AuthorizationServerBuilder { issuer, document: None, members, hosts: None, http: self.http }
    }

    /// The issuer identifier, exactly as it was given: it is compared and sent code point for code point.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A member of the metadata document, or what was set by hand in its place.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// The token endpoint, or its alias for mutual TLS (RFC 8705 §5) when that is asked for and there is one.
    pub(crate) fn token_endpoint(&self, mtls: bool) -> &Url {
        self.mtls_token_endpoint.as_ref().filter(|_| mtls).unwrap_or(&self.token_endpoint)
    }

    /// Any other endpoint, or its alias for mutual TLS where that is asked for and there is one. It was checked when the
    /// metadata were taken.
    pub(crate) fn endpoint_for(&self, name: &str, mtls: bool) -> Option<Url> {
        let aliases = self.member("mtls_endpoint_aliases").filter(|_| mtls);
        let url = aliases.and_then(|aliases| aliases.get(name)).filter(|alias| !alias.is_null());
        Url::target(url.or_else(|| self.member(name))?.as_str()?, self.http).ok()
    }

    /// How clients may authenticate at an endpoint, such as `token_endpoint`.
    pub(crate) fn supported_client_auth(&self, endpoint: &str) -> SupportedClientAuth<'_> {
        let list = |what: &str| self.member(&format!("{endpoint}_auth_{what}_supported")).and_then(strings);
        SupportedClientAuth { server: self, methods: list("methods"), algorithms: list("signing_alg_values") }
    }

    pub(crate) fn dpop_algorithms(&self) -> Option<&[String]> {
        self.dpop_algorithms.as_deref()
    }

    /// Plain http on loopback, where this server was allowed it.
    pub(crate) fn http(&self) -> PlainHttp {
        self.http
    }
}

impl AuthorizationServerBuilder {
    /// The metadata document. Its `issuer` must be the builder's, code point for code point (RFC 8414 §3.3).
    #[must_use]
    pub fn document(self, json: impl Into<Vec<u8>>) -> Self {
        Self { document: Some(json.into()), ..self }
    }

    /// `token_endpoint`.
    #[must_use]
    pub fn token_endpoint(self, url: impl Into<String>) -> Self {
        self.member("token_endpoint", url.into())
    }

    /// `token_endpoint_auth_methods_supported`. A document without it says `client_secret_basic` (RFC 8414 §2); set it
    /// here when the server's document says less than the server can.
    #[must_use]
    pub fn token_endpoint_auth_methods_supported<S: Into<String>>(
        self,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        self.list("token_endpoint_auth_methods_supported", names)
    }

    /// `token_endpoint_auth_signing_alg_values_supported`.
    #[must_use]
    pub fn token_endpoint_auth_signing_alg_values_supported<S: Into<String>>(
        self,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        self.list("token_endpoint_auth_signing_alg_values_supported", names)
    }

    /// `dpop_signing_alg_values_supported` (RFC 9449 §5.1).
    #[must_use]
    pub fn dpop_signing_alg_values_supported<S: Into<String>>(
        self,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        self.list("dpop_signing_alg_values_supported", names)
    }

    /// The `token_endpoint` of `mtls_endpoint_aliases` (RFC 8705 §5).
    #[must_use]
    pub fn mtls_token_endpoint(self, url: impl Into<String>) -> Self {
        let aliases = Map::from_iter([("token_endpoint".to_owned(), Value::from(url.into()))]);
        self.member("mtls_endpoint_aliases", Value::Object(aliases))
    }

    /// Any other member of the metadata.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Refuses endpoints on another host than the issuer's and these. Without it, any host is taken, as RFC 8414 allows:
    /// metadata are then trusted to name no address inside your network (RFC 9700 §4.11 calls it SSRF).
    #[must_use]
    pub fn endpoint_hosts<S: Into<String>>(self, hosts: impl IntoIterator<Item = S>) -> Self {
        Self { hosts: Some(hosts.into_iter().map(Into::into).collect()), ..self }
    }

    /// Allows plain http for URLs whose host is `localhost`, `127.0.0.0/8` or `[::1]`. For tests on one machine: whoever
    /// can listen there can read tokens and secrets.
    #[must_use]
    pub fn dangerous_allow_http_on_loopback(self) -> Self {
        Self { http: PlainHttp::OnLoopback, ..self }
    }

    fn list<S: Into<String>>(self, name: &str, values: impl IntoIterator<Item = S>) -> Self {
        let values: Vec<Value> = values.into_iter().map(|value| Value::from(value.into())).collect();
        self.member(name, values)
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when the issuer, the document or a URL in it cannot be used.
    pub fn build(self) -> Result<AuthorizationServer, Error> {
        let doing = "taking an authorization server's metadata";
        let wrong = |wrong: String| Error::new(ErrorKind::Metadata, doing, wrong);
        let issuer = issuer_url(&self.issuer, self.http)?;
        let on_known_host = |url: Url| match &self.hosts {
            Some(hosts)
                if url.host() != issuer.host()
                    && !hosts.iter().any(|host| host.eq_ignore_ascii_case(url.host())) =>
            {
                Err("its host is neither the issuer's nor one of the hosts that endpoints may be on")
            }
            _ => Ok(url),
        };

        let by_hand = self.document.is_none();
        let mut members = match &self.document {
            None => Map::new(),
            Some(document) => json::parse_members(document).map_err(wrong)?.into_inner(),
        };
        match members.get("issuer") {
            None if by_hand => {}
            Some(Value::String(issuer)) if *issuer == self.issuer => {}
            Some(Value::String(issuer)) => {
                let (seen, expected) = (printable(issuer, 200), printable(&self.issuer, 200));
                return Err(wrong(format!("its issuer is {seen}, not exactly {expected} (RFC 8414 §3.3)")));
            }
            _ => return Err(wrong("it has no `issuer` string".to_owned())),
        }
        if !by_hand {
            // RFC 8414 §2: what a document means that does not say.
            let methods = members.entry("token_endpoint_auth_methods_supported").or_insert(Value::Null);
            if methods.is_null() {
                *methods = Value::from(vec!["client_secret_basic"]);
            }
        }
        members.extend(self.members);
        members.insert("issuer".to_owned(), Value::from(self.issuer.as_str()));

        let endpoint = |place: &str, name: &str, value: &Value| match value {
            Value::String(text) => Url::target(text, self.http)
                .and_then(Url::without_fragment)
                .and_then(on_known_host)
                .map_err(|why| url::refused(ErrorKind::Metadata, &format!("{place}{name}"), text, why)),
            _ => Err(wrong(format!("`{place}{name}` is not a string"))),
        };
        let check_endpoints = |place: &str, members: &Map<String, Value>| {
            members
                .iter()
                .filter(|(name, value)| {
                    (name.ends_with("_endpoint") || *name == "jwks_uri") && !value.is_null()
                })
                .try_for_each(|(name, value)| endpoint(place, name, value).map(drop))
        };
        check_endpoints("", &members)?;
        let aliases = match members.get("mtls_endpoint_aliases") {
            None | Some(Value::Null) => &Map::new(),
            Some(Value::Object(aliases)) => aliases,
            Some(_) => return Err(wrong("`mtls_endpoint_aliases` is not an object".to_owned())),
        };
        check_endpoints("mtls_endpoint_aliases.", aliases)?;

        let token_endpoint = match members.get("token_endpoint") {
            None | Some(Value::Null) => return Err(wrong("it has no `token_endpoint`".to_owned())),
            Some(value) => endpoint("", "token_endpoint", value)?,
        };
        let mtls_token_endpoint = match aliases.get("token_endpoint") {
            None | Some(Value::Null) => None,
            Some(value) => Some(endpoint("mtls_endpoint_aliases.", "token_endpoint", value)?),
        };
        for (name, value) in
            members.iter().filter(|(name, value)| name.ends_with("_supported") && !value.is_null())
        {
            let used = name.contains("_auth_") || name == "dpop_signing_alg_values_supported";
            if used && strings(value).is_none() {
                return Err(wrong(format!("`{name}` is not an array of strings")));
            }
        }
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
}

impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationServer")
            .field("issuer", &self.issuer)
            .field("token_endpoint", &self.token_endpoint)
            .finish_non_exhaustive()
    }
}

/// RFC 8414 §2: no query, no fragment.
pub(super) fn issuer_url(issuer: &str, http: PlainHttp) -> Result<Url, Error> {
    Url::target(issuer, http)
        .and_then(Url::without_fragment)
        .and_then(|url| match url.query() {
            Some(_) => Err("it has a query"),
            None => Ok(url),
        })
        .map_err(|why| url::refused(ErrorKind::Metadata, "issuer", issuer, why))
}
