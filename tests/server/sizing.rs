//! Simulations of the formula for the size of a replay store: no good proof is refused at the computed size,
//! whichever way clocks are wrong, and the formula does not ask for much more than is needed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use possession::server::*;
use possession::testing::{FixedNonces, ManualClock};
use possession::{Algorithm, Clock, KeyPair, Proof, Prover, ServerRole};

use crate::support::{NOW, URL, at, seconds};

/// Proofs per second, at all nodes together.
const RATE: u64 = 2;

/// Nodes that share a store, and their clients, which come in turn.
struct Simulation {
    clock: ManualClock,
    /// The clock of each node less the right time, in seconds.
    nodes: Vec<(Verifier, i64)>,
    clients: Vec<Client>,
    /// Whether each call comes from a new client, which has no nonce.
    new_clients: bool,
}

struct Client {
    prover: Prover,
    /// Its clock less the right time, in seconds.
    clock: i64,
}

impl Client {
    fn new(clock: i64) -> Self {
        Self { prover: Prover::new(KeyPair::generate(Algorithm::Ed25519).unwrap()).unwrap(), clock }
    }

    /// Calls once, and again if the node demands a nonce.
    fn call(&self, node: &Verifier, now: SystemTime, node_clock: i64) -> Result<(), Reason> {
        let proof = || {
            let proof = Proof::new(&http::Method::POST, URL).unwrap();
            self.prover.prove(ServerRole::AuthorizationServer, proof, shifted(now, self.clock)).unwrap()
        };
        let verify = |proof: &str| {
            let request =
                ReceivedRequest::from_fields(&http::Method::POST, URL, vec![proof.as_bytes()]).unwrap();
            node.verify_token_request(&request, shifted(now, node_clock))
        };
        let record = |nonce: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert("dpop-nonce", nonce.parse().unwrap());
            self.prover.record_nonce(ServerRole::AuthorizationServer, URL, &headers).unwrap();
        };
        let seen = match verify(&proof()) {
            Err(rejection) if rejection.nonce().is_some() => {
                record(rejection.nonce().unwrap());
                verify(&proof())
            }
            seen => seen,
        };
        let accepted = seen.map_err(|rejection| rejection.reason().clone())?;
        accepted.next_nonce().into_iter().for_each(record);
        Ok(())
    }
}

fn shifted(time: SystemTime, seconds: i64) -> SystemTime {
    let span = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time - span } else { time + span }
}

impl Simulation {
    /// Runs for two and a half retention times, and returns the share of calls that were refused because the
    /// store was full. No call may fail for another reason.
    fn refused(mut self) -> f64 {
        let calls = self.nodes[0].0.retention().as_secs() * 5 / 2 * RATE;
        let mut refused = 0;
        for n in 0..calls {
            let place = usize::try_from(n).unwrap() % self.clients.len();
            if self.new_clients {
                self.clients[place] = Client::new(self.clients[place].clock);
            }
            // Every client comes to every node, because the two numbers have no common divisor.
            let (node, clock) = &self.nodes[usize::try_from(n).unwrap() % self.nodes.len()];
            match self.clients[place].call(node, self.clock.now(), *clock) {
                Ok(()) => {}
                Err(Reason::ReplayStore(ReplayStoreError::Full { .. })) => refused += 1,
                Err(other) => panic!("{other}"),
            }
            self.clock.advance(Duration::from_millis(1_000 / RATE));
        }
        f64::from(refused) / calls as f64
    }
}

/// A store that several nodes share. As Redis does, it counts the lifetime of an entry from its arrival.
#[derive(Clone)]
struct Shared {
    clock: ManualClock,
    capacity: usize,
    ends: Arc<Mutex<HashMap<ReplayKey, SystemTime>>>,
}

