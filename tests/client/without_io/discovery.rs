//! Metadata (RFC 8414).

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::*;
use serde_json::json;

use super::{
    AT_OAUTH, AT_OPENID, ENDPOINT, ISSUER, JSON, Script, Setup, TENANT, discover, document, response, token,
};

#[test]
fn c_69_the_second_location_is_tried_after_a_404_and_nothing_else() {
    let good = || document(json!({}));
    assert_eq!(discover([good()]).1, [AT_OAUTH]);
    let (result, asked) = discover([response(404, &[JSON], "{}"), good()]);
    assert_eq!((result.unwrap().issuer(), asked), (TENANT, vec![AT_OAUTH.to_owned(), AT_OPENID.to_owned()]));

    let status = |status| ErrorKind::Status { status };
    let other = |issuer: &str| document(json!({ "issuer": issuer }));
    let cases = [
        (response(400, &[], ""), status(400)),
        (response(401, &[], ""), status(401)),
        (response(403, &[], ""), status(403)),
        (response(405, &[], ""), status(405)),
        (response(410, &[], ""), status(410)),
        (response(500, &[], ""), status(500)),
        (response(503, &[], ""), status(503)),
        (response(204, &[], ""), status(204)),
        (response(201, &[JSON], good().into_body()), status(201)),
        (response(302, &[("location", AT_OPENID)], ""), ErrorKind::Redirect { status: 302 }),
        (response(307, &[("location", "http://169.254.169.254/")], ""), ErrorKind::Redirect { status: 307 }),
        (
            response(200, &[("content-type", "text/html")], good().into_body()),
            ErrorKind::Content { status: 200 },
        ),
        (other("https://evil.example/t"), ErrorKind::Metadata),
        (response(200, &[JSON], "<p>"), ErrorKind::Metadata),
        (
            response(200, &[JSON], format!("{}{}", "[".repeat(20_000), "]".repeat(20_000))),
            ErrorKind::Metadata,
        ),
        (
            response(
                200,
                &[JSON],
                format!(
                    r#"{{"issuer":"{TENANT}","token_endpoint":"{ENDPOINT}","token_endpoint":"{ENDPOINT}"}}"#
                ),
            ),
            ErrorKind::Metadata,
        ),
    ];
    for (first, kind) in cases {
        let shown = format!("{:?}", first.status());
        let (result, asked) = discover([first, good()]);
        assert_eq!((result.unwrap_err().kind(), asked), (&kind, vec![AT_OAUTH.to_owned()]), "{shown}");
    }
    // A 404 of the second location is an error.
    let (result, asked) = discover([response(404, &[], ""), response(404, &[], ""), good()]);
    let error = result.unwrap_err();
    assert_eq!((error.kind(), asked.len()), (&status(404), 2));
    assert!(error.to_string().contains(AT_OPENID), "{error}");
}

/// RFC 8414 §3.3, §4: identical code points.
#[test]
fn c_66_a_document_of_another_issuer_is_not_used() {
    let issuers = [
        json!("https://as.example/t/"),
        json!("https://as.example/T"),
        json!("https://AS.example/t"),
        json!("HTTPS://as.example/t"),
        json!("https://as.example:443/t"),
        json!("https://as.example/%74"),
        json!("https://as.example/t?"),
        json!("https://as.example/t#"),
        json!(" https://as.example/t"),
        json!("https://as.example/t\u{0}"),
        json!("https://as.example/ｔ"),
        json!("https://as.example"),
        json!(""),
        json!(null),
        json!(1),
        json!([TENANT]),
    ];
    for issuer in issuers {
        let error = discover([document(json!({ "issuer": issuer }))]).0.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Metadata, "{issuer}");
    }
    let error =
        discover([response(200, &[JSON], json!({ "token_endpoint": ENDPOINT }).to_string())]).0.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Metadata);
    // The case of an escape, and two Unicode forms of a letter, are differences too.
    for (ours, theirs) in [
        ("https://as.example/%2f", "https://as.example/%2F"),
        ("https://as.example/%C3%A9", "https://as.example/e%CC%81"),
    ] {
        let document = |issuer| json!({ "issuer": issuer, "token_endpoint": ENDPOINT }).to_string();
        assert!(AuthorizationServer::builder(ours).document(document(ours)).build().is_ok());
        let error = AuthorizationServer::builder(ours).document(document(theirs)).build().unwrap_err();
        assert!(error.to_string().contains(ours) && error.to_string().contains(theirs), "{error}");
    }
}

