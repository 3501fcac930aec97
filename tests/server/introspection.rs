//! Introspection of access tokens (RFC 7662): the request, the response, and the cache. Threat V-56.

use std::time::Duration;

use possession::server::*;
use possession::*;
use serde_json::{Value, json};

use crate::common::{Jwt, form, values};
use crate::issuer::{AUDIENCE, ISSUER, JKT, Remote, key, server};
use crate::support::{NOW, at, set, without};

fn introspector(remote: &Remote, auth: ClientAuth) -> Introspector {
    Introspector::new(&server(), &Client::new("rs").unwrap(), &auth, AUDIENCE, remote.clone()).unwrap()
}

fn active() -> Value {
    json!({"active": true, "aud": AUDIENCE, "iss": ISSUER, "exp": NOW + 60, "cnf": {"jkt": JKT}, "token_type": "DPoP"})
}

/// It carries no proof (RFC 7662 §2.1, RFC 9449 §6.2).
#[test]
fn a_request_has_the_token_in_its_body_and_one_credential() {
    let remote = Remote::default();
    remote.responds(200, "application/json", active().to_string());
    let methods = [
        (ClientAuth::client_secret_basic("s"), vec!["token", "token_type_hint"], true),
        (
            ClientAuth::client_secret_post("s"),
            vec!["token", "token_type_hint", "client_secret", "client_id"],
            false,
        ),
        (
            ClientAuth::private_key_jwt(key(Algorithm::Es256)),
            vec!["token", "token_type_hint", "client_assertion", "client_assertion_type", "client_id"],
            false,
        ),
    ];
    for (auth, names, basic) in methods {
        assert!(introspector(&remote, auth).validate("tok~en==", at(NOW)).is_ok());
        let sent = remote.sent.lock().unwrap().pop().unwrap();
        assert_eq!(
            (sent.method(), sent.uri().to_string().as_str()),
            (&http::Method::POST, "https://as.example/introspect")
        );
        assert_eq!(
            (sent.headers().contains_key("authorization"), sent.headers().contains_key("dpop")),
            (basic, false)
        );
        let form = form(sent.body());
        assert_eq!(form.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
        assert_eq!(values(&form, "token"), ["tok~en=="]);
        if let [assertion] = values(&form, "client_assertion")[..] {
            assert_eq!(Jwt::decode(assertion).claims["aud"], ISSUER);
        }
    }
    assert!(
        format!("{:?}", introspector(&remote, ClientAuth::client_secret_post("canary")))
            .find("canary")
            .is_none()
    );
    // A token that no `Authorization` header can carry is not sent.
    let before = remote.requests();
    assert_eq!(introspector(&remote, ClientAuth::none()).validate("a b", at(NOW)), Err(TokenError::Inactive));
    assert_eq!(remote.requests(), before);
}

/// One credential per request (RFC 6749 §2.3), an assertion for the issuer that is never used twice (RFC
/// 7523bis §4), and the mTLS alias where a certificate is used (RFC 8705 §5).
#[test]
fn every_authentication_method_sends_one_credential() {
    let remote = Remote::default();
    remote.responds(200, "application/json", active().to_string());
    let secret = "a secret of more than 32 bytes, ok";
    let assertion = ["token", "token_type_hint", "client_assertion", "client_assertion_type", "client_id"];
    let plain = ["token", "token_type_hint", "client_id"];
    let aliases = json!({"introspection_endpoint": "https://mtls.as.example/introspect", "token_endpoint": "https://mtls.as.example/token"});
    let document = |members: &[(&str, Value)]| {
        let builder = AuthorizationServer::builder(ISSUER)
            .token_endpoint("https://as.example/token")
            .member("introspection_endpoint", "https://as.example/introspect");
        members
            .iter()
            .fold(builder, |builder, (name, value)| builder.member(name, value.clone()))
            .build()
            .unwrap()
    };
    let with_aliases = document(&[("mtls_endpoint_aliases", aliases)]);
    let other_alias =
        document(&[("mtls_endpoint_aliases", json!({"token_endpoint": "https://mtls.as.example/token"}))]);
    let (own, alias) = ("https://as.example/introspect", "https://mtls.as.example/introspect");
    let rs = || Client::new("rs").unwrap();
    let rows: Vec<(&AuthorizationServer, Client, ClientAuth, &[&str], &str)> = vec![
        (&with_aliases, rs(), ClientAuth::client_secret_jwt(secret, HmacAlgorithm::Hs256), &assertion, own),
        (&with_aliases, rs(), ClientAuth::private_key_jwt(key(Algorithm::Ed25519)), &assertion, own),
        (&with_aliases, rs(), ClientAuth::none(), &plain, own),
        (&with_aliases, rs(), ClientAuth::tls_client_auth(), &plain, alias),
        (&with_aliases, rs(), ClientAuth::self_signed_tls_client_auth(), &plain, alias),
        (
            &with_aliases,
            rs().use_mtls_endpoint_aliases(),
            ClientAuth::client_secret_basic("s"),
            &plain[..2],
            alias,
        ),
        (&other_alias, rs(), ClientAuth::tls_client_auth(), &plain, own),
    ];
    for (server, client, auth, names, endpoint) in rows {
        let tokens = Introspector::new(server, &client, &auth, AUDIENCE, remote.clone()).unwrap();
        let mut jtis = Vec::new();
        for _ in 0..2 {
            assert!(tokens.validate("token", at(NOW)).is_ok());
            let sent = remote.sent.lock().unwrap().pop().unwrap();
            assert_eq!((sent.uri().to_string().as_str(), sent.uri().query()), (endpoint, None));
            let form = form(sent.body());
            assert_eq!(form.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names, "{auth:?}");
            assert_eq!(sent.headers()["content-type"], "application/x-www-form-urlencoded");
            assert!(!sent.headers().contains_key("dpop"));
            if let [assertion] = values(&form, "client_assertion")[..] {
                let assertion = Jwt::decode(assertion);
                // The issuer as a string, whatever the URL of the endpoint is.
                assert_eq!(assertion.claims["aud"], json!(ISSUER));
                assert_eq!(
                    (assertion.text("iss"), assertion.text("sub")),
                    ("rs".to_owned(), "rs".to_owned())
                );
                jtis.push(assertion.jti());
            }
        }
        assert!(jtis.is_empty() || jtis[0] != jtis[1]);
    }
    // Settings that cannot work are reported at once.
    let new = |server: &AuthorizationServer, auth: ClientAuth| {
        Introspector::new(server, &rs(), &auth, AUDIENCE, remote.clone())
            .map(drop)
            .map_err(|error| error.kind().clone())
    };
    let basic = || ClientAuth::client_secret_basic("s");
    let nowhere =
        AuthorizationServer::builder(ISSUER).token_endpoint("https://as.example/token").build().unwrap();
    assert_eq!(new(&nowhere, basic()), Err(ErrorKind::Metadata));
    let listed = document(&[("introspection_endpoint_auth_methods_supported", json!(["private_key_jwt"]))]);
    assert_eq!(new(&listed, basic()), Err(ErrorKind::AuthMethod));
    assert_eq!(new(&listed, ClientAuth::private_key_jwt(key(Algorithm::Ed25519))), Ok(()));
    assert_eq!(
        new(&with_aliases, ClientAuth::client_secret_jwt("short", HmacAlgorithm::Hs256)),
        Err(ErrorKind::AuthMethod)
    );
    // The methods of the token endpoint say nothing about this endpoint.
    let elsewhere = document(&[("token_endpoint_auth_methods_supported", json!(["private_key_jwt"]))]);
    assert_eq!(new(&elsewhere, basic()), Ok(()));
    struct Bare;
    impl HttpClient for Bare {
        fn send(&self, _: http::Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error> {
            Err(Error::transport("unreachable"))
        }

        fn has_client_certificate(&self) -> Option<bool> {
            Some(false)
        }
    }
    let bare = |auth| Introspector::new(&with_aliases, &rs(), &auth, AUDIENCE, Bare).map(drop);
    assert_eq!(*bare(ClientAuth::tls_client_auth()).unwrap_err().kind(), ErrorKind::AuthMethod);
    assert!(bare(basic()).is_ok());
}

/// V-56, and what else a response may contain.
#[test]
fn v_56_the_binding_and_the_state_in_the_response_are_enforced() {
    let remote = Remote::default();
    let tokens = introspector(&remote, ClientAuth::client_secret_basic("s"));
    // Each response is about a token of its own, because a refusal is remembered.
    let mut asked = 0;
    let mut ask = |status, content_type, body: String| {
        remote.responds(status, content_type, body);
        asked += 1;
        tokens.validate(&format!("token{asked}"), at(NOW))
    };
    let mut json = |value: Value| ask(200, "application/json", value.to_string());
    assert_eq!(json(active()).unwrap().jkt().unwrap().to_string(), JKT);
    // The binding is enforced whatever `token_type` says, and only an access token is accepted.
    assert!(json(set(active(), "token_type", "bearer")).unwrap().jkt().is_some());
    assert!(json(without(active(), "token_type")).unwrap().jkt().is_some());
    for kind in
        [json!("refresh_token"), json!("N_A"), json!(7), json!("urn:ietf:params:oauth:token-type:id_token")]
    {
        assert_eq!(json(set(active(), "token_type", kind.clone())), Err(TokenError::Kind), "{kind}");
    }
    assert_eq!(json(without(active(), "cnf")), Err(TokenError::Confirmation), "DPoP without a key");
    assert_eq!(json(set(without(active(), "cnf"), "token_type", "Bearer")).unwrap().jkt(), None);
    assert_eq!(json(set(active(), "cnf", json!({}))), Err(TokenError::Confirmation));
    // `active: false` wins over everything else.
    assert_eq!(json(set(active(), "active", false)), Err(TokenError::Inactive));
    assert_eq!(json(json!({"active": false})), Err(TokenError::Inactive));
    assert_eq!(json(set(active(), "exp", NOW - 5)), Err(TokenError::Expired { seconds: 5 }));
    assert!(matches!(json(set(active(), "nbf", NOW + 6)), Err(TokenError::NotYetValid { seconds: 6 })));
    let other = wrong_audience(&["https://other.example"]);
    assert_eq!(json(set(active(), "aud", "https://other.example")), Err(other));
    assert_eq!(json(without(active(), "aud")), Err(wrong_audience(&[])));
    let issuer =
        TokenError::Issuer { expected: ISSUER.to_owned(), actual: Some("https://evil.example".to_owned()) };
    assert_eq!(json(set(active(), "iss", "https://evil.example")), Err(issuer));
    for missing in
        [json!({}), json!({"active": "true"}), json!({"active": 1}), json!({"active": null}), json!([])]
    {
        assert!(matches!(json(missing.clone()), Err(TokenError::Unavailable(_))), "{missing}");
    }
    let unavailable = [
        (401, "application/json", r#"{"error":"invalid_client"}"#),
        (500, "text/html", "<html>"),
        (503, "application/json", "{}"),
        (302, "text/plain", ""),
        (200, "text/html", r#"{"active":true}"#),
        (200, "application/json", r#"{"active":false,"active":true}"#),
        (429, "application/json", r#"{"error":"slow_down"}"#),
    ];
    for (status, content_type, body) in unavailable {
        assert!(
            matches!(ask(status, content_type, body.to_owned()), Err(TokenError::Unavailable(_))),
            "{status} {body}"
        );
    }
    let unknown = ask(400, "application/json", r#"{"error":"unsupported_token_type"}"#.to_owned());
    assert_eq!(unknown, Err(TokenError::Inactive));
    let any = introspector(&remote, ClientAuth::client_secret_basic("s")).dangerous_any_audience();
    remote.responds(200, "application/json", without(active(), "aud").to_string());
    assert!(any.validate("token", at(NOW)).is_ok());
}

fn wrong_audience(seen: &[&str]) -> TokenError {
    let seen = seen.iter().map(ToString::to_string).collect();
    TokenError::Audience { expected: AUDIENCE.to_owned(), actual: seen }
}

/// The clocks of the authorization server and of this one differ as they do for JWTs: 5 seconds unless
/// set otherwise (RFC 7519 §4.1.4 and §4.1.5 allow "some small leeway"; RFC 7662 §2.2 refers to the same
/// claims).
#[test]
fn exp_and_nbf_have_the_leeway_of_jwts() {
    let remote = Remote::default();
    let make = || introspector(&remote, ClientAuth::client_secret_basic("s"));
    let expired = |seconds| Err(TokenError::Expired { seconds });
    let early = |seconds| Err(TokenError::NotYetValid { seconds });
    let rows = [
        (None, "exp", NOW - 4, Ok(())),
        (None, "exp", NOW - 5, expired(5)),
        (None, "nbf", NOW + 5, Ok(())),
        (None, "nbf", NOW + 6, early(6)),
        (Some(0), "exp", NOW, expired(0)),
        (Some(0), "exp", NOW + 1, Ok(())),
        (Some(0), "nbf", NOW, Ok(())),
        (Some(0), "nbf", NOW + 1, early(1)),
        (Some(60), "exp", NOW - 59, Ok(())),
        (Some(60), "exp", NOW - 60, expired(60)),
        (Some(60), "nbf", NOW + 60, Ok(())),
        (Some(60), "nbf", NOW + 61, early(61)),
        (Some(u64::MAX), "exp", 1, Ok(())),
        (Some(u64::MAX), "nbf", 253_402_300_799, Ok(())),
    ];
    for (leeway, name, value, expected) in rows {
        let tokens = match leeway {
            None => make(),
            Some(leeway) => make().leeway(Duration::from_secs(leeway)),
        };
        remote.responds(200, "application/json", set(active(), name, value).to_string());
        assert_eq!(tokens.validate("token", at(NOW)).map(drop), expected, "{leeway:?} {name} {value}");
    }
}

/// Serializers that write every member of a class write `null` for what is absent, and servers write
/// `exp: 0` for a token without an end. `token_type: access_token` tells the token from a refresh token.
#[test]
fn members_that_say_nothing_are_read_as_absent() {
    let remote = Remote::default();
    let tokens = introspector(&remote, ClientAuth::client_secret_basic("s"));
    // Each response is about a token of its own, because a refusal is remembered.
    let mut asked = 0;
    let mut ask = |response: &Value| {
        remote.responds(200, "application/json", response.to_string());
        asked += 1;
        tokens.validate(&format!("token{asked}"), at(NOW))
    };
    let names =
        ["iss", "exp", "nbf", "iat", "token_type", "scope", "client_id", "username", "sub", "jti", "other"];
    for name in names {
        let token = ask(&set(active(), name, json!(null))).unwrap();
        assert_eq!((token.claim(name), token.jkt().map(|jkt| jkt.to_string())), (None, Some(JKT.to_owned())));
    }
    let all = names.iter().fold(active(), |response, name| set(response, name, json!(null)));
    assert!(ask(&all).is_ok());
    for exp in [json!(0), json!(0.0)] {
        assert_eq!(ask(&set(active(), "exp", exp)).unwrap().claim("exp"), None);
    }
    for kind in ["access_token", "Access_Token", "urn:ietf:params:oauth:token-type:access_token"] {
        assert_eq!(ask(&set(active(), "token_type", kind)).unwrap().jkt().unwrap().to_string(), JKT);
        // The type says nothing about a binding.
        assert_eq!(ask(&set(without(active(), "cnf"), "token_type", kind)).unwrap().jkt(), None);
    }
    // No `cnf` is no binding, and a token of type DPoP needs one.
    assert_eq!(ask(&set(active(), "cnf", json!(null))), Err(TokenError::Confirmation));
    let bearer = set(set(active(), "cnf", json!(null)), "token_type", "Bearer");
    assert_eq!(ask(&bearer).unwrap().jkt(), None);
    assert_eq!(ask(&set(bearer, "cnf", json!({"jkt": null}))), Err(TokenError::Confirmation));
    // An audience is required, and `active` is.
    assert_eq!(ask(&set(active(), "aud", json!(null))).map(drop), Err(wrong_audience(&[])));
    assert!(matches!(ask(&set(active(), "active", json!(null))), Err(TokenError::Unavailable(_))));
    // What says something counts.
    for (name, value) in [
        ("exp", json!(1)),
        ("exp", json!(-1)),
        ("exp", json!("0")),
        ("exp", json!(false)),
        ("nbf", json!("")),
        ("iss", json!("")),
    ] {
        assert!(ask(&set(active(), name, value.clone())).is_err(), "{name} {value}");
    }
    for kind in
        ["refresh_token", "id_token", "access_token2", "urn:ietf:params:oauth:token-type:refresh_token"]
    {
        assert_eq!(ask(&set(active(), "token_type", kind)), Err(TokenError::Kind), "{kind}");
    }
    // A token whose `exp` is 0 is cached as one without `exp`.
    let cached = introspector(&remote, ClientAuth::client_secret_basic("s")).cache(Duration::from_secs(30));
    remote.responds(200, "application/json", set(active(), "exp", 0).to_string());
    let before = remote.requests();
    assert!(cached.validate("token", at(NOW)).is_ok() && cached.validate("token", at(NOW + 29)).is_ok());
    assert_eq!(remote.requests(), before + 1);
}

#[test]
fn a_response_is_cached_no_longer_than_configured() {
    let remote = Remote::default();
    let tokens = introspector(&remote, ClientAuth::client_secret_basic("s")).cache(Duration::from_secs(30));
    // (time, what the server would say, whether a request is sent, whether the token is accepted)
    let rows = [
        (NOW, true, true, true),
        (NOW + 29, false, false, true),
        (NOW + 30, true, true, true),
        // A clock that was set back does not extend an entry.
        (NOW + 20, false, true, false),
        // "Not active" is remembered for 5 seconds, as every refusal is.
        (NOW + 24, true, false, false),
        (NOW + 61, false, true, false),
        (NOW + 65, true, false, false),
        (NOW + 66, false, true, false),
    ];
    for (now, says, asked, passes) in rows {
        let response = set(set(active(), "active", says), "exp", NOW + 1000);
        remote.responds(200, "application/json", response.to_string());
        let before = remote.requests();
        let seen = tokens.validate("token", at(now));
        assert_eq!((remote.requests() - before, seen.is_ok()), (usize::from(asked), passes), "{}", now - NOW);
    }
    // No longer than `exp`, and separately for each token.
    remote.responds(200, "application/json", set(active(), "exp", NOW + 5).to_string());
    let before = remote.requests();
    assert!(tokens.validate("short", at(NOW)).is_ok() && tokens.validate("short", at(NOW + 4)).is_ok());
    assert_eq!(remote.requests(), before + 1);
    // In the leeway after `exp` the server decides, each time.
    assert!(tokens.validate("short", at(NOW + 9)).is_ok() && tokens.validate("short", at(NOW + 9)).is_ok());
    assert!(tokens.validate("short", at(NOW + 10)).is_err());
    assert!(tokens.validate("other", at(NOW)).is_ok());
    assert_eq!(remote.requests(), before + 5);
}

/// A failure of the server and a refusal of the token are remembered for 5 seconds. The response for another
/// token is not, and no active token unless so configured. No entry outlives `exp`, even one with a fraction.
#[test]
fn results_are_cached_for_the_token_that_they_are_about() {
    let remote = Remote::default();
    let make = || introspector(&remote, ClientAuth::client_secret_basic("s"));
    let asked = |tokens: &Introspector, token: &str, now: u64| {
        let before = remote.requests();
        let seen = tokens.validate(token, at(now)).map(drop);
        (remote.requests() - before, seen)
    };
    let says = |value: &Value| remote.responds(200, "application/json", value.to_string());
    says(&active());
    let plain = make();
    for _ in 0..2 {
        assert_eq!(asked(&plain, "a", NOW), (1, Ok(())));
    }
    let cached = make().cache(Duration::from_secs(30));
    for (tokens, token) in [(&cached, "failing"), (&plain, "failing")] {
        remote.responds_with(|| Err(Error::timeout("no response")));
        for (now, expected) in [(NOW, 1), (NOW + 4, 0), (NOW + 5, 1), (NOW + 9, 0), (NOW + 4, 1)] {
            let (requests, seen) = asked(tokens, token, now);
            assert!(
                matches!(&seen, Err(TokenError::Unavailable(error)) if *error.kind() == ErrorKind::Timeout)
            );
            assert_eq!(requests, expected, "{}", now - NOW);
        }
        says(&active());
        assert_eq!(asked(tokens, token, NOW + 9), (1, Ok(())));
        says(&set(active(), "aud", "https://other.example"));
        for (now, requests) in [(NOW, 1), (NOW + 4, 0), (NOW + 5, 1)] {
            let expected = Err(wrong_audience(&["https://other.example"]));
            assert_eq!(asked(tokens, "foreign", now), (requests, expected), "{}", now - NOW);
        }
    }
    says(&active());
    assert_eq!(asked(&cached, "a", NOW), (1, Ok(())));
    says(&json!({"active": false}));
    assert_eq!(asked(&cached, "a", NOW + 1), (0, Ok(())));
    assert_eq!(asked(&cached, "b", NOW + 1), (1, Err(TokenError::Inactive)));
    assert_eq!(asked(&cached, "A", NOW + 1), (1, Err(TokenError::Inactive)));
    // The binding is cached as well.
    assert_eq!(cached.validate("a", at(NOW + 2)).unwrap().jkt().unwrap().to_string(), JKT);
    // A lifetime of zero caches nothing; one without end is limited by `exp`.
    says(&active());
    let (never, ever) = (make().cache(Duration::ZERO), make().cache(Duration::MAX));
    for _ in 0..2 {
        assert_eq!(asked(&never, "a", NOW), (1, Ok(())));
    }
    assert!(matches!(asked(&ever, "a", NOW), (1, Ok(()))));
    says(&set(active(), "exp", NOW as f64 + 5.5));
    let cached = make().cache(Duration::from_secs(30));
    assert_eq!([asked(&cached, "c", NOW), asked(&cached, "c", NOW + 4)], [(1, Ok(())), (0, Ok(()))]);
    assert_eq!(asked(&cached, "c", NOW + 6), (1, Ok(())));
    assert_eq!(asked(&cached, "c", NOW + 11), (1, Err(TokenError::Expired { seconds: 6 })));
}
