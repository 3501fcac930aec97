//! The listener on loopback that receives authorization responses (RFC 8252 §7.3, §8.3).
//!
//! Requests are sent before `receive` is called, or from the clock when it waits: nothing here takes time.

use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use possession::*;
use serde_json::json;

use crate::without_io::authorization_requests::{client, server};

/// A clock that moves when somebody waits, and then calls a function with the time.
#[derive(Clone)]
struct Waits(Arc<Mutex<State>>);

struct State {
    elapsed: Duration,
    on_wait: Box<dyn FnMut(Duration) + Send>,
}

impl Waits {
    fn new(on_wait: impl FnMut(Duration) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(State { elapsed: Duration::ZERO, on_wait: Box::new(on_wait) })))
    }
}

impl Clock for Waits {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000) + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().elapsed
    }

    fn sleep(&self, duration: Duration) {
        let mut state = self.0.lock().unwrap();
        state.elapsed += duration;
        let elapsed = state.elapsed;
        (state.on_wait)(elapsed);
    }
}

/// A login that waits for its response.
struct Login {
    listener: LoopbackListener,
    pending: PendingAuthorization,
}

impl Login {
    fn new(listener: LoopbackListener) -> Self {
        let request = AuthorizationRequest::new(listener.redirect_uri());
        let pending = request.front_channel(&server(json!({})), &client(), &RequestOptions::new()).unwrap().1;
        Self { listener, pending }
    }

    fn start() -> Self {
        Self::new(LoopbackListener::bind().unwrap())
    }

    /// A login during which `on_wait` is called with the time since its start.
    fn with_waits(on_wait: impl FnMut(Duration) + Send + 'static) -> Self {
        Self::new(LoopbackListener::builder().clock(Waits::new(on_wait)).bind().unwrap())
    }

    fn authority(&self) -> String {
        let uri = self.listener.redirect_uri().strip_prefix("http://").unwrap();
        uri.split('/').next().unwrap().to_owned()
    }

    /// The request of a browser with the response of the server, and `more` parameters.
    fn callback(&self, more: &str) -> String {
        let (state, authority) = (self.pending.state(), self.authority());
        format!("GET /callback?state={state}&{more} HTTP/1.1\r\nHost: {authority}\r\nAccept: */*\r\n\r\n")
    }

    fn receive(self) -> Result<AuthorizationCode, Error> {
        self.listener.receive(self.pending)
    }
}

fn connect(authority: &str) -> TcpStream {
    let stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn send(authority: &str, request: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = connect(authority);
    stream.write_all(request.as_ref()).unwrap();
    stream
}

/// Everything that was received, up to the end of the connection.
fn response(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn status(stream: TcpStream) -> String {
    response(stream).split(' ').nth(1).unwrap().to_owned()
}

/// Whether the other side has closed the connection.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.read(&mut [0; 16]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != IoErrorKind::WouldBlock,
    }
}

#[test]
fn a_browser_brings_the_code_and_sees_a_page_without_secrets() {
    let login = Login::start();
    let uri = login.listener.redirect_uri().to_owned();
    assert!(uri.starts_with("http://127.0.0.1:") && uri.ends_with("/callback"), "{uri}");
    let state = login.pending.state().to_owned();
    let browser = send(&login.authority(), login.callback("code=SplxlOBeZQQYbYS6WxSbIA"));
    let code = login.receive().unwrap();
    assert_eq!(code.issuer(), Some("https://as.example"));
    let response = response(browser);
    let (head, page) = response.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some("HTTP/1.1 200 OK"));
    for field in [
        "Content-Type: text/html; charset=utf-8",
        "Connection: close",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
        &format!("Content-Length: {}", page.len()),
    ] {
        assert!(head.split("\r\n").any(|line| line == field), "{field}: {head}");
    }
    assert!(page.contains("close this page") && !page.contains("script"), "{page}");
    assert!(!response.contains(&state) && !response.contains("SplxlOBeZQQYbYS6WxSbIA"), "{response}");
}

