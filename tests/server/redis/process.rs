//! Redis servers on loopback, each for one test.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use possession::server::{RedisManager, RedisReplayStore};
use possession::{r2d2, redis};

use super::PATIENT;

/// A Redis server of one test: on loopback, without persistence, stopped when dropped.
pub struct Server {
    port: u16,
    options: Vec<String>,
    environment: Vec<(&'static str, OsString)>,
    directory: PathBuf,
    process: Child,
    /// Kept open because the server writes to it.
    _log: BufReader<ChildStdout>,
}

impl Server {
    pub fn start(options: &[&str]) -> Self {
        Self::start_in(new_directory(), options, Vec::new())
    }

    /// Starts a server whose clock can be set, by libfaketime.
    pub fn start_with_clock(options: &[&str]) -> Self {
        let directory = new_directory();
        std::fs::write(directory.join("clock"), "+0").unwrap();
        // The wrapper knows where the library is. Redis in Debian allocates memory with jemalloc, which reads the
        // clock before libfaketime is ready, so the functions of the C library are put before those of jemalloc.
        let mut wrapper = Command::new("faketime");
        let library = wrapper.args(["-m", "-f", "+0", "sh", "-c", "printf %s \"$LD_PRELOAD\""]);
        let library = found(library.output(), "faketime", "faketime").stdout;
        let library = String::from_utf8(library).unwrap();
        assert!(library.contains("libfaketime"), "{library:?}");
        let environment = vec![
            ("LD_PRELOAD", format!("{library} libc.so.6").into()),
            ("FAKETIME_TIMESTAMP_FILE", directory.join("clock").into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
        ];
        Self::start_in(directory, options, environment)
    }

    fn start_in(directory: PathBuf, options: &[&str], environment: Vec<(&'static str, OsString)>) -> Self {
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        // Another process may take the port in the meantime.
        let mut tries = (0..10).map(|_| free_port());
        let started = tries.find_map(|port| Some((port, run(port, &options, &environment, &directory)?)));
        let (port, (process, log)) = started.expect("redis-server starts on a free port");
        Self { port, options, environment, directory, process, _log: log }
    }

    /// Sets the clock of the server that many seconds ahead of the right time.
    pub fn set_clock(&self, ahead: i64) {
        let file = self.directory.join("clock");
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
        let (process, log) = run(self.port, &self.options, &self.environment, &self.directory)
            .expect("redis-server starts on its port again");
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
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A server that is ready, or `None` if it did not start.
fn run(
    port: u16,
    options: &[String],
    environment: &[(&'static str, OsString)],
    directory: &PathBuf,
) -> Option<(Child, BufReader<ChildStdout>)> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
    command.args(["--logfile", "", "--port", &port.to_string()]).arg("--dir").arg(directory).args(options);
    command.envs(environment.iter().cloned());
    let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut process = found(process, "redis-server", "redis-server");
    let mut log = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("Ready to accept connections") {
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

fn new_directory() -> PathBuf {
    static DIRECTORIES: AtomicUsize = AtomicUsize::new(0);
    let n = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("possession-redis-{}-{n}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    directory
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
