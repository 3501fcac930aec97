//! Clocks, and the time in JWTs.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Error, ErrorKind};

/// The time source of a session: the time of day, a monotonic clock, and a way to wait.
///
/// [`SystemClock`] is this machine's. A clock of your own lets a test of hours run in milliseconds:
///
/// ```
/// use std::sync::Mutex;
/// use std::time::{Duration, SystemTime};
/// use possession::Clock;
///
/// /// A clock that moves only when somebody waits.
/// #[derive(Default)]
/// struct TestClock(Mutex<Duration>);
///
/// impl Clock for TestClock {
///     fn now(&self) -> SystemTime {
///         SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + self.elapsed()
///     }
///
///     fn elapsed(&self) -> Duration {
///         *self.0.lock().unwrap()
///     }
///
///     fn sleep(&self, duration: Duration) {
///         *self.0.lock().unwrap() += duration;
///     }
/// }
///
/// let clock = TestClock::default();
/// clock.sleep(Duration::from_secs(3600));
/// assert_eq!(clock.elapsed(), Duration::from_secs(3600));
/// ```
pub trait Clock: Send + Sync {
    /// Returns the time of day.
    fn now(&self) -> SystemTime;

    /// Returns the time since an arbitrary start. It never goes back; deadlines and durations are measured
    /// with it.
    fn elapsed(&self) -> Duration;

    /// Waits until [`elapsed`](Self::elapsed) has grown by `duration`, or sooner if [`now`](Self::now) has.
    fn sleep(&self, duration: Duration);
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }

    fn elapsed(&self) -> Duration {
        (**self).elapsed()
    }

    fn sleep(&self, duration: Duration) {
        (**self).sleep(duration);
    }
}

/// The clocks of this machine.
///
/// [`sleep`](Clock::sleep) ends when either clock says so: on many systems the monotonic clock stands still
/// while the machine is suspended, and the time of day does not.
///
/// ```
/// use possession::{Clock, SystemClock};
///
/// let clock = SystemClock::new();
/// assert!(clock.elapsed() <= clock.elapsed());
/// ```
#[derive(Clone, Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// Creates a clock whose [`elapsed`](Clock::elapsed) starts at zero.
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
        sleep_by_both_clocks(self, duration, &thread::sleep);
    }
}

/// How often a sleep looks at the time of day.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// Sleeps until either clock shows that `duration` has passed.
fn sleep_by_both_clocks(clock: &dyn Clock, duration: Duration, nap: &dyn Fn(Duration)) {
    let Some(end) = TimePoint::now(clock).after(duration) else {
        return nap(duration);
    };
    loop {
        let remaining = end.remaining(TimePoint::now(clock));
        if remaining.is_zero() {
            return;
        }
        nap(remaining.min(LONGEST_NAP));
    }
}

/// A point in time by both clocks. It has passed as soon as either clock says so: the time of day may be
/// set back, and the monotonic clock may stand still while the machine is suspended.
#[derive(Clone, Copy)]
pub(crate) struct TimePoint {
    time: SystemTime,
    elapsed: Duration,
}

impl TimePoint {
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self { time: clock.now(), elapsed: clock.elapsed() }
    }

    /// The time of day.
    pub(crate) fn time(self) -> SystemTime {
        self.time
    }

    /// The point `span` later; `None` beyond what the clocks can represent.
    pub(crate) fn after(self, span: Duration) -> Option<Self> {
        Some(Self { time: self.time.checked_add(span)?, elapsed: self.elapsed.checked_add(span)? })
    }

    /// The time from `now` until then, by the clock that shows less.
    pub(crate) fn remaining(self, now: Self) -> Duration {
        let by_time = self.time.duration_since(now.time).unwrap_or_default();
        by_time.min(self.elapsed.saturating_sub(now.elapsed))
    }
}

/// How far the `iat` of proofs and client assertions is set back from the clock, in seconds. Some servers
/// refuse a JWT that is one second ahead of their clock, and two good clocks disagree by milliseconds. Every
/// server accepts a JWT that is one second old.
const BACKDATING: u64 = 1;

