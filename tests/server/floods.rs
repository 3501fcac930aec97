//! What strangers can make a resource server wait for: introspection of tokens and fetches of keys.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use possession::server::*;
use possession::*;
use serde_json::json;

use crate::issuer::{AUDIENCE, Remote, claims, gate, jwk, jwks, jwt, key, server};
use crate::support::{NOW, at, mine, set};

/// No wait of these tests is longer.
const HANGS: Duration = Duration::from_secs(20);

/// An issuer that responds when the test lets it, to any number of requests at a time.
#[derive(Clone)]
pub struct SlowIssuer(Arc<Inner>);

struct Inner {
    body: String,
    requests: AtomicUsize,
    responds: Mutex<bool>,
    changed: Condvar,
}

impl SlowIssuer {
    pub fn new(body: String) -> Self {
        let (requests, responds, changed) = (AtomicUsize::new(0), Mutex::new(false), Condvar::new());
        Self(Arc::new(Inner { body, requests, responds, changed }))
    }

    pub fn responds(&self, responds: bool) {
        *self.0.responds.lock().unwrap() = responds;
        self.0.changed.notify_all();
    }

    pub fn requests(&self) -> usize {
        self.0.requests.load(Ordering::SeqCst)
    }
}

impl HttpClient for SlowIssuer {
    fn send(&self, _: http::Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error> {
        self.0.requests.fetch_add(1, Ordering::SeqCst);
        let responds = self.0.responds.lock().unwrap();
        let (_responds, waited) =
            self.0.changed.wait_timeout_while(responds, HANGS, |responds| !*responds).unwrap();
        assert!(!waited.timed_out());
        let response = http::Response::builder().header("content-type", "application/json");
        Ok(response.body(self.0.body.clone().into_bytes()).unwrap())
    }
}

pub fn introspector(http: impl HttpClient + 'static) -> Introspector {
    let (client, auth) = (Client::new("rs").unwrap(), ClientAuth::client_secret_basic("s"));
    Introspector::new(&server(), &client, &auth, AUDIENCE, http).unwrap()
}

pub fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANGS, "it takes too long");
        thread::sleep(Duration::from_millis(1));
    }
}

fn is_back_off<T>(seen: &Result<T, TokenError>) -> bool {
    matches!(seen, Err(TokenError::Unavailable(error)) if matches!(error.kind(), ErrorKind::BackOff { .. }))
}

/// A recorded request may be sent again and again, also without a cache for active tokens.
#[test]
fn a_made_up_token_that_is_sent_a_hundred_times_is_introspected_once() {
    let remote = Remote::default();
    remote.responds(200, "application/json", r#"{"active":false}"#);
    for tokens in [introspector(remote.clone()), introspector(remote.clone()).cache(Duration::from_secs(3))] {
        let before = remote.requests();
        for _ in 0..100 {
            assert_eq!(tokens.validate("made-up", at(NOW)), Err(TokenError::Inactive));
        }
        assert_eq!(remote.requests(), before + 1);
        assert_eq!(tokens.validate("made-up", at(NOW + 4)), Err(TokenError::Inactive));
        assert_eq!(remote.requests(), before + 1);
        assert_eq!(tokens.validate("made-up", at(NOW + 5)), Err(TokenError::Inactive));
        assert_eq!(remote.requests(), before + 2);
    }
}

/// A token that is not valid yet is refused no longer than that.
#[test]
fn the_memory_of_refused_tokens_ends_when_a_token_becomes_valid() {
    let remote = Remote::default();
    let active = json!({"active": true, "aud": AUDIENCE, "nbf": NOW + 8});
    remote.responds(200, "application/json", active.to_string());
    let tokens = introspector(remote.clone());
    for (now, seconds) in [(NOW, 8), (NOW + 2, 8)] {
        assert_eq!(tokens.validate("t", at(now)).map(drop), Err(TokenError::NotYetValid { seconds }));
    }
    assert_eq!(remote.requests(), 1);
    assert!(tokens.validate("t", at(NOW + 3)).is_ok());
}

#[test]
fn threads_with_one_token_share_an_introspection() {
    let active = json!({"active": true, "aud": AUDIENCE, "exp": NOW + 60}).to_string();
    for (cache, body) in [(30, active.clone()), (0, r#"{"active":false}"#.to_owned())] {
        let issuer = SlowIssuer::new(body);
        let tokens = introspector(issuer.clone()).cache(Duration::from_secs(cache));
        let started = AtomicUsize::new(0);
        thread::scope(|scope| {
            let ask = || {
                started.fetch_add(1, Ordering::SeqCst);
                tokens.validate("token", at(NOW)).is_ok()
            };
            let threads: Vec<_> = (0..32).map(|_| scope.spawn(ask)).collect();
            until(|| started.load(Ordering::SeqCst) == 32 && issuer.requests() > 0);
            issuer.responds(true);
            assert!(threads.into_iter().all(|thread| thread.join().unwrap() == (cache > 0)));
        });
        assert_eq!(issuer.requests(), 1);
    }
}

/// A slow authorization server holds up so many threads and no more. Cached tokens are accepted meanwhile.
#[test]
fn at_most_32_threads_wait_for_introspection() {
    for max in [None, Some(2), Some(0)] {
        let issuer = SlowIssuer::new(json!({"active": true, "aud": AUDIENCE, "exp": NOW + 60}).to_string());
        let tokens = introspector(issuer.clone()).cache(Duration::from_secs(30));
        let tokens = max.into_iter().fold(tokens, Introspector::max_waiting);
        let max = max.unwrap_or(32).max(1);
        issuer.responds(true);
        assert!(tokens.validate("cached", at(NOW)).is_ok());
        issuer.responds(false);
        let (refused, tokens) = (&AtomicUsize::new(0), &tokens);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..200)
                .map(|number| {
                    scope.spawn(move || {
                        let seen = tokens.validate(&format!("t{number}"), at(NOW));
                        refused.fetch_add(usize::from(is_back_off(&seen)), Ordering::SeqCst);
                        seen
                    })
                })
                .collect();
            until(|| refused.load(Ordering::SeqCst) == 200 - max && issuer.requests() == 1 + max);
            assert!(tokens.validate("cached", at(NOW + 1)).is_ok());
            assert!(is_back_off(&tokens.validate("another", at(NOW + 1))));
            issuer.responds(true);
            let accepted = threads.into_iter().map(|thread| thread.join().unwrap());
            assert_eq!(accepted.filter(Result::is_ok).count(), max);
        });
        assert_eq!((refused.load(Ordering::SeqCst), issuer.requests()), (200 - max, 1 + max));
        // That there was no room is not remembered.
        assert!(tokens.validate("another", at(NOW + 1)).is_ok());
    }
}

