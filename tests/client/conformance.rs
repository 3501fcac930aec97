//! What the FAPI 2.0 conformance suite of the OpenID Foundation checks at a client that uses the client
//! credentials grant with `private_key_jwt` and DPoP, one row a test.
//!
//! These tests replicate the checks; they are no certification.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use possession::testing::{ChallengeForm, Endpoint, Nonces, Received, TestServer};
use possession::{Algorithm, ClientAuth, KeyPair, Session};

use crate::common::server::{always, calls, member, nothing_twice, once, respond, statuses, token_requests};
use crate::support::{key, proofs};

/// The client of the certification profile. The resource is on the origin of the authorization server.
fn client(server: &TestServer, assertion_key: &Arc<KeyPair>, dpop: Algorithm) -> Session {
    let auth = ClientAuth::private_key_jwt(Arc::clone(assertion_key));
    server.session().auth(auth).key(key(dpop)).scope("accounts").discover().unwrap()
}

fn start(nonces: Nonces) -> (TestServer, Arc<KeyPair>) {
    let key = Arc::new(key(Algorithm::Es256));
    let server =
        TestServer::builder().client_public_key(key.to_public().clone()).nonces(nonces).start().unwrap();
    (server, key)
}

fn accounts(server: &TestServer) -> String {
    format!("{}/accounts?page=2#top", server.issuer())
}

/// Makes a few calls and returns what the server received at the token endpoint and at the resource.
fn happy_path(nonces: Nonces, dpop: Algorithm) -> (TestServer, Vec<Received>) {
    let (server, assertion_key) = start(nonces);
    let session = client(&server, &assertion_key, dpop);
    for _ in 0..3 {
        assert_eq!(session.get(&accounts(&server)).unwrap().status(), 200);
    }
    session.discard_token();
    assert_eq!(session.get(&accounts(&server)).unwrap().status(), 200);
    nothing_twice(&server);
    let requests = [token_requests(&server), calls(&server)].concat();
    (server, requests)
}

fn nonce(request: &Received) -> Option<String> {
    request.proof()?.claims.get("nonce")?.as_str().map(str::to_owned)
}

/// One nonce for the authorization server and another one for the resource server, on one origin.
#[test]
fn uses_the_nonce_of_each_server_there_alone() {
    for kind in [Nonces::EachResponse, Nonces::LifetimeByChallenge(std::time::Duration::from_secs(60))] {
        let (server, _) = happy_path(kind, Algorithm::Es256);
        let sent = |requests: Vec<Received>| requests.iter().filter_map(nonce).collect::<HashSet<_>>();
        let (of_token, of_resource) = (sent(token_requests(&server)), sent(calls(&server)));
        assert!(!of_token.is_empty() && !of_resource.is_empty());
        assert!(of_token.is_disjoint(&of_resource));
        // The server refuses a nonce that it never gave at that endpoint. It refused the first proof alone.
        let refused =
            |requests: Vec<Received>| statuses(&requests).iter().filter(|status| **status >= 400).count();
        assert_eq!((refused(token_requests(&server)), refused(calls(&server))), (1, 1));
    }
}

#[test]
fn works_without_nonces() {
    let (server, requests) = happy_path(Nonces::Off, Algorithm::Es256);
    assert!(requests.iter().all(|request| nonce(request).is_none()));
    assert_eq!(server.counts().challenges, 0);
}

#[test]
fn accepts_token_type_in_another_case() {
    for token_type in ["dpop", "DPOP", "dPoP"] {
        let (server, assertion_key) = start(Nonces::Off);
        always(&server, Endpoint::Token, member("token_type", &format!("\"{token_type}\"")));
        let session = client(&server, &assertion_key, Algorithm::Es256);
        assert_eq!(session.get(&accounts(&server)).unwrap().status(), 200, "{token_type}");
    }
}

