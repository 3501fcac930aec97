//! Metadata (RFC 8414).

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::server::{Introspector, JwtValidator};
use possession::*;
use serde_json::json;

use super::{
    AT_OAUTH, AT_OPENID, Call, ENDPOINT, ISSUER, JSON, Script, Setup, TENANT, discover, document, response,
    token,
};

/// Q-30: Cognito responds with 400, and CDNs with 401 or 403, where they have no document.
#[test]
fn c_69_q_30_the_second_location_is_tried_after_any_4xx_that_concerns_the_document() {
    let good = || document(json!({}));
    assert_eq!(discover([good()]).1, [AT_OAUTH]);
    let status = |status| ErrorKind::Status { status };
    // RFC 9110 §15.5, RFC 8470 §5.2, RFC 6585 §4: these concern a proxy, the time or the number of requests.
    let says_nothing = [407, 408, 425, 429];
    for code in 400..=499 {
        let first = || response(code, &[JSON], "{}");
        let (result, asked) = discover([first(), good()]);
        if says_nothing.contains(&code) {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), asked), (&status(code), vec![AT_OAUTH.to_owned()]));
            continue;
        }
        assert_eq!((result.unwrap().issuer(), asked.len()), (TENANT, 2), "{code}");
        assert_eq!(asked[1], AT_OPENID);
        // The second location's refusal is the error, which names the first one's status too.
        let (result, asked) = discover([first(), response(404, &[], ""), good()]);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), asked.len()), (&status(404), 2));
        let text = error.to_string();
        assert!(text.contains(AT_OPENID) && text.contains(&format!("status {code} before")), "{text}");
    }
}

