//! Clocks: the one a program goes by, and what a response tells of the server's.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{AGE, DATE};

/// Where a session has the time from, and how it waits. [`SystemClock`] is the one of this machine; one of your own makes
/// tests of hours last milliseconds.
pub trait Clock: Send + Sync {
    /// The time of day.
    fn now(&self) -> SystemTime;

    /// Time that only goes forward, from any start: for deadlines and for how long something has lasted.
    fn elapsed(&self) -> Duration;

    /// Returns when so much of [`elapsed`](Self::elapsed) is over.
    fn sleep(&self, duration: Duration);
}

/// The clocks of this machine.
#[derive(Clone, Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// Counts [`elapsed`](Clock::elapsed) from now on.
    #[must_use]
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }
}

/// Seconds that must be added to this machine's clock to get a server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Offset(pub(crate) i64);

/// Below this, a disagreement is neither certain nor harmful: `Date` has whole seconds, and proofs are dated a second back.
const LEAST: i64 = 2_000;
/// A clock that is a time zone off is set right; one that is further off is somebody's to repair, and a server could
/// otherwise have proofs dated as far ahead as it likes.
const MOST: i64 = 24 * 60 * 60;

impl Offset {
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
pub(crate) struct Skew {
    pub(crate) offset: Offset,
    pub(crate) host: String,
    /// Whether a request dated by the server's clock was refused as well.
    pub(crate) tried: bool,
}

impl fmt::Display for Skew {
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
            Offset(used).corrected(&answered(at(date)), at(sent), at(received)).map(|offset| offset.0)
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
        let of = |headers: &HeaderMap| Offset(0).corrected(headers, sent, received);
        assert_eq!(of(&HeaderMap::new()), None);
        for date in ["", "yesterday", "-1", "1e400"] {
            assert_eq!(of(&HeaderMap::from_iter([(DATE, date.parse().unwrap())])), None, "{date}");
        }
        let mut kept = answered(at(600_000));
        assert_eq!(of(&kept), Some(Offset(600)));
        kept.insert(AGE, "3".parse().unwrap());
        assert_eq!(of(&kept), None);
        // The edges of what a clock can show.
        let early = UNIX_EPOCH - Duration::from_secs(1_000);
        assert_eq!(
            Offset(0).corrected(&answered(UNIX_EPOCH), early, early),
            Some(Offset(1_000)),
            "a clock before 1970"
        );
        assert_eq!(Offset(i64::MAX).apply(received), received);
        let _ = Offset(i64::MIN).apply(received); // does not panic
        assert_eq!(Offset(i64::MAX).corrected(&answered(at(600_000)), sent, received), None);
        assert!(
            !Offset(i64::MAX).is_bounded() && Offset(-86_400).is_bounded() && !Offset(86_401).is_bounded()
        );
    }
}
