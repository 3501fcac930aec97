//! The rows of the threat catalogue about challenges, proofs, client authentication, discovery and state
//! (C-42 … C-75), each taken at its word against the test server: what was on the wire, and what the caller
//! got, in all the spellings, ways and places that a row names. The rows before are in `bad_day.rs` and
//! `bad_day_wire.rs`, C-71 in `bad_day_log.rs`.
#![cfg(feature = "ureq")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: what fails here fails a test"
)]

mod common;

use std::collections::HashSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use common::server::{SECOND, always, calls, get, nothing_twice, once, respond, start, token_requests, with};
use common::{JSON, Trap};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use possession::testing::{ChallengeForm, Endpoint, ManualClock, Nonces, Quirk, Received, TestServer, When};
use possession::ureq::middleware::MiddlewareNext;
use possession::*;
use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Long enough for a loaded machine, short enough to wait for.
const SHORT: Duration = Duration::from_millis(400);
/// What has not ended by then hangs.
const HANGS: Duration = Duration::from_secs(20);

fn without_nonces() -> TestServer {
    with(|server| server.nonces(Nonces::Off))
}

fn session(server: &TestServer) -> Session {
    server.session().discover().unwrap()
}

fn key(algorithm: Algorithm) -> KeyPair {
    KeyPair::generate(algorithm).unwrap()
}

fn header(name: &str, value: &str) -> Quirk {
    Quirk::Header { name: name.to_owned(), value: value.to_owned() }
}

/// What the test server says of the token and the key that a call came with.
fn echoed(session: &Session, server: &TestServer) -> Value {
    let mut response = session.get(&server.resource("/orders")).unwrap();
    assert_eq!(response.status(), 200);
    serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
}

fn proofs(received: &[Received]) -> Vec<possession::testing::DecodedJwt> {
    received.iter().filter_map(Received::proof).collect()
}

fn token_of(call: &Received) -> String {
    let [field] = call.header_values("authorization")[..] else { panic!("one Authorization field") };
    field.strip_prefix("DPoP ").unwrap().to_owned()
}

fn jkt_of(call: &Received) -> String {
    rfc7638(&call.proof().unwrap().header["jwk"])
}

fn decoded(text: &str) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(text).unwrap()
}

/// RFC 7638 §3, RFC 8037 §2, by hand: the required members in lexicographic order, without white space.
fn rfc7638(jwk: &Value) -> String {
    let members: &[&str] = match jwk["kty"].as_str().unwrap() {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        other => panic!("{other}"),
    };
    let members: Vec<_> = members.iter().map(|name| format!("\"{name}\":{}", jwk[*name])).collect();
    Base64UrlUnpadded::encode_string(&Sha256::digest(format!("{{{}}}", members.join(","))))
}

/// A signer of somebody else's: what it signs with is up to it.
struct Foreign<F>(Algorithm, PublicKey, F);

impl<F: Fn(&[u8]) -> Vec<u8> + Send + Sync> Signer for Foreign<F> {
    fn algorithm(&self) -> Algorithm {
        self.0
    }

    fn public_key(&self) -> &PublicKey {
        &self.1
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.2(message))
    }
}

/// Metadata by hand, where the test server's own would say something else.
fn by_hand(server: &TestServer) -> AuthorizationServerBuilder {
    AuthorizationServer::builder(server.issuer())
        .token_endpoint(format!("{}/token", server.issuer()))
        .dangerous_allow_http_on_loopback()
}

// ---- WWW-Authenticate

/// Every figure of RFC 9449 and the example of RFC 9110, as they stand in the vectors: at the token endpoint
/// the caller gets the challenges by their parts, and at a resource the response, of which only Figure 24 is
/// a question (and Figures 16 and 18 say that the token is refused, which is worth one more).
#[test]
fn c_42_challenges_of_the_rfcs_are_parsed_as_they_are_listed() {
    let vectors = [
        include_str!("../test-vectors/rfc9449-challenge.json"),
        include_str!("../test-vectors/rfc9110-challenge.json"),
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
            // Without a nonce beside it, nothing is asked again at the token endpoint.
            let server = without_nonces();
            always(&server, Endpoint::Token, respond(401, &fields, ""));
            let error = session(&server).access_token().unwrap_err();
            let ErrorKind::Challenge { status: 401, challenges } = error.kind() else {
                panic!("{id} {error}")
            };
            listed(challenges);
            assert_eq!(token_requests(&server).len(), 1, "{id}");

            let server = without_nonces();
            let mut answer = fields.clone();
            answer.push(("dpop-nonce", "n-0S6_WzA2Mj"));
            once(&server, Endpoint::Resource, respond(401, &answer, ""));
            let response = session(&server).get(&server.resource("/")).unwrap();
            let again = matches!(id, "fig-16" | "fig-18" | "fig-24");
            let expected = if again { (200, 2) } else { (401, 1) };
            assert_eq!((response.status().as_u16(), calls(&server).len()), expected, "{id}");
            // Another token for Figures 16 and 18, and the same for Figure 24.
            assert_eq!(server.counts().tokens, if id == "fig-24" || !again { 1 } else { 2 }, "{id}");
            if !again {
                listed(&Challenge::from_headers(response.headers()).unwrap());
            }
            seen.push(id.to_owned());
        }
    }
    assert_eq!(seen, ["fig-15", "fig-16", "fig-17", "fig-18", "fig-19", "fig-24", "11.6.1"]);
}

/// What looks like a question for a nonce and is none: by all three ways to call, at both parts, with a nonce
/// at hand that would answer it.
#[test]
fn c_43_what_only_looks_like_a_challenge_for_a_nonce_is_none() {
    for field in [
        r#"Basic realm="use_dpop_nonce""#,
        r#"Basic realm="DPoP error=\"use_dpop_nonce\"""#,
        r#"Bearer realm="a, DPoP error=use_dpop_nonce""#,
        r#"Bearer error="use_dpop_nonce""#,
        r#"Bearer error="use_dpop_nonce", DPoP algs="ES256 EdDSA Ed25519""#,
        r#"DPoP algs="ES256 EdDSA Ed25519", Bearer error="use_dpop_nonce""#,
        r#"DPoPx error="use_dpop_nonce""#,
        r#"X-DPoP error="use_dpop_nonce""#,
        r#"DPoP realm="use_dpop_nonce""#,
        r#"DPoP error_description="use_dpop_nonce", error="insufficient_scope""#,
        r#"DPoP xerror="use_dpop_nonce""#,
        r#"DPoP error="use_dpop_nonce_x""#,
        r#"DPoP error="USE_DPOP_NONCE""#, // codes are compared exactly (RFC 6749 §5.2)
        r#"DPoP use_dpop_nonce"#,
        r#"DPoP"#,
    ] {
        let answer = || respond(401, &[("www-authenticate", field), ("dpop-nonce", "n")], "");
        let server = without_nonces();
        let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
        let url = server.resource("/");
        session.access_token().unwrap();
        always(&server, Endpoint::Resource, answer());
        assert_eq!(session.get(&url).unwrap().status(), 401, "{field}");
        let error = session.agent().unwrap().get(&url).call().unwrap_err();
        assert!(matches!(error, ureq::Error::StatusCode(401)), "{field} {error}");
        assert_eq!(calls(&server).len(), 2, "{field}");
        // Another HTTP client is told that there is nothing to send.
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
        always(&server, Endpoint::Token, answer());
        let before = token_requests(&server).len();
        assert!(session.access_token().is_err(), "{field}");
        assert_eq!(token_requests(&server).len(), before + 1, "{field}");
        nothing_twice(&server);
    }
    for form in [ChallengeForm::InsideRealm, ChallengeForm::InsideBearer] {
        let server = start();
        let session = session(&server);
        session.access_token().unwrap();
        always(&server, Endpoint::Resource, Quirk::ChallengeForm(form));
        assert_eq!((get(&session, &server), calls(&server).len()), (401, 1), "{form:?}");
    }
}

/// One challenge in every spelling that RFC 9110 §5.6.1, §11.2 and §11.6.1 allow, in one field line and in
/// several, at both parts.
#[test]
fn c_44_a_challenge_is_found_in_every_spelling_and_among_all_neighbours() {
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
        let session = session(&server);
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

/// A hostile field over the wire costs one request, and its text is cut before anybody sees it. That reading
/// is linear, a parser shows that gets thirty times more than a header can hold: it would not end otherwise
/// (10^12 steps).
#[test]
fn c_45_hostile_fields_cost_one_request_and_are_read_in_linear_time() {
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
    ] {
        let of = |bytes: usize| start.to_owned() + &piece.repeat(bytes / piece.len());
        let _ = Challenge::parse(of(1 << 20).as_bytes());
        let server = without_nonces();
        let session = session(&server);
        session.access_token().unwrap();
        for at in [Endpoint::Token, Endpoint::Resource] {
            always(&server, at, respond(401, &[("dpop-nonce", "n")], ""));
            // What the http crate would not take.
            always(&server, at, header("www-authenticate", &of(30_000)));
        }
        assert_eq!((get(&session, &server), calls(&server).len()), (401, 1), "{start} {piece:?}");
        session.discard_token();
        let before = token_requests(&server).len();
        let error = session.access_token().unwrap_err();
        let sent = token_requests(&server).len() - before;
        assert_eq!((error.status(), sent), (Some(401), 1), "{start} {piece:?}");
        let shown = error.to_string();
        assert!(shown.len() < 2_000 && shown.is_ascii(), "{start} {piece:?}: {} bytes", shown.len());
    }
}

/// A list of all URLs that a transport sends to, and the transport.
fn watched() -> (Transport, Arc<Mutex<Vec<String>>>) {
    let urls = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&urls);
    let watch = move |request: Request<ureq::SendBody>, next: MiddlewareNext| {
        seen.lock().unwrap().push(request.uri().to_string());
        next.handle(request)
    };
    let agent = ureq::Agent::config_builder().middleware(watch).proxy(None).build().new_agent();
    (Transport::from_agent(agent), urls)
}

/// RFC 9728 §5.1 lets a challenge name metadata: whoever follows it sends requests where an attacker wants
/// them.
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

// ---- What proofs say

/// However a key was given, the header has the required members of its public half and nothing else.
#[test]
fn c_47_no_member_of_a_key_but_the_required_ones_leaves() {
    let extra = r#"{"kid":"k","use":"sig","key_ops":["sign"],"x5c":["AA"],"x5t":"AA","iat":1,"ext":true,"p":"AA","q":"AA","dp":"AA","dq":"AA","qi":"AA","oth":[],"k":"AA","#;
    let forms = |algorithm: Algorithm| -> Vec<Box<dyn Signer>> {
        let key = key(algorithm);
        let jwk = key.to_jwk().replacen('{', extra, 1);
        let forms = [
            KeyPair::from_pkcs8_pem(&key.to_pkcs8_pem().unwrap()),
            KeyPair::from_pkcs8_der(&key.to_pkcs8_der().unwrap()),
            KeyPair::from_jwk(&jwk),
        ];
        forms.into_iter().map(|key| Box::new(key.unwrap()) as _).collect()
    };
    let rsa: Value = serde_json::from_str(include_str!("../test-vectors/rfc7638-thumbprint.json")).unwrap();
    let rsa = PublicKey::from_jwk(&rsa["cases"][0]["jwk"].to_string()).unwrap();
    let rsa: Box<dyn Signer> = Box::new(Foreign(Algorithm::Rs256, rsa, |_: &[u8]| vec![1; 256]));
    let cases = [
        (forms(Algorithm::Es256), ["crv", "kty", "x", "y"].as_slice()),
        (forms(Algorithm::Ed25519), &["crv", "kty", "x"]),
        (vec![rsa], &["e", "kty", "n"]),
    ];
    for (signers, members) in cases {
        for signer in signers {
            let server = start();
            // The test server does not check RSA: that one is refused, and seen all the same.
            let checked = signer.algorithm() != Algorithm::Rs256;
            let metadata = by_hand(&server).build().unwrap();
            let session = server.session().key(Arc::<dyn Signer>::from(signer)).server(metadata).unwrap();
            let called = session.get(&server.resource("/"));
            assert_eq!(called.is_ok_and(|response| response.status() == 200), checked);
            let proofs = proofs(&server.received());
            assert!(!proofs.is_empty());
            for proof in proofs {
                let mut names: Vec<_> = proof.header["jwk"].as_object().unwrap().keys().collect();
                names.sort();
                assert_eq!(names, members);
                let mut names: Vec<_> = proof.header.as_object().unwrap().keys().collect();
                names.sort();
                assert_eq!(names, ["alg", "jwk", "typ"], "no kid, no x5c");
                for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                    assert!(!proof.header.to_string().contains(&format!("\"{private}\":")), "{private}");
                }
            }
        }
    }
}

