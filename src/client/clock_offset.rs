//! How far the clock of a server differs from this machine's.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{AGE, DATE};

/// Seconds that must be added to this machine's clock to get a server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct ClockOffset(pub(crate) i64);

/// Below this, a disagreement is neither certain nor harmful: `Date` has whole seconds, and proofs are dated a second back.
const LEAST: i64 = 2_000;
/// A clock that is a time zone off is set right; one that is further off is somebody's to repair, and a server could
/// otherwise have proofs dated as far ahead as it likes.
const MOST: i64 = 24 * 60 * 60;

impl ClockOffset {
    pub(crate) fn apply(self, now: SystemTime) -> SystemTime {
        let by = Duration::from_secs(self.0.unsigned_abs());
        let there = if self.0 < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        there.unwrap_or(now)
    }

    /// Whether proofs may be dated by it.
    pub(crate) fn is_bounded(self) -> bool {
        self.0.abs() <= MOST
    }

    /// The offset that a response's `Date` tells, to a request that was made with this one; `None` when it may be right. The
    /// true one lies between two bounds, as the response was made between `sent` and `received`; the lower is taken, so that
    /// nothing is dated ahead of the server's clock.
    pub(crate) fn corrected(
        self,
        headers: &HeaderMap,
        sent: SystemTime,
        received: SystemTime,
    ) -> Option<Self> {
        // What a cache kept is as old as it says.
        if headers.contains_key(AGE) {
            return None;
        }
        let date = millis(date_of(headers)?)?;
        let lower = date.checked_sub(millis(self.apply(received))?)?;
        let upper = date.checked_add(1_000)?.checked_sub(millis(self.apply(sent))?)?;
        let certain = lower >= LEAST || (upper < 0 && lower <= -LEAST);
        certain.then(|| self.0.checked_add(lower.div_euclid(1_000))).flatten().map(Self)
    }
}

/// When a response was made, as it says (RFC 9110 §6.6.1).
pub(crate) fn date_of(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// Milliseconds since 1970, which a clock that was never set may be before.
fn millis(time: SystemTime) -> Option<i64> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).ok(),
        Err(error) => i64::try_from(error.duration().as_millis()).ok()?.checked_neg(),
    }
}

/// A disagreement of clocks that was found and did not explain everything, for an error to tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClockDifference {
    pub(crate) offset: ClockOffset,
    pub(crate) host: String,
    /// Whether a request dated by the server's clock was refused as well.
    pub(crate) tried: bool,
}

impl fmt::Display for ClockDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, host) = (self.offset.0.unsigned_abs(), &self.host);
        let direction = if self.offset.0 < 0 { "ahead of" } else { "behind" };
        write!(f, "this machine's clock is {seconds} s {direction} {host}")?;
        f.write_str(match self.tried {
            true => ", and a proof dated by the server's clock was refused as well",
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

    fn answered(date: SystemTime) -> HeaderMap {
        HeaderMap::from_iter([(DATE, httpdate::fmt_http_date(date).parse().unwrap())])
    }

    /// The server's time is between the bounds that its whole second and the time on the way leave.
    #[test]
    fn only_a_certain_disagreement_corrects_a_clock() {
        let corrected = |used: i64, date: u64, sent: u64, received: u64| {
            ClockOffset(used).corrected(&answered(at(date)), at(sent), at(received)).map(|offset| offset.0)
        };
        // Agreement, within the second that Date cuts off and the time on the way.
        assert_eq!(corrected(0, 10_000, 10_900, 10_950), None);
        assert_eq!(corrected(0, 10_000, 9_000, 30_000), None);
        assert_eq!(corrected(0, 28_000, 9_000, 30_000), None);
        // One second either way is not worth a request: proofs are dated a second back.
        assert_eq!(corrected(0, 11_900, 10_000, 10_000), None);
        assert_eq!(corrected(0, 10_000, 11_900, 11_900), None);
        // Behind by 312 s; of the time on the way, the server's clock is taken to have been as late as it can.
        assert_eq!(corrected(0, 322_000, 9_500, 10_000), Some(312));
        assert_eq!(corrected(0, 322_000, 9_500, 10_400), Some(311));
        // Ahead by 300 s.
        assert_eq!(corrected(0, 10_000, 310_000, 310_100), Some(-301));
        // An offset that was right once and is not any more: the machine's clock was set.
        assert_eq!(corrected(312, 10_000, 10_000, 10_100), Some(-1));
        assert_eq!(corrected(312, 322_000, 10_000, 10_100), None);
    }

    #[test]
    fn what_says_nothing_certain_corrects_nothing() {
        let (sent, received) = (at(0), at(0));
        let of = |headers: &HeaderMap| ClockOffset(0).corrected(headers, sent, received);
        assert_eq!(of(&HeaderMap::new()), None);
        for date in ["", "yesterday", "-1", "1e400"] {
            assert_eq!(of(&HeaderMap::from_iter([(DATE, date.parse().unwrap())])), None, "{date}");
        }
        let mut kept = answered(at(600_000));
        assert_eq!(of(&kept), Some(ClockOffset(600)));
        kept.insert(AGE, "3".parse().unwrap());
        assert_eq!(of(&kept), None);
        // The edges of what a clock can show.
        let early = UNIX_EPOCH - Duration::from_secs(1_000);
        assert_eq!(
            ClockOffset(0).corrected(&answered(UNIX_EPOCH), early, early),
            Some(ClockOffset(1_000)),
            "a clock before 1970"
        );
        assert_eq!(ClockOffset(i64::MAX).apply(received), received);
        let _ = ClockOffset(i64::MIN).apply(received); // does not panic
        assert_eq!(ClockOffset(i64::MAX).corrected(&answered(at(600_000)), sent, received), None);
        assert!(
            !ClockOffset(i64::MAX).is_bounded()
                && ClockOffset(-86_400).is_bounded()
                && !ClockOffset(86_401).is_bounded()
        );
    }
}
