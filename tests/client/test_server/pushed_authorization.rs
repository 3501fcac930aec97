//! The pushed authorization request endpoint of the test server (RFC 9126).

use std::time::Duration;

use possession::testing::{Endpoint, ManualClock, Nonces, Quirk, TestServer, TestServerBuilder};

use super::plain_client::{PlainClient, Reply, pairs, parameters, refused, value};
use crate::common::server::{always, member, once, start, statuses, with};

fn push(client: &PlainClient<'_>, changes: &[(&str, &str)]) -> Reply {
    let mut changes = changes.to_vec();
    // The credentials contain it.
    changes.push(("client_id", ""));
    client.post("/par", &pairs(&client.authorization_parameters(&changes)))
}

fn push_with_proof(client: &PlainClient<'_>, changes: &[(&str, &str)]) -> Reply {
    let mut changes = changes.to_vec();
    changes.push(("client_id", ""));
    client.prove("/par", &pairs(&client.authorization_parameters(&changes)))
}

/// The callback of a request that was pushed.
fn open(client: &PlainClient<'_>, request_uri: &str) -> std::io::Result<Vec<(String, String)>> {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", client.server.client_id())
        .append_pair("request_uri", request_uri)
        .finish();
    client.server.authorize(&format!("{}?{query}", client.url("/authorize"))).map(|url| parameters(&url))
}

fn code(client: &PlainClient<'_>, pushed: &Reply) -> String {
    assert_eq!(pushed.status, 201, "{pushed:?}");
    value(&open(client, &pushed.text("request_uri")).unwrap(), "code").unwrap()
}

/// RFC 9126 §2.2 and §4.
#[test]
fn a_pushed_request_is_used_once_by_its_client() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let pushed = push(&client, &[]);
    assert_eq!((pushed.status, pushed.member("expires_in").as_u64()), (201, Some(60)));
    let request_uri = pushed.text("request_uri");
    assert!(request_uri.starts_with("urn:ietf:params:oauth:request_uri:"), "{request_uri}");
    let callback = open(&client, &request_uri).unwrap();
    assert_eq!(value(&callback, "state").as_deref(), Some("xyz"));
    let tokens = client.exchange(&value(&callback, "code").unwrap(), &[]);
    assert_eq!((tokens.status, tokens.text("scope")), (200, "read write".to_owned()));
    for unusable in [&request_uri, "urn:ietf:params:oauth:request_uri:unknown", "https://a.example/request"] {
        let error = open(&client, unusable).unwrap_err();
        assert!(error.to_string().contains("invalid_request_uri"), "{error}");
    }
}

/// RFC 9126 §4: what the browser adds does not count.
#[test]
fn parameters_beside_a_request_uri_are_ignored() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let request_uri = push(&client, &[]).text("request_uri");
    let uri = form_urlencoded::byte_serialize(request_uri.as_bytes()).collect::<String>();
    let url = client.authorization_url(&[("state", "other"), ("redirect_uri", "https://other.example/")]);
    let callback = server.authorize(&format!("{url}&request_uri={uri}")).unwrap();
    assert!(callback.starts_with("http://127.0.0.1:8080/callback?"), "{callback}");
    assert_eq!(value(&parameters(&callback), "state").as_deref(), Some("xyz"));
}

#[test]
fn a_pushed_request_expires() {
    for (seconds, is_usable) in [(59, true), (60, false)] {
        let clock = ManualClock::new();
        let server = with(|server| server.clock(clock.clone()));
        let client = PlainClient::confidential(&server);
        let pushed = push(&client, &[]);
        clock.advance(Duration::from_secs(seconds));
        assert_eq!(open(&client, &pushed.text("request_uri")).is_ok(), is_usable, "{seconds}");
    }
}

/// RFC 9126 §2.1 and §2.3.
#[test]
fn invalid_pushed_requests_are_refused() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let cases = [
        (("request_uri", "urn:x"), "invalid_request"),
        (("redirect_uri", "no-uri"), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("dpop_jkt", "x"), "invalid_request"),
        (("response_type", "token"), "unsupported_response_type"),
        (("scope", "\\"), "invalid_scope"),
        (("resource", "https://a.example/#b"), "invalid_target"),
    ];
    for (change, code) in cases {
        assert_eq!(push(&client, &[change]).refusal(), refused(code), "{change:?}");
    }
    // The client authenticates as at the token endpoint.
    assert_eq!(push(&PlainClient::public(&server), &[]).refusal(), (401, "invalid_client".to_owned()));
    let public_server = with(TestServerBuilder::public_client);
    assert_eq!(push(&PlainClient::public(&public_server), &[]).status, 201);
    once(&server, Endpoint::PushedAuthorization, Quirk::OAuthError("access_denied".to_owned()));
    assert_eq!(push(&client, &[]).refusal(), refused("access_denied"));
    assert_eq!(push(&client, &[]).status, 201);
}

