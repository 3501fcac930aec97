//! Authorization requests (RFC 6749 §4.1.1, RFC 7636, RFC 9449 §10).

use possession::*;
use serde_json::{Value, json};

use super::{ISSUER, prover};
use crate::common::{Form, form, values};

pub const REDIRECT_URI: &str = "https://client.example/cb";

/// Metadata with an authorization endpoint and `more` members.
pub fn server(more: Value) -> AuthorizationServer {
    let endpoint = ("authorization_endpoint".to_owned(), json!("https://as.example/authorize"));
    let members = [endpoint].into_iter().chain(more.as_object().unwrap().clone());
    let builder = members
        .fold(AuthorizationServer::builder(ISSUER), |builder, (name, value)| builder.member(&name, value));
    builder.build().unwrap()
}

pub fn client() -> Client {
    Client::new("app").unwrap()
}

fn request() -> AuthorizationRequest {
    AuthorizationRequest::new(REDIRECT_URI)
}

fn url_of(request: AuthorizationRequest) -> Result<(String, PendingAuthorization), Error> {
    request.front_channel(&server(json!({})), &client(), &RequestOptions::new())
}

/// What stands before the query, and the query.
fn split(url: &str) -> (&str, Form) {
    let (endpoint, query) = url.split_once('?').unwrap();
    (endpoint, form(query.as_bytes()))
}

fn verifier(pending: &PendingAuthorization) -> String {
    let stored: Value = serde_json::from_str(&pending.to_json()).unwrap();
    stored["code_verifier"].as_str().unwrap().to_owned()
}

