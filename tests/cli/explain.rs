//! `possession explain` makes each check of RFC 9449 §4.3 by itself. They must agree with the verifier, which
//! the test vectors describe.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use http::Method;
use possession::Algorithm;
use serde_json::Value;

use crate::checks::{Check, Expected, all};
use crate::jwt::Decoded;

/// The checks that may fail for a reason. A claim that is missing fails check 3, and the check of its value.
fn checks(reason: &str) -> &'static [u8] {
    match reason {
        "fields" => &[1],
        "segments" | "base64" | "json" | "unique" | "escape" | "crit" => &[2],
        "jti" => &[3],
        "typ" => &[4],
        "alg" => &[5, 2],
        "jwk" | "key" | "key-alg" | "signature" => &[6],
        "private" => &[7],
        "htm" => &[8, 3],
        "htu" => &[9, 3],
        "nonce" => &[10],
        "iat" | "exp" | "nbf" => &[11, 3, 2],
        "ath" => &[12, 3],
        "jkt" => &[12],
        other => panic!("{other} is no reason"),
    }
}

#[test]
fn its_checks_agree_with_the_verifier_over_every_proof_of_the_test_vectors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-vectors");
    let (mut rows, mut wrong) = (0, Vec::new());
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        if document["kind"] != "proof" {
            continue;
        }
        for case in document["cases"].as_array().unwrap() {
            rows += 1;
            if let Err(why) = check(case) {
                wrong.push(format!("{}: {}: {why}", file.file_name().unwrap().display(), case["id"]));
            }
        }
    }
    assert!(rows > 700, "{rows}");
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}

fn check(case: &Value) -> Result<(), String> {
    let context = &case["context"];
    let text = |name: &str| context[name].as_str();
    let seconds = |name: &str| Duration::from_secs(context[name].as_u64().unwrap());
    let fields: Vec<_> = match case["proof_headers"].as_array() {
        Some(fields) => fields.iter().map(|field| field.as_str().unwrap()).collect(),
        None => vec![case["proof"].as_str().unwrap()],
    };
    let method: Method = text("method").unwrap().parse().unwrap();
    // Of several nonces, the one that the proof has is the one that the server gave.
    let claims = fields.first().and_then(|text| Decoded::read(text)).and_then(|decoded| decoded.claims.ok());
    let own_nonce = claims.as_ref().and_then(|claims| claims["nonce"].as_str());
    let nonces: Vec<_> =
        context["nonces"].as_array().into_iter().flatten().map(|nonce| nonce.as_str().unwrap()).collect();
    let nonce = nonces.iter().find(|nonce| own_nonce == Some(nonce)).or(nonces.first()).copied();
    // A server that uses nonces and accepts none at this moment.
    let nonce = nonce.or(context["nonces"].is_array().then_some(""));
    let algorithms: Option<Vec<_>> = context["algs"]
        .as_array()
        .map(|names| names.iter().filter_map(|name| Algorithm::from_name(name.as_str().unwrap())).collect());
    let now = context["now"].as_i64().unwrap();
    let since = Duration::from_secs(now.unsigned_abs());
    let expected = Expected {
        method: Some(&method),
        url: text("url"),
        access_token: text("access_token"),
        jkt: text("jkt"),
        nonce,
        algorithms: algorithms.as_deref(),
        now: if now < 0 { UNIX_EPOCH - since } else { UNIX_EPOCH + since },
        max_age: seconds("max_age_s"),
        leeway: seconds("future_skew_s"),
    };
    let checked = all(fields.first().copied(), Some(fields.len()), &expected);
    assert!(checked.iter().all(|check| !check.rule.is_empty()));
    assert_eq!(checked.iter().map(|check| check.number).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    let failed: Vec<_> = checked.iter().filter(|check| check.holds == Some(false)).collect();
    let numbers: Vec<_> = failed.iter().map(|check| check.number).collect();
    let without_why = failed.iter().any(|check| check.why.is_empty());
    // Without a binding, check 12 can only fail.
    let is_bound = text("jkt").is_some() || text("access_token").is_none();
    let holds =
        |check: &Check| check.holds == Some(true) || check.number == 12 && check.holds.is_none() && !is_bound;
    match (case["expect"].as_str().unwrap(), case["reason"].as_str()) {
        ("accept", _) if !checked.iter().all(holds) => {
            let others: Vec<_> = checked.iter().filter(|check| !holds(check)).collect();
            Err(format!("accepted, but {others:?}"))
        }
        ("reject", Some(reason)) => {
            let is_named = numbers.iter().any(|number| checks(reason).contains(number));
            let is_sole = case["sole"] != false;
            // What is malformed can be read in several ways.
            let only = numbers.contains(&2) || numbers.iter().all(|number| checks(reason).contains(number));
            match !without_why && is_named && (only || !is_sole) {
                true => Ok(()),
                false => Err(format!("rejected for {reason}, but {failed:?}")),
            }
        }
        _ => Ok(()),
    }
}
