//! A server that misbehaves all the time. It runs in a process of its own, so that the memory shown is the
//! client's.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use possession::testing::{Endpoint, Nonces, Quirk, TestServer, When};
use serde_json::{Value, json};

use crate::Result;

const TOKEN_LIFETIME: Duration = Duration::from_secs(5);
/// A nonce is valid for two seconds, and after one a response brings the next.
const NONCE_LIFETIME: Duration = Duration::from_secs(2);

/// Runs the server until standard input ends, and then prints what it saw.
pub fn serve() -> Result<()> {
    let server = TestServer::builder()
        .token_lifetime(TOKEN_LIFETIME)
        .nonces(Nonces::Lifetime(NONCE_LIFETIME))
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

/// The server in a process of its own.
pub struct ServerProcess {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    ready: Value,
}

impl ServerProcess {
    pub fn start() -> Result<Self> {
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

    /// Returns a member of what the server printed at its start.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.ready
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("the server printed no {name}").into())
    }

    /// Ends it, and returns what it saw.
    pub fn end(mut self) -> Result<Value> {
        self.input = None;
        self.line()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}
