//! `possession serve`: the servers that it runs until its standard input ends, and what it records.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Stdio};

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;

use crate::program::{Folder, Ran, command, finish, run};

/// A running `possession serve`.
pub struct Serving {
    child: Child,
    input: ChildStdin,
    ready: Value,
}

impl Serving {
    pub fn start(options: &[&str]) -> Self {
        let mut command = command(&[&["serve", "--until-stdin-ends"], options].concat());
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(line.strip_prefix("READY ").unwrap()).unwrap();
        Self { input: child.stdin.take().unwrap(), child, ready }
    }

    pub fn text(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap()
    }

    /// Runs a command with the options of the client.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let server = ["--issuer", self.text("issuer"), "--dangerous-http"];
        let client = ["--client-id", self.text("client_id")];
        let auth: &[&str] = match self.ready["client_secret"].is_string() {
            true => &["--auth", "client_secret_basic", "--secret-env", "SECRET"],
            false => &["--auth", "none"],
        };
        let arguments = [arguments, &server, &client, auth].concat();
        finish(command(&arguments).env("SECRET", self.ready["client_secret"].as_str().unwrap_or_default()))
    }

    /// Ends its input, and waits for it.
    pub fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn the_client_authenticates_with_the_key_that_was_named() {
    let folder = Folder::new();
    let [key, public, other] = ["key.jwk", "public.pem", "other.jwk"].map(|name| folder.path(name));
    for file in [&key, &other] {
        assert_eq!(run(&["key", "generate", "-o", file]).status, Some(0));
    }
    fs::write(&public, run(&["key", "public", &key, "--format", "pem"]).stdout).unwrap();
    let serving = Serving::start(&["--client-key", &public]);
    let server = ["--issuer", serving.text("issuer"), "--dangerous-http", "--client-id", "test-client"];
    for (key, status) in [(&key, 0), (&other, 1)] {
        let ran = run(&[&["token", "--key", key], &server[..]].concat());
        assert_eq!(ran.status, Some(status), "{ran:?}");
        assert_eq!(ran.stderr.contains("invalid_client"), status == 1, "{ran:?}");
    }
    serving.end();
}

#[test]
fn it_records_every_request_without_secrets_and_signatures() {
    let folder = Folder::new();
    let record = folder.path("record.jsonl");
    let serving = Serving::start(&["--record", &record]);
    let url = serving.text("resource").to_owned();
    let ran = serving.run(&["token", "--call", &url, "--show-tokens"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let token = ran.json()["access_token"].as_str().unwrap().to_owned();
    let secret = serving.text("client_secret").to_owned();
    let probe = ["probe", "rs", "--call", &url, "--only", "jwk-private", "--rate", "1000"];
    assert_eq!(serving.run(&probe).status, Some(0));
    serving.end();

    let text = fs::read_to_string(&record).unwrap();
    // A JWT begins its JSON string. Inside of one, the letters can be those of a key.
    assert!(!text.contains(&token) && !text.contains(&secret) && !text.contains("\"eyJ"), "{text}");
    let requests: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summaries: Vec<_> = requests
        .iter()
        .map(|request| {
            let text = |name: &str| request[name].as_str().unwrap();
            format!("{} {} {}", text("method"), text("target"), request["status"])
        })
        .collect();
    let metadata = "GET /.well-known/oauth-authorization-server 200";
    // Both servers ask for a nonce first.
    let expected = [metadata, "POST /token 400", "POST /token 200", "GET /orders 401", "GET /orders 200"];
    assert_eq!(summaries[..5], expected);
    assert_eq!(requests[4]["proof"]["claims"]["htu"], url);
    // The proof of a case that has a private key in it.
    let of_proof = requests.iter().filter_map(|request| request["proof"]["header"]["jwk"]["d"].as_str());
    assert_eq!(of_proof.collect::<Vec<_>>(), ["(not shown)"]);
    assert_eq!(requests[2]["form_fields"], serde_json::json!(["grant_type"]));
}

/// A client may be mistaken in any way.
#[test]
fn it_records_no_private_key_and_no_body() {
    let folder = Folder::new();
    let record = folder.path("record.jsonl");
    let serving = Serving::start(&["--record", &record]);
    let url: http::Uri = serving.text("resource").parse().unwrap();
    let key = r#"{"kty":"EC","crv":"P-256","x":"eA","y":"eQ","d":"hunter2"}"#;
    let body = r#"{"password":"hunter2","a":"b=c"}"#;
    let requests = [
        ("application/json", format!(r#"{{"typ":"dpop+jwt","jwk":[{key}]}}"#), "{}".to_owned()),
        ("application/x-www-form-urlencoded", format!(r#"{{"typ":{key}}}"#), format!(r#"{{"htm":{key}}}"#)),
    ];
    for (media_type, header, claims) in &requests {
        let [header, claims] = [header, claims].map(|text| Base64UrlUnpadded::encode_string(text.as_bytes()));
        let mut stream = std::net::TcpStream::connect(url.authority().unwrap().as_str()).unwrap();
        let request = format!(
            "POST /orders HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: {media_type}\r\n\
            content-length: {}\r\ndpop: {header}.{claims}.aaaa\r\n\r\n{body}",
            url.authority().unwrap(),
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    serving.end();
    let text = fs::read_to_string(&record).unwrap();
    assert_eq!(text.lines().count(), requests.len(), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(text.matches("(not shown)").count(), 3, "{text}");
}

#[test]
fn the_client_can_be_public() {
    let serving = Serving::start(&["--public-client"]);
    let url = serving.text("resource").to_owned();
    assert!(serving.ready["client_secret"].is_null());
    let ran = serving.run(&["token", "--call", &url]);
    assert_eq!(ran.json()["call_status"], 200, "{ran:?}");
    serving.end();
}

/// RFC 9449 allows `exp` in a proof, and some servers refuse it.
#[test]
fn a_strict_server_refuses_what_rfc_9449_allows() {
    for (options, verdict) in [(&[][..], "accepted"), (&["--strict"], "too strict")] {
        let serving = Serving::start(options);
        let url = serving.text("resource").to_owned();
        let probe = ["probe", "rs", "--call", &url, "--only", "nbf-and-exp", "--only", "jwk-kid"];
        let ran = serving.run(&[&probe[..], &["--format", "json", "--rate", "1000"]].concat());
        let report = ran.json();
        for finding in report["findings"].as_array().unwrap() {
            assert_eq!(finding["verdict"], verdict, "{options:?}: {finding}");
        }
        serving.end();
    }
}

#[test]
fn on_a_bad_day_some_calls_fail_and_others_succeed() {
    let serving = Serving::start(&["--bad-day"]);
    let url = serving.text("resource").to_owned();
    let statuses: Vec<_> = (0..24).map(|_| serving.run(&["call", "--fail", "GET", &url]).status).collect();
    assert!(statuses.contains(&Some(0)) && statuses.contains(&Some(1)), "{statuses:?}");
    serving.end();
}
