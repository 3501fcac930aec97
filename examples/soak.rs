//! A session under load against a server that misbehaves: tokens are valid for a few seconds, nonces rotate
//! every second, and faults are injected all the time. At the end it prints the results, and fails if a
//! call failed that no injected fault explains. With arguments it does the same with a server of yours,
//! without the faults.
//!
//! The server is a process of its own, so that the memory shown is the client's.

mod common;

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::{AnyError, Stop, secret, usage};
use possession::testing::{Endpoint, Nonces, Quirk, TestServer, When};
use possession::{ClientAuth, ErrorKind, KeyPair, Session, Transport, ureq};
use serde_json::{Value, json};

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
const TOKEN_LIFE: Duration = Duration::from_secs(5);
/// A nonce is good for two seconds, and after one a response brings the next.
const NONCE_LIFE: Duration = Duration::from_secs(2);

type Result<T, E = AnyError> = std::result::Result<T, E>;

fn main() -> ExitCode {
    common::run(HELP, |options| match soak(options)? {
        true => Ok(()),
        false => Err("calls failed that no fault explains".into()),
    })
}

/// Returns whether all went well.
fn soak(mut options: common::Arguments) -> Result<bool, Stop> {
    let (mut seconds, mut threads, mut is_server, mut yours) = (60, 16, false, Yours::default());
    while let Some(name) = options.next()? {
        match name.as_str() {
            "issuer" => options.set(&mut yours.issuer)?,
            "client-id" => options.set(&mut yours.client_id)?,
            "secret-env" => options.set(&mut yours.secret_env)?,
            "key" => options.set_path(&mut yours.key)?,
            "scope" => options.set(&mut yours.scope)?,
            "resource" => options.set(&mut yours.resource)?,
            "call" => options.set(&mut yours.call)?,
            "dangerous-http" => yours.dangerous_http = true,
            "seconds" => seconds = options.parse()?,
            "threads" => threads = options.parse()?,
            // Given to the server process that this program starts.
            "serve" => is_server = true,
            _ => return Err(options.unknown()),
        }
    }
    if is_server {
        serve()?;
        return Ok(true);
    }
    let duration = Duration::from_secs(seconds);
    match &yours.issuer {
        Some(issuer) => {
            let session = yours.session(issuer)?;
            let url = yours.call.as_deref().ok_or_else(|| usage("--call is missing"))?;
            let busy = Busy::keep(&session, duration, threads, |_| Call { url: url.to_owned(), post: false });
            Ok(busy.tell(&session, duration) && busy.refused.load(Ordering::Relaxed) == 0)
        }
        None => Ok(misbehaving(duration, threads)?),
    }
}

/// A server that is there already.
#[derive(Default)]
struct Yours {
    issuer: Option<String>,
    client_id: Option<String>,
    secret_env: Option<String>,
    key: Option<OsString>,
    scope: Option<String>,
    resource: Option<String>,
    call: Option<String>,
    dangerous_http: bool,
}

impl Yours {
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

// ---- The server

/// Runs until its standard input ends, and then tells what it saw.
fn serve() -> Result<()> {
    let server = TestServer::builder()
        .token_lifetime(TOKEN_LIFE)
        .nonces(Nonces::Lifetime(NONCE_LIFE))
        .max_received(0)
        .start()?;
    let ready = json!({
        "issuer": server.issuer(),
        "resource": server.resource_origin(),
        "client_id": server.client_id(),
        "client_secret": server.client_secret(),
    });
    println!("{ready}");
    io::stdout().flush()?;

    // Prime numbers, so that the faults meet in every way.
    let faults = [
        (Endpoint::Resource, 499, Quirk::Refuse { status: 503, retry_after: Some(1) }),
        (Endpoint::Resource, 997, Quirk::CloseWithoutResponse),
        (Endpoint::Resource, 1009, Quirk::CloseAfterResponse),
        (Endpoint::Resource, 1511, Quirk::CloseMidway),
        (Endpoint::Token, 7, Quirk::Refuse { status: 429, retry_after: Some(0) }),
        (Endpoint::Token, 11, Quirk::Html { status: 502 }),
        (Endpoint::Token, 13, Quirk::CloseWithoutResponse),
    ];
    for (at, times, quirk) in faults {
        server.misbehave(at, When::Every(times), quirk);
    }
    let over = Arc::<AtomicBool>::default();
    thread::scope(|scope| {
        let ended = Arc::clone(&over);
        scope.spawn(move || {
            // Whatever the client sends, its end is what counts.
            let _ = io::stdin().read_to_end(&mut Vec::new());
            ended.store(true, Ordering::SeqCst);
        });
        let mut second: u32 = 0;
        while !over.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_secs(1));
            second += 1;
            if second.is_multiple_of(7) {
                server.revoke_tokens();
            }
            if second.is_multiple_of(17) {
                server.rotate_nonces();
            }
            if second.is_multiple_of(19) {
                // Ahead, right, behind, right …
                let offset = [300, 0, -300, 0].get((second / 19 % 4) as usize).copied();
                server.set_clock_offset(offset.unwrap_or_default());
            }
        }
    });
    let counts = server.counts();
    println!(
        "{}",
        json!({
            "resource_requests": counts.resource_requests,
            "token_requests": counts.token_requests,
            "tokens": counts.tokens,
            "challenges": counts.challenges,
            "repeated_proofs": counts.repeated_proofs,
            "faults": counts.quirks,
        })
    );
    Ok(())
}

