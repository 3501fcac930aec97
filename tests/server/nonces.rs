//! Sources of nonces (RFC 9449 §8 and §9): `StatelessNonces` and the caller's own `NonceSource`. Threats
//! V-34 and V-44 to V-49.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::server::*;
use possession::testing::FixedNonces;
use possession::*;
use serde_json::{Value, json};

use crate::support::{NOW, URL, at, header_of, jws};

/// Random bytes, so that no part of it occurs elsewhere by chance.
const SECRET: [u8; 32] = *b"\x1f\x8a\x03\xd5\x6c\xee\x90\x47\xb2\x11\x7e\xa9\x5d\xc8\x24\xf6\x39\x80\xeb\x0c\x75\xda\x46\x92\xbf\x5a\x08\xe1\x33\xcd\x67\x9e";

fn key() -> KeyPair {
    KeyPair::generate(Algorithm::Ed25519).unwrap()
}

fn secret(first: u8) -> [u8; 32] {
    let mut secret = SECRET;
    secret[0] = first;
    secret
}

fn nonces() -> StatelessNonces {
    StatelessNonces::new(&SECRET).unwrap()
}

fn verifier(nonces: StatelessNonces) -> Verifier {
    Verifier::new(MemoryReplayStore::new(1_000)).require_nonces(nonces)
}

fn proof(key: &KeyPair, nonce: Option<&str>, iat: u64) -> String {
    let proof = Proof::new(&http::Method::POST, URL).unwrap().access_token("token");
    match nonce {
        Some(nonce) => proof.nonce(nonce.to_owned()).sign(key, at(iat)).unwrap(),
        None => proof.sign(key, at(iat)).unwrap(),
    }
}

/// A proof that the crate would not write: its `nonce` is any JSON value.
fn with_claim(key: &KeyPair, nonce: &Value) -> String {
    let claims =
        json!({"jti": "j", "htm": "POST", "htu": URL, "iat": NOW, "ath": ath("token"), "nonce": nonce});
    jws(key, &header_of(key), &claims)
}

fn ask(
    verifier: &Verifier,
    part: ServerRole,
    key: &KeyPair,
    proof: &str,
    now: u64,
) -> Result<VerifiedProof, Rejection> {
    let request = ReceivedRequest::from_fields(&http::Method::POST, URL, vec![proof.as_bytes()]).unwrap();
    match part {
        ServerRole::AuthorizationServer => verifier.verify_token_request(&request, at(now)),
        ServerRole::ResourceServer => {
            verifier.verify_resource_request(&request, "token", &key.public_key().thumbprint(), at(now))
        }
    }
}

fn with_nonce(
    verifier: &Verifier,
    part: ServerRole,
    key: &KeyPair,
    nonce: &str,
    now: u64,
) -> Result<VerifiedProof, Rejection> {
    ask(verifier, part, key, &proof(key, Some(nonce), now), now)
}

const PARTS: [ServerRole; 2] = [ServerRole::AuthorizationServer, ServerRole::ResourceServer];

