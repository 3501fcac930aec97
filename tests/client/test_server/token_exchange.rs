//! Token exchange and JWT bearer assertions at the test server (RFC 8693, RFC 7523 §2.1).

use std::time::{Duration, SystemTime};

use possession::testing::{Endpoint, ManualClock, Quirk, TestServer};
use possession::{Algorithm, KeyPair, Signer};
use serde_json::{Value, json};

use super::plain_client::{PlainClient, Reply, jwt, refused};
use crate::common::server::{once, start, with};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const NOW: u64 = 1_700_000_000;

fn exchange(client: &PlainClient<'_>, subject: (&str, &str), more: &[(&str, &str)]) -> Reply {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", subject.0),
        ("subject_token_type", subject.1),
    ];
    client.prove("/token", &[&fields, more].concat())
}

fn bearer(client: &PlainClient<'_>, assertion: &str) -> Reply {
    let grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    client.prove("/token", &[("grant_type", grant_type), ("assertion", assertion), ("scope", "read")])
}

fn clock() -> ManualClock {
    ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW))
}

/// The claims of a valid assertion, with changes; `null` leaves one out.
fn claims(server: &TestServer, changes: Value) -> Value {
    let mut claims =
        json!({"iss": "https://idp.example", "sub": "carol", "aud": server.issuer(), "exp": NOW + 60});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// RFC 8693 §2.2.1.
#[test]
fn an_access_token_is_exchanged_for_one_about_the_same_user() {
    let server = with(|server| server.subject("bob"));
    let client = PlainClient::confidential(&server);
    let login = client.log_in();
    let service = client.with_other_key();
    let access_token = login.text("access_token");
    let audience = [("audience", "orders"), ("resource", "https://api.example"), ("scope", "read")];
    let tokens = exchange(&service, (&access_token, ACCESS_TOKEN), &audience);
    assert_eq!(
        (tokens.status, tokens.text("issued_token_type")),
        (200, ACCESS_TOKEN.to_owned()),
        "{tokens:?}"
    );
    assert_eq!((tokens.text("token_type"), tokens.text("scope")), ("DPoP".to_owned(), "read".to_owned()));
    assert!(tokens.member("refresh_token").is_null());
    let claims = service.introspect(&tokens.text("access_token"));
    assert_eq!((&claims["sub"], &claims["act"]), (&json!("bob"), &json!(null)));
    assert_eq!(claims["aud"], json!(["https://api.example", "orders"]));
    // It is bound to the key of the service, not to that of the login.
    assert_eq!(service.get(&tokens.text("access_token")), 200);
    assert_eq!(client.get(&tokens.text("access_token")), 401);

    // Delegation (RFC 8693 §1.1).
    let own = service.prove("/token", &[("grant_type", "client_credentials")]).text("access_token");
    let actor = [("actor_token", own.as_str()), ("actor_token_type", ACCESS_TOKEN)];
    let delegated = exchange(&service, (&login.text("refresh_token"), REFRESH_TOKEN), &actor);
    let claims = service.introspect(&delegated.text("access_token"));
    assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&json!("bob"), &json!(server.client_id())));
}

/// RFC 8693 §2.2.1: what is not an access token has the type `N_A`.
#[test]
fn other_tokens_have_the_type_n_a() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let access_token = client.log_in().text("access_token");
    let request = |token_type: &str| {
        exchange(&client, (&access_token, ACCESS_TOKEN), &[("requested_token_type", token_type)])
    };
    let tokens_before = server.counts().tokens;
    for token_type in ["jwt", "id_token", "saml1", "saml2"] {
        let uri = format!("urn:ietf:params:oauth:token-type:{token_type}");
        let tokens = request(&uri);
        assert_eq!((tokens.text("token_type"), tokens.text("issued_token_type")), ("N_A".to_owned(), uri));
        assert_eq!(client.get(&tokens.text("access_token")), 401);
    }
    assert_eq!(server.counts().tokens, tokens_before);
    assert_eq!(request(ACCESS_TOKEN).text("token_type"), "DPoP");
    for unknown in ["jwt", REFRESH_TOKEN, "urn:ietf:params:oauth:token-type:unknown"] {
        assert_eq!(request(unknown).refusal(), refused("invalid_request"), "{unknown}");
    }
}