struct Server {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
    ready: Value,
}

impl Server {
    fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("no standard output of the server")?;
        let mut server =
            Self { input: child.stdin.take(), child, output: BufReader::new(output), ready: Value::Null };
        server.ready = server.line()?;
        Ok(server)
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    fn text(&self, name: &str) -> Result<&str> {
        self.ready
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("the server says no {name}").into())
    }

    /// What it saw.
    fn end(mut self) -> Result<Value> {
        self.input = None;
        self.line()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

// ---- The client

/// What became of the calls.
#[derive(Default)]
struct Busy {
    calls: AtomicU64,
    fine: AtomicU64,
    /// The resource's 503: an answer of the application.
    refused: AtomicU64,
    /// A connection that broke under a POST, or in the middle of a body.
    broken: AtomicU64,
    unexplained: AtomicU64,
    /// The first of those.
    told: Mutex<Vec<String>>,
    /// Resident, in MiB, when a tenth of the time was over and at the end.
    memory: Mutex<(Option<f64>, Option<f64>)>,
}

struct Call {
    url: String,
    post: bool,
}

impl Busy {
    /// Calls and calls, all threads at once.
    fn keep(
        session: &Session,
        duration: Duration,
        threads: usize,
        call: impl Fn(u64) -> Call + Sync,
    ) -> Self {
        let busy = Self::default();
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while start.elapsed() < duration {
                        busy.once(session, &call(busy.calls.fetch_add(1, Ordering::Relaxed)));
                        // Until then everything gets its size.
                        if start.elapsed() > duration / 10 {
                            busy.memory().0.get_or_insert_with(|| resident().unwrap_or_default());
                        }
                    }
                });
            }
        });
        busy.memory().1 = resident();
        busy
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, (Option<f64>, Option<f64>)> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn once(&self, session: &Session, call: &Call) {
        let answer = match call.post {
            true => session.post(&call.url, "text/plain", "an order"),
            false => session.get(&call.url),
        };
        let counter = match answer {
            Ok(mut response) => match (response.status().as_u16(), response.body_mut().read_to_vec()) {
                (200, Ok(_)) => &self.fine,
                (503, Ok(_)) => &self.refused,
                (200, Err(ureq::Error::Io(_) | ureq::Error::Protocol(_))) => &self.broken,
                (status, body) => self.unexplained(format!("status {status}, body {body:?}")),
            },
            Err(error) if call.post && *error.kind() == ErrorKind::Transport => &self.broken,
            Err(error) => self.unexplained(error.to_string()),
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn unexplained(&self, what: String) -> &AtomicU64 {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < 10 {
            told.push(what);
        }
        &self.unexplained
    }

    /// Says what came of it, and whether that is good.
    fn tell(&self, session: &Session, duration: Duration) -> bool {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let stats = session.stats();
        println!(
            "calls                 {}, {} a second",
            count(&self.calls),
            count(&self.calls) / duration.as_secs().max(1)
        );
        println!("  responses           {}", count(&self.fine));
        println!("  refused (503)       {}", count(&self.refused));
        println!("  broken connections  {}", count(&self.broken));
        println!("  other failures      {}", count(&self.unexplained));
        println!("tokens                {} in {} requests", stats.tokens, stats.token_requests);
        println!("retries               {}", stats.retries);
        println!("nonces learned        {}", stats.nonces_learned);
        match *self.memory() {
            (Some(start), Some(end)) => {
                println!(
                    "memory                {start:.1} MiB after a tenth of the time, {end:.1} MiB at the end"
                );
            }
            _ => println!("memory                not available on this system"),
        }
        for what in self.told.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            println!("not explained: {what}");
        }
        count(&self.unexplained) == 0 && count(&self.fine) > 0
    }
}

fn misbehaving(duration: Duration, threads: usize) -> Result<bool> {
    let server = Server::start()?;
    let resource = server.text("resource")?.to_owned();
    let session = Session::builder(server.text("issuer")?, server.text("client_id")?)
        .auth(ClientAuth::client_secret_basic(server.text("client_secret")?))
        .transport(Transport::builder().timeout(Duration::from_secs(10)).build())
        .resource_origins([resource.as_str()])
        .dangerous_allow_http_on_loopback()
        .discover()?;
    let busy = Busy::keep(&session, duration, threads, |number| Call {
        url: format!("{resource}/bytes/{}", number % 2_000),
        post: number.is_multiple_of(5),
    });
    let good = busy.tell(&session, duration);

    let seen = server.end()?;
    let seen = |name: &str| seen.get(name).and_then(Value::as_u64).unwrap_or_default();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let challenges = seen("challenges") as f64 * 1_000.0 / (count(&busy.calls).max(1) as f64);
    println!("faults injected       {}: they explain refused calls and broken connections", seen("faults"));
    println!("challenges            {challenges:.2} per 1,000 calls");
    println!(
        "repeated jti          {} of {}",
        seen("repeated_proofs"),
        seen("resource_requests") + seen("token_requests")
    );
    // Each broken or refused call is the work of one fault.
    let explained = count(&busy.refused) + count(&busy.broken) <= seen("faults");
    Ok(good && explained && seen("repeated_proofs") == 0 && challenges < 10.0)
}

/// The resident memory of this process in MiB, where the system tells.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
