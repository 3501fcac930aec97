//! Other processes: this test binary once more, which runs one test that does what it is told.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

const TASK: &str = "POSSESSION_TEST_TASK";
const ARGUMENT: &str = "POSSESSION_TEST_ARGUMENT_";

/// Another process. It is killed when it is dropped.
pub struct Process(Child, BufReader<ChildStdout>);

impl Process {
    /// Starts a process that runs the test `test`, where [`task`] returns the task and the arguments.
    pub fn start<const N: usize>(test: &str, task: &str, arguments: [&str; N]) -> Self {
        let arguments = arguments.into_iter().enumerate();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(TASK, task)
            .envs(arguments.map(|(number, argument)| (format!("{ARGUMENT}{number}"), argument)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self(child, output)
    }

    /// Waits for its next report.
    pub fn report(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.1.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(report) = line.strip_prefix("> ") {
                return Some(report.trim_end().to_owned());
            }
        }
    }

    /// Ends its [`until_told`].
    pub fn tell(&mut self) {
        drop(self.0.stdin.take());
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits until it has ended.
    pub fn end(mut self) {
        self.tell();
        while self.report().is_some() {}
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The task of this process; `None` in the process that runs all tests.
pub fn task<const N: usize>() -> Option<(String, [String; N])> {
    let task = std::env::var(TASK).ok()?;
    Some((task, std::array::from_fn(|number| std::env::var(format!("{ARGUMENT}{number}")).unwrap())))
}

pub fn report(text: impl std::fmt::Display) {
    let mut output = std::io::stdout().lock();
    // The line that the test harness has begun ends first.
    writeln!(output, "\n> {text}").unwrap();
    output.flush().unwrap();
}

/// Waits until the test says so, or ends.
pub fn until_told() {
    std::io::stdin().lock().lines().for_each(drop);
}
