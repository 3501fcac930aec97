//! Rows C-01 … C-41 of the threat catalogue (what is on the wire and what comes back), against the test server, each named with
//! its number: what was sent, and what the caller got. The rows from C-42 on are in `bad_day_client.rs` and `bad_day_log.rs`.
#![cfg(feature = "ureq")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: what fails here fails a test"
)]

mod common;

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, SystemTime};

use common::server::{
    SECOND, always, calls, get, member, nonces, nothing_twice, once, respond, start, token_requests, with,
};
use common::{JSON, Peer, Trap};
use http::Request;
use possession::testing::{ChallengeForm, Endpoint, ManualClock, Nonces, Quirk, Received, TestServer, When};
use possession::*;

/// Long enough for a loaded machine, short enough to wait for.
const SHORT: Duration = Duration::from_millis(400);

fn session(server: &TestServer) -> Session {
    server.session().scope("orders:read").discover().unwrap()
}

/// A session that gives up soon, on metadata that are known already.
fn hasty(server: &TestServer) -> Session {
    let transport = Transport::builder().timeout(SHORT).build();
    server.session().transport(transport).server(metadata(server)).unwrap()
}

fn metadata(server: &TestServer) -> AuthorizationServer {
    by_hand(server, &format!("{}/token", server.issuer())).unwrap()
}

fn by_hand(server: &TestServer, endpoint: &str) -> Result<AuthorizationServer, Error> {
    let builder = AuthorizationServer::builder(server.issuer()).token_endpoint(endpoint);
    builder.dangerous_allow_http_on_loopback().build()
}

// ---- Redirects, origins, transport

#[test]
fn c_01_no_redirect_of_the_token_endpoint_is_followed() {
    for status in [301, 302, 303, 307, 308] {
        let (server, trap) = (start(), Trap::set());
        always(
            &server,
            Endpoint::Token,
            Quirk::Redirect { status, location: format!("{}/token", trap.origin()) },
        );
        let error = session(&server).access_token().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Redirect { status });
        assert!(error.to_string().contains(&status.to_string()) && trap.untouched(), "{error}");
        assert_eq!(token_requests(&server).len(), 1);
    }
}

#[test]
fn c_02_c_03_no_redirect_of_a_resource_is_followed() {
    for status in [302, 307, 308] {
        let (server, trap) = (start(), Trap::set());
        let session = session(&server);
        // Another origin, and the same one.
        for location in
            [format!("{}/orders", trap.origin()), "/elsewhere".to_owned(), server.resource("/elsewhere")]
        {
            server.behave();
            server.clear_received();
            always(&server, Endpoint::Resource, Quirk::Redirect { status, location: location.clone() });
            let response = session.get(&server.resource("/orders")).unwrap();
            assert_eq!(
                (response.status().as_u16(), response.headers()["location"].to_str().unwrap()),
                (status, &*location)
            );
            assert_eq!(calls(&server).len(), 1, "{location}");
        }
        assert!(trap.untouched());
    }
}

#[test]
fn c_04_no_redirect_of_discovery_is_followed() {
    for status in [301, 302, 307] {
        let (server, trap) = (start(), Trap::set());
        for location in [format!("{}/x", trap.origin()), "http://169.254.169.254/latest/meta-data".to_owned()]
        {
            server.behave();
            always(&server, Endpoint::Metadata, Quirk::Redirect { status, location });
            let error = server.session().discover().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Redirect { status });
        }
        assert!(trap.untouched());
    }
}

#[test]
fn c_05_plain_http_is_refused_before_connecting() {
    let server = start();
    let strict = Session::builder(server.issuer(), server.client_id()).discover();
    assert_eq!(*strict.unwrap_err().kind(), ErrorKind::Metadata);
    let https =
        || AuthorizationServer::builder("https://as.example").token_endpoint("https://as.example/token");
    let aliased = https().mtls_token_endpoint(format!("{}/token", server.issuer())).build();
    assert_eq!(*aliased.unwrap_err().kind(), ErrorKind::Metadata);
    let endpoint =
        AuthorizationServer::builder("https://as.example").token_endpoint(server.resource("/token"));
    assert_eq!(*endpoint.build().unwrap_err().kind(), ErrorKind::Metadata);
    let strict = Session::builder("", "app").server(https().build().unwrap()).unwrap();
    assert_eq!(*strict.get(&server.resource("/")).unwrap_err().kind(), ErrorKind::Url);
    // The option is for loopback and nothing else.
    let lax = session(&server);
    for url in ["http://example.com/", "http://192.0.2.1/", "http://127.0.0.1.example.com/"] {
        assert_eq!(*lax.get(url).unwrap_err().kind(), ErrorKind::Url, "{url}");
    }
    assert!(token_requests(&server).is_empty() && calls(&server).is_empty());
}

