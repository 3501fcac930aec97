//! The clocks of several nodes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The number of seconds by which the clocks of two nodes may differ that share a replay store or a secret
/// for nonces.
///
/// A proof is remembered this many seconds longer than it is accepted, because a node whose clock is behind
/// accepts it for longer. A nonce is accepted if it was made at most this many seconds in the future, because
/// it may come from a node whose clock is ahead.
pub(crate) const NODE_CLOCK_TOLERANCE: u64 = 10;

/// Returns the earliest time that the clock of any node may show when this node's shows `time`.
pub(crate) fn earliest_at_any_node(time: SystemTime) -> SystemTime {
    let earliest = time.checked_sub(Duration::from_secs(NODE_CLOCK_TOLERANCE));
    earliest.map_or(UNIX_EPOCH, |earliest| earliest.max(UNIX_EPOCH))
}

/// Returns the latest time that the clock of any node may show when this node's shows `time`.
pub(crate) fn latest_at_any_node(time: SystemTime) -> SystemTime {
    time.checked_add(Duration::from_secs(NODE_CLOCK_TOLERANCE)).unwrap_or(time)
}
