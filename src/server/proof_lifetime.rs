//! The time during which a proof is accepted (RFC 9449 §4.3 check 11, §11.1).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::jose::json::Object;
use crate::server::claim_values::{MAX_TIME, NumericDate};
use crate::server::nonce_policy::NonceCheck;
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

/// When a proof was made, and the last second in which it is accepted.
pub(crate) struct ProofLifetime {
    pub(crate) iat: SystemTime,
    pub(crate) accepted_until: SystemTime,
}

impl TimePolicy {
    /// Checks `iat`, and `exp` and `nbf` where they are present (RFC 7519 §4.1.4, §4.1.5).
    pub(crate) fn check(
        &self,
        claims: &Object<'_>,
        nonce: &NonceCheck,
        now: SystemTime,
    ) -> Result<ProofLifetime, Reason> {
        let now = unix_seconds(now).map_err(Reason::Clock)?;
        let (max_age, leeway) = (self.max_age.as_secs(), self.leeway.as_secs());
        let date = |claim| NumericDate::from_claim(claims, claim).map_err(|()| Reason::Claim { claim });
        let iat = date("iat")?.ok_or(Reason::Claim { claim: "iat" })?;
        let time = |seconds| {
            UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(Reason::Claim { claim: "iat" })
        };
        if self.trust_nonce_time {
            // `exp` and `nbf` are compared with `iat`: all three were read from the client's clock, which
            // may be wrong.
            if date("exp")?.is_some_and(|exp| exp.ceiling() <= iat.floor()) {
                return Err(Reason::Expired);
            }
            if date("nbf")?.is_some_and(|nbf| nbf.floor() > iat.ceiling()) {
                return Err(Reason::NotYetValid);
            }
            match nonce {
                NonceCheck::Passed { until: Some(until), .. } => {
                    return Ok(ProofLifetime { iat: time(iat.floor())?, accepted_until: *until });
                }
                // The client is to retry with a valid nonce, whatever its clock says.
                NonceCheck::Failed(_) => {
                    return Ok(ProofLifetime { iat: time(iat.floor())?, accepted_until: time(now)? });
                }
                _ => {}
            }
        }
        // A fraction of a second is rounded to the side on which the proof is refused earlier.
        if iat.ceiling() > now.saturating_add(leeway) {
            let ahead = Duration::from_secs(iat.ceiling().saturating_sub(now));
            return Err(Reason::Future { ahead, allowed: self.leeway });
        }
        let end = iat.floor().saturating_add(max_age).min(MAX_TIME);
        if end < now {
            let age = Duration::from_secs(now.saturating_sub(iat.floor()));
            return Err(Reason::Stale { age, allowed: self.max_age });
        }
        if date("exp")?.is_some_and(|exp| exp.ceiling() <= now) {
            return Err(Reason::Expired);
        }
        if date("nbf")?.is_some_and(|nbf| nbf.floor() > now.saturating_add(leeway)) {
            return Err(Reason::NotYetValid);
        }
        Ok(ProofLifetime { iat: time(iat.floor())?, accepted_until: time(end)? })
    }
}