#[test]
fn c_06_user_names_in_urls_are_refused() {
    let server = start();
    let lax = session(&server);
    for user in ["u:p@", "u@", "@", ":@"] {
        let evil = |url: &str| url.replacen("://", &format!("://{user}"), 1);
        assert_eq!(*lax.get(&evil(&server.resource("/"))).unwrap_err().kind(), ErrorKind::Url, "{user}");
        assert_eq!(
            *by_hand(&server, &evil(&server.resource("/token"))).unwrap_err().kind(),
            ErrorKind::Metadata
        );
        let issuer = evil(server.issuer());
        let discovery = Session::builder(issuer, "app").dangerous_allow_http_on_loopback().discover();
        assert_eq!(*discovery.unwrap_err().kind(), ErrorKind::Metadata);
    }
    assert_eq!(server.received().len(), 1, "the metadata, at first");
}

#[test]
fn c_07_the_query_of_the_token_endpoint_is_sent_and_a_fragment_refused() {
    let server = start();
    let endpoint = format!("{}/token?tenant=a%20b", server.issuer());
    let session = server.session().server(by_hand(&server, &endpoint).unwrap()).unwrap();
    session.access_token().unwrap();
    for request in token_requests(&server) {
        assert_eq!(request.target, "/token?tenant=a%20b");
        assert_eq!(request.proof().unwrap().claims["htu"], format!("{}/token", server.issuer()));
    }
    let error = by_hand(&server, &format!("{}/token#f", server.issuer())).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Metadata);
}

/// A process of its own, since the environment is the whole process's.
#[test]
fn c_08_a_proxy_of_the_environment_is_not_used() {
    const NAME: &str = "c_08_a_proxy_of_the_environment_is_not_used";
    let server = start();
    if std::env::var_os("C_08_CHILD").is_some() {
        assert_eq!(get(&session(&server), &server), 200);
        return;
    }
    let proxy = Trap::set();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", NAME]).env("C_08_CHILD", "1").env_remove("NO_PROXY").env_remove("no_proxy");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        child.env(name, proxy.origin());
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed") && proxy.untouched());
}

/// A proxy that was asked for is told where to connect to and nothing else.
#[test]
fn c_08_a_proxy_sees_no_secret() {
    let proxy = Peer::scripted(["HTTP/1.1 502 X\r\ncontent-length: 0\r\n\r\n"]);
    let transport =
        Transport::builder().timeout(20 * SECOND).proxy(Some(ureq::Proxy::new(&proxy.origin).unwrap()));
    let server =
        AuthorizationServer::builder("https://as.example").token_endpoint("https://as.example/token");
    let builder = Session::builder("", "app").auth(ClientAuth::client_secret_basic("secret"));
    let builder = builder.transport(transport.build()).clock(ManualClock::new());
    let error = builder.server(server.build().unwrap()).unwrap().access_token().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Transport);
    assert!(!proxy.seen().is_empty());
    for seen in proxy.seen() {
        assert_eq!(seen.line, "CONNECT as.example:443 HTTP/1.1");
        for name in ["authorization", "dpop", "cookie"] {
            assert!(seen.header_values(name).is_empty());
        }
        assert!(seen.body.is_empty());
    }
}

struct Certificates {
    ca: String,
    chain: String,
    key: String,
}

/// A certificate by a CA of its own, for that name and until that year.
fn certificates(name: &str, until: i32) -> Certificates {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "test CA");
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(2020, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(until, 1, 1);
    leaf.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let chain = leaf.signed_by(&key, &issuer).unwrap().pem();
    Certificates { ca: ca_pem, chain, key: key.serialize_pem() }
}