#[test]
fn c_69_the_second_location_is_not_tried_after_another_failure() {
    let good = || document(json!({}));
    let status = |status| ErrorKind::Status { status };
    let other = |issuer: &str| document(json!({ "issuer": issuer }));
    let cases = [
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
    // There is no third location.
    let (result, asked) = discover([response(404, &[], ""), response(404, &[], ""), good()]);
    let error = result.unwrap_err();
    assert_eq!((error.kind(), asked.len()), (&status(404), 2));
    assert!(error.to_string().contains(AT_OPENID), "{error}");
}

#[test]
fn q_30_an_option_names_the_only_location() {
    let elsewhere = "https://cdn.example/metadata.json?tenant=t";
    for (location, url) in [
        (MetadataLocation::OAuth, AT_OAUTH),
        (MetadataLocation::OpenId, AT_OPENID),
        (MetadataLocation::Url(elsewhere.to_owned()), elsewhere),
    ] {
        let run = |responses: Vec<_>| {
            let script = Script::new(responses);
            let discovery = Discovery::new(TENANT).unwrap().location(location.clone()).unwrap();
            let result = discovery.run(&script);
            (result, script.sent().into_iter().map(|sent| sent.uri).collect::<Vec<_>>())
        };
        let (result, asked) = run(vec![document(json!({}))]);
        assert_eq!((result.unwrap().issuer(), asked), (TENANT, vec![url.to_owned()]));
        for code in [400, 404] {
            let (result, asked) = run(vec![response(code, &[], ""), document(json!({}))]);
            let kind = ErrorKind::Status { status: code };
            assert_eq!((result.unwrap_err().kind(), asked.len()), (&kind, 1), "{url}");
        }
        // The document is the issuer's wherever it is (RFC 8414 §3.3).
        let (result, _) = run(vec![document(json!({ "issuer": "https://cdn.example" }))]);
        assert_eq!(*result.unwrap_err().kind(), ErrorKind::Metadata);
    }
    for bad in ["http://as.example/m", "/m", "", "https://u@as.example/m", "https://as.example/m#f"] {
        let location = MetadataLocation::Url(bad.to_owned());
        let error = Discovery::new(TENANT).unwrap().location(location).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Metadata, "{bad}");
    }
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

/// URLs that no request may be sent to, and values that are no URLs.
fn bad_endpoints() -> Vec<serde_json::Value> {
    vec![
        json!("http://as.example/token"),
        json!("http://127.0.0.1/token"),
        json!("file:///etc/passwd"),
        json!("data:text/plain,x"),
        json!("javascript:alert(1)"),
        json!("openid4vp://authorize"),
        json!("/"),
        json!("/token"),
        json!("//as.example/token"),
        json!("https://as.example/token#f"),
        json!("https://as.example/token#"),
        json!("https://as.example/a/../token"),
        json!("https://as.example/to ken"),
        json!(""),
        json!(1),
        json!(false),
        json!({}),
        json!([ENDPOINT]),
    ]
}

/// An endpoint is checked when it is used: nothing is sent to a bad one, and the error names it.
#[test]
fn c_05_c_07_c_67_every_endpoint_that_is_used_is_checked() {
    let http = || Script::new([token()]);
    let (client, secret) = (Client::new("app").unwrap(), ClientAuth::client_secret_basic("s"));
    let certificate = ClientAuth::tls_client_auth();
    for url in bad_endpoints().into_iter().chain([json!(null)]) {
        let server = |members| discover([document(members)]).0.unwrap();
        let refused = |server: AuthorizationServer, auth: &ClientAuth, name: &str| {
            let setup = Setup { server, ..Setup::new().with(auth.clone()) };
            let error = setup.refused();
            assert_eq!(*error.kind(), ErrorKind::Metadata, "{name} {url}: {error}");
            assert!(error.to_string().contains(name), "{name} {url}: {error}");
        };
        refused(server(json!({ "token_endpoint": url })), &secret, "token_endpoint");
        for (name, members) in [
            ("jwks_uri", json!({ "jwks_uri": url })),
            ("introspection_endpoint", json!({ "introspection_endpoint": url })),
        ] {
            let server = server(members);
            let error = match name {
                "jwks_uri" => JwtValidator::new(&server, "api", http()).map(drop),
                _ => Introspector::new(&server, &client, &secret, "api", http()).map(drop),
            };
            let error = error.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Metadata, "{name} {url}");
            assert!(error.to_string().contains(name), "{name} {url}: {error}");
        }
        if url.is_null() {
            continue;
        }
        let methods = json!(["client_secret_basic", "tls_client_auth"]);
        let with_alias = |aliases| {
            let members = json!({
                "mtls_endpoint_aliases": aliases,
                "token_endpoint_auth_methods_supported": methods,
                "introspection_endpoint": "https://as.example/introspect",
            });
            server(members)
        };
        let alias = with_alias(json!({ "token_endpoint": url, "introspection_endpoint": url }));
        refused(alias.clone(), &certificate, "mtls_endpoint_aliases.token_endpoint");
        let error = Introspector::new(&alias, &client, &certificate, "api", http()).map(drop).unwrap_err();
        assert!(error.to_string().contains("mtls_endpoint_aliases.introspection_endpoint"), "{error}");
        // The same alias is not used by a client without a certificate.
        let setup = Setup { server: alias.clone(), ..Setup::new().with(secret.clone()) };
        assert!(setup.run([token()]).0.is_ok(), "{url}");
        assert!(Introspector::new(&alias, &client, &secret, "api", http()).is_ok());
        if !url.is_object() {
            let server = with_alias(url.clone());
            refused(server.clone(), &certificate, "mtls_endpoint_aliases");
            let setup = Setup { server, ..Setup::new().with(secret.clone()) };
            assert!(setup.run([token()]).0.is_ok(), "{url}");
        }
    }
    // C-06: user information is refused in every endpoint, used or not.
    for members in [
        json!({ "token_endpoint": "https://u:p@as.example/token" }),
        json!({ "jwks_uri": "https://u@as.example/jwks" }),
        json!({ "authorization_endpoint": "http://@as.example/a" }),
        json!({ "mtls_endpoint_aliases": { "token_endpoint": "https://u:p@as.example/token" } }),
    ] {
        let error = discover([document(members.clone())]).0.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Metadata, "{members}");
        assert!(!error.to_string().contains("u:p"), "{error}");
    }
    // Assertions with the token endpoint as their audience use it too.
    let server =
        discover([document(json!({ "token_endpoint": null, "introspection_endpoint": ENDPOINT }))]).0;
    let options = AssertionOptions::new().dangerous_token_endpoint_as_audience();
    let auth = ClientAuth::private_key_jwt_with(super::key(Algorithm::Es256), options);
    let error = Introspector::new(&server.unwrap(), &client, &auth, "api", http()).map(drop).unwrap_err();
    assert!(error.to_string().contains("token_endpoint"), "{error}");
}

