//! Opening the browser of the user.

use std::env;
#[cfg(target_os = "linux")]
use std::path::Path;
#[cfg(target_os = "linux")]
use std::process::{Command, Stdio};

use possession::{ErrorKind, open_browser};

const URL: &str = "https://as.example/authorize?client_id=a&request_uri=urn%3Ax%3A'(x)";
/// Set in a process of the tests that opens a browser.
const CHILD: &str = "POSSESSION_TEST_OPEN_BROWSER";

/// A command that hands a URL to the desktop runs programs and opens files, if it gets those.
#[test]
fn l_06_only_https_urls_and_http_on_loopback_are_opened() {
    for url in [
        "",
        "calc.exe",
        "/bin/sh",
        "-help",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "ms-settings://x",
        "http://as.example/",
        "https://user@as.example/",
        "https://as.example/ --new-window",
        "https://as.example/?\"&calc",
        "https://as.example/\n",
    ] {
        assert_eq!(*open_browser(url).unwrap_err().kind(), ErrorKind::Url, "{url}");
    }
}

/// Runs `in_a_child_process` in another process, whose environment can be changed.
#[cfg(target_os = "linux")]
fn child(expected: &str, environment: &[(&str, &Path)]) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "open_browser::in_a_child_process"]).env(CHILD, expected);
    for name in ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// A part of the other tests.
#[test]
fn in_a_child_process() {
    let Ok(expected) = env::var(CHILD) else { return };
    let outcome = match open_browser(URL) {
        Ok(()) => "opened",
        Err(error) if *error.kind() == ErrorKind::Configuration => "configuration",
        Err(error) => panic!("{error}"),
    };
    assert_eq!(outcome, expected);
}

/// An empty folder in which programs can be run. A system may forbid that where temporary files are.
#[cfg(target_os = "linux")]
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Writes the command that opens a browser.
#[cfg(target_os = "linux")]
fn write_command(folder: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;

    let program = folder.join("xdg-open");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn the_command_gets_the_url_as_its_only_argument() {
    let folder = folder();
    let folder = folder.path();
    // Opening this end waits for the command, however long it takes to start.
    let pipe = folder.join("arguments");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    write_command(folder, &format!("printf '%s|' \"$@\" > '{}'", pipe.display()));
    child("opened", &[("PATH", folder), ("DISPLAY", Path::new(":0"))]);
    assert_eq!(std::fs::read_to_string(&pipe).unwrap(), format!("{URL}|"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_machine_without_a_display_or_a_command_is_an_error() {
    let (with_command, empty) = (folder(), folder());
    write_command(with_command.path(), "exit 0");
    child("configuration", &[("PATH", with_command.path()), ("DISPLAY", Path::new(""))]);
    child("configuration", &[("PATH", empty.path()), ("WAYLAND_DISPLAY", Path::new("wayland-0"))]);
}
