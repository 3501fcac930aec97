//! The algorithm of proofs is one that the servers accept (rows C-53, Q-21).

use std::collections::HashSet;

use http::Response;
use possession::testing::{Endpoint, Nonces, Quirk, Received};
use possession::*;

use crate::common::server::{always, calls, get, once_all, start, statuses, token_requests, with};
use crate::support::{default_session, key, proofs};

/// When the session is built, when its key is rotated, and for metadata that were not fetched.
#[test]
fn c_53_an_algorithm_that_the_metadata_do_not_list_is_an_error_before_any_request() {
    let algorithm = |result: Result<Session, Error>| *result.unwrap_err().kind() == ErrorKind::Algorithm;
    let lists: [&[&str]; 5] =
        [&["none"], &["HS256", "none"], &["es256", "eddsa"], &["RS256", "PS256"], &["ES384", "ES512"]];
    for listed in lists {
        let server = with(|server| server.dpop_algorithms(listed.iter().copied()));
        let metadata = || {
            let metadata = AuthorizationServer::builder(server.issuer());
            let metadata = metadata.token_endpoint(format!("{}/token", server.issuer()));
            let metadata = metadata.dpop_signing_alg_values_supported(listed.iter().copied());
            metadata.dangerous_allow_http_on_loopback().build().unwrap()
        };
        for one in [Algorithm::Es256, Algorithm::Ed25519] {
            assert!(algorithm(server.session().key(key(one)).discover()), "{listed:?}");
            assert!(algorithm(server.session().key(key(one)).server(metadata())), "{listed:?}");
        }
        // Nor is a key generated of another algorithm. With the feature `ring` one is generated for ES384
        // where the server accepts none of the preferred ones.
        match server.session().discover() {
            Ok(made) => {
                assert_eq!((cfg!(feature = "ring"), listed.contains(&"ES384")), (true, true), "{made:?}")
            }
            made => assert!(
                algorithm(made) && !(cfg!(feature = "ring") && listed.contains(&"ES384")),
                "{listed:?}"
            ),
        }
        assert!(token_requests(&server).is_empty() && calls(&server).is_empty());
    }
    let server = with(|server| server.dpop_algorithms(["ES256"]));
    let session = default_session(&server);
    assert_eq!(session.rotate_key(key(Algorithm::Ed25519)).unwrap_err().kind(), &ErrorKind::Algorithm);
    assert!(token_requests(&server).is_empty());
    // The name that is listed is sent (RFC 9864 §2.2), at both endpoints; of two names, the one in the key's
    // `alg`.
    let named = |name: &str| {
        let jwk = key(Algorithm::Ed25519).to_jwk().replacen('{', &format!("{{\"alg\":\"{name}\","), 1);
        KeyPair::from_jwk(&jwk).unwrap()
    };
    for (listed, key, sent) in [
        (vec!["ES256", "EdDSA"], key(Algorithm::Ed25519), "EdDSA"),
        (vec!["Ed25519", "ES256"], key(Algorithm::Ed25519), "Ed25519"),
        (vec!["EdDSA", "Ed25519"], named("Ed25519"), "Ed25519"),
        (vec!["Ed25519", "EdDSA"], named("EdDSA"), "EdDSA"),
        (vec!["EdDSA"], named("Ed25519"), "EdDSA"),
    ] {
        let server = with(|server| server.dpop_algorithms(listed.clone()));
        let session = server.session().key(key).discover().unwrap();
        assert_eq!(get(&session, &server), 200);
        let names: HashSet<_> =
            proofs(&server.received()).into_iter().map(|proof| proof.header["alg"].clone()).collect();
        assert_eq!(names, HashSet::from([sent.into()]), "{listed:?}");
    }
}

