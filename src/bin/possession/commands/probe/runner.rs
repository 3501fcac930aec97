//! Runs cases against a server and judges what was seen.

use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use possession::{HttpClient, KeyPair, RequestBody};
use serde_json::Value;

use super::case::{Case, Change, Finding, Need, Outcome, Property, Rule, Run, Seen, Verdict};
use super::first_request;
use super::malformed_proof::ProofParts;
use super::measure::{NonceLifetime, edge, nonce_lifetime};
use super::pace::Pauses;
use super::prober::{Prober, asked_nonce, demands_nonce, offered_nonce};
use super::record::without_query_values;
use super::target::Target;
use crate::failure::Failure;

/// The pauses before a correct request is tried again, if the server asks for none: the time of so many
/// requests.
const PAUSES: [u32; 3] = [5, 10, 20];

/// How many correct requests must succeed one after the other in the beginning.
const IN_A_ROW: usize = 3;

const REFUSES_EVERYTHING: &str = "a correct request was refused afterwards as well";
const UNCONFIRMED: &str = "it was interrupted before a correct request succeeded again";
const INTERRUPTED: &str = "it was interrupted";
const ASKS_FOR_A_NONCE: &str = "the server asks for a nonce instead";
const AGE_BY_NONCE: &str = "by the nonce that the server demands, which may limit the age instead of iat; \
                            --measure-nonce finds out how long a nonce is accepted";
const NONCE_USED_UP: &str = "by the nonce of the proof, which is no longer accepted";

/// Sends a request with a proof.
type SendProof<'a, P> = &'a dyn Fn(&mut P, &Prober, String) -> Result<Response<Vec<u8>>, Failure>;

/// A kind of server.
pub trait Probe: Sized {
    /// Returns the cases, in the order in which they are run.
    fn cases() -> Vec<Case<Self>>;

    /// Returns the request that a proof is for, at this time.
    fn target(&self) -> Target;

    /// Returns the key that proofs are signed with, and another.
    fn keys(&self) -> (&KeyPair, &KeyPair);

    /// Takes the nonce for the next proof.
    fn set_nonce(&mut self, nonce: String);

    /// Creates a request that is correct but has no proof.
    fn request(&self) -> Result<Request<RequestBody>, Failure>;

    /// Takes what the next request needs of a response.
    fn receive(&mut self, response: &Response<Vec<u8>>);

    /// Returns what the server did with the request, where a demand for a nonce is a refusal.
    fn judge(&self, response: &Response<Vec<u8>>) -> Seen;

    /// Returns what the server did with a request whose nonce was right: a demand for another says nothing
    /// about the rest of it.
    fn seen(&self, response: &Response<Vec<u8>>) -> Seen {
        match self.judge(response) {
            Seen::Refused if demands_nonce(response) => Seen::Unclear(ASKS_FOR_A_NONCE.to_owned()),
            seen => seen,
        }
    }

    /// Returns what is missing for a case, if it is.
    fn lacks(&self, need: Need) -> Option<String>;

    /// Gets what correct requests need once more, such as an access token. Returns whether there is something
    /// to get.
    fn renew(&mut self, prober: &Prober) -> Result<bool, Failure>;

    /// Sends a correct request.
    fn baseline(&mut self, prober: &Prober) -> Result<Seen, Failure> {
        let response = self.send_with_nonce(prober, &|own| Ok(vec![own.correct_proof()?]))?;
        Ok(self.seen(&response))
    }

    fn correct_proof(&self) -> Result<String, Failure> {
        self.proof(&|_, _| {})
    }

