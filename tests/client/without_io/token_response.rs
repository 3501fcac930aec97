//! Responses of the token endpoint.

use possession::*;
use serde_json::json;

use super::{ENDPOINT, JSON, Setup, TENANT, discover, document, response, token};
use crate::common::{TOKEN, token_json};

#[test]
fn c_25_a_response_that_is_no_token_response_is_a_typed_error_with_its_status_and_no_token() {
    let body = &token_json(TOKEN, "");
    let html = ("content-type", "text/html");
    let cases = [
        (500, vec![html], "<p>Oops</p>", ErrorKind::Status { status: 500 }),
        (502, vec![], "", ErrorKind::Status { status: 502 }),
        (400, vec![html], "<p>Oops</p>", ErrorKind::Status { status: 400 }),
        (404, vec![JSON], "{}", ErrorKind::Status { status: 404 }),
        (429, vec![JSON], r#"{"error":1}"#, ErrorKind::Status { status: 429 }),
        (200, vec![html], "<p>Log in</p>", ErrorKind::Content { status: 200 }),
        (200, vec![html], body, ErrorKind::Content { status: 200 }),
        (200, vec![JSON], "<p>Log in</p>", ErrorKind::Content { status: 200 }),
        (200, vec![JSON], "", ErrorKind::Content { status: 200 }),
        // RFC 6749 §5.1: a token response has the status 200. Some servers create tokens with 201.
        (202, vec![JSON], body, ErrorKind::Status { status: 202 }),
        (204, vec![], "", ErrorKind::Status { status: 204 }),
        (206, vec![JSON], body, ErrorKind::Status { status: 206 }),
        (401, vec![JSON], body, ErrorKind::Status { status: 401 }),
    ];
    for (status, headers, body, kind) in cases {
        let (result, sent) = Setup::new().run([response(status, &headers, body)]);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.status(), sent.len()), (&kind, Some(status), 1), "{body}");
        assert!(!format!("{error}{error:?}").contains(TOKEN), "{error}");
    }
}

