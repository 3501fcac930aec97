//! The command line of the example `resource_server`, and what follows from it.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use possession::server::{Introspector, JwtValidator, TokenValidator};
use possession::{Client, ClientAuth, Discovery, Transport};

use crate::authorization_server::{CLIENT_ID, Running};
use crate::common::{self, Stop, read, secret, usage};

pub const HELP: &str = "\
An API on 127.0.0.1 that accepts only DPoP-bound access tokens: GET /orders (scope orders:read), POST /orders
(scope orders:write), and GET /health, which needs no token. Proofs must have a nonce.

Usage: resource_server [--port N] [--introspect]                 also starts an authorization server
       resource_server --issuer URL [OPTIONS]                    accepts tokens of an existing authorization server

  --port N            the port: 8200 unless given, 0 for any free port
  --audience URI      the required audience of the tokens; the server's own origin unless given
  --introspect        ask the authorization server about each token (RFC 7662); without this, tokens are JWTs (RFC 9068)

With --issuer:
  --issuer URL        the issuer identifier of an authorization server; its metadata is discovered
  --dangerous-http    allow plain http to it on loopback
  --ca FILE           trust the CA certificates in this PEM file instead of the built-in ones
  --client-id ID      the client identifier for introspection, with client_secret_basic
  --secret-env NAME   the environment variable that holds the client secret
  --typ NAME          also accept JWTs with this `typ`, besides at+jwt: other JWTs of the issuer may then be accepted as
                      access tokens

When the server listens, it prints one line `READY {json}` (url, issuer, client_id and client_secret if known) and command
lines to try. The reasons for refused requests are written to standard error. It runs until it is stopped.
Exit status: 1 it could not start or continue, 2 bad usage.
";

#[derive(Default)]
pub struct Arguments {
    pub port: u16,
    pub issuer: Option<String>,
    dangerous_http: bool,
    ca: Option<OsString>,
    pub audience: Option<String>,
    pub introspect: bool,
    client_id: Option<String>,
    secret_env: Option<String>,
    typ: Option<String>,
}

impl Arguments {
    pub fn read(mut options: common::Arguments) -> Result<Self, Stop> {
        let mut arguments = Self { port: 8200, ..Self::default() };
        while let Some(name) = options.next()? {
            match name.as_str() {
                "port" => arguments.port = options.parse()?,
                "issuer" => options.set(&mut arguments.issuer)?,
                "dangerous-http" => arguments.dangerous_http = true,
                "ca" => options.set_path(&mut arguments.ca)?,
                "audience" => options.set(&mut arguments.audience)?,
                "introspect" => arguments.introspect = true,
                "client-id" => options.set(&mut arguments.client_id)?,
                "secret-env" => options.set(&mut arguments.secret_env)?,
                "typ" => options.set(&mut arguments.typ)?,
                _ => return Err(options.unknown()),
            }
        }
        arguments.check()?;
        Ok(arguments)
    }

    fn check(&self) -> Result<(), Stop> {
        let wrong = |message: &str| Err(usage(message));
        let named = self.client_id.is_some() || self.secret_env.is_some();
        let only_with_issuer = named || self.ca.is_some() || self.typ.is_some() || self.dangerous_http;
        match (&self.issuer, self.introspect) {
            (None, _) if only_with_issuer => {
                wrong("--dangerous-http, --ca, --client-id, --secret-env and --typ go with --issuer")
            }
            (_, false) if named => wrong("--client-id and --secret-env go with --introspect"),
            (_, true) if self.typ.is_some() => wrong("--typ is for JWTs and does not go with --introspect"),
            (Some(_), true) if self.client_id.is_none() || self.secret_env.is_none() => {
                wrong("--introspect needs --client-id and --secret-env")
            }
            _ => Ok(()),
        }
    }
}

/// JWTs are checked here, with the keys of their issuer; of others, it is asked.
pub fn token_validator(
    arguments: &Arguments,
    demo: Option<&Running>,
    audience: &str,
) -> Result<Arc<dyn TokenValidator>, Stop> {
    let mut transport = Transport::builder().timeout(Duration::from_secs(10));
    if let Some(ca) = &arguments.ca {
        transport = transport.root_certificates_pem(&read(ca)?)?;
    }
    let http = transport.build();
    let discovery = match (demo, arguments.issuer.as_deref()) {
        (Some(demo), _) => Discovery::dangerous_allow_http_on_loopback(&demo.issuer)?,
        (None, issuer) if arguments.dangerous_http => {
            Discovery::dangerous_allow_http_on_loopback(issuer.unwrap_or_default())?
        }
        (None, issuer) => Discovery::new(issuer.unwrap_or_default())?,
    };
    let server = discovery.run(&http)?;
    if arguments.introspect {
        let (client_id, client_secret) = match (demo, &arguments.client_id, &arguments.secret_env) {
            (Some(demo), ..) => (CLIENT_ID, demo.client_secret.clone()),
            (None, Some(client_id), Some(name)) => (client_id.as_str(), secret(name)?),
            _ => return Err(usage("--introspect needs --client-id and --secret-env")),
        };
        let auth = ClientAuth::client_secret_basic(client_secret);
        let introspector = Introspector::new(&server, &Client::new(client_id)?, &auth, audience, http)?;
        return Ok(Arc::new(introspector));
    }
    let tokens = JwtValidator::new(&server, audience, http)?;
    Ok(match &arguments.typ {
        Some(typ) => Arc::new(tokens.dangerous_accept_typ(typ)),
        None => Arc::new(tokens),
    })
}

pub fn command_lines(origin: &str, audience: &str, demo: Option<&Running>) -> String {
    let mut text = format!(
        "
Open to all:
  curl -i {origin}/health

Refused, with a challenge:
  curl -i {origin}/orders
"
    );
    if let Some(Running { issuer, client_secret }) = demo {
        let client_credentials = format!(
            "CLIENT_SECRET={client_secret} cargo run --quiet --features cli --bin possession -- token \\
    --issuer {issuer} --dangerous-http --client-id {CLIENT_ID} --secret-env CLIENT_SECRET \\
    --resource {audience} --call {origin}/orders"
        );
        text += &format!(
            "
No token without a proof:
  curl -i -u {CLIENT_ID}:{client_secret} -d grant_type=client_credentials {issuer}/token

A token, and a call with it:
  {client_credentials} --scope orders:read

The same for another method and scope:
  {client_credentials} --scope orders:write --method POST
"
        );
    }
    text
}
