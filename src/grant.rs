//! Grants as pairs of a request and the processing of its response, after the model of oauth4webapi.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::challenge::Challenge;
use crate::client::{Client, ClientAuth};
use crate::clock::Skew;
use crate::error::{Error, ErrorKind, printable};
use crate::exchange::{Exchange, Options, TokenEndpointResponse};
use crate::json::{self, Members};
use crate::metadata::AuthorizationServer;
use crate::proof::is_token68;
use crate::public_key::Thumbprint;
use crate::wire::{HttpClient, Step, is_json, is_refusal, oauth_error};

/// HTTP clients and servers bound the head of a request, most of them below this.
const MAX_ACCESS_TOKEN: usize = 32 * 1024;
/// Parameters the library sets by itself.
const OWN: [&str; 5] =
    ["grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type"];

/// What to ask for: `scope`, `resource` and any further parameters.
#[derive(Clone, Default)]
pub struct Parameters {
    fields: Vec<(String, Zeroizing<String>)>,
}

impl Parameters {
    /// Nothing in particular.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `scope`: scope tokens separated by single spaces (RFC 6749 §3.3).
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.parameter("scope", scope)
    }

    /// `resource`: the absolute URI of a protected resource (RFC 8707 §2). May be given several times.
    #[must_use]
    pub fn resource(self, uri: impl Into<String>) -> Self {
        self.parameter("resource", uri)
    }

    /// Any further parameter of the authorization server. May be given several times; `grant_type` and the parameters of
    /// client authentication cannot be given this way.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), Zeroizing::new(value.into())));
        self
    }

    /// The same for equal parameters in the same order, and for no others.
    #[cfg(feature = "ureq")]
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut text = Zeroizing::new(String::new());
        for (name, value) in &self.fields {
            text.push_str(&format!("{} {} {name}", name.len(), value.len()));
            text.push_str(value);
        }
        crate::crypto::sha256(text.as_bytes())
    }

    fn into_fields(self, grant_type: &str) -> Result<Vec<(String, Zeroizing<String>)>, Error> {
        let refuse =
            |wrong: String| Err(Error::new(ErrorKind::Parameter, "taking the parameters of a grant", wrong));
        let mut fields = vec![("grant_type".to_owned(), Zeroizing::new(grant_type.to_owned()))];
        for (name, value) in self.fields {
            let shown = printable(&name, 80);
            match name.as_str() {
                "" => return refuse("a parameter has no name".to_owned()),
                own if OWN.contains(&own) => return refuse(format!("`{shown}` is set by the library alone")),
                "scope" if fields.iter().any(|(name, _)| name == "scope") => {
                    return refuse("`scope` is given twice: separate scope tokens by spaces".to_owned());
                }
                "scope" if !is_scope(&value) => {
                    return refuse("`scope` is not tokens of printable ASCII without \" and \\, separated by single spaces (RFC 6749 §3.3)".to_owned());
                }
                "resource" if !is_absolute_uri(&value) => {
                    return refuse(
                        "`resource` is not an absolute URI without a fragment (RFC 8707 §2)".to_owned(),
                    );
                }
                _ => fields.push((name, value)),
            }
        }
        Ok(fields)
    }
}

impl fmt::Debug for Parameters {
    /// The names: a value may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.fields.iter().map(|(name, _)| name)).finish()
    }
}

fn is_scope(scope: &str) -> bool {
    scope.split(' ').all(|token| {
        !token.is_empty() && token.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    })
}

fn is_absolute_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return false;
    };
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    scheme_ok && !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

impl<'a> Exchange<'a> {
    /// The client credentials grant (RFC 6749 §4.4).
    ///
    /// # Errors
    /// Whatever can be refused before anything is sent: [`Parameter`](ErrorKind::Parameter),
    /// [`AuthMethod`](ErrorKind::AuthMethod) and [`Algorithm`](ErrorKind::Algorithm).
    pub fn client_credentials(
        server: &'a AuthorizationServer,
        client: &'a Client,
        auth: &'a ClientAuth,
        parameters: Parameters,
        options: &Options<'_>,
    ) -> Result<Self, Error> {
        Self::new(server, client, auth, parameters.into_fields("client_credentials")?, options)
    }
}

