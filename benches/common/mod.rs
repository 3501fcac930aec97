//! Times operations side by side: each for a short while, in turn, many times over, so that other load of the
//! machine affects all of them alike. criterion and divan time one operation after another, so that ratios
//! depend on the load at the time.

// No benchmark uses everything in this module.
#![allow(dead_code)]
// A panic is the right end of a benchmark that cannot run.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

pub mod bare;
pub mod loopback;
pub mod requests;

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use possession::{Algorithm, Proof, Prover, PublicKey, ServerRole, Signer};

/// The URL that proofs are made for.
pub const URL: &str = "https://api.example.com/v1/orders/8f14e45f?page=2";
pub const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
pub const NONCE: &str = "eyJ7S_zG.eyJH0-Z.HX4w-7v";

/// How often each operation is measured.
const ROUNDS: usize = 41;
/// The number of inputs that are made at a time.
const BATCH: usize = 16;
/// The minimum duration of a measurement.
const SLICE: Duration = Duration::from_millis(4);

/// An operation to time.
pub struct Bench<'a> {
    run: Box<dyn FnMut(usize) -> Duration + 'a>,
}

/// The nanoseconds per run, one value for each round.
#[derive(Clone)]
pub struct Times(Vec<f64>);

impl<'a> Bench<'a> {
    pub fn new<T>(mut run: impl FnMut() -> T + 'a) -> Self {
        Self::with_inputs(|| (), move |()| run())
    }

    /// Times an operation with an input. Each run has its own, which is made beforehand and dropped
    /// afterwards; neither is timed. Only a few are made at a time, so that they are in the processor's cache
    /// like data just received from the network.
    pub fn with_inputs<I, T>(mut input: impl FnMut() -> I + 'a, mut run: impl FnMut(&I) -> T + 'a) -> Self {
        let run = Box::new(move |times: usize| {
            let mut all = Duration::ZERO;
            let mut left = times;
            while left > 0 {
                let inputs: Vec<I> = (0..left.min(BATCH)).map(|_| input()).collect();
                left -= inputs.len();
                let start = Instant::now();
                for input in &inputs {
                    black_box(run(input));
                }
                all += start.elapsed();
            }
            all
        });
        Self { run }
    }

    fn time(&mut self, times: usize) -> Duration {
        (self.run)(times)
    }
}

/// Times the operations, in turn, and returns their times in the order given.
pub fn side_by_side<const N: usize>(mut benches: [Bench<'_>; N]) -> [Times; N] {
    let repetitions = benches.each_mut().map(|bench| {
        let mut times = 1;
        while bench.time(times) < SLICE {
            times *= 2;
        }
        times
    });
    let mut results = [(); N].map(|()| Times(Vec::with_capacity(ROUNDS)));
    for round in 0..ROUNDS {
        for ((bench, times), result) in benches.iter_mut().zip(repetitions).zip(&mut results) {
            let time = at_stack_depth(round, &mut || bench.time(times));
            result.0.push(time.as_secs_f64() * 1e9 / times as f64);
        }
    }
    results
}

/// Calls `run` further down the stack. The position of the stack makes some code a tenth faster or slower,
/// Ed25519 above all, so each round has another one.
#[inline(never)]
fn at_stack_depth<T>(levels: usize, run: &mut dyn FnMut() -> T) -> T {
    let room = black_box([0_u8; 48]);
    let result = if levels == 0 { run() } else { at_stack_depth(levels - 1, run) };
    black_box(&room);
    result
}

impl Times {
    /// Returns the median, in microseconds.
    pub fn median(&self) -> f64 {
        median(self.0.clone()) / 1000.0
    }

    /// Returns the median of the ratios of all rounds.
    pub fn over(&self, other: &Self) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints one figure with its target, and appends it to the file that `BENCH_JSON` names, for `run.py`.
fn report(what: &str, measured: f64, target: &str, reached: bool) {
    println!("{what:<70} {measured:9.3}   {target:<10} {}", if reached { "reached" } else { "MISSED" });
    append(what, measured, Some(target));
}

fn append(what: &str, measured: f64, target: Option<&str>) {
    if let Some(file) = std::env::var_os("BENCH_JSON") {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).expect("BENCH_JSON");
        let row = serde_json::json!({"what": what, "measured": measured, "target": target});
        writeln!(file, "{row}").expect("BENCH_JSON");
    }
}

/// Reports a figure without a target, which others are compared with.
pub fn note(what: &str, measured: f64) {
    println!("{what:<70} {measured:9.3}");
    append(what, measured, None);
}

/// Reports a figure that must not be above `max`.
pub fn at_most(what: &str, measured: f64, max: f64) {
    report(what, measured, &format!("<= {max}"), measured <= max);
}

/// Reports a figure that must not be below `min`.
pub fn at_least(what: &str, measured: f64, min: f64) {
    report(what, measured, &format!(">= {min}"), measured >= min);
}

/// A signer that returns a constant, so that everything else of a proof is measured.
pub struct NoSignature {
    pub algorithm: Algorithm,
    pub key: PublicKey,
    pub length: usize,
}

impl Signer for NoSignature {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(vec![7; self.length])
    }
}

/// The header fields of a response of the resource: a nonce.
pub fn nonce_field() -> http::HeaderMap {
    let (name, value) = ("dpop-nonce", http::HeaderValue::from_static(NONCE));
    http::HeaderMap::from_iter([(http::HeaderName::from_static(name), value)])
}

/// Returns a prover that has the nonce of the resource.
pub fn prover_with_nonce(signer: impl Signer + 'static) -> Prover {
    let prover = Prover::new(signer).expect("a prover");
    prover.record_nonce(ServerRole::ResourceServer, URL, &nonce_field()).expect("a nonce");
    prover
}

pub fn prove(prover: &Prover, now: SystemTime) -> String {
    let proof = Proof::new(&http::Method::GET, URL).expect("a proof").access_token(TOKEN);
    prover.prove(ServerRole::ResourceServer, proof, now).expect("a proof")
}
