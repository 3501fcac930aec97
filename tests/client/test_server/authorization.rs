//! The authorization endpoint of the test server.

use std::io;
use std::time::Duration;

use possession::testing::{Endpoint, ManualClock, Quirk};

use super::plain_client::{CALLBACK, PlainClient, agent, parameters, refused, value};
use crate::common::server::{always, member, once, once_all, start, with};

fn parameter(name: &str, value: &str) -> Quirk {
    Quirk::Parameter { name: name.to_owned(), value: value.to_owned() }
}

/// RFC 6749 §4.1.2, RFC 9207 §2.
#[test]
fn the_redirect_carries_code_state_and_issuer() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let callback = server.authorize(&client.authorization_url(&[("state", "a b&c")])).unwrap();
    assert!(callback.starts_with("http://127.0.0.1:8080/callback?code="), "{callback}");
    let names: Vec<_> = parameters(&callback).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["code", "state", "iss"]);
    assert_eq!(value(&parameters(&callback), "state").as_deref(), Some("a b&c"));
    assert_eq!(value(&parameters(&callback), "iss").as_deref(), Some(server.issuer()));
    // A query of the redirect URI is kept (RFC 6749 §3.1.2), and there is no state unless the client sent
    // one.
    let own_query = format!("{CALLBACK}?tenant=1");
    let callback =
        server.authorize(&client.authorization_url(&[("redirect_uri", &own_query), ("state", "")]));
    let names: Vec<_> = parameters(&callback.unwrap()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["tenant", "code", "iss"]);
}

/// What a browser does by HTTP is what `authorize` returns.
#[test]
fn the_endpoint_is_served_over_http_as_well() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let response = agent().get(client.authorization_url(&[])).call().unwrap();
    assert_eq!(response.status(), 302);
    let location = response.headers()["location"].to_str().unwrap();
    let code = value(&parameters(location), "code").unwrap();
    assert_eq!(client.exchange(&code, &[]).status, 200);
    assert_eq!(agent().post(client.url("/authorize")).send("").unwrap().status(), 405);
    let received = server.received_at(Endpoint::Authorization);
    assert_eq!(received[0].query_field("state").as_deref(), Some("xyz"));
    assert_eq!(received[0].query_field("none"), None);
}

/// RFC 6749 §4.1.2.1: where client or redirect URI is wrong, nothing is sent to the redirect URI.
#[test]
fn an_error_of_client_or_redirect_uri_is_not_redirected() {
    let server = with(|server| {
        server.redirect_uris(["https://app.example/cb", "http://127.0.0.1/callback", "com.example.app:/cb"])
    });
    let client = PlainClient::confidential(&server);
    let try_redirect = |uri: &str| server.authorize(&client.authorization_url(&[("redirect_uri", uri)]));
    // RFC 8252 §7.3: any port of the loopback address.
    for uri in ["https://app.example/cb", "http://127.0.0.1/callback", CALLBACK, "com.example.app:/cb"] {
        assert!(try_redirect(uri).unwrap().starts_with(uri), "{uri}");
    }
    let refused = [
        "",
        "https://app.example/cb/",
        "https://app.example:444/cb",
        "https://app.example/cb?x=1",
        "https://other.example/cb",
        "http://127.0.0.1:8080/other",
        "http://127.0.0.2:8080/callback",
        "https://127.0.0.1:8080/callback",
        "https://app.example/cb#fragment",
        "/callback",
    ];
    for uri in refused {
        let error = try_redirect(uri).unwrap_err();
        assert!(error.to_string().contains("status 400"), "{uri}: {error}");
    }
    let unknown = client.authorization_url(&[("client_id", "unknown")]);
    assert!(server.authorize(&unknown).unwrap_err().to_string().contains("invalid_request"));
    // Without a list, every absolute URI without a fragment is accepted.
    let server = start();
    let client = PlainClient::confidential(&server);
    let try_redirect = |uri: &str| server.authorize(&client.authorization_url(&[("redirect_uri", uri)]));
    assert!(try_redirect("https://anywhere.example/").is_ok());
    for uri in ["/callback", "https://a.example/#b", "https://a.example/a b", "https://a.example/\r\nx: y"] {
        assert!(try_redirect(uri).is_err(), "{uri}");
    }
}

