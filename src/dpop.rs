//! The DPoP proof, and the values that a client and a server both compute (RFC 9449 §4).

pub(crate) mod header_names;
pub(crate) mod htu;
pub(crate) mod proof;
pub(crate) mod server_role;
