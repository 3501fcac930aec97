//! `ResourceServer::try_authenticate`: it never waits, uses nothing up when it would have to, and otherwise
//! does what `authenticate` does. Whatever would wait here counts its calls or panics.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use http::request::Parts;
use possession::server::*;
use possession::*;
use serde_json::{Value, json};

use crate::issuer::{AUDIENCE, Remote, Verifications, claims, gate, jwk, jwks, jwt, key, server, validator};
use crate::support::{NOW, at, jkt, mine, set};

type Outcome = Result<Authenticated, Rejection>;

fn memory() -> Verifier {
    Verifier::new(MemoryReplayStore::new(1_000))
}

fn api(verifier: Verifier, tokens: impl TokenValidator + 'static) -> ResourceServer {
    ResourceServer::new(AUDIENCE, verifier, tokens).unwrap()
}

/// A request with a new proof for that token.
fn request(token: &str, nonce: Option<&str>, now: u64) -> Parts {
    let proof = Proof::new(&http::Method::GET, &format!("{AUDIENCE}/a")).unwrap().access_token(token);
    let proof = nonce.into_iter().fold(proof, Proof::nonce).sign(&mine(), at(now)).unwrap();
    let request = http::Request::get("/a").header("authorization", format!("DPoP {token}"));
    request.header("dpop", proof).body(()).unwrap().into_parts().0
}

/// The claims of an access token for the key of the requests.
fn bound_claims() -> Value {
    set(set(claims(), "exp", NOW + 9_999), "cnf", json!({"jkt": jkt(&mine()).to_string()}))
}

fn token(issuer: &KeyPair, kid: &str) -> String {
    jwt(issuer, &json!({"typ": "at+jwt", "alg": "EdDSA", "kid": kid}), &bound_claims())
}

fn key_set(issuer: &KeyPair) -> String {
    jwks(&[jwk(issuer, "k1", &json!({}))])
}

/// Returns the reason of a refusal that needed no I/O.
fn refused(outcome: Option<Outcome>) -> Reason {
    outcome.unwrap().unwrap_err().reason().clone()
}

fn is_accepted(outcome: Option<Outcome>) -> bool {
    outcome.is_some_and(|outcome| outcome.is_ok())
}

/// A request that is left to `authenticate` passes there, and is a replay afterwards.
fn passes_once(api: &ResourceServer, request: &Parts, now: u64) {
    assert!(api.try_authenticate(request, at(now)).is_none());
    assert!(api.try_authenticate(request, at(now)).is_none(), "the first attempt has no effect");
    api.authenticate(request, at(now)).unwrap();
    let again = api.authenticate(request, at(now)).unwrap_err();
    assert_eq!(*again.reason(), Reason::Replayed);
}

#[test]
fn a_request_is_accepted_once_without_io() {
    let issuer = key(Algorithm::Ed25519);
    let nonces = StatelessNonces::generate().unwrap();
    let api = api(memory().require_nonces(nonces), validator(&issuer));
    let token = token(&issuer, "k1");
    let challenged = api.try_authenticate(&request(&token, None, NOW), at(NOW)).unwrap().unwrap_err();
    assert_eq!(*challenged.reason(), Reason::NoNonce);
    let request = request(&token, challenged.nonce(), NOW);
    let caller = api.try_authenticate(&request, at(NOW)).unwrap().unwrap();
    assert_eq!((caller.token().claim("sub"), caller.thumbprint()), (Some(&json!("s")), Some(jkt(&mine()))));
    assert_eq!(refused(api.try_authenticate(&request, at(NOW))), Reason::Replayed);
    assert_eq!(*api.authenticate(&request, at(NOW)).unwrap_err().reason(), Reason::Replayed);
}

