//! Limits of what is read: longer tokens, larger key sets and other media types than usual. Each limit can be
//! changed or is named by the error.

use possession::server::*;
use possession::*;
use serde_json::{Value, json};

use crate::issuer::{
    AUDIENCE, ISSUER, Remote, Verifications, claims, jwk, jwks, jwt, key, server, validator,
};
use crate::support::{NOW, at, set};

fn token(key: &KeyPair, kid: Option<&str>, claims: &Value) -> String {
    let header = json!({"typ": "at+jwt", "alg": "EdDSA"});
    let header = kid.map_or(header.clone(), |kid| set(header, "kid", kid));
    jwt(key, &header, claims)
}

/// 16 KiB unless set otherwise, counted in characters. Tokens with many groups or roles are longer.
#[test]
fn the_length_of_access_tokens_is_limited_by_a_setting() {
    let key = key(Algorithm::Ed25519);
    let long = |roles: usize| {
        let roles: Vec<_> = (0..roles).map(|n| format!("role {n:>4}")).collect();
        token(&key, Some("k1"), &set(claims(), "roles", roles))
    };
    let (short, long) = (long(900), long(3_500));
    assert!(short.len() < 16_384 && long.len() > 50_000);
    let tokens = validator(&key);
    assert!(tokens.validate(&short, at(NOW)).is_ok());
    let error = tokens.validate(&long, at(NOW)).unwrap_err();
    assert_eq!(error, TokenError::Malformed(JwsError::TooLong { limit: 16_384 }));
    let text = error.to_string();
    assert!(text.contains("16384") && text.contains("JwtValidator::max_token_length"), "{text}");
    let longer = |limit: usize| tokens.clone().max_token_length(limit).validate(&long, at(NOW)).map(drop);
    assert_eq!(longer(long.len()), Ok(()));
    assert_eq!(longer(usize::MAX), Ok(()));
    let limit = long.len() - 1;
    assert_eq!(longer(limit), Err(TokenError::Malformed(JwsError::TooLong { limit })));
    assert!(tokens.max_token_length(0).validate(&short, at(NOW)).is_err());
}

/// A key with a name of its own is found wherever it is in the set. Reading a set takes time for each key, so
/// there is a limit, and the error names it: the token may be valid.
#[test]
fn keys_beyond_the_hundredth_of_a_set_are_found_by_their_kid() {
    let (other, mine) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519));
    let set_of = |before: usize| {
        let others = (0..before).map(|n| jwk(&other, &format!("other {n}"), &json!({})));
        jwks(&others.chain([jwk(&mine, "mine", &json!({}))]).collect::<Vec<_>>())
    };
    let named = token(&mine, Some("mine"), &claims());
    for before in [0, 99, 100, 999] {
        let fixed = JwtValidator::with_keys(ISSUER, AUDIENCE, &set_of(before)).unwrap();
        assert!(fixed.validate(&named, at(NOW)).is_ok(), "{before}");
        let remote = Remote::default();
        remote.responds(200, "application/json", set_of(before));
        let fetched = JwtValidator::new(&server(), AUDIENCE, remote).unwrap();
        assert!(fetched.validate(&named, at(NOW)).is_ok(), "{before}");
    }
    let too_many = JwtValidator::with_keys(ISSUER, AUDIENCE, &set_of(1_000)).unwrap();
    let error = too_many.validate(&named, at(NOW)).unwrap_err();
    assert!(matches!(&error, TokenError::Unavailable(error) if *error.kind() == ErrorKind::Key), "{error}");
    assert!(error.to_string().contains("1001 keys (at most 1000 are read)"), "{error}");
    // What does not depend on the limit.
    let by_other = token(&other, Some("other 999"), &claims());
    assert!(too_many.validate(&by_other, at(NOW)).is_ok());
    let forged = token(&mine, Some("other 999"), &claims());
    assert_eq!(too_many.validate(&forged, at(NOW)), Err(TokenError::Signature));
}

