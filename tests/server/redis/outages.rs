//! Servers that are down, do not respond, or are restarted.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use possession::ErrorKind;
use possession::server::{InsertOutcome, ReceivedRequest, RedisReplayStore, ReplayStoreError, Verifier};

use super::process::{Server, free_port, listener, pool, url_of};
use super::{Outcome, PATIENT, SHORT, failed, insert, insert_new, proof};
use crate::support::{NOW, URL, at};

/// Repeats a call while it is not made: after a failure, the store does not ask the server for a moment.
fn once_asked(call: impl Fn() -> Outcome) -> Outcome {
    let started = Instant::now();
    loop {
        match call() {
            Err(ReplayStoreError::Unavailable { .. }) if started.elapsed() < PATIENT => {
                thread::sleep(Duration::from_millis(5));
            }
            outcome => return outcome,
        }
    }
}

/// The same store works again when the server is back.
#[test]
fn v_41_while_the_server_is_down_every_proof_is_rejected() {
    let mut server = Server::start(&[]);
    let store = RedisReplayStore::new(pool(&server.url(""), 2, SHORT));
    assert_eq!(insert_new(&store, "before"), Ok(InsertOutcome::Inserted));
    server.kill();
    for n in 0..100 {
        match insert_new(&store, &n.to_string()) {
            Err(ReplayStoreError::Failed(_) | ReplayStoreError::Unavailable { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    server.start_again();
    let started = Instant::now();
    let mut names = (0..).map(|n| format!("after {n}")).take_while(|_| started.elapsed() < PATIENT);
    let accepted = names.find(|name| insert_new(&store, name) == Ok(InsertOutcome::Inserted)).unwrap();
    assert_eq!(insert_new(&server.store(), &accepted), Ok(InsertOutcome::AlreadyPresent));
}

/// After one call has waited in vain, no other waits before a pause, and then only one. The pause is at
/// least an eighth of a second, in which thousands of calls are made here.
#[test]
fn v_68_threads_do_not_wait_for_a_server_that_does_not_respond() {
    let silent = listener();
    let store = RedisReplayStore::new(pool(&url_of(&silent), 8, SHORT));
    failed(insert(&store, "first"));
    let started = Instant::now();
    let outcomes: Vec<_> = thread::scope(|scope| {
        let calls = || (0..200).map(|n| insert(&store, &n.to_string())).collect::<Vec<_>>();
        let threads: Vec<_> = (0..64).map(|_| scope.spawn(calls)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let waited =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(ReplayStoreError::Failed(_)))).count();
    let pauses = usize::try_from(started.elapsed().as_millis() / 125).unwrap() + 1;
    assert!(waited <= pauses, "{waited} of {} calls waited, in {pauses} pauses at most", outcomes.len());
    let at_once = |outcome: &&Outcome| matches!(outcome, Err(ReplayStoreError::Unavailable { .. }));
    assert_eq!(outcomes.iter().filter(at_once).count() + waited, 64 * 200);

    // The client is told when to try again.
    let verifier = Verifier::new(store);
    let proof = proof(NOW);
    let request = ReceivedRequest::from_fields(&http::Method::POST, URL, vec![proof.as_bytes()]).unwrap();
    let started = Instant::now();
    let response = loop {
        let response = verifier.verify_token_request(&request, at(NOW)).unwrap_err().to_response();
        // Without the field, it was the call that probed the server.
        if response.headers().contains_key("retry-after") || started.elapsed() > PATIENT {
            break response;
        }
    };
    assert_eq!((response.status().as_u16(), response.body().as_str()), (503, ""));
    assert_eq!(response.headers()["retry-after"], "1");
}

/// The first calls of an outage wait together. A pool of one connection, which is taken, has the same
/// effect as a server that hangs.
#[test]
fn v_68_threads_that_wait_for_a_hanging_server_are_limited_in_number() {
    let server = Server::start(&[]);
    let pool = pool(&server.url(""), 1, PATIENT);
    let store = RedisReplayStore::new(pool.clone()).max_waiting(3);
    let connection = pool.get().unwrap();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..3)
            .map(|n| {
                scope.spawn({
                    let store = &store;
                    move || insert(store, &format!("waiting {n}"))
                })
            })
            .collect();
        let started = Instant::now();
        let refused = loop {
            // Until three threads wait, and have waited for a moment, this one would wait as well.
            thread::sleep(Duration::from_millis(5));
            let fourth = scope.spawn(|| insert(&store, "fourth"));
            let decided = Instant::now();
            while !fourth.is_finished() && decided.elapsed() < SHORT {
                thread::yield_now();
            }
            if fourth.is_finished() || started.elapsed() > PATIENT {
                break fourth.join().unwrap();
            }
        };
        assert!(matches!(refused, Err(ReplayStoreError::Unavailable { .. })), "{refused:?}");
        drop(connection);
        for thread in waiting {
            assert_eq!(thread.join().unwrap(), Ok(InsertOutcome::Inserted));
        }
    });
    assert_eq!(insert(&store, "later"), Ok(InsertOutcome::Inserted));
}

/// A proof that cannot be among the lost ones. The first connection that fails discards the others of the
/// pool.
#[test]
fn a_restart_of_the_server_costs_at_most_one_proof() {
    let mut server = Server::start(&[]);
    let pool = pool(&server.url(""), 4, PATIENT);
    let connections: Vec<_> = (0..4).map(|_| pool.get().unwrap()).collect();
    drop(connections);
    assert_eq!(pool.state().idle_connections, 4);
    let store = RedisReplayStore::new(pool);
    server.kill();
    server.start_again();
    let outcomes: Vec<_> = (0..8).map(|n| insert_new(&store, &n.to_string())).collect();
    assert!(outcomes.iter().filter(|outcome| outcome.is_err()).count() <= 1, "{outcomes:?}");
    assert_eq!(insert_new(&store, "7"), Ok(InsertOutcome::AlreadyPresent));
}

/// Connections that were idle are tested before a proof depends on them.
#[test]
fn a_restart_while_the_store_is_idle_costs_no_proof() {
    let mut server = Server::start(&[]);
    let store = server.store();
    assert_eq!(insert(&store, "1"), Ok(InsertOutcome::Inserted));
    // This command returns after that many seconds.
    server.ask::<()>("BLPOP nothing 1.1");
    server.kill();
    server.start_again();
    assert_eq!(insert_new(&store, "2"), Ok(InsertOutcome::Inserted));
}

/// A peer that accepts connections and never responds is an error, both when connecting and later.
#[test]
fn v_41_a_server_that_never_responds_rejects_the_proof() {
    let error = RedisReplayStore::connect(&format!("redis://127.0.0.1:{}", free_port())).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Transport);
    // The backlog accepts connections, and nobody reads from them.
    let silent = listener();
    let (tell, told) = mpsc::channel();
    let url = url_of(&silent);
    thread::spawn(move || tell.send(RedisReplayStore::connect(&url).map(drop)));
    let error = told.recv_timeout(PATIENT).expect("connecting gives up").unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Transport);
    let store = RedisReplayStore::new(pool(&url_of(&silent), 1, SHORT));
    for _ in 0..3 {
        failed(once_asked(|| insert(&store, "jti")));
    }
}