#[test]
fn c_09_a_server_with_a_bad_certificate_gets_nothing() {
    let good = certificates("127.0.0.1", 2100);
    let other = certificates("127.0.0.1", 2100);
    let expired = certificates("127.0.0.1", 2021);
    let wrong_name = certificates("other.example", 2100);
    for (shown, trusted, fine) in [
        (&good, Some(&good.ca), true),
        (&good, Some(&other.ca), false),
        // The public CAs alone: it is as good as self-signed.
        (&good, None, false),
        (&expired, Some(&expired.ca), false),
        (&wrong_name, Some(&wrong_name.ca), false),
    ] {
        let server = with(|server| server.tls(shown.chain.as_bytes(), shown.key.as_bytes()).unwrap());
        let transport = Transport::builder().timeout(20 * SECOND);
        let transport = match trusted {
            Some(ca) => transport.root_certificates_pem(ca.as_bytes()).unwrap(),
            None => transport,
        };
        let auth = ClientAuth::client_secret_basic(server.client_secret());
        let builder =
            Session::builder(server.issuer(), server.client_id()).auth(auth).transport(transport.build());
        match builder.discover() {
            Ok(session) => assert!(fine && get(&session, &server) == 200),
            Err(error) => {
                assert!(!fine && *error.kind() == ErrorKind::Transport && !error.is_transient(), "{error}");
                assert!(server.received().is_empty());
            }
        }
    }
}

#[test]
fn c_10_mutual_tls_goes_to_the_alias_and_the_audience_stays_the_issuer() {
    let own = certificates("client.example", 2100);
    let transport = || {
        let builder = Transport::builder().client_certificate_pem(own.chain.as_bytes(), own.key.as_bytes());
        builder.unwrap().build()
    };
    let server = with(|server| server.mtls_alias().public_client());
    let session =
        server.session().auth(ClientAuth::tls_client_auth()).transport(transport()).discover().unwrap();
    session.access_token().unwrap();
    for request in token_requests(&server) {
        assert_eq!(request.origin, server.resource_origin());
        assert_eq!(request.proof().unwrap().claims["htu"], server.resource("/token"));
        assert_eq!(request.form_field("client_id").as_deref(), Some(server.client_id()));
    }
    // With an assertion over mutual TLS.
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let server = with(|server| server.mtls_alias().client_public_key(key.to_public()));
    let discovered =
        Discovery::dangerous_allow_http_on_loopback(server.issuer()).unwrap().run(&transport()).unwrap();
    let client = Client::new(server.client_id()).unwrap().use_mtls_endpoint_aliases();
    let transport = transport();
    let options = RequestOptions::new().http(&transport);
    let auth = ClientAuth::private_key_jwt(key);
    client_credentials_grant_request(&discovered, &client, &auth, Parameters::new(), &options).unwrap();
    let request = token_requests(&server).pop().unwrap();
    assert_eq!(request.origin, server.resource_origin());
    assert_eq!(request.assertion().unwrap().claims["aud"], server.issuer());
}

#[test]
fn c_11_there_is_one_authorization_and_one_proof() {
    let server = start();
    let session = session(&server);
    for name in ["authorization", "AUTHORIZATION", "dpop", "DPoP"] {
        let request = Request::get(server.resource("/")).header(name, "x").body(()).unwrap();
        assert_eq!(*session.run(request).unwrap_err().kind(), ErrorKind::Parameter, "{name}");
        // For another HTTP client what stands there is replaced.
        let request =
            Request::get(server.resource("/")).header(name, "x").header(name, "y").body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        session.authorize(&mut parts).unwrap();
        for name in ["authorization", "dpop"] {
            assert_eq!(
                parts.headers.get_all(name).iter().filter(|value| *value != "x" && *value != "y").count(),
                1
            );
            assert_eq!(parts.headers.get_all(name).iter().count(), 1);
        }
    }
    assert!(calls(&server).is_empty());
    get(&session, &server);
    for call in calls(&server) {
        assert_eq!((call.header_values("authorization").len(), call.header_values("dpop").len()), (1, 1));
    }
}

// ---- Limits

#[test]
fn c_12_a_server_that_never_answers_is_left_after_the_time() {
    for quirk in [Quirk::Silence, Quirk::SilentBody] {
        let server = start();
        always(&server, Endpoint::Token, quirk.clone());
        let error = hasty(&server).access_token().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Timeout, "{quirk:?} {error}");
        assert!(error.to_string().contains("no complete response within"), "{error}");
    }
    let server = start();
    always(&server, Endpoint::Resource, Quirk::Silence);
    let error = hasty(&server).get(&server.resource("/")).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Timeout, "{error}");
    always(&server, Endpoint::Metadata, Quirk::Silence);
    let transport = Transport::builder().timeout(SHORT).build();
    let error = server.session().transport(transport).discover().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Timeout, "{error}");
}

