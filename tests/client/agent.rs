//! ureq agents that add token and proof.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use possession::testing::{Endpoint, Quirk};
use possession::ureq::Agent;
use possession::ureq::middleware::MiddlewareNext;
use possession::*;

use crate::bodies::Counted;
use crate::common::server::{always, calls, start, statuses};
use crate::support::{default_session, nothing_twice};

#[test]
fn the_requests_of_an_agent_to_the_listed_origins_carry_token_and_proof() {
    let (server, plain) = (start(), start());
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = session.agent().unwrap();
    let mut response = agent.get(server.resource("/orders?page=2")).header("x-own", "kept").call().unwrap();
    let body = response.body_mut().read_to_string().unwrap();
    assert!(body.contains("\"target\":\"/orders?page=2\""), "{body}");
    assert_eq!(statuses(&calls(&server)), [401, 200], "the challenge leads to a retry");
    assert!(calls(&server).iter().all(|call| call.header_values("x-own") == ["kept"]));
    agent.post(server.resource("/")).content_type("text/x").send("posted").unwrap();
    let call = calls(&server).pop().unwrap();
    assert_eq!(
        (&*call.body, call.header_values("content-type"), call.header_values("content-length")),
        (&b"posted"[..], vec!["text/x"], vec!["6"])
    );
    assert_eq!(call.proof().unwrap().claims["htm"], "POST");
    // Every method, with a body where there is usually none.
    for method in ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"] {
        let request = Request::builder().method(method).uri(server.resource("/")).body("b").unwrap();
        assert_eq!(agent.run(request).unwrap().status(), 200, "{method}");
        assert_eq!(calls(&server).pop().unwrap().body, b"b");
    }
    // A revoked token, with a body.
    server.revoke_tokens();
    assert_eq!(agent.put(server.resource("/")).send(vec![7; 5000]).unwrap().status(), 200);
    assert_eq!(calls(&server).pop().unwrap().body, vec![7; 5000]);
    assert_eq!(session.stats().tokens, 2);

    // Other origins receive neither: another server, another port of the same host.
    for url in [plain.resource("/"), format!("{}/orders", server.issuer())] {
        let error = agent.get(&url).call().unwrap_err();
        assert!(matches!(error, ureq::Error::StatusCode(401)), "{error}");
    }
    let seen = plain
        .received()
        .into_iter()
        .chain(calls(&server).into_iter().filter(|call| call.origin == server.issuer()));
    let seen: Vec<_> = seen.collect();
    assert_eq!(seen.len(), 2);
    assert!(
        seen.iter()
            .all(|call| call.header_values("dpop").is_empty()
                && call.header_values("authorization").is_empty())
    );
    nothing_twice(&server);
}

/// It is an error, and not a request without a token.
#[test]
fn an_agent_refuses_a_url_of_a_listed_origin_that_no_proof_can_name() {
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = session.agent().unwrap();
    let host = server.resource_origin().trim_start_matches("http://");
    for url in [
        server.resource("/a/../b"),
        server.resource("/%2e%2e/b"),
        format!("http://user:password@{host}/"),
        format!("HTTP://user@{host}/"),
    ] {
        let error = agent.get(&url).call().unwrap_err();
        let ureq::Error::Other(error) = error else { panic!("{error}") };
        assert_eq!(*error.downcast_ref::<Error>().unwrap().kind(), ErrorKind::Url, "{url}");
    }
    assert!(calls(&server).is_empty());
}

#[test]
fn an_agent_needs_a_list_of_origins() {
    let server = start();
    let error = default_session(&server).agent().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Parameter);
    assert!(error.to_string().contains("resource_origins"), "{error}");
}

#[test]
fn an_agent_treats_statuses_redirects_and_headers_as_configured() {
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = session.agent().unwrap();
    always(&server, Endpoint::Resource, Quirk::Html { status: 404 });
    let error = agent.get(server.resource("/")).call().unwrap_err();
    assert!(matches!(error, ureq::Error::StatusCode(404)), "{error}");
    let lenient = session.agent_with(|config| config.http_status_as_error(false)).unwrap();
    let mut response = lenient.get(server.resource("/")).call().unwrap();
    assert_eq!(response.status(), 404);
    assert!(response.body_mut().read_to_string().unwrap().contains("Bad gateway"));
    // No redirect is followed with a proof in hand.
    server.behave();
    let location = server.resource("/elsewhere");
    always(&server, Endpoint::Resource, Quirk::Redirect { status: 307, location });
    server.clear_received();
    assert_eq!(agent.get(server.resource("/")).call().unwrap().status(), 307);
    assert_eq!(calls(&server).len(), 1);
    // Credentials of the caller are a typed error.
    for name in ["authorization", "DPoP"] {
        let error = agent.get(server.resource("/")).header(name, "x").call().unwrap_err();
        let ureq::Error::Other(error) = error else { panic!("{error}") };
        let error: &Error = error.downcast_ref().unwrap();
        assert_eq!(*error.kind(), ErrorKind::Parameter);
    }
    assert_eq!(calls(&server).len(), 1);
}

