//! Redis servers on loopback, each for one test.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use possession::server::{RedisManager, RedisReplayStore};
use possession::{r2d2, redis};
use tempfile::TempDir;

use super::PATIENT;

/// A Redis server of one test: on loopback, without persistence, stopped when dropped.
pub struct Server {
    pub port: u16,
    arguments: Vec<String>,
    environment: Vec<(&'static str, OsString)>,
    directory: TempDir,
    process: Child,
    /// Kept open because the server writes to it.
    _log: BufReader<ChildStdout>,
}

impl Server {
    pub fn start(options: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), options, Vec::new())
    }

    /// Starts a server whose clock can be set, by libfaketime.
    pub fn start_with_clock(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("clock"), "+0").unwrap();
        // The wrapper knows where the library is. Redis in Debian allocates memory with jemalloc, which
        // reads the clock before libfaketime is ready, so the functions of the C library are put before
        // those of jemalloc.
        let mut wrapper = Command::new("faketime");
        let library = wrapper.args(["-m", "-f", "+0", "sh", "-c", "printf %s \"$LD_PRELOAD\""]);
        let library = found(library.output(), "faketime", "faketime").stdout;
        let library = String::from_utf8(library).unwrap();
        assert!(library.contains("libfaketime"), "{library:?}");
        let environment = vec![
            ("LD_PRELOAD", format!("{library} libc.so.6").into()),
            ("FAKETIME_TIMESTAMP_FILE", directory.path().join("clock").into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
        ];
        Self::start_in(directory, options, environment)
    }

    /// Starts a server that accepts TLS alone.
    pub fn start_with_tls(chain: &str, key: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("chain.pem"), chain).unwrap();
        std::fs::write(directory.path().join("key.pem"), key).unwrap();
        let options = ["--port", "0", "--tls-port", "{port}", "--tls-auth-clients", "no"];
        let files =
            ["--tls-cert-file", "chain.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "chain.pem"];
        Self::start_in(directory, &[&options[..], &files].concat(), Vec::new())
    }

    /// Starts a Sentinel that knows this server by a name, and replaces it when it was silent for half a
    /// second.
    pub fn start_sentinel(name: &str, primary: &Self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = format!(
            "sentinel monitor {name} 127.0.0.1 {} 1\nsentinel down-after-milliseconds {name} 500\n\
             sentinel failover-timeout {name} 3000\n",
            primary.port
        );
        // It writes what it learns into this file.
        std::fs::write(directory.path().join("sentinel.conf"), settings).unwrap();
        let arguments =
            ["{directory}/sentinel.conf", "--sentinel", "--bind", "127.0.0.1", "--port", "{port}"];
        Self::start_program(directory, &arguments, Vec::new())
    }

    fn start_in(directory: TempDir, options: &[&str], environment: Vec<(&'static str, OsString)>) -> Self {
        let always = ["--bind", "127.0.0.1", "--port", "{port}", "--dir", "{directory}", "--logfile", ""];
        let without_files = ["--save", "", "--appendonly", "no", "--daemonize", "no"];
        Self::start_program(directory, &[&always[..], &without_files, options].concat(), environment)
    }

    fn start_program(
        directory: TempDir,
        arguments: &[&str],
        environment: Vec<(&'static str, OsString)>,
    ) -> Self {
        // Another process may take the ports in the meantime.
        let started = (0..10).find_map(|_| {
            let (port, other) = (free_port(), free_port().to_string());
            let complete = |argument: &&str| {
                let argument = argument.replace("{port}", &port.to_string()).replace("{other port}", &other);
                argument.replace("{directory}", directory.path().to_str().unwrap())
            };
            let arguments: Vec<_> = arguments.iter().map(complete).collect();
            let (process, log) = run(&arguments, &environment, directory.path())?;
            Some((port, arguments, process, log))
        });
        let (port, arguments, process, log) = started.expect("redis-server starts on a free port");
        Self { port, arguments, environment, directory, process, _log: log }
    }

    /// Sets the clock of the server that many seconds ahead of the right time.
    pub fn set_clock(&self, ahead: i64) {
        let file = self.directory.path().join("clock");
        assert!(file.exists());
        // The server never reads half of it.
        std::fs::write(file.with_extension("new"), format!("{ahead:+}")).unwrap();
        std::fs::rename(file.with_extension("new"), file).unwrap();
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts an empty server on the same port.
    pub fn start_again(&mut self) {
        let started = run(&self.arguments, &self.environment, self.directory.path());
        let (process, log) = started.expect("redis-server starts on its port again");
        (self.process, self._log) = (process, log);
    }

    pub fn url(&self, credentials: &str) -> String {
        format!("redis://{credentials}127.0.0.1:{}", self.port)
    }

    pub fn connection(&self, credentials: &str) -> redis::Connection {
        redis::Client::open(self.url(credentials)).unwrap().get_connection_with_timeout(PATIENT).unwrap()
    }

    pub fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        command.query(&mut self.connection("")).unwrap()
    }

    /// Asks the same until the response is as it should be.
    pub fn wait_until<T: redis::FromRedisValue>(&self, command: &str, is_so: impl Fn(&T) -> bool) {
        let started = Instant::now();
        while !is_so(&self.ask(command)) {
            assert!(started.elapsed() < PATIENT, "{command}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The number of open connections that have sent a proof.
    pub fn connections_of_stores(&self) -> usize {
        let clients: String = self.ask("CLIENT LIST");
        // With each proof goes a request for the time.
        clients.lines().filter(|client| client.contains(" cmd=time ")).count()
    }

    pub fn store(&self) -> RedisReplayStore {
        RedisReplayStore::new(pool(&self.url(""), 8, PATIENT))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server that is ready, or `None` if it did not start.
fn run(
    arguments: &[String],
    environment: &[(&'static str, OsString)],
    directory: &Path,
) -> Option<(Child, BufReader<ChildStdout>)> {
    let mut command = Command::new("redis-server");
    command.args(arguments).envs(environment.iter().cloned()).current_dir(directory);
    let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut process = found(process, "redis-server", "redis-server");
    let mut log = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    // The second is what a Sentinel says.
    while !line.contains("Ready to accept connections") && !line.contains("+monitor master") {
        line.clear();
        if log.read_line(&mut line).unwrap() == 0 {
            process.wait().unwrap();
            return None;
        }
    }
    Some((process, log))
}

/// The result of starting a program, which a package contains.
fn found<T>(started: io::Result<T>, program: &str, package: &str) -> T {
    match started {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            panic!("these tests need `{program}` in PATH: apt-get install {package}")
        }
        started => started.unwrap(),
    }
}

/// Runs `redis-cli`, which does to a cluster what takes many commands.
pub fn redis_cli(arguments: &[&str]) {
    let output = found(Command::new("redis-cli").args(arguments).output(), "redis-cli", "redis-tools");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

pub fn free_port() -> u16 {
    listener().local_addr().unwrap().port()
}

pub fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

pub fn url_of(listener: &TcpListener) -> String {
    format!("redis://{}", listener.local_addr().unwrap())
}

pub fn pool(url: &str, size: u32, timeout: Duration) -> r2d2::Pool<RedisManager> {
    let manager = RedisManager::new(redis::Client::open(url).unwrap()).timeout(timeout);
    let builder = r2d2::Pool::builder().max_size(size).connection_timeout(timeout);
    // Failures are expected here and need not be logged.
    builder.error_handler(Box::new(r2d2::NopErrorHandler)).build_unchecked(manager)
}
