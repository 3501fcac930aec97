//! Nonces in whole requests: demanded, sent, renewed. Threat V-44.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use possession::server::*;
use possession::*;

use super::{ORIGIN, URL, ask, challenged, dpop, fields, proof, request, table, verifier, whole_response};
use crate::support::{NOW, TOKEN, at, mine};

#[test]
fn v_44_the_nonce_is_demanded_before_the_token_is_looked_up_and_renewed_in_responses() {
    let secret: Vec<u8> = (0..32).collect();
    let nonces = || StatelessNonces::new(&secret).unwrap();
    let table = table();
    let server =
        ResourceServer::new(ORIGIN, verifier().require_nonces(nonces()), Arc::clone(&table)).unwrap();
    let with = |nonce: &str, now: u64| {
        let proof = Proof::new(&http::Method::GET, URL).unwrap().access_token(TOKEN).nonce(nonce.to_owned());
        let proof = proof.sign(&mine(), at(now)).unwrap();
        server.authenticate(
            &request("/orders", fields(&[("authorization", &dpop()), ("dpop", &proof)])),
            at(now),
        )
    };
    let rejection = ask(&server, &[("authorization", &dpop()), ("dpop", &proof())]).unwrap_err();
    let nonce = rejection.nonce().unwrap().to_owned();
    let mut expected = challenged(401, Some("use_dpop_nonce"));
    expected.1.insert(2, ("dpop-nonce".to_owned(), nonce.clone()));
    assert_eq!((whole_response(&rejection), table.asked()), (expected, 0));
    assert_eq!(with("forged", NOW).unwrap_err().error(), Some("use_dpop_nonce"));
    assert_eq!(table.asked(), 0);

    // In the first half of its lifetime a nonce is not replaced; in the second, each response has one new
    // nonce.
    for (age, renewed) in [(0, false), (150, false), (151, true), (300, true)] {
        let caller = with(&nonce, NOW + age).unwrap();
        let mut headers = fields(&[("dpop-nonce", "of another layer"), ("cache-control", "public")]);
        caller.add_headers(&mut headers);
        let next: Vec<_> = headers.get_all("dpop-nonce").iter().map(|n| n.to_str().unwrap()).collect();
        match renewed {
            false => assert_eq!(
                (next, &headers["cache-control"]),
                (vec!["of another layer"], &HeaderValue::from_static("public"))
            ),
            true => {
                assert_eq!(next, Vec::from_iter(caller.proof().unwrap().next_nonce()));
                assert_eq!(headers["cache-control"], "no-store"); // RFC 9449 §8.2
                assert!(with(next[0], NOW + 400).is_ok(), "the new nonce is accepted for longer");
            }
        }
    }
    // A caller without a proof gets no nonce.
    let lax = ResourceServer::new(ORIGIN, verifier().offer_nonces(nonces()), self::table()).unwrap();
    let caller = ask(&lax.accept_unbound_bearer(), &[("authorization", "Bearer unbound")]).unwrap();
    let mut headers = HeaderMap::new();
    caller.add_headers(&mut headers);
    assert!(headers.is_empty());
}

/// The same with a `Prover`, which learns the nonces from the responses.
#[test]
fn a_prover_learns_the_nonces_of_a_resource_server() {
    let table = table();
    let nonces = StatelessNonces::generate().unwrap();
    let server = ResourceServer::new(ORIGIN, verifier().require_nonces(nonces), Arc::clone(&table)).unwrap();
    let prover = Prover::new(mine()).unwrap();
    let call = |time: SystemTime| {
        let proof = Proof::new(&http::Method::GET, URL).unwrap().access_token(TOKEN);
        let proof = prover.prove(ServerRole::ResourceServer, proof, time).unwrap();
        let headers = fields(&[("authorization", &dpop()), ("dpop", &proof)]);
        let mut received = HeaderMap::new();
        let outcome = match server.authenticate(&request("/orders", headers), time) {
            Ok(caller) => {
                caller.add_headers(&mut received);
                Ok(())
            }
            Err(rejection) => {
                let response = rejection.to_response();
                received = response.headers().clone();
                Err((response.status().as_u16(), rejection.error()))
            }
        };
        (outcome, prover.record_nonce(ServerRole::ResourceServer, URL, &received).unwrap())
    };
    let now = at(NOW);
    assert_eq!(call(now), (Err((401, Some("use_dpop_nonce"))), true));
    assert_eq!(table.asked(), 0);
    assert_eq!(call(now), (Ok(()), false));
    let later = now + Duration::from_secs(200);
    assert_eq!(call(later), (Ok(()), true), "the response carries a new nonce when the old one ages");
    assert_eq!(call(later + Duration::from_secs(140)), (Ok(()), false));
}
