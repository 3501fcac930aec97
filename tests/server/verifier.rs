//! The proof verifier: which check fails with which reason and response, the accepted algorithms, the
//! request a proof is compared with, and time. Threats V-05, V-14, V-29, V-32, V-39, V-59 and V-60.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, Method, Request};
use possession::server::{Reason, ReceivedRequest, Verifier};
use possession::testing::FixedNonces;
use possession::{Algorithm, ErrorKind, KeyPair, ServerRole};
use serde_json::{Value, json};

use crate::support::{
    ALGS, ATH, ES256, Exact, NOW, TOKEN, URL, assert_response, at, badly_signed, claims, header_of, jkt, jws,
    key, memory, mine, proof, received, seconds, set, token_request, without,
};

// ------------------------------------------------------------------------------------ reasons and responses

/// The endpoint at which a proof is presented.
enum At {
    Token,
    TokenOf,
    Resource,
}

impl At {
    fn part(&self) -> ServerRole {
        match self {
            At::Token | At::TokenOf => ServerRole::AuthorizationServer,
            At::Resource => ServerRole::ResourceServer,
        }
    }
}

/// V-39 and V-60: every check that can fail, its reason with the facts, and the response. After all of them
/// the `jti` is still unused, because the replay store was not called.
#[test]
fn v_39_every_failed_check_has_its_reason_and_leaves_the_jti_unused() {
    use At::{Resource, Token, TokenOf};
    let me = mine();
    let other = KeyPair::generate(Algorithm::Ed25519).unwrap();
    let good = || claims("x");
    let header = || header_of(&me);
    let headed = |header: Value| jws(&me, &header, &good());
    let allowed = seconds(60);
    let (proof_error, nonce_error, token_error) = ("invalid_dpop_proof", "use_dpop_nonce", "invalid_token");
    let htu = |text: &str| text.parse().unwrap();
    let exactly = |reason: Reason| -> Box<dyn Fn(&Reason) -> bool> { Box::new(move |seen| *seen == reason) };
    let claim = |claim| exactly(Reason::Claim { claim });
    let malformed =
        || -> Box<dyn Fn(&Reason) -> bool> { Box::new(|seen| matches!(seen, Reason::Malformed(_))) };
    let jwk = |words: &'static str| -> Box<dyn Fn(&Reason) -> bool> {
        Box::new(move |seen| matches!(seen, Reason::Jwk { detail } if detail.contains(words)))
    };
    let binding = || exactly(Reason::Binding { expected: jkt(&me), actual: jkt(&other) });
    let by_other = jws(&other, &header_of(&other), &good());
    let by_other_badly_signed =
        format!("{}.{}", by_other.rsplit_once('.').unwrap().0, proof(&good()).rsplit_once('.').unwrap().1);

    type Row = (At, Vec<String>, Box<dyn Fn(&Reason) -> bool>, &'static str);
    let rows: Vec<Row> = vec![
        (Resource, vec![], exactly(Reason::NoProof), proof_error),
        (Token, vec![proof(&good()); 2], exactly(Reason::SeveralProofs { fields: 2 }), proof_error),
        (
            Token,
            vec![proof(&good()), String::new(), "x".to_owned()],
            exactly(Reason::SeveralProofs { fields: 3 }),
            proof_error,
        ),
        (Token, vec![String::new()], malformed(), proof_error),
        (Token, vec![format!("{}, {}", proof(&good()), proof(&good()))], malformed(), proof_error),
        (Token, vec![proof(&good()) + "="], malformed(), proof_error),
        (Token, vec!["a.".repeat(20_000)], malformed(), proof_error),
        (Token, vec![headed(set(header(), "typ", "JWT"))], exactly(Reason::Typ), proof_error),
        (Token, vec![headed(without(header(), "typ"))], exactly(Reason::Typ), proof_error),
        (
            Token,
            vec![headed(set(header(), "alg", "HS256"))],
            exactly(Reason::Algorithm { alg: "HS256".to_owned() }),
            proof_error,
        ),
        (
            Token,
            vec![headed(set(header(), "alg", "none"))],
            exactly(Reason::Algorithm { alg: "none".to_owned() }),
            proof_error,
        ),
        (
            Token,
            vec![headed(set(header(), "alg", "ES384"))],
            exactly(Reason::Algorithm { alg: "ES384".to_owned() }),
            proof_error,
        ),
        (Token, vec![headed(set(header(), "alg", "ES256"))], jwk("ES256"), proof_error),
        (Token, vec![headed(set(header(), "crit", json!(["exp"])))], malformed(), proof_error),
        (Token, vec![headed(without(header(), "jwk"))], jwk("none"), proof_error),
        (
            Token,
            vec![headed(set(header(), "jwk", set(header()["jwk"].clone(), "d", "")))],
            jwk("`d`"),
            proof_error,
        ),
        (
            Token,
            vec![headed(set(header(), "jwk", set(header()["jwk"].clone(), "use", "enc")))],
            jwk("`use`"),
            proof_error,
        ),
        (
            Token,
            vec![headed(set(header(), "jwk", set(header()["jwk"].clone(), "key_ops", json!(["encrypt"]))))],
            jwk("`key_ops`"),
            proof_error,
        ),
        // Empty members, which count as absent in stored and published keys, are not read in a proof.
        (
            Token,
            vec![headed(set(header(), "jwk", set(header()["jwk"].clone(), "key_ops", json!([]))))],
            jwk("`key_ops`"),
            proof_error,
        ),
        (
            Token,
            vec![headed(set(header(), "jwk", set(header()["jwk"].clone(), "use", json!(null))))],
            jwk("`use`"),
            proof_error,
        ),
        (
            Token,
            vec![headed(set(header(), "jwk", set(header()["jwk"].clone(), "d", json!(null))))],
            jwk("`d`"),
            proof_error,
        ),
        (Token, vec![proof(&without(good(), "jti"))], claim("jti"), proof_error),
        (Token, vec![proof(&set(good(), "jti", ""))], claim("jti"), proof_error),
        (Token, vec![proof(&without(good(), "htm"))], claim("htm"), proof_error),
        (Token, vec![proof(&without(good(), "htu"))], claim("htu"), proof_error),
        (Token, vec![proof(&without(good(), "iat"))], claim("iat"), proof_error),
        (Token, vec![proof(&set(good(), "iat", NOW.to_string()))], claim("iat"), proof_error),
        (Token, vec![proof(&set(good(), "exp", "never"))], claim("exp"), proof_error),
        (Token, vec![proof(&set(good(), "nbf", Value::Null))], claim("nbf"), proof_error),
        (
            Token,
            vec![proof(&set(good(), "htm", "post"))],
            exactly(Reason::Htm { expected: "POST".to_owned(), actual: "post".to_owned() }),
            proof_error,
        ),
        (
            Resource,
            vec![proof(&set(good(), "htu", "https://Server.example.com:443/resource?x#y"))],
            exactly(Reason::Htu { expected: htu(URL), actual: htu("https://server.example.com/resource") }),
            proof_error,
        ),
        (
            Token,
            vec![proof(&set(good(), "htu", "/token"))],
            Box::new(|seen| matches!(seen, Reason::HtuMalformed(error) if *error.kind() == ErrorKind::Url)),
            proof_error,
        ),
        (
            Token,
            vec![proof(&set(good(), "iat", NOW - 61))],
            exactly(Reason::Stale { age: seconds(61), allowed }),
            proof_error,
        ),
        (
            Token,
            vec![proof(&set(good(), "iat", 0))],
            exactly(Reason::Stale { age: seconds(NOW), allowed }),
            proof_error,
        ),
        (
            Token,
            vec![proof(&set(good(), "iat", NOW + 11))],
            exactly(Reason::Future { ahead: seconds(11), allowed: seconds(10) }),
            proof_error,
        ),
        (
            Token,
            vec![proof(&set(good(), "iat", 1_700_000_037_000_u64))], // milliseconds
            claim_or_future(),
            proof_error,
        ),
        (Token, vec![proof(&set(good(), "exp", NOW))], exactly(Reason::Expired), proof_error),
        (Token, vec![proof(&set(good(), "nbf", NOW + 11))], exactly(Reason::NotYetValid), proof_error),
        (Resource, vec![proof(&without(good(), "ath"))], claim("ath"), proof_error),
        (Resource, vec![proof(&set(good(), "ath", ATH.to_uppercase()))], exactly(Reason::Ath), proof_error),
        (Resource, vec![by_other.clone()], binding(), token_error),
        // No access token is part of this request, so the error does not name one.
        (TokenOf, vec![by_other], binding(), proof_error),
        // The binding is reported only to a peer whose signature is valid.
        (Resource, vec![by_other_badly_signed], exactly(Reason::Signature), proof_error),
        (Token, vec![badly_signed(&good())], exactly(Reason::Signature), proof_error),
        (Resource, vec![badly_signed(&good())], exactly(Reason::Signature), proof_error),
        (Token, vec![proof(&without(good(), "nonce"))], exactly(Reason::NoNonce), nonce_error),
        (Resource, vec![proof(&set(good(), "nonce", "n3"))], exactly(Reason::Nonce), nonce_error),
    ];
    let exact = Arc::new(Exact::default());
    let verifier = Verifier::new(Arc::clone(&exact));
    let verifier = verifier.require_nonces(FixedNonces::new(["n0", "n1"]));
    let ask = |endpoint: &At, proofs: &[String]| {
        let request = received(proofs);
        match endpoint {
            Token => verifier.verify_token_request(&request, at(NOW)),
            TokenOf => verifier.verify_token_request_bound_to(&request, &jkt(&me), at(NOW)),
            Resource => verifier.verify_resource_request(&request, TOKEN, &jkt(&me), at(NOW)),
        }
    };
    for (row, (endpoint, proofs, is_it, error)) in rows.iter().enumerate() {
        let rejection = ask(endpoint, proofs).unwrap_err();
        assert!(is_it(rejection.reason()), "row {row}: {:?}", rejection.reason());
        assert_response(&rejection, endpoint.part(), Some(error), ALGS);
    }
    assert_eq!(exact.asked.lock().unwrap().len(), 0, "a rejected proof used up a jti");
    let verified = ask(&Resource, &[proof(&good())]).unwrap();
    assert_eq!((verified.jti(), verified.iat(), verified.thumbprint()), ("x", at(NOW), jkt(&me)));
    // The proof is a replay at the other endpoint as well.
    for endpoint in [Token, TokenOf, Resource] {
        let rejection = ask(&endpoint, &[proof(&good())]).unwrap_err();
        assert_eq!(rejection.reason(), &Reason::Replayed);
        assert_response(&rejection, endpoint.part(), Some(proof_error), ALGS);
    }
}

