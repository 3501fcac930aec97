//! Protects an API on axum with DPoP-bound access tokens: the protection is a middleware layer of a few
//! lines. Without arguments it starts an authorization server as well and tells how to try both; with
//! arguments it accepts the tokens of any (`--help`).

#[path = "demo/authorization_server.rs"]
mod authorization_server;
mod common;

use std::ffi::OsString;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use authorization_server::connections::{Limits, serve};
use authorization_server::{CLIENT_ID, Running, Setup};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use common::{Stop, read, secret, usage};
use possession::server::{
    Authenticated, Introspector, JwtValidator, MemoryReplayStore, Rejection, ResourceServer, StatelessNonces,
    TokenValidator, Verifier,
};
use possession::{Client, ClientAuth, Discovery, Transport};
use serde_json::json;

const HELP: &str = "\
An API on 127.0.0.1 that accepts only DPoP-bound access tokens: GET /orders (scope orders:read), POST /orders
(scope orders:write), and GET /health, which needs no token. Proofs must have a nonce.

Usage: resource_server [--port N] [--introspect]                 also starts an authorization server
       resource_server --issuer URL [OPTIONS]                    accepts tokens of an existing authorization server

  --port N            the port: 8200 unless given, 0 for any free port
  --audience URI      the required audience of the tokens; the server's own origin unless given
  --introspect        ask the authorization server about each token (RFC 7662); without this, tokens are JWTs (RFC 9068)

With --issuer:
  --issuer URL        the issuer identifier of an authorization server; its metadata is discovered
  --dangerous-http    allow plain http to it on loopback
  --ca FILE           trust the CA certificates in this PEM file instead of the built-in ones
  --client-id ID      the client identifier for introspection, with client_secret_basic
  --secret-env NAME   the environment variable that holds the client secret
  --typ NAME          also accept JWTs with this `typ`, besides at+jwt: other JWTs of the issuer may then be accepted as
                      access tokens

When the server listens, it prints one line `READY {json}` (url, issuer, client_id and client_secret if known) and command
lines to try. The reasons for refused requests are written to standard error. It runs until it is stopped.
Exit status: 1 it could not start or continue, 2 bad usage.
";

type Api = Arc<ResourceServer>;

// ------------------------------------------------------------------------------------------------------- protection

/// Lets callers through who prove who they are: handlers find them among the extensions of the request.
///
/// It goes around routes of the whole path: in a nested router axum shortens the path, and proofs name all of it.
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

// -------------------------------------------------------------------------------------------------------------- API

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

// ---------------------------------------------------------------------------------------------------------- program

#[derive(Default)]
struct Arguments {
    port: u16,
    issuer: Option<String>,
    dangerous_http: bool,
    ca: Option<OsString>,
    audience: Option<String>,
    introspect: bool,
    client_id: Option<String>,
    secret_env: Option<String>,
    typ: Option<String>,
}

fn main() -> ExitCode {
    common::run(HELP, |options| run(&Arguments::read(options)?))
}

impl Arguments {
    fn read(mut options: common::Arguments) -> Result<Self, Stop> {
        let mut arguments = Self { port: 8200, ..Self::default() };
        while let Some(name) = options.next()? {
            match name.as_str() {
                "port" => arguments.port = options.parse()?,
                "issuer" => options.set(&mut arguments.issuer)?,
                "dangerous-http" => arguments.dangerous_http = true,
                "ca" => options.set_path(&mut arguments.ca)?,
                "audience" => options.set(&mut arguments.audience)?,
                "introspect" => arguments.introspect = true,
                "client-id" => options.set(&mut arguments.client_id)?,
                "secret-env" => options.set(&mut arguments.secret_env)?,
                "typ" => options.set(&mut arguments.typ)?,
                _ => return Err(options.unknown()),
            }
        }
        Ok(arguments)
    }
}

fn run(arguments: &Arguments) -> Result<(), Stop> {
    check_usage(arguments)?;
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

/// JWTs are checked here, with the keys of their issuer; of others, it is asked.
fn token_validator(
    arguments: &Arguments,
    demo: Option<&Running>,
    audience: &str,
) -> Result<Arc<dyn TokenValidator>, Stop> {
    let mut transport = Transport::builder().timeout(Duration::from_secs(10));
    if let Some(ca) = &arguments.ca {
        transport = transport.root_certificates_pem(&read(ca)?)?;
    }
    let http = transport.build();
    let discovery = match (demo, arguments.issuer.as_deref()) {
        (Some(demo), _) => Discovery::dangerous_allow_http_on_loopback(&demo.issuer)?,
        (None, issuer) if arguments.dangerous_http => {
            Discovery::dangerous_allow_http_on_loopback(issuer.unwrap_or_default())?
        }
        (None, issuer) => Discovery::new(issuer.unwrap_or_default())?,
    };
    let server = discovery.run(&http)?;
    if arguments.introspect {
        let (client_id, client_secret) = match (demo, &arguments.client_id, &arguments.secret_env) {
            (Some(demo), ..) => (CLIENT_ID, demo.client_secret.clone()),
            (None, Some(client_id), Some(name)) => (client_id.as_str(), secret(name)?),
            _ => return Err(usage("--introspect needs --client-id and --secret-env")),
        };
        let auth = ClientAuth::client_secret_basic(client_secret);
        let introspector = Introspector::new(&server, &Client::new(client_id)?, &auth, audience, http)?;
        return Ok(Arc::new(introspector));
    }
    let tokens = JwtValidator::new(&server, audience, http)?;
    Ok(match &arguments.typ {
        Some(typ) => Arc::new(tokens.dangerous_accept_typ(typ)),
        None => Arc::new(tokens),
    })
}

fn command_lines(origin: &str, audience: &str, demo: Option<&Running>) -> String {
    let mut text = format!(
        "
Open to all:
  curl -i {origin}/health

Refused, with a challenge:
  curl -i {origin}/orders
"
    );
    if let Some(Running { issuer, client_secret }) = demo {
        let client_credentials = format!(
            "CLIENT_SECRET={client_secret} cargo run --quiet --example client_credentials -- \\
    --issuer {issuer} --dangerous-http --client-id {CLIENT_ID} \\
    --auth client_secret_basic --secret-env CLIENT_SECRET --resource {audience} \\
    --call {origin}/orders"
        );
        text += &format!(
            "
No token without a proof:
  curl -i -u {CLIENT_ID}:{client_secret} -d grant_type=client_credentials {issuer}/token

A token, and a call with it:
  {client_credentials} --scope orders:read

The same for another method and scope:
  {client_credentials} --scope orders:write --method POST
"
        );
    }
    text
}

fn check_usage(arguments: &Arguments) -> Result<(), Stop> {
    let wrong = |message: &str| Err(usage(message));
    let named = arguments.client_id.is_some() || arguments.secret_env.is_some();
    let only_with_issuer =
        named || arguments.ca.is_some() || arguments.typ.is_some() || arguments.dangerous_http;
    match (&arguments.issuer, arguments.introspect) {
        (None, _) if only_with_issuer => {
            wrong("--dangerous-http, --ca, --client-id, --secret-env and --typ go with --issuer")
        }
        (_, false) if named => wrong("--client-id and --secret-env go with --introspect"),
        (_, true) if arguments.typ.is_some() => wrong("--typ is for JWTs and does not go with --introspect"),
        (Some(_), true) if arguments.client_id.is_none() || arguments.secret_env.is_none() => {
            wrong("--introspect needs --client-id and --secret-env")
        }
        _ => Ok(()),
    }
}
