//! What the example programs share: command-line options, `--help` and the exit status.
#![allow(dead_code, reason = "each example uses a part of it")]

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::ExitCode;
use std::str::FromStr;

use lexopt::ValueExt;
use lexopt::prelude::{Long, Short, Value};

pub type AnyError = Box<dyn Error + Send + Sync>;

/// Why a program ends before it has done its work.
pub enum Stop {
    /// `--help` was given. Exit status 0.
    Help,
    /// The command line is wrong. Exit status 2.
    Usage(String),
    /// Something failed. Exit status 1.
    Failed(AnyError),
}

impl<E: Into<AnyError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Reports a command line that is wrong.
pub fn usage(message: impl ToString) -> Stop {
    Stop::Usage(message.to_string())
}

/// Runs a program and turns its outcome into the exit status. An error is one line on standard error.
pub fn run(help: &str, program: impl FnOnce(Arguments) -> Result<(), Stop>) -> ExitCode {
    let options = Arguments { parser: lexopt::Parser::from_env(), name: String::new() };
    let outcome = if asks_for_help() { Err(Stop::Help) } else { program(options) };
    let (status, message) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Stop::Help) => {
            // The reader may have closed the pipe.
            let _ = std::io::stdout().write_all(help.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(Stop::Usage(message)) => (2, format!("{message} (see --help)")),
        Err(Stop::Failed(error)) => (1, error.to_string()),
    };
    // The message may contain text of a server or a file.
    let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    eprintln!("error: {line}");
    ExitCode::from(status)
}

/// Returns whether `--help` or `-h` is among the options, whatever is wrong with the others.
fn asks_for_help() -> bool {
    let mut options = std::env::args_os().skip(1).take_while(|argument| argument != "--");
    options.any(|argument| argument == "--help" || argument == "-h")
}

/// The command line of a program.
pub struct Arguments {
    parser: lexopt::Parser,
    /// The option read last.
    name: String,
}

impl Arguments {
    /// Returns the name of the next option, without its dashes.
    pub fn next(&mut self) -> Result<Option<String>, Stop> {
        match self.parser.next().map_err(usage)? {
            None => return Ok(None),
            Some(Short('h') | Long("help")) => return Err(Stop::Help),
            Some(Long(name)) => self.name = name.to_owned(),
            Some(other) => return Err(usage(other.unexpected())),
        }
        Ok(Some(self.name.clone()))
    }

    /// Returns the value of the current option, a file name.
    pub fn path(&mut self) -> Result<OsString, Stop> {
        self.parser.value().map_err(usage)
    }

    /// Returns the value of the current option as text.
    pub fn text(&mut self) -> Result<String, Stop> {
        self.path()?.string().map_err(usage)
    }

    /// Returns the value of the current option, parsed.
    pub fn parse<T: FromStr>(&mut self) -> Result<T, Stop>
    where
        T::Err: Into<AnyError>,
    {
        let value = self.path()?;
        value.parse().map_err(|error| usage(format!("--{}: {error}", self.name)))
    }

    /// Stores the value of an option that may be given once.
    pub fn set(&mut self, place: &mut Option<String>) -> Result<(), Stop> {
        let value = self.text()?;
        self.once(place.replace(value))
    }

    /// Stores the value of an option that may be given once, a file name.
    pub fn set_path(&mut self, place: &mut Option<OsString>) -> Result<(), Stop> {
        let value = self.path()?;
        self.once(place.replace(value))
    }

    fn once<T>(&self, before: Option<T>) -> Result<(), Stop> {
        before.map_or(Ok(()), |_| Err(usage(format!("--{} is given twice", self.name))))
    }

    /// Reports that the program does not have the current option.
    pub fn unknown(&self) -> Stop {
        usage(format!("unknown option --{}", self.name))
    }

    /// Returns the arguments of a program that has no options.
    pub fn arguments(mut self) -> Result<Vec<OsString>, Stop> {
        let mut arguments = Vec::new();
        while let Some(argument) = self.parser.next().map_err(usage)? {
            match argument {
                Short('h') | Long("help") => return Err(Stop::Help),
                Value(argument) => arguments.push(argument),
                other => return Err(usage(other.unexpected())),
            }
        }
        Ok(arguments)
    }

    /// Checks the command line of a program that has neither options nor arguments.
    pub fn none(self) -> Result<(), Stop> {
        match self.arguments()?.first() {
            None => Ok(()),
            Some(argument) => Err(usage(format!("unexpected argument {argument:?}"))),
        }
    }
}

/// Reads a secret from the environment: other users of the machine can see command lines.
pub fn secret(variable: &str) -> Result<String, Stop> {
    Ok(std::env::var(variable).map_err(|_| format!("the environment variable {variable} is not set"))?)
}

pub fn read(file: &OsStr) -> Result<Vec<u8>, Stop> {
    Ok(std::fs::read(file).map_err(|error| format!("reading {}: {error}", file.display()))?)
}
