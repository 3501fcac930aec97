//! What proofs contain (rows C-47, C-49, Q-20, Q-22).

use std::collections::HashSet;
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::thread;

use possession::testing::{Endpoint, Quirk};
use possession::*;
use serde_json::Value;

use crate::common::server::{always, get, start};
use crate::support::{Foreign, by_hand, default_session, key, nothing_twice, proofs, without_nonces};

/// In whatever form the key was given.
#[test]
fn c_47_the_jwk_of_a_proof_has_the_required_members_and_no_other() {
    let extra = r#"{"kid":"k","use":"sig","key_ops":["sign"],"x5c":["AA"],"x5t":"AA","iat":1,"ext":true,"p":"AA","q":"AA","dp":"AA","dq":"AA","qi":"AA","oth":[],"k":"AA","#;
    let forms = |algorithm: Algorithm| -> Vec<Box<dyn Signer>> {
        let key = key(algorithm);
        let jwk = key.to_jwk().replacen('{', extra, 1);
        let forms = [
            KeyPair::from_pkcs8_pem(&key.to_pkcs8_pem().unwrap()),
            KeyPair::from_pkcs8_der(&key.to_pkcs8_der().unwrap()),
            KeyPair::from_jwk(&jwk),
        ];
        forms.into_iter().map(|key| Box::new(key.unwrap()) as _).collect()
    };
    let rsa: Value =
        serde_json::from_str(include_str!("../../test-vectors/rfc7638-thumbprint.json")).unwrap();
    let rsa = PublicKey::from_jwk(&rsa["cases"][0]["jwk"].to_string()).unwrap();
    let rsa: Box<dyn Signer> = Box::new(Foreign(Algorithm::Rs256, rsa, |_: &[u8]| vec![1; 256]));
    let cases = [
        (forms(Algorithm::Es256), ["crv", "kty", "x", "y"].as_slice()),
        (forms(Algorithm::Ed25519), &["crv", "kty", "x"]),
        (vec![rsa], &["e", "kty", "n"]),
    ];
    for (signers, members) in cases {
        for signer in signers {
            let server = start();
            // The test server does not verify RSA: it refuses that proof, and has received it.
            let checked = signer.algorithm() != Algorithm::Rs256;
            let metadata = by_hand(&server, &format!("{}/token", server.issuer())).unwrap();
            let session = server.session().key(Arc::<dyn Signer>::from(signer)).server(metadata).unwrap();
            let called = session.get(&server.resource("/"));
            assert_eq!(called.is_ok_and(|response| response.status() == 200), checked);
            let proofs = proofs(&server.received());
            assert!(!proofs.is_empty());
            for proof in proofs {
                let mut names: Vec<_> = proof.header["jwk"].as_object().unwrap().keys().collect();
                names.sort();
                assert_eq!(names, members);
                let mut names: Vec<_> = proof.header.as_object().unwrap().keys().collect();
                names.sort();
                assert_eq!(names, ["alg", "jwk", "typ"], "no kid, no x5c");
                for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                    assert!(!proof.header.to_string().contains(&format!("\"{private}\":")), "{private}");
                }
            }
        }
    }
}

/// No `jti` occurs twice, and at least 96 of its bits are random. Forking needs unsafe code. The processes
/// here are started anew, and nothing is kept between two `jti` that a fork could copy.
#[test]
fn c_49_processes_and_threads_that_start_together_have_no_jti_in_common() {
    const NAME: &str = "proofs::c_49_processes_and_threads_that_start_together_have_no_jti_in_common";
    const EACH: usize = 40;
    if let Ok(settings) = std::env::var("C_49_CHILD") {
        let [issuer, url, id, secret] = settings.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{settings}")
        };
        let builder =
            Session::builder(issuer, id).auth(ClientAuth::client_secret_jwt(secret, HmacAlgorithm::Hs256));
        let session = builder.dangerous_allow_http_on_loopback().discover().unwrap();
        (0..EACH).for_each(|_| assert_eq!(session.get(url).unwrap().status(), 200));
        return;
    }
    let server = start();
    let settings =
        [server.issuer(), &server.resource("/"), server.client_id(), server.client_secret()].join(" ");
    let child = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", NAME])
            .env("C_49_CHILD", &settings)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children = [(); 4].map(|()| child());
    let (session, barrier) = (default_session(&server), Barrier::new(16));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                barrier.wait();
                (0..EACH).for_each(|_| assert_eq!(get(&session, &server), 200));
            });
        }
    });
    for child in children {
        let output = child.wait_with_output().unwrap();
        let output = String::from_utf8_lossy(&output.stdout);
        assert!(output.contains("1 passed"), "{output}");
    }
    let received = server.received();
    let jwts = received.iter().flat_map(|one| [one.proof(), one.assertion()]).flatten();
    let jtis: Vec<String> = jwts.map(|jwt| jwt.claims["jti"].as_str().unwrap().to_owned()).collect();
    assert!(jtis.len() >= 20 * EACH);
    assert_eq!(jtis.iter().collect::<HashSet<_>>().len(), jtis.len());
    nothing_twice(&server);
    // A random bit is set in half of them. With 800 of them, 15 % is more than eight standard deviations.
    let mut set = [0_usize; 128];
    for jti in &jtis {
        let number = u128::from_str_radix(&jti.replace('-', ""), 16).unwrap();
        set.iter_mut().enumerate().for_each(|(bit, count)| *count += usize::from(number >> bit & 1 == 1));
    }
    let chance = set.iter().filter(|count| (35..=65).contains(&(**count * 100 / jtis.len()))).count();
    assert!(chance >= 96, "{chance} bits");
}

/// The test server refuses what atproto and others refuse: `ath` at the token endpoint, `iss` and `exp`,
/// more members in `jwk`.
#[test]
fn q_20_proofs_have_nothing_that_a_strict_server_refuses() {
    let server = start();
    let key = KeyPair::generate(Algorithm::Ed25519).unwrap().to_jwk();
    // `kid` and `alg` of the key are not in the proof.
    let key = key.replacen('{', r#"{"kid":"k","use":"sig","alg":"EdDSA","#, 1);
    let session = server.session().key(KeyPair::from_jwk(&key).unwrap()).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    let received: Vec<_> =
        server.received().into_iter().filter_map(|one| Some((one.endpoint, one.proof()?))).collect();
    assert_eq!(received.len(), 4);
    for (endpoint, proof) in received {
        let members: Vec<_> = proof.header["jwk"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(
            members.iter().map(String::as_str).collect::<HashSet<_>>(),
            HashSet::from(["kty", "crv", "x"])
        );
        let claims = proof.claims.as_object().unwrap();
        assert_eq!(claims.contains_key("ath"), endpoint == Endpoint::Resource);
        let known = ["jti", "htm", "htu", "iat", "ath", "nonce"];
        assert!(claims.keys().all(|claim| known.contains(&claim.as_str())), "{claims:?}");
        assert_eq!(proof.header.as_object().unwrap().len(), 3, "typ, alg, jwk");
    }
}

/// Spring remembers a thousand proofs of a key and then refuses more.
#[test]
fn q_22_a_refusal_of_too_many_proofs_reaches_the_caller_without_a_retry() {
    let server = without_nonces();
    always(&server, Endpoint::Resource, Quirk::MaxProofs(3));
    let session = default_session(&server);
    let seen: Vec<_> = (0..5).map(|_| get(&session, &server)).collect();
    assert_eq!(seen, [200, 200, 200, 401, 401]);
    assert_eq!(server.received_at(Endpoint::Resource).len(), 5);
}
