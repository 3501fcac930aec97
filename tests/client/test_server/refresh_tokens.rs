//! The refresh token grant of the test server.

use std::thread;
use std::time::Duration;

use possession::testing::{Endpoint, ManualClock, Quirk, TestServerBuilder};

use super::plain_client::{PlainClient, Reply, refused};
use crate::common::server::{always, once, start, with};

fn refresh_token(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.text("refresh_token")
}

#[test]
fn refresh_tokens_rotate() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let first = refresh_token(&client.log_in());
    let refreshed = client.refresh(&first, &[]);
    let second = refresh_token(&refreshed);
    assert_ne!(first, second);
    assert_eq!(refreshed.text("scope"), "read write");
    assert_eq!(client.get(&refreshed.text("access_token")), 200);
    assert_ne!(refresh_token(&client.refresh(&second, &[])), second);
    assert_eq!(server.counts().repeated_grants, 0);
}

/// RFC 9700 §4.14.2: the old refresh token is refused, and the tokens of whoever used it first end as well.
#[test]
fn a_refresh_token_that_is_used_again_revokes_all_tokens_of_its_grant() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let (bystander, login) = (client.log_in(), client.log_in());
    let refreshed = client.refresh(&refresh_token(&login), &[]);
    assert_eq!(client.refresh(&refresh_token(&login), &[]).refusal(), refused("invalid_grant"));
    assert_eq!(client.refresh(&refresh_token(&refreshed), &[]).refusal(), refused("invalid_grant"));
    assert_eq!(server.counts().repeated_grants, 1);
    for tokens in [&login, &refreshed] {
        assert_eq!(client.get(&tokens.text("access_token")), 401);
    }
    assert_eq!(client.refresh(&refresh_token(&bystander), &[]).status, 200);
}

/// As two processes that share a refresh token without a lock.
#[test]
fn of_two_refreshes_at_the_same_time_one_is_a_repetition() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let token = refresh_token(&client.log_in());
    let statuses: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| client.refresh(&token, &[]).status)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(statuses.iter().filter(|status| **status == 200).count() <= 1, "{statuses:?}");
    assert!(server.counts().repeated_grants >= 1);
}

#[test]
fn quirks_accept_a_used_refresh_token_or_keep_it() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let first = refresh_token(&client.log_in());
    once(&server, Endpoint::Token, Quirk::AcceptUsedRefreshTokens);
    let second = refresh_token(&client.refresh(&first, &[]));
    let third = refresh_token(&client.refresh(&first, &[]));
    assert_eq!(server.counts().quirks, 1);
    // Both descendants are valid.
    client.refresh(&second, &[]);
    let fourth = refresh_token(&client.refresh(&third, &[]));

    once(&server, Endpoint::Token, Quirk::KeepRefreshToken { sent: true });
    once(&server, Endpoint::Token, Quirk::KeepRefreshToken { sent: false });
    assert_eq!(refresh_token(&client.refresh(&fourth, &[])), fourth);
    assert!(client.refresh(&fourth, &[]).member("refresh_token").is_null());
    assert_ne!(refresh_token(&client.refresh(&fourth, &[])), fourth);
    assert_eq!((server.counts().quirks, server.counts().repeated_grants), (3, 1));
}

/// RFC 9449 §5: bound to the key for a public client, and to the client for one that authenticates.
#[test]
fn the_refresh_token_of_a_public_client_is_bound_to_its_key() {
    let server = with(TestServerBuilder::public_client);
    let public = PlainClient::public(&server);
    let token = refresh_token(&public.log_in());
    assert_eq!(public.with_other_key().refresh(&token, &[]).refusal(), refused("invalid_grant"));
    let second = refresh_token(&public.refresh(&token, &[]));
    assert_eq!(public.with_other_key().refresh(&second, &[]).refusal(), refused("invalid_grant"));
    // The secret does not replace the key.
    let mut confidential = PlainClient::confidential(&server);
    assert_eq!(confidential.refresh(&second, &[]).refusal(), refused("invalid_grant"));
    assert_eq!(public.refresh(&second, &[]).status, 200);

    let token = refresh_token(&confidential.log_in());
    confidential = confidential.with_other_key();
    let refreshed = confidential.refresh(&token, &[]);
    assert_eq!(refreshed.status, 200);
    // The new access token is bound to the new key.
    assert_eq!(confidential.get(&refreshed.text("access_token")), 200);
    always(&server, Endpoint::Token, Quirk::BindRefreshTokens);
    assert_eq!(
        confidential.with_other_key().refresh(&refresh_token(&refreshed), &[]).refusal(),
        refused("invalid_grant")
    );
    assert_eq!(confidential.refresh(&refresh_token(&refreshed), &[]).status, 200);
    assert_eq!(server.counts().quirks, 1);
}

/// RFC 6749 §6: the scope may become smaller, and the new refresh token keeps what was granted.
#[test]
fn a_refresh_may_ask_for_less() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let token = refresh_token(&client.log_in());
    assert_eq!(client.refresh(&token, &[("scope", "read admin")]).refusal(), refused("invalid_scope"));
    let less = client.refresh(&token, &[("scope", "read")]);
    assert_eq!(less.text("scope"), "read");
    assert_eq!(client.refresh(&refresh_token(&less), &[]).text("scope"), "read write");
}

#[test]
fn a_lost_response_takes_the_new_refresh_token_with_it() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let login = client.log_in();
    once(&server, Endpoint::Token, Quirk::LoseTokenResponse);
    let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        client.refresh(&refresh_token(&login), &[])
    }));
    assert!(lost.is_err());
    assert_eq!(server.counts().tokens, 2);
    assert_eq!(client.refresh(&refresh_token(&login), &[]).refusal(), refused("invalid_grant"));
}

#[test]
fn refresh_tokens_expire_and_can_be_revoked_by_the_test() {
    let clock = ManualClock::new();
    let day = Duration::from_secs(24 * 3600);
    let server = with(|server| server.clock(clock.clone()).refresh_token_lifetime(day));
    let client = PlainClient::confidential(&server).with_clock(&clock);
    let tokens = [client.log_in(), client.log_in()];
    clock.advance(day - Duration::from_secs(1));
    let refreshed = client.refresh(&refresh_token(&tokens[0]), &[]);
    clock.advance(Duration::from_secs(1));
    assert_eq!(client.refresh(&refresh_token(&tokens[1]), &[]).refusal(), refused("invalid_grant"));
    let refreshed = client.refresh(&refresh_token(&refreshed), &[]);
    // Access tokens end, and a refresh yields others.
    server.revoke_tokens();
    assert_eq!(client.get(&refreshed.text("access_token")), 401);
    let refreshed = client.refresh(&refresh_token(&refreshed), &[]);
    assert_eq!(client.get(&refreshed.text("access_token")), 200);
    server.revoke_refresh_tokens();
    assert_eq!(client.refresh(&refresh_token(&refreshed), &[]).refusal(), refused("invalid_grant"));
    assert_eq!(client.get(&refreshed.text("access_token")), 401);
    assert_eq!(client.refresh(&refresh_token(&client.log_in()), &[]).status, 200);
}
