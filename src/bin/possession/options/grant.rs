//! The grant and the parameters of a token request.

use std::path::PathBuf;

use possession::{
    AuthorizationRequest, AuthorizationServer, Client, ClientAuth, Error, Parameters, RequestOptions,
    SystemClock, TokenEndpointResponse, TokenExchange, TokenResponse, client_credentials_grant_request,
    device_authorization_request, jwt_bearer_grant_request, poll_device_code,
    process_client_credentials_response, process_device_authorization_response, process_jwt_bearer_response,
    process_refresh_token_response, process_token_endpoint_response, process_token_exchange_response,
    refresh_token_grant_request, token_endpoint_request, token_exchange_grant_request,
};

use crate::failure::{Failure, refused, usage};
use crate::options::refuse_unused;
use crate::options::replaceable_file::ReplaceableFile;
use crate::options::secret::{Secret, read, read_or_ask};
use crate::output;

/// The parameters of a request.
#[derive(clap::Args)]
#[command(next_help_heading = "Token")]
pub struct ParameterOptions {
    /// Scope tokens, separated by spaces
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<String>,
    /// The URI of a resource that the token is for; may be repeated
    #[arg(long, value_name = "URI")]
    pub resource: Vec<String>,
    /// A further parameter of the request; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub param: Vec<String>,
    /// A further parameter that is a secret, and the environment variable with its value; may be repeated
    #[arg(long, value_name = "NAME=VARIABLE")]
    pub param_env: Vec<String>,
}

impl ParameterOptions {
    pub fn parameters(&self) -> Result<Parameters, Failure> {
        let parameters =
            self.scope.iter().fold(Parameters::new(), |parameters, scope| parameters.scope(scope));
        let parameters = self.resource.iter().fold(parameters, |parameters, uri| parameters.resource(uri));
        let pairs = self.pairs()?.into_iter();
        let parameters =
            pairs.fold(parameters, |parameters, (name, value)| parameters.parameter(name, value));
        // What is wrong with the command line is found before a request is sent.
        parameters.check().map_err(refused)?;
        Ok(parameters)
    }

    /// Adds the parameters to an authorization request.
    pub fn add_to(&self, request: AuthorizationRequest) -> Result<AuthorizationRequest, Failure> {
        let request = self.scope.iter().fold(request, |request, scope| request.scope(scope));
        let request = self.resource.iter().fold(request, |request, uri| request.resource(uri));
        let pairs = self.pairs()?.into_iter();
        Ok(pairs.fold(request, |request, (name, value)| request.parameter(name, value)))
    }

    fn pairs(&self) -> Result<Vec<(String, String)>, Failure> {
        let split = |text: &String, what: &str| match text.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(usage(what)),
        };
        let given = self.param.iter().map(|text| split(text, "--param must be NAME=VALUE"));
        let from_environment = self.param_env.iter().map(|text| {
            let (name, variable) = split(text, "--param-env must be NAME=VARIABLE")?;
            let value = read(Some(&variable), None)?.unwrap_or_default();
            Ok((name, value.to_string()))
        });
        given.chain(from_environment).collect()
    }
}

/// The token request.
#[derive(clap::Args)]
#[command(next_help_heading = "Token")]
pub struct GrantOptions {
    /// client_credentials, refresh_token, token-exchange, jwt-bearer, device_code, or the URI of another
    /// grant whose parameters --param gives. By default client_credentials
    #[arg(long, value_name = "GRANT")]
    pub grant: Option<String>,
    #[command(flatten)]
    pub parameters: ParameterOptions,
    /// The environment variable with the refresh token, the token to exchange or the assertion of the grant
    #[arg(long, value_name = "NAME")]
    pub grant_env: Option<String>,
    /// A file with the refresh token, the token to exchange or the assertion of the grant; - is standard
    /// input. A refresh token in a file is replaced by its successor, which only the owner can read
    #[arg(long, value_name = "FILE", conflicts_with = "grant_env")]
    pub grant_file: Option<PathBuf>,
    /// The type of the token to exchange. By default urn:ietf:params:oauth:token-type:access_token
    #[arg(long, value_name = "URI")]
    pub subject_token_type: Option<String>,
    /// The type of token to exchange it for
    #[arg(long, value_name = "URI")]
    pub requested_token_type: Option<String>,
}

impl GrantOptions {
    pub fn parameters(&self) -> Result<Parameters, Failure> {
        self.parameters.parameters()
    }

