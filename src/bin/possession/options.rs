//! Options that several commands share.

pub mod client;
pub mod grant;
pub mod key;
pub mod replaceable_file;
pub mod secret;
pub mod server;
pub mod session;
pub mod sign_in;

use crate::failure::{Failure, usage};

/// Refuses the first option that is given although it has no use with, or without, something else. Each has
/// its name and whether that is so.
pub fn refuse_unused(options: &[(&str, bool)], with_what: &str) -> Result<(), Failure> {
    match options.iter().find(|(_, is_unused)| *is_unused) {
        Some((option, _)) => Err(usage(format!("{option} has no use {with_what}"))),
        None => Ok(()),
    }
}