impl ReplayStore for Shared {
    fn insert_if_absent(
        &self,
        proof: &ProofRecord,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError> {
        let arrived = self.clock.now();
        let mut ends = self.ends.lock().unwrap();
        ends.retain(|_, end| *end > arrived);
        if ends.len() == self.capacity {
            return Err(ReplayStoreError::Full { capacity: self.capacity });
        }
        // `accepted_until` is the last second, and the entry lives until its end.
        let lifetime = proof.accepted_until().duration_since(now).unwrap() + seconds(1);
        match ends.insert(*proof.key(), arrived + lifetime) {
            None => Ok(InsertOutcome::Inserted),
            Some(_) => Ok(InsertOutcome::AlreadyPresent),
        }
    }
}

/// Clients and nodes of one kind.
struct Scenario {
    what: &'static str,
    configure: fn(Verifier) -> Verifier,
    nodes: &'static [i64],
    clients: &'static [i64],
    new_clients: bool,
    /// So many percent of the computed capacity are not enough.
    too_little: usize,
}

/// 19 clients whose clocks are so much ahead of the right time, or behind. A proof is dated one second back.
const RIGHT: &[i64] = &[0; 19];
const AHEAD: &[i64] = &[11; 19];
const MIXED: &[i64] = &[11, 0, -30, 5, 1, 0, 0, 11, 8, -2, 0, 11, 0, -40, 11, 0, 3, 0, 11];
const WRONG: &[i64] = &[86_400, 0, -86_400, 3_600, 0, -7, 0, 11, 900, -900, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn nonces() -> StatelessNonces {
    StatelessNonces::new(&Vec::from_iter(0..32)).unwrap()
}

const SCENARIOS: [Scenario; 9] = [
    Scenario {
        what: "right clocks",
        configure: |v| v,
        nodes: &[0],
        clients: RIGHT,
        new_clients: false,
        too_little: 70,
    },
    Scenario {
        what: "clients ahead",
        configure: |v| v,
        nodes: &[0],
        clients: AHEAD,
        new_clients: false,
        too_little: 70,
    },
    Scenario {
        what: "mixed clients",
        configure: |v| v,
        nodes: &[0],
        clients: MIXED,
        new_clients: false,
        too_little: 70,
    },
    Scenario {
        what: "a short time window",
        configure: |v| v.max_age(seconds(5)).leeway(seconds(11)),
        nodes: &[0],
        clients: AHEAD,
        new_clients: false,
        too_little: 70,
    },
    Scenario {
        what: "nodes that differ",
        configure: |v| v,
        nodes: &[5, -5],
        clients: &[5; 19],
        new_clients: false,
        too_little: 70,
    },
    Scenario {
        what: "nonces that are required",
        configure: |v| v.require_nonces(nonces()),
        nodes: &[0],
        clients: AHEAD,
        new_clients: false,
        too_little: 70,
    },
    Scenario {
        what: "the time of nonces, new clients with any clock",
        configure: |v| v.require_nonces(nonces()).trust_nonce_time(),
        nodes: &[0],
        clients: WRONG,
        new_clients: true,
        too_little: 70,
    },
    Scenario {
        what: "the time of nonces, clients that stay, nodes that differ",
        configure: |v| v.require_nonces(nonces().lifetime(seconds(40))).trust_nonce_time(),
        nodes: &[5, -5],
        clients: WRONG,
        new_clients: false,
        too_little: 50,
    },
    Scenario {
        what: "the time of nonces where they are not required",
        configure: |v| v.offer_nonces(nonces().lifetime(seconds(20))).trust_nonce_time(),
        nodes: &[0],
        clients: AHEAD,
        new_clients: true,
        too_little: 70,
    },
];

impl Scenario {
    /// Returns the share of good proofs that are refused by a store of `percent` of the computed capacity.
    fn refused(&self, percent: usize) -> f64 {
        let clock = ManualClock::at(at(NOW));
        let configured = (self.configure)(Verifier::new(MemoryReplayStore::new(0)));
        let capacity = configured.capacity(RATE).unwrap() * percent / 100;
        let verifier = match self.nodes {
            [_] => configured.replay_store(MemoryReplayStore::new(capacity).clock(clock.clone())),
            _ => configured.replay_store(Shared { clock: clock.clone(), capacity, ends: Arc::default() }),
        };
        let nodes = self.nodes.iter().map(|clock| (verifier.clone(), *clock)).collect();
        let clients = self.clients.iter().map(|clock| Client::new(*clock)).collect();
        Simulation { clock, nodes, clients, new_clients: self.new_clients }.refused()
    }
}

#[test]
fn at_the_computed_capacity_no_good_proof_is_refused() {
    for scenario in &SCENARIOS {
        assert_eq!(scenario.refused(100), 0.0, "{}", scenario.what);
    }
}

/// With 70 % of it, good proofs are refused in each of these scenarios but the one whose clients use each
/// nonce for a while.
#[test]
fn much_less_than_the_computed_capacity_is_not_enough() {
    for scenario in &SCENARIOS {
        assert!(scenario.refused(scenario.too_little) > 0.0, "{}", scenario.what);
    }
}

#[test]
fn the_capacity_is_the_rate_times_the_retention_and_does_not_overflow() {
    let verifier = || Verifier::new(MemoryReplayStore::new(0));
    let ages = [
        (verifier(), 84),
        (verifier().max_age(seconds(300)), 324),
        (verifier().leeway(seconds(0)), 74),
        (verifier().require_nonces(nonces()), 84),
        (verifier().trust_nonce_time(), 84),
        (verifier().require_nonces(nonces()).trust_nonce_time(), 324),
        (verifier().require_nonces(nonces().lifetime(seconds(30))).trust_nonce_time(), 54),
        (verifier().offer_nonces(nonces().lifetime(seconds(30))).trust_nonce_time(), 84),
        (verifier().offer_nonces(nonces()).trust_nonce_time(), 324),
        // This source does not know when its nonces were made.
        (verifier().require_nonces(FixedNonces::new(["n"])).trust_nonce_time(), 84),
    ];
    for (verifier, retention) in ages {
        assert_eq!(verifier.retention(), seconds(retention), "{verifier:?}");
        assert_eq!(verifier.capacity(0), Some(0));
        assert_eq!(verifier.capacity(1_000), Some(1_000 * usize::try_from(retention).unwrap()));
        assert_eq!(verifier.capacity(u64::MAX), None);
    }
    let endless = verifier().max_age(Duration::MAX);
    assert_eq!((endless.retention(), endless.capacity(1)), (Duration::MAX, None));
}
