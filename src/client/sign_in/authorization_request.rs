//! Authorization requests of the authorization code grant (RFC 6749 §4.1.1).

use std::fmt;

use crate::client::parameters::{Field, Parameters, field};
use crate::client::request_options::RequestOptions;
use crate::client::sign_in::pending_authorization::PendingAuthorization;
use crate::client::sign_in::pkce::CodeVerifier;
use crate::crypto::random;
use crate::error::{Error, ErrorKind};
use crate::jose::base64url::base64url;
use crate::jose::public_key::Thumbprint;
use crate::oauth::client::Client;
use crate::oauth::metadata::AuthorizationServer;
use crate::text::is_absolute_uri;
use crate::url::{self, PlainHttp, Url};

const S256: &str = "S256";

/// Parameters that the library sets.
const SET: [&str; 6] =
    ["response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method"];

/// Parameters that callers cannot give, beside those that every request has.
///
/// - A `request` or a `request_uri` replaces all other parameters, so that nothing checked here would be
///   sent (RFC 9101 §6.3). The `request_uri` of a pushed request is added by the library.
/// - The others belong to the token request or to the response.
const RESERVED: [&str; 5] = ["code", "code_verifier", "dpop_jkt", "request", "request_uri"];

/// The parameters of the authorization response, which cannot be in the query of a redirect URI.
pub(crate) const RESPONSE_PARAMETERS: [&str; 7] =
    ["code", "error", "error_description", "error_uri", "iss", "response", "state"];

/// A request that a user authorizes the client, by the authorization code grant (RFC 6749 §4.1). The browser
/// takes it to the authorization server, and takes the response to the redirect URI.
///
/// Every request has `response_type=code`, a random `state`, PKCE with the method `S256` (RFC 7636) and,
/// where the options have a [`Prover`](crate::Prover), `dpop_jkt` (RFC 9449 §10): the code is then bound to
/// the key. The rest is up to the caller:
///
/// ```
/// use possession::*;
///
/// # fn main() -> Result<(), Error> {
/// let server = AuthorizationServer::builder("https://server.example.com")
///     .member("authorization_endpoint", "https://server.example.com/authorize")
///     .token_endpoint("https://server.example.com/token")
///     .build()?;
/// let client = Client::new("s6BhdRkqt3")?;
/// let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
/// let options = RequestOptions::new().prover(&prover);
///
/// let request = AuthorizationRequest::new("https://client.example.org/cb").scope("orders:read");
/// let (url, pending) = request.front_channel(&server, &client, &options)?;
/// // Send the browser to `url`, and keep `pending` until it comes back. In a web application that is in the
/// // session of this browser: `pending.to_json()`.
/// # assert!(url.starts_with("https://server.example.com/authorize?response_type=code&client_id=s6BhdRkqt3&"));
/// # let state = pending.state().to_owned();
/// # let callback = format!("https://client.example.org/cb?code=SplxlOBeZQQYbYS6WxSbIA&state={state}");
/// let code = pending.receive(&callback)?;
/// # let _ = code;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AuthorizationRequest {
    redirect_uri: String,
    parameters: Parameters,
}

/// The fields of an authorization request, and what its response will be compared with.
pub(crate) struct PreparedAuthorization {
    /// The fields of the query, or of the form that is pushed. `client_id` is among them.
    pub(crate) fields: Vec<Field>,
    pub(crate) pending: PendingAuthorization,
}

impl AuthorizationRequest {
    /// Starts a request whose response goes to `redirect_uri`: an https URL, an http URL on loopback, or a
    /// URI of a private scheme (RFC 8252 §7). The server must know it, and compares it character by
    /// character, but for the port of a loopback address.
    #[must_use]
    pub fn new(redirect_uri: impl Into<String>) -> Self {
        Self { redirect_uri: redirect_uri.into(), parameters: Parameters::new() }
    }

