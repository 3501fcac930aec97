//! The results for people and machines.

use maud::{DOCTYPE, Markup, html};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use super::case::{Finding, Level, Verdict};
use super::runner::Results;
use crate::failure::Failure;
use crate::output::{self, BAD, FAINT, GOOD, RESET, UNSURE, printable};

/// What was probed, and when.
pub struct Subject {
    pub kind: &'static str,
    pub url: String,
    pub date: String,
}

impl Subject {
    pub fn table(&self, results: &Results) -> Result<(), Failure> {
        output::line(format_args!("{} {}, {}", self.kind, self.url, self.date))?;
        for finding in &results.findings {
            let style = match finding.verdict {
                verdict if verdict.is_good() => GOOD,
                Verdict::NotEnforced if finding.rule.level == Level::Must => BAD,
                _ => UNSURE,
            };
            let (verdict, rule) = (finding.verdict.name(), &finding.rule);
            let why = if finding.why.is_empty() {
                String::new()
            } else {
                format!(" ({})", printable(&finding.why))
            };
            output::line(format_args!(
                "{style}{verdict:<13}{RESET} {:<16} {:<22} {}{FAINT}{why}{RESET}",
                rule.level.name(),
                rule.id,
                rule.title
            ))?;
        }
        if let Some((oldest, newest)) = results.iat_window {
            output::line(format_args!("iat is accepted from {oldest} s to +{newest} s"))?;
        }
        output::line(summary(results))
    }

    pub fn to_json(&self, results: &Results) -> Value {
        let findings: Vec<_> = results.findings.iter().map(finding_json).collect();
        json!({
            "kind": self.kind,
            "url": self.url,
            "date": self.date,
            "possession": env!("CARGO_PKG_VERSION"),
            "summary": {
                "enforced": results.count(Verdict::Enforced),
                "not_enforced": results.count(Verdict::NotEnforced),
                "accepted": results.count(Verdict::Accepted),
                "too_strict": results.count(Verdict::TooStrict),
                "unclear": results.count(Verdict::Unclear),
                "violations_of_must": results.violations(),
                "requests": results.requests,
                "interrupted": results.interrupted,
            },
            "iat_window_s": results.iat_window.map(|(oldest, newest)| [oldest, newest]),
            "findings": findings,
        })
    }

    pub fn to_junit(&self, results: &Results) -> Result<String, Failure> {
        let mut suite = TestSuite::new(format!("{} {}", self.kind, self.url));
        for finding in &results.findings {
            let rule = &finding.rule;
            let mut status = match finding.verdict {
                verdict if verdict.is_good() => TestCaseStatus::success(),
                Verdict::NotEnforced if rule.level == Level::Must => {
                    TestCaseStatus::non_success(NonSuccessKind::Failure)
                }
                _ => TestCaseStatus::skipped(),
            };
            if !finding.verdict.is_good() {
                let why = if finding.why.is_empty() { String::new() } else { format!(": {}", finding.why) };
                status.set_message(format!(
                    "{}{why} ({}, {})",
                    finding.verdict.name(),
                    rule.level.name(),
                    rule.source
                ));
            }
            suite.add_test_case(TestCase::new(format!("{}: {}", rule.id, rule.title), status));
        }
        let mut report = Report::new("possession probe");
        report.add_test_suite(suite);
        Ok(report.to_string()?)
    }

    /// One page without anything from elsewhere.
    pub fn to_html(&self, results: &Results) -> String {
        let page: Markup = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { "DPoP: " (self.url) }
                    style { (maud::PreEscaped(STYLE)) }
                }
                body {
                    h1 { "Which rules of RFC 9449 does this " (self.kind) " enforce?" }
                    p { code { (self.url) } ", " (self.date) ", possession " (env!("CARGO_PKG_VERSION")) }
                    p.summary { (summary(results)) }
                    @if let Some((oldest, newest)) = results.iat_window {
                        p { code { "iat" } " is accepted from " (oldest) " s to +" (newest) " s." }
                    }
                    table {
                        thead { tr { th { "Verdict" } th { "Level" } th { "Request" } th { "Source" } } }
                        tbody {
                            @for finding in &results.findings {
                                tr class=(class(finding)) {
                                    td.verdict { (finding.verdict.name()) }
                                    td { (finding.rule.level.name()) }
                                    td {
                                        (finding.rule.title) " " code { (finding.rule.id) }
                                        @if !finding.why.is_empty() { br; small { (finding.why) } }
                                        @if !finding.exchanges.is_empty() {
                                            details {
                                                summary { "request and response" }
                                                @for exchange in &finding.exchanges {
                                                    pre { (format!("{:#}", exchange.request)) }
                                                    pre.response { (format!("{:#}", exchange.response)) }
                                                }
                                            }
                                        }
                                    }
                                    td { (finding.rule.source) }
                                }
                            }
                        }
                    }
                    p { small { "Tokens, secrets and signatures are not part of this page." } }
                }
            }
        };
        page.into_string()
    }
}

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #ddd}\
.verdict{font-weight:600;white-space:nowrap}.good .verdict{color:#1a7f37}.bad .verdict{color:#c1121f}.unsure .verdict{color:#9a6700}\
.summary{font-size:1.15rem}pre{background:#f6f8fa;padding:.6rem;overflow:auto;max-width:44rem;white-space:pre-wrap;overflow-wrap:anywhere}\
pre.response{border-left:3px solid #888}code{background:#f6f8fa;padding:0 .2rem}small{color:#555}";

fn class(finding: &Finding) -> &'static str {
    match finding.verdict {
        verdict if verdict.is_good() => "good",
        Verdict::NotEnforced if finding.rule.level == Level::Must => "bad",
        _ => "unsure",
    }
}

fn finding_json(finding: &Finding) -> Value {
    let exchanges: Vec<_> = finding
        .exchanges
        .iter()
        .map(|exchange| json!({ "request": exchange.request, "response": exchange.response }))
        .collect();
    json!({
        "id": finding.rule.id,
        "source": finding.rule.source,
        "level": finding.rule.level.name(),
        "title": finding.rule.title,
        "verdict": finding.verdict.name(),
        "why": finding.why,
        "exchanges": exchanges,
    })
}

fn summary(results: &Results) -> String {
    let violations = results.violations();
    let of_must = match violations {
        0 => "every rule that could be tested and that RFC 2119 calls a MUST is enforced".to_owned(),
        1 => "1 rule that RFC 2119 calls a MUST is not enforced".to_owned(),
        _ => format!("{violations} rules that RFC 2119 calls a MUST are not enforced"),
    };
    format!(
        "{of_must}; {} enforced, {} not enforced, {} accepted, {} too strict, {} unclear; {} requests{}",
        results.count(Verdict::Enforced),
        results.count(Verdict::NotEnforced),
        results.count(Verdict::Accepted),
        results.count(Verdict::TooStrict),
        results.count(Verdict::Unclear),
        results.requests,
        if results.interrupted { "; interrupted before the end" } else { "" }
    )
}
