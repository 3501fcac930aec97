//! Redis servers on loopback, each for one test.

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
    directory: PathBuf,
    process: Child,
    /// Kept open because the server writes to it.
    _log: BufReader<ChildStdout>,
}

impl Server {
    pub fn start(options: &[&str]) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let n = STARTED.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("possession-redis-{}-{n}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        // Another process may take the port in the meantime.
        let mut tries = (0..10).map(|_| free_port());
        let started = tries.find_map(|port| Some((port, run(port, &options, &directory)?)));
        let (port, (process, log)) = started.expect("redis-server starts on a free port");
        Self { port, options, directory, process, _log: log }
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts an empty server on the same port.
    pub fn start_again(&mut self) {
        let (process, log) =
            run(self.port, &self.options, &self.directory).expect("redis-server starts on its port again");
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
        clients.lines().filter(|client| client.contains(" cmd=set ")).count()
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
fn run(port: u16, options: &[String], directory: &PathBuf) -> Option<(Child, BufReader<ChildStdout>)> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
    command.args(["--logfile", "", "--port", &port.to_string()]).arg("--dir").arg(directory).args(options);
    let mut process = match command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            panic!("these tests need `redis-server` in PATH: apt-get install redis-server")
        }
        process => process.unwrap(),
    };
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