    /// Adds `scope`: scope tokens separated by single spaces (RFC 6749 §3.3).
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.with(|parameters| parameters.scope(scope))
    }

    /// Adds `resource`: the absolute URI of a protected resource (RFC 8707 §2). There may be several.
    #[must_use]
    pub fn resource(self, uri: impl Into<String>) -> Self {
        self.with(|parameters| parameters.resource(uri))
    }

    /// Adds `authorization_details`: a JSON array of objects, each with a `type` (RFC 9396 §2).
    #[must_use]
    pub fn authorization_details(self, json: impl Into<String>) -> Self {
        self.with(|parameters| parameters.authorization_details(json))
    }

    /// Adds `prompt`, such as `consent` or `select_account` (OpenID Connect Core 1.0 §3.1.2.1).
    #[must_use]
    pub fn prompt(self, prompt: impl Into<String>) -> Self {
        self.parameter("prompt", prompt)
    }

    /// Adds `login_hint`: the user that the server is to sign in (OpenID Connect Core 1.0 §3.1.2.1).
    #[must_use]
    pub fn login_hint(self, hint: impl Into<String>) -> Self {
        self.parameter("login_hint", hint)
    }

    /// Adds any other parameter that the authorization server knows, such as the `nonce` of OpenID Connect.
    /// There may be several of one name. `response_mode` may be `query`, the default, or `form_post`; what
    /// the library sets, and a request object (RFC 9101), is refused when the request is made.
    #[must_use]
    pub fn parameter(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|parameters| parameters.parameter(name, value))
    }

    fn with(self, add: impl FnOnce(Parameters) -> Parameters) -> Self {
        Self { parameters: add(self.parameters), ..self }
    }

    /// Returns the redirect URI.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Checks the redirect URI and the parameters, for a program that wants to know before it sends another
    /// request, such as for the metadata of the server.
    ///
    /// # Errors
    /// [`Url`](ErrorKind::Url) for the redirect URI, [`Parameter`](ErrorKind::Parameter) when the library
    /// sets one of the parameters, or one is malformed or there twice.
    pub fn check(&self) -> Result<(), Error> {
        check_redirect_uri(&self.redirect_uri)?;
        self.check_parameters()?;
        let set = SET.map(|name| field(name, ""));
        self.parameters.clone().into_fields(set.into()).map(drop)
    }

    /// Returns the URL for the browser with all parameters in its query, and the value to keep until the
    /// response comes (RFC 6749 §4.1.1). Each call of a clone makes a `state` and a code verifier of its own.
    ///
    /// Of the options, the [`Prover`](crate::Prover) is used: its key is named in `dpop_jkt`.
    ///
    /// # Errors
    /// - [`Metadata`](ErrorKind::Metadata) when the server has no usable `authorization_endpoint`, accepts
    ///   pushed authorization requests only (RFC 9126 §5), or lists code challenge methods without `S256`.
    /// - [`Url`](ErrorKind::Url) for the redirect URI, [`Parameter`](ErrorKind::Parameter) for another
    ///   parameter.
    /// - [`Random`](ErrorKind::Random).
    pub fn front_channel(
        self,
        server: &AuthorizationServer,
        client: &Client,
        options: &RequestOptions<'_>,
    ) -> Result<(String, PendingAuthorization), Error> {
        if server.requires_pushed_authorization_requests()? {
            let wrong = "the server accepts pushed authorization requests only (RFC 9126 §5)";
            let doing = "making the URL of an authorization request";
            return Err(Error::new(ErrorKind::Metadata, doing, wrong));
        }
        let jkt = options.prover.as_ref().map(crate::Prover::thumbprint);
        let PreparedAuthorization { fields, pending } = self.prepare(server, client, jkt)?;
        Ok((browser_url(server, &fields)?, pending))
    }

    /// Checks the request and returns its fields, with a new `state` and a new code verifier. `jkt` is the
    /// key that the code will be bound to.
    pub(crate) fn prepare(
        self,
        server: &AuthorizationServer,
        client: &Client,
        jkt: Option<Thumbprint>,
    ) -> Result<PreparedAuthorization, Error> {
        server.require_code_challenge_method(S256)?;
        let iss_required = server.sends_iss_in_authorization_responses()?;
        self.check()?;
        let code_verifier = CodeVerifier::generate()?;
        let state = base64url(&random::<16>()?);
        let challenge = code_verifier.challenge();
        let values = ["code", client.client_id(), &self.redirect_uri, &state, &challenge, S256];
        let fields = SET.into_iter().zip(values);
        let mut fields: Vec<_> = fields.map(|(name, value)| field(name, value)).collect();
        fields.extend(jkt.map(|jkt| field("dpop_jkt", jkt.to_string())));
        let pending = PendingAuthorization {
            issuer: server.issuer().to_owned(),
            client_id: client.client_id().to_owned(),
            redirect_uri: self.redirect_uri,
            state: state.into(),
            code_verifier,
            jkt,
            iss_required,
        };
        Ok(PreparedAuthorization { fields: self.parameters.into_fields(fields)?, pending })
    }

    fn check_parameters(&self) -> Result<(), Error> {
        let wrong = if let Some(name) = RESERVED.iter().find(|name| self.parameters.has(name)) {
            format!("`{name}` is set by the library and cannot be given")
        } else if !self.parameters.values("response_mode").all(|mode| matches!(mode, "query" | "form_post")) {
            "`response_mode` is neither `query` nor `form_post` (a fragment never reaches the client, and a \
             JWT is not supported)"
                .to_owned()
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Parameter, "checking the parameters of an authorization request", wrong))
    }
}

