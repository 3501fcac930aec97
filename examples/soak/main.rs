//! A session under load. Without arguments the server misbehaves: tokens are valid for a few seconds, nonces
//! rotate every second, and faults are injected all the time. At the end it prints the results, and fails if
//! a call failed that no injected fault explains. With arguments it does the same with another server,
//! without the faults.

#[path = "../common/mod.rs"]
mod common;
mod faulty_server;
mod load;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use common::{AnyError, Stop, secret, usage};
use faulty_server::ServerProcess;
use load::{Call, Outcomes};
use possession::{ClientAuth, KeyPair, Session, Transport};
use serde_json::Value;

const HELP: &str = "\
Puts a session under load, and prints the results.

Usage: soak [--seconds N] [--threads N]             against a server of its own that misbehaves
       soak --issuer URL --client-id ID (--secret-env NAME | --key FILE) --call URL [OPTIONS]

  --seconds N         the duration, 60 unless given
  --threads N         the number of threads that make calls, 16 unless given
  --secret-env NAME   the environment variable with the secret of client_secret_basic
  --key FILE          the key of private_key_jwt: PEM or JWK
  --scope S, --resource URI
  --dangerous-http    allow plain http on loopback

Exit status: 0 success, 1 calls failed that no injected fault explains, 2 bad usage.
";

type Result<T, E = AnyError> = std::result::Result<T, E>;

fn main() -> ExitCode {
    common::run(HELP, |options| match soak(options)? {
        true => Ok(()),
        false => Err("calls failed that no fault explains".into()),
    })
}

/// Returns whether all went well.
fn soak(mut options: common::Arguments) -> Result<bool, Stop> {
    let (mut seconds, mut threads, mut is_server, mut other) = (60, 16, false, OtherServer::default());
    while let Some(name) = options.next()? {
        match name.as_str() {
            "issuer" => options.set(&mut other.issuer)?,
            "client-id" => options.set(&mut other.client_id)?,
            "secret-env" => options.set(&mut other.secret_env)?,
            "key" => options.set_path(&mut other.key)?,
            "scope" => options.set(&mut other.scope)?,
            "resource" => options.set(&mut other.resource)?,
            "call" => options.set(&mut other.call)?,
            "dangerous-http" => other.dangerous_http = true,
            "seconds" => seconds = options.parse()?,
            "threads" => threads = options.parse()?,
            // Given to the server process that this program starts.
            "serve" => is_server = true,
            _ => return Err(options.unknown()),
        }
    }
    if is_server {
        faulty_server::serve()?;
        return Ok(true);
    }
    let duration = Duration::from_secs(seconds);
    match &other.issuer {
        None => Ok(against_faulty_server(duration, threads)?),
        Some(issuer) => {
            let session = other.session(issuer)?;
            let url = other.call.as_deref().ok_or_else(|| usage("--call is missing"))?;
            let call = |_| Call { url: url.to_owned(), post: false };
            let outcomes = Outcomes::of_calls(&session, duration, threads, call);
            outcomes.print(&session);
            Ok(outcomes.are_good() && outcomes.refused() == 0)
        }
    }
}

/// A server that is running already.
#[derive(Default)]
struct OtherServer {
    issuer: Option<String>,
    client_id: Option<String>,
    secret_env: Option<String>,
    key: Option<OsString>,
    scope: Option<String>,
    resource: Option<String>,
    call: Option<String>,
    dangerous_http: bool,
}

impl OtherServer {
    fn session(&self, issuer: &str) -> Result<Session, Stop> {
        let auth = match (&self.secret_env, &self.key) {
            (Some(name), None) => ClientAuth::client_secret_basic(secret(name)?),
            (None, Some(file)) => ClientAuth::private_key_jwt(KeyPair::from_file(file)?),
            _ => return Err(usage("one of --secret-env and --key is needed")),
        };
        let client_id = self.client_id.as_deref().ok_or_else(|| usage("--client-id is missing"))?;
        let mut builder = Session::builder(issuer, client_id).auth(auth);
        if let Some(scope) = &self.scope {
            builder = builder.scope(scope);
        }
        if let Some(resource) = &self.resource {
            builder = builder.resource(resource);
        }
        if self.dangerous_http {
            builder = builder.dangerous_allow_http_on_loopback();
        }
        Ok(builder.discover()?)
    }
}

fn against_faulty_server(duration: Duration, threads: usize) -> Result<bool> {
    let server = ServerProcess::start()?;
    let resource = server.text("resource")?.to_owned();
    let session = Session::builder(server.text("issuer")?, server.text("client_id")?)
        .auth(ClientAuth::client_secret_basic(server.text("client_secret")?))
        .transport(Transport::builder().timeout(Duration::from_secs(10)).build())
        .resource_origins([resource.as_str()])
        .dangerous_allow_http_on_loopback()
        .discover()?;
    let outcomes = Outcomes::of_calls(&session, duration, threads, |number| Call {
        url: format!("{resource}/bytes/{}", number % 2_000),
        post: number.is_multiple_of(5),
    });
    outcomes.print(&session);

    let server_saw = server.end()?;
    let seen = |name: &str| server_saw.get(name).and_then(Value::as_u64).unwrap_or_default();
    let challenges = seen("challenges") as f64 * 1_000.0 / (outcomes.calls().max(1) as f64);
    let (requests, repeated) = (seen("resource_requests") + seen("token_requests"), seen("repeated_proofs"));
    println!("faults injected       {}: they explain refused calls and broken connections", seen("faults"));
    println!("challenges            {challenges:.2} per 1,000 calls");
    println!("repeated jti          {repeated} of {requests}");
    // Each call that was refused or whose connection broke is explained by one fault.
    let are_explained = outcomes.refused() + outcomes.broken() <= seen("faults");
    Ok(outcomes.are_good() && are_explained && repeated == 0 && challenges < 10.0)
}
