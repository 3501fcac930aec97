//! The endpoints beside the token endpoint: a request function and a process function for each.

pub(crate) mod introspection;
pub(crate) mod registration;
pub(crate) mod revocation;
