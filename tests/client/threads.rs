//! Threads that share one prover while servers rotate their nonces (row C-40).

use std::collections::VecDeque;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use oxhttp::model::{Body, Response};
use possession::*;

use crate::common::{JSON, Jwt, TOKEN, token_json};
use crate::peer::{all_distinct, metadata, transport};
use crate::support::LONG;

/// A server of another crate, on a port of its own.
pub fn serve(
    handler: impl Fn(&mut oxhttp::model::Request<Body>) -> Response<Body> + Send + Sync + Clone + 'static,
) -> String {
    loop {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        // Another test may have taken the port meanwhile: then the next one is tried.
        let server = oxhttp::Server::new(handler.clone()).with_global_timeout(LONG);
        if server.bind(address).spawn().is_ok() {
            return format!("http://{address}");
        }
    }
}

pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<String>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Body::from(body.into())).unwrap()
}

/// Nonces that change with every response; the server accepts the last 300 it issued.
#[derive(Clone, Default)]
struct Rotating(Arc<Mutex<Given>>);

#[derive(Default)]
struct Given {
    nonces: VecDeque<String>,
    count: usize,
    jtis: Vec<String>,
}

impl Rotating {
    /// The nonce for the response, and whether the proof had a nonce that is accepted.
    fn turn(&self, request: &oxhttp::model::Request<Body>) -> (String, bool) {
        let proof = Jwt::decode(request.headers()["dpop"].to_str().unwrap());
        let mut given = self.0.lock().unwrap();
        given.jtis.push(proof.jti());
        let accepted = proof.nonce().is_some_and(|nonce| given.nonces.iter().any(|known| known == nonce));
        given.count += 1;
        let nonce = format!("n-{}", given.count);
        given.nonces.push_back(nonce.clone());
        if given.nonces.len() > 300 {
            given.nonces.pop_front();
        }
        (nonce, accepted)
    }

    fn jtis(&self) -> Vec<String> {
        self.0.lock().unwrap().jtis.clone()
    }
}

#[test]
fn c_40_32_threads_share_a_session_and_its_prover_while_every_response_rotates_the_nonce() {
    const THREADS: usize = 32;
    const CALLS: usize = 4;
    let (at_token, at_resource) = (Rotating::default(), Rotating::default());
    let nonces = at_token.clone();
    let tokens = serve(move |request| {
        let (nonce, accepted) = nonces.turn(request);
        let nonce = ("dpop-nonce", &*nonce);
        match accepted {
            true => reply(200, &[JSON, nonce], token_json(TOKEN, r#","expires_in":3600"#)),
            false => reply(400, &[JSON, nonce], r#"{"error":"use_dpop_nonce"}"#),
        }
    });
    let nonces = at_resource.clone();
    let resource = serve(move |request| {
        let (nonce, accepted) = nonces.turn(request);
        let challenge = ("www-authenticate", r#"DPoP error="use_dpop_nonce""#);
        match accepted {
            true => reply(200, &[("dpop-nonce", &nonce)], "ok"),
            false => reply(401, &[challenge, ("dpop-nonce", &nonce)], ""),
        }
    });
    let server = metadata(&tokens, &format!("{tokens}/token"));
    let prover = Prover::new(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap();
    let transport = transport().build();
    let builder = Session::builder("", "app").auth(ClientAuth::client_secret_post("secret")).prover(&prover);
    let session = builder.transport(transport.clone()).server(server.clone()).unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // Each thread uses the session, and the prover for token requests of its own.
                let (client, auth) = (Client::new("other").unwrap(), ClientAuth::none());
                let options = RequestOptions::new().prover(&prover).http(&transport);
                for _ in 0..CALLS {
                    let mut response = session.clone().get(&resource).unwrap();
                    assert_eq!(response.status(), 200);
                    assert_eq!(response.body_mut().read_to_string().unwrap(), "ok");
                }
                let response =
                    client_credentials_grant_request(&server, &client, &auth, Parameters::new(), &options)
                        .unwrap();
                assert!(response.requests() <= 2);
                assert!(process_client_credentials_response(&server, &client, response).is_ok());
            });
        }
    });
    let (grants, calls) = (at_token.jtis(), at_resource.jtis());
    // At most one retry each: of the session's own token request, those of the threads, and the calls.
    assert!((THREADS + 1..=2 * (THREADS + 1)).contains(&grants.len()), "{}", grants.len());
    assert!((THREADS * CALLS..=2 * THREADS * CALLS).contains(&calls.len()), "{}", calls.len());
    assert!(all_distinct(&[grants, calls].concat()));
}
