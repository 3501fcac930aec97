//! The registration endpoint of the test server (RFC 7591).

use std::time::SystemTime;

use base64ct::{Base64, Encoding};
use possession::testing::{Endpoint, Quirk, TestServer};
use possession::{Algorithm, KeyPair, Signer};
use serde_json::{Value, json};

use super::plain_client::{CALLBACK, PlainClient, Reply, agent, jwt, pairs, refused};
use crate::common::server::{once, start, with};

fn register(server: &TestServer, metadata: &Value) -> Reply {
    let request = agent().post(format!("{}/register", server.issuer()));
    Reply::new(request.header("content-type", "application/json").send(metadata.to_string()).unwrap())
}

/// The client that was registered, with another key.
fn registered<'a>(server: &'a TestServer, reply: &Reply) -> PlainClient<'a> {
    assert_eq!(reply.status, 201, "{reply:?}");
    let mut credentials = vec![("client_id", reply.text("client_id"))];
    credentials
        .extend(reply.member("client_secret").as_str().map(|secret| ("client_secret", secret.to_owned())));
    PlainClient { credentials, ..PlainClient::public(server) }
}

fn log_in(client: &PlainClient<'_>) -> Reply {
    client.exchange(&client.code(&[("client_id", &client.credentials[0].1)]), &[])
}

/// RFC 7591 §3.2.1.
#[test]
fn the_response_repeats_the_metadata_and_their_defaults() {
    let server = start();
    let reply = register(&server, &json!({"redirect_uris": [CALLBACK], "client_name": "Tool", "x": [1]}));
    assert_eq!(reply.status, 201);
    for (name, expected) in [
        ("redirect_uris", json!([CALLBACK])),
        ("client_name", json!("Tool")),
        ("x", json!([1])),
        ("grant_types", json!(["authorization_code"])),
        ("token_endpoint_auth_method", json!("client_secret_basic")),
        ("client_secret_expires_at", json!(0)),
    ] {
        assert_eq!(reply.member(name), expected, "{name}");
    }
    assert!(reply.member("client_id_issued_at").is_u64());
    assert_ne!(
        reply.text("client_id"),
        register(&server, &json!({"redirect_uris": [CALLBACK]})).text("client_id")
    );
    assert!(reply.text("client_secret").len() >= 64);
}

#[test]
fn a_registered_client_logs_in() {
    let server = start();
    let grant_types = ["authorization_code", "refresh_token"];
    for method in ["none", "client_secret_post"] {
        let metadata = json!({
            "redirect_uris": ["http://127.0.0.1/callback"],
            "grant_types": grant_types,
            "token_endpoint_auth_method": method,
            "dpop_bound_access_tokens": true,
        });
        let reply = register(&server, &metadata);
        assert_eq!(reply.member("client_secret").is_null(), method == "none");
        let client = registered(&server, &reply);
        let tokens = log_in(&client);
        assert_eq!(tokens.status, 200, "{tokens:?}");
        assert_eq!(client.get(&tokens.text("access_token")), 200);
        let stolen = client.with_other_key().refresh(&tokens.text("refresh_token"), &[]);
        assert_eq!(stolen.status == 400, method == "none", "bound to the key of a public client: {stolen:?}");
        // Codes and tokens belong to one client.
        let other = PlainClient::confidential(&server);
        let code = client.code(&[("client_id", &reply.text("client_id"))]);
        assert_eq!(other.exchange(&code, &[]).refusal(), refused("invalid_grant"));
        let token = log_in(&client);
        assert_eq!(other.refresh(&token.text("refresh_token"), &[]).refusal(), refused("invalid_grant"));
        for name in ["access_token", "refresh_token"] {
            assert_eq!(
                other.post("/revoke", &[("token", &token.text(name))]).refusal(),
                refused("invalid_grant")
            );
        }
        assert_eq!(client.get(&token.text("access_token")), 200);
        // Its redirect URIs are those that it registered.
        let elsewhere =
            [("client_id", &*client.credentials[0].1), ("redirect_uri", "https://other.example/")];
        assert!(server.authorize(&client.authorization_url(&elsewhere)).is_err());
    }
}

#[test]
fn a_registered_client_uses_the_grant_types_that_it_named() {
    let server = start();
    let reply = register(&server, &json!({"redirect_uris": [CALLBACK]}));
    let client = registered(&server, &reply);
    let tokens = log_in(&client);
    assert_eq!(tokens.status, 200);
    assert!(tokens.member("refresh_token").is_null());
    let credentials = [("grant_type", "client_credentials")];
    assert_eq!(client.prove("/token", &credentials).refusal(), refused("unauthorized_client"));
    let service = registered(&server, &register(&server, &json!({"grant_types": ["client_credentials"]})));
    assert_eq!(service.prove("/token", &credentials).status, 200);
    // The client of the settings is known as well.
    assert_eq!(PlainClient::confidential(&server).prove("/token", &credentials).status, 200);
}

