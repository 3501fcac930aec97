//! The logger and the panic hook of this test binary.
//!
//! There is one logger per process, and the tests of one binary run in parallel in it. So every record is
//! kept with its thread: all records are searched for secrets, and only those of a test's own thread count
//! as what that test has seen. The records of ureq-proto that contain every byte are kept apart, in the
//! thread that asked for them, because one test provokes them on purpose.

use std::cell::{Cell, RefCell};
use std::panic;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread::{self, ThreadId};

/// The target of the records of ureq-proto that contain every byte. The crate sends nothing while a logger
/// takes them.
const DUMPS: &str = "ureq_proto::util";
/// The target under which panic messages are kept.
pub const PANIC: &str = "panic";
/// The message of a failed check begins with this. It repeats the leak and is not kept, so that other tests
/// do not fail.
pub const REPORT: &str = "secrets were shown:";

pub struct Record {
    pub thread: ThreadId,
    pub target: String,
    pub text: String,
}

impl Record {
    /// Whether the crate, or a panic, is the source of the text. Other crates may show the URLs they are
    /// given.
    pub fn is_ours(&self) -> bool {
        self.target.starts_with("possession") || self.target == PANIC
    }
}

static RECORDS: Mutex<Vec<Arc<Record>>> = Mutex::new(Vec::new());

thread_local! {
    /// Whether this thread takes the records of `DUMPS`.
    static DUMP: Cell<bool> = const { Cell::new(false) };
    static DUMPED: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Capture;

impl log::Log for Capture {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() != DUMPS || DUMP.get()
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
        } else if record.target() == DUMPS {
            DUMPED.with_borrow_mut(|dumped| dumped.push_str(&bytes_of_row(&record.args().to_string())));
        } else {
            keep(record.target(), record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// A row shows 16 bytes in eight groups of four digits and a space, with `--` where there is no byte.
fn bytes_of_row(row: &str) -> String {
    let digits: Vec<_> = row.chars().take(40).filter_map(|c| c.to_digit(16)).collect();
    let bytes = digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap());
    // Each byte stands for itself, so that rows can be joined within a character.
    bytes.map(char::from).collect()
}

fn keep(target: &str, text: String) {
    let record = Record { thread: thread::current().id(), target: target.to_owned(), text };
    RECORDS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(record));
}

/// Installs the logger and the panic hook, once.
pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Capture).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        let default_hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let text = info.to_string();
            if !text.contains(REPORT) {
                keep(PANIC, text.clone());
            }
            // A panic that a test provokes is not printed.
            if !text.contains("provoked") {
                default_hook(info);
            }
        }));
    });
}

/// The records of all threads.
pub fn records() -> Vec<Arc<Record>> {
    RECORDS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The records of this thread.
pub fn records_of_this_thread() -> Vec<Arc<Record>> {
    let mut records = records();
    records.retain(|record| record.thread == thread::current().id());
    records
}

/// Sets whether this thread takes the records of ureq-proto that contain every byte. Forgets earlier ones.
#[cfg(feature = "ureq")]
pub fn take_dumps(take: bool) {
    if take {
        DUMPED.take();
    }
    DUMP.set(take);
}

/// The bytes that ureq-proto has dumped in this thread: heads and responses as they went over the wire.
#[cfg(feature = "ureq")]
pub fn dumped() -> String {
    DUMPED.with_borrow(String::clone)
}
