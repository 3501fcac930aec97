//! `possession call`: calls a resource, as curl does without DPoP.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, Response};
use possession::{
    AuthorizationServer, Challenge, HttpClient, Prover, RequestBody, RequestOptions, ResourceRequest,
    Transport,
};

use crate::commands::token::method;
use crate::failure::{Failure, usage};
use crate::options::client::ClientOptions;
use crate::options::grant::GrantOptions;
use crate::options::key::KeyOptions;
use crate::options::secret::{TokenOptions, read_file};
use crate::options::server::{ServerOptions, TransportOptions};
use crate::options::session::SessionOptions;
use crate::output;
use crate::trace::Traced;

/// Call a protected resource with a DPoP-bound access token.
///
/// The token is that of a session that `possession login` has stored; or that of --token-env or --token-file,
/// whose key --dpop-key names; or it is requested first, with --issuer and the options of the command token.
/// The body of the response goes to standard output.
#[derive(clap::Args)]
pub struct Call {
    /// The method, such as GET. Its case matters
    method: String,
    /// The URL of the resource
    url: String,
    /// A header field, such as "Accept: text/plain"; may be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE", help_heading = "Request")]
    header: Vec<String>,
    /// The body, or @FILE with the body, as it is; @- is standard input. It is
    /// application/x-www-form-urlencoded, unless --header says otherwise
    #[arg(short, long, value_name = "BODY", help_heading = "Request")]
    data: Option<String>,
    /// Print the status and the header fields of the response before its body
    #[arg(short, long, help_heading = "Output")]
    include: bool,
    /// Show every request and response on standard error, with decoded proofs and without secrets
    #[arg(short, long, help_heading = "Output")]
    verbose: bool,
    /// Exit with status 1 if the status of the response is 400 or more. Redirects are not followed
    #[arg(short, long, help_heading = "Output")]
    fail: bool,
    #[command(flatten)]
    session: SessionOptions,
    #[command(flatten)]
    token: TokenOptions,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    client: ClientOptions,
    #[command(flatten)]
    grant: GrantOptions,
    #[command(flatten)]
    key: KeyOptions,
    #[command(flatten)]
    transport: TransportOptions,
}

/// The header fields that a caller cannot set.
const OWN_FIELDS: [&str; 3] = ["authorization", "dpop", "host"];

impl Call {
    pub fn run(self) -> Result<(), Failure> {
        let request = self.request()?;
        self.transport.check_scheme(&self.url)?;
        let transport = self.transport.transport()?;
        let http = Arc::new(match self.verbose {
            true => Traced::new(transport, std::io::stderr()),
            false => Traced::new(transport, std::io::sink()),
        });
        self.run_over(&request, &http).map_err(|failure| failure.map_text(|text| http.hide(text)))
    }

    fn run_over(&self, request: &Request<RequestBody>, http: &Arc<Traced<Transport>>) -> Result<(), Failure> {
        let method = method(&self.method)?;
        // The session stores the nonces of the call when it is dropped.
        let session = match self.uses_session()? {
            true => {
                let http: Arc<dyn HttpClient> = Arc::clone(http) as _;
                Some(self.session.open(&self.client, &self.transport, http)?)
            }
            false => None,
        };
        let (server, prover, token) = match &session {
            Some(session) => {
                let token = session.access_token()?.access_token().to_owned();
                (session.server().clone(), session.prover(), token)
            }
            None => self.token(&**http)?,
        };
        let send = |token: &str| -> Result<_, Failure> {
            let mut call = ResourceRequest::new(&server, &prover, token, &method, &self.url)?;
            Ok(call.run(request, &**http)?)
        };
        let mut response = send(&token)?;
        // As a session does: a token that was revoked is replaced once.
        if let Some(session) = session.as_ref().filter(|_| refuses_token(&response)) {
            session.discard_token();
            response = send(session.access_token()?.access_token())?;
        }
        self.print(&response)?;
        let status = response.status();
        if !status.is_success() && !self.include {
            output::note(http.hide(&refusal(&response)));
        }
        match self.fail && status.as_u16() >= 400 {
            true => Err(Failure::Reported),
            false => Ok(()),
        }
    }

