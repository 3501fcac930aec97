//! How a challenge in `WWW-Authenticate` or in a body is recognized (rows C-42 … C-46, Q-01 … Q-04, Q-26).

use http::{HeaderMap, Request, StatusCode};
use possession::testing::{ChallengeForm, Endpoint, Quirk};
use possession::*;
use serde_json::Value;

use crate::common::server::{
    FORMS, always, calls, get, nonces, once, respond, start, statuses, token_requests,
};
use crate::common::{JSON, Peer, Trap, http};
use crate::peer::{session as peer_session, token_server};
use crate::support::{BOTH, default_session, header, nothing_twice, proofs, some, watched, without_nonces};

/// Every figure of RFC 9449 and the example of RFC 9110, as they are in the vectors. At the token endpoint
/// the caller gets the parsed challenges. At a resource, Figure 24 leads to a retry with the nonce. Figures
/// 16 and 18 refuse the token, and all but Figure 19 name no other error: they lead to a retry with the
/// nonce as well, or with another token where there is no nonce.
#[test]
fn c_42_the_challenges_of_the_rfcs_are_parsed_as_they_are_printed() {
    let vectors = [
        include_str!("../../test-vectors/rfc9449-challenge.json"),
        include_str!("../../test-vectors/rfc9110-challenge.json"),
    ];
    let mut seen = Vec::new();
    for vectors in vectors {
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        for case in vectors["cases"].as_array().unwrap() {
            let id = case["id"].as_str().unwrap();
            let fields = case["headers"].as_array().unwrap().iter().map(|field| field.as_str().unwrap());
            let fields: Vec<_> = fields.map(|field| ("www-authenticate", field)).collect();
            let listed = |challenges: &[Challenge]| {
                let expected = case["challenges"].as_array().unwrap();
                assert_eq!(challenges.len(), expected.len(), "{id}");
                for (challenge, expected) in challenges.iter().zip(expected) {
                    assert_eq!(challenge.scheme(), expected["scheme"], "{id}");
                    let params = challenge.params().iter().cloned();
                    let params: serde_json::Map<_, _> =
                        params.map(|(name, value)| (name, value.into())).collect();
                    assert_eq!(Value::Object(params), expected["params"], "{id}");
                }
            };
            // Without a nonce there is no retry at the token endpoint.
            let server = without_nonces();
            always(&server, Endpoint::Token, respond(401, &fields, ""));
            let error = default_session(&server).access_token().unwrap_err();
            let ErrorKind::Challenge { status: 401, challenges } = error.kind() else {
                panic!("{id} {error}")
            };
            listed(challenges);
            assert_eq!(token_requests(&server).len(), 1, "{id}");

            let with_nonce = [&fields[..], &[("dpop-nonce", "n-0S6_WzA2Mj")]].concat();
            for (fields, tokens) in [(&with_nonce, 1), (&fields, 2)] {
                let server = without_nonces();
                once(&server, Endpoint::Resource, respond(401, fields, ""));
                let response = default_session(&server).get(&server.resource("/")).unwrap();
                let again = id != "fig-19" && (id != "fig-24" || tokens == 1);
                let expected = if again { (200, 2, tokens) } else { (401, 1, 1) };
                let status = response.status().as_u16();
                assert_eq!((status, calls(&server).len(), server.counts().tokens), expected, "{id}");
                if !again {
                    listed(&Challenge::from_headers(response.headers()).unwrap());
                }
            }
            seen.push(id.to_owned());
        }
    }
    assert_eq!(seen, ["fig-15", "fig-16", "fig-17", "fig-18", "fig-19", "fig-24", "11.6.1"]);
}

