//! Measures where a server draws a line.

/// The farthest time of a proof that is tried, in seconds from now.
const FARTHEST: i64 = 3600;

/// Finds the last offset in one direction, 1 or -1, that is accepted, to the second. Returns `None` if that
/// is beyond an hour, and the error of `accepts`.
pub fn edge<E>(direction: i64, mut accepts: impl FnMut(i64) -> Result<bool, E>) -> Result<Option<i64>, E> {
    let (mut near, mut far) = (0, FARTHEST);
    if accepts(direction.saturating_mul(far))? {
        return Ok(None);
    }
    while far.saturating_sub(near) > 1 {
        let middle = near.midpoint(far);
        match accepts(direction.saturating_mul(middle))? {
            true => near = middle,
            false => far = middle,
        }
    }
    Ok(Some(direction.saturating_mul(near)))
}

/// How long a nonce was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceLifetime {
    /// For one request.
    Once,
    /// At least for the first number of seconds, and not for the second.
    Between(u64, u64),
    /// At least for so many seconds, and longer was not tried.
    AtLeast(u64),
}

/// Finds out how long a nonce is accepted that was used once: tries it after 0, 1, 2, 4, 8, … seconds, and at
/// last after `longest`. `accepts` waits until so many seconds have passed since the beginning and then sends
/// the nonce. It returns `None` if the server did not say, or if it was interrupted.
pub fn nonce_lifetime<E>(
    longest: u64,
    mut accepts: impl FnMut(u64) -> Result<Option<bool>, E>,
) -> Result<Option<NonceLifetime>, E> {
    let (mut accepted, mut seconds) = (None, 0);
    loop {
        match (accepts(seconds)?, accepted) {
            (Some(true), _) => accepted = Some(seconds),
            (Some(false), None) => return Ok(Some(NonceLifetime::Once)),
            (Some(false), Some(last)) => return Ok(Some(NonceLifetime::Between(last, seconds))),
            (None, last) => return Ok(last.map(NonceLifetime::AtLeast)),
        }
        if seconds >= longest {
            return Ok(Some(NonceLifetime::AtLeast(seconds)));
        }
        seconds = seconds.saturating_mul(2).clamp(1, longest);
    }
}