/// Each byte comes within any limit of one read; the whole does not.
#[test]
fn c_13_a_server_that_drips_is_left_after_the_time() {
    let server = start();
    always(&server, Endpoint::Token, Quirk::Drip(Duration::from_millis(50)));
    let error = hasty(&server).access_token().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Timeout, "{error}");
}

#[test]
fn c_14_bodies_without_end_stop_at_the_limit() {
    for quirk in [Quirk::LargeBody(None), Quirk::LargeBody(Some(1 << 30))] {
        let server = start();
        let session = session(&server);
        always(&server, Endpoint::Token, quirk.clone());
        let error = session.access_token().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 1 << 20 }, "{quirk:?} {error}");
        assert_eq!(token_requests(&server).len(), 1, "not asked again");
        always(&server, Endpoint::Metadata, quirk);
        assert_eq!(*server.session().discover().unwrap_err().kind(), ErrorKind::TooLarge { limit: 1 << 20 });
    }
}

/// Nobody asked for gzip, so the bytes are what they are: no JSON. Where another crate switches ureq's decoder on, the limit is
/// one of decoded bytes.
#[test]
fn c_15_a_gzip_bomb_does_not_explode() {
    let server = with(|server| server.nonces(Nonces::Off));
    always(&server, Endpoint::Token, Quirk::Gzip { padding: 64 << 20 });
    let error = session(&server).access_token().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Content { .. } | ErrorKind::TooLarge { .. }), "{error}");
    assert!(token_requests(&server)[0].header_values("accept-encoding").is_empty());
}

#[test]
fn c_16_heads_beyond_all_measure_are_an_error() {
    for quirk in [Quirk::HugeHead(100_000), Quirk::HugeHead(50_000_000), Quirk::ManyFields(10_000)] {
        let server = start();
        let session = hasty(&server);
        always(&server, Endpoint::Token, quirk.clone());
        let error = session.access_token().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Transport | ErrorKind::Timeout), "{quirk:?} {error}");
    }
}

#[test]
fn c_17_bodies_of_another_length_are_errors_and_cost_the_connection() {
    for quirk in
        [Quirk::WrongLength(7), Quirk::WrongLength(-7), Quirk::CloseMidway, Quirk::InterimResponses(100_000)]
    {
        let server = with(|server| server.nonces(Nonces::Off));
        let session = hasty(&server);
        always(&server, Endpoint::Token, quirk.clone());
        let error = session.access_token().unwrap_err();
        let expected =
            matches!(error.kind(), ErrorKind::Transport | ErrorKind::Timeout | ErrorKind::Content { .. });
        assert!(expected, "{quirk:?} {error}");
        server.behave();
        let clear = server.session().server(metadata(&server)).unwrap();
        assert_eq!(get(&clear, &server), 200, "{quirk:?}");
        let connections: HashSet<_> = token_requests(&server).iter().map(|one| one.connection).collect();
        assert_eq!(connections.len(), token_requests(&server).len(), "{quirk:?}: none was used again");
        nothing_twice(&server);
    }
}

#[test]
fn c_18_a_connection_that_breaks_never_carries_a_proof_twice() {
    for quirk in [Quirk::CloseAfterResponse, Quirk::CloseWithoutResponse, Quirk::CloseMidway] {
        let server = start();
        server.misbehave(Endpoint::Resource, When::Every(3), quirk.clone());
        let session = session(&server);
        for i in 0..30 {
            let url = server.resource("/");
            // What was lost is sent again where that is harmless, and is the caller's otherwise.
            match if i % 2 == 0 { session.get(&url) } else { session.post(&url, "text/plain", "x") } {
                Ok(mut response) => drop(response.body_mut().read_to_vec()),
                Err(error) => {
                    assert!(i % 2 == 1 && *error.kind() == ErrorKind::Transport, "{quirk:?} {error}")
                }
            }
        }
        assert!(calls(&server).len() >= 30);
        nothing_twice(&server);
    }
}

