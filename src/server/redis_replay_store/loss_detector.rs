//! Finds out when Redis may have lost entries before their time.

use std::time::{Duration, SystemTime};

use super::server_info::ServerInfo;

/// How far the clock of a server may be set ahead unnoticed. Two clocks are compared over a network, so a
/// smaller step cannot be told from a slow response.
const MAX_STEP: i64 = 2_000_000;
/// Entries live longer than the verifier demands, by this: the largest step that may be unnoticed, and what
/// two clocks may drift apart in a lifetime of an hour and a half.
pub(super) const MARGIN: Duration = Duration::from_secs(3);
/// A microsecond in so many that two clocks may drift apart: 200 parts per million. A clock that is not
/// synchronized drifts by less than half of that.
const DRIFT: i64 = 5_000;

/// When a request was sent and its response received, by the monotonic clock of this process.
#[derive(Clone, Copy)]
pub(super) struct Exchange {
    pub(super) sent: Duration,
    pub(super) received: Duration,
}

/// Knows the servers that keep the entries, and when they may have lost some.
///
/// - **The run of a server** has an identifier. When it is another one, the server was restarted, or another
///   one took its place: entries that it had not saved, or that had not reached the replica, are gone.
/// - **The clock of a server** ends the lifetime of entries. When it is set ahead, they end early. It is
///   compared with the monotonic clock of this process, which nobody sets.
/// - **The number of evicted keys** grows when a server removes live entries.
///
/// All times without a date are those of the monotonic clock of this process.
#[derive(Default)]
pub(super) struct LossDetector {
    primaries: Vec<Primary>,
    /// How long the server was running when it was first seen, and when that was.
    first_seen: Option<(Duration, Duration)>,
    lost: Option<Duration>,
}

struct Primary {
    run_id: String,
    evicted_keys: u64,
    clock: Option<ServerClock>,
}

impl LossDetector {
    /// Takes note of what the servers say about themselves: the server or, in a cluster, every primary.
    pub(super) fn observe_servers(&mut self, servers: Vec<ServerInfo>, exchange: Exchange) {
        let uptime = servers.iter().map(|server| server.uptime).min().unwrap_or_default();
        self.first_seen.get_or_insert((uptime, exchange.received));
        let mut before = std::mem::take(&mut self.primaries);
        for server in servers {
            let known = before.iter().position(|primary| primary.run_id == server.run_id);
            let known = known.map(|place| before.swap_remove(place));
            let mut primary =
                Primary { run_id: server.run_id, evicted_keys: server.evicted_keys, clock: None };
            if let Some(known) = known {
                primary.clock = known.clock;
                // The statistics may have been reset.
                if primary.evicted_keys != known.evicted_keys && primary.evicted_keys > 0 {
                    self.record_loss(exchange);
                }
            }
            if let Some(time) = server.time
                && primary.observe_time(time, exchange)
            {
                self.record_loss(exchange);
            }
            self.primaries.push(primary);
        }
        // A new primary beside the known ones has no entries yet. One that is gone had some.
        if !before.is_empty() {
            self.record_loss(exchange);
        }
    }

    /// Takes note of the time at a server: at one of the primaries of a cluster, which may be any. Returns
    /// whether [`observe_servers`](Self::observe_servers) has to find out which.
    pub(super) fn observe_time(&mut self, time: Duration, exchange: Exchange) -> bool {
        let stepped = match self.primaries.as_mut_slice() {
            [] => true,
            [primary] => primary.observe_time(time, exchange),
            primaries => primaries.iter().all(|primary| primary.is_set_ahead(time, exchange)),
        };
        if stepped {
            self.record_loss(exchange);
        }
        stepped && self.primaries.len() != 1
    }

    fn record_loss(&mut self, exchange: Exchange) {
        self.lost = self.lost.max(Some(exchange.received));
    }

    /// Returns the time of day until which entries were made that may be lost, if any may be. `now` is the
    /// time of day at `elapsed`.
    pub(super) fn lost_until(&self, now: SystemTime, elapsed: Duration) -> Option<SystemTime> {
        // Counted back from now, so that it is right when the time of day has been set since.
        self.lost.map(|lost| now.checked_sub(elapsed.saturating_sub(lost)).unwrap_or(now))
    }

    /// Returns the time of day when the server was started that was seen first: what it recorded before may
    /// be lost. `now` is the time of day at `elapsed`.
    pub(super) fn recording_since(&self, now: SystemTime, elapsed: Duration) -> Option<SystemTime> {
        let (uptime, seen) = self.first_seen?;
        now.checked_sub(elapsed.saturating_sub(seen).saturating_add(uptime))
    }
}

impl Primary {
    /// Takes note of its time, and returns whether its clock may have been set ahead.
    fn observe_time(&mut self, time: Duration, exchange: Exchange) -> bool {
        let clock = self.clock.get_or_insert_with(|| ServerClock::new(time, exchange));
        clock.observe(time, exchange)
    }

