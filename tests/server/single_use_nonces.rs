//! Nonces that are accepted once: when a source is asked, and what uses a nonce up. A nonce that another
//! peer could use up would lock its owner out. Threats V-39, V-47 and V-48.

use std::collections::HashSet;
use std::sync::{Arc, Barrier, Mutex};
use std::time::SystemTime;

use possession::server::*;
use possession::*;
use serde_json::{Value, json};

use crate::support::{
    Exact, NOW, TOKEN, at, badly_signed, claims, header_of, jkt, jws, mine, proof, received, set, without,
};

/// The nonces that have not been used, and the number of calls of `check` and `consume`. `n0`, `n1` … are
/// made in this order.
#[derive(Default)]
struct Nonces {
    unused: HashSet<String>,
    made: usize,
    checked: usize,
    consumed: usize,
}

/// A source that uses up a nonce in `consume`.
#[derive(Clone, Default)]
struct SingleUse(Arc<Mutex<Nonces>>);

impl NonceSource for SingleUse {
    fn make(&self, _: ServerRole, _: Option<&Thumbprint>, _: SystemTime) -> Result<String, Error> {
        let mut nonces = self.0.lock().unwrap();
        let nonce = format!("n{}", nonces.made);
        nonces.made += 1;
        nonces.unused.insert(nonce.clone());
        Ok(nonce)
    }

    fn check(&self, nonce: &str, _: ServerRole, _: &Thumbprint, _: SystemTime) -> NonceState {
        let mut nonces = self.0.lock().unwrap();
        nonces.checked += 1;
        match nonces.unused.contains(nonce) {
            true => NonceState::Valid { made: Some(at(NOW)), until: Some(at(NOW + 300)), ageing: true },
            false => NonceState::Invalid,
        }
    }

    fn consume(&self, nonce: &str, _: ServerRole, _: &Thumbprint, _: SystemTime) -> bool {
        let mut nonces = self.0.lock().unwrap();
        nonces.consumed += 1;
        nonces.unused.remove(nonce)
    }
}

impl SingleUse {
    fn with_a_nonce() -> (Self, String) {
        let source = Self::default();
        let nonce = source.make(ServerRole::ResourceServer, None, at(NOW)).unwrap();
        (source, nonce)
    }

    fn has(&self, nonce: &str) -> bool {
        self.0.lock().unwrap().unused.contains(nonce)
    }

    fn calls(&self) -> (usize, usize) {
        let nonces = self.0.lock().unwrap();
        (nonces.checked, nonces.consumed)
    }
}

/// A source of the kind that knows one call only: `check` uses the nonce up.
struct UsedUpByCheck(SingleUse);

impl NonceSource for UsedUpByCheck {
    fn make(&self, role: ServerRole, jkt: Option<&Thumbprint>, now: SystemTime) -> Result<String, Error> {
        self.0.make(role, jkt, now)
    }

    fn check(&self, nonce: &str, role: ServerRole, jkt: &Thumbprint, now: SystemTime) -> NonceState {
        let state = self.0.check(nonce, role, jkt, now);
        self.0.consume(nonce, role, jkt, now);
        state
    }
}

fn verifiers(source: impl NonceSource + Clone + 'static) -> [Verifier; 4] {
    let new = || Verifier::new(MemoryReplayStore::new(1_000));
    [
        new().require_nonces(source.clone()),
        new().offer_nonces(source.clone()),
        new().require_nonces(source.clone()).trust_nonce_time(),
        new().offer_nonces(source).trust_nonce_time(),
    ]
}

fn at_resource(verifier: &Verifier, proof: &str, key: &KeyPair) -> Result<VerifiedProof, Rejection> {
    let proofs = [proof.to_owned()];
    verifier.verify_resource_request(&received(&proofs), TOKEN, &jkt(key), at(NOW))
}

