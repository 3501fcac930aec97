//! Gets a DPoP-bound access token by the client credentials grant and calls a protected resource with it, and
//! shows every step, against an authorization server and a resource that it starts on loopback. For any other
//! server, `possession token` does the same.

mod common;
#[allow(dead_code, reason = "the trace uses a part of it")]
#[path = "../src/bin/possession/jwt.rs"]
mod jwt;
#[allow(dead_code, reason = "the trace uses a part of it")]
#[path = "../src/bin/possession/secrets.rs"]
mod secrets;
#[path = "demo/servers.rs"]
mod servers;
#[allow(dead_code, reason = "the program uses more of it")]
#[path = "../src/bin/possession/trace.rs"]
mod trace;

use std::process::ExitCode;

use common::Stop;
use http::Method;
use possession::{
    Algorithm, Client, ClientAuth, Discovery, KeyPair, Parameters, Prover, RequestBody, RequestOptions,
    ResourceRequest, Transport, client_credentials_grant_request, process_client_credentials_response,
};
use trace::Traced;

const HELP: &str = "\
Starts an authorization server and a protected resource on loopback, gets a DPoP-bound access token, calls the
resource, and shows every request and response.

Usage: client_credentials

Exit status: 0 it ended with `ok`, 1 failed, 2 bad usage.
";

fn main() -> ExitCode {
    common::run(HELP, |options| {
        options.none()?;
        demonstrate()
    })
}

fn demonstrate() -> Result<(), Stop> {
    let demo = servers::start()?;
    let http = Traced::new(Transport::new(), std::io::stdout());

    let client = Client::new(servers::CLIENT_ID)?;
    let auth = ClientAuth::client_secret_basic(&demo.client_secret);
    let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
    http.say(&format!(
        "An authorization server and a protected resource run on loopback, and a key pair was made.\n\
         Its thumbprint (jkt) is {}; the private half never leaves this program.\n\n",
        prover.thumbprint()
    ));

    http.say("Discovery: what does the authorization server offer?\n");
    let server = Discovery::dangerous_allow_http_on_loopback(&demo.issuer)?.run(&http)?;

    http.say("\nToken request: the proof is signed with the key that the token will be bound to.\n");
    let options = RequestOptions::new().prover(&prover).http(&http);
    let parameters = Parameters::new().scope("orders:read");
    let response = client_credentials_grant_request(&server, &client, &auth, parameters, &options)?;
    if response.requests() != 2 {
        return Err(Stop::Failed("the server did not ask for a nonce".into()));
    }
    http.say(
        "The server first asked for its nonce in the proof. The second request has it, in a new proof.\n",
    );
    let token = process_client_credentials_response(&server, &client, response)?;
    http.say(&format!("Got a {} token for the key {}.\n", token.token_type(), prover.thumbprint()));

    http.say("\nCall: the token, and a proof for this request that contains the hash of the token (ath).\n");
    let mut call =
        ResourceRequest::new(&server, &prover, token.access_token(), &Method::GET, &demo.resource)?;
    let response = call.run(&http::Request::new(RequestBody::default()), &http)?;
    if response.status() != 200 {
        return Err(Stop::Failed(format!("the call was refused with status {}", response.status()).into()));
    }
    http.say("\nA thief of the token could not use it: each request needs a fresh proof by the key.\nok\n");
    Ok(())
}
