//! `possession completions` and `possession man`: what shells and man(1) need, made from the command line
//! itself.

use std::io;
use std::path::{Path, PathBuf};

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
        let mut command = program.disable_help_subcommand(true);
        // The name of a page has those of the commands above it.
        command.build();
        if let Some(directory) = self.write_to {
            let written = std::fs::create_dir_all(&directory).and_then(|()| write_pages(command, &directory));
            return Ok(written.map_err(|error| format!("writing to {}: {error}", directory.display()))?);
        }
        for name in &self.command {
            let subcommand = command.find_subcommand(name).cloned();
            command = subcommand.ok_or_else(|| usage(format!("there is no command {name}")))?;
        }
        output::write(&page(command)?.1)
    }
}

/// Writes the pages of a command and of those below it.
fn write_pages(command: clap::Command, directory: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_pages(subcommand.clone(), directory)?;
    }
    let (name, page) = page(command)?;
    std::fs::write(directory.join(name), page)
}

/// Returns the name and the text of a page. Its synopsis is the line that `--help` shows: that of clap_mangen
/// has all options, without their values.
fn page(mut command: clap::Command) -> io::Result<(String, Vec<u8>)> {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace('\\', r"\\").replace('-', r"\-");
    let source = concat!("possession ", env!("CARGO_PKG_VERSION"));
    // An empty date would let what follows it take its place.
    let page = clap_mangen::Man::new(command).date(" ").source(source).manual("User Commands");
    let mut text = Vec::new();
    page.render(&mut text)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    let parts = text.split_once("\n.SH SYNOPSIS\n").zip(text.split_once("\n.SH DESCRIPTION\n"));
    let text = match parts {
        Some(((start, _), (_, rest))) => {
            format!("{start}\n.SH SYNOPSIS\n{usage}\n.SH DESCRIPTION\n{rest}")
        }
        None => text,
    };
    Ok((page.get_filename(), text.into_bytes()))
}
