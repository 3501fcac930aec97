//! `htm` and `htu` say what the server receives (rows C-48, Q-13, Q-14, Q-16, Q-17).

use std::io::Write;
use std::net::{Ipv6Addr, TcpListener};

use http::{Method, Request};
use possession::testing::{Endpoint, Quirk};
use possession::*;

use crate::common::server::{always, calls, get, start, statuses};
use crate::common::{Jwt, Peer, TOKEN, Then, http};
use crate::peer::{granted, session as peer_session, token_server, transport};
use crate::support::{default_session, grant, nothing_twice};

/// RFC 9449 §4.2: `htu` is the target URI of the request, without query and fragment. A URL is either read
/// alike by client and server, or it is refused. What the server received is the target and `Host` that it
/// read.
#[test]
fn c_48_htu_is_what_the_server_received_or_nothing_is_sent() {
    let server = start();
    let session = default_session(&server);
    let origin = server.resource_origin().to_owned();
    assert_eq!(get(&session, &server), 200);
    let sent = "/ ? ?q #f /? /a/ /a/b /a/b/ /a//b // //a //a//b// /a;p=1;q /A/b/%41 /%7Euser /~user \
        /%7Euser/~user /caf%C3%A9 /caf%c3%a9 /%C3%A9 /%00 /a%20b /a%2Fb /a%2Fb/%2f /%40 /@ /:80 \
        /a!$&'()*+,= /a;p=1,2/b:c@d!$&'()*+= /... /.a /.a/..b/c.. /a?b=/../c /a?x=%2e%2e \
        /a?q=%20&r=[1]&s=a/../b#f /a?b?c /a?b#c /a#b?c /a#/../b";
    // Different servers read these differently, or no server reads them.
    let refused = "/. /.. /a/../b /a/./b /%2e%2e/a /%2e%2e/b /%2E/b /a/%2E%2e /a/.%2e /a/.%2e/b /a\\b \\a /é \
        /a% /100% /a%2 /%4 /a%zz /%zz /a[b] /[a] /a\"b /a\"<b> /a<b> /a|b /a^b /a^b`{c} /a\u{0} /\0 \
        /a\u{7f} /\u{7f} @evil.example/";
    let refused = refused.split(' ').chain(["/a b", "/a\tb", "/a\nb", "/a\r\nx: y"]);
    let sent = sent.split(' ').chain([""]);
    for (asked, accepted) in sent.map(|path| (path, true)).chain(refused.map(|path| (path, false))) {
        server.clear_received();
        match session.get(&format!("{origin}{asked}")) {
            Ok(response) => {
                assert!(accepted && response.status() == 200, "{asked:?}");
                let calls = calls(&server);
                let [call] = &calls[..] else { panic!("{asked:?}: {} calls", calls.len()) };
                let proof = call.proof().unwrap();
                let path = call.target.split('?').next().unwrap();
                assert_eq!(call.header_values("host").len(), 1);
                assert_eq!(proof.claims["htu"], format!("http://{}{path}", call.header_values("host")[0]));
                // The URL is sent as it was written, up to the fragment.
                let asked = asked.split('#').next().unwrap();
                let target = if asked.starts_with('/') { asked.to_owned() } else { format!("/{asked}") };
                assert_eq!(call.target, target);
            }
            Err(error) => {
                assert!(!accepted && *error.kind() == ErrorKind::Url, "{asked:?} {error}");
                assert!(server.received().is_empty(), "{asked:?}");
            }
        }
    }
}

/// Methods are case-sensitive (RFC 9110 §9.1), any token is one, and the retry repeats it.
#[test]
fn c_48_q_16_htm_is_the_method_as_it_is_sent_on_the_retry_too() {
    for method in "GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND M-SEARCH get Post Report".split(' ') {
        let server = start();
        for body in ["x", ""] {
            server.clear_received();
            server.rotate_nonces();
            let request = Request::builder().method(method).uri(server.resource("/")).body(body).unwrap();
            assert_eq!(default_session(&server).run(request).unwrap().status(), 200, "{method}");
            let received = calls(&server);
            assert_eq!(statuses(&received), [401, 200]);
            for one in received {
                assert_eq!(
                    (one.method.as_str(), &one.proof().unwrap().claims["htm"]),
                    (method, &method.into())
                );
            }
        }
    }
}

