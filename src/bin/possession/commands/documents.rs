//! `possession completions` and `possession man`: what shells and man(1) need, made from the command line
//! itself.

use std::path::PathBuf;

use crate::failure::{Failure, usage};
use crate::output;

/// Print a script that completes commands and options in a shell.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  possession completions bash >~/.local/share/bash-completion/completions/possession")]
pub struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// Print the manual page of a command, in the format of man(1).
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  possession man probe rs | man -l -
  possession man --write-to /usr/local/share/man/man1")]
pub struct Man {
    /// The command, such as probe rs. By default the page is that of the program
    command: Vec<String>,
    /// Write the pages of all commands to this directory
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "command")]
    write_to: Option<PathBuf>,
}

impl Completions {
    pub fn run(self, program: &mut clap::Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, program, "possession", &mut script);
        output::write(&script)
    }
}

impl Man {
    pub fn run(self, program: clap::Command) -> Result<(), Failure> {
        if let Some(directory) = self.write_to {
            let written = std::fs::create_dir_all(&directory)
                .and_then(|()| clap_mangen::generate_to(program, &directory));
            return Ok(written.map_err(|error| format!("writing to {}: {error}", directory.display()))?);
        }
        let mut command = program.disable_help_subcommand(true);
        // The name of a page has those of the commands above it.
        command.build();
        for name in &self.command {
            let subcommand = command.find_subcommand(name).cloned();
            command = subcommand.ok_or_else(|| usage(format!("there is no command {name}")))?;
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        output::write(&page)
    }
}