/// `htu` and `htm` are compared with what came over the wire: the target and `Host` that the server read, and
/// its method.
#[test]
fn c_48_htu_and_htm_are_what_the_server_received_or_nothing_is_sent() {
    let server = start();
    let session = session(&server);
    let origin = server.resource_origin().to_owned();
    let port = origin.rsplit(':').next().unwrap();
    assert_eq!(get(&session, &server), 200);
    let sent = "/ /a/ /a//b //a /a;p=1;q /%7Euser /~user /caf%C3%A9 /caf%c3%a9 /a%20b /a%2Fb /%40 /@ /:80 /a!$&'()*+,= \
                /... /.a /a?b=/../c /a?x=%2e%2e /? /a?b#c /a#/../b";
    let refused = "/. /.. /a/../b /a/./b /%2e%2e/a /a/%2E%2e /a/.%2e/b /a\\b \\a /é /a% /a%2 /a%zz /a[b] /a\"b /a<b> /a^b \
                   /a\u{0} /a\u{7f} @evil.example/";
    let refused = refused.split(' ').chain(["/a b", "/a\tb", "/a\nb", "/a\r\nx: y"]);
    let sent = sent.split(' ').chain([""]);
    for (asked, fine) in sent.map(|path| (path, true)).chain(refused.map(|path| (path, false))) {
        server.clear_received();
        match session.get(&format!("{origin}{asked}")) {
            Ok(response) => {
                assert!(fine && response.status() == 200, "{asked:?}");
                let calls = calls(&server);
                let [call] = &calls[..] else { panic!("{asked:?}: {} calls", calls.len()) };
                let proof = call.proof().unwrap();
                let path = call.target.split('?').next().unwrap();
                assert_eq!(proof.claims["htu"], format!("http://{}{path}", call.header_values("host")[0]));
                // And what was sent is what was asked for, the fragment left out.
                let asked = asked.split('#').next().unwrap();
                assert_eq!(call.target, if asked.is_empty() { "/" } else { asked });
            }
            Err(error) => {
                assert!(!fine && *error.kind() == ErrorKind::Url, "{asked:?} {error}");
                assert!(server.received().is_empty(), "{asked:?}");
            }
        }
    }
    // Methods are case-sensitive (RFC 9110 §9.1), and any is one.
    for method in "GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND M-SEARCH get Post".split(' ') {
        server.clear_received();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = Request::builder().method(&method).uri(server.resource("/")).body(()).unwrap();
        assert_eq!(session.run(request).unwrap().status(), 200, "{method}");
        let call = calls(&server).pop().unwrap();
        assert_eq!((&call.method, &call.proof().unwrap().claims["htm"]), (&method, &method.as_str().into()));
    }
    // Host in capitals, a name for the address: the proof says what `Host` said, case aside (RFC 3986
    // §3.2.2).
    let name = format!("http://localhost:{port}");
    always(&server, Endpoint::Resource, Quirk::HtuOrigin(name.clone()));
    for spelled in [format!("http://LOCALHOST:{port}/"), format!("HTTP://LocalHost:{port}/")] {
        server.clear_received();
        assert_eq!(session.get(&spelled).unwrap().status(), 200);
        let call = calls(&server).pop().unwrap();
        assert_eq!(call.proof().unwrap().claims["htu"], format!("{name}/"));
        assert!(call.header_values("host")[0].eq_ignore_ascii_case(&format!("localhost:{port}")));
    }
}

/// Hosts that the test server cannot have: another HTTP client is given the head, and what `htu` must say
/// follows from RFC 3986 §6.2.2.1 and §6.2.3, since servers see the host without its case and a default port
/// not at all.
#[test]
fn c_48_htu_names_the_host_as_servers_see_it_or_the_url_is_refused() {
    let server = start();
    let session = session(&server);
    let cases = [
        ("https://api.example.com/a", Some("https://api.example.com/a")),
        ("https://API.Example.COM/A", Some("https://api.example.com/A")),
        ("HTTPS://api.example.com", Some("https://api.example.com/")),
        ("https://api.example.com:443/a", Some("https://api.example.com/a")),
        ("https://api.example.com:80/a", Some("https://api.example.com:80/a")),
        ("https://api.example.com:8443/a?b", Some("https://api.example.com:8443/a")),
        ("http://127.0.0.1:80/a", Some("http://127.0.0.1/a")),
        ("http://127.0.0.1:443/a", Some("http://127.0.0.1:443/a")),
        ("https://[2001:db8::1]/a", Some("https://[2001:db8::1]/a")),
        ("https://[2001:DB8::1]:443/a", Some("https://[2001:db8::1]/a")),
        ("http://[::1]:8080/a", Some("http://[::1]:8080/a")),
        ("https://xn--bcher-kva.example/a", Some("https://xn--bcher-kva.example/a")),
        ("https://bücher.example/a", None),
        ("https://b%C3%BCcher.example/a", None),
        ("https://ａpi.example/a", None), // full-width, which WHATWG makes an `a` of
        ("https://api。example/a", None),
        ("https://0x7f.1/a", None),
        ("https://2130706433/a", None),
        ("https://127.1/a", None),
        ("https://api.example.com:0443/a", None),
        ("https://api.example.com:65536/a", None),
        ("https://api_example\\.com/a", None),
        ("https:/api.example.com/a", None),
        ("https:api.example.com/a", None),
        ("https:///api.example.com/a", None),
        ("https://u@api.example.com/a", None),
        (" https://api.example.com/a", None),
        ("http://api.example.com/a", None),
    ];
    for (url, htu) in cases {
        let Ok(uri) = url.parse::<http::Uri>() else {
            // No request of the `http` crate can have it, and by its text it is refused before anything is
            // sent.
            assert!(htu.is_none(), "{url}");
            assert_eq!(*session.get(url).unwrap_err().kind(), ErrorKind::Url, "{url}");
            continue;
        };
        let (mut parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
        match session.authorize(&mut parts) {
            Ok(()) => {
                let proof = common::Jwt::decode(parts.headers["dpop"].to_str().unwrap());
                assert_eq!(Some(&*proof.text("htu")), htu, "{url}");
            }
            Err(error) => {
                assert!(htu.is_none() && *error.kind() == ErrorKind::Url, "{url} {error}");
                assert_eq!(*session.get(url).unwrap_err().kind(), ErrorKind::Url, "{url}");
            }
        }
    }
    assert!(calls(&server).is_empty());
}

/// Threads and processes that start together, over one wire: no `jti` twice, and at least 96 of their bits
/// are chance. (A million are too many for a wire and tests; `proofs.rs` makes many without one. Forking
/// needs unsafe code: the processes here are started, and nothing is kept between two `jti` that a fork could
/// copy.)
#[test]
fn c_49_processes_and_threads_that_start_together_share_no_jti() {
    const NAME: &str = "c_49_processes_and_threads_that_start_together_share_no_jti";
    const EACH: usize = 40;
    if let Ok(told) = std::env::var("C_49_CHILD") {
        let [issuer, url, id, secret] = told.split(' ').collect::<Vec<_>>()[..] else { panic!("{told}") };
        let builder =
            Session::builder(issuer, id).auth(ClientAuth::client_secret_jwt(secret, HmacAlgorithm::Hs256));
        let session = builder.dangerous_allow_http_on_loopback().discover().unwrap();
        (0..EACH).for_each(|_| assert_eq!(session.get(url).unwrap().status(), 200));
        return;
    }
    let server = start();
    let told = [server.issuer(), &server.resource("/"), server.client_id(), server.client_secret()].join(" ");
    let child = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", NAME])
            .env("C_49_CHILD", &told)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children = [(); 4].map(|()| child());
    let (session, barrier) = (session(&server), Barrier::new(16));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                barrier.wait();
                (0..EACH).for_each(|_| assert_eq!(get(&session, &server), 200));
            });
        }
    });
    for child in children {
        let output = child.wait_with_output().unwrap();
        let output = String::from_utf8_lossy(&output.stdout);
        assert!(output.contains("1 passed"), "{output}");
    }
    let received = server.received();
    let jwts = received.iter().flat_map(|one| [one.proof(), one.assertion()]).flatten();
    let jtis: Vec<String> = jwts.map(|jwt| jwt.claims["jti"].as_str().unwrap().to_owned()).collect();
    assert!(jtis.len() >= 20 * EACH);
    assert_eq!(jtis.iter().collect::<HashSet<_>>().len(), jtis.len());
    nothing_twice(&server);
    // A bit of chance is set in half of them; 800 of them are within 15 % of that by more than eight standard
    // deviations.
    let mut set = [0_usize; 128];
    for jti in &jtis {
        let number = u128::from_str_radix(&jti.replace('-', ""), 16).unwrap();
        set.iter_mut().enumerate().for_each(|(bit, count)| *count += usize::from(number >> bit & 1 == 1));
    }
    let chance = set.iter().filter(|count| (35..=65).contains(&(**count * 100 / jtis.len()))).count();
    assert!(chance >= 96, "{chance} bits");
}

/// The keys 1, 2, 3 …, until each of the three coordinates begins with a zero byte: about one in 256 does.
#[test]
fn c_50_coordinates_that_begin_with_zero_are_32_octets_on_the_wire() {
    // RFC 5958 without a public key: RFC 5915 §3 for P-256, RFC 8410 §7 for Ed25519.
    let ec = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420";
    let ed = "302e020100300506032b657004220420";
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
    };
    for (prefix, coordinate) in [(ec, "x"), (ec, "y"), (ed, "x")] {
        let member = |key: &KeyPair| -> Vec<u8> {
            let jwk: Value = serde_json::from_str(key.to_public().to_jwk()).unwrap();
            decoded(jwk[coordinate].as_str().unwrap())
        };
        let numbered = |number: u16| {
            let mut der = bytes(prefix);
            der.extend([0; 30]);
            der.extend(number.to_be_bytes());
            KeyPair::from_pkcs8_der(&der).unwrap()
        };
        let key = (1..u16::MAX).map(numbered).find(|key| member(key)[0] == 0).unwrap();
        // By way of each form that a key is kept in.
        let forms = [
            KeyPair::from_jwk(&key.to_jwk()).unwrap(),
            KeyPair::from_pkcs8_pem(&key.to_pkcs8_pem().unwrap()).unwrap(),
            key,
        ];
        for key in forms {
            let server = start();
            let session = server.session().key(key).discover().unwrap();
            let jkt = session.prover().thumbprint().to_string();
            assert_eq!(echoed(&session, &server)["jkt"], jkt);
            for proof in proofs(&server.received()) {
                let jwk = &proof.header["jwk"];
                let bytes = decoded(jwk[coordinate].as_str().unwrap());
                assert_eq!((bytes.len(), bytes[0]), (32, 0));
                assert_eq!(rfc7638(jwk), jkt, "the thumbprint is of the bytes with their zero");
            }
        }
    }
}

