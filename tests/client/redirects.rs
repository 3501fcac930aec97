//! Redirects are not followed with a proof, a token or a client secret in hand (rows C-01 … C-04, Q-15).

use possession::testing::{Endpoint, Quirk};
use possession::*;

use crate::certificates::{https, loopback_certificate, strict, trusting};
use crate::common::Trap;
use crate::common::server::{always, calls, get, once, respond, start, token_requests};
use crate::support::{LONG, builder, claim, default_session, nothing_twice, session, text, transports};

#[test]
fn c_01_no_redirect_of_the_token_endpoint_is_followed() {
    for transport in transports() {
        for status in [301, 302, 303, 307, 308] {
            let (server, trap) = (start(), Trap::set());
            let other = format!("{}/token", trap.origin());
            // Another origin, the same URL, no location, and a location that is no URL.
            for location in [Some(other.as_str()), Some("/token"), None, Some("http://[/")] {
                server.behave();
                server.clear_received();
                let headers: Vec<_> = location.iter().map(|location| ("location", *location)).collect();
                always(&server, Endpoint::Token, respond(status, &headers, "moved"));
                let session = builder(&server, LONG).transport(transport.clone()).discover().unwrap();
                let error = session.get(&server.resource("/")).unwrap_err();
                assert_eq!(*error.kind(), ErrorKind::Redirect { status }, "{location:?}");
                assert!(error.to_string().contains(&status.to_string()), "{error}");
                assert_eq!((token_requests(&server).len(), calls(&server).len()), (1, 0), "{location:?}");
            }
            assert!(trap.untouched(), "{status}");
        }
    }
}

/// Redirects to another port, another name, to plain http and within the origin; for each way to call, over
/// plain http and TLS.
#[test]
fn c_02_c_03_a_redirect_of_a_resource_is_returned_to_the_caller_and_not_followed() {
    let certificate = loopback_certificate();
    for secure in [false, true] {
        let server = if secure { https(&certificate) } else { start() };
        let trap = Trap::set();
        let builder = match secure {
            true => strict(&server, trusting(&certificate.ca)),
            false => builder(&server, LONG),
        };
        let session = builder.resource_origins([server.resource_origin()]).discover().unwrap();
        let agent = session.agent_with(|config| config.http_status_as_error(false).max_redirects(10));
        let agent = agent.unwrap();
        let url = server.resource("/orders");
        for status in [301, 302, 303, 307, 308] {
            for location in [
                format!("{}/orders", trap.origin()),
                trap.origin().replace("127.0.0.1", "localhost"),
                "/elsewhere".to_owned(),
                server.resource("/elsewhere"),
            ] {
                server.behave();
                get(&session, &server); // the nonce
                server.clear_received();
                always(&server, Endpoint::Resource, respond(status, &[("location", &location)], "moved"));
                let responses = [
                    session.get(&url).unwrap(),
                    session.post(&url, "text/plain", "x").unwrap(),
                    agent.get(&url).call().unwrap(),
                ];
                for response in responses {
                    assert_eq!(response.status().as_u16(), status);
                    assert_eq!(response.headers()["location"].to_str().unwrap(), location);
                    assert_eq!(text(response), "moved");
                }
                assert_eq!(calls(&server).len(), 3, "{status} {location}");
            }
        }
        assert!(trap.untouched());
    }
}

#[test]
fn c_02_c_03_an_agent_of_the_caller_that_follows_redirects_does_not_follow_them_for_a_session() {
    let [_, following] = transports();
    let (server, trap) = (start(), Trap::set());
    let session = builder(&server, LONG).transport(following).discover().unwrap();
    get(&session, &server); // the nonce
    for status in [301, 302, 303, 307, 308] {
        for location in [format!("{}/", trap.origin()), "/elsewhere".to_owned()] {
            server.behave();
            server.clear_received();
            always(&server, Endpoint::Resource, respond(status, &[("location", &location)], "moved"));
            let got = session.get(&server.resource("/a")).unwrap();
            assert_eq!(
                (got.status().as_u16(), got.headers()["location"].to_str().unwrap()),
                (status, &*location)
            );
            assert_eq!(text(got), "moved");
            let posted = session.post(&server.resource("/a"), "text/plain", "x").unwrap();
            assert_eq!((posted.status().as_u16(), calls(&server).len()), (status, 2));
        }
    }
    assert!(trap.untouched());
}

/// There is no option to follow redirects. A caller who follows one makes another call, with its own proof.
#[test]
fn c_03_a_caller_who_follows_a_redirect_sends_a_new_proof() {
    let server = start();
    let session = session(&server);
    get(&session, &server);
    server.clear_received();
    once(&server, Endpoint::Resource, Quirk::Redirect { status: 307, location: "/orders/".to_owned() });
    let response = session.get(&server.resource("/orders")).unwrap();
    assert_eq!((response.status().as_u16(), calls(&server).len()), (307, 1));
    let next = server.resource(response.headers()["location"].to_str().unwrap());
    assert_eq!(session.get(&next).unwrap().status(), 200);
    let htus: Vec<_> = calls(&server).iter().map(|call| claim(call, "htu").unwrap()).collect();
    assert_eq!(htus, [server.resource("/orders"), server.resource("/orders/")]);
    nothing_twice(&server);
}

#[test]
fn c_04_no_redirect_of_discovery_is_followed() {
    let (server, trap) = (start(), Trap::set());
    let elsewhere = [
        format!("{}/.well-known/oauth-authorization-server", trap.origin()),
        trap.origin().replace("127.0.0.1", "localhost"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "/.well-known/openid-configuration".to_owned(),
    ];
    // At the first well-known location, and at the second after a 404 at the first.
    for missing in [false, true] {
        for location in &elsewhere {
            for status in [301, 302, 303, 307, 308] {
                let [own, following] = transports();
                let discovery = || Discovery::dangerous_allow_http_on_loopback(server.issuer()).unwrap();
                let ways: [&dyn Fn() -> Error; 3] = [
                    &|| builder(&server, LONG).discover().unwrap_err(),
                    &|| discovery().run(&own).unwrap_err(),
                    &|| discovery().run(&following).unwrap_err(),
                ];
                for discover in ways {
                    server.behave();
                    server.clear_received();
                    if missing {
                        once(&server, Endpoint::Metadata, respond(404, &[], ""));
                    }
                    let redirect = Quirk::Redirect { status, location: location.clone() };
                    always(&server, Endpoint::Metadata, redirect);
                    assert_eq!(*discover().kind(), ErrorKind::Redirect { status }, "{location}");
                    assert_eq!(server.received().len(), if missing { 2 } else { 1 }, "{location}");
                }
            }
        }
    }
    assert!(trap.untouched());
}

#[test]
fn q_15_a_redirect_that_adds_a_slash_is_returned_to_the_caller() {
    let server = start();
    let session = default_session(&server);
    let location = server.resource("/orders/");
    always(&server, Endpoint::Resource, Quirk::Redirect { status: 301, location: location.clone() });
    let response = session.get(&server.resource("/orders")).unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers()["location"].to_str().unwrap()),
        (301, &*location)
    );
    assert_eq!(server.received_at(Endpoint::Resource).len(), 1);
    server.behave();
    assert_eq!(session.get(&location).unwrap().status(), 200);
}
