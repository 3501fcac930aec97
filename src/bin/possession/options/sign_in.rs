//! The sign-in of a user with the browser of this machine.

use possession::{
    AuthorizationCode, AuthorizationRequest, AuthorizationServer, Client, ClientAuth, ErrorKind,
    LoopbackListener, RequestOptions, SystemClock, authorization_request, open_browser,
};

use crate::failure::{Failure, refused, usage};
use crate::options::grant::ParameterOptions;
use crate::options::refuse_unused;
use crate::output;

/// How a user signs in.
#[derive(clap::Args)]
#[command(next_help_heading = "Sign-in")]
pub struct SignInOptions {
    /// Only print the URL, and open no browser
    #[arg(long)]
    pub no_browser: bool,
    /// The port of the redirect URI, for servers that compare it. By default any free port
    #[arg(long, value_name = "PORT")]
    pub redirect_port: Option<u16>,
    /// The path of the redirect URI, which is on http://127.0.0.1 [default: /callback]
    #[arg(long, value_name = "PATH")]
    pub redirect_path: Option<String>,
}

impl SignInOptions {
    /// Refuses them where nobody signs in.
    pub fn check_unused(&self, with_what: &str) -> Result<(), Failure> {
        let unused = [
            ("--no-browser", self.no_browser),
            ("--redirect-port", self.redirect_port.is_some()),
            ("--redirect-path", self.redirect_path.is_some()),
        ];
        refuse_unused(&unused, with_what)
    }

    /// Refuses a path and parameters that no sign-in can have.
    pub fn check(&self, parameters: &ParameterOptions) -> Result<(), Failure> {
        // Any free port: that of the sign-in may not be free yet.
        let listener = LoopbackListener::builder().path(self.path()).bind();
        let listener = listener.map_err(|error| match error.kind() {
            ErrorKind::Parameter => usage(format!("--redirect-path {}: {error}", self.path())),
            _ => error.into(),
        })?;
        let request = parameters.add_to(AuthorizationRequest::new(listener.redirect_uri()))?;
        request.check().map_err(refused)
    }

    fn path(&self) -> &str {
        self.redirect_path.as_deref().unwrap_or("/callback")
    }

    /// Opens the browser, and waits for the authorization code.
    pub fn code(
        &self,
        server: &AuthorizationServer,
        client: &Client,
        auth: &ClientAuth,
        parameters: &ParameterOptions,
        options: &RequestOptions<'_>,
    ) -> Result<AuthorizationCode, Failure> {
        if server.member("pushed_authorization_request_endpoint").is_none()
            && !parameters.param_env.is_empty()
        {
            return Err(usage(
                "--param-env cannot be used here: the server takes no pushed authorization requests, so the parameter \
                 would be part of the URL that the browser opens",
            ));
        }
        let listener = LoopbackListener::builder()
            .port(self.redirect_port.unwrap_or_default())
            .path(self.path())
            .clock(SystemClock::new())
            .bind()?;
        let request = parameters.add_to(AuthorizationRequest::new(listener.redirect_uri()))?;
        let (url, pending) = authorization_request(server, client, auth, request, options)?;
        output::note(format_args!("To sign in, open {url}"));
        if !self.no_browser
            && let Err(error) = open_browser(&url)
        {
            output::note(format_args!("({error})"));
        }
        Ok(listener.receive(pending)?)
    }
}
