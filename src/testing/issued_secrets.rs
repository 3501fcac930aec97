//! Random secrets that stand for what the server remembers: codes, refresh tokens, pushed requests.

use std::collections::HashMap;
use std::time::SystemTime;

use crate::crypto::random;
use crate::error::Error;
use crate::jose::base64url::base64url;
use crate::sync::{self, Mutex};

pub(super) struct IssuedSecrets<T>(Mutex<HashMap<String, Entry<T>>>);

struct Entry<T> {
    value: T,
    /// `None` if the time cannot be represented.
    expires: Option<SystemTime>,
    used: bool,
}

/// What a secret stands for.
pub(super) struct Found<T> {
    pub(super) value: T,
    /// Whether it was used before.
    pub(super) used: bool,
}

impl<T> Default for IssuedSecrets<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> IssuedSecrets<T> {
    /// Issues a secret that begins with `prefix`.
    pub(super) fn issue(
        &self,
        prefix: &str,
        value: T,
        expires: Option<SystemTime>,
        now: SystemTime,
    ) -> Result<String, Error> {
        let secret = format!("{prefix}{}", base64url(&random::<24>()?));
        let mut entries = sync::lock(&self.0);
        // Expired entries are removed from time to time, so that the memory of a long test stays bounded.
        if entries.len().is_multiple_of(1024) {
            entries.retain(|_, entry| entry.is_valid(now));
        }
        entries.insert(secret.clone(), Entry { value, expires, used: false });
        Ok(secret)
    }

    /// Returns what a secret stands for, unless it is unknown or has expired.
    pub(super) fn find(&self, secret: &str, now: SystemTime) -> Option<Found<T>> {
        let entries = sync::lock(&self.0);
        let entry = entries.get(secret).filter(|entry| entry.is_valid(now))?;
        Some(Found { value: entry.value.clone(), used: entry.used })
    }

    /// Marks a secret as used. Returns false if it was used before: of two requests at the same time, one is
    /// the first.
    pub(super) fn mark_used(&self, secret: &str) -> bool {
        let mut entries = sync::lock(&self.0);
        entries.get_mut(secret).is_some_and(|entry| !std::mem::replace(&mut entry.used, true))
    }

    /// Changes what a secret stands for.
    pub(super) fn update<R>(&self, secret: &str, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        sync::lock(&self.0).get_mut(secret).map(|entry| change(&mut entry.value))
    }

    pub(super) fn any(&self, is_wanted: impl Fn(&T) -> bool) -> bool {
        sync::lock(&self.0).values().any(|entry| is_wanted(&entry.value))
    }

    pub(super) fn for_each(&self, visit: impl Fn(&T)) {
        sync::lock(&self.0).values().for_each(|entry| visit(&entry.value));
    }
}

impl<T> Entry<T> {
    fn is_valid(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}
