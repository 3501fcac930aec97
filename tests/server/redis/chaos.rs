//! Everything at once: two nodes with one Redis and one issuer, and 200 threads that call them and replay
//! what was accepted. Redis is restarted, paused and filled, the clocks of Redis and of a node are set, and
//! the issuer changes its keys and hangs. Whatever happens, no proof is accepted twice, every refusal says
//! what it is, and afterwards everything works again.
//!
//! It takes as long as `CHAOS_SECONDS` says and runs by itself:
//! `cargo test --all-features --test server chaos -- --ignored --nocapture`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use http::request::Parts;
use possession::server::{
    JwtValidator, Reason, RedisReplayStore, ReplayStoreError, ResourceServer, StatelessNonces, TokenError,
    Verifier,
};
use possession::{Clock, Error, HttpClient, KeyPair, Proof, RequestBody, Signer, SystemClock};
use serde_json::json;

use super::process::{Server, pool};
use crate::issuer::{AUDIENCE, ISSUER, jwk, jwks, jwt, server};

const THREADS: u64 = 200;
/// How long an event lasts, and the rest after it.
const STEP: Duration = Duration::from_millis(700);
/// The number of accepted proofs that are replayed, the newest ones.
const REPLAYED: usize = 4_000;
const URL: &str = "https://api.example/orders";

/// A clock that can be set, as an administrator or NTP does.
#[derive(Clone)]
struct NodeClock(SystemClock, Arc<AtomicI64>);

impl NodeClock {
    fn new() -> Self {
        Self(SystemClock::new(), Arc::default())
    }
}

impl Clock for NodeClock {
    fn now(&self) -> SystemTime {
        let ahead = self.1.load(Ordering::SeqCst);
        let difference = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 { self.0.now() - difference } else { self.0.now() + difference }
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        self.0.sleep(duration);
    }
}

/// The keys that the issuer has published, and whether it hangs.
#[derive(Clone)]
struct Issuer(Arc<(RwLock<(u64, KeyPair)>, AtomicBool)>);

impl Issuer {
    fn new() -> Self {
        Self(Arc::new((RwLock::new((0, super::my_key())), AtomicBool::new(false))))
    }

    fn change_key(&self) {
        let mut current = self.0.0.write().unwrap();
        *current = (current.0 + 1, super::my_key());
    }

    fn hang(&self, hangs: bool) {
        self.0.1.store(hangs, Ordering::SeqCst);
    }

    /// Returns a token for the holder of a key, and the number of the key that signed it.
    fn token(&self, holder: &KeyPair) -> (u64, String) {
        let current = self.0.0.read().unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "s", "client_id": "c", "jti": "j", "iat": now - 100,
            "exp": now + 3600, "cnf": {"jkt": holder.public_key().thumbprint().to_string()},
        });
        let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": format!("k{}", current.0)});
        (current.0, jwt(&current.1, &header, &claims))
    }

    fn key_number(&self) -> u64 {
        self.0.0.read().unwrap().0
    }
}

impl HttpClient for Issuer {
    fn send(&self, _: http::Request<RequestBody>) -> Result<http::Response<Vec<u8>>, Error> {
        while self.0.1.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
        let current = self.0.0.read().unwrap();
        let keys = jwks(&[jwk(&current.1, &format!("k{}", current.0), &json!({}))]);
        Ok(http::Response::builder()
            .header("content-type", "application/json")
            .body(keys.into_bytes())
            .unwrap())
    }
}

struct Node {
    api: ResourceServer,
    clock: NodeClock,
}

impl Node {
    fn new(redis: &Server, issuer: &Issuer) -> Self {
        let clock = NodeClock::new();
        let store = RedisReplayStore::new(pool(&redis.url(""), 8, Duration::from_millis(500)));
        let nonces = StatelessNonces::new(&Vec::from_iter(0..32)).unwrap();
        let verifier = Verifier::new(store.clock(clock.clone())).require_nonces(nonces);
        let tokens = JwtValidator::new(&server(), AUDIENCE, issuer.clone()).unwrap();
        Self { api: ResourceServer::new(AUDIENCE, verifier, tokens).unwrap(), clock }
    }
}

/// A request that can be sent again.
#[derive(Clone)]
struct Used {
    token: String,
    proof: String,
}

impl Used {
    fn parts(&self) -> Parts {
        let request = http::Request::get(URL).header("authorization", format!("DPoP {}", self.token));
        request.header("dpop", &self.proof).body(()).unwrap().into_parts().0
    }
}

