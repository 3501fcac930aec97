//! Entries that Redis loses before their time: its clock is set, it is restarted, it evicts keys (threat
//! V-69). Entries that have ended when the clock of a node is set back (V-43).

use std::thread;
use std::time::{Duration, Instant};

use possession::server::{
    InsertOutcome, NonceSource, Reason, RedisReplayStore, ReplayStoreError, StatelessNonces, Verifier,
};
use possession::{Proof, ServerRole, r2d2, redis};

use super::process::{Server, pool};
use super::{Outcome, PATIENT, SkippingClock, insert, insert_new, my_key, proof, verify};
use crate::support::{NOW, URL, at};

fn is_forgotten<T>(outcome: &Result<T, Reason>) -> bool {
    matches!(outcome, Err(Reason::ReplayStore(ReplayStoreError::Forgotten { .. })))
}

/// Two nodes that have used the server, and the proofs that each accepted.
struct Nodes {
    clock: SkippingClock,
    verifiers: Vec<Verifier>,
    used: Vec<String>,
}

impl Nodes {
    fn of(server: &Server) -> Self {
        let clock = SkippingClock::new();
        let store = || RedisReplayStore::new(pool(&server.url(""), 2, PATIENT)).clock(clock.clone());
        let verifiers = vec![Verifier::new(store()), Verifier::new(store())];
        let mut nodes = Self { clock, verifiers, used: Vec::new() };
        nodes.use_proofs();
        nodes
    }

    fn use_proofs(&mut self) {
        for node in &self.verifiers {
            let proof = proof(NOW);
            assert_eq!(verify(node, &proof, NOW), Ok(()));
            self.used.push(proof);
        }
    }

    /// No node accepts a used proof again. New proofs are refused as well, until they are known to be new.
    fn assert_forgotten(&self) {
        for node in &self.verifiers {
            for used in &self.used {
                let outcome = verify(node, used, NOW);
                assert!(is_forgotten(&outcome) || outcome == Err(Reason::Replayed), "{outcome:?}");
            }
            assert!(is_forgotten(&verify(node, &proof(NOW), NOW)));
        }
        self.clock.skip(22);
        for node in &self.verifiers {
            assert_eq!(verify(node, &proof(NOW + 22), NOW + 22), Ok(()));
            assert_ne!(verify(node, &self.used[0], NOW + 22), Ok(()));
        }
    }
}

/// Its entries end by the server's clock, so they are gone.
#[test]
fn v_69_after_a_step_of_the_servers_clock_no_proof_is_accepted_twice() {
    let server = Server::start_with_clock(&[]);
    let mut nodes = Nodes::of(&server);
    // A step that entries outlive, and the clock is right again.
    for ahead in [1, 0] {
        server.set_clock(ahead);
        for (node, used) in nodes.verifiers.iter().zip(&nodes.used) {
            assert_eq!(verify(node, used, NOW), Err(Reason::Replayed));
        }
        nodes.use_proofs();
    }
    assert_eq!(server.ask::<u64>("DBSIZE"), 6);
    server.set_clock(120);
    nodes.assert_forgotten();
}

/// The entries that are made in the meantime end early.
#[test]
fn v_69_a_clock_that_was_set_back_loses_entries_when_it_is_right_again() {
    let server = Server::start_with_clock(&[]);
    let mut nodes = Nodes::of(&server);
    server.set_clock(-3600);
    nodes.use_proofs();
    for used in &nodes.used {
        assert_eq!(verify(&nodes.verifiers[0], used, NOW), Err(Reason::Replayed));
    }
    server.set_clock(0);
    nodes.assert_forgotten();
}

/// With persistence as well, because what was recorded in the last second may not have been saved.
#[test]
fn v_69_after_a_restart_of_the_server_no_proof_is_accepted_twice() {
    for (options, kept) in [(&[][..], 0), (&["--appendonly", "yes", "--appendfsync", "always"], 2)] {
        let mut server = Server::start(options);
        let nodes = Nodes::of(&server);
        server.kill();
        server.start_again();
        assert_eq!(server.ask::<u64>("DBSIZE"), kept);
        // What a connection that broke costs.
        for node in &nodes.verifiers {
            let _ = verify(node, &proof(NOW), NOW);
        }
        nodes.assert_forgotten();
    }
}

/// A node that has not seen the server before knows when the server was started, and treats that as it
/// would its own start.
#[test]
fn v_69_a_node_that_is_started_after_the_server_knows_what_it_cannot_know() {
    let mut server = Server::start(&[]);
    let nonces = || StatelessNonces::new(&Vec::from_iter(0..32)).unwrap();
    let nonce = |made| nonces().make(ServerRole::AuthorizationServer, None, at(made)).unwrap();
    let with_nonce = |made| {
        let proof = Proof::new(&http::Method::POST, URL).unwrap().nonce(nonce(made));
        proof.sign(&my_key(), at(NOW)).unwrap()
    };
    let (used, used_with_nonce) = (proof(NOW), with_nonce(NOW - 9));
    let before = || Verifier::new(server.store());
    assert_eq!(verify(&before(), &used, NOW), Ok(()));
    assert_eq!(verify(&before().require_nonces(nonces()), &used_with_nonce, NOW), Ok(()));
    server.kill();
    server.start_again();

    let after = || Verifier::new(server.store().check().unwrap());
    assert!(is_forgotten(&verify(&after().refuse_proofs_from_before_start(), &used, NOW)));
    let after = after().require_nonces(nonces());
    assert_eq!(verify(&after, &used_with_nonce, NOW), Err(Reason::NonceOlderThanStore));
    assert_eq!(verify(&after, &with_nonce(NOW), NOW), Ok(()));
}

