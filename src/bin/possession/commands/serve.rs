//! `possession serve`: servers on loopback to test clients with.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use possession::SystemClock;
use possession::testing::{ChallengeForm, DecodedJwt, Endpoint, Quirk, Received, TestServer, When};
use serde_json::{Value, json};

use crate::failure::{Failure, usage};
use crate::jwt::without_secrets;
use crate::key_file::KeyFile;
use crate::options::secret::{create_private, read};
use crate::output;
use crate::trace::form_fields;

/// How far ahead of the clock proofs may be dated: FAPI 2.0 Security Profile §5.3.2.1.
const LEEWAY: Duration = Duration::from_secs(10);
const CLIENT_ID: &str = "test-client";
const TICK: Duration = Duration::from_millis(250);
/// On a bad day, the number of ticks after which the nonces change, and tokens are revoked.
const NONCE_CHANGE: u32 = 12;
const REVOCATION: u32 = 60;

/// Run servers on loopback, to test any client.
///
/// They are an authorization server and a protected resource, which require DPoP with nonces. The resource
/// responds at every path. Standard output gets one line: READY and a JSON object with issuer, resource,
/// client_id and client_secret. The servers use plain http, and run until Ctrl-C or SIGTERM.
#[derive(clap::Args)]
#[command(after_help = "\
Example, with any secret in the environment variable CLIENT_SECRET:
  possession serve --port 9001 --secret-env CLIENT_SECRET &
  possession call GET http://127.0.0.1:9002/orders --client-id test-client \\
    --issuer http://127.0.0.1:9001 --secret-env CLIENT_SECRET --dangerous-http")]
pub struct Serve {
    /// The port of the authorization server; the resource has the next one. By default both are free ones
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65534))]
    port: Option<u16>,
    /// The environment variable with the secret of the client. By default it is one that is the same at each
    /// start
    #[arg(long, value_name = "NAME", conflicts_with = "public_client")]
    secret_env: Option<String>,
    /// A file with the public key of the client, which then can also authenticate with private_key_jwt: PEM,
    /// JWK or DER
    #[arg(long, value_name = "FILE", conflicts_with = "public_client")]
    client_key: Option<PathBuf>,
    /// End when standard input ends, for programs that start the servers
    #[arg(long)]
    until_stdin_ends: bool,
    /// Misbehave as servers do on a bad day: requests are refused, delayed and cut off, nonces change every
    /// few seconds, and tokens are revoked early. A client that does not try again fails now and then
    #[arg(long)]
    bad_day: bool,
    /// Refuse proofs that RFC 9449 allows and some servers refuse: dated ahead of the clock, with exp or iss,
    /// or with more in jwk than the key
    #[arg(long)]
    strict: bool,
    /// Write each request to this file, which must not exist, as one line of JSON, without secrets and
    /// signatures
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// The lifetime of tokens in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    token_lifetime: u64,
    /// Accept the client without its secret, as a public client
    #[arg(long)]
    public_client: bool,
}