/// What the threads have seen.
#[derive(Default)]
struct Seen {
    outcomes: Mutex<BTreeMap<String, u64>>,
    /// How often each proof was accepted.
    accepted: Mutex<HashMap<String, u32>>,
    replayed: Mutex<VecDeque<Used>>,
    longest: AtomicU64,
}

impl Seen {
    fn count(&self, outcome: &str) {
        *self.outcomes.lock().unwrap().entry(outcome.to_owned()).or_default() += 1;
    }
}

/// Sends a request. Returns `Ok` if it is accepted, and otherwise the next nonce. Panics on a refusal that
/// nothing here explains.
fn send(node: &Node, used: &Used, seen: &Seen, is_current: impl Fn() -> bool) -> Result<(), Option<String>> {
    let started = Instant::now();
    let outcome = node.api.authenticate(&used.parts(), node.clock.now());
    let took = u64::try_from(started.elapsed().as_millis()).unwrap();
    seen.longest.fetch_max(took, Ordering::Relaxed);
    let rejection = match outcome {
        Ok(_) => {
            *seen.accepted.lock().unwrap().entry(used.proof.clone()).or_default() += 1;
            return Ok(());
        }
        Err(rejection) => rejection,
    };
    let name = match rejection.reason() {
        Reason::NoNonce | Reason::Nonce | Reason::NonceOlderThanStore => "another nonce",
        // A node whose clock is set sees proofs of another time.
        Reason::Stale { .. } | Reason::Future { .. } => "the time of the proof",
        Reason::Replayed => "a replay",
        Reason::ReplayStore(ReplayStoreError::Forgotten { .. }) => "entries may be lost",
        Reason::ReplayStore(ReplayStoreError::Unavailable { .. }) => "the store is not asked",
        Reason::ReplayStore(ReplayStoreError::ClockSetBack) => "the clock was set back",
        Reason::ReplayStore(ReplayStoreError::Failed(_)) => "the store failed",
        Reason::Token(TokenError::Unavailable(_)) => "the keys are not available",
        Reason::Token(TokenError::NotYetValid { .. } | TokenError::IssuedInFuture { .. }) => {
            "the time of the token"
        }
        // The issuer has changed its keys since.
        Reason::Token(TokenError::UnknownKey) if !is_current() => "a key of before",
        reason => panic!("{reason:?}"),
    };
    seen.count(name);
    Err(rejection.nonce().map(str::to_owned))
}

/// A client that uses its own key.
struct Client<'a> {
    key: KeyPair,
    nodes: &'a [Node],
    issuer: &'a Issuer,
    seen: &'a Seen,
    random: u64,
    nonce: Option<String>,
    token: (u64, String),
}

impl<'a> Client<'a> {
    fn new(number: u64, nodes: &'a [Node], issuer: &'a Issuer, seen: &'a Seen) -> Self {
        let key = super::my_key();
        let token = issuer.token(&key);
        Self { key, nodes, issuer, seen, random: number, nonce: None, token }
    }

    /// Knuth's MMIX.
    fn random(&mut self, below: usize) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.random >> 33).unwrap() % below
    }

    /// Makes a call, or two with one proof at the same time or one after the other. Returns whether it was
    /// accepted.
    fn call(&mut self) -> bool {
        if self.token.0 != self.issuer.key_number() {
            self.token = self.issuer.token(&self.key);
        }
        let proof = Proof::new(&http::Method::GET, URL).unwrap().access_token(&self.token.1);
        let proof = match &self.nonce {
            Some(nonce) => proof.nonce(nonce),
            None => proof,
        };
        let proof = proof.sign(&self.key, SystemTime::now()).unwrap();
        let used = Used { token: self.token.1.clone(), proof };
        let (first, both) = (self.random(self.nodes.len()), self.random(4) == 0);
        let (number, issuer) = (self.token.0, self.issuer);
        let is_current = move || number == issuer.key_number();
        let outcome = match both {
            false => send(&self.nodes[first], &used, self.seen, is_current),
            true => thread::scope(|scope| {
                let other = &self.nodes[(first + 1) % self.nodes.len()];
                let other = scope.spawn(|| send(other, &used, self.seen, is_current));
                let outcome = send(&self.nodes[first], &used, self.seen, is_current);
                let other = other.join().unwrap();
                assert!(outcome.is_err() || other.is_err(), "a proof was accepted by both nodes");
                outcome.or(other)
            }),
        };
        match outcome {
            Ok(()) => {
                self.seen.count("accepted");
                let mut replayed = self.seen.replayed.lock().unwrap();
                replayed.push_back(used);
                if replayed.len() > REPLAYED {
                    replayed.pop_front();
                }
                true
            }
            Err(nonce) => {
                self.nonce = nonce.or_else(|| self.nonce.take());
                false
            }
        }
    }

    /// Sends a proof again that was accepted.
    fn replay(&mut self) {
        let used = {
            let replayed = self.seen.replayed.lock().unwrap();
            let count = replayed.len();
            if count == 0 {
                return;
            }
            replayed.get(self.random(count)).cloned()
        };
        let node = self.random(self.nodes.len());
        if let Some(used) = used {
            let outcome = send(&self.nodes[node], &used, self.seen, || false);
            assert!(outcome.is_err(), "a proof was accepted again");
        }
    }
}