/// What was on the wire is what the same key makes of the same bytes again (RFC 6979 §3.2, RFC 8032 §5.1.6),
/// proofs and assertions; but ring mixes randomness into ES256, and then it is another that holds as well.
#[test]
fn c_51_signatures_on_the_wire_are_64_octets_that_come_again() {
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let [proving, client] = [(); 2].map(|()| Arc::new(key(algorithm)));
        let server = with(|server| server.client_public_key(client.to_public()));
        let auth = ClientAuth::private_key_jwt(Arc::clone(&client));
        let session = server.session().auth(auth).key(Arc::clone(&proving)).discover().unwrap();
        assert_eq!(get(&session, &server), 200);
        let received = server.received();
        let proofs = received
            .iter()
            .flat_map(|one| one.header_values("dpop"))
            .map(|proof| (proof.to_owned(), &proving));
        let assertions =
            received.iter().filter_map(|one| one.form_field("client_assertion")).map(|jwt| (jwt, &client));
        let jwts: Vec<_> = proofs.chain(assertions).collect();
        assert_eq!(jwts.len(), 6, "two of each part, and an assertion with each token request");
        for (jwt, key) in jwts {
            let (signed, signature) = jwt.rsplit_once('.').unwrap();
            let signature = decoded(signature);
            assert_eq!(signature.len(), 64, "raw, not DER");
            let again = key.sign(signed.as_bytes()).unwrap();
            match algorithm == Algorithm::Ed25519 || !cfg!(feature = "ring") {
                true => assert_eq!(again, signature),
                false => assert_ne!(again, signature),
            }
            let public = key.public_key();
            for signature in [signature, again] {
                assert_eq!(public.verify(algorithm, signed.as_bytes(), &signature), Ok(()));
            }
        }
    }
}

/// The thumbprints that RFC 7638, RFC 8037 and RFC 9449 print, of their keys with members in another order
/// and more of them: so the session calls its key, and so does whoever takes the thumbprint of the `jwk` on
/// the wire.
#[test]
fn c_52_thumbprints_are_those_of_the_rfcs() {
    let vectors = [
        (include_str!("../test-vectors/rfc7638-thumbprint.json"), Algorithm::Rs256),
        (include_str!("../test-vectors/rfc8037-thumbprint.json"), Algorithm::Ed25519),
        (include_str!("../test-vectors/rfc9449-thumbprint.json"), Algorithm::Es256),
    ];
    for (vectors, algorithm) in vectors {
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        let case = &vectors["cases"][0];
        let mut members: Vec<_> = case["jwk"].as_object().unwrap().iter().collect();
        members.sort_by(|(a, _), (b, _)| b.cmp(a));
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
        let more = format!("{{ \"zz\":[1], {}, \"a\":null, \"use\":\"sig\" }}", members.join(" , "));
        for jwk in [case["jwk"].to_string(), more] {
            let public = PublicKey::from_jwk(&jwk).unwrap();
            let jkt = case["jkt"].as_str().unwrap();
            assert_eq!(Thumbprint::from_jwk(&jwk).unwrap().to_string(), jkt);
            // Nobody here has the private half: the server refuses, and sees the key.
            let signer = Foreign(algorithm, public, move |_: &[u8]| {
                vec![1; if algorithm == Algorithm::Rs256 { 256 } else { 64 }]
            });
            let server = start();
            let session = server.session().key(signer).server(by_hand(&server).build().unwrap()).unwrap();
            assert_eq!(session.prover().thumbprint().to_string(), jkt);
            session.access_token().unwrap_err();
            for proof in proofs(&token_requests(&server)) {
                assert_eq!(rfc7638(&proof.header["jwk"]), jkt);
            }
            assert!(!token_requests(&server).is_empty());
        }
    }
    // RFC 8037 prints the private half as well: the whole way, and the server binds the token to that
    // thumbprint.
    let jwk = r#"{"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","zz":1,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","kid":"a","crv":"Ed25519","kty":"OKP"}"#;
    let server = start();
    let session = server.session().key(KeyPair::from_jwk(jwk).unwrap()).discover().unwrap();
    assert_eq!(echoed(&session, &server)["jkt"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

/// Before any request: where the session is built, where its key is changed, and where the metadata were
/// written by hand.
#[test]
fn c_53_an_algorithm_that_the_metadata_do_not_list_is_an_error_before_any_request() {
    let algorithm = |result: Result<Session, Error>| *result.unwrap_err().kind() == ErrorKind::Algorithm;
    let lists: [&[&str]; 6] =
        [&[], &["none"], &["HS256", "none"], &["es256", "eddsa"], &["RS256", "PS256"], &["ES384", "ES512"]];
    for listed in lists {
        let server = with(|server| server.dpop_algorithms(listed.iter().copied()));
        let metadata =
            || by_hand(&server).dpop_signing_alg_values_supported(listed.iter().copied()).build().unwrap();
        for one in [Algorithm::Es256, Algorithm::Ed25519] {
            assert!(algorithm(server.session().key(key(one)).discover()), "{listed:?}");
            assert!(algorithm(server.session().key(key(one)).server(metadata())), "{listed:?}");
        }
        // Nor is a key made that nobody asked for; with the feature `ring` one is made for ES384 where the server takes nothing
        // that comes before it.
        match server.session().discover() {
            Ok(made) => {
                assert_eq!((cfg!(feature = "ring"), listed.contains(&"ES384")), (true, true), "{made:?}")
            }
            made => assert!(
                algorithm(made) && !(cfg!(feature = "ring") && listed.contains(&"ES384")),
                "{listed:?}"
            ),
        }
        assert!(token_requests(&server).is_empty() && calls(&server).is_empty());
    }
    let server = with(|server| server.dpop_algorithms(["ES256"]));
    let session = session(&server);
    assert_eq!(session.rotate_key(key(Algorithm::Ed25519)).unwrap_err().kind(), &ErrorKind::Algorithm);
    assert!(token_requests(&server).is_empty());
    // The name that is listed is the one that is sent (RFC 9864 §2.2), at both parts; of two, the one the key
    // is known by.
    let named = |name: &str| {
        let jwk = key(Algorithm::Ed25519).to_jwk().replacen('{', &format!("{{\"alg\":\"{name}\","), 1);
        KeyPair::from_jwk(&jwk).unwrap()
    };
    for (listed, key, sent) in [
        (vec!["ES256", "EdDSA"], key(Algorithm::Ed25519), "EdDSA"),
        (vec!["Ed25519", "ES256"], key(Algorithm::Ed25519), "Ed25519"),
        (vec!["EdDSA", "Ed25519"], named("Ed25519"), "Ed25519"),
        (vec!["Ed25519", "EdDSA"], named("EdDSA"), "EdDSA"),
        (vec!["EdDSA"], named("Ed25519"), "EdDSA"),
    ] {
        let server = with(|server| server.dpop_algorithms(listed.clone()));
        let session = server.session().key(key).discover().unwrap();
        assert_eq!(get(&session, &server), 200);
        let names: HashSet<_> =
            proofs(&server.received()).into_iter().map(|proof| proof.header["alg"].clone()).collect();
        assert_eq!(names, HashSet::from([sent.into()]), "{listed:?}");
    }
}

/// Clocks as broken as they come: an error of kind `Clock` and nothing sent, or a proof in whole seconds.
/// Steps back do no harm.
#[test]
fn c_54_broken_clocks_are_errors_and_iat_is_seconds_of_the_clock() {
    let epoch = SystemTime::UNIX_EPOCH;
    let edges = [
        epoch.checked_sub(SECOND),
        epoch.checked_sub(Duration::from_nanos(1)),
        epoch.checked_sub(Duration::from_secs(i64::MAX.unsigned_abs())),
        epoch.checked_add(Duration::from_secs(i64::MAX.unsigned_abs())),
        epoch.checked_add(Duration::from_secs(i64::MAX.unsigned_abs() - 1)),
        epoch.checked_add(Duration::from_secs(253_402_300_800)), // the year 10000
        Some(epoch),
        epoch.checked_add(SECOND),
    ];
    for shown in edges.into_iter().flatten() {
        let client = key(Algorithm::Es256);
        let server = with(|server| server.client_public_key(client.to_public()));
        let builder =
            server.session().auth(ClientAuth::private_key_jwt(client)).clock(ManualClock::at(shown));
        let session = builder.discover().unwrap();
        let error = session.get(&server.resource("/")).unwrap_err();
        let before = shown < epoch;
        assert_eq!(*error.kind() == ErrorKind::Clock, before, "{shown:?} {error}");
        assert_eq!(token_requests(&server).is_empty(), before, "{shown:?}");
        for request in token_requests(&server) {
            for claims in [request.proof().unwrap().claims, request.assertion().unwrap().claims] {
                let most = shown.duration_since(epoch).unwrap().as_secs();
                assert!(claims["iat"].is_u64() && claims["iat"].as_u64().unwrap() <= most, "{claims}");
            }
        }
    }
    // An hour back and forth while a session runs, and its server with it: each call goes through, dated by
    // the clock.
    let clock = ManualClock::at(epoch + 1_800_000_000 * SECOND);
    let server = with(|server| server.clock(clock.clone()));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    for seconds in [1_800_000_000, 1_799_996_400, 1_799_996_399, 1_800_000_001] {
        clock.set(epoch + seconds * SECOND + Duration::from_millis(999));
        assert_eq!(get(&session, &server), 200, "{seconds}");
        let iat = calls(&server).pop().unwrap().proof().unwrap().claims["iat"].as_u64().unwrap();
        assert!((u64::from(seconds) - 1..=u64::from(seconds)).contains(&iat), "{iat} at {seconds}");
    }
    nothing_twice(&server);
}

/// A key that is not whole makes no session; one whose signer lies makes no token, and no storm.
#[test]
fn c_55_keys_whose_halves_do_not_belong_together_are_refused() {
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let [one, other] = [(); 2].map(|()| serde_json::from_str::<Value>(&key(algorithm).to_jwk()).unwrap());
        for members in [&["x", "y"][..], &["x"], &["d"]] {
            let mut mixed = one.clone();
            for name in members.iter().filter(|name| one.get(**name).is_some()) {
                mixed[*name] = other[*name].clone();
            }
            assert_eq!(
                *KeyPair::from_jwk(&mixed.to_string()).unwrap_err().kind(),
                ErrorKind::Key,
                "{members:?}"
            );
        }
        // PKCS#8 that ends in a public key, of another.
        if algorithm == Algorithm::Es256 {
            let [mut der, other] = [(); 2].map(|()| key(algorithm).to_pkcs8_der().unwrap());
            let point = der.len() - 64;
            der[point..].copy_from_slice(&other[point..]);
            assert_eq!(*KeyPair::from_pkcs8_der(&der).unwrap_err().kind(), ErrorKind::Key);
        }
        let server = start();
        let (shown, used) = (key(algorithm).to_public(), key(algorithm));
        let lying = Foreign(algorithm, shown, move |message: &[u8]| used.sign(message).unwrap());
        let error = server.session().key(lying).discover().unwrap().get(&server.resource("/")).unwrap_err();
        assert_eq!(error.oauth().map(OAuthError::error), Some("invalid_dpop_proof"), "{error}");
        assert!(token_requests(&server).len() <= 2 && server.counts().tokens == 0);
        assert!(calls(&server).is_empty());
    }
}

/// Typed errors, whichever way such a key is brought; and where a signer brings one, no request is made with
/// what does not fit.
#[test]
fn c_56_c_57_other_keys_and_garbage_are_typed_errors() {
    let rsa = |n: &str, e: &str| format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}","d":"AQAB"}}"#);
    let odd = |bytes: usize| Base64UrlUnpadded::encode_string(&[vec![0xc1; bytes - 1], vec![0xc1]].concat());
    let jwks = [
        rsa(&odd(128), "AQAB"),
        rsa(&odd(255), "AQAB"),
        rsa(&odd(256), "AQ"),
        rsa(&odd(256), "AQAB"), // without its primes
        r#"{"kty":"EC","crv":"P-384","x":"AA","y":"AA","d":"AA"}"#.to_owned(),
        r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA","d":"AA"}"#.to_owned(),
        r#"{"kty":"OKP","crv":"X25519","x":"AA","d":"AA"}"#.to_owned(),
        r#"{"kty":"oct","k":"AA"}"#.to_owned(),
        "[".repeat(20_000),
        " ".repeat(100 << 20),
        String::new(),
    ];
    let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let pems = [
        block("RSA PRIVATE KEY"),
        block("ENCRYPTED PRIVATE KEY"),
        block("EC PRIVATE KEY"),
        block("PUBLIC KEY"),
        block("PRIVATE KEY"),
        "garbage".to_owned(),
        "-----BEGIN PRIVATE KEY-----\n".repeat((100 << 20) / 28),
        String::new(),
    ];
    let refused = jwks
        .iter()
        .map(|jwk| KeyPair::from_jwk(jwk))
        .chain(pems.iter().map(|pem| KeyPair::from_pkcs8_pem(pem)));
    for (i, result) in refused.enumerate() {
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Key | ErrorKind::Algorithm), "{i} {error}");
        assert!(error.to_string().len() < 1_000, "{i}");
    }
    for e in ["AQ", "Ag", "AA"] {
        assert!(
            PublicKey::from_jwk(&format!(r#"{{"kty":"RSA","n":"{}","e":"{e}"}}"#, odd(256))).is_err(),
            "{e}"
        );
    }
    assert!(PublicKey::from_jwk(&format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, odd(255))).is_err());
    // No key of those kinds is made (but ES384 with ring), and no signer of one kind passes for another.
    let server = start();
    for algorithm in [Algorithm::Es384, Algorithm::Es512, Algorithm::Rs256, Algorithm::Ps256] {
        match KeyPair::generate(algorithm) {
            Err(error) => assert_eq!(*error.kind(), ErrorKind::Algorithm),
            Ok(key) => assert!(cfg!(feature = "ring") && key.algorithm() == Algorithm::Es384),
        }
        let signer = Foreign(algorithm, key(Algorithm::Es256).to_public(), |_: &[u8]| vec![0; 64]);
        assert_eq!(*server.session().key(signer).discover().unwrap_err().kind(), ErrorKind::Algorithm);
    }
    // A signature that cannot be one is not sent: DER, none, one too short.
    for length in [0, 63, 65, 70, 72] {
        let signer =
            Foreign(Algorithm::Es256, key(Algorithm::Es256).to_public(), move |_: &[u8]| vec![0x30; length]);
        let error = server.session().key(signer).discover().unwrap().access_token().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Signer, "{length} {error}");
    }
    assert!(token_requests(&server).is_empty());
}

