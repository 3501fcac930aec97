//! Which URLs are called and which are refused before anything is sent (rows C-05, C-06, C-07 and C-11).

use http::Request;
use possession::testing::Endpoint;
use possession::*;

use crate::certificates::{https, loopback_certificate, strict, trusting};
use crate::common::server::{always, calls, get, start, token_requests};
use crate::common::{Trap, values};
use crate::support::{LONG, builder, by_hand, claim, document, session};

#[test]
fn c_05_plain_http_is_refused_before_connecting() {
    let certificate = loopback_certificate();
    let (server, trap) = (https(&certificate), Trap::set());
    let evil = format!("{}/token", trap.origin());
    let discover = || strict(&server, trusting(&certificate.ca)).discover();
    // Metadata of an honest origin that name a plain endpoint, which would be used.
    always(&server, Endpoint::Metadata, document(&server, &evil, ""));
    assert_eq!(*discover().unwrap_err().kind(), ErrorKind::Metadata);
    // One that is not used is not called either.
    for more in [r#","mtls_endpoint_aliases":{"token_endpoint":"EVIL"}"#, r#","jwks_uri":"EVIL""#] {
        server.behave();
        let endpoint = format!("{}/token", server.issuer());
        always(&server, Endpoint::Metadata, document(&server, &endpoint, &more.replace("EVIL", &evil)));
        discover().unwrap().access_token().unwrap();
    }
    server.clear_received();
    server.behave();
    let session = discover().unwrap();
    assert_eq!(*session.get(&format!("{}/", trap.origin())).unwrap_err().kind(), ErrorKind::Url);
    // The same where a plain origin is listed as one that may be called: refused at once or by the call.
    let named = strict(&server, trusting(&certificate.ca)).resource_origins([trap.origin()]).discover();
    let called = named.and_then(|session| session.get(&format!("{}/", trap.origin())).map(drop));
    assert_eq!(*called.unwrap_err().kind(), ErrorKind::Url);
    // As an issuer, by each way to discover.
    let transport = trusting(&certificate.ca).build();
    let refused = [
        Session::builder(trap.origin(), "app").discover().map(drop),
        Discovery::new(&trap.origin()).map(drop),
        AuthorizationServer::discover(&trap.origin(), &transport).map(drop),
    ];
    for refused in refused {
        assert_eq!(*refused.unwrap_err().kind(), ErrorKind::Metadata);
    }
    // In metadata that were not fetched.
    let written = || AuthorizationServer::builder("https://as.example");
    let endpoint = "https://as.example/token";
    let refused =
        [written().token_endpoint(&evil), written().token_endpoint(endpoint).mtls_token_endpoint(&evil)];
    for refused in refused {
        assert_eq!(*refused.build().unwrap_err().kind(), ErrorKind::Metadata);
    }
    let session = Session::builder("", "app").server(written().token_endpoint(endpoint).build().unwrap());
    assert_eq!(*session.unwrap().get(&trap.origin()).unwrap_err().kind(), ErrorKind::Url);
    assert!(trap.untouched() && token_requests(&server).is_empty() && calls(&server).is_empty());
}

#[test]
fn c_05_the_option_for_plain_http_is_for_loopback_alone() {
    let server = start();
    let lax = session(&server);
    for host in [
        "127.0.0.1.example.com",
        "localhost.example.com",
        "example.com",
        "resource.example",
        "192.0.2.1",
        "0.0.0.0",
        "[::]",
        "[::2]",
    ] {
        let error = lax.get(&format!("http://{host}/")).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Url, "{host}");
        let error = by_hand(&server, &format!("http://{host}/token")).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Metadata, "{host}");
        let discovery = Discovery::dangerous_allow_http_on_loopback(&format!("http://{host}/"));
        assert_eq!(*discovery.unwrap_err().kind(), ErrorKind::Metadata, "{host}");
    }
    // No token is requested for a call that cannot be made.
    assert!(token_requests(&server).is_empty() && calls(&server).is_empty());
}

