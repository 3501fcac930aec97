//! Times things side by side: each a short while, in turn, many times over, so that whatever else the machine does meets all
//! of them alike. criterion and divan time one thing after another, which makes ratios depend on when.

// Not every benchmark uses all of it.
#![allow(dead_code)]
// A benchmark that cannot run has nothing better to do than stop.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use possession::{Algorithm, Proof, Prover, PublicKey, ServerRole, Signer};

/// The request that proofs are made for.
pub const URL: &str = "https://api.example.com/v1/orders/8f14e45f?page=2";
pub const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
pub const NONCE: &str = "eyJ7S_zG.eyJH0-Z.HX4w-7v";

/// How often each is measured.
const ROUNDS: usize = 41;
/// How many inputs are made at a time.
const BATCH: usize = 64;
/// How long, at least.
const SLICE: Duration = Duration::from_millis(4);

/// What is timed.
pub struct Bench<'a> {
    run: Box<dyn FnMut(usize) -> Duration + 'a>,
}

/// Nanoseconds for one run: of all rounds.
#[derive(Clone)]
pub struct Times(Vec<f64>);

impl<'a> Bench<'a> {
    pub fn new<T>(mut run: impl FnMut() -> T + 'a) -> Self {
        Self::with_inputs(|| (), move |()| run())
    }

    /// Each run has an input of its own, made beforehand and not timed: few at a time, so that they are as near to the
    /// processor as what came from the network just now.
    pub fn with_inputs<I, T>(mut input: impl FnMut() -> I + 'a, mut run: impl FnMut(I) -> T + 'a) -> Self {
        let run = Box::new(move |times: usize| {
            let mut all = Duration::ZERO;
            let mut left = times;
            while left > 0 {
                let inputs: Vec<I> = (0..left.min(BATCH)).map(|_| input()).collect();
                left -= inputs.len();
                let start = Instant::now();
                for input in inputs {
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

/// The times of each, in the order given.
pub fn side_by_side<const N: usize>(mut benches: [Bench<'_>; N]) -> [Times; N] {
    let often = benches.each_mut().map(|bench| {
        let mut times = 1;
        while bench.time(times) < SLICE {
            times *= 2;
        }
        times
    });
    let mut seen = [(); N].map(|()| Times(Vec::with_capacity(ROUNDS)));
    for round in 0..ROUNDS {
        for ((bench, times), seen) in benches.iter_mut().zip(often).zip(&mut seen) {
            let time = deeper(round, &mut || bench.time(times));
            seen.0.push(time.as_secs_f64() * 1e9 / times as f64);
        }
    }
    seen
}

/// Runs further down the stack. Where it lies makes some code, Ed25519's above all, a tenth faster or slower; so it lies
/// elsewhere in each round.
#[inline(never)]
fn deeper<T>(levels: usize, run: &mut dyn FnMut() -> T) -> T {
    let room = black_box([0_u8; 48]);
    let result = if levels == 0 { run() } else { deeper(levels - 1, run) };
    black_box(&room);
    result
}

impl Times {
    /// The median, in microseconds.
    pub fn median(&self) -> f64 {
        median(self.0.clone()) / 1000.0
    }

    /// The median of the ratios of each round.
    pub fn over(&self, other: &Self) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One line of a table, with what must be reached; and the same for the plot, where `BENCH_JSON` names a file.
pub fn line(what: &str, seen: f64, target: &str, reached: bool) {
    println!("{what:<66} {seen:9.3}   {target:<10} {}", if reached { "reached" } else { "MISSED" });
    if let Some(file) = std::env::var_os("BENCH_JSON") {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).expect("BENCH_JSON");
        let row = serde_json::json!({"what": what, "seen": seen, "target": target, "reached": reached});
        writeln!(file, "{row}").expect("BENCH_JSON");
    }
}

/// A line whose figure must not be above `most`.
pub fn at_most(what: &str, seen: f64, most: f64) {
    line(what, seen, &format!("<= {most}"), seen <= most);
}

/// A line whose figure must not be below `least`.
pub fn at_least(what: &str, seen: f64, least: f64) {
    line(what, seen, &format!(">= {least}"), seen >= least);
}

/// A signer that signs nothing, so that what is left is everything else.
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

/// What a response of the resource has for the prover.
pub fn nonce_field() -> http::HeaderMap {
    let (name, value) = ("dpop-nonce", http::HeaderValue::from_static(NONCE));
    http::HeaderMap::from_iter([(http::HeaderName::from_static(name), value)])
}

/// A prover that knows the nonce of the resource.
pub fn learned(signer: impl Signer + 'static) -> Prover {
    let prover = Prover::new(signer).expect("a prover");
    prover.record_nonce(ServerRole::ResourceServer, URL, &nonce_field()).expect("a nonce");
    prover
}

pub fn prove(prover: &Prover, now: SystemTime) -> String {
    let proof = Proof::new(&http::Method::GET, URL).expect("a proof").access_token(TOKEN);
    prover.prove(ServerRole::ResourceServer, proof, now).expect("a proof")
}
