//! The servers that the project brings enforce everything: `possession serve`, and those of the examples.
//! `.ci/examples.py` probes the examples that are programs of their own.

#[path = "../../../examples/demo/servers.rs"]
mod demo;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::{FAST, ids, others};
use crate::program::{command, finish};

/// A server, as the line `READY` names it.
struct Server {
    issuer: String,
    resource: String,
    client_id: String,
    client_secret: String,
}

impl Server {
    /// Probes both halves of the server, and returns the names of the cases that were not tested.
    fn probe(&self) -> [BTreeSet<String>; 2] {
        let par = ["as", "--redirect-uri", "https://client.example/callback"];
        [vec!["rs", "--call", &self.resource], par.to_vec()].map(|kind| {
            let server = ["--issuer", &self.issuer, "--dangerous-http", "--format", "json"];
            let client = ["--client-id", &self.client_id, "--auth", "client_secret_basic"];
            let secret = ["--secret-env", "SECRET", "--measure-iat"];
            let arguments = [&["probe"], &kind[..], &server, &client, &secret, &FAST].concat();
            let ran = finish(command(&arguments).env("SECRET", &self.client_secret));
            let report = ran.json();
            assert_eq!(others(&report, &["enforced", "accepted", "not tested"]), [""; 0]);
            assert_eq!(ran.status, Some(0), "{ran:?}");
            let newest = report["iat_window_s"]["newest"].as_i64().unwrap();
            assert!((10..=25).contains(&newest), "{newest}");
            ids(&report, "not tested")
        })
    }
}

/// What needs options or properties of a server that none of these has: a second address, the default port, a
/// refresh token, a user, and pages of other origins.
const NEVER: [&[&str]; 2] = [
    &["cors-expose", "cors-preflight", "htu-default-port", "replay-other-node"],
    &["code-other-key", "cors-expose", "cors-preflight", "htu-default-port", "refresh-other-key"],
];

fn not_tested(also_as: &[&str]) -> [BTreeSet<String>; 2] {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    [set(NEVER[0]), set(&[NEVER[1], also_as].concat())]
}

#[test]
fn possession_serve_enforces_everything() {
    let mut child = command(&["serve", "--until-stdin-ends"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(line.strip_prefix("READY ").unwrap()).unwrap();
    let text = |name: &str| ready[name].as_str().unwrap().to_owned();
    let server = Server {
        issuer: text("issuer"),
        resource: text("resource"),
        client_id: text("client_id"),
        client_secret: text("client_secret"),
    };
    // Its access tokens are opaque.
    assert_eq!(server.probe(), not_tested(&["token-bound"]));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_servers_of_the_examples_enforce_everything() {
    let demo = demo::start().unwrap();
    let server = Server {
        issuer: demo.issuer,
        resource: demo.resource,
        client_id: demo::CLIENT_ID.to_owned(),
        client_secret: demo.client_secret,
    };
    // They have no endpoint for pushed requests.
    assert_eq!(server.probe(), not_tested(&["par-invalid-proof", "par-other-jkt"]));
}
