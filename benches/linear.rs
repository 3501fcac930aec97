//! Shows that untrusted input is parsed in time that grows linearly with its length: `cargo bench --bench
//! linear`. Each kind of input has the shapes that cost most: one long string, many members, many escapes.

// A panic is the right end of a benchmark that cannot run.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, UNIX_EPOCH};

use common::{Bench, at_most, side_by_side};
use possession::*;

const KIB: usize = 1024;

/// The name of a shape, and a function that makes a text of about so many bytes.
type Shape = (&'static str, fn(usize) -> String);

fn main() {
    let shapes: [Shape; 3] = [
        ("one string", |length| format!(r#""x":"{}""#, "a".repeat(length))),
        ("many members", |length| {
            let members: Vec<_> = (0..length / 12).map(|n| format!(r#""m{n:05}":{}"#, n % 10)).collect();
            members.join(",")
        }),
        ("many escapes", |length| format!(r#""x":"{}""#, r"\u0041".repeat(length / 6))),
    ];
    let response = |filler: &str| format!(r#"{{"access_token":"t","token_type":"Bearer",{filler}}}"#);
    for (shape, filler) in shapes {
        compare_lengths(
            &format!("token response, {shape}"),
            64 * KIB,
            |length| response(&filler(length)),
            token_response,
        );
    }
    let metadata = |filler: &str| {
        format!(
            r#"{{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/t",{filler}}}"#
        )
    };
    for (shape, filler) in shapes {
        let read = |document: &str| {
            AuthorizationServer::builder("https://as.example.com")
                .document(document)
                .build()
                .expect("metadata");
        };
        compare_lengths(&format!("metadata, {shape}"), 64 * KIB, |length| metadata(&filler(length)), read);
    }
    let challenges: [Shape; 4] = [
        ("one parameter", |length| format!(r#"DPoP realm="{}""#, "a".repeat(length))),
        ("many escapes", |length| format!(r#"DPoP realm="{}""#, r#"\""#.repeat(length / 2))),
        // The parser accepts at most 100 parameters.
        ("many parameters", |length| {
            let params: Vec<_> =
                (0..length / 90).map(|n| format!("p{n:02}=\"{}\"", "a".repeat(80))).collect();
            format!("DPoP {}", params.join(", "))
        }),
        ("many challenges", |length| {
            vec![format!("DPoP realm=\"{}\"", "a".repeat(length / 10)); 10].join(", ")
        }),
    ];
    for (shape, challenge) in challenges {
        let read = |field: &str| drop(Challenge::parse(field.as_bytes()).expect("a challenge"));
        compare_lengths(&format!("challenge, {shape}"), 8 * KIB, challenge, read);
    }
    let paths: [Shape; 4] = [
        ("one segment", |length| "a".repeat(length)),
        ("many segments", |length| "a/".repeat(length / 2)),
        ("dot segments", |length| "a/../".repeat(length / 5)),
        ("many escapes", |length| "%41%2f".repeat(length / 6)),
    ];
    for (shape, path) in paths {
        let url = |length| format!("https://api.example.com/{}", path(length));
        let read = |url: &str| drop(url.parse::<Htu>().expect("a URL"));
        compare_lengths(&format!("htu, {shape}"), 8 * KIB, url, read);
    }
}

/// Compares the time per byte at the full length with that at a quarter of it.
fn compare_lengths(what: &str, length: usize, make: impl Fn(usize) -> String, read: impl Fn(&str)) {
    let (whole, quarter) = (make(length), make(length / 4));
    let [long, short] = side_by_side([Bench::new(|| read(&whole)), Bench::new(|| read(&quarter))]);
    let per_byte = long.median() * 1000.0 / whole.len() as f64;
    println!("{what}: {per_byte:.2} ns per byte");
    // Names are sorted to find duplicates, which takes n log n. Quadratic time would give a ratio of 4.
    at_most(
        &format!("{what}: time per byte, whole / quarter"),
        long.over(&short) * quarter.len() as f64 / whole.len() as f64,
        1.5,
    );
}

fn token_response(body: &str) {
    let server =
        AuthorizationServer::builder("https://as.example.com").token_endpoint("https://as.example.com/t");
    let (server, client) = (server.build().expect("a server"), Client::new("c").expect("a client"));
    let (auth, options) = (ClientAuth::none(), RequestOptions::new().dangerous_accept_bearer());
    let request = TokenRequest::client_credentials(&server, &client, &auth, Parameters::new(), &options);
    let (mut request, now) =
        (request.expect("a token request"), UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    request.request(now).expect("an HTTP request");
    let response = http::Response::builder().header("content-type", "application/json");
    let response = response.body(body.as_bytes().to_vec()).expect("a response");
    let Step::Done(response) = request.receive(response, now).expect("a token response") else { return };
    process_client_credentials_response(&server, &client, response).expect("a token");
}
