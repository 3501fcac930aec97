//! Signs a user in with the browser and makes a call, as a command-line program does. Without arguments the
//! server is one on loopback where the user agrees at once, and a thread stands in for the browser.

mod common;

use std::process::ExitCode;
use std::thread;

use possession::testing::TestServer;
use possession::{
    Algorithm, AuthorizationRequest, Client, ClientAuth, Discovery, Grant, KeyPair, LoopbackListener,
    Parameters, Prover, RequestOptions, Session, Transport, authorization_code_grant_request,
    authorization_request, open_browser, process_authorization_code_response,
};

const HELP: &str = "\
Signs a user in with the browser and calls an API, against servers that it starts on loopback.

Usage: login [OPTIONS]

  --browser    open the browser of this machine instead of following the redirects in this program
";

fn main() -> ExitCode {
    common::run(HELP, |mut options| {
        let mut in_browser = false;
        while let Some(name) = options.next()? {
            match name.as_str() {
                "browser" => in_browser = true,
                _ => return Err(options.unknown()),
            }
        }
        Ok(sign_in(in_browser)?)
    })
}

fn sign_in(in_browser: bool) -> Result<(), common::AnyError> {
    // A native application has no secret, and a port of its own in each run (RFC 8252 §7.3).
    let demo = TestServer::builder().public_client().redirect_uris(["http://127.0.0.1/callback"]).start()?;
    let http = Transport::new();
    // Only because the server is on this machine: yours is found by `AuthorizationServer::discover`.
    let server = Discovery::dangerous_allow_http_on_loopback(demo.issuer())?.run(&http)?;
    let (client, auth) = (Client::new(demo.client_id())?, ClientAuth::none());
    let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
    let options = RequestOptions::new().prover(&prover).http(&http);

    let listener = LoopbackListener::bind()?;
    let request = AuthorizationRequest::new(listener.redirect_uri()).scope("orders:read");
    let (url, pending) = authorization_request(&server, &client, &auth, request, &options)?;
    println!("To sign in, open {url}");
    if in_browser {
        open_browser(&url)?;
    } else {
        thread::spawn(move || follow(&url));
    }
    let code = listener.receive(pending)?;

    let parameters = Parameters::new();
    let response = authorization_code_grant_request(&server, &client, &auth, code, parameters, &options)?;
    let tokens = process_authorization_code_response(&server, &client, response)?;
    println!("The tokens are bound to the key {}.", prover.thumbprint());

    let session = Session::builder(server.issuer(), client.client_id())
        .auth(auth)
        .prover(&prover)
        .grant(Grant::tokens(tokens))
        .server(server)?;
    let orders = session.get(&demo.resource("/orders"))?;
    println!("The call of the API: status {}.", orders.status());
    println!("ok");
    Ok(())
}

/// Follows the redirects, as a browser does.
fn follow(url: &str) {
    if let Err(error) = ureq::get(url).call() {
        eprintln!("following {url}: {error}");
    }
}