/// `Host` is compared without its case (RFC 3986 §3.2.2), and a name of the address is another host.
#[test]
fn c_48_htu_has_the_host_in_lower_case() {
    let server = start();
    let session = default_session(&server);
    let port = server.resource_origin().rsplit(':').next().unwrap();
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

#[test]
fn c_48_a_host_with_several_spellings_is_refused() {
    let tokens = token_server("");
    let session = peer_session(&tokens);
    let check = |peer: &Peer, url: &str, accepted: bool| {
        let before = peer.seen().len();
        let result = session.get(url);
        let seen = peer.seen();
        if !accepted {
            assert_eq!(*result.unwrap_err().kind(), ErrorKind::Url, "{url}");
            assert_eq!(seen.len(), before, "{url}");
            return;
        }
        assert!(result.is_ok(), "{url} {result:?}");
        let (seen, proof) = (&seen[before], seen[before].proof());
        let [method, target, version] = seen.line.split(' ').collect::<Vec<_>>()[..] else { panic!() };
        assert_eq!(seen.header_values("host").len(), 1);
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        assert_eq!(proof.text("htu"), format!("http://{}{path}", seen.header_values("host")[0]), "{url}");
        assert_eq!((proof.text("htm").as_str(), version), (method, "HTTP/1.1"));
        let (_, after) = url.split_once("://").unwrap();
        let written = after.find(['/', '?']).map_or("", |start| &after[start..]);
        let written = if written.starts_with('/') { written.to_owned() } else { format!("/{written}") };
        assert_eq!(target, written, "{url}");
    };
    let peer = Peer::scripted([http(200, &[], "")]);
    let port = peer.origin.rsplit(':').next().unwrap();
    let hosts = [
        (format!("HTTP://127.0.0.1:{port}/a"), true),
        (format!("http://LocalHost:{port}/a"), true),
        (format!("http://localhost:{port}?q"), true),
        (format!("http://127.0.0.1:0{port}/a"), false),
        (format!("http://127.1:{port}/a"), false),
        (format!("http://0x7f.1:{port}/a"), false),
        (format!("http://2130706433:{port}/a"), false),
        (format!("http://127.0.0.1.:{port}/a"), false),
        (format!("http://0177.0.0.1:{port}/a"), false),
        (format!("http://127.0.0.1:{port}x/a"), false),
        (format!("http://127.0.0.1:+{port}/a"), false),
        ("http://127.0.0.1:99999/a".to_owned(), false),
        (format!("http:127.0.0.1:{port}/a"), false),
        (format!("http:/127.0.0.1:{port}/a"), false),
        (format!("http:\\\\127.0.0.1:{port}/a"), false),
        (format!("//127.0.0.1:{port}/a"), false),
        (format!(" http://127.0.0.1:{port}/a"), false),
        (format!("http://[::ffff:127.0.0.1]:{port}/a"), false),
        (format!("http://bücher.localhost:{port}/a"), false),
        ("/a".to_owned(), false),
    ];
    for (url, sent) in hosts {
        check(&peer, &url, sent);
    }
    // Where there is IPv6. Its address has one spelling.
    if let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        let port = listener.local_addr().unwrap().port();
        let peer = Peer::on(listener, |_, _, stream| {
            stream.write_all(http(200, &[], "").as_bytes()).map(|()| Then::Keep)
        });
        check(&peer, &format!("http://[::1]:{port}/a"), true);
        check(&peer, &format!("http://[0:0::0:1]:{port}/a"), true);
        check(&peer, &format!("http://[::1%25lo]:{port}/a"), false);
    }
}

#[test]
fn c_48_htu_of_a_token_request_is_the_endpoint_without_its_query() {
    let peer = Peer::scripted([granted(TOKEN)]);
    grant(&peer.url("/a//%7E?tenant=1"), &transport().build()).unwrap();
    let seen = &peer.seen()[0];
    assert_eq!(seen.line, "POST /a//%7E?tenant=1 HTTP/1.1");
    assert_eq!(seen.proof().text("htu"), format!("http://{}/a//%7E", seen.header_values("host")[0]));
}