/// The refusals of `authenticate` that need no I/O are the same here, in the same order of checks.
#[test]
fn a_request_is_refused_without_io_for_the_same_reason() {
    let (issuer, other) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519));
    let good = token(&issuer, "k1");
    let forged = token(&other, "k1");
    let plain = |authorization: &str| {
        http::Request::get("/a").header("authorization", authorization).body(()).unwrap().into_parts().0
    };
    let with_proof_of = |token: &str, proof_for: &str| {
        let mut parts = request(proof_for, None, NOW);
        parts.headers.insert("authorization", format!("DPoP {token}").parse().unwrap());
        parts
    };
    let requests = [
        http::Request::get("/a").body(()).unwrap().into_parts().0,
        plain("Basic abc"),
        plain("DPoP a b"),
        plain("Bearer abc"),
        plain(&format!("Bearer {good}")),
        plain(&format!("DPoP {good}")),
        with_proof_of(&good, "another"),
        with_proof_of(&forged, "another"),
        request(&forged, None, NOW),
        request("not-a-jwt", None, NOW),
        request(&good, None, NOW - 61),
    ];
    for unbound in [false, true] {
        for request in &requests {
            let api = api(memory(), validator(&issuer));
            let api = if unbound { api.accept_unbound_bearer() } else { api };
            let expected = api.authenticate(request, at(NOW)).unwrap_err();
            let actual = api.try_authenticate(request, at(NOW)).unwrap().unwrap_err();
            assert_eq!(actual.reason(), expected.reason());
            assert_eq!(actual.to_response().headers(), expected.to_response().headers());
        }
    }
}

#[test]
fn keys_that_were_never_fetched_need_io() {
    let (issuer, remote) = (key(Algorithm::Ed25519), Remote::default());
    let api = api(memory(), JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap());
    remote.responds(200, "application/json", key_set(&issuer));
    let token = token(&issuer, "k1");
    let first = request(&token, None, NOW);
    for _ in 0..3 {
        assert!(api.try_authenticate(&first, at(NOW)).is_none());
    }
    assert_eq!(remote.requests(), 0);
    passes_once(&api, &first, NOW);
    remote.responds_with(|| panic!("a request to the issuer"));
    assert!(is_accepted(api.try_authenticate(&request(&token, None, NOW), at(NOW))));
    // A token that was not seen before, and one whose signature is another's.
    let unseen = jwt(
        &issuer,
        &json!({"typ": "at+jwt", "alg": "EdDSA", "kid": "k1"}),
        &set(bound_claims(), "jti", "2"),
    );
    assert!(is_accepted(api.try_authenticate(&request(&unseen, None, NOW), at(NOW))));
    assert_eq!(remote.requests(), 1);
}

/// If all requests went on with the old keys, nobody would fetch the new ones.
#[test]
fn keys_that_are_due_for_a_fetch_need_io_until_a_thread_fetches_them() {
    let (issuer, remote) = (key(Algorithm::Ed25519), Remote::default());
    let api = api(memory(), JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap());
    let keys = key_set(&issuer);
    remote.responds(200, "application/json", keys.clone());
    let token = token(&issuer, "k1");
    api.authenticate(&request(&token, None, NOW), at(NOW)).unwrap();
    let later = NOW + 900;
    assert!(is_accepted(api.try_authenticate(&request(&token, None, later), at(later - 1))));
    let due = request(&token, None, later);
    assert!(api.try_authenticate(&due, at(later)).is_none());
    assert_eq!(remote.requests(), 1);
    let gate = gate(&remote, move || {
        let response = http::Response::builder().header("content-type", "application/json");
        Ok(response.body(keys.clone().into_bytes()).unwrap())
    });
    thread::scope(|scope| {
        let fetching = scope.spawn(|| api.authenticate(&due, at(later)).map(drop));
        gate.wait();
        assert!(is_accepted(api.try_authenticate(&request(&token, None, later), at(later))));
        gate.open();
        assert!(fetching.join().unwrap().is_ok());
    });
    remote.responds_with(|| panic!("a request to the issuer"));
    assert!(is_accepted(api.try_authenticate(&request(&token, None, later), at(later))));
    assert_eq!(remote.requests(), 2);
}

