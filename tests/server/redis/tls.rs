//! Redis over TLS.

use std::time::Duration;

use possession::server::{InsertOutcome, RedisManager, RedisReplayStore};
use possession::{ErrorKind, r2d2, redis};

use super::process::Server;
use super::{PATIENT, SHORT, failed, insert};
use crate::common::certificates::{certificate, loopback_certificate};

fn store(server: &Server, ca: &str, timeout: Duration) -> RedisReplayStore {
    let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(ca.as_bytes().to_vec()) };
    let client = redis::Client::build_with_tls(url(server), certificates).unwrap();
    let manager = RedisManager::new(client).timeout(PATIENT);
    let builder = r2d2::Pool::builder().max_size(1).connection_timeout(timeout);
    RedisReplayStore::new(builder.error_handler(Box::new(r2d2::NopErrorHandler)).build_unchecked(manager))
}

fn url(server: &Server) -> String {
    format!("rediss://127.0.0.1:{}", server.port)
}

#[test]
fn a_server_is_reached_over_tls() {
    let own = loopback_certificate();
    let server = Server::start_with_tls(&own.chain, &own.key);
    let store = store(&server, &own.ca, PATIENT).check().unwrap();
    assert_eq!(insert(&store, "jti"), Ok(InsertOutcome::Inserted));
    assert_eq!(insert(&store, "jti"), Ok(InsertOutcome::AlreadyPresent));
}

#[test]
fn a_server_with_a_certificate_of_somebody_else_receives_nothing() {
    let own = loopback_certificate();
    let server = Server::start_with_tls(&own.chain, &own.key);
    let (other, name) = (loopback_certificate(), certificate("redis.example", 2020, 2100));
    let other_name = Server::start_with_tls(&name.chain, &name.key);
    for (server, ca) in [(&server, &other.ca), (&other_name, &name.ca)] {
        let error = store(server, ca, SHORT).check().unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Transport, "{error}");
        failed(insert(&store(server, ca, SHORT), "jti"));
    }
    // The authorities of the machine do not know it either.
    assert_eq!(RedisReplayStore::connect(&url(&server)).unwrap_err().kind(), &ErrorKind::Transport);
    // A plain connection to a port for TLS.
    assert_eq!(RedisReplayStore::connect(&server.url("")).unwrap_err().kind(), &ErrorKind::Transport);
}
