//! The introspection endpoint of the test server (RFC 7662).

use std::time::{Duration, SystemTime};

use possession::testing::{Endpoint, ManualClock, Quirk, TestServerBuilder};
use serde_json::json;

use super::plain_client::{PlainClient, refused};
use crate::common::server::{member, once, start, with};

/// RFC 7662 §2.2, RFC 9449 §6.2.
#[test]
fn introspection_describes_an_access_token() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let clock = ManualClock::at(now);
    let server = with(|server| server.clock(clock.clone()).subject("bob"));
    let client = PlainClient::confidential(&server).with_clock(&clock);
    let details = r#"[{"type":"payment"}]"#;
    let code = client.code(&[("resource", "https://api.example"), ("authorization_details", details)]);
    let tokens = client.exchange(&code, &[]);
    let expected = json!({
        "active": true,
        "iss": server.issuer(),
        "client_id": server.client_id(),
        "sub": "bob",
        "scope": "read write",
        "aud": ["https://api.example"],
        "authorization_details": [{"type": "payment"}],
        "token_type": "DPoP",
        "cnf": {"jkt": client.jkt()},
        "iat": 1_700_000_000,
        "exp": 1_700_003_600,
    });
    assert_eq!(client.introspect(&tokens.text("access_token")), expected);
    let refresh_token = client.introspect(&tokens.text("refresh_token"));
    assert_eq!(refresh_token["active"], true);
    assert_eq!(refresh_token["sub"], "bob");
    assert_eq!(refresh_token["token_type"], json!(null));
    // A used refresh token, an expired access token, and one that nobody knows.
    client.refresh(&tokens.text("refresh_token"), &[]);
    clock.advance(Duration::from_secs(3600));
    let inactive = json!({"active": false});
    for token in [tokens.text("refresh_token"), tokens.text("access_token"), "unknown".to_owned()] {
        assert_eq!(client.introspect(&token), inactive);
    }
}

/// The scope of an access token is what the response said, and not the whole grant.
#[test]
fn introspection_shows_the_scope_of_the_token() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let tokens = client.refresh(&client.log_in().text("refresh_token"), &[("scope", "read")]);
    assert_eq!(client.introspect(&tokens.text("access_token"))["scope"], "read");
    let credentials = client.prove("/token", &[("grant_type", "client_credentials"), ("scope", "a")]);
    let claims = client.introspect(&credentials.text("access_token"));
    assert_eq!((&claims["scope"], &claims["sub"]), (&json!("a"), &json!(null)));
    once(&server, Endpoint::Token, Quirk::Bearer);
    let bearer = client.log_in().text("access_token");
    assert_eq!(client.introspect(&bearer)["token_type"], "Bearer");
    server.revoke_refresh_tokens();
    assert_eq!(client.introspect(&bearer), json!({"active": false}));
}

#[test]
fn introspection_authenticates_the_client() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let introspect = |client: &PlainClient<'_>| client.post("/introspect", &[("token", "x")]);
    assert_eq!(introspect(&PlainClient::public(&server)).refusal(), (401, "invalid_client".to_owned()));
    assert_eq!(client.post("/introspect", &[]).refusal(), refused("invalid_request"));
    once(&server, Endpoint::Introspection, Quirk::OAuthError("unauthorized_client".to_owned()));
    once(&server, Endpoint::Introspection, member("active", r#""true""#));
    assert_eq!(introspect(&client).refusal(), refused("unauthorized_client"));
    assert_eq!(introspect(&client).member("active"), "true");
    let server = with(TestServerBuilder::public_client);
    assert_eq!(introspect(&PlainClient::public(&server)).status, 200);
}
