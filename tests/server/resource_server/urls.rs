//! The URL of a request: the configured origin, the path that was received, and a trusted proxy. Threats
//! V-28 to V-31.

use possession::server::*;
use possession::*;
use serde_json::json;

use super::{
    ORIGIN, URL, challenged, dpop, fields, proof, proof_for, proof_saying, request, server, table, verifier,
    whole_response,
};
use crate::support::{NOW, at};

/// Without a trusted proxy, no field of the request and no absolute-form target changes the origin.
#[test]
fn v_29_no_field_of_the_request_changes_the_origin() {
    let forged = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "proto=https;host=evil.example"),
    ];
    for target in ["/orders", "https://evil.example/orders"] {
        for (htu, expected) in
            [("https://evil.example/orders", Some(challenged(401, Some("invalid_dpop_proof")))), (URL, None)]
        {
            let (authorization, proof) = (dpop(), proof_for(htu));
            let own = [("authorization", authorization.as_str()), ("dpop", &proof)];
            let headers = fields(&[&forged[..], &own].concat());
            let seen = server().authenticate(&request(target, headers), at(NOW));
            assert_eq!(seen.err().map(|rejection| whole_response(&rejection)), expected, "{target} {htu}");
        }
    }
}

/// V-28, V-30 and V-31: the URL of the request is the configured origin and the path that was received.
/// Spellings of one URL (RFC 3986 §6.2.2 and §6.2.3) match; others do not, and none is repaired.
#[test]
fn v_28_v_30_v_31_equal_spellings_of_the_url_match_and_others_do_not() {
    let rows = [
        // (target of the request, htu, whether they are equal)
        ("/orders", "https://api.example.com/orders", true),
        ("/orders?a=b", "https://api.example.com/orders", true),
        ("/orders", "https://api.example.com/orders?a=b#c", true),
        ("/orders", "HTTPS://API.Example.Com:443/orders", true),
        ("/~a", "https://api.example.com/%7Ea", true),
        ("/%7ea", "https://api.example.com/~a", true),
        ("/~me/a", "https://api.example.com/%7Eme/a", true),
        ("/a%2Fb", "https://api.example.com/a%2fb", true),
        ("/A", "https://api.example.com/a", false),
        ("/a/b", "https://api.example.com/a%2fb", false),
        ("/%c3%a9", "https://api.example.com/%C3%A9", true),
        ("/", "https://api.example.com", true),
        ("/orders", "https://api.example.com/./a/../orders", true),
        ("/orders", "https://api.example.com/orders/", false),
        ("/orders/", "https://api.example.com/orders", false),
        ("/orders", "https://api.example.com//orders", false),
        ("/orders", "https://api.example.com/Orders", false),
        ("/a/b", "https://api.example.com/a%2Fb", false),
        ("/orders", "https://api.example.com:8443/orders", false),
        ("/orders", "http://api.example.com/orders", false),
        ("/orders", "https://api.example.com./orders", false),
        ("/orders", "https://evil.example/orders", false),
        ("/orders", "https://api.example.com/token", false), // V-31: made for the token endpoint
        ("/orders", "/orders", false),
        ("/orders", "https:/api.example.com/orders", false),
        ("/orders", "https://api.example.com\\orders", false),
        ("/orders", "https://api.example.com/orders ", false),
        ("/orders", "https://u@api.example.com/orders", false),
    ];
    for (target, htu, fine) in rows {
        let proof = proof_saying(&json!({"htu": htu}));
        let headers = fields(&[("authorization", &dpop()), ("dpop", &proof)]);
        let seen = server().authenticate(&request(target, headers), at(NOW));
        assert_eq!(
            seen.as_ref().map(drop).map_err(Rejection::error),
            if fine { Ok(()) } else { Err(Some("invalid_dpop_proof")) },
            "{target} {htu}"
        );
    }
    // A path that two servers may read differently is refused, whatever the proof says.
    for target in
        ["/a/../orders", "/./orders", "/%2e%2e/orders", "/a/%2e%2E/orders", "/users/../files/../orders", "*"]
    {
        let proof = proof();
        let headers = fields(&[("authorization", &dpop()), ("dpop", &proof)]);
        let rejection = server().authenticate(&request(target, headers), at(NOW)).unwrap_err();
        assert!(matches!(rejection.reason(), Reason::RequestUrl(_)), "{target}: {rejection}");
        assert_eq!(whole_response(&rejection), challenged(400, Some("invalid_request")), "{target}");
    }
    // Browsers leave these characters of a path as they are, and RFC 3986 §3.3 does not allow them. The
    // error says so, for the request and for a proof. Percent-encoded they are fine.
    for raw in ["/a|b", "/a[0]", "/a%7Cb]", "/a^b"] {
        let (url, authorization) = (format!("{ORIGIN}{raw}"), dpop());
        let ask = |target: &str, htu: &str| {
            let proof = proof_saying(&json!({"htu": htu}));
            let headers = fields(&[("authorization", &authorization), ("dpop", &proof)]);
            server().authenticate(&request(target, headers), at(NOW)).map(drop)
        };
        for (target, status) in [(raw, 400), ("/orders", 401)] {
            let rejection = ask(target, &url).unwrap_err();
            assert!(rejection.to_string().contains("browsers leave"), "{target}: {rejection}");
            assert_eq!(rejection.to_response().status(), status, "{target}: {rejection}");
        }
        let encoded = raw.replace('|', "%7C").replace('[', "%5B").replace(']', "%5D").replace('^', "%5E");
        assert_eq!(ask(&encoded, &format!("{ORIGIN}{encoded}")), Ok(()));
    }
    // V-30: long URLs are refused for their length, or compared in linear time (a proof may have 16 KiB).
    for htu in [format!("{ORIGIN}/{}", "../".repeat(3_000)), format!("{ORIGIN}/{}", "a".repeat(1 << 20))] {
        let proof = proof_saying(&json!({"htu": htu}));
        let headers = fields(&[("authorization", &dpop()), ("dpop", &proof)]);
        let rejection = server().authenticate(&request("/orders", headers), at(NOW)).unwrap_err();
        assert_eq!(rejection.error(), Some("invalid_dpop_proof"));
    }
    for bad in [
        "",
        "api.example.com",
        "https://",
        "https://api.example.com/a",
        "https://api.example.com/?a",
        "https://api.example.com?x",
        "https://u@api.example.com",
        "ftp://api.example.com",
    ] {
        assert_eq!(
            *ResourceServer::new(bad, verifier(), table()).unwrap_err().kind(),
            ErrorKind::Url,
            "{bad}"
        );
        assert_eq!(*server().trust_forwarded_origins([bad]).unwrap_err().kind(), ErrorKind::Url, "{bad}");
    }
}

