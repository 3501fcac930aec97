//! Metadata of authorization servers (rows C-65 … C-70).

use base64ct::{Base64UrlUnpadded, Encoding};
use http::Method;
use possession::testing::{Endpoint, Quirk, When};
use possession::*;
use serde_json::Value;

use crate::common::server::{always, get, once, respond, start, token_requests};
use crate::common::{JSON, Trap};
use crate::support::{default_session, key};

/// RFC 8414 §3.1: between host and path, without the last slash. OpenID Connect Discovery §4: after the
/// path, where the first location has none. A session of such an issuer works.
#[test]
fn c_65_the_well_known_urls_follow_from_the_issuer() {
    let rfc8414 = "/.well-known/oauth-authorization-server";
    let openid = "/.well-known/openid-configuration";
    for (suffix, first, second) in [
        ("", rfc8414.to_owned(), openid.to_owned()),
        ("/", rfc8414.to_owned(), openid.to_owned()),
        ("/a", format!("{rfc8414}/a"), format!("/a{openid}")),
        ("/a/", format!("{rfc8414}/a"), format!("/a{openid}")),
        ("/a/b", format!("{rfc8414}/a/b"), format!("/a/b{openid}")),
        ("/a%2Fb", format!("{rfc8414}/a%2Fb"), format!("/a%2Fb{openid}")),
        ("/a%2fb/", format!("{rfc8414}/a%2fb"), format!("/a%2fb{openid}")),
        ("/A;b=1", format!("{rfc8414}/A;b=1"), format!("/A;b=1{openid}")),
    ] {
        let server = start();
        let issuer = format!("{}{suffix}", server.issuer());
        let builder = || {
            let auth = ClientAuth::client_secret_basic(server.client_secret());
            Session::builder(&issuer, server.client_id()).auth(auth).dangerous_allow_http_on_loopback()
        };
        let document = format!(r#"{{"issuer":"{issuer}","token_endpoint":"{}/token"}}"#, server.issuer());
        // Where the issuer has a path, the test server treats the request as one of a resource.
        for at in [Endpoint::Metadata, Endpoint::Resource] {
            always(&server, at, respond(404, &[], ""));
        }
        assert_eq!(builder().discover().unwrap_err().status(), Some(404), "{issuer}");
        let targets: Vec<_> = server.received().into_iter().map(|one| (one.method, one.target)).collect();
        assert_eq!(targets, [(Method::GET, first.clone()), (Method::GET, second)], "{issuer}");
        server.behave();
        server.clear_received();
        for at in [Endpoint::Metadata, Endpoint::Resource] {
            always(&server, at, respond(200, &[JSON], document.clone()));
        }
        let session = builder().discover().unwrap();
        assert_eq!(server.received().pop().unwrap().target, first);
        server.behave();
        assert_eq!(get(&session, &server), 200, "{issuer}");
        assert_eq!(session.server().issuer(), issuer);
    }
    // Nothing is sent to what is no issuer (RFC 8414 §2).
    let server = start();
    let [origin, host] = [server.issuer(), server.issuer().strip_prefix("http://").unwrap()];
    for issuer in [
        format!("{origin}?"),
        format!("{origin}/?a"),
        format!("{origin}#"),
        format!("{origin}/#a"),
        format!("http://u@{host}"),
        format!("http://u:p@{host}"),
        format!("http://@{host}"),
        format!(" {origin}"),
        format!("{origin}\n"),
        format!("{origin}/a b"),
        format!("{origin}/é"),
        format!("{origin}/../a"),
        host.to_owned(),
        "http://example.com".to_owned(),
        "http://".to_owned(),
        "https://".to_owned(),
        "https:///a".to_owned(),
        "https://?".to_owned(),
        "ftp://example.com".to_owned(),
        String::new(),
    ] {
        let discovery = Session::builder(&issuer, "app").dangerous_allow_http_on_loopback().discover();
        assert_eq!(*discovery.unwrap_err().kind(), ErrorKind::Metadata, "{issuer:?}");
    }
    // Plain http is refused unless it was allowed.
    assert_eq!(*Session::builder(origin, "app").discover().unwrap_err().kind(), ErrorKind::Metadata);
    assert!(server.received().is_empty());
}

/// RFC 8414 §3.3 and §4: identical code points, and nothing equivalent.
#[test]
fn c_66_issuers_are_compared_code_point_by_code_point() {
    let server = start();
    let origin = server.issuer().to_owned();
    let port = origin.rsplit(':').next().unwrap().to_owned();
    let text = |text: &str| Value::from(text).to_string();
    let cases: Vec<(String, Vec<String>)> = vec![
        (
            String::new(),
            vec![
                text(&format!("{origin}/")),
                text(&origin.replace("http", "HTTP")),
                text(&origin.replace("http", "https")),
                text(&format!("http://127.0.0.1:0{port}")),
                text(&format!("http://localhost:{port}")),
                text(&format!("{origin} ")),
                text(&format!("{origin}?")),
                text(&format!("{origin}\u{0}")),
                text("http://127.0.0.1"),
                text(""),
                "null".to_owned(),
                "7".to_owned(),
                "true".to_owned(),
                format!("[{}]", text(&origin)),
                format!("{{\"a\":{}}}", text(&origin)),
            ],
        ),
        ("/".to_owned(), vec![text(&origin), text(&format!("{origin}//"))]),
        ("/a%2Fb".to_owned(), vec![text(&format!("{origin}/a%2fb")), text(&format!("{origin}/a/b"))]),
        ("/Tenant".to_owned(), vec![text(&format!("{origin}/tenant")), text(&format!("{origin}/Tenant/"))]),
        ("/%7Ea".to_owned(), vec![text(&format!("{origin}/~a"))]),
        (
            "/caf%C3%A9".to_owned(),
            vec![text(&format!("{origin}/caf\u{e9}")), text(&format!("{origin}/cafe\u{301}"))],
        ),
    ];
    for (suffix, names) in cases {
        let issuer = format!("{origin}{suffix}");
        let absent = format!(r#"{{"token_endpoint":"{origin}/token"}}"#);
        let twice =
            format!(r#"{{"issuer":"{issuer}","issuer":"{issuer}/x","token_endpoint":"{origin}/token"}}"#);
        let documents =
            names.iter().map(|name| format!(r#"{{"issuer":{name},"token_endpoint":"{origin}/token"}}"#));
        for document in documents.chain([absent, twice]) {
            server.behave();
            server.clear_received();
            for at in [Endpoint::Metadata, Endpoint::Resource] {
                always(&server, at, respond(200, &[JSON], document.clone()));
            }
            let discovery = Session::builder(&issuer, "app").dangerous_allow_http_on_loopback().discover();
            assert_eq!(*discovery.unwrap_err().kind(), ErrorKind::Metadata, "{issuer} {document}");
            // C-69: there is no other request.
            assert_eq!(server.received().len(), 1, "{document}");
            let by_hand =
                AuthorizationServer::builder(&issuer).document(document).dangerous_allow_http_on_loopback();
            assert_eq!(*by_hand.build().unwrap_err().kind(), ErrorKind::Metadata);
        }
    }
}

/// Metadata may be written by an attacker (CVE-2025-6514). A token endpoint, or its alias where the
/// client uses that, must be one that requests may be sent to. What the client does not use changes
/// nothing, and is not called.
#[test]
fn c_67_an_endpoint_that_cannot_be_called_is_refused_when_it_is_used() {
    let (server, trap) = (start(), Trap::set());
    let host = trap.origin().replace("http://", "");
    let text = |text: String| Value::from(text).to_string();
    let endpoints = [
        text("http://example.com/token".to_owned()),
        text("http://127.0.0.1.example.com/token".to_owned()),
        text("file:///etc/passwd".to_owned()),
        text("data:application/json,{}".to_owned()),
        text("javascript:alert(1)".to_owned()),
        text("ftp://example.com/token".to_owned()),
        text("/token".to_owned()),
        text("//example.com/token".to_owned()),
        text("token".to_owned()),
        text(format!("http://u:p@{host}/token")),
        text(format!("http://u@{host}/token")),
        text(format!("http://{host}/token#f")),
        text(format!("http://{host}/a/../token")),
        text(format!("http://{host}\\@example.com/token")),
        text(format!(" http://{host}/token")),
        text(format!("http://{host}/token\r\nx: y")),
        text("https://".to_owned()),
        text(String::new()),
        "7".to_owned(),
        "true".to_owned(),
        "{}".to_owned(),
        text("openid4vp://authorize".to_owned()),
        "false".to_owned(),
        format!("[{}]", text(format!("http://{host}/token"))),
    ];
    let (issuer, good) = (server.issuer(), format!("{}/token", server.issuer()));
    for endpoint in endpoints.iter().chain([&"null".to_owned()]) {
        let publish = |token_endpoint: &str, more: &str| {
            server.behave();
            let methods =
                r#""token_endpoint_auth_methods_supported":["client_secret_basic","tls_client_auth"]"#;
            let document =
                format!(r#"{{"issuer":"{issuer}","token_endpoint":{token_endpoint},{methods}{more}}}"#);
            always(&server, Endpoint::Metadata, respond(200, &[JSON], document));
        };
        publish(endpoint, "");
        let error = server.session().discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Metadata, "{endpoint}");
        assert!(error.to_string().contains("token_endpoint"), "{error}");
        if endpoint == "null" {
            continue;
        }
        let good = format!("\"{good}\"");
        publish(&good, &format!(r#","mtls_endpoint_aliases":{{"token_endpoint":{endpoint}}}"#));
        let error = server.session().auth(ClientAuth::tls_client_auth()).discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Metadata, "{endpoint}");
        assert!(error.to_string().contains("mtls_endpoint_aliases.token_endpoint"), "{error}");
        assert!(token_requests(&server).is_empty());
        // C-06: user information is refused everywhere.
        let is_used = |session: Result<Session, Error>| match endpoint.contains('@') {
            true => assert_eq!(*session.unwrap_err().kind(), ErrorKind::Metadata, "{endpoint}"),
            false => assert_eq!(get(&session.unwrap(), &server), 200, "{endpoint}"),
        };
        for more in [
            format!(r#","mtls_endpoint_aliases":{{"token_endpoint":{endpoint}}}"#),
            format!(r#","mtls_endpoint_aliases":{{"introspection_endpoint":{endpoint}}}"#),
            format!(r#","introspection_endpoint":{endpoint}"#),
            format!(r#","jwks_uri":{endpoint}"#),
        ] {
            publish(&good, &more);
            is_used(server.session().discover());
        }
        server.clear_received();
    }
    assert!(trap.untouched());
}

/// RFC 8414 lets endpoints be anywhere. A caller who lists the hosts of endpoints gets no other, neither
/// private nor link-local ones.
#[test]
fn c_68_with_a_list_of_hosts_no_endpoint_may_be_on_another() {
    let server = start();
    let port = server.issuer().rsplit(':').next().unwrap();
    let elsewhere = format!("http://localhost:{port}");
    let publish = |endpoint: &str, alias: Option<&str>| {
        server.behave();
        let alias = alias.map(|alias| format!(r#","mtls_endpoint_aliases":{{"token_endpoint":"{alias}"}}"#));
        let document = format!(
            r#"{{"issuer":"{}","token_endpoint":"{endpoint}"{}}}"#,
            server.issuer(),
            alias.unwrap_or_default()
        );
        always(&server, Endpoint::Metadata, respond(200, &[JSON], document));
    };
    let own = format!("{}/token", server.issuer());
    publish(&format!("{elsewhere}/token"), None);
    // The proof names the host of the request. The test server accepts that name for itself.
    always(&server, Endpoint::Token, Quirk::HtuOrigin(elsewhere.clone()));
    assert_eq!(get(&server.session().discover().unwrap(), &server), 200, "any host by default");
    for hosts in [vec!["localhost"], vec!["LOCALHOST"], vec!["as.example", "localhost"]] {
        assert!(server.session().endpoint_hosts(hosts).discover().is_ok());
    }
    server.clear_received();
    for endpoint in [
        &*format!("{elsewhere}/token"),
        "https://169.254.169.254/token",
        "https://10.0.0.1/token",
        "https://192.168.0.1/token",
        "https://172.16.0.1/token",
        "https://[::1]/token",
        "https://[fe80::1]/token",
        "https://[::ffff:127.0.0.1]/token",
        "https://127.0.0.2/token",
        "https://as.example.evil.example/token",
        "https://evil-as.example/token",
        "https://sub.as.example/token",
        "https://as.example./token",
    ] {
        for (token, alias) in [(endpoint, None), (&*own, Some(endpoint))] {
            publish(token, alias);
            for hosts in [vec!["as.example"], vec![]] {
                let error = server.session().endpoint_hosts(hosts).discover().unwrap_err();
                assert_eq!(*error.kind(), ErrorKind::Metadata, "{endpoint}");
            }
        }
    }
    assert!(token_requests(&server).is_empty());
    publish(&own, None);
    assert!(
        server.session().endpoint_hosts(Vec::<String>::new()).discover().is_ok(),
        "the issuer's own host"
    );
}

/// After one request at each location. The second location is tried after a status 4xx and nothing else.
#[test]
fn c_69_a_document_that_is_no_metadata_is_a_typed_error() {
    let server = start();
    let good =
        |more: &str| format!(r#"{{"issuer":"{0}","token_endpoint":"{0}/token"{more}}}"#, server.issuer());
    let json = |body: String| respond(200, &[JSON], body);
    let deep = format!(",\"x\":{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let deeper = format!(",\"x\":{}1{}", "{\"a\":".repeat(20_000), "}".repeat(20_000));
    let twice = format!(",\"token_endpoint\":\"{}/other\"", server.issuer());
    let escaped = format!(",\"token\\u005fendpoint\":\"{}/other\"", server.issuer());
    let (large, metadata, content) =
        (ErrorKind::TooLarge { limit: 1 << 20 }, ErrorKind::Metadata, ErrorKind::Content { status: 200 });
    let status = |status: u16| ErrorKind::Status { status };
    let cases = [
        (Quirk::LargeBody(Some(50 << 20)), large.clone()),
        (Quirk::LargeBody(None), large),
        (json(good(&deep)), metadata.clone()),
        (json(good(&deeper)), metadata.clone()),
        (json(good(&twice)), metadata.clone()),
        (json(good(&escaped)), metadata.clone()),
        (json(good(",\"x\":{\"a\":1,\"a\":2}")), metadata.clone()),
        (json(good("") + "x"), metadata.clone()),
        (json(format!("[{}]", good(""))), metadata.clone()),
        (json(String::new()), metadata.clone()),
        (json("null".to_owned()), metadata.clone()),
        (respond(200, &[("content-type", "text/html")], good("")), content.clone()),
        (Quirk::Html { status: 200 }, content),
        (respond(201, &[JSON], good("")), status(201)),
        (respond(204, &[], ""), status(204)),
        (respond(408, &[], ""), status(408)),
        (respond(429, &[JSON], good("")), status(429)),
        (Quirk::Html { status: 500 }, status(500)),
        (respond(503, &[], ""), status(503)),
        (
            Quirk::Redirect { status: 302, location: "/elsewhere".to_owned() },
            ErrorKind::Redirect { status: 302 },
        ),
        (json(good("").replace("\"issuer\":\"", "\"issuer\":\"https://other.example")), metadata),
    ];
    // Without a session, which asks a failing server again.
    let discover = || Discovery::dangerous_allow_http_on_loopback(server.issuer())?.run(&Transport::new());
    for (quirk, kind) in cases {
        server.behave();
        server.clear_received();
        always(&server, Endpoint::Metadata, quirk.clone());
        let error = discover().unwrap_err();
        assert_eq!((error.kind(), server.received().len()), (&kind, 1), "{error}");
        assert!(error.to_string().len() < 2_000);
        // The same from the second location.
        server.behave();
        server.clear_received();
        once(&server, Endpoint::Metadata, respond(404, &[], ""));
        server.misbehave(Endpoint::Metadata, When::Every(2), quirk);
        let error = discover().unwrap_err();
        let targets: Vec<_> = server.received().into_iter().map(|one| one.target).collect();
        assert_eq!((error.kind(), targets.len()), (&kind, 2), "{error}");
        assert_eq!(targets[1], "/.well-known/openid-configuration");
    }
    // RFC 8259 §8.1 allows a parser to skip a byte order mark.
    server.behave();
    always(&server, Endpoint::Metadata, json(format!("\u{feff}{}", good(""))));
    assert_eq!(get(&default_session(&server), &server), 200);
    // Q-30: Cognito and CDNs do not respond with 404.
    for status in [400, 401, 403, 404, 405, 410, 451] {
        server.behave();
        once(&server, Endpoint::Metadata, Quirk::Html { status });
        assert_eq!(get(&default_session(&server), &server), 200);
    }
    // An option names the location.
    server.behave();
    server.clear_received();
    let elsewhere = format!("{}/.well-known/openid-configuration?x=1", server.issuer());
    for (location, target) in [
        (MetadataLocation::OAuth, "/.well-known/oauth-authorization-server"),
        (MetadataLocation::OpenId, "/.well-known/openid-configuration"),
        (MetadataLocation::Url(elsewhere), "/.well-known/openid-configuration?x=1"),
    ] {
        assert!(server.session().metadata_location(location.clone()).discover().is_ok());
        assert_eq!(server.received().pop().unwrap().target, target);
        server.clear_received();
        once(&server, Endpoint::Metadata, respond(404, &[], ""));
        let error = server.session().metadata_location(location).discover().unwrap_err();
        assert_eq!((error.status(), server.received().len()), (Some(404), 1));
    }
}

/// RFC 8414 §2.1 gives signed metadata precedence where the signature is verified. It is not verified here,
/// so the member is ignored whatever it contains.
#[test]
fn c_70_signed_metadata_change_nothing() {
    let (server, trap) = (start(), Trap::set());
    let base64url = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    let claims = format!(
        r#"{{"iss":"{0}","issuer":"{1}","token_endpoint":"{1}/token","token_endpoint_auth_methods_supported":["none"],"dpop_signing_alg_values_supported":["none"],"jwks_uri":"{1}/jwks"}}"#,
        server.issuer(),
        trap.origin()
    );
    let signed = key(Algorithm::Es256).sign(claims.as_bytes()).unwrap();
    for value in [
        format!("\"{}.{}.\"", base64url(r#"{"alg":"none"}"#), base64url(&claims)),
        format!(
            "\"{}.{}.{}\"",
            base64url(&format!(r#"{{"alg":"ES256","jku":"{}"}}"#, trap.origin())),
            base64url(&claims),
            Base64UrlUnpadded::encode_string(&signed)
        ),
        claims.clone(),
        "\"\"".to_owned(),
        "7".to_owned(),
        "null".to_owned(),
    ] {
        server.behave();
        server.clear_received();
        let document = format!(
            r#"{{"issuer":"{0}","token_endpoint":"{0}/token","signed_metadata":{value},"dpop_signing_alg_values_supported":["ES256"]}}"#,
            server.issuer()
        );
        always(&server, Endpoint::Metadata, respond(200, &[JSON], document));
        let session = default_session(&server);
        assert_eq!(get(&session, &server), 200, "{value}");
        assert!(token_requests(&server).iter().all(|one| one.header_values("authorization").len() == 1));
        assert_eq!(session.server().member("token_endpoint").unwrap(), &format!("{}/token", server.issuer()));
    }
    assert!(trap.untouched());
}
