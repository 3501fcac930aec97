//! The protocol of the programs of this matrix: one JSON object a line on standard input, and one for each on
//! standard output. ../README.md describes them.

use std::io::Write;

use serde::{Deserialize, Serialize};
use serde_json::json;

/// A proof to verify or to make.
#[derive(Deserialize)]
pub struct Request {
    pub op: String,
    pub method: String,
    pub url: String,
    pub alg: String,
    pub proof: Option<String>,
    pub access_token: Option<String>,
    pub jkt: Option<String>,
    pub nonce: Option<String>,
}

impl Request {
    pub fn url_without_query(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    pub fn proof(&self) -> &str {
        self.proof.as_deref().unwrap_or_default()
    }
}

/// What a program can do.
#[derive(Serialize)]
pub struct Hello {
    pub name: String,
    pub registry: &'static str,
    pub version: String,
    pub algs: Vec<&'static str>,
    pub nonces: bool,
}

impl Hello {
    pub fn new(package: &str, algs: &[&'static str], nonces: bool) -> Self {
        let name = format!("name = \"{package}\"\nversion = \"");
        let (_, rest) = include_str!("../Cargo.lock").split_once(&name).expect("the package is locked");
        let version = rest.split('"').next().expect("a version").to_owned();
        Self { name: package.to_owned(), registry: "crates.io", version, algs: algs.to_vec(), nonces }
    }
}

/// The nonce of verifiers that are told which one they have given.
pub const NONCE: &str = "eyJ7S_zG.eyJH0-Z.HX4w-7v";

pub fn print(line: &impl Serialize) {
    let line = serde_json::to_string(line).expect("JSON");
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("standard output");
}

/// Returns the requests, one for each line of standard input.
pub fn requests() -> impl Iterator<Item = Request> {
    let lines = std::io::stdin().lines();
    lines.map(|line| serde_json::from_str(&line.expect("a line")).expect("a request"))
}

pub fn print_outcome(outcome: anyhow::Result<()>) {
    print(&match outcome {
        Ok(()) => json!({ "outcome": "accepted" }),
        Err(error) => json!({ "outcome": "refused", "message": format!("{error:#}") }),
    });
}

pub fn print_proof(proof: anyhow::Result<String>) {
    print(&match proof {
        Ok(proof) => json!({ "proof": proof }),
        Err(error) => json!({ "error": format!("{error:#}") }),
    });
}