/// RFC 6749 §3.1 and §4.1.2.1, RFC 7636 §4.4.1, RFC 8707 §2, RFC 9396 §5, RFC 9449 §10.
#[test]
fn other_errors_go_to_the_redirect_uri() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let cases = [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", ""), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("dpop_jkt", "no-thumbprint"), "invalid_request"),
        (("response_mode", "fragment"), "invalid_request"),
        (("request", "a.b.c"), "request_not_supported"),
        (("scope", "a\"b"), "invalid_scope"),
        (("resource", "/relative"), "invalid_target"),
        (("authorization_details", "{}"), "invalid_authorization_details"),
        (("authorization_details", "[{}]"), "invalid_authorization_details"),
    ];
    for (change, code) in cases {
        let callback = client.authorize(&[change]);
        let expected = [("error", code), ("state", "xyz"), ("iss", server.issuer())];
        assert_eq!(callback, expected.map(|(name, value)| (name.to_owned(), value.to_owned())), "{change:?}");
    }
    let twice = format!("{}&scope=c", client.authorization_url(&[]));
    assert_eq!(
        value(&parameters(&server.authorize(&twice).unwrap()), "error").as_deref(),
        Some("invalid_request")
    );
    // `resource` may be repeated.
    let resources =
        format!("{}&resource=https://a.example&resource=https://b.example", client.authorization_url(&[]));
    assert!(server.authorize(&resources).unwrap().contains("code="));
    assert_eq!(server.counts().quirks, 0);
}

