//! Connects to a server of the Model Context Protocol (MCP) and lists its tools. The server's 401 says where
//! its metadata are, and these name the authorization server (RFC 9728). There a user signs in with the
//! browser, or the program has credentials of its own.

mod common;

use std::process::ExitCode;

use common::AnyError;
use http::{Request, Uri, header};
use possession::{
    Algorithm, AuthorizationRequest, AuthorizationServer, Challenge, ClientAuth, ClientMetadata, Discovery,
    Grant, HttpClient, KeyPair, LoopbackListener, Parameters, ProtectedResource, ProtectedResourceDiscovery,
    Prover, RequestBody, RequestOptions, Session, SessionBuilder, Transport,
    authorization_code_grant_request, authorization_request, open_browser,
    process_authorization_code_response, process_registration_response, registration_request,
};
use serde_json::{Value, json};

const HELP: &str = "\
Connects to an MCP server and lists its tools.

Usage: mcp_client URL [ISSUER]

ISSUER is the authorization server to sign in at. Without it, the server may name only one on its own host.
A user signs in with the browser, unless MCP_CONFORMANCE_CONTEXT in the environment has credentials, as JSON:
client_id with client_secret or with private_key_pem and signing_algorithm.
";

const VERSION: &str = "2025-11-25";

fn main() -> ExitCode {
    common::run(HELP, |options| {
        let arguments = options.arguments()?;
        let argument = |index: usize| arguments.get(index).and_then(|argument| argument.to_str());
        let url = argument(0).ok_or_else(|| common::usage("the URL of the MCP server is missing"))?;
        Ok(list_tools(url, argument(1))?)
    })
}

fn list_tools(url: &str, issuer: Option<&str>) -> Result<(), AnyError> {
    let http = Transport::new();
    let refused = http.send(Request::post(url).body(RequestBody::default())?)?;
    let challenges = Challenge::from_headers(refused.headers())?;
    // https only, but on this machine. The metadata must be those of `url` (RFC 9728 §3.3).
    let discovery =
        ProtectedResourceDiscovery::dangerous_from_challenges_with_http_on_loopback(url, &challenges)?;
    let resource = discovery.run(&http)?;
    let issuer = confirmed_issuer(&resource, issuer)?;
    let server = Discovery::dangerous_allow_http_on_loopback(issuer)?.run(&http)?;
    println!("{} trusts the authorization server {issuer}", resource.resource());

    let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
    let mut options = RequestOptions::new().prover(&prover).http(&http);
    // A server that lists no algorithms for proofs issues Bearer tokens. The session sends them to one origin
    // only.
    let has_dpop = server.member("dpop_signing_alg_values_supported").is_some();
    if !has_dpop {
        options = options.dangerous_accept_bearer();
    }
    let scope = challenges.iter().find_map(|challenge| challenge.param("scope"));
    let mut settings = match std::env::var("MCP_CONFORMANCE_CONTEXT") {
        Ok(context) => with_credentials(&server, &serde_json::from_str(&context)?)?,
        Err(_) => with_user(&server, &resource, scope, &options)?,
    };
    settings = settings.prover(&prover).resource(resource.resource()).resource_origins([resource.origin()]);
    if !has_dpop {
        settings = settings.dangerous_accept_bearer();
    }
    let session = settings.server(server)?;

    let client = json!({ "name": "mcp_client", "version": "1" });
    let start = json!({ "protocolVersion": VERSION, "capabilities": {}, "clientInfo": client });
    let start = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": start });
    println!("connected: {}", call(&session, url, &start)?);
    call(&session, url, &json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" });
    println!("tools: {}", call(&session, url, &list)?);
    println!("ok");
    Ok(())
}

/// Anybody can run an MCP server and name an authorization server, so that one must be confirmed (RFC 9728
/// §7.6).
fn confirmed_issuer<'a>(resource: &'a ProtectedResource, known: Option<&str>) -> Result<&'a str, AnyError> {
    let host = |url: &str| Some(url.parse::<Uri>().ok()?.host()?.to_owned());
    let servers = resource.authorization_servers().iter().map(String::as_str);
    let confirmed = servers.filter(|server| match known {
        Some(known) => *server == known,
        None => host(server) == host(resource.resource()),
    });
    Ok(resource.authorization_server_among(confirmed)?)
}

/// A client with credentials of its own: the client credentials grant.
fn with_credentials(server: &AuthorizationServer, context: &Value) -> Result<SessionBuilder, AnyError> {
    let text = |name: &str| {
        context.get(name).and_then(Value::as_str).ok_or(format!("the credentials have no {name}"))
    };
    let auth = match text("client_secret") {
        Ok(secret) => ClientAuth::client_secret_basic(secret),
        Err(_) => {
            let key = KeyPair::from_pkcs8_pem(text("private_key_pem")?)?;
            ClientAuth::private_key_jwt(key.with_algorithm(text("signing_algorithm")?.parse()?)?)
        }
    };
    Ok(Session::builder(server.issuer(), text("client_id")?).auth(auth))
}

/// A client that registers itself, for a user who signs in: the authorization code grant.
fn with_user(
    server: &AuthorizationServer,
    resource: &ProtectedResource,
    scope: Option<&str>,
    options: &RequestOptions<'_>,
) -> Result<SessionBuilder, AnyError> {
    let listener = LoopbackListener::bind()?;
    let metadata = ClientMetadata::new()
        .redirect_uris([listener.redirect_uri()])
        .member("client_name", "mcp_client")
        .member("application_type", "native")
        .member("grant_types", vec!["authorization_code", "refresh_token"])
        .member("token_endpoint_auth_method", "none");
    let response = registration_request(server, &metadata, options)?;
    let registered = process_registration_response(server, response)?;
    let (client, auth) = (registered.client(), ClientAuth::none());

    let mut request = AuthorizationRequest::new(listener.redirect_uri()).resource(resource.resource());
    if let Some(scope) = scope {
        request = request.scope(scope);
    }
    let (page, pending) = authorization_request(server, client, &auth, request, options)?;
    println!("To sign in, open {page}");
    let _ = open_browser(&page); // if there is none, the user has the URL
    let code = listener.receive(pending)?;
    let parameters = Parameters::new().resource(resource.resource());
    let response = authorization_code_grant_request(server, client, &auth, code, parameters, options)?;
    let tokens = process_authorization_code_response(server, client, response)?;
    Ok(Session::builder(server.issuer(), client.client_id()).grant(Grant::tokens(tokens)))
}

/// Sends a message with the token and a proof, and returns its result. A notification, without an `id`, has
/// none.
fn call(session: &Session, url: &str, message: &Value) -> Result<Value, AnyError> {
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", VERSION);
    let mut response = session.run(request.body(message.to_string())?)?;
    let text = response.body_mut().read_to_string()?;
    // The response is JSON, or the data of an event in a stream.
    let mut data = text.lines().map(|line| line.strip_prefix("data:").unwrap_or(line));
    let answer: Value = data.find_map(|data| serde_json::from_str(data).ok()).unwrap_or_default();
    match response.status().is_success() && answer.get("error").is_none() {
        true => Ok(answer.get("result").cloned().unwrap_or_default()),
        false => {
            Err(format!("the MCP server responded with {} to {message}: {text}", response.status()).into())
        }
    }
}
