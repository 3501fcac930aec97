//! One client cannot use up the replay store in memory: what it may have of it, and the response beyond that.
//! Threat QV-18.

use http::StatusCode;
use possession::server::*;
use possession::testing::ManualClock;
use possession::{Algorithm, KeyPair, ServerRole};

use crate::support::{
    ALGS, NOW, TOKEN, assert_response, at, claims, header_of, jkt, jws, received, seconds, set, token_request,
};

/// A client, with the number of its proofs.
struct Client(KeyPair, u64);

impl Client {
    fn new() -> Self {
        Self(KeyPair::generate(Algorithm::Ed25519).unwrap(), 0)
    }

    fn proof(&mut self, iat: u64) -> String {
        self.1 += 1;
        jws(&self.0, &header_of(&self.0), &set(claims(&self.1.to_string()), "iat", iat))
    }

    fn call(&mut self, verifier: &Verifier, now: u64) -> Result<(), Reason> {
        token_request(verifier, &self.proof(now), now).map(drop)
    }

    /// The number of calls that are accepted before one is refused, and why that is.
    fn calls_until_refused(&mut self, verifier: &Verifier, now: u64) -> (usize, Reason) {
        let mut accepted = 0;
        loop {
            match self.call(verifier, now) {
                Ok(()) => accepted += 1,
                Err(reason) => return (accepted, reason),
            }
        }
    }
}

fn too_many(allowed: usize) -> Reason {
    // An eighth of 70 seconds: a new proof is accepted for 60, and remembered for 10 more.
    Reason::TooManyProofs { allowed, retry_after: seconds(8) }
}

#[test]
fn qv_18_one_client_uses_up_half_of_the_store_and_the_others_go_on() {
    let clock = ManualClock::at(at(NOW));
    let verifier = Verifier::new(MemoryReplayStore::new(400).clock(clock.clone()));
    let (mut greedy, mut second) = (Client::new(), Client::new());
    assert_eq!(greedy.calls_until_refused(&verifier, NOW), (200, too_many(100)));
    assert_eq!(second.calls_until_refused(&verifier, NOW), (100, too_many(100)));
    let mut others: Vec<_> = std::iter::repeat_with(Client::new).take(20).collect();
    for round in 0..5 {
        for other in &mut others {
            other.call(&verifier, NOW + round).unwrap();
        }
        assert_eq!(greedy.call(&verifier, NOW + round), Err(too_many(100)));
    }
    assert_eq!(
        others[0].call(&verifier, NOW),
        Err(Reason::ReplayStore(ReplayStoreError::Full { capacity: 400 }))
    );
    // When its proofs have expired, it is served again.
    clock.advance(seconds(80));
    assert_eq!(greedy.calls_until_refused(&verifier, NOW + 80).0, 200);
}

#[test]
fn qv_18_the_share_of_a_key_is_settable() {
    for (allowed, accepted) in [(1, 50), (60, 60), (100, 100), (usize::MAX, 100)] {
        let verifier = Verifier::new(MemoryReplayStore::new(100).max_proofs_per_key(allowed));
        assert_eq!(Client::new().calls_until_refused(&verifier, NOW).0, accepted);
    }
    // A store for a single proof has room for it.
    let verifier = Verifier::new(MemoryReplayStore::new(1));
    assert_eq!(Client::new().calls_until_refused(&verifier, NOW).0, 1);
}

/// Neither the token nor the proof is blamed.
#[test]
fn qv_18_the_response_is_429_with_retry_after() {
    let verifier = Verifier::new(MemoryReplayStore::new(10));
    let mut client = Client::new();
    client.calls_until_refused(&verifier, NOW);
    let proofs = [client.proof(NOW)];
    let jkt = jkt(&client.0);
    for role in [ServerRole::AuthorizationServer, ServerRole::ResourceServer] {
        let request = received(&proofs);
        let rejection = match role {
            ServerRole::AuthorizationServer => verifier.verify_token_request(&request, at(NOW)),
            ServerRole::ResourceServer => verifier.verify_resource_request(&request, TOKEN, &jkt, at(NOW)),
        }
        .unwrap_err();
        assert_eq!(rejection.reason(), &too_many(2));
        assert_response(&rejection, role, None, ALGS);
        let response = rejection.to_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], "8");
    }
    // The proof was not used up.
    let roomy = Verifier::new(MemoryReplayStore::new(10));
    assert!(roomy.verify_token_request(&received(&proofs), at(NOW)).is_ok());
}