/// A time in milliseconds may be reported as either.
fn claim_or_future() -> Box<dyn Fn(&Reason) -> bool> {
    Box::new(|seen| matches!(seen, Reason::Claim { claim: "iat" } | Reason::Future { .. }))
}

/// Whatever a proof contains, the response is one of the fixed ones, and the log line is a single line of
/// ASCII.
#[test]
fn v_59_nothing_of_the_text_in_a_proof_reaches_the_response() {
    let evil = [
        "\"quoted\"",
        "a\\\"b",
        "x\r\nSet-Cookie: a=b",
        "\r\n\r\n<html>",
        "\u{1b}[2J\0\u{7f}",
        "\u{e9}\u{202e}\u{1f600}",
        "a, Bearer error=\"invalid_token\"",
        &"A".repeat(10_000),
        &"\u{e9}\"\n".repeat(2_000),
    ];
    let me = mine();
    let mut rejected = 0;
    for text in evil {
        let (header, jwk) = (header_of(&me), header_of(&me)["jwk"].clone());
        let in_jwk = |name: &str| set(header.clone(), "jwk", set(jwk.clone(), name, text));
        let mut proofs =
            vec![text.to_owned(), jws(&me, &set(header.clone(), text, 1), &set(claims("x"), text, 1))];
        proofs.extend(
            ["typ", "alg", "jwk", "crit"]
                .map(|name| jws(&me, &set(header.clone(), name, text), &claims("x"))),
        );
        proofs.extend(
            ["kty", "crv", "x", "alg", "use", "key_ops"].map(|name| jws(&me, &in_jwk(name), &claims("x"))),
        );
        proofs.extend(
            ["jti", "htm", "htu", "iat", "exp", "nbf", "ath", "nonce"]
                .map(|name| jws(&me, &header, &set(claims("x"), name, text))),
        );
        proofs.push(jws(&me, &header, &set(claims("x"), "htu", format!("https://evil.example/{text}"))));
        proofs.push(badly_signed(&set(claims(text), text, text)));
        for proof in proofs {
            let proofs = [proof];
            // `from_fields` may be given values that an HTTP layer would have refused.
            let verifier = memory().require_nonces(FixedNonces::new(["n1"]));
            let seen = [
                (ServerRole::AuthorizationServer, verifier.verify_token_request(&received(&proofs), at(NOW))),
                (
                    ServerRole::ResourceServer,
                    verifier.verify_resource_request(&received(&proofs), TOKEN, &jkt(&me), at(NOW)),
                ),
            ];
            for (part, seen) in seen {
                let Err(rejection) = seen else { continue };
                rejected += 1;
                assert_response(&rejection, part, rejection.error(), ALGS);
                assert!(["invalid_dpop_proof", "use_dpop_nonce"].contains(&rejection.error().unwrap()));
            }
        }
    }
    assert!(rejected > 9 * 2 * 18, "{rejected}");
}