impl fmt::Debug for AuthorizationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationRequest")
            .field("redirect_uri", &self.redirect_uri)
            .field("parameters", &self.parameters)
            .finish()
    }
}

/// Returns the URL for the browser after the request was pushed (RFC 9126 §4).
pub(crate) fn pushed_request_url(
    server: &AuthorizationServer,
    client: &Client,
    request_uri: &str,
) -> Result<String, Error> {
    browser_url(server, &[field("client_id", client.client_id()), field("request_uri", request_uri)])
}

/// Returns the URL of the authorization endpoint with more parameters. A query that it has already is kept
/// (RFC 6749 §3.1).
fn browser_url(server: &AuthorizationServer, fields: &[Field]) -> Result<String, Error> {
    const NAME: &str = "authorization_endpoint";
    let endpoint = server.endpoint_for(NAME, false)?;
    let refused = |why| url::refused(ErrorKind::Metadata, NAME, endpoint.htu(), why);
    // A command that opens the browser gets this text as an argument: it begins with https, and has neither
    // white space nor quotation marks.
    let clean = endpoint.clone().with_clean_query().map_err(refused)?;
    let query = clean.query().unwrap_or_default();
    // No parameter may be there twice (RFC 6749 §3.1).
    let is_set = |name: &str| fields.iter().any(|(own, _)| own == name);
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| is_set(&name)) {
        return Err(refused("its query has a parameter that the request sets"));
    }
    let start = format!("{}?", clean.htu());
    let query_start = start.len();
    let mut form = form_urlencoded::Serializer::for_suffix(start + query, query_start);
    form.extend_pairs(fields.iter().map(|(name, value)| (name, value.as_str())));
    Ok(form.finish())
}

/// Checks that a response at this redirect URI reaches the client and nobody else (RFC 6749 §3.1.2, RFC 8252
/// §7).
fn check_redirect_uri(uri: &str) -> Result<(), Error> {
    let refused = |why| url::refused(ErrorKind::Url, "redirect URI", uri, why);
    if !is_absolute_uri(uri) {
        return Err(refused("it is not an absolute URI without a fragment (RFC 6749 §3.1.2)"));
    }
    let scheme = uri.split(':').next().unwrap_or_default();
    if ["http", "https"].iter().any(|name| scheme.eq_ignore_ascii_case(name)) {
        Url::target(uri, PlainHttp::OnLoopback).map_err(refused)?;
    }
    let query = uri.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let is_ambiguous = |name: &str| RESPONSE_PARAMETERS.contains(&name);
    match form_urlencoded::parse(query.as_bytes()).find(|(name, _)| is_ambiguous(name)) {
        None => Ok(()),
        Some(_) => Err(refused("its query has a parameter of the authorization response")),
    }
}
