//! Gets a DPoP-bound access token by the client credentials grant and calls a protected resource with it, and shows every
//! step. Without arguments it starts an authorization server and a resource on loopback and talks to those; with
//! arguments it is a tool for any server (`--help`).

mod common;
#[path = "demo/servers.rs"]
mod servers;
#[path = "demo/trace.rs"]
mod trace;

use std::ffi::OsString;
use std::process::ExitCode;

use common::{Stop, read, secret, usage};
use http::Method;
use possession::{
    Algorithm, AssertionOptions, AuthorizationServer, Client, ClientAuth, Discovery, HmacAlgorithm, KeyPair,
    Parameters, Proof, Prover, RequestBody, RequestOptions, ResourceRequest, TokenResponse, Transport,
    client_credentials_grant_request, process_client_credentials_response,
};
use trace::Traced;

const HELP: &str = "\
Gets a DPoP-bound access token by the client credentials grant, and calls a resource with it.

Usage: client_credentials                starts servers on loopback and shows the whole flow
       client_credentials --issuer URL --client-id ID --auth METHOD [OPTIONS]

The trace goes to standard error. Standard output gets one JSON object: token_type, expires_in, scope, jkt,
token_requests (how many were sent), call_status.
Exit status: 0 got the token and, with --call, a response of the resource; 1 failed, 2 bad usage. A response with a status
of 400 or more is reported on standard error as well, and does not change the exit status: see call_status.

Authorization server:
  --issuer URL            its issuer identifier; its metadata is discovered
  --token-endpoint URL    its token endpoint: nothing is discovered
  --ca FILE               trust the CA certificates in this PEM file instead of the built-in ones
  --dangerous-http        allow plain http on loopback

Client:
  --client-id ID
  --auth METHOD           none, client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt,
                          tls_client_auth or self_signed_tls_client_auth
  --secret-env NAME       the environment variable that holds the client secret
  --key FILE              private key of private_key_jwt: PEM, JWK or DER
  --kid K                 its kid, where the JWK has none
  --auth-alg NAME         HS256 (default), HS384 or HS512 for client_secret_jwt; for private_key_jwt what the key
                          is to sign by: PS256 for an RSA key, Ed25519 or EdDSA …
  --cert FILE             client certificate of the tls methods: PEM, leaf first
  --cert-key FILE         its private key: PEM

Token:
  --scope S
  --resource URI          may be repeated
  --param K=V             any further parameter; may be repeated
  --dpop-alg ALG          ES256, Ed25519 or another; by default what the server lists
  --dpop-key FILE         proof-of-possession key, PEM, JWK or DER; by default a new one

Call:
  --call URL              a protected resource to call with the token
  --method M              GET unless given
";

const METHODS: &str = "none, client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt, \
                       tls_client_auth, self_signed_tls_client_auth";

#[derive(Default)]
struct Arguments {
    issuer: Option<String>,
    token_endpoint: Option<String>,
    ca: Option<OsString>,
    dangerous_http: bool,
    client_id: Option<String>,
    auth: Option<String>,
    secret_env: Option<String>,
    key: Option<OsString>,
    kid: Option<String>,
    auth_alg: Option<String>,
    cert: Option<OsString>,
    cert_key: Option<OsString>,
    parameters: Parameters,
    dpop_alg: Option<String>,
    dpop_key: Option<OsString>,
    call: Option<String>,
    method: Option<String>,
}

fn main() -> ExitCode {
    common::run(HELP, |options| match std::env::args_os().len() {
        0 | 1 => demonstrate(),
        _ => run_tool(Arguments::read(options)?),
    })
}

impl Arguments {
    fn read(mut options: common::Arguments) -> Result<Self, Stop> {
        let mut arguments = Self::default();
        while let Some(name) = options.next()? {
            match name.as_str() {
                "issuer" => options.set(&mut arguments.issuer)?,
                "token-endpoint" => options.set(&mut arguments.token_endpoint)?,
                "ca" => options.set_path(&mut arguments.ca)?,
                "dangerous-http" => arguments.dangerous_http = true,
                "client-id" => options.set(&mut arguments.client_id)?,
                "auth" => options.set(&mut arguments.auth)?,
                "secret-env" => options.set(&mut arguments.secret_env)?,
                "key" => options.set_path(&mut arguments.key)?,
                "kid" => options.set(&mut arguments.kid)?,
                "auth-alg" => options.set(&mut arguments.auth_alg)?,
                "cert" => options.set_path(&mut arguments.cert)?,
                "cert-key" => options.set_path(&mut arguments.cert_key)?,
                "scope" | "resource" | "param" => {
                    let value = options.text()?;
                    let parameters = arguments.parameters;
                    arguments.parameters = match (name.as_str(), value.split_once('=')) {
                        ("scope", _) => parameters.scope(value),
                        ("resource", _) => parameters.resource(value),
                        (_, Some((name, value))) => parameters.parameter(name, value),
                        (_, None) => return Err(usage("--param wants K=V")),
                    };
                }
                "dpop-alg" => options.set(&mut arguments.dpop_alg)?,
                "dpop-key" => options.set_path(&mut arguments.dpop_key)?,
                "call" => options.set(&mut arguments.call)?,
                "method" => options.set(&mut arguments.method)?,
                _ => return Err(options.unknown()),
            }
        }
        Ok(arguments)
    }
}

