//! Protects an API on axum with DPoP-bound access tokens: the protection is a middleware layer of a few
//! lines. Without arguments it starts an authorization server as well and tells how to try both; with
//! arguments it accepts the tokens of any (`--help`).

#[path = "demo/authorization_server.rs"]
mod authorization_server;
mod common;
#[path = "demo/resource_server_options.rs"]
mod options;

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use authorization_server::connections::{Limits, serve};
use authorization_server::{CLIENT_ID, Setup};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use common::Stop;
use options::{Arguments, HELP, command_lines, token_validator};
use possession::server::{
    Authenticated, MemoryReplayStore, Rejection, ResourceServer, StatelessNonces, Verifier,
};
use serde_json::json;

type Api = Arc<ResourceServer>;

// ------------------------------------------------------------------------------------------------ protection

/// Lets callers through who prove who they are: handlers find them among the extensions of the request.
///
/// It goes around routes of the whole path: in a nested router axum shortens the path, and proofs name all of
/// it.
async fn protect(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Refused> {
    let (mut parts, body) = request.into_parts();
    let caller = match api.try_authenticate(&parts, SystemTime::now()) {
        Some(outcome) => outcome?,
        // Keys must be fetched or the token asked about, which blocks a thread.
        None => {
            let authenticated = tokio::task::spawn_blocking(move || {
                let outcome = api.authenticate(&parts, SystemTime::now());
                (parts, outcome)
            });
            let (returned, outcome) = authenticated.await.map_err(|_| Refused::Failed)?;
            parts = returned;
            outcome?
        }
    };
    parts.extensions.insert(caller.clone());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    caller.add_headers(response.headers_mut());
    Ok(response)
}

enum Refused {
    Rejected(Rejection),
    Failed,
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl IntoResponse for Refused {
    /// The reason is for the log, the codes of the RFCs for the peer.
    fn into_response(self) -> Response {
        match self {
            Self::Rejected(rejection) => {
                eprintln!("refused: {}", rejection.reason());
                rejection.to_response().map(Body::from)
            }
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

// ------------------------------------------------------------------------------------------------------- API

fn router(api: Api) -> Router {
    Router::new()
        .route("/orders", get(list_orders).post(place_order))
        .route_layer(from_fn_with_state(Arc::clone(&api), protect))
        .route("/health", get(|| async { "ok\n" }))
        .with_state(api)
}

async fn list_orders(
    State(api): State<Api>,
    Extension(caller): Extension<Authenticated>,
) -> Result<Response, Refused> {
    api.require_scope(&caller, "orders:read")?;
    Ok(answer(StatusCode::OK, &caller, "42 bolts"))
}

async fn place_order(
    State(api): State<Api>,
    Extension(caller): Extension<Authenticated>,
    order: Bytes,
) -> Result<Response, Refused> {
    api.require_scope(&caller, "orders:write")?;
    Ok(answer(StatusCode::CREATED, &caller, &format!("{} bytes", order.len())))
}

fn answer(status: StatusCode, caller: &Authenticated, orders: &str) -> Response {
    let jkt = caller.thumbprint().map(|jkt| jkt.to_string());
    let body = json!({ "orders": [orders], "client_id": caller.token().claim("client_id"), "for_key": jkt });
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

// --------------------------------------------------------------------------------------------------- program

fn main() -> ExitCode {
    common::run(HELP, |options| run(&Arguments::read(options)?))
}

fn run(arguments: &Arguments) -> Result<(), Stop> {
    let port = arguments.port;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|error| format!("listening on 127.0.0.1:{port}: {error}"))?;
    let origin = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
    let audience = arguments.audience.as_deref().unwrap_or(&origin);

    let demo = match arguments.issuer {
        Some(_) => None,
        None => Some(authorization_server::start(Setup {
            port: 0,
            opaque: arguments.introspect,
            resources: vec![audience.to_owned()],
            verbose: true,
            limits: Limits::default(),
        })?),
    };
    let tokens = token_validator(arguments, demo.as_ref(), audience)?;
    let verifier =
        Verifier::new(MemoryReplayStore::new(100_000)).require_nonces(StatelessNonces::generate()?);
    let api = Arc::new(ResourceServer::new(&origin, verifier, tokens)?);

    let issuer = demo.as_ref().map(|demo| &demo.issuer).or(arguments.issuer.as_ref());
    let mut ready = json!({ "url": origin, "issuer": issuer });
    if let (Some(demo), Some(ready)) = (&demo, ready.as_object_mut()) {
        ready.insert("client_id".to_owned(), CLIENT_ID.into());
        ready.insert("client_secret".to_owned(), demo.client_secret.as_str().into());
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "READY {ready}")?;
    write!(stdout, "{}", command_lines(&origin, audience, demo.as_ref()))?;

    serve(listener, router(api), Limits::default())?;
    Ok(())
}
