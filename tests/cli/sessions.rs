//! `possession login`, `call` and `logout` with a stored session.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use possession::testing::{Endpoint, Quirk, TestServer, When};

use crate::program::{Folder, Ran, command, run};

/// A public client, and a folder for its sessions.
struct Setup {
    server: TestServer,
    folder: Folder,
}

impl Setup {
    fn new() -> Self {
        Self { server: TestServer::builder().public_client().start().unwrap(), folder: Folder::new() }
    }

    fn store(&self) -> [String; 2] {
        ["--store".to_owned(), self.folder.path("sessions")]
    }

    fn options(&self) -> Vec<String> {
        let server = ["--issuer", self.server.issuer(), "--client-id", self.server.client_id()];
        server.map(str::to_owned).into_iter().chain(self.store()).collect()
    }

    fn run(&self, arguments: &[&str], options: &[String]) -> Ran {
        let arguments = arguments.iter().map(|text| (*text).to_owned()).chain(options.iter().cloned());
        run(&[&arguments.collect::<Vec<_>>()[..], &["--dangerous-http".to_owned()]].concat())
    }

    fn login(&self) -> Ran {
        self.login_after(|| ())
    }

    /// Does something while the user signs in.
    fn login_after(&self, change: impl FnOnce()) -> Ran {
        let arguments = ["login", "--no-browser", "--dangerous-http"].map(str::to_owned);
        sign_in_after(change, &self.server, &mut command(&[&arguments[..], &self.options()].concat()))
    }

    fn call(&self) -> Ran {
        self.run(&["call", "GET", &self.server.resource("/orders")], &self.store())
    }

    fn files(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.path("sessions")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// Runs a login, and signs in as a browser does that opens the URL on standard error.
fn sign_in(server: &TestServer, login: &mut Command) -> Ran {
    sign_in_after(|| (), server, login)
}

/// Does something while the user signs in.
fn sign_in_after(change: impl FnOnce(), server: &TestServer, login: &mut Command) -> Ran {
    let mut child = login.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    let url = loop {
        let start = text.len();
        assert_ne!(stderr.read_line(&mut text).unwrap(), 0, "{text}");
        if let Some(url) = text[start..].trim().strip_prefix("To sign in, open ") {
            break url.to_owned();
        }
    };
    change();
    let callback = server.authorize(&url).unwrap();
    let (authority, path) = callback.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut browser = TcpStream::connect(authority).unwrap();
    write!(browser, "GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n").unwrap();
    browser.read_to_end(&mut Vec::new()).unwrap();
    stderr.read_to_string(&mut text).unwrap();
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    Ran { status: child.wait().unwrap().code(), stdout, stderr: text }
}

/// Signs in with that key, and returns the refresh token.
pub fn signed_in(server: &TestServer, key: &str) -> String {
    let folder = Folder::new();
    let store = folder.path("sessions");
    let client = ["--client-id", server.client_id(), "--secret-env", "SECRET", "--dangerous-http"];
    let login = ["login", "--no-browser", "--issuer", server.issuer(), "--store", &store, "--dpop-key", key];
    let mut login = command(&[&login[..], &client].concat());
    let ran = sign_in(server, login.env("SECRET", server.client_secret()));
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let session = fs::read_to_string(folder.path("sessions/session-default.json")).unwrap();
    let session: serde_json::Value = serde_json::from_str(&session).unwrap();
    session["refresh_token"].as_str().unwrap_or_else(|| panic!("no refresh token")).to_owned()
}

#[test]
fn a_session_is_used_until_the_logout_revokes_its_tokens() {
    let setup = Setup::new();
    let ran = setup.login();
    assert_eq!((ran.status, &ran.json()["has_refresh_token"]), (Some(0), &true.into()), "{ran:?}");
    assert_eq!(setup.call().status, Some(0));
    let ran = setup.run(&["logout"], &setup.store());
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.stderr.starts_with("revoked the tokens at "), "{ran:?}");
    // The refresh token and the access token.
    assert_eq!(setup.server.received_at(Endpoint::Revocation).len(), 2);
    let ran = setup.call();
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.starts_with("error: there is no session default"), "{ran:?}");
}

/// The metadata are fetched for the sign-in, and once more for the session, where a failure must not lose the
/// tokens.
#[test]
fn tokens_are_kept_if_the_metadata_cannot_be_fetched_after_the_sign_in() {
    let setup = Setup::new();
    let not_found = || Quirk::Respond(http::Response::builder().status(404).body(Vec::new()).unwrap());
    let ran = setup.login_after(|| setup.server.misbehave(Endpoint::Metadata, When::Always, not_found()));
    assert_eq!(ran.status, Some(0), "{ran:?}");
    setup.server.behave();
    assert_eq!(setup.call().status, Some(0));
}

/// A mistyped name must not pass for a session that has ended, and leaves nothing behind.
#[test]
fn a_logout_of_no_session_is_an_error() {
    let setup = Setup::new();
    for options in [&["logout", "--session", "nope"][..], &["logout", "--local", "--session", "nope"]] {
        let ran = setup.run(options, &setup.store());
        assert_eq!(ran.status, Some(1), "{ran:?}");
        assert!(ran.stderr.starts_with("error: there is no session nope"), "{ran:?}");
    }
    assert_eq!(setup.files(), [""; 0]);
}