#[test]
fn c_19_a_challenge_is_read_whatever_an_agent_does_with_statuses() {
    for form in [ChallengeForm::Json, ChallengeForm::Header] {
        let server = start();
        for at in [Endpoint::Token, Endpoint::Resource] {
            always(&server, at, Quirk::ChallengeForm(form));
        }
        let agent = ureq::Agent::config_builder().http_status_as_error(true).max_redirects(10).build();
        let transport = Transport::from_agent(agent.new_agent());
        let session = server.session().transport(transport).discover().unwrap();
        assert_eq!(get(&session, &server), 200);
        assert_eq!(server.counts().challenges, 2);
    }
}

// ---- Token responses

#[test]
fn c_20_a_bearer_token_is_refused_and_not_used() {
    let server = start();
    always(&server, Endpoint::Token, Quirk::Bearer);
    let error = session(&server).get(&server.resource("/")).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TokenType { token_type: "Bearer".to_owned() });
    assert!(calls(&server).is_empty());
    let session = server
        .session()
        .dangerous_accept_bearer()
        .resource_origins([server.resource_origin()])
        .discover()
        .unwrap();
    assert_eq!(session.access_token().unwrap().token_type(), TokenType::Bearer);
}

#[test]
fn c_21_the_token_type_is_dpop_in_any_case_and_nothing_else() {
    for (json, fine) in [
        ("\"dpop\"", true),
        ("\"DPOP\"", true),
        ("\"DPoP\"", true),
        ("\"DPoPx\"", false),
        ("\"N_A\"", false),
        ("\"\"", false),
        ("7", false),
        ("null", false),
        ("[\"DPoP\"]", false),
    ] {
        let server = start();
        always(&server, Endpoint::Token, member("token_type", json));
        assert_eq!(session(&server).access_token().is_ok(), fine, "{json}");
    }
    let server = start();
    always(&server, Endpoint::Token, Quirk::WithoutMember("token_type".to_owned()));
    assert!(matches!(session(&server).access_token().unwrap_err().kind(), ErrorKind::Content { .. }));
}

#[test]
fn c_22_an_access_token_that_no_header_can_carry_is_refused_when_it_comes() {
    for json in [
        r#""a\r\nx: y""#,
        r#""a b""#,
        r#""a,b""#,
        r#""a\"b""#,
        r#""a\u0000b""#,
        "\"é\"",
        "\"\"",
        "7",
        "null",
        "{}",
        r#""=""#,
        r#""a=b""#,
    ] {
        let server = start();
        always(&server, Endpoint::Token, member("access_token", json));
        let error = session(&server).get(&server.resource("/")).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Content { status: 200 }), "{json} {error}");
        assert!(calls(&server).is_empty());
    }
    let server = start();
    always(&server, Endpoint::Token, member("access_token", "\"aZ09-._~+/==\""));
    assert_eq!(session(&server).access_token().unwrap().access_token(), "aZ09-._~+/==");
}

#[test]
fn c_23_a_life_of_any_kind_does_no_harm() {
    for (json, life) in [
        ("0", Some(0)),
        ("\"3600\"", Some(3600)),
        ("3600.5", Some(3600)),
        ("18446744073709551615", Some(u64::MAX)),
        ("1000000000000000000000000000000", Some(u64::MAX)),
        ("null", None),
    ] {
        let server = start();
        always(&server, Endpoint::Token, member("expires_in", json));
        let session = session(&server);
        assert_eq!(session.access_token().unwrap().expires_in(), life.map(Duration::from_secs), "{json}");
        assert_eq!(get(&session, &server), 200);
    }
    for json in ["-1", "true", "1e400", "[]", "\"soon\"", "-0.5"] {
        let server = start();
        always(&server, Endpoint::Token, member("expires_in", json));
        let error = session(&server).access_token().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Content { .. }), "{json} {error}");
    }
}

#[test]
fn c_24_a_member_that_stands_twice_is_an_error() {
    for name in ["access_token", "token_type", "expires_in", "scope", "nobody_knows"] {
        let server = start();
        if name == "nobody_knows" {
            always(&server, Endpoint::Token, member(name, "1"));
        }
        always(
            &server,
            Endpoint::Token,
            Quirk::DuplicateMember { name: name.to_owned(), json: "\"DPoP\"".to_owned() },
        );
        let error = session(&server).access_token().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Content { .. }), "{name} {error}");
    }
}

