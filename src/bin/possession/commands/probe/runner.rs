//! Runs cases against a server and judges what was seen.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::case::{Defect, Finding, Level, Right, Rule, Verdict};
use super::defects;
use super::prober::{Prober, Seen};
use crate::failure::Failure;

/// How often a correct request is sent in between, so that a server that refuses everything is noticed.
const CASES_BETWEEN_BASELINES: usize = 10;

/// A kind of server.
pub trait Probe: Sized {
    /// Sends a correct request.
    fn baseline(&mut self, prober: &mut Prober) -> Result<Seen, Failure>;

    /// Returns why a defect says nothing about this server, if it does not.
    fn can_try(&self, defect: &Defect) -> Result<(), String>;

    /// Sends a request whose proof has a defect.
    fn try_defect(&mut self, prober: &mut Prober, defect: &Defect) -> Result<Seen, Failure>;

    /// Sends a request with an `iat` so many seconds from now.
    fn accepts_iat(&mut self, prober: &mut Prober, offset: i64) -> Result<Seen, Failure>;

    /// The cases that are not changes of a proof.
    fn cases(&self) -> Vec<Case<Self>>;

    /// What can be seen without a defect, such as inconsistent metadata.
    fn observations(&mut self, prober: &mut Prober) -> Result<Vec<Finding>, Failure>;
}

/// A case that is not a change of a proof.
pub struct Case<P> {
    pub rule: Rule,
    pub run: fn(&mut P, &mut Prober) -> Result<Seen, Failure>,
}

impl<P> Case<P> {
    /// A request that is to be refused.
    pub fn refuse(
        id: &'static str,
        source: &'static str,
        level: Level,
        title: &'static str,
        run: fn(&mut P, &mut Prober) -> Result<Seen, Failure>,
    ) -> Self {
        Self { rule: Rule { id, source, level, right: Right::Refuse, title }, run }
    }
}

/// What was found out about a server.
pub struct Results {
    pub findings: Vec<Finding>,
    /// The oldest and the newest `iat` that were accepted, in seconds from now.
    pub iat_window: Option<(i64, i64)>,
    /// Whether Ctrl-C ended the run.
    pub interrupted: bool,
    pub requests: u64,
}

/// Runs all cases, or those whose names are in `only`.
pub fn run<P: Probe>(
    probe: &mut P,
    prober: &mut Prober,
    only: &[String],
    measure: bool,
) -> Result<Results, Failure> {
    match probe.baseline(prober)? {
        Seen::Accepted => {}
        seen => {
            let exchanges = prober.take_record();
            let last = exchanges.last().map(|exchange| exchange.response.to_string()).unwrap_or_default();
            let why = match seen {
                Seen::Unclear(why) => why,
                _ => "it was refused".to_owned(),
            };
            return Err(format!(
                "a correct request does not succeed, so nothing can be found out ({why}): {last}"
            )
            .into());
        }
    }
    prober.take_record();
    let wanted = |rule: &Rule| only.is_empty() || only.iter().any(|id| id == rule.id);
    let defects: Vec<_> = defects::all().into_iter().filter(|defect| wanted(&defect.rule)).collect();
    let cases: Vec<_> = probe.cases().into_iter().filter(|case| wanted(&case.rule)).collect();
    let bar = progress(defects.len().saturating_add(cases.len()));
    let mut findings: Vec<Finding> = Vec::new();
    // The findings since the last correct request that succeeded.
    let mut unconfirmed = 0;
    for defect in &defects {
        if prober.is_interrupted() {
            break;
        }
        bar.set_message(defect.rule.id);
        let seen = match probe.can_try(defect) {
            Ok(()) => {
                probe.try_defect(prober, defect).unwrap_or_else(|failure| Seen::Unclear(failure.to_string()))
            }
            Err(why) => Seen::Unclear(why),
        };
        findings.push(judge(defect.rule.clone(), seen, prober));
        unconfirmed = confirm(probe, prober, &mut findings, unconfirmed)?;
        bar.inc(1);
    }
    for case in cases {
        if prober.is_interrupted() {
            break;
        }
        bar.set_message(case.rule.id);
        let seen = (case.run)(probe, prober).unwrap_or_else(|failure| Seen::Unclear(failure.to_string()));
        findings.push(judge(case.rule, seen, prober));
        unconfirmed = confirm(probe, prober, &mut findings, unconfirmed)?;
        bar.inc(1);
    }
    if unconfirmed > 0 && !prober.is_interrupted() {
        withdraw(probe, prober, &mut findings, unconfirmed)?;
    }
    let observations = probe.observations(prober)?;
    findings.extend(observations.into_iter().filter(|finding| wanted(&finding.rule)));
    let iat_window = match measure && !prober.is_interrupted() {
        true => measure_window(probe, prober, &bar)?,
        false => None,
    };
    bar.finish_and_clear();
    Ok(Results { findings, iat_window, interrupted: prober.is_interrupted(), requests: prober.requests })
}

