//! Compares a call through a session with the same call by ureq alone, on a kept connection to a host that is
//! given by name: `cargo bench --features testing --bench session`.

// A panic is the right end of a benchmark that cannot run.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use common::loopback::resource;
use common::{Bench, at_most, note, side_by_side};
use possession::testing::TestServer;
use possession::ureq::config::Config;
use possession::ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use possession::ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use possession::ureq::{self, Agent};
use possession::{Algorithm, KeyPair, Proof, ServerRole, Session, Signer};

fn main() {
    let key = KeyPair::generate(Algorithm::Es256).expect("a key");
    let message = [7; 500];
    let signer = KeyPair::from_jwk(&key.to_jwk()).expect("a key");
    let tokens = TestServer::start().expect("a server on loopback");
    let session = tokens.session().key(key).discover().expect("a session");
    let address = resource();
    let url = format!("http://localhost:{}/v1/orders/8f14e45f", address.port());
    // The session has the same settings, so that the difference is DPoP and the look-up of the name.
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(30)))
        .build();
    let plain = Agent::new_with_config(config.clone());
    let without_lookup = Agent::with_parts(config, DefaultConnector::default(), OneAddress(address));
    let token = session.access_token().expect("a token");
    let (authorization, filler) = (format!("DPoP {}", token.access_token()), "a".repeat(600));

    let read = |mut response: http::Response<ureq::Body>| {
        assert_eq!(response.body_mut().read_to_vec().expect("a body"), b"ok");
    };
    let call = |session: &Session| read(session.get(&url).expect("a response"));
    let by = |agent: &Agent| read(agent.get(&url).call().expect("a response"));
    let with_fields = || {
        let request = without_lookup.get(&url).header("authorization", &authorization);
        read(request.header("dpop", &filler).call().expect("a response"));
    };
    let prove = || {
        let proof = Proof::new(&http::Method::GET, &url).expect("a proof").access_token(token.access_token());
        session.prover().prove(ServerRole::ResourceServer, proof, SystemTime::now()).expect("a proof")
    };
    let [call_time, plain_time, without_lookup_time, with_fields, proof, signature] = side_by_side([
        Bench::new(|| call(&session)),
        Bench::new(|| by(&plain)),
        Bench::new(|| by(&without_lookup)),
        Bench::new(with_fields),
        Bench::new(prove),
        Bench::new(|| signer.sign(&message).expect("a signature")),
    ]);
    let (whole, bare) = (call_time.median(), without_lookup_time.median());
    note("plain call by ureq, µs", plain_time.median());
    note("plain call by ureq without the look-up, µs", bare);
    println!("  fields as long as DPoP's       {:+7.1}", with_fields.median() - bare);
    println!("  the signature                  {:+7.1}", signature.median());
    println!("  the rest of the proof          {:+7.1}", proof.median() - signature.median());
    println!("  the session                    {:+7.1}", whole - with_fields.median() - proof.median());
    println!("a DPoP call through a session    {whole:7.1} µs");
    at_most("DPoP call through a session / plain call by ureq", call_time.over(&plain_time), 1.0);
    at_most(
        "DPoP call through a session / plain call by ureq without the look-up",
        call_time.over(&without_lookup_time),
        1.75,
    );
    count_lookups(|| call(&session), || by(&plain));
}

/// Counts the look-ups of a call on a kept connection. ureq starts a thread for each, so the threads are
/// counted.
fn count_lookups(call: impl Fn(), plain: impl Fn()) {
    let (Some(by_plain), Some(by_session)) = (threads_per_call(plain), threads_per_call(call)) else {
        println!("name look-ups cannot be counted on this system");
        return;
    };
    assert!(by_plain >= 1.0, "ureq alone starts no thread, so that its look-ups must be counted otherwise");
    at_most("name look-ups per DPoP call on a kept connection", by_session, 0.0);
}

/// Returns the number of threads that a call starts. The system numbers threads in the order in which they
/// are started, so it is the difference of the numbers of two other threads. Other programs start threads as
/// well, so the lowest of several counts is taken.
fn threads_per_call(call: impl Fn()) -> Option<f64> {
    const CALLS: u32 = 20;
    let count = || {
        let before = number_of_a_thread()?;
        (0..CALLS).for_each(|_| call());
        number_of_a_thread()?.checked_sub(before + 1)
    };
    // A count fails when the numbers start from the beginning.
    let lowest = (0..50).filter_map(|_| count()).min()?;
    Some(f64::from(lowest) / f64::from(CALLS))
}

/// Starts a thread and returns its number. Only Linux tells it.
fn number_of_a_thread() -> Option<u32> {
    let number = || std::fs::read_link("/proc/thread-self").ok()?.file_name()?.to_str()?.parse().ok();
    std::thread::spawn(number).join().expect("a thread without a panic")
}

/// Resolves every name to one address.
#[derive(Debug)]
struct OneAddress(SocketAddr);

impl Resolver for OneAddress {
    fn resolve(&self, _: &http::Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(self.0);
        Ok(addresses)
    }
}
