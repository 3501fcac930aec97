//! The quirks that are set, and which of them take effect on a request.

use std::sync::Mutex;

use super::quirk::{Endpoint, Quirk, When};
use crate::sync;

#[derive(Default)]
pub(super) struct QuirkSchedule(Mutex<Vec<Entry>>);

struct Entry {
    endpoint: Endpoint,
    when: When,
    quirk: Quirk,
    /// The number of requests to the endpoint since the quirk was set.
    requests: u32,
}

impl QuirkSchedule {
    pub(super) fn add(&self, endpoint: Endpoint, when: When, quirk: Quirk) {
        sync::lock(&self.0).push(Entry { endpoint, when, quirk, requests: 0 });
    }

    pub(super) fn clear(&self) {
        sync::lock(&self.0).clear();
    }

    /// Counts a request to `endpoint` and returns the quirks that take effect on it, in the order in which
    /// they were set.
    pub(super) fn next_request(&self, endpoint: Endpoint) -> Vec<Quirk> {
        let mut entries = sync::lock(&self.0);
        let entries = entries.iter_mut().filter(|entry| entry.endpoint == endpoint);
        entries.filter_map(Entry::next_request).collect()
    }
}

impl Entry {
    fn next_request(&mut self) -> Option<Quirk> {
        self.requests = self.requests.wrapping_add(1);
        let active = match self.when {
            When::Always => true,
            When::Next(count) => self.requests <= count,
            When::Every(count) => self.requests.is_multiple_of(count.max(1)),
        };
        active.then(|| self.quirk.clone())
    }
}