/// Every few cases, checks that a correct request still succeeds: a server that has locked the client out refuses
/// everything. Returns how many findings are not confirmed.
fn confirm<P: Probe>(
    probe: &mut P,
    prober: &mut Prober,
    findings: &mut [Finding],
    unconfirmed: usize,
) -> Result<usize, Failure> {
    let unconfirmed = unconfirmed.saturating_add(1);
    if unconfirmed < CASES_BETWEEN_BASELINES {
        return Ok(unconfirmed);
    }
    withdraw(probe, prober, findings, unconfirmed)?;
    Ok(0)
}

/// Makes the last findings unclear if a correct request is refused by now.
fn withdraw<P: Probe>(
    probe: &mut P,
    prober: &mut Prober,
    findings: &mut [Finding],
    last: usize,
) -> Result<(), Failure> {
    let seen = probe.baseline(prober)?;
    prober.take_record();
    if seen == Seen::Accepted {
        return Ok(());
    }
    let start = findings.len().saturating_sub(last);
    let doubtful = findings.iter_mut().skip(start).filter(|finding| finding.verdict == Verdict::Enforced);
    for finding in doubtful {
        finding.verdict = Verdict::Unclear;
        finding.why = "a correct request was refused afterwards as well".to_owned();
    }
    Ok(())
}

fn judge(rule: Rule, seen: Seen, prober: &mut Prober) -> Finding {
    let (verdict, why) = match (rule.right, seen) {
        (Right::Refuse, Seen::Refused) => (Verdict::Enforced, String::new()),
        (Right::Refuse, Seen::Accepted) => (Verdict::NotEnforced, String::new()),
        (Right::Accept, Seen::Accepted) => (Verdict::Accepted, String::new()),
        (Right::Accept, Seen::Refused) => (Verdict::TooStrict, String::new()),
        (_, Seen::Unclear(why)) => (Verdict::Unclear, why),
    };
    Finding { rule, verdict, why, exchanges: prober.take_record() }
}

/// Finds the oldest and the newest `iat` that are accepted, to the second.
fn measure_window<P: Probe>(
    probe: &mut P,
    prober: &mut Prober,
    bar: &ProgressBar,
) -> Result<Option<(i64, i64)>, Failure> {
    bar.set_message("measuring the accepted iat");
    let mut edge = |direction: i64| -> Result<Option<i64>, Failure> {
        // The far end is refused, or the edge is beyond it.
        let (mut near, mut far) = (0_i64, 3600_i64);
        if probe.accepts_iat(prober, direction.saturating_mul(far))? == Seen::Accepted {
            return Ok(None);
        }
        while far.saturating_sub(near) > 1 && !prober.is_interrupted() {
            let middle = near.midpoint(far);
            match probe.accepts_iat(prober, direction.saturating_mul(middle))? {
                Seen::Accepted => near = middle,
                _ => far = middle,
            }
        }
        Ok(Some(direction.saturating_mul(near)))
    };
    let (oldest, newest) = (edge(-1)?, edge(1)?);
    prober.take_record();
    Ok(oldest.zip(newest))
}

fn progress(cases: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(u64::try_from(cases).ok(), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

impl Results {
    /// Returns the number of rules that a server must enforce and does not.
    pub fn violations(&self) -> usize {
        let is_violation =
            |finding: &&Finding| finding.verdict == Verdict::NotEnforced && finding.rule.level == Level::Must;
        self.findings.iter().filter(is_violation).count()
    }

    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }
}
