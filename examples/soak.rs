//! A session under load against a server that has a bad day: tokens of a few seconds, nonces that rotate every second, and one
//! thing after the other that goes wrong. At the end it says what came of it, and fails if a call failed that no fault
//! explains.
//!
//! The server is a process of its own, so that the memory shown is the client's.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use possession::testing::{Endpoint, Nonces, Quirk, TestServer, When};
use possession::{ClientAuth, ErrorKind, Session, Transport, ureq};
use serde_json::{Value, json};

const USAGE: &str = "usage: soak [--seconds N] [--threads N]      60 and 16 unless given";
const TOKEN_LIFE: Duration = Duration::from_secs(5);
/// A nonce is good for two seconds, and after one a response brings the next.
const NONCE_LIFE: Duration = Duration::from_secs(2);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let (mut seconds, mut threads) = (60, 16);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        use lexopt::ValueExt;
        match argument {
            lexopt::Arg::Long("seconds") => seconds = arguments.value()?.parse()?,
            lexopt::Arg::Long("threads") => threads = arguments.value()?.parse()?,
            lexopt::Arg::Long("serve") => return serve().map(|()| true),
            lexopt::Arg::Long("help") => {
                println!("{USAGE}");
                return Ok(true);
            }
            other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
        }
    }
    soak(Duration::from_secs(seconds), threads)
}

// ---- The server

/// Runs until its standard input ends, and then tells what it saw.
fn serve() -> Result<()> {
    let server = TestServer::builder()
        .token_lifetime(TOKEN_LIFE)
        .nonces(Nonces::Lifetime(NONCE_LIFE))
        .keep(0)
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
        (Endpoint::Resource, 997, Quirk::CloseInstead),
        (Endpoint::Resource, 1009, Quirk::CloseAfter),
        (Endpoint::Resource, 1511, Quirk::CloseMidway),
        (Endpoint::Token, 7, Quirk::Refuse { status: 429, retry_after: Some(0) }),
        (Endpoint::Token, 11, Quirk::Html { status: 502 }),
        (Endpoint::Token, 13, Quirk::CloseInstead),
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
struct Outcomes {
    fine: AtomicU64,
    /// The resource's 503: an answer of the application.
    refused: AtomicU64,
    /// A connection that broke under a POST, or in the middle of a body.
    broken: AtomicU64,
    unexplained: AtomicU64,
    /// The first of those.
    told: Mutex<Vec<String>>,
}

impl Outcomes {
    fn call(&self, session: &Session, resource: &str, number: u64) {
        let url = format!("{resource}/bytes/{}", number % 2_000);
        let post = number.is_multiple_of(5);
        let answer = match post {
            true => session.post(&url, "text/plain", "an order"),
            false => session.get(&url),
        };
        let counter = match answer {
            Ok(mut response) => match (response.status().as_u16(), response.body_mut().read_to_vec()) {
                (200, Ok(_)) => &self.fine,
                (503, Ok(_)) => &self.refused,
                (200, Err(ureq::Error::Io(_) | ureq::Error::Protocol(_))) => &self.broken,
                (status, body) => self.unexplained(format!("status {status}, body {body:?}")),
            },
            Err(error) if post && *error.kind() == ErrorKind::Transport => &self.broken,
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
}

fn soak(duration: Duration, threads: usize) -> Result<bool> {
    let server = Server::start()?;
    let resource = server.text("resource")?.to_owned();
    let session = Session::builder(server.text("issuer")?, server.text("client_id")?)
        .auth(ClientAuth::client_secret_basic(server.text("client_secret")?))
        .transport(Transport::builder().timeout(Duration::from_secs(10)).build())
        .resource_origins([resource.as_str()])
        .dangerous_allow_http_on_loopback()
        .discover()?;
    let outcomes = Outcomes::default();
    let numbers = AtomicU64::new(0);
    let start = Instant::now();
    // The first tenth is for everything to get its size.
    let (warm, at_start) = (start + duration / 10, Mutex::new(None));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while start.elapsed() < duration {
                    outcomes.call(&session, &resource, numbers.fetch_add(1, Ordering::Relaxed));
                    if Instant::now() >= warm {
                        at_start.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(resident);
                    }
                }
            });
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    let at_end = resident();
    let at_start = at_start.into_inner().unwrap_or_else(PoisonError::into_inner).flatten();
    let seen = server.end()?;
    let seen = |name: &str| seen.get(name).and_then(Value::as_u64).unwrap_or_default();

    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (calls, unexplained) = (count(&numbers), count(&outcomes.unexplained));
    let (refused, broken) = (count(&outcomes.refused), count(&outcomes.broken));
    let challenges = seen("challenges") as f64 * 1_000.0 / (calls.max(1) as f64);
    let stats = session.stats();
    println!(
        "calls                 {calls} in {seconds:.1} s by {threads} threads, {:.0} a second",
        calls as f64 / seconds
    );
    println!("  answered            {}", count(&outcomes.fine));
    println!("  refused (503)       {refused}: injected");
    println!("  broken connections  {broken}: injected");
    println!("  failed              {unexplained} that no fault explains");
    println!("faults injected       {}", seen("faults"));
    println!(
        "tokens                {} fetched, {} of them renewals, in {} requests",
        stats.tokens, stats.renewals, stats.token_requests
    );
    println!("sent once more        {}", stats.retries);
    println!("nonces learned        {}", stats.nonces_learned);
    println!("challenges            {challenges:.2} per 1,000 calls (below 10)");
    println!(
        "jti seen twice        {} of {}",
        seen("repeated_proofs"),
        seen("resource_requests") + seen("token_requests")
    );
    match (at_start, at_end) {
        (Some(start), Some(end)) => println!(
            "memory                {start:.1} MiB after a tenth of the time, {end:.1} MiB at the end"
        ),
        _ => println!("memory                not told by this system"),
    }
    for what in outcomes.told.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("not explained: {what}");
    }
    // Each broken or refused call is one fault's work.
    let explained = refused + broken <= seen("faults");
    Ok(unexplained == 0 && explained && seen("repeated_proofs") == 0 && challenges < 10.0 && calls > 0)
}

/// The resident memory of this process in MiB, where the system tells.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
