//! Bodies of requests and responses (row C-39).

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use possession::testing::{ChallengeForm, Endpoint, Quirk, When};
use possession::*;
use tempfile::NamedTempFile;

use crate::common::server::{always, calls, once, respond, start, statuses};
use crate::common::{Peer, Then, http};
use crate::peer::{self, all_distinct, jtis, token_server};
use crate::support::{claim, default_session, nothing_twice, session, without_nonces};

fn file_with(content: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, content).unwrap();
    file
}

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
    let file = file_with("from a file");
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
        (file.reopen().unwrap().into(), b"from a file", Some("11")),
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

/// Challenges in the header and in the body; every header field and the query are the same in the retry. RFC
/// 9110 §9.3.1 discourages a body in a GET request, and forbids none but that of TRACE (§9.3.8). A body that
/// was given is not dropped in silence.
#[test]
fn a_transport_sends_the_body_of_every_method() {
    let server = start();
    let transport = Transport::builder().build();
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "PUT", "POST", "PATCH", "QUERY"] {
        let request = Request::builder().method(method).uri(server.resource("/bodies"));
        transport.send(request.body(RequestBody::from(b"body".to_vec())).unwrap()).unwrap();
        let received = server.take_received().pop().unwrap();
        assert_eq!((&*received.body, received.method.as_str()), (&b"body"[..], method));
    }
}

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
    // Without a nonce the stream would wait for `100 Continue`.
    session.get(&server.resource("/")).unwrap();
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

/// Every challenge and refusal here comes after the whole body was sent: the client knows a nonce, so it
/// does not wait for `100 Continue`.
#[test]
fn c_39_a_file_is_sent_with_its_length_and_again_from_where_it_was() {
    let server = start();
    let session = session(&server);
    session.get(&server.resource("/")).unwrap();
    let file = file_with("0123456789 and the rest");
    let url = server.resource("/upload");
    let refusals: [&dyn Fn(); 3] = [&|| server.rotate_nonces(), &|| server.revoke_tokens(), &|| {
        server.misbehave(Endpoint::Resource, When::Next(1), Quirk::CloseWithoutResponse)
    }];
    for (i, refuse) in refusals.into_iter().enumerate() {
        refuse();
        server.clear_received();
        let mut open = file.reopen().unwrap();
        open.seek(SeekFrom::Start(11)).unwrap();
        assert_eq!(session.put(&url, "text/plain", open).unwrap().status(), 200);
        let calls = calls(&server);
        assert_eq!(calls.len(), 2, "{i}");
        for call in &calls {
            assert_eq!(
                (&*call.body, call.header_values("content-length")),
                (&b"and the rest"[..], vec!["12"])
            );
            assert!(call.header_values("transfer-encoding").is_empty());
        }
        nothing_twice(&server);
    }
}

/// The length is that of the moment at which it is sent.
#[test]
fn files_that_grow_or_are_empty_or_have_no_length_are_sent_whole() {
    let server = start();
    let session = default_session(&server);
    session.get(&server.resource("/")).unwrap();
    let put = |body: Body| {
        assert_eq!(session.put(&server.resource("/"), "text/plain", body).unwrap().status(), 200);
        calls(&server).pop().unwrap()
    };
    let file = file_with("short");
    let body = Body::from(file.reopen().unwrap());
    std::fs::write(&file, "longer than it was").unwrap();
    let call = put(body);
    assert_eq!((&*call.body, call.header_values("content-length")), (&b"longer than it was"[..], vec!["18"]));
    let call = put(file_with("").into_file().into());
    assert_eq!((&*call.body, call.header_values("content-length")), (&b""[..], vec!["0"]));
    // At its end, and beyond it.
    for position in [5, 50] {
        let mut open = file_with("12345").reopen().unwrap();
        open.seek(SeekFrom::Start(position)).unwrap();
        assert_eq!(put(open.into()).header_values("content-length"), ["0"]);
    }
    #[cfg(target_os = "linux")]
    {
        // Its length is said to be 0.
        let call = put(File::open("/proc/self/status").unwrap().into());
        assert!(call.body.starts_with(b"Name:"), "{} bytes", call.body.len());
        assert_eq!(call.header_values("transfer-encoding"), ["chunked"]);
    }
    #[cfg(unix)]
    {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"through a pipe").unwrap();
        drop(writer);
        let call = put(File::from(std::os::fd::OwnedFd::from(reader)).into());
        assert_eq!(
            (&*call.body, call.header_values("transfer-encoding")),
            (&b"through a pipe"[..], vec!["chunked"])
        );
    }
}