/// A token without `kid` is tried with one key after the other. Each costs a verification that anybody can
/// cause, so there is a limit, and the error names it. With a hundred RSA keys of 4096 bits, one token that
/// anybody made up would cost more than 10 ms.
#[test]
fn at_most_eight_keys_are_tried_for_a_token() {
    let (other, mine) = (key(Algorithm::Ed25519), key(Algorithm::Ed25519));
    let es = key(Algorithm::Es256);
    let with = |before: usize, after: usize, kid: Option<&str>| {
        let one = |key: &KeyPair, n: usize| jwk(key, kid.unwrap_or(&format!("k{n}")), &json!({}));
        let mut keys: Vec<_> = (0..before).map(|n| one(&other, n)).collect();
        keys.push(one(&mine, before));
        keys.extend((0..after).map(|n| one(&other, before + 1 + n)));
        // Keys for other algorithms do not count.
        keys.extend((0..50).map(|_| one(&es, 9_999)));
        JwtValidator::with_keys(ISSUER, AUDIENCE, &jwks(&keys)).unwrap()
    };
    for kid in [None, Some("same")] {
        let (good, forged) = (token(&mine, kid, &claims()), token(&key(Algorithm::Ed25519), kid, &claims()));
        let few = with(7, 0, kid);
        assert!(few.validate(&good, at(NOW)).is_ok());
        assert_eq!(few.validate(&forged, at(NOW)), Err(TokenError::Signature));
        let many = with(8, 0, kid);
        for token in [&good, &forged] {
            let error = many.validate(token, at(NOW)).unwrap_err();
            assert!(matches!(&error, TokenError::Unavailable(_)), "{error}");
            assert!(error.to_string().contains("at most 8 are tried"), "{error}");
        }
        let verifications = Verifications::default();
        let counted = with(100, 100, kid).signature_verifier(verifications.clone());
        assert!(matches!(counted.validate(&forged, at(NOW)), Err(TokenError::Unavailable(_))));
        assert_eq!(verifications.count(), 8);
        assert!(with(5, 200, kid).validate(&good, at(NOW)).is_ok());
    }
}

/// File stores serve a key set as bytes unless told otherwise: Google Cloud Storage and GitHub as
/// `application/octet-stream`, Amazon S3 as `binary/octet-stream`. The document is read as JSON in any case.
#[test]
fn a_key_set_may_be_served_as_bytes() {
    let key = key(Algorithm::Ed25519);
    let good = jwks(&[jwk(&key, "k1", &json!({}))]);
    let ask = |status, media_type, body: &str| {
        let remote = Remote::default();
        remote.responds(status, media_type, body);
        let tokens = JwtValidator::new(&server(), AUDIENCE, remote).unwrap();
        tokens.validate(&token(&key, Some("k1"), &claims()), at(NOW)).map(drop)
    };
    for media_type in [
        "application/octet-stream",
        "Application/Octet-Stream",
        "binary/octet-stream",
        "application/octet-stream; charset=utf-8",
        "application/jwk-set+json",
        "application/json",
        "text/plain",
    ] {
        assert_eq!(ask(200, media_type, &good), Ok(()), "{media_type}");
    }
    for (status, media_type, body) in [
        (200, "text/html", good.as_str()),
        (200, "image/png", &good),
        (200, "application/octet-stream-not", &good),
        (200, "application/octet-stream", "not JSON"),
        (404, "application/octet-stream", &good),
        (302, "application/octet-stream", &good),
    ] {
        let error = ask(status, media_type, body).unwrap_err();
        assert!(matches!(error, TokenError::Unavailable(_)), "{status} {media_type}: {error}");
        // The error says what would be right, where the media type is wrong.
        let names_it = error.to_string().contains("application/octet-stream is read as well");
        assert_eq!(names_it, status == 200 && body == good, "{error}");
    }
}
