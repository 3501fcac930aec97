//! The proofs of one request: what they say, and whether a refusal is worth another one. The one place where it is decided
//! that a request may be repeated for a server's sake.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use zeroize::Zeroizing;

use crate::client::clock_offset::{ClockDifference, ClockOffset};
use crate::client::proof_target::ProofTarget;
use crate::client::prover::Prover;
use crate::client::server_state::{NonceUpdate, OriginState};
use crate::dpop::proof::Proof;
use crate::dpop::server_role::ServerRole;
use crate::error::{Error, ErrorKind};
use crate::oauth::challenge;
use crate::oauth::http_client::sensitive;
use crate::oauth::response::is_refusal;
use crate::text::printable;
use crate::url::Url;

const USE_DPOP_NONCE: &str = "use_dpop_nonce";
const INVALID_DPOP_PROOF: &str = "invalid_dpop_proof";

/// One request, proved as often as it is sent.
#[derive(Clone)]
pub(crate) struct ProofAttempts {
    pub(crate) prover: Prover,
    part: ServerRole,
    alg: &'static str,
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// What `htm` and `htu` say, where that is not what is sent.
    target: Option<ProofTarget>,
    pub(crate) access_token: Option<Arc<Zeroizing<String>>>,
    /// Codes that may stand for a wrong time here, beside `invalid_dpop_proof`.
    untimely: &'static [&'static str],
    known: OriginState,
    sent: Option<SentProof>,
    /// The newest nonce that came in answer to this request: no other thread's takes its place.
    nonce: Option<Arc<str>>,
    used: RetriesUsed,
    skew: Option<ClockDifference>,
}

/// What the last request carried.
#[derive(Clone)]
struct SentProof {
    at: SystemTime,
    nonce: Option<Arc<str>>,
}

/// Each reason to send again counts once.
#[derive(Clone, Default)]
struct RetriesUsed {
    nonce: bool,
    clock: bool,
    alg: bool,
}

impl ProofAttempts {
    pub(crate) fn new(prover: Prover, part: ServerRole, alg: &'static str, method: Method, url: Url) -> Self {
        let known = prover.origin(part, url.origin());
        let alg = known.alg.filter(|alg| prover.signs(alg)).unwrap_or(alg);
        Self {
            prover,
            part,
            alg,
            method,
            url,
            target: None,
            access_token: None,
            untimely: &[],
            known,
            sent: None,
            nonce: None,
            used: RetriesUsed::default(),
            skew: None,
        }
    }

    pub(crate) fn with_access_token(self, access_token: Arc<Zeroizing<String>>) -> Self {
        Self { access_token: Some(access_token), ..self }
    }

    pub(crate) fn with_target(self, target: Option<ProofTarget>) -> Self {
        Self { target, ..self }
    }

