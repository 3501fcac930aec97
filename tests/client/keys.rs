//! Keys, signatures and thumbprints (rows C-50, C-51, C-52, C-55, C-56, C-57).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::testing::ManualClock;
use possession::*;
use serde_json::Value;

use crate::common::server::{calls, get, start, token_requests, with};
use crate::support::{Foreign, by_hand, decoded, echoed, key, proofs, rfc7638};

/// The keys 1, 2, 3 …, until each of the three coordinates begins with a zero byte: about one in 256 does.
#[test]
fn c_50_coordinates_that_begin_with_zero_are_sent_with_32_bytes() {
    // RFC 5958 without a public key: RFC 5915 §3 for P-256, RFC 8410 §7 for Ed25519.
    let ec = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420";
    let ed = "302e020100300506032b657004220420";
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
    };
    for (prefix, coordinate) in [(ec, "x"), (ec, "y"), (ed, "x")] {
        let member = |key: &KeyPair| -> Vec<u8> {
            let jwk: Value = serde_json::from_str(key.to_public().to_jwk()).unwrap();
            decoded(jwk[coordinate].as_str().unwrap())
        };
        let numbered = |number: u16| {
            let mut der = bytes(prefix);
            der.extend([0; 30]);
            der.extend(number.to_be_bytes());
            KeyPair::from_pkcs8_der(&der).unwrap()
        };
        let key = (1..u16::MAX).map(numbered).find(|key| member(key)[0] == 0).unwrap();
        // By each form that a key is stored in.
        let forms = [
            KeyPair::from_jwk(&key.to_jwk()).unwrap(),
            KeyPair::from_pkcs8_pem(&key.to_pkcs8_pem().unwrap()).unwrap(),
            key,
        ];
        for key in forms {
            let server = start();
            let session = server.session().key(key).discover().unwrap();
            let jkt = session.prover().thumbprint().to_string();
            assert_eq!(echoed(&session, &server)["jkt"], jkt);
            for proof in proofs(&server.received()) {
                let jwk = &proof.header["jwk"];
                let bytes = decoded(jwk[coordinate].as_str().unwrap());
                assert_eq!((bytes.len(), bytes[0]), (32, 0));
                assert_eq!(rfc7638(jwk), jkt, "the thumbprint includes the zero byte");
            }
        }
    }
}

/// The same key makes the same signature of the same bytes (RFC 6979 §3.2, RFC 8032 §5.1.6), in proofs and
/// in assertions. But ring adds randomness to ES256, and its second signature is another one that is valid
/// as well.
#[test]
fn c_51_signatures_are_64_bytes_and_deterministic_except_es256_with_ring() {
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let [proving, client] = [(); 2].map(|()| Arc::new(key(algorithm)));
        let server = with(|server| server.client_public_key(client.to_public()));
        let auth = ClientAuth::private_key_jwt(Arc::clone(&client));
        let session = server.session().auth(auth).key(Arc::clone(&proving)).discover().unwrap();
        assert_eq!(get(&session, &server), 200);
        let received = server.received();
        let proofs = received
            .iter()
            .flat_map(|one| one.header_values("dpop"))
            .map(|proof| (proof.to_owned(), &proving));
        let assertions =
            received.iter().filter_map(|one| one.form_field("client_assertion")).map(|jwt| (jwt, &client));
        let jwts: Vec<_> = proofs.chain(assertions).collect();
        assert_eq!(jwts.len(), 6, "two at each endpoint, and an assertion in each token request");
        for (jwt, key) in jwts {
            let (signed, signature) = jwt.rsplit_once('.').unwrap();
            let signature = decoded(signature);
            assert_eq!(signature.len(), 64, "raw, not DER");
            let again = key.sign(signed.as_bytes()).unwrap();
            match algorithm == Algorithm::Ed25519 || !cfg!(feature = "ring") {
                true => assert_eq!(again, signature),
                false => assert_ne!(again, signature),
            }
            let public = key.public_key();
            for signature in [signature, again] {
                assert_eq!(public.verify(algorithm, signed.as_bytes(), &signature), Ok(()));
            }
        }
    }
}