/// For all three ways to call, at both endpoints, with a nonce that could be used. Each of them names an
/// error, and another one than `use_dpop_nonce` under the scheme DPoP.
#[test]
fn c_43_lookalikes_of_a_nonce_challenge_lead_to_no_retry() {
    for field in [
        r#"Basic error="use_dpop_nonce""#,
        r#"Basic error="x", realm="DPoP error=\"use_dpop_nonce\"""#,
        r#"Bearer error="x", realm="a, DPoP error=use_dpop_nonce""#,
        r#"Bearer error="use_dpop_nonce""#,
        r#"Bearer error="use_dpop_nonce" algs="ES256", DPoP algs="ES256 EdDSA Ed25519""#,
        r#"DPoP algs="ES256 EdDSA Ed25519", Bearer error="use_dpop_nonce""#,
        r#"DPoPx error="use_dpop_nonce""#,
        r#"X-DPoP error="use_dpop_nonce""#,
        r#"DPoP realm="use_dpop_nonce", error="x""#,
        r#"DPoP error_description="use_dpop_nonce", error="insufficient_scope""#,
        r#"DPoP xerror="use_dpop_nonce", error="x""#,
        r#"DPoP error="use_dpop_nonce_x""#,
        r#"DPoP error="USE_DPOP_NONCE""#, // codes are compared exactly (RFC 6749 §5.2)
    ] {
        let response = || respond(401, &[("www-authenticate", field), ("dpop-nonce", "n")], "");
        let server = without_nonces();
        let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
        let url = server.resource("/");
        session.access_token().unwrap();
        always(&server, Endpoint::Resource, response());
        assert_eq!(session.get(&url).unwrap().status(), 401, "{field}");
        let error = session.agent().unwrap().get(&url).call().unwrap_err();
        assert!(matches!(error, ureq::Error::StatusCode(401)), "{field} {error}");
        assert_eq!(calls(&server).len(), 2, "{field}");
        // `receive` tells another HTTP client that there is no retry.
        let (mut parts, ()) = Request::get(&url).body(()).unwrap().into_parts();
        session.authorize(&mut parts).unwrap();
        let headers = [("www-authenticate", field), ("dpop-nonce", "n")];
        let headers: HeaderMap = headers
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .into_iter()
            .collect();
        assert!(
            session.receive(&mut parts, StatusCode::UNAUTHORIZED, &headers, None).unwrap()
                == possession::Step::Done(()),
            "{field}"
        );

        session.discard_token();
        always(&server, Endpoint::Token, response());
        let before = token_requests(&server).len();
        assert!(session.access_token().is_err(), "{field}");
        assert_eq!(token_requests(&server).len(), before + 1, "{field}");
        nothing_twice(&server);
    }
    let server = start();
    let session = default_session(&server);
    session.access_token().unwrap();
    always(&server, Endpoint::Resource, Quirk::ChallengeForm(ChallengeForm::InsideBearer));
    assert_eq!((get(&session, &server), calls(&server).len()), (401, 1));
}

/// At a token endpoint only the scheme DPoP can ask for a nonce, and only `error` names an error.
#[test]
fn c_43_a_challenge_of_another_scheme_is_none_at_a_token_endpoint() {
    for field in [
        r#"Basic realm="use_dpop_nonce""#,
        r#"Basic realm="DPoP error=\"use_dpop_nonce\"""#,
        r#"Bearer realm="a, DPoP error=use_dpop_nonce""#,
        "Bearer",
        "",
    ] {
        let server = without_nonces();
        let session = default_session(&server);
        let refusal = respond(401, &[("www-authenticate", field), ("dpop-nonce", "n")], "");
        always(&server, Endpoint::Token, refusal);
        assert!(session.access_token().is_err(), "{field}");
        assert_eq!(token_requests(&server).len(), 1, "{field}");
    }
}

