//! No lock is held while code of the user runs: a logger, an HTTP client, a signer or an error that panics
//! leaves everything usable.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once, mpsc};
use std::thread;
use std::time::Duration;

use possession::server::*;
use possession::*;
use serde_json::json;

use crate::issuer::{AUDIENCE, Remote, claims, jwk, jwks, jwt, key, server};
use crate::support::{NOW, at, set};

thread_local! {
    /// Whether the logger panics in this thread.
    static PANICS: Cell<bool> = const { Cell::new(false) };
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        PANICS.with(|panics| assert!(!panics.replace(false), "in the logger"));
    }

    fn flush(&self) {}
}

fn next_record_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
    PANICS.with(|panics| panics.set(true));
}

/// Runs a test in a thread of its own, and fails when it hangs.
fn within_20_seconds<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(run()));
    receiver.recv_timeout(Duration::from_secs(20)).expect("it hangs or panicked")
}

/// The failure of a fetch is logged after the lock of the key set is released.
#[test]
fn a_logger_that_panics_does_not_block_the_validation_of_jwts() {
    let (old, new, remote) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519), Remote::default());
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let tokens = Arc::new(tokens);
    let by = |key: &KeyPair, kid: &str| {
        let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": kid});
        jwt(key, &header, &set(claims(), "exp", NOW + 9_999))
    };
    let (by_old, by_new) = (by(&old, "old"), by(&new, "new"));
    remote.responds(200, "application/json", jwks(&[jwk(&old, "old", &json!({}))]));
    assert!(tokens.validate(&by_old, at(NOW)).is_ok());
    remote.responds(500, "text/plain", "");
    let theirs = (Arc::clone(&tokens), by_new.clone());
    let panicked = within_20_seconds(move || {
        next_record_panics();
        catch_unwind(AssertUnwindSafe(|| theirs.0.validate(&theirs.1, at(NOW + 100)))).is_err()
    });
    assert!(panicked, "the failure is logged");
    // The failure is known although its record was lost, and a known key is used.
    let (theirs, asked) = (Arc::clone(&tokens), by_new.clone());
    let seen = within_20_seconds(move || theirs.validate(&asked, at(NOW + 101)));
    assert!(matches!(seen, Err(TokenError::Unavailable(_))), "{seen:?}");
    let (theirs, asked) = (Arc::clone(&tokens), by_old);
    assert!(within_20_seconds(move || theirs.validate(&asked, at(NOW + 101)).is_ok()));
    remote.responds(200, "application/json", jwks(&[jwk(&new, "new", &json!({}))]));
    assert!(within_20_seconds(move || tokens.validate(&by_new, at(NOW + 200)).is_ok()));
}

/// A refusal is logged while other threads may wait for it, and no lock is held then.
#[test]
fn a_logger_that_panics_does_not_block_introspection() {
    let remote = Remote::default();
    let (client, auth) = (Client::new("rs").unwrap(), ClientAuth::client_secret_basic("s"));
    let tokens = Introspector::new(&server(), &client, &auth, AUDIENCE, remote.clone()).unwrap();
    let tokens = Arc::new(tokens.max_waiting(1));
    remote.responds(400, "application/json", r#"{"error":"unsupported_token_type"}"#);
    for _ in 0..2 {
        let theirs = Arc::clone(&tokens);
        assert!(within_20_seconds(move || {
            next_record_panics();
            catch_unwind(AssertUnwindSafe(|| theirs.validate("token", at(NOW)))).is_err()
        }));
    }
    let seen = within_20_seconds(move || tokens.validate("token", at(NOW)));
    assert_eq!(seen, Err(TokenError::Inactive));
}

/// An error whose source uses the validator when it is dropped, which is while the next one replaces it.
#[test]
fn the_error_of_a_fetch_is_dropped_without_a_lock() {
    struct Reentrant(Arc<JwtValidator>, String, mpsc::Sender<bool>);

    impl std::fmt::Debug for Reentrant {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Reentrant")
        }
    }

    impl std::fmt::Display for Reentrant {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("connection refused")
        }
    }

    impl std::error::Error for Reentrant {}

    impl Drop for Reentrant {
        fn drop(&mut self) {
            let seen = self.0.validate(&self.1, at(NOW + 101));
            self.2.send(matches!(seen, Ok(_) | Err(TokenError::Unavailable(_)))).ok();
        }
    }

    let (key, remote) = (key(Algorithm::Ed25519), Remote::default());
    let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": "k1"});
    let token = jwt(&key, &header, &set(claims(), "exp", NOW + 9_999));
    let tokens = Arc::new(JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap());
    let (sender, receiver) = mpsc::channel();
    let cause = std::sync::Mutex::new(Some(Reentrant(Arc::clone(&tokens), token.clone(), sender)));
    remote.responds_with(move || {
        Err(match cause.lock().unwrap().take() {
            Some(cause) => Error::transport(cause),
            None => Error::transport("connection refused"),
        })
    });
    let (theirs, asked) = (Arc::clone(&tokens), token.clone());
    within_20_seconds(move || theirs.validate(&asked, at(NOW)).map(drop)).unwrap_err();
    remote.responds(200, "application/json", jwks(&[jwk(&key, "k1", &json!({}))]));
    assert!(within_20_seconds(move || tokens.validate(&token, at(NOW + 100)).is_ok()));
    assert!(receiver.recv_timeout(Duration::from_secs(20)).unwrap());
}
