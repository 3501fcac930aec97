//! What is read from token responses and errors of the token endpoint (rows C-20 … C-29, Q-18, Q-23, Q-27).

use std::time::Duration;

use possession::testing::{Endpoint, ManualClock, Nonces, Quirk};
use possession::*;

use crate::common::JSON;
use crate::common::server::{
    SECOND, always, calls, get, member, nonces, once, respond, start, token_requests, with,
};
use crate::support::{
    LONG, NONCE_CHALLENGE, TOKEN_BODY, builder, by_hand, claim, code, header, nonce, nothing_twice, session,
    some, take_logged,
};

#[test]
fn c_20_q_18_a_bearer_token_is_refused_and_not_used() {
    let server = start();
    let session = session(&server);
    always(&server, Endpoint::Token, Quirk::Bearer);
    always(&server, Endpoint::Token, member("access_token", "\"downgraded\""));
    for token_type in ["Bearer", "bearer", "BEARER"] {
        always(&server, Endpoint::Token, member("token_type", &format!("\"{token_type}\"")));
        let error = session.get(&server.resource("/")).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TokenType { token_type: "Bearer".to_owned() });
        assert!(!format!("{error} {error:?}").contains("downgraded"));
        session.discard_token();
    }
    assert!(calls(&server).is_empty(), "no call without a bound token");
    server.behave();
    // The same holds for a renewal.
    assert_eq!(get(&session, &server), 200);
    always(&server, Endpoint::Token, Quirk::Bearer);
    session.discard_token();
    server.clear_received();
    assert!(session.get(&server.resource("/")).is_err() && calls(&server).is_empty());
}

#[test]
fn c_20_q_18_a_bearer_token_is_accepted_when_the_caller_opts_out_of_dpop() {
    let server = start();
    always(&server, Endpoint::Token, Quirk::Bearer);
    let lax = builder(&server, LONG).dangerous_accept_bearer().resource_origins([server.resource_origin()]);
    let lax = lax.discover().unwrap();
    assert_eq!(lax.access_token().unwrap().token_type(), TokenType::Bearer);
    assert_eq!(get(&lax, &server), 200);
    let call = calls(&server).pop().unwrap();
    let [authorization] = call.header_values("authorization")[..] else { panic!("one") };
    assert!(authorization.starts_with("Bearer ") && call.header_values("dpop").is_empty());
    // A refused token is renewed like any other, and a bound one is used with proofs.
    server.revoke_tokens();
    assert_eq!(get(&lax, &server), 200);
    server.behave();
    server.revoke_tokens();
    assert_eq!(get(&lax, &server), 200);
    let call = calls(&server).pop().unwrap();
    assert!(call.header_values("authorization")[0].starts_with("DPoP ") && call.proof().is_some());
}

#[test]
fn c_21_q_18_the_token_type_is_dpop_in_any_case_and_nothing_else() {
    for json in ["\"dpop\"", "\"DPOP\"", "\"DPoP\"", "\"dPoP\""] {
        let server = start();
        always(&server, Endpoint::Token, member("token_type", json));
        assert_eq!(get(&session(&server), &server), 200, "{json}");
        // RFC 9449 §7.1: the scheme is `DPoP`, however the type was written.
        assert!(
            calls(&server).iter().all(|call| call.header_values("authorization")[0].starts_with("DPoP "))
        );
    }
    let bad =
        ["7", "null", "true", "[\"DPoP\"]", "{}", "\"DPoPx\"", "\" DPoP\"", "\"DPoP \"", "\"\"", "\"ＤPoP\""];
    for quirk in bad
        .iter()
        .map(|json| member("token_type", json))
        .chain([Quirk::WithoutMember("token_type".to_owned())])
    {
        let server = start();
        always(&server, Endpoint::Token, quirk.clone());
        let error = session(&server).get(&server.resource("/")).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Content { status: 200 }, "{quirk:?} {error}");
        assert!(calls(&server).is_empty() && token_requests(&server).len() == 2, "{quirk:?}");
    }
    // RFC 8693 §2.2.1: the token is not an access token.
    let server = start();
    always(&server, Endpoint::Token, member("token_type", "\"N_A\""));
    let error = session(&server).get(&server.resource("/")).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TokenType { token_type: "N_A".to_owned() });
    assert!(calls(&server).is_empty());
}

