//! A service that acts for a user: it exchanges the user's token for one of its own (RFC 8693), which is
//! bound to its key, and calls another API with it. The server is one on loopback.

mod common;

use std::process::ExitCode;

use possession::testing::TestServer;
use possession::{ClientAuth, Grant, Session, TokenExchange};

const HELP: &str = "\
Exchanges the token of a user for another one and calls an API with it, against servers that it starts on loopback.

Usage: exchange
";

fn main() -> ExitCode {
    common::run(HELP, |options| {
        options.none()?;
        Ok(act_for_a_user()?)
    })
}

fn act_for_a_user() -> Result<(), common::AnyError> {
    let demo = TestServer::start()?;
    let auth = || ClientAuth::client_secret_basic(demo.client_secret());
    let builder = || {
        let builder = Session::builder(demo.issuer(), demo.client_id()).auth(auth());
        // Only because the server is on this machine.
        builder.dangerous_allow_http_on_loopback()
    };
    // What a request to this service would have brought: a token that this service has validated.
    let of_the_user = builder().scope("orders:read").discover()?.access_token()?;
    let subject_token = of_the_user.access_token().to_owned();

    let session = builder()
        .grant(Grant::token_exchange(move || {
            Ok(TokenExchange::new(subject_token.as_str(), TokenExchange::ACCESS_TOKEN))
        }))
        .scope("orders:read")
        .discover()?;
    let token = session.access_token()?;
    println!("Exchanged for a token of type {:?}.", token.issued_token_type().unwrap_or_default());
    println!("It is another token, bound to another key: {}.", token.jkt() != of_the_user.jkt());

    let orders = session.get(&demo.resource("/orders"))?;
    println!("The call of the API: status {}.", orders.status());
    println!("ok");
    Ok(())
}
