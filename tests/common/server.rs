//! Helpers of the tests against the test server of this crate.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::Response;
use possession::testing::{ChallengeForm, Endpoint, Quirk, Received, TestServer, TestServerBuilder, When};
use possession::{Clock, Session, SystemClock};

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

/// The clock of this machine, on which pauses take no time. A server and its sessions share one, so that
/// however long a test takes, their clocks agree, and they agree with the clocks of other clients.
#[derive(Clone)]
pub struct ClockWithoutPauses {
    machine: Arc<SystemClock>,
    skipped: Arc<Mutex<Duration>>,
}

impl ClockWithoutPauses {
    pub fn new() -> Self {
        Self { machine: Arc::new(SystemClock::new()), skipped: Arc::default() }
    }
}

impl Clock for ClockWithoutPauses {
    fn now(&self) -> SystemTime {
        self.machine.now() + *self.skipped.lock().unwrap()
    }

    fn elapsed(&self) -> Duration {
        self.machine.elapsed() + *self.skipped.lock().unwrap()
    }

    fn sleep(&self, pause: Duration) {
        *self.skipped.lock().unwrap() += pause;
    }
}

/// A server with a [`ClockWithoutPauses`].
pub fn start() -> TestServer {
    with(|server| server)
}

pub fn with(set: impl FnOnce(TestServerBuilder) -> TestServerBuilder) -> TestServer {
    set(TestServer::builder().clock(ClockWithoutPauses::new())).start().unwrap()
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
