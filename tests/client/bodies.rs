//! Bodies of requests and responses (row C-39).

use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use possession::testing::{ChallengeForm, Endpoint, Quirk};
use possession::*;

use crate::common::server::{always, calls, start, statuses};
use crate::support::{claim, default_session, nothing_twice, session};

/// A reader that counts the bytes that were read.
pub struct Counted {
    left: usize,
    read: Arc<AtomicUsize>,
}

impl Counted {
    pub fn new(length: usize) -> (Self, Arc<AtomicUsize>) {
        let read = Arc::<AtomicUsize>::default();
        (Self { left: length, read: Arc::clone(&read) }, read)
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.left.min(buffer.len());
        buffer[..count].fill(b'y');
        self.left -= count;
        self.read.fetch_add(count, Ordering::SeqCst);
        Ok(count)
    }
}

/// A reader that fails.
pub struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("disk on fire"))
    }
}

#[test]
fn bodies_of_every_kind_are_sent_whole() {
    let server = start();
    let session = default_session(&server);
    let file = std::env::temp_dir().join(format!("possession-body-{}", std::process::id()));
    std::fs::write(&file, "from a file").unwrap();
    // The first one is challenged, and its bytes are sent again.
    let bodies: [(Body, &[u8], Option<&str>); 9] = [
        ("text".into(), b"text", Some("4")),
        (String::from("owned").into(), b"owned", Some("5")),
        (vec![1, 0, 255].into(), &[1, 0, 255], Some("3")),
        ((&b"static"[..]).into(), b"static", Some("6")),
        (b"array".into(), b"array", Some("5")),
        (().into(), b"", Some("0")),
        (Body::from_reader(Cursor::new(b"a stream")), b"a stream", None),
        (Body::from_sized_reader(Cursor::new(b"sized"), 5), b"sized", Some("5")),
        (std::fs::File::open(&file).unwrap().into(), b"from a file", None),
    ];
    for (body, bytes, length) in bodies {
        let shown = format!("{body:?}");
        assert_eq!(
            session.post(&server.resource("/"), "application/x", body).unwrap().status(),
            200,
            "{shown}"
        );
        let call = calls(&server).pop().unwrap();
        assert_eq!(
            (&*call.body, call.header_values("content-type")),
            (bytes, vec!["application/x"]),
            "{shown}"
        );
        assert_eq!(call.header_values("content-length").first().copied(), length, "{shown}");
        assert_eq!(call.header_values("transfer-encoding").is_empty(), length.is_some(), "{shown}");
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(statuses(&calls(&server)).iter().filter(|status| **status == 401).count(), 1);
    // Methods without a body send none.
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let request = Request::builder().method(method).uri(server.resource("/")).body(()).unwrap();
        session.run(request).unwrap();
        let call = calls(&server).pop().unwrap();
        assert!(
            call.header_values("content-length").is_empty()
                && call.header_values("transfer-encoding").is_empty(),
            "{method}"
        );
    }
    for call in [session.head(&server.resource("/")), session.delete(&server.resource("/"))] {
        assert_eq!(call.unwrap().status(), 200);
    }
    let put = session.put(&server.resource("/"), "text/plain", "p").unwrap();
    let patch = session.patch(&server.resource("/"), "text/plain", "p").unwrap();
    assert_eq!([put.status(), patch.status()], [200, 200]);
}

/// Challenges in the header and in the body; every header field and the query are the same in the retry.
#[test]
fn c_39_a_buffered_body_is_sent_again_byte_for_byte() {
    let server = start();
    let session = session(&server);
    session.access_token().unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_001).collect();
    for form in [ChallengeForm::Header, ChallengeForm::Json] {
        for method in ["POST", "PUT", "PATCH", "PROPFIND"] {
            server.behave();
            always(&server, Endpoint::Resource, Quirk::ChallengeForm(form));
            server.rotate_nonces();
            server.clear_received();
            let request =
                Request::builder().method(method).uri(server.resource("/a?q")).header("x-own", "kept");
            let request = request.header("content-type", "application/x").body(bytes.clone()).unwrap();
            assert_eq!(session.run(request).unwrap().status(), 200, "{method}");
            let calls = calls(&server);
            assert_eq!(calls.len(), 2, "{method}");
            for call in &calls {
                assert_eq!((call.method.as_str(), &*call.target), (method, "/a?q"));
                assert_eq!(
                    (call.header_values("content-type"), call.header_values("x-own")),
                    (vec!["application/x"], vec!["kept"])
                );
                assert!(call.body == bytes, "{method}");
                assert_eq!(claim(call, "htm").unwrap(), method);
            }
            nothing_twice(&server);
        }
    }
}