#[test]
fn c_05_c_07_c_67_every_endpoint_is_checked() {
    let bad = [
        json!("http://as.example/token"),
        json!("http://127.0.0.1/token"),
        json!("file:///etc/passwd"),
        json!("data:text/plain,x"),
        json!("javascript:alert(1)"),
        json!("/token"),
        json!("//as.example/token"),
        json!("https://u:p@as.example/token"),
        json!("https://as.example/token#f"),
        json!("https://as.example/token#"),
        json!("https://as.example/a/../token"),
        json!("https://as.example/to ken"),
        json!(""),
        json!(1),
        json!([ENDPOINT]),
    ];
    for url in bad {
        let documents = [
            json!({ "token_endpoint": url }),
            json!({ "mtls_endpoint_aliases": { "token_endpoint": url } }),
            json!({ "jwks_uri": url }),
            json!({ "authorization_endpoint": url }),
        ];
        for members in documents {
            let error = discover([document(members.clone())]).0.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Metadata, "{members}");
        }
    }
    let malformed = [
        json!({ "token_endpoint": null }),
        json!({ "mtls_endpoint_aliases": [] }),
        json!({ "token_endpoint_auth_methods_supported": "none" }),
        json!({ "token_endpoint_auth_methods_supported": [1] }),
        json!({ "dpop_signing_alg_values_supported": { "ES256": true } }),
    ];
    for members in malformed {
        assert_eq!(
            *discover([document(members.clone())]).0.unwrap_err().kind(),
            ErrorKind::Metadata,
            "{members}"
        );
    }
    // The same rules hold for metadata that were not fetched. Plain http is for loopback alone, and by an
    // option.
    let by_hand = |url: &str| AuthorizationServer::builder(ISSUER).token_endpoint(url);
    for (url, good) in [
        ("http://127.0.0.1:1/t", true),
        ("http://[::1]/t", true),
        ("http://localhost/t", true),
        ("http://as.example/t", false),
        ("http://127.0.0.1.evil.example/t", false),
        ("http://10.0.0.1/t", false),
        ("http://localhost.evil.example/t", false),
        ("http://0.0.0.0/t", false),
        ("http://2130706433/t", false),
    ] {
        assert!(by_hand(url).build().is_err(), "{url}");
        assert_eq!(by_hand(url).dangerous_allow_http_on_loopback().build().is_ok(), good, "{url}");
    }
}

#[test]
fn c_68_c_70_other_hosts_are_allowed_by_default_and_signed_metadata_are_not_read() {
    // {"alg":"none"} and {"issuer":…,"token_endpoint":"https://evil.example/token"}
    let encode = |json: serde_json::Value| Base64UrlUnpadded::encode_string(json.to_string().as_bytes());
    let claims =
        encode(json!({ "iss": TENANT, "issuer": TENANT, "token_endpoint": "https://evil.example/token" }));
    let signed = format!("{}.{claims}.", encode(json!({ "alg": "none" })));
    let members = json!({
        "token_endpoint": "https://other.example/token",
        "signed_metadata": signed,
        "token_endpoint_auth_methods_supported": ["none"],
        "future": { "nested": [null] },
    });
    let server = discover([document(members)]).0.unwrap();
    assert_eq!(server.member("future"), Some(&json!({ "nested": [null] })));
    let setup = Setup { server, ..Setup::new().with(ClientAuth::none()) };
    let (_, sent) = setup.run([token()]);
    assert_eq!(sent[0].uri, "https://other.example/token");

    // With a list of hosts, every endpoint must be on one of them.
    let discover_with = |members, hosts: &[&str]| {
        let discovery = Discovery::new(TENANT).unwrap().endpoint_hosts(hosts.iter().copied());
        discovery.run(&Script::new([document(members)])).map(drop)
    };
    let token_endpoint = |url: &str| json!({ "token_endpoint": url });
    let alias = json!({ "mtls_endpoint_aliases": { "token_endpoint": "https://other.example/" } });
    let jwks = json!({ "jwks_uri": "https://169.254.169.254/" });
    let cases: [(_, &[&str], bool); 8] = [
        (token_endpoint("https://as.example:8443/token"), &[], true),
        (token_endpoint("https://other.example/token"), &["x", "Other.Example"], true),
        (token_endpoint("https://other.example/token"), &[], false),
        (token_endpoint("https://as.example.evil/token"), &["other.example"], false),
        (token_endpoint("https://sub.other.example/token"), &["other.example"], false),
        (alias.clone(), &["other.example"], true),
        (alias, &[], false),
        (jwks, &["other.example"], false),
    ];
    for (members, hosts, good) in cases {
        let shown = members.to_string();
        match discover_with(members, hosts) {
            Ok(()) => assert!(good, "{shown}"),
            Err(error) => assert_eq!((error.kind(), good), (&ErrorKind::Metadata, false), "{shown}"),
        }
    }
}