#[test]
fn q_21_the_algorithm_is_one_that_both_servers_know() {
    for (known, generated) in [
        (vec!["ES256"], "ES256"),
        (vec!["EdDSA"], "EdDSA"),
        (vec!["Ed25519"], "Ed25519"),
        (vec!["RS256", "Ed25519"], "Ed25519"),
    ] {
        let server = with(|server| server.dpop_algorithms(known.clone()));
        // Without a key, the session generates one that fits.
        let session = server.session().discover().unwrap();
        assert_eq!(get(&session, &server), 200, "{known:?}");
        for one in server.received().iter().filter_map(Received::proof) {
            assert_eq!(one.header["alg"], generated);
        }
        // A key that does not fit is refused before anything is sent.
        let other = if generated == "ES256" { Algorithm::Ed25519 } else { Algorithm::Es256 };
        server.clear_received();
        let error = server.session().key(KeyPair::generate(other).unwrap()).discover().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Algorithm);
        assert!(server.received_at(Endpoint::Token).is_empty());
    }
}

/// The `algs` of a resource's challenge count as well: another name of the same algorithm is used from then
/// on, and where there is none, the error says so.
#[test]
fn q_21_the_algs_of_a_challenge_count() {
    let server = start();
    always(&server, Endpoint::Resource, Quirk::Algs("ES384 Ed25519".to_owned()));
    let key = || key(Algorithm::Ed25519);
    let session = server.session().key(key()).discover().unwrap();
    for _ in 0..2 {
        assert_eq!(get(&session, &server), 200);
    }
    let algs = |at| {
        let proofs = server.received_at(at).into_iter().map(|one| one.proof().unwrap());
        proofs.map(|proof| proof.header["alg"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(algs(Endpoint::Token), ["EdDSA", "EdDSA"]);
    assert_eq!(algs(Endpoint::Resource), ["EdDSA", "Ed25519", "Ed25519"]);

    // Those of a refusal for another reason count too.
    let server = with(|server| server.nonces(Nonces::Off));
    once_all(&server, Endpoint::Resource, [Quirk::RefuseProofs, Quirk::Algs("Ed25519".to_owned())]);
    let session = server.session().key(key()).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    assert_eq!(statuses(&server.received_at(Endpoint::Resource)), [401, 200]);

    // A list without the key's algorithm may be wrong: the nonce of such a challenge is tried once.
    let server = start();
    always(&server, Endpoint::Resource, Quirk::Algs("PS256 ES384".to_owned()));
    let session = server.session().key(key()).discover().unwrap();
    assert_eq!(get(&session, &server), 200);
    assert_eq!(statuses(&server.received_at(Endpoint::Resource)), [401, 200]);
    server.clear_received();
    always(&server, Endpoint::Resource, Quirk::Challenge);
    let error = server.session().key(key()).discover().unwrap().get(&server.resource("/")).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Algorithm);
    let text = error.to_string();
    assert!(
        text.contains("PS256 ES384") && text.contains("EdDSA") && text.contains(&server.resource("/")),
        "{text}"
    );
    assert!(text.contains("refused the proof with its nonce as well"), "{text}");
    assert_eq!(server.received_at(Endpoint::Resource).len(), 2, "the nonce is tried once");
}

/// A resource at the token endpoint's origin says nothing about the token endpoint.
#[test]
fn the_algs_of_a_resource_are_not_used_at_the_token_endpoint() {
    let server = with(|server| server.dpop_algorithms(["Ed25519"]).nonces(Nonces::Off));
    let session = default_session(&server);
    let refusal = Response::builder()
        .status(401)
        .header("www-authenticate", r#"DPoP error="invalid_dpop_proof", algs="EdDSA""#)
        .body(Vec::new())
        .unwrap();
    always(&server, Endpoint::Resource, Quirk::Respond(refusal));
    assert_eq!(session.get(&format!("{}/x", server.issuer())).unwrap().status(), 401);
    assert_eq!(calls(&server).len(), 2, "one retry with the other name, which did not help");
    session.discard_token();
    session.access_token().unwrap();
    server.behave();
    assert_eq!(session.get(&format!("{}/x", server.issuer())).unwrap().status(), 200);
}