#[test]
fn c_39_a_reopenable_stream_is_opened_for_each_attempt() {
    let server = start();
    let session = session(&server);
    session.get(&server.resource("/")).unwrap();
    let url = server.resource("/upload");
    let bytes: Vec<u8> = (0..=255).cycle().take(100_001).collect();
    for sized in [false, true] {
        let opened = Arc::<AtomicUsize>::default();
        let (count, content) = (Arc::clone(&opened), bytes.clone());
        let open = move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(Cursor::new(content.clone()))
        };
        let body = if sized { Body::reopenable_sized(open, 100_001) } else { Body::reopenable(open) };
        server.rotate_nonces();
        server.clear_received();
        assert_eq!(session.post(&url, "application/x", body).unwrap().status(), 200);
        let calls = calls(&server);
        assert_eq!((statuses(&calls), opened.load(Ordering::SeqCst)), (vec![401, 200], 2));
        for call in &calls {
            assert!(call.body == bytes);
            assert_eq!(call.header_values("content-length"), if sized { vec!["100001"] } else { vec![] });
        }
        nothing_twice(&server);
    }
    // Files of their own type, and errors of the function.
    let file = file_with("named");
    let path = file.path().to_owned();
    session.post(&url, "text/plain", Body::reopenable(move || File::open(&path))).unwrap();
    assert_eq!(calls(&server).pop().unwrap().body, b"named");
    let gone = Body::reopenable(|| File::open("/nonexistent/file"));
    let error = session.post(&url, "text/plain", gone).unwrap_err();
    assert!(*error.kind() == ErrorKind::Body && error.to_string().contains("opening the body"), "{error}");
    let error = session.post(&url, "text/plain", Body::reopenable(|| Ok(Failing))).unwrap_err();
    assert!(*error.kind() == ErrorKind::Body && error.to_string().contains("disk on fire"), "{error}");
}

/// RFC 9110 §10.1.1: the server refuses before the body is sent.
#[test]
fn c_39_a_stream_waits_for_100_continue_while_no_nonce_is_known() {
    let file = file_with("from a file");
    let bodies: [(&str, &dyn Fn() -> Body); 4] = [
        ("stream", &|| Body::from_reader(Cursor::new("a stream"))),
        ("sized stream", &|| Body::from_sized_reader(Cursor::new("a stream"), 8)),
        ("reopenable stream", &|| Body::reopenable(|| Ok(Cursor::new("a stream")))),
        ("file", &|| file.reopen().unwrap().into()),
    ];
    for (what, body) in bodies {
        let server = start();
        let session = default_session(&server);
        let url = server.resource("/upload");
        assert_eq!(session.post(&url, "text/plain", body()).unwrap().status(), 200, "{what}");
        let sent = calls(&server);
        assert_eq!(statuses(&sent), [401, 200], "{what}");
        assert_eq!(
            (sent[0].header_values("expect"), sent[0].body.len()),
            (vec!["100-continue"], 0),
            "{what}"
        );
        // The nonce is known now.
        assert!(sent[1].header_values("expect").is_empty() && !sent[1].body.is_empty(), "{what}");
        session.post(&url, "text/plain", body()).unwrap();
        assert!(calls(&server).pop().unwrap().header_values("expect").is_empty(), "{what}");
        nothing_twice(&server);
    }
    // Through an agent, whose longer bodies are streams.
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let long = vec![b'z'; (1 << 20) + 1];
    let agent = session.agent().unwrap();
    assert_eq!(agent.put(server.resource("/")).send(&long[..]).unwrap().status(), 200);
    let sent = calls(&server);
    assert_eq!((statuses(&sent), sent[0].body.len(), sent[1].body == long), (vec![401, 200], 0, true));
}

