//! C-01 … C-41 of the threat catalogue, by what goes over the wire: each row against the test server, with
//! what it received and what the caller got. Where `bad_day.rs` has a row, this has its edges: other entries
//! (an agent, a refusal, a renewal), connections that stay open with something left in them, a proxy that
//! works, time that moves.
#![cfg(feature = "ureq")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: what fails here fails a test"
)]

mod common;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::{Duration, SystemTime};

use common::server::{
    SECOND, always, calls, get, member, nonces, once, respond, start, token_requests, with,
};
use common::{JSON, Trap};
use http::{HeaderMap, Request, Response};
use possession::testing::{ChallengeForm, Endpoint, ManualClock, Nonces, Quirk, Received, TestServer, When};
use possession::*;

/// Long enough for a loaded machine, short enough to wait for.
const SHORT: Duration = Duration::from_millis(400);
/// What ends sooner than this was not ended by time.
const LONG: Duration = Duration::from_secs(20);
const NONCE_CHALLENGE: (&str, &str) = ("www-authenticate", "DPoP error=\"use_dpop_nonce\"");
const TOKEN: &str = r#"{"access_token":"t","token_type":"DPoP"}"#;
const BOTH: [Endpoint; 2] = [Endpoint::Token, Endpoint::Resource];

/// Pauses by a clock of its own, so that it waits for nobody; the transport's time is the real one.
fn builder(server: &TestServer, timeout: Duration) -> SessionBuilder {
    let transport = Transport::builder().timeout(timeout).build();
    server.session().scope("orders:read").clock(ManualClock::new()).transport(transport)
}

fn session(server: &TestServer) -> Session {
    builder(server, LONG).discover().unwrap()
}

fn nonce(values: &[&str]) -> Quirk {
    Quirk::Nonce(values.iter().map(ToString::to_string).collect())
}

fn text(response: Response<ureq::Body>) -> String {
    response.into_body().read_to_string().unwrap()
}

fn claim(received: &Received, name: &str) -> Option<String> {
    let value = received.proof().unwrap().claims.get(name)?.clone();
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn some(texts: &[Option<&str>]) -> Vec<Option<String>> {
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

/// No `jti` came twice, counted here and not by the server.
fn nothing_twice(server: &TestServer) {
    let received = server.received();
    let proofs = received.iter().filter_map(Received::proof);
    let jwts = proofs.chain(received.iter().filter_map(Received::assertion));
    let jtis: Vec<_> = jwts.map(|jwt| jwt.claims["jti"].as_str().unwrap().to_owned()).collect();
    assert_eq!(jtis.iter().collect::<HashSet<_>>().len(), jtis.len());
}

fn code(error: &Error) -> Option<&str> {
    error.oauth().map(OAuthError::error)
}

fn by_hand(server: &TestServer, endpoint: &str) -> Result<AuthorizationServer, Error> {
    let builder = AuthorizationServer::builder(server.issuer()).token_endpoint(endpoint);
    builder.dangerous_allow_http_on_loopback().build()
}

/// The metadata document of that server with another token endpoint, and any more.
fn document(server: &TestServer, endpoint: &str, more: &str) -> Quirk {
    let issuer = server.issuer();
    respond(200, &[JSON], format!(r#"{{"issuer":"{issuer}","token_endpoint":"{endpoint}"{more}}}"#))
}

// ---- Certificates

struct Certificate {
    ca: String,
    chain: String,
    key: String,
}

/// By a CA of its own, for that name, valid from one year to another.
fn certificate(name: &str, from: i32, until: i32) -> Certificate {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(from, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(until, 1, 1);
    leaf.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let chain = leaf.signed_by(&key, &issuer).unwrap().pem();
    Certificate { ca: ca_pem, chain, key: key.serialize_pem() }
}

fn loopback_certificate() -> Certificate {
    certificate("127.0.0.1", 2020, 2100)
}

fn https(certificate: &Certificate) -> TestServer {
    with(|server| server.tls(certificate.chain.as_bytes(), certificate.key.as_bytes()).unwrap())
}

fn trusting(ca: &str) -> TransportBuilder {
    Transport::builder().timeout(LONG).root_certificates_pem(ca.as_bytes()).unwrap()
}

/// A session as in production: plain http is not allowed anywhere.
fn strict(server: &TestServer, transport: TransportBuilder) -> SessionBuilder {
    let auth = ClientAuth::client_secret_basic(server.client_secret());
    let builder = Session::builder(server.issuer(), server.client_id()).auth(auth);
    builder.clock(ManualClock::new()).transport(transport.build())
}

// ---- Redirects, origins, transport

#[test]
fn c_01_no_redirect_of_the_token_endpoint_is_followed() {
    for status in [301, 302, 303, 307, 308] {
        let (server, trap) = (start(), Trap::set());
        let other = format!("{}/token", trap.origin());
        // Elsewhere, to where it came from, to nowhere, and to what is no URL.
        for location in [Some(other.as_str()), Some("/token"), None, Some("http://[/")] {
            server.behave();
            server.clear_received();
            let headers: Vec<_> = location.iter().map(|location| ("location", *location)).collect();
            always(&server, Endpoint::Token, respond(status, &headers, ""));
            let error = session(&server).get(&server.resource("/")).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Redirect { status }, "{location:?}");
            assert!(error.to_string().contains(&status.to_string()), "{error}");
            assert_eq!((token_requests(&server).len(), calls(&server).len()), (1, 0), "{location:?}");
        }
        assert!(trap.untouched());
    }
}

/// To another port, another name and to plain http; from each way of calling.
#[test]
fn c_02_no_redirect_of_a_resource_leaves_its_origin() {
    let certificate = loopback_certificate();
    for status in [302, 307, 308] {
        for secure in [false, true] {
            let server = if secure { https(&certificate) } else { start() };
            let trap = Trap::set();
            let session = match secure {
                true => strict(&server, trusting(&certificate.ca)),
                false => builder(&server, LONG),
            };
            let session = session.resource_origins([server.resource_origin()]).discover().unwrap();
            let agent = session.agent_with(|config| config.http_status_as_error(false).max_redirects(10));
            let agent = agent.unwrap();
            let url = server.resource("/orders");
            for location in
                [format!("{}/orders", trap.origin()), trap.origin().replace("127.0.0.1", "localhost")]
            {
                server.behave();
                get(&session, &server); // the nonce
                server.clear_received();
                always(&server, Endpoint::Resource, Quirk::Redirect { status, location: location.clone() });
                let answers = [
                    session.get(&url).unwrap(),
                    session.post(&url, "text/plain", "x").unwrap(),
                    agent.get(&url).call().unwrap(),
                ];
                for answer in answers {
                    assert_eq!(answer.status().as_u16(), status);
                    assert_eq!(answer.headers()["location"].to_str().unwrap(), location);
                }
                assert_eq!(calls(&server).len(), 3, "{status} {location}");
            }
            assert!(trap.untouched(), "{status}");
        }
    }
}

/// There is no option to follow one. Who follows by hand makes another call, with a proof of its own.
#[test]
fn c_03_no_redirect_within_an_origin_is_followed_and_a_call_by_hand_has_a_new_proof() {
    let server = start();
    let session = session(&server);
    get(&session, &server);
    server.clear_received();
    once(&server, Endpoint::Resource, Quirk::Redirect { status: 307, location: "/orders/".to_owned() });
    let answer = session.get(&server.resource("/orders")).unwrap();
    assert_eq!((answer.status().as_u16(), calls(&server).len()), (307, 1));
    let next = server.resource(answer.headers()["location"].to_str().unwrap());
    assert_eq!(session.get(&next).unwrap().status(), 200);
    let htus: Vec<_> = calls(&server).iter().map(|call| claim(call, "htu").unwrap()).collect();
    assert_eq!(htus, [server.resource("/orders"), server.resource("/orders/")]);
    nothing_twice(&server);
}

#[test]
fn c_04_no_redirect_of_discovery_is_followed() {
    let (server, trap) = (start(), Trap::set());
    let elsewhere = [
        format!("{}/.well-known/oauth-authorization-server", trap.origin()),
        trap.origin().replace("127.0.0.1", "localhost"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "/.well-known/openid-configuration".to_owned(),
    ];
    // At the first place, and at the second after a 404 at the first.
    for missing in [false, true] {
        for location in &elsewhere {
            for status in [301, 302, 303, 307, 308] {
                server.behave();
                server.clear_received();
                if missing {
                    once(&server, Endpoint::Metadata, respond(404, &[], ""));
                }
                let redirect = Quirk::Redirect { status, location: location.clone() };
                always(&server, Endpoint::Metadata, redirect);
                let error = builder(&server, LONG).discover().unwrap_err();
                assert_eq!(*error.kind(), ErrorKind::Redirect { status }, "{location}");
                assert_eq!(server.received().len(), if missing { 2 } else { 1 }, "{location}");
            }
        }
    }
    assert!(trap.untouched());
}

#[test]
fn c_05_plain_http_is_refused_before_connecting() {
    let certificate = loopback_certificate();
    let (server, trap) = (https(&certificate), Trap::set());
    let evil = format!("{}/token", trap.origin());
    let discover = || strict(&server, trusting(&certificate.ca)).discover();
    // Metadata of an honest origin that name a plain endpoint, whether it would be used or not.
    for more in ["", r#","mtls_endpoint_aliases":{"token_endpoint":"EVIL"}"#, r#","jwks_uri":"EVIL""#] {
        server.behave();
        let endpoint = if more.is_empty() { evil.clone() } else { format!("{}/token", server.issuer()) };
        always(&server, Endpoint::Metadata, document(&server, &endpoint, &more.replace("EVIL", &evil)));
        assert_eq!(*discover().unwrap_err().kind(), ErrorKind::Metadata, "{more}");
    }
    server.behave();
    let session = discover().unwrap();
    assert_eq!(*session.get(&format!("{}/", trap.origin())).unwrap_err().kind(), ErrorKind::Url);
    // Nor where it is named as an origin that may be called, whether that is refused at once or in the call.
    let named = strict(&server, trusting(&certificate.ca)).resource_origins([trap.origin()]).discover();
    let called = named.and_then(|session| session.get(&format!("{}/", trap.origin())).map(drop));
    assert_eq!(*called.unwrap_err().kind(), ErrorKind::Url);
    let issuer = Session::builder(trap.origin(), "app").discover();
    assert_eq!(*issuer.unwrap_err().kind(), ErrorKind::Metadata);
    assert!(trap.untouched() && token_requests(&server).is_empty() && calls(&server).is_empty());
    // With the option, loopback and nothing that only looks like it.
    let server = start();
    let lax = self::session(&server);
    for host in ["127.0.0.1.example.com", "localhost.example.com", "192.0.2.1", "0.0.0.0", "[::]", "[::2]"] {
        let error = lax.get(&format!("http://{host}/")).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Url, "{host}");
        let error = by_hand(&server, &format!("http://{host}/token")).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Metadata, "{host}");
    }
    assert!(token_requests(&server).is_empty() && calls(&server).is_empty());
}

#[test]
fn c_06_user_names_in_urls_are_refused() {
    let server = start();
    let lax = builder(&server, LONG).resource_origins([server.resource_origin()]).discover().unwrap();
    let agent = lax.agent().unwrap();
    server.clear_received();
    for user in ["u:p@", "u@", ":p@", "@", "u%40x:p@"] {
        let evil = |url: &str| url.replacen("://", &format!("://{user}"), 1);
        let url = evil(&server.resource("/"));
        assert_eq!(*lax.get(&url).unwrap_err().kind(), ErrorKind::Url, "{user}");
        // An agent of ureq would make `Basic` of it.
        assert!(agent.get(&url).call().is_err(), "{user}");
        let issuer = Session::builder(evil(server.issuer()), "app").dangerous_allow_http_on_loopback();
        assert_eq!(*issuer.discover().unwrap_err().kind(), ErrorKind::Metadata, "{user}");
        assert!(server.received().is_empty(), "{user}");
        // In metadata that came over the wire.
        let token = format!("{}/token", server.issuer());
        let alias = format!(r#","mtls_endpoint_aliases":{{"token_endpoint":"{}"}}"#, evil(&token));
        for quirk in [document(&server, &evil(&token), ""), document(&server, &token, &alias)] {
            server.behave();
            always(&server, Endpoint::Metadata, quirk);
            let error = builder(&server, LONG).discover().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Metadata, "{user}");
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
        server.behave();
        server.clear_received();
    }
}

#[test]
fn c_07_the_query_of_the_token_endpoint_is_sent_and_a_fragment_refused() {
    let server = start();
    let token = format!("{}/token", server.issuer());
    for (query, fine) in [("?tenant=a%20b&x=/?", true), ("?", true), ("#", false), ("?a=b#f", false)] {
        server.behave();
        server.clear_received();
        always(&server, Endpoint::Metadata, document(&server, &format!("{token}{query}"), ""));
        match builder(&server, LONG).discover() {
            Ok(session) => assert!(fine && session.access_token().is_ok(), "{query}"),
            Err(error) => assert!(!fine && *error.kind() == ErrorKind::Metadata, "{query} {error}"),
        }
        assert_eq!(token_requests(&server).len(), if fine { 2 } else { 0 }, "{query}: with the challenge");
        for request in token_requests(&server) {
            assert_eq!(request.target, format!("/token{query}"));
            assert_eq!(claim(&request, "htu").unwrap(), token, "RFC 9449 §4.2: without query");
        }
    }
}

const CHILD: &str = "POSSESSION_TEST_C_08";

/// The environment is the whole process's, so the test runs itself again in another. That the trap would be
/// touched is shown by a transport that is told to go by the environment.
#[test]
fn c_08_a_proxy_of_the_environment_is_not_used() {
    match std::env::var(CHILD).as_deref() {
        Ok("default") => {
            let server = start();
            let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
            assert_eq!(get(&session, &server), 200);
            assert_eq!(session.agent().unwrap().get(server.resource("/")).call().unwrap().status(), 200);
            // To https as well, with nobody there.
            let server =
                AuthorizationServer::builder("https://127.0.0.1:9").token_endpoint("https://127.0.0.1:9/t");
            let transport = Transport::builder().timeout(SHORT).build();
            let session = Session::builder("", "app").transport(transport).clock(ManualClock::new());
            session.server(server.build().unwrap()).unwrap().access_token().unwrap_err();
        }
        Ok("told") => {
            let server = start();
            let proxy = ureq::Proxy::try_from_env();
            assert!(proxy.is_some());
            let transport = Transport::builder().timeout(SHORT).proxy(proxy).build();
            server.session().transport(transport).discover().unwrap_err();
        }
        _ => {
            for (mode, untouched) in [("default", true), ("told", false)] {
                let trap = Trap::set();
                let mut child = Command::new(std::env::current_exe().unwrap());
                child.args(["--exact", "c_08_a_proxy_of_the_environment_is_not_used"]).env(CHILD, mode);
                for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
                    child.env(name, trap.origin()).env(name.to_lowercase(), trap.origin());
                }
                let output = child.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap();
                let said = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success() && said.contains("1 passed"), "{mode}: {said}");
                assert_eq!(trap.untouched(), untouched, "{mode}");
            }
        }
    }
}

/// A proxy that does as it is told: of each connection, the head it was sent and what went through it to the
/// server.
type Tunnels = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

fn proxy() -> (String, Tunnels) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (origin, tunnels) = (format!("http://{}", listener.local_addr().unwrap()), Tunnels::default());
    let seen = Arc::clone(&tunnels);
    thread::spawn(move || {
        for client in listener.incoming() {
            let seen = Arc::clone(&seen);
            thread::spawn(move || tunnel(client.unwrap(), &seen));
        }
    });
    (origin, tunnels)
}

fn tunnel(mut client: TcpStream, seen: &Tunnels) -> io::Result<()> {
    client.set_read_timeout(Some(LONG))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let index = {
        let mut seen = seen.lock().unwrap();
        seen.push((head.clone(), Vec::new()));
        seen.len() - 1
    };
    let mut server = TcpStream::connect(head.split(' ').nth(1).unwrap())?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut back_from, mut back_to) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let _ = io::copy(&mut back_from, &mut back_to);
        let _ = back_to.shutdown(Shutdown::Both);
    });
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        seen.lock().unwrap()[index].1.extend(&bytes[..count]);
        server.write_all(&bytes[..count])?;
    }
    let _ = server.shutdown(Shutdown::Both);
    back.join().unwrap();
    Ok(())
}