/// The parameters of RFC 6749 §4.1.1, RFC 7636 §4.3 and RFC 9449 §10, and no others.
#[test]
fn a_request_has_a_state_a_code_challenge_and_the_key() {
    let prover = prover();
    let options = RequestOptions::new().prover(&prover);
    let (url, pending) = request().front_channel(&server(json!({})), &client(), &options).unwrap();
    let (endpoint, query) = split(&url);
    assert_eq!(endpoint, "https://as.example/authorize");
    let challenge = CodeVerifier::new(verifier(&pending)).unwrap().challenge();
    let jkt = prover.thumbprint().to_string();
    let expected = [
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", REDIRECT_URI),
        ("state", pending.state()),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("dpop_jkt", &jkt),
    ];
    assert_eq!(query, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((pending.jkt(), pending.issuer()), (Some(prover.thumbprint()), ISSUER));
    assert_eq!(pending.redirect_uri(), REDIRECT_URI);
}

#[test]
fn a_request_without_a_key_names_none() {
    let (url, pending) = url_of(request()).unwrap();
    assert!(values(&split(&url).1, "dpop_jkt").is_empty() && pending.jkt().is_none());
}

/// RFC 6749 §10.10: a guess must not succeed with more than a chance of 2^-128.
#[test]
fn every_request_has_its_own_state_and_code_verifier() {
    let request = request();
    let pending = [(); 3].map(|()| url_of(request.clone()).unwrap().1);
    for (n, one) in pending.iter().enumerate() {
        // 22 characters of base64url are 128 bits and more.
        assert!(one.state().len() >= 22, "{}", one.state());
        assert!(one.state().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        for other in &pending[..n] {
            assert_ne!(one.state(), other.state());
            assert_ne!(verifier(one), verifier(other));
        }
    }
}

#[test]
fn parameters_follow_as_they_were_given() {
    let details = r#"[{"type":"payment","amount":"1 €"}]"#;
    let request = request()
        .scope("openid orders:read")
        .resource("https://a.example")
        .resource("urn:b")
        .authorization_details(details)
        .prompt("consent")
        .login_hint("jo&e@example.com")
        .parameter("nonce", "n-0S6_WzA2Mj")
        .parameter("response_mode", "query");
    let (url, _) = url_of(request).unwrap();
    let expected = [
        ("scope", "openid orders:read"),
        ("resource", "https://a.example"),
        ("resource", "urn:b"),
        ("authorization_details", details),
        ("prompt", "consent"),
        ("login_hint", "jo&e@example.com"),
        ("nonce", "n-0S6_WzA2Mj"),
        ("response_mode", "query"),
    ];
    assert_eq!(split(&url).1[6..], expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // RFC 3986 §3.4.
    assert!(url.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%+&=?:/*".contains(&b)), "{url}");
}

#[test]
fn parameters_of_the_library_and_malformed_ones_are_refused() {
    let set =
        ["response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method"];
    // A request object would replace everything that was checked (RFC 9101 §6.3).
    let reserved = ["dpop_jkt", "code", "code_verifier", "request", "request_uri"];
    let of_clients = ["grant_type", "client_secret", "client_assertion", "client_assertion_type", ""];
    let named = set.into_iter().chain(reserved).chain(of_clients);
    let mut refused: Vec<_> = named.map(|name| request().parameter(name, "x")).collect();
    // RFC 9396 §2: an array of objects, each with the string `type`.
    let details = [
        "",
        "{}",
        r#"{"type":"a"}"#,
        r#"["a"]"#,
        r#"[{"typ":"a"}]"#,
        r#"[{"type":1}]"#,
        r#"[{"type":"a"}"#,
        r#"[{"type":"a","type":"b"}]"#,
        r#"[{"type":"a"}],"x":[]"#,
    ];
    refused.extend(details.map(|details| request().authorization_details(details)));
    refused.push(request().authorization_details("[]").authorization_details("[]"));
    let modes = ["fragment", "jwt", "query.jwt", "form_post.jwt", "web_message", ""];
    refused.extend(modes.map(|mode| request().parameter("response_mode", mode)));
    refused.extend([request().scope("a  b"), request().scope("a").scope("b"), request().resource("/a")]);
    for request in refused {
        let shown = format!("{request:?}");
        let known_before = request.check().unwrap_err();
        assert_eq!(*known_before.kind(), ErrorKind::Parameter, "{shown}");
        assert_eq!(url_of(request).unwrap_err(), known_before, "{shown}");
    }
    request().parameter("response_mode", "form_post").check().unwrap();
    assert!(url_of(request().parameter("response_mode", "form_post")).is_ok());
}

#[test]
fn a_redirect_uri_is_https_on_loopback_or_of_a_private_scheme() {
    for uri in [
        "https://client.example/cb?tenant=1",
        "http://127.0.0.1:49152/callback",
        "http://[::1]:49152/callback",
        "http://localhost/callback",
        "com.example.app:/oauth2redirect",
    ] {
        let (url, _) = url_of(AuthorizationRequest::new(uri)).unwrap();
        assert_eq!(values(&split(&url).1, "redirect_uri"), [uri]);
    }
    for uri in [
        "",
        "/cb",
        "http://client.example/cb",
        "HTTP://client.example/cb",
        "http://127.0.0.1.client.example/cb",
        "https://client.example/cb#",
        "https://user@client.example/cb",
        "https://client.example/a/../cb",
        "https://client.example/c b",
        // Nobody could tell these from the parameters of the response.
        "https://client.example/cb?state=x",
        "https://client.example/cb?a=b&%63ode=x",
        "com.example.app:/cb?iss=x",
    ] {
        let error = url_of(AuthorizationRequest::new(uri)).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Url, "{uri}");
    }
}

/// RFC 6749 §3.1: the query of the endpoint is retained, and no parameter is there twice.
#[test]
fn the_query_of_the_authorization_endpoint_is_kept() {
    let url = |endpoint: &str| {
        let server = server(json!({ "authorization_endpoint": endpoint }));
        request().front_channel(&server, &client(), &RequestOptions::new()).map(|(url, _)| url)
    };
    for (endpoint, start) in [
        ("https://as.example/a?tenant=7&x=%20", "https://as.example/a?tenant=7&x=%20&response_type=code&"),
        ("https://as.example/a?", "https://as.example/a?response_type=code&"),
        ("https://as.example", "https://as.example/?response_type=code&"),
    ] {
        let url = url(endpoint).unwrap();
        assert!(url.starts_with(start), "{url}");
    }
    for endpoint in ["https://as.example/a?client_id=other", "https://as.example/a?x&redirec%74_uri=x"] {
        assert_eq!(*url(endpoint).unwrap_err().kind(), ErrorKind::Metadata, "{endpoint}");
    }
}

/// The URL is handed to a command that opens the browser.
#[test]
fn l_06_an_authorization_endpoint_that_is_no_https_url_is_refused() {
    for endpoint in [
        json!("http://as.example/authorize"),
        json!("file:///bin/sh"),
        json!("javascript:alert(1)"),
        json!("calc.exe"),
        json!("-a https://as.example/"),
        json!("https://as.example/$(touch x)"),
        json!("https://as.example/?a=`x`"),
        json!("https://as.example/?a=\"&calc&\""),
        json!("https://as.example/a#b"),
        json!(["https://as.example/authorize"]),
        json!(null),
    ] {
        let server = server(json!({ "authorization_endpoint": endpoint }));
        let error = request().front_channel(&server, &client(), &RequestOptions::new()).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Metadata, "{endpoint}");
    }
}

/// A server that lists methods checks the challenge by one of them. RFC 8414 §2 lets a server that supports
/// PKCE list nothing.
#[test]
fn l_03_a_server_that_lists_code_challenge_methods_without_s256_is_refused() {
    let url = |methods: Value| {
        let server = server(json!({ "code_challenge_methods_supported": methods }));
        request().front_channel(&server, &client(), &RequestOptions::new())
    };
    for methods in [json!(["S256"]), json!(["plain", "S256"]), json!([]), json!(null)] {
        let query = split(&url(methods).unwrap().0).1;
        assert_eq!(values(&query, "code_challenge_method"), ["S256"]);
        assert_eq!(values(&query, "code_challenge")[0].len(), 43);
    }
    for methods in [json!(["plain"]), json!(["s256", "S512"]), json!("S256"), json!([1])] {
        let error = url(methods.clone()).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Metadata, "{methods}");
    }
}

/// RFC 9126 §5.
#[test]
fn parameters_are_not_sent_in_a_url_where_the_server_requires_that_they_are_pushed() {
    let url = |required: Value| {
        let server = server(json!({ "require_pushed_authorization_requests": required }));
        request().front_channel(&server, &client(), &RequestOptions::new())
    };
    assert!(url(json!(false)).is_ok() && url(json!(null)).is_ok());
    for required in [json!(true), json!("true"), json!(1)] {
        assert_eq!(*url(required).unwrap_err().kind(), ErrorKind::Metadata);
    }
}

#[test]
fn a_pending_authorization_is_read_back_from_its_json() {
    let prover = prover();
    let server = server(json!({ "authorization_response_iss_parameter_supported": true }));
    for options in [RequestOptions::new(), RequestOptions::new().prover(&prover)] {
        let (_, pending) = request().front_channel(&server, &client(), &options).unwrap();
        let stored = pending.to_json();
        let read = PendingAuthorization::from_json(&stored).unwrap();
        assert_eq!(*read.to_json(), *stored);
        assert_eq!((read.state(), read.jkt()), (pending.state(), pending.jkt()));
        let query = format!("code=x&state={}", pending.state());
        let error = read.receive_query(&query).unwrap_err();
        assert!(error.to_string().contains("`iss`"), "that `iss` is required is kept: {error}");
    }
}

#[test]
fn json_that_is_no_pending_authorization_is_refused() {
    let prover = prover();
    let options = RequestOptions::new().prover(&prover);
    let (_, pending) = request().front_channel(&server(json!({})), &client(), &options).unwrap();
    let stored: Value = serde_json::from_str(&pending.to_json()).unwrap();
    let refused = |text: &str| {
        let error = PendingAuthorization::from_json(text).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Malformed, "{error}");
        let verifier = stored["code_verifier"].as_str().unwrap();
        assert!(!error.to_string().contains(verifier), "{error}");
    };
    for name in stored.as_object().unwrap().keys().filter(|name| *name != "dpop_jkt") {
        let mut json = stored.clone();
        json.as_object_mut().unwrap().remove(name);
        refused(&json.to_string());
        for value in [json!(null), json!([]), json!(2)] {
            json[name] = value;
            refused(&json.to_string());
        }
    }
    // An empty `state` would be that of a response without one.
    for (name, value) in [("state", ""), ("state", "x"), ("code_verifier", "x"), ("dpop_jkt", "x")] {
        let mut json = stored.clone();
        json[name] = json!(value);
        refused(&json.to_string());
    }
    let text = stored.to_string();
    for text in ["", "[]", &text[1..], &text.replace('}', ",\"version\":1}")] {
        refused(text);
    }
}
