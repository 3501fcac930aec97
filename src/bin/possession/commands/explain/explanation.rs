//! What was found out, and how it is written.

use serde_json::{Value, json};

use super::checks::Check;
use crate::failure::Failure;
use crate::output::{self, BAD, FAINT, GOOD, RESET, STRONG, UNSURE};

/// What was found out.
pub struct Explanation {
    /// What it is.
    pub kind: &'static str,
    /// Its content.
    pub content: Value,
    /// The checks of a proof.
    pub checks: Vec<Check>,
    /// What is wrong with it.
    pub problems: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

impl Explanation {
    pub fn new(kind: &'static str, content: Value) -> Self {
        Self { kind, content, checks: Vec::new(), problems: Vec::new(), notes: Vec::new() }
    }

    pub fn has_problems(&self) -> bool {
        !self.problems.is_empty() || self.checks.iter().any(|check| check.holds == Some(false))
    }

    pub fn to_json(&self) -> Value {
        let checks: Vec<_> = self
            .checks
            .iter()
            .map(|check| {
                json!({ "check": check.number, "rule": check.rule, "holds": check.holds, "why": check.why })
            })
            .collect();
        let mut members = json!({
            "kind": self.kind,
            "content": self.content,
            "problems": self.problems,
            "notes": self.notes,
        });
        if let Some(members) = members.as_object_mut().filter(|_| !checks.is_empty()) {
            members.insert("checks".to_owned(), checks.into());
        }
        members
    }

    pub fn print(&self) -> Result<(), Failure> {
        output::line(format_args!("{STRONG}{}{RESET}", self.kind))?;
        if !self.content.is_null() {
            output::line(output::printable_lines(&format!("{:#}", self.content)))?;
        }
        for check in &self.checks {
            let (style, verdict) = match check.holds {
                Some(true) => (GOOD, "holds"),
                Some(false) => (BAD, "FAILS"),
                None => (UNSURE, "not checked"),
            };
            let rule = check.rule;
            output::line(format_args!("{:>2}  {style}{verdict:<11}{RESET}  {rule}", check.number))?;
            if !check.why.is_empty() {
                output::line(format_args!(
                    "                 {FAINT}{}{RESET}",
                    output::printable(&check.why)
                ))?;
            }
        }
        for problem in &self.problems {
            output::line(format_args!("{BAD}problem:{RESET} {}", output::printable(problem)))?;
        }
        self.notes.iter().try_for_each(|note| output::line(format_args!("note: {}", output::printable(note))))
    }
}