#[test]
fn c_25_what_is_no_token_response_is_a_typed_error() {
    let good = r#"{"access_token":"t","token_type":"DPoP"}"#;
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let cases = [
        (respond(200, &[JSON], deep), 200),
        (respond(200, &[JSON], format!("{good}x")), 200),
        (respond(200, &[JSON], format!("\u{feff}{good}")), 200),
        (respond(200, &[JSON], format!("[{good}]")), 200),
        (respond(200, &[JSON], ""), 200),
        (respond(200, &[("content-type", "text/html")], good), 200),
        (Quirk::Html { status: 200 }, 200),
        (respond(201, &[JSON], good), 201),
        (respond(204, &[], ""), 204),
        (Quirk::Html { status: 404 }, 404),
    ];
    for (quirk, status) in cases {
        let server = start();
        always(&server, Endpoint::Token, quirk);
        let error = session(&server).access_token().unwrap_err();
        assert_eq!(error.status(), Some(status), "{error}");
        assert!(matches!(error.kind(), ErrorKind::Content { .. } | ErrorKind::Status { .. }), "{error}");
        assert_eq!(token_requests(&server).len(), 1);
    }
}

#[test]
fn c_26_what_a_server_says_is_shown_in_safe_characters() {
    let long = "x".repeat(500_000);
    for description in ["\\u001b[31mred\\r\\n\\u0007", "\\u202e\\u00e9\\\\", &long] {
        let server = start();
        let body = format!(r#"{{"error":"invalid_scope","error_description":"{description}"}}"#);
        always(&server, Endpoint::Token, respond(400, &[JSON], body));
        let error = session(&server).access_token().unwrap_err();
        for shown in [error.to_string(), format!("{error:?}"), format!("{}", error.oauth().unwrap())] {
            assert!(shown.len() < 1_000 && shown.bytes().all(|b| (b' '..=b'~').contains(&b)), "{shown}");
        }
        assert!(error.oauth().unwrap().raw_error_description().is_some());
    }
}

#[test]
fn c_27_another_scope_and_a_refresh_token_are_told() {
    let server = start();
    always(&server, Endpoint::Token, member("scope", "\"orders:none\""));
    always(&server, Endpoint::Token, member("refresh_token", "\"r\""));
    let token = session(&server).access_token().unwrap();
    assert_eq!((token.scope(), token.refresh_token()), (Some("orders:none"), Some("r")));
}

#[test]
fn c_28_a_scope_that_cannot_be_sent_is_refused_before_it_is() {
    let server = start();
    for scope in ["a\"b", "a\\b", "a\tb", "a  b", "a\u{a0}b", "", " a", "a ", "é"] {
        let error = server.session().scope(scope).discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Parameter, "{scope:?}");
    }
    assert!(token_requests(&server).is_empty());
}

#[test]
fn c_29_the_oauth_error_decides_where_a_challenge_says_another_thing() {
    let challenge = ("www-authenticate", "DPoP error=\"use_dpop_nonce\"");
    let nonce = ("dpop-nonce", "n");
    let server = start();
    always(
        &server,
        Endpoint::Token,
        respond(401, &[JSON, challenge, nonce], r#"{"error":"invalid_client"}"#),
    );
    let error = session(&server).access_token().unwrap_err();
    assert_eq!(error.oauth().map(OAuthError::error), Some("invalid_client"));
    assert_eq!(token_requests(&server).len(), 1, "no storm");
    let server = start();
    once(&server, Endpoint::Token, respond(401, &[JSON, nonce], r#"{"error":"use_dpop_nonce"}"#));
    assert!(session(&server).access_token().is_err(), "the nonce was made up");
    assert_eq!(nonces(&token_requests(&server)), [None, Some("n".to_owned())]);
}

// ---- Nonces

#[test]
fn c_30_c_64_a_challenge_is_answered_once_with_everything_new() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).client_public_key(key.to_public()));
    let auth = ClientAuth::private_key_jwt(key);
    let session = server.session().auth(auth).clock(clock).discover().unwrap();
    session.access_token().unwrap();
    let [first, second] = &token_requests(&server)[..] else { panic!("two") };
    for jwt in [Received::proof, Received::assertion] {
        let [first, second] = [first, second].map(|one| jwt(one).unwrap().claims["jti"].clone());
        assert_ne!(first, second);
    }
    assert!(matches!(&*nonces(&token_requests(&server)), [None, Some(_)]));
    nothing_twice(&server);
}