#[test]
fn c_08_a_proxy_that_was_asked_for_is_told_where_to_connect_and_nothing_else() {
    let certificate = loopback_certificate();
    let (server, (origin, tunnels)) = (https(&certificate), proxy());
    let transport = trusting(&certificate.ca).proxy(Some(ureq::Proxy::new(&origin).unwrap()));
    let session = strict(&server, transport).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    let tunnels = tunnels.lock().unwrap();
    let targets: HashSet<_> = tunnels.iter().map(|(head, _)| head.lines().next().unwrap()).collect();
    let connect = |origin: &str| format!("CONNECT {} HTTP/1.1", origin.strip_prefix("https://").unwrap());
    let expected = [connect(server.issuer()), connect(server.resource_origin())];
    assert_eq!(targets, expected.iter().map(String::as_str).collect());
    let secrets: Vec<Vec<u8>> = server
        .received()
        .iter()
        .flat_map(|one| [one.header_values("authorization"), one.header_values("dpop")].concat())
        .map(|value| value.as_bytes().to_vec())
        .chain([server.client_secret().into(), b"HTTP/1.1".to_vec()])
        .collect();
    assert!(secrets.len() > 6, "{}", secrets.len());
    for (head, through) in tunnels.iter() {
        let names = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        for (name, _) in names {
            // What ureq writes to a proxy by itself.
            assert!(
                ["host", "user-agent", "proxy-connection"].contains(&name.to_lowercase().as_str()),
                "{head}"
            );
        }
        assert!(through.len() > 500, "the connection went through it");
        for secret in &secrets {
            assert!(!through.windows(secret.len()).any(|window| window == secret));
        }
    }
}

