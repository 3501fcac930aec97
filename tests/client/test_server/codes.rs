//! The authorization code grant of the test server.

use std::thread;

use possession::testing::{Endpoint, Quirk, TestServerBuilder};

use super::plain_client::{PlainClient, refused};
use crate::common::server::{always, member, once, start, statuses, token_requests, with};

#[test]
fn a_login_yields_an_access_token_for_the_user_and_a_refresh_token() {
    let server = with(|server| server.subject("bob"));
    let client = PlainClient::confidential(&server);
    let tokens = client.log_in();
    assert_eq!(tokens.status, 200, "{tokens:?}");
    assert_eq!(
        (tokens.text("token_type"), tokens.text("scope")),
        ("DPoP".to_owned(), "read write".to_owned())
    );
    assert_eq!(tokens.member("expires_in").as_u64(), Some(3600));
    assert!(!tokens.text("refresh_token").is_empty());
    assert_eq!(client.get(&tokens.text("access_token")), 200);
    assert_eq!(client.with_other_key().get(&tokens.text("access_token")), 401);
    assert_eq!(server.counts().tokens, 1);
}

/// RFC 6749 §4.1.3, RFC 7636 §4.6. A refused request does not use the code up.
#[test]
fn a_code_needs_its_client_its_redirect_uri_and_its_verifier() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let code = client.code(&[]);
    let other_verifier = "a".repeat(43);
    let cases = [
        (("redirect_uri", "http://127.0.0.1:8080/other"), "invalid_grant"),
        (("code_verifier", other_verifier.as_str()), "invalid_grant"),
        // The verifier itself and not its challenge.
        (("code_verifier", super::plain_client::CHALLENGE), "invalid_grant"),
        (("code", "unknown"), "invalid_grant"),
        (("grant_type", "implicit"), "unsupported_grant_type"),
    ];
    for (change, error) in cases {
        assert_eq!(client.exchange(&code, &[change]).refusal(), refused(error), "{change:?}");
    }
    for missing in ["code", "redirect_uri", "code_verifier"] {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", super::plain_client::CALLBACK),
            ("code_verifier", super::plain_client::VERIFIER),
        ];
        let fields: Vec<_> = fields.into_iter().filter(|(name, _)| *name != missing).collect();
        assert_eq!(client.prove("/token", &fields).refusal(), refused("invalid_request"), "{missing}");
    }
    assert_eq!(
        client.post("/token", &[("grant_type", "authorization_code")]).refusal().1,
        "invalid_dpop_proof"
    );
    assert_eq!(client.exchange(&code, &[]).status, 200);
}

/// RFC 6749 §4.1.2: the tokens that were issued for a code are revoked when it is used again.
#[test]
fn a_code_that_is_used_twice_revokes_its_tokens() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let (bystander, code) = (client.log_in(), client.code(&[]));
    let tokens = client.exchange(&code, &[]);
    let refreshed = client.refresh(&tokens.text("refresh_token"), &[]);
    assert_eq!(refreshed.status, 200);
    // Whoever stole the code need not know the verifier.
    let stolen = client.with_other_key().exchange(&code, &[("code_verifier", &"a".repeat(43))]);
    assert_eq!(stolen.refusal(), refused("invalid_grant"));
    assert_eq!(server.counts().repeated_grants, 1);
    for tokens in [&tokens, &refreshed] {
        assert_eq!(client.get(&tokens.text("access_token")), 401);
    }
    assert_eq!(client.refresh(&refreshed.text("refresh_token"), &[]).refusal(), refused("invalid_grant"));
    // Another login is not concerned.
    assert_eq!(client.get(&bystander.text("access_token")), 200);
    assert_eq!(client.refresh(&bystander.text("refresh_token"), &[]).status, 200);
}

#[test]
fn a_quirk_accepts_codes_twice() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let code = client.code(&[]);
    always(&server, Endpoint::Token, Quirk::AcceptUsedCodes);
    let first = client.exchange(&code, &[]);
    assert_eq!(server.counts().quirks, 0);
    assert_eq!(client.exchange(&code, &[]).status, 200);
    assert_eq!((server.counts().quirks, server.counts().repeated_grants), (1, 1));
    assert_eq!(client.get(&first.text("access_token")), 200);
}

