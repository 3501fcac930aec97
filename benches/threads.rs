//! Compares two threads with one: `cargo bench --features testing --bench threads`. It needs two idle
//! processors.

// A panic is the right end of a benchmark that cannot run.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Instant, SystemTime};

use common::loopback::resource;
use common::requests::{Issuer, request, resource_server};
use common::{NONCE, TOKEN, URL, at_least, median, prove, prover_with_nonce};
use possession::server::{MemoryReplayStore, ReceivedRequest, Verifier};
use possession::testing::{FixedNonces, TestServer};
use possession::{Algorithm, KeyPair, Signer};

const ROUNDS: usize = 15;
/// The number of proofs that each thread makes or verifies in a round.
const PER_THREAD: usize = 3000;

fn main() {
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let key = KeyPair::generate(algorithm).expect("a key");
        let public = key.to_public();
        let now = SystemTime::now();
        let bare = scaling(|_| (), |(), _| drop(black_box(key.sign(URL.as_bytes()).expect("a signature"))));
        println!("{algorithm}: bare signatures, two threads over one: {bare:.3}");

        let prover = prover_with_nonce(key);
        let prove = || prove(&prover, now);
        let proofs = scaling(|_| (), |(), _| drop(black_box(prove())));
        at_least(&format!("{algorithm}: proofs of one prover, two threads / one"), proofs, 1.9);

        let jws = prove();
        let bare =
            scaling(|_| (), |(), _| drop(black_box(public.verify_jws(&jws).expect("a valid signature"))));
        println!("{algorithm}: bare verifications, two threads over one: {bare:.3}");
        let verifier = Verifier::new(MemoryReplayStore::new(10_000_000).max_proofs_per_key(usize::MAX))
            .require_nonces(FixedNonces::new([NONCE]));
        let jkt = prover.thumbprint();
        let verifications = scaling(
            |_| (0..PER_THREAD).map(|_| prove()).collect::<Vec<_>>(),
            |proofs, n| {
                let proof = proofs[n].as_bytes();
                let request =
                    ReceivedRequest::from_fields(&http::Method::GET, URL, vec![proof]).expect("a request");
                black_box(
                    verifier.verify_resource_request(&request, TOKEN, &jkt, now).expect("a valid proof"),
                );
            },
        );
        at_least(
            &format!("{algorithm}: verifications with replay insertion, two threads / one"),
            verifications,
            1.9,
        );
    }
    authenticated_requests();
    session_calls();
}

/// Requests of one client with a JWT that was seen before.
fn authenticated_requests() {
    let (key, issuer) = (KeyPair::generate(Algorithm::Es256).expect("a key"), Issuer::new());
    let token = issuer.token(&key.to_public().thumbprint());
    let (api, nonce) = resource_server(issuer.validator());
    let authenticated = scaling(
        |_| (0..PER_THREAD).map(|_| request(&key, &token, &nonce)).collect::<Vec<_>>(),
        |requests, n| {
            black_box(api.authenticate(&requests[n], SystemTime::now()).expect("a valid request"));
        },
    );
    at_least("ES256: authenticated requests with one JWT, two threads / one", authenticated, 1.9);
}

/// Calls through one session to a resource on loopback, whose threads share the processors with these.
fn session_calls() {
    let tokens = TestServer::start().expect("a server on loopback");
    let key = KeyPair::generate(Algorithm::Es256).expect("a key");
    let session = tokens.session().key(key).discover().expect("a session");
    let url = format!("http://localhost:{}/v1/orders/8f14e45f", resource().port());
    let calls = scaling(
        |_| (),
        |(), _| {
            let mut response = session.get(&url).expect("a response");
            assert_eq!(response.body_mut().read_to_vec().expect("a body"), b"ok");
        },
    );
    at_least("ES256: calls through one session, two threads / one", calls, 1.9);
}

/// Returns how much more two threads do than one in the same time: the median of several rounds. `prepare` is
/// not timed.
fn scaling<T: Send>(prepare: impl Fn(usize) -> T, run: impl Fn(&T, usize) + Sync) -> f64 {
    let seconds = |threads: usize| {
        let inputs: Vec<T> = (0..threads).map(&prepare).collect();
        let barrier = Barrier::new(threads);
        let ends: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
            let threads: Vec<_> = inputs
                .into_iter()
                .map(|input| {
                    let (barrier, run) = (&barrier, &run);
                    scope.spawn(move || {
                        barrier.wait();
                        let start = Instant::now();
                        (0..PER_THREAD).for_each(|n| run(&input, n));
                        (start, Instant::now())
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread without a panic")).collect()
        });
        let start = ends.iter().map(|(start, _)| *start).min().expect("a thread");
        let end = ends.iter().map(|(_, end)| *end).max().expect("a thread");
        (end - start).as_secs_f64()
    };
    let one_then_two = || {
        let (one, two) = (seconds(1), seconds(2));
        2.0 * one / two
    };
    median((0..ROUNDS).map(|_| one_then_two()).collect())
}
