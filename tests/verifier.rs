//! The verifier: races, clocks, nonces, replay, and what it answers. Threats V-05, V-14, V-29, V-35, V-36, V-38, V-39,
//! V-41, V-43, V-44, V-48, V-49, V-59, V-60. The tables of bad proofs stand in `test-vectors/`.
// What helpers of tests cannot do, the test fails on.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use possession::server::{
    InsertOutcome, MemoryReplayStore, Reason, ReceivedRequest, Rejection, ReplayKey, ReplayStore,
    ReplayStoreError, VerifiedProof, Verifier,
};
use possession::testing::FixedNonces;
use possession::{Algorithm, Challenge, ErrorKind, KeyPair, ServerRole, Signer, Thumbprint};
use serde_json::{Value, json};

/// RFC 8037 Appendix A.1. Ed25519 is the faster one where nothing is optimised.
const MINE: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
/// RFC 7517 Appendix A.2.
const ES256: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}"#;

/// RFC 9449 figures 13 and 14.
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const ATH: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";
const URL: &str = "https://server.example.com/token";
/// The verifier's clock, unless a test says otherwise. The defaults allow 60 s of age and 5 s ahead.
const NOW: u64 = 1_700_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn key(jwk: &str) -> KeyPair {
    KeyPair::from_jwk(jwk).unwrap()
}

fn mine() -> KeyPair {
    key(MINE)
}

fn jkt(key: &KeyPair) -> Thumbprint {
    key.to_public().thumbprint()
}

fn header_of(key: &KeyPair) -> Value {
    let jwk: Value = serde_json::from_str(key.to_public().to_jwk()).unwrap();
    json!({"typ": "dpop+jwt", "alg": key.algorithm().name(), "jwk": jwk})
}

/// Good for both endpoints at `NOW`.
fn claims(jti: &str) -> Value {
    json!({"jti": jti, "htm": "POST", "htu": URL, "iat": NOW, "ath": ATH, "nonce": "n1"})
}

fn set(mut object: Value, name: &str, value: impl Into<Value>) -> Value {
    object[name] = value.into();
    object
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name).unwrap();
    object
}

/// A compact JWS that says what a test wants, signed as it stands.
fn jws(key: &KeyPair, header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(header), encode(claims));
    format!("{signed}.{}", Base64UrlUnpadded::encode_string(&key.sign(signed.as_bytes()).unwrap()))
}

fn proof(claims: &Value) -> String {
    let key = mine();
    jws(&key, &header_of(&key), claims)
}

/// The signature of another message.
fn badly_signed(claims: &Value) -> String {
    let other = proof(&json!({}));
    let good = proof(claims);
    format!("{}.{}", good.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1)
}

fn received(proofs: &[String]) -> ReceivedRequest<'_> {
    ReceivedRequest::from_fields(&http::Method::POST, URL, proofs.iter().map(String::as_bytes).collect())
        .unwrap()
}

fn token_request(verifier: &Verifier, proof: &str, now: u64) -> Result<VerifiedProof, Reason> {
    let proofs = [proof.to_owned()];
    let seen = verifier.verify_token_request(&received(&proofs), at(now));
    seen.map_err(|rejection| rejection.reason().clone())
}

fn memory() -> Verifier {
    Verifier::new(MemoryReplayStore::new(100_000))
}

/// What a replay store was asked: key, end of acceptance, time of the request.
type Asked = (ReplayKey, SystemTime, SystemTime);

/// Keeps the contract of `ReplayStore` to the second: each entry is gone right after its end. And it tells what it was
/// asked.
#[derive(Default)]
struct Exact {
    entries: Mutex<HashMap<ReplayKey, SystemTime>>,
    asked: Mutex<Vec<Asked>>,
}

