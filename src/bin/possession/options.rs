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

/// Refuses the first option that is given although it has no use with another one. Each has its name and
/// whether that is so.
fn refuse_unused(options: &[(&str, bool)], with: &str) -> Result<(), Failure> {
    match options.iter().find(|(_, is_unused)| *is_unused) {
        Some((option, _)) => Err(usage(format!("{option} has no use with {with}"))),
        None => Ok(()),
    }
}
