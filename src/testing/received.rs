//! What was on the wire.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use super::quirk::Endpoint;
use crate::crypto::sha256;
use crate::jose::base64url::from_base64url;
use crate::sync;

/// So many `jti` are remembered before the older half of them is let go.
const MAX_JTIS: usize = 1_000_000;

/// A request as it came.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received {
    /// What it came for.
    pub endpoint: Endpoint,
    /// Its method.
    pub method: Method,
    /// Its target: path and query.
    pub target: String,
    /// The origin it was sent to.
    pub origin: String,
    /// Its header fields, all of them.
    pub headers: HeaderMap,
    /// Its body. Of a request that was refused before, there is none.
    pub body: Vec<u8>,
    /// The connection it came over: a number of its own for each.
    pub connection: usize,
    /// When it came, by the server's clock.
    pub at: SystemTime,
    /// The status it was answered with; `None` where it was not answered, or as bytes.
    pub status: Option<StatusCode>,
}

/// A compact JWS, decoded and not checked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DecodedJwt {
    /// Its JOSE header.
    pub header: Value,
    /// Its claims.
    pub claims: Value,
}

impl DecodedJwt {
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut segments = text.split('.');
        let mut decode = || serde_json::from_slice(&from_base64url(segments.next()?)?).ok();
        Some(Self { header: decode()?, claims: decode()? })
    }

    pub(super) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim).and_then(Value::as_str)
    }
}

impl Received {
    /// The values of a header field, in order.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// The proof, decoded; `None` without exactly one that can be.
    #[must_use]
    pub fn proof(&self) -> Option<DecodedJwt> {
        match *self.all("dpop") {
            [proof] => DecodedJwt::of(proof),
            _ => None,
        }
    }

    /// The client assertion, decoded.
    #[must_use]
    pub fn assertion(&self) -> Option<DecodedJwt> {
        DecodedJwt::of(&self.field("client_assertion")?)
    }

    /// The fields of a form, in order.
    #[must_use]
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// One of them, by its name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        self.form().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

/// How many of what there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests of every kind.
    pub requests: u64,
    /// Requests to the token endpoint.
    pub token_requests: u64,
    /// Requests to resources.
    pub resource_requests: u64,
    /// Access tokens given.
    pub tokens: u64,
    /// Refusals that asked for a nonce.
    pub challenges: u64,
    /// Proofs and assertions whose `jti` came before.
    pub repeated_proofs: u64,
    /// Quirks that took effect.
    pub quirks: u64,
}

/// What is kept of what was received.
pub(super) struct Log {
    keep: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    received: VecDeque<Received>,
    counts: Counts,
    /// Two generations, so that old ones go without being looked for.
    jtis: [HashSet<[u8; 16]>; 2],
}

impl Log {
    pub(super) fn new(keep: usize) -> Self {
        Self { keep, kept: Mutex::default() }
    }

    pub(super) fn add(&self, received: Received) {
        let jtis: Vec<_> = [received.proof(), received.assertion()]
            .into_iter()
            .flatten()
            .filter_map(|jwt| jwt.text("jti").map(|jti| sha256(jti.as_bytes())))
            .collect();
        let mut kept = self.lock();
        let counts = &mut kept.counts;
        counts.requests += 1;
        match received.endpoint {
            Endpoint::Token => counts.token_requests += 1,
            Endpoint::Resource => counts.resource_requests += 1,
            Endpoint::Metadata => {}
        }
        for jti in jtis {
            kept.count_jti(&jti);
        }
        if self.keep > 0 {
            if kept.received.len() >= self.keep {
                kept.received.pop_front();
            }
            kept.received.push_back(received);
        }
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counts) -> &mut u64) {
        *count(&mut self.lock().counts) += 1;
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.lock().received.iter().cloned().collect()
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    pub(super) fn clear(&self) {
        let mut kept = self.lock();
        kept.received.clear();
        kept.counts = Counts::default();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        sync::lock(&self.kept)
    }
}

impl Kept {
    fn count_jti(&mut self, digest: &[u8; 32]) {
        let mut jti = [0; 16];
        jti.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
        let [new, old] = &mut self.jtis;
        if old.contains(&jti) || !new.insert(jti) {
            self.counts.repeated_proofs += 1;
        } else if new.len() >= MAX_JTIS / 2 {
            *old = std::mem::take(new);
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