/// Q-30, hydra#1448: what is not used does not matter, whatever it is.
#[test]
fn q_30_members_that_are_not_used_do_not_make_metadata_invalid() {
    let secret = || ClientAuth::client_secret_basic("s");
    let works = |members: serde_json::Value| {
        let server = discover([document(members.clone())]).0;
        let server = server.unwrap_or_else(|error| panic!("{members}: {error}"));
        let setup = Setup { server, ..Setup::new().with(secret()) };
        let (result, sent) = setup.run([token()]);
        assert!(result.is_ok() && sent[0].uri == ENDPOINT, "{members}: {result:?}");
        Call::new(&setup, "GET", "https://api.example/").proof();
        // They can be corrected, and are still not used.
        assert!(setup.server.to_builder().build().is_ok(), "{members}");
    };
    for endpoint in [
        "registration_endpoint",
        "userinfo_endpoint",
        "end_session_endpoint",
        "authorization_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
        "jwks_uri",
        "mtls_endpoint_aliases",
        "other_endpoint",
    ] {
        bad_endpoints().into_iter().for_each(|value| works(json!({ endpoint: value })));
    }
    let no_lists = [json!("ES256"), json!([1]), json!({ "ES256": true }), json!(true), json!("")];
    for list in [
        "introspection_endpoint_auth_methods_supported",
        "revocation_endpoint_auth_signing_alg_values_supported",
        // Only assertions have an algorithm.
        "token_endpoint_auth_signing_alg_values_supported",
        "scopes_supported",
        "response_types_supported",
        "code_challenge_methods_supported",
    ] {
        no_lists.iter().for_each(|value| works(json!({ list: value })));
    }
    // A list that is used must be one, and the error names it.
    let assertions = || Setup::new().with(ClientAuth::private_key_jwt(super::key(Algorithm::Es256)));
    for (name, setup) in [
        ("token_endpoint_auth_methods_supported", Setup::new().with(secret())),
        ("dpop_signing_alg_values_supported", Setup::new().with(secret())),
        ("token_endpoint_auth_signing_alg_values_supported", assertions()),
    ] {
        for value in &no_lists {
            let mut members = json!({ "token_endpoint_auth_methods_supported":
                ["client_secret_basic", "private_key_jwt"] });
            members[name] = value.clone();
            let server = discover([document(members)]).0.unwrap();
            let error = Setup { server, ..Setup { parameters: setup.parameters.clone(), ..Setup::new() } }
                .with(setup.auth.clone())
                .refused();
            assert_eq!(*error.kind(), ErrorKind::Metadata, "{name} {value}: {error}");
            assert!(error.to_string().contains(name), "{name} {value}: {error}");
        }
    }
}

/// RFC 8414 §3.2: a claim without values is omitted, so an empty list says as much as none.
#[test]
fn q_30_an_empty_list_means_that_nothing_is_stated() {
    for empty in [json!([]), json!(null)] {
        let members = json!({
            "token_endpoint_auth_methods_supported": empty,
            "token_endpoint_auth_signing_alg_values_supported": empty,
            "dpop_signing_alg_values_supported": empty,
            "mtls_endpoint_aliases": empty,
        });
        let server = discover([document(members)]).0.unwrap();
        // RFC 8414 §2: without a list of methods, it is `client_secret_basic`.
        let basic =
            Setup { server: server.clone(), ..Setup::new().with(ClientAuth::client_secret_basic("s")) };
        assert!(basic.run([token()]).0.is_ok());
        let post = Setup { server: server.clone(), ..Setup::new().with(ClientAuth::client_secret_post("s")) };
        assert_eq!(*post.refused().kind(), ErrorKind::AuthMethod);
        let any = server.to_builder().token_endpoint_auth_methods_supported([""; 0]);
        for auth in [
            ClientAuth::private_key_jwt(super::key(Algorithm::Es256)),
            ClientAuth::client_secret_post("s"),
            ClientAuth::tls_client_auth(),
        ] {
            let setup = Setup::new().with(auth).server(any.clone());
            let (result, sent) = setup.run([token()]);
            assert!(result.is_ok() && sent[0].uri == ENDPOINT, "{result:?}");
        }
    }
}

/// A resource server needs the keys or the introspection endpoint, and no token endpoint.
#[test]
fn q_30_a_resource_server_reads_a_document_without_a_token_endpoint() {
    let members = json!({
        "token_endpoint": null,
        "jwks_uri": "https://as.example/jwks",
        "introspection_endpoint": "https://as.example/introspect",
    });
    let server = discover([document(members)]).0.unwrap();
    assert!(JwtValidator::new(&server, "api", Script::new([])).is_ok());
    let client = Client::new("api").unwrap();
    let auth = ClientAuth::client_secret_basic("s");
    assert!(Introspector::new(&server, &client, &auth, "api", Script::new([])).is_ok());
    let error = Setup { server, ..Setup::new().with(auth) }.refused();
    assert_eq!(*error.kind(), ErrorKind::Metadata);
    assert!(error.to_string().contains("no `token_endpoint`"), "{error}");
}

/// Plain http is for loopback alone, and by an option. What is set by hand is reported at once.
#[test]
fn c_05_c_67_a_token_endpoint_that_is_set_by_hand_is_checked_at_once() {
    for url in bad_endpoints().iter().filter_map(serde_json::Value::as_str) {
        let by_hand = || AuthorizationServer::builder(ISSUER);
        for builder in
            [by_hand().token_endpoint(url), by_hand().token_endpoint(ENDPOINT).mtls_token_endpoint(url)]
        {
            assert_eq!(*builder.build().unwrap_err().kind(), ErrorKind::Metadata, "{url}");
        }
    }
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