/// Whoever cannot sign with a key of his own does not reach the source, whether it uses a nonce up in
/// `check` or in `consume`.
#[test]
fn v_48_a_forged_proof_does_not_use_up_a_nonce() {
    let forged = |nonce: &str| -> Vec<String> {
        let good = set(claims("x"), "nonce", nonce);
        let other_signature = badly_signed(&good);
        let (signed, _) = other_signature.rsplit_once('.').unwrap();
        vec![other_signature.clone(), format!("{signed}.{}", "A".repeat(86)), format!("{signed}.AAAA")]
    };
    let (source, nonce) = SingleUse::with_a_nonce();
    for verifier in verifiers(source.clone()) {
        for forged in forged(&nonce) {
            let rejection = at_resource(&verifier, &forged, &mine()).unwrap_err();
            assert_eq!((rejection.error(), rejection.nonce()), (Some("invalid_dpop_proof"), None));
        }
    }
    assert_eq!(source.calls(), (0, 0));
    for trust in [false, true] {
        let (source, nonce) = SingleUse::with_a_nonce();
        let verifier =
            Verifier::new(MemoryReplayStore::new(10)).require_nonces(UsedUpByCheck(source.clone()));
        let verifier = if trust { verifier.trust_nonce_time() } else { verifier };
        for forged in forged(&nonce) {
            assert!(at_resource(&verifier, &forged, &mine()).is_err());
        }
        assert!(source.has(&nonce));
        let owner = proof(&set(claims("x"), "nonce", nonce.as_str()));
        assert!(at_resource(&verifier, &owner, &mine()).is_ok());
        assert!(!source.has(&nonce));
    }
}

/// A proof that is rejected for whatever reason leaves its nonce unused, so that the proof of its owner is
/// accepted afterwards. The accepted proof uses it up.
#[test]
fn v_47_only_an_accepted_proof_uses_up_its_nonce() {
    let thief = KeyPair::generate(Algorithm::Ed25519).unwrap();
    let (source, first) = SingleUse::with_a_nonce();
    for verifier in verifiers(source.clone()) {
        let nonce = source.make(ServerRole::ResourceServer, None, at(NOW)).unwrap();
        let good = || set(claims("x"), "nonce", nonce.as_str());
        let used = proof(&set(claims("used"), "nonce", first.as_str()));
        let rejected: Vec<(&str, String)> = vec![
            ("another key", jws(&thief, &header_of(&thief), &good())),
            ("another token", proof(&set(good(), "ath", ath("other")))),
            ("another method", proof(&set(good(), "htm", "GET"))),
            ("another URL", proof(&set(good(), "htu", "https://evil.example/"))),
            ("no jti", proof(&without(good(), "jti"))),
            ("no iat", proof(&without(good(), "iat"))),
            ("expired", proof(&set(set(good(), "iat", NOW - 1), "exp", NOW - 1))),
            ("not yet valid", proof(&set(good(), "nbf", NOW + 3_600))),
            ("another nonce", proof(&set(good(), "nonce", used.as_str()))),
            ("a nonce that is not a string", proof(&set(good(), "nonce", json!([nonce])))),
        ];
        for (what, proof) in rejected {
            let (_, before) = source.calls();
            assert!(at_resource(&verifier, &proof, &mine()).is_err(), "{what}");
            assert_eq!((source.calls().1, source.has(&nonce)), (before, true), "{what}");
        }
        let accepted = at_resource(&verifier, &proof(&good()), &mine()).unwrap();
        assert_eq!((accepted.jti(), accepted.claim("nonce")), ("x", Some(&json!(nonce))));
        assert!(!source.has(&nonce));
        // The response brings the next one.
        assert!(source.has(accepted.next_nonce().unwrap()));
        // The nonce is not accepted again, with the same proof or another, and the client gets a new one.
        for claims in [good(), set(good(), "jti", "y")] {
            let rejection = at_resource(&verifier, &proof(&claims), &mine()).unwrap_err();
            assert_eq!(rejection.error(), Some("use_dpop_nonce"));
            assert!(source.has(rejection.nonce().unwrap()));
        }
    }
}

