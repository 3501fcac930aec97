//! Authorization server metadata (RFC 8414 §2).

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::jose::json;
use crate::text::{printable, without_bom_bytes};
use crate::url::{self, PlainHttp, Url};

const USING_METADATA: &str = "using an authorization server's metadata";
const CHECKING_METADATA: &str = "checking an authorization server's metadata";

/// The metadata of an authorization server: its issuer, its endpoints, and what it supports (RFC 8414 §2).
///
/// A member of a document is checked when it is used, and an error names it. Nothing that this crate
/// does not use makes a document invalid, except an endpoint with user information: a server may publish
/// an endpoint of another scheme, or none for tokens. An empty list means the same as a missing one (RFC
/// 8414 §3.2). `signed_metadata` is ignored.
#[derive(Clone)]
pub struct AuthorizationServer {
    issuer: String,
    /// The token endpoint and its alias for mutual TLS, if there is one. They are checked once and
    /// reported when they are used.
    token_endpoint: Result<Url, Error>,
    mtls_token_endpoint: Option<Result<Url, Error>>,
    dpop_algorithms: Result<Option<Vec<String>>, Error>,
    members: Map<String, Value>,
    http: PlainHttp,
}

/// The client authentication that a server supports at an endpoint. A list is `None` where the metadata have
/// none.
pub(crate) struct SupportedClientAuth<'a> {
    pub(crate) server: &'a AuthorizationServer,
    pub(crate) methods: Option<Vec<&'a str>>,
    /// Only assertions have an algorithm, so a list that is not one matters to them only.
    pub(crate) algorithms: Result<Option<Vec<&'a str>>, Error>,
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
            inherited: Map::new(),
            members: Map::new(),
            endpoint_hosts: None,
            http: PlainHttp::Refused,
        }
    }

    /// Returns a builder that starts from this metadata, to correct them.
    #[must_use]
    pub fn to_builder(&self) -> AuthorizationServerBuilder {
        let inherited = self.members.clone();
        AuthorizationServerBuilder { inherited, http: self.http, ..Self::builder(self.issuer.as_str()) }
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

    /// Returns all members.
    pub(crate) fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// Returns the token endpoint, or its alias for mutual TLS (RFC 8705 §5) where `mtls` is set and there
    /// is one.
    pub(crate) fn token_endpoint(&self, mtls: bool) -> Result<&Url, Error> {
        let alias = self.mtls_token_endpoint.as_ref().filter(|_| mtls);
        alias.unwrap_or(&self.token_endpoint).as_ref().map_err(Clone::clone)
    }

    /// Returns any other endpoint, or its alias for mutual TLS where `mtls` is set and there is one.
    pub(crate) fn endpoint_for(&self, name: &str, mtls: bool) -> Result<Url, Error> {
        let members = Members { members: &self.members, http: self.http };
        let alias = if mtls { members.alias(name) } else { None };
        alias.unwrap_or_else(|| members.endpoint(name, &self.issuer))
    }

    /// Returns whether clients can use authorization requests only after having pushed them (RFC 9126 §5).
    pub(crate) fn requires_pushed_authorization_requests(&self) -> Result<bool, Error> {
        self.flag("require_pushed_authorization_requests")
    }

    /// Returns whether every authorization response of the server has `iss` (RFC 9207 §3).
    pub(crate) fn sends_iss_in_authorization_responses(&self) -> Result<bool, Error> {
        self.flag("authorization_response_iss_parameter_supported")
    }

    /// Refuses a server that lists code challenge methods and not this one. Many servers support PKCE and
    /// list nothing (RFC 8414 §2).
    pub(crate) fn require_code_challenge_method(&self, method: &str) -> Result<(), Error> {
        let listed = list(&self.members, "code_challenge_methods_supported")?;
        match listed {
            Some(listed) if !listed.contains(&method) => {
                let shown = printable(&listed.join(" "), 200);
                let wrong = format!("the server lists only the code challenge methods {shown}, not {method}");
                Err(Error::new(ErrorKind::Metadata, USING_METADATA, wrong))
            }
            _ => Ok(()),
        }
    }

    /// Returns a member that is a boolean and false by default.
    fn flag(&self, name: &str) -> Result<bool, Error> {
        self.member(name).map_or(Ok(false), |value| {
            let wrong = || format!("`{name}` is not a boolean");
            value.as_bool().ok_or_else(|| Error::new(ErrorKind::Metadata, USING_METADATA, wrong()))
        })
    }

    /// Returns how clients may authenticate at an endpoint, such as `token_endpoint`.
    ///
    /// # Errors
    /// [`Metadata`](ErrorKind::Metadata) when the list of methods is not one. That of algorithms is read
    /// when it is used.
    pub(crate) fn supported_client_auth(&self, endpoint: &str) -> Result<SupportedClientAuth<'_>, Error> {
        let methods = list(&self.members, &format!("{endpoint}_auth_methods_supported"))?;
        let algorithms = list(&self.members, &format!("{endpoint}_auth_signing_alg_values_supported"));
        Ok(SupportedClientAuth { server: self, methods, algorithms })
    }

    /// Returns the algorithms of proofs that the server supports, if it says so.
    pub(crate) fn dpop_algorithms(&self) -> Result<Option<&[String]>, Error> {
        self.dpop_algorithms.as_ref().map(Option::as_deref).map_err(Clone::clone)
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
            .field("token_endpoint", &self.token_endpoint.as_ref().ok())
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
    /// The members of the metadata that the builder started from.
    inherited: Map<String, Value>,
    /// The members that were set by hand.
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
    /// [`Metadata`](ErrorKind::Metadata) when the issuer is not valid, the document is not JSON or names
    /// another issuer, a token endpoint that was set by hand cannot be used, or an endpoint has user
    /// information or is on a host that [`endpoint_hosts`](Self::endpoint_hosts) excludes.
    pub fn build(mut self) -> Result<AuthorizationServer, Error> {
        let issuer = issuer_url(&self.issuer, self.http)?;
        let by_hand = ["token_endpoint", "mtls_endpoint_aliases"].map(|name| self.members.contains_key(name));
        let members = self.merged_members()?;
        let read = Members { members: &members, http: self.http };
        read.refuse_hostile_endpoints(&issuer, self.endpoint_hosts.as_deref())?;
        let token_endpoint = read.endpoint("token_endpoint", &self.issuer);
        let mtls_token_endpoint = read.alias("token_endpoint");
        // What was set by hand is meant to be used.
        match (by_hand, &token_endpoint, &mtls_token_endpoint) {
            ([true, _], Err(error), _) | ([_, true], _, Some(Err(error))) => return Err(error.clone()),
            _ => {}
        }
        let dpop_algorithms = list(&members, "dpop_signing_alg_values_supported")
            .map(|names| names.map(|names| names.into_iter().map(str::to_owned).collect()));
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
            members = json::parse_members(without_bom_bytes(document))
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
            if is_empty(methods) {
                *methods = Value::from(vec!["client_secret_basic"]);
            }
        }
        members.extend(std::mem::take(&mut self.inherited));
        members.extend(std::mem::take(&mut self.members));
        members.insert("issuer".to_owned(), Value::from(self.issuer.as_str()));
        Ok(members)
    }
}

