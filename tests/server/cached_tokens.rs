//! Verified access tokens are remembered: which checks are made once, and which on every use.

use std::time::Duration;

use possession::server::*;
use possession::*;
use serde_json::{Value, json};

use crate::issuer::{
    AUDIENCE, ISSUER, Remote, Verifications, claims, jwk, jwks, jwt, key, server, validator,
};
use crate::support::{NOW, at, mine, set};

fn header(kid: Option<&str>) -> Value {
    let header = json!({"typ": "at+jwt", "alg": "EdDSA"});
    kid.map_or(header.clone(), |kid| set(header, "kid", kid))
}

/// The signature is verified once, the proof of the caller every time. Only the very same text is found.
#[test]
fn the_signature_of_a_token_is_verified_once() {
    let key = key(Algorithm::Ed25519);
    let verifications = Verifications::default();
    let tokens = validator(&key).signature_verifier(verifications.clone());
    let first = jwt(&key, &header(Some("k1")), &claims());
    let other = jwt(&key, &header(Some("k1")), &set(claims(), "sub", "t"));
    let expected = tokens.validate(&first, at(NOW)).unwrap();
    assert_eq!((verifications.count(), expected.claim("sub")), (1, Some(&json!("s"))));
    // A copy with the same settings shares the memory.
    for tokens in [tokens.clone(), tokens.clone()] {
        assert_eq!(tokens.validate(&first, at(NOW + 1)), Ok(expected.clone()));
    }
    assert_eq!(verifications.count(), 1);
    assert_eq!(tokens.validate(&other, at(NOW)).unwrap().claim("sub"), Some(&json!("t")));
    assert_eq!(verifications.count(), 2);
    // The same claims with the signature of another token, which is as long, are refused, each time.
    let forged = format!("{}.{}", first.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1);
    for count in [3, 4] {
        assert_eq!(tokens.validate(&forged, at(NOW)), Err(TokenError::Signature));
        assert_eq!(verifications.count(), count);
    }
    // Switched off.
    let off = tokens.cached_tokens(0);
    for count in [5, 6] {
        assert_eq!(off.validate(&first, at(NOW)), Ok(expected.clone()));
        assert_eq!(verifications.count(), count);
    }
}

/// A token that was accepted with other settings is validated with the new ones.
#[test]
fn a_change_of_settings_forgets_the_tokens() {
    let key = key(Algorithm::Ed25519);
    let tokens = validator(&key).dangerous_accept_typ("JWT");
    let token = jwt(&key, &header(Some("k1")), &claims());
    assert!(tokens.validate(&token, at(NOW)).is_ok());
    let missing = Err(TokenError::Claim { claim: "azp".to_owned() });
    let strict = tokens.clone().required_claims(["azp"]);
    assert_eq!(strict.validate(&token, at(NOW)).map(drop), missing);
    let other = tokens.clone().algorithms([Algorithm::Es256]);
    assert!(matches!(other.validate(&token, at(NOW)), Err(TokenError::Algorithm { .. })));
    let short = tokens.clone().max_token_length(100);
    assert!(matches!(short.validate(&token, at(NOW)), Err(TokenError::Malformed(_))));
    let verifications = Verifications::default();
    for tokens in [
        tokens.clone().signature_verifier(verifications.clone()),
        tokens.signature_verifier(verifications.clone()).leeway(Duration::from_secs(9)),
    ] {
        let before = verifications.count();
        assert!(tokens.validate(&token, at(NOW)).is_ok());
        assert_eq!(verifications.count(), before + 1);
    }
}

#[test]
fn the_times_of_a_token_are_checked_on_every_use() {
    let key = key(Algorithm::Ed25519);
    for cached in [1, 0] {
        let tokens = validator(&key).cached_tokens(cached);
        let ask = |token: &str, now: u64| tokens.validate(token, at(now)).map(drop);
        let token = jwt(&key, &header(Some("k1")), &set(claims(), "nbf", NOW));
        let rows = [
            (NOW, Ok(())),
            (NOW + 64, Ok(())),
            (NOW + 65, Err(TokenError::Expired { seconds: 5 })),
            (NOW - 5, Ok(())),
            (NOW - 6, Err(TokenError::NotYetValid { seconds: 6 })),
            (NOW + 64, Ok(())),
        ];
        for (now, expected) in rows {
            assert_eq!(ask(&token, now), expected, "{cached} {now}");
        }
        let token = jwt(&key, &header(Some("k1")), &claims());
        let rows =
            [(NOW, Ok(())), (NOW - 60, Ok(())), (NOW - 61, Err(TokenError::IssuedInFuture { seconds: 61 }))];
        for (now, expected) in rows {
            assert_eq!(ask(&token, now), expected, "{cached} {now}");
        }
        let before_1970 = std::time::UNIX_EPOCH - Duration::from_secs(1);
        assert!(matches!(tokens.validate(&token, before_1970), Err(TokenError::Unavailable(_))));
    }
}

