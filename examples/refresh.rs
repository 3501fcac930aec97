//! Keeps the session of a user between two runs of a program: the refresh token, which the server replaces
//! with each use, and the key that it is bound to. The server is one on loopback.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use possession::testing::TestServer;
use possession::{
    Algorithm, AuthorizationRequest, Client, ClientAuth, Discovery, FileStore, Grant, KeyPair, Parameters,
    Prover, RequestOptions, Session, TokenResponse, Transport, authorization_code_grant_request,
    authorization_request, process_authorization_code_response,
};

const HELP: &str = "\
Signs a user in, keeps the session in a file, and continues it as another run of the program would.

Usage: refresh
";

fn main() -> ExitCode {
    common::run(HELP, |options| {
        options.none()?;
        Ok(two_runs()?)
    })
}

fn two_runs() -> Result<(), common::AnyError> {
    // Each token is valid for a second only, so that the second run needs another one.
    let demo = TestServer::builder().public_client().token_lifetime(Duration::from_secs(1)).start()?;
    let directory = std::env::temp_dir().join(format!("possession-refresh-{}", std::process::id()));
    let settings = Session::builder(demo.issuer(), demo.client_id())
        .store(FileStore::new(&directory, "login")?)
        // Only because the server is on this machine.
        .dangerous_allow_http_on_loopback();

    let (tokens, prover) = sign_in(&demo)?;
    let first_run = settings.clone().grant(Grant::tokens(tokens)).prover(&prover).store_key().discover()?;
    println!("First run: status {}.", first_run.get(&demo.resource("/orders"))?.status());
    drop(first_run);

    let second_run = settings.grant(Grant::stored()).discover()?;
    println!("Second run: status {}.", second_run.get(&demo.resource("/orders"))?.status());
    println!("The key is the same: {}.", second_run.prover().thumbprint() == prover.thumbprint());

    second_run.end()?;
    println!("The session has ended: its tokens are revoked, and nothing is stored any more.");
    std::fs::remove_dir_all(directory)?;
    println!("ok");
    Ok(())
}

/// Signs the user in, as the example `login` does, but for the browser: the test server plays it.
fn sign_in(demo: &TestServer) -> Result<(TokenResponse, Prover), common::AnyError> {
    let http = Transport::new();
    let server = Discovery::dangerous_allow_http_on_loopback(demo.issuer())?.run(&http)?;
    let (client, auth) = (Client::new(demo.client_id())?, ClientAuth::none());
    let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
    let options = RequestOptions::new().prover(&prover).http(&http);
    let request = AuthorizationRequest::new("http://127.0.0.1:8080/callback").scope("orders:read");
    let (url, pending) = authorization_request(&server, &client, &auth, request, &options)?;
    let code = pending.receive(&demo.authorize(&url)?)?;
    let parameters = Parameters::new();
    let response = authorization_code_grant_request(&server, &client, &auth, code, parameters, &options)?;
    Ok((process_authorization_code_response(&server, &client, response)?, prover))
}
