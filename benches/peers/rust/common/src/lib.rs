//! Shared by the programs of all Rust peers: the command line, the measurement and the output.

use std::io::BufRead;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// The workload, which is the same for the peers of all languages.
#[derive(Deserialize)]
pub struct Workload {
    pub method: String,
    pub url: String,
    pub access_token: String,
    pub nonce: String,
    pub max_age: u64,
    pub issuer: String,
    pub audience: String,
}

/// A proof of the self-test, which must be accepted or refused.
#[derive(Deserialize)]
pub struct Case {
    pub proof: String,
    pub jkt: String,
    pub access_token: String,
    /// The keys of the issuer, where the access token is a JWT.
    pub jwks: Option<serde_json::Value>,
}

pub struct Arguments {
    pub peer: String,
    pub operation: String,
    pub time: Duration,
}

/// Parses the command line: `PROGRAM PEER OPERATION MILLISECONDS`.
pub fn arguments() -> Arguments {
    let mut arguments = std::env::args().skip(1);
    let (Some(peer), Some(operation), Some(milliseconds)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        panic!("usage: PROGRAM PEER OPERATION MILLISECONDS");
    };
    let milliseconds = milliseconds.parse().expect("MILLISECONDS is a number");
    Arguments { peer, operation, time: Duration::from_millis(milliseconds) }
}

pub fn workload() -> Workload {
    serde_json::from_str(include_str!("../../../workload.json")).expect("the workload")
}

/// Warms up for half of `time`, then runs for `time` or until `run` returns false. Returns the microseconds
/// per run.
pub fn measure(time: Duration, mut run: impl FnMut() -> bool) -> f64 {
    for_about(time / 2, &mut run);
    for_about(time, &mut run)
}

/// Does the same without a warm-up.
fn for_about(time: Duration, mut run: impl FnMut() -> bool) -> f64 {
    let (start, mut runs) = (Instant::now(), 0u32);
    while run() {
        runs += 1;
        if start.elapsed() >= time {
            break;
        }
    }
    assert!(runs > 0, "nothing was run");
    start.elapsed().as_secs_f64() * 1e6 / f64::from(runs)
}

/// Measures `check` with inputs (proofs or whole requests) that were made beforehand. Each is checked once,
/// and must be accepted. A first run estimates how many are needed.
pub fn measure_each_once<T>(
    time: Duration,
    mut make: impl FnMut() -> T,
    mut check: impl FnMut(&T) -> bool,
) -> f64 {
    let mut run = |pool: Vec<T>, measure: &dyn Fn(&mut dyn FnMut() -> bool) -> f64| {
        let mut inputs = pool.iter();
        measure(&mut || {
            let Some(input) = inputs.next() else { return false };
            assert!(check(input), "a valid proof was refused");
            true
        })
    };
    let sample = (0..200).map(|_| make()).collect();
    let microseconds = run(sample, &|next| for_about(Duration::MAX, next));
    // `measure` runs for one and a half times `time`; half as many inputs again are a margin.
    let count = 1.5 * 1.5 * time.as_secs_f64() * 1e6 / microseconds;
    let pool = (0..count as usize + 100).map(|_| make()).collect();
    run(pool, &|next| measure(time, next))
}

/// Prints the line that the programs of all languages print.
pub fn report(peer: &str, operation: &str, microseconds: f64) {
    let line = serde_json::json!({ "peer": peer, "operation": operation, "microseconds": microseconds });
    println!("{line}");
}

/// Reads cases of the self-test, one JSON object per line, and prints whether `check` accepts each.
pub fn verify_lines(mut check: impl FnMut(&Case) -> bool) {
    for line in std::io::stdin().lock().lines() {
        let case = serde_json::from_str(&line.expect("a line")).expect("a case");
        println!("{}", if check(&case) { "accepted" } else { "refused" });
    }
}

/// Returns name and version of a package, from the lock file that it was built with.
pub fn installed(package: &str) -> String {
    let name = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = include_str!("../../Cargo.lock").split_once(&name).expect("the package is locked");
    format!("{package} {}", rest.split('"').next().expect("a version"))
}
