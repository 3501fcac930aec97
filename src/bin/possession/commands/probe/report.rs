//! The results for people and machines.

mod html;

use quick_junit::{NonSuccessKind, Report as JunitReport, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use super::Subject;
use super::case::{Finding, Verdict};
use super::measure::NonceLifetime;
use super::runner::{IatWindow, Results};
use crate::failure::Failure;
use crate::output::{self, BAD, FAINT, GOOD, RESET, UNSURE, printable};

/// What was found out, and about what.
pub struct Report {
    pub subject: Subject,
    pub results: Results,
    /// Whether a table or page has only what is wrong or unclear.
    pub only_problems: bool,
}

/// From this number on, cases with the same reason share a line of a table.
const MANY: usize = 5;

impl Report {
    /// Writes a table. What is wrong is at the end, where a terminal shows it.
    pub fn table(&self) -> Result<(), Failure> {
        let Subject { kind, url, date } = &self.subject;
        output::line(format_args!("{kind} {url}, {date}"))?;
        let mut findings = self.by_weight();
        findings.sort_by_key(|finding| std::cmp::Reverse(weight(finding)));
        let mut folded = Vec::new();
        for finding in &findings {
            let style = match weight(finding) {
                0 => BAD,
                1..4 => UNSURE,
                _ => GOOD,
            };
            let (verdict, rule, reason) = (finding.verdict.name(), &finding.rule, printable(&finding.why));
            let key = (finding.verdict, finding.why.as_str());
            let same = findings.iter().filter(|other| (other.verdict, other.why.as_str()) == key).count();
            if same >= MANY && !finding.why.is_empty() && !finding.verdict.is_good() {
                if !folded.contains(&key) {
                    folded.push(key);
                    output::line(format_args!("{style}{verdict:<12}{RESET} {same} cases: {reason}"))?;
                }
                continue;
            }
            let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            output::line(format_args!(
                "{style}{verdict:<12}{RESET} {:<14} {:<21} {}{FAINT}{why}{RESET}",
                rule.demand(),
                rule.id,
                rule.title
            ))?;
        }
        self.measurements().iter().try_for_each(output::line)?;
        self.summary().iter().try_for_each(output::line)
    }

    pub fn to_json(&self) -> Value {
        let results = &self.results;
        let findings: Vec<_> = results.findings.iter().map(finding_json).collect();
        let counts = Verdict::ALL.map(|verdict| {
            (verdict.name().to_lowercase().replace(' ', "_"), Value::from(results.count(verdict)))
        });
        let mut summary: serde_json::Map<String, Value> = counts.into_iter().collect();
        summary.insert("violations_of_must".to_owned(), results.violations().into());
        summary.insert("unclear_musts".to_owned(), results.unclear_musts().into());
        summary.insert("requests".to_owned(), results.requests.into());
        summary.insert("ended_early".to_owned(), results.ended_early.as_deref().into());
        json!({
            "kind": self.subject.kind,
            "url": self.subject.url,
            "date": self.subject.date,
            "possession": env!("CARGO_PKG_VERSION"),
            "summary": summary,
            "iat_window_s": results.iat_window.map(|IatWindow { oldest, newest }| {
                json!({ "oldest": oldest, "newest": newest })
            }),
            "nonce_lifetime_s": results.nonce_lifetime.map(|lifetime| match lifetime {
                NonceLifetime::Once => json!({ "at_least": null, "less_than": null, "uses": 1 }),
                NonceLifetime::Between(last, end) => json!({ "at_least": last, "less_than": end, "uses": null }),
                NonceLifetime::AtLeast(last) => json!({ "at_least": last, "less_than": null, "uses": null }),
            }),
            "findings": findings,
        })
    }

    pub fn to_junit(&self) -> Result<String, Failure> {
        let mut suite = TestSuite::new(format!("{} {}", self.subject.kind, self.subject.url));
        for finding in &self.results.findings {
            let rule = &finding.rule;
            let mut status = match finding.is_violation() {
                true => TestCaseStatus::non_success(NonSuccessKind::Failure),
                false if finding.is_unclear_must() => TestCaseStatus::non_success(NonSuccessKind::Error),
                false if finding.verdict.is_good() => TestCaseStatus::success(),
                false => TestCaseStatus::skipped(),
            };
            if !finding.verdict.is_good() {
                let why = match finding.why.is_empty() {
                    true => String::new(),
                    false => format!(": {}", printable(&finding.why)),
                };
                status.set_message(format!("{}{why} ({})", finding.verdict.name(), rule.source));
            }
            let name = format!("{}: {} {}", rule.id, rule.demand(), rule.title);
            suite.add_test_case(TestCase::new(name, status));
        }
        // CI systems call a report good whose cases were all skipped.
        let problem = match &self.results.ended_early {
            Some(why) => Some(format!("the run ended early: {why}")),
            None if !self.results.has_verdicts() => Some("nothing was found out".to_owned()),
            None => None,
        };
        if let Some(problem) = problem {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(printable(&problem));
            suite.add_test_case(TestCase::new("run: the probe runs to its end", status));
        }
        let mut report = JunitReport::new("possession probe");
        report.add_test_suite(suite);
        Ok(report.to_string()?)
    }

    /// Returns the findings, with the worst first.
    fn by_weight(&self) -> Vec<&Finding> {
        let is_shown = |finding: &&Finding| !self.only_problems || weight(finding) < 4;
        let mut findings: Vec<_> = self.results.findings.iter().filter(is_shown).collect();
        findings.sort_by_key(|finding| weight(finding));
        findings
    }

    /// Says what was measured.
    fn measurements(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.results.unmeasured.iter().map(|why| printable(why)).collect();
        if let Some(IatWindow { oldest, newest }) = self.results.iat_window {
            let edge = |seconds: Option<i64>| match seconds {
                Some(seconds) => format!("{} s", seconds.abs()),
                None => "more than an hour".to_owned(),
            };
            lines.push(format!(
                "A proof is accepted if its iat is at most {} ago and at most {} ahead.",
                edge(oldest),
                edge(newest)
            ));
        }
        if let Some(lifetime) = self.results.nonce_lifetime {
            lines.push(match lifetime {
                NonceLifetime::Once => "A nonce is accepted once.".to_owned(),
                NonceLifetime::Between(last, end) => {
                    format!("A nonce was accepted after {last} s, and no longer after {end} s.")
                }
                NonceLifetime::AtLeast(last) => format!("A nonce was still accepted after {last} s."),
            });
        }
        lines
    }

    /// Says what the results come to.
    fn summary(&self) -> Vec<String> {
        let results = &self.results;
        let mut lines = Vec::new();
        let is_early = results.ended_early.is_some();
        if let Some(why) = &results.ended_early {
            let (run, all) = (results.run, results.findings.len());
            lines.push(format!("The run ended early after {run} of {all} cases: {why}."));
        }
        lines.push(match results.violations() {
            0 if !results.has_verdicts() => "Nothing was found out.".to_owned(),
            0 if is_early => "In these, no violation of a MUST was found.".to_owned(),
            0 => "No violation of a MUST was found.".to_owned(),
            1 => "1 MUST is not enforced.".to_owned(),
            violations => format!("{violations} MUSTs are not enforced."),
        });
        match results.unclear_musts() {
            _ if !results.has_verdicts() => {}
            0 => {}
            1 => lines.push("Whether 1 MUST is enforced is unclear.".to_owned()),
            unclear => lines.push(format!("Whether {unclear} MUSTs are enforced is unclear.")),
        }
        let counts = Verdict::ALL.into_iter().filter_map(|verdict| match results.count(verdict) {
            0 => None,
            count => Some(format!("{count} {}", verdict.name().to_lowercase())),
        });
        lines.push(format!("{}; {} requests", counts.collect::<Vec<_>>().join(", "), results.requests));
        lines
    }
}

/// The order of findings in a report: the worst is 0.
fn weight(finding: &Finding) -> u8 {
    match finding.verdict {
        Verdict::NotEnforced if finding.is_violation() => 0,
        Verdict::NotEnforced => 1,
        Verdict::TooStrict => 2,
        Verdict::Unclear => 3,
        Verdict::NotTested => 4,
        Verdict::Enforced | Verdict::Accepted => 5,
    }
}

fn finding_json(finding: &Finding) -> Value {
    let exchanges: Vec<_> = finding
        .exchanges
        .iter()
        .map(|exchange| json!({ "request": exchange.request, "response": exchange.response }))
        .collect();
    let mut document = json!({
        "id": finding.rule.id,
        "source": finding.rule.source,
        "level": finding.rule.level.name(),
        "demand": finding.rule.demand(),
        "title": finding.rule.title,
        "verdict": finding.verdict.name(),
        "exchanges": exchanges,
    });
    if let Some(members) = document.as_object_mut().filter(|_| !finding.why.is_empty()) {
        members.insert("why".to_owned(), finding.why.as_str().into());
    }
    document
}