/// Returns the `iat` of a JWT that is made at `now`: one second back, so that a server whose clock is
/// slightly behind does not see a time in the future.
pub(crate) fn issued_at(now: SystemTime) -> Result<u64, Error> {
    unix_seconds(now).map(|seconds| seconds.saturating_sub(BACKDATING))
}

/// Returns the seconds since 1970, rounded down, so that the result is never ahead of the clock.
pub(crate) fn unix_seconds(now: SystemTime) -> Result<u64, Error> {
    let doing = "reading the clock";
    match now.duration_since(UNIX_EPOCH) {
        Ok(since) if i64::try_from(since.as_secs()).is_ok() => Ok(since.as_secs()),
        Ok(_) => Err(Error::new(ErrorKind::Clock, doing, "its time is too late for a JWT")),
        Err(_) => Err(Error::new(
            ErrorKind::Clock,
            doing,
            "it shows a time before 1970 (set the clock of this machine)",
        )),
    }
}

/// A step back of a clock that is less than this is none: threads may read the clock in another order than
/// they get to where the readings are compared.
const MIN_STEP_BACK: Duration = Duration::from_secs(60);

/// Returns the time between two readings of the clock; `None` if the clock was set back.
pub(crate) fn elapsed_between(then: SystemTime, now: SystemTime) -> Option<Duration> {
    match now.duration_since(then) {
        Ok(elapsed) => Some(elapsed),
        Err(back) if back.duration() < MIN_STEP_BACK => Some(Duration::ZERO),
        Err(_) => None,
    }
}

/// Returns the milliseconds since 1970, rounded down.
pub(crate) fn unix_millis(now: SystemTime) -> Result<u64, Error> {
    unix_seconds(now)?;
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_jwt_is_dated_one_second_back_and_never_before_1970() {
        let at = |millis| issued_at(UNIX_EPOCH + Duration::from_millis(millis)).unwrap();
        assert_eq!((at(1_700_000_000_999), at(1_700_000_001_000)), (1_699_999_999, 1_700_000_000));
        assert_eq!((at(0), at(1_000)), (0, 0));
        assert!(issued_at(UNIX_EPOCH - Duration::from_millis(1)).is_err());
    }

    /// Two clocks that are set separately: the time of day, and the elapsed time.
    #[derive(Default)]
    struct TwoClocks(Mutex<(Duration, Duration)>);

    impl TwoClocks {
        fn advance(&self, time_of_day: Duration, elapsed: Duration) {
            let mut clocks = self.0.lock().unwrap();
            *clocks = (clocks.0 + time_of_day, clocks.1 + elapsed);
        }
    }

    impl Clock for TwoClocks {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + self.0.lock().unwrap().0
        }

        fn elapsed(&self) -> Duration {
            self.0.lock().unwrap().1
        }

        fn sleep(&self, duration: Duration) {
            self.advance(duration, duration);
        }
    }

    #[test]
    fn a_sleep_ends_when_either_clock_says_so() {
        let hour = Duration::from_secs(3600);
        let naps = |time_of_day: &dyn Fn(Duration) -> Duration, elapsed: &dyn Fn(Duration) -> Duration| {
            let (clock, count) = (TwoClocks::default(), Cell::new(0));
            sleep_by_both_clocks(&clock, 10 * LONGEST_NAP, &|nap| {
                assert!(nap <= LONGEST_NAP);
                count.set(count.get() + 1);
                clock.advance(time_of_day(nap), elapsed(nap));
            });
            count.get()
        };
        assert_eq!(naps(&|nap| nap, &|nap| nap), 10);
        assert_eq!(naps(&|_| hour, &|nap| nap), 1, "the machine was suspended, or the clock was set ahead");
        assert_eq!(naps(&|_| Duration::ZERO, &|nap| nap), 10, "the clock was set back");
        // Nothing overflows.
        let clock = TwoClocks::default();
        sleep_by_both_clocks(&clock, Duration::MAX, &|nap| assert_eq!(nap, Duration::MAX));
    }
}