/// A fetch or the wait for one is left to another thread; the outcome that is known without it is not.
#[test]
fn an_unknown_key_needs_io_only_while_it_may_be_fetched() {
    let (issuer, remote) = (key(Algorithm::Ed25519), Remote::default());
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    let api = api(memory(), tokens.max_waiting(2));
    remote.responds(200, "application/json", key_set(&issuer));
    api.authenticate(&request(&token(&issuer, "k1"), None, NOW), at(NOW)).unwrap();
    let (now, unknown) = (NOW + 61, token(&issuer, "made up"));
    let try_unknown = || api.try_authenticate(&request(&unknown, None, now), at(now));
    assert!(try_unknown().is_none());
    assert_eq!(remote.requests(), 1);
    let keys = key_set(&issuer);
    let gate = gate(&remote, move || {
        let response = http::Response::builder().header("content-type", "application/json");
        Ok(response.body(keys.clone().into_bytes()).unwrap())
    });
    thread::scope(|scope| {
        let ask = || api.authenticate(&request(&unknown, None, now), at(now)).map(drop);
        let fetching = scope.spawn(ask);
        gate.wait();
        assert!(try_unknown().is_none());
        let waiting = scope.spawn(ask);
        // The second thread takes the last place, and a third would be refused at once.
        let start = Instant::now();
        let refused = loop {
            match try_unknown() {
                Some(outcome) => break outcome.map(drop).unwrap_err(),
                None => thread::yield_now(),
            }
            assert!(start.elapsed() < Duration::from_secs(20));
        };
        assert_eq!(refused.to_response().headers()["retry-after"], "1");
        // The thread that waited fetches again, as its token came after the first fetch had begun.
        gate.open();
        gate.wait();
        gate.open();
        assert!(fetching.join().unwrap().is_err() && waiting.join().unwrap().is_err());
    });
    // When no fetch is allowed any more, both give the same answer at once.
    for _ in 0..20 {
        if try_unknown().is_none() {
            remote.responds(200, "application/json", key_set(&issuer));
            api.authenticate(&request(&unknown, None, now), at(now)).unwrap_err();
        }
    }
    remote.responds_with(|| panic!("a request to the issuer"));
    let expected = api.authenticate(&request(&unknown, None, now), at(now)).unwrap_err();
    assert_eq!(refused(try_unknown()), *expected.reason());
}

#[test]
fn a_token_whose_introspection_is_not_cached_needs_io() {
    let remote = Remote::default();
    let (client, auth) = (Client::new("rs").unwrap(), ClientAuth::client_secret_basic("s"));
    let tokens = || Introspector::new(&server(), &client, &auth, AUDIENCE, remote.clone()).unwrap();
    let active = set(bound_claims(), "active", true).to_string();
    remote.responds(200, "application/json", active.clone());

    let caching = api(memory(), tokens().cache(Duration::from_secs(30)));
    let first = request("token", None, NOW);
    assert!(caching.try_authenticate(&first, at(NOW)).is_none());
    assert_eq!(remote.requests(), 0);
    passes_once(&caching, &first, NOW);
    remote.responds_with(|| panic!("a request to the authorization server"));
    assert!(is_accepted(caching.try_authenticate(&request("token", None, NOW), at(NOW))));
    assert!(caching.try_authenticate(&request("other", None, NOW), at(NOW)).is_none());
    assert!(caching.try_authenticate(&request("token", None, NOW + 30), at(NOW + 30)).is_none());
    // That a token is refused is known for a while.
    remote.responds(200, "application/json", r#"{"active":false}"#);
    let refusal = caching.authenticate(&request("made-up", None, NOW), at(NOW)).unwrap_err();
    remote.responds_with(|| panic!("a request to the authorization server"));
    assert_eq!(refused(caching.try_authenticate(&request("made-up", None, NOW), at(NOW))), *refusal.reason());

    // Without a cache there is no point in verifying the proof first.
    let verifications = Verifications::default();
    let asking = api(memory().signature_verifier(verifications.clone()), tokens());
    remote.responds(200, "application/json", active);
    passes_once(&asking, &request("token", None, NOW), NOW);
    let before = verifications.count();
    assert!(asking.try_authenticate(&request("token", None, NOW), at(NOW)).is_none());
    assert_eq!(verifications.count(), before);
}

#[test]
fn no_thread_is_asked_for_when_too_many_wait_for_introspection() {
    let remote = Remote::default();
    let (client, auth) = (Client::new("rs").unwrap(), ClientAuth::client_secret_basic("s"));
    let tokens = Introspector::new(&server(), &client, &auth, AUDIENCE, remote.clone()).unwrap();
    let api = api(memory(), tokens.cache(Duration::from_secs(30)).max_waiting(1));
    let gate = gate(&remote, || Err(Error::timeout("too slow")));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| api.authenticate(&request("first", None, NOW), at(NOW)).map(drop));
        gate.wait();
        let outcome = api.try_authenticate(&request("second", None, NOW), at(NOW)).unwrap();
        let response = outcome.unwrap_err().to_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &"1".parse().unwrap())
        );
        gate.open();
        assert!(waiting.join().unwrap().is_err());
    });
}