/// Hosts that the test server cannot have: another HTTP client is given the request head. What `htu` must be
/// follows from RFC 3986 §6.2.2.1 and §6.2.3: servers see the host without its case and no default port.
#[test]
fn c_48_htu_names_the_host_as_servers_see_it_or_the_url_is_refused() {
    let server = start();
    let session = default_session(&server);
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
        ("https://ａpi.example/a", None), // full-width: a WHATWG parser turns it into `a`
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
            // No request of the `http` crate can have this URL. Given as text, it is refused before anything
            // is sent.
            assert!(htu.is_none(), "{url}");
            assert_eq!(*session.get(url).unwrap_err().kind(), ErrorKind::Url, "{url}");
            continue;
        };
        let (mut parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
        match session.authorize(&mut parts) {
            Ok(()) => {
                let proof = Jwt::decode(parts.headers["dpop"].to_str().unwrap());
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

/// RFC 9449 §4.2: without query and fragment, the path as it is sent, no default port, `/` for an empty
/// path, slashes unchanged.
#[test]
fn q_13_htu_is_what_was_sent_without_query_and_fragment() {
    let server = start();
    let session = default_session(&server);
    for (path, htu) in [
        ("/orders?next=%2Fa&b=[1]", "/orders"),
        ("/orders/", "/orders/"),
        ("/orders/42#top", "/orders/42"),
        ("", "/"),
        ("?q", "/"),
        ("/a//b", "/a//b"),
        ("/a%20b/%C3%A9", "/a%20b/%C3%A9"),
    ] {
        assert_eq!(session.get(&server.resource(path)).unwrap().status(), 200, "{path}");
        let last = server.received().pop().unwrap();
        assert_eq!(last.proof().unwrap().claims["htu"], server.resource(htu), "{path}");
    }
}

/// Okta compares with the decoded path, and a gateway may rewrite the origin: a caller who knows sets the
/// target of the proof.
#[test]
fn q_14_q_17_a_proof_can_name_what_the_server_compares_with() {
    let server = start();
    let session = default_session(&server);
    always(&server, Endpoint::Resource, Quirk::DecodedHtu);
    let url = server.resource("/users/me%40example.com");
    assert_eq!(session.get(&url).unwrap().status(), 401);
    let named = |method, url: &str| ProofTarget::new(method, url).unwrap();
    let request = Request::get(&url)
        .extension(named(Method::GET, &server.resource("/users/me@example.com")))
        .body(())
        .unwrap();
    assert_eq!(session.run(request).unwrap().status(), 200);
    assert_eq!(
        server.received().pop().unwrap().target,
        "/users/me%40example.com",
        "the request is sent unchanged"
    );

    // A gateway that forwards requests to another origin: proof, nonce and retry work as usual.
    server.behave();
    always(&server, Endpoint::Resource, Quirk::HtuOrigin("https://internal.example".to_owned()));
    server.rotate_nonces();
    let request = || Request::post(server.resource("/orders"));
    let plain = session.run(request().body("x").unwrap()).unwrap();
    assert_eq!(plain.status(), 401);
    let target = named(Method::POST, "https://internal.example/orders");
    let response = session.run(request().extension(target).body("x").unwrap()).unwrap();
    assert_eq!(response.status(), 200);
    nothing_twice(&server);
}

/// Apache mod_oauth2 wants `htm` GET for a HEAD request and compares its decoded path. The target of the
/// proof can say both, in the retry too.
#[test]
fn q_39_a_proof_can_name_another_method_and_a_decoded_path() {
    let server = start();
    let session = default_session(&server);
    let target = ProofTarget::new(Method::GET, &server.resource("/users/me@example.com")).unwrap();
    let request = Request::head(server.resource("/users/me%40example.com")).extension(target);
    session.run(request.body(()).unwrap()).unwrap();
    let calls = calls(&server);
    assert!(!calls.is_empty());
    for call in calls {
        let claims = call.proof().unwrap().claims;
        assert_eq!((call.method.as_str(), &*call.target), ("HEAD", "/users/me%40example.com"));
        assert_eq!(claims["htm"], "GET");
        assert_eq!(claims["htu"], server.resource("/users/me@example.com"));
    }
}