// ---- Client authentication

fn client_certificate() -> Transport {
    let own = rcgen::generate_simple_self_signed(vec!["client.example".to_owned()]).unwrap();
    let builder = Transport::builder()
        .client_certificate_pem(own.cert.pem().as_bytes(), own.signing_key.serialize_pem().as_bytes());
    builder.unwrap().build()
}

/// Every method that IANA registers, and the two ways to write `Basic`.
fn methods(secret: &str, key: &KeyPair) -> Vec<ClientAuth> {
    let key = || KeyPair::from_jwk(&key.to_jwk()).unwrap();
    vec![
        ClientAuth::none(),
        ClientAuth::client_secret_basic(secret),
        ClientAuth::client_secret_basic_unencoded(secret),
        ClientAuth::client_secret_post(secret),
        ClientAuth::client_secret_jwt(secret, HmacAlgorithm::Hs256),
        ClientAuth::private_key_jwt(key()),
        ClientAuth::tls_client_auth(),
        ClientAuth::self_signed_tls_client_auth(),
    ]
}

/// RFC 6749 §2.3: one method in each request, in the first and in the one with the nonce; nothing of it
/// anywhere else.
#[test]
fn c_58_each_method_sends_its_one_credential_where_it_belongs() {
    let client = key(Algorithm::Es256);
    let server = with(|server| server.public_client().client_public_key(client.to_public()));
    let secret = server.client_secret();
    for auth in methods(secret, &client) {
        server.clear_received();
        server.rotate_nonces();
        let method = auth.method();
        let session = server.session().auth(auth).transport(client_certificate()).discover().unwrap();
        assert_eq!(get(&session, &server), 200, "{method}");
        let requests = token_requests(&server);
        assert_eq!(requests.len(), 2, "{method}: a challenge, and its answer");
        for request in &requests {
            let form = request.form();
            let fields = |name: &str| form.iter().filter(|(field, _)| field == name).count();
            let found = [
                request.header_values("authorization").len(),
                fields("client_secret"),
                fields("client_assertion"),
            ];
            let expected = match method {
                "client_secret_basic" => [1, 0, 0],
                "client_secret_post" => [0, 1, 0],
                "client_secret_jwt" | "private_key_jwt" => [0, 0, 1],
                _ => [0, 0, 0],
            };
            assert_eq!(found, expected, "{method}");
            assert_eq!(fields("client_assertion_type"), expected[2], "{method}");
            assert_eq!(fields("client_id"), usize::from(method != "client_secret_basic"), "{method}");
            assert_eq!((request.method.as_str(), &*request.target), ("POST", "/token"), "{method}");
            assert!(
                request.header_values("content-type")[0].starts_with("application/x-www-form-urlencoded")
            );
            assert!(request.header_values("cookie").is_empty());
            let holds = |text: &str| text.contains(secret);
            let in_head = request.headers.values().any(|value| holds(value.to_str().unwrap()));
            let in_form = form.iter().filter(|(_, value)| holds(value)).count();
            assert_eq!((in_head, in_form), (false, expected[1]), "{method}");
        }
        // Nor does a resource get any of it.
        for call in calls(&server) {
            assert!(call.body.is_empty() && call.header_values("authorization").len() == 1);
            token_of(&call);
        }
    }
    nothing_twice(&server);
}

/// RFC 6749 §2.3.1 and Appendix B, RFC 7617 §2: of the bytes on the wire, one colon parts two halves that
/// form-decode to what was given; and the server, which decodes by itself, lets the client in.
#[test]
fn c_59_identifiers_and_secrets_of_any_characters_arrive() {
    let odd = [
        ":",
        "%",
        "+",
        "/",
        "&",
        "=",
        " ",
        "\"",
        "\\",
        "é",
        "ü\u{1F600}",
        "%3A",
        "%20",
        "+%2B",
        "a:b:c",
        "::",
        "~*'()",
    ];
    let cases =
        odd.map(|odd| (odd, odd)).into_iter().chain([("app", ""), ("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw")]);
    for (id, secret) in cases {
        for auth in [ClientAuth::client_secret_basic(secret), ClientAuth::client_secret_post(secret)] {
            let server = with(|server| server.client(id, secret));
            let post = auth.method() == "client_secret_post";
            let session = server.session().auth(auth).discover().unwrap();
            session.access_token().unwrap_or_else(|error| panic!("{id:?} {secret:?} {error}"));
            for request in token_requests(&server) {
                if post {
                    let fields = [request.form_field("client_id"), request.form_field("client_secret")];
                    assert_eq!(fields.map(Option::unwrap), [id, secret]);
                    continue;
                }
                let [field] = request.header_values("authorization")[..] else { panic!("one") };
                let pair = Base64::decode_vec(field.strip_prefix("Basic ").unwrap()).unwrap();
                let pair = String::from_utf8(pair).unwrap();
                assert!(pair.is_ascii(), "{pair}");
                let halves: Vec<_> = pair.split(':').collect();
                // `=` so that each half is the value of a field.
                let decode = |half: &&str| {
                    let field = format!("x={half}");
                    form_urlencoded::parse(field.as_bytes()).next().unwrap().1.into_owned()
                };
                assert_eq!(halves.iter().map(decode).collect::<Vec<_>>(), [id, secret], "{pair}");
            }
        }
    }
    // As they stand, for servers that do not decode (RawBasic): an identifier with a colon could not be told
    // from the secret.
    let server = with(|server| server.client("a+b", "%20:c d"));
    always(&server, Endpoint::Token, Quirk::RawBasic);
    let raw = || ClientAuth::client_secret_basic_unencoded("%20:c d");
    assert_eq!(get(&server.session().auth(raw()).discover().unwrap(), &server), 200);
    let server = with(|server| server.client("a:b", "%20:c d"));
    assert_eq!(*server.session().auth(raw()).discover().unwrap_err().kind(), ErrorKind::AuthMethod);
}

/// rfc7523bis §4, FAPI 2.0 §5.3.3: at a server that takes nothing dated ahead of its clock. Issuers with a
/// path keep the slash they end with or not, which a URL library would change.
#[test]
fn c_60_an_assertion_is_for_the_issuer_as_it_is_written_short_and_never_early() {
    let client = key(Algorithm::Ed25519);
    for suffix in ["", "/", "/tenant", "/tenant/", "/A%2fb"] {
        let clock = ManualClock::new();
        let server = with(|server| {
            server.clock(clock.clone()).client_public_key(client.to_public()).leeway(Duration::ZERO)
        });
        let issuer = format!("{}{suffix}", server.issuer());
        always(&server, Endpoint::Token, Quirk::AssertionAudience(issuer.clone()));
        let assertions = methods(server.client_secret(), &client)
            .into_iter()
            .filter(|auth| auth.method().ends_with("_jwt"));
        for auth in assertions {
            let metadata =
                AuthorizationServer::builder(&issuer).token_endpoint(format!("{}/token", server.issuer()));
            let metadata = metadata.dangerous_allow_http_on_loopback().build().unwrap();
            let session = server.session().auth(auth).clock(clock.clone()).server(metadata).unwrap();
            assert_eq!(get(&session, &server), 200, "{issuer}");
        }
        let mut jtis = HashSet::new();
        for request in token_requests(&server) {
            let assertion = request.assertion().unwrap();
            let claims = &assertion.claims;
            assert_eq!(claims["aud"], issuer, "a string, and not an array of one");
            assert_eq!(assertion.header["typ"], "client-authentication+jwt");
            assert_eq!([&claims["iss"], &claims["sub"]], [server.client_id(); 2]);
            let [iat, exp] = ["iat", "exp"].map(|name| claims[name].as_u64().unwrap());
            let now = request.at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            assert!(iat <= now && now < exp && exp - iat <= 300, "{claims} at {now}");
            assert!(jtis.insert(claims["jti"].to_string()));
            // It is no proof, and says nothing of the DPoP key.
            assert!(assertion.header.get("jwk").is_none() && claims.get("htu").is_none());
        }
        assert!(jtis.len() >= 3);
    }
}

