//! Options that several commands share.

pub mod client;
pub mod grant;
pub mod key;
pub mod replaceable_file;
pub mod secret;
pub mod server;
pub mod session;
pub mod sign_in;