#[test]
fn authorize_refuses_urls_of_others_and_reports_what_is_no_redirect() {
    let server = start();
    let client = PlainClient::confidential(&server);
    for url in ["https://other.example/authorize", "no url", &format!("{}.example/", server.issuer())] {
        assert_eq!(server.authorize(url).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{url}");
    }
    let url = client.authorization_url(&[]);
    for quirk in [Quirk::CloseWithoutResponse, Quirk::Silence, Quirk::Html { status: 200 }] {
        once(&server, Endpoint::Authorization, quirk);
        assert_eq!(server.authorize(&url).unwrap_err().kind(), io::ErrorKind::Other);
    }
    once(&server, Endpoint::Authorization, Quirk::InterimResponses(2));
    assert!(server.authorize(&url).is_ok());
    let elsewhere = Quirk::Redirect { status: 303, location: "https://login.example/".to_owned() };
    once(&server, Endpoint::Authorization, elsewhere);
    assert_eq!(server.authorize(&url).unwrap(), "https://login.example/");
}

/// A wrong or missing `iss` (RFC 9207 §2.4), a wrong `state`, and what else a client must not accept.
#[test]
fn quirks_change_the_parameters_of_the_redirect() {
    let server = start();
    let client = PlainClient::confidential(&server);
    once(&server, Endpoint::Authorization, parameter("iss", "https://attacker.example"));
    once(&server, Endpoint::Authorization, Quirk::WithoutParameter("iss".to_owned()));
    once(&server, Endpoint::Authorization, parameter("state", "other"));
    let duplicate = Quirk::DuplicateParameter { name: "code".to_owned(), value: "b".to_owned() };
    once(&server, Endpoint::Authorization, duplicate);
    let first = client.authorize(&[]);
    assert_eq!(value(&first, "iss").as_deref(), Some("https://attacker.example"));
    assert!(value(&first, "code").is_some());
    assert_eq!(value(&client.authorize(&[]), "iss"), None);
    let third = client.authorize(&[]);
    assert_eq!(
        (value(&third, "state").as_deref(), value(&third, "iss").as_deref()),
        (Some("other"), Some(server.issuer()))
    );
    assert_eq!(client.authorize(&[]).iter().filter(|(name, _)| name == "code").count(), 2);
    assert_eq!(server.counts().quirks, 4);
    // What changes nothing is not counted.
    always(&server, Endpoint::Authorization, parameter("state", "xyz"));
    always(&server, Endpoint::Authorization, Quirk::WithoutParameter("error".to_owned()));
    client.authorize(&[]);
    assert_eq!(server.counts().quirks, 4);
}

#[test]
fn a_quirk_denies_access() {
    let server = start();
    let client = PlainClient::confidential(&server);
    once(&server, Endpoint::Authorization, Quirk::OAuthError("access_denied".to_owned()));
    // The request that is invalid anyway does not use the quirk up.
    assert_eq!(
        value(&client.authorize(&[("response_type", "x")]), "error").unwrap(),
        "unsupported_response_type"
    );
    let callback = client.authorize(&[]);
    assert_eq!(value(&callback, "error").as_deref(), Some("access_denied"));
    assert_eq!((value(&callback, "state").as_deref(), value(&callback, "code")), (Some("xyz"), None));
    assert!(value(&client.authorize(&[]), "code").is_some());
    // Together with a wrong issuer: an error that must not be believed (RFC 9207 §2.4).
    let quirks =
        [Quirk::OAuthError("access_denied".to_owned()), parameter("iss", "https://attacker.example")];
    once_all(&server, Endpoint::Authorization, quirks);
    let callback = client.authorize(&[]);
    assert_eq!(value(&callback, "iss").as_deref(), Some("https://attacker.example"));
    assert_eq!(value(&callback, "error").as_deref(), Some("access_denied"));
}

#[test]
fn the_metadata_name_the_endpoints_and_quirks_change_them() {
    let server = start();
    let document = |server: &possession::testing::TestServer| -> serde_json::Value {
        let url = format!("{}/.well-known/oauth-authorization-server", server.issuer());
        let body = agent().get(url).call().unwrap().into_body().read_to_string().unwrap();
        serde_json::from_str(&body).unwrap()
    };
    let usual = document(&server);
    for (name, path) in [
        ("authorization_endpoint", "/authorize"),
        ("pushed_authorization_request_endpoint", "/par"),
        ("token_endpoint", "/token"),
        ("revocation_endpoint", "/revoke"),
    ] {
        assert_eq!(usual[name], format!("{}{path}", server.issuer()));
    }
    assert_eq!(usual["response_types_supported"], serde_json::json!(["code"]));
    assert_eq!(usual["code_challenge_methods_supported"], serde_json::json!(["S256"]));
    assert_eq!(usual["authorization_response_iss_parameter_supported"], true);
    assert_eq!(usual["require_pushed_authorization_requests"], serde_json::Value::Null);
    let without_pkce = Quirk::WithoutMember("code_challenge_methods_supported".to_owned());
    once(&server, Endpoint::Metadata, without_pkce);
    once(&server, Endpoint::Metadata, member("require_pushed_authorization_requests", "true"));
    assert!(document(&server).get("code_challenge_methods_supported").is_none());
    assert_eq!(document(&server)["require_pushed_authorization_requests"], true);
    assert_eq!(document(&server), usual);
    assert_eq!(server.counts().quirks, 2);
    // RFC 8705 §5: clients that use mutual TLS find their endpoints in the aliases.
    let server = with(|server| server.mtls_alias());
    let aliases = &document(&server)["mtls_endpoint_aliases"];
    for (name, path) in
        [("pushed_authorization_request_endpoint", "/par"), ("revocation_endpoint", "/revoke")]
    {
        assert_eq!(aliases[name], server.resource(path));
    }
    assert!(aliases.get("authorization_endpoint").is_none());
}

/// RFC 6749 §4.1.2: a code lives for a short time. That of the test server is a minute.
#[test]
fn a_code_expires_by_the_servers_clock() {
    for (seconds, status) in [(59, 200), (60, 400)] {
        let clock = ManualClock::new();
        let server = with(|server| server.clock(clock.clone()));
        let client = PlainClient::confidential(&server).with_clock(&clock);
        let code = client.code(&[]);
        clock.advance(Duration::from_secs(seconds));
        assert_eq!(client.exchange(&code, &[]).status, status, "{seconds}");
    }
}

#[test]
fn authorization_details_and_resources_are_part_of_the_grant() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let details = r#"[{"type":"payment","amount":"1.00"}]"#;
    let code = client.code(&[
        ("authorization_details", details),
        ("resource", "https://api.example"),
        ("scope", ""),
    ]);
    let tokens = client.exchange(&code, &[]);
    // Compared as a value: how serde_json orders the members is a feature that any crate of a program can
    // switch on.
    assert_eq!(
        tokens.member("authorization_details"),
        serde_json::json!([{"type": "payment", "amount": "1.00"}])
    );
    assert_eq!(tokens.member("scope"), serde_json::Value::Null);
    assert_eq!(
        client.refresh(&tokens.text("refresh_token"), &[("scope", "read")]).refusal(),
        refused("invalid_scope")
    );
}