    /// Makes a proof, changed by `change`.
    fn proof(&self, change: &dyn Fn(&mut ProofParts<'_>, &Target)) -> Result<String, Failure> {
        let (key, other_key) = self.keys();
        self.proof_by(key, other_key, change)
    }

    /// Makes a proof by this key.
    fn proof_by(
        &self,
        key: &KeyPair,
        other_key: &KeyPair,
        change: &dyn Fn(&mut ProofParts<'_>, &Target),
    ) -> Result<String, Failure> {
        let target = self.target();
        let mut parts = ProofParts::new(&target, key, other_key)?;
        change(&mut parts, &target);
        parts.sign()
    }

    /// Sends a request with these proofs.
    fn send(&mut self, prober: &Prober, proofs: &[String]) -> Result<Response<Vec<u8>>, Failure> {
        let mut request = self.request()?;
        for proof in proofs {
            request.headers_mut().append("dpop", HeaderValue::from_str(proof)?);
        }
        self.exchange(prober, request)
    }

    /// Sends what `make` makes, and once more if the server asks for a nonce.
    fn send_with_nonce(
        &mut self,
        prober: &Prober,
        make: &dyn Fn(&Self) -> Result<Vec<String>, Failure>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        self.retry_with_nonce(|own| {
            let proofs = make(own)?;
            own.send(prober, &proofs)
        })
    }

    /// Calls `send`, and once more if the server asks for a nonce.
    fn retry_with_nonce(
        &mut self,
        mut send: impl FnMut(&mut Self) -> Result<Response<Vec<u8>>, Failure>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let response = send(self)?;
        match asked_nonce(&response) {
            Some(nonce) => {
                self.set_nonce(nonce);
                send(self)
            }
            None => Ok(response),
        }
    }

    /// Sends a request, and takes the nonce of the response.
    fn exchange(
        &mut self,
        prober: &Prober,
        request: Request<RequestBody>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let response = prober.send(request)?;
        if let Some(nonce) = offered_nonce(&response) {
            self.set_nonce(nonce);
        }
        self.receive(&response);
        Ok(response)
    }

    /// Sends a proof, and then what `send_again` makes of it.
    fn replay(&mut self, prober: &Prober, send_again: SendProof<'_, Self>) -> Result<Seen, Failure> {
        let mut proof = String::new();
        let first = self.retry_with_nonce(|own| {
            proof = own.correct_proof()?;
            own.send(prober, std::slice::from_ref(&proof))
        })?;
        if self.seen(&first) != Seen::Accepted {
            return Ok(Seen::Unclear("the first use of the proof was not accepted".to_owned()));
        }
        let second = send_again(self, prober, proof)?;
        Ok(match self.judge(&second) {
            // The proof cannot be used again.
            Seen::Refused if demands_nonce(&second) => Seen::PreventedBy(NONCE_USED_UP.to_owned()),
            seen => seen,
        })
    }

    /// Returns whether the server accepts no correct proof without a nonce.
    fn demands_nonces(&mut self, prober: &Prober) -> Result<bool, Failure> {
        let proof = self.proof(&|proof, _| drop(proof.claims.remove("nonce")))?;
        Ok(demands_nonce(&self.send(prober, &[proof])?))
    }

    fn try_iat(&mut self, prober: &Prober, offset: i64) -> Result<Seen, Failure> {
        let response = self.send_with_nonce(prober, &|own| {
            Ok(vec![own.proof(&|proof, target| {
                proof.set_claim("iat", i64::try_from(target.now).unwrap_or(i64::MAX).saturating_add(offset));
            })?])
        })?;
        Ok(self.seen(&response))
    }
}

/// What is to be found out.
#[derive(Clone, Default)]
pub struct Plan {
    /// The names of the cases; all if there are none.
    pub only: Vec<String>,
    pub measure_iat: bool,
    /// How long a nonce is watched, in seconds.
    pub measure_nonce: Option<u64>,
}

impl Plan {
    fn includes(&self, rule: &Rule) -> bool {
        self.only.is_empty() || self.only.iter().any(|id| id == rule.id)
    }
}

/// What was found out about a server.
#[derive(Default)]
pub struct Results {
    pub findings: Vec<Finding>,
    pub iat_window: Option<IatWindow>,
    pub nonce_lifetime: Option<NonceLifetime>,
    /// Why the window was not measured, as a sentence.
    pub unmeasured: Option<String>,
    /// Why the run ended early, if it did.
    pub ended_early: Option<String>,
    /// How many cases were run before.
    pub run: usize,
    pub requests: u64,
}

/// The oldest and the newest `iat` that are accepted, in seconds from now; `None` is more than an hour.
#[derive(Clone, Copy)]
pub struct IatWindow {
    pub oldest: Option<i64>,
    pub newest: Option<i64>,
}

impl Results {
    /// Returns the number of rules that the server must enforce and does not.
    pub fn violations(&self) -> usize {
        self.findings.iter().filter(|finding| finding.is_violation()).count()
    }

    /// Returns the number of rules that the server must enforce, and of which nothing was found out.
    pub fn unclear_musts(&self) -> usize {
        self.findings.iter().filter(|finding| finding.is_unclear_must()).count()
    }

    /// Returns whether everything was found out that the server must do, as far as it could be tested.
    pub fn is_complete(&self) -> bool {
        self.ended_early.is_none() && self.unclear_musts() == 0 && self.has_verdicts()
    }

    /// Returns whether anything was found out.
    pub fn has_verdicts(&self) -> bool {
        let has_none = [Verdict::NotTested, Verdict::Unclear];
        self.findings.iter().any(|finding| !has_none.contains(&finding.verdict))
    }

    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }
}

/// Runs the cases of the plan.
pub fn run<P: Probe>(probe: P, prober: &Prober, plan: &Plan) -> Result<Results, Failure> {
    let cases: Vec<_> = P::cases().into_iter().filter(|case| plan.includes(&case.rule)).collect();
    let bar = progress(cases.len());
    let mut run = Running {
        probe,
        prober,
        bar,
        pauses: Pauses::default(),
        last_pause: Duration::ZERO,
        has_just_succeeded: false,
        results: Results::default(),
    };
    run.require_success()?;
    run.require_no_limit()?;
    let (last, cases): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.is_last);
    for case in &cases {
        run.case(case);
    }
    run.measure(plan);
    for case in &last {
        run.last_case(case);
    }
    run.bar.finish_and_clear();
    let mut results = run.results;
    if prober.is_interrupted() {
        results.ended_early = Some(INTERRUPTED.to_owned());
    }
    results.requests = prober.requests();
    Ok(results)
}

