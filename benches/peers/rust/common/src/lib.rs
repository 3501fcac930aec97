//! What the programs of all the Rust peers share: the command line, the clock and the one line of output.

use std::io::BufRead;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// The one workload of all peers in all languages.
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

/// A proof that another program made, to be accepted or refused.
#[derive(Deserialize)]
pub struct Case {
    pub proof: String,
    pub jkt: String,
    pub access_token: String,
    /// Of the issuer of the access token, where that is a JWT.
    pub jwks: Option<serde_json::Value>,
}

pub struct Arguments {
    pub peer: String,
    pub operation: String,
    pub time: Duration,
}

/// `PROGRAM PEER OPERATION MILLISECONDS`
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

/// Proofs that peers without a memory for them check round and round.
pub const POOL: usize = 512;

/// Warms up for half of `time`, then runs for `time` or until `run` has nothing more to do: microseconds for one run.
pub fn measure(time: Duration, mut run: impl FnMut() -> bool) -> f64 {
    for_about(time / 2, &mut run);
    for_about(time, &mut run)
}

/// The same without a warm-up.
pub fn for_about(time: Duration, mut run: impl FnMut() -> bool) -> f64 {
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

/// Calls `check` with the proofs of a pool, round and round, each of which must pass.
pub fn round_and_round(time: Duration, pool: &[String], mut check: impl FnMut(&str) -> bool) -> f64 {
    let mut proofs = pool.iter().cycle();
    measure(time, || {
        let proof = proofs.next().expect("the pool is not empty");
        assert!(check(proof), "a good proof was refused");
        true
    })
}

/// The line that every program of every language prints.
pub fn report(peer: &str, operation: &str, microseconds: f64) {
    let line = serde_json::json!({ "peer": peer, "operation": operation, "microseconds": microseconds });
    println!("{line}");
}

/// For the self-test: reads cases, one JSON object a line, and says of each whether `check` accepts it.
pub fn verify_lines(mut check: impl FnMut(&Case) -> bool) {
    for line in std::io::stdin().lock().lines() {
        let case = serde_json::from_str(&line.expect("a line")).expect("a case");
        println!("{}", if check(&case) { "accepted" } else { "refused" });
    }
}

/// Name and version of a package, from the lock file it was built by.
pub fn installed(package: &str) -> String {
    let name = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = include_str!("../../Cargo.lock").split_once(&name).expect("the package is locked");
    format!("{package} {}", rest.split('"').next().expect("a version"))
}