/// RFC 8252 §8.3, and the other requests that reach a port on loopback: of web pages, other programs,
/// scanners.
#[test]
fn l_05_l_08_everything_but_the_response_is_refused_and_waiting_goes_on() {
    let login = Login::start();
    let (good, host) = (login.callback("code=x"), login.authority());
    let line = good.lines().next().unwrap();
    let state = login.pending.state().to_owned();
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let port = host.split(':').next_back().unwrap();
    let refused = [
        ("404", get("/favicon.ico")),
        ("404", get("/")),
        ("404", get(&format!("/callback/?code=x&state={state}"))),
        ("404", get(&format!("/%63allback?code=x&state={state}"))),
        ("404", get(&format!("http://{host}/callback?code=x&state={state}"))),
        ("404", "POST /other HTTP/1.1\r\nHost: HOST\r\n\r\n".replace("HOST", &host)),
        ("405", good.replace("GET ", "POST ")),
        ("405", good.replace("GET ", "HEAD ")),
        ("405", good.replace("GET ", "OPTIONS ")),
        ("405", good.replace("GET ", "get ")),
        // A name of another site that resolves to 127.0.0.1 (DNS rebinding).
        ("400", good.replace(&host, &format!("attacker.example:{port}"))),
        ("400", good.replace(&host, &format!("localhost:{port}"))),
        ("400", good.replace(&host, "127.0.0.1")),
        ("400", format!("{line}\r\n\r\n")),
        ("400", format!("{line}\r\nHost: {host}\r\nHost: {host}\r\n\r\n")),
        ("400", get("/callback")),
        ("400", get("/callback?code=x")),
        ("400", get(&format!("/callback?code=x&state={state}x"))),
        ("400", get(&format!("/callback?code=x&state={state}&state={state}"))),
        ("400", get("/callback?error=access_denied&state=x")),
        ("400", "\u{16}\u{3}\u{1}TLS".to_owned()),
        ("400", format!("{line}\r\nHost : {host}\r\n\r\n")),
        ("431", format!("{line}\r\n{}\r\n", "a: b\r\n".repeat(200))),
        ("505", good.replace("HTTP/1.1", "HTTP/1.0")),
    ];
    let refused = refused.map(|(expected, request)| {
        let stream = send(&host, &request);
        (expected, request, stream)
    });
    let browser = send(&host, &good);
    assert!(login.receive().is_ok());
    for (expected, request, stream) in refused {
        let response = response(stream);
        assert!(response.starts_with(&format!("HTTP/1.1 {expected} ")), "{request}\n{response}");
        assert!(!response.contains(&state), "{response}");
        assert_eq!(response.contains("\r\nAllow: GET\r\n"), expected == "405");
    }
    assert_eq!(status(browser), "200");
}

#[test]
fn a_response_with_the_right_state_ends_the_login_whatever_it_says() {
    for (more, kind) in [
        ("code=x&iss=https://attacker.example", ErrorKind::AuthorizationResponse),
        ("code=x&code=y", ErrorKind::AuthorizationResponse),
        ("", ErrorKind::AuthorizationResponse),
    ] {
        let login = Login::start();
        let browser = send(&login.authority(), login.callback(more));
        assert_eq!(*login.receive().unwrap_err().kind(), kind);
        assert!(response(browser).contains("The program says why"));
    }
    let login = Login::start();
    let browser = send(&login.authority(), login.callback("error=access_denied&error_description=<b>"));
    assert_eq!(login.receive().unwrap_err().oauth().map(OAuthError::error), Some("access_denied"));
    let response = response(browser);
    assert!(response.starts_with("HTTP/1.1 400 ") && !response.contains("<b>"), "{response}");
}

/// A browser opens connections in advance and sends nothing over them. A scanner leaves some half open. The
/// oldest are ended for new ones, and none is waited for.
#[test]
fn l_07_connections_that_send_no_request_do_not_keep_the_browser_out() {
    let held = Arc::new(Mutex::new(Vec::new()));
    let (shared, good) = (Arc::clone(&held), Arc::new(Mutex::new((String::new(), String::new()))));
    let late = Arc::clone(&good);
    let mut waits = 0;
    let login = Login::with_waits(move |_| {
        waits += 1;
        let held: &mut Vec<TcpStream> = &mut shared.lock().unwrap();
        let closed = held.iter().take_while(|stream| is_closed(stream)).count();
        match waits {
            // 64 are kept.
            1 => assert_eq!((held.len(), closed), (100, 36)),
            // The rest of a request that began long ago is still read.
            2 => {
                let (authority, request) = &*late.lock().unwrap();
                held.push(send(authority, &request[..40]));
            }
            3 => {
                let request = late.lock().unwrap().1.clone();
                held.last_mut().unwrap().write_all(&request.as_bytes()[40..]).unwrap();
            }
            _ => panic!("the request is complete"),
        }
    });
    *good.lock().unwrap() = (login.authority(), login.callback("code=x"));
    let partial = [b"".as_slice(), b"GET /call", b"GET / HTTP/1.1\r\n"];
    let half_open = (0..100).map(|n| send(&login.authority(), partial[n % 3]));
    held.lock().unwrap().extend(half_open);
    assert!(login.receive().is_ok());
    let browser = held.lock().unwrap().pop().unwrap();
    browser.set_nonblocking(false).unwrap();
    assert_eq!(status(browser), "200");
}

