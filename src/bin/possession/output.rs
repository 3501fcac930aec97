//! What goes to standard output and standard error. Colours appear on terminals only.

use std::io::Write;

use anstyle::{AnsiColor, Reset, Style};
use serde_json::Value;

use crate::failure::Failure;

pub const ERROR: Style = AnsiColor::Red.on_default().bold();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default();
pub const UNSURE: Style = AnsiColor::Yellow.on_default();
pub const FAINT: Style = Style::new().dimmed();
pub const STRONG: Style = Style::new().bold();
pub const RESET: Reset = Reset;

/// Writes bytes to standard output.
pub fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// Writes text with colours to standard output, followed by a line break.
pub fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(())
}

/// Writes one JSON document and a line break to standard output.
pub fn json(document: &Value) -> Result<(), Failure> {
    write(format!("{}\n", escaped(&document.to_string())).as_bytes())
}

/// Writes a JSON document for people and machines: one member a line.
pub fn pretty_json(document: &Value) -> Result<(), Failure> {
    write(format!("{}\n", escaped(&format!("{document:#}"))).as_bytes())
}

/// Escapes the control characters that JSON allows in strings and terminals act on: DEL and C1.
fn escaped(json: &str) -> String {
    json.chars()
        .map(|c| match c {
            '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(c)),
            _ => c.to_string(),
        })
        .collect()
}

/// Returns text of a server or a file with safe characters only: no control characters of terminals.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Returns text of several lines with safe characters only.
pub fn printable_lines(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
