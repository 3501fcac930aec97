//! What the FAPI 2.0 conformance suite of the OpenID Foundation checks at a resource server, one row a test.
//!
//! Each defect is sent alone, and a correct proof must be accepted afterwards by the same server. A refusal
//! has status 400 or 401. These tests replicate the checks; they are no certification.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::SystemTime;

use base64ct::{Base64UrlUnpadded, Encoding};
use http::{HeaderName, Method, Request};
use possession::server::*;
use possession::{Algorithm, KeyPair, Signer, ath};
use serde_json::{Value, json};

use crate::support::{ATH, NOW, TOKEN, at, header_of, jws, memory, mine, set, token_request, without};

const ORIGIN: &str = "https://api.example.com";
const URL: &str = "https://api.example.com/accounts/1";

/// Access tokens by their text.
struct Tokens(HashMap<&'static str, AccessToken>);

impl TokenValidator for Tokens {
    fn validate(&self, access_token: &str, _: SystemTime) -> Result<AccessToken, TokenError> {
        self.0.get(access_token).cloned().ok_or(TokenError::Inactive)
    }
}

/// A resource server, and the number of proofs made for it.
struct Api {
    server: ResourceServer,
    proofs: Cell<u32>,
}

impl Api {
    fn new() -> Self {
        let bound_to = |key: &KeyPair| {
            let cnf = json!({"sub": "client", "cnf": {"jkt": key.public_key().thumbprint().to_string()}});
            AccessToken::new(cnf.as_object().unwrap().clone()).unwrap()
        };
        let tokens = Tokens([(TOKEN, bound_to(&mine())), ("another-token", bound_to(&mine()))].into());
        Self { server: ResourceServer::new(ORIGIN, memory(), tokens).unwrap(), proofs: Cell::new(0) }
    }

    /// The claims of a correct proof. `jti` is another one each time.
    fn claims(&self) -> Value {
        self.proofs.set(self.proofs.get() + 1);
        json!({"jti": format!("conformance-{}", self.proofs.get()), "htm": "GET", "htu": URL, "iat": NOW, "ath": ATH})
    }

    fn send(&self, target: &str, fields: &[(&str, &str)]) -> Result<(), Rejection> {
        let mut request = Request::builder().method(Method::GET).uri(target);
        for (name, value) in fields {
            request = request.header(HeaderName::from_bytes(name.as_bytes()).unwrap(), *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        self.server.authenticate(&parts, at(NOW)).map(drop)
    }

    fn send_proof(&self, proof: &str) -> Result<(), Rejection> {
        self.send("/accounts/1", &[("authorization", &format!("DPoP {TOKEN}")), ("dpop", proof)])
    }

    /// A proof of a correct header and these claims.
    fn proof(claims: &Value) -> String {
        jws(&mine(), &header_of(&mine()), claims)
    }

    #[track_caller]
    fn accepts(&self, proof: &str) {
        if let Err(rejection) = self.send_proof(proof) {
            panic!("refused: {rejection}");
        }
    }

    /// The status of the refusal is 400 or 401, the reason is the expected one, and a correct proof is
    /// accepted afterwards.
    #[track_caller]
    fn refuses(&self, outcome: Result<(), Rejection>, expected: impl FnOnce(&Reason) -> bool) {
        let rejection = outcome.expect_err("it was accepted");
        let status = rejection.to_response().status().as_u16();
        assert!([400, 401].contains(&status), "{status}");
        assert!(expected(rejection.reason()), "refused for another reason: {rejection}");
        let claims = self.claims();
        self.accepts(&Self::proof(&claims));
    }

    #[track_caller]
    fn refuses_proof(&self, proof: &str, expected: impl FnOnce(&Reason) -> bool) {
        let outcome = self.send_proof(proof);
        self.refuses(outcome, expected);
    }
}

#[test]
fn refuses_more_than_one_dpop_header_field() {
    let api = Api::new();
    let (one, two) = (Api::proof(&api.claims()), Api::proof(&api.claims()));
    let token = format!("DPoP {TOKEN}");
    let outcome = api.send("/accounts/1", &[("authorization", &token), ("dpop", &one), ("dpop", &two)]);
    api.refuses(outcome, |reason| matches!(reason, Reason::SeveralProofs { fields: 2 }));
}

#[test]
fn refuses_a_proof_that_is_not_a_well_formed_jwt() {
    let api = Api::new();
    let good = Api::proof(&api.claims());
    let segments: Vec<_> = good.split('.').collect();
    for malformed in [
        "not-a-jwt".to_owned(),
        format!("{}.{}", segments[0], segments[1]),
        format!("{good}.{}", segments[2]),
        format!("{good}="),
        format!("AAAA.{}.{}", segments[1], segments[2]),
    ] {
        api.refuses_proof(&malformed, |reason| matches!(reason, Reason::Malformed(_)));
    }
}

#[test]
fn refuses_a_proof_without_a_required_header_member() {
    let api = Api::new();
    for name in ["typ", "alg", "jwk"] {
        let header = without(header_of(&mine()), name);
        let proof = jws(&mine(), &header, &api.claims());
        api.refuses_proof(&proof, |reason| {
            matches!(
                (name, reason),
                ("typ", Reason::Typ) | ("alg", Reason::Malformed(_)) | ("jwk", Reason::Jwk { .. })
            )
        });
    }
}

#[test]
fn refuses_a_proof_without_a_required_claim() {
    let api = Api::new();
    for name in ["jti", "htm", "htu", "iat", "ath"] {
        let proof = Api::proof(&without(api.claims(), name));
        api.refuses_proof(&proof, |reason| *reason == Reason::Claim { claim: name });
    }
}

#[test]
fn refuses_a_wrong_typ() {
    let api = Api::new();
    for typ in ["JWT", "at+jwt", "dpop", ""] {
        let proof = jws(&mine(), &set(header_of(&mine()), "typ", typ), &api.claims());
        api.refuses_proof(&proof, |reason| *reason == Reason::Typ);
    }
}

/// FAPI 2.0 §5.4.1 leaves PS256, ES256 and EdDSA. Without configuration the crate accepts the last two.
#[test]
fn refuses_alg_none_and_rs256() {
    let api = Api::new();
    let rsa: Value =
        serde_json::from_str(include_str!("../../test-vectors/rfc7638-thumbprint.json")).unwrap();
    for (alg, jwk) in [
        ("none", header_of(&mine())["jwk"].clone()),
        ("RS256", rsa["cases"][0]["jwk"].clone()),
        ("RS256", header_of(&mine())["jwk"].clone()),
    ] {
        let header = json!({"typ": "dpop+jwt", "alg": alg, "jwk": jwk});
        let proof = jws(&mine(), &header, &api.claims());
        api.refuses_proof(&proof, |reason| matches!(reason, Reason::Algorithm { .. } | Reason::Jwk { .. }));
        let unsigned = format!("{}.", proof.rsplit_once('.').unwrap().0);
        api.refuses_proof(&unsigned, |reason| matches!(reason, Reason::Malformed(_)));
    }
}

#[test]
fn refuses_an_altered_signature() {
    let api = Api::new();
    let good = Api::proof(&api.claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut bytes = Base64UrlUnpadded::decode_vec(signature).unwrap();
    for position in [0, 31, 40] {
        bytes[position] ^= 1;
        let altered = format!("{signed}.{}", Base64UrlUnpadded::encode_string(&bytes));
        api.refuses_proof(&altered, |reason| *reason == Reason::Signature);
        bytes[position] ^= 1;
    }
    api.accepts(&good);
}

#[test]
fn refuses_a_jwk_that_contains_the_private_key() {
    let api = Api::new();
    let private: Value = serde_json::from_str(&mine().to_jwk()).unwrap();
    let proof = jws(&mine(), &set(header_of(&mine()), "jwk", private), &api.claims());
    api.refuses_proof(&proof, |reason| matches!(reason, Reason::Jwk { .. }));
}

#[test]
fn refuses_htm_of_another_method() {
    let api = Api::new();
    for method in ["POST", "HEAD", "get"] {
        let proof = Api::proof(&set(api.claims(), "htm", method));
        api.refuses_proof(&proof, |reason| matches!(reason, Reason::Htm { .. }));
    }
}

#[test]
fn refuses_htu_of_another_url() {
    let api = Api::new();
    for url in [
        "https://api.example.com/accounts/2",
        "https://api.example.com/",
        "https://other.example.com/accounts/1",
        "https://api.example.com:8443/accounts/1",
        "http://api.example.com/accounts/1",
    ] {
        let proof = Api::proof(&set(api.claims(), "htu", url));
        api.refuses_proof(&proof, |reason| matches!(reason, Reason::Htu { .. }));
    }
}

/// RFC 9449 §4.3 (9): query and fragment are ignored on both sides.
#[test]
fn accepts_htu_with_and_without_query_and_fragment() {
    let api = Api::new();
    let with_both = format!("{URL}?page=2#top");
    api.accepts(&Api::proof(&set(api.claims(), "htu", with_both)));
    let proof = Api::proof(&api.claims());
    let token = format!("DPoP {TOKEN}");
    let outcome = api.send("/accounts/1?page=2&size=10", &[("authorization", &token), ("dpop", &proof)]);
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn accepts_htu_in_upper_case_and_with_the_default_port() {
    let api = Api::new();
    for url in [
        "HTTPS://api.example.com/accounts/1",
        "https://API.EXAMPLE.COM/accounts/1",
        "https://api.example.com:443/accounts/1",
    ] {
        api.accepts(&Api::proof(&set(api.claims(), "htu", url)));
    }
}

#[test]
fn refuses_iat_one_hour_in_the_future_or_the_past() {
    let api = Api::new();
    let proof = Api::proof(&set(api.claims(), "iat", NOW + 3600));
    api.refuses_proof(&proof, |reason| matches!(reason, Reason::Future { .. }));
    let proof = Api::proof(&set(api.claims(), "iat", NOW - 3600));
    api.refuses_proof(&proof, |reason| matches!(reason, Reason::Stale { .. }));
}

#[test]
fn accepts_iat_10_s_in_the_past_and_8_s_in_the_future() {
    let api = Api::new();
    for iat in [NOW - 10, NOW + 8] {
        api.accepts(&Api::proof(&set(api.claims(), "iat", iat)));
    }
}

/// FAPI 2.0 §5.3.2.1 demands this of an authorization server.
#[test]
fn an_authorization_server_accepts_iat_and_nbf_up_to_10_s_in_the_future() {
    let claims =
        |jti: &str, iat| without(without(set(crate::support::claims(jti), "iat", iat), "ath"), "nonce");
    let verifier = memory();
    for ahead in [0, 1, 10] {
        let proof = Api::proof(&claims(&format!("ahead-{ahead}"), NOW + ahead));
        assert_eq!(token_request(&verifier, &proof, NOW).map(drop), Ok(()), "{ahead}");
        let with_nbf = set(claims(&format!("nbf-{ahead}"), NOW), "nbf", NOW + ahead);
        assert_eq!(token_request(&verifier, &Api::proof(&with_nbf), NOW).map(drop), Ok(()), "nbf {ahead}");
    }
}

#[test]
fn accepts_nbf_now_and_exp_in_five_minutes() {
    let api = Api::new();
    let claims = set(set(api.claims(), "nbf", NOW), "exp", NOW + 300);
    api.accepts(&Api::proof(&claims));
}

#[test]
fn accepts_the_first_use_of_a_jti_and_refuses_the_second() {
    let api = Api::new();
    let claims = api.claims();
    api.accepts(&Api::proof(&claims));
    api.refuses_proof(&Api::proof(&claims), |reason| *reason == Reason::Replayed);
    // Another proof with the same `jti` is a second use as well.
    api.refuses_proof(&Api::proof(&set(claims, "iat", NOW - 1)), |reason| *reason == Reason::Replayed);
}

#[test]
fn refuses_ath_of_another_token() {
    let api = Api::new();
    let proof = Api::proof(&set(api.claims(), "ath", ath("another-token")));
    api.refuses_proof(&proof, |reason| *reason == Reason::Ath);
}

#[test]
fn refuses_a_proof_by_another_key() {
    let api = Api::new();
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let stranger = KeyPair::generate(algorithm).unwrap();
        let proof = jws(&stranger, &header_of(&stranger), &api.claims());
        api.refuses_proof(&proof, |reason| matches!(reason, Reason::Binding { .. }));
        // With the public key of the right client it is a wrong signature.
        let claims = api.claims();
        let borrowed = jws(&stranger, &header_of(&mine()), &claims);
        api.refuses_proof(&borrowed, |reason| *reason == Reason::Signature);
    }
}

#[test]
fn accepts_unknown_header_members_and_unknown_claims() {
    let api = Api::new();
    let header = set(set(header_of(&mine()), "kid", "1"), "x-unknown", json!({"a": [1]}));
    let claims = set(set(api.claims(), "iss", "client"), "https://unknown.example/claim", json!([null]));
    api.accepts(&jws(&mine(), &header, &claims));
}

/// RFC 9110 §5.1: names of fields are case-insensitive.
#[test]
fn accepts_the_header_field_name_in_upper_case() {
    let api = Api::new();
    let token = format!("DPoP {TOKEN}");
    for name in ["DPOP", "dpop", "dPoP"] {
        let proof = Api::proof(&api.claims());
        let outcome = api.send("/accounts/1", &[("AUTHORIZATION", &token), (name, &proof)]);
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

#[test]
fn refuses_a_request_without_a_proof() {
    let api = Api::new();
    let outcome = api.send("/accounts/1", &[("authorization", &format!("DPoP {TOKEN}"))]);
    api.refuses(outcome, |reason| *reason == Reason::NoProof);
}

#[test]
fn refuses_a_bound_token_as_bearer_token_with_and_without_a_proof() {
    let api = Api::new();
    let bearer = format!("Bearer {TOKEN}");
    let without_proof = api.send("/accounts/1", &[("authorization", &bearer)]);
    let proof = Api::proof(&api.claims());
    let with_proof = api.send("/accounts/1", &[("authorization", &bearer), ("dpop", &proof)]);
    for outcome in [without_proof, with_proof] {
        let error = outcome.as_ref().err().and_then(|rejection| rejection.error().map(str::to_owned));
        assert!(error.is_some(), "the error code says why");
        api.refuses(outcome, |_| true);
    }
}
