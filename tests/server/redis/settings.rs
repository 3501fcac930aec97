//! Settings of a server that cannot work or are not safe are found when the store connects.

use possession::server::{InsertOutcome, RedisManager, RedisReplayStore};
use possession::{Error, ErrorKind, redis};

use super::process::{Server, listener, pool};
use super::{PATIENT, SHORT, failed, insert};

#[test]
fn a_missing_or_wrong_password_is_found_when_connecting() {
    let server = Server::start(&["--requirepass", "correct-horse"]);
    let wrong = |credentials: &str| {
        let error = RedisReplayStore::connect(&server.url(credentials)).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Configuration, "{error}");
        assert!(!error.is_transient());
        error.to_string()
    };
    assert!(wrong("").contains("demands a password and was given none (NOAUTH)"), "{}", wrong(""));
    for credentials in [":wr0ng-pass@", "alice:correct-horse@"] {
        let wrong = wrong(credentials);
        assert!(wrong.contains("does not accept the user name or the password"), "{wrong}");
    }
    assert!(RedisReplayStore::connect(&server.url(":correct-horse@")).is_ok());
}

#[test]
fn a_read_only_replica_is_found_when_connecting() {
    let server = Server::start(&[]);
    let primary = listener();
    server.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", primary.local_addr().unwrap().port()));
    let error = RedisReplayStore::connect(&server.url("")).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Configuration);
    assert!(error.to_string().contains("read-only replica (connect to its primary"), "{error}");
    // The option is for another check.
    let store = RedisReplayStore::open(&server.url("")).unwrap().dangerous_any_eviction_policy();
    assert_eq!(store.check().unwrap_err(), error);
}

#[test]
fn v_40_a_server_that_evicts_is_found_when_connecting() {
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let server = Server::start(&["--maxmemory-policy", policy]);
        let error = RedisReplayStore::connect(&server.url("")).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Configuration);
        let text = error.to_string();
        assert!(
            text.contains(&format!("is `{policy}`")) && text.contains("set it to `noeviction`"),
            "{text}"
        );
        let pool = pool(&server.url(""), 1, PATIENT);
        assert_eq!(RedisReplayStore::new(pool).check().unwrap_err(), error);
        let store = RedisReplayStore::open(&server.url("")).unwrap().dangerous_any_eviction_policy();
        assert!(store.check().is_ok());
    }
}

/// `INFO` shows what `CONFIG` would, and is permitted by managed services. Without it nothing is known.
#[test]
fn a_user_who_may_not_send_info_is_told_what_to_permit() {
    let server = Server::start(&[]);
    let user = |name: &str, rules: &[&str]| {
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg(name).arg(rules).arg("on").arg(">battery-staple");
        command.query::<()>(&mut server.connection("")).unwrap();
        RedisReplayStore::connect(&server.url(&format!("{name}:battery-staple@")))
    };
    for (command, allowed) in [("INFO", "+time"), ("TIME", "+info")] {
        let error = user("alice", &["reset", "~dpop:*", "+set", "+ping", allowed]).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Configuration);
        let text = error.to_string();
        assert!(text.contains(&format!("may not send {command}")), "{text}");
        assert!(text.contains("`ACL SETUSER name +info +time +set +ping`"), "{text}");
    }
    // Just these, on the keys of the store, suffice.
    let store = user("bob", &["~dpop:*", "+info", "+time", "+set", "+ping"]).unwrap();
    insert(&store, "jti").unwrap();
}

#[test]
fn no_error_shows_the_credentials_of_the_url() {
    let server = Server::start(&["--requirepass", "correct-horse"]);
    let alice = ["SETUSER", "alice", "on", ">battery-staple", "+ping", "+client", "+info"];
    redis::cmd("ACL").arg(&alice).query::<()>(&mut server.connection(":correct-horse@")).unwrap();
    let say = |error: &Error| {
        let source = std::error::Error::source(error).map(ToString::to_string);
        format!("{error} {error:?} {source:?}")
    };
    let mut texts = Vec::new();
    for credentials in [":wr0ng-pass@", "alice:wr0ng-pass@", "wr0ng-user:wr0ng-pass@", ""] {
        for protocol in ["", "/?protocol=resp3"] {
            let url = server.url(credentials) + protocol;
            match RedisReplayStore::connect(&url) {
                Err(error) => texts.push(say(&error)),
                Ok(_) => panic!("{credentials} is not accepted"),
            }
            texts.push(failed(insert(&RedisReplayStore::new(pool(&url, 1, SHORT)), "1")));
        }
    }
    // Redis names the user who has no permission.
    let not_allowed = RedisReplayStore::open(&server.url("alice:battery-staple@")).unwrap();
    texts.push(failed(insert(&not_allowed, "1")));
    assert!(texts.contains(&"the server responded with the error NOPERM".to_owned()), "{texts:#?}");

    for url in [
        "redis://alice:wr0ng-pass@127.0.0.1:99999",
        "redis://alice:wr0ng-pass@127.0.0.1/wr0ng-database",
        "http://alice:wr0ng-pass@127.0.0.1",
        "redis://alice:wr0ng-pass",
        "alice:wr0ng-pass",
        "redis://alice:wr0ng-pass@0.0.0.0",
        "unix://alice:wr0ng-pass@127.0.0.1?db=wr0ng",
    ] {
        let error = RedisReplayStore::connect(url).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Url, "{url}");
        texts.push(say(&error));
    }
    let store = RedisReplayStore::connect(&server.url(":correct-horse@")).unwrap();
    assert_eq!(insert(&store, "1"), Ok(InsertOutcome::Inserted));
    texts.push(format!("{store:?}"));
    let client = redis::Client::open(server.url("alice:battery-staple@")).unwrap();
    texts.push(format!("{:?}", RedisManager::new(client)));
    for text in texts {
        for secret in ["alice", "wr0ng", "correct-horse", "battery-staple"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