#[test]
fn a_late_reply_is_not_taken_for_the_reply_to_the_next_command() {
    let server = Server::start(&[]);
    let store = RedisReplayStore::new(pool(&server.url(""), 1, Duration::from_secs(1)));
    assert_eq!(insert(&store, "old"), Ok(InsertOutcome::Inserted));
    for _ in 0..2 {
        server.ask::<()>("CLIENT PAUSE 5000 WRITE");
        // The reply that comes later is nil.
        let wrong = failed(insert(&store, "old"));
        assert_eq!(wrong, "no response within the timeout");
        assert!((0..1000).any(|_| server.connections_of_stores() == 0), "its connection is closed");
        server.ask::<()>("CLIENT UNPAUSE");
        let new = format!("new at {:?}", Instant::now());
        assert_eq!(once_asked(|| insert(&store, &new)), Ok(InsertOutcome::Inserted));
        assert_eq!(insert(&store, &new), Ok(InsertOutcome::AlreadyPresent));
        assert_eq!(insert(&store, "old"), Ok(InsertOutcome::AlreadyPresent));
    }
}

/// Its connections are closed and opened again.
#[test]
fn a_primary_that_became_a_replica_rejects_until_it_is_a_primary_again() {
    let server = Server::start(&[]);
    let store = RedisReplayStore::new(pool(&server.url(""), 1, PATIENT));
    assert_eq!(insert(&store, "1"), Ok(InsertOutcome::Inserted));
    assert_eq!(server.connections_of_stores(), 1);
    let primary = listener();
    server.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", primary.local_addr().unwrap().port()));
    assert_eq!(failed(insert(&store, "2")), "the server responded with the error READONLY");
    assert!((0..1000).any(|_| server.connections_of_stores() == 0), "its connection is closed");
    server.ask::<()>("REPLICAOF NO ONE");
    assert_eq!(insert(&store, "2"), Ok(InsertOutcome::Inserted));
}
