//! Steps of the clock, found by comparing the time of day with a monotonic clock.

use std::time::{Duration, SystemTime};

use crate::error::Error;
use crate::time::unix_seconds;

/// A reading of both clocks, in whole seconds.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    /// The time of day: seconds since 1970.
    pub(super) time: u64,
    /// The monotonic clock: seconds since an arbitrary start.
    pub(super) elapsed: u32,
}

impl Reading {
    /// Reads `now`, the time of a request, beside the monotonic clock.
    pub(super) fn new(now: SystemTime, elapsed: Duration) -> Result<Self, Error> {
        let elapsed = u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX);
        Ok(Self { time: unix_seconds(now)?, elapsed })
    }

    /// Returns how far the time of day is ahead of the monotonic clock.
    fn offset(self) -> i64 {
        i64::try_from(self.time).unwrap_or(i64::MAX).saturating_sub(i64::from(self.elapsed))
    }
}

/// A smaller difference is no step of the clock. The time of a request was read a moment before the monotonic
/// clock, and clocks are adjusted gradually. It must be less than the time that entries outlive their proofs,
/// which is the tolerance for the clocks of nodes.
pub(super) const MAX_DIFFERENCE: Duration = Duration::from_secs(5);
/// The largest number of periods. More than a few are left by a clock that is set again and again.
const MAX_PERIODS: usize = 8;

/// The times at which a store recorded proofs, for each setting of the clock.
///
/// A store ends the lifetime of an entry by the monotonic clock, which nobody sets. As long as the time of
/// day is not set back, the proof of an entry that has ended can no longer be accepted. If it is set back,
/// proofs can be accepted again whose entries have ended. These are found here.
#[derive(Default)]
pub(super) struct ClockSteps {
    periods: Vec<Period>,
}

/// The recording of proofs under one setting of the clock.
struct Period {
    /// The time of day less the monotonic time, in seconds: the largest that was seen.
    offset: i64,
    /// The time of day of the first proof, and of the last.
    first: u64,
    last: u64,
}

impl ClockSteps {
    /// Returns whether a proof that could be accepted from `from` to `until` may have been recorded before
    /// the clock was set back, and forgotten since.
    pub(super) fn may_be_forgotten(&self, from: u64, until: u64, now: Reading) -> bool {
        let period_may_have_had_it = |period: &Period| {
            // The time of day if the clock had not been set since.
            let then = period.offset.saturating_add(i64::from(now.elapsed));
            u64::try_from(then).is_ok_and(|then| then > until) && period.first <= until && from <= period.last
        };
        self.periods.iter().any(period_may_have_had_it)
    }

    /// Takes note that a proof was recorded.
    pub(super) fn record(&mut self, now: Reading) {
        let offset = now.offset();
        let same = |period: &&mut Period| period.offset.abs_diff(offset) <= MAX_DIFFERENCE.as_secs();
        match self.periods.iter_mut().find(same) {
            Some(period) => period.extend(&Period { offset, first: now.time, last: now.time }),
            None => {
                self.periods.push(Period { offset, first: now.time, last: now.time });
                self.join_nearest();
            }
        }
    }

    /// If there are too many periods, joins two of them. What lies between them then counts as forgotten as
    /// well, so it joins the two with the least between them.
    fn join_nearest(&mut self) {
        if self.periods.len() <= MAX_PERIODS {
            return;
        }
        self.periods.sort_by_key(|period| period.first);
        let gaps = self.periods.windows(2).map(|pair| match pair {
            [a, b] => b.first.saturating_sub(a.last),
            _ => u64::MAX,
        });
        let nearest = gaps.enumerate().min_by_key(|(_, gap)| *gap).map(|(place, _)| place);
        if let Some(place) = nearest {
            let joined = self.periods.remove(place);
            if let Some(period) = self.periods.get_mut(place) {
                period.extend(&joined);
            }
        }
    }
}

impl Period {
    fn extend(&mut self, other: &Self) {
        self.offset = self.offset.max(other.offset);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}
