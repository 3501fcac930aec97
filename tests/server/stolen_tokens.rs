//! A thief has an access token and not its key. What a refusal costs must not tell whether the token is live,
//! which the number of introspections and of verified signatures stands for: they take milliseconds and
//! microseconds, where a cache takes nanoseconds. Threat V-64.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use possession::server::*;
use possession::*;
use serde_json::{Value, json};

use crate::floods::{SlowIssuer, introspector, until};
use crate::issuer::{AUDIENCE, ISSUER, Remote, Verifications, claims, jwk, jwks, jwt, key};
use crate::support::{NOW, at, mine, set, without};

/// Sends a request with that token: as `DPoP` with a proof by that key, or as `Bearer`.
fn ask(api: &ResourceServer, token: &str, key: Option<&KeyPair>, now: u64) -> Result<(), Rejection> {
    let scheme = if key.is_some() { "DPoP" } else { "Bearer" };
    let mut request = http::Request::get("/a").header("authorization", format!("{scheme} {token}"));
    if let Some(key) = key {
        let proof = Proof::new(&http::Method::GET, "https://api.example/a").unwrap().access_token(token);
        request = request.header("dpop", proof.sign(key, at(now)).unwrap());
    }
    api.authenticate(&request.body(()).unwrap().into_parts().0, at(now)).map(drop)
}

fn api(tokens: impl TokenValidator + 'static) -> ResourceServer {
    let verifier = Verifier::new(MemoryReplayStore::new(1_000));
    ResourceServer::new("https://api.example", verifier, tokens).unwrap().accept_unbound_bearer()
}

/// What the authorization server says about a token of the key `mine`.
fn active() -> Value {
    let jkt = mine().public_key().thumbprint().to_string();
    json!({"active": true, "aud": AUDIENCE, "exp": NOW + 999, "cnf": {"jkt": jkt}, "token_type": "DPoP"})
}

/// What the thief is told, and how many requests to the authorization server each of his requests causes.
type Observed = Vec<(usize, http::StatusCode, String)>;

/// The thief asks again and again with one token.
fn observe(api: &ResourceServer, remote: &Remote, thief: Option<&KeyPair>) -> Observed {
    [NOW, NOW, NOW + 4, NOW + 5, NOW + 9, NOW + 12, NOW + 100]
        .map(|now| {
            let before = remote.requests();
            let response = ask(api, "stolen", thief, now).unwrap_err().to_response();
            (remote.requests() - before, response.status(), format!("{:?}", response.headers()))
        })
        .to_vec()
}

#[test]
fn v_64_a_stolen_token_costs_its_thief_what_an_unknown_one_costs() {
    let (owner, thief) = (mine(), key(Algorithm::Ed25519));
    for (cache, thief) in [(0, Some(&thief)), (30, Some(&thief)), (0, None), (30, None)] {
        let unknown = Remote::default();
        unknown.responds(200, "application/json", r#"{"active":false}"#);
        let tokens = introspector(unknown.clone()).cache(Duration::from_secs(cache));
        let expected = observe(&api(tokens), &unknown, thief);
        // One request at a time when the memory of 5 seconds has ended.
        let requests = expected.iter().map(|(requests, ..)| *requests).collect::<Vec<_>>();
        assert_eq!(requests, [1, 0, 0, 1, 0, 1, 1]);

        let others = json!({"active": true, "aud": "https://other.example"});
        for (says, is_used) in [(active(), true), (active(), false), (others, false)] {
            let remote = Remote::default();
            remote.responds(200, "application/json", says.to_string());
            let api = api(introspector(remote.clone()).cache(Duration::from_secs(cache)));
            if is_used {
                ask(&api, "stolen", Some(&owner), NOW).unwrap();
            }
            assert_eq!(observe(&api, &remote, thief), expected, "{cache} {says} {is_used}");
            // The owner does not notice: his own result is cached as long as configured.
            let before = remote.requests();
            if is_used {
                ask(&api, "stolen", Some(&owner), NOW + 29).unwrap();
                assert_eq!(remote.requests() - before, usize::from(cache == 0));
            }
        }
    }
}

/// A token that is not bound is worth as much to everybody. Who presents it as `DPoP` by mistake is refused.
#[test]
fn v_64_an_unbound_token_is_cached_where_it_is_accepted() {
    let remote = Remote::default();
    let bearer = set(without(active(), "cnf"), "token_type", "Bearer");
    remote.responds(200, "application/json", bearer.to_string());
    let api = api(introspector(remote.clone()).cache(Duration::from_secs(30)));
    for now in [NOW, NOW + 29] {
        ask(&api, "unbound", None, now).unwrap();
    }
    assert_eq!(remote.requests(), 1);
    for (now, requests) in [(NOW, 1), (NOW + 4, 0), (NOW + 5, 1)] {
        let before = remote.requests();
        let rejection = ask(&api, "unbound", Some(&mine()), now).unwrap_err();
        assert_eq!((rejection.reason(), remote.requests() - before), (&Reason::UnboundToken, requests));
    }
}

/// The log says that the key is another one, also when the result is remembered.
#[test]
fn v_64_the_reason_for_a_stolen_token_is_its_binding() {
    let thief = key(Algorithm::Ed25519);
    let remote = Remote::default();
    remote.responds(200, "application/json", active().to_string());
    let api = api(introspector(remote.clone()));
    let binding = Reason::Binding {
        expected: mine().public_key().thumbprint(),
        actual: thief.public_key().thumbprint(),
    };
    for _ in 0..2 {
        assert_eq!(ask(&api, "stolen", Some(&thief), NOW).unwrap_err().reason(), &binding);
        assert_eq!(ask(&api, "stolen", None, NOW).unwrap_err().reason(), &Reason::BoundTokenAsBearer);
    }
    assert_eq!(remote.requests(), 2);
    // A remembered result that only serves a refusal has no claims.
    let tokens = introspector(remote);
    for _ in 0..2 {
        let presented = PresentedToken::new("t", Some(&thief.public_key().thumbprint()));
        let token = tokens.validate_presented(&presented, at(NOW)).unwrap();
        assert_eq!((token.jkt(), token.claims().len()), (Some(mine().public_key().thumbprint()), 0));
    }
}

/// An authorization server that is down: 503 for every token that the thief has no result for.
#[test]
fn v_64_an_outage_does_not_tell_a_cached_token_from_an_unknown_one() {
    let thief = key(Algorithm::Ed25519);
    let remote = Remote::default();
    remote.responds(200, "application/json", active().to_string());
    let api = api(introspector(remote.clone()).cache(Duration::from_secs(30)));
    ask(&api, "stolen", Some(&mine()), NOW).unwrap();
    remote.responds_with(|| Err(Error::timeout("too slow")));
    ask(&api, "stolen", Some(&mine()), NOW + 1).unwrap();
    for token in ["unknown", "stolen"] {
        let rejection = ask(&api, token, Some(&thief), NOW + 1).unwrap_err();
        assert!(rejection.is_server_fault(), "{token}: {rejection}");
    }
}

/// The thief asks while the owner's introspection is on its way, and would get its result early.
#[test]
fn v_64_no_introspection_is_shared_with_a_thief() {
    let thief = key(Algorithm::Ed25519);
    let issuer = SlowIssuer::new(active().to_string());
    let api = api(introspector(issuer.clone()).cache(Duration::from_secs(30)));
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let owner = scope.spawn(|| ask(&api, "stolen", Some(&mine()), NOW));
        until(|| issuer.requests() == 1);
        let thief = scope.spawn(|| {
            let seen = ask(&api, "stolen", Some(&thief), NOW);
            refused.fetch_add(1, Ordering::SeqCst);
            seen
        });
        until(|| issuer.requests() == 2);
        assert_eq!(refused.load(Ordering::SeqCst), 0);
        issuer.responds(true);
        owner.join().unwrap().unwrap();
        assert!(matches!(thief.join().unwrap().unwrap_err().reason(), Reason::Binding { .. }));
    });
    assert_eq!(issuer.requests(), 2);
}