/// A key that leaves the key set takes its tokens along, whatever it is called and whether it has a name.
#[test]
fn a_token_is_forgotten_when_its_key_leaves_the_key_set() {
    let (mine, other) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519));
    let remote = Remote::default();
    let verifications = Verifications::default();
    let tokens = JwtValidator::new(&server(), AUDIENCE, remote.clone())
        .unwrap()
        .signature_verifier(verifications.clone());
    let responds = |keys: &[Value]| remote.responds(200, "application/json", jwks(keys));
    let claims = set(claims(), "exp", NOW + 200_000);
    let (named, unnamed) = (jwt(&mine, &header(Some("k1")), &claims), jwt(&mine, &header(None), &claims));
    let ask = |now: u64| [&named, &unnamed].map(|token| tokens.validate(token, at(now)).map(drop));
    let (own, others) = (jwk(&mine, "k1", &json!({})), jwk(&other, "k2", &json!({})));
    responds(std::slice::from_ref(&own));
    assert_eq!([ask(NOW), ask(NOW + 1)], [[Ok(()), Ok(())], [Ok(()), Ok(())]]);
    assert_eq!((verifications.count(), remote.requests()), (2, 1));
    // Another key set with the same key.
    responds(&[others.clone(), own.clone()]);
    assert_eq!([ask(NOW + 901), ask(NOW + 902)], [[Ok(()), Ok(())], [Ok(()), Ok(())]]);
    assert_eq!(
        (verifications.count(), remote.requests()),
        (2, 2),
        "keys of remembered tokens are fetched too"
    );
    // The key is withdrawn.
    responds(std::slice::from_ref(&others));
    assert_eq!(ask(NOW + 1_802), [Err(TokenError::UnknownKey), Err(TokenError::Signature)]);
    // Another key has its name.
    responds(&[jwk(&other, "k1", &json!({}))]);
    assert_eq!(ask(NOW + 2_703), [Err(TokenError::Signature), Err(TokenError::Signature)]);
    // It is there again, but not for this algorithm.
    responds(&[set(own.clone(), "alg", "ES256"), others]);
    assert_eq!(ask(NOW + 3_604), [Err(TokenError::UnknownKey), Err(TokenError::Signature)]);
    responds(&[own]);
    assert_eq!(ask(NOW + 4_505), [Ok(()), Ok(())]);
    // Keys that cannot be fetched are used for a day, and so are their tokens.
    remote.responds(500, "text/plain", "");
    assert_eq!(ask(NOW + 4_505 + 86_399), [Ok(()), Ok(())]);
    let seen = ask(NOW + 4_505 + 86_400);
    assert!(seen.iter().all(|seen| matches!(seen, Err(TokenError::Unavailable(_)))), "{seen:?}");
}

/// A remembered token does not make a proof any better.
#[test]
fn the_proof_is_verified_for_every_request() {
    let (key, client, thief) = (key(Algorithm::Ed25519), mine(), crate::issuer::key(Algorithm::Es256));
    let jkt = client.public_key().thumbprint().to_string();
    let token = jwt(&key, &header(Some("k1")), &set(claims(), "cnf", json!({"jkt": jkt})));
    let verifier = Verifier::new(MemoryReplayStore::new(10));
    let keys = jwks(&[jwk(&key, "k1", &json!({}))]);
    let tokens = JwtValidator::with_keys(ISSUER, AUDIENCE, &keys).unwrap();
    let api = ResourceServer::new("https://api.example", verifier, tokens).unwrap();
    let prove = |key: &KeyPair| {
        let proof = Proof::new(&http::Method::GET, "https://api.example/a").unwrap();
        proof.access_token(&token).sign(key, at(NOW)).unwrap()
    };
    let ask = |proof: &str| {
        let request = http::Request::get("/a").header("authorization", format!("DPoP {token}"));
        let (parts, ()) = request.header("dpop", proof).body(()).unwrap().into_parts();
        api.authenticate(&parts, at(NOW)).map(drop).map_err(|rejection| rejection.reason().clone())
    };
    let first = prove(&client).to_string();
    assert_eq!([ask(&first), ask(&prove(&client).to_string())], [Ok(()), Ok(())]);
    assert_eq!(ask(&first), Err(Reason::Replayed));
    assert!(matches!(ask(&prove(&thief).to_string()), Err(Reason::Binding { .. })));
    let second = prove(&client).to_string();
    let forged = format!("{}.{}", second.rsplit_once('.').unwrap().0, first.rsplit_once('.').unwrap().1);
    assert_eq!(ask(&forged), Err(Reason::Signature));
}
