//! Locks between processes, with a time limit.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::sync::{self, Condvar, Mutex};

/// A file that processes lock while they change another one. The operating system unlocks it when a process
/// ends, so no lock is ever stale. The file is never removed: whoever had it open would lock a file that
/// nobody else finds.
pub(super) struct LockFile {
    path: PathBuf,
    waiting: Arc<Waiting>,
}

/// A locked file, which is unlocked when it is dropped.
#[derive(Debug)]
pub(super) struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing unlocks only when a process that is being started has closed its copy too.
        let _ = self.0.unlock();
    }
}

/// [`File::lock`] has no time limit, so one thread of this process waits in it for all others. It waits on
/// when nobody does any more, and the next one joins it: however often a lock is not released in time, there
/// is one such thread for each lock file at most.
#[derive(Default)]
struct Waiting {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether a thread is waiting in [`File::lock`].
    in_progress: bool,
    /// The number of threads that wait for that thread.
    interested: usize,
    /// What that thread has got, for one of them.
    outcome: Option<io::Result<Locked>>,
}

impl LockFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, waiting: Arc::default() }
    }

    /// Locks the file, which is created if there is none. Returns `None` when the time is over.
    pub(super) fn lock(&self, timeout: Duration) -> io::Result<Option<Locked>> {
        let start = Instant::now();
        loop {
            let file = self.open()?;
            match file.try_lock() {
                Ok(()) => return Ok(Some(Locked(file))),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let remaining = timeout.saturating_sub(start.elapsed());
            if remaining.is_zero() {
                return Ok(None);
            }
            if let Some(outcome) = self.wait(file, remaining)? {
                return outcome.map(Some);
            }
        }
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path)
    }

    /// Waits for the thread that waits for the lock. `None` means that the time is over or that another
    /// thread has got the lock.
    fn wait(&self, file: File, remaining: Duration) -> io::Result<Option<io::Result<Locked>>> {
        let mut state = sync::lock(&self.waiting.state);
        if !state.in_progress && state.outcome.is_none() {
            let waiting = Arc::clone(&self.waiting);
            // The new thread stops at the lock that is held here.
            thread::Builder::new()
                .name("possession: file lock".to_owned())
                .spawn(move || waiting.finish(block(file)))?;
            state.in_progress = true;
        }
        state.interested = state.interested.saturating_add(1);
        let (mut state, _) = self
            .waiting
            .changed
            .wait_timeout_while(state, remaining, |state| state.in_progress && state.outcome.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.interested = state.interested.saturating_sub(1);
        Ok(state.outcome.take())
    }
}

impl Waiting {
    fn finish(&self, outcome: io::Result<Locked>) {
        let mut state = sync::lock(&self.state);
        state.in_progress = false;
        let unused = match state.interested {
            0 => Some(outcome),
            _ => state.outcome.replace(outcome),
        };
        drop(state);
        drop(unused);
        self.changed.notify_all();
    }
}

fn block(file: File) -> io::Result<Locked> {
    loop {
        match file.lock() {
            Ok(()) => return Ok(Locked(file)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tempfile::TempDir;

    use super::*;

    const FOREVER: Duration = Duration::from_secs(3600);

    fn lock_file(folder: &TempDir) -> LockFile {
        LockFile::new(folder.path().join("lock"))
    }

    /// Waits until a thread waits for the lock.
    fn until(file: &LockFile, reached: impl Fn(&State) -> bool) {
        while !reached(&sync::lock(&file.waiting.state)) {
            thread::yield_now();
        }
    }

    #[test]
    fn one_holder_at_a_time_whoever_waits() {
        let folder = tempfile::tempdir().unwrap();
        // Two values for one file, as in two processes.
        let (one, two) = (lock_file(&folder), lock_file(&folder));
        let held = one.lock(Duration::ZERO).unwrap().unwrap();
        assert!(one.lock(Duration::ZERO).unwrap().is_none());
        assert!(two.lock(Duration::ZERO).unwrap().is_none());
        assert!(two.lock(Duration::from_millis(1)).unwrap().is_none());
        let (holders, most) = (Mutex::new(0), Mutex::new(0));
        thread::scope(|scope| {
            for file in [&one, &two, &one, &two, &one] {
                let (holders, most) = (&holders, &most);
                scope.spawn(move || {
                    for _ in 0..50 {
                        let locked = file.lock(FOREVER).unwrap().unwrap();
                        let now = {
                            let mut holders = sync::lock(holders);
                            *holders += 1;
                            *holders
                        };
                        let mut most = sync::lock(most);
                        *most = now.max(*most);
                        drop(most);
                        thread::yield_now();
                        *sync::lock(holders) -= 1;
                        drop(locked);
                    }
                });
            }
            until(&one, |state| state.interested == 3);
            until(&two, |state| state.interested == 2);
            drop(held);
        });
        assert_eq!(*sync::lock(&most), 1);
        assert!(one.lock(Duration::ZERO).unwrap().is_some(), "nobody has kept it");
    }

    #[test]
    fn a_wait_that_nobody_is_interested_in_any_more_is_joined_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (lock_file(&folder), lock_file(&folder));
        let held = one.lock(Duration::ZERO).unwrap();
        for _ in 0..3 {
            assert!(two.lock(Duration::from_millis(1)).unwrap().is_none());
            let state = sync::lock(&two.waiting.state);
            assert_eq!((state.in_progress, state.interested), (true, 0));
        }
        assert_eq!(Arc::strong_count(&two.waiting), 2, "one thread waits");
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| sender.send(two.lock(FOREVER).unwrap().is_some()).unwrap());
            until(&two, |state| state.interested == 1);
            drop(held);
            assert!(receiver.recv().unwrap());
        });
        // A lock that arrives after everybody has left is given back.
        let held = one.lock(Duration::ZERO).unwrap();
        assert!(two.lock(Duration::from_millis(1)).unwrap().is_none());
        drop(held);
        until(&two, |state| !state.in_progress);
        assert!(one.lock(FOREVER).unwrap().is_some());
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = LockFile::new(folder.path().join("missing").join("lock"));
        assert_eq!(file.lock(FOREVER).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
