//! The quirks that are set, and which of them take effect on a response.

use std::cell::Cell;

use super::quirk::{Endpoint, Quirk, When};

use crate::sync::{self, Mutex};

#[derive(Default)]
pub(super) struct QuirkSchedule(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    /// The number of entries so far, those of the past included.
    count: u64,
}

struct Entry {
    id: u64,
    endpoint: Endpoint,
    when: When,
    /// What [`Quirk::flatten`] returns.
    quirks: Vec<Quirk>,
    /// The number of requests to the endpoint since the quirk was set.
    requests: u32,
    /// The number of responses that [`When::Next`] still has to change.
    left: u32,
}

/// The quirks that may change one response, in the order in which they were set.
pub(super) struct ActiveQuirks<'a> {
    schedule: &'a QuirkSchedule,
    quirks: Vec<ActiveQuirk>,
    /// The entry with [`When::Next`] that took effect. The other ones wait for the next response.
    used_next: Cell<Option<u64>>,
}

pub(super) struct ActiveQuirk {
    pub(super) quirk: Quirk,
    id: u64,
    is_next: bool,
    took_effect: Cell<bool>,
}

impl QuirkSchedule {
    pub(super) fn add(&self, endpoint: Endpoint, when: When, quirk: Quirk) {
        let mut entries = sync::lock(&self.0);
        let id = entries.count;
        entries.count += 1;
        let left = match when {
            When::Next(count) => count,
            When::Always | When::Every(_) => 0,
        };
        entries.list.push(Entry { id, endpoint, when, quirks: quirk.flatten(), requests: 0, left });
    }

    pub(super) fn clear(&self) {
        sync::lock(&self.0).list.clear();
    }

    /// Counts a request to `endpoint` and returns the quirks that may change its response.
    pub(super) fn next_request(&self, endpoint: Endpoint) -> ActiveQuirks<'_> {
        let mut entries = sync::lock(&self.0);
        let mut quirks = Vec::new();
        // After a quirk that changes every response, none with `When::Next` gets this one.
        let mut next_is_certain = false;
        for entry in entries.list.iter_mut().filter(|entry| entry.endpoint == endpoint) {
            entry.requests = entry.requests.wrapping_add(1);
            let is_next = matches!(entry.when, When::Next(_));
            let is_active = match entry.when {
                When::Always => true,
                When::Next(_) => entry.left > 0 && !next_is_certain,
                When::Every(count) => entry.requests.is_multiple_of(count.max(1)),
            };
            if is_active {
                next_is_certain |= is_next && entry.quirks.first().is_some_and(Quirk::changes_every_response);
                quirks.extend(entry.quirks.iter().map(|quirk| ActiveQuirk {
                    quirk: quirk.clone(),
                    id: entry.id,
                    is_next,
                    took_effect: Cell::new(false),
                }));
            }
        }
        ActiveQuirks { schedule: self, quirks, used_next: Cell::new(None) }
    }

    /// Spends one of the responses of a quirk with [`When::Next`]. Returns false if another request was
    /// faster.
    fn take(&self, id: u64) -> bool {
        let mut entries = sync::lock(&self.0);
        let Some(entry) = entries.list.iter_mut().find(|entry| entry.id == id) else {
            return false;
        };
        let is_left = entry.left > 0;
        entry.left = entry.left.saturating_sub(1);
        is_left
    }
}

impl ActiveQuirks<'_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &ActiveQuirk> {
        self.quirks.iter()
    }

    /// Returns whether a quirk is to be applied, where `differs` says whether that changes the response.
    /// One quirk with [`When::Next`] is applied to a response.
    pub(super) fn applies(&self, active: &ActiveQuirk, differs: bool) -> bool {
        if active.is_next && self.used_next.get() != Some(active.id) {
            // The first quirk of `Quirk::All` is the one that the others wait for.
            let is_first = self.quirks.iter().find(|other| other.id == active.id);
            let is_first = is_first.is_some_and(|first| std::ptr::eq(first, active));
            if !differs || !is_first || self.used_next.get().is_some() || !self.schedule.take(active.id) {
                return false;
            }
            self.used_next.set(Some(active.id));
        }
        active.took_effect.set(active.took_effect.get() || differs);
        true
    }

    /// Returns whether a quirk of the kind that `concerns` selects takes effect. It is asked for where the
    /// quirk changes the response.
    pub(super) fn any_applies(&self, concerns: impl Fn(&Quirk) -> bool) -> bool {
        self.iter().any(|active| concerns(&active.quirk) && self.applies(active, true))
    }

    /// Returns what quirks make of a requirement. `change` applies a quirk and returns whether it concerns
    /// the requirement. `is_met` says whether the request meets one: a quirk that makes no difference to
    /// that does not change the response.
    pub(super) fn requirement<'a, T: Clone>(
        &'a self,
        regular: T,
        change: impl Fn(&'a Quirk, &mut T) -> bool,
        is_met: impl Fn(&T) -> bool,
    ) -> T {
        let changed = |mut requirement: T, quirks: &mut dyn Iterator<Item = &'a ActiveQuirk>| {
            for active in quirks {
                change(&active.quirk, &mut requirement);
            }
            requirement
        };
        let lasting = || self.quirks.iter().filter(|active| !active.is_next);
        let all = changed(regular.clone(), &mut lasting());
        for active in lasting() {
            let alone = changed(regular.clone(), &mut std::iter::once(active));
            let others = lasting().filter(|other| !std::ptr::eq(*other, active));
            let others = changed(regular.clone(), &mut { others });
            let differs = is_met(&alone) != is_met(&regular) || is_met(&others) != is_met(&all);
            if differs {
                self.applies(active, true);
            }
        }
        let next = self.quirks.iter().filter(|active| active.is_next);
        for entry in self.quirks.iter().filter(|active| active.is_next) {
            let quirks = || next.clone().filter(|active| active.id == entry.id);
            let other = changed(all.clone(), &mut quirks());
            if is_met(&other) != is_met(&all) && self.applies(entry, true) {
                let concerned = quirks().filter(|active| change(&active.quirk, &mut all.clone()));
                concerned.for_each(|active| {
                    self.applies(active, true);
                });
                return other;
            }
        }
        all
    }

    /// Returns whether an earlier quirk with [`When::Next`] may still take effect and thereby exclude this
    /// one.
    pub(super) fn has_to_wait(&self, active: &ActiveQuirk) -> bool {
        let mut earlier = self.quirks.iter().take_while(|quirk| quirk.id != active.id);
        active.is_next && self.used_next.get().is_none() && earlier.any(|quirk| quirk.is_next)
    }

    /// Returns the number of quirks that changed the response: where none is sent, of those that prevented
    /// it.
    pub(super) fn effects(&self, is_sent: bool) -> u64 {
        let prevents = |quirk: &Quirk| {
            matches!(quirk, Quirk::Silence | Quirk::CloseWithoutResponse | Quirk::LoseTokenResponse)
        };
        let effects = self.quirks.iter().filter(|active| active.took_effect());
        let effects = effects.filter(|active| is_sent || prevents(&active.quirk));
        effects.fold(0, |count, _| count + 1)
    }
}

impl ActiveQuirk {
    /// Returns whether it has taken effect on the response.
    pub(super) fn took_effect(&self) -> bool {
        self.took_effect.get()
    }
}
