//! Opening the browser of the user.

use std::env;
use std::process::{Command, Stdio};
use std::thread;

use crate::error::{Error, ErrorKind};
use crate::url::{self, PlainHttp, Url};

/// Opens a URL in the browser of the user, by `xdg-open`, `open` (macOS) or the file protocol handler
/// (Windows), and returns at once. Print the URL as well: that the command could be started does not mean
/// that a browser appeared.
///
/// The URL must be https, or http on loopback, so that no text of a server is run as a program. Other users
/// of the machine can see it while the command runs; with a pushed authorization request (RFC 9126) there is
/// nothing in it but a reference.
///
/// # Errors
/// [`Url`](ErrorKind::Url) for any other URL. [`Configuration`](ErrorKind::Configuration) when there is no
/// display to open a browser on, or the command could not be started.
pub fn open_browser(url: &str) -> Result<(), Error> {
    const DOING: &str = "opening the browser";
    Url::target(url, PlainHttp::OnLoopback)
        .and_then(Url::with_clean_query)
        .map_err(|why| url::refused(ErrorKind::Url, "URL for the browser", url, why))?;
    if !has_display() {
        let wrong = "there is no display (neither DISPLAY, WAYLAND_DISPLAY nor BROWSER is set)";
        return Err(Error::new(ErrorKind::Configuration, DOING, wrong));
    }
    let mut command = command();
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| {
        let program = command.get_program().to_string_lossy();
        Error::new(ErrorKind::Configuration, DOING, format!("{program}: {error}")).with_source(error)
    })?;
    // Some browsers stay in the foreground of the command. Nobody waits for them but this thread.
    let _ = thread::Builder::new().name("browser".to_owned()).spawn(move || child.wait());
    Ok(())
}

/// Returns the command that opens a URL, which is its next argument. No shell reads it.
fn command() -> Command {
    if cfg!(target_os = "macos") {
        return Command::new("/usr/bin/open");
    }
    if cfg!(windows) {
        // By its full path: a program of that name in the current folder is not run.
        let root = env::var_os("SystemRoot").unwrap_or_else(|| "C:\\Windows".into());
        let mut command = Command::new(std::path::Path::new(&root).join("System32").join("rundll32.exe"));
        command.arg("url.dll,FileProtocolHandler");
        return command;
    }
    Command::new("xdg-open")
}

/// Returns whether there may be a browser with a window. `BROWSER` is set by remote editors that forward
/// URLs.
fn has_display() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(any(windows, target_os = "macos"))
        || ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"].into_iter().any(is_set)
}
