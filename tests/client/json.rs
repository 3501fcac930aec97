//! Bodies of requests and responses as JSON (feature `json`).

use std::collections::HashMap;
use std::error::Error as _;

use http::Response;
use possession::testing::{Endpoint, Quirk};
use possession::*;
use serde::{Deserialize, Serialize};

use crate::common::JSON;
use crate::common::server::{always, calls, respond, start};
use crate::support::{SHORT, builder, default_session};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

fn order() -> Order {
    Order { item: "bolt \u{fc}".to_owned(), count: 42 }
}

#[test]
fn a_value_is_sent_as_json_and_sent_again_after_a_challenge() {
    let server = start();
    let session = default_session(&server);
    let post = |body: Body| session.post(&server.resource("/orders"), "application/json", body).unwrap();
    post(Body::json(&order()).unwrap());
    let received = calls(&server);
    assert_eq!(received.len(), 2, "a challenge first");
    for call in received {
        assert_eq!(call.body, "{\"item\":\"bolt \u{fc}\",\"count\":42}".as_bytes());
        assert_eq!(call.header_values("content-type"), ["application/json"]);
    }
    // Unsized values, and those that cannot be JSON.
    post(Body::json("text").unwrap());
    post(Body::json(&[1, 2][..]).unwrap());
    assert_eq!(calls(&server).iter().rev().take(2).map(|call| call.body.len()).sum::<usize>(), 11);
    let error = Body::json(&HashMap::from([((1, 2), "SECRET")])).unwrap_err();
    assert!(*error.kind() == ErrorKind::Body && !error.to_string().contains("SECRET"), "{error}");
    assert!(error.source().is_some());
}

#[test]
fn a_response_is_read_into_a_type() {
    let server = start();
    let session = default_session(&server);
    let text = r#"{"item":"bolt \u00fc","count":42,"more":[null]}"#;
    // The media type is the server's affair, and a byte order mark may be ignored (RFC 8259 §8.1).
    for (media_type, body) in [
        ("application/json", text.to_owned()),
        ("text/plain", format!(" {text}\n")),
        ("a/b", format!("\u{feff}{text}")),
    ] {
        always(&server, Endpoint::Resource, respond(200, &[("content-type", media_type)], body.clone()));
        assert_eq!(session.get(&server.resource("/")).unwrap().json::<Order>().unwrap(), order());
        assert_eq!(Response::new(body.into_bytes()).json::<Order>().unwrap(), order());
        server.behave();
    }
    // Of an error status as well: APIs describe errors in JSON (RFC 9457).
    let problem = r#"{"title":"no such order"}"#;
    always(&server, Endpoint::Resource, respond(404, &[JSON], problem));
    let response = session.get(&server.resource("/")).unwrap();
    assert_eq!(response.json::<HashMap<String, String>>().unwrap()["title"], "no such order");
}

/// What serde says may show values, so it is not part of the text.
#[test]
fn an_error_says_where_the_response_is_wrong_and_shows_none_of_its_values() {
    type Case<'a> = (u16, &'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: [Case<'_>; 6] = [
        (200, &[JSON], r#"{"item":"bolt","count":"SECRET"}"#, "it does not fit the type at line 1 column"),
        (200, &[JSON], r#"{"item":"SECRET"}"#, "it does not fit the type"),
        (200, &[JSON], r#"{"item":"SECRET"#, "it ends too early"),
        (
            502,
            &[("content-type", "text/html")],
            "<html>SECRET",
            "it is not JSON at line 1 column 1 (status 502, text/html",
        ),
        (204, &[], "", "it is empty at line 1 column 0 (status 204, no media type"),
        (200, &[JSON], r#"{"item":"SECRET","count":1} {}"#, "it is not JSON"),
    ];
    for (status, headers, body, says) in cases {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let error = response.body(body.as_bytes().to_vec()).unwrap().json::<Order>().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Content { status });
        let text = format!("{error} {error:?}");
        assert!(text.contains(says) && !text.contains("SECRET"), "{text}");
        assert!(error.source().is_some());
    }
}

#[test]
fn a_response_that_is_too_large_or_does_not_come_is_a_typed_error() {
    let server = start();
    let session = default_session(&server);
    let error = session.get(&server.resource("/bytes/10485761")).unwrap().json::<Order>().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 10 << 20 });
    let hasty = builder(&server, SHORT).discover().unwrap();
    hasty.get(&server.resource("/")).unwrap();
    always(&server, Endpoint::Resource, Quirk::SilentBody);
    let error = hasty.get(&server.resource("/")).unwrap().json::<Order>().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Timeout, "{error}");
}