#[test]
fn c_09_a_server_with_a_bad_certificate_gets_nothing() {
    let good = loopback_certificate();
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let self_signed =
        Certificate { ca: good.ca.clone(), chain: own.cert.pem(), key: own.signing_key.serialize_pem() };
    let (unknown, expired) = (loopback_certificate(), certificate("127.0.0.1", 2020, 2021));
    let (early, other) = (certificate("127.0.0.1", 2090, 2100), certificate("as.example", 2020, 2100));
    let cases = [
        ("unknown CA", &unknown, &good.ca),
        ("self-signed", &self_signed, &self_signed.ca),
        ("expired", &expired, &expired.ca),
        ("not yet valid", &early, &early.ca),
        ("wrong name", &other, &other.ca),
    ];
    let fine = https(&good);
    for (what, shown, ca) in cases {
        let server = https(shown);
        let both = || trusting(&format!("{}{ca}", good.ca));
        let refused = |error: Error| {
            assert_eq!(*error.kind(), ErrorKind::Transport, "{what} {error}");
            assert!(!error.is_transient(), "{what}: somebody has to change something");
        };
        refused(strict(&server, both()).discover().unwrap_err());
        // As a token endpoint, and as a resource that would get the token of a good server.
        let metadata = AuthorizationServer::builder(server.issuer());
        let metadata = metadata.token_endpoint(format!("{}/token", server.issuer())).build().unwrap();
        let session = strict(&server, both()).server(metadata).unwrap();
        refused(session.access_token().unwrap_err());
        assert_eq!(session.stats().token_requests, 1, "{what}: not asked again");
        let session = strict(&fine, both()).discover().unwrap();
        assert_eq!(get(&session, &fine), 200, "{what}");
        refused(session.get(&server.resource("/")).unwrap_err());
        assert!(server.received().is_empty(), "{what}");
        // The public CAs know none of them.
        refused(strict(&server, Transport::builder().timeout(LONG)).discover().unwrap_err());
    }
    // The control: a good one, whose CA is not known.
    fine.clear_received();
    assert!(strict(&fine, Transport::builder().timeout(LONG)).discover().is_err());
    assert!(fine.received().is_empty());
}

#[test]
fn c_10_mutual_tls_goes_to_the_alias_and_the_audience_stays_the_issuer() {
    let (certificate, own) = (loopback_certificate(), certificate("app.example", 2020, 2100));
    let showing = || {
        let builder = trusting(&certificate.ca);
        builder.client_certificate_pem(own.chain.as_bytes(), own.key.as_bytes()).unwrap()
    };
    let server = |key: Option<PublicKey>| {
        with(|server| {
            let server = server.mtls_alias().public_client();
            let server = if let Some(key) = key { server.client_public_key(key) } else { server };
            server.tls(certificate.chain.as_bytes(), certificate.key.as_bytes()).unwrap()
        })
    };
    let at_alias = |server: &TestServer, requests: &[Received]| {
        assert_eq!(requests.len(), 2, "with the challenge");
        for request in requests {
            assert_eq!(request.origin, server.resource_origin());
            assert_eq!(claim(request, "htu").unwrap(), server.resource("/token"));
            assert_eq!(request.form_field("client_id").as_deref(), Some(server.client_id()));
        }
    };
    for auth in [ClientAuth::tls_client_auth(), ClientAuth::self_signed_tls_client_auth()] {
        let server = server(None);
        // Without a certificate nothing is sent that needs one.
        let bare = strict(&server, trusting(&certificate.ca)).auth(auth.clone()).discover().unwrap();
        assert_eq!(*bare.access_token().unwrap_err().kind(), ErrorKind::AuthMethod);
        assert!(token_requests(&server).is_empty());
        let session = strict(&server, showing()).auth(auth).discover().unwrap();
        assert_eq!(get(&session, &server), 200);
        at_alias(&server, &token_requests(&server));
        for request in token_requests(&server) {
            assert!(request.header_values("authorization").is_empty());
            assert!(request.form_field("client_secret").is_none() && request.assertion().is_none());
        }
    }
    // An assertion over mutual TLS.
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let server = server(Some(key.to_public()));
    let transport = showing().build();
    let metadata = AuthorizationServer::discover(server.issuer(), &transport).unwrap();
    let client = Client::new(server.client_id()).unwrap().use_mtls_endpoint_aliases();
    let prover = Prover::new(KeyPair::generate(Algorithm::Es256).unwrap()).unwrap();
    let options = RequestOptions::new().http(&transport).prover(&prover);
    let auth = ClientAuth::private_key_jwt(key);
    let response = client_credentials_grant_request(&metadata, &client, &auth, Parameters::new(), &options);
    process_client_credentials_response(&metadata, &client, response.unwrap()).unwrap();
    // RFC 7523bis §4: the issuer, as a string, wherever it is sent.
    for request in token_requests(&server) {
        assert_eq!(request.assertion().unwrap().claims["aud"], server.issuer());
    }
    let requests: Vec<_> = token_requests(&server);
    for request in &requests {
        assert_eq!(request.origin, server.resource_origin());
        assert_eq!(claim(request, "htu").unwrap(), server.resource("/token"));
        // RFC 8705 §2 demands it where the certificate authenticates; an assertion names the client by
        // itself.
        assert!(request.form_field("client_id").is_none_or(|id| id == server.client_id()));
    }
    nothing_twice(&server);
}

/// The test server looks at no certificates, so this is one that demands the client's and answers nobody
/// else.
#[test]
fn c_10_the_certificate_of_the_client_is_shown() {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let (certificate, own) = (loopback_certificate(), certificate("app.example", 2020, 2100));
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(&own.ca)).unwrap();
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
    let config = config.unwrap().with_client_cert_verifier(verifier.build().unwrap());
    let config = config.with_single_cert(vec![der(&certificate.chain)], key).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let origin = format!("https://{}", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut request = Vec::new();
        while !request.ends_with(b"client_id=app") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", TOKEN.len());
        stream.write_all(format!("{head}{TOKEN}").as_bytes()).unwrap();
        stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
    });
    let server = AuthorizationServer::builder(&origin).token_endpoint(format!("{origin}/token"));
    let transport =
        trusting(&certificate.ca).client_certificate_pem(own.chain.as_bytes(), own.key.as_bytes()).unwrap();
    let session =
        Session::builder("", "app").auth(ClientAuth::tls_client_auth()).transport(transport.build());
    let session = session.server(server.build().unwrap()).unwrap();
    assert_eq!(session.access_token().unwrap().access_token(), "t");
    assert_eq!(serving.join().unwrap(), der(&own.chain));
}

#[test]
fn c_11_there_is_one_authorization_and_one_proof() {
    let server = start();
    let session = builder(&server, LONG).resource_origins([server.resource_origin()]).discover().unwrap();
    get(&session, &server);
    let agent = session.agent().unwrap();
    server.clear_received();
    for name in ["authorization", "AUTHORIZATION", "AuthoriZation", "dpop", "DPoP", "DPOP"] {
        let request = || Request::get(server.resource("/")).header(name, "mine");
        assert_eq!(
            *session.run(request().body(()).unwrap()).unwrap_err().kind(),
            ErrorKind::Parameter,
            "{name}"
        );
        assert!(agent.get(server.resource("/")).header(name, "mine").call().is_err(), "{name}");
        let (mut parts, ()) = request().header(name, "mine too").body(()).unwrap().into_parts();
        session.authorize(&mut parts).unwrap();
        for name in ["authorization", "dpop"] {
            let values: Vec<_> = parts.headers.get_all(name).iter().collect();
            assert!(values.len() == 1 && !values[0].as_bytes().starts_with(b"mine"), "{name}");
        }
    }
    assert!(calls(&server).is_empty(), "what is refused is not sent");
    assert_eq!(get(&session, &server), 200);
    assert_eq!(agent.get(server.resource("/")).call().unwrap().status(), 200);
    for call in calls(&server) {
        assert_eq!((call.header_values("authorization").len(), call.header_values("dpop").len()), (1, 1));
        assert!(call.header_values("authorization")[0].starts_with("DPoP "));
    }
}

// ---- Limits

/// At each place: silent from the start, after the head, and, where TLS is spoken, before the handshake.
#[test]
fn c_12_a_server_that_never_answers_is_left_after_the_time() {
    let timed_out = |error: Error| assert_eq!(*error.kind(), ErrorKind::Timeout, "{error}");
    for quirk in [Quirk::Silence, Quirk::SilentBody] {
        let server = start();
        let hasty = builder(&server, SHORT).deadline(SHORT).discover().unwrap();
        hasty.access_token().unwrap();
        for at in [Endpoint::Metadata, Endpoint::Token, Endpoint::Resource] {
            always(&server, at, quirk.clone());
        }
        timed_out(builder(&server, SHORT).discover().unwrap_err());
        match (hasty.get(&server.resource("/")), &quirk) {
            // The head came: who reads the body gets the error.
            (Ok(answer), Quirk::SilentBody) => {
                let error = answer.into_body().read_to_vec().unwrap_err();
                assert!(matches!(error, ureq::Error::Timeout(_)), "{error}");
            }
            (answer, _) => timed_out(answer.unwrap_err()),
        }
        hasty.discard_token();
        timed_out(hasty.access_token().unwrap_err());
    }
    // The kernel takes the connection, and nobody ever speaks.
    let silent = Trap::set();
    let transport = Transport::builder().timeout(SHORT).build();
    let issuer = silent.origin().replace("http:", "https:");
    timed_out(Session::builder(issuer, "app").transport(transport).discover().unwrap_err());
    // Nobody has to set a time: ureq has none by itself.
    let server = start();
    let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
    let timeouts = session.agent().unwrap().config().timeouts();
    assert!(timeouts.global.is_some_and(|global| global <= 60 * SECOND), "{timeouts:?}");
}

