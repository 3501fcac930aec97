//! The issuer changes its keys, and an attacker wants good tokens to be refused meanwhile, or the issuer to
//! be asked without end. Anybody can write a token with a made-up `kid`, or without one, and with any
//! signature. Threat V-65.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use possession::server::*;
use possession::*;
use serde_json::json;

use crate::issuer::{AUDIENCE, Remote, claims, gate, jwk, jwks, jwt, key, server};
use crate::support::{NOW, at, mine, set};

/// The time that the issuer's keys have been fetched for; they are due for the next fetch 15 minutes later.
const START: u64 = NOW + 100;

fn token(key: &KeyPair, kid: Option<&str>) -> String {
    let header = json!({"typ": "at+jwt", "alg": "EdDSA"});
    let header = kid.map_or(header.clone(), |kid| set(header, "kid", kid));
    let jkt = mine().public_key().thumbprint().to_string();
    let claims = set(set(claims(), "iat", NOW - 99_999), "exp", NOW + 99_999);
    jwt(key, &header, &set(claims, "cnf", json!({"jkt": jkt})))
}

/// An issuer with one key, named `old`, which the validator has fetched, and an attacker with another one.
struct Scene {
    remote: Remote,
    tokens: JwtValidator,
    old: KeyPair,
    forger: KeyPair,
}

impl Scene {
    fn new() -> Self {
        let (remote, old) = (Remote::default(), key(Algorithm::Ed25519));
        let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
        let scene = Self { remote, tokens, old, forger: key(Algorithm::Ed25519) };
        scene.publish(&scene.old, "old");
        assert_eq!(scene.ask(&scene.old, Some("old"), NOW), Ok(()));
        scene
    }

    /// The issuer has this key and no other.
    fn publish(&self, key: &KeyPair, kid: &str) {
        self.remote.responds(200, "application/json", jwks(&[jwk(key, kid, &json!({}))]));
    }

    fn ask(&self, key: &KeyPair, kid: Option<&str>, now: u64) -> Result<(), TokenError> {
        self.tokens.validate(&token(key, kid), at(now)).map(drop)
    }

    /// Sends forged tokens until no more of them causes a fetch.
    fn use_up_fetches(&self, now: u64) -> usize {
        let before = self.remote.requests();
        for number in 0..20 {
            self.ask(&self.forger, Some(&format!("made up {number}")), now).unwrap_err();
        }
        self.remote.requests() - before
    }
}

fn retry_after(seen: Result<(), TokenError>) -> Duration {
    match seen {
        Err(TokenError::Unavailable(error)) => match error.kind() {
            ErrorKind::BackOff { retry_after } => *retry_after,
            _ => panic!("{error}"),
        },
        seen => panic!("{seen:?}"),
    }
}

/// Each of these once made good tokens fail for a minute, and those without `kid` for up to 15 minutes.
#[test]
fn v_65_a_forged_token_before_a_rotation_does_not_hold_it_up() {
    // How the attacker names his key, and how the issuer names the next one.
    let rows = [
        (Some("made up"), Some("new")),
        (None, Some("new")),
        (Some("old"), Some("new")),
        (Some("made up"), None),
        (None, None),
        // The next key has the name of the old one.
        (Some("made up"), Some("old")),
        (Some("old"), Some("old")),
    ];
    for (forged, kid) in rows {
        let (scene, new) = (Scene::new(), key(Algorithm::Ed25519));
        let expected = if forged == Some("made up") { TokenError::UnknownKey } else { TokenError::Signature };
        assert_eq!(scene.ask(&scene.forger, forged, START), Err(expected));
        assert_eq!(scene.remote.requests(), 2);
        scene.publish(&new, kid.unwrap_or("any"));
        assert_eq!(scene.ask(&new, kid, START + 1), Ok(()), "{forged:?} {kid:?}");
        assert_eq!(scene.remote.requests(), 3);
    }
}

/// Five fetches at once, and one a minute. Those that are due every 15 minutes are not counted.
#[test]
fn v_65_forged_tokens_cause_five_fetches_and_one_a_minute() {
    for kid in [Some("made up"), None, Some("old")] {
        let scene = Scene::new();
        let mut requests = Vec::new();
        for now in START..START + 600 {
            let kid =
                if kid == Some("made up") { Some(format!("made up {now}")) } else { kid.map(Into::into) };
            assert!(scene.ask(&scene.forger, kid.as_deref(), now).is_err());
            requests.push(scene.remote.requests() - 1);
        }
        assert_eq!((requests[0], requests[4], requests[59]), (1, 5, 5), "{kid:?}");
        assert_eq!((requests[60], requests[61], requests[599]), (6, 6, 14), "{kid:?}");
        // Good tokens were never affected.
        assert_eq!(scene.ask(&scene.old, Some("old"), START + 600), Ok(()));
        assert_eq!(scene.ask(&scene.old, None, START + 600), Ok(()));
    }
}

