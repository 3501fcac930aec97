//! An authorization server and a protected resource on loopback, for demonstration. Both demand nonces of
//! their own.

#[path = "authorization_server.rs"]
mod authorization_server;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::SystemTime;

use authorization_server::Setup;
use authorization_server::connections::{Limits, serve};
use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Request, Response, StatusCode, header};
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
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let origin = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
    let resource = format!("{origin}/orders");
    let limits = Limits::default();
    let resources = vec![resource.clone()];
    let running =
        authorization_server::start(Setup { port: 0, opaque: false, resources, verbose: false, limits })?;

    let http = Transport::new();
    let server = Discovery::dangerous_allow_http_on_loopback(&running.issuer)?.run(&http)?;
    let tokens = JwtValidator::new(&server, resource.as_str(), http)?;
    let verifier =
        Verifier::new(MemoryReplayStore::new(100_000)).require_nonces(StatelessNonces::generate()?);
    let api = Arc::new(ResourceServer::new(&origin, verifier, tokens)?);
    let app = Router::new().fallback(move |request: Request<Body>| {
        let api = Arc::clone(&api);
        // Keys may have to be fetched, which blocks a thread.
        let answer = tokio::task::spawn_blocking(move || orders(&api, &request.into_parts().0));
        async { answer.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR) }
    });
    std::thread::Builder::new().spawn(move || serve(listener, app, limits))?;
    Ok(Demo { issuer: running.issuer, resource, client_secret: running.client_secret })
}

fn orders(api: &ResourceServer, request: &Parts) -> Response<Body> {
    let caller = api
        .authenticate(request, SystemTime::now())
        .and_then(|caller| api.require_scope(&caller, "orders:read").map(|()| caller));
    let caller = match caller {
        Ok(caller) => caller,
        Err(rejection) => return rejection.to_response().map(Body::from),
    };
    let mut response = Response::new(Body::empty());
    match (request.uri.path(), &request.method) {
        ("/orders", &Method::GET) => {
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