/// A refusal is looked into for its reason, and must not be waited for longer than the call may last.
#[test]
fn c_12_a_refusal_without_its_body_ends_in_time() {
    let server = start();
    let hasty = builder(&server, SHORT).deadline(SHORT).discover().unwrap();
    hasty.access_token().unwrap();
    once(
        &server,
        Endpoint::Resource,
        respond(401, &[JSON, ("dpop-nonce", "n")], r#"{"error":"use_dpop_nonce"}"#),
    );
    once(&server, Endpoint::Resource, Quirk::SilentBody);
    // Status and headers are the caller's; what the body would have said, nobody knows.
    let answer = hasty.get(&server.resource("/")).unwrap();
    assert_eq!((answer.status().as_u16(), calls(&server).len()), (401, 1));
    assert!(answer.into_body().read_to_vec().is_err());
}

/// Each byte comes within any limit of one read; the whole does not.
#[test]
fn c_13_a_server_that_drips_is_left_after_the_time() {
    let server = start();
    let hasty = builder(&server, SHORT).deadline(SHORT).discover().unwrap();
    hasty.access_token().unwrap();
    for at in [Endpoint::Metadata, Endpoint::Token, Endpoint::Resource] {
        always(&server, at, Quirk::Drip(Duration::from_millis(20)));
    }
    let resource = hasty.get(&server.resource("/")).map(drop);
    hasty.discard_token();
    let token = hasty.access_token().map(drop);
    for outcome in [resource, token, builder(&server, SHORT).discover().map(drop)] {
        let error = outcome.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Timeout, "{error}");
    }
}

#[test]
fn c_14_bodies_without_end_stop_at_the_limit() {
    const LIMIT: u64 = 1 << 20;
    for quirk in [Quirk::LargeBody(None), Quirk::LargeBody(Some(1 << 30)), Quirk::LargeBody(Some(LIMIT + 1))]
    {
        let server = start();
        let session = session(&server);
        always(&server, Endpoint::Token, quirk.clone());
        let error = session.access_token().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: LIMIT }, "{quirk:?} {error}");
        assert_eq!(token_requests(&server).len(), 1, "not asked again");
        always(&server, Endpoint::Metadata, quirk.clone());
        let error = builder(&server, LONG).discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: LIMIT }, "{quirk:?} {error}");
        // An error is as bounded as a success.
        server.behave();
        always(&server, Endpoint::Token, respond(400, &[JSON], ""));
        always(&server, Endpoint::Token, quirk);
        let error = session.access_token().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: LIMIT }, "{error}");
    }
    // A limit of one's own.
    let server = start();
    let transport = Transport::builder().max_response_size(2_000).build();
    let session = server.session().clock(ManualClock::new()).transport(transport).discover().unwrap();
    always(&server, Endpoint::Token, Quirk::LargeBody(Some(2_001)));
    let error = session.access_token().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 2_000 }, "{error}");
}

/// A refusal of a resource is looked into and let go, and neither must take all that comes.
#[test]
fn c_14_refusals_without_end_hold_nobody_up() {
    for length in [None, Some(1 << 30)] {
        for headers in [&[NONCE_CHALLENGE, JSON, ("dpop-nonce", "n")][..], &[JSON, ("dpop-nonce", "n")]] {
            let server = with(|server| server.nonces(Nonces::Off));
            // By the real clock: who reads a gibibyte before sending again has no time left to do so.
            let hurried = builder(&server, LONG).clock(SystemClock::new()).deadline(3 * SECOND);
            let session = hurried.discover().unwrap();
            once(&server, Endpoint::Resource, respond(401, headers, ""));
            once(&server, Endpoint::Resource, Quirk::LargeBody(length));
            // With the challenge in the header it is answered; white space without end is no challenge.
            let challenged = headers.contains(&NONCE_CHALLENGE);
            let answer = session.get(&server.resource("/")).unwrap();
            assert_eq!(answer.status().as_u16(), if challenged { 200 } else { 401 });
            drop(answer);
            assert_eq!(get(&session, &server), 200);
            assert_eq!(calls(&server).len(), if challenged { 3 } else { 2 });
        }
    }
}

/// Nobody asked for gzip, so the bytes are what they are: no JSON. Where another crate switches ureq's
/// decoder on, the limit is one of decoded bytes.
#[test]
fn c_15_a_gzip_bomb_does_not_explode() {
    let server = with(|server| server.nonces(Nonces::Off));
    let session = session(&server);
    let bomb = Quirk::Gzip { padding: 32 << 20 };
    let stopped = |error: Error| {
        let kinds =
            [ErrorKind::Metadata, ErrorKind::Content { status: 200 }, ErrorKind::TooLarge { limit: 1 << 20 }];
        assert!(kinds.contains(error.kind()), "{error}");
    };
    always(&server, Endpoint::Metadata, bomb.clone());
    stopped(builder(&server, LONG).discover().unwrap_err());
    once(&server, Endpoint::Token, bomb);
    stopped(session.access_token().unwrap_err());
    assert_eq!(get(&session, &server), 200);
    for request in server.received() {
        assert!(request.header_values("accept-encoding").is_empty(), "{}", request.target);
    }
}

#[test]
fn c_16_heads_beyond_all_measure_are_an_error() {
    let reason = format!("HTTP/1.1 200 {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(1_000_000));
    let name = format!("HTTP/1.1 200 OK\r\n{}: x\r\ncontent-length: 0\r\n\r\n", "x".repeat(100_000));
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(8_000_000));
    for quirk in [
        Quirk::HugeHead(70_000),
        Quirk::HugeHead(50_000_000),
        Quirk::ManyFields(10_000),
        Quirk::RawBytes(reason.into_bytes()),
        Quirk::RawBytes(name.into_bytes()),
        Quirk::RawBytes(endless.into_bytes()),
    ] {
        let what = format!("{quirk:?}").chars().take(40).collect::<String>();
        let server = start();
        let session = session(&server);
        session.access_token().unwrap();
        always(&server, Endpoint::Metadata, quirk.clone());
        for at in BOTH {
            always(&server, at, quirk.clone());
        }
        let errors = [
            builder(&server, LONG).discover().map(drop).unwrap_err(),
            session.get(&server.resource("/")).map(drop).unwrap_err(),
            {
                session.discard_token();
                session.access_token().map(drop).unwrap_err()
            },
        ];
        for error in errors {
            // By its size, long before its time.
            assert_eq!(*error.kind(), ErrorKind::Transport, "{what} {error}");
            assert!(error.to_string().len() < 1_000, "{what}");
        }
        server.behave();
        assert_eq!(get(&session, &server), 200, "{what}");
    }
}

#[test]
fn c_17_bodies_of_another_length_are_errors_and_cost_the_connection() {
    for quirk in
        [Quirk::WrongLength(7), Quirk::WrongLength(-7), Quirk::CloseMidway, Quirk::InterimResponses(100_000)]
    {
        // One clock, or the pauses between attempts would set the session's ahead of the server's.
        let clock = ManualClock::new();
        let server = with(|server| server.nonces(Nonces::Off).clock(clock.clone()));
        let session = builder(&server, LONG).clock(clock).discover().unwrap();
        session.access_token().unwrap();
        session.discard_token();
        always(&server, Endpoint::Token, quirk.clone());
        let error = session.access_token().unwrap_err();
        let known = matches!(error.kind(), ErrorKind::Transport | ErrorKind::Content { .. });
        assert!(known, "{quirk:?} {error}");
        server.behave();
        assert_eq!(get(&session, &server), 200, "{quirk:?}");
        // The first was answered well and leaves its connection to the next. Each other has one of its own.
        let connections: Vec<_> = token_requests(&server)[1..].iter().map(|one| one.connection).collect();
        let distinct: HashSet<_> = connections.iter().collect();
        assert!(connections.len() > 1 && distinct.len() == connections.len(), "{quirk:?} {connections:?}");
        nothing_twice(&server);
    }
}

/// An answer with another one after it, which nobody asked for, on a connection that stays open: the next
/// request must not take it for its own.
#[test]
fn c_17_what_is_left_in_a_connection_answers_no_other_request() {
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled";
    let challenge = "HTTP/1.1 401 X\r\nwww-authenticate: DPoP error=\"use_dpop_nonce\"\r\ndpop-nonce: n\r\n";
    for first in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n".to_owned(),
        // These are sent again at once.
        format!("{challenge}content-length: 0\r\n\r\n"),
        format!("{challenge}content-length: 2\r\n\r\nno"),
    ] {
        let server = with(|server| server.nonces(Nonces::Off));
        let session = session(&server);
        once(&server, Endpoint::Resource, Quirk::RawBytes(format!("{first}{smuggled}").into_bytes()));
        for _ in 0..3 {
            let body = text(session.get(&server.resource("/orders")).unwrap());
            assert!(!body.contains("smuggled"), "{first}");
        }
        let all = calls(&server);
        assert_ne!(all[0].connection, all[1].connection, "{first}: it is not used again");
    }
    // The same of a token.
    let answer = |token: &str| {
        let body = TOKEN.replace("\"t\"", &format!("\"{token}\""));
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let server = with(|server| server.nonces(Nonces::Off));
    let session = session(&server);
    let bytes = format!("{}{}", answer("first"), answer("smuggled"));
    once(&server, Endpoint::Token, Quirk::RawBytes(bytes.into_bytes()));
    assert_eq!(session.access_token().unwrap().access_token(), "first");
    session.discard_token();
    assert_ne!(session.access_token().unwrap().access_token(), "smuggled");
    assert_eq!(token_requests(&server).len(), 2);
}

