//! Runs the demonstration authorization server by itself, to try clients and resource servers against it:
//! one client, the client credentials grant, DPoP-bound access tokens. It uses plain http on 127.0.0.1 and
//! keeps everything in memory.

#[path = "demo/authorization_server.rs"]
mod authorization_server;
mod common;

use std::io::Write;
use std::process::ExitCode;

use authorization_server::connections::Limits;
use authorization_server::{CLIENT_ID, Setup};
use common::Stop;

const HELP: &str = "\
A small authorization server on 127.0.0.1, for demonstration: the client credentials grant for one client, with
client_secret_basic, and DPoP-bound access tokens. Its token endpoint requires nonces.

Usage: authorization_server [OPTIONS]

  --port N         the port: 8100 unless given, 0 for any free port
  --opaque         issues opaque access tokens, which need introspection, instead of JWTs
  --resource URI   a resource server that tokens can be issued for; may be repeated. The first is the default of requests
                   that name none. http://127.0.0.1:8200 unless given: the address of the example resource_server

When the server listens, it prints one line `READY {json}` (issuer, client_id, client_secret) and command lines to try.
The reasons for refused requests are written to standard error. It runs until it is stopped.
Exit status: 1 it could not start, 2 bad usage.
";

fn main() -> ExitCode {
    common::run(HELP, |options| serve(read(options)?))
}

fn read(mut options: common::Arguments) -> Result<Setup, Stop> {
    let mut setup =
        Setup { port: 8100, opaque: false, resources: Vec::new(), verbose: true, limits: Limits::default() };
    while let Some(name) = options.next()? {
        match name.as_str() {
            "port" => setup.port = options.parse()?,
            "opaque" => setup.opaque = true,
            "resource" => setup.resources.push(options.text()?),
            _ => return Err(options.unknown()),
        }
    }
    if setup.resources.is_empty() {
        setup.resources.push("http://127.0.0.1:8200".to_owned());
    }
    Ok(setup)
}

fn serve(setup: Setup) -> Result<(), Stop> {
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
  CLIENT_SECRET={secret} cargo run --quiet --features cli --bin possession -- token \\
    --issuer {issuer} --dangerous-http --client-id {CLIENT_ID} --secret-env CLIENT_SECRET \\
    --scope orders:read --resource {resource}

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