#[test]
fn l_07_a_connection_is_ended_when_its_request_takes_ten_seconds_or_32_kib() {
    let held = Arc::new(Mutex::new(Vec::new()));
    let (shared, checked) = (Arc::clone(&held), Arc::new(Mutex::new(0)));
    let count = Arc::clone(&checked);
    let login = Login::with_waits(move |elapsed| {
        let held: &mut Vec<TcpStream> = &mut shared.lock().unwrap();
        let late = elapsed > Duration::from_secs(10);
        for stream in held.iter_mut() {
            assert_eq!(is_closed(stream), late, "{elapsed:?}");
        }
        *count.lock().unwrap() += 1;
        if late {
            held.clear();
        } else {
            // One byte after the other does not make it longer.
            let _ = held[1].write_all(b"a");
        }
    });
    let host = login.authority();
    held.lock().unwrap().extend([connect(&host), send(&host, "GET /")]);
    let mut large = send(&host, format!("GET / HTTP/1.1\r\nCookie: {}", "a".repeat(40_000)));
    assert_eq!(*login.receive().unwrap_err().kind(), ErrorKind::Timeout);
    // 300 seconds, in pieces of 20 ms.
    assert_eq!(*checked.lock().unwrap(), 15_000);
    // Bytes that nobody read may destroy the response.
    let mut text = String::new();
    match large.read_to_string(&mut text) {
        Ok(_) => assert!(text.starts_with("HTTP/1.1 431 "), "{text}"),
        Err(error) => assert_eq!(error.kind(), IoErrorKind::ConnectionReset),
    }
}

#[test]
fn a_client_that_closes_its_connection_is_forgotten() {
    let login = Login::start();
    let (authority, good) = (login.authority(), login.callback("code=x"));
    drop(send(&authority, "GET /"));
    send(&authority, "GET /callback").shutdown(Shutdown::Write).unwrap();
    // The request counts, though the client expects no response.
    send(&authority, good).shutdown(Shutdown::Both).unwrap();
    assert!(login.receive().is_ok());
}

#[test]
fn waiting_ends_after_the_timeout() {
    let waited = Arc::new(Mutex::new(Duration::ZERO));
    let last = Arc::clone(&waited);
    let clock = Waits::new(move |elapsed| *last.lock().unwrap() = elapsed);
    let timeout = Duration::from_millis(1990);
    let login = Login::new(LoopbackListener::builder().timeout(timeout).clock(clock).bind().unwrap());
    let error = login.receive().unwrap_err();
    assert_eq!((error.kind(), *waited.lock().unwrap()), (&ErrorKind::Timeout, timeout));
}

#[test]
fn address_port_and_path_can_be_chosen() {
    let listener = LoopbackListener::builder().ipv6().path("/a/b").bind();
    // Not every machine has IPv6.
    if let Ok(listener) = listener {
        assert!(listener.redirect_uri().starts_with("http://[::1]:"));
        assert!(listener.redirect_uri().ends_with("/a/b"));
        let login = Login::new(listener);
        let good = login.callback("code=x").replace("/callback", "/a/b");
        let browser = send(&login.authority(), good);
        assert!(login.receive().is_ok());
        assert_eq!(status(browser), "200");
    }
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let error = LoopbackListener::builder().port(port).bind().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Transport, "{error}");
    for path in ["", "callback", "/a?b", "/a#b", "/a b", "/é", "/a\r\nb", "/a%62"] {
        let error = LoopbackListener::builder().path(path).bind().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Parameter, "{path}");
    }
}

#[test]
fn a_request_with_another_redirect_uri_is_not_waited_for() {
    let (one, other) = (Login::with_waits(|_| ()), Login::start());
    assert_eq!(*one.listener.receive(other.pending).unwrap_err().kind(), ErrorKind::Parameter);
}