    /// Refuses a grant that is not known, and parameters that are malformed.
    pub fn check(&self) -> Result<(), Failure> {
        self.parameters()?;
        let grant = self.name();
        let needs_secret = match grant.as_str() {
            "refresh-token" | "token-exchange" | "jwt-bearer" => true,
            "client-credentials" | "device-code" => false,
            "authorization-code" => return Err(usage("`possession login` signs a user in")),
            other if other.contains(':') && !other.contains(|c: char| c.is_control() || c == ' ') => false,
            other => return Err(usage(format!("--grant {other} is neither a known grant nor a URI"))),
        };
        let unused = [
            ("--grant-env", !needs_secret && self.grant_env.is_some()),
            ("--grant-file", !needs_secret && self.grant_file.is_some()),
            ("--subject-token-type", grant != "token-exchange" && self.subject_token_type.is_some()),
            ("--requested-token-type", grant != "token-exchange" && self.requested_token_type.is_some()),
        ];
        let given = self.grant.as_deref().unwrap_or("client_credentials");
        refuse_unused(&unused, &format!("with --grant {given}"))
    }

    /// Returns the name of the grant, with hyphens.
    pub fn name(&self) -> String {
        self.grant.as_deref().unwrap_or("client_credentials").replace('_', "-")
    }

    /// Requests a token by the grant of the options.
    pub fn token(
        &self,
        server: &AuthorizationServer,
        client: &Client,
        auth: &ClientAuth,
        options: &RequestOptions<'_>,
    ) -> Result<TokenResponse, Failure> {
        type Process =
            fn(&AuthorizationServer, &Client, TokenEndpointResponse) -> Result<TokenResponse, Error>;
        let parameters = self.parameters()?;
        let grant = self.name();
        let mut used_up = None;
        let (response, process): (_, Process) = match grant.as_str() {
            "client-credentials" => (
                client_credentials_grant_request(server, client, auth, parameters, options)?,
                process_client_credentials_response,
            ),
            "refresh-token" => {
                let asked;
                // A pipe can be read once and not replaced.
                let file = self.grant_file.as_deref().filter(|file| file.is_file());
                let token = match file {
                    Some(file) => used_up.insert(ReplaceableFile::open(file)?).content(),
                    None => {
                        asked = self.secret("refresh token")?;
                        asked.as_str()
                    }
                };
                (
                    refresh_token_grant_request(server, client, auth, token, parameters, options)?,
                    process_refresh_token_response,
                )
            }
            "token-exchange" => {
                let exchange = TokenExchange::new(
                    self.secret("token to exchange")?.as_str(),
                    self.subject_token_type.as_deref().unwrap_or(TokenExchange::ACCESS_TOKEN),
                );
                let exchange = self
                    .requested_token_type
                    .iter()
                    .fold(exchange, |exchange, requested| exchange.requested_token_type(requested));
                (
                    token_exchange_grant_request(server, client, auth, &exchange, parameters, options)?,
                    process_token_exchange_response,
                )
            }
            "jwt-bearer" => {
                let assertion = self.secret("assertion")?;
                (
                    jwt_bearer_grant_request(server, client, auth, &assertion, parameters, options)?,
                    process_jwt_bearer_response,
                )
            }
            "device-code" => return device(server, client, auth, parameters, options),
            _ => {
                let grant = self.grant.as_deref().unwrap_or_default();
                (
                    token_endpoint_request(server, client, auth, grant, parameters, options)?,
                    process_token_endpoint_response,
                )
            }
        };
        let token = process(server, client, response)?;
        if let Some(new) = token.refresh_token().filter(|_| grant == "refresh-token") {
            match used_up {
                Some(file) if file.content() != new => file.replace(new)?,
                Some(_) => {}
                None => output::note(
                    "The server has sent a refresh token, which is not kept: use --grant-file FILE, or possession \
                     login.",
                ),
            }
        }
        Ok(token)
    }

    fn secret(&self, what: &str) -> Result<Secret, Failure> {
        let (env, file) = (self.grant_env.as_deref(), self.grant_file.as_deref());
        read_or_ask(env, file, what, "name it with --grant-env or --grant-file")
    }
}

/// Shows the user code and waits until the user has decided.
pub fn device(
    server: &AuthorizationServer,
    client: &Client,
    auth: &ClientAuth,
    parameters: Parameters,
    options: &RequestOptions<'_>,
) -> Result<TokenResponse, Failure> {
    let response = device_authorization_request(server, client, auth, parameters, options)?;
    let device = process_device_authorization_response(server, client, response)?;
    output::note(format_args!(
        "Open {} and enter the code {}{}{}",
        output::printable(device.verification_uri()),
        output::STRONG,
        output::printable(device.user_code()),
        output::RESET
    ));
    if let Some(uri) = device.verification_uri_complete() {
        output::note(format_args!("or open {}, and check that it shows this code.", output::printable(uri)));
    }
    let clock = SystemClock::new();
    Ok(poll_device_code(server, client, auth, &device, Parameters::new(), options, &clock)?)
}