/// Requests a token by the client credentials grant (RFC 6749 §4.4), with a DPoP proof when `options` has a
/// [`Prover`](crate::Prover) (RFC 9449 §5), and once more with the server's nonce when it asks for one (§8). Give the response to
/// [`process_client_credentials_response`].
///
/// ```no_run
/// use possession::*;
///
/// # fn main() -> Result<(), Error> {
/// let http = Transport::new();
/// let server = AuthorizationServer::discover("https://server.example.com", &http)?;
/// let client = Client::new("s6BhdRkqt3")?;
/// let auth = ClientAuth::client_secret_basic("7Fjfp0ZBr1KtDRbnfVdmIw");
/// let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
/// let options = Options::new().prover(&prover).http(&http);
///
/// let parameters = Parameters::new().scope("orders:read").resource("https://api.example.com");
/// let response = client_credentials_grant_request(&server, &client, &auth, parameters, &options)?;
/// let token = process_client_credentials_response(&server, &client, response)?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// What is refused before sending ([`Parameter`](ErrorKind::Parameter), [`AuthMethod`](ErrorKind::AuthMethod),
/// [`Algorithm`](ErrorKind::Algorithm)), what keeps a request from being made ([`Clock`](ErrorKind::Clock),
/// [`Random`](ErrorKind::Random), [`Signer`](ErrorKind::Signer)), the errors of the HTTP client
/// ([`Transport`](ErrorKind::Transport), [`Timeout`](ErrorKind::Timeout), [`TooLarge`](ErrorKind::TooLarge)), and
/// [`Redirect`](ErrorKind::Redirect). An OAuth error is a response: its twin says so.
pub fn client_credentials_grant_request(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    parameters: Parameters,
    options: &Options<'_>,
) -> Result<TokenEndpointResponse, Error> {
    let exchange = Exchange::client_credentials(server, client, auth, parameters, options)?;
    run(exchange, auth, options)
}

fn run(
    exchange: Exchange<'_>,
    auth: &ClientAuth,
    options: &Options<'_>,
) -> Result<TokenEndpointResponse, Error> {
    #[cfg(feature = "ureq")]
    let default = options.http.is_none().then(crate::transport::Transport::new);
    #[cfg(feature = "ureq")]
    let http = options.http.or(default.as_ref().map(|http| http as _));
    #[cfg(not(feature = "ureq"))]
    let http = options.http;
    match http {
        Some(http) => drive(exchange, auth, http, &SystemTime::now),
        None => {
            let wrong = "no HTTP client was given in the options";
            Err(Error::new(ErrorKind::Transport, exchange.doing(), wrong))
        }
    }
}

/// Sends what an exchange hands out, until it is done.
pub(crate) fn drive(
    mut exchange: Exchange<'_>,
    auth: &ClientAuth,
    http: &dyn HttpClient,
    now: &dyn Fn() -> SystemTime,
) -> Result<TokenEndpointResponse, Error> {
    if auth.uses_mtls_aliases(exchange.client()) && http.has_client_certificate() == Some(false) {
        let wrong = format!("{} needs a client certificate, and the HTTP client has none", auth.method());
        return Err(Error::new(ErrorKind::AuthMethod, exchange.doing(), wrong));
    }
    loop {
        let request = exchange.request(now())?;
        let response = http.send(request).map_err(|error| error.while_doing(exchange.doing()))?;
        match exchange.receive(response, now())? {
            Step::SendAgain => {}
            Step::Done(response) => return Ok(response),
        }
    }
}

