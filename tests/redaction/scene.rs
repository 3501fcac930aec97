//! A misbehaving server and sessions at it, everything with secrets that are recognized.

use std::time::Duration;

use http::{Response, StatusCode};
use possession::testing::{Endpoint, ManualClock, Nonces, Quirk, TestServer};
use possession::*;

use crate::common::server::{SECOND, always};
use crate::watch::{PARAMETER, QUERY, REFRESH_TOKEN, SECRET, Watch};

pub const HOUR: Duration = Duration::from_secs(3600);

pub fn member(name: &str, text: &str) -> Quirk {
    Quirk::Member { name: name.to_owned(), json: format!("\"{text}\"") }
}

pub fn with_refresh_token(server: &TestServer) {
    always(server, Endpoint::Token, member("refresh_token", REFRESH_TOKEN));
}

/// A server, its clock, and a session for each authentication method that has a secret.
pub struct Scene {
    pub clock: ManualClock,
    pub server: TestServer,
    pub sessions: Vec<Session>,
    pub url: String,
}

impl Scene {
    pub fn new(watch: &mut Watch) -> Self {
        Self::with_nonces(watch, Nonces::Lifetime(300 * SECOND))
    }

    pub fn with_nonces(watch: &mut Watch, nonces: Nonces) -> Self {
        let (clock, assertion) = (ManualClock::new(), watch.new_key(Algorithm::Es256));
        let builder = TestServer::builder().clock(clock.clone()).nonces(nonces).client("app", SECRET);
        let builder = builder.client_public_key(assertion.to_public());
        watch.show(&builder);
        let server = builder.start().unwrap();
        watch.show(&server);
        with_refresh_token(&server);
        let auths = [
            ClientAuth::client_secret_basic(SECRET),
            ClientAuth::client_secret_basic_unencoded(SECRET),
            ClientAuth::client_secret_post(SECRET),
            ClientAuth::client_secret_jwt(SECRET, HmacAlgorithm::Hs512),
            ClientAuth::private_key_jwt_with(
                assertion,
                AssertionOptions::new().kid("k").typ(Some("client-authentication+jwt")),
            ),
        ];
        let sessions = auths.into_iter().enumerate().map(|(i, auth)| {
            let key = watch.new_key(if i % 2 == 0 { Algorithm::Es256 } else { Algorithm::Ed25519 });
            watch.show(&auth);
            let builder =
                server.session().auth(auth).key(key).clock(clock.clone()).parameter("extra", PARAMETER);
            let builder = builder.resource_origins([server.resource_origin()]).deadline(60 * SECOND);
            watch.show(&builder);
            let session = builder.discover().unwrap();
            watch.show((&session, session.server(), session.prover(), session.stats()));
            session
        });
        let sessions = sessions.collect();
        let url = server.resource(&format!("/orders?{QUERY}"));
        Self { clock, server, sessions, url }
    }

    /// Ends all misbehaviour and lets two hours pass.
    pub fn behave(&self) {
        self.server.behave();
        with_refresh_token(&self.server);
        self.clock.advance(2 * HOUR);
    }
}

/// Shows a response except for its body, which belongs to the resource.
pub fn show_call(watch: &mut Watch, result: Result<Response<ureq::Body>, Error>) -> Option<StatusCode> {
    let response = watch.show_result(result)?;
    watch.show((response.headers(), response.extensions()));
    Some(response.status())
}