/// A DPoP challenge that names no error, with a nonce: there is nothing else to try. At both endpoints, and
/// with the status 400 too.
#[test]
fn a_bare_dpop_challenge_with_a_new_nonce_leads_to_one_retry() {
    for field in [
        "DPoP",
        r#"DPoP algs="ES256 EdDSA Ed25519""#,
        r#"DPoP realm="use_dpop_nonce""#,
        r#"DPoP xerror="invalid_token""#,
        "DPoP use_dpop_nonce",
        "Bearer, DPoP",
    ] {
        for (status, at) in BOTH.into_iter().flat_map(|at| [(400, at), (401, at)]) {
            let refusal = |nonce| respond(status, &[("www-authenticate", field), ("dpop-nonce", nonce)], "");
            let server = without_nonces();
            let session = default_session(&server);
            once(&server, at, refusal("n-1"));
            assert_eq!(get(&session, &server), 200, "{status} {field}");
            assert_eq!(nonces(&server.received_at(at)), some(&[None, Some("n-1")]), "{status} {field}");
            assert_eq!(server.counts().tokens, 1, "{status} {field}");
            // The nonce that was just sent is no reason for a retry.
            always(&server, at, refusal("n-1"));
            session.discard_token();
            server.clear_received();
            let outcome = session.get(&server.resource("/")).map(|response| response.status().as_u16());
            // A resource's 401 may be about the token as well.
            let expected = if (status, at) == (401, Endpoint::Resource) { 2 } else { 1 };
            assert_eq!(server.received_at(at).len(), expected, "{status} {field} {outcome:?}");
        }
    }
}