#[test]
fn c_31_a_server_that_challenges_for_ever_gets_two_requests() {
    let server = start();
    let session = session(&server);
    for at in [Endpoint::Token, Endpoint::Resource] {
        always(&server, at, Quirk::Challenge);
    }
    assert_eq!(session.access_token().unwrap_err().oauth().map(OAuthError::error), Some("use_dpop_nonce"));
    assert_eq!(token_requests(&server).len(), 2);
    server.behave();
    session.access_token().unwrap();
    always(&server, Endpoint::Resource, Quirk::Challenge);
    assert_eq!((get(&session, &server), calls(&server).len()), (401, 2));
}

#[test]
fn c_32_c_36_c_37_without_one_new_valid_nonce_nothing_is_sent_again() {
    let long = "n".repeat(1_025);
    let bad: [&[&str]; 7] = [&[], &[""], &["a b"], &["a\"b"], &["a\\b"], &[&long], &["one", "two"]];
    for values in bad {
        let server = start();
        let session = session(&server);
        let values = values.iter().map(ToString::to_string).collect();
        for at in [Endpoint::Token, Endpoint::Resource] {
            always(&server, at, Quirk::Challenge);
            always(&server, at, Quirk::Nonce(Vec::clone(&values)));
        }
        let error = session.access_token().unwrap_err();
        assert_eq!(error.oauth().map(OAuthError::error), Some("use_dpop_nonce"), "{values:?}");
        assert_eq!(token_requests(&server).len(), 1, "{values:?}");
        // And none of them is used later.
        server.behave();
        assert_eq!(get(&session, &server), 200);
        assert_eq!(nonces(&token_requests(&server))[1], None);
    }
    // The nonce that was just sent.
    let server = start();
    let session = session(&server);
    assert_eq!(get(&session, &server), 200);
    always(&server, Endpoint::Resource, Quirk::Challenge);
    always(&server, Endpoint::Resource, Quirk::RepeatNonce);
    server.clear_received();
    assert_eq!((get(&session, &server), calls(&server).len()), (401, 1));
}

#[test]
fn c_33_a_stale_nonce_is_replaced_by_the_challenge_s() {
    let server = start();
    let session = session(&server);
    assert_eq!(get(&session, &server), 200);
    server.rotate_nonces();
    assert_eq!(get(&session, &server), 200);
    let nonces = nonces(&calls(&server));
    assert_eq!(nonces.len(), 4);
    assert!(nonces[2] == nonces[1] && nonces[3] != nonces[2] && nonces[3].is_some());
}

