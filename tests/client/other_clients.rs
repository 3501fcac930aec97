//! Requests for another HTTP client: `authorize` and `receive`.

use http::{Request, Response, StatusCode};
use possession::testing::{ChallengeForm, Endpoint, Quirk};
use possession::ureq::Agent;
use possession::*;

use crate::common::server::{always, calls, start};
use crate::support::{default_session, nothing_twice};

/// Drives a request over plain ureq, as another client would.
pub fn drive(session: &Session, request: Request<()>) -> (Response<String>, u32) {
    let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
    let (mut parts, ()) = request.into_parts();
    for sent in 1.. {
        session.authorize(&mut parts).unwrap();
        let (head, mut body) = agent.run(Request::from_parts(parts.clone(), ())).unwrap().into_parts();
        let body = body.read_to_string().unwrap();
        if session.receive(&mut parts, head.status, &head.headers, Some(body.as_bytes())).unwrap()
            == possession::Step::Done(())
        {
            return (Response::from_parts(head, body), sent);
        }
        assert!(sent < 10, "no end of retries");
    }
    unreachable!()
}

#[test]
fn another_client_is_served_by_authorize_and_receive() {
    for form in [ChallengeForm::Header, ChallengeForm::Json] {
        let server = start();
        always(&server, Endpoint::Resource, Quirk::ChallengeForm(form));
        let session = default_session(&server);
        let get = || Request::get(server.resource("/orders?a")).body(()).unwrap();
        let (response, sent) = drive(&session, get());
        assert_eq!((response.status().as_u16(), sent), (200, 2), "a nonce first");
        assert_eq!(drive(&session, get()).1, 1);
        // A refused token, and a clock that differs.
        server.revoke_tokens();
        assert_eq!(drive(&session, get()).1, 2);
        server.set_clock_offset(-900);
        let (response, sent) = drive(&session, get());
        assert_eq!(response.status(), 200);
        assert!(sent <= 3, "{sent}");
        // Challenges without end: one retry.
        always(&server, Endpoint::Resource, Quirk::Challenge);
        assert_eq!(drive(&session, get()).1, 2);
        for call in calls(&server) {
            assert_eq!((call.header_values("authorization").len(), call.header_values("dpop").len()), (1, 1));
        }
        nothing_twice(&server);
    }
    // A response to a request that was not authorized changes nothing, and a head can be used for another
    // call.
    let server = start();
    let session = default_session(&server);
    let (mut parts, ()) = Request::get(server.resource("/a")).body(()).unwrap().into_parts();
    assert!(
        session.receive(&mut parts, StatusCode::UNAUTHORIZED, &http::HeaderMap::new(), None).unwrap()
            == possession::Step::Done(())
    );
    let (_, first) = drive(&session, Request::from_parts(parts.clone(), ()));
    server.rotate_nonces();
    parts.uri = server.resource("/b").parse().unwrap();
    let (_, second) = drive(&session, Request::from_parts(parts, ()));
    assert_eq!((first, second), (2, 2));
}

#[test]
fn only_the_listed_origins_are_called_and_others_cost_no_token_request() {
    let (server, other) = (start(), start());
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    for url in [other.resource("/"), format!("{}/orders", server.issuer()), "https://example.com/".to_owned()]
    {
        let error = session.get(&url).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Url);
        assert!(error.to_string().contains("resource_origins"), "{error}");
        let (mut parts, ()) = Request::get(&url).body(()).unwrap().into_parts();
        assert_eq!(*session.authorize(&mut parts).unwrap_err().kind(), ErrorKind::Url);
        assert!(parts.headers.is_empty());
    }
    assert!(other.received().is_empty() && server.received_at(Endpoint::Token).is_empty());
    // Spelling does not matter.
    let spelled = server.resource("/").replace("http://", "HTTP://");
    assert_eq!(session.get(&spelled).unwrap().status(), 200);
    for origin in ["example.com", "https://example.com/api", "ftp://example.com", ""] {
        let error = server.session().resource_origins([origin]).discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Url, "{origin}");
    }
}