    pub(crate) fn with_untimely(self, untimely: &'static [&'static str]) -> Self {
        Self { untimely, ..self }
    }

    /// The time as the server has it, as far as is known.
    pub(crate) fn time(&self, now: SystemTime) -> SystemTime {
        self.known.offset.apply(now)
    }

    pub(crate) fn prove(&mut self, now: SystemTime) -> Result<HeaderValue, Error> {
        let nonce = self.nonce.clone().or_else(|| self.prover.nonce_of(self.part, self.url.origin()));
        let mut proof = match &self.target {
            Some(target) => Proof::from_url(&target.method, &target.url),
            None => Proof::from_url(&self.method, &self.url),
        };
        if let Some(token) = &self.access_token {
            proof = proof.access_token(token);
        }
        if let Some(nonce) = &nonce {
            proof = proof.nonce(&**nonce);
        }
        let proof = sensitive(&self.prover.sign(&proof, self.alg, self.time(now))?)?;
        self.sent = Some(SentProof { at: now, nonce });
        Ok(proof)
    }

    /// Takes a response, of which `code` says why it refuses, if it does: whether to prove and send once more. A nonce in it
    /// is kept whatever else it says (RFC 9449 §8.2).
    pub(crate) fn receive(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        code: Option<&str>,
        now: SystemTime,
    ) -> Result<bool, Error> {
        let learned = self.prover.learn_from(self.part, self.url.origin(), headers);
        if let NonceUpdate::Nonce(nonce) = &learned {
            self.nonce = Some(Arc::clone(nonce));
        }
        let code = code.filter(|_| is_refusal(status));
        let challenged = code == Some(USE_DPOP_NONCE);
        let refused = code == Some(INVALID_DPOP_PROOF);
        let untimely = refused || code.is_some_and(|code| self.untimely.contains(&code));
        // A resource's own refusals come after its checks of the proof; what a gateway fails with says nothing of it.
        let accepted = status.is_success()
            || (self.part == ServerRole::ResourceServer
                && matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::CONFLICT));
        if (self.used.clock || self.used.alg) && accepted {
            self.prover.know(self.part, self.url.origin(), self.known);
        }
        // A token endpoint says so in its metadata (RFC 9449 §5.1), a resource in its challenges (§7.1).
        let of_resource = self.part == ServerRole::ResourceServer;
        let other_alg = of_resource && (challenged || refused) && self.agree_on_alg(headers)?;
        let again = (challenged && self.take_nonce(learned))
            || (untimely && self.take_date(headers, now))
            || (refused && other_alg);
        if (challenged || refused) && !again {
            let skew = self.skew.as_ref().map(|skew| format!("; {skew}")).unwrap_or_default();
            let code = if challenged { USE_DPOP_NONCE } else { INVALID_DPOP_PROOF };
            log::warn!("{} {}: the server refuses the proof ({code}){skew}", self.method, self.url);
        }
        Ok(again)
    }

    /// Only a nonce that came with the challenge and is not the one just sent.
    fn take_nonce(&mut self, learned: NonceUpdate) -> bool {
        let sent = self.sent.as_ref().and_then(|sent| sent.nonce.as_ref());
        match learned {
            NonceUpdate::Nonce(nonce) if !self.used.nonce && sent != Some(&nonce) => {
                log::debug!("{} {}: once more with the server's nonce", self.method, self.url);
                self.used.nonce = true;
                true
            }
            _ => false,
        }
    }

    /// Only for a clock that certainly differs, and not by more than a clock that somebody looks after.
    fn take_date(&mut self, headers: &HeaderMap, now: SystemTime) -> bool {
        let Some(sent) = &self.sent else {
            return false;
        };
        let host = self.url.host().to_owned();
        let offset = match self.known.offset.corrected(headers, sent.at, now) {
            Some(offset) => offset,
            None if self.used.clock => {
                self.skew = Some(ClockDifference { offset: self.known.offset, host, tried: true });
                return false;
            }
            // What was learned once may be what is wrong: the Date of a gateway need not be the server's time.
            None if self.known.offset != ClockOffset::default() => ClockOffset::default(),
            None => return false,
        };
        let skew = ClockDifference { offset, host, tried: self.used.clock };
        if self.used.clock || !offset.is_bounded() {
            log::warn!("{} {}: {skew}", self.method, self.url);
            self.skew = Some(skew);
            return false;
        }
        let (method, url, seconds) = (&self.method, &self.url, offset.0);
        log::warn!(
            "{method} {url} was refused, maybe since clocks differ: once more with {seconds} s added to this one"
        );
        self.known.offset = offset;
        self.used.clock = true;
        true
    }

    /// Whether the server's challenge lists other names than the one in use, and one of them is the key's too.
    fn agree_on_alg(&mut self, headers: &HeaderMap) -> Result<bool, Error> {
        let challenges = challenge::of_scheme(headers, "dpop");
        let algs = challenges.iter().filter_map(|challenge| challenge.param("algs"));
        let algs: Vec<String> = algs.flat_map(str::split_ascii_whitespace).map(str::to_owned).collect();
        if algs.is_empty() || algs.iter().any(|alg| alg == self.alg) {
            return Ok(false);
        }
        self.alg = self.prover.name_at(Some(&algs)).map_err(|_| {
            let listed = printable(&algs.join(" "), 200);
            let wrong = format!(
                "the server takes proofs signed with {listed}, and the key signs {}: use another key",
                self.alg
            );
            Error::new(ErrorKind::Algorithm, format!("calling {} {}", self.method, self.url), wrong)
        })?;
        self.known.alg = Some(self.alg);
        Ok(!std::mem::replace(&mut self.used.alg, true))
    }

    /// A disagreement of clocks that another proof did not or could not mend.
    pub(crate) fn skew(&self) -> Option<&ClockDifference> {
        self.skew.as_ref()
    }
}