/// RFC 7591 §2 `jwks`, RFC 7523 §2.2.
#[test]
fn a_registered_client_authenticates_with_its_key() {
    let server = with(|server| server.nonces(possession::testing::Nonces::Off));
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let jwk: Value = serde_json::from_str(key.public_key().to_jwk()).unwrap();
    let method = "private_key_jwt";
    let grant_types = ["client_credentials"];
    let registration = |jwks: Value| {
        let metadata =
            json!({"token_endpoint_auth_method": method, "grant_types": grant_types, "jwks": jwks});
        register(&server, &metadata)
    };
    for jwks in [json!(null), json!({"keys": []}), json!({"keys": [{"kty": "oct", "k": "AA"}]})] {
        assert_eq!(registration(jwks).refusal(), refused("invalid_client_metadata"));
    }
    let reply = registration(json!({"keys": [jwk]}));
    assert!(reply.member("client_secret").is_null());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let id = reply.text("client_id");
    let claims =
        json!({"iss": id, "sub": id, "aud": server.issuer(), "iat": now, "exp": now + 60, "jti": "1"});
    let mut client = registered(&server, &reply);
    let header = r#"{"alg":"ES256","typ":"client-authentication+jwt"}"#;
    client.credentials = vec![
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
        ("client_assertion", jwt(&key, header, &claims)),
    ];
    assert_eq!(client.prove("/token", &[("grant_type", "client_credentials")]).status, 200);
}

/// RFC 7591 §3.2.2.
#[test]
fn invalid_metadata_are_refused() {
    let server = start();
    let cases = [
        (json!({}), "invalid_redirect_uri"),
        (json!({"redirect_uris": []}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["/relative"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["https://a.example/#b"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": "https://a.example"}), "invalid_redirect_uri"),
        (json!({"redirect_uris": [CALLBACK], "grant_types": ["password"]}), "invalid_client_metadata"),
        (json!({"redirect_uris": [CALLBACK], "grant_types": "x"}), "invalid_client_metadata"),
        (json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "x"}), "invalid_client_metadata"),
        (json!([]), "invalid_client_metadata"),
    ];
    for (metadata, code) in cases {
        assert_eq!(register(&server, &metadata).refusal(), refused(code), "{metadata}");
    }
    once(&server, Endpoint::Registration, Quirk::OAuthError("unapproved_software_statement".to_owned()));
    once(&server, Endpoint::Registration, Quirk::WithoutMember("client_id".to_owned()));
    let valid = json!({"redirect_uris": [CALLBACK]});
    assert_eq!(register(&server, &valid).refusal(), refused("unapproved_software_statement"));
    assert!(register(&server, &valid).member("client_id").is_null());
}

/// RFC 9126 §2.2, RFC 8628 §3.4, RFC 6749 §4.1.3 and §6: each belongs to the client that it was issued to.
#[test]
fn what_one_client_got_no_other_can_use() {
    let server = start();
    let first = PlainClient::confidential(&server);
    let grant_types = [
        "authorization_code",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ];
    let metadata = json!({"redirect_uris": [CALLBACK], "grant_types": grant_types});
    let second = registered(&server, &register(&server, &metadata));

    let pushed = first.post("/par", &pairs(&first.authorization_parameters(&[("client_id", "")])));
    let request_uri = pushed.text("request_uri");
    let open = |client: &PlainClient<'_>| {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &client.credentials[0].1)
            .append_pair("request_uri", &request_uri)
            .finish();
        server.authorize(&format!("{}?{query}", client.url("/authorize")))
    };
    assert!(open(&second).unwrap_err().to_string().contains("invalid_request_uri"));
    assert!(open(&first).is_ok());

    let device_code = first.post("/device_authorization", &[]).text("device_code");
    let poll = |client: &PlainClient<'_>| {
        client.prove("/token", &[("grant_type", grant_types[1]), ("device_code", &device_code)])
    };
    assert_eq!(poll(&second).refusal(), refused("invalid_grant"));
    let tokens = poll(&first);
    assert_eq!(tokens.status, 200, "the request of the other client was no poll");

    let exchange = |client: &PlainClient<'_>, name: &str| {
        let (token, token_type) = (tokens.text(name), format!("urn:ietf:params:oauth:token-type:{name}"));
        let subject = [("subject_token", token.as_str()), ("subject_token_type", token_type.as_str())];
        client.prove("/token", &[&[("grant_type", grant_types[2])], &subject[..]].concat())
    };
    assert_eq!(exchange(&second, "refresh_token").refusal(), refused("invalid_request"));
    assert_eq!(exchange(&first, "refresh_token").status, 200);
    // A service exchanges the access tokens that its own clients send.
    assert_eq!(exchange(&second, "access_token").status, 200);
}

/// RFC 6749 §2.3.1 and §3.2.1: a `client_id` beside the credentials is that of the same client.
#[test]
fn credentials_and_client_id_name_one_client() {
    let server = start();
    let second = registered(&server, &register(&server, &json!({"redirect_uris": [CALLBACK]})));
    let basic =
        Base64::encode_string(format!("{}:{}", server.client_id(), server.client_secret()).as_bytes());
    let revoke = |fields: &[(&str, &str)]| {
        let request = agent().post(second.url("/revoke")).header("authorization", format!("Basic {basic}"));
        Reply::new(request.send_form([&[("token", "x")], fields].concat()).unwrap())
    };
    assert_eq!(revoke(&[]).status, 200);
    assert_eq!(revoke(&[("client_id", server.client_id())]).status, 200);
    assert_eq!(revoke(&[("client_id", &second.credentials[0].1)]).refusal(), refused("invalid_request"));
    assert_eq!(revoke(&[("client_id", "unknown")]).refusal(), refused("invalid_request"));
    // One method of authentication for each request (RFC 6749 §2.3).
    assert_eq!(revoke(&second.credentials()).refusal(), refused("invalid_request"));
}
