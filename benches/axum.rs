//! Compares the throughput of a protected axum route with that of an unprotected route that verifies one
//! signature per request: `cargo bench --bench axum`. It needs two idle processors: the server has one
//! thread, and its clients have another.

// A panic is the right end of a benchmark that cannot run.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64ct::{Base64UrlUnpadded, Encoding};
use common::bare::{Verify, es256};
use common::requests::{Issuer, proof, resource_server};
use common::{at_least, median};
use possession::server::ResourceServer;
use possession::{Algorithm, KeyPair};

const ROUNDS: usize = 21;
/// The number of requests in a round, and of connections that they are spread over.
const REQUESTS: usize = 4096;
const CONNECTIONS: usize = 16;

fn main() {
    let (key, issuer) = (KeyPair::generate(Algorithm::Es256).expect("a key"), Issuer::new());
    let token = issuer.token(&key.to_public().thumbprint());
    let (api, nonce) = resource_server(issuer.validator());
    let address = serve(router(api, es256(&key).1));
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| connect(address)).collect();
    let mut rate = |path: &str| {
        // Each request has a new proof. They are made beforehand.
        let requests: Vec<_> =
            (0..REQUESTS).map(|_| request(path, &token, &proof(&key, &token, &nonce))).collect();
        let start = Instant::now();
        for batch in requests.chunks(CONNECTIONS) {
            for (connection, request) in connections.iter_mut().zip(batch) {
                connection.write_all(request).expect("a connection");
            }
            connections.iter_mut().for_each(expect_ok);
        }
        REQUESTS as f64 / start.elapsed().as_secs_f64()
    };
    let mut rates: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (rates, path) in rates.iter_mut().zip(["/v1/orders/8f14e45f?page=2", "/verifies", "/open"]) {
            rates.push(rate(path));
        }
    }
    let [protected, verifies, open] = &rates;
    for (what, rates) in [("protected", protected), ("plus one verification", verifies), ("open", open)] {
        println!("{:.0} requests per second: {what}", median(rates.clone()));
    }
    let ratio = median(protected.iter().zip(verifies).map(|(a, b)| a / b).collect());
    at_least("axum: requests/s of a protected route / unprotected plus one verification", ratio, 0.9);
}

/// The routes: a protected one as in `examples/resource_server.rs`, one that verifies the signature of the
/// proof and nothing else, and one that does nothing.
fn router(api: ResourceServer, verify: Verify) -> Router {
    let (api, verify) = (Arc::new(api), Arc::new(verify));
    let verifies = move |headers: HeaderMap| {
        let verify = Arc::clone(&verify);
        async move {
            let proof = headers["dpop"].to_str().expect("ASCII");
            let (message, signature) = proof.rsplit_once('.').expect("a JWS");
            let mut bytes = [0; 64];
            verify(message.as_bytes(), Base64UrlUnpadded::decode(signature, &mut bytes).expect("base64url"));
            "ok"
        }
    };
    Router::new()
        .route("/v1/orders/8f14e45f", get(|| async { "ok" }))
        .route_layer(from_fn_with_state(api, protect))
        .route("/verifies", get(verifies))
        .route("/open", get(|| async { "ok" }))
}

async fn protect(
    State(api): State<Arc<ResourceServer>>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let (mut parts, body) = request.into_parts();
    let caller = match api.try_authenticate(&parts, SystemTime::now()) {
        Some(outcome) => outcome,
        None => {
            let authenticated = tokio::task::spawn_blocking(move || {
                let outcome = api.authenticate(&parts, SystemTime::now());
                (parts, outcome)
            });
            let (returned, outcome) = authenticated.await.expect("a thread without a panic");
            parts = returned;
            outcome
        }
    };
    match caller {
        Ok(caller) => {
            parts.extensions.insert(caller.clone());
            let mut response = next.run(Request::from_parts(parts, body)).await;
            caller.add_headers(response.headers_mut());
            Ok(response)
        }
        Err(rejection) => Ok(rejection.to_response().map(axum::body::Body::from).into_response()),
    }
}

/// Serves the routes in a thread of its own.
fn serve(router: Router) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    listener.set_nonblocking(true).expect("an option");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, router).await.expect("a server");
        });
    });
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect(address).expect("a connection");
    connection.set_nodelay(true).expect("an option");
    connection
}

fn request(path: &str, token: &str, proof: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nhost: api.example.com\r\nauthorization: DPoP {token}\r\ndpop: {proof}\r\n\r\n"
    )
    .into_bytes()
}

/// Reads one response, which must be `ok`.
fn expect_ok(connection: &mut TcpStream) {
    let (mut response, mut buffer) = (Vec::new(), [0; 1024]);
    while !response.ends_with(b"\r\n\r\nok") {
        let bytes = connection.read(&mut buffer).expect("a response");
        response.extend_from_slice(&buffer[..bytes]);
        assert!(bytes > 0 && response.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&response));
    }
}
