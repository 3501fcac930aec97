//! Models of what threads share. [shuttle](https://docs.rs/shuttle) runs each of them many times, with its
//! own locks and atomics, and chooses which thread makes the next step. It finds deadlocks as well.
#![allow(clippy::unwrap_used, reason = "helpers of tests: what fails here fails a test")]

use std::sync::Arc;

use shuttle::thread;

/// Tries out orders of the steps of all threads: many at random, and many with few changes of the thread,
/// which find most faults.
pub(crate) fn try_out(model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    let again = Arc::clone(&model);
    shuttle::check_random(move || model(), 2_000);
    shuttle::check_pct(move || again(), 2_000, 3);
}

/// Runs the function on that many threads, with the number of each, and returns what they return.
pub(crate) fn on_threads<T: Send + 'static>(
    count: u64,
    run: impl Fn(u64) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let run = Arc::new(run);
    let start = |number| {
        let run = Arc::clone(&run);
        thread::spawn(move || run(number))
    };
    let threads: Vec<_> = (0..count).map(start).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}
