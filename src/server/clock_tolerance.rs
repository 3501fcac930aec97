//! The clocks of several nodes.

/// The number of seconds by which the clocks of two nodes may differ that share a replay store or a secret
/// for nonces.
///
/// A proof is remembered this many seconds longer than it is accepted, because a node whose clock is behind
/// accepts it for longer. A nonce is accepted if it was made at most this many seconds in the future, because
/// it may come from a node whose clock is ahead.
pub(crate) const NODE_CLOCK_TOLERANCE: u64 = 10;
