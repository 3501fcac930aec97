//! Proxies, certificates and mutual TLS (rows C-08, C-09 and C-10).

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use possession::testing::{ManualClock, Received, TestServer};
use possession::*;

use crate::certificates::{Certificate, certificate, https, loopback_certificate, strict, trusting};
use crate::common::server::{SECOND, get, start, token_requests, with};
use crate::common::{Peer, Trap};
use crate::support::{LONG, SHORT, TOKEN_BODY, claim, nothing_twice};

const CHILD: &str = "POSSESSION_TEST_C_08";

/// The environment belongs to the whole process, so the test starts itself again in another process. A
/// transport that is told to use the environment shows that the proxy would be reached.
#[test]
fn c_08_a_proxy_of_the_environment_is_not_used() {
    match std::env::var(CHILD).as_deref() {
        Ok("default") => {
            let server = start();
            let session = server.session().resource_origins([server.resource_origin()]).discover().unwrap();
            assert_eq!(get(&session, &server), 200);
            assert_eq!(session.agent().unwrap().get(server.resource("/")).call().unwrap().status(), 200);
            // Over https as well, where nobody listens.
            let server =
                AuthorizationServer::builder("https://127.0.0.1:9").token_endpoint("https://127.0.0.1:9/t");
            let transport = Transport::builder().timeout(SHORT).build();
            let session = Session::builder("", "app").transport(transport).clock(ManualClock::new());
            session.server(server.build().unwrap()).unwrap().access_token().unwrap_err();
        }
        Ok("environment") => {
            let server = start();
            let proxy = ureq::Proxy::try_from_env();
            assert!(proxy.is_some());
            let transport = Transport::builder().timeout(SHORT).proxy(proxy).build();
            server.session().transport(transport).discover().unwrap_err();
        }
        _ => {
            for (mode, untouched) in [("default", true), ("environment", false)] {
                let trap = Trap::set();
                let mut child = Command::new(std::env::current_exe().unwrap());
                child.args(["--exact", "tls::c_08_a_proxy_of_the_environment_is_not_used"]).env(CHILD, mode);
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

#[test]
fn c_08_a_proxy_that_refuses_to_connect_has_seen_no_secret() {
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

/// A port of a server that speaks plain http.
#[test]
fn a_server_without_tls_is_named_as_such() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let origin = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
        let _ = client.read_to_end(&mut Vec::new());
    });
    let error = Discovery::new(&origin).unwrap().run(&Transport::new()).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Transport);
    assert!(error.to_string().contains("what the server sent is not TLS"), "{error}");
    assert!(!error.is_transient());
}

/// A proxy that connects: of each connection, the request head it received and the bytes that went through
/// it to the server.
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
fn c_08_a_configured_proxy_learns_where_to_connect_and_nothing_else() {
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
            // The header fields that ureq itself sends to a proxy.
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
fn c_09_a_server_with_an_invalid_certificate_receives_nothing() {
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
            assert!(!error.is_transient(), "{what}: a retry cannot help");
        };
        refused(strict(&server, both()).discover().unwrap_err());
        // As a token endpoint, and as a resource that would receive the token of a trusted server.
        let metadata = AuthorizationServer::builder(server.issuer());
        let metadata = metadata.token_endpoint(format!("{}/token", server.issuer())).build().unwrap();
        let session = strict(&server, both()).server(metadata).unwrap();
        refused(session.access_token().unwrap_err());
        assert_eq!(session.stats().token_requests, 1, "{what}: no retry");
        let session = strict(&fine, both()).discover().unwrap();
        assert_eq!(get(&session, &fine), 200, "{what}");
        refused(session.get(&server.resource("/")).unwrap_err());
        assert!(server.received().is_empty(), "{what}");
        // None of them is issued by a public CA.
        refused(strict(&server, Transport::builder().timeout(LONG)).discover().unwrap_err());
    }
    // The valid certificate is refused as well where its CA is not trusted.
    fine.clear_received();
    assert!(strict(&fine, Transport::builder().timeout(LONG)).discover().is_err());
    assert!(fine.received().is_empty());
}

