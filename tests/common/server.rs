//! Helpers of the tests against the test server of this crate.

use std::time::Duration;

use http::Response;
use possession::Session;
use possession::testing::{
    ChallengeForm, Endpoint, ManualClock, Quirk, Received, TestServer, TestServerBuilder, When,
};

/// Every form of a nonce challenge that a client must recognize.
pub const FORMS: [ChallengeForm; 9] = [
    ChallengeForm::Json,
    ChallengeForm::Header,
    ChallengeForm::HeaderWith400,
    ChallengeForm::HeaderAndHtml,
    ChallengeForm::ErrorLast,
    ChallengeForm::Unquoted,
    ChallengeForm::AfterBearer,
    ChallengeForm::TwoFields,
    ChallengeForm::OddlySpaced,
];

pub const SECOND: Duration = Duration::from_secs(1);

/// A server whose clock stands still, unless a session of it sleeps: on a loaded machine, the time that a
/// test takes must not count as a difference of the clocks.
pub fn start() -> TestServer {
    with(|server| server)
}

pub fn with(set: impl FnOnce(TestServerBuilder) -> TestServerBuilder) -> TestServer {
    set(TestServer::builder().clock(ManualClock::new())).start().unwrap()
}

pub fn always(server: &TestServer, at: Endpoint, quirk: Quirk) {
    server.misbehave(at, When::Always, quirk);
}

pub fn once(server: &TestServer, at: Endpoint, quirk: Quirk) {
    server.misbehave(at, When::Next(1), quirk);
}

/// The quirks change one response together.
pub fn once_all<const N: usize>(server: &TestServer, at: Endpoint, quirks: [Quirk; N]) {
    once(server, at, Quirk::All(quirks.into()));
}

pub fn member(name: &str, json: &str) -> Quirk {
    Quirk::Member { name: name.to_owned(), json: json.to_owned() }
}

pub fn respond(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Quirk {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Quirk::Respond(response.body(body.into()).unwrap())
}

/// The status of a GET of the resource.
pub fn get(session: &Session, server: &TestServer) -> u16 {
    session.get(&server.resource("/orders")).unwrap().status().as_u16()
}

pub fn calls(server: &TestServer) -> Vec<Received> {
    server.received_at(Endpoint::Resource)
}

pub fn token_requests(server: &TestServer) -> Vec<Received> {
    server.received_at(Endpoint::Token)
}

pub fn statuses(received: &[Received]) -> Vec<u16> {
    received.iter().map(|received| received.status.unwrap().as_u16()).collect()
}

/// The nonces in the proofs, in order.
pub fn nonces(received: &[Received]) -> Vec<Option<String>> {
    let nonce = |received: &Received| {
        Some(received.proof().unwrap().claims.get("nonce")?.as_str().unwrap().to_owned())
    };
    received.iter().map(nonce).collect()
}

/// The server has received no proof and no assertion twice.
pub fn nothing_twice(server: &TestServer) {
    assert_eq!(server.counts().repeated_proofs, 0);
}