/// RFC 9449 §10.1: proof and `dpop_jkt` both bind the code, and they must agree.
#[test]
fn proof_and_dpop_jkt_bind_the_code() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let other = client.with_other_key();
    let jkt = client.jkt();
    let pushed = [
        push_with_proof(&client, &[]),
        push(&client, &[("dpop_jkt", &jkt)]),
        push_with_proof(&client, &[("dpop_jkt", &jkt)]),
    ];
    for pushed in pushed {
        let code = code(&client, &pushed);
        assert_eq!(other.exchange(&code, &[]).refusal(), refused("invalid_grant"));
        // The refused request has not used the code up.
        assert_eq!(client.exchange(&code, &[]).status, 200);
    }
    let contradiction = push_with_proof(&other, &[("dpop_jkt", &jkt)]);
    assert_eq!(contradiction.refusal(), refused("invalid_request"));
    // Without both, any key may use the code.
    let unbound = code(&client, &push(&client, &[]));
    assert_eq!(other.exchange(&unbound, &[]).status, 200);
}

/// The proof is verified as at the token endpoint, nonces included (RFC 9449 §8).
#[test]
fn a_proof_at_the_endpoint_needs_a_nonce() {
    let server = start();
    let client = PlainClient::confidential(&server);
    assert_eq!(push_with_proof(&client, &[]).status, 201);
    let received = server.received_at(Endpoint::PushedAuthorization);
    assert_eq!(statuses(&received), [400, 201]);
    assert_eq!(server.counts().challenges, 1);
    always(&server, Endpoint::PushedAuthorization, Quirk::Challenge);
    assert_eq!(push_with_proof(&client, &[]).refusal(), refused("use_dpop_nonce"));
    server.behave();
    // A proof for another URL.
    let wrong = ureq_with_proof(&client, &client.proof("/token", None));
    assert_eq!(wrong, 400);
    // With a new nonce in every response, a success and an error carry one.
    let server = with(|server| server.nonces(Nonces::EachResponse));
    let client = PlainClient::confidential(&server);
    assert!(push_with_proof(&client, &[]).nonce.is_some());
    let refused = push_with_proof(&client, &[("scope", "\\")]);
    assert!(refused.nonce.is_some() && refused.status == 400);
}

fn ureq_with_proof(client: &PlainClient<'_>, proof: &str) -> u16 {
    let request = super::plain_client::agent().post(client.url("/par")).header("dpop", proof);
    let fields = client.authorization_parameters(&[("client_secret", client.server.client_secret())]);
    request.send_form(pairs(&fields)).unwrap().status().as_u16()
}

#[test]
fn quirks_require_the_proof_or_ignore_it() {
    let server = with(|server| server.nonces(Nonces::Off));
    let client = PlainClient::confidential(&server);
    always(&server, Endpoint::PushedAuthorization, Quirk::RequireProof);
    assert_eq!(push(&client, &[]).refusal(), refused("invalid_dpop_proof"));
    assert_eq!(server.counts().quirks, 1);
    let bound = code(&client, &push_with_proof(&client, &[]));
    assert_eq!(client.with_other_key().exchange(&bound, &[]).refusal(), refused("invalid_grant"));
    assert_eq!(server.counts().quirks, 1);
    server.behave();
    always(&server, Endpoint::PushedAuthorization, Quirk::IgnoreProofs);
    let unbound = code(&client, &push_with_proof(&client, &[]));
    assert_eq!(client.with_other_key().exchange(&unbound, &[]).status, 200);
    assert_eq!(server.counts().quirks, 2);
    // Without a proof there is nothing to ignore.
    push(&client, &[]);
    assert_eq!(server.counts().quirks, 2);
}

#[test]
fn the_server_can_require_that_requests_are_pushed() {
    let server: TestServer = with(TestServerBuilder::require_pushed_authorization_requests);
    let client = PlainClient::confidential(&server);
    assert_eq!(value(&client.authorize(&[]), "error").as_deref(), Some("invalid_request"));
    assert!(value(&open(&client, &push(&client, &[]).text("request_uri")).unwrap(), "code").is_some());
    // Members of the response can be changed like those of a token response.
    once(&server, Endpoint::PushedAuthorization, member("expires_in", "null"));
    assert!(push(&client, &[]).member("expires_in").is_null());
}
