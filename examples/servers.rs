//! Runs the demonstration servers of `client_credentials` by themselves, to try another client against them.
//!
//! Prints one line `READY {…}` and runs until its standard input ends.

mod common;
#[path = "demo/servers.rs"]
mod servers;

use std::io::Read;
use std::process::ExitCode;

const HELP: &str = "\
Runs the demonstration servers of client_credentials by themselves: an authorization server and a protected resource on
loopback, to try another client against them.

Usage: servers

Standard output gets one line `READY {json}` (issuer, resource, client_id, client_secret). It runs until its standard input
ends. Exit status: 0 it ended, 1 it could not start or go on, 2 bad usage.
";

fn main() -> ExitCode {
    common::run(HELP, |options| {
        options.none()?;
        Ok(serve()?)
    })
}

fn serve() -> Result<(), common::AnyError> {
    let demo = servers::start()?;
    let ready = serde_json::json!({
        "issuer": demo.issuer,
        "resource": demo.resource,
        "client_id": servers::CLIENT_ID,
        "client_secret": demo.client_secret,
    });
    println!("READY {ready}");
    eprintln!(
        "Plain http on loopback: allow it in your client (--dangerous-http in `possession`, \
         dangerous_allow_http_on_loopback() in the builder). Runs until standard input ends."
    );
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
