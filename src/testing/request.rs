//! A request as the endpoints of a test server handle it.

use std::time::SystemTime;

use http::Uri;
use http::request::Parts;

use super::quirk::{Endpoint, Quirk};
use super::received::DecodedJwt;
use crate::dpop::server_role::ServerRole;

pub(super) struct Request<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) role: ServerRole,
    /// The origin that received it.
    pub(super) origin: &'a str,
    pub(super) parts: &'a Parts,
    pub(super) proof: Option<DecodedJwt>,
    /// The quirks that take effect.
    pub(super) quirks: &'a [Quirk],
    pub(super) now: SystemTime,
}

impl Request<'_> {
    /// Returns the origin and the parts that the proof is compared with. Quirks make them differ from those
    /// received.
    pub(super) fn as_verified(&self) -> (String, Parts) {
        let (mut origin, mut parts) = (self.origin.to_owned(), self.parts.clone());
        for quirk in self.quirks {
            match quirk {
                Quirk::DecodedHtu => {
                    let path = parts.uri.path().replace("%40", "@").replace("%3A", ":");
                    parts.uri = path.parse::<Uri>().unwrap_or(parts.uri);
                }
                Quirk::HtuOrigin(other) => origin.clone_from(other),
                _ => {}
            }
        }
        (origin, parts)
    }
}