#[test]
fn c_18_a_connection_that_breaks_never_carries_a_proof_twice() {
    // At the resource: what may be sent again is, with another proof, and the rest is the caller's.
    for quirk in [Quirk::CloseAfterResponse, Quirk::CloseWithoutResponse] {
        let server = start();
        let session = session(&server);
        assert_eq!(get(&session, &server), 200);
        let url = server.resource("/orders");
        for harmless in [true, false] {
            server.behave();
            server.clear_received();
            once(&server, Endpoint::Resource, quirk.clone());
            let send = || match harmless {
                true => session.get(&url).map(text),
                false => session.post(&url, "text/plain", "x").map(text),
            };
            // The first is lost or the last of its connection; the second finds it closed.
            let outcomes = [send(), send()];
            let lost = matches!(quirk, Quirk::CloseWithoutResponse);
            match (harmless, lost) {
                (true, _) => assert!(outcomes.iter().all(Result::is_ok), "{quirk:?} {outcomes:?}"),
                (false, true) => {
                    let error = outcomes[0].as_ref().unwrap_err();
                    assert_eq!(*error.kind(), ErrorKind::Transport, "{error}");
                    assert_eq!(calls(&server).len(), 2, "a lost POST is not sent again");
                }
                (false, false) => assert!(outcomes[0].is_ok()),
            }
            nothing_twice(&server);
        }
    }
    // At the token endpoint: an attempt each, with a proof and an assertion of its own.
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).client_public_key(key.to_public()));
    let auth = ClientAuth::private_key_jwt(key);
    let session = builder(&server, LONG).clock(clock).auth(auth).discover().unwrap();
    for quirk in [Quirk::CloseWithoutResponse, Quirk::CloseMidway] {
        server.misbehave(Endpoint::Token, When::Next(2), quirk);
        session.access_token().unwrap();
        session.discard_token();
    }
    assert!(token_requests(&server).len() >= 6);
    nothing_twice(&server);
}

#[test]
fn c_19_a_challenge_is_read_whatever_an_agent_does_with_statuses() {
    for form in [ChallengeForm::Json, ChallengeForm::Header, ChallengeForm::HeaderWith400] {
        let server = start();
        for at in BOTH {
            always(&server, at, Quirk::ChallengeForm(form));
        }
        // ureq as it comes: error statuses are errors, redirects are followed, and there is no time.
        let transport = Transport::from_agent(ureq::Agent::new_with_defaults());
        let session = server.session().transport(transport).discover().unwrap();
        assert_eq!(get(&session, &server), 200, "{form:?}");
        assert_eq!((token_requests(&server).len(), calls(&server).len()), (2, 2), "{form:?}");
        // By way of an agent too, whose caller gets what ureq makes of an error status.
        let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
        let agent = session.agent().unwrap();
        assert_eq!(agent.get(server.resource("/")).call().unwrap().status(), 200, "{form:?}");
        once(&server, Endpoint::Resource, respond(403, &[], ""));
        let error = agent.get(server.resource("/")).call().unwrap_err();
        assert!(matches!(error, ureq::Error::StatusCode(403)), "{error}");
        // A redirect and an OAuth error as well.
        let trap = Trap::set();
        once(&server, Endpoint::Token, Quirk::Redirect { status: 302, location: trap.origin() });
        session.discard_token();
        assert_eq!(*session.access_token().unwrap_err().kind(), ErrorKind::Redirect { status: 302 });
        assert!(trap.untouched());
    }
}

// ---- Token responses

#[test]
fn c_20_a_bearer_token_is_refused_and_not_used() {
    let server = start();
    let session = session(&server);
    always(&server, Endpoint::Token, Quirk::Bearer);
    always(&server, Endpoint::Token, member("access_token", "\"downgraded\""));
    for token_type in ["Bearer", "bearer", "BEARER"] {
        always(&server, Endpoint::Token, member("token_type", &format!("\"{token_type}\"")));
        let error = session.get(&server.resource("/")).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TokenType { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("downgraded"));
    }
    assert!(calls(&server).is_empty());
    server.behave();
    // A renewal is no other thing.
    assert_eq!(get(&session, &server), 200);
    always(&server, Endpoint::Token, Quirk::Bearer);
    session.discard_token();
    server.clear_received();
    assert!(session.get(&server.resource("/")).is_err() && calls(&server).is_empty());
    let lax = builder(&server, LONG).dangerous_accept_bearer().resource_origins([server.resource_origin()]);
    let lax = lax.discover().unwrap();
    assert_eq!(get(&lax, &server), 200);
    let call = calls(&server).pop().unwrap();
    assert!(
        call.header_values("authorization")[0].starts_with("Bearer ")
            && call.header_values("dpop").is_empty()
    );
}

#[test]
fn c_21_the_token_type_is_dpop_in_any_case_and_nothing_else() {
    for json in ["\"dpop\"", "\"DPOP\"", "\"dPoP\""] {
        let server = start();
        always(&server, Endpoint::Token, member("token_type", json));
        assert_eq!(get(&session(&server), &server), 200, "{json}");
        // RFC 9449 §7.1: the scheme is DPoP, however the type was written.
        assert!(
            calls(&server).iter().all(|call| call.header_values("authorization")[0].starts_with("DPoP "))
        );
    }
    let bad = [
        "7",
        "null",
        "true",
        "[\"DPoP\"]",
        "{}",
        "\"N_A\"",
        "\"DPoPx\"",
        "\" DPoP\"",
        "\"DPoP \"",
        "\"\"",
        "\"ＤPoP\"",
    ];
    for quirk in bad
        .iter()
        .map(|json| member("token_type", json))
        .chain([Quirk::WithoutMember("token_type".to_owned())])
    {
        let server = start();
        always(&server, Endpoint::Token, quirk.clone());
        let error = session(&server).get(&server.resource("/")).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Content { status: 200 }, "{quirk:?} {error}");
        assert!(calls(&server).is_empty() && token_requests(&server).len() == 2, "{quirk:?}");
    }
}

#[test]
fn c_22_an_access_token_that_no_header_can_carry_is_refused_when_it_comes() {
    let server = with(|server| server.nonces(Nonces::Off));
    let session = session(&server);
    for json in [
        r#""a\r\nx-evil: y""#,
        r#""a\nb""#,
        r#""a b""#,
        r#"" a""#,
        r#""a,b""#,
        r#""a\"b""#,
        r#""a\u0000""#,
        r#""a\u007f""#,
        "\"é\"",
        r#""\ud83d\ude00""#,
        r#""a\\b""#,
        "\"\"",
        "\"==\"",
        "\"a=b\"",
        "7",
        "null",
        "[]",
    ] {
        server.behave();
        always(&server, Endpoint::Token, member("access_token", json));
        let error = session.get(&server.resource("/")).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Content { status: 200 }, "{json} {error}");
    }
    assert!(calls(&server).is_empty());
    server.behave();
    // RFC 9110 §11.2: every character of a token68, and padding.
    let token = "abcXYZ019-._~+/==";
    always(&server, Endpoint::Token, member("access_token", &format!("\"{token}\"")));
    assert_eq!(session.access_token().unwrap().access_token(), token);
    get(&session, &server);
    let first = calls(&server).remove(0);
    assert_eq!(first.header_values("authorization"), [format!("DPoP {token}")]);
    assert_eq!(claim(&first, "ath").unwrap(), ath(token));
}

/// Whatever is said of a token's life, a session lives with it, today and in a year.
#[test]
fn c_23_a_life_of_any_kind_does_no_harm() {
    let huge = format!("1{}", "0".repeat(400));
    for json in [
        "0",
        "-0",
        "-1",
        "-9223372036854775808",
        "\"3600\"",
        "\"\"",
        "\"-1\"",
        "3600.5",
        "0.5",
        "1e400",
        "-1e400",
        "1e308",
        "18446744073709551615",
        "9223372036854775807",
        "1000000000000000000000000000000",
        &huge,
        "true",
        "null",
        "[]",
        "{}",
        "\"18446744073709551616\"",
    ] {
        let clock = ManualClock::new();
        let server = with(|server| server.nonces(Nonces::Off).clock(clock.clone()));
        let session = server.session().clock(clock.clone()).discover().unwrap();
        always(&server, Endpoint::Token, member("expires_in", json));
        match session.get(&server.resource("/")) {
            Ok(answer) => assert_eq!(answer.status(), 200, "{json}"),
            Err(error) => {
                assert_eq!(*error.kind(), ErrorKind::Content { status: 200 }, "{json} {error}");
                assert!(calls(&server).is_empty());
                continue;
            }
        }
        assert_eq!(get(&session, &server), 200, "{json}");
        clock.advance(365 * 24 * 3600 * SECOND);
        assert_eq!(get(&session, &server), 200, "{json}");
    }
    // What the numbers mean: nothing that has ended is used, and what lives is.
    for (json, tokens) in [("0", 2), ("3600", 1), ("\"3600\"", 1), ("18446744073709551615", 1)] {
        let server = with(|server| server.nonces(Nonces::Off));
        let session = session(&server);
        always(&server, Endpoint::Token, member("expires_in", json));
        (0..2).for_each(|_| assert_eq!(get(&session, &server), 200));
        assert_eq!(server.counts().tokens, tokens, "{json}");
    }
}