/// Whether a JWT is valid is no secret: it says when it expires, and the keys are public. Whether it has been
/// used here would be told by a signature that is not verified.
#[test]
fn v_64_a_remembered_jwt_is_not_found_with_another_key() {
    let (key, owner, thief) = (key(Algorithm::Ed25519), mine(), crate::issuer::key(Algorithm::Ed25519));
    let jkt = owner.public_key().thumbprint().to_string();
    let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": "k1"});
    let token = jwt(&key, &header, &set(claims(), "cnf", json!({"jkt": jkt})));
    let keys = jwks(&[jwk(&key, "k1", &json!({}))]);
    let verifications = Verifications::default();
    let tokens = JwtValidator::with_keys(ISSUER, AUDIENCE, &keys).unwrap();
    let tokens = tokens.signature_verifier(verifications.clone());
    let api = api(tokens.clone());
    let count = |key: Option<&KeyPair>| {
        let before = verifications.count();
        (ask(&api, &token, key, NOW).is_ok(), verifications.count() - before)
    };
    assert_eq!([count(Some(&owner)), count(Some(&owner))], [(true, 1), (true, 0)]);
    assert_eq!([count(Some(&thief)), count(Some(&thief))], [(false, 1), (false, 1)]);
    assert_eq!([count(None), count(None)], [(false, 1), (false, 1)]);
    // The memory of the owner is not affected.
    assert_eq!(count(Some(&owner)), (true, 0));
    // It is found by the hash of the token, whether that was computed for the proof or for this.
    let before = verifications.count();
    let presented = PresentedToken::new(&token, Some(&owner.public_key().thumbprint()));
    assert!(tokens.validate_presented(&presented, at(NOW)).is_ok());
    assert_eq!(verifications.count(), before);
}

/// A validator that is told nothing of proofs, such as one that looks tokens up, is asked as before.
#[test]
fn validate_presented_calls_validate_unless_it_is_implemented() {
    struct Table(AtomicUsize);
    impl TokenValidator for Table {
        fn validate(&self, _: &str, _: std::time::SystemTime) -> Result<AccessToken, TokenError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(AccessToken::bound_to(mine().public_key().thumbprint()))
        }
    }
    let table = std::sync::Arc::new(Table(AtomicUsize::new(0)));
    let api = api(std::sync::Arc::clone(&table));
    ask(&api, "token", Some(&mine()), NOW).unwrap();
    ask(&api, "token", None, NOW).unwrap_err();
    assert_eq!(table.0.load(Ordering::SeqCst), 2);
    // `Arc` passes the key on.
    let (remote, jkt) = (Remote::default(), mine().public_key().thumbprint());
    remote.responds(200, "application/json", active().to_string());
    let tokens = std::sync::Arc::new(introspector(remote.clone()).cache(Duration::from_secs(30)));
    for presented in [Some(&jkt), None, Some(&jkt)] {
        tokens.validate_presented(&PresentedToken::new("t", presented), at(NOW)).unwrap();
    }
    assert_eq!(remote.requests(), 2);
}
