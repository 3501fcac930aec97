//! The other ways to call with a session: agents of ureq, other HTTP clients, bodies and streams.

use http::{Request, StatusCode};
use possession::testing::{Endpoint, Quirk, TestServer};
use possession::*;

use crate::capture;
use crate::common::server::{SECOND, always};
use crate::scene::{Scene, show_call};
use crate::watch::{BODY, QUERY, SECRET, Watch};

/// What an agent shows of itself and of its errors is up to ureq, and what it carries belongs to the
/// session.
#[test]
fn c_71_agents_do_not_show_a_secret() {
    let mut watch = Watch::new();
    let scene = Scene::new(&mut watch);
    for session in &scene.sessions {
        let agent = session.agent_with(|config| config.timeout_global(Some(20 * SECOND))).unwrap();
        watch.show((&agent, agent.config()));
        for _ in 0..2 {
            watch.show_result(agent.get(&scene.url).call());
            watch.show_result(agent.post(&scene.url).send(BODY));
            scene.server.rotate_nonces();
            scene.server.revoke_tokens();
        }
        // Too long to be kept for a retry: the error of the session is inside an error of ureq.
        scene.server.rotate_nonces();
        let long = BODY.repeat((2 << 20) / BODY.len());
        watch.show_result(agent.put(&scene.url).send(long));
        watch.show_result(agent.get(&scene.url).header("dpop", SECRET).call());
        watch.show_result(agent.get(&scene.url).header("authorization", format!("Bearer {SECRET}")).call());
        watch.show_result(agent.get(scene.url.replace("/orders", "/a/../b")).call());
        for quirk in [
            Quirk::Html { status: 500 },
            Quirk::CloseWithoutResponse,
            Quirk::RawBytes(b"not HTTP\r\n\r\n".to_vec()),
            Quirk::Redirect { status: 302, location: "https://evil.example/".to_owned() },
        ] {
            always(&scene.server, Endpoint::Resource, quirk);
            watch.show_result(agent.get(&scene.url).call());
            watch.show_result(agent.post(&scene.url).send(BODY));
            scene.behave();
        }
        always(&scene.server, Endpoint::Token, Quirk::Refuse { status: 503, retry_after: Some(100) });
        session.discard_token();
        watch.show_result(agent.get(&scene.url).call());
        watch.show_result(agent.get(&scene.url).call());
        scene.behave();
        // At another origin the agent sends no token.
        let elsewhere = format!("{}/orders?{QUERY}", scene.server.issuer());
        watch.show_result(session.get(&elsewhere));
        watch.show_result(agent.get(&elsewhere).call());
        let received = scene.server.received().pop().unwrap();
        assert!(
            received.header_values("authorization").is_empty() && received.header_values("dpop").is_empty()
        );
        watch.show(session);
    }
    assert!(watch.sent(&scene.server) > 100);
    watch.check(&[
        "is a stream that was already sent",
        "is not asked again for",
        "the connection was lost",
        "has a header `dpop`, which the session sets",
    ]);
}

