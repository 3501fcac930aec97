//! Checks files of test vectors, to compare implementations of RFC 9449 and the RFCs under it.
//! `test-vectors/README.md` describes their schema.
//!
//! Prints a line for each failed case, then `N passed, N failed`. Exit status: 0 all passed, 1 some failed, 2 bad usage.

mod check;
#[path = "../common/mod.rs"]
mod common;
mod format;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use common::{Stop, usage};

const HELP: &str = "\
Checks files of test vectors. test-vectors/README.md describes their schema.

Usage: vectors FILE…

Standard output gets a line for each failed case, then `N passed, N failed`.
Exit status: 0 all passed, 1 some failed, 2 bad usage.
";

fn main() -> ExitCode {
    common::run(HELP, |options| check_files(&options.arguments()?))
}

fn check_files(files: &[OsString]) -> Result<(), Stop> {
    if files.is_empty() {
        return Err(usage("no file is given"));
    }
    // A panic is a failed case and is reported as one.
    std::panic::set_hook(Box::new(|_| {}));
    let (mut passed, mut failed) = (0, 0);
    for file in files {
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
    if failed > 0 { Err(format!("failed cases: {failed}").into()) } else { Ok(()) }
}
