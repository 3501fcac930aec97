//! Proofs, and the binding of a token to a key. Threats V-50, V-54 and V-60.

use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use possession::server::*;
use possession::*;
use serde_json::json;
use sha2::Digest;

use super::{
    ORIGIN, ask, challenged, dpop, other, proof, proof_by, proof_saying, table, verifier, whole_response,
};
use crate::support::{ATH, NOW, TOKEN, mine};

/// V-50, V-54 and V-60: what may be wrong with a proof, the response, and whether the token was looked up.
/// A token is looked up only for a proof that is valid so far.
#[test]
fn v_50_v_54_every_defect_of_a_proof_has_its_reason_and_response() {
    let (table, stolen) = (table(), other());
    let server = ResourceServer::new(ORIGIN, verifier(), Arc::clone(&table)).unwrap();
    let sha512 = Base64UrlUnpadded::encode_string(&sha2::Sha512::digest(TOKEN));
    let hex: String = sha2::Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
    let (missing, ath_reason) = (|claim| Reason::Claim { claim }, || Reason::Ath);
    let binding = Reason::Binding {
        expected: mine().public_key().thumbprint(),
        actual: stolen.public_key().thumbprint(),
    };
    let (thief, used) = (KeyPair::generate(Algorithm::Es256).unwrap(), proof());
    let by_thief = Reason::Binding {
        expected: mine().public_key().thumbprint(),
        actual: thief.public_key().thumbprint(),
    };
    assert!(ask(&server, &[("authorization", &dpop()), ("dpop", &used)]).is_ok());
    let (proof_error, token_error) = ("invalid_dpop_proof", "invalid_token");
    // (proofs, reason, error, lookups of the token)
    let rows: Vec<(Vec<String>, Reason, &str, usize)> = vec![
        (vec![], Reason::NoProof, proof_error, 0),
        (vec![proof(), proof()], Reason::SeveralProofs { fields: 2 }, proof_error, 0),
        (vec![proof(), String::new()], Reason::SeveralProofs { fields: 2 }, proof_error, 0),
        (vec![proof_saying(&json!({"ath": null}))], missing("ath"), proof_error, 0),
        (vec![proof_saying(&json!({"ath": ""}))], missing("ath"), proof_error, 0),
        (vec![proof_saying(&json!({"ath": 1}))], missing("ath"), proof_error, 0),
        (vec![proof_saying(&json!({"ath": ath("other")}))], ath_reason(), proof_error, 0),
        (vec![proof_saying(&json!({"ath": hex}))], ath_reason(), proof_error, 0),
        (vec![proof_saying(&json!({"ath": format!("{ATH}=")}))], ath_reason(), proof_error, 0),
        (vec![proof_saying(&json!({"ath": &ATH[..42]}))], ath_reason(), proof_error, 0),
        (vec![proof_saying(&json!({"ath": sha512}))], ath_reason(), proof_error, 0),
        (vec![proof_saying(&json!({"ath": ath(&dpop())}))], ath_reason(), proof_error, 0),
        (
            vec![proof_saying(&json!({"htm": "POST"}))],
            Reason::Htm { expected: "GET".into(), actual: "POST".into() },
            proof_error,
            0,
        ),
        (
            vec![proof_saying(&json!({"iat": NOW - 61}))],
            Reason::Stale { age: Duration::from_secs(61), allowed: Duration::from_secs(60) },
            proof_error,
            0,
        ),
        // V-50: a stolen token with a proof that is valid except for its key (RFC 9449 figure 16).
        (vec![proof_by(&stolen, TOKEN)], binding, token_error, 1),
        (vec![proof_by(&thief, TOKEN)], by_thief, token_error, 1),
        (vec![used], Reason::Replayed, proof_error, 1),
    ];
    // Garbage in the field is refused before anything is looked up.
    for garbage in ["garbage", "", "a.b.c"] {
        let before = table.asked();
        let rejection = ask(&server, &[("authorization", &dpop()), ("dpop", garbage)]).unwrap_err();
        assert!(matches!(rejection.reason(), Reason::Malformed(_)), "{garbage:?}: {rejection}");
        assert_eq!(whole_response(&rejection), challenged(401, Some(proof_error)));
        assert_eq!(table.asked(), before);
    }
    for (row, (proofs, reason, error, lookups)) in rows.into_iter().enumerate() {
        let before = table.asked();
        let authorization = dpop();
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(proofs.iter().map(|proof| ("dpop", proof.as_str())));
        let rejection = ask(&server, &headers).unwrap_err();
        assert_eq!(rejection.reason(), &reason, "row {row}");
        assert_eq!(whole_response(&rejection), challenged(401, Some(error)), "row {row}");
        assert_eq!(table.asked() - before, lookups, "row {row}");
    }
    // None of these used up the `jti` of the hand-made proofs.
    let caller = ask(&server, &[("authorization", &dpop()), ("dpop", &proof_saying(&json!({})))]).unwrap();
    assert_eq!(caller.thumbprint(), Some(mine().public_key().thumbprint()));
    assert_eq!(caller.proof().unwrap().jti(), "by hand");
    assert_eq!((caller.token().jkt(), caller.token().claim("sub")), (caller.thumbprint(), Some(&json!("s"))));
}

/// A token that is unknown, or bound to no key, is refused with a valid proof as well.
#[test]
fn v_50_a_dpop_request_needs_a_known_token_that_is_bound() {
    let table = table();
    let server = ResourceServer::new(ORIGIN, verifier(), Arc::clone(&table)).unwrap();
    for (token, reason) in
        [("unbound", Reason::UnboundToken), ("unknown", Reason::Token(TokenError::Inactive))]
    {
        let (before, authorization) = (table.asked(), format!("DPoP {token}"));
        let proof = proof_by(&mine(), token);
        let rejection = ask(&server, &[("authorization", &authorization), ("dpop", &proof)]).unwrap_err();
        assert_eq!(rejection.reason(), &reason);
        assert_eq!(whole_response(&rejection), challenged(401, Some("invalid_token")));
        assert_eq!(table.asked() - before, 1);
    }
}
