//! The replay store in Redis, with servers that these tests start on loopback. Threats V-35, V-36, V-38 and
//! V-40 to V-43.

mod chaos;
mod cluster;
mod losses;
mod outages;
mod process;
mod sentinel;
mod settings;
#[cfg(feature = "ureq")]
mod tls;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::server::{
    InsertOutcome, ProofRecord, Reason, ReceivedRequest, RedisReplayStore, ReplayStore, ReplayStoreError,
    Verifier,
};
use possession::{Algorithm, Clock, KeyPair, Proof, SystemClock, r2d2, redis};

use self::process::{Server, listener, pool, url_of};
use crate::support::{NOW, URL, at};

/// Long enough for a busy machine.
const PATIENT: Duration = Duration::from_secs(20);

/// For servers that do not respond.
const SHORT: Duration = Duration::from_millis(100);

type Outcome = Result<InsertOutcome, ReplayStoreError>;

/// The clock of the machine, but for the seconds that a test skips.
#[derive(Clone)]
struct SkippingClock(SystemClock, Arc<AtomicU64>);

impl SkippingClock {
    fn new() -> Self {
        Self(SystemClock::new(), Arc::default())
    }

    fn skip(&self, seconds: u64) {
        self.1.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for SkippingClock {
    fn now(&self) -> SystemTime {
        self.0.now() + Duration::from_secs(self.1.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed() + Duration::from_secs(self.1.load(Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration) {
        self.0.sleep(duration);
    }
}

fn my_key() -> KeyPair {
    KeyPair::generate(Algorithm::Ed25519).unwrap()
}

fn record(jti: &str, accepted_until: SystemTime) -> ProofRecord {
    let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().unwrap();
    ProofRecord::new(&jkt, jti, at(NOW - 20)..=accepted_until)
}

fn insert(store: &impl ReplayStore, jti: &str) -> Outcome {
    store.insert_if_absent(&record(jti, at(NOW + 60)), at(NOW))
}

/// Inserts a proof that nobody can have used earlier.
fn insert_new(store: &impl ReplayStore, jti: &str) -> Outcome {
    let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().unwrap();
    store.insert_if_absent(&ProofRecord::new(&jkt, jti, at(NOW + 1)..=at(NOW + 60)), at(NOW))
}

fn failed(outcome: Outcome) -> String {
    match outcome {
        Err(ReplayStoreError::Failed(wrong)) => wrong,
        other => panic!("not a failure: {other:?}"),
    }
}

fn proof(iat: u64) -> String {
    Proof::new(&http::Method::POST, URL).unwrap().sign(&my_key(), at(iat)).unwrap()
}

/// Presents the proof at the token endpoint.
fn verify(verifier: &Verifier, proof: &str, now: u64) -> Result<(), Reason> {
    let request = ReceivedRequest::from_fields(&http::Method::POST, URL, vec![proof.as_bytes()]).unwrap();
    verifier.verify_token_request(&request, at(now)).map(drop).map_err(|rejection| rejection.reason().clone())
}

/// V-35 and V-42: a proof that one node accepted is a replay at every other, whether the nodes share a
/// store or have one each.
#[test]
fn v_42_a_proof_is_accepted_once_by_all_nodes_together() {
    let server = Server::start(&[]);
    let shared = Arc::new(server.store());
    let nodes = [
        Verifier::new(Arc::clone(&shared)),
        Verifier::new(shared),
        Verifier::new(server.store()),
        Verifier::new(RedisReplayStore::connect(&server.url("")).unwrap()),
        Verifier::new(RedisReplayStore::connect(&(server.url("") + "/?protocol=resp3")).unwrap()),
    ];
    for first in &nodes {
        let proof = proof(NOW);
        assert_eq!(verify(first, &proof, NOW), Ok(()));
        for node in &nodes {
            assert_eq!(verify(node, &proof, NOW + 1), Err(Reason::Replayed));
        }
    }
}

#[test]
fn v_35_of_64_threads_with_the_same_proof_exactly_one_is_accepted() {
    let server = Server::start(&[]);
    let nodes = [Verifier::new(server.store()), Verifier::new(server.store())];
    for _ in 0..5 {
        let (proof, start) = (proof(NOW), Barrier::new(64));
        let outcomes: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..64)
                .map(|n| {
                    let (node, proof, start) = (&nodes[n % 2], &proof, &start);
                    scope.spawn(move || {
                        start.wait();
                        verify(node, proof, NOW)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(
            outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(Reason::Replayed))),
            "{outcomes:?}"
        );
    }
}

/// The lifetime runs to the last second in which the proof could be accepted, not for `max_age` from the
/// insertion. It is 3 seconds longer, so that small steps of the server's clock do no harm.
#[test]
fn v_36_an_entry_lives_until_its_proof_can_no_longer_be_accepted() {
    let server = Server::start(&[]);
    let name = |jti: &str| {
        format!("dpop:{}", Base64UrlUnpadded::encode_string(record(jti, at(NOW)).key().as_bytes()))
    };
    let lives = |name: &str, started: Instant, expected: i64| {
        let left: i64 = server.ask(&format!("PTTL {name}"));
        let passed = i64::try_from(started.elapsed().as_millis()).unwrap() + 1;
        assert!(
            left <= expected && left + passed >= expected,
            "{left} ms left of {expected}, {passed} passed"
        );
    };

    let store = server.store();
    let started = Instant::now();
    assert_eq!(insert(&store, "first"), Ok(InsertOutcome::Inserted));
    lives(&name("first"), started, 64_000);
    // A replay does not change it.
    let later = at(NOW + 30);
    assert_eq!(
        store.insert_if_absent(&record("first", at(NOW + 300)), later),
        Ok(InsertOutcome::AlreadyPresent)
    );
    lives(&name("first"), started, 64_000);
    let started = Instant::now();
    let later = at(NOW + 50) + Duration::from_millis(999);
    assert_eq!(store.insert_if_absent(&record("later", at(NOW + 60)), later), Ok(InsertOutcome::Inserted));
    lives(&name("later"), started, 13_001);
    // The last second counts to its end.
    let late = at(NOW + 60) + Duration::from_millis(999);
    assert_eq!(store.insert_if_absent(&record("late", at(NOW + 60)), late), Ok(InsertOutcome::Inserted));

    // A proof from 10 s ahead, which is accepted for 70 s, and 10 s longer at a node whose clock is behind.
    server.ask::<()>("FLUSHALL");
    let started = Instant::now();
    assert_eq!(verify(&Verifier::new(server.store()), &proof(NOW + 10), NOW), Ok(()));
    let [name]: [String; 1] = server.ask::<Vec<String>>("KEYS *").try_into().unwrap();
    assert!(name.len() == 48 && name.starts_with("dpop:"), "{name}");
    lives(&name, started, 84_000);
}

#[test]
fn impossible_times_are_errors_and_make_no_entry() {
    let server = Server::start(&[]);
    let store = server.store();
    let millennia = 10_000_000_000_000_000;
    for (accepted_until, now) in [
        (at(NOW), at(NOW + 1)),
        (at(NOW), at(NOW + 3600)),
        (at(NOW), UNIX_EPOCH - Duration::from_secs(1)),
        (UNIX_EPOCH - Duration::from_secs(2), UNIX_EPOCH - Duration::from_secs(2)),
        // More milliseconds than Redis takes, and than 64 bits hold.
        (at(millennia), at(NOW)),
        (at(100 * millennia), at(NOW)),
    ] {
        failed(store.insert_if_absent(&record("1", accepted_until), now));
    }
    let over = failed(store.insert_if_absent(&record("1", at(NOW)), at(NOW + 1)));
    assert_eq!(over, "the proof is too old to be remembered");
    assert_eq!(server.ask::<u64>("DBSIZE"), 0);
    assert_eq!(insert(&store, "1"), Ok(InsertOutcome::Inserted));
}

/// Such a node refuses what was too old for it before.
#[test]
fn v_43_a_node_whose_clock_was_set_back_refuses_old_proofs() {
    let server = Server::start(&[]);
    let clock = SkippingClock::new();
    let verifier = Verifier::new(server.store().clock(clock.clone()));
    let old = proof(NOW);
    assert_eq!(verify(&verifier, &old, NOW), Ok(()));
    clock.skip(3600);
    assert_eq!(verify(&verifier, &proof(NOW + 3600), NOW + 3600), Ok(()));
    // The entries are removed, as they are when they expire.
    server.ask::<()>("FLUSHALL");
    assert_eq!(verify(&verifier, &old, NOW), Err(Reason::ReplayStore(ReplayStoreError::ClockSetBack)));
    // A slow request is not a clock that was set back.
    assert_eq!(verify(&verifier, &proof(NOW + 3590), NOW + 3590), Ok(()));
}

/// Redis counts the lifetime of entries from their arrival, so none of them is lost.
#[test]
fn v_43_a_node_whose_clock_was_a_day_ahead_for_a_moment_goes_on() {
    let server = Server::start(&[]);
    let verifier = Verifier::new(server.store());
    let (early, day) = (proof(NOW), 86_400);
    assert_eq!(verify(&verifier, &early, NOW), Ok(()));
    let ahead = proof(NOW + day);
    assert_eq!(verify(&verifier, &ahead, NOW + day), Ok(()));
    assert_eq!(verify(&verifier, &early, NOW), Err(Reason::Replayed));
    assert_eq!(verify(&verifier, &proof(NOW), NOW), Ok(()));
}

/// Several endpoints may share a Redis server.
#[test]
fn v_38_stores_with_different_prefixes_are_separate() {
    let server = Server::start(&[]);
    let pool = pool(&server.url(""), 2, PATIENT);
    let [one, two, one_again] =
        ["one:", "two:", "one:"].map(|prefix| RedisReplayStore::new(pool.clone()).prefix(prefix));
    assert_eq!(insert(&one, "jti"), Ok(InsertOutcome::Inserted));
    assert_eq!(insert(&two, "jti"), Ok(InsertOutcome::Inserted));
    assert_eq!(insert(&one_again, "jti"), Ok(InsertOutcome::AlreadyPresent));
    assert_eq!(insert(&server.store(), "jti"), Ok(InsertOutcome::Inserted));
    let mut names = server.ask::<Vec<String>>("KEYS *");
    names.sort();
    let prefixes: Vec<_> = names.iter().map(|name| name.split_inclusive(':').next().unwrap()).collect();
    assert_eq!(prefixes, ["dpop:", "one:", "two:"]);
}

#[test]
fn the_connection_manager_of_the_redis_crate_works_as_well() {
    let server = Server::start(&[]);
    let client = redis::Client::open(server.url("")).unwrap();
    let store = RedisReplayStore::new(r2d2::Pool::builder().max_size(1).build(client).unwrap());
    assert_eq!(insert(&store, "jti"), Ok(InsertOutcome::Inserted));
    assert_eq!(insert(&store, "jti"), Ok(InsertOutcome::AlreadyPresent));
    assert_eq!(insert(&server.store(), "jti"), Ok(InsertOutcome::AlreadyPresent));
}

/// No command is sent twice either.
#[test]
fn v_41_every_reply_except_ok_and_nil_rejects_the_proof() {
    let replies = [
        "+QUEUED",
        "+",
        ":1",
        ":0",
        "$2\r\nOK",
        "*0",
        "*1\r\n+OK",
        "-ERR no",
        "-MOVED 1 127.0.0.1:1",
        "?",
        "",
    ];
    for reply in replies {
        let (wrong, sets) = rejected_with(reply, "*2\r\n$10\r\n1700000000\r\n$1\r\n7\r\n");
        assert_eq!(sets, 1, "{reply}: {wrong}");
    }
    // Without the time it is not known whether entries were lost.
    for time in ["+OK", ":1", "*0", "*1\r\n:1", "*2\r\n:1\r\n+a", "*2\r\n:-1\r\n:0", "-ERR no", "?", ""] {
        let (wrong, sets) = rejected_with("+OK", time);
        assert_eq!(sets, 1, "{time}: {wrong}");
    }
}

/// Rejects a proof because of the responses to `SET` and `TIME`. Returns the error, and how many entries the
/// store tried to make.
fn rejected_with(set: &'static str, time: &'static str) -> (String, usize) {
    let listener = listener();
    let store = RedisReplayStore::new(pool(&url_of(&listener), 1, PATIENT));
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        let info = "run_id:1\nrole:master\nmaxmemory_policy:noeviction";
        let info = format!("${}\r\n{info}\r\n", info.len());
        let both = format!("{set}\r\n{time}\r\n");
        let mut seen = String::new();
        // On connecting, the client sends the name and version of its library.
        for (last, responses) in
            [("LIB-VER", "+OK\r\n+OK\r\n"), ("\r\nINFO\r\n", &info), ("\r\nTIME\r\n", &both)]
        {
            let mut buffer = [0; 4096];
            while !seen.contains(last) {
                let n = stream.read(&mut buffer).unwrap();
                assert_ne!(n, 0, "closed after {seen}");
                seen.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
            }
            stream.write_all(responses.as_bytes()).unwrap();
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream.read_to_string(&mut seen).unwrap();
        seen.matches("\r\nSET\r\n").count()
    });
    let wrong = failed(insert(&store, "jti"));
    drop(store);
    (wrong, server.join().unwrap())
}

#[test]
fn v_40_a_full_server_rejects_and_evicts_nothing() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let store = server.store();
    assert_eq!(insert(&store, "early"), Ok(InsertOutcome::Inserted));
    let filling = "x".repeat(2_000_000);
    redis::cmd("SET").arg("filling").arg(filling).query::<()>(&mut server.connection("")).unwrap();
    server.ask::<()>("CONFIG SET maxmemory 1mb");
    assert_eq!(failed(insert(&store, "late")), "the server responded with the error OOM");
    assert_eq!(failed(insert(&store, "early")), "the server responded with the error OOM");
    server.ask::<()>("CONFIG SET maxmemory 0");
    assert_eq!(insert(&store, "early"), Ok(InsertOutcome::AlreadyPresent), "nothing was evicted");
    assert_eq!(insert(&store, "late"), Ok(InsertOutcome::Inserted), "an error made no entry");
}
