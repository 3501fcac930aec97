//! A stored session and its file: format, permissions, locks between processes, and what a killed process
//! leaves behind.

use std::fs;
use std::time::Duration;

use possession::*;
use serde_json::{Value, json};

use crate::folder::Folder;
#[cfg(unix)]
use crate::folder::{mode, set_mode};
use crate::process::{self, Process, report};

/// Longer than any test takes.
const FOREVER: Duration = Duration::from_secs(3600);
/// RFC 7638 §3.1
const JKT: &str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";

fn stored() -> Value {
    json!({
        "version": 1,
        "issuer": "https://as.example.com",
        "client_id": "my-client",
        "grant": "client_credentials",
        "jkt": JKT,
        "refresh_token": "r-1",
        "tokens": [{
            "parameters": "A".repeat(43),
            "received_at": 1_700_000_000,
            "response": {
                "access_token": "t-1", "token_type": "DPoP", "expires_in": 300, "scope": "a b",
                "refresh_token": "r-1", "sub": "did:plc:x", "extra": {"a": [1, null, true]},
            },
        }],
        "servers": [
            {"role": "authorization_server", "origin": "https://as.example.com", "nonce": "n-1", "clock_offset": -5},
            {"role": "resource_server", "origin": "https://api.example.com", "nonce": "n-2", "alg": "EdDSA"},
        ],
    })
}

fn session(value: &Value) -> StoredSession {
    StoredSession::from_json(&value.to_string()).unwrap()
}

fn store(folder: &Folder) -> FileStore {
    FileStore::new(folder, "orders").unwrap()
}

fn problem(result: Result<impl Sized, Error>) -> (StoreProblem, String) {
    match result.map(drop) {
        Err(error) => match error.kind() {
            ErrorKind::Store(problem) => (*problem, error.to_string()),
            other => panic!("{other:?}: {error}"),
        },
        Ok(()) => panic!("no error"),
    }
}

#[test]
fn a_session_is_read_as_it_was_written() {
    let value = stored();
    let read = session(&value);
    assert_eq!(serde_json::from_str::<Value>(&read.to_json()).unwrap(), value);
    assert_eq!((read.issuer(), read.client_id()), ("https://as.example.com", "my-client"));
    assert_eq!((read.jkt().to_string(), read.has_key()), (JKT.to_owned(), false));
    // Members that are not known are kept; `null`, an absent list and a byte order mark are no faults.
    let mut more = stored();
    more["added_later"] = json!({"a": 1});
    assert_eq!(serde_json::from_str::<Value>(&session(&more).to_json()).unwrap(), more);
    more["refresh_token"] = Value::Null;
    more.as_object_mut().unwrap().remove("servers");
    let read = StoredSession::from_json(&format!("\u{feff}{more}\n")).unwrap();
    let written: Value = serde_json::from_str(&read.to_json()).unwrap();
    assert_eq!((&written["servers"], written.get("refresh_token")), (&json!([]), None));
}

#[test]
fn s_05_what_is_not_a_session_is_refused() {
    let text = stored().to_string();
    // Every truncation.
    for end in 0..text.len() {
        let (problem, _) = problem(StoredSession::from_json(&text[..end]));
        assert_eq!(problem, StoreProblem::Damaged, "{end}");
    }
    let damages: [(&str, Value); 17] = [
        ("/version", Value::Null),
        ("/version", json!("1")),
        ("/version", json!(1.5)),
        ("/issuer", Value::Null),
        ("/client_id", json!(1)),
        ("/grant", Value::Null),
        ("/jkt", json!("short")),
        ("/key", json!("text")),
        ("/refresh_token", json!(["r"])),
        ("/tokens", json!({})),
        ("/tokens/0", json!(1)),
        ("/tokens/0/parameters", json!("AAAA")),
        ("/tokens/0/received_at", json!(-1)),
        ("/tokens/0/response/access_token", json!("a b")),
        ("/servers/0/role", json!("client")),
        ("/servers/0/nonce", json!("a\r\nb")),
        ("/servers/0/clock_offset", json!(0.5)),
    ];
    for (place, value) in damages {
        let mut damaged = stored();
        *damaged.pointer_mut(place).unwrap_or(&mut Value::Null) = value.clone();
        if place == "/key" {
            damaged["key"] = value;
        }
        let (problem, text) = problem(StoredSession::from_json(&damaged.to_string()));
        assert_eq!(problem, StoreProblem::Damaged, "{place}");
        assert!(!text.contains("t-1") && !text.contains("r-1"), "{text}");
    }
    for version in [json!(0), json!(2), json!(u64::MAX)] {
        let mut other = json!({"version": version});
        let (problem, text) = problem(StoredSession::from_json(&other.to_string()));
        assert_eq!(problem, StoreProblem::Version);
        assert!(text.contains(&version.to_string()) && text.contains("reads 1"), "{text}");
        other["tokens"] = json!(1);
        assert!(StoredSession::from_json(&other.to_string()).is_err());
    }
}

