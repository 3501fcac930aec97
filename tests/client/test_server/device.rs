//! The device authorization grant of the test server (RFC 8628).

use std::time::Duration;

use possession::testing::{Endpoint, ManualClock, Quirk, TestServer, TestServerBuilder, When};

use super::plain_client::{PlainClient, Reply, agent, refused};
use crate::common::server::{member, once, with};

fn start(clock: &ManualClock) -> TestServer {
    with(|server| server.clock(clock.clone()))
}

fn poll(client: &PlainClient<'_>, device_code: &str) -> Reply {
    let grant_type = "urn:ietf:params:oauth:grant-type:device_code";
    client.prove("/token", &[("grant_type", grant_type), ("device_code", device_code)])
}

fn authorize(client: &PlainClient<'_>) -> String {
    client.post("/device_authorization", &[("scope", "read")]).text("device_code")
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// RFC 8628 §3.2 and §6.1.
#[test]
fn a_device_gets_a_code_for_the_user_and_then_tokens() {
    let clock = ManualClock::new();
    let server = start(&clock);
    let client = PlainClient::confidential(&server).with_clock(&clock);
    let device = client.post("/device_authorization", &[("scope", "read")]);
    assert_eq!(
        (device.status, device.member("expires_in"), device.member("interval")),
        (200, 600.into(), 5.into())
    );
    let user_code = device.text("user_code");
    let (first, second) = user_code.split_once('-').unwrap();
    assert!([first, second].iter().all(|half| half.len() == 4), "{user_code}");
    assert!(user_code.bytes().all(|b| b"BCDFGHJKLMNPQRSTVWXZ-".contains(&b)), "{user_code}");
    let page = device.text("verification_uri");
    assert_eq!(device.text("verification_uri_complete"), format!("{page}?user_code={user_code}"));
    let visit = |url: &str| agent().get(url).call().unwrap().status().as_u16();
    assert_eq!(visit(&device.text("verification_uri_complete")), 200);
    assert_eq!(visit(&page), 200);
    assert_eq!(visit(&format!("{page}?user_code=AAAA-AAAA")), 400);
    assert_eq!(server.received_at(Endpoint::Verification).len(), 3);

    let tokens = poll(&client, &device.text("device_code"));
    assert_eq!((tokens.status, tokens.text("scope")), (200, "read".to_owned()));
    assert_eq!(client.get(&tokens.text("access_token")), 200);
    assert_eq!(client.refresh(&tokens.text("refresh_token"), &[]).status, 200);
    // The code is used up.
    clock.advance(seconds(60));
    assert_eq!(poll(&client, &device.text("device_code")).refusal(), refused("invalid_grant"));
}

/// RFC 8628 §3.5.
#[test]
fn quirks_make_a_device_wait() {
    let clock = ManualClock::new();
    let server = start(&clock);
    let client = PlainClient::confidential(&server).with_clock(&clock);
    let code = authorize(&client);
    let pending = Quirk::OAuthError("authorization_pending".to_owned());
    server.misbehave(Endpoint::Token, When::Next(2), pending);
    for _ in 0..2 {
        assert_eq!(poll(&client, &code).refusal(), refused("authorization_pending"));
        clock.advance(seconds(5));
    }
    once(&server, Endpoint::Token, Quirk::OAuthError("slow_down".to_owned()));
    assert_eq!(poll(&client, &code).refusal(), refused("slow_down"));
    assert_eq!(server.counts().quirks, 3);
    // The interval is ten seconds from now on.
    clock.advance(seconds(9));
    assert_eq!(poll(&client, &code).refusal(), refused("slow_down"));
    clock.advance(seconds(15));
    assert_eq!(poll(&client, &code).status, 200);
}

#[test]
fn a_device_that_polls_too_fast_is_slowed_down() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).polling_interval(seconds(2)));
    let client = PlainClient::confidential(&server).with_clock(&clock);
    let code = authorize(&client);
    once(&server, Endpoint::Token, Quirk::OAuthError("authorization_pending".to_owned()));
    assert_eq!(poll(&client, &code).refusal(), refused("authorization_pending"));
    clock.advance(seconds(1));
    assert_eq!(poll(&client, &code).refusal(), refused("slow_down"));
    // Each time the interval becomes five seconds longer: seven, and twelve.
    clock.advance(seconds(6));
    assert_eq!(poll(&client, &code).refusal(), refused("slow_down"));
    clock.advance(seconds(12));
    assert_eq!(poll(&client, &code).status, 200);
}

#[test]
fn a_device_code_expires_or_is_denied() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).device_code_lifetime(seconds(60)));
    let client = PlainClient::confidential(&server).with_clock(&clock);
    let device = client.post("/device_authorization", &[]);
    assert_eq!(device.member("expires_in"), 60);
    clock.advance(seconds(59));
    let page =
        |device: &Reply| agent().get(device.text("verification_uri_complete")).call().unwrap().status();
    assert_eq!(page(&device), 200);
    let other = authorize(&client);
    clock.advance(seconds(1));
    assert_eq!(poll(&client, &device.text("device_code")).refusal(), refused("expired_token"));
    assert_eq!(page(&device), 400);
    assert_eq!(poll(&client, &other).status, 200);

    for code in ["access_denied", "expired_token"] {
        let device_code = authorize(&client);
        once(&server, Endpoint::Token, Quirk::OAuthError(code.to_owned()));
        assert_eq!(poll(&client, &device_code).refusal(), refused(code));
        clock.advance(seconds(5));
        assert_eq!(poll(&client, &device_code).refusal(), refused("invalid_grant"), "it is final");
    }
}

#[test]
fn a_device_code_belongs_to_a_client_that_authenticates() {
    let clock = ManualClock::new();
    let server = start(&clock);
    let client = PlainClient::confidential(&server).with_clock(&clock);
    let public = PlainClient::public(&server).with_clock(&clock);
    assert_eq!(public.post("/device_authorization", &[]).refusal(), (401, "invalid_client".to_owned()));
    let invalid = [
        (("scope", "\\"), "invalid_scope"),
        (("resource", "x"), "invalid_target"),
        (("authorization_details", "1"), "invalid_authorization_details"),
        (("client_id", "twice"), "invalid_request"),
    ];
    for (field, code) in invalid {
        assert_eq!(client.post("/device_authorization", &[field]).refusal(), refused(code), "{field:?}");
    }
    assert_eq!(poll(&client, "unknown").refusal(), refused("invalid_grant"));
    once(&server, Endpoint::DeviceAuthorization, Quirk::OAuthError("unauthorized_client".to_owned()));
    once(&server, Endpoint::DeviceAuthorization, Quirk::WithoutMember("interval".to_owned()));
    once(&server, Endpoint::DeviceAuthorization, member("interval", "\"5\""));
    let reply = || client.post("/device_authorization", &[]);
    assert_eq!(reply().refusal(), refused("unauthorized_client"));
    assert!(reply().member("interval").is_null());
    assert_eq!(reply().member("interval"), "5");

    // The refresh token of a public client is bound to the key of the token request.
    let server = with(TestServerBuilder::public_client);
    let public = PlainClient::public(&server);
    let tokens = poll(&public, &authorize(&public));
    let stolen = public.with_other_key().refresh(&tokens.text("refresh_token"), &[]);
    assert_eq!(stolen.refusal(), refused("invalid_grant"));
    assert_eq!(public.refresh(&tokens.text("refresh_token"), &[]).status, 200);
}