/// CVE-2025-27370: whoever an assertion is made for by the metadata's `issuer`, no endpoint of theirs changes
/// it.
#[test]
fn c_61_the_audience_never_follows_the_token_endpoint() {
    let client = key(Algorithm::Es256);
    let auth = || ClientAuth::private_key_jwt(KeyPair::from_jwk(&client.to_jwk()).unwrap());
    let server = || with(|server| server.client_public_key(client.to_public()));
    let (honest, attacker) = (server(), server());
    let document = |issuer: &str, endpoint: &str, more: &str| {
        format!(
            r#"{{"issuer":"{issuer}","token_endpoint":"{endpoint}/token","token_endpoint_auth_methods_supported":["private_key_jwt"]{more}}}"#
        )
    };
    let audiences = |at: &TestServer| -> Vec<Value> {
        token_requests(at).iter().map(|one| one.assertion().unwrap().claims["aud"].clone()).collect()
    };
    // The attacker's own metadata send the assertion to the honest server, which sees that it is for somebody
    // else.
    always(
        &attacker,
        Endpoint::Metadata,
        respond(200, &[JSON], document(attacker.issuer(), honest.issuer(), "")),
    );
    let session = attacker.session().auth(auth()).discover().unwrap();
    let error = session.access_token().unwrap_err();
    assert_eq!(error.oauth().map(OAuthError::error), Some("invalid_client"), "{error}");
    assert_eq!((audiences(&honest), honest.counts().tokens), (vec![attacker.issuer().into()], 0));
    // By way of the alias for mutual TLS it is the same.
    honest.clear_received();
    attacker.behave();
    let alias = format!(r#","mtls_endpoint_aliases":{{"token_endpoint":"{}/token"}}"#, honest.issuer());
    always(
        &attacker,
        Endpoint::Metadata,
        respond(200, &[JSON], document(attacker.issuer(), attacker.issuer(), &alias)),
    );
    let discovery = Discovery::dangerous_allow_http_on_loopback(attacker.issuer()).unwrap();
    let transport = client_certificate();
    let metadata = discovery.run(&transport).unwrap();
    let prover = Prover::new(key(Algorithm::Es256)).unwrap();
    let client_id = Client::new("test-client").unwrap().use_mtls_endpoint_aliases();
    let options = RequestOptions::new().prover(&prover).http(&transport);
    let auth_method = auth();
    let response =
        client_credentials_grant_request(&metadata, &client_id, &auth_method, Parameters::new(), &options)
            .unwrap();
    assert!(process_client_credentials_response(&metadata, &client_id, response).is_err());
    assert_eq!(audiences(&honest), [attacker.issuer()]);
    // A document in the honest issuer's name is not used where it was fetched from another; and none where it
    // names another.
    for named in [honest.issuer(), &format!("{}/token", attacker.issuer()), ""] {
        for server in [&honest, &attacker] {
            server.behave();
            server.clear_received();
        }
        always(&attacker, Endpoint::Metadata, respond(200, &[JSON], document(named, attacker.issuer(), "")));
        let error = attacker.session().auth(auth()).discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Metadata, "{named}");
        assert!(token_requests(&attacker).is_empty() && honest.received().is_empty());
    }
}

/// RFC 7518 §3.2: at least as many bytes (not characters) as the hash has.
#[test]
fn c_62_secrets_shorter_than_the_hash_make_no_assertion() {
    for (algorithm, least) in
        [(HmacAlgorithm::Hs256, 32), (HmacAlgorithm::Hs384, 48), (HmacAlgorithm::Hs512, 64)]
    {
        for (secret, fine) in [
            (String::new(), false),
            ("s".repeat(least - 1), false),
            ("é".repeat(least / 2 - 1), false),
            ("s".repeat(least), true),
            ("é".repeat(least / 2), true),
        ] {
            let server = with(|server| server.client("app", &secret));
            let auth = ClientAuth::client_secret_jwt(&secret, algorithm);
            match server.session().auth(auth).discover() {
                Ok(session) => assert!(fine && get(&session, &server) == 200, "{algorithm:?} {secret}"),
                Err(error) => {
                    assert!(
                        !fine && *error.kind() == ErrorKind::AuthMethod,
                        "{algorithm:?} {secret} {error}"
                    );
                    assert!(token_requests(&server).is_empty());
                }
            }
        }
    }
}

/// RFC 8725 §3.9, 8725bis: one key, one purpose. A session never comes to have one key for both, and neither
/// API makes the other's JWT: what says `typ` is the one thing that tells them apart for whoever looks at
/// nothing else.
#[test]
fn c_63_one_key_serves_one_purpose_and_neither_jwt_passes_for_the_other() {
    let client = key(Algorithm::Es256);
    let again = || KeyPair::from_jwk(&client.to_jwk()).unwrap();
    let server = with(|server| server.client_public_key(client.to_public()));
    let builder = || server.session().auth(ClientAuth::private_key_jwt(again()));
    let prover = Prover::new(again()).unwrap();
    for refused in [builder().key(again()).discover(), builder().prover(&prover).discover()] {
        assert_eq!(*refused.unwrap_err().kind(), ErrorKind::AuthMethod);
    }
    let session = builder().discover().unwrap();
    assert_eq!(*session.rotate_key(again()).unwrap_err().kind(), ErrorKind::AuthMethod);
    assert!(token_requests(&server).is_empty());
    assert_eq!(get(&session, &server), 200);

    // An assertion is not a proof, whatever it is asked to be called (RFC 7515 §4.1.9: case and
    // `application/` aside).
    let before = token_requests(&server).len();
    for typ in ["dpop+jwt", "DPoP+JWT", "application/dpop+jwt", "Application/DPOP+jwt"] {
        for auth in [
            ClientAuth::private_key_jwt_with(again(), AssertionOptions::new().typ(Some(typ))),
            ClientAuth::client_secret_jwt_with(
                server.client_secret(),
                HmacAlgorithm::Hs256,
                AssertionOptions::new().typ(Some(typ)),
            ),
        ] {
            let error = server.session().auth(auth).discover().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Parameter, "{typ}");
        }
    }
    assert_eq!(token_requests(&server).len(), before);
    // A proof with the claims of an assertion is called a proof all the same, and no client is let in by it.
    let mut proof = Proof::new(&http::Method::POST, &format!("{}/token", server.issuer())).unwrap();
    for (name, value) in [("iss", server.client_id()), ("sub", server.client_id()), ("aud", server.issuer())]
    {
        proof = proof.claim(name, value);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let proof = proof.claim("exp", now + 60).sign(&client, SystemTime::now()).unwrap();
    assert_eq!(common::Jwt::decode(&proof).header["typ"], "dpop+jwt");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", server.client_id()),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &proof),
    ];
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
    let response = config.new_agent().post(format!("{}/token", server.issuer())).send_form(form).unwrap();
    assert_eq!(response.status(), 401);
}

/// Whatever a request failed of, the next has another assertion and another proof: the server may have seen
/// the first.
#[test]
fn c_64_every_attempt_has_an_assertion_of_its_own() {
    let client = key(Algorithm::Es256);
    for hmac in [false, true] {
        let clock = ManualClock::new();
        let server = with(|server| server.clock(clock.clone()).client_public_key(client.to_public()));
        let auth = match hmac {
            true => ClientAuth::client_secret_jwt(server.client_secret(), HmacAlgorithm::Hs256),
            false => ClientAuth::private_key_jwt(KeyPair::from_jwk(&client.to_jwk()).unwrap()),
        };
        let transport = Transport::builder().timeout(SHORT).build();
        let builder = server.session().auth(auth).transport(transport).clock(clock.clone());
        let session = builder.deadline(600 * SECOND).discover().unwrap();
        for (quirk, what) in [
            (Quirk::Silence, "no answer"),
            (Quirk::SilentBody, "half an answer"),
            (Quirk::CloseWithoutResponse, "the connection lost"),
            (Quirk::CloseMidway, "the connection lost midway"),
            (Quirk::Refuse { status: 503, retry_after: Some(5) }, "503"),
            (Quirk::Refuse { status: 429, retry_after: None }, "429"),
            (Quirk::Challenge, "another nonce"),
            (Quirk::RefuseProofs, "refused"),
        ] {
            server.clear_received();
            session.discard_token();
            once(&server, Endpoint::Token, quirk);
            let first = session.access_token();
            assert!(first.is_ok() || session.access_token().is_ok(), "{what}");
            let attempts = token_requests(&server);
            assert!(attempts.len() >= 2, "{what}: {}", attempts.len());
            for jwt in [Received::assertion, Received::proof] {
                let jtis: HashSet<_> =
                    attempts.iter().map(|one| jwt(one).unwrap().claims["jti"].to_string()).collect();
                assert_eq!(jtis.len(), attempts.len(), "{what}");
            }
            nothing_twice(&server);
        }
        // The server's clock an hour off: the assertion is dated anew as well.
        server.clear_received();
        session.discard_token();
        server.set_clock_offset(3600);
        session.access_token().or_else(|_| session.access_token()).unwrap();
        nothing_twice(&server);
    }
}

// ---- Discovery

