//! What goes to standard output and standard error. Colours appear on terminals only.

use std::io::{ErrorKind, Write};

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
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Writes text with colours to standard output, followed by a line break.
pub fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    written(writeln!(anstream::stdout().lock(), "{text}"))
}

/// Writes a line for people to standard error. If that is not possible, it is lost, which is no reason to
/// fail.
pub fn note(text: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// A reader that wants no more, as `head` does, changes nothing about the work and its exit status.
fn written(outcome: std::io::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("writing standard output: {error}").into())
        }
        _ => Ok(()),
    }
}

/// Writes one JSON document and a line break to standard output.
pub fn json(document: &Value) -> Result<(), Failure> {
    write(format!("{}\n", escaped(&document.to_string())).as_bytes())
}

/// Writes a JSON document for people and machines: one member a line.
pub fn pretty_json(document: &Value) -> Result<(), Failure> {
    write(format!("{}\n", escaped(&format!("{document:#}"))).as_bytes())
}

/// Escapes what JSON allows in strings and terminals act on.
fn escaped(json: &str) -> String {
    let escape = |c: char| match is_unsafe(c) && c != '\n' {
        true => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        false => c.to_string(),
    };
    json.chars().map(escape).collect()
}

/// Returns text of a server or a file with safe characters only.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { '\u{fffd}' } else { c }).collect()
}

/// Returns text of several lines with safe characters only.
pub fn printable_lines(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Returns whether a terminal acts on a character, or shows the text around it as another: the control
/// characters, the format characters (Cf of Unicode, such as those that change the direction of text), the
/// separators of lines and paragraphs, and what is never visible.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}