    /// Returns the header fields and the body.
    fn request(&self) -> Result<Request<RequestBody>, Failure> {
        let body = match &self.data {
            None => Vec::new(),
            Some(data) => match data.strip_prefix('@') {
                Some(file) => read_file(Path::new(file))?,
                None => data.clone().into_bytes(),
            },
        };
        let mut request = Request::new(RequestBody::from(body));
        for field in &self.header {
            let (name, value) = field.split_once(':').ok_or_else(|| usage("--header must be NAME: VALUE"))?;
            let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| {
                usage("--header must be NAME: VALUE, and the name of one is not a field name")
            })?;
            // The value may be a secret.
            let value = HeaderValue::from_str(value.trim()).map_err(|_| {
                usage(format!("--header {name}: the value has characters that no field may have"))
            })?;
            if OWN_FIELDS.contains(&name.as_str()) {
                return Err(usage(format!("--header {name}: this field is made from the URL and the token")));
            }
            request.headers_mut().append(name, value);
        }
        if self.data.is_some() && !request.headers().contains_key("content-type") {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert("content-type", form);
        }
        Ok(request)
    }

    /// Returns whether the token is that of a stored session: no option names another source.
    fn uses_session(&self) -> Result<bool, Failure> {
        let has_token = self.token.token_env.is_some() || self.token.token_file.is_some();
        let of_request = [
            ("--issuer", self.server.issuer.is_some()),
            ("--client-id", self.client.client_id.is_some()),
            ("--scope", self.grant.parameters.scope.is_some()),
            ("--resource", !self.grant.parameters.resource.is_empty()),
            ("--param", !self.grant.parameters.param.is_empty()),
            ("--param-env", !self.grant.parameters.param_env.is_empty()),
            ("--grant", self.grant.grant.is_some()),
            ("--subject-token-type", self.grant.subject_token_type.is_some()),
            ("--requested-token-type", self.grant.requested_token_type.is_some()),
            ("--grant-env", self.grant.grant_env.is_some()),
            ("--grant-file", self.grant.grant_file.is_some()),
            ("--dpop-key", self.key.dpop_key.is_some()),
            ("--dpop-alg", self.key.dpop_alg.is_some()),
        ];
        let other = of_request.iter().find(|(_, is_given)| *is_given).map(|(name, _)| *name);
        if has_token && let Some(other) = other.filter(|other| !["--dpop-key", "--dpop-alg"].contains(other))
        {
            return Err(usage(format!("{other} has no use with --token-env and --token-file")));
        }
        let other = other.or(has_token.then_some("--token-env or --token-file"));
        let is_alone = self.server.issuer.is_none() && !has_token;
        match (self.session.session.is_some() || self.session.store.is_some(), other) {
            (false, Some(other)) if is_alone => Err(usage(format!(
                "--issuer is missing: {other} is for a token that is requested, and a stored session has one"
            ))),
            (true, Some(other)) => Err(usage(format!(
                "{other} does not go with a stored session, which has its token and its key"
            ))),
            (true, None) => Ok(true),
            (false, other) => Ok(other.is_none()),
        }
    }

    /// Returns the token with its key, and the server that it is from.
    fn token(&self, http: &dyn HttpClient) -> Result<(AuthorizationServer, Prover, String), Failure> {
        if let Some(token) = self.token.read()? {
            let key = self.key.key()?;
            let key =
                key.ok_or_else(|| usage("--dpop-key is missing: the key that the token is bound to"))?;
            // Nothing is requested from it.
            let builder = AuthorizationServer::builder("https://issuer.invalid");
            let builder = match self.transport.dangerous_http {
                true => builder.dangerous_allow_http_on_loopback(),
                false => builder,
            };
            return Ok((builder.build()?, Prover::new(key)?, token.to_string()));
        }
        let (client, auth) = (self.client.client()?, self.client.auth(&self.transport)?);
        self.grant.check()?;
        self.key.check()?;
        let server = self.server.server(&self.transport, http)?;
        let prover = self.key.prover(&server)?;
        let options = RequestOptions::new().prover(&prover).http(http);
        let token = self.grant.token(&server, &client, &auth, &options)?;
        Ok((server, prover, token.access_token().to_owned()))
    }

    fn print(&self, response: &Response<Vec<u8>>) -> Result<(), Failure> {
        let mut text = Vec::new();
        if self.include {
            text.extend(format!("{:?} {}\r\n", response.version(), response.status()).into_bytes());
            for (name, value) in response.headers() {
                text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
            }
            text.extend(b"\r\n");
        }
        output::write(&text)?;
        output::write(response.body())?;
        // On a terminal, what follows begins in a line of its own.
        match std::io::stdout().is_terminal() && !response.body().ends_with(b"\n") {
            true => output::write(b"\n"),
            false => Ok(()),
        }
    }
}

/// Returns whether the resource does not accept the token (RFC 6750 §3.1).
fn refuses_token(response: &Response<Vec<u8>>) -> bool {
    let challenges = Challenge::from_headers(response.headers()).unwrap_or_default();
    let names = |challenge: &Challenge| challenge.param("error") == Some("invalid_token");
    response.status() == http::StatusCode::UNAUTHORIZED && challenges.iter().any(names)
}

/// Describes in a line why the response is no success.
fn refusal(response: &Response<Vec<u8>>) -> String {
    let mut line = format!("the resource responded with {}", response.status());
    let location = response.headers().get("location").and_then(|location| location.to_str().ok());
    if let Some(location) = location.filter(|_| response.status().is_redirection()) {
        line.push_str(&format!(", which is not followed, to {}", output::printable(location)));
    }
    let challenges = Challenge::from_headers(response.headers()).unwrap_or_default();
    if let Some(error) = challenges.iter().find_map(|challenge| challenge.param("error")) {
        line.push_str(&format!(", error {}", output::printable(error)));
    }
    line
}
