//! Clocks and errors.

use std::time::{Duration, UNIX_EPOCH};

use possession::*;
use serde_json::json;

use super::{
    AT_OAUTH, ENDPOINT, ISSUER, JSON, Sent, Setup, TENANT, discover, document, header_challenge, response,
};

#[test]
fn c_54_a_clock_out_of_range_is_an_error_or_is_clamped() {
    let setup = Setup::new();
    let request = |now| {
        let (options, parameters) = (setup.options(), Parameters::new());
        let (server, client, auth) = (&setup.server, &setup.client, &setup.auth);
        let mut exchange =
            TokenRequest::client_credentials(server, client, auth, parameters, &options).unwrap();
        exchange.request(now).map(|request| Sent::new(&request))
    };
    for before in [Duration::from_nanos(1), Duration::from_secs(1), Duration::from_secs(1 << 40)] {
        let error = request(UNIX_EPOCH - before).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Clock);
        assert!(error.to_string().contains("1970"), "{error}");
    }
    let ends = [0, 1, u64::from(u32::MAX), 253_402_300_799, i64::MAX as u64 - 1, i64::MAX as u64];
    for now in ends {
        // Not every system has a clock that goes so far.
        let Some(time) = UNIX_EPOCH.checked_add(Duration::from_secs(now)) else { continue };
        match request(time) {
            Err(error) => assert_eq!(*error.kind(), ErrorKind::Clock),
            Ok(sent) => {
                for jwt in [sent.proof(), sent.assertion()] {
                    assert!((now.saturating_sub(1)..=now).contains(&jwt.time("iat")), "{}", jwt.claims);
                }
                assert!(sent.assertion().time("exp") >= now);
            }
        }
    }
}

#[test]
fn errors_say_what_was_done_and_what_was_wrong() {
    let server = || AuthorizationServer::builder(ISSUER).token_endpoint(ENDPOINT);
    let run = |response| Setup::new().run([response]).0.unwrap_err();
    let refused = |setup: Setup| setup.refused();
    let html = ("content-type", "text/html");
    let oauth = r#"{"error":"invalid_client","error_description":"unknown key"}"#;
    let bearer = r#"{"access_token":"a","token_type":"Bearer"}"#;
    let cases = [
        (run(response(401, &[JSON], oauth)), vec![ISSUER, "app", "401", "invalid_client", "unknown key"]),
        (run(header_challenge(&[])), vec![ISSUER, "app", "401", "dpop", "use_dpop_nonce"]),
        (run(response(500, &[html], "<p>")), vec![ISSUER, "app", "500"]),
        (run(response(200, &[html], "<p>")), vec![ISSUER, "app", "application/json"]),
        (run(response(200, &[JSON], "{}")), vec![ISSUER, "access_token"]),
        (run(response(200, &[JSON], bearer)), vec![ISSUER, "Bearer", "DPoP"]),
        (run(response(303, &[], "")), vec![ENDPOINT, "app", "303", "redirect"]),
        (
            refused(Setup::new().server(server().token_endpoint_auth_methods_supported(["none"]))),
            vec!["private_key_jwt", "none"],
        ),
        (
            refused(Setup::new().server(server().dpop_signing_alg_values_supported(["RS256"]))),
            vec!["ES256", "RS256", "DPoP"],
        ),
        (
            refused(Setup { parameters: Parameters::new().parameter("client_secret", "x"), ..Setup::new() }),
            vec!["client_secret"],
        ),
        (
            refused(Setup { parameters: Parameters::new().scope("a  b"), ..Setup::new() }),
            vec!["scope", "6749"],
        ),
        (
            AuthorizationServer::builder("http://as.example").build().unwrap_err(),
            vec!["http://as.example", "https"],
        ),
        (discover([response(500, &[], "")]).0.unwrap_err(), vec![AT_OAUTH, "500"]),
        (
            discover([document(json!({ "issuer": "https://evil.example" }))]).0.unwrap_err(),
            vec![AT_OAUTH, "https://evil.example", TENANT],
        ),
        (KeyPair::generate(Algorithm::Rs256).unwrap_err(), vec!["RS256", "RSA keys"]),
    ];
    for (error, needles) in cases {
        let text = error.to_string();
        for needle in needles {
            assert!(text.contains(needle), "{needle} is not in: {text}");
        }
        assert!(text.len() < 400 && !text.contains('\n'), "{text}");
    }
    // Equal failures are equal errors.
    assert_eq!(run(response(401, &[JSON], oauth)), run(response(401, &[JSON], oauth)));
    assert_ne!(run(response(401, &[JSON], oauth)), run(response(400, &[JSON], oauth)));
    assert_eq!(run(response(500, &[], "")), run(response(500, &[html], "<p>")));
}

#[test]
fn an_error_of_the_http_client_names_the_request_and_keeps_its_source() {
    let error = Setup::new().run([]).0.unwrap_err();
    assert_eq!((error.kind(), error.status()), (&ErrorKind::Transport, None));
    let text = error.to_string();
    assert!(
        text.contains(ENDPOINT) && text.contains("app") && text.contains("the script has ended"),
        "{text}"
    );
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the script has ended");
    let error = discover([]).0.unwrap_err();
    assert!(error.to_string().contains(AT_OAUTH), "{error}");
}