#[test]
fn only_streams_that_are_not_empty_wait_for_100_continue_and_the_field_of_the_caller_counts() {
    let server = without_nonces();
    let session = default_session(&server);
    let url = server.resource("/upload");
    let expect = |body: Body| {
        assert_eq!(session.post(&url, "text/plain", body).unwrap().status(), 200);
        let call = calls(&server).pop().unwrap();
        call.header_values("expect").iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for body in [
        "bytes".into(),
        ().into(),
        Body::from_sized_reader(std::io::empty(), 0),
        file_with("").into_file().into(),
    ] {
        assert!(expect(body).is_empty());
    }
    // A server without nonces gives none, so any of them may be the first to be refused.
    for _ in 0..2 {
        assert_eq!(expect(Body::from_reader(Cursor::new("a stream"))), ["100-continue"]);
    }
    let request = Request::post(&url).header("expect", "100-Continue");
    session.run(request.body(Body::from_reader(Cursor::new("a stream"))).unwrap()).unwrap();
    assert_eq!(calls(&server).pop().unwrap().header_values("expect"), ["100-Continue"]);
    // No proof, no nonce.
    let bearer = server.session().resource_origins([server.resource_origin()]).dangerous_accept_bearer();
    always(&server, Endpoint::Token, Quirk::Bearer);
    let bearer = bearer.discover().unwrap();
    bearer.post(&url, "text/plain", Body::from_reader(Cursor::new("a stream"))).unwrap();
    assert!(calls(&server).pop().unwrap().header_values("expect").is_empty());
}

/// A server that refuses before the body is sent need not close the connection by itself. It does when the
/// request says so (RFC 9112 §9.6), and the client does not wait for more.
#[test]
fn a_refusal_in_place_of_the_100_is_read_although_the_server_keeps_connections_open() {
    let resource = Peer::start(|_, seen, stream| {
        if seen.proof().nonce().is_none() {
            stream.write_all(
                http(
                    401,
                    &[("www-authenticate", "DPoP error=\"use_dpop_nonce\""), ("dpop-nonce", "n-1")],
                    "",
                )
                .as_bytes(),
            )?;
            if seen.header_values("connection") == ["close"] {
                return Ok(Then::Close);
            }
            // Kept open: whatever comes next is not answered.
            return std::io::copy(stream, &mut std::io::sink()).map(|_| Then::Close);
        }
        let mut body = [0; 18];
        stream.read_exact(&mut body)?;
        assert_eq!(&body, b"8\r\na stream\r\n0\r\n\r\n");
        stream.write_all(http(200, &[("connection", "close")], "").as_bytes()).map(|()| Then::Close)
    });
    let tokens = token_server("");
    let session = peer::session(&tokens);
    let body = Body::from_reader(Cursor::new("a stream"));
    assert_eq!(session.post(&resource.url("/upload"), "text/plain", body).unwrap().status(), 200);
    let expected: Vec<_> = resource.seen().iter().map(|seen| seen.header_values("expect").len()).collect();
    assert_eq!(expected, [1, 0]);
}

/// RFC 9110 §10.1.1: a client that receives a 417 should repeat the request without the expectation.
#[test]
fn a_server_that_refuses_the_expectation_receives_the_request_without_it() {
    let resource = Peer::start(|_, seen, stream| {
        let refused = !seen.header_values("expect").is_empty();
        if !refused {
            // In chunks: what was read so far is the head.
            let mut body = Vec::new();
            while !body.ends_with(b"\r\n0\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                body.push(byte[0]);
            }
            assert_eq!(body, b"8\r\na stream\r\n0\r\n\r\n");
        }
        let status = if refused { 417 } else { 200 };
        // A POST on a kept connection that the server closes would be lost.
        stream.write_all(http(status, &[("connection", "close")], "").as_bytes())?;
        if refused {
            // A slow client may begin to send the body. Closing with unread bytes would reset the connection.
            stream.shutdown(std::net::Shutdown::Write)?;
            std::io::copy(stream, &mut std::io::sink())?;
        }
        Ok(Then::Close)
    });
    let tokens = token_server("");
    let session = peer::session(&tokens);
    let url = resource.url("/upload");
    let stream = || Body::from_reader(Cursor::new("a stream"));
    for _ in 0..2 {
        assert_eq!(session.post(&url, "text/plain", stream()).unwrap().status(), 200);
    }
    let expected: Vec<_> = resource.seen().iter().map(|seen| seen.header_values("expect").len()).collect();
    assert_eq!(expected, [1, 0, 0], "the server is not asked again");
    assert!(all_distinct(&jtis(&resource)));
    // The caller's own field is the caller's affair.
    let request = Request::post(&url).header("expect", "100-continue").body(stream()).unwrap();
    assert_eq!(session.run(request).unwrap().status(), 417);
}

/// A server that asks for the body and then refuses the expectation: the stream is gone.
#[test]
fn a_417_after_the_body_reaches_the_caller_and_the_next_call_succeeds() {
    let server = without_nonces();
    let session = default_session(&server);
    let url = server.resource("/upload");
    once(&server, Endpoint::Resource, respond(417, &[], ""));
    let stream = || Body::from_reader(Cursor::new("a stream"));
    assert_eq!(session.post(&url, "text/plain", stream()).unwrap().status(), 417);
    assert_eq!(session.post(&url, "text/plain", stream()).unwrap().status(), 200);
    let expected: Vec<_> = calls(&server).iter().map(|call| call.header_values("expect").len()).collect();
    assert_eq!(expected, [1, 0]);
    // A 417 that the session did not cause is a response like any other.
    once(&server, Endpoint::Resource, respond(417, &[], ""));
    assert_eq!(session.post(&url, "text/plain", "bytes").unwrap().status(), 417);
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