/// Without its session, nobody could revoke the tokens any more.
#[test]
fn a_session_whose_tokens_cannot_be_revoked_is_kept() {
    let setup = Setup::new();
    assert_eq!(setup.login().status, Some(0));
    let refuse = Quirk::Refuse { status: 503, retry_after: None };
    setup.server.misbehave(Endpoint::Revocation, When::Always, refuse);
    let ran = setup.run(&["logout"], &setup.store());
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("; the session is still at "), "{ran:?}");
    setup.server.behave();
    assert_eq!(setup.run(&["logout"], &setup.store()).status, Some(0));
    assert_eq!(setup.call().status, Some(1));
}

/// As a session does: the token is replaced once.
#[test]
fn a_call_replaces_a_token_that_was_revoked() {
    let setup = Setup::new();
    assert_eq!(setup.login().status, Some(0));
    setup.server.revoke_tokens();
    let ran = setup.call();
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let statuses: Vec<_> =
        setup.server.received_at(Endpoint::Resource).iter().map(|call| call.status).collect();
    assert_eq!(statuses.first().copied().flatten().map(|status| status.as_u16()), Some(401));
    assert_eq!(statuses.last().copied().flatten().map(|status| status.as_u16()), Some(200));
}

/// The metadata are stored with the session, and its token is valid.
#[test]
fn a_call_after_a_login_needs_no_authorization_server() {
    let setup = Setup::new();
    assert_eq!(setup.login().status, Some(0));
    setup.server.misbehave(Endpoint::Metadata, When::Always, Quirk::CloseWithoutResponse);
    setup.server.misbehave(Endpoint::Token, When::Always, Quirk::CloseWithoutResponse);
    assert_eq!(setup.call().status, Some(0));
}

#[test]
fn a_login_tells_which_session_it_replaces() {
    let setup = Setup::new();
    assert!(!setup.login().stderr.contains("replace"));
    let ran = setup.login();
    assert!(ran.stderr.starts_with("This will replace the session default at "), "{ran:?}");
}

/// A session does not take the place of one of another authorization server by itself.
#[test]
fn a_login_replaces_the_session_of_another_server() {
    let mut setup = Setup::new();
    assert_eq!(setup.login().status, Some(0));
    setup.server = Setup::new().server;
    let ran = setup.login();
    assert!(ran.status == Some(0) && ran.stderr.starts_with("This will replace the session "), "{ran:?}");
    assert_eq!(setup.call().status, Some(0));
}

/// What is wrong in a file is not wrong in the command line.
#[test]
fn a_stored_session_with_a_wrong_issuer_or_client_is_a_failure() {
    let setup = Setup::new();
    assert_eq!(setup.login().status, Some(0));
    let file = setup.folder.path("sessions/session-default.json");
    let stored: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    for (member, wrong) in [("issuer", "https://"), ("issuer", ""), ("client_id", "a\nb")] {
        let mut stored = stored.clone();
        stored[member] = wrong.into();
        fs::write(&file, stored.to_string()).unwrap();
        let ran = setup.call();
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""), "{member} {wrong:?}: {ran:?}");
    }
}

/// An option of a token request would be ignored, and the token of another source used.
#[test]
fn options_of_a_token_request_do_not_go_with_a_stored_session() {
    let setup = Setup::new();
    assert_eq!(setup.login().status, Some(0));
    let url = setup.server.resource("/orders");
    for option in [["--grant", "refresh_token"], ["--param-env", "a=B"], ["--dpop-alg", "ES256"]] {
        let ran = setup.run(&[&["call", "GET", &url], &option[..]].concat(), &setup.store());
        assert_eq!(ran.status, Some(2), "{option:?}: {ran:?}");
        assert!(ran.stderr.contains("does not go with a stored session"), "{ran:?}");
    }
}

/// The parameter would be part of a URL that other users see in the list of processes.
#[test]
fn a_secret_parameter_is_not_put_into_the_url_of_the_browser() {
    let setup = Setup::new();
    let without = Quirk::WithoutMember("pushed_authorization_request_endpoint".to_owned());
    setup.server.misbehave(Endpoint::Metadata, When::Always, without);
    let arguments = ["login", "--no-browser", "--dangerous-http", "--param-env", "id_token_hint=HINT"];
    let arguments: Vec<_> = arguments.map(str::to_owned).into_iter().chain(setup.options()).collect();
    let ran = crate::program::finish(command(&arguments).env("HINT", "the-secret-hint"));
    assert_eq!(ran.status, Some(2), "{ran:?}");
    assert!(!ran.stderr.contains("the-secret-hint") && ran.stderr.contains("--param-env"), "{ran:?}");
    assert!(setup.server.received_at(Endpoint::Authorization).is_empty());
}

/// `--session` is no path, and a store that cannot be written is found before the user signs in.
#[test]
fn a_session_that_cannot_be_kept_is_found_before_the_user_signs_in() {
    let setup = Setup::new();
    let ran = setup.run(&["login", "--session", "../x"], &setup.options());
    assert_eq!(ran.status, Some(2), "{ran:?}");
    let file = setup.folder.write("sessions", "a file, and no directory");
    let ran = setup.run(&["login", "--no-browser"], &setup.options());
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(&file), "{ran:?}");
    assert!(setup.server.received().is_empty());
}