#[test]
fn an_agent_has_the_settings_it_was_given() {
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    // Middleware of the caller runs before the token is added, so it does not see it.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let own = Arc::clone(&seen);
    let look = move |mut request: Request<ureq::SendBody>, next: MiddlewareNext| {
        own.lock().unwrap().push(request.headers().keys().map(ToString::to_string).collect::<Vec<_>>());
        request.headers_mut().insert("x-middleware", "was here".parse().unwrap());
        next.handle(request)
    };
    let agent = session.agent_with(|config| config.user_agent("orders/1.0").middleware(look)).unwrap();
    agent.get(server.resource("/")).call().unwrap();
    for call in calls(&server) {
        assert_eq!(
            (call.header_values("user-agent"), call.header_values("x-middleware")),
            (vec!["orders/1.0"], vec!["was here"])
        );
    }
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 1, "once, also when the request is sent again");
    assert!(!seen[0].iter().any(|name| name == "authorization" || name == "dpop"));

    // A timeout of a single request, and one of the agent.
    always(&server, Endpoint::Resource, Quirk::Silence);
    let short = Some(Duration::from_millis(300));
    let error = agent.get(server.resource("/")).config().timeout_global(short).build().call().unwrap_err();
    assert!(matches!(error, ureq::Error::Timeout(_)), "{error}");
    let hasty = session.agent_with(|config| config.timeout_global(short)).unwrap();
    let error = hasty.get(server.resource("/")).call().unwrap_err();
    assert!(matches!(error, ureq::Error::Timeout(_)), "{error}");
}

/// ureq does not say whether a body can be read twice. Up to a mebibyte is kept; longer bodies are streamed.
#[test]
fn an_agent_keeps_short_bodies_and_streams_long_ones() {
    const MIB: usize = 1 << 20;
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = session.agent().unwrap();
    // From a reader, so that its length is unknown: read before it is sent, and sent twice.
    let (body, read) = Counted::new(MIB);
    let body = ureq::SendBody::from_owned_reader(body);
    assert_eq!(agent.put(server.resource("/")).send(body).unwrap().status(), 200);
    assert_eq!(read.load(Ordering::SeqCst), MIB);
    let sent = calls(&server);
    assert_eq!((statuses(&sent), sent[1].body.len()), (vec![401, 200], MIB));
    assert_eq!(sent[1].header_values("content-length"), [MIB.to_string()]);
    // Longer: in chunks or with the given length. After a challenge, the error says so.
    let long = vec![b'z'; MIB + 1];
    assert_eq!(agent.put(server.resource("/")).send(&long[..]).unwrap().status(), 200);
    assert_eq!(calls(&server).pop().unwrap().header_values("transfer-encoding"), ["chunked"]);
    let length = long.len().to_string();
    assert_eq!(
        agent.put(server.resource("/")).header("content-length", &length).send(&long[..]).unwrap().status(),
        200
    );
    let call = calls(&server).pop().unwrap();
    assert_eq!((call.header_values("content-length"), call.body == long), (vec![&*length], true));
    server.rotate_nonces();
    let error = agent.put(server.resource("/")).send(&long[..]).unwrap_err();
    let ureq::Error::Other(error) = error else { panic!("{error}") };
    assert_eq!(*error.downcast_ref::<Error>().unwrap().kind(), ErrorKind::BodySent { status: 401 });
}

/// An agent of the caller below: its middleware and connections are used for every request.
#[test]
fn an_agent_uses_the_transport_that_was_made_from_an_agent() {
    let server = start();
    let count = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&count);
    let counting = move |request: Request<ureq::SendBody>, next: MiddlewareNext| {
        counted.fetch_add(1, Ordering::SeqCst);
        next.handle(request)
    };
    let below = Agent::config_builder().middleware(counting).user_agent("below").build().new_agent();
    let session =
        server.session().transport(Transport::from_agent(below)).resource_origins([server.resource_origin()]);
    let session = session.discover().unwrap();
    let agent = session.agent().unwrap();
    assert_eq!(agent.get(server.resource("/")).call().unwrap().status(), 200);
    // Metadata, two token requests, two calls.
    assert_eq!(count.load(Ordering::SeqCst), 5);
    assert!(server.received().iter().all(|received| received.header_values("user-agent") == ["below"]));
}

#[test]
fn the_user_agent_is_a_setting_of_the_transport() {
    let server = start();
    let session = |transport: Transport| {
        let builder = server.session().transport(transport).resource_origins([server.resource_origin()]);
        builder.discover()
    };
    let own = concat!("possession/", env!("CARGO_PKG_VERSION"));
    let cases = [
        (Transport::builder(), vec![own]),
        (
            Transport::builder().user_agent("orders/1.0 (eu-west; +https://example.com)"),
            vec!["orders/1.0 (eu-west; +https://example.com)"],
        ),
        (Transport::builder().user_agent(""), vec![]),
    ];
    for (transport, expected) in cases {
        server.clear_received();
        let session = session(transport.build()).unwrap();
        session.get(&server.resource("/")).unwrap();
        session.agent().unwrap().get(server.resource("/")).call().unwrap();
        let received = server.received();
        assert!(received.len() >= 5, "metadata, token and calls");
        assert!(
            received.iter().all(|received| received.header_values("user-agent") == expected),
            "{expected:?}"
        );
    }
}

/// ureq would panic.
#[test]
fn a_user_agent_that_no_request_can_carry_is_an_error() {
    let server = start();
    for unusable in ["orders\n", "a\r\nx-evil: 1", "\u{7f}", "bestellungen-\u{fc}", "\0"] {
        let from_agent = Agent::config_builder().user_agent(unusable).build().new_agent();
        let accept = Agent::config_builder().accept(unusable).build().new_agent();
        for transport in [
            Transport::builder().user_agent(unusable).build(),
            Transport::from_agent(from_agent),
            Transport::from_agent(accept),
        ] {
            let error = server.session().transport(transport).discover().unwrap_err();
            assert!(*error.kind() == ErrorKind::Parameter && !error.is_transient(), "{error}");
            assert!(error.to_string().contains("is not a header value"), "{error}");
        }
        let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
        let error = session.agent_with(|config| config.user_agent(unusable)).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Parameter);
    }
}