/// V-44, V-46, V-48 and V-49: the response does not depend on what is wrong with the nonce.
#[test]
fn v_44_every_bad_nonce_gets_the_same_response_with_a_nonce_that_works() {
    for part in PARTS {
        let (key, verifier) = (key(), verifier(nonces()));
        let first = ask(&verifier, part, &key, &proof(&key, None, NOW), NOW).unwrap_err();
        let good = first.nonce().unwrap().to_owned();
        // RFC 9449 §8.1, and short.
        assert!(
            (20..256).contains(&good.len())
                && good.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        );
        assert!(with_nonce(&verifier, part, &key, &good, NOW).is_ok());

        let bytes = Base64UrlUnpadded::decode_vec(&good).unwrap();
        let mut bad: Vec<String> = (0..bytes.len() * 8)
            .map(|bit| {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                Base64UrlUnpadded::encode_string(&flipped)
            })
            .collect();
        bad.extend((1..good.len()).map(|length| good[..length].to_owned()));
        let other = StatelessNonces::new(&secret(0)).unwrap();
        let forged = other.make(part, None, at(NOW)).unwrap();
        let expired = nonces().make(part, None, at(NOW - 301)).unwrap();
        let coming = nonces().make(part, None, at(NOW + 60)).unwrap();
        bad.extend([
            good.to_uppercase(),
            format!("{good}A"),
            format!("{good}AAAA"),
            "x".to_owned(),
            forged,
            expired,
            coming,
        ]);
        for nonce in bad {
            let rejection = with_nonce(&verifier, part, &key, &nonce, NOW).unwrap_err();
            assert_eq!(rejection.reason(), &Reason::Nonce, "{nonce}");
            let (seen, expected) = (rejection.to_response(), first.to_response());
            assert_eq!((seen.status(), seen.body()), (expected.status(), expected.body()));
            assert_eq!(seen.headers(), expected.headers(), "the same second gives the same nonce");
            assert_eq!(seen.headers().get_all("dpop-nonce").iter().count(), 1);
            assert_eq!(seen.headers()["cache-control"], "no-store");
            assert_eq!(rejection.error(), Some("use_dpop_nonce"));
        }
        // A claim that is not a string.
        for value in [json!(1), json!(null), json!([good])] {
            let rejection = ask(&verifier, part, &key, &with_claim(&key, &value), NOW).unwrap_err();
            assert_eq!(rejection.error(), Some("use_dpop_nonce"));
        }
        // V-48: a peer that cannot sign learns nothing, whatever the nonce.
        for nonce in [None, Some(good.as_str()), Some("forged")] {
            let proof = proof(&key, nonce, NOW);
            let (signed, _) = proof.rsplit_once('.').unwrap();
            let unsigned = format!("{signed}.{}", Base64UrlUnpadded::encode_string(&[0; 64]));
            let rejection = ask(&verifier, part, &key, &unsigned, NOW).unwrap_err();
            assert_eq!((rejection.error(), rejection.nonce()), (Some("invalid_dpop_proof"), None));
        }
    }
}

#[test]
fn v_45_a_nonce_counts_only_for_its_role_scope_and_key() {
    let (mine, other) = (key(), key());
    let jkt = |key: &KeyPair| key.public_key().thumbprint();
    let [authorization, resource] = PARTS;
    let scoped = |scope: &str| nonces().scope(scope);
    let is_valid = |source: &StatelessNonces, nonce: &str, part, key: &KeyPair| {
        source.check(nonce, part, &jkt(key), at(NOW)) != NonceState::Invalid
    };
    for (source, here) in [(nonces(), nonces()), (scoped("tenant a"), scoped("tenant a"))] {
        let nonce = source.make(authorization, None, at(NOW)).unwrap();
        assert!(
            is_valid(&here, &nonce, authorization, &mine),
            "another node with the same secret accepts it"
        );
        assert!(is_valid(&here, &nonce, authorization, &other));
        assert!(!is_valid(&here, &nonce, resource, &mine));
        assert!(!is_valid(&scoped("tenant b"), &nonce, authorization, &mine));
    }
    assert!(!is_valid(
        &scoped("a"),
        &nonces().make(authorization, None, at(NOW)).unwrap(),
        authorization,
        &mine
    ));

    let per_key = nonces().per_key();
    let nonce = per_key.make(resource, Some(&jkt(&mine)), at(NOW)).unwrap();
    assert!(is_valid(&per_key, &nonce, resource, &mine) && !is_valid(&per_key, &nonce, resource, &other));
    assert!(!is_valid(&per_key, &per_key.make(resource, None, at(NOW)).unwrap(), resource, &mine));
    assert!(
        !is_valid(&nonces(), &nonce, resource, &mine),
        "made for one key, checked by a source without keys"
    );
    // The nonce of a rejection works for the key that signed the proof.
    let verifier = verifier(per_key);
    let rejection = ask(&verifier, resource, &mine, &proof(&mine, None, NOW), NOW).unwrap_err();
    let nonce = rejection.nonce().unwrap();
    assert!(with_nonce(&verifier, resource, &other, nonce, NOW).is_err());
    assert!(with_nonce(&verifier, resource, &mine, nonce, NOW).is_ok());
}

