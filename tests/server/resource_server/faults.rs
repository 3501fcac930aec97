//! Tokens that are not accepted, and faults of the server itself. Threats V-41 and V-60.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use possession::server::*;
use possession::*;

use super::{
    ORIGIN, Table, ask, challenged, dpop, fields, proof, request, server, table, unavailable, verifier,
    whole_response,
};

/// The response does not depend on what is wrong with the token; the reason for the log does.
#[test]
fn v_60_every_refused_token_gets_the_same_response() {
    let claim = || "sub".to_owned();
    let faults = [
        TokenError::Typ { expected: vec!["at+jwt".to_owned()], actual: Some("JWT".to_owned()) },
        TokenError::Algorithm { alg: "none".to_owned() },
        TokenError::UnknownKey,
        TokenError::Signature,
        TokenError::Issuer { expected: "https://as.example".to_owned(), actual: None },
        TokenError::Audience {
            expected: ORIGIN.to_owned(),
            actual: vec!["https://other.example".to_owned()],
        },
        TokenError::IssuedInFuture { seconds: 3_600 },
        TokenError::Expired { seconds: 7 },
        TokenError::NotYetValid { seconds: 7 },
        TokenError::Claim { claim: claim() },
        TokenError::Confirmation,
        TokenError::Inactive,
    ];
    for fault in faults {
        let table = Table { fault: Some(fault.clone()), ..Table::default() };
        let server = ResourceServer::new(ORIGIN, verifier(), table).unwrap();
        let proof = proof();
        let rejection = ask(&server, &[("authorization", &dpop()), ("dpop", &proof)]).unwrap_err();
        assert_eq!(rejection.reason(), &Reason::Token(fault));
        assert_eq!(whole_response(&rejection), challenged(401, Some("invalid_token")));
        // Only a token that is accepted uses up the proof.
        let fine = ResourceServer::new(ORIGIN, verifier(), self::table()).unwrap();
        assert!(ask(&fine, &[("authorization", &dpop()), ("dpop", &proof)]).is_ok());
    }
}

/// V-41 and V-60: nothing is accepted, and the response does not say what failed.
#[test]
fn v_60_a_fault_of_the_server_is_a_503_without_details() {
    struct Full;
    impl ReplayStore for Full {
        fn insert_if_absent(
            &self,
            _: &ProofRecord,
            _: SystemTime,
        ) -> Result<InsertOutcome, ReplayStoreError> {
            Err(ReplayStoreError::Full { capacity: 1 })
        }
    }
    let fault = Some(TokenError::Unavailable(Error::timeout("10.1.2.3 does not respond")));
    let down = Table { fault, ..Table::default() };
    let down = ResourceServer::new(ORIGIN, verifier(), down).unwrap().accept_unbound_bearer();
    let full = ResourceServer::new(ORIGIN, Verifier::new(Full), table()).unwrap();
    let proof = proof();
    let authorization = dpop();
    let headers = [("authorization", authorization.as_str()), ("dpop", &proof)];
    let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
    let rejections = [
        ask(&down, &headers),
        ask(&down, &[("authorization", "Bearer unbound")]),
        ask(&full, &headers),
        server().authenticate(&request("/orders", fields(&headers)), before_1970),
    ];
    let rejections = rejections.map(Result::unwrap_err);
    for unavailable in &rejections[..2] {
        assert!(matches!(unavailable.reason(), Reason::Token(TokenError::Unavailable(_))), "{unavailable}");
    }
    for rejection in rejections {
        assert!(rejection.is_server_fault() && rejection.error().is_none(), "{rejection}");
        assert_eq!(whole_response(&rejection), unavailable(), "{rejection}");
    }
}