struct Running<'a, P> {
    probe: P,
    prober: &'a Prober,
    bar: ProgressBar,
    pauses: Pauses,
    last_pause: Duration,
    /// Whether the last request was a correct one that was accepted.
    has_just_succeeded: bool,
    results: Results,
}

impl<P: Probe> Running<'_, P> {
    /// Without a correct request that succeeds, nothing can be found out. A server that is unavailable for a
    /// moment gets a few more.
    fn require_success(&mut self) -> Result<(), Failure> {
        let mut pauses = PAUSES.into_iter();
        loop {
            self.prober.take_record();
            let why = match self.probe.baseline(self.prober) {
                Ok(Seen::Accepted) => return Ok(()),
                Ok(Seen::Unclear(why)) => why,
                Ok(_) => "it was refused".to_owned(),
                Err(failure) => self.prober.hide(&failure.to_string()),
            };
            let exchanges = self.prober.take_record();
            let response = exchanges.last().map(|exchange| &exchange.response).unwrap_or(&Value::Null);
            let status = response.get("status").and_then(Value::as_u64);
            let is_unavailable = status.is_some_and(|status| status == 429 || status >= 500);
            match pauses.next() {
                Some(requests) if is_unavailable && self.pause(requests) => {}
                _ => {
                    let url = without_query_values(&self.probe.target().url);
                    return Err(first_request::explain(&why, &url, response).into());
                }
            }
        }
    }

    /// A server that refuses correct requests that follow each other would seem to refuse the cases.
    fn require_no_limit(&mut self) -> Result<(), Failure> {
        match (0..IN_A_ROW).all(|_| self.still_succeeds()) || self.end().is_some() {
            true => Ok(()),
            false => {
                Err("correct requests are refused as well if they follow each other, so that nothing can be \
                          found out (a smaller --rate may help)"
                    .into())
            }
        }
    }

    /// Returns why the run has ended, if it has.
    fn end(&self) -> Option<String> {
        let interrupted = || self.prober.is_interrupted().then(|| INTERRUPTED.to_owned());
        self.results.ended_early.clone().or_else(interrupted)
    }

    /// Runs a case after a correct request that was accepted, and then another correct request. If that is
    /// refused, the server may have refused everything already, and the case is run once more.
    fn case(&mut self, case: &Case<P>) {
        self.begin_with_success();
        let Some(mut finding) = self.find(case) else { return };
        if finding.may_be_a_lockout() && !self.still_succeeds() {
            finding.doubt(REFUSES_EVERYTHING);
            if !self.recovers() {
                self.give_up(&mut finding);
            } else if !case.needs.contains(&Need::User) {
                let requests = finding.exchanges.len();
                match self.compare(case, requests, finding) {
                    Some(compared) => finding = compared,
                    None => return,
                }
            }
        }
        self.keep(finding);
    }

    /// Runs a case once more after as many correct requests in its place. If those are accepted, and the case
    /// is refused after the same pause, then that is due to the case, and not to a limit of the rate or to
    /// chance.
    fn compare(&mut self, case: &Case<P>, requests: usize, mut doubtful: Finding) -> Option<Finding> {
        let pause = self.last_pause;
        let is_same = (0..requests).all(|_| self.still_succeeds())
            && self.pauses.allow(pause)
            && self.prober.wait(pause)
            && self.still_succeeds();
        if !is_same {
            if !self.recovers() {
                self.give_up(&mut doubtful);
            }
            return Some(doubtful);
        }
        let mut finding = self.find(case)?;
        if finding.may_be_a_lockout() && !self.still_succeeds() && !self.recovers() {
            self.give_up(&mut finding);
        }
        Some(finding)
    }

    /// Runs a case that may use up what correct requests need, after a correct request that was accepted.
    fn last_case(&mut self, case: &Case<P>) {
        self.begin_with_success();
        if let Some(finding) = self.find(case) {
            self.keep(finding);
        }
    }

    /// Sends a correct request, unless the last request was one that was accepted. A server that refuses
    /// requests for a moment after a wrong one, which it may have accepted, would seem to refuse the next
    /// case. If no correct request succeeds any more, the run ends.
    fn begin_with_success(&mut self) {
        let may_begin =
            self.end().is_some() || self.has_just_succeeded || self.still_succeeds() || self.recovers();
        if !may_begin && !self.prober.is_interrupted() {
            self.results.ended_early = Some(self.why_given_up());
        }
    }

    /// Runs a case. After the end of the run it is kept as one that was not tested.
    fn find(&mut self, case: &Case<P>) -> Option<Finding> {
        self.bar.set_message(case.rule.id);
        self.prober.take_record();
        let not_tested = |why| Finding::new(case.rule, Outcome::Seen(Seen::NotTested(why)), Vec::new());
        if let Some(why) = self.end() {
            self.results.findings.push(not_tested(why));
            return None;
        }
        if let Some(why) = case.needs.iter().find_map(|need| self.probe.lacks(*need)) {
            return Some(not_tested(why));
        }
        self.has_just_succeeded = false;
        let may_ask_user = [Need::User, Need::RefreshToken].iter().any(|need| case.needs.contains(need));
        let outcome = match may_ask_user {
            // Text on the screen that the bar would overwrite.
            true => {
                let bar = self.bar.clone();
                bar.suspend(|| self.outcome(case))
            }
            false => self.outcome(case),
        };
        // The outcome may be that of the interruption.
        if let Some(why) = self.end() {
            self.results.findings.push(not_tested(why));
            return None;
        }
        let mut finding = Finding::new(case.rule, outcome, self.prober.take_record());
        finding.why = self.prober.hide(&finding.why);
        Some(finding)
    }

    fn keep(&mut self, finding: Finding) {
        self.results.findings.push(finding);
        self.results.run = self.results.run.saturating_add(1);
        self.bar.inc(1);
    }

    fn outcome(&mut self, case: &Case<P>) -> Outcome {
        let (probe, prober) = (&mut self.probe, self.prober);
        match case.run {
            Run::Proof(change) => {
                let seen = run_proof(probe, prober, case, change);
                Outcome::Seen(seen.unwrap_or_else(|failure| Seen::Unclear(failure.to_string())))
            }
            Run::Requests(run) => {
                let seen = run(probe, prober);
                Outcome::Seen(seen.unwrap_or_else(|failure| Seen::Unclear(failure.to_string())))
            }
            Run::Property(run) => {
                let property = run(probe, prober);
                Outcome::Property(property.unwrap_or_else(|failure| Property::Unclear(failure.to_string())))
            }
        }
    }

    /// Returns whether a correct request is accepted. A server that does not respond does not accept it.
    fn still_succeeds(&mut self) -> bool {
        let seen = self.probe.baseline(self.prober);
        self.has_just_succeeded = seen.is_ok_and(|seen| seen == Seen::Accepted);
        self.has_just_succeeded
    }

    /// Waits as long as the server asks for, or for a moment, and then gets a new token. Returns whether a
    /// correct request succeeds then.
    fn recovers(&mut self) -> bool {
        self.bar.set_message("the server refuses correct requests");
        for requests in PAUSES {
            if !self.pause(requests) {
                break;
            }
            if self.still_succeeds() {
                return true;
            }
        }
        self.last_pause = Duration::ZERO;
        !self.prober.is_interrupted()
            && self.probe.renew(self.prober).unwrap_or(false)
            && self.still_succeeds()
    }

    /// Waits as long as the server asks for, or else the time of so many requests. Returns whether it did.
    fn pause(&mut self, requests: u32) -> bool {
        let pause = self.prober.retry_after();
        let pause = pause.unwrap_or_else(|| self.prober.interval().saturating_mul(requests));
        self.last_pause = pause;
        self.pauses.allow(pause) && self.prober.wait(pause)
    }

    /// Ends the run: the server refuses everything.
    fn give_up(&mut self, finding: &mut Finding) {
        if self.prober.is_interrupted() {
            (finding.verdict, finding.why) = (Verdict::Unclear, UNCONFIRMED.to_owned());
            return;
        }
        finding.doubt(REFUSES_EVERYTHING);
        self.results.ended_early = Some(self.why_given_up());
    }

    fn why_given_up(&self) -> String {
        let why = match self.pauses.were_refused() {
            true => "the server asks for pauses of more than two minutes, or five minutes in all",
            false => "a correct request no longer succeeds",
        };
        why.to_owned()
    }

    fn measure(&mut self, plan: &Plan) {
        self.has_just_succeeded = false;
        if plan.measure_iat && self.end().is_none() {
            self.bar.set_message("which iat is accepted");
            match self.measure_iat() {
                Ok(window) => self.results.iat_window = Some(window),
                Err(failure) => {
                    let why = self.prober.hide(&failure.to_string());
                    self.results.unmeasured = Some(format!("Which iat is accepted was not measured: {why}."));
                }
            }
        }
        if let Some(longest) = plan.measure_nonce.filter(|_| self.end().is_none()) {
            self.bar.set_message("how long a nonce is accepted");
            self.results.nonce_lifetime = self.measure_nonce(longest).ok().flatten();
            self.has_just_succeeded = false;
        }
    }

    fn measure_iat(&mut self) -> Result<IatWindow, Failure> {
        let (probe, prober) = (&mut self.probe, self.prober);
        // As in the cases, a refusal counts only if a correct request is accepted after it.
        let mut accepts = |offset| match probe.try_iat(prober, offset)? {
            Seen::Accepted => Ok(true),
            Seen::Refused if probe.baseline(prober)? == Seen::Accepted => Ok(false),
            Seen::Refused => Err(Failure::from(REFUSES_EVERYTHING)),
            Seen::PreventedBy(why) | Seen::Unclear(why) | Seen::NotTested(why) => Err(why.into()),
        };
        let (oldest, newest) = (edge(-1, &mut accepts)?, edge(1, &mut accepts)?);
        Ok(IatWindow { oldest, newest })
    }

    fn measure_nonce(&mut self, longest: u64) -> Result<Option<NonceLifetime>, Failure> {
        let Some(nonce) = self.probe.target().nonce.filter(|_| self.still_succeeds()) else {
            return Ok(None);
        };
        let start = Instant::now();
        nonce_lifetime(longest, |seconds| {
            if !self.prober.wait(Duration::from_secs(seconds).saturating_sub(start.elapsed())) {
                return Ok(None);
            }
            let proof = self.probe.proof(&|proof, _| proof.set_claim("nonce", nonce.as_str()))?;
            let response = self.probe.send(self.prober, &[proof])?;
            Ok(match self.probe.judge(&response) {
                Seen::Accepted => Some(true),
                Seen::Refused if self.still_succeeds() => Some(false),
                Seen::Refused => None,
                Seen::PreventedBy(_) | Seen::Unclear(_) | Seen::NotTested(_) => None,
            })
        })
    }
}

/// Sends a changed proof.
fn run_proof<P: Probe>(
    probe: &mut P,
    prober: &Prober,
    case: &Case<P>,
    change: Change,
) -> Result<Seen, Failure> {
    if case.needs.contains(&Need::Nonce) {
        // The nonce is what is wrong with it, and the right one is no second try.
        let proof = probe.proof(&change)?;
        let response = probe.send(prober, &[proof])?;
        return Ok(probe.judge(&response));
    }
    let response = probe.send_with_nonce(prober, &|own| Ok(vec![own.proof(&change)?]))?;
    let seen = probe.seen(&response);
    match case.is_age && seen == Seen::Accepted && probe.demands_nonces(prober)? {
        true => Ok(Seen::PreventedBy(AGE_BY_NONCE.to_owned())),
        false => Ok(seen),
    }
}

fn progress(cases: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(u64::try_from(cases).ok(), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