#[test]
fn v_45_during_a_rotation_both_secrets_count_and_afterwards_only_the_new_one() {
    let (old, new) = (secret(1), secret(2));
    let make = |source: &StatelessNonces| source.make(ServerRole::ResourceServer, None, at(NOW)).unwrap();
    let accepts = |source: &StatelessNonces, nonce: &str| {
        source.check(nonce, ServerRole::ResourceServer, &key().public_key().thumbprint(), at(NOW))
            != NonceState::Invalid
    };
    let steps = [
        StatelessNonces::new(&old).unwrap(),
        StatelessNonces::new(&old).unwrap().accept(&new).unwrap(),
        StatelessNonces::new(&new).unwrap().accept(&old).unwrap(),
        StatelessNonces::new(&new).unwrap(),
    ];
    // While the nodes go from one step to the next, each accepts the nonces of the others.
    for pair in steps.windows(2) {
        assert!(accepts(&pair[1], &make(&pair[0])) && accepts(&pair[0], &make(&pair[1])));
    }
    // Without the old secret, its nonces are refused.
    assert!(!accepts(&steps[3], &make(&steps[0])) && !accepts(&steps[3], &make(&steps[1])));
    assert!(!accepts(&steps[0], &make(&steps[3])));
}

/// A client that calls at least once in the second half of each lifetime is challenged only once.
#[test]
fn a_nonce_is_renewed_before_it_expires() {
    for part in PARTS {
        let (key, verifier) = (key(), verifier(nonces()));
        let rejection = ask(&verifier, part, &key, &proof(&key, None, NOW), NOW).unwrap_err();
        let mut nonce = rejection.nonce().unwrap().to_owned();
        let mut renewed = 0;
        // Every 140 seconds for ten hours: a nonce lives for 300 and is renewed when it is older than 150.
        for now in (NOW..NOW + 36_000).step_by(140) {
            let verified = with_nonce(&verifier, part, &key, &nonce, now).unwrap();
            let mut headers = http::HeaderMap::new();
            verified.add_headers(&mut headers);
            assert_eq!(headers.get("dpop-nonce").map(|n| n.to_str().unwrap()), verified.next_nonce());
            assert_eq!(headers.contains_key("cache-control"), verified.next_nonce().is_some());
            if let Some(next) = verified.next_nonce() {
                renewed += 1;
                nonce = next.to_owned();
            }
        }
        assert!((100..200).contains(&renewed), "renewed {renewed} times");
        // The last second of a nonce and the one after.
        let verifier = self::verifier(nonces());
        let rejection = ask(&verifier, part, &key, &proof(&key, None, NOW), NOW).unwrap_err();
        let nonce = rejection.nonce().unwrap();
        for (age, fine) in [(300, true), (301, false)] {
            assert_eq!(with_nonce(&verifier, part, &key, nonce, NOW + age).is_ok(), fine, "{age}");
        }
    }
}

#[test]
fn an_offered_nonce_is_not_required() {
    let (key, part) = (key(), ServerRole::ResourceServer);
    let verifier = Verifier::new(MemoryReplayStore::new(1_000)).offer_nonces(nonces());
    let verified = ask(&verifier, part, &key, &proof(&key, None, NOW), NOW).unwrap();
    let nonce = verified.next_nonce().unwrap();
    assert_eq!(with_nonce(&verifier, part, &key, nonce, NOW).unwrap().next_nonce(), None);
    assert_eq!(with_nonce(&verifier, part, &key, "forged", NOW).unwrap_err().error(), Some("use_dpop_nonce"));
    // A server without nonces ignores the claim.
    let off = Verifier::new(MemoryReplayStore::new(1_000));
    assert_eq!(with_nonce(&off, part, &key, "anything", NOW).unwrap().next_nonce(), None);
}

