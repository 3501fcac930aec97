//! `possession probe`, against servers whose faults are known.

mod cases;
mod conduct;
#[path = "../../../src/bin/possession/commands/probe/measure.rs"]
mod measure;
mod our_servers;
#[path = "../../../src/bin/possession/commands/probe/pace.rs"]
mod pace;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::program::{Ran, command, finish};
use crate::target::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, Target};

/// Fast enough for a test.
const FAST: [&str; 2] = ["--rate", "100000"];

/// Probes the resource of a target, with a token that the target issues.
pub fn probe_rs(target: &Target, more: &[&str]) -> Ran {
    probe(&["rs", "--call", &target.resource(), "--node", &target.node()], target, more)
}

/// Probes the token endpoint of a target.
pub fn probe_as(target: &Target, more: &[&str]) -> Ran {
    probe(&["as", "--redirect-uri", REDIRECT_URI], target, more)
}

fn probe(kind: &[&str], target: &Target, more: &[&str]) -> Ran {
    let client = ["--client-id", CLIENT_ID, "--auth", "client_secret_basic", "--secret-env", "SECRET"];
    let server = ["--issuer", target.issuer(), "--dangerous-http"];
    let arguments = [&["probe"], kind, &server, &client, &FAST, more].concat();
    finish(command(&arguments).env("SECRET", CLIENT_SECRET))
}

/// Returns the names of the cases with a verdict.
pub fn ids(report: &Value, verdict: &str) -> BTreeSet<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let found = findings.filter(|finding| finding["verdict"] == verdict);
    found.map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
}

/// Returns the findings with another verdict than these, for the message of an assertion.
pub fn others(report: &Value, verdicts: &[&str]) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| !verdicts.contains(&finding["verdict"].as_str().unwrap()))
        .map(|finding| format!("{}: {} ({})", finding["id"], finding["verdict"], finding["why"]))
        .collect()
}