    fn is_set_ahead(&self, time: Duration, exchange: Exchange) -> bool {
        self.clock.as_ref().is_none_or(|clock| clock.is_set_ahead(time, exchange))
    }
}

/// The clock of a server, in microseconds.
struct ServerClock {
    /// How far it is ahead of the monotonic clock of this process, at least.
    offset: i64,
    /// When that was so.
    at: i64,
}

impl ServerClock {
    fn new(time: Duration, exchange: Exchange) -> Self {
        Self { offset: lowest_offset(time, exchange), at: micros(exchange.received) }
    }

    /// Takes note of its time, and returns whether it may have been set ahead since the last time.
    fn observe(&mut self, time: Duration, exchange: Exchange) -> bool {
        let set_ahead = self.is_set_ahead(time, exchange);
        let lowest = lowest_offset(time, exchange);
        // A clock that was set back, and is set ahead again later, ends the lifetime of those entries early
        // that are made in between. So it is the lowest offset that later ones are compared with.
        self.offset = if set_ahead { lowest } else { self.offset_at(exchange).min(lowest) };
        self.at = self.at.max(micros(exchange.received));
        set_ahead
    }

    fn is_set_ahead(&self, time: Duration, exchange: Exchange) -> bool {
        // The server read its clock between the two.
        let highest = micros(time).saturating_sub(micros(exchange.sent));
        highest.saturating_sub(self.offset_at(exchange)) > MAX_STEP
    }

    /// Returns the lowest offset that the clock may have had, with its drift until the exchange.
    fn offset_at(&self, exchange: Exchange) -> i64 {
        let passed = micros(exchange.received).saturating_sub(self.at).max(0);
        self.offset.saturating_add(passed / DRIFT)
    }
}