/// The attacker goes on all the time. A good token by a new key has to wait for a minute at most, is never
/// called invalid, and its client is told when to come again.
#[test]
fn v_65_while_a_fetch_is_withheld_a_token_by_a_new_key_is_not_called_invalid() {
    let (scene, new) = (Scene::new(), key(Algorithm::Ed25519));
    assert_eq!(scene.use_up_fetches(START), 5);
    scene.publish(&new, "new");
    let mut refused = 0;
    for now in START + 1.. {
        retry_after_or_unknown(&scene, now);
        let seen = scene.ask(&new, Some("new"), now);
        if seen.is_ok() {
            break;
        }
        assert_eq!(retry_after(seen), Duration::from_secs(60 - (now - START)));
        // What names a key that is known, or none, is not a reason for 503.
        assert_eq!(scene.ask(&scene.forger, Some("old"), now), Err(TokenError::Signature));
        assert_eq!(scene.ask(&scene.forger, None, now), Err(TokenError::Signature));
        assert_eq!(scene.ask(&scene.old, Some("old"), now), Ok(()));
        assert_eq!(scene.ask(&scene.old, None, now), Ok(()));
        refused += 1;
    }
    assert_eq!(refused, 59);

    fn retry_after_or_unknown(scene: &Scene, now: u64) {
        let seen = scene.ask(&scene.forger, Some(&format!("made up at {now}")), now);
        assert!(matches!(seen, Err(TokenError::UnknownKey | TokenError::Unavailable(_))), "{seen:?}");
    }
}

/// RFC 9110 §10.2.3.
#[test]
fn v_65_a_withheld_fetch_is_a_503_with_retry_after() {
    let (scene, new) = (Scene::new(), key(Algorithm::Ed25519));
    scene.use_up_fetches(START);
    let verifier = Verifier::new(MemoryReplayStore::new(10));
    let api = ResourceServer::new("https://api.example", verifier, scene.tokens.clone()).unwrap();
    let ask = |key: &KeyPair, kid: &str| {
        let token = token(key, Some(kid));
        let proof = Proof::new(&http::Method::GET, "https://api.example/a").unwrap().access_token(&token);
        let proof = proof.sign(&mine(), at(START + 18)).unwrap();
        let request = http::Request::get("/a").header("authorization", format!("DPoP {token}"));
        let (parts, ()) = request.header("dpop", proof).body(()).unwrap().into_parts();
        api.authenticate(&parts, at(START + 18)).map(drop).unwrap_err().to_response()
    };
    let response = ask(&new, "new");
    assert_eq!(response.status(), http::StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((response.headers()["retry-after"].to_str().unwrap(), response.body().as_str()), ("42", ""));
    let response = ask(&new, "old");
    assert_eq!(response.status(), http::StatusCode::UNAUTHORIZED);
    assert!(!response.headers().contains_key("retry-after"));
}

/// Fetches are possible again after a quiet time, however long it was, and five at most.
#[test]
fn v_65_fetches_are_allowed_again_after_a_while() {
    for (pause, expected) in [(59, 0), (60, 1), (179, 2), (300, 5), (800, 5)] {
        let scene = Scene::new();
        assert_eq!(scene.use_up_fetches(START), 5);
        assert_eq!(scene.use_up_fetches(START + pause), expected, "{pause}");
    }
}

/// Steps of the clock: one fetch more after a step back, because the age of the keys is not known then, and a
/// step ahead gives no more than a long pause.
#[test]
fn v_65_steps_of_the_clock_neither_block_fetches_nor_allow_more() {
    let scene = Scene::new();
    assert_eq!(scene.use_up_fetches(START), 5);
    // Threads read the clock in another order than they get here.
    for now in [START - 50, START, START - 1, START + 1, START - 30] {
        assert_eq!(scene.use_up_fetches(now), 0, "{now}");
    }
    assert_eq!(scene.use_up_fetches(START - 3_600), 1);
    assert_eq!(scene.use_up_fetches(START - 3_590), 0);
    assert_eq!(scene.use_up_fetches(START - 3_539), 1);
    assert_eq!(scene.use_up_fetches(START - 3_538), 0);
    // The day before.
    assert_eq!(scene.use_up_fetches(START - 86_400), 1);
    // The keys are due as well.
    assert_eq!(scene.use_up_fetches(START + 86_400), 6);
}

/// A rotation happens while a slow fetch is on its way that an attacker caused.
#[test]
fn v_65_a_fetch_that_began_before_a_token_came_does_not_decide_about_it() {
    for kid in [Some("new"), None, Some("old")] {
        let (scene, new) = (Scene::new(), key(Algorithm::Ed25519));
        let [before, after] = [(&scene.old, "old"), (&new, kid.unwrap_or("any"))]
            .map(|(key, kid)| jwks(&[jwk(key, kid, &json!({}))]));
        let (fetches, started) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let gate = gate(&scene.remote, move || {
            let first = fetches.fetch_add(1, Ordering::SeqCst) == 0;
            let keys = if first { before.clone() } else { after.clone() };
            let response = http::Response::builder().header("content-type", "application/json");
            Ok(response.body(keys.into_bytes()).unwrap())
        });
        std::thread::scope(|scope| {
            let forged = scope.spawn(|| scene.ask(&scene.forger, Some("made up"), START));
            gate.wait();
            let good: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        started.fetch_add(1, Ordering::SeqCst);
                        scene.ask(&new, kid, START)
                    })
                })
                .collect();
            while started.load(Ordering::SeqCst) < 8 {
                std::thread::yield_now();
            }
            gate.open();
            gate.wait();
            gate.open();
            assert_eq!(forged.join().unwrap(), Err(TokenError::UnknownKey));
            for good in good {
                assert_eq!(good.join().unwrap(), Ok(()), "{kid:?}");
            }
        });
        assert_eq!(scene.remote.requests(), 3, "the threads share the second fetch");
    }
}