impl Serve {
    pub fn run(self) -> Result<(), Failure> {
        let builder = TestServer::builder()
            .clock(SystemClock::new())
            .token_lifetime(Duration::from_secs(self.token_lifetime));
        let builder = if self.public_client { builder.public_client() } else { builder };
        let builder = match read(self.secret_env.as_deref(), None)? {
            Some(secret) => builder.client(CLIENT_ID, secret.as_str()),
            None => builder,
        };
        let builder = match &self.client_key {
            Some(file) if self.until_stdin_ends && file == Path::new("-") => {
                return Err(usage("--client-key - and --until-stdin-ends both read standard input"));
            }
            Some(file) => builder.client_public_key(KeyFile::read(file)?.public().clone()),
            None => builder,
        };
        let builder = match self.port {
            Some(port) => builder.ports(port, port.saturating_add(1)),
            None => builder,
        };
        let builder = match self.strict {
            true => builder.leeway(Duration::ZERO),
            false => builder.tolerant().leeway(LEEWAY),
        };
        let mut record = self
            .record
            .as_deref()
            .map(|file| create_private(file).map_err(|error| format!("writing {}: {error}", file.display())))
            .transpose()?;
        let ports = match self.port {
            Some(port) => format!(" on the ports {port} and {}", port.saturating_add(1)),
            None => String::new(),
        };
        let server = builder.start().map_err(|error| format!("starting the servers{ports}: {error}"))?;
        if self.bad_day {
            bad_day(&server);
        }
        let ready = json!({
            "issuer": server.issuer(),
            "resource": server.resource("/orders"),
            "client_id": server.client_id(),
            "client_secret": (!self.public_client).then(|| server.client_secret()),
        });
        output::write(format!("READY {ready}\n").as_bytes())?;
        output::note(format_args!(
            "Plain http on loopback: allow it in your client (--dangerous-http here). Runs until {}.",
            if self.until_stdin_ends { "standard input ends" } else { "Ctrl-C" }
        ));
        let mut ticks = 0_u32;
        until_the_end(self.until_stdin_ends, &mut || {
            ticks = ticks.wrapping_add(1);
            if self.bad_day && ticks.is_multiple_of(NONCE_CHANGE) {
                server.rotate_nonces();
            }
            if self.bad_day && ticks.is_multiple_of(REVOCATION) {
                server.revoke_tokens();
            }
            match &mut record {
                Some(file) => write_received(&server, file),
                None => {
                    drop(server.take_received());
                    Ok(())
                }
            }
        })?;
        if let Some(file) = &mut record {
            write_received(&server, file)?;
        }
        Ok(())
    }
}

/// Calls `tick` every quarter of a second until Ctrl-C, SIGTERM or, if that is wanted, the end of standard
/// input.
fn until_the_end(
    until_stdin_ends: bool,
    tick: &mut dyn FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (ended, end) = mpsc::channel();
    if until_stdin_ends {
        let ended = ended.clone();
        std::thread::spawn(move || {
            // A standard input that cannot be read has ended as well.
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = ended.send(());
        });
    }
    ctrlc::set_handler(move || ended.send(()).unwrap_or_default())?;
    loop {
        match end.recv_timeout(TICK) {
            Err(mpsc::RecvTimeoutError::Timeout) => tick()?,
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

fn write_received(server: &TestServer, file: &mut File) -> Result<(), Failure> {
    for request in server.take_received() {
        writeln!(file, "{}", describe(&request))?;
    }
    file.flush()?;
    Ok(())
}

/// Describes a request without what is secret in it: of JWTs header and claims, of forms the names of fields.
fn describe(request: &Received) -> Value {
    let fields = form_fields(&request.headers, &request.body).unwrap_or_default();
    let fields: Vec<_> = fields.into_iter().map(|(name, _)| name).collect();
    let jwt = |jwt: DecodedJwt| json!({ "header": without_secrets(jwt.header), "claims": without_secrets(jwt.claims) });
    json!({
        "method": request.method.as_str(),
        "target": request.target.split('?').next(),
        "status": request.status.map(|status| status.as_u16()),
        "proof": request.proof().map(jwt),
        "assertion": request.assertion().map(jwt),
        "form_fields": fields,
    })
}

/// What goes wrong in a mixed day: each of it now and then, so that a good client gets through.
fn bad_day(server: &TestServer) {
    let both = [Endpoint::Token, Endpoint::Resource];
    for endpoint in both {
        for (every, quirk) in [
            (3, Quirk::Challenge),
            (5, Quirk::ChallengeForm(ChallengeForm::AfterBearer)),
            (7, Quirk::Refuse { status: 503, retry_after: Some(1) }),
            (11, Quirk::CloseWithoutResponse),
            (13, Quirk::Drip(Duration::from_millis(1))),
        ] {
            server.misbehave(endpoint, When::Every(every), quirk);
        }
    }
}