/// Stores that share a pool each find out, and so does one whose pool is not of this crate's connections.
#[test]
fn v_69_every_store_finds_out_about_a_restart() {
    let mut server = Server::start(&[]);
    let shared = pool(&server.url(""), 1, PATIENT);
    let [one, two] = ["one:", "two:"].map(|prefix| RedisReplayStore::new(shared.clone()).prefix(prefix));
    let other = r2d2::Pool::builder().max_size(1).error_handler(Box::new(r2d2::NopErrorHandler));
    let other = RedisReplayStore::new(other.build(redis::Client::open(server.url("")).unwrap()).unwrap());
    let insert_into: [&dyn Fn(&str) -> Outcome; 3] =
        [&|jti| insert(&one, jti), &|jti| insert(&two, jti), &|jti| insert(&other, jti)];
    for insert in insert_into {
        assert_eq!(insert("used"), Ok(InsertOutcome::Inserted));
    }
    server.kill();
    server.start_again();
    for insert in insert_into {
        // The first may be what the broken connection costs.
        let outcomes = ["used", "used", "new"].map(insert);
        assert!(!outcomes.contains(&Ok(InsertOutcome::Inserted)), "{outcomes:?}");
        let forgotten = |outcome| matches!(outcome, &Err(ReplayStoreError::Forgotten { .. }));
        assert!(forgotten(&outcomes[2]), "{outcomes:?}");
    }
    for store in [&one, &two] {
        assert_eq!(insert_new(store, "made after the restart"), Ok(InsertOutcome::Inserted));
    }
}

/// The option permits the policy, and does not make the store overlook what it does.
#[test]
fn v_69_evicted_entries_are_noticed_within_a_second_or_so() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-random"]);
    let store = server.store().dangerous_any_eviction_policy();
    assert_eq!(insert(&store, "used"), Ok(InsertOutcome::Inserted));
    let filling = "x".repeat(2_000_000);
    redis::cmd("SET").arg("filling").arg(filling).query::<()>(&mut server.connection("")).unwrap();
    server.ask::<()>("CONFIG SET maxmemory 1mb");
    let started = Instant::now();
    let mut outcomes = (0..).map(|n| insert(&store, &n.to_string()));
    let noticed = outcomes.find(|outcome| {
        thread::sleep(Duration::from_millis(5));
        matches!(outcome, Err(ReplayStoreError::Forgotten { .. })) || started.elapsed() > PATIENT
    });
    assert!(matches!(noticed, Some(Err(ReplayStoreError::Forgotten { .. }))), "{noticed:?}");
}

/// A node whose clock is set back accepts no proof that another node has accepted before, and whose entry has
/// ended.
#[test]
fn v_43_a_node_whose_clock_was_set_back_refuses_what_others_have_accepted() {
    let server = Server::start_with_clock(&[]);
    let Nodes { clock, verifiers, .. } = Nodes::of(&server);
    let [node, other] = &verifiers[..] else { panic!("two nodes") };
    let old = proof(NOW);
    assert_eq!(verify(other, &old, NOW), Ok(()));
    clock.skip(200);
    server.set_clock(200);
    assert_eq!(verify(other, &proof(NOW + 200), NOW + 200), Ok(()));
    // The first request after the step, and further ones.
    for ago in [150, 149, 141] {
        let set_back = Err(Reason::ReplayStore(ReplayStoreError::ClockSetBack));
        assert_eq!(verify(node, &old, NOW + 200 - ago), set_back);
        assert_eq!(verify(node, &proof(NOW + 200 - ago), NOW + 200 - ago), set_back);
    }
    // The other node does not mind, and this one neither when its clock is right again.
    assert_eq!(verify(other, &proof(NOW + 201), NOW + 201), Ok(()));
    assert_eq!(verify(node, &proof(NOW + 201), NOW + 201), Ok(()));
}

/// What nobody can notice: the process still knows its own proofs.
#[test]
fn v_69_after_a_flush_a_node_still_knows_the_proofs_that_it_has_accepted() {
    let server = Server::start(&[]);
    let nodes = Nodes::of(&server);
    server.ask::<()>("FLUSHALL");
    for (place, used) in nodes.used.iter().enumerate() {
        assert_eq!(verify(&nodes.verifiers[place], used, NOW), Err(Reason::Replayed));
    }
    let unguarded = Verifier::new(server.store().guarded_proofs(0));
    let proof = proof(NOW);
    assert_eq!(verify(&unguarded, &proof, NOW), Ok(()));
    server.ask::<()>("FLUSHALL");
    assert_eq!(verify(&unguarded, &proof, NOW), Ok(()));
}
