//! Signs a user in who has a browser on another device (RFC 8628), as a program without a browser does. The
//! server is one on loopback, and a thread is the user who opens the page and agrees.

mod common;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use possession::testing::{Endpoint, Quirk, TestServer, When};
use possession::{
    Algorithm, Client, ClientAuth, Discovery, Grant, KeyPair, Parameters, Prover, RequestOptions, Session,
    SystemClock, Transport, device_authorization_request, poll_device_code,
    process_device_authorization_response,
};

const HELP: &str = "\
Signs a user in on another device and calls an API, against servers that it starts on loopback.

Usage: device
";

fn main() -> ExitCode {
    common::run(HELP, |options| {
        options.none()?;
        Ok(sign_in()?)
    })
}

fn sign_in() -> Result<(), common::AnyError> {
    let demo = TestServer::builder().public_client().polling_interval(Duration::from_secs(1)).start()?;
    // The user takes a moment.
    let pending = Quirk::OAuthError("authorization_pending".to_owned());
    demo.misbehave(Endpoint::Token, When::Next(1), pending);

    let http = Transport::new();
    // Only because the server is on this machine: yours is found by `AuthorizationServer::discover`.
    let server = Discovery::dangerous_allow_http_on_loopback(demo.issuer())?.run(&http)?;
    let (client, auth) = (Client::new(demo.client_id())?, ClientAuth::none());
    let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
    let options = RequestOptions::new().prover(&prover).http(&http);

    let parameters = Parameters::new().scope("orders:read");
    let response = device_authorization_request(&server, &client, &auth, parameters, &options)?;
    let device = process_device_authorization_response(&server, &client, response)?;
    println!("Open {} and enter the code {}", device.verification_uri(), device.user_code());
    let page = device.verification_uri_complete().unwrap_or(device.verification_uri()).to_owned();
    thread::spawn(move || ureq::get(page).call());

    let clock = SystemClock::new();
    let tokens = poll_device_code(&server, &client, &auth, &device, Parameters::new(), &options, &clock)?;
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
