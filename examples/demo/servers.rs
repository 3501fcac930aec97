//! An authorization server and a protected resource on loopback, for demonstration. Both demand nonces of their own.

#[path = "authorization_server.rs"]
mod authorization_server;

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, SystemTime};

use authorization_server::Setup;
use oxhttp::model::{Body, Method, Request, Response, StatusCode, header};
use possession::server::{JwtValidator, MemoryReplayStore, ResourceServer, StatelessNonces, Verifier};
use possession::{Discovery, Transport};

pub use authorization_server::CLIENT_ID;

/// Where the servers are, and what their one client needs.
pub struct Demo {
    pub issuer: String,
    pub resource: String,
    pub client_secret: String,
}

/// Starts both; they stop with the program.
pub fn start() -> Result<Demo, Box<dyn std::error::Error + Send + Sync>> {
    // Held until the other server has its port: the server crate binds by itself, and cannot say what port 0 became.
    let place = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = place.local_addr()?.port();
    let origin = format!("http://127.0.0.1:{port}");
    let resource = format!("{origin}/orders");
    let setup = Setup { port: 0, opaque: false, resources: vec![resource.clone()], verbose: false };
    let running = authorization_server::start(setup)?;
    drop(place);

    let http = Transport::new();
    let server = Discovery::dangerous_allow_http_on_loopback(&running.issuer)?.run(&http)?;
    let tokens = JwtValidator::new(&server, resource.as_str(), http)?;
    let verifier =
        Verifier::new(MemoryReplayStore::new(100_000)).require_nonces(StatelessNonces::generate()?);
    let api = ResourceServer::new(&origin, verifier, tokens)?;
    oxhttp::Server::new(move |request| orders(&api, request))
        .with_global_timeout(Duration::from_secs(30))
        .bind((Ipv4Addr::LOCALHOST, port))
        .spawn()?;
    Ok(Demo { issuer: running.issuer, resource, client_secret: running.client_secret })
}

fn orders(api: &ResourceServer, request: &mut Request<Body>) -> Response<Body> {
    // The server reads `Connection` and the rest of the body from the request afterwards, so it keeps both.
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = request.method().clone();
    parts.uri = request.uri().clone();
    parts.headers = request.headers().clone();
    let caller = api
        .authenticate(&parts, SystemTime::now())
        .and_then(|caller| api.require_scope(&caller, "orders:read").map(|()| caller));
    let caller = match caller {
        Ok(caller) => caller,
        Err(rejection) => return rejection.to_response().map(Body::from),
    };
    let mut response = Response::new(Body::empty());
    match (parts.uri.path(), parts.method) {
        ("/orders", Method::GET) => {
            let jkt = caller.thumbprint().map(|jkt| jkt.to_string());
            let body = serde_json::json!({ "orders": ["42 bolts"], "for_key": jkt });
            *response.body_mut() = Body::from(body.to_string());
            let json = header::HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        ("/orders", _) => *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED,
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    caller.add_headers(response.headers_mut());
    response
}
