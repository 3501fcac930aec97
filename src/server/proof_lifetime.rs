//! The time during which a proof is accepted (RFC 9449 §4.3 check 11, §11.1).

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::jose::json::Object;
use crate::server::claim_values::{MAX_TIME, NumericDate};
use crate::server::clock_tolerance::{NODE_CLOCK_TOLERANCE, earliest_at_any_node, latest_at_any_node};
use crate::server::nonce_policy::{NonceCheck, NoncePolicy};
use crate::server::reason::Reason;
use crate::time::unix_seconds;

/// What a verifier demands of the times in a proof.
#[derive(Clone)]
pub(crate) struct TimePolicy {
    /// How old a proof may be, in whole seconds.
    pub(crate) max_age: Duration,
    /// How far ahead of this server's clock a proof may be dated, in whole seconds.
    pub(crate) leeway: Duration,
    /// Whether the time in a valid nonce replaces `iat`.
    pub(crate) trust_nonce_time: bool,
}

/// When a proof was made, and the first and the last second in which it is accepted.
pub(crate) struct ProofLifetime {
    pub(crate) iat: SystemTime,
    pub(crate) accepted_from: SystemTime,
    pub(crate) accepted_until: SystemTime,
}

impl ProofLifetime {
    /// Returns the first and the last second in which any node may accept the proof, whose nonce was made at
    /// `nonce_made`: the clocks of other nodes are ahead or behind.
    pub(crate) fn at_any_node(&self, nonce_made: Option<SystemTime>) -> RangeInclusive<SystemTime> {
        // Nobody has a nonce before it is made.
        let from = nonce_made.map_or(self.accepted_from, |made| made.max(self.accepted_from));
        earliest_at_any_node(from)..=latest_at_any_node(self.accepted_until)
    }
}

/// How much longer an entry may be in a store than its proof is accepted anywhere. A lifetime in whole
/// seconds begins and ends in the middle of one, and the store in Redis adds 3 seconds for steps of Redis's
/// clock that it does not notice.
const STORE_MARGIN: Duration = Duration::from_secs(4);

impl TimePolicy {
    /// Returns how long a store remembers a proof at most, if `nonces` are used. A proof can come as soon as
    /// it is accepted, which is longest before its end if it is dated ahead, or has the nonce of a node whose
    /// clock is ahead.
    pub(crate) fn retention(&self, nonces: &NoncePolicy) -> Duration {
        let tolerance = Duration::from_secs(NODE_CLOCK_TOLERANCE);
        let by_clock = self.max_age.saturating_add(self.leeway);
        let lifetime = nonces.lifetime().filter(|_| self.trust_nonce_time);
        let accepted = match lifetime.map(|lifetime| lifetime.saturating_add(tolerance)) {
            None => by_clock,
            Some(by_nonce) if nonces.are_required() => by_nonce,
            // A proof without a nonce is accepted by the clock.
            Some(by_nonce) => by_nonce.max(by_clock),
        };
        accepted.saturating_add(tolerance).saturating_add(STORE_MARGIN)
    }

    /// Checks `iat` by the time in the nonce, where that is known, and otherwise by this server's clock.
    /// `exp` and `nbf` are compared with `iat`: all three were read from the client's clock, which may be
    /// wrong.
    pub(crate) fn check_by_nonce(
        &self,
        claims: &Object<'_>,
        nonce: &NonceCheck,
        now: SystemTime,
    ) -> Result<ProofLifetime, Reason> {
        unix_seconds(now).map_err(Reason::Clock)?;
        let iat = required_iat(claims)?;
        if date(claims, "exp")?.is_some_and(|exp| exp.ceiling() <= iat.floor()) {
            return Err(Reason::Expired);
        }
        if date(claims, "nbf")?.is_some_and(|nbf| nbf.floor() > iat.ceiling()) {
            return Err(Reason::NotYetValid);
        }
        let (accepted_from, accepted_until) = match nonce {
            NonceCheck::Passed { made: Some(made), until: Some(until), .. } => (*made, *until),
            // The client is to retry with a valid nonce, whatever its clock says.
            NonceCheck::Failed(_) => (now, now),
            _ => return self.check_by_clock(claims, now),
        };
        Ok(ProofLifetime { iat: time(iat.floor())?, accepted_from, accepted_until })
    }

    /// Checks `iat` by this server's clock, and `exp` and `nbf` where they are present (RFC 7519 §4.1.4,
    /// §4.1.5).
    pub(crate) fn check_by_clock(
        &self,
        claims: &Object<'_>,
        now: SystemTime,
    ) -> Result<ProofLifetime, Reason> {
        let now = unix_seconds(now).map_err(Reason::Clock)?;
        let (max_age, leeway) = (self.max_age.as_secs(), self.leeway.as_secs());
        let iat = required_iat(claims)?;
        // Fractions of a second are rounded so that the proof is refused earlier, never later.
        if iat.ceiling() > now.saturating_add(leeway) {
            let ahead = Duration::from_secs(iat.ceiling().saturating_sub(now));
            return Err(Reason::Future { ahead, allowed: self.leeway });
        }
        let end = iat.floor().saturating_add(max_age).min(MAX_TIME);
        if end < now {
            let age = Duration::from_secs(now.saturating_sub(iat.floor()));
            return Err(Reason::Stale { age, allowed: self.max_age });
        }
        if date(claims, "exp")?.is_some_and(|exp| exp.ceiling() <= now) {
            return Err(Reason::Expired);
        }
        if date(claims, "nbf")?.is_some_and(|nbf| nbf.floor() > now.saturating_add(leeway)) {
            return Err(Reason::NotYetValid);
        }
        Ok(ProofLifetime {
            iat: time(iat.floor())?,
            accepted_from: time(iat.floor().saturating_sub(leeway))?,
            accepted_until: time(end)?,
        })
    }
}

fn date(claims: &Object<'_>, claim: &'static str) -> Result<Option<NumericDate>, Reason> {
    NumericDate::from_claim(claims, claim).map_err(|()| Reason::Claim { claim })
}

fn required_iat(claims: &Object<'_>) -> Result<NumericDate, Reason> {
    date(claims, "iat")?.ok_or(Reason::Claim { claim: "iat" })
}

fn time(seconds: u64) -> Result<SystemTime, Reason> {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(Reason::Claim { claim: "iat" })
}