#[test]
fn c_06_user_information_in_a_url_is_refused_everywhere() {
    let server = start();
    let lax = builder(&server, LONG).resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = lax.agent().unwrap();
    server.clear_received();
    for user in ["u:p@", "u@", ":p@", ":@", "@", "u%40x:p@"] {
        let evil = |url: &str| url.replacen("://", &format!("://{user}"), 1);
        let url = evil(&server.resource("/"));
        for url in [url.clone(), url.replacen("http:", "https:", 1)] {
            assert_eq!(*lax.get(&url).unwrap_err().kind(), ErrorKind::Url, "{user}");
            let discovery = Discovery::dangerous_allow_http_on_loopback(&url);
            assert_eq!(*discovery.unwrap_err().kind(), ErrorKind::Metadata, "{user}");
        }
        // An agent of ureq would turn it into `Authorization: Basic`.
        assert!(agent.get(&url).call().is_err(), "{user}");
        let issuer = Session::builder(evil(server.issuer()), "app").dangerous_allow_http_on_loopback();
        assert_eq!(*issuer.discover().unwrap_err().kind(), ErrorKind::Metadata, "{user}");
        let endpoint = by_hand(&server, &evil(&server.resource("/token")));
        assert_eq!(*endpoint.unwrap_err().kind(), ErrorKind::Metadata, "{user}");
        assert!(server.received().is_empty(), "{user}");
        // In metadata that came over the wire.
        let token = format!("{}/token", server.issuer());
        let alias = format!(r#","mtls_endpoint_aliases":{{"token_endpoint":"{}"}}"#, evil(&token));
        for quirk in [document(&server, &evil(&token), ""), document(&server, &token, &alias)] {
            server.behave();
            always(&server, Endpoint::Metadata, quirk);
            let error = builder(&server, LONG).discover().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Metadata, "{user}");
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
        server.behave();
        server.clear_received();
    }
}

#[test]
fn c_07_the_query_of_the_token_endpoint_is_sent_and_a_fragment_is_refused() {
    let server = start();
    let token = format!("{}/token", server.issuer());
    for (query, accepted) in
        [("?tenant=a%20b&x=/?", true), ("?tenant=a%20b", true), ("?", true), ("#", false), ("?a=b#f", false)]
    {
        server.behave();
        always(&server, Endpoint::Metadata, document(&server, &format!("{token}{query}"), ""));
        // Metadata that were fetched, and metadata that were not.
        let written = by_hand(&server, &format!("{token}{query}"));
        let sessions = [
            builder(&server, LONG).discover(),
            written.and_then(|metadata| builder(&server, LONG).server(metadata)),
        ];
        for session in sessions {
            server.clear_received();
            match session {
                Ok(session) => assert!(accepted && session.access_token().is_ok(), "{query}"),
                Err(error) => assert!(!accepted && *error.kind() == ErrorKind::Metadata, "{query} {error}"),
            }
            let expected = if accepted { 2 } else { 0 };
            assert_eq!(token_requests(&server).len(), expected, "{query}: with the nonce challenge");
            for request in token_requests(&server) {
                assert_eq!(request.target, format!("/token{query}"));
                assert_eq!(claim(&request, "htu").unwrap(), token, "RFC 9449 §4.2: without the query");
            }
        }
    }
}

#[test]
fn c_11_a_request_has_one_authorization_and_one_proof_and_they_are_the_session_s() {
    let server = start();
    let session = builder(&server, LONG).resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = session.agent().unwrap();
    let own = ["authorization", "AUTHORIZATION", "AuthoriZation", "Authorization", "dpop", "DPoP", "DPOP"];
    // The last four would make the server see another request than the one that the proof names.
    for name in own.into_iter().chain(["Host", "Content-Length", "Transfer-Encoding", "Connection"]) {
        let request = Request::get(server.resource("/")).header(name, "mine").body(()).unwrap();
        assert_eq!(*session.run(request).unwrap_err().kind(), ErrorKind::Parameter, "{name}");
    }
    assert!(token_requests(&server).is_empty() && calls(&server).is_empty(), "nothing is sent");
    get(&session, &server);
    server.clear_received();
    for name in own {
        assert!(agent.get(server.resource("/")).header(name, "mine").call().is_err(), "{name}");
        // In a request for another HTTP client they are replaced.
        let request = Request::get(server.resource("/")).header(name, "mine").header(name, "mine too");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        session.authorize(&mut parts).unwrap();
        for name in ["authorization", "dpop"] {
            let values: Vec<_> = parts.headers.get_all(name).iter().collect();
            assert!(values.len() == 1 && !values[0].as_bytes().starts_with(b"mine"), "{name}");
        }
    }
    assert!(calls(&server).is_empty(), "what is refused is not sent");
    assert_eq!(get(&session, &server), 200);
    assert_eq!(agent.get(server.resource("/")).call().unwrap().status(), 200);
    let request = Request::get(server.resource("/a?b")).header("x-own", "kept").body(()).unwrap();
    assert_eq!(session.run(request).unwrap().status(), 200);
    for call in calls(&server) {
        assert_eq!((call.header_values("authorization").len(), call.header_values("dpop").len()), (1, 1));
        assert!(call.header_values("authorization")[0].starts_with("DPoP "));
    }
    let last = calls(&server).pop().unwrap();
    assert_eq!(
        (last.method.as_str(), &*last.target, last.header_values("x-own")),
        ("GET", "/a?b", vec!["kept"])
    );
    assert_eq!(
        [claim(&last, "htm"), claim(&last, "htu")].map(Option::unwrap),
        ["GET".into(), server.resource("/a")]
    );
    // Only what RFC 6749 and RFC 9449 register for it goes to the token endpoint.
    session.discard_token();
    session.access_token().unwrap();
    let request = token_requests(&server).pop().unwrap();
    assert_eq!((request.header_values("authorization").len(), claim(&request, "ath")), (1, None));
    assert_eq!(values(&request.form(), "grant_type"), ["client_credentials"]);
}
