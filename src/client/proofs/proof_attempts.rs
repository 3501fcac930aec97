//! The proofs of one request, and the decision to retry it.
//!
//! This is the only place that decides whether a request is retried because of what a server's response
//! says.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderValue, StatusCode};

use crate::client::proofs::clock_offset::{ClockDifference, ClockOffset, Freshness};
use crate::client::proofs::known_servers::OriginState;
use crate::client::proofs::prover::Prover;
use crate::client::request_target::RequestTarget;
use crate::dpop::proof::check_refused_proof;
use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::oauth::http_client::sensitive;
use crate::oauth::response_facts::{INVALID_DPOP_PROOF, ResponseFacts, USE_DPOP_NONCE};
use crate::text::printable;

/// A request is not retried more often than this for the sake of its proof: it is sent three times at most.
const MAX_RETRIES: u32 = 2;

/// Makes a proof for each attempt of one request and decides after each response whether to retry.
///
/// A request is retried at most once for each of three reasons: the server sends a nonce that the refused
/// proof did not have, its clock differs, or it accepts only another name of the key's algorithm. It is
/// retried at most twice in all.
#[derive(Clone)]
pub(crate) struct ProofAttempts {
    prover: Prover,
    role: ServerRole,
    alg: &'static str,
    target: RequestTarget,
    /// Error codes that may mean a wrong time at this server, beside `invalid_dpop_proof`.
    clock_error_codes: &'static [&'static str],
    /// Whether a client assertion goes with each proof.
    with_assertion: bool,
    origin_state: OriginState,
    last_proof: Option<SentProof>,
    /// The newest nonce that a response to this request brought. Other threads may overwrite the shared one.
    nonce: Option<Arc<str>>,
    retries: RetriesUsed,
    clock_difference: Option<ClockDifference>,
    /// The algorithms of a challenge that lists none of the key's. Some servers accept others nevertheless.
    unlisted_algs: Option<String>,
}

/// What the proof of the last attempt was made with.
#[derive(Clone)]
struct SentProof {
    proof: String,
    time: SystemTime,
    offset: ClockOffset,
    nonce: Option<Arc<str>>,
}

/// The reasons for which the request has been retried.
#[derive(Clone, Default)]
struct RetriesUsed {
    nonce: bool,
    clock: bool,
    alg: bool,
    count: u32,
}

impl RetriesUsed {
    fn are_exhausted(&self) -> bool {
        self.count >= MAX_RETRIES
    }
}

impl ProofAttempts {
    /// Starts the attempts of a request. `alg` is the name of the key's algorithm according to the server's
    /// metadata; one that the origin's own challenges listed takes precedence.
    pub(crate) fn new(prover: Prover, role: ServerRole, alg: &'static str, target: RequestTarget) -> Self {
        let origin_state = prover.origin_state(role, target.url.origin());
        let alg = origin_state.alg.filter(|alg| prover.supports(alg)).unwrap_or(alg);
        Self {
            prover,
            role,
            alg,
            target,
            clock_error_codes: &[],
            with_assertion: false,
            origin_state,
            last_proof: None,
            nonce: None,
            retries: RetriesUsed::default(),
            clock_difference: None,
            unlisted_algs: None,
        }
    }

    /// Continues the attempts of the same request, which were made with another access token.
    pub(crate) fn after(self, earlier: Self) -> Self {
        let alg = if self.prover.supports(earlier.alg) { earlier.alg } else { self.alg };
        Self { alg, prover: self.prover, last_proof: None, ..earlier }
    }