/// Shows the whole flow against servers of its own.
fn demonstrate() -> Result<(), Stop> {
    let demo = servers::start()?;
    let traced = Traced::new(Transport::new(), std::io::stdout());
    let auth = ClientAuth::client_secret_basic(&demo.client_secret);
    let prover = Prover::new(KeyPair::generate(Algorithm::Es256)?)?;
    traced.say(&format!(
        "An authorization server and a protected resource run on loopback, and a key pair was made.\n\
         Its thumbprint (jkt) is {}; the private half never leaves this program.\n\n",
        prover.thumbprint()
    ));
    let discovery = Discovery::dangerous_allow_http_on_loopback(&demo.issuer)?;
    let client = Client::new(servers::CLIENT_ID)?;
    let parameters = Parameters::new().scope("orders:read");
    let (token, status) = round(
        &traced,
        Server::Find(discovery),
        &client,
        &auth,
        parameters,
        |_| Ok(prover),
        Some((Method::GET, &demo.resource)),
    )?;
    if token.requests() != 2 || status != Some(200) {
        return Err(Stop::Failed("the flow did not go as expected".into()));
    }
    traced.say("\nThe token alone would have been of no use to a thief: each request needed a fresh proof by the key.\nok\n");
    Ok(())
}

/// The same against any server, as the arguments say.
fn run_tool(arguments: Arguments) -> Result<(), Stop> {
    let missing = |name: &str| usage(format!("{name} is missing"));
    let issuer = arguments.issuer.as_deref().ok_or_else(|| missing("--issuer"))?;
    let client_id = arguments.client_id.as_deref().ok_or_else(|| missing("--client-id"))?;
    let auth = client_auth(&arguments)?;

    let mut transport = Transport::builder();
    if let Some(ca) = &arguments.ca {
        transport = transport.root_certificates_pem(&read(ca)?)?;
    }
    match (&arguments.cert, &arguments.cert_key) {
        (Some(cert), Some(key)) => transport = transport.client_certificate_pem(&read(cert)?, &read(key)?)?,
        (None, None) => {}
        _ => return Err(usage("--cert and --cert-key go together")),
    }
    let traced = Traced::new(transport.build(), std::io::stderr());

    let server = match (&arguments.token_endpoint, arguments.dangerous_http) {
        (None, false) => Server::Find(Discovery::new(issuer)?),
        (None, true) => Server::Find(Discovery::dangerous_allow_http_on_loopback(issuer)?),
        (Some(endpoint), dangerous) => {
            let builder = AuthorizationServer::builder(issuer).token_endpoint(endpoint);
            let builder = if dangerous { builder.dangerous_allow_http_on_loopback() } else { builder };
            Server::Known(builder.build()?)
        }
    };
    let wanted: Option<Algorithm> =
        arguments.dpop_alg.as_deref().map(str::parse).transpose().map_err(usage)?;
    let dpop_key = match (arguments.dpop_key.as_ref().map(read_key).transpose()?, wanted) {
        (Some(key), Some(wanted)) => Some(key.with_algorithm(wanted).map_err(usage)?),
        (key, _) => key,
    };
    let prover = |server: &AuthorizationServer| {
        let key = match dpop_key {
            Some(key) => key,
            None => KeyPair::generate(wanted.unwrap_or_else(|| listed_algorithm(server)))?,
        };
        Ok(Prover::new(key)?)
    };
    let client = Client::new(client_id)?;
    let method = arguments.method.as_deref().unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| usage(format!("--method {method} is not an HTTP method")))?;
    if arguments.method.is_some() && arguments.call.is_none() {
        return Err(usage("--method goes with --call"));
    }
    if let Some(url) = &arguments.call {
        Proof::new(&method, url)?; // a URL that no proof can name is found before a token is asked for
    }
    let call = arguments.call.as_deref().map(|url| (method, url));
    let (token, status) = round(&traced, server, &client, &auth, arguments.parameters.clone(), prover, call)?;
    let summary = serde_json::json!({
        "token_type": token.token_type().to_string(),
        "expires_in": token.expires_in().map(|life| life.as_secs()),
        "scope": token.scope(),
        "jkt": token.jkt().map(|jkt| jkt.to_string()),
        "token_requests": token.requests(),
        "call_status": status,
    });
    println!("{summary}");
    if let Some(status) = status.filter(|status| *status >= 400) {
        eprintln!("the resource refused the call with status {status}");
    }
    Ok(())
}