#[test]
fn understands_a_challenge_whose_scheme_is_in_another_case() {
    for scheme in ["dPoP", "DPOP", "dpop"] {
        let (server, assertion_key) = start(Nonces::Off);
        let session = client(&server, &assertion_key, Algorithm::Es256);
        let challenge = format!(r#"{scheme} error="use_dpop_nonce""#);
        let fields = [("www-authenticate", challenge.as_str()), ("dpop-nonce", "the-nonce")];
        once(&server, Endpoint::Resource, respond(401, &fields, ""));
        assert_eq!(session.get(&accounts(&server)).unwrap().status(), 200, "{scheme}");
        assert_eq!(nonce(&calls(&server)[1]).as_deref(), Some("the-nonce"));
    }
    let (server, assertion_key) = start(Nonces::EachResponse);
    let form = possession::testing::Quirk::ChallengeForm(ChallengeForm::OddlySpaced);
    always(&server, Endpoint::Resource, form);
    let session = client(&server, &assertion_key, Algorithm::Es256);
    assert_eq!(session.get(&accounts(&server)).unwrap().status(), 200);
}

#[test]
fn iat_is_within_five_minutes_and_nbf_not_in_the_future() {
    for request in happy_path(Nonces::EachResponse, Algorithm::Es256).1 {
        let now = request.at.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = request.proof().unwrap().claims;
        assert!(claims["iat"].as_u64().unwrap().abs_diff(now) <= 300);
        assert!(claims.get("nbf").is_none_or(|nbf| nbf.as_u64().unwrap() <= now));
    }
}

#[test]
fn ath_is_in_proofs_for_the_resource_alone() {
    let (server, _) = happy_path(Nonces::EachResponse, Algorithm::Es256);
    assert!(proofs(&token_requests(&server)).iter().all(|proof| proof.claims.get("ath").is_none()));
    for call in calls(&server) {
        let [authorization] = *call.header_values("authorization") else { panic!("one token") };
        let token = authorization.strip_prefix("DPoP ").unwrap();
        assert_eq!(call.proof().unwrap().claims["ath"], possession::ath(token));
    }
}

#[test]
fn jti_is_never_repeated() {
    let (_, requests) = happy_path(Nonces::EachResponse, Algorithm::Es256);
    let jtis: Vec<_> = proofs(&requests).iter().map(|proof| proof.claims["jti"].to_string()).collect();
    assert!(jtis.len() > 5);
    assert_eq!(jtis.iter().collect::<HashSet<_>>().len(), jtis.len());
}

/// The suite compares strings: without query and fragment, and nothing else is changed.
#[test]
fn htu_is_the_url_of_the_request_without_query_and_fragment() {
    let (server, _) = happy_path(Nonces::Off, Algorithm::Es256);
    let htu = |requests: Vec<Received>| {
        let htu = |proof: &possession::testing::DecodedJwt| proof.claims["htu"].as_str().unwrap().to_owned();
        proofs(&requests).iter().map(htu).collect::<HashSet<_>>()
    };
    assert_eq!(htu(token_requests(&server)), [format!("{}/token", server.issuer())].into());
    assert_eq!(htu(calls(&server)), [format!("{}/accounts", server.issuer())].into());
}

/// FAPI 2.0 §5.4.1: PS256, ES256, EdDSA or Ed25519.
#[test]
fn proofs_use_an_allowed_algorithm() {
    for dpop in [Algorithm::Es256, Algorithm::Ed25519] {
        let (_, requests) = happy_path(Nonces::EachResponse, dpop);
        for proof in proofs(&requests) {
            let alg = proof.header["alg"].as_str().unwrap();
            assert!(["ES256", "EdDSA", "Ed25519"].contains(&alg), "{alg}");
        }
    }
}

/// FAPI 2.0 §5.3.2.1 (8) and rfc7523bis: the audience is the issuer as a string and not a list.
#[test]
fn the_audience_of_the_assertion_is_the_issuer_as_a_string() {
    let (server, requests) = happy_path(Nonces::EachResponse, Algorithm::Es256);
    let mut seen = HashSet::new();
    for request in requests.iter().filter(|request| request.endpoint == Endpoint::Token) {
        let assertion = request.assertion().unwrap();
        assert_eq!(assertion.claims["aud"], server.issuer());
        let [iat, exp] = ["iat", "exp"].map(|claim| assertion.claims[claim].as_u64().unwrap());
        assert!(iat < exp && exp - iat <= 60);
        // Each request has a new one, the retry with a nonce included.
        assert!(seen.insert(assertion.claims["jti"].to_string()));
    }
    assert!(seen.len() >= 3);
}
