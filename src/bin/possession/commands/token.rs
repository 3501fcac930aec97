//! `possession token`: gets a token, and calls a resource with it.

use http::Method;
use possession::{Client, ClientAuth, RequestBody, RequestOptions, ResourceRequest, Transport};
use serde_json::json;

use crate::failure::{Failure, usage};
use crate::options::client::ClientOptions;
use crate::options::grant::GrantOptions;
use crate::options::key::KeyOptions;
use crate::options::server::{ServerOptions, TransportOptions};
use crate::output;
use crate::trace::Traced;

/// Show step by step how a DPoP-bound access token is got, and used.
///
/// Each request and response is shown on standard error, without secrets. Standard output gets one JSON
/// object: token_type, expires_in, scope, jkt (the key that the token is bound to), token_requests (how many
/// were sent) and call_status. A call that is refused does not change the exit status.
#[derive(clap::Args)]
pub struct Token {
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
    /// A protected resource to call with the token
    #[arg(long, value_name = "URL", help_heading = "Call")]
    call: Option<String>,
    /// The method of the call. By default GET
    #[arg(long, value_name = "METHOD", requires = "call", help_heading = "Call")]
    method: Option<String>,
    /// Add the access token and the refresh token to the JSON object
    #[arg(long, help_heading = "Output")]
    show_tokens: bool,
    /// Show no requests and responses
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,
}

impl Token {
    pub fn run(self) -> Result<(), Failure> {
        let (client, auth) = (self.client.client()?, self.client.auth(&self.transport)?);
        self.server.issuer()?;
        let method = method(self.method.as_deref().unwrap_or("GET"))?;
        // What is wrong with the command line is found before a request is sent.
        self.grant.check()?;
        self.key.check()?;
        if let Some(url) = &self.call {
            self.transport.check_scheme(url)?;
        }
        let traced = match self.quiet {
            true => Traced::new(self.transport.transport()?, std::io::sink()),
            false => Traced::new(self.transport.transport()?, std::io::stderr()),
        };
        let outcome = self.run_over(&client, &auth, &method, &traced);
        outcome.map_err(|failure| failure.map_text(|text| traced.hide(text)))
    }

    fn run_over(
        &self,
        client: &Client,
        auth: &ClientAuth,
        method: &Method,
        traced: &Traced<Transport>,
    ) -> Result<(), Failure> {
        let server = self.server.server(&self.transport, traced)?;
        let prover = self.key.prover(&server)?;
        let options = RequestOptions::new().prover(&prover).http(traced);
        let token = self.grant.token(&server, client, auth, &options)?;
        traced.say(&format!("Got a {} token for the key {}.\n", token.token_type(), prover.thumbprint()));
        let mut status = None;
        if let Some(url) = &self.call {
            let mut request = ResourceRequest::new(&server, &prover, token.access_token(), method, url)?;
            let response = request.run(&http::Request::new(RequestBody::default()), traced)?;
            status = Some(response.status().as_u16());
        }
        let mut summary = json!({
            "token_type": token.token_type().to_string(),
            "expires_in": token.expires_in().map(|life| life.as_secs()),
            "scope": token.scope(),
            "jkt": token.jkt().map(|jkt| jkt.to_string()),
            "token_requests": token.requests(),
            "call_status": status,
        });
        if self.show_tokens && self.key.dpop_key.is_none() {
            output::note(
                "The key of this token is not kept: to use the token later, name a key with --dpop-key.",
            );
        }
        if let Some(members) = summary.as_object_mut().filter(|_| self.show_tokens) {
            members.insert("access_token".to_owned(), token.access_token().into());
            members.insert("refresh_token".to_owned(), token.refresh_token().into());
        }
        output::json(&summary)?;
        if let Some(status) = status.filter(|status| *status >= 400) {
            output::note(format_args!("the resource refused the call with status {status}"));
        }
        Ok(())
    }
}

/// Parses an HTTP method.
pub fn method(name: &str) -> Result<Method, Failure> {
    let standard = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let meant = standard.iter().find(|meant| meant.eq_ignore_ascii_case(name));
    if let Some(meant) = meant.filter(|meant| **meant != name) {
        output::note(format_args!("warning: methods are case-sensitive: {name} is not {meant}"));
    }
    Method::from_bytes(name.as_bytes()).map_err(|_| usage(format!("{name} is not an HTTP method")))
}
