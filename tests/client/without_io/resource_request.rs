//! Calls of a resource (RFC 9449 §7, §9).

use std::collections::HashSet;

use http::{Method, Request};
use possession::*;

use super::{Call, JSON, Script, Setup, body_challenge, header_challenge, response};
use crate::common::{ATH, TOKEN, values};

/// `htu` is the URI of the request without its query.
#[test]
fn c_48_htu_is_the_uri_of_the_request() {
    let urls = [
        ("https://api.example", "https://api.example/"),
        ("https://api.example/", "https://api.example/"),
        ("HTTPS://API.Example:443/A/b", "https://api.example/A/b"),
        ("https://api.example:/a", "https://api.example/a"),
        ("https://api.example:8443/a", "https://api.example:8443/a"),
        ("https://api.example:80/a", "https://api.example:80/a"),
        ("https://api.example/a//b/", "https://api.example/a//b/"),
        ("https://api.example/%7Euser/%2f%2F", "https://api.example/%7Euser/%2f%2F"),
        ("https://api.example/a;b=c,d@e:f", "https://api.example/a;b=c,d@e:f"),
        ("https://api.example/a?q=[1]#f", "https://api.example/a"),
        ("https://[2001:DB8::0:1]:443/a", "https://[2001:db8::1]/a"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
    ];
    for (url, htu) in urls {
        let mut call = Call::new(&Setup::new(), "GET", url);
        assert_eq!(call.proof().text("htu"), htu, "{url}");
        let uri = call.exchange.uri().unwrap();
        let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        assert_eq!(format!("https://{}{port}{}", uri.host().unwrap(), uri.path()), htu, "{url}");
    }
}

#[test]
fn a_call_carries_the_token_its_hash_and_a_new_proof() {
    let setup = Setup::new();
    let mut call = Call::new(&setup, "PaTcH", "https://api.example/a?b#c");
    let (first, second) = (call.proof(), call.proof());
    assert_eq!([first.text("htm"), first.text("htu")], ["PaTcH", "https://api.example/a"]);
    assert_eq!(first.text("ath"), ATH);
    assert!((999_999..=1_000_000).contains(&first.time("iat")));
    assert_ne!(first.jti(), second.jti());
}

#[test]
fn c_30_c_31_a_challenge_of_a_resource_leads_to_one_retry() {
    let nonce = ("dpop-nonce", "n-1");
    let challenge = ("www-authenticate", r#"DPoP error="use_dpop_nonce", algs="ES256""#);
    let body = Some(r#"{"error":"use_dpop_nonce"}"#);
    // Status, header fields, body, and whether there is a retry.
    let invalid = ("www-authenticate", r#"DPoP error="invalid_token""#);
    let bearer = ("www-authenticate", r#"Bearer error="use_dpop_nonce""#);
    let scope = ("www-authenticate", r#"DPoP error="insufficient_scope""#);
    type Fields = Vec<(&'static str, &'static str)>;
    let cases: [(u16, Fields, Option<&str>, bool); 15] = [
        (401, vec![challenge, nonce], None, true),
        (400, vec![challenge, nonce], None, true),
        (401, vec![JSON, nonce], body, true),
        (400, vec![JSON, nonce], body, true),
        (401, vec![challenge], None, false),
        (401, vec![challenge, nonce, nonce], None, false),
        (401, vec![challenge, ("dpop-nonce", "a b")], None, false),
        // The nonce may be the reason of a 401 that names none, or that is about the token.
        (401, vec![nonce], None, true),
        (401, vec![invalid, nonce], body, true),
        (400, vec![nonce], None, false),
        (401, vec![bearer, nonce], None, false),
        (401, vec![scope, nonce], body, false),
        (200, vec![challenge, nonce], body, false),
        (403, vec![challenge, nonce], body, false),
        (307, vec![challenge, nonce, ("location", "https://evil.example")], body, false),
    ];
    for (status, headers, body, retried) in cases {
        let setup = Setup::new();
        let mut call = Call::new(&setup, "GET", "https://api.example/");
        let first = call.proof();
        assert_eq!(call.receive_body(status, &headers, body), retried, "{status} {headers:?}");
        if retried {
            let second = call.proof();
            assert_eq!((first.nonce(), second.nonce()), (None, Some("n-1")));
            assert_ne!(first.jti(), second.jti());
            // A second challenge leads to no retry, but its nonce is kept.
            let with_nonce = |value: &'static str| {
                let rest = headers.iter().copied().filter(|header| *header != nonce);
                rest.chain([("dpop-nonce", value)]).collect::<Vec<_>>()
            };
            assert!(!call.receive_body(status, &with_nonce("n-2"), body));
            assert_eq!(Call::new(&setup, "GET", "https://api.example/").proof().nonce(), Some("n-2"));
            // With a known nonce, a new one leads to a retry, and the same one does not.
            let mut call = Call::new(&setup, "GET", "https://api.example/");
            call.proof();
            assert!(!call.receive_body(status, &with_nonce("n-2"), body));
            assert!(call.receive_body(status, &with_nonce("n-3"), body));
        }
    }
}

/// Two requests with the same body, and the second response whatever it is.
#[test]
fn c_31_c_39_a_call_over_an_http_client_is_sent_twice_at_most() {
    for (responses, sent, status) in [
        (vec![response(302, &[("dpop-nonce", "n-1")], "moved")], 1, 302),
        (vec![header_challenge(&["n-1"]), response(200, &[], "ok")], 2, 200),
        (vec![body_challenge(&["n-1"]), header_challenge(&["n-2"]), response(200, &[], "ok")], 2, 401),
    ] {
        let script = Script::new(responses);
        let mut call = Call::new(&Setup::new(), "POST", "https://api.example/a?b");
        let mut request = Request::new(RequestBody::from(b"a=1&b=2".to_vec()));
        request.headers_mut().append("authorization", "Basic x".parse().unwrap());
        request.headers_mut().append("x-own", "kept".parse().unwrap());
        let response = call.exchange.run(&request, &script).unwrap();
        assert_eq!(response.status().as_u16(), status);
        let all = script.sent();
        assert_eq!(all.len(), sent);
        for sent in &all {
            assert_eq!(
                (&*sent.uri, &sent.headers["x-own"]),
                ("https://api.example/a?b", &"kept".parse().unwrap())
            );
            assert_eq!(
                sent.headers.get_all("authorization").iter().collect::<Vec<_>>(),
                [&format!("DPoP {TOKEN}")]
            );
            assert_eq!([values(&sent.form, "a"), values(&sent.form, "b")], [["1"], ["2"]]);
        }
        let jtis: HashSet<_> = all.iter().map(|sent| sent.proof().jti()).collect();
        assert_eq!(jtis.len(), sent);
        let nonces: Vec<_> = all.iter().map(|sent| sent.proof().nonce().map(str::to_owned)).collect();
        assert_eq!(nonces, [None, Some("n-1".to_owned())][..sent]);
    }
}

#[test]
fn c_05_c_06_c_22_invalid_urls_and_tokens_are_refused() {
    let setup = Setup::new();
    let prover = setup.prover.as_ref().unwrap();
    let new = |token, url| ResourceRequest::new(&setup.server, prover, token, &Method::GET, url);
    for url in [
        "http://api.example/",
        "http://127.0.0.1/",
        "https://u:p@api.example/",
        "https://u@api.example/",
        "https://@api.example/",
        "https://api.example/a/../b",
        "https://api.example/%2e%2E/b",
        "https://api.example/a b",
        "https://api.example/a\\b",
        "https://api.example/é",
        "https://api.example/%zz",
        "https://2130706433/",
        "https:api.example",
        "//api.example/",
        "ftp://api.example/",
        "",
    ] {
        assert_eq!(*new(TOKEN, url).unwrap_err().kind(), ErrorKind::Url, "{url}");
    }
    for token in ["", "=", "a b", "a\r\nx: y", "a,b", "a\"b", "a\0", "é", "a=b"] {
        assert_eq!(
            *new(token, "https://api.example/").unwrap_err().kind(),
            ErrorKind::Parameter,
            "{token:?}"
        );
    }
    // A fragment is not sent.
    let uri = new(TOKEN, "https://api.example/a?b#secret").unwrap().uri().unwrap();
    assert_eq!(uri, "https://api.example/a?b");
    // The error shows neither the user information nor the query of a URL.
    for url in [
        "https://user:hunter2@api.example/",
        "http://api.example/?key=hunter2",
        "https://api.example/..?hunter2",
    ] {
        let error = new(TOKEN, url).unwrap_err();
        assert!(!format!("{error}{error:?}").contains("hunter2"), "{error}");
    }
}