/// The head that another HTTP client sends, and the state in its extensions between two attempts.
#[test]
fn c_71_requests_of_other_http_clients_do_not_show_a_secret() {
    let mut watch = Watch::new();
    let scene = Scene::new(&mut watch);
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
    let client = config.new_agent();
    // `Parts` show their URL, which is the caller's, so this one has no secret in it.
    let url = scene.server.resource("/orders");
    for session in &scene.sessions {
        for happens in [TestServer::rotate_nonces, TestServer::revoke_tokens, |_: &TestServer| {}] {
            happens(&scene.server);
            let (mut parts, ()) = Request::get(&url).body(()).unwrap().into_parts();
            let status = loop {
                session.authorize(&mut parts).unwrap();
                watch.show(&parts);
                watch.show((&parts.headers, &parts.extensions, Request::from_parts(parts.clone(), ())));
                for name in ["authorization", "dpop"] {
                    let value = parts.headers[name].to_str().unwrap().to_owned();
                    assert!(parts.headers[name].is_sensitive());
                    watch.credential(value.rsplit(' ').next().unwrap());
                }
                let response = client.run(Request::from_parts(parts.clone(), ())).unwrap();
                let headers = response.headers().clone();
                if session.receive(&mut parts, response.status(), &headers, None).unwrap()
                    == possession::Step::Done(())
                {
                    break response.status();
                }
                watch.show(&parts);
            };
            assert_eq!(status, StatusCode::OK);
        }
        for uri in [format!("http://example.com/?{QUERY}"), format!("{}/?{QUERY}", scene.server.issuer())] {
            let (mut parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
            watch.show_result(session.authorize(&mut parts));
        }
        watch.show(session);
    }
    assert!(watch.sent(&scene.server) > 50);
    watch.check(&["its origin is not one of the `resource_origins`", "Sensitive"]);
}

/// Bodies of every kind that arrive, are sent again, break off or cannot be read.
#[test]
fn c_71_bodies_do_not_show_their_content() {
    struct Unreadable;
    impl std::io::Read for Unreadable {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("gone"))
        }
    }
    let mut watch = Watch::new();
    let scene = Scene::new(&mut watch);
    let (stream, length) = (|| std::io::Cursor::new(BODY), BODY.len() as u64);
    for session in &scene.sessions {
        let bodies = || {
            [
                Body::from(BODY),
                Body::from(BODY.to_owned()),
                Body::from(BODY.as_bytes()),
                Body::from_reader(stream()),
                Body::from_sized_reader(stream(), length),
                Body::from_reader(Unreadable),
            ]
        };
        for quirk in
            [None, Some(Quirk::Challenge), Some(Quirk::CloseWithoutResponse), Some(Quirk::CloseMidway)]
        {
            for body in bodies() {
                if let Some(quirk) = &quirk {
                    always(&scene.server, Endpoint::Resource, quirk.clone());
                }
                watch.show(&body);
                show_call(&mut watch, session.put(&scene.url, "text/plain", body));
                scene.server.behave();
            }
        }
        for body in bodies() {
            scene.server.rotate_nonces();
            let request = Request::post(&scene.url).header("x-secret", "x").body(body).unwrap();
            watch.show(request.headers());
            show_call(&mut watch, session.run(request));
        }
        watch.show_result(session.post(&scene.url, &format!("text/plain\n{BODY}"), ()).map(drop));
    }
    assert!(watch.sent(&scene.server) > 50);
    watch.check(&[
        "Body(stream)",
        "Body(stream of 44 bytes)",
        "wants another proof",
        "the content type is not a header value",
    ]);
}

/// No way to call sends anything, and no state changes.
#[test]
fn c_71_a_session_sends_nothing_while_a_logger_takes_every_byte() {
    let mut watch = Watch::new();
    let scene = Scene::new(&mut watch);
    for session in &scene.sessions {
        assert_eq!(show_call(&mut watch, session.get(&scene.url)), Some(StatusCode::OK));
        let (agent, jkt) = (session.agent().unwrap(), session.prover().thumbprint());
        for with_token in [true, false] {
            if !with_token {
                session.discard_token();
            }
            let before = scene.server.counts();
            capture::take_dumps(true);
            let mut results = vec![
                session.get(&scene.url).map(drop),
                session.post(&scene.url, "text/plain", BODY).map(drop),
                session
                    .post(&scene.url, "text/plain", Body::from_reader(std::io::Cursor::new(BODY)))
                    .map(drop),
                session.rotate_key(watch.new_key(Algorithm::Es256)),
                scene.server.session().discover().map(drop),
            ];
            let by_agent = agent.get(&scene.url).call().map(drop);
            if !with_token {
                results.push(session.access_token().map(drop));
                let (mut parts, ()) = Request::get(&scene.url).body(()).unwrap().into_parts();
                results.push(session.authorize(&mut parts));
            }
            capture::take_dumps(false);
            assert!(capture::dumped().is_empty(), "{} {}", capture::REPORT, capture::dumped());
            for result in results {
                let error = result.unwrap_err();
                assert_eq!(*error.kind(), ErrorKind::Configuration, "{error}");
                assert!(
                    error.to_string().contains("RUST_LOG=possession=debug") && !error.is_transient(),
                    "{error}"
                );
                watch.show_error(&error);
            }
            watch.show_error(&by_agent.unwrap_err());
            assert_eq!(scene.server.counts(), before);
            assert_eq!(session.prover().thumbprint(), jkt);
        }
        assert_eq!(show_call(&mut watch, session.get(&scene.url)), Some(StatusCode::OK));
    }
    watch.sent(&scene.server);
    watch.check(&["the logger takes records of ureq_proto at trace level"]);
}