#[test]
fn c_24_a_member_that_stands_twice_is_an_error() {
    let server = with(|server| server.nonces(Nonces::Off));
    let session = session(&server);
    let bodies = [
        r#"{"access_token":"a","access_token":"b","token_type":"DPoP"}"#,
        r#"{"access_token":"a","token_type":"DPoP","access_token":"a"}"#,
        r#"{"access_token":"a","token_type":"DPoP","token_type":"Bearer"}"#,
        r#"{"access_token":"a","token_type":"Bearer","token_type":"DPoP"}"#,
        // The same name, spelled with an escape.
        r#"{"access_token":"a","access\u005ftoken":"b","token_type":"DPoP"}"#,
        r#"{"access_token":"a","token_type":"DPoP","t\u006fken_type":"Bearer"}"#,
        r#"{"access_token":"a","token_type":"DPoP","x":1,"x":2}"#,
        r#"{"access_token":"a","token_type":"DPoP","x":[{"y":1,"y":2}]}"#,
    ];
    for body in bodies {
        server.behave();
        always(&server, Endpoint::Token, respond(200, &[JSON], body));
        let error = session.get(&server.resource("/")).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Content { status: 200 }, "{body} {error}");
    }
    assert!(calls(&server).is_empty());
    server.behave();
    assert_eq!(get(&session, &server), 200);
}

#[test]
fn c_25_what_is_no_token_response_is_a_typed_error() {
    let deep = |open: &str, close: &str| {
        let (open, close) = (open.repeat(20_000), close.repeat(20_000));
        format!(r#"{{"access_token":"t","token_type":"DPoP","x":{open}1{close}}}"#)
    };
    let cases: [(u16, &str, Vec<u8>); 17] = [
        (200, "application/json", deep("[", "]").into()),
        (200, "application/json", deep("{\"a\":", "}").into()),
        (200, "application/json", format!("{TOKEN}x").into()),
        (200, "application/json", format!("{TOKEN}{TOKEN}").into()),
        (200, "application/json", format!("{TOKEN}\0").into()),
        (200, "application/json", format!("\u{feff}{TOKEN}").into()),
        (200, "application/json", TOKEN.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        (200, "application/json", [TOKEN.as_bytes(), b"\xff"].concat()),
        (200, "application/json", b"".into()),
        (200, "application/json", b"null".into()),
        (200, "application/json", TOKEN[..TOKEN.len() - 1].into()),
        (200, "application/json", b"<html></html>".into()),
        (200, "text/html", TOKEN.into()),
        (200, "application/x-www-form-urlencoded", b"access_token=t&token_type=DPoP".into()),
        (201, "application/json", TOKEN.into()),
        (206, "application/json", TOKEN.into()),
        (204, "application/json", b"".into()),
    ];
    let server = with(|server| server.nonces(Nonces::Off));
    let session = session(&server);
    for (number, (status, kind, body)) in cases.into_iter().enumerate() {
        server.behave();
        server.clear_received();
        always(&server, Endpoint::Token, respond(status, &[("content-type", kind)], body));
        let error = session.get(&server.resource("/")).unwrap_err();
        let expected = match status {
            200 => ErrorKind::Content { status },
            _ => ErrorKind::Status { status },
        };
        assert_eq!(*error.kind(), expected, "case {number}: {error}");
        assert_eq!((token_requests(&server).len(), calls(&server).len()), (1, 0), "case {number}");
    }
}

thread_local! {
    /// What was logged by this thread: a session has no other.
    static LOGGED: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("possession")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LOGGED.with_borrow_mut(|logged| logged.push_str(&format!("{}\n", record.args())));
        }
    }

    fn flush(&self) {}
}

#[test]
fn c_26_what_a_server_says_is_shown_and_logged_in_safe_characters() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
    let long = "x".repeat(500_000);
    for said in [
        r"\u001b[31mred\u001b[0m",
        r"a\r\nb: forged line",
        r"\u0007\u0000\u202e\u00e9\u200b",
        r#"a\"b\\"#,
        &long,
    ] {
        for status in [400, 503] {
            let server = with(|server| server.nonces(Nonces::Off));
            let session = session(&server);
            let body =
                format!(r#"{{"error":"invalid_scope","error_description":"{said}","error_uri":"{said}"}}"#);
            always(&server, Endpoint::Token, respond(status, &[JSON], body));
            LOGGED.take();
            let error = session.access_token().unwrap_err();
            let mut shown = vec![error.to_string(), format!("{error:?}"), format!("{:?}", error.kind())];
            shown.extend([error.oauth().unwrap().to_string(), format!("{:?}", error.oauth())]);
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                shown.push(cause.to_string());
                source = cause.source();
            }
            let logged = LOGGED.take();
            assert!(logged.contains("status"), "the logger is there: {logged}");
            shown.extend(logged.lines().map(str::to_owned));
            for shown in shown {
                assert!(shown.len() < 1_500, "{} bytes", shown.len());
                assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)), "{shown:?}");
                assert!(!shown.starts_with("b: forged"), "{shown}");
            }
            let raw = error.oauth().unwrap().raw_error_description().unwrap();
            assert_eq!(raw, serde_json::from_str::<String>(&format!("\"{said}\"")).unwrap(), "as it came");
        }
        // A code that RFC 6749 does not allow is none, and shown as little.
        if said.len() < 100 {
            let server = with(|server| server.nonces(Nonces::Off));
            let session = session(&server);
            always(&server, Endpoint::Token, respond(400, &[JSON], format!(r#"{{"error":"{said}"}}"#)));
            let error = session.access_token().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Status { status: 400 }, "{error}");
            assert!(error.to_string().bytes().all(|b| (b' '..=b'~').contains(&b)), "{error}");
        }
    }
}

#[test]
fn c_27_another_scope_and_a_refresh_token_are_told() {
    let server = start();
    always(&server, Endpoint::Token, member("scope", "\"orders:none\""));
    always(&server, Endpoint::Token, member("refresh_token", "\"r\""));
    let session = session(&server);
    let token = session.access_token().unwrap();
    assert_eq!((token.scope(), token.refresh_token()), (Some("orders:none"), Some("r")));
    assert!(!format!("{token:?}").contains("\"r\""));
    // It is told and not used: the next token is asked for as the first was.
    session.discard_token();
    assert_eq!(get(&session, &server), 200);
    for request in token_requests(&server) {
        assert_eq!(request.form_field("grant_type").as_deref(), Some("client_credentials"));
        assert_eq!(
            request.form_field("scope").as_deref(),
            Some("orders:read"),
            "what is asked for does not follow"
        );
        assert!(request.form_field("refresh_token").is_none());
    }
    // RFC 6749 §5.1: left out, it is what was asked for.
    server.behave();
    always(&server, Endpoint::Token, Quirk::WithoutMember("scope".to_owned()));
    session.discard_token();
    assert_eq!(session.access_token().unwrap().scope(), None);
}

#[test]
fn c_28_a_scope_that_cannot_be_sent_is_refused_before_it_is() {
    let server = start();
    let session = session(&server);
    let metadata = by_hand(&server, &format!("{}/token", server.issuer())).unwrap();
    let client = Client::new(server.client_id()).unwrap();
    let (auth, transport) = (ClientAuth::client_secret_basic(server.client_secret()), Transport::new());
    for scope in
        ["a\"b", "a\\b", "a\tb", "a  b", "a\u{a0}b", "", " ", " a", "a ", "é", "a\r\nb", "a\u{0}", "a\u{7f}"]
    {
        let parameters = || Parameters::new().scope(scope);
        let options = RequestOptions::new().http(&transport);
        let refusals = [
            server.session().scope(scope).server(metadata.clone()).map(drop),
            session.with_parameters(parameters()).map(drop),
            client_credentials_grant_request(&metadata, &client, &auth, parameters(), &options).map(drop),
        ];
        for refusal in refusals {
            assert_eq!(*refusal.unwrap_err().kind(), ErrorKind::Parameter, "{scope:?}");
        }
    }
    assert!(token_requests(&server).is_empty());
    // Every character that RFC 6749 §3.3 allows arrives as it is.
    let allowed: String = (0x21..=0x7eu8).filter(|b| !b"\"\\".contains(b)).map(char::from).collect();
    let scope = format!("{allowed} b");
    session.with_parameters(Parameters::new().scope(&scope)).unwrap().access_token().unwrap();
    assert!(
        token_requests(&server).iter().all(|request| request.form_field("scope").as_ref() == Some(&scope))
    );
}

#[test]
fn c_29_the_oauth_error_decides_where_a_challenge_says_another_thing() {
    let header =
        |(name, value): (&str, &str)| Quirk::Header { name: name.to_owned(), value: value.to_owned() };
    // The server means it: the secret is wrong. A gateway adds the challenge.
    let server = start();
    let wrong = builder(&server, LONG).auth(ClientAuth::client_secret_basic("wrong")).discover().unwrap();
    always(&server, Endpoint::Token, header(NONCE_CHALLENGE));
    always(&server, Endpoint::Token, nonce(&["n"]));
    let error = wrong.access_token().unwrap_err();
    assert_eq!((code(&error), error.status()), (Some("invalid_client"), Some(401)));
    assert_eq!(token_requests(&server).len(), 1, "no storm");
    // With assertions a wrong time may be why: once more at the most, however many reasons there are.
    let (key, other) =
        (KeyPair::generate(Algorithm::Es256).unwrap(), KeyPair::generate(Algorithm::Es256).unwrap());
    let server = with(|server| server.client_public_key(key.to_public()));
    server.set_clock_offset(3_000);
    always(&server, Endpoint::Token, header(NONCE_CHALLENGE));
    always(&server, Endpoint::Token, nonce(&["n"]));
    let wrong = builder(&server, LONG).auth(ClientAuth::private_key_jwt(other)).discover().unwrap();
    assert_eq!(code(&wrong.access_token().unwrap_err()), Some("invalid_client"));
    assert_eq!(token_requests(&server).len(), 2);
    nothing_twice(&server);
    // The other way about: the body is the challenge, whatever the header says.
    let body = r#"{"error":"use_dpop_nonce"}"#;
    for also in
        [("www-authenticate", "DPoP error=\"invalid_client\""), ("www-authenticate", "Basic realm=\"x\"")]
    {
        let server = with(|server| server.nonces(Nonces::Off));
        once(&server, Endpoint::Token, respond(401, &[JSON, also, ("dpop-nonce", "n")], body));
        session(&server).access_token().unwrap();
        assert_eq!(nonces(&token_requests(&server)), some(&[None, Some("n")]));
    }
}