/// The thumbprints that RFC 7638, RFC 8037 and RFC 9449 print, of keys with members in another order and
/// with more members. The session reports them for its key, and a server computes them from the `jwk` that
/// it receives.
#[test]
fn c_52_thumbprints_are_those_of_the_rfcs() {
    let vectors = [
        (include_str!("../../test-vectors/rfc7638-thumbprint.json"), Algorithm::Rs256),
        (include_str!("../../test-vectors/rfc8037-thumbprint.json"), Algorithm::Ed25519),
        (include_str!("../../test-vectors/rfc9449-thumbprint.json"), Algorithm::Es256),
    ];
    for (vectors, algorithm) in vectors {
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        let case = &vectors["cases"][0];
        let mut members: Vec<_> = case["jwk"].as_object().unwrap().iter().collect();
        members.sort_by(|(a, _), (b, _)| b.cmp(a));
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
        let more = format!("{{ \"zz\":[1], {}, \"a\":null, \"use\":\"sig\" }}", members.join(" , "));
        for jwk in [case["jwk"].to_string(), more] {
            let public = PublicKey::from_jwk(&jwk).unwrap();
            let jkt = case["jkt"].as_str().unwrap();
            assert_eq!(Thumbprint::from_jwk(&jwk).unwrap().to_string(), jkt);
            // The private key is not known here: the server refuses the proof, and has received the public
            // key.
            let signer = Foreign(algorithm, public, move |_: &[u8]| {
                vec![1; if algorithm == Algorithm::Rs256 { 256 } else { 64 }]
            });
            let server = start();
            let session = server
                .session()
                .key(signer)
                .server(by_hand(&server, &format!("{}/token", server.issuer())).unwrap())
                .unwrap();
            assert_eq!(session.prover().thumbprint().to_string(), jkt);
            session.access_token().unwrap_err();
            for proof in proofs(&token_requests(&server)) {
                assert_eq!(rfc7638(&proof.header["jwk"]), jkt);
            }
            assert!(!token_requests(&server).is_empty());
        }
    }
    // RFC 8037 prints the private key as well, so the server binds the token to that thumbprint.
    let jwk = r#"{"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","zz":1,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","kid":"a","crv":"Ed25519","kty":"OKP"}"#;
    let server = start();
    let session = server.session().key(KeyPair::from_jwk(jwk).unwrap()).discover().unwrap();
    assert_eq!(echoed(&session, &server)["jkt"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

/// Such a key is not imported. A signer with such a key gets no token, after two requests at most, and
/// the error says that the signer is to blame.
#[test]
fn c_55_a_private_key_with_the_public_key_of_another_is_refused() {
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let [one, other] = [(); 2].map(|()| serde_json::from_str::<Value>(&key(algorithm).to_jwk()).unwrap());
        for members in [&["x", "y"][..], &["x"], &["d"]] {
            let mut mixed = one.clone();
            for name in members.iter().filter(|name| one.get(**name).is_some()) {
                mixed[*name] = other[*name].clone();
            }
            assert_eq!(
                *KeyPair::from_jwk(&mixed.to_string()).unwrap_err().kind(),
                ErrorKind::Key,
                "{members:?}"
            );
        }
        // PKCS#8 that ends in the public key of another.
        if algorithm == Algorithm::Es256 {
            let [mut der, other] = [(); 2].map(|()| key(algorithm).to_pkcs8_der().unwrap());
            let point = der.len() - 64;
            der[point..].copy_from_slice(&other[point..]);
            assert_eq!(*KeyPair::from_pkcs8_der(&der).unwrap_err().kind(), ErrorKind::Key);
        }
        let server = start();
        let (shown, used) = (key(algorithm).to_public(), key(algorithm));
        let lying = Foreign(algorithm, shown, move |message: &[u8]| used.sign(message).unwrap());
        let error = server.session().key(lying).discover().unwrap().get(&server.resource("/")).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Signer, "{error}");
        assert!(token_requests(&server).len() <= 2 && server.counts().tokens == 0);
        assert!(calls(&server).is_empty());
    }
}

/// A session makes the call again after a pause, as when the network failed.
#[test]
fn a_transient_error_of_a_signer_is_retried_by_a_session() {
    struct Throttled(KeyPair, AtomicUsize);

    impl Signer for Throttled {
        fn algorithm(&self) -> Algorithm {
            self.0.algorithm()
        }

        fn public_key(&self) -> &PublicKey {
            self.0.public_key()
        }

        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
            match self.1.fetch_add(1, Ordering::SeqCst) {
                0 => Err(Error::transient_signer("throttled").into()),
                _ => self.0.sign(message),
            }
        }
    }

    let clock = ManualClock::new();
    let server = with(|server| server.clock(clock.clone()));
    let signer = Throttled(key(Algorithm::Es256), AtomicUsize::new(0));
    let session = server.session().key(signer).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    assert_eq!(clock.sleeps().len(), 1);
}

