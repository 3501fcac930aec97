//! Fetching the key set of an issuer: when it is fetched, for how long it is kept, and how threads share
//! one fetch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use possession::server::*;
use possession::*;
use serde_json::json;

use crate::issuer::{AUDIENCE, ISSUER, Remote, claims, gate, header, jwk, jwks, jwt, key, server};
use crate::support::{NOW, at, mine, set, without};

/// Validates a token that the key signs and whose header names `kid`.
fn validate(tokens: &JwtValidator, key: &KeyPair, kid: &str, now: u64) -> Result<(), TokenError> {
    let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": kid});
    tokens.validate(&jwt(key, &header, &set(claims(), "exp", NOW + 9_999)), at(now)).map(drop)
}

#[test]
fn keys_are_cached_and_fetched_again_when_they_are_old_or_a_kid_is_unknown() {
    let (first, second) = (key(Algorithm::Es256), key(Algorithm::Es256));
    let remote = Remote::default();
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let ask = |key: &KeyPair, kid: &str, now: u64| {
        let claims = set(claims(), "exp", now + 60);
        tokens.validate(&jwt(key, &set(header(), "kid", kid), &claims), at(now)).map(drop)
    };
    remote.responds(200, "application/jwk-set+json", jwks(&[jwk(&first, "k1", &json!({}))]));
    for now in [NOW, NOW + 1, NOW + 899] {
        assert_eq!(ask(&first, "k1", now), Ok(()));
    }
    assert_eq!(remote.requests(), 1);
    let sent = remote.sent.lock().unwrap()[0].uri().to_string();
    assert_eq!(sent, "https://as.example/jwks");
    // An unknown `kid` causes a fetch at once. See `key_rotation` for how many there may be.
    for (now, requests) in [(NOW + 890, 2), (NOW + 951, 3)] {
        assert_eq!(ask(&second, &format!("u{now}"), now), Err(TokenError::UnknownKey));
        assert_eq!(remote.requests(), requests, "{}", now - NOW);
    }
    // Threads may read the clock in a different order than they arrive: that is not a clock set back.
    assert_eq!(ask(&first, "k1", NOW + 950), Ok(()));
    assert_eq!(remote.requests(), 3);
    // The server has a new key.
    remote.responds(200, "application/json", jwks(&[jwk(&second, "k2", &json!({}))]));
    assert_eq!(ask(&second, "k2", NOW + 1012), Ok(()));
    // The old one is gone, as one more fetch shows.
    assert_eq!(ask(&first, "k1", NOW + 1013), Err(TokenError::UnknownKey));
    // A failed fetch leaves the old keys in use, for a day.
    let failures: [(u16, &str, &str); 5] = [
        (500, "text/html", "<html>"),
        (200, "text/html", "<html>"),
        (200, "application/json", "{"),
        (302, "application/json", "{}"),
        (200, "application/json", r#"{"keys":1}"#),
    ];
    let mut now = NOW + 1013;
    for (status, content_type, body) in failures {
        now += 901;
        remote.responds(status, content_type, body);
        let before = remote.requests();
        assert_eq!((ask(&second, "k2", now), remote.requests()), (Ok(()), before + 1));
    }
    assert_eq!(ask(&second, "k2", NOW + 1013 + 86_399), Ok(()));
    assert!(matches!(ask(&second, "k2", NOW + 1013 + 86_400), Err(TokenError::Unavailable(_))));
    // An empty key set means that no key is valid any more.
    remote.responds(200, "application/json", jwks(&[jwk(&second, "k2", &json!({}))]));
    assert_eq!(ask(&second, "k2", NOW + 90_000), Ok(()));
    remote.responds(200, "application/json", jwks(&[]));
    assert_eq!(ask(&second, "k2", NOW + 91_000), Err(TokenError::UnknownKey));
}

#[test]
fn without_keys_no_token_is_accepted() {
    let (key, remote) = (key(Algorithm::Es256), Remote::default());
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let ask = |now| tokens.validate(&jwt(&key, &header(), &set(claims(), "exp", NOW + 999)), at(now));
    remote.responds_with(|| Err(Error::timeout("too slow")));
    for (now, requests) in [(NOW, 1), (NOW + 4, 1), (NOW + 6, 2)] {
        let error = ask(now).unwrap_err();
        assert!(
            matches!(&error, TokenError::Unavailable(error) if *error.kind() == ErrorKind::Timeout),
            "{error}"
        );
        assert_eq!(remote.requests(), requests);
    }
    // A panic in the HTTP client blocks nothing.
    remote.responds_with(|| panic!("in the HTTP client"));
    let panicked = catch_unwind(AssertUnwindSafe(|| ask(NOW + 20)));
    assert!(panicked.is_err());
    assert!(matches!(ask(NOW + 21), Err(TokenError::Unavailable(_))));
    remote.responds(200, "application/json", jwks(&[jwk(&key, "k1", &json!({}))]));
    assert!(ask(NOW + 30).is_ok());
    let no_keys =
        AuthorizationServer::builder(ISSUER).token_endpoint("https://as.example/token").build().unwrap();
    assert_eq!(*JwtValidator::new(&no_keys, AUDIENCE, remote).unwrap_err().kind(), ErrorKind::Metadata);
}

/// QV-12: while the keys of the issuer cannot be fetched, a token by a key that is not at hand cannot be
/// verified, which says nothing about the token. RFC 9110 §15.6.4 has 503 for it. After a failed fetch
/// the next one comes after 5 seconds.
#[test]
fn qv_12_a_key_set_outage_is_not_blamed_on_the_token() {
    type Failure = fn(&Remote);
    let failures: [Failure; 6] = [
        |remote| remote.responds_with(|| Err(Error::timeout("too slow"))),
        |remote| remote.responds_with(|| Err(Error::transport("connection refused"))),
        |remote| remote.responds(503, "application/json", "{}"),
        |remote| remote.responds(302, "application/json", "{}"),
        |remote| remote.responds(200, "text/html", "<html>"),
        |remote| remote.responds(200, "application/json", "{"),
    ];
    for fail in failures {
        let (old, new) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519));
        let remote = Remote::default();
        let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
        let ask = |key: &KeyPair, kid: Option<&str>, now: u64| {
            let mut header = json!({"typ": "at+jwt", "alg": "EdDSA"});
            if let Some(kid) = kid {
                header["kid"] = kid.into();
            }
            tokens.validate(&jwt(key, &header, &set(claims(), "exp", NOW + 9_999)), at(now)).map(drop)
        };
        let is_unavailable = |seen: Result<(), TokenError>| match seen {
            Err(TokenError::Unavailable(error)) => error.to_string().contains("https://as.example/jwks"),
            _ => false,
        };
        remote.responds(200, "application/json", jwks(&[jwk(&old, "old", &json!({}))]));
        assert_eq!(ask(&old, Some("old"), NOW), Ok(()));
        // The issuer has a new key, and its key set is out of reach.
        fail(&remote);
        let mut requests = remote.requests();
        for (now, fetches) in [(NOW + 100, 1), (NOW + 104, 0), (NOW + 106, 1), (NOW + 110, 0), (NOW + 112, 1)]
        {
            assert!(is_unavailable(ask(&new, Some("new"), now)), "{}", now - NOW);
            requests += fetches;
            assert_eq!(remote.requests(), requests, "{}", now - NOW);
        }
        // A token without `kid` may be by the new key as well.
        assert!(is_unavailable(ask(&new, None, NOW + 113)));
        // The keys at hand are used. A token that names one of them and is not signed by it is invalid.
        assert_eq!([ask(&old, Some("old"), NOW + 113), ask(&old, None, NOW + 113)], [Ok(()), Ok(())]);
        assert_eq!(ask(&new, Some("old"), NOW + 113), Err(TokenError::Signature));
        // A token that no key could make valid is invalid as before.
        let expired = set(claims(), "exp", NOW);
        let expired = tokens.validate(&jwt(&new, &set(header(), "alg", "EdDSA"), &expired), at(NOW + 113));
        assert!(matches!(expired, Err(TokenError::Expired { .. })));
        // It works again.
        remote.responds(200, "application/json", jwks(&[jwk(&new, "new", &json!({}))]));
        assert_eq!(ask(&new, Some("new"), NOW + 118), Ok(()));
        assert_eq!(ask(&new, Some("made-up"), NOW + 119), Err(TokenError::UnknownKey));
        assert_eq!(ask(&old, None, NOW + 119), Err(TokenError::Signature));
    }
}

