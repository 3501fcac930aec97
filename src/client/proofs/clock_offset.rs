//! The difference between a server's clock and the local clock.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds to add to the local clock to get a server's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct ClockOffset(pub(crate) i64);

/// A smaller difference is neither certain nor harmful: `Date` has whole seconds, and proofs are dated one
/// second back. In milliseconds.
const MIN_DIFFERENCE: i64 = 2_000;
/// A clock that is wrong by a time zone is corrected. A larger difference must be repaired at the clock
/// itself. In seconds.
const MAX_OFFSET: i64 = 24 * 60 * 60;
/// A JWT that is dated ahead can be stolen now and used later. A server that lies about its time must not get
/// one that is valid for hours. In seconds.
const MAX_AHEAD: i64 = 5 * 60;

/// What limits the time for which a JWT can be misused, beside its date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Nothing else: the JWT is dated at most five minutes ahead of the local clock.
    DateOnly,
    /// The proof carries a nonce of the server, which has an end of its own.
    Nonce,
}

impl ClockOffset {
    pub(crate) fn apply(self, now: SystemTime) -> SystemTime {
        let by = Duration::from_secs(self.0.unsigned_abs());
        let server_time = if self.0 < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        server_time.unwrap_or(now)
    }

    /// Returns the nearest offset that a JWT may be dated with.
    pub(crate) fn limited(self, freshness: Freshness) -> Self {
        let max_ahead = match freshness {
            Freshness::DateOnly => MAX_AHEAD,
            Freshness::Nonce => MAX_OFFSET,
        };
        Self(self.0.clamp(-MAX_OFFSET, max_ahead))
    }

    /// Returns the offset that the `Date` of a response shows, where the request was dated with `self`;
    /// `None` when `self` may be right. The server generated the response between `sent` and `received`,
    /// which gives two bounds. The lower one is returned, so that nothing is dated ahead of the server's
    /// clock.
    pub(crate) fn corrected(
        self,
        date: Option<SystemTime>,
        sent: SystemTime,
        received: SystemTime,
    ) -> Option<Self> {
        let date = millis(date?)?;
        let lower = date.checked_sub(millis(self.apply(received))?)?;
        let upper = date.checked_add(1_000)?.checked_sub(millis(self.apply(sent))?)?;
        let certain = lower >= MIN_DIFFERENCE || (upper < 0 && lower <= -MIN_DIFFERENCE);
        certain.then(|| self.0.checked_add(lower.div_euclid(1_000))).flatten().map(Self)
    }
}

/// Returns the milliseconds since 1970. They are negative for a clock before that.
fn millis(time: SystemTime) -> Option<i64> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).ok(),
        Err(error) => i64::try_from(error.duration().as_millis()).ok()?.checked_neg(),
    }
}

/// A difference of clocks that no retry has resolved, to be named in an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClockDifference {
    pub(crate) offset: ClockOffset,
    pub(crate) host: String,
    /// Whether a request with the server's time was refused as well.
    pub(crate) tried: bool,
}

impl fmt::Display for ClockDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, host) = (self.offset.0.unsigned_abs(), &self.host);
        let direction = if self.offset.0 < 0 { "ahead of" } else { "behind" };
        write!(f, "this machine's clock is {seconds} s {direction} {host}")?;
        f.write_str(match self.tried {
            true => ", and a proof with the server's time was refused as well",
            false => ": set it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_000_000_000_000 + millis)
    }

    /// The server's time lies between the bounds that its whole second and the network delay leave.
    #[test]
    fn corrects_a_clock_only_for_a_certain_difference() {
        let corrected = |used: i64, date: u64, sent: u64, received: u64| {
            ClockOffset(used).corrected(Some(at(date)), at(sent), at(received)).map(|offset| offset.0)
        };
        // Agreement, within the second that Date cuts off and the network delay.
        assert_eq!(corrected(0, 10_000, 10_900, 10_950), None);
        assert_eq!(corrected(0, 10_000, 9_000, 30_000), None);
        assert_eq!(corrected(0, 28_000, 9_000, 30_000), None);
        // One second either way is not worth a request: proofs are dated a second back.
        assert_eq!(corrected(0, 11_900, 10_000, 10_000), None);
        assert_eq!(corrected(0, 10_000, 11_900, 11_900), None);
        // Behind by 312 s; the network delay is assumed to lie before the response was generated.
        assert_eq!(corrected(0, 322_000, 9_500, 10_000), Some(312));
        assert_eq!(corrected(0, 322_000, 9_500, 10_400), Some(311));
        // Ahead by 300 s.
        assert_eq!(corrected(0, 10_000, 310_000, 310_100), Some(-301));
        // An offset that is no longer right: the local clock was set.
        assert_eq!(corrected(312, 10_000, 10_000, 10_100), Some(-1));
        assert_eq!(corrected(312, 322_000, 10_000, 10_100), None);
    }

    #[test]
    fn corrects_nothing_without_a_date_and_does_not_overflow() {
        let (sent, received) = (at(0), at(0));
        let corrected = |offset: i64, date| ClockOffset(offset).corrected(date, sent, received);
        assert_eq!(corrected(0, None), None);
        assert_eq!(corrected(0, Some(at(600_000))), Some(ClockOffset(600)));
        let early = UNIX_EPOCH - Duration::from_secs(1_000);
        assert_eq!(
            ClockOffset(0).corrected(Some(UNIX_EPOCH), early, early),
            Some(ClockOffset(1_000)),
            "a clock before 1970"
        );
        assert_eq!(ClockOffset(i64::MAX).apply(received), received);
        let _ = ClockOffset(i64::MIN).apply(received); // does not panic
        assert_eq!(corrected(i64::MAX, Some(at(600_000))), None);
    }

    #[test]
    fn limits_an_offset_to_a_day_and_ahead_without_a_nonce_to_five_minutes() {
        for (offset, date_only, nonce) in [
            (i64::MIN, -86_400, -86_400),
            (-86_401, -86_400, -86_400),
            (-86_400, -86_400, -86_400),
            (0, 0, 0),
            (300, 300, 300),
            (301, 300, 301),
            (86_400, 300, 86_400),
            (86_401, 300, 86_400),
            (i64::MAX, 300, 86_400),
        ] {
            let limited = |freshness| ClockOffset(offset).limited(freshness).0;
            assert_eq!((limited(Freshness::DateOnly), limited(Freshness::Nonce)), (date_only, nonce));
        }
    }
}
