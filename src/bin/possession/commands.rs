//! The commands, one module each.

pub mod call;
pub mod documents;
pub mod explain;
pub mod key;
pub mod login;
pub mod probe;
pub mod proof;
pub mod serve;
pub mod token;
pub mod vectors;
