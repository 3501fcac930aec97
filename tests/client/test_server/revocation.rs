//! The revocation endpoint of the test server (RFC 7009).

use possession::testing::{Endpoint, Quirk, TestServerBuilder};

use super::plain_client::{PlainClient, Reply, refused};
use crate::common::server::{once, start, with};

fn revoke(client: &PlainClient<'_>, token: &str) -> Reply {
    client.post("/revoke", &[("token", token), ("token_type_hint", "access_token")])
}

/// RFC 7009 §2.1 and §2.2.
#[test]
fn revocation_ends_a_token_and_with_a_refresh_token_the_whole_grant() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let tokens = client.log_in();
    assert_eq!(revoke(&client, &tokens.text("access_token")).status, 200);
    assert_eq!(client.get(&tokens.text("access_token")), 401);
    let refreshed = client.refresh(&tokens.text("refresh_token"), &[]);
    assert_eq!(client.get(&refreshed.text("access_token")), 200);
    // The wrong hint does not matter.
    assert_eq!(revoke(&client, &refreshed.text("refresh_token")).status, 200);
    assert_eq!(client.get(&refreshed.text("access_token")), 401);
    assert_eq!(client.refresh(&refreshed.text("refresh_token"), &[]).refusal(), refused("invalid_grant"));
    // A token that is revoked or unknown is no error.
    for token in [refreshed.text("refresh_token"), tokens.text("access_token"), "unknown".to_owned()] {
        assert_eq!(revoke(&client, &token).status, 200);
    }
    assert_eq!(client.post("/revoke", &[]).refusal(), refused("invalid_request"));
    assert_eq!(
        revoke(&PlainClient::public(&server), "unknown").refusal(),
        (401, "invalid_client".to_owned())
    );
    let public_server = with(TestServerBuilder::public_client);
    assert_eq!(revoke(&PlainClient::public(&public_server), "unknown").status, 200);
}

/// RFC 7009 §2.2.1: an error, and a server that is asked again later.
#[test]
fn quirks_refuse_a_revocation() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let tokens = client.log_in();
    once(&server, Endpoint::Revocation, Quirk::OAuthError("unsupported_token_type".to_owned()));
    once(&server, Endpoint::Revocation, Quirk::Refuse { status: 503, retry_after: Some(1) });
    assert_eq!(revoke(&client, &tokens.text("access_token")).refusal(), refused("unsupported_token_type"));
    assert_eq!(revoke(&client, &tokens.text("access_token")).status, 503);
    assert_eq!(client.get(&tokens.text("access_token")), 200);
    assert_eq!(revoke(&client, &tokens.text("access_token")).status, 200);
    assert_eq!(client.get(&tokens.text("access_token")), 401);
}