/// RFC 8414 §3.1: between host and path, the slash at the end left out; and OpenID Connect Discovery §4 after
/// it, where there is none. With a document there, the session of such an issuer works.
#[test]
fn c_65_metadata_are_where_the_issuer_says() {
    let rfc8414 = "/.well-known/oauth-authorization-server";
    let openid = "/.well-known/openid-configuration";
    for (suffix, first, second) in [
        ("", rfc8414.to_owned(), openid.to_owned()),
        ("/", rfc8414.to_owned(), openid.to_owned()),
        ("/a", format!("{rfc8414}/a"), format!("/a{openid}")),
        ("/a/", format!("{rfc8414}/a"), format!("/a{openid}")),
        ("/a/b", format!("{rfc8414}/a/b"), format!("/a/b{openid}")),
        ("/a%2Fb", format!("{rfc8414}/a%2Fb"), format!("/a%2Fb{openid}")),
        ("/a%2fb/", format!("{rfc8414}/a%2fb"), format!("/a%2fb{openid}")),
        ("/A;b=1", format!("{rfc8414}/A;b=1"), format!("/A;b=1{openid}")),
    ] {
        let server = start();
        let issuer = format!("{}{suffix}", server.issuer());
        let builder = || {
            let auth = ClientAuth::client_secret_basic(server.client_secret());
            Session::builder(&issuer, server.client_id()).auth(auth).dangerous_allow_http_on_loopback()
        };
        let document = format!(r#"{{"issuer":"{issuer}","token_endpoint":"{}/token"}}"#, server.issuer());
        // Where the issuer has a path, the test server takes its metadata for resources.
        for at in [Endpoint::Metadata, Endpoint::Resource] {
            always(&server, at, respond(404, &[], ""));
        }
        assert_eq!(builder().discover().unwrap_err().status(), Some(404), "{issuer}");
        let targets: Vec<_> = server.received().into_iter().map(|one| (one.method, one.target)).collect();
        assert_eq!(targets, [(Method::GET, first.clone()), (Method::GET, second)], "{issuer}");
        server.behave();
        server.clear_received();
        for at in [Endpoint::Metadata, Endpoint::Resource] {
            always(&server, at, respond(200, &[JSON], document.clone()));
        }
        let session = builder().discover().unwrap();
        assert_eq!(server.received().pop().unwrap().target, first);
        server.behave();
        assert_eq!(get(&session, &server), 200, "{issuer}");
        assert_eq!(session.server().issuer(), issuer);
    }
    // What is no issuer (RFC 8414 §2) is asked for nothing.
    let server = start();
    let [origin, host] = [server.issuer(), server.issuer().strip_prefix("http://").unwrap()];
    for issuer in [
        format!("{origin}?"),
        format!("{origin}/?a"),
        format!("{origin}#"),
        format!("{origin}/#a"),
        format!("http://u@{host}"),
        format!("http://u:p@{host}"),
        format!("http://@{host}"),
        format!(" {origin}"),
        format!("{origin}\n"),
        format!("{origin}/a b"),
        format!("{origin}/é"),
        format!("{origin}/../a"),
        host.to_owned(),
        "http://example.com".to_owned(),
        "http://".to_owned(),
        "https://".to_owned(),
        "https:///a".to_owned(),
        "https://?".to_owned(),
        "ftp://example.com".to_owned(),
        String::new(),
    ] {
        let discovery = Session::builder(&issuer, "app").dangerous_allow_http_on_loopback().discover();
        assert_eq!(*discovery.unwrap_err().kind(), ErrorKind::Metadata, "{issuer:?}");
    }
    // And plain http is none where nobody allowed it.
    assert_eq!(*Session::builder(origin, "app").discover().unwrap_err().kind(), ErrorKind::Metadata);
    assert!(server.received().is_empty());
}

/// RFC 8414 §3.3 and §4: the same code points, and nothing that means the same.
#[test]
fn c_66_issuers_are_compared_code_point_by_code_point() {
    let server = start();
    let origin = server.issuer().to_owned();
    let port = origin.rsplit(':').next().unwrap().to_owned();
    let text = |text: &str| Value::from(text).to_string();
    let cases: Vec<(String, Vec<String>)> = vec![
        (
            String::new(),
            vec![
                text(&format!("{origin}/")),
                text(&origin.replace("http", "HTTP")),
                text(&origin.replace("http", "https")),
                text(&format!("http://127.0.0.1:0{port}")),
                text(&format!("http://localhost:{port}")),
                text(&format!("{origin} ")),
                text(&format!("{origin}?")),
                text(&format!("{origin}\u{0}")),
                text("http://127.0.0.1"),
                text(""),
                "null".to_owned(),
                "7".to_owned(),
                "true".to_owned(),
                format!("[{}]", text(&origin)),
                format!("{{\"a\":{}}}", text(&origin)),
            ],
        ),
        ("/".to_owned(), vec![text(&origin), text(&format!("{origin}//"))]),
        ("/a%2Fb".to_owned(), vec![text(&format!("{origin}/a%2fb")), text(&format!("{origin}/a/b"))]),
        ("/Tenant".to_owned(), vec![text(&format!("{origin}/tenant")), text(&format!("{origin}/Tenant/"))]),
        ("/%7Ea".to_owned(), vec![text(&format!("{origin}/~a"))]),
        (
            "/caf%C3%A9".to_owned(),
            vec![text(&format!("{origin}/caf\u{e9}")), text(&format!("{origin}/cafe\u{301}"))],
        ),
    ];
    for (suffix, names) in cases {
        let issuer = format!("{origin}{suffix}");
        let absent = format!(r#"{{"token_endpoint":"{origin}/token"}}"#);
        let twice =
            format!(r#"{{"issuer":"{issuer}","issuer":"{issuer}/x","token_endpoint":"{origin}/token"}}"#);
        let documents =
            names.iter().map(|name| format!(r#"{{"issuer":{name},"token_endpoint":"{origin}/token"}}"#));
        for document in documents.chain([absent, twice]) {
            server.behave();
            server.clear_received();
            for at in [Endpoint::Metadata, Endpoint::Resource] {
                always(&server, at, respond(200, &[JSON], document.clone()));
            }
            let discovery = Session::builder(&issuer, "app").dangerous_allow_http_on_loopback().discover();
            assert_eq!(*discovery.unwrap_err().kind(), ErrorKind::Metadata, "{issuer} {document}");
            // C-69: and nothing else is asked for it.
            assert_eq!(server.received().len(), 1, "{document}");
            let by_hand =
                AuthorizationServer::builder(&issuer).document(document).dangerous_allow_http_on_loopback();
            assert_eq!(*by_hand.build().unwrap_err().kind(), ErrorKind::Metadata);
        }
    }
}

/// Metadata are what an attacker writes (CVE-2025-6514): the token endpoint, its alias and every other
/// endpoint.
#[test]
fn c_67_an_endpoint_that_no_request_may_go_to_makes_the_metadata_unusable() {
    let (server, trap) = (start(), Trap::set());
    let host = trap.origin().replace("http://", "");
    let text = |text: String| Value::from(text).to_string();
    let endpoints = [
        text("http://example.com/token".to_owned()),
        text("http://127.0.0.1.example.com/token".to_owned()),
        text("file:///etc/passwd".to_owned()),
        text("data:application/json,{}".to_owned()),
        text("javascript:alert(1)".to_owned()),
        text("ftp://example.com/token".to_owned()),
        text("/token".to_owned()),
        text("//example.com/token".to_owned()),
        text("token".to_owned()),
        text(format!("http://u:p@{host}/token")),
        text(format!("http://u@{host}/token")),
        text(format!("http://{host}/token#f")),
        text(format!("http://{host}/a/../token")),
        text(format!("http://{host}\\@example.com/token")),
        text(format!(" http://{host}/token")),
        text(format!("http://{host}/token\r\nx: y")),
        text("https://".to_owned()),
        text(String::new()),
        "7".to_owned(),
        "true".to_owned(),
        "{}".to_owned(),
        text(format!("http://{host}/token")).replace("http", "[\"http") + "]",
        format!("[{}]", text(format!("http://{host}/token"))),
    ];
    let (issuer, good) = (server.issuer(), format!("{}/token", server.issuer()));
    for endpoint in endpoints.iter().chain([&"null".to_owned()]) {
        let mut documents = vec![format!(r#"{{"issuer":"{issuer}","token_endpoint":{endpoint}}}"#)];
        if endpoint != "null" {
            for more in [
                format!(r#""mtls_endpoint_aliases":{{"token_endpoint":{endpoint}}}"#),
                format!(r#""mtls_endpoint_aliases":{{"introspection_endpoint":{endpoint}}}"#),
                format!(r#""introspection_endpoint":{endpoint}"#),
                format!(r#""jwks_uri":{endpoint}"#),
            ] {
                documents.push(format!(r#"{{"issuer":"{issuer}","token_endpoint":"{good}",{more}}}"#));
            }
        }
        for document in documents {
            server.behave();
            always(&server, Endpoint::Metadata, respond(200, &[JSON], document.clone()));
            let error = server.session().discover().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Metadata, "{document}");
        }
    }
    assert!(trap.untouched() && token_requests(&server).is_empty());
}

/// RFC 8414 lets endpoints be anywhere; who says where they may be gets nothing else, wherever the address of
/// it leads.
#[test]
fn c_68_where_hosts_are_listed_no_endpoint_is_on_another() {
    let server = start();
    let port = server.issuer().rsplit(':').next().unwrap();
    let elsewhere = format!("http://localhost:{port}");
    let publish = |endpoint: &str, alias: Option<&str>| {
        server.behave();
        let alias = alias.map(|alias| format!(r#","mtls_endpoint_aliases":{{"token_endpoint":"{alias}"}}"#));
        let document = format!(
            r#"{{"issuer":"{}","token_endpoint":"{endpoint}"{}}}"#,
            server.issuer(),
            alias.unwrap_or_default()
        );
        always(&server, Endpoint::Metadata, respond(200, &[JSON], document));
    };
    let own = format!("{}/token", server.issuer());
    publish(&format!("{elsewhere}/token"), None);
    // The proof names the host the request goes to; the test server is told that it has that name, too.
    always(&server, Endpoint::Token, Quirk::HtuOrigin(elsewhere.clone()));
    assert_eq!(
        get(&server.session().discover().unwrap(), &server),
        200,
        "any host, unless something is said"
    );
    for hosts in [vec!["localhost"], vec!["LOCALHOST"], vec!["as.example", "localhost"]] {
        assert!(server.session().endpoint_hosts(hosts).discover().is_ok());
    }
    server.clear_received();
    for endpoint in [
        &*format!("{elsewhere}/token"),
        "https://169.254.169.254/token",
        "https://10.0.0.1/token",
        "https://192.168.0.1/token",
        "https://172.16.0.1/token",
        "https://[::1]/token",
        "https://[fe80::1]/token",
        "https://[::ffff:127.0.0.1]/token",
        "https://127.0.0.2/token",
        "https://as.example.evil.example/token",
        "https://evil-as.example/token",
        "https://sub.as.example/token",
        "https://as.example./token",
    ] {
        for (token, alias) in [(endpoint, None), (&*own, Some(endpoint))] {
            publish(token, alias);
            for hosts in [vec!["as.example"], vec![]] {
                let error = server.session().endpoint_hosts(hosts).discover().unwrap_err();
                assert_eq!(*error.kind(), ErrorKind::Metadata, "{endpoint}");
            }
        }
    }
    assert!(token_requests(&server).is_empty());
    publish(&own, None);
    assert!(
        server.session().endpoint_hosts(Vec::<String>::new()).discover().is_ok(),
        "the issuer's own host"
    );
}

/// What is no metadata document is an error that says what it is, after one request; only 404 leads to the
/// second place.
#[test]
fn c_69_what_is_no_metadata_is_a_typed_error_and_only_404_leads_on() {
    let server = start();
    let good =
        |more: &str| format!(r#"{{"issuer":"{0}","token_endpoint":"{0}/token"{more}}}"#, server.issuer());
    let json = |body: String| respond(200, &[JSON], body);
    let deep = format!(",\"x\":{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let deeper = format!(",\"x\":{}1{}", "{\"a\":".repeat(20_000), "}".repeat(20_000));
    let twice = format!(",\"token_endpoint\":\"{}/other\"", server.issuer());
    let escaped = format!(",\"token\\u005fendpoint\":\"{}/other\"", server.issuer());
    let (large, metadata, content) =
        (ErrorKind::TooLarge { limit: 1 << 20 }, ErrorKind::Metadata, ErrorKind::Content { status: 200 });
    let status = |status: u16| ErrorKind::Status { status };
    let cases = [
        (Quirk::LargeBody(Some(50 << 20)), large.clone()),
        (Quirk::LargeBody(None), large),
        (json(good(&deep)), metadata.clone()),
        (json(good(&deeper)), metadata.clone()),
        (json(good(&twice)), metadata.clone()),
        (json(good(&escaped)), metadata.clone()),
        (json(good(",\"x\":{\"a\":1,\"a\":2}")), metadata.clone()),
        (json(good("") + "x"), metadata.clone()),
        (json(format!("\u{feff}{}", good(""))), metadata.clone()),
        (json(format!("[{}]", good(""))), metadata.clone()),
        (json(String::new()), metadata.clone()),
        (json("null".to_owned()), metadata.clone()),
        (json(good(",\"dpop_signing_alg_values_supported\":\"ES256\"")), metadata.clone()),
        (json(good(",\"token_endpoint_auth_methods_supported\":[7]")), metadata.clone()),
        (respond(200, &[("content-type", "text/html")], good("")), content.clone()),
        (Quirk::Html { status: 200 }, content),
        (respond(201, &[JSON], good("")), status(201)),
        (respond(204, &[], ""), status(204)),
        (respond(401, &[JSON], good("")), status(401)),
        (respond(403, &[], ""), status(403)),
        (respond(410, &[], ""), status(410)),
        (Quirk::Html { status: 500 }, status(500)),
        (respond(503, &[], ""), status(503)),
        (
            Quirk::Redirect { status: 302, location: "/elsewhere".to_owned() },
            ErrorKind::Redirect { status: 302 },
        ),
        (json(good("").replace("\"issuer\":\"", "\"issuer\":\"https://other.example")), metadata),
    ];
    for (quirk, kind) in cases {
        server.behave();
        server.clear_received();
        always(&server, Endpoint::Metadata, quirk.clone());
        let error = server.session().discover().unwrap_err();
        assert_eq!((error.kind(), server.received().len()), (&kind, 1), "{error}");
        assert!(error.to_string().len() < 2_000);
        // The same from the second place is no better.
        server.behave();
        server.clear_received();
        once(&server, Endpoint::Metadata, respond(404, &[], ""));
        server.misbehave(Endpoint::Metadata, When::Every(2), quirk);
        let error = server.session().discover().unwrap_err();
        let targets: Vec<_> = server.received().into_iter().map(|one| one.target).collect();
        assert_eq!((error.kind(), targets.len()), (&kind, 2), "{error}");
        assert_eq!(targets[1], "/.well-known/openid-configuration");
    }
    server.behave();
    once(&server, Endpoint::Metadata, Quirk::Html { status: 404 });
    assert_eq!(get(&session(&server), &server), 200);
}

/// RFC 8414 §2.1 would let it take precedence where its signature was checked; nothing here checks it, so it
/// is as if it were not there, whatever it is.
#[test]
fn c_70_signed_metadata_change_nothing() {
    let (server, trap) = (start(), Trap::set());
    let base64url = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    let claims = format!(
        r#"{{"iss":"{0}","issuer":"{1}","token_endpoint":"{1}/token","token_endpoint_auth_methods_supported":["none"],"dpop_signing_alg_values_supported":["none"],"jwks_uri":"{1}/jwks"}}"#,
        server.issuer(),
        trap.origin()
    );
    let signed = key(Algorithm::Es256).sign(claims.as_bytes()).unwrap();
    for value in [
        format!("\"{}.{}.\"", base64url(r#"{"alg":"none"}"#), base64url(&claims)),
        format!(
            "\"{}.{}.{}\"",
            base64url(&format!(r#"{{"alg":"ES256","jku":"{}"}}"#, trap.origin())),
            base64url(&claims),
            Base64UrlUnpadded::encode_string(&signed)
        ),
        claims.clone(),
        "\"\"".to_owned(),
        "7".to_owned(),
        "null".to_owned(),
    ] {
        server.behave();
        server.clear_received();
        let document = format!(
            r#"{{"issuer":"{0}","token_endpoint":"{0}/token","signed_metadata":{value},"dpop_signing_alg_values_supported":["ES256"]}}"#,
            server.issuer()
        );
        always(&server, Endpoint::Metadata, respond(200, &[JSON], document));
        let session = session(&server);
        assert_eq!(get(&session, &server), 200, "{value}");
        assert!(token_requests(&server).iter().all(|one| one.header_values("authorization").len() == 1));
        assert_eq!(session.server().member("token_endpoint").unwrap(), &format!("{}/token", server.issuer()));
    }
    assert!(trap.untouched());
}

// ---- Secrets and state

/// Does not compile for a type that has one of the traits (what the crate `static_assertions` does).
macro_rules! never {
    ($type:ty: $($trait:path),+) => { $(const _: fn() = || {
        trait Ambiguous<A> {
            fn f() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        #[allow(dead_code, reason = "it is there to be ambiguous")]
        struct Implements;
        impl<T: ?Sized + $trait> Ambiguous<Implements> for T {}
        <$type as Ambiguous<_>>::f()
    };)+ };
}

never!(KeyPair: Clone, Copy, PartialEq, std::hash::Hash, serde::Serialize, std::fmt::Display, AsRef<[u8]>);
never!(ClientAuth: Copy, PartialEq, std::hash::Hash, serde::Serialize, std::fmt::Display, Default);
never!(Parameters: Copy, PartialEq, std::hash::Hash, serde::Serialize, std::fmt::Display);
never!(TokenResponse: Clone, Copy, PartialEq, serde::Serialize, std::fmt::Display, AsRef<str>);
never!(Prover: Copy, PartialEq, serde::Serialize, std::fmt::Display);
never!(Session: Copy, PartialEq, serde::Serialize, std::fmt::Display);
never!(RequestBody: Copy, PartialEq, serde::Serialize, std::fmt::Display);

/// Types that hold secrets are what they must not be by accident (above), and what leaves them is wiped. A
/// session works with keys that went through each of those forms, when everything they came from is gone.
/// (That memory is wiped, no safe code can see.)
#[test]
fn c_72_what_holds_a_secret_is_not_copied_compared_or_written_by_accident() {
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let made = key(algorithm);
        let jkt = made.to_public().thumbprint().to_string();
        let der: Zeroizing<Vec<u8>> = made.to_pkcs8_der().unwrap();
        let pem: Zeroizing<String> = made.to_pkcs8_pem().unwrap();
        let jwk: Zeroizing<String> = made.to_jwk();
        drop(made);
        let keys = [
            KeyPair::from_pkcs8_der(&der).unwrap(),
            KeyPair::from_pkcs8_pem(&pem).unwrap(),
            KeyPair::from_jwk(&jwk).unwrap(),
        ];
        drop((der, pem, jwk));
        for key in keys {
            const { assert!(std::mem::needs_drop::<KeyPair>()) };
            let server = start();
            let session = server.session().key(key).discover().unwrap();
            assert_eq!(echoed(&session, &server)["jkt"], jkt);
        }
    }
}

/// One token for each issuer, client, scope, resource, parameter and key: none is used where another was
/// asked for.
#[test]
fn c_73_a_token_is_used_only_for_what_it_was_asked_for() {
    let server = start();
    let base = session(&server);
    let p = Parameters::new;
    // The last four would be the same if names and values were merely put together.
    let asked = [
        p(),
        p().scope("a"),
        p().scope("b"),
        p().scope("a b"),
        p().resource("https://one.example"),
        p().resource("https://two.example"),
        p().resource("https://one.example").resource("https://two.example"),
        p().scope("a").resource("https://one.example"),
        p().parameter("ab", "c"),
        p().parameter("a", "bc"),
        p().parameter("a", "b").parameter("c", "d"),
        p().parameter("a", "b&c=d"),
    ];
    let views = asked.each_ref().map(|parameters| base.with_parameters(parameters.clone()).unwrap());
    let scopes =
        [None, Some("a"), Some("b"), Some("a b"), None, None, None, Some("a"), None, None, None, None];
    let mut tokens_of_keys = Vec::new();
    for round in 0..3 {
        let jkt = base.prover().thumbprint().to_string();
        server.clear_received();
        let mut tokens = HashSet::new();
        for (view, scope) in views.iter().zip(scopes) {
            // Twice, and the same once more by a view made anew.
            for _ in 0..2 {
                let echo = echoed(view, &server);
                assert_eq!((&echo["scope"], &echo["jkt"]), (&scope.into(), &jkt.clone().into()), "{round}");
            }
            tokens.insert(view.access_token().unwrap().access_token().to_owned());
        }
        for (parameters, view) in asked.iter().zip(&views) {
            let again = base.with_parameters(parameters.clone()).unwrap();
            assert_eq!(
                again.access_token().unwrap().access_token(),
                view.access_token().unwrap().access_token()
            );
        }
        assert_eq!(tokens.len(), asked.len());
        // On the wire each token came with the one key, in the header and in the proof.
        let sent: HashSet<_> = calls(&server).iter().map(|call| (token_of(call), jkt_of(call))).collect();
        assert_eq!(sent, tokens.iter().map(|token| (token.clone(), jkt.clone())).collect());
        for old in &tokens_of_keys {
            assert!(tokens.is_disjoint(old), "a token of another key");
        }
        tokens_of_keys.push(tokens);
        // A key the server does not like changes nothing; another one is for all views.
        let revoked = key(Algorithm::Es256);
        server.revoke_key(&revoked.to_public().thumbprint());
        base.rotate_key(revoked).unwrap_err();
        assert_eq!(base.prover().thumbprint().to_string(), jkt);
        assert_eq!(echoed(&views[1], &server)["jkt"], jkt);
        views[round].rotate_key(key(Algorithm::Ed25519)).unwrap();
    }
    // Nor does a key that comes back find what it left: who changes keys may do so since the old token is known to others.
    let back = Arc::new(key(Algorithm::Es256));
    let mut tokens = HashSet::new();
    for _ in 0..2 {
        base.rotate_key(Arc::clone(&back)).unwrap();
        for view in &views {
            assert!(tokens.insert(view.access_token().unwrap().access_token().to_owned()));
        }
        base.rotate_key(key(Algorithm::Es256)).unwrap();
    }
    nothing_twice(&server);
}

/// Two issuers, and two clients of one server, that share a key and what it knows.
#[test]
fn c_73_nobody_gets_the_token_of_another_issuer_or_client() {
    let prover = Prover::new(key(Algorithm::Ed25519)).unwrap();
    let [one, two] = ["one", "two"].map(|id| with(|server| server.client(id, "a secret of both clients")));
    let session = |server: &TestServer, id: &str| {
        let auth = ClientAuth::client_secret_basic("a secret of both clients");
        let builder = Session::builder(server.issuer(), id).auth(auth).prover(&prover);
        builder.dangerous_allow_http_on_loopback().discover().unwrap()
    };
    let [first, second, stranger] = [session(&one, "one"), session(&two, "two"), session(&one, "two")];
    let tokens = [&first, &second].map(|session| session.access_token().unwrap().access_token().to_owned());
    assert_ne!(tokens[0], tokens[1]);
    // Registered at the other server alone: there is a token for that key here, and it is not this client's.
    for _ in 0..2 {
        let error = stranger.get(&one.resource("/")).unwrap_err();
        assert_eq!(error.oauth().map(OAuthError::error), Some("invalid_client"));
    }
    assert_eq!((get(&first, &one), get(&second, &two)), (200, 200));
    for (server, token) in [&one, &two].into_iter().zip(&tokens) {
        assert!(calls(server).iter().all(|call| token_of(call) == *token));
    }
    // Nor by way of a request that one session began for another HTTP client and is to be sent once more: whoever goes on with
    // it does so with its own token, and takes no answer that was not for it.
    let view = first.with_parameters(Parameters::new().scope("other")).unwrap();
    let challenge = [("www-authenticate", "DPoP error=\"use_dpop_nonce\"")];
    for (i, other) in [&second, &view].into_iter().enumerate() {
        let own = other.access_token().unwrap();
        let (mut parts, ()) = Request::get(one.resource("/")).body(()).unwrap().into_parts();
        let sent_with =
            |parts: &http::request::Parts| parts.headers["authorization"].to_str().unwrap().to_owned();
        first.authorize(&mut parts).unwrap();
        assert_eq!(sent_with(&parts), format!("DPoP {}", tokens[0]));
        let nonce = format!("nonce-{i}");
        let headers = challenge.into_iter().chain([("dpop-nonce", &*nonce)]);
        let headers: HeaderMap =
            headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let mut stray = parts.clone();
        assert!(
            other.receive(&mut stray, StatusCode::UNAUTHORIZED, &headers, None).unwrap()
                == possession::Step::Done(())
        );
        assert!(
            first.receive(&mut parts, StatusCode::UNAUTHORIZED, &headers, None).unwrap()
                == possession::Step::Retry
        );
        other.authorize(&mut parts).unwrap();
        assert_eq!(sent_with(&parts), format!("DPoP {}", own.access_token()));
    }
}

/// Runs that in each of so many threads at the same moment.
fn at_once<T: Send>(threads: usize, run: impl Fn() -> T + Sync) -> Vec<thread::Result<T>> {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let start = || {
            barrier.wait();
            run()
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    })
}

/// A hundred threads at an expired token, at none, at one that was revoked, and at one that is due: one token
/// request, and no thread without an answer.
#[test]
fn c_74_a_hundred_threads_make_one_token_request() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).nonces(Nonces::Off).max_received(0));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    let events: [(&str, &dyn Fn()); 5] = [
        ("none", &|| {}),
        ("expired", &|| clock.advance(2 * 3600 * SECOND)),
        ("due", &|| clock.advance(3570 * SECOND)),
        ("let go", &|| session.discard_token()),
        ("revoked", &|| server.revoke_tokens()),
    ];
    for (what, happens) in events {
        happens();
        server.clear_received();
        let statuses = at_once(100, || get(&session, &server));
        assert!(statuses.into_iter().all(|status| status.unwrap() == 200), "{what}");
        let counts = server.counts();
        assert_eq!((counts.token_requests, counts.tokens), (1, 1), "{what}");
        // At a revoked token, a call is made once more at the most.
        assert!((100..=200).contains(&counts.resource_requests), "{what}");
        assert!(what == "revoked" || counts.resource_requests == 100, "{what}");
    }
    nothing_twice(&server);
    assert_eq!((session.stats().tokens, session.stats().renewals, session.stats().failures), (5, 4, 0));
}

/// Whoever fetches for all panics in the signer: one thread is lost, another takes over, and the rest never
/// know.
#[test]
fn c_74_a_signer_that_panics_takes_one_thread_along_and_no_other() {
    let (armed, signs) = (Arc::new(AtomicBool::new(false)), Arc::new(key(Algorithm::Ed25519)));
    let (trap, inner) = (Arc::clone(&armed), Arc::clone(&signs));
    let signer = Foreign(Algorithm::Ed25519, signs.to_public(), move |message: &[u8]| {
        if trap.swap(false, Ordering::SeqCst) {
            // A panic without the words that a hook writes.
            std::panic::resume_unwind(Box::new("broken signer"));
        }
        inner.sign(message).unwrap()
    });
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).nonces(Nonces::Off));
    let session = server.session().key(signer).clock(clock.clone()).discover().unwrap();
    for round in ["the token", "the token again", "a call"] {
        server.clear_received();
        if round != "a call" {
            clock.advance(2 * 3600 * SECOND);
        }
        armed.store(true, Ordering::SeqCst);
        let results = at_once(100, || get(&session, &server));
        let lost = results.iter().filter(|result| result.is_err()).count();
        assert_eq!(lost, 1, "{round}");
        assert!(results.into_iter().flatten().all(|status| status == 200), "{round}");
        let counts = server.counts();
        let tokens = u64::from(round != "a call");
        assert_eq!((counts.token_requests, counts.resource_requests), (tokens, 99), "{round}");
    }
    // In a change of keys: it goes on with the key it has.
    let before = session.prover().thumbprint();
    let broken = Foreign(Algorithm::Ed25519, key(Algorithm::Ed25519).to_public(), |_: &[u8]| {
        std::panic::resume_unwind(Box::new("broken signer"))
    });
    let rotating = session.clone();
    assert!(thread::spawn(move || rotating.rotate_key(broken)).join().is_err());
    assert_eq!((session.prover().thumbprint(), get(&session, &server)), (before, 200));
    session.rotate_key(key(Algorithm::Es256)).unwrap();
    assert_eq!(get(&session, &server), 200);
    nothing_twice(&server);
}

/// A clock that panics when it is read for the so-manieth time.
#[derive(Clone)]
struct Panicking(ManualClock, Arc<AtomicI64>);

impl Panicking {
    fn read(&self) {
        if self.1.fetch_sub(1, Ordering::SeqCst) == 0 {
            std::panic::resume_unwind(Box::new("broken clock"));
        }
    }
}

impl Clock for Panicking {
    fn now(&self) -> SystemTime {
        self.read();
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.read();
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        self.read();
        self.0.sleep(duration);
    }
}

/// A caller's own code runs where a session looks at the time, also while it holds what other threads wait
/// for: wherever a panic comes from there, the next call finds a session that works. In all its states: no
/// token, one that is due, one that has ended, and a server that failed before and is given time.
#[test]
fn c_74_a_panic_at_any_look_at_the_clock_leaves_a_session_that_works() {
    const NEVER: i64 = i64::MAX / 2;
    let clock = ManualClock::new();
    let left = Arc::new(AtomicI64::new(NEVER));
    let server = with(|server| server.clock(clock.clone()).max_received(0));
    let builder = server.session().clock(Panicking(clock.clone(), Arc::clone(&left)));
    let session = builder.deadline(60 * SECOND).discover().unwrap();
    /// In a thread of its own that is left behind should it hang.
    fn call(session: &Session, url: String) -> Option<bool> {
        let (session, (sender, receiver)) = (session.clone(), mpsc::channel());
        let run = move || {
            let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| session.get(&url)));
            // Nobody listens to one that was given up.
            let _ = sender.send(called.map(|response| response.is_ok()));
        };
        thread::spawn(run);
        receiver.recv_timeout(HANGS).expect("a call that ends").ok()
    }
    let fails = || always(&server, Endpoint::Token, Quirk::Refuse { status: 503, retry_after: Some(20) });
    let states: [(&str, &dyn Fn()); 4] = [
        ("none", &|| session.discard_token()),
        ("due", &|| clock.advance(3570 * SECOND)),
        ("ended", &|| clock.advance(2 * 3600 * SECOND)),
        ("given time", &|| {
            // Failed for the time that one call has: the next begins while the pause lasts.
            fails();
            session.discard_token();
            assert_eq!(call(&session, server.resource("/")), Some(false));
            server.behave();
        }),
    ];
    for (state, reach) in states {
        let mut panicked = 0;
        for at in 0.. {
            assert_eq!(
                call(&session, server.resource("/")),
                Some(true),
                "{state} {at}: a token to begin with"
            );
            reach();
            left.store(at, Ordering::SeqCst);
            let result = call(&session, server.resource("/"));
            let read_so_often = left.swap(NEVER, Ordering::SeqCst) < 0;
            match result {
                None => panicked += 1,
                Some(_) => assert!(!read_so_often, "{state} {at}: a panic that came to nothing"),
            }
            server.behave();
            clock.advance(SECOND);
            assert_eq!(call(&session, server.resource("/")), Some(true), "{state} {at}");
            if !read_so_often {
                break;
            }
        }
        assert!(panicked >= 5, "{state}: {panicked}");
    }
    nothing_twice(&server);
}

/// What panics while a body is read is the caller's as well: the connection is lost, and nothing else.
#[test]
fn c_74_a_body_that_panics_leaves_a_session_that_works() {
    struct Broken(usize);
    impl std::io::Read for Broken {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                std::panic::resume_unwind(Box::new("broken body"));
            }
            self.0 -= 1;
            bytes.fill(b'x');
            Ok(bytes.len())
        }
    }
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = session.agent().unwrap();
    assert_eq!(get(&session, &server), 200);
    for reads in [0, 1, 3] {
        let url = server.resource("/");
        let results =
            at_once(8, || session.put(&url, "text/plain", Body::from_reader(Broken(reads))).is_ok());
        assert!(results.into_iter().all(|result| result.is_err()), "{reads}");
        let results =
            at_once(8, || agent.put(&url).send(ureq::SendBody::from_owned_reader(Broken(reads))).is_ok());
        assert!(results.into_iter().all(|result| result.is_err()), "{reads}");
        let statuses = at_once(8, || get(&session, &server));
        assert!(statuses.into_iter().all(|status| status.unwrap() == 200), "{reads}");
    }
    assert_eq!(server.counts().tokens, 1);
    nothing_twice(&server);
}

/// RFC 6750 §3.1: one more token, one more call, and then the caller is told; by each way to call, under each
/// scheme that says so, with a proof of its own each time. A body that is a stream is not sent again.
#[test]
fn c_75_an_access_token_that_is_refused_is_replaced_once() {
    for field in [
        r#"DPoP error="invalid_token""#,
        r#"Bearer error="invalid_token", error_description="Invalid token", DPoP algs="ES256""#, // Figure 18
        r#"dpop Error=invalid_token"#,
    ] {
        let server = start();
        let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
        let agent = session.agent().unwrap();
        let url = server.resource("/orders");
        let other_client = || {
            let (mut parts, ()) = Request::get(&url).body(()).unwrap().into_parts();
            let mut sent = 0_usize;
            loop {
                session.authorize(&mut parts).unwrap();
                sent += 1;
                // A client of its own, and as little of one as there can be.
                let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
                let response = config.new_agent().run(Request::from_parts(parts.clone(), ())).unwrap();
                let (status, headers) = (response.status(), response.headers().clone());
                if session.receive(&mut parts, status, &headers, None).unwrap() == possession::Step::Done(())
                {
                    assert!(sent <= 2, "{field}");
                    return status.as_u16();
                }
            }
        };
        let status = |result: Result<Response<ureq::Body>, ureq::Error>| match result {
            Ok(response) => response.status().as_u16(),
            Err(ureq::Error::StatusCode(status)) => status,
            Err(error) => panic!("{field} {error}"),
        };
        let ways: [(&str, &dyn Fn() -> u16); 6] = [
            ("get", &|| get(&session, &server)),
            ("post", &|| session.post(&url, "text/plain", "the same").unwrap().status().as_u16()),
            ("run", &|| {
                session.run(Request::patch(&url).body("the same").unwrap()).unwrap().status().as_u16()
            }),
            ("agent", &|| status(agent.get(&url).call())),
            ("agent with a body", &|| status(agent.post(&url).send("the same"))),
            ("another client", &other_client),
        ];
        for (way, call) in ways {
            assert_eq!(call(), 200, "{way}");
            // Once: another token, and nobody notices.
            server.clear_received();
            server.revoke_tokens();
            assert_eq!(call(), 200, "{way}");
            let tokens: Vec<_> = calls(&server).iter().map(token_of).collect();
            assert!(tokens.len() == 2 && tokens[0] != tokens[1], "{way}");
            assert_eq!(server.counts().tokens, 1, "{way}");
            // For ever: the caller is told after the second.
            server.clear_received();
            always(&server, Endpoint::Resource, respond(401, &[("www-authenticate", field)], ""));
            assert_eq!(call(), 401, "{way} {field}");
            let tokens: Vec<_> = calls(&server).iter().map(token_of).collect();
            assert!(tokens.len() == 2 && tokens[0] != tokens[1], "{way} {field}");
            assert_eq!(server.counts().tokens, 1, "{way} {field}");
            let bodies: HashSet<_> = calls(&server).into_iter().map(|call| call.body).collect();
            assert_eq!(bodies.len(), 1, "{way}: byte for byte");
            server.behave();
        }
        // A stream is gone: the error says so, and a new call has a new token.
        assert_eq!(get(&session, &server), 200);
        server.revoke_tokens();
        server.clear_received();
        let stream = Body::from_reader(std::io::Cursor::new("a stream"));
        let error = session.post(&url, "text/plain", stream).unwrap_err();
        assert_eq!((error.kind(), calls(&server).len()), (&ErrorKind::BodySent { status: 401 }, 1));
        assert_eq!(get(&session, &server), 200);
        nothing_twice(&server);
    }
}

/// What is no refusal of the token costs none: another error, another status, another scheme.
#[test]
fn c_75_other_refusals_fetch_no_token() {
    for (status, field) in [
        (401, r#"DPoP error="insufficient_scope""#),
        (401, r#"DPoP error="invalid_request""#),
        (401, r#"DPoP realm="invalid_token""#),
        (401, r#"Basic error="invalid_token""#),
        (401, r#"DPoP algs="ES256 EdDSA""#),
        (403, r#"DPoP error="invalid_token""#),
        (400, r#"DPoP error="invalid_token""#),
        (200, r#"DPoP error="invalid_token""#),
        (503, r#"Bearer error="invalid_token""#),
    ] {
        let server = start();
        let session = session(&server);
        assert_eq!(get(&session, &server), 200);
        server.clear_received();
        always(&server, Endpoint::Resource, respond(status, &[("www-authenticate", field)], ""));
        assert_eq!(get(&session, &server), status, "{field}");
        let counts = server.counts();
        assert_eq!((counts.token_requests, counts.resource_requests), (0, 1), "{status} {field}");
    }
    // And a token that cannot be replaced is an error of the token endpoint.
    let server = start();
    let session = session(&server);
    assert_eq!(get(&session, &server), 200);
    server.revoke_tokens();
    always(&server, Endpoint::Token, respond(400, &[JSON], r#"{"error":"unauthorized_client"}"#));
    server.clear_received();
    let error = session.get(&server.resource("/")).unwrap_err();
    assert_eq!(error.oauth().map(OAuthError::error), Some("unauthorized_client"));
    let counts = server.counts();
    assert_eq!((counts.token_requests, counts.resource_requests), (1, 1));
}
