//! `possession serve`: servers on loopback to test clients with.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use possession::SystemClock;
use possession::testing::{ChallengeForm, DecodedJwt, Endpoint, Quirk, Received, TestServer, When};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::jwt::without_secrets;
use crate::options::secret::create_private;
use crate::output;
use crate::trace::form_fields;

/// How far ahead of the clock proofs may be dated: FAPI 2.0 Security Profile §5.3.2.1.
const LEEWAY: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(250);
/// On a bad day, the number of ticks after which the nonces change, and tokens are revoked.
const NONCE_CHANGE: u32 = 12;
const REVOCATION: u32 = 60;

/// Run servers on loopback, to test any client.
///
/// They are an authorization server and a protected resource, which require DPoP with nonces. Standard output gets one line: READY and a JSON object with issuer, resource, client_id and client_secret. The servers
/// use plain http, and run until standard input ends.
#[derive(clap::Args)]
pub struct Serve {
    /// Misbehave as servers do on a bad day: requests are refused, delayed and cut off, nonces change every few
    /// seconds, and tokens are revoked early
    #[arg(long)]
    bad_day: bool,
    /// Refuse proofs that RFC 9449 allows and some servers refuse: dated ahead of the clock, with exp or iss, or
    /// with more in jwk than the key
    #[arg(long)]
    strict: bool,
    /// Write each request to this file, which must not exist, as one line of JSON, without secrets and signatures
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
        let builder = match self.strict {
            true => builder.leeway(Duration::ZERO),
            false => builder.tolerant().leeway(LEEWAY),
        };
        let server = builder.start()?;
        let mut record = self.record.as_deref().map(create_private).transpose()?;
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
        anstream::eprintln!(
            "Plain http on loopback: allow it in your client (--dangerous-http here). \
             Runs until standard input ends."
        );
        let mut ticks = 0_u32;
        wait_for_end_of_input(&mut || {
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

/// Calls `tick` every quarter of a second until standard input ends.
fn wait_for_end_of_input(tick: &mut dyn FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    let (ended, input) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let outcome = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(outcome);
    });
    loop {
        match input.recv_timeout(TICK) {
            Ok(outcome) => return outcome.map(drop).map_err(Failure::from),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => tick()?,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
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
