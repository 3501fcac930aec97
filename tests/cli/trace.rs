//! What `possession call --verbose` and `possession token` show of requests and responses on standard error.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use crate::program::{Folder, Ran, command, finish, run};
use crate::serve::Serving;

/// A server that sends these responses, one on each connection.
struct Hostile {
    url: String,
    thread: JoinHandle<()>,
}

impl Hostile {
    fn start(responses: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            for response in responses {
                let mut stream = listener.accept().unwrap().0;
                let mut request: Vec<u8> = Vec::new();
                let mut buffer = [0; 4096];
                // What is not read could reset the connection.
                while !is_complete(&request) {
                    match stream.read(&mut buffer).unwrap() {
                        0 => break,
                        n => request.extend(&buffer[..n]),
                    }
                }
                stream.write_all(&response).unwrap();
            }
        });
        Self { url, thread }
    }
}

fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}

fn response(status: &str, fields: &[u8], body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    [head.as_bytes(), fields, b"\r\n", body.as_bytes()].concat()
}

/// Calls a resource of the server with a token of its own.
fn call(responses: Vec<Vec<u8>>, path: &str, arguments: &[&str]) -> Ran {
    let folder = Folder::new();
    let (key, token) = (folder.path("key.jwk"), folder.write("token", "the-access-token"));
    run(&["key", "generate", "-o", &key]);
    let hostile = Hostile::start(responses);
    let url = format!("{}{path}", hostile.url);
    let call = ["call", "-v", "GET", &url, "--token-file", &token, "--dpop-key", &key, "--dangerous-http"];
    let ran = run(&[&call[..], arguments].concat());
    hostile.thread.join().unwrap();
    ran
}

#[test]
fn bodies_are_not_taken_for_names_of_form_fields() {
    let serving = Serving::start(&[]);
    let url = serving.text("resource").to_owned();
    let json = r#"{"password":"hunter2","a":"b=c"}"#;
    // With the media type of the body, and with the one of forms that it has by default.
    for (body, fields) in [
        (json, &["-H", "content-type: application/json"][..]),
        (json, &[]),
        ("hunter2", &[]),
        ("hunter2=", &[]),
        ("hunter2==", &[]),
        ("hunter2", &["-H", "content-type: text/plain"]),
    ] {
        let ran = serving.run(&[&["call", "-v", "POST", &url, "-d", body], fields].concat());
        assert_eq!(ran.status, Some(0), "{ran:?}");
        assert!(!ran.stderr.contains("hunter2"), "{body}: {}", ran.stderr);
        assert!(ran.stderr.contains(&format!(">   {} bytes of ", body.len())), "{body}: {}", ran.stderr);
    }
    let ran = serving.run(&["call", "-v", "POST", &url, "-d", "password=hunter2&scope=hunter3"]);
    assert!(ran.stderr.contains(">   password = (not shown)"), "{}", ran.stderr);
    assert!(ran.stderr.contains(">   scope = (not shown)"), "{}", ran.stderr);
    serving.end();
}