#[test]
fn c_22_an_access_token_that_no_header_field_can_carry_is_refused_when_it_arrives() {
    let server = with(|server| server.nonces(Nonces::Off));
    let session = session(&server);
    for json in [
        r#""a\r\nx-evil: y""#,
        r#""a\r\nx: y""#,
        r#""a\nb""#,
        r#""a b""#,
        r#"" a""#,
        r#""a,b""#,
        r#""a\"b""#,
        r#""a\u0000""#,
        r#""a\u0000b""#,
        r#""a\u007f""#,
        "\"é\"",
        r#""\ud83d\ude00""#,
        r#""a\\b""#,
        "\"\"",
        "\"==\"",
        "\"=\"",
        "\"a=b\"",
        "7",
        "null",
        "[]",
        "{}",
    ] {
        server.behave();
        always(&server, Endpoint::Token, member("access_token", json));
        session.discard_token();
        let error = session.get(&server.resource("/")).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Content { status: 200 }, "{json} {error}");
    }
    assert!(calls(&server).is_empty());
    server.behave();
    // RFC 9110 §11.2: every character of a token68, and padding.
    for token in ["aZ09-._~+/==", "abcXYZ019-._~+/=="] {
        server.clear_received();
        session.discard_token();
        always(&server, Endpoint::Token, member("access_token", &format!("\"{token}\"")));
        assert_eq!(session.access_token().unwrap().access_token(), token);
        get(&session, &server);
        let first = calls(&server).remove(0);
        assert_eq!(first.header_values("authorization"), [format!("DPoP {token}")]);
        assert_eq!(claim(&first, "ath").unwrap(), ath(token));
    }
}

/// RFC 6749 §5.1: a number of seconds. The member is optional, so that a value which is none leaves the
/// lifetime unknown. JSON that cannot be parsed is no token response.
#[test]
fn c_23_q_27_q_34_expires_in_is_read_as_seconds_or_unknown() {
    for (json, expected) in [
        ("0", Some(Some(0))),
        ("3600", Some(Some(3600))),
        ("\"3600\"", Some(Some(3600))),
        ("3600.5", Some(Some(3600))),
        ("18446744073709551615", Some(Some(u64::MAX))),
        ("1000000000000000000000000000000", Some(Some(u64::MAX))),
        ("null", Some(None)),
        ("\"3600.0\"", Some(Some(3600))),
        ("\" 3600 \"", Some(Some(3600))),
        ("\"3.6e3\"", Some(Some(3600))),
        ("\"0.9\"", Some(Some(0))),
        ("\"1000000000000000000000000000000\"", Some(Some(u64::MAX))),
        ("-1", Some(None)),
        ("-0.5", Some(None)),
        ("\"-1\"", Some(None)),
        ("\"-1.0\"", Some(None)),
        ("true", Some(None)),
        ("[]", Some(None)),
        ("[3600]", Some(None)),
        ("{}", Some(None)),
        ("\"\"", Some(None)),
        ("\"soon\"", Some(None)),
        ("\"nan\"", Some(None)),
        ("\"inf\"", Some(None)),
        ("\"1e400\"", Some(None)),
        ("\"0x10\"", Some(None)),
        ("\"3600 s\"", Some(None)),
        ("1e400", None),
        ("NaN", None),
    ] {
        let server = start();
        always(&server, Endpoint::Token, member("expires_in", json));
        let session = session(&server);
        match (session.access_token(), expected) {
            (Ok(token), Some(seconds)) => {
                assert_eq!(token.expires_in(), seconds.map(Duration::from_secs), "{json}");
                assert_eq!(get(&session, &server), 200);
            }
            (Err(error), None) => {
                assert!(matches!(error.kind(), ErrorKind::Content { .. }), "{json} {error}");
            }
            (result, _) => panic!("{json} {:?}", result.map(drop)),
        }
    }
}

