//! A key that never enters this program: another process keeps it and signs, as an HSM, a KMS or an agent
//! does.
//!
//! The process is this program started again with the argument `agent`. It speaks lines of base64: a
//! message comes in, its signature goes out.
//!
//! Beside this crate it uses base64ct 1.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::SystemTime;

use base64ct::{Base64, Encoding};
use common::{AnyError, usage};
use possession::server::{MemoryReplayStore, ReceivedRequest, Verifier};
use possession::{Algorithm, KeyPair, Proof, Prover, PublicKey, ServerRole, Signer};

const HELP: &str = "\
Makes a proof with a key that another process keeps, and verifies it.

Usage: external_signer
";

/// Signs by asking the agent.
struct Agent {
    public_key: PublicKey,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    process: Child,
}

impl Agent {
    fn start() -> Result<Self, AnyError> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("agent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) =
            process.stdin.take().zip(process.stdout.take()).ok_or("the agent has no pipes")?;
        let mut stdout = BufReader::new(stdout);
        let mut jwk = String::new();
        stdout.read_line(&mut jwk)?;
        Ok(Self { public_key: PublicKey::from_jwk(&jwk)?, pipes: Mutex::new((stdin, stdout)), process })
    }
}

impl Signer for Agent {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }

    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AnyError> {
        let mut pipes = self.pipes.lock().map_err(|_| "a thread panicked while it signed")?;
        let (stdin, stdout) = &mut *pipes;
        writeln!(stdin, "{}", Base64::encode_string(message))?;
        let mut response = String::new();
        match stdout.read_line(&mut response)? {
            0 => Err("the agent is gone".into()),
            _ => Ok(Base64::decode_vec(response.trim_end())?),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Its standard input ends with this process at the latest, and so does the agent.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn main() -> ExitCode {
    common::run(HELP, |options| match options.arguments()?.as_slice() {
        [] => Ok(prove_and_verify()?),
        [argument] if argument == "agent" => Ok(agent()?),
        _ => Err(usage("unexpected arguments")),
    })
}

fn prove_and_verify() -> Result<(), AnyError> {
    let prover = Prover::new(Agent::start()?)?;
    let now = SystemTime::now();
    let proof = prover.prove(
        ServerRole::AuthorizationServer,
        Proof::new(&http::Method::POST, "https://server.example.com/token")?,
        now,
    )?;

    let verifier = Verifier::new(MemoryReplayStore::new(1000));
    let request = ReceivedRequest::from_fields(
        &http::Method::POST,
        "https://server.example.com/token",
        vec![proof.as_bytes()],
    )?;
    let verified = verifier.verify_token_request(&request, now)?;
    assert_eq!(verified.thumbprint(), prover.thumbprint());
    println!("a proof signed by another process was verified; its key is {}", verified.thumbprint());
    Ok(())
}

/// The other process, which keeps the key and signs the messages it receives.
fn agent() -> Result<(), AnyError> {
    let key = KeyPair::generate(Algorithm::Es256)?;
    println!("{}", key.to_public().to_jwk());
    for line in std::io::stdin().lines() {
        let message = Base64::decode_vec(&line?)?;
        println!("{}", Base64::encode_string(&key.sign(&message)?));
    }
    Ok(())
}