// ----------------------------------------------------------------------------------------------- algorithms

/// The verifier accepts the configured algorithms and no others, and its challenge lists them (RFC 9449
/// §7.1).
#[test]
fn v_14_only_the_configured_algorithms_are_accepted_and_listed() {
    let (ed, es) = (Algorithm::Ed25519, Algorithm::Es256);
    let refused = |alg: &str| Some(Reason::Algorithm { alg: alg.to_owned() });
    let renamed = |key: &KeyPair, alg: &str| jws(key, &set(header_of(key), "alg", alg), &claims("x"));
    let (mine, ec) = (mine(), key(ES256));
    // (accepted, algs, then the outcome of ES256, EdDSA and Ed25519)
    type Row<'a> = (&'a [Algorithm], &'a str, [Option<Reason>; 3]);
    let rows: [Row; 5] = [
        (&[ed, es], "EdDSA Ed25519 ES256", [None, None, None]),
        (&[ed], "EdDSA Ed25519", [refused("ES256"), None, None]),
        (&[es], "ES256", [None, refused("EdDSA"), refused("Ed25519")]),
        (&[], "", [refused("ES256"), refused("EdDSA"), refused("Ed25519")]),
        (&[Algorithm::Es384, Algorithm::Rs256], "", [refused("ES256"), refused("EdDSA"), refused("Ed25519")]),
    ];
    for (algorithms, algs, expected) in rows {
        let proofs = [renamed(&ec, "ES256"), renamed(&mine, "EdDSA"), renamed(&mine, "Ed25519")];
        for (proof, reason) in proofs.iter().zip(expected) {
            let verifier = memory().algorithms(algorithms.iter().copied());
            let seen = verifier.verify_token_request(&received(std::slice::from_ref(proof)), at(NOW));
            match seen {
                Ok(_) => assert_eq!(reason, None, "{algorithms:?}"),
                Err(rejection) => {
                    assert_eq!(Some(rejection.reason()), reason.as_ref(), "{algorithms:?}");
                    if !algs.is_empty() {
                        assert_response(
                            &rejection,
                            ServerRole::AuthorizationServer,
                            Some("invalid_dpop_proof"),
                            algs,
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn v_14_an_algorithm_that_is_never_accepted_is_not_listed() {
    let verifier = memory().algorithms([Algorithm::Es384, Algorithm::Ed25519, Algorithm::Ps256]);
    let rejection = verifier.verify_token_request(&received(&[]), at(NOW)).unwrap_err();
    assert_response(&rejection, ServerRole::AuthorizationServer, Some("invalid_dpop_proof"), "EdDSA Ed25519");
}

// ------------------------------------------------------------------------------------------------- requests

/// All fields count, whatever the case of their name. One field with a comma is not two proofs.
#[test]
fn v_05_exactly_one_dpop_field_is_accepted() {
    let (one, other) = (proof(&claims("x")), proof(&claims("y")));
    let both = format!("{one}, {other}");
    type Fields<'a> = &'a [(&'static str, &'a str)];
    let cases: [(Fields, Option<usize>); 6] = [
        (&[], None),
        (&[("dpop", &one), ("DPoP", &other)], Some(2)),
        (&[("DPOP", &one), ("dpop", &one)], Some(2)),
        (&[("dpop", &one), ("dpop", "")], Some(2)),
        (&[("dpop", &one), ("dpop", &one), ("dpop", &one)], Some(3)),
        (&[("dpop", &both)], Some(1)),
    ];
    let ask = |fields: Fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let request = ReceivedRequest::new(&Method::POST, URL, &headers).unwrap();
        memory().verify_token_request(&request, at(NOW)).map_err(|r| r.reason().clone())
    };
    for (fields, count) in cases {
        let reason = ask(fields).unwrap_err();
        match count {
            None => assert_eq!(reason, Reason::NoProof),
            Some(1) => assert!(matches!(reason, Reason::Malformed(_)), "{reason}"),
            Some(fields) => assert_eq!(reason, Reason::SeveralProofs { fields }),
        }
    }
    assert!(ask(&[("DpOp", &one), ("dpop-nonce", "x"), ("x-dpop", &other)]).is_ok());

    let request = ReceivedRequest::from_fields(&http::Method::POST, URL, vec![b"\xff\xfe"]).unwrap();
    let seen = memory().verify_token_request(&request, at(NOW));
    assert_eq!(seen.unwrap_err().reason(), &Reason::NotAscii);
}

#[test]
fn the_url_of_the_request_must_be_http_or_https_without_user_information() {
    let new = |url: &str| ReceivedRequest::new(&http::Method::POST, url, &HeaderMap::new()).map(drop);
    for url in [URL, "http://server.example.com/token", "HTTPS://server.example.com/token?a=[b]#c"] {
        assert_eq!(new(url), Ok(()), "{url}");
    }
    for (url, says) in [
        ("ftp://server.example.com/token", "it is not an http or https URL"),
        ("https://u:p@server.example.com/token", "it contains a user name or password"),
        ("/token", "it is not an absolute URL"),
    ] {
        let error = new(url).unwrap_err();
        let text = error.to_string();
        assert_eq!(*error.kind(), ErrorKind::Url, "{text}");
        assert!(text.starts_with("reading the URL of the request") && text.contains(says), "{text}");
        assert!(!text.contains("u:p"), "{text}");
    }
}

/// Nothing that the sender wrote changes the origin a proof is compared with.
#[test]
fn v_29_the_origin_comes_from_the_configuration() {
    let forged_fields = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-prefix", "/evil"),
        ("x-original-url", "/evil"),
        ("forwarded", "host=evil.example;proto=http"),
    ];
    let targets = [
        "/token",
        "/token?htu=https://evil.example/",
        "https://evil.example/token",
        "http://evil.example:8080/token",
    ];
    let ask = |origin: &str, target: &str, htu: &str| {
        let mut request = Request::post(target).header("dpop", proof(&set(claims("x"), "htu", htu)));
        for (name, value) in forged_fields {
            request = request.header(name, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let request = ReceivedRequest::from_parts(origin, &parts).unwrap();
        memory().verify_token_request(&request, at(NOW)).map_err(|r| r.reason().clone())
    };
    for target in targets {
        for origin in
            ["https://server.example.com", "https://server.example.com/", "HTTPS://Server.Example.COM:443"]
        {
            assert!(ask(origin, target, URL).is_ok(), "{origin} {target}");
        }
        for htu in [
            "https://evil.example/token",
            "http://evil.example:8080/token",
            "http://server.example.com/token",
        ] {
            let expected = Reason::Htu { expected: URL.parse().unwrap(), actual: htu.parse().unwrap() };
            assert_eq!(ask("https://server.example.com", target, htu).unwrap_err(), expected);
        }
    }
    // The path is that of the request.
    let seen = ask("https://server.example.com", "/other", URL).unwrap_err();
    let expected = "https://server.example.com/other".parse().unwrap();
    assert_eq!(seen, Reason::Htu { expected, actual: URL.parse().unwrap() });

    for (origin, target) in [
        ("server.example.com", "/token"),
        ("https://u:p@server.example.com", "/token"),
        ("", "/token"),
        ("https://", "/token"),
        ("https://server.example.com", "*"),
    ] {
        let (parts, ()) = Request::options(target).body(()).unwrap().into_parts();
        let error = ReceivedRequest::from_parts(origin, &parts).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Url, "{origin} {target}");
    }
}

// ----------------------------------------------------------------------------------------------------- time

/// C-54 on the server: a clock that cannot be right rejects, and the reason says whose clock it is.
#[test]
fn a_clock_before_1970_is_reported_as_a_fault_of_the_server() {
    let proofs = [proof(&claims("x"))];
    let ask = |now| memory().verify_token_request(&received(&proofs), now).unwrap_err();
    for now in [UNIX_EPOCH - Duration::from_nanos(1), UNIX_EPOCH - seconds(1 << 40)] {
        let rejection = ask(now);
        assert!(matches!(rejection.reason(), Reason::Clock(error) if *error.kind() == ErrorKind::Clock));
        assert!(rejection.to_string().contains("1970"), "{rejection}");
        assert_response(&rejection, ServerRole::AuthorizationServer, None, ALGS);
    }
    let ahead = Reason::Future { ahead: seconds(NOW), allowed: seconds(10) };
    assert_eq!(ask(UNIX_EPOCH).reason(), &ahead);
    for late in [1 << 40, (1 << 63) - 1] {
        if let Some(now) = UNIX_EPOCH.checked_add(seconds(late)) {
            let stale = Reason::Stale { age: seconds(late - NOW), allowed: seconds(60) };
            assert_eq!(ask(now).reason(), &stale);
        }
    }
}

/// FAPI 2.0 Security Profile §5.3.2.1 demands that authorization servers accept JWTs whose `iat` or `nbf`
/// is up to 10 seconds ahead, and its conformance suite sends proofs 8 seconds ahead to resource servers.
/// This is the default; the setting replaces it.
#[test]
fn v_32_a_proof_may_be_dated_ten_seconds_ahead_by_default() {
    let sets = [memory as fn() -> Verifier, || memory().leeway(seconds(5)), || memory().leeway(seconds(0))];
    // (seconds ahead, accepted with the default, with 5 s, with none)
    let rows = [
        (0, [true, true, true]),
        (1, [true, true, false]),
        (5, [true, true, false]),
        (6, [true, false, false]),
        (8, [true, false, false]),
        (10, [true, false, false]),
        (11, [false, false, false]),
        (60, [false, false, false]),
    ];
    for (ahead, expected) in rows {
        for claim in ["iat", "nbf"] {
            let proof = proof(&set(claims("x"), claim, NOW + ahead));
            let seen = sets.map(|verifier| token_request(&verifier(), &proof, NOW).is_ok());
            assert_eq!(seen, expected, "{claim} {ahead} s ahead");
            let proofs = [proof];
            let seen = sets.map(|verifier| {
                verifier().verify_resource_request(&received(&proofs), TOKEN, &jkt(&mine()), at(NOW)).is_ok()
            });
            assert_eq!(seen, expected, "{claim} {ahead} s ahead, at a resource");
        }
    }
}

/// Each setting of the window means what it says.
#[test]
fn v_32_no_setting_of_the_time_window_wraps_or_panics() {
    const LAST: u64 = 253_402_300_799; // the end of the year 9999
    let far = Duration::MAX;
    let none = Duration::ZERO;
    let stale = |age, allowed| Some(Reason::Stale { age: seconds(age), allowed });
    let future = |ahead, allowed| Some(Reason::Future { ahead: seconds(ahead), allowed });
    let rows = [
        (none, none, NOW, None),
        (none, none, NOW - 1, stale(1, none)),
        (none, none, NOW + 1, future(1, none)),
        (Duration::from_millis(1999), none, NOW - 2, stale(2, seconds(1))), // whole seconds, as documented
        (none, Duration::from_millis(1999), NOW + 2, future(2, seconds(1))),
        (none, far, NOW + 1, None),
        (none, far, LAST, None),
        (none, far, NOW - 1, stale(1, none)),
        (far, none, NOW, None),
        (far, none, 1, None),
        (far, none, 0, None),
        (far, none, NOW + 1, future(1, none)),
        (far, far, LAST, None),
        (seconds(u64::MAX - NOW), none, NOW, None),
        (seconds(i64::MAX.unsigned_abs()), none, NOW, None),
    ];
    let mut wrong = Vec::new();
    for (max_age, skew, iat, expected) in rows {
        let verifier = memory().max_age(max_age).leeway(skew);
        let proof = proof(&set(claims("x"), "iat", iat));
        let seen = token_request(&verifier, &proof, NOW).err();
        if seen != expected {
            wrong.push(format!(
                "max_age {max_age:?}, skew {skew:?}, iat {iat}: {seen:?} instead of {expected:?}"
            ));
        }
        // Whether it was accepted or not, it is not accepted a second time.
        assert!(token_request(&verifier, &proof, NOW).is_err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