#[test]
fn each_step_has_a_heading_and_the_fields_of_the_user_are_listed() {
    let serving = Serving::start(&[]);
    let url = format!("{}?key=hunter1", serving.text("resource"));
    let ran = serving.run(&["call", "-v", "GET", &url, "-H", "X-Api-Key: hunter2"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let headings: Vec<_> = ran.stderr.lines().filter(|line| !line.contains(['<', '>'])).collect();
    let expected = [
        "Discovery: what does the server offer?",
        "",
        "Token request: the proof is signed with the key that the token will be bound to.",
        "  (repeated with the nonce of the server)",
        "",
        "Call: the token, and a proof for this request that contains the hash of the token (ath).",
        "  (repeated with the nonce of the server)",
    ];
    assert_eq!(headings, expected, "{}", ran.stderr);
    assert!(ran.stderr.contains("> x-api-key: (not shown)"), "{}", ran.stderr);
    assert!(ran.stderr.contains("/orders?(not shown)\n"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("hunter"), "{}", ran.stderr);
    // Of what the resource says: its size.
    let size = format!("<   {} bytes of application/json (not shown)", ran.stdout.len());
    assert!(ran.stderr.contains(&size), "{}", ran.stderr);
    serving.end();
}

/// Only metadata are shown, and those are recognised by the request.
#[test]
fn of_a_response_that_looks_like_metadata_nothing_is_shown() {
    let body = r#"{"issuer":"a","token_endpoint":"b","access_token":"hunter2","email":"hunter3"}"#;
    let json = b"content-type: application/json\r\n";
    for path in ["/orders", "/.well-known/oauth-authorization-server"] {
        let ran = call(vec![response("200 OK", json, body)], path, &[]);
        assert_eq!(ran.stdout, body, "{ran:?}");
        assert!(!ran.stderr.contains("hunter"), "{}", ran.stderr);
    }
    let error = r#"{"error":"invalid_token","error_description":"it has expired","trace":"hunter2"}"#;
    let ran = call(vec![response("401 Unauthorized", json, error)], "/orders", &[]);
    assert!(ran.stderr.contains(r#"<   error_description = "it has expired""#), "{}", ran.stderr);
    assert!(!ran.stderr.contains("hunter"), "{}", ran.stderr);
}

/// The spellings are those of RFC 3986 §2.1, of forms, and of JSON strings (RFC 8259 §7).
#[test]
fn secrets_that_a_server_repeats_are_hidden() {
    let json = b"content-type: application/json\r\n".as_slice();
    let secret = "hunter2&/ \"x";
    let spellings = [secret, "hunter2%26%2F%20%22x", "hunter2%26%2f+%22x", "hunter2&\\/ \\\"x"];
    for spelling in spellings {
        let error =
            serde_json::json!({ "error": "invalid_client", "error_description": spelling, spelling: "a" });
        let location = format!("location: /{spelling}/a\r\n");
        let fields = [json, location.as_bytes()].concat();
        let hostile = Hostile::start(vec![response("400 Bad Request", &fields, &error.to_string())]);
        let (endpoint, issuer) = (format!("{}/token", hostile.url), &hostile.url);
        let server = ["token", "--dangerous-http", "--issuer", issuer, "--token-endpoint", &endpoint];
        let client = ["--client-id", "my-client", "--auth", "client_secret_post", "--secret-env", "SECRET"];
        let ran = finish(command(&[&server[..], &client].concat()).env("SECRET", secret));
        hostile.thread.join().unwrap();
        let trace: String = ran.stderr.lines().filter(|line| line.starts_with("  ")).collect();
        assert!(trace.contains("error_description") && trace.contains("location"), "{trace}");
        assert!(!trace.contains("hunter2"), "{spelling}: {trace}");
    }
    let error = r#"{"error":"a","error_description":"not the-access-token","error_uri":"hunter3"}"#;
    let fields = b"www-authenticate: DPoP realm=\"the-access-token\"\r\n";
    let ran = call(vec![response("403 Forbidden", fields, error)], "/", &["-H", "X-Api-Key: hunter3"]);
    assert!(!ran.stderr.contains("the-access-token") && !ran.stderr.contains("hunter3"), "{}", ran.stderr);
    assert!(ran.stderr.contains(r#"error_description = "not (not shown)""#), "{}", ran.stderr);
}

/// U+009B introduces control sequences; as a single byte it is not UTF-8.
#[test]
fn what_a_server_sends_does_not_reach_the_terminal_as_it_is() {
    let fields = b"location: https://a.example/cb\x9b31m?code=hunter2\r\ndate: \x9b31m\xe2\x80\xae\r\n\
        authorization: \x9bhunter2\r\nwww-authenticate: \x1b[31mDPoP\r\n"
        .as_slice();
    // ESC is not allowed in a header field, and the HTTP client may refuse the response.
    let without_escape = fields.split(|byte| *byte == 0x1b).collect::<Vec<_>>().concat();
    for fields in [fields, &without_escape] {
        let ran = call(vec![response("302 Found", fields, "")], "/", &[]);
        let is_safe = ran.stderr.chars().all(|c| c == '\n' || c.is_ascii_graphic() || c == ' ');
        assert!(is_safe && !ran.stderr.contains("hunter"), "{:?}", ran.stderr);
        let is_shown = ran.stderr.contains("< location: https://a.example/cb?31m?(not shown)");
        assert!(is_shown || fields.contains(&0x1b), "{:?}", ran.stderr);
    }
}
