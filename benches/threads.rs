//! What a second thread brings: `cargo bench --bench threads`. On a machine with two processors or more.

// A benchmark that cannot run has nothing better to do than stop.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Instant, SystemTime};

use common::{NONCE, TOKEN, URL, at_least, learned, median, prove};
use possession::server::{MemoryReplayStore, ReceivedRequest, Verifier};
use possession::testing::FixedNonces;
use possession::{Algorithm, KeyPair, Signer};

const ROUNDS: usize = 15;
/// How many each thread makes or checks in a round.
const EACH: usize = 3000;

fn main() {
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let key = KeyPair::generate(algorithm).expect("a key");
        let public = key.to_public();
        let now = SystemTime::now();
        let bare = scaling(|_| (), |(), _| drop(black_box(key.sign(URL.as_bytes()).expect("a signature"))));
        println!("{algorithm}: bare signatures, two threads over one: {bare:.3}");

        let prover = learned(key);
        let prove = || prove(&prover, now);
        let proofs = scaling(|_| (), |(), _| drop(black_box(prove())));
        at_least(&format!("{algorithm}: proofs of one prover, two threads / one"), proofs, 1.9);

        let jws = prove();
        let bare = scaling(|_| (), |(), _| drop(black_box(public.verify_jws(&jws).expect("it holds"))));
        println!("{algorithm}: bare verifications, two threads over one: {bare:.3}");
        let verifier =
            Verifier::new(MemoryReplayStore::new(10_000_000)).require_nonces(FixedNonces::new([NONCE]));
        let jkt = prover.thumbprint();
        let checks = scaling(
            |_| (0..EACH).map(|_| prove()).collect::<Vec<_>>(),
            |proofs, n| {
                let proof = proofs[n].as_bytes();
                let request =
                    ReceivedRequest::from_fields(&http::Method::GET, URL, vec![proof]).expect("a request");
                black_box(verifier.verify_resource_request(&request, TOKEN, &jkt, now).expect("it passes"));
            },
        );
        at_least(&format!("{algorithm}: checks with replay insert, two threads / one"), checks, 1.9);
    }
}

/// How much more two threads do than one in the same time: the median of several rounds. `prepare` is not timed.
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
                        (0..EACH).for_each(|n| run(&input, n));
                        (start, Instant::now())
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
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
