//! Runs cases against a server and judges what was seen.

use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use possession::{HttpClient, KeyPair, RequestBody};

use super::case::{Case, Finding, Need, Outcome, Property, Rule, Run, Seen, Verdict};
use super::malformed_proof::ProofParts;
use super::measure::{NonceLifetime, edge, nonce_lifetime};
use super::prober::{Prober, asked_nonce, offered_nonce};
use super::target::Target;
use crate::failure::Failure;

/// How many cases there are between two correct requests, which show whether the server refuses everything.
const BATCH: usize = 10;
/// The longest pause that is made because a server asks for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

const REFUSES_EVERYTHING: &str = "a correct request was refused afterwards as well";

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

    /// Returns what the server did with the request.
    fn seen(&self, response: &Response<Vec<u8>>) -> Seen;

    /// Returns what is missing for a case, if it is.
    fn lacks(&self, need: Need) -> Option<String>;

    /// Gets what correct requests need once more, such as an access token. Returns whether there is something to
    /// get.
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
        let proofs = make(self)?;
        let response = self.send(prober, &proofs)?;
        match asked_nonce(&response) {
            Some(nonce) => {
                self.set_nonce(nonce);
                let proofs = make(self)?;
                self.send(prober, &proofs)
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

    /// Sends a proof twice, the second time by `send_again`.
    fn replay(&mut self, prober: &Prober, send_again: SendProof<'_, Self>) -> Result<Seen, Failure> {
        // The nonce is a current one then.
        self.baseline(prober)?;
        let proof = self.correct_proof()?;
        let first = self.send(prober, std::slice::from_ref(&proof))?;
        if self.seen(&first) != Seen::Accepted {
            return Ok(Seen::Unclear("the first use of the proof was not accepted".to_owned()));
        }
        let second = send_again(self, prober, proof)?;
        Ok(self.seen(&second))
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
    /// Why the run ended early, if it did.
    pub ended_early: Option<String>,
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

    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }
}

/// Runs the cases of the plan.
pub fn run<P: Probe>(probe: P, prober: &Prober, plan: &Plan) -> Result<Results, Failure> {
    let cases: Vec<_> = P::cases().into_iter().filter(|case| plan.includes(&case.rule)).collect();
    let bar = progress(cases.len());
    let mut run = Running { probe, prober, bar, results: Results::default() };
    run.require_success()?;
    let (last, cases): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.is_last);
    for batch in cases.chunks(BATCH) {
        run.batch(batch);
    }
    run.measure(plan);
    for case in &last {
        run.single(case, false);
    }
    run.bar.finish_and_clear();
    let mut results = run.results;
    if prober.is_interrupted() {
        results.ended_early = Some("it was interrupted".to_owned());
    }
    results.requests = prober.requests();
    Ok(results)
}

struct Running<'a, P> {
    probe: P,
    prober: &'a Prober,
    bar: ProgressBar,
    results: Results,
}