/// Reads the endpoints of metadata.
struct Members<'a> {
    members: &'a Map<String, Value>,
    http: PlainHttp,
}

impl Members<'_> {
    /// Returns an endpoint.
    fn endpoint(&self, name: &str, issuer: &str) -> Result<Url, Error> {
        let missing = || {
            let wrong = format!("the metadata of {} have no `{name}`", printable(issuer, 200));
            Error::new(ErrorKind::Metadata, USING_METADATA, wrong)
        };
        self.parse("", name, self.members.get(name)).unwrap_or_else(|| Err(missing()))
    }

    /// Returns the alias of an endpoint for mutual TLS (RFC 8705 §5), if there is one.
    fn alias(&self, name: &str) -> Option<Result<Url, Error>> {
        let place = "mtls_endpoint_aliases";
        match self.members.get(place) {
            None => None,
            Some(none) if is_empty(none) => None,
            Some(Value::Object(aliases)) => self.parse("mtls_endpoint_aliases.", name, aliases.get(name)),
            Some(_) => {
                let wrong = format!("`{place}` is not an object");
                Some(Err(Error::new(ErrorKind::Metadata, USING_METADATA, wrong)))
            }
        }
    }

    /// Parses the URL of an endpoint, if it has one. `place` is where the member is, for errors.
    fn parse(&self, place: &str, name: &str, value: Option<&Value>) -> Option<Result<Url, Error>> {
        let text = match value? {
            Value::Null => return None,
            Value::String(text) => text,
            _ => {
                let wrong = format!("`{place}{name}` is not a string");
                return Some(Err(Error::new(ErrorKind::Metadata, USING_METADATA, wrong)));
            }
        };
        let url = Url::target(text, self.http).and_then(Url::without_fragment);
        Some(url.map_err(|why| url::refused(ErrorKind::Metadata, &format!("{place}{name}"), text, why)))
    }

    /// Refuses metadata with an endpoint that is an attack on clients, whether it is used or not: one
    /// with user information, and one on a host that is neither the issuer's nor one of `hosts`. What is
    /// not an http or https URL has no host that a request could be sent to.
    fn refuse_hostile_endpoints(&self, issuer: &Url, hosts: Option<&[String]>) -> Result<(), Error> {
        let aliases = self.members.get("mtls_endpoint_aliases").and_then(Value::as_object);
        let aliases = aliases.into_iter().flatten().map(|member| ("mtls_endpoint_aliases.", member));
        for (place, (name, value)) in self.members.iter().map(|member| ("", member)).chain(aliases) {
            let is_endpoint = name.ends_with("_endpoint") || name == "jwks_uri";
            let Some(text) = value.as_str().filter(|_| is_endpoint) else { continue };
            let is_allowed = |url: &Url| {
                let listed =
                    |hosts: &[String]| hosts.iter().any(|host| host.eq_ignore_ascii_case(url.host()));
                url.host() == issuer.host() || hosts.is_none_or(listed)
            };
            let why = match Url::http(text) {
                Ok(url) if is_allowed(&url) => continue,
                Ok(_) => "its host is neither the issuer's nor one of the allowed endpoint hosts",
                Err(why) if url::has_user_information(text) => why,
                Err(_) => continue,
            };
            return Err(url::refused(ErrorKind::Metadata, &format!("{place}{name}"), text, why));
        }
        Ok(())
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

/// Returns a list of names, if there is one that is not empty.
fn list<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<Vec<&'a str>>, Error> {
    let Some(value) = members.get(name).filter(|value| !is_empty(value)) else {
        return Ok(None);
    };
    let names = value.as_array().and_then(|names| names.iter().map(Value::as_str).collect());
    names.map(Some).ok_or_else(|| {
        let wrong = format!("`{name}` is not an array of strings");
        Error::new(ErrorKind::Metadata, USING_METADATA, wrong)
    })
}

/// Returns whether a member says nothing. RFC 8414 §3.2: a claim without values is omitted.
fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn refused(wrong: String) -> Error {
    Error::new(ErrorKind::Metadata, CHECKING_METADATA, wrong)
}