// ---- Nonces

/// A clock that moves on whenever it is read.
#[derive(Clone)]
struct Ticking(Arc<AtomicU64>, SystemTime);

impl Clock for Ticking {
    fn now(&self) -> SystemTime {
        self.1 + SECOND * u32::try_from(self.0.fetch_add(1, Ordering::SeqCst)).unwrap()
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}

#[test]
fn c_30_a_challenge_is_answered_once_with_everything_new() {
    let key = KeyPair::generate(Algorithm::Es256).unwrap();
    let server = with(|server| server.client_public_key(key.to_public()));
    // Behind the server by less than it minds, with room to tick.
    let clock = Ticking(Arc::default(), SystemTime::now() - 30 * SECOND);
    let session = server.session().auth(ClientAuth::private_key_jwt(key)).clock(clock).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    let time = |claims: &serde_json::Value| claims["iat"].as_u64().unwrap();
    for requests in [token_requests(&server), calls(&server)] {
        let [first, second] = &requests[..] else { panic!("two, not {}", requests.len()) };
        assert_eq!((claim(first, "nonce"), claim(second, "nonce").is_some()), (None, true));
        let proofs = [first, second].map(|request| request.proof().unwrap().claims);
        assert_ne!(proofs[0]["jti"], proofs[1]["jti"]);
        assert!(time(&proofs[0]) < time(&proofs[1]), "{proofs:?}");
        if let [Some(first), Some(second)] = [first, second].map(Received::assertion) {
            assert_ne!(first.claims["jti"], second.claims["jti"]);
            assert!(time(&first.claims) < time(&second.claims));
        }
    }
    assert!(token_requests(&server).iter().all(|request| request.assertion().is_some()));
    assert_eq!(server.counts().challenges, 2, "one of each part");
    nothing_twice(&server);
}

#[test]
fn c_31_a_server_that_challenges_for_ever_gets_two_requests() {
    // As good as for ever to a client that gives up, and an end for one that does not.
    let for_ever = |server: &TestServer, at| server.misbehave(at, When::Next(20), Quirk::Challenge);
    for form in common::server::FORMS {
        let server = start();
        let session = session(&server);
        for at in BOTH {
            always(&server, at, Quirk::ChallengeForm(form));
        }
        once(&server, Endpoint::Token, Quirk::Challenge);
        session.access_token().unwrap();
        server.clear_received();
        for_ever(&server, Endpoint::Resource);
        let answer = session.get(&server.resource("/")).unwrap();
        assert!([400, 401].contains(&answer.status().as_u16()), "{form:?}");
        assert_eq!(calls(&server).len(), 2, "{form:?}");
        let agent = builder(&server, LONG).resource_origins([server.resource_origin()]).discover().unwrap();
        assert!(agent.agent().unwrap().get(server.resource("/")).call().is_err());
        assert_eq!(calls(&server).len(), 4, "{form:?}");
        for_ever(&server, Endpoint::Token);
        server.clear_received();
        session.discard_token();
        let error = session.get(&server.resource("/")).unwrap_err();
        assert!(!error.is_transient(), "{form:?} {error}: nor is it asked again after a pause");
        assert!(error.to_string().contains("use_dpop_nonce"), "{form:?} {error}");
        assert_eq!((token_requests(&server).len(), calls(&server).len()), (2, 0), "{form:?}");
        nothing_twice(&server);
    }
}

/// C-32: none, an empty one, the one just sent. C-36: what no proof can carry. C-37: two, even of the same.
#[test]
fn c_32_c_36_c_37_without_one_new_valid_nonce_nothing_is_sent_again() {
    let (long, longest) = ("n".repeat(1_025), "n".repeat(1_024));
    let bad: [&[&str]; 12] = [
        &[],
        &[""],
        &["a b"],
        &["a\"b"],
        &["a\\b"],
        &["a\tb"],
        &["é"],
        &["\u{a0}"],
        &[&long],
        &["one", "two"],
        &["same", "same"],
        &["", "one"],
    ];
    for values in bad {
        for at in BOTH {
            let server = with(|server| server.nonces(Nonces::Off));
            let session = session(&server);
            // A good one is known already, and stays.
            once(&server, at, nonce(&["known"]));
            assert_eq!(get(&session, &server), 200);
            server.behave();
            server.clear_received();
            always(&server, at, Quirk::Challenge);
            always(&server, at, nonce(values));
            match at {
                Endpoint::Token => {
                    session.discard_token();
                    assert_eq!(
                        code(&session.access_token().unwrap_err()),
                        Some("use_dpop_nonce"),
                        "{values:?}"
                    );
                }
                _ => assert_eq!(get(&session, &server), 401, "{values:?}"),
            }
            assert_eq!(nonces(&server.received_at(at)), some(&[Some("known")]), "{values:?}");
            server.behave();
            assert_eq!(get(&session, &server), 200);
            assert_eq!(nonces(&server.received_at(at)), some(&[Some("known"), Some("known")]), "{values:?}");
        }
    }
    // The one just sent.
    for at in BOTH {
        let server = start();
        let session = session(&server);
        assert_eq!(get(&session, &server), 200);
        always(&server, at, Quirk::Challenge);
        always(&server, at, Quirk::RepeatNonce);
        server.clear_received();
        match at {
            Endpoint::Token => {
                session.discard_token();
                assert_eq!(code(&session.access_token().unwrap_err()), Some("use_dpop_nonce"));
            }
            _ => assert_eq!(get(&session, &server), 401),
        }
        assert_eq!(server.received_at(at).len(), 1, "{at:?}");
    }
    // At the bound, and every character that RFC 9449 §8.1 allows.
    let allowed: String = (0x21..=0x7eu8).filter(|b| !b"\"\\".contains(b)).map(char::from).collect();
    for value in [longest, allowed, "~".to_owned()] {
        let server = with(|server| server.nonces(Nonces::Off));
        once(&server, Endpoint::Resource, Quirk::Challenge);
        once(&server, Endpoint::Resource, nonce(&[&value]));
        assert_eq!(get(&session(&server), &server), 200);
        assert_eq!(nonces(&calls(&server)), [None, Some(value)]);
    }
}

/// Time makes it stale, and the server lets it go; at both parts.
#[test]
fn c_33_a_stale_nonce_is_replaced_by_the_challenge_s() {
    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()).nonces(Nonces::LifetimeByChallenge(60 * SECOND)));
    let session = server.session().clock(clock.clone()).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    type Stale<'a> = &'a dyn Fn();
    let stale: [Stale<'_>; 2] = [&|| clock.advance(61 * SECOND), &|| server.rotate_nonces()];
    for make_stale in stale {
        let before =
            [token_requests(&server), calls(&server)].map(|requests| nonces(&requests).pop().unwrap());
        make_stale();
        server.clear_received();
        session.discard_token();
        assert_eq!(get(&session, &server), 200);
        for (requests, before) in [token_requests(&server), calls(&server)].into_iter().zip(before) {
            let sent = nonces(&requests);
            assert_eq!(sent.len(), 2);
            assert!(sent[0] == before && sent[1] != before && sent[1].is_some(), "{sent:?}");
        }
    }
}