impl<P: Probe> Running<'_, P> {
    /// Without a correct request that succeeds, nothing can be found out.
    fn require_success(&mut self) -> Result<(), Failure> {
        self.prober.take_record();
        let why = match self.probe.baseline(self.prober)? {
            Seen::Accepted => return Ok(()),
            Seen::Unclear(why) => why,
            _ => "it was refused".to_owned(),
        };
        let exchanges = self.prober.take_record();
        let response = exchanges.last().map(|exchange| exchange.response.to_string()).unwrap_or_default();
        Err(format!(
            "a correct request does not succeed, so that nothing can be found out ({why}): {response}"
        )
        .into())
    }

    fn has_ended(&self) -> bool {
        self.results.ended_early.is_some() || self.prober.is_interrupted()
    }

    /// Runs some cases, and then a correct request. If that fails, the server refuses everything by now, and the
    /// cases are run once more, each by itself.
    fn batch(&mut self, cases: &[Case<P>]) {
        let start = self.results.findings.len();
        for case in cases {
            self.find(case);
        }
        if self.prober.is_interrupted() {
            self.doubt(start, "it was interrupted before a correct request succeeded again");
            return;
        }
        if self.results.ended_early.is_some() || self.still_succeeds() {
            return;
        }
        if !self.recovers() {
            self.give_up(start);
            return;
        }
        self.results.findings.truncate(start);
        for case in cases {
            self.single(case, true);
        }
    }

    /// Runs one case, and then a correct request unless the case may have used up what it needs.
    fn single(&mut self, case: &Case<P>, confirm: bool) {
        let start = self.results.findings.len();
        self.find(case);
        if !confirm || self.has_ended() || self.still_succeeds() {
            return;
        }
        self.doubt(start, REFUSES_EVERYTHING);
        if !self.recovers() {
            self.give_up(start);
        }
    }

    /// Runs a case and keeps the finding. After the end of the run it is not tested.
    fn find(&mut self, case: &Case<P>) {
        if self.prober.is_interrupted() {
            return;
        }
        self.bar.set_message(case.rule.id);
        self.prober.take_record();
        let missing = match &self.results.ended_early {
            Some(why) => Some(why.clone()),
            None => case.needs.iter().find_map(|need| self.probe.lacks(*need)),
        };
        let outcome = match missing {
            Some(why) => Outcome::Seen(Seen::NotTested(why)),
            // Text on the screen that the bar would overwrite.
            None if case.needs.contains(&Need::User) => {
                let bar = self.bar.clone();
                bar.suspend(|| self.outcome(case))
            }
            None => self.outcome(case),
        };
        if self.prober.is_interrupted() {
            return;
        }
        self.results.findings.push(Finding::new(case.rule, outcome, self.prober.take_record()));
        self.bar.inc(1);
    }

    fn outcome(&mut self, case: &Case<P>) -> Outcome {
        let (probe, prober) = (&mut self.probe, self.prober);
        match case.run {
            Run::Proof(change) => {
                let seen = if case.needs.contains(&Need::Nonce) {
                    // The nonce is what is wrong with it, and the right one is no second try.
                    probe.proof(&change).and_then(|proof| probe.send(prober, &[proof]))
                } else {
                    probe.send_with_nonce(prober, &|own| Ok(vec![own.proof(&change)?]))
                };
                let seen = seen.map(|response| probe.seen(&response));
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
        self.probe.baseline(self.prober).is_ok_and(|seen| seen == Seen::Accepted)
    }

    /// Waits as long as the server asked for, or gets a new token. Returns whether a correct request succeeds then.
    fn recovers(&mut self) -> bool {
        if let Some(pause) = self.prober.retry_after().filter(|pause| *pause <= LONGEST_PAUSE) {
            self.bar.set_message("the server asks for a pause");
            if self.prober.wait(pause) && self.still_succeeds() {
                return true;
            }
        }
        self.probe.renew(self.prober).unwrap_or(false) && self.still_succeeds()
    }

    /// Ends the run: the server refuses everything.
    fn give_up(&mut self, start: usize) {
        self.doubt(start, REFUSES_EVERYTHING);
        self.results.ended_early = Some("a correct request no longer succeeds".to_owned());
    }

    fn doubt(&mut self, start: usize, why: &str) {
        self.results.findings.iter_mut().skip(start).for_each(|finding| finding.doubt(why));
    }

    fn measure(&mut self, plan: &Plan) {
        if plan.measure_iat && !self.has_ended() {
            self.bar.set_message("which iat is accepted");
            self.results.iat_window = self.measure_iat().ok();
        }
        if let Some(longest) = plan.measure_nonce.filter(|_| !self.has_ended()) {
            self.bar.set_message("how long a nonce is accepted");
            self.results.nonce_lifetime = self.measure_nonce(longest).ok().flatten();
        }
    }

    fn measure_iat(&mut self) -> Result<IatWindow, Failure> {
        let (probe, prober) = (&mut self.probe, self.prober);
        let mut accepts = |offset| Ok::<_, Failure>(probe.try_iat(prober, offset)? == Seen::Accepted);
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
            Ok(match self.probe.seen(&response) {
                Seen::Accepted => Some(true),
                Seen::Refused => Some(false),
                Seen::Unclear(_) | Seen::NotTested(_) => None,
            })
        })
    }
}

fn progress(cases: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(u64::try_from(cases).ok(), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