#[test]
fn a_session_is_saved_replaced_and_deleted() {
    let folder = Folder::new();
    let store = FileStore::new(folder.path("a").join("b"), "orders").unwrap();
    assert!(store.load().unwrap().is_none());
    store.delete().unwrap();
    let lock = store.lock(Duration::ZERO).unwrap();
    let mut value = stored();
    for token in ["r-1", "r-2"] {
        value["refresh_token"] = json!(token);
        store.save(&session(&value)).unwrap();
        let text = fs::read_to_string(store.path()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert_eq!(*store.load().unwrap().unwrap().to_json(), text);
    }
    drop(lock);
    #[cfg(unix)]
    {
        assert_eq!([mode(folder.path("a")), mode(folder.path("a").join("b"))], [0o700; 2]);
        assert_eq!([mode(store.path()), mode(store.path().with_extension("lock"))], [0o600; 2]);
    }
    for _ in 0..2 {
        store.delete().unwrap();
        assert!(store.load().unwrap().is_none());
    }
}

#[test]
fn s_06_a_name_leads_to_one_file_in_the_directory() {
    let folder = Folder::new();
    let long = "a".repeat(180);
    let names = [
        ("orders", "orders"),
        ("Orders", "%4Frders"),
        ("a_b-9", "a_b-9"),
        ("../x", "%2E%2E%2Fx"),
        ("..\\x", "%2E%2E%5Cx"),
        ("/etc/passwd", "%2Fetc%2Fpasswd"),
        ("%4Frders", "%254%46rders"),
        ("a\0b:é", "a%00b%3A%C3%A9"),
        ("nul", "nul"),
        (&long, &long),
    ];
    for (name, file) in names {
        let store = FileStore::new(&folder, name).unwrap();
        assert_eq!(store.path(), folder.path(&format!("session-{file}.json")));
        store.save(&session(&stored())).unwrap();
    }
    assert_eq!(folder.names().len(), names.len());
    for name in ["", &"a".repeat(181), &"é".repeat(31)] {
        let error = FileStore::new(&folder, name).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Parameter, "{error}");
    }
    assert_eq!(*FileStore::new("", "orders").unwrap_err().kind(), ErrorKind::Parameter);
    // A relative directory is that of the time when the store was made.
    assert!(FileStore::new("here", "orders").unwrap().path().is_absolute());
}

#[test]
fn s_05_a_damaged_file_is_an_error_that_names_it_and_is_not_changed() {
    let (folder, text) = (Folder::new(), stored().to_string());
    let store = store(&folder);
    store.save(&session(&stored())).unwrap();
    for (content, expected) in [
        ("", StoreProblem::Damaged),
        ("\0\0\0\0", StoreProblem::Damaged),
        (&text[..text.len() / 2], StoreProblem::Damaged),
        (&format!("{text}{text}"), StoreProblem::Damaged),
        ("{\"version\":2}", StoreProblem::Version),
    ] {
        // Written in place, so that the mode stays.
        fs::write(store.path(), content).unwrap();
        let (problem, text) = problem(store.load());
        assert_eq!(problem, expected, "{text}");
        assert!(text.contains("session-orders.json"), "{text}");
        assert_eq!(fs::read_to_string(store.path()).unwrap(), content);
    }
    let file = fs::OpenOptions::new().write(true).open(store.path()).unwrap();
    file.set_len(17 << 20).unwrap();
    let (problem, text) = problem(store.load());
    assert!(problem == StoreProblem::Failed && text.contains("larger than 16777216 bytes"), "{text}");
}

/// Threat S-01. The error says how to repair it, as that of ssh does.
#[cfg(unix)]
#[test]
fn s_01_a_file_that_others_may_use_is_refused() {
    let folder = Folder::new();
    let store = store(&folder);
    store.save(&session(&stored())).unwrap();
    for others in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644] {
        set_mode(store.path(), others);
        let (problem, text) = problem(store.load());
        assert_eq!(problem, StoreProblem::Permissions);
        assert!(text.contains(&format!("0{others:o}")) && text.contains("chmod 600"), "{text}");
    }
    // Replacing it repairs the mode.
    store.save(&session(&stored())).unwrap();
    assert_eq!(mode(store.path()), 0o600);
    for others in [0o720, 0o702, 0o777, 0o1777] {
        set_mode(&folder, others);
        let results = [
            problem(store.load()),
            problem(store.save(&session(&stored()))),
            problem(store.lock(Duration::ZERO)),
        ];
        for (problem, text) in results {
            assert_eq!(problem, StoreProblem::Permissions);
            assert!(text.contains(&format!("{others:04o}")) && text.contains("chmod 700"), "{text}");
        }
    }
    for nobody_writes in [0o700, 0o755] {
        set_mode(&folder, nobody_writes);
        assert!(store.load().unwrap().is_some());
    }
    set_mode(store.path(), 0o400);
    assert!(store.load().unwrap().is_some());
}

#[test]
fn a_file_in_place_of_the_directory_is_named() {
    let folder = Folder::new();
    fs::write(folder.path("file"), "").unwrap();
    let store = FileStore::new(folder.path("file"), "session").unwrap();
    for result in [store.save(&session(&stored())), store.lock(Duration::ZERO).map(drop)] {
        let (problem, text) = problem(result);
        assert!(problem == StoreProblem::Failed && text.contains("a directory is needed"), "{text}");
    }
    assert_eq!(problem(store.load()).0, StoreProblem::Failed);
}

