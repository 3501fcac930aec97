//! Header, claims and signature of a proof, and the values that are refused. Threats C-47, C-49, C-51 and
//! C-54.

use std::collections::HashSet;
use std::sync::{Arc, Barrier};
use std::time::{Duration, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::{Algorithm, ErrorKind, KeyPair, Proof, Prover, ServerRole, Signer};
use serde_json::{Value, json};

use super::{ATH, ED25519, NoSignature, TOKEN, URL, at, check, claims, keys, now, parts, sign};

/// C-47 and RFC 9449 §4.2. Nothing of the private key, of `kid`, of `use` or of the query is in them.
#[test]
fn c_47_header_and_claims_are_exactly_these() {
    for (jwk, alg, public) in keys() {
        let key = KeyPair::from_jwk(&jwk).unwrap();
        for (token, nonce) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut proof =
                Proof::new(&http::Method::GET, "https://resource.example.org/protectedresource?a=b#c")
                    .unwrap();
            let mut rest = String::new();
            if token {
                proof = proof.access_token(TOKEN);
                rest += &format!(r#","ath":"{ATH}""#);
            }
            if nonce {
                proof = proof.nonce("eyJ7S_zG.eyJH0-Z.HX4w-7v");
                rest += r#","nonce":"eyJ7S_zG.eyJH0-Z.HX4w-7v""#;
            }
            let (header, claims, signature) = parts(&proof.sign(&key, now()).unwrap());
            assert_eq!(header, format!(r#"{{"typ":"dpop+jwt","alg":"{alg}","jwk":{public}}}"#));
            let (jti, others) =
                claims.strip_prefix(r#"{"jti":""#).and_then(|rest| rest.split_once('"')).unwrap();
            assert_uuid_v4(jti);
            assert_eq!(others, format!(r#","htm":"GET","htu":"{URL}","iat":1700000000{rest}}}"#));
            assert_eq!(signature.len(), 64); // RFC 7518 §3.4, RFC 8032 §5.1.6

            let prover = Prover::new(KeyPair::from_jwk(&jwk).unwrap()).unwrap();
            let (proved_header, proved_claims, _) =
                parts(&prover.prove(ServerRole::ResourceServer, proof.clone(), now()).unwrap());
            assert_eq!(proved_header, header);
            assert_eq!(
                proved_claims.split_once(r#","htm""#).unwrap().1,
                others.replace("1700000000", "1699999999").strip_prefix(r#","htm""#).unwrap()
            );
        }
    }
}

/// RFC 9562 §5.4: lower case as in §4, version 4, variant 10.
fn assert_uuid_v4(text: &str) {
    let bytes = text.as_bytes();
    assert_eq!(bytes.len(), 36, "{text}");
    for (at, byte) in bytes.iter().enumerate() {
        let fits = match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            14 => *byte == b'4',
            19 => b"89ab".contains(byte),
            _ => b"0123456789abcdef".contains(byte),
        };
        assert!(fits, "{text}");
    }
}

/// `iat` is rounded down. A `Prover` dates its proofs one second back.
#[test]
fn c_54_iat_is_in_whole_seconds_and_never_ahead_of_the_clock() {
    let key = NoSignature::new();
    let prover = Prover::new(NoSignature::new()).unwrap();
    let proof = || Proof::new(&http::Method::GET, URL).unwrap();
    let last = u64::try_from(i64::MAX).unwrap();
    let cases = [
        (now(), 1_700_000_000_u64, 1_699_999_999_u64),
        (now() + Duration::from_nanos(1), 1_700_000_000, 1_699_999_999),
        (now() + Duration::from_nanos(999_999_999), 1_700_000_000, 1_699_999_999),
        (now() - Duration::from_nanos(1), 1_699_999_999, 1_699_999_998),
        (at(4_102_444_800), 4_102_444_800, 4_102_444_799), // 2100
        (at(100), 100, 99), // less than the one before: a clock may be set back
        (at(1), 1, 0),
        (at(0) + Duration::from_millis(999), 0, 0),
        (at(0), 0, 0),
    ];
    for (clock, signed, proved) in cases {
        let by_prover = prover.prove(ServerRole::AuthorizationServer, proof(), clock).unwrap();
        assert_eq!(claims(&proof().sign(&key, clock).unwrap())["iat"], json!(signed), "{clock:?}");
        assert_eq!(claims(&by_prover)["iat"], json!(proved), "{clock:?}");
    }
    let before = [UNIX_EPOCH - Duration::from_nanos(1), UNIX_EPOCH - Duration::from_secs(1 << 40)];
    for clock in before {
        for proof in [proof().sign(&key, clock), prover.prove(ServerRole::ResourceServer, proof(), clock)] {
            let error = proof.unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::Clock);
            assert!(error.to_string().contains("1970"), "{error}");
        }
    }
    // The latest time that `SystemTime` can hold: a number or an error of this kind.
    for clock in
        [last, last - 1, 1 << 62].into_iter().filter_map(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s)))
    {
        for proof in [proof().sign(&key, clock), prover.prove(ServerRole::ResourceServer, proof(), clock)] {
            match proof {
                Ok(proof) => assert!(claims(&proof)["iat"].as_u64().is_some_and(|iat| at(iat) <= clock)),
                Err(error) => assert_eq!(error.kind(), &ErrorKind::Clock),
            }
        }
    }
}

/// 100,000 `jti` of threads that start together are all distinct, and each of the 122 bits that RFC 9562
/// §5.4 leaves to chance is set in half of them (within 2 %, twelve standard deviations).
///
/// Nothing is seeded or kept between two of them, since the operating system is asked for each; so there is
/// nothing that a fork could copy. Forking needs unsafe code and is not tested here.
#[test]
fn c_49_every_jti_is_unique_and_random() {
    const THREADS: usize = 16;
    const EACH: usize = 6250;
    let start = Barrier::new(THREADS);
    let prover = Prover::new(NoSignature::new()).unwrap();
    let make = |thread: usize| {
        let proof = Proof::new(&http::Method::GET, URL).unwrap();
        start.wait();
        let made = (0..EACH).map(|_| match thread % 2 {
            0 => sign(&proof).unwrap(),
            _ => prover.prove(ServerRole::ResourceServer, proof.clone(), now()).unwrap(),
        });
        made.map(|proof| claims(&proof)["jti"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || make(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(all.len(), 100_000);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    let mut set = [0; 128];
    for jti in &all {
        assert_uuid_v4(jti);
        let number = u128::from_str_radix(&jti.replace('-', ""), 16).unwrap();
        set.iter_mut().enumerate().for_each(|(bit, count)| *count += u32::from(number >> bit & 1 == 1));
    }
    let random = set.iter().filter(|count| (49_000..=51_000).contains(*count)).count();
    let fixed = set.iter().filter(|count| [0, 100_000].contains(*count)).count();
    assert_eq!((random, fixed), (122, 6), "{set:?}");
}

/// RFC 6979 §3.2 and RFC 8032 §5.1.6 use no randomness, so bad randomness does not reveal the key. (Their
/// values are in `test-vectors/`.) ring derives the nonce of ES256 from the key, the message and
/// randomness. The signature covers header and claims as they are in the proof.
#[test]
fn c_51_signatures_have_64_bytes_and_are_deterministic_except_es256_with_ring() {
    for (jwk, ..) in keys() {
        let key = KeyPair::from_jwk(&jwk).unwrap();
        let again = KeyPair::from_jwk(&jwk).unwrap();
        // Without ring, the nonce is that of RFC 6979.
        let deterministic = key.algorithm() == Algorithm::Ed25519 || !cfg!(feature = "ring");
        for message in [&b""[..], b"sample", &[0xff; 1000]] {
            let signature = key.sign(message).unwrap();
            assert_eq!(signature.len(), 64);
            assert_eq!(signature == key.sign(message).unwrap(), deterministic);
            assert_eq!(signature == again.sign(message).unwrap(), deterministic);
        }
        let proof = Proof::new(&http::Method::GET, URL).unwrap().sign(&key, now()).unwrap();
        again.to_public().verify_jws(&proof).unwrap();
        let (signed, signature) = proof.rsplit_once('.').unwrap();
        let same = Base64UrlUnpadded::encode_string(&again.sign(signed.as_bytes()).unwrap()) == signature;
        assert_eq!(same, deterministic);
        assert_ne!(key.sign(b"a").unwrap(), key.sign(b"b").unwrap());
    }
}

/// RFC 9449 §4.2.
#[test]
fn further_claims_are_added_and_those_of_the_proof_cannot_be_replaced() {
    let extra: [(&str, Value); 7] = [
        ("purpose", json!("order")),
        ("nested", json!({"a": [1, null, true, {"b": "\"}"}]})),
        ("x\",\"jti\":\"evil", json!("\\\"")),
        ("JTI", json!(1)),
        ("jti ", json!("")),
        ("\u{e9}\u{1f600}\n\u{0}", json!("\u{e9}\u{1f600}\n\u{0}")),
        ("", json!([])),
    ];
    let mut proof = Proof::new(&http::Method::GET, URL).unwrap().access_token(TOKEN).nonce("n");
    for (name, value) in &extra {
        proof = proof.claim(*name, "first").claim(*name, value.clone()); // the last value counts
    }
    let key = KeyPair::from_jwk(ED25519).unwrap();
    let text = proof.sign(&key, now()).unwrap();
    let mut seen = claims(&text).as_object().unwrap().clone();
    for (name, value) in &extra {
        assert_eq!(seen.remove(*name).as_ref(), Some(value), "{name:?}");
    }
    assert_uuid_v4(seen.remove("jti").unwrap().as_str().unwrap());
    let rest = json!({"htm": "GET", "htu": URL, "iat": 1_700_000_000, "ath": ATH, "nonce": "n"});
    assert_eq!(Value::Object(seen), rest);

    // The verifier, which refuses duplicate members, reads the same.
    let verified = check(&text, Some(TOKEN)).unwrap();
    for (name, value) in &extra {
        assert_eq!(verified.claim(name), Some(value), "{name:?}");
    }
    for name in ["jti", "htm", "htu", "iat", "ath", "nonce"] {
        let error = sign(&Proof::new(&http::Method::GET, URL).unwrap().claim(name, "x")).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Parameter, "{name}");
        assert!(error.to_string().contains("claim"), "{error}");
    }
}

/// RFC 9449 §8.1: 1*NQCHAR of RFC 6749 Appendix A; and an upper bound.
#[test]
fn a_nonce_has_the_characters_and_the_length_of_the_rfc() {
    let all: String = ('!'..='~').filter(|c| !"\"\\".contains(*c)).collect();
    let (longest, too_long) = ("n".repeat(1024), "n".repeat(1025));
    for good in ["!", "~", "#", "[]", "eyJ7S_zG.eyJH0-Z.HX4w-7v", &all, &longest] {
        let proof = sign(&Proof::new(&http::Method::GET, URL).unwrap().nonce(good)).unwrap();
        assert_eq!(claims(&proof)["nonce"], json!(good));
    }
    for bad in ["", " ", "a b", " a", "a ", "a\"b", "a\\b", "a\r\nb", "\0", "\u{7f}", "\u{e9}", &too_long] {
        let error = sign(&Proof::new(&http::Method::GET, URL).unwrap().nonce(bad)).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Parameter, "{bad:?}");
        assert!(error.to_string().contains("nonce"), "{error}");
    }
}

/// RFC 9449 §7.1 and RFC 9110 §11.2.
#[test]
fn an_access_token_is_a_token68() {
    for good in ["a", "a=", "a==", "-._~+/09azAZ", TOKEN, &"t".repeat(10_000)] {
        assert!(sign(&Proof::new(&http::Method::GET, URL).unwrap().access_token(good)).is_ok(), "{good}");
    }
    for bad in ["", "=", "==", "a=b", "a b", "a,b", "a\"", "a\\", "a\r\n", "\0", "a;", "a:b", "{}", "\u{e9}"]
    {
        let error = sign(&Proof::new(&http::Method::GET, URL).unwrap().access_token(bad)).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Parameter, "{bad:?}");
        assert!(error.to_string().contains("access token"), "{error}");
    }
}

/// RFC 9110 §9.1.
#[test]
fn a_method_is_a_token_and_keeps_its_case() {
    for good in ["GET", "get", "POST", "M-SEARCH", "PROPFIND", "X!#$%&'*+-.^_`|~9"] {
        let method: http::Method = good.parse().unwrap();
        assert_eq!(claims(&sign(&Proof::new(&method, URL).unwrap()).unwrap())["htm"], json!(good));
    }
    for bad in [
        "", " ", "GET ", " GET", "G T", "GET\r\n", "G\"T", "G\\T", "G/T", "G,T", "G:T", "G(T)", "G\u{c9}T",
        "\0",
    ] {
        assert!(bad.parse::<http::Method>().is_err(), "{bad:?} cannot be passed to a proof");
    }
}

/// Unless the proof has a nonce of its own.
#[test]
fn a_prover_uses_the_newest_nonce_of_the_origin_and_role() {
    let prover = Arc::new(Prover::new(NoSignature::new()).unwrap());
    let (a, r) = (ServerRole::AuthorizationServer, ServerRole::ResourceServer);
    let learn = |part, url, nonce: &str| {
        let mut headers = http::HeaderMap::new();
        headers.insert("dpop-nonce", nonce.parse().unwrap());
        prover.record_nonce(part, url, &headers).unwrap()
    };
    assert!(learn(a, "https://h/token", "a1"));
    assert!(learn(r, "https://H:443/x", "r1"));
    assert!(learn(r, "https://h:8443/x", "r2"));
    for (part, url, own, nonce) in [
        (a, "https://h/other", None, json!("a1")),
        (r, "https://h/", None, json!("r1")),
        (r, "https://h:8443/", None, json!("r2")),
        (a, "https://h:8443/", None, Value::Null),
        (r, "http://h/", None, Value::Null),
        (r, "https://h/", Some("mine"), json!("mine")),
    ] {
        let proof = Proof::new(&http::Method::GET, url).unwrap();
        let proof = match own {
            Some(own) => proof.nonce(own),
            None => proof,
        };
        let text = prover.prove(part, proof, now()).unwrap();
        assert_eq!(claims(&text)["nonce"], nonce, "{part:?} {url}");
    }
}