/// The HTTP client panics in one thread: the others, which wait for it, get an error.
#[test]
fn a_panic_during_introspection_ends_the_wait_of_all_threads() {
    let remote = Remote::default();
    let tokens = introspector(remote.clone());
    let gate = gate(&remote, || panic!("in the HTTP client"));
    let started = AtomicUsize::new(0);
    thread::scope(|scope| {
        let asking = scope.spawn(|| catch_unwind(AssertUnwindSafe(|| tokens.validate("t", at(NOW)))));
        gate.wait();
        let ask = || {
            started.fetch_add(1, Ordering::SeqCst);
            tokens.validate("t", at(NOW))
        };
        let waiting: Vec<_> = (0..31).map(|_| scope.spawn(ask)).collect();
        until(|| started.load(Ordering::SeqCst) == 31);
        // The threads have begun; this lets them get to where they wait.
        thread::sleep(Duration::from_millis(500));
        gate.open();
        assert!(asking.join().unwrap().is_err());
        for thread in waiting {
            assert!(matches!(thread.join().unwrap(), Err(TokenError::Unavailable(_))));
        }
    });
    assert_eq!(remote.requests(), 1);
    remote.responds(200, "application/json", json!({"active": true, "aud": AUDIENCE}).to_string());
    assert!(tokens.validate("t", at(NOW)).is_ok());
}

/// Made-up names of keys hold up so many threads and no more, and none whose key is known.
#[test]
fn at_most_32_threads_wait_for_a_fetch_of_keys() {
    for max in [None, Some(2), Some(0)] {
        let (key, other) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519));
        let issuer = SlowIssuer::new(jwks(&[jwk(&key, "known", &json!({}))]));
        let tokens = JwtValidator::new(&server(), AUDIENCE, issuer.clone()).unwrap().cached_tokens(0);
        let tokens = max.into_iter().fold(tokens, JwtValidator::max_waiting);
        let max = max.unwrap_or(32).max(1);
        let by = |key: &KeyPair, kid: &str| {
            let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": kid});
            jwt(key, &header, &set(claims(), "exp", NOW + 9_999))
        };
        let known = by(&key, "known");
        issuer.responds(true);
        assert!(tokens.validate(&known, at(NOW)).is_ok());
        issuer.responds(false);
        let (refused, tokens) = (&AtomicUsize::new(0), &tokens);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..200)
                .map(|number| {
                    let token = by(&other, &format!("made up {number}"));
                    scope.spawn(move || {
                        let seen = tokens.validate(&token, at(NOW + 100));
                        refused.fetch_add(usize::from(is_back_off(&seen)), Ordering::SeqCst);
                        seen.map(drop)
                    })
                })
                .collect();
            until(|| refused.load(Ordering::SeqCst) == 200 - max);
            for _ in 0..10 {
                assert!(tokens.validate(&known, at(NOW + 100)).is_ok());
            }
            issuer.responds(true);
            let seen = threads.into_iter().map(|thread| thread.join().unwrap());
            assert_eq!(seen.filter(|seen| *seen == Err(TokenError::UnknownKey)).count(), max);
        });
        assert_eq!(refused.load(Ordering::SeqCst), 200 - max);
        // The threads that waited came after the second fetch had begun, and shared a third one.
        assert_eq!(issuer.requests(), if max > 1 { 3 } else { 2 });
    }
}

/// RFC 9110 §10.2.3: the response says when to try again.
#[test]
fn a_request_beyond_the_limit_gets_503_with_retry_after() {
    let client = mine();
    let issuer = SlowIssuer::new(r#"{"active":false}"#.to_owned());
    let tokens = introspector(issuer.clone()).max_waiting(1);
    let verifier = Verifier::new(MemoryReplayStore::new(10));
    let api = ResourceServer::new("https://api.example", verifier, tokens).unwrap();
    let ask = |token: &str| {
        let proof = Proof::new(&http::Method::GET, "https://api.example/a").unwrap().access_token(token);
        let proof = proof.sign(&client, at(NOW)).unwrap();
        let request = http::Request::get("/a").header("authorization", format!("DPoP {token}"));
        let (parts, ()) = request.header("dpop", proof).body(()).unwrap().into_parts();
        api.authenticate(&parts, at(NOW)).map(drop).unwrap_err().to_response()
    };
    thread::scope(|scope| {
        let waiting = scope.spawn(|| ask("first"));
        until(|| issuer.requests() == 1);
        let response = ask("second");
        assert_eq!(response.status(), http::StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.body(), "");
        issuer.responds(true);
        let response = waiting.join().unwrap();
        assert_eq!(response.status(), http::StatusCode::UNAUTHORIZED);
        assert!(!response.headers().contains_key("retry-after"));
    });
}
