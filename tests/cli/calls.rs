//! `possession call` and `token`: requests, secrets and exit statuses.

use std::fs;
use std::process::Stdio;

use possession::testing::{Endpoint, Quirk, TestServer, When};

use crate::program::{Folder, Ran, command, finish, run};

fn options(server: &TestServer) -> [&str; 7] {
    let client = ["--client-id", server.client_id(), "--secret-env", "SECRET", "--dangerous-http"];
    let [client_id, id, secret, variable, http] = client;
    ["--issuer", server.issuer(), client_id, id, secret, variable, http]
}

fn with_secret(server: &TestServer, arguments: &[&str]) -> Ran {
    let arguments = [arguments, &options(server)[..]].concat();
    finish(command(&arguments).env("SECRET", server.client_secret()))
}

/// RFC 9110 §9.3.1 discourages a body in a GET request and does not forbid it.
#[test]
fn the_body_of_a_call_is_sent_whatever_the_method_is() {
    let server = TestServer::start().unwrap();
    for method in ["GET", "DELETE", "POST"] {
        let ran = with_secret(&server, &["call", method, &server.resource("/orders"), "-d", "a=b"]);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        let call = server.received_at(Endpoint::Resource).pop().unwrap();
        assert_eq!((&*call.body, call.method.as_str()), (&b"a=b"[..], method));
    }
}

#[test]
fn a_call_that_is_refused_says_so_in_a_line() {
    let server = TestServer::start().unwrap();
    server.on("/gone", |_| http::Response::builder().status(410).body("").unwrap());
    server
        .on("/moved", |_| http::Response::builder().status(302).header("location", "/new").body("").unwrap());
    let call = |path: &str, fail: bool| {
        let url = server.resource(path);
        let arguments = if fail { vec!["call", "GET", &url, "--fail"] } else { vec!["call", "GET", &url] };
        let ran = with_secret(&server, &arguments);
        (ran.status, ran.stderr.trim_end().to_owned())
    };
    let gone = "the resource responded with 410 Gone".to_owned();
    assert_eq!(call("/gone", false), (Some(0), gone.clone()));
    assert_eq!(call("/gone", true), (Some(1), gone));
    let moved = "the resource responded with 302 Found, which is not followed, to /new".to_owned();
    assert_eq!(call("/moved", true), (Some(0), moved));
}

/// A server may repeat a secret, in whatever spelling.
#[test]
fn the_error_of_a_server_that_repeats_a_secret_does_not_show_it() {
    let secret = "p+a/s=s\"w";
    let server = TestServer::builder().client("test-client", "another").start().unwrap();
    let error = r#"{"error":"invalid_client","error_description":"wrong: p+a/s=s'w, p%2Ba%2Fs%3Ds%22w"}"#;
    let response = http::Response::builder().status(401).header("content-type", "application/json");
    let response = response.body(error.as_bytes().to_vec()).unwrap();
    server.misbehave(Endpoint::Token, When::Always, Quirk::Respond(response));
    for auth in ["client_secret_basic", "client_secret_post"] {
        for arguments in [&["call", "GET", &server.resource("/")][..], &["token", "-q"]] {
            let arguments = [arguments, &["--auth", auth], &options(&server)].concat();
            let ran = finish(command(&arguments).env("SECRET", secret));
            assert_eq!(ran.status, Some(1), "{ran:?}");
            assert!(ran.stderr.contains("invalid_client"), "{ran:?}");
            assert!(!ran.stderr.contains("p%2Ba"), "{ran:?}");
        }
    }
}

