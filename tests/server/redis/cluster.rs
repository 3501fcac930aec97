//! A cluster: entries are spread over its nodes, slots move, a replica takes over, a clock is set.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::server::{InsertOutcome, RedisManager, RedisReplayStore, ReplayStoreError};
use possession::{ErrorKind, r2d2, redis};
use redis::cluster::{ClusterClient, ClusterClientBuilder};

use super::process::{Server, redis_cli};
use super::{Outcome, PATIENT, insert, insert_new, record};
use crate::support::{NOW, at};

type Store = RedisReplayStore<RedisManager<ClusterClient>>;

struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    /// Starts a cluster of three primaries and as many replicas for each as asked for.
    fn start(replicas: usize, with_clock: bool) -> Self {
        let options =
            ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-port", "{other port}"];
        let start = |_| if with_clock { Server::start_with_clock(&options) } else { Server::start(&options) };
        let nodes: Vec<_> = (0..3 + 3 * replicas).map(start).collect();
        let addresses: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let mut arguments = vec!["--cluster", "create"];
        arguments.extend(addresses.iter().map(String::as_str));
        let replicas = replicas.to_string();
        arguments.extend(["--cluster-replicas", &replicas, "--cluster-yes"]);
        redis_cli(&arguments);
        let cluster = Self { nodes };
        cluster.wait_until_complete();
        cluster
    }

    fn wait_until_complete(&self) {
        for node in &self.nodes {
            node.wait_until("CLUSTER INFO", |info: &String| info.contains("cluster_state:ok"));
            node.wait_until("INFO replication", |info: &String| {
                info.contains("role:master") || info.contains("master_link_status:up")
            });
        }
    }

    /// A store as in the guide.
    fn store(&self) -> Store {
        let client = ClusterClientBuilder::new(self.nodes.iter().map(|node| node.url("")))
            .connection_timeout(Duration::from_secs(2))
            .response_timeout(Duration::from_secs(2))
            .retries(3)
            .build();
        let pool = r2d2::Pool::builder()
            .max_size(4)
            .connection_timeout(Duration::from_secs(2))
            .error_handler(Box::new(r2d2::NopErrorHandler));
        RedisReplayStore::new(pool.build_unchecked(RedisManager::wrap(client.unwrap())))
    }

    /// The slot of a key, and the place of the primary that has it.
    fn place_of(&self, key: &str) -> (u64, usize) {
        let slot: u64 = self.nodes[0].ask(&format!("CLUSTER KEYSLOT {key}"));
        // From, to, the primary and any replicas.
        let ranges: Vec<Vec<redis::Value>> = self.nodes[0].ask("CLUSTER SLOTS");
        let number = |value: &redis::Value| redis::from_redis_value_ref::<u64>(value).unwrap();
        let has_slot = |range: &&Vec<redis::Value>| (number(&range[0])..=number(&range[1])).contains(&slot);
        let primary = &ranges.iter().find(has_slot).unwrap()[2];
        let primary: Vec<redis::Value> = redis::from_redis_value_ref(primary).unwrap();
        let place = self.nodes.iter().position(|node| u64::from(node.port) == number(&primary[1]));
        (slot, place.unwrap())
    }
}

fn name(jti: &str) -> String {
    format!("dpop:{}", Base64UrlUnpadded::encode_string(record(jti, at(NOW)).key().as_bytes()))
}

