//! What a verifier demands of the `nonce` claim and how it responds when that is wrong. Threats V-44, V-48,
//! V-49 and V-59. The sources of nonces are tested in `nonces.rs`.

use possession::server::Reason;
use possession::testing::FixedNonces;
use serde_json::{Value, json};

use crate::support::{
    NOW, TOKEN, assert_common, at, badly_signed, claims, jkt, memory, mine, proof, received, set,
    token_request, without,
};

/// V-44 and V-49: once the server demands nonces, a proof needs one of them.
#[test]
fn v_44_only_a_nonce_of_this_server_is_accepted() {
    let longer = "eyJ7S_zG.eyJH0-Z.HX4w-7v";
    let accepted = ["n1", longer];
    let ask = |claims: &Value, nonces: &[&str]| {
        let verifier = memory().require_nonces(FixedNonces::new(nonces.iter().copied()));
        token_request(&verifier, &proof(claims), NOW)
    };
    for nonce in accepted {
        assert!(ask(&set(claims("x"), "nonce", nonce), &accepted).is_ok());
    }
    let flipped: String = longer.chars().rev().collect();
    for nonce in
        ["n", "n11", "N1", " n1", "n1 ", "n2", "", &longer.to_uppercase(), &longer[..23], &flipped, "n1\0"]
    {
        let seen = ask(&set(claims("x"), "nonce", nonce), &accepted);
        assert_eq!(seen.unwrap_err(), Reason::Nonce, "{nonce:?}");
    }
    for nonce in [json!(null), json!(1), json!(["n1"]), json!({"n1": "n1"}), json!(true)] {
        let seen = ask(&set(claims("x"), "nonce", nonce.clone()), &accepted);
        assert!(matches!(seen.unwrap_err(), Reason::NoNonce | Reason::Nonce), "{nonce}");
    }
    assert_eq!(ask(&without(claims("x"), "nonce"), &accepted).unwrap_err(), Reason::NoNonce);
    assert_eq!(ask(&claims("x"), &[]).unwrap_err(), Reason::Nonce);
    assert_eq!(ask(&without(claims("x"), "nonce"), &[]).unwrap_err(), Reason::NoNonce);
    // A server that has no previous nonce yet may pass an empty one.
    for claims in [set(claims("x"), "nonce", ""), without(claims("x"), "nonce")] {
        assert!(ask(&claims, &["n1", ""]).is_err());
    }
    // RFC 9449 §4.3, check 10, applies only to servers that provide nonces.
    for claims in [claims("x"), without(claims("x"), "nonce"), set(claims("x"), "nonce", "any")] {
        assert!(token_request(&memory(), &proof(&claims), NOW).is_ok());
    }
}

/// A peer that cannot sign learns nothing about nonces, and the responses to a forged and to an expired
/// nonce are equal.
#[test]
fn v_48_a_response_does_not_tell_an_expired_nonce_from_a_forged_one() {
    let responses = |claims: Value, good: bool| {
        let proofs = [if good { proof(&claims) } else { badly_signed(&claims) }];
        let verifier = memory().require_nonces(FixedNonces::new(["n1"]));
        let rejections = [
            verifier.verify_token_request(&received(&proofs), at(NOW)),
            verifier.verify_resource_request(&received(&proofs), TOKEN, &jkt(&mine()), at(NOW)),
        ];
        let rejections = rejections.map(Result::unwrap_err);
        (rejections[0].error().unwrap(), format!("{:?}", rejections.map(|rejection| rejection.to_response())))
    };
    let of = |nonce: &str| set(claims("x"), "nonce", nonce);
    let unsigned: Vec<_> = [claims("x"), of("forged"), of(""), without(claims("x"), "nonce")]
        .map(|claims| responses(claims, false))
        .into();
    assert!(unsigned.iter().all(|response| *response == unsigned[0] && response.0 == "invalid_dpop_proof"));
    let signed: Vec<_> = [of("forged"), of("expired"), of(""), without(claims("x"), "nonce")]
        .map(|c| responses(c, true))
        .into();
    assert!(signed.iter().all(|response| *response == signed[0] && response.0 == "use_dpop_nonce"));
}

/// Neither is a nonce sent that no client may send back (RFC 9449 §8.1).
#[test]
fn v_59_a_nonce_that_no_header_can_carry_is_left_out_of_the_response() {
    for nonce in ["", "a b", "a\"b", "a\\b", "a\r\nX: y", "\u{e9}", &"n".repeat(2000)] {
        let verifier = memory().require_nonces(FixedNonces::new([nonce]));
        let proofs = [proof(&claims("x"))];
        let rejection = verifier.verify_token_request(&received(&proofs), at(NOW)).unwrap_err();
        assert_eq!(rejection.error(), Some("use_dpop_nonce"));
        assert_common(&rejection.to_response(), None);
    }
}