/// The time of the nonce stands in for a client clock that is wrong by days, and the proof is remembered as
/// long as its nonce is accepted.
#[test]
fn v_34_the_time_of_the_nonce_replaces_iat_only_where_configured() {
    let (key, part) = (key(), ServerRole::AuthorizationServer);
    let day = 86_400;
    for wrong_clock in [NOW - 3 * day, NOW + 3 * day] {
        let nonce = nonces().make(part, None, at(NOW)).unwrap();
        let proof = proof(&key, Some(&nonce), wrong_clock);
        let strict = ask(&verifier(nonces()), part, &key, &proof, NOW).unwrap_err();
        assert!(matches!(strict.reason(), Reason::Stale { .. } | Reason::Future { .. }));

        let trusting = verifier(nonces()).trust_nonce_time();
        assert!(ask(&trusting, part, &key, &proof, NOW).is_ok());
        for now in [NOW, NOW + 299, NOW + 300] {
            assert_eq!(
                ask(&trusting, part, &key, &proof, now).unwrap_err().reason(),
                &Reason::Replayed,
                "{now}"
            );
        }
        assert_eq!(ask(&trusting, part, &key, &proof, NOW + 301).unwrap_err().reason(), &Reason::Nonce);
        // A client without a current nonce gets one, whatever its clock says.
        let without = self::proof(&key, None, wrong_clock);
        let rejection = ask(&trusting, part, &key, &without, NOW).unwrap_err();
        assert_eq!((rejection.error(), rejection.nonce().is_some()), (Some("use_dpop_nonce"), true));
        // `exp` and `nbf` are judged by the client's clock (RFC 7519 §4.1.4, §4.1.5).
        for (claim, time, reason) in
            [("exp", wrong_clock, Reason::Expired), ("nbf", wrong_clock + 1, Reason::NotYetValid)]
        {
            let proof = Proof::new(&http::Method::POST, URL).unwrap().nonce(nonce.clone()).claim(claim, time);
            let proof = proof.sign(&key, at(wrong_clock)).unwrap();
            assert_eq!(ask(&trusting, part, &key, &proof, NOW).unwrap_err().reason(), &reason);
        }
    }
}

/// V-34 and V-36.
#[test]
fn v_34_the_store_is_told_to_remember_a_proof_as_long_as_its_nonce() {
    struct Recorder(std::sync::Mutex<Vec<SystemTime>>);
    impl ReplayStore for Recorder {
        fn insert_if_absent(
            &self,
            proof: &ProofRecord,
            _: SystemTime,
        ) -> Result<InsertOutcome, ReplayStoreError> {
            self.0.lock().unwrap().push(proof.accepted_until());
            Ok(InsertOutcome::Inserted)
        }
    }
    let (key, part) = (key(), ServerRole::ResourceServer);
    let recorder = std::sync::Arc::new(Recorder(Default::default()));
    let verifier =
        Verifier::new(std::sync::Arc::clone(&recorder)).require_nonces(nonces()).trust_nonce_time();
    let nonce = nonces().make(part, None, at(NOW)).unwrap();
    assert!(ask(&verifier, part, &key, &proof(&key, Some(&nonce), NOW - 86_400), NOW + 10).is_ok());
    // 300 seconds from the time the nonce was made, and 10 for the clocks of other nodes.
    assert_eq!(*recorder.0.lock().unwrap(), [at(NOW + 310)]);
}