/// These fields are made from the URL and the token. Another value would be ignored, or reach another host.
#[test]
fn a_caller_cannot_set_the_fields_of_the_token_the_proof_and_the_host() {
    for field in ["Authorization: Bearer y", "dpop: x", "Host: other.example"] {
        let ran = run(&["call", "GET", "https://api.example.com/", "-H", field]);
        assert_eq!(ran.status, Some(2), "{field}: {ran:?}");
    }
    // The value may be a secret.
    let ran = run(&["call", "GET", "https://api.example.com/", "-H", "x-api-key: a-secret\u{7}"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("x-api-key") && !ran.stderr.contains("a-secret"), "{ran:?}");
}

#[test]
fn a_url_that_is_no_https_url_is_a_usage_error() {
    for url in ["example.com", "ftp://example.com/", "http://api.example.com/", "/orders"] {
        let ran = run(&["call", "GET", url]);
        assert_eq!(ran.status, Some(2), "{ran:?}");
        assert!(ran.stderr.starts_with(&format!("error: {url} is not ")), "{ran:?}");
    }
    let ran = run(&["call", "get", "https://api.example.com/", "--token-env", "NONE"]);
    assert!(ran.stderr.starts_with("warning: methods are case-sensitive: get is not GET\n"), "{ran:?}");
    assert_eq!(ran.status, Some(2), "{ran:?}");
}

#[test]
fn options_without_use_are_refused() {
    let client = ["--issuer", "https://as.example.com", "--client-id", "c"];
    for (options, named) in [
        (&["--auth", "none", "--secret-env", "S"][..], "--secret-env"),
        (&["--secret-env", "S", "--kid", "k"], "--kid"),
        (&["--grant-env", "S"], "--grant-env"),
        (
            &["--grant", "jwt-bearer", "--grant-env", "S", "--requested-token-type", "t"],
            "--requested-token-type",
        ),
        (
            &["--issuer", "https://as.example.com/.well-known/oauth-authorization-server"],
            "--issuer is https://",
        ),
    ] {
        let client = if options[0] == "--issuer" { &client[2..] } else { &client };
        let ran = finish(command(&[&["token", "-q"], options, client].concat()).env("S", "secret"));
        assert_eq!(ran.status, Some(2), "{ran:?}");
        assert!(ran.stderr.starts_with(&format!("error: {named}")), "{ran:?}");
    }
}

/// The old refresh token is worth nothing after the request: its file is replaced whatever lies beside it,
/// and processes that start at the same time use it one after the other.
#[test]
fn processes_that_share_a_file_with_a_refresh_token_lose_none() {
    let server = TestServer::start().unwrap();
    let folder = Folder::new();
    let key = folder.path("key.jwk");
    assert_eq!(run(&["key", "generate", "-o", &key]).status, Some(0));
    let tokens = crate::sessions::signed_in(&server, &key);
    let file = folder.write("refresh-token", &tokens);
    // What a process that was killed could leave behind.
    folder.write("refresh-token.new", "");
    let link = folder.path("link");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let link = if cfg!(unix) { link } else { file.clone() };

    let refresh = ["token", "-q", "--grant", "refresh_token", "--grant-file", &link, "--dpop-key", &key];
    let arguments = [&refresh[..], &options(&server)].concat();
    let start = || command(&arguments).env("SECRET", server.client_secret()).spawn().unwrap();
    let processes: Vec<_> = (0..5).map(|_| start()).collect();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(cfg!(not(unix)) || fs::symlink_metadata(&link).unwrap().is_symlink());
    let last = fs::read_to_string(&file).unwrap();
    assert_ne!(last, tokens);
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions()) & 0o777,
        0o600
    );
    // The token in the file is the newest one.
    assert_eq!(with_secret(&server, &refresh).status, Some(0));
}

/// A pipe can be read once, and there is nothing to replace.
#[cfg(unix)]
#[test]
fn a_refresh_token_can_come_through_a_pipe() {
    let server = TestServer::start().unwrap();
    let folder = Folder::new();
    let key = folder.path("key.jwk");
    assert_eq!(run(&["key", "generate", "-o", &key]).status, Some(0));
    let (pipe, token) = (folder.path("pipe"), crate::sessions::signed_in(&server, &key));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, token)
    });
    let refresh = ["token", "-q", "--grant", "refresh_token", "--grant-file", &pipe, "--dpop-key", &key];
    let ran = with_secret(&server, &refresh);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("a refresh token, which is not kept"), "{ran:?}");
    writer.join().unwrap().unwrap();
}

/// A reader that has read enough does not turn a failure into a success.
#[test]
fn a_closed_pipe_does_not_change_the_exit_status() {
    let folder = Folder::new();
    let proof = folder.write("proof", "eyJhbGciOiJub25lIn0.e30.");
    let explain = ["explain", &proof, "--method", "GET", "--url", "https://api.example.com/"];
    let mut child = command(&explain).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// A standard error that takes nothing changes nothing.
#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_error_does_not_change_the_exit_status() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = command(&["explain", "/nonexistent"]);
    assert_eq!(command.stderr(full).status().unwrap().code(), Some(1));
}