/// V-29 with a trusted proxy: it may name one of the configured origins, in exactly one way, and no other
/// origin.
#[test]
fn v_29_a_trusted_proxy_may_name_only_a_configured_origin() {
    const B: &str = "https://b.example.com/orders";
    const C: &str = "http://127.0.0.1:8080/orders";
    const D: &str = "https://d.example.com:8443/orders";
    let server = server()
        .trust_forwarded_origins([
            "https://b.example.com",
            "http://127.0.0.1:8080",
            "https://d.example.com:8443",
        ])
        .unwrap();
    let (f, proto, host) = ("forwarded", "x-forwarded-proto", "x-forwarded-host");
    let port = "x-forwarded-port";
    type Row<'a> = (&'a [(&'static str, &'a str)], Option<&'a str>);
    let rows: &[Row] = &[
        // Nothing names an origin: the first one.
        (&[], Some(URL)),
        (&[("host", "b.example.com")], Some(URL)),
        (&[(f, "for=192.0.2.1")], Some(URL)),
        (&[(f, "for=192.0.2.1;by=203.0.113.43")], Some(URL)),
        // Named.
        (&[(f, "Host=API.example.com; Proto=https")], Some(URL)),
        (&[(f, r#"for=1.2.3.4;proto=https;host="d.example.com:8443""#)], Some(D)),
        (&[(proto, "https"), (host, "d.example.com:8443")], Some(D)),
        (&[(proto, "https"), (host, "api.example.com:443")], Some(URL)),
        (&[(f, "proto=https;host=api.example.com")], Some(URL)),
        (&[(f, "proto=https;host=b.example.com")], Some(B)),
        (&[(f, "host=b.example.com;proto=https")], Some(B)),
        (&[(f, "HOST=B.Example.Com;Proto=HTTPS")], Some(B)),
        (&[(f, r#"for="[2001:db8::1]:4711";host="b.example.com";proto="https""#)], Some(B)),
        (&[(f, r#"for=_hidden;proto=https;host="b.example.com:443""#)], Some(B)),
        (&[(f, r#"proto=http;host="127.0.0.1:8080""#)], Some(C)),
        (&[(proto, "https"), (host, "api.example.com")], Some(URL)),
        (&[(proto, "https"), (host, "b.example.com")], Some(B)),
        (&[(proto, "HTTPS"), (host, "b.example.com:443")], Some(B)),
        (&[(proto, "http"), (host, "127.0.0.1:8080")], Some(C)),
        // RFC 7239 §4: quoted strings, escapes, empty parameters, several elements. QV-13.
        (&[(f, "proto=https;host=b.example.com;")], Some(B)),
        (&[(f, ";proto=https;;host=b.example.com; ;")], Some(B)),
        (&[(f, "proto=https;host=b.example.com,")], Some(B)),
        (&[(f, r#"for="a, b";proto=https;host=b.example.com"#)], Some(B)),
        (&[(f, r#"for="_a;b=c,\"";proto="h\ttps";host="b\.example.com""#)], Some(B)),
        (&[(f, r#"for=192.0.2.43, for="[2001:db8::1]:4711";proto=https;host=b.example.com"#)], Some(B)),
        (&[(f, "for=192.0.2.43"), (f, "proto=https;host=b.example.com")], Some(B)),
        (&[(f, "proto=https;host=d.example.com:8443")], Some(D)),
        (&[(f, "")], Some(URL)),
        (&[(f, " ;, ")], Some(URL)),
        // What a client wrote into a quoted string names nothing.
        (&[(f, r#"for="x;host=b.example.com;proto=https""#)], Some(URL)),
        (&[(f, r#"for="\";host=b.example.com;proto=https;x=\"""#)], Some(URL)),
        (&[(f, r#"for="x,proto=https;host=b.example.com,for=y""#)], Some(URL)),
        (&[(f, r#"for="x;host=b.example.com";proto=https;host=api.example.com"#)], Some(URL)),
        // Without a host, that of the request.
        (&[(proto, "https"), ("host", "b.example.com")], Some(B)),
        (&[(proto, "https"), ("host", "B.example.com:443")], Some(B)),
        (&[(proto, "http"), ("host", "127.0.0.1:8080")], Some(C)),
        (&[(f, "proto=https"), ("host", "b.example.com")], Some(B)),
        (&[(proto, "https"), (host, "b.example.com"), ("host", "backend:8080")], Some(B)),
        (&[(f, "for=192.0.2.1"), ("host", "b.example.com")], Some(URL)),
        // A port of its own.
        (&[(proto, "https"), (host, "d.example.com"), (port, "8443")], Some(D)),
        (&[(proto, "https"), ("host", "d.example.com"), (port, "8443")], Some(D)),
        (&[(proto, "https"), (host, "d.example.com:8443"), (port, "8443")], Some(D)),
        (&[(proto, "https"), (host, "b.example.com"), (port, "443")], Some(B)),
        (&[(proto, "http"), ("host", "127.0.0.1"), (port, "8080")], Some(C)),
        (&[(proto, "https"), (host, "b.example.com"), (port, "8443")], None),
        (&[(proto, "https"), (host, "d.example.com:8443"), (port, "443")], None),
        (&[(proto, "https"), (host, "d.example.com"), (port, "443, 8443")], None),
        (&[(proto, "https"), (host, "d.example.com"), (port, "8443"), (port, "8443")], None),
        (&[(proto, "https"), (host, "d.example.com"), (port, "")], None),
        (&[(proto, "https"), (host, "d.example.com"), (port, "https")], None),
        (&[(proto, "https"), (host, "d.example.com"), (port, "8443/x")], None),
        (&[(proto, "https"), (host, "d.example.com"), (port, "+8443")], None),
        (&[(proto, "https"), (host, "d.example.com"), (port, "73979")], None),
        (&[(f, "proto=https;host=d.example.com"), (port, "8443")], None),
        (&[(host, "d.example.com"), (port, "8443")], None),
        (&[(port, "443")], None),
        // A host of the request that is not a configured one, or two of them.
        (&[(proto, "https"), ("host", "evil.example")], None),
        (&[(proto, "https"), ("host", "b.example.com"), ("host", "b.example.com")], None),
        (&[(proto, "https"), ("host", "b.example.com, evil.example")], None),
        (&[(proto, "https"), ("host", "")], None),
        (&[(host, "b.example.com"), ("host", "b.example.com")], None),
        // Not what the nearest proxy wrote.
        (&[(f, "proto=https;host=b.example.com, for=192.0.2.43")], None),
        (&[(f, "proto=https;host=b.example.com, proto=https;host=api.example.com")], None),
        (&[(f, "host=b.example.com, proto=https;host=api.example.com")], None),
        (&[(f, "proto=https;host=b.example.com"), (f, "for=192.0.2.43")], None),
        // Not a configured origin.
        (&[(proto, "http"), (host, "api.example.com")], None),
        (&[(proto, "https"), (host, "api.example.com/evil")], None),
        (&[(f, "proto=https;host=evil.example")], None),
        (&[(proto, "https"), (host, "evil.example")], None),
        (&[(proto, "http"), (host, "b.example.com")], None),
        (&[(proto, "https"), (host, "b.example.com:8443")], None),
        (&[(proto, "http"), (host, "127.0.0.1")], None),
        (&[(proto, "https"), (host, "b.example.com.evil.example")], None),
        (&[(proto, "https"), (host, "u@b.example.com")], None),
        (&[(proto, "https"), (host, "b.example.com/x")], None),
        (&[(proto, "https"), (host, "b.example.com?x")], None),
        (&[(proto, "https://b.example.com/?"), (host, "evil.example")], None),
        // More than one, or ambiguous.
        (&[(proto, "https"), (host, "api.example.com"), (host, "api.example.com")], None),
        (&[(proto, "https"), (host, "api.example.com, b.example.com")], None),
        (&[(f, "proto=https;host=api.example.com"), (proto, "https")], None),
        (&[(f, "proto=https;host=b.example.com"), (f, "proto=https;host=b.example.com")], None),
        (&[(f, "proto=https;host=b.example.com, proto=https;host=b.example.com")], None),
        (&[(f, "proto=https;host=b.example.com;host=evil.example")], None),
        (&[(f, "proto=https;proto=https;host=b.example.com")], None),
        (&[(proto, "https"), (host, "b.example.com"), (host, "evil.example")], None),
        (&[(proto, "https"), (proto, "https"), (host, "b.example.com")], None),
        (&[(proto, "https"), (host, "b.example.com, evil.example")], None),
        (&[(proto, "https,http"), (host, "b.example.com")], None),
        (&[(f, "proto=https;host=b.example.com"), (proto, "https"), (host, "b.example.com")], None),
        (&[(f, "for=192.0.2.1"), (host, "b.example.com")], None),
        // Only half of an origin.
        (&[(host, "api.example.com")], None),
        (&[(f, "proto=https")], None),
        (&[(f, "host=b.example.com")], None),
        (&[(proto, "https")], None),
        (&[(host, "b.example.com")], None),
        // Not readable.
        (&[(f, "b.example.com")], None),
        (&[(f, "proto=https;host=")], None),
        (&[(f, r#"proto=https;host="b.example.com"#)], None),
        (&[(f, r#"proto=https;host="b.example.com"x"#)], None),
        (&[(f, r#"proto=https;host=b.example.com""#)], None),
        (&[(f, r#"proto=https;host="b.example.com\"#)], None),
        (&[(f, "proto=https host=b.example.com")], None),
        (&[(f, "proto=https;host")], None),
        (&[(f, "proto=https;=b.example.com")], None),
        (&[(f, "proto=https;host=b.example.com/")], None),
        (&[(proto, ""), (host, "")], None),
        (&[(proto, "https"), (host, "b.ex\u{e4}mple.com")], None),
    ];
    for (named, expected) in rows {
        let (named, expected) = (*named, *expected);
        let mut accepted = Vec::new();
        for htu in [URL, B, C, D, "https://evil.example/orders"] {
            let (proof, authorization) = (proof_for(htu), dpop());
            let mut headers = vec![("authorization", authorization.as_str()), ("dpop", &proof)];
            headers.extend(named);
            let seen = server.authenticate(&request("/orders", fields(&headers)), at(NOW));
            match (seen, expected) {
                (Ok(_), _) => accepted.push(htu),
                (Err(rejection), Some(_)) => {
                    assert!(matches!(rejection.reason(), Reason::Htu { .. }), "{named:?}: {rejection}")
                }
                (Err(rejection), None) => {
                    assert_eq!(
                        whole_response(&rejection),
                        challenged(400, Some("invalid_request")),
                        "{named:?}"
                    )
                }
            }
        }
        assert_eq!(accepted, Vec::from_iter(expected), "{named:?}");
    }
}

/// QV-13: HTTP/2 has `:authority` in place of `Host` (RFC 9113 §8.3.1), and so has the absolute form of
/// HTTP/1.1 (RFC 9112 §3.2.2). It counts like `Host`: only behind a trusted proxy that names no host, and
/// only for configured origins.
#[test]
fn qv_13_the_authority_of_the_target_counts_like_host() {
    let plain = server();
    let behind_proxy = server().trust_forwarded_origins(["https://b.example.com"]).unwrap();
    let own = "https://api.example.com/orders";
    let (b, evil) = ("https://b.example.com/orders", "https://evil.example/orders");
    type Row<'a> = (&'a str, &'a [(&'static str, &'a str)], Option<&'a str>);
    let proto = ("x-forwarded-proto", "https");
    let rows: [Row; 7] = [
        (b, &[proto], Some(b)),
        (b, &[proto, ("host", "b.example.com")], Some(b)),
        (b, &[proto, ("x-forwarded-host", "api.example.com")], Some(own)),
        (b, &[], Some(own)),
        (b, &[proto, ("host", "api.example.com")], None),
        (evil, &[proto], None),
        (evil, &[proto, ("host", "evil.example")], None),
    ];
    for (target, named, expected) in rows {
        let accepted: Vec<_> = [own, b, evil]
            .into_iter()
            .filter(|htu| {
                let (proof, authorization) = (proof_for(htu), dpop());
                let mut headers = vec![("authorization", authorization.as_str()), ("dpop", &proof)];
                headers.extend(named);
                // Without a trusted proxy none of it changes the origin.
                let seen = plain.authenticate(&request(target, fields(&headers)), at(NOW));
                assert_eq!(seen.is_ok(), *htu == own, "{target} {named:?}");
                behind_proxy.authenticate(&request(target, fields(&headers)), at(NOW)).is_ok()
            })
            .collect();
        assert_eq!(accepted, Vec::from_iter(expected), "{target} {named:?}");
    }
}