#[test]
fn c_39_a_streamed_body_is_not_sent_again_and_the_error_says_what_to_do() {
    let server = start();
    let session = session(&server);
    session.access_token().unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_001).collect();
    let cursor = || Cursor::new(bytes.clone());
    let url = server.resource("/upload");
    let bodies: [(&str, &dyn Fn() -> Body); 2] = [
        ("in chunks", &|| Body::from_reader(cursor())),
        ("with a length", &|| Body::from_sized_reader(cursor(), 100_001)),
    ];
    for (what, body) in bodies {
        for refused in ["another proof", "another token"] {
            server.clear_received();
            match refused {
                "another proof" => server.rotate_nonces(),
                _ => server.revoke_tokens(),
            }
            let error = session.post(&url, "application/octet-stream", body()).unwrap_err();
            assert_eq!(
                (error.kind(), calls(&server).len()),
                (&ErrorKind::BodySent { status: 401 }, 1),
                "{what}"
            );
            let text = error.to_string();
            for says in [&*url, "POST", "401", refused, "stream", "call again", "or pass the body as bytes"] {
                assert!(text.contains(says), "{text}");
            }
            // The nonce or the token that is needed is known now.
            server.clear_received();
            let response = session.post(&url, "application/octet-stream", body()).unwrap();
            assert_eq!(response.status(), 200, "{what}");
            assert_eq!((calls(&server).len(), calls(&server)[0].body == bytes), (1, true), "{what}");
        }
    }
    nothing_twice(&server);
}

/// `Expect: 100-continue` lets a server refuse before the body is sent.
#[test]
fn c_39_a_stream_of_which_nothing_was_read_is_sent_in_the_retry() {
    let server = start();
    let session = default_session(&server);
    let (body, read) = Counted::new(100_000);
    let request = Request::post(server.resource("/upload")).header("expect", "100-continue");
    let response = session.run(request.body(Body::from_reader(body)).unwrap()).unwrap();
    assert_eq!(response.status(), 200);
    nothing_twice(&server);
    let calls = calls(&server);
    assert_eq!(statuses(&calls), [401, 200]);
    assert_eq!(
        (calls[0].body.len(), calls[1].body.len(), read.load(Ordering::SeqCst)),
        (0, 100_000, 100_000)
    );
}

#[test]
fn a_stream_of_another_length_or_that_fails_is_an_error_that_says_so() {
    let server = start();
    let session = default_session(&server);
    session.get(&server.resource("/")).unwrap();
    let body = Body::from_sized_reader(Cursor::new(b"short"), 500);
    let url = server.resource("/");
    let said = |body: Body, says: &str| {
        let error = session.put(&url, "application/x", body).unwrap_err();
        assert!(*error.kind() == ErrorKind::Body && !error.is_transient(), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(&url) && text.contains("the body of the request") && text.contains(says),
            "{text}"
        );
    };
    said(body, "it ended after 5 of the declared 500 bytes");
    said(Body::from_sized_reader(Cursor::new(b"too long"), 3), "it is longer than the declared 3 bytes");
    said(Body::from_reader(Failing), "disk on fire");
    said(Body::from_sized_reader(Failing, 10), "disk on fire");
    // The server received no whole request.
    assert!(calls(&server)[2..].iter().all(|call| call.status.is_none()));
}

/// The first bytes can be read before the last ones were sent. Nobody holds the 200 MiB in memory.
#[test]
fn downloads_stream() {
    const LENGTH: u64 = 200 << 20;
    let server = start();
    let session = default_session(&server);
    let mut response = session.get(&server.resource(&format!("/bytes/{LENGTH}"))).unwrap();
    assert_eq!(response.body().content_length(), Some(LENGTH));
    let mut reader = response.body_mut().as_reader();
    let mut first = [0; 10];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"xxxxxxxxxx");
    let rest = std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    assert_eq!(rest, LENGTH - 10);
}
