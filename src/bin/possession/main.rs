//! DPoP (RFC 9449) at the command line: `possession --help`.
//!
//! Standard output is for machines, standard error is for people. The exit status is 0 when the work is done,
//! 1 when it failed and 2 when the command line is wrong.

mod commands;
mod failure;
mod jwt;
mod key_file;
mod options;
mod output;
mod secrets;
mod trace;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::failure::Failure;

/// DPoP proof of possession (RFC 9449) at the command line.
///
/// Gets and uses sender-constrained access tokens, signs and explains proofs, and finds out which rules of
/// RFC 9449 a server enforces.
#[derive(Parser)]
#[command(
    name = "possession",
    version,
    max_term_width = 100,
    after_long_help = "\
Results are on standard output, everything else is on standard error. Secrets and tokens are read from \
environment variables and files, and never from arguments, which other users of the machine can see.

Exit status: 0 the work is done, 1 it failed, 2 the command line is wrong, 3 a probe could not find out everything."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Token(commands::token::Token),
    Login(commands::login::Login),
    Logout(commands::login::Logout),
    Call(commands::call::Call),
    Proof(commands::proof::MakeProof),
    Explain(commands::explain::Explain),
    Key(commands::key::Key),
    Probe(commands::probe::Probe),
    Vectors(commands::vectors::Vectors),
    Serve(commands::serve::Serve),
    Completions(commands::documents::Completions),
    Man(commands::documents::Man),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Token(token) => token.run(),
        Command::Login(login) => login.run(),
        Command::Logout(logout) => logout.run(),
        Command::Call(call) => call.run(),
        Command::Proof(proof) => proof.run(),
        Command::Explain(explain) => explain.run(),
        Command::Key(key) => key.run(),
        Command::Probe(probe) => probe.run(),
        Command::Vectors(vectors) => vectors.run(),
        Command::Serve(serve) => serve.run(),
        Command::Completions(completions) => completions.run(&mut Cli::command()),
        Command::Man(man) => man.run(Cli::command()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

/// Writes in one line to standard error what failed, and returns the exit status.
fn report(failure: &Failure) -> ExitCode {
    let (status, message) = match failure {
        Failure::Usage(message) => (2, format!("{message} (see --help)")),
        Failure::Failed(error) => (1, error.to_string()),
        Failure::Reported => return ExitCode::FAILURE,
        Failure::Inconclusive => return ExitCode::from(3),
    };
    // The message may contain text of a server or a file.
    let line: String =
        message.chars().map(|c| if output::is_unsafe(c) || c == '\n' { ' ' } else { c }).collect();
    output::note(format_args!("{}error:{} {line}", output::ERROR, output::RESET));
    ExitCode::from(status)
}
