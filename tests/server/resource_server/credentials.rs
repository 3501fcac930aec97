//! The `Authorization` field, `Bearer` tokens, and the challenge of the scheme that was tried. Threats
//! V-52, V-55 and V-60.

use std::sync::Arc;

use possession::server::*;
use possession::testing::FixedNonces;
use possession::*;
use serde_json::{Value, json};

use super::{
    ALGS, ORIGIN, Whole, ask, challenged, dpop, fields, other, proof, proof_by, request, server, table,
    verifier, whole_response, with_challenges,
};
use crate::support::{NOW, TOKEN, at, mine};

/// V-55 and V-60: one `Authorization` field with one token. RFC 9110 §11.4 allows the scheme in any case
/// and one or more spaces before the token. RFC 6750 §3.1 demands 400 for malformed credentials, and no
/// error code where none were presented.
#[test]
fn v_55_exactly_one_well_formed_access_token_is_accepted() {
    let two = ("authorization", "DPoP b");
    let (ok, none, wrong) =
        (None, Some(challenged(401, None)), Some(challenged(400, Some("invalid_request"))));
    let one = |value: &str| vec![("authorization", value.to_owned())];
    let and = |value: &str, (name, more): (&'static str, &str)| {
        vec![("authorization", value.to_owned()), (name, more.to_owned())]
    };
    type Row = (Vec<(&'static str, String)>, &'static str, Option<Whole>);
    let rows: Vec<Row> = vec![
        (one(&format!("DPoP {TOKEN}")), "/orders", ok.clone()),
        (one(&format!("dpop {TOKEN}")), "/orders", ok.clone()),
        (one(&format!("DPOP {TOKEN}")), "/orders", ok.clone()),
        (one(&format!("dPoP   {TOKEN}")), "/orders", ok.clone()),
        (one(&dpop()), "/orders?token=x&access=token", ok.clone()),
        // No access token.
        (vec![], "/orders", none.clone()),
        (vec![], "/orders?access_token=x", none.clone()),
        (one(""), "/orders", none.clone()),
        (one("Basic dXNlcjpwYXNz"), "/orders", none.clone()),
        (one("Digest username=\"u\""), "/orders", none.clone()),
        (one(&format!("DPoPx {TOKEN}")), "/orders", none.clone()),
        (vec![("proxy-authorization", dpop())], "/orders", none),
        // JwsError credentials.
        (one("DPoP"), "/orders", wrong.clone()),
        (one("DPoP "), "/orders", wrong.clone()),
        (one("Bearer"), "/orders", wrong.clone()),
        (one(&format!("DPoP\t{TOKEN}")), "/orders", wrong.clone()),
        (one(&format!("DPoP \t{TOKEN}")), "/orders", wrong.clone()),
        (one(&format!("DPoP,{TOKEN}")), "/orders", wrong.clone()),
        (one(&format!("DPoP \"{TOKEN}\"")), "/orders", wrong.clone()),
        (one(&format!("DPoP {TOKEN},")), "/orders", wrong.clone()),
        (one(&format!("DPoP {TOKEN}, DPoP {TOKEN}")), "/orders", wrong.clone()),
        (one(&format!("DPoP {TOKEN} {TOKEN}")), "/orders", wrong.clone()),
        (one(&format!("DPoP token={TOKEN}")), "/orders", wrong.clone()),
        (one(&format!("DPoP {TOKEN}=a")), "/orders", wrong.clone()),
        (one(&format!("DPoP {TOKEN}\u{e9}")), "/orders", wrong.clone()),
        (one("DPoP b\u{f6}und"), "/orders", wrong.clone()),
        (and(&dpop(), ("authorization", &dpop())), "/orders", wrong.clone()),
        (and(&dpop(), two), "/orders", wrong.clone()),
        (and(&dpop(), ("authorization", "Basic dXNlcjpwYXNz")), "/orders", wrong.clone()),
        (and(&dpop(), ("authorization", "Bearer unbound")), "/orders", wrong.clone()), // RFC 9449 figure 19
        // In more than one place (RFC 6750 §2).
        (one(&dpop()), "/orders?access_token=x", wrong.clone()),
        (one(&dpop()), "/orders?a=b&access_token", wrong.clone()),
        (one(&dpop()), "/orders?access%5Ftoken=x", wrong.clone()),
        (one(&dpop()), "/orders?a=b&access%5Ftoken=x", wrong.clone()),
        (one("Bearer unbound"), "/orders?access_token=unbound", wrong.clone()),
        // No URL of a resource.
        (one(&dpop()), "*", wrong),
    ];
    let mut failed = Vec::new();
    let (spent_by_none, one_proof) = (server(), self::proof());
    for (row, (headers, target, expected)) in rows.into_iter().enumerate() {
        let (table, proof) = (table(), self::proof());
        let server = ResourceServer::new(ORIGIN, verifier(), Arc::clone(&table)).unwrap();
        let mut all: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if expected.is_some() {
            let all = [&all[..], &[("dpop", one_proof.as_str())]].concat();
            assert!(spent_by_none.authenticate(&request(target, fields(&all)), at(NOW)).is_err());
        }
        all.push(("dpop", &proof));
        let seen = server.authenticate(&request(target, fields(&all)), at(NOW));
        let seen = seen.err().map(|rejection| whole_response(&rejection));
        // Whatever is not exactly one access token is not looked up.
        if seen != expected || table.asked() != usize::from(expected.is_none()) {
            failed.push(format!("row {row}: {headers:?} {target}: {seen:?}, {} lookups", table.asked()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    // No row with an error used up the proof that came with it.
    assert!(ask(&spent_by_none, &[("authorization", &dpop()), ("dpop", &one_proof)]).is_ok());
    // Without a proof as well, a request without credentials gets no error code.
    let rejection = ask(&server(), &[]).unwrap_err();
    assert_eq!(whole_response(&rejection), challenged(401, None));
}

/// RFC 9449 §7.2: where it is clear which scheme the client tried, the challenge of that scheme has the
/// error.
#[test]
fn the_error_is_in_the_challenge_of_the_scheme_that_was_tried() {
    let error_of = |rejection: &Rejection, scheme: &str| {
        let challenges = Challenge::from_headers(rejection.to_response().headers()).unwrap();
        let challenge = challenges.iter().find(|challenge| challenge.scheme() == scheme).unwrap();
        challenge.param("error").map(str::to_owned)
    };
    let both = server().accept_unbound_bearer();
    let proof = proof_by(&mine(), "nobodys");
    let by_dpop = ask(&both, &[("authorization", "DPoP nobodys"), ("dpop", &proof)]).unwrap_err();
    let by_bearer = ask(&both, &[("authorization", "Bearer nobodys")]).unwrap_err();
    let invalid = Some("invalid_token".to_owned());
    assert_eq!((error_of(&by_dpop, "dpop"), error_of(&by_dpop, "bearer")), (invalid.clone(), None));
    assert_eq!((error_of(&by_bearer, "dpop"), error_of(&by_bearer, "bearer")), (None, invalid));
}

/// QV-14: two client SDKs read the code only from a JSON body. It says the same as the challenge and
/// nothing else, whatever the scheme and the status. Where the challenge has no code (RFC 6750 §3.1),
/// there is no body.
#[test]
fn qv_14_the_body_is_the_error_code_of_the_challenge_as_json() {
    let both = server().accept_unbound_bearer();
    let with_nonces =
        ResourceServer::new(ORIGIN, verifier().require_nonces(FixedNonces::new(["n"])), table()).unwrap();
    let caller = ask(&server(), &[("authorization", &dpop()), ("dpop", &proof())]).unwrap();
    let (fresh, stolen) = (proof(), proof_by(&other(), TOKEN));
    let (unknown, own) = (proof_by(&mine(), "unknown"), dpop());
    let rows = [
        (ask(&server(), &[("authorization", &own)]), 401, Some("invalid_dpop_proof")),
        (ask(&server(), &[("authorization", &own), ("dpop", "x")]), 401, Some("invalid_dpop_proof")),
        (ask(&with_nonces, &[("authorization", &own), ("dpop", &fresh)]), 401, Some("use_dpop_nonce")),
        (ask(&server(), &[("authorization", &own), ("dpop", &stolen)]), 401, Some("invalid_token")),
        (
            ask(&server(), &[("authorization", "DPoP unknown"), ("dpop", &unknown)]),
            401,
            Some("invalid_token"),
        ),
        (ask(&both, &[("authorization", "Bearer unknown")]), 401, Some("invalid_token")),
        (ask(&server(), &[("authorization", "Bearer unknown")]), 401, Some("invalid_token")),
        (ask(&server(), &[("authorization", "DPoP a b")]), 400, Some("invalid_request")),
        (both.require_scope(&caller, "delete").map(|()| caller), 403, Some("insufficient_scope")),
        (ask(&server(), &[]), 401, None),
        (ask(&server(), &[("authorization", "Basic dXNlcjpwYXNz")]), 401, None),
        (ask(&both, &[]), 401, None),
    ];
    for (row, (seen, status, error)) in rows.into_iter().enumerate() {
        let response = seen.unwrap_err().to_response();
        assert_eq!(response.status(), status, "row {row}");
        let challenges = Challenge::from_headers(response.headers()).unwrap();
        let in_header = challenges.iter().find_map(|challenge| challenge.param("error"));
        let media_type = response.headers().get("content-type").map(|value| value.to_str().unwrap());
        match error {
            None => {
                assert_eq!((response.body().as_str(), in_header, media_type), ("", None, None), "row {row}")
            }
            Some(error) => {
                let body: Value = serde_json::from_str(response.body()).unwrap();
                assert_eq!((body, in_header), (json!({"error": error}), Some(error)), "row {row}");
                assert_eq!(media_type, Some("application/json"), "row {row}");
            }
        }
    }
}

/// RFC 9449 §7.2: a token that is bound to a key is refused as a `Bearer` token, with a proof or without.
/// Where `Bearer` tokens are not accepted at all, no token is looked up.
#[test]
fn v_52_a_bound_token_is_refused_as_a_bearer_token() {
    let table = table();
    let server = ResourceServer::new(ORIGIN, verifier(), Arc::clone(&table)).unwrap();
    let (proof, bearer) = (proof(), format!("Bearer {TOKEN}"));
    let headers = [("authorization", bearer.as_str()), ("dpop", &proof)];
    for headers in [&headers[..], &headers[..1]] {
        let rejection = ask(&server, headers).unwrap_err();
        assert_eq!(rejection.reason(), &Reason::BearerNotAccepted);
        assert_eq!(whole_response(&rejection), challenged(401, Some("invalid_token")));
    }
    assert_eq!(table.asked(), 0);

    let both = server.accept_unbound_bearer();
    for headers in [&headers[..], &headers[..1]] {
        let rejection = ask(&both, headers).unwrap_err();
        assert_eq!(rejection.reason(), &Reason::BoundTokenAsBearer);
        // RFC 9449 figure 18: the `Bearer` challenge comes first and has the error.
        let challenges = Challenge::from_headers(rejection.to_response().headers()).unwrap();
        let schemes: Vec<_> = challenges.iter().map(Challenge::scheme).collect();
        assert_eq!(schemes, ["bearer", "dpop"]);
        let expected = [r#"Bearer error="invalid_token""#, &format!("DPoP {ALGS}")];
        assert_eq!(whole_response(&rejection), with_challenges(401, Some("invalid_token"), &expected));
    }
    // None of these used up the proof.
    assert!(ask(&both, &[("authorization", &dpop()), ("dpop", &proof)]).is_ok());

    let caller = ask(&both, &[("authorization", "bearer unbound")]).unwrap();
    assert_eq!((caller.thumbprint(), caller.proof().is_none()), (None, true));
}

/// RFC 6750 §3 and §3.1: 403 `insufficient_scope` with the scope that is needed, as the server wrote it.
#[test]
fn a_missing_scope_is_a_403_that_names_it() {
    let server = server();
    let caller = ask(&server, &[("authorization", &dpop()), ("dpop", &proof())]).unwrap();
    for scope in ["read", "write"] {
        assert!(server.require_scope(&caller, scope).is_ok());
    }
    for scope in ["delete", "rea", "READ", "readwrite", "read write", ""] {
        let rejection = server.require_scope(&caller, scope).unwrap_err();
        assert_eq!(rejection.reason(), &Reason::Scope { needed: scope.to_owned() });
        let challenge = format!(r#"DPoP error="insufficient_scope", scope="{scope}", {ALGS}"#);
        assert_eq!(
            whole_response(&rejection),
            with_challenges(403, Some("insufficient_scope"), &[&challenge]),
            "{scope}"
        );
    }
}