fn jtis(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

#[test]
fn v_42_a_cluster_accepts_each_proof_once_and_spreads_the_entries() {
    let cluster = Cluster::start(0, false);
    let nodes = [cluster.store().check().unwrap(), cluster.store()];
    for jti in jtis(60) {
        assert_eq!(insert(&nodes[0], &jti), Ok(InsertOutcome::Inserted));
        for node in &nodes {
            assert_eq!(insert(node, &jti), Ok(InsertOutcome::AlreadyPresent));
        }
    }
    let sizes: Vec<u64> = cluster.nodes.iter().map(|node| node.ask("DBSIZE")).collect();
    assert_eq!(sizes.iter().sum::<u64>(), 60);
    assert!(sizes.iter().all(|size| *size > 5), "{sizes:?}");

    let start = Barrier::new(32);
    let outcomes: Vec<_> = thread::scope(|scope| {
        let threads = (0..32).map(|n| {
            let (store, start) = (&nodes[n % 2], &start);
            scope.spawn(move || {
                start.wait();
                insert(store, "contested")
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let count = |expected: &Outcome| outcomes.iter().filter(|outcome| *outcome == expected).count();
    assert_eq!(count(&Ok(InsertOutcome::Inserted)), 1, "{outcomes:?}");
    assert_eq!(count(&Ok(InsertOutcome::AlreadyPresent)), 31, "{outcomes:?}");
}

#[test]
fn v_40_a_node_of_a_cluster_that_evicts_is_found() {
    let cluster = Cluster::start(0, false);
    cluster.nodes[1].ask::<()>("CONFIG SET maxmemory-policy volatile-lru");
    let error = cluster.store().check().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Configuration);
    assert!(error.to_string().contains("is `volatile-lru`"), "{error}");
}

/// An error response of a node is not a lack of a response.
#[test]
fn v_40_a_full_node_of_a_cluster_rejects() {
    let cluster = Cluster::start(0, false);
    let store = cluster.store();
    let (_, place) = cluster.place_of(&name("late"));
    cluster.nodes[place].ask::<()>("CONFIG SET maxmemory 1");
    let full = ReplayStoreError::Failed("the server responded with the error OOM".to_owned());
    for _ in 0..3 {
        assert_eq!(insert(&store, "late"), Err(full.clone()));
    }
}

/// While a slot moves to another node, and afterwards, when the connections do not know of it yet.
#[test]
fn a_slot_that_moves_to_another_node_costs_no_proof() {
    let cluster = Cluster::start(0, false);
    let store = cluster.store();
    assert_eq!(insert(&store, "before"), Ok(InsertOutcome::Inserted));
    let (slot, from) = cluster.place_of(&name("moved"));
    let to = (from + 1) % 3;
    let [from_id, to_id]: [String; 2] = [from, to].map(|place| cluster.nodes[place].ask("CLUSTER MYID"));
    cluster.nodes[to].ask::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
    cluster.nodes[from].ask::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
    assert_eq!(insert(&store, "moved"), Ok(InsertOutcome::Inserted));
    assert_eq!(cluster.nodes[to].ask::<u64>(&format!("CLUSTER COUNTKEYSINSLOT {slot}")), 1);
    assert_eq!(insert(&store, "moved"), Ok(InsertOutcome::AlreadyPresent));
    for place in [to, from, 3 - to - from] {
        cluster.nodes[place].ask::<()>(&format!("CLUSTER SETSLOT {slot} NODE {to_id}"));
    }
    assert_eq!(insert(&store, "moved"), Ok(InsertOutcome::AlreadyPresent));
    assert_eq!(insert(&store, "before"), Ok(InsertOutcome::AlreadyPresent));
    assert_eq!(insert(&cluster.store(), "moved"), Ok(InsertOutcome::AlreadyPresent));
}

#[test]
fn v_69_after_a_restart_of_a_node_of_a_cluster_no_proof_is_accepted_twice() {
    let mut cluster = Cluster::start(0, false);
    let store = cluster.store().prefix("{one}:");
    assert_eq!(insert(&store, "used"), Ok(InsertOutcome::Inserted));
    let (_, place) = cluster.place_of("{one}");
    cluster.nodes[place].kill();
    // It has its part of the cluster again, and no entries.
    cluster.nodes[place].start_again();
    cluster.wait_until_complete();
    let outcomes = ["used", "used", "another"].map(|jti| insert(&store, jti));
    assert!(!outcomes.contains(&Ok(InsertOutcome::Inserted)), "{outcomes:?}");
    assert!(matches!(outcomes[2], Err(ReplayStoreError::Forgotten { .. })), "{outcomes:?}");
    assert_eq!(insert_new(&store, "new"), Ok(InsertOutcome::Inserted));
}

/// The replica may not have all entries of the primary that it replaces.
#[test]
fn v_69_after_a_failover_in_a_cluster_no_proof_is_accepted_twice() {
    let mut cluster = Cluster::start(1, false);
    // Braces put all entries on one node.
    let store = cluster.store().prefix("{one}:");
    for jti in jtis(20) {
        assert_eq!(insert(&store, &jti), Ok(InsertOutcome::Inserted));
    }
    let (_, place) = cluster.place_of("{one}");
    cluster.nodes[place].kill();
    let started = Instant::now();
    let mut tries = (0..).map(|n| {
        thread::sleep(Duration::from_millis(20));
        insert_new(&store, &format!("after {n}"))
    });
    let served = |outcome: &Outcome| outcome.is_ok() || started.elapsed() > PATIENT;
    assert_eq!(tries.find(served), Some(Ok(InsertOutcome::Inserted)));
    let outcomes: Vec<_> = jtis(20).iter().map(|jti| insert(&store, jti)).collect();
    for outcome in &outcomes {
        assert_ne!(*outcome, Ok(InsertOutcome::Inserted), "{outcomes:?}");
    }
    assert!(matches!(insert(&store, "another"), Err(ReplayStoreError::Forgotten { .. })));
}

/// The response comes from the node that has the entry, so its clock is the one that is compared.
#[test]
fn v_69_a_step_of_the_clock_of_one_node_is_noticed_at_once() {
    let cluster = Cluster::start(0, true);
    let store = cluster.store();
    assert_eq!(insert(&store, "used"), Ok(InsertOutcome::Inserted));
    let (_, place) = cluster.place_of(&name("used"));
    cluster.nodes[place].set_clock(120);
    assert!(matches!(insert(&store, "used"), Err(ReplayStoreError::Forgotten { .. })));
    // What is new is accepted by every node.
    for jti in jtis(20) {
        assert_eq!(insert_new(&store, &jti), Ok(InsertOutcome::Inserted));
    }
}