/// Of many requests at the same time, one at most gets tokens, and they are revoked.
#[test]
fn requests_at_the_same_time_share_no_code() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let code = client.code(&[]);
    let replies: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| client.exchange(&code, &[]))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let issued: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert!(issued.len() <= 1, "{replies:?}");
    for tokens in issued {
        assert_eq!(client.get(&tokens.text("access_token")), 401);
    }
}

/// RFC 9449 §10.
#[test]
fn dpop_jkt_binds_the_code_unless_a_quirk_ignores_it() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let other = client.with_other_key();
    let bound = || client.code(&[("dpop_jkt", &client.jkt())]);
    let code = bound();
    assert_eq!(other.exchange(&code, &[]).refusal(), refused("invalid_grant"));
    assert_eq!(client.exchange(&code, &[]).status, 200);
    once(&server, Endpoint::Token, Quirk::IgnoreDpopJkt);
    // The right key does not need the quirk.
    assert_eq!(client.exchange(&bound(), &[]).status, 200);
    assert_eq!(server.counts().quirks, 0);
    assert_eq!(other.exchange(&bound(), &[]).status, 200);
    assert_eq!(server.counts().quirks, 1);
}

#[test]
fn a_quirk_refuses_a_valid_code_and_leaves_it_unused() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let code = client.code(&[]);
    once(&server, Endpoint::Token, Quirk::OAuthError("temporarily_unavailable".to_owned()));
    assert_eq!(client.exchange("unknown", &[]).refusal(), refused("invalid_grant"));
    assert_eq!(client.exchange(&code, &[]).refusal(), refused("temporarily_unavailable"));
    assert_eq!(client.exchange(&code, &[]).status, 200);
    // It concerns every grant.
    once(&server, Endpoint::Token, Quirk::OAuthError("invalid_scope".to_owned()));
    let credentials = [("grant_type", "client_credentials")];
    assert_eq!(client.prove("/token", &credentials).refusal(), refused("invalid_scope"));
}

/// Members of other grants and vendors: `sub` as atproto sends it, `authorization_details` of RFC 9396.
#[test]
fn quirks_add_members_to_the_tokens_of_a_login() {
    let server = start();
    let client = PlainClient::confidential(&server);
    once(&server, Endpoint::Token, member("sub", r#""did:plc:1""#));
    once(&server, Endpoint::Token, member("authorization_details", r#"[{"type":"t"}]"#));
    once(&server, Endpoint::Token, member("token_type", r#""N_A""#));
    once(&server, Endpoint::Token, Quirk::WithoutMember("refresh_token".to_owned()));
    once(&server, Endpoint::Token, Quirk::Bearer);
    assert_eq!(client.log_in().text("sub"), "did:plc:1");
    assert_eq!(client.log_in().member("authorization_details")[0]["type"], "t");
    assert_eq!(client.log_in().text("token_type"), "N_A");
    assert!(client.log_in().member("refresh_token").is_null());
    assert_eq!(client.log_in().text("token_type"), "Bearer");
    assert_eq!(server.counts().quirks, 5);
}

/// The server has issued the tokens and used the code up when the connection breaks.
#[test]
fn a_quirk_loses_the_response_with_the_tokens() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let (code, warm) = (client.code(&[]), client.code(&[]));
    once(&server, Endpoint::Token, Quirk::LoseTokenResponse);
    // The challenge for a nonce is not concerned.
    assert_eq!(client.post("/token", &[]).refusal().1, "invalid_dpop_proof");
    let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.exchange(&code, &[])));
    assert!(lost.is_err());
    assert_eq!((server.counts().tokens, server.counts().quirks), (1, 1));
    assert_eq!(token_requests(&server).last().unwrap().status, None);
    assert_eq!(client.exchange(&code, &[]).refusal(), refused("invalid_grant"));
    assert_eq!(client.exchange(&warm, &[]).status, 200);
}

/// A client without a secret may log in where the server has public clients.
#[test]
fn a_public_client_logs_in_with_its_identifier() {
    let server = with(TestServerBuilder::public_client);
    assert_eq!(PlainClient::public(&server).log_in().status, 200);
    let server = start();
    let client = PlainClient::public(&server);
    assert_eq!(client.exchange(&client.code(&[]), &[]).refusal(), (401, "invalid_client".to_owned()));
    assert_eq!(statuses(&token_requests(&server)), [401]);
}
