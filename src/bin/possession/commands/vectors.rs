//! `possession vectors`: checks files of test vectors.

mod check;
mod format;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::json;

use crate::failure::{Failure, usage};
use crate::options::secret::read_file;
use crate::output;

/// Check files of test vectors.
///
/// They compare implementations of RFC 9449 and the RFCs that it builds on. The format of the files is
/// described in test-vectors/README.md of the project. The exit status is 1 if a case fails.
#[derive(clap::Args)]
pub struct Vectors {
    /// Files and directories with files; - is standard input
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// How the results are written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// List the cases, and check none
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each failed case, then the numbers
    Text,
    /// A JSON object with every case
    Json,
    /// JUnit XML, for CI systems
    Junit,
}

/// The cases of a file with their outcomes, in the order of the file.
type Checked = BTreeMap<String, Vec<(String, check::Outcome)>>;

impl Vectors {
    pub fn run(self) -> Result<(), Failure> {
        // A panic is a failed case and is reported as one.
        std::panic::set_hook(Box::new(|_| {}));
        let mut checked = Checked::new();
        for (name, text) in self.texts()? {
            let cases = match self.list {
                true => check::list(Path::new(&name), &text).into_iter().map(|id| (id, Ok(()))).collect(),
                false => check::check_file(Path::new(&name), &text),
            };
            checked.insert(name, cases);
        }
        self.require_cases(&checked)?;
        match (self.list, self.format) {
            (true, Format::Text) => print_list(&checked),
            (_, Format::Text) => print_text(&checked),
            (_, Format::Json) => print_json(&checked, self.list),
            (_, Format::Junit) => print_junit(&checked),
        }?;
        match failed(&checked) {
            0 => Ok(()),
            failed => Err(format!("failed cases: {failed}").into()),
        }
    }

    /// A file that was named has cases, and each directory has a file that has.
    fn require_cases(&self, checked: &Checked) -> Result<(), Failure> {
        for path in &self.paths {
            let shown = path.display().to_string();
            let is_of = |file: &Path| match path.is_dir() {
                true => file.parent() == Some(Path::new(&shown)),
                false => file == Path::new(&shown),
            };
            if !checked.iter().any(|(name, cases)| is_of(Path::new(name)) && !cases.is_empty()) {
                let why =
                    format!("checking test vectors: there are no cases in {shown} (name files with cases)");
                return Err(why.into());
            }
        }
        Ok(())
    }

    /// Returns the name and the text of each file.
    fn texts(&self) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut files = Vec::new();
        for path in &self.paths {
            if path.is_dir() {
                files.extend(json_files(path)?);
            } else {
                files.push(path.clone());
            }
        }
        if files.is_empty() {
            return Err(usage("there is no file whose name ends with .json"));
        }
        let texts = files.iter().map(|file| Ok((file.display().to_string(), read_file(file)?)));
        texts.collect()
    }
}

/// Returns the files of a directory whose names end with `.json`, in order. The JSON Schema that is beside
/// them has no cases.
fn json_files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let read = |error| Failure::from(format!("reading {}: {error}", directory.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn cases(checked: &Checked) -> impl Iterator<Item = (&str, &str, &check::Outcome)> {
    checked
        .iter()
        .flat_map(|(file, cases)| cases.iter().map(|(id, outcome)| (file.as_str(), id.as_str(), outcome)))
}

fn failed(checked: &Checked) -> usize {
    cases(checked).filter(|(_, _, outcome)| outcome.is_err()).count()
}

fn print_list(checked: &Checked) -> Result<(), Failure> {
    cases(checked).try_for_each(|(file, id, _)| output::line(format_args!("{file}: {id}")))
}

fn print_text(checked: &Checked) -> Result<(), Failure> {
    for (file, id, outcome) in cases(checked) {
        if let Err(why) = outcome {
            output::line(format_args!("{file}: {id}: {}", output::printable(why)))?;
        }
    }
    let failed = failed(checked);
    let passed = cases(checked).count().saturating_sub(failed);
    output::line(format_args!("{passed} passed, {failed} failed"))
}

fn print_json(checked: &Checked, list: bool) -> Result<(), Failure> {
    let listed: Vec<_> = cases(checked)
        .map(|(file, id, outcome)| match (list, outcome) {
            (true, _) => json!({ "file": file, "id": id }),
            (false, Ok(())) => json!({ "file": file, "id": id, "outcome": "passed" }),
            (false, Err(why)) => json!({ "file": file, "id": id, "outcome": "failed", "why": why }),
        })
        .collect();
    let failed = failed(checked);
    let passed = listed.len().saturating_sub(failed);
    output::pretty_json(&match list {
        true => json!({ "cases": listed }),
        false => json!({ "passed": passed, "failed": failed, "cases": listed }),
    })
}

fn print_junit(checked: &Checked) -> Result<(), Failure> {
    let mut report = Report::new("possession vectors");
    for (file, cases) in checked {
        let mut suite = TestSuite::new(file.as_str());
        for (id, outcome) in cases {
            let status = match outcome {
                Ok(()) => TestCaseStatus::success(),
                Err(why) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_message(why.as_str());
                    status
                }
            };
            suite.add_test_case(TestCase::new(id.as_str(), status));
        }
        report.add_test_suite(suite);
    }
    output::write(format!("{}\n", report.to_string()?).as_bytes())
}
