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
    /// The last reading that [`observe`](Self::observe) received.
    #[cfg_attr(
        not(feature = "redis"),
        allow(dead_code, reason = "only a shared store has readings of others")
    )]
    observed: Option<Reading>,
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

    /// Takes note that a proof was recorded, in a store in which nobody else records any.
    pub(super) fn record(&mut self, now: Reading) {
        self.add(Period { offset: now.offset(), first: now.time, last: now.time });
    }

    /// Takes note of the time of a proof that is about to be recorded, for a store in which other nodes
    /// record proofs at any time: since the last reading, and before the first.
    ///
    /// While the clock of this node is wrong, hardly a proof passes the checks before, so there are no
    /// readings.
    #[cfg_attr(
        not(feature = "redis"),
        allow(dead_code, reason = "only a shared store has readings of others")
    )]
    pub(super) fn observe(&mut self, now: Reading) {
        let first = match self.observed {
            None => 0,
            Some(before) if is_same_setting(before.offset(), now.offset()) => before.time.min(now.time),
            // The clock was set at some time since the last reading.
            Some(before) => {
                let last = before.offset().saturating_add(i64::from(now.elapsed));
                let last = u64::try_from(last).unwrap_or_default();
                self.add(Period { offset: before.offset(), first: before.time, last });
                let first = now.offset().saturating_add(i64::from(before.elapsed));
                u64::try_from(first).unwrap_or_default().min(now.time)
            }
        };
        self.add(Period { offset: now.offset(), first, last: now.time });
        self.observed = Some(now);
    }

    fn add(&mut self, added: Period) {
        match self.periods.iter_mut().find(|period| is_same_setting(period.offset, added.offset)) {
            Some(period) => period.extend(&added),
            None => {
                self.periods.push(added);
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

/// Returns whether two offsets are those of one setting of the clock.
fn is_same_setting(one: i64, other: i64) -> bool {
    one.abs_diff(other) <= MAX_DIFFERENCE.as_secs()
}

impl Period {
    fn extend(&mut self, other: &Self) {
        self.offset = self.offset.max(other.offset);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn reading(time: u64, elapsed: u64) -> Reading {
        Reading::new(UNIX_EPOCH + Duration::from_secs(time), Duration::from_secs(elapsed)).unwrap()
    }

    fn ahead_for_a_moment() -> Vec<Reading> {
        vec![reading(1_000, 0), reading(87_410, 10), reading(1_020, 20)]
    }

    /// Other nodes record proofs while this one sees no request, and did so before it was started. The proof
    /// can be accepted from 20 seconds before `made` to 70 seconds after.
    #[test]
    fn the_proofs_of_other_nodes_may_be_of_any_time_before_a_step() {
        for (observed, made, now, forgotten) in [
            // Made before this node was started, or between its last request and the step back by 300 s.
            (vec![reading(1_000, 0)], 900, reading(900, 200), true),
            (vec![reading(1_000, 0)], 1_190, reading(1_190, 490), true),
            // Of a time that the clock had not shown when it was set back.
            (vec![reading(1_000, 0), reading(900, 200)], 1_240, reading(1_240, 540), false),
            // Set ahead by 600 s, at some time between two requests, and back again.
            (vec![reading(1_000, 0), reading(2_010, 410)], 1_800, reading(1_800, 800), true),
            // A day ahead for a moment, now and a day later.
            (ahead_for_a_moment(), 1_020, reading(1_020, 20), false),
            (ahead_for_a_moment(), 87_420, reading(87_420, 86_420), true),
            (ahead_for_a_moment(), 87_600, reading(87_600, 86_600), false),
            // No step: a request whose time was read a moment ago, and a clock that was adjusted.
            (vec![reading(1_000, 0), reading(1_196, 200)], 1_190, reading(1_196, 200), false),
            (vec![reading(1_000, 0), reading(1_204, 200)], 1_150, reading(1_204, 200), false),
        ] {
            let mut steps = ClockSteps::default();
            observed.into_iter().chain([now]).for_each(|reading| steps.observe(reading));
            assert_eq!(
                steps.may_be_forgotten(made - 20, made + 70, now),
                forgotten,
                "{made} at {}",
                now.time
            );
        }
    }

    /// A clock that is set again and again leaves a bounded number of periods, and those that are joined are
    /// near each other.
    #[test]
    fn the_number_of_periods_is_bounded() {
        let mut steps = ClockSteps::default();
        for n in 0..1_000 {
            steps.record(reading(1_000 + 100 * (n % 20), n));
            steps.record(reading(1_000_000 + 100 * (n % 20), n));
        }
        assert!(steps.periods.len() <= MAX_PERIODS);
        assert!(steps.may_be_forgotten(1_000, 1_090, reading(1_000, 1_000)));
        assert!(!steps.may_be_forgotten(10_000, 10_090, reading(10_000, 1_000)));
    }
}
