//! Nothing of a request comes back in a response. Threat V-59.

use std::collections::HashSet;

use possession::server::*;
use possession::testing::FixedNonces;
use possession::*;
use serde_json::{Value, json};

use super::{ORIGIN, dpop, fields, proof, proof_saying, request, table, verifier, whole_response};
use crate::support::{NOW, at, jws, mine};

/// Whatever a request contains, and wherever: the response is one of the fixed ones and has no word of it.
#[test]
fn v_59_nothing_of_the_request_reaches_the_response() {
    const MARK: &str = "evilmark";
    let tails = ["", "\"", "\\", "\"\\,;=x", "\u{e9}", ", Bearer error=\"x\"", "<b>", &"A".repeat(9_000)];
    let mut responses = HashSet::new();
    let mut refused = 0;
    let jwts = || {
        let mut jwk: Value = serde_json::from_str(mine().public_key().to_jwk()).unwrap();
        jwk["kid"] = "k".into();
        JwtValidator::with_keys("https://as.example.com", ORIGIN, &json!({"keys": [jwk]}).to_string())
            .unwrap()
    };
    for tail in tails {
        let text = format!("{MARK}{tail}");
        // Access tokens with a valid signature, and the text in each place.
        let token = |header: &Value, claims: &Value| jws(&mine(), header, claims);
        let with = |mut value: Value, name: &str| {
            value[name] = text.clone().into();
            value
        };
        let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": "k"});
        let claims = json!({"iss": "https://as.example.com", "aud": ORIGIN, "sub": "s", "client_id": "c", "jti": "j", "iat": NOW, "exp": NOW + 60});
        let mut tokens = vec![text.clone(), format!("{text}.a.b")];
        tokens.extend(
            ["typ", "alg", "kid", "crit", &text].map(|name| token(&with(header.clone(), name), &claims)),
        );
        tokens.extend(
            ["iss", "aud", "exp", "nbf", "cnf", &text]
                .map(|name| token(&header, &with(claims.clone(), name))),
        );
        let mut requests: Vec<(String, Vec<(&'static str, String)>)> = Vec::new();
        for token in tokens {
            let ath = ath(&token);
            let headers = vec![
                ("authorization", format!("DPoP {token}")),
                ("dpop", proof_saying(&json!({"ath": ath}))),
            ];
            requests.push(("/orders".to_owned(), headers));
        }
        // RFC 9110 §9.1: a method that no request has, and a host that is not this server.
        for changes in
            [json!({"htm": MARK.to_uppercase()}), json!({"htu": format!("https://{MARK}.example/")})]
        {
            let headers = vec![("authorization", dpop()), ("dpop", proof_saying(&changes))];
            requests.push(("/orders".to_owned(), headers));
        }
        for name in ["jti", "htm", "htu", "iat", "exp", "nbf", "ath", "nonce"] {
            let headers = vec![("authorization", dpop()), ("dpop", proof_saying(&json!({name: text})))];
            requests.push(("/orders".to_owned(), headers));
        }
        for field in
            [text.clone(), format!("DPoP {text} {text}"), format!("{text} {text}"), format!("Bearer {text}")]
        {
            requests.push(("/orders".to_owned(), vec![("authorization", field), ("dpop", text.clone())]));
        }
        for (name, value) in
            [("forwarded", format!("host={text};proto=https")), ("x-forwarded-host", text.clone())]
        {
            requests.push((
                "/orders".to_owned(),
                vec![("authorization", dpop()), (name, value), ("dpop", proof())],
            ));
        }
        requests.push((format!("/{MARK}/../x"), vec![("authorization", dpop()), ("dpop", proof())]));
        requests.push((
            format!("/{MARK}?access_token={MARK}"),
            vec![("authorization", dpop()), ("dpop", proof())],
        ));

        let policy = || verifier().require_nonces(FixedNonces::new(["n"]));
        for (target, headers) in requests {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let servers = [
                ResourceServer::new(ORIGIN, verifier(), jwts()),
                ResourceServer::new(ORIGIN, policy(), table()),
                ResourceServer::new(ORIGIN, verifier(), table())
                    .unwrap()
                    .accept_unbound_bearer()
                    .trust_forwarded_origins([]),
            ];
            for server in servers.map(Result::unwrap) {
                let Err(rejection) = server.authenticate(&request(&target, fields(&headers)), at(NOW)) else {
                    continue;
                };
                refused += 1;
                // The log gets one line without control characters.
                assert!(!rejection.to_string().chars().any(char::is_control), "{rejection}");
                let response = whole_response(&rejection);
                assert!(!format!("{response:?}").to_lowercase().contains(MARK), "{response:?}");
                responses.insert(format!("{response:?}"));
            }
        }
    }
    assert!(refused > 8 * 20 * 2, "{refused}");
    // Three servers: with nonces or without, one scheme or two, five error codes or none.
    assert!(responses.len() <= 12, "{responses:#?}");
}