/// QV-12 as a whole response.
#[test]
fn qv_12_a_key_set_outage_is_a_503() {
    let (key, remote) = (key(Algorithm::Ed25519), Remote::default());
    let client = mine();
    remote.responds(200, "application/json", jwks(&[jwk(&key, "old", &json!({}))]));
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let api = ResourceServer::new("https://api.example", Verifier::new(MemoryReplayStore::new(10)), tokens)
        .unwrap();
    let ask = |kid: &str, now: u64| {
        let jkt = client.public_key().thumbprint().to_string();
        let claims = set(set(claims(), "cnf", json!({"jkt": jkt})), "exp", NOW + 9_999);
        let token = jwt(&key, &json!({"typ": "at+jwt", "alg": "EdDSA", "kid": kid}), &claims);
        let proof = Proof::new(&http::Method::GET, "https://api.example/a").unwrap().access_token(&token);
        let proof = proof.sign(&client, at(now)).unwrap();
        let request = http::Request::get("/a").header("authorization", format!("DPoP {token}"));
        let (parts, ()) = request.header("dpop", proof).body(()).unwrap().into_parts();
        api.authenticate(&parts, at(now)).map(drop)
    };
    assert_eq!(ask("old", NOW), Ok(()));
    remote.responds(500, "text/plain", "");
    for now in [NOW + 100, NOW + 103] {
        let rejection = ask("new", now).unwrap_err();
        assert!(rejection.is_server_fault() && rejection.error().is_none(), "{rejection}");
        assert_eq!(rejection.to_response().status(), http::StatusCode::SERVICE_UNAVAILABLE);
        assert!(rejection.to_response().headers().get("www-authenticate").is_none());
    }
    assert_eq!(ask("old", NOW + 103), Ok(()));
}