/// RFC 8693 §2.1 and §2.2.2.
#[test]
fn invalid_token_exchanges_are_refused() {
    let server = start();
    let client = PlainClient::confidential(&server);
    let login = client.log_in();
    let token = login.text("access_token");
    let subject = (token.as_str(), ACCESS_TOKEN);
    for (token, token_type) in
        [("unknown", ACCESS_TOKEN), (subject.0, REFRESH_TOKEN), (subject.0, JWT), (subject.0, "access_token")]
    {
        assert_eq!(exchange(&client, (token, token_type), &[]).refusal(), refused("invalid_request"));
    }
    let used = login.text("refresh_token");
    client.refresh(&used, &[]);
    assert_eq!(exchange(&client, (&used, REFRESH_TOKEN), &[]).refusal(), refused("invalid_request"));
    let cases = [
        (("actor_token", "x"), "invalid_request"),
        (("actor_token_type", JWT), "invalid_request"),
        (("scope", "\\"), "invalid_scope"),
        (("resource", "/x"), "invalid_target"),
        (("authorization_details", "{"), "invalid_authorization_details"),
    ];
    for (field, code) in cases {
        assert_eq!(exchange(&client, subject, &[field]).refusal(), refused(code), "{field:?}");
    }
    let unknown_actor = [("actor_token", "x"), ("actor_token_type", ACCESS_TOKEN)];
    assert_eq!(exchange(&client, subject, &unknown_actor).refusal(), refused("invalid_request"));
    once(&server, Endpoint::Token, Quirk::OAuthError("invalid_target".to_owned()));
    assert_eq!(exchange(&client, subject, &[]).refusal(), refused("invalid_target"));
    assert_eq!(exchange(&client, subject, &[]).status, 200);
    client.post("/revoke", &[("token", subject.0)]);
    assert_eq!(exchange(&client, subject, &[]).refusal(), refused("invalid_request"));
}

/// RFC 7523 §3.
#[test]
fn assertions_of_trusted_issuers_yield_tokens_about_their_subject() {
    let (key, other) =
        (KeyPair::generate(Algorithm::Es256).unwrap(), KeyPair::generate(Algorithm::Es256).unwrap());
    let clock = clock();
    let server = with(|server| {
        server.clock(clock.clone()).assertion_issuer("https://idp.example", key.public_key().clone())
    });
    let client = PlainClient::confidential(&server).with_clock(&clock);
    let header = r#"{"alg":"ES256"}"#;
    let token_endpoint = format!("{}/token", server.issuer());
    for accepted in [json!({}), json!({"aud": token_endpoint}), json!({"aud": ["x", server.issuer()]})] {
        let assertion = jwt(&key, header, &claims(&server, accepted));
        let tokens = bearer(&client, &assertion);
        assert_eq!((tokens.status, tokens.text("scope")), (200, "read".to_owned()), "{tokens:?}");
        assert!(tokens.member("refresh_token").is_null());
        assert_eq!(client.introspect(&tokens.text("access_token"))["sub"], "carol");
        assert_eq!(client.get(&tokens.text("access_token")), 200);
        // The same JWT as the subject token of an exchange.
        assert_eq!(exchange(&client, (&assertion, JWT), &[]).status, 200);
    }
    for changes in [
        json!({"iss": "https://other.example"}),
        json!({"iss": null}),
        json!({"sub": null}),
        json!({"aud": "https://other.example"}),
        json!({"aud": ["https://other.example"]}),
        json!({"aud": null}),
        json!({"exp": NOW}),
        json!({"exp": null}),
        json!({"exp": "soon"}),
    ] {
        let assertion = jwt(&key, header, &claims(&server, changes.clone()));
        assert_eq!(bearer(&client, &assertion).refusal(), refused("invalid_grant"), "{changes}");
        assert_eq!(exchange(&client, (&assertion, JWT), &[]).refusal(), refused("invalid_request"));
    }
    for assertion in [jwt(&other, header, &claims(&server, json!({}))), "a.b.c".to_owned()] {
        assert_eq!(bearer(&client, &assertion).refusal(), refused("invalid_grant"));
    }
    let assertion = jwt(&key, header, &claims(&server, json!({})));
    once(&server, Endpoint::Token, Quirk::OAuthError("interaction_required".to_owned()));
    assert_eq!(bearer(&client, &assertion).refusal(), refused("interaction_required"));
}

/// As service accounts do: the client vouches for a user with its own key.
#[test]
fn a_client_may_issue_assertions_itself() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let clock = clock();
    let server = with(|server| server.clock(clock.clone()).client_public_key(key.public_key().clone()));
    let client = PlainClient::confidential(&server).with_clock(&clock);
    let own = claims(&server, json!({"iss": server.client_id()}));
    assert_eq!(bearer(&client, &jwt(&key, r#"{"alg":"ES256"}"#, &own)).status, 200);
    let other = claims(&server, json!({"iss": "other"}));
    assert_eq!(bearer(&client, &jwt(&key, r#"{"alg":"ES256"}"#, &other)).refusal(), refused("invalid_grant"));
}