/// A session keeps working with every lifetime, now and a year later.
#[test]
fn c_23_no_value_of_expires_in_breaks_a_session() {
    let huge = format!("1{}", "0".repeat(400));
    for json in [
        "0",
        "-0",
        "-1",
        "-9223372036854775808",
        "\"3600\"",
        "\"\"",
        "\"-1\"",
        "3600.5",
        "0.5",
        "1e400",
        "-1e400",
        "1e308",
        "18446744073709551615",
        "9223372036854775807",
        "1000000000000000000000000000000",
        &huge,
        "true",
        "null",
        "[]",
        "{}",
        "\"18446744073709551616\"",
    ] {
        let clock = ManualClock::new();
        let server = with(|server| server.nonces(Nonces::Off).clock(clock.clone()));
        let session = server.session().clock(clock.clone()).discover().unwrap();
        always(&server, Endpoint::Token, member("expires_in", json));
        match session.get(&server.resource("/")) {
            Ok(response) => assert_eq!(response.status(), 200, "{json}"),
            Err(error) => {
                assert_eq!(*error.kind(), ErrorKind::Content { status: 200 }, "{json} {error}");
                assert!(calls(&server).is_empty());
                continue;
            }
        }
        assert_eq!(get(&session, &server), 200, "{json}");
        clock.advance(365 * 24 * 3600 * SECOND);
        assert_eq!(get(&session, &server), 200, "{json}");
    }
    // An expired token is not used again, and a valid one is.
    for (json, tokens) in [("0", 2), ("3600", 1), ("\"3600\"", 1), ("18446744073709551615", 1)] {
        let server = with(|server| server.nonces(Nonces::Off));
        let session = session(&server);
        always(&server, Endpoint::Token, member("expires_in", json));
        (0..2).for_each(|_| assert_eq!(get(&session, &server), 200));
        assert_eq!(server.counts().tokens, tokens, "{json}");
    }
}

#[test]
fn c_24_a_repeated_member_is_an_error() {
    let server = with(|server| server.nonces(Nonces::Off));
    let session = session(&server);
    let bodies = [
        r#"{"access_token":"a","access_token":"b","token_type":"DPoP"}"#,
        r#"{"access_token":"a","token_type":"DPoP","access_token":"a"}"#,
        r#"{"access_token":"a","token_type":"DPoP","token_type":"Bearer"}"#,
        r#"{"access_token":"a","token_type":"Bearer","token_type":"DPoP"}"#,
        // The same name, written with an escape.
        r#"{"access_token":"a","access\u005ftoken":"b","token_type":"DPoP"}"#,
        r#"{"access_token":"a","token_type":"DPoP","t\u006fken_type":"Bearer"}"#,
        r#"{"access_token":"a","token_type":"DPoP","x":1,"x":2}"#,
        r#"{"access_token":"a","token_type":"DPoP","x":[{"y":1,"y":2}]}"#,
    ];
    for body in bodies {
        server.behave();
        always(&server, Endpoint::Token, respond(200, &[JSON], body));
        session.discard_token();
        let error = session.get(&server.resource("/")).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Content { status: 200 }, "{body} {error}");
    }
    assert!(calls(&server).is_empty());
    server.behave();
    session.discard_token();
    assert_eq!(get(&session, &server), 200);
}

#[test]
fn c_24_a_repeated_member_is_an_error_whatever_its_name() {
    for name in ["access_token", "token_type", "expires_in", "scope", "nobody_knows"] {
        let server = start();
        if name == "nobody_knows" {
            always(&server, Endpoint::Token, member(name, "1"));
        }
        always(
            &server,
            Endpoint::Token,
            Quirk::DuplicateMember { name: name.to_owned(), json: "\"DPoP\"".to_owned() },
        );
        let error = session(&server).access_token().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Content { .. }), "{name} {error}");
    }
}

