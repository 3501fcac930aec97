//! Runs the demonstration authorization server by itself, to try clients and resource servers against it: one client, the
//! client credentials grant, access tokens bound by DPoP. It speaks plain http on 127.0.0.1 and keeps everything in memory.

#[path = "demo/authorization_server.rs"]
mod authorization_server;

use std::io::Write;
use std::process::ExitCode;

use authorization_server::{CLIENT_ID, Setup};
use lexopt::prelude::*;

const HELP: &str = "\
A small authorization server on 127.0.0.1, for demonstration: the client credentials grant for one client, with
client_secret_basic, and access tokens bound by DPoP. Its token endpoint demands nonces.

Usage: authorization_server [OPTIONS]

  --port N         where it listens: 8100 unless given, 0 for any port that is free
  --opaque         access tokens that only introspection can read, instead of JWTs
  --resource URI   a resource server that tokens can be for, may be repeated; the first is meant where a request names
                   none. http://127.0.0.1:8200 unless given, where the example resource_server is

Standard output gets one line `READY {json}` (issuer, client_id, client_secret) when it listens, and command lines to try.
Why it refuses requests goes to standard error. It runs until it is stopped.
Exit status: 1 it could not start, 2 bad usage.
";

fn main() -> ExitCode {
    let setup = match parse(lexopt::Parser::from_env()) {
        Ok(Some(setup)) => setup,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(2, &format!("{error} (see --help)")),
    };
    match serve(setup) {
        Ok(never) => match never {},
        Err(error) => fail(1, &error.to_string()),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    eprintln!("error: {line}");
    ExitCode::from(code)
}

fn serve(setup: Setup) -> Result<std::convert::Infallible, Box<dyn std::error::Error>> {
    let opaque = setup.opaque;
    let resource = setup.resources.first().cloned().unwrap_or_default();
    let running = authorization_server::start(setup)?;
    let (issuer, secret) = (&running.issuer, &running.client_secret);
    let ready = serde_json::json!({ "issuer": issuer, "client_id": CLIENT_ID, "client_secret": secret });
    let introspect = match opaque {
        true => format!(" \\\n    --introspect --client-id {CLIENT_ID} --secret-env CLIENT_SECRET"),
        false => String::new(),
    };
    writeln!(
        std::io::stdout(),
        "\
READY {ready}

issuer         {issuer}
client id      {CLIENT_ID}
client secret  {secret}

A token:
  CLIENT_SECRET={secret} cargo run --quiet --example client_credentials -- \\
    --issuer {issuer} --dangerous-http --client-id {CLIENT_ID} \\
    --auth client_secret_basic --secret-env CLIENT_SECRET --scope orders:read --resource {resource}

A resource server that accepts it (with --call http://127.0.0.1:8200/orders the command above calls it):
  CLIENT_SECRET={secret} cargo run --quiet --example resource_server -- \\
    --issuer {issuer} --dangerous-http --audience {resource}{introspect}

Metadata, and what introspection says of a token nobody issued:
  curl -i {issuer}/.well-known/oauth-authorization-server
  curl -i -u {CLIENT_ID}:{secret} -d token=made-up {issuer}/introspect"
    )?;
    loop {
        std::thread::park();
    }
}

/// `None`: help was asked for.
fn parse(mut parser: lexopt::Parser) -> Result<Option<Setup>, lexopt::Error> {
    let mut setup = Setup { port: 8100, opaque: false, resources: Vec::new(), verbose: true };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("port") => setup.port = parser.value()?.parse()?,
            Long("opaque") => setup.opaque = true,
            Long("resource") => setup.resources.push(parser.value()?.string()?),
            other => return Err(other.unexpected()),
        }
    }
    if setup.resources.is_empty() {
        setup.resources.push("http://127.0.0.1:8200".to_owned());
    }
    Ok(Some(setup))
}