#[test]
fn v_46_short_and_constant_secrets_are_refused_and_none_is_shown() {
    for bad in [&[][..], &SECRET[..31], &[0; 32], &[7; 64]] {
        assert_eq!(*StatelessNonces::new(bad).unwrap_err().kind(), ErrorKind::Parameter);
        assert_eq!(*nonces().accept(bad).unwrap_err().kind(), ErrorKind::Parameter);
    }
    let error = StatelessNonces::new(&SECRET[..31]).unwrap_err().to_string();
    assert!(error.contains("31 bytes") && error.contains("at least 32"), "{error}");
    let (one, two) = (StatelessNonces::generate().unwrap(), StatelessNonces::generate().unwrap());
    let make = |source: &StatelessNonces| source.make(ServerRole::ResourceServer, None, at(NOW)).unwrap();
    assert_ne!(make(&one), make(&two));
    let shown = format!("{:?} {:?}", nonces(), verifier(nonces()));
    assert!(!shown.contains("31, 138") && !shown.contains("1f8a"), "{shown}");
}

/// A source that cannot make a nonce: no nonce is sent, no proof is accepted, nothing panics.
#[test]
fn a_source_without_a_nonce_accepts_nothing() {
    let verifier = Verifier::new(MemoryReplayStore::new(10)).require_nonces(FixedNonces::new::<String>([]));
    let key = key();
    for part in PARTS {
        let rejection = ask(&verifier, part, &key, &proof(&key, None, NOW), NOW).unwrap_err();
        assert_eq!((rejection.error(), rejection.nonce()), (Some("use_dpop_nonce"), None));
        assert!(!rejection.to_response().headers().contains_key("dpop-nonce"));
    }
    // A server whose clock cannot be right makes no nonce either.
    assert!(nonces().make(ServerRole::ResourceServer, None, UNIX_EPOCH - Duration::from_secs(1)).is_err());
}

/// V-45 with whole requests: the other role and another tenant refuse the nonce, another node of the same
/// server accepts it.
#[test]
fn v_45_nonces_are_separate_by_role_and_tenant_and_shared_by_nodes() {
    let (key, [authorization, resource]) = (key(), PARTS);
    let given_by = |part| {
        let verifier = verifier(nonces());
        let rejection = ask(&verifier, part, &key, &proof(&key, None, NOW), NOW).unwrap_err();
        rejection.nonce().unwrap().to_owned()
    };
    for (from, to) in [(authorization, resource), (resource, authorization)] {
        let nonce = given_by(from);
        let node = verifier(nonces());
        let rejection = with_nonce(&node, to, &key, &nonce, NOW).unwrap_err();
        assert_eq!(rejection.reason(), &Reason::Nonce);
        assert_ne!(rejection.nonce(), Some(nonce.as_str()));
        assert!(with_nonce(&node, from, &key, &nonce, NOW).is_ok());
        let tenant = verifier(nonces().scope("tenant"));
        assert_eq!(with_nonce(&tenant, from, &key, &nonce, NOW).unwrap_err().reason(), &Reason::Nonce);
    }
    // A scope is not confused with a key, even when its text is the thumbprint of that key.
    let jkt = key.public_key().thumbprint();
    let text = String::from_utf8_lossy(jkt.as_bytes()).into_owned();
    let per_key = nonces().per_key().make(resource, Some(&jkt), at(NOW)).unwrap();
    assert_eq!(nonces().scope(text).check(&per_key, resource, &jkt, at(NOW)), NonceState::Invalid);
}

