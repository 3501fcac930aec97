//! Whether a verifier uses nonces, and how it checks the nonce of a proof (RFC 9449 §4.3 check 10).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::dpop::server_role::ServerRole;
use crate::jose::json::{Json, Object};
use crate::jose::public_key::Thumbprint;
use crate::server::nonce::{NonceSource, NonceState};
use crate::server::reason::Reason;
use crate::text::is_nonce;

/// Whether a verifier uses nonces.
#[derive(Clone)]
pub(crate) enum NoncePolicy {
    Off,
    /// A proof may have no nonce. A nonce that is present must be valid.
    Optional(Arc<dyn NonceSource>),
    Required(Arc<dyn NonceSource>),
}

/// The outcome of the check of a proof's nonce.
pub(crate) enum NonceCheck {
    /// The verifier does not use nonces.
    NotUsed,
    /// The nonce is valid, or is absent and not required.
    Passed {
        /// Whether the response should carry a new nonce.
        renew: bool,
        /// When the nonce was made, where it is known.
        made: Option<SystemTime>,
        /// The last second in which the nonce is accepted, where it is known.
        until: Option<SystemTime>,
    },
    /// The nonce is absent or invalid: the client must retry with a new one.
    Failed(Reason),
}

impl NoncePolicy {
    /// Checks the `nonce` in the claims of a proof by the key `jkt`. It must have been made since
    /// `recording_since`, where that is known.
    pub(crate) fn check(
        &self,
        claims: &Object<'_>,
        role: ServerRole,
        jkt: &Thumbprint,
        now: SystemTime,
        recording_since: Option<SystemTime>,
    ) -> NonceCheck {
        let (source, required) = match self {
            Self::Off => return NonceCheck::NotUsed,
            Self::Optional(source) => (source, false),
            Self::Required(source) => (source, true),
        };
        let nonce = match claims.get("nonce") {
            Some(Json::String(nonce)) => nonce,
            None if !required => return NonceCheck::Passed { renew: true, made: None, until: None },
            None => return NonceCheck::Failed(Reason::NoNonce),
            Some(_) => return NonceCheck::Failed(Reason::Nonce),
        };
        match source.check(nonce, role, jkt, now) {
            NonceState::Valid { made: Some(made), .. }
                if recording_since.is_some_and(|since| made < since) =>
            {
                NonceCheck::Failed(Reason::NonceOlderThanStore)
            }
            NonceState::Valid { made, until, ageing } if is_nonce(nonce) => {
                NonceCheck::Passed { renew: ageing, made, until }
            }
            _ => NonceCheck::Failed(Reason::Nonce),
        }
    }

    /// Uses up the nonce of a proof that passed every other check, and returns whether it could still be
    /// used. A proof without a nonce has nothing to use up; [`check`](Self::check) has found whether it
    /// may be without.
    pub(crate) fn consume(&self, nonce: &str, role: ServerRole, jkt: &Thumbprint, now: SystemTime) -> bool {
        match self {
            Self::Optional(source) | Self::Required(source) if !nonce.is_empty() => {
                source.consume(nonce, role, jkt, now)
            }
            _ => true,
        }
    }

    /// Returns how long a nonce is valid; `None` without a source, or if the source does not know.
    pub(crate) fn lifetime(&self) -> Option<Duration> {
        match self {
            Self::Off => None,
            Self::Optional(source) | Self::Required(source) => source.nonce_lifetime(),
        }
    }

    /// Returns whether every proof must have a nonce.
    pub(crate) fn are_required(&self) -> bool {
        matches!(self, Self::Required(_))
    }

    /// Returns whether the source of the nonces needs I/O.
    pub(crate) fn needs_io(&self) -> bool {
        match self {
            Self::Off => false,
            Self::Optional(source) | Self::Required(source) => source.needs_io(),
        }
    }

    /// Makes a nonce for the client with the key `jkt`; `None` without a source, or if the source fails.
    pub(crate) fn make(&self, role: ServerRole, jkt: &Thumbprint, now: SystemTime) -> Option<String> {
        let (Self::Optional(source) | Self::Required(source)) = self else {
            return None;
        };
        let nonce = source.make(role, Some(jkt), now);
        nonce.inspect_err(|error| log::error!("making a DPoP nonce for a response: {error}")).ok()
    }
}