/// Deployed servers leave the commas between parameters out. The rest of the grammar is as strict as
/// before: no other text becomes a challenge by this.
#[test]
fn q_35_parameters_without_commas_between_them_are_read() {
    for field in [
        r#"DPoP error="use_dpop_nonce" error_description="a nonce is required" algs="ES256 EdDSA""#,
        r#"DPoP algs="ES256" error="use_dpop_nonce""#,
        "DPoP realm=x error=use_dpop_nonce",
        "DPoP realm = x\terror = use_dpop_nonce",
        r#"Bearer realm="Starburst-OAuth-Client" scope="x", DPoP realm="x" error="use_dpop_nonce""#,
        r#"DPoP realm="x" error="use_dpop_nonce", Bearer realm="x" scope="y""#,
        r#"DPoP realm="a=b c=d, e" error="use_dpop_nonce" , algs="ES256""#,
    ] {
        for at in BOTH {
            let server = without_nonces();
            let refusal = respond(401, &[("www-authenticate", field), ("dpop-nonce", "n-1")], "");
            once(&server, at, refusal);
            assert_eq!(get(&default_session(&server), &server), 200, "{field}");
            assert_eq!(nonces(&server.received_at(at)), some(&[None, Some("n-1")]), "{field}");
            assert_eq!(server.counts().tokens, 1, "{field}");
        }
        let challenges = Challenge::parse(field.as_bytes()).unwrap();
        let dpop: Vec<_> = challenges.iter().filter(|challenge| challenge.scheme() == "dpop").collect();
        assert_eq!((dpop.len(), dpop[0].param("error")), (1, Some("use_dpop_nonce")), "{field}");
    }
    let read = Challenge::parse(br#"DPoP a="1" b=2 c = "3", d=4, Bearer e=5 f=6"#).unwrap();
    let params = |number: usize| {
        let params = read[number].params().iter();
        params.map(|(name, value)| format!("{name}{value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!([params(0), params(1)], ["a1 b2 c3 d4", "e5 f6"]);
    for (field, error) in [
        (r#"DPoP a="1" Bearer b="2""#, ChallengeError::MissingComma),
        (r#"DPoP a="1" Bearer"#, ChallengeError::MissingComma),
        (r#"DPoP a="1"b="2""#, ChallengeError::MissingComma),
        (r#"DPoP a="1"; b="2""#, ChallengeError::MissingComma),
        ("DPoP algs=ES256 PS256", ChallengeError::MissingComma),
        ("DPoP\terror=x", ChallengeError::MissingComma),
        ("Negotiate YQ== a=1", ChallengeError::MissingToken),
        ("DPoP a=1 a=2", ChallengeError::DuplicateParameter),
        ("DPoP a=1 b=", ChallengeError::MissingToken),
    ] {
        assert_eq!(Challenge::parse(field.as_bytes()), Err(error), "{field}");
    }
}

/// No token is read from such a body (C-25), only the challenge, at both endpoints.
#[test]
fn q_34_a_challenge_in_json_of_another_media_type_is_recognized() {
    let types = ["text/html; charset=utf-8", "text/javascript", "application/octet-stream", "TEXT/HTML"];
    for (content_type, status) in types.into_iter().flat_map(|name| [(name, 400), (name, 401)]) {
        for (at, bom) in BOTH.into_iter().flat_map(|at| [(at, ""), (at, "\u{feff}")]) {
            for code in ["use_dpop_nonce", "invalid_dpop_proof"] {
                let server = without_nonces();
                let body = format!(r#"{bom}{{"error":"{code}"}}"#);
                let headers = [("content-type", content_type), ("dpop-nonce", "n-1")];
                once(&server, at, respond(status, &headers, body));
                assert_eq!(get(&default_session(&server), &server), 200, "{content_type} {status}");
                assert_eq!(nonces(&server.received_at(at)), some(&[None, Some("n-1")]), "{content_type}");
                assert_eq!(server.counts().tokens, 1, "{content_type} {status}");
            }
        }
    }
}

/// One challenge in every spelling that RFC 9110 §5.6.1, §11.2 and §11.6.1 allow, in one field line and in
/// several, at both endpoints.
#[test]
fn c_44_a_challenge_is_found_in_every_spelling_and_among_other_challenges() {
    let spellings: [&[&str]; 15] = [
        &[r#"DPoP error="use_dpop_nonce""#],
        &[r#"dpop ERROR="use_dpop_nonce""#],
        &[r#"DPOP Error=use_dpop_nonce"#],
        &["DPoP error =\t\"use_dpop_nonce\""],
        &["DPoP    error \t =  use_dpop_nonce  "],
        &[r#", ,, DPoP error="use_dpop_nonce",, ,"#],
        &[r#"DPoP error="use\_dpop\_nonce""#], // a quoted-pair (RFC 9110 §5.6.4)
        &[r#"DPoP algs="ES256 PS256", realm="a, b=\"c\"", error="use_dpop_nonce""#],
        &[r#"Negotiate YWJj==, DPoP error="use_dpop_nonce""#],
        &[r#"DPoP error="use_dpop_nonce", Negotiate YWJj=="#],
        &[r#"Bearer, DPoP error="use_dpop_nonce", Basic realm="x""#],
        &[r#"Bearer error="invalid_request", DPoP error="use_dpop_nonce""#],
        &["Bearer", r#"DPoP error="use_dpop_nonce""#],
        &["Basic realm=\"has no end", r#"DPoP error="use_dpop_nonce""#, "=="],
        &[r#"DPoP algs="ES256 EdDSA""#, r#"DPoP error="use_dpop_nonce""#],
    ];
    for fields in spellings {
        let mut headers: Vec<_> = fields.iter().map(|field| ("www-authenticate", *field)).collect();
        headers.push(("dpop-nonce", "n-1"));
        let server = without_nonces();
        let session = default_session(&server);
        for at in [Endpoint::Token, Endpoint::Resource] {
            once(&server, at, respond(401, &headers, ""));
        }
        assert_eq!(get(&session, &server), 200, "{fields:?}");
        for requests in [token_requests(&server), calls(&server)] {
            let nonces: Vec<_> =
                proofs(&requests).iter().map(|proof| proof.claims.get("nonce").cloned()).collect();
            assert_eq!(nonces, [None, Some("n-1".into())], "{fields:?}");
        }
        nothing_twice(&server);
    }
}

/// A hostile field costs no more than a field without meaning: one retry with the nonce, and one with another
/// token. Its text is truncated before it is shown. The parser also gets a field thirty times longer than a
/// head can be: in quadratic time (10^12 steps) the test would not end.
#[test]
fn c_45_hostile_fields_cost_no_more_than_absent_ones_and_are_read_in_linear_time() {
    for (start, piece) in [
        ("", "="),
        ("", "\u{a0}"),
        ("", "\\\""),
        ("", "\""),
        ("", "a,"),
        ("", "a b,"),
        ("", ", "),
        ("", " \t"),
        ("", "DPoP "),
        ("", "DPoP a=b,"),
        ("", "DPoP a==,"),
        ("", "DPoP a=\"b\\\"\","),
        ("DPoP ", "="),
        ("DPoP ", "a"),
        ("DPoP ", "a="),
        ("DPoP ", "a "),
        ("DPoP ", "\u{a0}"),
        ("DPoP error", " "),
        ("DPoP error=\"", "\\\\"),
        ("DPoP error=\"", "\\\""),
        ("DPoP error=\"", "\u{a0}"),
        ("DPoP error=\"use_dpop_nonce", " "),
        ("DPoP error=", "="),
        ("DPoP a=b ", "c "),
        ("DPoP a=b ", "c=d "),
        ("DPoP a=b ", "cccc"),
        ("DPoP a=b c", " "),
    ] {
        let of = |bytes: usize| start.to_owned() + &piece.repeat(bytes / piece.len());
        let _ = Challenge::parse(of(1 << 20).as_bytes());
        let server = without_nonces();
        let session = default_session(&server);
        session.access_token().unwrap();
        let misbehave = |at| {
            always(&server, at, respond(401, &[("dpop-nonce", "n")], ""));
            // Values that the http crate would refuse.
            always(&server, at, header("www-authenticate", &of(30_000)));
        };
        misbehave(Endpoint::Resource);
        assert_eq!(get(&session, &server), 401, "{start} {piece:?}");
        assert!((1..=3).contains(&calls(&server).len()), "{start} {piece:?}");
        misbehave(Endpoint::Token);
        session.discard_token();
        let before = token_requests(&server).len();
        let error = session.access_token().unwrap_err();
        let sent = token_requests(&server).len() - before;
        assert!(error.status() == Some(401) && sent <= 2, "{start} {piece:?} {sent}");
        let shown = error.to_string();
        assert!(shown.len() < 2_000 && shown.is_ascii(), "{start} {piece:?}: {} bytes", shown.len());
    }
}

/// RFC 9728 §5.1 lets a challenge name metadata. A client that fetches them sends requests to a URL that an
/// attacker chose.
#[test]
fn c_46_no_url_of_a_challenge_is_fetched() {
    let trap = Trap::set();
    for url in ["http://169.254.169.254/latest/meta-data", &trap.origin(), "file:///etc/passwd"] {
        let server = start();
        let (transport, urls) = watched();
        let origins = [server.resource_origin()];
        let session = server.session().transport(transport).resource_origins(origins).discover().unwrap();
        let field = format!(
            r#"DPoP error="invalid_token", resource_metadata="{url}", error_uri="{url}", authorization_uri="{url}""#
        );
        let link = format!("<{url}>; rel=\"oauth2-metadata\"");
        let headers =
            [("www-authenticate", &*field), ("link", &link), ("location", url), ("content-location", url)];
        always(&server, Endpoint::Resource, respond(401, &headers, ""));
        assert_eq!(get(&session, &server), 401);
        session.agent().unwrap().get(server.resource("/")).call().unwrap_err();
        let body = format!(r#"{{"error":"invalid_client","error_uri":"{url}"}}"#);
        always(&server, Endpoint::Token, respond(401, &[JSON, headers[0], headers[1]], body));
        session.discard_token();
        assert_eq!(session.access_token().unwrap_err().status(), Some(401));
        let urls = urls.lock().unwrap();
        let own =
            |url: &String| [server.issuer(), server.resource_origin()].iter().any(|own| url.starts_with(own));
        assert!(urls.len() >= 5 && urls.iter().all(own), "{urls:?}");
    }
    assert!(trap.untouched());
}

#[test]
fn q_01_q_02_q_03_both_servers_may_challenge_in_every_form() {
    for form in FORMS {
        let server = start();
        for at in BOTH {
            always(&server, at, Quirk::ChallengeForm(form));
        }
        let session = default_session(&server);
        assert_eq!(get(&session, &server), 200, "{form:?}");
        let refused =
            if form == ChallengeForm::Json || form == ChallengeForm::HeaderWith400 { 400 } else { 401 };
        for at in BOTH {
            assert_eq!(statuses(&server.received_at(at)), [refused, 200], "{form:?}");
            assert!(matches!(&*nonces(&server.received_at(at)), [None, Some(_)]));
        }
        // The nonce is known from now on.
        assert_eq!(get(&session, &server), 200);
        assert_eq!(server.counts().challenges, 2, "{form:?}");
        nothing_twice(&server);
    }
}

/// Under `Bearer` it is no challenge of DPoP, so there is no retry. The nonce is kept, and the next call has
/// it.
#[test]
fn q_02_an_error_under_bearer_leads_to_no_retry_and_its_nonce_is_kept() {
    let server = start();
    once(&server, Endpoint::Resource, Quirk::ChallengeForm(ChallengeForm::InsideBearer));
    let session = default_session(&server);
    assert_eq!(get(&session, &server), 401);
    assert_eq!(get(&session, &server), 200);
    assert!(matches!(&*nonces(&calls(&server)), [None, Some(_)]));
}

/// It is a 401 that names no error: where it brings no new nonce, another token is tried.
#[test]
fn q_04_the_error_code_inside_another_value_is_no_challenge() {
    let server = start();
    always(&server, Endpoint::Resource, Quirk::ChallengeForm(ChallengeForm::InsideRealm));
    always(&server, Endpoint::Resource, Quirk::WithoutNonce);
    assert_eq!(get(&default_session(&server), &server), 401);
    assert_eq!(nonces(&calls(&server)), [None, None]);
    assert_eq!(server.counts().tokens, 2);
}

#[test]
fn q_26_a_challenge_on_a_success_is_no_refusal() {
    let server = start();
    for at in BOTH {
        for value in
            ["Bearer realm=\"kong\"", "DPoP error=\"use_dpop_nonce\"", "DPoP error=\"invalid_token\""]
        {
            always(
                &server,
                at,
                Quirk::Header { name: "www-authenticate".to_owned(), value: value.to_owned() },
            );
        }
    }
    let session = default_session(&server);
    for _ in 0..2 {
        assert_eq!(get(&session, &server), 200);
    }
    assert_eq!(server.counts().tokens, 1);
}

#[test]
fn a_refusal_that_is_no_challenge_reaches_the_caller_whole() {
    let nonce = ("dpop-nonce", "n-1");
    let long = format!(r#"{{"error":"use_dpop_nonce","filler":"{}"}}"#, "x".repeat(200_000));
    let cases = [
        (401, vec![JSON, nonce], r#"{"error":"insufficient_scope"}"#),
        (401, vec![("content-type", "text/html"), nonce], r#"{"error":"insufficient_scope"}"#),
        (400, vec![JSON, nonce], r#"{"problem":"order has no items"}"#),
        (400, vec![nonce], "not JSON at all"),
        (400, vec![JSON, nonce], &*long), // longer than any challenge
        (400, vec![("content-type", "image/png"), nonce], r#"{"error":"use_dpop_nonce"}"#),
        (403, vec![JSON, nonce], r#"{"error":"use_dpop_nonce"}"#),
        (400, vec![JSON], r#"{"error":"use_dpop_nonce"}"#),
        (
            401,
            vec![JSON, nonce, ("www-authenticate", "DPoP error=insufficient_scope")],
            r#"{"error":"use_dpop_nonce"}"#,
        ),
        (500, vec![JSON, nonce], ""),
    ];
    for (status, headers, body) in cases {
        let (tokens, peer) = (token_server(""), Peer::scripted([http(status, &headers, body)]));
        let mut response = peer_session(&tokens).post(&peer.url("/"), "text/plain", "x").unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.body_mut().read_to_string().unwrap(), body, "{headers:?}");
        assert_eq!(peer.seen().len(), 1, "{body}");
    }
}