/// Neither by its `kid` nor without one, neither for the first time nor again.
#[test]
fn v_65_a_fetch_for_an_unknown_key_delays_no_token_whose_key_is_known() {
    let scene = Scene::new();
    let gate = gate(&scene.remote, || Err(Error::timeout("too slow")));
    std::thread::scope(|scope| {
        let forged = scope.spawn(|| scene.ask(&scene.forger, Some("made up"), START));
        gate.wait();
        // These return although the gate is closed.
        for kid in [Some("old"), None, Some("old"), None] {
            assert_eq!(scene.ask(&scene.old, kid, START), Ok(()));
        }
        assert!(!forged.is_finished());
        gate.open();
        assert!(matches!(forged.join().unwrap(), Err(TokenError::Unavailable(_))));
    });
    assert_eq!(scene.remote.requests(), 2);
}

/// A token that was accepted before, and whose key is withdrawn. One fetch shows that it has not come back.
#[test]
fn v_65_a_remembered_token_of_a_withdrawn_key_costs_one_fetch() {
    let (scene, new) = (Scene::new(), key(Algorithm::Ed25519));
    scene.publish(&new, "new");
    assert_eq!(scene.ask(&new, Some("new"), START), Ok(()));
    assert_eq!(scene.remote.requests(), 2);
    assert_eq!(scene.ask(&scene.old, Some("old"), START + 1), Err(TokenError::UnknownKey));
    assert_eq!(scene.remote.requests(), 3);
}

/// All clients still have tokens by a key that the issuer withdrew. They must learn that they need new ones,
/// and 503 would tell them to try again.
#[test]
fn v_65_tokens_by_a_withdrawn_key_are_called_invalid_however_many_there_are() {
    let (scene, new) = (Scene::new(), key(Algorithm::Ed25519));
    scene.publish(&new, "new");
    assert_eq!(scene.ask(&new, Some("new"), START), Ok(()));
    for _ in 0..100 {
        assert_eq!(scene.ask(&scene.old, Some("old"), START + 1), Err(TokenError::UnknownKey));
    }
    // The attacker makes all further fetches.
    for minute in 1..15 {
        scene.use_up_fetches(START + minute * 60);
        assert_eq!(scene.ask(&scene.old, Some("old"), START + minute * 60), Err(TokenError::UnknownKey));
    }
    // The key comes back.
    scene.publish(&scene.old, "old");
    assert_eq!(scene.ask(&scene.old, Some("old"), START + 15 * 60), Ok(()));
}

/// QV-12, when the fetches that failed have used up all that are allowed.
#[test]
fn v_65_an_outage_is_not_blamed_on_the_token_while_a_fetch_is_withheld() {
    let (scene, new) = (Scene::new(), key(Algorithm::Ed25519));
    assert_eq!(scene.ask(&new, Some("new"), START), Err(TokenError::UnknownKey));
    scene.remote.responds_with(|| Err(Error::timeout("too slow")));
    for second in (6..60).step_by(6) {
        for kid in [Some("new"), None] {
            let seen = scene.ask(&new, kid, START + second);
            assert!(
                matches!(&seen, Err(TokenError::Unavailable(error)) if *error.kind() == ErrorKind::Timeout),
                "{seen:?}"
            );
        }
        assert_eq!(scene.ask(&new, Some("old"), START + second), Err(TokenError::Signature));
    }
    assert_eq!(scene.remote.requests(), 1 + 5);
}

/// With keys that are not fetched there is nothing to wait for.
#[test]
fn keys_that_are_not_fetched_are_never_withheld() {
    let (known, forger) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519));
    let keys = jwks(&[jwk(&known, "known", &json!({}))]);
    let tokens = JwtValidator::with_keys("https://as.example", AUDIENCE, &keys).unwrap();
    let ask = |kid| tokens.validate(&token(&forger, kid), at(NOW)).map(drop);
    for _ in 0..10 {
        assert_eq!(ask(Some("made up")), Err(TokenError::UnknownKey));
        assert_eq!([ask(Some("known")), ask(None)], [Err(TokenError::Signature), Err(TokenError::Signature)]);
    }
}
