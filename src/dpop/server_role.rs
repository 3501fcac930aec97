//! The roles that a server plays.

/// The part a server plays. One origin may play both and refuse, in one part, the nonces it gave in the other
/// (RFC 9449 §8, §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerRole {
    /// Where tokens come from.
    AuthorizationServer,
    /// Where tokens are used.
    ResourceServer,
}