/// A nonce from a node whose clock is further ahead is refused. The lifetime counts from the time inside
/// the nonce.
#[test]
fn v_45_the_clocks_of_nodes_may_differ_by_ten_seconds() {
    let (source, jkt) = (nonces(), key().public_key().thumbprint());
    for part in PARTS {
        for (ahead, fine) in [(0, true), (10, true), (11, false), (300, false), (1 << 40, false)] {
            let nonce = source.make(part, None, at(NOW + ahead)).unwrap();
            let seen = source.check(&nonce, part, &jkt, at(NOW));
            let (made, until) = (Some(at(NOW + ahead)), Some(at(NOW + ahead + 300)));
            let expected =
                if fine { NonceState::Valid { made, until, ageing: false } } else { NonceState::Invalid };
            assert_eq!(seen, expected, "{ahead}");
        }
    }
    // (lifetime, age, whether it counts, whether a new one is sent): new ones come in the second half
    let edges = [
        (300, 150, true, false),
        (300, 151, true, true),
        (300, 300, true, true),
        (300, 301, false, false),
        (60, 30, true, false),
        (60, 31, true, true),
        (60, 61, false, false),
        (0, 0, true, false),
        (0, 1, false, false),
        (u64::MAX, NOW, true, false),
    ];
    for (lifetime, age, fine, renewed) in edges {
        let source = nonces().lifetime(Duration::from_secs(lifetime));
        let nonce = source.make(PARTS[0], None, at(NOW)).unwrap();
        match source.check(&nonce, PARTS[0], &jkt, at(NOW + age)) {
            NonceState::Valid { ageing, .. } => {
                assert_eq!((fine, renewed), (true, ageing), "{lifetime} {age}")
            }
            NonceState::Invalid => assert!(!fine, "{lifetime} {age}"),
        }
    }
}

/// The time of a nonce replaces `iat` only where the source knows it, and `iat` is still required.
#[test]
fn v_34_without_a_known_nonce_time_iat_counts() {
    let (key, part) = (key(), ServerRole::ResourceServer);
    let fixed = || Verifier::new(MemoryReplayStore::new(10)).trust_nonce_time();
    for verifier in [
        fixed().require_nonces(FixedNonces::new(["n"])),
        fixed().offer_nonces(FixedNonces::new(["n"])),
        fixed(),
    ] {
        for (iat, fine) in [(NOW - 61, false), (NOW - 60, true), (NOW + 10, true), (NOW + 11, false)] {
            let seen = ask(&verifier, part, &key, &proof(&key, Some("n"), iat), NOW);
            let is_about_time =
                |r: &Rejection| matches!(r.reason(), Reason::Stale { .. } | Reason::Future { .. });
            assert_eq!(seen.is_ok(), fine, "{iat}");
            assert!(seen.as_ref().err().is_none_or(is_about_time), "{iat}");
        }
    }
    // A clock of the server that cannot be right is not blamed on the nonce.
    let verifier = fixed().require_nonces(nonces());
    let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
    let proofs = [proof(&key, Some("n"), NOW)];
    let request =
        ReceivedRequest::from_fields(&http::Method::POST, URL, proofs.iter().map(String::as_bytes).collect());
    let rejection = verifier.verify_token_request(&request.unwrap(), before_1970).unwrap_err();
    assert!(matches!(rejection.reason(), Reason::Clock(_)), "{rejection}");
    // Offered, and the proof has no nonce: its own time counts.
    let offered = fixed().offer_nonces(nonces());
    let late = ask(&offered, part, &key, &proof(&key, None, NOW - 61), NOW).unwrap_err();
    assert!(matches!(late.reason(), Reason::Stale { .. }));
    assert!(ask(&offered, part, &key, &proof(&key, None, NOW - 60), NOW).is_ok());
}