/// Implements the traits and nothing that says whether it needs I/O.
#[derive(Clone, Default)]
struct OfTheUser {
    calls: Arc<AtomicUsize>,
}

impl OfTheUser {
    fn called<T>(&self, outcome: T) -> T {
        self.calls.fetch_add(1, Ordering::SeqCst);
        outcome
    }
}

impl TokenValidator for OfTheUser {
    fn validate(&self, token: &str, _: SystemTime) -> Result<AccessToken, TokenError> {
        self.called(match token {
            "unbound" => AccessToken::new(serde_json::Map::new()),
            _ => Ok(AccessToken::bound_to(jkt(&mine()))),
        })
    }
}

impl ReplayStore for OfTheUser {
    fn insert_if_absent(&self, _: &ProofRecord, _: SystemTime) -> Result<InsertOutcome, ReplayStoreError> {
        self.called(Ok(InsertOutcome::Inserted))
    }
}

impl NonceSource for OfTheUser {
    fn make(&self, _: ServerRole, _: Option<&Thumbprint>, _: SystemTime) -> Result<String, Error> {
        self.called(Ok("n".to_owned()))
    }

    fn check(&self, _: &str, _: ServerRole, _: &Thumbprint, _: SystemTime) -> NonceState {
        self.called(NonceState::Valid { made: None, until: None, ageing: true })
    }
}

impl SignatureVerifier for OfTheUser {
    fn supports(&self, _: Algorithm) -> bool {
        true
    }

    fn verify(&self, _: Algorithm, _: &PublicKey, _: &[u8], _: &[u8]) -> bool {
        self.called(true)
    }
}

/// Computes or has everything in memory, and says so.
struct InMemory(OfTheUser);

impl TokenValidator for InMemory {
    fn validate(&self, token: &str, now: SystemTime) -> Result<AccessToken, TokenError> {
        self.0.validate(token, now)
    }

    fn needs_io(&self) -> bool {
        false
    }
}

impl ReplayStore for InMemory {
    fn insert_if_absent(
        &self,
        proof: &ProofRecord,
        now: SystemTime,
    ) -> Result<InsertOutcome, ReplayStoreError> {
        self.0.insert_if_absent(proof, now)
    }

    fn needs_io(&self) -> bool {
        false
    }
}

impl NonceSource for InMemory {
    fn make(&self, role: ServerRole, jkt: Option<&Thumbprint>, now: SystemTime) -> Result<String, Error> {
        self.0.make(role, jkt, now)
    }

    fn check(&self, nonce: &str, role: ServerRole, jkt: &Thumbprint, now: SystemTime) -> NonceState {
        self.0.check(nonce, role, jkt, now)
    }

    fn needs_io(&self) -> bool {
        false
    }
}

impl SignatureVerifier for InMemory {
    fn supports(&self, _: Algorithm) -> bool {
        true
    }

    fn verify(&self, algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify(algorithm, key, message, signature)
    }

    fn needs_io(&self) -> bool {
        false
    }
}

/// What the user provides counts as I/O unless it says otherwise, also behind an `Arc`.
#[test]
fn parts_of_the_user_need_io_unless_they_say_otherwise() {
    let own = OfTheUser::default();
    let issuer = key(Algorithm::Ed25519);
    let token = token(&issuer, "k1");
    let memory_of = || InMemory(OfTheUser::default());
    let with_io = [
        api(memory(), own.clone()),
        api(memory(), Arc::new(own.clone())),
        api(memory(), validator(&issuer).signature_verifier(own.clone())),
        api(Verifier::new(own.clone()), memory_of()),
        api(Verifier::new(Arc::new(own.clone())), memory_of()),
        api(memory().require_nonces(own.clone()), memory_of()),
        api(memory().offer_nonces(own.clone()), memory_of()),
        api(memory().signature_verifier(own.clone()), memory_of()),
    ];
    for (number, api) in with_io.iter().enumerate() {
        let request = request(&token, Some("n"), NOW);
        assert!(api.try_authenticate(&request, at(NOW)).is_none(), "{number}");
        assert_eq!(own.calls.load(Ordering::SeqCst), 0, "{number}");
        assert!(api.authenticate(&request, at(NOW)).is_ok(), "{number}");
        assert!(own.calls.swap(0, Ordering::SeqCst) > 0, "{number}");
    }
    let without_io = [
        api(memory(), memory_of()),
        api(memory(), Arc::new(memory_of())),
        api(memory(), validator(&issuer).signature_verifier(memory_of())),
        api(Verifier::new(memory_of()), memory_of()),
        api(Verifier::new(Arc::new(memory_of())), memory_of()),
        api(memory().require_nonces(memory_of()), memory_of()),
        api(memory().signature_verifier(memory_of()), memory_of()),
    ];
    for (number, api) in without_io.iter().enumerate() {
        let outcome = api.try_authenticate(&request(&token, Some("n"), NOW), at(NOW));
        assert!(is_accepted(outcome), "{number}");
    }
}

