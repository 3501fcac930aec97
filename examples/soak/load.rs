//! Threads that make calls all the time, and what became of the calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use possession::{ErrorKind, Session, ureq};

/// A call to make.
pub struct Call {
    pub url: String,
    pub post: bool,
}

/// What became of the calls.
#[derive(Default)]
pub struct Outcomes {
    calls: AtomicU64,
    succeeded: AtomicU64,
    /// Responses of the resource with 503.
    refused: AtomicU64,
    /// A connection that broke during a POST, or in the middle of a body.
    broken: AtomicU64,
    /// Failures that no fault explains.
    failed: AtomicU64,
    /// The first of those.
    failures: Mutex<Vec<String>>,
    /// Resident memory in MiB, when a tenth of the time was over and at the end.
    memory: Mutex<(Option<f64>, Option<f64>)>,
    duration: Duration,
}

impl Outcomes {
    /// Lets all threads make calls until the time is over.
    pub fn of_calls(
        session: &Session,
        duration: Duration,
        threads: usize,
        call: impl Fn(u64) -> Call + Sync,
    ) -> Self {
        let outcomes = Self { duration, ..Self::default() };
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while start.elapsed() < duration {
                        let number = outcomes.calls.fetch_add(1, Ordering::Relaxed);
                        outcomes.make(session, &call(number));
                        // Caches and buffers have reached their size by then.
                        if start.elapsed() > duration / 10 {
                            lock(&outcomes.memory).0.get_or_insert_with(|| resident().unwrap_or_default());
                        }
                    }
                });
            }
        });
        lock(&outcomes.memory).1 = resident();
        outcomes
    }

    fn make(&self, session: &Session, call: &Call) {
        let response = match call.post {
            true => session.post(&call.url, "text/plain", "an order"),
            false => session.get(&call.url),
        };
        let counter = match response {
            Ok(mut response) => match (response.status().as_u16(), response.body_mut().read_to_vec()) {
                (200, Ok(_)) => &self.succeeded,
                (503, Ok(_)) => &self.refused,
                (200, Err(ureq::Error::Io(_) | ureq::Error::Protocol(_))) => &self.broken,
                (status, body) => self.failure(format!("status {status}, body {body:?}")),
            },
            Err(error) if call.post && *error.kind() == ErrorKind::Transport => &self.broken,
            Err(error) => self.failure(error.to_string()),
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn failure(&self, what: String) -> &AtomicU64 {
        let mut failures = lock(&self.failures);
        if failures.len() < 10 {
            failures.push(what);
        }
        &self.failed
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Returns how many calls the resource refused with 503.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Returns how many connections broke.
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    /// Returns whether calls succeeded, and none failed for an unknown reason.
    pub fn are_good(&self) -> bool {
        self.failed.load(Ordering::Relaxed) == 0 && self.succeeded.load(Ordering::Relaxed) > 0
    }

    pub fn print(&self, session: &Session) {
        let stats = session.stats();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let rate = self.calls() / self.duration.as_secs().max(1);
        println!("calls                 {}, {rate} a second", self.calls());
        println!("  succeeded           {}", count(&self.succeeded));
        println!("  refused (503)       {}", self.refused());
        println!("  broken connections  {}", self.broken());
        println!("  other failures      {}", count(&self.failed));
        println!("tokens                {} in {} requests", stats.tokens, stats.token_requests);
        println!("retries               {}", stats.retries);
        println!("nonces learned        {}", stats.nonces_learned);
        match *lock(&self.memory) {
            (Some(start), Some(end)) => {
                println!(
                    "memory                {start:.1} MiB after a tenth of the time, {end:.1} at the end"
                );
            }
            _ => println!("memory                not available on this system"),
        }
        for failure in lock(&self.failures).iter() {
            println!("failed: {failure}");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the resident memory of this process in MiB, where the system tells.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