    pub(crate) fn with_clock_error_codes(self, clock_error_codes: &'static [&'static str]) -> Self {
        Self { clock_error_codes, ..self }
    }

    /// Says that a client assertion goes with each proof, dated by [`assertion_time`](Self::assertion_time).
    pub(crate) fn with_assertion(self, with_assertion: bool) -> Self {
        Self { with_assertion, ..self }
    }

    pub(crate) fn map_target(self, map: impl FnOnce(RequestTarget) -> RequestTarget) -> Self {
        Self { target: map(self.target), ..self }
    }

    /// Makes the proof for the next attempt, with the hash of the access token where one goes with the
    /// request.
    pub(crate) fn prove(
        &mut self,
        access_token: Option<&str>,
        now: SystemTime,
    ) -> Result<HeaderValue, Error> {
        let nonce = self.next_nonce();
        let offset = self.origin_state.offset.limited(freshness(nonce.is_some()));
        let mut proof = self.target.proof();
        if let Some(token) = access_token {
            proof = proof.access_token(token);
        }
        if let Some(nonce) = &nonce {
            proof = proof.nonce(&**nonce);
        }
        let proof = self.prover.sign(&proof, self.alg, offset.apply(now))?;
        let value = sensitive(&proof)?;
        self.last_proof = Some(SentProof { proof, time: now, offset, nonce });
        Ok(value)
    }

    /// Takes the response to the last attempt and returns whether to retry. The nonce of the response is
    /// recorded, whatever else the response says (RFC 9449 §8.2).
    ///
    /// # Errors
    /// - [`Algorithm`](ErrorKind::Algorithm) when the challenges list algorithms that the key does not sign,
    ///   and no retry is left that may help nevertheless.
    /// - [`Signer`](ErrorKind::Signer) after a refusal of a proof whose signature does not belong to its key.
    pub(crate) fn receive(&mut self, response: &ResponseFacts<'_>, now: SystemTime) -> Result<bool, Error> {
        let new_nonce = self.prover.update_nonce(self.role, self.target.url.origin(), response.nonce());
        if new_nonce.is_some() {
            self.nonce.clone_from(&new_nonce);
        }
        if response.is_refusal() && response.error_code() != Some(USE_DPOP_NONCE) {
            self.check_signature()?;
        }
        if (self.retries.clock || self.retries.alg) && self.accepts_proof(response.status()) {
            self.keep_corrections();
        }
        if response.status() == StatusCode::UNAUTHORIZED && response.names_no_error() {
            self.report_clock(response, now);
        }
        let code = response.error_code();
        let (wants_nonce, refuses_proof) = (code == Some(USE_DPOP_NONCE), code == Some(INVALID_DPOP_PROOF));
        let is_clock_error = refuses_proof || code.is_some_and(|code| self.clock_error_codes.contains(&code));
        // A token endpoint lists its algorithms in its metadata (RFC 9449 §5.1), a resource in its
        // challenges (§7.1).
        let is_resource = self.role == ServerRole::ResourceServer;
        let other_alg = is_resource && (wants_nonce || refuses_proof) && self.follow_algs(response);
        let retry = (response.may_lack_nonce() && self.retry_with_nonce(new_nonce))
            || (is_clock_error && self.retry_with_date(response, now))
            || (refuses_proof && other_alg && !self.retries.are_exhausted());
        if retry {
            self.retries.count += 1;
        } else if let Some(code) = code.filter(|_| wants_nonce || refuses_proof) {
            if let Some(listed) = &self.unlisted_algs {
                return Err(self.unlisted_alg(listed, wants_nonce));
            }
            let difference = self.clock_difference.as_ref().map(|difference| format!("; {difference}"));
            let (target, difference) = (&self.target, difference.unwrap_or_default());
            log::warn!("{target}: the server refused the proof ({code}){difference}");
        }
        Ok(retry)
    }

    /// Checks the signature of the refused proof: servers say little about what is wrong with it.
    fn check_signature(&self) -> Result<(), Error> {
        let checked = self.last_proof.as_ref().map_or(Ok(()), |sent| check_refused_proof(&sent.proof));
        checked.map_err(|error| error.while_doing(self.target.calling()))
    }

    /// Keeps what this request has learned about the server beside its nonce: the clock offset and the name
    /// of the algorithm.
    pub(crate) fn keep_corrections(&self) {
        self.prover.record_origin_state(self.role, self.target.url.origin(), self.origin_state);
    }

    /// Logs the difference of the clocks after a refusal without a reason, once.
    fn report_clock(&mut self, response: &ResponseFacts<'_>, now: SystemTime) {
        let Some(sent) = self.last_proof.as_ref().filter(|_| self.clock_difference.is_none()) else {
            return;
        };
        if let Some(offset) = sent.offset.corrected(response.date(), sent.time, now) {
            let host = self.target.url.host().to_owned();
            let difference = ClockDifference { offset, host, tried: false };
            log::warn!("{}: the server responded with 401 and named no error; {difference}", self.target);
            self.clock_difference = Some(difference);
        }
    }

    /// Returns whether the nonce of a refusal allows a retry: it came with the refusal and differs from the
    /// one just sent.
    fn retry_with_nonce(&mut self, nonce: Option<Arc<str>>) -> bool {
        let sent = self.last_proof.as_ref().and_then(|proof| proof.nonce.as_ref());
        let usable = nonce.as_ref().is_some_and(|nonce| sent != Some(nonce));
        if !usable || self.retries.nonce || self.retries.are_exhausted() {
            return false;
        }
        log::debug!("{}: retrying with the server's nonce", self.target);
        self.retries.nonce = true;
        true
    }

    /// Returns the nonce of the next proof.
    fn next_nonce(&self) -> Option<Arc<str>> {
        self.nonce.clone().or_else(|| self.prover.nonce(self.role, self.target.url.origin()))
    }

    /// Returns whether the `Date` of a refusal allows a retry: the clocks certainly differ, and not by more
    /// than [`ClockOffset::limited`] allows.
    fn retry_with_date(&mut self, response: &ResponseFacts<'_>, now: SystemTime) -> bool {
        let Some(sent) = &self.last_proof else {
            return false;
        };
        let host = self.target.url.host().to_owned();
        let offset = match sent.offset.corrected(response.date(), sent.time, now) {
            Some(offset) => offset,
            None if self.retries.clock => {
                let offset = self.origin_state.offset;
                self.clock_difference = Some(ClockDifference { offset, host, tried: true });
                return false;
            }
            // The recorded offset may be wrong: the Date of a gateway need not be the server's time.
            None if self.origin_state.offset != ClockOffset::default() => ClockOffset::default(),
            None => return false,
        };
        let difference = ClockDifference { offset, host, tried: self.retries.clock };
        // A client assertion carries no nonce, and without the server's time it would be refused again.
        let freshness = freshness(!self.with_assertion && self.next_nonce().is_some());
        let is_allowed = offset.limited(freshness) == offset;
        if self.retries.clock || !is_allowed || self.retries.are_exhausted() {
            log::warn!("{}: {difference}", self.target);
            self.clock_difference = Some(difference);
            return false;
        }
        log::warn!(
            "{}: the server refused the request, and its clock differs: retrying with {} s added to the local clock",
            self.target,
            offset.0
        );
        self.origin_state.offset = offset;
        self.retries.clock = true;
        true
    }

    /// Follows the algorithms that a challenge lists, and returns whether they allow a retry: the name in
    /// use is not among them, and another name of the key's algorithm is.
    fn follow_algs(&mut self, response: &ResponseFacts<'_>) -> bool {
        let algs = response.algs();
        if algs.is_empty() {
            return false;
        }
        self.unlisted_algs = None;
        if algs.iter().any(|alg| alg == self.alg) {
            return false;
        }
        let Ok(other) = self.prover.choose_alg(Some(&algs)) else {
            self.unlisted_algs = Some(printable(&algs.join(" "), 200));
            return false;
        };
        self.alg = other;
        self.origin_state.alg = Some(other);
        !std::mem::replace(&mut self.retries.alg, true)
    }

    fn unlisted_alg(&self, listed: &str, wants_nonce: bool) -> Error {
        let alg = self.alg;
        let nonce = match (self.retries.nonce, wants_nonce) {
            (true, _) => "the server refused the proof with its nonce as well, ",
            (false, true) => "the server asked for a nonce and sent no new one, ",
            (false, false) => "",
        };
        let wrong = match nonce.is_empty() {
            true => format!(
                "the server accepts proofs signed with {listed}, and the key signs {alg} (use another key)"
            ),
            false => {
                format!("{nonce}and it lists only {listed}, while the key signs {alg} (use another key)")
            }
        };
        Error::new(ErrorKind::Algorithm, self.target.calling(), wrong)
    }

    pub(crate) fn prover(&self) -> &Prover {
        &self.prover
    }

    pub(crate) fn target(&self) -> &RequestTarget {
        &self.target
    }

    /// Returns the time to date a client assertion with: that of the server's clock, within the limits for a
    /// JWT without a nonce.
    pub(crate) fn assertion_time(&self, now: SystemTime) -> SystemTime {
        self.origin_state.offset.limited(Freshness::DateOnly).apply(now)
    }

    /// Returns a difference of the clocks that no retry has resolved.
    pub(crate) fn clock_difference(&self) -> Option<&ClockDifference> {
        self.clock_difference.as_ref()
    }

    /// Returns whether a status shows that the server accepted the proof. A resource makes its own refusals
    /// after it has verified the proof; a failure of a gateway shows nothing.
    fn accepts_proof(&self, status: StatusCode) -> bool {
        let after_proof =
            matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::CONFLICT);
        status.is_success() || (self.role == ServerRole::ResourceServer && after_proof)
    }
}

fn freshness(has_nonce: bool) -> Freshness {
    if has_nonce { Freshness::Nonce } else { Freshness::DateOnly }
}