/// An HTTP client that panics is a fetch that failed.
#[test]
fn qv_12_a_fetch_that_panics_is_not_blamed_on_the_token() {
    let (old, new, remote) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519), Remote::default());
    remote.responds(200, "application/json", jwks(&[jwk(&old, "old", &json!({}))]));
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let ask = |key: &KeyPair, kid: &str, now: u64| validate(&tokens, key, kid, now);
    assert_eq!(ask(&old, "old", NOW), Ok(()));
    remote.responds_with(|| panic!("in the HTTP client"));
    assert!(catch_unwind(AssertUnwindSafe(|| ask(&new, "new", NOW + 100))).is_err());
    assert!(matches!(ask(&new, "new", NOW + 101), Err(TokenError::Unavailable(_))));
    remote.responds(200, "application/json", jwks(&[jwk(&new, "new", &json!({}))]));
    assert_eq!(ask(&new, "new", NOW + 105), Ok(()));
}

/// Single flight: however many threads need the keys, one request fetches them.
#[test]
fn one_request_serves_all_threads() {
    let (key, remote) = (key(Algorithm::Ed25519), Remote::default());
    let set_of_keys = jwks(&[jwk(&key, "k1", &json!({}))]);
    remote.responds(200, "application/json", set_of_keys);
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let token = jwt(&key, &set(header(), "alg", "EdDSA"), &claims());
    let start = Barrier::new(32);
    let fine = std::thread::scope(|scope| {
        let ask = || {
            start.wait();
            tokens.validate(&token, at(NOW)).is_ok()
        };
        let threads: Vec<_> = (0..32).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|fine| *fine).count()
    });
    assert_eq!((fine, remote.requests()), (32, 1));
}

/// V-61: a token that is refused whatever its key costs no request.
#[test]
fn no_keys_are_fetched_for_a_token_that_no_key_could_make_valid() {
    let (key, remote) = (key(Algorithm::Ed25519), Remote::default());
    remote.responds(200, "application/json", jwks(&[jwk(&key, "k1", &json!({}))]));
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let header = set(header(), "alg", "EdDSA");
    let hopeless = [
        "garbage".to_owned(),
        jwt(&key, &set(header.clone(), "typ", "JWT"), &claims()),
        jwt(&key, &set(header.clone(), "alg", "none"), &claims()),
        jwt(&key, &set(header.clone(), "kid", 1), &claims()),
        jwt(&key, &header, &set(claims(), "iss", "https://evil.example")),
        jwt(&key, &header, &set(claims(), "aud", "https://evil.example")),
        jwt(&key, &header, &set(claims(), "exp", NOW - 60)),
        jwt(&key, &header, &without(claims(), "sub")),
    ];
    for token in hopeless {
        assert!(tokens.validate(&token, at(NOW)).is_err());
        assert_eq!(remote.requests(), 0, "{token}");
    }
    assert!(tokens.validate(&jwt(&key, &header, &claims()), at(NOW)).is_ok());
    assert_eq!(remote.requests(), 1);
    let sent = &remote.sent.lock().unwrap()[0];
    assert_eq!((sent.method(), sent.body().len()), (&http::Method::GET, 0));
    assert!(!sent.headers().contains_key("authorization") && !sent.headers().contains_key("dpop"));
}