#[test]
fn c_34_c_41_the_nonce_of_any_response_is_used_next() {
    let server = with(|server| server.nonces(Nonces::Off));
    let session = session(&server);
    let nonce = |text: &str| ("dpop-nonce", text.to_owned());
    for (status, text) in
        [(200, "on-200"), (403, "on-403"), (500, "on-500"), (302, "on-302"), (404, "on-404")]
    {
        let (name, value) = nonce(text);
        once(&server, Endpoint::Resource, respond(status, &[(name, &value)], ""));
        let before = calls(&server).len();
        assert_eq!(get(&session, &server), status);
        assert_eq!(calls(&server).len(), before + 1, "{status} is no challenge");
        assert_eq!(get(&session, &server), 200);
        assert_eq!(nonces(&calls(&server)).pop().unwrap().as_deref(), Some(text));
    }
    for (code, text) in [("invalid_scope", "on-scope"), ("invalid_client", "on-client")] {
        let (name, value) = nonce(text);
        once(
            &server,
            Endpoint::Token,
            respond(400, &[JSON, (name, &value)], format!(r#"{{"error":"{code}"}}"#)),
        );
        session.discard_token();
        let before = token_requests(&server).len();
        assert_eq!(session.access_token().unwrap_err().oauth().map(OAuthError::error), Some(code));
        assert_eq!(token_requests(&server).len(), before + 1, "not repeated");
        session.access_token().unwrap();
        assert_eq!(nonces(&token_requests(&server)).pop().unwrap().as_deref(), Some(text));
    }
    // A failed retry brings one as well.
    once(
        &server,
        Endpoint::Resource,
        respond(401, &[("www-authenticate", "DPoP error=use_dpop_nonce"), ("dpop-nonce", "first")], ""),
    );
    once(&server, Endpoint::Resource, Quirk::CloseAfterResponse);
    server.misbehave(Endpoint::Resource, When::Next(2), respond(401, &[("dpop-nonce", "second")], ""));
    assert_eq!(get(&session, &server), 401);
    assert_eq!(get(&session, &server), 200);
    let all = nonces(&calls(&server));
    assert_eq!(
        all[all.len() - 2..].iter().map(Option::as_deref).collect::<Vec<_>>(),
        [Some("first"), Some("second")]
    );
}

#[test]
fn c_35_nonces_of_parts_and_ports_are_kept_apart() {
    let (server, other) = (start(), start());
    let session = session(&server);
    let same = format!("{}/orders", server.issuer());
    for url in [server.resource("/"), same.clone()] {
        assert_eq!(session.get(&url).unwrap().status(), 200);
    }
    // Another port of the same host knows nothing of the token, but it sees the proof.
    assert_eq!(session.get(&other.resource("/")).unwrap().status(), 401);
    let sent = |origin: &str| -> HashSet<_> {
        let received: Vec<_> =
            calls(&server).into_iter().chain(calls(&other)).filter(|one| one.origin == origin).collect();
        nonces(&received).into_iter().flatten().collect()
    };
    let at_token: HashSet<_> = nonces(&token_requests(&server)).into_iter().flatten().collect();
    assert_eq!(at_token.len(), 1);
    assert!(
        at_token.is_disjoint(&sent(server.resource_origin())) && at_token.is_disjoint(&sent(server.issuer()))
    );
    assert!(sent(other.resource_origin()).is_disjoint(&sent(server.resource_origin())));
    // One origin however its host is spelled.
    let port = server.resource_origin().rsplit(':').next().unwrap();
    server.clear_received();
    let spelled = [format!("http://localhost:{port}/"), format!("http://LOCALHOST:{port}/")];
    always(&server, Endpoint::Resource, Quirk::HtuOrigin(format!("http://localhost:{port}")));
    for url in &spelled {
        assert_eq!(session.get(url).unwrap().status(), 200);
    }
    // Nothing of the other spelling of its address; one challenge for both of its name.
    let seen = nonces(&calls(&server));
    assert!(seen.len() == 3 && seen[0].is_none() && seen[1].is_some() && seen[2] == seen[1], "{seen:?}");
}

#[test]
fn c_38_nonces_of_many_origins_are_bounded() {
    let server = start();
    let prover = Prover::new(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
    let headers =
        http::HeaderMap::from_iter([(http::HeaderName::from_static("dpop-nonce"), "n".parse().unwrap())]);
    for i in 0..10_000 {
        prover.learn(ServerRole::ResourceServer, &format!("https://{i}.example/"), &headers).unwrap();
    }
    let nonce_at = |i: u32| {
        let proof = Proof::new(&http::Method::GET, &format!("https://{i}.example/")).unwrap();
        let proof = prover.prove(ServerRole::ResourceServer, proof, SystemTime::now()).unwrap();
        common::Jwt::decode(&proof).nonce().map(str::to_owned)
    };
    // A thousand are kept, the newest.
    assert_eq!(
        [nonce_at(0), nonce_at(8_999), nonce_at(9_000), nonce_at(9_999)].map(|nonce| nonce.is_some()),
        [false, false, true, true]
    );
    let session = server.session().prover(&prover).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
}

#[test]
fn c_39_octets_are_sent_again_and_streams_are_not() {
    let server = start();
    let session = session(&server);
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    assert_eq!(session.put(&server.resource("/"), "application/x", bytes.clone()).unwrap().status(), 200);
    let sent: Vec<_> = calls(&server).into_iter().map(|call| call.body).collect();
    assert!(sent.len() == 2 && sent.iter().all(|body| *body == bytes));
    server.rotate_nonces();
    server.clear_received();
    let stream = Body::from_reader(std::io::Cursor::new(bytes));
    let error = session.put(&server.resource("/"), "application/x", stream).unwrap_err();
    assert_eq!((error.kind(), calls(&server).len()), (&ErrorKind::BodySent { status: 401 }, 1));
}

#[test]
fn c_40_32_threads_share_a_session_while_each_response_rotates_the_nonce() {
    let server = with(|server| server.nonces(Nonces::EachResponse));
    let session = session(&server);
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| (0..8).for_each(|_| assert_eq!(get(&session, &server), 200)));
        }
    });
    assert!(calls(&server).len() <= 2 * 32 * 8, "at most one retry each");
    assert_eq!(server.counts().tokens, 1);
    nothing_twice(&server);
}