/// A replayed proof with a nonce that is still valid, where the source lets it be used several times, is a
/// replay.
#[test]
fn a_source_that_does_not_use_nonces_up_is_not_affected() {
    struct Lasting;
    impl NonceSource for Lasting {
        fn make(&self, _: ServerRole, _: Option<&Thumbprint>, _: SystemTime) -> Result<String, Error> {
            Ok("n1".to_owned())
        }

        fn check(&self, nonce: &str, _: ServerRole, _: &Thumbprint, _: SystemTime) -> NonceState {
            match nonce {
                "n1" => NonceState::Valid { made: None, until: None, ageing: false },
                _ => NonceState::Invalid,
            }
        }
    }
    let verifier = Verifier::new(MemoryReplayStore::new(10)).require_nonces(Lasting);
    for jti in ["x", "y"] {
        let proof = proof(&claims(jti));
        assert_eq!(at_resource(&verifier, &proof, &mine()).unwrap().jti(), jti);
        assert_eq!(at_resource(&verifier, &proof, &mine()).unwrap_err().reason(), &Reason::Replayed);
    }
}

/// Sixteen proofs with one nonce, at once: `check` finds it valid for all of them, and one is accepted.
/// V-39: the others record no `jti`.
#[test]
fn v_39_of_several_proofs_with_one_nonce_one_is_accepted() {
    let (source, nonce) = SingleUse::with_a_nonce();
    let exact = Arc::new(Exact::default());
    let verifier = Verifier::new(Arc::clone(&exact)).require_nonces(source);
    let proofs: Vec<_> =
        (0..16).map(|n| proof(&set(claims(&n.to_string()), "nonce", nonce.as_str()))).collect();
    let start = Barrier::new(proofs.len());
    let ask = |proof: &String| {
        start.wait();
        at_resource(&verifier, proof, &mine())
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = proofs.iter().map(|proof| scope.spawn(|| ask(proof))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for rejection in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!((rejection.reason(), rejection.error()), (&Reason::Nonce, Some("use_dpop_nonce")));
        assert!(rejection.nonce().is_some() && rejection.nonce() != Some(nonce.as_str()));
    }
    assert_eq!(exact.asked.lock().unwrap().len(), 1);
}

/// A resource server looks at the token between the two calls: a token that is not accepted uses up nothing.
#[test]
fn v_47_a_refused_token_leaves_the_nonce_unused() {
    struct Tokens;
    impl TokenValidator for Tokens {
        fn validate(&self, access_token: &str, _: SystemTime) -> Result<AccessToken, TokenError> {
            match access_token {
                TOKEN => Ok(AccessToken::bound_to(jkt(&mine()))),
                "down" => Err(TokenError::Unavailable(Error::timeout("too slow"))),
                _ => Err(TokenError::Inactive),
            }
        }
    }
    let (source, nonce) = SingleUse::with_a_nonce();
    let verifier = Verifier::new(MemoryReplayStore::new(10)).require_nonces(source.clone());
    let api = ResourceServer::new("https://server.example.com", verifier, Tokens).unwrap();
    let ask = |token: &str| {
        let claims: Value = set(set(claims("x"), "ath", ath(token)), "nonce", nonce.as_str());
        let request = http::Request::post("/token").header("authorization", format!("DPoP {token}"));
        let (parts, ()) = request.header("dpop", proof(&claims)).body(()).unwrap().into_parts();
        api.authenticate(&parts, at(NOW)).map(|caller| caller.proof().unwrap().jti().to_owned())
    };
    for token in ["unknown", "down"] {
        assert!(ask(token).is_err());
        assert!(source.has(&nonce), "{token}");
    }
    assert_eq!(ask(TOKEN), Ok("x".to_owned()));
    assert!(!source.has(&nonce));
}