/// Checks the response to [`client_credentials_grant_request`] (RFC 6749 §5, RFC 9449 §5).
///
/// # Errors
/// [`OAuth`](ErrorKind::OAuth) when the server refused; [`Challenge`](ErrorKind::Challenge) when it did so in headers
/// only; [`Status`](ErrorKind::Status) and [`Content`](ErrorKind::Content) when the answer is not one;
/// [`TokenType`](ErrorKind::TokenType) when a DPoP request was answered with a `Bearer` token.
pub fn process_client_credentials_response(
    server: &AuthorizationServer,
    client: &Client,
    response: TokenEndpointResponse,
) -> Result<TokenResponse, Error> {
    let client_id = printable(client.client_id(), 80);
    let doing = || format!("asking {} for a token as {client_id}", printable(server.issuer(), 200));
    let (jkt, accept_bearer, requests) = (response.jkt, response.accept_bearer, response.requests());
    let skew = response.skew.clone();
    let response = response.into_http();
    let status = response.status();
    if status != StatusCode::OK {
        return Err(refusal(&response, doing(), skew));
    }
    let content = |wrong: String| Error::new(ErrorKind::Content { status: status.as_u16() }, doing(), wrong);
    if !is_json(response.headers()) {
        return Err(content("the answer is not application/json".to_owned()));
    }
    let body = Zeroizing::new(response.into_body());
    let members = json::object(&body).map_err(|wrong| content(format!("the answer: {wrong}")))?;
    let token = TokenResponse::read(members, jkt, requests).map_err(content)?;
    let wrong = match (token.token_type, jkt) {
        (TokenType::Dpop, Some(_)) | (TokenType::Bearer, None) => return Ok(token),
        (TokenType::Bearer, Some(_)) if accept_bearer => return Ok(token),
        (TokenType::Bearer, Some(_)) => {
            "the server answered a DPoP request with a Bearer token, which is not bound to the key; it was thrown away: have the server bind this client's tokens (`dpop_bound_access_tokens`)"
        }
        (TokenType::Dpop, None) => {
            "the server answered a request without a proof with a DPoP token, which nobody can use"
        }
    };
    let token_type = token.token_type.to_string();
    Err(Error::new(ErrorKind::TokenType { token_type }, doing(), wrong))
}

/// The error for a response that is not a success.
fn refusal(response: &http::Response<Vec<u8>>, doing: String, skew: Option<Skew>) -> Error {
    let status = response.status().as_u16();
    let skew = skew.map(|skew| format!("; {skew}")).unwrap_or_default();
    if let Some(error) = oauth_error(response) {
        let advice = advice(error.error()).map(|advice| format!(": {advice}")).unwrap_or_default();
        let wrong = format!("the server answered {error}{advice}{skew}");
        return Error::new(ErrorKind::OAuth(error), doing, wrong);
    }
    match Challenge::from_headers(response.headers()) {
        Ok(challenges) if is_refusal(response.status()) && !challenges.is_empty() => {
            let shown: Vec<_> = challenges.iter().take(3).map(Challenge::to_string).collect();
            let shown = printable(&shown.join(", "), 500);
            let wrong = format!("the server answered {status} with the challenge {shown}{skew}");
            Error::new(ErrorKind::Challenge { status, challenges }, doing, wrong)
        }
        _ => {
            let wrong = format!("the server answered with status {status} and no OAuth error");
            Error::new(ErrorKind::Status { status }, doing, wrong)
        }
    }
}

/// What to do about an error of RFC 6749 §5.2, RFC 8707 §2 or RFC 9449, where its name does not say so.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "invalid_client" => {
            "check the client's identifier, its secret or key, and the method and algorithm it is registered with"
        }
        "unauthorized_client" => "the client is not registered for this grant",
        "unsupported_grant_type" => "the server does not know this grant",
        "invalid_scope" => "check the scope, and what the client may ask for",
        "invalid_target" => "check the resource, and what the client may ask for",
        "use_dpop_nonce" => "it gave no nonce, or refused the one it had just given",
        _ => return None,
    })
}

/// What a token may be used as (RFC 6749 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenType {
    /// Bound to a key: a proof goes with each use (RFC 9449).
    Dpop,
    /// Whoever has it can use it (RFC 6750).
    Bearer,
}