#[test]
fn c_10_mutual_tls_uses_the_alias_and_the_audience_stays_the_issuer() {
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
        assert_eq!(requests.len(), 2, "with the nonce challenge");
        for request in requests {
            assert_eq!(request.origin, server.resource_origin());
            assert_eq!(claim(request, "htu").unwrap(), server.resource("/token"));
            assert_eq!(request.form_field("client_id").as_deref(), Some(server.client_id()));
        }
    };
    for auth in [ClientAuth::tls_client_auth(), ClientAuth::self_signed_tls_client_auth()] {
        let server = server(None);
        // Without a client certificate, no request is sent that needs one.
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
    let auth = ClientAuth::private_key_jwt(key);
    for prover in [Some(&prover), None] {
        server.clear_received();
        let options = prover.into_iter().fold(RequestOptions::new().http(&transport), RequestOptions::prover);
        let response =
            client_credentials_grant_request(&metadata, &client, &auth, Parameters::new(), &options).unwrap();
        let processed = process_client_credentials_response(&metadata, &client, response);
        assert!(processed.is_ok() || prover.is_none());
        assert!(!token_requests(&server).is_empty());
        for request in token_requests(&server) {
            // RFC 7523bis §4: the issuer, as a string, at whichever endpoint the assertion is sent.
            assert_eq!(request.assertion().unwrap().claims["aud"], server.issuer());
            assert_eq!(request.origin, server.resource_origin());
            if prover.is_some() {
                assert_eq!(claim(&request, "htu").unwrap(), server.resource("/token"));
            }
            // RFC 8705 §2 demands it where the certificate authenticates; an assertion names the client by
            // itself.
            assert!(request.form_field("client_id").is_none_or(|id| id == server.client_id()));
        }
    }
    nothing_twice(&server);
}

/// The test server does not ask for client certificates. This server demands one and serves nobody without
/// it.
#[test]
fn c_10_the_client_presents_its_certificate() {
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
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", TOKEN_BODY.len());
        stream.write_all(format!("{head}{TOKEN_BODY}").as_bytes()).unwrap();
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

/// the PEM of certificates and of their keys may be as that of other keys. rustls reads it.
#[test]
fn q_32_certificates_and_their_keys_are_read_whatever_their_line_lengths_and_comments() {
    let own = loopback_certificate();
    let forms: [fn(&str) -> String; 7] = [
        |pem| pem.replace('\n', "\r\n"),
        |pem| pem.replace('\n', " \n"),
        |pem| format!("\u{feff}{pem}"),
        |pem| format!("# a comment\n{pem}# another"),
        |pem| pem.trim_end().to_owned(),
        |pem| format!("\n  \n{pem}"),
        |pem| {
            let (head, rest) = pem.split_once('\n').unwrap();
            let (body, end) = rest.split_once("\n-----END").unwrap();
            format!("{head}\n{}\n-----END{end}", body.replace(['\n', '\r'], ""))
        },
    ];
    for (i, form) in forms.into_iter().enumerate() {
        let roots = Transport::builder().root_certificates_pem(form(&own.ca).as_bytes());
        assert!(roots.is_ok(), "{i}: {}", roots.unwrap_err());
        let identity = Transport::builder()
            .client_certificate_pem(form(&own.chain).as_bytes(), form(&own.key).as_bytes());
        assert!(identity.is_ok(), "{i}: {}", identity.unwrap_err());
        // The key and its certificate in one file. The last form is one of a single block.
        let both = form(&format!("{}{}", own.chain, own.key));
        let identity = Transport::builder().client_certificate_pem(both.as_bytes(), both.as_bytes());
        assert!(i == 6 || identity.is_ok(), "{i}: {}", identity.unwrap_err());
    }
}