/// RFC 6749 §5.2 gives errors the status 400. An error is one under any other status too, and a body that
/// says both is no token.
#[test]
fn q_34_an_oauth_error_keeps_its_code_whatever_its_status() {
    let both = r#"{"access_token":"t","token_type":"DPoP","error":"invalid_scope"}"#;
    for status in [200, 201, 202, 400, 401, 403, 404, 429, 500, 503] {
        for body in [r#"{"error":"invalid_scope"}"#, both] {
            let (result, sent) = Setup::new().run([response(status, &[JSON], body)]);
            let error = result.unwrap_err();
            let oauth = error.oauth().map(|oauth| (oauth.status().unwrap(), oauth.error()));
            assert_eq!((oauth, sent.len()), (Some((status, "invalid_scope")), 1), "{body} {error}");
            assert_eq!(error.is_transient(), matches!(status, 429 | 500 | 503), "{error}");
        }
        // A challenge is one as well.
        if status <= 401 {
            let challenge = response(status, &[JSON, ("dpop-nonce", "n-1")], r#"{"error":"use_dpop_nonce"}"#);
            let (result, sent) = Setup::new().run([challenge, token()]);
            assert!(result.is_ok());
            assert_eq!((sent.len(), sent[1].proof().nonce()), (2, Some("n-1")), "{status}");
        }
    }
    // No error under a media type that is not JSON (but a challenge: C-44).
    for content_type in ["text/html", "text/javascript", "application/octet-stream"] {
        for status in [200, 400, 401] {
            let headers = [("content-type", content_type)];
            let error = Setup::new().run([response(status, &headers, both)]).0.unwrap_err();
            assert!(error.oauth().is_none() && error.status() == Some(status), "{error}");
        }
    }
    // Some servers write out that there is no error. Anything else is neither a code nor its absence.
    for (json, good) in [
        ("null", true),
        ("false", true),
        (r#""""#, true),
        ("true", false),
        ("0", false),
        ("[]", false),
        (r#"{"code":"x"}"#, false),
        (r#""a\nb""#, false),
    ] {
        let body = format!(r#"{{"access_token":"t","token_type":"DPoP","error":{json}}}"#);
        match Setup::new().run([response(200, &[JSON], body)]).0 {
            Ok(token) => assert!(good && token.access_token() == "t", "{json}"),
            Err(error) => {
                assert!(!good && *error.kind() == ErrorKind::Content { status: 200 }, "{json} {error}");
            }
        }
    }
}

#[test]
fn q_34_a_token_may_come_with_status_201_or_after_a_byte_order_mark() {
    let body = token_json(TOKEN, "");
    for (status, body) in
        [(201, body.clone()), (200, format!("\u{feff}{body}")), (201, format!("\u{feff}{body}"))]
    {
        let token = Setup::new().run([response(status, &[JSON], body)]).0.unwrap();
        assert_eq!((token.access_token(), token.requests()), (TOKEN, 1));
    }
    // RFC 8259 §8.1: the mark may be ignored in every JSON text. An error, and metadata.
    let error = "\u{feff}{\"error\":\"invalid_client\"}";
    let error = Setup::new().run([response(401, &[JSON], error)]).0.unwrap_err();
    assert_eq!(error.oauth().map(OAuthError::error), Some("invalid_client"));
    let (metadata, bom) = (document(json!({})), "\u{feff}".as_bytes());
    let metadata = metadata.map(|body| [bom, &body].concat());
    assert_eq!(discover([metadata]).0.unwrap().issuer(), TENANT);
}

/// The description is for people, and the code is what programs act on.
#[test]
fn q_34_a_description_that_cannot_be_read_does_not_hide_the_error_code() {
    for description in [&b"acc\xe8s refus\xe9"[..], br"\ud83d", br"\udc00 x", b"\xff\xfe", b"two\nlines"] {
        let body = [br#"{"error":"invalid_client","error_description":""#, description, br#""}"#].concat();
        for status in [200, 400, 401, 503] {
            let error = Setup::new().run([response(status, &[JSON], &body)]).0.unwrap_err();
            assert_eq!(error.oauth().map(OAuthError::error), Some("invalid_client"), "{error}");
            let text = format!("{error}");
            assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{text}");
        }
        // A challenge is recognized, and a token response must be readable as a whole.
        let body = [br#"{"error":"use_dpop_nonce","error_description":""#, description, br#""}"#].concat();
        let challenge = response(400, &[JSON, ("dpop-nonce", "n-1")], body);
        assert_eq!(Setup::new().run([challenge, token()]).1.len(), 2);
        let body = [br#"{"access_token":"t","token_type":"DPoP","x":""#, description, br#""}"#].concat();
        let error = Setup::new().run([response(200, &[JSON], body)]).0.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Content { status: 200 });
    }
}

#[test]
fn c_01_a_redirect_of_the_token_endpoint_is_an_error_that_names_it() {
    for status in [300, 301, 302, 303, 304, 305, 307, 308] {
        for challenge in ["", r#"DPoP error="use_dpop_nonce""#] {
            let headers = [
                JSON,
                ("location", "https://evil.example/token"),
                ("dpop-nonce", "n-1"),
                ("www-authenticate", challenge),
            ];
            let (result, sent) =
                Setup::new().run([response(status, &headers, token_json(TOKEN, "")), token()]);
            let error = result.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Redirect { status });
            assert_eq!(sent.len(), 1);
            let text = error.to_string();
            assert!(text.contains(&status.to_string()) && text.contains(ENDPOINT), "{text}");
            assert!(!format!("{error:?}").contains(TOKEN));
        }
    }
}

#[test]
fn c_20_a_bearer_token_is_refused_unless_the_caller_accepts_it() {
    let bearer =
        |name| response(200, &[JSON], format!(r#"{{"access_token":"{TOKEN}","token_type":"{name}"}}"#));
    for name in ["Bearer", "bearer", "BEARER"] {
        let error = Setup::new().run([bearer(name)]).0.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TokenType { token_type: "Bearer".to_owned() });
        assert!(!format!("{error}{error:?}").contains(TOKEN), "{error}");
        // Accepted by an option, or no DPoP was requested.
        let plain = Setup { prover: None, ..Setup::new() };
        for setup in [Setup { accept_bearer: true, ..Setup::new() }, plain] {
            let token = setup.run([bearer(name)]).0.unwrap();
            assert_eq!((token.token_type(), token.jkt()), (TokenType::Bearer, None));
        }
    }
    // RFC 6749 §5.1: the type is compared case-insensitively.
    for (name, good) in [("dpop", true), ("DPOP", true), ("N_A", false), ("DPoPx", false), ("", false)] {
        let (result, _) = Setup { accept_bearer: true, ..Setup::new() }.run([bearer(name)]);
        assert_eq!(result.is_ok(), good, "{name}");
    }
}

/// RFC 6749 §7.1: a client must not use a token of a type that it does not support. Without a key there is
/// no proof.
#[test]
fn a_dpop_token_without_a_proof_in_the_request_is_refused() {
    let setup = Setup { prover: None, ..Setup::new() };
    let error = setup.run([token()]).0.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TokenType { token_type: "DPoP".to_owned() });
}

#[test]
fn c_26_an_oauth_error_is_shown_in_safe_characters_and_length() {
    let description = format!("\u{1b}[31mred\r\nlevel=error \u{202e}\"quoted\" {}", "x".repeat(500_000));
    let body =
        json!({ "error": "invalid_scope", "error_description": description, "error_uri": "javascript:x" });
    let error = Setup::new().run([response(400, &[JSON], body.to_string())]).0.unwrap_err();
    let text = error.to_string();
    assert!(text.len() < 1_000 && text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{text}");
    assert!(text.contains("400") && text.contains("invalid_scope") && text.contains("[31mred"), "{text}");
    assert!(format!("{error:?}").len() < 2_000);
    let oauth = error.oauth().unwrap();
    assert_eq!(oauth.raw_error_description(), Some(&*description));
    assert_eq!(oauth.raw_error_uri(), Some("javascript:x"));
}