#[cfg(unix)]
#[test]
fn s_01_what_is_not_a_regular_file_is_not_read_and_a_link_is_replaced() {
    let folder = Folder::new();
    let store = store(&folder);
    let target = folder.path("target");
    fs::write(&target, stored().to_string()).unwrap();
    set_mode(&target, 0o600);
    std::os::unix::fs::symlink(&target, store.path()).unwrap();
    let (problem_of_link, text) = problem(store.load());
    assert!(problem_of_link == StoreProblem::Failed && text.contains("symbolic link"), "{text}");
    store.save(&session(&stored())).unwrap();
    assert!(fs::symlink_metadata(store.path()).unwrap().is_file() && target.exists());
    store.delete().unwrap();
    fs::create_dir(store.path()).unwrap();
    for result in [store.load().map(drop), store.save(&session(&stored())), store.delete()] {
        assert_eq!(problem(result).0, StoreProblem::Failed);
    }
    assert_eq!(folder.names(), ["session-orders.json", "target"], "no temporary file is left");
    // A file in place of the directory.
    let store = FileStore::new(&target, "orders").unwrap();
    for result in [store.load().map(drop), store.save(&session(&stored())), store.lock(FOREVER).map(drop)] {
        assert_eq!(problem(result).0, StoreProblem::Failed);
    }
}

fn counter(store: &FileStore) -> u64 {
    let session = store.load().unwrap();
    session.map_or(0, |session| {
        serde_json::from_str::<Value>(&session.to_json()).unwrap()["counter"].as_u64().unwrap()
    })
}

fn count(store: &FileStore) -> u64 {
    let next = counter(store) + 1;
    let mut value = stored();
    value["counter"] = next.into();
    // Not always of the same length.
    value["padding"] = "x".repeat((next % 7) as usize * 10_000).into();
    store.save(&session(&value)).unwrap();
    next
}

fn start(task: &str, folder: &Folder) -> Process {
    Process::start("file_store::a_process", task, [folder.as_ref().to_str().unwrap()])
}

/// Does nothing unless it is run by one of the tests below, in a process of its own.
#[test]
fn a_process() {
    let Some((task, [folder])) = process::task() else { return };
    let store = FileStore::new(folder, "orders").unwrap();
    match &*task {
        "hold the lock" => {
            let lock = store.lock(FOREVER).unwrap();
            report("locked");
            process::until_told();
            drop(lock);
        }
        "count to 25" => {
            for _ in 0..25 {
                let lock = store.lock(FOREVER).unwrap();
                count(&store);
                drop(lock);
            }
        }
        "count" => loop {
            let lock = store.lock(FOREVER).unwrap();
            report(count(&store));
            drop(lock);
        },
        other => panic!("{other}"),
    }
}

/// Threat S-02.
#[test]
fn s_02_processes_that_share_a_session_change_it_one_after_the_other() {
    let folder = Folder::new();
    let processes: Vec<_> = (0..4).map(|_| start("count to 25", &folder)).collect();
    processes.into_iter().for_each(Process::end);
    assert_eq!(counter(&store(&folder)), 100);
    assert_eq!(folder.names(), ["session-orders.json", "session-orders.lock"]);
}

#[test]
fn a_lock_is_waited_for_until_its_process_ends_or_the_time_is_over() {
    let folder = Folder::new();
    let store = store(&folder);
    for kill in [false, true] {
        let mut process = start("hold the lock", &folder);
        assert_eq!(process.report().unwrap(), "locked");
        for timeout in [Duration::ZERO, Duration::from_millis(1)] {
            let error = store.lock(timeout).unwrap_err();
            assert!(
                *error.kind() == ErrorKind::Store(StoreProblem::Locked) && error.is_transient(),
                "{error}"
            );
            assert!(error.to_string().contains("session-orders.json"), "{error}");
        }
        // It does not keep others from reading.
        assert!(store.load().unwrap().is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| store.lock(FOREVER).map(drop));
            if kill {
                process.kill()
            } else {
                process.end()
            }
            waiting.join().unwrap().unwrap();
        });
        drop(store.lock(Duration::ZERO).unwrap());
    }
}

/// Threat S-03. The process is killed at any step of what it does.
#[test]
fn s_03_a_killed_process_leaves_the_old_session_or_the_new_one() {
    let folder = Folder::new();
    let store = store(&folder);
    for round in 0..40 {
        let mut process = start("count", &folder);
        let reports = 1 + round % 5;
        let last = (0..reports).map(|_| process.report().unwrap()).last().unwrap().parse::<u64>().unwrap();
        process.kill();
        // What it reported is stored; it may have stored more before it was killed.
        let stored = counter(&store);
        assert!((last..last + 1000).contains(&stored), "{last} {stored}");
        let lock = store.lock(Duration::ZERO).unwrap();
        assert_eq!(count(&store), stored + 1);
        drop(lock);
        assert_eq!(folder.names(), ["session-orders.json", "session-orders.lock"]);
    }
}