#[test]
fn c_34_the_nonce_of_every_response_is_used_next() {
    let server = with(|server| server.nonces(Nonces::Off));
    let session = session(&server);
    session.access_token().unwrap();
    let mut last = None;
    let mut next = |session: &Session, expected: &[&str]| {
        server.clear_received();
        let status = get(session, &server);
        let mut sent = vec![last.clone()];
        sent.extend(expected[..expected.len() - 1].iter().map(|text| Some((*text).to_owned())));
        assert_eq!(nonces(&calls(&server)), sent);
        last = expected.last().map(|text| (*text).to_owned());
        server.behave();
        status
    };
    // A plain 200, a challenge and the 200 after it, a challenge and the refusal after it.
    always(&server, Endpoint::Resource, nonce(&["a"]));
    assert_eq!(next(&session, &["a"]), 200);
    let challenge = respond(401, &[NONCE_CHALLENGE, ("dpop-nonce", "b")], "");
    once(&server, Endpoint::Resource, challenge.clone());
    server.misbehave(Endpoint::Resource, When::Every(2), nonce(&["c"]));
    assert_eq!(next(&session, &["b", "c"]), 200);
    once(&server, Endpoint::Resource, challenge);
    server.misbehave(Endpoint::Resource, When::Every(2), respond(403, &[("dpop-nonce", "d")], ""));
    assert_eq!(next(&session, &["b", "d"]), 403);
    // Any status, and a redirect.
    for status in [400, 404, 429, 500, 503, 307] {
        let value = format!("on-{status}");
        once(&server, Endpoint::Resource, respond(status, &[("dpop-nonce", &value)], ""));
        assert_eq!(next(&session, &[&value]), status);
    }
    assert_eq!(next(&session, &["-"]), 200);
    // The same of tokens.
    let refused =
        |status: u16, value: &str, body: &str| respond(status, &[JSON, ("dpop-nonce", value)], body);
    let use_nonce = r#"{"error":"use_dpop_nonce"}"#;
    server.clear_received();
    once(&server, Endpoint::Token, refused(400, "e", use_nonce));
    server.misbehave(Endpoint::Token, When::Every(2), nonce(&["f"]));
    session.discard_token();
    session.access_token().unwrap();
    server.behave();
    once(&server, Endpoint::Token, refused(400, "g", use_nonce));
    server.misbehave(Endpoint::Token, When::Every(2), refused(400, "h", r#"{"error":"invalid_scope"}"#));
    session.discard_token();
    assert_eq!(code(&session.access_token().unwrap_err()), Some("invalid_scope"));
    server.behave();
    once(&server, Endpoint::Token, Quirk::Redirect { status: 302, location: "/x".to_owned() });
    once(&server, Endpoint::Token, nonce(&["i"]));
    assert!(session.access_token().is_err());
    session.access_token().unwrap();
    let sent = [None, Some("e"), Some("f"), Some("g"), Some("h"), Some("i")];
    assert_eq!(nonces(&token_requests(&server)), some(&sent));
}

#[test]
fn c_35_nonces_of_parts_and_ports_are_kept_apart() {
    let (server, other) =
        (with(|server| server.nonces(Nonces::Off)), with(|server| server.nonces(Nonces::Off)));
    let session = session(&server);
    always(&server, Endpoint::Token, nonce(&["of-as"]));
    always(&server, Endpoint::Resource, nonce(&["of-rs"]));
    always(&other, Endpoint::Resource, nonce(&["of-other"]));
    let resources = [
        server.resource("/"),            // a port of its own
        format!("{}/", server.issuer()), // the origin of the authorization server, as a resource
        other.resource("/"),             // the same host, another port
    ];
    for _ in 0..3 {
        session.discard_token();
        for url in &resources {
            session.get(url).unwrap();
        }
    }
    // Three times, and each time once more, as the other server knows none of the tokens.
    let as_nonce = Some("of-as");
    assert_eq!(
        nonces(&token_requests(&server)),
        some(&[None, as_nonce, as_nonce, as_nonce, as_nonce, as_nonce])
    );
    for (origin, received, own) in [
        (server.resource_origin(), calls(&server), "of-rs"),
        (server.issuer(), calls(&server), "of-rs"),
        (other.resource_origin(), calls(&other), "of-other"),
    ] {
        let here: Vec<_> = received.into_iter().filter(|call| call.origin == origin).collect();
        let sent = nonces(&here);
        assert!(sent.len() >= 3 && sent[0].is_none(), "{origin} {sent:?}");
        assert!(sent[1..].iter().all(|nonce| nonce.as_deref() == Some(own)), "{origin} {sent:?}");
    }
    // One slot for one host, however it is written, and none for another name of it.
    let port = server.resource_origin().rsplit(':').next().unwrap().to_owned();
    always(&server, Endpoint::Resource, Quirk::HtuOrigin(format!("http://localhost:{port}")));
    server.clear_received();
    for host in ["localhost", "LOCALHOST", "LocalHost"] {
        assert_eq!(session.get(&format!("HTTP://{host}:{port}/")).unwrap().status(), 200);
    }
    assert_eq!(nonces(&calls(&server)), some(&[None, Some("of-rs"), Some("of-rs")]));
}

/// Ten thousand other origins set nonces. The server's own stays while it is used, and goes when it is not:
/// what is kept has a bound, and what goes is what was not used for longest.
#[test]
fn c_38_nonces_of_many_origins_are_bounded() {
    let server = start();
    let prover = Prover::new(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
    let session = builder(&server, LONG).prover(&prover).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    let known = nonces(&calls(&server)).pop().unwrap();
    server.clear_received();
    let headers = HeaderMap::from_iter([(http::HeaderName::from_static("dpop-nonce"), "n".parse().unwrap())]);
    let learn = |part, range: std::ops::Range<u32>| {
        for i in range {
            prover.learn(part, &format!("https://{i}.example/"), &headers).unwrap();
        }
    };
    for hundred in 0..100 {
        learn(ServerRole::ResourceServer, hundred * 100..(hundred + 1) * 100);
        assert_eq!(get(&session, &server), 200);
    }
    assert!(calls(&server).len() == 100 && nonces(&calls(&server)).iter().all(|nonce| *nonce == known));
    // Nor do those of the one part take the place of the other's.
    learn(ServerRole::ResourceServer, 0..10_000);
    session.discard_token();
    server.clear_received();
    assert_eq!(get(&session, &server), 200);
    assert_eq!(token_requests(&server).len(), 1, "the authorization server's nonce is there");
    let sent = nonces(&calls(&server));
    assert!(sent.len() == 2 && sent[0].is_none() && sent[1].is_some(), "the resource's is not: {sent:?}");
}

#[test]
fn c_39_octets_are_sent_again_and_streams_are_not() {
    let server = start();
    let session = session(&server);
    session.access_token().unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(70_001).collect();
    let cursor = || io::Cursor::new(bytes.clone());
    let url = server.resource("/");
    let refuse = || {
        server.rotate_nonces();
        server.clear_received();
    };
    for method in ["POST", "PUT", "PATCH"] {
        refuse();
        let request = Request::builder().method(method).uri(&url).body(bytes.clone()).unwrap();
        assert_eq!(session.run(request).unwrap().status(), 200);
        let calls = calls(&server);
        assert_eq!(calls.len(), 2, "{method}");
        assert!(calls.iter().all(|call| call.body == bytes && call.method.as_str() == method), "{method}");
    }
    for (body, what) in
        [(Body::from_reader(cursor()), "chunks"), (Body::from_sized_reader(cursor(), 70_001), "a length")]
    {
        refuse();
        let error = session.post(&url, "application/octet-stream", body).unwrap_err();
        assert_eq!((error.kind(), calls(&server).len()), (&ErrorKind::BodySent { status: 401 }, 1), "{what}");
        // What the server wants is known now.
        server.clear_received();
        let body = Body::from_reader(cursor());
        assert_eq!(session.post(&url, "application/octet-stream", body).unwrap().status(), 200, "{what}");
        assert_eq!((calls(&server).len(), calls(&server)[0].body == bytes), (1, true), "{what}");
    }
    // Refused before anything of it was sent, it is whole.
    refuse();
    let request = Request::post(&url).header("expect", "100-continue");
    let answer = session.run(request.body(Body::from_reader(cursor())).unwrap()).unwrap();
    let calls = calls(&server);
    assert_eq!((answer.status().as_u16(), calls.len()), (200, 2));
    assert!(calls[0].body.is_empty() && calls[1].body == bytes);
    nothing_twice(&server);
}

#[test]
fn c_40_32_threads_share_a_session_while_each_response_rotates_the_nonce() {
    const THREADS: usize = 32;
    const EACH: usize = 8;
    let server = with(|server| server.nonces(Nonces::EachResponse));
    // The real clock: threads that wait for a token wait by it.
    let session = server.session().discover().unwrap();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (session, server) = (session.clone(), &server);
            scope.spawn(move || {
                for i in 0..EACH {
                    let answer = session.get(&server.resource(&format!("/{number}/{i}"))).unwrap();
                    assert_eq!(answer.status(), 200);
                    text(answer);
                }
            });
        }
    });
    let mut by_call = HashMap::<String, usize>::new();
    for call in calls(&server) {
        *by_call.entry(call.target).or_default() += 1;
    }
    assert_eq!(by_call.len(), THREADS * EACH);
    assert!(by_call.values().all(|requests| *requests <= 2), "one retry of each at the most: {by_call:?}");
    assert_eq!((server.counts().tokens, token_requests(&server).len()), (1, 2));
    nothing_twice(&server);
    assert_eq!(session.stats().failures, 0);
}

#[test]
fn c_41_the_nonce_of_another_error_is_kept_and_nothing_sent_again() {
    for (status, error) in [
        (400, "invalid_scope"),
        (401, "invalid_client"),
        (400, "unauthorized_client"),
        (400, "invalid_target"),
        (400, "invalid_request"),
        (403, "access_denied"),
        (400, "invalid_dpop_proof"),
    ] {
        let server = with(|server| server.nonces(Nonces::Off));
        let session = session(&server);
        let body = format!(r#"{{"error":"{error}"}}"#);
        once(&server, Endpoint::Token, respond(status, &[JSON, ("dpop-nonce", "n")], body));
        assert_eq!(code(&session.access_token().unwrap_err()), Some(error));
        assert_eq!(token_requests(&server).len(), 1, "{error}");
        session.access_token().unwrap();
        assert_eq!(nonces(&token_requests(&server)), some(&[None, Some("n")]), "{error}");
    }
    // The same at a resource.
    for error in ["insufficient_scope", "invalid_request", "invalid_dpop_proof"] {
        let server = with(|server| server.nonces(Nonces::Off));
        let session = session(&server);
        let challenge = format!("DPoP error=\"{error}\"");
        let headers = [("www-authenticate", challenge.as_str()), ("dpop-nonce", "n")];
        once(&server, Endpoint::Resource, respond(401, &headers, ""));
        assert_eq!((get(&session, &server), calls(&server).len()), (401, 1), "{error}");
        assert_eq!(get(&session, &server), 200);
        assert_eq!(nonces(&calls(&server)), some(&[None, Some("n")]), "{error}");
    }
}
