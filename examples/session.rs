//! The simplest useful program: a session that gets a token when it needs one and makes calls with it.
//! Without arguments it talks to demonstration servers that it starts on loopback.

mod common;
#[path = "demo/servers.rs"]
mod servers;

use std::process::ExitCode;

use possession::{Algorithm, ClientAuth, KeyPair, Session};

const HELP: &str = "\
Gets a DPoP-bound access token and makes three calls with it, against servers that it starts on loopback.

Usage: session
";

fn main() -> ExitCode {
    common::run(HELP, |options| {
        options.none()?;
        Ok(calls()?)
    })
}

fn calls() -> Result<(), common::AnyError> {
    let demo = servers::start()?;
    let session = Session::builder(&demo.issuer, servers::CLIENT_ID)
        .auth(ClientAuth::client_secret_basic(&demo.client_secret))
        .key(KeyPair::generate(Algorithm::Es256)?)
        .scope("orders:read")
        .dangerous_allow_http_on_loopback() // only because the servers are on this machine
        .discover()?;
    for _ in 0..3 {
        println!("{}", session.get(&demo.resource)?.body_mut().read_to_string()?);
    }
    Ok(())
}