fn lowest_offset(time: Duration, exchange: Exchange) -> i64 {
    micros(time).saturating_sub(micros(exchange.received))
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// A server whose clock shows this when the monotonic clock of the process shows zero.
    const OFFSET: Duration = Duration::from_secs(1_700_000_000);

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// A response that arrives at once.
    fn at(elapsed: Duration) -> Exchange {
        Exchange { sent: elapsed, received: elapsed }
    }

    fn server(run_id: &str, evicted_keys: u64) -> ServerInfo {
        ServerInfo {
            run_id: run_id.to_owned(),
            uptime: secs(1000),
            time: None,
            is_primary: true,
            eviction_policy: "noeviction".to_owned(),
            evicted_keys,
        }
    }

    fn servers(run_ids: &[&str]) -> Vec<ServerInfo> {
        run_ids.iter().map(|run_id| server(run_id, 0)).collect()
    }

    /// Observes one server with that clock at these times, each a pair of the monotonic clock and the step
    /// of the server's clock until then, and returns when a loss was found.
    fn losses(steps: &[(Duration, i64)]) -> Vec<Duration> {
        let mut detector = LossDetector::default();
        detector.observe_servers(servers(&["a"]), at(Duration::ZERO));
        let mut found = Vec::new();
        for (elapsed, step) in steps {
            let time = OFFSET + *elapsed;
            let step_size = millis(step.unsigned_abs());
            let time = if *step < 0 { time - step_size } else { time + step_size };
            let before = detector.lost;
            assert!(!detector.observe_time(time, at(*elapsed)));
            if detector.lost != before {
                assert_eq!(detector.lost, Some(*elapsed));
                found.push(*elapsed);
            }
        }
        found
    }

    #[test]
    fn a_clock_that_is_set_ahead_loses_what_was_recorded_until_then() {
        assert_eq!(losses(&[(secs(1), 0), (secs(2), 120_000), (secs(3), 120_000)]), [secs(2)]);
        assert_eq!(losses(&[(secs(1), 0), (secs(2), 2_000), (secs(3), 1_000)]), [Duration::ZERO; 0]);
        assert_eq!(losses(&[(secs(1), 0), (secs(2), 2_010)]), [secs(2)]);
        // A second step, and steps that add up.
        assert_eq!(losses(&[(secs(1), 0), (secs(2), 3_000), (secs(3), 6_000)]), [secs(2), secs(3)]);
        assert_eq!(losses(&[(secs(1), 0), (secs(2), 1_500), (secs(3), 3_000)]), [secs(3)]);
    }

    #[test]
    fn a_clock_that_is_set_back_loses_nothing_until_it_is_set_ahead_again() {
        assert_eq!(losses(&[(secs(1), 0), (secs(2), -60_000), (secs(9), -60_000)]), [Duration::ZERO; 0]);
        assert_eq!(losses(&[(secs(1), 0), (secs(2), -60_000), (secs(9), 0)]), [secs(9)]);
    }

    /// 100 parts per million are 8.6 seconds a day.
    #[test]
    fn a_clock_that_drifts_is_not_one_that_is_set() {
        let drift = |n: u64, ppm: i64| (secs(n * 600), i64::try_from(n * 600).unwrap() * ppm / 1000);
        let day = |ppm| losses(&(1..144).map(|n| drift(n, ppm)).collect::<Vec<_>>());
        assert!(day(100).is_empty() && day(-100).is_empty() && day(199).is_empty());
        // Faster than any clock drifts: it is being set, slowly.
        assert!(!day(1000).is_empty());
        // A lifetime of an hour and a half loses less than the margin by that drift and a step that is not
        // found.
        assert!(millis(5_000 * 200 / 1000 + 2_000) <= MARGIN);
    }

    /// The server reads its clock at some moment between the request and the response.
    #[test]
    fn a_slow_response_may_hide_no_step() {
        let slow = |elapsed: Duration, wait: Duration| Exchange { sent: elapsed, received: elapsed + wait };
        for wait in [millis(1), millis(500), secs(1)] {
            for read in [Duration::ZERO, wait / 2, wait] {
                for step in [0, 3_000] {
                    let mut detector = LossDetector::default();
                    detector.observe_servers(servers(&["a"]), at(Duration::ZERO));
                    detector.observe_time(OFFSET + secs(1) + read, slow(secs(1), wait));
                    let time = OFFSET + secs(9) + read + millis(step);
                    detector.observe_time(time, slow(secs(9), wait));
                    let may_be_a_step = step > 0;
                    assert_eq!(detector.lost.is_some(), may_be_a_step, "{wait:?} {read:?} {step}");
                }
            }
        }
    }

    #[test]
    fn another_run_of_a_server_has_lost_what_was_recorded_before() {
        let mut detector = LossDetector::default();
        detector.observe_servers(servers(&["a"]), at(secs(1)));
        detector.observe_servers(servers(&["a"]), at(secs(2)));
        assert_eq!(detector.lost, None);
        detector.observe_servers(servers(&["b"]), at(secs(3)));
        assert_eq!(detector.lost, Some(secs(3)));
        // Back again, without what `b` recorded.
        detector.observe_servers(servers(&["a"]), at(secs(9)));
        assert_eq!(detector.lost, Some(secs(9)));
        // A response that was overtaken changes nothing.
        detector.observe_servers(servers(&["c"]), at(secs(5)));
        assert_eq!(detector.lost, Some(secs(9)));

        // The time of day until which entries are lost, from a later time. It has been set by an hour since.
        let now = UNIX_EPOCH + secs(3600);
        assert_eq!(detector.lost_until(now, secs(12)), Some(now - secs(3)));
    }

    #[test]
    fn evicted_entries_are_lost() {
        let mut detector = LossDetector::default();
        let mut observe = |evicted_keys, elapsed| {
            detector.observe_servers(vec![server("a", evicted_keys)], at(secs(elapsed)));
            detector.lost
        };
        assert_eq!([observe(7, 1), observe(7, 2)], [None, None]);
        assert_eq!(observe(8, 3), Some(secs(3)));
        // `CONFIG RESETSTAT`, and another eviction.
        assert_eq!([observe(0, 4), observe(1, 5)], [Some(secs(3)), Some(secs(5))]);
    }

    #[test]
    fn in_a_cluster_each_primary_counts() {
        let mut detector = LossDetector::default();
        let mut offset = [OFFSET, OFFSET + secs(30)];
        let observe = |detector: &mut LossDetector, run_ids: &[&str], offset: &[Duration], elapsed| {
            let mut servers = servers(run_ids);
            for (server, offset) in servers.iter_mut().zip(offset) {
                server.time = Some(*offset + secs(elapsed));
            }
            detector.observe_servers(servers, at(secs(elapsed)));
            detector.lost
        };
        assert_eq!(observe(&mut detector, &["a", "b"], &offset, 1), None);
        assert_eq!(observe(&mut detector, &["b", "a"], &[offset[1], offset[0]], 2), None);
        // Clocks that differ are not clocks that are set.
        for offset in offset {
            assert!(!detector.observe_time(offset + secs(3), at(secs(3))));
        }
        assert_eq!(detector.lost, None);
        // A time that no primary can have, and then the one that has it.
        offset[0] += secs(120);
        assert!(detector.observe_time(offset[0] + secs(4), at(secs(4))));
        assert_eq!(detector.lost, Some(secs(4)));
        assert_eq!(observe(&mut detector, &["a", "b"], &offset, 5), Some(secs(5)));
        assert_eq!(observe(&mut detector, &["a", "b"], &offset, 6), Some(secs(5)));
        // A new primary gets slots, and then one is gone.
        assert_eq!(observe(&mut detector, &["a", "b", "c"], &offset, 7), Some(secs(5)));
        assert_eq!(observe(&mut detector, &["a", "c"], &offset, 8), Some(secs(8)));
    }

    #[test]
    fn the_start_of_the_server_that_was_seen_first_is_known() {
        let mut detector = LossDetector::default();
        let now = UNIX_EPOCH + secs(5000);
        assert_eq!(detector.recording_since(now, secs(10)), None);
        detector.observe_servers(servers(&["a"]), at(secs(20)));
        detector.observe_servers(servers(&["b"]), at(secs(90)));
        assert_eq!(detector.recording_since(now, secs(100)), Some(now - secs(1080)));
    }
}