/// One event after the other.
fn disturb(redis: &mut Server, nodes: &[Node], issuer: &Issuer, until: Instant) -> u64 {
    let mut events = 0;
    while Instant::now() < until {
        let node = &nodes[usize::try_from(events).unwrap() % nodes.len()];
        match events % 9 {
            0 => {
                redis.kill();
                thread::sleep(STEP);
                redis.start_again();
            }
            1 => {
                redis.ask::<()>("CLIENT PAUSE 700 WRITE");
            }
            2 => {
                redis.ask::<()>("CONFIG SET maxmemory 1mb");
                thread::sleep(STEP);
                redis.ask::<()>("CONFIG SET maxmemory 0");
            }
            3 => redis.set_clock(120),
            4 => redis.set_clock(-3600),
            5 => redis.set_clock(0),
            // A node fetches the keys a few times and then once a minute before they are due.
            6 if events % 18 == 6 => issuer.change_key(),
            7 if events % 18 == 7 => {
                issuer.hang(true);
                issuer.change_key();
                thread::sleep(STEP);
                issuer.hang(false);
            }
            6 | 7 => {}
            _ => {
                node.clock.1.store(if events % 2 == 0 { 300 } else { -300 }, Ordering::SeqCst);
                thread::sleep(STEP);
                node.clock.1.store(0, Ordering::SeqCst);
            }
        }
        events += 1;
        thread::sleep(STEP);
    }
    redis.set_clock(0);
    events
}

#[test]
#[ignore = "takes minutes: .ci/full runs it"]
fn whatever_happens_no_proof_is_accepted_twice() {
    let seconds = std::env::var("CHAOS_SECONDS").map_or(60, |seconds| seconds.parse().unwrap());
    let mut redis = Server::start_with_clock(&["--maxmemory-policy", "noeviction"]);
    let issuer = Issuer::new();
    let nodes = [Node::new(&redis, &issuer), Node::new(&redis, &issuer)];
    let (seen, stop) = (Seen::default(), AtomicBool::new(false));
    let (events, calm) = thread::scope(|scope| {
        for number in 0..THREADS {
            let (nodes, issuer, seen, stop) = (&nodes, &issuer, &seen, &stop);
            scope.spawn(move || {
                let mut client = Client::new(number, nodes, issuer, seen);
                while !stop.load(Ordering::SeqCst) {
                    // A thread that fails ends the run.
                    let step = std::panic::AssertUnwindSafe(|| {
                        if !client.call() {
                            thread::sleep(Duration::from_millis(10));
                        }
                        client.replay();
                    });
                    if let Err(panic) = std::panic::catch_unwind(step) {
                        stop.store(true, Ordering::SeqCst);
                        std::panic::resume_unwind(panic);
                    }
                }
            });
        }
        let events = disturb(&mut redis, &nodes, &issuer, Instant::now() + Duration::from_secs(seconds));
        // Afterwards a client gets through again, without a failure. Entries that may be lost concern proofs
        // of a minute at most.
        let (started, mut streak) = (Instant::now(), 0);
        let mut client = Client::new(THREADS, &nodes, &issuer, &seen);
        while streak < 100 && started.elapsed() < Duration::from_secs(120) && !stop.load(Ordering::SeqCst) {
            streak = if client.call() { streak + 1 } else { 0 };
        }
        stop.store(true, Ordering::SeqCst);
        assert_eq!(streak, 100, "everything works again");
        (events, started.elapsed())
    });
    let accepted = seen.accepted.lock().unwrap();
    let outcomes = seen.outcomes.lock().unwrap();
    println!("{events} events; {outcomes:#?}");
    println!("the longest call took {} ms; calm after {calm:?}", seen.longest.load(Ordering::Relaxed));
    assert!(accepted.values().all(|times| *times == 1));
    assert!(outcomes["a replay"] > 0 && outcomes["accepted"] > 1_000, "{outcomes:?}");
}
