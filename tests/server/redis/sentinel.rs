//! Sentinel: the store finds the primary, also after a failover.

use std::thread;
use std::time::{Duration, Instant};

use possession::server::{InsertOutcome, RedisManager, RedisReplayStore, ReplayStoreError};
use possession::{r2d2, redis};
use redis::sentinel::{LockedSentinelClient, SentinelClient, SentinelServerType};

use super::process::Server;
use super::{Outcome, PATIENT, insert, insert_new};

#[test]
fn v_69_after_a_failover_by_sentinel_no_proof_is_accepted_twice() {
    let mut primary = Server::start(&[]);
    let replica = Server::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    replica.wait_until("INFO replication", |info: &String| info.contains("master_link_status:up"));
    let sentinel = Server::start_sentinel("orders", &primary);
    sentinel.wait_until("SENTINEL REPLICAS orders", |replicas: &Vec<redis::Value>| replicas.len() == 1);

    let client = SentinelClient::build(vec![sentinel.url("")], "orders", None, SentinelServerType::Master);
    let manager = RedisManager::wrap(LockedSentinelClient::new(client.unwrap())).timeout(PATIENT);
    let pool = r2d2::Pool::builder().max_size(4).connection_timeout(Duration::from_secs(2));
    let pool = pool.error_handler(Box::new(r2d2::NopErrorHandler)).build_unchecked(manager);
    let store = RedisReplayStore::new(pool).check().unwrap();
    assert_eq!(insert(&store, "used"), Ok(InsertOutcome::Inserted));
    assert_eq!(insert(&store, "used"), Ok(InsertOutcome::AlreadyPresent));
    assert_eq!(primary.ask::<u64>("DBSIZE"), 1, "it is the primary");

    primary.kill();
    let started = Instant::now();
    let mut tries = (0..).map(|n| {
        thread::sleep(Duration::from_millis(20));
        insert_new(&store, &n.to_string())
    });
    let served = |outcome: &Outcome| outcome.is_ok() || started.elapsed() > PATIENT;
    assert_eq!(tries.find(served), Some(Ok(InsertOutcome::Inserted)));
    assert!(replica.ask::<String>("INFO replication").contains("role:master"));
    assert_ne!(insert(&store, "used"), Ok(InsertOutcome::Inserted));
    // As if the replica had not had it.
    replica.ask::<()>("FLUSHALL");
    assert!(matches!(insert(&store, "used"), Err(ReplayStoreError::Forgotten { .. })));
}