impl ReplayStore for Exact {
    fn insert_if_absent(
        &self,
        key: &ReplayKey,
        accepted_until: SystemTime,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError> {
        self.asked.lock().unwrap().push((*key, accepted_until, now));
        let mut entries = self.entries.lock().unwrap();
        entries.retain(|_, end| *end >= now);
        match entries.insert(*key, accepted_until) {
            None => Ok(InsertOutcome::Inserted),
            Some(_) => Ok(InsertOutcome::AlreadyPresent),
        }
    }
}

// --------------------------------------------------------------------------------------------------------------- replay

/// V-35: of 64 threads with one proof, one is let in.
#[test]
fn v35_one_of_many_threads() {
    let verifier = memory();
    for round in 0..2 {
        let proofs = [proof(&claims(&format!("race {round}")))];
        let start = Barrier::new(64);
        let race = || {
            start.wait();
            verifier.verify_token_request(&received(&proofs), at(NOW)).map(|_| ())
        };
        let seen: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..64).map(|_| scope.spawn(race)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(seen.iter().filter(|seen| seen.is_ok()).count(), 1);
        let replays = seen.iter().filter_map(|seen| seen.as_ref().err());
        assert!(replays.clone().all(|rejection| *rejection.reason() == Reason::Replayed));
    }
}

/// V-35: the same at the store alone, where the threads meet more closely.
#[test]
fn v35_insertion_is_one_step() {
    let exact = Arc::new(Exact::default());
    token_request(&Verifier::new(Arc::clone(&exact)), &proof(&claims("x")), NOW).unwrap();
    let (key, end, now) = exact.asked.lock().unwrap()[0];

    let stores: Vec<_> = std::iter::repeat_with(|| MemoryReplayStore::new(64)).take(3000).collect();
    let arrived = AtomicUsize::new(0);
    let race = || {
        let insert = |(round, store): (usize, &MemoryReplayStore)| {
            // Both wait for each other by turning round: waking a sleeper takes too long for them to meet.
            arrived.fetch_add(1, Ordering::SeqCst);
            while arrived.load(Ordering::SeqCst) < 2 * (round + 1) {
                std::hint::spin_loop();
            }
            store.insert_if_absent(&key, end, now) == Ok(InsertOutcome::Inserted)
        };
        stores.iter().enumerate().filter(|round| insert(*round)).count()
    };
    let inserted: usize = std::thread::scope(|scope| {
        let threads = [scope.spawn(race), scope.spawn(race)];
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(inserted, stores.len());
}

/// V-36: a proof is remembered through the last second in which it would be accepted, counted from its `iat`, and 10
/// seconds longer: on another node with the same store that second may come later.
#[test]
fn v36_remembered_to_the_end_of_acceptance() {
    // (iat, end of acceptance): ahead of the clock, now, and as old as may be
    for (iat, end) in [(json!(NOW + 5), NOW + 65), (json!(NOW), NOW + 60), (json!(NOW - 60), NOW)] {
        let exact = Arc::new(Exact::default());
        let verifier = Verifier::new(Arc::clone(&exact));
        let proof = proof(&set(claims("x"), "iat", iat.clone()));
        token_request(&verifier, &proof, NOW).unwrap();
        let asked = exact.asked.lock().unwrap().clone();
        assert_eq!(
            asked.iter().map(|(_, end, now)| (*end, *now)).collect::<Vec<_>>(),
            [(at(end + 10), at(NOW))]
        );

        for now in [NOW, (NOW + 59).min(end), (NOW + 60).min(end), (NOW + 61).min(end), end - 1, end] {
            if now >= NOW {
                assert_eq!(token_request(&verifier, &proof, now).unwrap_err(), Reason::Replayed, "{now}");
            }
        }
        let age = seconds(end + 1 - iat.as_u64().unwrap());
        let stale = Reason::Stale { age, allowed: seconds(60) };
        assert_eq!(token_request(&verifier, &proof, end + 1).unwrap_err(), stale);
    }
}

/// V-36, V-43: after so many proofs that the past was forgotten, what still counts is known, and a clock that was set back
/// does not let the past in again.
#[test]
fn v43_a_clock_set_back_reopens_nothing() {
    let verifier = memory();
    let made = |name: &str, iat: u64, n: usize| -> Vec<_> {
        (0..n).map(|i| proof(&set(claims(&format!("{name} {i}")), "iat", iat))).collect()
    };
    let (past, ahead, flood) =
        (made("past", NOW, 8), made("ahead", NOW + 5, 8), made("flood", NOW + 71, 200));
    for proof in past.iter().chain(&ahead) {
        token_request(&verifier, proof, NOW).unwrap();
    }
    for proof in &flood {
        token_request(&verifier, proof, NOW + 71).unwrap();
    }
    // The past ended at 60 + 10, the others count until 65 + 10.
    for proof in &ahead {
        assert_eq!(token_request(&verifier, proof, NOW + 65).unwrap_err(), Reason::Replayed);
    }
    let mut forgotten = 0;
    for proof in past.iter().chain(&ahead) {
        match token_request(&verifier, proof, NOW).unwrap_err() {
            Reason::Replayed => {}
            Reason::ReplayStore(ReplayStoreError::ClockSetBack) => forgotten += 1,
            other => panic!("{other}"),
        }
    }
    assert!(
        (1..=8).contains(&forgotten),
        "the flood was too small for the past to be forgotten: {forgotten}"
    );
}

/// V-38: the `jti` of one key is none of another's business, and one of its own is burned whatever else the proof says.
#[test]
fn v38_nobody_burns_anothers_jti() {
    let verifier = memory();
    let (mine, other, third) = (mine(), KeyPair::generate(Algorithm::Ed25519).unwrap(), key(ES256));
    for key in [&other, &third, &mine] {
        token_request(&verifier, &jws(key, &header_of(key), &claims("same")), NOW).unwrap();
    }
    for key in [&mine, &other, &third] {
        let again = jws(key, &header_of(key), &set(claims("same"), "iat", NOW - 1));
        assert_eq!(token_request(&verifier, &again, NOW).unwrap_err(), Reason::Replayed);
    }
    for jti in ["Same", "same ", "sam", " same", "same\0", "e\u{301}", "\u{e9}"] {
        assert!(token_request(&verifier, &proof(&claims(jti)), NOW).is_ok(), "{jti:?}");
    }
}

/// V-40, V-41: what cannot be told is refused, the reason is the store's own, and the peer hears a code.
#[test]
fn v41_a_failing_store_rejects() {
    struct Failing(ReplayStoreError);
    impl ReplayStore for Failing {
        fn insert_if_absent(
            &self,
            _: &ReplayKey,
            _: SystemTime,
            _: SystemTime,
        ) -> Result<InsertOutcome, ReplayStoreError> {
            Err(self.0.clone())
        }
    }
    let proofs = [proof(&claims("x"))];
    for (error, words) in [
        (ReplayStoreError::Full { capacity: 7 }, "full: 7"),
        (ReplayStoreError::ClockSetBack, "clock"),
        (ReplayStoreError::Failed("no route to cache-3".to_owned()), "no route to cache-3"),
    ] {
        let verifier = Verifier::new(Failing(error.clone()));
        for _ in 0..2 {
            let rejection = verifier.verify_token_request(&received(&proofs), at(NOW)).unwrap_err();
            assert_eq!(rejection.reason(), &Reason::ReplayStore(error.clone()));
            assert!(rejection.to_string().contains(words), "{rejection}");
            assert_response(&rejection, ServerRole::AuthorizationServer, None, ALGS);
        }
    }
    let none = Verifier::new(MemoryReplayStore::new(0));
    let full = Reason::ReplayStore(ReplayStoreError::Full { capacity: 0 });
    assert_eq!(token_request(&none, &proofs[0], NOW).unwrap_err(), full);
    assert!(token_request(&Verifier::new(MemoryReplayStore::new(usize::MAX)), &proofs[0], NOW).is_ok());
}

/// V-41: a store that panics lets nobody in, and takes nothing down with it but its own call.
#[test]
fn v41_a_panicking_store_lets_nobody_in() {
    #[derive(Default)]
    struct Panicking(Mutex<usize>);
    impl ReplayStore for Panicking {
        fn insert_if_absent(
            &self,
            _: &ReplayKey,
            _: SystemTime,
            _: SystemTime,
        ) -> Result<InsertOutcome, ReplayStoreError> {
            // As most stores with a lock are written: the first caller panics, the others find the lock poisoned.
            let mut calls =
                self.0.lock().map_err(|poisoned| ReplayStoreError::Failed(poisoned.to_string()))?;
            *calls += 1;
            panic!("the store's own mistake");
        }
    }
    let verifier = Verifier::new(Panicking::default());
    let proofs = [proof(&claims("x"))];
    let first =
        catch_unwind(AssertUnwindSafe(|| verifier.verify_token_request(&received(&proofs), at(NOW)).is_ok()));
    assert!(!matches!(first, Ok(true)));
    for proof in [&proofs[0], &proof(&claims("y"))] {
        let reason = token_request(&verifier, proof, NOW).unwrap_err();
        assert!(
            matches!(&reason, Reason::ReplayStore(ReplayStoreError::Failed(why)) if why.contains("poison"))
        );
    }
}

// -------------------------------------------------------------------------------------------------------------- reasons

enum At {
    Token,
    TokenOf,
    Resource,
}

impl At {
    fn part(&self) -> ServerRole {
        match self {
            At::Token | At::TokenOf => ServerRole::AuthorizationServer,
            At::Resource => ServerRole::ResourceServer,
        }
    }
}

/// V-39, V-60: every check that can fail, its reason with its facts, what the peer is told; and after each the `jti`
/// is still good, because nothing was asked of the store.
#[test]
fn v39_reasons_and_what_they_leave_alone() {
    use At::{Resource, Token, TokenOf};
    let me = mine();
    let other = KeyPair::generate(Algorithm::Ed25519).unwrap();
    let good = || claims("x");
    let header = || header_of(&me);
    let headed = |header: Value| jws(&me, &header, &good());
    let allowed = seconds(60);
    let (proof_error, nonce_error, token_error) = ("invalid_dpop_proof", "use_dpop_nonce", "invalid_token");
    let htu = |text: &str| text.parse().unwrap();
    let exactly = |reason: Reason| -> Box<dyn Fn(&Reason) -> bool> { Box::new(move |seen| *seen == reason) };
    let claim = |claim| exactly(Reason::Claim { claim });
    let malformed =
        || -> Box<dyn Fn(&Reason) -> bool> { Box::new(|seen| matches!(seen, Reason::Malformed(_))) };
    let jwk = |words: &'static str| -> Box<dyn Fn(&Reason) -> bool> {
        Box::new(move |seen| matches!(seen, Reason::Jwk { wrong } if wrong.contains(words)))
    };
    let binding = || exactly(Reason::Binding { expected: jkt(&me), seen: jkt(&other) });
    let by_other = jws(&other, &header_of(&other), &good());
    let by_other_badly_signed =
        format!("{}.{}", by_other.rsplit_once('.').unwrap().0, proof(&good()).rsplit_once('.').unwrap().1);

    type Row = (At, Vec<String>, Box<dyn Fn(&Reason) -> bool>, &'static str);
    let rows: Vec<Row> = vec![
        (Resource, vec![], exactly(Reason::NoProof), proof_error),
        (Token, vec![proof(&good()); 2], exactly(Reason::SeveralProofs { fields: 2 }), proof_error),
        (
            Token,
            vec![proof(&good()), String::new(), "x".to_owned()],
            exactly(Reason::SeveralProofs { fields: 3 }),
            proof_error,
        ),
        (Token, vec![String::new()], malformed(), proof_error),
        (Token, vec![format!("{}, {}", proof(&good()), proof(&good()))], malformed(), proof_error),
        (Token, vec![proof(&good()) + "="], malformed(), proof_error),
        (Token, vec!["a.".repeat(20_000)], malformed(), proof_error),
        (Token, vec![headed(set(header(), "typ", "JWT"))], exactly(Reason::Typ), proof_error),
        (Token, vec![headed(without(header(), "typ"))], exactly(Reason::Typ), proof_error),
        (
            Token,
            vec![headed(set(header(), "alg", "HS256"))],
            exactly(Reason::Algorithm { alg: "HS256".to_owned() }),
            proof_error,
        ),
        (
            Token,
            vec![headed(set(header(), "alg", "none"))],
            exactly(Reason::Algorithm { alg: "none".to_owned() }),
            proof_error,
        ),
        (
            Token,
            vec![headed(set(header(), "alg", "ES384"))],
            exactly(Reason::Algorithm { alg: "ES384".to_owned() }),
            proof_error,
        ),
        (Token, vec![headed(set(header(), "alg", "ES256"))], jwk("ES256"), proof_error),
        (Token, vec![headed(set(header(), "crit", json!(["exp"])))], malformed(), proof_error),
        (Token, vec![headed(without(header(), "jwk"))], jwk("none"), proof_error),
        (
            Token,
            vec![headed(set(header(), "jwk", set(header()["jwk"].clone(), "d", "")))],
            jwk("`d`"),
            proof_error,
        ),
        (
            Token,
            vec![headed(set(header(), "jwk", set(header()["jwk"].clone(), "use", "enc")))],
            jwk("`use`"),
            proof_error,
        ),
        (
            Token,
            vec![headed(set(header(), "jwk", set(header()["jwk"].clone(), "key_ops", json!(["encrypt"]))))],
            jwk("`key_ops`"),
            proof_error,
        ),
        (Token, vec![proof(&without(good(), "jti"))], claim("jti"), proof_error),
        (Token, vec![proof(&set(good(), "jti", ""))], claim("jti"), proof_error),
        (Token, vec![proof(&without(good(), "htm"))], claim("htm"), proof_error),
        (Token, vec![proof(&without(good(), "htu"))], claim("htu"), proof_error),
        (Token, vec![proof(&without(good(), "iat"))], claim("iat"), proof_error),
        (Token, vec![proof(&set(good(), "iat", NOW.to_string()))], claim("iat"), proof_error),
        (Token, vec![proof(&set(good(), "exp", "never"))], claim("exp"), proof_error),
        (Token, vec![proof(&set(good(), "nbf", Value::Null))], claim("nbf"), proof_error),
        (
            Token,
            vec![proof(&set(good(), "htm", "post"))],
            exactly(Reason::Htm { expected: "POST".to_owned(), seen: "post".to_owned() }),
            proof_error,
        ),
        (
            Resource,
            vec![proof(&set(good(), "htu", "https://Server.example.com:443/resource?x#y"))],
            exactly(Reason::Htu { expected: htu(URL), seen: htu("https://server.example.com/resource") }),
            proof_error,
        ),
        (
            Token,
            vec![proof(&set(good(), "htu", "/token"))],
            Box::new(|seen| matches!(seen, Reason::HtuMalformed(error) if *error.kind() == ErrorKind::Url)),
            proof_error,
        ),
        (
            Token,
            vec![proof(&set(good(), "iat", NOW - 61))],
            exactly(Reason::Stale { age: seconds(61), allowed }),
            proof_error,
        ),
        (
            Token,
            vec![proof(&set(good(), "iat", 0))],
            exactly(Reason::Stale { age: seconds(NOW), allowed }),
            proof_error,
        ),
        (
            Token,
            vec![proof(&set(good(), "iat", NOW + 6))],
            exactly(Reason::Future { ahead: seconds(6), allowed: seconds(5) }),
            proof_error,
        ),
        (
            Token,
            vec![proof(&set(good(), "iat", 1_700_000_037_000_u64))], // milliseconds
            claim_or_future(),
            proof_error,
        ),
        (Token, vec![proof(&set(good(), "exp", NOW))], exactly(Reason::Expired), proof_error),
        (Token, vec![proof(&set(good(), "nbf", NOW + 6))], exactly(Reason::NotYetValid), proof_error),
        (Resource, vec![proof(&without(good(), "ath"))], claim("ath"), proof_error),
        (Resource, vec![proof(&set(good(), "ath", ATH.to_uppercase()))], exactly(Reason::Ath), proof_error),
        (Resource, vec![by_other.clone()], binding(), token_error),
        // No access token is part of this request, so nothing is said of one.
        (TokenOf, vec![by_other], binding(), proof_error),
        // Which key a token is bound to is no secret to its holder, and to nobody else is it told.
        (Resource, vec![by_other_badly_signed], exactly(Reason::Signature), proof_error),
        (Token, vec![badly_signed(&good())], exactly(Reason::Signature), proof_error),
        (Resource, vec![badly_signed(&good())], exactly(Reason::Signature), proof_error),
        (Token, vec![proof(&without(good(), "nonce"))], exactly(Reason::NoNonce), nonce_error),
        (Resource, vec![proof(&set(good(), "nonce", "n3"))], exactly(Reason::Nonce), nonce_error),
    ];
    let exact = Arc::new(Exact::default());
    let verifier = Verifier::new(Arc::clone(&exact));
    let verifier = verifier.require_nonces(FixedNonces::new(["n0", "n1"]));
    let ask = |endpoint: &At, proofs: &[String]| {
        let request = received(proofs);
        match endpoint {
            Token => verifier.verify_token_request(&request, at(NOW)),
            TokenOf => verifier.verify_token_request_bound_to(&request, &jkt(&me), at(NOW)),
            Resource => verifier.verify_resource_request(&request, TOKEN, &jkt(&me), at(NOW)),
        }
    };
    for (row, (endpoint, proofs, is_it, error)) in rows.iter().enumerate() {
        let rejection = ask(endpoint, proofs).unwrap_err();
        assert!(is_it(rejection.reason()), "row {row}: {:?}", rejection.reason());
        assert_response(&rejection, endpoint.part(), Some(error), ALGS);
    }
    assert_eq!(exact.asked.lock().unwrap().len(), 0, "a jti was burned by a proof that was rejected");
    let verified = ask(&Resource, &[proof(&good())]).unwrap();
    assert_eq!((verified.jti(), verified.iat(), verified.thumbprint()), ("x", at(NOW), jkt(&me)));
    // At the other endpoint too it is the same proof.
    for endpoint in [Token, TokenOf, Resource] {
        let rejection = ask(&endpoint, &[proof(&good())]).unwrap_err();
        assert_eq!(rejection.reason(), &Reason::Replayed);
        assert_response(&rejection, endpoint.part(), Some(proof_error), ALGS);
    }
}

/// A time that nobody means may be called either.
fn claim_or_future() -> Box<dyn Fn(&Reason) -> bool> {
    Box::new(|seen| matches!(seen, Reason::Claim { claim: "iat" } | Reason::Future { .. }))
}

/// V-44, V-49: once nonces are given, nothing but one of them will do.
#[test]
fn v44_nonces() {
    let longer = "eyJ7S_zG.eyJH0-Z.HX4w-7v";
    let accepted = ["n1", longer];
    let ask = |claims: &Value, nonces: &[&str]| {
        let verifier = memory().require_nonces(FixedNonces::new(nonces.iter().copied()));
        token_request(&verifier, &proof(claims), NOW)
    };
    for nonce in accepted {
        assert!(ask(&set(claims("x"), "nonce", nonce), &accepted).is_ok());
    }
    let flipped: String = longer.chars().rev().collect();
    for nonce in
        ["n", "n11", "N1", " n1", "n1 ", "n2", "", &longer.to_uppercase(), &longer[..23], &flipped, "n1\0"]
    {
        let seen = ask(&set(claims("x"), "nonce", nonce), &accepted);
        assert_eq!(seen.unwrap_err(), Reason::Nonce, "{nonce:?}");
    }
    for nonce in [json!(null), json!(1), json!(["n1"]), json!({"n1": "n1"}), json!(true)] {
        let seen = ask(&set(claims("x"), "nonce", nonce.clone()), &accepted);
        assert!(matches!(seen.unwrap_err(), Reason::NoNonce | Reason::Nonce), "{nonce}");
    }
    assert_eq!(ask(&without(claims("x"), "nonce"), &accepted).unwrap_err(), Reason::NoNonce);
    assert_eq!(ask(&claims("x"), &[]).unwrap_err(), Reason::Nonce);
    assert_eq!(ask(&without(claims("x"), "nonce"), &[]).unwrap_err(), Reason::NoNonce);
    // A server that has no former nonce yet.
    for claims in [set(claims("x"), "nonce", ""), without(claims("x"), "nonce")] {
        assert!(ask(&claims, &["n1", ""]).is_err());
    }
    // RFC 9449 §4.3 check 10 is for servers that gave one.
    for claims in [claims("x"), without(claims("x"), "nonce"), set(claims("x"), "nonce", "any")] {
        assert!(token_request(&memory(), &proof(&claims), NOW).is_ok());
    }
}

/// V-48: whoever cannot sign learns nothing of nonces, and a forged nonce is answered as an expired one.
#[test]
fn v48_no_oracle() {
    let answers = |claims: Value, good: bool| {
        let proofs = [if good { proof(&claims) } else { badly_signed(&claims) }];
        let verifier = memory().require_nonces(FixedNonces::new(["n1"]));
        let answers = [
            verifier.verify_token_request(&received(&proofs), at(NOW)),
            verifier.verify_resource_request(&received(&proofs), TOKEN, &jkt(&mine()), at(NOW)),
        ];
        let rejections = answers.map(Result::unwrap_err);
        (rejections[0].error().unwrap(), format!("{:?}", rejections.map(|rejection| rejection.to_response())))
    };
    let of = |nonce: &str| set(claims("x"), "nonce", nonce);
    let unsigned: Vec<_> = [claims("x"), of("forged"), of(""), without(claims("x"), "nonce")]
        .map(|claims| answers(claims, false))
        .into();
    assert!(unsigned.iter().all(|answer| *answer == unsigned[0] && answer.0 == "invalid_dpop_proof"));
    let signed: Vec<_> =
        [of("forged"), of("expired"), of(""), without(claims("x"), "nonce")].map(|c| answers(c, true)).into();
    assert!(signed.iter().all(|answer| *answer == signed[0] && answer.0 == "use_dpop_nonce"));
}

// -------------------------------------------------------------------------------------------------------------- answers

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

const ALGS: &str = "ES256 EdDSA Ed25519";

/// V-59, V-60: RFC 6749 §5.2 and RFC 9449 §5, §8 for the token endpoint, RFC 9449 §7.1, §9 for the resource; the whole
/// of the answer, so that nothing else is told.
fn assert_response(rejection: &Rejection, part: ServerRole, error: Option<&str>, algs: &str) {
    // For the log: one line of ASCII, but for the sign with which the crate itself cites RFCs.
    let text = rejection.to_string();
    assert!(text.chars().all(|c| matches!(c, ' '..='~' | '§')), "{text:?}");

    // The server's own trouble is not put on the client's proof.
    let own = matches!(rejection.reason(), Reason::Clock(_) | Reason::ReplayStore(_));
    assert_eq!((rejection.is_server_fault(), rejection.error()), (own, error));
    let response = rejection.to_response();
    let Some(error) = error else {
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(names(response.headers()), ["cache-control"]);
        assert_eq!(response.body(), "");
        assert_common(&response, None);
        return;
    };
    // A nonce goes with the challenge for one.
    assert_eq!(rejection.nonce().is_some(), error == "use_dpop_nonce");
    let mut expected = vec!["cache-control"];
    expected.extend(rejection.nonce().map(|_| "dpop-nonce"));
    match part {
        ServerRole::AuthorizationServer => {
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
            expected.insert(1, "content-type");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
            assert_eq!(serde_json::from_str::<Value>(response.body()).unwrap(), json!({"error": error}));
        }
        ServerRole::ResourceServer => {
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            expected.push("www-authenticate");
            let challenges = Challenge::from_headers(response.headers()).unwrap();
            let [challenge] = challenges.as_slice() else { panic!("{challenges:?}") };
            assert_eq!((challenge.scheme(), challenge.token68()), ("dpop", None));
            let mut params = challenge.params().to_vec();
            params.sort();
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            assert_eq!(params, [pair("algs", algs), pair("error", error)]);
            assert_eq!(response.body(), "");
        }
    }
    assert_eq!(names(response.headers()), expected);
    assert_common(&response, rejection.nonce());
}

fn assert_common(response: &Response<String>, nonce: Option<&str>) {
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store"); // RFC 9449 §8.2
    let nonces: Vec<_> =
        response.headers().get_all("dpop-nonce").iter().map(|n| n.to_str().unwrap()).collect();
    assert_eq!(nonces, Vec::from_iter(nonce)); // RFC 9449 §8: one at most
}

/// V-59: whatever stands in a proof, the answer is one of the fixed ones, and the log gets one line of ASCII.
#[test]
fn v59_nothing_of_the_peers_text_is_answered() {
    let evil = [
        "\"quoted\"",
        "a\\\"b",
        "x\r\nSet-Cookie: a=b",
        "\r\n\r\n<html>",
        "\u{1b}[2J\0\u{7f}",
        "\u{e9}\u{202e}\u{1f600}",
        "a, Bearer error=\"invalid_token\"",
        &"A".repeat(10_000),
        &"\u{e9}\"\n".repeat(2_000),
    ];
    let me = mine();
    let mut rejected = 0;
    for text in evil {
        let (header, jwk) = (header_of(&me), header_of(&me)["jwk"].clone());
        let in_jwk = |name: &str| set(header.clone(), "jwk", set(jwk.clone(), name, text));
        let mut proofs =
            vec![text.to_owned(), jws(&me, &set(header.clone(), text, 1), &set(claims("x"), text, 1))];
        proofs.extend(
            ["typ", "alg", "jwk", "crit"]
                .map(|name| jws(&me, &set(header.clone(), name, text), &claims("x"))),
        );
        proofs.extend(
            ["kty", "crv", "x", "alg", "use", "key_ops"].map(|name| jws(&me, &in_jwk(name), &claims("x"))),
        );
        proofs.extend(
            ["jti", "htm", "htu", "iat", "exp", "nbf", "ath", "nonce"]
                .map(|name| jws(&me, &header, &set(claims("x"), name, text))),
        );
        proofs.push(jws(&me, &header, &set(claims("x"), "htu", format!("https://evil.example/{text}"))));
        proofs.push(badly_signed(&set(claims(text), text, text)));
        for proof in proofs {
            let proofs = [proof];
            // A field that the HTTP layer would not let through may come all the same.
            let verifier = memory().require_nonces(FixedNonces::new(["n1"]));
            let seen = [
                (ServerRole::AuthorizationServer, verifier.verify_token_request(&received(&proofs), at(NOW))),
                (
                    ServerRole::ResourceServer,
                    verifier.verify_resource_request(&received(&proofs), TOKEN, &jkt(&me), at(NOW)),
                ),
            ];
            for (part, seen) in seen {
                let Err(rejection) = seen else { continue };
                rejected += 1;
                assert_response(&rejection, part, rejection.error(), ALGS);
                assert!(["invalid_dpop_proof", "use_dpop_nonce"].contains(&rejection.error().unwrap()));
            }
        }
    }
    assert!(rejected > 9 * 2 * 18, "{rejected}");
}

/// V-59: a nonce that no header can carry, or that no client may send back, is left out.
#[test]
fn v59_a_nonce_of_the_servers_that_is_none() {
    for nonce in ["", "a b", "a\"b", "a\\b", "a\r\nX: y", "\u{e9}", &"n".repeat(2000)] {
        let verifier = memory().require_nonces(FixedNonces::new([nonce]));
        let proofs = [proof(&claims("x"))];
        let rejection = verifier.verify_token_request(&received(&proofs), at(NOW)).unwrap_err();
        assert_eq!(rejection.error(), Some("use_dpop_nonce"));
        assert_common(&rejection.to_response(), None);
    }
}

/// V-14: what a verifier is told to accept, and nothing else; and the challenge says so (RFC 9449 §7.1).
#[test]
fn v14_algorithms() {
    let (ed, es) = (Algorithm::Ed25519, Algorithm::Es256);
    let refused = |alg: &str| Some(Reason::Algorithm { alg: alg.to_owned() });
    let renamed = |key: &KeyPair, alg: &str| jws(key, &set(header_of(key), "alg", alg), &claims("x"));
    let (mine, ec) = (mine(), key(ES256));
    // (accepted, algs, then the outcome of ES256, EdDSA and Ed25519)
    type Row<'a> = (&'a [Algorithm], &'a str, [Option<Reason>; 3]);
    let rows: [Row; 5] = [
        (&[ed, es], "EdDSA Ed25519 ES256", [None, None, None]),
        (&[ed], "EdDSA Ed25519", [refused("ES256"), None, None]),
        (&[es], "ES256", [None, refused("EdDSA"), refused("Ed25519")]),
        (&[], "", [refused("ES256"), refused("EdDSA"), refused("Ed25519")]),
        (&[Algorithm::Es384, Algorithm::Rs256], "", [refused("ES256"), refused("EdDSA"), refused("Ed25519")]),
    ];
    for (algorithms, algs, expected) in rows {
        let proofs = [renamed(&ec, "ES256"), renamed(&mine, "EdDSA"), renamed(&mine, "Ed25519")];
        for (proof, reason) in proofs.iter().zip(expected) {
            let verifier = memory().algorithms(algorithms.iter().copied());
            let seen = verifier.verify_token_request(&received(std::slice::from_ref(proof)), at(NOW));
            match seen {
                Ok(_) => assert_eq!(reason, None, "{algorithms:?}"),
                Err(rejection) => {
                    assert_eq!(Some(rejection.reason()), reason.as_ref(), "{algorithms:?}");
                    if !algs.is_empty() {
                        assert_response(
                            &rejection,
                            ServerRole::AuthorizationServer,
                            Some("invalid_dpop_proof"),
                            algs,
                        );
                    }
                }
            }
        }
    }
}

/// V-14: what is never accepted is not offered.
#[test]
fn v14_algs_offers_what_is_accepted() {
    let verifier = memory().algorithms([Algorithm::Es384, Algorithm::Ed25519, Algorithm::Ps256]);
    let rejection = verifier.verify_token_request(&received(&[]), at(NOW)).unwrap_err();
    assert_response(&rejection, ServerRole::AuthorizationServer, Some("invalid_dpop_proof"), "EdDSA Ed25519");
}

// ------------------------------------------------------------------------------------------------------------- requests

/// V-05: all fields count, whatever the case of their name, and one with a comma is not two.
#[test]
fn v05_one_field() {
    let (one, other) = (proof(&claims("x")), proof(&claims("y")));
    let both = format!("{one}, {other}");
    type Fields<'a> = &'a [(&'static str, &'a str)];
    let cases: [(Fields, Option<usize>); 6] = [
        (&[], None),
        (&[("dpop", &one), ("DPoP", &other)], Some(2)),
        (&[("DPOP", &one), ("dpop", &one)], Some(2)),
        (&[("dpop", &one), ("dpop", "")], Some(2)),
        (&[("dpop", &one), ("dpop", &one), ("dpop", &one)], Some(3)),
        (&[("dpop", &both)], Some(1)),
    ];
    let ask = |fields: Fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let request = ReceivedRequest::new(&Method::POST, URL, &headers).unwrap();
        memory().verify_token_request(&request, at(NOW)).map_err(|r| r.reason().clone())
    };
    for (fields, count) in cases {
        let reason = ask(fields).unwrap_err();
        match count {
            None => assert_eq!(reason, Reason::NoProof),
            Some(1) => assert!(matches!(reason, Reason::Malformed(_)), "{reason}"),
            Some(fields) => assert_eq!(reason, Reason::SeveralProofs { fields }),
        }
    }
    assert!(ask(&[("DpOp", &one), ("dpop-nonce", "x"), ("x-dpop", &other)]).is_ok());

    let request = ReceivedRequest::from_fields(&http::Method::POST, URL, vec![b"\xff\xfe"]).unwrap();
    let seen = memory().verify_token_request(&request, at(NOW));
    assert_eq!(seen.unwrap_err().reason(), &Reason::NotAscii);
}

/// V-29: the origin is the server's own word; nothing that the sender wrote changes it.
#[test]
fn v29_the_origin_is_configured() {
    let lies = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-prefix", "/evil"),
        ("x-original-url", "/evil"),
        ("forwarded", "host=evil.example;proto=http"),
    ];
    let targets = [
        "/token",
        "/token?htu=https://evil.example/",
        "https://evil.example/token",
        "http://evil.example:8080/token",
    ];
    let ask = |origin: &str, target: &str, htu: &str| {
        let mut request = Request::post(target).header("dpop", proof(&set(claims("x"), "htu", htu)));
        for (name, value) in lies {
            request = request.header(name, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let request = ReceivedRequest::from_parts(origin, &parts).unwrap();
        memory().verify_token_request(&request, at(NOW)).map_err(|r| r.reason().clone())
    };
    for target in targets {
        for origin in
            ["https://server.example.com", "https://server.example.com/", "HTTPS://Server.Example.COM:443"]
        {
            assert!(ask(origin, target, URL).is_ok(), "{origin} {target}");
        }
        for htu in [
            "https://evil.example/token",
            "http://evil.example:8080/token",
            "http://server.example.com/token",
        ] {
            let expected = Reason::Htu { expected: URL.parse().unwrap(), seen: htu.parse().unwrap() };
            assert_eq!(ask("https://server.example.com", target, htu).unwrap_err(), expected);
        }
    }
    // The path is the one that was received.
    let seen = ask("https://server.example.com", "/other", URL).unwrap_err();
    let expected = "https://server.example.com/other".parse().unwrap();
    assert_eq!(seen, Reason::Htu { expected, seen: URL.parse().unwrap() });

    for (origin, target) in [
        ("server.example.com", "/token"),
        ("https://u:p@server.example.com", "/token"),
        ("", "/token"),
        ("https://", "/token"),
        ("https://server.example.com", "*"),
    ] {
        let (parts, ()) = Request::options(target).body(()).unwrap().into_parts();
        let error = ReceivedRequest::from_parts(origin, &parts).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Url, "{origin} {target}");
    }
}

// --------------------------------------------------------------------------------------------------------------- clocks

/// C-54 on this side: a clock that cannot be right rejects, and the reason says that it is the server's.
#[test]
fn clocks_that_cannot_be_right() {
    let proofs = [proof(&claims("x"))];
    let ask = |now| memory().verify_token_request(&received(&proofs), now).unwrap_err();
    for now in [UNIX_EPOCH - Duration::from_nanos(1), UNIX_EPOCH - seconds(1 << 40)] {
        let rejection = ask(now);
        assert!(matches!(rejection.reason(), Reason::Clock(error) if *error.kind() == ErrorKind::Clock));
        assert!(rejection.to_string().contains("1970"), "{rejection}");
        assert_response(&rejection, ServerRole::AuthorizationServer, None, ALGS);
    }
    let ahead = Reason::Future { ahead: seconds(NOW), allowed: seconds(5) };
    assert_eq!(ask(UNIX_EPOCH).reason(), &ahead);
    for late in [1 << 40, (1 << 63) - 1] {
        if let Some(now) = UNIX_EPOCH.checked_add(seconds(late)) {
            let stale = Reason::Stale { age: seconds(late - NOW), allowed: seconds(60) };
            assert_eq!(ask(now).reason(), &stale);
        }
    }
}

/// V-32: no setting of the window makes arithmetic wrap or panic, and each means what it says.
#[test]
fn v32_windows_without_end() {
    const LAST: u64 = 253_402_300_799; // the end of the year 9999
    let far = Duration::MAX;
    let none = Duration::ZERO;
    let stale = |age, allowed| Some(Reason::Stale { age: seconds(age), allowed });
    let future = |ahead, allowed| Some(Reason::Future { ahead: seconds(ahead), allowed });
    let rows = [
        (none, none, NOW, None),
        (none, none, NOW - 1, stale(1, none)),
        (none, none, NOW + 1, future(1, none)),
        (Duration::from_millis(1999), none, NOW - 2, stale(2, seconds(1))), // whole seconds, as documented
        (none, Duration::from_millis(1999), NOW + 2, future(2, seconds(1))),
        (none, far, NOW + 1, None),
        (none, far, LAST, None),
        (none, far, NOW - 1, stale(1, none)),
        (far, none, NOW, None),
        (far, none, 1, None),
        (far, none, 0, None),
        (far, none, NOW + 1, future(1, none)),
        (far, far, LAST, None),
        (seconds(u64::MAX - NOW), none, NOW, None),
        (seconds(i64::MAX.unsigned_abs()), none, NOW, None),
    ];
    let mut wrong = Vec::new();
    for (max_age, skew, iat, expected) in rows {
        let verifier = memory().max_age(max_age).leeway(skew);
        let proof = proof(&set(claims("x"), "iat", iat));
        let seen = token_request(&verifier, &proof, NOW).err();
        if seen != expected {
            wrong.push(format!(
                "max_age {max_age:?}, skew {skew:?}, iat {iat}: {seen:?} instead of {expected:?}"
            ));
        }
        // Whatever became of it, it is not let in again.
        assert!(token_request(&verifier, &proof, NOW).is_err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