enum Server {
    Find(Discovery),
    Known(AuthorizationServer),
}

/// Fetches the metadata, requests a token and calls the resource, and prints each exchange.
fn round(
    traced: &Traced,
    server: Server,
    client: &Client,
    auth: &ClientAuth,
    parameters: Parameters,
    prover: impl FnOnce(&AuthorizationServer) -> Result<Prover, Stop>,
    call: Option<(Method, &str)>,
) -> Result<(TokenResponse, Option<u16>), Stop> {
    let server = match server {
        Server::Known(server) => server,
        Server::Find(discovery) => {
            traced.say("Discovery: what does the authorization server offer?\n");
            discovery.run(traced)?
        }
    };
    let prover = prover(&server)?;

    traced.say("\nToken request: a proof signed by the key is sent with it, so the token will be bound to the key.\n");
    let options = RequestOptions::new().prover(&prover).http(traced);
    let response = client_credentials_grant_request(&server, client, auth, parameters, &options)?;
    if response.requests() == 2 {
        traced.say("The server first asked for its nonce in the proof; the second request brought it, in a new proof.\n");
    }
    let token = process_client_credentials_response(&server, client, response)?;
    traced.say(&format!("Got a {} token, bound to the key {}.\n", token.token_type(), prover.thumbprint()));

    let Some((method, url)) = call else {
        return Ok((token, None));
    };
    traced.say("\nCall: the token, and a proof for this request that names the token by its hash (ath).\n");
    let mut exchange = ResourceRequest::new(&server, &prover, token.access_token(), &method, url)?;
    let response = exchange.run(&http::Request::new(RequestBody::default()), traced)?;
    Ok((token, Some(response.status().as_u16())))
}

/// ES256, unless the server lists Ed25519 and not that.
fn listed_algorithm(server: &AuthorizationServer) -> Algorithm {
    let listed = server.member("dpop_signing_alg_values_supported").and_then(|listed| listed.as_array());
    let names = listed.into_iter().flatten().filter_map(|name| name.as_str());
    let listed: Vec<_> = names.filter_map(Algorithm::from_name).collect();
    let made = [Algorithm::Es256, Algorithm::Ed25519, Algorithm::Es384];
    made.into_iter().find(|algorithm| listed.contains(algorithm)).unwrap_or(Algorithm::Es256)
}

fn client_auth(arguments: &Arguments) -> Result<ClientAuth, Stop> {
    let method = arguments.auth.as_deref().ok_or_else(|| usage(format!("--auth is missing: {METHODS}")))?;
    let client_secret = || {
        let name = arguments.secret_env.as_deref();
        secret(name.ok_or_else(|| usage(format!("--auth {method} needs --secret-env")))?)
    };
    let certificate = |auth| match arguments.cert {
        Some(_) => Ok(auth),
        None => Err(usage(format!("--auth {method} needs --cert and --cert-key"))),
    };
    let mut options = AssertionOptions::new();
    if let Some(kid) = &arguments.kid {
        options = options.kid(kid);
    }
    Ok(match method {
        "none" => ClientAuth::none(),
        "client_secret_basic" => ClientAuth::client_secret_basic(client_secret()?),
        "client_secret_post" => ClientAuth::client_secret_post(client_secret()?),
        "client_secret_jwt" => {
            let algorithm = match arguments.auth_alg.as_deref() {
                None | Some("HS256") => HmacAlgorithm::Hs256,
                Some("HS384") => HmacAlgorithm::Hs384,
                Some("HS512") => HmacAlgorithm::Hs512,
                Some(other) => {
                    return Err(usage(format!("--auth-alg is HS256, HS384 or HS512, not {other}")));
                }
            };
            ClientAuth::client_secret_jwt_with(client_secret()?, algorithm, options)
        }
        "private_key_jwt" => {
            let file = arguments.key.as_ref();
            let file = file.ok_or_else(|| usage(format!("--auth {method} needs --key")))?;
            let mut key = read_key(file)?;
            if let Some(name) = &arguments.auth_alg {
                key = key.with_algorithm(name.parse().map_err(usage)?).map_err(usage)?;
                options = options.alg(name); // of Ed25519's two names, this one
            }
            ClientAuth::private_key_jwt_with(key, options)
        }
        "tls_client_auth" => certificate(ClientAuth::tls_client_auth())?,
        "self_signed_tls_client_auth" => certificate(ClientAuth::self_signed_tls_client_auth())?,
        other => return Err(usage(format!("--auth {other} is not one of {METHODS}"))),
    })
}

fn read_key(file: &OsString) -> Result<KeyPair, Stop> {
    Ok(KeyPair::from_file(file)?)
}