impl fmt::Display for TokenType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dpop => "DPoP",
            Self::Bearer => "Bearer",
        })
    }
}

/// A token, checked. `Debug` shows none of its secrets.
pub struct TokenResponse {
    access_token: Arc<Zeroizing<String>>,
    refresh_token: Option<Zeroizing<String>>,
    token_type: TokenType,
    expires_in: Option<Duration>,
    scope: Option<String>,
    jkt: Option<Thumbprint>,
    requests: u32,
    members: Members,
}

impl TokenResponse {
    pub(crate) fn read(mut members: Members, jkt: Option<Thumbprint>, requests: u32) -> Result<Self, String> {
        let mut optional = |name: &str| match members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("the answer's `{name}` is not a string")),
        };
        let access_token =
            optional("access_token")?.map(Zeroizing::new).ok_or("the answer has no `access_token`")?;
        let refresh_token = optional("refresh_token")?.map(Zeroizing::new);
        let scope = optional("scope")?;
        let token_type = optional("token_type")?.ok_or("the answer has no `token_type`")?;
        let token_type = match token_type.to_ascii_lowercase().as_str() {
            "dpop" => TokenType::Dpop,
            "bearer" => TokenType::Bearer,
            _ => {
                return Err(format!(
                    "the answer's `token_type` {} is neither DPoP nor Bearer",
                    printable(&token_type, 40)
                ));
            }
        };
        if access_token.len() > MAX_ACCESS_TOKEN {
            return Err(format!(
                "the answer's `access_token` is longer than the {MAX_ACCESS_TOKEN} characters that fit into a request"
            ));
        }
        if !is_token68(&access_token) {
            return Err("the answer's `access_token` has characters that no Authorization header can carry"
                .to_owned());
        }
        let expires_in = match members.remove("expires_in") {
            None | Some(Value::Null) => None,
            Some(value) => {
                Some(seconds(&value).ok_or("the answer's `expires_in` is not a number of seconds")?)
            }
        };
        let jkt = jkt.filter(|_| token_type == TokenType::Dpop);
        let access_token = Arc::new(access_token);
        Ok(Self { access_token, refresh_token, token_type, expires_in, scope, jkt, requests, members })
    }

    /// The access token.
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    #[cfg(feature = "ureq")]
    pub(crate) fn shared_access_token(&self) -> Arc<Zeroizing<String>> {
        Arc::clone(&self.access_token)
    }

    /// The refresh token, which servers should not give in this grant (RFC 6749 §4.4.3).
    #[must_use]
    pub fn refresh_token(&self) -> Option<&str> {
        self.refresh_token.as_deref().map(String::as_str)
    }

    /// Its type.
    #[must_use]
    pub fn token_type(&self) -> TokenType {
        self.token_type
    }

    /// How long it is valid from the response on, if the server said.
    #[must_use]
    pub fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }

    /// The scope the server granted; `None`: the one that was asked for (RFC 6749 §5.1).
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The thumbprint of the key it is bound to; `None` for a `Bearer` token.
    #[must_use]
    pub fn jkt(&self) -> Option<Thumbprint> {
        self.jkt
    }

    /// How many requests were sent for it: 2 when the server asked for a nonce.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Any further member of the response.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse")
            .field("token_type", &self.token_type)
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .field("jkt", &self.jkt)
            .finish_non_exhaustive()
    }
}

/// A number of seconds from zero up, also written as a string as some servers do; fractions are cut off, and what is
/// beyond all time is as long as can be said.
fn seconds(value: &Value) -> Option<Duration> {
    let number = match value {
        Value::Number(number) => match number.as_u64() {
            Some(whole) => return Some(Duration::from_secs(whole)),
            None => number.as_f64()?,
        },
        Value::String(digits)
            if (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            return Some(Duration::from_secs(digits.parse().unwrap_or(u64::MAX)));
        }
        _ => return None,
    };
    // A cast from a float saturates.
    (number >= 0.0).then_some(Duration::from_secs(number as u64))
}