/// A clock that is set back by an hour causes one fetch, and then everything goes on as before. A few
/// seconds cause none.
#[test]
fn a_clock_set_back_causes_one_fetch() {
    let (first, second, remote) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519), Remote::default());
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let ask = |key: &KeyPair, now: u64| {
        let claims = set(set(claims(), "exp", NOW + 10_000), "iat", NOW - 10_000);
        tokens.validate(&jwt(key, &json!({"typ": "at+jwt", "alg": "EdDSA"}), &claims), at(now)).is_ok()
    };
    remote.responds(200, "application/json", jwks(&[jwk(&first, "k1", &json!({}))]));
    assert!(ask(&first, NOW) && ask(&first, NOW - 5) && ask(&first, NOW - 59));
    assert_eq!(remote.requests(), 1);
    remote.responds(200, "application/json", jwks(&[jwk(&second, "k2", &json!({}))]));
    assert!(ask(&second, NOW - 3_600) && ask(&second, NOW - 3_600) && ask(&second, NOW - 2_800));
    assert_eq!(remote.requests(), 2);
    assert!(!ask(&first, NOW - 2_799));
}

/// While one thread fetches, a thread that already has a key, even an old one, does not wait. A thread that
/// needs the new keys waits and fetches nothing itself.
#[test]
fn threads_that_have_a_key_do_not_wait_for_a_fetch() {
    let (old, new, remote) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519), Remote::default());
    remote.responds(200, "application/json", jwks(&[jwk(&old, "old", &json!({}))]));
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let ask = |key: &KeyPair, kid: &str, now: u64| validate(&tokens, key, kid, now);
    assert_eq!(ask(&old, "old", NOW), Ok(()));
    let both = jwks(&[jwk(&old, "old", &json!({})), jwk(&new, "new", &json!({}))]);
    // Who fetches and when: once for keys that are old, once for an unknown `kid`.
    for (asked, kid, now) in [(&old, "old", NOW + 1_000), (&new, "unknown", NOW + 1_100)] {
        let both = both.clone();
        let gate = gate(&remote, move || Ok(http::Response::new(both.clone().into_bytes())));
        let (before, started) = (remote.requests(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let fetching = scope.spawn(|| ask(asked, kid, now));
            gate.wait();
            // These return although the gate is closed.
            let known: Vec<_> = (0..31).map(|_| scope.spawn(|| ask(&old, "old", now))).collect();
            assert!(known.into_iter().all(|thread| thread.join().unwrap() == Ok(())));
            assert!(!fetching.is_finished());
            let waiting: Vec<_> = (0..31)
                .map(|_| {
                    scope.spawn(|| {
                        started.fetch_add(1, Ordering::SeqCst);
                        ask(&new, "new", now)
                    })
                })
                .collect();
            while started.load(Ordering::SeqCst) < 31 {
                std::thread::yield_now();
            }
            gate.open();
            assert!(waiting.into_iter().all(|thread| thread.join().unwrap() == Ok(())));
            let expected = if kid == "old" { Ok(()) } else { Err(TokenError::UnknownKey) };
            assert_eq!(fetching.join().unwrap(), expected);
        });
        assert_eq!(remote.requests(), before + 1, "{kid}");
    }
}

/// An error and a panic in the HTTP client both end the wait of the other threads, each of which gets an
/// error. Later fetches work.
#[test]
fn a_failed_fetch_ends_the_wait_of_all_threads() {
    let key = key(Algorithm::Ed25519);
    let token = jwt(&key, &set(header(), "alg", "EdDSA"), &set(claims(), "exp", NOW + 999));
    for panics in [true, false] {
        let remote = Remote::default();
        let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
        let ask = |now| tokens.validate(&token, at(now)).map(drop);
        let gate = gate(&remote, move || match panics {
            true => panic!("in the HTTP client"),
            false => Err(Error::transport("connection refused")),
        });
        let started = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let fetching = scope.spawn(|| catch_unwind(AssertUnwindSafe(|| ask(NOW))));
            gate.wait();
            let waiting: Vec<_> = (0..31)
                .map(|_| {
                    scope.spawn(|| {
                        started.fetch_add(1, Ordering::SeqCst);
                        ask(NOW)
                    })
                })
                .collect();
            while started.load(Ordering::SeqCst) < 31 {
                std::thread::yield_now();
            }
            gate.open();
            for thread in waiting {
                assert!(matches!(thread.join().unwrap(), Err(TokenError::Unavailable(_))));
            }
            let outcome = fetching.join().unwrap();
            assert_eq!(outcome.is_err(), panics);
        });
        assert_eq!(remote.requests(), 1, "the threads that waited did not fetch");
        remote.responds(200, "application/json", jwks(&[jwk(&key, "k1", &json!({}))]));
        assert!(ask(NOW + 1).is_err());
        // The pause of 5 seconds counts from the end of the fetch, which took as long as the threads took
        // to start.
        assert_eq!(ask(NOW + 100), Ok(()));
    }
}