/// 1,000 requests without a nonce or with an invalid one, and 100,000 forged nonces, leave nothing behind:
/// a store with room for one proof would be full if any of them had been kept. The source has no memory to
/// fill, since `NonceSource::make` and `check` take `&self` and `StatelessNonces` holds only secrets and
/// settings.
#[test]
fn v_47_requests_without_a_valid_nonce_leave_no_state() {
    let key = key();
    let verifier = Verifier::new(MemoryReplayStore::new(1)).require_nonces(nonces());
    // Signatures take the time here, so there are few proofs, and each is sent often.
    let proofs: Vec<_> = [None, Some("forged"), Some("")]
        .map(|nonce| match nonce {
            Some("") => Proof::new(&http::Method::POST, URL)
                .unwrap()
                .access_token("token")
                .claim("x", 1)
                .sign(&key, at(NOW))
                .unwrap(),
            nonce => proof(&key, nonce, NOW),
        })
        .into();
    let first = ask(&verifier, PARTS[0], &key, &proofs[0], NOW).unwrap_err();
    let nonce = first.nonce().unwrap().to_owned();
    for round in 0..1_000 {
        let rejection = ask(&verifier, PARTS[0], &key, &proofs[round % 3], NOW).unwrap_err();
        assert_eq!(rejection.to_response().headers(), first.to_response().headers());
    }
    // The rest of them, at the source alone.
    let (source, jkt) = (nonces(), key.public_key().thumbprint());
    for _ in 0..100_000 {
        assert_eq!(source.check("forged", PARTS[0], &jkt, at(NOW)), NonceState::Invalid);
    }
    assert_eq!(source.make(PARTS[0], Some(&jkt), at(NOW)).unwrap(), nonce);
    assert!(with_nonce(&verifier, PARTS[0], &key, &nonce, NOW).is_ok());
}

/// A source of the caller that cannot make a nonce, or makes an invalid one: no nonce is sent, no proof is
/// accepted, nothing panics. Its verdict on a nonce that no client may send does not count (RFC 9449 §8.1).
#[test]
fn a_callers_nonce_source_that_fails_or_makes_invalid_nonces_accepts_nothing() {
    struct Own(Result<&'static str, ()>);
    impl NonceSource for Own {
        fn make(&self, _: ServerRole, _: Option<&Thumbprint>, _: SystemTime) -> Result<String, Error> {
            self.0.map(str::to_owned).map_err(|()| Error::transport("the cache of nonces is down"))
        }

        fn check(&self, nonce: &str, _: ServerRole, _: &Thumbprint, _: SystemTime) -> NonceState {
            match self.0 {
                Ok(made) if made == nonce => NonceState::Valid { made: None, until: None, ageing: true },
                _ => NonceState::Invalid,
            }
        }
    }
    let key = key();
    let hand_made = |nonce: &str| with_claim(&key, &json!(nonce));
    for part in PARTS {
        for source in [Err(()), Ok("a b"), Ok("a\"b"), Ok("a\r\nx: y"), Ok(""), Ok("\u{e9}")] {
            let verifier = Verifier::new(MemoryReplayStore::new(10)).require_nonces(Own(source));
            for proof in
                [proof(&key, None, NOW), proof(&key, Some("x"), NOW), hand_made(source.unwrap_or("x"))]
            {
                let rejection = ask(&verifier, part, &key, &proof, NOW).unwrap_err();
                assert_eq!(rejection.error(), Some("use_dpop_nonce"), "{source:?}");
                assert!(!rejection.to_response().headers().contains_key("dpop-nonce"), "{source:?}");
            }
            // Offered: a proof without a nonce is accepted, and no nonce that cannot be sent is given.
            let offering = Verifier::new(MemoryReplayStore::new(10)).offer_nonces(Own(source));
            let verified = ask(&offering, part, &key, &proof(&key, None, NOW), NOW).unwrap();
            let mut headers = http::HeaderMap::new();
            verified.add_headers(&mut headers);
            assert!(headers.is_empty(), "{source:?}");
        }
        let verifier = Verifier::new(MemoryReplayStore::new(10)).require_nonces(Own(Ok("own~nonce")));
        let rejection = ask(&verifier, part, &key, &proof(&key, None, NOW), NOW).unwrap_err();
        assert_eq!(rejection.to_response().headers()["dpop-nonce"], "own~nonce");
        let verified = with_nonce(&verifier, part, &key, "own~nonce", NOW).unwrap();
        assert_eq!(verified.next_nonce(), Some("own~nonce"));
    }
}
