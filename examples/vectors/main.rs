//! Checks files of test vectors, to compare implementations of RFC 9449 and the RFCs under it. The schema stands in
//! `test-vectors/README.md`.
//!
//! Prints a line for each failed case, then `N passed, N failed`. Exit status: 0 all passed, 1 some failed, 2 bad usage.

mod check;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    let help = files.iter().any(|file| file == "--help" || file == "-h");
    if help || files.is_empty() {
        eprintln!(
            "Usage: vectors FILE…\n\nChecks files of test vectors; their schema stands in test-vectors/README.md."
        );
        return ExitCode::from(if help { 0 } else { 2 });
    }
    // A panic is a failed case and is told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let (mut passed, mut failed) = (0, 0);
    for file in &files {
        for (id, outcome) in check::check_file(Path::new(file)) {
            match outcome {
                Ok(()) => passed += 1,
                Err(why) => {
                    failed += 1;
                    println!("{}: {id}: {why}", Path::new(file).display());
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
