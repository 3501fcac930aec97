//! Token requests and calls over the blocking transport, with servers that respond well and badly.

use std::io::Write;
use std::net::Ipv4Addr;
use std::time::Duration;

use possession::*;

use crate::capture;
use crate::common::{JSON, Peer, Then, http};
use crate::watch::{ACCESS_TOKEN, PASSWORD, QUERY, REFRESH_TOKEN, SECRET, Watch};

const CHALLENGE: (&str, &str) = ("www-authenticate", "DPoP error=\"use_dpop_nonce\"");

const NONCE: (&str, &str) = ("dpop-nonce", "n-1");

fn token_body(token_type: &str) -> String {
    format!(
        r#"{{"access_token":"{ACCESS_TOKEN}","token_type":"{token_type}","refresh_token":"{REFRESH_TOKEN}","expires_in":0}}"#
    )
}

/// Scripts of a token endpoint, good and bad. Some bad responses have a token in a place from which it must
/// not be shown.
fn token_scripts() -> Vec<Vec<String>> {
    let good = || http(200, &[JSON], &token_body("DPoP"));
    let error = r#"{"error":"invalid_client","error_description":"no"}"#;
    let bad = format!(r#"{{"access_token":"{ACCESS_TOKEN} ","token_type":"DPoP"}}"#);
    let numbers =
        format!(r#"{{"access_token":"{ACCESS_TOKEN}","token_type":"DPoP","expires_in":"{ACCESS_TOKEN}"}}"#);
    let twice =
        format!(r#"{{"access_token":"{ACCESS_TOKEN}","access_token":"{ACCESS_TOKEN}","token_type":"DPoP"}}"#);
    vec![
        vec![good()],
        vec![http(400, &[JSON, NONCE], r#"{"error":"use_dpop_nonce"}"#), good()],
        vec![http(401, &[CHALLENGE, NONCE], ""), http(401, &[CHALLENGE, ("dpop-nonce", "n-2")], "")],
        vec![http(401, &[JSON], error)],
        vec![http(500, &[], "<p>")],
        vec![http(302, &[("location", "https://evil.example/")], "")],
        vec![http(200, &[JSON], &token_body("Bearer"))],
        vec![http(200, &[JSON], &token_body("N_A"))],
        vec![http(200, &[("content-type", "text/html")], &token_body("DPoP"))],
        vec![http(200, &[JSON], &token_body("DPoP").replace('}', ""))],
        vec![http(201, &[JSON], &token_body("DPoP"))],
        vec![http(200, &[JSON], &bad)],
        vec![http(200, &[JSON], &numbers)],
        vec![http(200, &[JSON], &twice)],
        vec![http(200, &[JSON], "x").replace("content-length: 1", "content-length: 9999999")],
        vec!["not HTTP\r\n\r\n".to_owned()],
    ]
}

fn resource_scripts() -> Vec<Vec<String>> {
    vec![
        vec![http(401, &[CHALLENGE, NONCE], ""), http(200, &[], "ok")],
        vec![http(400, &[JSON, NONCE], r#"{"error":"use_dpop_nonce"}"#), http(200, &[], "ok")],
        vec![http(401, &[("www-authenticate", "DPoP error=invalid_token")], "")],
        vec![http(307, &[("location", "https://evil.example/")], "")],
        vec!["not HTTP\r\n\r\n".to_owned()],
    ]
}

/// A server that closes each connection after its response, so that nothing waits for bytes that were
/// announced and do not come.
fn closing(script: Vec<String>) -> Peer {
    Peer::start(move |number, _, stream| {
        let response = script.get(number).or(script.last()).unwrap();
        stream.write_all(response.as_bytes()).map(|()| Then::Close)
    })
}

fn transport() -> Transport {
    Transport::builder().timeout(Duration::from_secs(20)).build()
}

fn metadata(peer: &Peer) -> AuthorizationServer {
    let server = AuthorizationServer::builder(&peer.origin).token_endpoint(peer.url("/token"));
    server.dangerous_allow_http_on_loopback().build().unwrap()
}

fn run_token_requests(watch: &mut Watch) {
    for auth in crate::values::methods(watch) {
        let key = watch.new_key(Algorithm::Es256);
        watch.show(&auth);
        let prover = Prover::new(key).unwrap();
        watch.show(&prover);
        for script in token_scripts() {
            let (peer, http) = (closing(script), transport());
            let (server, client) = (metadata(&peer), Client::new("app").unwrap());
            let options = RequestOptions::new().prover(&prover).http(&http);
            watch.show((&options, &server, &client));
            let response =
                client_credentials_grant_request(&server, &client, &auth, Parameters::new(), &options);
            if let Some(response) = watch.show_result(response) {
                watch.show_result(process_client_credentials_response(&server, &client, response));
            }
            watch.sent_to(&peer);
        }
    }
}

fn run_calls(watch: &mut Watch) {
    for script in resource_scripts() {
        let tokens = closing(vec![http(200, &[JSON], &token_body("DPoP"))]);
        let resource = closing(script);
        let key = watch.new_key(Algorithm::Ed25519);
        let builder = Session::builder("", "app").auth(ClientAuth::client_secret_basic(SECRET)).key(key);
        let builder = builder.transport(transport());
        watch.show(&builder);
        let session = builder.server(metadata(&tokens)).unwrap();
        watch.show((&session, session.prover(), session.server()));
        for _ in 0..2 {
            watch.show_result(session.get(&resource.url("/")));
            watch.show_result(session.post(&resource.url("/"), "text/plain", "x"));
        }
        watch.show_result(session.access_token());
        watch.show(&session);
        watch.sent_to(&tokens);
        watch.sent_to(&resource);
    }
}

// ---------------------------------------------------------------------------------------------------- tests

#[test]
fn c_71_no_token_request_shows_a_secret() {
    let mut watch = Watch::new();
    run_token_requests(&mut watch);
    watch.check(&[]);
    // There was something to see.
    let (secrets, shown) = watch.counts();
    assert!(secrets > 200 && shown > 500, "{secrets} {shown}");
    for target in ["possession", "ureq"] {
        let records = capture::records_of_this_thread();
        assert!(records.iter().any(|record| record.target.starts_with(target)), "{target}");
    }
}

#[test]
fn c_71_no_call_shows_a_secret() {
    let mut watch = Watch::new();
    run_calls(&mut watch);
    watch.check(&[]);
    let (secrets, shown) = watch.counts();
    assert!(secrets > 50 && shown > 50, "{secrets} {shown}");
}

#[test]
fn c_71_nothing_is_sent_while_a_logger_takes_every_byte() {
    capture::take_dumps(true);
    let mut watch = Watch::new();
    run_token_requests(&mut watch);
    run_calls(&mut watch);
    watch.check(&[]);
    assert!(!watch.is_in(&capture::dumped()), "{} {}", capture::REPORT, capture::dumped());

    let agent = Transport::from_agent(ureq::Agent::new_with_defaults());
    let send = |transport: &Transport| {
        let peer = closing(vec![http(200, &[JSON], &token_body("DPoP"))]);
        let prover = Prover::new(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
        let (server, client) = (metadata(&peer), Client::new("app").unwrap());
        let (auth, options) =
            (ClientAuth::client_secret_basic(SECRET), RequestOptions::new().prover(&prover).http(transport));
        let result =
            client_credentials_grant_request(&server, &client, &auth, Parameters::new(), &options).map(drop);
        (result, peer.connections())
    };
    for transport in [transport(), agent.clone()] {
        let (result, connections) = send(&transport);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), connections), (&ErrorKind::Configuration, 0));
        assert!(error.to_string().contains("ureq_proto"), "{error}");
    }
    // A caller who asks for it by name gets it, and this is what the log then contains.
    let (result, connections) = send(&agent.dangerous_allow_trace_log());
    assert_eq!((result, connections), (Ok(()), 1));
    assert!(watch.is_in(&capture::dumped()));
    capture::take_dumps(false);
}

/// A URL can have secrets in its user information and its query.
#[test]
fn c_71_no_error_shows_the_secret_parts_of_a_url() {
    let mut watch = Watch::new();
    let tokens = closing(vec![http(200, &[JSON], &token_body("DPoP"))]);
    let broken = closing(vec![String::new()]);
    let session = Session::builder("", "app").transport(transport()).server(metadata(&tokens)).unwrap();
    let host = broken.origin.replace("http://", "");
    for url in [
        broken.url(&format!("/?{QUERY}")),
        format!("https://user:{PASSWORD}@{host}/?{QUERY}"),
        format!("https://{PASSWORD}@{host}/../?{QUERY}"),
        format!("http://api.example/?{QUERY}"),
        broken.url(&format!("/#{QUERY}\n")),
    ] {
        watch.show_error(&session.get(&url).unwrap_err());
        for content_type in ["text/plain", "text/\nplain"] {
            watch.show_error(&session.post(&url, content_type, "").unwrap_err());
        }
        watch.show_result(Proof::new(&http::Method::GET, &url));
        watch.show_error(&Discovery::new(&url).unwrap_err());
        let server = AuthorizationServer::builder("https://as.example").token_endpoint(&url);
        watch.show_result(server.build());
    }
    watch.check(&[]);
}

/// The password is in the transport, and in the request to the proxy.
#[test]
fn c_71_the_password_of_a_proxy_is_not_shown() {
    let mut watch = Watch::new();
    let proxy = closing(vec![http(407, &[], "")]);
    let address = proxy.origin.replace("http://", "");
    let uri = format!("http://user:{PASSWORD}@{address}");
    let builder = Transport::builder().proxy(Some(ureq::Proxy::new(&uri).unwrap()));
    watch.show(&builder);
    let transport = builder.timeout(Duration::from_secs(20)).build();
    watch.show(&transport);
    let target = format!("http://{}:9", Ipv4Addr::LOCALHOST);
    let discovery = Discovery::dangerous_allow_http_on_loopback(&target).unwrap();
    watch.show_error(&discovery.run(&transport).unwrap_err());
    let seen = proxy.seen();
    assert!(!seen.is_empty(), "the proxy received no request");
    for seen in &seen {
        let fields = seen.header_values("proxy-authorization");
        fields.iter().for_each(|field| watch.secret(field.split_once(' ').unwrap().1));
    }
    watch.check(&[]);
}
