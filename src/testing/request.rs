//! A request as the endpoints of a test server handle it.

use std::time::SystemTime;

use http::Uri;
use http::request::Parts;

use super::quirk::{Endpoint, Quirk};
use super::quirk_schedule::ActiveQuirks;
use super::received::DecodedJwt;
use crate::dpop::htu::Htu;
use crate::dpop::server_role::ServerRole;

pub(super) struct Request<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) role: ServerRole,
    /// The origin that received it.
    pub(super) origin: &'a str,
    pub(super) parts: &'a Parts,
    pub(super) proof: Option<DecodedJwt>,
    /// The quirks that may take effect.
    pub(super) quirks: &'a ActiveQuirks<'a>,
    pub(super) now: SystemTime,
}

impl Request<'_> {
    /// Returns the origin and the parts that the proof is compared with. Quirks make them differ from those
    /// received.
    pub(super) fn as_verified(&self) -> (String, Parts) {
        let received = (self.origin.to_owned(), self.parts.uri.clone());
        let change = |quirk: &Quirk, (origin, uri): &mut (String, Uri)| {
            match quirk {
                Quirk::DecodedHtu => {
                    let path = uri.path().replace("%40", "@").replace("%3A", ":");
                    *uri = path.parse().unwrap_or_else(|_| uri.clone());
                }
                Quirk::HtuOrigin(other) => origin.clone_from(other),
                _ => return false,
            }
            true
        };
        let mut parts = self.parts.clone();
        let (origin, uri) = self.quirks.requirement(received, change, |url| self.proof_is_for(url));
        parts.uri = uri;
        (origin, parts)
    }

    fn proof_is_for(&self, (origin, uri): &(String, Uri)) -> bool {
        let htu = self.proof.as_ref().and_then(|proof| proof.string_claim("htu")?.parse::<Htu>().ok());
        htu.is_some_and(|htu| format!("{origin}{}", uri.path()).parse().is_ok_and(|url: Htu| url == htu))
    }
}