#[test]
fn c_25_a_response_that_is_no_token_response_is_a_typed_error() {
    let deep = |open: &str, close: &str| {
        let (open, close) = (open.repeat(20_000), close.repeat(20_000));
        format!(r#"{{"access_token":"t","token_type":"DPoP","x":{open}1{close}}}"#)
    };
    let nested = "[".repeat(20_000) + &"]".repeat(20_000);
    let cases: [(u16, &str, Vec<u8>); 23] = [
        (200, "application/json", nested.into()),
        (200, "application/json", format!("[{TOKEN_BODY}]").into()),
        (200, "application/json", deep("[", "]").into()),
        (200, "application/json", deep("{\"a\":", "}").into()),
        (200, "application/json", format!("{TOKEN_BODY}x").into()),
        (200, "application/json", format!("{TOKEN_BODY}{TOKEN_BODY}").into()),
        (200, "application/json", format!("{TOKEN_BODY}\0").into()),
        (200, "application/json", format!("\u{feff}\u{feff}{TOKEN_BODY}").into()),
        (200, "application/json", format!(" \u{feff}{TOKEN_BODY}").into()),
        (200, "application/json", TOKEN_BODY.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        (200, "application/json", [TOKEN_BODY.as_bytes(), b"\xff"].concat()),
        (200, "application/json", b"".into()),
        (200, "application/json", b"null".into()),
        (200, "application/json", TOKEN_BODY[..TOKEN_BODY.len() - 1].into()),
        (200, "application/json", b"<html></html>".into()),
        (200, "text/html", TOKEN_BODY.into()),
        (200, "text/javascript", TOKEN_BODY.into()),
        (200, "application/octet-stream", TOKEN_BODY.into()),
        (200, "application/x-www-form-urlencoded", b"access_token=t&token_type=DPoP".into()),
        (201, "text/html", TOKEN_BODY.into()),
        (202, "application/json", TOKEN_BODY.into()),
        (206, "application/json", TOKEN_BODY.into()),
        (204, "application/json", b"".into()),
    ];
    let server = with(|server| server.nonces(Nonces::Off));
    let session = session(&server);
    for (number, (status, kind, body)) in cases.into_iter().enumerate() {
        server.behave();
        server.clear_received();
        always(&server, Endpoint::Token, respond(status, &[("content-type", kind)], body));
        session.discard_token();
        let error = session.get(&server.resource("/")).unwrap_err();
        let expected = match status {
            200 | 201 => ErrorKind::Content { status },
            _ => ErrorKind::Status { status },
        };
        assert_eq!(*error.kind(), expected, "case {number}: {error}");
        assert_eq!(error.status(), Some(status), "case {number}: {error}");
        assert_eq!((token_requests(&server).len(), calls(&server).len()), (1, 0), "case {number}");
    }
    for (status, kind) in
        [(200, ErrorKind::Content { status: 200 }), (404, ErrorKind::Status { status: 404 })]
    {
        server.behave();
        server.clear_received();
        always(&server, Endpoint::Token, Quirk::Html { status });
        session.discard_token();
        let error = session.access_token().unwrap_err();
        assert_eq!((error.kind(), error.status()), (&kind, Some(status)), "{error}");
        assert_eq!(token_requests(&server).len(), 1);
    }
}

#[test]
fn c_26_the_texts_of_a_server_are_shown_and_logged_in_safe_characters() {
    let long = "x".repeat(500_000);
    for said in [
        r"\u001b[31mred\u001b[0m",
        r"a\r\nb: forged line",
        r"\u0007\u0000\u202e\u00e9\u200b",
        r#"a\"b\\"#,
        r"\u001b[31mred\r\n\u0007",
        r"\u202e\u00e9\\",
        &long,
    ] {
        for status in [400, 503] {
            let server = with(|server| server.nonces(Nonces::Off));
            let session = session(&server);
            let body =
                format!(r#"{{"error":"invalid_scope","error_description":"{said}","error_uri":"{said}"}}"#);
            always(&server, Endpoint::Token, respond(status, &[JSON], body));
            take_logged();
            let error = session.access_token().unwrap_err();
            let mut shown = vec![error.to_string(), format!("{error:?}"), format!("{:?}", error.kind())];
            shown.extend([error.oauth().unwrap().to_string(), format!("{:?}", error.oauth())]);
            // What a caller usually shows is shorter still.
            assert!([&shown[0], &shown[1], &shown[3]].iter().all(|shown| shown.len() < 1_000), "{error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                shown.push(cause.to_string());
                source = cause.source();
            }
            let logged = take_logged();
            assert!(logged.contains("status"), "the logger is installed: {logged}");
            shown.extend(logged.lines().map(str::to_owned));
            for shown in shown {
                assert!(shown.len() < 1_500, "{} bytes", shown.len());
                assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)), "{shown:?}");
                assert!(!shown.starts_with("b: forged"), "{shown}");
            }
            let raw = error.oauth().unwrap().raw_error_description().unwrap();
            assert_eq!(raw, serde_json::from_str::<String>(&format!("\"{said}\"")).unwrap(), "unchanged");
        }
        // An error code that RFC 6749 does not allow is not read as one, and is shown as safely.
        if said.len() < 100 {
            let server = with(|server| server.nonces(Nonces::Off));
            let session = session(&server);
            always(&server, Endpoint::Token, respond(400, &[JSON], format!(r#"{{"error":"{said}"}}"#)));
            let error = session.access_token().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Status { status: 400 }, "{error}");
            assert!(error.to_string().bytes().all(|b| (b' '..=b'~').contains(&b)), "{error}");
        }
    }
}

#[test]
fn c_27_another_scope_and_a_refresh_token_are_returned_and_not_used() {
    let server = start();
    always(&server, Endpoint::Token, member("scope", "\"orders:none\""));
    always(&server, Endpoint::Token, member("refresh_token", "\"r\""));
    let session = session(&server);
    let token = session.access_token().unwrap();
    assert_eq!((token.scope(), token.refresh_token()), (Some("orders:none"), Some("r")));
    assert!(!format!("{token:?}").contains("\"r\""));
    // The next token is requested as the first was.
    session.discard_token();
    assert_eq!(get(&session, &server), 200);
    for request in token_requests(&server) {
        assert_eq!(request.form_field("grant_type").as_deref(), Some("client_credentials"));
        assert_eq!(
            request.form_field("scope").as_deref(),
            Some("orders:read"),
            "the requested scope stays the same"
        );
        assert!(request.form_field("refresh_token").is_none());
    }
    // RFC 6749 §5.1: absent, it is the requested scope.
    server.behave();
    always(&server, Endpoint::Token, Quirk::WithoutMember("scope".to_owned()));
    session.discard_token();
    assert_eq!(session.access_token().unwrap().scope(), None);
}

/// This grant should not return a refresh token (RFC 6749 §4.4.3). The caller gets it with the key it is
/// bound to.
#[test]
fn q_23_a_refresh_token_is_returned_with_the_key_it_is_bound_to() {
    let server = start();
    let json = "\"refresh-me\"".to_owned();
    always(&server, Endpoint::Token, Quirk::Member { name: "refresh_token".to_owned(), json });
    let session = session(&server);
    let token = session.access_token().unwrap();
    assert_eq!(
        (token.refresh_token(), token.jkt()),
        (Some("refresh-me"), Some(session.prover().thumbprint()))
    );
}

#[test]
fn q_27_token_responses_with_common_deviations_are_accepted() {
    for (quirk, expires_in, scope) in [
        (member("expires_in", "\"3600\""), Some(3600), Some("orders:read")),
        (member("expires_in", "null"), None, Some("orders:read")),
        (Quirk::WithoutMember("expires_in".to_owned()), None, Some("orders:read")),
        (Quirk::ContentType("text/plain;charset=UTF-8".to_owned()), Some(3600), Some("orders:read")),
        (Quirk::ContentType("application/json; charset=utf-8".to_owned()), Some(3600), Some("orders:read")),
        (member("scope", "\"\""), Some(3600), Some("")),
        (member("scope", "null"), Some(3600), None),
        (member("refresh_token", "null"), Some(3600), Some("orders:read")),
        (member("nobody_knows", "{\"a\":[1,null]}"), Some(3600), Some("orders:read")),
    ] {
        let server = start();
        always(&server, Endpoint::Token, quirk.clone());
        let session = session(&server);
        let token = session.access_token().unwrap();
        assert_eq!(token.expires_in(), expires_in.map(Duration::from_secs), "{quirk:?}");
        assert_eq!((token.scope(), token.refresh_token()), (scope, None), "{quirk:?}");
        assert_eq!(get(&session, &server), 200);
        assert_eq!(server.counts().tokens, 1);
    }
}

#[test]
fn c_28_an_invalid_scope_is_refused_before_anything_is_sent() {
    let server = start();
    let session = session(&server);
    let metadata = by_hand(&server, &format!("{}/token", server.issuer())).unwrap();
    let client = Client::new(server.client_id()).unwrap();
    let (auth, transport) = (ClientAuth::client_secret_basic(server.client_secret()), Transport::new());
    for scope in
        ["a\"b", "a\\b", "a\tb", "a  b", "a\u{a0}b", "", " ", " a", "a ", "é", "a\r\nb", "a\u{0}", "a\u{7f}"]
    {
        let parameters = || Parameters::new().scope(scope);
        let options = RequestOptions::new().http(&transport);
        let refusals = [
            server.session().scope(scope).discover().map(drop),
            server.session().scope(scope).server(metadata.clone()).map(drop),
            session.with_parameters(parameters()).map(drop),
            client_credentials_grant_request(&metadata, &client, &auth, parameters(), &options).map(drop),
        ];
        for refusal in refusals {
            assert_eq!(*refusal.unwrap_err().kind(), ErrorKind::Parameter, "{scope:?}");
        }
    }
    assert!(token_requests(&server).is_empty());
    // Every character that RFC 6749 §3.3 allows arrives unchanged.
    let allowed: String = (0x21..=0x7eu8).filter(|b| !b"\"\\".contains(b)).map(char::from).collect();
    let scope = format!("{allowed} b");
    session.with_parameters(Parameters::new().scope(&scope)).unwrap().access_token().unwrap();
    assert!(
        token_requests(&server).iter().all(|request| request.form_field("scope").as_ref() == Some(&scope))
    );
}

#[test]
fn c_29_the_oauth_error_in_the_body_decides_where_a_challenge_contradicts_it() {
    let challenge = header(NONCE_CHALLENGE.0, NONCE_CHALLENGE.1);
    // The secret is wrong, and a gateway adds the challenge.
    let server = start();
    let wrong = builder(&server, LONG).auth(ClientAuth::client_secret_basic("wrong")).discover().unwrap();
    always(&server, Endpoint::Token, challenge.clone());
    always(&server, Endpoint::Token, nonce(&["n"]));
    let error = wrong.access_token().unwrap_err();
    assert_eq!((code(&error), error.status()), (Some("invalid_client"), Some(401)));
    assert_eq!(token_requests(&server).len(), 1, "no retry");
    // The same from the server itself.
    let server = start();
    let headers = [JSON, NONCE_CHALLENGE, ("dpop-nonce", "n")];
    always(&server, Endpoint::Token, respond(401, &headers, r#"{"error":"invalid_client"}"#));
    let error = session(&server).access_token().unwrap_err();
    assert_eq!((code(&error), token_requests(&server).len()), (Some("invalid_client"), 1), "no retry");
    // With an assertion, a wrong clock may be the reason: one retry at most, however many reasons there are.
    let (key, other) =
        (KeyPair::generate(Algorithm::Es256).unwrap(), KeyPair::generate(Algorithm::Es256).unwrap());
    let server = with(|server| server.client_public_key(key.to_public()));
    server.set_clock_offset(200);
    always(&server, Endpoint::Token, challenge.clone());
    always(&server, Endpoint::Token, nonce(&["n"]));
    let wrong = builder(&server, LONG).auth(ClientAuth::private_key_jwt(other)).discover().unwrap();
    assert_eq!(code(&wrong.access_token().unwrap_err()), Some("invalid_client"));
    assert_eq!(token_requests(&server).len(), 2);
    nothing_twice(&server);
    // The reverse: the body is the challenge, whatever the header says.
    let body = r#"{"error":"use_dpop_nonce"}"#;
    let server = start();
    once(&server, Endpoint::Token, respond(401, &[JSON, ("dpop-nonce", "n")], body));
    assert!(session(&server).access_token().is_err(), "the server does not know this nonce");
    assert_eq!(nonces(&token_requests(&server)), some(&[None, Some("n")]));
    for also in
        [("www-authenticate", "DPoP error=\"invalid_client\""), ("www-authenticate", "Basic realm=\"x\"")]
    {
        let server = with(|server| server.nonces(Nonces::Off));
        once(&server, Endpoint::Token, respond(401, &[JSON, also, ("dpop-nonce", "n")], body));
        session(&server).access_token().unwrap();
        assert_eq!(nonces(&token_requests(&server)), some(&[None, Some("n")]));
    }
}