/// In whatever form such a key is given. With a signer that does not fit, no request is made.
#[test]
fn c_56_c_57_unsupported_keys_and_garbage_are_typed_errors() {
    let rsa = |n: &str, e: &str| format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}","d":"AQAB"}}"#);
    let odd = |bytes: usize| Base64UrlUnpadded::encode_string(&[vec![0xc1; bytes - 1], vec![0xc1]].concat());
    let jwks = [
        rsa(&odd(128), "AQAB"),
        rsa(&odd(255), "AQAB"),
        rsa(&odd(256), "AQ"),
        rsa(&odd(256), "AQAB"), // without its primes
        r#"{"kty":"EC","crv":"P-384","x":"AA","y":"AA","d":"AA"}"#.to_owned(),
        r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA","d":"AA"}"#.to_owned(),
        r#"{"kty":"OKP","crv":"X25519","x":"AA","d":"AA"}"#.to_owned(),
        r#"{"kty":"oct","k":"AA"}"#.to_owned(),
        "[".repeat(20_000),
        " ".repeat(100 << 20),
        String::new(),
    ];
    let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let pems = [
        block("RSA PRIVATE KEY"),
        block("ENCRYPTED PRIVATE KEY"),
        block("EC PRIVATE KEY"),
        block("PUBLIC KEY"),
        block("PRIVATE KEY"),
        "garbage".to_owned(),
        "-----BEGIN PRIVATE KEY-----\n".repeat((100 << 20) / 28),
        String::new(),
    ];
    let refused = jwks
        .iter()
        .map(|jwk| KeyPair::from_jwk(jwk))
        .chain(pems.iter().map(|pem| KeyPair::from_pkcs8_pem(pem)));
    for (i, result) in refused.enumerate() {
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Key | ErrorKind::Algorithm), "{i} {error}");
        assert!(error.to_string().len() < 1_000, "{i}");
    }
    for e in ["AQ", "Ag", "AA"] {
        assert!(
            PublicKey::from_jwk(&format!(r#"{{"kty":"RSA","n":"{}","e":"{e}"}}"#, odd(256))).is_err(),
            "{e}"
        );
    }
    assert!(PublicKey::from_jwk(&format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, odd(255))).is_err());
    // No such key is generated (but ES384 with ring), and a signer must have a key of its algorithm.
    let server = start();
    for algorithm in [Algorithm::Es384, Algorithm::Es512, Algorithm::Rs256, Algorithm::Ps256] {
        match KeyPair::generate(algorithm) {
            Err(error) => assert_eq!(*error.kind(), ErrorKind::Algorithm),
            Ok(key) => assert!(cfg!(feature = "ring") && key.algorithm() == Algorithm::Es384),
        }
        let signer = Foreign(algorithm, key(Algorithm::Es256).to_public(), |_: &[u8]| vec![0; 64]);
        assert_eq!(*server.session().key(signer).discover().unwrap_err().kind(), ErrorKind::Algorithm);
    }
    // A signature of another length is not sent: DER, none, too short.
    for length in [0, 63, 65, 70, 72] {
        let signer =
            Foreign(Algorithm::Es256, key(Algorithm::Es256).to_public(), move |_: &[u8]| vec![0x30; length]);
        let error = server.session().key(signer).discover().unwrap().access_token().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Signer, "{length} {error}");
    }
    assert!(token_requests(&server).is_empty());
}