/// A token presented as `Bearer` needs its validator and nothing else.
#[test]
fn a_bearer_token_needs_io_if_its_validation_does() {
    let bearer = http::Request::get("/a").header("authorization", "Bearer unbound").body(()).unwrap();
    let bearer = bearer.into_parts().0;
    let own = OfTheUser::default();
    let remote_store = || Verifier::new(OfTheUser::default());
    assert_eq!(
        refused(api(remote_store(), own.clone()).try_authenticate(&bearer, at(NOW))),
        Reason::BearerNotAccepted
    );
    let asking = api(memory(), own.clone()).accept_unbound_bearer();
    assert!(asking.try_authenticate(&bearer, at(NOW)).is_none());
    assert_eq!(own.calls.load(Ordering::SeqCst), 0);
    assert!(asking.authenticate(&bearer, at(NOW)).is_ok());
    let table = api(remote_store(), InMemory(own)).accept_unbound_bearer();
    assert!(is_accepted(table.try_authenticate(&bearer, at(NOW))));
}

/// The unused nonces of a source that accepts each once.
#[derive(Clone, Default)]
struct SingleUse(Arc<Mutex<(usize, HashSet<String>)>>);

impl SingleUse {
    fn state(&self) -> (usize, HashSet<String>) {
        self.0.lock().unwrap().clone()
    }
}

impl NonceSource for SingleUse {
    fn make(&self, _: ServerRole, _: Option<&Thumbprint>, _: SystemTime) -> Result<String, Error> {
        let (made, unused) = &mut *self.0.lock().unwrap();
        *made += 1;
        unused.insert(format!("n{made}"));
        Ok(format!("n{made}"))
    }

    fn check(&self, nonce: &str, _: ServerRole, _: &Thumbprint, _: SystemTime) -> NonceState {
        match self.state().1.contains(nonce) {
            true => NonceState::Valid { made: Some(at(NOW)), until: Some(at(NOW + 300)), ageing: true },
            false => NonceState::Invalid,
        }
    }

    fn consume(&self, nonce: &str, _: ServerRole, _: &Thumbprint, _: SystemTime) -> bool {
        self.0.lock().unwrap().1.remove(nonce)
    }

    fn needs_io(&self) -> bool {
        false
    }
}

/// Neither is the nonce of the proof used up, nor is one made for a response that is not sent.
#[test]
fn a_request_that_needs_io_uses_up_no_nonce() {
    let (issuer, remote, nonces) = (key(Algorithm::Ed25519), Remote::default(), SingleUse::default());
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone()).unwrap();
    remote.responds(200, "application/json", key_set(&issuer));
    let api = api(memory().require_nonces(nonces.clone()), tokens);
    let token = token(&issuer, "k1");
    nonces.make(ServerRole::ResourceServer, None, at(NOW)).unwrap();
    let (before, first) = (nonces.state(), request(&token, Some("n1"), NOW));
    assert!(api.try_authenticate(&first, at(NOW)).is_none());
    assert_eq!(nonces.state(), before);
    let caller = api.authenticate(&first, at(NOW)).unwrap();
    assert_eq!(caller.proof().unwrap().next_nonce(), Some("n2"));
    // Without I/O, the nonce is used up and the next one made.
    let caller = api.try_authenticate(&request(&token, Some("n2"), NOW), at(NOW)).unwrap().unwrap();
    assert_eq!(caller.proof().unwrap().next_nonce(), Some("n3"));
    assert_eq!(nonces.state(), (3, HashSet::from(["n3".to_owned()])));
}
